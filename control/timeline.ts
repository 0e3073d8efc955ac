/**
 * Everything that happened on a task, in a run, with an agent or in a window of time, in one order: moves, runs, calls, approvals, messages,
 * alerts, documents, what was said to agents, and what people did to agents, policies and the whole; each with its cause and its cost. Read
 * only; one query for a page, whatever it is made of: each part gives its own page by an index, and these are merged.
 */
import { type RawBuilder, sql } from 'kysely';
import { usdFromMicros } from '../policies/index.ts';
import type { TimelineEntry } from './contract.ts';
import type { Db } from './db/database.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound } from './problem.ts';

export type Timeline = ReturnType<typeof createTimeline>;
type Kind = TimelineEntry['kind'];

/** Whose story is told. A run is one of an agent, between two times. */
export type Scope =
  | { kind: 'task'; id: string }
  | { kind: 'agent'; id: string }
  | { kind: 'run'; agentId: string; runId: string; rowId: string; from: number; to: number }
  | { kind: 'window' };

export interface StoryPage {
  limit: number;
  cursor?: string | undefined;
  from?: number | undefined;
  to?: number | undefined;
  /** Oldest first unless said. */
  order?: 'asc' | 'desc' | undefined;
  /** Only calls that somebody would ask about: not simply allowed, ended badly, red, or approved. */
  isNotable?: boolean | undefined;
}

interface TimelineRow {
  kind: Kind;
  id: string;
  at: number;
  actor_type: TimelineEntry['actorType'];
  actor_id: string | null;
  summary: string;
  cause_by: NonNullable<TimelineEntry['cause']>['by'] | null;
  cause_id: string | null;
  cause: string | null;
  cost: number | null;
  details: Record<string, unknown>;
}

/** A part of the story: where its rows are and how one reads. Missing scopes have none. */
interface Part {
  table: string;
  at: string;
  id?: string;
  actorType: string;
  actorId: string;
  summary: string;
  causeBy: string;
  causeId: string;
  cause: string;
  cost?: string;
  details: string;
  only?: string;
}

const FIRST_REASON = "nullif(concat_ws(' at ', reasons->0->>'code', nullif(reasons->0->>'policyPath', '')), '')";
const NOTABLE = "(verdict <> 'allow' or status in ('failed', 'unknown', 'blocked') or risk = 'red' or approval_id is not null)";

const PARTS: Record<Kind, Part> = {
  transition: {
    ...{ table: 'task_transitions', at: 'created_at', actorType: 'actor', actorId: 'actor_id' },
    summary: "from_status || ' to ' || to_status || coalesce(': ' || reason, '')",
    ...{ causeBy: 'actor', causeId: 'actor_id', cause: 'reason' },
    details:
      "jsonb_build_object('from', from_status, 'to', to_status, 'reason', reason, 'artifacts', artifacts_provided, 'taskId', task_id)",
  },
  run: {
    ...{ table: 'runs', at: 'started_at', actorType: "'agent'", actorId: 'agent_id', summary: "'run ' || status", cost: 'cost' },
    ...{ causeBy: "'agent'", causeId: 'agent_id', cause: 'error_message' },
    details: `jsonb_build_object('runId', run_id, 'status', status, 'endTime', ended_at, 'costMicros', cost, 'calls', tool_call_count,
      'sessionKey', session_key, 'error', error_message)`,
  },
  call: {
    ...{
      table: 'tool_calls',
      at: 'created_at',
      actorType: "'agent'",
      actorId: 'agent_id',
      summary: "tool || ' ' || summary",
      cost: 'cost',
    },
    ...{ causeBy: "'policy'", causeId: 'policy_version', cause: FIRST_REASON },
    details: `jsonb_build_object('tool', tool, 'entry', entry, 'risk', risk, 'verdict', verdict, 'status', status, 'costMicros', cost,
      'duration', duration, 'runId', run_id, 'approvalId', approval_id, 'error', left(error, 500))`,
  },
  approval: {
    ...{ table: 'approvals', at: 'created_at', summary: 'summary' },
    ...{ actorType: "case when agent_id is null then 'human' else 'agent' end", actorId: 'agent_id' },
    causeBy: "case when decided_at is null then 'policy' else coalesce(approver_type, 'system') end",
    causeId: 'case when decided_at is null then policy_version else coalesce(approver, approver_id) end',
    cause: `case when decided_at is null then ${FIRST_REASON} else concat_ws(': ', status, decision) end`,
    details: `jsonb_build_object('number', number, 'kind', kind, 'status', status, 'risk', risk, 'approver', approver, 'note', decision,
      'decidedAt', decided_at)`,
  },
  message: {
    ...{ table: 'messages', at: 'created_at', actorType: 'author_type', actorId: 'author_id', summary: 'content' },
    ...{ causeBy: 'author_type', causeId: 'author_name', cause: 'null' },
    details: "jsonb_build_object('author', author_name, 'mentions', mentions)",
  },
  alert: {
    ...{ table: 'alerts', at: 'created_at', actorType: "'system'", actorId: 'null', summary: 'message' },
    ...{ causeBy: "'system'", causeId: 'null', cause: 'type' },
    details: "jsonb_build_object('type', type, 'severity', severity, 'resolvedAt', resolved_at, 'resolvedBy', resolved_by)",
  },
  document: {
    ...{ table: 'documents', at: 'created_at', actorType: "'system'", actorId: 'null', summary: 'title' },
    ...{ causeBy: "'system'", causeId: 'null', cause: 'kind', details: "jsonb_build_object('kind', kind)" },
  },
  delivery: {
    ...{ table: 'deliveries', at: 'created_at', actorType: "'system'", actorId: 'agent_id', summary: "kind || ' to its session'" },
    ...{ causeBy: "'system'", causeId: 'null', cause: 'kind' },
    details: `jsonb_build_object('kind', kind, 'agentId', agent_id, 'sessionKey', session_key, 'deliveredAt', delivered_at, 'droppedAt', dropped_at,
      'attempts', attempts, 'error', last_error)`,
  },
  act: {
    ...{ table: 'audit_log', at: 'at', id: "lpad(seq::text, 16, '0')", actorType: 'actor_type', actorId: 'actor_id' },
    ...{ summary: "action || coalesce(' ' || subject_id, '')", causeBy: 'actor_type', causeId: 'actor_id' },
    cause: "coalesce(details->>'reason', details->>'note', details->>'why')",
    details: 'details',
    only: "subject_type in ('agent', 'policy', 'system', 'gateway', 'upstream')",
  },
};
const KINDS = Object.keys(PARTS) as Kind[];

export function createTimeline({ db, activePolicy }: { db: Db; activePolicy: () => ActivePolicy }) {
  /** Of a task, oldest first unless said, so that it reads as a story. @throws Refusal 404 for an unknown task; a removed one keeps its story. */
  async function read(taskId: string, page: StoryPage) {
    await known(taskId);
    return story({ kind: 'task', id: taskId }, page);
  }

  /** Of an agent. @throws Refusal 404 for an unknown one; a removed one keeps its story. */
  async function readAgent(agentId: string, page: StoryPage) {
    const agent = await db.selectFrom('agents').select('id').where('id', '=', agentId).executeTakeFirst();
    if (!agent) throw notFound('agent', agentId);
    return story({ kind: 'agent', id: agentId }, page);
  }

  /** Of a run, by the id of its row. @throws Refusal 404 for an unknown one. */
  async function readRun(id: string, page: StoryPage) {
    const run = await db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst();
    if (!run) throw notFound('run', id);
    const { agent_id: agentId, run_id: runId, started_at: from, last_seen_at: to } = run;
    return story({ kind: 'run', agentId, runId, rowId: id, from, to }, page);
  }

  /** A page of a story. @throws Refusal 400 for a cursor that is not ours. */
  async function story(scope: Scope, page: StoryPage): Promise<{ items: TimelineEntry[]; nextCursor: string | null }> {
    const { limit, cursor, order = 'asc' } = page;
    const after = cursor === undefined ? null : decodeCursor(cursor, ['number', 'string', 'string']);
    const parts = KINDS.flatMap((kind) => {
      const of = conditionOf(scope, kind, page);
      return of === null ? [] : [partOf(kind, sql`${of} and ${below(kind, after, order)}`, order, limit + 1)];
    });
    const { rows } = await sql<TimelineRow>`
      select * from (${sql.join(parts, sql` union all `)}) as entries
      order by at ${sql.raw(order)}, kind ${sql.raw(order)}, sort ${sql.raw(order)} limit ${limit + 1}
    `.execute(db);
    const shown = rows.slice(0, limit);
    const last = shown.at(-1);
    return { items: shown.map(view), nextCursor: rows.length > limit && last ? encodeCursor([last.at, last.kind, last.id]) : null };
  }

  /** What the task cost, by whom and by which tool, and with all its sub-tasks. */
  async function cost(taskId: string) {
    const task = await known(taskId);
    const byAgent = await db
      .selectFrom('tool_calls')
      .leftJoin('agents', 'agents.id', 'tool_calls.agent_id')
      .select((eb) => [
        'tool_calls.agent_id as id',
        'agents.name',
        eb.fn.sum<number>('tool_calls.cost').as('cost'),
        eb.fn.countAll<number>().as('calls'),
      ])
      .where('task_id', '=', taskId)
      .groupBy(['tool_calls.agent_id', 'agents.name'])
      .orderBy('cost', (order) => order.desc().nullsLast())
      .execute();
    const byTool = await db
      .selectFrom('tool_calls')
      .select((eb) => ['tool as name', eb.fn.sum<number>('cost').as('cost'), eb.fn.countAll<number>().as('calls')])
      .where('task_id', '=', taskId)
      .groupBy('tool')
      .orderBy('cost', (order) => order.desc().nullsLast())
      .limit(100)
      .execute();
    const { runs } = await db
      .selectFrom('runs')
      .select((eb) => eb.fn.countAll<number>().as('runs'))
      .where('task_id', '=', taskId)
      .executeTakeFirstOrThrow();
    const tree = await sql<{ spend: number; tasks: number }>`
      with recursive tree as (
        select id, spend from tasks where id = ${taskId}
        union all
        select child.id, child.spend from tasks child join tree on child.parent_task_id = tree.id)
      select coalesce(sum(spend), 0)::bigint as spend, count(*)::int as tasks from tree
    `.execute(db);
    const whole = tree.rows[0];
    const budget = task.budget ?? activePolicy().policy.capsFor('lead', task.type).task;
    return {
      taskId,
      spend: usdFromMicros(task.spend),
      budget: budget === null ? null : usdFromMicros(budget),
      calls: byAgent.reduce((sum, row) => sum + Number(row.calls), 0),
      runs: Number(runs),
      withSubtasks: { spend: usdFromMicros(Number(whole?.spend ?? 0)), tasks: Number(whole?.tasks ?? 1) },
      byAgent: byAgent.map((row) => ({
        id: row.id,
        name: row.name ?? row.id,
        spend: usdFromMicros(Number(row.cost ?? 0)),
        calls: Number(row.calls),
      })),
      byTool: byTool.map((row) => ({ id: null, name: row.name, spend: usdFromMicros(Number(row.cost ?? 0)), calls: Number(row.calls) })),
    };
  }

  async function known(taskId: string) {
    const task = await db.selectFrom('tasks').select(['id', 'type', 'spend', 'budget']).where('id', '=', taskId).executeTakeFirst();
    if (!task) throw notFound('task', taskId);
    return task;
  }

  return { read, readAgent, readRun, story, cost };
}

/** Which rows of a part belong to a story; null = none do. */
function conditionOf(scope: Scope, kind: Kind, { from, to, isNotable }: StoryPage): RawBuilder<unknown> | null {
  const { at, only } = PARTS[kind];
  const own = ownOf(scope, kind);
  if (own === null) return null;
  const column = sql.raw(at);
  return sql.join(
    [
      own,
      ...(only === undefined ? [] : [sql.raw(only)]),
      ...(from === undefined ? [] : [sql`${column} >= ${from}::bigint`]),
      ...(to === undefined ? [] : [sql`${column} <= ${to}::bigint`]),
      ...(isNotable && kind === 'call' ? [sql.raw(NOTABLE)] : []),
    ],
    sql` and `,
  );
}

function ownOf(scope: Scope, kind: Kind): RawBuilder<unknown> | null {
  switch (scope.kind) {
    case 'task':
      return kind === 'act' ? null : sql`task_id = ${scope.id}`;
    case 'agent':
      if (kind === 'document') return null;
      if (kind === 'transition') return sql`actor_id = ${scope.id}`;
      if (kind === 'message') return sql`author_id = ${scope.id}`;
      return kind === 'act' ? sql`subject_type = 'agent' and subject_id = ${scope.id}` : sql`agent_id = ${scope.id}`;
    case 'run':
      if (kind === 'run') return sql`id = ${scope.rowId}`;
      if (kind !== 'call' && kind !== 'approval') return null;
      // A call of a run may be recorded a moment before or after the run itself.
      return sql`agent_id = ${scope.agentId} and run_id = ${scope.runId}
        and created_at between ${scope.from - RUN_SLACK_MS}::bigint and ${scope.to + RUN_SLACK_MS}::bigint`;
    case 'window':
      return kind === 'document' || kind === 'delivery' ? null : sql`true`;
  }
}

const RUN_SLACK_MS = 60_000;

function partOf(kind: Kind, condition: RawBuilder<unknown>, order: 'asc' | 'desc', limit: number): RawBuilder<unknown> {
  const { table, at, id = 'id', actorType, actorId, summary, causeBy, causeId, cause, cost = 'null', details } = PARTS[kind];
  const key = kind === 'act' ? 'seq' : 'id';
  return sql`(${sql.raw(
    `select '${kind}' as kind, ${id} as id, ${id} as sort, ${at} as at, (${actorType})::text as actor_type, (${actorId})::text as actor_id, ${summary} as summary,
      (${causeBy})::text as cause_by, (${causeId})::text as cause_id, left((${cause})::text, 500) as cause, (${cost})::bigint as cost, ${details} as details from ${table}`,
  )} where ${condition} order by ${sql.raw(`${at} ${order}, ${key} ${order}`)} limit ${limit})`;
}

/** What comes after the cursor: between kinds the order of their names, within one the order of its index. */
function below(kind: Kind, after: readonly [number, string, string] | null, order: 'asc' | 'desc'): RawBuilder<unknown> {
  if (after === null) return sql`true`;
  const [at, cursorKind, id] = after;
  const column = sql.raw(PARTS[kind].at);
  const further = sql.raw(order === 'asc' ? '>' : '<');
  if (kind !== cursorKind) {
    const comesLater = order === 'asc' ? kind > cursorKind : kind < cursorKind;
    return comesLater ? sql`${column} ${further}= ${at}::bigint` : sql`${column} ${further} ${at}::bigint`;
  }
  if (kind === 'act') return sql`(at, seq) ${further} (${at}::bigint, ${/^\d{16}$/.test(id) ? Number(id) : 0}::bigint)`;
  return sql`(${column}, id) ${further} (${at}::bigint, ${id}::text)`;
}

function view(row: TimelineRow): TimelineEntry {
  const { costMicros, ...details } = row.details;
  return {
    kind: row.kind,
    id: row.id,
    at: Number(row.at),
    actorType: row.actor_type,
    actorId: row.actor_id,
    summary: row.summary,
    cause: row.cause_by === null ? null : { by: row.cause_by, id: row.cause_id, text: row.cause },
    cost: row.cost === null ? null : usdFromMicros(Number(row.cost)),
    details: typeof costMicros === 'number' ? { ...details, cost: usdFromMicros(costMicros) } : details,
  };
}
