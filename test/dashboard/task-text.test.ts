import { describe, expect, it } from 'vitest';
import type { Task } from '../../control/contract.ts';
import { byPlace, COLUMNS, missingWords, moveOf, numberOf, TARGETS } from '../../dashboard/elements/task-text.ts';
import { TASK_STATUSES } from '../../policies/model.ts';
import { TRANSITIONS } from '../../policies/task.ts';
import { sampleTask } from './sample-task.ts';

const bare = (status: Task['status']) =>
  sampleTask({ status, assigneeIds: [], workPlan: null, deliverable: null, selfReview: null, evidence: [] });
const full = (status: Task['status']) => sampleTask({ status });

describe('a move on the board', () => {
  it('can be made exactly where the table has it for people', () => {
    for (const from of TASK_STATUSES) {
      for (const to of TASK_STATUSES) {
        const isLegal = TRANSITIONS.some((move) => move.from === from && move.to === to && move.actors.includes('human'));
        // Closing without a review needs an approval that was given before; the board sends people through the review.
        const isOffered = isLegal && !(to === 'done' && from !== 'review');
        expect([from, to, moveOf(full(from), to, []).kind !== 'no']).toEqual([from, to, isOffered]);
      }
    }
  });

  it('asks for what is missing, and only for that', () => {
    expect(moveOf(bare('inbox'), 'assigned', [])).toEqual({ kind: 'ask', missing: ['assigneeIds'] });
    expect(moveOf(sampleTask({ status: 'assigned', workPlan: ' ' }), 'in_progress', [])).toEqual({ kind: 'ask', missing: ['workPlan'] });
    expect(moveOf(sampleTask({ status: 'in_progress', evidence: [], deliverableMakesClaims: true }), 'review', [])).toEqual({
      kind: 'ask',
      missing: ['evidence'],
    });
    expect(moveOf(sampleTask({ status: 'in_progress', evidence: [], deliverableMakesClaims: false }), 'review', [])).toEqual({
      kind: 'now',
    });
    expect(moveOf(full('review'), 'done', [])).toEqual({ kind: 'ask', missing: ['approval', 'deliverableConfirmed', 'decisionNote'] });
  });

  it('asks why before something is blocked or given up', () => {
    expect(moveOf(full('in_progress'), 'blocked', [])).toEqual({ kind: 'ask', missing: [] });
    expect(moveOf(full('inbox'), 'canceled', [])).toEqual({ kind: 'ask', missing: [] });
  });

  it('says why not, and which step leads there', () => {
    expect(moveOf(full('in_progress'), 'done', [])).toEqual({ kind: 'no', reason: 'Not from In progress. Move it to Review first.' });
    expect(moveOf(full('inbox'), 'review', [])).toEqual({ kind: 'no', reason: 'Not from Inbox. Move it to Assigned first.' });
    expect(moveOf(full('canceled'), 'inbox', [])).toEqual({ kind: 'no', reason: 'Canceled is final.' });
    expect(moveOf(full('assigned'), 'in_progress', ['MC-7'])).toEqual({ kind: 'no', reason: 'Waits for MC-7 to be done.' });
    expect(moveOf(full('in_progress'), 'needs_approval', [])).toEqual({
      kind: 'no',
      reason: 'Not from In progress. The system moves it there when a call is held.',
    });
  });
});

describe('a column', () => {
  it('has what is urgent first, then what is newest; finished work by when it was finished', () => {
    const tasks = [
      sampleTask({ number: 1, priority: 'low', updatedAt: 30 }),
      sampleTask({ number: 2, priority: 'high', updatedAt: 10 }),
      sampleTask({ number: 3, priority: 'high', updatedAt: 20 }),
    ];
    expect([...tasks].sort(byPlace('inbox')).map(numberOf)).toEqual(['MC-3', 'MC-2', 'MC-1']);
    expect([...tasks].sort(byPlace('done')).map(numberOf)).toEqual(['MC-1', 'MC-3', 'MC-2']);
  });

  it('is one of seven; canceled is a target only', () => {
    expect(COLUMNS).toHaveLength(7);
    expect(TARGETS.filter((status) => !COLUMNS.includes(status as never))).toEqual(['canceled']);
  });
});

it('what is missing reads as the end of a sentence', () => {
  expect(missingWords(['deliverable', 'selfReview'])).toBe('a deliverable and a self-review');
  expect(missingWords(['approval', 'deliverableConfirmed', 'decisionNote'])).toBe("a person's approval and a decision note");
  expect(missingWords(['workPlan'])).toBe('a work plan');
});
