/**
 * What the board says of a task: its number, the order of its column, and for every move whether it can be made now, what is asked for
 * first, or why not. The answer comes from the transition table that the server uses too (policies/task.ts). Pure.
 */
import type { Task } from '../../control/contract.ts';
import type { TaskStatus } from '../../policies/model.ts';
import { type Artifact, movesFrom, transition } from '../../policies/task.ts';
import { plural, TASK_WORDS } from '../words.ts';

/** The working columns, left to right. */
export const COLUMNS = ['inbox', 'assigned', 'in_progress', 'review', 'needs_approval', 'blocked', 'done'] as const satisfies TaskStatus[];
/** Where a task can be sent, in the order of the menu. */
export const TARGETS: readonly TaskStatus[] = [...COLUMNS, 'canceled'];

/** "MC-431". */
export function numberOf(task: Pick<Task, 'number'>): string {
  return `MC-${task.number}`;
}

const RANK: Record<Task['priority'], number> = { high: 2, medium: 1, low: 0 };

/** What comes first in a column: what is urgent, then what is newest; of finished work what was finished last. */
export function byPlace(status: TaskStatus): (a: Task, b: Task) => number {
  if (status === 'done') return (a, b) => b.updatedAt - a.updatedAt || b.number - a.number;
  return (a, b) => RANK[b.priority] - RANK[a.priority] || b.number - a.number;
}

/** Whether a task can be moved by a person: at once, after something was given, or not. */
export type MoveAnswer = { kind: 'now' } | { kind: 'ask'; missing: readonly Artifact[] } | { kind: 'no'; reason: string };

/** @param openDependencies tasks it waits for that are not done. */
export function moveOf(task: Task, to: TaskStatus, openDependencies: readonly string[]): MoveAnswer {
  const facts = { ...task, openDependencies };
  const everything = transition(facts, to, 'human', EVERYTHING);
  if (!everything.ok) {
    switch (everything.code) {
      case 'SAME_STATE':
        return { kind: 'no', reason: `It is there already.` };
      case 'ILLEGAL_TRANSITION':
        return { kind: 'no', reason: noWay(task.status, to) };
      case 'ACTOR_NOT_ALLOWED':
        return { kind: 'no', reason: `Not from ${TASK_WORDS[task.status]}. The system moves it there when a call is held.` };
      case 'DEPENDENCIES_OPEN':
        return {
          kind: 'no',
          reason: `Waits for ${openDependencies.length === 1 ? openDependencies[0] : plural(openDependencies.length, 'task')} to be done.`,
        };
      case 'ARTIFACTS_MISSING':
        break; // Everything was given, so nothing is missing.
    }
  }
  // Closing is an approval by itself only out of a review (SPEC 8.3).
  if (to === 'done' && task.status !== 'review')
    return { kind: 'no', reason: `Not from ${TASK_WORDS[task.status]}. Move it to Review first.` };
  const bare = transition(facts, to, 'human', { costSummary: 'computed by the server' });
  if (!bare.ok && bare.missing.length > 0) return { kind: 'ask', missing: bare.missing };
  return ASKS_WHY.has(to) ? { kind: 'ask', missing: [] } : { kind: 'now' };
}

/** Entering these is worth a sentence for whoever reads it later. */
const ASKS_WHY: ReadonlySet<TaskStatus> = new Set(['blocked', 'canceled']);

const EVERYTHING = {
  assigneeIds: ['somebody'],
  workPlan: 'given',
  deliverable: 'given',
  selfReview: 'given',
  evidence: ['given'],
  costSummary: 'given',
  approval: { status: 'approved', approverType: 'human' },
  deliverableConfirmed: true,
  decisionNote: 'given',
};

/** There is no such move: says which step leads there, on the shortest way that people can go. */
function noWay(from: TaskStatus, to: TaskStatus): string {
  if (from === 'canceled') return 'Canceled is final.';
  const step = firstStep(from, to);
  return `Not from ${TASK_WORDS[from]}.${step ? ` Move it to ${TASK_WORDS[step]} first.` : ''}`;
}

function firstStep(from: TaskStatus, to: TaskStatus): TaskStatus | null {
  const seen = new Set<TaskStatus>([from]);
  let paths: TaskStatus[][] = [[from]];
  while (paths.length > 0) {
    const longer: TaskStatus[][] = [];
    for (const path of paths) {
      for (const { to: next, actors } of movesFrom(path.at(-1) ?? from)) {
        if (!actors.includes('human') || seen.has(next) || DETOURS.has(next)) continue;
        if (next === to) return path[1] ?? next;
        seen.add(next);
        longer.push([...path, next]);
      }
    }
    paths = longer;
  }
  return null;
}

/** No way that anybody would be sent. */
const DETOURS: ReadonlySet<TaskStatus> = new Set(['blocked', 'canceled', 'needs_approval']);

/** What is missing, as the last part of a sentence: "a deliverable and a self-review". */
export function missingWords(missing: readonly Artifact[]): string {
  const words = [...new Set(missing.map((artifact) => ARTIFACT_WORDS[artifact]))];
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

const ARTIFACT_WORDS: Record<Artifact, string> = {
  assigneeIds: 'an assignee',
  workPlan: 'a work plan',
  deliverable: 'a deliverable',
  selfReview: 'a self-review',
  evidence: 'evidence',
  costSummary: 'a cost summary',
  approval: "a person's approval",
  deliverableConfirmed: "a person's approval",
  decisionNote: 'a decision note',
};

/** Which of what a finished task needs is there. */
export function artifactsOf(task: Task): { name: string; due: boolean; here: boolean }[] {
  const has = (text: string | null) => text !== null && text.trim() !== '';
  return [
    { name: 'Work plan', due: true, here: has(task.workPlan) },
    { name: 'Deliverable', due: true, here: has(task.deliverable) },
    { name: 'Self-review', due: true, here: has(task.selfReview) },
    { name: 'Evidence', due: task.deliverableMakesClaims, here: task.evidence.some(has) },
  ];
}
