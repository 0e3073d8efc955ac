import { expect, it } from 'vitest';
import { CAP_MICROS, playRounds, type RoundReport } from './ledger.ts';

/** The short form; `npm run chaos:ledger` plays 1,000. LEDGER_SEED chooses who is killed, and when. */
const rounds = Number(process.env.LEDGER_ROUNDS ?? 50);
/** Groups of processes at once: most of a round is waiting for what was frozen or killed. */
const LANES = 3;
const seed = Number(process.env.LEDGER_SEED ?? 20_261_123);

for (const [name, processes] of [
  ['shared by 4 processes in Redis', 4],
  ['in process', 1],
] as const) {
  it(
    `${rounds} rounds of 200 priced calls on 1 USD, the ledger ${name}: never over the cap, nothing left reserved, refunds arrive`,
    async () => {
      const lanes = Array.from({ length: LANES }, (_, lane) => {
        const share = Math.floor(rounds / LANES) + (lane < rounds % LANES ? 1 : 0);
        return playRounds(share, processes, randomFrom(seed + lane));
      });
      const reports = (await Promise.all(lanes)).flat();
      console.log(`${rounds} rounds, the ledger ${name} (seed ${seed})\n${summary(reports)}`);
      expect(reports).toHaveLength(rounds);
      for (const report of reports) expect(report.settledMicros).toBeLessThanOrEqual(CAP_MICROS);
      expect(reports.some((report) => report.exceeded > 0)).toBe(true);
    },
    60_000 + rounds * 5_000,
  );
}

/** One line for each kind of trouble. */
function summary(reports: readonly RoundReport[]): string {
  const mean = (values: readonly number[]) => Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);
  return [...new Set(reports.map((report) => report.trouble))]
    .map((trouble) => {
      const of = reports.filter((report) => report.trouble === trouble);
      const settled = of.map((report) => report.settledMicros);
      const counts = (['ran', 'exceeded', 'unavailable', 'ms'] as const).map((key) => `${key} ${mean(of.map((report) => report[key]))}`);
      return `  ${trouble.padEnd(15)} ${of.length} rounds, settled at most ${Math.max(...settled)} and ${mean(settled)} on average, on average ${counts.join(', ')}`;
    })
    .join('\n');
}

/** Mulberry32: the same seed gives the same choices. */
function randomFrom(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
