/** A real PostgreSQL server on a port and in a folder of its own, with as many databases as are asked for. It can be frozen, killed and started again. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import postgres from 'postgres';
import { findProgram, PROGRAMS } from '../setup/programs.ts';
import { freePort } from './world.ts';

export interface PostgresServer {
  /** Where its files are. */
  folder: string;
  /** Makes an empty database. @returns its `DATABASE_URL`. */
  createDatabase: () => Promise<string>;
  /** SIGSTOP and SIGCONT of the whole server: it is there and does not answer. */
  freeze: () => void;
  thaw: () => void;
  kill: () => Promise<void>;
  /** Starts it again on the same folder and port. */
  start: () => Promise<void>;
  close: () => Promise<void>;
}

const START_TRIES = 100;
const START_AGAIN_MS = 50;

export async function startPostgres(): Promise<PostgresServer> {
  const program = findProgram(PROGRAMS.postgresql);
  if (!program) throw new Error('PostgreSQL is not installed; npm test installs it');
  const user = userToRunAs();
  const folder = mkdtempSync(join(tmpdir(), 'mc-postgres-'));
  if (user) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const options = { ...user, cwd: folder };
  const made = spawnSync(
    join(dirname(program), 'initdb'),
    ['-D', data, '-U', 'mc', '-A', 'trust', '--no-sync', '-E', 'UTF8', '--locale=C'],
    {
      ...options,
      encoding: 'utf8',
    },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  let child: ChildProcess | null = null;
  let databases = 0;

  async function start(): Promise<void> {
    for (let tried = 0; ; tried++) {
      try {
        return await startOnce();
      } catch (error) {
        // The processes of the server that was killed may still be going.
        if (tried === START_TRIES || !String(error).includes('still in use')) throw error;
        await sleep(START_AGAIN_MS);
      }
    }
  }

  async function startOnce(): Promise<void> {
    const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: folder, fsync: 'off', shared_buffers: '16MB' };
    const started = spawn(program ?? '', ['-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])], {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    child = started;
    await new Promise<void>((resolve, reject) => {
      let log = '';
      started.stderr.on('data', (chunk) => {
        log += chunk;
        if (log.includes('ready to accept connections')) resolve();
      });
      started.once('exit', (code) => reject(new Error(`PostgreSQL ended at its start (exit ${code})\n${log}`)));
    });
  }

  async function kill(): Promise<void> {
    const running = child;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    await new Promise<void>((resolve) => {
      running.once('exit', () => resolve());
      signalAll('SIGKILL');
    });
    child = null;
  }

  /** To the server and to the processes that serve connections, which are in groups of their own. */
  function signalAll(signal: NodeJS.Signals): void {
    const pid = child?.pid;
    if (pid === undefined) return;
    const serving = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    for (const one of [pid, ...serving]) process.kill(one, signal);
  }

  await start();
  return {
    folder,
    createDatabase: async () => {
      const name = `mc_${++databases}`;
      const sql = postgres(`postgres://mc@127.0.0.1:${port}/postgres`, { max: 1, onnotice: () => {} });
      await sql.unsafe(`create database ${name}`);
      await sql.end();
      return `postgres://mc@127.0.0.1:${port}/${name}`;
    },
    freeze: () => signalAll('SIGSTOP'),
    thaw: () => signalAll('SIGCONT'),
    kill,
    start,
    close: async () => {
      await kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** PostgreSQL refuses to run as root: then as the user that its Debian package has made. */
function userToRunAs(): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const idOf = (flag: string) => Number(spawnSync('id', [flag, 'postgres'], { encoding: 'utf8' }).stdout);
  return { uid: idOf('-u'), gid: idOf('-g') };
}
