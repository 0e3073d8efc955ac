/**
 * From a proxy's journal to the record: call rows, runs, spend, audit and feed, one transaction per batch. The cursor moves in
 * the same transaction, so a batch that arrives twice counts once, and one that fails is sent again whole.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { type JsonObject, labelScope, summaryOf } from '../policies/index.ts';
import type { Agents } from './agents.ts';
import type { Alerts } from './alerts.ts';
import { type AuditEntry, appendAudit, SYSTEM } from './audit.ts';
import { callRowOf } from './call-rows.ts';
import type { Caps } from './caps.ts';
import { touch } from './changes.ts';
import type { CallFacts, JournalEntry, JournalEvent, KnownLabel, ToolCallView } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import { keepDetours } from './detours.ts';
import { keepDrill } from './drills.ts';
import { keepEvidence, noteProof } from './gate-evidence.ts';
import type { Gateways } from './gateways.ts';
import type { EndedCall, Spend } from './spend.ts';
import { renewCostSummaries } from './tasks.ts';

export type Ingest = ReturnType<typeof createIngest>;
type CallEvent = Extract<JournalEvent, { type: 'held' | 'denied' | 'intent' }>;
type EndEvent = Extract<JournalEvent, { type: 'completed' | 'withdrawn' | 'refused' }>;

interface Dependencies {
  db: Db;
  clock: () => number;
  agents: Agents;
  gateways: Gateways;
  alerts: Alerts;
  spend: Spend;
  caps: Caps;
  published: () => void;
}

/** What a run is closed with that has fallen silent (workers/reconciler.ts); a call that comes all the same opens it again. */
export const RUN_SILENT = 'no sign of life for 30 minutes';

/** How far along a call is: an event of another proxy that arrives late never takes a record back. */
const RANK = sql`case tool_calls.status when 'needs_approval' then 0 when 'running' then 1 else 2 end`;
const EXCLUDED_RANK = sql`case excluded.status when 'needs_approval' then 0 when 'running' then 1 else 2 end`;

/** Every type of event that this version records. */
const KNOWN: Readonly<Record<JournalEvent['type'], true>> = {
  ...{ held: true, denied: true, intent: true, completed: true, withdrawn: true, refused: true, run: true, run_end: true },
  ...{ heartbeat: true, connection: true, results: true, unasked: true, drill: true, canary: true, ungated: true, detour: true },
  ...{ spawned: true, despawned: true },
};

/** A proxy of a later version has recorded something that this one would lose. It stays in the journal until somebody takes it. */
export class UnknownEvent extends Error {
  readonly code = 'UNKNOWN_EVENT';
}

export function createIngest({ db, clock, agents, gateways, alerts, spend, caps, published }: Dependencies) {
  /** Ingests a batch, or none of it. @throws UnknownEvent. @returns the last sequence number that is now recorded. */
  async function ingest(proxyId: string, entries: readonly JournalEntry[]): Promise<number> {
    const strange = entries.find(({ event }) => !Object.hasOwn(KNOWN, event.type))?.event.type;
    if (strange !== undefined)
      throw new UnknownEvent(
        `The journal of ${proxyId} has an event "${strange}" that this version does not know: the proxy is of a later one. It keeps the event; upgrade this control.`,
      );
    const acknowledged = await db.transaction().execute(async (tx) => {
      const cursor = await lockCursor(tx, proxyId);
      const fresh = entries.filter((entry) => entry.seq > cursor);
      const last = fresh.at(-1);
      if (!last) return cursor;
      await record(
        tx,
        proxyId,
        fresh.map((entry) => entry.event),
      );
      await tx.updateTable('journal_cursors').set({ seq: last.seq, updated_at: clock() }).where('proxy_id', '=', proxyId).execute();
      return last.seq;
    });
    published();
    return acknowledged;
  }

  async function record(tx: Tx, proxyId: string, events: readonly JournalEvent[]): Promise<void> {
    const calls: CallEvent[] = [];
    const ends: EndEvent[] = [];
    const ungated = new Map<string, Extract<JournalEvent, { type: 'ungated' }>>();
    const touched = new Map<string, { topic: string; entity_id: string; at: number }>();
    const mark = (topic: string, id: string, at: number) => touched.set(`${topic} ${id}`, { topic, entity_id: id, at });

    for (const event of events) {
      switch (event.type) {
        case 'held':
        case 'denied':
        case 'intent':
          calls.push(event);
          mark('tool_call', event.call.id, event.at);
          mark('agent', event.call.agentId, event.at);
          break;
        case 'completed':
        case 'withdrawn':
        case 'refused':
          ends.push(event);
          mark('tool_call', event.id, event.at);
          break;
        case 'heartbeat':
          await gateways.heard(tx, event.gatewayId, event.pluginVersion, event.at);
          await agents.markHeartbeat(tx, event.agents, event.at);
          break;
        case 'connection':
        case 'results':
        case 'unasked':
          break;
        case 'drill':
          await keepDrill(tx, alerts, proxyId, event);
          break;
        case 'canary':
          await noteProof(tx, event.agentId, event.entry, 'canary', event.at);
          break;
        case 'ungated':
          ungated.set(event.agentId, event);
          break;
        case 'spawned': {
          const id = await agents.spawned(tx, event);
          mark('agent', event.parentId, event.at);
          if (id !== null) mark('agent', id, event.at);
          break;
        }
        case 'despawned':
          await agents.despawned(tx, event);
          mark('agent', event.parentId, event.at);
          break;
        case 'run_end': {
          const id = await endRun(tx, event);
          if (id !== null) mark('run', id, event.at);
          break;
        }
        case 'run':
          await upsertRun(
            tx,
            event.agentId,
            event.runId,
            event.sessionKey,
            event.taskId,
            event.at,
            event.allowed ? 'running' : 'blocked',
            event.message,
          );
          break;
      }
    }
    // The chain first: its lock puts concurrent batches, and so the outbox, into one order.
    await appendAudit(tx, events.flatMap(auditOf));
    await upsertCalls(tx, proxyId, calls);
    await countRuns(tx, calls);
    await keepLabels(tx, calls);
    await keepEvidence(tx, events, clock());
    await keepDetours(tx, events, clock());
    const settled = await endCalls(tx, ends);
    await caps.contain(tx, await spend.settle(tx, settled));
    await renewCostSummaries(tx, [...new Set(settled.flatMap(({ task_id }) => task_id ?? []))], clock());
    await followErrors(tx, settled);
    await releaseOriginals(tx, settled);
    await feedDenials(tx, calls, mark);
    for (const row of settled) {
      mark('agent', row.agent_id, row.ended_at ?? 0);
      if (row.approval_id) mark('approval', row.approval_id, row.ended_at ?? 0);
      // Its spend has grown with it.
      if (row.task_id && row.cost) mark('task', row.task_id, row.ended_at ?? 0);
    }
    for (const event of ungated.values()) await raiseUngated(tx, event);
    await touch(tx, [...touched.values()]);
  }

  /** Its tools run, and the gate in its OpenClaw did not ask about them (SPEC 3.4). */
  async function raiseUngated(tx: Tx, { agentId, tool }: Extract<JournalEvent, { type: 'ungated' }>): Promise<void> {
    const agent = await tx.selectFrom('agents').select('name').where('id', '=', agentId).executeTakeFirst();
    await alerts.raise(tx, {
      type: 'gate_missing',
      severity: 'critical',
      agentId,
      message: `${agent?.name ?? agentId} called ${tool} and its OpenClaw gate had not asked about it: what it runs inside OpenClaw may be ungated. Its MCP calls are judged as an intern's. Check the plugin: npm run -s mc -- doctor`,
    });
  }

  return { ingest };
}

interface EndedRow extends EndedCall {
  approval_id: string | null;
  status: ToolCallView['status'];
  ended_by_caller: boolean | null;
}

async function lockCursor(tx: Tx, proxyId: string): Promise<number> {
  await tx
    .insertInto('journal_cursors')
    .values({ proxy_id: proxyId, seq: 0, updated_at: 0 })
    .onConflict((conflict) => conflict.column('proxy_id').doNothing())
    .execute();
  const row = await tx.selectFrom('journal_cursors').select('seq').where('proxy_id', '=', proxyId).forUpdate().executeTakeFirstOrThrow();
  return row.seq;
}

/** One statement for the batch, whatever its size: columns travel as one JSON document (PERFORMANCE.md 3). */
async function upsertCalls(tx: Tx, proxyId: string, events: readonly CallEvent[]): Promise<void> {
  const latest = new Map<string, ReturnType<typeof rowOf>>();
  for (const event of events) {
    const row = rowOf(event, proxyId);
    const before = latest.get(row.id);
    latest.set(row.id, before ? { ...row, held_at: before.held_at ?? row.held_at } : row);
  }
  if (latest.size === 0) return;
  await sql`
    insert into tool_calls
    select * from jsonb_populate_recordset(null::tool_calls, ${json([...latest.values()])})
    on conflict (id) do update set
      status = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.status else tool_calls.status end,
      verdict = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.verdict else tool_calls.verdict end,
      risk = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.risk else tool_calls.risk end,
      reasons = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.reasons else tool_calls.reasons end,
      input = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.input else tool_calls.input end,
      summary = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.summary else tool_calls.summary end,
      estimated_cost = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.estimated_cost else tool_calls.estimated_cost end,
      policy_version = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.policy_version else tool_calls.policy_version end,
      facts = case when ${EXCLUDED_RANK} >= ${RANK} then excluded.facts else tool_calls.facts end,
      approval_id = coalesce(excluded.approval_id, tool_calls.approval_id),
      held_at = coalesce(tool_calls.held_at, excluded.held_at),
      started_at = coalesce(tool_calls.started_at, excluded.started_at),
      proxy_id = coalesce(excluded.proxy_id, tool_calls.proxy_id),
      ended_at = coalesce(tool_calls.ended_at, excluded.ended_at)
  `.execute(tx);
}

function rowOf({ type, at, call, judged, input, summary = summaryOf(input), approvalId }: CallEvent, proxyId: string) {
  const status = type === 'intent' ? 'running' : type === 'held' ? 'needs_approval' : 'blocked';
  return callRowOf({ call, judged, status, at, input, summary, approvalId, proxyId: type === 'intent' ? proxyId : null });
}

async function endCalls(tx: Tx, events: readonly EndEvent[]): Promise<EndedRow[]> {
  if (events.length === 0) return [];
  // A call ends once: the second outcome of the same call changes nothing and costs nothing.
  const result = await sql<EndedRow>`
    update tool_calls set status = ended.status, verdict = coalesce(ended.verdict, tool_calls.verdict),
      reasons = coalesce(ended.reasons, tool_calls.reasons), output = ended.output, error = ended.error, duration = ended.duration,
      cost = ended.cost, ended_at = ended.ended_at, usage = ended.usage, cost_estimated = ended.cost_estimated,
      ended_by_caller = ended.ended_by_caller,
      price_entry = ended.price_entry
    from jsonb_to_recordset(${json(events.map(endOf))}) as ended(id text, status text, verdict text, reasons jsonb, output text, error text,
      duration double precision, cost bigint, ended_at bigint, scopes jsonb, usage jsonb, cost_estimated boolean, ended_by_caller boolean, price_entry text)
    where tool_calls.id = ended.id and tool_calls.status in ('running', 'needs_approval')
    returning tool_calls.id, tool_calls.agent_id, tool_calls.task_id, tool_calls.run_id, tool_calls.approval_id, tool_calls.status,
      tool_calls.cost, tool_calls.started_at, tool_calls.ended_at, tool_calls.entry, tool_calls.tool, tool_calls.provider,
      tool_calls.model, tool_calls.proxy_id, tool_calls.ended_by_caller, ended.scopes
  `.execute(tx);
  return result.rows;
}

function endOf(event: EndEvent) {
  const nothing = { verdict: null, reasons: null, output: null, error: null, duration: null, cost: null };
  switch (event.type) {
    case 'completed': {
      const { id, status, output, error, durationMs, cost, at, scopes = null, meter, endedByCaller = null } = event;
      const metered = meter && { usage: meter.usage, cost_estimated: meter.isEstimated, price_entry: meter.priceEntry };
      return {
        ...nothing,
        id,
        status,
        output,
        error,
        duration: durationMs,
        cost,
        ended_at: at,
        scopes,
        ended_by_caller: endedByCaller,
        ...metered,
      };
    }
    case 'withdrawn':
      return { ...nothing, id: event.id, status: 'withdrawn', error: event.reason, ended_at: event.at };
    case 'refused':
      return { ...nothing, id: event.id, status: 'blocked', verdict: 'deny', reasons: event.reasons, ended_at: event.at };
  }
}

/** Failures in a row per agent; a success clears them, and what a caller ended is neither. */
async function followErrors(tx: Tx, rows: readonly EndedRow[]): Promise<void> {
  for (const row of rows) {
    if ((row.status !== 'success' && row.status !== 'failed') || row.ended_by_caller === true) continue;
    await tx
      .updateTable('agents')
      .set((eb) => ({ error_streak: row.status === 'failed' ? eb('error_streak', '+', 1) : 0 }))
      .where('id', '=', row.agent_id)
      .$if(row.status === 'success', (query) => query.where('error_streak', '<>', 0))
      .execute();
  }
}

/** The original arguments of a call that ran under an approval are no longer needed. */
async function releaseOriginals(tx: Tx, rows: readonly EndedRow[]): Promise<void> {
  const approvals = rows.flatMap((row) => (row.approval_id && row.status !== 'withdrawn' ? [row.id] : []));
  if (approvals.length === 0) return;
  await tx.updateTable('held_calls').set({ sealed: '' }).where('id', 'in', approvals).execute();
}

async function countRuns(tx: Tx, events: readonly CallEvent[]): Promise<void> {
  const agents = new Map<string, number>();
  const runs = new Map<string, { call: CallFacts; at: number; started: number }>();
  for (const { type, at, call } of events) {
    agents.set(call.agentId, Math.max(at, agents.get(call.agentId) ?? 0));
    if (call.runId === null) continue;
    const key = `${call.agentId} ${call.runId}`;
    // A turn of the model is no use of a tool.
    const started = (runs.get(key)?.started ?? 0) + (type === 'intent' && call.entry !== 'model' ? 1 : 0);
    runs.set(key, { call, at, started });
  }
  for (const [id, at] of agents) {
    await tx.updateTable('agents').set({ last_call_at: at }).where('id', '=', id).execute();
  }
  for (const { call, at, started } of runs.values()) {
    if (call.runId === null) continue;
    await upsertRun(tx, call.agentId, call.runId, call.sessionKey, call.taskId, at, 'running', null, started);
  }
}

/** What calls that ran add to the labels of their runs and sessions; the proxies take them up again at a start. */
async function keepLabels(tx: Tx, events: readonly CallEvent[]): Promise<void> {
  const rows = new Map<string, { agent_id: string; scope: string; label: KnownLabel['label']; at: number }>();
  for (const { type, at, call, judged } of events) {
    if (type !== 'intent') continue;
    for (const label of judged.labels ?? []) {
      const scope = labelScope(label, call);
      rows.set(`${scope} ${label}`, { agent_id: call.agentId, scope, label, at });
    }
  }
  if (rows.size === 0) return;
  await tx
    .insertInto('run_labels')
    .values([...rows.values()])
    .onConflict((conflict) => conflict.columns(['agent_id', 'scope', 'label']).doUpdateSet((eb) => ({ at: eb.ref('excluded.at') })))
    .execute();
}

async function upsertRun(
  tx: Tx,
  agentId: string,
  runId: string,
  sessionKey: string,
  taskId: string | null,
  at: number,
  status: 'running' | 'blocked',
  message: string | null,
  calls = 0,
): Promise<void> {
  await tx
    .insertInto('runs')
    .values({
      id: randomUUID(),
      run_id: runId,
      agent_id: agentId,
      task_id: taskId,
      session_key: sessionKey,
      started_at: at,
      last_seen_at: at,
      ended_at: status === 'blocked' ? at : null,
      status,
      cost: 0,
      tool_call_count: calls,
      error_message: message,
    })
    .onConflict((conflict) =>
      conflict.columns(['agent_id', 'run_id']).doUpdateSet((eb) => ({
        last_seen_at: at,
        tool_call_count: eb('runs.tool_call_count', '+', calls),
        task_id: eb.fn.coalesce('runs.task_id', eb.ref('excluded.task_id')),
        // One that was closed for its silence and speaks again was not over.
        status: sql<'running'>`case when runs.error_message = ${RUN_SILENT} then 'running' else runs.status end`,
        ended_at: sql<number | null>`case when runs.error_message = ${RUN_SILENT} then null else runs.ended_at end`,
        error_message: sql<string | null>`nullif(runs.error_message, ${RUN_SILENT})`,
      })),
    )
    .execute();
}

/** A run is over, as its gate says; what was refused or is over already stays as it is. @returns the id of its row. */
async function endRun(tx: Tx, { agentId, runId, at, status, message }: Extract<JournalEvent, { type: 'run_end' }>): Promise<string | null> {
  const row = await tx
    .updateTable('runs')
    .set({ status, ended_at: at, last_seen_at: at, error_message: message })
    .where('agent_id', '=', agentId)
    .where('run_id', '=', runId)
    .where('status', '=', 'running')
    .returning('id')
    .executeTakeFirst();
  return row?.id ?? null;
}

async function feedDenials(tx: Tx, events: readonly CallEvent[], mark: (topic: string, id: string, at: number) => void): Promise<void> {
  const denied = events.filter((event) => event.type === 'denied');
  if (denied.length === 0) return;
  const rows = await tx
    .insertInto('activities')
    .values(
      denied.map(({ at, call, judged, input, summary = summaryOf(input) }) => ({
        created_at: at,
        type: 'call_denied' as const,
        task_id: call.taskId,
        agent_id: call.agentId,
        actor_id: null,
        actor_type: 'system' as const,
        summary: `Denied: ${call.tool} ${summary}`,
        details: json({ callId: call.id, tool: call.tool, risk: judged.risk, code: judged.reasons[0]?.code ?? null }),
      })),
    )
    .returning('id')
    .execute();
  for (const row of rows) mark('activity', String(row.id), denied[0]?.at ?? 0);
}

/** What the audit chain keeps of a journal event; heartbeats are no acts. */
function auditOf(event: JournalEvent): AuditEntry[] {
  switch (event.type) {
    case 'held':
    case 'denied':
    case 'intent': {
      const { call, judged } = event;
      return [
        entry(
          event.at,
          `call.${event.type === 'intent' ? 'started' : event.type}`,
          call.id,
          {
            tool: call.tool,
            verdict: judged.verdict,
            risk: judged.risk,
            reasons: judged.reasons.map((reason) => reason.code),
            digest: call.digest,
            taskId: call.taskId,
            runId: call.runId,
            approvalId: event.approvalId,
            policyVersion: judged.policyVersion,
          },
          { agentId: call.agentId, input: event.input },
        ),
      ];
    }
    case 'completed':
      return [entry(event.at, 'call.completed', event.id, { status: event.status, cost: event.cost, durationMs: event.durationMs })];
    case 'withdrawn':
      return [entry(event.at, 'call.withdrawn', event.id, { reason: event.reason })];
    case 'refused':
      return [entry(event.at, 'call.refused', event.id, { reasons: event.reasons.map((reason) => reason.code) })];
    case 'run':
      return [
        entry(
          event.at,
          event.allowed ? 'run.started' : 'run.refused',
          event.runId,
          { sessionKey: event.sessionKey },
          { agentId: event.agentId, subjectType: 'run' },
        ),
      ];
    // Recorded with the agent that they make or end.
    case 'spawned':
    case 'despawned':
      return [];
    case 'run_end':
      return [
        entry(
          event.at,
          'run.ended',
          event.runId,
          { status: event.status, message: event.message },
          { agentId: event.agentId, subjectType: 'run' },
        ),
      ];
    case 'ungated':
      return [
        entry(
          event.at,
          'gate.bypassed',
          event.agentId,
          { tool: event.tool, gatewayId: event.gatewayId },
          { agentId: event.agentId, subjectType: 'agent' },
        ),
      ];
    case 'connection': {
      const { at, id, phase, door, by, gatewayId, callId, target, status, bytesUp, bytesDown, durationMs, error } = event;
      const details = { door, target, gatewayId, callId, ...(phase === 'closed' && { status, bytesUp, bytesDown, durationMs, error }) };
      return [{ at, actor: by, action: `connection.${phase}`, subjectType: 'connection', subjectId: id, details }];
    }
    case 'unasked': {
      const { at, agentId, gatewayId, call, why } = event;
      return [entry(at, 'call.unasked', agentId, { tool: call.tool, why, gatewayId }, { agentId, subjectType: 'agent' })];
    }
    // Held against what the gate was asked about; what that shows is recorded.
    case 'results':
    case 'detour':
    case 'drill':
    case 'canary':
    case 'heartbeat':
      return [];
  }
}

/** @param more the agent who did it (else the system), what it is about where that is no call, and its arguments. */
function entry(
  at: number,
  action: string,
  id: string,
  details: JsonObject,
  more: { agentId?: string; subjectType?: string; input?: JsonObject } = {},
): AuditEntry {
  const { agentId, subjectType = 'tool_call', input } = more;
  const actor = agentId === undefined ? SYSTEM : { type: 'agent' as const, id: agentId, name: agentId };
  return { at, actor, action, subjectType, subjectId: id, details, ...(input !== undefined && { payload: { input } }) };
}
