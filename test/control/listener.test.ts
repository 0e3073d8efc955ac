import type { AddressInfo } from 'node:net';
import { Hono } from 'hono';
import { describe, expect, it } from 'vitest';
import { openListener } from '../../control/listener.ts';
import { head, sendBytes } from '../support/wire.ts';

describe('control’s listener', () => {
  it('cuts a head and a body that take too long, refuses what is no URL, and serves the rest', async () => {
    const app = new Hono();
    app.onError((_, context) => context.text('', 400)); // the client that was cut in its body
    app.post('/body', async (context) => context.text(String((await context.req.text()).length)));
    const bounds = { headersTimeoutMs: 300, requestTimeoutMs: 600, connectionsMax: 50, headerMaxBytes: 2_000 };
    const server = await openListener(app, '127.0.0.1', 0, bounds);
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}`;
    const slow = [
      sendBytes(url, ['POST /body HTTP/1.1\r\n', ...Array(100).fill('x: y\r\n')], { gapMs: 100, waitMs: 5_000 }),
      sendBytes(url, [head('POST /body HTTP/1.1', { 'content-length': 500 }), ...Array(100).fill('{')], { gapMs: 100, waitMs: 5_000 }),
    ];
    expect(await (await fetch(`${url}/body`, { method: 'POST', body: 'x'.repeat(100_000) })).text()).toBe('100000');
    expect((await sendBytes(url, [head('GET / HTTP/1.1', { 'x-a': 'y'.repeat(3_000) })])).statuses).toEqual([431]);
    const noHost = await sendBytes(url, [head('GET / HTTP/1.1', { host: 'a b' })]);
    expect([noHost.statuses, noHost.text.includes('problem+json')]).toEqual([[400], true]);
    for (const answer of await Promise.all(slow)) expect([answer.closed, answer.statuses]).toEqual([true, [408]]);
    await expect(openListener(app, '127.0.0.1', port, bounds)).rejects.toThrow(/MC_CONTROL_PORT/);
    server.close().closeAllConnections();
  });
});
