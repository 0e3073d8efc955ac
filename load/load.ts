/**
 * `npm run load`: the promise of load (SPEC 12), kept by the whole product in one process as a user starts it. Fifty scripted agents make
 * ten calls a second each, of every kind, at moments that do not wait for answers; then come a thousand holds at once, two hundred
 * dashboards that all connect again, and a burst after a pause. Latency counts from when a call was due, so an answer that is late shows
 * in every call that it delayed. Prints Markdown with the course of memory, delay, journal and disk; ends with 1 where a promise is missed.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { ADMIN_TOKEN, freePort, newAgent, type OneProcess, startProcess as startProduct } from '../test/support/world.ts';
import { demand, type Line, percentile, printLines } from './installation.ts';
import { type MeasuredProcess, startProcess } from './measured-process.ts';
import { plotOf } from './plot.ts';

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
const METRICS_TOKEN = 'metrics-token-of-the-load';
/** How often due calls are begun; each counts from when it was due, not from here. */
const TICK_MS = 5;
const SAMPLE_MS = 5_000;
/** An approver looks this often, and decides what waits. */
const APPROVE_MS = 1_000;
const ADDED_P99_MS = 5;
const GROWTH_MAX = 0.05;
const MINUTE_MS = 60_000;

type Kind = 'read' | 'exec' | 'mcp' | 'http' | 'chat' | 'stream' | 'denied' | 'held';
/** Of a hundred calls. What one does at the gate is two requests: asked, and its outcome. */
const MIX: readonly (readonly [Kind, number])[] = [
  ['read', 40],
  ['exec', 15],
  ['mcp', 15],
  ['http', 13],
  ['chat', 10],
  ['stream', 4],
  ['denied', 2],
  ['held', 1],
];
/** Their own time is that of the upstream or of a person; of these only the whole is told. */
const WITHOUT_PROMISE: ReadonlySet<Kind> = new Set(['stream', 'held']);

interface Sample {
  atMs: number;
  residentBytes: number;
  answerMs: number;
  journalDepth: number;
  diskBytes: number;
}

interface ScriptedAgent {
  id: string;
  token: string;
  session: string | null;
}

const client = new Agent({ connections: 256, pipelining: 1, keepAliveTimeout: 30_000 });
const latencies = new Map<Kind, number[]>(MIX.map(([kind]) => [kind, []]));
const errors: string[] = [];
let calls = 0;
const servers: MeasuredProcess[] = [];
const world = await startProduct(['cli.ts', 'start'], { MC_METRICS_TOKEN: METRICS_TOKEN, MC_LOG_LEVEL: 'error' });
let isKept = false;
try {
  isKept = await load(world);
} catch (error) {
  console.error(error, world.log().slice(-2_000));
} finally {
  await client.destroy();
  for (const server of servers) await server.stop();
  await world.close();
}
process.exit(isKept ? 0 : 1);

async function load(product: OneProcess): Promise<boolean> {
  const agents = await prepare(product);
  say(`${AGENTS} agents, ${AGENTS * RATE} calls a second, ${MINUTES} minutes`);
  const samples: Sample[] = [];
  const watching = watch(product, samples);
  const approving = approveAll(product);
  await steady(agents);
  await approving.end();
  await watching.end();
  const steadyErrors = errors.length;
  const steadyCalls = calls;
  const storm = await approvalStorm(product, agents);
  const reconnect = await reconnectStorm(product, agents);
  const burst = await burstAfterPause(product, agents);

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
  const report = reportOf(samples);
  console.log(report);
  const machine = `${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores shared with the load, load average ${loadavg()[0]?.toFixed(1)}, Node ${process.versions.node}`;
  const kept = printLines(lines, machine);
  for (const error of [...new Set(errors.map((text) => text.replaceAll(/[0-9a-f-]{36}/g, '…').slice(0, 200)))].slice(0, 20))
    console.log(`error: ${error}`);
  if (options.report !== undefined) writeFileSync(options.report, report);
  return kept;
}

/* ---------------------------------------------------------------- the world */

async function prepare({ api, gateUrl }: OneProcess): Promise<ScriptedAgent[]> {
  const [upstreamPort, mcpPort] = [await freePort(), await freePort()];
  for (const [file, port] of [
    ['upstream.ts', upstreamPort],
    ['mcp-server.ts', mcpPort],
  ] as const)
    servers.push(await startProcess(process.execPath, [join(import.meta.dirname, file)], { env: { PORT: String(port) }, speaks: true }));
  const origin = `http://127.0.0.1:${upstreamPort}`;
  const routes = [{ method: 'POST', path: '/**', tool: 'comment', risk: 'green' }];
  for (const upstream of [
    { name: 'site', kind: 'http', url: origin, routes, limits: { concurrency: 500 } },
    { name: 'pages', kind: 'mcp', url: `http://127.0.0.1:${mcpPort}/mcp`, trusted: true, shared: true },
    { name: 'bench-model', kind: 'model', url: `${origin}/v1`, secret: 'sk-load' },
    { name: 'bench-stream-model', kind: 'model', url: `${origin}/stream/v1`, secret: 'sk-load' },
  ])
    demand(await api('POST', '/upstreams', { ...upstream, allowPrivate: true }), 201);
  const prices = { 'bench-model': { input: 0.0001, output: 0.0001, contextTokens: 100_000 } };
  const { id } = demand(
    await api<{ id: string }>('POST', '/policies', { patch: { model: { prices } }, note: 'a price for the load' }),
    201,
  );
  demand(await api('POST', `/policies/${id}/activate`, { note: 'a price for the load' }), 200);
  const agents: ScriptedAgent[] = [];
  for (let index = 0; index < AGENTS; index++) {
    const agent = await newAgent(world);
    agents.push({ id: agent.id, token: agent.token, session: await openSession(gateUrl, agent.token) });
  }
  return agents;
}

async function openSession(gateUrl: string, token: string): Promise<string | null> {
  const initialize = {
    jsonrpc: '2.0',
    id: 0,
    method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'load', version: '1.0.0' } },
  };
  const first = await ask(`${gateUrl}/mcp/pages`, token, initialize);
  const session = String(first.headers['mcp-session-id'] ?? '') || null;
  await ask(`${gateUrl}/mcp/pages`, token, { jsonrpc: '2.0', method: 'notifications/initialized' }, sessionHeaders(session));
  await ask(`${gateUrl}/mcp/pages`, token, { jsonrpc: '2.0', id: 1, method: 'tools/list' }, sessionHeaders(session));
  return session;
}

function sessionHeaders(session: string | null): Record<string, string> {
  return { 'mcp-protocol-version': '2025-06-18', ...(session !== null && { 'mcp-session-id': session }) };
}

interface Said {
  status: number;
  text: string;
  headers: Record<string, string | string[] | undefined>;
}

async function ask(url: string, token: string, body: object, headers: Record<string, string> = {}): Promise<Said> {
  const answer = await request(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify(body),
    dispatcher: client,
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
  });
  return { status: answer.statusCode, text: await answer.body.text(), headers: answer.headers };
}

/* ---------------------------------------------------------------- calls */

/** Begins calls at their moments until the time is over, and waits for the last of them. */
async function steady(agents: readonly ScriptedAgent[]): Promise<void> {
  const perSecond = AGENTS * RATE;
  const total = Math.round(perSecond * MINUTES * 60);
  const begun = performance.now();
  const running = new Set<Promise<void>>();
  let next = 0;
  while (next < total) {
    const now = performance.now();
    for (; next < total && begun + (next * 1000) / perSecond <= now; next++) {
      const one = callAt(agents, next, begun + (next * 1000) / perSecond).finally(() => running.delete(one));
      running.add(one);
    }
    await sleep(TICK_MS);
  }
  await Promise.all(running);
}

async function callAt(agents: readonly ScriptedAgent[], n: number, dueAt: number): Promise<void> {
  const agent = agents[n % agents.length];
  if (!agent) return;
  const kind = kindOf(n);
  calls++;
  try {
    await call(kind, agent, n);
    latencies.get(kind)?.push(performance.now() - dueAt);
  } catch (error) {
    errors.push(`${kind}: ${error instanceof Error ? error.message : error}`);
  }
}

/** The kinds in the shares of the mix, spread over the calls by a step that has no factor in common with a hundred. */
function kindOf(n: number): Kind {
  let place = (Math.floor(n / AGENTS) * 37 + n * 17) % 100;
  for (const [kind, share] of MIX) {
    if (place < share) return kind;
    place -= share;
  }
  return 'read';
}

async function call(kind: Kind, agent: ScriptedAgent, n: number): Promise<void> {
  const atTheGate = (tool: string, args: Record<string, unknown>) =>
    ask(`${world.gateUrl}/v1/tool-calls`, agent.token, callOf(n, tool, args));
  switch (kind) {
    case 'read':
      return atGate(agent, n, 'read', { path: `docs/plan-${n % 100}.md` });
    case 'exec':
      return atGate(agent, n, 'exec', { command: 'ls docs' });
    case 'denied': {
      const { text } = await atTheGate('exec', { command: `rm -rf / # ${n}` });
      return void expectVerdict(text, 'deny');
    }
    case 'held': {
      const { text } = await atTheGate('send_email', { to: 'a@example.org', text: `${n}` });
      return waitForPerson(agent, expectVerdict(text, 'hold').id);
    }
    case 'mcp':
      return callTool(agent, n);
    case 'http': {
      const { status, text } = await ask(`${world.gateUrl}/http/site/comments`, agent.token, { text: `A comment, the ${n}th.` });
      if (status !== 200 || !text.includes('"posted"')) throw new Error(`${status} ${text.slice(0, 200)}`);
      return;
    }
    case 'chat':
      return chat(agent, 'bench-model', false);
    case 'stream':
      return chat(agent, 'bench-stream-model', true);
  }
}

async function callTool({ token, session }: ScriptedAgent, n: number): Promise<void> {
  const params = { name: 'find_page', arguments: { title: `Page ${n % 100}`, limit: 1 } };
  const message = { jsonrpc: '2.0', id: n, method: 'tools/call', params };
  const { status, text } = await ask(`${world.gateUrl}/mcp/pages`, token, message, sessionHeaders(session));
  if (status !== 200 || !text.includes('every article has a second reader')) throw new Error(`${status} ${text.slice(0, 200)}`);
}

async function chat({ token }: ScriptedAgent, provider: string, stream: boolean): Promise<void> {
  const body = {
    model: 'bench-model',
    max_tokens: 200,
    messages: [{ role: 'user', content: 'Say thank you.' }],
    ...(stream && { stream, stream_options: { include_usage: true } }),
  };
  const { status, text } = await ask(`${world.gateUrl}/model/${provider}/v1/chat/completions`, token, body);
  if (status !== 200 || !text.includes(stream ? '[DONE]' : 'Thank you.')) throw new Error(`${status} ${text.slice(0, 200)}`);
}

function callOf(n: number, tool: string, args: Record<string, unknown>): object {
  return { tool, arguments: args, callId: `load-${n}`, sessionKey: 'agent:load:main', runId: `run-${Math.floor(n / 2_000)}` };
}

async function atGate(agent: ScriptedAgent, n: number, tool: string, args: Record<string, unknown>): Promise<void> {
  const { text } = await ask(`${world.gateUrl}/v1/tool-calls`, agent.token, callOf(n, tool, args));
  await end(agent, expectVerdict(text, 'allow').id);
}

async function end({ token }: ScriptedAgent, id: string): Promise<void> {
  const { status, text } = await ask(`${world.gateUrl}/v1/tool-calls/${id}/outcome`, token, {
    status: 'success',
    output: 'done',
    durationMs: 1,
  });
  if (status !== 200) throw new Error(`${status} ${text.slice(0, 200)}`);
}

async function waitForPerson(agent: ScriptedAgent, id: string): Promise<void> {
  for (;;) {
    const answer = await request(`${world.gateUrl}/v1/tool-calls/${id}?waitMs=20000`, {
      headers: { authorization: `Bearer ${agent.token}` },
      dispatcher: client,
      headersTimeout: 60_000,
    });
    const text = await answer.body.text();
    const { verdict } = JSON.parse(text) as { verdict: string };
    if (verdict === 'hold') continue;
    expectVerdict(text, 'allow');
    return end(agent, id);
  }
}

function expectVerdict(text: string, ...verdicts: readonly string[]): { id: string } {
  const answer = JSON.parse(text) as { id: string; verdict?: string };
  if (!verdicts.includes(answer.verdict ?? '')) throw new Error(text.slice(0, 300));
  return answer;
}

/* ---------------------------------------------------------------- storms */

/** As many holds as there are to be, at once; all of them are shown, decided in batches, and every one runs once. */
async function approvalStorm({ api }: OneProcess, agents: readonly ScriptedAgent[]): Promise<Line[]> {
  say(`${HOLDS} holds at once`);
  const before = errors.length;
  const begun = performance.now();
  const held = await Promise.all(
    Array.from({ length: HOLDS }, async (_, index) => {
      const agent = agents[index % agents.length] as ScriptedAgent;
      const call = callOf(10_000_000 + index, 'send_email', { to: 'b@example.org', text: `storm ${index}` });
      const { id } = expectVerdict((await ask(`${world.gateUrl}/v1/tool-calls`, agent.token, call)).text, 'hold');
      return { agent, id };
    }),
  );
  const heldMs = performance.now() - begun;
  const waiting = Promise.allSettled(held.map(({ agent, id }) => waitForPerson(agent, id)));
  const pending = await pendingIds(api);
  const decidedAt = performance.now();
  await decide(api, pending);
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
    await sleep(TICK_MS);
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
async function burstAfterPause({ api }: OneProcess, agents: readonly ScriptedAgent[]): Promise<Line[]> {
  say('a burst after a pause');
  demand(await api('POST', '/emergency/pause-squad', { reason: 'the load' }), 200);
  const { text } = await ask(`${world.gateUrl}/v1/tool-calls`, agents[0]?.token ?? '', callOf(20_000_000, 'read', { path: 'docs/a.md' }));
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

/* ---------------------------------------------------------------- people */

async function pendingIds(api: OneProcess['api']): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const page: { items: { id: string }[]; nextCursor: string | null } = demand(
      await api<{ items: { id: string }[]; nextCursor: string | null }>('GET', `/approvals?limit=200${query}`),
      200,
    );
    ids.push(...page.items.map((item) => item.id));
    cursor = page.nextCursor;
  } while (cursor !== null);
  return ids;
}

async function decide(api: OneProcess['api'], ids: readonly string[]): Promise<void> {
  for (let from = 0; from < ids.length; from += 200)
    demand(await api('POST', '/approvals/decide', { ids: ids.slice(from, from + 200), verdict: 'approve', note: 'the load' }), 200);
}

function approveAll({ api }: OneProcess): { end: () => Promise<void> } {
  return repeat(APPROVE_MS, async () => decide(api, await pendingIds(api)));
}

/* ---------------------------------------------------------------- watching */

function watch(product: OneProcess, samples: Sample[]): { end: () => Promise<void> } {
  const begun = performance.now();
  return repeat(SAMPLE_MS, async () => {
    const asked = performance.now();
    const page = await request(`${product.gateUrl}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` }, dispatcher: client });
    const text = await page.body.text();
    const answerMs = performance.now() - asked;
    samples.push({
      atMs: asked - begun,
      residentBytes: Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${product.pid()}/status`, 'utf8'))?.[1] ?? 0) * 1024,
      answerMs,
      journalDepth: Number(/^mc_proxy_journal_depth(?:\{[^}]*\})? (\d+)/m.exec(text)?.[1] ?? Number.NaN),
      diskBytes: Number(execFileSync('du', ['-sb', product.dataDir], { encoding: 'utf8' }).split('\t')[0]),
    });
  });
}

/** Does something again and again, never twice at once. A failure is an error of the load. */
function repeat(everyMs: number, work: () => Promise<void>): { end: () => Promise<void> } {
  let isOver = false;
  const going = (async () => {
    while (!isOver) {
      await work().catch((error) => errors.push(`watching: ${error}`));
      await sleep(everyMs);
    }
    await work().catch((error) => errors.push(`watching: ${error}`));
  })();
  return {
    end: async () => {
      isOver = true;
      await going;
    },
  };
}

function reportOf(samples: readonly Sample[]): string {
  const rows = [...latencies].map(([kind, values]) => {
    const at = (share: number) => percentile(values, share).toFixed(1);
    return `| ${kind} | ${values.length} | ${at(0.5)} | ${at(0.9)} | ${at(0.99)} | ${at(0.999)} |`;
  });
  const plots = [
    plotOf(
      'resident memory, MB',
      samples.map(({ residentBytes }) => residentBytes / 1e6),
    ),
    plotOf(
      'a look at /metrics, ms',
      samples.map(({ answerMs }) => answerMs),
    ),
    plotOf(
      'journal depth, events',
      samples.map(({ journalDepth }) => journalDepth),
    ),
    plotOf(
      'data folder, MB',
      samples.map(({ diskBytes }) => diskBytes / 1e6),
    ),
  ];
  return [
    `### ${AGENTS} agents, ${AGENTS * RATE} calls a second, ${MINUTES} minutes`,
    '',
    '| kind | calls | p50 ms | p90 ms | p99 ms | p99.9 ms |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '```text',
    ...plots,
    '```',
  ].join('\n');
}

function megabytes(bytes = Number.NaN): string {
  return (bytes / 1e6).toFixed(0);
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
