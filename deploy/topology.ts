/**
 * The processes of docker-compose.yml as plain processes on this machine: the same services with the same environment files, each on a port
 * of its own of the loopback interface and in folders of its own. What compose would build is run as it stands here; what it would fetch
 * (PostgreSQL, Redis) is expected to run already, and what only watches is left out.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { parse as parseYaml } from 'yaml';

const HERE = import.meta.dirname;
const ROOT = join(HERE, '..');
const IMAGE = 'mission-control:latest';

interface ComposeFile {
  services: Record<string, { image?: string; env_file?: string[]; environment?: Record<string, string> }>;
}

export interface TopologyOptions {
  /** Where data and keys go. */
  folder: string;
  databaseUrl: string;
  redisUrl: string;
  /** Values of ${...} in the compose file, and further settings of every process. */
  secrets: Record<string, string>;
  environment?: Record<string, string>;
  /** What is different for one service, given what it would have: another way to a neighbour, for example. */
  rewire?: (service: string, settings: Readonly<Record<string, string>>) => Promise<Record<string, string>>;
  /** Further services, each by the name of the one that it is like: { 'proxy-3': 'proxy-1' }. */
  copies?: Readonly<Record<string, string>>;
  /** A port for each listener; asked once for each. */
  freePort: () => Promise<number>;
  /** What the processes log. */
  onLog?: (service: string, text: string) => void;
}

export interface Service {
  name: string;
  role: string;
  /** Of its listener: API and dashboard, the gate, or the health of the workers. */
  url: string;
  /** Of a proxy. */
  egressUrl: string | null;
  dataDir: string;
  keyDir: string;
  pid: () => number | null;
  /** What it printed since it was started last. */
  output: () => string;
  /** Resolves with its exit code once the process that was started last has ended, from whichever side. */
  ended: () => Promise<number | null>;
  /** Starts it; resolves when it says that it is ready. */
  start: () => Promise<void>;
  /** SIGTERM, or what is given; answers the exit code. */
  end: (signal?: NodeJS.Signals) => Promise<number | null>;
  /** Sends a signal and goes on. */
  signal: (signal: NodeJS.Signals) => void;
}

/** Reads the compose file and prepares its services; nothing is started yet. In the order in which they may be started. */
export async function prepareTopology(options: TopologyOptions): Promise<Service[]> {
  const { services } = parseYaml(readFileSync(join(HERE, 'docker-compose.yml'), 'utf8'), { merge: true }) as ComposeFile;
  const named = Object.entries(services).filter(([, { image }]) => image === IMAGE);
  const copied = Object.entries(options.copies ?? {}).map(([name, like]) => [name, copyOf(services[like] ?? {}, like, name)] as const);
  const ours = [...named, ...copied];
  const ports = new Map<string, { listener: number; egress: number }>();
  for (const [name] of ours) ports.set(name, { listener: await options.freePort(), egress: await options.freePort() });

  const prepared = ours.map(async ([name, { env_file = [], environment = {} }]) => {
    const own = ports.get(name) ?? { listener: 0, egress: 0 };
    const given: NodeJS.Dict<string> = {};
    for (const file of env_file) Object.assign(given, parseEnv(readFileSync(join(HERE, file), 'utf8')));
    for (const [key, value] of Object.entries(environment)) given[key] = filledIn(value, options.secrets);
    const dataDir = join(options.folder, name);
    const keyDir = join(options.folder, 'keys');
    const settings = Object.fromEntries(Object.entries(given).map(([key, value = '']) => [key, onThisMachine(value, ports)]));
    const whole = {
      ...settings,
      MC_HOST: '127.0.0.1',
      MC_DATA_DIR: dataDir,
      MC_KEY_DIR: keyDir,
      MC_CONTROL_PORT: String(own.listener),
      MC_PROXY_PORT: String(own.listener),
      MC_EGRESS_PORT: String(own.egress),
      REDIS_URL: options.redisUrl,
      // Nothing stands in front of the processes here: people come straight to the first control and the first proxy.
      ...(settings.DATABASE_URL !== undefined && {
        DATABASE_URL: options.databaseUrl,
        MC_CONTROL_URL: urlOf('control-1'),
        MC_PROXY_URL: urlOf('proxy-1'),
      }),
      ...options.environment,
    };
    return serviceOf(name, { ...whole, ...(await options.rewire?.(name, whole)) });
  });
  return Promise.all(prepared);

  function urlOf(name: string): string {
    return `http://127.0.0.1:${ports.get(name)?.listener ?? 0}`;
  }

  function serviceOf(name: string, environment: Record<string, string>): Service {
    let child: ChildProcess | null = null;
    let output = '';
    let ended: Promise<number | null> = Promise.resolve(null);

    function start(): Promise<void> {
      output = '';
      const started = spawn(process.execPath, ['cli.ts', 'start'], {
        cwd: ROOT,
        env: { PATH: process.env.PATH, HOME: options.folder, ...environment },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      child = started;
      ended = new Promise((resolve) => started.once('exit', (code) => resolve(code)));
      const hear = (chunk: Buffer) => {
        output += chunk;
        options.onLog?.(name, String(chunk));
      };
      started.stdout.on('data', hear);
      started.stderr.on('data', hear);
      return new Promise((resolve, reject) => {
        started.stdout.on('data', () => {
          if (output.includes('is ready.')) resolve();
        });
        started.once('exit', (code) => reject(new Error(`${name} ended at its start (exit ${code})\n${output}`)));
      });
    }

    function end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
      const running = child;
      child = null;
      if (!running || running.exitCode !== null || running.signalCode !== null) return Promise.resolve(running?.exitCode ?? null);
      return new Promise((resolve) => {
        running.once('exit', (code) => resolve(code));
        running.kill(signal);
      });
    }

    const role = environment.MC_ROLE ?? 'all';
    return {
      name,
      role,
      url: `http://127.0.0.1:${role === 'proxy' ? environment.MC_PROXY_PORT : environment.MC_CONTROL_PORT}`,
      egressUrl: role === 'proxy' ? `http://127.0.0.1:${environment.MC_EGRESS_PORT}` : null,
      dataDir: environment.MC_DATA_DIR ?? '',
      keyDir: environment.MC_KEY_DIR ?? '',
      pid: () => child?.pid ?? null,
      output: () => output,
      ended: () => ended,
      start,
      end,
      signal: (signal) => void child?.kill(signal),
    };
  }
}

/** ${NAME:?message} and ${NAME:-default} as compose fills them in. @throws Error with the message where one is not set. */
function filledIn(value: string, secrets: Record<string, string>): string {
  return value.replaceAll(/\$\{(\w+)(?::(\?|-)([^}]*))?\}/g, (_, name: string, kind?: string, text = 'is not set') => {
    const found = secrets[name] ?? (kind === '-' ? text : undefined);
    if (found === undefined) throw new Error(`${name}: ${text}`);
    return found;
  });
}

/** The same service under another name, reached by that. */
function copyOf(service: ComposeFile['services'][string], like: string, name: string): ComposeFile['services'][string] {
  const environment = Object.entries(service.environment ?? {}).map(([key, value]) => [key, value.replaceAll(`//${like}:`, `//${name}:`)]);
  return { ...service, environment: Object.fromEntries(environment) };
}

/** Names of services lead to their ports here. */
function onThisMachine(value: string, ports: ReadonlyMap<string, { listener: number }>): string {
  return value.replaceAll(/\/\/([\w-]+):\d+/g, (whole, name: string) => {
    const port = ports.get(name)?.listener;
    return port === undefined ? whole : `//127.0.0.1:${port}`;
  });
}
