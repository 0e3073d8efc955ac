import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createPass } from '../../control/workers/loop.ts';
import { type Services, startServices } from '../support/services.ts';

let services: Services;
beforeAll(async () => {
  services = await startServices();
});
afterAll(() => services.close());

function process(holder: string, ticked: string[], tick: () => Promise<void> = async () => {}) {
  const errors: unknown[] = [];
  const leases = services.leasesOf(holder);
  const worker = {
    name: 'a-worker',
    everyMs: 1_000,
    tick: async () => {
      ticked.push(holder);
      await tick();
    },
  };
  const pass = createPass(worker, { leases, clock: () => services.time.now, onError: (_, error) => errors.push(error) });
  return { pass, leases, errors };
}

describe('two processes with the same worker', () => {
  it('do its work once; the other takes over when the first falls silent or leaves', async () => {
    const ticked: string[] = [];
    const [one, two] = [process('one', ticked), process('two', ticked)];
    await Promise.all([one.pass(), two.pass()]);
    const [first] = ticked;
    const [mine, other] = first === 'one' ? [one, two] : [two, one];
    for (let i = 0; i < 40; i++) {
      services.time.now += 1_000;
      await other.pass();
      await mine.pass();
    }
    expect(ticked).toHaveLength(41);
    expect(new Set(ticked)).toEqual(new Set([first]));

    // The first is killed: its lease runs out.
    services.time.now += 14_000;
    await other.pass();
    expect(ticked).toHaveLength(41);
    services.time.now += 2_000;
    await other.pass();
    expect(ticked).toHaveLength(42);
    // It comes back and finds the work taken, until the other leaves in order.
    await mine.pass();
    expect(ticked).toHaveLength(42);
    await other.leases.release();
    await mine.pass();
    expect(ticked).toHaveLength(43);
  });

  it('are seen: who works, when it last went well, and what went wrong', async () => {
    let fails = true;
    const { pass, leases, errors } = process('three', [], async () => {
      if (fails) throw new Error('no luck');
    });
    services.time.now += 60_000;
    const failedAt = services.time.now;
    await pass();
    expect(errors).toHaveLength(1);
    const seen = async () => (await leases.list()).find(({ name }) => name === 'a-worker');
    expect(await seen()).toMatchObject({ holder: 'three', tickedAt: failedAt, lastError: 'no luck' });
    fails = false;
    services.time.now += 1_000;
    await pass();
    expect(await seen()).toMatchObject({ succeededAt: services.time.now, lastError: null });
  });
});
