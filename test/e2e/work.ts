import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { until } from './child.ts';
import type { Scenario } from './scenarios.ts';
import type { Call } from './scripted-model.ts';
import type { Stage } from './stage.ts';

interface Task {
  id: string;
  number: number;
  status: string;
  sessionKey: string | null;
  workPlan: string | null;
  deliverable: string | null;
  costSummary: string | null;
}
interface Entry {
  kind: string;
  summary: string;
  actorType: string | null;
  details: Record<string, unknown>;
}
interface Run {
  status: string;
  sessionKey: string | null;
}

/** Work in a real OpenClaw: from the board to the agent's session and back. */
export const WORK_SCENARIOS: readonly Scenario[] = [
  {
    id: 't',
    promise: 'an assigned task wakes its agent in a session of its own; plan, held call, deliverable, review, done; all on its timeline',
    play: taskThroughItsLife,
  },
  { id: 't2', promise: 'a comment reaches the agent, a task sent back goes on where it was', play: sentBackGoesOn },
  { id: 't3', promise: 'quarantine during a run ends it within 2 s and blocks its task', play: quarantineEndsTheRun },
  { id: 't4', promise: 'the emergency stop ends live runs, and its receipt says so', play: stopEndsTheRun },
];

const own = (tool: string, args: Record<string, unknown>): Call => ({
  name: 'tool_call',
  arguments: { id: `mission-control-main__${tool}`, args },
});

async function taskThroughItsLife(stage: Stage): Promise<string> {
  const { missionControl, model } = stage;
  const skill = await readFile(path.join(path.dirname(stage.openclaw.configFile), 'skills', 'mission-control', 'SKILL.md'), 'utf8');
  assert.match(skill, /task_submit/);
  const policy = await missionControl.post<{ id: string }>('/api/policies', {
    patch: { tools: { exec: { priceUsd: 0.01 } } },
    note: 'a price',
  });
  await missionControl.post(`/api/policies/${policy.id}/activate`, { note: 'a price' });
  const task = await newTask(stage, 'Write the page');
  model.script('life', new RegExp(`task ${task.number} is yours`), [
    [own('task_plan', { taskId: task.id, plan: '1. look 2. write' })],
    [{ name: 'exec', arguments: { command: 'echo page > page.txt' } }],
    [own('task_submit', { taskId: task.id, deliverable: 'page.txt', selfReview: 'read it twice' })],
  ]);
  const assignedAt = Date.now();
  await move(stage, task, 'assigned');
  const session = `agent:main:mc-task-${task.number}`;
  await stage.told('life', 1);
  const woken = Date.now() - assignedAt;
  assert.equal((await now(stage, task)).workPlan, '1. look 2. write');
  assert.equal((await now(stage, task)).sessionKey, session);

  const approval = await missionControl.pendingApproval(session);
  assert.equal((await now(stage, task)).status, 'in_progress', 'a call that is held inline leaves the task where it is');
  await missionControl.post(`/api/approvals/${approval.id}/approve`, { note: 'approved by the e2e run' });
  await stage.told('life', 3);
  const handedIn = await until('the task to be in review', 20_000, async () => {
    const task_ = await now(stage, task);
    return task_.status === 'review' ? task_ : null;
  });
  assert.equal(await stage.file('page.txt'), 'page\n');
  assert.match(handedIn.costSummary ?? '', /^\$0(\.01)? spent/);
  await until('the reviewer to read the cost', 5_000, async () => /^\$0\.01 spent/.test((await now(stage, task)).costSummary ?? ''));
  await move(stage, task, 'done', { artifacts: { deliverableConfirmed: true, decisionNote: 'good work' } });

  const story = await until('the run to have ended on the timeline', 20_000, async () => {
    const { items } = await missionControl.get<{ items: Entry[] }>(`/api/tasks/${task.id}/timeline?limit=200`);
    return items.some(({ kind, details }) => kind === 'run' && details.status === 'success') ? items : null;
  });
  const run = story.find(({ kind }) => kind === 'run')?.details.runId;
  await until('OpenClaw itself to have told of the end of that run', 10_000, async () =>
    stage.heard.some(({ sessionKey, what, runIds }) => sessionKey === session && what === 'ended' && runIds.includes(String(run))),
  );
  const { items: gateways } = await missionControl.get<{ items: { link: { followsSessions: boolean } }[] }>('/api/gateways');
  assert.deepEqual(
    gateways.map(({ link }) => link.followsSessions),
    [true],
  );
  const kinds = new Set(story.map(({ kind }) => kind));
  for (const kind of ['transition', 'run', 'call', 'approval', 'delivery']) assert.ok(kinds.has(kind), `${kind} is on the timeline`);
  const moves = story.filter(({ kind }) => kind === 'transition').map(({ actorType, details }) => `${details.to} by ${actorType}`);
  assert.deepEqual(moves, ['assigned by human', 'in_progress by agent', 'review by agent', 'done by human']);
  const calls = story.filter(({ kind }) => kind === 'call').map(({ details }) => details.tool);
  assert.deepEqual(
    calls,
    ['mission-control__task_plan', 'exec', 'mission-control__task_submit'],
    'each call once, though two gates saw it',
  );
  const cost = await missionControl.get<{ spend: number; calls: number }>(`/api/tasks/${task.id}/cost`);
  assert.deepEqual([cost.spend, cost.calls], [0.01, 3]);
  return `woken and planned ${woken} ms after the assignment`;
}

async function sentBackGoesOn(stage: Stage): Promise<string> {
  const { model } = stage;
  const task = await newTask(stage, 'Count the birds');
  const submit = (deliverable: string) => [own('task_submit', { taskId: task.id, deliverable, selfReview: 'counted' })];
  model.script('birds', new RegExp(`task ${task.number} is yours`), [
    [own('task_plan', { taskId: task.id, plan: 'count' })],
    submit('three'),
  ]);
  model.script('recount', new RegExp(`moved task ${task.number} [^]*One was a plane`), [submit('two')]);
  model.script('answer', /How sure are you/, [[own('comment', { taskId: task.id, content: 'Quite sure.' })]]);
  await move(stage, task, 'assigned');
  await inState(stage, task, 'review');
  await move(stage, task, 'in_progress', { reason: 'One was a plane.' });
  const again = await inState(stage, task, 'review');
  assert.equal(again.deliverable, 'two');
  await stage.missionControl.post('/api/messages', { taskId: task.id, content: 'How sure are you?' });
  await stage.told('answer');
  const { items } = await stage.missionControl.get<{ items: { authorType: string; content: string }[] }>(`/api/messages?taskId=${task.id}`);
  assert.deepEqual(
    items.map(({ authorType, content }) => `${authorType}: ${content}`),
    ['agent: Quite sure.', 'human: How sure are you?'],
  );
  await move(stage, task, 'canceled');
  return 'two rounds and one answer';
}

async function quarantineEndsTheRun(stage: Stage): Promise<string> {
  const { missionControl } = stage;
  const { task, session, release } = await busyTask(stage, 'thinking');
  const main = await agentNamed(stage, 'main');
  const pressedAt = Date.now();
  await missionControl.post(`/api/agents/${main}/quarantine`, { reason: 'the e2e run' });
  await runEnded(stage, session);
  const took = Date.now() - pressedAt;
  release();
  assert.ok(took <= 2_000, `the run ended after ${took} ms`);
  assert.equal((await now(stage, task)).status, 'blocked');
  await missionControl.post(`/api/agents/${main}/restart`, {});
  await move(stage, task, 'canceled');
  return `run over ${took} ms after the press`;
}

async function stopEndsTheRun(stage: Stage): Promise<string> {
  const { missionControl } = stage;
  const { task, session, release } = await busyTask(stage, 'dreaming');
  const pressedAt = Date.now();
  const receipt = await missionControl.post<{ blockedTasks: number; gateways: { abortedSessions: number; error: string | null }[] }>(
    '/api/emergency/stop',
    { reason: 'the e2e run' },
  );
  await runEnded(stage, session);
  const took = Date.now() - pressedAt;
  release();
  assert.equal(receipt.gateways.length, 1);
  assert.ok((receipt.gateways[0]?.abortedSessions ?? 0) >= 1, `the receipt says ${JSON.stringify(receipt.gateways)}`);
  assert.ok(receipt.blockedTasks >= 1);
  assert.equal((await now(stage, task)).status, 'blocked');
  await missionControl.post('/api/emergency/resume', { note: 'the e2e run goes on' });
  for (const name of ['main', 'ops']) await missionControl.post(`/api/agents/${await agentNamed(stage, name)}/restart`, {});
  await move(stage, task, 'canceled');
  return `run over ${took} ms after the press; receipt: ${receipt.gateways[0]?.abortedSessions} sessions, ${receipt.blockedTasks} tasks`;
}

/** A task whose agent is in the middle of a run: the model has been asked and does not answer. */
async function busyTask(stage: Stage, name: string) {
  const task = await newTask(stage, `A long task (${name})`);
  const asked = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const steps = [[own('task_plan', { taskId: task.id, plan: 'think' })], [{ name: 'ls', arguments: { path: '.' } }]];
  stage.model.script(name, new RegExp(`task ${task.number} is yours`), steps, async (step) => {
    if (step !== 1) return;
    asked.resolve();
    await released.promise;
  });
  await move(stage, task, 'assigned');
  await asked.promise;
  const session = `agent:main:mc-task-${task.number}`;
  await until('the run to be known', 10_000, async () => (await runsOf(stage, session)).some(({ status }) => status === 'running'));
  return { task, session, release: () => released.resolve() };
}

async function runEnded(stage: Stage, session: string): Promise<void> {
  await until(`the run of ${session} to be over`, 10_000, async () => {
    const runs = await runsOf(stage, session);
    return runs.length > 0 && runs.every(({ status }) => status !== 'running');
  });
}

async function runsOf(stage: Stage, session: string): Promise<Run[]> {
  const { items } = await stage.missionControl.get<{ items: Run[] }>('/api/runs?limit=200');
  return items.filter(({ sessionKey }) => sessionKey === session);
}

async function newTask(stage: Stage, title: string): Promise<Task> {
  const assigneeIds = [await agentNamed(stage, 'main')];
  return stage.missionControl.post<Task>('/api/tasks', { title, type: 'ops', description: 'For the e2e run.', assigneeIds });
}

async function agentNamed(stage: Stage, externalId: string): Promise<string> {
  const { items } = await stage.missionControl.get<{ items: { id: string; externalId: string | null }[] }>('/api/agents');
  const agent = items.find((candidate) => candidate.externalId === externalId);
  assert.ok(agent, `connect registered the agent ${externalId}`);
  return agent.id;
}

async function move(stage: Stage, task: Task, to: string, more: Record<string, unknown> = {}): Promise<void> {
  await stage.missionControl.post(`/api/tasks/${task.id}/transition`, { to, ...more });
}

async function now(stage: Stage, task: Task): Promise<Task> {
  return stage.missionControl.get<Task>(`/api/tasks/${task.id}`);
}

async function inState(stage: Stage, task: Task, status: string): Promise<Task> {
  return until(`task ${task.number} to be ${status}`, 60_000, async () => {
    const current = await now(stage, task);
    return current.status === status ? current : null;
  });
}
