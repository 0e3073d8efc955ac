import { type Kysely, sql } from 'kysely';

/**
 * Payloads of the audit log stand apart from its details, so that retention can drop them; signed heads of the chain; what the stories of
 * agents and of windows of time are read by (SPEC 10).
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table audit_log add column payload jsonb`,
  `create index audit_log_payload on audit_log (at) where payload is not null`,
  `create table audit_anchors (
    seq bigint primary key, hash text not null, at bigint not null, previous bigint not null, key_id text not null, signature text not null)`,
  `create index audit_log_acts on audit_log (at, seq) where subject_type in ('agent', 'policy', 'system', 'gateway', 'upstream')`,
  `create index task_transitions_time on task_transitions (created_at, id)`,
  `create index task_transitions_actor on task_transitions (actor_id, created_at, id) where actor_id is not null`,
  `create index approvals_time on approvals (created_at, id)`,
  `create index messages_time on messages (created_at, id)`,
  `create index deliveries_agent on deliveries (agent_id, created_at, id)`,
  `create index alerts_agent on alerts (agent_id, created_at, id) where agent_id is not null`,
  `create index runs_agent on runs (agent_id, started_at, id)`,
];
