/**
 * The client that the official conformance suite starts: the SDK's own, which reaches the suite's server through the gate that
 * client-conformance.ts has started. What the suite then sees of a client is our side towards servers. Called with the server's address;
 * the scenario and the gate are in the environment.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { joinWorld, newAgent } from '../support/world.ts';
import { mapRisks, newUpstream } from './gate.ts';

const url = process.argv.at(-1) ?? '';
const scenario = process.env.MCP_CONFORMANCE_SCENARIO ?? '';
const world = joinWorld(process.env.CONFORMANCE_CONTROL_URL ?? '', process.env.CONFORMANCE_GATE_URL ?? '');
const reached = await throughGate();
const client = new Client({ name: 'conformance', version: '1.0.0' }, { capabilities: { elicitation: { form: { applyDefaults: true } } } });
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

async function throughGate(): Promise<{ url: string; headers: Record<string, string> }> {
  const agent = await newAgent(world);
  const upstream = await newUpstream(world, { url, ...(scenario.startsWith('auth/') && { oauth: oauthSettings() }) });
  if (scenario.startsWith('auth/')) await authorize(upstream.id);
  await mapRisks(world, { [`${upstream.name}__*`]: 'green' });
  return { url: `${world.gateUrl}/mcp/${upstream.name}`, headers: { authorization: `Bearer ${agent.token}` } };
}

/** What an administrator would have set up: the client that the suite has made by hand, where it has. */
function oauthSettings(): Record<string, unknown> {
  const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? '{}') as { client_id?: string; client_secret?: string };
  return {
    grant: scenario.startsWith('auth/client-credentials') ? 'client_credentials' : 'authorization_code',
    ...(context.client_id !== undefined && { clientId: context.client_id }),
    ...(context.client_secret !== undefined && { clientSecret: context.client_secret }),
  };
}

/** What the administrator does then: begins, opens the address in a browser, and comes back. */
async function authorize(upstreamId: string): Promise<void> {
  const begun = await world.api<{ url: string | null }>('POST', `/upstreams/${upstreamId}/authorize`, {});
  if (begun.status !== 200) throw new Error(`not begun: ${JSON.stringify(begun.body)}`);
  if (begun.body.url === null) return;
  const answer = await fetch(begun.body.url, { redirect: 'manual' });
  const back = new URL(answer.headers.get('location') ?? '', begun.body.url);
  const done = await world.api('GET', `/oauth/callback${back.search}`);
  if (done.status !== 200) throw new Error(`not authorised: ${JSON.stringify(done.body)}`);
}
