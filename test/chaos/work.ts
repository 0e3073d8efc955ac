/**
 * Crashes while work is given out: people and agents create, move and comment on tasks, OpenClaw is told, and the product is killed after
 * a number of answers that the seed decides, or while it tells. Whoever got no answer asks again with the same key. At the end every
 * answered act is there once, no unanswered one twice, and every agent was told of each occasion under one key.
 */
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

export interface WorkCrashReport {
  rounds: number;
  kills: number;
  moves: number;
  messages: number;
  deliveries: number;
  violations: string[];
}

interface Transition {
  fromStatus: string;
  toStatus: string;
  idempotencyKey: string | null;
}
interface Entry {
  kind: string;
  id: string;
  details: { kind?: string; deliveredAt?: number | null; droppedAt?: number | null };
}
interface Story {
  id: string;
  /** Keys of moves and messages that were asked for, in order. */
  moves: string[];
  messages: string[];
}

const WORKERS = 4;
const ANSWERS_MAX = 60;
/** A task goes this way, back once, and on. */
const WAY = ['assigned', 'in_progress', 'review', 'in_progress', 'review'] as const;

/** Runs the rounds on a world of their own. @param seed decides every choice. */
export async function runWorkCrashRounds({ seed, rounds }: { seed: number; rounds: number }): Promise<WorkCrashReport> {
  const random = randomFrom(seed);
  const openclaw = await FakeOpenClaw.start();
  openclaw.reply = ({ method, params }) => ({ payload: method === 'chat.send' ? { runId: params.idempotencyKey } : { agents: [] } });
  const world = await startWorld();
  const report: WorkCrashReport = { rounds, kills: 0, moves: 0, messages: 0, deliveries: 0, violations: [] };
  const stories: Story[] = [];
  try {
    const gateway = await world.api<{ id: string }>('POST', '/gateways', { name: 'rig', url: openclaw.url, token: openclaw.token });
    const agent = await newAgent(world, { gatewayId: gateway.body.id, externalId: 'main', gate: 'openclaw' });
    for (let round = 0; round < rounds; round++) await oneRound(world, agent, random, report, stories);
    await compare(world, openclaw, stories, report);
    const audit = await world.api('GET', '/audit/verify');
    if (audit.body.ok !== true) report.violations.push(`the audit chain does not verify: ${JSON.stringify(audit.body)}`);
  } finally {
    await world.close();
    await openclaw.stop();
  }
  return report;
}

/** Each worker takes a task of its own through its life; in the middle of it comes the kill, and all go on after it. */
async function oneRound(
  world: World,
  agent: { id: string; token: string; name: string },
  random: () => number,
  report: WorkCrashReport,
  stories: Story[],
): Promise<void> {
  const killAfter = 1 + Math.floor(random() * ANSWERS_MAX);
  let answers = 0;
  let up: Promise<void> = Promise.resolve();
  let over = false;
  const crash = async () => {
    report.kills++;
    await world.kill();
    // On a machine that is short of breath a start may take longer than it waits: then it is started again, as its supervisor would.
    await world.start().catch(() => world.start());
  };
  /** Asks until there is an answer; while the product is down nobody hears one. */
  const ask = async <T>(method: string, path: string, body: unknown, token?: string) => {
    for (;;) {
      await up;
      try {
        const answer = await world.api<T>(method, path, body, token);
        answers++;
        if (answers === killAfter && !over) {
          over = true;
          up = crash();
        }
        // A control that is going down or coming up may say so.
        if (answer.status < 500) return answer;
      } catch {
        // It died under the request: nobody knows whether it was done.
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const work = async (worker: number): Promise<void> => {
    const name = `${stories.length}-${worker}-${Math.floor(random() * 1e9)}`;
    const fields = {
      title: name,
      type: 'ops',
      assigneeIds: [agent.id],
      workPlan: 'p',
      deliverable: 'd',
      selfReview: 's',
      metadata: { name },
    };
    const created = await ask<{ id: string }>('POST', '/tasks', fields);
    const story: Story = { id: created.body.id, moves: [], messages: [] };
    stories.push(story);
    for (const [step, to] of WAY.entries()) {
      const key = `${name}-${step}`;
      const byAgent = step === 1 || step === 2 || step === 4;
      const moved = await ask<{ code?: string }>(
        'POST',
        `/tasks/${story.id}/transition`,
        { to, idempotencyKey: key, reason: key },
        byAgent ? agent.token : undefined,
      );
      if (moved.status !== 200) report.violations.push(`${name}: move ${step} to ${to} answered ${moved.status} ${moved.body.code}`);
      story.moves.push(key);
      const said = await ask('POST', '/messages', { taskId: story.id, content: `@${agent.name} step ${step}`, idempotencyKey: key });
      if (said.status !== 201) report.violations.push(`${name}: message ${step} answered ${said.status}`);
      story.messages.push(key);
    }
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, worker) => work(worker)));
  // Fewer answers than that were given: then it comes now, while OpenClaw is still being told.
  if (!over) up = crash();
  await up;
}

async function compare(world: World, openclaw: FakeOpenClaw, stories: readonly Story[], report: WorkCrashReport): Promise<void> {
  const told = new Map<string, Set<string>>();
  for (const { id, moves, messages } of stories) {
    const made = (await world.api<{ items: Transition[] }>('GET', `/tasks/${id}/transitions`)).body.items;
    const keys = made.map(({ idempotencyKey }) => idempotencyKey);
    if (JSON.stringify(keys) !== JSON.stringify(moves)) report.violations.push(`${id}: moves ${keys.join()} instead of ${moves.join()}`);
    for (const [index, { fromStatus }] of made.entries()) {
      const before = index === 0 ? 'inbox' : made[index - 1]?.toStatus;
      if (fromStatus !== before) report.violations.push(`${id}: a move from ${fromStatus} after ${before}`);
    }
    report.moves += made.length;
    const thread = (await world.api<{ items: { metadata: { idempotencyKey?: string } }[] }>('GET', `/messages?taskId=${id}&limit=100`)).body
      .items;
    const said = thread.map(({ metadata }) => metadata.idempotencyKey).toReversed();
    if (JSON.stringify(said) !== JSON.stringify(messages))
      report.violations.push(`${id}: messages ${said.join()} instead of ${messages.join()}`);
    report.messages += thread.length;

    const story = await until(
      () => world.api<{ items: Entry[] }>('GET', `/tasks/${id}/timeline?limit=500`),
      ({ body }) =>
        body.items.every(({ kind, details }) => kind !== 'delivery' || details.deliveredAt !== null || details.droppedAt !== null),
      60_000,
    );
    const deliveries = story.body.items.filter(({ kind }) => kind === 'delivery');
    report.deliveries += deliveries.length;
    const count = (kind: string) => deliveries.filter(({ details }) => details.kind === kind).length;
    // One brief; one word back after the review; one for each message of a person that names the agent.
    if (count('brief') !== 1) report.violations.push(`${id}: ${count('brief')} briefs`);
    if (count('notice') !== 1) report.violations.push(`${id}: ${count('notice')} notices`);
    if (count('mention') !== messages.length) report.violations.push(`${id}: ${count('mention')} mentions of ${messages.length}`);
    told.set(id, new Set(deliveries.map((delivery) => `mc-${delivery.id}`)));
  }
  const heard = new Set(openclaw.asked.filter(({ method }) => method === 'chat.send').map(({ params }) => String(params.idempotencyKey)));
  for (const [id, keys] of told) {
    for (const key of keys) if (!heard.has(key)) report.violations.push(`${id}: OpenClaw never heard ${key}`);
  }
  const known = new Set([...told.values()].flatMap((keys) => [...keys]));
  for (const key of heard)
    if (!known.has(key) && !key.startsWith('mc-approval')) report.violations.push(`OpenClaw heard ${key}, which nobody recorded`);
}

function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  };
}
