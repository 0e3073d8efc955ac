/**
 * The plain HTTP forward of the bench: the governed path with the shortest entry point before it. Identity, admission, the very judged
 * bytes to the upstream, settlement and journal are the product's own; only the mapping from a path to a tool is fixed here.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { JsonObject } from '../policies/index.ts';
import { parseJson, readBytes } from '../proxy/body.ts';
import type { ProxyBounds } from '../proxy/config.ts';
import type { Forwarder, ForwardFailure, Relayed, Tap } from '../proxy/forward.ts';
import { authenticate, identify } from '../proxy/identity.ts';
import type { ProxyCore } from '../proxy/main.ts';
import { problem } from '../proxy/respond.ts';

/** Everything under the upstream is this tool: green in the shipped policy. */
const TOOL = 'post_comment';

export interface PlainForwardDependencies {
  core: ProxyCore;
  forwarder: Forwarder;
  clock: () => number;
  bounds: ProxyBounds;
}

/** Creates the listener; the caller decides where it listens. */
export function createPlainForward(dependencies: PlainForwardDependencies): Server {
  return createServer({ keepAliveTimeout: 65_000 }, (request, response) => {
    forward(request, response, dependencies).catch((error) => {
      console.error(error);
      response.destroy();
    });
  });
}

/** The same forwarder without any judgement: what governing costs is the difference. */
export function createUngoverned(forwarder: Forwarder, bounds: ProxyBounds): Server {
  return createServer({ keepAliveTimeout: 65_000 }, async (request, response) => {
    const { method = 'GET', url: path = '/', rawHeaders } = request;
    const body = await readBytes(request, bounds.bodyMaxBytes);
    const result = await forwarder.relay({ method, path, rawHeaders, body }, response);
    if (result.outcome === 'failed' && !result.answered) problem(response, 502, 'UPSTREAM', result.failure);
  });
}

async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  { core: { gate, snapshot, telemetry }, forwarder, clock, bounds }: PlainForwardDependencies,
): Promise<void> {
  const { method = 'GET', url: path = '/', rawHeaders } = request;
  const picture = snapshot.current(clock());
  if (!picture) return problem(response, 503, 'SNAPSHOT_STALE', 'No picture.');
  const bearer = authenticate(request.headers.authorization, picture);
  if ('code' in bearer) return problem(response, bearer.status, bearer.code, bearer.detail);
  const agent = identify(bearer, undefined, picture);
  if ('code' in agent) return problem(response, agent.status, agent.code, agent.detail);
  const body = await readBytes(request, bounds.bodyMaxBytes);
  const admission = await gate.admit({
    entry: 'http',
    agent,
    gatewayId: null,
    sessionKey: '',
    runId: null,
    taskId: agent.currentTaskId,
    callId: null,
    traceId: null,
    tool: TOOL,
    arguments: parseJson(body) as JsonObject,
    toolKind: null,
    cwd: null,
    workspace: agent.workspace,
    upstream: null,
    definition: null,
    ungated: false,
  });
  telemetry.decided('http', admission);
  if (admission.verdict !== 'allow') {
    return problem(response, 403, admission.reasons[0]?.code ?? 'DENIED', admission.reasons[0]?.message ?? 'Refused.');
  }
  const record = await gate.find(admission.id);
  if (record === null) return problem(response, 503, 'JOURNAL_UNAVAILABLE', 'The call is not known.');
  const begun = performance.now();
  const kept = new KeptText(bounds.outputMaxChars);
  const result = await forwarder.relay({ method, path, rawHeaders, body }, response, { tap: kept });
  if (result.outcome === 'failed' && !result.answered) problem(response, 502, 'UPSTREAM', 'The upstream did not answer.');
  await gate.complete(record, {
    status: isSuccess(result) ? 'success' : 'failed',
    output: kept.text(),
    error: result.outcome === 'failed' ? result.message : null,
    durationMs: Math.round(performance.now() - begun),
    costMicros: null,
  });
}

function isSuccess(result: Relayed | ForwardFailure): boolean {
  return result.outcome === 'relayed' && result.status < 400;
}

/** The beginning of an answer, for its record. */
class KeptText implements Tap {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  head(): void {}

  chunk(bytes: Buffer): void {
    if (this.#bytes >= this.#maxBytes) return;
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8', 0, this.#maxBytes);
  }
}
