/** A REST service on loopback that keeps what it was asked, and answers as its path says. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface EchoUpstream {
  url: string;
  seen: Seen[];
  /** Requests to /slow that were not let go, and those whose client went away. */
  waiting: ServerResponse[];
  aborted: number;
  close: () => Promise<void>;
}

/**
 * Paths: /slow waits until it is let go; /stream sends a part and waits; /moved redirects; /cookie sets a session; /status/{n} answers n;
 * /large answers 4 MiB; everything else answers what it was asked.
 */
export async function startEchoUpstream(): Promise<EchoUpstream> {
  const seen: Seen[] = [];
  const waiting: ServerResponse[] = [];
  const upstream = { seen, waiting, aborted: 0 };
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', url = '', headers } = request;
    seen.push({ method, url, headers, body: Buffer.concat(chunks).toString('latin1') });
    const path = url.replace(/\?.*/, '');
    const status = /\/status\/(\d+)$/.exec(path)?.[1];
    if (status !== undefined) response.writeHead(Number(status), { 'content-type': 'text/plain' }).end(`status ${status}`);
    else if (path.endsWith('/moved')) response.writeHead(302, { location: 'https://elsewhere.example/next' }).end();
    else if (path.endsWith('/cookie')) response.writeHead(200, { 'set-cookie': ['sid=upstream-session'] }).end('ok');
    else if (path.endsWith('/large')) {
      if (url.includes('chunked')) response.write('x');
      response.end(Buffer.alloc(4 * 1024 * 1024, 'x'));
    } else if (path.endsWith('/slow') || path.endsWith('/stream')) {
      response.on('close', () => {
        if (!response.writableFinished) upstream.aborted++;
      });
      if (path.endsWith('/stream')) response.writeHead(200, { 'content-type': 'text/plain' }).write('a part ');
      waiting.push(response);
    } else {
      response.writeHead(200, { 'content-type': 'application/json', 'x-echo': 'yes' });
      response.end(JSON.stringify({ method, url, body: Buffer.concat(chunks).toString('utf8') }));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return Object.assign(upstream, {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}
