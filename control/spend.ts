/**
 * The record of money: one row for each call that cost something, and the sums of each cap's scope. The counters that calls are held
 * to (in a proxy, or shared in Redis) are made from this record and compared with it; where the two differ, the record is right.
 */
import { sql } from 'kysely';
import { dayOf, nextDayStart, usdFromMicros } from '../policies/index.ts';
import { raisedUnder } from './caps.ts';
import type { CallFacts, Forecast, SpendDimension, SpendRow, SpendView } from './contract.ts';
import type { SpendRecord } from './counters.ts';
import { type Db, json, type Tx } from './db/database.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import type { ActivePolicy } from './policies.ts';

export type Spend = ReturnType<typeof createSpend>;

/** A call that ended, as far as money is concerned. */
export interface EndedCall {
  id: string;
  agent_id: string;
  task_id: string | null;
  run_id: string | null;
  entry: CallFacts['entry'];
  tool: string;
  /** Of a model call. */
  provider: string | null;
  model: string | null;
  proxy_id: string | null;
  cost: number | null;
  started_at: number | null;
  ended_at: number | null;
  /** The caps that it was reserved under, where its proxy said so. */
  scopes: string[] | null;
}

/** A proxy that was not heard for this long has no money out: the longest reservation is over, and its journal is all there can be. */
const FORGET_PROXY_MS = 24 * 60 * 60 * 1000;

export function createSpend({ db, clock, activePolicy }: { db: Db; clock: () => number; activePolicy: () => ActivePolicy }) {
  /**
   * Records what ended calls cost, in the transaction that ends them.
   * @returns the spend of every scope that grew by it, micro-dollars.
   */
  async function settle(tx: Tx, rows: readonly EndedCall[]): Promise<ReadonlyMap<string, number>> {
    const costly = rows.flatMap((row) => (row.cost ? [{ ...row, cost: row.cost, scopes: row.scopes ?? scopesOf(row) }] : []));
    if (costly.length === 0) return new Map();
    const entries = costly.map((row) => ({
      call_id: row.id,
      at: row.ended_at ?? clock(),
      day: activePolicy().today(row.started_at ?? row.ended_at ?? clock()),
      agent_id: row.agent_id,
      task_id: row.task_id,
      run_id: row.run_id,
      entry: row.entry,
      tool: row.tool,
      provider: row.provider,
      model: row.model,
      cost: row.cost,
      proxy_id: row.proxy_id ?? '',
      scopes: row.scopes,
    }));
    await sql`
      insert into ledger_entries select * from jsonb_populate_recordset(null::ledger_entries, ${json(entries)}) on conflict (call_id) do nothing
    `.execute(tx);
    const byProxy = sumsOf(costly, (row) => row.scopes.map((scope) => JSON.stringify([scope, row.proxy_id ?? ''])));
    const accounts = [...byProxy].map(([key, micros]) => {
      const [scope, proxy_id] = JSON.parse(key) as [string, string];
      return { scope, proxy_id, micros };
    });
    await sql`
      insert into spend_by_proxy select * from jsonb_to_recordset(${json(accounts)}) as given(scope text, proxy_id text, micros bigint)
      on conflict (scope, proxy_id) do update set micros = spend_by_proxy.micros + excluded.micros
    `.execute(tx);
    const sums = [...sumsOf(costly, (row) => row.scopes)].map(([scope, micros]) => ({ scope, micros }));
    const totals = await sql<{ scope: string; micros: number }>`
      insert into spend select * from jsonb_to_recordset(${json(sums)}) as given(scope text, micros bigint)
      on conflict (scope) do update set micros = spend.micros + excluded.micros returning scope, micros
    `.execute(tx);
    await addTo(
      tx,
      'agents',
      'total_spend',
      sumsOf(costly, (row) => [row.agent_id]),
    );
    await addTo(
      tx,
      'tasks',
      'spend',
      sumsOf(costly, (row) => (row.task_id === null ? [] : [row.task_id])),
    );
    for (const row of costly) {
      if (row.run_id === null) continue;
      await tx
        .updateTable('runs')
        .set((eb) => ({ cost: eb('cost', '+', row.cost) }))
        .where('agent_id', '=', row.agent_id)
        .where('run_id', '=', row.run_id)
        .execute();
    }
    return new Map(totals.rows.map((row) => [row.scope, row.micros]));
  }

  /** The caps that a call counts under; its day is the one on which it began, which is the one it was reserved under. */
  function scopesOf(row: {
    agent_id: string;
    task_id: string | null;
    run_id: string | null;
    started_at: number | null;
    ended_at: number | null;
  }) {
    const day = activePolicy().today(row.started_at ?? row.ended_at ?? clock());
    return [
      `agent-day:${row.agent_id}:${day}`,
      `fleet-day:${day}`,
      ...(row.task_id === null ? [] : [`task:${row.task_id}`]),
      ...(row.run_id === null ? [] : [`run:${row.agent_id}/${row.run_id}`]),
    ];
  }

  const record: SpendRecord = {
    byProxy: async (scopes, except) => {
      if (scopes.length === 0) return new Map();
      const accounts = new Map(scopes.map((scope) => [scope, new Map<string, number>()]));
      const add = (scope: string, proxyId: string, micros: number) => {
        const account = accounts.get(scope);
        if (account) account.set(proxyId, (account.get(proxyId) ?? 0) + micros);
      };
      // One picture of both tables: a call that ends in between would count in neither, or in both.
      await db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute(async (tx) => {
          const settled = await tx.selectFrom('spend_by_proxy').selectAll().where('scope', 'in', scopes).execute();
          for (const row of settled) add(row.scope, row.proxy_id, row.micros);
          if (except.length > 0) {
            const left = await tx
              .selectFrom('ledger_entries')
              .select(['proxy_id', 'cost', 'scopes'])
              .where('call_id', 'in', except)
              .execute();
            for (const row of left) for (const scope of row.scopes) add(scope, row.proxy_id, -row.cost);
          }
          const excluded = new Set(except);
          const running = await tx
            .selectFrom('tool_calls')
            .select(['id', 'agent_id', 'task_id', 'run_id', 'proxy_id', 'estimated_cost', 'started_at', 'ended_at'])
            .where('status', '=', 'running')
            .where('estimated_cost', '>', 0)
            .execute();
          for (const row of running) {
            if (!excluded.has(row.id)) for (const scope of scopesOf(row)) add(scope, row.proxy_id ?? '', row.estimated_cost);
          }
        });
      return accounts;
    },
    bounds: async () => {
      const rows = await db
        .selectFrom('ledger_proxies')
        .leftJoin('journal_cursors', 'journal_cursors.proxy_id', 'ledger_proxies.proxy_id')
        .select(['ledger_proxies.proxy_id', 'bound', 'seen_at', 'journal_cursors.updated_at'])
        .where('bound', '>', 0)
        .execute();
      const since = clock() - FORGET_PROXY_MS;
      return new Map(
        rows.flatMap((row) => (Math.max(row.seen_at, row.updated_at ?? 0) > since ? [[row.proxy_id, row.bound] as const] : [])),
      );
    },
  };

  /** Keeps the most that a proxy may hold or have used unreported; it waits for this before it takes so much. */
  async function setBound(proxyId: string, micros: number): Promise<void> {
    await db
      .insertInto('ledger_proxies')
      .values({ proxy_id: proxyId, bound: micros, seen_at: clock() })
      .onConflict((conflict) => conflict.column('proxy_id').doUpdateSet({ bound: micros, seen_at: clock() }))
      .execute();
  }

  /* ------------------------------------------------------------ what people ask */

  /** Cost and calls by up to three dimensions; days newest first, everything else dearest first. */
  async function rollup({ groupBy, limit, cursor, ...filter }: SpendQuery): Promise<SpendView> {
    const until = filter.until ?? clock() + 1;
    const since = filter.since ?? until - DEFAULT_WINDOW_MS;
    const window = { ...filter, since, until };
    const offset = cursor === undefined ? 0 : decodeCursor(cursor, ['number'])[0];
    const columns = groupBy.flatMap((dimension) => COLUMNS[dimension]);
    const rows = await matching(db, window)
      .select(columns)
      .select(SUMS)
      // In the same statement, so that the rows and their total are of one moment.
      .select(TOTALS)
      .groupBy(columns)
      .$if(groupBy[0] === 'day', (query) => query.orderBy('day', 'desc'))
      .orderBy('cost', 'desc')
      .orderBy(columns.map((column) => sql.ref(column)))
      .limit(limit + 1)
      .offset(offset)
      .execute();
    const page = rows.slice(0, limit);
    const names = await namesOf(page);
    // A page behind the last one has no row that says it.
    const total = rows[0] ?? (offset > 0 ? await matching(db, window).select(WHOLE).executeTakeFirst() : undefined);
    const [cost, unattributed] = [Number(total?.total_cost ?? 0), Number(total?.loose_cost ?? 0)];
    return {
      since,
      until,
      items: page.map((row) => viewOf(row, groupBy, names)),
      nextCursor: rows.length > limit ? encodeCursor([offset + limit]) : null,
      total: { cost: usdFromMicros(cost), calls: Number(total?.total_calls ?? 0) },
      unattributed: { cost: usdFromMicros(unattributed), share: cost === 0 ? 0 : unattributed / cost },
    };
  }

  async function namesOf(rows: readonly GroupRow[]): Promise<Names> {
    const agentIds = [...new Set(rows.flatMap((row) => row.agent_id ?? []))];
    const taskIds = [...new Set(rows.flatMap((row) => row.task_id ?? []))];
    const agents = agentIds.length === 0 ? [] : await db.selectFrom('agents').select(['id', 'name']).where('id', 'in', agentIds).execute();
    const tasks = taskIds.length === 0 ? [] : await db.selectFrom('tasks').select(['id', 'title']).where('id', 'in', taskIds).execute();
    return { agents: new Map(agents.map((row) => [row.id, row.name])), tasks: new Map(tasks.map((row) => [row.id, row.title])) };
  }

  /** Where the day and the month are heading. */
  async function forecast(): Promise<Forecast> {
    const at = clock();
    const { policy, today } = activePolicy();
    const zone = policy.document.budgets.timezone;
    const day = today(at);
    const dayEndsAt = nextDayStart(at, zone);
    const spentToday = await db.selectFrom('spend').selectAll().where('scope', 'like', `agent-day:%:${day}`).execute();
    const lastHour = await db
      .selectFrom('ledger_entries')
      .select(['agent_id', (eb) => eb.fn.sum<number>('cost').as('cost')])
      .where('at', '>', at - HOUR_MS)
      .where('at', '<=', at)
      .groupBy('agent_id')
      .execute();
    const rates = new Map(lastHour.map((row) => [row.agent_id, Number(row.cost)]));
    const spent = new Map(spentToday.map((row) => [row.scope.slice('agent-day:'.length, -day.length - 1), row.micros]));
    const agents =
      spent.size === 0
        ? []
        : await db
            .selectFrom('agents')
            .select(['id', 'name', 'autonomy', 'daily_cap'])
            .where('id', 'in', [...spent.keys()])
            .execute();
    const raised = await raisedUnder(
      db,
      agents.map((row) => `agent-day:${row.id}:${day}`),
    );
    const fleetSpent = [...spent.values()].reduce((sum, micros) => sum + micros, 0);
    const fleetRate = [...rates.values()].reduce((sum, micros) => sum + micros, 0);
    return {
      at,
      dayEndsAt,
      fleet: burnDown(at, dayEndsAt, fleetSpent, policy.capsFor('lead', null).fleetDay, fleetRate),
      agents: agents
        .map((row) => {
          const own = row.daily_cap ?? policy.capsFor(row.autonomy, null).agentDay;
          const cap = own === null ? null : own + (raised.get(`agent-day:${row.id}:${day}`) ?? 0);
          return { agentId: row.id, name: row.name, ...burnDown(at, dayEndsAt, spent.get(row.id) ?? 0, cap, rates.get(row.id) ?? 0) };
        })
        .sort((one, other) => other.spent - one.spent || one.name.localeCompare(other.name)),
      month: await monthOf(at, day, zone),
    };
  }

  async function monthOf(at: number, day: string, zone: string): Promise<Forecast['month']> {
    const name = day.slice(0, 7);
    const sum = (query: ReturnType<typeof matching>) => query.select(SUMS).executeTakeFirstOrThrow();
    const month = await sum(db.selectFrom('ledger_entries').where('day', 'like', `${name}-%`));
    const week = await sum(
      db
        .selectFrom('ledger_entries')
        .where('at', '>', at - 7 * DAY_MS)
        .where('at', '<=', at),
    );
    let endsAt = nextDayStart(at, zone);
    while (dayOf(endsAt, zone).startsWith(name)) endsAt = nextDayStart(endsAt, zone);
    const spent = Number(month.cost ?? 0);
    const perDay = Number(week.cost ?? 0) / 7;
    const projected = Math.round(spent + (perDay * (endsAt - at)) / DAY_MS);
    const [spentUsd, perDayUsd, projectedUsd] = [spent, Math.round(perDay), projected].map(usdFromMicros) as [number, number, number];
    return { name, spent: spentUsd, perDay: perDayUsd, projected: projectedUsd, endsAt };
  }

  /** Every entry of a window, oldest first, as lines of CSV or JSON; read in pages, so that its length does not matter. */
  async function* exported(format: 'csv' | 'ndjson', filter: SpendFilter): AsyncGenerator<string> {
    const until = filter.until ?? clock() + 1;
    const window = { ...filter, since: filter.since ?? until - DEFAULT_WINDOW_MS, until };
    if (format === 'csv') yield `${EXPORT_COLUMNS.join(',')}\n`;
    let [lastAt, lastId] = [-1, ''];
    for (;;) {
      const [at, id] = [lastAt, lastId];
      const rows = await matching(db, window)
        .leftJoin('agents', 'agents.id', 'ledger_entries.agent_id')
        .selectAll('ledger_entries')
        .select('agents.name as agent_name')
        .where(sql<boolean>`(at, call_id) > (${at}::bigint, ${id})`)
        .orderBy('at')
        .orderBy('call_id')
        .limit(EXPORT_PAGE)
        .execute();
      if (rows.length === 0) return;
      yield rows
        .map((row) => {
          const line: Record<(typeof EXPORT_COLUMNS)[number], string | number | null> = {
            at: new Date(row.at).toISOString(),
            day: row.day,
            callId: row.call_id,
            agentId: row.agent_id,
            agentName: row.agent_name,
            taskId: row.task_id,
            runId: row.run_id,
            entry: row.entry,
            tool: row.tool,
            provider: row.provider,
            model: row.model,
            costUsd: usdFromMicros(row.cost),
          };
          return format === 'csv' ? EXPORT_COLUMNS.map((column) => csvCell(line[column])).join(',') : JSON.stringify(line);
        })
        .join('\n')
        .concat('\n');
      const last = rows.at(-1);
      [lastAt, lastId] = [last?.at ?? at, last?.call_id ?? id];
    }
  }

  return { settle, record, setBound, rollup, forecast, exported };
}

export interface SpendFilter {
  /** Epoch milliseconds, by the end of the call; 30 days back to now unless given. */
  since?: number | undefined;
  until?: number | undefined;
  agentId?: string | undefined;
  taskId?: string | undefined;
  runId?: string | undefined;
  tool?: string | undefined;
  model?: string | undefined;
  provider?: string | undefined;
}
export interface SpendQuery extends SpendFilter {
  groupBy: readonly SpendDimension[];
  limit: number;
  cursor?: string | undefined;
}

const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;
const DEFAULT_WINDOW_MS = 30 * DAY_MS;
const EXPORT_PAGE = 1_000;
const EXPORT_COLUMNS = [
  'at',
  'day',
  'callId',
  'agentId',
  'agentName',
  'taskId',
  'runId',
  'entry',
  'tool',
  'provider',
  'model',
  'costUsd',
] as const;

type GroupColumn = 'day' | 'agent_id' | 'task_id' | 'run_id' | 'tool' | 'model' | 'provider';
type GroupRow = Partial<Record<GroupColumn, string | null>> & { cost: number | string | null; calls: number | string };
interface Names {
  agents: ReadonlyMap<string, string>;
  tasks: ReadonlyMap<string, string>;
}
/** A run is one only together with its agent. */
const COLUMNS: Record<SpendDimension, readonly GroupColumn[]> = {
  day: ['day'],
  agent: ['agent_id'],
  task: ['task_id'],
  run: ['agent_id', 'run_id'],
  tool: ['tool'],
  model: ['model'],
  provider: ['provider'],
};
const SUMS = [sql<number>`sum(cost)`.as('cost'), sql<number>`count(*)`.as('calls')] as const;
/** Of everything that matches, beside each group of it. */
const TOTALS = [
  sql<number>`sum(sum(cost)) over ()`.as('total_cost'),
  sql<number>`sum(count(*)) over ()`.as('total_calls'),
  sql<number | null>`sum(sum(cost) filter (where task_id is null)) over ()`.as('loose_cost'),
] as const;
const WHOLE = [
  sql<number | null>`sum(cost)`.as('total_cost'),
  sql<number>`count(*)`.as('total_calls'),
  sql<number | null>`sum(cost) filter (where task_id is null)`.as('loose_cost'),
] as const;

function matching(db: Db, filter: SpendFilter) {
  const { since = 0, until = Number.MAX_SAFE_INTEGER } = filter;
  let query = db.selectFrom('ledger_entries').where('at', '>=', since).where('at', '<', until);
  for (const [column, value] of [
    ['ledger_entries.agent_id', filter.agentId],
    ['task_id', filter.taskId],
    ['run_id', filter.runId],
    ['tool', filter.tool],
    ['model', filter.model],
    ['provider', filter.provider],
  ] as const) {
    if (value !== undefined) query = query.where(column, '=', value);
  }
  return query;
}

function viewOf(row: GroupRow, groupBy: readonly SpendDimension[], names: Names): SpendRow {
  const view: SpendRow = { cost: usdFromMicros(Number(row.cost)), calls: Number(row.calls) };
  for (const dimension of groupBy) {
    switch (dimension) {
      case 'agent':
      case 'run':
        view.agentId = row.agent_id ?? '';
        view.agentName = names.agents.get(row.agent_id ?? '') ?? null;
        if (dimension === 'run') view.runId = row.run_id ?? null;
        break;
      case 'task':
        view.taskId = row.task_id ?? null;
        view.taskTitle = names.tasks.get(row.task_id ?? '') ?? null;
        break;
      case 'day':
        view.day = row.day ?? '';
        break;
      case 'tool':
        view.tool = row.tool ?? '';
        break;
      case 'model':
        view.model = row.model ?? null;
        break;
      case 'provider':
        view.provider = row.provider ?? null;
    }
  }
  return view;
}

function burnDown(at: number, endsAt: number, spent: number, cap: number | null, perHour: number) {
  const projected = Math.round(spent + (perHour * (endsAt - at)) / HOUR_MS);
  const reachedIn = cap === null || perHour === 0 ? null : (Math.max(0, cap - spent) / perHour) * HOUR_MS;
  return {
    spent: usdFromMicros(spent),
    cap: cap === null ? null : usdFromMicros(cap),
    ratePerHour: usdFromMicros(perHour),
    projected: usdFromMicros(projected),
    exhaustsAt: reachedIn === null || at + reachedIn > endsAt ? null : Math.round(at + reachedIn),
  };
}

/** A cell that a spreadsheet takes as text: what begins like a formula is quoted away, since agents name their tools and runs. */
function csvCell(value: string | number | null): string {
  if (value === null) return '';
  if (typeof value === 'number') return value.toFixed(6);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function sumsOf<T extends { cost: number }>(rows: readonly T[], keysOf: (row: T) => readonly string[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const row of rows) for (const key of keysOf(row)) sums.set(key, (sums.get(key) ?? 0) + row.cost);
  return sums;
}

async function addTo(tx: Tx, table: 'agents' | 'tasks', column: 'total_spend' | 'spend', sums: ReadonlyMap<string, number>): Promise<void> {
  if (sums.size === 0) return;
  const given = json([...sums].map(([id, micros]) => ({ id, micros })));
  await sql`
    update ${sql.table(table)} set ${sql.ref(column)} = ${sql.ref(column)} + given.micros
    from jsonb_to_recordset(${given}) as given(id text, micros bigint) where ${sql.ref(`${table}.id`)} = given.id
  `.execute(tx);
}
