import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  bindingCaps,
  dayOf,
  findExcesses,
  formatUsd,
  microsFromUsd,
  nextDayStart,
  remaining,
  usdFromMicros,
} from '../../policies/index.ts';
import { DEFAULT_POLICY, factsWith } from './scene.ts';

const inMicros = (micros: number) => `${Math.floor(micros / 1e6)}.${String(micros % 1e6).padStart(6, '0')}`;

describe('money', () => {
  test.each([
    [0, 0],
    [0.25, 250_000],
    [1.5, 1_500_000],
    [0.1 + 0.2, 300_000],
    [0.000001, 1],
    [1.005, 1_005_000],
    [4.35, 4_350_000],
    [9_007_199_254.5, 9_007_199_254_500_000],
    ['0.75', 750_000],
    ['12', 12_000_000],
    ['0.000001', 1],
  ])('%s USD is %s micro-dollars', (usd, micros) => {
    expect(microsFromUsd(usd)).toBe(micros);
  });

  test.each([
    -0.01,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    0.0000001,
    1e300,
    9_007_199_255,
    '-1',
    '1e3',
    '0.0000001',
    ' 1',
    '',
    '1.',
    '.5',
    '0x10',
    '99999999999',
  ])('%s is not an amount', (usd) => {
    expect(() => microsFromUsd(usd)).toThrow(RangeError);
  });

  test('every whole number of micro-dollars survives the way out and back', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1_000_000_000_000 }), (micros) => {
        expect(microsFromUsd(usdFromMicros(micros))).toBe(micros);
        expect(microsFromUsd(inMicros(micros))).toBe(micros);
        expect(microsFromUsd(JSON.parse(inMicros(micros)) as number)).toBe(micros);
        expect(Number(formatUsd(micros).slice(1))).toBe(usdFromMicros(micros));
      }),
    );
  });

  test('amounts in sentences', () => {
    expect([0, 1, 250_000, 1_500_000, 123_456_789].map(formatUsd)).toEqual(['$0.00', '$0.000001', '$0.25', '$1.50', '$123.456789']);
  });
});

describe('caps', () => {
  test('are those of the plan unless the caller knows better', () => {
    const task = { id: 't', type: 'social' as const, status: 'in_progress' as const, assigneeIds: [] };
    expect(bindingCaps(factsWith({ task }), DEFAULT_POLICY)).toEqual({
      run: 750_000,
      task: 2_000_000,
      agentDay: 5_000_000,
      fleetDay: null,
    });
    expect(bindingCaps(factsWith(), DEFAULT_POLICY).task).toBeNull();
    expect(bindingCaps(factsWith({ caps: { run: null, agentDay: 7 } }), DEFAULT_POLICY)).toMatchObject({ run: null, agentDay: 7 });
    for (const [autonomy, run, agentDay] of [
      ['intern', 250_000, 2_000_000],
      ['specialist', 750_000, 5_000_000],
      ['lead', 1_500_000, 12_000_000],
    ] as const)
      expect(bindingCaps(factsWith({ agent: { autonomy } }), DEFAULT_POLICY)).toMatchObject({ run, agentDay });
  });

  test('are lifted by what an operator added, wherever they come from; no cap stays none', () => {
    const raised = { task: 5, agentDay: 7 };
    const usual = bindingCaps(factsWith(), DEFAULT_POLICY).agentDay ?? 0;
    expect(bindingCaps({ ...factsWith(), raised }, DEFAULT_POLICY)).toMatchObject({ agentDay: usual + 7, task: null });
    expect(bindingCaps({ ...factsWith({ caps: { agentDay: 3, task: 1 } }), raised }, DEFAULT_POLICY)).toMatchObject({
      agentDay: 10,
      task: 6,
    });
    expect(bindingCaps({ ...factsWith({ caps: { agentDay: null } }), raised }, DEFAULT_POLICY).agentDay).toBeNull();
  });

  test('are exceeded above and not at the cap, in whole numbers', () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.nat(1e9), fc.nat(1e9), (spend, estimate, cap) => {
        const facts = factsWith({ spend: { run: spend }, caps: { run: cap, task: null, agentDay: null, fleetDay: null } });
        const caps = bindingCaps(facts, DEFAULT_POLICY);
        expect(findExcesses(facts, caps, estimate).map(({ scope }) => scope)).toEqual(spend + estimate > cap ? ['run'] : []);
        expect(remaining(facts, caps)).toEqual({ run: Math.max(0, cap - spend), task: null, agentDay: null, fleetDay: null });
      }),
    );
  });
});

describe('days', () => {
  const at = (iso: string) => Date.parse(iso);
  test.each([
    ['2026-11-23T00:00:00Z', 'UTC', '2026-11-23'],
    ['2026-11-22T23:59:59.999Z', 'UTC', '2026-11-22'],
    ['2026-11-22T23:00:00Z', 'Europe/Berlin', '2026-11-23'],
    ['2026-11-23T04:59:59Z', 'America/New_York', '2026-11-22'],
    ['2026-11-22T18:15:00Z', 'Asia/Kathmandu', '2026-11-23'],
    ['1969-12-31T23:59:59Z', 'UTC', '1969-12-31'],
  ])('%s in %s is %s', (iso, zone, day) => {
    expect(dayOf(at(iso), zone)).toBe(day);
  });

  test.each([
    // Clocks go forward and back in Berlin; in Beirut midnight itself is skipped.
    ['2026-03-29T10:00:00Z', 'Europe/Berlin', '2026-03-29T22:00:00Z'],
    ['2026-10-25T10:00:00Z', 'Europe/Berlin', '2026-10-25T23:00:00Z'],
    ['2026-03-28T12:00:00Z', 'Asia/Beirut', '2026-03-28T22:00:00Z'],
    ['2026-11-23T00:00:00Z', 'UTC', '2026-11-24T00:00:00Z'],
    ['2026-11-22T23:59:59.999Z', 'UTC', '2026-11-23T00:00:00Z'],
  ])('after %s in %s the next day starts at %s', (iso, zone, next) => {
    expect(new Date(nextDayStart(at(iso), zone)).toISOString()).toBe(new Date(next).toISOString());
  });

  test('an unknown zone is an error, not UTC', () => {
    expect(() => dayOf(0, 'Mars/Olympus')).toThrow(RangeError);
  });
});
