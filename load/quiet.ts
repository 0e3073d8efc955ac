/**
 * `npm run e2e:quiet -- --hours H --agents N`: whether the gate is accused when nothing is wrong. Scripted OpenClaw gateways with our own
 * plugin (load/scripted-claws.ts) work at the whole product in one process, while gateways restart, machines sleep, plugins are loaded anew
 * and the product is killed. Any alert is a false one. In the end three gates are gone past: the silence means something only where
 * each of those is noticed. Ends with 1 otherwise.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { freePort, startProcess as startProduct, until } from '../test/support/world.ts';
import { demand, type Line, printLines } from './installation.ts';
import { startProcess } from './measured-process.ts';
import { ScriptedClaw, type Tally } from './scripted-claws.ts';
import { machineOf } from './watching.ts';

const { values: options } = parseArgs({
  options: {
    hours: { type: 'string', default: '1' },
    agents: { type: 'string', default: '20' },
    /** Between two turns of an agent. */
    pause: { type: 'string', default: '12' },
  },
});
const [HOURS, AGENTS, PAUSE_MS] = [Number(options.hours), Number(options.agents), Number(options.pause) * 1000];
const CLAWS = 5;
/** The clocks of the machines that the gateways run on: right, and wrong by minutes and hours. */
const SKEWS_MS = [0, 0, 240_000, -240_000, -7_200_000];
const LOOK_MS = 2_000;
/** How soon a gate that is gone past is to be noticed. */
const NOTICED_MS = 30_000;

interface Alert {
  id: string;
  type: string;
  severity: string;
  agentId: string | null;
  gatewayId: string | null;
  message: string;
}

const tally: Tally = new Map();
const alerts = new Map<string, Alert & { heardAt: number }>();
const paper = createServer((request, response) => {
  request.resume();
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(answerOf(request.url ?? '')));
  });
});
await new Promise<void>((resolve) => paper.listen(0, '127.0.0.1', resolve));
const mcpPort = await freePort();
const pages = await startProcess(process.execPath, [join(import.meta.dirname, 'mcp-server.ts')], {
  env: { PORT: String(mcpPort) },
  speaks: true,
});
const product = await startProduct(['cli.ts', 'start'], { MC_LOG_LEVEL: 'warn' });
let isKept = false;
try {
  isKept = await play();
} catch (error) {
  console.error(error, product.log().slice(-3_000));
} finally {
  await product.close();
  await pages.stop();
  paper.close();
}
process.exit(isKept ? 0 : 1);

async function play(): Promise<boolean> {
  await prepare();
  const claws: ScriptedClaw[] = [];
  for (let n = 0; n < CLAWS; n++) {
    const count = Math.floor(AGENTS / CLAWS) + (n < AGENTS % CLAWS ? 1 : 0);
    claws.push(await ScriptedClaw.start(product, `claw-${n}`, count, SKEWS_MS[n] ?? 0, tally));
  }
  const begun = Date.now();
  const end = begun + HOURS * 3_600_000;
  const over = new AbortController();
  process.stderr.write(`${AGENTS} agents of ${CLAWS} gateways, ${HOURS} hours from ${new Date(begun).toISOString()}\n`);
  const watching = [repeat(over.signal, LOOK_MS, look), repeat(over.signal, 1_500, approve)];
  const working = claws.map((claw) => claw.work(PAUSE_MS, over.signal));
  await trouble(claws, end);
  // What happened last has its time to be noticed in.
  await sleep(NOTICED_MS);
  const falseAlarms = await afterLook();
  over.abort();
  await Promise.all([...working, ...watching]);

  const lines: Line[] = [
    {
      promise: `false alarms in ${((Date.now() - begun) / 60_000).toFixed(0)} minutes`,
      ...{ target: '0', measured: String(falseAlarms.length), kept: falseAlarms.length === 0 },
    },
    {
      promise: 'tools that were judged',
      target: '> 0',
      measured: String(tally.get('model requests') ?? 0),
      kept: (tally.get('turns') ?? 0) > 0,
    },
  ];
  const [first, second, third] = claws;
  if (first === undefined || second === undefined || third === undefined) throw new Error('too few gateways');
  const agentOf = ({ agents: [agent] }: ScriptedClaw) => {
    if (agent === undefined) throw new Error('a gateway without an agent');
    return agent;
  };
  lines.push(
    await noticed(
      'a tool that ran past the gate',
      () => first.bypass(agentOf(first)),
      ({ agentId }) => agentId === agentOf(first).id,
    ),
    await noticed(
      'an MCP call past the gate',
      () => second.bypassMcp(agentOf(second)),
      ({ agentId }) => agentId === agentOf(second).id,
    ),
    await noticed(
      'a plugin that is gone while its gateway works on',
      async () => {
        await third.loseGate();
      },
      ({ gatewayId, agentId }) => gatewayId === third.gatewayId || agentId === agentOf(third).id,
    ),
  );
  for (const claw of claws) await claw.close();
  console.log(`\n| what was done | |\n| --- | --- |\n${[...tally].map(([what, count]) => `| ${what} | ${count} |`).join('\n')}\n`);
  for (const alert of falseAlarms)
    console.log(`false alarm after ${Math.round((alert.heardAt - begun) / 1000)} s: ${alert.type}: ${alert.message}`);
  return printLines(lines, machineOf());
}

async function prepare(): Promise<void> {
  const { port } = paper.address() as AddressInfo;
  for (const upstream of [
    { name: 'pages', kind: 'mcp', url: `http://127.0.0.1:${mcpPort}/mcp`, trusted: true, shared: true },
    { name: 'paper', kind: 'model', url: `http://127.0.0.1:${port}/v1`, secret: 'sk-paper' },
  ])
    demand(await product.api('POST', '/upstreams', { ...upstream, allowPrivate: true }), 201);
  const patch = { model: { prices: { 'paper-*': { input: 0.0001, output: 0.0001, contextTokens: 100_000 } } } };
  const { id } = demand(await product.api<{ id: string }>('POST', '/policies', { patch, note: 'a price for the run' }), 201);
  demand(await product.api('POST', `/policies/${id}/activate`, { note: 'a price for the run' }), 200);
}

/** One thing after another that happens to real installations and is no fault of a gate. */
async function trouble(claws: readonly ScriptedClaw[], end: number): Promise<void> {
  const what: ((claw: ScriptedClaw) => Promise<void>)[] = [
    (claw) => claw.reload(),
    async () => {
      await product.kill();
      await sleep(Math.random() * 5_000);
      await startAgain();
      count('kill -9 of the product');
    },
    (claw) => claw.restart(1_000 + Math.random() * 4_000),
    (claw) => claw.nap(20_000 + Math.random() * 70_000),
    async () => {
      await product.stop();
      await startAgain();
      count('restarts of the product');
    },
    (claw) => claw.restart(30_000 + Math.random() * 20_000),
    async (claw) => {
      // Everything at once: the product is killed while a machine sleeps.
      const napping = claw.nap(40_000);
      await sleep(15_000);
      await product.kill();
      await startAgain();
      await napping;
      count('kill -9 of the product');
    },
  ];
  for (let turn = 0; Date.now() < end; turn++) {
    await sleep(Math.min(20_000, Math.max(0, end - Date.now())));
    if (Date.now() >= end) return;
    const claw = claws[turn % claws.length];
    const happens = what[turn % what.length];
    if (claw !== undefined && happens !== undefined) await happens(claw);
    process.stderr.write(
      `${new Date().toISOString()} turns ${tally.get('turns') ?? 0}, model requests ${tally.get('model requests') ?? 0}, alerts ${alerts.size}\n`,
    );
  }
}

/** As a service manager does: what gives up at its start, on a machine that is too busy, is started anew. */
async function startAgain(): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await product.start();
    } catch (error) {
      if (attempt === 5) throw error;
      count('starts that gave up');
    }
  }
}

/** Every alert that there ever was, also those that have ended by themselves. */
async function look(): Promise<void> {
  const { items } = demand(await product.api<{ items: Alert[] }>('GET', '/alerts?limit=200'), 200);
  for (const alert of items) {
    if (alerts.has(alert.id)) continue;
    alerts.set(alert.id, { ...alert, heardAt: Date.now() });
    process.stderr.write(`${new Date().toISOString()} ALERT ${alert.type} ${alert.severity}: ${alert.message}\n`);
  }
}

async function afterLook(): Promise<(Alert & { heardAt: number })[]> {
  await until(
    () =>
      look().then(
        () => true,
        () => false,
      ),
    (looked) => looked,
  );
  return [...alerts.values()];
}

async function noticed(promise: string, go: () => Promise<void>, isIt: (alert: Alert) => boolean): Promise<Line> {
  const before = new Set(alerts.keys());
  const begun = Date.now();
  await go();
  const found = await until(
    async () => {
      await look();
      return [...alerts.values()].find((alert) => !before.has(alert.id) && isIt(alert));
    },
    (alert) => alert !== undefined,
    2 * NOTICED_MS,
  ).catch(() => undefined);
  const tookMs = Date.now() - begun;
  return {
    promise: `${promise} is noticed`,
    target: `≤ ${NOTICED_MS / 1000} s`,
    measured: found === undefined ? 'not at all' : `${(tookMs / 1000).toFixed(1)} s (${found.type}, ${found.severity})`,
    kept: found !== undefined && tookMs <= NOTICED_MS,
  };
}

/** Decides what waits: most is approved, some at once and some late. */
async function approve(): Promise<void> {
  const { items } = demand(await product.api<{ items: { id: string }[] }>('GET', '/approvals?status=pending&limit=100'), 200);
  for (const { id } of items) {
    if (Math.random() < 0.6) continue;
    await product.api('POST', `/approvals/${id}/${Math.random() < 0.85 ? 'approve' : 'deny'}`, { note: 'the run' });
  }
}

/** Does something again and again; while the product is down nothing comes of it. */
async function repeat(over: AbortSignal, everyMs: number, work: () => Promise<void>): Promise<void> {
  while (!over.aborted) {
    await work().catch(() => undefined);
    await sleep(everyMs, undefined, { signal: over }).catch(() => undefined);
  }
}

function count(what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1);
}

/** What the model of paper answers on each of its interfaces. */
function answerOf(path: string): object {
  if (path.endsWith('/messages'))
    return {
      id: 'm',
      type: 'message',
      role: 'assistant',
      model: 'paper-1',
      content: [{ type: 'text', text: 'ok' }],
      stop_reason: 'end_turn',
      usage: { input_tokens: 20, output_tokens: 2 },
    };
  if (path.endsWith('/responses'))
    return {
      id: 'r',
      object: 'response',
      status: 'completed',
      model: 'paper-1',
      output: [],
      usage: { input_tokens: 20, output_tokens: 2, total_tokens: 22 },
    };
  const choices = [{ index: 0, message: { role: 'assistant', content: 'ok' }, finish_reason: 'stop' }];
  return {
    id: 'c',
    object: 'chat.completion',
    model: 'paper-1',
    choices,
    usage: { prompt_tokens: 20, completion_tokens: 2, total_tokens: 22 },
  };
}
