/**
 * Ways round Mission Control that leave the gate inside OpenClaw as it is (SPEC 10): a run that its agent's model answered although no request
 * to a model came here, and a tool of a registered MCP server that ran although its call did not come here. Both show in what the gate says
 * of runs and outcomes. Each is a critical alert of its own; no call waits for it.
 *
 * Invariant: an agent is accused of a model past us only where its models went through us before; who never was connected goes past us by
 * intention, and `connect` has named it.
 */
import { sql } from 'kysely';
import type { Alerts } from './alerts.ts';
import { appendAudit, SYSTEM } from './audit.ts';
import type { JournalEvent } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';

interface Dependencies {
  db: Db;
  clock: () => number;
  alerts: Alerts;
  published: () => void;
}

type Way = 'model' | 'mcp';
interface Detour {
  agent_id: string;
  agent_name: string;
  tool: string;
}

/** What another proxy has of it may come so much later. */
const GRACE_MS = 10_000;
/** Runs that began earlier were looked at. */
const RECENT_MS = 10 * 60 * 1000;
/** Proxies' clocks are this close. */
const CLOCKS_MS = 5_000;
/** An agent whose models went through us within this time is connected. */
const CONNECTED_MS = 7 * 24 * 60 * 60 * 1000;
const STEP = 500;
const ACCUSED_MAX = 10_000;

/** Alerts about the gate itself are another matter, and end by themselves. */
function detourSubject(way: Way, agentId: string): string {
  return `${way}:${agentId}`;
}

/** Keeps what a batch of a journal says of MCP calls that did not come here; in the transaction that records the batch. @param now control's time. */
export async function keepDetours(tx: Tx, events: readonly JournalEvent[], now: number): Promise<void> {
  const rows = events.flatMap((event) =>
    event.type === 'detour' ? [{ agent_id: event.agentId, tool: event.tool, asked_at: event.askedAt, at: now }] : [],
  );
  if (rows.length === 0) return;
  await sql`
    insert into gate_detours (agent_id, tool, asked_at, at)
    select agent_id, tool, asked_at, at from jsonb_to_recordset(${json(rows)}) as d(agent_id text, tool text, asked_at bigint, at bigint)
  `.execute(tx);
}

export function createDetours({ db, clock, alerts, published }: Dependencies) {
  const startedAt = clock();
  /** Runs that led to an alert already: whoever closes it need not close it again for the same run. */
  const accused = new Set<string>();

  /** Raises what went round. To be called every few seconds, while no proxy is away. */
  async function sweep(): Promise<void> {
    const now = clock();
    const isNews = await db.transaction().execute(async (tx) => {
      const models = (await readModels(tx, now)).filter(({ id }) => !accused.has(id));
      for (const { id } of models) note(id);
      for (const run of models) await accuse(tx, 'model', run, now);
      const calls = await takeMcp(tx, now);
      for (const call of calls) await accuse(tx, 'mcp', call, now);
      return models.length + calls.length > 0;
    });
    if (isNews) published();
  }

  /** Runs that asked the gate, or ended well, and whose agent asked no model here since they began. */
  async function readModels(tx: Tx, now: number): Promise<(Detour & { id: string })[]> {
    const { rows } = await sql<Detour & { id: string }>`
      select runs.id, runs.agent_id, agents.name as agent_name, 'model_call' as tool
      from runs
        join agents on agents.id = runs.agent_id and agents.gate = 'openclaw' and agents.parent_id is null and agents.removed_at is null
        cross join lateral (select least(
          (select min(created_at) from tool_calls where agent_id = runs.agent_id and run_id = runs.run_id and entry = 'openclaw'
            and created_at >= runs.started_at),
          case when runs.status = 'success' then runs.ended_at end) as at) shown
      where runs.started_at > ${Math.max(startedAt, now - RECENT_MS)}::bigint and shown.at <= ${now - GRACE_MS}::bigint
        and not exists (select 1 from tool_calls where agent_id = runs.agent_id and entry = 'model'
          and created_at between runs.started_at - ${CLOCKS_MS}::bigint and shown.at + ${CLOCKS_MS}::bigint)
        and exists (select 1 from tool_calls where agent_id = runs.agent_id and entry = 'model'
          and created_at between runs.started_at - ${CONNECTED_MS}::bigint and runs.started_at)
      order by runs.started_at limit ${STEP}
    `.execute(tx);
    return rows;
  }

  /** Takes the MCP calls whose time is up; those that came to another proxy are in order. */
  async function takeMcp(tx: Tx, now: number): Promise<Detour[]> {
    const { rows } = await sql<Detour & { has_come: boolean }>`
      with due as (
        delete from gate_detours where id in (
          select id from gate_detours where at <= ${now - GRACE_MS}::bigint order by at, id limit ${STEP} for update skip locked)
        returning agent_id, tool, asked_at, at)
      select due.agent_id, due.tool, agents.name as agent_name,
        exists (select 1 from tool_calls where agent_id = due.agent_id and entry in ('mcp', 'mission-control') and tool = due.tool
          and created_at between due.asked_at - ${CLOCKS_MS}::bigint and due.at) as has_come
      from due join agents on agents.id = due.agent_id and agents.gate = 'openclaw' and agents.removed_at is null
    `.execute(tx);
    return rows.filter(({ has_come }) => !has_come);
  }

  async function accuse(tx: Tx, way: Way, { agent_id, agent_name, tool }: Detour, now: number): Promise<void> {
    const message =
      way === 'model'
        ? `${agent_name} worked without a request to its model coming here, and its models went through Mission Control before: they are reached past it, unmetered and unseen. Look at its model in OpenClaw and run: npm run -s mc -- openclaw connect`
        : `${agent_name} was allowed to call ${tool}, the call ended well and did not come here: that MCP server is reached past Mission Control. Look at mcp.servers in OpenClaw and run: npm run -s mc -- openclaw connect`;
    await alerts.raise(tx, {
      type: 'gate_missing',
      severity: 'critical',
      agentId: agent_id,
      subject: detourSubject(way, agent_id),
      message,
    });
    const details = { tool, shownBy: way };
    await appendAudit(tx, [{ at: now, actor: SYSTEM, action: 'gate.bypassed', subjectType: 'agent', subjectId: agent_id, details }]);
  }

  function note(id: string): void {
    accused.add(id);
    const oldest = accused.size > ACCUSED_MAX ? accused.values().next().value : undefined;
    if (oldest !== undefined) accused.delete(oldest);
  }

  return { sweep };
}
