/**
 * `npm run bad-input -- --requests 5000 --seed 1`: the whole campaign against a product of its own. Ends with 1 where something was found, with the
 * number of each request: `--seed N --first NUMBER --requests 1` sends that one again.
 */
import { parseArgs } from 'node:util';
import { startWorld } from '../support/world.ts';
import { runBadInput } from './bad-input.ts';

const { values: options } = parseArgs({
  options: {
    requests: { type: 'string', default: '5000' },
    seed: { type: 'string', default: '1' },
    first: { type: 'string', default: '0' },
  },
});
const world = await startWorld({ MC_STDIO: 'off' });
try {
  const begin = performance.now();
  const report = await runBadInput(world, {
    requests: Number(options.requests),
    seed: Number(options.seed),
    first: Number(options.first),
    onProgress: (sent) => process.stderr.write(`${sent} sent\n`),
  });
  const seconds = ((performance.now() - begin) / 1000).toFixed(1);
  console.log(`${report.sent} requests with seed ${options.seed} in ${seconds} s, ${report.findings.length} findings`);
  console.log(
    `answers: ${Object.entries(report.statuses)
      .map(([status, count]) => `${status} × ${count}`)
      .join(', ')}`,
  );
  console.log(`memory ${report.memoryMiB.join(' → ')} MiB, open connections ${report.connections.join(' → ')}`);
  for (const finding of report.findings) console.log(finding);
  process.exitCode = report.findings.length > 0 ? 1 : 0;
} finally {
  await world.close();
}
