/** The dashboard's mock as a test server: the built files under the product's Content-Security-Policy, the world in memory. */
import { join } from 'node:path';
import { filesOf, serveWorld } from '../../dashboard/mock/server.ts';
import { type SampleCall, World } from '../../dashboard/mock/world.ts';
import { type AgentCall, CALLS, type TestServer } from './server.ts';

const JON = { id: 'op_jon', name: 'Jon Reyes', role: 'operator' } as const;

export async function startMockServer(): Promise<TestServer> {
  const world = new World(() => Date.now());
  const files = filesOf(join(import.meta.dirname, '../../dashboard/dist'));
  let server = await serveWorld(world, files);
  const { url } = server;
  return {
    url,
    signInToken: (role) => role,
    signInLink: async () => `${url}/sign-in#token=${world.oneTimeToken()}`,
    addAgent: async (name, autonomyLevel = 'specialist', parentId) =>
      world.addAgent({ name, autonomyLevel, workspace: '/srv/ws', ...(parentId && { parentId }) }).id,
    addTask: async (task) => world.addTask(task, JON),
    moveTask: async (id, move) => void world.moveTask(id, move, JON),
    task: async (id) => world.task(id),
    async call(agentId, call) {
      const task = call.taskId === undefined ? {} : { task: { id: call.taskId, title: world.task(call.taskId).title } };
      const made = world.call(agentId, { ...judged(call), ...task });
      return made.approval?.id ?? made.call.id;
    },
    async approval(id) {
      const approval = world.approvals.get(id);
      if (!approval) throw new Error(`no approval ${id}`);
      return approval;
    },
    decide: async (id, verdict, note) => void world.decide(id, verdict, { note }, JON),
    redeem: async (id, output) => void world.redeem(id, output),
    withdraw: async (id) => world.withdraw(id, 'the run was aborted'),
    raiseAlert: async (alert) => void world.raiseAlert(alert),
    async offerTools(upstream, tools) {
      if (![...world.upstreams.values()].some(({ name }) => name === upstream))
        world.addUpstream({ name: upstream, kind: 'mcp', url: 'https://tools.example/mcp' });
      world.offerTools(
        upstream,
        tools.map((tool) => ({ ...tool, inputSchema: { ...tool.inputSchema, properties: tool.inputSchema.properties ?? {} } })),
      );
    },
    agentStatus: async (id) => world.agent(id).status,
    isStopped: async () => world.system.estop,
    kill: () => server.close(),
    async start() {
      server = await serveWorld(world, files, Number(new URL(url).port));
    },
    cutEvents: () => server.cutEvents(),
    allowEvents: () => server.allowEvents(),
    async endOperatorSession() {
      world.sessions.clear();
      server.cutEvents();
      server.allowEvents();
    },
    async reset() {
      server.allowEvents();
      world.clear();
    },
    close: () => server.close(),
  };
}

/** The call with the judgement that the shipped policy gives it; see CALLS. */
function judged({ tool, arguments: args, output, people }: AgentCall): SampleCall {
  const base = { tool, arguments: args, ...(output === undefined ? {} : { output }), ...(people === undefined ? {} : { people }) };
  if (tool === CALLS.read.tool) return { ...base, mappedTool: 'read_file', risk: 'green', verdict: 'allow' };
  if (tool === CALLS.message.tool) {
    const reasons = [
      { code: 'RED_ACTION', message: "A red action needs a person's approval.", policyPath: 'riskMap.post_social' } as const,
    ];
    return { ...base, mappedTool: 'post_social', risk: 'red', verdict: 'hold', reasons, summary: String(args.to) };
  }
  const blocked = /^sudo\b/.test(String(args.command));
  return {
    ...base,
    mappedTool: 'shell_exec',
    risk: blocked ? 'red' : 'yellow',
    verdict: blocked ? 'deny' : 'hold',
    reasons: [
      blocked
        ? { code: 'SHELL_BLOCKED', message: "Sudo takes another user's rights.", policyPath: 'builtin.shell.blocked' }
        : { code: 'SHELL_NOT_ALLOWLISTED', message: 'It is not on the list.', policyPath: 'allowlists.shell' },
    ],
  };
}
