/** Money as people and callers meet it: raised caps that bind at once, a task that waits at its cap, the record over the API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await usePolicy(world, {
    riskMap: { ten_cents: 'green', one_dollar: 'green' },
    tools: { ten_cents: { priceUsd: 0.1 }, one_dollar: { priceUsd: 1 } },
    budgets: { perRun: { specialist: 100 }, perAgentDaily: { specialist: 100 } },
  });
});
afterAll(() => world.close());

const newCaller = async (dailyCap: number) => {
  const agent = await newAgent(world, { budgets: { dailyCap } });
  return { ...agent, gate: gateOf(world, agent.token) };
};
const mayRun = async (token: string, fields: object = {}) =>
  (await world.gate<{ allowed: boolean; message: string }>('POST', '/v1/runs/check', { runId: 'next', ...fields }, token)).body;

describe('a raised cap', () => {
  it('of an agent’s day lets the next call pass, runs too, and binds again when it is taken back', async () => {
    const { id, token, gate } = await newCaller(0.1);
    await gate.end((await gate.call('ten_cents', {})).body.id);
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
    expect(await mayRun(token)).toMatchObject({
      allowed: false,
      message: expect.stringContaining('used up ($0.10). It starts anew at midnight'),
    });

    const raised = await world.api<{ id: string }>('POST', '/raises', { agentId: id, amount: 0.2, note: 'a busy day' });
    expect(raised.status).toBe(201);
    // It binds within 300 ms where the machine is not busy with something else.
    await until(
      () => mayRun(token),
      ({ allowed }) => allowed,
    );
    expect((await gate.call('ten_cents', {})).status).toBe(200);
    expect((await world.api<{ todayCap: number }>('GET', `/agents/${id}`)).body.todayCap).toBe(0.3);
    expect((await world.api('POST', `/raises/${raised.body.id}/end`, {})).status).toBe(200);
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
    const feed = await world.api<{ items: { summary: string }[] }>('GET', `/activities?agentId=${id}&type=cap_raised`);
    expect(feed.body.items.map(({ summary }) => summary)).toEqual([
      expect.stringMatching(/raised the cap of the day of agent-\w+ by \$0.20: a busy day/),
    ]);
  });

  it('of a task that waits at its cap lets it go on', async () => {
    const { id, gate } = await newCaller(50);
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [id], budget: 0.2 });
    const taskId = task.body.id;
    await world.api('POST', `/tasks/${taskId}/transition`, { to: 'assigned' });
    const statusOf = async () => (await world.api<{ status: string }>('GET', `/tasks/${taskId}`)).body.status;
    for (let call = 0; call < 2; call++) await gate.end((await gate.call('ten_cents', {}, { taskId })).body.id);
    await until(statusOf, (status) => status === 'needs_approval');
    // Green and free passes all the same.
    expect((await gate.note('x', { taskId })).status).toBe(200);

    await world.api('POST', '/raises', { taskId, amount: 0.1, note: 'nearly done' });
    expect(await statusOf()).toBe('assigned');
    expect((await gate.call('ten_cents', {}, { taskId, runId: 'on' })).status).toBe(200);
  });

  it('and an allowance are listed together', async () => {
    const { id, gate } = await newCaller(0.5);
    const held = await gate.call('one_dollar', {});
    await decide(world, held.body.approvalId, 'approve', { note: 'this once' });
    await world.api('POST', '/raises', { agentId: id, amount: 1, note: 'and more' });
    const { body } = await world.api<{ items: object[] }>('GET', `/raises?agentId=${id}`);
    expect(body.items).toMatchObject([
      { kind: 'raise', amount: 1, note: 'and more' },
      { kind: 'allowance', amount: 1, note: 'this once' },
    ]);
  });

  it('is not for viewers to give, nor for nothing', async () => {
    const { id } = await newCaller(1);
    const viewer = await world.api<{ token: string }>('POST', '/operators', { name: 'looks on', role: 'approver' });
    const raise = { agentId: id, amount: 1, note: 'please' };
    expect((await world.api('POST', '/raises', raise, viewer.body.token)).status).toBe(403);
    for (const wrong of [
      { ...raise, amount: 0 },
      { ...raise, amount: 0.0000001 },
      { ...raise, note: '' },
    ]) {
      expect((await world.api('POST', '/raises', wrong)).status).toBe(400);
    }
  });
});

describe('the record of money', () => {
  it('answers by dimension, with what belongs to no task, and goes out as a file', async () => {
    const { id, name, gate } = await newCaller(50);
    for (let call = 0; call < 3; call++) await gate.end((await gate.call('ten_cents', {}, { runId: `run-${call}` })).body.id);
    type Spend = { items: object[]; total: object; unattributed: { share: number } };
    const asked = () => world.api<Spend>('GET', `/spend?groupBy=agent,tool&agentId=${id}`);
    const { body } = await until(asked, (answer) => JSON.stringify(answer.body.total) === '{"cost":0.3,"calls":3}');
    expect(body.items).toEqual([{ agentId: id, agentName: name, tool: 'ten_cents', cost: 0.3, calls: 3 }]);
    expect(body.unattributed).toEqual({ cost: 0.3, share: 1 });
    for (const wrong of ['groupBy=planet', 'groupBy=', 'groupBy=day,agent,tool,task', 'since=yesterday']) {
      expect((await world.api('GET', `/spend?${wrong}`)).status, wrong).toBe(400);
    }
    const forecast = await world.api<{ agents: { agentId: string; spent: number }[] }>('GET', '/spend/forecast');
    expect(forecast.body.agents).toContainEqual(expect.objectContaining({ agentId: id, spent: 0.3, cap: 50 }));
    const file = await fetch(`${world.controlUrl}/api/spend/export?format=csv&agentId=${id}`, {
      headers: { authorization: 'Bearer test-admin-token-0123456789' },
    });
    expect(file.headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect((await file.text()).trimEnd().split('\n')).toHaveLength(4);
  });
});
