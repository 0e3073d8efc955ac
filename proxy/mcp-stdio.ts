/**
 * An MCP server that is a command: a process of ours with a clean environment, one JSON message per line. What it writes is bounded,
 * what it says on stderr is logged, and it ends with its session: first politely, then by force, with everything that it has started.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import { StringDecoder } from 'node:string_decoder';
import type { Upstream } from '../control/contract.ts';
import type { Channel } from './mcp-exchange.ts';

/** What a process gets of our environment: where programs are, and how text is written. Nothing that could be a credential. */
const KEPT = ['PATH', 'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'SystemRoot'] as const;
const STDERR_LINES_MAX = 200;
const STDERR_LINE_MAX = 2_000;
const TERM_MS = 2_000;
const STDIN_MAX_BYTES = 64 * 1024 * 1024;

/**
 * Starts the command. @param secret given as MCP_SECRET where there is one. @param onStderr a line that it says, bounded.
 * @throws Error where there is no such program
 */
export function startCommand(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  secret: string | null,
  limits: Upstream['limits'],
  onStderr: (line: string) => void,
): Promise<Channel> {
  const [program = '', ...args] = command;
  const kept = Object.fromEntries(KEPT.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
  const child = spawn(program, args, {
    cwd: tmpdir(),
    env: { ...kept, HOME: tmpdir(), ...(secret !== null && { MCP_SECRET: secret }), ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own, so that what it starts ends with it.
    detached: true,
    windowsHide: true,
  });
  let closed: string | null = null;
  const channel: Channel = {
    onMessage: () => {},
    onClose: () => {},
    send: async (text) => {
      if (closed !== null || !child.stdin.writable) throw new Error(closed ?? 'its input is closed');
      if (child.stdin.writableLength > STDIN_MAX_BYTES) throw new Error('it does not read what it is sent');
      child.stdin.write(`${text}\n`);
    },
    close: () => endProcess(child),
  };
  const finish = (why: string) => {
    if (closed !== null) return;
    closed = why;
    channel.onClose(why);
  };

  child.stdin.on('error', () => {}); // its end is told by 'exit'
  readLines(
    child.stdout,
    limits.responseMaxBytes,
    (line) => channel.onMessage(line),
    () => {
      finish(`it wrote a line longer than ${limits.responseMaxBytes} bytes`);
      endProcess(child);
    },
  );
  let said = 0;
  readLines(
    child.stderr,
    1024 * 1024,
    (line) => {
      if (said++ < STDERR_LINES_MAX) onStderr(line.slice(0, STDERR_LINE_MAX));
    },
    () => {},
  );

  return new Promise((resolve, reject) => {
    child.once('spawn', () => resolve(channel));
    child.once('error', (error) => {
      reject(new Error(`${program} cannot be started: ${error.message}`));
      finish(error.message);
    });
    child.once('exit', (code, signal) => {
      finish(`its process ended (${signal ?? `exit ${code}`})`);
      endGroup(child, 'SIGKILL'); // what it left behind
    });
  });
}

/** Lines of a stream, bounded; blank ones are none. */
function readLines(stream: NodeJS.ReadableStream, maxBytes: number, onLine: (line: string) => void, onTooLong: () => void): void {
  const decoder = new StringDecoder('utf8');
  let parts: string[] = [];
  let size = 0;
  let isOver = false;
  stream.on('data', (chunk: Buffer) => {
    if (isOver) return;
    const text = decoder.write(chunk);
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      const line = parts.length > 0 ? parts.join('') + text.slice(start, end) : text.slice(start, end);
      parts = [];
      size = 0;
      start = end + 1;
      if (line.trim() !== '') onLine(line.endsWith('\r') ? line.slice(0, -1) : line);
    }
    if (start < text.length) {
      parts.push(start === 0 ? text : text.slice(start));
      size += text.length - start;
    }
    if (size > maxBytes) {
      isOver = true;
      parts = [];
      onTooLong();
    }
  });
  stream.on('error', () => {});
}

/** Closing its input asks it to end (MCP specification, stdio shutdown); then SIGTERM, then SIGKILL. */
function endProcess(child: ChildProcess): void {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.stdin?.end();
  const term = setTimeout(() => endGroup(child, 'SIGTERM'), TERM_MS);
  const kill = setTimeout(() => endGroup(child, 'SIGKILL'), 2 * TERM_MS);
  child.once('exit', () => {
    clearTimeout(term);
    clearTimeout(kill);
  });
}

function endGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    // Nobody of the group is left.
  }
}
