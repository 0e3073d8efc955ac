/** Ways round Mission Control that leave the gate as it is, and machines that sleep. Time is turned by the test. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { AgentPicture, JournalEvent } from '../../control/contract.ts';
import { createCoverage } from '../../control/coverage.ts';
import { createDetours } from '../../control/detours.ts';
import { SilentGates } from '../../proxy/silent-gates.ts';
import type { Picture } from '../../proxy/snapshot.ts';
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { ADMIN, factsOfCall, judged, type Services, startServices } from '../support/services.ts';
import { until } from '../support/world.ts';

let services: Services;
let seq = 0;
let calls = 0;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

let agent: string;
let detours: ReturnType<typeof createDetours>;
beforeEach(async () => {
  await services.empty();
  seq = 0;
  detours = createDetours({ ...services.base, alerts: services.alerts });
  const gatewayId = (await services.gateways.register(ADMIN, { name: 'openclaw' })).id;
  agent = (await services.agents.create(ADMIN, { name: 'main', gate: 'openclaw', gatewayId, externalId: 'main' })).id;
});

const journal = (...events: JournalEvent[]) =>
  services.ingest.ingest(
    'p',
    events.map((event) => ({ seq: ++seq, event })),
  );
const call = (entry: 'openclaw' | 'model' | 'mcp', tool: string, runId: string | null = null) => {
  const facts = factsOfCall({ id: `call-${++calls}`, agentId: agent, entry, tool, runId, at: services.time.now });
  return journal({
    type: 'intent',
    at: services.time.now,
    call: facts,
    judged: judged({ verdict: 'allow' }),
    input: {},
    summary: '',
    approvalId: null,
  });
};
const begin = (runId: string) =>
  journal({ type: 'run', at: services.time.now, runId, agentId: agent, sessionKey: 's', taskId: null, allowed: true, message: null });
const end = (runId: string) => journal({ type: 'run_end', at: services.time.now, runId, agentId: agent, status: 'success', message: null });
const pass = (ms: number) => {
  services.time.now += ms;
};
const sweep = async (afterMs = 10_000) => {
  pass(afterMs);
  await detours.sweep();
};
const alerts = async () => (await services.alerts.list({ resolved: false, limit: 10 })).items;
const points = async () =>
  Object.fromEntries(((await createCoverage(services.base).read()).agents[0]?.points ?? []).map(({ entry, state }) => [entry, state]));

describe('a run of an agent whose models go through Mission Control', () => {
  beforeEach(async () => {
    pass(1_000);
    await call('model', 'model_call');
    pass(60_000);
  });

  test('is in order where its request to the model came here', async () => {
    await begin('r1');
    pass(50);
    await call('model', 'model_call');
    pass(500);
    await call('openclaw', 'read', 'r1');
    await end('r1');
    await sweep();
    expect(await alerts()).toEqual([]);
  });

  test.each(['asks the gate', 'ends well'] as const)(
    'and which %s without one is a critical alert, once, after its time of grace',
    async (what) => {
      await begin('r1');
      pass(500);
      await (what === 'ends well' ? end('r1') : call('openclaw', 'read', 'r1'));
      await sweep(9_999);
      expect(await alerts()).toEqual([]);
      await sweep(1);
      const [alert, ...more] = await alerts();
      expect(alert).toMatchObject({
        type: 'gate_missing',
        severity: 'critical',
        agentId: agent,
        message: expect.stringContaining('its model'),
      });
      expect(more).toEqual([]);
      expect(await points()).toMatchObject({ model: 'bypassed', openclaw: what === 'ends well' ? 'away' : 'proven' });
      await services.alerts.resolve(ADMIN, alert?.id ?? '');
      await sweep(2_000);
      expect(await alerts()).toEqual([]);
      await begin('r2');
      await end('r2');
      await sweep();
      expect(await alerts()).toHaveLength(1);
    },
  );

  test('and which fails or goes on without having asked anything is nobody’s fault', async () => {
    await begin('r1');
    await journal({ type: 'run_end', at: services.time.now, runId: 'r1', agentId: agent, status: 'failed', message: 'the model is away' });
    await begin('r2');
    await sweep(60_000);
    expect(await alerts()).toEqual([]);
  });
});

test('an agent that never was connected with its models is not accused', async () => {
  pass(1_000);
  await begin('r1');
  await call('openclaw', 'read', 'r1');
  await end('r1');
  await sweep();
  expect(await alerts()).toEqual([]);
});

describe('an MCP call that the gate allowed and that did not come to its proxy', () => {
  const detour = () =>
    journal({ type: 'detour', at: services.time.now, agentId: agent, tool: 'pages__find', askedAt: services.time.now - 900 });

  test('is a critical alert, and speaks against that way alone', async () => {
    await detour();
    await sweep(9_999);
    expect(await alerts()).toEqual([]);
    await sweep(1);
    expect(await alerts()).toMatchObject([{ type: 'gate_missing', severity: 'critical', message: expect.stringContaining('pages__find') }]);
    expect(await points()).toMatchObject({ mcp: 'bypassed', openclaw: 'away' });
    await sweep();
    expect(await alerts()).toHaveLength(1);
  });

  test('is in order where it came to another', async () => {
    await call('mcp', 'pages__find');
    pass(500);
    await detour();
    await sweep();
    expect(await alerts()).toEqual([]);
  });
});

describe('a gateway whose plugin is silent', () => {
  let claw: FakeOpenClaw;
  let id: string;
  beforeEach(async () => {
    claw = await FakeOpenClaw.start();
    // The link tells the real time of its connection.
    services.time.now = Date.now() + 60_000;
    const { url, token } = claw;
    id = (await services.gateways.register(ADMIN, { name: 'laptop', url, token })).id;
    await services.db.transaction().execute((tx) => services.gateways.heard(tx, id, '1', services.time.now));
    await until(
      () => services.gateways.get(id),
      ({ link }) => link.state === 'connected',
    );
  });
  afterEach(async () => {
    await services.gateways.remove(ADMIN, id);
    await claw.stop();
  });
  /** Looks every two seconds of this time. */
  const watch = async (ms: number) => {
    for (let left = ms; left > 0; left -= 2_000) {
      pass(2_000);
      await services.gateways.sweep();
    }
  };

  test('while the gateway answers is a critical alert within 30 s', async () => {
    await watch(24_000);
    expect(await alerts()).toEqual([]);
    await watch(6_000);
    expect(await alerts()).toMatchObject([{ type: 'gate_missing', severity: 'critical', gatewayId: id }]);
  });

  test('because its machine sleeps is none, and neither when it wakes and beats', async () => {
    await watch(4_000);
    // Nothing is answered any more, and nothing closed: the socket of the link stands.
    claw.reply = () => 'silence';
    await watch(8_000);
    pass(60 * 60_000);
    claw.reply = () => ({ payload: {} });
    await watch(8_000);
    expect(await alerts()).toEqual([]);
    await services.db.transaction().execute((tx) => services.gateways.heard(tx, id, '1', services.time.now));
    await watch(8_000);
    expect(await alerts()).toEqual([]);
  });
});

describe('traffic of an agent whose gate is silent', () => {
  const suspect = { id: 'a1', gatewayId: 'g1' } as AgentPicture;
  const setUp = () => {
    const state = { now: 0, isLive: false, told: [] as unknown[] };
    const picture = { isGateLive: () => state.isLive } as unknown as Picture;
    const append = async (event: unknown) => void state.told.push(event);
    const gates = new SilentGates({ journal: { append }, snapshot: { current: () => picture }, clock: () => state.now });
    return { state, gates };
  };

  test('is told of when no beat has come for a while, once', () => {
    const { state, gates } = setUp();
    gates.note(suspect, 'model_call');
    state.now = 11_999;
    gates.note(suspect, 'model_call');
    gates.look();
    expect(state.told).toEqual([]);
    state.now = 12_000;
    gates.look();
    gates.look();
    expect(state.told).toEqual([{ type: 'ungated', at: 12_000, agentId: 'a1', gatewayId: 'g1', tool: 'model_call' }]);
    gates.close();
  });

  test('is forgiven where the gate was only late', () => {
    const { state, gates } = setUp();
    gates.note(suspect, 'model_call');
    state.isLive = true;
    state.now = 12_000;
    gates.look();
    state.isLive = false;
    gates.look();
    expect(state.told).toEqual([]);
    gates.close();
  });
});
