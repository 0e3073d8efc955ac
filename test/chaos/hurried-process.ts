/**
 * The product as `cli.ts start` composes it, in another time: the clock stands hours later at each start, the workers tick every few
 * tenths of a second, and the process ends itself, as a power cut would, when its clock is read for the nth time. So a kill falls into
 * whatever reads the clock: a transaction, a tick of any worker, the start itself.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { startControl } from '../../control/main.ts';
import { DEFAULT_BOUNDS } from '../../proxy/config.ts';
import { startProxy } from '../../proxy/main.ts';
import { readSettings } from '../../settings.ts';

/** By how much the clock is ahead, milliseconds; and at which reading the process ends, 0 = never. */
const ahead = Number(process.env.CHAOS_AHEAD_MS ?? 0);
const lastReading = Number(process.env.CHAOS_LAST_READING ?? 0);
const TICK_MAX_MS = 250;

let readings = 0;
const clock = () => {
  readings++;
  if (readings === lastReading) process.kill(process.pid, 'SIGKILL');
  return Date.now() + ahead;
};

const config = readSettings(process.env, process.cwd());
const log = pino({ level: config.MC_LOG_LEVEL, base: null }, pino.destination({ dest: 2, sync: false }));
const clusterSecret = randomBytes(32).toString('base64url');
const control = await startControl(
  {
    host: config.MC_HOST,
    port: config.MC_CONTROL_PORT,
    dataDir: config.dataDir,
    keyDir: config.keyDir,
    adminToken: config.MC_ADMIN_TOKEN,
    clusterSecret,
    redisUrl: null,
    openclaw: null,
    allowCommands: false,
    keepDays: config.MC_KEEP_DAYS,
    dashboardDir: join(import.meta.dirname, '..', '..', 'dashboard', 'dist'),
    version: 'chaos',
  },
  log,
  clock,
  (everyMs) => Math.min(everyMs, TICK_MAX_MS),
);
await startProxy(
  {
    host: config.MC_HOST,
    port: config.MC_PROXY_PORT,
    journalDir: join(config.dataDir, 'journal'),
    controlUrl: control.url,
    clusterSecret,
    redisUrl: null,
    metricsToken: null,
    hostNames: [config.MC_HOST],
    bounds: DEFAULT_BOUNDS,
  },
  log,
  clock,
);
console.log(await control.signInLink());
