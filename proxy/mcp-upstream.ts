/**
 * The way to one MCP server, whatever it speaks: everything above this file sees Streamable HTTP. A server by URL is spoken to as it is;
 * one that only knows the old HTTP+SSE transport, and one that is a command, get a bridge in between. Bounded in requests under way and
 * in time; a server that fails again and again is left alone for a while, and callers are told so at once.
 */
import { isIP } from 'node:net';
import { Agent, type Dispatcher } from 'undici';
import type { UpstreamPicture } from '../control/contract.ts';
import { isSpecialAddress } from '../policies/index.ts';
import { publicLookup } from './addresses.ts';
import { Circuit } from './circuit.ts';
import { Bridge } from './mcp-bridge.ts';
import { type Exchange, type UpstreamAnswer, UpstreamFailure } from './mcp-exchange.ts';
import { openSseChannel, startsSse } from './mcp-sse.ts';
import { startCommand } from './mcp-stdio.ts';
import { secretHeader } from './upstream-secret.ts';

const CONNECT_MS = 10_000;
/** What callers and people are told of a server that answers 401. */
export const UNAUTHORIZED = 'it asks for authorization (HTTP 401), which an administrator gives in Mission Control';

export interface UpstreamEvents {
  /** How the server was found; for the registry. */
  found: (ok: boolean, error: string | null) => void;
  /** It answers, and does not take our credential: a person or control has to see to that. */
  unauthorized: (error: string) => void;
  log: (fields: object, message: string) => void;
  clock: () => number;
}

/** One upstream at one revision; another revision is another of these. */
export class McpUpstream {
  #picture: UpstreamPicture;
  readonly #events: UpstreamEvents;
  readonly #agent: Agent | null;
  #bridge: Bridge | null = null;
  readonly #bridgeEvents = { alive: () => this.#circuit.succeeded(), crashed: (why: string) => this.#circuit.failed(why) };
  readonly #circuit: Circuit;
  #running = 0;

  constructor(picture: UpstreamPicture, events: UpstreamEvents) {
    this.#picture = picture;
    this.#events = events;
    this.#circuit = new Circuit(events.clock, events.found);
    this.#agent = picture.url === null ? null : agentFor(picture);
    if (picture.url === null) {
      const { command } = picture;
      this.#bridge = new Bridge(picture.limits, picture.shared, this.#bridgeEvents, () => {
        if (command === null) throw new UpstreamFailure('commands are switched off here (MC_STDIO=off)', false);
        return startCommand(command, picture.env, picture.secret, picture.limits, (line) =>
          events.log({ upstream: picture.name, line }, 'stderr of an MCP server'),
        );
      });
    }
  }

  get picture(): UpstreamPicture {
    return this.#picture;
  }

  /** The same upstream at the same revision with, perhaps, a newer token: sessions and connections go on. */
  renew(picture: UpstreamPicture): void {
    this.#picture = picture;
  }

  /** Sends a request on. The answer's body must be read or discarded. @throws UpstreamFailure */
  async send(exchange: Exchange): Promise<UpstreamAnswer> {
    const resting = this.#circuit.refusal();
    if (resting !== null) throw new UpstreamFailure(resting, false);
    // Streams that only listen do not count: every session has one, for as long as it lives.
    const counts = exchange.method === 'POST';
    if (counts && this.#running >= this.picture.limits.concurrency)
      throw new UpstreamFailure(`${this.#running} requests to it are under way, which is its limit`, false);
    if (counts) this.#running++;
    let isOver = false;
    const over = () => {
      if (counts && !isOver) this.#running--;
      isOver = true;
    };
    try {
      const answer = this.#bridge ? await this.#bridge.send(exchange) : await this.#ask(exchange);
      // A bridge says by itself when its server is well: that it took a message proves nothing.
      if (answer.status === 401) this.#events.unauthorized(UNAUTHORIZED);
      else if (this.#bridge === null && answer.status >= 500) this.#circuit.failed(`HTTP ${answer.status}`);
      else if (this.#bridge === null) this.#circuit.succeeded();
      return {
        ...answer,
        body: endingWith(answer.body, over),
        discard: () => {
          over();
          answer.discard();
        },
      };
    } catch (error) {
      over();
      if (exchange.signal.aborted) throw new UpstreamFailure('the caller left', true, { cause: error });
      const failure = error instanceof UpstreamFailure ? error : failureOf(error);
      this.#circuit.failed(failure.message);
      throw failure;
    }
  }

  async close(): Promise<void> {
    this.#bridge?.close();
    await this.#agent?.destroy();
  }

  async #ask(exchange: Exchange): Promise<UpstreamAnswer> {
    const answer = await this.#request(exchange);
    const { url } = this.picture;
    // A server of the old transport knows no POST at its address (MCP specification, Backwards Compatibility).
    if (!exchange.isInitialize || ![400, 404, 405].includes(answer.status) || url === null) return answer;
    const collected = await collect(answer.body, 64 * 1024);
    if (!(await this.#speaksSse(exchange.signal))) return { ...answer, body: once(collected) };
    this.#events.log({ upstream: this.picture.name }, 'speaks the old HTTP+SSE transport');
    this.#bridge = new Bridge(this.picture.limits, false, this.#bridgeEvents, () =>
      openSseChannel(new URL(url), (options) => this.#raw(options), this.picture.limits),
    );
    return this.#bridge.send(exchange);
  }

  async #speaksSse(signal: AbortSignal): Promise<boolean> {
    const url = new URL(this.picture.url ?? '');
    const probe = new AbortController();
    const answer = await this.#raw({
      method: 'GET',
      origin: url.origin,
      path: url.pathname + url.search,
      headers: { accept: 'text/event-stream' },
      signal: AbortSignal.any([signal, probe.signal, AbortSignal.timeout(CONNECT_MS)]),
    }).catch(() => null);
    if (answer === null) return false;
    const isIt = answer.statusCode === 200 && (await startsSse(answer));
    probe.abort();
    answer.body.on('error', () => {}).destroy();
    return isIt;
  }

  async #request({ method, headers, body, signal }: Exchange): Promise<UpstreamAnswer> {
    const url = new URL(this.picture.url ?? '');
    const isListening = method === 'GET';
    const answer = await this.#raw({
      method,
      origin: url.origin,
      path: url.pathname + url.search,
      headers,
      body,
      signal,
      ...(isListening && { bodyTimeout: 0 }),
    });
    const type = answer.headers['content-type'];
    const session = answer.headers['mcp-session-id'];
    return {
      status: answer.statusCode,
      contentType: typeof type === 'string' ? type : '',
      sessionId: typeof session === 'string' ? session : null,
      body: answer.body as AsyncIterable<Buffer>,
      discard: () => answer.body.on('error', () => {}).destroy(),
    };
  }

  /** A request with the server's own secret; redirects are not followed, they would lead past what an administrator allowed. */
  #raw(options: Dispatcher.RequestOptions & { origin: string }): Promise<Dispatcher.ResponseData> {
    const { secret, limits } = this.picture;
    if (this.#agent === null) throw new UpstreamFailure('it has no address', false);
    return this.#agent.request({
      headersTimeout: limits.timeoutMs,
      bodyTimeout: limits.timeoutMs,
      ...options,
      headers: {
        ...(options.headers as Record<string, string>),
        via: '1.1 mission-control',
        ...(secret !== null && Object.fromEntries([secretHeader(secret)])),
      },
    });
  }
}

/** One connection pool; the address that was checked is the address that is dialled (SPEC 4.6). */
function agentFor({ url, allowPrivate, limits }: UpstreamPicture): Agent {
  const host = new URL(url ?? '').hostname.replace(/^\[|\]$/g, '');
  if (!allowPrivate && isIP(host) !== 0 && isSpecialAddress(host)) throw new UpstreamFailure(`${host} is a private address`, false);
  return new Agent({
    connections: limits.concurrency + limits.sessions,
    pipelining: 1,
    allowH2: false,
    keepAliveTimeout: 4_000,
    maxHeaderSize: 32 * 1024,
    connect: {
      timeout: CONNECT_MS,
      ...(!allowPrivate && { lookup: publicLookup }),
    },
  });
}

function failureOf(error: unknown): UpstreamFailure {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const message = error instanceof Error ? error.message || code : String(error);
  const neverSent = [
    'ECONNREFUSED',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'UND_ERR_CONNECT_TIMEOUT',
    'PRIVATE_ADDRESS',
  ].includes(code);
  const words =
    code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
      ? 'it did not answer in time'
      : `${message}${code && !message.includes(code) ? ` (${code})` : ''}`;
  return new UpstreamFailure(words, !neverSent, { cause: error });
}

async function* endingWith(body: AsyncIterable<Buffer>, over: () => void): AsyncGenerator<Buffer> {
  try {
    yield* body;
  } finally {
    over();
  }
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}

/** The whole of a body. @throws UpstreamFailure where it is larger than allowed. */
export async function collect(body: AsyncIterable<Buffer>, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > maxBytes) throw new UpstreamFailure(`its answer is larger than ${maxBytes} bytes`, true);
    chunks.push(chunk);
  }
  return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
}
