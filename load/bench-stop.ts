/**
 * `npm run bench:stop`: the promise of the emergency stop, measured (SPEC 12): four proxies, two controls, real PostgreSQL and Redis; fifty
 * agents with four open streams each, who call all the time; the stop is pressed, by turns at either control, with everything in order and
 * with a PostgreSQL that says nothing. Before each press every stream must flow, after it every answer is looked at. Exits with 1 where a
 * promise is missed. `--presses N` for fewer than fifty of each kind.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import type { StopReceipt } from '../control/contract.ts';
import { demand, type Installation, type Line, measureInstallation, newAgents, percentile, printLines, usePolicy } from './installation.ts';

const { values: options } = parseArgs({ options: { presses: { type: 'string', default: '50' } } });
const PRESSES = Number(options.presses);
const PROXIES = 4;
const AGENTS = 50;
const STREAMS = 200;
/** New calls a second, of all agents together. */
const CALLS_PER_S = 100;
const ADMITTED_MS = 250;
const CUT_MS = 1_000;
/** A chunk goes through each stream this often. */
const FLOW_MS = 500;
const WAIT_MAX_MS = 60_000;

interface Press {
  /** From the press to the last call that any proxy let run; 0 = none after it. */
  admittedMs: number;
  /** From the press to the end of the last stream. */
  cutMs: number;
  cut: number;
  confirmed: number;
}

const agent = new Agent({ connections: 512, pipelining: 1 });
const upstream = await startUpstream();
await measureInstallation({ proxies: PROXIES }, measure, async () => {
  await agent.destroy();
  upstream.close();
});

async function measure(running: Installation): Promise<boolean> {
  const { api } = running;
  await usePolicy(running, { budgets: {}, limits: { snapshotMaxAgeMs: 60_000 } });
  const routes = [
    { method: 'GET', path: '/stream', tool: 'follow', risk: 'green' },
    { method: 'GET', path: '/short', tool: 'look', risk: 'green' },
  ];
  const limits = { concurrency: 1_000 };
  demand(await api('POST', '/upstreams', { name: 'site', kind: 'http', url: upstream.url, allowPrivate: true, routes, limits }), 201);
  const agents = await newAgents(running, AGENTS);
  const presses: Record<'with' | 'without', Press[]> = { with: [], without: [] };
  for (let index = 0; index < PRESSES * 2; index++) {
    const kind = index % 2 === 0 ? 'with' : 'without';
    const press = await pressOnce(running, agents, index, kind === 'without');
    presses[kind].push(press);
    process.stderr.write(`press ${index + 1} of ${PRESSES * 2}: last admitted ${press.admittedMs} ms, cut ${Math.round(press.cutMs)} ms\n`);
  }
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, load average ${loadavg()[0]?.toFixed(1)}, Node ${process.versions.node}; ${PROXIES} proxies, 2 controls, ${AGENTS} agents, ${STREAMS} open calls, ${CALLS_PER_S} new calls a second, ${PRESSES} presses of each kind`;
  return printLines([...linesOf('', presses.with), ...linesOf(', PostgreSQL silent', presses.without)], machine);
}

function linesOf(when: string, presses: readonly Press[]): Line[] {
  const admitted = presses.map(({ admittedMs }) => admittedMs);
  const cut = presses.map(({ cutMs }) => cutMs);
  const silent = presses.filter(({ confirmed }) => confirmed === PROXIES).length;
  const figures = (values: readonly number[]) =>
    `p50 ${Math.round(percentile(values, 0.5))} ms, p99 ${Math.round(percentile(values, 0.99))} ms`;
  return [
    {
      promise: `last admitted call${when}`,
      target: `p99 ≤ ${ADMITTED_MS} ms`,
      measured: figures(admitted),
      kept: percentile(admitted, 0.99) <= ADMITTED_MS,
    },
    {
      promise: `all streams cut${when}`,
      target: `≤ ${CUT_MS} ms`,
      measured: `${figures(cut)}, at most ${Math.round(Math.max(...cut))} ms`,
      kept: Math.max(...cut) <= CUT_MS,
    },
    {
      promise: `every proxy named in the receipt and silent${when}`,
      target: `${presses.length} of ${presses.length}`,
      measured: `${silent} of ${presses.length}`,
      kept: silent === presses.length,
    },
  ];
}

async function pressOnce(
  running: Installation,
  agents: readonly { id: string; token: string }[],
  index: number,
  isSilent: boolean,
): Promise<Press> {
  const { api, controls, proxies, postgres } = running;
  const streams = await Promise.all(
    Array.from({ length: STREAMS }, (_, stream) => openStream(proxies[stream % PROXIES]?.url ?? '', agents[stream % AGENTS]?.token ?? '')),
  );
  const traffic = callAll(running, agents);
  await until(() => traffic.allowed() > AGENTS && streams.every((stream) => stream.flows()), 'every stream flows');
  if (isSilent) postgres.freeze();
  const pressedAt = Date.now();
  let receipt: StopReceipt;
  try {
    const answer = await api<StopReceipt>('POST', '/emergency/stop', { reason: 'a measurement' }, controls[index % controls.length]);
    receipt = demand(answer, 200);
    await until(() => streams.every((stream) => stream.endedAt() !== null), 'every stream is cut');
  } finally {
    if (isSilent) postgres.thaw();
  }
  await traffic.end();
  const after = traffic.sentAfter(pressedAt + CUT_MS);
  if (after > 0) throw new Error(`${after} calls were let run that were sent more than ${CUT_MS} ms after the press`);
  const last = Math.max(...receipt.proxies.map(({ lastAdmittedAt }) => lastAdmittedAt ?? 0));
  await resume(running, agents);
  return {
    admittedMs: Math.max(0, last - pressedAt),
    cutMs: Math.max(...streams.map((stream) => (stream.endedAt() ?? 0) - pressedAt)),
    cut: receipt.proxies.reduce((sum, proxy) => sum + proxy.cutStreams, 0),
    confirmed: receipt.proxies.filter(({ acknowledgedAt }) => acknowledgedAt !== null).length,
  };
}

/** After a stop every agent stays paused: each is restarted. */
async function resume({ api, proxies }: Installation, agents: readonly { id: string; token: string }[]): Promise<void> {
  await until(async () => (await api('POST', '/emergency/resume', { note: 'measured' })).status === 200, 'the stop is lifted');
  for (let from = 0; from < agents.length; from += 10)
    await Promise.all(agents.slice(from, from + 10).map(async ({ id }) => demand(await api('POST', `/agents/${id}/restart`, {}), 200)));
  await until(async () => {
    const looked = await Promise.all(proxies.map(({ url }) => look(url, agents.at(-1)?.token ?? '')));
    return looked.every((status) => status === 200);
  }, 'every proxy lets run again');
}

async function look(url: string, token: string): Promise<number> {
  const { statusCode, body } = await request(`${url}/http/site/short`, {
    dispatcher: agent,
    headers: { authorization: `Bearer ${token}` },
  });
  await body.dump();
  return statusCode;
}

interface OpenStream {
  flows: () => boolean;
  endedAt: () => number | null;
}

async function openStream(url: string, token: string): Promise<OpenStream> {
  const { statusCode, body } = await request(`${url}/http/site/stream`, {
    dispatcher: agent,
    headers: { authorization: `Bearer ${token}` },
  });
  if (statusCode !== 200) throw new Error(`a stream was answered ${statusCode}: ${(await body.text()).slice(0, 500)}`);
  let hasData = false;
  let endedAt: number | null = null;
  const end = () => {
    endedAt ??= Date.now();
  };
  body.on('data', () => {
    hasData = true;
  });
  body.on('error', end);
  body.on('close', end);
  return { flows: () => hasData && endedAt === null, endedAt: () => endedAt };
}

/** New calls at an even rate, each agent at its own proxy, until `end`. */
function callAll({ proxies }: Installation, agents: readonly { token: string }[]) {
  const allowed: number[] = [];
  let isOver = false;
  let asked = 0;
  const open = new Set<Promise<void>>();
  const timer = setInterval(() => {
    const index = asked++ % agents.length;
    const sentAt = Date.now();
    const call = look(proxies[index % PROXIES]?.url ?? '', agents[index]?.token ?? '')
      .then((status) => void (status === 200 && allowed.push(sentAt)))
      .catch((error) => {
        // What was under way when the stop came is cut.
        if (!isOver && !/closed|reset|terminated|other side/i.test(String(error))) throw error;
      })
      .finally(() => open.delete(call));
    open.add(call);
  }, 1_000 / CALLS_PER_S);
  return {
    allowed: () => allowed.length,
    /** How many of those that were let run were sent after this moment. */
    sentAfter: (moment: number) => allowed.filter((at) => at > moment).length,
    end: async () => {
      isOver = true;
      clearInterval(timer);
      await Promise.all(open);
    },
  };
}

async function startUpstream(): Promise<{ url: string; close: () => void }> {
  const flowing = new Set<ServerResponse>();
  const server = createServer((incoming, response) => {
    if (incoming.url !== '/stream') {
      response.end('{}');
      return;
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: begin\n\n');
    flowing.add(response);
    response.on('close', () => flowing.delete(response));
  });
  const timer = setInterval(() => {
    for (const response of flowing) response.write('data: more\n\n');
  }, FLOW_MS);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      clearInterval(timer);
      server.close().closeAllConnections();
    },
  };
}

async function until(look: () => Promise<boolean> | boolean, what: string): Promise<void> {
  for (const deadline = performance.now() + WAIT_MAX_MS; performance.now() < deadline; await sleep(20)) if (await look()) return;
  throw new Error(`${WAIT_MAX_MS} ms were not enough until ${what}`);
}
