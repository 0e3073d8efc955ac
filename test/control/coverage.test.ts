/** The coverage map: what was shown, how and when, and what was not. Time is turned by the test. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JournalEvent } from '../../control/contract.ts';
import { createCoverage } from '../../control/coverage.ts';
import { ADMIN, factsOfCall, judged, type Services, startServices } from '../support/services.ts';

let services: Services;
let seq = 0;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

let gated: string;
let plain: string;
let gatewayId: string;
beforeEach(async () => {
  await services.empty();
  seq = 0;
  const gateway = await services.gateways.register(ADMIN, { name: 'openclaw' });
  gatewayId = gateway.id;
  gated = (await services.agents.create(ADMIN, { name: 'gated', gate: 'openclaw', gatewayId, externalId: 'main' })).id;
  plain = (await services.agents.create(ADMIN, { name: 'plain' })).id;
});

const pass = (ms: number) => {
  services.time.now += ms;
};
const journal = (...events: JournalEvent[]) =>
  services.ingest.ingest(
    'p',
    events.map((event) => ({ seq: ++seq, event })),
  );
const beat = () => journal({ type: 'heartbeat', at: services.time.now, gatewayId, pluginVersion: '1', agents: [gated] });
const call = (id: string, agentId: string, entry: 'openclaw' | 'mcp' | 'model' | 'egress' | 'mission-control') =>
  journal({
    ...{ type: 'intent', at: services.time.now, input: {}, summary: id, approvalId: null },
    call: factsOfCall({ id, agentId, entry, at: services.time.now }),
    judged: judged({ verdict: 'allow' }),
  });
const pointsOf = async (agentId: string) => {
  const map = await createCoverage(services.base).read();
  return Object.fromEntries(map.agents.find((agent) => agent.agentId === agentId)?.points.map((point) => [point.entry, point]) ?? []);
};
const stateOf = async (agentId: string, entry: string) => (await pointsOf(agentId))[entry]?.state;

describe('the coverage map', () => {
  test('shows each way in by the last call that was judged there', async () => {
    const at = services.time.now;
    await beat();
    await call('c1', gated, 'openclaw');
    await call('c2', plain, 'mission-control');
    pass(5_000);
    await call('c3', plain, 'egress');
    expect((await pointsOf(gated)).openclaw).toMatchObject({ state: 'proven', how: 'call', provenAt: at, trafficAt: at });
    const points = await pointsOf(plain);
    expect(points.mcp).toMatchObject({ state: 'proven', how: 'call', provenAt: at });
    expect(points.egress).toMatchObject({ state: 'proven', provenAt: at + 5_000, says: expect.stringContaining('only the network can') });
    expect(points.openclaw).toMatchObject({ state: 'unused', how: null, provenAt: null });
  });

  test('shows an idle gate by its heartbeat, and calls one that is off away, which is no alarm', async () => {
    expect(await stateOf(gated, 'openclaw')).toBe('away');
    await beat();
    const at = services.time.now;
    pass(20_000);
    expect((await pointsOf(gated)).openclaw).toMatchObject({ state: 'idle', how: 'heartbeat', provenAt: at });
    // The laptop is closed for the night.
    pass(8 * 60 * 60 * 1000);
    expect((await pointsOf(gated)).openclaw).toMatchObject({ state: 'away', how: null, provenAt: at });
    expect((await services.alerts.list({ resolved: false, limit: 10 })).items).toEqual([]);
    await beat();
    expect(await stateOf(gated, 'openclaw')).toBe('idle');
  });

  test('shows traffic that the gate did not ask about as bypassed until that is dealt with', async () => {
    await beat();
    await call('c1', gated, 'openclaw');
    pass(60_000);
    await journal({ type: 'ungated', at: services.time.now, agentId: gated, gatewayId, tool: 'files__write' });
    await call('c2', gated, 'mcp');
    const points = await pointsOf(gated);
    expect(points.openclaw).toMatchObject({ state: 'bypassed', how: null, says: expect.stringContaining('files__write') });
    expect(points.mcp?.state).toBe('bypassed');
    expect(await stateOf(plain, 'openclaw')).toBe('unused');
    const { items } = await services.alerts.list({ resolved: false, limit: 10 });
    for (const alert of items) await services.alerts.resolve(ADMIN, alert.id);
    pass(60_000);
    await beat();
    await call('c3', gated, 'openclaw');
    expect(await stateOf(gated, 'openclaw')).toBe('proven');
  });

  test('leaves out agents that were removed or stopped', async () => {
    await services.agents.quarantine(ADMIN, plain, 'x');
    expect(Object.keys(await pointsOf(plain))).toHaveLength(5);
    await services.agents.remove(ADMIN, plain);
    expect(await pointsOf(plain)).toEqual({});
  });
});
