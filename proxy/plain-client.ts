/**
 * Requests to one plain HTTP/1.1 origin over kept connections: what undici's pool does, for the one case that the call path is made of, at a
 * third of its cost (docs/performance.md). One request at a time per connection, the whole body at hand, no TLS; everything else goes by
 * undici. It speaks undici's handler interface and errors, so that a forwarder does not see which of the two it uses.
 *
 * Invariants:
 * - A request is written once, on one connection. Nothing is sent again where a kept connection turns out to be closed.
 * - A connection carries the next request only after an answer that ended where its own framing says, with nothing behind it.
 * - Each wait is bounded: for the connection, for the head of the answer, for each further byte of it.
 */
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { type Dispatcher, errors } from 'undici';
import { AnswerParser, type AnswerSink } from './answer-parser.ts';

export interface PlainClientOptions {
  connectMaxMs: number;
  /** From the request to the head of the answer. */
  headMaxMs: number;
  /** Longest silence within an answer. */
  silenceMaxMs: number;
  /** An unused connection is kept this long, or as long as the server says where that is shorter. */
  idleMs: number;
  headMaxBytes: number;
  lookup?: LookupFunction;
}

/** What goes out. @see Dispatcher.DispatchOptions */
export interface PlainRequest {
  method: string;
  path: string;
  /** Name, value, name, value; without Host, Connection and what frames the body. */
  headers: readonly string[];
  body: Buffer | null;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NO_TARGET = /[^\x21-\xff]|\x7f/;
const NO_FIELD_TEXT = /[^\t\x20-\x7e\x80-\xff]/;
/** RFC 9110 8.6: a request of these that has no body says so. */
const ANNOUNCING = new Set(['POST', 'PUT', 'PATCH']);
/** Written together with the head, as one piece; a larger body is not copied for it. */
const JOINED_MAX_BYTES = 32 * 1024;
/** How late a bound may be noticed: a quarter of the shortest one, within these. */
const SWEEP_MIN_MS = 10;
const SWEEP_MAX_MS = 500;
/** The server's own idle bound is met this much earlier, so that a request does not cross its close. */
const IDLE_MARGIN_MS = 1_000;
/**
 * What sockets read into. One for all: on every system with epoll or kqueue the bytes are read and handed over in one go, and whoever keeps
 * some copies them. A system that reads ahead (Windows) gets one for each connection.
 */
const READ_BYTES = 64 * 1024;
const SHARED_READ_BUFFER = Buffer.allocUnsafeSlow(READ_BYTES);
const readBuffer = () => (process.platform === 'win32' ? Buffer.allocUnsafeSlow(READ_BYTES) : SHARED_READ_BUFFER);

export class PlainClient {
  readonly #host: string;
  readonly #port: number;
  readonly #headEnd: string;
  readonly #options: PlainClientOptions;
  /** Unused, the one that was used last at the end: it is the least likely to be closed. */
  readonly #idle: Connection[] = [];
  readonly #connections = new Set<Connection>();
  #sweeper: NodeJS.Timeout | null = null;
  #isDestroyed = false;

  /** @param origin with the scheme http. */
  constructor(origin: string, options: PlainClientOptions) {
    const url = new URL(origin);
    this.#host = url.hostname.replace(/^\[|\]$/g, '');
    this.#port = Number(url.port || 80);
    this.#headEnd = `host: ${url.host}\r\nconnection: keep-alive\r\n`;
    this.#options = options;
  }

  /** Sends a request; what becomes of it is told to the handler, which hears of exactly one end. Never throws. */
  dispatch(request: PlainRequest, handler: Dispatcher.DispatchHandler): void {
    if (this.#isDestroyed) return void refuse(handler, new errors.ClientDestroyedError());
    const flaw = flawOf(request);
    if (flaw !== null) return void refuse(handler, new errors.InvalidArgumentError(flaw));
    const flight = new Flight(request, handler);
    const kept = this.#takeIdle();
    if (kept === null) this.#open(flight);
    else kept.begin(flight);
  }

  /** Ends what is under way and closes every connection. */
  destroy(): void {
    this.#isDestroyed = true;
    for (const connection of [...this.#connections]) connection.fail(new errors.ClientDestroyedError());
  }

  #takeIdle(): Connection | null {
    const now = performance.now();
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      if (last.deadline > now && last.isUsable) return last;
      last.close();
    }
    return null;
  }

  #open(flight: Flight): void {
    const { lookup } = this.#options;
    const connection = new Connection(this.#headEnd, this.#options, (each) => this.#idle.push(each), this.#forget);
    const socket = connect({
      host: this.#host,
      port: this.#port,
      noDelay: true,
      ...(lookup !== undefined && isIP(this.#host) === 0 && { lookup }),
      onread: { buffer: readBuffer(), callback: connection.onBytes },
    });
    this.#connections.add(connection);
    this.#sweeper ??= setInterval(this.#sweep, this.#sweepMs()).unref();
    connection.start(socket, flight);
  }

  readonly #forget = (connection: Connection) => {
    this.#connections.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#connections.size > 0 || this.#sweeper === null) return;
    clearInterval(this.#sweeper);
    this.#sweeper = null;
  };

  readonly #sweep = () => {
    const now = performance.now();
    for (const connection of [...this.#connections]) if (connection.deadline <= now) connection.expire();
  };

  #sweepMs(): number {
    const { connectMaxMs, headMaxMs, silenceMaxMs, idleMs } = this.#options;
    return Math.min(SWEEP_MAX_MS, Math.max(SWEEP_MIN_MS, Math.min(connectMaxMs, headMaxMs, silenceMaxMs, idleMs) / 4));
  }
}

/** One request and its answer, as undici's controller: outlives its connection's part in it, and then does nothing. */
class Flight implements Dispatcher.DispatchController {
  readonly request: PlainRequest;
  readonly handler: Dispatcher.DispatchHandler;
  connection: Connection | null = null;
  rawHeaders: string[] = [];
  rawTrailers: string[] = [];
  aborted = false;
  paused = false;
  reason: Error | null = null;

  constructor(request: PlainRequest, handler: Dispatcher.DispatchHandler) {
    this.request = request;
    this.handler = handler;
  }

  abort(reason: Error): void {
    if (this.connection === null) return;
    this.aborted = true;
    this.reason = reason;
    this.connection.fail(reason);
  }

  pause(): void {
    if (this.connection === null) return;
    this.paused = true;
    this.connection.pause();
  }

  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.connection?.resume();
  }
}

class Connection implements AnswerSink {
  /** When what is awaited is too late, by performance.now(). */
  deadline: number;
  readonly #headEnd: string;
  readonly #options: PlainClientOptions;
  readonly #onIdle: (connection: Connection) => void;
  readonly #onGone: (connection: Connection) => void;
  readonly #parser: AnswerParser;
  #socket: Socket | null = null;
  #isConnected = false;
  /** The request that is under way. */
  #flight: Flight | null = null;
  #hasHead = false;
  #error: Error | null = null;

  constructor(
    headEnd: string,
    options: PlainClientOptions,
    onIdle: (connection: Connection) => void,
    onGone: (connection: Connection) => void,
  ) {
    this.#headEnd = headEnd;
    this.#options = options;
    this.#onIdle = onIdle;
    this.#onGone = onGone;
    this.#parser = new AnswerParser(this, options.headMaxBytes);
    this.deadline = performance.now() + options.connectMaxMs;
  }

  get isUsable(): boolean {
    return this.#socket !== null && !this.#socket.destroyed && this.#socket.writable;
  }

  start(socket: Socket, flight: Flight): void {
    this.#socket = socket;
    this.#flight = flight;
    socket.once('connect', () => {
      this.#isConnected = true;
      const first = this.#flight;
      if (first === null) return;
      this.#flight = null;
      this.begin(first);
    });
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('end', this.#onEnd);
    socket.on('close', () => {
      this.fail(this.#error ?? new errors.SocketError('other side closed'));
      this.#onGone(this);
    });
  }

  /** Writes a request. The handler may have thought better of it by now: then the connection is free for the next. */
  begin(flight: Flight): void {
    try {
      flight.handler.onRequestStart?.(flight, null);
    } catch (error) {
      this.#rest();
      refuse(flight.handler, asError(error));
      return;
    }
    const socket = this.#socket;
    if (socket === null) return void refuse(flight.handler, new errors.SocketError('other side closed'));
    this.#flight = flight;
    this.#hasHead = false;
    flight.connection = this;
    this.deadline = performance.now() + this.#options.headMaxMs;
    const { method, body } = flight.request;
    this.#parser.expect(method === 'HEAD');
    const head = this.#headOf(flight.request);
    if (body === null) {
      socket.write(head, 'latin1');
      return;
    }
    if (body.length > JOINED_MAX_BYTES) {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
      return;
    }
    const whole = Buffer.allocUnsafe(head.length + body.length);
    whole.write(head, 'latin1');
    body.copy(whole, head.length);
    socket.write(whole);
  }

  /** For the socket: bytes that are only there during this call. */
  readonly onBytes = (length: number, buffer: Uint8Array): boolean => {
    const flight = this.#flight;
    if (flight !== null && !flight.paused && this.#hasHead) this.deadline = performance.now() + this.#options.silenceMaxMs;
    try {
      this.#parser.feed(Buffer.from(buffer.buffer, buffer.byteOffset, length));
    } catch (error) {
      this.fail(asError(error));
    }
    return true;
  };

  head(status: number, statusMessage: string, headers: string[]): void {
    const flight = this.#flight;
    if (flight === null) return;
    flight.rawHeaders = headers;
    if (status >= 200) {
      this.#hasHead = true;
      this.deadline = performance.now() + this.#options.silenceMaxMs;
    }
    flight.handler.onResponseStart?.(flight, status, NO_HEADERS, statusMessage);
  }

  data(bytes: Buffer): void {
    const flight = this.#flight;
    // A copy: the bytes are overwritten by what comes next.
    flight?.handler.onResponseData?.(flight, Buffer.from(bytes));
  }

  done(trailers: string[], isReusable: boolean): void {
    const flight = this.#flight;
    if (flight === null) return;
    flight.rawTrailers = trailers;
    this.#flight = null;
    flight.connection = null;
    // Free before the end is told: whoever waits for a connection gets this one. Not while a part of the request is still to be sent.
    if (isReusable && this.#socket?.writableLength === 0) {
      if (flight.paused) this.#socket.resume();
      this.#rest();
    } else this.close();
    try {
      flight.handler.onResponseEnd?.(flight, NO_HEADERS);
    } catch (error) {
      refuse(flight.handler, asError(error));
    }
  }

  /** Ends the request under way, if there is one, and the connection. */
  fail(error: Error): void {
    const flight = this.#flight;
    this.#flight = null;
    this.close();
    if (flight === null) return;
    flight.connection = null;
    flight.handler.onResponseError?.(flight, error);
  }

  /** What was awaited did not come in time. */
  expire(): void {
    if (!this.#isConnected) this.fail(new errors.ConnectTimeoutError(`no connection within ${this.#options.connectMaxMs} ms`));
    else this.fail(this.#hasHead ? new errors.BodyTimeoutError() : new errors.HeadersTimeoutError());
  }

  close(): void {
    this.#parser.stop();
    this.deadline = Number.POSITIVE_INFINITY;
    this.#socket?.destroy();
  }

  /** The client's pace is bounded where the client is known; the upstream is not to blame for it. */
  pause(): void {
    this.deadline = Number.POSITIVE_INFINITY;
    this.#socket?.pause();
  }

  resume(): void {
    this.deadline = performance.now() + this.#options.silenceMaxMs;
    this.#socket?.resume();
  }

  readonly #onEnd = () => {
    try {
      this.#parser.finish();
    } catch (error) {
      this.fail(asError(error));
    }
    // What is only half closed would take a request and never answer it.
    this.close();
  };

  #rest(): void {
    const { idleMs } = this.#options;
    const said = this.#parser.keepAliveMs;
    const keptMs = said === null ? idleMs : Math.min(idleMs, said - IDLE_MARGIN_MS);
    if (keptMs <= 0) return void this.close();
    this.deadline = performance.now() + keptMs;
    this.#onIdle(this);
  }

  #headOf({ method, path, headers, body }: PlainRequest): string {
    let head = `${method} ${path} HTTP/1.1\r\n${this.#headEnd}`;
    for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
    if (body !== null) head += `content-length: ${body.length}\r\n`;
    else if (ANNOUNCING.has(method)) head += 'content-length: 0\r\n';
    return `${head}\r\n`;
  }
}

const NO_HEADERS = Object.freeze({});

/** Why this is no request that can be sent; null = it is one. */
function flawOf({ method, path, headers }: PlainRequest): string | null {
  if (!TOKEN.test(method) || method === 'CONNECT') return 'invalid method';
  if (!/^[/*]/.test(path) || NO_TARGET.test(path)) return 'invalid path';
  for (let i = 0; i < headers.length; i += 2) {
    if (!TOKEN.test(headers[i] ?? '')) return 'invalid header name';
    if (NO_FIELD_TEXT.test(headers[i + 1] ?? '')) return `invalid ${headers[i]} header`;
  }
  return null;
}

/** A request that never began. undici's handlers get no controller then. */
function refuse(handler: Dispatcher.DispatchHandler, error: Error): void {
  handler.onResponseError?.(null as never, error);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
