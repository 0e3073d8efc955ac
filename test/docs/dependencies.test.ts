/** docs/dependencies.md lists what package.json names, with the licences that are really there, and nothing runs at install time. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
interface Manifest {
  version: string;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  scripts: Record<string, string>;
  allowScripts: Record<string, boolean>;
  scarfSettings: { enabled: boolean };
}
interface Locked {
  version?: string;
  license?: string;
  integrity?: string;
  resolved?: string;
  dev?: boolean;
  optional?: boolean;
  link?: boolean;
  hasInstallScript?: boolean;
}
const manifest = JSON.parse(read('package.json')) as Manifest;
const lock = (JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }).packages;
const named = { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.devDependencies };
const listed = [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$/gm)].map(
  ([, name = '', why = '', licence = '', keeper = '']) => ({ name, why: why.trim(), licence: licence.trim(), keeper: keeper.trim() }),
);
const MAY_RUN = ['MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'Unlicense', '0BSD', 'BlueOak-1.0.0'];

describe('the dependencies', () => {
  it('are listed, each with a reason, its licence and who keeps it', () => {
    expect(listed.map(({ name }) => name).toSorted()).toEqual(Object.keys(named).toSorted());
    for (const { name, why, licence, keeper } of listed) {
      expect(lock[`node_modules/${name}`]?.license, name).toBe(licence);
      expect([why.length > 5, keeper.length > 1], name).toEqual([true, true]);
    }
  });

  it('are pinned to one version and its hash, and the lock file names no registry', () => {
    for (const [name, version] of Object.entries(named)) expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    for (const [path, entry] of Object.entries(lock)) {
      if (path === '' || entry.link) continue;
      expect(entry.integrity, path).toMatch(/^sha512-/);
      expect(entry.resolved, path).toBeUndefined();
    }
  });

  it('have licences that may be in what runs', () => {
    const running = Object.entries(lock).filter(([path, { dev }]) => path !== '' && dev !== true);
    expect(running.length).toBeGreaterThan(50);
    for (const [path, { license }] of running) expect(MAY_RUN, `${path}: ${license}`).toContain(license);
  });

  it('run nothing when they are installed', () => {
    const withScript = Object.entries(lock)
      // Optional ones of other systems are not installed here, and their scripts are looked at there.
      .filter(([, entry]) => entry.hasInstallScript)
      .map(([path]) => path.replace(/^.*node_modules\//, ''));
    expect(withScript.filter((name) => manifest.allowScripts[name] !== false && name !== 'fsevents')).toEqual([]);
    expect(Object.values(manifest.allowScripts)).not.toContain(true);
    expect(manifest.scarfSettings.enabled).toBe(false);
  });

  it('are in the bill of materials, and what only builds and tests is marked there', () => {
    const [, ...args] = (manifest.scripts.sbom ?? '').split(' ');
    const root = new URL('../..', import.meta.url);
    const { stdout, status } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
    expect(status).toBe(0);
    const bill = JSON.parse(stdout) as { bomFormat: string; components: { purl: string; properties?: { name: string }[] }[] };
    expect(bill.bomFormat).toBe('CycloneDX');
    // A package may be there twice, in a version that runs and in one that only builds.
    const running = bill.components
      .filter(({ properties = [] }) => !properties.some(({ name }) => name === 'cdx:npm:package:development'))
      .map(({ purl }) => decodeURIComponent(purl).replace(/^pkg:npm\/(.+)@[^@]*$/, '$1'));
    for (const name of Object.keys(manifest.dependencies)) expect(running, name).toContain(name);
    for (const name of ['vitest', 'knip', 'playwright-core']) expect(running).not.toContain(name);
  });
});
