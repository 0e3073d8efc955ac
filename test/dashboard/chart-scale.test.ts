import { describe, expect, it } from 'vitest';
import { axisOf, daysBetween, largest, type Series, stack } from '../../dashboard/elements/chart-scale.ts';

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
