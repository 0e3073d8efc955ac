/** One stop and several control processes: who holds it, who records it, and what ends it. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { LINE_PROOF_HEADER, type StopAcknowledgement } from '../../control/contract.ts';
import { createEmergency, type Emergency, type StopHearing, type StopNote } from '../../control/emergency.ts';
import { createMembers } from '../../control/members.ts';
import { openSigningKey } from '../../control/signing.ts';
import { readStopOrder, sealStop } from '../../control/stop-order.ts';
import { proveStopAnswer, readStopOrder as readAtProxy } from '../../proxy/stop-order.ts';
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
function control(order: (stop: StopNote, hearing: StopHearing) => void = (_, { onExpected }) => onExpected([])): {
  emergency: Emergency;
  file: string;
  pushed: boolean[];
} {
  const dataDir = mkdtempSync(join(tmpdir(), 'mc-stops-'));
  folders.push(dataDir);
  const pushed: boolean[] = [];
  const emergency: Emergency = createEmergency({
    ...services.base,
    dataDir,
    agents: services.agents,
    tasks: services.tasks,
    holds: services.holds,
    alerts: services.alerts,
    gateways: services.gateways,
    signingKey: openSigningKey(join(dataDir, 'keys')),
    push: () => pushed.push(emergency.picture().estop),
    liveProxies: () => [],
    order,
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
  it('that are pressed at the same moment have one stop and one receipt, and one resume ends it at both', async () => {
    const [one, two] = [control(), control()];
    await Promise.all([one.emergency.load(), two.emergency.load()]);
    const receipts = await Promise.all([one.emergency.stop(ADMIN, 'here'), two.emergency.stop(ADMIN, 'there')]);
    expect(receipts[0]).toEqual(receipts[1]);
    expect((await two.emergency.state()).receipt).toEqual(receipts[0]);
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

  it('answer the receipt that is still being made when the stop of the other one is pressed again', async () => {
    const asked = Promise.withResolvers<StopHearing>();
    const [one, two] = [control((_, hearing) => asked.resolve(hearing)), control()];
    await Promise.all([one.emergency.load(), two.emergency.load()]);
    const first = one.emergency.stop(ADMIN, 'the first');
    const stopId = one.emergency.picture().stopId ?? '';
    two.emergency.adopt({ ...STOP, stopId });
    const second = two.emergency.stop(ADMIN, 'the second');
    const hearing = await asked.promise;
    hearing.onExpected(['proxy-1']);
    hearing.onAnswer({ proxyId: 'proxy-1', at: 1, lastAdmittedAt: null, agents: [] });
    expect(await first).toMatchObject({ id: stopId, reason: 'the first', proxies: [{ id: 'proxy-1', acknowledgedAt: 1 }] });
    expect(await second).toEqual(await first);
    await one.emergency.resume(ADMIN, 'all is well');
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

describe('the proxies of a stop', () => {
  it('are those that the record knows at that moment, also where they have announced themselves elsewhere', async () => {
    const heard: string[] = [];
    let secret = SECRET;
    const proxy = createServer(async (request, response) => {
      heard.push(request.url ?? '');
      const order = readAtProxy(await json(request), SECRET);
      const answer: StopAcknowledgement = { proxyId: 'proxy-2', at: services.time.now, lastAdmittedAt: null, agents: [] };
      const text = JSON.stringify(answer);
      response.setHeader(LINE_PROOF_HEADER, order ? proveStopAnswer(order, text, secret) : '').end(text);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const at = (id: string) =>
      createMembers({
        ...services.base,
        clusterSecret: SECRET,
        self: { id, url: () => 'http://127.0.0.1:1' },
        onError: (error) => services.errors.push(error),
      });
    const [here, elsewhere] = [at('control-1'), at('control-2')];
    await here.start(() => []);
    // Nothing has been looked up here since.
    await elsewhere.saw('proxy-2', url);
    const { emergency } = control((stop, hearing) => void here.order(sealStop(stop, SECRET), hearing));
    await emergency.load();
    expect((await emergency.stop(ADMIN, null)).proxies).toEqual([
      { id: 'proxy-2', acknowledgedAt: services.time.now, lastAdmittedAt: null, silentAfterMs: 0, cutStreams: 0, withdrawnCalls: 0 },
    ]);
    expect(heard).toEqual(['/internal/v1/stop']);
    await emergency.resume(ADMIN, 'all is well');
    // One that is there and does not answer is named, and one that answers without being expected as well.
    await elsewhere.saw('proxy-3', 'http://127.0.0.1:1');
    services.time.now += 60_000;
    await elsewhere.saw('proxy-3', 'http://127.0.0.1:1');
    const { proxies } = await emergency.stop(ADMIN, null);
    expect(proxies.map(({ id, acknowledgedAt }) => [id, acknowledgedAt !== null])).toEqual([
      ['proxy-2', true],
      ['proxy-3', false],
    ]);
    await emergency.resume(ADMIN, 'all is well');
    // Somebody else stands where a proxy stood, and says that it is silent.
    secret = 'a-secret-that-was-guessed';
    services.errors.length = 0;
    const unproven = await emergency.stop(ADMIN, null);
    expect(unproven.proxies.find(({ id }) => id === 'proxy-2')?.acknowledgedAt ?? null).toBeNull();
    expect(String(services.errors)).toContain('does not prove');
    services.errors.length = 0;
    await emergency.resume(ADMIN, 'all is well');
    await here.stop();
    await new Promise((resolve) => proxy.close(resolve));
  });
});

describe('a receipt', () => {
  it('that the record could not take names what the proxies said, and is taken up when the record is back', async () => {
    const { emergency } = control((_, { onExpected, onAnswer }) => {
      onAnswer({ proxyId: 'proxy-1', at: 5, lastAdmittedAt: 4, agents: [{ id: 'agent-x', lastAdmittedAt: 4, withdrawnCalls: 2 }] });
      onExpected([]);
    });
    await emergency.load();
    await sql.raw('alter table system_state rename to system_state_away').execute(services.db);
    const receipt = await emergency.stop(ADMIN, 'without a record');
    expect(receipt.agents).toContainEqual({ id: 'agent-x', name: 'agent-x', lastAdmittedAt: 4, silentAfterMs: 0, withdrawnCalls: 2 });
    await sql.raw('alter table system_state_away rename to system_state').execute(services.db);
    await vi.waitFor(async () => expect((await emergency.state()).receipt).toEqual(receipt), { timeout: 10_000 });
    await emergency.resume(ADMIN, 'all is well');
  });
});
