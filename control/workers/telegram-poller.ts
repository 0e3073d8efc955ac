/**
 * Fetches what comes in from Telegram where it does not call us. What was dealt with is noted after it was, so that a kill in between
 * brings it again; dealing with it again changes nothing. Several bots are polled side by side.
 */
import type { Channels, LiveChannel } from '../channels.ts';
import type { Notifications } from '../notifications.ts';
import { ChannelError } from '../notify/channel.ts';
import type { ChannelSet } from '../notify/channel-set.ts';
import type { Conversation } from '../notify/conversation.ts';
import { takeTelegramUpdate } from '../notify/telegram-inbox.ts';
import type { Threads } from '../threads.ts';
import type { Worker } from './loop.ts';

interface Dependencies {
  clock: () => number;
  channels: Channels;
  channelSet: ChannelSet;
  conversation: Conversation;
  notifications: Notifications;
  threads: Threads;
  onError: (error: unknown, channel: string) => void;
}

export interface TelegramPoller extends Worker {
  /** Resolves when nothing is being fetched. */
  settled: () => Promise<void>;
  /** Ends the waits that are under way. */
  close: () => Promise<void>;
}

const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 30_000;
/** An update that breaks us so often is left behind: the next ones must not wait for it for ever. */
const ATTEMPTS_MAX = 5;

export function telegramPoller({
  clock,
  channels,
  channelSet,
  conversation,
  notifications,
  threads,
  onError,
}: Dependencies): TelegramPoller {
  const running = new Map<string, Promise<void>>();
  const pauses = new Map<string, { failures: number; until: number }>();
  const broken = new Map<number, number>();
  const ended = new AbortController();

  async function tick(): Promise<void> {
    if (ended.signal.aborted) return;
    for (const channel of await channels.live()) {
      const isDue = (pauses.get(channel.id)?.until ?? 0) <= clock();
      if (channel.kind !== 'telegram' || channel.mode !== 'polling' || !isDue || running.has(channel.id)) continue;
      running.set(
        channel.id,
        poll(channel)
          .catch((error) => onError(error, channel.name))
          .finally(() => running.delete(channel.id)),
      );
    }
  }

  async function poll(channel: LiveChannel): Promise<void> {
    // Before the other side was told that we poll, it may still be calling an address of ours.
    if (channel.setupRevision !== channel.revision) return;
    const opened = channelSet.get(channel);
    if (opened.kind !== 'telegram') return;
    try {
      const updates = await opened.port.poll(channel.inboundCursor + 1, ended.signal);
      if (pauses.delete(channel.id)) await channels.succeeded(channel.id);
      for (const update of updates) {
        if (ended.signal.aborted) return;
        await take(channel, update.update_id, () =>
          takeTelegramUpdate(channel, opened.port, update, { conversation, notifications, threads }),
        );
        await channels.advance(channel.id, update.update_id);
      }
    } catch (error) {
      if (ended.signal.aborted) return;
      if (!(error instanceof ChannelError)) throw error;
      const failures = (pauses.get(channel.id)?.failures ?? 0) + 1;
      const wait = error.retryAfterMs ?? Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(failures - 1, 16));
      pauses.set(channel.id, { failures, until: clock() + wait });
      await channels.noted(channel.id, `what people do there cannot be fetched: ${error.message}`);
    }
  }

  async function take(channel: LiveChannel, updateId: number, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      broken.delete(updateId);
    } catch (error) {
      const attempts = (broken.get(updateId) ?? 0) + 1;
      if (attempts < ATTEMPTS_MAX) {
        broken.set(updateId, attempts);
        throw error;
      }
      broken.delete(updateId);
      onError(error, channel.name);
    }
  }

  return {
    name: 'telegram-poller',
    everyMs: 500,
    tick,
    settled: async () => void (await Promise.all(running.values())),
    close: async () => {
      ended.abort();
      await Promise.all(running.values());
    },
  };
}
