/**
 * Who has read what: per person or agent and task, up to which comment. It only goes forward. Unread is what others wrote since, on tasks
 * whose thread somebody follows: who works on one, reviews it, wrote there or was named there follows it.
 */
import { sql } from 'kysely';
import type { UnreadThread } from './contract.ts';
import type { Db } from './db/database.ts';
import { notFound } from './problem.ts';

export type Reads = ReturnType<typeof createReads>;

/** Threads that are told of at most; the newest first. */
const THREADS_MAX = 500;

export function createReads({ db, clock }: { db: Db; clock: () => number }) {
  /** Threads with something that this reader has not read, the one with the newest comment first. */
  async function unread(readerId: string): Promise<UnreadThread[]> {
    const { rows } = await sql<{ task_id: string; count: number; named: number; last: number; at: number }>`
      select m.task_id, count(*)::int as count, (count(*) filter (where m.mentions @> ${JSON.stringify([readerId])}::jsonb))::int as named,
        max(m.number) as last, max(m.created_at) as at
      from messages m join tasks t on t.id = m.task_id
        left join message_reads r on r.task_id = m.task_id and r.reader_id = ${readerId}
      where t.removed_at is null and m.number > coalesce(r.read_number, 0) and m.author_id is distinct from ${readerId}
        and (t.subscriber_ids @> ${JSON.stringify([readerId])}::jsonb or t.assignee_ids @> ${JSON.stringify([readerId])}::jsonb
          or t.reviewer_ids @> ${JSON.stringify([readerId])}::jsonb)
      group by m.task_id order by max(m.number) desc limit ${THREADS_MAX}`.execute(db);
    return rows.map(({ task_id: taskId, count, named, last, at }) => ({
      ...{ taskId, unread: Number(count), named: Number(named) },
      ...{ lastNumber: Number(last), lastAt: Number(at) },
    }));
  }

  /** Notes that a reader has seen a task's thread up to a comment. @param upTo its number; null = all there is now. */
  async function markRead(readerId: string, taskId: string, upTo: number | null): Promise<void> {
    const task = await db.selectFrom('tasks').select('id').where('id', '=', taskId).where('removed_at', 'is', null).executeTakeFirst();
    if (!task) throw notFound('task', taskId);
    // What has not been written yet cannot have been read.
    const { newest } = await db
      .selectFrom('messages')
      .select((eb) => eb.fn.coalesce(eb.fn.max<number>('number'), sql<number>`0`).as('newest'))
      .where('task_id', '=', taskId)
      .executeTakeFirstOrThrow();
    const read = Math.min(Number(newest), upTo ?? Number(newest));
    await db
      .insertInto('message_reads')
      .values({ reader_id: readerId, task_id: taskId, read_number: read, read_at: clock() })
      .onConflict((conflict) =>
        conflict
          .columns(['reader_id', 'task_id'])
          .doUpdateSet({ read_number: read, read_at: clock() })
          .where('message_reads.read_number', '<', read),
      )
      .execute();
  }

  return { unread, markRead };
}
