/**
 * `npm run soak -- --hours H --agents N`: whether anything grows that should not. A day of work of ten agents (1,000 calls each, SPEC 12)
 * is made in an hour unless told otherwise, at the whole product in one process. Compared is what is left on its heap after a collection,
 * early and at the end; ends with 1 where it grew by more than it may, or a call failed.
 */
import { parseArgs } from 'node:util';
import { freePort, type OneProcess } from '../test/support/world.ts';
import { type Line, printLines } from './installation.ts';
import { measureProduct } from './measured-product.ts';
import type { Traffic } from './scripted-agents.ts';
import { machineOf, reportOf, type Sample, watch } from './watching.ts';

const { values: options } = parseArgs({
  options: {
    hours: { type: 'string', default: '1' },
    agents: { type: 'string', default: '10' },
    /** Calls of each agent over the whole time. */
    calls: { type: 'string', default: '1000' },
  },
});
const [HOURS, AGENTS, CALLS] = [Number(options.hours), Number(options.agents), Number(options.calls)];
/** The part of the time after which everything that is kept has been made: caches are warm, code is compiled. */
const WARM = 0.2;
const GROWTH_MAX = 0.05;
const MINUTES = HOURS * 60;

const inspectorPort = await freePort();
await measureProduct({ nodeArguments: [`--inspect=127.0.0.1:${inspectorPort}`], agents: AGENTS, rate: CALLS / (HOURS * 3600) }, soak);

async function soak(product: OneProcess, traffic: Traffic): Promise<boolean> {
  const agents = await traffic.prepare();
  process.stderr.write(`${AGENTS} agents, ${AGENTS * CALLS} calls in ${HOURS} hours\n`);
  const samples: Sample[] = [];
  const watching = watch(product, traffic, samples);
  const approving = traffic.approveAll();
  await traffic.steady(agents, MINUTES * WARM);
  const early = await heapAfterCollection();
  await traffic.steady(agents, MINUTES * (1 - WARM));
  await approving.end();
  await watching.end();
  const late = await heapAfterCollection();
  const growth = late / early - 1;
  const { errors, latencies } = traffic;
  const lines: Line[] = [
    { promise: `errors in ${traffic.calls()} calls`, target: '0', measured: String(errors.length), kept: errors.length === 0 },
    {
      promise: 'heap after a collection, at the end against early',
      target: `+${GROWTH_MAX * 100} %`,
      measured: `${(early / 1e6).toFixed(1)} → ${(late / 1e6).toFixed(1)} MB (${(growth * 100).toFixed(1)} %)`,
      kept: growth <= GROWTH_MAX,
    },
  ];
  console.log(reportOf(samples, latencies));
  for (const error of new Set(errors.slice(0, 20))) console.log(`error: ${error}`);
  return printLines(lines, machineOf());
}

/** Bytes that the main thread's heap has left after everything was collected that can be. */
async function heapAfterCollection(): Promise<number> {
  const [target] = (await (await fetch(`http://127.0.0.1:${inspectorPort}/json`)).json()) as { webSocketDebuggerUrl: string }[];
  if (!target) throw new Error('the product has no inspector');
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true });
    socket.addEventListener('error', reject, { once: true });
  });
  let asked = 0;
  const ask = <T>(method: string) =>
    new Promise<T>((resolve) => {
      const id = ++asked;
      socket.addEventListener('message', ({ data }) => {
        const answer = JSON.parse(String(data)) as { id?: number; result: T };
        if (answer.id === id) resolve(answer.result);
      });
      socket.send(JSON.stringify({ id, method }));
    });
  // The first lets go of what only finalizers held.
  for (let time = 0; time < 2; time++) await ask('HeapProfiler.collectGarbage');
  const { usedSize } = await ask<{ usedSize: number }>('Runtime.getHeapUsage');
  socket.close();
  return usedSize;
}
