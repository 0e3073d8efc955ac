/** A server of the stateless revision (2026-07-28), made with the official v2 SDK: over HTTP in this process, or as a command. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, inputRequired, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';

/** What it ran, by tool and its text argument. */
export const modernRuns = new Map<string, number>();

/** A fresh server; each request of the stateless era has one. */
export function makeModernServer(): McpServer {
  const server = new McpServer({ name: 'modern', version: '1.0.0' });
  const annotations = { readOnlyHint: true };
  const count = (name: string, text: string) => modernRuns.set(`${name}:${text}`, (modernRuns.get(`${name}:${text}`) ?? 0) + 1);
  server.registerTool(
    'echo',
    { description: 'Says it again', inputSchema: z.object({ text: z.string() }), annotations },
    async ({ text }: { text: string }) => {
      count('echo', text);
      return { content: [{ type: 'text' as const, text: `echo ${text}` }] };
    },
  );
  server.registerTool(
    'write',
    { description: 'Changes something', inputSchema: z.object({ text: z.string() }) },
    async ({ text }: { text: string }) => {
      count('write', text);
      return { content: [{ type: 'text' as const, text: `write ${text}` }] };
    },
  );
  server.registerTool(
    'ask',
    { description: 'Asks the user', inputSchema: z.object({ text: z.string() }), annotations },
    async ({ text }: { text: string }, context) => {
      const answer = context.mcpReq.inputResponses?.who as { action?: string; content?: { name?: string } } | undefined;
      if (answer === undefined) {
        const requestedSchema = { type: 'object' as const, properties: { name: { type: 'string' as const } }, required: ['name'] };
        return inputRequired({
          inputRequests: { who: inputRequired.elicit({ message: text, requestedSchema }) },
          requestState: 'server-state',
        });
      }
      count('ask', text);
      return { content: [{ type: 'text' as const, text: `${answer.action} ${answer.content?.name}` }] };
    },
  );
  return server;
}

/** Over HTTP on loopback. */
export async function startModernServer(): Promise<{ url: string; close: () => Promise<void> }> {
  const handler = toNodeHandler(createMcpHandler(() => makeModernServer()));
  const http = createServer((request, response) => void handler(request as Parameters<typeof handler>[0], response));
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
