/**
 * Processes under measurement: started on a core of their own, their CPU read from the kernel's accounting (user plus system time of
 * all their threads). Wall-clock figures drift with what else the machine does; these hardly do.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface MeasuredProcess {
  /** CPU used since its start, microseconds; that of its children too, unless they were left out. */
  cpuMicros: () => number;
  /** The part of it that its main thread used. */
  mainThreadMicros: () => number;
  /** How long its main thread was ready to run while others had its core, microseconds. */
  waitedMicros: () => number;
  /** Resident memory, bytes. */
  residentBytes: () => number;
  /** Sends a request to a process of ours and waits for its answer. */
  ask: <T>(message: object) => Promise<T>;
  stop: () => Promise<void>;
}

export interface StartOptions {
  /** Absent: the system chooses. */
  core?: number;
  env?: Record<string, string>;
  /** 0 to 19: how readily it lets others have the core. */
  niceness?: number;
  /** Whether the CPU of its children is its own: workers, and not the servers that it starts for others. */
  countsChildren?: boolean;
  /** Talks with us by messages, and says `{ ready: … }` when it listens. */
  speaks?: boolean;
}

/** Starts a program and, where it speaks, waits until it says that it is ready. */
export async function startProcess<Ready>(
  command: string,
  args: readonly string[],
  { core, env = {}, niceness = 0, countsChildren = true, speaks = false }: StartOptions,
): Promise<MeasuredProcess & { ready: Ready | null }> {
  const bound = core === undefined ? [] : ['taskset', '-c', String(core)];
  const [program = '', ...rest] = [...bound, 'nice', '-n', String(niceness), command, ...args];
  const child = spawn(program, rest, {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: speaks ? ['ignore', 'inherit', 'inherit', 'ipc'] : ['ignore', 'inherit', 'inherit'],
  });
  const pid = child.pid ?? 0;
  const all = () => (countsChildren ? [pid, ...childrenOf(pid)] : [pid]);
  const ready = speaks ? (await answerOf<{ ready: Ready }>(child, command)).ready : null;
  return {
    ready,
    cpuMicros: () => all().reduce((sum, each) => sum + cpuMicrosOf(String(each)), 0),
    mainThreadMicros: () => cpuMicrosOf(`${pid}/task/${pid}`),
    waitedMicros: () => all().reduce((sum, each) => sum + waitedMicrosOf(each), 0),
    residentBytes: () => residentBytesOf(pid),
    ask: (message) => {
      const answer = answerOf<never>(child, command);
      child.send(message);
      return answer;
    },
    stop: () => stop(child),
  };
}

/** Moves this process, which makes the load, to a core. */
export function pinSelf(core: number): void {
  execFileSync('taskset', ['-a', '-c', '-p', String(core), String(process.pid)], { stdio: 'ignore' });
}

/** The next message of a process. */
function answerOf<T>(child: ChildProcess, command: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const done = () => child.off('exit', onExit).off('error', onError).off('message', onMessage);
    const onExit = (code: number | null) => onError(new Error(`${command} ended (exit ${code})`));
    const onError = (error: Error) => {
      done();
      reject(error);
    };
    const onMessage = (message: unknown) => {
      done();
      resolve(message as T);
    };
    child.once('exit', onExit).once('error', onError).once('message', onMessage);
  });
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
}

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** proc(5): user and system time are the 14th and 15th field; the name before them may hold anything, so they are counted from its end. */
function cpuMicrosOf(place: string): number {
  const stat = readFileSync(`/proc/${place}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) * 1_000_000) / TICKS_PER_SECOND;
}

/** The second number of schedstat: nanoseconds on a run queue. */
function waitedMicrosOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1000;
}

function residentBytesOf(pid: number): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kilobytes ?? 0) * 1024;
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
}
