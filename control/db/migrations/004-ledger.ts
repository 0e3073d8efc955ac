import { type Kysely, sql } from 'kysely';

/** The record of money: what each call cost and under which caps, what each proxy accounts for, raised caps, thresholds passed (SPEC 5). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table ledger_entries (
    call_id text primary key, at bigint not null, day text not null, agent_id text not null, task_id text, run_id text,
    entry text not null, tool text not null, provider text, model text, cost bigint not null, proxy_id text not null, scopes jsonb not null)`,
  `create index ledger_entries_time on ledger_entries (at, call_id)`,
  `create index ledger_entries_agent on ledger_entries (agent_id, at)`,
  `create index ledger_entries_task on ledger_entries (task_id, at) where task_id is not null`,
  `insert into ledger_entries
    select id, coalesce(ended_at, created_at), to_char(to_timestamp(coalesce(started_at, created_at) / 1000.0) at time zone 'UTC', 'YYYY-MM-DD'),
      agent_id, task_id, run_id, entry, tool, null, null, cost, '', '[]'::jsonb
    from tool_calls where cost > 0`,

  // What a scope owes to each proxy: shared counters are rebuilt and corrected proxy by proxy. Spend of before is nobody's.
  `create table spend_by_proxy (scope text not null, proxy_id text not null, micros bigint not null, primary key (scope, proxy_id))`,
  `insert into spend_by_proxy select scope, '', micros from spend`,
  // The most that a proxy may hold or have used without its being recorded yet.
  `create table ledger_proxies (proxy_id text primary key, bound bigint not null, seen_at bigint not null)`,

  `create table cap_raises (
    id text primary key, created_at bigint not null, scope text not null, agent_id text, task_id text, micros bigint not null,
    note text not null, created_by text not null, expires_at bigint not null, ended_at bigint)`,
  `create index cap_raises_open on cap_raises (scope, expires_at) where ended_at is null`,
  // An alert of a threshold is raised once per scope, which a day's scope makes once per day.
  `create table cap_thresholds (scope text not null, percent integer not null, at bigint not null, primary key (scope, percent))`,
];
