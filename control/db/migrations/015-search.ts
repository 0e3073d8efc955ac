import { type Kysely, sql } from 'kysely';

/** Full text over what people look for (control/search.ts). The expressions are what the queries must repeat to find these indexes. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const { table, text, only } of Object.values(SEARCHED)) {
    await sql
      .raw(`create index ${table}_words on ${table} using gin (${wordsOf(text)})${only === null ? '' : ` where ${only}`}`)
      .execute(db);
  }
}

/** Signs that part words: paths, hosts, ids and commands are found by their pieces. */
export const PARTING = '.,;:!?/\\|-_@=#$%&*+~^\'"`()[]{}<>';

/** Words as they are written, in any language. A row's text is cut: what one row can hold must stay under the limit of a tsvector (1 MB). */
export function wordsOf(text: string): string {
  return `to_tsvector('simple', translate(left(${text}, 100000), '${PARTING.replaceAll("'", "''")}', '${' '.repeat(PARTING.length)}'))`;
}

/** What of each kind is looked through, and which rows of it. */
export const SEARCHED = {
  task: {
    table: 'tasks',
    text: "number::text || ' ' || title || ' ' || description || ' ' || coalesce(blocked_reason, '') || ' ' || coalesce(decision_note, '') || ' ' || coalesce(work_plan, '') || ' ' || coalesce(deliverable, '')",
    only: null,
  },
  agent: {
    table: 'agents',
    text: "name || ' ' || coalesce(external_id, '') || ' ' || coalesce(session_key, '') || ' ' || coalesce(status_reason, '')",
    only: null,
  },
  message: { table: 'messages', text: "author_name || ' ' || content", only: null },
  call: { table: 'tool_calls', text: "tool || ' ' || summary || ' ' || coalesce(model, '') || ' ' || coalesce(error, '')", only: null },
  approval: {
    table: 'approvals',
    text: "number::text || ' ' || coalesce(tool, '') || ' ' || summary || ' ' || coalesce(approver, '') || ' ' || coalesce(decision, '')",
    only: null,
  },
  // The rows of calls are found as calls.
  audit: {
    table: 'audit_log',
    text: "action || ' ' || coalesce(subject_id, '') || ' ' || coalesce(actor_id, '') || ' ' || details::text",
    only: "subject_type <> 'tool_call'",
  },
} as const;
