import { type Kysely, sql } from 'kysely';

/** What the stories of agents and of windows of time are read by (control/timeline.ts). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create index audit_log_acts on audit_log (at, seq) where subject_type in ('agent', 'policy', 'system', 'gateway', 'upstream')`,
  `create index task_transitions_time on task_transitions (created_at, id)`,
  `create index task_transitions_actor on task_transitions (actor_id, created_at, id) where actor_id is not null`,
  `create index approvals_time on approvals (created_at, id)`,
  `create index messages_time on messages (created_at, id)`,
  `create index deliveries_agent on deliveries (agent_id, created_at, id)`,
  `create index alerts_agent on alerts (agent_id, created_at, id) where agent_id is not null`,
  `create index runs_agent on runs (agent_id, started_at, id)`,
];
