/**
 * Rivals that come from the npm registry, installed into a cache folder that is no part of the product, at fixed versions. A rival that
 * cannot be had is left out, and the report says so.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const VERSIONS = { 'mcp-proxy': '6.7.19', supergateway: '4.0.0', '@portkey-ai/gateway': '1.15.2' };
export type Rival = keyof typeof VERSIONS;

/** Installs a rival where it is not there yet. @returns the path of its program and its version, or the reason why there is none. */
export function findRival(name: Rival, cacheFolder: string): { path: string; version: string } | { missing: string } {
  const folder = join(cacheFolder, `${name}-${VERSIONS[name]}`);
  const home = join(folder, 'node_modules', name);
  try {
    if (!existsSync(home)) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'rival', private: true }));
      const args = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--save-exact', `${name}@${VERSIONS[name]}`];
      execFileSync('npm', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
    }
    const { bin, version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as {
      bin: string | Record<string, string>;
      version: string;
    };
    const program = typeof bin === 'string' ? bin : bin[name];
    if (program === undefined) return { missing: `${name} has no program` };
    return { path: join(home, program), version };
  } catch (error) {
    return { missing: `${name} could not be installed: ${error instanceof Error ? error.message : error}` };
  }
}
