import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Ledger } from '../../proxy/ledger.ts';

const SCOPES = ['run:a/1', 'run:a/2', 'task:t', 'agent-day:a:2026-01-01', 'fleet-day:2026-01-01'] as const;

/** Everything that can happen to money, in any order: reserve under some caps, settle at or below what was reserved, release, again. */
type Step =
  | { do: 'reserve'; call: number; scopes: readonly string[]; amount: number; allowance: number }
  | { do: 'settle'; call: number; part: number }
  | { do: 'release'; call: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('reserve' as const),
    call: fc.nat(20),
    scopes: fc.subarray([...SCOPES], { minLength: 1 }),
    amount: fc.nat(120),
    allowance: fc.constantFrom(0, 0, 0, 50),
  }),
  fc.record({ do: fc.constant('settle' as const), call: fc.nat(20), part: fc.nat(100) }),
  fc.record({ do: fc.constant('release' as const), call: fc.nat(20) }),
);

describe('settled plus reserved', () => {
  it('never passes a cap plus what approvals allow, whatever happens in whatever order, and is exact', () => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 200 }),
        fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 5, maxLength: 5 }),
        (steps, limits) => {
          const caps = new Map(SCOPES.map((scope, index) => [scope as string, limits[index] ?? 0]));
          const ledger = new Ledger();
          // The same bookkeeping, as plain as it gets: every reservation and settlement in a list.
          const reserved = new Map<number, { scopes: readonly string[]; amount: number }>();
          const settled: { scopes: readonly string[]; amount: number }[] = [];
          const spent = (scope: string) =>
            [...reserved.values(), ...settled].reduce((sum, entry) => sum + (entry.scopes.includes(scope) ? entry.amount : 0), 0);
          const allowed = new Map<string, number>();

          for (const taken of steps) {
            const id = `call-${taken.call}`;
            if (taken.do === 'reserve') {
              const binding = taken.scopes.map((scope) => ({ scope, capMicros: caps.get(scope) ?? null }));
              const fits = taken.scopes.every((scope) => spent(scope) + taken.amount <= (caps.get(scope) ?? 0) + taken.allowance);
              const isRepeat = reserved.has(taken.call);
              expect(ledger.reserve(id, binding, taken.amount, taken.allowance)).toBe(isRepeat || taken.amount === 0 || fits);
              if (!isRepeat && fits && taken.amount > 0) {
                reserved.set(taken.call, { scopes: taken.scopes, amount: taken.amount });
                for (const scope of taken.scopes) allowed.set(scope, Math.max(allowed.get(scope) ?? 0, taken.allowance));
              }
            } else if (taken.do === 'settle') {
              const reservation = reserved.get(taken.call);
              if (!reservation) continue;
              const amount = Math.floor((reservation.amount * taken.part) / 100);
              ledger.settle(id, amount, []);
              reserved.delete(taken.call);
              settled.push({ scopes: reservation.scopes, amount });
            } else {
              ledger.release(id);
              reserved.delete(taken.call);
            }
            for (const scope of SCOPES) {
              expect(ledger.spent(scope)).toBe(spent(scope));
              expect(ledger.spent(scope)).toBeLessThanOrEqual((caps.get(scope) ?? 0) + (allowed.get(scope) ?? 0));
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('a ledger', () => {
  const cap = (scope: string, capMicros: number | null) => ({ scope, capMicros });

  it('lets exactly the cap pass, and not one micro-dollar more', () => {
    const ledger = new Ledger();
    expect(ledger.reserve('a', [cap('x', 100)], 100, 0)).toBe(true);
    expect(ledger.reserve('b', [cap('x', 100)], 1, 0)).toBe(false);
  });

  it('reserves under all caps or under none', () => {
    const ledger = new Ledger();
    expect(ledger.reserve('a', [cap('x', 100), cap('y', 10)], 50, 0)).toBe(false);
    expect([ledger.spent('x'), ledger.spent('y')]).toEqual([0, 0]);
  });

  it('counts what has no limit', () => {
    const ledger = new Ledger();
    expect(ledger.reserve('a', [cap('x', null)], 1_000_000, 0)).toBe(true);
    expect(ledger.spent('x')).toBe(1_000_000);
  });

  it('takes up what was settled and what was reserved before a restart, whatever the caps say now', () => {
    const ledger = new Ledger();
    ledger.load({ x: 70 });
    ledger.restore('old', ['x'], 50);
    ledger.restore('old', ['x'], 50);
    expect(ledger.spent('x')).toBe(120);
    expect(ledger.reserve('new', [cap('x', 100)], 1, 0)).toBe(false);
    ledger.settle('old', 10, []);
    expect(ledger.spent('x')).toBe(80);
  });

  it('counts a call that turned out to cost something although nothing was reserved', () => {
    const ledger = new Ledger();
    ledger.settle('free', 30, ['x', 'y']);
    expect([ledger.spent('x'), ledger.spent('y')]).toEqual([30, 30]);
  });

  it('forgets days that are over, not runs, tasks, today, or what is still reserved', () => {
    const ledger = new Ledger();
    ledger.load({
      'agent-day:a:2026-01-01': 5,
      'fleet-day:2026-01-01': 5,
      'agent-day:a:2026-01-02': 5,
      'run:a/2026-01-01': 5,
      'task:t': 5,
    });
    ledger.restore('running', ['fleet-day:2026-01-01'], 7);
    ledger.forgetDaysBefore('2026-01-02');
    expect(ledger.spent('agent-day:a:2026-01-01')).toBe(0);
    expect(ledger.spent('fleet-day:2026-01-01')).toBe(12);
    for (const scope of ['agent-day:a:2026-01-02', 'run:a/2026-01-01', 'task:t']) expect(ledger.spent(scope)).toBe(5);
  });
});
