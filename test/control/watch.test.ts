import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifyAudit } from '../../control/audit.ts';
import type { JournalEvent } from '../../control/contract.ts';
import { createDeliveries } from '../../control/deliveries.ts';
import { heartbeatMonitor } from '../../control/workers/heartbeat-monitor.ts';
import { reconciler } from '../../control/workers/reconciler.ts';
import { retention } from '../../control/workers/retention.ts';
import { dailyStandup } from '../../control/workers/standup.ts';
import { ADMIN, factsOfCall, holdRequest, judged, type Services, startServices } from '../support/services.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const HUMAN = { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null } as const;
const GOLDEN = new URL('standup.golden.md', import.meta.url);

let services: Services;
let seq: number;
beforeAll(async () => {
  services = await startServices();
});
beforeEach(async () => {
  await services.empty();
  seq = 0;
});
afterAll(() => services.close());

const pass = (minutes: number) => {
  services.time.now += minutes * MINUTE;
};
const newAgent = (name: string, fields: object = {}) => services.agents.create(ADMIN, { name, ...fields });
const newTask = (fields: object = {}) =>
  services.tasks.create(ADMIN, { title: 'A task', type: 'ops', workPlan: 'p', deliverable: 'd', selfReview: 's', ...fields });
const go = (id: string, ...states: ('assigned' | 'in_progress' | 'review')[]) =>
  states.reduce<Promise<unknown>>((before, to) => before.then(() => services.tasks.move(HUMAN, ADMIN, id, { to })), Promise.resolve());
const openAlerts = async (type: string) =>
  (await services.alerts.list({ resolved: false, limit: 100 })).items.filter((alert) => alert.type === type);

async function journal(...events: JournalEvent[]): Promise<void> {
  await services.ingest.ingest(
    'p',
    events.map((event) => ({ seq: ++seq, event })),
  );
}
const started = (id: string, fields: object): JournalEvent => {
  const call = factsOfCall({ id, agentId: 'nobody', ...fields, at: services.time.now });
  return {
    type: 'intent',
    at: services.time.now,
    call,
    judged: judged({ verdict: 'allow' }),
    input: { a: 1 },
    summary: 'make',
    approvalId: null,
  };
};
const ended = (id: string, cost = 0, status: 'success' | 'failed' = 'success'): JournalEvent => ({
  type: 'completed',
  at: services.time.now,
  id,
  status,
  output: 'out',
  error: status === 'failed' ? 'no such file' : null,
  durationMs: 5,
  cost,
});
async function gatewayOf(name = 'rig'): Promise<string> {
  return (await services.gateways.register(ADMIN, { name })).id;
}

describe('an agent that falls silent', () => {
  it('is flagged after five minutes where it should be heard, once, until it is heard again', async () => {
    const monitor = heartbeatMonitor({ ...services.base, alerts: services.alerts });
    const gatewayId = await gatewayOf();
    const gated = await newAgent('gated', { gate: 'openclaw', gatewayId, externalId: 'main' });
    const idle = await newAgent('idle');
    const busy = await newAgent('busy');
    const task = await newTask({ assigneeIds: [busy.id] });
    await go(task.id, 'assigned', 'in_progress');
    const beat = (agents: string[]) => journal({ type: 'heartbeat', at: services.time.now, gatewayId, pluginVersion: '1', agents });
    await beat([gated.id]);

    pass(4.9);
    await monitor.tick();
    expect(await openAlerts('agent_silent')).toEqual([]);
    pass(0.1);
    await monitor.tick();
    await monitor.tick();
    const flagged = await openAlerts('agent_silent');
    expect(flagged.map(({ agentId, severity }) => [agentId, severity]).toSorted()).toEqual(
      [
        [busy.id, 'high'],
        [gated.id, 'medium'],
      ].toSorted(),
    );
    expect(flagged.some(({ agentId }) => agentId === idle.id)).toBe(false);

    await beat([gated.id]);
    await journal(started('c', { agentId: busy.id }));
    await monitor.tick();
    expect(await openAlerts('agent_silent')).toEqual([]);
  });
});

describe('what nobody else would notice', () => {
  const watch = () => reconciler({ ...services.base, tasks: services.tasks, agents: services.agents, alerts: services.alerts });
  const deliveriesOf = (taskId: string) =>
    services.db.selectFrom('deliveries').selectAll().where('task_id', '=', taskId).orderBy('created_at').execute();

  it('a run without a sign of life ends, unless a call of it waits for a person; one that speaks again goes on', async () => {
    const agent = await newAgent('a');
    await journal(started('c1', { agentId: agent.id, runId: 'quiet' }), ended('c1', 7));
    await journal(started('c2', { agentId: agent.id, runId: 'held' }));
    const held = factsOfCall({ id: 'c3', agentId: agent.id, runId: 'held' });
    await services.holds.open(holdRequest(held));
    await journal(ended('c2'));
    const runs = async () =>
      Object.fromEntries(
        (await services.db.selectFrom('runs').selectAll().execute()).map((run) => [
          run.run_id,
          [run.status, run.ended_at !== null, run.cost],
        ]),
      );
    pass(29);
    await watch().tick();
    expect(await runs()).toEqual({ quiet: ['running', false, 7], held: ['running', false, 0] });
    pass(2);
    await watch().tick();
    expect(await runs()).toEqual({ quiet: ['failed', true, 7], held: ['running', false, 0] });
    await journal(started('c4', { agentId: agent.id, runId: 'quiet' }));
    expect((await runs()).quiet).toEqual(['running', false, 7]);
    await journal({ type: 'run_end', at: services.time.now, runId: 'quiet', agentId: agent.id, status: 'success', message: null });
    expect((await runs()).quiet).toEqual(['success', true, 7]);
  });

  it('a task whose agents are gone is blocked, and a person is told', async () => {
    const [gone, alive] = [await newAgent('gone'), await newAgent('alive')];
    const orphan = await newTask({ assigneeIds: [gone.id] });
    const shared = await newTask({ assigneeIds: [gone.id, alive.id] });
    await go(orphan.id, 'assigned', 'in_progress');
    await go(shared.id, 'assigned');
    // As a crash or a former version may have left it: retired, with its task still open.
    await services.db.updateTable('agents').set({ status: 'stopped' }).where('id', '=', gone.id).execute();
    await watch().tick();
    expect((await services.tasks.get(orphan.id)).status).toBe('blocked');
    expect((await services.tasks.get(shared.id)).status).toBe('assigned');
    expect((await openAlerts('task_stuck')).map(({ taskId }) => taskId)).toEqual([orphan.id]);
  });

  it('an agent whose run ended with its task open is reminded three times, then a person is told', async () => {
    const agent = await newAgent('a', { gatewayId: await gatewayOf(), externalId: 'main' });
    const deliveries = createDeliveries(services.base);
    const task = await newTask({ assigneeIds: [agent.id] });
    await go(task.id, 'assigned', 'in_progress');
    const [brief] = await deliveries.due();
    await deliveries.delivered(brief?.id ?? '');
    for (let round = 1; round <= 3; round++) {
      await journal(started(`c${round}`, { agentId: agent.id, taskId: task.id, runId: `r${round}` }), ended(`c${round}`));
      await journal({ type: 'run_end', at: services.time.now, runId: `r${round}`, agentId: agent.id, status: 'success', message: null });
      await watch().tick();
      expect(await deliveriesOf(task.id)).toHaveLength(round);
      pass(1);
      await watch().tick();
      await watch().tick();
      const said = await deliveriesOf(task.id);
      expect(said).toHaveLength(round + 1);
      expect(said.at(-1)?.text).toContain('nothing has happened on it');
      // One that has not arrived is not followed by another.
      pass(30);
      await watch().tick();
      expect(await deliveriesOf(task.id)).toHaveLength(round + 1);
      const [due] = await deliveries.due();
      await deliveries.delivered(due?.id ?? '');
      pass(0.1);
    }
    expect(await openAlerts('task_stuck')).toEqual([]);
    pass(16);
    await watch().tick();
    expect((await openAlerts('task_stuck')).map(({ message }) => message)).toEqual([expect.stringContaining('3 reminders did not help')]);
    // It moves: nothing is stuck any more.
    pass(1);
    await go(task.id, 'review');
    await watch().tick();
    expect(await openAlerts('task_stuck')).toEqual([]);
  });

  it('a task that waits for a person, or for another task, is not quiet', async () => {
    const agent = await newAgent('a');
    const first = await newTask({ assigneeIds: [agent.id] });
    const second = await newTask({ assigneeIds: [agent.id], dependsOn: [first.id] });
    const asks = await newTask({ assigneeIds: [agent.id] });
    await go(second.id, 'assigned');
    await go(asks.id, 'assigned', 'in_progress');
    await services.holds.open(holdRequest(factsOfCall({ id: 'c', agentId: agent.id, taskId: asks.id })));
    pass(60);
    await watch().tick();
    expect(await openAlerts('task_stuck')).toEqual([]);
  });

  it('an agent whose calls fail in a row is reported, and by policy paused; a success ends it', async () => {
    const agent = await newAgent('a');
    const fail = async (times: number) => {
      for (let i = 0; i < times; i++) {
        const id = `f${seq}`;
        await journal(started(id, { agentId: agent.id }), ended(id, 0, 'failed'));
      }
    };
    await fail(9);
    await watch().tick();
    expect(await openAlerts('agent_error_streak')).toEqual([]);
    await fail(1);
    await watch().tick();
    await watch().tick();
    expect((await openAlerts('agent_error_streak')).map(({ agentId }) => agentId)).toEqual([agent.id]);
    expect((await services.agents.get(agent.id)).status).toBe('active');
    await journal(started('ok', { agentId: agent.id }), ended('ok'));
    await watch().tick();
    expect(await openAlerts('agent_error_streak')).toEqual([]);

    const before = services.policies.current().id;
    const source = readFileSync(new URL('../../policies/default.yaml', import.meta.url), 'utf8').replace(
      'errorStreak: alert',
      'errorStreak: pause',
    );
    const replay = { id: 'none', redFlips: 0 };
    const { id } = await services.policies.add(ADMIN, { source, document: {}, note: 'n' });
    await services.policies.activate(ADMIN, id, 'n', replay);
    await fail(10);
    await watch().tick();
    expect(await services.agents.get(agent.id)).toMatchObject({ status: 'paused', statusReason: '10 calls in a row have failed' });
    await services.policies.activate(ADMIN, before, 'n', replay);
  });

  it('a sub-agent ends with its time, and one for a single run when that is over and nothing of it goes on', async () => {
    const parent = await newAgent('a', { gatewayId: await gatewayOf(), externalId: 'main', gate: 'openclaw' });
    const began = (sessionKey: string, lasting: boolean, parentId = parent.id): JournalEvent => {
      const gatewayId = parent.gatewayId;
      return { type: 'spawned', at: services.time.now, parentId, gatewayId, sessionKey, label: null, lasting, taskId: null };
    };
    const bySession = async (sessionKey: string) =>
      (await services.agents.list({ limit: 100 })).items.find((agent) => agent.sessionKey === sessionKey);
    await journal(began('once', false), began('lasting', true));
    const [once, lasting] = [await bySession('once'), await bySession('lasting')];
    await journal(began('inner', false, once?.id));
    for (const [index, agent] of [once, lasting, await bySession('inner')].entries()) {
      await journal(started(`s${index}`, { agentId: agent?.id, runId: `r${index}` }), ended(`s${index}`));
    }
    const over = (runId: string, agentId: string | undefined): JournalEvent => {
      return { type: 'run_end', at: services.time.now, runId, agentId: agentId ?? '', status: 'success', message: null };
    };
    await journal(over('r0', once?.id), over('r1', lasting?.id));
    const states = async () => Promise.all(['once', 'lasting', 'inner'].map(async (session) => (await bySession(session))?.status));
    pass(1);
    await services.agents.retire();
    expect(await states()).toEqual(['active', 'active', 'active']);
    await journal(over('r2', (await bySession('inner'))?.id));
    pass(1);
    await services.agents.retire();
    await services.agents.retire();
    expect(await states()).toEqual(['stopped', 'active', 'stopped']);
    pass(6 * 60);
    await services.agents.retire();
    expect(await bySession('lasting')).toMatchObject({ status: 'stopped', statusReason: 'its time is over' });
  });

  it('an agent that was to finish its task first is paused once it has none', async () => {
    const agent = await newAgent('a');
    const task = await newTask({ assigneeIds: [agent.id] });
    await go(task.id, 'assigned', 'in_progress');
    await services.agents.drain(ADMIN, agent.id, null);
    await watch().tick();
    expect((await services.agents.get(agent.id)).status).toBe('drained');
    await go(task.id, 'review');
    await services.tasks.move(HUMAN, ADMIN, task.id, { to: 'done', artifacts: { deliverableConfirmed: true, decisionNote: 'ok' } });
    await watch().tick();
    expect(await services.agents.get(agent.id)).toMatchObject({ status: 'paused', statusReason: 'its task is finished' });
  });
});

describe('the standup', () => {
  it('of a fixed day is the golden document, written once, from nine o’clock on', async () => {
    const standup = () => dailyStandup({ ...services.base, activePolicy: services.policies.current });
    services.time.now = Date.UTC(2026, 10, 21, 8);
    const [ada, bob] = [await newAgent('ada'), await newAgent('bob')];
    const done = await newTask({ title: 'Write the <b>page</b>', type: 'content', assigneeIds: [ada.id], evidence: ['e'] });
    await go(done.id, 'assigned', 'in_progress');
    await journal(started('c1', { agentId: ada.id, taskId: done.id }), ended('c1', 1_250_000));
    await journal(started('c2', { agentId: bob.id }), ended('c2', 50_000, 'failed'));
    await go(done.id, 'review');
    await services.tasks.move(HUMAN, ADMIN, done.id, { to: 'done', artifacts: { deliverableConfirmed: true, decisionNote: 'good' } });
    const review = await newTask({ title: 'Read the numbers', assigneeIds: [bob.id] });
    await go(review.id, 'assigned', 'in_progress', 'review');
    const blocked = await newTask({ title: 'Move the house', assigneeIds: [bob.id] });
    await services.db.transaction().execute(async (tx) => {
      await services.tasks.block(tx, blocked.id, 'the door is locked');
      await services.alerts.raise(tx, { type: 'task_stuck', severity: 'high', taskId: blocked.id, message: 'Nothing moves' });
    });
    await services.holds.open(holdRequest(factsOfCall({ id: 'c3', agentId: bob.id })));
    // Of another day, and told of by nobody here.
    services.time.now = Date.UTC(2026, 10, 22, 1);
    await journal(started('c4', { agentId: ada.id }), ended('c4', 9_000_000));

    services.time.now = Date.UTC(2026, 10, 22, 8, 59);
    await standup().tick();
    expect((await services.documents.list({ kind: 'standup', limit: 10 })).items).toEqual([]);
    services.time.now = Date.UTC(2026, 10, 22, 9);
    await Promise.all([standup().tick(), standup().tick()]);
    pass(120);
    await standup().tick();
    const { items } = await services.documents.list({ kind: 'standup', limit: 10 });
    expect(items.map(({ day, title }) => [day, title])).toEqual([['2026-11-21', 'Standup for 2026-11-21']]);
    if (process.env.UPDATE_GOLDEN) writeFileSync(GOLDEN, items[0]?.body ?? '');
    expect(items[0]?.body).toBe(readFileSync(GOLDEN, 'utf8'));
    services.time.now += DAY;
    await standup().tick();
    expect((await services.documents.list({ kind: 'standup', limit: 10 })).items).toHaveLength(2);
  });
});

describe('retention', () => {
  it('forgets what calls said after its days, and keeps who did what at which cost', async () => {
    const agent = await newAgent('a');
    await journal(started('old', { agentId: agent.id }), ended('old', 5));
    await journal(started('open', { agentId: agent.id }));
    pass(91 * 24 * 60);
    await journal(started('new', { agentId: agent.id }), ended('new'));
    const audited = await services.db.selectFrom('audit_log').select('seq').execute();
    await retention({ db: services.db, clock: services.base.clock, keepDays: 0 }).tick();
    const kept = async () =>
      Object.fromEntries(
        (await services.db.selectFrom('tool_calls').selectAll().execute()).map((call) => [call.id, [call.output, call.cost, call.input]]),
      );
    expect((await kept()).old).toEqual(['out', 5, { a: 1 }]);
    await retention({ db: services.db, clock: services.base.clock, keepDays: 90 }).tick();
    expect(await kept()).toEqual({ old: [null, 5, {}], open: [null, null, { a: 1 }], new: ['out', 0, { a: 1 }] });
    // The chain keeps every row and drops the old payloads; what it says of them stands.
    const rows = await services.db.selectFrom('audit_log').selectAll().orderBy('seq').execute();
    expect(rows.map(({ seq }) => ({ seq }))).toEqual(audited);
    const inputs = rows.filter(({ action }) => action === 'call.started');
    expect(inputs.map(({ subject_id, payload }) => [subject_id, payload])).toEqual([
      ['old', null],
      ['open', null],
      ['new', { input: { a: 1 } }],
    ]);
    expect(inputs.map(({ details }) => details.payloadHash)).toEqual(Array(3).fill(expect.stringMatching(/^[0-9a-f]{64}$/)));
    expect(await verifyAudit(services.db)).toMatchObject({ ok: true });
  });
});
