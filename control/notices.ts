/**
 * What has to be said to people about approvals that wait: a reminder, or that one is handed on. A row is written in the transaction of
 * what causes it, once for ever under its key (docs/decisions/0011), and taken by whoever carries it to them. Who they are is read when it
 * is taken: everybody of the role or above, and in place of one who is away the deputy.
 */
import { randomUUID } from 'node:crypto';
import { atLeast } from './auth.ts';
import type { Tx } from './db/database.ts';
import type { ApprovalNoticesTable } from './db/schema.ts';

export interface NewNotice {
  approvalId: string;
  kind: ApprovalNoticesTable['kind'];
  toRole: ApprovalNoticesTable['to_role'];
  /** One sentence; quotes the call, redacted. */
  text: string;
  key: string;
}

/** Adds a notice in the caller's transaction, unless there is one under its key. */
export async function addNotice(tx: Tx, { approvalId, kind, toRole, text, key }: NewNotice, now: number): Promise<void> {
  await tx
    .insertInto('approval_notices')
    .values({ id: randomUUID(), dedupe_key: key, created_at: now, approval_id: approvalId, kind, to_role: toRole, text, taken_at: null })
    .onConflict((conflict) => conflict.column('dedupe_key').doNothing())
    .execute();
}

/** A notice with the operators that it is for, by id; nobody twice. */
export interface DueNotice {
  id: string;
  approvalId: string;
  kind: ApprovalNoticesTable['kind'];
  text: string;
  key: string;
  to: readonly string[];
}

/**
 * Takes the oldest notices that nobody has taken, in the transaction in which the caller queues them for delivery: both or neither. One
 * whose approval is decided by then is dropped.
 */
export async function takeNotices(tx: Tx, limit: number, now: number): Promise<DueNotice[]> {
  const rows = await tx
    .selectFrom('approval_notices')
    .innerJoin('approvals', 'approvals.id', 'approval_notices.approval_id')
    .select(['approval_notices.id', 'approval_id', 'approval_notices.kind', 'to_role', 'text', 'dedupe_key', 'approvals.status'])
    .where('taken_at', 'is', null)
    .orderBy('approval_notices.created_at')
    .orderBy('approval_notices.id')
    .limit(limit)
    .forUpdate('approval_notices')
    .skipLocked()
    .execute();
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  await tx.updateTable('approval_notices').set({ taken_at: now }).where('id', 'in', ids).execute();
  const people = await tx.selectFrom('operators').selectAll().where('removed_at', 'is', null).orderBy('created_at').execute();
  return rows
    .filter((row) => row.status === 'pending')
    .map((row) => {
      const to = people
        .filter((person) => atLeast(person.role, row.to_role))
        .map((person) => ((person.away_until ?? 0) > now && person.deputy_id !== null ? person.deputy_id : person.id));
      return { id: row.id, approvalId: row.approval_id, kind: row.kind, text: row.text, key: row.dedupe_key, to: [...new Set(to)] };
    });
}
