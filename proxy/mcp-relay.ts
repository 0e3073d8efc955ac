/**
 * What goes to a server and what comes back: bytes pass as they came, and each message of a server is looked at on its way. Listings
 * are shown as far as they were accepted; what a server asks of a client is admitted before the client sees it.
 */

import type { ServerResponse } from 'node:http';
import { OWN_SERVER } from '../control/contract.ts';
import type { JsonObject } from '../policies/index.ts';
import type { ProxyBounds } from './config.ts';
import { createServerRequests } from './mcp-asked.ts';
import type { ClientAnswer } from './mcp-client.ts';
import { type Context, unavailableText } from './mcp-context.ts';
import { EventSplitter, EventTooLarge, eventText, LineSplitter } from './mcp-events.ts';
import { type UpstreamAnswer, UpstreamFailure } from './mcp-exchange.ts';
import type { Judgement } from './mcp-judgement.ts';
import {
  errorMessage,
  errorTextOf,
  isObject,
  isServerNotification,
  isServerRequest,
  type Message,
  RPC,
  readServerMessage,
  refusedResult,
  resultMessage,
  textOfResult,
} from './mcp-message.ts';
import type { OpenRequest, OpenRequests } from './mcp-requests.ts';
import type { StateSealer } from './mcp-state.ts';
import { newsOf, shownTools } from './mcp-tools.ts';
import { collect, UNAUTHORIZED } from './mcp-upstream.ts';
import type { Snapshot } from './snapshot.ts';
import type { Uplink } from './uplink.ts';

const ERROR_BODY_MAX = 256 * 1024;

interface Dependencies {
  /** Names a session by this proxy. */
  newSession: () => string;
  snapshot: Snapshot;
  uplink: Uplink;
  clock: () => number;
  bounds: ProxyBounds;
  sealer: StateSealer;
  requests: OpenRequests;
  judgement: Judgement;
  log: { warn: (fields: object, message: string) => void };
}

export function createRelay({ newSession, snapshot, uplink, clock, bounds, sealer, requests, judgement, log }: Dependencies) {
  const { settle, forget, failed, endResumable } = requests;
  const serverRequests = createServerRequests({ bounds, requests, judgement, log });

  /** Sends a request that may go, and passes its answer on. */
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
        signal: AbortSignal.any([client.gone, request.abort.signal]),
      });
    } catch (error) {
      return failed(
        request,
        error instanceof UpstreamFailure ? error : new UpstreamFailure('it could not be asked', true, { cause: error }),
      );
    }
    if (isInitialize && answer.status < 300) {
      // Also where the server keeps no sessions: so that a cancel finds what it is about.
      const session = { agentId: context.agent.id, upstream: context.upstream.name, sid: answer.sessionId, nonce: newSession() };
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
    throw new UpstreamFailure(refusalOf(status), status >= 500);
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
        const request = message.id === null ? undefined : requests.find(context, message.id);
        return request ? answered(request, message, text) : text;
      }
      case 'notification':
        return isServerNotification(message.method) ? text : null;
      case 'request':
        if (message.method === 'sampling/createMessage' || message.method === 'elicitation/create') {
          // The stream goes on meanwhile: a person may take long.
          void serverRequests.letAsk(context, message, text, client);
          return null;
        }
        if (isServerRequest(message.method)) return text;
        serverRequests.answerServer(
          context,
          errorMessage(message.id, RPC.methodNotFound, `Method not found: ${message.method.slice(0, 100)}`),
        );
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
    if (news !== null && context.upstream.id !== OWN_SERVER) {
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
      const params = isObject(input.params) ? input.params : {};
      const refusal = await judgement.admitInput(context, String(input.method), params, request.client.gone);
      if (refusal === null) continue;
      settle(request, { status: 'failed', error: refusal });
      forget(request);
      return JSON.stringify(resultMessage(message.id, refusedResult('INPUT_REFUSED', refusal), 'modern'));
    }
    const state = typeof result.requestState === 'string' ? result.requestState : null;
    forget(request);
    return JSON.stringify({
      jsonrpc: '2.0',
      id: message.id,
      result: judgement.roundResult(context, message, record?.id ?? '', state, result),
    });
  }

  /* ------------------------------------------------------------ what has no answer of its own */

  /** A client answers what a server has asked. */
  async function reply(
    context: Context,
    message: Extract<Message, { kind: 'response' }>,
    bytes: Buffer,
    client: ClientAnswer,
  ): Promise<void> {
    serverRequests.answered(context, message);
    await passOn(context, bytes, client);
  }

  /** Sends a notification or an answer of the client on. */
  async function passOn(context: Context, bytes: Buffer, client: ClientAnswer): Promise<void> {
    try {
      const answer = await context.server.send({
        method: 'POST',
        headers: context.headers,
        body: bytes,
        isInitialize: false,
        isModern: context.era === 'modern',
        signal: AbortSignal.any([client.gone, AbortSignal.timeout(context.upstream.limits.timeoutMs)]),
      });
      const text = (await collect(answer.body, ERROR_BODY_MAX)).toString('utf8');
      if (answer.status < 300) return client.empty(202);
      if (answer.status === 404 && context.session?.sid)
        return client.finish(errorMessage(null, -32001, 'Session not found; begin a new one with initialize.'), 404);
      const given = readServerMessage(text);
      const error = given?.kind === 'response' && given.error !== undefined ? text : null;
      if (error !== null && answer.status < 500)
        client.message(error, answer.status === 401 || answer.status === 403 ? 502 : answer.status);
      else client.finish(errorMessage(null, RPC.unavailable, unavailableText(context, refusalOf(answer.status))), 502);
    } catch (error) {
      client.finish(errorMessage(null, RPC.unavailable, unavailableText(context, wordsOf(error))), 502);
    }
  }

  /** Opens a stream that only listens, or ends a session. @returns the stream where there is one; everything else was answered. */
  async function open(
    context: Context,
    method: 'GET' | 'DELETE',
    response: ServerResponse,
    client: ClientAnswer,
  ): Promise<UpstreamAnswer | null> {
    let answer: UpstreamAnswer;
    try {
      answer = await context.server.send({
        method,
        headers: context.headers,
        body: null,
        isInitialize: false,
        isModern: context.era === 'modern',
        signal: client.gone,
      });
    } catch (error) {
      client.finish(errorMessage(null, RPC.unavailable, unavailableText(context, wordsOf(error))), 502);
      return null;
    }
    if (answer.status === 200 && method === 'GET' && /^text\/event-stream\b/i.test(answer.contentType)) return answer;
    const text = (await collect(answer.body, ERROR_BODY_MAX).catch(() => Buffer.alloc(0))).toString('utf8');
    const isOver = answer.status < 300 || (method === 'DELETE' && context.session !== null && context.session.sid === null);
    if (isOver) {
      client.empty(method === 'DELETE' && answer.status < 300 ? answer.status : 200);
      return null;
    }
    if (answer.status === 405) response.setHeader('allow', 'POST');
    const given = readServerMessage(text);
    const error =
      given?.kind === 'response' && given.error !== undefined ? given.error : { code: RPC.unavailable, message: refusalOf(answer.status) };
    const status = answer.status === 401 || answer.status === 403 || answer.status >= 500 ? 502 : answer.status;
    client.finish({ jsonrpc: '2.0', id: null, error }, status);
    return null;
  }

  /** Passes on what a server says without being asked, until either side ends it. */
  async function listen(context: Context, answer: UpstreamAnswer, client: ClientAnswer): Promise<void> {
    client.begin();
    try {
      await relayEvents(context, answer, client, null);
    } catch (error) {
      if (error instanceof EventTooLarge) log.warn({ upstream: context.upstream.name }, 'an MCP server sent an event that is too large');
    } finally {
      answer.discard();
      client.end();
    }
  }

  return { forward, reply, passOn, open, listen };
}

/** What an HTTP error of a server is called to a client; what it says of our credential stays here. */
function refusalOf(status: number): string {
  if (status === 401) return UNAUTHORIZED;
  return status === 403 ? 'it refused our credential (HTTP 403)' : `HTTP ${status}`;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
