/** Documents that Mission Control writes about the work: loop summaries and standups, in Markdown. Written once, never changed. */
import { randomUUID } from 'node:crypto';
import { redactText } from '../policies/index.ts';
import { SYSTEM } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { WorkDocument } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { DocumentsTable } from './db/schema.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { notFound } from './problem.ts';

export type Documents = ReturnType<typeof createDocuments>;

export interface NewDocument {
  kind: WorkDocument['kind'];
  title: string;
  body: string;
  taskId?: string;
  /** At most one document of its kind for a day. */
  day?: string;
}

/** Adds a document in the caller's transaction. @returns its id, or null where there is one for that day already. */
export async function writeDocument(tx: Tx, { kind, title, body, taskId, day }: NewDocument, now: number): Promise<string | null> {
  const id = randomUUID();
  const row = await tx
    .insertInto('documents')
    .values({
      id,
      created_at: now,
      kind,
      task_id: taskId ?? null,
      day: day ?? null,
      title: redactText(title).text,
      body: redactText(body).text,
    })
    .onConflict((conflict) => conflict.columns(['kind', 'day']).where('day', 'is not', null).doNothing())
    .returning('id')
    .executeTakeFirst();
  if (!row) return null;
  await recordChanges(tx, [
    {
      at: now,
      actor: SYSTEM,
      action: 'document.written',
      topic: taskId === undefined ? 'system' : 'task',
      id: taskId ?? id,
      details: { documentId: id, kind, title },
      activity: { type: 'document_written', taskId: taskId ?? null, summary: title, details: { documentId: id, kind } },
    },
  ]);
  return id;
}

export function createDocuments({ db }: { db: Db }) {
  /** Newest first. */
  async function list(filter: {
    kind?: WorkDocument['kind'] | undefined;
    taskId?: string | undefined;
    limit: number;
    cursor?: string | undefined;
  }) {
    let query = db
      .selectFrom('documents')
      .selectAll()
      .orderBy('number', 'desc')
      .limit(filter.limit + 1);
    if (filter.kind) query = query.where('kind', '=', filter.kind);
    if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
    if (filter.cursor) query = query.where('number', '<', decodeCursor(filter.cursor, ['number'])[0]);
    const rows = (await query.execute()) as DocumentRow[];
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.number]) : null };
  }

  async function get(id: string): Promise<WorkDocument> {
    const row = (await db.selectFrom('documents').selectAll().where('id', '=', id).executeTakeFirst()) as DocumentRow | undefined;
    if (!row) throw notFound('document', id);
    return view(row);
  }

  return { list, get };
}

type DocumentRow = Omit<DocumentsTable, 'number'> & { number: number };

function view(row: DocumentRow): WorkDocument {
  return {
    id: row.id,
    number: row.number,
    createdAt: row.created_at,
    kind: row.kind,
    taskId: row.task_id,
    day: row.day,
    title: row.title,
    body: row.body,
  };
}
