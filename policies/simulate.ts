/**
 * The fixed interface of `POST /api/policies/simulate` (SPEC 8.2) as a pure function: what a case says in dollars and seconds becomes the
 * facts of `decide`, what it leaves out becomes a sensible default, and what cannot be (an unknown status, a negative amount) becomes a
 * MALFORMED result of that case alone. Nothing here judges.
 */
import { z } from 'zod';
import { microsFromUsd } from './budget.ts';
import { isBoundedJson } from './canonical.ts';
import { decide } from './decide.ts';
import type { Classification, Decision, Facts, Json, JsonObject, Micros, Reason, Risk, ToolCall, Verdict } from './model.ts';
import { AGENT_STATUSES, AUTONOMY_LEVELS, RUN_LABELS, TASK_STATUSES, TASK_TYPES } from './model.ts';
import type { Policy } from './policy.ts';
import { redact } from './secrets.ts';

/** Cases of one request. */
export const MAX_CASES = 1_000;

/** The workspace of a case that names none (POLICY_READING: "workspace root /workspace unless said otherwise"). */
export const DEFAULT_WORKSPACE = '/workspace';

/** The envelope of a request. Cases are read one by one, so that one bad case does not spoil the others. */
export const simulateRequestSchema = z.strictObject({
  /** "active", a version (its number or its name), or a merge patch over the active document. */
  policy: z
    .union([z.literal('active'), z.string().min(1).max(200), z.int(), z.strictObject({ patch: z.record(z.string(), z.unknown()) })])
    .optional(),
  cases: z.array(z.unknown()).max(MAX_CASES),
});
export type SimulateRequest = z.output<typeof simulateRequestSchema>;

/** The judgement of one case. */
export interface SimulateResult {
  id: string;
  verdict: Verdict;
  risk: Risk;
  reasons: readonly Reason[];
  /** What would be stored: the arguments, redacted. */
  recorded: { arguments: Json };
  /** How the call was read, the first readings of each kind; absent where the case itself could not be read. */
  trace?: Classification;
}

/**
 * Judges cases against a policy. One result for each case, in their order. Never throws.
 * @param cases unchecked; each is validated here.
 */
export function simulateCases(cases: readonly unknown[], policy: Policy): SimulateResult[] {
  return cases.map((value, index) => simulateCase(value, index, policy));
}

function simulateCase(value: unknown, index: number, policy: Policy): SimulateResult {
  const read = readCase(value, index);
  if ('flaw' in read) return { id: read.id, ...unreadable(read.flaw), recorded: { arguments: redact(read.given).value } };
  const decision = decide(read.call, read.facts, policy);
  return {
    id: read.id,
    verdict: decision.verdict,
    risk: decision.risk,
    reasons: decision.reasons,
    recorded: { arguments: redact(read.call.arguments).value },
    trace: boundTrace(decision.classification),
  };
}

/** A case that has been read, and can be judged by any policy. */
export type ReadCase = { id: string; call: ToolCall; facts: Facts } | { id: string; flaw: string; given: JsonObject };

/** Reads cases, unchecked, each for itself. For those that are judged more than once. */
export function readCases(cases: readonly unknown[]): ReadCase[] {
  return cases.map(readCase);
}

/** Judges a case without anything else that a simulation answers. */
export function judgeCase(read: ReadCase, policy: Policy): Pick<Decision, 'verdict' | 'risk' | 'reasons'> {
  return 'flaw' in read ? unreadable(read.flaw) : decide(read.call, read.facts, policy);
}

function readCase(value: unknown, index: number): ReadCase {
  const id = idOf(value, index);
  // Depth first: validation and redaction recurse.
  if (!isBoundedJson(value)) return { id, flaw: 'the case is not plain data, or nested too deeply', given: {} };
  const parsed = caseSchema.safeParse(value);
  if (parsed.success) return { id, ...readParts(parsed.data) };
  const issue = parsed.error.issues[0];
  const given = isObject(value) && isObject(value.arguments) ? value.arguments : {};
  return { id, flaw: `${issue?.path.map(String).join('.') || 'the case'}: ${issue?.message ?? 'cannot be read'}`, given };
}

/** Readings of one kind in a trace: a line of a thousand operands must not be answered with a megabyte. */
const TRACE_MAX = 200;

function boundTrace(reading: Classification): Classification {
  const { findings, commands, paths, hosts } = reading;
  const bound = <T>(items: readonly T[]) => (items.length <= TRACE_MAX ? items : items.slice(0, TRACE_MAX));
  return { ...reading, findings: bound(findings), commands: bound(commands), paths: bound(paths), hosts: bound(hosts) };
}

function unreadable(why: string): Pick<Decision, 'verdict' | 'risk' | 'reasons'> {
  const message = `The case cannot be judged: ${why}.`;
  return { verdict: 'deny', risk: 'red', reasons: [{ code: 'MALFORMED', message, policyPath: 'builtin.malformed' }] };
}

function idOf(value: unknown, index: number): string {
  const id = isObject(value) ? value.id : undefined;
  if (typeof id === 'string' && id.length <= 1_000) return id;
  return typeof id === 'number' ? String(id) : String(index);
}

// ---- the shape of a case -------------------------------------------------------------------------------------------------------

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const text = z.string().max(1_000_000);
const money = z.number().transform((value, context): Micros => {
  try {
    return microsFromUsd(value);
  } catch {
    context.addIssue({ code: 'custom', message: 'must be an amount in USD, not negative, with at most six decimals' });
    return z.NEVER;
  }
});
const flag = z.boolean();
/** Absent and null mean the same where a part may be missing. */
const optional = <T extends z.ZodType>(schema: T) => schema.nullish();

const caseSchema = z.object({
  id: z.union([z.string(), z.number()]).optional(),
  tool: text,
  arguments: z.record(z.string(), z.unknown()),
  cwd: optional(text),
  // Here null is a statement: this agent has no workspace.
  workspace: text.nullish(),
  toolKind: optional(text),
  agent: z.object({
    id: optional(text),
    autonomy: z.enum(AUTONOMY_LEVELS),
    status: z.enum(AGENT_STATUSES),
    depth: optional(count),
    children: optional(count),
    currentTaskId: optional(text),
    toolPermissions: optional(z.array(text)),
  }),
  task: optional(
    z.object({
      id: optional(text),
      type: optional(z.enum(TASK_TYPES)),
      status: z.enum(TASK_STATUSES),
      assigneeIds: optional(z.array(text)),
    }),
  ),
  system: optional(z.object({ estop: optional(flag), squadPaused: optional(flag), activeAgents: optional(count) })),
  spend: optional(
    z.object({ runUsd: optional(money), taskUsd: optional(money), agentDayUsd: optional(money), fleetDayUsd: optional(money) }),
  ),
  // Here null is a statement: no cap.
  caps: optional(
    z.object({ runUsd: money.nullish(), taskUsd: money.nullish(), agentDayUsd: money.nullish(), fleetDayUsd: money.nullish() }),
  ),
  estimatedCostUsd: optional(money),
  approval: optional(
    z.object({
      id: optional(text),
      status: z.enum(['pending', 'approved', 'denied', 'expired', 'withdrawn']),
      approverType: optional(z.enum(['human', 'agent', 'system', 'unknown'])),
      approver: optional(text),
      agentId: optional(text),
      tool: optional(text),
      arguments: optional(z.record(z.string(), z.unknown())),
      uses: optional(count),
      ageSec: optional(z.number().min(0).max(1e12)),
      allowanceUsd: optional(money),
    }),
  ),
  mcp: optional(
    z.object({
      server: optional(text),
      trusted: optional(flag),
      annotations: optional(
        z.object({
          readOnlyHint: optional(flag),
          destructiveHint: optional(flag),
          idempotentHint: optional(flag),
          openWorldHint: optional(flag),
        }),
      ),
      changed: optional(flag),
    }),
  ),
  history: optional(
    z.object({
      sameErrorRetries: optional(count),
      commentsIn30Min: optional(count),
      reviewCycles: optional(count),
      pairExchangesIn10Min: optional(count),
    }),
  ),
  network: optional(z.object({ dns: optional(z.record(z.string(), z.array(text))), redirects: optional(z.array(text)) })),
  files: optional(z.object({ symlinks: optional(z.record(z.string(), text)) })),
  run: optional(z.object({ labels: optional(z.array(z.enum(RUN_LABELS))) })),
  rates: optional(z.object({ callsLastMinute: optional(count), concurrent: optional(count) })),
});
type Case = z.output<typeof caseSchema>;

function readParts(given: Case): { call: ToolCall; facts: Facts } {
  const { agent, task, system, spend, caps, approval, mcp, history, network, files, rates, run } = given;
  const call: ToolCall = {
    tool: given.tool,
    arguments: given.arguments as JsonObject,
    cwd: given.cwd ?? null,
    workspace: given.workspace === undefined ? DEFAULT_WORKSPACE : given.workspace,
    toolKind: given.toolKind ?? null,
  };
  const facts: Facts = {
    agent: {
      id: agent.id ?? null,
      autonomy: agent.autonomy,
      status: agent.status,
      depth: agent.depth ?? 0,
      children: agent.children ?? 0,
      currentTaskId: agent.currentTaskId ?? null,
      toolPermissions: agent.toolPermissions ?? null,
    },
    task: task ? { id: task.id ?? null, type: task.type ?? null, status: task.status, assigneeIds: task.assigneeIds ?? [] } : null,
    system: { estop: system?.estop ?? false, squadPaused: system?.squadPaused ?? false, activeAgents: system?.activeAgents ?? 0 },
    spend: {
      run: spend?.runUsd ?? 0,
      task: spend?.taskUsd ?? 0,
      agentDay: spend?.agentDayUsd ?? 0,
      fleetDay: spend?.fleetDayUsd ?? 0,
    },
    caps: {
      ...(caps?.runUsd === undefined ? {} : { run: caps.runUsd }),
      ...(caps?.taskUsd === undefined ? {} : { task: caps.taskUsd }),
      ...(caps?.agentDayUsd === undefined ? {} : { agentDay: caps.agentDayUsd }),
      ...(caps?.fleetDayUsd === undefined ? {} : { fleetDay: caps.fleetDayUsd }),
    },
    run: { labels: run?.labels ?? [] },
    estimatedCost: given.estimatedCostUsd ?? null,
    approval: approval
      ? {
          id: approval.id ?? '',
          status: approval.status,
          approverType: approval.approverType ?? 'unknown',
          approver: approval.approver ?? null,
          agentId: approval.agentId ?? '',
          tool: approval.tool ?? '',
          arguments: (approval.arguments ?? {}) as JsonObject,
          uses: approval.uses ?? 0,
          ageMs: Math.round((approval.ageSec ?? 0) * 1_000),
          allowance: approval.allowanceUsd ?? 0,
        }
      : null,
    mcp: mcp
      ? {
          server: mcp.server ?? '',
          trusted: mcp.trusted ?? false,
          annotations: {
            ...(typeof mcp.annotations?.readOnlyHint === 'boolean' ? { readOnlyHint: mcp.annotations.readOnlyHint } : {}),
            ...(typeof mcp.annotations?.destructiveHint === 'boolean' ? { destructiveHint: mcp.annotations.destructiveHint } : {}),
            ...(typeof mcp.annotations?.idempotentHint === 'boolean' ? { idempotentHint: mcp.annotations.idempotentHint } : {}),
            ...(typeof mcp.annotations?.openWorldHint === 'boolean' ? { openWorldHint: mcp.annotations.openWorldHint } : {}),
          },
          changed: mcp.changed ?? false,
        }
      : null,
    history: {
      sameErrorRetries: history?.sameErrorRetries ?? 0,
      commentsIn30Min: history?.commentsIn30Min ?? 0,
      reviewCycles: history?.reviewCycles ?? 0,
      pairExchangesIn10Min: history?.pairExchangesIn10Min ?? 0,
    },
    network: { dns: network?.dns ?? {}, redirects: network?.redirects ?? [] },
    files: { symlinks: files?.symlinks ?? {} },
    rates: { callsLastMinute: rates?.callsLastMinute ?? 0, concurrent: rates?.concurrent ?? 0 },
  };
  return { call, facts };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
