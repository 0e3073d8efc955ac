/**
 * Slack (Web API, through its own client). Text that is not ours stands in preformatted rich text or plain text, which Slack takes
 * literally; the line that its notifications show is ours alone. Each message carries our id as metadata, by which one that may have
 * arrived before a crash is found again instead of being said twice.
 */
import {
  type Block,
  type KnownBlock,
  type ModalView,
  WebAPIHTTPError,
  WebAPIPlatformError,
  WebAPIRateLimitedError,
  WebClient,
} from '@slack/web-api';
import type { LiveChannel } from '../channels.ts';
import type { MessageRef } from '../db/schema.ts';
import type { DueNotification, Note } from '../notifications.ts';
import { openService } from '../outbound.ts';
import { fold, toLine, toVisible } from '../visible-text.ts';
import { ChannelError, type OpenChannel } from './channel.ts';
import { linkTo } from './telegram.ts';

const REQUEST_MS = 10_000;
const QUOTE_MAX_CHARS = 2_800;
const FACT_MAX_CHARS = 300;
const EVENT_TYPE = 'mission_control';
/** How far the clocks may be apart where a message of ours is looked for, and how much of a conversation is read for it. */
const CLOCKS_APART_S = 600;
const PAGE = 200;
const PAGES_MAX = 10;

/** Errors that say nothing about this very message. */
const ABOUT_THE_CHANNEL = new Set([
  'ratelimited',
  'invalid_auth',
  'not_authed',
  'account_inactive',
  'token_revoked',
  'token_expired',
  'internal_error',
  'fatal_error',
  'service_unavailable',
  'request_timeout',
]);
const GONE = new Set(['message_not_found', 'thread_not_found']);

/** What we read of a page of messages. */
interface History {
  messages?: { ts?: string; bot_id?: string; metadata?: { event_type?: string; event_payload?: object } }[];
  response_metadata?: { next_cursor?: string };
}

export interface SlackChannel extends OpenChannel {
  /** Opens a form for a person who has just pressed something. */
  openForm: (triggerId: string, view: ModalView) => Promise<void>;
}

/** Opens the way to a workspace. @param publicUrl how people reach the dashboard, for links; null = no links. */
export function openSlack(channel: LiveChannel, publicUrl: string | null): SlackChannel {
  const outbound = openService(channel.allowPrivate, REQUEST_MS);
  const client = new WebClient(channel.token, {
    slackApiUrl: `${(channel.apiRoot ?? 'https://slack.com/api').replace(/\/$/, '')}/`,
    allowAbsoluteUrls: false,
    // Trying again is the dispatcher's, in the order of what it has to say and with what is known of the channel.
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    logger: SILENT,
    fetch: (url, init) => outbound.fetch(url, { ...init, signal: init?.signal ?? null } as RequestInit),
  });
  const link = linkTo(publicUrl);
  const literal = { unfurl_links: false, unfurl_media: false, link_names: false, parse: 'none' as const };

  async function change(ref: MessageRef, note: Note): Promise<void> {
    await asked(() =>
      client.chat.update({ channel: ref.chat, ts: ref.message, text: fallbackOf(note), blocks: blocksOf(note, link), parse: 'none' }),
    );
  }

  /** Where a message of ours stands, by the id that it carries; null = it is not there, or Slack does not let us look. */
  async function find({ id, at }: DueNotification, chat: string, thread: string | null): Promise<MessageRef | null> {
    try {
      const { bot_id: bot } = await asked(() => client.auth.test());
      const channel = /^[UW]/.test(chat) ? (await asked(() => client.conversations.open({ users: chat }))).channel?.id : chat;
      if (bot === undefined || channel === undefined) return null;
      const range = { channel, oldest: String(at / 1000 - CLOCKS_APART_S), include_all_metadata: true, limit: PAGE };
      for (let cursor = '', page = 0; page < PAGES_MAX; page++) {
        const more = cursor === '' ? range : { ...range, cursor };
        const found = await asked<History>(() =>
          thread === null ? client.conversations.history(more) : client.conversations.replies({ ...more, ts: thread }),
        );
        const own = found.messages?.find(
          // Anybody may write such an id; only what our own bot has said counts.
          ({ bot_id: author, metadata }) =>
            author === bot && metadata?.event_type === EVENT_TYPE && (metadata.event_payload as { id?: unknown } | undefined)?.id === id,
        );
        if (own?.ts !== undefined) return { chat: channel, message: own.ts };
        cursor = found.response_metadata?.next_cursor ?? '';
        if (cursor === '') return null;
      }
      return null;
    } catch (error) {
      // Without the scope to read there, saying it twice is better than not at all.
      if (error instanceof ChannelError && error.kind === 'refused') return null;
      throw error;
    }
  }

  return {
    async send(notification, note, { chat, thread, onlyFor }) {
      if (note === null) throw new ChannelError('refused', 'there is nothing to say');
      const message = {
        channel: chat ?? channel.destination,
        text: fallbackOf(note),
        blocks: blocksOf(note, link),
        ...(thread !== null && { thread_ts: thread }),
        ...literal,
      };
      if (onlyFor !== null) {
        await asked(() => client.chat.postEphemeral({ ...message, user: onlyFor }));
        return null;
      }
      // An earlier attempt of which nobody knows whether Slack took it: Slack is asked before it is said again.
      const taken = notification.attempts > 0 ? await find(notification, message.channel, thread) : null;
      if (taken !== null) {
        // It says what was so at that attempt.
        await change(taken, note);
        return taken;
      }
      const sent = await asked(() =>
        client.chat.postMessage({
          ...message,
          metadata: { event_type: EVENT_TYPE, event_payload: { id: notification.id } },
        }),
      );
      return sent.ts === undefined ? null : { chat: sent.channel ?? message.channel, message: sent.ts };
    },
    edit: change,
    threads: channel.topics
      ? {
          open: async (title, label) => {
            const root = rootOf(title, label, false);
            const sent = await asked(() => client.chat.postMessage({ channel: channel.destination, ...root, ...literal }));
            if (sent.ts === undefined) throw new ChannelError('unreachable', 'Slack did not say where the thread is');
            return sent.ts;
          },
          change: async (thread, { title, label, closed }) => {
            if (title === undefined || label === undefined) return;
            await asked(() =>
              client.chat.update({ channel: channel.destination, ts: thread, ...rootOf(title, label, closed ?? false), parse: 'none' }),
            );
          },
        }
      : null,
    async setUp() {
      const me = await asked(() => client.auth.test());
      return { account: typeof me.user === 'string' ? me.user : null };
    },
    openForm: async (triggerId, view) => void (await asked(() => client.views.open({ trigger_id: triggerId, view }))),
    close: () => outbound.close(),
  };
}

/** The form in which a person says why a red call may or may not run. */
export function noteForm(number: number, verdict: 'approved' | 'denied', action: string, presets: readonly string[]): ModalView {
  return {
    type: 'modal',
    callback_id: 'note',
    private_metadata: action,
    title: { type: 'plain_text', text: `${verdict === 'approved' ? 'Approve' : 'Deny'} ${number}` },
    submit: { type: 'plain_text', text: verdict === 'approved' ? 'Approve once' : 'Deny' },
    close: { type: 'plain_text', text: 'Cancel' },
    blocks: [
      {
        type: 'input',
        block_id: 'preset',
        optional: true,
        label: { type: 'plain_text', text: 'A ready-made reason' },
        element: {
          type: 'static_select',
          action_id: 'preset',
          options: presets.map((text, index) => ({ text: { type: 'plain_text', text }, value: String(index) })),
        },
      },
      {
        type: 'input',
        block_id: 'note',
        optional: true,
        label: { type: 'plain_text', text: 'Or in your own words' },
        element: { type: 'plain_text_input', action_id: 'note', multiline: true, max_length: 3000 },
      },
    ],
  };
}

async function asked<T>(request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    if (error instanceof WebAPIRateLimitedError) {
      throw new ChannelError('limited', 'Slack asks for a pause', error.retryAfter * 1000);
    }
    if (error instanceof WebAPIPlatformError) {
      const code = error.data.error;
      throw new ChannelError(GONE.has(code) ? 'gone' : ABOUT_THE_CHANNEL.has(code) ? 'unreachable' : 'refused', `Slack answered ${code}`);
    }
    if (error instanceof WebAPIHTTPError)
      throw new ChannelError(
        error.statusCode >= 500 || error.statusCode === 429 ? 'unreachable' : 'refused',
        `Slack answered ${error.statusCode}`,
      );
    throw new ChannelError('unreachable', 'Slack cannot be reached');
  }
}

/** A note as Slack's blocks. */
export function blocksOf(note: Note, link: (path: string) => string | null): (KnownBlock | Block)[] {
  const blocks: (KnownBlock | Block)[] = [
    { type: 'section', text: { type: 'plain_text', text: fold(toLine(note.title), 300).text, emoji: false } },
  ];
  const facts = note.facts.flatMap(([label, text]) => {
    const shown = fold(toLine(text), FACT_MAX_CHARS);
    return [
      { type: 'text' as const, text: `${label}: ` },
      { type: 'text' as const, text: shown.text || '-', style: { code: true } },
      { type: 'text' as const, text: shown.left > 0 ? ` (and ${shown.left} more characters)\n` : '\n' },
    ];
  });
  if (facts.length > 0) blocks.push({ type: 'rich_text', elements: [{ type: 'rich_text_section', elements: facts }] });
  const quote = note.quote === null ? null : fold(toVisible(note.quote), QUOTE_MAX_CHARS);
  if (quote !== null) {
    blocks.push({
      type: 'rich_text',
      elements: [{ type: 'rich_text_preformatted', elements: [{ type: 'text', text: quote.text || ' ' }] }],
    });
    if (quote.left > 0)
      blocks.push({
        type: 'section',
        text: {
          type: 'plain_text',
          text: `Not all is shown: ${quote.left} more characters. Read the whole in the dashboard.`,
          emoji: false,
        },
      });
  }
  const address = note.path === null ? null : link(note.path);
  const isWhole = quote === null || quote.left === 0;
  for (const row of note.buttons) {
    const elements = row
      .filter((button) => isWhole || !button.needsWhole)
      .map(({ label, action, style }) => ({
        type: 'button' as const,
        text: { type: 'plain_text' as const, text: label, emoji: false },
        action_id: action,
        value: action,
        ...(style === 'go' && { style: 'primary' as const }),
        ...(style === 'stop' && { style: 'danger' as const }),
      }));
    if (elements.length > 0) blocks.push({ type: 'actions', elements });
  }
  if (address !== null)
    blocks.push({
      type: 'context',
      elements: [{ type: 'mrkdwn', text: `<${address.replaceAll(/[<>|&]/g, encodeURIComponent)}|Open in Mission Control>` }],
    });
  return blocks;
}

/** What a phone shows: our own line, with nothing that Slack could take for a mention or a link. */
function fallbackOf(note: Note): string {
  return escaped(toLine(note.title));
}

function rootOf(title: string, label: string, closed: boolean) {
  return {
    text: escaped(`${label}${closed ? ' (closed)' : ''}`),
    blocks: [
      {
        type: 'rich_text' as const,
        elements: [
          {
            type: 'rich_text_section' as const,
            elements: [
              { type: 'text' as const, text: `${label}${closed ? ' (closed)' : ''}: `, style: { bold: true } },
              { type: 'text' as const, text: fold(toLine(title), FACT_MAX_CHARS).text || '-', style: { code: true } },
            ],
          },
        ],
      },
    ],
  };
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Its client would write requests to the console. */
const SILENT = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  setLevel: () => {},
  getLevel: () => 'error' as never,
  setName: () => {},
};
