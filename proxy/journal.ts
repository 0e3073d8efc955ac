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

/** Sends a batch to control. @returns the last sequence number that control has recorded. */
export type Ship = (entries: readonly string[]) => Promise<number>;

interface Pending {
  seq: number;
  line: string;
}
interface Segment {
  file: string;
  lastSeq: number;
  bytes: number;
}
type Waiter = { resolve: () => void; reject: (error: Error) => void };

const BATCH_MAX = 500;
const BATCH_MAX_CHARS = 1_000_000;
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
  /** Not yet acknowledged by control, in order. */
  #pending: Pending[] = [];
  #pendingBytes = 0;

  #batch: { line: string; seq: number; waiter: Waiter; durable: boolean }[] = [];
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
      for (const entry of entries) {
        this.#nextSeq = Math.max(this.#nextSeq, entry.seq + 1);
        if (entry.seq <= cursor) continue;
        this.#pending.push(entry);
        this.#pendingBytes += entry.line.length;
      }
      this.#segments.push({ file, lastSeq: entries.at(-1)?.seq ?? 0, bytes });
    }
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
    const seq = this.#nextSeq++;
    const line = `{"seq":${seq},"event":${JSON.stringify(event)}}`;
    return new Promise((resolve, reject) => {
      this.#batch.push({ line, seq, waiter: { resolve, reject }, durable });
      if (this.#flushScheduled) return;
      this.#flushScheduled = true;
      setImmediate(() => this.#flush());
    });
  }

  /** Events that control has not acknowledged. */
  get depth(): number {
    return this.#pending.length + this.#batch.length;
  }

  /** When the oldest event happened that control has not acknowledged, epoch milliseconds; null = there is none. */
  get oldestAt(): number | null {
    const [oldest] = this.#pending;
    return oldest === undefined ? null : (JSON.parse(oldest.line) as JournalEntry).event.at;
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
    let first = this.#pending[0]?.seq;
    while (this.#pending.length > 0 && this.#ship) {
      if (this.#pending[0]?.seq !== first) {
        first = this.#pending[0]?.seq;
        deadline = Date.now() + timeoutMs;
      }
      if (Date.now() > deadline) throw new JournalUnavailable(`control did not take ${this.#pending.length} journal events in time`);
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

  #flush(): void {
    this.#flushScheduled = false;
    const batch = this.#batch;
    const segment = this.#segments.at(-1);
    if (batch.length === 0 || this.#fd === null || !segment) return;
    this.#batch = [];
    const bytes = Buffer.from(`${batch.map((item) => item.line).join('\n')}\n`);
    try {
      writeWhole(this.#fd, bytes);
    } catch (error) {
      this.#undo(segment, error);
      const unavailable = new JournalUnavailable(`the journal could not be written: ${error instanceof Error ? error.message : error}`);
      // The numbers were never used as far as the file knows.
      this.#nextSeq = batch[0]?.seq ?? this.#nextSeq;
      for (const item of batch) item.waiter.reject(unavailable);
      this.#refuse(unavailable);
      return;
    }
    this.#accept();
    segment.bytes += bytes.length;
    for (const item of batch) {
      segment.lastSeq = item.seq;
      this.#pending.push({ seq: item.seq, line: item.line });
      this.#pendingBytes += item.line.length;
      if (item.durable) this.#awaitingSync.push(item.waiter);
      else item.waiter.resolve();
    }
    if (this.#awaitingSync.length > 0) this.#sync();
    if (this.#pending.length >= BATCH_MAX) this.#shipSoon(0);
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
          this.#shipSoon(this.#retryMs > RETRY_MIN_MS ? this.#retryMs : this.#pending.length >= BATCH_MAX ? 0 : LINGER_MS);
      });
    }, delayMs);
  }

  async #shipBatch(): Promise<void> {
    const lines: string[] = [];
    let chars = 0;
    for (const entry of this.#pending) {
      if (lines.length >= BATCH_MAX || (lines.length > 0 && chars + entry.line.length > BATCH_MAX_CHARS)) break;
      lines.push(entry.line);
      chars += entry.line.length;
    }
    try {
      const acknowledged = await this.#ship?.(lines);
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
    while (count < this.#pending.length && (this.#pending[count]?.seq ?? Infinity) <= seq) {
      this.#pendingBytes -= this.#pending[count]?.line.length ?? 0;
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

/** As large as a block, so that it finds a disk that has no block left; taken back at once. */
const PROBE = Buffer.alloc(4096, '\n');

function writeWhole(fd: number, bytes: Buffer): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
}

/** Reads a segment; a last line that a crash cut short is cut off the file, and a line that is no JSON would hold up all behind it. */
function readSegment(file: string): { entries: Pending[]; bytes: number; damaged: number } {
  const text = readFileSync(file, 'utf8');
  const end = text.lastIndexOf('\n') + 1;
  const whole = text.slice(0, end);
  if (end < text.length) {
    const fd = openSync(file, 'r+');
    ftruncateSync(fd, Buffer.byteLength(whole));
    closeSync(fd);
  }
  const lines = whole.split('\n').filter((line) => line !== '');
  const entries = lines.flatMap((line) => {
    const seq = /^\{"seq":(\d+),/.exec(line)?.[1];
    return seq === undefined || !isJson(line) ? [] : [{ seq: Number(seq), line }];
  });
  return { entries, bytes: statSync(file).size, damaged: lines.length - entries.length };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
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
