/**
 * What control tells a proxy of the world so that it can judge (/internal/v1, cluster secret): agents, gateways, upstreams, tasks, the
 * policy and the state of the whole; and what a proxy reports of them.
 */
import type { Said } from '../../policies/loops.ts';
import type { AGENT_STATUSES, AUTONOMY_LEVELS, TASK_STATUSES, TASK_TYPES } from '../../policies/model.ts';
import type { CanaryClaim } from './canaries.ts';
import type { Shadow } from './policies.ts';
import type { ToolDefinition, Upstream } from './upstreams.ts';

/** What a proxy must know of an agent to judge and attribute its calls. */
export interface AgentPicture {
  id: string;
  name: string;
  autonomy: (typeof AUTONOMY_LEVELS)[number];
  status: (typeof AGENT_STATUSES)[number];
  depth: number;
  children: number;
  /** Of a sub-agent: who started it, and its session in OpenClaw, by which its calls are known. */
  parentId?: string | null;
  childSession?: string | null;
  currentTaskId: string | null;
  toolPermissions: readonly string[] | null;
  workspace: string | null;
  gate: 'openclaw' | 'none';
  gatewayId: string | null;
  externalId: string | null;
  /** Own caps in micro-dollars; null = the policy's. */
  dailyCap: number | null;
  perRunCap: number | null;
  /** Set by the proxy: this is not the agent but a canary in its name, and whatever it asks is refused. */
  canary?: CanaryClaim;
  /** What an operator has added to caps of this agent, by scope key, micro-dollars. */
  raises?: { readonly [scope: string]: number };
  /** Hashes (SHA-256, hex) of the agent's live tokens. */
  tokenHashes: readonly string[];
  /** MCP server entries in its OpenClaw → the upstream that they lead to (SPEC 3, Attribution); written by `openclaw connect`. */
  mcpAliases: { readonly [entry: string]: string };
}
export interface GatewayPicture {
  id: string;
  name: string;
  tokenHashes: readonly string[];
  /** When its plugin was last heard, by control's clock; null = never. */
  lastHeartbeat: number | null;
}
/** An upstream with everything that is needed to reach it; its secret is kept in memory only. */
export interface UpstreamPicture {
  id: string;
  name: string;
  kind: Upstream['kind'];
  url: string | null;
  command: readonly string[] | null;
  env: { readonly [name: string]: string };
  secret: string | null;
  trusted: boolean;
  allowPrivate: boolean;
  shared: boolean;
  /** What requests to an HTTP tool are called, the first that fits. */
  routes: Upstream['routes'];
  /** Micro-dollars per call; null = the policy's price. */
  price: number | null;
  limits: Upstream['limits'];
  /** Counts up with every change of how it is reached; what was opened under another one is closed. */
  revision: number;
  /** False until the first listing was whole; then a tool that is not in `tools` is new. */
  pinned: boolean;
  tools: { readonly [name: string]: ToolPicture };
}
/** A tool of an MCP server: whether its calls may run as it is, and the definition that was accepted (of a new one, none). */
export interface ToolPicture {
  state: 'pinned' | 'changed' | 'new';
  pinnedHash: string | null;
  seenHash: string | null;
  pinned: ToolDefinition | null;
  /** Hints of the definition that the server gives now. */
  annotations: ToolDefinition;
}
/** Body of POST /internal/v1/upstreams/{id}/tools: one page of a listing as the server gave it. */
export interface ToolListing {
  tools: readonly ToolDefinition[];
  /** Whether it is the first page, and the last. */
  first: boolean;
  last: boolean;
}
/** Answer of POST /internal/v1/gateway-passes/redeem {ticket}; null = it opens nothing. */
export interface RedeemedTicket {
  /** Secret of the cookie. */
  secret: string;
  /** People reach the proxy by https: the cookie is for that alone. */
  isSecure: boolean;
  pass: GatewayPass;
}
/** What a cookie of the gateway pass-through opens: answer of POST /internal/v1/gateway-passes/check {hash}. Null = nothing. */
export interface GatewayPass {
  operator: { id: string; name: string };
  gateway: { id: string; name: string; url: string; token: string | null };
  expiresAt: number;
}
/** Body of POST /internal/v1/upstreams/{id}/health. */
export interface UpstreamHealth {
  ok: boolean;
  error: string | null;
  /** It answered, and does not take our credential (HTTP 401). */
  unauthorized?: true;
}
export interface TaskPicture {
  id: string;
  type: (typeof TASK_TYPES)[number];
  status: (typeof TASK_STATUSES)[number];
  assigneeIds: readonly string[];
  sessionKey: string | null;
  /** Sessions of its assignees besides that one. */
  moreSessions?: readonly string[];
  /** Own cap in micro-dollars; null = the policy's for its type. */
  budget: number | null;
  /** What an operator has added to it for a time, micro-dollars. */
  raised?: number;
  /** Of an open task: how often it went back from its review, and its last comments, oldest first; absent = nothing to count. */
  loops?: { reviewCycles: number; talk: readonly Said[] };
}
export interface SystemPicture {
  estop: boolean;
  /** Identifies the stop that a proxy acknowledges. */
  stopId: string | null;
  squadPaused: boolean;
  activeAgents: number;
  /** Stops that are over: only this, on the line, takes back what a stop order has said. */
  endedStops?: readonly string[];
}
export interface PolicyPicture {
  id: string;
  version: string;
  document: unknown;
  /** A draft that judges beside the policy and decides nothing. */
  shadow: ShadowPicture | null;
  /** Folders of control's own data and keys, which no call may touch. */
  gateRoots: readonly string[];
}

export interface ShadowPicture {
  id: string;
  document: unknown;
}

/** Body of POST /internal/v1/shadows/{id}/{processId}: what a process of a proxy has counted since it began to run the draft. */
export interface ShadowReport {
  calls: Shadow['calls'];
  skipped: number;
  redFlips: number;
  examples: Shadow['examples'];
}
