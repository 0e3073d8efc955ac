/**
 * Signed heads of the audit log, kept where whoever changes the database does not reach: a file, a Git repository, channels. Before a head
 * is signed, the rows since the anchor before are verified against it, so that we never sign what was changed; a broken chain raises an
 * alert instead. The database has every anchor: a place that was away, or lost its file, gets all that it lacks.
 */
import { execFile } from 'node:child_process';
import { appendFile, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Alerts } from './alerts.ts';
import { auditPages, verifyAudit } from './audit.ts';
import { type Anchor, anchorBytes, type Break, createChainCheck, signAnchor } from './audit-chain.ts';
import { anchorLine, type ExportFormat, exportAudit, parseAnchor } from './audit-export.ts';
import type { Channels } from './channels.ts';
import type { Db } from './db/database.ts';
import type { NewNotification } from './notifications.ts';
import { readPublicKey, type SigningKey } from './signing.ts';

export type Anchors = ReturnType<typeof createAnchors>;

const run = promisify(execFile);
const GIT_MS = 30_000;
/** Name of the file inside of a repository. */
const REPOSITORY_FILE = 'audit-anchors.ndjson';
/** The end of a file, long enough for its last line. */
const TAIL_BYTES = 4_096;
const BATCH = 1_000;
/** People read one an hour; programs get each. */
const CHAT_EVERY_MS = 60 * 60 * 1000;

interface Dependencies {
  db: Db;
  clock: () => number;
  signing: SigningKey;
  alerts: Alerts;
  channels: Channels;
  tell: (wanted: readonly NewNotification[]) => Promise<void>;
  published: () => void;
  /** File that gets one line per anchor; null = none. */
  file: string | null;
  /** Working tree of a Git repository that gets a commit per anchor, pushed where its branch has an upstream; null = none. */
  repository: string | null;
}

export function createAnchors({ db, clock, signing, alerts, channels, tell, published, file, repository }: Dependencies) {
  const verifier = readPublicKey(signing.publicKeyPem);

  /**
   * Signs the head if the log has grown since the last anchor, and brings every place up to date.
   * @throws Error when a place cannot be reached (the others were served); it gets what it lacks the next time.
   */
  async function anchor(): Promise<void> {
    const found = await sign();
    if (found !== null) await db.transaction().execute((tx) => alerts.raise(tx, brokenAlert(found)));
    if (found !== null) published();
    const places = await Promise.allSettled([
      file === null ? null : appendMissing(file),
      repository === null ? null : commitMissing(repository),
      tellChannels(),
    ]);
    const failed = places.flatMap((place) => (place.status === 'rejected' ? [place.reason] : []));
    if (failed.length > 0)
      throw new AggregateError(failed, `the audit log's anchor did not reach every place: ${failed.map(reasonOf).join('; ')}`);
  }

  /** @returns where the chain is broken, and then nothing was signed. */
  async function sign(): Promise<Break | null> {
    const head = await db.selectFrom('audit_head').select(['seq', 'hash']).where('id', '=', 1).executeTakeFirstOrThrow();
    const last = await newest();
    if (last !== null && !isOurs(last))
      return { ok: false, seq: last.seq, why: `its anchor (key ${last.keyId}) does not bear our signature` };
    const found = await verifySince(last, head);
    if (found !== null) return found;
    if (head.seq === (last?.seq ?? 0)) return null;
    const { keyId, ...made } = signAnchor(head, clock(), last?.seq ?? 0, signing);
    await db
      .insertInto('audit_anchors')
      .values({ ...made, key_id: keyId })
      .onConflict((conflict) => conflict.column('seq').doNothing())
      .execute();
    return null;
  }

  /**
   * The newest anchor of the database and of the places that we can read: whoever empties the table and makes the chain anew must not get
   * our signature for it.
   */
  async function newest(): Promise<Anchor | null> {
    const files = [file, repository === null ? null : join(repository, REPOSITORY_FILE)];
    // A file that is away or damaged says so when it is written.
    const kept = await Promise.all(files.map((path) => (path === null ? null : lastIn(path).catch(() => null))));
    return [await latest(), ...kept].reduce((best, one) => (one !== null && one.seq > (best?.seq ?? -1) ? one : best), null);
  }

  function isOurs(anchor: Anchor): boolean {
    return anchor.keyId === verifier.keyId && verifier.verify(anchorBytes(anchor), anchor.signature);
  }

  /** The row that was anchored last must stand as it was, and the rows after it must lead to the head. */
  async function verifySince(last: Anchor | null, head: { seq: number; hash: string }): Promise<Break | null> {
    if (last !== null && head.seq < last.seq)
      return { ok: false, seq: head.seq + 1, why: `the end was cut off: an anchor knows row ${last.seq}` };
    if (last !== null) {
      const row = await db.selectFrom('audit_log').select('hash').where('seq', '=', last.seq).executeTakeFirst();
      if (row?.hash !== last.hash) return { ok: false, seq: last.previous + 1, why: `row ${last.seq} is not the one that was anchored` };
    }
    const chain = createChainCheck(new Map(), last ?? undefined);
    for await (const page of auditPages(db, head.seq, (last?.seq ?? 0) + 1)) {
      for (const record of page) {
        const found = chain.next(record);
        if (found) return found;
      }
    }
    const state = chain.state();
    if (state.rows < head.seq) return { ok: false, seq: state.rows + 1, why: 'rows at the end are missing' };
    return state.head === head.hash ? null : { ok: false, seq: head.seq, why: 'the head of the chain was changed' };
  }

  async function appendMissing(path: string): Promise<boolean> {
    const known = (await lastIn(path))?.seq ?? 0;
    let isGrown = false;
    for (let after = known; ; ) {
      const missing = await list(after, BATCH);
      if (missing.length === 0) return isGrown;
      await appendFile(path, missing.map(anchorLine).join(''), { mode: 0o644, flush: true });
      after = missing.at(-1)?.seq ?? after;
      isGrown = true;
    }
  }

  /** A commit that could not be pushed goes with the next one. */
  async function commitMissing(folder: string): Promise<void> {
    await appendMissing(join(folder, REPOSITORY_FILE));
    const status = await git(folder, 'status', '--porcelain', '--', REPOSITORY_FILE);
    if (status.trim() !== '') {
      await git(folder, 'add', '--', REPOSITORY_FILE);
      const who = ['-c', 'user.name=Mission Control', '-c', 'user.email=mission-control@localhost', '-c', 'commit.gpgsign=false'];
      await git(folder, ...who, 'commit', '--quiet', '--no-verify', '-m', 'Anchor the audit log', '--', REPOSITORY_FILE);
    }
    const upstream = await git(folder, 'rev-parse', '--abbrev-ref', '@{upstream}').catch(() => null);
    if (upstream !== null && (await git(folder, 'rev-list', '@{upstream}..HEAD')).trim() !== '') await git(folder, 'push', '--quiet');
  }

  async function tellChannels(): Promise<void> {
    const last = await latest();
    if (last === null) return;
    const told = (await channels.live()).filter((channel) => channel.events.includes('audit'));
    const { seq, hash, at, keyId, signature } = last;
    await tell(
      told.map((channel) => ({
        kind: 'audit_anchor',
        channelId: channel.id,
        recipient: { chat: null },
        summary: `The audit log has ${seq} rows; its head is ${hash}`,
        note:
          channel.kind === 'webhook'
            ? null
            : {
                title: 'Anchor of the audit log',
                facts: [
                  ['Rows', String(seq)],
                  ['Head', hash],
                  ['At', new Date(at).toISOString()],
                  ['Key', keyId],
                  ['Signature', signature],
                ],
                quote: null,
                buttons: [],
                path: '/audit',
              },
        payload: { anchor: { ...last } },
        key: `anchor:${channel.id}:${channel.kind === 'webhook' ? seq : Math.floor(at / CHAT_EVERY_MS)}`,
      })),
    );
  }

  /** Anchors after a row, in order. */
  async function list(after: number, limit: number): Promise<Anchor[]> {
    const rows = await db.selectFrom('audit_anchors').selectAll().where('seq', '>', after).orderBy('seq').limit(limit).execute();
    return rows.map(({ key_id: keyId, ...row }) => ({ ...row, keyId }));
  }

  async function latest(): Promise<Anchor | null> {
    const row = await db.selectFrom('audit_anchors').selectAll().orderBy('seq', 'desc').limit(1).executeTakeFirst();
    if (!row) return null;
    const { key_id: keyId, ...rest } = row;
    return { ...rest, keyId };
  }

  /** Checks the whole chain, and that its anchors bear their signatures and it leads through them. */
  async function verify() {
    const known = new Map<number, string>();
    for (let after = 0; ; ) {
      const page = await list(after, BATCH);
      for (const one of page) {
        // One of a key before this one proves nothing here; an export verifies it with that key.
        if (one.keyId !== verifier.keyId) continue;
        if (!isOurs(one)) return { ok: false as const, seq: one.seq, why: 'its anchor does not bear out its signature: it was changed' };
        known.set(one.seq, one.hash);
      }
      const end = page.at(-1);
      if (!end) break;
      after = end.seq;
    }
    const result = await verifyAudit(db, known);
    return result.ok ? { ...result, anchors: known.size } : result;
  }

  /** The whole log as a file, signed as it stands now. */
  async function* exported(format: ExportFormat): AsyncGenerator<string> {
    const head = await db.selectFrom('audit_head').select(['seq', 'hash']).where('id', '=', 1).executeTakeFirstOrThrow();
    const last = await latest();
    yield* exportAudit(format, signAnchor(head, clock(), last?.seq ?? 0, signing), auditPages(db, head.seq));
  }

  const { keyId, publicKeyPem } = signing;
  return { anchor, list, verify, exported, key: { keyId, publicKeyPem } };
}

function brokenAlert({ seq, why }: Break) {
  return {
    type: 'security_violation' as const,
    severity: 'critical' as const,
    subject: 'audit',
    message: `The audit log is broken at row ${seq}: ${why}. Its head is not signed until that is mended. Take an export, and verify it with the anchors kept elsewhere: npm run -s mc -- audit verify`,
  };
}

/** The last anchor in a file; null where there is no file or nothing in it. @throws Error where its last line is not ours. */
async function lastIn(path: string): Promise<Anchor | null> {
  const size = await stat(path).then(
    (found) => found.size,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return 0;
      throw error;
    },
  );
  if (size === 0) return null;
  const handle = await open(path, 'r');
  try {
    const from = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - from), 0, size - from, from);
    const lines = buffer.subarray(0, bytesRead).toString('utf8').split('\n');
    const anchor = lines.at(-1) === '' ? parseAnchor(lines.at(-2) ?? '') : null;
    if (anchor === null) throw new Error(`${path} does not end with an anchor; move it away, and it is written anew`);
    return anchor;
  } finally {
    await handle.close();
  }
}

async function git(folder: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await run('git', ['-C', folder, ...args], {
      timeout: GIT_MS,
      env: { ...process.env, GIT_TERMINAL_PROMPT: '0' },
    });
    return stdout;
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim().split('\n')[0] : String(error);
    throw new Error(`git ${args.find((arg) => /^[a-z-]+$/.test(arg) && !arg.startsWith('-'))} in ${folder}: ${said}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
