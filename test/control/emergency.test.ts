import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { Agents } from '../../control/agents.ts';
import type { Alerts } from '../../control/alerts.ts';
import { openDatabase } from '../../control/db/database.ts';
import { createEmergency } from '../../control/emergency.ts';
import type { Gateways } from '../../control/gateways.ts';
import type { Holds } from '../../control/holds.ts';
import { openSigningKey } from '../../control/signing.ts';
import type { Tasks } from '../../control/tasks.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

describe('the emergency stop without a database', () => {
  /** An emergency stop whose database is gone, and what it told the proxies. */
  async function stranded() {
    const dataDir = mkdtempSync(join(tmpdir(), 'mc-stop-'));
    folders.push(dataDir);
    const { db, close } = await openDatabase(dataDir);
    const told: (string | null)[] = [];
    const gone = () => Promise.reject(new Error('no database'));
    // The services that need rows find none: what is proven here is that the stop does not need them.
    const emergency = createEmergency({
      db,
      clock: () => 1_700_000_000_000,
      dataDir,
      agents: { list: gone, pauseAll: gone } as unknown as Agents,
      tasks: { blockAll: gone } as unknown as Tasks,
      holds: { withdrawHeld: gone } as unknown as Holds,
      alerts: { raise: gone } as unknown as Alerts,
      gateways: { find: gone } as unknown as Gateways,
      signingKey: openSigningKey(join(dataDir, 'keys')),
      published: () => {},
      push: () => told.push(emergency.picture().stopId),
      liveProxies: () => ['proxy-1'],
    });
    await emergency.load();
    await close();
    return { emergency, told, dataDir };
  }

  it('reaches the proxies first, is kept in its file, and answers a receipt', async () => {
    const { emergency, told, dataDir } = await stranded();
    const pressed = emergency.stop({ type: 'human', id: 'admin', name: 'admin' }, 'the disk is on fire');
    expect(told).toEqual([emergency.picture().stopId]);
    expect(JSON.parse(readFileSync(join(dataDir, 'stop.json'), 'utf8'))).toMatchObject({ stopId: told[0], reason: 'the disk is on fire' });
    emergency.acknowledge(String(told[0]), { proxyId: 'proxy-1', at: 1_700_000_000_005, lastAdmittedAt: null, agents: [] });
    expect(await pressed).toMatchObject({ id: told[0], blockedTasks: 0, proxies: [{ id: 'proxy-1', acknowledgedAt: 1_700_000_000_005 }] });
    expect(emergency.picture().estop).toBe(true);
  });

  it('holds where the file cannot be written either, and says that nothing keeps it yet', async () => {
    const { emergency, told, dataDir } = await stranded();
    mkdirSync(join(dataDir, 'stop.json'));
    const pressed = emergency.stop({ type: 'human', id: 'admin', name: 'admin' }, 'the disk is full');
    emergency.acknowledge(String(told[0]), { proxyId: 'proxy-1', at: 1_700_000_000_005, lastAdmittedAt: null, agents: [] });
    await expect(pressed).rejects.toMatchObject({ status: 503, code: 'STOP_NOT_KEPT' });
    expect(emergency.picture()).toMatchObject({ estop: true, stopId: told[0] });
    rmSync(join(dataDir, 'stop.json'), { recursive: true });
    const again = await emergency.stop({ type: 'human', id: 'admin', name: 'admin' }, 'pressed again');
    expect(again).toMatchObject({ id: told[0], reason: 'the disk is full', proxies: [{ acknowledgedAt: 1_700_000_000_005 }] });
  });
});
