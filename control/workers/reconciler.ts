/**
 * Sets right what nobody else would notice (SPEC 7): tasks that no living agent works on, tasks on which nothing happens any more, runs
 * that ended without a word, agents that have drained or whose calls only fail. An agent whose run ended with its task still open is reminded a few times; after
 * that a person is told. Every pass starts from the rows, so that doing one twice changes nothing.
 */
import { sql } from 'kysely';
import type { Agents } from '../agents.ts';
import type { Alerts } from '../alerts.ts';
import { reminderFor } from '../briefs.ts';
import { touch } from '../changes.ts';
import type { Db } from '../db/database.ts';
import { enqueue, toolNamesOf } from '../deliveries.ts';
import { RUN_SILENT } from '../ingest.ts';
import type { Tasks } from '../tasks.ts';
import type { Worker } from './loop.ts';

/** A run without a call, a check or an end for this long is over; a held call keeps it open. */
const RUN_SILENT_MS = 30 * 60 * 1000;
/** A task on which nothing happens for this long needs a look; sooner where its run has ended. */
const QUIET_MS = 15 * 60 * 1000;
const AFTER_RUN_MS = 60 * 1000;
const REMINDERS_MAX = 3;

interface Dependencies {
  db: Db;
  clock: () => number;
  tasks: Tasks;
  agents: Agents;
  alerts: Alerts;
  published: () => void;
}

interface QuietTask {
  id: string;
  number: number;
  title: string;
  status: string;
  assignee_ids: string[];
  seen_at: number;
  runs_ended: boolean;
  reachable: boolean;
  reminders: number;
  flagged: boolean;
}

export function reconciler({ db, clock, tasks, agents, alerts, published }: Dependencies): Worker {
  async function tick(): Promise<void> {
    await closeSilentRuns();
    await agents.settleDrained();
    await agents.watchErrors();
    await blockOrphans();
    await moveQuietTasks();
    await clearFlags();
    published();
  }

  async function closeSilentRuns(): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const { rows } = await sql<{ id: string }>`
        update runs set status = 'failed', ended_at = last_seen_at, error_message = ${RUN_SILENT}
        where status = 'running' and last_seen_at <= ${now - RUN_SILENT_MS}::bigint
          and not exists (select 1 from tool_calls where tool_calls.agent_id = runs.agent_id and tool_calls.run_id = runs.run_id
            and tool_calls.status in ('needs_approval', 'running'))
        returning id
      `.execute(tx);
      await touch(
        tx,
        rows.map(({ id }) => ({ topic: 'run', entity_id: id, at: now })),
      );
    });
  }

  /** A task whose agents are all gone cannot go on. */
  async function blockOrphans(): Promise<void> {
    const { rows } = await sql<{ id: string; title: string; number: number }>`
      select id, title, number from tasks
      where removed_at is null and status in ('assigned', 'in_progress') and not exists (
        select 1 from agents where tasks.assignee_ids @> jsonb_build_array(agents.id) and agents.removed_at is null and agents.status <> 'stopped')
    `.execute(db);
    for (const { id, title, number } of rows) {
      await db.transaction().execute(async (tx) => {
        if (!(await tasks.block(tx, id, 'none of its agents is there any more'))) return;
        await alerts.raise(tx, {
          type: 'task_stuck',
          severity: 'high',
          taskId: id,
          message: `Task ${number} "${title}" is blocked: none of its agents is there any more.`,
        });
      });
    }
  }

  async function moveQuietTasks(): Promise<void> {
    const now = clock();
    for (const task of await quietTasks()) {
      const limit = task.runs_ended ? AFTER_RUN_MS : QUIET_MS;
      if (task.flagged || now - task.seen_at < limit) continue;
      await db.transaction().execute(async (tx) => {
        if (task.reachable && task.reminders < REMINDERS_MAX) {
          const names = await toolNamesOf(tx, task.assignee_ids);
          const reminders = task.assignee_ids.map((agentId) => ({
            kind: 'notice' as const,
            agentId,
            task,
            text: reminderFor(task, names(agentId)),
            // One reminder for one silence, whoever notices it.
            key: `remind:${task.id}:${agentId}:${task.seen_at}`,
          }));
          return enqueue(tx, reminders, now);
        }
        const minutes = Math.round((now - task.seen_at) / 60_000);
        await alerts.raise(tx, {
          type: 'task_stuck',
          severity: 'medium',
          taskId: task.id,
          message: `Nothing has happened on task ${task.number} "${task.title}" (${task.status}) for ${minutes} minutes${task.reachable ? `, and ${task.reminders} reminders did not help` : ''}.`,
        });
      });
    }
  }

  /** Tasks that agents should be working on, with when anything was last seen of them. One that waits for a person or for others is not quiet. */
  async function quietTasks(): Promise<QuietTask[]> {
    const { rows } = await sql<QuietTask>`
      select tasks.id, number, title, status, assignee_ids, moved.at as moved_at,
        greatest(tasks.updated_at,
          (select max(created_at) from messages where task_id = tasks.id),
          (select max(greatest(created_at, ended_at)) from tool_calls where task_id = tasks.id),
          (select max(greatest(last_seen_at, ended_at)) from runs where task_id = tasks.id),
          said.at) as seen_at,
        exists (select 1 from runs where task_id = tasks.id and started_at >= coalesce(said.at, moved.at, 0))
          and not exists (select 1 from runs where task_id = tasks.id and status = 'running') as runs_ended,
        exists (select 1 from agents where tasks.assignee_ids @> jsonb_build_array(agents.id) and gateway_id is not null
          and external_id is not null and agents.status = 'active') as reachable,
        (select count(distinct dedupe_key) from deliveries where task_id = tasks.id and dedupe_key like 'remind:%'
          and created_at > coalesce(moved.at, 0))::int as reminders,
        exists (select 1 from alerts where dedupe_key = 'task_stuck:' || tasks.id and resolved_at is null) as flagged
      from tasks
        left join lateral (select max(created_at) as at from task_transitions where task_id = tasks.id) moved on true
        left join lateral (select max(coalesce(delivered_at, created_at)) as at from deliveries
          where task_id = tasks.id and kind <> 'abort' and dropped_at is null) said on true
      where removed_at is null and status in ('assigned', 'in_progress')
        and not exists (select 1 from approvals where task_id = tasks.id and status = 'pending')
        and not exists (select 1 from deliveries where task_id = tasks.id and delivered_at is null and dropped_at is null)
        and not exists (select 1 from tasks other where tasks.depends_on @> jsonb_build_array(other.id) and other.status <> 'done'
          and other.removed_at is null and tasks.status = 'assigned')
    `.execute(db);
    return rows;
  }

  /** What was flagged and has moved since needs no look any more. */
  async function clearFlags(): Promise<void> {
    const { rows } = await sql<{ task_id: string }>`
      select alerts.task_id from alerts join tasks on tasks.id = alerts.task_id
      where alerts.type = 'task_stuck' and resolved_at is null and (
        tasks.removed_at is not null or tasks.status not in ('assigned', 'in_progress', 'blocked')
        or exists (select 1 from task_transitions where task_id = tasks.id and created_at > alerts.created_at)
        or exists (select 1 from tool_calls where task_id = tasks.id and created_at > alerts.created_at)
        or exists (select 1 from messages where task_id = tasks.id and author_type = 'agent' and created_at > alerts.created_at))
    `.execute(db);
    for (const { task_id } of rows) {
      await db.transaction().execute((tx) => alerts.clear(tx, 'task_stuck', task_id, 'the task moves again'));
    }
  }

  return { name: 'reconciler', everyMs: 30_000, tick };
}
