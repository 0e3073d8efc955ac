/**
 * The proxy's journal: what happened to calls, appended to a local file before it matters, shipped to control in batches and
 * dropped once control has it. Written lines of one turn of the event loop go out in one write; callers that need durability
 * share one fdatasync (measured: 86,000/s at 32 waiting). A journal that is full or fails refuses, and so does the call.
 *
 * Invariant: a line is in the file, whole, before append() resolves; with `durable`, it is on the disk.
 */

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  fdatasync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { JournalEntry, JournalEvent } from '../control/contract.ts';

/** The journal cannot take an event: full, or the disk fails. */
export class JournalUnavailable extends Error {
  readonly code = 'JOURNAL_UNAVAILABLE';
}

/** Sends whole lines to control, each with its end. @returns the last sequence number that control has recorded. */
export type Ship = (lines: Buffer) => Promise<number>;

/**
 * Lines that follow each other, as the file has them. They wait for control as bytes of a slab, outside the heap: as strings they cost the
 * collector 50 µs a call, because control takes them long after the call has ended (docs/performance.md).
 */
interface Piece {
  slab: Buffer;
  from: number;
  to: number;
  lines: number;
  lastSeq: number;
  /** When its first event happened, epoch milliseconds. */
  firstAt: number;
}
interface Segment {
  file: string;
  lastSeq: number;
  bytes: number;
}
type Waiter = { resolve: () => void; reject: (error: Error) => void };

const BATCH_MAX = 500;
const BATCH_MAX_BYTES = 1_000_000;
const SLAB_BYTES = 1_000_000;
/** UTF-8 of one unit of a string. */
const UNIT_MAX_BYTES = 3;
/** Control hears of an event this late at the most when it is idle; a burst fills batches meanwhile. */
const LINGER_MS = 20;
const RETRY_MIN_MS = 100;
const RETRY_MAX_MS = 5_000;
/** How often a file that could not be written is tried again, where nothing else writes. */
const PROBE_MS = 1_000;

const FULL = 'the journal is full: control has not taken what is in it';

export class Journal {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #segmentBytes: number;
  #segments: Segment[] = [];
  #fd: number | null = null;
  #nextSeq = 1;
  #acknowledged = 0;
  /** In the file and not yet acknowledged by control, in order. */
  #pending: Piece[] = [];
  #pendingBytes = 0;
  #pendingLines = 0;

  /** What the next flush writes, and who waits for it. */
  #fresh: Piece[] = [];
  #waiting: (Waiter & { durable: boolean })[] = [];
  #slab: Buffer = Buffer.alloc(0);
  #slabUsed = 0;
  #flushScheduled = false;
  #awaitingSync: Waiter[] = [];
  #syncing = false;
  /** Set when the disk failed to keep what it took: nothing after that can be trusted until a restart. */
  #broken: JournalUnavailable | null = null;
  /** Set while the file cannot be written; the next write that succeeds ends it. */
  #refused: JournalUnavailable | null = null;
  #probeTimer: NodeJS.Timeout | null = null;
  readonly #notice: (trouble: string | null) => void;

  #ship: Ship | null = null;
  #shipping: Promise<void> | null = null;
  #shipTimer: NodeJS.Timeout | null = null;
  #retryMs = RETRY_MIN_MS;
  #closed = false;

  /** This proxy's name for its journal, kept beside it. */
  readonly proxyId: string;

  /** @param notice hears once that the file cannot be written or trusted, and once (null) that it can again. */
  constructor(folder: string, limits: { maxBytes: number; segmentBytes: number }, notice: (trouble: string | null) => void = () => {}) {
    this.#notice = notice;
    this.#folder = folder;
    this.#maxBytes = limits.maxBytes;
    this.#segmentBytes = limits.segmentBytes;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.proxyId = readProxyId(folder);
  }

  /**
   * Takes up what an earlier process left and continues after it.
   * @param cursor the last sequence number that control has; everything after it is shipped again.
   * @returns lines that could not be read and are left out: a power cut can damage what nobody was told is on the disk.
   */
  recover(cursor: number): number {
    let damagedLines = 0;
    this.#nextSeq = cursor + 1;
    for (const name of readdirSync(this.#folder)
      .filter((entry) => entry.endsWith('.ndjson'))
      .sort()) {
      const file = join(this.#folder, name);
      const { entries, bytes, damaged } = readSegment(file);
      damagedLines += damaged;
      for (const { seq, at, line } of entries) {
        this.#nextSeq = Math.max(this.#nextSeq, seq + 1);
        if (seq > cursor) this.#add(line, seq, at);
      }
      this.#segments.push({ file, lastSeq: entries.at(-1)?.seq ?? 0, bytes });
    }
    for (const piece of this.#takeFresh()) this.#await(piece);
    this.#dropAcknowledged(cursor);
    this.#openSegment();
    return damagedLines;
  }

  /** Begins to ship. */
  start(ship: Ship): void {
    this.#ship = ship;
    this.#shipSoon(0);
  }

  /**
   * Records an event.
   * @param durable wait until it is on the disk, not only in the file.
   * @throws JournalUnavailable: nothing was recorded, the call must be refused.
   */
  append(event: JournalEvent, durable: boolean): Promise<void> {
    if (this.#broken) return Promise.reject(this.#broken);
    if (this.#closed) return Promise.reject(new JournalUnavailable('the journal is closed'));
    if (this.#pendingBytes > this.#maxBytes) {
      return Promise.reject(new JournalUnavailable(FULL));
    }
    const text = JSON.stringify(event);
    const seq = this.#nextSeq++;
    this.#add(`{"seq":${seq},"event":${text}}`, seq, event.at);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, durable });
      if (this.#flushScheduled) return;
      this.#flushScheduled = true;
      setImmediate(() => this.#flush());
    });
  }

  /** Events that control has not acknowledged. */
  get depth(): number {
    return this.#pendingLines + this.#waiting.length;
  }

  /** When the oldest event happened that control has not acknowledged, epoch milliseconds; null = there is none. */
  get oldestAt(): number | null {
    return this.#pending[0]?.firstAt ?? null;
  }

  /** The last sequence number that was given out. */
  get written(): number {
    return this.#nextSeq - 1;
  }

  /** The last sequence number that control has. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Why appending is refused; null where it is not. */
  get trouble(): string | null {
    const why = this.#broken ?? this.#refused;
    if (why !== null) return why.message;
    return this.#pendingBytes > this.#maxBytes ? FULL : null;
  }

  /**
   * Waits until control has everything that is in the journal now, as long as it goes on taking some of it.
   * @throws JournalUnavailable when it has taken nothing for `timeoutMs`.
   */
  async settled(timeoutMs: number): Promise<void> {
    let deadline = Date.now() + timeoutMs;
    let first = this.#pending[0];
    while (this.#pending.length > 0 && this.#ship) {
      if (this.#pending[0] !== first) {
        first = this.#pending[0];
        deadline = Date.now() + timeoutMs;
      }
      if (Date.now() > deadline) throw new JournalUnavailable(`control did not take ${this.#pendingLines} journal events in time`);
      this.#shipSoon(0);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Writes what is left, ships it if control answers within `timeoutMs`, and closes; what was not shipped is shipped next time. */
  async close(timeoutMs: number): Promise<void> {
    this.#flush();
    await this.settled(timeoutMs).catch(() => {}); // the file keeps what control could not take
    this.#closed = true;
    this.#flush();
    if (this.#shipTimer) clearTimeout(this.#shipTimer);
    if (this.#probeTimer) clearTimeout(this.#probeTimer);
    await this.#shipping;
    // The file must be there until the sync is over: its number may be somebody else's afterwards.
    while (this.#syncing) await new Promise((resolve) => setImmediate(resolve));
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  /** Adds a line to what the next flush writes. */
  #add(line: string, seq: number, at: number): void {
    const most = line.length * UNIT_MAX_BYTES + 1;
    if (this.#slab.length - this.#slabUsed < most) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, most));
      this.#slabUsed = 0;
    }
    let piece = this.#fresh.at(-1);
    if (piece === undefined || piece.slab !== this.#slab || piece.lines >= BATCH_MAX) {
      piece = { slab: this.#slab, from: this.#slabUsed, to: this.#slabUsed, lines: 0, lastSeq: seq, firstAt: at };
      this.#fresh.push(piece);
    }
    this.#slabUsed += this.#slab.write(line, this.#slabUsed);
    this.#slab[this.#slabUsed++] = NEW_LINE;
    piece.to = this.#slabUsed;
    piece.lines++;
    piece.lastSeq = seq;
  }

  #takeFresh(): Piece[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  /** It is in the file; control has to take it. */
  #await(piece: Piece): void {
    this.#pending.push(piece);
    this.#pendingBytes += piece.to - piece.from;
    this.#pendingLines += piece.lines;
  }

  #flush(): void {
    this.#flushScheduled = false;
    const segment = this.#segments.at(-1);
    if (this.#waiting.length === 0 || this.#fd === null || !segment) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    const fresh = this.#takeFresh();
    try {
      for (const piece of fresh) writeWhole(this.#fd, bytesOf(piece));
    } catch (error) {
      this.#undo(segment, error);
      const unavailable = new JournalUnavailable(`the journal could not be written: ${error instanceof Error ? error.message : error}`);
      // The numbers were never used as far as the file knows.
      this.#nextSeq -= waiting.length;
      for (const waiter of waiting) waiter.reject(unavailable);
      this.#refuse(unavailable);
      return;
    }
    this.#accept();
    for (const piece of fresh) {
      segment.bytes += piece.to - piece.from;
      segment.lastSeq = piece.lastSeq;
      this.#await(piece);
    }
    for (const waiter of waiting) {
      if (waiter.durable) this.#awaitingSync.push(waiter);
      else waiter.resolve();
    }
    if (this.#awaitingSync.length > 0) this.#sync();
    if (this.#pendingLines >= BATCH_MAX) this.#shipSoon(0);
    else this.#shipSoon(LINGER_MS);
    if (segment.bytes > this.#segmentBytes && !this.#syncing) this.#nextSegment();
  }

  #refuse(why: JournalUnavailable): void {
    const isNews = this.#refused === null;
    this.#refused = why;
    if (isNews) this.#notice(this.#broken?.message ?? why.message);
    if (this.#broken === null) this.#probeSoon();
  }

  #accept(): void {
    if (this.#refused === null || this.#broken !== null) return;
    this.#refused = null;
    this.#notice(null);
  }

  /** Nobody may send calls to a proxy that says it is not ready: it finds out by itself when there is room again. */
  #probeSoon(): void {
    if (this.#probeTimer !== null || this.#closed) return;
    this.#probeTimer = setTimeout(() => {
      this.#probeTimer = null;
      const segment = this.#segments.at(-1);
      if (this.#refused === null || this.#broken !== null || this.#fd === null || !segment) return;
      try {
        writeWhole(this.#fd, PROBE);
        this.#accept();
      } catch {
        this.#probeSoon();
      } finally {
        this.#undo(segment, 'a trial write could not be taken back');
      }
    }, PROBE_MS);
    this.#probeTimer.unref();
  }

  /** A write that stopped half-way must not leave half a line behind. */
  #undo(segment: Segment, cause: unknown): void {
    try {
      if (this.#fd !== null) ftruncateSync(this.#fd, segment.bytes);
    } catch {
      this.#broken = new JournalUnavailable(`the journal file is damaged: ${cause instanceof Error ? cause.message : cause}`);
    }
  }

  #sync(): void {
    if (this.#syncing || this.#fd === null) return;
    this.#syncing = true;
    const waiters = this.#awaitingSync;
    this.#awaitingSync = [];
    fdatasync(this.#fd, (error) => {
      this.#syncing = false;
      if (error) {
        // After a failed sync the kernel may have dropped the pages: what a later sync says is worth nothing.
        this.#broken = new JournalUnavailable(`the journal could not be synced: ${error.message}`);
        this.#notice(this.#broken.message);
        for (const waiter of [...waiters, ...this.#awaitingSync]) waiter.reject(this.#broken);
        this.#awaitingSync = [];
        return;
      }
      for (const waiter of waiters) waiter.resolve();
      if (this.#awaitingSync.length > 0) this.#sync();
    });
  }

  /** Where no new file can be had, the old one goes on and grows; it is tried again after the next write. */
  #nextSegment(): void {
    try {
      this.#openSegment();
    } catch {}
  }

  #openSegment(): void {
    const file = join(this.#folder, `${String(this.#nextSeq).padStart(15, '0')}.ndjson`);
    const existing = this.#segments.find((segment) => segment.file === file);
    const fd = openSync(file, 'a', 0o600);
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = fd;
    if (!existing) this.#segments.push({ file, lastSeq: this.#nextSeq - 1, bytes: 0 });
  }

  #shipSoon(delayMs: number): void {
    if (!this.#ship || this.#shipping || this.#closed || this.#pending.length === 0) return;
    if (this.#shipTimer) {
      if (delayMs > 0) return;
      clearTimeout(this.#shipTimer);
    }
    this.#shipTimer = setTimeout(() => {
      this.#shipTimer = null;
      this.#shipping = this.#shipBatch().finally(() => {
        this.#shipping = null;
        if (this.#pending.length > 0)
          this.#shipSoon(this.#retryMs > RETRY_MIN_MS ? this.#retryMs : this.#pendingLines >= BATCH_MAX ? 0 : LINGER_MS);
      });
    }, delayMs);
  }

  async #shipBatch(): Promise<void> {
    const batch: Buffer[] = [];
    let [lines, size] = [0, 0];
    for (const piece of this.#pending) {
      const bytes = bytesOf(piece);
      if (batch.length > 0 && (lines + piece.lines > BATCH_MAX || size + bytes.length > BATCH_MAX_BYTES)) break;
      batch.push(bytes);
      lines += piece.lines;
      size += bytes.length;
    }
    try {
      const acknowledged = await this.#ship?.(batch.length === 1 && batch[0] ? batch[0] : Buffer.concat(batch));
      if (acknowledged !== undefined) this.#dropAcknowledged(acknowledged);
      this.#retryMs = RETRY_MIN_MS;
    } catch {
      // Control is away or busy; the events stay and go again. Staleness of the snapshot is what refuses calls meanwhile.
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    }
  }

  #dropAcknowledged(seq: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, seq);
    let count = 0;
    for (const { from, to, lines, lastSeq } of this.#pending) {
      if (lastSeq > seq) break;
      this.#pendingBytes -= to - from;
      this.#pendingLines -= lines;
      count++;
    }
    if (count > 0) this.#pending = this.#pending.slice(count);
    const current = this.#fd === null ? null : this.#segments.at(-1);
    this.#segments = this.#segments.filter((segment) => {
      if (segment === current || segment.lastSeq > seq) return true;
      rmSync(segment.file, { force: true });
      return false;
    });
  }
}

const NEW_LINE = 0x0a;

function bytesOf({ slab, from, to }: Piece): Buffer {
  return slab.subarray(from, to);
}

/** As large as a block, so that it finds a disk that has no block left; taken back at once. */
const PROBE = Buffer.alloc(4096, '\n');

function writeWhole(fd: number, bytes: Buffer): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
}

/** Reads a segment; a last line that a crash cut short is cut off the file, and a line that is no JSON would hold up all behind it. */
function readSegment(file: string): { entries: { seq: number; at: number; line: string }[]; bytes: number; damaged: number } {
  const text = readFileSync(file, 'utf8');
  const end = text.lastIndexOf('\n') + 1;
  const whole = text.slice(0, end);
  if (end < text.length) {
    const fd = openSync(file, 'r+');
    ftruncateSync(fd, Buffer.byteLength(whole));
    closeSync(fd);
  }
  const lines = whole.split('\n').filter((line) => line !== '');
  const entries = lines.flatMap((line) => readLine(line) ?? []);
  return { entries, bytes: statSync(file).size, damaged: lines.length - entries.length };
}

/** @returns null where a line is damaged. */
function readLine(line: string): { seq: number; at: number; line: string } | null {
  if (!/^\{"seq":\d+,/.test(line)) return null;
  try {
    const { seq, event } = JSON.parse(line) as JournalEntry;
    return { seq, at: event.at, line };
  } catch {
    return null;
  }
}

function readProxyId(folder: string): string {
  const file = join(folder, 'proxy-id');
  try {
    const known = readFileSync(file, 'utf8').trim();
    if (known !== '') return known; // a crash may have left it empty
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const id = `proxy-${randomUUID().slice(0, 8)}`;
  writeFileSync(file, id, { mode: 0o600 });
  return id;
}
