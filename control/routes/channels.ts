import { z } from 'zod';
import { atLeast, type Principal } from '../auth.ts';
import type { Channels } from '../channels.ts';
import type { ChatIdentities } from '../chat-identities.ts';
import {
  ChannelCreateSchema,
  ChannelSchema,
  ChannelUpdateSchema,
  ChatCodeSchema,
  ChatIdentitySchema,
  listOf,
  NotificationSchema,
} from '../contract.ts';
import type { Notifications } from '../notifications.ts';
import { pageOf } from '../paging.ts';
import { notFound } from '../problem.ts';
import { type Api, ID, PAGE, route } from './route.ts';

interface Services {
  channels: Channels;
  identities: ChatIdentities;
  notifications: Notifications;
  clock: () => number;
}

/** The ways to people outside the dashboard, what was said on them, and who somebody is there. */
export function channelRoutes(app: Api, { channels, identities, notifications, clock }: Services): void {
  const tag = 'channels';
  route(
    app,
    {
      method: 'get',
      path: '/channels',
      tag,
      summary: 'List channels, without secrets',
      access: { role: 'viewer' },
      query: PAGE,
      response: listOf(ChannelSchema),
    },
    async ({ query }) => pageOf(await channels.list(), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/channels',
      tag,
      summary: 'Add a channel; a signing key that we made is shown this once',
      access: { role: 'admin' },
      body: ChannelCreateSchema,
      response: ChannelSchema.extend({ secret: z.string().nullable() }),
      status: 201,
    },
    ({ actor, body }) => channels.create(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/channels/{id}',
      tag,
      summary: 'One channel',
      access: { role: 'viewer' },
      params: ID,
      response: ChannelSchema,
    },
    ({ params }) => channels.get(params.id),
  );
  route(
    app,
    {
      method: 'patch',
      path: '/channels/{id}',
      tag,
      summary: 'Change a channel; one that leads to another host needs its secret again',
      access: { role: 'admin' },
      params: ID,
      body: ChannelUpdateSchema,
      response: ChannelSchema,
    },
    ({ actor, params, body, revision }) => channels.update(actor, params.id, body, revision),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/channels/{id}',
      tag,
      summary: 'Remove a channel; what waited for it is given up',
      access: { role: 'admin' },
      params: ID,
    },
    ({ actor, params }) => channels.remove(actor, params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/channels/{id}/test',
      tag,
      summary: 'Say something on a channel, to see whether it arrives',
      access: { role: 'admin' },
      params: ID,
      body: z.strictObject({}),
    },
    async ({ actor, params }) => {
      const { id, name } = await channels.get(params.id);
      await notifications.add([
        {
          kind: 'test',
          channelId: id,
          recipient: { chat: null },
          summary: `${actor.name} tests ${name}`,
          note: { title: 'Mission Control reaches this channel.', facts: [['Asked by', actor.name]], quote: null, buttons: [], path: null },
          payload: {},
          key: `test:${id}:${actor.id}:${clock()}`,
        },
      ]);
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/notifications',
      tag,
      summary: 'What was said to people, newest first; "dead" did not arrive and is not tried again by itself',
      access: { role: 'viewer' },
      query: { ...PAGE, state: z.enum(['waiting', 'delivered', 'dead']).optional(), channelId: z.string().max(128).optional() },
      response: listOf(NotificationSchema),
    },
    ({ query }) => notifications.list(query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/notifications/{id}/retry',
      tag,
      summary: 'Try a dead one again',
      access: { role: 'operator' },
      params: ID,
      body: z.strictObject({}),
      response: NotificationSchema,
    },
    ({ actor, params }) => notifications.retry(actor, params.id),
  );

  route(
    app,
    {
      method: 'get',
      path: '/operators/{id}/chat-identities',
      tag: 'operators',
      summary: 'Who a person is on the channels; for oneself, and for administrators',
      access: { role: 'viewer' },
      params: ID,
      response: z.object({ items: z.array(ChatIdentitySchema) }),
    },
    async ({ principal, params }) => ({ items: await identities.list(ownOr404(principal, params.id)) }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/operators/{id}/chat-identities',
      tag: 'operators',
      summary: 'Make a one-time code that the person sends to the bot; for oneself, and for administrators',
      access: { role: 'viewer' },
      params: ID,
      body: z.object({ channelId: z.string().min(1).max(128) }).strict(),
      response: ChatCodeSchema,
      status: 201,
    },
    ({ actor, principal, params, body }) => identities.issueCode(actor, ownOr404(principal, params.id), body.channelId),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/operators/{id}/chat-identities/{identityId}',
      tag: 'operators',
      summary: 'A person is not known on a channel any more; for oneself, and for administrators',
      access: { role: 'viewer' },
      params: { ...ID, identityId: z.string().min(1).max(128) },
    },
    ({ actor, principal, params }) => identities.unlink(actor, ownOr404(principal, params.id), params.identityId),
  );
}

/** The operator that is asked about: oneself, or anybody for an administrator. */
function ownOr404(principal: Principal, id: string): string {
  if (principal.kind === 'human' && (principal.id === id || atLeast(principal.role, 'admin'))) return id;
  throw notFound('operator', id);
}
