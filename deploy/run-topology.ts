/** `npm run topology`: PostgreSQL, Redis and every process of docker-compose.yml on this machine, in a folder that is removed at the end. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPostgres } from '../test/support/postgres.ts';
import { startRedis } from '../test/support/redis.ts';
import { freePort } from '../test/support/world.ts';
import { prepareTopology } from './topology.ts';

const folder = mkdtempSync(join(tmpdir(), 'mc-topology-'));
const secret = () => randomBytes(24).toString('base64url');
const adminToken = process.env.MC_ADMIN_TOKEN ?? secret();
const secrets = { MC_CLUSTER_SECRET: secret(), POSTGRES_PASSWORD: secret(), MC_METRICS_TOKEN: secret() };
const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
const services = await prepareTopology({
  folder,
  databaseUrl: await postgres.createDatabase(),
  redisUrl: redis.url,
  secrets,
  environment: { MC_ADMIN_TOKEN: adminToken, MC_LOG_LEVEL: process.env.MC_LOG_LEVEL ?? 'warn' },
  freePort,
  onLog: (service, text) => process.stderr.write(text.replaceAll(/^(?=.)/gm, `${service} | `)),
});

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  await Promise.all(services.filter(({ role }) => role === 'proxy').map((service) => service.end()));
  await Promise.all(services.map((service) => service.end()));
  await redis.close();
  await postgres.close();
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void end());

for (const service of services) {
  await service.start();
  if (ending) break;
}
console.log('\nEverything runs. Ctrl-C ends it and removes its data.\n');
for (const { name, role, url } of services) console.log(`  ${name.padEnd(12)} ${role.padEnd(10)} ${url}`);
console.log(`\n  MC_ADMIN_TOKEN=${adminToken}\n`);
