/**
 * GET /api/events: what changed, as server-sent events. A watcher resumes with Last-Event-ID; where that is too far back it gets
 * `reset` and fetches everything again. A beat every second lets it show how old its data is. A watcher that does not read is
 * cut, so that it cannot fill our memory, and comes back by itself.
 */
import type { Principal } from './auth.ts';
import type { Broadcast, ChangeBatch } from './broadcast.ts';

const BEAT_MS = 1_000;
/** The session and role are looked at again this often: a watcher who may no longer watch is cut. */
const RECHECK_MS = 10_000;
const QUEUE_MAX = 2_000;

export function eventStream(
  { broadcast, clock }: { broadcast: Broadcast; clock: () => number },
  recheck: () => Promise<Principal | null>,
  lastEventId: string | undefined,
): Response {
  const encoder = new TextEncoder();
  let end = () => {};
  const body = new ReadableStream<Uint8Array>(
    {
      start: async (controller) => {
        const write = (text: string) => {
          if ((controller.desiredSize ?? 0) <= -QUEUE_MAX) end();
          else controller.enqueue(encoder.encode(text));
        };
        const send = (batch: ChangeBatch) => {
          for (const event of batch.events) write(`event: change\ndata: ${JSON.stringify(event)}\n\n`);
          write(`id: ${batch.lastId}\nevent: beat\ndata: ${JSON.stringify({ at: clock() })}\n\n`);
        };
        // Joined before looking back, and what arrives meanwhile is sent after it: nothing falls between the two.
        let early: ChangeBatch[] | null = [];
        const leaveChanges = broadcast.onChanges((batch) => (early ? early.push(batch) : send(batch)));
        // It comes back with an id that is too far back, and is told to fetch everything.
        const leaveLoss = broadcast.onLoss(() => end());
        const leave = () => {
          leaveChanges();
          leaveLoss();
        };
        const beat = setInterval(() => write(`event: beat\ndata: ${JSON.stringify({ at: clock() })}\n\n`), BEAT_MS);
        const check = setInterval(() => {
          recheck().then(
            (principal) => {
              if (principal?.kind !== 'human') end();
            },
            () => {},
          );
        }, RECHECK_MS);
        end = () => {
          end = () => {};
          clearInterval(beat);
          clearInterval(check);
          leave();
          try {
            controller.close();
          } catch {
            // the watcher went first
          }
        };
        write('retry: 1000\n\n');
        const missed = lastEventId && /^\d{1,15}$/.test(lastEventId) ? await broadcast.since(Number(lastEventId)) : undefined;
        if (missed) send(missed);
        else write(`id: ${broadcast.cursor()}\nevent: ${missed === null ? 'reset' : 'beat'}\ndata: ${JSON.stringify({ at: clock() })}\n\n`);
        const waiting = early;
        early = null;
        for (const batch of waiting) send(batch);
      },
      cancel: () => end(),
    },
    new CountQueuingStrategy({ highWaterMark: 64 }),
  );
  return new Response(body, {
    headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' },
  });
}
