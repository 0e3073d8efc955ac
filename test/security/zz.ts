import { readFileSync } from 'node:fs';
import { startWorld } from '../support/world.ts';
import { runBadInput } from './bad-input.ts';

const world = await startWorld({ MC_STDIO: 'off' });
const rss = () => /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${world.pid()}/status`, 'utf8'))?.[1];
const r = await runBadInput(world, {
  requests: 60000,
  seed: 4,
  onProgress: (n) => {
    if (n % 5000 === 0) console.log(n, rss());
  },
});
console.log(JSON.stringify(r).slice(0, 3000));
await world.close();
