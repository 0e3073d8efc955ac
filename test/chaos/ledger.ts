/**
 * Rounds of priced calls on one cap, by several ledger processes at once, with kill -9, SIGSTOP and lost counters in the middle of them.
 * Plays control for the processes: the record that their journals are shipped to, and the shared counters. Every round is held to:
 * what is settled, and what the counters hold, within the cap at every moment; afterwards nothing leased, nothing reserved, and the
 * counters equal to the record.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JournalEntry } from '../../control/contract.ts';
import { type Counters, openCounters } from '../../control/counters.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { plainRecord } from '../support/spend-record.ts';
import { until } from '../support/world.ts';
import type { FromLedger, Order, Question, Welcome } from './ledger-process.ts';

export const CAP_MICROS = 1_000_000;
/** One per cent of the cap. */
const SLICE_MICROS = CAP_MICROS / 100;
const CALLS = 200;
/** Of leases and reservations; a frozen process sleeps past it. */
const TTL_MS = 500;

const SHARED_TROUBLES = ['nothing', 'kill', 'stop', 'flush', 'kill and flush', 'stop and flush', 'kill two', 'stop redis'] as const;
const LOCAL_TROUBLES = ['nothing', 'kill', 'stop'] as const;
type Trouble = (typeof SHARED_TROUBLES)[number];

export interface RoundReport {
  trouble: Trouble;
  settledMicros: number;
  ran: number;
  exceeded: number;
  unavailable: number;
  ms: number;
}

/** @param processes how many share the counters; 1 = the ledger in process, without Redis. @throws Error at the first round that fails. */
export async function playRounds(rounds: number, processes: number, random: () => number): Promise<RoundReport[]> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-ledger-'));
  const redis = processes > 1 ? await startRedis() : null;
  const control = await Control.open(redis);
  const members = Array.from({ length: processes }, (_, index) => new Member(join(folder, `p${index}`), redis, control));
  const reports: RoundReport[] = [];
  try {
    await until(
      () => members.every((member) => member.isReady),
      (areReady) => areReady,
      30_000,
    );
    for (let round = 0; round < rounds; round++) reports.push(await playRound(round, members, redis, control, random));
    return reports;
  } finally {
    for (const { child } of members) child.kill('SIGKILL');
    await control.counters?.close();
    await redis?.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function playRound(
  round: number,
  members: readonly Member[],
  redis: RedisServer | null,
  control: Control,
  random: () => number,
): Promise<RoundReport> {
  const begunAt = performance.now();
  const troubles = redis ? SHARED_TROUBLES : LOCAL_TROUBLES;
  const trouble = troubles[round % troubles.length] ?? 'nothing';
  const task = `task:${round}`;
  const order: Order = {
    round,
    calls: CALLS / members.length,
    caps: [
      { scope: 'agent-day:a:2026-01-01', capMicros: null },
      { scope: 'fleet-day:2026-01-01', capMicros: CAP_MICROS * 1_000_000 },
      { scope: task, capMicros: CAP_MICROS },
      { scope: `run:a/${round}`, capMicros: CAP_MICROS },
    ],
    // In a quiet round the prices meet the cap exactly.
    priceMicros: trouble === 'nothing' ? 10_000 : 12_345,
    spread: trouble !== 'nothing',
  };
  const failed = (what: string) => new Error(`round ${round} (${trouble}): ${what}`);
  let breach: string | null = null;
  const watch = setInterval(() => {
    findBreach(task, redis, control).then(
      (found) => {
        breach ??= found;
      },
      () => {}, // Redis is away in some rounds
    );
  }, 10);
  for (const member of members) member.give(order);
  try {
    await makeTrouble(trouble, members, redis, random);
    await until(
      () => members.every((member) => member.isReady && member.done !== null),
      (isOver) => isOver,
      60_000,
    );
    await settledDown(task, members, redis, control).catch((error: Error) => {
      throw failed(error.message);
    });
  } finally {
    clearInterval(watch);
  }
  if (breach !== null) throw failed(breach);
  const settledMicros = control.settled(task);
  if (settledMicros > CAP_MICROS) throw failed(`${settledMicros} settled on a cap of ${CAP_MICROS}`);
  // Alone it meets the cap exactly; several may each keep a slice of it for a moment when the others ask for the last.
  const kept = redis ? members.length * SLICE_MICROS : 0;
  if (trouble === 'nothing' && settledMicros < CAP_MICROS - kept) throw failed(`${settledMicros} settled where the cap could be met`);
  control.sumUp(task);
  const sum = (count: 'ran' | 'exceeded' | 'unavailable') => members.reduce((total, { done }) => total + (done?.[count] ?? 0), 0);
  const ms = Math.round(performance.now() - begunAt);
  return { trouble, settledMicros, ran: sum('ran'), exceeded: sum('exceeded'), unavailable: sum('unavailable'), ms };
}

async function makeTrouble(trouble: Trouble, members: readonly Member[], redis: RedisServer | null, random: () => number): Promise<void> {
  const first = Math.floor(random() * members.length);
  const [one, two] = [members[first], members[(first + 1) % members.length]];
  await pause(random() * 90);
  switch (trouble) {
    case 'nothing':
      return;
    case 'kill':
      return one?.kill();
    case 'kill two':
      one?.kill();
      await pause(random() * 30);
      return two?.kill();
    case 'stop':
      return one?.freeze();
    case 'flush':
      return void (await redis?.client.flushAll());
    case 'kill and flush':
      one?.kill();
      return void (await redis?.client.flushAll());
    case 'stop and flush':
      // Frozen past the time of its leases, and while the counters are made anew without it.
      one?.freeze();
      await pause(random() * 20);
      return void (await redis?.client.flushAll());
    case 'stop redis':
      redis?.freeze();
      await pause(TTL_MS * 2);
      return redis?.thaw();
  }
}

/** At any moment what is settled by the record, and what the counters hold, is within the cap. */
async function findBreach(task: string, redis: RedisServer | null, control: Control): Promise<string | null> {
  const settled = control.settled(task);
  if (settled > CAP_MICROS) return `${settled} settled on a cap of ${CAP_MICROS}`;
  if (!redis) return null;
  const { spent, leased } = await countersOf(task, redis);
  return spent + leased > CAP_MICROS ? `the counters held ${spent} spent and ${leased} leased on a cap of ${CAP_MICROS}` : null;
}

/** Afterwards nothing is reserved or leased anywhere, and the counters say what the record says: refunds arrived. */
async function settledDown(task: string, members: readonly Member[], redis: RedisServer | null, control: Control): Promise<void> {
  await until(
    async () => {
      const states = await Promise.all(members.map((member) => member.look(task)));
      const { spent, leased } = redis ? await countersOf(task, redis) : { spent: states[0]?.spent ?? 0, leased: 0 };
      const reserved = states.reduce((sum, { open }) => sum + open, 0);
      return { reserved, running: control.running.size, leased, spent, recorded: control.settled(task) };
    },
    ({ reserved, running, leased, spent, recorded }) => reserved === 0 && running === 0 && leased === 0 && spent === recorded,
    30_000,
  );
}

async function countersOf(scope: string, redis: RedisServer): Promise<{ spent: number; leased: number }> {
  const [spent, leased] = await redis.client.hmGet(`mc:{ledger}:scope:${scope}`, ['spent', 'leased']);
  return { spent: Number(spent), leased: Number(leased) };
}

/** One ledger process; killed, it is started again on the same journal. */
class Member {
  child: ChildProcess;
  isReady = false;
  done: Extract<FromLedger, { done: object }>['done'] | null = null;
  readonly #folder: string;
  readonly #redis: RedisServer | null;
  readonly #control: Control;
  #looks: ((state: { open: number; spent: number }) => void)[] = [];

  constructor(folder: string, redis: RedisServer | null, control: Control) {
    this.#folder = folder;
    this.#redis = redis;
    this.#control = control;
    this.child = this.#start();
  }

  give(order: Order): void {
    this.done = null;
    this.child.send({ order });
  }

  look(scope: string): Promise<{ open: number; spent: number }> {
    return new Promise((resolve) => {
      this.#looks.push(resolve);
      this.child.send({ look: scope });
    });
  }

  kill(): void {
    this.child.kill('SIGKILL');
    this.done = { ran: 0, exceeded: 0, unavailable: 0 };
    this.child = this.#start();
  }

  freeze(): void {
    const { child } = this;
    child.kill('SIGSTOP');
    setTimeout(() => child.kill('SIGCONT'), TTL_MS * 1.6);
  }

  #start(): ChildProcess {
    this.isReady = false;
    const child = fork(join(import.meta.dirname, 'ledger-process.ts'), {
      env: { ...CHILD_ENV, FOLDER: this.#folder, REDIS_URL: this.#redis?.url ?? '', TTL_MS: String(TTL_MS) },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child.on('message', (message: FromLedger) => {
      // What it had sent before it was killed still arrives; its orders are nobody's any more.
      if ('question' in message) return void this.#control.answer(child, message.id, message.question);
      if (child !== this.child) return;
      if ('ready' in message) this.isReady = true;
      if ('done' in message) this.done = message.done;
      if ('state' in message) this.#looks.shift()?.(message.state);
    });
    return child;
  }
}

/** What control is to the processes: the record and the shared counters. */
class Control {
  readonly running = new Set<string>();
  readonly #record = plainRecord();
  readonly #cursors = new Map<string, number>();
  counters: Counters | null = null;

  static async open(redis: RedisServer | null): Promise<Control> {
    const control = new Control();
    if (redis) control.counters = await openCounters({ url: redis.url, record: control.#record, onError: () => {} });
    return control;
  }

  async answer(child: ChildProcess, id: number, question: Question): Promise<void> {
    let reply: object;
    try {
      reply = { id, answer: (await this.#answerOf(question)) ?? null };
    } catch (error) {
      reply = { id, error: String(error) };
    }
    if (child.connected) child.send(reply, () => {}); // it may be dead by now
  }

  /** Settled spend of a scope, without what runs. */
  settled(scope: string): number {
    let sum = 0;
    for (const [id, call] of this.#record.calls) if (!this.running.has(id) && call.scopes.includes(scope)) sum += call.micros;
    return sum;
  }

  /** The calls of a round that is over count as one from now on. */
  sumUp(task: string): void {
    for (const [id, { proxyId, scopes, micros }] of this.#record.calls) {
      if (!scopes.includes(task)) continue;
      this.#record.calls.delete(id);
      const earlier = this.#record.calls.get(`earlier ${proxyId}`)?.micros ?? 0;
      this.#record.calls.set(`earlier ${proxyId}`, { proxyId, scopes: scopes.slice(0, 2), micros: earlier + micros });
    }
  }

  async #answerOf(question: Question): Promise<unknown> {
    switch (question.ask) {
      case 'hello':
        return this.#welcome(question.proxyId);
      case 'ship':
        return this.#ingest(question.proxyId, question.lines);
      case 'join':
        return this.counters?.join(question);
      case 'seed':
        return this.counters?.seed(question.request);
      case 'bound':
        return void this.#record.bound.set(question.proxyId, question.micros);
    }
  }

  #welcome(proxyId: string): Welcome {
    const running: Welcome['running'][number][] = [];
    const spent: Record<string, number> = {};
    for (const [id, { proxyId: of, scopes, micros }] of this.#record.calls) {
      if (this.running.has(id)) {
        if (of === proxyId) running.push({ id, scopes, micros });
      } else for (const scope of scopes) spent[scope] = (spent[scope] ?? 0) + micros;
    }
    return { cursor: this.#cursors.get(proxyId) ?? 0, running, spent };
  }

  #ingest(proxyId: string, lines: readonly string[]): number {
    for (const line of lines) {
      const { seq, event } = JSON.parse(line) as JournalEntry;
      if (seq <= (this.#cursors.get(proxyId) ?? 0)) continue;
      this.#cursors.set(proxyId, seq);
      if (event.type === 'intent') {
        const { scopes } = event.input as { scopes: string[] };
        this.#record.calls.set(event.call.id, { proxyId, scopes, micros: event.judged.estimatedCost });
        this.running.add(event.call.id);
      } else if (event.type === 'completed' && this.running.delete(event.id)) {
        const call = this.#record.calls.get(event.id);
        if (call) call.micros = event.cost;
      }
    }
    return this.#cursors.get(proxyId) ?? 0;
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
