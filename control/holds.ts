/**
 * Holds: calls that wait for an approval, and what a proxy asks of them. One approval is open per digest while it is pending; it outlives
 * every process that waits on it; one call takes its single use. Approving admits nothing by itself: the proxy judges the call again with
 * the approval as one more fact. What people decide is in approvals.ts.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { isTwoPeople, type JsonObject } from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import { type ApprovalRow, forget, lockRow, neededFor, originalOf, rowOf } from './approval-rows.ts';
import { SYSTEM } from './audit.ts';
import { callRowOf } from './call-rows.ts';
import { recordChanges, touch } from './changes.ts';
import type { Approval, CallFacts, HeldCall, HoldRequest, HoldState, ToolCallView } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { CoveredRequest, Grants, StandingGrant } from './grants.ts';
import type { Keys } from './keys.ts';
import { addNotice } from './notices.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound } from './problem.ts';
import type { Tasks } from './tasks.ts';

export type Holds = ReturnType<typeof createHolds>;

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  tasks: Tasks;
  alerts: Alerts;
  grants: Grants;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

/** A hold has its approval within a request's time; one without after this never gets it. */
const UNASKED_MS = 60_000;
/** Held calls that one new standing grant is compared with. */
const WAITING_MAX = 500;

export function createHolds({ db, clock, keys, tasks, alerts, grants, activePolicy, published }: Dependencies) {
  /**
   * Opens the approval that a held call waits for, or attaches the call to the one that is pending for the same digest or
   * that was granted and not yet used. Asking again for the same call changes nothing.
   */
  async function open(request: HoldRequest): Promise<HoldState> {
    const now = clock();
    const { call } = request;
    const state = await db.transaction().execute(async (tx) => {
      if (request.insufficient !== null) await endGrant(tx, request.insufficient, now);
      const known = await tx.selectFrom('held_calls').select('approval_id').where('id', '=', call.id).executeTakeFirst();
      // One that did not release the call, though it took its single use before a crash, will not do so the next time either.
      const isSufficient = known !== undefined && known.approval_id !== request.insufficient;
      if (isSufficient && !(await isSpent(tx, known.approval_id, call.id, now)))
        return stateOf(await rowOf(tx, known.approval_id), call.id);

      const approval = (await findOpen(tx, call.digest, now)) ?? (await insertFor(tx, request, now));
      await tx
        .insertInto('held_calls')
        .values({
          id: call.id,
          approval_id: approval.id,
          call: json(call),
          judged: json(request.judged),
          sealed: keys.seal(JSON.stringify(request.arguments), `held:${call.id}`),
          created_at: now,
          withdrawn_at: null,
        })
        .onConflict((conflict) =>
          conflict.column('id').doUpdateSet((eb) => ({
            approval_id: approval.id,
            judged: eb.ref('excluded.judged'),
            sealed: eb.ref('excluded.sealed'),
            withdrawn_at: null,
          })),
        )
        .execute();
      await upsertCallRow(tx, request, approval.id, now);
      // A call that came back because its approval did not release it gets a person, not the same grant again.
      const grant = request.insufficient === null ? await takeGrant(tx, request, approval.id, now) : null;
      await recordChanges(tx, [
        {
          at: now,
          actor: { type: 'agent', id: call.agentId, name: call.agentId },
          action: approval.created ? 'approval.requested' : 'approval.joined',
          topic: 'approval',
          id: approval.id,
          details: { callId: call.id, tool: call.tool, digest: call.digest, risk: request.judged.risk },
          // What is decided in the same step asks nobody.
          ...(approval.created &&
            grant === null && {
              activity: {
                type: 'approval_requested' as const,
                agentId: call.agentId,
                taskId: call.taskId,
                summary: `Waits for approval: ${call.tool} ${request.summary}`,
                details: { approvalId: approval.id, risk: request.judged.risk, tool: call.tool },
              },
            }),
          touches: [
            ['agent', call.agentId],
            ['tool_call', call.id],
          ],
        },
      ]);
      if (grant !== null) await settleByGrant(tx, request, approval.id, grant, now);
      return stateOf(await rowOf(tx, approval.id), call.id);
    });
    published();
    return state;
  }

  /** Takes a use of the standing grant that covers a call whose approval is pending; null where a person decides. */
  async function takeGrant(tx: Tx, request: CoveredRequest, approvalId: string, now: number): Promise<StandingGrant | null> {
    const row = await lockRow(tx, approvalId);
    return row.status !== 'pending' || row.expires_at <= now || neededFor(activePolicy().policy, row) > 1
      ? null
      : grants.use(tx, request, now);
  }

  /** Decides a pending approval by a standing grant, as the person who gave it. */
  async function settleByGrant(tx: Tx, { call }: CoveredRequest, approvalId: string, grant: StandingGrant, now: number): Promise<void> {
    const row = await rowOf(tx, approvalId);
    const note = `Standing grant ${grant.number}${grant.note ? `: ${grant.note}` : ''}`;
    await tx
      .updateTable('approvals')
      .set({
        status: 'approved',
        approver: grant.created_by_name,
        approver_id: grant.created_by,
        approver_type: 'human',
        decision: note,
        decided_at: now,
        grant_expires_at: now + activePolicy().policy.grantTtlMs,
        grant_id: grant.id,
        releases: json(grant.pattern.answers),
      })
      .where('id', '=', approvalId)
      .execute();
    await recordChanges(tx, [
      {
        at: now,
        actor: { type: 'human', id: grant.created_by, name: grant.created_by_name },
        action: 'approval.approved',
        topic: 'approval',
        id: approvalId,
        details: { grantId: grant.id, grant: grant.number, use: grant.uses, digest: row.digest, tool: row.tool, callId: call.id },
        activity: {
          type: 'grant_used',
          agentId: row.agent_id,
          taskId: row.task_id,
          summary: `Approved under standing grant ${grant.number} of ${grant.created_by_name}: ${row.summary}`,
          details: { approvalId, grantId: grant.id, status: 'approved', risk: row.risk },
        },
        touches: [['grant', grant.id], ...(row.agent_id ? [['agent', row.agent_id] as const] : [])],
      },
    ]);
    if (row.task_id)
      await tasks.release(
        tx,
        row.task_id,
        { type: 'human', id: grant.created_by, name: grant.created_by_name },
        `approval ${row.number} approved under standing grant ${grant.number}`,
      );
  }

  /** Decides requests that wait already by the standing grants that cover them, the oldest first. */
  async function settleWaiting(tx: Tx, { tool }: ApprovalRow, now: number): Promise<void> {
    const rows = await tx
      .selectFrom('approvals')
      .innerJoin('held_calls', 'held_calls.approval_id', 'approvals.id')
      .select(['approvals.id', 'held_calls.id as call_id', 'held_calls.call', 'held_calls.judged', 'held_calls.sealed'])
      .where('approvals.status', '=', 'pending')
      .where('approvals.tool', '=', tool)
      .where('held_calls.withdrawn_at', 'is', null)
      .where('held_calls.sealed', '<>', '')
      .orderBy('approvals.number')
      .limit(WAITING_MAX)
      .execute();
    for (const row of rows) {
      const original = JSON.parse(keys.open(row.sealed, `held:${row.call_id}`)) as JsonObject;
      const request = { call: row.call as CallFacts, judged: row.judged as HoldRequest['judged'], arguments: original };
      const grant = await takeGrant(tx, request, row.id, now);
      if (grant !== null) await settleByGrant(tx, request, row.id, grant, now);
    }
  }

  async function insertFor(tx: Tx, request: HoldRequest, now: number): Promise<{ id: string; created: boolean }> {
    const { policy } = activePolicy();
    const { call, judged } = request;
    const id = randomUUID();
    const inserted = await tx
      .insertInto('approvals')
      .values({
        id,
        created_at: now,
        kind: 'call',
        status: 'pending',
        agent_id: call.agentId,
        task_id: call.taskId,
        run_id: call.runId,
        session_key: call.sessionKey,
        tool_call_id: call.id,
        tool: call.tool,
        arguments: json(request.redacted),
        edited_arguments: null,
        edited_sealed: null,
        cwd: call.cwd,
        workspace: call.workspace,
        risk: judged.risk === 'red' ? 'red' : 'yellow',
        summary: `${call.tool} ${request.summary}`.trim(),
        reasons: json(judged.reasons),
        preview: json(request.preview),
        digest: call.digest,
        estimated_cost: judged.estimatedCost,
        allowance: 0,
        policy_version: judged.policyVersion,
        approver: null,
        approver_id: null,
        approver_type: null,
        decision: null,
        decided_at: null,
        expires_at: now + policy.approvalTtlMs,
        waiting_until: now + policy.holdInlineMs,
        deferred: false,
        redeemed_at: null,
        redeemed_by: null,
        grant_expires_at: null,
        told_at: null,
        tell_attempts: 0,
        approvals_needed: isTwoPeople(policy, call.tool, call.mappedTool) ? 2 : 1,
      })
      // Spelled out and not as a parameter: a server that has planned the statement for any value no longer finds the partial index.
      .onConflict((conflict) =>
        conflict.column('digest').where(sql<boolean>`status = 'pending'`).where('digest', 'is not', null).doNothing(),
      )
      .returning('id')
      .executeTakeFirst();
    if (inserted) return { id, created: true };
    // Another proxy opened it between our look and our insert.
    const other = await findOpen(tx, call.digest, now);
    if (!other) throw new Error(`approval for digest ${call.digest} neither inserted nor found`);
    return other;
  }

  /**
   * Takes the single use of a grant for one call. The same call gets it again until its outcome is known; any other call is
   * refused. Nothing runs without this.
   */
  async function redeem(approvalId: string, callId: string): Promise<{ granted: boolean; state: HoldState }> {
    const now = clock();
    const result = await db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable('approvals')
        .set({ redeemed_by: callId, redeemed_at: sql<number>`coalesce(redeemed_at, ${now}::bigint)` })
        .where('id', '=', approvalId)
        .where('status', '=', 'approved')
        .where((eb) => eb.or([eb('redeemed_by', '=', callId), eb.and([eb('redeemed_by', 'is', null), eb('grant_expires_at', '>', now)])]))
        .returning(['agent_id', 'tool'])
        .executeTakeFirst();
      if (row) {
        await recordChanges(tx, [
          {
            at: now,
            actor: { type: 'agent', id: row.agent_id, name: row.agent_id ?? 'agent' },
            action: 'approval.redeemed',
            topic: 'approval',
            id: approvalId,
            details: { callId },
          },
        ]);
      }
      return { granted: row !== undefined, state: stateOf(await rowOf(tx, approvalId), callId) };
    });
    published();
    return result;
  }

  /** The inline wait of a call is over: from now on the agent is told through its session. A decision that came first wins. */
  async function defer(callId: string): Promise<HoldState> {
    const state = await db.transaction().execute(async (tx) => {
      const held = await tx.selectFrom('held_calls').select('approval_id').where('id', '=', callId).executeTakeFirst();
      if (!held) throw notFound('held call', callId);
      const row = await lockRow(tx, held.approval_id);
      if (row.status === 'pending' && !row.deferred) await deferRow(tx, row);
      return stateOf(await rowOf(tx, row.id), callId);
    });
    published();
    return state;
  }

  async function deferRow(tx: Tx, row: ApprovalRow): Promise<void> {
    const now = clock();
    await tx.updateTable('approvals').set({ deferred: true }).where('id', '=', row.id).execute();
    await recordChanges(tx, [{ at: now, actor: SYSTEM, action: 'approval.deferred', topic: 'approval', id: row.id, details: {} }]);
    if (row.task_id) await tasks.hold(tx, row.task_id, `waits for approval ${row.number}: ${row.summary}`);
  }

  /** Takes a call out of its wait: the caller cancelled, or the run was aborted. The approval goes with its last call. */
  async function withdraw(callId: string, reason: string): Promise<HoldState> {
    const now = clock();
    const state = await db.transaction().execute(async (tx) => {
      const held = await tx.selectFrom('held_calls').select('approval_id').where('id', '=', callId).executeTakeFirst();
      if (!held) throw notFound('held call', callId);
      await withdrawCalls(tx, [callId], reason, now);
      const row = await lockRow(tx, held.approval_id);
      if (row.status === 'pending' && !(await hasLiveCalls(tx, row.id))) {
        await withdrawRow(tx, row, reason, now);
        if (row.task_id) await tasks.giveUpHold(tx, row.task_id, `approval ${row.number} was withdrawn: ${reason}`);
      }
      return stateOf(await rowOf(tx, held.approval_id), callId);
    });
    published();
    return state;
  }

  /** Withdraws everything that an agent (or, with null, anybody) has held; in the transaction that stops it. */
  async function withdrawHeld(tx: Tx, agentId: string | null, reason: string, now: number): Promise<number> {
    let query = tx.selectFrom('approvals').selectAll().where('kind', '=', 'call').where('status', '=', 'pending').orderBy('id').forUpdate();
    if (agentId !== null) query = query.where('agent_id', '=', agentId);
    const rows = (await query.execute()) as ApprovalRow[];
    for (const row of rows) {
      const calls = await tx
        .selectFrom('held_calls')
        .select('id')
        .where('approval_id', '=', row.id)
        .where('withdrawn_at', 'is', null)
        .execute();
      await withdrawCalls(
        tx,
        calls.map((call) => call.id),
        reason,
        now,
      );
      await withdrawRow(tx, row, reason, now);
    }
    return rows.length;
  }

  async function withdrawCalls(tx: Tx, ids: readonly string[], reason: string, now: number): Promise<void> {
    if (ids.length === 0) return;
    await tx
      .updateTable('held_calls')
      .set({ withdrawn_at: now, sealed: '' })
      .where('id', 'in', [...ids])
      .where('withdrawn_at', 'is', null)
      .execute();
    await tx
      .updateTable('tool_calls')
      .set({ status: 'withdrawn', ended_at: now, error: reason })
      .where('id', 'in', [...ids])
      .where('status', '=', 'needs_approval')
      .execute();
    await touch(
      tx,
      ids.map((id) => ({ topic: 'tool_call', entity_id: id, at: now })),
    );
  }

  async function withdrawRow(tx: Tx, row: ApprovalRow, reason: string, now: number): Promise<void> {
    await tx
      .updateTable('approvals')
      .set({ status: 'withdrawn', decided_at: now, decision: reason, approver_type: 'system' })
      .where('id', '=', row.id)
      .execute();
    await recordChanges(tx, [
      {
        at: now,
        actor: SYSTEM,
        action: 'approval.withdrawn',
        topic: 'approval',
        id: row.id,
        details: { reason },
        activity: {
          type: 'approval_withdrawn',
          agentId: row.agent_id,
          taskId: row.task_id,
          summary: `Withdrawn: ${row.summary} (${reason})`,
          details: { approvalId: row.id },
        },
        touches: row.agent_id ? [['agent', row.agent_id]] : [],
      },
    ]);
    if (row.escalated_at !== null) await alerts.clear(tx, 'approval_escalated', row.id, 'it was withdrawn');
  }

  /** One pass of the approval processor: overdue waits are deferred, overdue approvals and grants end. */
  async function sweep(): Promise<void> {
    const now = clock();
    const changed = await db.transaction().execute(async (tx) => {
      const overdue = (await tx
        .selectFrom('approvals')
        .selectAll()
        .where('kind', '=', 'call')
        .where('status', '=', 'pending')
        .where((eb) => eb.or([eb('expires_at', '<=', now), eb.and([eb('deferred', '=', false), eb('waiting_until', '<=', now)])]))
        .orderBy('id')
        .limit(200)
        .forUpdate()
        .execute()) as ApprovalRow[];
      for (const row of overdue) {
        if (row.expires_at <= now) await expireRow(tx, row, now);
        else await deferRow(tx, row);
      }
      const ended = await tx
        .selectFrom('approvals')
        .select('id')
        .where('status', '=', 'approved')
        .where('redeemed_by', 'is', null)
        .where('grant_expires_at', '<=', now)
        .where((eb) =>
          eb.exists(eb.selectFrom('held_calls').select('id').whereRef('approval_id', '=', 'approvals.id').where('sealed', '<>', '')),
        )
        .limit(200)
        .execute();
      for (const row of ended) await forget(tx, row.id);
      const unasked = await tx
        .updateTable('tool_calls')
        .set({ status: 'withdrawn', ended_at: now, error: 'its proxy ended before it had asked for an approval' })
        .where('status', '=', 'needs_approval')
        .where('approval_id', 'is', null)
        .where('held_at', '<=', now - UNASKED_MS)
        .returning('id')
        .execute();
      await touch(
        tx,
        unasked.map((row) => ({ topic: 'tool_call', entity_id: row.id, at: now })),
      );
      const pressed = await press(tx, now);
      return overdue.length + unasked.length + pressed > 0;
    });
    if (changed) published();
  }

  /** Reminds of what waits, and hands it on where it has waited too long (policy `approvals`). @returns how many changed. */
  async function press(tx: Tx, now: number): Promise<number> {
    const { remindAfterMs, remindTimes, escalateAfterMs, escalateTo } = activePolicy().policy.document.approvals;
    const isDue = {
      reminder: sql<boolean>`(${remindAfterMs} > 0 and reminders < ${remindTimes} and created_at + (reminders + 1) * ${remindAfterMs}::bigint <= ${now}::bigint)`,
      escalation: sql<boolean>`(${escalateAfterMs} > 0 and escalated_at is null and created_at + ${escalateAfterMs}::bigint <= ${now}::bigint)`,
    };
    const rows = (await tx
      .selectFrom('approvals')
      .selectAll()
      .select([isDue.reminder.as('is_reminder'), isDue.escalation.as('is_escalation')])
      .where('kind', '=', 'call')
      .where('status', '=', 'pending')
      .where((eb) => eb.or([isDue.reminder, isDue.escalation]))
      .orderBy('id')
      .limit(200)
      .forUpdate()
      .execute()) as (ApprovalRow & { is_reminder: boolean; is_escalation: boolean })[];
    for (const row of rows) {
      const minutes = Math.floor((now - row.created_at) / 60_000);
      if (row.is_escalation) await escalate(tx, row, escalateTo, minutes, now);
      // What is handed on is said by that; of reminders that were missed only one is.
      const due = remindAfterMs === 0 ? row.reminders : Math.min(remindTimes, Math.floor((now - row.created_at) / remindAfterMs));
      if (row.is_reminder) await remind(tx, row, due, row.is_escalation, minutes, now);
    }
    return rows.length;
  }

  async function remind(tx: Tx, row: ApprovalRow, reminders: number, isSaid: boolean, minutes: number, now: number): Promise<void> {
    await tx.updateTable('approvals').set({ reminders }).where('id', '=', row.id).execute();
    if (isSaid) return;
    const text = `Still waits after ${minutes} minutes: ${row.summary}`;
    await addNotice(tx, { approvalId: row.id, kind: 'reminder', toRole: 'approver', text, key: `reminder:${row.id}:${reminders}` }, now);
    await recordChanges(tx, [
      {
        at: now,
        actor: SYSTEM,
        action: 'approval.reminded',
        topic: 'approval',
        id: row.id,
        details: { reminders },
        activity: { type: 'approval_reminded', agentId: row.agent_id, taskId: row.task_id, summary: text, details: { approvalId: row.id } },
      },
    ]);
  }

  async function escalate(
    tx: Tx,
    row: ApprovalRow,
    toRole: 'approver' | 'operator' | 'admin',
    minutes: number,
    now: number,
  ): Promise<void> {
    await tx.updateTable('approvals').set({ escalated_at: now }).where('id', '=', row.id).execute();
    const text = `Approval ${row.number} has waited ${minutes} minutes and is handed on to the role ${toRole}: ${row.summary}`;
    await addNotice(tx, { approvalId: row.id, kind: 'escalation', toRole, text, key: `escalation:${row.id}` }, now);
    await recordChanges(tx, [
      {
        at: now,
        actor: SYSTEM,
        action: 'approval.escalated',
        topic: 'approval',
        id: row.id,
        details: { toRole },
        activity: {
          type: 'approval_escalated',
          agentId: row.agent_id,
          taskId: row.task_id,
          summary: text,
          details: { approvalId: row.id },
        },
      },
    ]);
    await alerts.raise(tx, {
      type: 'approval_escalated',
      severity: row.risk === 'red' ? 'high' : 'medium',
      agentId: row.agent_id,
      taskId: row.task_id,
      subject: row.id,
      message: text,
    });
  }

  async function expireRow(tx: Tx, row: ApprovalRow, now: number): Promise<void> {
    await tx
      .updateTable('approvals')
      .set({ status: 'expired', decided_at: now, approver_type: 'system' })
      .where('id', '=', row.id)
      .execute();
    await forget(tx, row.id);
    await recordChanges(tx, [
      {
        at: now,
        actor: SYSTEM,
        action: 'approval.expired',
        topic: 'approval',
        id: row.id,
        details: {},
        activity: {
          type: 'approval_expired',
          agentId: row.agent_id,
          taskId: row.task_id,
          summary: `Nobody decided in time: ${row.summary}`,
          details: { approvalId: row.id },
        },
        touches: row.agent_id ? [['agent', row.agent_id]] : [],
      },
    ]);
    if (row.escalated_at !== null) await alerts.clear(tx, 'approval_escalated', row.id, 'it expired');
    await alerts.raise(tx, {
      type: 'approval_timeout',
      severity: 'medium',
      agentId: row.agent_id,
      taskId: row.task_id,
      message: `Approval ${row.number} expired without a decision: ${row.summary}`,
    });
    if (row.task_id && row.kind === 'call') {
      const other = await tx
        .selectFrom('approvals')
        .select('id')
        .where('task_id', '=', row.task_id)
        .where('kind', '=', 'call')
        .where('status', '=', 'pending')
        .executeTakeFirst();
      if (!other) await tasks.block(tx, row.task_id, `approval ${row.number} expired without a decision`);
    }
  }

  /** Approvals whose agent must be told of the outcome through its session, oldest first. */
  async function untold(graceMs: number) {
    const now = clock();
    const rows = (await db
      .selectFrom('approvals')
      .selectAll()
      .where('kind', '=', 'call')
      .where('told_at', 'is', null)
      .where('session_key', 'is not', null)
      .where((eb) =>
        eb.or([
          eb.and([eb('status', '=', 'approved'), eb('redeemed_by', 'is', null), eb('grant_expires_at', '>', now)]),
          eb.and([eb('status', 'in', ['denied', 'expired']), eb('deferred', '=', true), eb('decided_at', '>', now - 60 * 60 * 1000)]),
        ]),
      )
      .where((eb) => eb.or([eb('deferred', '=', true), eb('decided_at', '<=', now - graceMs)]))
      .orderBy('decided_at')
      .limit(50)
      .execute()) as ApprovalRow[];
    return Promise.all(
      rows.map(async (row) => ({
        id: row.id,
        number: row.number,
        status: row.status,
        agentId: row.agent_id,
        sessionKey: row.session_key ?? '',
        tool: row.tool ?? '',
        approver: row.approver,
        note: row.decision,
        edited: row.edited_sealed !== null,
        grantExpiresAt: row.grant_expires_at,
        attempts: row.tell_attempts,
        arguments: row.status === 'approved' && row.tool_call_id ? await originalOf(db, keys, row.tool_call_id) : null,
      })),
    );
  }

  async function markTold(id: string, told: boolean): Promise<void> {
    await db
      .updateTable('approvals')
      .set((eb) => ({ tell_attempts: eb('tell_attempts', '+', 1), ...(told && { told_at: clock() }) }))
      .where('id', '=', id)
      .execute();
  }

  /** A held call in full, for the proxy that takes up its wait; null where there is none. */
  async function held(callId: string): Promise<HeldCall | null> {
    const row = await db
      .selectFrom('held_calls')
      .leftJoin('tool_calls', 'tool_calls.id', 'held_calls.id')
      .select(['held_calls.approval_id', 'held_calls.call', 'held_calls.sealed', 'tool_calls.status', 'tool_calls.reasons'])
      .where('held_calls.id', '=', callId)
      .executeTakeFirst();
    if (!row) return null;
    const state = stateOf(await rowOf(db, row.approval_id), callId);
    const original = row.sealed === '' ? null : (JSON.parse(keys.open(row.sealed, `held:${callId}`)) as JsonObject);
    return { call: row.call as CallFacts, arguments: original, state, end: endOf(row.status, (row.reasons ?? []) as Approval['reasons']) };
  }

  async function state(approvalId: string, callId: string): Promise<HoldState> {
    return stateOf(await rowOf(db, approvalId), callId);
  }

  function stateOf(row: ApprovalRow, callId: string): HoldState {
    return {
      callId,
      approvalId: row.id,
      approvalNumber: row.number,
      status: row.status,
      approver: row.approver,
      approverType: row.approver_type ?? 'unknown',
      note: row.decision,
      editedArguments: row.edited_sealed === null ? null : (JSON.parse(keys.open(row.edited_sealed, `edit:${row.id}`)) as JsonObject),
      decidedAt: row.decided_at,
      grantExpiresAt: row.grant_expires_at,
      redeemedBy: row.redeemed_by,
      allowance: row.allowance,
      ...(row.releases && { releases: row.releases }),
      waitingUntil: row.waiting_until ?? row.created_at,
      deferred: row.deferred,
    };
  }

  return { open, settleWaiting, redeem, defer, withdraw, withdrawHeld, sweep, expireRow, untold, markTold, held, state };
}

/** The pending approval of a digest, or a grant for it that nobody has used yet. */
async function findOpen(tx: Tx, digest: string, now: number): Promise<{ id: string; created: false } | null> {
  const row = await tx
    .selectFrom('approvals')
    .select('id')
    .where('digest', '=', digest)
    .where((eb) =>
      eb.or([
        eb('status', '=', 'pending'),
        eb.and([eb('status', '=', 'approved'), eb('redeemed_by', 'is', null), eb('grant_expires_at', '>', now)]),
      ]),
    )
    // A grant first: the call that repeats after an approval must find it even if another one waits again.
    .orderBy('status')
    .orderBy('number')
    .executeTakeFirst();
  return row ? { id: row.id, created: false } : null;
}

/** Whether an approval can no longer release this call, so that the call must be held anew. */
async function isSpent(tx: Tx, approvalId: string, callId: string, now: number): Promise<boolean> {
  const row = await rowOf(tx, approvalId);
  if (row.status !== 'approved') return false;
  if (row.redeemed_by !== null) return row.redeemed_by !== callId;
  return (row.grant_expires_at ?? 0) <= now;
}

/** A grant that did not release its call (a cap was used up meanwhile, the policy became stricter) is over. */
async function endGrant(tx: Tx, id: string, now: number): Promise<void> {
  await tx
    .updateTable('approvals')
    .set({ grant_expires_at: now })
    .where('id', '=', id)
    .where('status', '=', 'approved')
    .where('redeemed_by', 'is', null)
    .execute();
}

async function hasLiveCalls(tx: Tx, approvalId: string): Promise<boolean> {
  const row = await tx
    .selectFrom('held_calls')
    .select('id')
    .where('approval_id', '=', approvalId)
    .where('withdrawn_at', 'is', null)
    .executeTakeFirst();
  return row !== undefined;
}

/** The record of the held call exists at once; the journal brings the same row again later. */
async function upsertCallRow(tx: Tx, request: HoldRequest, approvalId: string, now: number): Promise<void> {
  const { call, judged, redacted: input, summary } = request;
  const row = callRowOf({ call, judged, status: 'needs_approval', at: now, input, summary, approvalId, proxyId: null });
  await tx
    .insertInto('tool_calls')
    .values({ ...row, reasons: json(row.reasons), input: json(row.input), facts: json(row.facts) })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ approval_id: approvalId, held_at: now }))
    .execute();
}

/** A call whose record has ended is over, whatever its approval says: it ran, was refused, or was taken back. */
function endOf(status: ToolCallView['status'] | null, reasons: Approval['reasons']): HeldCall['end'] {
  switch (status) {
    case null:
    case 'needs_approval':
    case 'running':
      return null;
    case 'success':
    case 'failed':
    case 'unknown':
      return { ran: true, reasons: [] };
    case 'blocked':
      return { ran: false, reasons };
    case 'withdrawn':
      return {
        ran: false,
        reasons: [{ code: 'APPROVAL_INVALID', message: 'The call was withdrawn.', policyPath: 'builtin.admission' }, ...reasons],
      };
  }
}
