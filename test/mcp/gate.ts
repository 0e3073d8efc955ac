/** Words for the tests of the second gate: registering a server, and an official client that reaches it through us. */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { usePolicy } from '../support/calls.ts';
import type { Answer, ReachableWorld, World } from '../support/world.ts';

export interface UpstreamBody {
  id: string;
  name: string;
  revision: number;
  hasSecret: boolean;
  health: { state: string; lastError: string | null };
  heldTools: number;
  toolCount: number;
}

/** Registers an MCP server on loopback; trusted, so that its read-only tools are green. */
export async function newUpstream(world: ReachableWorld, fields: Record<string, unknown>): Promise<UpstreamBody> {
  const name = `up-${Math.random().toString(36).slice(2, 10)}`;
  const created = await world.api<UpstreamBody>('POST', '/upstreams', { name, kind: 'mcp', allowPrivate: true, trusted: true, ...fields });
  if (created.status !== 201) throw new Error(`upstream not created: ${JSON.stringify(created.body)}`);
  return created.body;
}

/** A client of the official v1 SDK, connected through the gate as an agent. */
export async function connect(
  world: World,
  upstream: string,
  token: string,
  configure: (client: Client) => void = () => {},
): Promise<{ client: Client; transport: StreamableHTTPClientTransport }> {
  const client = new Client({ name: 'test', version: '1.0.0' }, { capabilities: { sampling: {}, elicitation: {}, roots: {} } });
  configure(client);
  const transport = new StreamableHTTPClientTransport(new URL(`${world.gateUrl}/mcp/${upstream}`), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
    reconnectionOptions: { initialReconnectionDelay: 50, maxReconnectionDelay: 200, reconnectionDelayGrowFactor: 1.2, maxRetries: 20 },
  });
  await client.connect(transport as Parameters<Client['connect']>[0]);
  return { client, transport };
}

/** Puts risks of canonical tool names into the active policy. */
export async function mapRisks(world: ReachableWorld, riskMap: Record<string, string>, more: Record<string, unknown> = {}): Promise<void> {
  await usePolicy(world, { riskMap, ...more });
}

/** One message by hand. */
export async function post(
  world: World,
  upstream: string,
  token: string | null,
  message: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${world.gateUrl}/mcp/${upstream}`, {
    method: 'POST',
    headers: {
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json',
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  });
}

export interface ApprovalBody {
  id: string;
  number: number;
  tool: string;
  status: string;
  agentId: string;
  reasons: { code: string }[];
}

export async function pendingOf(world: World, agentId: string): Promise<ApprovalBody[]> {
  const page: Answer<{ items: ApprovalBody[] }> = await world.api('GET', `/approvals?status=pending&agentId=${agentId}`);
  return page.body.items;
}
