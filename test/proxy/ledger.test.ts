/** One suite for both ledgers: what admission may count on, whatever keeps the counters. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BindingCap, Ledger } from '../../proxy/ledger.ts';
import { LocalLedger } from '../../proxy/ledger-local.ts';
import { type SharedLedgers, sharedLedgers } from '../support/shared-ledger.ts';

const TTL_MS = 60_000;
const time = { now: 1_000_000 };
const cap = (scope: string, capMicros: number | null): BindingCap => ({ scope, capMicros });

let shared: SharedLedgers;
beforeAll(async () => {
  shared = await sharedLedgers();
});
afterAll(() => shared?.close());

const OPTIONS = { clock: () => time.now, ttlMs: TTL_MS };

interface Kind {
  name: string;
  make: () => Promise<Ledger>;
  /** Rounds of the property test: a shared ledger asks Redis at each step. */
  rounds: number;
  /** Makes a ledger that begins with this settled spend. */
  after: (spent: Record<string, number>, restored: readonly [string, readonly string[], number][]) => Promise<Ledger>;
}
const KINDS: Kind[] = [
  {
    name: 'in process',
    make: async () => new LocalLedger({ clock: () => time.now, ttlMs: () => TTL_MS }),
    rounds: 300,
    after: async (spent, restored) => {
      const ledger = new LocalLedger({ clock: () => time.now, ttlMs: () => TTL_MS });
      ledger.load(spent);
      for (const each of restored) ledger.restore(...each);
      return ledger;
    },
  },
  {
    name: 'shared in Redis',
    make: () => shared.ledger(undefined, OPTIONS),
    rounds: 25,
    after: async (spent, restored) => {
      for (const [scope, micros] of Object.entries(spent))
        shared.record.calls.set(`before ${scope}`, { proxyId: 'before', scopes: [scope], micros });
      const ledger = await shared.ledger(undefined, { ...OPTIONS, start: false });
      for (const each of restored) ledger.restore(...each);
      await ledger.start(5_000);
      await ledger.look([...Object.keys(spent), ...restored.flatMap(([, scopes]) => scopes)]);
      return ledger;
    },
  },
];

/** Everything that can happen to money, in any order: reserve under some caps, settle at, below or above what was reserved, release, wait. */
type Step =
  | { do: 'reserve'; call: number; scopes: readonly number[]; amount: number; allowance: number }
  | { do: 'settle'; call: number; part: number }
  | { do: 'release'; call: number }
  | { do: 'wait' };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('reserve' as const),
      call: fc.nat(20),
      scopes: fc.subarray([0, 1, 2, 3, 4], { minLength: 1 }),
      amount: fc.nat(120),
      allowance: fc.constantFrom(0, 0, 0, 50),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('settle' as const), call: fc.nat(20), part: fc.nat(130) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('release' as const), call: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('wait' as const) }) },
);

let round = 0;
describe.each(KINDS)('a ledger $name', ({ make, rounds, after }) => {
  /** Scopes of this test alone: the counters are shared by all of them. */
  const names = () => {
    round++;
    return ['run:a/1', 'run:a/2', 'task:t', 'agent-day:a:2026-01-01', 'fleet-day:2026-01-01'].map((name) => `${name}#${round}`);
  };

  it('never lets settled plus reserved pass a cap plus what approvals allow, whatever happens in whatever order, and is exact', async () => {
    const ledger = await make();
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 100 }),
        fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 5, maxLength: 5 }),
        async (steps, limits) => {
          const scopes = names();
          // The same bookkeeping, as plain as it gets: every reservation and settlement in a list.
          const reserved = new Map<string, { scopes: readonly string[]; amount: number; dueAt: number }>();
          const settled: { scopes: readonly string[]; amount: number }[] = [];
          const spent = (scope: string) =>
            [...reserved.values(), ...settled].reduce((sum, entry) => sum + (entry.scopes.includes(scope) ? entry.amount : 0), 0);

          for (const taken of steps) {
            if (taken.do === 'wait') {
              time.now += TTL_MS / 3;
              ledger.sweep(null);
              continue;
            }
            const id = `call-${round}-${taken.call}`;
            if (taken.do === 'reserve') {
              const under = taken.scopes.map((index) => scopes[index] ?? '');
              const binding = taken.scopes.map((index) => cap(scopes[index] ?? '', limits[index] ?? 0));
              const fits = binding.every(({ scope, capMicros }) => spent(scope) + taken.amount <= (capMicros ?? 0) + taken.allowance);
              const isRepeat = reserved.has(id);
              const expected = isRepeat || taken.amount === 0 || fits ? 'reserved' : 'exceeded';
              expect(await ledger.reserve(id, binding, taken.amount, taken.allowance)).toBe(expected);
              if (!isRepeat && fits && taken.amount > 0) {
                for (const { scope, capMicros } of binding)
                  expect(spent(scope) + taken.amount).toBeLessThanOrEqual((capMicros ?? 0) + taken.allowance);
                reserved.set(id, { scopes: under, amount: taken.amount, dueAt: time.now + TTL_MS });
              }
            } else if (taken.do === 'settle') {
              const reservation = reserved.get(id);
              if (!reservation) continue;
              const amount = Math.floor((reservation.amount * taken.part) / 100);
              ledger.settle(id, amount, []);
              reserved.delete(id);
              settled.push({ scopes: reservation.scopes, amount });
            } else {
              ledger.release(id);
              reserved.delete(id);
            }
            const alive = [...reserved.values()].filter(({ dueAt }) => dueAt > time.now);
            expect(ledger.open).toBe(alive.length);
          }
          // Of a shared ledger the picture of scopes that were not asked for lately is brought up to date first.
          await ledger.look(scopes);
          for (const scope of scopes) {
            expect(ledger.spent(scope)).toBe(spent(scope));
            const waiting = [...reserved.values()].filter(({ dueAt }) => dueAt > time.now);
            const open = waiting.reduce((sum, entry) => sum + (entry.scopes.includes(scope) ? entry.amount : 0), 0);
            expect(ledger.settled(scope)).toBe(spent(scope) - open);
          }
          for (const id of reserved.keys()) ledger.release(id);
        },
      ),
      { numRuns: rounds },
    );
  });

  it('lets exactly the cap pass, and not one micro-dollar more', async () => {
    const ledger = await make();
    const [x = ''] = names();
    expect(await ledger.reserve('a', [cap(x, 100)], 100, 0)).toBe('reserved');
    expect(await ledger.reserve('b', [cap(x, 100)], 1, 0)).toBe('exceeded');
  });

  it('reserves under all caps or under none', async () => {
    const ledger = await make();
    const [x = '', y = ''] = names();
    expect(await ledger.reserve('a', [cap(x, 100), cap(y, 10)], 50, 0)).toBe('exceeded');
    expect([ledger.spent(x), ledger.spent(y)]).toEqual([0, 0]);
  });

  it('counts what has no limit', async () => {
    const ledger = await make();
    const [x = ''] = names();
    expect(await ledger.reserve('a', [cap(x, null)], 1_000_000, 0)).toBe('reserved');
    expect(ledger.spent(x)).toBe(1_000_000);
  });

  it('grants to the last call of many at once, and to no more', async () => {
    const ledger = await make();
    const [x = '', y = ''] = names();
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, index) => ledger.reserve(`many-${round}-${index}`, [cap(x, 1_000_000), cap(y, null)], 10_000, 0)),
    );
    expect(answers.filter((answer) => answer === 'reserved')).toHaveLength(100);
    expect([ledger.spent(x), ledger.spent(y)]).toEqual([1_000_000, 1_000_000]);
  });

  it('gives an allowance to the call that it was granted to, and nothing of it to others', async () => {
    const ledger = await make();
    const [x = ''] = names();
    expect(await ledger.reserve('a', [cap(x, 100)], 80, 0)).toBe('reserved');
    expect(await ledger.reserve('b', [cap(x, 100)], 50, 50)).toBe('reserved');
    expect(await ledger.reserve('c', [cap(x, 100)], 1, 0)).toBe('exceeded');
    ledger.settle('b', 10, []);
    expect(ledger.spent(x)).toBe(90);
    await ledger.look([x]);
    expect(await ledger.reserve('c', [cap(x, 100)], 10, 0)).toBe('reserved');
  });

  it('binds a lowered cap at once, and a raised one', async () => {
    const ledger = await make();
    const [x = ''] = names();
    for (let call = 0; call < 20; call++) expect(await ledger.reserve(`low-${call}`, [cap(x, 100_000)], 10, 0)).toBe('reserved');
    expect(await ledger.reserve('over', [cap(x, 200)], 10, 0)).toBe('exceeded');
    expect(await ledger.reserve('fits', [cap(x, 210)], 10, 0)).toBe('reserved');
  });

  it('takes up what was settled and what was reserved before a restart, whatever the caps say now', async () => {
    const [x = ''] = names();
    const ledger = await after({ [x]: 70 }, [
      ['old', [x], 50],
      ['old', [x], 50],
    ]);
    expect(ledger.spent(x)).toBe(120);
    expect(await ledger.reserve('new', [cap(x, 100)], 1, 0)).toBe('exceeded');
    ledger.settle('old', 10, []);
    expect(ledger.spent(x)).toBe(80);
    await ledger.look([x]);
    expect(await ledger.reserve('new', [cap(x, 100)], 20, 0)).toBe('reserved');
  });

  it('counts a call that turned out to cost something although nothing was reserved', async () => {
    const ledger = await make();
    const [x = '', y = ''] = names();
    ledger.settle('free', 30, [x, y]);
    expect([ledger.spent(x), ledger.spent(y)]).toEqual([30, 30]);
    await ledger.look([x, y]);
    expect([ledger.spent(x), ledger.spent(y)]).toEqual([30, 30]);
  });

  it('counts a reservation past its time as spent, unless its call renews it, and takes a late outcome', async () => {
    const ledger = await make();
    const [x = ''] = names();
    for (const id of ['late', 'streams', 'never']) await ledger.reserve(`${id}-${round}`, [cap(x, 300)], 100, 0);
    time.now += TTL_MS / 2;
    ledger.renew(`streams-${round}`);
    time.now += TTL_MS / 2;
    ledger.sweep(null);
    expect(ledger.open).toBe(1);
    expect(ledger.spent(x)).toBe(300);
    expect(await ledger.reserve('more', [cap(x, 300)], 1, 0)).toBe('exceeded');
    ledger.settle(`late-${round}`, 40, []);
    ledger.release(`never-${round}`);
    expect(ledger.spent(x)).toBe(140);
    await ledger.look([x]);
    expect(await ledger.reserve('more', [cap(x, 300)], 160, 0)).toBe('reserved');
  });
});

describe('the ledger in process', () => {
  it('forgets days that are over, not runs, tasks, today, or what is still reserved', () => {
    const ledger = new LocalLedger({ clock: () => time.now, ttlMs: () => TTL_MS });
    ledger.load({
      'agent-day:a:2026-01-01': 5,
      'fleet-day:2026-01-01': 5,
      'agent-day:a:2026-01-02': 5,
      'run:a/2026-01-01': 5,
      'task:t': 5,
    });
    ledger.restore('running', ['fleet-day:2026-01-01'], 7);
    ledger.sweep('2026-01-02');
    expect(ledger.spent('agent-day:a:2026-01-01')).toBe(0);
    expect(ledger.spent('fleet-day:2026-01-01')).toBe(12);
    for (const scope of ['agent-day:a:2026-01-02', 'run:a/2026-01-01', 'task:t']) expect(ledger.spent(scope)).toBe(5);
  });
});
