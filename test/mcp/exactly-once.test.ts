/**
 * The promise of a held call, counted at the server: whatever a client, a person and a crash do in whatever order, an approved call
 * runs once or never, and a cancelled one never after its cancellation was answered. Timings are drawn from a seed.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type CountingServer, startCountingServer } from './counting-server.ts';
import { connect, newUpstream, pendingOf, type UpstreamBody } from './gate.ts';

let world: World;
let server: CountingServer;
let upstream: UpstreamBody;
beforeAll(async () => {
  world = await startWorld();
  server = await startCountingServer();
  upstream = await newUpstream(world, { url: server.url, trusted: false });
});
afterAll(async () => {
  await world.close();
  await server.close();
});

/** A small generator with a seed, so that a failure can be played again (Mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const runsOf = (text: string) => server.runs.get(`write:${text}`) ?? 0;
const after = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** One client with one call: held, then decided and cancelled, cut or left alone, at times that the seed says. */
async function play(seed: number, agent: { id: string; token: string }): Promise<{ text: string; mayRun: boolean; mustRun: boolean }> {
  const random = generator(seed);
  const text = `seed-${seed}`;
  const { client, transport } = await connect(world, upstream.name, agent.token);
  const act = (['approve', 'cancel', 'race', 'timeout', 'disconnect', 'terminate', 'deny'] as const)[Math.floor(random() * 7)];
  const [decideAt, endAt] = [random() * 30, random() * 30];
  const abort = new AbortController();
  const call = client
    .callTool({ name: 'write', arguments: { text } }, undefined, {
      signal: abort.signal,
      timeout: act === 'timeout' ? 400 + endAt : 20_000,
    })
    .then(
      (result) => result.isError !== true,
      () => false,
    );
  const approval = await until(
    async () => {
      const page = await world.api<{ items: { id: string; summary: string }[] }>(
        'GET',
        `/approvals?agentId=${agent.id}&status=all&limit=500`,
      );
      return page.body.items.find(({ summary }) => summary.includes(`"${text}"`));
    },
    (found) => found !== undefined,
  );
  const decide = (verdict: 'approve' | 'deny') =>
    after(decideAt).then(() => world.api('POST', `/approvals/${approval?.id}/${verdict}`, { note: 'x' }));
  const end = () =>
    after(endAt).then(async () => {
      if (act === 'terminate') await transport.terminateSession().catch(() => {});
      // Who ended its session leaves; the library would wait for the answer until its timeout.
      if (act === 'terminate' || act === 'disconnect') await client.close();
      else abort.abort();
    });

  let [mayRun, mustRun] = [false, false];
  switch (act) {
    case 'approve':
      await decide('approve');
      mayRun = mustRun = await call;
      expect(mustRun, `seed ${seed}: an approved call whose client waits runs`).toBe(true);
      break;
    case 'deny':
      await decide('deny');
      await call;
      break;
    case 'cancel':
      // Cancelled first: an approval that comes afterwards releases nothing.
      await end();
      await call;
      await until(
        () => world.api('GET', `/approvals/${approval?.id}`),
        (answer) => answer.body.status === 'withdrawn',
      );
      await decide('approve');
      break;
    case 'timeout':
      await call;
      await decide('approve');
      break;
    case 'disconnect':
    case 'terminate':
    case 'race':
      mayRun = true;
      await Promise.all([decide('approve'), end()]);
      await call;
      break;
    case undefined:
      break;
  }
  await client.close().catch(() => {});
  return { text, mayRun, mustRun };
}

it('over 200 seeded timings of hold, cancel, timeout, disconnect and decision every call runs once or never', async () => {
  const agents = await Promise.all(Array.from({ length: 8 }, () => newAgent(world)));
  let seed = 1;
  const outcomes: Awaited<ReturnType<typeof play>>[] = [];
  await Promise.all(
    agents.map(async (agent) => {
      while (seed <= 200) outcomes.push(await play(seed++, agent));
    }),
  );
  expect(outcomes).toHaveLength(200);
  // What was sent may still be on its way to the server: everything that is allowed has an outcome first.
  for (const agent of agents) {
    await until(
      () => world.api<{ items: { status: string }[] }>('GET', `/tool-calls?agentId=${agent.id}&limit=500`),
      (answer) => answer.body.items.every(({ status }) => status !== 'running'),
      20_000,
    );
  }
  const wrong = outcomes.filter(({ text, mayRun, mustRun }) => runsOf(text) > (mayRun ? 1 : 0) || (mustRun && runsOf(text) !== 1));
  expect(wrong).toEqual([]);
  expect(outcomes.filter(({ text }) => runsOf(text) === 1).length).toBeGreaterThan(20);
  expect(outcomes.filter(({ text }) => runsOf(text) === 0).length).toBeGreaterThan(60);
}, 240_000);

it('killed at any moment of a hold, Mission Control runs it once after the approval is repeated, or never', async () => {
  const agent = await newAgent(world);
  for (let seed = 1001; seed <= 1006; seed++) {
    const random = generator(seed);
    const text = `kill-${seed}`;
    const { client } = await connect(world, upstream.name, agent.token);
    const call = client.callTool({ name: 'write', arguments: { text } }, undefined, { timeout: 3_000 }).then(
      (result) => result.isError !== true,
      () => false,
    );
    const [approval] = await until(
      () => pendingOf(world, agent.id),
      (list) => list.length === 1,
    );
    const killing = after(random() * 20).then(() => world.kill());
    const approving = world.api('POST', `/approvals/${approval?.id}/approve`, { note: 'x' }).catch(() => null);
    await Promise.all([killing, approving]);
    // Nobody answers any more: the client goes, instead of waiting for its timeout.
    await client.close().catch(() => {});
    await call;
    await world.start();
    expect(runsOf(text), `seed ${seed}`).toBeLessThanOrEqual(1);
    const before = runsOf(text);
    // The agent makes the same call again: an unused grant lets it run, otherwise it is held anew.
    const state = await world.api<{ status: string; redeemedBy: string | null }>('GET', `/approvals/${approval?.id}`);
    const again = await connect(world, upstream.name, agent.token);
    const repeated = again.client.callTool({ name: 'write', arguments: { text } }, undefined, { timeout: 1_500 }).then(
      (result) => result.isError !== true,
      () => false,
    );
    const isFree = state.body.status === 'approved' && state.body.redeemedBy === null;
    expect(await repeated, `seed ${seed}: ${JSON.stringify(state.body.status)}`).toBe(isFree);
    expect(runsOf(text), `seed ${seed}`).toBe(before + (isFree ? 1 : 0));
    expect(runsOf(text), `seed ${seed}`).toBeLessThanOrEqual(1);
    for (const { id } of await pendingOf(world, agent.id)) await world.api('POST', `/approvals/${id}/deny`, { note: 'end' });
    await again.client.close().catch(() => {});
  }
}, 240_000);
