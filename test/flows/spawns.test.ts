import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

interface AgentRow {
  id: string;
  name: string;
  status: string;
  statusReason: string | null;
  parentId: string | null;
  depth: number;
  autonomyLevel: string;
  todaySpend: number;
}
type Fields = Record<string, unknown>;

let world: World;
let gateway: { id: string; token: string };
let count = 0;
beforeAll(async () => {
  world = await startWorld();
  gateway = (await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'rig' })).body;
});
afterAll(() => world.close());

/** An agent in OpenClaw, and what it and its sub-agents say through the gateway. */
async function member(fields: Fields = {}) {
  const externalId = `m${++count}`;
  const agent = await newAgent(world, { gatewayId: gateway.id, externalId, gate: 'openclaw', autonomyLevel: 'lead', ...fields });
  const gate = gateOf(world, gateway.token);
  const session = `agent:${externalId}:main`;
  const call = (tool: string, args: Fields = {}, sessionKey = session) => gate.call(tool, args, { agentId: externalId, sessionKey });
  const note = (childSessionKey: string, state: 'began' | 'ended', sessionKey = session, token = gateway.token) =>
    world.gate('POST', '/v1/spawns', { agentId: externalId, sessionKey, childSessionKey, label: 'a helper', state }, token);
  return {
    ...agent,
    externalId,
    session,
    call,
    note,
    end: gate.end,
    spawn: (sessionKey = session) => call('sessions_spawn', { task: 'help' }, sessionKey),
    child: () => `agent:${externalId}:subagent:${crypto.randomUUID()}`,
    /** The record of a call that has ended. */
    recordOf: (id: string) =>
      until(
        () => world.api<Fields>('GET', `/tool-calls/${id}`),
        ({ body }) => body.status === 'success',
      ),
    children: async () => (await agents()).filter(({ parentId }) => parentId === agent.id),
  };
}
const agents = async () => (await world.api<{ items: AgentRow[] }>('GET', '/agents?limit=500')).body.items;
const named = async (id: string) => (await world.api<AgentRow>('GET', `/agents/${id}`)).body;

describe('a sub-agent', () => {
  it('is an agent of its own under its parent, known by its session, on its parent’s task, until it ends', async () => {
    const parent = await member();
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [parent.id], workPlan: 'p' });
    for (const to of ['assigned', 'in_progress']) await world.api('POST', `/tasks/${task.body.id}/transition`, { to });
    const allowed = await parent.spawn();
    expect(allowed.body.verdict).toBe('allow');
    const session = parent.child();
    expect((await parent.note(session, 'began')).status).toBe(200);
    expect((await parent.note(session, 'began')).status).toBe(200);
    await parent.end(allowed.body.id);
    const [child] = await until(parent.children, (children) => children.length > 0);
    expect(child).toMatchObject({
      depth: 1,
      status: 'active',
      autonomyLevel: 'lead',
      name: expect.stringContaining(`${parent.name}/a-helper-`),
    });

    const own = await parent.call('update_plan', {}, session);
    await parent.end(own.body.id);
    expect((await parent.recordOf(own.body.id)).body).toMatchObject({ agentId: child?.id, taskId: task.body.id });
    expect(await parent.children()).toHaveLength(1);

    await parent.note(session, 'ended');
    await until(
      () => named(child?.id ?? ''),
      ({ status }) => status === 'stopped',
    );
    await until(
      () => parent.call('post_comment', { text: 'still here' }, session),
      (answer) => codesOf(answer)[0] === 'AGENT_STOPPED',
    );
  });

  it('speaks for itself from its first call on, whether its start was reported or not', async () => {
    const parent = await member();
    const [reported, unreported] = [parent.child(), parent.child()];
    await parent.note(reported, 'began');
    // At once, before control can have registered any of them.
    const first = await Promise.all([reported, unreported, unreported].map((session) => parent.call('update_plan', { session }, session)));
    for (const { body } of first) await parent.end(body.id);
    const children = await until(parent.children, (rows) => rows.length === 2);
    expect(children.map(({ depth }) => depth)).toEqual([1, 1]);
    const speakers = await Promise.all(first.map(async ({ body }) => (await parent.recordOf(body.id)).body.agentId));
    expect(new Set(speakers)).toEqual(new Set(children.map(({ id }) => id)));
    expect(speakers[1]).toBe(speakers[2]);
  });

  it('may not do from its first call on what its parent may not do', async () => {
    const parent = await member();
    await world.api('POST', `/agents/${parent.id}/pause`, {});
    const session = parent.child();
    await parent.note(session, 'began');
    expect(codesOf(await parent.call('update_plan', {}, session))).toContain('AGENT_PAUSED');
  });

  it('ends with its parent, and with the task of its parent', async () => {
    const parent = await member();
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [parent.id], workPlan: 'p' });
    for (const to of ['assigned', 'in_progress']) await world.api('POST', `/tasks/${task.body.id}/transition`, { to });
    const [one, two] = [parent.child(), parent.child()];
    await parent.note(one, 'began');
    const [first] = await until(parent.children, (children) => children.length === 1);
    await world.api('POST', `/tasks/${task.body.id}/transition`, { to: 'canceled' });
    const ended = await until(
      () => named(first?.id ?? ''),
      ({ status }) => status === 'stopped',
      20_000,
    );
    expect(ended.statusReason).toBe('the task of its parent is closed');
    await parent.note(two, 'began');
    const children = await until(parent.children, (rows) => rows.length === 2);
    await world.api('POST', `/agents/${parent.id}/quarantine`, {});
    const second = children.find(({ id }) => id !== first?.id);
    const stopped = await until(
      () => named(second?.id ?? ''),
      ({ status }) => status === 'stopped',
      20_000,
    );
    expect(stopped.statusReason).toBe('its parent was stopped');
  });

  it('spends from its parent’s day too', async () => {
    await usePolicy(world, { tools: { post_comment: { priceUsd: 0.04 } } });
    const parent = await member({ budgets: { dailyCap: 0.1 } });
    const session = parent.child();
    await parent.note(session, 'began');
    const own = await parent.call('post_comment', { text: 'parent' });
    await parent.end(own.body.id);
    const paid = await parent.call('post_comment', { text: 'child' }, session);
    await parent.end(paid.body.id);
    const [child] = await until(parent.children, (children) => children.length === 1);
    expect((await parent.recordOf(paid.body.id)).body.agentId).toBe(child?.id);
    const third = await parent.call('post_comment', { text: 'too much' }, session);
    expect([third.body.verdict, codesOf(third)]).toEqual(['hold', expect.arrayContaining(['BUDGET_DAILY'])]);
  });

  it('that was running when the product was killed still counts against its parent’s day, and is paid from it', async () => {
    const parent = await member({ budgets: { dailyCap: 0.06 } });
    const session = parent.child();
    await parent.note(session, 'began');
    const open = await parent.call('post_comment', { text: 'child' }, session);
    expect(open.body.verdict).toBe('allow');
    await until(parent.children, (children) => children.length === 1);
    await world.kill();
    await world.start();
    const own = await parent.call('post_comment', { text: 'parent' });
    expect([own.body.verdict, codesOf(own)]).toEqual(['hold', expect.arrayContaining(['BUDGET_DAILY'])]);
    await parent.end(open.body.id);
    await until(
      () => named(parent.id),
      ({ todaySpend }) => todaySpend === 0.04,
    );
    await usePolicy(world, { tools: { post_comment: { priceUsd: 0 } } });
  }, 60_000);
});

describe('the limits of spawning', () => {
  it('are three children, however fast they are asked for; one that fails or ends makes room', async () => {
    const parent = await member();
    const race = await Promise.all(Array.from({ length: 8 }, () => parent.spawn()));
    const allowed = race.filter(({ body }) => body.verdict === 'allow');
    expect(allowed).toHaveLength(3);
    expect(codesOf(race.find(({ body }) => body.verdict === 'deny') ?? ({} as never))).toContain('SPAWN_LIMIT_PARENT');
    const [first, second, third] = allowed;
    await parent.end(first?.body.id ?? '', { status: 'failed', error: 'no' });
    const again = await parent.spawn();
    expect(again.body.verdict).toBe('allow');
    const sessions = [parent.child(), parent.child(), parent.child()];
    for (const session of sessions) await parent.note(session, 'began');
    for (const { body } of [second, third, again].flatMap((answer) => answer ?? [])) await parent.end(body.id);
    await until(parent.children, (children) => children.length === 3);
    await until(parent.spawn, (answer) => codesOf(answer).includes('SPAWN_LIMIT_PARENT'));
    await parent.note(sessions[0] ?? '', 'ended');
    const last = await until(parent.spawn, ({ body }) => body.verdict === 'allow');
    await parent.end(last.body.id, { status: 'failed', error: 'no' });
  });

  it('are two levels below the root, the number of active agents, and no intern', async () => {
    const parent = await member();
    const [child, grandchild] = [parent.child(), parent.child()];
    await parent.note(child, 'began');
    expect((await parent.spawn(child)).body.verdict).toBe('allow');
    await parent.note(grandchild, 'began', child);
    expect(codesOf(await parent.spawn(grandchild))).toContain('SPAWN_DEPTH');
    const deep = await until(agents, (rows) => rows.some(({ depth }) => depth === 2));
    expect(deep.filter(({ depth }) => depth === 2)).toHaveLength(1);

    const intern = await member({ autonomyLevel: 'intern' });
    expect(codesOf(await intern.spawn())).toContain('SPAWN_FORBIDDEN');

    const active = (await agents()).filter(({ status }) => status === 'active').length;
    await usePolicy(world, { spawnLimits: { maxActive: active + 1 } });
    const [one, two] = [await member(), await member()];
    // Two more are active now than the limit leaves room for.
    expect(codesOf(await one.spawn())).toContain('SPAWN_LIMIT_ACTIVE');
    await usePolicy(world, { spawnLimits: { maxActive: active + 3 } });
    const race = await Promise.all([one.spawn(), two.spawn()]);
    expect(race.filter(({ body }) => body.verdict === 'allow')).toHaveLength(1);
    await usePolicy(world, { spawnLimits: { maxActive: 30 } });
  });

  it('hold for what gets past them: control stops it', async () => {
    const parent = await member();
    for (let nth = 0; nth < 4; nth++) await parent.note(parent.child(), 'began');
    const children = await until(parent.children, (rows) => rows.length === 4);
    expect(children.filter(({ status }) => status === 'stopped').map(({ statusReason }) => statusReason)).toEqual([
      'it was started beyond the limits',
    ]);
    const own = await newAgent(world);
    expect((await parent.note(parent.child(), 'began', parent.session, own.token)).status).toBe(403);
  });
});
