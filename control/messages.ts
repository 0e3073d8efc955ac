/**
 * Comments on a task's thread. Who writes, who is named and who works on the task follows it from then on; an agent that is named, and
 * an assignee that a person writes to, are told in their session of the task. Everything is redacted before it is stored.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { type JsonObject, redact, redactText } from '../policies/index.ts';
import type { Actor } from './audit.ts';
import { mentionFor } from './briefs.ts';
import { recordChanges } from './changes.ts';
import type { Message, MessageCreate } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { MessagesTable } from './db/schema.ts';
import { enqueue, toolNamesOf } from './deliveries.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { notFound, Refusal } from './problem.ts';

export type Messages = ReturnType<typeof createMessages>;
type MessageRow = Omit<MessagesTable, 'number' | 'mentions' | 'metadata'> & {
  number: number;
  mentions: string[];
  metadata: Record<string, unknown>;
};

export interface MessageFilter {
  taskId?: string | undefined;
  agentId?: string | undefined;
  limit: number;
  cursor?: string | undefined;
}

/** A name after "@": letters, digits, "-", "_", "." inside. */
const MENTION = /(?<![\w@])@([\p{L}\p{N}](?:[\p{L}\p{N}_.-]*[\p{L}\p{N}_-])?)/gu;

export function createMessages({ db, clock, published }: { db: Db; clock: () => number; published: () => void }) {
  /** Newest first. `agentId`: what it wrote or is mentioned in. */
  async function list(filter: MessageFilter): Promise<{ items: Message[]; nextCursor: string | null }> {
    let query = db
      .selectFrom('messages')
      .selectAll()
      .orderBy('number', 'desc')
      .limit(filter.limit + 1);
    const { agentId } = filter;
    if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
    if (agentId) query = query.where((eb) => eb.or([eb('author_id', '=', agentId), eb('mentions', '@>', json([agentId]) as never)]));
    if (filter.cursor) query = query.where('number', '<', decodeCursor(filter.cursor, ['number'])[0]);
    const rows = (await query.execute()) as MessageRow[];
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.number]) : null };
  }

  /** Writes a comment. @throws Refusal 403 for an agent that has no part in the task, 400 for a mention of nobody. */
  async function post(actor: Actor, input: MessageCreate): Promise<Message> {
    const row = await db.transaction().execute((tx) => postIn(tx, actor, input));
    published();
    return view(row);
  }

  async function postIn(tx: Tx, actor: Actor, input: MessageCreate): Promise<MessageRow> {
    const now = clock();
    const task = await tx
      .selectFrom('tasks')
      .select(['id', 'number', 'title', 'thread_ref', 'assignee_ids', 'reviewer_ids', 'subscriber_ids'])
      .where('id', '=', input.taskId)
      .where('removed_at', 'is', null)
      .forUpdate()
      .executeTakeFirst();
    if (!task) throw notFound('task', input.taskId);
    const assignees = task.assignee_ids as string[];
    const subscribers = task.subscriber_ids as string[];
    if (actor.type === 'agent') {
      const isPart = [...assignees, ...(task.reviewer_ids as string[]), ...subscribers].includes(actor.id ?? '');
      if (!isPart)
        throw new Refusal(
          403,
          'FOREIGN_TASK',
          'You have no part in this task: you neither work on it nor review it, and nobody named you.',
        );
    }
    if (input.idempotencyKey !== undefined) {
      // The task's row is locked: two with the same key cannot pass here at once.
      const first = await tx
        .selectFrom('messages')
        .selectAll()
        .where('task_id', '=', task.id)
        .where('author_id', 'is not distinct from', actor.id)
        .where(sql<boolean>`metadata ->> 'idempotencyKey' = ${input.idempotencyKey}`)
        .executeTakeFirst();
      if (first && first.content !== redactText(input.content).text) {
        throw new Refusal(
          422,
          'IDEMPOTENCY_MISMATCH',
          `You have said something else on this task under the key "${input.idempotencyKey}".`,
        );
      }
      if (first) return first as MessageRow;
    }
    const content = redactText(input.content).text;
    const mentions = await mentioned(tx, content, input.mentions ?? []);
    const row = (await tx
      .insertInto('messages')
      .values({
        id: randomUUID(),
        created_at: now,
        task_id: task.id,
        thread_ref: task.thread_ref,
        author_id: actor.id,
        author_type: actor.type,
        author_name: actor.name,
        content,
        mentions: json(mentions.map(({ id }) => id)),
        metadata: json({
          ...(redact((input.metadata ?? {}) as JsonObject).value as JsonObject),
          ...(input.idempotencyKey !== undefined && { idempotencyKey: input.idempotencyKey }),
        }),
      })
      .returningAll()
      .executeTakeFirstOrThrow()) as MessageRow;
    const following = [...new Set([...subscribers, ...(actor.id === null ? [] : [actor.id]), ...mentions.map(({ id }) => id)])];
    if (following.length !== subscribers.length) {
      await tx
        .updateTable('tasks')
        .set({ subscriber_ids: json(following.slice(0, 200)) })
        .where('id', '=', task.id)
        .execute();
    }
    // An agent's comment reaches only whom it names: two agents that wake each other with every word would never end.
    const told = new Set([...mentions.flatMap(({ id, isAgent }) => (isAgent ? [id] : [])), ...(actor.type === 'human' ? assignees : [])]);
    if (actor.id !== null) told.delete(actor.id);
    const names = await toolNamesOf(tx, [...told]);
    await enqueue(
      tx,
      [...told].map((agentId) => ({
        kind: 'mention' as const,
        agentId,
        task: { id: task.id, number: task.number },
        text: mentionFor(task, actor, content, names(agentId)),
        key: `mention:${row.id}:${agentId}`,
      })),
      now,
    );
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: 'message.posted',
        topic: 'task',
        id: task.id,
        details: { messageId: row.id, mentions: mentions.map(({ id }) => id) },
        activity: {
          type: 'comment_posted',
          taskId: task.id,
          agentId: actor.type === 'agent' ? actor.id : null,
          summary: `${actor.name} on "${task.title}": ${content.length > 300 ? `${content.slice(0, 300)}…` : content}`,
          details: { messageId: row.id },
        },
      },
    ]);
    return row;
  }

  /** Ids of agents and people by their names. @throws Refusal 400 for a name that nobody has. */
  async function idsOf(names: readonly string[]): Promise<string[]> {
    const wanted = names.map((name) => name.replace(/^@/, '').toLowerCase());
    const rows = [
      ...(await db.selectFrom('agents').select(['id', 'name']).where('removed_at', 'is', null).where(lower(wanted)).execute()),
      ...(await db.selectFrom('operators').select(['id', 'name']).where('removed_at', 'is', null).where(lower(wanted)).execute()),
    ];
    const missing = names.filter((_, index) => !rows.some(({ name }) => name.toLowerCase() === wanted[index]));
    if (missing.length > 0) throw new Refusal(400, 'UNKNOWN_MENTION', `Nobody has the name ${missing.join(', ')}.`);
    return rows.map(({ id }) => id);
  }

  return { list, post, idsOf };
}

function lower(names: readonly string[]) {
  return sql<boolean>`lower(name) = any(${[...names]})`;
}

/** Agents and people that a comment names: by "@name" where somebody has that name, and by id. */
async function mentioned(tx: Tx, content: string, ids: readonly string[]): Promise<{ id: string; isAgent: boolean }[]> {
  const names = [...new Set([...content.matchAll(MENTION)].map(([, name]) => (name ?? '').toLowerCase()))].slice(0, 50);
  if (names.length === 0 && ids.length === 0) return [];
  const found = new Map<string, boolean>();
  for (const [table, isAgent] of [
    ['agents', true],
    ['operators', false],
  ] as const) {
    const rows = await tx
      .selectFrom(table)
      .select(['id', 'name'])
      .where('removed_at', 'is', null)
      .where((eb) =>
        eb.or([
          ...(ids.length > 0 ? [eb('id', 'in', [...ids])] : []),
          ...(names.length > 0 ? [eb(eb.fn<string>('lower', ['name']), 'in', names)] : []),
        ]),
      )
      .execute();
    for (const row of rows) found.set(row.id, isAgent);
  }
  const unknown = ids.filter((id) => !found.has(id));
  if (unknown.length > 0) throw new Refusal(400, 'UNKNOWN_MENTION', `Nobody has the id ${unknown.join(', ')}.`);
  return [...found].map(([id, isAgent]) => ({ id, isAgent }));
}

function view(row: MessageRow): Message {
  return {
    id: row.id,
    number: row.number,
    createdAt: row.created_at,
    taskId: row.task_id,
    threadRef: row.thread_ref,
    authorId: row.author_id,
    authorType: row.author_type,
    authorName: row.author_name,
    content: row.content,
    mentions: row.mentions,
    metadata: row.metadata,
  };
}
