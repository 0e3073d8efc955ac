/** A Slack Web API server on loopback: keeps messages, forms and threads, and can be made to fail; signs what it would send to an app. */
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { close, listen, urlOf } from './fake-telegram.ts';

export const SLACK_TOKEN = 'xoxb-fake-token-for-tests';
const BOT_ID = 'B1';
export const SIGNING_SECRET = 'a-signing-secret-for-tests';

type Body = Record<string, string>;
export interface SlackMessage {
  channel: string;
  ts: string;
  text: string;
  blocks: Record<string, unknown>[];
  thread: string | null;
  ephemeralFor: string | null;
  edits: number;
  metadata: string | null;
  /** Who wrote it. */
  by: string;
}

export async function startFakeSlack() {
  let nextTs = 1;
  let isDown = false;
  let losesAnswer = false;
  const forbidden = new Set<string>();
  let watcher: (method: string) => void = () => {};
  let failures: { status: number; headers?: Record<string, string>; body: object }[] = [];
  const messages: SlackMessage[] = [];
  const forms: { trigger_id: string; view: Record<string, unknown> }[] = [];
  const calls: string[] = [];

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (isDown) return request.socket.destroy();
      const method = (request.url ?? '').replace(/^\/api\//, '');
      calls.push(method);
      const send = (status: number, body: object, headers: Record<string, string> = {}) => {
        response.writeHead(status, { 'content-type': 'application/json', ...headers });
        response.end(JSON.stringify(body));
      };
      const failure = failures.shift();
      if (failure) return send(failure.status, failure.body, failure.headers);
      if (request.headers.authorization !== `Bearer ${SLACK_TOKEN}`) return send(200, { ok: false, error: 'invalid_auth' });
      const answer = handle(method, Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString('utf8'))));
      watcher(method);
      if (losesAnswer && method === 'chat.postMessage') {
        losesAnswer = false;
        return request.socket.destroy();
      }
      send(200, answer);
    });
  });

  function handle(method: string, body: Body): object {
    if (forbidden.has(method)) return { ok: false, error: 'missing_scope' };
    switch (method) {
      case 'auth.test':
        return { ok: true, user: 'mission_control', team_id: 'T1', bot_id: BOT_ID };
      case 'conversations.open':
        return { ok: true, channel: { id: `D-${body.users}` } };
      case 'conversations.history':
      case 'conversations.replies': {
        const found = messages.filter(
          ({ channel, thread, ephemeralFor }) => channel === body.channel && thread === (body.ts ?? null) && ephemeralFor === null,
        );
        return {
          ok: true,
          messages: found.toReversed().map(({ ts, text, by, metadata }) => ({
            ...{ type: 'message', ts, text, bot_id: by },
            ...(body.include_all_metadata === 'true' && metadata !== null && { metadata: JSON.parse(metadata) as object }),
          })),
        };
      }
      case 'chat.postMessage':
      case 'chat.postEphemeral': {
        const message: SlackMessage = {
          // A message to a person stands in the conversation with them.
          channel: /^U/.test(body.channel ?? '') ? `D-${body.channel}` : (body.channel ?? ''),
          ts: `1700000000.${String(nextTs++).padStart(6, '0')}`,
          text: body.text ?? '',
          blocks: JSON.parse(body.blocks ?? '[]') as SlackMessage['blocks'],
          thread: body.thread_ts ?? null,
          ephemeralFor: method === 'chat.postEphemeral' ? (body.user ?? '') : null,
          edits: 0,
          metadata: body.metadata ?? null,
          by: BOT_ID,
        };
        messages.push(message);
        return { ok: true, channel: message.channel, ts: message.ts, message_ts: message.ts };
      }
      case 'chat.update': {
        const message = messages.find(({ ts, channel }) => ts === body.ts && channel === body.channel);
        if (!message) return { ok: false, error: 'message_not_found' };
        Object.assign(message, { text: body.text, blocks: JSON.parse(body.blocks ?? '[]'), edits: message.edits + 1 });
        return { ok: true, channel: message.channel, ts: message.ts };
      }
      case 'views.open':
        forms.push({ trigger_id: body.trigger_id ?? '', view: JSON.parse(body.view ?? '{}') as Record<string, unknown> });
        return { ok: true };
      default:
        return { ok: false, error: 'unknown_method' };
    }
  }

  await listen(server);
  return {
    url: `${urlOf(server)}/api`,
    messages,
    forms,
    calls,
    /** The newest message that shows this somewhere. */
    find: (text: string) => messages.findLast((message) => shownText(message).includes(text)),
    fail: (...next: typeof failures) => {
      failures = next;
    },
    down: (down: boolean) => {
      isDown = down;
    },
    /** The next message is taken, and the answer about it is lost. */
    loseAnswer: () => {
      losesAnswer = true;
    },
    /** The app lacks the scope for this method. */
    forbid: (method: string) => void forbidden.add(method),
    /** Is told of each request that was dealt with, before it is answered. */
    watch: (listener: typeof watcher) => {
      watcher = listener;
    },
    close: () => close(server),
  };
}

/** Everything that a message shows, in order. */
export function shownText(message: SlackMessage): string {
  const parts: string[] = [];
  const walk = (value: unknown): void => {
    if (Array.isArray(value)) for (const one of value) walk(one);
    else if (typeof value === 'object' && value !== null) {
      if ('text' in value && typeof value.text === 'string') parts.push(value.text);
      for (const inner of Object.values(value)) if (typeof inner === 'object') walk(inner);
    }
  };
  walk(message.blocks);
  return parts.join('');
}

/** Values of the buttons of a message. */
export function buttonsOf(message: SlackMessage | undefined): string[] {
  return (message?.blocks ?? []).flatMap((block) =>
    block.type === 'actions' ? (block.elements as { value: string }[]).map(({ value }) => value) : [],
  );
}

/** The headers by which Slack shows that a body comes from it. @param atS seconds. */
export function slackHeaders(body: string, atS: number, secret = SIGNING_SECRET): Record<string, string> {
  return {
    'x-slack-request-timestamp': String(atS),
    'x-slack-signature': `v0=${createHmac('sha256', secret).update(`v0:${atS}:${body}`).digest('hex')}`,
  };
}
