/** Four whole proxies at one control and one Redis: 200 priced calls at once on 1 USD, while one is killed and the counters are emptied. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Control, startControl } from '../../control/main.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/world.ts';

const ADMIN = 'test-admin-token-0123456789';
const SECRET = 'cluster-secret-0123456789';
const CALLS = 200;
const PRICE = 0.02;
const CAP = 1;

interface Proxy {
  url: string;
  child: ChildProcess;
}
interface Answer {
  status: number;
  body: { id: string; todaySpend: number; token: string; reasons?: { code: string }[]; code?: string };
}

let folder: string;
let redis: RedisServer;
let control: Control;
let proxies: Proxy[];
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mc-proxies-'));
  redis = await startRedis();
  control = await startControl(
    {
      host: '127.0.0.1',
      port: 0,
      dataDir: join(folder, 'data'),
      keyDir: join(folder, 'keys'),
      adminToken: ADMIN,
      clusterSecret: SECRET,
      redisUrl: redis.url,
      openclaw: null,
      publicUrl: null,
      allowCommands: false,
      keepDays: 0,
      dashboardDir: folder,
      version: 'test',
    },
    pino({ level: 'silent' }),
    Date.now,
  );
  proxies = await Promise.all([0, 1, 2, 3].map(startProxy));
  const policy = await ask(control.url, 'POST', '/api/policies', ADMIN, {
    patch: {
      riskMap: { priced: 'green' },
      tools: { priced: { priceUsd: PRICE } },
      budgets: { perRun: { specialist: 100 } },
    },
    note: 'for a test',
  });
  await ask(control.url, 'POST', `/api/policies/${policy.body.id}/activate`, ADMIN, { note: 'for a test' });
}, 120_000);
afterAll(async () => {
  for (const { child } of proxies ?? []) child.kill('SIGKILL');
  await control?.close();
  await redis?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function startProxy(index: number): Promise<Proxy> {
  const child = fork(join(import.meta.dirname, '..', 'support', 'proxy-process.ts'), {
    env: {
      ...CHILD_ENV,
      JOURNAL_DIR: join(folder, `journal-${index}`),
      CONTROL_URL: control.url,
      CLUSTER_SECRET: SECRET,
      REDIS_URL: redis.url,
    },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    child.once('message', ({ url }: { url: string }) => resolve({ url, child }));
    child.once('exit', (code) => reject(new Error(`a proxy ended at its start (exit ${code})`)));
  });
}

async function ask(url: string, method: string, path: string, token: string, body?: object): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  return { status: response.status, body: (await response.json()) as Answer['body'] };
}

const call = (proxy: Proxy, token: string) =>
  ask(proxy.url, 'POST', '/v1/tool-calls', token, {
    tool: 'priced',
    arguments: {},
    callId: crypto.randomUUID(),
    runId: 'r',
    sessionKey: 's',
  });
const outcomeOf = (proxy: Proxy, token: string, id: string) =>
  ask(proxy.url, 'POST', `/v1/tool-calls/${id}/outcome`, token, { status: 'success', durationMs: 1 });

it.each([
  ['undisturbed', async () => {}],
  ['one of them killed and started again', () => restart(1)],
  ['the counters emptied', async () => void (await redis.client.flushAll())],
  [
    'one killed and the counters emptied',
    async () => {
      const restarted = restart(2);
      await redis.client.flushAll();
      await restarted;
    },
  ],
])(
  '200 calls at once through 4 proxies on 1 USD, %s: settled at the cap and not above',
  async (_, trouble) => {
    const agent = await ask(control.url, 'POST', '/api/agents', ADMIN, {
      name: crypto.randomUUID(),
      autonomyLevel: 'specialist',
      workspace: '/workspace',
      budgets: { dailyCap: CAP },
    });
    const { token } = (await ask(control.url, 'POST', `/api/agents/${agent.body.id}/tokens`, ADMIN, {})).body;
    const allowed: { index: number; id: string }[] = [];
    const one = async (index: number) => {
      const proxy = proxies[index];
      if (!proxy) return null;
      // A proxy that is killed answers nobody; its callers are told nothing and may not run.
      const answer = await call(proxy, token).catch(() => null);
      if (answer?.status === 200) allowed.push({ index, id: answer.body.id });
      return answer;
    };
    const asked = Promise.all(Array.from({ length: CALLS }, (__, n) => one(n % proxies.length)));
    // In the middle of it.
    while (allowed.length < 10) await new Promise((resolve) => setImmediate(resolve));
    await trouble();
    await asked;
    // Whoever was refused for want of counters tries again, until the cap is met or every proxy says that it is.
    await until(
      async () => (await Promise.all(proxies.map((__, index) => one(index)))).every((answer) => isAtCap(answer)),
      (isMet) => isMet,
      30_000,
    );
    // A call whose answer was lost in the crash holds its price, and never runs: it counts.
    for (const { index, id } of allowed) {
      const proxy = proxies[index];
      if (proxy === undefined) throw new Error(`no proxy ${index}`);
      expect((await outcomeOf(proxy, token, id)).status).toBe(200);
    }
    expect(allowed.length * PRICE).toBeLessThanOrEqual(CAP);
    const spend = await until(
      async () => (await ask(control.url, 'GET', `/api/agents/${agent.body.id}`, ADMIN)).body.todaySpend,
      (usd) => Math.round(usd * 1e6) === Math.round(allowed.length * PRICE * 1e6),
    );
    console.log(`${_}: ${allowed.length} of ${CALLS} allowed, ${spend} USD settled on ${CAP}`);
    expect(spend).toBeLessThanOrEqual(CAP);
  },
  120_000,
);

function isAtCap(answer: Answer | null): boolean {
  return answer?.body.reasons?.some(({ code }) => code === 'BUDGET_DAILY') ?? false;
}

async function restart(index: number): Promise<void> {
  proxies[index]?.child.kill('SIGKILL');
  proxies[index] = await startProxy(index);
}
