import type { Approval } from '../../control/contract.ts';
import { readCommands } from '../../dashboard/mock/command-reader.ts';

/** A pending call of Forge-03 running this command, changed as the test needs. */
export function sampleApproval(over: Partial<Approval> & { command?: string } = {}): Approval {
  const { command = 'npm publish @acme/tokens', ...rest } = over;
  return {
    id: 'ap_1',
    number: 101,
    createdAt: 1_000,
    kind: 'call',
    status: 'pending',
    agentId: 'ag_1',
    agentName: 'Forge-03',
    taskId: 'ta_1',
    taskTitle: 'Ship it',
    runId: null,
    sessionKey: null,
    toolCallId: 'tc_1',
    tool: 'exec',
    arguments: { command },
    editedArguments: null,
    cwd: '/srv/ws',
    workspace: '/srv/ws',
    risk: 'red',
    summary: command,
    reason: 'held',
    reasons: [],
    preview: { mappedTool: 'shell_exec', commands: readCommands(command), paths: [], hosts: [] },
    digest: null,
    estimatedCost: 0,
    policyVersion: 'v1',
    approver: null,
    decision: null,
    decidedAt: null,
    expiresAt: 90_000_000,
    waitingUntil: null,
    deferred: false,
    redeemedAt: null,
    redeemedBy: null,
    grantExpiresAt: null,
    noteRequired: true,
    waitingCalls: 1,
    outcome: 'none',
    ...rest,
  };
}
