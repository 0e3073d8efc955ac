/**
 * The row of a call that has begun: what a hold and the journal write of the same call, whichever comes first, so that nothing depends on
 * the order.
 */
import type { JsonObject } from '../policies/index.ts';
import type { CallFacts, JudgedFacts } from './contract.ts';

/** What is known of a call at one moment of it. */
export interface BegunCall {
  call: CallFacts;
  judged: JudgedFacts;
  status: 'running' | 'needs_approval' | 'blocked';
  /** When it came to that, epoch milliseconds. */
  at: number;
  /** Redacted. */
  input: JsonObject;
  summary: string;
  approvalId: string | null;
  /** Who runs it; null while nobody does. */
  proxyId: string | null;
}

/** The columns of `tool_calls`; arguments, reasons and facts as data. */
export function callRowOf({ call, judged, status, at, input, summary, approvalId, proxyId }: BegunCall) {
  return {
    id: call.id,
    created_at: call.at,
    entry: call.entry,
    key: call.key,
    slot: call.slot,
    digest: call.digest,
    agent_id: call.agentId,
    gateway_id: call.gatewayId,
    run_id: call.runId,
    task_id: call.taskId,
    session_key: call.sessionKey,
    call_id: call.callId,
    trace_id: call.traceId,
    tool: call.tool,
    mapped_tool: call.mappedTool,
    tool_kind: call.toolKind,
    cwd: call.cwd,
    workspace: call.workspace,
    risk: judged.risk,
    verdict: judged.verdict,
    reasons: judged.reasons,
    status,
    input,
    output: null,
    error: null,
    held_at: status === 'needs_approval' ? at : null,
    started_at: status === 'running' ? at : null,
    ended_at: status === 'blocked' ? at : null,
    duration: null,
    cost: null,
    estimated_cost: judged.estimatedCost,
    approval_id: approvalId,
    policy_version: judged.policyVersion,
    facts: judged.facts,
    summary,
    proxy_id: proxyId,
    provider: call.model?.provider ?? null,
    model: call.model?.name ?? null,
  };
}
