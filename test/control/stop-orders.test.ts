/** One stop and several control processes: who holds it, who records it, and what ends it. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEmergency, type Emergency } from '../../control/emergency.ts';
import { readStopOrder, sealStop } from '../../control/stop-order.ts';
import { readStopOrder as readAtProxy } from '../../proxy/stop-order.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

const SECRET = 'cluster-secret-for-tests';
const STOP = { stopId: 'stop-1', at: 1_700_000_000_000, by: 'admin', reason: 'a "drill"' };
let services: Services;
const folders: string[] = [];
beforeAll(async () => {
  services = await startServices();
});
afterAll(async () => {
  await services?.close();
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A control process as far as the stop goes: a memory and a file of its own, the record shared. */
function control(): { emergency: Emergency; file: string; pushed: boolean[] } {
  const dataDir = mkdtempSync(join(tmpdir(), 'mc-stops-'));
  folders.push(dataDir);
  const pushed: boolean[] = [];
  const emergency: Emergency = createEmergency({
    ...services.base,
    dataDir,
    agents: services.agents,
    tasks: services.tasks,
    approvals: services.approvals,
    alerts: services.alerts,
    gateways: services.gateways,
    push: () => pushed.push(emergency.picture().estop),
    liveProxies: () => [],
    order: async () => {},
  });
  return { emergency, file: join(dataDir, 'stop.json'), pushed };
}
const stopsRecorded = () => services.db.selectFrom('audit_log').select('action').where('action', 'like', 'emergency.stopped%').execute();

describe('a stop order', () => {
  it('counts with the seal of the cluster and with every part as it was sealed', () => {
    const order = sealStop(STOP, SECRET);
    for (const read of [readStopOrder, readAtProxy]) {
      expect(read(order, SECRET)).toEqual(order);
      expect(read(order, 'another-cluster-secret')).toBeNull();
      for (const change of [{ stopId: 'stop-2' }, { at: 1 }, { by: 'x' }, { reason: null }, { seal: '' }, { seal: 'AAAA' }, { more: 1 }])
        expect(read({ ...order, ...change }, SECRET), JSON.stringify(change)).toBeNull();
      for (const nothing of [null, 'stop', {}, [order]]) expect(read(nothing, SECRET)).toBeNull();
    }
  });
});

describe('two controls', () => {
  it('that are pressed at the same moment have one stop, and one resume ends it at both', async () => {
    const [one, two] = [control(), control()];
    await Promise.all([one.emergency.load(), two.emergency.load()]);
    await Promise.all([one.emergency.stop(ADMIN, 'here'), two.emergency.stop(ADMIN, 'there')]);
    await Promise.all([one.emergency.refresh(), two.emergency.refresh()]);
    const { stopId, estop } = one.emergency.picture();
    expect(estop).toBe(true);
    expect(two.emergency.picture().stopId).toBe(stopId);
    expect((await stopsRecorded()).map(({ action }) => action).sort()).toEqual(['emergency.stopped', 'emergency.stopped_again']);
    await two.emergency.resume(ADMIN, 'all is well');
    expect(one.emergency.picture().estop).toBe(true);
    await one.emergency.refresh();
    for (const { emergency, file, pushed } of [one, two]) {
      expect(emergency.picture().estop).toBe(false);
      expect(existsSync(file)).toBe(false);
      expect(pushed.at(-1)).toBe(false);
    }
  });

  it('hold what the other one has pressed, and not once it is over', async () => {
    const [one, two] = [control(), control()];
    await Promise.all([one.emergency.load(), two.emergency.load()]);
    const { id } = await one.emergency.stop(ADMIN, null);
    two.emergency.adopt({ ...STOP, stopId: id });
    expect([two.emergency.picture().estop, existsSync(two.file), two.pushed.at(-1)]).toEqual([true, true, true]);
    await one.emergency.resume(ADMIN, 'all is well');
    await two.emergency.refresh();
    expect(two.emergency.picture()).toMatchObject({ estop: false, endedStops: expect.arrayContaining([id]) });
    two.emergency.adopt({ ...STOP, stopId: id });
    expect(two.emergency.picture().estop).toBe(false);
    // One that was away meanwhile has it in its file, and learns at its start that it is over.
    const late = control();
    late.emergency.adopt({ ...STOP, stopId: id });
    expect(late.emergency.picture().estop).toBe(true);
    await late.emergency.load();
    expect([late.emergency.picture().estop, existsSync(late.file)]).toEqual([false, false]);
  });
});
