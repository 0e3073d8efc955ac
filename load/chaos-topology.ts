/**
 * `npm run chaos:topology`: rounds of trouble on an installation of several processes (two proxies, two controls, workers, PostgreSQL,
 * Redis, and a network between them that can be cut), while agents call, a person decides, and the emergency stop is pressed. After each
 * round everything is healed, and what the upstream, the agents and the person saw is compared with what the product says. The seed decides
 * every choice; the order in which answers cross is the machine's. Exits with 1 at a violation. `--rounds N`, `--seed N`, and
 * `--only 'name;name'` for some kinds of trouble (`--list` names them).
 */
import { cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Service } from '../deploy/topology.ts';
import { createScene, proxyIdOf, type Scene } from './chaos-scene.ts';
import {
  type AgentKey,
  type Attempt,
  askAny,
  askApi,
  type Books,
  type Call,
  decideAll,
  HELD,
  line,
  PRICE_USD,
  PRICED,
  saidNumber,
  startUpstream,
  takeUp,
  traffic,
  type Upstream,
} from './chaos-traffic.ts';
import { demand, type Installation, measureInstallation, newAgents, usePolicy } from './installation.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '60' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});
const AGENTS = 2;
/** Of each run of each agent: what three priced calls cost, so that money runs out while others wait for a person. */
const CAP_USD = 3 * PRICE_USD + 0.005;
/** A proxy that hears nothing of control for this long refuses everything. */
const SNAPSHOT_MS = 2_000;
/** What a clock on a busy machine may be late by. */
const SLACK_MS = 700;
const ROUND_MS = 1_500;
const SETTLE_MS = 20_000;
/** What the record says of a call that was let run. */
const RAN: ReadonlySet<string> = new Set(['running', 'success', 'failed', 'unknown']);

interface Stage {
  running: Installation;
  scene: Scene;
  upstream: Upstream;
  agents: readonly AgentKey[];
  books: Books;
  random: () => number;
}

/** What may not run in a round: by proxy, from when on, and until when. */
interface Ban {
  proxy: number;
  from: number;
  until: number;
  why: string;
}

/** A kind of trouble: what it does, and what may not run from then on. It may leave broken what `heal` mends. */
type Trouble = (stage: Stage, bans: Ban[]) => Promise<void>;

const pick = <T>(items: readonly T[], random: () => number): T => {
  const found = items[Math.floor(random() * items.length)];
  if (found === undefined) throw new Error('there is nothing to choose from');
  return found;
};
const oneProxy = ({ running, random }: Stage): Service => pick(running.proxies, random);
const oneControl = ({ running, random }: Stage): Service => pick(running.controls, random);
const all = ({ running }: Stage): Service[] => [...running.controls, ...running.workers, ...running.proxies];
const between = (random: () => number, least: number, most: number) => sleep(least + random() * (most - least));

const TROUBLES: Record<string, Trouble> = {
  nothing: async () => {},
  'kill a proxy': async (stage) => {
    const proxy = oneProxy(stage);
    await stage.scene.kill(proxy);
    await stage.scene.revive(proxy);
  },
  'kill a proxy as it sends': (stage) => killAtArrival(stage),
  'kill both proxies': async ({ running, scene }) => {
    await Promise.all(running.proxies.map((proxy) => scene.kill(proxy)));
  },
  'kill a control': async (stage) => {
    const control = oneControl(stage);
    await stage.scene.kill(control);
    await between(stage.random, 0, 800);
    await stage.scene.revive(control);
  },
  'kill both controls': async (stage) => {
    await Promise.all(stage.running.controls.map((control) => stage.scene.kill(control)));
    await between(stage.random, 0, 800);
  },
  'kill the workers': async ({ running, scene }) => {
    for (const service of running.workers) await scene.kill(service);
  },
  'kill everything': async (stage) => {
    await Promise.all(all(stage).map((service) => stage.scene.kill(service)));
  },
  'freeze a proxy': async (stage) => {
    stage.scene.freeze(oneProxy(stage));
    await between(stage.random, 300, SNAPSHOT_MS * 1.3);
  },
  'freeze a control': async (stage) => {
    stage.scene.freeze(oneControl(stage));
    await between(stage.random, 300, 2_500);
  },
  'empty redis': async ({ running }) => {
    await running.redis.client.flushAll();
  },
  'restart redis': async (stage) => {
    await stage.running.redis.kill();
    await between(stage.random, 0, 600);
    await stage.running.redis.start();
  },
  'freeze redis': async (stage) => {
    stage.running.redis.freeze();
    await between(stage.random, 300, 1_500);
  },
  'empty redis and kill a proxy': async (stage) => {
    const proxy = oneProxy(stage);
    await stage.scene.kill(proxy);
    await stage.running.redis.client.flushAll();
  },
  'restart postgres': async (stage) => {
    await stage.running.postgres.kill();
    await between(stage.random, 0, 600);
    await stage.running.postgres.start();
  },
  'freeze postgres': async (stage) => {
    stage.running.postgres.freeze();
    await between(stage.random, 300, 1_500);
  },
  'cut a proxy off from control': (stage, bans) => isolate(stage, bans, 'cut'),
  'silence between a proxy and control': (stage, bans) => isolate(stage, bans, 'silence'),
  'cut a proxy off, its clock going back': (stage, bans) => isolate(stage, bans, 'cut', -600_000),
  'cut a control off from postgres': async (stage) => {
    stage.scene.part(oneControl(stage), ['postgres'], stage.random() < 0.5 ? 'cut' : 'silence');
    await between(stage.random, 300, 1_500);
  },
  'cut everybody off from redis': async (stage) => {
    for (const service of all(stage)) stage.scene.part(service, ['redis'], stage.random() < 0.5 ? 'cut' : 'silence');
    await between(stage.random, 300, 1_500);
  },
  'cut a proxy off from redis': async (stage) => {
    stage.scene.part(oneProxy(stage), ['redis'], stage.random() < 0.5 ? 'cut' : 'silence');
    await between(stage.random, 300, 1_500);
  },
  'fill the disk of a proxy': async (stage) => {
    stage.scene.fillDisk(oneProxy(stage));
    await between(stage.random, 300, 1_000);
  },
  'move the clock of a proxy': async (stage) => {
    stage.scene.moveClock(oneProxy(stage), pick(CLOCK_MS, stage.random));
    await between(stage.random, 300, 1_000);
  },
  'move the clock of a control': async (stage) => {
    stage.scene.moveClock(oneControl(stage), pick(CLOCK_MS, stage.random));
    await between(stage.random, 300, 1_000);
  },
  stop: (stage, bans) => pressStop(stage, bans, async () => {}),
  'stop while the lines are cut': async (stage, bans) => {
    const proxy = oneProxy(stage);
    stage.scene.part(proxy, ['control'], 'cut');
    await pressStop(stage, bans, async () => {});
  },
  'stop while redis is frozen': async (stage, bans) => {
    stage.running.redis.freeze();
    await pressStop(stage, bans, async () => {});
  },
  'stop, then kill a proxy and a control': (stage, bans) =>
    pressStop(stage, bans, async () => {
      const some = [oneProxy(stage), oneControl(stage)];
      await Promise.all(some.map((service) => stage.scene.kill(service)));
      await Promise.all(some.map((service) => stage.scene.revive(service)));
    }),
  // The database hears of this stop from what the controls have kept, or not at all.
  'stop while postgres is frozen, then kill everything': async (stage, bans) => {
    const { running, scene } = stage;
    running.postgres.freeze();
    await pressStop(stage, bans, async () => {
      await Promise.all(all(stage).map((service) => scene.kill(service)));
      await running.postgres.kill();
      await running.postgres.start();
      await Promise.all([...running.controls, ...running.workers].map((service) => scene.revive(service)));
      await Promise.all(running.proxies.map((service) => scene.revive(service)));
    });
  },
};
const CLOCK_MS = [-1_200_000, -60_000, 60_000, 1_200_000] as const;

if (options.list) {
  console.log(Object.keys(TROUBLES).join('\n'));
  process.exit(0);
}
const only = options.only?.split(';').map((name) => name.trim());
for (const name of only ?? []) if (!TROUBLES[name]) throw new Error(`there is no trouble "${name}"; --list names them`);

const books: Books = { calls: new Map(), decisions: new Map(), tasks: new Map(), problems: [] };
const scene = createScene();
const upstream = await startUpstream(books);
await measureInstallation({ proxies: 2, rewire: scene.rewire, clear: scene.close }, campaign, async () => {
  await line.destroy();
  upstream.close();
});

interface Told {
  trouble: string;
  ms: number;
  calls: number;
  ran: number;
  held: number;
}

async function campaign(running: Installation): Promise<boolean> {
  const random = randomFrom(Number(options.seed));
  console.log(`seed ${options.seed}, ${options.rounds} rounds`);
  await prepare(running);
  for (const service of [...running.controls, ...running.workers, ...running.proxies]) scene.follow(service);
  const agents = await newAgents(running, AGENTS);
  const stage: Stage = { running, scene, upstream, agents, books, random };
  const told: Told[] = [];
  const violations: string[] = [];
  const kinds = Object.keys(TROUBLES).filter(
    (name) => (only?.includes(name) ?? true) && (name !== 'fill the disk of a proxy' || scene.hasDisks()),
  );
  if (!scene.hasDisks()) console.log('no file system can be mounted here: the disk of a journal is not filled');
  let order: string[] = [];
  for (let round = 1; round <= Number(options.rounds) && violations.length === 0; round++) {
    if (order.length === 0) order = shuffled(kinds, random);
    const trouble = order.pop() ?? 'nothing';
    const { found, ...line } = await playRound(stage, round, trouble);
    told.push(line);
    violations.push(...found.map((what) => `round ${round} (${trouble}): ${what}`));
    process.stderr.write(`round ${round}: ${trouble}, ${line.calls} calls, ${line.ran} ran, ${line.held} of them held, ${line.ms} ms\n`);
  }
  violations.push(...(await compareAll(stage)));
  console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)}`);
  console.log('| trouble | rounds | calls | ran | of them held | ms a round |\n| --- | --- | --- | --- | --- | --- |');
  for (const kind of kinds) {
    const of = told.filter(({ trouble }) => trouble === kind);
    if (of.length === 0) continue;
    const sum = (key: 'calls' | 'ran' | 'held' | 'ms') => of.reduce((total, one) => total + one[key], 0);
    console.log(`| ${kind} | ${of.length} | ${sum('calls')} | ${sum('ran')} | ${sum('held')} | ${Math.round(sum('ms') / of.length)} |`);
  }
  console.log(`seed ${options.seed}: ${told.length} rounds, ${books.calls.size} calls, ${violations.length} violations`);
  for (const violation of violations) console.log(`VIOLATION ${violation}`);
  if (violations.length > 0) console.log(running.log().slice(-4_000));
  return violations.length === 0 && told.length > 0;
}

async function prepare(running: Installation): Promise<void> {
  await usePolicy(running, {
    budgets: { perRun: { specialist: CAP_USD }, perAgentDaily: { specialist: 10_000 } },
    holds: { inlineMs: 1_500 },
    limits: { errorStreak: 100_000, snapshotMaxAgeMs: SNAPSHOT_MS },
    model: { prices: { 'test-*': { input: 1, output: 10, cacheRead: 0.1, cacheWrite: 1.25, cacheWriteLong: 2, contextTokens: 200_000 } } },
  });
  const tool = (name: string, risk: string) => ({ method: 'POST', path: `/${name}`, tool: name, risk });
  const common = { url: upstream.url, allowPrivate: true };
  for (const fields of [
    { ...common, name: 'site', kind: 'http', routes: [tool('look', 'green'), tool('act', 'red')] },
    { ...common, name: 'shop', kind: 'http', priceUsd: PRICE_USD, routes: [tool('buy', 'green'), tool('order', 'red')] },
    { ...common, name: 'brain', kind: 'model', url: `${upstream.url}/v1`, secret: 'sk-chaos' },
  ])
    demand(await running.api('POST', '/upstreams', fields), 201);
}

/* ------------------------------------------------------------ a round */

async function playRound(stage: Stage, round: number, name: string): Promise<Told & { found: string[] }> {
  const { running, random } = stage;
  const begunAt = performance.now();
  const first = books.calls.size + 1;
  const bans: Ban[] = [];
  let isOver = false;
  const players = { running, books, agents: stage.agents, round, random };
  const calling = traffic(players, () => isOver);
  const trouble = (async () => {
    await between(random, 100, 700);
    await TROUBLES[name]?.(stage, bans);
  })();
  await Promise.all([trouble, sleep(ROUND_MS)]).finally(() => {
    isOver = true;
  });
  stage.upstream.onArrival = () => {};
  const healedAt = Date.now();
  for (const ban of bans) ban.until = Math.min(ban.until, healedAt);
  await stage.scene.heal(running);
  await calling;
  const calls = [...books.calls.values()].filter(({ n }) => n >= first);
  await ready(stage);
  const stops = bans.some(({ why }) => why.startsWith('the stop'));
  const found = stops ? await resume(stage) : [];
  await takeUp(players, calls);
  while ((await decideAll(running, books, 0, true).catch(() => 1)) > 0) await sleep(50);
  found.push(...(await compare(stage, calls, bans)));
  found.push(...stage.scene.fallen().splice(0), ...books.problems.splice(0));
  return {
    trouble: name,
    ms: Math.round(performance.now() - begunAt),
    calls: calls.length,
    ran: calls.filter(({ arrivals }) => arrivals.length > 0).length,
    held: calls.filter(({ kind, arrivals }) => HELD.has(kind) && arrivals.length > 0).length,
    found,
  };
}

/** Waits until every process says that it can work. */
async function ready(stage: Stage): Promise<void> {
  const deadline = performance.now() + SETTLE_MS;
  for (const { url, name } of all(stage))
    for (;;) {
      const status = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2_000) }).then(
        (answer) => answer.status,
        () => 0,
      );
      if (status === 200) break;
      if (performance.now() > deadline) throw new Error(`${name} was not ready within ${SETTLE_MS} ms after everything was healed`);
      await sleep(50);
    }
}

/* ------------------------------------------------------------ troubles of several steps */

/** Kills the proxy that sends a call which money or a person is concerned with, at the moment at which the call arrives. */
function killAtArrival({ running, scene, upstream, random }: Stage): Promise<void> {
  const wanted = pick(['buy', 'act', 'order', 'chat'] as const, random);
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ROUND_MS);
    upstream.onArrival = (call) => {
      const proxy = running.proxies[(call.attempts.at(-1)?.proxy ?? 0) % running.proxies.length];
      if (call.kind !== wanted || !proxy) return;
      clearTimeout(timer);
      upstream.onArrival = () => {};
      scene.kill(proxy).then(resolve);
    };
  });
}

/** A proxy that hears nothing of control: once its picture is too old it lets nothing run, whatever its clock says. */
async function isolate(stage: Stage, bans: Ban[], how: 'cut' | 'silence', aheadMs = 0): Promise<void> {
  const proxy = oneProxy(stage);
  stage.scene.part(proxy, ['control'], how);
  if (aheadMs !== 0) stage.scene.moveClock(proxy, aheadMs);
  const from = Date.now() + SNAPSHOT_MS + SLACK_MS;
  bans.push({ proxy: stage.running.proxies.indexOf(proxy), from, until: Number.POSITIVE_INFINITY, why: 'a proxy without control' });
  await sleep(SNAPSHOT_MS + SLACK_MS + 700);
}

interface Receipt {
  proxies: { id: string; acknowledgedAt: number | null }[];
}

/** Presses the stop until it is answered. From then on nothing may run at a proxy that has said that it is silent, and soon nowhere. */
async function pressStop(stage: Stage, bans: Ban[], then: () => Promise<void>): Promise<void> {
  const { running, random } = stage;
  const first = Math.floor(random() * 2);
  let receipt: Receipt | null = null;
  for (let tried = 0; receipt === null; tried++) {
    const control = running.controls[(first + tried) % 2];
    const said = await askApi<Receipt>(control?.url ?? '', 'POST', '/emergency/stop', { reason: 'chaos' }).catch(() => null);
    if (said?.status === 200) receipt = said.body;
    if (tried > 100) throw new Error(`the stop was not taken: ${JSON.stringify(said)}`);
  }
  const silent = new Set(receipt.proxies.filter(({ acknowledgedAt }) => acknowledgedAt !== null).map(({ id }) => id));
  const answeredAt = Date.now();
  for (const [proxy, service] of running.proxies.entries()) {
    const isSilent = silent.has(proxyIdOf(service));
    const from = isSilent ? answeredAt : answeredAt + SNAPSHOT_MS + SLACK_MS;
    bans.push({ proxy, from, until: Number.POSITIVE_INFINITY, why: `the stop (${isSilent ? 'acknowledged' : 'not acknowledged'})` });
  }
  await then();
  await sleep(500);
}

/** Every control must still know of the stop; then it is lifted. */
async function resume({ running, agents }: Stage): Promise<string[]> {
  const found: string[] = [];
  for (const { name, url } of running.controls) {
    const { body } = await askApi<{ estop: boolean }>(url, 'GET', '/emergency');
    if (!body.estop) found.push(`${name} has forgotten the stop`);
  }
  const lifted = await askAny(running, 'POST', '/emergency/resume', { note: 'chaos' });
  if (lifted.status !== 200) found.push(`the stop could not be lifted: ${JSON.stringify(lifted)}`);
  await Promise.all(agents.map(({ id }) => askAny(running, 'POST', `/agents/${id}/restart`, {})));
  return found;
}

/* ------------------------------------------------------------ the comparison */

interface Row {
  id: string;
  sessionKey: string | null;
  input: Record<string, unknown>;
  status: string;
  approvalId: string | null;
  cost: number | null;
}

async function compare(stage: Stage, calls: readonly Call[], bans: readonly Ban[]): Promise<string[]> {
  const found: string[] = [];
  const rows = await recorded(stage, calls, found);
  for (const call of calls) found.push(...(await judged(stage, call, rows.get(call.n) ?? [], bans)));
  const spent = new Map<string, number>();
  for (const call of calls)
    for (const { cost } of rows.get(call.n) ?? []) spent.set(call.runId, (spent.get(call.runId) ?? 0) + (cost ?? 0));
  for (const [runId, usd] of spent)
    if (Math.round(usd * 1e6) > Math.round(CAP_USD * 1e6)) found.push(`${runId} spent ${usd} of ${CAP_USD} by the record`);
  for (const runId of spent.keys()) {
    const bought = calls
      .filter((call) => call.runId === runId && PRICED.has(call.kind))
      .reduce((sum, { arrivals }) => sum + arrivals.length, 0);
    if (bought * PRICE_USD > CAP_USD + 1e-9) found.push(`${runId}: ${bought} calls of ${PRICE_USD} ran on ${CAP_USD}`);
  }
  const first = Math.min(...calls.map(({ n }) => n));
  for (const { id, n, verdict, isAcknowledged } of books.decisions.values()) {
    if (n < first || !isAcknowledged) continue;
    const { body } = await askAny<{ status: string }>(stage.running, 'GET', `/approvals/${id}`);
    if (body.status !== (verdict === 'approve' ? 'approved' : 'denied'))
      found.push(`call ${n}: its approval was to ${verdict} and says ${body.status}`);
  }
  return found;
}

/** The record of these calls, as soon as it has all of them and none is under way. */
async function recorded({ running }: Stage, calls: readonly Call[], found: string[]): Promise<Map<number, Row[]>> {
  const runs = [...new Set(calls.map(({ runId }) => runId))];
  const ran = calls.filter(({ arrivals }) => arrivals.length > 0).map(({ n }) => n);
  for (const deadline = performance.now() + SETTLE_MS; ; await sleep(60)) {
    const rows = new Map<number, Row[]>();
    for (const runId of runs) {
      const { body } = await askAny<{ items: Row[] }>(running, 'GET', `/tool-calls?runId=${runId}&limit=500`);
      for (const row of body.items) {
        const n = numberOf(row);
        rows.set(n, [...(rows.get(n) ?? []), row]);
      }
    }
    const isWhole = ran.every((n) => rows.get(n)?.some(({ status }) => RAN.has(status)));
    const isStill = [...rows.values()].flat().every(({ status }) => status !== 'running');
    if (isWhole && isStill) return rows;
    if (performance.now() < deadline) continue;
    const open = [...rows].filter(([, of]) => of.some(({ status }) => status === 'running'));
    if (open.length > 0)
      found.push(`still running by the record: ${open.map(([n]) => `call ${n} (${books.calls.get(n)?.kind})`).join(', ')}`);
    return rows;
  }
}

/** Calls that a person decides share a session, and are told apart by what they say. */
function numberOf({ sessionKey, input }: Row): number {
  return Number(/^c-(\d+)$/.exec(sessionKey ?? '')?.[1] ?? saidNumber(JSON.stringify(input)));
}

/**
 * Whether the proxy of this attempt was killed around its answer. The answer goes out as it comes, and what came of the call is written down
 * when it is over, in the next turn of the event loop: only a kill in between may leave a record that does not know (docs/testing.md).
 */
function diedAtAnswer({ running, scene }: Stage, { proxy, sentAt, endedAt }: Attempt): boolean {
  const service = running.proxies[proxy];
  return service !== undefined && scene.kills(service).some(({ from, until }) => sentAt <= until && from <= endedAt + SLACK_MS);
}

async function judged(stage: Stage, call: Call, rows: readonly Row[], bans: readonly Ban[]): Promise<string[]> {
  const { running } = stage;
  const { n, kind, arrivals, attempts, outcomes, body } = call;
  const found: string[] = [];
  const wrong = (what: string) =>
    void found.push(
      `call ${n} (${kind}): ${what}; ${JSON.stringify({ attempts, outcomes, arrivals: arrivals.map(({ at }) => at), rows })}`,
    );
  const ran = rows.filter(({ status }) => RAN.has(status));
  if (arrivals.length > ran.length) wrong(`ran ${arrivals.length} times and is ${ran.length} times in the record`);
  if (arrivals.length > 1) wrong(`ran ${arrivals.length} times`);
  if (arrivals.some((arrival) => arrival.body !== body)) wrong('ran with other arguments');
  const isHeldKind = HELD.has(kind);
  const answered = attempts.filter(({ status }) => status === 200);
  if (!isHeldKind && answered.length > 0 && !rows.some(({ status }) => status === 'success'))
    if (!rows.some(({ status }) => status === 'unknown')) wrong('was answered and is not in the record');
    else if (!answered.every((attempt) => diedAtAnswer(stage, attempt)))
      wrong('was answered by a proxy that lived on, and the record does not know what came of it');
  if (call.isSettled && !rows.some(({ status }) => status === 'success')) wrong('its outcome was acknowledged and is not in the record');
  if (isHeldKind) {
    if (new Set(ran.map(({ approvalId }) => approvalId)).size < ran.length) wrong('one approval let it run more than once');
    for (const { approvalId } of ran) {
      if (books.decisions.get(approvalId ?? '')?.verdict !== 'approve' || books.decisions.get(approvalId ?? '')?.n !== n) {
        wrong(`ran under approval ${approvalId}, which nobody gave for it`);
        continue;
      }
      const approval = (await askAny<{ status: string; approver: string | null }>(running, 'GET', `/approvals/${approvalId}`)).body;
      if (approval.status !== 'approved' || approval.approver === null)
        wrong(`ran under an approval that says ${JSON.stringify(approval)}`);
    }
  }
  for (const { at } of arrivals) {
    const open = attempts.filter(({ sentAt, endedAt }) => sentAt <= at && at <= endedAt + SLACK_MS);
    const banned = open.map(({ proxy, sentAt }) => bans.find((ban) => ban.proxy === proxy && sentAt > ban.from && at < ban.until));
    if (open.length > 0 && banned.every((ban) => ban !== undefined)) wrong(`ran although there was ${banned[0]?.why}`);
  }
  return found;
}

/** At the end: the audit chain verifies, nothing that was acknowledged in any round is gone. */
async function compareAll({ running, agents }: Stage): Promise<string[]> {
  const found: string[] = [];
  const audit = await askAny<{ ok: boolean }>(running, 'GET', '/audit/verify');
  if (audit.body.ok !== true) found.push(`the audit chain does not verify: ${JSON.stringify(audit.body)}`);
  for (const [id, title] of books.tasks) {
    const { status, body } = await askAny<{ title: string }>(running, 'GET', `/tasks/${id}`);
    if (status !== 200 || body.title !== title) found.push(`${title} was acknowledged and is not there (${status})`);
  }
  const seen = new Set<number>();
  for (const { id } of agents)
    for (let cursor: string | null = ''; cursor !== null; ) {
      const from: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: { body: { items: Row[]; nextCursor: string | null } } = await askAny(
        running,
        'GET',
        `/tool-calls?agentId=${id}&limit=500${from}`,
      );
      for (const row of page.body.items) if (RAN.has(row.status)) seen.add(numberOf(row));
      cursor = page.body.nextCursor;
    }
  for (const { n, arrivals } of books.calls.values())
    if (arrivals.length > 0 && !seen.has(n)) found.push(`call ${n} ran and is not in the record at the end`);
  return found;
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => [random(), item] as const)
    .sort(([a], [b]) => a - b)
    .map(([, item]) => item);
}

/** The same numbers for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
