import { type Kysely, sql } from 'kysely';

/** Standing grants, approvals by two people, absences with a deputy, and what has to be said about approvals that wait. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table grants (
    id text primary key, number bigint generated always as identity, created_at bigint not null, created_by text not null,
    created_by_name text not null, approval_id text not null references approvals, scope_kind text not null, agent_id text, task_id text,
    autonomy_level text, tool text not null, pattern jsonb not null, expires_at bigint not null, max_uses integer,
    uses integer not null, last_used_at bigint, revoked_at bigint, revoked_by text, revoke_reason text, note text)`,
  `create index grants_live on grants (tool, expires_at) where revoked_at is null`,
  `create index grants_number on grants (number)`,
  `create index grants_approval on grants (approval_id)`,

  `alter table approvals add column approvals_needed integer not null default 1`,
  `alter table approvals add column reminders integer not null default 0`,
  `alter table approvals add column escalated_at bigint`,
  `alter table approvals add column grant_id text references grants`,
  `alter table approvals add column releases jsonb`,
  `create index approvals_by_grant on approvals (grant_id, created_at) where grant_id is not null`,

  `create table approval_votes (
    approval_id text not null references approvals, operator_id text not null, name text not null, place integer not null, at bigint not null,
    note text, acting_for jsonb not null, primary key (approval_id, operator_id))`,

  `create table approval_notices (
    id text primary key, dedupe_key text not null unique, created_at bigint not null, approval_id text not null references approvals,
    kind text not null, to_role text not null, text text not null, taken_at bigint)`,
  `create index approval_notices_due on approval_notices (created_at) where taken_at is null`,

  `alter table operators add column away_until bigint`,
  `alter table operators add column deputy_id text`,
  `create index operators_deputy on operators (deputy_id) where deputy_id is not null`,
];
