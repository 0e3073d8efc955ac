/** What deploy/ says about the product is so: settings that exist, metrics that are served, files that are there. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readSettings, SETTINGS } from '../../settings.ts';
import { findProgram } from '../setup/programs.ts';

const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy');
const read = (...path: string[]) => readFileSync(join(DEPLOY, ...path), 'utf8');
interface Service {
  image: string;
  env_file?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
}
const { services, volumes } = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
const ours = Object.entries(services).filter(([, { image }]) => image.startsWith('mission-control'));
const environmentOf = ({ env_file = [], environment = {} }: Service) => ({
  ...Object.assign({}, ...env_file.map((file) => parseEnv(read(file)))),
  ...Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [name, value.replaceAll(/\$\{\w+(?::[?-][^}]*)?\}/g, 'a-value-from-the-env-file')]),
  ),
});

describe('the compose file', () => {
  it('has two controls, workers and two proxies, each with settings that it can start with', () => {
    const roles = ours.map(([, service]) => environmentOf(service).MC_ROLE);
    expect(roles.toSorted()).toEqual(['control', 'control', 'proxy', 'proxy', 'workers']);
    for (const [name, service] of ours) {
      const environment = environmentOf(service);
      for (const key of Object.keys(environment)) expect(SETTINGS, `${name}: ${key}`).toHaveProperty(key);
      expect(() => readSettings(environment, '/nowhere'), name).not.toThrow();
    }
  });

  it('gives each process data of its own, and the keys to those that need them', () => {
    const data = ours.map(([, service]) => service.volumes?.find((volume) => volume.endsWith(':/data')));
    expect(new Set(data).size).toBe(ours.length);
    for (const [name, service] of ours)
      expect(service.volumes?.includes('keys:/keys'), name).toBe(environmentOf(service).MC_ROLE !== 'proxy');
    for (const { volumes: used = [] } of Object.values(services))
      for (const volume of used) {
        const [source = ''] = volume.split(':');
        if (source.startsWith('.')) expect(existsSync(join(DEPLOY, source)), source).toBe(true);
        else expect(volumes).toHaveProperty(source);
      }
  });

  it('names every secret that it asks for in .env.example', () => {
    const asked = [...read('docker-compose.yml').matchAll(/\$\{(\w+)/g)].map(([, name]) => name ?? '');
    expect(Object.keys(parseEnv(read('.env.example')))).toEqual(expect.arrayContaining([...new Set(asked)]));
  });
});

describe('what watches', () => {
  const promtool = findProgram(['promtool']);
  it('alerts as its own tests say', () => {
    for (const args of [
      ['check', 'rules', 'rules.yml'],
      ['test', 'rules', 'rules.test.yml'],
    ]) {
      const { status, stdout, stderr } = spawnSync(promtool ?? '', args, { cwd: DEPLOY, encoding: 'utf8' });
      expect({ args, status, said: status === 0 ? '' : stdout + stderr }).toEqual({ args, status: 0, said: '' });
    }
  });

  it('scrapes the proxies and controls of the compose file, which all take its token', () => {
    const { scrape_configs } = parse(read('prometheus.yml')) as { scrape_configs: { static_configs: { targets: string[] }[] }[] };
    const targets = scrape_configs.flatMap((job) => job.static_configs.flatMap((group) => group.targets));
    const ports: Record<string, number> = { proxy: 3100, control: 3000 };
    const served = ours.flatMap(([name, service]) => {
      const { MC_ROLE, MC_METRICS_TOKEN } = environmentOf(service);
      if (MC_ROLE === undefined || ports[MC_ROLE] === undefined) return [];
      expect(MC_METRICS_TOKEN, name).toBeTruthy();
      return [`${name}:${ports[MC_ROLE]}`];
    });
    expect(targets.toSorted()).toEqual(served.toSorted());
  });
});
