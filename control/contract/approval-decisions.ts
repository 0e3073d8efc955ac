/** What people send to decide approvals, one or several, for once or for longer (SPEC 6), and what they send to ask for one. */
import { z } from 'zod';
import type { JsonObject } from '../../policies/model.ts';
import { ApprovalSchema } from './approvals.ts';
import { GrantRequestSchema } from './grants.ts';
import { Id, Text } from './parts.ts';

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
