import { type Kysely, sql } from 'kysely';

/** The registry of upstreams, and the definitions of the tools that their MCP servers offer (SPEC 4.8, 8.3). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table upstreams (
    id text primary key, created_at bigint not null, updated_at bigint not null, revision integer not null,
    name text not null, kind text not null, url text, command jsonb, sealed text,
    trusted boolean not null, allow_private boolean not null, shared boolean not null, routes jsonb not null,
    price bigint, limits jsonb not null,
    pinning_since bigint, pinned_at bigint, health text not null, last_error text, last_error_at bigint, last_success_at bigint, removed_at bigint)`,
  `create unique index upstreams_name on upstreams (name) where removed_at is null`,

  `create table upstream_tools (
    upstream_id text not null references upstreams, name text not null, state text not null,
    pinned jsonb, pinned_hash text, seen jsonb, seen_hash text, note text,
    first_seen_at bigint not null, last_seen_at bigint not null, changed_at bigint, accepted_at bigint, accepted_by text,
    primary key (upstream_id, name))`,

  // The proxy that sent a call on: after a restart it alone can say that nobody will report an outcome any more.
  `alter table tool_calls add column proxy_id text`,
];
