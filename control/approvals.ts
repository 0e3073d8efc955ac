/**
 * Approvals as people decide them. The first valid decision wins by compare-and-set, and is written together with its record and its
 * task; where two people are needed the first approval leaves it pending. The calls that wait are in holds.ts.
 */
import { randomUUID } from 'node:crypto';
import { groupKeyOf, type JsonObject, redact, redactText, usdFromMicros } from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import { type ApprovalRow, forget, lockRow, neededFor, originalOf, rowOf } from './approval-rows.ts';
import type { Actor } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { Approval, ApprovalBatchResult, ApprovalStatus, GrantProposal, GrantRequest, WholeArguments } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import { carryEdit } from './edit.ts';
import type { Grants } from './grants.ts';
import type { Holds } from './holds.ts';
import type { Keys } from './keys.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { demandAuthority, isSamePerson } from './people.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound, Refusal } from './problem.ts';
import { type Tasks, taskApproval } from './tasks.ts';

export type Approvals = ReturnType<typeof createApprovals>;

/** One person's decision, as it is taken down. */
interface Step {
  actor: Actor;
  /** Names of those whose deputy the person is. */
  actingFor: string[];
  note: string | null;
  edited: JsonObject | null;
  /** The surface it came from: "api", a channel. */
  via: string;
  now: number;
}

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  tasks: Tasks;
  alerts: Alerts;
  grants: Grants;
  holds: Holds;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

/** The member under which a record says that it does not have all of the arguments (proxy/record.ts). */
const SHORTENED = '…';
const BUDGET_REASONS = new Set(['BUDGET_RUN', 'BUDGET_TASK', 'BUDGET_DAILY', 'BUDGET_FLEET']);

export function createApprovals({ db, clock, keys, tasks, alerts, grants, holds, activePolicy, published }: Dependencies) {
  /**
   * A person's decision. The first valid one wins; a later one gets the outcome (409 DECIDED with the approval). Where two people are
   * needed the first approval leaves it pending, and anybody's denial ends it.
   */
  async function decide(
    actor: Actor,
    id: string,
    verdict: 'approved' | 'denied',
    input: {
      note?: string | undefined;
      arguments?: JsonObject | undefined;
      grant?: GrantRequest | undefined;
      /** Whether the person was shown arguments that somebody had edited; absent = not said. */
      sawEdit?: boolean | undefined;
      via?: string | undefined;
    },
  ): Promise<Approval> {
    const now = clock();
    const isTaken = await db.transaction().execute(async (tx) => {
      const row = await lockRow(tx, id);
      const actingFor = await demandAuthority(tx, actor, now);
      if (row.status !== 'pending') return false;
      if (row.expires_at <= now) {
        await holds.expireRow(tx, row, now);
        return false;
      }
      if (verdict === 'approved' && input.sawEdit !== undefined && input.sawEdit !== (row.edited_sealed !== null)) {
        throw new Refusal(409, 'EDITED_MEANWHILE', 'Its arguments were edited meanwhile. Look at them, and decide again.');
      }
      const note = input.note?.trim() ? redactText(input.note.trim()).text : null;
      if (row.risk === 'red' && note === null) {
        throw new Refusal(422, 'NOTE_REQUIRED', 'This call is red: say in "note" why it may run or why not.');
      }
      const edited = verdict === 'approved' && input.arguments ? await editOf(tx, row, input.arguments) : null;
      if (edited && input.grant) {
        throw new Refusal(422, 'EDITED_GRANT', 'A call can be approved with other arguments, or for longer; not both at once.');
      }
      const step: Step = { actor, actingFor, note, edited, via: input.via ?? 'api', now };
      if (verdict === 'approved' && !(await second(tx, row, step))) {
        if (input.grant) throw new Refusal(422, 'NOT_GRANTABLE', `Two people have to approve each call of ${row.tool}.`);
        return true;
      }
      await settle(tx, row, verdict, step);
      if (input.grant && verdict === 'approved') {
        await grants.make(tx, actor, row, input.grant, now);
        if (input.grant.includeWaiting) await holds.settleWaiting(tx, row, now);
      }
      return true;
    });
    published();
    const approval = await get(id);
    if (!isTaken) {
      const by = approval.approver ? ` by ${approval.approver}` : '';
      throw new Refusal(409, 'DECIDED', `Approval ${approval.number} was already ${approval.status}${by}.`, { approval });
    }
    return approval;
  }

  /** Takes down a person's approval. @returns whether it is the last one that is needed. @throws Refusal 409 where they gave it before. */
  async function second(tx: Tx, row: ApprovalRow, { actor, actingFor, note, edited, via, now }: Step): Promise<boolean> {
    const votes = await tx
      .selectFrom('approval_votes')
      .select(['operator_id', 'name'])
      .where('approval_id', '=', row.id)
      .orderBy('place')
      .execute();
    for (const vote of votes) {
      if (!(await isSamePerson(tx, vote.operator_id, actor.id ?? ''))) continue;
      throw new Refusal(409, 'SAME_PERSON', `${vote.name} has approved this already; it needs another person's approval.`, {
        approvedBy: votes.map(({ name }) => name),
        missing: neededFor(activePolicy().policy, row) - votes.length,
      });
    }
    if (votes.length > 0 && edited) {
      throw new Refusal(409, 'EDIT_AFTER_APPROVAL', `${votes[0]?.name} approved other arguments. Approve these as they are, or deny.`);
    }
    await tx
      .insertInto('approval_votes')
      .values({
        approval_id: row.id,
        operator_id: actor.id ?? '',
        name: actor.name,
        place: votes.length + 1,
        at: now,
        note,
        acting_for: json(actingFor),
      })
      .execute();
    const missing = neededFor(activePolicy().policy, row) - votes.length - 1;
    if (missing <= 0) return true;
    if (edited) await keepEdit(tx, row.id, edited);
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: 'approval.seconded',
        topic: 'approval',
        id: row.id,
        details: { note, digest: row.digest, tool: row.tool, edited: edited !== null, actingFor, missing, via },
        activity: {
          type: 'approval_seconded',
          agentId: row.agent_id,
          taskId: row.task_id,
          summary: `${nameOf(actor, actingFor)} approved ${row.summary}; another person has to approve as well${note ? `: ${note}` : ''}`,
          details: { approvalId: row.id, risk: row.risk },
        },
        touches: row.agent_id ? [['agent', row.agent_id]] : [],
      },
    ]);
    return false;
  }

  /** Carries the decision out: the row, its record, and its task. */
  async function settle(
    tx: Tx,
    row: ApprovalRow,
    verdict: 'approved' | 'denied',
    { actor, actingFor, note, edited, via, now }: Step,
  ): Promise<void> {
    await tx
      .updateTable('approvals')
      .set({
        status: verdict,
        approver: nameOf(actor, actingFor),
        approver_id: actor.id,
        approver_type: actor.type,
        decision: note,
        decided_at: now,
        ...(verdict === 'approved' && {
          grant_expires_at: now + activePolicy().policy.grantTtlMs,
          // Approving what was held for a cap grants its estimate above that cap, once (SPEC 8.3).
          allowance: row.reasons.some((reason) => BUDGET_REASONS.has(reason.code)) ? row.estimated_cost : 0,
        }),
      })
      .where('id', '=', row.id)
      .execute();
    if (edited) await keepEdit(tx, row.id, edited);
    if (verdict === 'denied') await forget(tx, row.id);
    const isEdited = edited !== null || row.edited_sealed !== null;
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: `approval.${verdict}`,
        topic: 'approval',
        id: row.id,
        details: { note, digest: row.digest, tool: row.tool, edited: isEdited, callId: row.tool_call_id, actingFor, via },
        activity: {
          type: 'approval_decided',
          agentId: row.agent_id,
          taskId: row.task_id,
          summary: `${nameOf(actor, actingFor)} ${verdict} ${isEdited ? 'an edited form of ' : ''}${row.summary}${note ? `: ${note}` : ''}`,
          details: { approvalId: row.id, status: verdict, risk: row.risk },
        },
        touches: row.agent_id ? [['agent', row.agent_id]] : [],
      },
    ]);
    if (row.escalated_at !== null) await alerts.clear(tx, 'approval_escalated', row.id, `decided by ${actor.name}`);
    if (row.task_id && row.kind === 'call') {
      await tasks.release(tx, row.task_id, actor, `approval ${row.number} ${verdict}${note ? `: ${note}` : ''}`);
    }
  }

  async function keepEdit(tx: Tx, id: string, edited: JsonObject): Promise<void> {
    await tx
      .updateTable('approvals')
      .set({ edited_arguments: json(redact(edited).value), edited_sealed: keys.seal(JSON.stringify(edited), `edit:${id}`) })
      .where('id', '=', id)
      .execute();
  }

  /** Decides several, each for itself and in the order given: what cannot be decided does not lose the others. */
  async function decideAll(
    actor: Actor,
    ids: readonly string[],
    verdict: 'approved' | 'denied',
    note: string | undefined,
    via?: string,
  ): Promise<ApprovalBatchResult> {
    const results: ApprovalBatchResult['results'] = [];
    for (const id of ids) {
      try {
        results.push({ id, ok: true, approval: await decide(actor, id, verdict, { note, via }), error: null });
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        results.push({ id, ok: false, approval: await find(id), error: { code: error.code, message: error.message } });
      }
    }
    return { results };
  }

  /** What could be granted for longer from the call of an approval. */
  async function proposeGrant(id: string): Promise<GrantProposal> {
    const row = await rowOf(db, id);
    return grants.propose(row);
  }

  /** Whether one person's press could approve calls like this one for longer. */
  async function isGrantable({ id, kind, status, risk, approvalsNeeded }: Approval): Promise<boolean> {
    if (kind !== 'call' || status !== 'pending' || risk === 'red' || approvalsNeeded > 1) return false;
    return grants.isGrantable(await rowOf(db, id));
  }

  async function editOf(tx: Tx, row: ApprovalRow, edited: JsonObject): Promise<JsonObject | null> {
    if (row.kind !== 'call' || !row.tool_call_id || !row.arguments) {
      throw new Refusal(422, 'NOTHING_TO_EDIT', 'This approval is not for a call, so there are no arguments to edit.');
    }
    const original = await originalOf(tx, keys, row.tool_call_id);
    if (!original) throw new Refusal(422, 'NOTHING_TO_EDIT', "The call's own arguments are gone.");
    const shown = Object.hasOwn(row.arguments, SHORTENED) ? (redact(original).value as JsonObject) : row.arguments;
    const result = carryEdit(original, shown, edited);
    return JSON.stringify(result) === JSON.stringify(original) ? null : result;
  }

  async function list(filter: {
    status?: ApprovalStatus | undefined;
    agentId?: string | undefined;
    taskId?: string | undefined;
    number?: number | undefined;
    limit: number;
    cursor?: string | undefined;
  }) {
    let query = db
      .selectFrom('approvals')
      .selectAll()
      .orderBy('number', 'desc')
      .limit(filter.limit + 1);
    if (filter.status) query = query.where('status', '=', filter.status);
    if (filter.agentId) query = query.where('agent_id', '=', filter.agentId);
    if (filter.taskId) query = query.where('task_id', '=', filter.taskId);
    if (filter.number !== undefined) query = query.where('number', '=', filter.number);
    if (filter.cursor) query = query.where('number', '<', decodeCursor(filter.cursor, ['number'])[0]);
    const rows = (await query.execute()) as ApprovalRow[];
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: await views(page), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.number]) : null };
  }

  async function get(id: string): Promise<Approval> {
    const approval = await find(id);
    if (!approval) throw notFound('approval', id);
    return approval;
  }

  /**
   * The arguments of a held call as its record would have them if it kept all of them: redacted, not shortened.
   * @throws Refusal 404 without such an approval, 409 ORIGINAL_GONE once the hold and its grant have ended, or where there is no call.
   */
  async function wholeArguments(id: string): Promise<WholeArguments> {
    const { number, toolCallId } = await get(id);
    const original = toolCallId === null ? null : await originalOf(db, keys, toolCallId);
    if (!original)
      throw new Refusal(
        409,
        'ORIGINAL_GONE',
        `The call's own arguments are kept while approval ${number} can still run; the record has them shortened.`,
      );
    return { arguments: redact(original).value as JsonObject };
  }

  async function find(id: string): Promise<Approval | null> {
    const row = await db.selectFrom('approvals').selectAll().where('id', '=', id).executeTakeFirst();
    return row ? ((await views([row as ApprovalRow]))[0] ?? null) : null;
  }

  /** Those that exist, in the order asked for. */
  async function findSeveral(ids: readonly string[]): Promise<Approval[]> {
    if (ids.length === 0) return [];
    const rows = await db
      .selectFrom('approvals')
      .selectAll()
      .where('id', 'in', [...ids])
      .execute();
    const found = new Map((await views(rows as ApprovalRow[])).map((approval) => [approval.id, approval]));
    return ids.flatMap((id) => found.get(id) ?? []);
  }

  /** Asks in advance for a person's approval that a task may be closed. */
  async function requestForTask(actor: Actor, given: { taskId: string; summary: string; reason: string }): Promise<Approval> {
    const input = { ...given, summary: redactText(given.summary).text, reason: redactText(given.reason).text };
    const now = clock();
    const id = randomUUID();
    await db.transaction().execute(async (tx) => {
      const task = await tx
        .selectFrom('tasks')
        .select(['id', 'session_key', 'assignee_ids'])
        .where('id', '=', input.taskId)
        .where('removed_at', 'is', null)
        .executeTakeFirst();
      if (!task) throw notFound('task', input.taskId);
      if (actor.type === 'agent' && !(task.assignee_ids as string[]).includes(actor.id ?? '')) {
        throw new Refusal(403, 'FOREIGN_TASK', 'This task is assigned to somebody else.');
      }
      await tx
        .insertInto('approvals')
        .values({ ...taskApproval(task, input.summary, input.reason, now), id, agent_id: actor.type === 'agent' ? actor.id : null })
        .execute();
      await recordChanges(tx, [
        {
          at: now,
          actor,
          action: 'approval.requested',
          topic: 'approval',
          id,
          details: { kind: 'task', taskId: input.taskId },
          activity: {
            type: 'approval_requested',
            taskId: input.taskId,
            summary: `${actor.name} asks: ${input.summary}`,
            details: { approvalId: id },
          },
        },
      ]);
    });
    published();
    return get(id);
  }

  async function countPending(): Promise<number> {
    const { count } = await db
      .selectFrom('approvals')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('status', '=', 'pending')
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  async function views(rows: readonly ApprovalRow[]): Promise<Approval[]> {
    if (rows.length === 0) return [];
    const ids = rows.map((row) => row.id);
    const agentIds = distinct(rows.map((row) => row.agent_id));
    const taskIds = distinct(rows.map((row) => row.task_id));
    const agents = agentIds.length > 0 ? await db.selectFrom('agents').select(['id', 'name']).where('id', 'in', agentIds).execute() : [];
    const titles = taskIds.length > 0 ? await db.selectFrom('tasks').select(['id', 'title']).where('id', 'in', taskIds).execute() : [];
    const waiting = await db
      .selectFrom('held_calls')
      .select(['approval_id', (eb) => eb.fn.countAll<number>().as('count')])
      .where('approval_id', 'in', ids)
      .where('withdrawn_at', 'is', null)
      .groupBy('approval_id')
      .execute();
    const ran = await db
      .selectFrom('tool_calls')
      .select(['approval_id', 'status'])
      .where('approval_id', 'in', ids)
      .where('status', 'in', ['running', 'success', 'failed', 'unknown'])
      .execute();
    const votes = await db.selectFrom('approval_votes').selectAll().where('approval_id', 'in', ids).orderBy('place').execute();
    const made = await db.selectFrom('grants').select(['id', 'approval_id']).where('approval_id', 'in', ids).execute();
    const madeOf = new Map(made.map((grant) => [grant.approval_id, grant.id]));
    const agentNameOf = new Map(agents.map((agent) => [agent.id, agent.name]));
    const titleOf = new Map(titles.map((task) => [task.id, task.title]));
    const waitingOf = new Map(waiting.map((row) => [row.approval_id, Number(row.count)]));
    const outcomeOf = new Map(ran.map((row) => [row.approval_id, row.status]));
    return rows.map((row) => ({
      id: row.id,
      number: row.number,
      createdAt: row.created_at,
      kind: row.kind,
      status: row.status,
      agentId: row.agent_id,
      agentName: row.agent_id ? (agentNameOf.get(row.agent_id) ?? null) : null,
      taskId: row.task_id,
      taskTitle: row.task_id ? (titleOf.get(row.task_id) ?? null) : null,
      runId: row.run_id,
      sessionKey: row.session_key,
      toolCallId: row.tool_call_id,
      tool: row.tool,
      arguments: row.arguments,
      editedArguments: row.edited_arguments,
      cwd: row.cwd,
      workspace: row.workspace,
      risk: row.risk,
      summary: row.summary,
      reason: row.reasons[0]?.message ?? '',
      reasons: row.reasons,
      preview: row.preview,
      digest: row.digest,
      estimatedCost: usdFromMicros(row.estimated_cost),
      policyVersion: row.policy_version,
      approver: row.approver,
      decision: row.decision,
      decidedAt: row.decided_at,
      expiresAt: row.expires_at,
      waitingUntil: row.waiting_until,
      deferred: row.deferred,
      redeemedAt: row.redeemed_at,
      redeemedBy: row.redeemed_by,
      grantExpiresAt: row.grant_expires_at,
      noteRequired: row.risk === 'red',
      waitingCalls: waitingOf.get(row.id) ?? 0,
      outcome: outcomeFrom(outcomeOf.get(row.id)),
      groupKey: row.kind === 'task' ? `task: ${row.task_id}` : groupKeyOf(shapedCall(row)),
      approvalsNeeded: neededFor(activePolicy().policy, row),
      approvedBy: approversOf(
        row,
        votes.filter((vote) => vote.approval_id === row.id),
      ),
      reminders: row.reminders,
      escalatedAt: row.escalated_at,
      grantId: row.grant_id,
      madeGrantId: madeOf.get(row.id) ?? null,
    }));
  }

  return { decide, decideAll, proposeGrant, isGrantable, list, get, wholeArguments, find, findSeveral, requestForTask, countPending };
}

function outcomeFrom(status: string | undefined): Approval['outcome'] {
  switch (status) {
    case 'running':
    case 'success':
    case 'failed':
    case 'unknown':
      return status;
    default:
      return 'none';
  }
}

function shapedCall({ tool, arguments: args, workspace, preview }: ApprovalRow) {
  return {
    tool: tool ?? '',
    arguments: args,
    workspace,
    commands: preview?.commands ?? [],
    paths: preview?.paths ?? [],
    hosts: preview?.hosts ?? [],
  };
}

/** Of a request that a standing grant or a task's closing decided there is no vote: the decision itself says who. */
function approversOf(row: ApprovalRow, votes: readonly Vote[]): Approval['approvedBy'] {
  if (votes.length === 0 && row.status === 'approved' && row.approver_type === 'human') {
    const { approver_id: id, approver: name, decided_at: at, decision: note } = row;
    return [{ id: id ?? '', name: name ?? '', at: at ?? row.created_at, note, actingFor: [] }];
  }
  return votes.map(({ operator_id: id, name, at, note, acting_for }) => ({ id, name, at, note, actingFor: acting_for as string[] }));
}

interface Vote {
  operator_id: string;
  name: string;
  at: number;
  note: string | null;
  acting_for: unknown;
}

/** A deputy decides under their own name, and it shows for whom. */
function nameOf({ name }: Actor, actingFor: readonly string[]): string {
  return actingFor.length === 0 ? name : `${name} (for ${actingFor.join(', ')})`;
}

function distinct(ids: readonly (string | null)[]): string[] {
  return [...new Set(ids.filter((id): id is string => id !== null))];
}
