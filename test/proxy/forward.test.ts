import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_FORWARD_BOUNDS, type ForwardBounds, Forwarder, type ForwardFailure, type Relayed } from '../../proxy/forward.ts';

type Result = Relayed | ForwardFailure;

/** Ends what a test opened, last first. */
const opened: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function listen(server: Server | TcpServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** An upstream that speaks HTTP. @returns its origin. */
async function upstream(onRequest: RequestListener): Promise<string> {
  const server = createServer(onRequest);
  const port = await listen(server);
  opened.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${port}`;
}

/** An upstream that says whatever it likes. */
async function rawUpstream(onSocket: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    onSocket(socket);
  });
  const port = await listen(server);
  opened.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${port}`;
}

interface Gate {
  port: number;
  forwarder: Forwarder;
  /** What became of each request, in the order in which they ended. */
  results: Result[];
  /** The next result that nobody has taken yet. */
  nextResult: () => Promise<Result>;
}

interface GateOptions {
  bounds?: Partial<ForwardBounds>;
  setHeaders?: string[];
  removeHeaders?: string[];
  maxBytes?: number;
  signal?: AbortSignal;
  /** Pass the body on as it comes in, instead of read whole. */
  streamBody?: boolean;
  /** Called before forwarding. */
  before?: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void;
  onChunk?: (chunk: Buffer, response: ServerResponse) => void;
}

/** A listener that forwards everything to one origin and answers failures with 502 and their kind. */
async function gate(origin: string, options: GateOptions = {}): Promise<Gate> {
  const { bounds, setHeaders = [], removeHeaders = [], maxBytes, signal, streamBody, before, onChunk } = options;
  const forwarder = new Forwarder({ origin, setHeaders, removeHeaders }, { ...DEFAULT_FORWARD_BOUNDS, ...bounds });
  const results: Result[] = [];
  const waiting: ((result: Result) => void)[] = [];
  const arrived: Result[] = [];
  const server = createServer(async (request, response) => {
    const body = streamBody ? request : await bytesOf(request).catch(() => null);
    await before?.(request, response);
    const { method = 'GET', url: path = '/', rawHeaders } = request;
    const result = await forwarder.relay(
      { method, path, rawHeaders, body: body instanceof Buffer && body.length === 0 ? null : body },
      response,
      {
        ...(maxBytes !== undefined && { maxBytes }),
        ...(signal !== undefined && { signal }),
        ...(onChunk !== undefined && { tap: { head: () => {}, chunk: (chunk: Buffer) => onChunk(chunk, response) } }),
      },
    );
    results.push(result);
    const waiter = waiting.shift();
    if (waiter) waiter(result);
    else arrived.push(result);
    if (result.outcome === 'failed' && !result.answered && !response.destroyed) response.writeHead(502).end(result.failure);
  });
  const port = await listen(server);
  opened.push(
    () => forwarder.close(),
    () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  );
  const nextResult = () => {
    const result = arrived.shift();
    return result ? Promise.resolve(result) : new Promise<Result>((resolve) => waiting.push(resolve));
  };
  return { port, forwarder, results, nextResult };
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

interface Asked {
  method?: string;
  path?: string;
  headers?: Record<string, string | string[]>;
  body?: Buffer | string;
}

/** Sends a request and waits for the head of its answer. */
function open(port: number, { method = 'GET', path = '/', headers = {}, body }: Asked = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port, method, path, headers, agent: false }, resolve);
    request.on('error', reject);
    request.end(body);
  });
}

async function ask(port: number, asked: Asked = {}) {
  const response = await open(port, asked);
  const body = await bytesOf(response);
  return { status: response.statusCode, headers: response.headers, rawHeaders: response.rawHeaders, body, text: body.toString(), response };
}

/** Speaks raw HTTP and reads until the other side closes. */
async function speak(port: number, text: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(text);
  return (await bytesOf(socket)).toString('latin1');
}

/** Turns the event loop until something is so; a test that waits in vain ends by its time limit. */
async function becomes(isIt: () => boolean): Promise<void> {
  while (!isIt()) await new Promise((resolve) => setImmediate(resolve));
}

const idle = { running: 0, queued: 0 };

/** Answers with what came in. */
const mirror: RequestListener = async (request, response) => {
  const { method, url, rawHeaders } = request;
  const body = await bytesOf(request);
  response.end(JSON.stringify({ method, url, rawHeaders, body: body.toString('base64') }));
};
interface Mirrored {
  method: string;
  url: string;
  rawHeaders: string[];
  body: string;
}
const seenBy = (text: string): Mirrored => JSON.parse(text) as Mirrored;
const namesIn = (rawHeaders: string[]) => rawHeaders.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase());
const valuesIn = (rawHeaders: string[], name: string) =>
  rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name);

describe('a request', () => {
  it('arrives with its method, path and very bytes', async () => {
    const { port, results } = await gate(await upstream(mirror));
    const body = Buffer.from([0, 255, 123, 34, 0xc3, 0x28, 10]);
    const { text } = await ask(port, {
      method: 'PUT',
      path: '/a%2Fb/../c?q=1&q=%20',
      headers: { 'content-type': 'x/y', 'x-two': ['1', '2'] },
      body,
    });
    const seen = seenBy(text);
    expect(seen).toMatchObject({ method: 'PUT', url: '/a%2Fb/../c?q=1&q=%20', body: body.toString('base64') });
    expect(valuesIn(seen.rawHeaders, 'x-two')).toEqual(['1', '2']);
    expect(valuesIn(seen.rawHeaders, 'content-length')).toEqual(['7']);
    expect(results).toEqual([{ outcome: 'relayed', status: 200, bytes: Buffer.byteLength(text) }]);
  });

  it('goes out under the name of the upstream and says who passed it on', async () => {
    const origin = await upstream(mirror);
    const { port } = await gate(origin);
    const { rawHeaders } = seenBy((await ask(port, { headers: { host: 'gate.example', via: '1.0 before' } })).text);
    expect(valuesIn(rawHeaders, 'host')).toEqual([origin.slice('http://'.length)]);
    expect(valuesIn(rawHeaders, 'via')).toEqual(['1.0 before', '1.1 mission-control']);
  });

  it('loses what belongs to one hop, and what its Connection header names', async () => {
    const { port } = await gate(await upstream(mirror));
    const text = await speak(
      port,
      'POST / HTTP/1.1\r\nHost: x\r\nConnection: close, X-Mine, x-other\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n' +
        'TE: trailers\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nExpect: 100-continue\r\nX-Mine: 1\r\nX-Other: 2\r\nX-Stays: 3\r\n' +
        'Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
    );
    const chunk = /\{.*\}/.exec(text)?.[0] ?? '';
    const seen = seenBy(chunk);
    const names = namesIn(seen.rawHeaders);
    for (const gone of [
      'keep-alive',
      'proxy-connection',
      'te',
      'upgrade',
      'http2-settings',
      'expect',
      'x-mine',
      'x-other',
      'transfer-encoding',
    ])
      expect(names).not.toContain(gone);
    expect(names).toContain('x-stays');
    expect(seen.body).toBe(Buffer.from('body').toString('base64'));
  });

  it('never carries the credential of its caller, and carries the secret of the upstream', async () => {
    const { port } = await gate(await upstream(mirror), {
      setHeaders: ['Authorization', 'Bearer upstream-secret', 'X-Version', '2'],
      removeHeaders: ['Cookie'],
    });
    const headers = {
      authorization: 'Bearer mca_agent',
      'X-Api-Key': 'mca_agent',
      'proxy-authorization': 'Basic mca_agent',
      cookie: 'session=mca_agent',
      'x-version': '1',
      'x-mc-task': 'task-1',
      'x-mc-run': 'run-1',
      'x-mc-session': 'session-1',
    };
    const { rawHeaders } = seenBy((await ask(port, { headers })).text);
    expect(rawHeaders.join('\n')).not.toMatch(/mca_agent|task-1|run-1|session-1/);
    expect(valuesIn(rawHeaders, 'authorization')).toEqual(['Bearer upstream-secret']);
    expect(valuesIn(rawHeaders, 'x-version')).toEqual(['2']);
  });

  it('cannot take a header that is set here away by naming it in Connection', async () => {
    const { port } = await gate(await upstream(mirror), { setHeaders: ['authorization', 'Bearer upstream-secret'] });
    const text = await speak(port, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close, authorization, host\r\n\r\n');
    expect(valuesIn(seenBy(/\{.*\}/.exec(text)?.[0] ?? '').rawHeaders, 'authorization')).toEqual(['Bearer upstream-secret']);
  });

  it('that is no HTTP is refused, and takes no connection with it', async () => {
    const { port, forwarder } = await gate(await upstream(mirror), { bounds: { connectionsMax: 2 } });
    const bad = { method: 'GET', rawHeaders: [], body: null };
    for (let i = 0; i < 5; i++) {
      for (const request of [
        { ...bad, path: 'http//no-slash' },
        { ...bad, path: '/with space' },
        { ...bad, path: '/', method: 'BAD METHOD' },
        { ...bad, path: '/', rawHeaders: ['x', 'a\r\nb: c'] },
      ]) {
        expect(await forwarder.collect(request, 1000)).toMatchObject({ outcome: 'failed', failure: 'invalid', mayHaveRun: false });
      }
    }
    expect(forwarder.load).toEqual(idle);
    expect((await Promise.all([ask(port), ask(port), ask(port)])).map(({ status }) => status)).toEqual([200, 200, 200]);
  });

  it('with a streamed body goes out as it comes in, no faster than the upstream takes it', async () => {
    let paused: IncomingMessage | undefined;
    const origin = await upstream((request, response) => {
      paused = request;
      let size = 0;
      request.on('data', (chunk: Buffer) => (size += chunk.length)).on('end', () => response.end(String(size)));
      request.pause();
    });
    const { forwarder } = await gate(origin);
    let pulled = 0;
    const source = Readable.from(
      (function* () {
        for (let i = 0; i < 1000; i++) {
          pulled++;
          yield Buffer.alloc(64 * 1024, i);
        }
      })(),
    );
    const answer = forwarder.collect({ method: 'POST', path: '/', rawHeaders: [], body: source }, 1000);
    await becomes(() => paused !== undefined);
    let before = -1;
    // The sockets' buffers fill, then nothing moves.
    while (pulled !== before) {
      before = pulled;
      for (let i = 0; i < 2000; i++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(pulled).toBeLessThan(500);
    paused?.resume();
    expect(await answer).toMatchObject({ status: 200, body: Buffer.from(String(1000 * 64 * 1024)) });
  });

  it('with a streamed body keeps its announced length, and its client gets an answer that comes before the body has ended', async () => {
    const lengths: (string | undefined)[] = [];
    const origin = await upstream((request, response) => {
      lengths.push(request.headers['content-length']);
      response.writeHead(413).end('too much');
    });
    const { port, forwarder } = await gate(origin, { streamBody: true });
    const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', headers: { 'content-length': '1000000' }, agent: false });
    request.on('error', () => {});
    request.write('the beginning');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    expect((await bytesOf(response)).toString()).toBe('too much');
    expect(lengths).toEqual(['1000000']);
    request.destroy();
    await becomes(() => forwarder.load.running === 0);
  });
});

describe('an answer', () => {
  it('comes back with its status, repeated headers and very bytes', async () => {
    const body = Buffer.from([0, 255, 10, 0xe2]);
    const origin = await upstream((_, response) => {
      response.writeHead(418, 'Short and stout', [
        'Set-Cookie',
        'a=1',
        'Set-Cookie',
        'b=2',
        'X-Latin',
        'caf\u00e9',
        'Content-Encoding',
        'gzip',
      ]);
      response.end(body);
    });
    const { port } = await gate(origin);
    const answer = await ask(port);
    expect(answer).toMatchObject({ status: 418, body });
    expect(answer.response.statusMessage).toBe('Short and stout');
    expect(answer.headers).toMatchObject({ 'set-cookie': ['a=1', 'b=2'], 'x-latin': 'caf\u00e9', 'content-encoding': 'gzip' });
  });

  it('loses what belongs to one hop, what its Connection header names, and what would lead around the gate', async () => {
    const origin = await rawUpstream((socket) => {
      socket.once('data', () =>
        socket.end(
          'HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\n' +
            'Alt-Svc: h3=":443"\r\nUpgrade: h2c\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nok',
        ),
      );
    });
    const { port } = await gate(origin);
    const { headers, text } = await ask(port);
    expect(text).toBe('ok');
    expect(headers).toMatchObject({ 'x-stays': '1', 'content-length': '2' });
    for (const gone of ['x-hop', 'proxy-authenticate', 'alt-svc', 'upgrade']) expect(headers).not.toHaveProperty(gone);
    expect(headers['keep-alive']).not.toBe('timeout=9');
  });

  it.each([
    ['HEAD', 200, 'Content-Length: 12345\r\n', '12345'],
    ['GET', 304, 'Content-Length: 12345\r\nETag: "x"\r\n', '12345'],
    ['GET', 204, 'Content-Length: 0\r\n', undefined],
    ['DELETE', 204, '', undefined],
    ['HEAD', 200, 'Transfer-Encoding: chunked\r\n', undefined],
  ])('to %s with status %i has no body and the right length', async (method, status, headers, length) => {
    const origin = await rawUpstream((socket) => {
      socket.on('data', () => socket.write(`HTTP/1.1 ${status} Fine\r\n${headers}\r\n`));
    });
    const { port, forwarder } = await gate(origin);
    const answer = await ask(port, { method });
    expect(answer).toMatchObject({ status, text: '' });
    expect(answer.headers['content-length']).toBe(length);
    await becomes(() => forwarder.load.running === 0);
    // The connection to the client is in step afterwards.
    const both = await speak(port, `${method} / HTTP/1.1\r\nHost: x\r\n\r\n${method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(both.match(new RegExp(`HTTP/1.1 ${status}`, 'g'))).toHaveLength(2);
  });

  it('announces what is coming before it comes (102, 103), but not to HTTP/1.0', async () => {
    const origin = await rawUpstream((socket) => {
      socket.on('data', () =>
        socket.write(
          'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
        ),
      );
    });
    const { port } = await gate(origin);
    const text = await speak(port, 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(text).toMatch(
      /^HTTP\/1\.1 102 .*\r\n\r\nHTTP\/1\.1 103 Early Hints\r\nLink: <\/style\.css>; rel=preload\r\n\r\nHTTP\/1\.1 200 OK\r\n[\s\S]*ok$/,
    );
    expect(await speak(port, 'GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*ok$/);
  });

  it('brings its trailers, without those that frame or authenticate', async () => {
    const origin = await rawUpstream((socket) => {
      socket.once('data', () =>
        socket.end(
          'HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\nAuthorization: Basic x\r\nSet-Cookie: a=b\r\n\r\n',
        ),
      );
    });
    const { port } = await gate(origin);
    const { response, text } = await ask(port);
    expect(text).toBe('body');
    expect(response.headers.trailer).toBe('X-Sum');
    expect(response.trailers).toEqual({ 'x-sum': '42' });
    // A client that cannot have trailers gets the body alone.
    expect(await speak(port, 'GET / HTTP/1.0\r\n\r\n')).toMatch(/\r\n\r\nbody$/);
  });

  it('of unknown length reaches a client of HTTP/1.0 until the connection closes', async () => {
    const { port } = await gate(
      await upstream((_, response) => {
        response.write('one ');
        response.end('two');
      }),
    );
    const text = await speak(port, 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    expect(text).toMatch(/\r\n\r\none two$/);
    expect(text).not.toMatch(/transfer-encoding/i);
  });

  it('streams: its head comes before its body, and each part before the next is there', async () => {
    let send: (text: string | null) => void = () => {};
    const origin = await upstream((_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.flushHeaders();
      send = (text) => (text === null ? response.end() : response.write(text));
    });
    const { port, forwarder, results } = await gate(origin);
    const response = await open(port);
    expect(response.headers['content-type']).toBe('text/event-stream');
    for (const part of ['data: 1\n\n', 'data: 2\n\n', 'data: 3\n\n']) {
      send(part);
      const [chunk] = (await once(response, 'data')) as [Buffer];
      expect(chunk.toString()).toBe(part);
    }
    expect(forwarder.load).toEqual({ running: 1, queued: 0 });
    send(null);
    await once(response, 'end');
    await becomes(() => forwarder.load.running === 0);
    expect(results).toEqual([{ outcome: 'relayed', status: 200, bytes: 27 }]);
  });

  it('is seen by a tap, chunk by chunk', async () => {
    const seen: Buffer[] = [];
    const { port } = await gate(await upstream((_, response) => response.end('the answer')), { onChunk: (chunk) => seen.push(chunk) });
    await ask(port);
    expect(Buffer.concat(seen).toString()).toBe('the answer');
  });

  it('waits for a slow reader, and then is whole', async () => {
    const size = 64 * 1024 * 1024;
    let written = 0;
    const origin = await upstream((_, response) => {
      const chunk = Buffer.alloc(256 * 1024, 'x');
      const push = () => {
        while (written < size) {
          written += chunk.length;
          if (!response.write(chunk)) return void response.once('drain', push);
        }
        response.end();
      };
      push();
    });
    const { port, nextResult } = await gate(origin);
    const response = await open(port);
    response.pause();
    let before = -1;
    while (written !== before) {
      before = written;
      for (let i = 0; i < 2000; i++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(written).toBeLessThan(size / 2);
    const body = await bytesOf(response);
    expect(body.length).toBe(size);
    expect(await nextResult()).toEqual({ outcome: 'relayed', status: 200, bytes: size });
  });

  it('whose connection we close meanwhile ends quietly', async () => {
    const { port, nextResult, forwarder } = await gate(await upstream((_, response) => response.end('the answer')), {
      onChunk: (_, response) => response.destroy(),
    });
    await expect(ask(port)).rejects.toThrow();
    expect(await nextResult()).toMatchObject({ failure: 'client_gone', mayHaveRun: true });
    await becomes(() => forwarder.load.running === 0);
  });

  it('larger than allowed is not begun where it says so, and cut where it does not', async () => {
    const announced = await gate(
      await upstream((_, response) => response.writeHead(200, { 'content-length': 1001 }).end(Buffer.alloc(1001))),
      { maxBytes: 1000 },
    );
    expect(await ask(announced.port)).toMatchObject({ status: 502, text: 'too_large' });
    expect(await announced.nextResult()).toMatchObject({ failure: 'too_large', answered: false, status: 200 });
    const counted = await gate(
      await upstream((_, response) => {
        response.write(Buffer.alloc(600));
        setImmediate(() => response.end(Buffer.alloc(600)));
      }),
      { maxBytes: 1000 },
    );
    await expect(ask(counted.port)).rejects.toThrow();
    expect(await counted.nextResult()).toMatchObject({ failure: 'too_large', answered: true });
    const exact = await gate(await upstream((_, response) => response.end(Buffer.alloc(1000))), { maxBytes: 1000 });
    expect((await ask(exact.port)).body.length).toBe(1000);
    // What a HEAD announces does not come.
    expect(await ask(announced.port, { method: 'HEAD' })).toMatchObject({ status: 200, headers: { 'content-length': '1001' } });
    for (const { forwarder } of [announced, counted, exact]) await becomes(() => forwarder.load.running === 0);
  });
});

describe('a client that goes away', () => {
  /** An upstream that streams for ever, and counts the streams that are open. */
  async function endless(chunk = Buffer.alloc(1000, 'x')) {
    const state = { open: 0, opened: 0 };
    const origin = await upstream((_, response) => {
      state.open++;
      state.opened++;
      response.write('data: 0\n\n');
      const timer = setInterval(() => response.write(chunk), 1);
      response.on('close', () => {
        clearInterval(timer);
        state.open--;
      });
    });
    return { origin, state };
  }

  it('before it was forwarded gets nothing forwarded', async () => {
    const seen: string[] = [];
    const origin = await upstream((request, response) => {
      seen.push(request.url ?? '');
      response.end();
    });
    const { port, nextResult, forwarder } = await gate(origin, {
      before: async (_, response) => {
        await once(response, 'close');
      },
    });
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /never HTTP/1.1\r\nHost: x\r\n\r\n', () => socket.destroy());
    expect(await nextResult()).toMatchObject({ failure: 'client_gone', mayHaveRun: false, answered: false });
    expect(forwarder.load).toEqual(idle);
    expect(seen).toEqual([]);
  });

  it('while it waits for a connection gives up its place, and nothing is sent', async () => {
    const urls: string[] = [];
    const pending: ServerResponse[] = [];
    const origin = await upstream((request, response) => {
      urls.push(request.url ?? '');
      pending.push(response);
    });
    const { port, nextResult, forwarder } = await gate(origin, { bounds: { connectionsMax: 1 } });
    const first = ask(port, { path: '/first' });
    await becomes(() => pending.length === 1);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /second HTTP/1.1\r\nHost: x\r\n\r\n');
    await becomes(() => forwarder.load.queued === 1);
    socket.destroy();
    expect(await nextResult()).toMatchObject({ failure: 'client_gone', mayHaveRun: false });
    expect(forwarder.load).toEqual({ running: 1, queued: 0 });
    pending[0]?.end('done');
    expect((await first).text).toBe('done');
    expect(urls).toEqual(['/first']);
  });

  it('while its answer waits behind an earlier one of the same connection is noticed as well', async () => {
    const aborted = Promise.withResolvers<void>();
    let arrived = 0;
    const origin = await upstream((request) => {
      arrived++;
      request.on('close', () => request.url === '/second' && aborted.resolve());
    });
    const { port, results, forwarder } = await gate(origin);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n');
    await becomes(() => arrived === 2);
    socket.destroy();
    await aborted.promise;
    await becomes(() => results.length === 2);
    expect(forwarder.load).toEqual(idle);
  });

  it('while the connection is made gets nothing sent, and the connection serves the next', async () => {
    const urls: string[] = [];
    const origin = await upstream((request, response) => {
      urls.push(request.url ?? '');
      response.end('ok');
    });
    const { port, forwarder } = await gate(origin, { bounds: { connectionsMax: 1 } });
    const cut = new AbortController();
    const answer = forwarder.collect({ method: 'GET', path: '/never', rawHeaders: [], body: null }, 1000, cut.signal);
    cut.abort();
    expect(await answer).toMatchObject({ failure: 'cut', mayHaveRun: false });
    expect((await ask(port, { path: '/next' })).text).toBe('ok');
    expect(urls).toEqual(['/next']);
    expect(forwarder.load).toEqual(idle);
  });

  it('before the head came has its request aborted at the upstream', async () => {
    const aborted = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const origin = await upstream((request) => {
      arrived.resolve();
      request.on('close', () => aborted.resolve());
    });
    const { port, nextResult, forwarder } = await gate(origin);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await arrived.promise;
    socket.destroy();
    expect(await nextResult()).toMatchObject({ failure: 'client_gone', mayHaveRun: true, answered: false, status: null });
    await aborted.promise;
    expect(forwarder.load).toEqual(idle);
  });

  it('in the middle of its own upload has the request aborted at the upstream', async () => {
    const aborted = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const origin = await upstream((request) => {
      request
        .on('data', () => begun.resolve())
        .on('error', () => {})
        .on('close', () => aborted.resolve());
    });
    const { port, nextResult, forwarder } = await gate(origin, { streamBody: true });
    const socket = connect(port, '127.0.0.1');
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nsome');
    await begun.promise;
    socket.destroy();
    expect(await nextResult()).toMatchObject({ outcome: 'failed', mayHaveRun: true, answered: false });
    await aborted.promise;
    await becomes(() => forwarder.load.running === 0);
  });

  it('in the middle of a stream that it does not read frees everything', async () => {
    const { origin, state } = await endless(Buffer.alloc(1_000_000));
    const { port, nextResult, forwarder } = await gate(origin);
    const response = await open(port);
    response.pause();
    for (let i = 0; i < 5000; i++) await new Promise((resolve) => setImmediate(resolve));
    response.destroy();
    expect(await nextResult()).toMatchObject({ failure: 'client_gone', answered: true, status: 200 });
    await becomes(() => state.open === 0);
    expect(forwarder.load).toEqual(idle);
  });

  it('in waves of 50, 200 times in all, leaves neither slots nor streams behind', async () => {
    const { origin, state } = await endless();
    const { port, results, forwarder } = await gate(origin, { bounds: { connectionsMax: 64 } });
    for (let wave = 1; wave <= 4; wave++) {
      const responses = await Promise.all(Array.from({ length: 50 }, () => open(port)));
      expect(forwarder.load.running).toBe(50);
      for (const [i, response] of responses.entries()) {
        if (i % 2 === 0) response.pause();
        else response.resume();
      }
      await Promise.all(responses.filter((_, i) => i % 2 === 1).map((response) => once(response, 'data')));
      for (const response of responses) response.destroy();
      await becomes(() => results.length === wave * 50 && forwarder.load.running === 0 && state.open === 0);
    }
    expect(state.opened).toBe(200);
    expect(new Set(results.map((result) => result.outcome === 'failed' && result.failure))).toEqual(new Set(['client_gone']));
    // The pool is as good as new.
    const again = await Promise.all(Array.from({ length: 64 }, () => open(port)));
    expect(again.every((response) => response.statusCode === 200)).toBe(true);
    for (const response of again) response.destroy();
    await becomes(() => forwarder.load.running === 0);
  });

  it('only by no longer reading is cut off after a while', async () => {
    const { origin, state } = await endless(Buffer.alloc(1_000_000));
    const { port, nextResult, forwarder } = await gate(origin, { bounds: { clientStallMaxMs: 100 } });
    const response = await open(port);
    response.pause();
    expect(await nextResult()).toMatchObject({ failure: 'client_stalled', answered: true });
    await becomes(() => state.open === 0);
    expect(forwarder.load).toEqual(idle);
    response.on('error', () => {});
    response.destroy();
  });

  it('is not one that waits for an earlier answer of its own connection', async () => {
    const origin = await upstream((request, response) => {
      if (request.url === '/second') response.end(`${'.'.repeat(1_000_000)}second`);
      else setTimeout(() => response.end('first'), 200);
    });
    const { port, results } = await gate(origin, { bounds: { clientStallMaxMs: 20 } });
    const text = await speak(port, 'GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(text).toMatch(/first[\s\S]+second$/);
    expect(results.map(({ outcome }) => outcome)).toEqual(['relayed', 'relayed']);
  });

  it('by no longer reading the end of an answer is cut off as well', async () => {
    let closed = false;
    const { port, nextResult, forwarder } = await gate(await upstream((_, response) => response.end('the end')), {
      bounds: { clientStallMaxMs: 100 },
      before: (_, response) => {
        response.on('close', () => {
          closed = true;
        });
        // Fills all buffers on the way, so that the answer cannot leave.
        response.socket?.write(Buffer.alloc(32 * 1024 * 1024));
      },
    });
    const socket = connect(port, '127.0.0.1').pause();
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await nextResult()).toEqual({ outcome: 'relayed', status: 200, bytes: 7 });
    expect(forwarder.load).toEqual(idle);
    expect(closed).toBe(false);
    await becomes(() => closed);
    socket.destroy();
  });
});

describe('an upstream', () => {
  it('that nobody listens for is unreachable, and nothing ran', async () => {
    const closed = createServer();
    const port = await listen(closed);
    await new Promise((resolve) => closed.close(resolve));
    const proxy = await gate(`http://127.0.0.1:${port}`);
    for (let i = 0; i < 3; i++) expect(await ask(proxy.port)).toMatchObject({ status: 502, text: 'unreachable' });
    expect(proxy.results[0]).toMatchObject({ failure: 'unreachable', mayHaveRun: false, answered: false, status: null, bytes: 0 });
    expect(proxy.forwarder.load).toEqual(idle);
  });

  it.each([
    ['closes before it answers', ''],
    ['answers what is not HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['contradicts itself about the length', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
    ['gives both a length and chunks', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
    ['asks to go on when nobody asked it to', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['switches protocols unasked', 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n'],
    ['has an endless head', `HTTP/1.1 200 OK\r\nX-Much: ${'x'.repeat(40_000)}\r\n\r\n`],
  ])('that %s is broken, and the client gets an answer of ours', async (_, text) => {
    const origin = await rawUpstream((socket) => void socket.once('data', () => socket.end(text)));
    const { port, results, forwarder } = await gate(origin);
    expect(await ask(port)).toMatchObject({ status: 502, text: 'broken' });
    expect(results[0]).toMatchObject({ failure: 'broken', mayHaveRun: true, answered: false });
    expect(forwarder.load).toEqual(idle);
  });

  it.each([
    ['a known length', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n'],
  ])('that breaks off an answer with %s breaks off the client too, which cannot take it for whole', async (_, text) => {
    const origin = await rawUpstream((socket) => void socket.once('data', () => socket.end(text)));
    const { port, nextResult, forwarder } = await gate(origin);
    const response = await open(port);
    await expect(bytesOf(response)).rejects.toThrow(/aborted|reset/i);
    expect(await nextResult()).toMatchObject({ failure: 'broken', answered: true, status: 200, bytes: 10 });
    expect(forwarder.load).toEqual(idle);
  });

  it('that dies in the middle of an upload is answered for', async () => {
    const origin = await rawUpstream((socket) => void socket.once('data', () => socket.destroy()));
    const { port, forwarder } = await gate(origin, { streamBody: true });
    const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', headers: { 'content-length': '1000000' }, agent: false });
    request.write('the beginning');
    const answered = once(request, 'response') as Promise<[IncomingMessage]>;
    await becomes(() => forwarder.load.running === 1);
    // The connection is found broken by the next part that is sent.
    const feeding = setInterval(() => request.write('more'), 1);
    const [response] = await answered;
    clearInterval(feeding);
    expect(response.statusCode).toBe(502);
    expect((await bytesOf(response)).toString()).toBe('broken');
    expect(forwarder.load).toEqual(idle);
    request.on('error', () => {}).destroy();
  });

  it('that never answers, or falls silent, is given up after its time', async () => {
    const origin = await upstream((request, response) => {
      if (request.url === '/silent') response.write('the beginning');
    });
    const { port, results, forwarder, nextResult } = await gate(origin, { bounds: { headMaxMs: 150, silenceMaxMs: 150 } });
    expect(await ask(port)).toMatchObject({ status: 502, text: 'timeout' });
    expect(await nextResult()).toMatchObject({ failure: 'timeout', mayHaveRun: true, answered: false });
    await expect(ask(port, { path: '/silent' })).rejects.toThrow();
    expect(await nextResult()).toMatchObject({ failure: 'timeout', answered: true, bytes: 13 });
    expect(results).toHaveLength(2);
    expect(forwarder.load).toEqual(idle);
  });

  it('that closes an unused connection costs the next request nothing', async () => {
    let connections = 0;
    const origin = await rawUpstream((socket) => {
      connections++;
      socket.once('data', () => {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        setImmediate(() => socket.destroy());
      });
    });
    const { port } = await gate(origin, { bounds: { connectionsMax: 1 } });
    for (let i = 0; i < 20; i++) expect((await ask(port)).text).toBe('ok');
    expect(connections).toBe(20);
  });

  it('is never sent a request twice', async () => {
    let received = 0;
    const origin = await rawUpstream((socket) => {
      socket.on('data', () => {
        received++;
        // The first is answered; the second finds the connection closed under it.
        if (received === 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        else socket.destroy();
      });
    });
    const { port, results } = await gate(origin, { bounds: { connectionsMax: 1 } });
    expect((await ask(port)).text).toBe('ok');
    expect(await ask(port)).toMatchObject({ status: 502, text: 'broken' });
    expect(results[1]).toMatchObject({ mayHaveRun: true });
    expect(received).toBe(2);
  });
});

describe('many at once', () => {
  it('use as many connections as allowed, wait in order, and are refused beyond that', async () => {
    const order: string[] = [];
    const pending: ServerResponse[] = [];
    const origin = await upstream((request, response) => {
      order.push(request.url ?? '');
      pending.push(response);
    });
    const { port, forwarder } = await gate(origin, { bounds: { connectionsMax: 2, queueMax: 2 } });
    const answers: ReturnType<typeof ask>[] = [];
    for (let i = 1; i <= 4; i++) {
      answers.push(ask(port, { path: `/${i}` }));
      await becomes(() => forwarder.load.running + forwarder.load.queued === i);
    }
    await becomes(() => pending.length === 2);
    expect(forwarder.load).toEqual({ running: 2, queued: 2 });
    expect(await ask(port, { path: '/5' })).toMatchObject({ status: 502, text: 'busy' });
    for (let i = 0; i < 4; i++) {
      await becomes(() => pending.length > i);
      pending[i]?.end(`answer ${i}`);
    }
    await Promise.all(answers);
    expect(order.slice(0, 2).toSorted()).toEqual(['/1', '/2']);
    expect(order.slice(2)).toEqual(['/3', '/4']);
    expect(forwarder.load).toEqual(idle);
  });

  it('do not wait for ever', async () => {
    const { port, nextResult, forwarder } = await gate(await upstream(() => {}), { bounds: { connectionsMax: 1, queueMaxMs: 50 } });
    const first = connect(port, '127.0.0.1');
    first.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await becomes(() => forwarder.load.running === 1);
    expect(await ask(port)).toMatchObject({ status: 502, text: 'busy' });
    expect(await nextResult()).toMatchObject({ failure: 'busy', mayHaveRun: false });
    first.destroy();
    await becomes(() => forwarder.load.running === 0);
  });
});

describe('a cut', () => {
  it('ends what is under way, at every stage, and what comes later', async () => {
    const cut = new AbortController();
    let isStreaming = false;
    const origin = await upstream((request, response) => {
      if (request.url === '/stream') isStreaming = response.write('data: 1\n\n');
    });
    const { port, results, forwarder } = await gate(origin, { signal: cut.signal, bounds: { connectionsMax: 2 } });
    const stream = await open(port, { path: '/stream' });
    const streamed = bytesOf(stream);
    const headless = ask(port);
    await becomes(() => forwarder.load.running === 2 && isStreaming);
    const queued = ask(port);
    await becomes(() => forwarder.load.queued === 1);
    cut.abort();
    await expect(streamed).rejects.toThrow();
    expect(await headless).toMatchObject({ status: 502, text: 'cut' });
    expect(await queued).toMatchObject({ status: 502, text: 'cut' });
    expect(await ask(port)).toMatchObject({ status: 502, text: 'cut' });
    await becomes(() => results.length === 4);
    expect(results.map((result) => result.outcome === 'failed' && [result.failure, result.mayHaveRun, result.answered])).toEqual(
      expect.arrayContaining([
        ['cut', true, true],
        ['cut', true, false],
        ['cut', false, false],
        ['cut', false, false],
      ]),
    );
    expect(forwarder.load).toEqual(idle);
  });

  it('by closing the forwarder ends everything', async () => {
    const { port, results, forwarder } = await gate(await upstream(() => {}), { bounds: { connectionsMax: 1 } });
    const answers = [ask(port), ask(port)];
    await becomes(() => forwarder.load.queued === 1);
    await forwarder.close();
    expect((await Promise.all(answers)).map(({ text }) => text)).toEqual(['cut', 'cut']);
    expect(await ask(port)).toMatchObject({ text: 'cut' });
    expect(results).toHaveLength(3);
    expect(forwarder.load).toEqual(idle);
  });

  it('leaves nothing behind on a signal that outlives its calls', async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++;
      add(...args);
    };
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--;
      remove(...args);
    };
    const { port } = await gate(await upstream((_, response) => response.end('ok')), { signal });
    for (let i = 0; i < 3; i++) await ask(port);
    expect(listeners).toBe(0);
  });
});

describe('collecting', () => {
  const get = { method: 'GET', path: '/', rawHeaders: [], body: null };

  it('answers with status, end-to-end headers and the whole body', async () => {
    const { forwarder } = await gate(
      await upstream((_, response) => {
        response.writeHead(201, { 'content-type': 'application/json', 'alt-svc': 'h3=":443"' });
        response.write('{"a":');
        setImmediate(() => response.end('1}'));
      }),
    );
    const answer = await forwarder.collect(get, 100);
    expect(answer).toMatchObject({ outcome: 'collected', status: 201 });
    if (answer.outcome !== 'collected') return;
    expect(answer.body.toString()).toBe('{"a":1}');
    expect(namesIn([...answer.headers])).toContain('content-type');
    expect(namesIn([...answer.headers])).not.toContain('alt-svc');
  });

  it('takes no more than allowed', async () => {
    const { forwarder } = await gate(
      await upstream((request, response) => void (request.url === '/' ? response.end('x'.repeat(101)) : response.write('x'.repeat(101)))),
    );
    expect(await forwarder.collect(get, 100)).toMatchObject({ outcome: 'failed', failure: 'too_large', answered: false });
    expect(await forwarder.collect({ ...get, path: '/chunked' }, 100)).toMatchObject({ failure: 'too_large', mayHaveRun: true });
    expect(await forwarder.collect(get, 101)).toMatchObject({ outcome: 'collected' });
    await becomes(() => forwarder.load.running === 0);
  });
});
