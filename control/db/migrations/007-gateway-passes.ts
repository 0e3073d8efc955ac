import { type Kysely, sql } from 'kysely';

/**
 * Passes of administrators to an OpenClaw gateway behind the proxy (SPEC 3): a ticket that is used once, and the cookie that it is
 * exchanged for. Only hashes are kept.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table gateway_passes (
    ticket_hash text primary key, operator_id text not null, gateway_id text not null references gateways, session_hash text,
    created_at bigint not null, ticket_expires_at bigint not null, cookie_hash text unique, expires_at bigint)`,
];
