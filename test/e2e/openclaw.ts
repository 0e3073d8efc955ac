/**
 * The end-to-end run against the real OpenClaw: `npm run e2e:openclaw [-- a d g]`. Installs it outside the project when it is not
 * there, starts it with a model of paper, connects it with our own command and plays the scenarios one after the other. Ends with
 * a table and with exit code 1 when a promise was not kept.
 */
import { rm } from 'node:fs/promises';
import { SCENARIOS, type Scenario } from './scenarios.ts';
import { Stage } from './stage.ts';

const wanted = new Set(process.argv.slice(2));
const chosen = SCENARIOS.filter(({ id }) => wanted.size === 0 || wanted.has(id));
const results: { scenario: Scenario; kept: boolean; note: string; seconds: string }[] = [];

const stage = await Stage.open();
try {
  const startedAt = Date.now();
  await stage.connect();
  console.log(`OpenClaw is connected to Mission Control (${seconds(startedAt)} s), files in ${stage.root}`);
  for (const scenario of chosen) {
    const begun = Date.now();
    try {
      const note = await scenario.play(stage);
      results.push({ scenario, kept: true, note, seconds: seconds(begun) });
    } catch (error) {
      results.push({
        scenario,
        kept: false,
        note: error instanceof Error ? (error.stack ?? error.message) : String(error),
        seconds: seconds(begun),
      });
    }
    const last = results.at(-1);
    console.log(`${last?.kept ? 'kept  ' : 'BROKEN'} (${scenario.id}) ${scenario.promise}: ${last?.note} [${last?.seconds} s]`);
  }
} finally {
  await stage.close();
}

const broken = results.filter(({ kept }) => !kept);
console.log(
  `\n${results.map(({ scenario, kept, seconds: took }) => `${kept ? 'kept  ' : 'BROKEN'}  ${scenario.id.padEnd(3)} ${took.padStart(6)} s  ${scenario.promise}`).join('\n')}`,
);
console.log(`\n${results.length - broken.length} kept, ${broken.length} broken`);
if (broken.length === 0) await rm(stage.root, { recursive: true, force: true });
else console.log(`Logs and data are left in ${stage.root}`);
process.exitCode = broken.length === 0 && results.length > 0 ? 0 : 1;

function seconds(since: number): string {
  return ((Date.now() - since) / 1000).toFixed(1);
}
