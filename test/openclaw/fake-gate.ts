import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What the gate is told to answer. `cut` breaks the connection, `silence` never answers. */
export type Scripted = { status: number; body: unknown; headers?: Record<string, string> } | 'cut' | 'silence';

/** A request as it arrived. */
export interface Seen {
  method: string;
  path: string;
  authorization: string | undefined;
  body: Record<string, unknown>;
}

interface Held {
  decided: Scripted | null;
  wake: Set<() => void>;
}

/**
 * A Mission Control proxy of paper: speaks the gate's interface on a real port, answers what a test tells it, can be cut off
 * and come back on the same port, and remembers everything that it was asked. Holds outlive a restart, as the real ones do.
 */
export class FakeGate {
  readonly seen: Seen[] = [];
  /** How a new call is answered. The default allows it. */
  onCall: (body: Record<string, unknown>) => Scripted = (body) => this.allow(String(body.callId ?? 'none'));
  onRunCheck: (body: Record<string, unknown>) => Scripted = () => ({ status: 200, body: { allowed: true, reasons: [], message: '' } });
  onOutcome: (id: string) => Scripted = () => ({ status: 200, body: {} });
  onHeartbeat: () => Scripted = () => ({ status: 200, body: {} });
  /** What a poll of a call that nobody has decided answers when its wait is over. */
  onPollOver: (id: string) => Scripted = (id) => this.held(id);
  readonly #held = new Map<string, Held>();
  readonly #watchers = new Set<() => void>();
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #port = 0;

  static async start(): Promise<FakeGate> {
    const gate = new FakeGate();
    await gate.start();
    return gate;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => void this.#serve(request, response));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** As kill -9 would: every connection breaks. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  allow(id: string, edited?: Record<string, unknown>): Scripted {
    const body = { id: `tc-${id}`, verdict: 'allow', risk: 'green', reasons: [], ...(edited === undefined ? {} : { arguments: edited }) };
    return { status: 200, body };
  }

  /** Opens a hold and answers it; `id` as the caller will poll it. */
  hold(id: string): Scripted {
    if (!this.#held.has(id)) this.#held.set(id, { decided: null, wake: new Set() });
    return this.held(id);
  }

  held(id: string, more: Record<string, unknown> = {}): Scripted {
    return {
      status: 202,
      body: {
        id,
        verdict: 'hold',
        risk: 'red',
        approvalId: `ap-${id}`,
        approvalNumber: 41,
        waiting: true,
        message: 'held',
        reasons: [],
        retryAfterMs: 1_000,
        ...more,
      },
    };
  }

  deny(id: string, message: string, ...codes: string[]): Scripted {
    const reasons = codes.map((code) => ({ code, message, policyPath: 'rules' }));
    return { status: 403, body: { id, verdict: 'deny', risk: 'red', reasons, message } };
  }

  /** The person decides: everybody who polls this call gets this answer, now and later. */
  decide(id: string, answer: Scripted): void {
    const held = this.#held.get(id);
    if (held === undefined) throw new Error(`nothing is held as ${id}`);
    held.decided = answer;
    for (const wake of held.wake) wake();
  }

  /** Resolves with the first request that matches, also when it has already arrived. */
  async asked(matches: (seen: Seen) => boolean, count = 1): Promise<Seen> {
    for (;;) {
      const found = this.seen.filter(matches)[count - 1];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        const watch = () => {
          this.#watchers.delete(watch);
          resolve();
        };
        this.#watchers.add(watch);
      });
    }
  }

  count(method: string, path: RegExp): number {
    return this.seen.filter((seen) => seen.method === method && path.test(seen.path)).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const raw = Buffer.concat(chunks).toString('utf8');
    const body = raw === '' ? {} : (JSON.parse(raw) as Record<string, unknown>);
    const path = request.url ?? '';
    const method = request.method ?? '';
    this.seen.push({ method, path, authorization: request.headers.authorization, body });
    for (const watch of [...this.#watchers]) watch();
    const answer = await this.#answer(method, path, body, response);
    if (answer === 'silence') return;
    if (answer === 'cut') {
      request.socket.destroy();
      return;
    }
    const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
    response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
    response.end(text);
  }

  async #answer(method: string, path: string, body: Record<string, unknown>, response: ServerResponse): Promise<Scripted> {
    if (path === '/v1/tool-calls') return this.onCall(body);
    if (path === '/v1/runs/check') return this.onRunCheck(body);
    if (path === '/v1/runs/end' || path === '/v1/spawns' || path === '/v1/unasked') return { status: 200, body: { ok: true } };
    if (path === '/v1/heartbeats') return this.onHeartbeat();
    const [, id = '', rest = ''] = /^\/v1\/tool-calls\/([^/?]+)(.*)$/.exec(path) ?? [];
    if (rest.startsWith('/outcome')) return this.onOutcome(id);
    if (rest.startsWith('/cancel')) return { status: 200, body: {} };
    const held = this.#held.get(id);
    if (method !== 'GET' || held === undefined) return { status: 404, body: { title: 'Not found' } };
    const waitMs = Number(new URL(path, 'http://gate').searchParams.get('waitMs'));
    if (held.decided === null && waitMs > 0) await this.#wait(held, waitMs, response);
    return held.decided ?? this.onPollOver(id);
  }

  async #wait(held: Held, waitMs: number, response: ServerResponse): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        held.wake.delete(done);
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      held.wake.add(done);
      response.once('close', done);
    });
  }
}
