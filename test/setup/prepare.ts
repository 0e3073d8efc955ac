/**
 * Puts what the tests need on a Debian machine (redis-server, postgresql, chromium, prometheus), and elsewhere says exactly what is missing.
 * Runs before `npm test`; no test is ever skipped for want of a program.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CHILD_ENV } from '../support/child-env.ts';
import { findProgram, PROGRAMS, UNPACKED, UNPACKED_FOLDER } from './programs.ts';

const missing = Object.entries(PROGRAMS).flatMap(([debianPackage, names]) => (findProgram(names) ? [] : [debianPackage]));

if (missing.length > 0 && !install(missing)) {
  console.error(`The tests need ${missing.join(' and ')}. Install ${missing.length === 1 ? 'it' : 'them'} and run npm test again.`);
  process.exit(1);
}

const packed = Object.entries(UNPACKED).flatMap(([debianPackage, names]) =>
  names.every((name) => findProgram([name])) ? [] : [debianPackage],
);
for (const debianPackage of packed)
  if (!unpack(debianPackage)) {
    console.error(`The tests need ${debianPackage}. Install it, or put its programs into the path, and run npm test again.`);
    process.exit(1);
  }

// A process that is killed keeps nothing of what it has read: one that ends in order reads it for all.
spawnSync(process.execPath, ['cli.ts', '--version'], { cwd: join(import.meta.dirname, '..', '..'), env: CHILD_ENV });

/** Installs Debian packages as root, or by sudo where it asks for no password. False where that cannot be done. */
function install(packages: readonly string[]): boolean {
  if (!findProgram(['apt-get'])) return false;
  return aptGet('update', '-q') && aptGet('install', '-yq', '--no-install-recommends', ...packages);
}

/** The programs of a Debian package in a folder of ours, without installing it. Any user can do that who has the lists of packages. */
function unpack(debianPackage: string): boolean {
  if (!findProgram(['apt-get']) || !findProgram(['dpkg-deb'])) return false;
  mkdirSync(UNPACKED_FOLDER, { recursive: true });
  const run = (program: string, ...args: string[]) => spawnSync(program, args, { cwd: UNPACKED_FOLDER, stdio: 'inherit' }).status === 0;
  const download = () => run('apt-get', 'download', '-q', debianPackage);
  if (!download() && !(aptGet('update', '-q') && download())) return false;
  const file = readdirSync(UNPACKED_FOLDER).find((name) => name.startsWith(`${debianPackage}_`) && name.endsWith('.deb'));
  if (file === undefined) return false;
  const isThere = run('dpkg-deb', '-x', file, '.');
  rmSync(join(UNPACKED_FOLDER, file));
  return isThere;
}

function aptGet(...args: string[]): boolean {
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const [program = '', ...rest] = [...asRoot, 'apt-get', ...args];
  return spawnSync(program, rest, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } }).status === 0;
}
