/**
 * The proxy under measurement, alone in its process: the product's proxy, and beside its own listener the plain forward and the forward
 * without judgement. Says on request how many journal events control has not taken yet, and profiles itself.
 */
import { Session } from 'node:inspector/promises';
import { pino } from 'pino';
import { DEFAULT_BOUNDS } from '../proxy/config.ts';
import { DEFAULT_FORWARD_BOUNDS, Forwarder } from '../proxy/forward.ts';
import { startProxy } from '../proxy/main.ts';
import { createPlainForward, createUngoverned } from './plain-forward.ts';
import { type ProfileLine, summarise } from './profile.ts';

export type ProxyRequest = { ask: 'depth' } | { ask: 'profile' } | { ask: 'profiled' };
export type ProxyAnswer = { depth: number } | { started: true } | { lines: ProfileLine[] };

const {
  PORT,
  FORWARD_PORT,
  UNGOVERNED_PORT,
  UPSTREAM_PORT,
  DATA_DIR = '',
  CONTROL_URL = '',
  CLUSTER_SECRET = '',
  REDIS_URL = '',
} = process.env;
const log = pino({ level: 'warn', base: null }, pino.destination({ dest: 2, sync: false }));
const proxy = await startProxy(
  {
    host: '127.0.0.1',
    port: Number(PORT),
    journalDir: `${DATA_DIR}/journal`,
    controlUrl: CONTROL_URL,
    clusterSecret: CLUSTER_SECRET,
    redisUrl: REDIS_URL || null,
    metricsToken: null,
    hostNames: [],
    bounds: DEFAULT_BOUNDS,
  },
  log,
  Date.now,
);
const forwarder = new Forwarder(
  { origin: `http://127.0.0.1:${UPSTREAM_PORT}`, setHeaders: ['authorization', 'Bearer upstream-secret'], removeHeaders: [] },
  DEFAULT_FORWARD_BOUNDS,
);
const dependencies = { core: proxy.core, forwarder, clock: Date.now, bounds: DEFAULT_BOUNDS };
const listeners = [
  createPlainForward(dependencies).listen(Number(FORWARD_PORT), '127.0.0.1'),
  createUngoverned(forwarder, DEFAULT_BOUNDS).listen(Number(UNGOVERNED_PORT), '127.0.0.1'),
];

let session: Session | null = null;
const answer = (message: ProxyAnswer) => process.send?.(message);
process.on('message', async ({ ask }: ProxyRequest) => {
  switch (ask) {
    case 'depth':
      return answer({ depth: proxy.core.journal.depth });
    case 'profile': {
      session = new Session();
      session.connect();
      await session.post('Profiler.enable');
      await session.post('Profiler.setSamplingInterval', { interval: 200 });
      await session.post('Profiler.start');
      return answer({ started: true });
    }
    case 'profiled': {
      const result = await session?.post('Profiler.stop');
      session?.disconnect();
      session = null;
      return answer({ lines: result ? summarise(result.profile) : [] });
    }
  }
});
process.on('SIGTERM', async () => {
  for (const listener of listeners) listener.close().closeAllConnections();
  await forwarder.close();
  await proxy.close();
  process.exit(0);
});
process.send?.({ ready: true });
