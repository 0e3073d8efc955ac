/** The report card of drills: what proxies say is kept, and one that fails is an alert until it passes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BusMessage, DRILL_NAMES, type DrillResult } from '../../control/contract.ts';
import { createDrills } from '../../control/drills.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

let services: Services;
const said: BusMessage[] = [];
let seq = 0;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

const drills = () => createDrills({ ...services.base, self: 'me', say: (message) => said.push(message), countProxies: () => 2 });
const result = (proxyId: string, outcome: DrillResult['outcome'], name: DrillResult['name'] = 'journal-full') =>
  services.ingest.ingest(proxyId, [
    {
      seq: ++seq,
      event: { type: 'drill', at: services.time.now, requestId: 'r', result: { name, outcome, found: `was ${outcome}`, durationMs: 3 } },
    },
  ]);
const open = async () => (await services.alerts.list({ resolved: false, limit: 10 })).items.map(({ type, message }) => [type, message]);
const cardOf = async () => (await drills().card()).items.find(({ name }) => name === 'journal-full');

test('a request reaches every process, names what is to be run, and stands in the audit log', async () => {
  expect(await drills().start(ADMIN, 'journal-full')).toEqual({ requestId: expect.any(String), names: ['journal-full'], proxies: 2 });
  expect(said).toEqual([{ type: 'drill', from: 'me', requestId: expect.any(String), names: ['journal-full'] }]);
  const rows = await services.db.selectFrom('audit_log').select(['actor_id', 'subject_id']).where('action', '=', 'drill.started').execute();
  expect(rows).toEqual([{ actor_id: 'admin', subject_id: 'journal-full' }]);
});

test('the card shows the worst of the last results, and a failure is an alert until that proxy passes', async () => {
  await result('p1', 'passed');
  await result('p2', 'failed');
  expect(await cardOf()).toMatchObject({ outcome: 'failed', results: [{ proxyId: expect.any(String) }, { proxyId: expect.any(String) }] });
  expect(await open()).toEqual([['drill_failed', expect.stringContaining('The drill journal-full failed at the proxy p2: was failed')]]);
  await result('p1', 'passed');
  expect(await open()).toHaveLength(1);
  services.time.now += 1_000;
  await result('p2', 'inconclusive');
  expect(await cardOf()).toMatchObject({ outcome: 'inconclusive', at: services.time.now });
  expect(await open()).toHaveLength(1);
  await result('p2', 'passed');
  expect(await cardOf()).toMatchObject({ outcome: 'passed' });
  expect(await open()).toEqual([]);
});

test('the card keeps how it went before, the newest first and not without end', async () => {
  for (let run = 0; run < 25; run++) {
    services.time.now += 1_000;
    await result('p9', run === 24 ? 'failed' : 'passed', 'clock-skew');
  }
  const [card] = (await drills().card()).items.filter(({ name }) => name === 'clock-skew');
  expect(card?.results.map(({ outcome }) => outcome)).toEqual(['failed']);
  expect(card?.history.map(({ outcome }) => outcome)).toEqual(['failed', ...Array<string>(19).fill('passed')]);
  expect(card?.history[1]?.at).toBe(services.time.now - 1_000);
});

test('all are run once a day, and not again while the answers of the last time may come', async () => {
  const own = drills();
  said.length = 0;
  await own.tick();
  await own.tick();
  expect(said).toMatchObject([{ names: DRILL_NAMES }]);
  for (const name of DRILL_NAMES) await result('p1', 'passed', name);
  services.time.now += 23 * 60 * 60 * 1000;
  await own.tick();
  expect(said).toHaveLength(1);
  expect((await own.card()).nextAt).toBe(services.time.now + 60 * 60 * 1000);
  services.time.now += 60 * 60 * 1000;
  await own.tick();
  expect(said).toHaveLength(2);
});
