import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type CountingServer, startCountingServer } from './counting-server.ts';
import { connect, newUpstream, pendingOf, type UpstreamBody } from './gate.ts';

let world: World;
let server: CountingServer;
let upstream: UpstreamBody;
let gateway: { id: string; token: string };
beforeAll(async () => {
  world = await startWorld();
  server = await startCountingServer();
  upstream = await newUpstream(world, { url: server.url, trusted: false, priceUsd: 0.01 });
  const created = await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'openclaw' });
  gateway = created.body;
});
afterAll(async () => {
  await world.close();
  await server.close();
});

/** An agent inside OpenClaw, whose MCP entry has a name of its own. */
async function gatedAgent(fields: Record<string, unknown> = {}) {
  const externalId = `ext-${Math.random().toString(36).slice(2, 8)}`;
  const entry = `${upstream.name}-${externalId}`;
  const agent = await newAgent(world, {
    gate: 'openclaw',
    gatewayId: gateway.id,
    externalId,
    metadata: { mcpAliases: { [entry]: upstream.name } },
    ...fields,
  });
  return { ...agent, externalId, entry };
}
type Gated = Awaited<ReturnType<typeof gatedAgent>>;

let calls = 0;
/** What OpenClaw's plugin asks before its client sends the call. */
const askGate = (agent: Gated, tool: string, text: string) =>
  world.gate<{ id: string; verdict: string; approvalId?: string }>(
    'POST',
    '/v1/tool-calls',
    { tool: `${agent.entry}__${tool}`, arguments: { text }, agentId: agent.externalId, sessionKey: 's', runId: 'r', callId: `c${++calls}` },
    gateway.token,
  );
const records = (agent: Gated) =>
  world.api<{ items: { id: string; tool: string; status: string; entry: string; cost: number; risk: string }[] }>(
    'GET',
    `/tool-calls?agentId=${agent.id}`,
  );
const alertOf = async (agent: Gated) => {
  const page = await world.api<{ items: { type: string; severity: string; agentId: string | null }[] }>(
    'GET',
    '/alerts?resolved=false&limit=100',
  );
  return page.body.items.find((alert) => alert.agentId === agent.id);
};
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text ?? '';

describe('a call that both gates see', () => {
  it('is judged, approved and counted once', async () => {
    const agent = await gatedAgent();
    const { client } = await connect(world, upstream.name, agent.token);
    await client.listTools();
    const held = await askGate(agent, 'write', 'both');
    expect(held.body.verdict).toBe('hold');
    await world.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'ok' });
    const released = await world.gate('GET', `/v1/tool-calls/${held.body.id}?waitMs=5000`, undefined, gateway.token);
    expect(released.status).toBe(200);
    expect(textOf(await client.callTool({ name: 'write', arguments: { text: 'both' } }))).toBe('write both');
    await world.gate(
      'POST',
      `/v1/tool-calls/${held.body.id}/outcome`,
      { status: 'success', output: 'write both', durationMs: 3 },
      gateway.token,
    );
    const found = await until(
      () => records(agent),
      (answer) => answer.body.items[0]?.status === 'success',
    );
    expect(found.body.items).toHaveLength(1);
    expect(found.body.items[0]).toMatchObject({ id: held.body.id, tool: `${upstream.name}__write`, entry: 'openclaw', cost: 0.01 });
    expect(await pendingOf(world, agent.id)).toEqual([]);
    expect(await alertOf(agent)).toBeUndefined();
    expect(server.runs.get('write:both')).toBe(1);
    await client.close();
  });

  it('counts for one call only, and only for these arguments: the rest is ungated, a critical alert and judged as an intern’s', async () => {
    const agent = await gatedAgent({ autonomyLevel: 'lead' });
    const { client } = await connect(world, upstream.name, agent.token);
    await client.listTools();
    await usePolicy(world, { riskMap: { [`${upstream.name}__echo`]: 'yellow' } });
    expect((await askGate(agent, 'echo', 'once')).body.verdict).toBe('allow');
    expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'once' } }))).toBe('echo once');
    expect(await alertOf(agent)).toBeUndefined();

    // The same call again, and one with other arguments: nobody asked about those. A lead's yellow would run; an intern's is held.
    for (const text of ['once', 'other']) {
      const call = client.callTool({ name: 'echo', arguments: { text } }, undefined, { timeout: 3_000 });
      call.catch(() => {});
      const [approval] = await until(
        () => pendingOf(world, agent.id),
        (list) => list.length === 1,
      );
      expect(approval?.reasons.map((reason) => reason.code)).toContain('YELLOW_INTERN');
      await world.api('POST', `/approvals/${approval?.id}/deny`, { note: 'no' });
      expect((await call).isError).toBe(true);
    }
    expect(server.runs.get('echo:once')).toBe(1);
    expect(server.runs.get('echo:other')).toBeUndefined();
    const alert = await until(
      () => alertOf(agent),
      (found) => found !== undefined,
    );
    expect(alert).toMatchObject({ type: 'gate_missing', severity: 'critical' });
    await client.close();
  });

  it('is refused where the policy says so', async () => {
    const agent = await gatedAgent();
    await usePolicy(world, { failModes: { gate: 'refuse' } });
    const { client } = await connect(world, upstream.name, agent.token);
    const result = await client.callTool({ name: 'echo', arguments: { text: 'refused' } });
    expect(textOf(result)).toContain('GATE_UNPROVEN');
    expect(server.runs.get('echo:refused')).toBeUndefined();
    await client.close();
  });
});
