/**
 * The port of a channel: what every way to people outside the dashboard can do, and how it fails. A channel says things and changes what
 * it has said; it decides nothing, keeps nothing, and tries nothing twice: that is the dispatcher's.
 */
import type { MessageRef, Recipient } from '../db/schema.ts';
import type { DueNotification, Note } from '../notifications.ts';

/**
 * `unreachable`: try again later, with everything else that is for this channel. `limited`: the same, after `retryAfterMs`.
 * `refused`: this very message never arrives. `gone`: the thread or message that it belongs to is not there any more.
 */
export type FailureKind = 'unreachable' | 'limited' | 'refused' | 'gone';

/** A channel did not do what it was asked; the message is for people and names no secret. */
export class ChannelError extends Error {
  readonly kind: FailureKind;
  readonly retryAfterMs: number | null;
  constructor(kind: FailureKind, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.name = 'ChannelError';
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface Place {
  /** Null = the channel's own destination. */
  chat: string | null;
  thread: string | null;
  onlyFor: string | null;
  replyTo: string | null;
}

/** Every method fails with a ChannelError. */
export interface OpenChannel {
  /** Says something. @param note null only for channels of programs, which read the payload. @returns where it stands, where that can be changed later. */
  send: (notification: DueNotification, note: Note | null, place: Place) => Promise<MessageRef | null>;
  /** Changes what was said. Doing it twice changes nothing. */
  edit: (ref: MessageRef, note: Note) => Promise<void>;
  /** Threads of tasks; null where the channel has none. */
  threads: ThreadPort | null;
  /** Tells the other side how to reach us, and asks what we are called there. Doing it twice changes nothing. */
  setUp: (inboundUrl: string | null) => Promise<{ account: string | null }>;
  close: () => Promise<void>;
}

export interface ThreadPort {
  /** Opens a thread. @returns its id there. */
  open: (title: string, label: string) => Promise<string>;
  /** Brings title and state of a thread up to date. */
  change: (thread: string, change: { title?: string; label?: string; closed?: boolean }) => Promise<void>;
}

/** Where a recipient is, once its thread is known. */
export function placeOf(recipient: Recipient, thread: string | null): Place {
  return { chat: recipient.chat, thread, onlyFor: recipient.onlyFor ?? null, replyTo: recipient.replyTo ?? null };
}
