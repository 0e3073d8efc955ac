/**
 * What still has to reach an agent in OpenClaw: the brief that wakes it, a notice, a mention, or the end of a run. A row is written in
 * the transaction of what caused it, so neither is there without the other; it is sent at least once under a key of its own, by which
 * OpenClaw drops a repeat. Agents without a gateway have no session to speak into: they read their tasks by themselves.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { ToolNames } from './briefs.ts';
import { OWN_SERVER } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { DeliveriesTable } from './db/schema.ts';

export type Deliveries = ReturnType<typeof createDeliveries>;

export interface NewDelivery {
  kind: DeliveriesTable['kind'];
  agentId: string;
  task: { id: string; number: number };
  text: string;
  /** One delivery for ever under this key, whoever asks again. */
  key: string;
}

/** One that can be sent now, with where it goes. */
export interface DueDelivery {
  id: string;
  kind: DeliveriesTable['kind'];
  agentId: string;
  gatewayId: string;
  sessionKey: string;
  text: string;
  attempts: number;
}

/** Waits between attempts: doubling from the first to the last, milliseconds. */
const RETRY_MIN_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** What could not be said for a day is said no more. */
const KEEP_MS = 24 * 60 * 60 * 1000;
const BATCH = 50;

/** Adds deliveries in the caller's transaction; for agents of a gateway only. */
export async function enqueue(tx: Tx, wanted: readonly NewDelivery[], now: number): Promise<void> {
  for (const { kind, agentId, task, text, key } of wanted) {
    const sessionKey = await sessionFor(tx, task, agentId, now);
    if (sessionKey === null) continue;
    await tx
      .insertInto('deliveries')
      .values({
        id: randomUUID(),
        dedupe_key: key,
        created_at: now,
        due_at: now,
        kind,
        agent_id: agentId,
        task_id: task.id,
        session_key: sessionKey,
        text,
        attempts: 0,
        delivered_at: null,
        dropped_at: null,
        last_error: null,
      })
      .onConflict((conflict) => conflict.column('dedupe_key').doNothing())
      .execute();
  }
}

/**
 * The session in which an agent works on a task: one of its own for each task, so that parallel tasks of one agent are told apart
 * (SPEC 3, Attribution). The one that an operator wrote down for the task belongs to its first assignee.
 * @returns its key, or null where the agent is in no OpenClaw.
 */
async function sessionFor(tx: Tx, task: { id: string; number: number }, agentId: string, now: number): Promise<string | null> {
  const known = await tx
    .selectFrom('task_sessions')
    .select('session_key')
    .where('task_id', '=', task.id)
    .where('agent_id', '=', agentId)
    .executeTakeFirst();
  if (known) return known.session_key;
  const agent = await tx.selectFrom('agents').select(['gateway_id', 'external_id']).where('id', '=', agentId).executeTakeFirst();
  if (!agent?.gateway_id || !agent.external_id) return null;
  const row = await tx.selectFrom('tasks').select(['session_key', 'assignee_ids']).where('id', '=', task.id).executeTakeFirst();
  const isFirst = (row?.assignee_ids as string[] | undefined)?.[0] === agentId;
  const sessionKey = (isFirst ? row?.session_key : null) ?? `agent:${agent.external_id}:mc-task-${task.number}`;
  await tx
    .insertInto('task_sessions')
    .values({ task_id: task.id, agent_id: agentId, session_key: sessionKey, created_at: now })
    .onConflict((conflict) => conflict.columns(['task_id', 'agent_id']).doNothing())
    .execute();
  if (isFirst && row?.session_key === null)
    await tx.updateTable('tasks').set({ session_key: sessionKey }).where('id', '=', task.id).execute();
  return sessionKey;
}

export function createDeliveries({ db, clock }: { db: Db; clock: () => number }) {
  /**
   * What can be sent now, oldest first. An agent that is paused or stopped is not woken: what is for it waits until it is active
   * again. A run is ended whatever the agent's state.
   */
  async function due(): Promise<DueDelivery[]> {
    const now = clock();
    await dropPointless(now);
    const rows = await db
      .selectFrom('deliveries')
      .innerJoin('agents', 'agents.id', 'deliveries.agent_id')
      .select([
        'deliveries.id',
        'deliveries.kind',
        'deliveries.agent_id',
        'deliveries.session_key',
        'deliveries.text',
        'deliveries.attempts',
      ])
      .select(sql<string>`agents.gateway_id`.as('gateway_id'))
      .where('delivered_at', 'is', null)
      .where('dropped_at', 'is', null)
      .where('due_at', '<=', now)
      .where('agents.gateway_id', 'is not', null)
      .where((eb) =>
        eb.or([
          eb('deliveries.kind', '=', 'abort'),
          eb.and([
            eb.or([
              eb('agents.status', '=', 'active'),
              // A draining agent finishes what it has begun.
              eb.and([eb('agents.status', '=', 'drained'), eb('agents.current_task_id', '=', eb.ref('deliveries.task_id'))]),
            ]),
            eb.not(eb.exists(eb.selectFrom('system_state').select('id').where('estop', '=', true))),
          ]),
        ]),
      )
      .orderBy('deliveries.created_at')
      .orderBy('deliveries.id')
      .limit(BATCH)
      .execute();
    return rows.map((row) => ({
      id: row.id,
      kind: row.kind,
      agentId: row.agent_id,
      gatewayId: row.gateway_id,
      sessionKey: row.session_key,
      text: row.text,
      attempts: row.attempts,
    }));
  }

  /** A brief for a task that is closed or not the agent's any more wakes nobody. */
  async function dropPointless(now: number): Promise<void> {
    await sql`
      update deliveries set dropped_at = ${now}::bigint, last_error = coalesce(last_error, 'no longer of use')
      from tasks, agents
      where tasks.id = deliveries.task_id and agents.id = deliveries.agent_id and delivered_at is null and dropped_at is null and (
        deliveries.created_at <= ${now - KEEP_MS}::bigint
        or agents.removed_at is not null or agents.status = 'stopped'
        or (deliveries.kind <> 'abort' and (tasks.removed_at is not null or tasks.status in ('done', 'canceled')))
        or (deliveries.kind = 'brief' and not tasks.assignee_ids @> jsonb_build_array(deliveries.agent_id)))
    `.execute(db);
  }

  async function delivered(id: string): Promise<void> {
    await db
      .updateTable('deliveries')
      .set((eb) => ({ delivered_at: clock(), attempts: eb('attempts', '+', 1), last_error: null }))
      .where('id', '=', id)
      .where('delivered_at', 'is', null)
      .execute();
  }

  async function failed(delivery: DueDelivery, error: string): Promise<void> {
    const wait = Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** Math.min(delivery.attempts, 16));
    await db
      .updateTable('deliveries')
      .set((eb) => ({ due_at: clock() + wait, attempts: eb('attempts', '+', 1), last_error: error.slice(0, 1000) }))
      .where('id', '=', delivery.id)
      .where('delivered_at', 'is', null)
      .execute();
  }

  return { due, delivered, failed };
}

/** How each of these agents knows Mission Control's tools: by the name of its MCP entry, which `openclaw connect` has noted with it. */
export async function toolNamesOf(tx: Tx, agentIds: readonly string[]): Promise<(agentId: string) => ToolNames> {
  const entries = new Map<string, string>();
  if (agentIds.length > 0) {
    const rows = await tx
      .selectFrom('agents')
      .select(['id', 'metadata'])
      .where('id', 'in', [...agentIds])
      .execute();
    for (const { id, metadata } of rows) {
      const { mcpAliases } = metadata;
      if (typeof mcpAliases !== 'object' || mcpAliases === null) continue;
      const entry = Object.entries(mcpAliases).find(([, upstream]) => upstream === OWN_SERVER)?.[0];
      if (entry !== undefined) entries.set(id, entry);
    }
  }
  return (agentId) => ({ entry: entries.get(agentId) ?? OWN_SERVER });
}
