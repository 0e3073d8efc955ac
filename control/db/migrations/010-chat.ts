import { type Kysely, sql } from 'kysely';

/**
 * Telling people: channels, what is to be said on them, who somebody is there, and the threads of tasks. The cursor begins at the newest
 * entry of the feed, so that nobody is told of what happened before.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table channels (
    id text primary key, created_at bigint not null, updated_at bigint not null, revision integer not null, name text not null,
    kind text not null, enabled boolean not null, destination text not null, api_root text, mode text, topics boolean not null,
    allow_private boolean not null, events jsonb not null, sealed text not null, setup_revision integer not null default 0,
    account text, inbound_cursor bigint not null default 0, held_until bigint not null default 0, failures integer not null default 0,
    last_error text, last_error_at bigint, last_success_at bigint, removed_at bigint)`,
  `create unique index channels_name on channels (name) where removed_at is null`,

  `create table notifications (
    id text primary key, number bigint generated always as identity, dedupe_key text not null unique, created_at bigint not null,
    due_at bigint not null, channel_id text not null references channels, kind text not null, recipient jsonb not null,
    approval_id text references approvals, task_id text references tasks, summary text not null, note jsonb, payload jsonb not null,
    attempts integer not null default 0, sending_at bigint, delivered_at bigint, dead_at bigint, last_error text,
    ref jsonb, shown text, edit_due_at bigint not null default 0, edit_attempts integer not null default 0)`,
  `create index notifications_number on notifications (number)`,
  `create index notifications_waiting on notifications (channel_id, number) where delivered_at is null and dead_at is null`,
  `create index notifications_dead on notifications (number) where dead_at is not null`,
  `create index notifications_cards on notifications (approval_id) where approval_id is not null and delivered_at is not null`,
  `create index notifications_prompts on notifications (channel_id, number) where kind = 'prompt'`,

  `create table notification_cursor (id integer primary key check (id = 1), activity_id bigint not null)`,
  `insert into notification_cursor select 1, coalesce(max(id), 0) from activities`,

  `create table chat_identities (
    id text primary key, created_at bigint not null, operator_id text not null references operators, channel_id text not null references channels,
    external_id text not null, external_name text not null, removed_at bigint)`,
  `create unique index chat_identities_external on chat_identities (channel_id, external_id) where removed_at is null`,
  `create index chat_identities_operator on chat_identities (operator_id) where removed_at is null`,

  `create table chat_codes (
    hash text primary key, operator_id text not null references operators, channel_id text not null references channels,
    created_at bigint not null, expires_at bigint not null, used_at bigint)`,

  `create table chat_threads (
    channel_id text not null references channels, task_id text not null references tasks, external_id text not null, created_at bigint not null,
    shown_title text not null, closed boolean not null, primary key (channel_id, task_id))`,
  `create unique index chat_threads_external on chat_threads (channel_id, external_id)`,
];
