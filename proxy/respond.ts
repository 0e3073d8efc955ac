/** Answers in the two shapes that the proxy speaks: JSON, and problem documents (RFC 9457). */
import type { ServerResponse } from 'node:http';

export function respond(response: ServerResponse, status: number, body: unknown): void {
  write(response, status, 'application/json', JSON.stringify(body));
}

/** @param extra further members of the problem document. */
export function problem(response: ServerResponse, status: number, code: string, detail: string, extra: Record<string, unknown> = {}): void {
  const body = { type: 'about:blank', title: TITLES[status] ?? 'Error', status, detail, code, ...extra };
  write(response, status, 'application/problem+json', JSON.stringify(body));
}

function write(response: ServerResponse, status: number, type: string, text: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(text), 'cache-control': 'no-store' });
  response.end(text);
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
  408: 'Request timeout',
  409: 'Conflict',
  413: 'Too large',
  415: 'Unsupported media type',
  417: 'Expectation failed',
  431: 'Headers too large',
  500: 'Internal error',
  502: 'Bad gateway',
  503: 'Unavailable',
};
