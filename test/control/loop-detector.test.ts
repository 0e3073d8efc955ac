import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { JournalEvent } from '../../control/contract.ts';
import type { Worker } from '../../control/workers/loop.ts';
import { loopDetector } from '../../control/workers/loop-detector.ts';
import { ADMIN, factsOfCall, judged, type Services, startServices } from '../support/services.ts';

const MINUTE = 60_000;
const HUMAN = { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null } as const;

let services: Services;
let detector: Worker;
let agents: string[];
let seq = 0;
beforeAll(async () => {
  services = await startServices();
  const { base, tasks, alerts, policies } = services;
  detector = loopDetector({ ...base, tasks, alerts, activePolicy: policies.current });
  agents = await Promise.all(['ada', 'bob'].map(async (name) => (await services.agents.create(ADMIN, { name })).id));
});
afterAll(() => services.close());

/** A task in progress that both agents work on. */
let task: string;
beforeEach(async () => {
  const created = await services.tasks.create(ADMIN, {
    title: 'Round and round',
    type: 'ops',
    assigneeIds: agents,
    workPlan: 'p',
    deliverable: 'd',
    selfReview: 's',
  });
  task = created.id;
  await go('assigned');
  await go('in_progress');
});

const go = (to: 'assigned' | 'in_progress' | 'review') => services.tasks.move(HUMAN, ADMIN, task, { to });
const statusOf = async (id = task) => (await services.tasks.get(id)).status;
const summaries = async () => (await services.documents.list({ kind: 'loop_summary', taskId: task, limit: 10 })).items;
const openAlerts = async () =>
  (await services.alerts.list({ resolved: false, limit: 100 })).items.filter(
    (alert) => alert.taskId === task && alert.type === 'loop_detected',
  );

async function comment(count: number, by: (i: number) => number | null = () => null): Promise<void> {
  for (let i = 0; i < count; i++) {
    services.time.now += 1_000;
    const author = by(i);
    const id = author === null ? undefined : agents[author];
    const actor = id === undefined ? ADMIN : { type: 'agent' as const, id, name: `agent ${author}` };
    await services.messages.post(actor, { taskId: task, content: `no, you <b>do</b> it (${i})` });
  }
}

async function review(times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    await go('review');
    await go('in_progress');
  }
}

/** Calls of one tool that end as said; "ok" is a success. */
async function fail(...errors: string[]): Promise<void> {
  for (const error of errors) {
    services.time.now += 1_000;
    const at = services.time.now;
    const call = factsOfCall({ id: `call-${seq}`, agentId: agents[0] ?? '', taskId: task, at });
    const events: JournalEvent[] = [
      { type: 'intent', at, call, judged: judged({ verdict: 'allow' }), input: {}, summary: 'make it', approvalId: null },
      {
        type: 'completed',
        at,
        id: call.id,
        status: error === 'ok' ? 'success' : 'failed',
        output: null,
        error: error === 'ok' ? null : error,
        durationMs: 1,
        cost: 0,
      },
    ];
    await services.ingest.ingest(
      'p',
      events.map((event) => ({ seq: ++seq, event })),
    );
  }
}

describe('a loop', () => {
  const rules: [name: string, allowed: () => Promise<void>, more: () => Promise<void>, said: RegExp][] = [
    ['20 comments in 30 minutes', () => comment(20), () => comment(1), /21 comments/],
    ['3 review cycles', () => review(3), () => review(1), /4 review cycles/],
    ['8 times back and forth', () => comment(9, (i) => i % 2), () => comment(1, () => 1), /9 messages went back and forth/],
    [
      '3 retries with the same error',
      () => fail('timeout after 31 ms', 'timeout after 5 ms', 'timeout after 77 ms', 'timeout after 8 ms'),
      () => fail('timeout after 9 ms'),
      /4 retries/,
    ],
  ];
  for (const [name, allowed, more, said] of rules) {
    it(`of ${name} passes, one more is contained: blocked, an alert, a summary`, async () => {
      await allowed();
      await detector.tick();
      expect(await statusOf()).toBe('in_progress');
      expect(await summaries()).toEqual([]);

      await more();
      await detector.tick();
      expect(await statusOf()).toBe('blocked');
      expect((await services.tasks.get(task)).blockedReason).toMatch(said);
      expect(await openAlerts()).toHaveLength(1);
      const [summary] = await summaries();
      expect(summary?.body).toMatch(said);
      expect(summary?.body).toContain('## What next');

      // Another pass, by this process or another one, changes nothing.
      await detector.tick();
      expect(await summaries()).toHaveLength(1);
      const moves = await services.tasks.transitions(task);
      expect(moves.filter(({ toStatus, actor }) => toStatus === 'blocked' && actor === 'system')).toHaveLength(1);
    });
  }

  it('is over once a person has unblocked the task: the counts begin anew', async () => {
    await comment(21);
    await detector.tick();
    expect(await statusOf()).toBe('blocked');
    services.time.now += 1_000;
    await go('in_progress');
    await comment(20);
    await detector.tick();
    expect(await statusOf()).toBe('in_progress');
    await comment(1);
    await detector.tick();
    expect(await statusOf()).toBe('blocked');
  });

  it('is none where the window has passed, the error is another one, or it went well in between', async () => {
    await comment(20);
    services.time.now += 31 * MINUTE;
    await comment(5);
    await fail('a', 'b', 'a', 'b', 'a', 'b');
    await fail('c', 'c', 'c', 'ok', 'c', 'c', 'c');
    await detector.tick();
    expect(await statusOf()).toBe('in_progress');
  });

  it('quotes what agents wrote as text, not as markup', async () => {
    await comment(21, () => 0);
    await detector.tick();
    const [summary] = await summaries();
    expect(summary?.body).toContain('\\<b>do');
  });
});
