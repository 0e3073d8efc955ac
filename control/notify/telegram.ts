/**
 * Telegram (Bot API, through grammy). Messages are HTML in which every text that is not ours stands inside code, where Telegram makes no
 * links, mentions or commands of it; previews are off. A message that is sent twice stands there twice: Telegram knows no key for it.
 */
import { Api, GrammyError } from 'grammy';
import type { InlineKeyboardButton } from 'grammy/types';
import type { LiveChannel } from '../channels.ts';
import type { Note } from '../notifications.ts';
import { type Outbound, openService } from '../outbound.ts';
import { fold, toLine, toVisible } from '../visible-text.ts';
import { ChannelError, type OpenChannel } from './channel.ts';

const REQUEST_MS = 10_000;
/** How long Telegram holds a poll open while nothing happens. */
const POLL_SECONDS = 5;
const UPDATES_MAX = 20;
/** A message takes 4,096 characters after its markup is read; what we say around facts and quote needs some of them. */
const MESSAGE_MAX_CHARS = 4_096;
const AROUND_CHARS = 200;
const QUOTE_MIN_CHARS = 200;
const FACT_MAX_CHARS = 200;
const TOPIC_MAX_CHARS = 128;
const UPDATE_KINDS = ['message', 'callback_query'] as const;
const COMMANDS = [
  { command: 'status', description: 'What runs, what waits, what today costs' },
  { command: 'approvals', description: 'Show what waits for a decision' },
  { command: 'pause', description: 'Pause all agents' },
  { command: 'stop', description: 'Emergency stop, after a confirmation' },
];

/** What of an update we look at. */
export type TelegramUpdate = Awaited<ReturnType<Api['getUpdates']>>[number];

export interface TelegramChannel extends OpenChannel {
  /** Waits a few seconds for what comes in after `offset`. @param signal ends the wait. */
  poll: (offset: number, signal: AbortSignal) => Promise<TelegramUpdate[]>;
  /** Answers a press, so that the button stops waiting. @param alert shows it as a dialog. */
  answer: (callbackId: string, text: string, alert: boolean) => Promise<void>;
}

/** Opens the way to a bot. @param publicUrl how people reach the dashboard, for links; null = no links. */
export function openTelegram(channel: LiveChannel, publicUrl: string | null): TelegramChannel {
  const outbound = openService(channel.allowPrivate, REQUEST_MS + POLL_SECONDS * 1000);
  const api = new Api(channel.token, {
    apiRoot: (channel.apiRoot ?? 'https://api.telegram.org').replace(/\/$/, ''),
    timeoutSeconds: REQUEST_MS / 1000 + POLL_SECONDS,
    fetch: fetchThrough(outbound),
  });
  const link = linkTo(publicUrl);

  return {
    async send(_, note, { chat, thread, replyTo }) {
      if (note === null) throw new ChannelError('refused', 'there is nothing to say');
      const { text, isWhole } = layoutOf(note, link);
      const sent = await asked(() =>
        api.sendMessage(chat ?? channel.destination, text, {
          parse_mode: 'HTML',
          link_preview_options: { is_disabled: true },
          ...(thread !== null && { message_thread_id: Number(thread) }),
          ...(replyTo !== null && { reply_parameters: { message_id: Number(replyTo), allow_sending_without_reply: true } }),
          reply_markup: note.asksForReply ? { force_reply: true, selective: true } : { inline_keyboard: keyboardOf(note, isWhole) },
        }),
      );
      return { chat: String(sent.chat.id), message: String(sent.message_id) };
    },
    async edit(ref, note) {
      const { text, isWhole } = layoutOf(note, link);
      try {
        await asked(() =>
          api.editMessageText(ref.chat, Number(ref.message), text, {
            parse_mode: 'HTML',
            link_preview_options: { is_disabled: true },
            reply_markup: { inline_keyboard: keyboardOf(note, isWhole) },
          }),
        );
      } catch (error) {
        if (!(error instanceof ChannelError && /message is not modified/i.test(error.message))) throw error;
      }
    },
    threads: channel.topics
      ? {
          open: async (title) => {
            const topic = await asked(() => api.createForumTopic(channel.destination, topicName(title)));
            return String(topic.message_thread_id);
          },
          change: async (thread, { title, closed }) => {
            try {
              if (title !== undefined)
                await asked(() => api.editForumTopic(channel.destination, Number(thread), { name: topicName(title) }));
              if (closed === true) await asked(() => api.closeForumTopic(channel.destination, Number(thread)));
              if (closed === false) await asked(() => api.reopenForumTopic(channel.destination, Number(thread)));
            } catch (error) {
              if (!(error instanceof ChannelError && /TOPIC_NOT_MODIFIED/i.test(error.message))) throw error;
            }
          },
        }
      : null,
    async setUp(inboundUrl) {
      const me = await asked(() => api.getMe());
      await asked(() => api.setMyCommands(COMMANDS));
      if (inboundUrl === null) await asked(() => api.deleteWebhook());
      else {
        await asked(() => api.setWebhook(inboundUrl, { secret_token: channel.secret, allowed_updates: UPDATE_KINDS, max_connections: 4 }));
      }
      return { account: me.username ?? null };
    },
    poll: (offset, signal) =>
      asked(() => api.getUpdates({ offset, limit: UPDATES_MAX, timeout: POLL_SECONDS, allowed_updates: UPDATE_KINDS }, signal as never)),
    answer: async (callbackId, text, alert) =>
      void (await asked(() => api.answerCallbackQuery(callbackId, { text: fold(toLine(text), 190).text, show_alert: alert }))),
    close: () => outbound.close(),
  };
}

/** Says in our words how a request failed. The address, which carries the token, is in none of them. */
async function asked<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof GrammyError) {
      const { error_code: code, description } = error;
      const said = `Telegram answered ${code}: ${description}`.slice(0, 500);
      if (code === 429) throw new ChannelError('limited', said, (error.parameters.retry_after ?? 1) * 1000);
      // A token that does not fit, or a second one who polls, is about the channel and not about this message.
      if (code >= 500 || code === 401 || code === 404 || code === 409) throw new ChannelError('unreachable', said);
      if (/thread not found|TOPIC_DELETED|TOPIC_ID_INVALID|message to (edit|reply) not found/i.test(description))
        throw new ChannelError('gone', said);
      throw new ChannelError('refused', said);
    }
    throw new ChannelError('unreachable', 'Telegram cannot be reached');
  }
}

/**
 * Grammy's request over our way out. Its abort signal is one of its own making, so it is handed on and not passed through.
 */
function fetchThrough(outbound: Outbound): typeof fetch {
  return async (url, init) => {
    const ended = new AbortController();
    const signal = init?.signal;
    if (signal?.aborted) ended.abort();
    signal?.addEventListener('abort', () => ended.abort(), { once: true });
    return outbound.fetch(String(url), {
      method: init?.method ?? 'POST',
      headers: init?.headers ?? {},
      body: init?.body ?? null,
      signal: ended.signal,
    });
  };
}

/** A note as Telegram's HTML, within its limit, and whether all of the quote is in it. */
function layoutOf(note: Note, link: (path: string) => string | null): { text: string; isWhole: boolean } {
  const address = note.path === null ? null : link(note.path);
  const title = fold(toLine(note.title), FACT_MAX_CHARS).text;
  const lines = [`<b>${escaped(title)}</b>`];
  let room = MESSAGE_MAX_CHARS - AROUND_CHARS - title.length;
  for (const [label, text] of note.facts) {
    const shown = fold(toLine(text), FACT_MAX_CHARS);
    const rest = shown.left > 0 ? ` (and ${shown.left} more characters)` : '';
    lines.push(`${escaped(label)}: <code>${escaped(shown.text)}</code>${rest}`);
    room -= label.length + shown.text.length + rest.length + 3;
  }
  const quote = note.quote === null ? null : fold(toVisible(note.quote), Math.max(QUOTE_MIN_CHARS, room));
  if (quote !== null) {
    lines.push(`<pre>${escaped(quote.text)}</pre>`);
    if (quote.left > 0) lines.push(`<b>Not all is shown: ${quote.left} more characters.</b> Read the whole in the dashboard.`);
  }
  if (address !== null) lines.push(`<a href="${escaped(address)}">Open in Mission Control</a>`);
  return { text: lines.join('\n'), isWhole: quote === null || quote.left === 0 };
}

function keyboardOf(note: Note, isWhole: boolean): InlineKeyboardButton[][] {
  return note.buttons
    .map((row) =>
      row.filter((button) => isWhole || !button.needsWhole).map(({ label, action }) => ({ text: label, callback_data: action })),
    )
    .filter((row) => row.length > 0);
}

function topicName(title: string): string {
  return fold(toLine(title), TOPIC_MAX_CHARS).text || 'Task';
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

/** Links to the dashboard, where it has an address that others can open. */
export function linkTo(publicUrl: string | null): (path: string) => string | null {
  return (path) => (publicUrl === null ? null : `${publicUrl.replace(/\/$/, '')}${path}`);
}
