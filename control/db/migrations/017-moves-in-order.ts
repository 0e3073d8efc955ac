import { type Kysely, sql } from 'kysely';

/** Moves of one task within a millisecond had no order. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table task_transitions add column number bigint generated always as identity`.execute(db);
}
