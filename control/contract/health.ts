/** How each part of the installation is doing, and its background jobs. */
import { z } from 'zod';
import { EpochMs } from './parts.ts';

export const WorkerSchema = z
  .object({
    name: z.string(),
    /** The process that does it now. */
    holder: z.string(),
    leaseExpiresAt: EpochMs,
    tickedAt: EpochMs.nullable(),
    succeededAt: EpochMs.nullable(),
    lastError: z.string().nullable(),
  })
  .meta({ id: 'Worker', description: 'A background job; one process holds its lease at a time.' });

export const HealthSchema = z
  .object({
    at: EpochMs,
    parts: z.array(
      z.object({
        group: z.enum(['proxies', 'database', 'redis', 'openclaw', 'channels', 'audit', 'workers', 'backups']),
        name: z.string(),
        /** `attention`: it works and should be looked at. `failing`: it does not. `unused`: not set up. `unknown`: it cannot be found out here. */
        state: z.enum(['ok', 'attention', 'failing', 'unused', 'unknown']),
        /** One sentence or two for people: what was found, and what follows from it. */
        says: z.string(),
        /** When it was last well or last heard; null = never, or it means nothing here. */
        at: EpochMs.nullable(),
      }),
    ),
  })
  .meta({ id: 'Health', description: 'How each part of the installation is doing, asked now.' });
export type Health = z.infer<typeof HealthSchema>;
