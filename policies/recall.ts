/**
 * A judgement as its record keeps it, and the same call read again from there (SPEC 10). A record has redacted and bounded arguments; where
 * these are no longer the ones that were judged, it keeps what was read in them as well. Judged again by the same policy, a record gives
 * the decision that it carries; by another one, what stands in the lost part of the arguments is as it was read then.
 */
import { type CallReading, isBareWrapper } from './classify.ts';
import type {
  CommandReading,
  Decision,
  Facts,
  JsonObject,
  ReasonCode,
  RecordedJudgement,
  RecordedReading,
  Risk,
  ToolCall,
} from './model.ts';
import { RISKS } from './model.ts';
import type { Policy } from './policy.ts';
import { redact } from './secrets.ts';

/** Readings of one kind that are kept whole; of further ones only those that say something new. */
const KEPT_MAX = 100;
const DISTINCT_MAX = 500;

/**
 * What is kept of a judgement.
 * @param facts what it was told; the arguments of an approval in them are redacted already.
 * @param isWhole whether the record keeps the arguments exactly as they were judged.
 */
export function recordJudgement(decision: Decision, facts: Facts, isWhole: boolean): RecordedJudgement {
  const { verdict, risk, reasons } = decision;
  const network = facts.network.redirects.length === 0 ? facts.network : redacted(facts.network);
  const codes = [...new Set(reasons.map((reason) => reason.code as ReasonCode))];
  const judgement: RecordedJudgement = {
    verdict,
    risk,
    codes,
    facts: network === facts.network ? facts : { ...facts, network },
  };
  return isWhole && network === facts.network ? judgement : { ...judgement, reading: recordReading(decision) };
}

function recordReading({ classification, rules }: Decision): RecordedReading {
  const { findings, commands, paths, hosts, risk, baseRisk } = classification;
  return redacted({
    findings: condense(findings, ({ code, verdict, risk, policyPath }) => `${code} ${verdict} ${risk} ${policyPath}`),
    commands: condense(commands, programOf),
    paths: condense(paths, ({ path, given, use }) => `${use} ${path ?? given}`),
    hosts: condense(hosts, ({ host, given }) => host ?? given),
    raised: RISKS.indexOf(risk) > RISKS.indexOf(baseRisk) ? risk : null,
    rules,
  });
}

/** The reading of a call whose arguments are lost: the tool as the policy has it now, the rest as it was read. */
export function recall(call: ToolCall, facts: Facts, policy: Policy, reading: RecordedReading): CallReading | null {
  if (isBareWrapper(call)) return null;
  const tool = policy.tools.read(call.tool, facts.mcp, facts.route);
  const { findings, commands, paths, hosts } = reading;
  const risk = findings.reduce<Risk>((highest, finding) => higher(highest, finding.risk), higher(tool.risk, reading.raised));
  return { tool, classification: { mappedTool: tool.mapped, baseRisk: tool.risk, risk, findings, commands, paths, hosts } };
}

function higher(risk: Risk, other: Risk | null): Risk {
  return other !== null && RISKS.indexOf(other) > RISKS.indexOf(risk) ? other : risk;
}

function condense<T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] {
  if (items.length <= KEPT_MAX) return items;
  const seen = new Set<string>();
  return items.filter((item, index) => {
    const key = keyOf(item);
    const isNew = seen.size < DISTINCT_MAX && !seen.has(key);
    if (isNew) seen.add(key);
    return index < KEPT_MAX || isNew;
  });
}

function programOf({ argv, verdict }: CommandReading): string {
  return `${verdict} ${argv?.[0] ?? ''}`;
}

function redacted<T extends object>(value: T): T {
  return redact(value as unknown as JsonObject).value as unknown as T;
}
