import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

const STATES = ['inbox', 'assigned', 'in_progress', 'review', 'needs_approval', 'blocked', 'done', 'canceled'] as const;
type State = (typeof STATES)[number];

/** The plan's table, by hand: from, to, who. What is not here is illegal. a = agent, h = human, s = system. */
const TABLE = `
inbox assigned ahs | inbox needs_approval s | inbox blocked sh | inbox canceled h
assigned in_progress ah | assigned needs_approval s | assigned blocked sh | assigned canceled h | assigned inbox h
in_progress review ah | in_progress needs_approval s | in_progress blocked sh | in_progress canceled h | in_progress assigned h
review in_progress ah | review done h | review needs_approval sh | review blocked sh | review canceled h | review assigned h
needs_approval inbox h | needs_approval assigned h | needs_approval in_progress h | needs_approval review h
needs_approval blocked sh | needs_approval done h | needs_approval canceled h
blocked assigned h | blocked in_progress h | blocked needs_approval hs | blocked canceled h
done review h | done canceled h`;
const LEGAL = new Map(
  TABLE.trim()
    .split(/[|\n]/)
    .map((entry) => entry.trim().split(' '))
    .map(([from, to, who]) => [`${from} ${to}`, who ?? ''] as const),
);

/** What a task has that may enter every state. */
const COMPLETE = { workPlan: 'a plan', deliverable: 'a text', selfReview: 'fine', evidence: ['https://example.org'] };
const CLOSING = { deliverableConfirmed: true, decisionNote: 'good work' };
/** The moves of a person that lead to a state. */
const WAY: Record<State, readonly State[]> = {
  inbox: [],
  assigned: ['assigned'],
  in_progress: ['assigned', 'in_progress'],
  review: ['assigned', 'in_progress', 'review'],
  needs_approval: ['assigned', 'in_progress', 'review', 'needs_approval'],
  blocked: ['blocked'],
  done: ['assigned', 'in_progress', 'review', 'done'],
  canceled: ['canceled'],
};

let world: World;
let agent: Awaited<ReturnType<typeof newAgent>>;
beforeAll(async () => {
  world = await startWorld();
  agent = await newAgent(world);
});
afterAll(() => world.close());

interface TaskBody {
  id: string;
  status: State;
  code?: string;
  allowed?: { to: State; actors: string[] }[];
  missing?: string[];
  [field: string]: unknown;
}
const newTask = async (fields: object = {}) =>
  (await world.api<TaskBody>('POST', '/tasks', { title: 't', type: 'content', assigneeIds: [agent.id], ...fields })).body;
const move = (id: string, to: State, more: object = {}, token?: string) =>
  world.api<TaskBody>('POST', `/tasks/${id}/transition`, { to, ...more }, token);
const taskOf = async (id: string) => (await world.api<TaskBody>('GET', `/tasks/${id}`)).body;

/** A complete task in a state. */
async function taskIn(state: State): Promise<string> {
  const { id } = await newTask(COMPLETE);
  for (const to of WAY[state]) {
    const moved = await move(id, to, to === 'done' ? { artifacts: CLOSING } : {});
    if (moved.status !== 200) throw new Error(`${state}: ${JSON.stringify(moved.body)}`);
  }
  return id;
}

async function approvalOf(taskId: string): Promise<string> {
  const asked = await world.api<{ id: string }>('POST', '/approvals', { kind: 'task', taskId, summary: 'close it', reason: 'done' });
  await decide(world, asked.body.id, 'approve');
  return asked.body.id;
}

describe('the state machine by the API', () => {
  it('is the table that it publishes, and the plan’s', async () => {
    const { body } = await world.api<{ from: string; to: string; actors: string[] }[]>('GET', '/tasks/state-machine');
    const published = body.map(
      ({ from, to, actors }) =>
        `${from} ${to} ${actors
          .map((actor) => actor[0])
          .toSorted()
          .join('')}`,
    );
    const plan = [...LEGAL].map(([pair, who]) => `${pair} ${[...who].toSorted().join('')}`);
    expect(published.toSorted()).toEqual(plan.toSorted());
  });

  for (const from of STATES) {
    it(`from ${from} lets a person and an agent go where they may, and refuses all else with what is allowed`, async () => {
      for (const to of STATES) {
        const who = LEGAL.get(`${from} ${to}`) ?? '';
        const id = await taskIn(from);
        // An agent first: where it may not, the task must be where it was for the person.
        // Only REVIEW to DONE is an approval by itself (SPEC 8.3); from elsewhere one must have been given.
        const artifacts =
          to === 'done' ? { artifacts: { ...CLOSING, ...(from === 'needs_approval' && { approvalId: await approvalOf(id) }) } } : {};
        const byAgent = await move(id, to, artifacts, agent.token);
        const what = `${from} → ${to}`;
        if (who.includes('a')) expect([byAgent.status, byAgent.body.status], `agent ${what}`).toEqual([200, to]);
        else {
          const code = from === to ? 'SAME_STATE' : who === '' ? 'ILLEGAL_TRANSITION' : 'ACTOR_NOT_ALLOWED';
          expect([byAgent.status, byAgent.body.code], `agent ${what}`).toEqual([409, code]);
          const allowed = [...LEGAL].filter(([pair]) => pair.startsWith(`${from} `)).map(([pair]) => pair.split(' ')[1]);
          expect(byAgent.body.allowed?.map((entry) => entry.to).toSorted(), what).toEqual(allowed.toSorted());
          expect((await taskOf(id)).status, what).toBe(from);
        }
        const fresh = who.includes('a') ? await taskIn(from) : id;
        const byPerson = await move(fresh, to, artifacts);
        if (who.includes('h')) expect([byPerson.status, byPerson.body.status], `person ${what}`).toEqual([200, to]);
        else expect([byPerson.status, (await taskOf(fresh)).status], `person ${what}`).toEqual([409, from]);
      }
    });
  }

  it('records every move with its actor, from the credential and from nothing else', async () => {
    const { id } = await newTask(COMPLETE);
    await move(id, 'assigned', {}, agent.token);
    await move(id, 'in_progress', { reason: 'go' });
    expect((await move(id, 'review', { actor: 'human' }, agent.token)).status).toBe(400);
    const { body } = await world.api<{ items: Record<string, unknown>[] }>('GET', `/tasks/${id}/transitions`);
    expect(body.items.map(({ fromStatus, toStatus, actor, actorId, reason }) => [fromStatus, toStatus, actor, actorId, reason])).toEqual([
      ['inbox', 'assigned', 'agent', agent.id, null],
      ['assigned', 'in_progress', 'human', 'admin', 'go'],
    ]);
  });
});

describe('what a state needs', () => {
  it('is asked for on entry, and blank text is none', async () => {
    const { id } = await newTask();
    await move(id, 'assigned');
    expect((await move(id, 'in_progress')).body).toMatchObject({ code: 'ARTIFACTS_MISSING', missing: ['workPlan'] });
    expect((await move(id, 'in_progress', { artifacts: { workPlan: '  \n' } })).body).toMatchObject({ missing: ['workPlan'] });
    expect((await move(id, 'in_progress', { artifacts: { workPlan: 'p' } })).status).toBe(200);
    expect((await move(id, 'review')).body).toMatchObject({ missing: ['deliverable', 'selfReview', 'evidence'] });
    expect((await move(id, 'review', { artifacts: { deliverable: 'd', selfReview: 's' } })).body).toMatchObject({ missing: ['evidence'] });
    // What came with a refused move was not kept.
    expect(await taskOf(id)).toMatchObject({ deliverable: null, selfReview: null });
    expect((await move(id, 'review', { artifacts: { deliverable: 'd', selfReview: 's', evidence: ['e'] } })).status).toBe(200);
    for (const artifacts of [
      {},
      { deliverableConfirmed: true },
      { decisionNote: 'x' },
      { deliverableConfirmed: false, decisionNote: 'x' },
      { ...CLOSING, decisionNote: ' ' },
    ]) {
      expect((await move(id, 'done', { artifacts })).status, JSON.stringify(artifacts)).toBe(409);
    }
  });

  it('evidence is due for what makes claims, by type or as said', async () => {
    const review = { artifacts: { deliverable: 'd', selfReview: 's' } };
    for (const [type, fields, status] of [
      ['ops', {}, 200],
      ['docs', {}, 409],
      ['docs', { deliverableMakesClaims: false }, 200],
      ['ops', { deliverableMakesClaims: true }, 409],
    ] as const) {
      const { id } = await newTask({ type, workPlan: 'p', ...fields });
      await move(id, 'assigned');
      await move(id, 'in_progress');
      expect((await move(id, 'review', review)).status, `${type} ${JSON.stringify(fields)}`).toBe(status);
    }
  });

  it('closing is an approval by a person, and is kept as one; reopening takes the confirmation back', async () => {
    const id = await taskIn('review');
    expect((await move(id, 'done', { artifacts: CLOSING })).body).toMatchObject({
      status: 'done',
      deliverableConfirmed: true,
      decisionNote: 'good work',
    });
    const { body } = await world.api<{ items: object[] }>('GET', `/approvals?status=all&taskId=${id}`);
    expect(body.items).toMatchObject([{ kind: 'task', status: 'approved', approver: 'admin', decision: 'good work' }]);
    expect((await move(id, 'review')).body).toMatchObject({ status: 'review', deliverableConfirmed: false });
    expect((await move(id, 'done')).status).toBe(409);
  });

  it('an approval asked for in advance closes the task once a person gave it, and only this task', async () => {
    const [id, other] = [await taskIn('review'), await taskIn('review')];
    const asked = await world.api<{ id: string }>(
      'POST',
      '/approvals',
      { kind: 'task', taskId: id, summary: 'close it', reason: 'done' },
      agent.token,
    );
    const artifacts = { ...CLOSING, approvalId: asked.body.id };
    expect((await move(id, 'done', { artifacts })).body).toMatchObject({ code: 'ARTIFACTS_MISSING', missing: ['approval'] });
    await decide(world, asked.body.id, 'approve');
    expect((await move(other, 'done', { artifacts })).body).toMatchObject({ missing: ['approval'] });
    expect((await move(id, 'done', { artifacts: { ...CLOSING, approvalId: 'nothing' } })).body).toMatchObject({ missing: ['approval'] });
    expect((await move(id, 'done', { artifacts })).status).toBe(200);
  });

  it('other tasks that it depends on come first', async () => {
    const first = await newTask(COMPLETE);
    const second = await newTask({ ...COMPLETE, dependsOn: [first.id] });
    await move(second.id, 'assigned');
    expect(await move(second.id, 'in_progress')).toMatchObject({ status: 409, body: { code: 'DEPENDENCIES_OPEN' } });
    for (const to of ['assigned', 'in_progress', 'review'] as const) await move(first.id, to);
    await move(first.id, 'done', { artifacts: CLOSING });
    expect((await move(second.id, 'in_progress')).status).toBe(200);
    expect(await world.api('POST', '/tasks', { title: 't', type: 'ops', dependsOn: ['nowhere'] })).toMatchObject({
      status: 400,
      body: { code: 'UNKNOWN_TASK' },
    });
  });

  it('a closed task is not changed by its agent any more', async () => {
    for (const state of ['done', 'canceled'] as const) {
      const id = await taskIn(state);
      const answer = await world.api('PATCH', `/tasks/${id}`, { deliverable: 'something else' }, agent.token);
      expect(answer, state).toMatchObject({ status: 409, body: { code: 'TASK_CLOSED' } });
      expect((await taskOf(id)).deliverable).toBe('a text');
    }
  });
});

describe('the same move twice', () => {
  it('with one idempotency key is made once, also at the same moment', async () => {
    const { id } = await newTask(COMPLETE);
    const answers = await Promise.all(Array.from({ length: 6 }, () => move(id, 'assigned', { idempotencyKey: 'k1' })));
    expect(answers.map((answer) => answer.status)).toEqual(Array(6).fill(200));
    await move(id, 'in_progress');
    // The key still gives the first result: nothing moves back.
    expect((await move(id, 'assigned', { idempotencyKey: 'k1' })).body.status).toBe('in_progress');
    const { body } = await world.api<{ items: object[] }>('GET', `/tasks/${id}/transitions`);
    expect(body.items).toHaveLength(2);
  });

  it('under a key that was used for another move, or by somebody else, is refused and shows nothing', async () => {
    const { id } = await newTask(COMPLETE);
    await move(id, 'assigned', { idempotencyKey: 'mine' }, agent.token);
    const stranger = await newAgent(world);
    for (const answer of [
      await move(id, 'in_progress', { idempotencyKey: 'mine' }, agent.token),
      await move(id, 'assigned', { idempotencyKey: 'mine' }, stranger.token),
      await move(id, 'assigned', { idempotencyKey: 'mine' }),
    ]) {
      expect([answer.status, answer.body.code, answer.body.title === 't']).toEqual([422, 'IDEMPOTENCY_MISMATCH', false]);
    }
    const say = (content: string) => world.api<{ code?: string }>('POST', '/messages', { taskId: id, content, idempotencyKey: 'said' });
    expect([(await say('one')).status, (await say('one')).status, (await say('two')).body.code]).toEqual([
      201,
      201,
      'IDEMPOTENCY_MISMATCH',
    ]);
    expect((await world.api<{ items: object[] }>('GET', `/messages?taskId=${id}`)).body.items).toHaveLength(1);
  });
});

describe('an agent', () => {
  it('claims a task that nobody has, for itself, before another does', async () => {
    const { id } = await newTask({ ...COMPLETE, assigneeIds: [] });
    const rivals = await Promise.all(Array.from({ length: 4 }, () => newAgent(world)));
    const answers = await Promise.all(rivals.map((rival) => move(id, 'assigned', {}, rival.token)));
    expect(answers.map((answer) => answer.status).toSorted()).toEqual([200, 403, 403, 403]);
    const winner = rivals[answers.findIndex((answer) => answer.status === 200)];
    expect(await taskOf(id)).toMatchObject({ status: 'assigned', assigneeIds: [winner?.id] });
    expect((await move((await newTask({ assigneeIds: [] })).id, 'assigned')).body).toMatchObject({ missing: ['assigneeIds'] });
  });

  it('that starts a task has it as its current one until it ends', async () => {
    const worker = await newAgent(world);
    const current = async () => (await world.api('GET', `/agents/${worker.id}`)).body.currentTaskId;
    const { id } = await newTask({ ...COMPLETE, assigneeIds: [worker.id] });
    await move(id, 'assigned');
    expect(await current()).toBe(null);
    await move(id, 'in_progress', {}, worker.token);
    expect(await current()).toBe(id);
    await move(id, 'canceled');
    expect(await current()).toBe(null);
  });
});

describe('a task above a limit of loops', () => {
  const started = async (fields: object = {}) => {
    const worker = await newAgent(world);
    const { id } = await newTask({ ...COMPLETE, assigneeIds: [worker.id], ...fields });
    await move(id, 'assigned');
    await move(id, 'in_progress');
    return { id, worker, gate: gateOf(world, worker.token) };
  };
  const say = (taskId: string, content: string, token?: string) => world.api('POST', '/messages', { taskId, content }, token);
  /** The gateway hears of what was said a moment after the database has it. */
  const isRefused = async (gate: ReturnType<typeof gateOf>, said: RegExp) => {
    const answer = await until(gate.note, (last) => last.body.verdict === 'deny');
    expect(answer.body.reasons.find(({ code }) => code === 'LOOP')?.message).toMatch(said);
  };

  it('has its calls refused at once, before the detector has looked: comments, the same two, review cycles', async () => {
    const talked = await started();
    for (let nth = 0; nth < 20; nth++) await say(talked.id, `remark ${nth}`);
    expect((await talked.gate.note()).body.verdict).toBe('allow');
    await say(talked.id, 'one more');
    await isRefused(talked.gate, /^21 comments/);

    const answered = await started();
    for (let nth = 0; nth < 10; nth++) await say(answered.id, `no, you (${nth})`, nth % 2 === 0 ? undefined : answered.worker.token);
    await isRefused(answered.gate, /^9 messages went back and forth/);

    const reviewed = await started();
    for (let nth = 0; nth < 4; nth++) for (const to of ['review', 'in_progress'] as const) await move(reviewed.id, to);
    await isRefused(reviewed.gate, /^4 review cycles/);
    // A person who has looked at it blocks and unblocks: the counts begin anew.
    await move(reviewed.id, 'blocked');
    await move(reviewed.id, 'in_progress');
    await until(reviewed.gate.note, ({ body }) => body.verdict === 'allow');
  });
});

describe('a call of a task that is held', () => {
  const start = async (fields: object = {}) => {
    const worker = await newAgent(world);
    const { id } = await newTask({ ...COMPLETE, assigneeIds: [worker.id], ...fields });
    await move(id, 'assigned');
    await move(id, 'in_progress');
    return { worker, gate: gateOf(world, worker.token), id };
  };
  const isIn = (id: string, state: State) =>
    until(
      () => taskOf(id),
      (task) => task.status === state,
    );

  it('leaves the task where it is while somebody waits inline, and moves it when the wait ends, until a person has decided', async () => {
    await usePolicy(world, { holds: { inlineMs: 60_000 } });
    const { gate, id, worker } = await start();
    const inline = await gate.exec('make inline');
    expect((await taskOf(id)).status).toBe('in_progress');
    await decide(world, inline.body.approvalId, 'approve');
    expect((await taskOf(id)).status).toBe('in_progress');

    await usePolicy(world, { holds: { inlineMs: 300 } });
    const [one, two] = [await gate.exec('make one'), await gate.exec('make two')];
    await isIn(id, 'needs_approval');
    // Green calls go on, an exact approval still releases its call, the rest is held.
    expect((await gate.note()).status).toBe(200);
    // The gateway hears of the task's move a moment after the database has it.
    await until(
      () => gate.exec('ls docs'),
      (answer) => codesOf(answer)[0] === 'TASK_STATE',
    );
    const more = (await world.api<{ items: { id: string; toolCallId: string; summary: string }[] }>('GET', `/approvals?taskId=${id}`)).body
      .items;
    for (const { id: approval, summary } of more) if (summary.includes('ls docs')) await decide(world, approval, 'deny');
    await decide(world, one.body.approvalId, 'approve');
    expect((await taskOf(id)).status).toBe('needs_approval');
    expect((await gate.poll(one.body.id)).status).toBe(200);
    await decide(world, two.body.approvalId, 'deny');
    expect((await taskOf(id)).status).toBe('in_progress');
    const { body } = await world.api<{ items: Record<string, unknown>[] }>('GET', `/tasks/${id}/transitions`);
    expect(body.items.slice(-2).map(({ toStatus, actor, actorId }) => [toStatus, actor, actorId])).toEqual([
      ['needs_approval', 'system', null],
      ['in_progress', 'human', 'admin'],
    ]);
    expect((await world.api('GET', `/agents/${worker.id}`)).body.currentTaskId).toBe(id);
  });

  it('can be decided even where the task cannot go back: then it is blocked and says why', async () => {
    await usePolicy(world, { holds: { inlineMs: 0 } });
    const { gate, id } = await start();
    const held = await gate.exec('make stuck');
    await isIn(id, 'needs_approval');
    await world.api('PATCH', `/tasks/${id}`, { workPlan: null });
    expect(await decide(world, held.body.approvalId, 'approve')).toMatchObject({ status: 200, body: { status: 'approved' } });
    expect(await taskOf(id)).toMatchObject({ status: 'blocked', blockedReason: expect.stringContaining('workPlan') });
  });

  it('and taken back by its agent does not leave the task waiting for nothing', async () => {
    await usePolicy(world, { holds: { inlineMs: 0 } });
    const { gate, id } = await start();
    const held = await gate.exec('make nothing');
    await isIn(id, 'needs_approval');
    await gate.cancel(held.body.id);
    expect(await taskOf(id)).toMatchObject({ status: 'blocked', blockedReason: expect.stringContaining('withdrawn') });
  });

  it('is denied where the task is blocked, done or canceled, with an approval or without', async () => {
    await usePolicy(world, { holds: { inlineMs: 60_000 } });
    for (const to of ['blocked', 'canceled'] as const) {
      const { gate, id } = await start();
      const held = await gate.exec('make late');
      await decide(world, held.body.approvalId, 'approve');
      await move(id, to, { reason: 'enough' });
      const answer = await gate.poll(held.body.id);
      expect([answer.status, codesOf(answer)], to).toEqual([403, expect.arrayContaining(['TASK_STATE'])]);
      expect(codesOf(await gate.note('x', { taskId: id })), to).toEqual(['TASK_STATE']);
    }
  });
});
