/**
 * The demonstration (`npm start -- --demo`): a sample team with tasks, so that a newcomer sees a working board within a minute. Everything
 * goes through the API and the gate like real traffic; only agents and their tools are played. Calls that a person must decide are left
 * to the person. It runs where there are no other agents than its own.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from './client.ts';
import { ScriptedAgent, type ScriptedCall, type ScriptedWork, type TaskLine } from './scripted-agent.ts';

interface DemoOptions {
  /** As an administrator. */
  client: Pick<ApiClient, 'get' | 'post'>;
  gateUrl: string;
  log: { info: (fields: object, message: string) => void; warn: (fields: object, message: string) => void };
}

const TEAM = [
  { name: 'Mira', autonomyLevel: 'lead' },
  { name: 'Otto', autonomyLevel: 'specialist' },
  { name: 'Juno', autonomyLevel: 'specialist' },
  { name: 'Pell', autonomyLevel: 'specialist' },
  { name: 'Rhea', autonomyLevel: 'specialist' },
  { name: 'Tam', autonomyLevel: 'intern' },
] as const;
const WORK: readonly { title: string; type: string; priority?: string }[] = [
  { title: 'Describe the new export in the handbook', type: 'docs' },
  { title: 'Find out why the nightly build is slow', type: 'engineering', priority: 'high' },
  { title: 'Read last month’s support mails for wishes', type: 'customer_research' },
  { title: 'Announce version 2.4', type: 'social' },
  { title: 'Compare how five rivals name their plans', type: 'seo_research' },
  { title: 'Write the October newsletter', type: 'email_marketing' },
  { title: 'Check the backups of the week', type: 'ops' },
  { title: 'Write about the move to the new search', type: 'content' },
  { title: 'Add a test for the date parser', type: 'engineering' },
  { title: 'Tidy the list of open alerts', type: 'ops', priority: 'low' },
  { title: 'Explain roles and rights on one page', type: 'docs' },
  { title: 'Collect questions for the customer interviews', type: 'customer_research' },
];
const STEP_MS = [800, 3_500] as const;
const MANAGER_MS = 10_000;
/** Tasks that are open at a time, and in all. */
const OPEN_MIN = 7;
const TASKS_MAX = 400;
/** A review is closed by the sample operator after a while, so that the board goes on. */
const REVIEW_MS = 45_000;

/** Seeds and plays until the signal fires. Rejects where there are agents that are not its own; never afterwards. */
export async function runDemo(options: DemoOptions, signal: AbortSignal): Promise<void> {
  const { client } = options;
  const { items } = await client.get<{ items: { id: string; name: string; metadata: { demo?: boolean } }[] }>('/agents?limit=100');
  if (items.some(({ metadata }) => metadata.demo !== true))
    throw new Error(
      'There are agents already. The demonstration needs a data folder of its own: MC_DATA_DIR=./demo-data npm start -- --demo',
    );
  const agents = await Promise.all(TEAM.map((member) => seat(client, options, items, member)));
  await plan(client, agents, OPEN_MIN + 3);
  options.log.info({ agents: agents.length }, 'the demonstration runs: sample agents work on sample tasks');
  await Promise.all([...agents.map(({ agent }) => play(agent, options, signal)), manage(client, agents, options, signal)]);
}

type Api = DemoOptions['client'];
interface Seat {
  id: string;
  agent: ScriptedAgent;
}

/** A member of the team, registered now or by an earlier demonstration, with a token of its own. */
async function seat(
  client: Api,
  { gateUrl }: DemoOptions,
  known: readonly { id: string; name: string }[],
  member: (typeof TEAM)[number],
): Promise<Seat> {
  const present = known.find(({ name }) => name === member.name);
  const { id } = present ?? (await client.post<{ id: string }>('/agents', { ...member, workspace: '/srv/demo', metadata: { demo: true } }));
  const { token } = await client.post<{ token: string }>(`/agents/${id}/tokens`, {});
  const pause = () => sleep(STEP_MS[0] + Math.random() * (STEP_MS[1] - STEP_MS[0]), undefined, { ref: false });
  return { id, agent: new ScriptedAgent({ id, token, gateUrl, workFor: sampleWork, random: Math.random, breakOff: 0.02, pause }) };
}

async function play(agent: ScriptedAgent, { log }: DemoOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const turn = await agent.turn().catch((error) => {
      log.warn({ err: error }, 'a sample agent could not go on and tries again');
      return 'idle' as const;
    });
    await sleep(turn === 'worked' ? STEP_MS[0] : STEP_MS[1], undefined, { ref: false, signal }).catch(() => undefined);
  }
}

/** The sample operator: gives out tasks and closes reviews that have stood for a while. It decides about no call. */
async function manage(client: Api, agents: readonly Seat[], { log }: DemoOptions, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await sleep(MANAGER_MS, undefined, { ref: false, signal }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      const { items } = await client.get<{ items: { id: string; status: string; updatedAt: number }[] }>('/tasks?status=review&limit=50');
      for (const task of items) {
        if (Date.now() - task.updatedAt < REVIEW_MS) continue;
        const artifacts = { deliverableConfirmed: true, decisionNote: 'Looks good (sample operator).' };
        await client.post(`/tasks/${task.id}/transition`, { to: 'done', artifacts }).catch(() => undefined);
      }
      await plan(client, agents, OPEN_MIN);
    } catch (error) {
      log.warn({ err: error }, 'the sample operator could not go on and tries again');
    }
  }
}

/** Gives out tasks until enough are open. */
async function plan(client: Api, agents: readonly Seat[], open: number): Promise<void> {
  const { items } = await client.get<{ items: { number: number; status: string }[] }>('/tasks?limit=500');
  if (items.length >= TASKS_MAX) return;
  const running = items.filter(({ status }) => ['inbox', 'assigned', 'in_progress'].includes(status)).length;
  for (let i = 0; i < open - running; i++) {
    const nth = items.length + i;
    const sample = WORK[nth % WORK.length];
    const owner = agents[nth % agents.length];
    if (!sample || !owner) return;
    // Every fifth stays in the inbox: whoever has time claims it.
    const isFree = nth % 5 === 4;
    const task = await client.post<{ id: string }>('/tasks', {
      ...sample,
      description: 'A sample task of the demonstration.',
      assigneeIds: isFree ? [] : [owner.id],
    });
    if (!isFree) await client.post(`/tasks/${task.id}/transition`, { to: 'assigned', idempotencyKey: randomUUID() });
  }
}

/** What an agent of the demonstration does about a task: mostly harmless calls, now and then one that needs a person. */
export function sampleWork(task: TaskLine): ScriptedWork {
  const file = `output/task-${task.number}.md`;
  const calls: ScriptedCall[] = [
    { tool: 'read', arguments: { path: 'docs/brief.md' }, output: 'The brief, as it was agreed.', costUsd: 0.004 },
    { tool: 'web_search', arguments: { query: task.title }, output: '10 results', costUsd: 0.012 },
    { tool: 'write', arguments: { path: file, content: `# ${task.title}\n\nA draft.\n` }, output: `wrote ${file}`, costUsd: 0.02 },
    ...riskyCalls(task),
    {
      tool: 'exec',
      arguments: { command: 'git status' },
      output: 'nothing to commit',
      costUsd: 0.003,
      ...(task.number % 7 === 3 && { fails: true }),
    },
  ];
  return {
    plan: `1. Read what there is about "${task.title}"\n2. Write a draft\n3. Check it and hand it in`,
    calls,
    deliverable: `# ${task.title}\n\nThe result is in \`${file}\`.`,
    selfReview: 'Read twice against the brief; nothing is missing that was asked for.',
    evidence: ['https://docs.openclaw.ai/'],
    comment: task.number % 3 === 0 ? 'The draft is done; the numbers in it are of last month.' : null,
  };
}

function riskyCalls({ type, number, title }: TaskLine): ScriptedCall[] {
  if (type === 'social')
    return [{ tool: 'message', arguments: { channel: 'news', text: `${title}: it is out today.` }, output: 'sent', costUsd: 0.001 }];
  if (type === 'email_marketing')
    return [{ tool: 'send_email', arguments: { to: 'readers@example.org', subject: title }, output: 'queued', costUsd: 0.001 }];
  if (type === 'engineering' && number % 2 === 0)
    return [{ tool: 'exec', arguments: { command: 'make profile' }, output: 'parse 71 %, link 12 %', costUsd: 0.03 }];
  if (type === 'ops' && number % 2 === 1)
    return [{ tool: 'exec', arguments: { command: 'sudo systemctl restart backup' }, output: '', costUsd: 0 }];
  return [];
}
