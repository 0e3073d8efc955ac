/** The record of money and what it sets off: rollups, forecast, thresholds, caps that are used up, raised and lowered again, drift. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../control/contract.ts';
import { type Counters, openCounters } from '../../control/counters.ts';
import { ledgerReconciler } from '../../control/workers/ledger-reconciler.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { ADMIN, factsOfCall, judged, type Services, startServices } from '../support/services.ts';

let services: Services;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());
beforeEach(() => {
  services.time.now = Date.UTC(2026, 10, 22, 12);
});

const DAY = '2026-11-22';
const HOUR_MS = 3_600_000;
let seq = 0;
let calls = 0;
interface Fields {
  taskId?: string | null;
  runId?: string;
  tool?: string;
  proxyId?: string;
}
/** A call that costs so much, recorded now. */
async function spend(
  agentId: string,
  cost: number,
  { taskId = null, runId = 'r', tool = 'exec', proxyId = 'p' }: Fields = {},
): Promise<string> {
  const id = `call-${++calls}`;
  const at = services.time.now;
  const intent: JournalEvent = {
    type: 'intent',
    at,
    call: factsOfCall({ id, agentId, at, taskId, runId, tool }),
    judged: judged({ verdict: 'allow', risk: 'green', estimatedCost: cost }),
    input: {},
    summary: '',
    approvalId: null,
  };
  const completed: JournalEvent = { type: 'completed', at, id, status: 'success', output: null, error: null, durationMs: 1, cost };
  await services.ingest.ingest(proxyId, [
    { seq: ++seq, event: intent },
    { seq: ++seq, event: completed },
  ]);
  return id;
}
const newAgent = (name: string, dailyCap: number | null = null) =>
  services.agents.create(ADMIN, { name, autonomyLevel: 'specialist', budgets: { dailyCap, perRunCap: 100 } });
const newTask = (fields: object) => services.tasks.create(ADMIN, { title: 'a task', type: 'ops', ...fields });
const alertsOf = async (agentId: string) =>
  (await services.alerts.list({ limit: 500 })).items
    .filter((alert) => alert.agentId === agentId)
    .map(({ type, severity, resolved }) => `${type} ${severity}${resolved ? ' resolved' : ''}`)
    .reverse();

describe('the record', () => {
  it('adds up by every dimension, in pages, with what belongs to no task', async () => {
    services.time.now = Date.UTC(2026, 9, 1, 12);
    const [one, two] = [await newAgent('adds-one'), await newAgent('adds-two')];
    const task = await newTask({});
    await spend(one.id, 100, { taskId: task.id, tool: 'a' });
    await spend(one.id, 200, { tool: 'b', runId: 'r2' });
    services.time.now += 24 * HOUR_MS;
    await spend(two.id, 700, { taskId: task.id, tool: 'a' });
    await spend(two.id, 0);
    const window = { since: Date.UTC(2026, 9, 1), until: Date.UTC(2026, 9, 3), limit: 10 };
    const rollup = (groupBy: Parameters<Services['spend']['rollup']>[0]['groupBy'], more: object = {}) =>
      services.spend.rollup({ ...window, groupBy, ...more });

    expect(await rollup(['agent'])).toMatchObject({
      items: [
        { agentId: two.id, agentName: 'adds-two', cost: 0.0007, calls: 1 },
        { agentId: one.id, agentName: 'adds-one', cost: 0.0003, calls: 2 },
      ],
      total: { cost: 0.001, calls: 3 },
      unattributed: { cost: 0.0002, share: 0.2 },
    });
    expect((await rollup(['task'])).items).toEqual([
      { taskId: task.id, taskTitle: 'a task', cost: 0.0008, calls: 2 },
      { taskId: null, taskTitle: null, cost: 0.0002, calls: 1 },
    ]);
    expect((await rollup(['day', 'tool'])).items).toEqual([
      { day: '2026-10-02', tool: 'a', cost: 0.0007, calls: 1 },
      { day: '2026-10-01', tool: 'b', cost: 0.0002, calls: 1 },
      { day: '2026-10-01', tool: 'a', cost: 0.0001, calls: 1 },
    ]);
    expect((await rollup(['run'], { agentId: one.id })).items.map(({ runId, cost }) => [runId, cost])).toEqual([
      ['r2', 0.0002],
      ['r', 0.0001],
    ]);
    const first = await rollup(['agent', 'tool'], { limit: 2 });
    const second = await rollup(['agent', 'tool'], { limit: 2, cursor: first.nextCursor });
    expect([...first.items, ...second.items].map((row) => row.cost)).toEqual([0.0007, 0.0002, 0.0001]);
    expect(second.nextCursor).toBeNull();
  });

  it('goes out whole, as CSV that a spreadsheet cannot take for formulas, and as lines of JSON', async () => {
    services.time.now = Date.UTC(2026, 8, 1, 12);
    const agent = await newAgent('=cmd|" /C calc"!A1');
    for (let call = 0; call < 1_100; call++) services.time.now += 1;
    const id = await spend(agent.id, 123, { tool: 'a,b' });
    await spend(agent.id, 1_000_000, { tool: '-x', runId: 'r"1' });
    const read = async (format: 'csv' | 'ndjson') => {
      let text = '';
      for await (const part of services.spend.exported(format, { agentId: agent.id, since: 0 })) text += part;
      return text.trimEnd().split('\n');
    };
    const csv = await read('csv');
    expect(csv[0]).toBe('at,day,callId,agentId,agentName,taskId,runId,entry,tool,provider,model,costUsd');
    expect(csv).toHaveLength(3);
    expect(csv[1]).toContain(`,${id},${agent.id},"'=cmd|"" /C calc""!A1",,r,openclaw,"a,b",,,0.000123`);
    expect(csv[2]).toContain(`,"r""1",openclaw,'-x,,,1.000000`);
    expect((await read('ndjson')).map((line) => JSON.parse(line).costUsd)).toEqual([0.000123, 1]);
  });

  it('says where the day and the month are heading', async () => {
    services.time.now = Date.UTC(2026, 5, 10, 6);
    const agent = await newAgent('heads', 1);
    await spend(agent.id, 100_000);
    services.time.now = Date.UTC(2026, 5, 10, 12);
    await spend(agent.id, 100_000);
    await spend(agent.id, 50_000);
    const forecast = await services.spend.forecast();
    expect(forecast.agents).toEqual([
      {
        agentId: agent.id,
        name: 'heads',
        spent: 0.25,
        cap: 1,
        ratePerHour: 0.15,
        projected: 0.25 + 0.15 * 12,
        exhaustsAt: Date.UTC(2026, 5, 10, 17),
      },
    ]);
    expect(forecast.fleet).toMatchObject({ spent: 0.25, cap: null, exhaustsAt: null });
    expect(forecast.dayEndsAt).toBe(Date.UTC(2026, 5, 11));
    expect(forecast.month).toEqual({
      name: '2026-06',
      spent: 0.25,
      perDay: 0.035714,
      projected: 0.982143,
      endsAt: Date.UTC(2026, 6, 1),
    });
  });
});

describe('spend that comes near a cap', () => {
  it('is told at half, four fifths and the whole, once each, and anew the next day', async () => {
    const agent = await newAgent('near', 1);
    await spend(agent.id, 499_999);
    expect(await alertsOf(agent.id)).toEqual([]);
    await spend(agent.id, 1);
    await spend(agent.id, 100_000);
    expect(await alertsOf(agent.id)).toEqual(['budget_threshold low']);
    await spend(agent.id, 200_000);
    await spend(agent.id, 300_000);
    await spend(agent.id, 300_000);
    const all = ['budget_threshold low', 'budget_threshold medium', 'budget_exceeded high'];
    expect((await alertsOf(agent.id)).sort()).toEqual([...all].sort());
    // Somebody has dealt with them: the same day says nothing again.
    for (const { id, agentId } of (await services.alerts.list({ limit: 500 })).items)
      if (agentId === agent.id) await services.alerts.resolve(ADMIN, id);
    await spend(agent.id, 10);
    expect(await alertsOf(agent.id)).toHaveLength(3);
    services.time.now += 24 * HOUR_MS;
    await spend(agent.id, 600_000);
    expect(await alertsOf(agent.id)).toHaveLength(4);
  });

  it('in one leap is told once, of the highest', async () => {
    const agent = await newAgent('leaps', 1);
    await spend(agent.id, 2_000_000);
    await spend(agent.id, 1);
    expect(await alertsOf(agent.id)).toEqual(['budget_exceeded high']);
  });

  it('of a task moves it to NEEDS_APPROVAL at the cap and not before; a raise lets it go on and tells anew', async () => {
    const agent = await newAgent('works');
    const task = await newTask({ budget: 1, assigneeIds: [agent.id] });
    await services.tasks.move({ kind: 'human', id: 'admin', name: 'admin', role: 'admin' } as never, ADMIN, task.id, { to: 'assigned' });
    await spend(agent.id, 999_999, { taskId: task.id });
    expect((await services.tasks.get(task.id)).status).toBe('assigned');
    await spend(agent.id, 1, { taskId: task.id });
    expect((await services.tasks.get(task.id)).status).toBe('needs_approval');

    const raise = await services.caps.raise(ADMIN, { taskId: task.id, amount: 1, note: 'worth it' });
    expect(raise).toMatchObject({ kind: 'raise', amount: 1, createdBy: 'admin', note: 'worth it', endedAt: null });
    expect((await services.tasks.get(task.id)).status).toBe('assigned');
    await spend(agent.id, 700_000, { taskId: task.id });
    const told = (await services.alerts.list({ limit: 500 })).items.filter((alert) => alert.taskId === task.id);
    expect(told.map(({ type, resolved, message }) => [type, resolved, message]).sort()).toEqual([
      ['budget_exceeded', true, '100 % of the cap of the task "a task" is spent: $1.00 of $1.00.'],
      ['budget_threshold', false, '80 % of the cap of the task "a task" is spent: $1.70 of $2.00.'],
      ['budget_threshold', true, '80 % of the cap of the task "a task" is spent: $0.999999 of $1.00.'],
    ]);
    await services.caps.end(ADMIN, raise.id);
    await expect(services.caps.end(ADMIN, raise.id)).rejects.toMatchObject({ status: 404 });
    await spend(agent.id, 1, { taskId: task.id });
    expect((await services.tasks.get(task.id)).status).toBe('needs_approval');
  });
});

describe('a raised cap', () => {
  it('of an agent holds until midnight at the latest, is shown, and ends by itself', async () => {
    const agent = await newAgent('raised', 1);
    const until = services.time.now + HOUR_MS;
    const raise = await services.caps.raise(ADMIN, { agentId: agent.id, amount: 0.5, note: 'a busy day', expiresAt: until });
    const beyond = await services.caps.raise(ADMIN, { agentId: agent.id, amount: 0.25, note: 'more', expiresAt: until + 100 * HOUR_MS });
    expect(beyond.expiresAt).toBe(Date.UTC(2026, 10, 23));
    expect((await services.agents.get(agent.id)).todayCap).toBe(1.75);
    services.time.now = until - 1;
    await services.caps.sweep();
    expect((await services.agents.get(agent.id)).todayCap).toBe(1.75);
    services.time.now = until;
    await services.caps.sweep();
    await services.caps.sweep();
    expect((await services.agents.get(agent.id)).todayCap).toBe(1.25);
    const { items } = await services.caps.list({ agentId: agent.id, limit: 10 });
    expect(items.map(({ id, endedAt }) => [id, endedAt])).toEqual(
      expect.arrayContaining([
        [raise.id, until],
        [beyond.id, null],
      ]),
    );
    services.time.now += 24 * HOUR_MS;
    expect((await services.agents.get(agent.id)).todayCap).toBe(1);
  });

  it('names one agent or one task that exists, and a time to come', async () => {
    const agent = await newAgent('refuses');
    const base = { amount: 1, note: 'x' };
    for (const [input, status] of [
      [base, 400],
      [{ ...base, agentId: agent.id, taskId: 't' }, 400],
      [{ ...base, agentId: 'nobody' }, 404],
      [{ ...base, taskId: 'nothing' }, 404],
      [{ ...base, agentId: agent.id, expiresAt: services.time.now }, 400],
    ] as const) {
      await expect(services.caps.raise(ADMIN, input)).rejects.toMatchObject({ status });
    }
  });
});

describe('the reconciler', () => {
  let redis: RedisServer;
  let counters: Counters;
  beforeAll(async () => {
    redis = await startRedis();
    counters = await openCounters({ url: redis.url, record: services.spend.record, onError: () => {} });
  });
  afterAll(async () => {
    await counters.close();
    await redis.close();
  });
  const reconciler = (shared: Counters | null) => {
    const { db, spend: record, alerts, policies } = services;
    return ledgerReconciler({
      db,
      clock: () => services.time.now,
      spend: record,
      counters: shared,
      alerts,
      activePolicy: policies.current,
      published: () => {},
    });
  };
  const drifts = async (scope: string) =>
    (await services.alerts.list({ limit: 500 })).items
      .filter((alert) => alert.type === 'ledger_drift' && alert.message.includes(scope))
      .map(({ severity, resolved, message }) => [severity, resolved, message]);

  it('says nothing while they agree, tells a difference that stays, once, and takes it back', async () => {
    const agent = await newAgent('drifts');
    await spend(agent.id, 500_000);
    const scope = `agent-day:${agent.id}:${DAY}`;
    const worker = reconciler(null);
    for (let look = 0; look < 4; look++) await worker.tick();
    expect(await drifts(scope)).toEqual([]);
    await services.db.updateTable('spend').set({ micros: 400_000 }).where('scope', '=', scope).execute();
    await worker.tick();
    await worker.tick();
    expect(await drifts(scope)).toEqual([]);
    await worker.tick();
    await worker.tick();
    expect(await drifts(scope)).toEqual([['critical', false, `The sums of ${scope} are below the record: $0.40 counted, $0.50 recorded.`]]);
    await services.db.updateTable('spend').set({ micros: 500_000 }).where('scope', '=', scope).execute();
    await worker.tick();
    expect(await drifts(scope)).toMatchObject([['critical', true, expect.anything()]]);
  });

  it('compares shared counters with the record, and is silent where they are away', async () => {
    const agent = await newAgent('shares');
    await spend(agent.id, 500_000, { proxyId: 'p1' });
    const scope = `agent-day:${agent.id}:${DAY}`;
    const { epoch } = await counters.join({ proxyId: 'p1', outstanding: [{ callId: 'x', scopes: [scope], micros: 5 }] });
    const worker = reconciler(counters);
    for (let look = 0; look < 4; look++) await worker.tick();
    expect(await drifts(scope)).toEqual([]);
    await redis.client.hIncrBy(`mc:{ledger}:scope:${scope}`, 'spent', -100_000);
    for (let look = 0; look < 4; look++) await worker.tick();
    expect((await drifts(scope))[0]).toEqual([
      'critical',
      false,
      expect.stringContaining(`The shared counters of ${scope} are below the record`),
    ]);
    // It joins anew: its account is what the record says.
    expect(await counters.join({ proxyId: 'p1', outstanding: [] })).toEqual({ epoch });
    await redis.client.hIncrBy(`mc:{ledger}:scope:${scope}`, 'spent', 100_000);
    await worker.tick();
    expect((await drifts(scope))[0]).toMatchObject(['critical', true, expect.anything()]);
    await redis.kill();
    for (let look = 0; look < 4; look++) await worker.tick();
    expect(await drifts(scope)).toHaveLength(1);
  });
});
