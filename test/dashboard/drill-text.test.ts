import { describe, expect, it } from 'vitest';
import { DRILL_NAMES } from '../../control/contract.ts';
import { type DrilledMode, drillSummary, worstDrillFirst } from '../../dashboard/elements/drill-text.ts';

const drills = (...outcomes: DrilledMode['outcome'][]): DrilledMode[] =>
  outcomes.map((outcome, i) => ({ name: DRILL_NAMES[i] ?? 'clock-skew', declares: '', outcome, at: null, results: [], history: [] }));

describe('the drills together', () => {
  it.each<[DrilledMode['outcome'][], string, string]>([
    [['passed', 'passed'], 'green', '2 of 2 drills ended as declared.'],
    [
      ['passed', 'inconclusive', null],
      'amber',
      '1 of 3 drills ended as declared, 1 shows nothing with this policy, 1 has not run in 30 days.',
    ],
    [[null, null], 'amber', '0 of 2 drills ended as declared, 2 have not run in 30 days.'],
    [['passed', 'failed'], 'red', 'Control away: it does not end as declared.'],
    [['failed', 'failed', 'inconclusive'], 'red', 'Budget counters gone, Control away: they do not end as declared.'],
  ])('%j are %s: %s', (outcomes, tone, text) => expect(drillSummary(drills(...outcomes))).toEqual({ tone, text }));

  it('come with the broken first, then those that prove nothing', () => {
    const sorted = worstDrillFirst(drills('passed', null, 'inconclusive', 'failed', 'passed'));
    expect(sorted.map(({ outcome }) => outcome)).toEqual(['failed', 'inconclusive', null, 'passed', 'passed']);
  });
});
