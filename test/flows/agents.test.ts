import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

const newCaller = async (fields: Record<string, unknown> = {}) => {
  const agent = await newAgent(world, fields);
  return { ...agent, gate: gateOf(world, agent.token) };
};
const control = (id: string, action: string, body: object = {}) => world.api('POST', `/agents/${id}/${action}`, body);
const newTask = async (assignee: string, fields: object = {}) =>
  (await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [assignee], ...fields })).body.id;
const taskStatus = async (id: string) => (await world.api('GET', `/tasks/${id}`)).body.status;

describe('a paused agent', () => {
  it('runs nothing from the moment that the pause is answered, and goes on after a restart', async () => {
    const { id, gate } = await newCaller();
    const held = await gate.exec('make x');
    const running = await gate.exec('ls docs');
    expect((await control(id, 'pause', { reason: 'lunch' })).body).toMatchObject({ status: 'paused', statusReason: 'lunch' });
    expect(codesOf(await gate.note())).toEqual(['AGENT_PAUSED']);
    expect(codesOf(await gate.exec('make y'))).toContain('AGENT_PAUSED');
    // What ran may still say how it ended, and what is held stays held.
    expect((await gate.end(running.body.id)).status).toBe(200);
    expect((await gate.poll(held.body.id)).status).toBe(202);
    const check = await world.gate('POST', '/v1/runs/check', {}, (await newAgent(world)).token);
    expect(check.body).toMatchObject({ allowed: true });
    await control(id, 'restart');
    expect((await gate.note()).status).toBe(200);
    await decide(world, held.body.approvalId, 'approve');
    expect((await gate.poll(held.body.id)).status).toBe(200);
  });

  it('may not start a run', async () => {
    const { id, token } = await newCaller();
    await control(id, 'pause');
    const check = await world.gate<{ allowed: boolean; reasons: { code: string }[] }>('POST', '/v1/runs/check', { runId: 'r9' }, token);
    expect(check.body).toMatchObject({ allowed: false, reasons: [{ code: 'AGENT_PAUSED' }] });
  });

  it('of many calls sent around the pause has none allowed after it', async () => {
    const { id, gate } = await newCaller();
    const answers: { at: number; status: number }[] = [];
    let answeredAt = Number.POSITIVE_INFINITY;
    const sending = Promise.all(
      Array.from({ length: 10 }, async () => {
        for (let after = 0; after < 3; ) {
          const at = Date.now();
          answers.push({ at, status: (await gate.exec('ls docs')).status });
          if (at >= answeredAt) after++;
        }
      }),
    );
    await until(
      () => answers.length,
      (count) => count > 20,
    );
    await control(id, 'pause');
    answeredAt = Date.now();
    await sending;
    expect(answers.filter((answer) => answer.at >= answeredAt && answer.status === 200)).toEqual([]);
    expect(answers.filter((answer) => answer.at >= answeredAt).length).toBeGreaterThanOrEqual(30);
  });
});

describe('a draining agent', () => {
  it('runs calls of its current task and refuses all others', async () => {
    const { id, gate } = await newCaller();
    const [current, other] = [await newTask(id), await newTask(id)];
    await world.api('PATCH', `/agents/${id}`, { currentTaskId: current });
    await control(id, 'drain');
    expect((await gate.note('x', { taskId: current })).status).toBe(200);
    expect((await gate.note('x')).status).toBe(200); // attributed to the current task
    expect(codesOf(await gate.note('x', { taskId: other }))).toEqual(['AGENT_DRAINED']);
    await world.api('POST', `/tasks/${current}/transition`, { to: 'canceled' });
    expect(codesOf(await gate.note('x'))).toEqual(['AGENT_DRAINED']);
  });

  it('without a current task runs nothing', async () => {
    const { id, gate } = await newCaller();
    await control(id, 'drain');
    expect(codesOf(await gate.note())).toEqual(['AGENT_DRAINED']);
  });

  it('cannot be given a current task that is not there', async () => {
    const { id } = await newCaller();
    expect(await world.api('PATCH', `/agents/${id}`, { currentTaskId: 'nowhere' })).toMatchObject({
      status: 400,
      body: { code: 'UNKNOWN_TASK' },
    });
    expect(await world.api('POST', '/agents', { name: 'x', currentTaskId: 'nowhere' })).toMatchObject({ status: 400 });
  });
});

describe('a quarantined agent', () => {
  it('runs nothing, has its held calls withdrawn and its tasks blocked, and is announced', async () => {
    const [bad, good] = [await newCaller(), await newCaller()];
    const held = await Promise.all([bad.gate.exec('make a'), bad.gate.exec('make b')]);
    const untouched = await good.gate.exec('make a');
    const waiting = held.map((answer) => bad.gate.poll(answer.body.id, 20_000));
    const [own, shared, foreign] = [
      await newTask(bad.id),
      await newTask(bad.id, { assigneeIds: [bad.id, good.id] }),
      await newTask(good.id),
    ];
    await control(bad.id, 'quarantine', { reason: 'it wrote to /etc' });
    const answers = await Promise.all(waiting);
    for (const answer of answers) expect([answer.status, codesOf(answer)[0]]).toEqual([403, 'AGENT_QUARANTINED']);
    for (const answer of held) {
      expect(await decide(world, answer.body.approvalId, 'approve')).toMatchObject({
        status: 409,
        body: { approval: { status: 'withdrawn' } },
      });
    }
    expect(codesOf(await bad.gate.note())).toEqual(['AGENT_QUARANTINED']);
    expect(await Promise.all([own, shared, foreign].map(taskStatus))).toEqual(['blocked', 'blocked', 'inbox']);
    expect((await good.gate.poll(untouched.body.id)).status).toBe(202);
    const alerts = await world.api<{ items: { type: string; agentId: string }[] }>('GET', '/alerts?resolved=false');
    expect(alerts.body.items).toContainEqual(expect.objectContaining({ type: 'agent_quarantined', agentId: bad.id }));
    await control(bad.id, 'restart');
    const after = await world.api<{ items: { type: string; agentId: string }[] }>('GET', '/alerts?resolved=false');
    expect(after.body.items).not.toContainEqual(expect.objectContaining({ type: 'agent_quarantined', agentId: bad.id }));
    // Back, but what was taken away stays away.
    expect((await bad.gate.note()).status).toBe(200);
    expect((await bad.gate.poll(held[0]?.body.id ?? '')).status).toBe(403);
  });

  it('cannot use a grant that it was given before', async () => {
    const { id, gate } = await newCaller();
    const held = await gate.exec('make x');
    await decide(world, held.body.approvalId, 'approve');
    await control(id, 'quarantine');
    expect(codesOf(await gate.poll(held.body.id))).toContain('AGENT_QUARANTINED');
    expect(codesOf(await gate.exec('make x'))).toContain('AGENT_QUARANTINED');
  });
});

describe('the squad', () => {
  it('pauses as a whole; one agent restarted by itself is out of it; the pause ends with the last', async () => {
    const [one, two] = [await newCaller(), await newCaller()];
    expect((await world.api('POST', '/emergency/pause-squad', { reason: 'all hands' })).body).toMatchObject({ squadPaused: true });
    for (const { gate } of [one, two]) expect(codesOf(await gate.note())).toEqual(expect.arrayContaining(['AGENT_PAUSED']));
    await control(one.id, 'restart');
    expect((await one.gate.note()).status).toBe(200);
    expect(codesOf(await two.gate.note())).toEqual(expect.arrayContaining(['SQUAD_PAUSED']));
    const { body } = await world.api<{ items: { id: string; status: string }[] }>('GET', '/agents?limit=500');
    for (const agent of body.items) if (agent.status === 'paused') await control(agent.id, 'restart');
    expect((await world.api('GET', '/emergency')).body).toMatchObject({ squadPaused: false });
    expect((await two.gate.note()).status).toBe(200);
  });

  it('is lifted as a whole by an administrator’s resume, and the agents stay paused', async () => {
    const { id, gate } = await newCaller();
    await world.api('POST', '/emergency/pause-squad', {});
    expect((await world.api('POST', '/emergency/resume', { note: 'done' })).body).toMatchObject({ squadPaused: false, estop: false });
    expect(codesOf(await gate.note())).toEqual(['AGENT_PAUSED']);
    expect(await world.api('POST', '/emergency/resume', { note: 'again' })).toMatchObject({ status: 409, body: { code: 'NOT_STOPPED' } });
    const { body } = await world.api<{ items: { id: string; status: string }[] }>('GET', '/agents?limit=500');
    for (const agent of body.items) if (agent.status === 'paused') await control(agent.id, 'restart');
    expect((await world.api('GET', `/agents/${id}`)).body).toMatchObject({ status: 'active' });
  });
});

describe('a deleted agent', () => {
  it('is unknown at the gate, its held calls are withdrawn, its records stay', async () => {
    const { id, gate } = await newCaller();
    const held = await gate.exec('make x');
    expect((await world.api('DELETE', `/agents/${id}`)).status).toBe(204);
    expect((await gate.note()).status).toBe(401);
    expect((await world.api('GET', `/agents/${id}`)).status).toBe(404);
    expect((await world.api('GET', `/approvals/${held.body.approvalId}`)).body).toMatchObject({ status: 'withdrawn' });
    expect((await world.api('GET', `/tool-calls/${held.body.id}`)).body).toMatchObject({ status: 'withdrawn', agentId: id });
    expect((await control(id, 'restart')).status).toBe(404);
    expect((await world.api('POST', `/agents/${id}/tokens`, {})).status).toBe(404);
  });
});

describe('an intern, a ceiling of tools, and a limit of calls', () => {
  it('bind at once, also when they change', async () => {
    const { id, gate } = await newCaller({ autonomyLevel: 'intern' });
    expect(codesOf(await gate.exec('ls docs'))).toEqual(['YELLOW_INTERN']);
    await world.api('PATCH', `/agents/${id}`, { autonomyLevel: 'specialist' });
    expect((await gate.exec('ls docs')).status).toBe(200);
    await world.api('PATCH', `/agents/${id}`, { toolPermissions: ['post_comment'] });
    expect(codesOf(await gate.exec('ls docs'))).toEqual(['TOOL_NOT_PERMITTED']);
    await world.api('PATCH', `/agents/${id}`, { toolPermissions: [] });
    expect(codesOf(await gate.note())).toEqual(['TOOL_NOT_PERMITTED']);
    await world.api('PATCH', `/agents/${id}`, { toolPermissions: null });
    expect((await gate.note()).status).toBe(200);
  });

  it('a rate refuses the call beyond it, and a full house the call that has no place', async () => {
    await usePolicy(world, { rates: { callsPerMinute: { post_comment: 10 } }, limits: { maxConcurrentPerAgent: 5 } });
    const { gate } = await newCaller();
    const burst = await Promise.all(Array.from({ length: 60 }, (_, index) => gate.exec(`ls docs/${index}`)));
    const allowed = burst.filter((answer) => answer.status === 200);
    expect(allowed).toHaveLength(5);
    for (const answer of burst) if (answer.status !== 200) expect(codesOf(answer)).toEqual(['RATE_LIMIT']);
    for (const answer of allowed) await gate.end(answer.body.id);
    expect((await gate.exec('ls docs')).status).toBe(200);
    const other = (await newCaller()).gate;
    const statuses: number[] = [];
    for (let count = 0; count < 14; count++) {
      const answer = await other.note(`${count}`);
      statuses.push(answer.status);
      if (answer.status === 200) await other.end(answer.body.id);
      else expect(codesOf(answer)).toEqual(['RATE_LIMIT']);
    }
    expect(statuses).toEqual([...Array(10).fill(200), ...Array(4).fill(403)]);
    await usePolicy(world, { rates: null, limits: { maxConcurrentPerAgent: 256 } });
  });
});
