/** The answer after an incident, and the stories that it is made of: of a task, a run, an agent and a window of time. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JournalEvent } from '../../control/contract.ts';
import { createIncidents, type Incidents, incidentAsMarkdown } from '../../control/incidents.ts';
import { createTimeline, type Timeline } from '../../control/timeline.ts';
import { ADMIN, factsOfCall, holdRequest, judged, type Services, startServices } from '../support/services.ts';

let services: Services;
let timeline: Timeline;
let incidents: Incidents;
let seq = 0;
beforeAll(async () => {
  services = await startServices();
  timeline = createTimeline({ db: services.db, activePolicy: services.policies.current });
  incidents = createIncidents({ ...services.base, timeline });
});
afterAll(() => services.close());

let ada: string;
let bob: string;
let task: string;
beforeEach(async () => {
  await services.empty();
  seq = 0;
  const { agents, tasks } = services;
  ada = (await agents.create(ADMIN, { name: 'ada' })).id;
  bob = (await agents.create(ADMIN, { name: 'bob' })).id;
  task = (await tasks.create(ADMIN, { title: 'Ship <it>', type: 'docs', assigneeIds: [ada] })).id;
  pass(1000);
  await journal(call('c1', ada, { taskId: task }), end('c1', 200_000));
  pass(1000);
  await journal(
    call('c2', ada, { taskId: task }, 'denied', { code: 'SHELL_BLOCKED', message: 'rm is blocked', policyPath: 'allowlists.shell' }),
    call('c3', ada, { taskId: task }),
    end('c3', 50_000, 'unknown'),
    call('c4', bob, { runId: 'r2' }),
    end('c4', 25_000, 'failed'),
  );
  pass(1000);
  await services.holds.open(
    holdRequest(factsOfCall({ id: 'c5', agentId: ada, taskId: task, at: services.time.now }), { summary: 'make [it](http://x) `go`' }),
  );
  pass(1000);
  await services.agents.quarantine(ADMIN, bob, 'it ran wild');
  await services.db
    .transaction()
    .execute((tx) => services.alerts.raise(tx, { type: 'task_stuck', severity: 'high', taskId: task, message: 'Nothing moves' }));
  pass(1000);
});

const pass = (ms: number) => {
  services.time.now += ms;
};
const journal = (...events: JournalEvent[]) =>
  services.ingest.ingest(
    'p',
    events.map((event) => ({ seq: ++seq, event })),
  );
const call = (
  id: string,
  agentId: string,
  rest: Parameters<typeof factsOfCall>[0] extends infer F ? Partial<F> : never,
  type: 'intent' | 'denied' = 'intent',
  reason?: { code: 'SHELL_BLOCKED'; message: string; policyPath: string },
): JournalEvent => ({
  ...{ type, at: services.time.now, input: {}, summary: `make ${id}`, approvalId: null },
  call: factsOfCall({ id, agentId, at: services.time.now, ...rest }),
  judged: judged({ verdict: type === 'denied' ? 'deny' : 'allow', risk: 'green', reasons: reason ? [reason] : [] }),
});
const end = (id: string, cost: number, status: 'success' | 'failed' | 'unknown' = 'success'): JournalEvent => ({
  ...{ type: 'completed', id, at: services.time.now, status, output: null, error: null, durationMs: 5, cost },
});

describe('an incident', () => {
  test('of a task is answered: what, who, why, at which cost, what next', async () => {
    const { what, who, why, cost, next, subject } = await incidents.answer({ task });
    expect(subject).toEqual({ kind: 'task', id: task, name: '#1 Ship <it>' });
    expect(what).toMatchObject({ calls: 4, denied: 1, held: 1, unknown: 1, failed: 0, isCut: false });
    // A call that was simply allowed and went well is counted and not listed.
    expect(what.entries.filter(({ kind }) => kind === 'call').map(({ id }) => id)).toEqual(['c5', 'c3', 'c2']);
    expect(what.entries.find(({ id }) => id === 'c2')?.cause).toEqual({
      by: 'policy',
      id: 'v1',
      text: 'SHELL_BLOCKED at allowlists.shell',
    });
    expect(who).toEqual([{ type: 'agent', id: ada, name: 'ada', calls: 4, acts: 0, spend: 0.25 }]);
    expect(why).toEqual([{ code: 'SHELL_BLOCKED', message: 'rm is blocked', policyPath: 'allowlists.shell', calls: 1 }]);
    expect(cost).toMatchObject({ spend: 0.25, byTool: [{ id: null, name: 'exec', spend: 0.25, calls: 4 }] });
    expect(next.map(({ kind, text }) => `${kind}: ${text}`)).toEqual([
      'alert: Look at the open alert (high): Nothing moves',
      expect.stringMatching(/^approval: Decide approval 1: exec make/),
      'call: Find out whether this call took effect: exec make c3',
    ]);
  });

  test('of an agent, and of a window, names the people who acted', async () => {
    const own = await incidents.answer({ agent: bob });
    expect(own.what).toMatchObject({ calls: 1, failed: 1 });
    expect(own.who).toContainEqual({ type: 'human', id: 'admin', name: expect.any(String), calls: 0, acts: expect.any(Number), spend: 0 });
    expect(own.what.entries).toContainEqual(
      expect.objectContaining({ kind: 'act', cause: { by: 'human', id: 'admin', text: 'it ran wild' } }),
    );
    expect(own.next).toContainEqual({
      kind: 'agent',
      id: bob,
      text: 'bob is quarantined: it ran wild. Restart it when it may work again.',
    });
    const to = services.time.now;
    const whole = await incidents.answer({ from: to - 60_000, to });
    expect(whole.what.calls).toBe(5);
    expect(whole.cost.byAgent.map(({ name, spend }) => [name, spend])).toEqual([
      ['ada', 0.25],
      ['bob', 0.025],
    ]);
    expect((await incidents.answer({ from: to - 60_000, to: to - 50_000 })).what).toMatchObject({ calls: 0, entries: [] });
  });

  test('is written down as Markdown in which nothing that an agent said is markup', async () => {
    const text = incidentAsMarkdown(await incidents.answer({ task }));
    for (const title of ['What happened', 'Who', 'Why', 'What it cost', 'What next']) expect(text).toContain(`## ${title}`);
    expect(text).toContain('# Incident: task \\#1 Ship &lt;it&gt;');
    expect(text).toContain('make \\[it\\]\\(http://x\\) \\`go\\`');
    expect(text).toContain('0.25 USD in all.');
  });

  test.each([{}, { task: 'a', agent: 'b' }, { from: 1 }, { from: 5, to: 4 }])('is refused for %j', async (query) => {
    await expect(incidents.answer(query)).rejects.toMatchObject({ status: 400 });
  });

  test('of something unknown is refused', async () => {
    await expect(incidents.answer({ task: 'nothing' })).rejects.toMatchObject({ status: 404 });
    await expect(incidents.answer({ agent: 'nobody' })).rejects.toMatchObject({ status: 404 });
  });
});

describe('a story', () => {
  test('of a run has its calls and nothing else', async () => {
    const run = await services.db.selectFrom('runs').select('id').where('run_id', '=', 'r2').executeTakeFirstOrThrow();
    const { items } = await timeline.readRun(run.id, { limit: 50 });
    expect(items.map(({ kind, id, cost }) => [kind, id, cost])).toEqual([
      ['call', 'c4', 0.025],
      ['run', run.id, 0.025],
    ]);
  });

  test('reads the same forwards, backwards and in pages of any size', async () => {
    for (const read of [
      (page: Parameters<Timeline['read']>[1]) => timeline.read(task, page),
      (page: Parameters<Timeline['read']>[1]) => timeline.readAgent(ada, page),
      (page: Parameters<Timeline['read']>[1]) => timeline.story({ kind: 'window' }, page),
    ]) {
      const whole = (await read({ limit: 100 })).items.map(({ kind, id }) => `${kind} ${id}`);
      expect(whole.length).toBeGreaterThan(4);
      for (const order of ['asc', 'desc'] as const) {
        for (const limit of [1, 3]) {
          const paged: string[] = [];
          let cursor: string | undefined;
          do {
            const page = await read({ limit, cursor, order });
            paged.push(...page.items.map(({ kind, id }) => `${kind} ${id}`));
            cursor = page.nextCursor ?? undefined;
          } while (cursor !== undefined);
          expect(paged).toEqual(order === 'asc' ? whole : whole.toReversed());
        }
      }
    }
  });
});
