/** The proxy's listener: paths to entry points, health, and the bounds of every connection. Plain node:http (PERFORMANCE.md 3). */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { LINE_PROOF_HEADER, type StopAcknowledgement } from '../control/contract.ts';
import { BadRequest, readJson } from './body.ts';
import type { ProxyBounds } from './config.ts';
import type { GatewayDoor } from './gateway.ts';
import type { Hook } from './hook.ts';
import type { HttpTools } from './http.ts';
import type { Mcp } from './mcp.ts';
import type { ModelEntry } from './model.ts';
import { answerBrokenRequest, problem, respond } from './respond.ts';

const STOP_MAX_BYTES = 64 * 1024;
const QUESTION_MAX_BYTES = 8 * 1024;

export interface ListenerDependencies {
  hook: Hook;
  mcp: Mcp;
  http: Pick<HttpTools, 'handle'>;
  model: Pick<ModelEntry, 'handle'>;
  gateway: Pick<GatewayDoor, 'handle' | 'takesUpgrade' | 'upgrade'>;
  /** Takes a stop that a control sends straight to us. @returns what is answered, and its proof; null where nobody of ours has sealed it. */
  stop: (body: unknown) => { answer: StopAcknowledgement; proof: string } | null;
  /** Answers what another proxy asks; null where nobody of ours has asked this one. */
  question: (body: unknown) => { answer: unknown; proof: string } | null;
  /** Null while the proxy can judge; otherwise why it cannot. */
  notReady: () => string | null;
  /** Text of /metrics, or null where this credential may not read it. */
  metrics: (authorization: string | undefined) => Promise<string | null>;
  onError: (error: unknown, path: string) => void;
  bounds: ProxyBounds;
}

/** Creates the listener; the caller decides where it listens. */
export function createListener({
  hook,
  mcp,
  http,
  model,
  gateway,
  stop,
  question,
  notReady,
  metrics,
  onError,
  bounds,
}: ListenerDependencies): Server {
  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? '/';
    const mark = url.indexOf('?');
    const path = mark < 0 ? url : url.slice(0, mark);
    if (path === '/healthz') return void text(response, 200, 'ok');
    if (path === '/readyz') return void text(response, notReady() === null ? 200 : 503, notReady() === null ? 'ready' : 'not ready');
    if (path === '/metrics') {
      const page = await metrics(request.headers.authorization);
      if (page !== null) return void text(response, 200, page);
      return problem(response, 401, 'UNAUTHENTICATED', 'Send the metrics token (MC_METRICS_TOKEN) as a bearer token.');
    }
    if (path === '/internal/v1/stop' && request.method === 'POST') {
      const taken = stop(await readJson(request, STOP_MAX_BYTES));
      if (taken !== null) {
        response.setHeader(LINE_PROOF_HEADER, taken.proof);
        return respond(response, 200, taken.answer);
      }
      return problem(response, 401, 'UNAUTHENTICATED', 'This stop is not sealed by a control of ours.');
    }
    if (path === '/internal/v1/question' && request.method === 'POST') {
      const asked = question(await readJson(request, QUESTION_MAX_BYTES));
      if (asked === null) return problem(response, 401, 'UNAUTHENTICATED', 'This question is not sealed by a proxy of ours.');
      response.setHeader(LINE_PROOF_HEADER, asked.proof);
      return respond(response, 200, asked.answer);
    }
    const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
    if (await hook.handle(request, response, path, query)) return;
    if (await mcp.handle(request, response, path)) return;
    if (await http.handle(request, response, path)) return;
    if (await model.handle(request, response, path)) return;
    if (await gateway.handle(request, response, path)) return;
    problem(response, 404, 'NOT_FOUND', `There is no ${request.method} ${path.slice(0, 200)} here.`);
  }

  const server = createServer(
    {
      headersTimeout: bounds.headersTimeoutMs,
      requestTimeout: bounds.requestTimeoutMs,
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16 * 1024,
      connectionsCheckingInterval: 1_000,
      // Everywhere else an offer to change the protocol is not taken up, and the request is served as it is.
      shouldUpgradeCallback: gateway.takesUpgrade,
    },
    (request, response) => {
      handle(request, response).catch((error) => {
        if (error instanceof BadRequest) {
          // The rest of a body that is not read must not be taken for the next request.
          response.setHeader('connection', 'close');
          problem(response, error.status, error.code, error.message);
          return;
        }
        onError(error, request.url ?? '/');
        problem(response, 500, 'INTERNAL', 'Something broke on our side. Nothing ran.');
      });
    },
  );
  server.maxConnections = bounds.connectionsMax;
  server.on('upgrade', gateway.upgrade);
  server.on('clientError', answerBrokenRequest);
  server.on('checkExpectation', (_, response) => {
    response.setHeader('connection', 'close');
    problem(response, 417, 'BAD_EXPECT', 'Only "Expect: 100-continue" is understood.');
  });
  return server;
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(body);
}
