/**
 * Admission: the single story of a call. Every entry point comes in through `admit`, waits through `take`, and ends through
 * `complete` or `cancel`; nothing else lets a call through.
 *
 *   admit   is there a picture? → is the call known? → judge
 *   judge   decide → deny | hold | run
 *   run     reserve → redeem the approval, if it needed one → record the intent → allowed
 *   hold    record → open the approval → held; the caller comes back with `take`
 *   take    wait → judge again, with the approval as one more fact
 *
 * Invariants:
 * - An allowed call has its intent in the journal first; a yellow, red or priced one on the disk (SPEC 10).
 * - A held call runs only after a person's approval was redeemed for this very call, and was judged again after the decision.
 * - What fails, refuses; what was reserved for it is released.
 */
import type { AgentPicture, CallFacts, GateReason, HoldState, JudgedFacts, ModelMeter, WireCall } from '../control/contract.ts';
import {
  type Decision,
  decide,
  type Facts,
  type JsonObject,
  labelsOf,
  type Micros,
  type Reason,
  type ReasonCode,
  type Risk,
  recordJudgement,
  redactText,
  summaryOf,
} from '../policies/index.ts';
import type { Canaries } from './canaries.ts';
import { bindingCapsOf, factsOf, leftOf, scopesOf, toolCallOf } from './facts.ts';
import { Fingerprint, type Prints } from './fingerprint.ts';
import type { Holds } from './holds.ts';
import { OUT_OF_TOUCH, rootOf } from './identity.ts';
import { type Joins, joinKeyOf } from './joins.ts';
import { type Journal, JournalUnavailable } from './journal.ts';
import type { Labels } from './labels.ts';
import type { Ledger } from './ledger.ts';
import { linksUnder } from './links.ts';
import type { Openings } from './openings.ts';
import type { Others, Question, RunningElsewhere } from './others.ts';
import type { Rates } from './rates.ts';
import { previewOf, recordedInput, recordedText } from './record.ts';
import type { CallRecord, Register } from './register.ts';
import type { Retries } from './retries.ts';
import type { Shadow } from './shadow.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Spawns } from './spawns.ts';

/** A call as an entry point hands it in: parsed, and with its identity settled. */
export interface CallRequest {
  entry: CallFacts['entry'];
  agent: AgentPicture;
  gatewayId: string | null;
  sessionKey: string;
  runId: string | null;
  taskId: string | null;
  callId: string | null;
  traceId: string | null;
  /** The caller's span, where it named one. */
  parentSpanId?: string;
  tool: string;
  arguments: JsonObject;
  toolKind: string | null;
  cwd: string | null;
  workspace: string | null;
  /** The MCP server that the call goes to; null = none. */
  upstream: string | null;
  /** Hash of the tool's definition, where one is pinned. */
  definition: string | null;
  /** The agent's gate should have asked about this call and did not. */
  ungated: boolean;
  /** Of a model call: the upstream and the model that it asks. */
  model?: { provider: string; name: string };
  /**
   * Of a call whose price no list has: the upper bound of its cost, asked anew at each judgement; null = it has none.
   * @param left what is left of the tightest cap that binds it; null = none does.
   */
  estimate?: (left: Micros | null) => Micros | null;
  /** Addresses that hosts resolved to, where the entry point has asked. */
  dns?: CallFacts['dns'];
  /** Of a call inside OpenClaw: how the model's words name it. */
  wire?: WireCall;
}

interface Answered {
  id: string;
  risk: Risk;
  reasons: readonly GateReason[];
}
/** `arguments`: the approver's edit, to be run instead of the caller's own; null = run your own. */
export type Allowed = Answered & { verdict: 'allow'; arguments: JsonObject | null };
/** `waiting` is false once the inline wait is over: end the turn, the agent is told through its session. */
export type Held = Answered & { verdict: 'hold'; approval: { id: string; number: number }; waiting: boolean };
/** `canary`: it was none of the agent's. `duplicate`: it ran before, or its call id was used for another call. `unavailable`: we lack something to judge with; try again. */
export type Denied = Answered & { verdict: 'deny'; kind: 'policy' | 'duplicate' | 'unavailable' | 'canary' };
export type Admission = Allowed | Held | Denied;

export interface Outcome {
  /** `unknown`: it was sent, and nobody will say what came of it. */
  status: 'success' | 'failed' | 'unknown';
  output: string | null;
  error: string | null;
  durationMs: number;
  /** What it cost, micro-dollars; null = nobody said, and the estimate stands. */
  costMicros: number | null;
  /** Of a model call: how it came to its cost. */
  meter?: ModelMeter;
  /** The caller ended it, so it says nothing about the tool: no failure that a retry could repeat. */
  endedByCaller?: true;
}

/** What a gate works with. */
export interface Collaborators {
  snapshot: Snapshot;
  ledger: Ledger;
  holds: Pick<Holds, 'open' | 'find' | 'wait' | 'defer' | 'withdraw' | 'redeem'>;
  journal: Pick<Journal, 'proxyId' | 'append'>;
  register: Register;
  rates: Rates;
  labels: Labels;
  retries: Retries;
  joins: Joins;
  others: Pick<Others, 'ask' | 'askOwner'>;
  shadow: Pick<Shadow, 'see'>;
  openings: Openings;
  spawns: Spawns;
  canaries: Canaries;
  /** Hears how long the answer to a call took, milliseconds. */
  answered: (entry: CallFacts['entry'], ms: number) => void;
  /** Names a new call. */
  newId: () => string;
  /** Epoch milliseconds. */
  clock: () => number;
  limits: { inputMaxChars: number; outputMaxChars: number };
}

/** Others take the last of a cap this often between our look and our grasp: then we say that it is contended. */
const RACES_MAX = 5;
const NEVER = new AbortController().signal;
const NO_LINKS: Facts['files']['symlinks'] = Object.freeze({});
const AWAY = 'Nothing ran; try again shortly.';

export class Gatekeeper {
  readonly #with: Collaborators;
  readonly #lastAdmittedAt = new Map<string, number>();
  #fingerprint: Fingerprint | null = null;
  /** No more than there are open calls. */
  readonly #unrecorded = new Map<CallRecord, Outcome>();

  constructor(collaborators: Collaborators) {
    this.#with = collaborators;
  }

  /** Sets the key of the call digests, which control hands out; until then everything is refused. */
  useDigestKey(key: string): void {
    this.#fingerprint = new Fingerprint(key);
  }

  /** Judges a call: allowed and recorded, held for a person, or denied. Never rejects. */
  async admit(request: CallRequest): Promise<Admission> {
    const startedAt = performance.now();
    const admission = await this.#admit(request);
    if (request.agent.canary === undefined) this.#with.answered(request.entry, performance.now() - startedAt);
    return admission;
  }

  async #admit(request: CallRequest): Promise<Admission> {
    const { snapshot, register, rates, newId, clock } = this.#with;
    const id = newId();
    const at = clock();
    const picture = snapshot.current(at);
    if (!picture || !this.#fingerprint) {
      return unavailable(id, 'SNAPSHOT_STALE', OUT_OF_TOUCH);
    }
    if (request.agent.canary !== undefined) return this.#refuseCanary(request, id, at);
    const prints = this.#fingerprint.of(request, id);
    const known = register.byKey(prints.key);
    if (known) return this.#again(known);
    if (prints.slot !== null && register.bySlot(prints.slot)) {
      return duplicate(id, 'This call id was used in this run for a call with other arguments. A new call needs a new call id.');
    }
    if (!register.hasRoom()) return unavailable(id, 'RATE_LIMIT', `Too many calls are open at this proxy. ${AWAY}`);

    rates.count(request.agent.id, request.tool, at);
    const call = callOf(request, id, prints, at);
    const record = register.add(call, request.arguments);
    record.estimate = request.estimate ?? null;
    return this.#once(record, () => this.#judge(record, call, request.arguments, picture, null));
  }

  /** A canary has come as far as a call can come without being judged. It is recorded once, and refused however often it comes. */
  async #refuseCanary({ agent, entry }: CallRequest, id: string, at: number): Promise<Denied> {
    const { canaries, journal } = this.#with;
    const proven = entry === 'mission-control' ? 'mcp' : entry;
    if (canaries.take(agent, entry, at))
      await journal.append({ type: 'canary', at, agentId: agent.id, entry: proven }, false).catch(() => {});
    const reason: Reason = { code: 'RULE', message: 'A canary is always refused.', policyPath: 'builtin.canary' };
    return { verdict: 'deny', id, risk: 'red', reasons: [reason], kind: 'canary' };
  }

  /**
   * An MCP call that the agent's own gate was asked about a moment ago: its decision counts for this call too, once.
   * @returns the record that it joined, or null where there is none: then it is judged like any other.
   */
  async join(agentId: string, tool: string, args: JsonObject): Promise<CallRecord | null> {
    const { joins, register, others, clock } = this.#with;
    const key = joinKeyOf(agentId, tool, args);
    const id = joins.take(key, clock());
    const record = id === null ? elsewhere(await others.ask({ ask: 'join', key })) : register.byId(id);
    return record?.state === 'running' && this.#stopOf(agentId) === null ? record : null;
  }

  /** A call of the gate that runs at another proxy, which hears of its end; null where there is none. Never rejects. */
  async findElsewhere(callId: string): Promise<CallRecord | null> {
    const found = (await this.#with.others.askOwner(callId)) ?? null;
    return found?.gatewayId == null ? null : elsewhere(found);
  }

  /** What another proxy asks about calls that were let run here. */
  answer(question: Question): RunningElsewhere | null {
    const { joins, openings, register, clock } = this.#with;
    const idOf = () => {
      switch (question.ask) {
        case 'join':
          return joins.take(question.key, clock());
        case 'opening':
          return openings.find(question.owner, question.host, question.port)?.callId ?? null;
        case 'running':
          return question.callId;
      }
    };
    const record = register.byId(idOf() ?? '');
    if (record?.state !== 'running') return null;
    return { callId: record.id, agentId: record.agentId, gatewayId: record.gatewayId, risk: record.risk };
  }

  /** Whether a call that was allowed may still be carried on with: nothing that stops its agent has come about since. */
  mayContinue(record: CallRecord): GateReason | null {
    return this.#stopOf(record.agentId);
  }

  /**
   * Comes back for a held call: waits for the decision, judges again, and lets it run or not. Never rejects.
   * @param waitMs how long the caller is willing to wait. @param gone fires when the caller has left.
   */
  async take(record: CallRecord, waitMs: number, gone: AbortSignal): Promise<Admission> {
    const { holds, clock } = this.#with;
    await record.settling;
    if (record.state !== 'held') return this.#again(record);
    if (record.approval === null)
      return unavailable(record.id, 'SNAPSHOT_STALE', `The call has no approval to wait for. ${AWAY}`, record.risk);
    // Woken at the end of the inline wait too, so that a caller with a longer poll hears of it in time.
    const inlineMs = record.waitingUntil - clock();
    const state = await holds.wait(record.id, record.approval.id, inlineMs > 0 ? Math.min(waitMs, inlineMs) : 0, gone).catch(() => null);
    // Nothing runs for a caller that has left, and nothing is decided while control is away: the hold stays.
    if (gone.aborted || state === null) return held(record, true);
    if (state.status === 'pending' && !state.deferred && clock() < state.waitingUntil) return held(record, true);
    return this.#once(record, () => this.#settleHold(record, state));
  }

  /**
   * Ends the inline wait of a held call for which nobody waits: the agent is told through its session. Never rejects.
   * @returns held, or what came of a decision that was there first.
   */
  async endWait(record: CallRecord): Promise<Admission> {
    await record.settling;
    if (record.state !== 'held') return this.#again(record);
    const state = await this.#with.holds.defer(record.id).catch(() => null);
    return state === null ? held(record, false) : this.#once(record, () => this.#settleHold(record, state));
  }

  /** A call by its id: one of ours, or a held one that an earlier process or another proxy left at control. @throws ControlUnavailable */
  async find(id: string): Promise<CallRecord | null> {
    const { register, holds } = this.#with;
    const own = register.byId(id);
    if (own) return own;
    const known = await holds.find(id);
    return known === null ? null : (register.byId(id) ?? register.adopt(known));
  }

  /** Whether a call runs here: the others know it as held at the most. */
  runs(id: string): boolean {
    return this.#with.register.byId(id)?.state === 'running';
  }

  /**
   * Ends a call that was allowed.
   * @returns false where it is not running: it ended before, or never ran. @throws JournalUnavailable: not recorded, say it again.
   */
  async complete(record: CallRecord, outcome: Outcome): Promise<boolean> {
    if (record.state === 'held') await this.#catchUp(record);
    const { call } = record;
    try {
      if (!(await this.#settle(record, outcome))) return false;
    } catch (error) {
      // The caller of the gate tells its outcome again; of what we have sent ourselves nobody else can tell.
      if (call !== null && call.entry !== 'openclaw') this.#unrecorded.set(record, outcome);
      throw error;
    }
    if (call !== null) this.#learn(call, outcome);
    return true;
  }

  /** Records the outcomes of forwarded calls that the journal could not take when they came. Never rejects. */
  async completeLate(): Promise<void> {
    for (const [record, outcome] of [...this.#unrecorded]) {
      this.#unrecorded.delete(record);
      const isTaken = await this.complete(record, outcome).then(
        () => true,
        () => false,
      );
      if (!isTaken) return;
    }
  }

  /** A call that is held here may have been taken up, and let run, at another proxy, whose caller comes to us with its outcome. */
  async #catchUp(record: CallRecord): Promise<void> {
    const known = await this.#with.holds.find(record.id).catch(() => null);
    if (known?.end !== null || known.state.redeemedBy !== record.id || record.state !== 'held') return;
    record.verdict = 'allow';
    record.editedArguments = known.state.editedArguments;
    this.#with.register.move(record, 'running');
  }

  /** What an outcome says about the next call of its kind. */
  #learn({ entry, agentId, sessionKey, tool }: CallFacts, { status, error, output, endedByCaller }: Outcome): void {
    const { retries, clock } = this.#with;
    // A provider that fails is tried again by the client, by itself: an outage must not silence every agent as a loop.
    if (entry === 'model' || endedByCaller === true) return;
    if (status === 'success') retries.succeeded(agentId, sessionKey, tool);
    if (status === 'failed') retries.failed(agentId, sessionKey, tool, error ?? output, clock());
  }

  /** Records the end of a running call. @returns and @throws as complete() does. */
  async #settle(record: CallRecord, outcome: Outcome): Promise<boolean> {
    const { ledger, journal, register, openings, clock, limits } = this.#with;
    if (record.state !== 'running' || record.settling !== null) return false;
    const { id, scopes } = record;
    const cost = outcome.costMicros ?? record.estimatedMicros;
    const output = recordedText(outcome.output, limits.outputMaxChars);
    const error = recordedText(outcome.error, limits.outputMaxChars);
    const { status, durationMs, meter, endedByCaller } = outcome;
    const ended = {
      type: 'completed' as const,
      at: clock(),
      id,
      status,
      output,
      error,
      durationMs,
      cost,
      scopes,
      meter,
      ...(endedByCaller && { endedByCaller }),
    };
    const recording = journal.append(ended, false);
    // Of two outcomes of one call the second finds this one under way.
    record.settling = recording.catch(() => {});
    try {
      await recording;
    } finally {
      record.settling = null;
    }
    register.move(record, 'ended');
    if (status === 'failed') this.#with.spawns.release(id);
    openings.close(id);
    ledger.settle(id, cost, scopes);
    return true;
  }

  /** The caller takes its call back: a held one never runs; of a running one nobody will hear again. @throws ControlUnavailable */
  async cancel(record: CallRecord, reason: string): Promise<void> {
    const { holds, journal, register, clock } = this.#with;
    await record.settling;
    if (record.state === 'running') {
      await this.#settle(record, { status: 'failed', output: null, error: reason, durationMs: 0, costMicros: null });
      return;
    }
    if (record.state !== 'held') return;
    await holds.withdraw(record.id, reason);
    if (record.state !== 'held') return;
    end(register, record, [reasonOf('APPROVAL_INVALID', `The call was withdrawn: ${reason}`)]);
    await journal.append({ type: 'withdrawn', at: clock(), id: record.id, reason }, false);
  }

  /** A running call that still has something to show for itself keeps what is reserved for it. */
  renew(record: CallRecord): void {
    if (record.state === 'running') this.#with.ledger.renew(record.id);
  }

  /** What is left of the tightest cap of a running call, besides what is reserved for it; null = no cap binds it. */
  left(record: CallRecord): Micros | null {
    const { snapshot, ledger, clock } = this.#with;
    const picture = snapshot.current(clock());
    const agent = picture?.agent(record.agentId);
    if (!picture || !agent || record.call === null) return 0;
    const caps = bindingCapsOf(agent, record.call, scopesOf(record.call, picture.policy, record.call.at), picture);
    return leftOf(caps, (scope) => ledger.spent(scope));
  }

  /** When each agent's last call was admitted, for the receipt of a stop. */
  lastAdmitted(): ReadonlyMap<string, number> {
    return this.#lastAdmittedAt;
  }

  /* ------------------------------------------------------------ judge */

  /** Judges a call, with the approval it came back with if any, and carries the decision out. */
  async #judge(record: CallRecord, call: CallFacts, args: JsonObject, picture: Picture, hold: HoldState | null): Promise<Admission> {
    const { ledger, register } = this.#with;
    if (call.ungated === true && picture.policy.document.failModes.gate === 'refuse') {
      const why = "The gate in this agent's OpenClaw did not ask about this call, and the policy refuses what it did not ask about.";
      return this.#deny(record, call, args, [{ code: 'GATE_UNPROVEN', message: why, policyPath: 'failModes.gate' }]);
    }
    const effective = hold?.editedArguments ?? args;
    let hasLooked = false;
    for (let race = 0; race < RACES_MAX; race++) {
      const judgement = await this.#decide(record, call, effective, picture, hold);
      if (judgement === null)
        return this.#deny(record, call, effective, [reasonOf('AGENT_STOPPED', 'This agent is no longer registered.')]);
      const { decision, judged, caps, facts } = judgement;
      if (hold === null && race === 0) this.#with.shadow.see(toolCallOf(call, effective), facts, decision, call);
      const { mappedTool } = decision.classification;
      const judgedCall = call.mappedTool === mappedTool ? call : { ...call, mappedTool };
      record.call = judgedCall;
      record.judged = judged;
      record.risk = decision.risk;
      record.verdict = decision.verdict;
      record.reasons = judged.reasons;
      record.estimatedMicros = decision.estimatedCost;
      record.scopes = caps.map((cap) => cap.scope);

      // Before a cap of a shared ledger says no, what others gave back meanwhile is looked at.
      if (!hasLooked && decision.reasons.some((reason) => reason.code.startsWith('BUDGET_'))) {
        hasLooked = true;
        if (await ledger.look(record.scopes)) continue;
      }
      if (decision.verdict === 'deny') return this.#deny(record, judgedCall, effective, judged.reasons);
      if (!ledger.available && !(isSpared(decision, picture) && ledger.spare())) return this.#withoutLedger(record, hold);
      if (decision.verdict === 'hold') return this.#hold(record, judgedCall, args, judged, decision, hold);
      // Each of these two looks and takes in one step: what others take meanwhile is seen by the next judgement.
      if (!register.claim(record, picture.policy.maxConcurrentPerAgent)) continue;
      if (judgedCall.mappedTool === 'sessions_spawn' && !this.#claimSpawn(record, picture)) {
        register.leave(record);
        continue;
      }
      const reserved = await ledger.reserve(record.id, caps, decision.estimatedCost, hold?.allowance ?? 0);
      if (reserved === 'reserved') {
        const admission = await this.#run(record, judgedCall, effective, judged, decision, hold);
        if (admission.verdict !== 'allow') {
          ledger.release(record.id);
          this.#with.spawns.release(record.id);
        }
        register.leave(record);
        return admission;
      }
      // Another call took the rest of a cap meanwhile: judge again with what is left now.
      register.leave(record);
      this.#with.spawns.release(record.id);
      if (reserved === 'unavailable') return this.#withoutLedger(record, hold);
    }
    return this.#giveUp(record, 'LEDGER_UNAVAILABLE', `The budget is contended right now. ${AWAY}`);
  }

  /** The place of a sub-agent that is about to be started; others may have taken the last one since the judgement. */
  #claimSpawn(record: CallRecord, picture: Picture): boolean {
    const { spawns, clock } = this.#with;
    const agent = picture.agent(record.agentId);
    if (!agent) return false;
    const { maxPerParent, maxActive } = picture.policy.document.spawnLimits;
    const room = { parent: maxPerParent - agent.children, active: maxActive - picture.system.activeAgents };
    return spawns.claim(record.id, agent.id, room, isKnownTo(agent, picture), clock());
  }

  /** The counters cannot be reached: nothing is held or run that may cost or harm; what waits for a person goes on waiting (SPEC 5). */
  #withoutLedger(record: CallRecord, hold: HoldState | null): Admission {
    if (hold !== null) return held(record, true);
    return this.#giveUp(record, 'LEDGER_UNAVAILABLE', `The budget counters cannot be reached. ${AWAY}`);
  }

  /** The judgement itself. Where a path leads is looked up only for a call that would otherwise pass, and judged once more. */
  async #decide(record: CallRecord, call: CallFacts, args: JsonObject, picture: Picture, hold: HoldState | null) {
    const { ledger, register, rates, labels, retries, clock } = this.#with;
    const agent = picture.agent(call.agentId);
    if (!agent) return null;
    const now = clock();
    const scopes = scopesOf(call, picture.policy, now);
    const caps = bindingCapsOf(agent, call, scopes, picture);
    const spent = (scope: string) => ledger.spent(scope);
    const sources = {
      agent,
      call,
      estimatedCost: record.estimate === null ? undefined : record.estimate(leftOf(caps, spent)),
      arguments: args,
      scopes,
      spent,
      settled: (scope: string) => ledger.settled(scope),
      picture,
      hold,
      concurrent: register.running(call.agentId),
      callsLastMinute: rates.lastMinute(call.agentId, call.tool, now),
      labels: labels.of(call, now),
      spawning: this.#with.spawns.count(agent.id, isKnownTo(agent, picture), now),
      sameErrorRetries: retries.count(call.agentId, call.sessionKey, call.tool, now, picture.policy.document.loopDetection.retryWindowMs),
      now,
    };
    const toolCall = toolCallOf(call, args);
    let facts = factsOf(sources, NO_LINKS);
    let decision = decide(toolCall, facts, picture.policy);
    if (decision.verdict === 'allow' && decision.classification.paths.length > 0) {
      const symlinks = await linksUnder(decision.classification.paths, call.workspace);
      if (symlinks !== null) {
        facts = factsOf(sources, symlinks);
        decision = decide(toolCall, facts, picture.policy);
      }
    }
    const adds = decision.verdict === 'allow' ? labelsOf(toolCall, decision.classification, picture.policy) : [];
    const judged = this.#judged(record, decision, facts, picture.policyVersion, args, hold);
    return { decision, facts, caps, judged: adds.length === 0 ? judged : { ...judged, labels: adds } };
  }

  /** What is kept of a judgement: its sentences quote the call, and the approval carries its arguments, so both are redacted. */
  #judged(
    record: CallRecord,
    decision: Decision,
    facts: Facts,
    policyVersion: string,
    args: JsonObject,
    hold: HoldState | null,
  ): JudgedFacts {
    const { verdict, risk, reasons, estimatedCost } = decision;
    const { approval } = facts;
    const input = this.#inputOf(record, args);
    const kept = approval && { ...approval, arguments: input };
    const judgement = recordJudgement(decision, { ...facts, approval: kept }, input === args);
    return {
      verdict,
      risk,
      reasons: verdict === 'allow' && approval === null ? reasons : reasons.map(redactedReason),
      policyVersion,
      estimatedCost,
      // The record of a hold shows the caller's own arguments; what was judged after an edit are those of the approver.
      facts: hold?.editedArguments && verdict === 'hold' ? { ...judgement, arguments: input } : judgement,
    };
  }

  /** Arguments as they are recorded. A call is recorded more than once; the work is done once. */
  #inputOf(record: CallRecord, args: JsonObject): JsonObject {
    if (record.recorded?.of !== args) record.recorded = { of: args, input: recordedInput(args, this.#with.limits.inputMaxChars) };
    return record.recorded.input;
  }

  /* ------------------------------------------------------------ deny, hold, run */

  async #deny(record: CallRecord, call: CallFacts, args: JsonObject, reasons: readonly GateReason[]): Promise<Denied> {
    const { journal, register, clock } = this.#with;
    const input = this.#inputOf(record, args);
    const judged = record.judged ?? { verdict: 'deny', risk: record.risk, reasons, policyVersion: '', estimatedCost: 0, facts: null };
    end(register, record, reasons);
    // A refusal that cannot be recorded is still a refusal.
    await journal
      .append({ type: 'denied', at: clock(), call, judged, input, approvalId: record.approval?.id ?? null }, false)
      .catch(() => {});
    return { verdict: 'deny', id: record.id, risk: record.risk, reasons, kind: 'policy' };
  }

  /**
   * Records that the call is held and opens its approval, or attaches it to the one that is pending or granted for its digest.
   * @param insufficient the approval that the call came back with and that did not release it.
   */
  async #hold(
    record: CallRecord,
    call: CallFacts,
    args: JsonObject,
    judged: JudgedFacts,
    decision: Decision,
    insufficient: HoldState | null,
  ): Promise<Admission> {
    const { holds, journal, register, snapshot, clock } = this.#with;
    const input = this.#inputOf(record, args);
    let state: HoldState;
    try {
      await journal.append({ type: 'held', at: clock(), call, judged, input, approvalId: null }, false);
      state = await holds.open({
        proxyId: journal.proxyId,
        call,
        judged,
        arguments: args,
        redacted: input,
        preview: previewOf(decision.classification),
        summary: summaryOf(input),
        insufficient: insufficient?.approvalId ?? null,
      });
    } catch (error) {
      if (error instanceof JournalUnavailable)
        return this.#giveUp(
          record,
          'JOURNAL_UNAVAILABLE',
          `This needs an approval, and the call could not be recorded to ask for it. ${AWAY}`,
        );
      return this.#giveUp(record, 'SNAPSHOT_STALE', `This needs an approval, and control cannot be reached to ask for it. ${AWAY}`);
    }
    record.approval = { id: state.approvalId, number: state.approvalNumber };
    record.waitingUntil = state.waitingUntil;
    register.move(record, 'held');
    const picture = snapshot.current(clock());
    if (state.status === 'approved' && picture) return this.#judge(record, call, args, picture, state);
    return held(record, !state.deferred);
  }

  /** Redeem, then record, then it may run; a stop that arrives in between wins. */
  async #run(
    record: CallRecord,
    call: CallFacts,
    args: JsonObject,
    judged: JudgedFacts,
    { classification }: Decision,
    hold: HoldState | null,
  ): Promise<Admission> {
    const { holds, joins, openings, journal, register, labels, clock } = this.#with;
    if (hold !== null) {
      const redeemed = await holds.redeem(hold.approvalId, record.id).catch(() => null);
      if (redeemed === null) return held(record, true);
      if (!redeemed.granted) return this.#holdAnew(record, call);
      record.editedArguments = hold.editedArguments;
    }
    const input = this.#inputOf(record, args);
    const isDurable = judged.risk !== 'green' || judged.estimatedCost > 0;
    try {
      const approvalId = hold?.approvalId ?? null;
      await journal.append({ type: 'intent', at: clock(), call, judged, input, approvalId }, isDurable);
    } catch {
      if (hold !== null) return held(record, true);
      return this.#giveUp(record, 'JOURNAL_UNAVAILABLE', `The call could not be recorded, and what is not recorded does not run. ${AWAY}`);
    }
    const stopped = this.#stopOf(call.agentId);
    if (stopped !== null) {
      return this.#refuse(record, [stopped]);
    }
    register.move(record, 'running');
    if (judged.labels) labels.add(call, judged.labels, clock());
    if (call.entry === 'openclaw' && call.upstream && this.#isProven(call))
      joins.offer(this.#joinedAs(call.agentId), call.tool, args, call.id, clock());
    if (call.entry === 'openclaw') {
      const gatewayId = call.gatewayId ?? this.#with.snapshot.current(clock())?.agent(call.agentId)?.gatewayId ?? null;
      openings.open({ callId: call.id, agentId: call.agentId, gatewayId }, classification.hosts);
    }
    this.#lastAdmittedAt.set(call.agentId, clock());
    return allowed(record);
  }

  /** A sub-agent calls MCP servers by the entries of the agent at the top of its line. */
  #joinedAs(agentId: string): string {
    const picture = this.#with.snapshot.current(this.#with.clock());
    return picture === null ? agentId : rootOf(agentId, picture);
  }

  /**
   * Whether it was the agent's own gate that asked: where it has one in OpenClaw, only its gateway's token proves that. The agent
   * could ask with its own token, and hide that the plugin is gone.
   */
  #isProven(call: CallFacts): boolean {
    const { snapshot, clock } = this.#with;
    return call.gatewayId !== null || snapshot.current(clock())?.agent(call.agentId)?.gate === 'none';
  }

  /** What came about while the intent was being recorded, and stops the call all the same. */
  #stopOf(agentId: string): GateReason | null {
    const { snapshot, clock } = this.#with;
    if (snapshot.system().estop) return reasonOf('ESTOP', 'The emergency stop is on: nothing runs until an administrator resumes.');
    const picture = snapshot.current(clock());
    if (picture === null) return reasonOf('SNAPSHOT_STALE', 'Mission Control lost touch with its control process.');
    const status = picture.agent(agentId)?.status;
    if (status === 'quarantined') return reasonOf('AGENT_QUARANTINED', 'The agent is quarantined.');
    if (status === undefined || status === 'stopped') return reasonOf('AGENT_STOPPED', 'The agent is stopped.');
    return status === 'paused' ? reasonOf('AGENT_PAUSED', 'The agent is paused.') : null;
  }

  /* ------------------------------------------------------------ after the wait */

  /** A held call whose approval is decided, or whose inline wait is over. */
  async #settleHold(record: CallRecord, state: HoldState): Promise<Admission> {
    const { holds, register, snapshot, clock } = this.#with;
    switch (state.status) {
      case 'pending': {
        // From here on the agent is told through its session. A decision that came first wins.
        const deferred = state.deferred ? state : await holds.defer(record.id).catch(() => null);
        if (deferred === null) return held(record, true);
        if (deferred.status !== 'pending') return this.#settleHold(record, deferred);
        register.rest(record);
        record.waitingUntil = Number.POSITIVE_INFINITY; // who polls on all the same may wait as long as it likes
        return held(record, false);
      }
      case 'approved': {
        const picture = snapshot.current(clock());
        const original = await this.#original(record);
        if (original === 'gone') return this.#refuse(record, [expiredGrant(state.approvalNumber)]);
        if (picture === null || original === null) return held(record, true);
        return this.#judge(record, original.call, original.arguments, picture, state);
      }
      case 'denied':
      case 'expired':
      case 'withdrawn': {
        // What stands in the way now says more than that the approval was withdrawn for it.
        const why = (state.status === 'withdrawn' ? this.#stopOf(record.agentId) : null) ?? refusalOf(state);
        return this.#refuse(record, [why, ...record.reasons.filter((reason) => reason.code !== why.code)]);
      }
    }
  }

  /** A call that was recorded as held or about to run, and will not run. */
  async #refuse(record: CallRecord, reasons: readonly GateReason[]): Promise<Denied> {
    const { journal, register, clock } = this.#with;
    end(register, record, reasons);
    await journal.append({ type: 'refused', at: clock(), id: record.id, reasons }, false).catch(() => {});
    return { verdict: 'deny', id: record.id, risk: record.risk, reasons, kind: 'policy' };
  }

  /** The grant went to another call of the same digest: this one is held anew (SPEC 3.1). */
  async #holdAnew(record: CallRecord, call: CallFacts): Promise<Admission> {
    const picture = this.#with.snapshot.current(this.#with.clock());
    const original = await this.#original(record);
    if (original === 'gone') return this.#refuse(record, [expiredGrant(record.approval?.number ?? 0)]);
    if (picture === null || original === null) return held(record, true);
    return this.#judge(record, call, original.arguments, picture, null);
  }

  /**
   * The call and the caller's own arguments: in memory, or from control after a restart. Null while control cannot say; gone where
   * they were forgotten with their hold or grant: then nothing is left that could be judged or shown to a person.
   */
  async #original(record: CallRecord): Promise<{ call: CallFacts; arguments: JsonObject } | 'gone' | null> {
    if (record.call !== null && record.arguments !== null) return { call: record.call, arguments: record.arguments };
    const known = await this.#with.holds.find(record.id).catch(() => null);
    if (known === null) return null;
    if (known.arguments === null) return 'gone';
    record.call = known.call;
    record.arguments = known.arguments;
    return { call: known.call, arguments: known.arguments };
  }

  /* ------------------------------------------------------------ the same call again */

  /** One thing at a time happens to a call: whoever asks meanwhile waits, and gets what came of it. */
  async #once(record: CallRecord, step: () => Promise<Admission>): Promise<Admission> {
    if (record.settling !== null) {
      await record.settling;
      return this.#again(record);
    }
    const settling = step();
    record.settling = settling.then(
      () => {},
      () => {},
    );
    try {
      return await settling;
    } finally {
      record.settling = null;
    }
  }

  /** The answer that a call had already: never a second approval, never a second execution. */
  async #again(record: CallRecord): Promise<Admission> {
    await record.settling;
    switch (record.state) {
      case 'judging':
        return unavailable(record.id, 'SNAPSHOT_STALE', `The call could not be judged. ${AWAY}`);
      case 'held':
        return this.take(record, 0, NEVER);
      case 'running':
        return allowed(record);
      case 'ended':
        if (record.verdict === 'deny')
          return { verdict: 'deny', id: record.id, risk: record.risk, reasons: record.reasons, kind: 'policy' };
        return duplicate(record.id, 'This call has run already; its outcome is recorded.', record.risk);
    }
  }

  /** We lack something. The call came to nothing and can be tried again under the same key. */
  #giveUp(record: CallRecord, code: ReasonCode, message: string): Denied {
    this.#with.register.remove(record);
    return unavailable(record.id, code, message, record.risk);
  }
}

/** Green and free: such calls go on for a while without the counters, where the policy lets them. */
function isSpared({ risk, estimatedCost }: Decision, { policy }: Picture): boolean {
  return risk === 'green' && estimatedCost === 0 && policy.document.failModes.ledger === 'green_unpriced';
}

function isKnownTo({ gatewayId }: AgentPicture, picture: Picture): (session: string) => boolean {
  return (session) => gatewayId !== null && picture.isRegistered(gatewayId, session);
}

/** Member by member: to copy all but a few of them costs more than the rest of the admission's own work. */
function callOf(request: CallRequest, id: string, { key, slot, digest }: Prints, at: number): CallFacts {
  const { entry, agent, gatewayId, sessionKey, runId, taskId, callId, traceId, tool, toolKind, cwd, workspace, upstream } = request;
  const { definition, ungated, parentSpanId, model, dns, wire } = request;
  return {
    id,
    key,
    slot,
    digest,
    entry,
    agentId: agent.id,
    gatewayId,
    sessionKey,
    runId,
    taskId,
    callId,
    traceId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    tool,
    mappedTool: tool,
    toolKind,
    cwd,
    workspace,
    upstream,
    definition,
    ungated,
    ...(model !== undefined && { model }),
    ...(dns !== undefined && { dns }),
    ...(wire !== undefined && { wire }),
    at,
  };
}

/** Nothing of it is kept here: who let it run has its money and its place, and hears of its end. */
function elsewhere(found: RunningElsewhere | null): CallRecord | null {
  if (found === null) return null;
  const { callId, agentId, gatewayId, risk } = found;
  return {
    ...{ id: callId, key: '', slot: null, agentId, gatewayId, state: 'running', verdict: 'allow', risk, reasons: [], approval: null },
    ...{ waitingUntil: 0, estimatedMicros: 0, estimate: null, scopes: [], call: null, arguments: null, judged: null, recorded: null },
    ...{ editedArguments: null, starting: false, settling: null },
  };
}

function end(register: Register, record: CallRecord, reasons: readonly GateReason[]): void {
  record.verdict = 'deny';
  record.reasons = reasons;
  register.move(record, 'ended');
}

function allowed(record: CallRecord): Allowed {
  return { verdict: 'allow', id: record.id, risk: record.risk, reasons: record.reasons, arguments: record.editedArguments };
}

function held(record: CallRecord, waiting: boolean): Held {
  const approval = record.approval ?? { id: '', number: 0 };
  return { verdict: 'hold', id: record.id, risk: record.risk, reasons: record.reasons, approval, waiting };
}

function unavailable(id: string, code: ReasonCode, message: string, risk: Risk = 'red'): Denied {
  return { verdict: 'deny', id, risk, reasons: [reasonOf(code, message)], kind: 'unavailable' };
}

function duplicate(id: string, message: string, risk: Risk = 'red'): Denied {
  return { verdict: 'deny', id, risk, reasons: [reasonOf('DUPLICATE', message)], kind: 'duplicate' };
}

function reasonOf(code: ReasonCode, message: string): Reason {
  return { code, message, policyPath: 'builtin.admission' };
}

function redactedReason(reason: Reason): Reason {
  return { ...reason, message: redactText(reason.message).text };
}

function expiredGrant(approvalNumber: number): Reason {
  return reasonOf('APPROVAL_EXPIRED', `Approval ${approvalNumber} was not used in time, and the call is forgotten. Make it again.`);
}

function refusalOf(state: HoldState): Reason {
  const by = state.approver === null ? '' : ` by ${state.approver}`;
  const note = state.note === null ? '' : `: ${state.note}`;
  switch (state.status) {
    case 'denied':
      return reasonOf('APPROVAL_DENIED', `Approval ${state.approvalNumber} was denied${by}${note}`);
    case 'expired':
      return reasonOf('APPROVAL_EXPIRED', `Approval ${state.approvalNumber} ended without a decision.`);
    case 'pending':
    case 'approved':
    case 'withdrawn':
      return reasonOf('APPROVAL_INVALID', `Approval ${state.approvalNumber} was withdrawn${note}`);
  }
}
