/**
 * The emergency stop. It travels first and is recorded second: the proxies are told, the stop is written to a file that
 * survives a crash and needs no database, and only then come the rows, the withdrawn holds and the blocked tasks. The receipt
 * says for every proxy and agent when it went silent.
 *
 * Of several control processes each keeps the stop itself, in memory and in its file. What lifts it is the record alone: a stop whose id
 * is among those that have ended. A second stop that was pressed elsewhere at the same moment becomes part of the first, and who pressed it
 * gets the first one's receipt: a stop has one receipt, the one that the record took.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { redactText } from '../policies/index.ts';
import type { Agents } from './agents.ts';
import type { Alerts } from './alerts.ts';
import type { Actor } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { StopAcknowledgement, StopProof, StopReceipt, SystemPicture, SystemState } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { Gateways } from './gateways.ts';
import type { Holds } from './holds.ts';
import { Refusal } from './problem.ts';
import type { SigningKey } from './signing.ts';
import { signReceipt } from './stop-receipt.ts';
import type { Tasks } from './tasks.ts';

export type Emergency = ReturnType<typeof createEmergency>;

/** How often a stop that the database did not take is tried again. */
const MAKE_GOOD_MS = 1_000;
/** How long the receipt waits for the proxies' answers; a proxy that has not answered refuses by itself once its snapshot is stale. */
const ACKNOWLEDGE_MS = 1_000;
/** How long it waits for all that needs the database; the stop is made good when the database is back. */
const RECORD_MS = 3_000;
/** What is left of that for the last of it. */
const LEAST_MS = 50;
/** The answer where the stop is in memory alone, as on a full disk. It is kept as soon as there is room. */
const NOT_KEPT =
  'Everything is stopped. Neither the disk nor the database could keep that yet: do not restart before they can, and press again for the receipt.';
/** How often it is looked whether the receipt of a stop that was pressed elsewhere is there. */
const LOOK_MS = 50;
/** Ended stops that are remembered: orders that arrive later than this many others are long gone. */
const ENDED_MAX = 100;

/** A stop as it is kept in the file. */
export interface StopNote {
  stopId: string;
  at: number;
  by: string;
  reason: string | null;
}

/** What is said of a stop that went to the other processes. */
export interface StopHearing {
  /** Ids of the proxies that the record knows to be there; said once, and not at all while the record says nothing. */
  onExpected: (proxyIds: readonly string[]) => void;
  /** A proxy refuses everything from now on. */
  onAnswer: (answer: StopAcknowledgement) => void;
}

/** What became of the record of a stop: it is the stop on record now, part of it, or the database took nothing. */
type Recorded = { is: 'new'; blockedTasks: number } | { is: 'known'; stopId: string } | { is: 'missing' };

/** Answers of proxies to the stop that is being pressed. */
interface Silence {
  stopId: string;
  expected: Set<string>;
  /** False while it is being looked up which proxies there are. */
  isWhole: boolean;
  answers: Map<string, StopAcknowledgement>;
  changed: () => void;
}

interface Dependencies {
  db: Db;
  clock: () => number;
  dataDir: string;
  agents: Agents;
  tasks: Tasks;
  holds: Holds;
  alerts: Alerts;
  gateways: Gateways;
  signingKey: SigningKey;
  published: () => void;
  /** Sends the system picture to every proxy at once. */
  push: () => void;
  /** Ids of the proxies that are known to be there. */
  liveProxies: () => readonly string[];
  /** Sends the stop to all other processes, past the lines; absent = there are none. */
  order?: (stop: StopNote, hearing: StopHearing) => void;
}

export function createEmergency({
  db,
  clock,
  dataDir,
  agents,
  tasks,
  holds,
  alerts,
  gateways,
  signingKey,
  published,
  push,
  liveProxies,
  order,
}: Dependencies) {
  const file = join(dataDir, 'stop.json');
  let stop: StopNote | null = readNote(file);
  let ended: readonly string[] = [];
  let silence: Silence | null = null;
  /** What the proxies said of a stop that was pressed and could not be kept: they say it once. */
  let heard: Pick<Silence, 'stopId' | 'answers'> | null = null;
  /** A receipt that the record has not taken yet. */
  let unkept: StopReceipt | null = null;

  /** Takes up the state of before the restart. A stop that reached the file but not the database is made good now. */
  async function load(): Promise<void> {
    await refresh();
    const note = stop;
    if (note === null) return;
    const actor: Actor = { type: 'human', id: null, name: note.by };
    await db.transaction().execute((tx) => recordStop(tx, actor, note));
    await refresh();
  }

  /** Brings what this process keeps in line with the record, which another process may have changed. */
  async function refresh(): Promise<void> {
    const row = await db.selectFrom('system_state').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
    const before = JSON.stringify(picture());
    ended = row.ended_stops;
    if (stop && ended.includes(stop.stopId)) {
      stop = null;
      rmSync(file, { force: true });
    }
    if (!stop && row.estop) {
      stop = {
        stopId: row.stop_id ?? randomUUID(),
        at: row.stopped_at ?? clock(),
        by: row.stopped_by ?? 'unknown',
        reason: row.stop_reason,
      };
      // Each process that could be asked after a restart has it in a file of its own.
      tryToWrite(file, stop);
    }
    if (JSON.stringify(picture()) !== before) push();
  }

  /** A stop that was pressed at another process holds here too, at once; whether it is in the record shows later. */
  function adopt(note: StopNote): void {
    if (stop || ended.includes(note.stopId)) return;
    stop = note;
    push();
    tryToWrite(file, note);
    makeGoodLater();
  }

  /** What the proxies must know at once; needs no database. */
  function picture(): Pick<SystemPicture, 'estop' | 'stopId' | 'endedStops'> {
    return { estop: stop !== null, stopId: stop?.stopId ?? null, endedStops: ended };
  }

  async function state(): Promise<SystemState> {
    const row = await db.selectFrom('system_state').selectAll().where('id', '=', 1).executeTakeFirstOrThrow();
    return {
      estop: stop !== null,
      stoppedAt: stop?.at ?? null,
      stoppedBy: stop?.by ?? null,
      stopReason: stop?.reason ?? null,
      squadPaused: row.squad_paused,
      squadPausedAt: row.squad_paused_at,
      squadPausedBy: row.squad_paused_by,
      receipt: row.receipt as StopReceipt | null,
    };
  }

  /** The receipt of the last stop, and what proves it. */
  async function proof(): Promise<StopProof> {
    const { receipt } = await state();
    return { receipt, keyId: signingKey.keyId, publicKeyPem: signingKey.publicKeyPem };
  }

  /**
   * Stops everything. Pressing again while stopped answers the first receipt.
   * Refuses nothing and never waits for the database before the proxies have been told.
   */
  async function pressStop(actor: Actor, reason: string | null): Promise<StopReceipt> {
    if (pressing) return pressing;
    pressing = stopEverything(actor, reason === null ? null : redactText(reason).text).finally(() => {
      pressing = null;
    });
    return pressing;
  }
  /** The press that is under way: who presses meanwhile gets its receipt. */
  let pressing: Promise<StopReceipt> | null = null;

  async function stopEverything(actor: Actor, reason: string | null): Promise<StopReceipt> {
    if (stop) {
      const existing = await within(RECORD_MS, receiptOf(stop.stopId)).catch(() => null);
      if (existing) return existing;
    }
    const note: StopNote = stop ?? { stopId: randomUUID(), at: clock(), by: actor.name, reason };
    let deadline = performance.now() + RECORD_MS;
    const inTime = <T>(work: Promise<T>) => within(Math.max(LEAST_MS, deadline - performance.now()), work);
    stop = note;
    const silent = collect(note.stopId);
    push();
    order?.(note, {
      onExpected: (proxyIds) => expectMore(note.stopId, proxyIds),
      onAnswer: (answer) => acknowledge(note.stopId, answer),
    });
    // One of the two is enough for the stop to outlive us; without the database it is made good when that is back.
    const isNoted = tryToWrite(file, note);
    const recording = inTime(db.transaction().execute((tx) => recordStop(tx, actor, note))).catch((): Recorded => {
      makeGoodLater();
      if (!isNoted) throw new Refusal(503, 'STOP_NOT_KEPT', NOT_KEPT);
      return { is: 'missing' };
    });
    const [{ expected, answers }, recorded, aborted] = await Promise.all([silent, recording, abortRuns(inTime)]);
    // The database answers: what is asked of it now has time again.
    if (recorded.is !== 'missing') deadline = performance.now() + RECORD_MS;
    const first = recorded.is === 'known' ? await inTime(firstReceipt(recorded.stopId, deadline)).catch(() => null) : null;
    if (first) return first;
    const held = recorded.is === 'known' ? (stop ?? note) : note;
    const after = (at: number | null) => (at === null ? null : Math.max(0, at - held.at));
    const isSilent = [...expected].every((id) => answers.has(id));
    const agentsSilent = await perAgent([...answers.values()], inTime);
    const receipt = signReceipt(
      {
        id: held.stopId,
        stoppedAt: held.at,
        stoppedBy: held.by,
        reason: held.reason,
        proxies: [...new Set([...expected, ...answers.keys()])].sort().map((id) => {
          const answer = answers.get(id);
          return {
            id,
            acknowledgedAt: answer?.at ?? null,
            lastAdmittedAt: answer?.lastAdmittedAt ?? null,
            silentAfterMs: after(answer?.at ?? null),
            cutStreams: answer?.cutStreams ?? 0,
            withdrawnCalls: answer?.agents.reduce((sum, agent) => sum + agent.withdrawnCalls, 0) ?? 0,
          };
        }),
        agents: agentsSilent.map((agent) => ({ ...agent, silentAfterMs: isSilent ? (after(agent.lastAdmittedAt) ?? 0) : null })),
        blockedTasks: recorded.is === 'new' ? recorded.blockedTasks : 0,
        gateways: aborted,
      },
      signingKey,
    );
    const kept = await inTime(keep(receipt)).catch(() => {
      // It is answered all the same, and taken into the record later.
      unkept = receipt;
      makeGoodLater();
      return receipt;
    });
    published();
    return kept;
  }

  /** The receipt of whoever was first, as soon as it is there; null = it was not until `deadline`. This process then holds that stop too. */
  async function firstReceipt(stopId: string, deadline: number): Promise<StopReceipt | null> {
    await refresh();
    while (performance.now() < deadline - LOOK_MS) {
      const receipt = await receiptOf(stopId);
      if (receipt) return receipt;
      await sleep(LOOK_MS);
    }
    return null;
  }

  async function receiptOf(stopId: string): Promise<StopReceipt | null> {
    const { receipt } = await db.selectFrom('system_state').select('receipt').where('id', '=', 1).executeTakeFirstOrThrow();
    return receipt?.id === stopId ? receipt : null;
  }

  /** Takes a receipt into the record. @returns the one that is there: where another process was quicker, that one's. */
  async function keep(receipt: StopReceipt): Promise<StopReceipt> {
    await db
      .updateTable('system_state')
      .set({ receipt: json(receipt) })
      .where('id', '=', 1)
      .where('stop_id', '=', receipt.id)
      .where('receipt', 'is', null)
      .execute();
    return (await receiptOf(receipt.id)) ?? receipt;
  }

  /** Tells the OpenClaw gateways to abort the runs of the last hour. Never rejects. */
  async function abortRuns(inTime: <T>(work: Promise<T>) => Promise<T>): Promise<StopReceipt['gateways']> {
    const sessions = await inTime(liveSessions()).catch(() => new Map<string, string[]>());
    return Promise.all(
      [...sessions].map(async ([gatewayId, keys]) => {
        const gateway = await inTime(gateways.find(gatewayId)).catch(() => null);
        const result = await gateways.abortRuns(gatewayId, keys);
        return { id: gatewayId, name: gateway?.name ?? gatewayId, abortedSessions: result.aborted, error: result.error };
      }),
    );
  }

  /** Records a stop and its receipt that the database did not take, as soon as it does. */
  function makeGoodLater(): void {
    if (makingGood) return;
    const timer = setInterval(() => {
      makeGood().then(
        () => {
          clearInterval(timer);
          makingGood = false;
          published();
        },
        () => {},
      );
    }, MAKE_GOOD_MS);
    timer.unref();
    makingGood = true;
  }
  let makingGood = false;

  async function makeGood(): Promise<void> {
    await load();
    if (unkept) await keep(unkept);
    unkept = null;
  }

  /** One that is recorded already, or over, changes nothing. */
  async function recordStop(tx: Tx, actor: Actor, note: StopNote): Promise<Recorded> {
    const row = await tx.selectFrom('system_state').selectAll().where('id', '=', 1).forUpdate().executeTakeFirstOrThrow();
    if (row.stop_id === note.stopId || row.ended_stops.includes(note.stopId)) return { is: 'known', stopId: row.stop_id ?? note.stopId };
    if (row.estop) {
      await tx
        .updateTable('system_state')
        .set({ ended_stops: json(endedWith(row.ended_stops, note.stopId)) })
        .where('id', '=', 1)
        .execute();
      await recordChanges(tx, [
        { at: note.at, actor, action: 'emergency.stopped_again', topic: 'system', id: note.stopId, details: { partOf: row.stop_id } },
      ]);
      return { is: 'known', stopId: row.stop_id ?? note.stopId };
    }
    const reason = `emergency stop by ${note.by}${note.reason ? `: ${note.reason}` : ''}`;
    await tx
      .updateTable('system_state')
      .set({ estop: true, stop_id: note.stopId, stopped_at: note.at, stopped_by: note.by, stop_reason: note.reason, receipt: null })
      .where('id', '=', 1)
      .execute();
    await recordChanges(tx, [
      {
        at: note.at,
        actor,
        action: 'emergency.stopped',
        topic: 'system',
        id: note.stopId,
        details: { reason: note.reason },
        activity: { type: 'emergency_stop', summary: `${note.by} pressed the emergency stop${note.reason ? `: ${note.reason}` : ''}` },
      },
    ]);
    await holds.withdrawHeld(tx, null, reason, clock());
    await agents.pauseAll(tx, actor, reason);
    const blockedTasks = await tasks.blockAll(tx, reason);
    await alerts.raise(tx, {
      type: 'emergency_stop',
      severity: 'critical',
      message: `Everything is stopped by ${note.by}. Resume needs an administrator.`,
    });
    return { is: 'new', blockedTasks };
  }

  /** Lifts the stop and the squad's pause. Agents stay paused: each is restarted by hand (SPEC 7). */
  async function resume(actor: Actor, note: string): Promise<SystemState> {
    const before = await state();
    if (!before.estop && !before.squadPaused) throw new Refusal(409, 'NOT_STOPPED', 'Nothing is stopped.');
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await tx.selectFrom('system_state').select(['stop_id', 'ended_stops']).where('id', '=', 1).executeTakeFirstOrThrow();
      const over = [row.stop_id, stop?.stopId].filter((id) => id !== null && id !== undefined);
      await tx
        .updateTable('system_state')
        .set({
          ended_stops: json(endedWith(row.ended_stops, ...over)),
          estop: false,
          stop_id: null,
          squad_paused: false,
          squad_paused_at: null,
          squad_paused_by: null,
        })
        .where('id', '=', 1)
        .execute();
      await alerts.clear(tx, 'emergency_stop', 'system', `resumed by ${actor.name}`);
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'emergency.resumed',
          topic: 'system',
          id: stop?.stopId ?? 'squad',
          details: { note },
          activity: { type: 'emergency_resume', summary: `${actor.name} resumed: ${note}. Agents stay paused.` },
        },
      ]);
    });
    await refresh();
    published();
    return state();
  }

  /** Pauses every agent. Restarting an agent ends its pause; with the last one the squad's pause is over. */
  async function pauseSquad(actor: Actor, said: string | null): Promise<SystemState> {
    const reason = said === null ? null : redactText(said).text;
    const now = clock();
    await db.transaction().execute(async (tx) => {
      await tx
        .updateTable('system_state')
        .set({ squad_paused: true, squad_paused_at: now, squad_paused_by: actor.name })
        .where('id', '=', 1)
        .execute();
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'squad.paused',
          topic: 'system',
          id: 'squad',
          details: { reason },
          activity: { type: 'squad_paused', summary: `${actor.name} paused all agents${reason ? `: ${reason}` : ''}` },
        },
      ]);
      await agents.pauseAll(tx, actor, reason ?? 'squad paused');
    });
    published();
    return state();
  }

  /** A proxy says that it refuses everything. What it said first counts. */
  function acknowledge(stopId: string, answer: StopAcknowledgement): void {
    if (silence?.stopId !== stopId || silence.answers.has(answer.proxyId)) return;
    silence.answers.set(answer.proxyId, answer);
    silence.changed();
  }

  /** These are there too, and no others: their answers are waited for. */
  function expectMore(stopId: string, proxyIds: readonly string[]): void {
    if (silence?.stopId !== stopId) return;
    for (const id of proxyIds) silence.expected.add(id);
    silence.isWhole = true;
    silence.changed();
  }

  /** Gathers the proxies' answers until all are there that are expected, or their time is over. */
  function collect(stopId: string): Promise<Silence> {
    return new Promise((resolve) => {
      const own: Silence = {
        stopId,
        expected: new Set(liveProxies()),
        isWhole: order === undefined,
        answers: heard?.stopId === stopId ? heard.answers : new Map(),
        changed: () => {},
      };
      heard = own;
      const finish = () => {
        clearTimeout(timer);
        silence = null;
        resolve(own);
      };
      const timer = setTimeout(finish, ACKNOWLEDGE_MS);
      own.changed = () => {
        if (own.isWhole && [...own.expected].every((id) => own.answers.has(id))) finish();
      };
      silence = own;
      own.changed();
    });
  }

  /** Every agent of the record, and those that a proxy has named while the record says nothing. */
  async function perAgent(
    answers: readonly StopAcknowledgement[],
    inTime: <T>(work: Promise<T>) => Promise<T>,
  ): Promise<Omit<StopReceipt['agents'][number], 'silentAfterMs'>[]> {
    const listed = await inTime(agents.list({ limit: 1000 })).then(
      (page) => page.items,
      () => [], // a receipt without names is better than none
    );
    const named = [...new Set(answers.flatMap((answer) => answer.agents.map(({ id }) => id)))];
    const known = [...listed, ...named.filter((id) => !listed.some((agent) => agent.id === id)).map((id) => ({ id, name: id }))];
    return Promise.all(
      known.map(async (agent) => {
        const said = answers.flatMap((answer) => answer.agents.filter((entry) => entry.id === agent.id));
        const times = said.flatMap((entry) => (entry.lastAdmittedAt === null ? [] : [entry.lastAdmittedAt]));
        return {
          id: agent.id,
          name: agent.name,
          lastAdmittedAt: times.length > 0 ? Math.max(...times) : await inTime(lastStarted(agent.id)).catch(() => null),
          withdrawnCalls: said.reduce((sum, entry) => sum + entry.withdrawnCalls, 0),
        };
      }),
    );
  }

  /** When an agent's last call began, for one that no proxy has admitted since it was started. */
  async function lastStarted(agentId: string): Promise<number | null> {
    const row = await db
      .selectFrom('tool_calls')
      .select('started_at')
      .where('agent_id', '=', agentId)
      .where('started_at', 'is not', null)
      .orderBy('created_at', 'desc')
      .limit(1)
      .executeTakeFirst()
      .catch(() => undefined);
    return row?.started_at ?? null;
  }

  /** Sessions with a run in the last hour, per gateway: what has to be aborted in OpenClaw. */
  async function liveSessions(): Promise<Map<string, string[]>> {
    const rows = await db
      .selectFrom('runs')
      .innerJoin('agents', 'agents.id', 'runs.agent_id')
      .select(['agents.gateway_id', 'runs.session_key'])
      .where('runs.status', '=', 'running')
      .where('runs.last_seen_at', '>', clock() - 60 * 60 * 1000)
      .distinct()
      .execute()
      .catch(() => []);
    const sessions = new Map<string, string[]>();
    for (const row of rows) {
      if (!row.gateway_id || !row.session_key) continue;
      sessions.set(row.gateway_id, [...(sessions.get(row.gateway_id) ?? []), row.session_key]);
    }
    return sessions;
  }

  return { load, refresh, adopt, picture, state, proof, stop: pressStop, resume, pauseSquad, acknowledge };
}

function endedWith(before: readonly string[], ...ids: readonly string[]): string[] {
  return [...new Set([...before, ...ids])].slice(-ENDED_MAX);
}

/** A database that hangs must not keep the answer to who pressed the stop. */
async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`the database did not answer within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function readNote(file: string): StopNote | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as StopNote;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    // A damaged stop file means that a stop was being written: stay stopped.
    return { stopId: randomUUID(), at: 0, by: 'unknown', reason: 'the stop file is damaged' };
  }
}

function tryToWrite(file: string, note: StopNote): boolean {
  try {
    const fd = openSync(file, 'w', 0o600);
    try {
      writeSync(fd, JSON.stringify(note));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    return true;
  } catch {
    return false;
  }
}
