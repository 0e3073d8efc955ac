/**
 * `npm run bench`: what a governed call costs, against nginx and a bare node proxy, in one interleaved run. CPU per call is the kernel's
 * own account of the proxy's process; rates and latencies stand beside it and drift with the machine. Prints Markdown; docs/performance.md
 * explains method and figures.
 */
import { hash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Client } from 'undici';
import { type BlockSize, callOnce, percentile, runClosed, runOpen, type Script } from './load-client.ts';
import { type MeasuredProcess, pinSelf, startProcess } from './measured-process.ts';
import { configureNginx, findNginx } from './nginx.ts';
import type { ProfileLine } from './profile.ts';
import type { ProxyAnswer, ProxyRequest } from './proxy-process.ts';
import {
  BARE,
  FORWARD,
  type Kind,
  MCP_BARE,
  MCP_CALL,
  MCP_PROXY,
  type Measurement,
  MODEL_BARE,
  MODEL_CALL,
  MODEL_NGINX,
  MODEL_STREAM,
  NGINX,
  PORTKEY,
  type Report,
  renderReport,
  STREAM_BARE,
  STREAM_NGINX,
  SUPERGATEWAY,
} from './report.ts';
import { findRival, type Rival } from './rivals.ts';
import { COMMENT_TEXT, chatScript, EXEC, gateScript, type McpSession, mcpScript, postScript, READ, singleScript } from './scripts.ts';

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    /** Kinds of calls, with commas between; all unless given. */
    only: { type: 'string' },
    /** Names of targets, as a regular expression; all unless given. */
    targets: { type: 'string', default: '' },
  },
});
const PLAN = options.quick
  ? { rounds: 3, warmUp: block(1_000, 6_000), block: block(1_000, 3_000), pacedMs: 1_500, profile: block(3_000, 10_000) }
  : { rounds: 7, warmUp: block(3_000, 20_000), block: block(4_000, 10_000), pacedMs: 5_000, profile: block(6_000, 20_000) };
const ROUNDS = options.rounds === undefined ? PLAN.rounds : Number(options.rounds);
const CONNECTIONS = 32;
const PACED_PER_SECOND = 400;
/** A stream is a hundred writes. */
const STREAMS_PER_SECOND = 40;
const AGENTS = 8;
/** The registered name of the service that HTTP calls go to. */
const HTTP_TOOL = 'bench-http';
/** Control may have this long to take in what a block left in the journal. */
const SETTLE_MAX_MS = 120_000;
/** Asking costs the proxy something too. */
const SETTLE_LOOK_MS = 200;

/** Before this process is bound to one of them. */
const CORES = availableParallelism();
const PROXY_CORE = 0;
const LOAD_CORE = 1;
/** Control shares the core of the load where there is no third one. */
const CONTROL_CORE = CORES > 2 ? 2 : LOAD_CORE;

/** The stdio server runs on the core of the load, like every upstream; whoever starts it does not pay for it. */
const STDIO_SERVER = ['taskset', '-c', String(LOAD_CORE), process.execPath, join(import.meta.dirname, 'mcp-server.ts')];
const LOOPBACK_ONLY = join(import.meta.dirname, 'loopback-only.ts');

interface Target {
  name: string;
  kind: Kind;
  port: number;
  script: Script;
  /** Whose CPU counts; null where there is no proxy. */
  process: MeasuredProcess | null;
  isGoverned: boolean;
  /** Where below its port it passes requests on; absent where it passes none on as they are. */
  passesOn?: string;
}

/** On a busy machine a block is made longer rather than too small to mean anything. */
function block(minMs: number, minCalls: number): BlockSize {
  return { minMs, minCalls, maxMs: 15_000 };
}

const folder = mkdtempSync(join(tmpdir(), 'mission-control-bench-'));
const processes: MeasuredProcess[] = [];
let code = 1;
try {
  console.log(renderReport(await bench()));
  code = 0;
} catch (error) {
  console.error(error);
} finally {
  for (const each of processes.reverse()) await each.stop();
  rmSync(folder, { recursive: true, force: true });
}
process.exit(code);

async function bench(): Promise<Report> {
  if (CORES < 2) throw new Error('the bench needs two cores: one for the proxy, one for the load');
  pinSelf(LOAD_CORE);
  const cache = join(import.meta.dirname, '..', 'node_modules', '.cache', 'mission-control-bench');
  const found = {
    nginx: findNginx(cache),
    'mcp-proxy': findRival('mcp-proxy', cache),
    supergateway: findRival('supergateway', cache),
    '@portkey-ai/gateway': findRival('@portkey-ai/gateway', cache),
  };
  for (const rival of Object.values(found)) if ('missing' in rival) say(rival.missing);
  const pathOf = (name: keyof typeof found) => ('path' in found[name] ? found[name].path : null);

  say('starting upstream, rivals, control and proxy');
  const world = await startWorld({
    nginx: pathOf('nginx'),
    'mcp-proxy': pathOf('mcp-proxy'),
    supergateway: pathOf('supergateway'),
    '@portkey-ai/gateway': pathOf('@portkey-ai/gateway'),
  });
  const { targets, proxy, control } = world;
  const idleResidentBytes = proxy.residentBytes();
  await checkAnswers(world);

  say(`warming up ${targets.length} targets`);
  for (const target of targets) {
    await runClosed(target.port, target.script, CONNECTIONS, PLAN.warmUp);
    await settle(proxy);
  }

  const measurements: Measurement[] = targets.map(({ name, kind, isGoverned, process: measured }) => ({
    name,
    kind,
    isGoverned,
    isProxy: measured !== null,
    rounds: [],
    paced: [],
  }));
  for (let round = 0; round < ROUNDS; round++) {
    say(`round ${round + 1} of ${ROUNDS}`);
    // Every other round in reverse: what drifts in one direction then favours nobody.
    const order = targets.map((target, i) => ({ target, measurement: measurements[i] }));
    for (const { target, measurement } of round % 2 === 0 ? order : order.reverse()) {
      measurement?.rounds.push(await measureBlock(target, proxy, control));
    }
  }
  say(`latency at ${PACED_PER_SECOND} calls per second`);
  for (let round = 0; round < 2; round++) {
    const order = targets.map((target, i) => ({ target, measurement: measurements[i] }));
    for (const { target, measurement } of round % 2 === 0 ? order : order.reverse()) {
      const { latenciesMicros } = await runOpen(
        target.port,
        target.script,
        target.kind === 'stream' ? STREAMS_PER_SECOND : PACED_PER_SECOND,
        CONNECTIONS,
        PLAN.pacedMs,
      );
      await settle(proxy);
      measurement?.paced.push({ p50: percentile(latenciesMicros, 0.5), p99: percentile(latenciesMicros, 0.99) });
    }
  }
  await checkRecord(world);

  const profiles: Report['profiles'] = [];
  if (options.profile) {
    for (const target of targets.filter((each) => each.isGoverned)) {
      say(`profiling ${target.name}`);
      profiles.push({ name: target.name, ...(await profile(target, proxy)) });
    }
  }
  return {
    at: new Date(),
    machine: `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${CORES} cores`,
    node: process.version,
    rivals: Object.fromEntries(Object.entries(found).map(([name, rival]) => [name, 'version' in rival ? rival.version : 'missing'])),
    rounds: ROUNDS,
    blockMs: PLAN.block.minMs,
    connections: CONNECTIONS,
    pacedPerSecond: PACED_PER_SECOND,
    streamsPerSecond: STREAMS_PER_SECOND,
    isControlApart: CONTROL_CORE !== LOAD_CORE,
    residentBytes: { idle: idleResidentBytes, after: proxy.residentBytes() },
    measurements,
    profiles,
  };
}

interface World {
  targets: Target[];
  proxy: MeasuredProcess;
  control: MeasuredProcess;
  api: (method: string, path: string, body?: unknown) => Promise<{ status: number; body: Record<string, unknown> }>;
  ports: { gate: number; forward: number; upstream: number };
  tokens: string[];
}

async function startWorld(rivals: Record<Rival | 'nginx', string | null>): Promise<World> {
  const port = await freePorts([
    ...(['upstream', 'nginx', 'bare', 'tuned', 'control', 'gate', 'forward', 'ungoverned'] as const),
    ...(['mcp', 'mcpBare', 'mcpProxy', 'supergateway', 'portkey'] as const),
  ]);
  const node = process.execPath;
  const here = import.meta.dirname;
  const start = async (file: string, core: number, env: Record<string, string>, niceness = 0) => {
    const started = await startProcess(node, [join(here, file)], { core, env, niceness, speaks: true });
    processes.push(started);
    return started;
  };
  await start('upstream.ts', LOAD_CORE, { PORT: String(port.upstream) });
  const bare = await start('bare-proxy.ts', PROXY_CORE, {
    PORT: String(port.bare),
    UPSTREAM_PORT: String(port.upstream),
    AGENT: 'default',
  });
  const tuned = await start('bare-proxy.ts', PROXY_CORE, { PORT: String(port.tuned), UPSTREAM_PORT: String(port.upstream), AGENT: 'own' });
  let nginx: MeasuredProcess | null = null;
  if (rivals.nginx !== null) {
    const args = configureNginx(join(folder, 'nginx'), port.nginx, port.upstream);
    nginx = await startProcess(rivals.nginx, args, { core: PROXY_CORE });
    processes.push(nginx);
    await taken(port.nginx);
  }
  await start('mcp-server.ts', LOAD_CORE, { PORT: String(port.mcp) });
  const mcpBare = await start('bare-proxy.ts', PROXY_CORE, {
    PORT: String(port.mcpBare),
    UPSTREAM_PORT: String(port.mcp),
    AGENT: 'default',
  });
  const mcpProxy = rivals['mcp-proxy'] === null ? null : await startMcpProxy(rivals['mcp-proxy'], port.mcpProxy);
  const supergateway = rivals.supergateway === null ? null : await startSupergateway(rivals.supergateway, port.supergateway);

  const portkey = rivals['@portkey-ai/gateway'] === null ? null : await startPortkey(rivals['@portkey-ai/gateway'], port.portkey);

  const adminToken = randomBytes(24).toString('base64url');
  const shared = { DATA_DIR: folder, CLUSTER_SECRET: randomBytes(32).toString('base64url') };
  // Control takes calls in when there is time; where it shares a core with the load, the load of governed calls would else be slower
  // than that of the rivals, and a proxy with less to do at once uses more CPU for each call.
  const niceness = CONTROL_CORE === LOAD_CORE ? 10 : 0;
  const control = await start(
    'control-process.ts',
    CONTROL_CORE,
    { ...shared, PORT: String(port.control), ADMIN_TOKEN: adminToken },
    niceness,
  );
  const proxy = await start('proxy-process.ts', PROXY_CORE, {
    ...shared,
    PORT: String(port.gate),
    FORWARD_PORT: String(port.forward),
    UNGOVERNED_PORT: String(port.ungoverned),
    UPSTREAM_PORT: String(port.upstream),
    CONTROL_URL: `http://127.0.0.1:${port.control}`,
  });

  const client = new Client(`http://127.0.0.1:${port.control}`);
  const api: World['api'] = async (method, path, body) => {
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': 'application/json' };
    const answer = await client.request({ method, path: `/api${path}`, headers, body: body === undefined ? null : JSON.stringify(body) });
    return { status: answer.statusCode, body: (await answer.body.json()) as Record<string, unknown> };
  };
  const workspace = join(folder, 'workspace');
  mkdirSync(join(workspace, 'docs'), { recursive: true });
  writeFileSync(join(workspace, 'docs', 'plan.md'), '# Plan\n');
  const tokens: string[] = [];
  for (let i = 0; i < AGENTS; i++) {
    const agent = await api('POST', '/agents', { name: `agent-${i}`, autonomyLevel: 'specialist', workspace });
    const issued = await api('POST', `/agents/${agent.body.id}/tokens`, {});
    if (typeof issued.body.token !== 'string') throw new Error(`no agent could be registered: ${JSON.stringify([agent, issued])}`);
    tokens.push(issued.body.token);
  }

  for (const where of [
    { name: 'bench', url: `http://127.0.0.1:${port.mcp}/mcp` },
    { name: 'bench-stdio', command: STDIO_SERVER },
  ]) {
    const created = await api('POST', '/upstreams', { ...where, kind: 'mcp', allowPrivate: true, trusted: true, shared: true });
    if (created.status !== 201) throw new Error(`no upstream could be registered: ${JSON.stringify(created)}`);
  }
  await registerTool(api, port.upstream);
  await registerModels(api, port.upstream);
  const mcp = async (at: number, path: string, as: readonly (string | null)[]): Promise<Script> =>
    mcpScript(await Promise.all(as.map((each) => openSession(at, path, each))));
  const nobody = tokens.map(() => null);

  const token = tokens[0] ?? '';
  const all: (Target | null)[] = [
    forward('direct, no proxy', port.upstream, null, null),
    nginx && forward(NGINX, port.nginx, null, nginx),
    forward(BARE, port.bare, null, bare),
    forward('the same, agent without timeout', port.tuned, null, tuned),
    forward('our forward, ungoverned', port.ungoverned, null, proxy),
    forward(FORWARD, port.gate, token, proxy, `/http/${HTTP_TOOL}`),
    forward('the same, shortest entry point', port.forward, token, proxy),
    http('gate: exec `ls` + outcome', port.gate, gateScript(EXEC, tokens, 'exec'), proxy, true),
    http('gate: read a file + outcome', port.gate, gateScript(READ, tokens, 'read'), proxy, true),
    overMcp('direct, MCP', port.mcp, await mcp(port.mcp, '/mcp', nobody), null),
    overMcp(MCP_BARE, port.mcpBare, await mcp(port.mcpBare, '/mcp', nobody), mcpBare),
    mcpProxy && overMcp(MCP_PROXY, port.mcpProxy, await mcp(port.mcpProxy, '/mcp', nobody), mcpProxy),
    supergateway && overMcp(SUPERGATEWAY, port.supergateway, await mcp(port.supergateway, '/mcp', nobody), supergateway),
    overMcp(MCP_CALL, port.gate, await mcp(port.gate, '/mcp/bench', tokens), proxy, true),
    overMcp('governed tools/call, stdio server', port.gate, await mcp(port.gate, '/mcp/bench-stdio', tokens), proxy, true),
    ...models({ port, nginx, bare, portkey, proxy, tokens }),
  ];
  const wanted = options.only?.split(',');
  const named = new RegExp(options.targets);
  const targets = all
    .filter((target) => target !== null)
    .filter(({ kind, name }) => (wanted === undefined || wanted.includes(kind)) && named.test(name));
  return { targets, proxy, control, api, ports: { gate: port.gate, forward: port.forward, upstream: port.upstream }, tokens };
}

function http(name: string, port: number, script: Script, process: MeasuredProcess | null, isGoverned = false): Target {
  return { name, kind: 'http', port, script, process, isGoverned };
}

function forward(name: string, port: number, token: string | null, process: MeasuredProcess | null, passesOn = ''): Target {
  return { ...http(name, port, postScript(token, `${passesOn}/comments`), process, token !== null), passesOn };
}

function overMcp(name: string, port: number, script: Script, process: MeasuredProcess | null, isGoverned = false): Target {
  return { name, kind: 'mcp', port, script, process, isGoverned };
}

/** Both kinds of chat completions: through nobody, through each rival, and governed. Portkey answers streams of a custom host with 500. */
function models({ port, nginx, bare, portkey, proxy, tokens }: ModelTargets): (Target | null)[] {
  const kinds = [
    { kind: 'model', prefix: '', names: ['direct, chat completion', MODEL_NGINX, MODEL_BARE, PORTKEY, MODEL_CALL] },
    { kind: 'stream', prefix: '/stream', names: ['direct, stream', STREAM_NGINX, STREAM_BARE, null, MODEL_STREAM] },
  ] as const;
  return kinds.flatMap(({ kind, prefix, names }) => {
    const [direct, byNginx, byBare, byPortkey, governed] = names;
    const target = (name: string, at: number, script: Script, process: MeasuredProcess | null, isGoverned = false): Target => ({
      name,
      kind,
      port: at,
      script,
      process,
      isGoverned,
    });
    const isStream = kind === 'stream';
    const plain = chatScript([null], `${prefix}/v1/chat/completions`, isStream);
    const host = `x-portkey-provider: openai\r\nx-portkey-custom-host: http://127.0.0.1:${port.upstream}${prefix}/v1\r\n`;
    return [
      target(direct, port.upstream, plain, null),
      nginx && target(byNginx, port.nginx, plain, nginx),
      target(byBare, port.bare, plain, bare),
      portkey && byPortkey && target(byPortkey, port.portkey, chatScript(['sk-bench'], '/v1/chat/completions', isStream, host), portkey),
      target(
        governed,
        port.gate,
        chatScript(tokens, `/model/bench${isStream ? '-stream' : ''}-model/v1/chat/completions`, isStream),
        proxy,
        true,
      ),
    ];
  });
}

interface ModelTargets {
  port: Record<'upstream' | 'nginx' | 'bare' | 'portkey' | 'gate', number>;
  nginx: MeasuredProcess | null;
  bare: MeasuredProcess;
  portkey: MeasuredProcess | null;
  proxy: MeasuredProcess;
  tokens: string[];
}

/** A service whose every POST is a comment, which the shipped policy calls green. */
async function registerTool(api: World['api'], upstreamPort: number): Promise<void> {
  const created = await api('POST', '/upstreams', {
    name: HTTP_TOOL,
    kind: 'http',
    url: `http://127.0.0.1:${upstreamPort}`,
    secret: 'bench',
    allowPrivate: true,
    routes: [{ method: 'POST', path: '/*', tool: 'post_comment' }],
    limits: { concurrency: 256 },
  });
  if (created.status !== 201) throw new Error(`no HTTP tool could be registered: ${JSON.stringify(created)}`);
}

/** Two providers, and a price so small that no cap is reached in a run; each call is priced, so its intent is on the disk first. */
async function registerModels(api: World['api'], upstreamPort: number): Promise<void> {
  for (const [name, path] of [
    ['bench-model', '/v1'],
    ['bench-stream-model', '/stream/v1'],
  ]) {
    const url = `http://127.0.0.1:${upstreamPort}${path}`;
    const created = await api('POST', '/upstreams', { name, kind: 'model', url, secret: 'sk-bench', allowPrivate: true });
    if (created.status !== 201) throw new Error(`no provider could be registered: ${JSON.stringify(created)}`);
  }
  const prices = { 'bench-model': { input: 0.0001, output: 0.0001, contextTokens: 100_000 } };
  const policy = await api('POST', '/policies', { patch: { model: { prices } }, note: 'a price for the bench' });
  const active = await api('POST', `/policies/${policy.body.id}/activate`, { note: 'a price for the bench' });
  if (active.status !== 200) throw new Error(`no price could be set: ${JSON.stringify([policy, active])}`);
}

async function startPortkey(path: string, port: number): Promise<MeasuredProcess> {
  return startRival(['--import', LOOPBACK_ONLY, path, `--port=${port}`, '--headless'], port);
}

async function startMcpProxy(path: string, port: number): Promise<MeasuredProcess> {
  const args = [path, '--host', '127.0.0.1', '--port', String(port), '--server', 'stream', '--', ...STDIO_SERVER];
  return startRival(args, port);
}

async function startSupergateway(path: string, port: number): Promise<MeasuredProcess> {
  const command = ['--stdio', STDIO_SERVER.join(' ')];
  const transport = ['--outputTransport', 'streamableHttp', '--stateful', '--port', String(port), '--logLevel', 'none'];
  return startRival(['--import', LOOPBACK_ONLY, path, ...command, ...transport], port);
}

async function startRival(args: readonly string[], port: number): Promise<MeasuredProcess> {
  const started = await startProcess(process.execPath, args, { core: PROXY_CORE, countsChildren: false });
  processes.push(started);
  await taken(port);
  return started;
}

/** Begins a session as a client of the protocol does, and sees the tool that it will call. */
async function openSession(port: number, path: string, token: string | null): Promise<McpSession> {
  const protocolVersion = '2025-06-18';
  let id: string | null = null;
  const ask = async (message: object) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: {
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(id !== null && { 'mcp-session-id': id, 'mcp-protocol-version': protocolVersion }),
      },
      body: JSON.stringify({ jsonrpc: '2.0', ...message }),
    });
    id ??= answer.headers.get('mcp-session-id');
    return answer.text();
  };
  const clientInfo = { name: 'bench', version: '1.0.0' };
  await ask({ id: 1, method: 'initialize', params: { protocolVersion, capabilities: {}, clientInfo } });
  await ask({ method: 'notifications/initialized' });
  const tools = await ask({ id: 2, method: 'tools/list' });
  if (!tools.includes('find_page')) throw new Error(`no session at ${path}: ${tools.slice(0, 300)}`);
  return { path, token, id, protocolVersion };
}

/** Waits until somebody listens. */
async function taken(port: number): Promise<void> {
  while (await isFree(port)) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A proxy that does the wrong thing is quick at it: what is timed is right first. */
async function checkAnswers({ targets, ports, tokens, api }: World): Promise<void> {
  const [direct] = await callOnce(ports.upstream, postScript(null));
  const sent = hash('sha256', COMMENT_TEXT);
  for (const { name, port, isGoverned, passesOn } of targets) {
    if (passesOn === undefined) continue;
    const token = isGoverned ? (tokens[0] ?? '') : null;
    const [answer] = await callOnce(port, postScript(token, `${passesOn}/comments`));
    if (answer?.body !== direct?.body) throw new Error(`${name} changes the answer: ${answer?.body}`);
    const [digest] = await callOnce(port, postScript(token, `${passesOn}/digest`));
    const seen = JSON.parse(digest?.body ?? '{}') as { sha256?: string; headers?: Record<string, string> };
    if (seen.sha256 !== sent) throw new Error(`${name} changes the body`);
    if (token !== null && JSON.stringify(seen.headers).includes(token)) throw new Error(`${name} shows the agent's token to the upstream`);
  }

  // The script itself looks at each answer of these.
  for (const { port, script } of targets.filter(({ kind }) => kind !== 'http')) await callOnce(port, script);

  const refusals: [string, number, Script, number][] = [
    ['a wrong token', ports.forward, singleScript('POST', '/comments', 'mca_wrong', {}), 401],
    ['a wrong token', ports.gate, singleScript('POST', '/v1/tool-calls', 'mca_wrong', {}), 401],
    [
      'a blocked command',
      ports.gate,
      singleScript('POST', '/v1/tool-calls', tokens[0] ?? '', { tool: 'exec', arguments: { command: 'rm -rf /' } }),
      403,
    ],
  ];
  for (const [what, port, script, status] of refusals) {
    const [answer] = await callOnce(port, script);
    if (answer?.status !== status) throw new Error(`${what} is answered ${answer?.status} instead of ${status}: ${answer?.body}`);
  }

  for (const [call, risk] of [
    [EXEC, 'yellow'],
    [READ, 'green'],
  ] as const) {
    const [asked] = await callOnce(ports.gate, gateScript(call, tokens, `check-${call.tool}`));
    const { id } = JSON.parse(asked?.body ?? '{}') as { id: string };
    await expectRecord(api, id, { verdict: 'allow', risk, status: 'success', output: call.output });
  }
}

/** The last call of the run is in control's record: nothing was dropped on the way. */
async function checkRecord({ ports, tokens, api }: World): Promise<void> {
  const [asked] = await callOnce(ports.gate, gateScript(READ, tokens, 'last'));
  const { id } = JSON.parse(asked?.body ?? '{}') as { id: string };
  await expectRecord(api, id, { verdict: 'allow', risk: 'green', status: 'success', output: READ.output });
}

async function expectRecord(api: World['api'], id: string, expected: Record<string, string>): Promise<void> {
  const deadline = Date.now() + 10_000;
  for (;;) {
    const { body } = await api('GET', `/tool-calls/${id}`);
    if (Object.entries(expected).every(([key, value]) => body[key] === value)) return;
    if (Date.now() > deadline) throw new Error(`the record of ${id} is not as expected: ${JSON.stringify(body)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function measureBlock(target: Target, proxy: MeasuredProcess, control: MeasuredProcess): Promise<Measurement['rounds'][number]> {
  const before = target.process?.cpuMicros() ?? 0;
  const controlBefore = control.cpuMicros();
  const waitedBefore = target.process?.waitedMicros() ?? 0;
  const { calls, elapsedMs, latenciesMicros } = await runClosed(target.port, target.script, CONNECTIONS, PLAN.block);
  const waitedShare = ((target.process?.waitedMicros() ?? 0) - waitedBefore) / (elapsedMs * 1000);
  // What a call leaves to be done later (shipping its journal) is part of what it costs.
  await settle(proxy);
  return {
    cpuMicros: ((target.process?.cpuMicros() ?? 0) - before) / calls,
    controlCpuMicros: target.isGoverned ? (control.cpuMicros() - controlBefore) / calls : null,
    perSecond: (calls * 1000) / elapsedMs,
    waitedShare,
    p50: percentile(latenciesMicros, 0.5),
    p99: percentile(latenciesMicros, 0.99),
  };
}

/** Waits until control has taken everything in. */
async function settle(proxy: MeasuredProcess): Promise<void> {
  const deadline = Date.now() + SETTLE_MAX_MS;
  for (;;) {
    const answer = await askProxy(proxy, { ask: 'depth' });
    if ('depth' in answer && answer.depth === 0) return;
    if (Date.now() > deadline) throw new Error(`control did not take the journal in time: ${JSON.stringify(answer)}`);
    await new Promise((resolve) => setTimeout(resolve, SETTLE_LOOK_MS));
  }
}

async function profile(target: Target, proxy: MeasuredProcess): Promise<{ lines: ProfileLine[]; otherThreads: number }> {
  await askProxy(proxy, { ask: 'profile' });
  const before = { all: proxy.cpuMicros(), main: proxy.mainThreadMicros() };
  await runClosed(target.port, target.script, CONNECTIONS, PLAN.profile);
  const main = (proxy.mainThreadMicros() - before.main) / (proxy.cpuMicros() - before.all);
  const answer = await askProxy(proxy, { ask: 'profiled' });
  await settle(proxy);
  return { lines: 'lines' in answer ? answer.lines : [], otherThreads: 1 - main };
}

function askProxy(proxy: MeasuredProcess, request: ProxyRequest): Promise<ProxyAnswer> {
  return proxy.ask<ProxyAnswer>(request);
}

/** Below the range that the kernel takes ports of clients from, so that no connection of the load is in the way. */
async function freePorts<Name extends string>(names: readonly Name[]): Promise<Record<Name, number>> {
  let port = 20_000 + Math.floor(Math.random() * 10_000);
  const ports: Partial<Record<Name, number>> = {};
  for (const name of names) {
    do port++;
    while (!(await isFree(port)));
    ports[name] = port;
  }
  return ports as Record<Name, number>;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
