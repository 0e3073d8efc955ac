import { describe, expect, test } from 'vitest';
import {
  ACTORS,
  type Actor,
  makesClaimsByDefault,
  movesFrom,
  TASK_STATUSES,
  TASK_TYPES,
  type TaskFacts,
  type TaskStatus,
  TRANSITIONS,
  type TransitionArtifacts,
  transition,
} from '../../policies/index.ts';

/** The plan's list, in its own words. "(any)" is written out; NEEDS_APPROVAL → BLOCKED is also the system's. */
const PLAN = `
INBOX → ASSIGNED (agent/human/system)
INBOX → NEEDS_APPROVAL (system)
INBOX → BLOCKED (system/human)
INBOX → CANCELED (human)
ASSIGNED → IN_PROGRESS (agent/human)
ASSIGNED → NEEDS_APPROVAL (system)
ASSIGNED → BLOCKED (system/human)
ASSIGNED → CANCELED (human)
ASSIGNED → INBOX (human)
IN_PROGRESS → REVIEW (agent/human)
IN_PROGRESS → NEEDS_APPROVAL (system)
IN_PROGRESS → BLOCKED (system/human)
IN_PROGRESS → CANCELED (human)
IN_PROGRESS → ASSIGNED (human)
REVIEW → IN_PROGRESS (agent/human)
REVIEW → DONE (human)
REVIEW → NEEDS_APPROVAL (system/human)
REVIEW → BLOCKED (system/human)
REVIEW → CANCELED (human)
REVIEW → ASSIGNED (human)
NEEDS_APPROVAL → BLOCKED (system/human)
NEEDS_APPROVAL → INBOX (human)
NEEDS_APPROVAL → ASSIGNED (human)
NEEDS_APPROVAL → IN_PROGRESS (human)
NEEDS_APPROVAL → REVIEW (human)
NEEDS_APPROVAL → DONE (human)
NEEDS_APPROVAL → CANCELED (human)
BLOCKED → ASSIGNED (human)
BLOCKED → IN_PROGRESS (human)
BLOCKED → NEEDS_APPROVAL (human/system)
BLOCKED → CANCELED (human)
DONE → REVIEW (human)
DONE → CANCELED (human)
`;

const LEGAL = new Set(
  PLAN.trim()
    .split('\n')
    .flatMap((line) => {
      const [, from, to, actors] = /^(\w+) → (\w+) \(([a-z/]+)\)$/.exec(line) ?? [];
      return (actors ?? '').split('/').map((actor) => `${from} ${to} ${actor}`.toLowerCase());
    }),
);

/** A task that has everything any state could ask for. */
const FULL: Omit<TaskFacts, 'status'> = {
  assigneeIds: ['agent-1'],
  workPlan: 'Write it, test it.',
  deliverable: 'docs/report.md',
  selfReview: 'All points checked.',
  evidence: ['https://example.org/source'],
  deliverableMakesClaims: true,
  openDependencies: [],
};
const GIVEN: TransitionArtifacts = {
  costSummary: '$1.20 in 14 calls',
  approval: { status: 'approved', approverType: 'human' },
  deliverableConfirmed: true,
  decisionNote: 'Good.',
};
const move = (from: TaskStatus, to: TaskStatus, actor: Actor, task: Partial<TaskFacts> = {}, given: TransitionArtifacts = GIVEN) =>
  transition({ ...FULL, status: from, ...task }, to, actor, given);

describe('the task state machine', () => {
  for (const from of TASK_STATUSES)
    for (const to of TASK_STATUSES)
      for (const actor of ACTORS) {
        const isLegal = LEGAL.has(`${from} ${to} ${actor}`);
        test(`${from} to ${to} by ${actor} is ${isLegal ? 'accepted' : 'refused'}`, () => {
          const result = move(from, to, actor);
          expect(result.ok).toBe(isLegal);
          if (result.ok) return;
          expect(result.code).toBe(
            from === to
              ? 'SAME_STATE'
              : [...LEGAL].some((line) => line.startsWith(`${from} ${to} `))
                ? 'ACTOR_NOT_ALLOWED'
                : 'ILLEGAL_TRANSITION',
          );
          expect(result.allowed).toEqual(movesFrom(from));
        });
      }

  test('the table has exactly the moves of the plan', () => {
    const table = TRANSITIONS.flatMap(({ from, to, actors }) => actors.map((actor) => `${from} ${to} ${actor}`));
    expect(new Set(table)).toEqual(LEGAL);
    expect(new Set(table).size).toBe(table.length);
  });

  test('CANCELED is final and says so', () => {
    const result = move('canceled', 'inbox', 'human');
    expect(result).toMatchObject({ ok: false, code: 'ILLEGAL_TRANSITION', allowed: [], message: expect.stringContaining('final') });
  });

  const into: Record<'assigned' | 'in_progress' | 'review' | 'done', TaskStatus[]> = {
    assigned: ['inbox', 'in_progress', 'review', 'needs_approval', 'blocked'],
    in_progress: ['assigned', 'review', 'needs_approval', 'blocked'],
    review: ['in_progress', 'needs_approval', 'done'],
    done: ['review', 'needs_approval'],
  };
  const due: [keyof typeof into, string, Partial<TaskFacts>, TransitionArtifacts][] = [
    ['assigned', 'assigneeIds', { assigneeIds: [] }, GIVEN],
    ['assigned', 'assigneeIds', { assigneeIds: [''] }, GIVEN],
    ['in_progress', 'assigneeIds', { assigneeIds: [] }, GIVEN],
    ['in_progress', 'workPlan', { workPlan: null }, GIVEN],
    ['in_progress', 'workPlan', { workPlan: ' \n' }, GIVEN],
    ['review', 'deliverable', { deliverable: null }, GIVEN],
    ['review', 'selfReview', { selfReview: '' }, GIVEN],
    ['review', 'evidence', { evidence: [] }, GIVEN],
    ['review', 'costSummary', {}, { ...GIVEN, costSummary: '' }],
    ['done', 'approval', {}, { deliverableConfirmed: true, decisionNote: 'Good.' }],
    ['done', 'approval', {}, { ...GIVEN, approval: { status: 'pending', approverType: 'human' } }],
    ['done', 'approval', {}, { ...GIVEN, approval: { status: 'approved', approverType: 'agent' } }],
    ['done', 'deliverableConfirmed', {}, { ...GIVEN, deliverableConfirmed: false }],
    ['done', 'decisionNote', {}, { ...GIVEN, decisionNote: '  ' }],
  ];
  for (const [to, artifact, task, given] of due)
    for (const from of into[to])
      test(`entering ${to} from ${from} needs ${artifact} (${JSON.stringify({ ...task, ...given })})`, () => {
        expect(move(from, to, 'human', task, given)).toMatchObject({ ok: false, code: 'ARTIFACTS_MISSING', missing: [artifact] });
      });

  test('artifacts that come with the move count as the task’s own', () => {
    const bare = { assigneeIds: [], workPlan: null, deliverable: null, selfReview: null, evidence: [] };
    expect(move('inbox', 'assigned', 'agent', bare, { assigneeIds: ['a'] }).ok).toBe(true);
    expect(move('assigned', 'in_progress', 'agent', { ...bare, assigneeIds: ['a'] }, { workPlan: 'plan' }).ok).toBe(true);
    const handedIn = { deliverable: 'd', selfReview: 's', evidence: ['e'], costSummary: '$0.00' };
    expect(move('in_progress', 'review', 'agent', bare, handedIn).ok).toBe(true);
  });

  test('evidence is due only where the deliverable makes claims', () => {
    expect(move('in_progress', 'review', 'agent', { evidence: [], deliverableMakesClaims: false }).ok).toBe(true);
    const claiming = TASK_TYPES.filter(makesClaimsByDefault);
    expect(claiming.toSorted()).toEqual(['content', 'customer_research', 'docs', 'seo_research']);
  });

  test('open dependencies block the start, and not the return from a review', () => {
    const waiting = { openDependencies: ['task-2'] };
    for (const from of ['assigned', 'needs_approval', 'blocked'] as const)
      expect(move(from, 'in_progress', 'human', waiting)).toMatchObject({ ok: false, code: 'DEPENDENCIES_OPEN' });
    expect(move('review', 'in_progress', 'agent', waiting).ok).toBe(true);
    expect(move('inbox', 'assigned', 'human', waiting).ok).toBe(true);
  });

  test('the table cannot be changed by whoever reads it', () => {
    expect(Object.isFrozen(TRANSITIONS)).toBe(true);
    for (const move of TRANSITIONS) for (const part of [move, move.actors, move.requires]) expect(Object.isFrozen(part)).toBe(true);
  });
});
