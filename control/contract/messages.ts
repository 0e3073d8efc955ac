/** Comments in the threads of tasks, and what of them somebody has not read (SPEC 8.1). */
import { z } from 'zod';
import { ACTORS } from '../../policies/model.ts';
import { EpochMs, Id, JsonRecord, Text } from './parts.ts';

export const MessageSchema = z
  .object({
    id: Id,
    number: z.number().int(),
    createdAt: EpochMs,
    taskId: Id,
    threadRef: z.string().nullable(),
    authorId: z.string().nullable(),
    authorType: z.enum(ACTORS),
    authorName: z.string(),
    /** Redacted; untrusted text where an agent wrote it. */
    content: z.string(),
    /** Agents and people that it names. */
    mentions: z.array(z.string()),
    metadata: JsonRecord,
  })
  .meta({ id: 'Message' });
export type Message = z.infer<typeof MessageSchema>;
/** A thread in which somebody has not read everything. */
export const UnreadThreadSchema = z
  .object({
    taskId: Id,
    /** Comments of others since the last one that was read. */
    unread: z.number().int(),
    /** Of those, the ones that name the reader. */
    named: z.number().int(),
    /** The newest of them. */
    lastNumber: z.number().int(),
    lastAt: EpochMs,
  })
  .meta({ id: 'UnreadThread' });
export type UnreadThread = z.infer<typeof UnreadThreadSchema>;
export const MessageReadSchema = z
  .object({ upTo: z.number().int().min(0).optional() })
  .strict()
  .meta({ id: 'MessageRead', description: 'upTo: number of the last comment that was seen; without it, all there is.' });
export const MessageCreateSchema = z
  .object({
    taskId: Id,
    content: Text(20_000).min(1),
    mentions: z.array(Id).max(50).optional(),
    metadata: JsonRecord.optional(),
    idempotencyKey: Text(200).min(1).optional(),
  })
  .strict()
  .meta({
    id: 'MessageCreate',
    description:
      '"@name" in the content mentions an agent or a person; mentions adds ids. The same idempotencyKey of the same author is one message.',
  });
export type MessageCreate = z.infer<typeof MessageCreateSchema>;
