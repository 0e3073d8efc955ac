/**
 * The product as `cli.ts start` composes it, in the process of the test and in a time that the test turns: for what takes seconds or hours
 * to come about, through the real ways in. The workers tick ten times a second; what they wait for is on the test's clock.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startControl } from '../../control/main.ts';
import { DEFAULT_BOUNDS } from '../../proxy/config.ts';
import { startProxy } from '../../proxy/main.ts';
import { blankDatabase } from './blank-database.ts';
import { ADMIN_TOKEN, joinWorld } from './world.ts';

export const CLUSTER_SECRET = 'a-cluster-secret-in-own-time';
export const METRICS_TOKEN = 'metrics-token-of-a-test-0123456789';
const TICK_MS = 100;

export type OwnTime = Awaited<ReturnType<typeof startInOwnTime>>;

/** Starts control and proxy. `pass` lets time go by, milliseconds; what binds calls is looked up anew every second of it. */
export async function startInOwnTime({ otlpEndpoint = null }: { otlpEndpoint?: string | null } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'mc-time-'));
  const dataDir = join(folder, 'data');
  mkdirSync(join(folder, 'dashboard'));
  await blankDatabase(dataDir);
  let ahead = 0;
  const clock = () => Date.now() + ahead;
  const lines: string[] = [];
  const log = pino({ level: 'info', base: null }, { write: (line: string) => void lines.push(line) });
  const clusterSecret = CLUSTER_SECRET;
  const control = await startControl(
    {
      ...{ host: '127.0.0.1', port: 0, dataDir, keyDir: `${dataDir}-keys`, adminToken: ADMIN_TOKEN, clusterSecret, redisUrl: null },
      metricsToken: METRICS_TOKEN,
      ...{ openclaw: null, allowCommands: false, keepDays: 0, dashboardDir: join(folder, 'dashboard'), version: 'test' },
    },
    log,
    clock,
    (everyMs) => Math.min(everyMs, TICK_MS),
  );
  const proxy = await startProxy(
    {
      ...{ host: '127.0.0.1', port: 0, egressPort: 0, journalDir: join(dataDir, 'journal'), controlUrl: control.url, clusterSecret },
      ...{ redisUrl: null, metricsToken: METRICS_TOKEN, otlpEndpoint, otlpEveryMs: 500, hostNames: ['127.0.0.1'], bounds: DEFAULT_BOUNDS },
    },
    log,
    clock,
  );
  return {
    ...joinWorld(control.url, proxy.url),
    egressUrl: proxy.egressUrl ?? '',
    dataDir,
    clock,
    pass: (ms: number) => {
      ahead += ms;
    },
    /** What was logged, as objects. */
    logged: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>),
    close: async () => {
      await proxy.close();
      await control.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
