/**
 * The world a flow test lives in: the real product, started as its user starts it, with real files and a real database, and a
 * few words to talk to it. A world can be killed and started again on the same folders and ports.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Db, openDatabase } from '../../control/db/database.ts';
import { blankDatabase } from './blank-database.ts';
import { CHILD_ENV } from './child-env.ts';

export const ADMIN_TOKEN = 'test-admin-token-0123456789';
const ROOT = join(import.meta.dirname, '..', '..');

export interface Answer<T = Record<string, unknown>> {
  status: number;
  body: T;
  headers: Headers;
}

export interface World {
  controlUrl: string;
  gateUrl: string;
  /** The egress proxy. */
  egressUrl: string;
  dataDir: string;
  keyDir: string;
  /** Folders in which everything is that it keeps. */
  places: readonly string[];
  /** Opens its database while it is down. */
  openDatabase: () => Promise<{ db: Db; close: () => Promise<void> }>;
  /** The one-time sign-in link that the last start printed. */
  signInLink: () => string;
  /** Everything that was logged since the last start. */
  log: () => string;
  /** Asks the control API; as the administrator unless a token is given (null = without a credential). */
  api: <T = Record<string, unknown>>(method: string, path: string, body?: unknown, token?: string | null) => Promise<Answer<T>>;
  /** Asks the gate with an agent's or gateway's token. */
  gate: <T = Record<string, unknown>>(method: string, path: string, body: unknown, token: string | null) => Promise<Answer<T>>;
  /** Process id of the product that runs now. */
  pid: () => number;
  /** SIGKILL, at once. */
  kill: () => Promise<void>;
  /** SIGTERM; answers the exit code. */
  stop: () => Promise<number | null>;
  /** Starts again on the same folders and ports. */
  start: () => Promise<void>;
  /** Ends it and removes its folders. */
  close: () => Promise<void>;
}

/** A world that is a single process. */
export interface OneProcess extends World {
  /** Resolves once the process that runs now has ended, however that came about. */
  ended: () => Promise<void>;
}

/** What can be asked of a world, whoever has started it. */
export type ReachableWorld = Pick<World, 'controlUrl' | 'gateUrl' | 'api' | 'gate'>;

/** A world that another process has started. */
export function joinWorld(controlUrl: string, gateUrl: string): ReachableWorld {
  return {
    controlUrl,
    gateUrl,
    api: (method, path, body, token = ADMIN_TOKEN) => ask(`${controlUrl}/api${path}`, method, body, token),
    gate: (method, path, body, token) => ask(`${gateUrl}${path}`, method, body, token),
  };
}

/**
 * Starts the product in folders of its own: as one process, or with TEST_WORLD=topology as several (test/support/topology.ts).
 * @param env further settings, read at each start.
 */
export async function startWorld(env: Record<string, string> = {}): Promise<World> {
  if (process.env.TEST_WORLD === 'topology') return (await import('./topology.ts')).startTopology(env);
  return startProcess(['cli.ts', 'start'], env);
}

/** Starts another composition of the product, as a single process. */
export async function startProcess(entry: readonly string[], env: Record<string, string>): Promise<OneProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-test-'));
  const dataDir = join(folder, 'data');
  const [controlPort, proxyPort, egressPort] = [await freePort(), await freePort(), await freePort()];
  let child: ChildProcess | null = null;
  let output = '';
  let log = '';

  async function start(): Promise<void> {
    output = '';
    log = '';
    const started = spawn(process.execPath, [...entry], {
      cwd: ROOT,
      env: {
        ...CHILD_ENV,
        HOME: folder,
        MC_DATA_DIR: dataDir,
        MC_CONTROL_PORT: String(controlPort),
        MC_PROXY_PORT: String(proxyPort),
        MC_EGRESS_PORT: String(egressPort),
        MC_ADMIN_TOKEN: ADMIN_TOKEN,
        ...env,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = started;
    started.stderr.on('data', (chunk) => {
      log += chunk;
    });
    await new Promise<void>((resolve, reject) => {
      started.stdout.on('data', (chunk) => {
        output += chunk;
        if (output.includes('#token=')) resolve();
      });
      started.once('exit', (code) => reject(new Error(`the product ended at start (exit ${code})\n${output}${log}`)));
    });
  }

  async function end(signal: NodeJS.Signals): Promise<number | null> {
    const running = child;
    child = null;
    if (!running || running.exitCode !== null || running.signalCode !== null) return running?.exitCode ?? null;
    return new Promise((resolve) => {
      running.once('exit', (code) => resolve(code));
      running.kill(signal);
    });
  }

  if (env.DATABASE_URL === undefined && env.MC_DATA_DIR === undefined) await blankDatabase(dataDir);
  await start();
  const controlUrl = `http://127.0.0.1:${controlPort}`;
  const gateUrl = `http://127.0.0.1:${proxyPort}`;
  return {
    ...joinWorld(controlUrl, gateUrl),
    egressUrl: `http://127.0.0.1:${egressPort}`,
    dataDir,
    keyDir: `${dataDir}-keys`,
    places: [dataDir],
    openDatabase: () => openDatabase(dataDir),
    signInLink: () => /http\S+#token=\S+/.exec(output)?.[0] ?? '',
    log: () => log,
    pid: () => child?.pid ?? 0,
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
    ended: async () => {
      const running = child;
      if (running === null || running.exitCode !== null || running.signalCode !== null) return;
      await new Promise<void>((resolve) => running.once('exit', () => resolve()));
    },
    start,
    close: async () => {
      await end('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function ask<T>(url: string, method: string, body: unknown, token: string | null): Promise<Answer<T>> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? null : JSON.parse(text)) as T, headers: response.headers };
}

/** A loopback port that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** Asks until the answer satisfies, a few times a second. @throws Error with the last answer after `timeoutMs`. */
export async function until<T>(look: () => Promise<T> | T, isIt: (value: T) => boolean, timeoutMs = 10_000): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await look();
    if (isIt(value)) return value;
    if (Date.now() > deadline) throw new Error(`still not so after ${timeoutMs} ms: ${JSON.stringify(value)?.slice(0, 1000)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Registers an agent and issues its token. */
export async function newAgent(
  world: ReachableWorld,
  fields: Record<string, unknown> = {},
): Promise<{ id: string; token: string; name: string }> {
  const name = `agent-${Math.random().toString(36).slice(2, 10)}`;
  const created = await world.api<{ id: string }>('POST', '/agents', {
    name,
    autonomyLevel: 'specialist',
    workspace: '/workspace',
    ...fields,
  });
  if (created.status !== 201) throw new Error(`agent not created: ${JSON.stringify(created.body)}`);
  const issued = await world.api<{ token: string }>('POST', `/agents/${created.body.id}/tokens`, {});
  return { id: created.body.id, token: issued.body.token, name };
}
