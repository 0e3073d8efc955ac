/**
 * Every message that crosses a process border: HTTP bodies of the control API and of the gate, the server-sent events,
 * what a proxy and control say to each other, and the events of the journal. The one file of `control/` that others import.
 * Unknown input is parsed with these schemas once, at the edge; behind it the types are trusted.
 */
import { z } from 'zod';
import { microsFromUsd } from '../policies/budget.ts';
import type { GrantPattern } from '../policies/grants.ts';
import type { Said } from '../policies/loops.ts';
import {
  ACTORS,
  AGENT_STATUSES,
  AUTONOMY_LEVELS,
  type CommandReading,
  FLIP_KINDS,
  type FlipKind,
  type HostReading,
  type Json,
  type JsonObject,
  type PathReading,
  REASON_CODES,
  type ReasonCode,
  type RecordedJudgement,
  RISKS,
  type RunLabel,
  TASK_STATUSES,
  TASK_TYPES,
  VERDICTS,
} from '../policies/model.ts';
import type { Usage } from '../policies/prices.ts';

/* ---------------------------------------------------------------- shared parts */

/**
 * Whether a text can be stored as it is: PostgreSQL has no NUL in a text, and no lone surrogate in JSON. Names and ids with one are
 * refused where they come in; what an agent or a tool said is stored with {@link storable}.
 */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed();
}

/** The text as it can be stored: NUL becomes its picture, half a surrogate pair the replacement character. */
export function storable(text: string): string {
  return text.replaceAll('\0', '\u2400').toWellFormed();
}

/** The same for the JSON text of a value, where both can only stand escaped. @param text made by JSON.stringify. */
export function storableJson(text: string): string {
  if (!text.includes('\\u')) return text;
  return text.replaceAll(/(\\+)u(0000|d[89a-f][0-9a-f]{2})/g, (found, backslashes: string, code: string) =>
    backslashes.length % 2 === 0 ? found : backslashes.slice(1) + (code === '0000' ? '\u2400' : '\ufffd'),
  );
}

/** Milliseconds since 1970-01-01 UTC. */
const EpochMs = z.number().int().nonnegative();
/** USD with at most six decimals; stored as whole micro-dollars. */
const Usd = z.number();
const Id = z.string().min(1).max(128);
const Text = (max: number) => z.string().max(max);
/** An amount that somebody sets: exact in micro-dollars, or refused. */
const UsdGiven = Usd.min(0).max(1_000_000).refine(isWholeMicros, { message: 'must be an amount in USD with at most six decimals' });
const JsonRecord = z.record(z.string(), z.unknown());

/** Name of Mission Control's own MCP server: its path segment, and the first part of its tools' names (SPEC 3). */
export const OWN_SERVER = 'mission-control';

export const ROLES = ['viewer', 'approver', 'operator', 'admin'] as const;
/** Each role may do what the ones before it may (SPEC 8.1). */
export type Role = (typeof ROLES)[number];

const ReasonSchema = z
  .object({ code: z.enum(REASON_CODES), message: z.string(), policyPath: z.string() })
  .meta({ id: 'Reason', description: 'Why a call was judged as it was: stable code, one sentence, the policy line it came from.' });

/** RFC 9457. `code` is stable and machine-readable; `detail` says what to do next. */
export const ProblemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string(),
    code: z.string(),
    requestId: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
  })
  .loose()
  .meta({ id: 'Problem' });
export type Problem = z.infer<typeof ProblemSchema>;

export const listOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), nextCursor: z.string().nullable() });

/* ---------------------------------------------------------------- resources of the control API (SPEC 8.1) */

export const AgentSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    updatedAt: EpochMs,
    /** Counts up with every change; the ETag. */
    revision: z.number().int(),
    name: z.string(),
    sessionKey: z.string().nullable(),
    autonomyLevel: z.enum(AUTONOMY_LEVELS),
    status: z.enum(AGENT_STATUSES),
    statusReason: z.string().nullable(),
    statusChangedAt: EpochMs,
    /** `openclaw`: this agent must be seen by the plugin; `none`: it calls by MCP or SDK only and has no gate to miss. */
    gate: z.enum(['openclaw', 'none']),
    gatewayId: Id.nullable(),
    /** The agent's id inside its OpenClaw gateway. */
    externalId: z.string().nullable(),
    workspace: z.string().nullable(),
    modelConfig: z.object({ primary: z.string().optional(), fallback: z.string().optional() }),
    toolPermissions: z.array(z.string()).nullable(),
    budgets: z.object({ dailyCap: Usd.nullable(), perRunCap: Usd.nullable() }),
    currentTaskId: Id.nullable(),
    parentId: Id.nullable(),
    depth: z.number().int(),
    lastHeartbeat: EpochMs.nullable(),
    lastCallAt: EpochMs.nullable(),
    errorStreak: z.number().int(),
    totalSpend: Usd,
    todaySpend: Usd,
    /** The cap that binds today: the agent's own, or the policy's for its autonomy. */
    todayCap: Usd.nullable(),
    pendingApprovals: z.number().int(),
    soulHash: z.string().nullable(),
    metadata: JsonRecord,
  })
  .meta({ id: 'Agent' });
export type Agent = z.infer<typeof AgentSchema>;

const Budgets = z.object({ dailyCap: UsdGiven.nullable().optional(), perRunCap: UsdGiven.nullable().optional() }).strict();
const AgentFields = {
  name: Text(120).min(1),
  sessionKey: Text(512).nullable(),
  autonomyLevel: z.enum(AUTONOMY_LEVELS),
  gate: z.enum(['openclaw', 'none']),
  gatewayId: Id.nullable(),
  externalId: Text(256).nullable(),
  workspace: Text(4096).startsWith('/').nullable(),
  modelConfig: z.object({ primary: Text(256).optional(), fallback: Text(256).optional() }).strict(),
  toolPermissions: z.array(Text(256).min(1)).max(1000).nullable(),
  budgets: Budgets,
  currentTaskId: Id.nullable(),
  parentId: Id.nullable(),
  soulHash: Text(128).nullable(),
  metadata: JsonRecord,
};
export const AgentCreateSchema = z
  .object(AgentFields)
  .partial()
  .required({ name: true })
  .strict()
  .meta({ id: 'AgentCreate', description: 'autonomyLevel defaults to intern, gate to none.' });
export type AgentCreate = z.infer<typeof AgentCreateSchema>;
export const AgentUpdateSchema = z.object(AgentFields).omit({ parentId: true }).partial().strict().meta({ id: 'AgentUpdate' });
export type AgentUpdate = z.infer<typeof AgentUpdateSchema>;

/** What a template says of the agents that are made from it. */
export const SoulTemplateSchema = z
  .object({
    description: Text(2000).optional(),
    autonomyLevel: AgentFields.autonomyLevel.optional(),
    gate: AgentFields.gate.optional(),
    workspace: AgentFields.workspace.optional(),
    modelConfig: AgentFields.modelConfig.optional(),
    toolPermissions: AgentFields.toolPermissions.optional(),
    budgets: AgentFields.budgets.optional(),
    metadata: AgentFields.metadata.optional(),
  })
  .strict();
export const SoulSchema = z
  .object({
    name: z.string(),
    /** The commit that last changed it. */
    hash: z.string(),
    /** Null where the file cannot be used; then `problem` says why. */
    template: SoulTemplateSchema.nullable(),
    problem: z.string().nullable(),
    /** Made from it; `drifted`: from another commit than this. */
    agents: z.array(z.object({ id: Id, name: z.string(), soulHash: z.string().nullable(), drifted: z.boolean() })),
  })
  .meta({ id: 'Soul' });
export const SoulAgentSchema = z
  .object({
    name: AgentFields.name,
    gatewayId: AgentFields.gatewayId.optional(),
    externalId: AgentFields.externalId.optional(),
    workspace: AgentFields.workspace.optional(),
  })
  .strict()
  .meta({ id: 'SoulAgent', description: 'What is given here wins over the template.' });

/** Body of pause, drain, quarantine, restart, pause-squad, stop. */
export const ControlActionSchema = z
  .object({ reason: Text(2000).optional() })
  .strict()
  .meta({ id: 'ControlAction' });

export const TokenSchema = z
  .object({ id: Id, createdAt: EpochMs, lastUsedAt: EpochMs.nullable(), revokedAt: EpochMs.nullable(), hint: z.string() })
  .meta({ id: 'Token', description: 'A credential without its secret; hint is its last four characters.' });
export const NewTokenSchema = z
  .object({ id: Id, token: z.string() })
  .meta({ id: 'NewToken', description: 'The secret is shown this once.' });

const LINK_STATES = ['none', 'connecting', 'connected', 'unauthorized', 'down'] as const;
export const GatewaySchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    name: z.string(),
    url: z.string().nullable(),
    /** The operator WebSocket to the gateway. */
    link: z.object({
      state: z.enum(LINK_STATES),
      since: EpochMs,
      error: z.string().nullable(),
      /** Whether it tells what happens in its sessions. */
      followsSessions: z.boolean(),
    }),
    /** When the plugin in this gateway was last heard, and which version it is. */
    lastHeartbeat: EpochMs.nullable(),
    pluginVersion: z.string().nullable(),
    /** `live`: heartbeats arrive. `silent`: they have stopped. `missing`: the gateway is up and its plugin is not. `unproven`: never heard. */
    gate: z.enum(['live', 'silent', 'missing', 'unproven']),
    agentIds: z.array(Id),
  })
  .meta({ id: 'Gateway' });
export type Gateway = z.infer<typeof GatewaySchema>;
export const GatewayCreateSchema = z
  .object({ name: Text(120).min(1), url: Text(2048).nullable().optional(), token: Text(4096).nullable().optional() })
  .strict()
  .meta({ id: 'GatewayCreate', description: "url and token are the gateway's own WebSocket address and operator token." });

export const GatewayTicketSchema = z
  .object({ url: z.string(), expiresAt: EpochMs })
  .meta({ id: 'GatewayTicket', description: 'Open the address in a browser, once, before it expires.' });
/** An agent that an OpenClaw gateway has. */
export const RosterEntrySchema = z
  .object({
    /** The gateway's own id of it. */
    externalId: z.string(),
    name: z.string().nullable(),
    workspace: z.string().nullable(),
    /** Ours, where it is registered. */
    agentId: Id.nullable(),
  })
  .meta({ id: 'RosterEntry' });
export type RosterEntry = z.infer<typeof RosterEntrySchema>;
export const RosterImportSchema = z
  .object({ externalIds: z.array(Text(256).min(1)).max(1000).optional(), autonomyLevel: z.enum(AUTONOMY_LEVELS).optional() })
  .strict()
  .meta({ id: 'RosterImport', description: 'externalIds defaults to all that are not registered, autonomyLevel to intern.' });

export const GatewayUpdateSchema = GatewayCreateSchema.partial().meta({ id: 'GatewayUpdate' });

const Artifacts = z
  .object({
    workPlan: Text(100_000).optional(),
    deliverable: Text(200_000).optional(),
    selfReview: Text(100_000).optional(),
    evidence: z.array(Text(4096)).max(200).optional(),
    deliverableConfirmed: z.boolean().optional(),
    decisionNote: Text(10_000).optional(),
    approvalId: Id.optional(),
  })
  .strict();
export const TaskSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    updatedAt: EpochMs,
    revision: z.number().int(),
    title: z.string(),
    description: z.string(),
    type: z.enum(TASK_TYPES),
    status: z.enum(TASK_STATUSES),
    priority: z.enum(['high', 'medium', 'low']),
    assigneeIds: z.array(Id),
    reviewerIds: z.array(Id),
    subscriberIds: z.array(z.string()),
    threadRef: z.string().nullable(),
    sessionKey: z.string().nullable(),
    parentTaskId: Id.nullable(),
    dependsOn: z.array(Id),
    budget: Usd.nullable(),
    spend: Usd,
    workPlan: z.string().nullable(),
    deliverable: z.string().nullable(),
    deliverableMakesClaims: z.boolean(),
    selfReview: z.string().nullable(),
    evidence: z.array(z.string()),
    deliverableConfirmed: z.boolean(),
    decisionNote: z.string().nullable(),
    blockedReason: z.string().nullable(),
    /** Computed by us when the work was last handed in; null before. */
    costSummary: z.string().nullable().optional(),
    metadata: JsonRecord,
  })
  .meta({ id: 'Task' });
export type Task = z.infer<typeof TaskSchema>;
const TaskFields = {
  title: Text(300).min(1),
  description: Text(100_000),
  type: z.enum(TASK_TYPES),
  priority: z.enum(['high', 'medium', 'low']),
  assigneeIds: z.array(Id).max(50),
  reviewerIds: z.array(Id).max(50),
  subscriberIds: z.array(Text(128)).max(200),
  threadRef: Text(512).nullable(),
  sessionKey: Text(512).nullable(),
  dependsOn: z.array(Id).max(200),
  budget: UsdGiven.nullable(),
  workPlan: Text(100_000).nullable(),
  deliverable: Text(200_000).nullable(),
  deliverableMakesClaims: z.boolean(),
  selfReview: Text(100_000).nullable(),
  evidence: z.array(Text(4096)).max(200),
  metadata: JsonRecord,
};
export const TaskCreateSchema = z
  .object({ ...TaskFields, parentTaskId: Id.nullable() })
  .partial()
  .required({ title: true, type: true })
  .strict()
  .meta({ id: 'TaskCreate' });
export type TaskCreate = z.infer<typeof TaskCreateSchema>;
export const TaskUpdateSchema = z.object(TaskFields).partial().strict().meta({ id: 'TaskUpdate' });
export type TaskUpdate = z.infer<typeof TaskUpdateSchema>;
export const TransitionRequestSchema = z
  .object({
    to: z.enum(TASK_STATUSES),
    reason: Text(10_000).optional(),
    idempotencyKey: Text(200).min(1).optional(),
    artifacts: Artifacts.optional(),
  })
  .strict()
  .meta({ id: 'TransitionRequest' });
export type TransitionRequest = z.infer<typeof TransitionRequestSchema>;
export const TransitionSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    taskId: Id,
    fromStatus: z.enum(TASK_STATUSES),
    toStatus: z.enum(TASK_STATUSES),
    actor: z.enum(ACTORS),
    actorId: z.string().nullable(),
    reason: z.string().nullable(),
    artifactsProvided: z.array(z.string()),
    idempotencyKey: z.string().nullable(),
  })
  .meta({ id: 'Transition' });
export const TransitionRuleSchema = z
  .object({ from: z.enum(TASK_STATUSES), to: z.enum(TASK_STATUSES), actors: z.array(z.enum(ACTORS)), requires: z.array(z.string()) })
  .meta({ id: 'TransitionRule' });

export const MessageSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    taskId: Id,
    threadRef: z.string().nullable(),
    authorId: z.string().nullable(),
    authorType: z.enum(ACTORS),
    authorName: z.string(),
    /** Redacted; untrusted text where an agent wrote it. */
    content: z.string(),
    /** Agents and people that it names. */
    mentions: z.array(z.string()),
    metadata: JsonRecord,
  })
  .meta({ id: 'Message' });
export type Message = z.infer<typeof MessageSchema>;
/** A thread in which somebody has not read everything. */
export const UnreadThreadSchema = z
  .object({
    taskId: Id,
    /** Comments of others since the last one that was read. */
    unread: z.number().int(),
    /** Of those, the ones that name the reader. */
    named: z.number().int(),
    /** The newest of them. */
    lastNumber: z.number().int(),
    lastAt: EpochMs,
  })
  .meta({ id: 'UnreadThread' });
export type UnreadThread = z.infer<typeof UnreadThreadSchema>;
export const MessageReadSchema = z
  .object({ upTo: z.number().int().min(0).optional() })
  .strict()
  .meta({ id: 'MessageRead', description: 'upTo: number of the last comment that was seen; without it, all there is.' });
export const MessageCreateSchema = z
  .object({
    taskId: Id,
    content: Text(20_000).min(1),
    mentions: z.array(Id).max(50).optional(),
    metadata: JsonRecord.optional(),
    idempotencyKey: Text(200).min(1).optional(),
  })
  .strict()
  .meta({
    id: 'MessageCreate',
    description:
      '"@name" in the content mentions an agent or a person; mentions adds ids. The same idempotencyKey of the same author is one message.',
  });
export type MessageCreate = z.infer<typeof MessageCreateSchema>;

const DOCUMENT_KINDS = ['loop_summary', 'standup'] as const;
export const DocumentSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    kind: z.enum(DOCUMENT_KINDS),
    taskId: Id.nullable(),
    /** The day that it reports on, "2026-11-22". */
    day: z.string().nullable(),
    title: z.string(),
    /** Markdown. */
    body: z.string(),
  })
  .meta({ id: 'Document' });
export type WorkDocument = z.infer<typeof DocumentSchema>;
export const DOCUMENT_FILTER = { kind: z.enum(DOCUMENT_KINDS).optional(), taskId: Id.optional() };

/** `act`: what somebody did to an agent, a policy, a gateway, an upstream or the whole. */
const TIMELINE_KINDS = ['transition', 'run', 'call', 'approval', 'message', 'alert', 'document', 'delivery', 'act'] as const;
export const TimelineEntrySchema = z
  .object({
    kind: z.enum(TIMELINE_KINDS),
    /** Of the transition, run, call and so on. */
    id: z.string(),
    at: EpochMs,
    actorType: z.enum(ACTORS).nullable(),
    actorId: z.string().nullable(),
    /** One sentence; untrusted text where it quotes an agent. */
    summary: z.string(),
    /** Why: the line of the policy (`id` = its version), or who did it and what they said. */
    cause: z.object({ by: z.enum(['policy', ...ACTORS]), id: z.string().nullable(), text: z.string().nullable() }).nullable(),
    cost: Usd.nullable(),
    /** What its kind has besides: status, risk, cost in USD, reason. */
    details: JsonRecord,
  })
  .meta({ id: 'TimelineEntry' });
export type TimelineEntry = z.infer<typeof TimelineEntrySchema>;

const CostPart = z.object({ id: z.string().nullable(), name: z.string(), spend: Usd, calls: z.number().int() });
export const TaskCostSchema = z
  .object({
    taskId: Id,
    spend: Usd,
    /** The cap that binds: the task's own, or the policy's for its type; null = none. */
    budget: Usd.nullable(),
    calls: z.number().int(),
    runs: z.number().int(),
    /** The same with every sub-task, however deep. */
    withSubtasks: z.object({ spend: Usd, tasks: z.number().int() }),
    byAgent: z.array(CostPart),
    byTool: z.array(CostPart),
  })
  .meta({ id: 'TaskCost' });

/** What happened, who, why, at which cost, and what next (SPEC 1): of a task, an agent or a window of time. */
export const IncidentSchema = z
  .object({
    subject: z.object({ kind: z.enum(['task', 'agent', 'window']), id: z.string().nullable(), name: z.string() }),
    from: EpochMs,
    to: EpochMs,
    /** The newest notable entries first: calls that were simply allowed and went well are only counted. */
    what: z.object({
      entries: z.array(TimelineEntrySchema),
      /** More happened than is listed. */
      isCut: z.boolean(),
      calls: z.number().int(),
      denied: z.number().int(),
      held: z.number().int(),
      failed: z.number().int(),
      /** Whether they took effect is not known. */
      unknown: z.number().int(),
    }),
    who: z.array(
      z.object({
        type: z.enum(ACTORS),
        id: z.string().nullable(),
        name: z.string(),
        calls: z.number().int(),
        /** Decisions, stops and other acts of a person. */
        acts: z.number().int(),
        spend: Usd,
      }),
    ),
    /** Why calls did not simply run, most frequent first. */
    why: z.array(z.object({ code: z.string(), message: z.string(), policyPath: z.string(), calls: z.number().int() })),
    cost: z.object({ spend: Usd, byAgent: z.array(CostPart), byTool: z.array(CostPart) }),
    /** What waits for somebody now. */
    next: z.array(z.object({ kind: z.enum(['stop', 'alert', 'approval', 'task', 'agent', 'call']), id: z.string(), text: z.string() })),
  })
  .meta({ id: 'Incident' });
export type Incident = z.infer<typeof IncidentSchema>;

export const WorkerSchema = z
  .object({
    name: z.string(),
    /** The process that does it now. */
    holder: z.string(),
    leaseExpiresAt: EpochMs,
    tickedAt: EpochMs.nullable(),
    succeededAt: EpochMs.nullable(),
    lastError: z.string().nullable(),
  })
  .meta({ id: 'Worker', description: 'A background job; one process holds its lease at a time.' });

export const HealthSchema = z
  .object({
    at: EpochMs,
    parts: z.array(
      z.object({
        group: z.enum(['proxies', 'database', 'redis', 'openclaw', 'channels', 'audit', 'workers', 'backups']),
        name: z.string(),
        /** `attention`: it works and should be looked at. `failing`: it does not. `unused`: not set up. `unknown`: it cannot be found out here. */
        state: z.enum(['ok', 'attention', 'failing', 'unused', 'unknown']),
        /** One sentence or two for people: what was found, and what follows from it. */
        says: z.string(),
        /** When it was last well or last heard; null = never, or it means nothing here. */
        at: EpochMs.nullable(),
      }),
    ),
  })
  .meta({ id: 'Health', description: 'How each part of the installation is doing, asked now.' });
export type Health = z.infer<typeof HealthSchema>;

export const APPROVAL_STATUSES = ['pending', 'approved', 'denied', 'expired', 'withdrawn'] as const;
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

/** Parts of a reading that policies/model.ts describes; the OpenAPI document says no more of them than that they are there. */
const Reading = <T>(): z.ZodType<T> => z.any();
/** What the card shows of a call: how it was read. Texts are redacted. */
export const PreviewSchema = z
  .object({
    mappedTool: z.string(),
    commands: z.array(Reading<CommandReading>()),
    paths: z.array(Reading<PathReading>()),
    hosts: z.array(Reading<HostReading>()),
  })
  .meta({ id: 'Preview' });
export type Preview = z.infer<typeof PreviewSchema>;

export const ApprovalSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    kind: z.enum(['call', 'task']),
    status: z.enum(APPROVAL_STATUSES),
    agentId: Id.nullable(),
    agentName: z.string().nullable(),
    taskId: Id.nullable(),
    taskTitle: z.string().nullable(),
    runId: z.string().nullable(),
    sessionKey: z.string().nullable(),
    toolCallId: Id.nullable(),
    tool: z.string().nullable(),
    /** Redacted. What runs is the caller's own original, or the approver's edit of it. */
    arguments: JsonRecord.nullable(),
    /** Redacted arguments after the approver's edit, when there was one. */
    editedArguments: JsonRecord.nullable(),
    cwd: z.string().nullable(),
    workspace: z.string().nullable(),
    risk: z.enum(['yellow', 'red']),
    summary: z.string(),
    /** The first reason's sentence (the plan's field); `reasons` has them all. */
    reason: z.string(),
    reasons: z.array(ReasonSchema),
    preview: PreviewSchema.nullable(),
    /** First and last characters of the digest that the approval binds to, for people to compare. */
    digest: z.string().nullable(),
    estimatedCost: Usd,
    policyVersion: z.string().nullable(),
    approver: z.string().nullable(),
    decision: z.string().nullable(),
    decidedAt: EpochMs.nullable(),
    expiresAt: EpochMs,
    /** Until when the caller waits on its connection; afterwards it is told through its session. */
    waitingUntil: EpochMs.nullable(),
    /** True once the caller was told that it will be told. */
    deferred: z.boolean(),
    /** When the single use was taken, and by which call. */
    redeemedAt: EpochMs.nullable(),
    redeemedBy: Id.nullable(),
    grantExpiresAt: EpochMs.nullable(),
    /** A red call needs a note from whoever decides. */
    noteRequired: z.boolean(),
    /** Calls that wait on this approval. */
    waitingCalls: z.number().int(),
    /** Outcome of the call that ran under it. */
    outcome: z.enum(['none', 'running', 'success', 'failed', 'unknown']),
    /** Requests with the same key ask for the same kind of thing (docs/approvals.md); stable, readable text. */
    groupKey: z.string(),
    /** People who have to approve: 1, or 2 where the policy names the tool under `approvals.twoPeople`. */
    approvalsNeeded: z.number().int(),
    /** Who has approved so far, first one first; `actingFor` names those who are away and whose deputy this person is. */
    approvedBy: z.array(
      z.object({ id: z.string(), name: z.string(), at: EpochMs, note: z.string().nullable(), actingFor: z.array(z.string()) }),
    ),
    /** Reminders sent so far. */
    reminders: z.number().int(),
    /** When it was handed on to the role of the policy's `approvals.escalateTo`; null = it was not. */
    escalatedAt: EpochMs.nullable(),
    /** The standing grant that decided it; null = a person did, or nobody has. */
    grantId: Id.nullable(),
    /** The standing grant that was made from it. */
    madeGrantId: Id.nullable(),
  })
  .meta({ id: 'Approval' });
export type Approval = z.infer<typeof ApprovalSchema>;
/** The arguments of a held call, redacted and not shortened; `Approval.arguments` keeps the first 64 KiB of long ones. */
export const WholeArgumentsSchema = z.object({ arguments: JsonRecord }).meta({ id: 'WholeArguments' });
export type WholeArguments = z.infer<typeof WholeArgumentsSchema>;

/* ---- standing grants: approve for longer (SPEC 6) */

const GRANT_KINDS = ['agent', 'task', 'role'] as const;
export const GrantScopeSchema = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('agent'), agentId: Id }).strict(),
    z.object({ kind: z.literal('task'), taskId: Id }).strict(),
    z.object({ kind: z.literal('role'), autonomyLevel: z.enum(AUTONOMY_LEVELS) }).strict(),
  ])
  .meta({ id: 'GrantScope', description: 'One agent, whoever works on one task, or every agent of one autonomy level.' });
export type GrantScope = z.infer<typeof GrantScopeSchema>;

const GRANT_STATUSES = ['active', 'expired', 'used_up', 'revoked'] as const;
export const GrantSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    createdBy: z.object({ id: z.string(), name: z.string() }),
    /** The approval that it was given with. */
    approvalId: Id,
    scope: GrantScopeSchema,
    /** Name of the agent or title of the task; null for a role, or where it is gone. */
    scopeName: z.string().nullable(),
    tool: z.string(),
    /** `sentence` and `text` are for people; `template` is what a call is compared with (docs/approvals.md). Untrusted text inside. */
    pattern: z.object({ name: z.string(), text: z.string(), sentence: z.string(), template: Reading<GrantPattern>() }),
    /** What it ends at, the policy's ceiling of now included. */
    expiresAt: EpochMs,
    /** Null = no limit. */
    maxUses: z.number().int().nullable(),
    uses: z.number().int(),
    lastUsedAt: EpochMs.nullable(),
    status: z.enum(GRANT_STATUSES),
    revokedAt: EpochMs.nullable(),
    revokedBy: z.string().nullable(),
    note: z.string().nullable(),
  })
  .meta({ id: 'Grant' });
export type Grant = z.infer<typeof GrantSchema>;
const GrantUse = z.object({
  at: EpochMs,
  approvalId: Id,
  approvalNumber: z.number().int(),
  callId: Id.nullable(),
  agentId: Id.nullable(),
  summary: z.string(),
  outcome: ApprovalSchema.shape.outcome,
});
/** GET of one: with its newest uses, at most 200. */
export const GrantDetailSchema = GrantSchema.extend({ calls: z.array(GrantUse) }).meta({ id: 'GrantDetail' });
export type GrantDetail = z.infer<typeof GrantDetailSchema>;
export const GRANT_FILTER = {
  status: z.enum([...GRANT_STATUSES, 'all']).default('active'),
  scope: z.enum(GRANT_KINDS).optional(),
  agentId: z.string().max(128).optional(),
  taskId: z.string().max(128).optional(),
  tool: z.string().max(256).optional(),
};

const RecordedExample = z.object({ callId: Id, at: EpochMs, summary: z.string(), risk: z.enum(RISKS), verdict: z.enum(VERDICTS) });
export const GrantProposalSchema = z
  .object({
    approvalId: Id,
    /** Why this call cannot be approved for longer; null = it can. */
    refusal: z.object({ code: z.string(), message: z.string() }).nullable(),
    /** From narrow to wide. */
    patterns: z.array(
      z.object({
        /** To be sent back as `patternId`: it names this very pattern. */
        id: z.string(),
        name: z.string(),
        text: z.string(),
        sentence: z.string(),
        /** Recorded calls of this agent and tool, newest first: what it would have covered and what it would not. */
        covers: z.array(RecordedExample),
        leavesOut: z.array(RecordedExample),
      }),
    ),
    /** Recorded calls that were looked at. */
    examined: z.number().int(),
    scopes: z.array(GrantScopeSchema),
    /** The policy's ceiling; null = none. */
    maxExpiresInMs: z.number().int(),
    maxUses: z.number().int().nullable(),
  })
  .meta({ id: 'GrantProposal' });
export type GrantProposal = z.infer<typeof GrantProposalSchema>;
export const GrantRequestSchema = z
  .object({
    scope: GrantScopeSchema,
    patternId: Text(200).min(1),
    expiresInMs: z.number().int().min(1_000),
    maxUses: z.number().int().min(1).max(1_000_000).nullable().optional(),
    note: Text(2_000).optional(),
    includeWaiting: z.boolean().optional(),
  })
  .strict()
  .meta({
    id: 'GrantRequest',
    description:
      'maxUses defaults to the ceiling of the policy; null asks for no limit. includeWaiting: requests that wait already and that the grant covers are decided by it as well.',
  });
export type GrantRequest = z.infer<typeof GrantRequestSchema>;
export const GrantRevokeSchema = z
  .object({ reason: Text(2_000).optional() })
  .strict()
  .meta({ id: 'GrantRevoke' });

/** Taken as it came: a record schema drops a member called __proto__, and what was shown must come back whole. */
const EditedArguments: z.ZodType<JsonObject> = z
  .any()
  .refine((value) => typeof value === 'object' && value !== null && !Array.isArray(value), { message: 'must be an object' });
export const ApprovalDecisionSchema = z
  .object({
    note: Text(10_000).optional(),
    arguments: EditedArguments.optional(),
    scope: z.literal('once').optional(),
    sawEdit: z.boolean().optional().meta({
      description:
        'Whether arguments that somebody had edited were shown to the approver. Where that is not how it is, 409 EDITED_MEANWHILE.',
    }),
  })
  .strict()
  .meta({ id: 'ApprovalDecision' });
export const ApprovalGrantingSchema = ApprovalDecisionSchema.extend({ grant: GrantRequestSchema.optional() })
  .strict()
  .meta({ id: 'ApprovalGranting', description: 'grant: approve further calls like this one as well.' });
export const ApprovalBatchSchema = z
  .object({
    ids: z.array(Id).min(1).max(200),
    verdict: z.enum(['approve', 'deny']),
    note: Text(10_000).optional(),
  })
  .strict()
  .meta({ id: 'ApprovalBatch' });
/** One entry per id, in the order of the request. */
export const ApprovalBatchResultSchema = z
  .object({
    results: z.array(
      z.object({
        id: z.string(),
        /** The request was carried out for this id. */
        ok: z.boolean(),
        /** As it is now; null where there is none by this id. */
        approval: ApprovalSchema.nullable(),
        /** Why it was not carried out: the code and sentence that the single request would have answered. */
        error: z.object({ code: z.string(), message: z.string() }).nullable(),
      }),
    ),
  })
  .meta({ id: 'ApprovalBatchResult' });
export type ApprovalBatchResult = z.infer<typeof ApprovalBatchResultSchema>;
export const ApprovalRequestSchema = z
  .object({ kind: z.literal('task'), taskId: Id, summary: Text(2000).min(1), reason: Text(10_000).min(1) })
  .strict()
  .meta({ id: 'ApprovalRequest' });

export const CALL_STATUSES = ['running', 'success', 'failed', 'blocked', 'needs_approval', 'withdrawn', 'unknown'] as const;
export const ENTRIES = ['openclaw', 'mcp', 'model', 'http', 'egress', 'mission-control'] as const;
export const ToolCallSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    entry: z.enum(ENTRIES),
    runId: z.string().nullable(),
    taskId: Id.nullable(),
    agentId: Id,
    agentName: z.string().nullable(),
    sessionKey: z.string().nullable(),
    callId: z.string().nullable(),
    tool: z.string(),
    mappedTool: z.string(),
    risk: z.enum(RISKS),
    verdict: z.enum(VERDICTS),
    reasons: z.array(ReasonSchema),
    status: z.enum(CALL_STATUSES),
    /** Redacted. */
    input: JsonRecord,
    /** Redacted, at most 64 KiB kept. */
    output: z.string().nullable(),
    error: z.string().nullable(),
    /** Milliseconds the call ran, without the wait for a person. */
    duration: z.number().nullable(),
    /** Milliseconds it was held. */
    heldFor: z.number().nullable(),
    cost: Usd.nullable(),
    /** Of a model call: who was asked, what was used as far as the provider said it, and how that was priced. */
    modelCall: z
      .object({
        provider: z.string(),
        model: z.string(),
        /** A part that the provider did not say is absent, which is not zero. Null = it said nothing. */
        usage: Reading<Usage>().nullable(),
        /** The cost is an estimate: the provider did not say all. */
        isEstimated: z.boolean(),
        /** The entry that gave the price. */
        priceEntry: z.string().nullable(),
      })
      .nullable()
      .optional(),
    approvalId: Id.nullable(),
    policyVersion: z.string().nullable(),
    /** One line for tables and feeds: the command, path, URL or the first arguments. Redacted, untrusted. */
    summary: z.string(),
  })
  .meta({ id: 'ToolCall' });
export type ToolCallView = z.infer<typeof ToolCallSchema>;

const COVERAGE_STATES = ['proven', 'idle', 'away', 'bypassed', 'unused'] as const;
/** Whether the gate gates (SPEC 10): for each agent and way in, how and when that was last shown. */
export const CoverageSchema = z
  .object({
    at: EpochMs,
    /** Traffic before this time is not looked at. */
    since: EpochMs,
    agents: z.array(
      z.object({
        agentId: Id,
        agentName: z.string(),
        gate: z.enum(['openclaw', 'none']),
        points: z.array(
          z.object({
            entry: z.enum(ENTRIES).exclude(['mission-control']),
            /**
             * `proven`: traffic was judged there, and nothing speaks against it. `idle`: nothing came this way, and it would be judged.
             * `away`: no sign of life, and no traffic either. `bypassed`: traffic came that the gate did not ask about. `unused`: nothing came
             * this way, and nothing has to.
             */
            state: z.enum(COVERAGE_STATES),
            /**
             * What shows it: `result`, that tools' answers in requests to models were of calls that had been judged; `call`, a call that was
             * judged there; `heartbeat`, the plugin's; `canary`, that a call which must always be refused was refused there; null = nothing does.
             */
            how: z.enum(['result', 'call', 'heartbeat', 'canary']).nullable(),
            provenAt: EpochMs.nullable(),
            /** The last call that came this way. */
            trafficAt: EpochMs.nullable(),
            /** One sentence for people: what this means, and what it does not show. */
            says: z.string(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: 'Coverage' });
export type Coverage = z.infer<typeof CoverageSchema>;

/**
 * What is taken away in a drill, and what we declare happens then (SPEC 10). Each is run by every proxy with its own code and the active
 * policy, for a shadow agent (proxy/drills.ts).
 */
export const DRILLS = {
  'counters-gone': 'Without the budget counters no priced call runs; green, unpriced ones as failModes.ledger says.',
  'control-away': 'Once the picture is older than limits.snapshotMaxAgeMs, everything is refused (SNAPSHOT_STALE).',
  'clock-skew': 'A clock that jumps ahead lets nothing run by an old picture, and revives no grant.',
  'policy-corrupt': 'Without a policy that compiles everything is refused.',
  'journal-full': 'What cannot be recorded does not run, and nothing stays reserved for it.',
  'approver-absent':
    'A call that nobody decides about never runs: its caller is told to end its turn, and it is refused when the approval expires.',
  'approval-used-twice': 'One approval lets one call run.',
  'budget-race': 'Calls at the same moment spend no more than the cap.',
  'emergency-stop': 'After the stop nothing runs, also with an approval.',
  'quarantined-while-held': 'An approval does not release a call of an agent that was quarantined meanwhile.',
  'gate-silent': "A call that the gate of its agent did not ask about is judged as an intern's, or refused.",
  'upstream-hanging': 'An upstream that never answers is given up in time, and its caller is told.',
} as const;
export type DrillName = keyof typeof DRILLS;
export const DRILL_NAMES = Object.keys(DRILLS) as DrillName[];
const DRILL_OUTCOMES = ['passed', 'failed', 'inconclusive'] as const;

/** What came of a drill at a proxy. */
export interface DrillResult {
  name: DrillName;
  outcome: (typeof DRILL_OUTCOMES)[number];
  found: string;
  durationMs: number;
}

/** The report card (SPEC 10): every drill with what it declares and how it last went at each proxy. */
export const DrillCardSchema = z
  .object({
    items: z.array(
      z.object({
        name: z.enum(DRILL_NAMES),
        /** What happens when that is taken away, as we declare it. */
        declares: z.string(),
        /**
         * The worst of the last results: `failed`, `inconclusive` (the active policy does not let the drill show anything), `passed`;
         * null = it has not run.
         */
        outcome: z.enum(DRILL_OUTCOMES).nullable(),
        at: EpochMs.nullable(),
        /** The last result of each proxy, the newest first. */
        results: z.array(
          z.object({
            at: EpochMs,
            proxyId: z.string(),
            outcome: z.enum(DRILL_OUTCOMES),
            /** One sentence: what was seen. */
            found: z.string(),
            durationMs: z.number().int(),
            /** The request that it belongs to. */
            requestId: z.string(),
          }),
        ),
      }),
    ),
    /** When all drills are run next by themselves. */
    nextAt: EpochMs.nullable(),
  })
  .meta({ id: 'DrillCard' });
export type DrillCard = z.infer<typeof DrillCardSchema>;

/** Body of POST /api/drills: one drill, or all of them. */
export const DrillRequestSchema = z
  .object({ name: z.enum(DRILL_NAMES).optional() })
  .strict()
  .meta({ id: 'DrillRequest' });
export const DrillStartedSchema = z
  .object({ requestId: Id, names: z.array(z.enum(DRILL_NAMES)), proxies: z.number().int() })
  .meta({ id: 'DrillStarted', description: 'How many proxies were told; their results come one after another.' });
export type DrillStarted = z.infer<typeof DrillStartedSchema>;

export const RunSchema = z
  .object({
    id: Id,
    runId: z.string(),
    agentId: Id,
    taskId: Id.nullable(),
    sessionKey: z.string().nullable(),
    startTime: EpochMs,
    endTime: EpochMs.nullable(),
    status: z.enum(['running', 'success', 'failed', 'blocked']),
    cost: Usd,
    toolCallCount: z.number().int(),
    errorMessage: z.string().nullable(),
  })
  .meta({ id: 'Run' });
export type Run = z.infer<typeof RunSchema>;

export const ACTIVITY_TYPES = [
  'task_created',
  'task_updated',
  'task_transition',
  'agent_created',
  'agent_updated',
  'agent_paused',
  'agent_drained',
  'agent_quarantined',
  'agent_restarted',
  'agent_stopped',
  'agent_spawned',
  'budget_exceeded',
  'cap_raised',
  'loop_detected',
  'approval_requested',
  'approval_decided',
  'approval_expired',
  'approval_withdrawn',
  'approval_seconded',
  'approval_reminded',
  'approval_escalated',
  'grant_made',
  'grant_used',
  'grant_revoked',
  'call_denied',
  'comment_posted',
  'document_written',
  'alert_fired',
  'alert_resolved',
  'policy_created',
  'policy_activated',
  'gateway_registered',
  'gateway_removed',
  'upstream_added',
  'upstream_updated',
  'upstream_removed',
  'tool_changed',
  'tool_accepted',
  'token_issued',
  'token_revoked',
  'operator_created',
  'operator_updated',
  'operator_away',
  'operator_back',
  'operator_removed',
  'signed_in',
  'channel_added',
  'channel_updated',
  'channel_removed',
  'chat_linked',
  'chat_unlinked',
  'chat_refused',
  'squad_paused',
  'emergency_stop',
  'emergency_resume',
] as const;
export type ActivityType = (typeof ACTIVITY_TYPES)[number];
export const ActivitySchema = z
  .object({
    id: z.string(),
    createdAt: EpochMs,
    type: z.enum(ACTIVITY_TYPES),
    taskId: Id.nullable(),
    agentId: Id.nullable(),
    actorId: z.string().nullable(),
    actorType: z.enum(ACTORS),
    /** One sentence of ours; quoted agent text inside it is redacted and must be shown as text. */
    summary: z.string(),
    details: JsonRecord,
  })
  .meta({ id: 'Activity' });
export type Activity = z.infer<typeof ActivitySchema>;

export const ALERT_TYPES = [
  'budget_exceeded',
  'loop_detected',
  'agent_error_streak',
  'approval_timeout',
  'approval_escalated',
  'security_violation',
  'gate_missing',
  'agent_quarantined',
  'emergency_stop',
  'budget_threshold',
  'ledger_drift',
  'agent_silent',
  'task_stuck',
  'authorization_needed',
  'notification_failed',
  'drill_failed',
] as const;
export type AlertType = (typeof ALERT_TYPES)[number];
export const AlertSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    type: z.enum(ALERT_TYPES),
    severity: z.enum(['low', 'medium', 'high', 'critical']),
    taskId: Id.nullable(),
    agentId: Id.nullable(),
    gatewayId: Id.nullable(),
    message: z.string(),
    resolved: z.boolean(),
    resolvedAt: EpochMs.nullable(),
    resolvedBy: z.string().nullable(),
  })
  .meta({ id: 'Alert' });
export type Alert = z.infer<typeof AlertSchema>;

/* ---- money */

export const SPEND_DIMENSIONS = ['day', 'agent', 'task', 'run', 'tool', 'model', 'provider'] as const;
export type SpendDimension = (typeof SPEND_DIMENSIONS)[number];
export const SpendRowSchema = z
  .object({
    /** Only the dimensions that were asked for; null = the calls had none. */
    day: z.string().optional(),
    agentId: Id.optional(),
    agentName: z.string().nullable().optional(),
    taskId: Id.nullable().optional(),
    taskTitle: z.string().nullable().optional(),
    runId: z.string().nullable().optional(),
    tool: z.string().optional(),
    model: z.string().nullable().optional(),
    provider: z.string().nullable().optional(),
    cost: Usd,
    calls: z.number().int(),
  })
  .meta({ id: 'SpendRow' });
export type SpendRow = z.infer<typeof SpendRowSchema>;
export const SpendSchema = z
  .object({
    since: EpochMs,
    until: EpochMs,
    items: z.array(SpendRowSchema),
    nextCursor: z.string().nullable(),
    /** Of the whole window and filter, not of this page. */
    total: z.object({ cost: Usd, calls: z.number().int() }),
    /** Cost of calls that belong to no task; `share` is 0 to 1. */
    unattributed: z.object({ cost: Usd, share: z.number() }),
  })
  .meta({ id: 'Spend' });
export type SpendView = z.infer<typeof SpendSchema>;
const BurnDown = {
  spent: Usd,
  cap: Usd.nullable(),
  /** Spend of the last hour. */
  ratePerHour: Usd,
  /** Spend at the end, if it goes on like that. */
  projected: Usd,
  /** When the cap is reached at this rate; null = not before the end. */
  exhaustsAt: EpochMs.nullable(),
};
export const ForecastSchema = z
  .object({
    at: EpochMs,
    /** When the day's caps start anew. */
    dayEndsAt: EpochMs,
    fleet: z.object(BurnDown),
    /** Agents that spent today, dearest first. */
    agents: z.array(z.object({ agentId: Id, name: z.string(), ...BurnDown })),
    /** `perDay` is the mean of the last seven days. */
    month: z.object({ name: z.string(), spent: Usd, perDay: Usd, projected: Usd, endsAt: EpochMs }),
  })
  .meta({ id: 'Forecast' });
export type Forecast = z.infer<typeof ForecastSchema>;

export const CapRaiseSchema = z
  .object({
    id: Id,
    /** `raise`: an operator added to a cap. `allowance`: an approval let one call pass above it (SPEC 8.3). */
    kind: z.enum(['raise', 'allowance']),
    createdAt: EpochMs,
    agentId: Id.nullable(),
    taskId: Id.nullable(),
    amount: Usd,
    note: z.string(),
    createdBy: z.string(),
    expiresAt: EpochMs,
    endedAt: EpochMs.nullable(),
  })
  .meta({ id: 'CapRaise' });
export type CapRaise = z.infer<typeof CapRaiseSchema>;
export const CapRaiseCreateSchema = z
  .object({
    agentId: Id.optional(),
    taskId: Id.optional(),
    /** Added to the cap. */
    amount: UsdGiven.refine((usd) => usd > 0, { message: 'must be more than 0' }),
    note: Text(2000).min(1),
    expiresAt: EpochMs.optional(),
  })
  .strict()
  .meta({
    id: 'CapRaiseCreate',
    description:
      "With agentId, today's cap of that agent, until midnight at the latest; with taskId, the cap of the task, for 30 days unless expiresAt says otherwise.",
  });
export type CapRaiseCreate = z.infer<typeof CapRaiseCreateSchema>;

export const PolicySchema = z
  .object({
    id: Id,
    version: z.string(),
    createdAt: EpochMs,
    createdBy: z.string(),
    note: z.string(),
    active: z.boolean(),
    activatedAt: EpochMs.nullable(),
    activatedBy: z.string().nullable(),
    /** The document as data, with the plan's keys. */
    document: JsonRecord,
    /** The YAML text it was made from, comments included. */
    source: z.string(),
  })
  .meta({ id: 'Policy' });
export const PolicyCreateSchema = z
  .object({
    /** The document, as data or as YAML text; or `patch`, a JSON Merge Patch (RFC 7396) over the active one; or `profile`, the name of one. */
    document: z.union([JsonRecord, Text(500_000)]).optional(),
    patch: JsonRecord.optional(),
    profile: Text(100).optional(),
    note: Text(2000),
  })
  .strict()
  .meta({ id: 'PolicyCreate' });
export const PolicyActivateSchema = z
  .object({
    note: Text(2000).min(1),
    /** Must equal the number of calls and cases that go from red and held (or denied) to allowed, where there are any. */
    confirmRedFlips: z.number().int().nonnegative().optional(),
    /** The replay that the confirmation is for; absent: a recent one of this version, else a new one. */
    replayId: Id.optional(),
  })
  .strict()
  .meta({ id: 'PolicyActivate' });

const PolicyMistakeSchema = z
  .object({ path: z.string(), message: z.string(), line: z.number().int().optional(), column: z.number().int().optional() })
  .meta({ id: 'PolicyMistake', description: 'Dotted path into the document; line and column count from 1 and need a document as text.' });
export const PolicyValidateSchema = z
  .object({ document: z.union([JsonRecord, Text(1_000_000)]).optional(), patch: JsonRecord.optional() })
  .strict()
  .meta({ id: 'PolicyValidate' });
export const PolicyValidationSchema = z
  .object({
    valid: z.boolean(),
    errors: z.array(PolicyMistakeSchema),
    /** The document as data, where it is valid. */
    document: JsonRecord.nullable(),
  })
  .meta({ id: 'PolicyValidation' });

export const PolicyProfileSchema = z
  .object({
    name: z.string(),
    /** What it is for and what it costs: the comment at the head of its file. */
    description: z.string(),
    /** A merge patch over the policy in force. */
    patch: JsonRecord,
    source: z.string(),
  })
  .meta({ id: 'PolicyProfile' });

export const PolicyDifferenceSchema = z
  .object({
    from: z.object({ id: Id, version: z.string() }),
    to: z.object({ id: Id, version: z.string() }),
    changes: z.array(
      z.object({
        path: z.string(),
        kind: z.enum(['added', 'removed', 'changed']),
        before: z.unknown().optional(),
        after: z.unknown().optional(),
      }),
    ),
  })
  .meta({ id: 'PolicyDifference' });

/** "active", a version (its number or name) or id, or a merge patch over the active document. */
const PolicyReferenceSchema = z.union([z.string().min(1).max(200), z.number().int(), z.object({ patch: JsonRecord }).strict()]);
export type PolicyReference = z.infer<typeof PolicyReferenceSchema>;

const SideSchema = z.object({ verdict: z.enum(VERDICTS), risk: z.enum(RISKS), codes: z.array(z.enum(REASON_CODES)).readonly() });
const FlipSchema = z
  .object({
    /** A recorded or live call, or a case of the shipped corpus. */
    source: z.enum(['call', 'case']),
    id: z.string(),
    tool: z.string(),
    summary: z.string(),
    agentId: Id.nullable(),
    at: EpochMs.nullable(),
    before: SideSchema,
    after: SideSchema.extend({ message: z.string() }),
  })
  .meta({ id: 'PolicyFlip', description: 'A call that a draft judges otherwise. Redacted.' });
const FlipCountsSchema = z.object(perFlipKind(z.number().int()));
const FlipExamplesSchema = z.object(perFlipKind(z.array(FlipSchema)));
const TallySchema = z.object({
  judged: z.number().int(),
  /** Verdict, risk and reason codes are the same. */
  same: z.number().int(),
  flips: FlipCountsSchema,
});

export const ReplayCreateSchema = z
  .object({ policy: PolicyReferenceSchema, since: EpochMs.optional(), until: EpochMs.optional() })
  .strict()
  .meta({ id: 'ReplayCreate' });
const ReplayResultSchema = z
  .object({
    calls: TallySchema.extend({
      /** Records that carry no judgement, or one that cannot be read. */
      unreadable: z.number().int(),
    }),
    cases: TallySchema,
    /** The newest of each kind, calls before cases. */
    examples: FlipExamplesSchema,
    /** Red and not allowed before, allowed by the draft: what an activation must be confirmed for. */
    redFlips: z.object({ count: z.number().int(), items: z.array(FlipSchema) }),
    /** Calls whose arguments were redacted or cut, and that the draft's other matchers cannot see again. */
    unseen: z.object({ count: z.number().int(), items: z.array(z.object({ id: z.string(), tool: z.string(), summary: z.string() })) }),
  })
  .meta({ id: 'ReplayResult' });
export const ReplaySchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    createdBy: z.string(),
    /** The draft; `id` is null for a patch that is no version. */
    policy: z.object({ id: Id.nullable(), name: z.string() }),
    /** What was active, and judged the cases for comparison. */
    base: z.object({ id: Id, version: z.string() }),
    since: EpochMs,
    until: EpochMs,
    status: z.enum(['running', 'done', 'failed', 'canceled']),
    /** Calls of the window that have been judged so far, and how many will be; where there are more, the newest. */
    judged: z.number().int(),
    total: z.number().int(),
    finishedAt: EpochMs.nullable(),
    error: z.string().nullable(),
    /** Null until it is done; frozen from then on. */
    result: ReplayResultSchema.nullable(),
  })
  .meta({ id: 'Replay' });
export type Replay = z.infer<typeof ReplaySchema>;

export const ShadowCreateSchema = z
  .object({ policy: PolicyReferenceSchema, note: Text(2000) })
  .strict()
  .meta({ id: 'ShadowCreate' });
export const ShadowSchema = z
  .object({
    id: Id,
    startedAt: EpochMs,
    startedBy: z.string(),
    note: z.string(),
    policy: z.object({ id: Id.nullable(), name: z.string() }),
    stoppedAt: EpochMs.nullable(),
    stoppedBy: z.string().nullable(),
    /** Live calls judged by the draft too, by all proxies. */
    calls: TallySchema,
    /** Calls left out so that the live ones are not slowed down. */
    skipped: z.number().int(),
    /** Calls that go from red and not allowed to allowed. */
    redFlips: z.number().int(),
    examples: FlipExamplesSchema,
  })
  .meta({ id: 'Shadow' });
export type Shadow = z.infer<typeof ShadowSchema>;

export const StopReceiptSchema = z
  .object({
    id: Id,
    stoppedAt: EpochMs,
    stoppedBy: z.string(),
    reason: z.string().nullable(),
    /** One entry per proxy that was known to be live; `acknowledgedAt` null = it has not answered, and refuses once its snapshot is stale. */
    proxies: z.array(
      z.object({
        id: Id,
        /** From then on it lets nothing run, and its streams are cut. */
        acknowledgedAt: EpochMs.nullable(),
        lastAdmittedAt: EpochMs.nullable(),
        /** From the press until then, milliseconds; null while it has not answered. */
        silentAfterMs: z.number().int().min(0).nullable(),
        /** Streams, exchanges and tunnels that were open and were cut. */
        cutStreams: z.number().int(),
        withdrawnCalls: z.number().int(),
      }),
    ),
    agents: z.array(
      z.object({
        id: Id,
        name: z.string(),
        lastAdmittedAt: EpochMs.nullable(),
        /** From the press to its last admitted call, milliseconds; 0 = none came after it; null = not every proxy has answered. */
        silentAfterMs: z.number().int().min(0).nullable(),
        withdrawnCalls: z.number().int(),
      }),
    ),
    blockedTasks: z.number().int(),
    /** OpenClaw runs that were told to abort, per gateway. */
    gateways: z.array(z.object({ id: Id, name: z.string(), abortedSessions: z.number().int(), error: z.string().nullable() })),
    /** By the installation's signing key over everything else (control/stop-receipt.ts). */
    signature: z.object({ keyId: z.string(), value: z.string() }),
  })
  .meta({ id: 'StopReceipt' });
/** What belongs into the file of an incident: the receipt, and the key that proves it. */
export const StopProofSchema = z
  .object({ receipt: StopReceiptSchema.nullable(), keyId: z.string(), publicKeyPem: z.string() })
  .meta({ id: 'StopProof' });
export type StopProof = z.infer<typeof StopProofSchema>;
export type StopReceipt = z.infer<typeof StopReceiptSchema>;
export const ResumeSchema = z
  .object({ note: Text(2000).min(1) })
  .strict()
  .meta({ id: 'Resume' });
export const SystemStateSchema = z
  .object({
    estop: z.boolean(),
    stoppedAt: EpochMs.nullable(),
    stoppedBy: z.string().nullable(),
    stopReason: z.string().nullable(),
    squadPaused: z.boolean(),
    squadPausedAt: EpochMs.nullable(),
    squadPausedBy: z.string().nullable(),
    receipt: StopReceiptSchema.nullable(),
  })
  .meta({ id: 'SystemState' });
export type SystemState = z.infer<typeof SystemStateSchema>;

/** What the dashboard's header shows; cheap, asked for once and kept fresh by events. */
export const OverviewSchema = z
  .object({
    serverTime: EpochMs,
    version: z.string(),
    system: SystemStateSchema,
    pendingApprovals: z.number().int(),
    openAlerts: z.number().int(),
    activeAgents: z.number().int(),
    agents: z.number().int(),
    todaySpend: Usd,
    fleetCap: Usd.nullable(),
    activePolicy: z.object({ id: Id, version: z.string() }),
    proxies: z.array(z.object({ id: Id, state: z.enum(['live', 'stale']), lastSeenAt: EpochMs })),
  })
  .meta({ id: 'Overview' });
export type Overview = z.infer<typeof OverviewSchema>;

const UPSTREAM_NAME = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/;
const UPSTREAM_KINDS = ['mcp', 'http', 'model'] as const;
const ROUTE_PATH = /^\/(?!.*\*\*.)(?!.*[^/]\*\*)[\x21-\x7e]*$/;
const UpstreamRoute = z
  .object({
    /** In capitals, or "*". GET covers HEAD. */
    method: z.string().regex(/^(?:[A-Z][A-Z-]{0,15}|\*)$/, 'must be a method in capitals, or "*"'),
    /** Below the upstream's address. `{name}` and `*` stand for text within one segment, `**` at the end for any further segments. */
    path: Text(2048).regex(ROUTE_PATH, 'must begin with "/" and have no query; "**" may only be its last segment'),
    tool: Text(200).regex(/^[\x21-\x7e]+$/, 'takes printable ASCII characters without spaces'),
    risk: z.enum(RISKS).optional(),
  })
  .strict();
const UpstreamLimits = z
  .object({
    /** Requests under way at once. */
    concurrency: z.number().int().min(1).max(10_000),
    /** Largest answer, bytes; of a stream, its largest event. */
    responseMaxBytes: z.number().int().min(1024).max(1_073_741_824),
    /** Longest silence before an answer and within one, without the wait for a person. */
    timeoutMs: z.number().int().min(100).max(3_600_000),
    /** Sessions (for a command: processes) at once. */
    sessions: z.number().int().min(1).max(10_000),
  })
  .strict();
export const DEFAULT_UPSTREAM_LIMITS: z.infer<typeof UpstreamLimits> = {
  concurrency: 128,
  responseMaxBytes: 32 * 1024 * 1024,
  timeoutMs: 300_000,
  sessions: 256,
};
const OAUTH_GRANTS = ['authorization_code', 'client_credentials'] as const;
/** How Mission Control gets its own token from an upstream that asks for OAuth. */
export const UpstreamOAuthSchema = z
  .object({
    grant: z.enum(OAUTH_GRANTS),
    /** Null where Mission Control registers itself (RFC 7591). */
    clientId: z.string().nullable(),
    hasClientSecret: z.boolean(),
    scope: z.string().nullable(),
    /** The only authorization server that is taken; null = the one that the upstream names. */
    issuer: z.string().nullable(),
    /** `needed`: there is no token that the upstream takes. With authorization_code a person has to authorise it. */
    state: z.enum(['needed', 'authorized']),
    authorizedAt: EpochMs.nullable(),
    authorizedBy: z.string().nullable(),
    expiresAt: EpochMs.nullable(),
    lastError: z.string().nullable(),
    lastErrorAt: EpochMs.nullable(),
  })
  .meta({ id: 'UpstreamOAuth' });
export type UpstreamOAuth = z.infer<typeof UpstreamOAuthSchema>;
const UpstreamOAuthSettings = z
  .object({
    grant: z.enum(OAUTH_GRANTS),
    clientId: Text(2048).min(1),
    clientSecret: Text(8192).min(1),
    scope: z
      .string()
      .max(4096)
      .regex(/^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$/, 'must be scopes, parted by single spaces'),
    issuer: z.url({ protocol: /^https?$/, error: 'must be a URL that begins with https://' }).max(2048),
  })
  .partial()
  .required({ grant: true })
  .strict()
  .refine(({ grant, clientId, clientSecret }) => grant === 'authorization_code' || (clientId !== undefined && clientSecret !== undefined), {
    message: 'client_credentials needs clientId and clientSecret',
  })
  .refine(({ clientId, clientSecret }) => clientId !== undefined || clientSecret === undefined, {
    message: 'clientSecret needs its clientId',
  });
export type UpstreamOAuthSettings = z.infer<typeof UpstreamOAuthSettings>;
export const UpstreamAuthorizationSchema = z
  .object({
    /** Open this in a browser that is signed in here as the same operator; null where no person is needed and it is done. */
    url: z.string().nullable(),
    /** Until then. */
    expiresAt: EpochMs.nullable(),
  })
  .meta({ id: 'UpstreamAuthorization' });
export type UpstreamAuthorization = z.infer<typeof UpstreamAuthorizationSchema>;
export const UpstreamSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    updatedAt: EpochMs,
    revision: z.number().int(),
    /** The path segment, and the first part of its tools' canonical names. */
    name: z.string(),
    kind: z.enum(UPSTREAM_KINDS),
    url: z.string().nullable(),
    command: z.array(z.string()).nullable(),
    /** Whether a secret is kept; it is never shown. */
    hasSecret: z.boolean(),
    /** Null where it takes a fixed secret, or none. */
    oauth: UpstreamOAuthSchema.nullable(),
    /** Names of the environment variables that its command gets. */
    envNames: z.array(z.string()),
    trusted: z.boolean(),
    allowPrivate: z.boolean(),
    /** One process for all sessions of a command instead of one for each. */
    shared: z.boolean(),
    routes: z.array(UpstreamRoute),
    priceUsd: Usd.nullable(),
    limits: UpstreamLimits,
    /** As the proxies last found it. */
    health: z.object({
      state: z.enum(['unknown', 'up', 'down']),
      lastSuccessAt: EpochMs.nullable(),
      lastError: z.string().nullable(),
      lastErrorAt: EpochMs.nullable(),
    }),
    toolCount: z.number().int(),
    /** Tools that wait for an operator: changed or new. */
    heldTools: z.number().int(),
  })
  .meta({ id: 'Upstream' });
export type Upstream = z.infer<typeof UpstreamSchema>;
const UpstreamFields = {
  name: z.string().regex(UPSTREAM_NAME, 'takes 1 to 64 of a-z, 0-9 and "-", not at its ends'),
  kind: z.enum(UPSTREAM_KINDS),
  url: z.url({ protocol: /^https?$/, error: 'must be a URL that begins with http:// or https://' }).max(2048),
  /** The program and its arguments; text is split at spaces, quotes hold together. */
  command: z.union([Text(8192).min(1), z.array(Text(8192)).min(1).max(256)]),
  secret: Text(8192).min(1).nullable(),
  /** In place of a secret: Mission Control gets its own token (OAuth 2.1). Given again, it replaces the whole; null removes it. */
  oauth: UpstreamOAuthSettings.nullable(),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable'), Text(32_768)),
  trusted: z.boolean(),
  allowPrivate: z.boolean(),
  shared: z.boolean(),
  routes: z.array(UpstreamRoute).max(1000),
  priceUsd: UsdGiven.nullable(),
  limits: UpstreamLimits.partial(),
};
export const UpstreamCreateSchema = z.object(UpstreamFields).partial().required({ name: true, kind: true }).strict().meta({
  id: 'UpstreamCreate',
  description:
    'Give url or command. secret is sent to a url as its bearer token, or as the header that it names ("X-Api-Key: …"). A private or loopback url needs allowPrivate.',
});
export type UpstreamCreate = z.infer<typeof UpstreamCreateSchema>;
export const UpstreamUpdateSchema = z
  .object(UpstreamFields)
  .omit({ kind: true, name: true })
  .partial()
  .strict()
  .meta({ id: 'UpstreamUpdate', description: 'Another host or command needs its secret again; null removes the secret.' });
export type UpstreamUpdate = z.infer<typeof UpstreamUpdateSchema>;

/** What a tool of an MCP server is, as far as anybody can be misled by a change of it. */
export type ToolDefinition = JsonObject;
const TOOL_STATES = ['pinned', 'changed', 'new', 'gone'] as const;
export const UpstreamToolSchema = z
  .object({
    id: z.string(),
    name: z.string(),
    /** `{upstream}__{tool}`: how policies, approvals and records name it. */
    canonicalName: z.string(),
    /** `changed` and `new`: its calls are held (TOOL_CHANGED) until an operator accepts it. `gone`: the server no longer offers it. */
    state: z.enum(TOOL_STATES),
    pinned: JsonRecord.nullable(),
    seen: JsonRecord.nullable(),
    /** What is different in `seen`, for people: one line per part, "-" before, "+" now. Untrusted text of the server. */
    diff: z.array(z.object({ path: z.string(), before: z.string().nullable(), after: z.string().nullable() })),
    /** SHA-256 of the definition that would be accepted. */
    seenHash: z.string().nullable(),
    pinnedHash: z.string().nullable(),
    note: z.string().nullable(),
    firstSeenAt: EpochMs,
    lastSeenAt: EpochMs,
    changedAt: EpochMs.nullable(),
    acceptedAt: EpochMs.nullable(),
    acceptedBy: z.string().nullable(),
  })
  .meta({ id: 'UpstreamTool' });
export type UpstreamTool = z.infer<typeof UpstreamToolSchema>;
export const ToolAcceptSchema = z
  .object({ hash: Text(128).optional(), note: Text(2000).optional() })
  .strict()
  .meta({ id: 'ToolAccept', description: 'With hash, only that definition is accepted; another one meanwhile answers 409.' });

export const OperatorSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    name: z.string(),
    role: z.enum(ROLES),
    lastSeenAt: EpochMs.nullable(),
    /** Away until then, with a deputy who may decide approvals meanwhile; null = not away. */
    absence: z.object({ until: EpochMs, deputyId: Id, deputyName: z.string() }).nullable(),
  })
  .meta({ id: 'Operator' });
export const AbsenceSchema = z
  .object({ until: EpochMs, deputyId: Id })
  .strict()
  .meta({ id: 'Absence', description: 'until: at most 60 days from now.' });
export const OperatorCreateSchema = z
  .object({ name: Text(120).min(1), role: z.enum(ROLES) })
  .strict()
  .meta({ id: 'OperatorCreate' });
export const OperatorUpdateSchema = z
  .object({ name: Text(120).min(1).optional(), role: z.enum(ROLES).optional() })
  .strict()
  .meta({ id: 'OperatorUpdate' });

/* ---- telling people (SPEC 6, 7) */

const CHANNEL_KINDS = ['telegram', 'slack', 'webhook'] as const;
const CHANNEL_EVENTS = ['approvals', 'alerts', 'stop', 'standup', 'mentions', 'threads', 'audit'] as const;
const NOTIFICATION_KINDS = [
  'approval_pending',
  'approval_decided',
  'approval_expired',
  'approval_withdrawn',
  'approval_reminder',
  'approval_escalation',
  'alert',
  'stop',
  'resume',
  'standup',
  'mention',
  'comment',
  'answer',
  'prompt',
  'test',
  'audit_anchor',
] as const;
export const ChannelSchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    updatedAt: EpochMs,
    revision: z.number().int(),
    name: z.string(),
    kind: z.enum(CHANNEL_KINDS),
    enabled: z.boolean(),
    /** Telegram: the chat's id. Slack: the conversation's id. Webhook: the address. */
    destination: z.string(),
    /** Of another server that speaks the same API; null = the usual one. */
    apiRoot: z.string().nullable(),
    /** How Telegram's updates come in. */
    mode: z.enum(['polling', 'webhook']).nullable(),
    /** Whether tasks have threads there (Telegram: topics of a forum). */
    topics: z.boolean(),
    allowPrivate: z.boolean(),
    events: z.array(z.enum(CHANNEL_EVENTS)),
    /** What the bot is called there, once it was reached. */
    account: z.string().nullable(),
    /** Where the other side sends what people do there: a path of control; null = nowhere. */
    inboundPath: z.string().nullable(),
    health: z.object({
      state: z.enum(['unknown', 'ok', 'failing']),
      error: z.string().nullable(),
      errorAt: EpochMs.nullable(),
      successAt: EpochMs.nullable(),
      /** Nothing is sent before this time. */
      heldUntil: EpochMs.nullable(),
    }),
    waiting: z.number().int(),
    dead: z.number().int(),
  })
  .meta({ id: 'Channel', description: 'A way to people outside the dashboard. Its secrets are never shown again.' });
export type Channel = z.infer<typeof ChannelSchema>;
const ChannelFields = {
  name: Text(120).min(1),
  enabled: z.boolean(),
  destination: Text(2000).min(1),
  apiRoot: z
    .url({ protocol: /^https?$/ })
    .max(2000)
    .nullable(),
  mode: z.enum(['polling', 'webhook']),
  topics: z.boolean(),
  allowPrivate: z.boolean(),
  events: z.array(z.enum(CHANNEL_EVENTS)).max(CHANNEL_EVENTS.length),
  /** Telegram and Slack: the bot's token. */
  token: Text(500).min(1),
  /** Slack: the signing secret. Webhook: our signing key ("whsec_…"), made where none is given. */
  secret: Text(500).min(1),
};
export const ChannelCreateSchema = z
  .object({ kind: z.enum(CHANNEL_KINDS), ...ChannelFields })
  .partial()
  .required({ kind: true, name: true, destination: true })
  .strict()
  .meta({ id: 'ChannelCreate' });
export type ChannelCreate = z.infer<typeof ChannelCreateSchema>;
export const ChannelUpdateSchema = z.object(ChannelFields).partial().strict().meta({ id: 'ChannelUpdate' });
export type ChannelUpdate = z.infer<typeof ChannelUpdateSchema>;

export const NotificationSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    channelId: Id,
    channelName: z.string(),
    kind: z.enum(NOTIFICATION_KINDS),
    state: z.enum(['waiting', 'delivered', 'dead']),
    summary: z.string(),
    approvalId: Id.nullable(),
    taskId: Id.nullable(),
    attempts: z.number().int(),
    dueAt: EpochMs,
    deliveredAt: EpochMs.nullable(),
    deadAt: EpochMs.nullable(),
    lastError: z.string().nullable(),
  })
  .meta({ id: 'Notification', description: 'Something that is said to people on a channel. A dead one is not tried again by itself.' });
export type Notification = z.infer<typeof NotificationSchema>;

export const ChatIdentitySchema = z
  .object({
    id: Id,
    createdAt: EpochMs,
    operatorId: Id,
    channelId: Id,
    channelName: z.string(),
    externalId: z.string(),
    externalName: z.string(),
  })
  .meta({ id: 'ChatIdentity', description: 'Who an operator is on a channel.' });
export type ChatIdentity = z.infer<typeof ChatIdentitySchema>;
export const ChatCodeSchema = z
  .object({ code: z.string(), channelId: Id, expiresAt: EpochMs, instruction: z.string() })
  .meta({ id: 'ChatCode', description: 'A one-time code that the person sends to the bot.' });

export const SessionCreateSchema = z
  .object({ token: Text(512).min(1) })
  .strict()
  .meta({ id: 'SessionCreate', description: 'A one-time sign-in token or an operator token.' });
export const SessionSchema = z
  .object({
    /** `isDeputy`: of somebody who is away, and so decides approvals although the role alone does not. */
    operator: z.object({ id: Id, name: z.string(), role: z.enum(ROLES), isDeputy: z.boolean().optional() }),
    /** Sent back as X-MC-CSRF with every request that changes something. */
    csrfToken: z.string(),
    expiresAt: EpochMs,
  })
  .meta({ id: 'Session' });
export type Session = z.infer<typeof SessionSchema>;

export const AuditRowSchema = z
  .object({
    seq: z.number().int(),
    at: EpochMs,
    actorType: z.enum(ACTORS),
    actorId: z.string().nullable(),
    action: z.string(),
    subjectType: z.string(),
    subjectId: z.string().nullable(),
    details: JsonRecord,
    prevHash: z.string(),
    hash: z.string(),
  })
  .meta({ id: 'AuditRow' });
export const AuditAnchorSchema = z
  .object({
    /** The row that was the last one then. */
    seq: z.number().int(),
    hash: z.string(),
    at: EpochMs,
    /** `seq` of the anchor before; 0 = the first. */
    previous: z.number().int(),
    keyId: z.string(),
    signature: z.string(),
  })
  .meta({ id: 'AuditAnchor', description: 'A signed head of the audit log (Ed25519).' });
export const AuditKeySchema = z.object({ keyId: z.string(), publicKeyPem: z.string() }).meta({ id: 'AuditKey' });

/* ---------------------------------------------------------------- search (GET /api/search) */

export const SEARCH_KINDS = ['task', 'agent', 'message', 'call', 'approval', 'audit'] as const;
export type SearchKind = (typeof SEARCH_KINDS)[number];
export const SearchHitSchema = z
  .object({
    kind: z.enum(SEARCH_KINDS),
    /** Of the task, agent and so on; of the audit log the number of the row. */
    id: z.string(),
    title: z.string(),
    /** Plain text around the first word that was found; untrusted. */
    snippet: z.string(),
    at: EpochMs,
    taskId: z.string().nullable(),
    agentId: z.string().nullable(),
  })
  .meta({ id: 'SearchHit' });
export type SearchHit = z.infer<typeof SearchHitSchema>;

/* ---------------------------------------------------------------- server-sent events (GET /api/events) */

/**
 * `change`: an object was created or changed; `data` is what GET of it would answer now (null = removed).
 * `reset`: events were missed, fetch everything again. `beat`: nothing happened, the connection and the server are alive.
 * The `id:` of a change is what `Last-Event-ID` resumes from.
 */
export const TOPICS = [
  'agent',
  'approval',
  'grant',
  'task',
  'tool_call',
  'run',
  'activity',
  'alert',
  'policy',
  'gateway',
  'upstream',
  'system',
] as const;
export type Topic = (typeof TOPICS)[number];
export interface ChangeEvent {
  topic: Topic;
  id: string;
  at: number;
  data: unknown;
}
export interface BeatEvent {
  at: number;
}

/* ---------------------------------------------------------------- the gate (SPEC 3.1), spoken by the proxy */

/** A name or an id: stored as it came. */
const Word = (max: number) => Text(max).refine(isStorable, { message: 'must not contain NUL or half a surrogate pair' });
/** Any value that came out of JSON.parse; its depth and size were bounded when the body was read. */
const JsonValue = z.custom<Json>((value) => value !== undefined);
const JsonObjectValue = z.custom<JsonObject>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), {
  message: 'must be an object',
});

export const GateCallSchema = z
  .object({
    tool: Word(256).min(1),
    arguments: JsonObjectValue,
    callId: Word(512).min(1).optional(),
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).optional(),
    taskId: Word(128).optional(),
    cwd: Word(4096).optional(),
    workspace: Word(4096).optional(),
    toolKind: Word(64).optional(),
    traceId: Word(128).optional(),
  })
  .strict()
  .meta({ id: 'GateCall' });

export interface GateReason {
  code: string;
  message: string;
  policyPath: string;
}
export type GateAnswer =
  | { id: string; verdict: 'allow'; risk: string; reasons: GateReason[]; arguments?: JsonObject }
  | {
      id: string;
      verdict: 'hold';
      risk: string;
      approvalId: string;
      approvalNumber: number;
      reasons: GateReason[];
      retryAfterMs: number;
      /** False once the inline wait is over: end the turn, the agent is told through its session. */
      waiting: boolean;
      message: string;
    }
  | { id: string; verdict: 'deny'; risk: string; reasons: GateReason[]; message: string };

export const GateOutcomeSchema = z
  .object({
    status: z.enum(['success', 'failed']),
    output: JsonValue.optional(),
    /** Cut to what a record keeps, as the output is. */
    error: z.string().optional(),
    durationMs: z.number().nonnegative().max(31_536_000_000),
    usage: z
      .object({ costUsd: z.number().nonnegative().max(1_000_000).optional() })
      .loose()
      .optional(),
  })
  .strict()
  .meta({ id: 'GateOutcome' });

export const RunCheckSchema = z
  .object({
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).optional(),
    taskId: Word(128).optional(),
    traceId: Word(128).optional(),
  })
  .strict();
/** Body of POST /v1/spawns: a sub-agent began, or ended, in a session of its own. */
export const SpawnSchema = z
  .object({
    /** Who started it: the agent, and the session in which it did. */
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    childSessionKey: Word(512).min(1),
    label: Word(120).optional(),
    /** It goes on after its first run. */
    lasting: z.boolean().optional(),
    state: z.enum(['began', 'ended']),
  })
  .strict();

/**
 * Why a call was not asked about: `rejected` by OpenClaw before its hooks (arguments that fail the tool's schema), `refused` by the plugin,
 * which could not ask, or a `program` whose every call is asked about by itself.
 */
export const UNASKED_REASONS = ['rejected', 'refused', 'program'] as const;
export type UnaskedReason = (typeof UNASKED_REASONS)[number];

/** Body of POST /v1/unasked: a result will come of a call that the gate has no record of, and rightly so. */
export const UnaskedSchema = z
  .object({
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).optional(),
    callId: Word(256).min(1),
    tool: Word(256).min(1),
    why: z.enum(UNASKED_REASONS),
  })
  .strict();

/** Body of POST /v1/runs/end: a run is over. */
export const RunEndSchema = z
  .object({
    agentId: Word(256).min(1).optional(),
    sessionKey: Word(512).optional(),
    runId: Word(256).min(1),
    status: z.enum(['success', 'failed']),
    error: z.string().max(10_000).optional(),
    durationMs: z.number().nonnegative().optional(),
  })
  .strict();
export interface RunCheckAnswer {
  allowed: boolean;
  reasons: GateReason[];
  message: string;
}

export const HeartbeatSchema = z
  .object({
    pluginVersion: Word(64),
    openclawVersion: Word(64).optional(),
    agents: z.array(Word(256)).max(1000).optional(),
    sessions: z.number().int().nonnegative().optional(),
  })
  .strict();

/* ---------------------------------------------------------------- between a proxy and control (/internal/v1, cluster secret) */

/** What a canary claims (SPEC 10): a call of one agent on one way in, once, until a time. Sealed with the cluster secret. */
export const CanaryClaimSchema = z.strictObject({
  agentId: Id,
  entry: z.enum(ENTRIES).exclude(['mission-control']),
  nonce: z.string().min(16).max(64),
  expiresAt: z.int(),
});
export type CanaryClaim = z.infer<typeof CanaryClaimSchema>;
/** Begins the credential of a canary; base64url of the claim and its seal follow, with a dot between. */
export const CANARY_PREFIX = 'mcc_';
/** The only tool that a canary may name. */
export const CANARY_TOOL = 'mission_control_canary';
/** A canary can be used for this long. */
export const CANARY_MS = 60_000;

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

/** An approval as a proxy needs it: to answer a waiting call and to judge it again. */
export interface HoldState {
  callId: string;
  approvalId: string;
  approvalNumber: number;
  status: ApprovalStatus;
  approver: string | null;
  approverType: 'human' | 'agent' | 'system' | 'unknown';
  note: string | null;
  /** What runs instead of the caller's own arguments, when the approver edited them. */
  editedArguments: JsonObject | null;
  decidedAt: number | null;
  grantExpiresAt: number | null;
  /** The call that took the single use, if any. */
  redeemedBy: string | null;
  /** Micro-dollars the approver allowed above the caps. */
  allowance: number;
  /** Decided by a standing grant: it releases these reasons and no others, and nothing red. Absent = a person looked at this call. */
  releases?: readonly ReasonCode[];
  waitingUntil: number;
  deferred: boolean;
}

/** A held call in full, so that any proxy can take up its wait. */
export interface HeldCall {
  call: CallFacts;
  /** The caller's own arguments, as judged. Kept encrypted at control until hold and grant have ended; null from then on. */
  arguments: JsonObject | null;
  state: HoldState;
  /** How the call ended, if it has: whether it ran, and where it did not, why. Whatever its approval says, it never runs (again). */
  end: { ran: boolean; reasons: readonly GateReason[] } | null;
}

/** Everything a record says of a call apart from its arguments. Times are epoch milliseconds, money micro-dollars. */
export interface CallFacts {
  id: string;
  /** Hash over agent, session, run, call id and digest (SPEC 3.1). */
  key: string;
  /** Hash over agent, session, run and call id, without the digest: finds a call id used again for other arguments. Null without a call id. */
  slot: string | null;
  digest: string;
  entry: (typeof ENTRIES)[number];
  agentId: string;
  gatewayId: string | null;
  sessionKey: string;
  runId: string | null;
  taskId: string | null;
  callId: string | null;
  traceId: string | null;
  /** The caller's span, where it named one: the trace goes on under it. */
  parentSpanId?: string;
  tool: string;
  mappedTool: string;
  toolKind: string | null;
  cwd: string | null;
  workspace: string | null;
  /** The MCP server that it goes to; null or absent = none. */
  upstream?: string | null;
  /** Hash of the tool's definition at the time of the call, where one is pinned. */
  definition?: string | null;
  /** The upstream and the model that a model call asks. */
  model?: { provider: string; name: string } | null;
  /** True where the agent's gate should have asked and did not: judged as an intern's (SPEC 3.4). */
  ungated?: boolean;
  /** Of a call that the gate was asked about: how the model's words name it. */
  wire?: WireCall;
  /** Addresses that hosts resolved to when it was made, where the proxy dials itself. */
  dns?: { readonly [host: string]: readonly string[] } | undefined;
  at: number;
}

/** A call as a model names it: what the gate heard of it and what a request to a model says of it are held against each other (SPEC 10). */
export interface WireCall {
  /** What of its id is the same on both sides; null = it has none. */
  id: string | null;
  /** Keyed hash of tool and arguments; null = not known. */
  print: string | null;
  /** Empty = not known. */
  tool: string;
}

export interface JudgedFacts {
  verdict: (typeof VERDICTS)[number];
  risk: (typeof RISKS)[number];
  reasons: readonly GateReason[];
  policyVersion: string;
  estimatedCost: number;
  /** The judgement with everything that it was told besides the call, for replay (SPEC 10); null where nothing was judged. */
  facts: RecordedJudgement | null;
  /** What the call adds to the labels of its run and session when it runs (SPEC 4.9); absent = nothing. */
  labels?: readonly RunLabel[];
}

/** Body of POST /internal/v1/holds. */
export interface HoldRequest {
  proxyId: string;
  call: CallFacts;
  judged: JudgedFacts;
  arguments: JsonObject;
  redacted: JsonObject;
  preview: Preview;
  summary: string;
  /** An approval that the call came back with and that did not release it: its grant ends and a new one is opened. */
  insufficient: string | null;
}

/** How a model call came to its cost. */
export interface ModelMeter {
  /** What the provider said; a part that it did not say is absent, which is not zero. Null = it said nothing. */
  usage: Usage | null;
  /** The cost is not usage times price: not below what was delivered, not above what was reserved (SPEC 8.3). */
  isEstimated: boolean;
  /** The entry that gave the price: of the policy, or of the dated table. */
  priceEntry: string;
}

/** Redacted arguments, capped; `truncated` says that the record keeps only a part. */
export type JournalEvent =
  | {
      type: 'held' | 'denied' | 'intent';
      at: number;
      call: CallFacts;
      judged: JudgedFacts;
      input: JsonObject;
      /** Sent by proxies of the version before; it is made from the input. */
      summary?: string;
      approvalId: string | null;
    }
  | {
      type: 'completed';
      at: number;
      id: string;
      status: 'success' | 'failed' | 'unknown';
      output: string | null;
      error: string | null;
      durationMs: number | null;
      cost: number;
      /** Of a model call. */
      meter?: ModelMeter | null | undefined;
      /** The caps that it was reserved under; absent in journals of before. */
      scopes?: readonly string[];
      /** The caller ended it, so it says nothing about the tool. */
      endedByCaller?: true;
    }
  | { type: 'withdrawn'; at: number; id: string; reason: string }
  | { type: 'refused'; at: number; id: string; reasons: readonly GateReason[] }
  | { type: 'heartbeat'; at: number; gatewayId: string; pluginVersion: string; agents: readonly string[] }
  /** A connection that is no call of its own: under a call that the gate allowed (egress), or of a person to a gateway. */
  | {
      type: 'connection';
      phase: 'opened' | 'closed';
      at: number;
      id: string;
      door: 'egress' | 'gateway';
      by: { type: 'agent' | 'human'; id: string; name: string };
      gatewayId: string | null;
      /** The call that opened it; null = a person's. */
      callId: string | null;
      /** Method and address, redacted. */
      target: string;
      /** HTTP status of the answer; null = none yet, or a tunnel. */
      status: number | null;
      bytesUp: number;
      bytesDown: number;
      durationMs: number;
      error: string | null;
    }
  /** An agent whose gate should have asked made a call that it did not ask about (SPEC 3.4). */
  | { type: 'ungated'; at: number; agentId: string; gatewayId: string | null; tool: string }
  /** A tool of an MCP server of ours that the gate allowed and that ended well, and whose call did not come to this proxy. */
  | { type: 'detour'; at: number; agentId: string; tool: string; askedAt: number }
  /** Results of tools that a request to a model brought back, of an agent with a gate in OpenClaw. */
  | { type: 'results'; at: number; agentId: string; gatewayId: string; results: readonly WireCall[] }
  | { type: 'drill'; at: number; requestId: string; result: DrillResult }
  /** A canary was refused where it should be. */
  | { type: 'canary'; at: number; agentId: string; entry: CanaryClaim['entry'] }
  /** A call that the plugin did not ask about, because nothing of it ran or every part of it is asked about by itself. */
  | { type: 'unasked'; at: number; agentId: string; gatewayId: string; call: WireCall; why: UnaskedReason }
  | {
      type: 'spawned';
      at: number;
      /** Under which its calls are recorded from the first one on; the same for a session, whichever proxy hears of it. */
      childId?: string;
      parentId: string;
      gatewayId: string | null;
      sessionKey: string;
      label: string | null;
      lasting: boolean;
      taskId: string | null;
    }
  | { type: 'despawned'; at: number; parentId: string; sessionKey: string }
  | { type: 'run_end'; at: number; runId: string; agentId: string; status: 'success' | 'failed'; message: string | null }
  | {
      type: 'run';
      at: number;
      runId: string;
      agentId: string;
      sessionKey: string;
      taskId: string | null;
      allowed: boolean;
      message: string | null;
    };

/** One line of a journal file: its place and the event. */
export interface JournalEntry {
  seq: number;
  event: JournalEvent;
}

/** A call that is allowed and has no outcome yet, or ended a short while ago; how a proxy finds its way after a restart. */
export interface KnownCall {
  id: string;
  entry: (typeof ENTRIES)[number];
  /** The proxy that recorded its intent; null = it has not begun. */
  proxyId: string | null;
  key: string;
  slot: string | null;
  agentId: string;
  gatewayId: string | null;
  runId: string | null;
  taskId: string | null;
  state: 'held' | 'running' | 'ended';
  verdict: (typeof VERDICTS)[number];
  risk: (typeof RISKS)[number];
  reasons: readonly GateReason[];
  approval: { id: string; number: number } | null;
  /** What a running call was told to run in place of its own arguments. */
  editedArguments: JsonObject | null;
  waitingUntil: number | null;
  estimatedCost: number;
  at: number;
}

/** A label of a run or session (SPEC 4.9), by the scope that policies/sequence.ts names. */
export interface KnownLabel {
  agentId: string;
  scope: string;
  label: RunLabel;
  at: number;
}

/** How a call of a tool ended; for the rows of failures that a proxy counts. */
export interface KnownOutcome {
  agentId: string;
  sessionKey: string;
  tool: string;
  /** What it said when it failed; null = it went well. */
  error: string | null;
  at: number;
}

/** Answer of POST /internal/v1/hello. */
export interface HelloAnswer {
  /** Last journal sequence number of this proxy that control has ingested. */
  cursor: number;
  /** Derived key for call digests, base64url. */
  digestKey: string;
  /** Derived key for what MCP clients keep for us, base64url. */
  stateKey: string;
  calls: readonly KnownCall[];
  /** Settled spend per scope key, micro-dollars. */
  spent: { readonly [scope: string]: number };
  /** Labels of the last day. */
  labels: readonly KnownLabel[];
  /** What ended within the window of the retry limit, oldest first. */
  outcomes: readonly KnownOutcome[];
}

/* The counters that several proxies share (Redis). One hash slot holds them all, so that a script may touch any of them together. */

/** Begins every key of the ledger. */
export const LEDGER_KEYS = 'mc:{ledger}:';

/** Body of POST /internal/v1/ledger/join: a proxy that holds no lease, and whose journal has been shipped, takes part in the counters. */
export interface LedgerJoin {
  proxyId: string;
  /** What it holds reserved for calls that may run, micro-dollars. */
  outstanding: readonly { callId: string; scopes: readonly string[]; micros: number }[];
}
/** Body of POST /internal/v1/ledger/seed: scopes that the counters lack. */
export interface LedgerSeed {
  epoch: string;
  scopes: readonly string[];
  /** Calls whose cost their proxy adds itself. */
  except: readonly string[];
}
/** Body of POST /internal/v1/ledger/bound: the most that this proxy may hold or have used unreported, micro-dollars. */
export interface LedgerBound {
  proxyId: string;
  micros: number;
}

/** Lines of GET /internal/v1/stream (NDJSON). The first is always `picture`; a `beat` at least every second proves that control is reachable. */
export type StreamMessage =
  | {
      type: 'picture';
      at: number;
      system: SystemPicture;
      policy: PolicyPicture;
      agents: readonly AgentPicture[];
      gateways: readonly GatewayPicture[];
      tasks: readonly TaskPicture[];
      upstreams: readonly UpstreamPicture[];
    }
  | { type: 'system'; at: number; system: SystemPicture }
  | { type: 'policy'; at: number; policy: PolicyPicture }
  | { type: 'agents'; at: number; changed: readonly AgentPicture[]; removed: readonly string[] }
  | { type: 'gateways'; at: number; changed: readonly GatewayPicture[]; removed: readonly string[] }
  | { type: 'tasks'; at: number; changed: readonly TaskPicture[]; removed: readonly string[] }
  | { type: 'upstreams'; at: number; changed: readonly UpstreamPicture[]; removed: readonly string[] }
  | { type: 'hold'; at: number; approvalId: string; status: ApprovalStatus }
  /** Run these drills and record what comes of them. */
  | { type: 'drill'; at: number; requestId: string; names: readonly DrillName[] }
  /** Everything up to this revision has been sent; the proxy answers with POST /internal/v1/applied. */
  | { type: 'mark'; at: number; revision: number }
  | { type: 'beat'; at: number };

/** Body of POST /internal/v1/stops/{stopId}: a proxy says that it refuses everything and when it last did not. */
export interface StopAcknowledgement {
  proxyId: string;
  at: number;
  lastAdmittedAt: number | null;
  /** Streams, exchanges and tunnels that were open and were cut; absent from a proxy of an earlier version. */
  cutStreams?: number;
  agents: readonly { id: string; lastAdmittedAt: number | null; withdrawnCalls: number }[];
}

/**
 * A stop as it travels beside the lines: from control straight to each proxy and each other control (POST /internal/v1/stop), and on the
 * bus. It can only stop. `seal` is an HMAC with the cluster secret over `stopOrderText`, base64url.
 */
export const StopOrderSchema = z
  .object({
    stopId: z.string().min(1).max(100),
    at: z.int(),
    by: z.string().max(1_000),
    reason: z.string().max(10_000).nullable(),
    seal: z.string().max(100),
  })
  .strict();
export type StopOrder = z.infer<typeof StopOrderSchema>;

/** What the seal of a stop order binds. */
export function stopOrderText({ stopId, at, by, reason }: Omit<StopOrder, 'seal'>): string {
  return JSON.stringify(['stop', stopId, at, by, reason]);
}

/**
 * Mutual authentication on the lines (docs/decisions/0019). A request has `authorization: MC-Line {at}.{nonce}.{to}.{mac}`, its answer
 * `x-mc-proof: {mac}`, a message of the stream is `{mac} {json}`. Each mac is an HMAC-SHA-256 with the cluster secret over one of the
 * texts below, base64url.
 */
export const LINE_SCHEME = 'MC-Line';
export const LINE_PROOF_HEADER = 'x-mc-proof';
/** What the credential for control's own MCP server is derived for. */
export const OWN_SERVER_PURPOSE = 'mission-control/own-server/v1';

/** The journal's lines come as they are in its file: a JSON text on each line. */
export const JSON_LINES = 'application/x-ndjson';

/**
 * What a request proves. `path` has its query, `to` is the name that the control which is asked has given itself at its start (empty while the
 * proxy does not know it), `bodyHash` is SHA-256 in hex, of nothing where there is no body.
 */
export function lineAskText({
  method,
  path,
  at,
  nonce,
  to,
  bodyHash,
}: Record<'method' | 'path' | 'nonce' | 'to' | 'bodyHash', string> & { at: number }): string {
  return JSON.stringify(['ask', method, path, at, nonce, to, bodyHash]);
}

/** Answered, proven, to a request that was meant for another control, or for this one before its last start: nothing was done. */
export const MISDIRECTED = 421;
export interface Misdirected {
  code: 'ANOTHER_CONTROL';
  /** Who is here: what `to` must be. */
  id: string;
}

/** What an answer proves: that it is the one to the request with this nonce. */
export function lineAnswerText({ nonce, status, bodyHash }: { nonce: string; status: number; bodyHash: string }): string {
  return JSON.stringify(['answer', nonce, status, bodyHash]);
}

/** What the answer to a stop proves that was sent straight to a proxy: that it is the one to this order. Its mac is in the same header. */
export function stopAnswerText(seal: string, bodyHash: string): string {
  return JSON.stringify(['stopped', seal, bodyHash]);
}

/** What a message of the stream proves: its place in the stream that was asked for with this nonce. */
export function lineMessageText(nonce: string, number: number, text: string): string {
  return `["message","${nonce}",${number}]\n${text}`;
}

/** The channel of the bus in Redis. */
export const BUS_CHANNEL = 'mc:bus';

/** What goes over the bus: hints, and stop orders, which are sealed. `from` names the process that says it. */
export const BusMessageSchema = z.discriminatedUnion('type', [
  /** The outbox has grown. */
  z.object({ type: z.literal('changes'), from: z.string().max(200) }),
  /** All proxies on the lines of that control judge by this revision. */
  z.object({ type: z.literal('applied'), from: z.string().max(200), revision: z.int().min(0) }),
  z.object({ type: z.literal('stop'), order: StopOrderSchema }),
  /** Somebody wants drills to be run by every proxy. */
  z.object({ type: z.literal('drill'), from: z.string().max(200), requestId: z.string().max(100), names: z.array(z.enum(DRILL_NAMES)) }),
]);
export type BusMessage = z.infer<typeof BusMessageSchema>;

function perFlipKind<T extends z.ZodType>(value: T): Record<FlipKind, T> {
  return Object.fromEntries(FLIP_KINDS.map((kind) => [kind, value])) as Record<FlipKind, T>;
}

function isWholeMicros(usd: number): boolean {
  try {
    microsFromUsd(usd);
    return true;
  } catch {
    return false;
  }
}
