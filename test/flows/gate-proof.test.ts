import { afterAll, beforeAll, expect, it } from 'vitest';
import { type CountingServer, startCountingServer } from '../mcp/counting-server.ts';
import { connect, newUpstream, pendingOf } from '../mcp/gate.ts';
import { decide, gateOf } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
let server: CountingServer;
beforeAll(async () => {
  world = await startWorld();
  server = await startCountingServer();
});
afterAll(async () => {
  await world.close();
  await server.close();
});

it('an agent of OpenClaw cannot vouch for its own MCP call by asking the gate with its own token', async () => {
  const upstream = await newUpstream(world, { url: server.url, trusted: true });
  const gateway = await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'openclaw' });
  const agent = await newAgent(world, { autonomyLevel: 'lead', gate: 'openclaw', gatewayId: gateway.body.id, externalId: 'main' });
  const { client } = await connect(world, upstream.name, agent.token);
  await client.listTools();
  const tool = `${upstream.name}__write`;
  const vouch = await gateOf(world, agent.token).call(tool, { text: 'alone' });
  await decide(world, vouch.body.approvalId, 'approve');
  expect((await gateOf(world, agent.token).poll(vouch.body.id)).status).toBe(200);
  const call = client.callTool({ name: 'write', arguments: { text: 'alone' } }, undefined, { timeout: 10_000 });
  call.catch(() => {});
  const [approval] = await until(
    () => pendingOf(world, agent.id),
    (list) => list.length === 1,
  );
  const alerts = await until(
    () => world.api<{ items: { type: string; agentId: string | null }[] }>('GET', '/alerts?resolved=false&limit=100'),
    (answer) => answer.body.items.some((alert) => alert.agentId === agent.id),
  );
  expect(alerts.body.items.find((alert) => alert.agentId === agent.id)?.type).toBe('gate_missing');
  await decide(world, approval?.id ?? '', 'deny');
  expect((await call).isError).toBe(true);
  expect(server.runs.get('write:alone')).toBeUndefined();
  await client.close();
});
