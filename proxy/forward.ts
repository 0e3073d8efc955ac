/**
 * Streaming forwarding to one upstream, for every entry point that executes calls itself. It carries bytes and decides nothing: the
 * very body that was judged goes out as it came, the answer comes back as it comes, with backpressure and abort in both directions.
 *
 * Invariants:
 * - The caller's own credential never leaves: CREDENTIALS are dropped whatever the caller's headers say; an upstream's secret is set here.
 * - Nothing is sent twice. A connection that breaks is a failure that says whether the upstream may have run the request.
 * - Every exchange ends, and its slot comes back, when the answer is over, the upstream fails, the client leaves or stops reading, or
 *   the signal fires. Waiting for a slot is bounded in number and time.
 */
import type { ServerResponse } from 'node:http';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { type buildConnector, Client, type Dispatcher, Pool } from 'undici';
import { PlainClient } from './plain-client.ts';

/** What may grow or hang on the way to one upstream. */
export interface ForwardBounds {
  /** Requests under way at once; each has a connection of its own. */
  connectionsMax: number;
  /** Requests that wait for a connection, and how long one does. */
  queueMax: number;
  queueMaxMs: number;
  connectMaxMs: number;
  /** From the request to the head of the answer. */
  headMaxMs: number;
  /** Longest silence within an answer; a stream that is quiet for longer is taken for dead. */
  silenceMaxMs: number;
  /** A client that takes nothing for so long is taken for gone. */
  clientStallMaxMs: number;
  /** An unused connection is kept this long. */
  idleConnectionMs: number;
  /** Head of an answer, bytes. */
  headMaxBytes: number;
}

export const DEFAULT_FORWARD_BOUNDS: ForwardBounds = {
  connectionsMax: 256,
  queueMax: 1_024,
  queueMaxMs: 10_000,
  connectMaxMs: 10_000,
  headMaxMs: 300_000,
  silenceMaxMs: 300_000,
  clientStallMaxMs: 60_000,
  idleConnectionMs: 4_000,
  headMaxBytes: 32 * 1024,
};

export interface UpstreamTarget {
  /** Scheme, host and port; the Host header follows it. */
  origin: string;
  /** Put on every request in place of the caller's own, the upstream's secret among them. Flat: name, value, name, value. */
  setHeaders: readonly string[];
  /** Further names of headers that are not passed on. */
  removeHeaders: readonly string[];
  /** Further names of headers of answers that do not reach the client. */
  removeAnswerHeaders?: readonly string[];
  /** The caller's own credentials for the upstream are not ours to take away (a forward proxy); the one for us is. */
  passCredentials?: true;
  /** How the name in `origin` becomes an address. */
  lookup?: LookupFunction;
  /** How connections are made, where not by the address in `origin`. */
  connect?: buildConnector.connector;
}

/** A request as it goes out. */
export interface Outgoing {
  method: string;
  /** Path and query, as they came. */
  path: string;
  /** The caller's headers as node gives them: name, value, name, value. Filtered here. */
  rawHeaders: readonly string[];
  /** The judged bytes; a stream only where nothing in the body is judged. */
  body: Buffer | Readable | null;
  /** Put on this request besides those of the target; what the caller sent under these names must be among the removed ones. */
  setHeaders?: readonly string[];
}

export type FailureKind =
  /** No slot became free in time, or too many wait. */
  | 'busy'
  /** No connection. */
  | 'unreachable'
  /** No head, or a silence in the answer that is too long. */
  | 'timeout'
  /** The connection broke, or what came is not HTTP. */
  | 'broken'
  /** The answer is larger than the caller allows. */
  | 'too_large'
  | 'client_gone'
  | 'client_stalled'
  /** The signal fired, or the forwarder was closed. */
  | 'cut'
  /** Not a request that can be forwarded (a header, method or path that is not HTTP). */
  | 'invalid';

export interface ForwardFailure {
  outcome: 'failed';
  failure: FailureKind;
  /** For logs and records; may name the upstream's address, so not for agents. */
  message: string;
  /** False where it is certain that nothing reached the upstream. */
  mayHaveRun: boolean;
  /** True where the client has part of an answer already; its connection was then cut, so that it cannot take the part for the whole. */
  answered: boolean;
  status: number | null;
  /** Bytes of the answer's body that came. */
  bytes: number;
}

export interface Relayed {
  outcome: 'relayed';
  status: number;
  bytes: number;
  /** Set where the client has a whole answer, but it was ended here and not by the upstream. */
  isCut?: true;
}

export interface Collected {
  outcome: 'collected';
  status: number;
  /** End-to-end headers: name, value, name, value. */
  headers: readonly string[];
  body: Buffer;
}

/** Sees the answer go by. What it throws ends the exchange as broken. */
export interface Tap {
  head: (status: number, headers: readonly string[]) => void;
  chunk: (bytes: Buffer) => void;
}

/** Changes the answer as it goes by. What it throws ends the exchange as broken. */
export interface Filter {
  /** The headers that go on in place of these; without their length where the body may change. */
  head: (status: number, headers: string[]) => string[];
  /** What goes on of this. */
  chunk: (bytes: Buffer) => Buffer;
  /** What goes on after the upstream's end. */
  end: () => Buffer;
  /** True once the client has all that it gets: then the upstream is cut. */
  readonly isDone: boolean;
  /** The last that goes on where the answer is ended from outside; null where it cannot be ended properly. Asked once the head is out. */
  last: () => Buffer | null;
}

export interface RelayOptions {
  filter?: Filter;
  /** Ends the answer properly, by what the filter says is its last; before there is a head, like `signal`. */
  endSignal?: AbortSignal;
  /** Where the client leaves, the answer is read on for so long, for whoever looks at it; the result then is still that it left. */
  drainMaxMs?: number;
  /** Cuts the exchange (a stop, a quarantine). */
  signal?: AbortSignal;
  tap?: Tap;
  /** Largest body of the answer; unlimited unless given. */
  maxBytes?: number;
}

/** RFC 9110 7.6.1; what a Connection header names is added per message. */
const HOP_BY_HOP = ['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade'];
/** Headers that carry the agent's own credential to us (SPEC 8.3). */
const CREDENTIALS = ['authorization', 'proxy-authorization', 'x-api-key'];
const OWN_CREDENTIAL = ['proxy-authorization'];
/** Attribution is between the agent and us. */
const OWN_HEADERS = ['x-mc-task', 'x-mc-run', 'x-mc-session'];
/** Made anew for the next hop: by undici from origin and body, or answered by node itself (Expect). */
const REMADE = ['host', 'content-length', 'expect', 'http2-settings'];
/** Alt-Svc and Proxy-Authenticate would be read as ours: the one would lead agents around the gateway, the other ask for their token. */
const NOT_FOR_CLIENTS = ['alt-svc', 'proxy-authenticate', 'proxy-authentication-info'];

const DROPPED_FROM_ANSWERS: ReadonlySet<string> = new Set([...HOP_BY_HOP, ...NOT_FOR_CLIENTS]);
const DROPPED_FROM_TRAILERS: ReadonlySet<string> = new Set([...DROPPED_FROM_ANSWERS, ...REMADE, ...CREDENTIALS, 'set-cookie', 'trailer']);
/** RFC 9110 7.6.3. */
const VIA = '1.1 mission-control';

/** The way to one upstream: its connections, its secret, its bounds. */
export class Forwarder {
  /** What most requests take where it can be: plain HTTP with the body at hand. Null where the way there is another one. */
  readonly #plain: PlainClient | null;
  readonly #openPool: () => Pool;
  #pool: Pool | null = null;
  readonly #bounds: ForwardBounds;
  readonly #dropped: ReadonlySet<string>;
  readonly #droppedFromAnswers: ReadonlySet<string>;
  readonly #set: readonly string[];
  /** In order of arrival. */
  readonly #queue = new Set<Exchange>();
  #running = 0;
  #closed = false;

  constructor(target: UpstreamTarget, bounds: ForwardBounds) {
    const { origin, setHeaders, removeHeaders, removeAnswerHeaders = [], passCredentials, lookup, connect } = target;
    this.#bounds = bounds;
    this.#set = [...setHeaders, 'via', VIA];
    const replaced = setHeaders.filter((_, i) => i % 2 === 0);
    const names = [
      ...HOP_BY_HOP,
      ...(passCredentials ? OWN_CREDENTIAL : CREDENTIALS),
      ...OWN_HEADERS,
      ...REMADE,
      ...removeHeaders,
      ...replaced,
    ];
    this.#dropped = new Set(names.map((name) => name.toLowerCase()));
    this.#droppedFromAnswers =
      removeAnswerHeaders.length === 0
        ? DROPPED_FROM_ANSWERS
        : new Set([...DROPPED_FROM_ANSWERS, ...removeAnswerHeaders.map((name) => name.toLowerCase())]);
    const isPlain = connect === undefined && origin.startsWith('http:');
    this.#plain = isPlain
      ? new PlainClient(origin, { ...bounds, idleMs: bounds.idleConnectionMs, ...(lookup !== undefined && { lookup }) })
      : null;
    this.#openPool = () =>
      new Pool(origin, {
        factory: (url, options) => new UpstreamClient(url, options),
        connections: bounds.connectionsMax,
        pipelining: 1,
        // One request per connection: aborting one must not touch another. Raw header arrays exist for HTTP/1.1 only.
        allowH2: false,
        connect: connect ?? { timeout: bounds.connectMaxMs, ...(lookup !== undefined && { lookup }) },
        headersTimeout: bounds.headMaxMs,
        bodyTimeout: bounds.silenceMaxMs,
        keepAliveTimeout: bounds.idleConnectionMs,
        maxHeaderSize: bounds.headMaxBytes,
      });
  }

  /**
   * Forwards a request and streams the answer to the client as it comes. Never rejects.
   * @param response the client's, with nothing written yet. Where the result is a failure with `answered` false it still is, and the
   * caller answers in its own shape; otherwise it is finished or cut.
   */
  relay(outgoing: Outgoing, response: ServerResponse, options: RelayOptions = {}): Promise<Relayed | ForwardFailure> {
    const { promise, resolve } = Promise.withResolvers<Relayed | ForwardFailure>();
    this.#begin(new Relay(this.#optionsOf(outgoing), response, options, this.#droppedFromAnswers, this.#bounds.clientStallMaxMs, resolve));
    return promise;
  }

  /** Forwards a request and answers with the whole response, for callers that read it before they pass it on. Never rejects. */
  collect(outgoing: Outgoing, maxBytes: number, signal?: AbortSignal): Promise<Collected | ForwardFailure> {
    const { promise, resolve } = Promise.withResolvers<Collected | ForwardFailure>();
    this.#begin(new Collection(this.#optionsOf(outgoing), maxBytes, signal, this.#droppedFromAnswers, resolve));
    return promise;
  }

  /** Requests that have a slot, and that wait for one. */
  get load(): { running: number; queued: number } {
    return { running: this.#running, queued: this.#queue.size };
  }

  /** Cuts what is under way and closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const exchange of this.#queue) exchange.fail('cut', 'the forwarder is closed');
    this.#plain?.destroy();
    await this.#pool?.destroy();
  }

  #optionsOf({ method, path, rawHeaders, body, setHeaders }: Outgoing): Dispatcher.DispatchOptions {
    const headers = endToEnd(rawHeaders, this.#dropped);
    for (const item of this.#set) headers.push(item);
    if (setHeaders !== undefined) for (const item of setHeaders) headers.push(item);
    if (body === null || Buffer.isBuffer(body)) return { method, path, headers, body };
    const length = headerOf(rawHeaders, 'content-length');
    if (length !== undefined) headers.push('content-length', length);
    // Behind an iterator undici cannot destroy the client's connection with the stream: a failing upstream is still answered.
    const chunks = body.iterator({ destroyOnReturn: false });
    return { method, path, headers, body: chunks as unknown as Readable };
  }

  #begin(exchange: Exchange): void {
    if (exchange.isOver) return;
    if (this.#closed) exchange.fail('cut', 'the forwarder is closed');
    else if (this.#running < this.#bounds.connectionsMax) this.#dispatch(exchange);
    else if (this.#queue.size < this.#bounds.queueMax) this.#enqueue(exchange);
    else exchange.fail('busy', `${this.#queue.size} requests wait for this upstream already`);
  }

  #enqueue(exchange: Exchange): void {
    this.#queue.add(exchange);
    const { queueMaxMs } = this.#bounds;
    const timer = setTimeout(() => exchange.fail('busy', `no connection became free within ${queueMaxMs} ms`), queueMaxMs);
    exchange.onUnqueue = () => {
      clearTimeout(timer);
      this.#queue.delete(exchange);
    };
  }

  #dispatch(exchange: Exchange): void {
    this.#running++;
    exchange.onFree = this.#next;
    const { method, path, headers, body } = exchange.request;
    if (this.#plain !== null && Array.isArray(headers) && (body === null || Buffer.isBuffer(body))) {
      this.#plain.dispatch({ method, path, headers, body }, exchange);
      return;
    }
    this.#pool ??= this.#openPool();
    this.#pool.dispatch(exchange.request, exchange);
  }

  /** A slot came back: it goes to whoever waits longest. */
  readonly #next = () => {
    this.#running--;
    const first = this.#queue.values().next().value;
    if (first === undefined) return;
    first.unqueue();
    this.#dispatch(first);
  };
}

/**
 * undici's pool takes a client that refuses a request at once (a header or path that is not HTTP) for one that is busy, and waits for
 * ever for it to become free: as many bad requests as there are connections would end all traffic. Such a client is not busy.
 */
class UpstreamClient extends Client {
  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return super.dispatch(options, handler) || (handler instanceof Exchange && handler.isOver);
  }
}

/**
 * One request on its way, as undici's handler. `isOver` is what the caller was told; the slot comes back when undici is done with the
 * connection, which may be later.
 */
abstract class Exchange implements Dispatcher.DispatchHandler {
  readonly request: Dispatcher.DispatchOptions;
  isOver = false;
  /** Set where it has a slot. */
  onFree: (() => void) | null = null;
  onUnqueue: (() => void) | null = null;
  protected controller: Dispatcher.DispatchController | null = null;
  protected status: number | null = null;
  protected bytes = 0;
  readonly #maxBytes: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onSignal = () => this.fail('cut', 'cut by the caller');

  readonly #dropped: ReadonlySet<string>;

  /** @param dropped names of headers of the answer that do not go on. */
  constructor(request: Dispatcher.DispatchOptions, maxBytes: number, signal: AbortSignal | undefined, dropped: ReadonlySet<string>) {
    this.request = request;
    this.#dropped = dropped;
    this.#maxBytes = maxBytes;
    this.#signal = signal;
  }

  /** The head of the final answer. @param length of its body where that was announced. */
  protected abstract head(status: number, headers: string[], length: number | null, statusMessage: string): void;
  protected abstract data(chunk: Buffer): void;
  protected abstract end(rawTrailers: readonly string[]): void;
  /** An interim answer (1xx). */
  protected abstract inform(status: number, headers: readonly string[]): void;
  /** Tells the caller that it failed. */
  protected abstract failed(failure: FailureKind, message: string): void;

  /** To be called last by constructors: an exchange may be over before it began. */
  protected watchSignal(): void {
    if (this.#signal === undefined) return;
    if (this.#signal.aborted) this.#onSignal();
    else this.#signal.addEventListener('abort', this.#onSignal);
  }

  /** Ends the exchange, wherever it is; what undici still says of it only gives the slot back. */
  fail(failure: FailureKind, message: string): void {
    if (this.isOver) return;
    this.conclude();
    this.unqueue();
    this.failed(failure, message);
    // Before the request has started there is no controller; onRequestStart then refuses to start it.
    this.controller?.abort(new Error(message));
  }

  unqueue(): void {
    this.onUnqueue?.();
    this.onUnqueue = null;
  }

  protected conclude(): void {
    this.isOver = true;
    this.#signal?.removeEventListener('abort', this.#onSignal);
  }

  protected describeFailure(failure: FailureKind, message: string, answered: boolean): ForwardFailure {
    return { outcome: 'failed', failure, message, mayHaveRun: this.controller !== null, answered, status: this.status, bytes: this.bytes };
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // A throw here leaves the connection unharmed for the next request; an abort would destroy it.
    if (this.isOver) throw new Error('nobody waits for this request any more');
    this.controller = controller;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _: unknown, statusMessage?: string): void {
    const raw = textsOf(controller.rawHeaders);
    if (status < 200) {
      this.inform(status, raw);
      return;
    }
    this.status = status;
    const headers = endToEnd(raw, this.#dropped);
    const announced = headerOf(headers, 'content-length');
    const length = announced === undefined ? null : Number(announced);
    const isBodiless = this.request.method === 'HEAD' || status === 204 || status === 304;
    if (!isBodiless && length !== null && length > this.#maxBytes) this.#failTooLarge();
    else this.head(status, headers, isBodiless ? 0 : length, statusMessage ?? '');
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.isOver) return;
    this.bytes += chunk.length;
    if (this.bytes > this.#maxBytes) this.#failTooLarge();
    else this.data(chunk);
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (!this.isOver) {
      this.conclude();
      this.end(textsOf(controller.rawTrailers));
    }
    this.onFree?.();
  }

  onResponseError(_: Dispatcher.DispatchController | null, error: Error): void {
    if (!this.isOver) {
      this.conclude();
      this.failed(this.controller === null ? failureBeforeStart(error) : failureAfterStart(error), describeError(error));
    }
    this.onFree?.();
  }

  #failTooLarge(): void {
    this.fail('too_large', `the answer is larger than ${this.#maxBytes} bytes`);
  }
}

/** Streams the answer to a client. */
class Relay extends Exchange {
  readonly #response: ServerResponse;
  readonly #tap: Tap | undefined;
  readonly #filter: Filter | undefined;
  readonly #endSignal: AbortSignal | undefined;
  readonly #drainMaxMs: number;
  #drain: NodeJS.Timeout | null = null;
  readonly #stallMs: number;
  readonly #resolve: (result: Relayed | ForwardFailure) => void;
  #length: number | null = null;
  #isEnded = false;
  #isWatching = false;
  #stall: NodeJS.Timeout | null = null;
  readonly #onClose = () => this.#clientLeft();
  readonly #onDrain = () => this.#clientTookIt();
  readonly #onEndSignal = () => this.#endEarly();

  constructor(
    request: Dispatcher.DispatchOptions,
    response: ServerResponse,
    { signal, tap, filter, endSignal, drainMaxMs = 0, maxBytes = Number.POSITIVE_INFINITY }: RelayOptions,
    dropped: ReadonlySet<string>,
    stallMs: number,
    resolve: (result: Relayed | ForwardFailure) => void,
  ) {
    super(request, maxBytes, signal, dropped);
    this.#response = response;
    this.#tap = tap;
    this.#filter = filter;
    this.#endSignal = endSignal;
    this.#drainMaxMs = drainMaxMs;
    this.#stallMs = stallMs;
    this.#resolve = resolve;
    // Nothing is forwarded without a live caller, also where it left while the call was judged.
    if (response.destroyed || response.req.socket.destroyed) {
      this.fail('client_gone', 'the client had left before anything was sent');
    } else {
      response.on('close', this.#onClose);
      this.watchSignal();
      if (endSignal?.aborted) this.#endEarly();
      else endSignal?.addEventListener('abort', this.#onEndSignal);
    }
  }

  protected head(status: number, given: string[], announced: number | null, statusMessage: string): void {
    const response = this.#response;
    this.#tap?.head(status, given);
    const headers = this.#filter?.head(status, given) ?? given;
    if (this.#drain !== null) return;
    const length = announced !== null && announced > 0 && headerOf(headers, 'content-length') === undefined ? null : announced;
    this.#length = length;
    const isChunked = length === null && response.useChunkedEncodingByDefault;
    const kept = status === 204 || !isChunked ? withoutFraming(headers, status) : headers;
    if (REASON_PHRASE.test(statusMessage)) response.writeHead(status, statusMessage, kept);
    else response.writeHead(status, kept);
    // The head goes out with the first bytes that came with it, or alone where none did.
    if (length !== 0) process.nextTick(flushHead, response);
  }

  protected data(given: Buffer): void {
    this.#tap?.chunk(given);
    const chunk = this.#filter?.chunk(given) ?? given;
    if (this.#drain !== null) return;
    // Between its destruction and its 'close' a response throws at whoever writes.
    if (this.#response.destroyed) {
      this.#clientLeft();
      return;
    }
    if (this.#filter?.isDone === true) {
      this.#finish(chunk);
      return;
    }
    if (this.#length !== null && this.bytes === this.#length) {
      this.#isEnded = true;
      this.#response.end(chunk);
      return;
    }
    if (chunk.length === 0 || this.#response.write(chunk)) return;
    this.controller?.pause();
    this.#awaitClient();
  }

  protected end(rawTrailers: readonly string[]): void {
    const response = this.#response;
    const last = this.#isEnded ? undefined : this.#filter?.end();
    if (this.#drain !== null) {
      this.#release();
      this.#resolve(this.describeFailure('client_gone', 'the client left; the answer was read to its end', true));
      return;
    }
    if (!this.#isEnded) {
      if (last !== undefined && last.length > 0) response.write(last);
      if (rawTrailers.length > 0 && response.chunkedEncoding) response.addTrailers(pairsOf(endToEnd(rawTrailers, DROPPED_FROM_TRAILERS)));
      response.end();
    }
    // What the client has not taken yet is still ours to bound, though the upstream is done.
    if (response.writableLength > 0 && !response.writableFinished) this.#awaitClient();
    else this.#release();
    this.#resolve({ outcome: 'relayed', status: this.status ?? 0, bytes: this.bytes });
  }

  /** The answer is whole for the client; what the upstream still says is nobody's. */
  #finish(last: Buffer): void {
    this.conclude();
    this.#response.end(last);
    this.#isEnded = true;
    if (this.#response.writableLength > 0 && !this.#response.writableFinished) this.#awaitClient();
    else this.#release();
    this.#resolve({ outcome: 'relayed', status: this.status ?? 0, bytes: this.bytes, isCut: true });
    this.controller?.abort(new Error('the answer was ended before its end'));
  }

  #endEarly(): void {
    if (this.isOver) return;
    const isUnderWay = this.#drain === null && this.#response.headersSent && !this.#response.destroyed && this.#length === null;
    const last = isUnderWay ? (this.#filter?.last() ?? null) : null;
    if (last === null) this.fail('cut', 'cut by the caller');
    else this.#finish(last);
  }

  protected inform(status: number, headers: readonly string[]): void {
    const response = this.#response;
    if (this.isOver || !response.useChunkedEncodingByDefault) return;
    if (status === 102) response.writeProcessing();
    const link = status === 103 ? headerOf(headers, 'link') : undefined;
    if (link !== undefined) response.writeEarlyHints({ link });
  }

  protected failed(failure: FailureKind, message: string): void {
    const answered = this.#response.headersSent;
    this.#release();
    if (answered) this.#response.destroy();
    this.#resolve(this.describeFailure(failure, message, answered));
  }

  #clientLeft(): void {
    this.#release();
    // Only what was sent can still say anything.
    if (this.#drainMaxMs > 0 && !this.isOver && this.controller !== null) {
      this.#drain = setTimeout(() => this.fail('client_gone', 'the client left, and the answer took too long'), this.#drainMaxMs);
      this.controller.resume();
      return;
    }
    this.fail('client_gone', 'the client left');
  }

  #clientTookIt(): void {
    if (this.#stall !== null) clearTimeout(this.#stall);
    this.#stall = null;
    if (this.isOver) this.#release();
    else this.controller?.resume();
  }

  /** A paused exchange has no other clock: undici does not count the silence of an answer that nobody takes. */
  #awaitClient(): void {
    if (this.#stall !== null) return;
    if (!this.#isWatching) this.#response.on('drain', this.#onDrain).on('finish', this.#onDrain);
    this.#isWatching = true;
    this.#stall = setTimeout(() => {
      this.#stall = null;
      // Behind an earlier answer of its connection it is not the client that lets it wait.
      if (this.#response.socket === null) return this.#awaitClient();
      if (!this.isOver) this.fail('client_stalled', `the client took nothing for ${this.#stallMs} ms`);
      this.#response.destroy();
    }, this.#stallMs);
  }

  #release(): void {
    if (this.#stall !== null) clearTimeout(this.#stall);
    if (this.#drain !== null) clearTimeout(this.#drain);
    this.#stall = null;
    this.#endSignal?.removeEventListener('abort', this.#onEndSignal);
    this.#response.off('close', this.#onClose);
    if (this.#isWatching) this.#response.off('drain', this.#onDrain).off('finish', this.#onDrain);
    this.#isWatching = false;
  }
}

/** Keeps the whole answer. */
class Collection extends Exchange {
  readonly #resolve: (result: Collected | ForwardFailure) => void;
  readonly #chunks: Buffer[] = [];
  #headers: readonly string[] = [];

  constructor(
    request: Dispatcher.DispatchOptions,
    maxBytes: number,
    signal: AbortSignal | undefined,
    dropped: ReadonlySet<string>,
    resolve: (result: Collected | ForwardFailure) => void,
  ) {
    super(request, maxBytes, signal, dropped);
    this.#resolve = resolve;
    this.watchSignal();
  }

  protected head(_status: number, headers: string[]): void {
    this.#headers = headers;
  }

  protected data(chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  protected end(): void {
    const [first] = this.#chunks;
    const body = first !== undefined && this.#chunks.length === 1 ? first : Buffer.concat(this.#chunks);
    this.#resolve({ outcome: 'collected', status: this.status ?? 0, headers: this.#headers, body });
  }

  protected inform(): void {}

  protected failed(failure: FailureKind, message: string): void {
    this.#resolve(this.describeFailure(failure, message, false));
  }
}

/** What node lets into a status line; the phrase means nothing to programs, so another one is left to node. */
const REASON_PHRASE = /^[\t\x20-\x7e]+$/;

function flushHead(response: ServerResponse): void {
  if (!response.destroyed && !response.writableEnded) response.flushHeaders();
}

/** The headers that go on to the next hop. @returns a new array. */
function endToEnd(raw: readonly string[], dropped: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  let named: Set<string> | null = null;
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const lower = name.toLowerCase();
    if (!dropped.has(lower)) kept.push(name, raw[i + 1] ?? '');
    else if (lower === 'connection') named = namesIn(raw[i + 1] ?? '', named);
  }
  return named === null ? kept : endToEnd(kept, named);
}

/** Names of headers in a Connection header; the usual options are none. */
function namesIn(connection: string, known: Set<string> | null): Set<string> | null {
  if (connection === 'keep-alive' || connection === 'close') return known;
  const names = known ?? new Set<string>();
  for (const option of connection.toLowerCase().split(',')) names.add(option.trim());
  return names;
}

/** A 204 has no length (RFC 9110 8.6), and only a chunked answer can announce trailers. */
function withoutFraming(headers: readonly string[], status: number): string[] {
  const kept: string[] = [];
  for (let i = 0; i < headers.length; i += 2) {
    const name = (headers[i] ?? '').toLowerCase();
    if (name === 'trailer' || (name === 'content-length' && status === 204)) continue;
    kept.push(headers[i] ?? '', headers[i + 1] ?? '');
  }
  return kept;
}

/** A header of a flat list (name, value, name, value). @param name in lower case. */
export function headerOf(headers: readonly string[], name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) {
    const candidate = headers[i] ?? '';
    if (candidate.length === name.length && candidate.toLowerCase() === name) return headers[i + 1];
  }
  return undefined;
}

function pairsOf(flat: readonly string[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i] ?? '', flat[i + 1] ?? '']);
  return pairs;
}

/** undici gives HTTP/1.1 headers as buffers, in the bytes of the wire; the plain client gives texts. */
function textsOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return isTexts(raw) ? raw : raw.map((item) => item.toString('latin1'));
}

function isTexts(raw: readonly unknown[]): raw is string[] {
  return typeof raw[0] === 'string';
}

function failureBeforeStart(error: Error): FailureKind {
  const code = codeOf(error);
  if (code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED' || code === 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH')
    return 'invalid';
  return code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED' ? 'cut' : 'unreachable';
}

function failureAfterStart(error: Error): FailureKind {
  const code = codeOf(error);
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') return 'timeout';
  return code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED' ? 'cut' : 'broken';
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function describeError(error: Error): string {
  const code = codeOf(error);
  return code === '' ? error.message : `${error.message} (${code})`;
}
