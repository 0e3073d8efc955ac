/** Tasks and their transitions (SPEC 8.1); the rules of the table are in policies/task.ts. */
import { z } from 'zod';
import { ACTORS, TASK_STATUSES, TASK_TYPES } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Text, Usd, UsdGiven } from './parts.ts';

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
