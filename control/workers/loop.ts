/**
 * The workers' loop: each worker is a name, an interval and a tick; ticks of one worker never overlap, and a tick that throws is
 * logged and tried again at the next interval. A worker ticks only while this process holds its lease, so that several control
 * processes do not double the work. Time and database are the tick's own business.
 */
import type { Leases } from '../leases.ts';

export interface Worker {
  name: string;
  everyMs: number;
  tick: () => Promise<void>;
}

/** A lease lasts for some ticks, and for this long at least; it is renewed when half of it is over. */
const LEASE_MIN_MS = 15_000;
const LEASE_TICKS = 3;

interface Dependencies {
  leases: Leases;
  clock: () => number;
  onError: (name: string, error: unknown) => void;
}

/** How long a worker waits between two ticks, milliseconds; what stands in the worker unless somebody injects another time. */
export type Pace = (everyMs: number) => number;

export const AS_WRITTEN: Pace = (everyMs) => everyMs;

/** Starts all workers. @returns a function that stops them, waits for ticks that are under way, and gives the leases back. */
export function startWorkers(
  workers: readonly Worker[],
  { leases, clock, onError }: Dependencies,
  pace: Pace = AS_WRITTEN,
): () => Promise<void> {
  const running = new Map<string, Promise<void>>();
  const passes = workers.map((worker) => ({ worker, pass: createPass(worker, { leases, clock, onError }) }));
  const timers = passes.map(({ worker, pass }) =>
    setInterval(() => {
      if (running.has(worker.name)) return;
      running.set(
        worker.name,
        pass().finally(() => running.delete(worker.name)),
      );
    }, pace(worker.everyMs)),
  );
  return async () => {
    for (const timer of timers) clearInterval(timer);
    await Promise.all(running.values());
    await leases.release().catch((error) => onError('leases', error));
  };
}

/** One pass of a worker, if its lease is ours. Never rejects. */
export function createPass(worker: Worker, { leases, clock, onError }: Dependencies): () => Promise<void> {
  const durationMs = Math.max(LEASE_MIN_MS, worker.everyMs * LEASE_TICKS);
  let ours = 0;
  let failing = false;
  return async () => {
    const now = clock();
    const isRenewal = ours - now < durationMs / 2;
    try {
      if (isRenewal) ours = (await leases.take(worker.name, durationMs)) ?? 0;
      if (ours <= now) return;
      await worker.tick();
      // Noted with the renewal and after a failure: a row a second would say no more.
      if (isRenewal || failing) await leases.note(worker.name, { tickedAt: now, error: null });
      failing = false;
    } catch (error) {
      failing = true;
      onError(worker.name, error);
      const message = error instanceof Error ? error.message : String(error);
      await leases.note(worker.name, { tickedAt: now, error: message.slice(0, 1000) }).catch(() => {});
    }
  };
}
