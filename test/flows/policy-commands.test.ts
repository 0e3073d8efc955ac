import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gateOf } from '../support/calls.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const SHIPPED = join(ROOT, 'policies', 'default.yaml');
const LOCKED_DOWN = join(ROOT, 'policies', 'profiles', 'locked-down.yaml');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mc-policy-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

function run(args: readonly string[], env: Record<string, string> = {}): Promise<{ code: number; out: string; errors: string }> {
  return new Promise((resolve) => {
    const options = { cwd: ROOT, env: { ...CHILD_ENV, HOME: folder, MC_DATA_DIR: join(folder, 'data'), ...env } };
    execFile(process.execPath, ['cli.ts', 'policy', ...args], options, (error, out, errors) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, errors });
    });
  });
}

describe('policy check', () => {
  it('accepts the shipped policy and names every mistake of another one, with its place', async () => {
    expect(await run(['check', SHIPPED])).toMatchObject({ code: 0, out: `${SHIPPED}: ok\n` });
    expect((await run(['check', SHIPPED, '--patch', LOCKED_DOWN])).code).toBe(0);
    const wrong = file('wrong.yaml', 'riskMap:\n  web_search: purple\nnothing: 1\n');
    const text = await run(['check', wrong]);
    expect(text.code).toBe(1);
    expect(text.out).toContain(`${wrong}:2:3: riskMap.web_search: `);
    const { out, code } = await run(['check', wrong, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ ok: false });
    expect(JSON.parse(out).errors).toContainEqual(expect.objectContaining({ path: 'nothing', line: 3 }));
  });

  it('says what it cannot read, and how it is used', async () => {
    expect(await run(['check', join(folder, 'nowhere.yaml')])).toMatchObject({ code: 1, errors: expect.stringContaining('nowhere.yaml') });
    expect((await run(['check'])).code).toBe(2);
    expect((await run(['frobnicate'])).code).toBe(2);
  });
});

describe('policy test', () => {
  it('judges the shipped cases by the shipped policy, without anything that runs', async () => {
    const { code, out } = await run(['test', '--json']);
    const { ok, judged, failed } = JSON.parse(out);
    expect([code, ok, failed]).toEqual([0, true, 0]);
    expect(judged).toBeGreaterThan(1_000);
  });

  it('fails where a case does not come out as it says', async () => {
    const cases = file(
      'cases.yaml',
      [
        'defaults: { agent: { autonomy: specialist, status: active } }',
        'cases:',
        '  - { id: looking, tool: exec, arguments: { command: ls }, expect: { verdict: allow } }',
        '  - { id: mailing, tool: send_email, arguments: { to: a@example.com }, expect: { verdict: hold, codes: [RED_ACTION] } }',
      ].join('\n'),
    );
    expect(await run(['test', cases])).toMatchObject({ code: 0, out: '2 of 2 cases as expected\n' });
    const locked = await run(['test', cases, '--policy', SHIPPED, '--patch', LOCKED_DOWN]);
    expect(locked.code).toBe(1);
    expect(locked.out).toContain('FAILED looking: the verdict is hold instead of allow');
    expect(locked.out).not.toContain('mailing');
    const odd = file('odd.json', '{"cases": [{"expect": {"verdict": "maybe"}}]}');
    expect(await run(['test', odd])).toMatchObject({ code: 1, errors: expect.stringContaining('cases.0.expect.verdict') });
    const broken = file('broken.yaml', 'riskMap: [');
    expect(await run(['test', cases, '--policy', broken])).toMatchObject({ code: 1, errors: expect.stringContaining('broken.yaml:1') });
  });
});

describe('with a product that runs', () => {
  let world: World;
  let env: Record<string, string>;
  beforeAll(async () => {
    world = await startWorld();
    env = { MC_CONTROL_PORT: new URL(world.controlUrl).port, MC_ADMIN_TOKEN: 'test-admin-token-0123456789' };
    const gate = gateOf(world, (await newAgent(world)).token);
    await gate.note();
    await gate.call('send_email', { to: 'a@example.com' });
    await until(
      async () => (await world.api<{ items: object[] }>('GET', '/tool-calls')).body.items.length,
      (length) => length === 2,
    );
  });
  afterAll(() => world.close());

  it('policy simulate prints verdict, risk and codes of each case', async () => {
    const agent = { autonomy: 'specialist', status: 'active' };
    const cases = file('simulate.json', JSON.stringify([{ id: 'one', tool: 'exec', arguments: { command: 'make' }, agent }]));
    expect(await run(['simulate', cases], env)).toMatchObject({ code: 0, out: 'hold   yellow  one  SHELL_NOT_ALLOWLISTED\n' });
    const { out } = await run(['simulate', cases, '--patch', LOCKED_DOWN, '--json'], env);
    expect(JSON.parse(out).results[0]).toMatchObject({ id: 'one', verdict: 'hold' });
    expect(await run(['simulate', cases, '--policy', 'v99'], env)).toMatchObject({ code: 1, errors: expect.stringContaining('v99') });
  });

  it('policy replay says what a draft changes, and fails where red calls would be let run', async () => {
    const same = await run(['replay'], env);
    expect(same).toMatchObject({ code: 0, out: expect.stringContaining('calls: 2 judged, 2 the same') });
    const open = file('open.yaml', `rules:\n  - { when: 'call.tool == "send_email"', effect: allow, overrides: red }\n`);
    const opened = await run(['replay', '--patch', open, '--since', '1h'], env);
    expect(opened.code).toBe(1);
    expect(opened.out).toMatch(/hold -> allow: 1 calls/);
    expect(opened.out).toContain('red calls or cases would be let run');
    const { out } = await run(['replay', 'v1', '--json'], env);
    expect(JSON.parse(out)).toMatchObject({ status: 'done', policy: { name: 'v1' } });
    expect((await run(['replay', '--since', 'yesterday'], env)).code).toBe(1);
    expect(await run(['replay'], { ...env, MC_CONTROL_PORT: '1' })).toMatchObject({
      code: 1,
      errors: expect.stringContaining('does not answer'),
    });
  });
});
