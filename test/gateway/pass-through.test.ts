import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

/** An OpenClaw gateway's surface as far as it matters here: what it was asked, answers by path, and a WebSocket that says back. */
let gateway: Server;
let sockets: WebSocketServer;
let gatewayUrl: string;
const seen: { method: string; url: string; headers: IncomingHttpHeaders; body: string }[] = [];
const waiting: ServerResponse[] = [];
let abortedAt = 0;
let world: World;
let gatewayId: string;

beforeAll(async () => {
  gateway = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
    if (url.startsWith('/moved'))
      response.writeHead(302, { location: url.includes('out') ? 'https://docs.example/' : '/login?next=1' }).end();
    else if (url.startsWith('/cookies')) response.writeHead(200, { 'set-cookie': ['mc_session=forged; Path=/', 'ui=1; Path=/'] }).end('ok');
    else if (url.startsWith('/events')) {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: first\n\n');
      response.on('close', () => {
        abortedAt = Date.now();
      });
      waiting.push(response);
    } else response.writeHead(200, { 'content-type': 'text/plain' }).end(`you asked for ${url}`);
  });
  sockets = new WebSocketServer({ server: gateway });
  sockets.on('connection', (socket, request) => {
    // The operator link of control comes here as well, and again whenever it likes: it is not what is passed on.
    if (request.headers['user-agent'] !== 'node')
      seen.push({ method: 'WebSocket', url: request.url ?? '', headers: request.headers, body: '' });
    socket.on('error', () => {});
    socket.on('message', (data) => socket.send(`back: ${data}`));
  });
  gateway.listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  gatewayUrl = `ws://127.0.0.1:${(gateway.address() as AddressInfo).port}`;
  world = await startWorld();
  const made = await world.api<{ id: string }>('POST', '/gateways', { name: 'main', url: gatewayUrl, token: 'operator-token-of-openclaw' });
  gatewayId = made.body.id;
});
afterAll(async () => {
  await world.close();
  for (const client of sockets.clients) client.terminate();
  sockets.close();
  gateway.close().closeAllConnections();
});
beforeEach(() => {
  seen.length = 0;
});

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}
/** A request with the headers as given, which fetch does not allow. */
function ask(path: string, headers: Record<string, string> = {}, method = 'GET', body = '', base = world.gateUrl): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${base}${path}`, { method, headers }, async (response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() });
    });
    request.on('error', reject).end(body);
  });
}
const ticket = async (token?: string) => (await world.api<{ url: string }>('POST', `/gateways/${gatewayId}/passes`, {}, token)).body.url;
const pathOf = (url: string) => url.slice(new URL(url).origin.length);
/** The cookie of a fresh pass. */
async function enter(token?: string): Promise<string> {
  const answer = await ask(pathOf(await ticket(token)));
  expect([answer.status, answer.headers.location]).toEqual([303, '/openclaw/']);
  return answer.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
}
const origin = () => new URL(world.gateUrl).origin;

interface AuditRow {
  action: string;
  actorId: string | null;
  actorType: string;
  details: Record<string, unknown>;
}
async function connections(isIt: (rows: AuditRow[]) => boolean): Promise<AuditRow[]> {
  const page = await until(
    () => world.api<{ items: AuditRow[] }>('GET', '/audit?limit=500'),
    (answer) => isIt(answer.body.items.filter((row) => row.action.startsWith('connection.'))),
  );
  return page.body.items.filter((row) => row.action.startsWith('connection.'));
}

describe('the way in', () => {
  it('is a ticket that opens once, and a cookie that only this listener and path get', async () => {
    const url = await ticket();
    expect(url.startsWith(`${world.gateUrl}/openclaw/?mc-ticket=mcp_`)).toBe(true);
    const first = await ask(pathOf(url));
    expect(first.status).toBe(303);
    expect(first.headers['set-cookie']?.[0]).toMatch(/^mc_openclaw=[\w-]{43}; Path=\/openclaw; HttpOnly; SameSite=Strict; Max-Age=\d{4}$/);
    const second = await ask(pathOf(url));
    expect([second.status, JSON.parse(second.body).code]).toEqual([401, 'TICKET_INVALID']);
    const made = await ask('/openclaw/?mc-ticket=mcp_made-up');
    expect(made.status).toBe(401);
    expect(seen).toEqual([]);
  });

  it('behind TLS under a name of its own: the address is that name, and the cookie is for https only', async () => {
    const own = await startWorld({ MC_PROXY_URL: 'https://mc.example/', MC_HOST_NAMES: 'mc.example' });
    try {
      const made = await own.api<{ id: string }>('POST', '/gateways', { name: 'main', url: gatewayUrl, token: 't' });
      const { url } = (await own.api<{ url: string }>('POST', `/gateways/${made.body.id}/passes`, {})).body;
      expect(url.startsWith('https://mc.example/openclaw/?mc-ticket=')).toBe(true);
      const host = { host: 'mc.example' };
      const cookie = (await ask(pathOf(url), host, 'GET', '', own.gateUrl)).headers['set-cookie']?.[0] ?? '';
      expect(cookie).toMatch(/; Secure$/);
      const headers = { ...host, cookie: cookie.split(';')[0] ?? '', origin: 'https://mc.example' };
      expect((await ask('/openclaw/x', headers, 'POST', '', own.gateUrl)).status).toBe(200);
      expect((await ask('/openclaw/x', { ...headers, origin: 'https://evil.example' }, 'POST', '', own.gateUrl)).status).toBe(403);
    } finally {
      await own.close();
    }
  }, 120_000);

  it('keeps what else stood in the address, and leads nowhere else', async () => {
    const url = new URL(await ticket());
    const answer = await ask(`/openclaw//evil.example/x?a=1&${url.search.slice(1)}&b=2`);
    expect(answer.headers.location).toBe('/openclaw//evil.example/x?a=1&b=2');
  });

  it('is for administrators: lower roles get no ticket, nobody gets in by a token or without a cookie', async () => {
    const operator = await world.api<{ token: string }>('POST', '/operators', { name: 'an operator', role: 'operator' });
    expect((await world.api('POST', `/gateways/${gatewayId}/passes`, {}, operator.body.token)).status).toBe(403);
    const agent = await newAgent(world);
    expect((await world.api('POST', `/gateways/${gatewayId}/passes`, {}, agent.token)).status).toBe(403);
    const issued = await world.api<{ token: string }>('POST', `/gateways/${gatewayId}/tokens`, {});
    const cookie = await enter();
    for (const token of [agent.token, issued.body.token]) {
      for (const headers of [
        { authorization: `Bearer ${token}` },
        { authorization: `Bearer ${token}`, cookie },
        { 'x-api-key': token, cookie },
      ]) {
        const refused = await ask('/openclaw/x', headers as unknown as Record<string, string>);
        expect([refused.status, JSON.parse(refused.body).code]).toEqual([403, 'PEOPLE_ONLY']);
      }
    }
    expect((await ask('/openclaw/x', { authorization: 'Bearer test-admin-token-0123456789' })).status).toBe(401);
    expect((await ask('/openclaw/x')).status).toBe(401);
    expect((await ask('/openclaw/x', { cookie: 'mc_openclaw=made-up' })).status).toBe(401);
    expect((await ask('/openclaw/x', { cookie: `${cookie}; mc_openclaw=another` })).status).toBe(401);
    expect(seen).toEqual([]);
  });

  it('ends with the session that opened it, and with the role', async () => {
    const admin = await world.api<{ id: string; token: string }>('POST', '/operators', { name: 'second admin', role: 'admin' });
    const byToken = await enter(admin.body.token);
    expect((await ask('/openclaw/x', { cookie: byToken })).status).toBe(200);
    const signedIn = await fetch(`${world.controlUrl}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: admin.body.token }),
    });
    const { csrfToken } = (await signedIn.json()) as { csrfToken: string };
    const session = { cookie: signedIn.headers.getSetCookie()[0]?.split(';')[0] ?? '', 'x-mc-csrf': csrfToken };
    const asked = await fetch(`${world.controlUrl}/api/gateways/${gatewayId}/passes`, { method: 'POST', headers: session });
    const bySession = (await ask(pathOf(((await asked.json()) as { url: string }).url))).headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    expect((await ask('/openclaw/x', { cookie: bySession })).status).toBe(200);
    await fetch(`${world.controlUrl}/api/session`, { method: 'DELETE', headers: session });
    const statusOf = async (cookie: string) => (await ask('/openclaw/x', { cookie })).status;
    await until(
      () => statusOf(bySession),
      (status) => status === 401,
    );
    expect(await statusOf(byToken)).toBe(200);
    await world.api('PATCH', `/operators/${admin.body.id}`, { role: 'operator' });
    await until(
      () => statusOf(byToken),
      (status) => status === 401,
    );
  });
});

describe('what is passed on', () => {
  it('goes to the gateway below our path, with its operator token and nothing of ours', async () => {
    const cookie = await enter();
    const answer = await ask(
      '/openclaw/v1/models?x=1',
      {
        cookie: `mc_session=our-session; ${cookie}; ui=1`,
        origin: origin(),
        referer: `${world.gateUrl}/openclaw/`,
        'x-forwarded-for': '1.2.3.4',
        'content-type': 'application/json',
      },
      'POST',
      '{"a":1}',
    );
    expect([answer.status, answer.body]).toEqual([200, 'you asked for /v1/models?x=1']);
    const [request] = seen;
    expect(request).toMatchObject({ method: 'POST', url: '/v1/models?x=1', body: '{"a":1}' });
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer operator-token-of-openclaw',
      cookie: 'ui=1',
      host: new URL(gatewayUrl).host,
      origin: gatewayUrl.replace('ws', 'http'),
    });
    expect(JSON.stringify(request?.headers)).not.toMatch(/mc_|our-session|referer|1\.2\.3\.4/);
    const rows = await connections((items) =>
      items.some((row) => row.action === 'connection.closed' && row.details.target === 'POST /openclaw/v1/models?x=1'),
    );
    const [closed, opened] = rows.filter((row) => row.details.target === 'POST /openclaw/v1/models?x=1');
    expect(opened).toMatchObject({
      action: 'connection.opened',
      actorType: 'human',
      actorId: 'admin',
      details: { door: 'gateway', gatewayId },
    });
    expect(closed).toMatchObject({ action: 'connection.closed', details: { status: 200, bytesDown: 28, error: null } });
  });

  it('comes back below our path; redirects and cookies cannot lead out of it or into our session', async () => {
    const cookie = await enter();
    expect((await ask('/openclaw/moved', { cookie })).headers.location).toBe('/openclaw/login?next=1');
    expect((await ask('/openclaw/moved?out', { cookie })).headers.location).toBe('https://docs.example/');
    expect((await ask('/openclaw/cookies', { cookie })).headers['set-cookie']).toEqual(['ui=1; Path=/']);
    expect((await ask('/openclaw/', { cookie })).body).toBe('you asked for /');
    const bare = await ask('/openclaw?a=1', { cookie });
    expect([bare.status, bare.headers.location]).toEqual([308, '/openclaw/?a=1']);
  });

  it.each<[string, string, Record<string, string>, number]>([
    ['a page of another site', 'GET', { origin: 'https://evil.example' }, 403],
    ['the dashboard, which is another origin', 'POST', { origin: 'http://127.0.0.1:3000' }, 403],
    ['a page without an origin', 'POST', { origin: 'null' }, 403],
    ['nobody says which page', 'POST', {}, 403],
    ['another site by its own name for us', 'GET', { host: 'evil.example' }, 403],
    ['a link', 'GET', {}, 200],
  ])('%s: %s answers %s', async (_, method, headers, status) => {
    const cookie = await enter();
    expect((await ask('/openclaw/x', { cookie, ...headers }, method)).status).toBe(status);
    expect(seen).toHaveLength(status === 200 ? 1 : 0);
  });

  it('streams, and is aborted at the gateway where the browser leaves', async () => {
    const cookie = await enter();
    const request = httpRequest(`${world.gateUrl}/openclaw/events`, { headers: { cookie } });
    request.on('error', () => {}).end();
    const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream];
    const [chunk] = (await once(response, 'data')) as [Buffer];
    expect(chunk.toString()).toBe('data: first\n\n');
    const before = abortedAt;
    request.destroy();
    await until(
      () => abortedAt,
      (at) => at > before,
    );
    await connections((rows) => rows.some((row) => row.action === 'connection.closed' && row.details.target === 'GET /openclaw/events'));
  });

  it('a gateway that is away is said to be so, without its address', async () => {
    const away = await world.api<{ id: string }>('POST', '/gateways', { name: 'away', url: 'ws://127.0.0.1:9', token: 't' });
    const made = await world.api<{ url: string }>('POST', `/gateways/${away.body.id}/passes`, {});
    const cookie = (await ask(pathOf(made.body.url))).headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const answer = await ask('/openclaw/x', { cookie });
    expect([answer.status, JSON.parse(answer.body).code]).toEqual([502, 'GATEWAY_UNREACHABLE']);
    expect(answer.body).not.toContain('127.0.0.1');
    const none = await world.api<{ id: string }>('POST', '/gateways', { name: 'none' });
    expect((await world.api('POST', `/gateways/${none.body.id}/passes`, {})).status).toBe(409);
  });
});

describe('a WebSocket', () => {
  const open = (headers: Record<string, string>) => {
    const socket = new WebSocket(`${world.gateUrl.replace('http', 'ws')}/openclaw/ws?v=4`, { headers });
    const refused = new Promise<number>((resolve) => socket.on('unexpected-response', (_, response) => resolve(response.statusCode ?? 0)));
    socket.on('error', () => {});
    return { socket, refused };
  };

  it('goes both ways, carries nothing of ours, is on record, and ends at both sides', async () => {
    const cookie = await enter();
    const { socket } = open({ cookie: `mc_session=our-session; ${cookie}`, origin: origin() });
    await once(socket, 'open');
    socket.send('hello');
    const [data] = (await once(socket, 'message')) as [Buffer];
    expect(data.toString()).toBe('back: hello');
    const [request] = seen;
    expect(request).toMatchObject({ method: 'WebSocket', url: '/ws?v=4' });
    expect(request?.headers).toMatchObject({
      authorization: 'Bearer operator-token-of-openclaw',
      origin: gatewayUrl.replace('ws', 'http'),
    });
    expect(JSON.stringify(request?.headers)).not.toMatch(/mc_|our-session/);
    const before = sockets.clients.size;
    socket.terminate();
    await until(
      () => sockets.clients.size,
      (size) => size === before - 1,
    );
    const rows = await connections((items) =>
      items.some((row) => row.action === 'connection.closed' && row.details.target === 'WebSocket /openclaw/ws?v=4'),
    );
    const closed = rows.find((row) => row.action === 'connection.closed' && row.details.target === 'WebSocket /openclaw/ws?v=4');
    expect(closed?.details).toMatchObject({ door: 'gateway', status: 101 });
    expect(Number(closed?.details.bytesDown)).toBeGreaterThan(10);
  });

  it('is refused without a cookie, from another origin, without an origin, and to agents', async () => {
    const cookie = await enter();
    const agent = await newAgent(world);
    expect(await open({ origin: origin() }).refused).toBe(401);
    expect(await open({ cookie, origin: 'https://evil.example' }).refused).toBe(403);
    expect(await open({ cookie, origin: world.controlUrl }).refused).toBe(403);
    expect(await open({ cookie }).refused).toBe(403);
    expect(await open({ cookie, origin: origin(), authorization: `Bearer ${agent.token}` }).refused).toBe(403);
    expect(seen).toEqual([]);
  });

  it('ends when its pass does', async () => {
    const admin = await world.api<{ id: string; token: string }>('POST', '/operators', { name: 'third admin', role: 'admin' });
    const { socket } = open({ cookie: await enter(admin.body.token), origin: origin() });
    await once(socket, 'open');
    const closed = once(socket, 'close');
    await world.api('DELETE', `/operators/${admin.body.id}`);
    await closed;
    const rows = await connections((items) => items.some((row) => row.details.error === 'the pass ended'));
    expect(rows.find((row) => row.details.error === 'the pass ended')?.actorId).toBe(admin.body.id);
  });

  it('is not taken up anywhere else: the request is served as it is', async () => {
    const answer = await ask('/healthz', {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'x',
      'sec-websocket-version': '13',
    });
    expect([answer.status, answer.body]).toEqual([200, 'ok']);
  });
});
