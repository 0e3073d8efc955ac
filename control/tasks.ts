/**
 * Tasks and their state machine. Which moves exist and what they need is one table, `policies/task.ts`; here a move is made:
 * in one transaction with its record, by an actor that comes from the credential, at most once per idempotency key.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import {
  type Json,
  makesClaimsByDefault,
  microsFromUsd,
  redact,
  type TaskStatus,
  TRANSITIONS,
  transition,
  usdFromMicros,
} from '../policies/index.ts';
import { type Actor, SYSTEM } from './audit.ts';
import { atLeast, type Principal } from './auth.ts';
import { briefFor, resumeFor, reviewFor } from './briefs.ts';
import { recordChanges, touch } from './changes.ts';
import type { Task, TaskCreate, TaskUpdate, TransitionRequest } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { TasksTable } from './db/schema.ts';
import { enqueue, type NewDelivery, toolNamesOf } from './deliveries.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { notFound, Refusal } from './problem.ts';

export type Tasks = ReturnType<typeof createTasks>;
type JsonColumns = 'assignee_ids' | 'reviewer_ids' | 'subscriber_ids' | 'depends_on' | 'evidence' | 'metadata';
type TaskRow = Omit<TasksTable, JsonColumns | 'number'> & {
  number: number;
  assignee_ids: string[];
  reviewer_ids: string[];
  subscriber_ids: string[];
  depends_on: string[];
  evidence: string[];
  metadata: Record<string, unknown>;
};

/** Tasks that an emergency stop or a quarantine blocks (SPEC 7). */
const OPEN: readonly TaskStatus[] = ['inbox', 'assigned', 'in_progress', 'review', 'needs_approval'];

/** Open tasks, as `open_tasks (id, since)`: when each was last unblocked. What happened before that is no sign of a loop any more. */
export const OPEN_TASKS = sql`with open_tasks as (
  select tasks.id, coalesce((select max(created_at) from task_transitions where task_id = tasks.id and from_status = 'blocked'), 0) as since
  from tasks where removed_at is null and status in ('inbox', 'assigned', 'in_progress', 'review', 'needs_approval'))`;

export interface TaskFilter {
  status?: Task['status'] | undefined;
  agentId?: string | undefined;
  type?: Task['type'] | undefined;
  priority?: Task['priority'] | undefined;
  /** Sub-tasks of this one. */
  parentTaskId?: string | undefined;
  /** Words in title or description. */
  q?: string | undefined;
  /** What this agent may see: where it works, reviews or was named, and what it may claim. */
  visibleTo?: string | undefined;
  limit: number;
  cursor?: string | undefined;
}

/** States in which somebody must be working on the task. */
const STAFFED: ReadonlySet<TaskStatus> = new Set(['assigned', 'in_progress', 'review']);

export function createTasks({ db, clock, published }: { db: Db; clock: () => number; published: () => void }) {
  async function list(filter: TaskFilter): Promise<{ items: Task[]; nextCursor: string | null }> {
    let query = db
      .selectFrom('tasks')
      .selectAll()
      .where('removed_at', 'is', null)
      .orderBy('number', 'desc')
      .limit(filter.limit + 1);
    if (filter.status) query = query.where('status', '=', filter.status);
    if (filter.type) query = query.where('type', '=', filter.type);
    if (filter.agentId) query = query.where(assignedTo(filter.agentId));
    if (filter.priority) query = query.where('priority', '=', filter.priority);
    if (filter.parentTaskId) query = query.where('parent_task_id', '=', filter.parentTaskId);
    if (filter.q) {
      const pattern = `%${filter.q.replaceAll(/[\\%_]/g, '\\$&')}%`;
      query = query.where((eb) => eb.or([eb('title', 'ilike', pattern), eb('description', 'ilike', pattern)]));
    }
    if (filter.visibleTo) query = query.where(visibleTo(filter.visibleTo));
    if (filter.cursor) query = query.where('number', '<', decodeCursor(filter.cursor, ['number'])[0]);
    const rows = (await query.execute()) as TaskRow[];
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.number]) : null };
  }

  async function get(id: string): Promise<Task> {
    const task = await find(id);
    if (!task) throw notFound('task', id);
    return task;
  }

  async function find(id: string): Promise<Task | null> {
    const row = await db.selectFrom('tasks').selectAll().where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
    return row ? view(row as TaskRow) : null;
  }

  /** Whether an agent works on the task, reviews it, was named on it, or may claim it. */
  async function hasPart(id: string, agentId: string): Promise<boolean> {
    const row = await db
      .selectFrom('tasks')
      .select('id')
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .where(visibleTo(agentId))
      .executeTakeFirst();
    return row !== undefined;
  }

  async function create(actor: Actor, given: TaskCreate): Promise<Task> {
    const input = withoutSecrets(given);
    const id = randomUUID();
    const now = clock();
    await db.transaction().execute(async (tx) => {
      await refuseUnknown(tx, input);
      const followers = [input.subscriberIds, input.assigneeIds, input.reviewerIds, actor.id === null ? [] : [actor.id]];
      await tx
        .insertInto('tasks')
        .values({
          id,
          created_at: now,
          updated_at: now,
          revision: 1,
          title: input.title,
          description: input.description ?? '',
          type: input.type,
          status: 'inbox',
          status_before_hold: null,
          priority: input.priority ?? 'medium',
          assignee_ids: json(input.assigneeIds ?? []),
          reviewer_ids: json(input.reviewerIds ?? []),
          subscriber_ids: json([...new Set(followers.flatMap((ids) => ids ?? []))]),
          thread_ref: input.threadRef ?? null,
          session_key: input.sessionKey ?? null,
          parent_task_id: input.parentTaskId ?? null,
          depends_on: json(input.dependsOn ?? []),
          budget: input.budget === undefined || input.budget === null ? null : microsFromUsd(input.budget),
          spend: 0,
          work_plan: input.workPlan ?? null,
          deliverable: input.deliverable ?? null,
          deliverable_makes_claims: input.deliverableMakesClaims ?? makesClaimsByDefault(input.type),
          self_review: input.selfReview ?? null,
          evidence: json(input.evidence ?? []),
          deliverable_confirmed: false,
          decision_note: null,
          blocked_reason: null,
          cost_summary: null,
          metadata: json(input.metadata ?? {}),
          removed_at: null,
        })
        .execute();
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'task.created',
          topic: 'task',
          id,
          details: { title: input.title, type: input.type },
          activity: { type: 'task_created', taskId: id, summary: `${actor.name} created "${input.title}"` },
        },
      ]);
    });
    published();
    return get(id);
  }

  /** @param revision from If-Match; null = whatever it is now. */
  async function update(principal: Principal, actor: Actor, id: string, given: TaskUpdate, revision: number | null): Promise<Task> {
    const input = withoutSecrets(given);
    await db.transaction().execute(async (tx) => {
      const before = await liveRow(tx, id);
      if (principal.kind === 'agent') refuseBeyondAgent(before, principal.id, input);
      if (revision !== null && revision !== before.revision) {
        throw new Refusal(412, 'CHANGED', 'This task was changed by somebody else meanwhile; fetch it again.');
      }
      await refuseUnknown(tx, input);
      if (input.dependsOn) await refuseCircle(tx, id, input.dependsOn);
      if (input.assigneeIds?.length === 0 && STAFFED.has(before.status)) {
        throw new Refusal(
          409,
          'ASSIGNEE_NEEDED',
          `A task that is ${before.status.toUpperCase()} needs an assignee; move it to INBOX first.`,
        );
      }
      const newcomers = (input.assigneeIds ?? []).filter((agentId) => !before.assignee_ids.includes(agentId));
      const followers = [...new Set([...(input.subscriberIds ?? before.subscriber_ids), ...newcomers, ...(input.reviewerIds ?? [])])];
      await tx
        .updateTable('tasks')
        .set({ updated_at: clock(), revision: before.revision + 1, ...columnsOf(input), subscriber_ids: json(followers) })
        .where('id', '=', id)
        .execute();
      if (newcomers.length > 0 && (before.status === 'assigned' || before.status === 'in_progress')) {
        await wake(tx, (await liveRow(tx, id)) as TaskRow, newcomers, `joined:${before.revision + 1}`);
      }
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'task.updated',
          topic: 'task',
          id,
          details: { changed: Object.keys(input) },
          activity: { type: 'task_updated', taskId: id, summary: `${actor.name} changed "${before.title}"` },
        },
      ]);
    });
    published();
    return get(id);
  }

  /** Takes a task off the board; its records stay. */
  async function remove(actor: Actor, id: string): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      await tx.updateTable('tasks').set({ removed_at: clock() }).where('id', '=', id).execute();
      await tx.updateTable('agents').set({ current_task_id: null }).where('current_task_id', '=', id).execute();
      await recordChanges(tx, [
        {
          at: clock(),
          actor,
          action: 'task.removed',
          topic: 'task',
          id,
          activity: { type: 'task_updated', taskId: id, summary: `${actor.name} removed "${row.title}"` },
        },
      ]);
    });
    published();
  }

  /**
   * Moves a task on behalf of a person or an agent.
   * @throws Refusal 409 with the allowed moves and who may make them; 403 for a task that is not the agent's.
   */
  async function move(principal: Principal, actor: Actor, id: string, request: TransitionRequest): Promise<Task> {
    await db.transaction().execute(async (tx) => {
      const row = await liveRow(tx, id);
      if (request.idempotencyKey && (await wasMade(tx, id, request, actor))) return;
      if (principal.kind === 'agent') refuseForeign(row, principal.id, request.to);
      // Closing a task is an approval; everything else about a task is an operator's work (SPEC 8.1).
      if (principal.kind === 'human' && request.to !== 'done' && !atLeast(principal.role, 'operator')) {
        throw new Refusal(403, 'ROLE', `Moving a task needs the role operator; ${principal.name} is ${principal.role}.`);
      }
      await moveIn(tx, row, request, actor, principal.kind === 'agent' ? principal.id : null);
    });
    published();
    return get(id);
  }

  async function moveIn(tx: Tx, row: TaskRow, asked: TransitionRequest, actor: Actor, claimant: string | null): Promise<void> {
    const request: TransitionRequest = {
      ...withoutSecrets(asked),
      ...(asked.artifacts !== undefined && { artifacts: withoutSecrets(asked.artifacts) }),
    };
    const now = clock();
    const given = request.artifacts ?? {};
    const cost = request.to === 'review' ? await costSummary(tx, row) : '';
    const assignees = row.assignee_ids.length === 0 && claimant !== null && request.to === 'assigned' ? [claimant] : row.assignee_ids;
    const approval = request.to === 'done' ? await approvalFor(tx, row, actor, given, now) : null;
    const result = transition(
      {
        status: row.status,
        assigneeIds: assignees,
        workPlan: row.work_plan,
        deliverable: row.deliverable,
        selfReview: row.self_review,
        evidence: row.evidence,
        deliverableMakesClaims: row.deliverable_makes_claims,
        openDependencies: request.to === 'in_progress' ? await openDependencies(tx, row) : [],
      },
      request.to,
      actor.type,
      {
        ...(given.workPlan !== undefined && { workPlan: given.workPlan }),
        ...(given.deliverable !== undefined && { deliverable: given.deliverable }),
        ...(given.selfReview !== undefined && { selfReview: given.selfReview }),
        ...(given.evidence !== undefined && { evidence: given.evidence }),
        ...(given.deliverableConfirmed !== undefined && { deliverableConfirmed: given.deliverableConfirmed }),
        ...(given.decisionNote !== undefined && { decisionNote: given.decisionNote }),
        ...(approval && { approval }),
        costSummary: cost,
      },
    );
    if (!result.ok) throw new Refusal(409, result.code, result.message, { allowed: result.allowed, missing: result.missing });

    await tx
      .updateTable('tasks')
      .set({
        status: request.to,
        status_before_hold: request.to === 'needs_approval' ? row.status : null,
        updated_at: now,
        revision: row.revision + 1,
        assignee_ids: json(assignees),
        ...(given.workPlan !== undefined && { work_plan: given.workPlan }),
        ...(given.deliverable !== undefined && { deliverable: given.deliverable }),
        ...(given.selfReview !== undefined && { self_review: given.selfReview }),
        ...(given.evidence !== undefined && { evidence: json(given.evidence) }),
        // Reopening takes the confirmation back: the next close confirms again.
        deliverable_confirmed: request.to === 'done',
        ...(request.to === 'done' && { decision_note: given.decisionNote ?? null }),
        blocked_reason: request.to === 'blocked' ? (request.reason ?? null) : null,
        ...(request.to === 'review' && { cost_summary: cost }),
      })
      .where('id', '=', row.id)
      .execute();
    const transitionId = randomUUID();
    const provided = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [] : [name]));
    await tx
      .insertInto('task_transitions')
      .values({
        id: transitionId,
        created_at: now,
        task_id: row.id,
        from_status: row.status,
        to_status: request.to,
        actor: actor.type,
        actor_id: actor.id,
        reason: request.reason ?? null,
        artifacts_provided: json(provided),
        idempotency_key: request.idempotencyKey ?? null,
      })
      .execute();
    const agents = await followCurrentTask(tx, row.id, assignees, request.to);
    await tellAgents(tx, (await liveRow(tx, row.id)) as TaskRow, row.status, request, actor, transitionId);
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: 'task.moved',
        topic: 'task',
        id: row.id,
        details: { from: row.status, to: request.to, reason: request.reason ?? null, artifacts: provided },
        activity: {
          type: 'task_transition',
          taskId: row.id,
          details: { from: row.status, to: request.to },
          summary: `${actor.name} moved "${row.title}" from ${words(row.status)} to ${words(request.to)}${request.reason ? `: ${request.reason}` : ''}`,
        },
        touches: agents.map((agentId) => ['agent', agentId] as const),
      },
    ]);
  }

  /** What a move means for the agents of the task: whom it wakes, and whose run it ends. In the transaction of the move. */
  async function tellAgents(
    tx: Tx,
    task: TaskRow,
    from: TaskStatus,
    request: TransitionRequest,
    actor: Actor,
    transitionId: string,
  ): Promise<void> {
    const others = task.assignee_ids.filter((id) => actor.type !== 'agent' || id !== actor.id);
    const ref = { id: task.id, number: task.number };
    switch (request.to) {
      case 'assigned':
        if (from === 'in_progress') await endRuns(tx, task, transitionId);
        return wake(tx, task, task.assignee_ids, transitionId);
      case 'in_progress': {
        if (from === 'assigned' || from === 'needs_approval') return;
        const names = await toolNamesOf(tx, others);
        const notices = others.map(
          (agentId): NewDelivery => ({
            kind: 'notice',
            agentId,
            task: ref,
            text: resumeFor(task, from, actor.name, request.reason ?? null, names(agentId)),
            key: `resume:${transitionId}:${agentId}`,
          }),
        );
        await forgetAborts(tx, task.id, clock());
        return enqueue(tx, notices, clock());
      }
      case 'review': {
        const reviewers = task.reviewer_ids.filter((id) => id !== actor.id);
        const names = await toolNamesOf(tx, reviewers);
        const notices = reviewers.map(
          (agentId): NewDelivery => ({
            kind: 'notice',
            agentId,
            task: ref,
            text: reviewFor(task, names(agentId)),
            key: `review:${transitionId}:${agentId}`,
          }),
        );
        return enqueue(tx, notices, clock());
      }
      case 'done':
        return wakeDependents(tx, task.id, transitionId);
      case 'inbox':
      case 'blocked':
      case 'canceled':
        return endRuns(tx, task, transitionId);
      case 'needs_approval':
        return;
    }
  }

  /** Wakes agents with their brief, unless the task still waits for others: then the last of those wakes them. */
  async function wake(tx: Tx, task: TaskRow, agentIds: readonly string[], occasion: string): Promise<void> {
    if ((await openDependencies(tx, task)).length > 0) return;
    await forgetAborts(tx, task.id, clock());
    const names = await toolNamesOf(tx, agentIds);
    const briefs = agentIds.map(
      (agentId): NewDelivery => ({
        kind: 'brief',
        agentId,
        task: { id: task.id, number: task.number },
        text: briefFor(view(task), names(agentId), task.budget === null ? null : usdFromMicros(task.budget)),
        key: `brief:${task.id}:${occasion}:${agentId}`,
      }),
    );
    await enqueue(tx, briefs, clock());
  }

  async function wakeDependents(tx: Tx, taskId: string, occasion: string): Promise<void> {
    const rows = (await tx
      .selectFrom('tasks')
      .selectAll()
      .where('removed_at', 'is', null)
      .where('status', '=', 'assigned')
      .where(sql<boolean>`depends_on @> ${json([taskId])}`)
      .orderBy('id')
      .execute()) as TaskRow[];
    for (const row of rows) await wake(tx, row, row.assignee_ids, occasion);
  }

  /** The work is over for now: what still runs for it in OpenClaw is aborted. */
  async function endRuns(tx: Tx, task: TaskRow, occasion: string): Promise<void> {
    const sessions = await tx.selectFrom('task_sessions').select('agent_id').where('task_id', '=', task.id).execute();
    const aborts = sessions.map(
      ({ agent_id: agentId }): NewDelivery => ({
        kind: 'abort',
        agentId,
        task: { id: task.id, number: task.number },
        text: '',
        key: `abort:${occasion}:${agentId}`,
      }),
    );
    await enqueue(tx, aborts, clock());
  }

  /** A task that is closed has an approval by a person: the one named, or the move itself, which then is recorded as one (SPEC 8.3). */
  async function approvalFor(
    tx: Tx,
    row: TaskRow,
    actor: Actor,
    given: NonNullable<TransitionRequest['artifacts']>,
    now: number,
  ): Promise<{ status: string; approverType: string } | null> {
    if (given.approvalId) {
      const named = await tx
        .selectFrom('approvals')
        .select(['status', 'approver_type'])
        .where('id', '=', given.approvalId)
        .where('kind', '=', 'task')
        .where('task_id', '=', row.id)
        .executeTakeFirst();
      return named ? { status: named.status, approverType: named.approver_type ?? 'unknown' } : null;
    }
    const note = given.decisionNote?.trim();
    if (actor.type !== 'human' || row.status !== 'review' || !given.deliverableConfirmed || !note) return null;
    const id = randomUUID();
    await tx
      .insertInto('approvals')
      .values({
        ...taskApproval(row, `Close "${row.title}"`, note, now),
        id,
        status: 'approved',
        approver: actor.name,
        approver_id: actor.id,
        approver_type: 'human',
        decision: note,
        decided_at: now,
      })
      .execute();
    await recordChanges(tx, [
      { at: now, actor, action: 'approval.approved', topic: 'approval', id, details: { kind: 'task', taskId: row.id } },
    ]);
    return { status: 'approved', approverType: 'human' };
  }

  /** Puts the task on hold because a call of it waits for a person and nobody waits inline any more. Leaves other states alone. */
  async function hold(tx: Tx, id: string, reason: string): Promise<void> {
    const row = await tx
      .selectFrom('tasks')
      .selectAll()
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .forUpdate()
      .executeTakeFirst();
    if (!row || !isLegal(row.status, 'needs_approval', 'system')) return;
    await moveIn(tx, row as TaskRow, { to: 'needs_approval', reason }, SYSTEM, null);
  }

  /** Takes the task off hold once its last pending approval is decided; the actor is the person who decided. */
  async function release(tx: Tx, id: string, actor: Actor, reason: string): Promise<void> {
    const row = (await tx
      .selectFrom('tasks')
      .selectAll()
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .forUpdate()
      .executeTakeFirst()) as TaskRow | undefined;
    if (row?.status !== 'needs_approval' || (await hasPendingCall(tx, id))) return;
    const to = row.status_before_hold ?? 'assigned';
    try {
      await moveIn(tx, row, { to, reason }, actor, null);
    } catch (error) {
      // Something it needs there was taken from it meanwhile. That must not stand in the way of the decision about the call.
      if (!(error instanceof Refusal)) throw error;
      await moveIn(tx, row, { to: 'blocked', reason: `${reason}. It could not go back to ${words(to)}: ${error.message}` }, actor, null);
    }
  }

  /** A call that held the task up was taken back undecided: with the last one there is nothing left to wait for. */
  async function giveUpHold(tx: Tx, id: string, reason: string): Promise<void> {
    const row = await tx.selectFrom('tasks').select('status').where('id', '=', id).where('removed_at', 'is', null).executeTakeFirst();
    if (row?.status === 'needs_approval' && !(await hasPendingCall(tx, id))) await block(tx, id, reason);
  }

  /** Blocks a task on the system's account, where that is a legal move. */
  async function block(tx: Tx, id: string, reason: string): Promise<boolean> {
    const row = await tx
      .selectFrom('tasks')
      .selectAll()
      .where('id', '=', id)
      .where('removed_at', 'is', null)
      .forUpdate()
      .executeTakeFirst();
    if (!row || !isLegal(row.status, 'blocked', 'system')) return false;
    await moveIn(tx, row as TaskRow, { to: 'blocked', reason }, SYSTEM, null);
    return true;
  }

  async function blockTasksOf(tx: Tx, agentId: string, reason: string): Promise<number> {
    return blockRows(tx, await openRows(tx, agentId), reason);
  }

  async function blockAll(tx: Tx, reason: string): Promise<number> {
    return blockRows(tx, await openRows(tx, null), reason);
  }

  async function blockRows(tx: Tx, rows: readonly TaskRow[], reason: string): Promise<number> {
    for (const row of rows) await moveIn(tx, row, { to: 'blocked', reason }, SYSTEM, null);
    return rows.length;
  }

  async function openRows(tx: Tx, agentId: string | null): Promise<TaskRow[]> {
    let query = tx
      .selectFrom('tasks')
      .selectAll()
      .where('removed_at', 'is', null)
      .where('status', 'in', [...OPEN])
      .orderBy('id')
      .forUpdate();
    if (agentId !== null) query = query.where(assignedTo(agentId));
    return (await query.execute()) as TaskRow[];
  }

  async function transitions(taskId: string) {
    const rows = await db.selectFrom('task_transitions').selectAll().where('task_id', '=', taskId).orderBy('number').limit(1000).execute();
    return rows.map((row) => ({
      id: row.id,
      createdAt: row.created_at,
      taskId: row.task_id,
      fromStatus: row.from_status,
      toStatus: row.to_status,
      actor: row.actor,
      actorId: row.actor_id,
      reason: row.reason,
      artifactsProvided: row.artifacts_provided as string[],
      idempotencyKey: row.idempotency_key,
    }));
  }

  return { list, get, find, hasPart, create, update, remove, move, hold, release, giveUpHold, block, blockTasksOf, blockAll, transitions };
}

/** The row of a task approval, undecided; also used by approvals.ts for one that is asked for in advance. */
export function taskApproval(task: { id: string; session_key: string | null }, summary: string, reason: string, now: number) {
  return {
    created_at: now,
    kind: 'task' as const,
    status: 'pending' as const,
    agent_id: null,
    task_id: task.id,
    run_id: null,
    session_key: task.session_key,
    tool_call_id: null,
    tool: null,
    arguments: null,
    edited_arguments: null,
    edited_sealed: null,
    cwd: null,
    workspace: null,
    risk: 'yellow' as const,
    summary,
    reasons: json([{ code: 'RULE', message: reason, policyPath: 'builtin.task' }]),
    preview: null,
    digest: null,
    estimated_cost: 0,
    allowance: 0,
    policy_version: null,
    approver: null,
    approver_id: null,
    approver_type: null,
    decision: null,
    decided_at: null,
    expires_at: now + 30 * 24 * 60 * 60 * 1000,
    waiting_until: null,
    deferred: false,
    redeemed_at: null,
    redeemed_by: null,
    grant_expires_at: null,
    told_at: null,
    tell_attempts: 0,
  };
}

function isLegal(from: TaskStatus, to: TaskStatus, actor: Actor['type']): boolean {
  return TRANSITIONS.some((rule) => rule.from === from && rule.to === to && rule.actors.includes(actor));
}

function visibleTo(agentId: string) {
  const own = json([agentId]);
  return sql<boolean>`(assignee_ids @> ${own} or reviewer_ids @> ${own} or subscriber_ids @> ${own}
    or (status = 'inbox' and jsonb_array_length(assignee_ids) = 0))`;
}

/** What people and agents write on a task, without the credentials that stand in it (SPEC 10). Names, ids and numbers stay as they are. */
function withoutSecrets<T extends object>(input: T): T {
  return Object.fromEntries(
    Object.entries(input).map(([name, value]) => [name, value !== undefined && WRITTEN.has(name) ? redact(value as Json).value : value]),
  ) as T;
}

const WRITTEN = new Set([
  'title',
  'description',
  'workPlan',
  'deliverable',
  'selfReview',
  'decisionNote',
  'reason',
  'evidence',
  'metadata',
]);

/** An abort that has not been carried out must not end the run that is asked for now. */
async function forgetAborts(tx: Tx, taskId: string, now: number): Promise<void> {
  await tx
    .updateTable('deliveries')
    .set({ dropped_at: now, last_error: 'the task goes on' })
    .where('task_id', '=', taskId)
    .where('kind', '=', 'abort')
    .where('delivered_at', 'is', null)
    .where('dropped_at', 'is', null)
    .execute();
}

/**
 * Brings the cost summaries of tasks that are under review up to date: the last call before it may be settled a moment after it, and what
 * the reviewer reads is to include it.
 */
export async function renewCostSummaries(tx: Tx, ids: readonly string[], now: number): Promise<void> {
  if (ids.length === 0) return;
  const rows = await tx
    .selectFrom('tasks')
    .select(['id', 'spend', 'cost_summary'])
    .where('id', 'in', [...ids])
    .where('status', 'in', ['review', 'needs_approval'])
    .where('cost_summary', 'is not', null)
    .orderBy('id')
    .execute();
  for (const row of rows) {
    const summary = await costSummary(tx, row);
    if (summary === row.cost_summary) continue;
    await tx.updateTable('tasks').set({ cost_summary: summary }).where('id', '=', row.id).execute();
    await touch(tx, [{ topic: 'task', entity_id: row.id, at: now }]);
  }
}

/** What the work has cost so far, in words that a reviewer reads. */
async function costSummary(tx: Tx, row: { id: string; spend: number }): Promise<string> {
  const { calls } = await tx
    .selectFrom('tool_calls')
    .select((eb) => eb.fn.countAll<number>().as('calls'))
    .where('task_id', '=', row.id)
    .executeTakeFirstOrThrow();
  const { runs } = await tx
    .selectFrom('runs')
    .select((eb) => eb.fn.countAll<number>().as('runs'))
    .where('task_id', '=', row.id)
    .executeTakeFirstOrThrow();
  return `$${usdFromMicros(row.spend)} spent, ${Number(calls)} calls in ${Number(runs)} runs`;
}

function assignedTo(agentId: string) {
  return sql<boolean>`assignee_ids @> ${json([agentId])}`;
}

async function liveRow(tx: Tx, id: string): Promise<TaskRow> {
  const row = await tx.selectFrom('tasks').selectAll().where('id', '=', id).where('removed_at', 'is', null).forUpdate().executeTakeFirst();
  if (!row) throw notFound('task', id);
  return row as TaskRow;
}

async function hasPendingCall(tx: Tx, taskId: string): Promise<boolean> {
  const row = await tx
    .selectFrom('approvals')
    .select('id')
    .where('task_id', '=', taskId)
    .where('kind', '=', 'call')
    .where('status', '=', 'pending')
    .executeTakeFirst();
  return row !== undefined;
}

/** Whether this very move was made under its key. @throws Refusal 422 where another move, or somebody else's, was. */
async function wasMade(tx: Tx, taskId: string, { to, idempotencyKey = '' }: TransitionRequest, actor: Actor): Promise<boolean> {
  const row = await tx
    .selectFrom('task_transitions')
    .select(['to_status', 'actor_id'])
    .where('task_id', '=', taskId)
    .where('idempotency_key', '=', idempotencyKey)
    .executeTakeFirst();
  if (row && (row.to_status !== to || row.actor_id !== actor.id)) {
    throw new Refusal(422, 'IDEMPOTENCY_MISMATCH', `The key "${idempotencyKey}" was used for another move of this task.`);
  }
  return row !== undefined;
}

/** An agent moves its own tasks, and may claim an INBOX task for itself (SPEC 8.3). */
function refuseForeign(row: TaskRow, agentId: string, to: TaskStatus): void {
  if (row.assignee_ids.includes(agentId)) return;
  // A reviewer sends back what it was asked to look at.
  if (row.reviewer_ids.includes(agentId) && row.status === 'review' && to === 'in_progress') return;
  if (row.assignee_ids.length === 0 && row.status === 'inbox' && to === 'assigned') return;
  throw new Refusal(403, 'FOREIGN_TASK', 'This task is assigned to somebody else. An agent moves its own tasks only.');
}

const AGENT_FIELDS = new Set(['workPlan', 'deliverable', 'selfReview', 'evidence']);
function refuseBeyondAgent(row: TaskRow, agentId: string, input: TaskUpdate): void {
  if (!row.assignee_ids.includes(agentId)) {
    throw new Refusal(403, 'FOREIGN_TASK', 'This task is assigned to somebody else. An agent changes its own tasks only.');
  }
  if (row.status === 'done' || row.status === 'canceled') {
    throw new Refusal(409, 'TASK_CLOSED', `The task is ${row.status.toUpperCase()}: what was handed in and judged stays as it is.`);
  }
  const beyond = Object.keys(input).filter((field) => !AGENT_FIELDS.has(field));
  if (beyond.length > 0) {
    throw new Refusal(403, 'ROLE', `An agent may set ${[...AGENT_FIELDS].join(', ')}; not ${beyond.join(', ')}.`);
  }
}

async function refuseUnknown(tx: Tx, input: TaskUpdate & { parentTaskId?: string | null | undefined }): Promise<void> {
  const agents = [...new Set([...(input.assigneeIds ?? []), ...(input.reviewerIds ?? [])])];
  if (agents.length > 0) {
    const known = await tx.selectFrom('agents').select('id').where('id', 'in', agents).where('removed_at', 'is', null).execute();
    const missing = agents.filter((id) => !known.some((row) => row.id === id));
    if (missing.length > 0) throw new Refusal(400, 'UNKNOWN_AGENT', `There is no agent with the id ${missing.join(', ')}.`);
  }
  const tasks = [...(input.dependsOn ?? []), ...(input.parentTaskId ? [input.parentTaskId] : [])];
  if (tasks.length > 0) {
    const known = await tx.selectFrom('tasks').select('id').where('id', 'in', tasks).where('removed_at', 'is', null).execute();
    const missing = tasks.filter((id) => !known.some((row) => row.id === id));
    if (missing.length > 0) throw new Refusal(400, 'UNKNOWN_TASK', `There is no task with the id ${missing.join(', ')}.`);
  }
}

/** A task that waits for itself, by whatever way, would never start. */
async function refuseCircle(tx: Tx, id: string, dependsOn: readonly string[]): Promise<void> {
  const seen = new Set<string>();
  let next = [...new Set(dependsOn)];
  while (next.length > 0) {
    if (next.includes(id)) throw new Refusal(409, 'DEPENDENCY_CIRCLE', 'With this the task would wait for itself.');
    for (const known of next) seen.add(known);
    const rows = await tx.selectFrom('tasks').select('depends_on').where('id', 'in', next).execute();
    next = [...new Set(rows.flatMap((row) => row.depends_on as string[]))].filter((known) => !seen.has(known));
  }
}

async function openDependencies(tx: Tx, row: TaskRow): Promise<string[]> {
  if (row.depends_on.length === 0) return [];
  const open = await tx
    .selectFrom('tasks')
    .select('id')
    .where('id', 'in', row.depends_on)
    .where('status', '<>', 'done')
    .where('removed_at', 'is', null)
    .execute();
  return open.map((task) => task.id);
}

/** An agent without a current task takes up the one it starts; a task that ends is nobody's current one. */
async function followCurrentTask(tx: Tx, taskId: string, assignees: readonly string[], to: TaskStatus): Promise<string[]> {
  if (to === 'in_progress' && assignees.length > 0) {
    const rows = await tx
      .updateTable('agents')
      .set({ current_task_id: taskId })
      .where('id', 'in', [...assignees])
      .where('current_task_id', 'is', null)
      .returning('id')
      .execute();
    return rows.map((row) => row.id);
  }
  if (to === 'done' || to === 'canceled') {
    const rows = await tx
      .updateTable('agents')
      .set({ current_task_id: null })
      .where('current_task_id', '=', taskId)
      .returning('id')
      .execute();
    return rows.map((row) => row.id);
  }
  return [];
}

function columnsOf(input: TaskUpdate) {
  return {
    ...(input.title !== undefined && { title: input.title }),
    ...(input.description !== undefined && { description: input.description }),
    ...(input.type !== undefined && { type: input.type }),
    ...(input.priority !== undefined && { priority: input.priority }),
    ...(input.assigneeIds !== undefined && { assignee_ids: json(input.assigneeIds) }),
    ...(input.reviewerIds !== undefined && { reviewer_ids: json(input.reviewerIds) }),
    ...(input.subscriberIds !== undefined && { subscriber_ids: json(input.subscriberIds) }),
    ...(input.threadRef !== undefined && { thread_ref: input.threadRef }),
    ...(input.sessionKey !== undefined && { session_key: input.sessionKey }),
    ...(input.dependsOn !== undefined && { depends_on: json(input.dependsOn) }),
    ...(input.budget !== undefined && { budget: input.budget === null ? null : microsFromUsd(input.budget) }),
    ...(input.workPlan !== undefined && { work_plan: input.workPlan }),
    ...(input.deliverable !== undefined && { deliverable: input.deliverable }),
    ...(input.deliverableMakesClaims !== undefined && { deliverable_makes_claims: input.deliverableMakesClaims }),
    ...(input.selfReview !== undefined && { self_review: input.selfReview }),
    ...(input.evidence !== undefined && { evidence: json(input.evidence) }),
    ...(input.metadata !== undefined && { metadata: json(input.metadata) }),
  };
}

function words(status: TaskStatus): string {
  return status.replace('_', ' ');
}

function view(row: TaskRow): Task {
  return {
    id: row.id,
    number: row.number,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    revision: row.revision,
    title: row.title,
    description: row.description,
    type: row.type,
    status: row.status,
    priority: row.priority,
    assigneeIds: row.assignee_ids,
    reviewerIds: row.reviewer_ids,
    subscriberIds: row.subscriber_ids,
    threadRef: row.thread_ref,
    sessionKey: row.session_key,
    parentTaskId: row.parent_task_id,
    dependsOn: row.depends_on,
    budget: row.budget === null ? null : usdFromMicros(row.budget),
    spend: usdFromMicros(row.spend),
    workPlan: row.work_plan,
    deliverable: row.deliverable,
    deliverableMakesClaims: row.deliverable_makes_claims,
    selfReview: row.self_review,
    evidence: row.evidence,
    deliverableConfirmed: row.deliverable_confirmed,
    decisionNote: row.decision_note,
    blockedReason: row.blocked_reason,
    costSummary: row.cost_summary,
    metadata: row.metadata,
  };
}
