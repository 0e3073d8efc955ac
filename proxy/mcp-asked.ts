/**
 * What servers ask of clients (sampling, elicitation): a client sees it once it was admitted, and its answer is what came of it. What was
 * not admitted is answered in the client's place.
 */
import type { JsonObject } from '../policies/index.ts';
import type { ProxyBounds } from './config.ts';
import type { ClientAnswer } from './mcp-client.ts';
import type { Context } from './mcp-context.ts';
import { eventText } from './mcp-events.ts';
import type { Judgement } from './mcp-judgement.ts';
import { errorMessage, errorTextOf, type Message, RPC, type RpcId, textOfResult } from './mcp-message.ts';
import type { OpenRequests, Request } from './mcp-requests.ts';
import type { CallRecord } from './register.ts';

interface Dependencies {
  bounds: ProxyBounds;
  requests: OpenRequests;
  judgement: Judgement;
  log: { warn: (fields: object, message: string) => void };
}

export function createServerRequests({ bounds, requests, judgement, log }: Dependencies) {
  /** What was let through and not answered, by conversation and id. */
  const asked = new Map<string, CallRecord>();

  /** Lets a server ask, once that was admitted. */
  async function letAsk(context: Context, message: Request, text: string, client: ClientAnswer): Promise<void> {
    const key = keyOf(context, message.id);
    let refusal: string | null;
    try {
      refusal = await judgement.admitInput(context, message.method, message.params, client.gone, (record) => asked.set(key, record));
    } catch {
      refusal = 'Mission Control could not judge this.';
    }
    if (refusal === null && client.isOpen) {
      await client.write(eventText(text));
      return;
    }
    const record = asked.get(key);
    asked.delete(key);
    if (record) requests.finishRecord(record, { status: 'failed', error: 'the client left' }, 0);
    answerServer(context, errorMessage(message.id, RPC.unavailable, refusal ?? 'The client left.'));
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
  function answered(context: Context, message: Extract<Message, { kind: 'response' }>): void {
    const key = keyOf(context, message.id);
    const record = asked.get(key);
    if (!record) return;
    asked.delete(key);
    const error = message.error === undefined ? null : errorTextOf(message.error);
    requests.finishRecord(record, { status: error === null ? 'success' : 'failed', output: textOfResult(message.result), error }, null);
  }

  return { letAsk, answerServer, answered };
}

function keyOf({ conversation }: Context, id: RpcId | null): string {
  return `${conversation} ${typeof id} ${id}`;
}
