/**
 * The agents: who they are, what binds them, and whether they may act. A status change binds at the gate as soon as the
 * proxies have it; what else follows (held calls withdrawn, tasks blocked, live OpenClaw runs aborted) happens here, once,
 * whoever asked for it.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { type JsonObject, microsFromUsd, redactText, usdFromMicros } from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { type Auth, issueCredential } from './auth.ts';
import { recordChanges, touch } from './changes.ts';
import type { ActivityType, Agent, AgentCreate, AgentUpdate, JournalEvent, RosterEntry } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { AgentsTable } from './db/schema.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound, Refusal } from './problem.ts';
import type { Tasks } from './tasks.ts';

export type Agents = ReturnType<typeof createAgents>;
type AgentRow = Omit<AgentsTable, 'model_config' | 'tool_permissions' | 'metadata'> & {
  model_config: Agent['modelConfig'];
  tool_permissions: string[] | null;
  metadata: Record<string, unknown>;
};

interface Dependencies {
  db: Db;
  clock: () => number;
  auth: Auth;
  tasks: Tasks;
  activePolicy: () => ActivePolicy;
  published: () => void;
  /** Withdraws what the agent has held; in the transaction that stops it. */
  withdrawHeld: (tx: Tx, agentId: string, reason: string, now: number) => Promise<void>;
  alerts: Alerts;
  /** Aborts live runs in OpenClaw, session by session. */
  abortRuns: (gatewayId: string, sessionKeys: readonly string[]) => Promise<unknown>;
}

/** A sub-agent that yielded goes on within this time after its run. */
const FINISHED_MS = 30_000;

export function createAgents({ db, clock, auth, tasks, activePolicy, published, alerts, withdrawHeld, abortRuns }: Dependencies) {
  /** By name. */
  async function list(filter: {
    status?: Agent['status'] | undefined;
    limit: number;
    cursor?: string | undefined;
  }): Promise<{ items: Agent[]; nextCursor: string | null }> {
    let query = known()
      .orderBy('name')
      .limit(filter.limit + 1);
    if (filter.status) query = query.where('status', '=', filter.status);
    if (filter.cursor) query = query.where('name', '>', decodeCursor(filter.cursor, ['string'])[0]);
    const rows = await query.execute();
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.name]) : null };
  }

  /** How many there are, and how many of them are active. */
  async function count(): Promise<{ all: number; active: number }> {
    const row = await db
      .selectFrom('agents')
      .select((eb) => [eb.fn.countAll<number>().as('all'), eb.fn.countAll<number>().filterWhere('status', '=', 'active').as('active')])
      .where('removed_at', 'is', null)
      .executeTakeFirstOrThrow();
    return { all: Number(row.all), active: Number(row.active) };
  }

  async function get(id: string): Promise<Agent> {
    const agent = await find(id);
    if (!agent) throw notFound('agent', id);
    return agent;
  }

  async function find(id: string): Promise<Agent | null> {
    const row = await known().where('agents.id', '=', id).executeTakeFirst();
    return row ? view(row) : null;
  }

  /** Registers an agent. @throws Refusal 409 for a taken name or OpenClaw identity, 400 for an unknown parent or gateway. */
  async function create(actor: Actor, input: AgentCreate): Promise<Agent> {
    const id = randomUUID();
    await db.transaction().execute((tx) => createIn(tx, actor, id, input));
    published();
    return get(id);
  }

  /**
   * Registers agents that a gateway has and we do not know yet (SPEC 3, the link).
   * @param wanted ids of the gateway; undefined = all. @returns those that were registered now.
   */
  async function importRoster(
    actor: Actor,
    gateway: { id: string; name: string },
    roster: readonly RosterEntry[],
    wanted: readonly string[] | undefined,
    autonomyLevel: Agent['autonomyLevel'],
  ): Promise<Agent[]> {
    const missing = wanted?.filter((externalId) => !roster.some((entry) => entry.externalId === externalId)) ?? [];
    if (missing.length > 0) throw new Refusal(400, 'UNKNOWN_AGENT', `${gateway.name} has no agent ${missing.join(', ')}.`);
    const created: Agent[] = [];
    for (const { externalId, workspace, agentId } of roster) {
      if (agentId !== null || wanted?.includes(externalId) === false) continue;
      const taken = await db
        .selectFrom('agents')
        .select('id')
        .where('name', '=', externalId)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      const name = taken ? `${gateway.name}-${externalId}` : externalId;
      created.push(await create(actor, { name, autonomyLevel, gate: 'openclaw', gatewayId: gateway.id, externalId, workspace }));
    }
    return created;
  }

  async function createIn(tx: Tx, actor: Actor, id: string, input: AgentCreate): Promise<void> {
    const now = clock();
    await refuseConflicts(tx, id, input);
    const parent = input.parentId ? await liveRow(tx, input.parentId) : null;
    await tx
      .insertInto('agents')
      .values({
        id,
        created_at: now,
        updated_at: now,
        revision: 1,
        name: input.name,
        session_key: input.sessionKey ?? null,
        autonomy: input.autonomyLevel ?? 'intern',
        status: 'active',
        status_reason: null,
        status_changed_at: now,
        gate: input.gate ?? 'none',
        gateway_id: input.gatewayId ?? null,
        external_id: input.externalId ?? null,
        workspace: input.workspace ?? null,
        model_config: json(input.modelConfig ?? {}),
        tool_permissions: input.toolPermissions ? json(input.toolPermissions) : null,
        daily_cap: capOf(input.budgets?.dailyCap),
        per_run_cap: capOf(input.budgets?.perRunCap),
        current_task_id: input.currentTaskId ?? null,
        parent_id: parent?.id ?? null,
        depth: parent ? parent.depth + 1 : 0,
        last_heartbeat: null,
        last_call_at: null,
        error_streak: 0,
        total_spend: 0,
        soul_hash: input.soulHash ?? null,
        soul: null,
        retire_at: null,
        metadata: json(input.metadata ?? {}),
        removed_at: null,
      })
      .execute();
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: 'agent.created',
        topic: 'agent',
        id,
        details: { ...input } as JsonObject,
        activity: { type: 'agent_created', agentId: id, summary: `${input.name} was registered` },
        touches: input.gatewayId ? [['gateway', input.gatewayId]] : [],
      },
    ]);
  }

  /** @param revision from If-Match; null = whatever it is now. @throws Refusal 412 when it has changed since. */
  async function update(actor: Actor, id: string, input: AgentUpdate, revision: number | null): Promise<Agent> {
    await db.transaction().execute(async (tx) => {
      const before = await liveRow(tx, id);
      if (revision !== null && revision !== before.revision) {
        throw new Refusal(412, 'CHANGED', `${before.name} was changed by somebody else meanwhile; fetch it again.`);
      }
      await refuseConflicts(tx, id, input);
      const now = clock();
      await tx
        .updateTable('agents')
        .set({
          updated_at: now,
          revision: before.revision + 1,
          ...(input.name !== undefined && { name: input.name }),
          ...(input.sessionKey !== undefined && { session_key: input.sessionKey }),
          ...(input.autonomyLevel !== undefined && { autonomy: input.autonomyLevel }),
          ...(input.gate !== undefined && { gate: input.gate }),
          ...(input.gatewayId !== undefined && { gateway_id: input.gatewayId }),
          ...(input.externalId !== undefined && { external_id: input.externalId }),
          ...(input.workspace !== undefined && { workspace: input.workspace }),
          ...(input.modelConfig !== undefined && { model_config: json(input.modelConfig) }),
          ...(input.toolPermissions !== undefined && { tool_permissions: input.toolPermissions ? json(input.toolPermissions) : null }),
          ...(input.budgets?.dailyCap !== undefined && { daily_cap: capOf(input.budgets.dailyCap) }),
          ...(input.budgets?.perRunCap !== undefined && { per_run_cap: capOf(input.budgets.perRunCap) }),
          ...(input.currentTaskId !== undefined && { current_task_id: input.currentTaskId }),
          ...(input.soulHash !== undefined && { soul_hash: input.soulHash }),
          ...(input.metadata !== undefined && { metadata: json(input.metadata) }),
        })
        .where('id', '=', id)
        .execute();
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'agent.updated',
          topic: 'agent',
          id,
          details: { ...input } as JsonObject,
          activity: { type: 'agent_updated', agentId: id, summary: `${input.name ?? before.name} was changed` },
        },
      ]);
    });
    published();
    return get(id);
  }

  /** New calls are refused until the agent is restarted. Held calls stay: after a restart they can still be approved and run. */
  async function pause(actor: Actor, id: string, reason: string | null): Promise<Agent> {
    return change(actor, id, 'paused', reason, 'agent_paused', 'was paused');
  }

  /** The agent finishes its current task; calls outside it are refused. */
  async function drain(actor: Actor, id: string, reason: string | null): Promise<Agent> {
    return change(actor, id, 'drained', reason, 'agent_drained', 'finishes its task and then pauses');
  }

  /**
   * A sub-agent began: it is registered under its parent, with the parent's level and place, until its time, its parent or its task ends
   * (SPEC 7). Beyond the limits, where two proxies let one through each, it is stopped at once.
   * @returns its id, or null where it is known already or its parent is gone.
   */
  async function spawned(
    tx: Tx,
    { parentId, childId, gatewayId, sessionKey, label, lasting, taskId, at }: Extract<JournalEvent, { type: 'spawned' }>,
  ) {
    const parent = (await tx
      .selectFrom('agents')
      .selectAll()
      .where('id', '=', parentId)
      .where('removed_at', 'is', null)
      .forUpdate()
      .executeTakeFirst()) as AgentRow | undefined;
    if (!parent) return null;
    const known = await tx
      .selectFrom('agents')
      .select('id')
      .where('gateway_id', 'is not distinct from', gatewayId)
      .where('session_key', '=', sessionKey)
      .where('parent_id', 'is not', null)
      .executeTakeFirst();
    if (known) return null;
    const { spawnLimits } = activePolicy().policy.document;
    const { children, active } = await countActive(tx, parentId);
    const id = childId ?? randomUUID();
    const name = `${parent.name}/${(label ?? 'sub').replaceAll(/\s+/g, '-').slice(0, 40)}-${id.slice(0, 8)}`;
    const actor: Actor = { type: 'agent', id: parentId, name: parent.name };
    await createIn(tx, actor, id, {
      name,
      parentId,
      sessionKey,
      autonomyLevel: parent.autonomy,
      gate: parent.gate,
      gatewayId,
      workspace: parent.workspace,
      modelConfig: parent.model_config,
      toolPermissions: parent.tool_permissions,
      currentTaskId: taskId,
      metadata: { ...(parent.metadata.mcpAliases !== undefined && { mcpAliases: parent.metadata.mcpAliases }), taskId, lasting },
    });
    await tx
      .updateTable('agents')
      .set({ retire_at: at + spawnLimits.ttl, last_heartbeat: at })
      .where('id', '=', id)
      .execute();
    await recordChanges(tx, [
      {
        at,
        actor,
        action: 'agent.spawned',
        topic: 'agent',
        id,
        details: { parentId, sessionKey, taskId },
        activity: { type: 'agent_spawned', agentId: id, taskId, summary: `${parent.name} started ${name}` },
        touches: [['agent', parentId]],
      },
    ]);
    const beyond = parent.depth >= spawnLimits.maxDepth || children >= spawnLimits.maxPerParent || active >= spawnLimits.maxActive;
    if (beyond) await end(tx, SYSTEM, await liveRow(tx, id), 'it was started beyond the limits');
    return id;
  }

  async function countActive(tx: Tx, parentId: string): Promise<{ children: number; active: number }> {
    const row = await tx
      .selectFrom('agents')
      .select((eb) => [
        eb.fn.countAll<number>().filterWhere('parent_id', '=', parentId).as('children'),
        eb.fn.countAll<number>().filterWhere('status', '=', 'active').as('active'),
      ])
      .where('removed_at', 'is', null)
      .where('status', '<>', 'stopped')
      .executeTakeFirstOrThrow();
    return { children: Number(row.children), active: Number(row.active) };
  }

  /** A sub-agent has finished. */
  async function despawned(tx: Tx, { parentId, sessionKey }: Extract<JournalEvent, { type: 'despawned' }>): Promise<void> {
    const row = (await tx
      .selectFrom('agents')
      .selectAll()
      .where('parent_id', '=', parentId)
      .where('session_key', '=', sessionKey)
      .where('removed_at', 'is', null)
      .where('status', '<>', 'stopped')
      .forUpdate()
      .executeTakeFirst()) as AgentRow | undefined;
    if (row) await end(tx, SYSTEM, row, 'it has finished');
  }

  async function end(tx: Tx, actor: Actor, row: AgentRow, reason: string): Promise<void> {
    await applyStatus(tx, actor, row, 'stopped', reason, 'agent_stopped', 'was retired');
  }

  /**
   * Ends sub-agents whose time is over, whose parent is stopped, or whose parent's task is closed (SPEC 7); and those that were started
   * for one run, once it is over and nothing that they started themselves goes on.
   */
  async function retire(): Promise<void> {
    const now = clock();
    const { rows } = await sql<{ id: string; why: string }>`
      select child.id, case
        when parent.removed_at is not null or parent.status in ('stopped', 'quarantined') then 'its parent was stopped'
        when tasks.id is not null then 'the task of its parent is closed'
        when child.retire_at <= ${now}::bigint then 'its time is over' else 'it has finished' end as why
      from agents child join agents parent on parent.id = child.parent_id
        left join tasks on tasks.id = child.metadata ->> 'taskId' and (tasks.status in ('done', 'canceled') or tasks.removed_at is not null)
      where child.removed_at is null and child.status <> 'stopped' and child.retire_at is not null and (child.retire_at <= ${now}::bigint
        or parent.removed_at is not null or parent.status in ('stopped', 'quarantined') or tasks.id is not null
        or (child.metadata ->> 'lasting' = 'false'
          and (select max(ended_at) from runs where agent_id = child.id) <= ${now - FINISHED_MS}::bigint
          and not exists (select 1 from runs where agent_id = child.id and status = 'running')
          and not exists (select 1 from agents own where own.parent_id = child.id and own.status <> 'stopped' and own.removed_at is null)))
    `.execute(db);
    for (const { id, why } of rows) {
      await db.transaction().execute(async (tx) => {
        const row = await liveRow(tx, id);
        if (row.status !== 'stopped') await end(tx, SYSTEM, row, why);
      });
      abortSoon(id);
    }
    if (rows.length > 0) published();
  }

  /** Agents whose calls fail in a row: an alert for each, and by policy a pause; a success ends the alert (SPEC 7). */
  async function watchErrors(): Promise<void> {
    const { limits, failModes } = activePolicy().policy.document;
    const paused = await db.transaction().execute(async (tx) => {
      const failing = (await tx
        .selectFrom('agents')
        .selectAll()
        .where('removed_at', 'is', null)
        .where('status', 'in', ['active', 'drained'])
        .where('error_streak', '>=', limits.errorStreak)
        .orderBy('id')
        .forUpdate()
        .execute()) as AgentRow[];
      for (const row of failing) {
        const message = `${row.name}: ${row.error_streak} calls in a row have failed.`;
        await alerts.raise(tx, { type: 'agent_error_streak', severity: 'high', agentId: row.id, message });
        if (failModes.errorStreak === 'pause')
          await applyStatus(tx, SYSTEM, row, 'paused', `${row.error_streak} calls in a row have failed`, 'agent_paused', 'was paused');
      }
      const healed = await tx
        .selectFrom('alerts')
        .innerJoin('agents', 'agents.id', 'alerts.agent_id')
        .select('agents.id')
        .where('alerts.type', '=', 'agent_error_streak')
        .where('alerts.resolved_at', 'is', null)
        .where('agents.error_streak', '=', 0)
        .execute();
      for (const { id } of healed) await alerts.clear(tx, 'agent_error_streak', id, 'its calls succeed again');
      return failModes.errorStreak === 'pause' ? failing : [];
    });
    for (const { id } of paused) abortSoon(id);
    published();
  }

  /** Pauses those that were to finish their task first and have none any more. */
  async function settleDrained(): Promise<void> {
    const paused = await db.transaction().execute(async (tx) => {
      const rows = (await tx
        .selectFrom('agents')
        .selectAll()
        .where('removed_at', 'is', null)
        .where('status', '=', 'drained')
        .where('current_task_id', 'is', null)
        .orderBy('id')
        .forUpdate()
        .execute()) as AgentRow[];
      for (const row of rows) await applyStatus(tx, SYSTEM, row, 'paused', 'its task is finished', 'agent_paused', 'was paused');
      return rows;
    });
    for (const { id } of paused) abortSoon(id);
    if (paused.length > 0) published();
  }

  /** Everything is refused, held calls are withdrawn, its tasks are blocked, and an alert is raised (SPEC 7). */
  async function quarantine(actor: Actor, id: string, reason: string | null): Promise<Agent> {
    return change(actor, id, 'quarantined', reason, 'agent_quarantined', 'was quarantined');
  }

  /** Back to active, error streak cleared; ends any pause of this agent, the squad's included (SPEC 8.3). */
  async function restart(actor: Actor, id: string, reason: string | null): Promise<Agent> {
    return change(actor, id, 'active', reason, 'agent_restarted', 'is active again');
  }

  /** Retires an agent: its tokens are revoked, its records stay. */
  async function remove(actor: Actor, id: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      const now = clock();
      await applyStatus(tx, actor, row, 'stopped', 'deleted', 'agent_stopped', 'was removed');
      await tx.updateTable('agents').set({ removed_at: now }).where('id', '=', id).execute();
      await tx
        .updateTable('credentials')
        .set({ revoked_at: now })
        .where('kind', '=', 'agent')
        .where('owner_id', '=', id)
        .where('revoked_at', 'is', null)
        .execute();
    });
    published();
    abortSoon(id);
  }

  async function change(
    actor: Actor,
    id: string,
    status: Agent['status'],
    reason: string | null,
    activity: ActivityType,
    words: string,
  ): Promise<Agent> {
    await db.transaction().execute(async (tx) => applyStatus(tx, actor, await liveRow(tx, id), status, reason, activity, words));
    published();
    if (status !== 'active' && status !== 'drained') abortSoon(id);
    return get(id);
  }

  /** The gate refuses already; aborting in OpenClaw only ends the run sooner, so nobody waits for it and its failure is shown by the link. */
  function abortSoon(id: string): void {
    liveSessions(db, id, clock())
      .then(({ gatewayId, sessionKeys }) => (gatewayId && sessionKeys.length > 0 ? abortRuns(gatewayId, sessionKeys) : undefined))
      .catch(() => {});
  }

  async function applyStatus(
    tx: Tx,
    actor: Actor,
    before: AgentRow,
    status: Agent['status'],
    said: string | null,
    activity: ActivityType,
    words: string,
  ): Promise<void> {
    const now = clock();
    const reason = said === null ? null : redactText(said).text;
    await tx
      .updateTable('agents')
      .set({
        status,
        status_reason: reason,
        status_changed_at: now,
        updated_at: now,
        revision: before.revision + 1,
        ...(status === 'active' && { error_streak: 0 }),
      })
      .where('id', '=', before.id)
      .execute();
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: `agent.${status === 'active' ? 'restarted' : status}`,
        topic: 'agent',
        id: before.id,
        details: { from: before.status, to: status, reason },
        activity: {
          type: activity,
          agentId: before.id,
          summary: `${before.name} ${words}${reason ? `: ${reason}` : ''}`,
          details: { from: before.status },
        },
      },
    ]);
    if (status === 'quarantined') {
      await alerts.raise(tx, {
        type: 'agent_quarantined',
        severity: 'high',
        agentId: before.id,
        message: `${before.name} is quarantined by ${actor.name}${reason ? `: ${reason}` : ''}`,
      });
    }
    if (status === 'active') await alerts.clear(tx, 'agent_quarantined', before.id, 'the agent is active again');
    if (status === 'active') await endSquadPause(tx, now);
    if (status === 'quarantined' || status === 'stopped') {
      await withdrawHeld(tx, before.id, `${before.name} ${words}`, now);
      await tasks.blockTasksOf(tx, before.id, `${before.name} ${words}${reason ? `: ${reason}` : ''}`);
    }
  }

  /**
   * Pauses every active or draining agent, in the caller's transaction.
   * @returns the agents that this paused.
   */
  async function pauseAll(tx: Tx, actor: Actor, reason: string): Promise<AgentRow[]> {
    const rows = (await tx
      .selectFrom('agents')
      .selectAll()
      .where('removed_at', 'is', null)
      .where('status', 'in', ['active', 'drained'])
      .orderBy('id')
      .forUpdate()
      .execute()) as AgentRow[];
    for (const row of rows) await applyStatus(tx, actor, row, 'paused', reason, 'agent_paused', 'was paused');
    return rows;
  }

  async function issueToken(actor: Actor, id: string) {
    const issued = await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      const credential = await issueCredential(tx, 'agent', id, clock());
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'token.issued',
          topic: 'agent',
          id,
          details: { tokenId: credential.id },
          activity: { type: 'token_issued', agentId: id, summary: `A token for ${row.name} was issued` },
        },
      ]);
      return credential;
    });
    published();
    return issued;
  }

  async function revokeToken(actor: Actor, id: string, tokenId: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      await auth.revoke(tx, 'agent', id, tokenId);
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'token.revoked',
          topic: 'agent',
          id,
          details: { tokenId },
          activity: { type: 'token_revoked', agentId: id, summary: `A token of ${row.name} was revoked` },
        },
      ]);
    });
    published();
  }

  /** Marks agents as seen by the plugin of their gateway; not an audited change. */
  async function markHeartbeat(tx: Tx, ids: readonly string[], at: number): Promise<void> {
    if (ids.length === 0) return;
    await tx
      .updateTable('agents')
      .set({ last_heartbeat: at })
      .where('id', 'in', [...ids])
      .execute();
    await touch(
      tx,
      ids.map((id) => ({ topic: 'agent', entity_id: id, at })),
    );
  }

  async function refuseConflicts(tx: Tx, id: string, input: AgentUpdate): Promise<void> {
    if (input.name !== undefined) {
      const taken = await tx
        .selectFrom('agents')
        .select('id')
        .where('name', '=', input.name)
        .where('id', '<>', id)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (taken) throw new Refusal(409, 'NAME_TAKEN', `An agent named "${input.name}" exists already.`);
    }
    if (input.currentTaskId) {
      const task = await tx
        .selectFrom('tasks')
        .select('id')
        .where('id', '=', input.currentTaskId)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (!task) throw new Refusal(400, 'UNKNOWN_TASK', `There is no task with the id "${input.currentTaskId}".`);
    }
    if (input.gatewayId) {
      const gateway = await tx
        .selectFrom('gateways')
        .select('id')
        .where('id', '=', input.gatewayId)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (!gateway) throw new Refusal(400, 'UNKNOWN_GATEWAY', `There is no gateway with the id "${input.gatewayId}".`);
      if (input.externalId) {
        const taken = await tx
          .selectFrom('agents')
          .select('name')
          .where('gateway_id', '=', input.gatewayId)
          .where('external_id', '=', input.externalId)
          .where('id', '<>', id)
          .where('removed_at', 'is', null)
          .executeTakeFirst();
        if (taken)
          throw new Refusal(409, 'IDENTITY_TAKEN', `${taken.name} is registered as "${input.externalId}" of this gateway already.`);
      }
    }
  }

  /**
   * Agents as they stand, with what their day has cost and what waits of them: one statement, so that no call that ends meanwhile is in
   * one of the numbers and not in another.
   */
  function known() {
    const day = activePolicy().today(clock());
    const scope = sql`'agent-day:' || agents.id || ':' || ${day}::text`;
    return db
      .selectFrom('agents')
      .selectAll()
      .select([
        sql<number>`coalesce((select micros from spend where spend.scope = ${scope}), 0)`.as('spent_today'),
        sql<number>`coalesce((select sum(micros) from cap_raises where cap_raises.scope = ${scope} and ended_at is null), 0)`.as(
          'raised_today',
        ),
        sql<number>`(select count(*) from approvals where approvals.agent_id = agents.id and approvals.status = 'pending')`.as('pending'),
      ])
      .where('removed_at', 'is', null);
  }

  function view(found: Awaited<ReturnType<ReturnType<typeof known>['executeTakeFirstOrThrow']>>): Agent {
    const row = found as typeof found & AgentRow;
    const ownCap = row.daily_cap ?? activePolicy().policy.capsFor(row.autonomy, null).agentDay;
    return {
      id: row.id,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
      revision: row.revision,
      name: row.name,
      sessionKey: row.session_key,
      autonomyLevel: row.autonomy,
      status: row.status,
      statusReason: row.status_reason,
      statusChangedAt: row.status_changed_at,
      gate: row.gate,
      gatewayId: row.gateway_id,
      externalId: row.external_id,
      workspace: row.workspace,
      modelConfig: row.model_config,
      toolPermissions: row.tool_permissions,
      budgets: { dailyCap: usdOf(row.daily_cap), perRunCap: usdOf(row.per_run_cap) },
      currentTaskId: row.current_task_id,
      parentId: row.parent_id,
      depth: row.depth,
      lastHeartbeat: row.last_heartbeat,
      lastCallAt: row.last_call_at,
      errorStreak: row.error_streak,
      totalSpend: usdFromMicros(row.total_spend),
      todaySpend: usdFromMicros(Number(row.spent_today)),
      todayCap: usdOf(ownCap === null ? null : ownCap + Number(row.raised_today)),
      pendingApprovals: Number(row.pending),
      soulHash: row.soul_hash,
      metadata: row.metadata,
    };
  }

  return {
    list,
    count,
    get,
    find,
    create,
    importRoster,
    createIn,
    update,
    remove,
    pause,
    drain,
    settleDrained,
    spawned,
    despawned,
    retire,
    watchErrors,
    quarantine,
    restart,
    pauseAll,
    issueToken,
    revokeToken,
    markHeartbeat,
    listTokens: (id: string) => auth.listCredentials('agent', id),
  };
}

async function liveRow(tx: Tx, id: string): Promise<AgentRow> {
  const row = await tx.selectFrom('agents').selectAll().where('id', '=', id).where('removed_at', 'is', null).forUpdate().executeTakeFirst();
  if (!row) throw notFound('agent', id);
  return row as AgentRow;
}

/** Sessions of an agent with a run in the last hour. */
async function liveSessions(db: Db, agentId: string, now: number): Promise<{ gatewayId: string | null; sessionKeys: string[] }> {
  const rows = await db
    .selectFrom('runs')
    .innerJoin('agents', 'agents.id', 'runs.agent_id')
    .select(['agents.gateway_id', 'runs.session_key'])
    .where('runs.agent_id', '=', agentId)
    .where('runs.status', '=', 'running')
    .where('runs.last_seen_at', '>', now - 60 * 60 * 1000)
    .distinct()
    .execute();
  return { gatewayId: rows[0]?.gateway_id ?? null, sessionKeys: rows.flatMap((row) => (row.session_key ? [row.session_key] : [])) };
}

/** The squad's pause is over once no agent is paused any more. */
async function endSquadPause(tx: Tx, now: number): Promise<void> {
  const ended = await tx
    .updateTable('system_state')
    .set({ squad_paused: false, squad_paused_at: null, squad_paused_by: null })
    .where('id', '=', 1)
    .where('squad_paused', '=', true)
    .where((eb) => eb.not(eb.exists(eb.selectFrom('agents').select('id').where('status', '=', 'paused').where('removed_at', 'is', null))))
    .returning('id')
    .executeTakeFirst();
  if (ended) await touch(tx, [{ topic: 'system', entity_id: 'squad', at: now }]);
}

function capOf(usd: number | null | undefined): number | null {
  return usd === null || usd === undefined ? null : microsFromUsd(usd);
}

function usdOf(micros: number | null): number | null {
  return micros === null ? null : usdFromMicros(micros);
}
