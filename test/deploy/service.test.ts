/** The systemd unit names settings that exist, and gives the process the time that it may take to end. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readSettings, SETTINGS } from '../../settings.ts';

const unit = readFileSync(new URL('../../deploy/mission-control.service', import.meta.url), 'utf8');
/** What cli.ts allows itself for its end. */
const STOP_MAX_S = 25;

it('starts with settings that exist, in folders that only its user reads, and waits for an orderly end', () => {
  const [, line = ''] = /^Environment=(.*)$/m.exec(unit) ?? [];
  const environment = Object.fromEntries(line.split(' ').map((pair) => pair.split('=')));
  for (const name of Object.keys(environment)) expect(SETTINGS).toHaveProperty(name);
  const { dataDir, keyDir } = readSettings(environment, '/opt/mission-control');
  const [, state = ''] = /^StateDirectory=(.*)$/m.exec(unit) ?? [];
  for (const folder of [dataDir, keyDir]) expect(folder.startsWith(`/var/lib/${state}/`)).toBe(true);
  expect(unit).toMatch(/^StateDirectoryMode=0700$/m);
  expect(unit).toMatch(/^UMask=0077$/m);
  expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(STOP_MAX_S + 5);
});
