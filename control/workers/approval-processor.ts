/**
 * Carries decisions to agents whose call no longer waits: a message into the session (SPEC 3.2). Also ends overdue waits,
 * approvals and grants. A message is sent at least once and carries the approval's id as its key, so OpenClaw drops a repeat.
 */
import type { Agents } from '../agents.ts';
import type { Gateways } from '../gateways.ts';
import type { Holds } from '../holds.ts';
import type { Worker } from './loop.ts';

/** A caller that still waits takes its decision up within this time; after it, the agent is told. */
const GRACE_MS = 10_000;
const ARGUMENTS_MAX_CHARS = 8_000;

type Untold = Awaited<ReturnType<Holds['untold']>>[number];

export function approvalProcessor({ holds, agents, gateways }: { holds: Holds; agents: Agents; gateways: Gateways }): Worker {
  return {
    name: 'approval-processor',
    everyMs: 1_000,
    tick: async () => {
      await holds.sweep();
      for (const item of await holds.untold(GRACE_MS)) {
        const agent = item.agentId ? await agents.find(item.agentId) : null;
        if (!agent?.gatewayId) continue; // an agent without a gateway asks again by itself
        const problem = await gateways.say(agent.gatewayId, item.sessionKey, messageFor(item), `mc-approval-${item.id}`);
        await holds.markTold(item.id, problem === null);
      }
    },
  };
}

/** What the agent reads. It names the exact call again: only that one runs under the approval. */
export function messageFor(item: Untold): string {
  const about = `Mission Control: approval ${item.number} for your call of "${item.tool}"`;
  const note = item.note ? ` Note from ${item.approver ?? 'the approver'}: ${item.note}` : '';
  switch (item.status) {
    case 'approved': {
      const call = JSON.stringify({ tool: item.tool, arguments: item.arguments ?? {} });
      const exact = call.length <= ARGUMENTS_MAX_CHARS ? ` The call is: ${call}` : ' Use the very arguments of your first call.';
      const edited = item.edited ? ' The approver changed the arguments; repeat your own call and the changed one runs in its place.' : '';
      return `${about} was granted by ${item.approver ?? 'a person'}. Repeat exactly that call now; it runs once.${edited}${exact}${note}`;
    }
    case 'denied':
      return `${about} was denied by ${item.approver ?? 'a person'}. Do not repeat the call and do not work around it; go on without it or say what you need.${note}`;
    default:
      return `${about} ended without a decision; the call did not run. Say what you need if it still matters.`;
  }
}
