/**
 * `npm run load`: the promise of load (SPEC 12), kept by the whole product in one process as a user starts it. Fifty scripted agents make
 * ten calls a second each, of every kind, at moments that do not wait for answers; then come a thousand holds at once, two hundred
 * dashboards that all connect again, and a burst after a pause. Latency counts from when a call was due, so an answer that is late shows
 * in every call that it delayed. Prints Markdown with the course of memory, delay, journal and disk; ends with 1 where a promise is missed.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { ADMIN_TOKEN, type OneProcess } from '../test/support/world.ts';
import { demand, type Line, printLines } from './installation.ts';
import { measureProduct } from './measured-product.ts';
import { percentile } from './percentile.ts';
import type { Kind, ScriptedAgent, Traffic } from './scripted-agents.ts';
import { machineOf, reportOf, type Sample, watch } from './watching.ts';

const { values: options } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    agents: { type: 'string', default: '50' },
    /** Calls a second of each agent. */
    rate: { type: 'string', default: '10' },
    holds: { type: 'string', default: '1000' },
    dashboards: { type: 'string', default: '200' },
    /** Where the report goes besides the terminal. */
    report: { type: 'string' },
  },
});
const [MINUTES, AGENTS, RATE, HOLDS, DASHBOARDS] = [options.minutes, options.agents, options.rate, options.holds, options.dashboards].map(
  Number,
) as [number, number, number, number, number];
const LOOK_MS = 5;
const ADDED_P99_MS = 5;
const GROWTH_MAX = 0.05;
const MINUTE_MS = 60_000;
/** Their own time is that of the upstream or of a person; of these only the whole is told. */
const WITHOUT_PROMISE: ReadonlySet<Kind> = new Set(['stream', 'held']);

await measureProduct({ agents: AGENTS, rate: RATE }, load);

async function load(product: OneProcess, traffic: Traffic): Promise<boolean> {
  const { prepare, steady, approveAll, errors, latencies, calls } = traffic;
  const agents = await prepare();
  say(`${AGENTS} agents, ${AGENTS * RATE} calls a second, ${MINUTES} minutes`);
  const samples: Sample[] = [];
  const watching = watch(product, traffic, samples);
  const approving = approveAll();
  await steady(agents, MINUTES);
  await approving.end();
  await watching.end();
  const steadyErrors = errors.length;
  const steadyCalls = calls();
  const storm = await approvalStorm(traffic, agents);
  const reconnect = await reconnectStorm(product, agents);
  const burst = await burstAfterPause(product, traffic, agents);

  const minuteOne = samples.find(({ atMs }) => atMs >= Math.min(MINUTE_MS, (MINUTES * MINUTE_MS) / 4)) ?? samples[0];
  const last = samples.at(-1);
  const growth = minuteOne && last ? last.residentBytes / minuteOne.residentBytes - 1 : Number.NaN;
  const promised = [...latencies].filter(([kind]) => !WITHOUT_PROMISE.has(kind)).flatMap(([, values]) => values);
  const lines: Line[] = [
    { promise: `errors in ${steadyCalls} calls`, target: '0', measured: String(steadyErrors), kept: steadyErrors === 0 },
    {
      promise: 'a call from when it was due to its last answer, without streams and waits for people',
      target: `p99 ≤ ${ADDED_P99_MS} ms`,
      measured: `p50 ${percentile(promised, 0.5).toFixed(1)} ms, p99 ${percentile(promised, 0.99).toFixed(1)} ms`,
      kept: percentile(promised, 0.99) <= ADDED_P99_MS,
    },
    {
      promise: 'resident memory after, against minute one',
      target: `+${GROWTH_MAX * 100} %`,
      measured: `${megabytes(minuteOne?.residentBytes)} → ${megabytes(last?.residentBytes)} MB (${(growth * 100).toFixed(1)} %)`,
      kept: growth <= GROWTH_MAX,
    },
    ...storm,
    ...reconnect,
    ...burst,
  ];
  const report = `### ${AGENTS} agents, ${AGENTS * RATE} calls a second, ${MINUTES} minutes\n\n${reportOf(samples, latencies)}`;
  console.log(report);
  const kept = printLines(lines, machineOf());
  for (const error of [...new Set(errors.map((text) => text.replaceAll(/[0-9a-f-]{36}/g, '…').slice(0, 200)))].slice(0, 20))
    console.log(`error: ${error}`);
  if (options.report !== undefined) writeFileSync(options.report, report);
  return kept;
}

/** As many holds as there are to be, at once; all of them are shown, decided in batches, and every one runs once. */
async function approvalStorm(
  { hold, waitForPerson, pendingIds, decide, errors }: Traffic,
  agents: readonly ScriptedAgent[],
): Promise<Line[]> {
  say(`${HOLDS} holds at once`);
  const before = errors.length;
  const begun = performance.now();
  const held = await Promise.all(
    Array.from({ length: HOLDS }, async (_, index) => {
      const agent = agents[index % agents.length] as ScriptedAgent;
      return { agent, id: await hold(agent, 10_000_000 + index) };
    }),
  );
  const heldMs = performance.now() - begun;
  const waiting = Promise.allSettled(held.map(({ agent, id }) => waitForPerson(agent, id)));
  const pending = await pendingIds();
  const decidedAt = performance.now();
  await decide(pending);
  const released = await waiting;
  const releasedMs = performance.now() - decidedAt;
  for (const result of released) if (result.status === 'rejected') errors.push(`storm: ${result.reason}`);
  const ran = released.filter(({ status }) => status === 'fulfilled').length;
  return [
    {
      promise: `${HOLDS} holds at once: shown, decided, run`,
      target: `${HOLDS}, 0 errors`,
      measured: `${pending.length} shown after ${Math.round(heldMs)} ms, ${ran} run ${Math.round(releasedMs)} ms after the first decision`,
      kept: pending.length === HOLDS && ran === HOLDS && errors.length === before,
    },
  ];
}

/** Dashboards that connect at once, are cut at once, and come again; then one change has to reach each of them. */
async function reconnectStorm({ controlUrl, api }: OneProcess, agents: readonly ScriptedAgent[]): Promise<Line[]> {
  say(`${DASHBOARDS} dashboards connect, are cut, and connect again`);
  const streams = new Agent({ connections: DASHBOARDS + 10, pipelining: 1 });
  const open = async () => {
    const abort = new AbortController();
    const answer = await request(`${controlUrl}/api/events`, {
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, accept: 'text/event-stream' },
      dispatcher: streams,
      signal: abort.signal,
      bodyTimeout: 0,
    });
    if (answer.statusCode !== 200) throw new Error(`the event stream answered ${answer.statusCode}`);
    let text = '';
    const reading = (async () => {
      for await (const chunk of answer.body) text = `${text}${chunk}`.slice(-100_000);
    })().catch(() => {});
    return { has: (what: string) => text.includes(what), cut: () => abort.abort(), reading };
  };
  const first = await Promise.all(Array.from({ length: DASHBOARDS }, open));
  for (const stream of first) stream.cut();
  await Promise.all(first.map(({ reading }) => reading));
  const begun = performance.now();
  const again = await Promise.all(Array.from({ length: DASHBOARDS }, open));
  const connectedMs = performance.now() - begun;
  const [agent] = agents;
  const changedAt = performance.now();
  demand(await api('POST', `/agents/${agent?.id}/pause`, { reason: 'to be seen' }), 200);
  let seen = 0;
  while (performance.now() - changedAt < 10_000) {
    seen = again.filter((stream) => stream.has(agent?.id ?? '')).length;
    if (seen === DASHBOARDS) break;
    await sleep(LOOK_MS);
  }
  const seenMs = performance.now() - changedAt;
  demand(await api('POST', `/agents/${agent?.id}/restart`, {}), 200);
  for (const stream of again) stream.cut();
  await streams.destroy();
  return [
    {
      promise: `${DASHBOARDS} dashboards connect again at once, and each sees the next change`,
      target: `${DASHBOARDS}`,
      measured: `connected in ${Math.round(connectedMs)} ms, ${seen} saw it after ${Math.round(seenMs)} ms`,
      kept: seen === DASHBOARDS,
    },
  ];
}

/** The squad is paused, every agent is restarted by hand (SPEC 7), and all call at once. */
async function burstAfterPause(
  { api, gateUrl }: OneProcess,
  { ask, callOf, atGate, errors }: Traffic,
  agents: readonly ScriptedAgent[],
): Promise<Line[]> {
  say('a burst after a pause');
  demand(await api('POST', '/emergency/pause-squad', { reason: 'the load' }), 200);
  const { text } = await ask(`${gateUrl}/v1/tool-calls`, agents[0]?.token ?? '', callOf(20_000_000, 'read', { path: 'docs/a.md' }));
  const isPaused = text.includes('AGENT_PAUSED') || text.includes('SQUAD_PAUSED');
  for (const { id } of agents) demand(await api('POST', `/agents/${id}/restart`, {}), 200);
  const before = errors.length;
  const begun = performance.now();
  await Promise.all(
    agents.flatMap((agent, index) =>
      Array.from({ length: 20 }, (_, round) =>
        atGate(agent, 30_000_000 + index * 20 + round, 'read', { path: 'docs/a.md' }).catch((error) => errors.push(`burst: ${error}`)),
      ),
    ),
  );
  return [
    {
      promise: `${agents.length * 20} calls at once after a pause`,
      target: '0 refused',
      measured: `${errors.length - before} failed, the last answered after ${Math.round(performance.now() - begun)} ms${isPaused ? '' : '; the pause did not hold'}`,
      kept: errors.length === before && isPaused,
    },
  ];
}

function megabytes(bytes = Number.NaN): string {
  return (bytes / 1e6).toFixed(0);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
