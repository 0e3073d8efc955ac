import { type Kysely, sql } from 'kysely';

/** MCP calls that the gate allowed and that ended well without having come to us, until their time of grace is over; and a quick look for calls of models. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table gate_detours (
    id bigint generated always as identity primary key, agent_id text not null, tool text not null, asked_at bigint not null, at bigint not null)`,
  `create index gate_detours_time on gate_detours (at, id)`,
  `create index tool_calls_model on tool_calls (agent_id, created_at) where entry = 'model'`,
];
