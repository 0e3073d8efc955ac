/**
 * A webhook, for programs: every event as JSON, signed as the Standard Webhooks specification says (webhook-id, webhook-timestamp,
 * webhook-signature over id, timestamp and the bytes of the body). The id is the same at every attempt, so a receiver can drop a repeat.
 */
import { createHmac } from 'node:crypto';
import type { LiveChannel } from '../channels.ts';
import { openService } from '../outbound.ts';
import { ChannelError, type OpenChannel } from './channel.ts';

const REQUEST_MS = 10_000;

export function openWebhook(channel: LiveChannel, clock: () => number): OpenChannel {
  const outbound = openService(channel.allowPrivate, REQUEST_MS);
  const key = Buffer.from(channel.secret.replace(/^whsec_/, ''), 'base64');

  return {
    async send(notification) {
      const { id, kind, at, approvalId, taskId, summary, payload } = notification;
      const body = JSON.stringify({ type: kind, id, at, summary, approvalId, taskId, data: payload });
      const timestamp = String(Math.floor(clock() / 1000));
      const answer = await outbound
        .fetch(channel.destination, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'user-agent': 'mission-control',
            'webhook-id': id,
            'webhook-timestamp': timestamp,
            'webhook-signature': signatureOf(key, id, timestamp, body),
          },
          body,
        })
        .catch((error: Error) => {
          throw new ChannelError('unreachable', error.message);
        });
      if (answer.ok) return null;
      const said = `the webhook answered ${answer.status}`;
      const pause = retryAfterMs(answer.headers.get('retry-after'), clock());
      if (answer.status === 429 || pause !== null) throw new ChannelError('limited', said, pause ?? 1_000);
      if (answer.status >= 500 || answer.status === 408 || answer.status === 425) throw new ChannelError('unreachable', said);
      throw new ChannelError('refused', said);
    },
    // What was said to a program is not changed: what follows is an event of its own.
    edit: async () => {},
    threads: null,
    setUp: async () => ({ account: null }),
    close: () => outbound.close(),
  };
}

/** `v1,` and the HMAC-SHA-256 of `id.timestamp.body`, base64. */
function signatureOf(key: Buffer, id: string, timestamp: string, body: string): string {
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/** Milliseconds that a Retry-After header asks for: seconds, or a date. */
function retryAfterMs(header: string | null, now: number): number | null {
  if (header === null) return null;
  if (/^\d{1,6}$/.test(header)) return Number(header) * 1000;
  const at = Date.parse(header);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}
