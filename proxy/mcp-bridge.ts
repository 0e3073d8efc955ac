/**
 * Streamable HTTP in front of a server that only exchanges messages (a command, or the old HTTP+SSE transport): sessions, one stream per
 * request and one for listening, resumption after a cut connection, and the stateless era on a process of its own. What it keeps for
 * resumption is bounded; a session whose server ends is over, and its client begins a new one.
 */
import { randomUUID } from 'node:crypto';
import type { Upstream } from '../control/contract.ts';
import { eventText } from './mcp-events.ts';
import { type Channel, type Exchange, type UpstreamAnswer, UpstreamFailure } from './mcp-exchange.ts';
import { errorMessage, isObject, type Message, metaOf, RPC, type RpcId, readServerMessage } from './mcp-message.ts';
import { Multiplexer } from './mcp-mux.ts';

export interface BridgeEvents {
  /** The server answers. */
  alive: () => void;
  /** It ended by itself. */
  crashed: (why: string) => void;
}

/** Of what a session may still be asked to say again. */
const KEPT_STREAMS = 64;
const KEPT_CHARS = 4 * 1024 * 1024;
const PROBE_MS = 5_000;
const MODERN_CODES = [-32020, -32021, -32022];
const PRIMING_VERSION = '2025-11-25';

export class Bridge {
  readonly #limits: Upstream['limits'];
  readonly #isShared: boolean;
  readonly #events: BridgeEvents;
  readonly #start: () => Promise<Channel>;
  readonly #sessions = new Map<string, Session>();
  /** The one process of a shared command, and of the stateless era. */
  #mux: Promise<Multiplexer> | null = null;
  #speaksModern: Promise<boolean> | null = null;
  #isClosed = false;

  /** @param start opens a channel to a fresh server. */
  constructor(limits: Upstream['limits'], isShared: boolean, events: BridgeEvents, start: () => Promise<Channel>) {
    this.#limits = limits;
    this.#isShared = isShared;
    this.#events = events;
    this.#start = start;
  }

  /** Answers a request as a Streamable HTTP server would. @throws UpstreamFailure where the server cannot be started or reached. */
  async send(exchange: Exchange): Promise<UpstreamAnswer> {
    if (exchange.isModern) return exchange.method === 'POST' ? this.#modern(exchange) : plain(405);
    const message = exchange.body === null ? null : readServerMessage(exchange.body.toString('utf8'));
    if (exchange.isInitialize && message?.kind === 'request') return this.#begin(exchange, message.id);
    const id = exchange.headers['mcp-session-id'];
    if (id === undefined) return refuse(400, 'Mcp-Session-Id is missing; begin with initialize.');
    const session = this.#sessions.get(id);
    if (!session) return refuse(404, 'There is no such session (any more); begin a new one with initialize.');
    switch (exchange.method) {
      case 'GET':
        return session.listen(exchange);
      case 'DELETE':
        session.close();
        return plain(200);
      case 'POST':
        if (message === null) return refuse(400, 'The body is not a message.');
        return message.kind === 'request' ? session.ask(exchange, message) : session.tell(exchange);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const session of this.#sessions.values()) session.close();
    void this.#mux?.then((mux) => mux.close()).catch(() => {});
  }

  async #begin(exchange: Exchange, requestId: RpcId): Promise<UpstreamAnswer> {
    if (this.#sessions.size >= this.#limits.sessions)
      throw new UpstreamFailure(`${this.#sessions.size} sessions with it are open, which is its limit`, false);
    const channel = this.#isShared ? (await this.#multiplexer()).open() : await this.#startOne();
    const id = randomUUID();
    const session = new Session(id, channel, {
      alive: this.#events.alive,
      over: (why) => {
        this.#sessions.delete(id);
        if (why !== null && !this.#isShared && !this.#isClosed) this.#events.crashed(why);
      },
    });
    this.#sessions.set(id, session);
    return { ...(await session.ask(exchange, { id: requestId, method: 'initialize', params: {} })), sessionId: id };
  }

  async #startOne(): Promise<Channel> {
    try {
      return await this.#start();
    } catch (error) {
      if (error instanceof UpstreamFailure) throw error;
      throw new UpstreamFailure(error instanceof Error ? error.message : String(error), false, { cause: error });
    }
  }

  #multiplexer(): Promise<Multiplexer> {
    this.#mux ??= this.#startOne().then(
      (channel) =>
        new Multiplexer(channel, (why) => {
          this.#mux = null;
          this.#speaksModern = null;
          if (!this.#isClosed) this.#events.crashed(why);
        }),
      (error) => {
        this.#mux = null;
        throw error;
      },
    );
    return this.#mux;
  }

  /* ------------------------------------------------------------ the stateless era */

  async #modern({ body, signal }: Exchange): Promise<UpstreamAnswer> {
    const text = body?.toString('utf8') ?? '';
    const message = readServerMessage(text);
    if (message?.kind === 'notification') return plain(202);
    if (message?.kind !== 'request') return refuse(400, 'The body is not a request.');
    this.#speaksModern ??= this.#probe(message.params);
    if (!(await this.#speaksModern))
      return refuse(400, 'This server speaks the revisions that begin with initialize (2025-11-25 and before).', message.id);
    const caller = (await this.#multiplexer()).open();
    const queue = new Queue(() => caller.close());
    caller.onMessage = (one) => {
      queue.push(one);
      this.#events.alive();
      const answer = readServerMessage(one);
      if (answer?.kind === 'response') queue.end();
    };
    caller.onClose = (why) => {
      queue.push(JSON.stringify(errorMessage(message.id, RPC.unavailable, `The server ended: ${why}.`)));
      queue.end();
    };
    signal.addEventListener('abort', () => queue.end());
    await caller.send(singleLine(text));
    const messages = queue[Symbol.asyncIterator]();
    const first = await messages.next();
    if (first.done) throw new UpstreamFailure('the caller left', true);
    const answer = readServerMessage(first.value);
    if (answer?.kind === 'response') {
      caller.close();
      return { ...plain(statusOf(answer), first.value), contentType: 'application/json' };
    }
    return stream(eventsOf(first.value, messages), () => queue.end());
  }

  /** Asks the server whether it knows the stateless era (MCP specification, stdio: Backward Compatibility). */
  async #probe(params: Message extends { params: infer P } ? P : object): Promise<boolean> {
    const caller = (await this.#multiplexer()).open();
    const answered = Promise.withResolvers<boolean>();
    caller.onMessage = (text) => {
      const answer = readServerMessage(text);
      if (answer?.kind !== 'response') return;
      const code = isObject(answer.error) ? answer.error.code : null;
      answered.resolve(answer.result !== undefined || (typeof code === 'number' && MODERN_CODES.includes(code)));
    };
    caller.onClose = () => answered.resolve(false);
    const timer = setTimeout(() => answered.resolve(false), PROBE_MS);
    const { _meta } = params as { _meta?: unknown };
    await caller.send(JSON.stringify({ jsonrpc: '2.0', id: 'probe', method: 'server/discover', params: { _meta: _meta ?? {} } }));
    try {
      return await answered.promise;
    } finally {
      clearTimeout(timer);
      caller.close();
    }
  }
}

/** One session of the handshake era with a channel of its own. */
class Session {
  readonly #id: string;
  readonly #channel: Channel;
  readonly #hooks: { alive: () => void; over: (why: string | null) => void };
  /** By number; the first is the one for listening. Oldest first. */
  readonly #streams = new Map<number, Stream>();
  /** Requests that wait for their answer, in order. */
  readonly #waiting = new Map<RpcId, { stream: Stream; token: unknown }>();
  readonly #listening = new Stream(0);
  #count = 0;
  #isOver = false;

  constructor(id: string, channel: Channel, hooks: { alive: () => void; over: (why: string | null) => void }) {
    this.#id = id;
    this.#channel = channel;
    this.#hooks = hooks;
    this.#streams.set(0, this.#listening);
    channel.onMessage = (text) => this.#receive(text);
    channel.onClose = (why) => this.#end(why);
  }

  async ask({ body, headers, signal }: Exchange, { id, params }: Pick<Extract<Message, { kind: 'request' }>, 'id' | 'method' | 'params'>) {
    const opened = new Stream(++this.#count);
    this.#keep(opened);
    this.#waiting.set(id, { stream: opened, token: metaOf(params).progressToken });
    if ((headers['mcp-protocol-version'] ?? '') >= PRIMING_VERSION) opened.prime();
    await this.#send(body);
    return { ...opened.read(signal), sessionId: this.#id };
  }

  async tell({ body }: Exchange): Promise<UpstreamAnswer> {
    await this.#send(body);
    return plain(202);
  }

  listen({ headers, signal }: Exchange): UpstreamAnswer {
    const last = headers['last-event-id'];
    const place = last === undefined ? null : /^(\d{1,12})_(\d{1,12})$/.exec(last);
    if (last !== undefined && !place) return refuse(400, 'This Last-Event-ID is not one of this session.');
    const opened = place ? this.#streams.get(Number(place[1])) : this.#listening;
    if (!opened) return refuse(404, 'That stream is over, and what it said is no longer kept.');
    if (!place && opened.isRead) return refuse(409, 'Another connection listens to this session already.');
    return opened.read(signal, place ? Number(place[2]) : null);
  }

  close(): void {
    this.#end(null);
    this.#channel.close();
  }

  async #send(body: Buffer | null): Promise<void> {
    try {
      await this.#channel.send(singleLine(body?.toString('utf8') ?? ''));
    } catch (error) {
      throw new UpstreamFailure(error instanceof Error ? error.message : String(error), true, { cause: error });
    }
  }

  #receive(text: string): void {
    const message = readServerMessage(text);
    if (message === null) return; // not a message: nothing that a client could be told
    this.#hooks.alive();
    if (message.kind === 'response') {
      const waiting = message.id === null ? undefined : this.#waiting.get(message.id);
      if (!waiting || message.id === null) return;
      this.#waiting.delete(message.id);
      waiting.stream.push(text);
      waiting.stream.end();
      return;
    }
    this.#streamFor(message).push(text);
  }

  /** Progress goes to its request; what a server asks or says while a request runs belongs to the newest one; the rest is for listeners. */
  #streamFor(message: Extract<Message, { kind: 'request' | 'notification' }>): Stream {
    const waiting = [...this.#waiting.values()];
    if (message.method === 'notifications/progress') {
      const { progressToken } = message.params;
      return waiting.find(({ token }) => token !== undefined && token === progressToken)?.stream ?? this.#listening;
    }
    const isRelated = message.kind === 'request' || message.method === 'notifications/message';
    return (isRelated ? waiting.at(-1)?.stream : undefined) ?? this.#listening;
  }

  #keep(opened: Stream): void {
    this.#streams.set(opened.number, opened);
    for (const [number, other] of this.#streams) {
      if (this.#streams.size <= KEPT_STREAMS) return;
      if (number !== 0 && other.isDone) this.#streams.delete(number);
    }
  }

  #end(why: string | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const [id, { stream: opened }] of this.#waiting) {
      opened.push(
        JSON.stringify(
          errorMessage(id, RPC.unavailable, `The MCP server ended while it worked on this: ${why ?? 'the session was closed'}.`),
        ),
      );
      opened.end();
    }
    this.#waiting.clear();
    this.#listening.end();
    this.#hooks.over(why);
  }
}

/** One stream of a session: what was said on it, for whoever reads it now or comes back. */
class Stream {
  readonly number: number;
  isDone = false;
  readonly #events: { seq: number; text: string }[] = [];
  #kept = 0;
  #seq = 0;
  /** What was handed to a reader; a listener that comes later gets what nobody has had. */
  #delivered = 0;
  #reader: Queue | null = null;

  constructor(number: number) {
    this.number = number;
  }

  get isRead(): boolean {
    return this.#reader !== null;
  }

  /** An empty event that gives the client a place to resume from. */
  prime(): void {
    this.#add(`id: ${this.number}_${++this.#seq}\ndata: \n\n`);
  }

  push(message: string): void {
    if (this.isDone) return;
    this.#add(eventText(message, `${this.number}_${++this.#seq}`));
  }

  end(): void {
    this.isDone = true;
    this.#reader?.end();
  }

  /** @param after the place to go on from; null = from what nobody has had yet. */
  read(signal: AbortSignal, after: number | null = null): UpstreamAnswer {
    this.#reader?.end();
    const reader = new Queue(() => {
      if (this.#reader === reader) this.#reader = null;
    });
    const from = after ?? this.#delivered;
    for (const { seq, text } of this.#events) if (seq > from) reader.push(text);
    this.#delivered = this.#seq;
    if (this.isDone) reader.end();
    else this.#reader = reader;
    signal.addEventListener('abort', () => reader.end());
    return stream(bytesOf(reader), () => reader.end());
  }

  #add(text: string): void {
    this.#events.push({ seq: this.#seq, text });
    this.#kept += text.length;
    while (this.#kept > KEPT_CHARS && this.#events.length > 1) this.#kept -= this.#events.shift()?.text.length ?? 0;
    if (this.#reader === null) return;
    this.#reader.push(text);
    this.#delivered = this.#seq;
  }
}

/** Texts that wait for one reader. */
class Queue implements AsyncIterable<string> {
  readonly #texts: string[] = [];
  readonly #onEnd: () => void;
  #wake: (() => void) | null = null;
  #isEnded = false;

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  push(text: string): void {
    if (this.#isEnded) return;
    this.#texts.push(text);
    this.#wake?.();
  }

  /** Nothing more comes; what is there may still be read. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onEnd();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    try {
      for (;;) {
        const next = this.#texts.shift();
        if (next !== undefined) yield next;
        else if (this.#isEnded) return;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = null;
        }
      }
    } finally {
      this.end();
    }
  }
}

async function* bytesOf(texts: AsyncIterable<string>): AsyncGenerator<Buffer> {
  for await (const text of texts) yield Buffer.from(text);
}

async function* eventsOf(first: string, rest: AsyncGenerator<string>): AsyncGenerator<Buffer> {
  yield Buffer.from(eventText(first));
  for await (const text of rest) yield Buffer.from(eventText(text));
}

function stream(body: AsyncIterable<Buffer>, discard: () => void): UpstreamAnswer {
  return { status: 200, contentType: 'text/event-stream', sessionId: null, body, discard };
}

function plain(status: number, text = ''): UpstreamAnswer {
  return { status, contentType: '', sessionId: null, body: bytesOf(oneText(text)), discard: () => {} };
}

async function* oneText(text: string): AsyncGenerator<string> {
  if (text !== '') yield text;
}

function refuse(status: number, message: string, id: RpcId | null = null): UpstreamAnswer {
  const code = status === 404 ? -32001 : RPC.unavailable;
  return { ...plain(status, JSON.stringify(errorMessage(id, code, message))), contentType: 'application/json' };
}

/** HTTP statuses of the stateless era (MCP specification 2026-07-28, Streamable HTTP). */
function statusOf(answer: Extract<Message, { kind: 'response' }>): number {
  const code = isObject(answer.error) ? answer.error.code : null;
  if (code === RPC.methodNotFound) return 404;
  return typeof code === 'number' && MODERN_CODES.includes(code) ? 400 : 200;
}

/** A message per line: line breaks between tokens are layout, inside strings they are escaped. */
function singleLine(text: string): string {
  return text.includes('\n') || text.includes('\r') ? text.replaceAll(/[\r\n]+/g, ' ') : text;
}
