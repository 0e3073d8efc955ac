/**
 * What makes the audit log a proof, without a database: how a row is hashed, how the rows bind one another, and what an anchor is. Used
 * where the log is written, where it is verified in place, and offline on an export. Pure.
 *
 * A row binds its details by their hash. What a call read (its input) is its payload, bound by a hash inside of the details: retention may
 * drop the payload, and the row still verifies (SPEC 10).
 */
import { hash } from 'node:crypto';
import { canonicalJson, type JsonObject } from '../policies/index.ts';
import type { SigningKey } from './signing.ts';

/** A row of the log as it is exported. The order of the fields is the order of an export. */
export interface AuditRecord {
  seq: number;
  at: number;
  actorType: 'agent' | 'human' | 'system';
  actorId: string | null;
  action: string;
  subjectType: string;
  subjectId: string | null;
  details: JsonObject;
  /** Null: there was none, or retention has dropped it. */
  payload: JsonObject | null;
  detailsHash: string;
  prevHash: string;
  hash: string;
}

/** The head of the chain at a moment, signed: what is kept outside of the installation. */
export interface Anchor {
  seq: number;
  hash: string;
  at: number;
  /** `seq` of the anchor before; 0 = this is the first. */
  previous: number;
  keyId: string;
  /** Ed25519 over {@link anchorBytes}, base64url. */
  signature: string;
}

/** Where a chain is broken. */
export interface Break {
  ok: false;
  seq: number;
  why: string;
}

/** What the first row follows. */
const ORIGIN = '0'.repeat(64);

/** The hash of a row over everything that it says and the row before it. */
export function hashRecord(row: Omit<AuditRecord, 'details' | 'payload' | 'hash'>): string {
  const { seq, at, actorType, actorId, action, subjectType, subjectId, detailsHash, prevHash } = row;
  return hash('sha256', JSON.stringify([seq, at, actorType, actorId, action, subjectType, subjectId, detailsHash, prevHash]));
}

export function hashOf(value: JsonObject): string {
  return hash('sha256', canonicalJson(value));
}

/** Signs the head. @param head what the chain ends with now. @param previous the anchor before, 0 = none. */
export function signAnchor(head: { seq: number; hash: string }, at: number, previous: number, key: SigningKey): Anchor {
  const said = { seq: head.seq, hash: head.hash, at, previous, keyId: key.keyId };
  return { ...said, signature: key.sign(anchorBytes(said)) };
}

/** What the signature of an anchor is over. */
export function anchorBytes({ seq, hash: head, at, previous, keyId }: Omit<Anchor, 'signature'>): Uint8Array {
  return Buffer.from(`mission-control/audit-head/v1\n${JSON.stringify([seq, head, at, previous, keyId])}`);
}

/**
 * Follows a chain from its first row, or from the one after `start`. Feed it the rows in order; it answers the first break.
 * @param anchors hash by number of row, of anchors that are believed: rows must be what was anchored, and none anchored may be missing.
 */
export function createChainCheck(anchors: ReadonlyMap<number, string>, start: { seq: number; hash: string } = { seq: 0, hash: ORIGIN }) {
  let { seq: rows, hash: head } = start;
  let pruned = 0;
  let lastAnchored = 0;
  const anchored = Math.max(0, ...anchors.keys());

  function next(record: AuditRecord): Break | null {
    const { seq } = record;
    if (seq !== rows + 1) return broken(rows + 1, seq > rows ? 'a row is missing' : 'a row is there twice or in the wrong place');
    if (record.prevHash !== head) return broken(seq, 'it does not follow the row before it');
    if (hashOf(record.details) !== record.detailsHash) return broken(seq, 'its details were changed');
    const bound = record.details.payloadHash;
    if (record.payload === null) pruned += bound === undefined ? 0 : 1;
    else if (hashOf(record.payload) !== bound) return broken(seq, 'its payload was changed');
    if (hashRecord(record) !== record.hash) return broken(seq, 'its fields were changed');
    const known = anchors.get(seq);
    if (known !== undefined && known !== record.hash)
      return broken(lastAnchored + 1, `the rows were replaced: row ${seq} is not the one that was anchored`);
    if (known !== undefined) lastAnchored = seq;
    [rows, head] = [seq, record.hash];
    return null;
  }

  /** To be asked after the last row. */
  function end(): Break | null {
    return anchored > rows ? broken(rows + 1, `the end was cut off: an anchor knows row ${anchored}`) : null;
  }

  return { next, end, state: () => ({ rows, head, pruned }) };
}

function broken(seq: number, why: string): Break {
  return { ok: false, seq, why };
}
