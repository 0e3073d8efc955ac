/**
 * The model entry point (SPEC 3): `/model/{provider}/…` in front of OpenAI chat completions and responses, and Anthropic messages. It
 * reads what a request can cost at most, has it admitted like any other call, lowers its limit to what the budget pays for, and reads
 * from the answer what it did cost. It judges nothing itself.
 *
 *   request   who asks → what can it cost → admitted and reserved → sent on → metered as it comes back → settled
 *
 * Invariants:
 * - Nothing is sent that was not admitted with its upper bound reserved; what goes out is what was judged, apart from the limit and the
 *   usage that are added to it.
 * - Every admitted call is settled once, however it ends: by what the provider said, or by an estimate that says so.
 * - The agent's credential ends here; the provider's key is in no answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AgentPicture, GateReason, UpstreamPicture } from '../control/contract.ts';
import type { Json, JsonObject, Micros } from '../policies/index.ts';
import { affordableTokens, costBoundOf, type ModelApi, type ModelRequest, readModelRequest, upperCost } from '../policies/model-request.ts';
import { pricesOf } from '../policies/prices.ts';
import type { Admission, CallRequest, Gatekeeper } from './admission.ts';
import { BadRequest, parseJson, readBytes } from './body.ts';
import type { ProxyBounds } from './config.ts';
import type { ForwardFailure, Relayed } from './forward.ts';
import { attribute, authenticate, type IdentityRefusal, OUT_OF_TOUCH, rootOf } from './identity.ts';
import type { Journal } from './journal.ts';
import { membersOf } from './json-members.ts';
import { answerCompletion, answerError, type Shape } from './model-answer.ts';
import { type Answer, MeteredAnswer, type Metering, PlainAnswer, type Settlement } from './model-metering.ts';
import { outgoingText } from './model-outgoing.ts';
import { ModelUpstream } from './model-upstream.ts';
import type { CallRecord } from './register.ts';
import { refusalText } from './respond.ts';
import type { SilentGates } from './silent-gates.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Telemetry } from './telemetry.ts';
import type { ToolResults } from './tool-results.ts';
import { type Traces, traceOf } from './traces.ts';
import type { Uplink } from './uplink.ts';

export interface ModelDependencies {
  gate: Gatekeeper;
  snapshot: Snapshot;
  journal: Journal;
  silent: SilentGates;
  traces: Traces;
  results: ToolResults;
  uplink: Pick<Uplink, 'foundUpstream'>;
  telemetry: Telemetry;
  clock: () => number;
  bounds: ProxyBounds;
  log: { warn: (fields: object, message: string) => void };
}

export type ModelEntry = ReturnType<typeof createModelEntry>;

/** Who asks which provider, for which path. */
interface Caller {
  agent: AgentPicture;
  upstream: UpstreamPicture;
  picture: Picture;
  shape: Shape;
  credential: 'authorization' | 'x-api-key';
  /** Below the provider: path, and query with its question mark. */
  path: string;
  query: string;
  attribution: Pick<CallRequest, 'taskId' | 'runId' | 'sessionKey' | 'traceId' | 'parentSpanId'>;
}

/** A call whose answer is under way. */
interface OpenCall {
  record: CallRecord;
  end: AbortController;
  /** What ended it from here. */
  stop: GateReason | null;
  done: Promise<void>;
}

const FOUND_EVERY_MS = 15_000;
const EXCERPT_MAX_CHARS = 500;
/** What may stand in a path: nothing that another reader could take for another path. */
const PLAIN_PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._~:@!$&'()*+,;=-]+)+\/?$/;
const METERED = /\/(?:chat\/completions|responses|messages)\/?$/i;
/** Lists of models and counts of tokens cost nothing at any provider. */
const FREE: readonly [method: string, path: RegExp][] = [
  ['GET', /^(?:\/v\d+[a-z0-9]*)?\/models(?:\/[^/]+)*$/],
  ['POST', /\/messages\/count_tokens$/],
  ['POST', /\/responses\/input_tokens$/],
];

const BROKEN = [502, 'UPSTREAM_UNAVAILABLE', 'The provider could not be asked, or its answer broke off.'] as const;
/** What a client is told where the provider gave no answer; null = nobody is there any more. */
const FAILURES: Record<ForwardFailure['failure'], readonly [status: number, code: string, message: string] | null> = {
  client_gone: null,
  client_stalled: null,
  busy: [503, 'UPSTREAM_BUSY', 'Too many requests to this provider are under way here. Try again shortly.'],
  timeout: [504, 'UPSTREAM_TIMEOUT', 'The provider did not answer in time.'],
  invalid: [400, 'MALFORMED', 'The request cannot be sent on as it is.'],
  unreachable: BROKEN,
  broken: BROKEN,
  too_large: BROKEN,
  cut: BROKEN,
};

export function createModelEntry({
  gate,
  snapshot,
  journal,
  silent,
  traces,
  results,
  uplink,
  telemetry,
  clock,
  bounds,
  log,
}: ModelDependencies) {
  const ways = new Map<string, ModelUpstream>();
  /** Ways of an earlier revision, until what is under way there has ended. */
  const retired = new Set<ModelUpstream>();
  const open = new Set<OpenCall>();
  const found = new Map<string, { ok: boolean; at: number }>();

  /** @returns false where the path is none of ours. */
  async function handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const match = /^\/model\/([^/]{1,200})(\/.*)$/.exec(path);
    if (!match) return false;
    const [, name = '', rest = ''] = match;
    const shape: Shape = /\/messages(?:\/|$)/.test(rest) || request.headers['anthropic-version'] !== undefined ? 'anthropic' : 'openai';
    try {
      await serve(request, response, name, rest, shape);
    } catch (error) {
      if (!(error instanceof BadRequest)) throw error;
      // The rest of a body that is not read must not be taken for the next request.
      response.setHeader('connection', 'close');
      answerError(response, shape, error.status === 413 ? 413 : 400, error.code, error.message);
    }
    return true;
  }

  async function serve(request: IncomingMessage, response: ServerResponse, name: string, path: string, shape: Shape): Promise<void> {
    const picture = snapshot.current(clock());
    if (!picture) return answerError(response, shape, 503, 'SNAPSHOT_STALE', OUT_OF_TOUCH);
    const known = agentOf(request, picture);
    if ('code' in known) return answerError(response, shape, known.status, known.code, known.detail);
    const upstream = picture.upstream(name);
    if (upstream?.kind !== 'model' || upstream.url === null)
      return answerError(response, shape, 404, 'NOT_FOUND', `There is no model provider "${name.slice(0, 64)}" here.`);
    if (!PLAIN_PATH.test(path)) return answerError(response, shape, 400, 'BAD_PATH', 'The path is not written plainly.');
    const attributed = attributionOf(request, known.agent, picture);
    if ('code' in attributed) return answerError(response, shape, 400, attributed.code, attributed.detail);
    const mark = request.url?.indexOf('?') ?? -1;
    const query = mark < 0 ? '' : (request.url ?? '').slice(mark);
    const caller: Caller = { ...known, ...attributed, upstream, picture, shape, path, query };
    if (request.method === 'POST' && METERED.test(path)) return ask(request, response, caller);
    return passOn(request, response, caller);
  }

  /* ------------------------------------------------------------ who asks */

  /** One credential, in either header; two that differ are ambiguous and refused. */
  function agentOf(request: IncomingMessage, picture: Picture): Pick<Caller, 'agent' | 'credential'> | IdentityRefusal {
    const key = request.headers['x-api-key'];
    const { authorization } = request.headers;
    const byKey = typeof key === 'string' ? `Bearer ${key}` : undefined;
    if (byKey !== undefined && authorization !== undefined && byKey !== authorization)
      return { status: 401, code: 'UNAUTHENTICATED', detail: 'Two credentials came with this request; send one.' };
    const bearer = authenticate(byKey ?? authorization, picture);
    if ('code' in bearer) return bearer;
    if (bearer.kind === 'gateway')
      return { status: 401, code: 'AGENT_TOKEN_REQUIRED', detail: 'Models are for agents: send the token of one agent.' };
    return { agent: bearer.agent, credential: byKey === undefined ? 'authorization' : 'x-api-key' };
  }

  /** By header, else by what the gate heard of the same trace, else the agent's current task. */
  function attributionOf(
    request: IncomingMessage,
    agent: AgentPicture,
    picture: Picture,
  ): Pick<Caller, 'agent' | 'attribution'> | IdentityRefusal {
    const header = (name: string) => {
      const value = request.headers[name];
      return typeof value === 'string' && value.length <= 512 ? value : undefined;
    };
    const named = traceOf(header('traceparent'));
    const traced = ownTrace(named.traceId, agent, picture);
    const sessionKey = header('x-mc-session') ?? traced?.sessionKey ?? '';
    const attribution = attribute(agent, header('x-mc-task'), sessionKey, picture);
    if ('code' in attribution) return attribution;
    const taskId = header('x-mc-task') === undefined && traced !== null ? traced.taskId : attribution.taskId;
    const asking = traced === null ? agent : (picture.agent(traced.agentId) ?? agent);
    return { agent: asking, attribution: { taskId, sessionKey, runId: header('x-mc-run') ?? traced?.runId ?? null, ...named } };
  }

  /** What the gate heard of a trace, where it is of this agent or of a sub-agent of its, which asks with the same entry. */
  function ownTrace(traceId: string | null, agent: AgentPicture, picture: Picture) {
    const traced = traces.find(traceId, clock());
    return traced !== null && (traced.agentId === agent.id || rootOf(traced.agentId, picture) === agent.id) ? traced : null;
  }

  /* ------------------------------------------------------------ metered requests */

  async function ask(request: IncomingMessage, response: ServerResponse, caller: Caller): Promise<void> {
    const { upstream, picture, path, shape } = caller;
    const api: ModelApi = /\/messages\/?$/i.test(path) ? 'messages' : /\/responses\/?$/i.test(path) ? 'responses' : 'chat';
    const encoding = request.headers['content-encoding'];
    if (encoding !== undefined && encoding !== 'identity') throw new BadRequest(400, 'ENCODED', 'Send the body as it is, not compressed.');
    const bytes = await readBytes(request, bounds.modelBodyMaxBytes);
    const body = parseJson(bytes) as Json;
    if (!isObject(body)) throw new BadRequest(400, 'MALFORMED', 'The body must be a JSON object.');
    const text = bytes.toString('utf8');
    const names = membersOf(text).map((member) => member.name);
    // Two readers may take different ones of them: what is judged would not be what is answered.
    if (new Set(names).size !== names.length) throw new BadRequest(400, 'MALFORMED', 'A member of the body stands there twice.');
    reportResults(caller.agent, api, body);

    const read = readModelRequest(api, body, bytes.length);
    if ('why' in read && read.malformed) throw new BadRequest(400, 'MALFORMED', `${read.why}.`);
    const metering = 'why' in read ? read : meteringOf(read, upstream, picture);
    const admission = await admit(caller, argumentsOf(caller, api, body, metering), {
      model: { provider: upstream.name, name: modelOf(body) },
      estimate: (left) => ('why' in metering ? null : reserve(metering, left)),
    });
    if (admission.verdict !== 'allow') {
      const why = 'why' in metering ? metering.why : null;
      const stream = body.stream === true;
      return refuse(response, shape, admission, why, { api, model: modelOf(body), stream }, picture);
    }
    if ('why' in metering) return answerError(response, shape, 400, 'PRICE_UNKNOWN', `${metering.why}.`);
    const record = await gate.find(admission.id).catch(() => null);
    if (record === null) return answerError(response, shape, 503, 'SNAPSHOT_STALE', 'The call was lost. Nothing ran; try again.');
    const outgoing = outgoingText(text, body, metering, upstream);
    const answer = new MeteredAnswer(metering, record, upstream, gate);
    await run(response, caller, record, request, Buffer.from(outgoing), answer);
  }

  /** The prices of a request and what it can cost at most, or why that cannot be said. */
  function meteringOf(request: ModelRequest, upstream: UpstreamPicture, picture: Picture): Metering | { why: string } {
    const { model } = request;
    const prices = pricesOf({ upstream: upstream.name, url: upstream.url, model, at: clock() }, picture.policy);
    if (prices === null) return { why: `the price of ${model} at ${upstream.name} is not known` };
    const bound = costBoundOf(request, prices);
    if ('why' in bound) return bound;
    const most = prices.outputTokens ?? prices.contextTokens ?? Number.POSITIVE_INFINITY;
    const usual = Math.min(picture.policy.document.model.defaultOutputTokens, most);
    return { request, prices, bound, granted: request.outputTokens ?? usual };
  }

  /** The upper bound that is reserved: with the limit that was asked for, or a lower one that is still paid for. */
  function reserve(metering: Metering, left: Micros | null): Micros {
    const { request, bound } = metering;
    const wanted = request.outputTokens ?? metering.granted;
    const affordable = left === null ? wanted : Math.min(wanted, affordableTokens(bound, left));
    metering.granted = Math.max(affordable, Math.min(wanted, request.leastOutputTokens));
    return upperCost(bound, metering.granted);
  }

  function argumentsOf({ upstream }: Caller, api: ModelApi, body: JsonObject, metering: Metering | { why: string }): JsonObject {
    const known =
      'why' in metering
        ? { unbounded: metering.why }
        : {
            maxInputTokens: metering.bound.inputTokens,
            maxOutputTokens: metering.request.outputTokens,
            messages: metering.request.messages,
            tools: metering.request.tools,
          };
    const message = excerptOf(body[api === 'responses' ? 'input' : 'messages']);
    return { provider: upstream.name, model: modelOf(body), api, stream: body.stream === true, ...known, message };
  }

  /* ------------------------------------------------------------ other paths */

  /** What nobody meters: what costs nothing passes, the rest as the policy says. Admitted all the same. */
  async function passOn(request: IncomingMessage, response: ServerResponse, caller: Caller): Promise<void> {
    const { path, picture, shape } = caller;
    const method = request.method ?? 'GET';
    const isFree = FREE.some(([verb, pattern]) => (verb === method || (verb === 'GET' && method === 'HEAD')) && pattern.test(path));
    if (!isFree && picture.policy.document.model.otherPaths === 'refuse') {
      const why = `${method} ${path.slice(0, 100)} is not metered, and the policy refuses what is not (model.otherPaths).`;
      return answerError(response, shape, 400, 'RULE', why);
    }
    const body = method === 'GET' || method === 'HEAD' ? null : await readBytes(request, bounds.modelBodyMaxBytes);
    const admission = await admit(caller, { provider: caller.upstream.name, method, path }, { estimate: () => 0 });
    if (admission.verdict !== 'allow') return refuse(response, shape, admission, null, null, picture);
    const record = await gate.find(admission.id).catch(() => null);
    if (record === null) return answerError(response, shape, 503, 'SNAPSHOT_STALE', 'The call was lost. Nothing ran; try again.');
    await run(response, caller, record, request, body, new PlainAnswer(record, caller.upstream));
  }

  /* ------------------------------------------------------------ admission */

  async function admit(
    { agent, picture, attribution }: Caller,
    args: JsonObject,
    more: Pick<CallRequest, 'model' | 'estimate'>,
  ): Promise<Admission> {
    const ungated = agent.gate === 'openclaw' && !picture.isGateLive(agent, clock());
    if (ungated) silent.note(agent, 'model_call');
    const admission = await gate.admit({
      entry: 'model',
      agent,
      gatewayId: null,
      ...attribution,
      callId: null,
      tool: 'model_call',
      arguments: args,
      toolKind: null,
      cwd: null,
      workspace: agent.workspace,
      upstream: null,
      definition: null,
      ungated,
      ...more,
    });
    telemetry.decided('model', admission);
    return admission;
  }

  /** A refusal by policy is a 400 or looks like an answer; that we cannot judge is a 503, which clients try again. */
  function refuse(
    response: ServerResponse,
    shape: Shape,
    admission: Exclude<Admission, { verdict: 'allow' }>,
    why: string | null,
    request: { api: ModelApi; model: string; stream: boolean } | null,
    { policy }: Picture,
  ): void {
    const code = admission.reasons[0]?.code ?? 'DENIED';
    const text = `${refusalText(admission.reasons)}${why === null ? '' : ` (${why})`}`;
    response.setHeader('x-mc-call', admission.id);
    const isUnavailable = admission.verdict === 'deny' && admission.kind === 'unavailable';
    if (!isUnavailable && request !== null && policy.document.model.refuseAs === 'completion')
      answerCompletion(response, request, admission.id, text, clock());
    else answerError(response, shape, isUnavailable ? 503 : 400, code, text);
  }

  /** What an agent's tools gave back, for control to hold against what its gate was asked about (SPEC 10). Nobody waits for it. */
  function reportResults({ id: agentId, gate: kind, gatewayId }: AgentPicture, api: ModelApi, body: JsonObject): void {
    if (kind !== 'openclaw' || gatewayId === null) return;
    const fresh = results.fresh(agentId, api, body);
    if (fresh.length > 0) void journal.append({ type: 'results', at: clock(), agentId, gatewayId, results: fresh }, false).catch(() => {});
  }

  /* ------------------------------------------------------------ to the provider and back */

  async function run(
    response: ServerResponse,
    caller: Caller,
    record: CallRecord,
    request: IncomingMessage,
    body: Buffer | null,
    answer: Answer,
  ): Promise<void> {
    const { upstream, picture, path, query, credential, shape } = caller;
    const done = Promise.withResolvers<void>();
    const call: OpenCall = { record, end: new AbortController(), stop: null, done: done.promise };
    open.add(call);
    const startedAt = clock();
    try {
      const drains = picture.policy.document.model.onDisconnect === 'drain';
      const result = await wayTo(upstream).relay(
        { method: request.method ?? 'GET', path: path + query, rawHeaders: request.rawHeaders, body, credential },
        response,
        {
          filter: answer,
          endSignal: call.end.signal,
          ...(drains && { drainMaxMs: bounds.modelDrainMaxMs }),
        },
      );
      learn(upstream, result);
      if (result.outcome === 'failed' && !result.answered) answerFailure(response, shape, result, call.stop);
      await settle(record, answer.outcome(result, call.stop), clock() - startedAt);
    } finally {
      open.delete(call);
      done.resolve();
    }
  }

  async function settle(record: CallRecord, outcome: Settlement, durationMs: number): Promise<void> {
    try {
      await gate.complete(record, { output: null, ...outcome, durationMs });
    } catch (error) {
      // Its reservation stays and counts as spent.
      log.warn({ err: error, callId: record.id }, 'the outcome of a model call could not be recorded');
    }
  }

  function answerFailure(response: ServerResponse, shape: Shape, { failure }: ForwardFailure, stop: GateReason | null): void {
    const told = stop === null ? FAILURES[failure] : ([400, stop.code, refusalText([stop])] as const);
    if (told !== null) answerError(response, shape, ...told);
  }

  /* ------------------------------------------------------------ providers */

  function wayTo(upstream: UpstreamPicture): ModelUpstream {
    const known = ways.get(upstream.id);
    if (known?.picture.revision === upstream.revision) return known;
    if (known) retire(known);
    const way = new ModelUpstream(upstream);
    ways.set(upstream.id, way);
    return way;
  }

  function retire(way: ModelUpstream): void {
    if (way.isIdle) void way.close();
    else retired.add(way);
  }

  /** Control hears of each change, and that a provider is well now and then. */
  function learn({ id }: UpstreamPicture, result: Relayed | ForwardFailure): void {
    for (const way of retired) {
      if (!way.isIdle) continue;
      retired.delete(way);
      void way.close();
    }
    const isTheirs = result.outcome === 'relayed' || ['unreachable', 'timeout', 'broken'].includes(result.failure);
    if (!isTheirs) return;
    const error = result.outcome === 'failed' ? result.message : result.status >= 500 ? `HTTP ${result.status}` : null;
    const last = found.get(id);
    const now = clock();
    if (last && last.ok === (error === null) && now - last.at < FOUND_EVERY_MS) return;
    found.set(id, { ok: error === null, at: now });
    uplink.foundUpstream(id, { ok: error === null, error }).catch(() => found.delete(id));
  }

  /** After a change of the picture: answers of agents that were stopped are ended, and ways to providers that are gone are closed. */
  function review(): number {
    const picture = snapshot.current(clock());
    // A stop cuts whatever else is known, and however old it is.
    if (!picture && !snapshot.system().estop) return 0;
    let cut = 0;
    for (const call of open) {
      const stop = call.end.signal.aborted ? null : gate.mayContinue(call.record);
      if (stop === null) continue;
      call.stop = stop;
      call.end.abort(stop);
      cut++;
    }
    if (!picture) return cut;
    for (const [id, way] of ways) {
      if (picture.upstream(way.picture.name)?.id === id) continue;
      ways.delete(id);
      void way.close();
    }
    return cut;
  }

  /** What is under way keeps its reservation; to be called well within `limits.reservationTtlMs`. */
  function renew(): void {
    for (const { record } of open) gate.renew(record);
  }

  /** Ends what is under way, and waits until it is settled. */
  async function close(): Promise<void> {
    await Promise.all([...ways.values(), ...retired].map((way) => way.close()));
    await Promise.all([...open].map((call) => call.done));
  }

  return { handle, review, renew, close };
}

/** The last thing that was said to the model, in short; for people who look at the record. */
function excerptOf(list: Json | undefined): string {
  const last = Array.isArray(list) ? list.at(-1) : list;
  const content = isObject(last) ? (last.content ?? last.output) : last;
  const parts = Array.isArray(content) ? content : [content];
  const texts = parts.flatMap((part) =>
    typeof part === 'string' ? part : isObject(part) && typeof part.text === 'string' ? part.text : [],
  );
  return texts.join(' ').slice(0, EXCERPT_MAX_CHARS);
}

function modelOf(body: JsonObject): string {
  return typeof body.model === 'string' ? body.model.slice(0, 200) : '';
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
