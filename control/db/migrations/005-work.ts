import { type Kysely, sql } from 'kysely';

/**
 * Work as it is done: messages on a task, documents, what has still to be said to agents, sessions of tasks, sub-agents that end,
 * and the leases of the workers (SPEC 7).
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table messages (
    id text primary key, number bigint generated always as identity, created_at bigint not null, task_id text not null references tasks,
    thread_ref text, author_id text, author_type text not null, author_name text not null, content text not null,
    mentions jsonb not null, metadata jsonb not null)`,
  `create index messages_number on messages (number)`,
  `create index messages_task on messages (task_id, number)`,
  `create index messages_author on messages (author_id, number) where author_id is not null`,

  `create table documents (
    id text primary key, number bigint generated always as identity, created_at bigint not null, kind text not null, task_id text references tasks,
    day text, title text not null, body text not null)`,
  `create index documents_number on documents (number)`,
  `create index documents_task on documents (task_id, number) where task_id is not null`,
  // One standup a day, whoever writes it.
  `create unique index documents_day on documents (kind, day) where day is not null`,

  `create table deliveries (
    id text primary key, dedupe_key text not null unique, created_at bigint not null, due_at bigint not null, kind text not null,
    agent_id text not null references agents, task_id text references tasks, session_key text not null, text text not null,
    attempts integer not null, delivered_at bigint, dropped_at bigint, last_error text)`,
  `create index deliveries_due on deliveries (due_at) where delivered_at is null and dropped_at is null`,
  `create index deliveries_task on deliveries (task_id, created_at) where task_id is not null`,

  `create table task_sessions (
    task_id text not null references tasks, agent_id text not null references agents, session_key text not null, created_at bigint not null,
    primary key (task_id, agent_id))`,
  `create index task_sessions_key on task_sessions (session_key)`,

  `create table leases (
    name text primary key, holder text not null, expires_at bigint not null, ticked_at bigint, succeeded_at bigint, last_error text)`,

  `alter table tasks add column cost_summary text`,
  `alter table agents add column retire_at bigint`,
  `alter table agents add column soul text`,
  `create index agents_parent on agents (parent_id) where parent_id is not null and removed_at is null`,
  `create index agents_session on agents (session_key) where session_key is not null and removed_at is null`,
  `create index runs_open on runs (last_seen_at) where status = 'running'`,
  `create index runs_task on runs (task_id, started_at) where task_id is not null`,
  `create index alerts_task on alerts (task_id, created_at) where task_id is not null`,
  `create index tasks_parent on tasks (parent_task_id) where parent_task_id is not null and removed_at is null`,
];
