/**
 * The file of a backup: gzip over parts, each with its length and its SHA-256, and a manifest at the end that names them all. A file that was
 * cut off or changed anywhere is noticed before anybody acts on it: read it once with {@link checkBackup}, then once more to use it.
 *
 * Form: lines of JSON ("part", "bytes" followed by so many bytes, "end", at last "manifest"), compressed as a whole.
 */
import { createHash, type Hash, hash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { canonicalJson, type JsonObject } from '../policies/index.ts';

const KIND = 'mission-control/backup';
const FORMAT = 1;
/** A line of JSON is small; the bytes between them are announced. */
const LINE_MAX_BYTES = 16 * 1024 * 1024;
const FRAME_MAX_BYTES = 1024 * 1024 * 1024;

/** The file cannot be used: no backup, cut off, changed, or of a later version. The message is for people. */
class BackupDamaged extends Error {
  readonly code = 'BACKUP_DAMAGED';
}

export interface Part {
  /** "table/agents", "journal/proxy-id", "stop.json" */
  name: string;
  /** Of a table. */
  columns: readonly string[];
}

export interface PartSum extends Part {
  bytes: number;
  /** Lines: of a table its rows. */
  rows: number;
  sha256: string;
}

export interface BackupWriter {
  part: (part: Part, bytes: AsyncIterable<Uint8Array>) => Promise<PartSum>;
  /** Ends the file; it is on the disk when this resolves. @param about goes into the manifest beside the sums. */
  finish: (about: JsonObject) => Promise<Manifest>;
  /** Ends writing without an end of the file. */
  abandon: () => void;
}

export interface Manifest {
  about: JsonObject;
  parts: readonly PartSum[];
}

/** @param path must not exist; made readable by its owner only. @throws Error where it exists or cannot be written. */
export function createBackupFile(path: string): BackupWriter {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  const gzip = createGzip({ level: 6 });
  gzip.pipe(file);
  const failed = Promise.race([once(file, 'error'), once(gzip, 'error')]).then(([error]) => Promise.reject(error));
  failed.catch(() => {}); // told at the next write
  const parts: PartSum[] = [];

  async function write(bytes: Uint8Array | string): Promise<void> {
    if (file.errored) throw file.errored;
    if (!gzip.write(bytes)) await Promise.race([once(gzip, 'drain'), failed]);
  }
  const line = (value: object) => write(`${JSON.stringify(value)}\n`);
  const started = line({ kind: KIND, format: FORMAT });

  async function part({ name, columns }: Part, bytes: AsyncIterable<Uint8Array>): Promise<PartSum> {
    await started;
    await line({ part: name, columns });
    const sum = new Sum();
    for await (const chunk of bytes) {
      sum.add(chunk);
      await line({ bytes: chunk.length });
      await write(chunk);
    }
    const whole = { name, columns, ...sum.end() };
    parts.push(whole);
    await line({ end: name });
    return whole;
  }

  async function finish(about: JsonObject): Promise<Manifest> {
    await started;
    const manifest: Manifest = { about, parts };
    await line({ manifest, sha256: sumOf(manifest) });
    gzip.end();
    await Promise.race([finished(file), failed]);
    const handle = await open(path, 'r+');
    await handle.sync().finally(() => handle.close());
    return manifest;
  }

  return { part, finish, abandon: () => void file.destroy() };
}

/** Reads a backup from its first to its last byte. @throws BackupDamaged */
export function checkBackup(path: string): Promise<Manifest> {
  return readBackup(path, async (_, bytes) => {
    for await (const _chunk of bytes);
  });
}

/**
 * Reads a backup and hands over its parts, in the order in which they were written.
 * @param onPart must read all of its bytes. @throws BackupDamaged, after parts were handed over that were read before the damage.
 */
export async function readBackup(path: string, onPart: (part: Part, bytes: AsyncIterable<Uint8Array>) => Promise<void>): Promise<Manifest> {
  const source = createReadStream(path);
  const gunzip = createGunzip();
  source.on('error', (error) => gunzip.destroy(error));
  source.pipe(gunzip);
  const reader = new FrameReader(gunzip);
  try {
    const head = await reader.line();
    if (head.kind !== KIND) throw new BackupDamaged('this is no backup of Mission Control');
    if (head.format !== FORMAT) throw new BackupDamaged(`its format is ${head.format}; this version reads ${FORMAT}`);
    const parts: PartSum[] = [];
    for (;;) {
      const line = await reader.line();
      if (line.manifest !== undefined) return await lastOf(line, parts, reader);
      const part = partOf(line);
      const sum = new Sum();
      await onPart(part, framesOf(reader, part.name, sum));
      parts.push({ ...part, ...sum.end() });
    }
  } catch (error) {
    if (error instanceof BackupDamaged || !isReadError(error)) throw error;
    throw new BackupDamaged(`it cannot be read to its end: ${error.message}`, { cause: error });
  } finally {
    source.destroy();
    gunzip.destroy();
  }
}

async function lastOf(line: JsonObject, parts: readonly PartSum[], reader: FrameReader): Promise<Manifest> {
  const manifest = line.manifest as unknown as Manifest;
  if (line.sha256 !== sumOf(manifest)) throw new BackupDamaged('its manifest was changed');
  if (!(await reader.isAtEnd())) throw new BackupDamaged('something follows its end');
  for (const [index, part] of parts.entries()) {
    if (canonicalJson(part as unknown as JsonObject) !== canonicalJson((manifest.parts[index] ?? {}) as unknown as JsonObject))
      throw new BackupDamaged(`${part.name} is not as it was written`);
  }
  if (parts.length !== manifest.parts.length) throw new BackupDamaged('parts of it are missing');
  return manifest;
}

function partOf({ part, columns }: JsonObject): Part {
  if (typeof part !== 'string' || !Array.isArray(columns)) throw new BackupDamaged('a part of it has no beginning');
  return { name: part, columns: columns as string[] };
}

async function* framesOf(reader: FrameReader, name: string, sum: Sum): AsyncIterable<Uint8Array> {
  for (;;) {
    const { bytes, end } = await reader.line();
    if (end === name) return;
    if (typeof bytes !== 'number' || !Number.isSafeInteger(bytes) || bytes < 0 || bytes > FRAME_MAX_BYTES)
      throw new BackupDamaged(`${name} has no end`);
    for await (const chunk of reader.bytes(bytes)) {
      sum.add(chunk);
      yield chunk;
    }
  }
}

/** Lines and counted bytes out of one stream. */
class FrameReader {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async line(): Promise<JsonObject> {
    let end = this.#rest.indexOf(0x0a);
    while (end < 0) {
      if (this.#rest.length > LINE_MAX_BYTES) throw new BackupDamaged('a line of it has no end');
      if (!(await this.#more())) throw new BackupDamaged('it was cut off');
      end = this.#rest.indexOf(0x0a);
    }
    const text = this.#rest.toString('utf8', 0, end);
    this.#rest = this.#rest.subarray(end + 1);
    try {
      const value: unknown = JSON.parse(text);
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
    } catch {
      // Said below.
    }
    throw new BackupDamaged('a line of it cannot be read');
  }

  async *bytes(count: number): AsyncIterable<Uint8Array> {
    for (let left = count; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) throw new BackupDamaged('it was cut off');
      const chunk = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(chunk.length);
      left -= chunk.length;
      yield chunk;
    }
  }

  async isAtEnd(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more());
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#source.next();
    if (done) return false;
    this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value]);
    return true;
  }
}

/** What a part adds up to. */
export class Sum {
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;
  #rows = 0;

  add(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.#bytes += chunk.length;
    for (let at = chunk.indexOf(0x0a); at >= 0; at = chunk.indexOf(0x0a, at + 1)) this.#rows++;
  }

  end(): { bytes: number; rows: number; sha256: string } {
    return { bytes: this.#bytes, rows: this.#rows, sha256: this.#hash.digest('hex') };
  }
}

function sumOf(manifest: Manifest): string {
  return hash('sha256', canonicalJson(manifest as unknown as JsonObject));
}

/** What zlib and the file system say of a file that cannot be read. */
function isReadError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && /^(Z_|E[A-Z]+$|ERR_)/.test(String((error as NodeJS.ErrnoException).code ?? ''));
}
