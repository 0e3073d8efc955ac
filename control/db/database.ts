/**
 * Opens the database, embedded or on a server, and brings its tables up to date. The embedded one owns its data folder while it is open: a
 * second process on the same folder is refused, because that database has no lock of its own and would lose rows. A server is shared by
 * several processes, of which one at a time migrates.
 */
import { mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { Kysely, type RawBuilder, sql, type Transaction } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { storableJson } from '../contract.ts';
import { up as foundation } from './migrations/001-foundation.ts';
import { up as upstreams } from './migrations/002-upstreams.ts';
import { up as policyOperations } from './migrations/003-policy-operations.ts';
import { up as ledger } from './migrations/004-ledger.ts';
import { up as work } from './migrations/005-work.ts';
import { up as modelCalls } from './migrations/006-model-calls.ts';
import { up as gatewayPasses } from './migrations/007-gateway-passes.ts';
import { up as upstreamOAuth } from './migrations/008-upstream-oauth.ts';
import { up as grants } from './migrations/009-grants.ts';
import { up as chat } from './migrations/010-chat.ts';
import { up as members } from './migrations/011-members.ts';
import { up as loopFacts } from './migrations/012-loop-facts.ts';
import { up as people } from './migrations/013-people.ts';
import { up as search } from './migrations/015-search.ts';
import { up as proof } from './migrations/016-proof.ts';
import { up as stories } from './migrations/016b-stories.ts';
import { up as movesInOrder } from './migrations/017-moves-in-order.ts';
import { up as gateEvidence } from './migrations/018-gate-evidence.ts';
import { up as drills } from './migrations/018b-drills.ts';
import { up as detours } from './migrations/020-detours.ts';
import { pgliteDialect } from './pglite-dialect.ts';
import type { Database } from './schema.ts';
import { serverDialect } from './server-dialect.ts';

export type Db = Kysely<Database>;
export type Tx = Transaction<Database>;

const MIGRATIONS: Record<string, Migration> = {
  '001-foundation': { up: foundation },
  '002-upstreams': { up: upstreams },
  '003-policy-operations': { up: policyOperations },
  '004-ledger': { up: ledger },
  '005-work': { up: work },
  '006-model-calls': { up: modelCalls },
  '007-gateway-passes': { up: gatewayPasses },
  '008-upstream-oauth': { up: upstreamOAuth },
  '009-grants': { up: grants },
  '010-chat': { up: chat },
  '011-members': { up: members },
  '012-loop-facts': { up: loopFacts },
  '013-people': { up: people },
  '015-search': { up: search },
  '016-proof': { up: proof },
  '016b-stories': { up: stories },
  '017-moves-in-order': { up: movesInOrder },
  '018-gate-evidence': { up: gateEvidence },
  '018b-drills': { up: drills },
  '020-detours': { up: detours },
};

/** The names of the migrations that this version knows. */
export const KNOWN_MIGRATIONS: readonly string[] = Object.keys(MIGRATIONS);

/**
 * Opens the embedded database in `dataDir` and migrates it forward.
 * @param only the names of the migrations to run, for a restore; absent = all.
 * @returns the handle and `close`, which ends the database in order and frees the folder.
 * @throws Error when another live process holds the folder, or a migration fails (the old state stays).
 */
export async function openDatabase(dataDir: string, only?: readonly string[]): Promise<{ db: Db; close: () => Promise<void> }> {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const unlock = await lockFolder(dataDir);
  const db = new Kysely<Database>({ dialect: pgliteDialect(join(dataDir, 'pg')) });
  const close = async () => {
    await db.destroy();
    unlock();
  };
  try {
    await sql`select 1`.execute(db).catch((cause: unknown) => {
      const what = `the embedded database in ${join(dataDir, 'pg')} cannot be opened: it is damaged, or its disk is full`;
      throw new Error(`${what}. What to do: docs/playbooks.md, "The database is lost or corrupt"`, { cause });
    });
    await migrate(db, only);
  } catch (error) {
    await close();
    throw error;
  }
  return { db, close };
}

/**
 * Opens the database on a PostgreSQL server and migrates it forward; of several that start at once one migrates and the others wait.
 * @param url `DATABASE_URL`. @param only the names of the migrations to run, for a restore; absent = all.
 * @throws Error when the server cannot be reached, or a migration fails (the old state stays).
 */
export async function openServerDatabase(url: string, only?: readonly string[]): Promise<{ db: Db; close: () => Promise<void> }> {
  // On a connection of its own, because a migration may take longer than any other statement may.
  const migrating = new Kysely<Database>({ dialect: serverDialect(url, { poolMax: 1, statementMaxMs: null }) });
  try {
    await migrate(migrating, only);
  } finally {
    await migrating.destroy();
  }
  const db = new Kysely<Database>({ dialect: serverDialect(url) });
  return { db, close: () => db.destroy() };
}

/** A value for a jsonb column; spelled so that every PostgreSQL client sends the same text, and so that PostgreSQL takes it. */
export function json(value: unknown): RawBuilder<unknown> {
  return sql`${storableJson(JSON.stringify(value ?? null))}::text::jsonb`;
}

/** Whether the database answers a question within `withinMs`. Never throws. */
export async function isAnswering(db: Db, withinMs: number): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = globalThis.setTimeout(() => late.resolve(false), withinMs);
  const asked = sql`select 1`.execute(db).then(
    () => true,
    () => false,
  );
  try {
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function migrate(db: Db, only?: readonly string[]): Promise<void> {
  const chosen = Object.entries(MIGRATIONS).filter(([name]) => only?.includes(name) ?? true);
  // Unordered: a release may bring a migration whose number is below one that an installation has already.
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => Object.fromEntries(chosen) },
    allowUnorderedMigrations: true,
  });
  await refuseLater(db);
  const { error } = await migrator.migrateToLatest();
  if (error) throw new Error('the database could not be brought up to date; the old state is unchanged', { cause: error });
}

/** @throws Error where a later version has brought the database further than this one knows: it would not keep what that one promises. */
async function refuseLater(db: Db): Promise<void> {
  const { rows: tables } = await sql<{ found: boolean }>`select to_regclass('kysely_migration') is not null as found`.execute(db);
  if (tables[0]?.found !== true) return;
  const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db);
  const later = rows.flatMap(({ name }) => (Object.hasOwn(MIGRATIONS, name) ? [] : name));
  if (later.length === 0) return;
  throw new Error(
    `the database was brought up to date by a later version of Mission Control (${later.join(', ')} is not known here): start that version, or restore a backup from before the upgrade`,
  );
}

/** How long a start waits for the process that holds its folder to be gone, and how often it looks. */
const DYING_MS = 2_000;
const DYING_STEP_MS = 50;

/** Writes `mc.lock` with the process id and its start time; a lock left by a killed process is taken over. */
async function lockFolder(dataDir: string): Promise<() => void> {
  const deadline = Date.now() + DYING_MS;
  const file = join(dataDir, 'mc.lock');
  const own = `${process.pid} ${startTimeOf(process.pid) ?? '-'}`;
  for (;;) {
    try {
      writeSync(openSync(file, 'wx', 0o600), own);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const [pid = '', started = ''] = readFileSync(file, 'utf8').split(' ');
    if (Number(pid) !== process.pid && isAlive(Number(pid), started)) {
      // One that was killed a moment ago may still be going.
      if (Date.now() < deadline) {
        await setTimeout(DYING_STEP_MS);
        continue;
      }
      throw new Error(`data folder ${dataDir} is in use by process ${pid}; stop it first or set MC_DATA_DIR to another folder`);
    }
    rmSync(file, { force: true });
  }
}

function isAlive(pid: number, started: string): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  if (isRemains(pid)) return false;
  // The number may have gone to another process since: its start time tells (Linux; elsewhere the number alone decides).
  const now = startTimeOf(pid);
  return now === null || started === '-' || now === started;
}

/** Ended, all threads of it, and only not yet collected by its parent: some supervisors never do that. */
function isRemains(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2] === 'Z' && readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return false;
  }
}

function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
