/**
 * Who asks which MCP server, and in which session: read once from a request's headers, before anything of it is judged. What a client
 * may not choose (another's session, another's task, a host name that is not ours) ends here.
 */
import type { IncomingMessage } from 'node:http';
import { type AgentPicture, OWN_SERVER, type UpstreamPicture } from '../control/contract.ts';
import type { CallRequest } from './admission.ts';
import { foreignHost } from './host-names.ts';
import { attribute } from './identity.ts';
import { type Era, RPC } from './mcp-message.ts';
import type { McpServers } from './mcp-servers.ts';
import type { SessionState, StateSealer } from './mcp-state.ts';
import type { McpUpstream } from './mcp-upstream.ts';
import type { Picture } from './snapshot.ts';
import { traceOf } from './traces.ts';

/** Who asks which server, and in which session. */
export interface Context {
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
  attribution: Pick<CallRequest, 'taskId' | 'runId' | 'sessionKey' | 'traceId' | 'parentSpanId'>;
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

interface Dependencies {
  sealer: StateSealer;
  servers: McpServers;
  /** Host names that agents reach us by, besides addresses of this machine. */
  hostNames: readonly string[];
}

export function createContexts({ sealer, servers, hostNames }: Dependencies) {
  /** @returns the refusal where the session or the task is not this agent's. */
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
    // Our own server takes the word of the proxy for who asks; no client can set this header.
    if (upstream.id === OWN_SERVER) headers['x-mc-agent'] = agent.id;
    return {
      agent,
      upstream,
      server: servers.of(upstream),
      picture,
      era,
      session,
      conversation: `${agent.id}/${upstream.id}/${session?.nonce ?? ''}`,
      headers,
      attribution: {
        taskId: attribution.taskId,
        sessionKey,
        runId: header('x-mc-run') ?? null,
        ...traceOf(header('traceparent')),
      },
    };
  }

  return { foreignHost: (request: IncomingMessage) => foreignHost(request, hostNames), contextOf };
}

/** What an agent is told of a server that cannot be reached. */
export function unavailableText({ upstream }: Context, why: string): string {
  return `The MCP server "${upstream.name}" is not available: ${why}.`;
}
