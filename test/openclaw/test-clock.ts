/**
 * A clock that a test owns. With `auto` (the default) a sleep is over at once and time has passed; without it, sleepers
 * wait until `advance`.
 */
export class TestClock {
  auto = true;
  #now = 1_000_000;
  readonly #sleepers = new Set<{ until: number; wake: () => void }>();
  readonly #watchers = new Set<() => void>();

  now = (): number => this.#now;

  sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    if (signal?.aborted) return;
    if (this.auto) {
      this.#now += ms;
      await new Promise<void>((resolve) => setImmediate(resolve));
      return;
    }
    await new Promise<void>((resolve) => {
      const sleeper = { until: this.#now + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      for (const watch of this.#watchers) watch();
      signal?.addEventListener('abort', () => resolve(), { once: true });
    });
  };

  advance(ms: number): void {
    this.#now += ms;
    for (const sleeper of this.#sleepers) {
      if (sleeper.until > this.#now) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  /** Resolves as soon as somebody sleeps. */
  async asleep(): Promise<void> {
    while (this.#sleepers.size === 0) {
      await new Promise<void>((resolve) => {
        const watch = () => {
          this.#watchers.delete(watch);
          resolve();
        };
        this.#watchers.add(watch);
      });
    }
  }
}
