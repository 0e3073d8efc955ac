/**
 * The notification dispatcher: reads what has happened, says it on every channel in its order, and brings cards up to date with their
 * approvals. Channels do not wait for each other. A row is marked before it is sent and after it was taken: a kill in between says it a
 * second time, and never not at all.
 */
import type { Cards } from '../cards.ts';
import type { Channels, LiveChannel } from '../channels.ts';
import { type DueNotification, isCard, type Notifications, type StaleCard } from '../notifications.ts';
import { ChannelError, type OpenChannel, placeOf } from '../notify/channel.ts';
import type { ChannelSet } from '../notify/channel-set.ts';
import { drawCard } from '../notify/group-card.ts';
import type { Threads } from '../threads.ts';
import type { Worker } from './loop.ts';

/** Entries of the feed that one pass takes up at most, in steps; the rest is the next one's. */
const STEPS_MAX = 20;
const WHY: Partial<Record<DueNotification['kind'], string>> = { approval_reminder: 'Reminder', approval_escalation: 'Handed on' };
const NO_ADDRESS = 'set MC_CONTROL_URL to the address by which Telegram reaches Mission Control, or use polling';

interface Dependencies {
  clock: () => number;
  channels: Channels;
  channelSet: ChannelSet;
  notifications: Notifications;
  threads: Threads;
  cards: Cards;
  /** How the other sides reach us; null = they cannot. */
  publicUrl: string | null;
  onError: (error: unknown, channel: string) => void;
}

export interface Notifier extends Worker {
  /** Resolves when nothing is being sent. */
  settled: () => Promise<void>;
}

export function notifier({ clock, channels, channelSet, notifications, threads, cards, publicUrl, onError }: Dependencies): Notifier {
  const running = new Map<string, Promise<void>>();

  async function tick(): Promise<void> {
    for (let step = 0; step < STEPS_MAX; step++) {
      if ((await notifications.collect()) === 0) break;
    }
    for (const channel of await channels.live()) {
      if (running.has(channel.id)) continue;
      running.set(
        channel.id,
        pump(channel)
          .catch((error) => onError(error, channel.name))
          .finally(() => running.delete(channel.id)),
      );
    }
  }

  async function pump(channel: LiveChannel): Promise<void> {
    if (channel.heldUntil > clock()) return;
    const { port } = channelSet.get(channel);
    if (!(await ensureSetUp(channel, port))) return;
    for (const notification of await notifications.due(channel.id)) {
      if (!(await deliver(channel, port, notification))) return;
    }
    if (channel.kind === 'webhook') return;
    for (const card of await notifications.staleCards(channel.id)) {
      if (!(await bringUpToDate(channel, port, card))) return;
    }
  }

  /** @returns false where the channel takes nothing now. */
  async function deliver(channel: LiveChannel, port: OpenChannel, notification: DueNotification): Promise<boolean> {
    const card = isCard(notification.kind) ? await drawCard(cards, notification.id, WHY[notification.kind] ?? null) : null;
    const note = card === null ? notification.note : card.note;
    let thread: string | null = null;
    try {
      if (notification.recipient.inThread && notification.taskId !== null) {
        thread = await threadOf(channel, port, notification.taskId);
        if (thread === null) {
          await notifications.buried(notification.id, 'its task is gone');
          return true;
        }
      }
      if (!(await notifications.begin(notification.id))) return true;
      const ref = await port.send(notification, note, placeOf(notification.recipient, thread));
      await notifications.delivered(notification.id, ref, card === null ? null : card.shown);
      await channels.succeeded(channel.id);
      return true;
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      switch (error.kind) {
        case 'gone':
          if (thread === null || notification.taskId === null) await notifications.buried(notification.id, error.message);
          else await threads.forget(channel.id, notification.taskId);
          return true;
        case 'refused':
          await notifications.buried(notification.id, error.message);
          return true;
        case 'limited':
        case 'unreachable':
          await channels.held(channel.id, error.message, error.retryAfterMs);
          await notifications.postponed(notification, error.message);
          return false;
      }
    }
  }

  async function bringUpToDate(channel: LiveChannel, port: OpenChannel, card: StaleCard): Promise<boolean> {
    const drawn = await drawCard(cards, card.id);
    if (drawn === null) return true;
    try {
      await port.edit(card.ref, drawn.note);
      await notifications.shown(card.id, drawn.shown);
      await channels.succeeded(channel.id);
      return true;
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      const isAboutTheCard = error.kind === 'refused' || error.kind === 'gone';
      if (!isAboutTheCard) await channels.held(channel.id, error.message, error.retryAfterMs);
      await notifications.editFailed(card, error.message, isAboutTheCard);
      return isAboutTheCard;
    }
  }

  /** The first thing after a change of settings: the other side learns how to reach us. */
  async function ensureSetUp(channel: LiveChannel, port: OpenChannel): Promise<boolean> {
    if (channel.setupRevision === channel.revision) return true;
    const inbound = publicUrl === null ? null : `${publicUrl.replace(/\/$/, '')}/chat/${channel.kind}/${channel.id}`;
    try {
      if (channel.mode === 'webhook' && inbound === null) throw new ChannelError('refused', NO_ADDRESS);
      const { account } = await port.setUp(channel.mode === 'polling' ? null : inbound);
      await channels.setUp(channel.id, channel.revision, account);
      return true;
    } catch (error) {
      if (!(error instanceof ChannelError)) throw error;
      await channels.held(channel.id, error.message, error.retryAfterMs);
      return false;
    }
  }

  async function threadOf(channel: LiveChannel, port: OpenChannel, taskId: string): Promise<string | null> {
    if (port.threads === null) return null;
    const known = await threads.find(channel.id, taskId);
    if (known) return known.external_id;
    const name = await threads.nameOf(taskId);
    if (name === null) return null;
    const opened = await port.threads.open(name.title, name.label);
    await threads.keep(channel, taskId, opened, name.title);
    return opened;
  }

  return {
    name: 'notifier',
    everyMs: 500,
    tick,
    settled: async () => {
      while (running.size > 0) await Promise.all(running.values());
    },
  };
}
