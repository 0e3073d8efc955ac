import { type Kysely, sql } from 'kysely';

/** Calls that their caller ended say nothing about their tool; and a proxy that starts asks for what ended lately. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw('alter table tool_calls add column ended_by_caller boolean').execute(db);
  await sql.raw('create index tool_calls_ended on tool_calls (ended_at) where ended_at is not null').execute(db);
}
