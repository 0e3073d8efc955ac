/**
 * What a call would send, read from its arguments for the person who decides: whom it reaches, by which way, and what it says. Pure, and for
 * the eye only, like change-text.ts.
 */

/** What an approval or a call says of itself. */
export interface ReadCall {
  tool: string | null;
  mappedTool: string | null;
  arguments: Record<string, unknown> | null;
}

export interface MessageReading {
  /** Everybody the call names, with the argument that names them. */
  recipients: readonly { as: string; who: string }[];
  /** By which service or room it goes. */
  channel: string | null;
  subject: string | null;
  text: string | null;
  /** Files and addresses that go with it. */
  attachments: readonly string[];
}

/** What a message says and whom it reaches; null for calls that send none. */
export function messageOf({ mappedTool, arguments: args }: ReadCall): MessageReading | null {
  if (args === null || (mappedTool !== 'post_social' && mappedTool !== 'send_email')) return null;
  return {
    recipients: RECIPIENT_KEYS.flatMap((key) => textsOf(args[key]).map((who) => ({ as: key, who }))),
    channel: firstText(args, CHANNEL_KEYS),
    subject: firstText(args, ['subject', 'title']),
    text: firstText(args, TEXT_KEYS),
    attachments: ATTACHMENT_KEYS.flatMap((key) => textsOf(args[key])),
  };
}

const RECIPIENT_KEYS = [
  'to',
  'target',
  'targets',
  'recipient',
  'recipients',
  'cc',
  'bcc',
  'chatId',
  'chat_id',
  'channelId',
  'userId',
  'threadId',
  'replyTo',
];
const CHANNEL_KEYS = ['channel', 'provider', 'service', 'platform', 'accountId'] as const;
const TEXT_KEYS = ['text', 'message', 'body', 'content', 'caption', 'html'] as const;
const ATTACHMENT_KEYS = ['media', 'mediaUrl', 'attachment', 'attachments', 'file', 'files', 'path', 'filePath', 'image'];

/** The first of these arguments that is text. */
export function firstText(args: Record<string, unknown>, keys: readonly string[]): string | null {
  for (const key of keys) {
    const value = args[key];
    if (typeof value === 'string') return value;
  }
  return null;
}

/** A text, or the texts of a list; of an object its members, so that nobody who is named goes unseen. */
function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return value === '' ? [] : [value];
  if (typeof value === 'number') return [String(value)];
  if (Array.isArray(value)) return value.flatMap(textsOf);
  return typeof value === 'object' && value !== null ? [JSON.stringify(value)] : [];
}
