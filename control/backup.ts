/**
 * Backup, restore and graduation to a server: everything that Mission Control remembers, from one moment, into one file and back. A restore
 * writes into an empty place only, and only after the whole file was checked; what was written is read back and compared before it counts.
 *
 * Not in a backup: the key folder. Sealed secrets travel sealed, and open only with the key whose fingerprint the manifest names.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { JsonObject } from '../policies/index.ts';
import { verifyAudit } from './audit.ts';
import { checkBackup, createBackupFile, type Manifest, type Part, type PartSum, readBackup, Sum } from './backup-file.ts';
import { embeddedPlace, isServerEmpty, isUsed, type Place, quoted, serverPlace, type Tables } from './db/copies.ts';
import { KNOWN_MIGRATIONS } from './db/database.ts';
import { openKeys } from './keys.ts';

/** What only means something to the processes that run now. */
const LEFT_OUT = ['kysely_migration', 'kysely_migration_lock', 'members', 'leases'];
const TABLE = 'table/';
const JOURNAL = 'journal/';
const STOP_FILE = 'stop.json';
const NOT_EMPTY = 'the database is not empty: restore into another one';

/** The place or the file will not do; the message says why and what to do. */
class RestoreRefused extends Error {
  readonly code = 'RESTORE_REFUSED';
}

/** What a manifest says besides the sums of its parts. */
export interface BackupFacts {
  /** Of Mission Control. */
  version: string;
  createdAt: number;
  migrations: readonly string[];
  /** Names the key folder that opens the sealed secrets. */
  keyFingerprint: string | null;
  auditHead: { seq: number; hash: string };
  sequences: readonly { table: string; column: string; value: number; isCalled: boolean }[];
}

export interface Restored extends BackupFacts {
  parts: readonly PartSum[];
  /** Whether the key folder that was named holds the key of this backup. */
  hasKeys: boolean;
}

/**
 * Writes a backup. Journals first: what a journal ships meanwhile is in the tables then.
 * @param dataDir where a proxy's journal and the stop file are; null = on other machines, whose proxies keep their own.
 * @param path must not exist. @param onPart hears of each part. @throws Error; then there is no file.
 */
export async function writeBackup(
  { reading }: Pick<Place, 'reading'>,
  { dataDir, path, version, createdAt }: { dataDir: string | null; path: string; version: string; createdAt: number },
  onPart: (part: PartSum) => void = () => {},
): Promise<Manifest> {
  const unfinished = `${path}.unfinished`;
  rmSync(unfinished, { force: true });
  const file = createBackupFile(unfinished);
  try {
    for (const name of dataDir === null ? [] : filesOf(dataDir)) {
      const content = contentOf(join(dataDir ?? '', name));
      if (content) onPart(await file.part({ name, columns: [] }, once(content)));
    }
    const facts = await reading(async (tables) => {
      for (const { name, columns } of await catalogue(tables))
        onPart(await file.part({ name: `${TABLE}${name}`, columns }, tables.read(name, columns)));
      return factsOf(tables, { version, createdAt });
    });
    const manifest = await file.finish(facts as unknown as JsonObject);
    renameSync(unfinished, path);
    return manifest;
  } catch (error) {
    file.abandon();
    rmSync(unfinished, { force: true });
    throw error;
  }
}

/**
 * Brings a backup into an empty place.
 * @param target `databaseUrl` null = the embedded database in `dataDir`. Journal and stop file go to `dataDir` unless it is null.
 * @throws BackupDamaged or RestoreRefused, both before anything was written; Error when writing failed, and the place is empty again.
 */
export async function restoreBackup(
  path: string,
  target: { dataDir: string | null; keyDir: string; databaseUrl: string | null },
  onPart: (part: Part) => void = () => {},
): Promise<Restored> {
  const { about, parts } = await checkBackup(path);
  const facts = about as unknown as BackupFacts;
  const unknown = facts.migrations.filter((name) => !KNOWN_MIGRATIONS.includes(name));
  if (unknown.length > 0)
    throw new RestoreRefused(
      `it was made by a later version (${facts.version}); its tables have changes unknown here: ${unknown.join(', ')}`,
    );
  const fingerprint = existsSync(join(target.keyDir, 'master.key')) ? openKeys(target.keyDir).fingerprint : null;
  if (fingerprint !== null && facts.keyFingerprint !== null && fingerprint !== facts.keyFingerprint)
    throw new RestoreRefused(
      `${target.keyDir} holds another key than the one of this backup (${facts.keyFingerprint}): put that installation's key folder there, or name it with MC_KEY_DIR`,
    );
  if (target.dataDir !== null) demandEmptyFolder(target.dataDir, target.databaseUrl === null);
  if (target.databaseUrl !== null) await intoServer(path, target.databaseUrl, facts, parts, onPart);
  else if (target.dataDir !== null) await intoFolder(path, target.dataDir, facts, parts, onPart);
  if (target.dataDir !== null) await restoreFiles(path, target.dataDir);
  return { ...facts, parts, hasKeys: fingerprint !== null };
}

async function intoServer(
  path: string,
  url: string,
  facts: BackupFacts,
  parts: readonly PartSum[],
  onPart: (part: Part) => void,
): Promise<void> {
  if (!(await isServerEmpty(url))) throw new RestoreRefused(NOT_EMPTY);
  const place = await serverPlace(url, facts.migrations);
  try {
    await fill(place, path, facts, parts, onPart);
  } finally {
    await place.close();
  }
  if (isOlder(facts)) await (await serverPlace(url)).close();
}

/** Opening it once more brings it up to date. */
function isOlder(facts: BackupFacts): boolean {
  return KNOWN_MIGRATIONS.some((name) => !facts.migrations.includes(name));
}

/** Under another name until it is whole. */
async function intoFolder(
  path: string,
  dataDir: string,
  facts: BackupFacts,
  parts: readonly PartSum[],
  onPart: (part: Part) => void,
): Promise<void> {
  const building = `${dataDir}.restoring`;
  rmSync(building, { recursive: true, force: true });
  try {
    const place = await embeddedPlace(building, facts.migrations);
    try {
      await fill(place, path, facts, parts, onPart);
    } finally {
      await place.close();
    }
    if (isOlder(facts)) await (await embeddedPlace(building)).close();
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    renameSync(join(building, 'pg'), join(dataDir, 'pg'));
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

/** Writes all rows, reads them back and compares, in one transaction; then the audit chain is verified. */
async function fill(
  place: Place,
  path: string,
  facts: BackupFacts,
  parts: readonly PartSum[],
  onPart: (part: Part) => void,
): Promise<void> {
  await place.writing(async (tables) => {
    const known = await catalogue(tables);
    if (await isUsed(tables)) throw new RestoreRefused(NOT_EMPTY);
    const putReferencesBack = await freeReferences(tables);
    for (const { name } of known) await tables.rows(`delete from ${quoted(name)}`);
    await readBackup(path, async (part, bytes) => {
      const table = known.find(({ name }) => part.name === `${TABLE}${name}`);
      if (!part.name.startsWith(TABLE)) return drain(bytes);
      if (!table || part.columns.some((column) => !table.columns.includes(column)))
        throw new RestoreRefused(`${part.name} has no table here with its columns`);
      onPart(part);
      await tables.write(table.name, part.columns, bytes);
    });
    for (const { table, column, value, isCalled } of facts.sequences) {
      if (!known.some(({ name, columns }) => name === table && columns.includes(column)))
        throw new RestoreRefused(`there is no ${table}.${column} here`);
      await tables.rows(
        `select setval(pg_get_serial_sequence('${quoted(table)}', '${column.replaceAll("'", "''")}'), ${Number(value)}, ${isCalled === true})`,
      );
    }
    await compare(tables, parts);
    await putReferencesBack();
  });
  const chain = await verifyAudit(place.db);
  if (!chain.ok) throw new Error(`everything was copied, but the audit chain of the original is broken at ${chain.seq}: ${chain.why}`);
}

/** @throws Error where a table does not give back what was written. */
async function compare(tables: Tables, parts: readonly PartSum[]): Promise<void> {
  for (const { name, columns, rows, sha256 } of parts) {
    if (!name.startsWith(TABLE)) continue;
    const sum = new Sum();
    for await (const chunk of tables.read(name.slice(TABLE.length), columns)) sum.add(chunk);
    const found = sum.end();
    if (found.rows !== rows || found.sha256 !== sha256)
      throw new Error(`${name} does not give back what was written: ${found.rows} rows of ${rows}, SHA-256 ${found.sha256} for ${sha256}`);
  }
}

async function restoreFiles(path: string, dataDir: string): Promise<void> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  await readBackup(path, async ({ name }, bytes) => {
    if (!isFile(name)) return drain(bytes);
    const chunks: Uint8Array[] = [];
    for await (const chunk of bytes) chunks.push(chunk);
    const file = join(dataDir, name);
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(file, Buffer.concat(chunks), { mode: 0o600 });
  });
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

async function drain(bytes: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _chunk of bytes);
}

/* ---------------------------------------------------------------- what is there */

/** Our tables, with the columns that are stored. */
async function catalogue(tables: Tables): Promise<{ name: string; columns: string[] }[]> {
  const columns = await tables.rows<{ table: string; column: string }>(`
    select c.table_name::text as table, c.column_name::text as column from information_schema.columns c
    join information_schema.tables t on t.table_schema = c.table_schema and t.table_name = c.table_name
    where c.table_schema = current_schema() and t.table_type = 'BASE TABLE' and c.is_generated = 'NEVER'
    order by c.table_name, c.ordinal_position`);
  const found = new Map<string, string[]>();
  for (const { table, column } of columns) {
    if (!LEFT_OUT.includes(table)) found.set(table, [...(found.get(table) ?? []), column]);
  }
  return [...found].map(([name, columnsOf]) => ({ name, columns: columnsOf }));
}

/** Takes the references between tables away, some of which lead in a circle. @returns what puts them back, and checks every row by them. */
async function freeReferences(tables: Tables): Promise<() => Promise<void>> {
  const references = await tables.rows<{ table: string; name: string; definition: string }>(`
    select c.relname::text as table, f.conname::text as name, pg_get_constraintdef(f.oid) as definition from pg_constraint f
    join pg_class c on c.oid = f.conrelid where f.contype = 'f' and c.relnamespace = current_schema()::regnamespace order by 1, 2`);
  for (const { table, name } of references) await tables.rows(`alter table ${quoted(table)} drop constraint ${quoted(name)}`);
  return async () => {
    for (const { table, name, definition } of references)
      await tables.rows(`alter table ${quoted(table)} add constraint ${quoted(name)} ${definition}`);
  };
}

async function factsOf(tables: Tables, about: { version: string; createdAt: number }): Promise<BackupFacts> {
  const migrations = await tables.rows<{ name: string }>('select name from kysely_migration order by name');
  const [state] = await tables.rows<{ key_fingerprint: string | null }>('select key_fingerprint from system_state where id = 1');
  const [head] = await tables.rows<{ seq: number; hash: string }>('select seq, hash from audit_head where id = 1');
  const identities = await tables.rows<{ table: string; column: string; sequence: string }>(`
    select table_name::text as table, column_name::text as column,
      pg_get_serial_sequence(quote_ident(table_name), column_name)::regclass::text as sequence
    from information_schema.columns where table_schema = current_schema() and is_identity = 'YES' order by 1, 2`);
  const sequences: BackupFacts['sequences'][number][] = [];
  for (const { table, column, sequence } of identities) {
    const [at] = await tables.rows<{ last_value: number; is_called: boolean }>(`select last_value, is_called from ${sequence}`);
    if (at) sequences.push({ table, column, value: Number(at.last_value), isCalled: at.is_called });
  }
  return {
    ...about,
    migrations: migrations.map(({ name }) => name),
    keyFingerprint: state?.key_fingerprint ?? null,
    auditHead: { seq: Number(head?.seq ?? 0), hash: head?.hash ?? '' },
    sequences,
  };
}

function demandEmptyFolder(dataDir: string, isWhole: boolean): void {
  const taken = [isWhole ? 'pg' : null, 'journal', STOP_FILE].filter((name) => name !== null && existsSync(join(dataDir, name)));
  if (taken.length > 0)
    throw new RestoreRefused(`${dataDir} is not empty (${taken.join(', ')}): restore into another folder, or move this one away`);
}

function filesOf(dataDir: string): string[] {
  const journal = existsSync(join(dataDir, 'journal')) ? readdirSync(join(dataDir, 'journal')).map((name) => `${JOURNAL}${name}`) : [];
  return [...journal.sort(), STOP_FILE].filter((name) => isFile(name) && existsSync(join(dataDir, name)));
}

/** Null where it is gone: a journal that was shipped meanwhile is in the tables. Of a line that is being written nothing is taken. */
function contentOf(file: string): Uint8Array | null {
  try {
    const content = readFileSync(file);
    return file.endsWith('.ndjson') ? content.subarray(0, content.lastIndexOf(0x0a) + 1) : content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** Only names that we write ourselves lead anywhere. */
function isFile(name: string): boolean {
  return name === STOP_FILE || /^journal\/(?:proxy-id|[\w-]+\.ndjson)$/.test(name);
}
