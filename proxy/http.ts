/**
 * HTTP tools (SPEC 3): any REST service that an administrator registered, at /http/{upstream}/…. A request is a call: its method and path
 * name the tool by the upstream's routes, admission judges it, the upstream's secret is set, and the answer streams back. It decides nothing.
 *
 *   request   who asks, for which upstream → read → admitted (held: the connection stays open, bounded) → the same bytes go out
 *   answer    streams to the agent with backpressure; what came of it is recorded
 *
 * Invariants:
 * - The bytes that were judged go out, to that upstream and nowhere else; the agent's credential ends here.
 * - Every call that was allowed gets an outcome: also where the agent leaves, the upstream fails, or somebody stops it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AgentPicture, UpstreamPicture } from '../control/contract.ts';
import type { Admission, Gatekeeper, Outcome } from './admission.ts';
import { BadRequest, readBytes } from './body.ts';
import type { ProxyBounds } from './config.ts';
import { type ForwardFailure, headerOf, type Relayed } from './forward.ts';
import { outgoingOf, readToolRequest, type ToolRequest } from './http-request.ts';
import { HttpUpstream } from './http-upstream.ts';
import { attribute, authenticateAgent, OUT_OF_TOUCH } from './identity.ts';
import type { CallRecord } from './register.ts';
import { leavingSignal, problem, refusalText, refuseEntry } from './respond.ts';
import { nameRequest } from './routes.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Telemetry } from './telemetry.ts';
import { traceOf } from './traces.ts';
import type { Uplink } from './uplink.ts';

export interface HttpDependencies {
  gate: Gatekeeper;
  snapshot: Snapshot;
  uplink: Pick<Uplink, 'foundUpstream'>;
  telemetry: Telemetry;
  clock: () => number;
  bounds: ProxyBounds;
  log: { warn: (fields: object, message: string) => void };
}

export type HttpTools = ReturnType<typeof createHttpTools>;

/** A call that was allowed and is under way. */
interface Running {
  agentId: string;
  abort: AbortController;
}

const PAUSE_MS = 500;
const REPORT_EVERY_MS = 15_000;

export function createHttpTools({ gate, snapshot, uplink, telemetry, clock, bounds, log }: HttpDependencies) {
  const upstreams = new Map<string, HttpUpstream>();
  const running = new Set<Running>();
  const told = new Map<string, { ok: boolean; at: number }>();

  /** @returns false where the path is none of ours. */
  async function handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const match = /^\/http\/([^/]{1,200})(\/.*)?$/.exec(path);
    if (!match) return false;
    const picture = snapshot.current(clock());
    if (!picture) return refuseEntry(response, { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH });
    const agent = authenticateAgent(request.headers.authorization, picture, 'HTTP tools are');
    if ('code' in agent) return refuseEntry(response, agent);
    const [, name = '', rest = '/'] = match;
    const upstream = picture.upstream(name);
    if (upstream?.kind !== 'http' || upstream.url === null) {
      problem(response, 404, 'NOT_FOUND', `There is no HTTP tool "${name.slice(0, 64)}" here.`);
      return true;
    }
    if (request.method === 'TRACE') {
      problem(response, 405, 'METHOD_NOT_ALLOWED', 'TRACE would show our credential.');
      return true;
    }
    const mark = request.url?.indexOf('?') ?? -1;
    const target = mark < 0 ? rest : `${rest}${request.url?.slice(mark)}`;
    const call = readToolRequest(request, target, await readBytes(request, bounds.bodyMaxBytes));
    await serve(request, response, call, agent, upstream, picture);
    return true;
  }

  async function serve(
    request: IncomingMessage,
    response: ServerResponse,
    call: ToolRequest,
    agent: AgentPicture,
    upstream: UpstreamPicture,
    picture: Picture,
  ): Promise<void> {
    const sessionKey = askedBy(request, 'x-mc-session') ?? '';
    const attribution = attribute(agent, askedBy(request, 'x-mc-task'), sessionKey, picture);
    if ('code' in attribution) return void refuseEntry(response, attribution);
    const { tool } = nameRequest(upstream, call.method, call.path);
    let admission = await gate.admit({
      entry: 'http',
      agent,
      gatewayId: null,
      sessionKey,
      taskId: attribution.taskId,
      runId: askedBy(request, 'x-mc-run') ?? null,
      ...traceOf(askedBy(request, 'traceparent') ?? undefined),
      callId: null,
      tool,
      arguments: call.arguments,
      toolKind: null,
      cwd: null,
      workspace: agent.workspace,
      upstream: upstream.name,
      definition: null,
      // Where the plugin of a gated agent is silent, nothing else of it is believed (SPEC 3.4).
      ungated: agent.gate === 'openclaw' && !picture.isGateLive(agent, clock()),
    });
    telemetry.decided('http', admission);
    if (admission.verdict === 'deny') return answerRefused(response, agent, admission);
    const record = await gate.find(admission.id).catch(() => null);
    if (record === null) return problem(response, 503, 'SNAPSHOT_STALE', 'The call could not be followed up. Try again shortly.');
    if (admission.verdict === 'hold') admission = await waitFor(record, admission, leavingSignal(response));
    if (admission.verdict !== 'allow') return answerRefused(response, agent, admission);
    await forward(response, call, admission, record, upstream);
  }

  /** The inline wait of a held call, on its own connection; a caller that leaves ends it, and the hold stays. */
  async function waitFor(record: CallRecord, first: Admission, gone: AbortSignal): Promise<Admission> {
    let admission = first;
    while (admission.verdict === 'hold' && admission.waiting && !gone.aborted) {
      const before = clock();
      admission = await gate.take(record, bounds.pollMaxMs, gone);
      // Control away: the hold stays, and is looked at again shortly.
      if (admission.verdict === 'hold' && admission.waiting && clock() - before < PAUSE_MS) await pause(PAUSE_MS, gone);
    }
    return admission;
  }

  async function forward(
    response: ServerResponse,
    call: ToolRequest,
    { arguments: edited }: Extract<Admission, { verdict: 'allow' }>,
    record: CallRecord,
    registered: UpstreamPicture,
  ): Promise<void> {
    const startedAt = clock();
    const exchange: Running = { agentId: record.agentId, abort: new AbortController() };
    running.add(exchange);
    const answer = new AnswerText(bounds.outputMaxChars);
    try {
      const upstream = upstreamOf(registered);
      const outgoing = outgoingOf(call, edited, upstream.base);
      if (
        edited !== null &&
        nameRequest(registered, call.method, String(edited.path)).tool !== nameRequest(registered, call.method, call.path).tool
      )
        throw new BadRequest(400, 'EDIT', 'The approver changed the path to that of another tool. Make that request anew.');
      const stopped = gate.mayContinue(record);
      if (stopped !== null) {
        settle(record, { status: 'failed', error: stopped.message, costMicros: 0 }, startedAt);
        return problem(response, 403, stopped.code, stopped.message);
      }
      const result = await upstream.relay(outgoing, response, { signal: exchange.abort.signal, tap: answer });
      settle(record, outcomeOf(call, result, answer), startedAt);
      if (result.outcome === 'failed' && !result.answered) answerFailed(response, registered, result);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      settle(record, { status: 'failed', error: message, costMicros: 0 }, startedAt);
      throw error;
    } finally {
      running.delete(exchange);
    }
  }

  function settle(record: CallRecord, outcome: Partial<Outcome> & Pick<Outcome, 'status'>, startedAt: number): void {
    const whole: Outcome = { output: null, error: null, costMicros: null, durationMs: clock() - startedAt, ...outcome };
    gate
      .complete(record, whole)
      .catch((error) => log.warn({ err: error, callId: record.id }, 'the outcome of a call could not be recorded'));
  }

  /** The way to an upstream as it is registered now; what was opened under an earlier revision is closed. */
  function upstreamOf(registered: UpstreamPicture): HttpUpstream {
    const known = upstreams.get(registered.id);
    if (known?.picture.revision === registered.revision) return known;
    void known?.close();
    const upstream = new HttpUpstream(registered, clock, (ok, error) => report(registered.id, ok, error));
    upstreams.set(registered.id, upstream);
    return upstream;
  }

  /** Control hears of each change, and that an upstream is well now and then. */
  function report(id: string, ok: boolean, error: string | null): void {
    const last = told.get(id);
    const now = clock();
    if (last && last.ok === ok && now - last.at < REPORT_EVERY_MS) return;
    told.set(id, { ok, at: now });
    uplink.foundUpstream(id, { ok, error }).catch(() => told.delete(id));
  }

  /** After a change of the picture: what may no longer go on is cut, and ways to upstreams that are gone are closed. */
  function review(): number {
    // A stop cuts whatever else is known, and however old it is.
    const { estop } = snapshot.system();
    const picture = snapshot.current(clock());
    if (!picture && !estop) return 0;
    let cut = 0;
    for (const { agentId, abort } of running) {
      const status = picture?.agent(agentId)?.status;
      if (abort.signal.aborted || !(estop || status === undefined || status === 'quarantined' || status === 'stopped')) continue;
      abort.abort();
      cut++;
    }
    if (!picture) return cut;
    for (const [id, upstream] of upstreams) {
      if (picture.upstream(upstream.picture.name)?.id === id) continue;
      upstreams.delete(id);
      void upstream.close();
    }
    return cut;
  }

  async function close(): Promise<void> {
    await Promise.all([...upstreams.values()].map((upstream) => upstream.close()));
  }

  return { handle, review, close, running: () => running.size };
}

const TEXT_TYPE = /^(?:text\/|application\/(?:[\w.+-]+\+)?(?:json|xml)\b)/i;

/** Keeps the beginning of an answer that is text, for the record. */
class AnswerText {
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #isText = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  head = (_status: number, headers: readonly string[]): void => {
    const type = headerOf(headers, 'content-type') ?? '';
    this.#isText = TEXT_TYPE.test(type) && headerOf(headers, 'content-encoding') === undefined;
  };

  chunk = (bytes: Buffer): void => {
    if (!this.#isText || this.#size >= this.#maxBytes) return;
    const kept = bytes.subarray(0, this.#maxBytes - this.#size);
    // A copy: the chunk may be a view into a buffer that is much larger.
    this.#chunks.push(Buffer.from(kept));
    this.#size += kept.length;
  };

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8');
  }
}

/** Its error says what was asked: the same failure of another request is another error to the loop detector. */
function outcomeOf(
  { method, path }: ToolRequest,
  result: Relayed | ForwardFailure,
  answer: AnswerText,
): Partial<Outcome> & Pick<Outcome, 'status'> {
  if (result.outcome === 'relayed') {
    const text = answer.text();
    const output = `HTTP ${result.status}, ${result.bytes} bytes${text === '' ? '' : `\n${text}`}`;
    return result.status < 400
      ? { status: 'success', output }
      : { status: 'failed', output, error: `${method} ${path}: HTTP ${result.status}` };
  }
  const { failure, mayHaveRun, status, bytes } = result;
  const error = `${method} ${path}: ${result.message}`;
  const output = status === null ? null : `HTTP ${status}, ${bytes} bytes until it ended`;
  if (!mayHaveRun) return { status: 'failed', output, error, costMicros: 0 };
  // It was sent, and the rest of the answer nobody has seen.
  const isUnknown = failure === 'client_gone' || failure === 'client_stalled' || failure === 'cut';
  return { status: isUnknown ? 'unknown' : 'failed', output, error };
}

function answerRefused(response: ServerResponse, agent: AgentPicture, admission: Exclude<Admission, { verdict: 'allow' }>): void {
  const { id, risk, reasons } = admission;
  if (admission.verdict === 'hold') {
    const { number } = admission.approval;
    const how =
      agent.gatewayId === null ? 'repeat exactly this request after it was approved' : 'you will be told when a person has decided';
    const detail = `Approval ${number} is pending and nothing ran. Do not retry and do not work around it: end your turn, ${how}; it then runs once.`;
    problem(response, 403, 'APPROVAL_PENDING', detail, {
      id,
      risk,
      reasons,
      approvalId: admission.approval.id,
      approvalNumber: number,
    });
    return;
  }
  const code = reasons[0]?.code ?? 'DENIED';
  problem(response, admission.kind === 'unavailable' ? 503 : 403, code, refusalText(reasons), { id, risk, reasons });
}

/** The upstream's address and its own words stay here: they are in the record. */
function answerFailed(response: ServerResponse, { name }: UpstreamPicture, { failure, mayHaveRun }: ForwardFailure): void {
  const [status, what] = FAILURES[failure];
  const detail = `The HTTP tool "${name}" ${what}. ${mayHaveRun ? 'It may have run.' : 'Nothing ran.'}`;
  problem(response, status, failure === 'cut' ? 'CUT' : 'UPSTREAM_UNAVAILABLE', detail, { mayHaveRun });
}

const FAILURES: Record<ForwardFailure['failure'], readonly [status: number, what: string]> = {
  busy: [503, 'has as many requests under way as it may have'],
  unreachable: [502, 'cannot be reached'],
  timeout: [504, 'did not answer in time'],
  broken: [502, 'did not answer with HTTP that can be passed on'],
  too_large: [502, 'answered with more than its limit'],
  client_gone: [502, 'was not waited for'],
  client_stalled: [502, 'was not listened to'],
  cut: [503, 'was cut off: the agent was stopped, or Mission Control ends'],
  invalid: [400, 'cannot be sent this request'],
};

function askedBy(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
