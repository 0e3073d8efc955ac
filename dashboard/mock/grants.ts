/** Standing grants of the mock: two patterns for every yellow call, exactly it and its shape; counted and revoked, never matched. */
import type { Approval, Grant, GrantProposal, GrantRequest } from '../../control/contract.ts';
import type { GrantPattern } from '../../policies/grants.ts';

const MAX_MS = 8 * 3_600_000;
const MAX_USES = 100;

/** What could be granted from this call; `others` are the recorded calls to try it on. */
export function proposeGrant(approval: Approval, others: readonly Approval[]): GrantProposal {
  const refusal = approval.risk === 'red' ? { code: 'RED', message: 'A red call is approved once, never for longer.' } : null;
  const example = (other: Approval) => ({
    callId: other.id,
    at: other.createdAt,
    summary: other.summary,
    risk: other.risk,
    verdict: 'hold' as const,
  });
  const alike = others.filter((other) => other.tool === approval.tool && other.agentId === approval.agentId);
  const shape = alike.filter((other) => other.groupKey === approval.groupKey);
  const same = shape.filter((other) => other.summary === approval.summary);
  const without = (covered: readonly Approval[]) => alike.filter((other) => !covered.includes(other)).map(example);
  return {
    approvalId: approval.id,
    refusal,
    patterns: refusal
      ? []
      : [
          {
            id: 'exact',
            name: 'exact',
            text: approval.summary,
            sentence: 'Exactly this call, word for word.',
            covers: same.map(example),
            leavesOut: without(same),
          },
          {
            id: 'shape',
            name: 'listed',
            text: approval.groupKey,
            sentence: 'The same program with other operands.',
            covers: shape.map(example),
            leavesOut: without(shape),
          },
        ],
    examined: alike.length,
    scopes: [
      ...(approval.agentId ? [{ kind: 'agent' as const, agentId: approval.agentId }] : []),
      ...(approval.taskId ? [{ kind: 'task' as const, taskId: approval.taskId }] : []),
      { kind: 'role', autonomyLevel: 'specialist' },
    ],
    maxExpiresInMs: MAX_MS,
    maxUses: MAX_USES,
  };
}

/** The grant that is made with an approval. */
export function grantFrom(approval: Approval, request: GrantRequest, by: { id: string; name: string }, number: number, now: number): Grant {
  const pattern = proposeGrant(approval, []).patterns.find(({ id }) => id === request.patternId);
  const { name = '', text = '', sentence = '' } = pattern ?? {};
  const template: GrantPattern = {
    name: 'exact',
    text,
    sentence,
    tool: approval.tool ?? '',
    mappedTool: approval.preview?.mappedTool ?? '',
    toolKind: null,
    definition: null,
    cwd: approval.cwd,
    workspace: approval.workspace,
    members: {},
    open: [],
    answers: [],
  };
  return {
    id: `gr_${number}`,
    number,
    createdAt: now,
    createdBy: { id: by.id, name: by.name },
    approvalId: approval.id,
    scope: request.scope,
    scopeName: request.scope.kind === 'agent' ? approval.agentName : request.scope.kind === 'task' ? approval.taskTitle : null,
    tool: approval.tool ?? '',
    pattern: { name, text, sentence, template },
    expiresAt: now + request.expiresInMs,
    maxUses: request.maxUses ?? MAX_USES,
    uses: 0,
    lastUsedAt: null,
    status: 'active',
    revokedAt: null,
    revokedBy: null,
    note: request.note ?? null,
  };
}
