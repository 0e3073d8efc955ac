/** The product as a test server: started as its user starts it, with four people of different roles and agents that call through the gate. */
import { randomUUID } from 'node:crypto';
import type { Agent, Alert, Approval, Role, SystemState, Task } from '../../control/contract.ts';
import { type CountingServer, startCountingServer } from '../mcp/counting-server.ts';
import { connect } from '../mcp/gate.ts';
import { type Answer, newAgent, startWorld, until } from '../support/world.ts';
import { startFaultProxy } from './fault-proxy.ts';
import type { TestServer } from './server.ts';

const PEOPLE: readonly (readonly [Role, string])[] = [
  ['admin', 'Mara Voss'],
  ['operator', 'Jon Reyes'],
  ['approver', 'Ada Lind'],
  ['viewer', 'Vic Tamm'],
];

interface GateAnswer {
  id: string;
  verdict: string;
  approvalId?: string;
}

export async function startRealServer(): Promise<TestServer> {
  const world = await startWorld();
  const faults = await startFaultProxy(world.controlUrl);
  const people = new Map<Role, { id: string; token: string }>();
  /** Token of each agent, by its id. */
  const tokens = new Map<string, string>();
  /** The MCP server behind each upstream, by its name. */
  const mcpServers = new Map<string, CountingServer>();
  for (const [role, name] of PEOPLE) await hire(role, name);

  async function hire(role: Role, name: string): Promise<void> {
    people.set(role, done(await world.api<{ id: string; token: string }>('POST', '/operators', { name, role })));
  }

  const tokenOf = (role: Role): string => people.get(role)?.token ?? '';
  const approval = async (id: string): Promise<Approval> => done(await world.api<Approval>('GET', `/approvals/${id}`));

  /** The held call behind an approval, and the credential of the agent that made it. */
  async function heldCall(approvalId: string): Promise<{ path: string; token: string | null }> {
    const { toolCallId, agentId } = await approval(approvalId);
    return { path: `/v1/tool-calls/${toolCallId}`, token: tokens.get(agentId ?? '') ?? null };
  }

  async function closeMcpServers(): Promise<void> {
    for (const server of mcpServers.values()) await server.close();
    mcpServers.clear();
  }

  return {
    url: faults.url,
    signInToken: tokenOf,
    async signInLink() {
      const { token } = done(await world.api<{ token: string }>('POST', '/sign-in-links', {}, tokenOf('admin')));
      return `${faults.url}/sign-in#token=${token}`;
    },
    async addAgent(name, autonomyLevel = 'specialist', parentId) {
      const { id } = done(
        await world.api<Agent>('POST', '/agents', { name, autonomyLevel, workspace: '/srv/ws', ...(parentId && { parentId }) }),
      );
      tokens.set(id, done(await world.api<{ token: string }>('POST', `/agents/${id}/tokens`, {})).token);
      return id;
    },
    addTask: async (task) => done(await world.api<Task>('POST', '/tasks', task)),
    moveTask: async (id, move) => void done(await world.api('POST', `/tasks/${id}/transition`, move)),
    task: async (id) => done(await world.api<Task>('GET', `/tasks/${id}`)),
    async call(agentId, { tool, arguments: args, output = 'done', taskId }) {
      const token = tokens.get(agentId) ?? null;
      const body = { tool, arguments: args, callId: randomUUID(), sessionKey: 'main', runId: 'run-1', ...(taskId && { taskId }) };
      const { status, body: answer } = await world.gate<GateAnswer>('POST', '/v1/tool-calls', body, token);
      if (status === 200)
        done(await world.gate('POST', `/v1/tool-calls/${answer.id}/outcome`, { status: 'success', output, durationMs: 4 }, token));
      return answer.approvalId ?? answer.id;
    },
    approval,
    async decide(id, verdict, note) {
      done(await world.api('POST', `/approvals/${id}/${verdict}`, { note }, tokenOf('operator')));
    },
    async redeem(id, output) {
      const { path, token } = await heldCall(id);
      const released = await world.gate<GateAnswer>('GET', `${path}?waitMs=10000`, undefined, token);
      if (released.body.verdict !== 'allow') throw new Error(`not released: ${JSON.stringify(released.body)}`);
      done(await world.gate('POST', `${path}/outcome`, { status: 'success', output, durationMs: 840 }, token));
    },
    async withdraw(id) {
      const { path, token } = await heldCall(id);
      done(await world.gate('POST', `${path}/cancel`, {}, token));
    },
    raiseAlert: () => Promise.reject(new Error('the product raises its alerts itself; use the mock')),
    async offerTools(upstream, tools) {
      let mcp = mcpServers.get(upstream);
      if (!mcp) {
        mcp = await startCountingServer();
        mcpServers.set(upstream, mcp);
        done(await world.api('POST', '/upstreams', { name: upstream, kind: 'mcp', url: mcp.url, allowPrivate: true }));
      }
      mcp.tools = [...tools];
      const { client } = await connect(world, upstream, (await newAgent(world)).token);
      await client.listTools();
      await client.close();
    },
    agentStatus: async (id) => done(await world.api<Agent>('GET', `/agents/${id}`)).status,
    isStopped: async () => done(await world.api<SystemState>('GET', '/emergency')).estop,
    kill: () => world.kill(),
    start: () => world.start(),
    cutEvents: () => faults.cutEvents(),
    allowEvents: () => faults.allowEvents(),
    async endOperatorSession() {
      done(await world.api('DELETE', `/operators/${people.get('operator')?.id}`));
      await hire('operator', 'Jon Reyes');
      faults.cutEvents();
      faults.allowEvents();
    },
    async reset() {
      faults.allowEvents();
      const system = done(await world.api<SystemState>('GET', '/emergency'));
      if (system.estop || system.squadPaused) done(await world.api('POST', '/emergency/resume', { note: 'next test' }));
      for (const { id } of done(await world.api<{ items: Agent[] }>('GET', '/agents')).items)
        done(await world.api('DELETE', `/agents/${id}`));
      for (const { id } of done(await world.api<{ items: Alert[] }>('GET', '/alerts?resolved=false')).items)
        done(await world.api('POST', `/alerts/${id}/resolve`, {}));
      for (const { id } of done(await world.api<{ items: Task[] }>('GET', '/tasks?limit=500')).items)
        done(await world.api('DELETE', `/tasks/${id}`));
      for (const { id } of done(await world.api<{ items: { id: string }[] }>('GET', '/upstreams')).items)
        done(await world.api('DELETE', `/upstreams/${id}`));
      await closeMcpServers();
      await until(
        () => world.api<{ items: unknown[] }>('GET', '/approvals'),
        ({ body }) => body.items.length === 0,
      );
    },
    async close() {
      await faults.close();
      await world.close();
      await closeMcpServers();
    },
  };
}

/** The body of an answer that had to succeed. */
function done<T>({ status, body }: Answer<T>): T {
  if (status >= 400) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
  return body;
}
