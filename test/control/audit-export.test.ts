/**
 * The audit log as evidence: every change of an export is detected, and the row is named. 10,000 mutations of six kinds, each against the
 * anchors and the public key alone. Then the real thing: rows of the database, anchors in a file and a Git repository, the command line.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createAnchors } from '../../control/anchors.ts';
import { appendAudit } from '../../control/audit.ts';
import { type Anchor, type AuditRecord, hashOf, hashRecord, signAnchor } from '../../control/audit-chain.ts';
import {
  anchorLine,
  type ExportFormat,
  exportAudit,
  type Fault,
  type Verified,
  verifyExport,
  verifyLines,
} from '../../control/audit-export.ts';
import { createCards } from '../../control/cards.ts';
import { createChannels } from '../../control/channels.ts';
import { createNotifications } from '../../control/notifications.ts';
import { openSigningKey, readPublicKey } from '../../control/signing.ts';
import type { JsonObject } from '../../policies/index.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

const MUTATIONS = Number(process.env.AUDIT_MUTATIONS ?? 10_000);
const folder = mkdtempSync(join(tmpdir(), 'mc-audit-'));
const key = openSigningKey(join(folder, 'keys'));
const stranger = openSigningKey(join(folder, 'other-keys'));
const verifier = readPublicKey(key.publicKeyPem);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ROWS = 12;
const ANCHORED = [4, 8, ROWS];
const records = chainOf(ROWS, (seq) => ({
  details: { tool: 'exec', note: `line\nÜber \u2028 ${seq} \ufffd`, sums: [0.1, 1e21, seq], nested: { 7: 'x', a: null } },
  payload: seq % 4 === 0 ? { input: { command: `make ${seq}` } } : null,
}));
const anchors = ANCHORED.map((seq, index) => signAnchor({ seq, hash: records[seq - 1]?.hash ?? '' }, seq, ANCHORED[index - 1] ?? 0, key));
const anchorText = anchors.map(anchorLine).join('');

/** A chain as the log makes it. */
function chainOf(rows: number, said: (seq: number) => { details: JsonObject; payload: JsonObject | null }): AuditRecord[] {
  let prevHash = '0'.repeat(64);
  return Array.from({ length: rows }, (_, index) => {
    const { payload, ...rest } = said(index + 1);
    const details: JsonObject = { ...rest.details, ...(payload && { payloadHash: hashOf(payload) }) };
    const fields = { seq: index + 1, at: 1000 + index, actorType: 'human' as const, actorId: 'ada', action: 'test.happened' };
    const row = { ...fields, subjectType: 'thing', subjectId: null, details, payload, detailsHash: hashOf(details), prevHash };
    prevHash = hashRecord(row);
    return { ...row, hash: prevHash };
  });
}

async function textOf(
  format: ExportFormat,
  rows: readonly AuditRecord[] = records,
  head: Anchor | undefined = anchors.at(-1),
): Promise<string> {
  if (!head) throw new Error('no head');
  let text = '';
  async function* pages() {
    for (let from = 0; from < rows.length; from += 5) yield rows.slice(from, from + 5);
  }
  for await (const piece of exportAudit(format, head, pages())) text += piece;
  return text;
}

/** The same lines that a file gives, without the file. */
function linesIn(bytes: Buffer): (string | null)[] {
  const lines: (string | null)[] = [];
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let from = 0;
  for (let to = bytes.indexOf(10); to >= 0; to = bytes.indexOf(10, from)) {
    try {
      lines.push(decoder.decode(bytes.subarray(from, to)));
    } catch {
      lines.push(null);
    }
    from = to + 1;
  }
  return from < bytes.length ? [...lines, null] : lines;
}

const check = (exported: Buffer | string, anchored: string | null = anchorText, by = verifier): Promise<Verified | Fault> =>
  verifyLines(linesIn(Buffer.from(exported)), anchored === null ? null : linesIn(Buffer.from(anchored)), by);

/** The number of the first row that a mutated file says something else about, by its lines: what "located" has to mean. */
function firstTouched(original: string, mutated: Buffer): number {
  const before = Buffer.from(original);
  let at = 0;
  while (at < before.length && at < mutated.length && before[at] === mutated[at]) at++;
  return before.subarray(0, at).filter((byte) => byte === 10).length;
}

describe('an export', () => {
  test.each(['ndjson', 'json'] as const)('in %s verifies, with and without anchors', async (format) => {
    const text = await textOf(format);
    expect(await check(text)).toEqual({
      ...{ ok: true, rows: ROWS, head: records.at(-1)?.hash, exportedAt: ROWS, pruned: 0, anchors: 3, keyId: key.keyId, signed: true },
    });
    expect(await check(text, null)).toMatchObject({ ok: true, anchors: 0 });
    const pruned = records.map((row) => ({ ...row, payload: null }));
    expect(await check(await textOf(format, pruned))).toMatchObject({ ok: true, pruned: 3 });
    if (format === 'json') expect(JSON.parse(text)).toMatchObject({ kind: 'mission-control/audit-export', rows: records });
    expect(await check(await textOf(format, [], signAnchor({ seq: 0, hash: '0'.repeat(64) }, 1, 0, key)), null)).toMatchObject({
      ok: true,
      rows: 0,
    });
  });

  test(`that was changed in any of ${MUTATIONS} ways is found, and where`, { timeout: 60_000 + MUTATIONS * 5 }, async () => {
    const texts = { ndjson: await textOf('ndjson'), json: await textOf('json') };
    const seen = { edit: 0, delete: 0, reorder: 0, insert: 0, truncate: 0 };
    const row = fc.integer({ min: 1, max: ROWS });
    const mutation = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('edit' as const), at: fc.nat(), byte: fc.integer({ min: 1, max: 255 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), row }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('reorder' as const), row, other: row }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('insert' as const), row, other: row, renumbered: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('truncate' as const), at: fc.nat(), whole: fc.boolean() }) },
    );
    const property = fc.asyncProperty(fc.constantFrom('ndjson' as const, 'json' as const), mutation, async (format, change) => {
      const original = texts[format];
      const bytes = Buffer.from(original);
      const lines = original.split('\n').slice(0, -1);
      let mutated: Buffer;
      switch (change.kind) {
        case 'edit': {
          mutated = Buffer.from(bytes);
          const at = change.at % bytes.length;
          mutated[at] = (bytes[at] ?? 0) ^ change.byte;
          break;
        }
        case 'delete':
          mutated = Buffer.from(`${lines.toSpliced(change.row, 1).join('\n')}\n`);
          break;
        case 'reorder': {
          const [one = '', other = ''] = [lines[change.row], lines[change.other]];
          if (one === other) return;
          mutated = Buffer.from(`${lines.with(change.row, other).with(change.other, one).join('\n')}\n`);
          break;
        }
        case 'insert': {
          const text = lines[change.other] ?? '';
          const put = change.renumbered ? text.replace(/"seq":\d+/, `"seq":${change.row}`) : text;
          mutated = Buffer.from(`${lines.toSpliced(change.row, 0, put).join('\n')}\n`);
          break;
        }
        case 'truncate': {
          const to = change.at % bytes.length;
          mutated = bytes.subarray(0, change.whole ? bytes.lastIndexOf(10, Math.max(0, to - 1)) + 1 : to);
          break;
        }
      }
      seen[change.kind]++;
      const result = await check(mutated);
      expect(result.ok).toBe(false);
      if (result.ok) return;
      // Where it begins: the row, or the head (row 0) or the end of the file.
      const touched = firstTouched(original, mutated);
      const said = result.seq ?? (result.line === 1 ? 0 : ROWS + 1);
      expect(Math.abs(said - touched), `${change.kind}: ${result.why} (said ${said}, touched ${touched})`).toBeLessThanOrEqual(1);
    });
    await fc.assert(property, { numRuns: MUTATIONS });
    expect(Math.min(...Object.values(seen))).toBeGreaterThan(MUTATIONS / 25);
  });
});

describe('a chain that was made anew without the key', () => {
  const forged = chainOf(ROWS, (seq) => ({ details: { tool: 'exec', forged: seq > 5 }, payload: null }));
  const head = (seq: number, by = stranger) => signAnchor({ seq, hash: forged[seq - 1]?.hash ?? '' }, seq, 0, by);

  test('with a head of its own does not have our signature', async () => {
    expect(await check(await textOf('ndjson', forged, head(ROWS)))).toMatchObject({
      ok: false,
      line: 1,
      why: expect.stringContaining('another key'),
    });
    const named = { ...head(ROWS), keyId: key.keyId };
    expect(await check(await textOf('ndjson', forged, named))).toMatchObject({
      ok: false,
      line: 1,
      why: expect.stringContaining('signature'),
    });
  });

  test('with our head is not what that names, and the anchors say from where on', async () => {
    expect(await check(await textOf('ndjson', forged))).toMatchObject({
      ok: false,
      seq: 1,
      why: expect.stringContaining('row 4 is not the one'),
    });
    expect(await check(await textOf('ndjson', forged), null)).toMatchObject({ ok: false, seq: ROWS });
    // The beginning is the true one, and what follows was made anew from row 7 on.
    let prevHash = records[5]?.hash ?? '';
    const rest = records.slice(6).map((row) => {
      const made = { ...row, actorId: 'bob', prevHash };
      prevHash = hashRecord(made);
      return { ...made, hash: prevHash };
    });
    const result = await check(await textOf('ndjson', [...records.slice(0, 6), ...rest]));
    expect(result).toMatchObject({ ok: false, seq: 5, why: expect.stringContaining('row 8 is not the one') });
  });

  test('with anchors of its own is found by them', async () => {
    const own = anchorLine(head(4)) + anchorLine({ ...head(ROWS), previous: 4 });
    expect(await check(await textOf('ndjson', forged, head(ROWS)), own)).toMatchObject({
      ok: false,
      line: 1,
      why: expect.stringContaining('anchors: '),
    });
  });

  test('without a key to check by is believed only as far as the anchors go, and says so', async () => {
    const unsigned = await verifyLines(linesIn(Buffer.from(await textOf('ndjson', forged, head(ROWS)))), null, null);
    expect(unsigned).toMatchObject({ ok: true, signed: false, anchors: 0 });
  });
});

describe('anchors', () => {
  test('show that the end was cut off before the export, though the export has a true head', async () => {
    const short = await textOf('ndjson', records.slice(0, 8), anchors[1]);
    expect(await check(short, null)).toMatchObject({ ok: true, rows: 8 });
    expect(await check(short)).toEqual({ ok: false, seq: 9, line: null, why: `the end was cut off: an anchor knows row ${ROWS}` });
  });

  test('that were changed or taken out are found; a line that was written twice is one', async () => {
    const [one = '', two = '', three = ''] = anchorText.split('\n');
    const text = await textOf('ndjson');
    expect(await check(text, `${one}\n${two}\n${two}\n${three}\n`)).toMatchObject({ ok: true, anchors: 3 });
    expect(await check(text, `${one}\n${three}\n`)).toMatchObject({ ok: false, line: 2, why: expect.stringContaining('missing') });
    expect(await check(text, `${one}\n${two.replace('"at":8', '"at":9')}\n`)).toMatchObject({ ok: false, line: 2 });
    expect(await check(text, `${one}\n${two}`)).toMatchObject({ ok: false, line: 2 });
    // The last letter of a signature has bits to spare: another letter with the same meaning is a change too.
    const bent = one.replace(/(.)"}$/, (_, letter: string) => `${String.fromCharCode(letter.charCodeAt(0) + 1)}"}`);
    expect(await check(text, `${bent}\n`)).toMatchObject({ ok: false, line: 1 });
  });
});

describe('the log of an installation', () => {
  let services: Services;
  beforeAll(async () => {
    services = await startServices();
  });
  afterAll(() => services.close());

  const append = (count: number) =>
    services.db.transaction().execute((tx) =>
      appendAudit(
        tx,
        Array.from({ length: count }, (_, index) => ({
          at: services.time.now,
          actor: ADMIN,
          action: 'test.happened',
          subjectType: 'tool_call',
          subjectId: `=cmd${index}`,
          details: { index },
          payload: { input: { text: 'a\u0000b' } },
        })),
      ),
    );

  test('is anchored in a file, a repository and on channels, exported, and verified by the command line', async () => {
    const { db, base, keys, alerts, approvals } = services;
    const channels = createChannels({ ...base, keys, alerts });
    const notifications = createNotifications({ ...base, channels, approvals, cards: createCards({ ...base, approvals }), alerts });
    const file = join(folder, 'anchors.ndjson');
    const [repository, remote] = [join(folder, 'repository'), join(folder, 'remote.git')];
    const git = (...args: string[]) => execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    git('init', '--quiet', '--bare', '-b', 'main', remote);
    git('clone', '--quiet', remote, repository);
    git('-C', repository, '-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '--quiet', '--allow-empty', '-m', 'begin');
    git('-C', repository, 'push', '--quiet', '-u', 'origin', 'HEAD');
    const service = createAnchors({ ...base, signing: key, alerts, channels, tell: notifications.add, file, repository });
    const common = { destination: 'https://example.com/hook', events: ['audit' as const] };
    await channels.create(ADMIN, { kind: 'webhook', name: 'hook', ...common });
    await channels.create(ADMIN, { kind: 'telegram', name: 'chat', ...common, destination: '1', token: '1:x' });

    await append(300);
    await service.anchor();
    await service.anchor();
    services.time.now += 5 * 60_000;
    await append(3);
    await service.anchor();
    const kept = readFileSync(file, 'utf8').trimEnd().split('\n');
    expect(kept).toHaveLength(2);
    expect(git('-C', remote, 'show', 'main:audit-anchors.ndjson')).toBe(readFileSync(file, 'utf8'));
    const told = await db
      .selectFrom('notifications')
      .innerJoin('channels', 'channels.id', 'channel_id')
      .select(['channels.kind', 'summary'])
      .execute();
    // Programs get each, people one an hour.
    expect(told.map(({ kind }) => kind).sort()).toEqual(['telegram', 'webhook', 'webhook']);

    // A file that was lost gets all that the database has.
    rmSync(file);
    await service.anchor();
    expect(readFileSync(file, 'utf8').trimEnd().split('\n')).toEqual(kept);
    expect(await service.verify()).toMatchObject({ ok: true, anchors: 2 });

    const files = { ndjson: join(folder, 'x.ndjson'), json: join(folder, 'x.json'), csv: join(folder, 'x.csv') };
    for (const format of ['ndjson', 'json', 'csv'] as const) {
      writeFileSync(files[format], '');
      for await (const piece of service.exported(format)) appendFileSync(files[format], piece);
    }
    expect(readFileSync(files.csv, 'utf8').split('\n')[300]).toContain(",'=cmd");
    const pem = join(folder, 'key.pem');
    writeFileSync(pem, service.key.publicKeyPem);
    const rows = (await db.selectFrom('audit_head').select('seq').executeTakeFirstOrThrow()).seq;
    const verify = (...args: string[]) =>
      spawnSync(process.execPath, ['cli.ts', 'audit', 'verify', ...args, '--json'], { encoding: 'utf8' });
    const good = verify(files.json, '--anchors', file, '--key', pem);
    expect({ status: good.status, ...JSON.parse(good.stdout) }).toMatchObject({ status: 0, ok: true, rows, anchors: 2, signed: true });
    const early = await verifyExport(files.ndjson, { anchors: join(folder, 'not-yet.ndjson'), key: null });
    expect(early).toMatchObject({ ok: false, seq: null, why: expect.stringMatching(/^there are no anchors in \S+not-yet\.ndjson yet/) });
    writeFileSync(files.ndjson, readFileSync(files.ndjson, 'utf8').replace('"index":250', '"index":251'));
    const bad = verify(files.ndjson, '--anchors', file, '--key', pem);
    expect({ status: bad.status, ...JSON.parse(bad.stdout) }).toMatchObject({ status: 1, ok: false, why: 'its details were changed' });
  });

  test('that is broken is not signed any more: an alert says where', async () => {
    const { base, keys, alerts, approvals, db } = services;
    const channels = createChannels({ ...base, keys, alerts });
    const notifications = createNotifications({ ...base, channels, approvals, cards: createCards({ ...base, approvals }), alerts });
    const other = mkdtempSync(join(folder, 'broken-'));
    mkdirSync(other, { recursive: true });
    const service = createAnchors({
      ...base,
      signing: key,
      alerts,
      channels,
      tell: notifications.add,
      file: join(other, 'a'),
      repository: null,
    });
    await append(5);
    const { seq } = await db.selectFrom('audit_head').select('seq').executeTakeFirstOrThrow();
    await sql`update audit_log set actor_id = 'somebody' where seq = ${seq - 2}`.execute(db);
    const before = await service.list(0, 100);
    await service.anchor();
    expect(await service.list(0, 100)).toEqual(before);
    const { items } = await alerts.list({ resolved: false, limit: 10 });
    expect(items.map(({ severity, message }) => [severity, message])).toEqual([
      ['critical', expect.stringContaining(`broken at row ${seq - 2}: its fields were changed`)],
    ]);
    // An anchor that was made up does not bear our signature.
    await sql`update audit_log set actor_id = 'admin' where seq = ${seq - 2}`.execute(db);
    await sql`update audit_anchors set hash = repeat('a', 64) where seq = (select max(seq) from audit_anchors)`.execute(db);
    expect(await service.verify()).toMatchObject({ ok: false, why: expect.stringContaining('signature') });
    await service.anchor();
    expect(await service.list(0, 100)).toHaveLength(before.length);
    // Nor is a chain signed that was made anew, its anchors taken away: the file knows the old one.
    await sql`truncate audit_anchors, audit_log`.execute(db);
    await sql`update audit_head set seq = 0, hash = repeat('0', 64)`.execute(db);
    await append(2 * seq);
    await service.anchor();
    expect(await service.list(0, 100)).toEqual([]);
  });
});
