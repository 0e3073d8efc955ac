/**
 * An MCP server made with the official SDK, on loopback, that counts what it really runs: the other end of every promise about calls
 * that run once or never. Its tools can be changed while it runs.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type Server as HttpServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  CreateMessageResultSchema,
  ElicitResultSchema,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListToolsRequestSchema,
  ReadResourceRequestSchema,
  type Tool,
} from '@modelcontextprotocol/sdk/types.js';

export interface CountingServer {
  url: string;
  /** Calls that ran, by tool and its text argument. */
  runs: Map<string, number>;
  tools: Tool[];
  /** Headers of the last request. */
  lastHeaders: IncomingMessage['headers'];
  /** Every `Mcp-Session-Id` in use. */
  sessions: Map<string, StreamableHTTPServerTransport>;
  /** Requests that were cancelled at the server. */
  cancelled: string[];
  /** Cuts every open connection. */
  cutConnections: () => void;
  /** Tells all clients that the tools have changed. */
  announceTools: () => Promise<void>;
  /** Lets calls of `slow` finish. */
  release: () => void;
  close: () => Promise<void>;
}

const text = (name: string, description: string, more: Partial<Tool> = {}): Tool => ({
  name,
  description,
  inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
  ...more,
});

/** @param old speaks the HTTP+SSE transport of 2024-11-05 instead. */
export async function startCountingServer({ old = false, json = false } = {}): Promise<CountingServer> {
  const runs = new Map<string, number>();
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const servers = new Set<Server>();
  let waiting: (() => void)[] = [];
  const state = {
    runs,
    sessions,
    cancelled: [] as string[],
    lastHeaders: {} as IncomingMessage['headers'],
    tools: [
      text('echo', 'Says it again', { annotations: { readOnlyHint: true } }),
      text('slow', 'Runs until it is released, with progress', { annotations: { readOnlyHint: true } }),
      text('write', 'Changes something'),
      text('ask', 'Asks the user', { annotations: { readOnlyHint: true } }),
      text('think', 'Asks the model', { annotations: { readOnlyHint: true } }),
      text('fail', 'Fails', { annotations: { readOnlyHint: true } }),
    ],
  };

  async function call(
    server: Server,
    name: string,
    said: string,
    extra: Parameters<Parameters<typeof server.setRequestHandler<typeof CallToolRequestSchema>>[1]>[1],
  ): Promise<CallToolResult> {
    runs.set(`${name}:${said}`, (runs.get(`${name}:${said}`) ?? 0) + 1);
    extra.signal.addEventListener('abort', () => state.cancelled.push(said));
    const answer = (content: string, isError = false): CallToolResult => ({
      content: [{ type: 'text', text: content }],
      ...(isError && { isError }),
    });
    switch (name) {
      case 'slow': {
        const progressToken = extra._meta?.progressToken;
        const released = new Promise<void>((resolve) => waiting.push(resolve));
        if (progressToken !== undefined)
          await extra.sendNotification({
            method: 'notifications/progress',
            params: { progressToken, progress: 1, total: 2, message: 'half' },
          });
        await released;
        return answer(`slow ${said}`);
      }
      case 'ask': {
        const requestedSchema = { type: 'object' as const, properties: { name: { type: 'string' as const } } };
        const result = await extra.sendRequest(
          { method: 'elicitation/create', params: { message: said, requestedSchema } },
          ElicitResultSchema,
        );
        return answer(`${result.action} ${JSON.stringify(result.content ?? {})}`);
      }
      case 'think': {
        const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: said } }];
        const result = await extra.sendRequest(
          { method: 'sampling/createMessage', params: { messages, maxTokens: 10 } },
          CreateMessageResultSchema,
        );
        return answer(`thought ${JSON.stringify(result.content)}`);
      }
      case 'fail':
        return answer('it failed', true);
      default:
        return answer(`${name} ${said}`);
    }
  }

  function makeServer(): Server {
    const server = new Server(
      { name: 'counting', version: '1.0.0' },
      { capabilities: { tools: { listChanged: true }, resources: {}, prompts: {}, logging: {} } },
    );
    server.setRequestHandler(ListToolsRequestSchema, async () => ({ tools: state.tools }));
    server.setRequestHandler(CallToolRequestSchema, (request, extra) =>
      call(server, request.params.name, String(request.params.arguments?.text ?? ''), extra),
    );
    server.setRequestHandler(ListResourcesRequestSchema, async () => ({ resources: [{ uri: 'note://one', name: 'one' }] }));
    server.setRequestHandler(ReadResourceRequestSchema, async ({ params }) => ({ contents: [{ uri: params.uri, text: 'the note' }] }));
    server.setRequestHandler(ListPromptsRequestSchema, async () => ({ prompts: [{ name: 'hello' }] }));
    server.setRequestHandler(GetPromptRequestSchema, async () => ({
      messages: [{ role: 'user', content: { type: 'text', text: 'say hello' } }],
    }));
    servers.add(server);
    return server;
  }

  const streams = new Map<string, SSEServerTransport>();
  const http: HttpServer = createServer(async (request, response) => {
    state.lastHeaders = request.headers;
    const url = new URL(request.url ?? '/', 'http://127.0.0.1');
    if (old) {
      if (request.method === 'GET' && url.pathname === '/mcp') {
        const transport = new SSEServerTransport('/messages', response);
        streams.set(transport.sessionId, transport);
        await makeServer().connect(transport);
      } else if (request.method === 'POST' && url.pathname === '/messages') {
        const transport = streams.get(url.searchParams.get('sessionId') ?? '');
        if (transport) await transport.handlePostMessage(request, response);
        else response.writeHead(404).end();
      } else response.writeHead(404).end();
      return;
    }
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? sessions.get(id) : undefined;
    if (typeof id === 'string' && !known) {
      response.writeHead(404).end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }));
      return;
    }
    if (known) return known.handleRequest(request, response);
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      eventStore: new InMemoryEventStore(),
      enableJsonResponse: json,
      onsessioninitialized: (session) => void sessions.set(session, transport),
      onsessionclosed: (session) => void sessions.delete(session),
    });
    await makeServer().connect(transport as Parameters<Server['connect']>[0]);
    await transport.handleRequest(request, response);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return Object.assign(state, {
    url: `http://127.0.0.1:${port}/mcp`,
    cutConnections: () => http.closeAllConnections(),
    announceTools: async () => {
      for (const server of servers) await server.sendToolListChanged().catch(() => {});
    },
    release: () => {
      for (const go of waiting) go();
      waiting = [];
    },
    close: async () => {
      for (const go of waiting) go();
      http.closeAllConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  });
}
