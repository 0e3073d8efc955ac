import { expect, it } from 'vitest';
import { runCrashRounds } from './crash.ts';

/** The short form; `npm run chaos` sets more rounds, and CHAOS_SEED repeats a run that failed. */
const rounds = Number(process.env.CHAOS_ROUNDS ?? 3);
const seed = Number(process.env.CHAOS_SEED ?? 20_261_122);

it(
  `killed ${rounds} times in the middle of traffic, the product stands by every answer it gave (seed ${seed})`,
  async () => {
    const report = await runCrashRounds({ seed, rounds });
    console.log(JSON.stringify({ ...report, violations: report.violations.length }));
    expect(report.violations).toEqual([]);
    expect(report.allowed).toBeGreaterThan(0);
    expect(report.held).toBeGreaterThan(0);
  },
  60_000 + rounds * 30_000,
);
