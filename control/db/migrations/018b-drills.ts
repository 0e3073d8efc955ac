import { type Kysely, sql } from 'kysely';

/** What came of drills, per proxy (SPEC 10, control/drills.ts). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table drill_results (
    id bigint generated always as identity primary key, request_id text not null, name text not null, proxy_id text not null,
    outcome text not null, found text not null, duration_ms integer not null, at bigint not null)`,
  `create index drill_results_last on drill_results (name, proxy_id, at desc)`,
  `create index drill_results_time on drill_results (at)`,
];
