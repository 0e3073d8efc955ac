/** The Dockerfile keeps the rules of the trade, and what it copies is all that runs. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assembleImage, copiedHere, readStages } from '../../deploy/image.ts';
import { SETTINGS } from '../../settings.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const stages = readStages();
const last = stages.at(-1) ?? [];
const all = stages.flat();
const textsOf = (name: string, of = last) => of.flatMap((one) => (one.name === name ? one.text : []));

describe('the Dockerfile', () => {
  it('builds on one tagged base of the Node that the product needs', () => {
    const bases = textsOf('FROM', all).map((text) => text.split(/\s+/)[0]);
    const { engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { engines: { node: string } };
    expect(new Set(bases).size).toBe(1);
    expect(bases[0]).toMatch(new RegExp(`^node:${/\d+/.exec(engines.node)?.[0]}-\\w+-slim$`));
  });

  it('runs no scripts of others at its build, fetches nothing past npm, and needs no shell at its start', () => {
    const runs = textsOf('RUN', all).join(' && ');
    for (const command of runs.match(/npm (?:ci|prune|install)[^&]*/g) ?? []) expect(command).toContain('--ignore-scripts');
    expect(runs).not.toMatch(/npm install|curl|wget|sudo|chmod 777/);
    expect(textsOf('ADD', all)).toEqual([]);
    expect(textsOf('CMD')).toEqual([expect.stringMatching(/^\["node", .*\]$/)]);
    expect(textsOf('HEALTHCHECK')).toEqual([expect.stringMatching(/CMD \["node", .*\]$/)]);
  });

  it('runs as somebody who can write its volumes and nothing of its code', () => {
    const order = last.map(({ name }) => name);
    expect(textsOf('USER')).toEqual(['node']);
    expect(order.lastIndexOf('RUN')).toBeLessThan(order.indexOf('USER'));
    const volumes = JSON.parse(textsOf('VOLUME')[0] ?? '[]') as string[];
    expect(textsOf('RUN')).toEqual([`install -d -o node -g node -m 0700 ${volumes.join(' ')}`]);
    expect(order.indexOf('RUN')).toBeLessThan(order.indexOf('VOLUME'));
    for (const copy of textsOf('COPY')) expect(copy).toContain('--chown=root:root');
    const set = Object.fromEntries(textsOf('ENV').flatMap((text) => text.split(' ').map((pair) => pair.split('='))));
    expect([set.MC_DATA_DIR, set.MC_KEY_DIR]).toEqual(volumes);
    for (const name of Object.keys(set)) if (name.startsWith('MC_')) expect(SETTINGS).toHaveProperty(name);
  });

  it('takes nothing secret and nothing of this machine into its build', () => {
    const ignored = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n');
    expect(ignored).toEqual(
      expect.arrayContaining(['.git', 'node_modules', 'data', 'data-keys', '**/.env', 'deploy/metrics-token', 'mission-control.yaml']),
    );
    for (const { from } of copiedHere()) {
      expect(existsSync(join(ROOT, from)), from).toBe(true);
      expect(ignored.filter((pattern) => pattern !== '' && from.split('/')[0] === pattern)).toEqual([]);
    }
  });

  it('copies all that the command line needs', () => {
    const folder = mkdtempSync(join(tmpdir(), 'mc-image-'));
    try {
      assembleImage(folder);
      symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
      const { status, stderr } = spawnSync(process.execPath, ['cli.ts', '--version'], { cwd: folder, encoding: 'utf8' });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
