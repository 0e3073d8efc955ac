/** An installation of several processes for what is measured on one: the services of docker-compose.yml with as many proxies as are wanted. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareTopology, type Service, type TopologyOptions } from '../deploy/topology.ts';
import { CHILD_ENV } from '../test/support/child-env.ts';
import { type PostgresServer, startPostgres } from '../test/support/postgres.ts';
import { type RedisServer, startRedis } from '../test/support/redis.ts';
import { ADMIN_TOKEN, type Answer, freePort, joinWorld } from '../test/support/world.ts';

export { percentile } from './percentile.ts';

export interface Installation {
  controls: readonly Service[];
  proxies: readonly Service[];
  workers: readonly Service[];
  postgres: PostgresServer;
  redis: RedisServer;
  /** Asks the API of a control as the administrator; of the first where nothing is said. */
  api: <T = Record<string, unknown>>(method: string, path: string, body?: unknown, control?: Service) => Promise<Answer<T>>;
  /** The end of what the processes have logged. */
  log: () => string;
  close: () => Promise<void>;
}

export interface InstallationSize {
  /** Two or more. */
  proxies: number;
  /** What is different for one of its processes. */
  rewire?: TopologyOptions['rewire'];
  /** Called when everything has ended, before its folders are removed. */
  clear?: () => void;
}

/** Starts it and waits until every process is ready. */
async function startInstallation({ proxies, rewire, clear }: InstallationSize): Promise<Installation> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-installation-'));
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  let log = '';
  const copies = Object.fromEntries(Array.from({ length: proxies - 2 }, (_, index) => [`proxy-${index + 3}`, 'proxy-1']));
  const services = await prepareTopology({
    folder,
    databaseUrl: await postgres.createDatabase(),
    redisUrl: redis.url,
    secrets: { MC_CLUSTER_SECRET: 'cluster-secret-of-a-bench', POSTGRES_PASSWORD: 'none', MC_METRICS_TOKEN: 'metrics-token-of-a-bench' },
    environment: { NODE_COMPILE_CACHE: CHILD_ENV.NODE_COMPILE_CACHE, MC_ADMIN_TOKEN: ADMIN_TOKEN, MC_LOG_LEVEL: 'error' },
    ...(rewire && { rewire }),
    copies,
    freePort,
    onLog: (name, text) => {
      log = `${log}${text.replaceAll(/^(?=.)/gm, `${name} | `)}`.slice(-100_000);
    },
  });
  const of = (role: string) => services.filter((service) => service.role === role);
  const controls = of('control');

  async function close(): Promise<void> {
    await Promise.all(services.map((service) => service.end('SIGKILL')));
    await redis.close();
    await postgres.close();
    clear?.();
    rmSync(folder, { recursive: true, force: true });
  }

  // Interrupted, it leaves nothing running.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void close().finally(() => process.exit(130)));
  try {
    await Promise.all([...controls, ...of('workers')].map((service) => service.start()));
    await Promise.all(of('proxy').map((service) => service.start()));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    controls,
    proxies: of('proxy'),
    workers: of('workers'),
    postgres,
    redis,
    api: (method, path, body, control = controls[0]) => joinWorld(control?.url ?? '', '').api(method, path, body),
    log: () => log,
    close,
  };
}

/** @throws Error with what was answered, where it is not what an answer must be. */
export function demand<T>(answer: Answer<T>, status: number): T {
  if (answer.status !== status)
    throw new Error(`answered ${answer.status} instead of ${status}: ${JSON.stringify(answer.body)?.slice(0, 500)}`);
  return answer.body;
}

/** Makes a patch of the active policy the active policy. */
export async function usePolicy({ api }: Installation, patch: Record<string, unknown>): Promise<void> {
  const { id } = demand(await api<{ id: string }>('POST', '/policies', { patch, note: 'for a measurement' }), 201);
  demand(await api('POST', `/policies/${id}/activate`, { note: 'for a measurement' }), 200);
}

/** Agents with their tokens, known to every proxy. */
export async function newAgents({ api }: Installation, count: number): Promise<{ id: string; token: string }[]> {
  const agents: { id: string; token: string }[] = [];
  for (let index = 0; index < count; index++) {
    const fields = { name: `agent-${index + 1}`, autonomyLevel: 'specialist', workspace: '/workspace' };
    const { id } = demand(await api<{ id: string }>('POST', '/agents', fields), 201);
    const { token } = demand(await api<{ token: string }>('POST', `/agents/${id}/tokens`, {}), 201);
    agents.push({ id, token });
  }
  return agents;
}

/**
 * Starts an installation, measures it, takes everything down again and ends the process: with 0 where every promise was kept.
 * Where the measurement fails, what the processes said is shown.
 */
export async function measureInstallation(
  size: InstallationSize,
  measure: (installation: Installation) => Promise<boolean>,
  end: () => Promise<unknown>,
): Promise<never> {
  const installation = await startInstallation(size);
  let isKept = false;
  try {
    isKept = await measure(installation);
  } catch (error) {
    console.error(installation.log());
    throw error;
  } finally {
    await installation.close();
    await end();
  }
  process.exit(isKept ? 0 : 1);
}

export interface Line {
  promise: string;
  target: string;
  measured: string;
  kept: boolean;
}

/** Prints the figures beside their targets. @returns whether all were kept. */
export function printLines(lines: readonly Line[], machine: string): boolean {
  console.log(`${machine}\n\n| promise | target | measured | |\n| --- | --- | --- | --- |`);
  for (const { promise, target, measured, kept } of lines)
    console.log(`| ${promise} | ${target} | ${measured} | ${kept ? 'kept' : 'MISSED'} |`);
  return lines.every(({ kept }) => kept);
}
