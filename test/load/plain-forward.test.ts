import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Control, startControl } from '../../control/main.ts';
import { createPlainForward } from '../../load/plain-forward.ts';
import { DEFAULT_BOUNDS } from '../../proxy/config.ts';
import { DEFAULT_FORWARD_BOUNDS, Forwarder } from '../../proxy/forward.ts';
import { type Proxy as RunningProxy, startProxy } from '../../proxy/main.ts';
import { until } from '../support/world.ts';

const ADMIN = 'admin-token-0123456789';
const folder = mkdtempSync(join(tmpdir(), 'mc-forward-'));
const log = pino({ level: 'silent' });

/** What the upstream received, and how it answers the next request. */
const received: { headers: IncomingMessage['headers']; body: string }[] = [];
let respond: RequestListener = () => {};

let control: Control;
let proxy: RunningProxy;
let forwarder: Forwarder;
let upstream: Server;
let gate: Server;
let token: string;

beforeAll(async () => {
  upstream = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    received.push({ headers: request.headers, body });
    respond(request, response);
  }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const base = { host: '127.0.0.1', port: 0, clusterSecret: 'cluster-secret-0123456789' };
  control = await startControl(
    {
      ...base,
      dataDir: join(folder, 'data'),
      keyDir: join(folder, 'keys'),
      adminToken: ADMIN,
      redisUrl: null,
      openclaw: null,
      allowCommands: false,
      keepDays: 0,
      dashboardDir: folder,
      version: 'test',
    },
    log,
    Date.now,
  );
  proxy = await startProxy(
    {
      ...base,
      journalDir: join(folder, 'journal'),
      controlUrl: control.url,
      redisUrl: null,
      metricsToken: null,
      hostNames: [],
      bounds: DEFAULT_BOUNDS,
    },
    log,
    Date.now,
  );
  const { id } = await api('POST', '/agents', { name: 'poster', autonomyLevel: 'specialist', workspace: '/workspace' });
  token = String((await api('POST', `/agents/${id}/tokens`, {})).token);
  forwarder = new Forwarder(
    {
      origin: `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`,
      setHeaders: ['authorization', 'Bearer upstream-secret'],
      removeHeaders: [],
    },
    DEFAULT_FORWARD_BOUNDS,
  );
  gate = createPlainForward({ core: proxy.core, forwarder, clock: Date.now, bounds: DEFAULT_BOUNDS }).listen(0, '127.0.0.1');
  await once(gate, 'listening');
});
beforeEach(() => {
  received.length = 0;
  respond = (_, response) => response.end('{"posted":true}');
});
afterAll(async () => {
  gate?.close().closeAllConnections();
  await forwarder?.close();
  await proxy?.close();
  await control?.close();
  upstream?.close().closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

async function api(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
  const response = await fetch(`${control.url}/api${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  return (await response.json()) as Record<string, unknown>;
}

async function post(body: string, credential = token) {
  const { port } = gate.address() as AddressInfo;
  const response = await fetch(`http://127.0.0.1:${port}/comments?draft=1`, {
    method: 'POST',
    headers: { authorization: `Bearer ${credential}`, 'content-type': 'application/json' },
    body,
  });
  return { status: response.status, text: await response.text() };
}

/** The newest record of a call. */
async function lastRecord(): Promise<Record<string, unknown>> {
  const { items } = (await api('GET', '/tool-calls?limit=1')) as { items: Record<string, unknown>[] };
  return items[0] ?? {};
}

describe('a governed plain forward', () => {
  it('carries the very bytes that were judged, under the secret of the upstream, and records the answer', async () => {
    const body = '{ "text":"spaced  oddly",\n"n": 1.0 }';
    expect(await post(body)).toEqual({ status: 200, text: '{"posted":true}' });
    expect(received).toMatchObject([{ body, headers: { authorization: 'Bearer upstream-secret' } }]);
    expect(JSON.stringify(received)).not.toContain(token);
    const record = await until(lastRecord, ({ status }) => status === 'success');
    expect(record).toMatchObject({ entry: 'http', tool: 'post_comment', risk: 'green', verdict: 'allow' });
    expect(await api('GET', `/tool-calls/${record.id}`)).toMatchObject({
      output: '{"posted":true}',
      input: { text: 'spaced  oddly', n: 1 },
    });
  });

  it('forwards nothing for a wrong token or a call that is not allowed', async () => {
    expect((await post('{}', 'mca_wrong')).status).toBe(401);
    const credential = `mca_${randomBytes(24).toString('base64url')}`;
    const held = await post(JSON.stringify({ text: `the key is ${credential}` }));
    expect(held.status).toBe(403);
    expect(held.text).toContain('SECRETS');
    expect(received).toEqual([]);
  });

  it('answers for an upstream that breaks, and records that', async () => {
    respond = (request) => request.socket.destroy();
    expect((await post('{"text":"breaks"}')).status).toBe(502);
    const record = await until(lastRecord, ({ status }) => status === 'failed');
    expect((await api('GET', `/tool-calls/${record.id}`)).error).toContain('closed');
  });

  it('records a call whose client left as failed, and is idle again', async () => {
    const aborted = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    respond = (_, response) => {
      arrived.resolve();
      response.on('close', () => aborted.resolve());
    };
    const body = '{"text":"gone"}';
    const request = httpRequest({ host: '127.0.0.1', port: (gate.address() as AddressInfo).port, method: 'POST', path: '/' });
    request.setHeader('authorization', `Bearer ${token}`).on('error', () => {});
    request.end(body);
    await arrived.promise;
    request.destroy();
    await aborted.promise;
    const record = await until(lastRecord, ({ status, summary }) => status === 'failed' && String(summary).includes('gone'));
    expect((await api('GET', `/tool-calls/${record.id}`)).error).toContain('client left');
    expect(forwarder.load).toEqual({ running: 0, queued: 0 });
  });
});
