/**
 * Control's listener: one HTTP server for API, dashboard and the lines of the proxies, with the bounds of every connection. What is
 * not HTTP, too slow or too large in its head never reaches the app; it still gets a readable answer, or its connection is closed.
 */
import { createServer, type Server, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { getRequestListener, RequestError } from '@hono/node-server';
import type { Hono } from 'hono';

/** Bounds of a connection, each with its unit in its name. */
interface ListenerBounds {
  /** A client has this long to send its headers, and this long for headers and body together. */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  connectionsMax: number;
  headerMaxBytes: number;
}

const LISTENER_BOUNDS: ListenerBounds = {
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  connectionsMax: 4_096,
  headerMaxBytes: 16 * 1024,
};

/** Serves `app`. @throws Error where the port is taken. */
export function openListener(app: Hono, hostname: string, port: number, bounds: ListenerBounds = LISTENER_BOUNDS): Promise<Server> {
  const server = createServer(
    {
      headersTimeout: bounds.headersTimeoutMs,
      requestTimeout: bounds.requestTimeoutMs,
      maxHeaderSize: bounds.headerMaxBytes,
      // Longer than clients and load balancers keep an idle connection: else one of ours closes under their next request.
      keepAliveTimeout: 65_000,
      connectionsCheckingInterval: Math.min(1_000, bounds.headersTimeoutMs),
    },
    getRequestListener(app.fetch, { hostname, errorHandler: answerUnreadable }),
  );
  server.maxConnections = bounds.connectionsMax;
  server.on('clientError', answerBroken);
  server.on('checkExpectation', (_, response) => response.writeHead(417, CLOSING).end(problem(417, 'BAD_EXPECT')));
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new Error(`port ${port} on ${hostname} is taken; set MC_CONTROL_PORT to another one`) : error),
    );
    server.listen(port, hostname, () => resolve(server));
  });
}

const CLOSING = { 'content-type': 'application/problem+json', connection: 'close' };

/** A host, scheme or path that is no URL; anything else that comes here is our own mistake. */
function answerUnreadable(error: unknown): Response {
  const [status, code] = error instanceof RequestError ? ([400, 'BAD_HTTP'] as const) : ([500, 'INTERNAL'] as const);
  return new Response(problem(status, code), { status, headers: CLOSING });
}

function answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const [status, code] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ([431, 'HEADERS_TOO_LARGE'] as const)
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ([408, 'TOO_SLOW'] as const)
        : ([400, 'BAD_HTTP'] as const);
  const body = problem(status, code);
  const head = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...Object.entries(CLOSING).map(([name, value]) => `${name}: ${value}`)];
  socket.end(`${head.join('\r\n')}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function problem(status: 400 | 408 | 417 | 431 | 500, code: string): string {
  return JSON.stringify({
    type: 'about:blank',
    title: STATUS_CODES[status],
    status,
    code,
    detail: status === 500 ? 'Something broke on our side.' : 'The request cannot be read.',
  });
}
