import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSouls } from '../../control/souls.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

let services: Services;
let repository: string;
beforeAll(async () => {
  services = await startServices();
  repository = mkdtempSync(join(tmpdir(), 'mc-souls-'));
  mkdirSync(join(repository, 'souls'));
  git('init', '--quiet');
  write(
    'writer.yaml',
    'description: Writes\nautonomyLevel: specialist\nbudgets: { dailyCap: 3 }\ntoolPermissions: [read_file, write_file]\n',
  );
  write('broken.yaml', 'autonomyLevel: king\n');
  write('notes.txt', 'not a template');
  commit('first');
});
afterAll(async () => {
  rmSync(repository, { recursive: true, force: true });
  await services.close();
});

const git = (...args: string[]) =>
  execFileSync('git', ['-C', repository, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], { encoding: 'utf8' }).trim();
const write = (name: string, text: string) => writeFileSync(join(repository, 'souls', name), text);
function commit(message: string): string {
  git('add', '-A');
  git('commit', '--quiet', '-m', message);
  return git('rev-parse', 'HEAD');
}

describe('agent templates', () => {
  it('make agents that remember their commit, and show who runs an older one', async () => {
    const souls = createSouls({ db: services.db, agents: services.agents, folder: join(repository, 'souls') });
    const first = git('rev-parse', 'HEAD');
    const agent = await souls.createAgent(ADMIN, 'writer', { name: 'Ida' });
    expect(agent).toMatchObject({
      name: 'Ida',
      autonomyLevel: 'specialist',
      soulHash: first,
      toolPermissions: ['read_file', 'write_file'],
    });
    expect(agent.budgets.dailyCap).toBe(3);
    const writer = async () => (await souls.list()).find(({ name }) => name === 'writer');
    expect((await writer())?.agents).toEqual([{ id: agent.id, name: 'Ida', soulHash: first, drifted: false }]);

    // What is not committed does not count; a commit about something else is none of its own.
    write('writer.yaml', 'autonomyLevel: lead\n');
    expect((await writer())?.template?.autonomyLevel).toBe('specialist');
    write('notes.txt', 'more');
    git('add', 'souls/notes.txt');
    git('commit', '--quiet', '-m', 'notes');
    expect((await writer())?.hash).toBe(first);
    const second = commit('writer leads');
    expect(await writer()).toMatchObject({ hash: second, template: { autonomyLevel: 'lead' }, agents: [{ drifted: true }] });
  });

  it('that cannot be used say why', async () => {
    const souls = createSouls({ db: services.db, agents: services.agents, folder: join(repository, 'souls') });
    expect((await souls.list()).map(({ name }) => name)).toEqual(['broken', 'writer']);
    await expect(souls.createAgent(ADMIN, 'broken', { name: 'x' })).rejects.toThrow(/broken cannot be used: autonomyLevel/);
    await expect(souls.createAgent(ADMIN, 'nobody', { name: 'x' })).rejects.toMatchObject({ status: 404 });
    const nowhere = createSouls({ db: services.db, agents: services.agents, folder: tmpdir() });
    await expect(nowhere.list()).rejects.toMatchObject({ status: 503, code: 'SOULS_UNAVAILABLE' });
    expect(await createSouls({ db: services.db, agents: services.agents, folder: null }).list()).toEqual([]);
  });
});
