/**
 * The emergency stop. It travels first and is recorded second: the proxies are told, the stop is written to a file that
 * survives a crash and needs no database, and only then come the rows, the withdrawn holds and the blocked tasks. The receipt
 * says for every proxy and agent when it went silent.
 *
 * Of several control processes each keeps the stop itself, in memory and in its file. What lifts it is the record alone: a stop whose id
 * is among those that have ended. A second stop that was pressed elsewhere at the same moment becomes part of the first.
 */
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Agents } from './agents.ts';
import type { Alerts } from './alerts.ts';
import type { Approvals } from './approvals.ts';
import type { Actor } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { StopAcknowledgement, StopReceipt, SystemPicture, SystemState } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { Gateways } from './gateways.ts';
import { Refusal } from './problem.ts';
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
/** Ended stops that are remembered: orders that arrive later than this many others are long gone. */
const ENDED_MAX = 100;

/** A stop as it is kept in the file. */
export interface StopNote {
  stopId: string;
  at: number;
  by: string;
  reason: string | null;
}

interface Dependencies {
  db: Db;
  clock: () => number;
  dataDir: string;
  agents: Agents;
  tasks: Tasks;
  approvals: Approvals;
  alerts: Alerts;
  gateways: Gateways;
  published: () => void;
  /** Sends the system picture to every proxy at once. */
  push: () => void;
  /** Ids of the proxies that are there now. */
  liveProxies: () => readonly string[];
  /** Sends the stop to all other processes, past the lines; absent = there are none. */
  order?: (stop: StopNote, onAnswer: (answer: StopAcknowledgement) => void) => Promise<void>;
}

export function createEmergency({
  db,
  clock,
  dataDir,
  agents,
  tasks,
  approvals,
  alerts,
  gateways,
  published,
  push,
  liveProxies,
  order,
}: Dependencies) {
  const file = join(dataDir, 'stop.json');
  let stop: StopNote | null = readNote(file);
  let ended: readonly string[] = [];
  let acknowledgements: { stopId: string; list: StopAcknowledgement[]; changed: () => void } | null = null;

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

  /**
   * Stops everything. Pressing again while stopped answers the first receipt.
   * Refuses nothing and never waits for the database before the proxies have been told.
   */
  async function pressStop(actor: Actor, reason: string | null): Promise<StopReceipt> {
    if (pressing) return pressing;
    pressing = stopEverything(actor, reason).finally(() => {
      pressing = null;
    });
    return pressing;
  }
  /** The press that is under way: who presses meanwhile gets its receipt. */
  let pressing: Promise<StopReceipt> | null = null;

  async function stopEverything(actor: Actor, reason: string | null): Promise<StopReceipt> {
    if (stop) {
      const existing = (await within(RECORD_MS, state()).catch(() => null))?.receipt;
      if (existing) return existing;
    }
    const note: StopNote = stop ?? { stopId: randomUUID(), at: clock(), by: actor.name, reason };
    const expected = liveProxies();
    const deadline = performance.now() + RECORD_MS;
    const inTime = <T>(work: Promise<T>) => within(Math.max(LEAST_MS, deadline - performance.now()), work);
    stop = note;
    const collected = collect(note.stopId, expected);
    push();
    order?.(note, (answer) => acknowledge(note.stopId, answer));
    // One of the two is enough for the stop to outlive us; without the database it is made good when that is back.
    const isNoted = tryToWrite(file, note);
    const recorded = inTime(db.transaction().execute((tx) => recordStop(tx, actor, note))).catch((error) => {
      if (!isNoted) throw new Error('everything is stopped, but neither file nor database could keep it: do not restart', { cause: error });
      makeGoodLater();
      return 0;
    });
    recorded.catch(() => {}); // awaited below; must not be an unhandled rejection meanwhile
    const [answers, sessions] = [await collected, await inTime(liveSessions()).catch(() => new Map<string, string[]>())];
    const aborted = await Promise.all(
      [...sessions].map(async ([gatewayId, keys]) => {
        const gateway = await inTime(gateways.find(gatewayId)).catch(() => null);
        const result = await gateways.abortRuns(gatewayId, keys);
        return { id: gatewayId, name: gateway?.name ?? gatewayId, abortedSessions: result.aborted, error: result.error };
      }),
    );
    const blockedTasks = await recorded;
    const receipt: StopReceipt = {
      id: note.stopId,
      stoppedAt: note.at,
      stoppedBy: note.by,
      reason: note.reason,
      proxies: expected.map((id) => {
        const answer = answers.find((candidate) => candidate.proxyId === id);
        return {
          id,
          acknowledgedAt: answer?.at ?? null,
          lastAdmittedAt: answer?.lastAdmittedAt ?? null,
          withdrawnCalls: answer?.agents.reduce((sum, agent) => sum + agent.withdrawnCalls, 0) ?? 0,
        };
      }),
      agents: await inTime(perAgent(answers)).catch(() => []),
      blockedTasks,
      gateways: aborted,
    };
    await inTime(
      db
        .updateTable('system_state')
        .set({ receipt: json(receipt) })
        .where('id', '=', 1)
        .where('stop_id', '=', note.stopId)
        .execute(),
    ).catch(() => {}); // the receipt is answered all the same
    published();
    return receipt;
  }

  /** Records a stop that the database did not take, as soon as it does. */
  function makeGoodLater(): void {
    const timer = setInterval(() => {
      load().then(
        () => {
          clearInterval(timer);
          published();
        },
        () => {},
      );
    }, MAKE_GOOD_MS);
    timer.unref();
  }

  /** @returns how many tasks were blocked. One that is recorded already, or over, changes nothing. */
  async function recordStop(tx: Tx, actor: Actor, note: StopNote): Promise<number> {
    const row = await tx.selectFrom('system_state').selectAll().where('id', '=', 1).forUpdate().executeTakeFirstOrThrow();
    if (row.stop_id === note.stopId || row.ended_stops.includes(note.stopId)) return 0;
    if (row.estop) {
      await tx
        .updateTable('system_state')
        .set({ ended_stops: json(endedWith(row.ended_stops, note.stopId)) })
        .where('id', '=', 1)
        .execute();
      await recordChanges(tx, [
        { at: note.at, actor, action: 'emergency.stopped_again', topic: 'system', id: note.stopId, details: { partOf: row.stop_id } },
      ]);
      return 0;
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
    await approvals.withdrawHeld(tx, null, reason, clock());
    await agents.pauseAll(tx, actor, reason);
    const blocked = await tasks.blockAll(tx, reason);
    await alerts.raise(tx, {
      type: 'emergency_stop',
      severity: 'critical',
      message: `Everything is stopped by ${note.by}. Resume needs an administrator.`,
    });
    return blocked;
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
  async function pauseSquad(actor: Actor, reason: string | null): Promise<SystemState> {
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

  /** A proxy says that it refuses everything. */
  function acknowledge(stopId: string, answer: StopAcknowledgement): void {
    if (acknowledgements?.stopId !== stopId) return;
    acknowledgements.list.push(answer);
    acknowledgements.changed();
  }

  function collect(stopId: string, expected: readonly string[]): Promise<StopAcknowledgement[]> {
    return new Promise((resolve) => {
      const list: StopAcknowledgement[] = [];
      const finish = () => {
        clearTimeout(timer);
        acknowledgements = null;
        resolve(list);
      };
      const timer = setTimeout(finish, ACKNOWLEDGE_MS);
      const changed = () => {
        if (expected.every((id) => list.some((answer) => answer.proxyId === id))) finish();
      };
      acknowledgements = { stopId, list, changed };
      changed();
    });
  }

  async function perAgent(answers: readonly StopAcknowledgement[]): Promise<StopReceipt['agents']> {
    const known = await agents.list({ limit: 1000 }).then(
      (page) => page.items,
      () => [], // a receipt without names is better than none
    );
    return Promise.all(
      known.map(async (agent) => {
        const said = answers.flatMap((answer) => answer.agents.filter((entry) => entry.id === agent.id));
        const times = said.flatMap((entry) => (entry.lastAdmittedAt === null ? [] : [entry.lastAdmittedAt]));
        return {
          id: agent.id,
          name: agent.name,
          lastAdmittedAt: times.length > 0 ? Math.max(...times) : await lastStarted(agent.id),
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

  return { load, refresh, adopt, picture, state, stop: pressStop, resume, pauseSquad, acknowledge };
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
