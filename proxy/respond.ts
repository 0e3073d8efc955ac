/** Answers in the two shapes that the proxy speaks: JSON, and problem documents (RFC 9457). */
import type { ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

export function respond(response: ServerResponse, status: number, body: unknown): void {
  write(response, status, 'application/json', JSON.stringify(body));
}

/** @param extra further members of the problem document. */
export function problem(response: ServerResponse, status: number, code: string, detail: string, extra: Record<string, unknown> = {}): void {
  write(response, status, 'application/problem+json', problemText(status, code, detail, extra));
}

/** The answer to who may not come in. @returns true: the request is answered. */
export function refuseEntry(response: ServerResponse, { status, code, detail }: { status: number; code: string; detail: string }): true {
  if (status === 401) response.setHeader('www-authenticate', 'Bearer');
  problem(response, status, code, detail);
  return true;
}

/** The same where there is no response to write to, only a connection, which ends with it. @param headers further lines of the head. */
export function rawProblem(
  socket: Duplex,
  status: number,
  code: string,
  detail: string,
  extra: Record<string, unknown> = {},
  headers: readonly string[] = [],
): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const text = problemText(status, code, detail, extra);
  const lines = [
    `HTTP/1.1 ${status} ${TITLES[status] ?? 'Error'}`,
    'connection: close',
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(text)}`,
    ...headers,
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${text}`);
}

/** A request that is not HTTP, too slow or too large in its head never reaches a handler; it still gets a readable answer. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Duplex): void {
  const [status, code] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'HEADERS_TOO_LARGE']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'TOO_SLOW']
        : [400, 'BAD_HTTP'];
  rawProblem(socket, status as number, code as string, 'The request cannot be read.');
}

function problemText(status: number, code: string, detail: string, extra: Record<string, unknown>): string {
  return JSON.stringify({ type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code, ...extra });
}

function write(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' });
  response.end(text);
}

/** Fires where the client leaves before its answer is whole. To fire at every end would cost an exception with its stack for each request. */
export function leavingSignal(response: ServerResponse): AbortSignal {
  const leaving = new AbortController();
  const onClose = () => {
    if (!response.writableFinished) leaving.abort();
  };
  if (response.destroyed) onClose();
  else response.on('close', onClose);
  return leaving.signal;
}

/** One sentence for the model: why, and that it did not run. */
export function refusalText(reasons: readonly { code: string; message: string }[]): string {
  const [first] = reasons;
  return first ? `Refused by Mission Control (${first.code}): ${first.message}` : 'Refused by Mission Control.';
}

const TITLES: Record<number, string> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  405: 'Method not allowed',
  407: 'Proxy Authentication Required',
  408: 'Request timeout',
  409: 'Conflict',
  413: 'Too large',
  415: 'Unsupported media type',
  417: 'Expectation failed',
  431: 'Headers too large',
  500: 'Internal error',
  502: 'Bad gateway',
  503: 'Unavailable',
  504: 'Gateway timeout',
};
