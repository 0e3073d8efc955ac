/**
 * The workers' loop: each worker is a name, an interval and a tick; ticks of one worker never overlap, and a tick that throws is
 * logged and tried again at the next interval. Time and database are the tick's own business.
 */
export interface Worker {
  name: string;
  everyMs: number;
  tick: () => Promise<void>;
}

/** Starts all workers. @returns a function that stops them and waits for ticks that are under way. */
export function startWorkers(workers: readonly Worker[], onError: (name: string, error: unknown) => void): () => Promise<void> {
  const running = new Map<string, Promise<void>>();
  const timers = workers.map((worker) =>
    setInterval(() => {
      if (running.has(worker.name)) return;
      const tick = worker
        .tick()
        .catch((error) => onError(worker.name, error))
        .finally(() => running.delete(worker.name));
      running.set(worker.name, tick);
    }, worker.everyMs),
  );
  return async () => {
    for (const timer of timers) clearInterval(timer);
    await Promise.all(running.values());
  };
}
