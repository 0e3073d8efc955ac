/**
 * Control and proxy in this process, with a way out that the test holds: which addresses a name has, and which server stands at an address.
 * Everything else is the product.
 */
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { startControl } from '../../control/main.ts';
import { DEFAULT_BOUNDS, type ProxyBounds } from '../../proxy/config.ts';
import { startProxy } from '../../proxy/main.ts';
import { until } from '../support/world.ts';

const ADMIN = 'admin-token-0123456789';
export const PUBLIC = '93.184.216.34';
export const OTHER_PUBLIC = '2606:2800:220:1:248:1893:25c8:1946';

export interface Answered<T = Record<string, unknown>> {
  status: number;
  body: T;
}
export type Doors = Awaited<ReturnType<typeof startDoors>>;

export async function startDoors(bounds: Partial<ProxyBounds> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'mc-egress-'));
  const log = pino({ level: 'silent' });
  const base = { host: '127.0.0.1', port: 0, clusterSecret: 'cluster-secret-0123456789' };
  const control = await startControl(
    {
      ...base,
      dataDir: join(folder, 'data'),
      keyDir: join(folder, 'keys'),
      adminToken: ADMIN,
      redisUrl: null,
      openclaw: null,
      allowCommands: false,
      keepDays: 30,
      dashboardDir: folder,
      version: 'test',
    },
    log,
    Date.now,
  );
  /** Name → the answers of the resolver, one for each time it is asked; the last one stays. */
  const names = new Map<string, string[][]>();
  /** "address:port" → a port on loopback. */
  const servers = new Map<string, number>();
  const resolved: string[] = [];
  const dialled: string[] = [];
  const network = {
    resolve: async (host: string) => {
      resolved.push(host);
      const answers = names.get(host);
      const answer = answers !== undefined && answers.length > 1 ? answers.shift() : answers?.[0];
      if (answer === undefined) throw new Error('ENOTFOUND');
      return answer;
    },
    dial: (address: string, port: number): Socket => {
      dialled.push(`${address}:${port}`);
      return connect({ host: '127.0.0.1', port: servers.get(`${address}:${port}`) ?? 9, allowHalfOpen: true });
    },
  };
  /** How far the proxy's clock is ahead, milliseconds. */
  const time = { aheadMs: 0 };
  const proxy = await startProxy(
    {
      ...base,
      egressPort: 0,
      journalDir: join(folder, 'journal'),
      controlUrl: control.url,
      metricsToken: null,
      redisUrl: null,
      hostNames: [],
      bounds: { ...DEFAULT_BOUNDS, ...bounds },
    },
    log,
    () => Date.now() + time.aheadMs,
    network,
  );

  async function ask<T>(base: string, token: string, method: string, path: string, body?: unknown): Promise<Answered<T>> {
    const response = await fetch(`${base}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? null : JSON.parse(text)) as T };
  }
  const api = <T = Record<string, unknown>>(method: string, path: string, body?: unknown) =>
    ask<T>(control.url, ADMIN, method, `/api${path}`, body);

  const picture = () => proxy.core.snapshot.current(Date.now());

  async function newAgent(fields: Record<string, unknown> = {}) {
    const name = `agent-${Math.random().toString(36).slice(2, 10)}`;
    const created = await api<{ id: string }>('POST', '/agents', { name, autonomyLevel: 'specialist', workspace: '/workspace', ...fields });
    const issued = await api<{ token: string }>('POST', `/agents/${created.body.id}/tokens`, {});
    // On a busy machine control may answer before the proxy has heard of it.
    const digest = hash('sha256', issued.body.token);
    await until(
      () => picture()?.agentByToken(digest),
      (agent) => agent !== undefined,
    );
    return { id: created.body.id, name, token: issued.body.token };
  }

  async function usePolicy(patch: Record<string, unknown>): Promise<void> {
    const made = await api<{ id: string; version: string }>('POST', '/policies', { patch, note: 'test' });
    const activate = (more: object = {}) =>
      api<{ code?: string; redFlips?: { count: number } }>('POST', `/policies/${made.body.id}/activate`, { note: 'test', ...more });
    const asked = await activate();
    // Red calls that earlier tests made would be let run: that is confirmed with their number.
    const active = asked.body.code === 'RED_FLIPS' ? await activate({ confirmRedFlips: asked.body.redFlips?.count }) : asked;
    if (active.status !== 200) throw new Error(JSON.stringify([made.body, active.body]));
    await until(
      () => picture()?.policyVersion,
      (version) => version === made.body.version,
    );
  }

  /** The calls of an agent once they satisfy. */
  async function calls(agentId: string, isIt: (items: CallItem[]) => boolean): Promise<CallItem[]> {
    const page = await until(
      () => api<{ items: CallItem[] }>('GET', `/tool-calls?agentId=${agentId}`),
      (answer) => isIt(answer.body.items),
    );
    return page.body.items;
  }

  return {
    egressUrl: proxy.egressUrl ?? '',
    gateUrl: proxy.url,
    journal: proxy.core.journal,
    clusterSecret: base.clusterSecret,
    time,
    names,
    servers,
    resolved,
    dialled,
    api,
    gate: <T = Record<string, unknown>>(token: string, method: string, path: string, body?: unknown) =>
      ask<T>(proxy.url, token, method, path, body),
    newAgent,
    usePolicy,
    calls,
    close: async () => {
      await proxy.close();
      await control.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export interface CallItem {
  id: string;
  tool: string;
  entry: string;
  status: string;
  output: string | null;
  error: string | null;
  reasons: { code: string }[];
  input: Record<string, unknown>;
}

/** A TCP server on loopback. @returns its port and its end. */
export async function listenTcp(
  onSocket: (socket: Socket) => void,
): Promise<{ port: number; sockets: Set<Socket>; close: () => Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.on('close', () => sockets.delete(socket));
    onSocket(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    sockets,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface Tunnel {
  status: number;
  head: string;
  /** Of a refusal. */
  body: Record<string, unknown> & { code?: string; approvalId?: string };
  socket: Socket;
  /** What came through it so far. */
  received: () => string;
  closed: Promise<void>;
}

/** Asks the egress proxy for a tunnel. @param authorization the whole header value; null = none. */
export async function openTunnel(egressUrl: string, target: string, authorization: string | null, more = ''): Promise<Tunnel> {
  const { hostname, port } = new URL(egressUrl);
  const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  socket.on('error', () => {});
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n${authorization === null ? '' : `proxy-authorization: ${authorization}\r\n`}${more}\r\n`,
  );
  const isHeadDone = () => text.includes('\r\n\r\n');
  await until(isHeadDone, (done) => done || socket.destroyed, 15_000);
  const end = text.indexOf('\r\n\r\n') + 4;
  const head = text.slice(0, end);
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0);
  let body: Tunnel['body'] = {};
  if (status !== 200) {
    const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0);
    await until(
      () => text.length - end,
      (size) => size >= length,
    );
    if (length > 0) body = JSON.parse(text.slice(end)) as Tunnel['body'];
    socket.destroy();
  }
  return { status, head, body, socket, received: () => text.slice(end), closed };
}

export const bearer = (token: string) => `Bearer ${token}`;
export const basic = (name: string, token: string) => `Basic ${Buffer.from(`${name}:${token}`).toString('base64')}`;
