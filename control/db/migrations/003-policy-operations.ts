import { type Kysely, sql } from 'kysely';

/** Labels of runs (SPEC 4.9), replays and shadows of policies (SPEC 4.10), and the replay that an activation names. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table run_labels (agent_id text not null, scope text not null, label text not null, at bigint not null,
    primary key (agent_id, scope, label))`,
  `create index run_labels_time on run_labels (at)`,

  `create table policy_replays (
    id text primary key, created_at bigint not null, created_by text not null, policy_id text, policy_name text not null, source text not null,
    base_id text not null, base_version text not null, since bigint not null, until bigint not null,
    status text not null, judged integer not null, total integer not null, finished_at bigint, error text, result jsonb)`,
  `create index policy_replays_time on policy_replays (created_at, id)`,

  `create table policy_shadows (
    id text primary key, started_at bigint not null, started_by text not null, note text not null,
    policy_id text, policy_name text not null, source text not null, stopped_at bigint, stopped_by text)`,
  `create unique index policy_shadows_running on policy_shadows ((true)) where stopped_at is null`,
  `create index policy_shadows_time on policy_shadows (started_at, id)`,

  // What each process of a proxy has counted from its start on: said anew with every report, so that nothing is counted twice.
  `create table policy_shadow_reports (
    shadow_id text not null references policy_shadows on delete cascade, process_id text not null, report jsonb not null,
    primary key (shadow_id, process_id))`,

  `alter table policies add column replay_id text`,
];
