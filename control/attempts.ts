/**
 * How often somebody may guess. Secrets that we made carry 256 bits and need no such limit; a token that a person has chosen
 * (`MC_ADMIN_TOKEN`) does. Wrong tokens are counted by the address that they come from; above the limit, nothing else that could be a
 * chosen token is looked at from there for the rest of the minute. Sessions, and tokens that we made, are never in its way.
 */

/** Wrong tokens from one address in one minute. */
export const ATTEMPTS_MAX = 20;
const WINDOW_MS = 60_000;
/** Addresses that are remembered; the one that came first is forgotten first. */
const ADDRESSES_MAX = 10_000;

/** What auth.ts makes: a prefix that says whose it is, and 32 random bytes. */
const MADE_HERE = /^mc[aglo]_[\w-]{43}$/;

export function createAttempts(clock: () => number) {
  const failures = new Map<string, { count: number; since: number }>();

  /** How long this token is not looked at, coming from this address, in milliseconds; 0 = it may be looked at now. */
  function waitMs(address: string, token: string): number {
    const known = failures.get(address);
    if (known === undefined || known.count < ATTEMPTS_MAX || MADE_HERE.test(token)) return 0;
    return Math.max(0, known.since + WINDOW_MS - clock());
  }

  /** Notes that this token opened nothing. */
  function fail(address: string, token: string): void {
    if (MADE_HERE.test(token)) return;
    const now = clock();
    const known = failures.get(address);
    if (known !== undefined && now - known.since < WINDOW_MS) known.count++;
    else {
      failures.delete(address);
      failures.set(address, { count: 1, since: now });
    }
    const oldest = failures.size > ADDRESSES_MAX ? failures.keys().next().value : undefined;
    if (oldest !== undefined) failures.delete(oldest);
  }

  return { waitMs, fail };
}
