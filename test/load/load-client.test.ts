import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { callOnce, percentile, runClosed, runOpen, type Script } from '../../load/load-client.ts';

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0)) close();
});

async function serve(onRequest: RequestListener): Promise<number> {
  const server = createServer(onRequest).listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push(() => server.close().closeAllConnections());
  return (server.address() as AddressInfo).port;
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`;
const single: Script = { begin: (n) => get(`/${n}`), next: () => null };
const size = { minMs: 0, minCalls: 50, maxMs: 10_000 };

describe('a closed load', () => {
  it('makes as many calls as asked for, each with a number of its own, over so many connections', async () => {
    const urls: string[] = [];
    const sockets = new Set<unknown>();
    const port = await serve((request, response) => {
      urls.push(request.url ?? '');
      sockets.add(request.socket);
      response.end('ok');
    });
    const { calls, latenciesMicros } = await runClosed(port, single, 4, size);
    expect(calls).toBe(urls.length);
    expect(calls).toBeGreaterThanOrEqual(50);
    expect(calls).toBeLessThan(54);
    expect(new Set(urls).size).toBe(calls);
    expect(sockets.size).toBe(4);
    expect(latenciesMicros).toHaveLength(calls);
    expect([...latenciesMicros]).toEqual([...latenciesMicros].toSorted((a, b) => a - b));
  });

  it('follows an answer with the next request of the same call', async () => {
    const urls: string[] = [];
    const port = await serve((request, response) => {
      urls.push(request.url ?? '');
      response.end(`id-of-${request.url}`);
    });
    const script: Script = {
      begin: (n) => get(`/${n}`),
      next: ({ body }, n) => (body === `id-of-/${n}` ? get(`/outcome/${n}`) : null),
    };
    const { calls } = await runClosed(port, script, 1, { minMs: 0, minCalls: 3, maxMs: 10_000 });
    expect(calls).toBe(3);
    expect(urls).toHaveLength(6);
    expect(urls[1]).toBe(`/outcome${urls[0]}`);
    expect(await callOnce(port, script)).toHaveLength(2);
  });

  it('ends when its time is over, though it has not made all calls', async () => {
    const port = await serve((_, response) => setTimeout(() => response.end('ok'), 5));
    const { calls, elapsedMs } = await runClosed(port, single, 1, { minMs: 0, minCalls: 1_000_000, maxMs: 60 });
    expect(calls).toBeGreaterThan(0);
    expect(elapsedMs).toBeGreaterThanOrEqual(60);
  });

  it('is over at the first wrong answer, broken connection or answer without a length', async () => {
    const port = await serve((_, response) => response.writeHead(500, { 'content-length': 2 }).end('no'));
    const strict: Script = {
      begin: () => get('/'),
      next: ({ status, body }) => {
        if (status !== 200) throw new Error(`answered ${status}: ${body}`);
        return null;
      },
    };
    await expect(runClosed(port, strict, 2, size)).rejects.toThrow('answered 500: no');

    const closing = createTcpServer((socket) => void socket.once('data', () => socket.destroy())).listen(0, '127.0.0.1');
    await once(closing, 'listening');
    opened.push(() => closing.close());
    await expect(runClosed((closing.address() as AddressInfo).port, single, 1, size)).rejects.toThrow(/closed|reset/i);

    const endless = await serve((_, response) => {
      response.useChunkedEncodingByDefault = false;
      response.removeHeader('transfer-encoding');
      response.write('one');
    });
    await expect(runClosed(endless, single, 1, size)).rejects.toThrow('without a length');
  });

  it('reads an answer in chunks to its last one', async () => {
    const port = await serve((_, response) => {
      response.write('one');
      setImmediate(() => response.end('0\r\n'));
    });
    const bodies: string[] = [];
    const script: Script = {
      begin: () => get('/'),
      next: ({ body }) => {
        bodies.push(body);
        return null;
      },
    };
    await runClosed(port, script, 1, { minMs: 0, minCalls: 3, maxMs: 1_000 });
    expect(bodies.length).toBeGreaterThanOrEqual(3);
    for (const body of bodies) expect(body).toBe('3\r\none\r\n3\r\n0\r\n\r\n0\r\n\r\n');
  });

  it('reads an answer that comes in pieces', async () => {
    const server = createTcpServer((socket) => {
      socket.setNoDelay(true).once('data', async () => {
        for (const piece of ['HTTP/1.1 200 OK\r\nConte', 'nt-Length: 6\r\n', '\r\nab', 'cd', 'ef']) {
          await new Promise((resolve) => setImmediate(resolve));
          socket.write(piece);
        }
      });
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    opened.push(() => server.close());
    expect(await callOnce((server.address() as AddressInfo).port, single)).toMatchObject([{ status: 200, body: 'abcdef' }]);
  });
});

describe('an open load', () => {
  it('counts what a slow answer delays from when it was due', async () => {
    let served = 0;
    // The first answer takes long; all others come at once, but there is one connection only.
    const port = await serve((_, response) => void (served++ === 0 ? setTimeout(() => response.end('ok'), 200) : response.end('ok')));
    const { calls, latenciesMicros } = await runOpen(port, single, 100, 1, 200);
    expect(calls).toBe(20);
    // Seen from its own start each of the twenty but one took next to nothing; half of them were due more than 100 ms before.
    expect(percentile(latenciesMicros, 0.5)).toBeGreaterThan(80_000);
    expect(percentile(latenciesMicros, 0.99)).toBeGreaterThan(190_000);
  });
});
