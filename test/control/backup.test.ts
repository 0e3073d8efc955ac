/** What a backup keeps, where it may be restored to, and that a damaged one changes nothing. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BackupFacts, restoreBackup, writeBackup } from '../../control/backup.ts';
import { checkBackup, createBackupFile, type Manifest } from '../../control/backup-file.ts';
import { embedded, embeddedPlace, serverPlace } from '../../control/db/copies.ts';
import { KNOWN_MIGRATIONS } from '../../control/db/database.ts';
import { claimDatabase, openKeys } from '../../control/keys.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { ADMIN, factsOfCall, holdRequest, type Services, startServices } from '../support/services.ts';

/** What COPY, JSON and line ends could trip over. */
const ODD = 'a\ttab, a \\ backslash, \\N, \\., a\nline, \r, "quotes", Zürich, \u{1f98a}, {"part":"x"}';

let services: Services;
let postgres: PostgresServer;
let folder: string;
let file: string;
let original: Manifest;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mc-backup-'));
  [services, postgres] = await Promise.all([startServices(), startPostgres()]);
  await claimDatabase(services.db, openKeys(at('keys')));
  const agent = await services.agents.create(ADMIN, { name: 'Forge', autonomyLevel: 'specialist' });
  await services.tasks.create(ADMIN, { title: ODD, type: 'ops', description: '' });
  await services.holds.open(holdRequest(factsOfCall({ id: 'held', agentId: agent.id })));
  await sql`insert into spend (scope, micros) values ('fleet-day:2026-11-22', 9007199254740991)`.execute(services.db);
  // A jsonb null is not an SQL null, and a gap in an identity stays one.
  await sql`update system_state set receipt = 'null'::jsonb`.execute(services.db);
  await sql`delete from outbox`.execute(services.db);
  mkdirSync(at('data/journal'), { recursive: true });
  writeFileSync(at('data/journal/proxy-id'), 'proxy-12345678');
  writeFileSync(at('data/journal/000000000000007.ndjson'), '{"seq":7,"event":{}}\n{"seq":8,"ev');
  writeFileSync(at('data/journal/else.txt'), 'not ours');
  file = at('first.backup');
  original = await back(embedded(services.db), file);
}, 120_000);
afterAll(async () => {
  await services?.close();
  await postgres?.close();
  rmSync(folder, { recursive: true, force: true });
});

const back = (place: Parameters<typeof writeBackup>[0], path: string) =>
  writeBackup(place, { dataDir: at('data'), path, version: 'test', createdAt: 5 });
const tablesOf = ({ parts }: Manifest) => parts.filter(({ name }) => name.startsWith('table/'));

describe('a backup', () => {
  it('is whole, names every table, the journal, the head of the audit chain and the key folder, and has no key', async () => {
    expect(await checkBackup(file)).toEqual(original);
    const names = original.parts.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['table/agents', 'table/audit_log', 'table/spend', 'table/held_calls']));
    expect(names.filter((name) => !name.startsWith('table/'))).toEqual(['journal/000000000000007.ndjson', 'journal/proxy-id']);
    const head = await services.db.selectFrom('audit_head').select(['seq', 'hash']).executeTakeFirstOrThrow();
    expect(original.about).toMatchObject({ version: 'test', auditHead: head, keyFingerprint: openKeys(at('keys')).fingerprint });
    expect(head.seq).toBeGreaterThan(2);
  });

  it('is the same again from what was restored into a folder, and from a server, value for value', async () => {
    const data = at('restored');
    const restored = await restoreBackup(file, { dataDir: data, keyDir: at('keys'), databaseUrl: null });
    expect(restored).toMatchObject({ hasKeys: true, auditHead: (original.about as unknown as BackupFacts).auditHead });
    expect(readFileSync(join(data, 'journal/000000000000007.ndjson'), 'utf8')).toBe('{"seq":7,"event":{}}\n');
    expect(readFileSync(join(data, 'journal/proxy-id'), 'utf8')).toBe('proxy-12345678');
    const place = await embeddedPlace(data);
    const url = await postgres.createDatabase();
    const onServer = { dataDir: null, keyDir: at('no-keys'), databaseUrl: url };
    expect(await restoreBackup(file, onServer)).toMatchObject({ hasKeys: false });
    const server = await serverPlace(url);
    for (const [name, copy] of [
      ['folder', place],
      ['server', server],
    ] as const) {
      const again = await back(copy, at(`again-${name}.backup`));
      expect(tablesOf(again), name).toEqual(tablesOf(original));
      expect(again.about, name).toEqual(original.about);
      const [task] = await copy.db.selectFrom('tasks').selectAll().execute();
      expect(task?.title, name).toBe(ODD);
      const { rows } = await sql<{ kind: string }>`select jsonb_typeof(receipt) as kind from system_state`.execute(copy.db);
      expect(rows, name).toEqual([{ kind: 'null' }]);
      // The next number is the one after the last that was ever given.
      const { rows: next } = await sql<{
        id: number;
      }>`insert into outbox (topic, entity_id, at) values ('task', 'x', 1) returning id`.execute(copy.db);
      const before = (original.about as unknown as BackupFacts).sequences.find(({ table }) => table === 'outbox');
      expect(Number(next[0]?.id), name).toBe((before?.value ?? 0) + 1);
    }
    await expect(restoreBackup(file, onServer)).rejects.toThrow('not empty');
    await place.close();
    await server.close();
  });

  it('of an earlier version is brought up to date where it is restored', async () => {
    const earlier = await serverPlace(await postgres.createDatabase(), KNOWN_MIGRATIONS.slice(0, -1));
    await earlier.db.updateTable('audit_head').set({ seq: 0 }).execute();
    const path = at('earlier.backup');
    await writeBackup(earlier, { dataDir: null, path, version: 'earlier', createdAt: 5 });
    await earlier.close();
    const url = await postgres.createDatabase();
    await restoreBackup(path, { dataDir: null, keyDir: at('keys'), databaseUrl: url });
    const now = await serverPlace(url);
    const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(now.db);
    expect(rows.map(({ name }) => name)).toEqual(KNOWN_MIGRATIONS);
    await now.close();
  });

  it('that was cut off or changed anywhere is refused before anything is written', async () => {
    const whole = readFileSync(file);
    const damaged = at('damaged.backup');
    const places: Buffer[] = [Buffer.alloc(0), Buffer.from('something else'), Buffer.concat([whole, whole])];
    for (let part = 1; part < 40; part++) {
      const cut = Math.floor((whole.length * part) / 40);
      const changed = Buffer.from(whole);
      changed[cut] = (changed[cut] ?? 0) ^ 0x10;
      places.push(whole.subarray(0, cut), changed);
    }
    places.push(whole.subarray(0, -1), whole.subarray(0, -9));
    for (const [index, bytes] of places.entries()) {
      writeFileSync(damaged, bytes);
      const restoring = restoreBackup(damaged, { dataDir: at('never'), keyDir: at('keys'), databaseUrl: null });
      await expect(restoring, `damage ${index}`).rejects.toMatchObject({ code: 'BACKUP_DAMAGED' });
    }
    expect(existsSync(at('never'))).toBe(false);
  });

  it('that is whole but says something else than what it holds is refused too', async () => {
    const path = at('lying.backup');
    const writer = createBackupFile(path);
    const later = { ...(original.about as object), migrations: ['001-foundation', '999-later'] };
    await writer.finish(later);
    const into = { dataDir: at('never'), keyDir: at('keys'), databaseUrl: null };
    await expect(restoreBackup(path, into)).rejects.toThrow('999-later');
    openKeys(at('other-keys'));
    await expect(restoreBackup(file, { ...into, keyDir: at('other-keys') })).rejects.toThrow('another key');
    mkdirSync(at('never/pg'), { recursive: true });
    await expect(restoreBackup(file, into)).rejects.toThrow('not empty');
  });
});
