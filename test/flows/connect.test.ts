/** `openclaw connect` and its way back, from the command line: what it issues works, and works no longer once it is undone. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CHILD_ENV } from '../support/child-env.ts';
import { startWorld, type World } from '../support/world.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const BEFORE = `{\n  gateway: { mode: 'local', port: 18901, auth: { mode: 'token', token: 'gw-secret' } }, // mine\n  agents: { entries: { main: {}, ops: {} } },\n}\n`;

let world: World;
let folder: string;
let configFile: string;
beforeAll(async () => {
  world = await startWorld();
  folder = mkdtempSync(join(tmpdir(), 'mc-connect-'));
  configFile = join(folder, 'openclaw.json');
  writeFileSync(configFile, BEFORE);
});
afterAll(async () => {
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

function connect(more: readonly string[] = [], env: Record<string, string> = {}): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, ['cli.ts', 'openclaw', 'connect', '--config', configFile, '--yes', ...more], {
    cwd: ROOT,
    env: {
      ...CHILD_ENV,
      HOME: folder,
      MC_DATA_DIR: world.dataDir,
      MC_KEY_DIR: world.keyDir,
      MC_CONTROL_URL: world.controlUrl,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  return new Promise((resolve) => child.once('exit', (code) => resolve({ code, said })));
}

/** The tokens as they stand in OpenClaw's folder. */
function tokensNow() {
  const agents = new Set(readFileSync(configFile, 'utf8').match(/mca_[\w-]+/g));
  return { agents: [...agents], gateway: readFileSync(join(folder, 'mission-control', 'token'), 'utf8').trim() };
}

const works = async (token: string) => {
  const { status } = await world.gate('POST', '/v1/heartbeats', {}, token);
  expect([400, 401, 403]).toContain(status); // who asks is settled before what: a known credential is told something else than 401
  return status !== 401;
};

it('revokes with --undo what connect has issued, also where it was run twice', async () => {
  expect(await connect()).toMatchObject({ code: 0 });
  const first = tokensNow();
  expect(await connect()).toMatchObject({ code: 0 });
  const second = tokensNow();
  // Agents keep their token; the gate gets a new one.
  expect(second.agents).toEqual(first.agents);
  expect(second.agents).toHaveLength(2);
  for (const token of [...second.agents, second.gateway]) expect(await works(token)).toBe(true);
  const { code, said } = await connect(['--undo']);
  expect([code, said]).toEqual([0, expect.stringContaining('Revoked 3 tokens')]);
  expect(readFileSync(configFile, 'utf8')).toBe(BEFORE);
  for (const token of [...second.agents, first.gateway, second.gateway]) expect(await works(token)).toBe(false);
}, 120_000);

it('leads back without control too, and names the tokens that still work', async () => {
  expect(await connect()).toMatchObject({ code: 0 });
  const { code, said } = await connect(['--undo'], { MC_CONTROL_URL: 'http://127.0.0.1:9' });
  expect(code).toBe(0);
  expect(said.match(/DELETE \/api\/(agents|gateways)\/\S+\/tokens\/\S+/g)).toHaveLength(3);
  expect(readFileSync(configFile, 'utf8')).toBe(BEFORE);
}, 120_000);
