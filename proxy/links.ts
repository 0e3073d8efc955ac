/**
 * Where paths really lead, as a fact for the judgement: for every path that a call names and that this machine can see, the
 * symbolic links on the way. The gate often runs on another machine than the workspace; then there is nothing to see and the
 * lexical judgement stands (SPEC 4.5, "where the proxy can see the disk").
 */
import { lstat, readlink, realpath } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { PathReading } from '../policies/index.ts';

/** A path with more parts than this is not looked at part by part; the judgement has bounded its length before. */
const DEPTH_MAX = 64;

/**
 * Links among the paths that were read.
 * @returns absolute link → where it leads, or null where no link was seen.
 */
export async function linksUnder(paths: readonly PathReading[], workspace: string | null): Promise<Record<string, string> | null> {
  const links: Record<string, string> = {};
  const named = new Set(paths.flatMap((reading) => (reading.path === null ? [] : [reading.path])));
  // Whoever looks at a path looks at the folders above it, the workspace among them; one look takes 9 µs of CPU.
  if (workspace !== null && ![...named].some((path) => isWithinReach(path, workspace))) named.add(workspace);
  await Promise.all([...named].map((path) => collect(path, links)));
  return Object.keys(links).length > 0 ? links : null;
}

/** Whether looking at a path comes to the workspace above it. */
function isWithinReach(path: string, workspace: string): boolean {
  return path.startsWith(`${workspace}/`) && path.slice(workspace.length).split('/').length <= DEPTH_MAX;
}

/** One realpath tells whether there is any link at all; only then is every part looked at. */
async function collect(path: string, links: Record<string, string>): Promise<void> {
  const existing = await deepestExisting(path);
  if (existing === null || existing.real === existing.path) return;
  const parts = existing.path.split('/').filter(Boolean).slice(0, DEPTH_MAX);
  let prefix = '/';
  for (const part of parts) {
    prefix = join(prefix, part);
    const info = await lstat(prefix).catch(() => null);
    if (info?.isSymbolicLink()) links[prefix] = resolve(dirname(prefix), await readlink(prefix).catch(() => prefix));
  }
}

async function deepestExisting(path: string): Promise<{ path: string; real: string } | null> {
  let candidate = path;
  for (let step = 0; step < DEPTH_MAX; step++) {
    const real = await realpath(candidate).catch((error: NodeJS.ErrnoException) => (error.code === 'ELOOP' ? '\u0000loop' : null));
    if (real !== null) return { path: candidate, real };
    // A dangling link is a link too: it exists as itself.
    const info = await lstat(candidate).catch(() => null);
    if (info) return { path: candidate, real: '\u0000dangling' };
    const parent = dirname(candidate);
    if (parent === candidate) return null;
    candidate = parent;
  }
  return null;
}
