/** A real Redis on a port and in a folder of its own. It can be frozen, killed and started again on the same port. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from 'redis';
import { findProgram, PROGRAMS } from '../setup/programs.ts';
import { freePort } from './world.ts';

export interface RedisServer {
  url: string;
  /** A client for looking at the server behind everybody's back. */
  client: ReturnType<typeof clientOf>;
  /** SIGSTOP and SIGCONT: it is there and does not answer. */
  freeze: () => void;
  thaw: () => void;
  kill: () => Promise<void>;
  /** Starts it again, empty. */
  start: () => Promise<void>;
  close: () => Promise<void>;
}

export async function startRedis(): Promise<RedisServer> {
  const program = findProgram(PROGRAMS['redis-server']);
  if (!program) throw new Error('redis-server is not installed; npm test installs it');
  const folder = mkdtempSync(join(tmpdir(), 'mc-redis-'));
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  const client = clientOf(url);
  client.on('error', () => {}); // it is killed on purpose
  let child: ChildProcess | null = null;

  async function start(): Promise<void> {
    const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'];
    const started = spawn(program ?? '', settings, { stdio: ['ignore', 'pipe', 'ignore'] });
    child = started;
    await new Promise<void>((resolve, reject) => {
      started.stdout.on('data', (chunk) => {
        if (String(chunk).includes('Ready to accept connections')) resolve();
      });
      started.once('exit', (code) => reject(new Error(`redis-server ended at start (exit ${code})`)));
    });
    if (!client.isOpen) await client.connect();
  }

  async function kill(): Promise<void> {
    const running = child;
    child = null;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      running.once('exit', () => resolve());
      running.kill('SIGKILL');
    });
  }

  await start();
  return {
    url,
    client,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    kill,
    start,
    close: async () => {
      client.destroy();
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function clientOf(url: string) {
  return createClient({ url, RESP: 2, socket: { reconnectStrategy: 50 } });
}
