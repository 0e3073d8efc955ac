/**
 * The ledger as admission knows it: reserve before a call runs, settle or release afterwards. Settled plus reserved never exceeds a
 * cap (plus the allowance of an approval), across any number of calls and, where several proxies share one, of proxies. A reservation
 * that nobody settles counts as spent after its time, until an outcome says otherwise: no crash and no clock frees money that may
 * have been used. Two implementations hold to one contract suite: `ledger-local.ts` in one process, `ledger-redis.ts` for several.
 */

/** A cap that binds a call: its scope key (SPEC 5) and limit in micro-dollars, null = counted but not limited. */
export interface BindingCap {
  scope: string;
  capMicros: number | null;
}

/** `exceeded`: others hold what would be needed, judge again. `unavailable`: the counters cannot be reached. */
export type Reserved = 'reserved' | 'exceeded' | 'unavailable';

export interface Ledger {
  /** Whether money can be reserved now. False: priced, yellow and red calls are refused (SPEC 5). */
  readonly available: boolean;
  /** Reservations that are neither settled nor released nor past their time. */
  readonly open: number;
  /** Slices that were taken of shared counters since the start; 0 where they are not shared. */
  readonly refills: number;
  /** Settled plus reserved of a scope as known here, micro-dollars. Of a shared ledger a picture: `reserve` is what is exact. */
  spent(scope: string): number;
  /** The settled part of it; of a shared ledger at least what was settled when it last looked. */
  settled(scope: string): number;
  /** Brings the picture of scopes up to date. @returns whether it changed; false too where there is nothing to ask or nobody answers. */
  look(scopes: readonly string[]): Promise<boolean>;
  /**
   * Reserves an amount under all caps at once, or none of it. Asking again for the same call changes nothing.
   * @param amountMicros upper bound of what the call costs; 0 needs no reservation.
   * @param allowanceMicros what an approval grants above the caps.
   */
  reserve(callId: string, caps: readonly BindingCap[], amountMicros: number, allowanceMicros: number): Promise<Reserved>;
  /** Takes up a reservation of before a restart, whatever the caps say: its call may have run. */
  restore(callId: string, scopes: readonly string[], amountMicros: number): void;
  /** A call that still runs keeps its reservation for another period: streams do this while they flow. */
  renew(callId: string): void;
  /** Ends a call at its actual cost. @param scopes used where nothing was reserved (an unpriced call that turned out to cost). */
  settle(callId: string, actualMicros: number, scopes: readonly string[]): void;
  /** Ends a call that did not run. */
  release(callId: string): void;
  /** Counts reservations past their time as spent and forgets days that are over. @param today the key suffix of the current day. */
  sweep(today: string | null): void;
  /** Whether one more green, unpriced call may run while the counters are away: a bounded number does (SPEC 5). */
  spare(): boolean;
  close(): Promise<void>;
}

/** Reservations end this long after they were made or renewed, milliseconds (`limits.reservationTtlMs`); asked anew each time. */
export interface LedgerTime {
  /** Epoch milliseconds. */
  clock: () => number;
  ttlMs: () => number;
}
