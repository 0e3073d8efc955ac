import { type Kysely, sql } from 'kysely';

/**
 * What the gate was asked about and what models were told of, until the two were held against each other; and how and when each way in was
 * last proven beyond the calls themselves (SPEC 10, control/gate-evidence.ts).
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table gate_sightings (
    id bigint generated always as identity primary key, gateway_id text not null, wire_id text, print text, at bigint not null)`,
  `create index gate_sightings_id on gate_sightings (gateway_id, wire_id)`,
  `create index gate_sightings_print on gate_sightings (gateway_id, print) where print is not null`,
  `create index gate_sightings_time on gate_sightings (at)`,
  `create table tool_results (
    id bigint generated always as identity primary key, gateway_id text not null, agent_id text not null, wire_id text, print text,
    tool text not null, at bigint not null)`,
  `create index tool_results_time on tool_results (at, id)`,
  `create table gate_proofs (
    agent_id text not null, entry text not null, how text not null, at bigint not null, primary key (agent_id, entry, how))`,
];
