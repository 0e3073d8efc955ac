import { type Kysely, sql } from 'kysely';

/** Upstreams that ask for OAuth: what Mission Control is there, the tokens it holds, and authorizations that people have begun. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table upstream_oauth (
    upstream_id text primary key references upstreams, settings_id text not null, grant_type text not null, client_id text, scope text,
    issuer text, sealed text, state text not null, authorized_at bigint, authorized_by text, token_at bigint, expires_at bigint, refresh_at bigint,
    attempts integer not null, error text, error_at bigint)`,
  `create index upstream_oauth_due on upstream_oauth (refresh_at) where refresh_at is not null`,

  `create table upstream_authorizations (
    state_hash text primary key, upstream_id text not null references upstreams, operator_id text not null,
    created_at bigint not null, expires_at bigint not null, sealed text not null)`,
];
