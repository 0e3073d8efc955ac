/**
 * The circuit breaker in front of one upstream: after several failures in a row it is left alone for a while, ever longer, and callers are
 * told so at once instead of waiting for one more failure. One success ends it.
 */
const FAILURES_MAX = 5;
const REST_MIN_MS = 5_000;
const REST_MAX_MS = 60_000;

export class Circuit {
  readonly #clock: () => number;
  /** How the upstream was found; for the registry. */
  readonly #found: (ok: boolean, error: string | null) => void;
  #failures = 0;
  #restUntil = 0;
  #lastError = '';

  /** @param clock epoch milliseconds. */
  constructor(clock: () => number, found: (ok: boolean, error: string | null) => void) {
    this.#clock = clock;
    this.#found = found;
  }

  /** Why nothing is sent now, in one clause; null = it may be asked. */
  refusal(): string | null {
    const restMs = this.#restUntil - this.#clock();
    if (restMs <= 0) return null;
    return `it failed ${this.#failures} times in a row (last: ${this.#lastError}) and is tried again in ${Math.ceil(restMs / 1000)} s`;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#found(true, null);
  }

  failed(message: string): void {
    this.#failures++;
    this.#lastError = message;
    this.#found(false, message);
    if (this.#failures < FAILURES_MAX) return;
    this.#restUntil = this.#clock() + Math.min(REST_MAX_MS, REST_MIN_MS * 2 ** (this.#failures - FAILURES_MAX));
  }
}
