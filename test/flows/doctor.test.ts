/** `doctor` says what is wrong and how to mend it: each fault is made, found by its own words with a remedy, and gone when it is mended. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examine } from '../../control/commands/doctor.ts';
import { readSettings } from '../../settings.ts';
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { freePort, newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
let openclaw: FakeOpenClaw;
const closing: (() => unknown)[] = [];
beforeAll(async () => {
  world = await startWorld();
  openclaw = await FakeOpenClaw.start();
});
afterAll(async () => {
  for (const close of closing) await close();
  await openclaw.stop();
  await world.close();
});

/** The settings that the world was started with, as somebody at its terminal has them. */
function environment(): Record<string, string> {
  return {
    MC_DATA_DIR: world.dataDir,
    MC_CONTROL_PORT: new URL(world.controlUrl).port,
    MC_PROXY_PORT: new URL(world.gateUrl).port,
    MC_EGRESS_PORT: new URL(world.egressUrl).port,
  };
}
const look = (changed: Record<string, string> = {}, now?: number, room = 0) =>
  examine(readSettings({ ...environment(), ...changed }, '/nowhere-in-particular'), now, room);

/** What is wrong, one a line, with what to do. */
async function faults(changed: Record<string, string> = {}, now?: number, room?: number): Promise<string> {
  const findings = await look(changed, now, room);
  for (const { ok, subject, remedy } of findings) if (!ok && !subject.startsWith('alert')) expect(remedy, subject).toMatch(/\S.{10,}/);
  return findings
    .filter(({ ok }) => !ok)
    .map(({ subject, says, remedy }) => `${subject}: ${says} → ${remedy ?? ''}`)
    .join('\n');
}

async function serve(answer: RequestListener): Promise<string> {
  const server: Server = createServer(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return String((server.address() as AddressInfo).port);
}

describe('on this machine', () => {
  it('an installation that was only just started lacks an OpenClaw, and nothing else', async () => {
    expect(await faults()).toBe(
      'OpenClaw: no gateway is connected → Connect one: npm run -s mc -- openclaw connect --config ~/.openclaw/openclaw.json',
    );
  });

  it('nothing runs, and nothing ever did', async () => {
    const nowhere = {
      MC_DATA_DIR: '/nowhere-in-particular/data',
      MC_CONTROL_PORT: String(await freePort()),
      MC_ADMIN_TOKEN: 'x'.repeat(16),
    };
    expect(await faults(nowhere)).toMatch(
      /^data folder: .* does not exist: nothing was ever started .*npm start.*\ncontrol: nothing answers .*npm start$/s,
    );
  });

  it('it runs, and is asked at another port', async () => {
    expect(await faults({ MC_CONTROL_PORT: String(await freePort()) })).toMatch(
      new RegExp(`^control: process ${world.pid()} holds .*nothing answers.*MC_CONTROL_PORT`),
    );
  });

  it('another program has the port', async () => {
    for (const answer of [
      (_: unknown, response: { end: (text: string) => void }) => response.end('<html>hello</html>'),
      (_: unknown, response: { writeHead: (status: number) => { end: (text: string) => void } }) => response.writeHead(404).end('no'),
    ])
      expect(await faults({ MC_CONTROL_PORT: await serve(answer) })).toMatch(
        /^control: what answers at .* is not Mission Control → Another program has that port/,
      );
  });

  it('its database does not answer', async () => {
    const port = await serve((request, response) => {
      const isReady = request.url === '/readyz';
      response.writeHead(isReady ? 503 : 500, { 'content-type': 'application/problem+json' });
      response.end(
        isReady ? 'not ready' : '{"status":500,"code":"INTERNAL","title":"Internal error","detail":"Something broke on our side."}',
      );
    });
    expect(await faults({ MC_CONTROL_PORT: port })).toMatch(
      /^control: it answers, and its database does not → Look whether the database server runs/,
    );
  });

  it('the credential is not there, unknown, or of somebody who may not', async () => {
    const token = join(world.keyDir, 'cli-token');
    renameSync(token, `${token}.away`);
    expect(await faults()).toMatch(/^credential: .*cli-token is not there.*Restart Mission Control.*\ncontrol: There is no credential/s);
    renameSync(`${token}.away`, token);
    expect(await faults({ MC_ADMIN_TOKEN: 'not the right token' })).toMatch(
      /^control: .* does not know our credential → MC_ADMIN_TOKEN must be the one/,
    );
    const agent = await newAgent(world);
    expect(await faults({ MC_ADMIN_TOKEN: agent.token })).toMatch(/^control: This is for people/);
  });

  it('folders and keys that others may read', async () => {
    for (const [path, mode, says] of [
      [world.dataDir, 0o700, `data folder: ${world.dataDir} can be read by other users .*chmod 700`],
      [world.keyDir, 0o700, `key folder: ${world.keyDir} can be read by other users .*chmod 700`],
      [join(world.keyDir, 'master.key'), 0o600, 'key: .*master.key can be read by other users.*chmod 600'],
    ] as const) {
      chmodSync(path, 0o755);
      expect(await faults()).toMatch(new RegExp(`^${says}`));
      chmodSync(path, mode);
    }
    expect(await faults()).not.toContain('can be read');
  });

  it('keys that are gone or damaged, and a disk without room', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mc-doctor-'));
    closing.push(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, 'data', 'pg'), { recursive: true, mode: 0o700 });
    const elsewhere = { MC_DATA_DIR: join(folder, 'data'), MC_CONTROL_PORT: String(await freePort()) };
    expect(await faults(elsewhere)).toMatch(
      /^key folder: .* holds no key, and the data in .* was sealed with one → Bring the key folder back/,
    );
    mkdirSync(join(folder, 'data-keys'), { mode: 0o700 });
    writeFileSync(join(folder, 'data-keys', 'master.key'), 'too short', { mode: 0o600 });
    expect(await faults(elsewhere)).toMatch(/^key: .*master.key is damaged: 9 bytes instead of 32 → Bring it back/);
    expect(await faults({}, undefined, Number.MAX_SAFE_INTEGER)).toMatch(/^disk: \d+ MiB are free where .* → Make room/);
  });
});

describe('in what runs', () => {
  it('clocks that differ, and a gate that is not where agents look for it', async () => {
    expect(await faults({}, Date.now() - 600_000)).toMatch(/^clock: control and this machine differ by (599|600|601) s.*NTP/);
    expect(await faults({ MC_PROXY_PORT: String(await freePort()) })).toMatch(
      /gate: a proxy is connected, but nothing answers at .*MC_PROXY_PORT/,
    );
    expect(await faults({ MC_PROXY_PORT: await serve((_, response) => response.writeHead(404).end()) })).toMatch(
      /gate: .* something else answers/,
    );
    expect(await faults({ MC_PROXY_PORT: await serve((_, response) => response.writeHead(503).end()) })).toMatch(
      /gate: .* cannot judge: every call is refused.*log of the proxy/,
    );
  });

  it('agents without a workspace, with ours in it, or in quarantine', async () => {
    const bare = await newAgent(world, { workspace: null });
    const nosy = await newAgent(world, { workspace: join(world.keyDir, '..') });
    const sick = await newAgent(world);
    await world.api('POST', `/agents/${sick.id}/quarantine`, { reason: 'for a test' });
    const found = await faults();
    expect(found).toMatch(new RegExp(`agent ${bare.name}: has no workspace, so every path is outside and held → Set it: PATCH`));
    expect(found).toMatch(new RegExp(`agent ${nosy.name}: .* it may read our keys or data → Give it a workspace of its own`));
    expect(found).toMatch(new RegExp(`agent ${sick.name}: is quarantined.* → Find out why`));
    expect(found).toMatch(/alert \(high\): .*is quarantined/);
    for (const { id } of [bare, nosy, sick]) await world.api('DELETE', `/agents/${id}`);
  });

  it('a gateway that is away, refuses us, has no address, no plugin, no agents, or an old plugin', async () => {
    const wanted = async (says: RegExp) => {
      let last = '';
      await until(
        async () => {
          last = await faults();
          return last;
        },
        (text) => says.test(text),
      );
      return last;
    };
    const add = async (name: string, fields: object) =>
      (await world.api<{ id: string; token: string }>('POST', '/gateways', { name, ...fields })).body;
    const away = await add('away', { url: `ws://127.0.0.1:${await freePort()}`, token: 'x' });
    await wanted(/gateway away: ws:.* cannot be reached .* → Start OpenClaw/);
    const homeless = await add('homeless', {});
    const found = await wanted(/gateway homeless: has no address, so agents cannot be told/);
    expect(found).toMatch(/gateway homeless: its plugin has not been heard.* → Start or restart the gateway/);
    expect(found).toMatch(/gateway homeless: has no registered agents → Run openclaw connect again/);
    expect((await world.gate('POST', '/v1/heartbeats', { pluginVersion: '0.0.1' }, homeless.token)).status).toBe(200);
    await wanted(/gateway homeless: its plugin is version 0\.0\.1; this Mission Control ships .* → Bring it up to date/);
    const refused = await add('refused', { url: openclaw.url, token: 'not its token' });
    await wanted(/gateway refused: .* refuses our token .* → Run openclaw connect again/);
    for (const { id } of [away, homeless, refused]) await world.api('DELETE', `/gateways/${id}`);
  });

  it('a service that does not answer, and a channel that nobody hears', async () => {
    const agent = await newAgent(world);
    const dead = `http://127.0.0.1:${await freePort()}`;
    const routes = [{ method: 'GET', path: '/**', tool: 'look', risk: 'green' }];
    const tool = await world.api<{ id: string }>('POST', '/upstreams', {
      name: 'gone',
      kind: 'http',
      url: dead,
      allowPrivate: true,
      routes,
    });
    const channel = await world.api<{ id: string }>('POST', '/channels', {
      name: 'deaf',
      kind: 'webhook',
      destination: `${dead}/hook`,
      allowPrivate: true,
    });
    expect(channel.status, JSON.stringify(channel.body)).toBe(201);
    await fetch(`${world.gateUrl}/http/gone/x`, { headers: { authorization: `Bearer ${agent.token}` } });
    await world.api('POST', `/channels/${channel.body.id}/test`, {});
    await until(
      () => faults(),
      (text) =>
        /upstream gone: does not answer .* → Look whether it runs/.test(text) &&
        /channel deaf: cannot be reached .* → Look at its token/.test(text),
    );
    await world.api('DELETE', `/upstreams/${tool.body.id}`);
    await world.api('DELETE', `/channels/${channel.body.id}`);
  });

  it('a paused squad and a stop', async () => {
    await world.api('POST', '/emergency/pause-squad', { reason: 'for a test' });
    expect(await faults()).toMatch(/squad: all agents are paused by admin → Restart the agents/);
    await world.api('POST', '/emergency/stop', { reason: 'for a test' });
    expect(await faults()).toMatch(/emergency stop: everything is stopped by admin: for a test → When it is safe: npm run -s mc -- resume/);
    await world.api('POST', '/emergency/resume', { note: 'over' });
  });
});

describe('the command', () => {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, ['cli.ts', 'doctor', ...args], {
      env: { ...CHILD_ENV, ...environment() },
      encoding: 'utf8',
      cwd: join(import.meta.dirname, '..', '..'),
    });

  it('prints what is well and what is wrong, and ends with 1 where something is', () => {
    const { status, stdout } = run();
    expect(status).toBe(1);
    expect(stdout).toMatch(/^ok {5}control: answers at .*\n/m);
    expect(stdout).toMatch(/^WRONG {2}OpenClaw: no gateway is connected\n {7}Connect one: /m);
  });
});
