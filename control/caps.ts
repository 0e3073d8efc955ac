/**
 * Caps as they bind at the moment: an agent's or task's own, else the policy's, plus what an operator has added for a time. And what
 * happens as spend comes near one: an alert at half, at four fifths and at the whole of it, once each; a task whose cap is used up
 * waits for a person (SPEC 5).
 */

import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { formatUsd, microsFromUsd, nextDayStart, type Policy, usdFromMicros } from '../policies/index.ts';
import type { Alerts, NewAlert } from './alerts.ts';
import type { Actor } from './audit.ts';
import { recordChanges, touch } from './changes.ts';
import type { CapRaise, CapRaiseCreate } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { AgentsTable, CapRaisesTable, TasksTable } from './db/schema.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound, Refusal } from './problem.ts';
import type { Tasks } from './tasks.ts';

export type Caps = ReturnType<typeof createCaps>;

interface Dependencies {
  db: Db;
  clock: () => number;
  tasks: Tasks;
  alerts: Alerts;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

/** Per cent of a cap at which people are told. */
const THRESHOLDS = [50, 80, 100] as const;
const SEVERITIES = { 50: 'low', 80: 'medium', 100: 'high' } as const;
const DAY_MS = 24 * 60 * 60 * 1000;
const TASK_RAISE_MS = 30 * DAY_MS;
const TASK_RAISE_MAX_MS = 365 * DAY_MS;

/** A cap that money was just spent under. */
interface CapState {
  scope: string;
  spent: number;
  cap: number;
  /** For a sentence: "the day of scout". */
  what: string;
  agentId: string | null;
  taskId: string | null;
}

export function createCaps({ db, clock, tasks, alerts, activePolicy, published }: Dependencies) {
  /**
   * Looks at the caps that spend has just grown under, in the transaction that settles it.
   * @param totals spend of those scopes now, micro-dollars.
   */
  async function contain(tx: Tx, totals: ReadonlyMap<string, number>): Promise<void> {
    if (totals.size === 0) return;
    for (const state of await statesOf(tx, totals)) {
      await alertOf(tx, state);
      if (state.taskId !== null && state.spent >= state.cap) await containTask(tx, state, state.taskId);
    }
  }

  async function alertOf(tx: Tx, { scope, spent, cap, what, agentId, taskId }: CapState): Promise<void> {
    const isRun = scope.startsWith('run:');
    // A run is short: only its end is worth a word.
    const passed = THRESHOLDS.filter((percent) => spent * 100 >= cap * percent && (!isRun || percent === 100));
    if (passed.length === 0) return;
    const fresh = await tx
      .insertInto('cap_thresholds')
      .values(passed.map((percent) => ({ scope, percent, at: clock() })))
      .onConflict((conflict) => conflict.columns(['scope', 'percent']).doNothing())
      .returning('percent')
      .execute();
    // One call may pass several: people hear of the highest.
    const percent = THRESHOLDS.findLast((each) => fresh.some((row) => row.percent === each));
    if (percent === undefined) return;
    const alert: NewAlert = {
      type: percent === 100 ? 'budget_exceeded' : 'budget_threshold',
      severity: SEVERITIES[percent],
      agentId,
      taskId,
      subject: `${scope}:${percent}`,
      message: `${percent} % of the cap of ${what} is spent: ${formatUsd(spent)} of ${formatUsd(cap)}.`,
    };
    await alerts.raise(tx, alert);
  }

  async function containTask(tx: Tx, { spent, cap }: CapState, taskId: string): Promise<void> {
    const reason = `its cap is used up: ${formatUsd(spent)} of ${formatUsd(cap)}`;
    switch (activePolicy().policy.document.budgets.onTaskCap) {
      case 'needs_approval':
        return tasks.hold(tx, taskId, reason);
      case 'blocked':
        await tasks.block(tx, taskId, reason);
    }
  }

  async function statesOf(tx: Tx, totals: ReadonlyMap<string, number>): Promise<CapState[]> {
    const scopes = [...totals.keys()];
    const named = scopes.map((scope) => ({ scope, ...partsOf(scope) }));
    const agentIds = [...new Set(named.flatMap(({ agentId }) => agentId ?? []))];
    const taskIds = named.flatMap(({ taskId }) => taskId ?? []);
    const agents = agentIds.length === 0 ? [] : await tx.selectFrom('agents').selectAll().where('id', 'in', agentIds).execute();
    const ofTasks = taskIds.length === 0 ? [] : await tx.selectFrom('tasks').selectAll().where('id', 'in', taskIds).execute();
    const raised = await raisedUnder(tx, scopes);
    const { policy } = activePolicy();
    return named.flatMap(({ scope, kind, agentId, taskId }) => {
      const agent = agents.find((row) => row.id === agentId) ?? null;
      const task = ofTasks.find((row) => row.id === taskId) ?? null;
      const { cap, what } = capOf(kind, agent, task, policy);
      const limit = (cap ?? 0) + (raised.get(scope) ?? 0);
      if (cap === null || limit === 0) return [];
      return [{ scope, spent: totals.get(scope) ?? 0, cap: limit, what, agentId: agent?.id ?? null, taskId: task?.id ?? null }];
    });
  }

  /**
   * How far the caps are spent: of each class the one that is furthest, 1 = all of it, 0 = nothing is capped; and the whole day's spend.
   * Days are today's, tasks those that are open, runs those that go on.
   */
  async function used(): Promise<{ shares: Record<Parts['kind'], number>; todayMicros: number }> {
    const day = activePolicy().today(clock());
    return db.transaction().execute(async (tx) => {
      const { rows } = await sql<{ scope: string; micros: number }>`
        select scope, micros from spend where scope = ${`fleet-day:${day}`}
          or scope in (select 'agent-day:' || id || ${`:${day}`} from agents where removed_at is null)
          or scope in (select 'task:' || id from tasks where removed_at is null and status not in ('done', 'canceled'))
          or scope in (select 'run:' || agent_id || '/' || run_id from runs where status = 'running')`.execute(tx);
      const totals = new Map(rows.map(({ scope, micros }) => [scope, Number(micros)]));
      const shares = { 'agent-day': 0, run: 0, task: 0, 'fleet-day': 0 };
      for (const { scope, spent, cap } of totals.size === 0 ? [] : await statesOf(tx, totals)) {
        const { kind } = partsOf(scope);
        shares[kind] = Math.max(shares[kind], spent / cap);
      }
      return { shares, todayMicros: totals.get(`fleet-day:${day}`) ?? 0 };
    });
  }

  /**
   * Adds to the cap of a task, or of an agent's day, for a time.
   * @throws Refusal 400 where neither or both are named, or the time is not in the future; 404 where there is no such one.
   */
  async function raise(actor: Actor, { agentId, taskId, amount, note, expiresAt }: CapRaiseCreate): Promise<CapRaise> {
    if ((agentId === undefined) === (taskId === undefined)) {
      throw new Refusal(400, 'BAD_REQUEST', 'Name either the agent whose day is raised ("agentId") or the task ("taskId").');
    }
    const now = clock();
    const { policy, today } = activePolicy();
    const midnight = nextDayStart(now, policy.document.budgets.timezone);
    const latest = agentId !== undefined ? midnight : now + TASK_RAISE_MAX_MS;
    const until = Math.min(expiresAt ?? (agentId !== undefined ? midnight : now + TASK_RAISE_MS), latest);
    if (until <= now) throw new Refusal(400, 'BAD_REQUEST', 'expiresAt must be in the future.');
    const scope = agentId !== undefined ? `agent-day:${agentId}:${today(now)}` : `task:${taskId}`;
    const row: CapRaisesTable = {
      id: randomUUID(),
      created_at: now,
      scope,
      agent_id: agentId ?? null,
      task_id: taskId ?? null,
      micros: microsFromUsd(amount),
      note,
      created_by: actor.name,
      expires_at: until,
      ended_at: null,
    };
    await db.transaction().execute(async (tx) => {
      const name = await nameOf(tx, row);
      await tx.insertInto('cap_raises').values(row).execute();
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'cap.raised',
          topic: agentId !== undefined ? 'agent' : 'task',
          id: agentId ?? taskId ?? '',
          details: { raiseId: row.id, scope, micros: row.micros, note, expiresAt: until },
          activity: {
            type: 'cap_raised',
            agentId: agentId ?? null,
            taskId: taskId ?? null,
            summary: `${actor.name} raised the cap of ${name} by ${formatUsd(row.micros)}: ${note}`,
          },
        },
      ]);
      await afterRaise(tx, scope, actor, `the cap was raised: ${note}`);
    });
    published();
    return view(row);
  }

  /** What had been told of the smaller cap may be told again of the larger one; a task that waited for it goes on. */
  async function afterRaise(tx: Tx, scope: string, actor: Actor, why: string): Promise<void> {
    const { micros = 0 } = (await tx.selectFrom('spend').select('micros').where('scope', '=', scope).executeTakeFirst()) ?? {};
    const [state] = await statesOf(tx, new Map([[scope, micros]]));
    if (!state) return;
    const undone = THRESHOLDS.filter((percent) => state.spent * 100 < state.cap * percent);
    if (undone.length === 0) return;
    await tx.deleteFrom('cap_thresholds').where('scope', '=', scope).where('percent', 'in', undone).execute();
    for (const percent of undone) {
      await alerts.clear(tx, percent === 100 ? 'budget_exceeded' : 'budget_threshold', `${scope}:${percent}`, why);
    }
    if (state.taskId !== null && state.spent < state.cap) await tasks.release(tx, state.taskId, actor, why);
  }

  /** Raised caps and the allowances of approvals, newest first. */
  async function list(filter: { agentId?: string | undefined; taskId?: string | undefined; limit: number; cursor?: string | undefined }) {
    const after = filter.cursor === undefined ? null : decodeCursor(filter.cursor, ['number', 'string']);
    let raises = db
      .selectFrom('cap_raises')
      .selectAll()
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(filter.limit + 1);
    let allowances = db
      .selectFrom('approvals')
      .select(['id', 'decided_at', 'agent_id', 'task_id', 'allowance', 'decision', 'approver', 'grant_expires_at'])
      .where('allowance', '>', 0)
      .where('decided_at', 'is not', null)
      .orderBy('decided_at', 'desc')
      .orderBy('id', 'desc')
      .limit(filter.limit + 1);
    for (const [column, value] of [
      ['agent_id', filter.agentId],
      ['task_id', filter.taskId],
    ] as const) {
      if (value === undefined) continue;
      raises = raises.where(column, '=', value);
      allowances = allowances.where(column, '=', value);
    }
    if (after !== null) {
      const [at, id] = after;
      raises = raises.where((eb) => eb.or([eb('created_at', '<', at), eb.and([eb('created_at', '=', at), eb('id', '<', id)])]));
      allowances = allowances.where((eb) => eb.or([eb('decided_at', '<', at), eb.and([eb('decided_at', '=', at), eb('id', '<', id)])]));
    }
    const granted = (await allowances.execute()).map(
      (row): CapRaise => ({
        id: row.id,
        kind: 'allowance',
        createdAt: row.decided_at ?? 0,
        agentId: row.agent_id,
        taskId: row.task_id,
        amount: usdFromMicros(row.allowance),
        note: row.decision ?? '',
        createdBy: row.approver ?? '',
        expiresAt: row.grant_expires_at ?? row.decided_at ?? 0,
        endedAt: null,
      }),
    );
    const items = [...(await raises.execute()).map(view), ...granted].sort(
      (one, other) => other.createdAt - one.createdAt || (other.id > one.id ? 1 : -1),
    );
    const page = items.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page, nextCursor: items.length > filter.limit && last ? encodeCursor([last.createdAt, last.id]) : null };
  }

  /** Takes a raise back. What was spent under it stays spent. */
  async function end(actor: Actor, id: string): Promise<CapRaise> {
    const now = clock();
    const row = await db.transaction().execute(async (tx) => {
      const found = await tx
        .updateTable('cap_raises')
        .set({ ended_at: now })
        .where('id', '=', id)
        .where('ended_at', 'is', null)
        .returningAll()
        .executeTakeFirst();
      if (!found) throw notFound('raise that still holds', id);
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'cap.raise_ended',
          topic: found.agent_id !== null ? 'agent' : 'task',
          id: found.agent_id ?? found.task_id ?? '',
          details: { raiseId: id },
        },
      ]);
      return found;
    });
    published();
    return view(row);
  }

  /** Ends the raises whose time is over. Idempotent. */
  async function sweep(): Promise<void> {
    const now = clock();
    const ended = await db.transaction().execute(async (tx) => {
      const rows = await tx
        .updateTable('cap_raises')
        .set((eb) => ({ ended_at: eb.ref('expires_at') }))
        .where('expires_at', '<=', now)
        .where('ended_at', 'is', null)
        .returning(['agent_id', 'task_id'])
        .execute();
      await touch(
        tx,
        rows.map((row) => ({ topic: row.agent_id !== null ? 'agent' : 'task', entity_id: row.agent_id ?? row.task_id ?? '', at: now })),
      );
      return rows.length;
    });
    if (ended > 0) published();
  }

  return { contain, used, raise, list, end, sweep };
}

/** What has been added to caps and still holds, by scope key, micro-dollars. */
export async function raisedUnder(db: Db | Tx, scopes: readonly string[]): Promise<ReadonlyMap<string, number>> {
  if (scopes.length === 0) return new Map();
  const rows = await db
    .selectFrom('cap_raises')
    .select(['scope', 'micros'])
    .where('scope', 'in', scopes)
    .where('ended_at', 'is', null)
    .execute();
  const sums = new Map<string, number>();
  for (const row of rows) sums.set(row.scope, (sums.get(row.scope) ?? 0) + row.micros);
  return sums;
}

type Parts =
  | { kind: 'agent-day' | 'run'; agentId: string; taskId: null }
  | { kind: 'task'; agentId: null; taskId: string }
  | { kind: 'fleet-day'; agentId: null; taskId: null };

/** The keys that proxies count under (`scopesOf` in proxy/facts.ts). */
function partsOf(scope: string): Parts {
  const [, day] = /^agent-day:(.+):\d{4}-\d{2}-\d{2}$/.exec(scope) ?? [];
  if (day !== undefined) return { kind: 'agent-day', agentId: day, taskId: null };
  if (scope.startsWith('task:')) return { kind: 'task', agentId: null, taskId: scope.slice('task:'.length) };
  const [, runner] = /^run:([^/]+)\//.exec(scope) ?? [];
  return runner === undefined ? { kind: 'fleet-day', agentId: null, taskId: null } : { kind: 'run', agentId: runner, taskId: null };
}

type Owner<T, K extends keyof T> = Pick<T, K> | null;

/** The cap before anything was added to it; null = none, or nobody whose it is. */
function capOf(
  kind: Parts['kind'],
  agent: Owner<AgentsTable, 'name' | 'autonomy' | 'daily_cap' | 'per_run_cap'>,
  task: Owner<TasksTable, 'title' | 'type' | 'budget'>,
  policy: Policy,
): { cap: number | null; what: string } {
  const usual = policy.capsFor(agent?.autonomy ?? 'lead', task?.type ?? null);
  switch (kind) {
    case 'agent-day':
      return { cap: agent && (agent.daily_cap ?? usual.agentDay), what: `the day of ${agent?.name}` };
    case 'run':
      return { cap: agent && (agent.per_run_cap ?? usual.run), what: `a run of ${agent?.name}` };
    case 'task':
      return { cap: task && (task.budget ?? usual.task), what: `the task "${task?.title}"` };
    case 'fleet-day':
      return { cap: usual.fleetDay, what: "the fleet's day" };
  }
}

async function nameOf(tx: Tx, row: CapRaisesTable): Promise<string> {
  if (row.agent_id !== null) {
    const agent = await tx
      .selectFrom('agents')
      .select('name')
      .where('id', '=', row.agent_id)
      .where('removed_at', 'is', null)
      .executeTakeFirst();
    if (!agent) throw notFound('agent', row.agent_id);
    return `the day of ${agent.name}`;
  }
  const task = await tx
    .selectFrom('tasks')
    .select('title')
    .where('id', '=', row.task_id ?? '')
    .where('removed_at', 'is', null)
    .executeTakeFirst();
  if (!task) throw notFound('task', row.task_id ?? '');
  return `"${task.title}"`;
}

function view(row: CapRaisesTable): CapRaise {
  return {
    id: row.id,
    kind: 'raise',
    createdAt: row.created_at,
    agentId: row.agent_id,
    taskId: row.task_id,
    amount: usdFromMicros(row.micros),
    note: row.note,
    createdBy: row.created_by,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
  };
}
