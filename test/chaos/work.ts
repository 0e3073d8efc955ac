/**
 * Crashes while work is given out and watched over: people and agents create, move and comment on tasks, agents call tools and start
 * sub-agents, OpenClaw is told, and every worker ticks, hours apart from one start to the next. The product is killed after a number of
 * answers that the seed decides, or at a reading of its clock (hurried-process.ts). Whoever got no answer asks again with the same key.
 * After it every answered act is there once, no unanswered one twice, every agent was told of each occasion under one key, and what the
 * workers do was done once.
 */
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { newAgent, type OneProcess, startProcess, until } from '../support/world.ts';

export interface WorkCrashReport {
  rounds: number;
  /** How often it was killed: by what decided the moment. */
  kills: { afterAnswers: number; atReading: number; atStart: number };
  moves: number;
  messages: number;
  deliveries: number;
  calls: number;
  /** What the workers did. */
  loops: number;
  orphans: number;
  reminders: number;
  silences: number;
  standups: number;
  spawns: number;
  violations: string[];
}

interface Items<T> {
  items: T[];
}
interface Transition {
  fromStatus: string;
  toStatus: string;
  actor: string;
  reason: string | null;
  idempotencyKey: string | null;
}
interface Entry {
  kind: string;
  id: string;
  details: { kind?: string; deliveredAt?: number | null; droppedAt?: number | null };
}
interface Alert {
  type: string;
  taskId: string | null;
  agentId: string | null;
  createdAt: number;
  resolvedAt: number | null;
}
interface Story {
  id: string;
  /** Keys of moves and messages that were asked for, in order. */
  moves: string[];
  messages: string[];
  /** What a worker is to do with the task in the end. */
  contained: 'loop' | 'orphan' | null;
}
interface Team {
  gateway: { id: string; token: string };
  /** Works on tasks, and is told of them in OpenClaw. */
  worker: { id: string; token: string; name: string };
  /** Calls tools and starts sub-agents. */
  caller: { id: string };
  /** Says nothing but its heartbeats. */
  quiet: { id: string };
}
interface Campaign {
  world: OneProcess;
  supervisor: Supervisor;
  openclaw: FakeOpenClaw;
  team: Team;
  random: () => number;
  report: WorkCrashReport;
  calls: string[];
  sessions: string[];
  /** Tasks that their agent has begun and left, with the round in which it did. */
  forgotten: { id: string; round: number }[];
}

const WORKERS = 3;
const ANSWERS_MAX = 60;
/** Readings of the clock in a round, about; small numbers end the process while it starts. */
const READINGS_MAX = 1_500;
/** The clock goes on by this much from one start to the next, so that each worker has something to do and none of it is a day old. */
const AHEAD_MIN_MS = 6 * 60_000;
const AHEAD_MAX_MS = 90 * 60_000;
/** In every so manieth round an agent begins a task and leaves it; and so many rounds later it has been reminded of it for the last time. */
const FORGOTTEN_EVERY = 8;
const REMINDED_AFTER = 6;
const REMINDERS = 3;
const REMINDER = 'nothing has happened on it for a while';
const DAY_MS = 24 * 60 * 60_000;
/** A task goes this way, back once, and on. */
const WAY = ['assigned', 'in_progress', 'review', 'in_progress', 'review'] as const;
/** One review cycle more than the policy allows. */
const ROUNDABOUT = ['assigned', 'in_progress', ...Array.from({ length: 4 }, () => ['review', 'in_progress'] as const).flat()] as const;

/** Runs rounds on a world of their own until it was killed that often. @param seed decides every choice. */
export async function runWorkCrashes({ seed, kills }: { seed: number; kills: number }): Promise<WorkCrashReport> {
  const random = randomFrom(seed);
  const openclaw = await FakeOpenClaw.start();
  openclaw.reply = ({ method, params }) => ({ payload: method === 'chat.send' ? { runId: params.idempotencyKey } : { agents: [] } });
  const env: Record<string, string> = { MC_KEEP_DAYS: '1', CHAOS_AHEAD_MS: '0', CHAOS_LAST_READING: '0' };
  // A start takes a third less where the database is compiled once and not twice.
  const world = await startProcess(['--liftoff-only', 'test/chaos/hurried-process.ts'], env);
  const report: WorkCrashReport = {
    rounds: 0,
    kills: { afterAnswers: 0, atReading: 0, atStart: 0 },
    ...{ moves: 0, messages: 0, deliveries: 0, calls: 0, loops: 0, orphans: 0, reminders: 0, silences: 0, standups: 0, spawns: 0 },
    violations: [],
  };
  const supervisor = supervise(world, env, random, report);
  try {
    const gateway = await world.api<Team['gateway']>('POST', '/gateways', { name: 'rig', url: openclaw.url, token: openclaw.token });
    const inGateway = { gatewayId: gateway.body.id, gate: 'openclaw' };
    const team = {
      gateway: gateway.body,
      worker: await newAgent(world, { ...inGateway, externalId: 'main' }),
      caller: await newAgent(world, { ...inGateway, externalId: 'ops' }),
      quiet: await newAgent(world, { ...inGateway, externalId: 'quiet' }),
    };
    const campaign: Campaign = { world, supervisor, openclaw, team, random, report, calls: [], sessions: [], forgotten: [] };
    for (let round = 0; supervisor.kills() < kills; round++) {
      report.rounds++;
      const stories = await oneRound(campaign, round);
      for (const story of stories) await compare(campaign, story);
    }
    await compareWorkers(campaign);
    const audit = await supervisor.ask<{ ok: boolean }>('GET', '/audit/verify');
    if (audit.body.ok !== true) report.violations.push(`the audit chain does not verify: ${JSON.stringify(audit.body)}`);
  } finally {
    supervisor.leave();
    await world.close();
    await openclaw.stop();
  }
  return report;
}

type Supervisor = ReturnType<typeof supervise>;

/** Starts the product again whenever it has ended, hours later by its clock, and asks it for those who must have an answer. */
function supervise(world: OneProcess, env: Record<string, string>, random: () => number, report: WorkCrashReport) {
  let isOver = false;
  let kills = 0;
  let answersLeft = 1 + Math.floor(random() * ANSWERS_MAX);
  let up: Promise<void> = Promise.resolve();
  watch();

  function watch(): void {
    void world.ended().then(() => {
      if (isOver) return;
      report.kills[answersLeft <= 0 ? 'afterAnswers' : 'atReading']++;
      up = startAgain();
      up.then(watch, () => {});
    });
  }

  async function startAgain(): Promise<void> {
    kills++;
    env.CHAOS_AHEAD_MS = String(Number(env.CHAOS_AHEAD_MS) + AHEAD_MIN_MS + Math.floor(random() * (AHEAD_MAX_MS - AHEAD_MIN_MS)));
    // Every other time it ends by its own clock.
    const isByReading = kills % 2 === 1;
    env.CHAOS_LAST_READING = isByReading ? String(1 + Math.floor(READINGS_MAX * random() ** 2)) : '0';
    answersLeft = isByReading ? Number.POSITIVE_INFINITY : 1 + Math.floor(random() * ANSWERS_MAX);
    for (let tries = 0; ; tries++) {
      try {
        return await world.start();
      } catch (error) {
        if (tries > 5) throw error;
        if (env.CHAOS_LAST_READING !== '0') report.kills.atStart++;
        env.CHAOS_LAST_READING = '0';
      }
    }
  }

  /** Asks until there is an answer; while the product is down nobody hears one. */
  async function persist<T>(one: () => Promise<{ status: number; body: T }>) {
    for (;;) {
      await up;
      try {
        const answer = await one();
        if (--answersLeft === 0) await world.kill();
        // One that is going down or coming up may say so.
        if (answer.status < 500) return answer;
      } catch {
        // It died under the request: nobody knows whether it was done.
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  return {
    ask: <T>(method: string, path: string, body?: unknown, token?: string) => persist(() => world.api<T>(method, path, body, token)),
    askGate: <T>(path: string, body: unknown, token: string) => persist(() => world.gate<T>('POST', path, body, token)),
    /** How often it has ended so far. */
    kills: () => kills,
    /** Now, whatever else was to decide. */
    killNow: async () => {
      answersLeft = 0;
      await world.kill();
    },
    leave: () => {
      isOver = true;
    },
  };
}

/** Tasks go through their lives side by side; in the middle of it comes the kill, and all go on after it. */
async function oneRound({ supervisor, team, random, report, calls, sessions, forgotten }: Campaign, round: number): Promise<Story[]> {
  const { ask, askGate } = supervisor;
  const before = supervisor.kills();
  const nameOf = (part: string) => `${round}-${part}-${Math.floor(random() * 1e9)}`;

  const begin = async (name: string, agentId: string, contained: Story['contained']): Promise<Story> => {
    const fields = { title: name, type: 'ops', assigneeIds: [agentId], workPlan: 'p', deliverable: 'd', selfReview: 's' };
    const created = await ask<{ id: string }>('POST', '/tasks', fields);
    return { id: created.body.id, moves: [], messages: [], contained };
  };
  const move = async (story: Story, to: string, key: string, token?: string): Promise<void> => {
    const body = { to, idempotencyKey: key, reason: key };
    const moved = await ask<{ code?: string }>('POST', `/tasks/${story.id}/transition`, body, token);
    if (moved.status !== 200) report.violations.push(`${key} to ${to} answered ${moved.status} ${moved.body.code}`);
    story.moves.push(key);
  };
  const life = async (worker: number): Promise<Story> => {
    const name = nameOf(`life${worker}`);
    const story = await begin(name, team.worker.id, null);
    for (const [step, to] of WAY.entries()) {
      const key = `${name}-${step}`;
      await move(story, to, key, step === 1 || step === 2 || step === 4 ? team.worker.token : undefined);
      const said = await ask('POST', '/messages', { taskId: story.id, content: `@${team.worker.name} step ${step}`, idempotencyKey: key });
      if (said.status !== 201) report.violations.push(`${name}: message ${step} answered ${said.status}`);
      story.messages.push(key);
    }
    return story;
  };
  const loop = async (): Promise<Story> => {
    const name = nameOf('loop');
    const story = await begin(name, team.worker.id, 'loop');
    for (const [step, to] of ROUNDABOUT.entries()) await move(story, to, `${name}-${step}`);
    return story;
  };
  const orphan = async (): Promise<Story> => {
    const name = nameOf('orphan');
    let agent = await ask<{ id: string }>('POST', '/agents', { name });
    if (agent.status === 409) {
      const { body } = await ask<Items<{ id: string; name: string }>>('GET', '/agents?limit=500');
      agent = { ...agent, body: { id: body.items.find((known) => known.name === name)?.id ?? '' } };
    }
    const story = await begin(name, agent.body.id, 'orphan');
    await move(story, 'assigned', `${name}-0`);
    await ask('DELETE', `/agents/${agent.body.id}`);
    return story;
  };
  const forget = async (): Promise<void> => {
    if (round % FORGOTTEN_EVERY !== 0) return;
    const name = nameOf('forgotten');
    const story = await begin(name, team.worker.id, null);
    for (const [step, to] of ['assigned', 'in_progress'].entries()) await move(story, to, `${name}-${step}`);
    forgotten.push({ id: story.id, round });
  };
  const act = async (): Promise<void> => {
    const callId = nameOf('call');
    calls.push(callId);
    const call = { tool: 'update_plan', arguments: { callId }, callId, agentId: 'ops', sessionKey: 'agent:ops:main' };
    const allowed = await askGate<{ id: string }>('/v1/tool-calls', call, team.gateway.token);
    await askGate(`/v1/tool-calls/${allowed.body.id}/outcome`, { status: 'success', durationMs: 1 }, team.gateway.token);
    const session = `agent:ops:subagent:${callId}`;
    sessions.push(session);
    const spawn = {
      agentId: 'ops',
      sessionKey: 'agent:ops:main',
      childSessionKey: session,
      label: callId,
      state: 'began',
      lasting: true,
    };
    await askGate('/v1/spawns', spawn, team.gateway.token);
    if (round % 3 === 0) await askGate('/v1/heartbeats', { pluginVersion: '1', agents: ['quiet'] }, team.gateway.token);
  };
  const [, ...stories] = await Promise.all([
    Promise.all([act(), forget()]),
    loop(),
    orphan(),
    ...Array.from({ length: WORKERS }, (_, worker) => life(worker)),
  ]);
  // Fewer answers or readings than that were given: then it comes now, while OpenClaw is still being told.
  if (supervisor.kills() === before) await supervisor.killNow();
  return stories;
}

/** One story, once all that it causes is done. */
async function compare({ supervisor: { ask }, openclaw, report }: Campaign, { id, moves, messages, contained }: Story): Promise<void> {
  const wrong = (what: string) => report.violations.push(`${id}: ${what}`);
  const { body } = await until(
    () => ask<Items<Transition>>('GET', `/tasks/${id}/transitions`),
    ({ body: { items } }) => contained === null || items.some(({ actor }) => actor === 'system'),
    60_000,
  );
  const made = body.items.filter(({ actor }) => actor !== 'system');
  const keys = made.map(({ idempotencyKey }) => idempotencyKey);
  if (JSON.stringify(keys) !== JSON.stringify(moves)) wrong(`moves ${keys.join()} instead of ${moves.join()}`);
  for (const [index, { fromStatus }] of body.items.entries()) {
    const before = index === 0 ? 'inbox' : body.items[index - 1]?.toStatus;
    if (fromStatus !== before) wrong(`a move from ${fromStatus} after ${before}`);
  }
  report.moves += body.items.length;
  const bySystem = body.items.filter(({ actor }) => actor === 'system').map(({ toStatus, reason }) => `${toStatus} ${reason}`);
  const expected = contained === null ? /^$/ : contained === 'loop' ? /^blocked Loop: 4 review cycles/ : /^blocked \S+ was removed/;
  if (bySystem.length > 1 || !expected.test(bySystem[0] ?? '')) wrong(`moves by the system: ${bySystem.join()}`);
  if (contained === 'loop') {
    const summaries = (await ask<Items<unknown>>('GET', `/documents?kind=loop_summary&taskId=${id}`)).body.items;
    if (summaries.length !== 1) wrong(`${summaries.length} loop summaries`);
    report.loops++;
  }
  if (contained === 'orphan') report.orphans++;
  if (contained !== null) return;

  const thread = (await ask<Items<{ metadata: { idempotencyKey?: string } }>>('GET', `/messages?taskId=${id}&limit=100`)).body.items;
  const said = thread.map(({ metadata }) => metadata.idempotencyKey).toReversed();
  if (JSON.stringify(said) !== JSON.stringify(messages)) wrong(`messages ${said.join()} instead of ${messages.join()}`);
  report.messages += thread.length;

  const story = await until(
    () => ask<Items<Entry>>('GET', `/tasks/${id}/timeline?limit=500`),
    ({ body: { items } }) =>
      items.every(({ kind, details }) => kind !== 'delivery' || details.deliveredAt !== null || details.droppedAt !== null),
    60_000,
  );
  const deliveries = story.body.items.filter(({ kind }) => kind === 'delivery');
  report.deliveries += deliveries.length;
  const heard = new Map(
    openclaw.asked.flatMap(({ method, params }) =>
      method === 'chat.send' ? [[String(params.idempotencyKey), String(params.message)]] : [],
    ),
  );
  // A reminder is owed for what the kill interrupted: nothing happened on that task for a while.
  const reminders = deliveries.filter((delivery) => heard.get(`mc-${delivery.id}`)?.includes(REMINDER));
  report.reminders += reminders.length;
  const count = (kind: string) => deliveries.filter((delivery) => delivery.details.kind === kind && !reminders.includes(delivery)).length;
  // One brief; one word back after the review; one for each message of a person that names the agent.
  if (count('brief') !== 1) wrong(`${count('brief')} briefs`);
  if (count('notice') !== 1) wrong(`${count('notice')} notices`);
  if (count('mention') !== messages.length) wrong(`${count('mention')} mentions of ${messages.length}`);
  for (const delivery of deliveries)
    if (!heard.has(`mc-${delivery.id}`)) wrong(`OpenClaw never heard ${delivery.details.kind} ${delivery.id}`);
}

/** What the workers did over all rounds. */
async function compareWorkers({ supervisor: { ask }, openclaw, team, report, calls, sessions, forgotten }: Campaign): Promise<void> {
  const wrong = (what: string) => report.violations.push(what);
  const all = async <T>(path: string) => {
    const found: T[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body }: { body: Items<T> & { nextCursor: string | null } } = await ask(
        'GET',
        `${path}limit=200${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      found.push(...body.items);
      cursor = body.nextCursor;
    }
    return found;
  };
  const alerts = await all<Alert>('/alerts?');
  const contained = alerts.filter(({ type }) => type === 'loop_detected');
  if (new Set(contained.map(({ taskId }) => taskId)).size !== contained.length || contained.length !== report.loops) {
    wrong(`${contained.length} alerts for ${report.loops} loops`);
  }
  for (const { id, round } of forgotten) {
    const told = openclaw.asked.filter(({ method, params }) => method === 'chat.send' && String(params.message).includes(REMINDER));
    const keys = new Set(told.flatMap(({ params }) => (String(params.message).includes(id) ? [params.idempotencyKey] : [])));
    report.reminders += keys.size;
    const flags = alerts.filter(({ type, taskId, resolvedAt }) => type === 'task_stuck' && taskId === id && resolvedAt === null);
    const isOver = report.rounds - round > REMINDED_AFTER;
    if (keys.size > REMINDERS || (isOver && keys.size < REMINDERS)) wrong(`${keys.size} reminders of task ${id}`);
    if (flags.length > 1 || (isOver && flags.length !== 1)) wrong(`${flags.length} alerts about task ${id}`);
  }
  const silences = alerts
    .filter(({ type, agentId }) => type === 'agent_silent' && agentId === team.quiet.id)
    .toSorted((a, b) => a.createdAt - b.createdAt);
  report.silences = silences.length;
  for (const [index, { resolvedAt }] of silences.slice(0, -1).entries()) {
    if (resolvedAt === null || resolvedAt > (silences[index + 1]?.createdAt ?? 0)) wrong('two alerts at once about one silence');
  }
  const days = (await all<{ day: string }>('/documents?kind=standup&')).map(({ day }) => Date.parse(day)).toSorted((a, b) => a - b);
  report.standups = days.length;
  for (const [index, day] of days.slice(1).entries()) if (day - (days[index] ?? 0) !== DAY_MS) wrong(`standups of ${days.join()}`);
  const children = (await all<{ parentId: string | null }>('/agents?')).filter(({ parentId }) => parentId === team.caller.id);
  report.spawns = children.length;
  if (children.length !== sessions.length) wrong(`${children.length} sub-agents of ${sessions.length}`);
  const records = await all<{ callId: string | null; status: string }>(`/tool-calls?agentId=${team.caller.id}&`);
  report.calls = records.length;
  for (const callId of calls) {
    const own = records.filter((record) => record.callId === callId);
    if (own.length !== 1 || own[0]?.status !== 'success')
      wrong(`call ${callId}: ${own.map(({ status }) => status).join() || 'not recorded'}`);
  }
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
