/**
 * The audit log: append-only and hash-chained (SPEC 10). Each row binds the one before it, so an edit, a removal or a reorder
 * breaks every hash after it (audit-chain.ts). Its signed heads are kept outside (anchors.ts), so that a cut or a replacement of the
 * whole shows too.
 */

import type { Selectable } from 'kysely';
import type { JsonObject } from '../policies/index.ts';
import { type AuditRecord, type Break, createChainCheck, hashOf, hashRecord } from './audit-chain.ts';
import { storableJson } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { AuditTable } from './db/schema.ts';

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
  /** What retention may drop later, redacted likewise; the details keep its hash. */
  payload?: JsonObject;
}

/**
 * Appends entries in the caller's transaction, in order. Takes the lock on the chain's head, which also puts the outbox rows
 * of concurrent transactions into commit order: call it before writing to the outbox.
 */
export async function appendAudit(tx: Tx, entries: readonly AuditEntry[]): Promise<void> {
  if (entries.length === 0) return;
  const head = await tx.selectFrom('audit_head').select(['seq', 'hash']).where('id', '=', 1).forUpdate().executeTakeFirstOrThrow();
  let { seq, hash: previous } = head;
  const rows = entries.map((entry): AuditRecord => {
    const payload = entry.payload === undefined ? null : asStored(entry.payload);
    const details = asStored({ ...entry.details, ...(payload !== null && { payloadHash: hashOf(payload) }) });
    const row = {
      seq: ++seq,
      at: entry.at,
      actorType: entry.actor.type,
      actorId: entry.actor.id,
      action: entry.action,
      subjectType: entry.subjectType,
      subjectId: entry.subjectId,
      details,
      payload,
      detailsHash: hashOf(details),
      prevHash: previous,
    };
    previous = hashRecord(row);
    return { ...row, hash: previous };
  });
  await insertRows(tx, rows);
  await tx.updateTable('audit_head').set({ seq, hash: previous }).where('id', '=', 1).execute();
}

/**
 * Checks the whole chain, a page at a time.
 * @param anchors hash by number of row, of anchors whose signature is good.
 * @returns the number of rows and the head, or the first row at which the chain breaks and why.
 */
export async function verifyAudit(
  db: Db,
  anchors: ReadonlyMap<number, string> = new Map(),
): Promise<{ ok: true; rows: number; head: string } | Break> {
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
  const chain = createChainCheck(new Map([...anchors].filter(([seq]) => seq <= head.seq)));
  for await (const page of auditPages(db, head.seq)) {
    for (const record of page) {
      const found = chain.next(record);
      if (found) return found;
    }
  }
  const { rows, head: last } = chain.state();
  if (rows < head.seq) return { ok: false, seq: rows + 1, why: 'rows at the end are missing' };
  if (last !== head.hash) return { ok: false, seq: head.seq, why: 'the head of the chain was changed' };
  if ((head.last ?? 0) > head.seq) return { ok: false, seq: head.seq + 1, why: 'it was added behind the end of the chain' };
  const anchored = Math.max(0, ...anchors.keys());
  if (anchored > head.seq) return { ok: false, seq: head.seq + 1, why: `the end was cut off: an anchor knows row ${anchored}` };
  return { ok: true, rows, head: last };
}

/** The rows up to `last`, in order, in pages; their number does not matter. @param from the number of the first row. */
export async function* auditPages(db: Db, last: number, from = 1): AsyncGenerator<AuditRecord[]> {
  for (let after = from - 1; after < last; ) {
    const page = await db
      .selectFrom('audit_log')
      .selectAll()
      .where('seq', '>', after)
      .where('seq', '<=', last)
      .orderBy('seq')
      .limit(PAGE)
      .execute();
    const end = page.at(-1);
    if (!end) return;
    yield page.map(recordOf);
    after = end.seq;
  }
}

const PAGE = 2_000;

function recordOf(row: Selectable<AuditTable>): AuditRecord {
  return {
    seq: row.seq,
    at: row.at,
    actorType: row.actor_type,
    actorId: row.actor_id,
    action: row.action,
    subjectType: row.subject_type,
    subjectId: row.subject_id,
    details: row.details as JsonObject,
    payload: row.payload as JsonObject | null,
    detailsHash: row.details_hash,
    prevHash: row.prev_hash,
    hash: row.hash,
  };
}

/** As the database will give it back. */
function asStored(value: JsonObject): JsonObject {
  return JSON.parse(storableJson(JSON.stringify(value))) as JsonObject;
}

/** A whole journal batch makes hundreds of rows: PostgreSQL takes at most 65,535 parameters a statement. */
async function insertRows(tx: Tx, records: readonly AuditRecord[]): Promise<void> {
  for (let from = 0; from < records.length; from += 500) {
    const values = records.slice(from, from + 500).map((row) => ({
      seq: row.seq,
      at: row.at,
      actor_type: row.actorType,
      actor_id: row.actorId,
      action: row.action,
      subject_type: row.subjectType,
      subject_id: row.subjectId,
      details: json(row.details),
      payload: row.payload === null ? null : json(row.payload),
      details_hash: row.detailsHash,
      prev_hash: row.prevHash,
      hash: row.hash,
    }));
    await tx.insertInto('audit_log').values(values).execute();
  }
}
