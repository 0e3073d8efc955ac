import { expect, it } from 'vitest';
import { runWorkCrashes } from './work.ts';

/** The short form; `npm run chaos` sets more kills, and CHAOS_SEED repeats a run that failed. */
const kills = Number(process.env.CHAOS_WORK_KILLS ?? 2);
const seed = Number(process.env.CHAOS_SEED ?? 20_261_123);

it(
  `killed ${kills} times while work is given out and watched over, the product loses and doubles no move, message, wake-up or deed of a worker (seed ${seed})`,
  async () => {
    const report = await runWorkCrashes({ seed, kills });
    console.log(JSON.stringify({ ...report, violations: report.violations.length }));
    expect(report.violations).toEqual([]);
    expect(report.kills.afterAnswers + report.kills.atReading).toBeGreaterThanOrEqual(kills);
  },
  60_000 + kills * 30_000,
);
