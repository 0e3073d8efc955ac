/** Money as people see it, in USD: spend by dimension, forecasts, raised caps (SPEC 8.3). */
import { z } from 'zod';
import { EpochMs, Id, Text, Usd, UsdGiven } from './parts.ts';

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
