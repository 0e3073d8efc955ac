/**
 * The nouns of judgement: what a call is, what is known when it is judged, and what a judgement says.
 * Closed unions and plain data only; no behaviour lives here. Everything in `policies/` is a pure function of these.
 */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** Money: a whole number of micro-dollars (1 USD = 1,000,000). Never a fraction, never a float of dollars. */
export type Micros = number;

export const RISKS = ['green', 'yellow', 'red'] as const;
/** `green` internal and reversible, `yellow` potentially harmful, `red` external impact, destructive or secrets (SPEC 4). */
export type Risk = (typeof RISKS)[number];

export const VERDICTS = ['allow', 'hold', 'deny'] as const;
/** `allow` now, `hold` for a person, `deny` (no approval can release it in this state). */
export type Verdict = (typeof VERDICTS)[number];

export const AUTONOMY_LEVELS = ['intern', 'specialist', 'lead'] as const;
export type Autonomy = (typeof AUTONOMY_LEVELS)[number];

export const AGENT_STATUSES = ['active', 'paused', 'drained', 'quarantined', 'stopped'] as const;
export type AgentStatus = (typeof AGENT_STATUSES)[number];

export const TASK_STATUSES = ['inbox', 'assigned', 'in_progress', 'review', 'needs_approval', 'blocked', 'done', 'canceled'] as const;
export type TaskStatus = (typeof TASK_STATUSES)[number];

export const TASK_TYPES = [
  'content',
  'social',
  'email_marketing',
  'customer_research',
  'seo_research',
  'engineering',
  'docs',
  'ops',
] as const;
export type TaskType = (typeof TASK_TYPES)[number];

export const ACTORS = ['agent', 'human', 'system'] as const;
export type Actor = (typeof ACTORS)[number];

/** The closed list of reasons (SPEC 4). The same word in decision, log, API, metric and dashboard. */
export const REASON_CODES = [
  'OK',
  'APPROVED',
  'ESTOP',
  'SQUAD_PAUSED',
  'AGENT_PAUSED',
  'AGENT_DRAINED',
  'AGENT_QUARANTINED',
  'AGENT_STOPPED',
  'TASK_STATE',
  'TOOL_NOT_PERMITTED',
  'UNKNOWN_TOOL',
  'MALFORMED',
  'RED_ACTION',
  'YELLOW_INTERN',
  'SECRETS',
  'PROD_EXTERNAL',
  'SHELL_BLOCKED',
  'SHELL_NOT_ALLOWLISTED',
  'FS_READ_OUTSIDE',
  'FS_WRITE_OUTSIDE',
  'FS_CONFIG_BLOCKED',
  'NET_NOT_ALLOWLISTED',
  'BUDGET_RUN',
  'BUDGET_TASK',
  'BUDGET_DAILY',
  'BUDGET_FLEET',
  'PRICE_UNKNOWN',
  'RATE_LIMIT',
  'SPAWN_FORBIDDEN',
  'SPAWN_LIMIT_ACTIVE',
  'SPAWN_LIMIT_PARENT',
  'SPAWN_DEPTH',
  'LOOP',
  'SEQUENCE',
  'TOOL_CHANGED',
  'RULE',
  'APPROVAL_DENIED',
  'APPROVAL_EXPIRED',
  'APPROVAL_INVALID',
  'DUPLICATE',
  'GATE_UNPROVEN',
  'SNAPSHOT_STALE',
  'LEDGER_UNAVAILABLE',
  'JOURNAL_UNAVAILABLE',
] as const;
export type ReasonCode = (typeof REASON_CODES)[number];

/** One reason of a decision: a stable code, one sentence for people and models, and the policy line it came from. */
export interface Reason {
  code: ReasonCode;
  message: string;
  /** Dotted path into the policy document ("allowlists.network"), or a path that starts with "builtin." for a rule in code. */
  policyPath: string;
}

/** A call as it is judged. `tool` is the canonical name (SPEC 3, Attribution). */
export interface ToolCall {
  tool: string;
  arguments: JsonObject;
  /** Working directory the call names, absolute or relative to the workspace. */
  cwd: string | null;
  /** Absolute root the call may work in, or null: then every path is outside. */
  workspace: string | null;
  /** OpenClaw's `toolKind`, e.g. `code_mode_exec`; null for a plain call. */
  toolKind: string | null;
}

/** MCP tool annotations that bear on risk (MCP specification, ToolAnnotations). */
export interface McpAnnotations {
  readOnlyHint?: boolean;
  destructiveHint?: boolean;
  idempotentHint?: boolean;
  openWorldHint?: boolean;
}

/** An approval, presented with a call. Whether it fits is judged by `decide`, never by the one who presents it. */
export interface ApprovalFact {
  id: string;
  status: 'pending' | 'approved' | 'denied' | 'expired' | 'withdrawn';
  approverType: 'human' | 'agent' | 'system' | 'unknown';
  approver: string | null;
  /** What the approval was given for. */
  agentId: string;
  tool: string;
  arguments: JsonObject;
  /** How often it has already been used. */
  uses: number;
  /** Milliseconds since it was decided. */
  ageMs: number;
  /** One-time allowance above the caps that it carries, per scope (SPEC 8.3, budget holds). */
  allowance: Micros;
  /** Of one that a standing grant gave: the reasons that it releases, and nothing red. Absent = a person looked at this call. */
  releases?: readonly ReasonCode[];
}

export const RUN_LABELS = ['untrusted', 'private', 'code'] as const;
/** `untrusted` input from outside was taken in, `private` data was read, `code` was written that a runner would pick up (SPEC 4.9). */
export type RunLabel = (typeof RUN_LABELS)[number];

/** Everything besides the call that a judgement may depend on. Gathered by the caller; `decide` looks nothing up. */
export interface Facts {
  agent: {
    id: string | null;
    autonomy: Autonomy;
    status: AgentStatus;
    /** Spawn depth; a root is 0. */
    depth: number;
    /** Live children. */
    children: number;
    currentTaskId: string | null;
    /** Ceiling of tool names (exact or glob); null = no ceiling, [] = nothing. */
    toolPermissions: readonly string[] | null;
  };
  task: { id: string | null; type: TaskType | null; status: TaskStatus; assigneeIds: readonly string[] } | null;
  system: { estop: boolean; squadPaused: boolean; activeAgents: number };
  /** Settled plus reserved by others, per scope. */
  spend: { run: Micros; task: Micros; agentDay: Micros; fleetDay: Micros };
  /** How much of `spend.agentDay` is settled, and not only reserved for calls that run; absent = all of it. */
  settledDay?: Micros;
  /** Caps that bind this call; null = none. Where a field is absent the policy's default applies. */
  caps: { run?: Micros | null; task?: Micros | null; agentDay?: Micros | null; fleetDay?: Micros | null };
  /** What an operator added for a time to the cap that binds, whoever it comes from. */
  raised?: { task?: Micros; agentDay?: Micros };
  /** What the run has touched so far (SPEC 4.9); absent where nobody keeps labels. */
  run?: { labels: readonly RunLabel[] };
  /** Upper bound of what the call will cost; null = the policy's price of the tool, or nothing. */
  estimatedCost: Micros | null;
  approval: ApprovalFact | null;
  mcp: { server: string; trusted: boolean; annotations: McpAnnotations; changed: boolean } | null;
  /** The route of a registered HTTP tool that the call is (SPEC 3), and the risk that its registration gives it; absent for every other call. */
  route?: { upstream: string; risk: Risk | null };
  /** What happened before this call. */
  history: { sameErrorRetries: number; commentsIn30Min: number; reviewCycles: number; pairExchangesIn10Min: number };
  network: {
    /** Addresses that hosts resolved to, where the caller could ask. */
    dns: { readonly [host: string]: readonly string[] };
    /** Where a request was redirected to, in order; every hop is judged. */
    redirects: readonly string[];
  };
  files: {
    /** Absolute path → where it really leads, for every link the caller saw. */
    symlinks: { readonly [path: string]: string };
  };
  /** Calls in the last minute of this agent with this tool, and calls open now; for rates. */
  rates: { callsLastMinute: number; concurrent: number };
}

/** How one command of a command line was read, for the person who decides (SPEC 6, "what would happen"). */
export interface CommandReading {
  /** The command as written, and where it stands in the text: [start, end) in UTF-16 units. */
  text: string;
  span: readonly [number, number];
  /** Its words after quoting is removed, or null where they are not known from the text. */
  argv: readonly string[] | null;
  /** `allowed` matches the list, `held` does not, `blocked` is on the block list. */
  verdict: 'allowed' | 'held' | 'blocked';
  /** Plainly destructive or blocked. */
  red: boolean;
  /** One clause that says why. */
  why: string;
  /** The words that caused a hold or block, to be highlighted. */
  offending: readonly (readonly [number, number])[];
}

/** What reading a call found out; the material from which `decide` makes its reasons, and the preview for people. */
export interface Classification {
  /** The plan's name of the tool after mapping ("exec" → "shell_exec"), or the canonical name. */
  mappedTool: string;
  /** From the maps and hints alone, before the arguments raised it. */
  baseRisk: Risk;
  /** After the arguments. */
  risk: Risk;
  /** Reasons found in the call itself, each with the verdict it asks for. */
  findings: readonly Finding[];
  commands: readonly CommandReading[];
  paths: readonly PathReading[];
  hosts: readonly HostReading[];
}

export interface Finding extends Reason {
  verdict: 'hold' | 'deny';
  /** The risk this finding raises the call to, if any. */
  risk: Risk | null;
}

export interface PathReading {
  given: string;
  /** Canonical absolute path, or null where it cannot be said. */
  path: string | null;
  use: 'read' | 'write';
  verdict: 'inside' | 'outside' | 'config';
  secret: boolean;
  why: string;
}

export interface HostReading {
  given: string;
  host: string | null;
  port: number | null;
  scheme: string | null;
  /** `refused`: credentials, address literal, private or special address, non-canonical spelling. */
  verdict: 'listed' | 'not_listed' | 'refused';
  why: string;
  /** What the name resolved to, where somebody asked before the call was judged; absent where nobody did. */
  addresses?: readonly string[];
}

/** The outcome of judging one call. Reasons are in the order of SPEC 4.1. */
export interface Decision {
  verdict: Verdict;
  risk: Risk;
  reasons: readonly Reason[];
  classification: Classification;
  /** Rules of the policy that took part, whether a reason names them or not. */
  rules: readonly AppliedRule[];
  /** What will be reserved if the call runs. */
  estimatedCost: Micros;
}

/** A rule of a policy whose condition was true of a call, by its place in the document. */
export interface AppliedRule {
  index: number;
  /** Why it could not be evaluated, which refuses the call; null = it was. */
  failure: string | null;
}

/** What was read in the arguments of a call, kept where its record no longer has them as they were judged (SPEC 10). Redacted. */
export interface RecordedReading {
  findings: readonly Finding[];
  commands: readonly CommandReading[];
  paths: readonly PathReading[];
  hosts: readonly HostReading[];
  /** What the arguments raised the risk to, if they raised it. */
  raised: Risk | null;
  rules: readonly AppliedRule[];
}

/** A judgement as its record keeps it: what was decided and everything that it was told, so that it can be made again. */
export interface RecordedJudgement {
  verdict: Verdict;
  risk: Risk;
  /** Codes of the reasons, each once. */
  codes: readonly ReasonCode[];
  facts: Facts;
  /** Present where the record's arguments are not the ones that were judged, by redaction or for their length. */
  reading?: RecordedReading;
  /** Redacted arguments that were judged instead of the caller's own, where an approver edited them. */
  arguments?: JsonObject;
}

export const FLIP_KINDS = ['allowToHold', 'allowToDeny', 'holdToAllow', 'holdToDeny', 'denyToAllow', 'denyToHold'] as const;
/** How a verdict differs between two policies. */
export type FlipKind = (typeof FLIP_KINDS)[number];
