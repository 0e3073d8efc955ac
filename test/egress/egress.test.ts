import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { sealStop } from '../../control/stop-order.ts';
import { JournalUnavailable } from '../../proxy/journal.ts';
import { sendBytes } from '../support/wire.ts';
import { until } from '../support/world.ts';
import { basic, bearer, type Doors, listenTcp, OTHER_PUBLIC, openTunnel, PUBLIC, startDoors } from './doors.ts';

let doors: Doors;
/** Says what it hears back, in capitals. */
let echo: Awaited<ReturnType<typeof listenTcp>>;
let site: Server;
const visited: IncomingMessage[] = [];

beforeAll(async () => {
  doors = await startDoors({ egressIdleMs: 20_000, headersTimeoutMs: 1_000 });
  echo = await listenTcp((socket) => {
    socket.on('data', (chunk) => socket.write(chunk.toString().toUpperCase()));
    socket.on('end', () => socket.end('BYE'));
  });
  site = createServer((request, response) => {
    visited.push(request);
    if (request.url?.startsWith('/moved')) response.writeHead(302, { location: 'http://internal.example/' }).end();
    else if (request.url?.startsWith('/slow')) request.resume();
    else request.pipe(response);
  }).listen(0, '127.0.0.1');
  await doors.usePolicy({
    allowlists: {
      network: [
        'listed.example',
        '*.wild.example',
        'odd.example:8443',
        'http://plain.example',
        { host: 'inside.example', allowPrivate: true },
      ],
    },
  });
});
afterAll(async () => {
  await doors.close();
  await echo.close();
  site.close().closeAllConnections();
});
beforeEach(() => {
  doors.names.clear();
  doors.servers.clear();
  doors.resolved.length = 0;
  doors.dialled.length = 0;
  doors.names.set('listed.example', [[PUBLIC]]);
  doors.names.set('plain.example', [[PUBLIC]]);
  doors.servers.set(`${PUBLIC}:443`, echo.port);
  doors.servers.set(`${PUBLIC}:80`, (site.address() as AddressInfo).port);
});
afterEach(() => {
  for (const socket of echo.sockets) socket.destroy();
});

const tunnel = (token: string, target = 'listed.example:443') => openTunnel(doors.egressUrl, target, bearer(token));
const saysBack = async (open: Awaited<ReturnType<typeof tunnel>>) => {
  open.socket.write('hello');
  await until(open.received, (text) => text === 'HELLO');
};

describe('who may connect', () => {
  it('nobody without a credential of an agent or a gateway: 407 says how', async () => {
    const admin = 'admin-token-0123456789';
    for (const header of [null, bearer('mca_wrong'), basic('x', 'mca_wrong'), bearer(admin), 'Digest x', 'Basic !!!', bearer('')]) {
      const refused = await openTunnel(doors.egressUrl, 'listed.example:443', header);
      expect([refused.status, refused.body.code], String(header)).toEqual([407, 'UNAUTHENTICATED']);
      expect(refused.head).toContain('proxy-authenticate: Basic realm="Mission Control", Bearer');
    }
    expect(doors.resolved).toEqual([]);
  });

  it('an agent, with Bearer or with Basic and its token as the password', async () => {
    const agent = await doors.newAgent();
    for (const header of [bearer(agent.token), basic('', agent.token), basic('anything', agent.token)]) {
      const open = await openTunnel(doors.egressUrl, 'listed.example:443', header);
      expect(open.status).toBe(200);
      open.socket.destroy();
    }
  });

  it('a gateway for the agent that it names, or for its only one; of several it must say which', async () => {
    const gateway = await doors.api<{ id: string; token: string }>('POST', '/gateways', { name: 'several' });
    const first = await doors.newAgent({ gatewayId: gateway.body.id, externalId: 'first' });
    const alone = await openTunnel(doors.egressUrl, 'listed.example:443', bearer(gateway.body.token));
    expect(alone.status).toBe(200);
    alone.socket.destroy();
    const second = await doors.newAgent({ gatewayId: gateway.body.id, externalId: 'second' });
    const unnamed = await openTunnel(doors.egressUrl, 'listed.example:443', bearer(gateway.body.token));
    expect([unnamed.status, unnamed.body.code]).toEqual([403, 'AGENT_REQUIRED']);
    const named = await openTunnel(doors.egressUrl, 'listed.example:443', basic('second', gateway.body.token));
    expect(named.status).toBe(200);
    named.socket.destroy();
    expect(await doors.calls(first.id, (items) => items.length === 1)).toHaveLength(1);
    expect(await doors.calls(second.id, (items) => items.length === 1)).toHaveLength(1);
    const foreign = await doors.newAgent();
    expect((await openTunnel(doors.egressUrl, 'listed.example:443', basic(foreign.id, gateway.body.token))).status).toBe(403);
  });
});

describe('a tunnel', () => {
  it('goes to the address that was checked, both ways, and is on record with its bytes', async () => {
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token);
    await saysBack(open);
    open.socket.end(' and bye');
    await open.closed;
    expect(open.received()).toBe('HELLO AND BYEBYE');
    expect([doors.resolved, doors.dialled]).toEqual([['listed.example'], [`${PUBLIC}:443`]]);
    const [call] = await doors.calls(agent.id, (items) => items[0]?.status === 'success');
    expect(call).toMatchObject({ tool: 'network_call', entry: 'egress', input: { method: 'CONNECT', url: 'https://listed.example:443' } });
    expect(call?.output).toBe('CONNECT https://listed.example:443: 13 bytes up, 16 bytes down');
  });

  it('carries what the client sent along with its question', async () => {
    const agent = await doors.newAgent();
    const answer = await sendBytes(
      doors.egressUrl,
      [`CONNECT listed.example:443 HTTP/1.1\r\nhost: x\r\nproxy-authorization: Bearer ${agent.token}\r\n\r\nearly`],
      { waitMs: 1_500 },
    );
    expect(answer.text).toMatch(/^HTTP\/1\.1 200 Connection Established\r\n\r\nEARLY$/);
  });

  it.each<[string, number]>([
    ['LISTED.Example:443', 200],
    ['listed.example.:443', 200],
    ['a.wild.example:443', 200],
    ['odd.example:8443', 200],
    ['plain.example:80', 200],
    ['listed.example:22', 403],
    ['listed.example:80', 403],
    ['wild.example:443', 403],
    ['odd.example:443', 403],
    ['listed.example', 400],
    ['listed.example:', 400],
    ['listed.example:0', 403],
    ['listed.example:99999', 403],
    ['user@listed.example:443', 403],
  ])('is a matter of host and port: %s answers %i', async (target, status) => {
    for (const name of ['a.wild.example', 'odd.example', 'wild.example']) doors.names.set(name, [[PUBLIC]]);
    doors.servers.set(`${PUBLIC}:8443`, echo.port);
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token, target);
    expect(open.status).toBe(status);
    if (status !== 200) expect(doors.dialled).toEqual([]);
    open.socket.destroy();
  });

  it('takes the next checked address where the first does not answer', async () => {
    doors.names.set('listed.example', [[OTHER_PUBLIC, PUBLIC]]);
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token);
    expect(open.status).toBe(200);
    expect(doors.dialled).toEqual([`${OTHER_PUBLIC}:443`, `${PUBLIC}:443`]);
    open.socket.destroy();
  });

  it('fails clearly where the name has no address, or nobody answers', async () => {
    const agent = await doors.newAgent();
    doors.names.delete('listed.example');
    expect((await tunnel(agent.token)).body.code).toBe('HOST_UNKNOWN');
    doors.names.set('listed.example', [['93.184.216.99']]);
    expect((await tunnel(agent.token)).body.code).toBe('HOST_UNREACHABLE');
    const [call] = await doors.calls(agent.id, (items) => items[0]?.status === 'failed');
    expect(call?.output).toBeNull();
  });
});

describe('addresses', () => {
  it.each([
    ['127.0.0.1'],
    ['10.1.2.3'],
    ['172.16.0.1'],
    ['192.168.1.1'],
    ['169.254.169.254'],
    ['100.64.0.1'],
    ['0.0.0.0'],
    ['224.0.0.1'],
    ['::1'],
    ['::'],
    ['fe80::1'],
    ['fd00::1'],
    ['::ffff:127.0.0.1'],
    ['::ffff:7f00:1'],
    ['64:ff9b::7f00:1'],
    ['2002:7f00:1::'],
    [PUBLIC, '10.0.0.1'],
    [PUBLIC, '::ffff:10.0.0.1'],
  ])('a name that leads to %s is refused, and nothing is dialled', async (...addresses) => {
    doors.names.set('listed.example', [addresses]);
    const agent = await doors.newAgent();
    const refused = await tunnel(agent.token);
    expect([refused.status, refused.body.code]).toEqual([403, 'NET_NOT_ALLOWLISTED']);
    expect(doors.dialled).toEqual([]);
  });

  it.each([
    '127.0.0.1',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '2130706433',
    '0x7f.1',
    '127.1',
    '017700000001',
    '169.254.169.254',
    'localhost',
    PUBLIC,
  ])('the literal or private name %s is refused without being resolved', async (host) => {
    const agent = await doors.newAgent();
    const refused = await tunnel(agent.token, `${host}:443`);
    expect([refused.status, refused.body.code]).toEqual([403, 'NET_NOT_ALLOWLISTED']);
    expect([doors.resolved, doors.dialled]).toEqual([[], []]);
  });

  it('a resolver that answers another address the second time is not asked a second time', async () => {
    doors.names.set('listed.example', [[PUBLIC], ['127.0.0.1']]);
    doors.servers.set('127.0.0.1:443', echo.port);
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token);
    expect(open.status).toBe(200);
    expect([doors.resolved, doors.dialled]).toEqual([['listed.example'], [`${PUBLIC}:443`]]);
    open.socket.destroy();
    // The next connection is a new question, and sees the private address.
    expect((await tunnel(agent.token)).status).toBe(403);
    expect(doors.dialled).toEqual([`${PUBLIC}:443`]);
  });

  it('a private address is dialled where the policy says so of that host', async () => {
    doors.names.set('inside.example', [['10.9.8.7']]);
    doors.servers.set('10.9.8.7:443', echo.port);
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token, 'inside.example:443');
    expect([open.status, doors.dialled]).toEqual([200, ['10.9.8.7:443']]);
    open.socket.destroy();
  });
});

describe('a host that is not on the list', () => {
  it('is held at once and not even resolved; the approval opens one connection', async () => {
    doors.names.set('elsewhere.example', [[PUBLIC]]);
    const agent = await doors.newAgent();
    const held = await tunnel(agent.token, 'elsewhere.example:443');
    expect([held.status, held.body.code]).toEqual([403, 'APPROVAL_PENDING']);
    const again = await tunnel(agent.token, 'elsewhere.example:443');
    expect(again.body.approvalId).toBe(held.body.approvalId);
    expect(doors.resolved).toEqual([]);
    const approval = await doors.api<{ deferred?: boolean }>('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'known' });
    expect(approval.status).toBe(200);
    const other = await tunnel(agent.token, 'elsewhere.example:8443');
    expect([other.status, other.body.approvalId === held.body.approvalId]).toEqual([403, false]);
    const open = await tunnel(agent.token, 'elsewhere.example:443');
    expect(open.status).toBe(200);
    await saysBack(open);
    const next = await tunnel(agent.token, 'elsewhere.example:443');
    expect([next.status, next.body.approvalId === held.body.approvalId]).toEqual([403, false]);
    open.socket.destroy();
  });

  it('is refused even with an approval where it leads to a private address', async () => {
    doors.names.set('rebound.example', [['127.0.0.1']]);
    const agent = await doors.newAgent();
    const held = await tunnel(agent.token, 'rebound.example:443');
    await doors.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'known' });
    const refused = await tunnel(agent.token, 'rebound.example:443');
    expect([refused.status, refused.body.code, doors.dialled]).toEqual([403, 'NET_NOT_ALLOWLISTED', []]);
    const calls = await doors.calls(agent.id, (items) => items.some((item) => item.status === 'failed'));
    expect(calls.find((call) => call.status === 'failed')?.error).toContain('127.0.0.1');
  });
});

describe('plain HTTP', () => {
  const get = (url: string, token: string | null, headers: Record<string, string> = {}, body = '', method = 'GET') =>
    new Promise<{ status: number; headers: IncomingMessage['headers']; body: string }>((resolve, reject) => {
      const { hostname, port } = new URL(doors.egressUrl);
      const request = httpRequest(
        { hostname, port, path: url, method, headers: { ...(token !== null && { 'proxy-authorization': bearer(token) }), ...headers } },
        async (response) => {
          const chunks: Buffer[] = [];
          for await (const chunk of response) chunks.push(chunk as Buffer);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString() });
        },
      );
      request.on('error', reject).end(body);
    });
  beforeEach(() => {
    visited.length = 0;
  });

  it('goes to the checked address, with the credentials that are for that host and without ours', async () => {
    const agent = await doors.newAgent();
    const answer = await get(
      'http://plain.example/path?q=1',
      agent.token,
      { authorization: 'Bearer for-the-site', host: 'evil.example' },
      'a body',
      'POST',
    );
    expect([answer.status, answer.body]).toEqual([200, 'a body']);
    expect(visited[0]?.url).toBe('/path?q=1');
    expect(visited[0]?.headers).toMatchObject({ host: 'plain.example', authorization: 'Bearer for-the-site' });
    expect(visited[0]?.headers['proxy-authorization']).toBeUndefined();
    expect(doors.dialled).toEqual([`${PUBLIC}:80`]);
    await get('http://plain.example/', agent.token, { authorization: bearer(agent.token), 'x-api-key': agent.token });
    expect(JSON.stringify(visited[1]?.headers)).not.toContain(agent.token);
    const [, call] = await doors.calls(agent.id, (items) => items.length === 2 && items.every((item) => item.status === 'success'));
    expect(call?.output).toBe('POST http://plain.example/path?q=1, HTTP 200: 6 bytes up, 6 bytes down');
  });

  it('has its outcome recorded as soon as the journal takes it, because nobody else knows of it', async () => {
    const agent = await doors.newAgent();
    const append = doors.journal.append.bind(doors.journal);
    let refused = 0;
    const full = vi.spyOn(doors.journal, 'append').mockImplementation((event, durable) => {
      if (event.type !== 'completed' || refused > 1) return append(event, durable);
      refused++;
      return Promise.reject(new JournalUnavailable('the disk is full'));
    });
    try {
      expect((await get('http://plain.example/', agent.token)).status).toBe(200);
      const [call] = await doors.calls(agent.id, (calls) => calls.some(({ status }) => status === 'success'));
      expect(call?.output).toContain('HTTP 200');
      expect(refused).toBe(2);
    } finally {
      full.mockRestore();
    }
  });

  it('gives redirects back; the next hop is a question of its own', async () => {
    const agent = await doors.newAgent();
    doors.names.set('internal.example', [['10.0.0.1']]);
    const moved = await get('http://plain.example/moved', agent.token);
    expect([moved.status, moved.headers.location, visited.length]).toEqual([302, 'http://internal.example/', 1]);
    expect((await get('http://internal.example/', agent.token)).status).toBe(403);
    expect(doors.dialled).toHaveLength(1);
  });

  it.each<[string, number]>([
    ['http://plain.example:8080/', 403],
    ['http://listed.example/', 403],
    ['http://user:secret@plain.example/', 403],
    ['http://127.0.0.1/', 403],
    ['http://[::ffff:169.254.169.254]/', 403],
    ['http://plain.example\\@127.0.0.1/', 400],
    ['https://listed.example/', 400],
    ['ftp://plain.example/', 400],
    ['/healthz', 400],
  ])('%s answers %i', async (url, status) => {
    const agent = await doors.newAgent();
    expect((await get(url, agent.token)).status).toBe(status);
    expect(doors.dialled).toEqual([]);
  });

  it('asks for a credential with 407', async () => {
    const refused = await get('http://plain.example/', null);
    expect([refused.status, refused.headers['proxy-authenticate']]).toEqual([407, 'Basic realm="Mission Control", Bearer']);
  });

  it('is aborted where its client leaves', async () => {
    const agent = await doors.newAgent();
    const { hostname, port } = new URL(doors.egressUrl);
    const request = httpRequest({
      hostname,
      port,
      path: 'http://plain.example/slow',
      headers: { 'proxy-authorization': bearer(agent.token) },
    });
    request.on('error', () => {}).end();
    const [visit] = await until(
      () => visited,
      (list) => list.length === 1,
    );
    request.destroy();
    await until(
      () => visit?.socket.destroyed,
      (gone) => gone === true,
    );
    await doors.calls(agent.id, (items) => items[0]?.status === 'unknown');
  });
});

describe('what the gate allowed', () => {
  it('opens its host until its outcome, for the gateway and for the agent; nothing is held twice', async () => {
    doors.names.set('fetched.example', [[PUBLIC]]);
    const gateway = await doors.api<{ id: string; token: string }>('POST', '/gateways', { name: 'fetching' });
    const agent = await doors.newAgent({ gatewayId: gateway.body.id, externalId: 'main', gate: 'none' });
    await doors.newAgent({ gatewayId: gateway.body.id, externalId: 'other' });
    const call = {
      tool: 'web_fetch',
      arguments: { url: 'https://fetched.example/page' },
      agentId: 'main',
      sessionKey: 's',
      runId: 'r',
      callId: 'c1',
    };
    const held = await doors.gate<{ id: string; approvalId: string }>(gateway.body.token, 'POST', '/v1/tool-calls', call);
    expect(held.status).toBe(202);
    expect((await tunnel(gateway.body.token, 'fetched.example:443')).status).toBe(403);
    await doors.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' });
    const allowed = await doors.gate<{ verdict: string }>(gateway.body.token, 'GET', `/v1/tool-calls/${held.body.id}?waitMs=5000`);
    expect(allowed.body.verdict).toBe('allow');

    const byGateway = await tunnel(gateway.body.token, 'fetched.example:443');
    const byAgent = await tunnel(agent.token, 'fetched.example:443');
    expect([byGateway.status, byAgent.status]).toEqual([200, 200]);
    await saysBack(byGateway);
    // One call opens a host, not any number of connections.
    await doors.usePolicy({ limits: { maxConcurrentPerAgent: 2 } });
    expect((await tunnel(gateway.body.token, 'fetched.example:443')).body.code).toBe('RATE_LIMIT');
    await doors.usePolicy({ limits: { maxConcurrentPerAgent: 256 } });
    // Another port is another place.
    expect((await tunnel(gateway.body.token, 'fetched.example:80')).status).toBe(403);
    // Addresses are checked all the same.
    doors.names.set('fetched.example', [['127.0.0.1']]);
    expect((await tunnel(gateway.body.token, 'fetched.example:443')).body.code).toBe('NET_NOT_ALLOWLISTED');
    doors.names.set('fetched.example', [[PUBLIC]]);

    await doors.gate(gateway.body.token, 'POST', `/v1/tool-calls/${held.body.id}/outcome`, { status: 'success', durationMs: 1 });
    await Promise.all([byGateway.closed, byAgent.closed]);
    expect((await tunnel(gateway.body.token, 'fetched.example:443')).status).toBe(403);
    // The page itself is one call; what came after its outcome is another one, and is held.
    const calls = await doors.calls(agent.id, (items) => items.some((item) => item.status === 'success'));
    expect(calls.filter((item) => item.entry === 'openclaw')).toHaveLength(1);
    const audit = await until(
      () => doors.api<{ items: { action: string; details: Record<string, unknown> }[] }>('GET', '/audit?limit=200'),
      (page) => page.body.items.filter((row) => row.action === 'connection.closed').length >= 2,
    );
    const closed = audit.body.items.filter((row) => row.action === 'connection.closed').map((row) => row.details);
    expect(closed).toContainEqual(
      expect.objectContaining({ door: 'egress', callId: held.body.id, bytesUp: 5, bytesDown: 5, error: 'the call that opened it is over' }),
    );
  });
});

describe('the end of a tunnel', () => {
  it.each(['pause', 'quarantine', 'stop'] as const)('%s cuts it at once, and only that agent is concerned', async (how) => {
    const agent = await doors.newAgent();
    const other = await doors.newAgent();
    const [open, beside] = [await tunnel(agent.token), await tunnel(other.token)];
    await saysBack(open);
    if (how === 'stop') await doors.api('POST', '/emergency/stop', { reason: 'test' });
    else await doors.api('POST', `/agents/${agent.id}/${how}`, { reason: 'test' });
    await open.closed;
    if (how === 'stop') {
      await beside.closed;
      await doors.api('POST', '/emergency/resume', { note: 'test' });
    } else {
      await saysBack(beside);
      beside.socket.destroy();
    }
    expect((await tunnel(agent.token)).status).toBe(403);
    const calls = await doors.calls(agent.id, (items) => items.some((item) => item.status === 'unknown'));
    expect(calls.find((call) => call.status === 'unknown')?.error).toMatch(/^cut: (AGENT_PAUSED|AGENT_QUARANTINED|ESTOP)$/);
  });

  it('comes with a stop also while the proxy has lost touch with control', async () => {
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token);
    await saysBack(open);
    doors.time.aheadMs = 60 * 60 * 1000;
    const order = sealStop({ stopId: 'past-the-line', at: Date.now(), by: 'admin', reason: null }, doors.clusterSecret);
    const answer = await fetch(`${doors.gateUrl}/internal/v1/stop`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(order),
    });
    doors.time.aheadMs = 0;
    expect(await answer.json()).toMatchObject({ cutStreams: 1 });
    await open.closed;
    // The proxy has passed it on to control, which ends it for all.
    await until(
      () => doors.api<{ estop: boolean }>('GET', '/emergency'),
      ({ body }) => body.estop,
    );
    await doors.api('POST', '/emergency/resume', { note: 'test' });
    const { token } = await doors.newAgent();
    await until(
      () => tunnel(token),
      ({ status }) => status === 200,
    );
  });

  it('comes with the end of either side, and leaves nothing open', async () => {
    const agent = await doors.newAgent();
    const first = await tunnel(agent.token);
    first.socket.destroy();
    await until(
      () => echo.sockets.size,
      (size) => size === 0,
    );
    const second = await tunnel(agent.token);
    await saysBack(second);
    for (const socket of echo.sockets) socket.resetAndDestroy();
    await second.closed;
    const calls = await doors.calls(agent.id, (items) => items.length === 2 && items.every((item) => item.status !== 'running'));
    expect(calls).toHaveLength(2);
  });

  it('comes when nothing goes through it, or when it is as old as a tunnel may be', async () => {
    const short = await startDoors({ egressIdleMs: 1_500, egressTotalMs: 4_000 });
    try {
      await short.usePolicy({ allowlists: { network: ['listed.example'] } });
      short.names.set('listed.example', [[PUBLIC]]);
      short.servers.set(`${PUBLIC}:443`, echo.port);
      const agent = await short.newAgent();
      const idle = await openTunnel(short.egressUrl, 'listed.example:443', bearer(agent.token));
      const busy = await openTunnel(short.egressUrl, 'listed.example:443', bearer(agent.token));
      const chatter = setInterval(() => busy.socket.write('x'), 50);
      await Promise.all([idle.closed, busy.closed]);
      clearInterval(chatter);
      const calls = await short.calls(agent.id, (items) => items.length === 2 && items.every((item) => item.status === 'unknown'));
      expect(calls.map((call) => call.error).toSorted()).toEqual(['it was open for as long as a tunnel may be', 'nothing went through it']);
    } finally {
      await short.close();
    }
  }, 90_000);

  it('a large transfer is carried whole, at the pace of a slow reader', async () => {
    const size = 8 * 1024 * 1024;
    const big = await listenTcp((socket) => socket.end(Buffer.alloc(size, 'z')));
    doors.servers.set(`${PUBLIC}:443`, big.port);
    const agent = await doors.newAgent();
    const open = await tunnel(agent.token);
    let taken = open.received().length;
    open.socket.pause();
    open.socket.removeAllListeners('data');
    open.socket.on('data', (chunk) => {
      taken += chunk.length;
    });
    open.socket.resume().end();
    await open.closed;
    expect(taken).toBe(size);
    await big.close();
  });
});

describe('the bounds of the port', () => {
  it('calls per minute of an agent, and connections at once, are exact', async () => {
    const agent = await doors.newAgent();
    await doors.usePolicy({ rates: { callsPerMinute: { network_call: 3 } } });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) {
      const open = await tunnel(agent.token);
      statuses.push(open.status);
      open.socket.destroy();
    }
    expect(statuses).toEqual([200, 200, 200, 403, 403]);
    await doors.usePolicy({ rates: { callsPerMinute: null }, limits: { maxConcurrentPerAgent: 2 } });
    const other = await doors.newAgent();
    const held = [await tunnel(other.token), await tunnel(other.token)];
    expect((await tunnel(other.token)).body.code).toBe('RATE_LIMIT');
    for (const open of held) open.socket.destroy();
    await doors.calls(other.id, (items) => items.filter((item) => item.status === 'success' || item.status === 'unknown').length === 2);
    const free = await tunnel(other.token);
    expect(free.status).toBe(200);
    free.socket.destroy();
    await doors.usePolicy({ limits: { maxConcurrentPerAgent: 256 } });
  });

  it('a head that is too large, too slow or no HTTP is answered and closed', async () => {
    const agent = await doors.newAgent();
    const line = `CONNECT listed.example:443 HTTP/1.1\r\nhost: x\r\nproxy-authorization: Bearer ${agent.token}\r\n`;
    expect((await sendBytes(doors.egressUrl, [`${line}x: ${'y'.repeat(20_000)}\r\n\r\n`])).statuses).toEqual([431]);
    expect((await sendBytes(doors.egressUrl, ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'])).statuses).toEqual([400]);
    const slow = await sendBytes(doors.egressUrl, [line, ...Array(40).fill('a: b\r\n')], { gapMs: 200, waitMs: 8_000 });
    expect([slow.statuses, slow.closed]).toEqual([[408], true]);
    expect(doors.dialled).toEqual([]);
  });

  it('a request cannot carry another one with it', async () => {
    const agent = await doors.newAgent();
    visited.length = 0;
    const head = `POST http://plain.example/ HTTP/1.1\r\nhost: plain.example\r\nproxy-authorization: Bearer ${agent.token}\r\n`;
    const inner = 'GET http://internal.example/ HTTP/1.1\r\nhost: x\r\n\r\n';
    for (const text of [
      `${head}content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n${inner}`,
      `${head}content-length: 4\r\ncontent-length: 5\r\n\r\nabcde${inner}`,
      `${head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n${inner}`,
    ])
      expect((await sendBytes(doors.egressUrl, [text], { waitMs: 1_000 })).statuses).toEqual([400]);
    expect(visited).toEqual([]);
  });
});
