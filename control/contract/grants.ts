/** Standing grants: approve for longer (SPEC 6). */
import { z } from 'zod';
import type { GrantPattern } from '../../policies/grants.ts';
import { AUTONOMY_LEVELS, RISKS, VERDICTS } from '../../policies/model.ts';
import { ApprovalSchema } from './approvals.ts';
import { EpochMs, Id, Reading, Text } from './parts.ts';

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
