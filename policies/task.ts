/**
 * The task state machine: one table of who may move a task from where to where, and what must be there on entry.
 * The API, the agents' tools, the workers and the dashboard all ask this table; nothing else decides whether a task may move.
 */
import type { Actor, TaskStatus, TaskType } from './model.ts';

/** What entering a state can require. `evidence` is due only where the deliverable makes claims. */
export const ARTIFACTS = [
  'assigneeIds',
  'workPlan',
  'deliverable',
  'selfReview',
  'evidence',
  'costSummary',
  'approval',
  'deliverableConfirmed',
  'decisionNote',
] as const;
export type Artifact = (typeof ARTIFACTS)[number];

/** One permitted move. */
export interface Transition {
  from: TaskStatus;
  to: TaskStatus;
  actors: readonly Actor[];
  /** Checked on every entry, also after NEEDS_APPROVAL, BLOCKED or reopening. */
  requires: readonly Artifact[];
}

/** What is due on entering a state, whichever state the task comes from (plan, "Required Artifacts"; SPEC 7). */
const ENTRY: Readonly<Record<TaskStatus, readonly Artifact[]>> = {
  inbox: [],
  assigned: ['assigneeIds'],
  in_progress: ['assigneeIds', 'workPlan'],
  review: ['deliverable', 'selfReview', 'evidence', 'costSummary'],
  needs_approval: [],
  blocked: [],
  done: ['approval', 'deliverableConfirmed', 'decisionNote'],
  canceled: [],
};

/**
 * The plan's transitions, in the plan's order. Settled gaps: NEEDS_APPROVAL to BLOCKED also by the system, its other exits by a human;
 * no state leads to itself; CANCELED is final.
 */
const MOVES: readonly (readonly [TaskStatus, TaskStatus, ...Actor[]])[] = [
  ['inbox', 'assigned', 'agent', 'human', 'system'],
  ['inbox', 'needs_approval', 'system'],
  ['inbox', 'blocked', 'system', 'human'],
  ['inbox', 'canceled', 'human'],
  ['assigned', 'in_progress', 'agent', 'human'],
  ['assigned', 'needs_approval', 'system'],
  ['assigned', 'blocked', 'system', 'human'],
  ['assigned', 'canceled', 'human'],
  ['assigned', 'inbox', 'human'],
  ['in_progress', 'review', 'agent', 'human'],
  ['in_progress', 'needs_approval', 'system'],
  ['in_progress', 'blocked', 'system', 'human'],
  ['in_progress', 'canceled', 'human'],
  ['in_progress', 'assigned', 'human'],
  ['review', 'in_progress', 'agent', 'human'],
  ['review', 'done', 'human'],
  ['review', 'needs_approval', 'system', 'human'],
  ['review', 'blocked', 'system', 'human'],
  ['review', 'canceled', 'human'],
  ['review', 'assigned', 'human'],
  ['needs_approval', 'inbox', 'human'],
  ['needs_approval', 'assigned', 'human'],
  ['needs_approval', 'in_progress', 'human'],
  ['needs_approval', 'review', 'human'],
  ['needs_approval', 'blocked', 'system', 'human'],
  ['needs_approval', 'done', 'human'],
  ['needs_approval', 'canceled', 'human'],
  ['blocked', 'assigned', 'human'],
  ['blocked', 'in_progress', 'human'],
  ['blocked', 'needs_approval', 'human', 'system'],
  ['blocked', 'canceled', 'human'],
  ['done', 'review', 'human'],
  ['done', 'canceled', 'human'],
];

/** The whole table, as `GET /api/tasks/state-machine` answers it. A move that is not in it does not exist. */
export const TRANSITIONS: readonly Transition[] = Object.freeze(
  MOVES.map(([from, to, ...actors]) => Object.freeze({ from, to, actors: Object.freeze(actors), requires: Object.freeze(ENTRY[to]) })),
);

/** What of a task bears on its moves. */
export interface TaskFacts {
  status: TaskStatus;
  assigneeIds: readonly string[];
  workPlan: string | null;
  deliverable: string | null;
  selfReview: string | null;
  evidence: readonly string[];
  /** Whether evidence is due; see {@link makesClaimsByDefault}. */
  deliverableMakesClaims: boolean;
  /** Ids of the tasks it depends on that are not DONE; they block the start. */
  openDependencies: readonly string[];
}

/**
 * What comes with a move. Fields of the task given here count as the task's own (the caller stores both in one transaction).
 * `costSummary` is computed by us and never taken from a request; `approval` is an approval that the caller has looked up (or the act of
 * an approver who moves REVIEW to DONE, which is one by itself), never a bare id.
 */
export interface TransitionArtifacts {
  assigneeIds?: readonly string[];
  workPlan?: string;
  deliverable?: string;
  selfReview?: string;
  evidence?: readonly string[];
  costSummary?: string;
  approval?: { status: string; approverType: string };
  deliverableConfirmed?: boolean;
  decisionNote?: string;
}

export type TransitionRefusal = 'SAME_STATE' | 'ILLEGAL_TRANSITION' | 'ACTOR_NOT_ALLOWED' | 'DEPENDENCIES_OPEN' | 'ARTIFACTS_MISSING';

/** Where a task in this state may go, who may send it there, and what is due: the body of a 409. */
export interface AllowedMove {
  to: TaskStatus;
  actors: readonly Actor[];
  requires: readonly Artifact[];
}

export type TransitionResult =
  | { ok: true }
  | { ok: false; code: TransitionRefusal; message: string; allowed: readonly AllowedMove[]; missing: readonly Artifact[] };

/**
 * Whether this actor may move this task now.
 * @returns ok, or the first thing that stands in the way together with every move that exists from here.
 */
export function transition(task: TaskFacts, to: TaskStatus, actor: Actor, artifacts: TransitionArtifacts): TransitionResult {
  const from = task.status;
  if (from === to) return refuse(from, 'SAME_STATE', `The task is already ${label(to)}.`);

  const move = TRANSITIONS.find((candidate) => candidate.from === from && candidate.to === to);
  if (move === undefined) {
    const why = from === 'canceled' ? 'CANCELED is final' : `there is no way from ${label(from)} to ${label(to)}`;
    return refuse(from, 'ILLEGAL_TRANSITION', `The task cannot move: ${why}.`);
  }
  if (!move.actors.includes(actor))
    return refuse(from, 'ACTOR_NOT_ALLOWED', `${label(from)} to ${label(to)} is for ${move.actors.join(' or ')}, not for ${actor}.`);

  // Dependencies block the start, not the return from a review.
  if (to === 'in_progress' && from !== 'review' && task.openDependencies.length > 0)
    return refuse(from, 'DEPENDENCIES_OPEN', `The task waits for ${task.openDependencies.length} other task(s) that are not DONE.`);

  const missing = move.requires.filter((artifact) => !isProvided(artifact, task, artifacts));
  if (missing.length > 0) return refuse(from, 'ARTIFACTS_MISSING', `Entering ${label(to)} needs ${missing.join(', ')}.`, missing);
  return { ok: true };
}

/** Every move that exists from a state, for a board that shows what is possible. */
export function movesFrom(from: TaskStatus): readonly AllowedMove[] {
  return TRANSITIONS.filter((move) => move.from === from).map(({ to, actors, requires }) => ({ to, actors, requires }));
}

/** Whether a task's deliverable is taken to make claims when nobody has said so (SPEC 8.3): content, research and docs. */
export function makesClaimsByDefault(type: TaskType): boolean {
  switch (type) {
    case 'content':
    case 'customer_research':
    case 'seo_research':
    case 'docs':
      return true;
    case 'social':
    case 'email_marketing':
    case 'engineering':
    case 'ops':
      return false;
  }
}

function isProvided(artifact: Artifact, task: TaskFacts, given: TransitionArtifacts): boolean {
  switch (artifact) {
    case 'assigneeIds':
      return (given.assigneeIds ?? task.assigneeIds).some(isText);
    case 'workPlan':
      return isText(given.workPlan ?? task.workPlan);
    case 'deliverable':
      return isText(given.deliverable ?? task.deliverable);
    case 'selfReview':
      return isText(given.selfReview ?? task.selfReview);
    case 'evidence':
      return !task.deliverableMakesClaims || (given.evidence ?? task.evidence).some(isText);
    case 'costSummary':
      return isText(given.costSummary);
    case 'approval':
      return given.approval?.status === 'approved' && given.approval.approverType === 'human';
    case 'deliverableConfirmed':
      return given.deliverableConfirmed === true;
    case 'decisionNote':
      return isText(given.decisionNote);
  }
}

/** Text that says something: spaces do not count as a plan, a note or a deliverable. */
function isText(value: string | null | undefined): boolean {
  return typeof value === 'string' && value.trim() !== '';
}

function refuse(from: TaskStatus, code: TransitionRefusal, message: string, missing: readonly Artifact[] = []): TransitionResult {
  return { ok: false, code, message, allowed: movesFrom(from), missing };
}

/** States are written in capitals in sentences, as in the plan. */
function label(status: TaskStatus): string {
  return status.toUpperCase();
}
