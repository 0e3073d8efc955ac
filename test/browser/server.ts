/**
 * The server that the browser tests talk to, behind one function, and what tests may do to it. By default it is the product; the
 * dashboard's own mock stands in where a test needs what the product does only in an emergency, or all along with
 * MC_BROWSER_SERVER=mock. Every test that runs on both proves that the mock keeps to the contract.
 */
import type { Alert, Approval, Role, Task, TaskCreate, TransitionRequest } from '../../control/contract.ts';
import type { Autonomy } from '../../policies/model.ts';
import { startMockServer } from './mock-server.ts';
import { startRealServer } from './real-server.ts';

/** A call as an agent makes it. */
export interface AgentCall {
  tool: string;
  arguments: Record<string, unknown>;
  /** What it returns if it runs at once. */
  output?: string;
  /** The task it is for, one of the agent's own. */
  taskId?: string;
  /** People who have to approve it. Only the mock can be asked; the product's policy names such tools. */
  people?: number;
}

/** Calls whose judgement by the shipped policy is known. */
export const CALLS = {
  /** Red, held. */
  message: { tool: 'message', arguments: { action: 'send', to: 'team@acme.example', text: 'Hello <b>all</b> \u202eevil\u202c' } },
  /** Yellow, held: on no allowlist. */
  build: { tool: 'exec', arguments: { command: 'ls web && cargo build --release' } },
  /** Green, runs. */
  read: { tool: 'read', arguments: { path: 'docs/PLAN.md' }, output: 'the plan' },
  /** On the block list. */
  sudo: { tool: 'exec', arguments: { command: 'sudo reboot' } },
} as const satisfies Record<string, AgentCall>;

/** A tool as an MCP server lists it. */
export interface OfferedTool {
  name: string;
  description: string;
  inputSchema: { type: 'object'; properties?: Record<string, { type: string }> };
}

export interface TestServer {
  url: string;
  /** A token that signs somebody with this role in, as often as needed. */
  signInToken(role: Role): string;
  /** A link that signs an administrator in once. */
  signInLink(): Promise<string>;
  addAgent(name: string, autonomy?: Autonomy, parentId?: string): Promise<string>;
  addTask(task: TaskCreate): Promise<Task>;
  /** Somebody else moves it. */
  moveTask(id: string, move: TransitionRequest): Promise<void>;
  task(id: string): Promise<Task>;
  /** The agent makes this call; answers the approval's id where it is held, else the call's. */
  call(agentId: string, call: AgentCall): Promise<string>;
  approval(id: string): Promise<Approval>;
  /** Jon Reyes decides, on another surface. */
  decide(approvalId: string, verdict: 'approve' | 'deny', note: string): Promise<void>;
  /** The agent takes up what was approved: the call runs. */
  redeem(approvalId: string, output: string): Promise<void>;
  /** The agent gives up waiting. */
  withdraw(approvalId: string): Promise<void>;
  /** Only the mock can be asked for an alert. */
  raiseAlert(alert: Pick<Alert, 'type' | 'severity' | 'message'>): Promise<void>;
  /** An MCP server of this name offers these tools: registered, listed and so pinned the first time, listed anew later. */
  offerTools(upstream: string, tools: readonly OfferedTool[]): Promise<void>;
  agentStatus(agentId: string): Promise<string>;
  isStopped(): Promise<boolean>;
  /** The event stream breaks and stays away until `allowEvents`. */
  cutEvents(): void;
  allowEvents(): void;
  /** The operator's session ends at the server. */
  endOperatorSession(): Promise<void>;
  /** The process ends at once, as by kill -9; `start` brings it up again on the same data at the same address. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Back to an empty squad, for the next test. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

export type ServerKind = 'product' | 'mock';

export function startServer(kind: ServerKind): Promise<TestServer> {
  return kind === 'mock' || process.env.MC_BROWSER_SERVER === 'mock' ? startMockServer() : startRealServer();
}
