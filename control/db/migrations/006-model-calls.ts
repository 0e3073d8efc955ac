import { type Kysely, sql } from 'kysely';

/** What a model call asked for, used, and at whose price (SPEC 5). */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table tool_calls add column provider text`,
  `alter table tool_calls add column model text`,
  `alter table tool_calls add column usage jsonb`,
  `alter table tool_calls add column cost_estimated boolean`,
  `alter table tool_calls add column price_entry text`,
];
