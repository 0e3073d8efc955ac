/** Results of tools are held against what the gate was asked about. Time is turned by the test. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { JournalEvent, WireCall } from '../../control/contract.ts';
import { createCoverage } from '../../control/coverage.ts';
import { createDetours } from '../../control/detours.ts';
import { createGateEvidence } from '../../control/gate-evidence.ts';
import { ADMIN, factsOfCall, judged, type Services, startServices, usePolicy } from '../support/services.ts';

let services: Services;
let seq = 0;
let proxies: { state: 'live' | 'stale'; lastSeenAt: number }[] = [];
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

let agent: string;
let gatewayId: string;
beforeEach(async () => {
  await services.empty();
  seq = 0;
  proxies = [{ state: 'live', lastSeenAt: services.time.now }];
  gatewayId = (await services.gateways.register(ADMIN, { name: 'openclaw' })).id;
  agent = (await services.agents.create(ADMIN, { name: 'main', gate: 'openclaw', gatewayId, externalId: 'main' })).id;
});

const wire = (id: string | null, print: string | null = `print-${id}`, tool = 'exec'): WireCall => ({ id, print, tool });
const journal = (...events: JournalEvent[]) =>
  services.ingest.ingest(
    'p',
    events.map((event) => ({ seq: ++seq, event })),
  );
const asked = (call: WireCall, type: 'held' | 'denied' | 'intent' = 'intent', from: string | null = gatewayId) => {
  const facts = factsOfCall({ id: `call-${seq}`, agentId: agent, gatewayId: from, at: services.time.now });
  const rest = { judged: judged(), input: {}, summary: '', approvalId: null };
  return journal({ type, at: services.time.now, call: { ...facts, wire: call }, ...rest });
};
const told = (...results: WireCall[]) => journal({ type: 'results', at: services.time.now, agentId: agent, gatewayId, results });
const sweep = async (afterMs = 10_000) => {
  services.time.now += afterMs;
  const { base, agents, alerts, policies } = services;
  await createGateEvidence({
    ...base,
    agents,
    alerts,
    activePolicy: policies.current,
    proxies: () => proxies,
    detours: createDetours({ ...base, alerts }),
  }).sweep();
};
const alerts = async () => (await services.alerts.list({ resolved: false, limit: 10 })).items;
const stateOfGate = async () => (await createCoverage(services.base).read()).agents[0]?.points.find(({ entry }) => entry === 'openclaw');

describe('a result that a model is told of', () => {
  test.each(['held', 'denied', 'intent'] as const)('is in order where its call was %s at the gate, and proves it', async (type) => {
    await asked(wire('c1'), type);
    await told(wire('c1'));
    await sweep();
    expect(await alerts()).toEqual([]);
    expect(await stateOfGate()).toMatchObject({ state: 'proven', how: 'result', provenAt: services.time.now });
  });

  test('is known by tool and arguments where its id was changed on the way', async () => {
    await asked(wire('callabc', 'p1'));
    await told(wire('x9', 'p1'), wire(null, 'p1'));
    await sweep();
    expect(await alerts()).toEqual([]);
  });

  test('is in order where the gate says why it was not asked', async () => {
    await journal({ type: 'unasked', at: services.time.now, agentId: agent, gatewayId, call: wire('c1', null), why: 'rejected' });
    await told(wire('c1'));
    await sweep();
    expect(await alerts()).toEqual([]);
  });

  test('without any of that is a critical alert, once, and only when its time of grace is over', async () => {
    await told(wire('c1', 'p1', 'write'), wire('c2'));
    await sweep(9_999);
    expect(await alerts()).toEqual([]);
    await sweep(1);
    const [alert, ...more] = await alerts();
    expect(alert).toMatchObject({
      type: 'gate_missing',
      severity: 'critical',
      agentId: agent,
      message: expect.stringContaining('what write answered'),
    });
    expect(more).toEqual([]);
    expect(await stateOfGate()).toMatchObject({ state: 'bypassed', how: null });
    const acts = await services.db.selectFrom('audit_log').select('details').where('action', '=', 'gate.bypassed').execute();
    expect(acts).toEqual([{ details: { tool: 'write', shownBy: 'result' } }]);
    expect((await services.agents.get(agent)).status).toBe('active');
    await sweep();
    expect(await alerts()).toHaveLength(1);
  });

  test('is accused by no record of another gateway, and by none that the agent made itself', async () => {
    const other = await services.gateways.register(ADMIN, { name: 'other' });
    await asked(wire('c1'), 'intent', other.id);
    await asked(wire('c2'), 'intent', null);
    await told(wire('c1'));
    await sweep();
    expect(await alerts()).toHaveLength(1);
  });

  test('waits for a record that comes late, and for the journal of a proxy that is away', async () => {
    await told(wire('c1'));
    services.time.now += 9_000;
    await asked(wire('c1'));
    await sweep(1_000);
    expect(await alerts()).toEqual([]);
    await told(wire('c2'));
    proxies = [{ state: 'stale', lastSeenAt: services.time.now }];
    await sweep(60_000);
    expect(await alerts()).toEqual([]);
    await asked(wire('c2'));
    proxies = [{ state: 'live', lastSeenAt: services.time.now }];
    await sweep();
    expect(await alerts()).toEqual([]);
    await told(wire('c3'));
    proxies = [{ state: 'stale', lastSeenAt: services.time.now }];
    await sweep(5 * 60_000);
    expect(await alerts()).toHaveLength(1);
  });

  test('counts from when control has it: a night asleep between call and result accuses nobody', async () => {
    await asked(wire('c1'));
    services.time.now += 8 * 60 * 60 * 1000;
    await told(wire('c1'));
    await sweep();
    expect(await alerts()).toEqual([]);
  });

  test('of an agent that has no gate any more, or is gone, is nobody’s', async () => {
    await told(wire('c1'));
    await services.agents.update(ADMIN, agent, { gate: 'none' }, null);
    await sweep();
    await journal({ type: 'results', at: services.time.now, agentId: 'nobody', gatewayId, results: [wire('c2')] });
    await sweep();
    expect(await alerts()).toEqual([]);
    expect(await services.db.selectFrom('tool_results').select('id').execute()).toEqual([]);
  });

  test('by policy puts the agent into quarantine', async () => {
    await usePolicy(services, { failModes: { bypass: 'quarantine' } });
    await told(wire('c1'));
    await sweep();
    expect(await services.agents.get(agent)).toMatchObject({ status: 'quarantined' });
    expect((await alerts()).map(({ type }) => type).toSorted()).toEqual(['agent_quarantined', 'gate_missing']);
    await told(wire('c2'));
    await sweep();
    expect(await alerts()).toHaveLength(2);
    await usePolicy(services, {});
  });
});

test('what the gate was asked about is forgotten after three days', async () => {
  await asked(wire('c1'));
  await sweep(3 * 24 * 60 * 60 * 1000);
  expect(await services.db.selectFrom('gate_sightings').select('wire_id').execute()).toHaveLength(1);
  await sweep(1);
  expect(await services.db.selectFrom('gate_sightings').select('wire_id').execute()).toEqual([]);
});
