/** The doors of the product as its user starts it: an ordinary client through the egress port, and what an end of the process leaves. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ProxyAgent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bearer, openTunnel } from '../egress/doors.ts';
import { usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
let site: Server;
let port: number;
let asked = 0;
beforeAll(async () => {
  site = createServer((incoming, response) => {
    asked++;
    if (incoming.url === '/slow') return;
    response.end(`hello from ${incoming.url}`);
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
  port = (site.address() as AddressInfo).port;
  world = await startWorld();
  await usePolicy(world, {
    allowlists: { network: [{ host: 'localhost', scheme: 'http', port, allowPrivate: true }, 'no-such-name.invalid'] },
  });
});
afterAll(async () => {
  await world.close();
  site.close().closeAllConnections();
});

interface Call {
  status: string;
  entry: string;
  output: string | null;
  error: string | null;
}
async function callsOf(agentId: string, isIt: (calls: Call[]) => boolean): Promise<Call[]> {
  const page = await until(
    () => world.api<{ items: Call[] }>('GET', `/tool-calls?agentId=${agentId}`),
    (answer) => isIt(answer.body.items),
    20_000,
  );
  return page.body.items;
}

describe('the egress port', () => {
  it('serves an ordinary client: names are resolved and connected here', async () => {
    const agent = await newAgent(world);
    for (const proxyTunnel of [false, true]) {
      const dispatcher = new ProxyAgent({ uri: world.egressUrl, token: bearer(agent.token), proxyTunnel });
      const answer = await request(`http://localhost:${port}/page`, { dispatcher });
      expect([answer.statusCode, await answer.body.text()]).toEqual([200, 'hello from /page']);
      await dispatcher.close();
    }
    const calls = await callsOf(agent.id, (items) => items.length === 2 && items.every((item) => item.status === 'success'));
    expect(calls.map((call) => call.output)).toEqual([
      expect.stringMatching(new RegExp(`^CONNECT http://localhost:${port}: \\d+ bytes up, \\d+ bytes down$`)),
      `GET http://localhost:${port}/page, HTTP 200: 0 bytes up, 16 bytes down`,
    ]);
  });

  it('refuses what a client may not reach, and says when a name has no address', async () => {
    const agent = await newAgent(world);
    const before = asked;
    for (const target of [`127.0.0.1:${port}`, `[::1]:${port}`, 'localhost:443'])
      expect((await openTunnel(world.egressUrl, target, bearer(agent.token))).status, target).toBe(403);
    expect((await openTunnel(world.egressUrl, 'no-such-name.invalid:443', bearer(agent.token))).body.code).toBe('HOST_UNKNOWN');
    expect(asked).toBe(before);
  });
});

describe('the end of the process', () => {
  it('ends tunnels and requests: in order when it stops, at the next start when it was killed; none is left open', async () => {
    const agent = await newAgent(world);
    const tool = await world.api<{ name: string }>('POST', '/upstreams', {
      name: 'slow',
      kind: 'http',
      url: `http://127.0.0.1:${port}`,
      allowPrivate: true,
      priceUsd: 0.01,
      routes: [{ method: 'GET', path: '/slow', tool: 'slow', risk: 'green' }],
    });
    const first = await openTunnel(world.egressUrl, `localhost:${port}`, bearer(agent.token));
    expect(first.status).toBe(200);
    expect(await world.stop()).toBe(0);
    await first.closed;
    await world.start();
    const [stopped] = await callsOf(agent.id, (items) => items[0]?.status === 'unknown');
    expect(stopped?.error).toBe('Mission Control ended');

    const second = await openTunnel(world.egressUrl, `localhost:${port}`, bearer(agent.token));
    expect(second.status).toBe(200);
    const before = asked;
    const pending = fetch(`${world.gateUrl}/http/${tool.body.name}/slow`, { headers: { authorization: bearer(agent.token) } }).catch(
      () => null,
    );
    await until(
      () => asked,
      (count) => count > before,
    );
    await world.kill();
    second.socket.destroy();
    await pending;
    await world.start();
    const calls = await callsOf(agent.id, (items) => items.length === 3 && items.every((item) => item.status === 'unknown'));
    expect(
      calls
        .filter((call) => call.error === 'the proxy was restarted')
        .map((call) => call.entry)
        .toSorted(),
    ).toEqual(['egress', 'http']);
  }, 120_000);
});
