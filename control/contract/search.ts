/** Search over everything that is recorded (GET /api/search). */
import { z } from 'zod';
import { EpochMs } from './parts.ts';

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
