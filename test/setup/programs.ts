/** Programs that tests need from the machine: where they are, by any of the names under which they are packaged. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Packages by their Debian name, and the programs that serve. */
export const PROGRAMS = {
  'redis-server': ['redis-server', 'valkey-server'],
  chromium: ['chromium', 'chromium-browser', 'google-chrome'],
  postgresql: ['postgres'],
} as const;

/** Packages that start a server where they are installed: they are only unpacked, into {@link UNPACKED_FOLDER}. */
export const UNPACKED = { prometheus: ['prometheus', 'promtool'] } as const;
export const UNPACKED_FOLDER = join(import.meta.dirname, '..', '..', 'node_modules', '.cache', 'debian');

/** The path of the first of these programs that is installed, or null. */
export function findProgram(names: readonly string[]): string | null {
  const folders = [
    ...(process.env.PATH ?? '').split(':'),
    '/usr/bin',
    '/usr/local/bin',
    '/usr/sbin',
    join(UNPACKED_FOLDER, 'usr', 'bin'),
    ...postgresFolders(),
  ].filter(Boolean);
  for (const name of names) {
    const folder = folders.find((candidate) => existsSync(join(candidate, name)));
    if (folder !== undefined) return join(folder, name);
  }
  return null;
}

/** Debian keeps the server of each PostgreSQL version in a folder of its own; the newest first. */
function postgresFolders(): string[] {
  const base = '/usr/lib/postgresql';
  if (!existsSync(base)) return [];
  return readdirSync(base)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(base, version, 'bin'));
}
