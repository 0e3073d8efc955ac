/**
 * The ledger of a single proxy: settled and reserved money per cap, in this process. After a restart it is recovered from control's
 * record and the journal: `load` the settled spend, `restore` what was reserved for calls that may still run.
 */
import type { BindingCap, Ledger, LedgerTime, Reserved } from './ledger.ts';

interface Reservation {
  amountMicros: number;
  scopes: readonly string[];
  dueAt: number;
}

export class LocalLedger implements Ledger {
  readonly available = true;
  readonly refills = 0;
  readonly #settled = new Map<string, number>();
  readonly #reserved = new Map<string, number>();
  readonly #reservations = new Map<string, Reservation>();
  /** Past their time: counted as settled, and corrected by an outcome that comes after all. */
  readonly #overdue = new Map<string, Reservation>();
  readonly #time: LedgerTime;

  constructor(time: LedgerTime) {
    this.#time = time;
  }

  get open(): number {
    return this.#reservations.size;
  }

  /** Takes up settled spend at start. */
  load(spent: Readonly<Record<string, number>>): void {
    for (const [scope, micros] of Object.entries(spent)) this.#settled.set(scope, micros);
  }

  spent(scope: string): number {
    return (this.#settled.get(scope) ?? 0) + (this.#reserved.get(scope) ?? 0);
  }

  settled(scope: string): number {
    return this.#settled.get(scope) ?? 0;
  }

  async look(): Promise<boolean> {
    return false;
  }

  async reserve(callId: string, caps: readonly BindingCap[], amountMicros: number, allowanceMicros: number): Promise<Reserved> {
    if (amountMicros === 0 || this.#reservations.has(callId) || this.#overdue.has(callId)) return 'reserved';
    const fits = caps.every(
      ({ scope, capMicros }) => capMicros === null || this.spent(scope) + amountMicros <= capMicros + allowanceMicros,
    );
    if (!fits) return 'exceeded';
    const scopes = caps.map((cap) => cap.scope);
    this.#hold(callId, scopes, amountMicros);
    return 'reserved';
  }

  restore(callId: string, scopes: readonly string[], amountMicros: number): void {
    if (amountMicros > 0 && !this.#reservations.has(callId) && !this.#overdue.has(callId)) this.#hold(callId, scopes, amountMicros);
  }

  renew(callId: string): void {
    const reservation = this.#reservations.get(callId);
    if (reservation) reservation.dueAt = this.#time.clock() + this.#time.ttlMs();
  }

  settle(callId: string, actualMicros: number, scopes: readonly string[]): void {
    const overdue = this.#overdue.get(callId);
    if (overdue) {
      this.#overdue.delete(callId);
      this.#add(this.#settled, overdue.scopes, actualMicros - overdue.amountMicros);
      return;
    }
    const reservation = this.#drop(callId);
    if (actualMicros > 0) this.#add(this.#settled, reservation?.scopes ?? scopes, actualMicros);
  }

  release(callId: string): void {
    if (this.#overdue.has(callId)) this.settle(callId, 0, []);
    else this.#drop(callId);
  }

  sweep(today: string | null): void {
    const now = this.#time.clock();
    for (const [callId, reservation] of this.#reservations) {
      if (reservation.dueAt > now) continue;
      this.#drop(callId);
      this.#overdue.set(callId, reservation);
      this.#add(this.#settled, reservation.scopes, reservation.amountMicros);
    }
    if (today === null) return;
    for (const scope of this.#settled.keys()) {
      const day = /^(?:agent-day:.*|fleet-day):(\d{4}-\d{2}-\d{2})$/.exec(scope)?.[1];
      if (day !== undefined && day < today && !this.#reserved.get(scope)) this.#settled.delete(scope);
    }
  }

  spare(): boolean {
    return true;
  }

  async close(): Promise<void> {}

  #hold(callId: string, scopes: readonly string[], amountMicros: number): void {
    this.#reservations.set(callId, { amountMicros, scopes, dueAt: this.#time.clock() + this.#time.ttlMs() });
    this.#add(this.#reserved, scopes, amountMicros);
  }

  #drop(callId: string): Reservation | undefined {
    const reservation = this.#reservations.get(callId);
    if (!reservation) return undefined;
    this.#reservations.delete(callId);
    this.#add(this.#reserved, reservation.scopes, -reservation.amountMicros);
    return reservation;
  }

  #add(sums: Map<string, number>, scopes: readonly string[], micros: number): void {
    for (const scope of scopes) {
      const sum = (sums.get(scope) ?? 0) + micros;
      if (sum > 0) sums.set(scope, sum);
      else sums.delete(scope);
    }
  }
}
