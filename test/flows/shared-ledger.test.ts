/** The product with its counters in Redis: what a caller notices of them, and of their absence. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, gateOf, usePolicy } from '../support/calls.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

const METRICS = 'metrics-token-0123456789';
let redis: RedisServer;
let world: World;
beforeAll(async () => {
  redis = await startRedis();
  world = await startWorld({ REDIS_URL: redis.url, MC_METRICS_TOKEN: METRICS });
  await usePolicy(world, {
    riskMap: { ten_cents: 'green' },
    tools: { ten_cents: { priceUsd: 0.1 } },
    budgets: { perRun: { specialist: 100 }, perAgentDaily: { specialist: 100 } },
  });
});
afterAll(async () => {
  await world?.close();
  await redis?.close();
});

const newCaller = async (dailyCap: number) => {
  const agent = await newAgent(world, { budgets: { dailyCap } });
  const gate = gateOf(world, agent.token);
  // On a busy machine the token may reach the proxy after the answer that issued it.
  await until(
    () => gate.note(),
    ({ status }) => status !== 401,
  );
  return { ...agent, gate };
};
type Caller = Awaited<ReturnType<typeof newCaller>>;
const todaySpend = async (id: string) => (await world.api<{ todaySpend: number }>('GET', `/agents/${id}`)).body.todaySpend;

const metric = async (name: string) => {
  const page = await fetch(`${world.gateUrl}/metrics`, { headers: { authorization: `Bearer ${METRICS}` } });
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(await page.text())?.[1]);
};

/** Asks until the answer is the one that is waited for; each answer is there within a second. */
async function answered(caller: Caller, tool: string, args: Record<string, unknown>, status: number, code?: string) {
  return until(
    async () => {
      const begunAt = performance.now();
      const answer = await caller.gate.call(tool, args);
      return { answer, ms: performance.now() - begunAt };
    },
    ({ answer }) => answer.status === status && (code === undefined || codesOf(answer).includes(code)),
  );
}

describe('counters in Redis', () => {
  it('hold a cap to the micro-dollar, and give back what was not used', async () => {
    const { id, gate } = await newCaller(0.5);
    const answers = await Promise.all(Array.from({ length: 30 }, () => gate.call('ten_cents', {})));
    const allowed = answers.filter((answer) => answer.status === 200);
    expect(allowed).toHaveLength(5);
    for (const answer of answers) if (answer.status !== 200) expect(codesOf(answer)).toContain('BUDGET_DAILY');
    for (const answer of allowed.slice(0, 4)) await gate.end(answer.body.id);
    await gate.cancel(allowed[4]?.body.id ?? '');
    expect(
      await until(
        () => todaySpend(id),
        (spend) => spend === 0.5,
      ),
    ).toBe(0.5);
    expect(codesOf(await gate.call('ten_cents', {}))).toContain('BUDGET_DAILY');
  });

  for (const [name, away, back] of [
    ['gone', () => redis.kill(), () => redis.start()],
    ['silent', async () => redis.freeze(), async () => redis.thaw()],
  ] as const) {
    it(`that are ${name} refuse what is priced, yellow or red within a second, let green and free calls go on, and count on afterwards`, async () => {
      const caller = await newCaller(0.5);
      const before = await caller.gate.call('ten_cents', {});
      expect(before.status).toBe(200);
      await away();
      const goneAt = performance.now();
      const priced = await answered(caller, 'ten_cents', {}, 503, 'LEDGER_UNAVAILABLE');
      expect(performance.now() - goneAt).toBeLessThan(2_000);
      const yellow = await answered(caller, 'exec', { command: 'ls' }, 503, 'LEDGER_UNAVAILABLE');
      const red = await answered(caller, 'send_email', { to: 'a@example.org' }, 503, 'LEDGER_UNAVAILABLE');
      for (const { ms } of [priced, yellow, red]) expect(ms).toBeLessThan(1_000);
      expect((await caller.gate.note()).status).toBe(200);
      expect(await metric('mc_proxy_ledger_available')).toBe(0);
      // An outcome is taken without the counters: the record has it.
      expect((await caller.gate.end(before.body.id)).status).toBe(200);
      await back();
      await answered(caller, 'ten_cents', {}, 200);
      // One is settled, one runs: three more fit, as if nothing had happened.
      const more = await Promise.all(Array.from({ length: 10 }, () => caller.gate.call('ten_cents', {})));
      const running = more.filter((answer) => answer.status === 200);
      expect(running).toHaveLength(3);
      for (const answer of running) await caller.gate.end(answer.body.id);
      expect(
        await until(
          () => todaySpend(caller.id),
          (spend) => spend >= 0.4,
        ),
      ).toBe(0.4);
    });
  }

  it('are made anew from the record where they were lost, with what still runs', async () => {
    const { gate, ...caller } = await newCaller(0.5);
    const calls = await Promise.all(Array.from({ length: 4 }, () => gate.call('ten_cents', {})));
    for (const answer of calls.slice(0, 2)) await gate.end(answer.body.id);
    await redis.client.flushAll();
    await answered({ gate, ...caller }, 'ten_cents', {}, 200);
    // Two are settled and three run: the cap has no room, and what runs may still give some back.
    const over = await gate.call('ten_cents', {});
    expect([over.status, codesOf(over)]).toEqual([202, ['BUDGET_DAILY']]);
    await world.kill();
    await world.start();
    const again = await gate.call('ten_cents', {});
    // What ran when its proxy died counts as spent until an outcome says otherwise.
    expect([again.status, codesOf(again)]).toEqual([403, ['BUDGET_DAILY']]);
  });

  it('that are away at the start do not keep the product from starting', async () => {
    await redis.kill();
    await world.stop();
    await world.start();
    const caller = await newCaller(0.5);
    expect((await caller.gate.note()).status).toBe(200);
    await answered(caller, 'ten_cents', {}, 503, 'LEDGER_UNAVAILABLE');
    await redis.start();
    await answered(caller, 'ten_cents', {}, 200);
  });
});
