/**
 * Puts what the tests need on a Debian machine (redis-server, postgresql, chromium), and elsewhere says exactly what is missing.
 * Runs before `npm test`; no test is ever skipped for want of a program.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { CHILD_ENV } from '../support/child-env.ts';
import { findProgram, PROGRAMS } from './programs.ts';

const missing = Object.entries(PROGRAMS).flatMap(([debianPackage, names]) => (findProgram(names) ? [] : [debianPackage]));

if (missing.length > 0 && !install(missing)) {
  console.error(`The tests need ${missing.join(' and ')}. Install ${missing.length === 1 ? 'it' : 'them'} and run npm test again.`);
  process.exit(1);
}

// A process that is killed keeps nothing of what it has read: one that ends in order reads it for all.
spawnSync(process.execPath, ['cli.ts', '--version'], { cwd: join(import.meta.dirname, '..', '..'), env: CHILD_ENV });

/** Installs Debian packages as root, or by sudo where it asks for no password. False where that cannot be done. */
function install(packages: readonly string[]): boolean {
  if (!findProgram(['apt-get'])) return false;
  const asRoot = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  const aptGet = (...args: string[]) => {
    const [program = '', ...rest] = [...asRoot, 'apt-get', ...args];
    const { status } = spawnSync(program, rest, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
    return status === 0;
  };
  return aptGet('update', '-q') && aptGet('install', '-yq', '--no-install-recommends', ...packages);
}
