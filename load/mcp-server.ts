/**
 * The stub MCP server of the bench (Streamable HTTP with PORT, otherwise stdio): one tool that only reads, and an answer of about 300
 * bytes at once. What is measured is the way to it.
 */
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

interface Message {
  id?: string | number;
  method: string;
  params?: { protocolVersion?: string };
}

const TOOL = {
  name: 'find_page',
  description: 'Finds a page of the handbook.',
  inputSchema: { type: 'object', properties: { title: { type: 'string' }, limit: { type: 'number' } } },
  annotations: { readOnlyHint: true },
};
const TEXT =
  'Publishing: every article has a second reader. Write the reason for each change beside it, name the source of every number, and send what is still open to the editor of the day before noon. Pictures need a licence.';

function resultOf({ method, params }: Message): object {
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: params?.protocolVersion ?? '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'bench', version: '1.0.0' },
      };
    case 'tools/list':
      return { tools: [TOOL] };
    case 'tools/call':
      return { content: [{ type: 'text', text: TEXT }] };
    default:
      return {};
  }
}

const port = process.env.PORT;
if (port === undefined) {
  createInterface({ input: process.stdin }).on('line', (line) => {
    const message = JSON.parse(line) as Message;
    if (message.id !== undefined) {
      process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id: message.id, result: resultOf(message) })}\n`);
    }
  });
} else {
  const session = randomUUID();
  const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    if (request.method !== 'POST') return void response.writeHead(405, { 'content-length': 0 }).end();
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const message = JSON.parse(Buffer.concat(chunks).toString()) as Message;
      if (message.id === undefined) return void response.writeHead(202, { 'content-length': 0 }).end();
      const body = JSON.stringify({ jsonrpc: '2.0', id: message.id, result: resultOf(message) });
      const head = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      response.writeHead(200, message.method === 'initialize' ? { ...head, 'mcp-session-id': session } : head).end(body);
    });
  });
  server.listen(Number(port), '127.0.0.1', () => process.send?.({ ready: true }));
  process.on('SIGTERM', () => process.exit(0));
}
