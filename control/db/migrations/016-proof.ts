import { type Kysely, sql } from 'kysely';

/** Payloads of the audit log stand apart from its details, so that retention can drop them; signed heads of the chain (SPEC 10). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table audit_log add column payload jsonb`,
  `create index audit_log_payload on audit_log (at) where payload is not null`,
  `create table audit_anchors (
    seq bigint primary key, hash text not null, at bigint not null, previous bigint not null, key_id text not null, signature text not null)`,
];
