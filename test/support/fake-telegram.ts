/**
 * A Bot API server on loopback: keeps chats, messages, topics and the queue of updates as the real one does, and can be made to fail. It
 * reads HTML as Telegram does, strictly enough to refuse markup that is not whole.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export const BOT_TOKEN = '123456:fake-bot-token-for-tests';

export interface FakeMessage {
  message_id: number;
  chat: number;
  text: string;
  thread: number | null;
  buttons: { text: string; callback_data?: string; url?: string }[];
  forceReply: boolean;
  edits: number;
}

type Body = Record<string, unknown>;
type Failure = { status: number; body: Body };

export async function startFakeTelegram() {
  let nextId = 1;
  let nextUpdate = 1;
  let updates: { update_id: number }[] = [];
  const messages: FakeMessage[] = [];
  const topics = new Map<number, { name: string; closed: boolean }>();
  const answers: { id: string; text: string; alert: boolean }[] = [];
  const calls: string[] = [];
  const webhooks: Body[] = [];
  let failures: Failure[] = [];
  let isDown = false;
  let refused = 0;
  let losesAnswer = false;
  let watcher: (method: string) => void = () => {};

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (isDown) {
        refused++;
        return request.socket.destroy();
      }
      const [, token, method = ''] = /^\/bot([^/]+)\/(\w+)$/.exec(request.url ?? '') ?? [];
      const send = (status: number, body: Body) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      };
      if (token !== BOT_TOKEN) return send(401, { ok: false, error_code: 401, description: 'Unauthorized' });
      calls.push(method);
      const failure = method === 'getUpdates' ? undefined : failures.shift();
      if (failure) return send(failure.status, failure.body);
      const text = Buffer.concat(chunks).toString('utf8');
      try {
        const result = handle(method, text === '' ? {} : (JSON.parse(text) as Body));
        watcher(method);
        if (losesAnswer && method === 'sendMessage') {
          losesAnswer = false;
          return request.socket.destroy();
        }
        send(200, { ok: true, result });
      } catch (error) {
        send(400, { ok: false, error_code: 400, description: `Bad Request: ${error instanceof Error ? error.message : error}` });
      }
    });
  });

  function handle(method: string, body: Body): unknown {
    switch (method) {
      case 'getMe':
        return { id: 1, is_bot: true, first_name: 'Mission Control', username: 'mc_bot' };
      case 'getUpdates': {
        updates = updates.filter(({ update_id: id }) => id >= Number(body.offset ?? 0));
        return updates.slice(0, Number(body.limit ?? 100));
      }
      case 'sendMessage': {
        const thread = body.message_thread_id === undefined ? null : Number(body.message_thread_id);
        if (thread !== null && !topics.has(thread)) throw new Error('message thread not found');
        const message: FakeMessage = {
          message_id: nextId++,
          chat: Number(body.chat_id),
          text: readHtml(String(body.text)),
          thread,
          buttons: buttonsOf(body.reply_markup),
          forceReply: (body.reply_markup as Body | undefined)?.force_reply === true,
          edits: 0,
        };
        messages.push(message);
        return {
          message_id: message.message_id,
          date: 1,
          chat: { id: message.chat, type: 'supergroup', title: 'Ops' },
          text: message.text,
        };
      }
      case 'editMessageText': {
        const message = messages.find((one) => one.message_id === Number(body.message_id) && one.chat === Number(body.chat_id));
        if (!message) throw new Error('message to edit not found');
        const [text, buttons] = [readHtml(String(body.text)), buttonsOf(body.reply_markup)];
        if (text === message.text && JSON.stringify(buttons) === JSON.stringify(message.buttons))
          throw new Error('message is not modified');
        Object.assign(message, { text, buttons, edits: message.edits + 1 });
        return true;
      }
      case 'answerCallbackQuery':
        answers.push({ id: String(body.callback_query_id), text: String(body.text ?? ''), alert: body.show_alert === true });
        return true;
      case 'createForumTopic': {
        const id = nextId++;
        topics.set(id, { name: String(body.name), closed: false });
        return { message_thread_id: id, name: body.name, icon_color: 0 };
      }
      case 'editForumTopic':
      case 'closeForumTopic':
      case 'reopenForumTopic': {
        const topic = topics.get(Number(body.message_thread_id));
        if (!topic) throw new Error('TOPIC_ID_INVALID');
        if (method === 'editForumTopic') topic.name = String(body.name);
        else topic.closed = method === 'closeForumTopic';
        return true;
      }
      case 'setWebhook':
        webhooks.push(body);
        return true;
      case 'setMyCommands':
      case 'deleteWebhook':
        return true;
      default:
        throw new Error(`method ${method} is not played`);
    }
  }

  await listen(server);
  let callback = 1;
  return {
    url: urlOf(server),
    messages,
    topics,
    answers,
    calls,
    webhooks,
    last: () => messages.at(-1),
    /** The newest message whose text has this in it. */
    find: (text: string) => messages.findLast((message) => message.text.includes(text)),
    /** Queues an update; answers it. */
    push<T extends Body>(update: T): T & { update_id: number } {
      const whole = { update_id: nextUpdate++, ...update };
      updates.push(whole);
      return whole;
    },
    /** Somebody writes to a chat. */
    message(from: Body, text: string, more: Body = {}): Body {
      return {
        message: {
          message_id: nextId++,
          date: 1,
          from: { is_bot: false, first_name: 'Somebody', ...from },
          chat: { id: Number(from.id), type: 'private', first_name: 'Somebody' },
          text,
          ...more,
        },
      };
    },
    /** Somebody presses a button of a message. */
    press(from: Body, message: FakeMessage, data: string): Body {
      return {
        callback_query: {
          id: String(callback++),
          from: { is_bot: false, first_name: 'Somebody', ...from },
          chat_instance: '1',
          message: {
            message_id: message.message_id,
            date: 1,
            chat: { id: message.chat, type: 'supergroup', title: 'Ops' },
            text: message.text,
          },
          data,
        },
      };
    },
    /** The next requests (polls apart) get these answers. */
    fail: (...next: Failure[]) => {
      failures = next;
    },
    /** Requests that it did not answer while it was down. */
    refused: () => refused,
    /** While it is down, connections are cut. */
    down: (down: boolean) => {
      isDown = down;
    },
    /** The next message is taken, and the answer about it is lost. */
    loseAnswer: () => {
      losesAnswer = true;
    },
    /** Is told of each request that was dealt with, before it is answered. */
    watch: (listener: typeof watcher) => {
      watcher = listener;
    },
    dropTopic: (id: number) => topics.delete(id),
    close: () => close(server),
  };
}

/** Telegram refuses markup that does not close, and shows entities as their characters. Links and code keep a mark of what they are. */
function readHtml(html: string): string {
  const open: string[] = [];
  for (const [, slash, tag] of html.matchAll(/<(\/?)([a-z]+)(?:\s+href="[^"<>]*")?>/g)) {
    if (slash === '') open.push(tag ?? '');
    else if (open.pop() !== tag) throw new Error("can't parse entities: unmatched end tag");
  }
  if (open.length > 0) throw new Error("can't parse entities: unclosed tag");
  const bare = html.replaceAll(/<a href="([^"]*)">([^<]*)<\/a>/g, '[link $1|$2]').replaceAll(/<\/?(?:b|code|pre|i)>/g, '\u2063');
  if (/[<>]/.test(bare)) throw new Error("can't parse entities: unsupported start tag");
  const text = bare.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&');
  if (text.replaceAll('\u2063', '').length > 4096) throw new Error('message is too long');
  return text.replaceAll('\u2063', '');
}

function buttonsOf(markup: unknown): FakeMessage['buttons'] {
  const rows = ((markup as Body | undefined)?.inline_keyboard ?? []) as FakeMessage['buttons'][];
  const buttons = rows.flat();
  for (const { callback_data: data } of buttons) {
    if (data !== undefined && Buffer.byteLength(data) > 64) throw new Error('BUTTON_DATA_INVALID');
  }
  return buttons;
}

export function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
}

export function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
