/** One proxy as two processes behind one port, at a real control on PostgreSQL and Redis: whichever connection a request comes by, it is one proxy. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openServerDatabase } from '../../control/db/database.ts';
import { type Control, startControl } from '../../control/main.ts';
import { startCountingServer } from '../mcp/counting-server.ts';
import { connect, newUpstream } from '../mcp/gate.ts';
import { usePolicy } from '../support/calls.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { ADMIN_TOKEN, joinWorld, newAgent, type ReachableWorld, until, type World } from '../support/world.ts';

const SECRET = 'cluster-secret-0123456789';
const METRICS = 'metrics-token-0123456789';
/** For processes to come up on a machine that is busy with others. */
const START_MS = 90_000;
/** Below what the policy allows in a minute. */
const PACE_MS = 100;
const ROOT = join(import.meta.dirname, '..', '..');

let folder: string;
let postgres: PostgresServer;
let redis: RedisServer;
let databaseUrl: string;
let control: Control;
let group: Group;
let world: ReachableWorld;
let agent: { id: string; token: string };
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mc-workers-'));
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  databaseUrl = await postgres.createDatabase();
  control = await startControl(
    {
      host: '127.0.0.1',
      port: 0,
      dataDir: join(folder, 'control'),
      keyDir: join(folder, 'keys'),
      databaseUrl,
      adminToken: ADMIN_TOKEN,
      clusterSecret: SECRET,
      redisUrl: redis.url,
      openclaw: null,
      allowCommands: true,
      keepDays: 0,
      dashboardDir: folder,
      version: 'test',
    },
    pino({ level: 'silent' }),
    Date.now,
  );
  group = await startGroup(2);
  world = joinWorld(control.url, group.url);
  agent = await newAgent(world);
}, START_MS);
afterAll(async () => {
  group?.child.kill('SIGKILL');
  await control?.close();
  await redis?.close();
  await postgres?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Group {
  child: ChildProcess;
  url: string;
  egressUrl: string;
  /** Exit code. */
  ended: Promise<number | null>;
}

async function startGroup(workers: number): Promise<Group> {
  const child = spawn(process.execPath, ['cli.ts', 'start'], {
    cwd: ROOT,
    env: {
      ...CHILD_ENV,
      MC_ROLE: 'proxy',
      MC_PROXY_WORKERS: String(workers),
      MC_PROXY_PORT: '0',
      MC_EGRESS_PORT: '0',
      MC_DATA_DIR: join(folder, 'proxy'),
      MC_CONTROL_URL: control.url,
      MC_CLUSTER_SECRET: SECRET,
      MC_METRICS_TOKEN: METRICS,
      MC_LOG_LEVEL: 'error',
      REDIS_URL: redis.url,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return new Promise((resolve, reject) => {
    const hear = (chunk: Buffer) => {
      output += chunk;
      const url = /Gate {7}(\S+),/.exec(output)?.[1];
      const egressUrl = /Egress {5}(\S+)/.exec(output)?.[1];
      if (url !== undefined && egressUrl !== undefined) resolve({ child, url, egressUrl, ended });
    };
    child.stdout.on('data', hear);
    child.stderr.on('data', hear);
    void ended.then((code) => reject(new Error(`the group ended at its start (exit ${code})\n${output}`)));
  });
}

/** Where each worker is reached, and no other. */
async function workers(): Promise<readonly [string, string]> {
  const { db, close } = await openServerDatabase(databaseUrl);
  const rows = await db.selectFrom('members').select('url').where('role', '=', 'proxy').execute();
  await close();
  const [one, two] = rows.map(({ url }) => url);
  if (one === undefined || two === undefined || rows.length !== 2) throw new Error(`there are ${rows.length} proxies`);
  return [one, two];
}

/** A connection through the egress port to this machine. */
function tunnel(port: number): Promise<{ head: string; closed: Promise<void> }> {
  const socket = dial(Number(new URL(group.egressUrl).port), '127.0.0.1');
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()).on('error', () => {}));
  socket.write(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nProxy-Authorization: Bearer ${agent.token}\r\n\r\n`);
  return new Promise((resolve) => socket.once('data', (bytes) => resolve({ head: String(bytes), closed })));
}

interface Answer {
  status: number;
  body: { id: string; verdict?: string; approvalId?: string; code?: string; reasons?: { code: string }[] };
}

/** By a connection of its own, which the primary hands to the next worker. */
async function gate(method: 'GET' | 'POST', path: string, body?: object): Promise<Answer> {
  const answer = await request(`${group.url}${path}`, {
    method,
    reset: true,
    headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: answer.statusCode, body: (await answer.body.json()) as Answer['body'] };
}
const ownersOf = (answers: readonly Answer[]) => new Set(answers.map(({ body }) => body.id.slice(0, 8)));
const GREEN = /^mc_proxy_decisions_total\{entry="openclaw",verdict="allow",risk="green",worker="(\d)"\} (\d+)$/gm;
let calls = 0;
const call = (tool: string, args: object) =>
  gate('POST', '/v1/tool-calls', { tool, arguments: args, callId: `c${++calls}`, sessionKey: 's', runId: 'r' });
const note = () => call('post_comment', { text: 'hello' });
const end = ({ body }: Answer) => gate('POST', `/v1/tool-calls/${body.id}/outcome`, { status: 'success', durationMs: 1 });

async function page(path: string): Promise<{ status: number; text: string }> {
  const answer = await request(`${group.url}${path}`, { reset: true, headers: { authorization: `Bearer ${METRICS}` } });
  return { status: answer.statusCode, text: await answer.body.text() };
}
const up = (text: string) =>
  [...text.matchAll(/^mc_proxy_worker_up\{worker="(\d)"\} (\d)$/gm)].map(([, worker, value]) => `${worker}:${value}`);
/** The workers by their process ids. */
const pids = (): number[] =>
  readFileSync(`/proc/${group.child.pid}/task/${group.child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
const whole = () =>
  until(
    async () => up((await page('/metrics')).text).join(),
    (said) => said === '1:1,2:1',
    START_MS,
  );

describe('a proxy of two workers', () => {
  it('takes what is asked about a call by whichever connection it comes, once', async () => {
    const held = [await call('exec', { command: 'make 0' })];
    // Connections go round, but not strictly: until each worker holds one.
    while (ownersOf(held).size < 2) held.push(await call('exec', { command: `make ${held.length}` }));
    for (const { status } of held) expect(status).toBe(202);
    for (const { body } of held) {
      const polls = [0, 1].map(() => gate('GET', `/v1/tool-calls/${body.id}?waitMs=10000`));
      expect((await world.api('POST', `/approvals/${body.approvalId}/approve`, { note: 'fine' })).status).toBe(200);
      expect((await Promise.all(polls)).map(({ status }) => status)).toEqual([200, 200]);
    }
    for (const one of held) {
      const outcomes = await Promise.all([end(one), end(one), end(one)]);
      expect(outcomes.map(({ status }) => status).toSorted()).toEqual([200, 409, 409]);
    }
  });

  it('shows the same metrics by every connection: those of each worker, under its number', async () => {
    const ran = [await note()];
    while (ownersOf(ran).size < 2) ran.push(await note());
    for (const one of ran) expect((await end(one)).status).toBe(200);
    const pages = await Promise.all([page('/metrics'), page('/metrics')]);
    const counts = pages.map(({ text }) => [...text.matchAll(GREEN)].map(([, worker, count]) => [worker, Number(count)] as const));
    expect(counts[0]?.map(([worker]) => worker)).toEqual(['1', '2']);
    expect(counts[0]?.reduce((sum, [, count]) => sum + count, 0)).toBe(ran.length);
    expect(counts[1]).toEqual(counts[0]);
    for (const { text } of pages) expect(up(text)).toEqual(['1:1', '2:1']);
    expect((await page('/readyz')).status).toBe(200);
  });

  it('is silenced by one stop, and its receipt names each worker', async () => {
    const { body } = await world.api<{ proxies: { id: string; acknowledgedAt: number | null }[] }>('POST', '/emergency/stop', {
      reason: 'a test',
    });
    expect(body.proxies).toHaveLength(2);
    for (const { acknowledgedAt } of body.proxies) expect(acknowledgedAt).not.toBeNull();
    for (const { status, body: said } of await Promise.all([note(), note()]))
      expect({ status, codes: said.reasons?.map(({ code }) => code) }).toEqual({ status: 403, codes: expect.arrayContaining(['ESTOP']) });
    expect((await world.api('POST', '/emergency/resume', { note: 'over' })).status).toBe(200);
    await world.api('POST', `/agents/${agent.id}/restart`, {});
    expect((await note()).status).toBe(200);
  });

  it('runs as one record what the gate of one worker allowed and the MCP gate of the other sees, once', async () => {
    const [one, two] = await workers();
    const tools = await startCountingServer();
    const upstream = await newUpstream(world, { url: tools.url });
    const gateway = (await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'openclaw' })).body;
    const gated = await newAgent(world, { gate: 'openclaw', gatewayId: gateway.id, externalId: 'main' });
    await usePolicy(world, { riskMap: { [`${upstream.name}__echo`]: 'green' }, failModes: { gate: 'refuse' } });
    const { client } = await connect({ ...world, gateUrl: two } as World, upstream.name, gated.token);
    await client.listTools();
    const allowed = await joinWorld(control.url, one).gate<{ id: string; verdict: string }>(
      'POST',
      '/v1/tool-calls',
      { tool: `${upstream.name}__echo`, arguments: { text: 'hi' }, agentId: 'main', sessionKey: 's', runId: 'r', callId: 'c' },
      gateway.token,
    );
    expect(allowed.body.verdict).toBe('allow');
    const echo = async () => JSON.stringify((await client.callTool({ name: 'echo', arguments: { text: 'hi' } })).content);
    expect(await echo()).toContain('echo hi');
    expect(await echo()).toContain('GATE_UNPROVEN');
    expect(tools.runs.get('echo:hi')).toBe(1);
    await client.close();
    await tools.close();
    const records = await until(
      async () =>
        (await world.api<{ items: { id: string; entry: string; status: string }[] }>('GET', `/tool-calls?agentId=${gated.id}`)).body.items,
      (items) => items.length === 2,
    );
    expect(records.filter(({ status }) => status !== 'blocked')).toEqual([
      expect.objectContaining({ id: allowed.body.id, entry: 'openclaw', status: 'running' }),
    ]);
  });

  it('keeps a session of an MCP command by whichever worker a request of it comes', async () => {
    const [one, two] = await workers();
    const upstream = await newUpstream(world, {
      command: [process.execPath, join(ROOT, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js'), 'stdio'],
    });
    const say = (url: string, session: string | null, message: object) =>
      fetch(`${url}/mcp/${upstream.name}`, {
        method: 'POST',
        headers: {
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
          authorization: `Bearer ${agent.token}`,
          ...(session !== null && { 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }),
        },
        body: JSON.stringify({ jsonrpc: '2.0', ...message }),
      });
    const clientInfo = { name: 'test', version: '1' };
    const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo };
    const begun = await say(one, null, { id: 1, method: 'initialize', params });
    expect(await begun.text()).toContain('protocolVersion');
    const session = begun.headers.get('mcp-session-id');
    for (const [index, url] of [two, one, two].entries()) {
      const answer = await say(url, session, { id: 2 + index, method: 'tools/list', params: {} });
      expect({ status: answer.status, text: await answer.text() }).toEqual({ status: 200, text: expect.stringContaining('"echo"') });
    }
  });

  it('lets a call of the gate reach its host by whichever worker, as that call, until its outcome', async () => {
    const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const { port } = echo.address() as AddressInfo;
    await usePolicy(world, { allowlists: { network: [{ host: '127.0.0.1', port, scheme: 'http', allowPrivate: true }] } });
    const fetched = await call('web_fetch', { url: `http://127.0.0.1:${port}/` });
    expect(fetched.body).toMatchObject({ verdict: 'allow' });
    const tunnels = await Promise.all([0, 1, 2, 3].map(() => tunnel(port)));
    for (const { head } of tunnels) expect(head).toContain(' 200 ');
    expect((await end(fetched)).status).toBe(200);
    // At the worker of the call at once, at the other when it has asked.
    await Promise.all(tunnels.map(({ closed }) => closed));
    echo.close();
    const { items } = (await world.api<{ items: { entry: string }[] }>('GET', `/tool-calls?agentId=${agent.id}&limit=200`)).body;
    expect(items.filter(({ entry }) => entry === 'egress')).toEqual([]);
  });

  it(
    'goes on while one of them is killed, which comes back under its own name',
    async () => {
      const before = pids();
      const mine = [await note()];
      while (ownersOf(mine).size < 2) mine.push(await note());
      process.kill(before[0] ?? 0, 'SIGKILL');
      // Until the primary knows of it: a connection that it was handing over at that moment is answered by nobody.
      await until(pids, (now) => !now.includes(before[0] ?? 0));
      expect((await note()).status).toBe(200);
      await whole();
      expect(pids()).toHaveLength(2);
      expect(pids()).not.toContain(before[0]);
      const after = [await note()];
      while (ownersOf(after).size < 2) after.push(await note());
      expect(ownersOf(after)).toEqual(ownersOf(mine));
      // What the one that was killed had let run is settled where it comes back.
      for (const one of mine) expect((await end(one)).status).toBe(200);
    },
    START_MS,
  );

  it(
    'renews its workers one after the other on SIGHUP, and refuses nothing meanwhile',
    async () => {
      const before = pids();
      let isOver = false;
      const refused: unknown[] = [];
      let asked = 0;
      const traffic = (async () => {
        while (!isOver) {
          const made = await note();
          asked++;
          if (made.status !== 200) refused.push(made);
          // Told again where the worker that has the call is away for a moment, as a gate does.
          const ended = await until(
            () => end(made),
            ({ status }) => status !== 503,
            START_MS,
          );
          if (ended.status !== 200) refused.push(ended);
          await new Promise((resolve) => setTimeout(resolve, PACE_MS));
        }
      })();
      group.child.kill('SIGHUP');
      await until(
        () => pids(),
        (now) => now.length === 2 && now.every((pid) => !before.includes(pid)),
        START_MS,
      );
      await whole();
      isOver = true;
      await traffic;
      expect(refused).toEqual([]);
      expect(asked).toBeGreaterThan(2);
    },
    START_MS,
  );

  it('ends in order', async () => {
    const last = pids();
    expect(last).toHaveLength(2);
    group.child.kill('SIGTERM');
    expect(await group.ended).toBe(0);
    for (const pid of last) expect(() => process.kill(pid, 0)).toThrow();
  });

  it(
    'takes up once what a larger group has left, in a process that ends by itself',
    async () => {
      const left = join(folder, 'proxy', 'journal-3');
      mkdirSync(left);
      group = await startGroup(2);
      const name = await until(
        () => (existsSync(join(left, 'proxy-id')) && pids().length === 2 ? readFileSync(join(left, 'proxy-id'), 'utf8') : ''),
        (id) => id !== '',
        START_MS,
      );
      expect(name).toMatch(/^proxy-/);
      expect((await note()).status).toBe(200);
      group.child.kill('SIGTERM');
      expect(await group.ended).toBe(0);
    },
    START_MS,
  );
});
