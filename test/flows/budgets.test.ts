import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codesOf, decide, gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
  await usePolicy(world, {
    riskMap: { ten_cents: 'green', one_dollar: 'green', odd_price: 'green' },
    tools: { ten_cents: { priceUsd: 0.1 }, one_dollar: { priceUsd: 1 }, odd_price: { priceUsd: 0.000123 } },
    budgets: { perRun: { specialist: 100 }, perAgentDaily: { specialist: 100 } },
  });
});
afterAll(() => world.close());

const newCaller = async (fields: Record<string, unknown> = {}) => {
  const agent = await newAgent(world, fields);
  return { ...agent, gate: gateOf(world, agent.token) };
};
const spendOf = async (id: string) => (await world.api<{ todaySpend: number; totalSpend: number }>('GET', `/agents/${id}`)).body;

describe('a cap', () => {
  for (const [what, fields, code] of [
    ['of an agent’s day', { budgets: { dailyCap: 0.5 } }, 'BUDGET_DAILY'],
    ['of a run', { budgets: { perRunCap: 0.5 } }, 'BUDGET_RUN'],
  ] as const) {
    it(`${what} is met to the micro-dollar by many calls at once, and never passed`, async () => {
      const { id, gate } = await newCaller(fields);
      const answers = await Promise.all(Array.from({ length: 40 }, () => gate.call('ten_cents', {})));
      const allowed = answers.filter((answer) => answer.status === 200);
      expect(allowed).toHaveLength(5);
      for (const answer of answers) if (answer.status !== 200) expect(codesOf(answer)).toContain(code);
      await Promise.all(allowed.map((answer) => gate.end(answer.body.id)));
      const spend = await until(
        () => spendOf(id),
        (value) => value.todaySpend >= 0.5 && value.totalSpend >= 0.5,
      );
      expect(spend).toMatchObject({ todaySpend: 0.5, totalSpend: 0.5 });
    });
  }

  it('of a task binds all its agents together', async () => {
    const [one, two] = [await newCaller(), await newCaller()];
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [one.id, two.id], budget: 0.7 });
    const taskId = task.body.id;
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) => (index % 2 ? one : two).gate.call('ten_cents', {}, { taskId, runId: `r${index}` })),
    );
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(7);
    for (const answer of answers) if (answer.status !== 200) expect(codesOf(answer)).toEqual(['BUDGET_TASK']);
  });

  it('of a run is that run’s: another run has its own', async () => {
    const { gate } = await newCaller({ budgets: { perRunCap: 0.1 } });
    expect((await gate.call('ten_cents', {}, { runId: 'a' })).status).toBe(200);
    expect(codesOf(await gate.call('ten_cents', {}, { runId: 'a' }))).toEqual(['BUDGET_RUN']);
    expect((await gate.call('ten_cents', {}, { runId: 'b' })).status).toBe(200);
  });

  it('lets exactly the cap pass, and free calls when it is used up', async () => {
    const { gate } = await newCaller({ budgets: { dailyCap: 0.000246 } });
    const running = [await gate.call('odd_price', {}), await gate.call('odd_price', {})];
    expect(running.map(({ status }) => status)).toEqual([200, 200]);
    // What is only reserved may come back: the day is not over yet, and a person may let the call pass.
    const third = await gate.call('odd_price', {});
    expect([third.status, codesOf(third)]).toEqual([202, ['BUDGET_DAILY']]);
    for (const { body } of running) await gate.end(body.id);
    const fourth = await gate.call('odd_price', {});
    expect([fourth.status, codesOf(fourth)]).toEqual([403, ['BUDGET_DAILY']]);
    expect((await gate.note()).status).toBe(200);
  });

  it('that is changed binds the next call', async () => {
    const { id, gate } = await newCaller({ budgets: { dailyCap: 0.1 } });
    expect((await gate.call('one_dollar', {})).status).toBe(202);
    await world.api('PATCH', `/agents/${id}`, { budgets: { dailyCap: 1 } });
    expect((await gate.call('one_dollar', {}, { runId: 'other' })).status).toBe(200);
    await world.api('PATCH', `/agents/${id}`, { budgets: { dailyCap: 0.5 } });
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
  });

  it('is not used by a call that is held, denied, or taken back while held', async () => {
    const { gate } = await newCaller({ budgets: { dailyCap: 1 } });
    await usePolicy(world, { riskMap: { one_dollar: 'red' } });
    const held = await gate.call('one_dollar', {});
    expect(held.status).toBe(202);
    await gate.cancel(held.body.id);
    await usePolicy(world, { riskMap: { one_dollar: 'green' } });
    expect((await gate.call('one_dollar', {})).status).toBe(200);
  });
});

describe('a call held for a cap', () => {
  it('runs once by an approval, for its estimate above the cap and no more', async () => {
    const { id, gate } = await newCaller({ budgets: { dailyCap: 0.25 } });
    const small = await Promise.all([gate.call('ten_cents', {}), gate.call('ten_cents', {})]);
    for (const answer of small) await gate.end(answer.body.id);
    const held = await gate.call('one_dollar', {});
    expect([held.status, codesOf(held)]).toEqual([202, ['BUDGET_DAILY']]);
    const card = await world.api<{ estimatedCost: number }>('GET', `/approvals/${held.body.approvalId}`);
    expect(card.body.estimatedCost).toBe(1);
    await decide(world, held.body.approvalId, 'approve');
    const released = await gate.poll(held.body.id);
    expect([released.status, codesOf(released)[0]]).toEqual([200, 'APPROVED']);
    // The day is over its cap now: nothing more that costs.
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
    await gate.end(held.body.id);
    const spend = await until(
      () => spendOf(id),
      (value) => value.todaySpend > 1,
    );
    expect(spend.todaySpend).toBe(1.2);
  });

  it('is held again where the cap was used up meanwhile beyond the allowance', async () => {
    const { gate } = await newCaller({ budgets: { perRunCap: 1 } });
    await gate.call('ten_cents', {});
    const held = await gate.call('one_dollar', { n: 1 });
    expect(codesOf(held)).toEqual(['BUDGET_RUN']);
    await decide(world, held.body.approvalId, 'approve');
    expect((await gate.poll(held.body.id)).status).toBe(200);
    // A second one approved for an allowance of its own: the first allowance is not its to use.
    const second = await gate.call('one_dollar', { n: 2 });
    expect(second.status).toBe(202);
    await decide(world, second.body.approvalId, 'approve');
    const answer = await gate.poll(second.body.id);
    expect([answer.status, codesOf(answer)]).toEqual([202, expect.arrayContaining(['BUDGET_RUN'])]);
  });

  it('and approved for another reason is held for the cap that ran out since', async () => {
    await usePolicy(world, { riskMap: { one_dollar: 'red' } });
    const { gate } = await newCaller({ budgets: { perRunCap: 1 } });
    const held = await gate.call('one_dollar', {});
    expect(codesOf(held)).toEqual(['RED_ACTION']);
    await gate.call('ten_cents', {});
    await decide(world, held.body.approvalId, 'approve');
    const answer = await gate.poll(held.body.id);
    expect([answer.status, codesOf(answer)]).toEqual([202, expect.arrayContaining(['BUDGET_RUN'])]);
    expect(answer.body.approvalId).not.toBe(held.body.approvalId);
    // The new card says what it would cost; approving that one is enough.
    await decide(world, answer.body.approvalId, 'approve');
    expect((await gate.poll(held.body.id)).status).toBe(200);
    await usePolicy(world, { riskMap: { one_dollar: 'green' } });
  });
});

describe('what a call cost', () => {
  it('is what its gateway says, exactly; an agent cannot make its own call cheaper', async () => {
    const gateway = await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'for costs' });
    const { id, gate } = await newCaller({ gatewayId: gateway.body.id, externalId: 'main' });
    const byGateway = gateOf(world, gateway.body.token);
    const [one, two, three] = await Promise.all([
      byGateway.call('one_dollar', {}, { agentId: 'main' }),
      byGateway.call('one_dollar', {}, { agentId: 'main' }),
      gate.call('one_dollar', {}),
    ]);
    await byGateway.end(one.body.id, { usage: { costUsd: 0.000123 } });
    await byGateway.end(two.body.id, { usage: { costUsd: 0.0000001 } }); // below a micro-dollar counts as one
    expect(
      (
        await until(
          () => spendOf(id),
          (value) => value.todaySpend > 0.000123,
        )
      ).todaySpend,
    ).toBe(0.000124);
    await gate.end(three.body.id, { usage: { costUsd: 0 } });
    expect(
      (
        await until(
          () => spendOf(id),
          (value) => value.todaySpend > 0.5,
        )
      ).todaySpend,
    ).toBe(1.000124);
  });

  it('and what is reserved survive kill -9: nothing is counted twice, nothing freed', async () => {
    const { id, gate } = await newCaller({ budgets: { dailyCap: 1 } });
    const calls = await Promise.all(Array.from({ length: 10 }, () => gate.call('ten_cents', {})));
    expect(calls.every((answer) => answer.status === 200)).toBe(true);
    for (const answer of calls.slice(0, 4)) expect((await gate.end(answer.body.id)).status).toBe(200);
    await world.kill();
    await world.start();
    // Four are settled, six are running or not: nobody knows, so they count.
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
    for (const answer of calls.slice(4)) expect((await gate.end(answer.body.id)).status).toBe(200);
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
    expect(
      await until(
        () => spendOf(id),
        (value) => value.todaySpend >= 1 && value.totalSpend >= 1,
      ),
    ).toMatchObject({ todaySpend: 1, totalSpend: 1 });
    await world.kill();
    await world.start();
    expect(await spendOf(id)).toMatchObject({ todaySpend: 1, totalSpend: 1 });
    expect(codesOf(await gate.call('ten_cents', {}))).toEqual(['BUDGET_DAILY']);
  });
});
