/**
 * The audit log as a file, and its verification without Mission Control. A file begins with the signed head of the chain, so that a cut shows
 * in the file alone; anchors that were kept elsewhere show what was cut or replaced before it was exported. Every line has one spelling: a
 * byte that was changed is found, and the row is named. Read and written line by line, whatever the length.
 */
import { createReadStream, existsSync } from 'node:fs';
import { TextDecoder } from 'node:util';
import { z } from 'zod';
import { type Anchor, type AuditRecord, anchorBytes, createChainCheck } from './audit-chain.ts';
import { readPublicKey } from './signing.ts';

export const EXPORT_FORMATS = ['ndjson', 'json', 'csv'] as const;
export type ExportFormat = (typeof EXPORT_FORMATS)[number];
export const EXPORT_TYPES: Record<ExportFormat, string> = {
  ndjson: 'application/x-ndjson',
  json: 'application/json',
  csv: 'text/csv; charset=utf-8',
};

const KIND = 'mission-control/audit-export';
const COLUMNS = [
  'seq',
  'at',
  'actorType',
  'actorId',
  'action',
  'subjectType',
  'subjectId',
  'details',
  'payload',
  'detailsHash',
  'prevHash',
  'hash',
] as const satisfies (keyof AuditRecord)[];
/** A row is bounded by what one call may say; a longer line is none of ours. */
const LINE_MAX_BYTES = 64 * 1024 * 1024;
const NEW_LINE = 10;

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const AnchorSchema = z.strictObject({
  seq: z.int().min(0),
  hash: Hash,
  at: z.int(),
  previous: z.int().min(0),
  keyId: z.string(),
  signature: z.string(),
});
const HeaderSchema = z.strictObject({ kind: z.literal(KIND), version: z.literal(1), head: AnchorSchema });
const JsonRecord = z.record(z.string(), z.unknown());
const RecordSchema = z.strictObject({
  seq: z.int().min(1),
  at: z.int(),
  actorType: z.enum(['agent', 'human', 'system']),
  actorId: z.string().nullable(),
  action: z.string(),
  subjectType: z.string(),
  subjectId: z.string().nullable(),
  details: JsonRecord,
  payload: JsonRecord.nullable(),
  detailsHash: Hash,
  prevHash: Hash,
  hash: Hash,
});

/** Where a file is not what was exported. */
export interface Fault {
  ok: false;
  /** Which row is the first that cannot be believed; null where it is the file as a whole, its head or its anchors. */
  seq: number | null;
  /** Of the export or, where `why` says so, of the anchors; null = the end. */
  line: number | null;
  why: string;
}
export interface Verified {
  ok: true;
  rows: number;
  head: string;
  exportedAt: number;
  /** Rows whose payload retention has dropped. */
  pruned: number;
  /** Anchors that the rows were held against. */
  anchors: number;
  keyId: string;
  /** Whether the signatures were checked: a key was given. */
  signed: boolean;
}

/** The file, as pieces of text. @param pages rows in order, from the first to the one that `head` names. */
export async function* exportAudit(
  format: ExportFormat,
  head: Anchor,
  pages: AsyncIterable<readonly AuditRecord[]>,
): AsyncGenerator<string> {
  const header = JSON.stringify({ kind: KIND, version: 1, head });
  if (format === 'csv') yield `${COLUMNS.join(',')}\n`;
  else yield format === 'ndjson' ? `${header}\n` : `${header.slice(0, -1)},"rows":[`;
  let isFirst = true;
  for await (const page of pages) {
    if (format === 'csv') yield page.map((record) => `${COLUMNS.map((column) => cellOf(record[column])).join(',')}\n`).join('');
    else if (format === 'ndjson') yield page.map((record) => `${JSON.stringify(record)}\n`).join('');
    else yield `${isFirst ? '' : ','}\n${page.map((record) => JSON.stringify(record)).join(',\n')}`;
    isFirst = false;
  }
  if (format === 'json') yield '\n]}\n';
}

/**
 * Verifies an export (NDJSON or JSON) against itself, anchors and a key.
 * @param anchors file of anchors, one a line; null = none. @param key PEM of the public key; null = signatures are not checked.
 * @throws Error when a file cannot be read, or the key is none.
 */
export async function verifyExport(
  file: string,
  { anchors, key }: { anchors: string | null; key: string | null },
): Promise<Verified | Fault> {
  const verifier = key === null ? null : readPublicKey(key);
  if (anchors !== null && !existsSync(anchors)) {
    const why = `there are no anchors in ${anchors} yet: the first is written when the head of the log is signed for the first time (MC_ANCHOR_MINUTES). Until then verify without --anchors, or look whether the file is kept elsewhere`;
    return { ok: false, seq: null, line: null, why };
  }
  return verifyLines(linesOf(file), anchors === null ? null : linesOf(anchors), verifier);
}

/** The same for lines that are at hand. A line is null where the bytes are no text or there is no line end after it. */
export async function verifyLines(
  exported: AsyncIterable<string | null> | Iterable<string | null>,
  anchorLines: AsyncIterable<string | null> | Iterable<string | null> | null,
  verifier: ReturnType<typeof readPublicKey> | null,
): Promise<Verified | Fault> {
  const known = await readAnchors(anchorLines ?? [], verifier);
  if ('ok' in known) return known;
  const chain = createChainCheck(known);
  let line = 0;
  let head: Anchor | null = null;
  let isJson = false;
  let isEnded = false;
  let isMore = true;
  for await (const text of exported) {
    line++;
    const row = chain.state().rows + 1;
    const at = (why: string): Fault => ({ ok: false, seq: line === 1 ? null : row, line, why });
    if (text === null) return at('the line is not whole: it was cut or bytes of it were changed');
    if (head === null) {
      isJson = text.endsWith(',"rows":[');
      head = parseHeader(isJson ? `${text.slice(0, -9)}}` : text);
      if (head === null) return at('this is not the head of an export (NDJSON or JSON), or it was changed');
      if (verifier !== null) {
        const why = faultOf(head, verifier);
        if (why !== null) return at(`the head of the export ${why}`);
      }
      continue;
    }
    if (isEnded) return at('something was added behind the end');
    if (isJson && text === ']}') {
      isEnded = true;
      continue;
    }
    if (!isMore) return at('something was added behind the last row');
    isMore = !isJson || text.endsWith(',');
    const record = parseRecord(isJson && isMore ? text.slice(0, -1) : text);
    if (record === null) return at('the row is not as it was exported');
    const found = chain.next(record);
    if (found) return { ...found, line };
    if (record.seq > head.seq) return at('it was added behind the head that the export was signed with');
    if (record.seq === head.seq && record.hash !== head.hash) return at('it is not the row that the head of the export names');
  }
  const { rows, head: last, pruned } = chain.state();
  if (head === null) return { ok: false, seq: null, line: 1, why: 'the file is empty' };
  if (rows < head.seq)
    return { ok: false, seq: rows + 1, line: null, why: `the end was cut off: the head of the export names row ${head.seq}` };
  if (isJson && !isEnded) return { ok: false, seq: null, line: null, why: 'the end of the file was cut off' };
  const found = chain.end();
  if (found) return { ...found, line: null };
  return { ok: true, rows, head: last, exportedAt: head.at, pruned, anchors: known.size, keyId: head.keyId, signed: verifier !== null };
}

/** Anchors as they are kept: hash by number of row. Repeated lines are one; a gap between two is a fault. */
async function readAnchors(
  lines: AsyncIterable<string | null> | Iterable<string | null>,
  verifier: ReturnType<typeof readPublicKey> | null,
): Promise<Map<number, string> | Fault> {
  const known = new Map<number, string>();
  let last: Anchor | null = null;
  let line = 0;
  for await (const text of lines) {
    line++;
    const at = (why: string): Fault => ({ ok: false, seq: null, line, why: `anchors: ${why}` });
    const anchor = text === null ? null : parseAnchor(text);
    if (anchor === null) return at('this line is not an anchor as it was written');
    const why = verifier === null ? null : faultOf(anchor, verifier);
    if (why !== null) return at(`this anchor ${why}`);
    if (last !== null && anchor.previous !== last.seq && anchor.seq !== last.seq) return at('an anchor before this one is missing');
    known.set(anchor.seq, anchor.hash);
    last = anchor;
  }
  return known;
}

function faultOf(anchor: Anchor, verifier: ReturnType<typeof readPublicKey>): string | null {
  if (anchor.keyId !== verifier.keyId) return `is signed with another key (${anchor.keyId}, not ${verifier.keyId})`;
  return verifier.verify(anchorBytes(anchor), anchor.signature) ? null : 'does not bear out its signature: it was changed';
}

/** One line as it is kept in a file of anchors. */
export function anchorLine({ seq, hash, at, previous, keyId, signature }: Anchor): string {
  return `${JSON.stringify({ seq, hash, at, previous, keyId, signature })}\n`;
}

/** @returns null where the line is no anchor, or not spelt as {@link anchorLine} does. */
export function parseAnchor(text: string): Anchor | null {
  return parseAs(AnchorSchema, text);
}

function parseHeader(text: string): Anchor | null {
  return parseAs(HeaderSchema, text)?.head ?? null;
}

function parseRecord(text: string): AuditRecord | null {
  return parseAs(RecordSchema, text) as AuditRecord | null;
}

/** A value has one spelling: another one was not written by us. */
function parseAs<T extends z.ZodType>(schema: T, text: string): z.infer<T> | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return JSON.stringify(value) === text && schema.safeParse(value).success ? (value as z.infer<T>) : null;
}

/** A cell that a spreadsheet takes as text. */
function cellOf(value: AuditRecord[keyof AuditRecord]): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  const said = typeof value === 'string' ? value : JSON.stringify(value);
  const text = /^[=+\-@\t\r]/.test(said) ? `'${said}` : said;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

async function* linesOf(file: string): AsyncGenerator<string | null> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest: Buffer[] = [];
  let size = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1024 * 1024 }) as AsyncIterable<Buffer>) {
    let from = 0;
    for (let to = chunk.indexOf(NEW_LINE); to >= 0; to = chunk.indexOf(NEW_LINE, from)) {
      yield decode(decoder, Buffer.concat([...rest, chunk.subarray(from, to)]));
      [rest, size, from] = [[], 0, to + 1];
    }
    size += chunk.length - from;
    if (size > LINE_MAX_BYTES) {
      yield null;
      return;
    }
    if (from < chunk.length) rest.push(chunk.subarray(from));
  }
  if (rest.length > 0) yield null;
}

function decode(decoder: TextDecoder, bytes: Buffer): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}
