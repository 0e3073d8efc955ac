/** Two controls, workers and two proxies on one PostgreSQL and one Redis: what was promised of one process holds for all of them together. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gateOf, usePolicy } from '../support/calls.ts';
import { watch } from '../support/events.ts';
import { startTopology, type Topology } from '../support/topology.ts';
import { ADMIN_TOKEN, joinWorld, newAgent, type ReachableWorld, until } from '../support/world.ts';

let world: Topology;
/** One control and one proxy each; of one of them the other two are the strangers. */
let one: ReachableWorld;
let two: ReachableWorld;
beforeAll(async () => {
  world = await startTopology();
  one = joinWorld(world.service('control-1').url, world.service('proxy-1').url);
  two = joinWorld(world.service('control-2').url, world.service('proxy-2').url);
}, 120_000);
afterAll(() => world?.close());

const at = (side: ReachableWorld, token: string) => gateOf(side as Topology, token);
/** An agent whose token both proxies know. */
async function newCaller(fields: Record<string, unknown> = {}) {
  const agent = await newAgent(one, fields);
  for (const side of [one, two])
    await until(
      () => at(side, agent.token).note(),
      ({ status }) => status === 200,
    );
  return agent;
}

describe('several processes', () => {
  it('each say that they are ready, and which proxies there are', async () => {
    for (const { url } of world.services) expect((await fetch(`${url}/readyz`)).status).toBe(200);
    for (const side of [one, two]) {
      const { proxies } = await until(
        async () => (await side.api<{ proxies: { state: string }[] }>('GET', '/overview')).body,
        (body) => body.proxies.filter(({ state }) => state === 'live').length === 2,
      );
      expect(proxies).toHaveLength(2);
    }
  });

  it('show at one control within 300 ms what another one wrote', async () => {
    const watcher = await watch({ ...world, controlUrl: two.controlUrl }, { authorization: `Bearer ${ADMIN_TOKEN}` });
    await until(
      () => watcher.events.length,
      (count) => count > 0,
    );
    const delays: number[] = [];
    for (let round = 0; round < 5; round++) {
      const { body } = await one.api<{ id: string }>('POST', '/tasks', { title: `Round ${round}`, type: 'engineering' });
      const writtenAt = performance.now();
      await until(
        () => watcher.events.some(({ data }) => data.topic === 'task' && data.id === body.id),
        (found) => found,
      );
      delays.push(performance.now() - writtenAt);
    }
    watcher.close();
    expect(delays.toSorted((a, b) => a - b)[2]).toBeLessThan(300);
  });

  it('hold a call at one proxy, decide it at one control, and let it run where it is asked about, once', async () => {
    const agent = await newCaller();
    const held = await at(one, agent.token).exec('make release', { callId: 'release' });
    expect(held).toMatchObject({ status: 202, body: { verdict: 'hold' } });
    const waiting = at(two, agent.token).poll(held.body.id, 20_000);
    expect((await two.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' })).status).toBe(200);
    expect(await waiting).toMatchObject({ status: 200, body: { verdict: 'allow' } });
    expect((await at(two, agent.token).end(held.body.id)).status).toBe(200);
    expect((await at(one, agent.token).end(held.body.id)).status).toBe(409);
    expect((await at(two, agent.token).poll(held.body.id)).status).toBe(409);
    const record = await until(
      () => two.api<{ status: string }>('GET', `/tool-calls/${held.body.id}`),
      ({ body }) => body.status === 'success',
    );
    expect(record.body.status).toBe('success');
  });

  it('take up at another proxy what the one that is gone has held', async () => {
    const agent = await newCaller();
    const held = await at(one, agent.token).exec('make the-other', { callId: 'the-other' });
    expect(held.status).toBe(202);
    const proxy = world.service('proxy-1');
    await proxy.end('SIGKILL');
    try {
      const waiting = at(two, agent.token).poll(held.body.id, 20_000);
      await two.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' });
      expect(await waiting).toMatchObject({ status: 200, body: { verdict: 'allow' } });
    } finally {
      await proxy.start();
    }
    const again = await at(one, agent.token).poll(held.body.id);
    expect([again.status, again.body.verdict]).toEqual([200, 'allow']);
    expect((await at(two, agent.token).end(held.body.id)).status).toBe(200);
  });

  it.each([
    ['the proxy that let it run', () => two],
    ['the proxy that held it first', () => one],
  ])('take the outcome of a call that one has held and another let run at %s', async (_, told) => {
    const agent = await newCaller();
    const callId = crypto.randomUUID();
    const held = await at(one, agent.token).exec(`make ${callId}`, { callId });
    // At its start a proxy learns of what the others hold.
    const proxy = world.service('proxy-2');
    await proxy.end('SIGKILL');
    await proxy.start();
    await two.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' });
    const taken = await at(two, agent.token).exec(`make ${callId}`, { callId });
    expect(taken).toMatchObject({ status: 200, body: { id: held.body.id, verdict: 'allow' } });
    expect((await at(told(), agent.token).end(held.body.id, { output: 'made' })).status).toBe(200);
    await until(
      () => two.api<{ status: string; output: string }>('GET', `/tool-calls/${held.body.id}`),
      ({ body }) => body.status === 'success' && body.output === 'made',
    );
  });

  it('bind a change of the one control at the proxies of the other before it is answered', async () => {
    const agent = await newCaller();
    for (let round = 0; round < 5; round++) {
      const side = round % 2 ? one : two;
      expect((await side.api('POST', `/agents/${agent.id}/pause`, { reason: 'a look' })).status).toBe(200);
      for (const proxy of [one, two]) expect((await at(proxy, agent.token).note()).status).toBe(403);
      expect((await side.api('POST', `/agents/${agent.id}/restart`, {})).status).toBe(200);
      for (const proxy of [one, two]) expect((await at(proxy, agent.token).note()).status).toBe(200);
    }
  });

  it('go on with one control, and the workers with another lease, when a control is gone', async () => {
    const agent = await newCaller();
    const control = world.service('control-1');
    await control.end('SIGKILL');
    try {
      const held = await until(
        () => at(one, agent.token).exec('make without'),
        ({ status }) => status === 202,
      );
      await two.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' });
      expect((await at(one, agent.token).poll(held.body.id, 20_000)).status).toBe(200);
    } finally {
      await control.start();
    }
  });
});

describe('a database that says nothing', () => {
  it('makes every proxy refuse once nobody knows any more what holds, and is taken up again when it speaks', async () => {
    const agent = await newCaller();
    await usePolicy(one, { limits: { snapshotMaxAgeMs: 1_000 } });
    world.postgres.freeze();
    try {
      for (const side of [one, two])
        await until(
          () => at(side, agent.token).note(),
          ({ status, body }) => status === 503 && body.code === 'SNAPSHOT_STALE',
          20_000,
        );
      for (const { url } of [world.service('control-1'), world.service('proxy-2')]) expect((await fetch(`${url}/readyz`)).status).toBe(503);
    } finally {
      world.postgres.thaw();
    }
    for (const side of [one, two])
      await until(
        () => at(side, agent.token).note(),
        ({ status }) => status === 200,
        20_000,
      );
    await usePolicy(one, { limits: { snapshotMaxAgeMs: 30_000 } });
  }, 60_000);
});

describe('the stop of several processes', () => {
  const press = (side: ReachableWorld, token = ADMIN_TOKEN) =>
    side.api<{ stoppedAt: number; proxies: { acknowledgedAt: number | null }[] }>('POST', '/emergency/stop', { reason: 'a drill' }, token);
  const isStopped = async (side: ReachableWorld, token: string) => {
    const answer = await at(side, token).note();
    return answer.status === 403 && answer.body.reasons.some(({ code }) => code === 'ESTOP');
  };

  it('cannot be lifted, and nothing admitted, by what somebody puts on the bus', async () => {
    const agent = await newCaller();
    const say = (message: unknown) => world.redis.client.publish('mc:bus', typeof message === 'string' ? message : JSON.stringify(message));
    const held = await at(one, agent.token).exec('make forged');
    const forged = [
      'no JSON',
      { type: 'stop', order: { stopId: 'forged', at: Date.now(), by: 'nobody', reason: null, seal: 'AAAA' } },
      { type: 'hold', at: Date.now(), approvalId: held.body.approvalId, status: 'approved' },
      { type: 'system', at: Date.now(), system: { estop: false, stopId: null, squadPaused: false, activeAgents: 9 } },
      { type: 'applied', from: 'nobody', revision: 0 },
      { type: 'changes', from: 'nobody' },
    ];
    for (const message of forged) await say(message);
    expect((await at(two, agent.token).note()).status).toBe(200);
    expect((await at(one, agent.token).poll(held.body.id)).status).toBe(202);
    expect((await press(one)).status).toBe(200);
    for (const message of forged) await say(message);
    for (const side of [one, two]) expect(await isStopped(side, agent.token)).toBe(true);
    for (const { url } of [world.service('proxy-1'), world.service('control-2')]) {
      const answer = await fetch(`${url}/internal/v1/stop`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ stopId: 'forged', at: 1, by: 'nobody', reason: null, seal: 'x' }),
      });
      expect(answer.status).toBe(401);
    }
    expect((await two.api('POST', '/emergency/resume', { note: 'it was a drill' })).status).toBe(200);
    await until(
      async () => [await isStopped(one, agent.token), await isStopped(two, agent.token)],
      (stopped) => !stopped.includes(true),
    );
  });

  it('reaches every proxy without database and bus, is kept by each control, and ends with one resume', async () => {
    const agent = await newCaller();
    // Not the token from the environment: who presses is known although the database cannot be asked.
    const operator = readFileSync(join(world.keyDir, 'cli-token'), 'utf8').trim();
    expect((await one.api('GET', '/emergency', undefined, operator)).status).toBe(200);
    world.postgres.freeze();
    world.redis.freeze();
    const receipt = await press(one, operator).finally(() => {
      world.postgres.thaw();
      world.redis.thaw();
    });
    expect(receipt.status).toBe(200);
    expect(receipt.body.proxies.map(({ acknowledgedAt }) => acknowledgedAt !== null)).toEqual([true, true]);
    for (const side of [one, two]) expect(await isStopped(side, agent.token)).toBe(true);
    await until(
      () => Promise.all([one, two].map(async (side) => (await side.api<{ estop: boolean }>('GET', '/emergency')).body.estop)),
      (states) => states.every(Boolean),
    );
    expect((await two.api('POST', '/emergency/resume', { note: 'it was a drill' })).status).toBe(200);
    await until(
      async () => [await isStopped(one, agent.token), await isStopped(two, agent.token)],
      (stopped) => !stopped.includes(true),
    );
  });
});
