import { expect, it } from 'vitest';
import { runPeopleCrashes } from './people.ts';

/** The short form; `npm run chaos` sets more kills, and CHAOS_SEED repeats a run that failed. */
const kills = Number(process.env.CHAOS_PEOPLE_KILLS ?? 2);
const seed = Number(process.env.CHAOS_SEED ?? 20_261_124);

it(
  `killed ${kills} times between deciding, telling and running, the product keeps every decision, tells it, and runs the call once (seed ${seed})`,
  async () => {
    const report = await runPeopleCrashes({ seed, kills });
    console.log(JSON.stringify({ ...report, violations: report.violations.length }));
    expect(report.violations).toEqual([]);
    expect(report.ran).toBeGreaterThan(0);
  },
  60_000 + kills * 30_000,
);
