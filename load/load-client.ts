/**
 * The client that makes the load: keep-alive connections on bare sockets, so that it costs little on the core it shares, one script per
 * kind of call. A call may take several requests (ask, then report the outcome). Every answer is looked at; a wrong one ends the run.
 */
import { connect, type Socket } from 'node:net';

export { percentile } from './percentile.ts';

/** How a kind of call goes. Requests are whole HTTP/1.1 messages as text. */
export interface Script {
  /** The first request of a call. @param n number of the call, unique in this script. */
  begin: (n: number) => string;
  /** What follows an answer: the next request of the same call, or null where the call is over. @throws Error where the answer is wrong. */
  next: (answer: Answer, n: number) => string | null;
}

export interface Answer {
  status: number;
  head: string;
  body: string;
}

export interface LoadResult {
  calls: number;
  elapsedMs: number;
  /** Of each call from when it was due to its last answer, microseconds, ascending. */
  latenciesMicros: Float64Array;
}

/** A block of load lasts at least so long and has at least so many calls, but not much longer than `maxMs`. */
export interface BlockSize {
  minMs: number;
  minCalls: number;
  maxMs: number;
}

/** As many calls as `connections` can make one after the other; no call is cut off. */
export async function runClosed(port: number, script: Script, connections: number, size: BlockSize): Promise<LoadResult> {
  const lines = await Promise.all(Array.from({ length: connections }, () => Line.open(port, script)));
  const latencies: number[] = [];
  const start = performance.now();
  const isEnough = (now: number) => now - start >= (latencies.length < size.minCalls ? size.maxMs : size.minMs);
  try {
    await Promise.all(
      lines.map(async (line) => {
        for (let begin = performance.now(); !isEnough(begin); begin = performance.now()) {
          await line.call();
          latencies.push((performance.now() - begin) * 1000);
        }
      }),
    );
  } finally {
    for (const line of lines) line.close();
  }
  return resultOf(latencies, performance.now() - start);
}

/**
 * Calls that begin at fixed moments whatever the answers do: latency counts from when a call was due, so that one slow answer shows in
 * all the calls that it delayed.
 */
export async function runOpen(
  port: number,
  script: Script,
  perSecond: number,
  connections: number,
  durationMs: number,
): Promise<LoadResult> {
  const free = await Promise.all(Array.from({ length: connections }, () => Line.open(port, script)));
  const lines = [...free];
  const waiting: ((line: Line) => void)[] = [];
  const latencies: number[] = [];
  const running: Promise<void>[] = [];
  const start = performance.now();
  const total = Math.round((perSecond * durationMs) / 1000);
  const one = async (due: number) => {
    const line = free.pop() ?? (await new Promise<Line>((resolve) => waiting.push(resolve)));
    await line.call();
    latencies.push((performance.now() - due) * 1000);
    const next = waiting.shift();
    if (next) next(line);
    else free.push(line);
  };
  try {
    for (let i = 0; i < total; i++) {
      const due = start + (i * 1000) / perSecond;
      // A timer is late by up to a millisecond; the loop turns until the moment has come.
      while (performance.now() < due) await new Promise((resolve) => setImmediate(resolve));
      running.push(one(due));
    }
    await Promise.all(running);
  } finally {
    for (const line of lines) line.close();
  }
  return resultOf(latencies, performance.now() - start);
}

/** One call outside a measurement: all its answers. */
export async function callOnce(port: number, script: Script): Promise<Answer[]> {
  const answers: Answer[] = [];
  const line = await Line.open(port, {
    begin: script.begin,
    next: (answer, n) => {
      answers.push(answer);
      return script.next(answer, n);
    },
  });
  await line.call();
  line.close();
  return answers;
}

function resultOf(latencies: number[], elapsedMs: number): LoadResult {
  return { calls: latencies.length, elapsedMs, latenciesMicros: Float64Array.from(latencies).sort() };
}

let calls = 0;

/** One connection: one call at a time. */
class Line {
  readonly #socket: Socket;
  readonly #script: Script;
  #received = '';
  #n = 0;
  #resolve: () => void = () => {};
  #reject: (error: Error) => void = () => {};
  #isClosed = false;

  static open(port: number, script: Script): Promise<Line> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1').setNoDelay(true).once('error', reject);
      socket.once('connect', () => resolve(new Line(socket.off('error', reject), script)));
    });
  }

  private constructor(socket: Socket, script: Script) {
    this.#socket = socket;
    this.#script = script;
    socket.setEncoding('latin1');
    socket.on('data', (text) => this.#take(String(text)));
    socket.on('error', (error) => this.#reject(error));
    socket.on('close', () => {
      if (!this.#isClosed) this.#reject(new Error('the connection was closed in the middle of a call'));
    });
  }

  call(): Promise<void> {
    this.#n = ++calls;
    return new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
      this.#socket.write(this.#script.begin(this.#n), 'latin1');
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.destroy();
  }

  #take(text: string): void {
    this.#received = this.#received === '' ? text : this.#received + text;
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#received.slice(0, headEnd);
    const end = endOf(this.#received, head, headEnd + 4);
    if (end === null) {
      this.#reject(new Error(`an answer without a length:\n${head}`));
      return;
    }
    if (end < 0 || this.#received.length < end) return;
    const answer = { status: Number(this.#received.slice(9, 12)), head, body: this.#received.slice(headEnd + 4, end) };
    this.#received = this.#received.slice(end);
    let request: string | null;
    try {
      request = this.#script.next(answer, this.#n);
    } catch (error) {
      this.#reject(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (request === null) this.#resolve();
    else this.#socket.write(request, 'latin1');
  }
}

const LAST_CHUNK = '0\r\n\r\n';

/** Where an answer ends whose body begins at `bodyStart`: beyond what was received, -1 where that is not known yet, null where it never will be. */
function endOf(received: string, head: string, bodyStart: number): number | null {
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length !== undefined) return bodyStart + Number(length);
  if (!/\r\ntransfer-encoding: *chunked/i.test(head)) return null;
  // Nothing follows the last chunk: the next request is not sent yet. A chunk of text never ends like it, for a line break is before it.
  return received.endsWith(`\r\n${LAST_CHUNK}`) || received.slice(bodyStart) === LAST_CHUNK ? received.length : -1;
}
