/** Reading the record: tool calls, runs and the activity feed, in pages. Nothing here changes anything. */
import { usdFromMicros } from '../policies/index.ts';
import type { Activity, Run, ToolCallView } from './contract.ts';
import type { Db } from './db/database.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { notFound } from './problem.ts';

export type Calls = ReturnType<typeof createCalls>;

export interface CallFilter {
  agentId?: string | undefined;
  taskId?: string | undefined;
  approvalId?: string | undefined;
  runId?: string | undefined;
  status?: ToolCallView['status'] | undefined;
  verdict?: ToolCallView['verdict'] | undefined;
  limit: number;
  cursor?: string | undefined;
  /** Only calls older than this one; where there is no cursor. */
  before?: string | undefined;
}

export function createCalls({ db }: { db: Db }) {
  /** Newest first. */
  async function list(filter: CallFilter): Promise<{ items: ToolCallView[]; nextCursor: string | null }> {
    let query = selectCalls()
      .orderBy('tool_calls.created_at', 'desc')
      .orderBy('tool_calls.id', 'desc')
      .limit(filter.limit + 1);
    if (filter.agentId) query = query.where('tool_calls.agent_id', '=', filter.agentId);
    if (filter.taskId) query = query.where('tool_calls.task_id', '=', filter.taskId);
    if (filter.approvalId) query = query.where('tool_calls.approval_id', '=', filter.approvalId);
    if (filter.runId) query = query.where('tool_calls.run_id', '=', filter.runId);
    if (filter.status) query = query.where('tool_calls.status', '=', filter.status);
    if (filter.verdict) query = query.where('tool_calls.verdict', '=', filter.verdict);
    const from = filter.cursor ? decodeCursor(filter.cursor, ['number', 'string']) : await keyOf(filter.before);
    if (from) {
      const [at, id] = from;
      query = query.where((eb) =>
        eb.or([eb('tool_calls.created_at', '<', at), eb.and([eb('tool_calls.created_at', '=', at), eb('tool_calls.id', '<', id)])]),
      );
    }
    const rows = await query.execute();
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return {
      items: page.map(viewCall),
      nextCursor: rows.length > filter.limit && last ? encodeCursor([last.created_at, last.id]) : null,
    };
  }

  /** Where a call stands in the list. @throws Refusal 404 */
  async function keyOf(id: string | undefined): Promise<[number, string] | null> {
    if (id === undefined) return null;
    const row = await db.selectFrom('tool_calls').select('created_at').where('id', '=', id).executeTakeFirst();
    if (!row) throw notFound('tool call', id);
    return [row.created_at, id];
  }

  async function find(id: string): Promise<ToolCallView | null> {
    const row = await selectCalls().where('tool_calls.id', '=', id).executeTakeFirst();
    return row ? viewCall(row) : null;
  }

  function selectCalls() {
    return db
      .selectFrom('tool_calls')
      .leftJoin('agents', 'agents.id', 'tool_calls.agent_id')
      .selectAll('tool_calls')
      .select('agents.name as agent_name');
  }
  type CallRow = Awaited<ReturnType<ReturnType<typeof selectCalls>['execute']>>[number];

  function viewCall(row: CallRow): ToolCallView {
    return {
      id: row.id,
      createdAt: row.created_at,
      entry: row.entry,
      runId: row.run_id,
      taskId: row.task_id,
      agentId: row.agent_id,
      agentName: row.agent_name,
      sessionKey: row.session_key || null,
      callId: row.call_id,
      tool: row.tool,
      mappedTool: row.mapped_tool,
      risk: row.risk,
      verdict: row.verdict,
      reasons: row.reasons as ToolCallView['reasons'],
      status: row.status,
      input: row.input,
      output: row.output,
      error: row.error,
      duration: row.duration,
      heldFor: row.held_at === null ? null : Math.max(0, (row.started_at ?? row.ended_at ?? row.held_at) - row.held_at),
      cost: row.cost === null ? null : usdFromMicros(row.cost),
      ...(row.provider !== null && {
        modelCall: {
          provider: row.provider,
          model: row.model ?? '',
          usage: row.usage,
          isEstimated: row.cost_estimated === true,
          priceEntry: row.price_entry,
        },
      }),
      approvalId: row.approval_id,
      policyVersion: row.policy_version,
      summary: row.summary,
    };
  }

  async function listRuns(filter: {
    agentId?: string | undefined;
    taskId?: string | undefined;
    limit: number;
    cursor?: string | undefined;
  }) {
    let query = db
      .selectFrom('runs')
      .selectAll()
      .orderBy('started_at', 'desc')
      .orderBy('id', 'desc')
      .limit(filter.limit + 1);
    if (filter.agentId) query = query.where('agent_id', '=', filter.agentId);
    if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
    if (filter.cursor) {
      const [at, id] = decodeCursor(filter.cursor, ['number', 'string']);
      query = query.where((eb) => eb.or([eb('started_at', '<', at), eb.and([eb('started_at', '=', at), eb('id', '<', id)])]));
    }
    const rows = await query.execute();
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(viewRun), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.started_at, last.id]) : null };
  }

  async function findRun(id: string): Promise<Run | null> {
    const row = await db.selectFrom('runs').selectAll().where('id', '=', id).executeTakeFirst();
    return row ? viewRun(row) : null;
  }

  async function listActivities(filter: {
    agentId?: string | undefined;
    taskId?: string | undefined;
    type?: Activity['type'] | undefined;
    limit: number;
    cursor?: string | undefined;
    /** Only entries older than this one; where there is no cursor. */
    before?: number | undefined;
  }) {
    let query = db
      .selectFrom('activities')
      .selectAll()
      .orderBy('id', 'desc')
      .limit(filter.limit + 1);
    if (filter.agentId) query = query.where('agent_id', '=', filter.agentId);
    if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
    if (filter.type) query = query.where('type', '=', filter.type);
    if (filter.cursor) query = query.where('id', '<', decodeCursor(filter.cursor, ['number'])[0]);
    else if (filter.before !== undefined) query = query.where('id', '<', filter.before);
    const rows = await query.execute();
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(viewActivity), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.id]) : null };
  }

  async function findActivity(id: string): Promise<Activity | null> {
    const row = await db.selectFrom('activities').selectAll().where('id', '=', Number(id)).executeTakeFirst();
    return row ? viewActivity(row) : null;
  }

  return { list, find, listRuns, findRun, listActivities, findActivity };
}

function viewRun(row: {
  id: string;
  run_id: string;
  agent_id: string;
  task_id: string | null;
  session_key: string | null;
  started_at: number;
  ended_at: number | null;
  status: Run['status'];
  cost: number;
  tool_call_count: number;
  error_message: string | null;
}): Run {
  return {
    id: row.id,
    runId: row.run_id,
    agentId: row.agent_id,
    taskId: row.task_id,
    sessionKey: row.session_key,
    startTime: row.started_at,
    endTime: row.ended_at,
    status: row.status,
    cost: usdFromMicros(row.cost),
    toolCallCount: row.tool_call_count,
    errorMessage: row.error_message,
  };
}

function viewActivity(row: {
  id: number;
  created_at: number;
  type: Activity['type'];
  task_id: string | null;
  agent_id: string | null;
  actor_id: string | null;
  actor_type: Activity['actorType'];
  summary: string;
  details: Record<string, unknown>;
}): Activity {
  return {
    id: String(row.id),
    createdAt: row.created_at,
    type: row.type,
    taskId: row.task_id,
    agentId: row.agent_id,
    actorId: row.actor_id,
    actorType: row.actor_type,
    summary: row.summary,
    details: row.details,
  };
}
