/**
 * The audit log: append-only and hash-chained (SPEC 10). Each row binds the one before it, so an edit, a removal or a reorder
 * breaks every hash after it. The chain binds the hash of the details, not the details: retention may drop a payload later
 * and the proof stands.
 */
import { hash } from 'node:crypto';
import { canonicalJson, type JsonObject } from '../policies/index.ts';
import { storableJson } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';

/** Who did something, always from the credential and never from a field that the caller sent. */
export interface Actor {
  type: 'agent' | 'human' | 'system';
  /** Id of the operator or agent; null for the system. */
  id: string | null;
  /** For people to read. */
  name: string;
}

export const SYSTEM: Actor = { type: 'system', id: null, name: 'Mission Control' };

export interface AuditEntry {
  at: number;
  actor: Actor;
  /** Past tense, dotted: "approval.approved". */
  action: string;
  subjectType: string;
  subjectId: string | null;
  /** Redacted before it comes here. */
  details: JsonObject;
}

/** What a row binds, in this order. */
interface ChainedRow {
  seq: number;
  at: number;
  actor_type: Actor['type'];
  actor_id: string | null;
  action: string;
  subject_type: string;
  subject_id: string | null;
  details_hash: string;
  prev_hash: string;
}

/**
 * Appends entries in the caller's transaction, in order. Takes the lock on the chain's head, which also puts the outbox rows
 * of concurrent transactions into commit order: call it before writing to the outbox.
 */
export async function appendAudit(tx: Tx, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const head = await tx.selectFrom('audit_head').select(['seq', 'hash']).where('id', '=', 1).forUpdate().executeTakeFirstOrThrow();
  let { seq, hash: previous } = head;
  const rows = entries.map((entry) => {
    // Hashed as the database will give them back.
    const details = JSON.parse(storableJson(JSON.stringify(entry.details))) as JsonObject;
    const row: ChainedRow = {
      seq: ++seq,
      at: entry.at,
      actor_type: entry.actor.type,
      actor_id: entry.actor.id,
      action: entry.action,
      subject_type: entry.subjectType,
      subject_id: entry.subjectId,
      details_hash: hash('sha256', canonicalJson(details)),
      prev_hash: previous,
    };
    previous = hashRow(row);
    return { ...row, details, hash: previous };
  });
  await insertRows(tx, rows);
  await tx.updateTable('audit_head').set({ seq, hash: previous }).where('id', '=', 1).execute();
}

/**
 * Checks the whole chain, a page at a time.
 * @returns the number of rows and the head, or the first row at which the chain breaks and why.
 */
export async function verifyAudit(db: Db): Promise<{ ok: true; rows: number; head: string } | { ok: false; seq: number; why: string }> {
  // One statement, so one moment: what is appended while we read comes after it.
  const head = await db
    .selectFrom('audit_head')
    .select([
      'seq',
      'hash',
      (eb) =>
        eb
          .selectFrom('audit_log')
          .select((inner) => inner.fn.max('seq').as('last'))
          .as('last'),
    ])
    .where('id', '=', 1)
    .executeTakeFirstOrThrow();
  let verified = 0;
  let previous = '0'.repeat(64);
  while (verified < head.seq) {
    const page = await db
      .selectFrom('audit_log')
      .selectAll()
      .where('seq', '>', verified)
      .where('seq', '<=', head.seq)
      .orderBy('seq')
      .limit(1000)
      .execute();
    if (page.length === 0) return { ok: false, seq: verified + 1, why: 'rows at the end are missing' };
    for (const row of page) {
      if (row.seq !== verified + 1) return { ok: false, seq: verified + 1, why: 'a row is missing' };
      if (row.prev_hash !== previous) return { ok: false, seq: row.seq, why: 'it does not follow the row before it' };
      if (hash('sha256', canonicalJson(row.details as JsonObject)) !== row.details_hash)
        return { ok: false, seq: row.seq, why: 'its details were changed' };
      if (hashRow(row) !== row.hash) return { ok: false, seq: row.seq, why: 'its fields were changed' };
      previous = row.hash;
      verified = row.seq;
    }
  }
  if (previous !== head.hash) return { ok: false, seq: head.seq, why: 'the head of the chain was changed' };
  if ((head.last ?? 0) > head.seq) return { ok: false, seq: head.seq + 1, why: 'it was added behind the end of the chain' };
  return { ok: true, rows: verified, head: previous };
}

function hashRow(row: ChainedRow): string {
  return hash(
    'sha256',
    JSON.stringify([
      row.seq,
      row.at,
      row.actor_type,
      row.actor_id,
      row.action,
      row.subject_type,
      row.subject_id,
      row.details_hash,
      row.prev_hash,
    ]),
  );
}

/** A whole journal batch makes hundreds of rows: PostgreSQL takes at most 65,535 parameters a statement. */
async function insertRows(tx: Tx, rows: readonly (ChainedRow & { details: JsonObject; hash: string })[]): Promise<void> {
  for (let from = 0; from < rows.length; from += 500) {
    const values = rows.slice(from, from + 500).map((row) => ({ ...row, details: json(row.details) }));
    await tx.insertInto('audit_log').values(values).execute();
  }
}
