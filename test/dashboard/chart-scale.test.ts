import { describe, expect, it } from 'vitest';
import { agentDaysOf, axisOf, daysBetween, largest, type Series, stack } from '../../dashboard/elements/chart-scale.ts';

const named = (name: string, ...values: number[]): Series => ({ name, values, kind: 'named' });

describe('an axis', () => {
  it('has three even, round steps and reaches what is shown', () => {
    expect(axisOf(60)).toEqual([0, 20, 40, 60]);
    expect(axisOf(44.1)).toEqual([0, 20, 40, 60]);
    expect(axisOf(0.02)).toEqual([0, 0.01, 0.02, 0.03]);
    for (const max of [0, 0.5, 1, 3, 7.5, 12, 99, 1234]) expect(axisOf(max)[3]).toBeGreaterThanOrEqual(max);
  });
});

describe('layers', () => {
  it('stand on each other without a gap', () => {
    const layers = stack([named('a', 1, 2), named('b', 3, 0)]);
    expect(layers).toEqual([
      { low: [0, 0], high: [1, 2] },
      { low: [1, 2], high: [4, 2] },
    ]);
    expect(stack([])).toEqual([]);
  });

  it('name the dearest, sum up the rest, and keep what belongs to nobody by itself; nothing is lost', () => {
    const series = [
      named('a', 1),
      named('b', 9),
      named('c', 5),
      named('d', 2),
      { name: 'Unattributed', values: [7], kind: 'none' as const },
    ];
    const shown = largest(series, 2);
    expect(shown.map(({ name }) => name)).toEqual(['b', 'c', '2 others', 'Unattributed']);
    expect(shown.reduce((sum, { values }) => sum + (values[0] ?? 0), 0)).toBe(24);
    expect(largest([named('a', 1), named('b', 2), named('c', 3)], 2).map(({ name }) => name)).toEqual(['c', 'b', 'a']);
  });
});

it('days run from the first to the last, over the end of a month', () => {
  expect(daysBetween('2026-11-29', '2026-12-02')).toEqual(['2026-11-29', '2026-11-30', '2026-12-01', '2026-12-02']);
  expect(daysBetween('2026-11-29', '2026-11-29')).toEqual(['2026-11-29']);
});

it('the days of each agent are without a gap, and end with the last one that is known', () => {
  const until = Date.parse('2026-11-23T01:00:00Z');
  const rows = [
    { agentId: 'a', day: '2026-11-24', cost: 2, calls: 1 },
    { agentId: 'a', day: '2026-11-22', cost: 1.5, calls: 3 },
    { agentId: 'a', day: '2026-11-22', cost: 0.5, calls: 1 },
    { agentId: 'b', day: '2026-11-01', cost: 9, calls: 9 },
    { agentId: null, day: '2026-11-22', cost: 7, calls: 7 },
  ];
  expect([...agentDaysOf(rows, until, 3)]).toEqual([
    ['a', { days: ['2026-11-22', '2026-11-23', '2026-11-24'], costs: [2, 0, 2], calls: [4, 0, 1] }],
  ]);
  expect(agentDaysOf(rows.slice(1), until, 2).get('a')?.days).toEqual(['2026-11-22', '2026-11-23']);
});
