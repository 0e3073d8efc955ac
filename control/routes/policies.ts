import { z } from 'zod';
import { type JsonObject, simulateRequestSchema } from '../../policies/index.ts';
import {
  listOf,
  PolicyActivateSchema,
  PolicyCreateSchema,
  PolicyDifferenceSchema,
  PolicyProfileSchema,
  PolicySchema,
  PolicyValidateSchema,
  PolicyValidationSchema,
  ReplayCreateSchema,
  ReplaySchema,
  ShadowCreateSchema,
  ShadowSchema,
} from '../contract.ts';
import { pageOf } from '../paging.ts';
import type { Policies } from '../policies.ts';
import type { Shadows } from '../shadows.ts';
import type { Trials } from '../trials.ts';
import { type Api, ID, PAGE, readBytes, route } from './route.ts';

/** Policies: versions, activation, and the ways to try one out before it binds (SPEC 4.10, 8.2, 8.3). */
export function policyRoutes(app: Api, { policies, trials, shadows }: { policies: Policies; trials: Trials; shadows: Shadows }): void {
  const tag = 'policies';
  const viewer = { role: 'viewer' } as const;
  const admin = { role: 'admin' } as const;
  route(app, { method: 'get', path: '/policies/active', tag, summary: 'The active policy', access: viewer, response: PolicySchema }, () =>
    policies.get(policies.current().id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies',
      tag,
      summary: 'All versions, newest first',
      access: viewer,
      query: PAGE,
      response: listOf(PolicySchema),
    },
    async ({ query }) => pageOf(await policies.list(), query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/profiles',
      tag,
      summary: 'The shipped profiles: patches that can be added as a version',
      access: viewer,
      response: z.object({ items: z.array(PolicyProfileSchema) }),
    },
    async () => ({ items: trials.profiles() }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/validate',
      tag,
      summary: 'Say what is wrong with a document, with line and column; nothing is kept',
      access: viewer,
      body: PolicyValidateSchema,
      anyText: true,
      response: PolicyValidationSchema,
    },
    ({ body }) =>
      trials.validate({ document: body.document as JsonObject | string | undefined, patch: body.patch as JsonObject | undefined }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/simulate',
      tag,
      summary: 'Judge calls without effects, up to 1,000 at once (SPEC 8.2)',
      access: viewer,
      unreadBody: simulateRequestSchema,
      response: z.object({ results: z.array(z.unknown()) }),
    },
    async ({ context }) => context.body(await trials.simulate(await readBytes(context)), 200, { 'content-type': 'application/json' }),
  );
  replayRoutes(app, trials);
  shadowRoutes(app, shadows);
  route(
    app,
    {
      method: 'get',
      path: '/policies/{id}',
      tag,
      summary: 'One version, by id or name',
      access: viewer,
      params: ID,
      response: PolicySchema,
    },
    ({ params }) => policies.get(params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/{id}/diff',
      tag,
      summary: 'What a version changes against another one, by path',
      access: viewer,
      params: ID,
      query: { from: z.string().min(1).max(200).default('active') },
      response: PolicyDifferenceSchema,
    },
    ({ params, query }) => trials.compare(params.id, query.from),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies',
      tag,
      summary: 'Add a version; it does not bind before it is activated',
      access: admin,
      body: PolicyCreateSchema,
      response: z.object({ id: z.string(), version: z.string() }),
      status: 201,
    },
    ({ actor, body }) =>
      trials.create(actor, {
        document: body.document as JsonObject | string | undefined,
        patch: body.patch as JsonObject | undefined,
        profile: body.profile,
        note: body.note,
      }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/{id}/activate',
      tag,
      summary: 'Make a version the active one, also an older one; a replay shows first what that changes',
      access: admin,
      params: ID,
      body: PolicyActivateSchema,
      response: PolicySchema,
    },
    ({ actor, params, body }) => trials.activate(actor, params.id, body),
  );
}

function replayRoutes(app: Api, trials: Trials): void {
  const tag = 'policies';
  const viewer = { role: 'viewer' } as const;
  const operator = { role: 'operator' } as const;
  route(
    app,
    {
      method: 'post',
      path: '/policies/replay',
      tag,
      summary: 'Judge the recorded calls of a time window by a draft; the last seven days where nothing is said',
      access: operator,
      body: ReplayCreateSchema,
      response: ReplaySchema,
      status: 201,
    },
    ({ actor, body }) => trials.begin(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/replays',
      tag,
      summary: 'Replays, newest first, without their results',
      access: viewer,
      query: PAGE,
      response: listOf(ReplaySchema),
    },
    async ({ query }) => pageOf(await trials.list(), query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/replays/{id}',
      tag,
      summary: 'One replay: how far it is, or what it found',
      access: viewer,
      params: ID,
      response: ReplaySchema,
    },
    ({ params }) => trials.get(params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/replays/{id}/cancel',
      tag,
      summary: 'Break a running replay off',
      access: operator,
      params: ID,
      response: ReplaySchema,
    },
    ({ params }) => trials.cancel(params.id),
  );
}

function shadowRoutes(app: Api, shadows: Shadows): void {
  const tag = 'policies';
  const viewer = { role: 'viewer' } as const;
  const admin = { role: 'admin' } as const;
  route(
    app,
    {
      method: 'post',
      path: '/policies/shadows',
      tag,
      summary: 'Run a draft beside the active policy on live calls; it decides nothing',
      access: admin,
      body: ShadowCreateSchema,
      response: ShadowSchema,
      status: 201,
    },
    ({ actor, body }) => shadows.start(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/shadows',
      tag,
      summary: 'Shadows, newest first; the one without an end runs',
      access: viewer,
      query: PAGE,
      response: listOf(ShadowSchema),
    },
    async ({ query }) => pageOf(await shadows.list(), query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/shadows/{id}',
      tag,
      summary: 'One shadow: what it would have decided otherwise',
      access: viewer,
      params: ID,
      response: ShadowSchema,
    },
    ({ params }) => shadows.get(params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/shadows/{id}/stop',
      tag,
      summary: 'Stop a shadow; its figures stay',
      access: admin,
      params: ID,
      response: ShadowSchema,
    },
    ({ actor, params }) => shadows.stop(actor, params.id),
  );
}
