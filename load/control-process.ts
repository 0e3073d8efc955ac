/** Control of the bench, a process of its own, so that the proxy's CPU is the proxy's alone. */
import { pino } from 'pino';
import { startControl } from '../control/main.ts';

const { PORT, DATA_DIR = '', ADMIN_TOKEN = '', CLUSTER_SECRET = '', REDIS_URL = '' } = process.env;
const control = await startControl(
  {
    host: '127.0.0.1',
    port: Number(PORT),
    dataDir: `${DATA_DIR}/data`,
    keyDir: `${DATA_DIR}/data-keys`,
    adminToken: ADMIN_TOKEN,
    clusterSecret: CLUSTER_SECRET,
    redisUrl: REDIS_URL || null,
    openclaw: null,
    allowCommands: true,
    keepDays: 0,
    dashboardDir: `${DATA_DIR}/no-dashboard`,
    version: 'bench',
  },
  pino({ level: 'warn', base: null }, pino.destination({ dest: 2, sync: false })),
  Date.now,
);
process.on('SIGTERM', () => {
  control.close().then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
process.send?.({ ready: control.url });
