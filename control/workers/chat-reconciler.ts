/**
 * Compares the threads of tasks on channels with the database, which is canonical: titles, open or closed, and comments that were never
 * brought there. It only ever changes the chat.
 */
import type { Channels } from '../channels.ts';
import { ChannelError } from '../notify/channel.ts';
import type { ChannelSet } from '../notify/channel-set.ts';
import type { Threads } from '../threads.ts';
import type { Worker } from './loop.ts';

export function chatReconciler({
  channels,
  channelSet,
  threads,
}: {
  channels: Channels;
  channelSet: ChannelSet;
  threads: Threads;
}): Worker {
  return {
    name: 'chat-reconciler',
    everyMs: 30_000,
    tick: async () => {
      for (const channel of await channels.live()) {
        const { port } = channelSet.get(channel);
        if (!channel.topics || port.threads === null) continue;
        if (channel.events.includes('threads')) await threads.mend(channel.id);
        for (const thread of await threads.stale(channel.id)) {
          try {
            await port.threads.change(thread.externalId, {
              title: thread.title,
              label: thread.label,
              ...(thread.closedChanged && { closed: thread.closed }),
            });
            await threads.brought(thread);
          } catch (error) {
            if (!(error instanceof ChannelError)) throw error;
            // A thread that nobody can change any more is not looked at again; one that is gone is made anew when something is said.
            if (error.kind === 'gone') await threads.forget(channel.id, thread.taskId);
            else if (error.kind === 'refused') await threads.brought(thread);
            else {
              await channels.held(channel.id, error.message, error.retryAfterMs);
              break;
            }
          }
        }
      }
    },
  };
}
