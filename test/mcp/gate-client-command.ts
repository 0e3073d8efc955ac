/**
 * The client that the official conformance suite starts: the SDK's own, which reaches the suite's server through a gate of its own. What
 * the suite then sees of a client is our side towards servers. Called with the server's address; the scenario is in the environment.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { newAgent, startWorld } from '../support/world.ts';
import { mapRisks, newUpstream } from './gate.ts';

const url = process.argv.at(-1) ?? '';
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? '';
const isDirect = process.argv.includes('--direct');

const world = isDirect ? null : await startWorld();
try {
  const reached = world === null ? { url, headers: {} } : await throughGate();
  const client = new Client(
    { name: 'conformance', version: '1.0.0' },
    { capabilities: { elicitation: { form: { applyDefaults: true } } } },
  );
  client.setRequestHandler(ElicitRequestSchema, async () => ({ action: 'accept', content: {} }));
  const transport = new StreamableHTTPClientTransport(new URL(reached.url), {
    requestInit: { headers: reached.headers },
    reconnectionOptions: { initialReconnectionDelay: 1_000, maxReconnectionDelay: 5_000, reconnectionDelayGrowFactor: 1.5, maxRetries: 3 },
  });
  await client.connect(transport as Parameters<Client['connect']>[0]);
  const { tools } = await client.listTools();
  if (scenario === 'tools_call') await client.callTool({ name: 'add_numbers', arguments: { a: 5, b: 3 } });
  else if (scenario !== 'initialize') for (const { name } of tools) await client.callTool({ name, arguments: {} });
  await client.close();
} finally {
  await world?.close();
}

async function throughGate(): Promise<{ url: string; headers: Record<string, string> }> {
  if (world === null) throw new Error('there is no gate');
  const agent = await newAgent(world);
  const upstream = await newUpstream(world, { name: 'suite', url });
  await mapRisks(world, { [`${upstream.name}__*`]: 'green' });
  return { url: `${world.gateUrl}/mcp/suite`, headers: { authorization: `Bearer ${agent.token}` } };
}
