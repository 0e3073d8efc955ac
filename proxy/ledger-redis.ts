/**
 * The ledger of several proxies: the counters are in Redis, and each proxy spends from slices (leases) that it took of every cap at
 * once, so that most calls need no round trip. Near a cap a slice shrinks to the call itself. What a slice has not used goes back when
 * it lies idle; what a crash loses counts as spent until the journal has been shipped and the proxy joins again.
 *
 * Invariants:
 * - Money is granted here only while Redis and the epoch were confirmed within ALIVE_MS; otherwise nothing is reserved.
 * - What this proxy holds or has used without control knowing it never exceeds the bound that control knows of: lost counters are
 *   rebuilt with that much withheld for it.
 * - Every message tells running totals, so sending one again changes nothing.
 */
import { hash, randomUUID } from 'node:crypto';
import { createClient } from 'redis';
import { LEDGER_KEYS, type LedgerJoin, type LedgerSeed } from '../control/contract.ts';
import type { BindingCap, Ledger, LedgerTime, Reserved } from './ledger.ts';
import { ACQUIRE, SYNC } from './ledger-scripts.ts';

/** What the ledger needs of control and of this proxy's journal. */
export interface LedgerRecord {
  proxyId: string;
  /** Resolves when control has everything that is in the journal now. */
  shipped: () => Promise<void>;
  /** The last event that was written, and the last one that control has. */
  written: () => number;
  acknowledged: () => number;
  join: (outstanding: LedgerJoin['outstanding']) => Promise<{ epoch: string }>;
  seed: (request: LedgerSeed) => Promise<void>;
  /** Tells control the most that may be held or used unreported; resolves when it is kept. */
  bound: (micros: number) => Promise<void>;
}

export interface RedisLedgerOptions extends LedgerTime {
  url: string;
  record: LedgerRecord;
  /** Green, unpriced calls that may run during one absence of the counters. */
  spareCalls: number;
  /** Told when money can be reserved again, and when it no longer can. */
  onChange: (isAvailable: boolean, why: string) => void;
}

/** Settlements, renewals and looks go out this often. */
const BEAT_MS = 200;
/** Counters that were not heard of for this long are away: a call is refused within a second of their end. */
const ALIVE_MS = 700;
const TIMEOUT_MS = 600;
/** The share of a cap, and the time of demand, that a slice is good for. */
const SLICE_OF_CAP = 0.01;
const SLICE_MS = 50;
/** Times that one reservation asks before it says that others hold the rest; waiting for what another one asked does not count. */
const ASKS_MAX = 20;
const LEAST_BOUND = 10_000;
const KEEP_TOTAL_MS = 600_000;

interface Script {
  text: string;
  sha: string;
}
const scriptOf = (text: string): Script => ({ text, sha: hash('sha1', text) });
const ACQUIRE_SCRIPT = scriptOf(ACQUIRE);
const SYNC_SCRIPT = scriptOf(SYNC);

interface Lease {
  id: string;
  key: string;
  scopes: readonly string[];
  caps: readonly (number | null)[];
  /** Running totals, micro-dollars; `used` and `released` as they will be told next. */
  granted: number;
  used: number;
  released: number;
  /** Granted and neither reserved, used nor released. */
  left: number;
  told: { used: number; released: number; at: number };
  /** Taken since `since`, for the demand. */
  taken: number;
  since: number;
  slice: number;
  isIdle: boolean;
  /** A question for more was not answered: it may have been carried out all the same. */
  isUncertain: boolean;
  /** Forfeited at Redis, or not to be used any more. */
  isOver: boolean;
  refill: Promise<unknown> | null;
}
/** Cost that is under no lease: corrections, and calls that turned out to cost. */
interface Account {
  id: string;
  scopes: readonly string[];
  charged: number;
  told: number;
  isFresh: boolean;
  /** Calls in it that the record may know before the counters do. */
  calls: string[];
}
interface Reservation {
  scopes: readonly string[];
  micros: number;
  /** Null: counted as spent already, and corrected at its end. */
  lease: Lease | null;
  dueAt: number;
}

export class RedisLedger implements Ledger {
  readonly #options: RedisLedgerOptions;
  readonly #redis: ReturnType<typeof connect>;
  #state: 'away' | 'joining' | 'joined' = 'away';
  #epoch = '';
  #instance = '';
  #leaseCount = 0;
  #refills = 0;
  /** Round trips since the start, for those who measure. */
  roundTrips = 0;

  readonly #leases = new Map<string, Lease>();
  /** Leases that are no longer taken from and still have something reserved or to tell. */
  readonly #retired = new Set<Lease>();
  readonly #accounts = new Map<string, Account>();
  readonly #reservations = new Map<string, Reservation>();
  readonly #overdue = new Map<string, Reservation>();
  /** What ended while a join was under way. */
  #deferred: { callId: string; scopes: readonly string[]; micros: number }[] = [];

  /** Spent and leased of scopes when they were last heard of; what changed here since and was not told; what of it lies here unused. */
  readonly #totals = new Map<string, { micros: number; spent: number; at: number }>();
  readonly #untold = new Map<string, number>();
  readonly #unused = new Map<string, number>();
  /** What was spent here and not told. */
  readonly #untoldSpent = new Map<string, number>();

  #bound = 0;
  #exposure = 0;
  #unreported: { seq: number; micros: number }[] = [];

  #confirmedAt = Number.NEGATIVE_INFINITY;
  #beat: NodeJS.Timeout | null = null;
  #syncing: Promise<boolean> | null = null;
  #joining: Promise<void> | null = null;
  readonly #looks = new Set<string>();
  #spareLeft: number;
  #wasAvailable = false;
  #why = 'Redis has not answered yet';
  #isClosed = false;

  constructor(options: RedisLedgerOptions) {
    this.#options = options;
    this.#spareLeft = options.spareCalls;
    this.#redis = connect(options.url);
    // Each failed command is told to its caller; here it only must not go unheard.
    this.#redis.on('error', () => {});
    // A new connection may lead to another Redis, or to one that was restarted: join again before anything is granted.
    this.#redis.on('ready', () => this.#leave('the connection to Redis was made anew'));
  }

  /** Connects and joins; without Redis it goes on trying in the background. @param waitMs how long to wait for that. */
  async start(waitMs: number): Promise<void> {
    this.#redis.connect().catch(() => {});
    this.#beat = setInterval(() => void this.#onBeat(), BEAT_MS);
    const deadline = performance.now() + waitMs;
    while (!this.available && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  get available(): boolean {
    return this.#state === 'joined' && performance.now() - this.#confirmedAt < ALIVE_MS;
  }

  get refills(): number {
    return this.#refills;
  }

  get open(): number {
    return this.#reservations.size;
  }

  spent(scope: string): number {
    return Math.max(0, (this.#totals.get(scope)?.micros ?? 0) + (this.#untold.get(scope) ?? 0) - (this.#unused.get(scope) ?? 0));
  }

  settled(scope: string): number {
    return Math.min(this.spent(scope), Math.max(0, (this.#totals.get(scope)?.spent ?? 0) + (this.#untoldSpent.get(scope) ?? 0)));
  }

  async look(scopes: readonly string[]): Promise<boolean> {
    if (!this.available) return false;
    const before = scopes.map((scope) => this.spent(scope));
    for (const scope of scopes) this.#looks.add(scope);
    // One that is under way may have been asked before these.
    await this.#syncing;
    if (!(await this.#sync())) return false;
    return scopes.some((scope, index) => this.spent(scope) !== before[index]);
  }

  async reserve(callId: string, caps: readonly BindingCap[], amountMicros: number, allowanceMicros: number): Promise<Reserved> {
    if (amountMicros === 0 || this.#reservations.has(callId) || this.#overdue.has(callId)) return 'reserved';
    // An allowance is this call's alone: nothing of it may be left for others.
    const key = allowanceMicros > 0 ? `${callId} ${keyOf(caps)}` : keyOf(caps);
    let hasAsked = false;
    for (let asked = 0; asked < ASKS_MAX; ) {
      if (!this.available) return 'unavailable';
      const lease = this.#leaseOf(key, caps);
      if (lease.left >= amountMicros) {
        this.#take(lease, callId, amountMicros);
        if (allowanceMicros > 0) this.#retire(lease);
        else this.#prefetch(lease, amountMicros);
        return 'reserved';
      }
      if (lease.refill !== null) {
        await lease.refill;
        continue;
      }
      asked++;
      const refill = this.#refill(lease, amountMicros, allowanceMicros);
      lease.refill = refill;
      const result = await refill;
      lease.refill = null;
      switch (result) {
        case 'granted':
        case 'again':
          break;
        case 'unavailable':
          return 'unavailable';
        case 'exceeded':
          // What lies unused in our own other slices of these caps is not in the way of our own calls.
          if (hasAsked || !this.#giveBackUnder(lease.scopes)) return 'exceeded';
          hasAsked = true;
          await this.#syncing;
          if (!(await this.#sync())) return 'unavailable';
      }
    }
    return 'exceeded';
  }

  restore(callId: string, scopes: readonly string[], amountMicros: number): void {
    if (amountMicros === 0 || this.#reservations.has(callId) || this.#overdue.has(callId)) return;
    this.#reservations.set(callId, { scopes, micros: amountMicros, lease: null, dueAt: this.#dueAt() });
    this.#exposure += amountMicros;
  }

  renew(callId: string): void {
    const reservation = this.#reservations.get(callId);
    if (reservation) reservation.dueAt = this.#dueAt();
  }

  settle(callId: string, actualMicros: number, scopes: readonly string[]): void {
    const reservation = this.#reservations.get(callId) ?? this.#overdue.get(callId);
    this.#reservations.delete(callId);
    this.#overdue.delete(callId);
    const { lease = null, micros = 0 } = reservation ?? {};
    const used = Math.min(actualMicros, micros);
    // What was counted as spent already, or is now: control hears of it with the journal.
    if (reservation) this.#unreported.push({ seq: this.#options.record.written(), micros: lease === null ? micros : used });
    if (this.#state !== 'joined') {
      // Not joined: the journal tells control. During a join it may come too late for that.
      if (this.#state === 'joining')
        this.#deferred.push({ callId, scopes: reservation?.scopes ?? scopes, micros: actualMicros - (reservation ? micros : 0) });
      return;
    }
    if (lease === null) {
      this.#charge(callId, reservation?.scopes ?? scopes, actualMicros - micros, reservation === undefined);
      return;
    }
    this.#use(lease, used);
    this.#free(lease, micros - used);
    if (actualMicros > micros) this.#charge(callId, lease.scopes, actualMicros - micros, false);
  }

  release(callId: string): void {
    if (this.#reservations.has(callId) || this.#overdue.has(callId)) this.settle(callId, 0, []);
  }

  sweep(): void {
    const now = this.#options.clock();
    for (const [callId, reservation] of this.#reservations) {
      if (reservation.dueAt > now || this.#state === 'joining') continue;
      this.#reservations.delete(callId);
      this.#overdue.set(callId, { ...reservation, lease: null });
      if (reservation.lease) this.#use(reservation.lease, reservation.micros);
    }
  }

  spare(): boolean {
    return this.#spareLeft-- > 0;
  }

  /** Gives back what is unused and tells what was used; what is reserved stays, for the calls that still run. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#beat) clearInterval(this.#beat);
    await this.#joining;
    await this.#syncing;
    for (const lease of [...this.#leases.values()]) this.#retire(lease);
    if (this.available && (await this.#sync()) && this.#reservations.size + this.#overdue.size === 0) {
      await this.#options.record
        .shipped()
        .then(() => this.#options.record.bound(0))
        .catch(() => {}); // then what we may hold stays withheld where counters are lost, until we join again
    }
    this.#redis.destroy();
  }

  /* ------------------------------------------------------------ leases */

  #leaseOf(key: string, caps: readonly BindingCap[]): Lease {
    const known = this.#leases.get(key);
    if (known && !known.isOver && caps.every((cap, index) => cap.capMicros === known.caps[index])) return known;
    // A changed cap binds at once: what was granted under the old one goes back.
    if (known) this.#retire(known);
    const lease: Lease = {
      id: `${this.#instance}.${++this.#leaseCount}`,
      key,
      scopes: caps.map((cap) => cap.scope),
      caps: caps.map((cap) => cap.capMicros),
      granted: 0,
      used: 0,
      released: 0,
      left: 0,
      told: { used: 0, released: 0, at: performance.now() },
      taken: 0,
      since: performance.now(),
      slice: 0,
      isIdle: false,
      isUncertain: false,
      isOver: false,
      refill: null,
    };
    this.#leases.set(key, lease);
    return lease;
  }

  #take(lease: Lease, callId: string, micros: number): void {
    this.#reservations.set(callId, { scopes: lease.scopes, micros, lease, dueAt: this.#dueAt() });
    lease.left -= micros;
    lease.taken += micros;
    lease.isIdle = false;
    addTo(this.#unused, lease.scopes, -micros);
  }

  /** Of what a lease has left, what nobody needs soon is fetched before it is missed. */
  #prefetch(lease: Lease, unit: number): void {
    if (lease.refill !== null || lease.slice === 0 || lease.left >= lease.slice / 4) return;
    lease.refill = this.#refill(lease, unit, 0).finally(() => {
      lease.refill = null;
    });
  }

  async #refill(lease: Lease, amount: number, allowance: number): Promise<'granted' | 'again' | 'exceeded' | 'unavailable'> {
    const want = allowance > 0 ? 0 : sliceFor(lease);
    lease.taken = 0;
    lease.since = performance.now();
    if (!(await this.#ensureBound(amount + want))) return 'unavailable';
    const { ttlMs, record } = this.#options;
    const caps = lease.caps.map((cap) => cap ?? -1);
    const { id, granted: known, scopes } = lease;
    const asked = { epoch: this.#epoch, proxy: record.proxyId, lease: id, ttlMs: ttlMs(), known, amount, want, allowance, scopes, caps };
    const answer = await this.#run<[string, ...(string | number)[]]>(ACQUIRE_SCRIPT, asked);
    if (answer === null) {
      lease.isUncertain = true;
      return 'unavailable';
    }
    const [word, ...rest] = answer;
    switch (word) {
      case 'granted': {
        const grant = Number(rest[0]);
        this.#refills++;
        // One of before a join was ended by it.
        if (!lease.id.startsWith(`${this.#instance}.`)) return 'again';
        lease.granted += grant;
        this.#exposure += grant;
        this.#noteTotals(scopes, rest.slice(1).map(Number));
        // Closed or joined anew meanwhile: nobody takes from it any more.
        if (lease.isOver) this.#give(lease, grant);
        else this.#addLeft(lease, grant);
        lease.slice = grant - amount;
        return 'granted';
      }
      case 'exceeded':
        this.#noteTotals(scopes, rest.map(Number));
        return 'exceeded';
      case 'missing':
        return (await this.#seed(rest.map(String), [])) ? 'again' : 'unavailable';
      case 'lost':
        this.#retire(lease);
        return 'again';
      default:
        this.#leave('the counters were lost');
        return 'unavailable';
    }
  }

  /** Nobody takes from it any more: what it has left goes back with the next message. */
  #retire(lease: Lease): void {
    if (this.#leases.get(lease.key) === lease) this.#leases.delete(lease.key);
    lease.isOver = true;
    this.#giveBack(lease);
    this.#retired.add(lease);
  }

  #giveBack(lease: Lease): void {
    if (lease.left === 0) return;
    const { left } = lease;
    this.#addLeft(lease, -left);
    this.#give(lease, left);
  }

  /** @returns whether anything of these scopes went back that Redis was not told yet. */
  #giveBackUnder(scopes: readonly string[]): boolean {
    let isUntold = false;
    for (const lease of [...this.#leases.values(), ...this.#retired]) {
      if (!lease.scopes.some((scope) => scopes.includes(scope))) continue;
      this.#giveBack(lease);
      if (lease.released !== lease.told.released) isUntold = true;
    }
    return isUntold;
  }

  /** Money of a lease that a call has cost. */
  #use(lease: Lease, micros: number): void {
    lease.used += micros;
    addTo(this.#untoldSpent, lease.scopes, micros);
  }

  /** Money of a lease that a call did not use. */
  #free(lease: Lease, micros: number): void {
    if (micros === 0) return;
    if (lease.isOver) this.#give(lease, micros);
    else this.#addLeft(lease, micros);
  }

  #give(lease: Lease, micros: number): void {
    lease.released += micros;
    this.#exposure -= micros;
    addTo(this.#untold, lease.scopes, -micros);
  }

  #addLeft(lease: Lease, micros: number): void {
    lease.left += micros;
    addTo(this.#unused, lease.scopes, micros);
  }

  /* ------------------------------------------------------------ what is under no lease */

  #charge(callId: string, scopes: readonly string[], micros: number, isUnreserved: boolean): void {
    if (micros === 0) return;
    const key = accountKey(scopes);
    let account = this.#accounts.get(key);
    if (!account) {
      account = { id: `${this.#instance}.charged.${++this.#leaseCount}`, scopes, charged: 0, told: 0, isFresh: true, calls: [] };
      this.#accounts.set(key, account);
    }
    account.charged += micros;
    if (isUnreserved) account.calls.push(callId);
    addTo(this.#untold, scopes, micros);
    addTo(this.#untoldSpent, scopes, micros);
  }

  /* ------------------------------------------------------------ the picture of scopes */

  /** @param sums a total, and what of it is spent, for each scope. */
  #noteTotals(scopes: readonly string[], sums: readonly number[]): void {
    const at = performance.now();
    for (const [index, scope] of scopes.entries())
      this.#totals.set(scope, { micros: sums[2 * index] ?? 0, spent: sums[2 * index + 1] ?? 0, at });
  }

  /* ------------------------------------------------------------ exposure */

  async #ensureBound(grant: number): Promise<boolean> {
    this.#report();
    const needed = this.#exposure + grant;
    if (needed <= this.#bound) return true;
    const bound = boundFor(needed);
    try {
      await this.#options.record.bound(bound);
    } catch {
      return false;
    }
    this.#bound = Math.max(this.#bound, bound);
    return true;
  }

  /** What control has heard of is no longer exposed. */
  #report(): void {
    const acknowledged = this.#options.record.acknowledged();
    let count = 0;
    for (const { seq, micros } of this.#unreported) {
      if (seq > acknowledged) break;
      this.#exposure -= micros;
      count++;
    }
    if (count > 0) this.#unreported = this.#unreported.slice(count);
  }

  /* ------------------------------------------------------------ beats */

  async #onBeat(): Promise<void> {
    if (this.#isClosed) return;
    this.#announce();
    if (this.#state === 'away' && this.#redis.isReady) {
      this.#joining ??= this.#join().finally(() => {
        this.#joining = null;
      });
      return;
    }
    if (this.#state !== 'joined' || this.#syncing !== null) return;
    for (const lease of this.#leases.values()) {
      // Nobody took from it for a whole beat: others may need it.
      if (lease.isIdle && lease.refill === null) {
        this.#giveBack(lease);
        if (isToldWhole(lease)) this.#leases.delete(lease.key);
      }
      lease.isIdle = true;
    }
    await this.#sync();
    this.#announce();
    const forgetBefore = performance.now() - KEEP_TOTAL_MS;
    for (const [scope, { at }] of this.#totals) if (at < forgetBefore) this.#totals.delete(scope);
  }

  #announce(): void {
    const { available } = this;
    if (available === this.#wasAvailable) return;
    this.#wasAvailable = available;
    this.#options.onChange(available, available ? 'the counters answer' : this.#why);
  }

  /** Tells what happened since the last time. Of several at once each gets one that began after it asked. */
  #sync(): Promise<boolean> {
    this.#syncing ??= this.#syncNow().finally(() => {
      this.#syncing = null;
    });
    return this.#syncing;
  }

  async #syncNow(): Promise<boolean> {
    this.#report();
    const { ttlMs, record } = this.#options;
    const renewAfter = performance.now() - ttlMs() / 4;
    const leases = [...this.#leases.values(), ...this.#retired].filter(
      (lease) => lease.isUncertain || (lease.granted > 0 && (!isTold(lease) || lease.told.at < renewAfter)),
    );
    const accounts = [...this.#accounts.values()].filter((account) => account.charged !== account.told);
    const told = [
      ...leases.map(({ id, granted, used, released, scopes }) => ({ id, granted, used, released, charged: 0, fresh: false, scopes })),
      ...accounts.map(({ id, charged, isFresh, scopes }) => ({ id, granted: 0, used: 0, released: 0, charged, fresh: isFresh, scopes })),
    ];
    const look = [...new Set([...this.#looks, ...told.flatMap((each) => each.scopes)])];
    this.#looks.clear();
    const epoch = this.#epoch;
    const answer = await this.#run<[string, string[], string[], (string | number)[], (string | number)[]]>(SYNC_SCRIPT, {
      epoch,
      proxy: record.proxyId,
      ttlMs: ttlMs(),
      leases: told,
      look,
    });
    if (answer === null || epoch !== this.#epoch) return false;
    const [word, lost, missing, totals, grants] = answer;
    if (word !== 'ok') {
      this.#leave('the counters were lost');
      return false;
    }
    this.#noteTotals(totals.filter((_, index) => index % 3 === 0).map(String), totals.filter((_, index) => index % 3 !== 0).map(Number));
    for (const [index, id] of grants.entries()) if (index % 2 === 0) this.#found(leases, String(id), Number(grants[index + 1]));
    this.#took(leases, told, new Set(lost));
    for (const [index, account] of accounts.entries()) this.#tookCharge(account, told[leases.length + index]?.charged ?? 0, missing);
    if (missing.length > 0)
      await this.#seed(
        [...new Set(missing)],
        accounts.flatMap((account) => account.calls),
      );
    return true;
  }

  /** A grant whose answer was lost: it goes back, whoever had asked has been refused. */
  #found(leases: readonly Lease[], id: string, granted: number): void {
    const lease = leases.find((each) => each.id === id);
    if (!lease || lease.refill !== null) return;
    const found = granted - lease.granted;
    lease.granted = granted;
    this.#exposure += found;
    this.#give(lease, found);
  }

  #took(leases: readonly Lease[], told: readonly { used: number; released: number }[], lost: ReadonlySet<string>): void {
    const at = performance.now();
    for (const [index, lease] of leases.entries()) {
      const { used = 0, released = 0 } = told[index] ?? {};
      addTo(this.#untold, lease.scopes, released - lease.told.released);
      addTo(this.#untoldSpent, lease.scopes, lease.told.used - used);
      lease.told = { used, released, at };
      if (lease.refill === null) lease.isUncertain = false;
      if (lost.has(lease.id) && !lease.isOver) this.#retire(lease);
      if (lease.isOver && isToldWhole(lease)) this.#retired.delete(lease);
    }
  }

  #tookCharge(account: Account, charged: number, missing: readonly string[]): void {
    if (account.scopes.some((scope) => missing.includes(scope))) return;
    addTo(this.#untold, account.scopes, account.told - charged);
    addTo(this.#untoldSpent, account.scopes, account.told - charged);
    account.told = charged;
    account.isFresh = false;
    account.calls = [];
    if (account.charged === charged) this.#accounts.delete(accountKey(account.scopes));
  }

  async #seed(scopes: readonly string[], except: readonly string[]): Promise<boolean> {
    try {
      await this.#options.record.seed({ epoch: this.#epoch, scopes, except });
      return true;
    } catch {
      return false;
    }
  }

  /* ------------------------------------------------------------ joining */

  #leave(why: string): void {
    this.#why = why;
    if (this.#state !== 'joining') this.#state = 'away';
    this.#epoch = '';
  }

  /**
   * Takes part in the epoch that stands. Everything that was leased is given up; what is reserved for calls that may run is told, and
   * counts as spent from then on until they end.
   */
  async #join(): Promise<void> {
    const { record } = this.#options;
    this.#state = 'joining';
    this.#deferred = [];
    this.#unreported = [];
    await this.#syncing;
    for (const lease of [...this.#leases.values(), ...this.#retired]) lease.isOver = true;
    this.#leases.clear();
    this.#retired.clear();
    this.#accounts.clear();
    this.#totals.clear();
    this.#untold.clear();
    this.#unused.clear();
    this.#untoldSpent.clear();
    const held = new Map([...this.#reservations, ...this.#overdue]);
    for (const reservation of held.values()) reservation.lease = null;
    try {
      await record.shipped();
      const outstanding = [...held].map(([callId, { scopes, micros }]) => ({ callId, scopes, micros }));
      const exposure = outstanding.reduce((sum, each) => sum + each.micros, 0);
      const bound = boundFor(exposure);
      if (bound > this.#bound) await record.bound(bound);
      const { epoch } = await record.join(outstanding);
      this.#instance = `${record.proxyId}.${randomUUID().slice(0, 8)}`;
      this.#epoch = epoch;
      this.#exposure = exposure;
      this.#bound = Math.max(this.#bound, bound);
      this.#state = 'joined';
      for (const { callId, scopes, micros } of this.#deferred) this.#charge(callId, scopes, micros, !held.has(callId));
      this.#deferred = [];
      await this.#sync();
    } catch (error) {
      this.#state = 'away';
      this.#why = error instanceof Error ? error.message : String(error);
    }
    this.#announce();
  }

  /** Runs a script; null where Redis did not answer in time. */
  async #run<T>(script: Script, argument: object): Promise<T | null> {
    this.roundTrips++;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), TIMEOUT_MS);
    });
    const begunAt = performance.now();
    try {
      const answer = await Promise.race([this.#evaluate(script, argument), late]);
      // What was confirmed is that Redis was there when the question left.
      if (answer !== null) {
        this.#confirmedAt = Math.max(this.#confirmedAt, begunAt);
        this.#spareLeft = this.#options.spareCalls;
        this.#announce();
      }
      return answer as T | null;
    } catch {
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  async #evaluate({ text, sha }: Script, argument: object): Promise<unknown> {
    const options = { keys: [`${LEDGER_KEYS}epoch`], arguments: [JSON.stringify(argument)] };
    try {
      return await this.#redis.evalSha(sha, options);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('NOSCRIPT')) return this.#redis.eval(text, options);
      throw error;
    }
  }

  #dueAt(): number {
    return this.#options.clock() + this.#options.ttlMs();
  }
}

function connect(url: string) {
  return createClient({
    url,
    RESP: 2,
    // A command that cannot go out now must fail now: nothing is granted on a question that was asked long ago.
    disableOfflineQueue: true,
    socket: { connectTimeout: TIMEOUT_MS, reconnectStrategy: BEAT_MS },
  });
}

/** Binding caps in their order are always those of the same kinds of scopes. */
function keyOf(caps: readonly BindingCap[]): string {
  return caps.map((cap) => cap.scope).join('\n');
}

function accountKey(scopes: readonly string[]): string {
  return [...scopes].sort().join('\n');
}

/** A slice is small in money: what a crash may lose, and what others may be refused for a moment. */
function sliceFor({ caps, taken, since }: Lease): number {
  const demand = (taken / Math.max(0.1, performance.now() - since)) * SLICE_MS;
  return Math.floor(caps.reduce<number>((least, cap) => (cap === null ? least : Math.min(least, cap * SLICE_OF_CAP)), demand));
}

function boundFor(micros: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(micros, LEAST_BOUND)));
}

function isTold({ used, released, told }: Lease): boolean {
  return used === told.used && released === told.released;
}

/** Nothing of it is open, and Redis knows. */
function isToldWhole(lease: Lease): boolean {
  return !lease.isUncertain && lease.granted === lease.used + lease.released && isTold(lease);
}

function addTo(sums: Map<string, number>, keys: readonly string[], micros: number): void {
  if (micros === 0) return;
  for (const key of keys) {
    const sum = (sums.get(key) ?? 0) + micros;
    if (sum === 0) sums.delete(key);
    else sums.set(key, sum);
  }
}
