/**
 * A model provider by script: a real HTTP server on loopback. It answers a request with the next of the answers that a test queued for
 * its path, remembers what it was sent, and knows when a client went away.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SeenRequest {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
  text: string;
  /** Resolves with the time, epoch milliseconds, at which the connection was closed before the answer was whole. */
  aborted: Promise<number>;
}

export type Script = (response: ServerResponse, seen: SeenRequest) => void | Promise<void>;

export interface ScriptedProvider {
  url: string;
  seen: SeenRequest[];
  /** What it answers next; the last one stays. */
  script: Script;
  close: () => Promise<void>;
}

/** Starts a provider. */
export async function startProvider(): Promise<ScriptedProvider> {
  const provider: ScriptedProvider = { url: '', seen: [], script: json({ error: 'no script' }, 500), close: async () => {} };
  const server = createServer((request, response) => {
    void serve(request, response);
  });
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString('utf8');
    const aborted = new Promise<number>((resolve) => {
      response.on('close', () => {
        if (!response.writableFinished) resolve(Date.now());
      });
    });
    const body = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
    const seen = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body, text, aborted };
    provider.seen.push(seen);
    await provider.script(response, seen);
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  provider.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  provider.close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return provider;
}

/** An answer in one piece. */
export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Script {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof body === 'string' ? body : JSON.stringify(body));
  };
}

/** A stream of chunks as they are given. @param then what happens after the last one; by default it ends. */
export function stream(chunks: readonly string[], then: 'end' | 'stay' | 'break' = 'end'): Script {
  return async (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const chunk of chunks) {
      if (response.destroyed) return;
      response.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (then === 'end') response.end();
    else if (then === 'break') response.destroy();
  };
}

/** Events in the shape of the provider: `data` only, or named by their type. */
export function dataEvents(...events: unknown[]): string[] {
  return events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`);
}
export function namedEvents(...events: { type: string }[]): string[] {
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
}
