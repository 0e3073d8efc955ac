/** Calls per minute of an agent with a tool, in a window of sixty one-second slots. Bounded: a pair that was quiet for a minute is forgotten. */

const SLOTS = 60;
const SLOT_MS = 1_000;
const PAIRS_MAX = 20_000;

interface Window {
  /** Calls per second, indexed by second modulo 60. */
  counts: Uint32Array;
  /** The second that was counted last. */
  newest: number;
}

export class Rates {
  readonly #windows = new Map<string, Window>();

  /** Counts a call. @param now epoch milliseconds. */
  count(agentId: string, tool: string, now: number): void {
    const key = `${agentId}\u0000${tool}`;
    let window = this.#windows.get(key);
    if (!window) {
      if (this.#windows.size >= PAIRS_MAX) this.#forgetQuiet(now);
      window = { counts: new Uint32Array(SLOTS), newest: Math.floor(now / SLOT_MS) };
      this.#windows.set(key, window);
    }
    advance(window, now);
    const slot = window.newest % SLOTS;
    window.counts[slot] = (window.counts[slot] ?? 0) + 1;
  }

  /** Calls in the last minute before the one that was counted last. */
  lastMinute(agentId: string, tool: string, now: number): number {
    const window = this.#windows.get(`${agentId}\u0000${tool}`);
    if (!window) return 0;
    advance(window, now);
    let sum = 0;
    for (const count of window.counts) sum += count;
    return Math.max(0, sum - 1);
  }

  #forgetQuiet(now: number): void {
    const oldest = Math.floor(now / SLOT_MS) - SLOTS;
    for (const [key, window] of this.#windows) if (window.newest <= oldest) this.#windows.delete(key);
    // All of them busy: the longest known pair starts anew, which errs by at most one minute.
    const first = this.#windows.size >= PAIRS_MAX ? this.#windows.keys().next().value : undefined;
    if (first !== undefined) this.#windows.delete(first);
  }
}

function advance(window: Window, now: number): void {
  const second = Math.floor(now / SLOT_MS);
  if (second <= window.newest) return;
  const steps = Math.min(second - window.newest, SLOTS);
  for (let step = 1; step <= steps; step++) window.counts[(window.newest + step) % SLOTS] = 0;
  window.newest = second;
}
