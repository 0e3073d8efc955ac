/**
 * Held calls: opens the approval at control, waits a bounded while for the decision, takes the single use. The wait is disposable,
 * the approval is not: any proxy can take up the wait of any call, because control holds the call in full.
 */
import type { HeldCall, HoldRequest, HoldState } from '../control/contract.ts';
import type { Uplink } from './uplink.ts';

type Wake = () => void;

export class Holds {
  readonly #uplink: Uplink;
  readonly #waitersMax: number;
  /** By approval id. */
  readonly #waiters = new Map<string, Set<Wake>>();
  #waiting = 0;
  #closed = false;

  constructor(uplink: Uplink, waitersMax: number) {
    this.#uplink = uplink;
    this.#waitersMax = waitersMax;
  }

  /** Opens the approval, or finds the one that is pending or granted for the same digest. @throws ControlUnavailable */
  open(request: HoldRequest): Promise<HoldState> {
    return this.#uplink.openHold(request);
  }

  /** A call that another process held. @throws ControlUnavailable */
  find(callId: string): Promise<HeldCall | null> {
    return this.#uplink.held(callId);
  }

  /**
   * Waits until the approval of a call is no longer pending or its inline wait has ended, `waitMs` are over, or the caller is gone.
   * Registers first, then reads, then waits, so that a decision in between is not missed.
   * @returns the state as control has it at the end; null where control has no such call. @throws ControlUnavailable
   */
  async wait(callId: string, approvalId: string, waitMs: number, gone: AbortSignal): Promise<HoldState | null> {
    if (waitMs <= 0 || this.#closed || this.#waiting >= this.#waitersMax) return (await this.#uplink.held(callId))?.state ?? null;
    let woken = Promise.withResolvers<void>();
    let isOver = false;
    const wake: Wake = () => woken.resolve();
    const waiters = this.#waiters.get(approvalId) ?? new Set();
    this.#waiters.set(approvalId, waiters.add(wake));
    this.#waiting++;
    const timer = setTimeout(() => {
      isOver = true;
      wake();
    }, waitMs);
    gone.addEventListener('abort', wake);
    try {
      for (;;) {
        woken = Promise.withResolvers<void>();
        const held = await this.#uplink.held(callId);
        if (held === null || held.state.status !== 'pending' || held.state.deferred) return held?.state ?? null;
        // A wake-up is a hint: a stop is heard of here before control has withdrawn what is held.
        if (isOver || gone.aborted || this.#closed) return held.state;
        await woken.promise;
      }
    } finally {
      clearTimeout(timer);
      gone.removeEventListener('abort', wake);
      waiters.delete(wake);
      if (waiters.size === 0) this.#waiters.delete(approvalId);
      this.#waiting--;
    }
  }

  /** The inline wait is over: the agent will be told through its session. A decision that came first wins. */
  defer(callId: string): Promise<HoldState> {
    return this.#uplink.defer(callId);
  }

  withdraw(callId: string, reason: string): Promise<HoldState> {
    return this.#uplink.withdraw(callId, reason);
  }

  /** Takes the single use of a grant for this call. */
  redeem(approvalId: string, callId: string): Promise<{ granted: boolean; state: HoldState }> {
    return this.#uplink.redeem(approvalId, callId);
  }

  /** Something about an approval changed (a hint: the waiters read control themselves). */
  wake(approvalId: string): void {
    for (const wake of this.#waiters.get(approvalId) ?? []) wake();
  }

  /** After a stop or a lost line: everybody looks again. */
  wakeAll(): void {
    for (const waiters of this.#waiters.values()) for (const wake of waiters) wake();
  }

  /** Ends all waits, now and from now on: callers get "held" and come back after the restart. */
  close(): void {
    this.#closed = true;
    this.wakeAll();
  }

  /** Polls that wait now. */
  get waiting(): number {
    return this.#waiting;
  }
}
