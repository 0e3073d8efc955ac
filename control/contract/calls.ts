/** Recorded calls of tools and models, and the runs that they belong to (SPEC 8.1). */
import { z } from 'zod';
import { RISKS, VERDICTS } from '../../policies/model.ts';
import type { Usage } from '../../policies/prices.ts';
import { EpochMs, Id, JsonRecord, Reading, ReasonSchema, Usd } from './parts.ts';

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
