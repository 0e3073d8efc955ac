/**
 * The second gate (SPEC 3): MCP Streamable HTTP in front of every registered MCP server. Messages are relayed as they come, in both
 * directions; what would do something (tools/call, resources/read, prompts/get, and a server's sampling and elicitation) is admitted
 * first, by the same rules as everything else. It judges nothing itself.
 *
 *   request   who asks, for which server → what kind of message → (admitted?) → sent on as it came → the answer comes back
 *   held      the stream stays open and shows signs of life; a cancel, a DELETE or a stop ends the wait, and nothing is sent after it
 *
 * Invariants:
 * - Nothing that is judged is sent before admission allowed it, nor after its cancellation was heard.
 * - The agent's credential ends here; a server's session is told by an id that only this agent can use.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { AgentPicture, UpstreamPicture } from '../control/contract.ts';
import type { Json, JsonObject } from '../policies/index.ts';
import type { Admission, CallRequest, Gatekeeper, Outcome } from './admission.ts';
import { readBytes } from './body.ts';
import type { ProxyBounds } from './config.ts';
import { attribute, authenticate, type IdentityRefusal } from './identity.ts';
import type { Journal } from './journal.ts';
import { ClientAnswer } from './mcp-client.ts';
import { EventSplitter, EventTooLarge, eventText, LineSplitter } from './mcp-events.ts';
import { type UpstreamAnswer, UpstreamFailure } from './mcp-exchange.ts';
import {
  BadMessage,
  type Era,
  eraOf,
  errorMessage,
  headerMismatch,
  isKnownNotification,
  isKnownRequest,
  isObject,
  isServerNotification,
  isServerRequest,
  type Message,
  metaOf,
  RPC,
  type RpcId,
  readClientMessage,
  readServerMessage,
  refusedResult,
  resultMessage,
  textOfResult,
} from './mcp-message.ts';
import { type RoundState, type SessionState, StateSealer, subjectOf } from './mcp-state.ts';
import { newsOf, shownTools } from './mcp-tools.ts';
import { collect, McpUpstream } from './mcp-upstream.ts';
import type { CallRecord } from './register.ts';
import { problem, refusalText } from './respond.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Telemetry } from './telemetry.ts';
import { toolOf } from './tool-names.ts';
import type { Uplink } from './uplink.ts';

export interface McpDependencies {
  gate: Gatekeeper;
  snapshot: Snapshot;
  journal: Journal;
  uplink: Uplink;
  telemetry: Telemetry;
  clock: () => number;
  bounds: ProxyBounds;
  /** Host names that agents reach us by, besides addresses of this machine. */
  hostNames: readonly string[];
  /** Key of sessions and requestState, from control. */
  stateKey: string;
  log: { info: (fields: object, message: string) => void; warn: (fields: object, message: string) => void };
}

export type Mcp = ReturnType<typeof createMcp>;
type Request = Extract<Message, { kind: 'request' }>;

/** Who asks which server, and in which session. */
interface Context {
  agent: AgentPicture;
  upstream: UpstreamPicture;
  server: McpUpstream;
  picture: Picture;
  era: Era;
  session: SessionState | null;
  /** Tells apart whose request ids are whose; of the stateless era every request is on its own. */
  conversation: string;
  /** Headers that go on to the server. */
  headers: Record<string, string>;
  attribution: Pick<CallRequest, 'taskId' | 'runId' | 'sessionKey' | 'traceId'>;
}

/** A request of a client that has not been answered. */
interface OpenRequest {
  context: Context;
  message: Request;
  /** What is judged about it; null where nothing is. */
  record: CallRecord | null;
  /** The gate in OpenClaw reports what came of it. */
  isJoined: boolean;
  startedAt: number;
  abort: AbortController;
  isCancelled: boolean;
  /** It went to the server; until then nothing can have run. */
  isSent: boolean;
  /** Its answer may still come on another connection. */
  canResume: boolean;
  grace: NodeJS.Timeout | null;
  client: ClientAnswer;
}

/** Headers of the protocol; everything else of a client ends here. */
const PASSED = [
  'accept',
  'content-type',
  'mcp-protocol-version',
  'last-event-id',
  'mcp-method',
  'mcp-name',
  'traceparent',
  'tracestate',
  'baggage',
];
const UNGATED_EVERY_MS = 10_000;
const ROUND_TTL_MS = 24 * 60 * 60 * 1000;
const PAUSE_MS = 500;
const WITHDRAW_TRIES = 20;
const ERROR_BODY_MAX = 256 * 1024;

export function createMcp({ gate, snapshot, journal, uplink, telemetry, clock, bounds, hostNames, stateKey, log }: McpDependencies) {
  const sealer = new StateSealer(stateKey);
  const servers = new Map<string, McpUpstream>();
  /** By conversation, then by request id. */
  const open = new Map<string, Map<RpcId, OpenRequest>>();
  /** What servers have asked of clients and was let through, by conversation and id. */
  const asked = new Map<string, CallRecord>();
  /** Streams that only listen. */
  const listeners = new Set<{ agentId: string; upstreamId: string; client: ClientAnswer; conversation: string }>();
  const alerted = new Map<string, number>();
  const told = new Map<string, { ok: boolean; at: number }>();

  /** @returns false where the path is none of ours. */
  async function handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const name = /^\/mcp\/([^/]{1,200})$/.exec(path)?.[1];
    if (name === undefined) return false;
    const stranger = foreignHost(request);
    if (stranger !== null) {
      problem(response, 403, 'FOREIGN_HOST', stranger);
      return true;
    }
    const picture = snapshot.current(clock());
    if (!picture) {
      problem(
        response,
        503,
        'SNAPSHOT_STALE',
        'Mission Control has lost touch with its control process and cannot judge. Nothing ran; try again shortly.',
      );
      return true;
    }
    const bearer = authenticate(request.headers.authorization, picture);
    if ('code' in bearer) return refused(response, bearer);
    if (bearer.kind === 'gateway')
      return refused(response, { status: 403, code: 'AGENT_TOKEN_REQUIRED', detail: 'MCP is for agents: send the token of one agent.' });
    const upstream = picture.upstream(name);
    if (upstream?.kind !== 'mcp') {
      problem(response, 404, 'NOT_FOUND', `There is no MCP server "${name.slice(0, 64)}" here.`);
      return true;
    }
    switch (request.method) {
      case 'POST':
        await post(request, response, bearer.agent, upstream, picture);
        break;
      case 'GET':
      case 'DELETE':
        await listenOrEnd(request, response, request.method, bearer.agent, upstream, picture);
        break;
      default:
        response.setHeader('allow', 'POST, GET, DELETE');
        problem(response, 405, 'METHOD_NOT_ALLOWED', 'MCP uses POST, GET and DELETE.');
    }
    return true;
  }

  /* ------------------------------------------------------------ who asks, and what */

  /** A page of another site may reach us by a name that it controls (DNS rebinding); nobody else does by a name that we do not know. */
  function foreignHost(request: IncomingMessage): string | null {
    const host = hostOf(`http://${request.headers.host ?? ''}`);
    if (host === null || !(isIP(host) !== 0 || isOwnName(host)))
      return `This host name is not one of Mission Control's. Name it in MC_HOST_NAMES if it is.`;
    const { origin } = request.headers;
    if (origin === undefined) return null;
    const from = hostOf(origin);
    return from !== null && (isOwnName(from) || from === host) ? null : 'This request comes from a page of another site.';
  }

  function isOwnName(host: string): boolean {
    return host === 'localhost' || host === '127.0.0.1' || host === '::1' || hostNames.includes(host);
  }

  function contextOf(
    request: IncomingMessage,
    era: Era,
    agent: AgentPicture,
    upstream: UpstreamPicture,
    picture: Picture,
  ): Context | { status: 403 | 404; code: number; message: string } {
    const header = (name: string) => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const given = header('mcp-session-id');
    const session = era === 'legacy' && given !== undefined ? sealer.openSession(given, agent.id, upstream.name) : null;
    if (era === 'legacy' && given !== undefined && session === null)
      return { status: 404, code: -32001, message: 'Session not found; begin a new one with initialize.' };
    const sessionKey = header('x-mc-session') ?? '';
    const attribution = attribute(agent, header('x-mc-task'), sessionKey, picture);
    if ('code' in attribution) return { status: 403, code: RPC.invalidRequest, message: attribution.detail };
    const headers: Record<string, string> = {};
    for (const name of PASSED) {
      const value = header(name);
      if (value !== undefined) headers[name] = value;
    }
    for (const name of Object.keys(request.headers)) {
      const value = header(name);
      if (name.startsWith('mcp-param-') && value !== undefined) headers[name] = value;
    }
    if (session !== null && session.sid !== null) headers['mcp-session-id'] = session.sid;
    return {
      agent,
      upstream,
      server: serverOf(upstream),
      picture,
      era,
      session,
      conversation: `${agent.id}/${upstream.id}/${session?.nonce ?? ''}`,
      headers,
      attribution: {
        taskId: attribution.taskId,
        sessionKey,
        runId: header('x-mc-run') ?? null,
        traceId: /^00-([0-9a-f]{32})-/.exec(header('traceparent') ?? '')?.[1] ?? null,
      },
    };
  }

  async function post(
    request: IncomingMessage,
    response: ServerResponse,
    agent: AgentPicture,
    upstream: UpstreamPicture,
    picture: Picture,
  ): Promise<void> {
    const bytes = await readBytes(request, bounds.bodyMaxBytes);
    const client = new ClientAnswer(response, request.headers.accept, bounds.mcpKeepAliveMs);
    let message: Message;
    try {
      message = readClientMessage(bytes);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      return client.finish(errorMessage(error.id, error.code, error.message), 400);
    }
    const header = (name: string) => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const era = eraOf(message, header('mcp-protocol-version'));
    const id = message.kind === 'request' ? message.id : null;
    const mismatch = headerMismatch(message, era, header);
    if (mismatch !== null) return client.finish(errorMessage(id, RPC.headerMismatch, `Header mismatch: ${mismatch}.`), 400);
    const context = contextOf(request, era, agent, upstream, picture);
    if ('status' in context) return client.finish(errorMessage(id, context.code, context.message), context.status);
    switch (message.kind) {
      case 'request':
        return ask(context, message, bytes, client);
      case 'notification':
        return notify(context, message, bytes, client);
      case 'response':
        return reply(context, message, bytes, client);
    }
  }

  /* ------------------------------------------------------------ requests */

  async function ask(context: Context, message: Request, bytes: Buffer, client: ClientAnswer): Promise<void> {
    const { era } = context;
    if (!isKnownRequest(message.method, era)) {
      const error = errorMessage(message.id, RPC.methodNotFound, `Method not found: ${message.method.slice(0, 100)}`);
      return client.finish(error, era === 'modern' ? 404 : 200);
    }
    const request: OpenRequest = {
      context,
      message,
      record: null,
      isJoined: false,
      startedAt: clock(),
      abort: new AbortController(),
      isCancelled: false,
      isSent: false,
      canResume: false,
      grace: null,
      client,
    };
    if (!remember(request))
      return client.finish(errorMessage(message.id, RPC.invalidRequest, 'A request with this id is under way already.'), 400);
    const onGone = () => clientLeft(request);
    client.gone.addEventListener('abort', onGone);
    try {
      const outgoing = await clear(request, bytes);
      if (outgoing !== null && !request.isCancelled && client.isOpen) {
        request.isSent = true;
        await forward(request, outgoing);
      } else if (request.isCancelled && request.record !== null && !request.isJoined) {
        // Cancelled while it was judged: whatever came of that, nothing is done.
        await withdraw(request.record, 'cancelled by the client');
      } else if (outgoing !== null) {
        settle(request, { status: 'failed', error: 'the client left before it was sent', costMicros: 0 });
      }
    } finally {
      client.gone.removeEventListener('abort', onGone);
      if (!request.canResume) forget(request);
    }
  }

  /** Everything that must be so before a request goes on. @returns the bytes that go; null where it was answered here. */
  async function clear(request: OpenRequest, bytes: Buffer): Promise<Buffer | null> {
    const { context, message, client } = request;
    const judged = judgedOf(context, message);
    if (judged === null) return bytes;
    const { requestState } = message.params;
    let round: RoundState | null = null;
    if (typeof requestState === 'string' && sealer.isRound(requestState)) {
      round = sealer.openRound(requestState, context.agent.id, context.upstream.name, clock());
      if (round === null || round.method !== message.method || round.subject !== subjectOf(message.method, message.params)) {
        client.finish(
          errorMessage(
            message.id,
            RPC.invalidParams,
            'This requestState is not one for this request, or is too old. Ask again without it.',
          ),
          400,
        );
        return null;
      }
    }
    const admission = await admit(request, judged, round);
    if (admission === null) return null;
    if (admission.verdict !== 'allow') {
      answerRefused(request, admission);
      return null;
    }
    if (admission.arguments === null && round === null) return bytes;
    const params: JsonObject = { ...message.params };
    if (admission.arguments !== null) params.arguments = admission.arguments;
    if (round !== null) {
      delete params.requestState;
      if (round.state !== null) params.requestState = round.state;
      if (params.inputResponses === undefined && round.responses !== null) params.inputResponses = round.responses;
    }
    return Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: message.id, method: message.method, params }));
  }

  /** Admission of a client's request, with the wait where it is held. @returns null where the caller is gone or was answered. */
  async function admit(request: OpenRequest, judged: Judged, round: RoundState | null): Promise<Admission | null> {
    const { context, message } = request;
    const { agent } = context;
    if (round !== null) {
      const record = await gate.find(round.callId).catch(() => null);
      if (record !== null && (record.state === 'running' || record.state === 'held')) {
        request.record = record;
        request.isJoined = record.gatewayId !== null;
        if (record.state === 'held') return wait(request, record, { verdict: 'hold', waiting: true } as Admission);
        const stop = gate.mayContinue(record);
        if (stop === null) return { verdict: 'allow', id: record.id, risk: record.risk, reasons: [], arguments: record.editedArguments };
        settle(request, { status: 'unknown', error: stop.message });
        return { verdict: 'deny', id: record.id, risk: record.risk, reasons: [stop], kind: 'policy' };
      }
    }
    const joined = message.method === 'tools/call' ? gate.join(agent.id, judged.tool, judged.arguments) : null;
    if (joined !== null) {
      request.record = joined;
      request.isJoined = true;
      return { verdict: 'allow', id: joined.id, risk: joined.risk, reasons: [], arguments: null };
    }
    const ungated = isUngated(context, message.method);
    if (ungated) reportUngated(agent, judged.tool);
    const admission = await gate.admit(requestOf(context, judged, ungated));
    telemetry.decided('mcp', admission.verdict);
    if (admission.verdict === 'deny') return admission;
    const record = await gate.find(admission.id).catch(() => null);
    request.record = record;
    if (admission.verdict === 'allow' || record === null) return admission;
    return wait(request, record, admission);
  }

  function requestOf(context: Context, judged: Judged, ungated: boolean): CallRequest {
    const { agent, attribution } = context;
    return {
      entry: 'mcp',
      agent,
      gatewayId: null,
      ...attribution,
      callId: null,
      ...judged,
      toolKind: null,
      cwd: null,
      workspace: agent.workspace,
      ungated,
    };
  }

  /**
   * Holds a request open until a person has decided, the inline wait is over, or the caller ends it.
   * @returns null where nobody waits any more, or the client was asked to come back (stateless era).
   */
  async function wait(request: OpenRequest, record: CallRecord, first: Admission): Promise<Admission | null> {
    const { client, context } = request;
    const roundEnd = clock() + bounds.mcpRoundMs;
    const stopProgress = showProgress(request, record);
    let admission = first;
    try {
      // Of the stateless era the answer may have to be another than a stream's last event: it begins only when it is known.
      if (context.era === 'legacy') client.begin();
      while (admission.verdict === 'hold' && admission.waiting) {
        if (request.isCancelled || !client.isOpen) return null;
        const before = clock();
        if (context.era === 'modern' && before >= roundEnd) {
          askAgain(request, record, null, null);
          return null;
        }
        const waitMs = context.era === 'modern' ? Math.max(1, roundEnd - before) : bounds.pollMaxMs;
        admission = await gate.take(record, Math.min(waitMs, bounds.pollMaxMs), anyOf(client.gone, request.abort.signal));
        // Control away: the hold stays, and is looked at again shortly.
        if (admission.verdict === 'hold' && admission.waiting && clock() - before < PAUSE_MS) await pause(PAUSE_MS, request.abort.signal);
      }
    } finally {
      stopProgress();
    }
    return request.isCancelled ? null : admission;
  }

  /** Progress while a person is asked, where the client said how to tell it. Tiny steps: the server's own count comes after them. */
  function showProgress(request: OpenRequest, record: CallRecord): () => void {
    const { client, message, context } = request;
    const { progressToken } = metaOf(message.params);
    if ((typeof progressToken !== 'string' && typeof progressToken !== 'number') || context.era === 'modern') return () => {};
    let step = 0;
    const show = () => {
      if (!client.isStream || !client.isOpen) return;
      step++;
      const text = `Waiting for approval ${record.approval?.number ?? ''} by a person; nothing has run.`;
      const params = { progressToken, progress: step / 1_000_000, message: text };
      void client.write(eventText(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })));
    };
    const first = setImmediate(show);
    const timer = setInterval(show, bounds.mcpProgressMs);
    return () => {
      clearImmediate(first);
      clearInterval(timer);
    };
  }

  /** `input_required` of the stateless era: the client makes the request again, with the state that it is given here. */
  function askAgain(request: OpenRequest, record: CallRecord, state: string | null, result: JsonObject | null): void {
    const { context, message, client } = request;
    client.finish({ jsonrpc: '2.0', id: message.id, result: roundResult(context, message, record.id, state, result) });
  }

  function roundResult(context: Context, message: Request, callId: string, state: string | null, result: JsonObject | null): JsonObject {
    const requestState = sealer.sealRound({
      agentId: context.agent.id,
      upstream: context.upstream.name,
      method: message.method,
      subject: subjectOf(message.method, message.params),
      callId,
      state,
      responses: result === null ? (message.params.inputResponses ?? null) : null,
      expiresAt: clock() + ROUND_TTL_MS,
    });
    return { resultType: 'input_required', ...result, requestState };
  }

  function answerRefused({ context, message, client, record }: OpenRequest, admission: Exclude<Admission, { verdict: 'allow' }>): void {
    const { era } = context;
    const isTool = message.method === 'tools/call';
    if (admission.verdict === 'hold') {
      const number = admission.approval.number;
      const how =
        context.agent.gatewayId === null ? 'repeat exactly this call after it was approved' : 'you will be told when a person has decided';
      const text = `Approval ${number} is pending and nothing ran. Do not retry and do not work around it: end your turn, ${how}; it then runs once.`;
      const result = refusedResult('APPROVAL_PENDING', text, { 'mission-control/approval': admission.approval.id });
      if (isTool) client.finish(resultMessage(message.id, result, era));
      else client.finish(errorMessage(message.id, RPC.unavailable, text, { code: 'APPROVAL_PENDING', approvalId: admission.approval.id }));
      return;
    }
    const code = admission.reasons[0]?.code ?? 'DENIED';
    const text = refusalText(admission.reasons);
    const more = record === null ? {} : { 'mission-control/call': record.id };
    if (isTool) client.finish(resultMessage(message.id, refusedResult(code, text, more), era));
    else client.finish(errorMessage(message.id, RPC.unavailable, text, { code }));
  }

  /** A call of a gated agent that its gate was not asked about, or of one whose gate has fallen silent (SPEC 3.4). */
  function isUngated({ agent, picture }: Context, method: string): boolean {
    if (agent.gate !== 'openclaw') return false;
    return method === 'tools/call' || !picture.isGateLive(agent, clock());
  }

  function reportUngated(agent: AgentPicture, tool: string): void {
    const now = clock();
    if (now - (alerted.get(agent.id) ?? 0) < UNGATED_EVERY_MS) return;
    alerted.set(agent.id, now);
    void journal.append({ type: 'ungated', at: now, agentId: agent.id, gatewayId: agent.gatewayId, tool }, false).catch(() => {});
  }

  /* ------------------------------------------------------------ to the server and back */

  async function forward(request: OpenRequest, body: Buffer): Promise<void> {
    const { context, message, client } = request;
    const isInitialize = message.method === 'initialize';
    request.startedAt = clock();
    let answer: UpstreamAnswer;
    try {
      answer = await context.server.send({
        method: 'POST',
        headers: context.headers,
        body,
        isInitialize,
        isModern: context.era === 'modern',
        signal: anyOf(client.gone, request.abort.signal),
      });
    } catch (error) {
      return failed(
        request,
        error instanceof UpstreamFailure ? error : new UpstreamFailure('it could not be asked', true, { cause: error }),
      );
    }
    if (isInitialize && answer.status < 300) {
      // Also where the server keeps no sessions: so that a cancel finds what it is about.
      const session = { agentId: context.agent.id, upstream: context.upstream.name, sid: answer.sessionId, nonce: randomNonce() };
      client.nameSession(sealer.sealSession(session));
    }
    try {
      await deliver(request, answer);
    } catch (error) {
      answer.discard();
      if (request.isCancelled) return client.end();
      if (!client.isOpen) return;
      if (request.canResume && !(error instanceof EventTooLarge)) return endResumable(request);
      failed(request, error instanceof UpstreamFailure ? error : new UpstreamFailure(wordsOf(error), true, { cause: error }));
    }
  }

  async function deliver(request: OpenRequest, answer: UpstreamAnswer): Promise<void> {
    const { context, client, message } = request;
    if (answer.status < 200 || answer.status >= 300) return deliverError(request, answer);
    if (/^text\/event-stream\b/i.test(answer.contentType)) {
      client.begin();
      const isComplete = await relayEvents(context, answer, client, request);
      if (request.isCancelled || isComplete) return client.end();
      if (request.canResume) return endResumable(request);
      throw new UpstreamFailure('it ended its stream without an answer', true);
    }
    if (message.method === 'subscriptions/listen') return relayLines(request, answer);
    const text = (await collect(answer.body, context.upstream.limits.responseMaxBytes)).toString('utf8');
    if (answer.status === 202 && text === '') return client.empty(202);
    const given = readServerMessage(text);
    if (given?.kind !== 'response' || given.id !== message.id)
      throw new UpstreamFailure('what it answered is no answer to this request', true);
    const passed = await inspect(context, given, text, client);
    if (passed !== null) client.message(passed, answer.status);
    client.end();
  }

  /** A server may answer a subscription with a document; one that writes message after message into it means a stream. */
  async function relayLines(request: OpenRequest, answer: UpstreamAnswer): Promise<void> {
    const { context, client } = request;
    const lines = new LineSplitter(context.upstream.limits.responseMaxBytes);
    client.begin();
    for await (const chunk of answer.body) {
      for (const line of lines.push(chunk)) {
        const message = readServerMessage(line);
        const passed = message === null ? null : await inspect(context, message, line, client);
        if (passed !== null) await client.write(eventText(passed));
      }
    }
    const last = readServerMessage(lines.rest);
    const passed = last === null ? null : await inspect(context, last, lines.rest, client);
    if (passed !== null) client.message(passed);
    client.end();
  }

  /** An HTTP error of the server. What it says in the protocol's own words goes on; what it says of our credential does not. */
  async function deliverError(request: OpenRequest, answer: UpstreamAnswer): Promise<void> {
    const { context, client, message } = request;
    const { status } = answer;
    const text = (await collect(answer.body, ERROR_BODY_MAX)).toString('utf8');
    if (status === 404 && context.session?.sid) {
      settle(request, { status: 'failed', error: 'the session is over at the server' });
      return client.finish(errorMessage(message.id, -32001, 'Session not found; begin a new one with initialize.'), 404);
    }
    const given = readServerMessage(text);
    if (given?.kind === 'response' && given.error !== undefined && status !== 401 && status !== 403 && status < 500) {
      settle(request, { status: 'failed', error: errorTextOf(given.error) });
      client.message(JSON.stringify({ jsonrpc: '2.0', id: message.id, error: given.error }), status);
      return client.end();
    }
    // A client of both eras goes on with the handshake where a server knows no other (MCP specification, Versioning).
    if (context.era === 'modern' && [400, 404, 405].includes(status)) {
      settle(request, { status: 'failed', error: `HTTP ${status}` });
      return client.finish(errorMessage(message.id, RPC.unavailable, 'This server speaks the revisions that begin with initialize.'), 400);
    }
    throw new UpstreamFailure(
      status === 401 || status === 403 ? `it refused our credential (HTTP ${status})` : `HTTP ${status}`,
      status >= 500,
    );
  }

  /**
   * Passes a stream on, event by event. @param request the one that it answers; null for a stream that only listens.
   * @returns whether its answer was among the events.
   */
  async function relayEvents(
    context: Context,
    answer: UpstreamAnswer,
    client: ClientAnswer,
    request: OpenRequest | null,
  ): Promise<boolean> {
    const splitter = new EventSplitter(context.upstream.limits.responseMaxBytes);
    let isComplete = false;
    for await (const chunk of answer.body) {
      for (const event of splitter.push(chunk)) {
        if (event.id !== null && request !== null && context.era === 'legacy') request.canResume = true;
        if (event.data === null || event.data.trim() === '') {
          await client.write(event.raw);
          continue;
        }
        const message = readServerMessage(event.data);
        if (message === null) {
          log.warn({ upstream: context.upstream.name }, 'an MCP server sent an event that is no message; it was left out');
          continue;
        }
        const passed = await inspect(context, message, event.data, client);
        if (passed !== null) await client.write(passed === event.data ? event.raw : eventText(passed, event.id));
        if (request !== null && message.kind === 'response' && message.id === request.message.id) {
          isComplete = true;
          answer.discard();
          return true;
        }
        if (!client.isOpen) return isComplete;
      }
    }
    return isComplete;
  }

  /** Looks at a message of a server on its way. @returns the text that goes on to the client; null where it does not. */
  async function inspect(context: Context, message: Message, text: string, client: ClientAnswer): Promise<string | null> {
    switch (message.kind) {
      case 'response': {
        const request = message.id === null ? undefined : open.get(context.conversation)?.get(message.id);
        return request ? answered(request, message, text) : text;
      }
      case 'notification':
        return isServerNotification(message.method) ? text : null;
      case 'request':
        if (message.method === 'sampling/createMessage' || message.method === 'elicitation/create') {
          // The stream goes on meanwhile: a person may take long.
          void letAsk(context, message, text, client);
          return null;
        }
        if (isServerRequest(message.method)) return text;
        answerServer(context, errorMessage(message.id, RPC.methodNotFound, `Method not found: ${message.method.slice(0, 100)}`));
        return null;
    }
  }

  /** The answer to a request. @returns what goes on to the client. */
  async function answered(request: OpenRequest, message: Extract<Message, { kind: 'response' }>, text: string): Promise<string> {
    const { context, message: asked } = request;
    const { result } = message;
    if (asked.method === 'tools/list' && isObject(result)) return listed(request, result, text);
    if (request.record === null) {
      forget(request);
      return text;
    }
    if (isObject(result) && result.resultType === 'input_required' && context.era === 'modern') return askedForInput(request, result);
    const isError = message.error !== undefined || (isObject(result) && result.isError === true);
    const output = message.error === undefined ? textOfResult(result) : null;
    settle(request, {
      status: isError ? 'failed' : 'success',
      output,
      error: message.error === undefined ? null : errorTextOf(message.error),
    });
    forget(request);
    return text;
  }

  async function listed(request: OpenRequest, result: JsonObject, text: string): Promise<string> {
    const { context, message } = request;
    forget(request);
    const news = newsOf(result, message.params.cursor, context.upstream);
    if (news !== null) {
      try {
        await uplink.sawTools(context.upstream.id, news);
      } catch {
        return JSON.stringify(
          errorMessage(message.id, RPC.unavailable, 'The tools could not be compared with those that were accepted. Try again shortly.'),
        );
      }
    }
    const picture = snapshot.current(clock());
    const upstream = picture?.upstream(context.upstream.name);
    const agent = picture?.agent(context.agent.id);
    if (!picture || !upstream || !agent)
      return JSON.stringify(errorMessage(message.id, RPC.unavailable, 'This server is no longer registered.'));
    const shown = shownTools(result, agent, upstream, picture);
    return shown === result ? text : JSON.stringify({ jsonrpc: '2.0', id: message.id, result: shown });
  }

  /** A server of the stateless era needs input: what it asks for is admitted, and the repeat belongs to the call that is under way. */
  async function askedForInput(request: OpenRequest, result: JsonObject): Promise<string> {
    const { context, message, record } = request;
    const wanted = isObject(result.inputRequests) ? result.inputRequests : {};
    for (const input of Object.values(wanted)) {
      if (!isObject(input) || !isServerRequest(String(input.method))) continue;
      const judged = judgedInput(context, String(input.method), isObject(input.params) ? input.params : {});
      if (judged === null) continue;
      const refusal = await admitInput(context, judged, request.client.gone);
      if (refusal === null) continue;
      settle(request, { status: 'failed', error: refusal });
      forget(request);
      return JSON.stringify(resultMessage(message.id, refusedResult('INPUT_REFUSED', refusal), 'modern'));
    }
    const state = typeof result.requestState === 'string' ? result.requestState : null;
    forget(request);
    return JSON.stringify({ jsonrpc: '2.0', id: message.id, result: roundResult(context, message, record?.id ?? '', state, result) });
  }

  /* ------------------------------------------------------------ what servers ask of clients */

  async function letAsk(context: Context, message: Request, text: string, client: ClientAnswer): Promise<void> {
    const judged = judgedInput(context, message.method, message.params);
    if (judged === null) return;
    const key = `${context.conversation} ${typeof message.id} ${message.id}`;
    let refusal: string | null;
    try {
      refusal = await admitInput(context, judged, client.gone, (record) => asked.set(key, record));
    } catch {
      refusal = 'Mission Control could not judge this.';
    }
    if (refusal === null && client.isOpen) {
      await client.write(eventText(text));
      return;
    }
    const record = asked.get(key);
    asked.delete(key);
    if (record) finishRecord(record, { status: 'failed', error: 'the client left' }, 0);
    answerServer(context, errorMessage(message.id, RPC.unavailable, refusal ?? 'The client left.'));
  }

  /** Admits what a server asks of a client. @returns why not, or null. */
  async function admitInput(
    context: Context,
    judged: Judged,
    gone: AbortSignal,
    onRecord: (record: CallRecord) => void = (record) => finishRecord(record, { status: 'success' }, 0),
  ): Promise<string | null> {
    let admission = await gate.admit(requestOf(context, judged, isUngated(context, judged.tool)));
    telemetry.decided('mcp', admission.verdict);
    const record = await gate.find(admission.id).catch(() => null);
    while (admission.verdict === 'hold' && admission.waiting && record !== null && !gone.aborted) {
      const before = clock();
      admission = await gate.take(record, bounds.pollMaxMs, gone);
      if (clock() - before < PAUSE_MS) await pause(PAUSE_MS, gone);
    }
    if (admission.verdict === 'allow' && record !== null) {
      onRecord(record);
      return null;
    }
    if (admission.verdict === 'hold') return `Approval ${admission.approval.number} is pending; nothing was asked.`;
    return refusalText(admission.reasons);
  }

  /** Answers a server in the client's place. */
  function answerServer(context: Context, message: JsonObject): void {
    void context.server
      .send({
        method: 'POST',
        headers: { ...context.headers, accept: 'application/json, text/event-stream', 'content-type': 'application/json' },
        body: Buffer.from(JSON.stringify(message)),
        isInitialize: false,
        isModern: false,
        signal: AbortSignal.timeout(bounds.controlTimeoutMs),
      })
      .then((answer) => answer.discard())
      .catch((error) => log.warn({ upstream: context.upstream.name, err: error }, 'an MCP server could not be answered'));
  }

  /** A client answers what a server has asked. */
  async function reply(
    context: Context,
    message: Extract<Message, { kind: 'response' }>,
    bytes: Buffer,
    client: ClientAnswer,
  ): Promise<void> {
    const key = `${context.conversation} ${typeof message.id} ${message.id}`;
    const record = asked.get(key);
    if (record) {
      asked.delete(key);
      const error = message.error === undefined ? null : errorTextOf(message.error);
      finishRecord(record, { status: error === null ? 'success' : 'failed', output: textOfResult(message.result), error }, null);
    }
    await passOn(context, bytes, client);
  }

  /* ------------------------------------------------------------ notifications, listening, ending */

  async function notify(
    context: Context,
    message: Extract<Message, { kind: 'notification' }>,
    bytes: Buffer,
    client: ClientAnswer,
  ): Promise<void> {
    if (!isKnownNotification(message.method))
      return client.finish(errorMessage(null, RPC.methodNotFound, `Unknown notification: ${message.method.slice(0, 100)}`), 400);
    if (message.method !== 'notifications/cancelled') return passOn(context, bytes, client);
    const { requestId, reason } = message.params;
    const request =
      typeof requestId === 'string' || typeof requestId === 'number' ? open.get(context.conversation)?.get(requestId) : undefined;
    // What the server never saw it need not hear of.
    const isAtServer = request === undefined || request.isSent;
    if (request)
      cancel(request, typeof reason === 'string' ? `cancelled by the client: ${reason.slice(0, 300)}` : 'cancelled by the client');
    if (isAtServer) await passOn(context, bytes, client);
    else client.empty(202);
    if (request) endCancelled(request);
  }

  async function passOn(context: Context, bytes: Buffer, client: ClientAnswer): Promise<void> {
    try {
      const answer = await context.server.send({
        method: 'POST',
        headers: context.headers,
        body: bytes,
        isInitialize: false,
        isModern: context.era === 'modern',
        signal: anyOf(client.gone, AbortSignal.timeout(context.upstream.limits.timeoutMs)),
      });
      const text = (await collect(answer.body, ERROR_BODY_MAX)).toString('utf8');
      if (answer.status < 300) return client.empty(202);
      if (answer.status === 404 && context.session?.sid)
        return client.finish(errorMessage(null, -32001, 'Session not found; begin a new one with initialize.'), 404);
      const given = readServerMessage(text);
      const error = given?.kind === 'response' && given.error !== undefined ? text : null;
      if (error !== null && answer.status < 500)
        client.message(error, answer.status === 401 || answer.status === 403 ? 502 : answer.status);
      else client.finish(errorMessage(null, RPC.unavailable, unavailableText(context, `HTTP ${answer.status}`)), 502);
    } catch (error) {
      client.finish(errorMessage(null, RPC.unavailable, unavailableText(context, wordsOf(error))), 502);
    }
  }

  async function listenOrEnd(
    request: IncomingMessage,
    response: ServerResponse,
    method: 'GET' | 'DELETE',
    agent: AgentPicture,
    upstream: UpstreamPicture,
    picture: Picture,
  ): Promise<void> {
    const client = new ClientAnswer(response, request.headers.accept, bounds.mcpKeepAliveMs);
    const version = request.headers['mcp-protocol-version'];
    const era: Era = typeof version === 'string' && version >= '2026-07-28' ? 'modern' : 'legacy';
    const context = contextOf(request, era, agent, upstream, picture);
    if ('status' in context) return client.finish(errorMessage(null, context.code, context.message), context.status);
    if (method === 'DELETE') endConversation(context, 'the client ended its session');
    let answer: UpstreamAnswer;
    try {
      answer = await context.server.send({
        method,
        headers: context.headers,
        body: null,
        isInitialize: false,
        isModern: era === 'modern',
        signal: client.gone,
      });
    } catch (error) {
      return client.finish(errorMessage(null, RPC.unavailable, unavailableText(context, wordsOf(error))), 502);
    }
    if (answer.status === 200 && method === 'GET' && /^text\/event-stream\b/i.test(answer.contentType))
      return listen(context, answer, client);
    const text = (await collect(answer.body, ERROR_BODY_MAX).catch(() => Buffer.alloc(0))).toString('utf8');
    if (answer.status < 300) return client.empty(method === 'DELETE' ? answer.status : 200);
    if (method === 'DELETE' && context.session !== null && context.session.sid === null) return client.empty(200);
    if (answer.status === 405) response.setHeader('allow', 'POST');
    const given = readServerMessage(text);
    const error =
      given?.kind === 'response' && given.error !== undefined ? given.error : { code: RPC.unavailable, message: `HTTP ${answer.status}` };
    const status = answer.status === 401 || answer.status === 403 || answer.status >= 500 ? 502 : answer.status;
    client.finish({ jsonrpc: '2.0', id: null, error }, status);
  }

  async function listen(context: Context, answer: UpstreamAnswer, client: ClientAnswer): Promise<void> {
    const listener = { agentId: context.agent.id, upstreamId: context.upstream.id, client, conversation: context.conversation };
    listeners.add(listener);
    client.begin();
    try {
      await relayEvents(context, answer, client, null);
    } catch (error) {
      if (error instanceof EventTooLarge) log.warn({ upstream: context.upstream.name }, 'an MCP server sent an event that is too large');
    } finally {
      listeners.delete(listener);
      answer.discard();
      client.end();
    }
  }

  /* ------------------------------------------------------------ ends */

  function remember(request: OpenRequest): boolean {
    // Without a session nobody can say whose id it is: then each request is on its own.
    if (request.context.session === null) request.context.conversation += randomNonce();
    const { conversation } = request.context;
    const requests = open.get(conversation) ?? new Map<RpcId, OpenRequest>();
    if (requests.has(request.message.id)) return false;
    open.set(conversation, requests.set(request.message.id, request));
    return true;
  }

  function forget(request: OpenRequest): void {
    if (request.grace !== null) clearTimeout(request.grace);
    const requests = open.get(request.context.conversation);
    if (requests?.get(request.message.id) !== request) return;
    requests.delete(request.message.id);
    if (requests.size === 0) open.delete(request.context.conversation);
  }

  /** The stream broke off with a place to resume from: the client comes back for the rest, as it would to the server itself. */
  function endResumable(request: OpenRequest): void {
    linger(request);
    request.client.end();
  }

  /** Its answer may come on another connection; not for ever. */
  function linger(request: OpenRequest): void {
    request.grace ??= setTimeout(() => {
      settle(request, { status: 'unknown', error: 'nobody came back for the answer' });
      forget(request);
    }, request.context.upstream.limits.timeoutMs);
    request.grace.unref();
  }

  /** The client's connection is gone. A held call stays, and nothing is sent for it; of a running one we may never hear again. */
  function clientLeft(request: OpenRequest): void {
    if (request.isCancelled) return;
    // In the stateless era closing the stream is the cancellation (MCP specification 2026-07-28, Cancellation).
    if (request.context.era === 'modern') {
      cancel(request, 'the client closed the request');
      return;
    }
    request.abort.abort();
    if (!request.isSent) return;
    if (request.canResume) linger(request);
    else settle(request, { status: 'unknown', error: 'the client left before the answer' });
  }

  /** Nothing is done for this request from here on. */
  function cancel(request: OpenRequest, reason: string): void {
    if (request.isCancelled) return;
    request.isCancelled = true;
    const { record } = request;
    if (request.isSent) settle(request, { status: 'failed', error: reason });
    else if (record !== null && !request.isJoined) void withdraw(record, reason);
    // The wait ends now; what is at the server ends once it was told.
    if (!request.isSent || request.context.era === 'modern') request.abort.abort();
  }

  /** A cancelled request gets no answer; its connection ends. */
  function endCancelled(request: OpenRequest): void {
    request.abort.abort();
    request.client.end();
    forget(request);
  }

  async function withdraw(record: CallRecord, reason: string): Promise<void> {
    for (let attempt = 0; attempt < WITHDRAW_TRIES; attempt++) {
      try {
        return await gate.cancel(record, reason);
      } catch {
        await pause(PAUSE_MS * (attempt + 1), NEVER);
      }
    }
    log.warn({ callId: record.id }, 'a cancelled call could not be withdrawn at control; nothing will run for it here');
  }

  function endConversation({ conversation, session }: Context, reason: string): void {
    if (session === null) return;
    for (const request of [...(open.get(conversation)?.values() ?? [])]) {
      cancel(request, reason);
      endCancelled(request);
    }
    for (const listener of listeners) if (listener.conversation === conversation) listener.client.end();
  }

  /** What came of a judged request, once. A joined one is reported by the gate that asked about it. */
  function settle(request: OpenRequest, outcome: Partial<Outcome> & Pick<Outcome, 'status'>): void {
    const { record, isJoined } = request;
    if (record === null || isJoined) return;
    finishRecord(record, outcome, clock() - request.startedAt);
  }

  function finishRecord(record: CallRecord, outcome: Partial<Outcome> & Pick<Outcome, 'status'>, durationMs: number | null): void {
    const whole: Outcome = { output: null, error: null, costMicros: null, durationMs: durationMs ?? 0, ...outcome };
    gate
      .complete(record, whole)
      .catch((error) => log.warn({ err: error, callId: record.id }, 'the outcome of a call could not be recorded'));
  }

  /** The server could not be asked, or did not answer. */
  function failed(request: OpenRequest, failure: UpstreamFailure): void {
    const { context, message, client } = request;
    settle(request, { status: 'failed', error: failure.message, ...(!failure.mayHaveRun && { costMicros: 0 }) });
    forget(request);
    if (!client.isOpen) return;
    const text = `${unavailableText(context, failure.message)} ${failure.mayHaveRun ? 'It may have run.' : 'Nothing ran.'}`;
    if (message.method === 'tools/call') client.finish(resultMessage(message.id, refusedResult('UPSTREAM_UNAVAILABLE', text), context.era));
    else client.finish(errorMessage(message.id, RPC.unavailable, text, { code: 'UPSTREAM_UNAVAILABLE' }));
  }

  /* ------------------------------------------------------------ servers */

  /** The way to an upstream as it is registered now; what was opened under an earlier revision is closed. */
  function serverOf(upstream: UpstreamPicture): McpUpstream {
    const known = servers.get(upstream.id);
    if (known?.picture.revision === upstream.revision) return known;
    void known?.close();
    const { id, name } = upstream;
    const server = new McpUpstream(upstream, {
      clock,
      found: (ok, error) => report(id, ok, error),
      log: (fields, message) => log.info({ upstream: name, ...fields }, message),
    });
    servers.set(id, server);
    return server;
  }

  /** Control hears of each change, and that a server is well now and then. */
  function report(id: string, ok: boolean, error: string | null): void {
    const last = told.get(id);
    const now = clock();
    if (last && last.ok === ok && now - last.at < bounds.mcpKeepAliveMs) return;
    told.set(id, { ok, at: now });
    uplink.foundUpstream(id, { ok, error }).catch(() => told.delete(id));
  }

  /** After a change of the picture: what may no longer go on is cut, and ways to upstreams that are gone are closed. */
  function review(): void {
    const picture = snapshot.current(clock());
    if (!picture) return;
    const isStopped = (agentId: string) => {
      const status = picture.agent(agentId)?.status;
      return picture.system.estop || status === undefined || status === 'quarantined' || status === 'stopped';
    };
    for (const requests of open.values()) {
      for (const request of [...requests.values()]) {
        if (!isStopped(request.context.agent.id)) continue;
        // A held call is ended by admission, which says why; what runs is cut.
        if (!request.isSent) continue;
        settle(request, { status: 'unknown', error: 'cut: the agent was stopped' });
        request.isCancelled = true;
        request.abort.abort();
        request.client.cut();
        forget(request);
      }
    }
    for (const listener of listeners) if (isStopped(listener.agentId)) listener.client.cut();
    for (const [id, server] of servers) {
      const current = picture.upstream(server.picture.name);
      if (current?.id === id) continue;
      servers.delete(id);
      void server.close();
    }
  }

  async function close(): Promise<void> {
    for (const listener of listeners) listener.client.end();
    await Promise.all([...servers.values()].map((server) => server.close()));
  }

  /** Requests that have not been answered. */
  function openRequests(): number {
    let count = 0;
    for (const requests of open.values()) count += requests.size;
    return count;
  }

  return { handle, review, close, openRequests };
}

type Judged = Pick<CallRequest, 'tool' | 'arguments' | 'upstream' | 'definition'>;

/** What is judged about a client's request; null where nothing is: it is relayed. */
function judgedOf({ upstream }: Context, { method, params }: Request): Judged | null {
  const base = { upstream: upstream.name, definition: null };
  switch (method) {
    case 'tools/call': {
      const { name, arguments: args } = params;
      return { ...toolOf(upstream, typeof name === 'string' ? name : ''), arguments: args === undefined ? {} : (args as JsonObject) };
    }
    case 'resources/read':
      return { ...base, tool: 'mcp_resource', arguments: { server: upstream.name, uri: params.uri ?? null } };
    case 'prompts/get':
      return {
        ...base,
        tool: 'mcp_prompt',
        arguments: { server: upstream.name, name: params.name ?? null, arguments: params.arguments ?? {} },
      };
    default:
      return null;
  }
}

/** What is judged about a request that a server makes of a client. */
function judgedInput({ upstream }: Context, method: string, params: JsonObject): Judged | null {
  const { _meta, ...about } = params;
  const base = { upstream: upstream.name, definition: null, arguments: { server: upstream.name, ...about } };
  if (method === 'sampling/createMessage') return { ...base, tool: 'mcp_sampling' };
  return method === 'elicitation/create' ? { ...base, tool: 'mcp_elicitation' } : null;
}

const NEVER = new AbortController().signal;

function anyOf(...signals: AbortSignal[]): AbortSignal {
  return AbortSignal.any(signals);
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

function hostOf(url: string): string | null {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : null;
}

function randomNonce(): string {
  return crypto.randomUUID();
}

function unavailableText({ upstream }: Context, why: string): string {
  return `The MCP server "${upstream.name}" is not available: ${why}.`;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function errorTextOf(error: Json | undefined): string {
  return isObject(error) && typeof error.message === 'string' ? error.message : JSON.stringify(error ?? null);
}

function refused(response: ServerResponse, { status, code, detail }: IdentityRefusal): true {
  if (status === 401) response.setHeader('www-authenticate', 'Bearer');
  problem(response, status, code, detail);
  return true;
}
