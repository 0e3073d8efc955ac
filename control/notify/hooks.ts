/**
 * Where chats send what people do there, when they call us: `/chat/telegram/{channel}` and `/chat/slack/{channel}`. Nothing is read of a
 * request before it has shown that it comes from there; who does not is told nothing of whether there is such a channel.
 */
import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Channels } from '../channels.ts';
import type { Notifications } from '../notifications.ts';
import { isSameSecret } from '../same-secret.ts';
import type { Threads } from '../threads.ts';
import type { ChannelSet } from './channel-set.ts';
import type { Conversation } from './conversation.ts';
import { isFromSlack, SIGNED_FOR_S, takeSlackRequest } from './slack-inbox.ts';
import type { TelegramUpdate } from './telegram.ts';
import { takeTelegramUpdate } from './telegram-inbox.ts';

const BODY_MAX_BYTES = 256 * 1024;

interface Dependencies {
  clock: () => number;
  channels: Channels;
  channelSet: ChannelSet;
  conversation: Conversation;
  notifications: Notifications;
  threads: Threads;
}

/** The app behind `/chat`. */
export function chatHooks({ clock, channels, channelSet, conversation, notifications, threads }: Dependencies): Hono {
  const app = new Hono();
  app.use('*', bodyLimit({ maxSize: BODY_MAX_BYTES, onError: (context) => context.body(null, 413) }));

  app.post('/telegram/:id', async (context) => {
    const channel = await channels.findLive(context.req.param('id'));
    const given = context.req.header('x-telegram-bot-api-secret-token') ?? '';
    if (channel?.kind !== 'telegram' || channel.mode !== 'webhook' || !isSameSecret(given, channel.secret)) return context.body(null, 401);
    const opened = channelSet.get(channel);
    if (opened.kind !== 'telegram') return context.body(null, 401);
    const update = await context.req.json<TelegramUpdate>().catch(() => null);
    if (update === null || typeof update.update_id !== 'number') return context.body(null, 400);
    await takeTelegramUpdate(channel, opened.port, update, { conversation, notifications, threads });
    return context.body(null, 200);
  });

  app.post('/slack/:id', async (context) => {
    const channel = await channels.findLive(context.req.param('id'));
    const bytes = new Uint8Array(await context.req.arrayBuffer());
    const headers = {
      timestamp: context.req.header('x-slack-request-timestamp'),
      signature: context.req.header('x-slack-signature'),
    };
    if (channel?.kind !== 'slack' || !isFromSlack(channel.secret, headers, bytes, clock())) return context.body(null, 401);
    const opened = channelSet.get(channel);
    if (opened.kind !== 'slack') return context.body(null, 401);
    // Slack signs each attempt anew: the same signature again is not Slack's.
    const signature = createHash('sha256')
      .update(headers.signature ?? '')
      .digest('base64url');
    if (!(await channels.takeOnce(channel.id, signature, (Number(headers.timestamp) + SIGNED_FOR_S) * 1000)))
      return context.body(null, 200);
    const type = context.req.header('content-type') ?? '';
    const text = new TextDecoder().decode(bytes);
    const answer = await takeSlackRequest(channel, opened.port, type, text, { conversation, threads });
    return answer.body === null ? context.body(null, answer.status) : context.json(answer.body as object, answer.status);
  });
  return app;
}
