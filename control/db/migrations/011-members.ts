import { type Kysely, sql } from 'kysely';

/** The processes of an installation and how they are reached, stops that are over, and which key folder belongs to this database. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table members (id text primary key, role text not null, url text not null, seen_at bigint not null)`,
  `alter table system_state add column ended_stops jsonb not null default '[]'`,
  `alter table system_state add column key_fingerprint text`,
];
