import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runDemo, sampleWork } from '../../control/commands/demo.ts';
import { ScriptedAgent, type ScriptedWork, type TaskLine } from '../../control/commands/scripted-agent.ts';
import { decide } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

const AGENTS = 20;
const TASKS = 100;
const TYPES = ['docs', 'ops', 'engineering', 'content', 'customer_research'];

interface Page<T> {
  items: T[];
  nextCursor: string | null;
}
interface Row {
  id: string;
  status: string;
  [field: string]: unknown;
}

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

async function all<T extends Row>(path: string): Promise<T[]> {
  const items: T[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: Page<T> = (
      await world.api<Page<T>>('GET', `${path}${path.includes('?') ? '&' : '?'}limit=500${cursor && `&cursor=${cursor}`}`)
    ).body;
    items.push(...page.items);
    cursor = page.nextCursor;
  }
  return items;
}

/** The sample work without its waits; every tenth task has a call that a person must decide. */
function work(task: TaskLine): ScriptedWork {
  const sample = sampleWork({ ...task, type: task.number % 10 === 0 ? 'email_marketing' : 'docs' });
  return { ...sample, calls: sample.calls.map((call) => ({ ...call, arguments: { ...call.arguments } })) };
}

/** The same numbers for the same seed. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

describe('twenty agents and a hundred tasks', () => {
  it('come to review by themselves, to done with the final approval, with nothing lost and the cost attributed', async () => {
    const team = await Promise.all(
      Array.from({ length: AGENTS }, async (_, index) => {
        const { id, token } = await newAgent(world, { name: `member-${index}` });
        const options = {
          id,
          token,
          gateUrl: world.gateUrl,
          workFor: work,
          random: seeded(index + 1),
          breakOff: 0.03,
          pause: async () => {},
        };
        return { id, agent: new ScriptedAgent(options) };
      }),
    );
    for (let nth = 0; nth < TASKS; nth++) {
      const task = await world.api<Row>('POST', '/tasks', {
        title: `Task ${nth}`,
        type: TYPES[nth % TYPES.length],
        assigneeIds: [team[nth % AGENTS]?.id],
      });
      await world.api('POST', `/tasks/${task.body.id}/transition`, { to: 'assigned' });
    }
    await Promise.all(
      team.map(async ({ agent }) => {
        for (let turn = await agent.turn(); turn === 'worked'; turn = await agent.turn());
      }),
    );

    const before = await all<Row>('/tasks');
    const inReview = before.filter(({ status }) => status === 'review');
    expect(inReview.length).toBeGreaterThanOrEqual(0.8 * TASKS);
    // What is not there waits for a person, and says so.
    const pending = await all<Row>('/approvals?status=pending');
    const waiting = before.filter(({ status }) => status !== 'review');
    expect(waiting.every(({ id }) => pending.some(({ taskId }) => taskId === id))).toBe(true);

    for (const { id } of inReview) {
      const artifacts = { deliverableConfirmed: true, decisionNote: 'good' };
      expect((await world.api('POST', `/tasks/${id}/transition`, { to: 'done', artifacts })).status).toBe(200);
    }
    const done = (await all<Row>('/tasks')).filter(({ status }) => status === 'done');
    expect(done.length).toBeGreaterThanOrEqual(0.6 * TASKS);

    // The held calls are decided, and their agents go on.
    for (const { id } of pending) await decide(world, id, 'approve');
    await Promise.all(
      team.map(async ({ agent }) => {
        for (let turn = await agent.turn(); turn !== 'idle'; turn = await agent.turn());
      }),
    );
    const after = await all<Row>('/tasks');
    expect(after.filter(({ status }) => status === 'done' || status === 'review')).toHaveLength(TASKS);

    const runs = await until(
      () => all<Row>('/runs'),
      (rows) => rows.every(({ status }) => status !== 'running'),
      30_000,
    );
    const failed = runs.filter(({ status }) => status === 'failed');
    const closed = new Set(after.filter(({ status }) => status === 'done' || status === 'review').map(({ id }) => id));
    const dead = failed.filter(({ taskId }) => !closed.has(String(taskId)));
    expect(failed.length).toBeGreaterThan(0);
    expect(dead.length).toBeLessThan(0.05 * runs.length);

    type Call = Row & { cost: number | null; taskId: string | null };
    const cost = (rows: readonly Call[]) => rows.reduce((sum, row) => sum + (row.cost ?? 0), 0);
    const spentOf = (tasks: readonly Row[]) => tasks.reduce((sum, task) => sum + Number(task.spend), 0);
    // The last outcomes may still be on their way into the record, from several proxies.
    const { calls, spent } = await until(
      async () => ({ calls: await all<Call>('/tool-calls'), spent: spentOf(await all<Row>('/tasks')) }),
      (now) => Math.abs(now.spent - cost(now.calls)) < 5e-7,
    );
    expect(cost(calls)).toBeGreaterThan(1);
    expect(cost(calls.filter(({ taskId }) => taskId !== null)) / cost(calls)).toBeGreaterThanOrEqual(0.95);
    expect(spent).toBeCloseTo(cost(calls), 6);
    const attributed = cost(calls.filter(({ taskId }) => taskId !== null)) / cost(calls);
    const counts = {
      review: inReview.length,
      done: done.length,
      closed: closed.size,
      runs: runs.length,
      brokenOff: failed.length,
      dead: dead.length,
    };
    console.log(JSON.stringify({ agents: AGENTS, tasks: TASKS, ...counts, calls: calls.length, attributed }));
  }, 300_000);
});

describe('the demonstration', () => {
  it('leaves a folder with other agents alone', async () => {
    await newAgent(world);
    await expect(runDemo({ ...demo(world), gateUrl: world.gateUrl }, AbortSignal.abort())).rejects.toThrow('There are agents already');
  });

  it('fills board, inbox and feed within a minute', async () => {
    const own = await startWorld();
    const stop = new AbortController();
    const over = runDemo({ ...demo(own), gateUrl: own.gateUrl }, stop.signal);
    over.catch(() => {}); // awaited below
    try {
      const states = await until(
        async () => new Set((await own.api<Page<Row>>('GET', '/tasks?limit=100')).body.items.map(({ status }) => status)),
        (seen) => seen.has('assigned') && seen.has('in_progress') && seen.has('review'),
        100_000,
      );
      expect(states.size).toBeGreaterThanOrEqual(3);
      await until(
        () => own.api<Page<Row>>('GET', '/approvals?status=pending'),
        ({ body }) => body.items.length > 0,
        100_000,
      );
      const feed = await own.api<Page<Row>>('GET', '/activities?limit=100');
      expect(feed.body.items.length).toBeGreaterThan(20);
      expect((await own.api<{ todaySpend: number }>('GET', '/overview')).body.todaySpend).toBeGreaterThan(0);
    } finally {
      stop.abort();
      await over;
      await own.close();
    }
  }, 260_000);
});

function demo(target: World) {
  const ask = async <T>(method: string, path: string, body?: unknown) => {
    const { status, body: answer } = await target.api<T>(method, path, body);
    if (status >= 400) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  return {
    client: { get: <T>(path: string) => ask<T>('GET', path), post: <T>(path: string, body: unknown) => ask<T>('POST', path, body) },
    log: { info: () => {}, warn: () => {} },
  };
}
