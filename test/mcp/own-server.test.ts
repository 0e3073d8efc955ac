import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gateOf, usePolicy } from '../support/calls.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { connect, pendingOf, post } from './gate.ts';

const OWN = 'mission-control';
const STATES = ['inbox', 'assigned', 'in_progress', 'review', 'needs_approval', 'blocked', 'done', 'canceled'] as const;
type State = (typeof STATES)[number];
/** Where an agent may move a task, by the plan's table. */
const FOR_AGENTS = new Set(['inbox assigned', 'assigned in_progress', 'in_progress review', 'review in_progress']);
/** States in which the gate lets green calls of a task through (SPEC 4.1). */
const SILENT = new Set<State>(['blocked', 'done', 'canceled']);
const WAY: Record<State, readonly State[]> = {
  inbox: [],
  assigned: ['assigned'],
  in_progress: ['assigned', 'in_progress'],
  review: ['assigned', 'in_progress', 'review'],
  needs_approval: ['assigned', 'in_progress', 'review', 'needs_approval'],
  blocked: ['blocked'],
  done: ['assigned', 'in_progress', 'review', 'done'],
  canceled: ['canceled'],
};

type Fields = Record<string, unknown>;
interface Agent {
  id: string;
  token: string;
  name: string;
  client: Client;
}
let world: World;
let ada: Agent;
let bob: Agent;
beforeAll(async () => {
  world = await startWorld();
  [ada, bob] = [await member(), await member()];
});
afterAll(async () => {
  await Promise.all([ada.client.close(), bob.client.close()]);
  await world.close();
});

async function member(): Promise<Agent> {
  const agent = await newAgent(world);
  const { client } = await connect(world, OWN, agent.token);
  return { ...agent, client };
}

async function call(agent: Agent, name: string, args: Fields): Promise<{ isError: boolean; value: Fields }> {
  const result = await agent.client.callTool({ name, arguments: args });
  const [part] = result.content as { text: string }[];
  const text = part?.text ?? '';
  return { isError: result.isError === true, value: text.startsWith('{') ? (JSON.parse(text) as Fields) : { text } };
}

const newTask = async (fields: Fields = {}) =>
  (await world.api<Fields & { id: string }>('POST', '/tasks', { title: 'Write', type: 'docs', assigneeIds: [ada.id], ...fields })).body;
const move = (id: string, to: string, more: Fields = {}) => world.api<Fields>('POST', `/tasks/${id}/transition`, { to, ...more });
const taskOf = async (id: string) => (await world.api<Fields>('GET', `/tasks/${id}`)).body;
const CLOSING = { artifacts: { deliverableConfirmed: true, decisionNote: 'good' } };

describe('the tools of an agent', () => {
  it('carry a task from its brief to the review, as the agent, recorded like every other call', async () => {
    const { tools } = await ada.client.listTools();
    expect(tools.map(({ name }) => name).toSorted()).toEqual(
      [
        'ask_approval',
        'comment',
        'inbox',
        'mention',
        'my_budget',
        'task_get',
        'task_list',
        'task_plan',
        'task_submit',
        'task_transition',
      ].toSorted(),
    );
    const task = await newTask({ budget: 2 });
    await move(task.id, 'assigned');
    const list = await call(ada, 'task_list', { status: 'assigned' });
    expect(list.value.items).toEqual([expect.objectContaining({ id: task.id, status: 'assigned' })]);

    const planned = await call(ada, 'task_plan', { taskId: task.id, plan: '1. write it' });
    expect([planned.isError, planned.value.status, planned.value.workPlan]).toEqual([false, 'in_progress', '1. write it']);
    const early = await call(ada, 'task_submit', { taskId: task.id, deliverable: 'text', selfReview: 'fine' });
    expect([early.isError, early.value.code, early.value.missing]).toEqual([true, 'ARTIFACTS_MISSING', ['evidence']]);
    const handedIn = await call(ada, 'task_submit', {
      taskId: task.id,
      deliverable: 'See https://example.org/page and docs/../page.md',
      selfReview: 'rm -rf was not needed',
      evidence: ['https://example.org/source'],
    });
    expect([handedIn.isError, handedIn.value.status]).toEqual([false, 'review']);
    const budget = await call(ada, 'my_budget', { taskId: task.id });
    expect(budget.value).toMatchObject({ today: { capUsd: 5, leftUsd: 5 }, perRunCapUsd: 0.75, task: { capUsd: 2, spentUsd: 0 } });
    expect(await pendingOf(world, ada.id)).toEqual([]);

    const moves = await world.api<{ items: Fields[] }>('GET', `/tasks/${task.id}/transitions`);
    expect(moves.body.items.map(({ toStatus, actor, actorId }) => [toStatus, actor, actorId])).toEqual([
      ['assigned', 'human', 'admin'],
      ['in_progress', 'agent', ada.id],
      ['review', 'agent', ada.id],
    ]);
    const calls = await until(
      () => world.api<{ items: Fields[] }>('GET', `/tool-calls?agentId=${ada.id}`),
      ({ body }) => body.items.filter(({ status }) => status === 'success' || status === 'failed').length >= 5,
    );
    expect(calls.body.items[0]).toMatchObject({
      entry: 'mission-control',
      tool: 'mission-control__my_budget',
      risk: 'green',
      verdict: 'allow',
    });
    expect(calls.body.items.find(({ status }) => status === 'failed')).toMatchObject({ tool: 'mission-control__task_submit' });
    // Attributed once the task was the agent's current one.
    const story = await world.api<{ items: { kind: string; summary: string }[] }>('GET', `/tasks/${task.id}/timeline`);
    expect(story.body.items.some(({ kind, summary }) => kind === 'call' && summary.includes('task_submit'))).toBe(true);
    expect((await move(task.id, 'done', CLOSING)).status).toBe(200);
  });

  it('claim a task that nobody has, comment on it, name others, and ask for the approval to close it', async () => {
    const task = await newTask({ assigneeIds: [] });
    expect((await call(ada, 'task_list', { status: 'inbox' })).value.items).toEqual([expect.objectContaining({ id: task.id })]);
    const claimed = await call(ada, 'task_transition', { taskId: task.id, to: 'assigned' });
    expect([claimed.value.status, claimed.value.assigneeIds]).toEqual(['assigned', [ada.id]]);
    expect((await call(bob, 'task_get', { taskId: task.id })).value.code).toBe('NOT_FOUND');
    const named = await call(ada, 'mention', { taskId: task.id, names: [`@${bob.name}`], content: 'Is this yours?' });
    expect([named.value.authorType, named.value.authorId, named.value.mentions]).toEqual(['agent', ada.id, [bob.id]]);
    expect((await call(bob, 'comment', { taskId: task.id, content: 'No.' })).isError).toBe(false);
    const seen = await call(bob, 'task_get', { taskId: task.id });
    expect((seen.value.comments as Fields[]).map(({ content }) => content)).toEqual(['Is this yours?', 'No.']);
    expect((await call(ada, 'mention', { taskId: task.id, names: ['nobody'], content: 'x' })).value.code).toBe('UNKNOWN_MENTION');
    expect((await call(bob, 'task_plan', { taskId: task.id, plan: 'mine' })).value.code).toBe('FOREIGN_TASK');
    expect((await call(bob, 'ask_approval', { taskId: task.id, summary: 's', reason: 'r' })).value.code).toBe('FOREIGN_TASK');
    const asked = await call(ada, 'ask_approval', { taskId: task.id, summary: 'Close it', reason: 'Nothing to do' });
    expect([asked.value.status, asked.value.kind]).toEqual(['pending', 'task']);
    await move(task.id, 'canceled');
  });

  it('work for clients of the stateless protocol too', async () => {
    const client = new ModernClient({ name: 'test', version: '1.0.0' });
    await client.connect(
      new ModernTransport(new URL(`${world.gateUrl}/mcp/${OWN}`), { requestInit: { headers: { authorization: `Bearer ${bob.token}` } } }),
    );
    const result = await client.callTool({ name: 'my_budget', arguments: {} });
    expect(JSON.parse((result.content as { text: string }[])[0]?.text ?? '')).toMatchObject({ today: { capUsd: 5 } });
    await client.close();
  });

  it('are judged: a secret in a comment is held, a stopped agent is refused, a wrong token opens nothing', async () => {
    const task = await newTask();
    await move(task.id, 'assigned');
    const message = {
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: 'comment', arguments: { taskId: task.id, content: `AKIA${'IOSFODNN7EXAMPLE'}` } },
    };
    const leaving = new AbortController();
    const held = fetch(`${world.gateUrl}/mcp/${OWN}`, {
      method: 'POST',
      signal: leaving.signal,
      headers: {
        authorization: `Bearer ${ada.token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        // Nobody speaks for another agent.
        'x-mc-agent': bob.id,
      },
      body: JSON.stringify(message),
    });
    const [approval] = await until(
      () => pendingOf(world, ada.id),
      (pending) => pending.some(({ tool }) => tool === 'mission-control__comment'),
    );
    expect(approval?.agentId).toBe(ada.id);
    await world.api('POST', `/approvals/${approval?.id}/deny`, { note: 'no' });
    await held;
    leaving.abort();
    expect((await world.api<{ items: unknown[] }>('GET', `/messages?taskId=${task.id}`)).body.items).toEqual([]);

    const gateway = await world.api<{ token: string }>('POST', '/gateways', { name: 'g' });
    expect((await post(world, OWN, gateway.body.token, message)).status).toBe(403);
    expect((await post(world, OWN, 'mca_wrong', message)).status).toBe(401);
    const direct = await fetch(`${world.controlUrl}/internal/v1/mission-control`, { method: 'POST', headers: { 'x-mc-agent': ada.id } });
    expect(direct.status).toBe(401);

    await world.api('POST', `/agents/${bob.id}/pause`, {});
    expect((await call(bob, 'task_list', {})).value.text).toContain('AGENT_PAUSED');
    await world.api('POST', `/agents/${bob.id}/restart`, {});
    await move(task.id, 'canceled');
  });

  it('show what others wrote since the agent last looked, once, and only on its own tasks', async () => {
    const [task, foreign] = [await newTask(), await newTask({ assigneeIds: [bob.id] })];
    const say = (taskId: string, content: string) => world.api('POST', '/messages', { taskId, content });
    await say(task.id, 'Look at the second page');
    await say(foreign.id, 'Nothing for you');
    const inbox = async () => (await call(ada, 'inbox', {})).value as { threads: { taskId: string; unread: number; comments: Fields[] }[] };
    const first = await inbox();
    expect(first.threads.filter(({ taskId }) => taskId === task.id)).toMatchObject([
      { unread: 1, comments: [{ authorName: 'admin', content: 'Look at the second page' }] },
    ]);
    expect(JSON.stringify(first)).not.toContain('Nothing for you');
    expect((await inbox()).threads).toEqual([]);
    await say(task.id, 'And the third');
    const unread = await world.api<{ items: Fields[] }>('GET', '/messages/unread', undefined, ada.token);
    expect(unread.body.items).toMatchObject([{ taskId: task.id, unread: 1 }]);
    expect((await world.api('POST', `/tasks/${foreign.id}/read`, {}, ada.token)).status).toBe(404);
    await call(ada, 'task_get', { taskId: task.id });
    expect((await inbox()).threads).toEqual([]);
  });
});

describe('the state machine by the tool', () => {
  it('lets an agent make the moves that are an agent’s, and refuses all others with what is allowed', async () => {
    const complete = { workPlan: 'p', deliverable: 'd', selfReview: 's', evidence: ['e'] };
    // So many refusals of one tool would be a loop.
    await usePolicy(world, { loopDetection: { retryLimit: 1000 } });
    for (const from of STATES) {
      for (const to of STATES) {
        const { id } = await newTask(complete);
        for (const step of WAY[from]) await move(id, step, step === 'done' ? CLOSING : {});
        const what = `${from} ${to}`;
        const { isError, value } = await call(ada, 'task_transition', { taskId: id, to });
        if (FOR_AGENTS.has(what)) expect([isError, value.status], what).toEqual([false, to]);
        else if (SILENT.has(from) && value.text !== undefined) expect(value.text, what).toContain('TASK_STATE');
        else {
          expect(isError, what).toBe(true);
          expect(value.code, what).toMatch(from === to ? /SAME_STATE/ : /ILLEGAL_TRANSITION|ACTOR_NOT_ALLOWED/);
          expect(Array.isArray(value.allowed), what).toBe(true);
        }
        expect((await taskOf(id)).status, what).toBe(FOR_AGENTS.has(what) ? to : from);
        await move(id, 'canceled');
      }
    }
  }, 120_000);

  it('lets one of two racing actors win', async () => {
    for (let round = 0; round < 10; round++) {
      const { id } = await newTask({ workPlan: 'p' });
      await move(id, 'assigned');
      const [byTool, byPerson] = await Promise.all([
        call(ada, 'task_transition', { taskId: id, to: 'in_progress', idempotencyKey: 'a' }),
        move(id, 'canceled'),
      ]);
      const moves = await world.api<{ items: Fields[] }>('GET', `/tasks/${id}/transitions`);
      const made = moves.body.items.map(({ fromStatus, toStatus }) => `${fromStatus} ${toStatus}`);
      if (byTool.isError) expect(made).toEqual(['inbox assigned', 'assigned canceled']);
      else expect(made).toEqual(['inbox assigned', 'assigned in_progress', 'in_progress canceled']);
      expect(byPerson.status).toBe(200);
    }
  });
});

describe('a call that OpenClaw’s gate was asked about', () => {
  it('is one record with the one that arrives here', async () => {
    const gateway = await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'joined' });
    const agent = await newAgent(world, { gatewayId: gateway.body.id, externalId: 'main', gate: 'openclaw' });
    await world.api('PATCH', `/agents/${agent.id}`, { metadata: { mcpAliases: { 'mission-control-main': OWN } } });
    const { client } = await connect(world, OWN, agent.token);
    const asked = await gateOf(world, gateway.body.token).call('mission-control-main__task_list', {}, { agentId: 'main' });
    expect([asked.body.verdict, asked.body.risk]).toEqual(['allow', 'green']);
    expect((await client.callTool({ name: 'task_list', arguments: {} })).isError).not.toBe(true);
    await gateOf(world, gateway.body.token).end(asked.body.id);
    const records = await until(
      () => world.api<{ items: Fields[] }>('GET', `/tool-calls?agentId=${agent.id}`),
      ({ body }) => body.items.some(({ status }) => status === 'success'),
    );
    expect(records.body.items.map(({ tool, entry }) => [tool, entry])).toEqual([['mission-control__task_list', 'openclaw']]);
    await client.close();
  });
});
