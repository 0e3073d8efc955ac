/**
 * The row of an approval, as holds.ts and approvals.ts both work on it: one reading of its columns, and what either asks of it. Whoever
 * changes a row has locked it in the same transaction.
 */
import { isTwoPeople, type JsonObject } from '../policies/index.ts';
import type { Approval, HoldState, Preview } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { ApprovalsTable } from './db/schema.ts';
import type { Keys } from './keys.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound } from './problem.ts';

export type ApprovalRow = Omit<
  ApprovalsTable,
  'number' | 'arguments' | 'edited_arguments' | 'reasons' | 'preview' | 'approvals_needed' | 'reminders' | 'releases'
> & {
  number: number;
  approvals_needed: number;
  reminders: number;
  releases: HoldState['releases'] | null;
  arguments: JsonObject | null;
  edited_arguments: JsonObject | null;
  reasons: Approval['reasons'];
  preview: Preview | null;
};

export async function rowOf(from: Db | Tx, id: string): Promise<ApprovalRow> {
  const row = await from.selectFrom('approvals').selectAll().where('id', '=', id).executeTakeFirst();
  if (!row) throw notFound('approval', id);
  return row as ApprovalRow;
}

export async function lockRow(tx: Tx, id: string): Promise<ApprovalRow> {
  const row = await tx.selectFrom('approvals').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
  if (!row) throw notFound('approval', id);
  return row as ApprovalRow;
}

/** People that an approval needs: as the policy had it when it was asked for, or has it now if that is stricter. */
export function neededFor(policy: ActivePolicy['policy'], row: Pick<ApprovalRow, 'tool' | 'preview' | 'approvals_needed'>): number {
  const isNow = row.tool !== null && isTwoPeople(policy, row.tool, row.preview?.mappedTool ?? row.tool);
  return isNow ? Math.max(2, row.approvals_needed) : row.approvals_needed;
}

/** The arguments of a held call as its caller sent them; null once its hold and its grant have ended. */
export async function originalOf(from: Db | Tx, keys: Keys, callId: string): Promise<JsonObject | null> {
  const row = await from.selectFrom('held_calls').select('sealed').where('id', '=', callId).executeTakeFirst();
  return row && row.sealed !== '' ? (JSON.parse(keys.open(row.sealed, `held:${callId}`)) as JsonObject) : null;
}

/** Drops the originals of an approval's calls: its hold or grant has ended. */
export async function forget(tx: Tx, approvalId: string): Promise<void> {
  await tx.updateTable('held_calls').set({ sealed: '' }).where('approval_id', '=', approvalId).execute();
}
