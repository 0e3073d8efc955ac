/** Documents that Mission Control writes: summaries of loops, standups (SPEC 8.1). */
import { z } from 'zod';
import { EpochMs, Id } from './parts.ts';

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
