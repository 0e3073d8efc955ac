/**
 * The requests of clients that have not been answered: whose they are, and how each of them ends. It ends once: answered, refused,
 * cancelled, left alone or cut; what was judged is reported to admission then, and nothing is done for it afterwards.
 */
import { randomUUID } from 'node:crypto';
import type { Gatekeeper, Outcome } from './admission.ts';
import type { ClientAnswer } from './mcp-client.ts';
import { type Context, unavailableText } from './mcp-context.ts';
import type { UpstreamFailure } from './mcp-exchange.ts';
import { errorMessage, type Message, RPC, type RpcId, refusedResult, resultMessage } from './mcp-message.ts';
import { pause } from './pause.ts';
import type { CallRecord } from './register.ts';

export type Request = Extract<Message, { kind: 'request' }>;

/** A request of a client that has not been answered. */
export interface OpenRequest {
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

type Ending = Partial<Outcome> & Pick<Outcome, 'status'>;

const WITHDRAW_TRIES = 20;
const WITHDRAW_PAUSE_MS = 500;

interface Dependencies {
  gate: Gatekeeper;
  clock: () => number;
  log: { warn: (fields: object, message: string) => void };
}

export type OpenRequests = ReturnType<typeof createOpenRequests>;

export function createOpenRequests({ gate, clock, log }: Dependencies) {
  /** By conversation, then by request id. */
  const open = new Map<string, Map<RpcId, OpenRequest>>();

  /** Begins one. @returns null where a request with this id is under way in the conversation already. */
  function begin(context: Context, message: Request, client: ClientAnswer): OpenRequest | null {
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
    return remember(request) ? request : null;
  }

  function remember(request: OpenRequest): boolean {
    // Without a session nobody can say whose id it is: then each request is on its own.
    if (request.context.session === null) request.context.conversation += randomUUID();
    const { conversation } = request.context;
    const requests = open.get(conversation) ?? new Map<RpcId, OpenRequest>();
    if (requests.has(request.message.id)) return false;
    open.set(conversation, requests.set(request.message.id, request));
    return true;
  }

  function find({ conversation }: Context, id: RpcId): OpenRequest | undefined {
    return open.get(conversation)?.get(id);
  }

  function all(): OpenRequest[] {
    return [...open.values()].flatMap((requests) => [...requests.values()]);
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
    if (request.isSent) settle(request, { status: 'failed', error: reason, endedByCaller: true });
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
        await pause(WITHDRAW_PAUSE_MS * (attempt + 1));
      }
    }
    log.warn({ callId: record.id }, 'a cancelled call could not be withdrawn at control; nothing will run for it here');
  }

  /** Cancels whatever is under way in a conversation. */
  function endAll(conversation: string, reason: string): void {
    for (const request of [...(open.get(conversation)?.values() ?? [])]) {
      cancel(request, reason);
      endCancelled(request);
    }
  }

  /** Ends what runs for an agent that was stopped; a held call is ended by admission, which says why. @returns whether it ran. */
  function cut(request: OpenRequest): boolean {
    if (!request.isSent) return false;
    settle(request, { status: 'unknown', error: 'cut: the agent was stopped' });
    request.isCancelled = true;
    request.abort.abort();
    request.client.cut();
    forget(request);
    return true;
  }

  /** What came of a judged request, once. A joined one is reported by the gate that asked about it. */
  function settle(request: OpenRequest, outcome: Ending): void {
    const { record, isJoined } = request;
    if (record === null || isJoined) return;
    finishRecord(record, outcome, clock() - request.startedAt);
  }

  /** Reports what came of a judged call. */
  function finishRecord(record: CallRecord, outcome: Ending, durationMs: number | null): void {
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

  return { begin, find, all, forget, endResumable, clientLeft, cancel, endCancelled, withdraw, endAll, cut, settle, finishRecord, failed };
}
