/** The channels as they are open now: one for each revision of a channel's settings, opened when it is first needed. */
import type { LiveChannel } from '../channels.ts';
import type { OpenChannel } from './channel.ts';
import { openSlack, type SlackChannel } from './slack.ts';
import { openTelegram, type TelegramChannel } from './telegram.ts';
import { openWebhook } from './webhook.ts';

export type ChannelSet = ReturnType<typeof createChannelSet>;

type Opened = { kind: 'telegram'; port: TelegramChannel } | { kind: 'slack'; port: SlackChannel } | { kind: 'webhook'; port: OpenChannel };

/** @param publicUrl how people reach the dashboard; null = not from elsewhere. */
export function createChannelSet({ clock, publicUrl }: { clock: () => number; publicUrl: string | null }) {
  const open = new Map<string, { revision: number; opened: Opened }>();

  function get(channel: LiveChannel): Opened {
    const known = open.get(channel.id);
    if (known?.revision === channel.revision) return known.opened;
    if (known) void known.opened.port.close();
    const opened = openedFor(channel);
    open.set(channel.id, { revision: channel.revision, opened });
    return opened;
  }

  function openedFor(channel: LiveChannel): Opened {
    switch (channel.kind) {
      case 'telegram':
        return { kind: 'telegram', port: openTelegram(channel, publicUrl) };
      case 'slack':
        return { kind: 'slack', port: openSlack(channel, publicUrl) };
      case 'webhook':
        return { kind: 'webhook', port: openWebhook(channel, clock) };
    }
  }

  async function close(): Promise<void> {
    await Promise.all([...open.values()].map(({ opened }) => opened.port.close()));
    open.clear();
  }

  return { get, close };
}
