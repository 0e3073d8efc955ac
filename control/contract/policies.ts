/** Policies as people handle them: versions, validation, differences, replays and shadows of drafts (SPEC 4). */
import { z } from 'zod';
import { FLIP_KINDS, type FlipKind, REASON_CODES, RISKS, VERDICTS } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Text } from './parts.ts';

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

function perFlipKind<T extends z.ZodType>(value: T): Record<FlipKind, T> {
  return Object.fromEntries(FLIP_KINDS.map((kind) => [kind, value])) as Record<FlipKind, T>;
}
