/**
 * Loaded into a process before anything else (`--import`): its clock stands apart from the machine's by as many milliseconds as the file
 * CHAOS_CLOCK_FILE says, which is read at the start and again at SIGUSR2. So the clock of a running process can jump.
 */
import { readFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

const machine = Date.now;
let ahead = read();
Date.now = () => machine() + ahead;
if (isMainThread)
  process.on('SIGUSR2', () => {
    ahead = read();
  });

function read(): number {
  try {
    return Number(readFileSync(process.env.CHAOS_CLOCK_FILE ?? '', 'utf8'));
  } catch {
    return 0; // nobody has moved it
  }
}
