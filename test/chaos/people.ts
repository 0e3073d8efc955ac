/**
 * Crashes between deciding, telling and running: agents call, cards go to a Telegram and a Slack on loopback, people decide there and
 * through the API, and approved calls run at a server that counts. The product is killed after a number of answers, at a reading of its
 * clock, or at the moment in which a request of its own has arrived at a chat or at that server; everybody goes on after it. Then every
 * decision stands, every card was said (Slack: once; Telegram, which cannot be asked: twice at most where the kill fell into saying it),
 * all of them show the outcome, and every approved call ran once.
 */
import { createServer } from 'node:http';
import { type GateBody, gateOf } from '../support/calls.ts';
import { buttonsOf, SIGNING_SECRET, SLACK_TOKEN, shownText, slackHeaders, startFakeSlack } from '../support/fake-slack.ts';
import { BOT_TOKEN, close, listen, startFakeTelegram, urlOf } from '../support/fake-telegram.ts';
import { newAgent, type OneProcess, startProcess, until } from '../support/world.ts';

export interface PeopleCrashReport {
  rounds: number;
  /** How often it was killed: by what decided the moment. */
  kills: { afterAnswers: number; atReading: number; atStart: number; atTelegram: number; atSlack: number; atUpstream: number };
  items: number;
  ran: number;
  denied: number;
  /** Calls that a person was asked about again, because the kill fell between taking the approval and the server's answer. */
  askedAgain: number;
  decisions: { api: number; telegram: number; slack: number };
  /** Messages that show approvals, and those of them that a kill doubled. */
  cards: { telegram: number; slack: number; doubled: number };
  violations: string[];
}

interface ApprovalRow {
  id: string;
  number: number;
  status: string;
  approver: string | null;
  redeemedBy: string | null;
  summary: string;
}
interface Told {
  kind: string;
  channelName: string;
  attempts: number;
}
interface Items<T> {
  items: T[];
  nextCursor: string | null;
}
/** What an agent wants to run once. */
interface Item {
  name: string;
  /** Forwarded by the proxy, or run by the agent once the gate says so. */
  kind: 'http' | 'gate';
  via: 'api' | 'telegram' | 'slack';
  verdict: 'approve' | 'deny';
  isOver: boolean;
  wasDenied: boolean;
}
interface Campaign {
  world: OneProcess;
  supervisor: Supervisor;
  telegram: Awaited<ReturnType<typeof startFakeTelegram>>;
  slack: Awaited<ReturnType<typeof startFakeSlack>>;
  upstream: Awaited<ReturnType<typeof startCounter>>;
  slackId: string;
  agent: { id: string; token: string };
  random: () => number;
  report: PeopleCrashReport;
  /** The first decision that was seen of each approval. */
  decided: Map<string, string>;
  /** Approvals by which something was asked for the first time. */
  firsts: Set<string>;
}

const MARA = { id: 501, username: 'mara' };
const ITEMS = 6;
const ANSWERS_MAX = 60;
const READINGS_MAX = 600;
const ARRIVALS_MAX = 8;
const PRESS_AGAIN_MS = 1_500;

/** Runs rounds on a world of their own until it was killed that often. @param seed decides every choice. */
export async function runPeopleCrashes({ seed, kills }: { seed: number; kills: number }): Promise<PeopleCrashReport> {
  const random = randomFrom(seed);
  const [telegram, slack, upstream] = await Promise.all([startFakeTelegram(), startFakeSlack(), startCounter()]);
  const env: Record<string, string> = { CHAOS_AHEAD_MS: '0', CHAOS_LAST_READING: '0' };
  const world = await startProcess(['--liftoff-only', 'test/chaos/hurried-process.ts'], env);
  const report: PeopleCrashReport = {
    rounds: 0,
    kills: { afterAnswers: 0, atReading: 0, atStart: 0, atTelegram: 0, atSlack: 0, atUpstream: 0 },
    ...{ items: 0, ran: 0, denied: 0, askedAgain: 0 },
    decisions: { api: 0, telegram: 0, slack: 0 },
    cards: { telegram: 0, slack: 0, doubled: 0 },
    violations: [],
  };
  const supervisor = supervise(world, env, random, report);
  telegram.watch((method) => supervisor.arrived(method === 'getUpdates' ? null : 'atTelegram'));
  slack.watch(() => supervisor.arrived('atSlack'));
  upstream.watch(() => supervisor.arrived('atUpstream'));
  try {
    const slackId = await setUp(world, telegram, slack, upstream.url);
    // Of an intern everything that is not green is held.
    const agent = await newAgent(world, { autonomyLevel: 'intern' });
    const campaign: Campaign = {
      ...{ world, supervisor, telegram, slack, upstream, slackId, agent, random, report },
      decided: new Map(),
      firsts: new Set(),
    };
    while (supervisor.kills() < kills) {
      report.rounds++;
      supervisor.arm();
      await oneRound(campaign, report.rounds);
    }
    supervisor.disarm();
    await compare(campaign);
  } finally {
    supervisor.leave();
    await world.close();
    await Promise.all([telegram.close(), slack.close(), upstream.close()]);
  }
  return report;
}

/** Channels with a person known on each, and the server that counts. @returns the id of the Slack channel. */
async function setUp(world: OneProcess, telegram: Campaign['telegram'], slack: Campaign['slack'], upstreamUrl: string): Promise<string> {
  const made = async (path: string, fields: object) => {
    const { status, body } = await world.api<{ id: string }>('POST', path, fields);
    if (status !== 201) throw new Error(`${path}: ${JSON.stringify(body)}`);
    return body.id;
  };
  const common = { allowPrivate: true, events: ['approvals'] };
  const telegramId = await made('/channels', {
    ...{ kind: 'telegram', name: 'Telegram', destination: '-1001', mode: 'polling' },
    ...{ apiRoot: telegram.url, token: BOT_TOKEN, ...common },
  });
  const slackId = await made('/channels', {
    ...{ kind: 'slack', name: 'Slack', destination: 'C1' },
    ...{ apiRoot: slack.url, token: SLACK_TOKEN, secret: SIGNING_SECRET, ...common },
  });
  const codeFor = async (name: string, channelId: string) => {
    const id = await made('/operators', { name, role: 'approver' });
    return (await world.api<{ code: string }>('POST', `/operators/${id}/chat-identities`, { channelId })).body.code;
  };
  telegram.push(telegram.message(MARA, `/link ${await codeFor('Mara', telegramId)}`));
  const text = `link ${await codeFor('Nina', slackId)}`;
  const event = { type: 'message', user: 'U1', text, channel: 'D1', channel_type: 'im', ts: '1.1' };
  await postSlack(world, slackId, JSON.stringify({ type: 'event_callback', team_id: 'T1', event }), 'application/json');
  await until(
    () => telegram.messages.length + slack.messages.length,
    (count) => count === 2,
  );
  await made('/upstreams', {
    ...{ name: 'counter', kind: 'http', url: upstreamUrl, secret: 'secret-of-the-counter', allowPrivate: true },
    routes: [{ method: 'POST', path: '/items/{name}', tool: 'add_item', risk: 'yellow' }],
  });
  return slackId;
}

type Supervisor = ReturnType<typeof supervise>;
type Moment = 'afterAnswers' | 'atReading' | 'atTelegram' | 'atSlack' | 'atUpstream';
const MOMENTS: readonly Moment[] = ['atTelegram', 'atReading', 'atUpstream', 'afterAnswers', 'atSlack'];

/** Kills the product at the moments that are drawn and starts it again; asks it for those who must have an answer. */
function supervise(world: OneProcess, env: Record<string, string>, random: () => number, report: PeopleCrashReport) {
  let isOver = false;
  let kills = 0;
  let moment: Moment | null = null;
  let left = Number.POSITIVE_INFINITY;
  let up: Promise<void> = Promise.resolve();
  watch();

  function watch(): void {
    void world.ended().then(() => {
      if (isOver) return;
      report.kills[moment ?? 'afterAnswers']++;
      kills++;
      moment = null;
      up = startAgain();
      up.then(watch, () => {});
    });
  }

  async function startAgain(): Promise<void> {
    // Every fifth life ends by its own clock, now and then while it starts.
    env.CHAOS_LAST_READING = MOMENTS[kills % MOMENTS.length] === 'atReading' ? String(1 + Math.floor(READINGS_MAX * random() ** 2)) : '0';
    if (env.CHAOS_LAST_READING !== '0') moment = 'atReading';
    for (let tries = 0; ; tries++) {
      try {
        return await world.start();
      } catch (error) {
        if (tries > 5) throw error;
        if (env.CHAOS_LAST_READING !== '0') report.kills.atStart++;
        env.CHAOS_LAST_READING = '0';
        moment = null;
      }
    }
  }

  function count(at: Moment): void {
    if (moment !== at || --left !== 0) return;
    void world.kill();
  }

  return {
    /** Draws what ends this life of the product, where that is not drawn yet. */
    arm: () => {
      if (moment !== null) return;
      moment = MOMENTS[kills % MOMENTS.length] ?? 'afterAnswers';
      if (moment === 'atReading') moment = 'afterAnswers';
      left = 1 + Math.floor(random() * (moment === 'afterAnswers' ? ANSWERS_MAX : ARRIVALS_MAX));
    },
    /** From now on it ends no more, but by its clock. */
    disarm: () => {
      left = Number.POSITIVE_INFINITY;
    },
    /** A request of the product has arrived somewhere, and is not answered yet. */
    arrived: (at: Moment | null) => {
      if (at !== null) count(at);
    },
    /** Asks until there is an answer; while the product is down nobody hears one. @param tries gives up with null after so many. */
    ask: async <T>(one: () => Promise<{ status: number; body: T }>, tries = Number.POSITIVE_INFINITY) => {
      for (let attempt = 0; attempt < tries; attempt++) {
        await up;
        try {
          const answer = await one();
          count('afterAnswers');
          // One that is going down or coming up may say so.
          if (answer.status < 500) return answer;
        } catch {
          // It died under the request: nobody knows whether it was done.
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return null;
    },
    kills: () => kills,
    up: () => up,
    leave: () => {
      isOver = true;
    },
  };
}

/** Agents ask for something each, people decide; in the middle of it comes the kill, and all go on after it. */
async function oneRound(campaign: Campaign, round: number): Promise<void> {
  const { random, report, world, supervisor } = campaign;
  const before = supervisor.kills();
  const drawn = () => ({
    via: (['api', 'telegram', 'slack'] as const)[Math.floor(random() * 3)] ?? 'api',
    verdict: random() < 0.8 ? ('approve' as const) : ('deny' as const),
  });
  // Requests to the server are alike: they share a card, and mean the same to the person.
  const alike = drawn();
  const items = Array.from({ length: ITEMS }, (_, index): Item => {
    const kind = index % 2 === 0 ? 'http' : 'gate';
    return { name: `item-${round}-${index}`, kind, ...(kind === 'http' ? alike : drawn()), isOver: false, wasDenied: false };
  });
  report.items += items.length;
  await Promise.all(items.flatMap((item) => [agentOf(campaign, item), personFor(campaign, item)]));
  for (const { name, wasDenied, verdict } of items) {
    const runs = campaign.upstream.runs(name);
    if (runs !== (verdict === 'approve' ? 1 : 0)) report.violations.push(`${name}: was to be ${verdict} and ran ${runs} times`);
    if (wasDenied && runs === 0) report.denied++;
    report.ran += runs;
  }
  // What was drawn did not come to pass: then it comes now, while chats are still being told.
  if (supervisor.kills() === before) {
    await world.kill();
    await until(supervisor.kills, (kills) => kills > before);
  }
  await supervisor.up();
}

/** Wants one thing done, and asks for it until it has a definite answer. */
async function agentOf({ world, supervisor, upstream, agent, report }: Campaign, item: Item): Promise<void> {
  const { name, kind } = item;
  if (kind === 'http') {
    for (;;) {
      const answer = await supervisor.ask(async () => {
        const response = await fetch(`${world.gateUrl}/http/counter/items/${name}`, {
          method: 'POST',
          headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json' },
          body: JSON.stringify({ name }),
        });
        return { status: response.status, body: (await response.json()) as { code?: string } };
      });
      if (answer?.status === 403 && answer.body.code === 'APPROVAL_PENDING') continue;
      item.wasDenied = answer?.status === 403;
      if (!item.wasDenied && answer?.status !== 200) report.violations.push(`${name}: ${answer?.status} ${answer?.body.code}`);
      item.isOver = true;
      return;
    }
  }
  const gate = gateOf(world, agent.token);
  let body: GateBody | undefined;
  for (;;) {
    const known = body?.id;
    const answer = await supervisor.ask(() =>
      // The same call again, as the plugin makes it: by its id once that is known.
      known === undefined ? gate.call('exec', { command: `./${name} --go` }, { callId: name }) : gate.poll(known, 1_000),
    );
    body = answer?.body;
    if (body?.verdict === 'allow') break;
    if (body?.verdict === 'deny') item.wasDenied = true;
    if (item.wasDenied) {
      item.isOver = true;
      return;
    }
  }
  await fetch(upstream.url, { method: 'POST', body: JSON.stringify({ name }) });
  const { id } = body;
  await supervisor.ask(() => gate.end(id, { output: name }));
  item.isOver = true;
}

/** Decides what waits of an item, on the way that was drawn, and again where the product died under it. */
async function personFor(campaign: Campaign, item: Item): Promise<void> {
  const { supervisor, world, upstream, report, decided, firsts, agent } = campaign;
  const asked = new Set<string>();
  const pressedAt = new Map<string, number>();
  while (!item.isOver) {
    const page = await supervisor.ask(() =>
      world.api<{ items: ApprovalRow[] }>('GET', `/approvals?status=all&agentId=${agent.id}&limit=100`),
    );
    for (const approval of page?.body.items ?? []) {
      if (!summaryIsOf(approval, item)) continue;
      if (!asked.has(approval.id) && asked.size > 0) report.askedAgain++;
      if (asked.size === 0) firsts.add(approval.id);
      asked.add(approval.id);
      if (approval.status !== 'pending') {
        decided.set(approval.id, decided.get(approval.id) ?? approval.status);
        continue;
      }
      if ((pressedAt.get(approval.id) ?? 0) + PRESS_AGAIN_MS > Date.now()) continue;
      pressedAt.set(approval.id, Date.now());
      // Whoever is asked a second time looks first whether it was done.
      const verdict = upstream.runs(item.name) > 0 ? 'deny' : item.verdict;
      await decideBy(campaign, item, approval, verdict);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  report.decisions[item.via] += asked.size;
}

async function decideBy(
  { supervisor, world, telegram, slack, slackId, firsts }: Campaign,
  item: Item,
  { id }: ApprovalRow,
  verdict: 'approve' | 'deny',
): Promise<unknown> {
  const letter = verdict === 'approve' ? 'a' : 'd';
  const isCardOf = (values: readonly string[]) => values.some((value) => value.endsWith(id));
  /** All that the card lists at once, where nothing on it is asked for again; otherwise this one, opened first. */
  const choose = (values: readonly string[]) => {
    const listed = values.flatMap((value) => (value.startsWith('o:') ? [value.slice(2)] : []));
    const isFirst = verdict === item.verdict && listed.every((one) => firsts.has(one));
    const all = isFirst ? values.find((value) => value.startsWith(`g:${letter}`)) : undefined;
    return all ?? values.find((value) => value === `d:${letter}:${id}`) ?? values.find((value) => value === `o:${id}`);
  };
  switch (item.via) {
    case 'api':
      return supervisor.ask(() => world.api('POST', `/approvals/${id}/${verdict}`, { note: 'looked at it' }), 1);
    case 'telegram': {
      const valuesOf = ({ buttons }: (typeof telegram.messages)[number]) => buttons.flatMap(({ callback_data: data }) => data ?? []);
      const card = telegram.messages.findLast((message) => isCardOf(valuesOf(message)));
      const data = card && choose(valuesOf(card));
      if (card && data !== undefined) telegram.push(telegram.press(MARA, card, data));
      return null;
    }
    case 'slack': {
      const card = slack.messages.findLast((message) => isCardOf(buttonsOf(message)));
      const value = card && choose(buttonsOf(card));
      if (!card || value === undefined) return null;
      const payload = {
        type: 'block_actions',
        trigger_id: `t-${crypto.randomUUID()}`,
        user: { id: 'U1', team_id: 'T1' },
        team: { id: 'T1' },
        container: { message_ts: card.ts, channel_id: 'C1' },
        actions: [{ value }],
      };
      const body = new URLSearchParams({ payload: JSON.stringify(payload) }).toString();
      return supervisor.ask(() => postSlack(world, slackId, body), 1);
    }
  }
}

/** Everything at the end, once nothing is under way. */
async function compare({ world, supervisor, telegram, slack, report, decided }: Campaign): Promise<void> {
  const wrong = (what: string) => report.violations.push(what);
  const rows = await all<ApprovalRow>(supervisor, world, '/approvals?status=all');
  for (const { id, number, status } of rows) {
    if (status === 'pending') wrong(`approval ${number} waits, and whoever asked has an answer`);
    const first = decided.get(id);
    if (first !== undefined && first !== status) wrong(`approval ${number} was ${first} and is ${status}`);
    const audit = await supervisor.ask(() => world.api<{ items: { action: string }[] }>('GET', `/audit?subjectId=${id}`));
    const decisions = (audit?.body.items ?? []).filter(({ action }) => action === 'approval.approved' || action === 'approval.denied');
    if (decisions.length !== (status === 'approved' || status === 'denied' ? 1 : 0))
      wrong(`approval ${number} is ${status} with ${decisions.length} decisions on record`);
  }
  await until(
    () => supervisor.ask(() => world.api<Items<unknown>>('GET', '/notifications?state=waiting')),
    (waiting) => waiting?.body.items.length === 0,
    30_000,
  );
  const isCard = (text: string) => /^(Approval \d+|\d+ like requests)/.test(text);
  const isAbout = (text: string, { number }: ApprovalRow) =>
    new RegExp(`^Approval ${number}\\b`).test(text) || (/^\d+ like requests/.test(text) && new RegExp(`[(,] ?${number}[,)]`).test(text));
  // Every card that we know of comes to show the outcome; then the others, which a press brings there.
  const told = (await all<Told>(supervisor, world, '/notifications?state=delivered')).filter(({ kind }) => kind === 'approval_pending');
  const onTelegram = () => telegram.messages.filter(({ text }) => isCard(text));
  const onSlack = () => slack.messages.filter((message) => message.ephemeralFor === null && isCard(shownText(message)));
  const rowsOn = (name: string) => told.filter(({ channelName }) => channelName === name);
  const attempts = rowsOn('Telegram').reduce((sum, one) => sum + one.attempts, 0);
  report.cards.telegram = onTelegram().length;
  report.cards.slack = onSlack().length;
  report.cards.doubled = onTelegram().length - rowsOn('Telegram').length;
  if (onSlack().length !== rowsOn('Slack').length) wrong(`${onSlack().length} cards on Slack instead of ${rowsOn('Slack').length}`);
  // Telegram cannot be asked: only an attempt that a kill cut short doubles a card.
  if (report.cards.doubled < 0 || onTelegram().length > attempts)
    wrong(`${onTelegram().length} cards on Telegram instead of ${rowsOn('Telegram').length}, after ${attempts} attempts`);
  await until(
    () =>
      [
        onTelegram().filter(({ buttons }) => buttons.length > 0).length,
        onSlack().filter((card) => buttonsOf(card).length > 0).length,
      ] as const,
    ([first, second]) => first <= report.cards.doubled && second === 0,
    30_000,
  ).catch((error) => wrong(`an outcome was not told: ${String(error).slice(0, 300)}`));
  for (const card of onTelegram().filter(({ buttons }) => buttons.length > 0)) {
    telegram.push(telegram.press(MARA, card, card.buttons[0]?.callback_data ?? ''));
    await until(
      () => card.buttons.length,
      (count) => count === 0,
    );
  }
  for (const row of rows) {
    if (!onTelegram().some(({ text }) => isAbout(text, row))) wrong(`approval ${row.number} is on no card on Telegram`);
    if (!onSlack().some((message) => isAbout(shownText(message), row))) wrong(`approval ${row.number} is on no card on Slack`);
  }
  const { kills, cards } = report;
  const killed = kills.afterAnswers + kills.atReading + kills.atTelegram + kills.atSlack + kills.atUpstream;
  if (cards.doubled > killed) wrong(`${cards.doubled} cards doubled by ${killed} kills`);
  const audit = await supervisor.ask(() => world.api('GET', '/audit/verify'));
  if (audit?.body.ok !== true) wrong(`the audit chain does not verify: ${JSON.stringify(audit?.body)}`);
}

async function all<T>(supervisor: Supervisor, world: OneProcess, path: string): Promise<T[]> {
  const found: T[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const at: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page = await supervisor.ask(() => world.api<Items<T>>('GET', `${path}&limit=200${at}`));
    found.push(...(page?.body.items ?? []));
    cursor = page?.body.nextCursor ?? null;
  }
  return found;
}

async function postSlack(world: OneProcess, slackId: string, body: string, type = 'application/x-www-form-urlencoded') {
  const headers = { 'content-type': type, ...slackHeaders(body, Math.floor(Date.now() / 1000)) };
  const { status } = await fetch(`${world.controlUrl}/chat/slack/${slackId}`, { method: 'POST', headers, body });
  return { status, body: null };
}

function summaryIsOf({ summary }: ApprovalRow, { name }: Item): boolean {
  return new RegExp(`${name}(?!\\d)`).test(summary);
}

/** A server that counts what it was asked to do. */
async function startCounter() {
  const runs = new Map<string, number>();
  let watcher: () => void = () => {};
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { name } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { name: string };
      runs.set(name, (runs.get(name) ?? 0) + 1);
      if (request.headers.authorization) watcher();
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await listen(server);
  return {
    url: urlOf(server),
    runs: (name: string) => runs.get(name) ?? 0,
    /** Is told of each request of the product, before it is answered. */
    watch: (listener: () => void) => {
      watcher = listener;
    },
    close: () => close(server),
  };
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
