/**
 * The world of a flow test as several processes: two controls, workers and two proxies on a real PostgreSQL and a real Redis, started as
 * `npm run topology` starts them. Requests to the API come to one control after the other. New calls of one agent come to one proxy, as from
 * a balancer that keeps agents where they are; what is asked about a call later comes to one proxy after the other.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openServerDatabase } from '../../control/db/database.ts';
import { prepareTopology, type Service } from '../../deploy/topology.ts';
import { CHILD_ENV } from './child-env.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { ADMIN_TOKEN, freePort, joinWorld, type World } from './world.ts';

export interface Topology extends World {
  services: readonly Service[];
  /** A process by its name in the compose file. */
  service: (name: string) => Service;
  postgres: PostgresServer;
  redis: RedisServer;
}

/** Starts them. @param env further settings of every process. */
export async function startTopology(env: Record<string, string> = {}): Promise<Topology> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-topology-'));
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  const databaseUrl = await postgres.createDatabase();
  let log = '';
  // What people call a control is not where the proxies find it.
  const { MC_CONTROL_URL, ...further } = env;
  const services = await prepareTopology({
    folder,
    databaseUrl,
    redisUrl: redis.url,
    secrets: { MC_CLUSTER_SECRET: 'cluster-secret-for-tests', POSTGRES_PASSWORD: 'none', MC_METRICS_TOKEN: 'metrics-token-for-tests' },
    environment: { NODE_COMPILE_CACHE: CHILD_ENV.NODE_COMPILE_CACHE, MC_ADMIN_TOKEN: ADMIN_TOKEN, ...further },
    rewire: async (_, { MC_ROLE }) => (MC_CONTROL_URL !== undefined && MC_ROLE !== 'proxy' ? { MC_CONTROL_URL } : {}),
    freePort,
    onLog: (name, text) => {
      log += text.replaceAll(/^(?=.)/gm, `${name} | `);
    },
  });
  const service = (name: string) => {
    const found = services.find((candidate) => candidate.name === name);
    if (!found) throw new Error(`there is no service ${name}`);
    return found;
  };
  const of = (role: string) => services.filter((candidate) => candidate.role === role);

  async function start(): Promise<void> {
    log = '';
    await Promise.all([...of('control'), ...of('workers')].map((one) => one.start()));
    await Promise.all(of('proxy').map((one) => one.start()));
  }
  async function end(signal: NodeJS.Signals): Promise<number | null> {
    const codes = await Promise.all(of('proxy').map((one) => one.end(signal)));
    codes.push(...(await Promise.all([...of('control'), ...of('workers')].map((one) => one.end(signal)))));
    return codes.find((code) => code !== 0) ?? 0;
  }

  async function close(): Promise<void> {
    await end('SIGKILL');
    await redis.close();
    await postgres.close();
    rmSync(folder, { recursive: true, force: true });
  }

  await start().catch(async (error) => {
    await close();
    throw error;
  });
  const worlds = [
    joinWorld(service('control-1').url, service('proxy-1').url),
    joinWorld(service('control-2').url, service('proxy-2').url),
  ] as const;
  let asked = 0;
  const next = () => worlds[asked++ % 2] ?? worlds[0];
  return {
    ...worlds[0],
    api: (...args) => next().api(...args),
    gate: (method, path, body, token) => {
      const isFollowUp = /^\/v1\/tool-calls\/./.test(path);
      const home = worlds[(token ?? '').charCodeAt(8) % 2] ?? worlds[0];
      return (isFollowUp ? next() : home).gate(method, path, body, token);
    },
    egressUrl: service('proxy-1').egressUrl ?? '',
    dataDir: service('control-1').dataDir,
    keyDir: service('control-1').keyDir,
    places: [...services.map(({ dataDir }) => dataDir), postgres.folder],
    openDatabase: () => openServerDatabase(databaseUrl),
    signInLink: () => /http\S+#token=\S+/.exec(service('control-1').output())?.[0] ?? '',
    log: () => log,
    pid: () => service('control-1').pid() ?? 0,
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
    start,
    close,
    services,
    service,
    postgres,
    redis,
  };
}
