/**
 * The threads of tasks on channels. The database is canonical: a thread there is a picture of the task's own thread, and is made anew
 * when it is lost. What was written to it there is kept here as a comment, under the name of the operator.
 */
import { sql } from 'kysely';
import { type Db, json } from './db/database.ts';
import type { ChatThreadsTable } from './db/schema.ts';
import { commentNote, insertNotification, mirrorKey } from './notifications.ts';

export type Threads = ReturnType<typeof createThreads>;

/** A thread whose title or state there is not that of its task any more. */
export interface StaleThread {
  channelId: string;
  taskId: string;
  externalId: string;
  title: string;
  label: string;
  closed: boolean;
  titleChanged: boolean;
  closedChanged: boolean;
}

/** Comments that are younger than this are the feed's business; older than a week they are not brought to a chat any more. */
const SETTLED_MS = 60_000;
const KEEP_MS = 7 * 24 * 60 * 60 * 1000;
const BATCH = 50;

export function createThreads({ db, clock }: { db: Db; clock: () => number }) {
  async function find(channelId: string, taskId: string): Promise<ChatThreadsTable | null> {
    const row = await db
      .selectFrom('chat_threads')
      .selectAll()
      .where('channel_id', '=', channelId)
      .where('task_id', '=', taskId)
      .executeTakeFirst();
    return row ?? null;
  }

  /** The task that a thread on a channel belongs to. */
  async function taskAt(channelId: string, externalId: string): Promise<string | null> {
    const row = await db
      .selectFrom('chat_threads')
      .select('task_id')
      .where('channel_id', '=', channelId)
      .where('external_id', '=', externalId)
      .executeTakeFirst();
    return row?.task_id ?? null;
  }

  /** What a new thread of a task is called; null where the task is gone. */
  async function nameOf(taskId: string): Promise<{ title: string; label: string } | null> {
    const task = await db
      .selectFrom('tasks')
      .select(['number', 'title'])
      .where('id', '=', taskId)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    return task ? { title: task.title, label: `Task ${task.number}` } : null;
  }

  /** Keeps where a task's thread is; the first one becomes the task's own `threadRef`. */
  async function keep(channel: { id: string; kind: string }, taskId: string, externalId: string, title: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      await tx
        .insertInto('chat_threads')
        .values({
          channel_id: channel.id,
          task_id: taskId,
          external_id: externalId,
          created_at: clock(),
          shown_title: title,
          closed: false,
        })
        .onConflict((conflict) =>
          conflict.columns(['channel_id', 'task_id']).doUpdateSet({ external_id: externalId, shown_title: title, closed: false }),
        )
        .execute();
      await tx
        .updateTable('tasks')
        .set({ thread_ref: `${channel.kind}:${externalId}` })
        .where('id', '=', taskId)
        .where('thread_ref', 'is', null)
        .execute();
    });
  }

  /** The thread is not there any more: the next thing to say opens another one, and what was said is brought there again. */
  async function forget(channelId: string, taskId: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      await tx.deleteFrom('chat_threads').where('channel_id', '=', channelId).where('task_id', '=', taskId).execute();
      await tx
        .updateTable('notifications')
        .set({ delivered_at: null, dead_at: null, ref: json(null), due_at: clock() })
        .where('channel_id', '=', channelId)
        .where('task_id', '=', taskId)
        .where('kind', '=', 'comment')
        .where('created_at', '>', clock() - KEEP_MS)
        .execute();
    });
  }

  /** Threads that show another title than their task has, or are open for a closed task. */
  async function stale(channelId: string): Promise<StaleThread[]> {
    const rows = await db
      .selectFrom('chat_threads')
      .innerJoin('tasks', 'tasks.id', 'chat_threads.task_id')
      .select(['task_id', 'external_id', 'shown_title', 'closed', 'tasks.title', 'tasks.number', 'tasks.status', 'tasks.removed_at'])
      .where('channel_id', '=', channelId)
      .execute();
    return rows
      .map((row) => {
        const closed = row.removed_at !== null || row.status === 'done' || row.status === 'canceled';
        return {
          channelId,
          taskId: row.task_id,
          externalId: row.external_id,
          title: row.title,
          label: `Task ${row.number}`,
          closed,
          titleChanged: row.title !== row.shown_title,
          closedChanged: closed !== row.closed,
        };
      })
      .filter((thread) => thread.titleChanged || thread.closedChanged)
      .slice(0, BATCH);
  }

  async function brought({ channelId, taskId, title, closed }: StaleThread): Promise<void> {
    await db
      .updateTable('chat_threads')
      .set({ shown_title: title, closed })
      .where('channel_id', '=', channelId)
      .where('task_id', '=', taskId)
      .execute();
  }

  /**
   * Comments of tasks that have a thread there and were never brought to it (it was switched on later, or the feed was cut): each gets its
   * notification, once. @returns how many.
   */
  async function mend(channelId: string): Promise<number> {
    const now = clock();
    const missing = await db
      .selectFrom('messages')
      .innerJoin('chat_threads', (join) =>
        join.onRef('chat_threads.task_id', '=', 'messages.task_id').on('chat_threads.channel_id', '=', channelId),
      )
      .select(['messages.id', 'messages.task_id', 'author_name', 'author_type', 'content', 'metadata'])
      .where('messages.created_at', '<=', now - SETTLED_MS)
      .where('messages.created_at', '>', now - KEEP_MS)
      .where((eb) =>
        eb.not(
          eb.exists(
            eb
              .selectFrom('notifications')
              .select('notifications.id')
              .where('dedupe_key', '=', sql<string>`'comment:' || messages.id || ':' || ${channelId}::text`),
          ),
        ),
      )
      .orderBy('messages.number')
      .limit(BATCH)
      .execute();
    let count = 0;
    for (const message of missing) {
      if ((message.metadata as Record<string, unknown>).channelId === channelId) continue;
      await insertNotification(
        db,
        {
          kind: 'comment',
          channelId,
          recipient: { chat: null, inThread: true },
          taskId: message.task_id,
          summary: `${message.author_name} commented`,
          note: commentNote(message.author_name, message.author_type, message.content),
          payload: {},
          key: mirrorKey(message.id, channelId),
        },
        now,
      );
      count++;
    }
    return count;
  }

  return { find, taskAt, nameOf, keep, forget, stale, brought, mend };
}
