/**
 * Approvals as people see them (SPEC 6). What people send to decide them is in approval-decisions.ts; what a proxy needs of them in
 * journal.ts.
 */
import { z } from 'zod';
import type { CommandReading, HostReading, PathReading } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Reading, ReasonSchema, Usd } from './parts.ts';

export const APPROVAL_STATUSES = ['pending', 'approved', 'denied', 'expired', 'withdrawn'] as const;
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number];

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
