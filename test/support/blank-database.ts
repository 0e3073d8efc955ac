/**
 * A data folder as it is after the first migrations and before the first row: making one takes seconds of CPU, and nearly every test file
 * needs one. It is made once for each state of the code that makes it and copied from then on. What a first start does from nothing is
 * `test/control/database.test.ts`'s.
 */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDatabase } from '../../control/db/database.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Puts a migrated, empty database into a data folder that is not there yet. */
export async function blankDatabase(dataDir: string): Promise<void> {
  const blank = blankFolder();
  if (!existsSync(blank)) await makeBlank(blank);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  cpSync(join(blank, 'pg'), join(dataDir, 'pg'), { recursive: true });
}

/** Of several that make it at once the last to be done finds it made. */
async function makeBlank(blank: string): Promise<void> {
  const folders = dirname(blank);
  mkdirSync(folders, { recursive: true });
  for (const old of readdirSync(folders))
    if (!old.startsWith(basename(blank))) rmSync(join(folders, old), { recursive: true, force: true });
  const folder = mkdtempSync(`${blank}-`);
  const { close } = await openDatabase(folder);
  await close();
  try {
    renameSync(folder, blank);
  } catch (error) {
    if (!existsSync(blank)) throw error;
    rmSync(folder, { recursive: true, force: true });
  }
}

function blankFolder(): string {
  known ??= join(ROOT, 'node_modules/.cache/blank-database', stateOfCode());
  return known;
}

let known: string | null = null;

/** Whatever makes a database, in one word. */
function stateOfCode(): string {
  const files = ['package-lock.json', ...globSync('control/db/**/*.ts', { cwd: ROOT }).sort()];
  const state = createHash('sha256');
  for (const file of files) state.update(`${file}\0`).update(readFileSync(join(ROOT, file)));
  return state.digest('hex').slice(0, 16);
}
