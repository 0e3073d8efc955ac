/**
 * The record of money: one row for each call that cost something, and the sums of each cap's scope. The counters that calls are held
 * to (in a proxy, or shared in Redis) are made from this record and compared with it; where the two differ, the record is right.
 */
import { sql } from 'kysely';
import type { CallFacts } from './contract.ts';
import type { SpendRecord } from './counters.ts';
import { type Db, json, type Tx } from './db/database.ts';
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

  return { settle, record, setBound };
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
