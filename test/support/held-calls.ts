/** Held calls as a proxy sends them to control: really judged by the policy in force, so that what control reads of them is what it would read. */
import type { HoldRequest } from '../../control/contract.ts';
import { decide, type Facts, type JsonObject, type Policy, recordJudgement } from '../../policies/index.ts';
import { factsOfCall, holdRequest } from './services.ts';

let count = 0;

/** The request to open an approval for this call of this agent, which works in /workspace. @param more of its identity and facts. */
export function heldCall(
  policy: Policy,
  agent: { id: string; autonomy: Facts['agent']['autonomy'] },
  tool: string,
  args: JsonObject,
  more: { taskId?: string; estimatedCost?: number; insufficient?: string } = {},
): HoldRequest {
  const id = `held-${++count}`;
  const facts: Facts = {
    agent: { ...agent, status: 'active', depth: 0, children: 0, currentTaskId: null, toolPermissions: null },
    task: null,
    system: { estop: false, squadPaused: false, activeAgents: 1 },
    spend: { run: 0, task: 0, agentDay: 0, fleetDay: 0 },
    caps: {},
    estimatedCost: more.estimatedCost ?? null,
    approval: null,
    mcp: null,
    history: { sameErrorRetries: 0, commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0 },
    network: { dns: {}, redirects: [] },
    files: { symlinks: {} },
    rates: { callsLastMinute: 0, concurrent: 0 },
  };
  const decision = decide({ tool, arguments: args, cwd: null, workspace: '/workspace', toolKind: null }, facts, policy);
  const { verdict, risk, reasons, estimatedCost, classification } = decision;
  const { mappedTool, commands, paths, hosts } = classification;
  const call = factsOfCall({ id, agentId: agent.id, tool, mappedTool, digest: `digest-${id}`, taskId: more.taskId ?? null });
  const summary = typeof args.command === 'string' ? args.command : JSON.stringify(args);
  return holdRequest(call, {
    judged: { verdict, risk, reasons, policyVersion: 'v1', estimatedCost, facts: recordJudgement(decision, facts, true) },
    arguments: args,
    redacted: args,
    preview: { mappedTool, commands: [...commands], paths: [...paths], hosts: [...hosts] },
    summary,
    insufficient: more.insufficient ?? null,
  });
}
