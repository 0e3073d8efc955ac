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
import { type AgentPicture, CANARY_TOOL, type UpstreamPicture } from '../control/contract.ts';
import type { Gatekeeper } from './admission.ts';
import { readBytes } from './body.ts';
import type { ProxyBounds } from './config.ts';
import { authenticateAgent, OUT_OF_TOUCH } from './identity.ts';
import type { Journal } from './journal.ts';
import { ClientAnswer } from './mcp-client.ts';
import { type Context, createContexts } from './mcp-context.ts';
import type { UpstreamAnswer } from './mcp-exchange.ts';
import { createJudgement } from './mcp-judgement.ts';
import {
  BadMessage,
  type Era,
  eraOf,
  errorMessage,
  headerMismatch,
  isKnownNotification,
  isKnownRequest,
  type Message,
  RPC,
  readClientMessage,
} from './mcp-message.ts';
import { createRelay } from './mcp-relay.ts';
import { createOpenRequests, type Request } from './mcp-requests.ts';
import { createMcpServers } from './mcp-servers.ts';
import { StateSealer } from './mcp-state.ts';
import type { Peers } from './peers.ts';
import { problem, refuseEntry } from './respond.ts';
import type { SilentGates } from './silent-gates.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Telemetry } from './telemetry.ts';
import type { Uplink } from './uplink.ts';

export interface McpDependencies {
  gate: Gatekeeper;
  snapshot: Snapshot;
  journal: Journal;
  peers: Pick<Peers, 'callId' | 'isForeign' | 'passOnSession'>;
  silent: SilentGates;
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

export function createMcp({
  gate,
  snapshot,
  journal,
  peers,
  silent,
  uplink,
  telemetry,
  clock,
  bounds,
  hostNames,
  stateKey,
  log,
}: McpDependencies) {
  const sealer = new StateSealer(stateKey);
  const servers = createMcpServers({ uplink, clock, bounds, log });
  const contexts = createContexts({ sealer, servers, hostNames });
  const requests = createOpenRequests({ gate, clock, log });
  const judgement = createJudgement({ gate, journal, silent, telemetry, clock, bounds, sealer, requests });
  const relay = createRelay({ newSession: peers.callId, snapshot, uplink, clock, bounds, sealer, requests, judgement, log });
  /** Streams that only listen. */
  const listeners = new Set<{ agentId: string; upstreamId: string; client: ClientAnswer; conversation: string }>();

  /** @returns false where the path is none of ours. */
  async function handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const name = /^\/mcp\/([^/]{1,200})$/.exec(path)?.[1];
    if (name === undefined) return false;
    const stranger = contexts.foreignHost(request);
    if (stranger !== null) {
      problem(response, 403, 'FOREIGN_HOST', stranger);
      return true;
    }
    const picture = snapshot.current(clock());
    if (!picture) return refuseEntry(response, { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH });
    const agent = authenticateAgent(request.headers.authorization, picture, 'MCP is');
    if ('code' in agent) return refuseEntry(response, agent);
    const upstream = picture.upstream(name);
    if (upstream?.kind !== 'mcp') {
      problem(response, 404, 'NOT_FOUND', `There is no MCP server "${name.slice(0, 64)}" here.`);
      return true;
    }
    const bytes = request.method === 'POST' ? await readBytes(request, bounds.bodyMaxBytes) : null;
    if (await isPassedOn(request, response, agent, upstream, bytes)) return true;
    switch (request.method) {
      case 'POST':
        await post(request, response, bytes ?? Buffer.alloc(0), agent, upstream, picture);
        break;
      case 'GET':
      case 'DELETE':
        if (agent.canary !== undefined)
          return refuseEntry(response, { status: 403, code: 'CANARY', detail: 'A canary can make its call, and nothing else.' });
        await listenOrEnd(request, response, request.method, agent, upstream, picture);
        break;
      default:
        response.setHeader('allow', 'POST, GET, DELETE');
        problem(response, 405, 'METHOD_NOT_ALLOWED', 'MCP uses POST, GET and DELETE.');
    }
    return true;
  }

  /** A session is at one proxy: the process of a command, what is under way, and what the server has asked of the client. */
  async function isPassedOn(
    request: IncomingMessage,
    response: ServerResponse,
    agent: AgentPicture,
    upstream: UpstreamPicture,
    bytes: Buffer | null,
  ): Promise<boolean> {
    const given = request.headers['mcp-session-id'];
    const session = typeof given === 'string' ? sealer.openSession(given, agent.id, upstream.name) : null;
    return session !== null && peers.isForeign(request, session.nonce) && peers.passOnSession(request, response, session.nonce, bytes);
  }

  async function post(
    request: IncomingMessage,
    response: ServerResponse,
    bytes: Buffer,
    agent: AgentPicture,
    upstream: UpstreamPicture,
    picture: Picture,
  ): Promise<void> {
    const client = new ClientAnswer(response, request.headers.accept, bounds.mcpKeepAliveMs);
    let message: Message;
    try {
      message = readClientMessage(bytes);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      return client.finish(errorMessage(error.id, error.code, error.message), 400);
    }
    const isItsCall = message.kind === 'request' && message.method === 'tools/call' && message.params.name === CANARY_TOOL;
    if (agent.canary !== undefined && !isItsCall)
      return client.finish(errorMessage(null, RPC.invalidRequest, 'A canary can make its call, and nothing else.'), 403);
    const header = (name: string) => {
      const value = request.headers[name];
      return typeof value === 'string' ? value : undefined;
    };
    const era = eraOf(message, header('mcp-protocol-version'));
    const id = message.kind === 'request' ? message.id : null;
    const mismatch = headerMismatch(message, era, header);
    if (mismatch !== null) return client.finish(errorMessage(id, RPC.headerMismatch, `Header mismatch: ${mismatch}.`), 400);
    const context = contexts.contextOf(request, era, agent, upstream, picture);
    if ('status' in context) return client.finish(errorMessage(id, context.code, context.message), context.status);
    switch (message.kind) {
      case 'request':
        return ask(context, message, bytes, client);
      case 'notification':
        return notify(context, message, bytes, client);
      case 'response':
        return relay.reply(context, message, bytes, client);
    }
  }

  async function ask(context: Context, message: Request, bytes: Buffer, client: ClientAnswer): Promise<void> {
    const { era } = context;
    if (!isKnownRequest(message.method, era)) {
      const error = errorMessage(message.id, RPC.methodNotFound, `Method not found: ${message.method.slice(0, 100)}`);
      return client.finish(error, era === 'modern' ? 404 : 200);
    }
    const request = requests.begin(context, message, client);
    if (request === null)
      return client.finish(errorMessage(message.id, RPC.invalidRequest, 'A request with this id is under way already.'), 400);
    const onGone = () => requests.clientLeft(request);
    client.gone.addEventListener('abort', onGone);
    try {
      const outgoing = await judgement.clear(request, bytes);
      if (outgoing !== null && !request.isCancelled && client.isOpen) {
        request.isSent = true;
        await relay.forward(request, outgoing);
      } else if (request.isCancelled && request.record !== null && !request.isJoined) {
        // Cancelled while it was judged: whatever came of that, nothing is done.
        await requests.withdraw(request.record, 'cancelled by the client');
      } else if (outgoing !== null) {
        requests.settle(request, { status: 'failed', error: 'the client left before it was sent', costMicros: 0, endedByCaller: true });
      }
    } finally {
      client.gone.removeEventListener('abort', onGone);
      if (!request.canResume) requests.forget(request);
    }
  }

  async function notify(
    context: Context,
    message: Extract<Message, { kind: 'notification' }>,
    bytes: Buffer,
    client: ClientAnswer,
  ): Promise<void> {
    if (!isKnownNotification(message.method))
      return client.finish(errorMessage(null, RPC.methodNotFound, `Unknown notification: ${message.method.slice(0, 100)}`), 400);
    if (message.method !== 'notifications/cancelled') return relay.passOn(context, bytes, client);
    const { requestId, reason } = message.params;
    const request = typeof requestId === 'string' || typeof requestId === 'number' ? requests.find(context, requestId) : undefined;
    // What the server never saw it need not hear of.
    const isAtServer = request === undefined || request.isSent;
    if (request)
      requests.cancel(request, typeof reason === 'string' ? `cancelled by the client: ${reason.slice(0, 300)}` : 'cancelled by the client');
    if (isAtServer) await relay.passOn(context, bytes, client);
    else client.empty(202);
    if (request) requests.endCancelled(request);
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
    const context = contexts.contextOf(request, era, agent, upstream, picture);
    if ('status' in context) return client.finish(errorMessage(null, context.code, context.message), context.status);
    if (method === 'DELETE') endConversation(context, 'the client ended its session');
    const answer = await relay.open(context, method, response, client);
    if (answer !== null) await listen(context, answer, client);
  }

  async function listen(context: Context, answer: UpstreamAnswer, client: ClientAnswer): Promise<void> {
    const listener = { agentId: context.agent.id, upstreamId: context.upstream.id, client, conversation: context.conversation };
    listeners.add(listener);
    await relay.listen(context, answer, client).finally(() => listeners.delete(listener));
  }

  function endConversation({ conversation, session }: Context, reason: string): void {
    if (session === null) return;
    requests.endAll(conversation, reason);
    for (const listener of listeners) if (listener.conversation === conversation) listener.client.end();
  }

  /** After a change of the picture: what may no longer go on is cut, and ways to upstreams that are gone are closed. @returns how many were cut. */
  function review(): number {
    // A stop cuts whatever else is known, and however old it is.
    const { estop } = snapshot.system();
    const picture = snapshot.current(clock());
    if (!picture && !estop) return 0;
    const isStopped = (agentId: string) => {
      const status = picture?.agent(agentId)?.status;
      return estop || status === undefined || status === 'quarantined' || status === 'stopped';
    };
    const cut = requests.all().filter((request) => isStopped(request.context.agent.id) && requests.cut(request)).length;
    const left = [...listeners].filter((listener) => isStopped(listener.agentId) && listener.client.isOpen);
    for (const { client } of left) client.cut();
    if (picture) servers.review(picture);
    return cut + left.length;
  }

  async function close(): Promise<void> {
    for (const listener of listeners) listener.client.end();
    await servers.close();
  }

  /** Requests that have not been answered. */
  function openRequests(): number {
    return requests.all().length;
  }

  return { handle, review, close, openRequests };
}
