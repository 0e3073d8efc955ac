/**
 * The answer after an incident (SPEC 1): what happened, who, why, what did it cost, what next; of a task, an agent or a window of time. Read
 * from the record as it stands, nothing is kept. As JSON, and as Markdown for a report.
 */
import { type RawBuilder, sql } from 'kysely';
import { usdFromMicros } from '../policies/index.ts';
import type { Incident } from './contract.ts';
import type { Db } from './db/database.ts';
import { notFound, Refusal } from './problem.ts';
import type { Scope, Timeline } from './timeline.ts';
import { toLine } from './visible-text.ts';

export type Incidents = ReturnType<typeof createIncidents>;

export interface IncidentQuery {
  task?: string | undefined;
  agent?: string | undefined;
  from?: number | undefined;
  to?: number | undefined;
}

const ENTRIES_MAX = 200;
const PARTS_MAX = 20;
const NEXT_MAX = 20;
/** Without a word about the time: a task from its beginning, an agent since this long. */
const AGENT_WINDOW_MS = 24 * 60 * 60 * 1000;
const WINDOW_MAX_MS = 7 * 24 * 60 * 60 * 1000;

interface CallSums {
  agent_id: string;
  agent_name: string | null;
  tool: string;
  calls: number;
  denied: number;
  held: number;
  failed: number;
  unknown: number;
  cost: number;
}

export function createIncidents({ db, clock, timeline }: { db: Db; clock: () => number; timeline: Timeline }) {
  /** @throws Refusal 400 for a query that names no one subject or too long a window, 404 for an unknown task or agent. */
  async function answer(query: IncidentQuery): Promise<Incident> {
    const { subject, scope, from, to } = await read(query);
    const calls = callsOf(scope, from, to);
    const { items: entries, nextCursor } = await timeline.story(scope, { limit: ENTRIES_MAX, from, to, order: 'desc', isNotable: true });
    const { rows: sums } = await sql<CallSums>`
      select tool_calls.agent_id, agents.name as agent_name, tool, count(*)::int as calls,
        (count(*) filter (where tool_calls.verdict = 'deny'))::int as denied, (count(*) filter (where held_at is not null))::int as held,
        (count(*) filter (where tool_calls.status = 'failed'))::int as failed,
        (count(*) filter (where tool_calls.status = 'unknown'))::int as unknown, coalesce(sum(cost), 0)::bigint as cost
      from tool_calls left join agents on agents.id = tool_calls.agent_id where ${calls} group by tool_calls.agent_id, agents.name, tool
    `.execute(db);
    const { rows: why } = await sql<Incident['why'][number]>`
      select reason->>'code' as code, max(reason->>'message') as message, coalesce(reason->>'policyPath', '') as "policyPath", count(*)::int as calls
      from tool_calls, jsonb_array_elements(reasons) as reason
      where ${calls} and (tool_calls.verdict <> 'allow' or held_at is not null) and reason->>'code' not in ('OK', 'APPROVED')
      group by 1, 3 order by 4 desc, 1 limit ${PARTS_MAX}
    `.execute(db);
    const total = (of: (row: CallSums) => number) => sums.reduce((sum, row) => sum + Number(of(row)), 0);
    const agents = partsOf(
      sums,
      (row) => row.agent_id,
      (row) => row.agent_name ?? row.agent_id,
    );
    return {
      subject,
      from,
      to,
      what: {
        entries,
        isCut: nextCursor !== null,
        calls: total((row) => row.calls),
        denied: total((row) => row.denied),
        held: total((row) => row.held),
        failed: total((row) => row.failed),
        unknown: total((row) => row.unknown),
      },
      who: [
        ...agents.map(({ id, name, calls: made, spend }) => ({ type: 'agent' as const, id, name, calls: made, acts: 0, spend })),
        ...(await people(scope, from, to)),
      ],
      why,
      cost: {
        spend: usdFromMicros(total((row) => row.cost)),
        byAgent: agents.slice(0, PARTS_MAX),
        byTool: partsOf(
          sums,
          (row) => row.tool,
          (row) => row.tool,
        )
          .map((part) => ({ ...part, id: null }))
          .slice(0, PARTS_MAX),
      },
      next: await whatNext(scope, calls),
    };
  }

  async function read({ task, agent, from, to }: IncidentQuery) {
    if (task !== undefined && agent !== undefined) throw new Refusal(400, 'BAD_REQUEST', 'Name a task or an agent, not both.');
    const until = to ?? clock();
    if (from !== undefined && from > until) throw new Refusal(400, 'BAD_REQUEST', 'The window ends before it begins.');
    if (task !== undefined) {
      const row = await db.selectFrom('tasks').select(['id', 'number', 'title', 'created_at']).where('id', '=', task).executeTakeFirst();
      if (!row) throw notFound('task', task);
      const subject = { kind: 'task' as const, id: row.id, name: `#${row.number} ${row.title}` };
      return { subject, scope: { kind: 'task', id: row.id } satisfies Scope, from: from ?? row.created_at, to: until };
    }
    if (agent !== undefined) {
      const row = await db.selectFrom('agents').select(['id', 'name']).where('id', '=', agent).executeTakeFirst();
      if (!row) throw notFound('agent', agent);
      const scope: Scope = { kind: 'agent', id: row.id };
      return {
        subject: { kind: 'agent' as const, ...row },
        scope,
        from: bounded(from ?? Math.max(0, until - AGENT_WINDOW_MS), until),
        to: until,
      };
    }
    if (from === undefined) throw new Refusal(400, 'BAD_REQUEST', 'Name a task, an agent, or where the window begins (from).');
    const scope: Scope = { kind: 'window' };
    return { subject: { kind: 'window' as const, id: null, name: 'everything' }, scope, from: bounded(from, until), to: until };
  }

  /** People who decided, stopped or changed something that belongs to it. */
  async function people(scope: Scope, from: number, to: number): Promise<Incident['who']> {
    const within = sql`between ${from}::bigint and ${to}::bigint`;
    const decided = sql`select approver_id as id, approver as name from approvals
      where approver_type = 'human' and decided_at ${within} and ${scope.kind === 'window' ? sql`true` : ownColumn(scope)}`;
    const acted =
      scope.kind === 'task'
        ? sql`select actor_id, null from task_transitions where task_id = ${scope.id} and actor = 'human' and created_at ${within}`
        : sql`select actor_id, null from audit_log where actor_type = 'human' and at ${within}
            and subject_type in ('agent', 'policy', 'system', 'gateway', 'upstream')
            and ${scope.kind === 'agent' ? sql`subject_type = 'agent' and subject_id = ${scope.id}` : sql`true`}`;
    const { rows } = await sql<{ id: string | null; name: string; acts: number }>`
      select acts.id, coalesce(max(operators.name), max(acts.name), acts.id, 'somebody') as name, count(*)::int as acts
      from (${decided} union all ${acted}) as acts(id, name) left join operators on operators.id = acts.id
      group by acts.id order by acts desc limit ${PARTS_MAX}
    `.execute(db);
    return rows.map((row) => ({ type: 'human', ...row, calls: 0, spend: 0 }));
  }

  /** What waits for somebody, the most pressing first. */
  async function whatNext(scope: Scope, calls: RawBuilder<unknown>): Promise<Incident['next']> {
    const own = scope.kind === 'window' ? sql`true` : ownColumn(scope);
    const { rows } = await sql<Incident['next'][number]>`
      select kind, id, text from (
        (select 1 as place, 0 as at, 'stop' as kind, coalesce(stop_id, '') as id,
          'Everything is stopped' || coalesce(': ' || stop_reason, '') || '. Resume when it is safe again.' as text from system_state where estop)
        union all
        (select 2, created_at, 'alert', id, 'Look at the open alert (' || severity || '): ' || message from alerts
          where resolved_at is null and ${own} order by created_at desc limit ${NEXT_MAX})
        union all
        (select 3, created_at, 'approval', id, 'Decide approval ' || number || ': ' || summary from approvals
          where status = 'pending' and ${own} order by created_at desc limit ${NEXT_MAX})
        union all
        (select 4, created_at, 'call', id, 'Find out whether this call took effect: ' || tool || ' ' || summary from tool_calls
          where ${calls} and tool_calls.status = 'unknown' order by created_at desc limit ${NEXT_MAX})
        union all
        (select 5, updated_at, 'task', id, 'Task ' || number || ' is blocked' || coalesce(': ' || blocked_reason, '') from tasks
          where status = 'blocked' and removed_at is null
            and ${scope.kind === 'task' ? sql`id = ${scope.id}` : scope.kind === 'agent' ? sql`assignee_ids ? ${scope.id}` : sql`true`}
          order by updated_at desc limit ${NEXT_MAX})
        union all
        (select 6, status_changed_at, 'agent', id, name || ' is ' || status || coalesce(': ' || status_reason, '') || '. Restart it when it may work again.'
          from agents where status in ('quarantined', 'paused') and removed_at is null
            and ${scope.kind === 'agent' ? sql`id = ${scope.id}` : scope.kind === 'task' ? sql`current_task_id = ${scope.id}` : sql`true`}
          order by status_changed_at desc limit ${NEXT_MAX})
      ) as waiting order by place, at desc limit ${NEXT_MAX}
    `.execute(db);
    return rows;
  }

  return { answer };
}

/** A report of it for people. What agents and tools said stands in it as text and never as markup. */
export function incidentAsMarkdown({ subject, from, to, what, who, why, cost, next }: Incident): string {
  const section = (title: string, lines: readonly string[], nothing: string) => [
    `## ${title}`,
    '',
    ...(lines.length > 0 ? lines : [nothing]),
    '',
  ];
  return [
    `# Incident: ${subject.kind === 'window' ? 'everything' : `${subject.kind} ${plain(subject.name)}`}`,
    '',
    `From ${time(from)} to ${time(to)}.`,
    '',
    '## What happened',
    '',
    `${what.calls} calls: ${what.denied} denied, ${what.held} held, ${what.failed} failed, ${what.unknown} with an unknown outcome.`,
    '',
    ...what.entries.toReversed().map(({ at, kind, summary, cause, cost: spent }) => {
      const because =
        cause === null ? '' : ` (${[cause.by, cause.id, cause.text].flatMap((part) => (part === null ? [] : [plain(part)])).join(', ')})`;
      return `- ${time(at)} ${kind}: ${plain(summary)}${because}${spent ? ` ${usd(spent)}` : ''}`;
    }),
    ...(what.isCut ? ['', `Only the newest ${what.entries.length} notable entries are listed.`] : []),
    '',
    ...section(
      'Who',
      who.map(
        ({ type, name, calls, acts, spend }) =>
          `- ${type} ${plain(name)}: ${type === 'agent' ? `${calls} calls, ${usd(spend)}` : `${acts} acts`}`,
      ),
      'Nobody.',
    ),
    ...section(
      'Why',
      why.map(
        ({ code, message, policyPath, calls }) =>
          `- ${plain(code)}, ${calls} calls: ${plain(message)}${policyPath ? ` (${plain(policyPath)})` : ''}`,
      ),
      'No call was held or refused.',
    ),
    '## What it cost',
    '',
    `${usd(cost.spend)} in all.`,
    '',
    ...cost.byTool.map(({ name, spend, calls }) => `- ${plain(name)}: ${usd(spend)}, ${calls} calls`),
    '',
    ...section(
      'What next',
      next.map(({ text }) => `- ${plain(text)}`),
      'Nothing waits for anybody.',
    ),
  ].join('\n');
}

function bounded(from: number, to: number): number {
  if (to - from > WINDOW_MAX_MS) throw new Refusal(400, 'TOO_LONG', 'A window is 7 days at most; ask for parts of it.');
  return from;
}

/** The calls that belong to it, as a condition on tool_calls. */
function callsOf(scope: Scope, from: number, to: number): RawBuilder<unknown> {
  const within = sql`tool_calls.created_at between ${from}::bigint and ${to}::bigint`;
  return scope.kind === 'window' ? within : sql`tool_calls.${ownColumn(scope)} and ${within}`;
}

function ownColumn(scope: Scope): RawBuilder<unknown> {
  switch (scope.kind) {
    case 'task':
      return sql`task_id = ${scope.id}`;
    case 'agent':
      return sql`agent_id = ${scope.id}`;
    case 'run':
      return sql`agent_id = ${scope.agentId}`;
    case 'window':
      return sql`true`;
  }
}

function partsOf(sums: readonly CallSums[], keyOf: (row: CallSums) => string, nameOf: (row: CallSums) => string) {
  const parts = new Map<string, { id: string; name: string; micros: number; calls: number }>();
  for (const row of sums) {
    const part = parts.get(keyOf(row)) ?? { id: keyOf(row), name: nameOf(row), micros: 0, calls: 0 };
    part.micros += Number(row.cost);
    part.calls += row.calls;
    parts.set(part.id, part);
  }
  const sorted = [...parts.values()].sort((a, b) => b.micros - a.micros || b.calls - a.calls);
  return sorted.map(({ micros, ...part }) => ({ ...part, spend: usdFromMicros(micros) }));
}

/** One line of text that no reader of Markdown or HTML takes for markup. */
function plain(text: string): string {
  return toLine(text.slice(0, 500))
    .replaceAll(/[\\`*_{}[\]()#+!|<>~&]/g, (sign) => `\\${sign}`)
    .replaceAll('\\<', '&lt;')
    .replaceAll('\\>', '&gt;')
    .replaceAll('\\&', '&amp;');
}

function time(at: number): string {
  return new Date(at).toISOString();
}

function usd(amount: number): string {
  return `${amount.toFixed(6).replace(/0{1,4}$/, '')} USD`;
}
