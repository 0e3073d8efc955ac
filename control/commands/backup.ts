/**
 * `backup`, `restore` and `graduate`: all that Mission Control remembers into one file and back, or on to a PostgreSQL server. Progress goes to
 * standard error; Ctrl-C leaves no half of anything behind.
 */
import { createWriteStream, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Command } from 'commander';
import type { ResolvedSettings } from '../../settings.ts';
import { type BackupFacts, type Restored, restoreBackup, writeBackup } from '../backup.ts';
import { checkBackup, type Manifest } from '../backup-file.ts';
import { embeddedPlace, serverPlace } from '../db/copies.ts';
import { apiClient, CommandError } from './client.ts';

/** Adds the commands. @param version of Mission Control; stands in the backup. */
export function addBackupCommands(program: Command, settings: () => ResolvedSettings, version: string): void {
  program
    .command('backup')
    .description('Write everything that Mission Control remembers to a file, while it runs or not; without the key folder')
    .argument('<file>', 'must not exist')
    .option('--json', 'print the manifest as JSON')
    .action(async (file: string, { json }: { json?: true }) => {
      if (existsSync(file)) throw new CommandError('EXISTS', `${file} exists already`);
      await backUp(settings(), file, version);
      // Read back from its first to its last byte: a backup that cannot be read is none.
      const manifest = await checkBackup(file);
      if (json) console.log(JSON.stringify(manifest, null, 2));
      else console.log(summaryOf(file, manifest));
    });

  program
    .command('restore')
    .description('Bring a backup into an empty data folder, or into an empty database where DATABASE_URL is set')
    .argument('<file>', 'from "backup"')
    .option('--json', 'print what was restored as JSON')
    .action(async (file: string, { json }: { json?: true }) => {
      const { dataDir, keyDir, DATABASE_URL } = settings();
      const restored = await restoreBackup(file, { dataDir, keyDir, databaseUrl: DATABASE_URL }, ({ name }) => say(name));
      if (json) return console.log(JSON.stringify(restored, null, 2));
      console.log(`Restored, and compared with the backup: ${countsOf(restored)}`);
      console.log(keysNote(restored, keyDir));
      if (DATABASE_URL !== null) console.log('Empty Redis before you start: its counters are made anew from the database.');
    });

  program
    .command('graduate')
    .description(
      'Move everything from the embedded database to an empty one on a PostgreSQL server, and compare; while Mission Control does not run',
    )
    .requiredOption('--to <url>', 'such as postgres://mc@127.0.0.1:5432/mission_control')
    .option('--json', 'print what was moved as JSON')
    .action(async ({ to, json }: { to: string; json?: true }) => {
      const moved = await graduate(settings(), to, version);
      if (json) return console.log(JSON.stringify(moved, null, 2));
      console.log(`Moved, and compared with the embedded database: ${countsOf(moved)}`);
      console.log(
        'Set DATABASE_URL to this server, and REDIS_URL and MC_CLUSTER_SECRET (docs/DEPLOYMENT.md), keep MC_DATA_DIR and MC_KEY_DIR, and start.',
      );
    });
}

async function backUp(settings: ResolvedSettings, file: string, version: string): Promise<void> {
  const { dataDir, DATABASE_URL } = settings;
  const options = { dataDir, path: file, version, createdAt: Date.now() };
  const write = async (open: ReturnType<typeof embeddedPlace>) => {
    const place = await open;
    try {
      await writeBackup(place, options, ({ name, rows }) => say(name, rows));
    } finally {
      await place.close();
    }
  };
  if (DATABASE_URL !== null) return write(serverPlace(DATABASE_URL));
  // The embedded database belongs to the process that runs: that one writes it then.
  try {
    return await download(settings, file);
  } catch (error) {
    if (!(error instanceof CommandError) || !['UNREACHABLE', 'NO_CREDENTIAL'].includes(error.code)) throw error;
  }
  if (!existsSync(join(dataDir, 'pg'))) throw new CommandError('NOTHING', `there is no database in ${dataDir}; is MC_DATA_DIR right?`);
  await write(embeddedPlace(dataDir));
}

async function download(settings: ResolvedSettings, file: string): Promise<void> {
  const body = await apiClient(settings).download('/backup', {});
  const unfinished = `${file}.unfinished`;
  try {
    await pipeline(Readable.fromWeb(body), createWriteStream(unfinished, { flags: 'wx', mode: 0o600 }));
    renameSync(unfinished, file);
  } finally {
    rmSync(unfinished, { force: true });
  }
}

async function graduate({ dataDir, keyDir, DATABASE_URL }: ResolvedSettings, to: string, version: string): Promise<Restored> {
  if (DATABASE_URL !== null) throw new CommandError('ON_A_SERVER', 'DATABASE_URL is set: this installation is on a server already');
  if (!existsSync(join(dataDir, 'pg'))) throw new CommandError('NOTHING', `there is no database in ${dataDir}; is MC_DATA_DIR right?`);
  // Held to the end: nothing may be written here that is not there.
  const place = await embeddedPlace(dataDir);
  const folder = mkdtempSync(join(dataDir, 'graduate-'));
  try {
    const path = join(folder, 'backup');
    // The journal stays where it is: the proxy goes on with it.
    await writeBackup(place, { dataDir: null, path, version, createdAt: Date.now() }, ({ name, rows }) => say(name, rows));
    return await restoreBackup(path, { dataDir: null, keyDir, databaseUrl: to }, ({ name }) => say(name));
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await place.close();
  }
}

function say(part: string, rows?: number): void {
  if (process.stderr.isTTY) process.stderr.write(`${part}${rows === undefined ? '' : `, ${rows} rows`}\n`);
}

function summaryOf(file: string, manifest: Manifest): string {
  const facts = manifest.about as unknown as BackupFacts;
  return [
    `${file} is whole: ${countsOf({ ...facts, parts: manifest.parts })}`,
    `It has no keys. Its sealed secrets open only with the key folder ${facts.keyFingerprint ?? 'of this installation'}: keep MC_KEY_DIR as well, and elsewhere.`,
  ].join('\n');
}

function countsOf({ parts, auditHead, createdAt }: Pick<Restored, 'parts' | 'auditHead' | 'createdAt'>): string {
  const tables = parts.filter(({ name }) => name.startsWith('table/'));
  const rows = tables.reduce((sum, part) => sum + part.rows, 0);
  return `${rows} rows of ${tables.length} tables as of ${new Date(createdAt).toISOString()}; audit chain ${auditHead.seq} entries, head ${auditHead.hash.slice(0, 16)}.`;
}

function keysNote({ hasKeys, keyFingerprint }: Restored, keyDir: string): string {
  if (hasKeys) return `The key folder ${keyDir} is the right one.`;
  return `Before you start: put the key folder of that installation (${keyFingerprint}) at ${keyDir}. With new keys the start is refused.`;
}
