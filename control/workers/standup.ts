/**
 * The daily standup (SPEC 7): from 09:00 on, in the time zone of the budgets, a Markdown document about yesterday is written once:
 * what was done, what it cost, what went wrong, and what waits. It is stored, and its title stands in the feed.
 */
import { sql } from 'kysely';
import { dayOf, formatUsd, nextDayStart } from '../../policies/index.ts';
import type { Db } from '../db/database.ts';
import { writeDocument } from '../documents.ts';
import type { ActivePolicy } from '../policies.ts';
import type { Worker } from './loop.ts';

const FROM_HOUR = 9;
const DAY_MS = 24 * 60 * 60 * 1000;
const TOP = 5;
const LISTED = 50;

interface Dependencies {
  db: Db;
  clock: () => number;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

export function dailyStandup({ db, clock, activePolicy, published }: Dependencies): Worker {
  let written = '';

  async function tick(): Promise<void> {
    const now = clock();
    const { timezone } = activePolicy().policy.document.budgets;
    if (hourOf(now, timezone) < FROM_HOUR) return;
    const start = dayStart(dayStart(now, timezone) - 1, timezone);
    const day = dayOf(start, timezone);
    if (day === written) return;
    const known = await db.selectFrom('documents').select('id').where('kind', '=', 'standup').where('day', '=', day).executeTakeFirst();
    if (!known) {
      const body = await standupOf(db, day, start, nextDayStart(start, timezone));
      await db.transaction().execute((tx) => writeDocument(tx, { kind: 'standup', day, title: `Standup for ${day}`, body }, now));
      published();
    }
    written = day;
  }

  return { name: 'daily-standup', everyMs: 60_000, tick };
}

/** What happened from `start` to before `end`, and what waits now. */
async function standupOf(db: Db, day: string, start: number, end: number): Promise<string> {
  const moved = await db
    .selectFrom('task_transitions')
    .innerJoin('tasks', 'tasks.id', 'task_transitions.task_id')
    .select([
      'tasks.id',
      'tasks.number',
      'tasks.title',
      'tasks.type',
      'tasks.spend',
      'task_transitions.to_status',
      'task_transitions.reason',
    ])
    .where('task_transitions.created_at', '>=', start)
    .where('task_transitions.created_at', '<', end)
    .where('task_transitions.to_status', 'in', ['done', 'canceled', 'review', 'blocked'])
    .orderBy('tasks.number')
    .orderBy('task_transitions.number')
    .execute();
  // A task that moved several times is told of once, by where it came to.
  const last = [...new Map(moved.map((row) => [row.id, row])).values()];
  const open = await db
    .selectFrom('tasks')
    .select(['number', 'title', 'status', 'blocked_reason'])
    .where('removed_at', 'is', null)
    .where('status', 'in', ['review', 'needs_approval', 'blocked'])
    .orderBy('number')
    .limit(LISTED)
    .execute();
  const pending = await count(db, sql`select count(*)::int as count from approvals where status = 'pending'`);
  const spend = await db.selectFrom('spend').selectAll().where('scope', 'like', `%:${day}`).execute();
  const names = new Map((await db.selectFrom('agents').select(['id', 'name']).execute()).map(({ id, name }) => [id, name]));
  const perAgent = spend
    .flatMap(({ scope, micros }) => {
      const id = /^agent-day:(.+):/.exec(scope)?.[1];
      return id === undefined ? [] : [{ name: names.get(id) ?? id, micros }];
    })
    .toSorted((a, b) => b.micros - a.micros || (a.name < b.name ? -1 : 1));
  const total = spend.find(({ scope }) => scope === `fleet-day:${day}`)?.micros ?? 0;
  const calls = await sql<{ calls: number; denied: number; failed: number; unattributed: number }>`
    select count(*)::int as calls, count(*) filter (where status = 'blocked')::int as denied, count(*) filter (where status = 'failed')::int as failed,
      coalesce(sum(cost) filter (where task_id is null), 0)::bigint as unattributed
    from tool_calls where created_at >= ${start}::bigint and created_at < ${end}::bigint
  `.execute(db);
  const counted = calls.rows[0] ?? { calls: 0, denied: 0, failed: 0, unattributed: 0 };
  const decided = await sql<{ status: string; count: number }>`
    select status, count(*)::int as count from approvals where decided_at >= ${start}::bigint and decided_at < ${end}::bigint
    group by status order by status
  `.execute(db);
  const incidents = await db
    .selectFrom('alerts')
    .select(['created_at', 'severity', 'message', 'resolved_at'])
    .where('created_at', '>=', start)
    .where('created_at', '<', end)
    .orderBy('created_at')
    .orderBy('message')
    .limit(LISTED)
    .execute();

  const of = (status: string) => last.filter((row) => row.to_status === status);
  const section = (title: string, lines: readonly string[]) => ['', `## ${title}`, '', ...(lines.length === 0 ? ['Nothing.'] : lines)];
  const taskLine = ({ number, title, type, spend: micros }: { number: number; title: string; type: string; spend: number }) =>
    `- #${number} ${plain(title)} (${type}, ${formatUsd(micros)})`;
  return [
    `# Standup for ${day}`,
    ...section(`Done (${of('done').length})`, of('done').map(taskLine)),
    ...section(`Handed in for review (${of('review').length})`, of('review').map(taskLine)),
    ...section('Cost', [
      `- ${formatUsd(total)} in ${counted.calls} calls; ${counted.denied} refused, ${counted.failed} failed`,
      ...perAgent.slice(0, TOP).map(({ name, micros }) => `- ${plain(name)}: ${formatUsd(micros)}`),
      ...(Number(counted.unattributed) > 0 ? [`- not attributed to a task: ${formatUsd(Number(counted.unattributed))}`] : []),
    ]),
    ...section(
      `Incidents (${incidents.length})`,
      incidents.map(
        ({ severity, message, resolved_at: resolvedAt }) => `- ${severity}: ${plain(message)}${resolvedAt === null ? ' (still open)' : ''}`,
      ),
    ),
    ...section(
      'Decisions',
      decided.rows.map(({ status, count: number }) => `- approvals ${status}: ${number}`),
    ),
    ...section('Waiting now', [
      ...(pending === 0 ? [] : [`- approvals that wait for a decision: ${pending}`]),
      ...open.map(
        ({ number, title, status, blocked_reason: reason }) =>
          `- #${number} ${plain(title)}: ${status.replace('_', ' ')}${reason === null ? '' : ` (${plain(reason)})`}`,
      ),
    ]),
    '',
  ].join('\n');
}

async function count(db: Db, query: ReturnType<typeof sql>): Promise<number> {
  const { rows } = await sql<{ count: number }>`${query}`.execute(db);
  return rows[0]?.count ?? 0;
}

function hourOf(now: number, timezone: string): number {
  return Number(new Intl.DateTimeFormat('en-GB', { hour: '2-digit', hourCycle: 'h23', timeZone: timezone }).format(now));
}

/** The first instant of the calendar day that holds `now`. */
function dayStart(now: number, timezone: string): number {
  const day = dayOf(now, timezone);
  let start = nextDayStart(now - DAY_MS - 3_600_000 * 2, timezone);
  while (dayOf(start, timezone) < day) start = nextDayStart(start, timezone);
  return start;
}

/** Text of people and agents in one line; what would be markup stays text. */
function plain(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ').trim();
  return (flat.length > 200 ? `${flat.slice(0, 200)}…` : flat).replaceAll(/[<[\]`]/g, (mark) => `\\${mark}`);
}
