/**
 * The server that the browser tests talk to, behind one function, and what the tests may do to it. The dashboard's own files are the built
 * ones, under the product's Content-Security-Policy.
 */
import { join } from 'node:path';
import type { Alert, Approval, Role } from '../../control/contract.ts';
import { filesOf, serveWorld } from '../../dashboard/mock/server.ts';
import { type SampleCall, World } from '../../dashboard/mock/world.ts';
import type { Autonomy } from '../../policies/model.ts';

/** Calls whose judgement every policy of ours agrees on. */
export const CALLS = {
  /** Red, held. */
  message: {
    tool: 'message',
    mappedTool: 'post_social',
    risk: 'red',
    verdict: 'hold',
    arguments: { action: 'send', to: 'team@acme.example', text: 'Hello <b>all</b> \u202eevil\u202c' },
    reasons: [{ code: 'RED_ACTION', message: 'Messages leave the company', policyPath: 'riskMap' }],
  },
  /** Yellow, held: on no allowlist. */
  build: {
    tool: 'exec',
    mappedTool: 'shell_exec',
    risk: 'yellow',
    verdict: 'hold',
    arguments: { command: 'cd web && cargo build --release' },
    reasons: [{ code: 'SHELL_NOT_ALLOWLISTED', message: 'cargo build matches no rule', policyPath: 'allowlists.shell' }],
  },
  /** Green, runs. */
  read: { tool: 'read', mappedTool: 'read_file', risk: 'green', verdict: 'allow', arguments: { path: 'docs/PLAN.md' }, output: 'the plan' },
  /** On the block list. */
  sudo: {
    tool: 'exec',
    mappedTool: 'shell_exec',
    risk: 'red',
    verdict: 'deny',
    arguments: { command: 'sudo reboot' },
    reasons: [{ code: 'SHELL_BLOCKED', message: 'sudo is on the block list', policyPath: 'builtin.shell' }],
  },
} as const satisfies Record<string, SampleCall>;

export interface TestServer {
  url: string;
  /** A token that signs somebody with this role in. */
  signInToken(role: Role): string;
  addAgent(name: string, autonomy?: Autonomy): string;
  /** The agent makes this call; answers the approval's id where it is held, else the call's. */
  call(agentId: string, call: SampleCall): string;
  approval(id: string): Approval;
  /** Somebody else decides, on another surface. */
  decide(approvalId: string, verdict: 'approve' | 'deny', note: string): void;
  /** The agent takes up what was approved: the call runs. */
  redeem(approvalId: string, output: string): void;
  withdraw(approvalId: string): void;
  raiseAlert(alert: Pick<Alert, 'type' | 'severity' | 'message'>): string;
  agentStatus(agentId: string): string;
  isStopped(): boolean;
  /** The event stream breaks and stays away until `allowEvents`. */
  cutEvents(): void;
  allowEvents(): void;
  /** Every session ends at the server. */
  endSessions(): void;
  close(): Promise<void>;
}

export async function startServer(): Promise<TestServer> {
  const world = new World(() => Date.now());
  const server = await serveWorld(world, filesOf(join(import.meta.dirname, '../../dashboard/dist')));
  const somebodyElse = { id: 'op_jon', name: 'Jon Reyes', role: 'operator' } as const;
  return {
    url: server.url,
    signInToken: (role) => role,
    addAgent: (name, autonomyLevel = 'specialist') =>
      world.addAgent({ name, autonomyLevel, workspace: '/srv/ws', gate: 'openclaw', heartbeatAgoMs: 1_000 }).id,
    call(agentId, call) {
      const made = world.call(agentId, call);
      return made.approval?.id ?? made.call.id;
    },
    approval(id) {
      const approval = world.approvals.get(id);
      if (!approval) throw new Error(`no approval ${id}`);
      return approval;
    },
    decide: (id, verdict, note) => void world.decide(id, verdict, { note }, somebodyElse),
    redeem: (id, output) => void world.redeem(id, output),
    withdraw: (id) => world.withdraw(id, 'the run was aborted'),
    raiseAlert: (alert) => world.raiseAlert(alert).id,
    agentStatus: (id) => world.agent(id).status,
    isStopped: () => world.system.estop,
    cutEvents: () => server.cutEvents(),
    allowEvents: () => server.allowEvents(),
    endSessions() {
      world.sessions.clear();
      server.cutEvents();
      server.allowEvents();
    },
    close: () => server.close(),
  };
}
