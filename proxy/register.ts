/**
 * The calls that this proxy knows: the open ones, and those that ended a short while ago. Finds a repeated call by its key, so
 * that it gets the same record and never a second execution, and a call id that is used again for other arguments. Bounded: the
 * oldest ended calls go first, then the oldest held ones nobody waits for (control has those in full).
 */
import type { CallFacts, GateReason, HeldCall, JudgedFacts, KnownCall } from '../control/contract.ts';
import type { JsonObject, Micros, Risk, Verdict } from '../policies/index.ts';

export interface CallRecord {
  readonly id: string;
  readonly key: string;
  readonly slot: string | null;
  readonly agentId: string;
  readonly gatewayId: string | null;
  state: 'judging' | 'held' | 'running' | 'ended';
  verdict: Verdict;
  risk: Risk;
  reasons: readonly GateReason[];
  approval: { id: string; number: number } | null;
  /** End of the inline wait of a held call, epoch milliseconds. */
  waitingUntil: number;
  estimatedMicros: number;
  /** Upper bound of its cost, where no list has its price (a model call). */
  estimate: ((left: Micros | null) => Micros | null) | null;
  /** Keys of the caps that bind it. */
  scopes: readonly string[];
  /** The call and the caller's own arguments; null where only control has them. */
  call: CallFacts | null;
  arguments: JsonObject | null;
  judged: JudgedFacts | null;
  /** What was made of arguments for the record, once. */
  recorded: { of: JsonObject; input: JsonObject } | null;
  /** The approver's edit that the caller was told to run. */
  editedArguments: JsonObject | null;
  /** Counted as running already: it is allowed, and its intent is being recorded. */
  starting: boolean;
  /** Ends when what is happening to the call now has happened; never rejects. */
  settling: Promise<void> | null;
}

const NONE: readonly never[] = Object.freeze([]);

export class Register {
  readonly #byId = new Map<string, CallRecord>();
  readonly #byKey = new Map<string, CallRecord>();
  readonly #bySlot = new Map<string, CallRecord>();
  /** Oldest first. */
  readonly #ended = new Line<CallRecord>();
  /** Held calls whose inline wait is over, oldest first. */
  readonly #resting = new Line<CallRecord>();
  readonly #running = new Map<string, number>();
  readonly #limits: { endedMax: number; openMax: number };

  constructor(limits: { endedMax: number; openMax: number }) {
    this.#limits = limits;
  }

  /** Takes up what control knows of the time before a restart. @param scopesOf keys of the caps that bound a call. */
  load(calls: readonly KnownCall[], scopesOf: (call: KnownCall) => readonly string[]): void {
    for (const known of calls) {
      if (this.#byId.has(known.id)) continue;
      // The process ended between the record of the hold and its approval: nobody was answered, and the call can be made again.
      if (known.state === 'held' && known.approval === null) continue;
      this.#insert({
        id: known.id,
        key: known.key,
        slot: known.slot,
        agentId: known.agentId,
        gatewayId: known.gatewayId,
        state: known.state,
        verdict: known.verdict,
        risk: known.risk,
        reasons: known.reasons,
        approval: known.approval,
        waitingUntil: known.waitingUntil ?? 0,
        estimatedMicros: known.estimatedCost,
        estimate: null,
        scopes: scopesOf(known),
        call: null,
        arguments: null,
        judged: null,
        recorded: null,
        editedArguments: known.editedArguments,
        starting: false,
        settling: null,
      });
    }
  }

  /** Adds a call that is about to be judged. */
  add(call: CallFacts, args: JsonObject | null): CallRecord {
    const record: CallRecord = {
      id: call.id,
      key: call.key,
      slot: call.slot,
      agentId: call.agentId,
      gatewayId: call.gatewayId,
      state: 'judging',
      verdict: 'deny',
      risk: 'red',
      reasons: [],
      approval: null,
      waitingUntil: 0,
      estimatedMicros: 0,
      estimate: null,
      scopes: [],
      call,
      arguments: args,
      judged: null,
      recorded: null,
      editedArguments: null,
      starting: false,
      settling: null,
    };
    this.#insert(record);
    return record;
  }

  /** Takes up a held call that only control knew. */
  adopt({ call, arguments: args, state, end }: HeldCall): CallRecord {
    const record = this.add(call, args);
    record.approval = { id: state.approvalId, number: state.approvalNumber };
    record.waitingUntil = state.waitingUntil;
    record.verdict = end === null ? 'hold' : end.ran ? 'allow' : 'deny';
    record.reasons = end?.reasons ?? [];
    this.move(record, end !== null ? 'ended' : state.redeemedBy === call.id ? 'running' : 'held');
    record.editedArguments = record.state === 'running' ? state.editedArguments : null;
    return record;
  }

  byId(id: string): CallRecord | undefined {
    return this.#byId.get(id);
  }

  byKey(key: string): CallRecord | undefined {
    return this.#byKey.get(key);
  }

  /** The call that used this call id first, whatever its arguments. */
  bySlot(slot: string): CallRecord | undefined {
    return this.#bySlot.get(slot);
  }

  /** Calls of an agent that run now, or are about to. */
  running(agentId: string): number {
    return this.#running.get(agentId) ?? 0;
  }

  /**
   * Takes one of the agent's places for a call that was allowed, before anything else is waited for: of many calls at once no
   * more than `max` run. `move` or `leave` gives it back.
   */
  claim(record: CallRecord, max: number): boolean {
    if (this.running(record.agentId) >= max) return false;
    record.starting = true;
    this.#count(record, 1);
    return true;
  }

  /** Gives a place back that was not used. */
  leave(record: CallRecord): void {
    if (!record.starting) return;
    this.#count(record, -1);
    record.starting = false;
  }

  /** How many calls are held now, by agent. */
  held(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { state, agentId } of this.#byId.values()) if (state === 'held') counts.set(agentId, (counts.get(agentId) ?? 0) + 1);
    return counts;
  }

  /** Calls that have not ended. */
  get open(): number {
    return this.#byId.size - this.#ended.size;
  }

  /** Makes room for one more open call where that loses nothing. @returns false where there is none. */
  hasRoom(): boolean {
    if (this.open < this.#limits.openMax) return true;
    const oldest = this.#resting.first();
    if (oldest === undefined) return false;
    this.remove(oldest);
    return true;
  }

  move(record: CallRecord, state: CallRecord['state']): void {
    this.#count(record, -1);
    record.starting = false;
    record.state = state;
    this.#count(record, 1);
    this.#resting.delete(record);
    if (state !== 'ended') return;
    // A call that was forwarded without a call id is never asked for again: to keep it would only cost memory.
    if (record.slot === null && record.call !== null && record.call.entry !== 'openclaw') {
      this.remove(record);
      return;
    }
    record.call = null;
    record.arguments = null;
    record.judged = null;
    record.recorded = null;
    record.estimate = null;
    record.scopes = NONE;
    // A call that ran is answered for as a duplicate, without the reasons why it was let through.
    if (record.verdict !== 'deny') record.reasons = NONE;
    this.#ended.add(record);
    const oldest = this.#ended.size > this.#limits.endedMax ? this.#ended.first() : undefined;
    if (oldest !== undefined) this.remove(oldest);
  }

  /** Nobody waits for this held call any more: control alone keeps its arguments. */
  rest(record: CallRecord): void {
    record.arguments = null;
    record.judged = null;
    record.recorded = null;
    this.#resting.add(record);
  }

  /** Forgets a call, so that it can be tried again. */
  remove(record: CallRecord): void {
    this.#count(record, -1);
    this.#ended.delete(record);
    this.#resting.delete(record);
    this.#byId.delete(record.id);
    if (record.slot === null) return;
    if (this.#byKey.get(record.key) === record) this.#byKey.delete(record.key);
    if (this.#bySlot.get(record.slot) === record) this.#bySlot.delete(record.slot);
  }

  #insert(record: CallRecord): void {
    this.#byId.set(record.id, record);
    // Without a call id every request is a call of its own, and nobody asks for it by its key.
    if (record.slot !== null) {
      this.#byKey.set(record.key, record);
      if (!this.#bySlot.has(record.slot)) this.#bySlot.set(record.slot, record);
    }
    this.#count(record, 1);
    if (record.state === 'ended') this.#ended.add(record);
  }

  #count(record: CallRecord, by: 1 | -1): void {
    if (record.state !== 'running' && !record.starting) return;
    const count = (this.#running.get(record.agentId) ?? 0) + by;
    if (count > 0) this.#running.set(record.agentId, count);
    else this.#running.delete(record.agentId);
  }
}

/**
 * Things in the order in which they came, taken from the front or out of the middle. A Set keeps that order, but a new iterator steps
 * over every place that was deleted at its front: 25 µs a call with 50,000 remembered. One iterator that goes on steps over each once.
 */
class Line<T> {
  readonly #items = new Set<T>();
  #walk = this.#items.values();
  /** Where the walk is, unless that one was deleted. */
  #at: T | undefined;

  get size(): number {
    return this.#items.size;
  }

  add(item: T): void {
    this.#items.add(item);
  }

  delete(item: T): void {
    this.#items.delete(item);
    // Added again it stands at the end, and the walk comes to it there.
    if (item === this.#at) this.#at = undefined;
  }

  /** The one that came first of those that are left. */
  first(): T | undefined {
    if (this.#at !== undefined) return this.#at;
    let step = this.#walk.next();
    // A walk that came to its end sees nothing that is added later.
    if (step.done === true) {
      this.#walk = this.#items.values();
      step = this.#walk.next();
    }
    this.#at = step.done === true ? undefined : step.value;
    return this.#at;
  }
}
