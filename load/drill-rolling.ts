/**
 * `npm run drill:rolling`: every process of an installation is restarted in order, one after the other as docs/DEPLOYMENT.md says, while agents
 * call at an even rate. What stands in front of the proxies in production is played here: a request that a proxy did not take goes to the
 * other one, which knows it by its call id. Exits with 1 where a call failed. `--rate N` for another number of calls a second.
 */
import { randomUUID } from 'node:crypto';
import { cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import type { Service } from '../deploy/topology.ts';
import { type Installation, measureInstallation, newAgents, printLines } from './installation.ts';
import { percentile } from './percentile.ts';

const { values: options } = parseArgs({ options: { rate: { type: 'string', default: '200' } } });
const RATE = Number(options.rate);
const AGENTS = 20;
/** A call that nobody has taken by then has failed. */
const GIVE_UP_MS = 15_000;
const AGAIN_MS = 50;
/** Between two restarts, so that each begins with everything in order. */
const REST_MS = 1_000;

const agent = new Agent({ connections: 256, pipelining: 1, keepAliveTimeout: 4_000 });
await measureInstallation({ proxies: 2 }, drill, () => agent.destroy());

async function drill(running: Installation): Promise<boolean> {
  const agents = await newAgents(running, AGENTS);
  const traffic = callAll(running, agents);
  await sleep(REST_MS);
  // The order of docs/DEPLOYMENT.md.
  const order = [...running.workers, ...running.controls, ...running.proxies];
  for (const service of order) {
    const before = performance.now();
    const code = await service.end('SIGTERM');
    if (code !== 0) throw new Error(`${service.name} ended with exit code ${code}`);
    await service.start();
    await untilReady(service);
    process.stderr.write(
      `${service.name} restarted in ${Math.round(performance.now() - before)} ms; ${traffic.failed()} calls failed so far\n`,
    );
    await sleep(REST_MS);
  }
  await traffic.end();
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)}, Node ${process.versions.node}; ${order.length} processes restarted in order, ${RATE} calls a second`;
  const [asked, failed] = [traffic.asked(), traffic.failed()];
  const times = traffic.times();
  return printLines(
    [
      { promise: 'calls that failed', target: '0', measured: `${failed} of ${asked}${traffic.why()}`, kept: failed === 0 && asked > 0 },
      {
        promise: 'time to an answer',
        target: 'told',
        measured: `p50 ${Math.round(percentile(times, 0.5))} ms, p99 ${Math.round(percentile(times, 0.99))} ms, at most ${Math.round(Math.max(...times))} ms; ${traffic.passedOn()} went to the other proxy`,
        kept: true,
      },
    ],
    machine,
  );
}

async function untilReady(service: Service): Promise<void> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(AGAIN_MS)) {
    const status = await request(`${service.url}/readyz`, { dispatcher: agent }).then(
      async ({ statusCode, body }) => {
        await body.dump();
        return statusCode;
      },
      () => 0,
    );
    if (status === 200) return;
  }
  throw new Error(`${service.name} was not ready within a minute`);
}

/** Green calls at an even rate until `end`. */
function callAll({ proxies }: Installation, agents: readonly { token: string }[]) {
  const times: number[] = [];
  const reasons = new Map<string, number>();
  const open = new Set<Promise<void>>();
  let asked = 0;
  let failed = 0;
  let passedOn = 0;
  const timer = setInterval(() => {
    const index = asked++;
    const beginning = performance.now();
    const call = callOnce(index, beginning).then((failure) => {
      open.delete(call);
      if (failure === null) {
        times.push(performance.now() - beginning);
        return;
      }
      failed++;
      reasons.set(failure, (reasons.get(failure) ?? 0) + 1);
    });
    open.add(call);
  }, 1_000 / RATE);

  /** @returns null where the call was allowed, else why it failed. */
  async function callOnce(index: number, beginning: number): Promise<string | null> {
    const body = JSON.stringify({
      tool: 'post_comment',
      arguments: { text: `call ${index}` },
      callId: randomUUID(),
      sessionKey: 's',
      runId: `r-${index}`,
    });
    const { token = '' } = agents[index % agents.length] ?? {};
    let last = '';
    for (let tried = 0; performance.now() - beginning < GIVE_UP_MS; tried++) {
      if (tried > 0) {
        passedOn++;
        await sleep(AGAIN_MS);
      }
      // An agent keeps its proxy while that is there.
      const proxy = proxies[(index + tried) % proxies.length];
      try {
        const answer = await request(`${proxy?.url}/v1/tool-calls`, {
          method: 'POST',
          dispatcher: agent,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          body,
        });
        const text = await answer.body.text();
        if (answer.statusCode === 200) return null;
        last = `HTTP ${answer.statusCode} ${/"code":"(\w+)"/.exec(text)?.[1] ?? ''}`;
        // Not ready: a balancer goes to the other one. Anything else is an answer.
        if (answer.statusCode !== 503) return last;
      } catch (error) {
        last = (error as NodeJS.ErrnoException).code ?? String(error);
      }
    }
    return `nobody took it within ${GIVE_UP_MS} ms (${last})`;
  }

  return {
    asked: () => asked,
    failed: () => failed,
    passedOn: () => passedOn,
    times: () => times,
    why: () => [...reasons].map(([reason, count]) => `; ${count} × ${reason}`).join(''),
    end: async () => {
      clearInterval(timer);
      await Promise.all(open);
    },
  };
}
