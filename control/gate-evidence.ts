/**
 * Whether the gate inside OpenClaw gates (SPEC 10): every result of a tool that a model is told of must have its record of the gate, or the
 * gate's own word that nothing ran which it had to be asked about. What has neither is a critical alert, and a quarantine where the policy
 * says so. Nothing here is waited for by a call.
 *
 * Invariant: a result is judged after its time of grace only, counted from when control has it, and not while a proxy that was here a short
 * while ago is away: the record may be in its journal. A machine that sleeps, or is started anew, therefore accuses nobody.
 */
import { sql } from 'kysely';
import type { Agents } from './agents.ts';
import type { Alerts } from './alerts.ts';
import { appendAudit, SYSTEM } from './audit.ts';
import type { JournalEvent, WireCall } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { ActivePolicy } from './policies.ts';

interface Dependencies {
  db: Db;
  clock: () => number;
  agents: Pick<Agents, 'quarantine'>;
  alerts: Alerts;
  activePolicy: () => ActivePolicy;
  /** Proxies that were heard of, and whether they are here now. */
  proxies: () => readonly { state: 'live' | 'stale'; lastSeenAt: number }[];
  /** Looked for where results are. */
  detours: { sweep: () => Promise<void> };
  published: () => void;
}

interface DueResult {
  id: number;
  agent_id: string;
  agent_name: string | null;
  tool: string;
  is_gated: boolean;
  has_record: boolean;
}

/** What a record may come after the result that needs it (SPEC 10). */
const GRACE_MS = 10_000;
/** A proxy that is away for longer is not waited for: what it has in its journal comes too late to matter. */
const AWAY_MAX_MS = 5 * 60 * 1000;
/** A call that is known only by its tool and arguments was asked about within this time; by its id, whenever. */
const PRINT_MS = 6 * 60 * 60 * 1000;
/** Nothing that runs inside OpenClaw takes longer. */
const KEEP_MS = 3 * 24 * 60 * 60 * 1000;
const STEP = 2_000;

/** Keeps what a batch of a journal says about the gate; in the transaction that records the batch. @param now control's time. */
export async function keepEvidence(tx: Tx, events: readonly JournalEvent[], now: number): Promise<void> {
  const sightings: { gateway_id: string; wire_id: string | null; print: string | null; at: number }[] = [];
  const results: { gateway_id: string; agent_id: string; wire_id: string | null; print: string | null; tool: string; at: number }[] = [];
  const saw = (gatewayId: string, { id, print }: WireCall) => sightings.push({ gateway_id: gatewayId, wire_id: id, print, at: now });
  for (const event of events) {
    if (event.type === 'unasked') saw(event.gatewayId, event.call);
    if (event.type === 'results')
      for (const { id, print, tool } of event.results)
        results.push({ gateway_id: event.gatewayId, agent_id: event.agentId, wire_id: id, print, tool, at: now });
    const isAsked = event.type === 'held' || event.type === 'denied' || event.type === 'intent';
    // Only its gateway's token shows that it was the gate that asked.
    if (isAsked && event.call.wire !== undefined && event.call.gatewayId !== null) saw(event.call.gatewayId, event.call.wire);
  }
  if (sightings.length > 0)
    await sql`
      insert into gate_sightings (gateway_id, wire_id, print, at)
      select gateway_id, wire_id, print, at from jsonb_to_recordset(${json(sightings)}) as s(gateway_id text, wire_id text, print text, at bigint)
    `.execute(tx);
  if (results.length > 0)
    await sql`
      insert into tool_results (gateway_id, agent_id, wire_id, print, tool, at)
      select gateway_id, agent_id, wire_id, print, tool, at
      from jsonb_to_recordset(${json(results)}) as r(gateway_id text, agent_id text, wire_id text, print text, tool text, at bigint)
    `.execute(tx);
}

/** Notes that a way in was shown to be judged. */
export async function noteProof(tx: Tx, agentId: string, entry: string, how: 'result' | 'canary', at: number): Promise<void> {
  await tx
    .insertInto('gate_proofs')
    .values({ agent_id: agentId, entry, how, at })
    .onConflict((conflict) => conflict.columns(['agent_id', 'entry', 'how']).doUpdateSet({ at }))
    .execute();
}

export function createGateEvidence({ db, clock, agents, alerts, activePolicy, proxies, detours, published }: Dependencies) {
  /** Holds what is due against what the gate was asked about, and raises what has no record. To be called every few seconds. */
  async function sweep(): Promise<void> {
    const now = clock();
    if (proxies().some(({ state, lastSeenAt }) => state === 'stale' && now - lastSeenAt < AWAY_MAX_MS)) return;
    await detours.sweep();
    const bypassing = await db.transaction().execute(async (tx) => {
      const due = await readDue(tx, now);
      if (due.length === 0) return [];
      const proven = new Set(due.flatMap(({ agent_id, has_record }) => (has_record ? agent_id : [])));
      for (const agentId of proven) await noteProof(tx, agentId, 'openclaw', 'result', now);
      const unseen = due.filter(({ has_record, is_gated }) => is_gated && !has_record);
      const found: string[] = [];
      for (const result of unseen) {
        if (found.includes(result.agent_id)) continue;
        found.push(result.agent_id);
        await accuse(tx, result, now);
      }
      await tx
        .deleteFrom('tool_results')
        .where(
          'id',
          'in',
          due.map(({ id }) => id),
        )
        .execute();
      return found;
    });
    if (activePolicy().policy.document.failModes.bypass === 'quarantine') for (const agentId of bypassing) await quarantine(agentId);
    await sql`delete from gate_sightings where id in (select id from gate_sightings where at < ${now - KEEP_MS}::bigint limit ${STEP})`.execute(
      db,
    );
    if (bypassing.length > 0) published();
  }

  async function readDue(tx: Tx, now: number): Promise<DueResult[]> {
    const { rows } = await sql<DueResult>`
      select due.id, due.agent_id, due.tool, agents.name as agent_name,
        coalesce(agents.gate = 'openclaw' and agents.removed_at is null, false) as is_gated,
        exists (select 1 from gate_sightings seen where seen.gateway_id = due.gateway_id and seen.wire_id = due.wire_id)
          or exists (select 1 from gate_sightings seen where seen.gateway_id = due.gateway_id and seen.print = due.print
            and seen.at > due.at - ${PRINT_MS}::bigint) as has_record
      from (select * from tool_results where at <= ${now - GRACE_MS}::bigint order by at, id limit ${STEP} for update skip locked) due
        left join agents on agents.id = due.agent_id
      order by due.id
    `.execute(tx);
    return rows;
  }

  async function accuse(tx: Tx, { agent_id, agent_name, tool }: DueResult, now: number): Promise<void> {
    const what = tool === '' ? 'a tool' : tool;
    await alerts.raise(tx, {
      type: 'gate_missing',
      severity: 'critical',
      agentId: agent_id,
      message: `${agent_name ?? agent_id} told its model what ${what} answered, and the gate in its OpenClaw was not asked about that call: tools run past the gate. Check the plugin: npm run -s mc -- doctor`,
    });
    const details = { tool, shownBy: 'result' };
    await appendAudit(tx, [{ at: now, actor: SYSTEM, action: 'gate.bypassed', subjectType: 'agent', subjectId: agent_id, details }]);
  }

  /** By policy; one that is stopped or quarantined already stays as it is. */
  async function quarantine(agentId: string): Promise<void> {
    const row = await db.selectFrom('agents').select(['status', 'removed_at']).where('id', '=', agentId).executeTakeFirst();
    if (row === undefined || row.removed_at !== null || row.status === 'quarantined' || row.status === 'stopped') return;
    await agents.quarantine(SYSTEM, agentId, 'its tools ran past its gate');
  }

  return { sweep };
}
