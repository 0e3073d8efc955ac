/**
 * Replay (SPEC 4.10): recorded calls judged again by a draft, from the facts of then, and what comes out otherwise, counted by kind with
 * examples. A call that a person approved counts as held: what the policy says by itself is compared, and the approval is not part of it.
 * Where a record no longer has the arguments that were judged, the reading of then stands in for them, and the call is named if the draft
 * has other matchers. Pure: who reads the records and in which portions is the caller's affair.
 */
import { canonicalJson } from './canonical.ts';
import { decide } from './decide.ts';
import {
  type Decision,
  type Facts,
  FLIP_KINDS,
  type FlipKind,
  type Json,
  type JsonObject,
  type ReasonCode,
  type RecordedJudgement,
  type Risk,
  type ToolCall,
  type Verdict,
} from './model.ts';
import type { Policy } from './policy.ts';
import { redactText } from './secrets.ts';
import { judgeCase, type ReadCase } from './simulate.ts';

/** A call as the record has it. */
export interface RecordedCall {
  id: string;
  /** Epoch milliseconds. */
  at: number;
  agentId: string;
  tool: string;
  /** Redacted. */
  arguments: JsonObject;
  cwd: string | null;
  workspace: string | null;
  toolKind: string | null;
  policyVersion: string | null;
  summary: string;
  /** Null where nothing was judged. */
  judgement: RecordedJudgement | null;
}

/** One side of a comparison. */
export interface Side {
  verdict: Verdict;
  risk: Risk;
  codes: readonly ReasonCode[];
}

/** A call, or a case of the shipped corpus, that the draft judges otherwise. */
export interface Flip {
  source: 'call' | 'case';
  id: string;
  tool: string;
  summary: string;
  agentId: string | null;
  at: number | null;
  before: Side;
  /** The sentence of its first reason, redacted. */
  after: Side & { message: string };
}

export interface Tally {
  judged: number;
  /** Verdict, risk and reason codes are the ones of before. */
  same: number;
  flips: Record<FlipKind, number>;
}

export interface ReplayResult {
  calls: Tally & {
    /** Records without a judgement, or that cannot be read. */
    unreadable: number;
  };
  /** The shipped corpus: by the policy in force and by the draft. */
  cases: Tally;
  /** The newest of each kind, calls before cases. */
  examples: Record<FlipKind, Flip[]>;
  /** Red and not allowed before nor by the policy in force, allowed by the draft: what an activation must be confirmed for. */
  redFlips: { count: number; items: Flip[] };
  /** Calls whose arguments the record no longer has, and that a changed matcher can therefore not see again. */
  unseen: { count: number; items: { id: string; tool: string; summary: string }[] };
}

const EXAMPLES_MAX = 20;
const RED_FLIPS_MAX = 1_000;

/** One replay; feed it with `call` and `cases`, newest first, and take its `result`. */
export class Replay {
  readonly #draft: Policy;
  readonly #base: Policy;
  readonly #versionOf: (version: string) => Policy | null;
  readonly #rules: string;
  readonly #matchers: string;
  readonly #kinship = new Map<string | null, { sameRules: boolean; sameMatchers: boolean }>();
  readonly #calls = { ...emptyTally(), unreadable: 0 };
  readonly #cases = emptyTally();
  readonly #difference = new Difference('first');
  readonly #unseen = { count: 0, items: [] as { id: string; tool: string; summary: string }[] };

  /**
   * @param base the policy in force.
   * @param versionOf the compiled policy that a call was judged by then, by its version; null = not to be had.
   */
  constructor(draft: Policy, base: Policy, versionOf: (version: string) => Policy | null) {
    this.#draft = draft;
    this.#base = base;
    this.#versionOf = versionOf;
    this.#rules = rulesOf(draft);
    this.#matchers = matchersOf(draft);
  }

  /** Judges a recorded call. Never throws: a record that cannot be read is counted as such. */
  call(call: RecordedCall): void {
    const { judgement } = call;
    if (judgement === null) {
      this.#calls.unreadable++;
      return;
    }
    try {
      this.#compare(call, judgement);
    } catch {
      this.#calls.unreadable++;
    }
  }

  #compare(call: RecordedCall, judgement: RecordedJudgement): void {
    const { facts, reading } = judgement;
    const { sameRules, sameMatchers } = this.#kinOf(call.policyVersion);
    const recorded = reading === undefined ? null : { reading, sameRules };
    const { tool, cwd, workspace, toolKind } = call;
    const toolCall: ToolCall = { tool, arguments: judgement.arguments ?? call.arguments, cwd, workspace, toolKind };
    const now = decide(toolCall, facts, this.#draft, recorded);
    if (reading !== undefined && !sameMatchers) this.#nameUnseen(call);
    if (isSame(judgement, now)) this.#calls.same++;

    const wasReleased = judgement.verdict === 'allow' && judgement.codes[0] === 'APPROVED';
    const before: Side = wasReleased ? { verdict: 'hold', risk: judgement.risk, codes: judgement.codes.slice(1) } : judgement;
    const after = wasReleased ? decide(toolCall, withoutApproval(facts), this.#draft, recorded) : now;
    const { id, summary, agentId, at } = call;
    // What runs by the policy in force already is nothing that the draft opens.
    const isOpen = () =>
      decide(toolCall, withoutApproval(facts), this.#base, recorded && { ...recorded, sameRules: false }).verdict === 'allow';
    this.#difference.count(this.#calls, before, after, () => ({ source: 'call', id, tool, summary, agentId, at }), isOpen);
  }

  /** Judges cases of the simulator by the policy in force and by the draft. */
  cases(cases: readonly ReadCase[]): void {
    for (const read of cases) {
      const [was, now] = [judgeCase(read, this.#base), judgeCase(read, this.#draft)];
      const before: Side = { verdict: was.verdict, risk: was.risk, codes: codesOf(was) };
      if (isSame(before, now)) this.#cases.same++;
      const { id } = read;
      this.#difference.count(this.#cases, before, now, () => ({ source: 'case', id, ...describeCase(read), agentId: null, at: null }));
    }
  }

  result(): ReplayResult {
    return {
      calls: this.#calls,
      cases: this.#cases,
      examples: this.#difference.examples,
      redFlips: this.#difference.redFlips,
      unseen: this.#unseen,
    };
  }

  #nameUnseen({ id, tool, summary }: RecordedCall): void {
    this.#unseen.count++;
    if (this.#unseen.items.length < EXAMPLES_MAX) this.#unseen.items.push({ id, tool, summary });
  }

  /** How the policy that a call was judged by relates to the draft. */
  #kinOf(version: string | null): { sameRules: boolean; sameMatchers: boolean } {
    let kin = this.#kinship.get(version);
    if (kin === undefined) {
      const policy = version === null ? null : this.#versionOf(version);
      kin = {
        sameRules: policy !== null && rulesOf(policy) === this.#rules,
        sameMatchers: policy !== null && matchersOf(policy) === this.#matchers,
      };
      this.#kinship.set(version, kin);
    }
    return kin;
  }
}

type Judged = Pick<Decision, 'verdict' | 'risk' | 'reasons'>;
type Subject = Omit<Flip, 'before' | 'after'>;

/** Counts what two policies judge differently and keeps examples, bounded. */
export class Difference {
  readonly examples = Object.fromEntries(FLIP_KINDS.map((kind) => [kind, [] as Flip[]])) as Record<FlipKind, Flip[]>;
  readonly redFlips = { count: 0, items: [] as Flip[] };
  readonly #keeps: 'first' | 'last';

  /** @param keeps which examples of a kind stay where there are too many. */
  constructor(keeps: 'first' | 'last') {
    this.#keeps = keeps;
  }

  /**
   * @param subject the call in question; asked for only where the verdict differs.
   * @param isOpen whether the call, red before and allowed after, would run today as well; asked for only then.
   */
  count(tally: Tally, before: Side, after: Judged, subject: () => Subject, isOpen: () => boolean = () => false): void {
    tally.judged++;
    const kind = flipKind(before.verdict, after.verdict);
    if (kind === null) return;
    tally.flips[kind]++;
    // What a person's approval lets run goes through a person still.
    const isRed = before.risk === 'red' && after.verdict === 'allow' && after.reasons[0]?.code !== 'APPROVED' && !isOpen();
    if (isRed) this.redFlips.count++;
    const examples = this.examples[kind];
    const isExample = examples.length < EXAMPLES_MAX || this.#keeps === 'last';
    const isNamed = isRed && this.redFlips.items.length < RED_FLIPS_MAX;
    if (!isExample && !isNamed) return;
    const flip = describeFlip(before, after, subject());
    if (isNamed) this.redFlips.items.push(flip);
    if (isExample && examples.push(flip) > EXAMPLES_MAX) examples.shift();
  }
}

/** @returns which way a verdict went, or null where it is the same. */
function flipKind(before: Verdict, after: Verdict): FlipKind | null {
  if (before === after) return null;
  return `${before}To${TITLES[after]}` as FlipKind;
}

const TITLES = { allow: 'Allow', hold: 'Hold', deny: 'Deny' } as const;

/** A difference for people to read. */
function describeFlip(before: Side, after: Judged, what: Subject): Flip {
  const message = redactText(after.reasons[0]?.message ?? '').text;
  return {
    ...what,
    before: { verdict: before.verdict, risk: before.risk, codes: before.codes },
    after: { verdict: after.verdict, risk: after.risk, codes: codesOf(after), message },
  };
}

/** Codes of the reasons, each once, in their order. */
export function codesOf({ reasons }: Pick<Judged, 'reasons'>): readonly ReasonCode[] {
  return [...new Set(reasons.map((reason) => reason.code))];
}

/** Same verdict, risk and reason codes; their order may differ, since a record keeps the members of the arguments in another one. */
export function isSame(before: Side, now: Judged): boolean {
  if (before.verdict !== now.verdict || before.risk !== now.risk) return false;
  const codes = codesOf(now);
  return codes.length === before.codes.length && codes.every((code) => before.codes.includes(code));
}

function withoutApproval(facts: Facts): Facts {
  return { ...facts, approval: null };
}

/** Nothing counted yet. */
export function emptyTally(): Tally {
  return { judged: 0, same: 0, flips: Object.fromEntries(FLIP_KINDS.map((kind) => [kind, 0])) as Record<FlipKind, number> };
}

function rulesOf(policy: Policy): string {
  return canonicalJson(policy.document.rules as unknown as Json);
}

/** What decides how arguments are read. */
function matchersOf({ document: { allowlists, tools } }: Policy): string {
  return canonicalJson({ allowlists, tools } as unknown as Json);
}

function describeCase(read: ReadCase): { tool: string; summary: string } {
  const [tool, args] = 'flaw' in read ? ['', read.given] : [read.call.tool, read.call.arguments];
  return { tool, summary: redactText(JSON.stringify(args)).text.slice(0, 300) };
}
