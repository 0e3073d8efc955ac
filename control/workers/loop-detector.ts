/**
 * The loop detector (SPEC 7): once a minute it counts, for every open task, what the plan calls a loop: comments, review cycles, the same
 * pair going back and forth, retries that end with the same error. A task above a limit is contained in one transaction: BLOCKED, an
 * alert, and a summary for the person who has to look at it. What happened before a person unblocked the task counts no more.
 */
import { sql } from 'kysely';
import { errorSignature, exchangesOf, findLoops, type LoopFinding, usdFromMicros } from '../../policies/index.ts';
import type { Alerts } from '../alerts.ts';
import { SYSTEM } from '../audit.ts';
import { recordChanges } from '../changes.ts';
import type { Db, Tx } from '../db/database.ts';
import { writeDocument } from '../documents.ts';
import type { ActivePolicy } from '../policies.ts';
import { OPEN_TASKS, type Tasks } from '../tasks.ts';
import type { Worker } from './loop.ts';

/** How far back failures of a tool count. */
const RETRY_WINDOW_MS = 60 * 60 * 1000;
const READ_MAX = 20_000;
const SHOWN = 10;

interface History {
  commentsIn30Min: number;
  reviewCycles: number;
  pairExchangesIn10Min: number;
  sameErrorRetries: number;
}

interface Dependencies {
  db: Db;
  clock: () => number;
  tasks: Tasks;
  alerts: Alerts;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

export function loopDetector({ db, clock, tasks, alerts, activePolicy, published }: Dependencies): Worker {
  async function tick(): Promise<void> {
    const { policy } = activePolicy();
    const now = clock();
    for (const [taskId, history] of await histories(now)) {
      const findings = findLoops(history, policy);
      if (findings.length > 0) await contain(taskId, findings, now);
    }
  }

  async function contain(taskId: string, findings: readonly LoopFinding[], now: number): Promise<void> {
    const why = findings.map(({ message }) => message).join(' ');
    const contained = await db.transaction().execute(async (tx) => {
      // Blocked or closed meanwhile: then there is nothing left to contain, and nothing is said twice.
      if (!(await tasks.block(tx, taskId, `Loop: ${why}`))) return false;
      const task = await tx.selectFrom('tasks').select(['title', 'number', 'spend']).where('id', '=', taskId).executeTakeFirstOrThrow();
      const documentId = await writeDocument(
        tx,
        {
          kind: 'loop_summary',
          taskId,
          title: `Loop summary of task ${task.number}: ${task.title}`,
          body: await summarize(tx, taskId, task, findings, now),
        },
        now,
      );
      await alerts.raise(tx, {
        type: 'loop_detected',
        severity: 'high',
        taskId,
        message: `Task ${task.number} "${task.title}" is blocked: ${why}`,
      });
      await recordChanges(tx, [
        {
          at: now,
          actor: SYSTEM,
          action: 'loop.detected',
          topic: 'task',
          id: taskId,
          details: { limits: findings.map(({ policyPath }) => policyPath) },
          activity: { type: 'loop_detected', taskId, summary: `Loop on "${task.title}": ${why}`, details: { documentId } },
        },
      ]);
      return true;
    });
    if (contained) published();
  }

  /** What the limits are about, per open task; tasks about which there is nothing to count are left out. */
  async function histories(now: number): Promise<Map<string, History>> {
    const { commentWindowMs, pairWindowMs } = activePolicy().policy.document.loopDetection;
    const found = new Map<string, History>();
    const of = (taskId: string): History => {
      const known = found.get(taskId) ?? { commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0, sameErrorRetries: 0 };
      found.set(taskId, known);
      return known;
    };
    const comments = await sql<{ task_id: string; count: number }>`
      ${OPEN_TASKS}
      select m.task_id, count(*)::int as count from messages m join open_tasks t on t.id = m.task_id
      where m.created_at > greatest(${now - commentWindowMs}::bigint, t.since) group by m.task_id
    `.execute(db);
    for (const { task_id, count } of comments.rows) of(task_id).commentsIn30Min = count;

    const cycles = await sql<{ task_id: string; count: number }>`
      ${OPEN_TASKS}
      select r.task_id, count(*)::int as count from task_transitions r join open_tasks t on t.id = r.task_id
      where r.from_status = 'review' and r.to_status = 'in_progress' and r.created_at > t.since group by r.task_id
    `.execute(db);
    for (const { task_id, count } of cycles.rows) of(task_id).reviewCycles = count;

    const talk = await sql<{ task_id: string; author_id: string }>`
      ${OPEN_TASKS}
      select m.task_id, m.author_id from messages m join open_tasks t on t.id = m.task_id
      where m.author_id is not null and m.created_at > greatest(${now - pairWindowMs}::bigint, t.since)
      order by m.task_id, m.number limit ${READ_MAX}
    `.execute(db);
    for (const [taskId, authors] of grouped(
      talk.rows,
      (row) => row.task_id,
      (row) => row.author_id,
    )) {
      of(taskId).pairExchangesIn10Min = exchangesOf(authors);
    }

    const calls = await sql<{ task_id: string; row_key: string; status: string; error: string | null; output: string | null }>`
      ${OPEN_TASKS}
      select c.task_id, c.task_id || ' ' || c.agent_id || ' ' || c.session_key || ' ' || c.tool as row_key, c.status,
        left(c.error, 2000) as error, left(c.output, 2000) as output
      from tool_calls c join open_tasks t on t.id = c.task_id
      where c.entry <> 'model' and c.status in ('success', 'failed') and c.ended_by_caller is not true and c.ended_at > greatest(${now - RETRY_WINDOW_MS}::bigint, t.since)
      order by row_key, c.ended_at, c.id limit ${READ_MAX}
    `.execute(db);
    for (const [, row] of grouped(
      calls.rows,
      (call) => call.row_key,
      (call) => call,
    )) {
      const taskId = row[0]?.task_id;
      if (taskId === undefined) continue;
      const history = of(taskId);
      history.sameErrorRetries = Math.max(history.sameErrorRetries, retriesOf(row));
    }
    return found;
  }

  return { name: 'loop-detector', everyMs: 60_000, tick };
}

/** The longest row of failures with the same error, less the first, which is no retry. */
function retriesOf(calls: readonly { status: string; error: string | null; output: string | null }[]): number {
  let longest = 0;
  let row = 0;
  let last: string | null = null;
  for (const { status, error, output } of calls) {
    const signature: string | null = status === 'failed' ? errorSignature(error ?? output ?? '') : null;
    row = signature === null ? 0 : signature === last ? row + 1 : 1;
    last = signature;
    longest = Math.max(longest, row - 1);
  }
  return longest;
}

function grouped<T, V>(rows: readonly T[], key: (row: T) => string, value: (row: T) => V): Map<string, V[]> {
  const groups = new Map<string, V[]>();
  for (const row of rows) {
    const group = groups.get(key(row));
    if (group) group.push(value(row));
    else groups.set(key(row), [value(row)]);
  }
  return groups;
}

/** What a person needs to decide how the task goes on. */
async function summarize(
  tx: Tx,
  taskId: string,
  task: { title: string; number: number; spend: number },
  findings: readonly LoopFinding[],
  now: number,
): Promise<string> {
  const messages = await tx
    .selectFrom('messages')
    .select(['created_at', 'author_name', 'content'])
    .where('task_id', '=', taskId)
    .orderBy('number', 'desc')
    .limit(SHOWN)
    .execute();
  const moves = await tx
    .selectFrom('task_transitions')
    .select(['created_at', 'from_status', 'to_status', 'actor', 'reason'])
    .where('task_id', '=', taskId)
    .orderBy('number', 'desc')
    .limit(SHOWN)
    .execute();
  const failures = await tx
    .selectFrom('tool_calls')
    .select(['ended_at', 'tool', 'summary', 'error'])
    .where('task_id', '=', taskId)
    .where('status', '=', 'failed')
    .orderBy('ended_at', 'desc')
    .limit(SHOWN)
    .execute();
  const lines = (title: string, entries: readonly string[]) => (entries.length === 0 ? [] : ['', `## ${title}`, '', ...entries]);
  return [
    `# Loop summary of task ${task.number}: ${oneLine(task.title)}`,
    '',
    `Written ${stamp(now)}. The task is BLOCKED; $${usdFromMicros(task.spend)} spent so far.`,
    ...lines(
      'Limits that were passed',
      findings.map(({ message, policyPath }) => `- ${message} (\`${policyPath}\`)`),
    ),
    ...lines(
      'Last comments',
      messages.toReversed().map((row) => `- ${stamp(row.created_at)} ${oneLine(row.author_name)}: ${oneLine(row.content)}`),
    ),
    ...lines(
      'Last moves',
      moves
        .toReversed()
        .map(
          (row) =>
            `- ${stamp(row.created_at)} ${row.from_status} to ${row.to_status} by ${row.actor}${row.reason ? `: ${oneLine(row.reason)}` : ''}`,
        ),
    ),
    ...lines(
      'Last failures',
      failures
        .toReversed()
        .map((row) => `- ${stamp(row.ended_at ?? 0)} ${row.tool} ${oneLine(row.summary)}: ${oneLine(row.error ?? 'no message')}`),
    ),
    ...lines('What next', [
      '- Read the last comments and failures, and say in a comment what has to change.',
      '- Move the task to ASSIGNED or IN_PROGRESS to go on: the counts begin anew. Or cancel it.',
    ]),
    '',
  ].join('\n');
}

function stamp(at: number): string {
  return new Date(at).toISOString().replace('T', ' ').slice(0, 19);
}

/** Text of agents, in one line of a list and no longer than it needs to be; what would be markup stays text. */
function oneLine(text: string): string {
  const flat = text.replaceAll(/\s+/g, ' ').trim();
  return (flat.length > 200 ? `${flat.slice(0, 200)}…` : flat).replaceAll(/[<[\]`]/g, (mark) => `\\${mark}`);
}
