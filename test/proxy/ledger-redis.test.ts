/** What only a shared ledger does: slices, several holders, absence, lost counters. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BindingCap } from '../../proxy/ledger.ts';
import { type SharedLedgers, sharedLedgers } from '../support/shared-ledger.ts';
import { until } from '../support/world.ts';

let shared: SharedLedgers;
beforeAll(async () => {
  shared = await sharedLedgers();
});
afterAll(() => shared?.close());

let names = 0;
const newScope = () => `task:${++names}`;
const cap = (scope: string, capMicros: number | null): BindingCap => ({ scope, capMicros });
const sumsOf = async (scope: string) => {
  const [spent, leased] = await shared.redis.client.hmGet(`mc:{ledger}:scope:${scope}`, ['spent', 'leased']);
  return { spent: Number(spent), leased: Number(leased) };
};
const soon = <T>(look: () => T | Promise<T>, isIt: (value: T) => boolean) => until(look, isIt, 10_000);

describe('a slice', () => {
  it('spares Redis: a thousand small calls take a few round trips, calls that cost nothing none', async () => {
    const ledger = await shared.ledger();
    const x = newScope();
    const caps = [cap(x, 1_000_000_000), cap(`${x} day`, null)];
    const before = ledger.roundTrips;
    const begunAt = performance.now();
    for (let call = 0; call < 10_000; call++) {
      expect(await ledger.reserve(`${x}.${call}`, caps, 1_000, 0)).toBe('reserved');
      ledger.settle(`${x}.${call}`, 700, []);
    }
    const beats = Math.ceil((performance.now() - begunAt) / 200);
    const asked = ledger.roundTrips - before;
    console.log(
      `10,000 priced calls, ${asked} round trips, of which at most ${beats} beats, in ${Math.round(performance.now() - begunAt)} ms`,
    );
    expect(asked).toBeLessThanOrEqual(100);
    await ledger.look([x]);
    expect(ledger.spent(x)).toBe(7_000_000);
    const free = ledger.roundTrips;
    for (let call = 0; call < 10_000; call++) await ledger.reserve(`${x}.free.${call}`, caps, 0, 0);
    expect(ledger.roundTrips - free).toBeLessThanOrEqual(2);
  });

  it('that nobody takes from goes back, so that another proxy has the last of the cap', async () => {
    const [one, two] = [await shared.ledger(), await shared.ledger()];
    const x = newScope();
    for (let call = 0; call < 500; call++) await one.reserve(`${x}.${call}`, [cap(x, 10_000_000)], 1_000, 0);
    expect(one.spent(x)).toBe(500_000);
    await soon(
      () => sumsOf(x),
      ({ leased }) => leased === 500_000,
    );
    expect(await two.reserve(`${x}.rest`, [cap(x, 10_000_000)], 9_500_000, 0)).toBe('reserved');
    expect(await two.reserve(`${x}.more`, [cap(x, 10_000_000)], 1, 0)).toBe('exceeded');
  });
});

describe('lost counters', () => {
  it('are brought in from the record, with what runs here still counted', async () => {
    const ledger = await shared.ledger('keeps');
    const x = newScope();
    shared.record.calls.set(`${x}.old`, { proxyId: 'keeps', scopes: [x], micros: 30_000 });
    expect(await ledger.reserve(`${x}.runs`, [cap(x, 100_000)], 50_000, 0)).toBe('reserved');
    await shared.redis.client.flushAll();
    await soon(
      () => ledger.reserve(`${x}.probe`, [cap(newScope(), 1)], 1, 0),
      (answer) => answer === 'reserved',
    );
    expect(await ledger.reserve(`${x}.over`, [cap(x, 100_000)], 20_001, 0)).toBe('exceeded');
    expect(await ledger.reserve(`${x}.fits`, [cap(x, 100_000)], 20_000, 0)).toBe('reserved');
    ledger.settle(`${x}.runs`, 10_000, []);
    await ledger.look([x]);
    expect(ledger.spent(x)).toBe(60_000);
  });

  it('keep back what a proxy that has not joined may hold, until it joins', async () => {
    const lost = await sharedLedgers();
    try {
      let isHeard = true;
      const absent = await lost.ledger('absent', { isHeard: () => isHeard });
      const present = await lost.ledger('present');
      const x = newScope();
      expect(await absent.reserve(`${x}.held`, [cap(x, 1_000_000)], 300_000, 0)).toBe('reserved');
      const bound = lost.record.bound.get('absent') ?? 0;
      expect(bound).toBeGreaterThanOrEqual(300_000);
      isHeard = false;
      await lost.redis.client.flushAll();
      await soon(
        () => present.reserve(`${x}.most`, [cap(x, 1_000_000)], 1_000_000 - bound + 1, 0),
        (answer) => answer === 'exceeded',
      );
      expect(await present.reserve(`${x}.rest`, [cap(x, 1_000_000)], 1_000_000 - bound, 0)).toBe('reserved');
      expect(await absent.reserve(`${x}.none`, [cap(newScope(), 1)], 1, 0)).toBe('unavailable');
      // It joins: only what it really holds counts from now on.
      isHeard = true;
      await soon(
        () => absent.available,
        (is) => is,
      );
      expect(await present.reserve(`${x}.over`, [cap(x, 1_000_000)], bound - 300_000 + 1, 0)).toBe('exceeded');
      expect(await present.reserve(`${x}.freed`, [cap(x, 1_000_000)], bound - 300_000, 0)).toBe('reserved');
    } finally {
      await lost.close();
    }
  });

  it('are noticed also where Redis comes back with an older state of the same epoch', async () => {
    const rolled = await sharedLedgers();
    try {
      const ledger = await rolled.ledger('p');
      const x = newScope();
      await ledger.reserve(`${x}.runs`, [cap(x, 100_000)], 60_000, 0);
      const epoch = await rolled.redis.client.get('mc:{ledger}:epoch');
      await rolled.redis.kill();
      await rolled.redis.start();
      // As if it had been kept, from a time when nothing was spent.
      await rolled.redis.client.set('mc:{ledger}:epoch', epoch ?? '');
      await rolled.redis.client.hSet(`mc:{ledger}:scope:${x}`, { seeded: '1' });
      await soon(
        () => ledger.reserve(`${x}.probe`, [cap(newScope(), 1)], 1, 0),
        (answer) => answer === 'reserved',
      );
      expect(await rolled.redis.client.get('mc:{ledger}:epoch')).not.toBe(epoch);
      expect(await ledger.reserve(`${x}.over`, [cap(x, 100_000)], 40_001, 0)).toBe('exceeded');
    } finally {
      await rolled.close();
    }
  });
});

describe('counters that are away', () => {
  it('refuse within a second, spare a bounded number of calls, and count on when they are back', async () => {
    const away = await sharedLedgers();
    const told: boolean[] = [];
    try {
      const ledger = await away.ledger('p', { onChange: (isAvailable) => told.push(isAvailable) });
      const x = newScope();
      expect(await ledger.reserve(`${x}.before`, [cap(x, 100_000)], 60_000, 0)).toBe('reserved');
      away.redis.freeze();
      const begunAt = performance.now();
      expect(await ledger.reserve(`${x}.during`, [cap(x, 100_000)], 10_000, 0)).toBe('unavailable');
      expect(performance.now() - begunAt).toBeLessThan(1_000);
      await soon(
        () => told.at(-1) === false,
        (is) => is,
      );
      expect([ledger.spare(), ledger.spare(), ledger.spare(), ledger.spare()]).toEqual([true, true, true, false]);
      ledger.settle(`${x}.before`, 20_000, []);
      away.redis.thaw();
      await soon(
        () => ledger.available,
        (is) => is,
      );
      // What was asked while it was frozen was carried out after all, and goes back.
      await soon(
        () => ledger.reserve(`${x}.after`, [cap(x, 100_000)], 80_000, 0),
        (answer) => answer === 'reserved',
      );
      expect(await ledger.reserve(`${x}.over`, [cap(x, 100_000)], 1, 0)).toBe('exceeded');
      expect(ledger.spare()).toBe(true);
      expect(told).toEqual([true, false, true]);
    } finally {
      await away.close();
    }
  });

  it('and a control that cannot keep the bound refuse: what nobody knows of must not be out', async () => {
    let isAway = false;
    const ledger = await shared.ledger('unbound', { isHeard: () => !isAway });
    isAway = true;
    const x = newScope();
    expect(await ledger.reserve(`${x}.large`, [cap(x, 10_000_000)], 5_000_000, 0)).toBe('unavailable');
    isAway = false;
    expect(await ledger.reserve(`${x}.large`, [cap(x, 10_000_000)], 5_000_000, 0)).toBe('reserved');
  });
});
