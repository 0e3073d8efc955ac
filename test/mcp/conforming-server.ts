/**
 * A server with everything that the official conformance suite looks for, made with the official v1 SDK: the same tools, resources
 * and prompts by name. What it answers is fixed; what matters is that it is the same with and without the gate in between.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { InMemoryEventStore } from '@modelcontextprotocol/sdk/examples/shared/inMemoryEventStore.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  CompleteRequestSchema,
  CreateMessageResultSchema,
  ElicitResultSchema,
  GetPromptRequestSchema,
  type GetPromptResult,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
  SetLevelRequestSchema,
  SubscribeRequestSchema,
  type Tool,
  UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const SOUND = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';
const NONE = { type: 'object' as const, properties: {} };

const ADDRESSES = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object' as const,
  $defs: { address: { type: 'object', properties: { street: { type: 'string' }, city: { type: 'string' } } } },
  properties: { name: { type: 'string' }, address: { $ref: '#/$defs/address' } },
  additionalProperties: false,
};

const TOOLS: Tool[] = [
  ...[
    'test_simple_text',
    'test_image_content',
    'test_audio_content',
    'test_embedded_resource',
    'test_multiple_content_types',
    'test_tool_with_logging',
    'test_tool_with_progress',
    'test_error_handling',
    'test_reconnection',
    'test_elicitation_sep1034_defaults',
    'test_elicitation_sep1330_enums',
  ].map((name) => ({ name, description: `The suite's ${name}`, inputSchema: NONE })),
  {
    name: 'test_sampling',
    description: 'Asks the model',
    inputSchema: { type: 'object', properties: { prompt: { type: 'string' } }, required: ['prompt'] },
  },
  {
    name: 'test_elicitation',
    description: 'Asks the user',
    inputSchema: { type: 'object', properties: { message: { type: 'string' } }, required: ['message'] },
  },
  { name: 'json_schema_2020_12_tool', description: 'A schema of the 2020-12 dialect', inputSchema: ADDRESSES },
];

const FORMS: Record<string, { [name: string]: object }> = {
  test_elicitation_sep1034_defaults: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
  test_elicitation_sep1330_enums: {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: {
      type: 'string',
      oneOf: [
        { const: 'value1', title: 'First' },
        { const: 'value2', title: 'Second' },
        { const: 'value3', title: 'Third' },
      ],
    },
    legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['One', 'Two', 'Three'] },
    untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
    titledMulti: {
      type: 'array',
      minItems: 1,
      maxItems: 3,
      items: {
        anyOf: [
          { const: 'value1', title: 'First' },
          { const: 'value2', title: 'Second' },
          { const: 'value3', title: 'Third' },
        ],
      },
    },
  },
};

type Extra = Parameters<Parameters<Server['setRequestHandler']>[1]>[1];

/** Starts it on loopback. */
export async function startConformingServer(): Promise<{ url: string; close: () => Promise<void> }> {
  const sessions = new Map<string, StreamableHTTPServerTransport>();

  function makeServer(): Server {
    const server = new Server(
      { name: 'conforming', version: '1.0.0' },
      {
        capabilities: {
          tools: { listChanged: true },
          resources: { subscribe: true, listChanged: true },
          prompts: { listChanged: true },
          logging: {},
          completions: {},
        },
      },
    );
    server.setRequestHandler(ListToolsRequestSchema, async () => ({ tools: TOOLS }));
    server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) =>
      callTool(params.name, params.arguments ?? {}, extra as Extra, sessions),
    );
    server.setRequestHandler(ListResourcesRequestSchema, async () => ({
      resources: [
        { uri: 'test://static-text', name: 'text', mimeType: 'text/plain' },
        { uri: 'test://static-binary', name: 'binary', mimeType: 'image/png' },
        { uri: 'test://watched-resource', name: 'watched', mimeType: 'text/plain' },
      ],
    }));
    server.setRequestHandler(ListResourceTemplatesRequestSchema, async () => ({
      resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' }],
    }));
    server.setRequestHandler(ReadResourceRequestSchema, async ({ params: { uri } }) => {
      const id = /^test:\/\/template\/([^/]+)\/data$/.exec(uri)?.[1];
      if (uri === 'test://static-binary') return { contents: [{ uri, mimeType: 'image/png', blob: PIXEL }] };
      if (id !== undefined)
        return {
          contents: [{ uri, mimeType: 'application/json', text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) }],
        };
      if (uri === 'test://static-text' || uri === 'test://watched-resource')
        return { contents: [{ uri, mimeType: 'text/plain', text: `The text of ${uri}` }] };
      throw new McpError(-32002, 'Resource not found', { uri });
    });
    server.setRequestHandler(SubscribeRequestSchema, async () => ({}));
    server.setRequestHandler(UnsubscribeRequestSchema, async () => ({}));
    server.setRequestHandler(SetLevelRequestSchema, async () => ({}));
    server.setRequestHandler(CompleteRequestSchema, async () => ({ completion: { values: ['paris', 'park'], total: 2, hasMore: false } }));
    server.setRequestHandler(ListPromptsRequestSchema, async () => ({
      prompts: [
        { name: 'test_simple_prompt', description: 'Simple' },
        {
          name: 'test_prompt_with_arguments',
          description: 'With arguments',
          arguments: [
            { name: 'arg1', required: true },
            { name: 'arg2', required: true },
          ],
        },
        {
          name: 'test_prompt_with_embedded_resource',
          description: 'With a resource',
          arguments: [{ name: 'resourceUri', required: true }],
        },
        { name: 'test_prompt_with_image', description: 'With an image' },
      ],
    }));
    server.setRequestHandler(GetPromptRequestSchema, async ({ params }) => getPrompt(params.name, params.arguments ?? {}));
    return server;
  }

  const http = createServer(async (request, response) => {
    // As a server on loopback should: it answers to its own names only (DNS rebinding).
    const isOwn = (url: string) => URL.canParse(url) && ['localhost', '127.0.0.1', '[::1]'].includes(new URL(url).hostname);
    const { origin, host } = request.headers;
    if (!isOwn(`http://${host}`) || (origin !== undefined && !isOwn(origin))) return void response.writeHead(403).end();
    const id = request.headers['mcp-session-id'];
    const known = typeof id === 'string' ? sessions.get(id) : undefined;
    if (typeof id === 'string' && !known) return void response.writeHead(404).end();
    if (known) return known.handleRequest(request, response);
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      eventStore: new InMemoryEventStore(),
      retryInterval: 200,
      onsessioninitialized: (session) => void sessions.set(session, transport),
      onsessionclosed: (session) => void sessions.delete(session),
    });
    await makeServer().connect(transport as Parameters<Server['connect']>[0]);
    await transport.handleRequest(request, response);
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const { port } = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/mcp`,
    close: async () => {
      http.closeAllConnections();
      await new Promise<void>((resolve) => http.close(() => resolve()));
    },
  };
}

async function callTool(
  name: string,
  args: Record<string, unknown>,
  extra: Extra,
  sessions: ReadonlyMap<string, StreamableHTTPServerTransport>,
): Promise<CallToolResult> {
  const text = (words: string): CallToolResult => ({ content: [{ type: 'text', text: words }] });
  const resource = { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' };
  const elicit = async (message: string, properties: object, required: string[]) => {
    const params = { message, requestedSchema: { type: 'object', properties, required } };
    const answer = await extra.sendRequest(
      { method: 'elicitation/create', params } as Parameters<Extra['sendRequest']>[0],
      ElicitResultSchema,
    );
    return `action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`;
  };
  switch (name) {
    case 'test_simple_text':
      return text('This is a simple text response for testing.');
    case 'test_image_content':
      return { content: [{ type: 'image', data: PIXEL, mimeType: 'image/png' }] };
    case 'test_audio_content':
      return { content: [{ type: 'audio', data: SOUND, mimeType: 'audio/wav' }] };
    case 'test_embedded_resource':
      return { content: [{ type: 'resource', resource }] };
    case 'test_multiple_content_types':
      return {
        content: [
          { type: 'text', text: 'Several:' },
          { type: 'image', data: PIXEL, mimeType: 'image/png' },
          { type: 'resource', resource },
        ],
      };
    case 'test_tool_with_logging':
      for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed'])
        await extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
      return text('Logged.');
    case 'test_tool_with_progress': {
      const progressToken = extra._meta?.progressToken ?? 0;
      for (const progress of [0, 50, 100])
        await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      return text(String(progressToken));
    }
    case 'test_error_handling':
      return { content: [{ type: 'text', text: 'This tool intentionally returns an error for testing' }], isError: true };
    case 'test_reconnection':
      // The server closes the stream; the client comes back for the answer.
      extra.closeSSEStream?.();
      if (extra.sessionId !== undefined && !sessions.has(extra.sessionId)) throw new Error('no such session');
      await new Promise((resolve) => setTimeout(resolve, 100));
      return text('Reconnection test completed successfully.');
    case 'test_sampling': {
      const params = {
        messages: [{ role: 'user' as const, content: { type: 'text' as const, text: String(args.prompt) } }],
        maxTokens: 100,
      };
      const answer = await extra.sendRequest({ method: 'sampling/createMessage', params }, CreateMessageResultSchema);
      return text(`LLM response: ${JSON.stringify(answer.content)}`);
    }
    case 'test_elicitation':
      return text(`User response: ${await elicit(String(args.message), { response: { type: 'string' } }, ['response'])}`);
    case 'json_schema_2020_12_tool':
      return text(JSON.stringify(args));
    default: {
      const form = FORMS[name];
      if (form === undefined) throw new McpError(-32602, `Unknown tool: ${name}`);
      return text(`Elicitation completed: ${await elicit('Please look at the form', form, [])}`);
    }
  }
}

function getPrompt(name: string, args: Record<string, string>): GetPromptResult {
  const says = (...contents: GetPromptResult['messages'][number]['content'][]): GetPromptResult => ({
    messages: contents.map((content) => ({ role: 'user', content })),
  });
  switch (name) {
    case 'test_simple_prompt':
      return says({ type: 'text', text: 'This is a simple prompt for testing.' });
    case 'test_prompt_with_arguments':
      return says({ type: 'text', text: `Prompt with arguments: arg1='${args.arg1}', arg2='${args.arg2}'` });
    case 'test_prompt_with_embedded_resource':
      return says(
        {
          type: 'resource',
          resource: { uri: args.resourceUri ?? '', mimeType: 'text/plain', text: 'Embedded resource content for testing.' },
        },
        { type: 'text', text: 'Please process the embedded resource above.' },
      );
    case 'test_prompt_with_image':
      return says({ type: 'image', data: PIXEL, mimeType: 'image/png' }, { type: 'text', text: 'Please look at the image above.' });
    default:
      throw new McpError(-32602, `Unknown prompt: ${name}`);
  }
}
