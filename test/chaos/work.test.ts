import { expect, it } from 'vitest';
import { runWorkCrashRounds } from './work.ts';

/** The short form; `npm run chaos` sets more rounds, and CHAOS_SEED repeats a run that failed. */
const rounds = Number(process.env.CHAOS_WORK_ROUNDS ?? 2);
const seed = Number(process.env.CHAOS_SEED ?? 20_261_123);

it(
  `killed ${rounds} times while work is given out, the product loses and doubles no move, message or wake-up (seed ${seed})`,
  async () => {
    const report = await runWorkCrashRounds({ seed, rounds });
    console.log(JSON.stringify({ ...report, violations: report.violations.length }));
    expect(report.violations).toEqual([]);
    expect(report.kills).toBe(rounds);
  },
  60_000 + rounds * 60_000,
);
