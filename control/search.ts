/**
 * Search over tasks, agents, messages, calls, approvals and the audit log: full text of the database, all words of the question, the last one
 * also as a beginning. Recent first. What is stored is redacted already (SPEC 10), so nothing is found here that nobody may read; what a
 * call read and wrote in full is not searched.
 */
import { type RawBuilder, sql } from 'kysely';
import type { SearchHit, SearchKind } from './contract.ts';
import type { Db } from './db/database.ts';
import { PARTING, SEARCHED, wordsOf } from './db/migrations/015-search.ts';
import { decodeCursor, encodeCursor } from './paging.ts';

export type Search = ReturnType<typeof createSearch>;

interface Query {
  q: string;
  kind?: SearchKind | undefined;
  /** At most so many of each kind, for an answer in groups; such an answer is one page. */
  each?: number | undefined;
  limit: number;
  cursor?: string | undefined;
}
interface HitRow {
  kind: SearchKind;
  id: string;
  title: string;
  text: string;
  at: number;
  task_id: string | null;
  agent_id: string | null;
}
type Position = readonly [at: number, kind: string, id: string];

/** More words than this narrow nothing; the rest is left out. */
const WORDS_MAX = 8;
/** Characters of text around the first word that was found. */
const SNIPPET_BEFORE = 40;
const SNIPPET_MAX = 200;
/** So much of a row's text is looked through for the snippet. */
const TEXT_MAX = 2_000;
/** So many of the newest rows are looked through before all are: some 30 ms. */
const NEWEST = 2_000;
const IS_ID = /^[\w:.-]{8,128}$/;
const KINDS = Object.keys(SEARCHED) as SearchKind[];

/** How each kind is shown and which rows count. `id` and `at` are the sort key: an index must follow it where there are many rows. */
const VIEWS: Record<SearchKind, { id: string; at: string; title: string; text: string; task: string; agent: string; where: string }> = {
  task: {
    ...{ id: 'id', at: 'created_at', title: "'#' || number || ' ' || title", task: 'id', agent: 'null' },
    text: "description || ' ' || coalesce(blocked_reason, '') || ' ' || coalesce(decision_note, '') || ' ' || coalesce(work_plan, '') || ' ' || coalesce(deliverable, '')",
    where: 'removed_at is null',
  },
  agent: {
    ...{ id: 'id', at: 'created_at', title: 'name', task: 'current_task_id', agent: 'id' },
    text: "status || ' ' || coalesce(status_reason, '') || ' ' || coalesce(external_id, '') || ' ' || coalesce(session_key, '')",
    where: 'removed_at is null',
  },
  message: {
    ...{ id: 'id', at: 'created_at', title: 'author_name', task: 'task_id', where: 'true' },
    ...{ agent: "case when author_type = 'agent' then author_id end", text: 'content' },
  },
  call: {
    ...{ id: 'id', at: 'created_at', title: 'tool', task: 'task_id', agent: 'agent_id', where: 'true' },
    text: "summary || ' ' || coalesce(model, '') || ' ' || coalesce(error, '')",
  },
  approval: {
    ...{ id: 'id', at: 'created_at', title: "'#' || number || ' ' || coalesce(tool, kind)", task: 'task_id', agent: 'agent_id' },
    ...{ text: "summary || ' ' || status || ' ' || coalesce(approver, '') || ' ' || coalesce(decision, '')", where: 'true' },
  },
  audit: {
    ...{ id: "lpad(seq::text, 16, '0')", at: 'at', title: 'action', task: "case when subject_type = 'task' then subject_id end" },
    agent: "case when subject_type = 'agent' then subject_id when actor_type = 'agent' then actor_id end",
    text: "coalesce(subject_id, '') || ' ' || coalesce(actor_id, '') || ' ' || details::text",
    where: SEARCHED.audit.only,
  },
};

export function createSearch({ db }: { db: Db }) {
  /**
   * Finds what holds all words of `q`, newest first. A whole id finds its own thing as well.
   * @returns a page; nothing where `q` has no word in it. @throws Refusal 400 for a cursor that is not ours.
   */
  async function find({ q, kind, each, limit, cursor }: Query): Promise<{ items: SearchHit[]; nextCursor: string | null }> {
    const words = wordsIn(q);
    if (words.length === 0) return { items: [], nextCursor: null };
    const after: Position | null = cursor === undefined ? null : decodeCursor(cursor, ['number', 'string', 'string']);
    const kinds = KINDS.filter((known) => kind === undefined || kind === known);
    const whole = IS_ID.test(q.trim()) ? q.trim() : null;
    const rows: HitRow[] = [];
    // One after the other: the embedded database answers one at a time anyway, and a server plans a plain query best.
    for (const known of kinds) rows.push(...(await findOf(known, words, whole, after, Math.min(each ?? limit + 1, limit + 1))));
    rows.sort(compareHits);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    const isMore = each === undefined && rows.length > limit && last !== undefined;
    const named = whole === null || after !== null ? [] : await findById(kinds, whole);
    return {
      items: [...named, ...page].map((row) => view(row, words)),
      nextCursor: isMore ? encodeCursor([last.at, last.kind, last.id]) : null,
    };
  }

  /**
   * First a look at the newest rows: a frequent word has filled its page by then, and need not be looked up in all of them. A word that is
   * not frequent is looked up in the index of words; the sort key is written so that no other index is followed for it.
   */
  async function findOf(kind: SearchKind, words: readonly string[], whole: string | null, after: Position | null, limit: number) {
    const { at } = VIEWS[kind];
    const { table, text } = SEARCHED[kind];
    const tie = kind === 'audit' ? 'seq' : 'id';
    const matches = sql`${sql.raw(wordsOf(text))} @@ to_tsquery('simple', ${questionOf(words)})
      and ${whole === null || kind === 'audit' ? sql`true` : sql`id <> ${whole}`}`;
    const candidates = sql`${sql.raw(`${VIEWS[kind].where}`)} and ${below(kind, after)}`;
    const newest = sql.raw(`order by ${at} desc, ${tie} desc`);
    const { rows } = await sql<HitRow>`
      ${selectFrom(kind)} (select * from ${sql.raw(table)} where ${candidates} ${newest} limit ${NEWEST}) as newest where ${matches} ${newest} limit ${limit}
    `.execute(db);
    if (rows.length === limit) return rows;
    const all = await sql<HitRow>`
      ${selectFrom(kind)} ${sql.raw(table)} where ${candidates} and ${matches} order by ${sql.raw(`${at} + 0 desc, ${tie} desc`)} limit ${limit}
    `.execute(db);
    return all.rows;
  }

  /** The thing with this very id, whatever is said in it; it comes first, on the first page. */
  async function findById(kinds: readonly SearchKind[], id: string): Promise<HitRow[]> {
    const found: HitRow[] = [];
    for (const kind of kinds) {
      if (kind !== 'audit')
        found.push(
          ...(
            await sql<HitRow>`${selectFrom(kind)} ${sql.raw(SEARCHED[kind].table)} where ${sql.raw(VIEWS[kind].where)} and id = ${id}`.execute(
              db,
            )
          ).rows,
        );
    }
    return found;
  }

  return { find };
}

/** The words of a question: parted as the stored text is, so that "src/app.ts" finds what was written as "app.ts" and the other way round. */
function wordsIn(q: string): string[] {
  const parted = [...q].map((sign) => (PARTING.includes(sign) ? ' ' : sign)).join('');
  return parted.toLowerCase().split(/\s+/u).filter(Boolean).slice(0, WORDS_MAX);
}

/** All words; each from two letters on also as the beginning of one. Quoted, so that nothing in them is read as an operator. */
function questionOf(words: readonly string[]): string {
  return words.map((word) => (word.length < 2 ? `'${word}'` : `'${word}':*`)).join(' & ');
}

/** What comes after the cursor, as a condition that the index of this kind can follow: between kinds the same order as `compareHits`. */
function below(kind: SearchKind, after: Position | null): RawBuilder<boolean> {
  if (after === null) return sql<boolean>`true`;
  const [at, cursorKind, id] = after;
  const column = sql.raw(VIEWS[kind].at);
  if (kind < cursorKind) return sql<boolean>`${column} <= ${at}::bigint`;
  if (kind > cursorKind) return sql<boolean>`${column} < ${at}::bigint`;
  if (kind === 'audit') return sql<boolean>`(at, seq) < (${at}::bigint, ${/^\d{16}$/.test(id) ? Number(id) : 0}::bigint)`;
  return sql<boolean>`(${column}, id) < (${at}::bigint, ${id}::text)`;
}

/** Newest first. Rows of one kind at one time stay in the order in which the database gave them. */
function compareHits(a: HitRow, b: HitRow): number {
  if (a.at !== b.at) return b.at - a.at;
  if (a.kind !== b.kind) return a.kind < b.kind ? 1 : -1;
  return 0;
}

function selectFrom(kind: SearchKind): RawBuilder<unknown> {
  const { id, at, title, text, task, agent } = VIEWS[kind];
  return sql.raw(
    `select '${kind}' as kind, ${id} as id, ${title} as title, left(${text}, ${TEXT_MAX}) as text, ${at} as at, ${task} as task_id, ${agent} as agent_id from`,
  );
}

function view(row: HitRow, words: readonly string[]): SearchHit {
  return {
    kind: row.kind,
    id: row.kind === 'audit' ? String(Number(row.id)) : row.id,
    title: row.title.slice(0, SNIPPET_MAX),
    snippet: snippetOf(row.text, words),
    at: row.at,
    taskId: row.task_id,
    agentId: row.agent_id,
  };
}

/** A piece of the text around the first word of the question that stands in it; its beginning where none does. */
function snippetOf(text: string, words: readonly string[]): string {
  const flat = text.replaceAll(/\s+/gu, ' ').trim();
  const lower = flat.toLowerCase();
  const places = words.map((word) => lower.indexOf(word)).filter((place) => place >= 0);
  const from = Math.max(0, Math.min(...(places.length > 0 ? places : [0])) - SNIPPET_BEFORE);
  const piece = flat.slice(from, from + SNIPPET_MAX).toWellFormed();
  return `${from > 0 ? '…' : ''}${piece}${from + SNIPPET_MAX < flat.length ? '…' : ''}`;
}
