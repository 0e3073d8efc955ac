/** What the tests of the judgement share: the shipped policy, and calls and facts that are unremarkable until a test changes them. */
import { readFileSync } from 'node:fs';
import {
  applyPatch,
  compilePolicy,
  type Decision,
  decide,
  type Facts,
  type JsonObject,
  type Policy,
  parsePolicyText,
  type ToolCall,
} from '../../policies/index.ts';

export const DEFAULT_TEXT = readFileSync(new URL('../../policies/default.yaml', import.meta.url), 'utf8');

/** The shipped document, as plain data. */
export const DEFAULT_DOCUMENT = parseOrThrow(DEFAULT_TEXT);

/** The shipped policy. */
export const DEFAULT_POLICY = policyWith({});

/** The shipped policy with a merge patch over it. */
export function policyWith(patch: unknown): Policy {
  const compiled = compilePolicy(applyPatch(DEFAULT_DOCUMENT, patch));
  if ('errors' in compiled) throw new Error(JSON.stringify(compiled.errors));
  return compiled.policy;
}

/** The shipped policy with one of the profiles over it. */
export function profile(name: string): Policy {
  return policyWith(patchOf(name));
}

/** A profile as the merge patch that it is. */
export function patchOf(name: string): unknown {
  return parseOrThrow(readFileSync(new URL(`../../policies/profiles/${name}.yaml`, import.meta.url), 'utf8'));
}

/** A deep partial: what a test wants to differ. */
type Change<T> = {
  [K in keyof T]?: T[K] extends readonly unknown[] ? T[K] : T[K] extends object | null ? Change<NonNullable<T[K]>> | null : T[K];
};

/** Facts of an active specialist without a task, changed where the test says so. */
export function factsWith(change: Change<Facts> = {}): Facts {
  const facts: Facts = {
    agent: { id: 'agent-1', autonomy: 'specialist', status: 'active', depth: 0, children: 0, currentTaskId: null, toolPermissions: null },
    task: null,
    system: { estop: false, squadPaused: false, activeAgents: 1 },
    spend: { run: 0, task: 0, agentDay: 0, fleetDay: 0 },
    caps: {},
    estimatedCost: null,
    approval: null,
    mcp: null,
    history: { sameErrorRetries: 0, commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0 },
    network: { dns: {}, redirects: [] },
    files: { symlinks: {} },
    rates: { callsLastMinute: 0, concurrent: 0 },
  };
  return applyChange(facts, change) as Facts;
}

/** A call in the workspace /workspace. */
export function callOf(tool: string, args: JsonObject = {}, change: Partial<ToolCall> = {}): ToolCall {
  return { tool, arguments: args, cwd: null, workspace: '/workspace', toolKind: null, ...change };
}

/** A fitting approval by a person for a call of agent-1. */
export function approvalOf(call: ToolCall, change: Partial<NonNullable<Facts['approval']>> = {}): NonNullable<Facts['approval']> {
  return {
    id: 'approval-1',
    status: 'approved',
    approverType: 'human',
    approver: 'jo',
    agentId: 'agent-1',
    tool: call.tool,
    arguments: call.arguments,
    uses: 0,
    ageMs: 1_000,
    allowance: 0,
    ...change,
  };
}

export function judge(call: ToolCall, facts: Facts = factsWith(), policy: Policy = DEFAULT_POLICY): Decision {
  return decide(call, facts, policy);
}

/** Processor time of the shortest of several runs, in milliseconds: what else the machine does hardly bears on it. */
export function fastest(run: () => unknown, times = 7): number {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, (user + system) / 1_000);
  }
  return best;
}

export function codesOf(decision: { reasons: readonly { code: string }[] }): string[] {
  return decision.reasons.map((reason) => reason.code);
}

function parseOrThrow(text: string): unknown {
  const parsed = parsePolicyText(text);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  return parsed.document;
}

/** Unlike a merge patch, null stays null here. */
function applyChange(target: unknown, change: unknown): unknown {
  const isPlain = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!isPlain(target) || !isPlain(change)) return change;
  const result: Record<string, unknown> = { ...target };
  for (const [key, value] of Object.entries(change)) result[key] = applyChange(target[key], value);
  return result;
}
