import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { readJson } from '../../proxy/body.ts';
import { DEFAULT_BOUNDS } from '../../proxy/config.ts';
import type { Hook } from '../../proxy/hook.ts';
import type { Mcp } from '../../proxy/mcp.ts';
import { respond } from '../../proxy/respond.ts';
import { createListener } from '../../proxy/server.ts';
import { head, sendBytes } from '../support/wire.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

/** The proxy's listener with short bounds, in front of something that reads a body, or breaks. */
async function listen(notReady: () => string | null = () => null) {
  const errors: unknown[] = [];
  const bounds = { ...DEFAULT_BOUNDS, bodyMaxBytes: 1_000, headersTimeoutMs: 300, requestTimeoutMs: 600, connectionsMax: 5 };
  const hook: Hook = {
    handle: async (request, response, path) => {
      if (path === '/breaks') throw new Error('a secret of ours in /home/somebody/file.ts:12');
      if (path !== '/body') return false;
      respond(response, 200, await readJson(request, bounds.bodyMaxBytes));
      return true;
    },
  };
  const mcp: Mcp = { handle: async () => false, review: () => 0, close: async () => {}, openRequests: () => 0 };
  const metrics = async (authorization: string | undefined) => (authorization === 'Bearer metrics' ? 'a_metric 1' : null);
  const server = createListener({
    hook,
    mcp,
    http: { handle: async () => false },
    gateway: NO_GATEWAY,
    model: { handle: async () => false },
    stop: () => null,
    question: () => null,
    notReady,
    metrics,
    onError: (error) => errors.push(error),
    bounds,
  });
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, errors };
}
const NO_GATEWAY = { handle: async () => false, takesUpgrade: () => false, upgrade: () => {} };
const json = { 'content-type': 'application/json' };

describe('the listener', () => {
  it('cuts a head and a body that take too long, and goes on serving others', async () => {
    const { url } = await listen();
    const slowHead = sendBytes(url, ['POST /body HTTP/1.1\r\n', ...Array(100).fill('x: y\r\n')], { gapMs: 100, waitMs: 5_000 });
    const slowBody = sendBytes(url, [head('POST /body HTTP/1.1', { ...json, 'content-length': 500 }), ...Array(100).fill('{')], {
      gapMs: 100,
      waitMs: 5_000,
    });
    expect((await fetch(`${url}/body`, { method: 'POST', headers: json, body: '{"a":1}' })).status).toBe(200);
    for (const answer of await Promise.all([slowHead, slowBody])) {
      expect([answer.closed, answer.statuses]).toEqual([true, [408]]);
      expect(answer.text).toContain('application/problem+json');
    }
  });

  it('reads a body to its bound and not a byte further, declared or not', async () => {
    const { url } = await listen();
    const send = (length: number) => fetch(`${url}/body`, { method: 'POST', headers: json, body: JSON.stringify('x'.repeat(length - 2)) });
    expect([(await send(1_000)).status, (await send(1_001)).status]).toEqual([200, 413]);
    const chunk = `100\r\n${' '.repeat(0x100)}\r\n`;
    const streamed = await sendBytes(url, [
      head('POST /body HTTP/1.1', { ...json, 'transfer-encoding': 'chunked' }),
      ...Array(10).fill(chunk),
    ]);
    expect([streamed.closed, streamed.statuses]).toEqual([true, [413]]);
    // What was not read is not taken for the next request.
    const smuggled = await sendBytes(url, [
      head('POST /body HTTP/1.1', { ...json, 'content-length': 5_000 }),
      head('GET /healthz HTTP/1.1'),
    ]);
    expect([smuggled.closed, smuggled.statuses]).toEqual([true, [413]]);
  });

  it('says nothing of an error of ours but that there was one', async () => {
    const { url, errors } = await listen();
    const answer = await fetch(`${url}/breaks`);
    const text = await answer.text();
    expect([answer.status, JSON.parse(text).code]).toEqual([500, 'INTERNAL']);
    expect(text).not.toMatch(/secret|somebody|\.ts/);
    expect(errors).toHaveLength(1);
  });

  it('tells whether it can judge, to everybody, and its figures to who may know them', async () => {
    let why: string | null = null;
    const { url } = await listen(() => why);
    const status = async (path: string, headers: Record<string, string> = {}) => (await fetch(url + path, { headers })).status;
    expect([await status('/healthz'), await status('/readyz'), await status('/metrics')]).toEqual([200, 200, 401]);
    why = 'no fresh picture';
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 503]);
    expect(await (await fetch(`${url}/readyz`)).text()).not.toContain('picture');
    expect(await status('/metrics', { authorization: 'Bearer metrics' })).toBe(200);
  });

  it('has room for so many connections and no more, and room again when they are gone', async () => {
    const { url } = await listen();
    const idle = Array.from({ length: 5 }, () => sendBytes(url, ['GET'], { waitMs: 5_000 }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const beyond = await sendBytes(url, [head('GET /healthz HTTP/1.1', { connection: 'close' })]);
    expect([beyond.statuses, beyond.closed]).toEqual([[], true]);
    await Promise.all(idle);
    expect((await sendBytes(url, [head('GET /healthz HTTP/1.1', { connection: 'close' })])).statuses).toEqual([200]);
  });
});
