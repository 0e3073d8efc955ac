/**
 * Money in process: what is settled and what is reserved, per cap. Reserve before a call runs, settle or release afterwards;
 * settled plus reserved never exceeds a cap (plus the allowance of an approval). A reservation that nobody settles stays:
 * it counts as spent until an outcome says otherwise, so no crash and no clock can free money that may have been used.
 */

/** A cap that binds a call: its scope key (SPEC 5) and limit in micro-dollars, null = counted but not limited. */
export interface BindingCap {
  scope: string;
  capMicros: number | null;
}

export class Ledger {
  readonly #settled = new Map<string, number>();
  readonly #reserved = new Map<string, number>();
  readonly #reservations = new Map<string, { amountMicros: number; scopes: readonly string[] }>();

  /** Takes up settled spend at start. */
  load(spent: Readonly<Record<string, number>>): void {
    for (const [scope, micros] of Object.entries(spent)) this.#settled.set(scope, micros);
  }

  /** Settled plus reserved of a scope. */
  spent(scope: string): number {
    return (this.#settled.get(scope) ?? 0) + (this.#reserved.get(scope) ?? 0);
  }

  /**
   * Reserves an amount under all caps at once, or none of it. Asking again for the same call changes nothing.
   * @param allowanceMicros what an approval grants above the caps.
   * @returns whether it fits; if not, another call was quicker and this one must be judged again.
   */
  reserve(callId: string, caps: readonly BindingCap[], amountMicros: number, allowanceMicros: number): boolean {
    if (amountMicros === 0 || this.#reservations.has(callId)) return true;
    const fits = caps.every(
      ({ scope, capMicros }) => capMicros === null || this.spent(scope) + amountMicros <= capMicros + allowanceMicros,
    );
    if (fits)
      this.#hold(
        callId,
        caps.map((cap) => cap.scope),
        amountMicros,
      );
    return fits;
  }

  /** Takes up a reservation of before a restart, whatever the caps say: its call may have run. */
  restore(callId: string, scopes: readonly string[], amountMicros: number): void {
    if (amountMicros > 0 && !this.#reservations.has(callId)) this.#hold(callId, scopes, amountMicros);
  }

  /** Ends a call at its actual cost. @param scopes used where nothing was reserved (an unpriced call that turned out to cost). */
  settle(callId: string, actualMicros: number, scopes: readonly string[]): void {
    const reservation = this.#drop(callId);
    if (actualMicros === 0) return;
    for (const scope of reservation?.scopes ?? scopes) this.#settled.set(scope, (this.#settled.get(scope) ?? 0) + actualMicros);
  }

  /** Ends a call that did not run. */
  release(callId: string): void {
    this.#drop(callId);
  }

  /** Forgets days that are over, except where something is still reserved. @param today the key suffix of the current day. */
  forgetDaysBefore(today: string): void {
    for (const scope of this.#settled.keys()) {
      const day = /^(?:agent-day:.*|fleet-day):(\d{4}-\d{2}-\d{2})$/.exec(scope)?.[1];
      if (day !== undefined && day < today && !this.#reserved.get(scope)) this.#settled.delete(scope);
    }
  }

  #hold(callId: string, scopes: readonly string[], amountMicros: number): void {
    this.#reservations.set(callId, { amountMicros, scopes });
    for (const scope of scopes) this.#reserved.set(scope, (this.#reserved.get(scope) ?? 0) + amountMicros);
  }

  #drop(callId: string): { amountMicros: number; scopes: readonly string[] } | undefined {
    const reservation = this.#reservations.get(callId);
    if (!reservation) return undefined;
    this.#reservations.delete(callId);
    for (const scope of reservation.scopes) {
      const left = (this.#reserved.get(scope) ?? 0) - reservation.amountMicros;
      if (left > 0) this.#reserved.set(scope, left);
      else this.#reserved.delete(scope);
    }
    return reservation;
  }
}
