import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';

export interface Asked {
  method: string;
  params: Record<string, unknown>;
}

type Reply = { payload: unknown } | { error: { code: string; message: string } } | 'silence';

/** An OpenClaw gateway of paper: the operator protocol as far as the link speaks it, on a real port that can go and come back. */
export class FakeOpenClaw {
  readonly token = 'operator-token';
  readonly asked: Asked[] = [];
  tickIntervalMs = 30_000;
  /** Sessions in which something runs, as the gateway tells those who follow them; null = it does not do that. */
  active: string[] | null = [];
  /** Does not answer who asks to follow its sessions. */
  isDeaf = false;
  /** Leaves a new connection without its challenge. */
  mute = false;
  reply: (asked: Asked) => Reply = () => ({ payload: {} });
  readonly #watchers = new Set<() => void>();
  #isFrozen = false;
  #server: WebSocketServer | null = null;
  #port = 0;

  static async start(): Promise<FakeOpenClaw> {
    const gateway = new FakeOpenClaw();
    await gateway.start();
    return gateway;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}`;
  }

  get connections(): number {
    return this.#server?.clients.size ?? 0;
  }

  async start(): Promise<void> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: this.#port });
    server.on('connection', (socket) => this.#greet(socket));
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    for (const socket of server.clients) socket.terminate();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** As a machine that sleeps: connections stay and say nothing, new ones are not greeted; what came meanwhile is read when it wakes. */
  freeze(): void {
    this.#isFrozen = true;
    for (const socket of this.#server?.clients ?? []) socket.pause();
  }

  thaw(): void {
    this.#isFrozen = false;
    for (const socket of this.#server?.clients ?? []) socket.resume();
  }

  /** Resolves with the request of that method, also when it has already arrived. */
  async request(method: string, count = 1): Promise<Asked> {
    for (;;) {
      const found = this.asked.filter((asked) => asked.method === method)[count - 1];
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

  /** Says to all who follow that something happened in a session. */
  change(payload: Record<string, unknown>): void {
    this.broadcast(JSON.stringify({ type: 'event', event: 'sessions.changed', payload }));
  }

  broadcast(frame: string): void {
    for (const socket of this.#server?.clients ?? []) socket.send(frame);
  }

  #greet(socket: WebSocket): void {
    socket.on('message', (data) => this.#receive(socket, JSON.parse(String(data)) as Asked & { id: string }));
    if (this.#isFrozen) socket.pause();
    else if (!this.mute) socket.send(JSON.stringify({ type: 'event', event: 'connect.challenge', payload: { nonce: 'n', ts: 1 } }));
  }

  #receive(socket: WebSocket, { id, method, params }: Asked & { id: string }): void {
    this.asked.push({ method, params });
    for (const watch of [...this.#watchers]) watch();
    const answer = (body: Record<string, unknown>) => socket.send(JSON.stringify({ type: 'res', id, ...body }));
    if (method === 'connect') {
      const { token } = params.auth as { token: string };
      if (token !== this.token) socket.close(1008, 'unauthorized: gateway token mismatch');
      else answer({ ok: true, payload: { protocol: 4, server: { version: '2026.9.6' }, policy: { tickIntervalMs: this.tickIntervalMs } } });
      return;
    }
    if (method === 'sessions.subscribe' && this.isDeaf) return;
    if (method === 'sessions.subscribe') {
      const list = { sessions: (this.active ?? []).map((key) => ({ key, hasActiveRun: true })), hasMore: false };
      answer(this.active === null ? { ok: false, error: { code: 'INVALID_REQUEST' } } : { ok: true, payload: { subscribed: true, list } });
      return;
    }
    const reply = this.reply({ method, params });
    if (reply === 'silence') return;
    if ('error' in reply) answer({ ok: false, error: reply.error });
    else answer({ ok: true, payload: reply.payload });
  }
}
