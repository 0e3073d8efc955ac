/** What happened: timelines, the cost of a task, and the five answers of an incident (SPEC 1, 10). */
import { z } from 'zod';
import { ACTORS } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Usd } from './parts.ts';

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
