/** One proxy in a process of its own, for tests that need several at one control. Says `{ url }` when it listens. */
import { pino } from 'pino';
import { DEFAULT_BOUNDS } from '../../proxy/config.ts';
import { startProxy } from '../../proxy/main.ts';

const { JOURNAL_DIR = '', CONTROL_URL = '', CLUSTER_SECRET = '', REDIS_URL = '' } = process.env;
const { url } = await startProxy(
  {
    host: '127.0.0.1',
    port: 0,
    egressPort: 0,
    journalDir: JOURNAL_DIR,
    controlUrl: CONTROL_URL,
    clusterSecret: CLUSTER_SECRET,
    redisUrl: REDIS_URL,
    metricsToken: null,
    hostNames: [],
    bounds: DEFAULT_BOUNDS,
  },
  pino({ level: 'error', base: null }, pino.destination({ dest: 2, sync: false })),
  Date.now,
);
process.send?.({ url });
