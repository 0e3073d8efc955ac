/**
 * Everything that happened on a task in one order: moves, runs, calls, approvals, messages, alerts, documents, and what was said to its
 * agents; and what it cost. Read only; one query for a page, whatever it is made of.
 */
import { sql } from 'kysely';
import { usdFromMicros } from '../policies/index.ts';
import type { TimelineEntry } from './contract.ts';
import type { Db } from './db/database.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound } from './problem.ts';

export type Timeline = ReturnType<typeof createTimeline>;

interface TimelineRow {
  kind: TimelineEntry['kind'];
  id: string;
  at: number;
  actor_type: TimelineEntry['actorType'];
  actor_id: string | null;
  summary: string;
  details: Record<string, unknown>;
}

export function createTimeline({ db, activePolicy }: { db: Db; activePolicy: () => ActivePolicy }) {
  /** Oldest first, so that it reads as a story. @throws Refusal 404 for an unknown task; a removed one keeps its story. */
  async function read(taskId: string, { limit, cursor }: { limit: number; cursor?: string | undefined }) {
    await known(taskId);
    const [at, kind, id] = cursor === undefined ? [-1, '', ''] : decodeCursor(cursor, ['number', 'string', 'string']);
    const { rows } = await sql<TimelineRow>`
      select * from (
        select 'transition' as kind, id, created_at as at, actor as actor_type, actor_id,
          from_status || ' to ' || to_status || coalesce(': ' || reason, '') as summary,
          jsonb_build_object('from', from_status, 'to', to_status, 'reason', reason, 'artifacts', artifacts_provided) as details
        from task_transitions where task_id = ${taskId}
        union all
        select 'run', id, started_at, 'agent', agent_id, 'run ' || status,
          jsonb_build_object('runId', run_id, 'status', status, 'endTime', ended_at, 'costMicros', cost, 'calls', tool_call_count,
            'sessionKey', session_key, 'error', error_message)
        from runs where task_id = ${taskId}
        union all
        select 'call', id, created_at, 'agent', agent_id, tool || ' ' || summary,
          jsonb_build_object('tool', tool, 'entry', entry, 'risk', risk, 'verdict', verdict, 'status', status, 'costMicros', cost,
            'duration', duration, 'runId', run_id, 'approvalId', approval_id, 'error', left(error, 500))
        from tool_calls where task_id = ${taskId}
        union all
        select 'approval', id, created_at, case when agent_id is null then 'human' else 'agent' end, agent_id, summary,
          jsonb_build_object('number', number, 'kind', kind, 'status', status, 'risk', risk, 'approver', approver, 'note', decision,
            'decidedAt', decided_at)
        from approvals where task_id = ${taskId}
        union all
        select 'message', id, created_at, author_type, author_id, content, jsonb_build_object('author', author_name, 'mentions', mentions)
        from messages where task_id = ${taskId}
        union all
        select 'alert', id, created_at, 'system', null, message,
          jsonb_build_object('type', type, 'severity', severity, 'resolvedAt', resolved_at, 'resolvedBy', resolved_by)
        from alerts where task_id = ${taskId}
        union all
        select 'document', id, created_at, 'system', null, title, jsonb_build_object('kind', kind)
        from documents where task_id = ${taskId}
        union all
        select 'delivery', id, created_at, 'system', agent_id, kind || ' to its session',
          jsonb_build_object('kind', kind, 'agentId', agent_id, 'sessionKey', session_key, 'deliveredAt', delivered_at, 'droppedAt', dropped_at,
            'attempts', attempts, 'error', last_error)
        from deliveries where task_id = ${taskId}
      ) as entries
      where (at, kind, id) > (${at}::bigint, ${kind}::text, ${id}::text)
      order by at, kind, id
      limit ${limit + 1}
    `.execute(db);
    const page = rows.slice(0, limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > limit && last ? encodeCursor([last.at, last.kind, last.id]) : null };
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

  return { read, cost };
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
    details: typeof costMicros === 'number' ? { ...details, cost: usdFromMicros(costMicros) } : details,
  };
}
