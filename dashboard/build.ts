/**
 * Builds the dashboard into `dashboard/dist` when a source is newer than the last build, and says nothing when there is nothing to do.
 * Runs before `npm start` and `npm test`, so nobody has to know that there is a build.
 */
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';

const root = import.meta.dirname;
/** Written after everything else, so a build that was cut short counts as none. */
const stamp = join(root, 'dist/.built');

if (newestSource() > builtAt()) {
  await build({ configFile: join(root, 'vite.config.ts'), logLevel: 'warn' });
  writeFileSync(stamp, '');
}

/** When the newest file that goes into the build was changed: the dashboard, what it imports, and the lock of its libraries. */
function newestSource(): number {
  const inputs = [
    join(root, '../package-lock.json'),
    join(root, '../policies'),
    join(root, '../control/contract.ts'),
    join(root, '../control/contract'),
  ];
  const own = readdirSync(root).filter((name) => !['dist', 'mock', 'gallery.html', 'gallery.ts'].includes(name));
  return Math.max(...[...inputs, ...own.map((name) => join(root, name))].map(changedAt));
}

function changedAt(path: string): number {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => changedAt(join(path, name))));
}

function builtAt(): number {
  return statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
