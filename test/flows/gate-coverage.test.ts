/** The gate proves itself from real traffic: what models are told of tools has been asked about. The time of grace is turned, not waited for. */

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DRILL_NAMES, type DrillCard } from '../../control/contract.ts';
import { json, type ScriptedProvider, startProvider } from '../model/provider.ts';
import { usePolicy } from '../support/calls.ts';
import { CHILD_ENV } from '../support/child-env.ts';
import { CLUSTER_SECRET, type OwnTime, startInOwnTime } from '../support/own-time.ts';
import { ADMIN_TOKEN, newAgent, until } from '../support/world.ts';

let world: OwnTime;
let provider: ScriptedProvider;
beforeAll(async () => {
  receiver = createServer((request, response) => void take(request, response));
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const { port } = receiver.address() as AddressInfo;
  [world, provider] = [await startInOwnTime({ otlpEndpoint: `http://127.0.0.1:${port}` }), await startProvider()];
  provider.script = json({ id: 'x', choices: [], usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 } });
  const upstream = { name: 'openai', kind: 'model', url: provider.url, secret: 'sk-of-the-provider', allowPrivate: true };
  expect((await world.api('POST', '/upstreams', upstream)).status).toBe(201);
  await usePolicy(world, { model: { prices: { 'test-*': { input: 1, output: 10, contextTokens: 1_000 } } } });
});
afterAll(async () => {
  await world.close();
  await provider.close();
  receiver.close();
});

/** An OpenTelemetry receiver: what it was sent, span by span. */
interface Span {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue?: string; intValue?: number; doubleValue?: number } }[];
}
interface DataPoint {
  attributes: Span['attributes'];
  /** Of a histogram. */
  sum?: number;
  count?: number;
  /** Of a counter. */
  asDouble?: number;
  asInt?: number;
}
interface Metric {
  name: string;
  unit: string;
  histogram?: { dataPoints: DataPoint[] };
  sum?: { dataPoints: DataPoint[] };
}
interface Sent {
  resourceSpans: { scopeSpans: { spans: Span[] }[] }[];
  resourceMetrics: { scopeMetrics: { metrics: Metric[] }[] }[];
}
let receiver: Server;
const spans: Span[] = [];
let metrics: Metric[] = [];
async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as Partial<Sent>;
  if (request.url === '/v1/traces')
    spans.push(...(body.resourceSpans ?? []).flatMap((of) => of.scopeSpans.flatMap((scope) => scope.spans)));
  // Each sending has all of it since the start.
  if (request.url === '/v1/metrics')
    metrics = (body.resourceMetrics ?? []).flatMap((of) => of.scopeMetrics.flatMap((scope) => scope.metrics));
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
}

let agent: { id: string; token: string };
let gateway: string;
let messages: object[];
beforeEach(async () => {
  const name = `claw-${crypto.randomUUID().slice(0, 8)}`;
  const registered = await world.api<{ id: string; token: string }>('POST', '/gateways', { name });
  gateway = registered.body.token;
  agent = await newAgent(world, { autonomyLevel: 'lead', gate: 'openclaw', gatewayId: registered.body.id, externalId: 'main' });
  messages = [{ role: 'user', content: 'go' }];
  await beat();
  const look = () => world.api<{ lastHeartbeat: number | null }>('GET', `/gateways/${registered.body.id}`);
  await until(look, ({ body }) => body.lastHeartbeat !== null);
  // A change is answered when the proxies judge by it, and so by what came before it.
  await world.api('PATCH', `/agents/${agent.id}`, { metadata: {} });
});

const beat = () =>
  until(
    () => world.gate('POST', '/v1/heartbeats', { pluginVersion: '1', agents: ['main'] }, gateway),
    ({ status }) => status === 200,
  );
const atGate = (path: string, body: object) =>
  world.gate<{ id: string; verdict: string }>('POST', path, { agentId: 'main', ...body }, gateway);
/** One turn: the model asked for a tool, and is told what it answered, after all that was said before. */
async function turn(callId: string, tool: string, args: object): Promise<void> {
  await beat();
  messages.push({
    role: 'assistant',
    content: null,
    tool_calls: [{ id: callId, type: 'function', function: { name: tool, arguments: JSON.stringify(args) } }],
  });
  messages.push({ role: 'tool', tool_call_id: callId, content: 'done' });
  const { status } = await world.gate(
    'POST',
    '/model/openai/v1/chat/completions',
    { model: 'test-1', max_tokens: 5, messages },
    agent.token,
  );
  expect(status).toBe(200);
}
interface CoverageBody {
  agents: { agentId: string; points: { entry: string; state: string; how: string | null }[] }[];
}
function canaryToken(claim: object): string {
  const text = Buffer.from(JSON.stringify(claim)).toString('base64url');
  return `mcc_${text}.${createHmac('sha256', CLUSTER_SECRET).update(`canary\n${text}`).digest('base64url')}`;
}
const point = async () => {
  const { body } = await world.api<CoverageBody>('GET', '/coverage');
  return body.agents.find(({ agentId }) => agentId === agent.id)?.points.find(({ entry }) => entry === 'openclaw');
};
const alerts = async () => {
  const { body } = await world.api<{ items: { agentId: string | null; type: string; severity: string; message: string }[] }>(
    'GET',
    '/alerts?resolved=false&limit=100',
  );
  return body.items.filter(({ agentId }) => agentId === agent.id);
};
const afterGrace = async () => {
  // The grace runs from when control has the result, which it hears of before the call that brought it.
  const turns = (messages.length - 1) / 2;
  await until(
    async () => (await world.api<{ items: { tool: string }[] }>('GET', `/tool-calls?agentId=${agent.id}&limit=50`)).body.items,
    (items) => items.filter(({ tool }) => tool === 'model_call').length >= turns,
  );
  world.pass(12_000);
  await beat();
};

it('proves ways in on which nothing comes by canaries, which cost nothing and open nothing', async () => {
  const http = {
    name: 'tickets',
    kind: 'http',
    url: provider.url,
    allowPrivate: true,
    routes: [{ method: 'GET', path: '/**', tool: 'tickets__read', risk: 'green' }],
  };
  expect((await world.api('POST', '/upstreams', http)).status).toBe(201);
  const plain = await newAgent(world);
  const asked = provider.seen.length;
  const points = async () =>
    (await world.api<CoverageBody>('GET', '/coverage')).body.agents.find(({ agentId }) => agentId === plain.id)?.points ?? [];
  const proven = await until(points, (list) => list.length === 5 && list.every(({ how }) => how === 'canary'));
  expect(proven.map(({ state }) => state)).toEqual(['idle', 'idle', 'idle', 'idle', 'idle']);
  expect(provider.seen).toHaveLength(asked);
  const calls = await world.api<{ items: unknown[] }>('GET', `/tool-calls?agentId=${plain.id}`);
  expect(calls.body.items).toEqual([]);
  expect((await world.api<{ items: unknown[] }>('GET', `/approvals?agentId=${plain.id}`)).body.items).toEqual([]);
  // The way inside OpenClaw is not proven by what does not come through OpenClaw.
  expect(await point()).toMatchObject({ how: 'heartbeat' });
});

it('lets a canary make its call and nothing else, for a minute', async () => {
  const { id } = await newAgent(world);
  const canary = (entry: string, nonce: string, lifeMs = 60_000) =>
    canaryToken({ agentId: id, entry, nonce, expiresAt: world.clock() + lifeMs });
  const call = { tool: 'read', arguments: { path: 'a.txt' } };
  for (const nonce of ['0123456789abcdef', '0123456789abcdef']) {
    const answer = await world.gate<{ reasons: { policyPath: string }[] }>('POST', '/v1/tool-calls', call, canary('openclaw', nonce));
    expect(answer).toMatchObject({ status: 403, body: { verdict: 'deny', reasons: [{ policyPath: 'builtin.canary' }] } });
  }
  expect((await world.gate('POST', '/v1/runs/check', {}, canary('openclaw', '1123456789abcdef'))).status).toBe(403);
  expect((await world.gate('POST', '/v1/runs/end', { runId: 'r', status: 'success' }, canary('openclaw', '1123456789abcdef'))).status).toBe(
    403,
  );
  for (const message of [{ method: 'tools/list' }, { method: 'tools/call', params: { name: 'list_tasks', arguments: {} } }])
    expect(
      (await world.gate('POST', '/mcp/mission-control', { jsonrpc: '2.0', id: 1, ...message }, canary('mcp', '2123456789abcdef'))).status,
    ).toBe(403);
  expect((await world.gate('GET', '/model/openai/v1/models', undefined, canary('model', '3123456789abcdef'))).status).toBe(400);
  expect((await world.gate('POST', '/v1/tool-calls', call, canary('openclaw', '4123456789abcdef', -1))).status).toBe(401);
  expect((await world.gate('POST', '/v1/tool-calls', call, `${canary('openclaw', '5123456789abcdef')}x`)).status).toBe(401);
  expect((await world.api('GET', '/agents', undefined, canary('openclaw', '6123456789abcdef'))).status).toBe(401);
});

it('shows a gate that was asked about everything as proven by what tools answered', async () => {
  expect(
    (
      await atGate('/v1/tool-calls', {
        tool: 'post_comment',
        arguments: { text: 'hi' },
        callId: 'call_a|fc_1',
        sessionKey: 's',
        runId: 'r',
      })
    ).status,
  ).toBe(200);
  await turn('call_a', 'post_comment', { text: 'hi' });
  const inner = {
    tool: 'post_comment',
    arguments: { text: 'ho' },
    callId: 'tool_search_code:call_b:post_comment:1',
    sessionKey: 's',
    runId: 'r',
  };
  expect((await atGate('/v1/tool-calls', inner)).status).toBe(200);
  await turn('call_b', 'tool_call', { id: 'post_comment', args: { text: 'ho' } });
  expect((await atGate('/v1/unasked', { callId: 'call_c', tool: 'exec', why: 'rejected' })).status).toBe(200);
  await turn('call_c', 'exec', { command: 7 });
  await afterGrace();
  expect(await until(point, (found) => found?.how === 'result')).toMatchObject({ state: 'proven' });
  expect(await alerts()).toEqual([]);
});

it('raises a critical alert for a tool that ran past a gate that is alive', async () => {
  await turn('call_x', 'exec', { command: 'ls' });
  expect(await alerts()).toEqual([]);
  await afterGrace();
  const [alert] = await until(alerts, (list) => list.length > 0);
  expect(alert).toMatchObject({ type: 'gate_missing', severity: 'critical', message: expect.stringContaining('what exec answered') });
  expect(await point()).toMatchObject({ state: 'bypassed' });
});

it('raises a critical alert for an MCP tool that the gate allowed and that ran without coming here', async () => {
  const pages = { name: 'pages', kind: 'mcp', url: `${provider.url}/mcp`, allowPrivate: true };
  expect((await world.api('POST', '/upstreams', pages)).status).toBe(201);
  await usePolicy(world, {
    model: { prices: { 'test-*': { input: 1, output: 10, contextTokens: 1_000 } } },
    riskMap: { pages__find: 'green' },
  });
  const asked = await atGate('/v1/tool-calls', { tool: 'pages__find', arguments: { n: 1 }, callId: 'call_m', sessionKey: 's', runId: 'r' });
  expect(asked).toMatchObject({ status: 200, body: { verdict: 'allow' } });
  const ended = await world.gate('POST', `/v1/tool-calls/${asked.body.id}/outcome`, { status: 'success', durationMs: 1 }, gateway);
  expect(ended.status).toBe(200);
  await until(
    async () => (await world.api<{ items: { id: string; status: string }[] }>('GET', `/tool-calls?agentId=${agent.id}`)).body.items,
    (items) => items.some(({ id, status }) => id === asked.body.id && status === 'success'),
  );
  // What the journal says after the end of the call is with control a moment later: the time of grace begins there.
  const found = await until(
    async () => {
      world.pass(6_000);
      await beat();
      return alerts();
    },
    (list) => list.length > 0,
  );
  expect(found).toMatchObject([{ type: 'gate_missing', severity: 'critical', message: expect.stringContaining('pages__find') }]);
});

it('takes the word of nobody but the gateway that a call was rightly not asked about', async () => {
  const said = { callId: 'call_y', tool: 'exec', why: 'rejected' };
  expect((await world.gate('POST', '/v1/unasked', said, agent.token)).status).toBe(403);
  expect((await atGate('/v1/unasked', { ...said, why: 'trust me' })).status).toBe(400);
  const vouch = { tool: 'exec', arguments: { command: 'ls' }, callId: 'call_y' };
  expect((await world.gate('POST', '/v1/tool-calls', vouch, agent.token)).status).toBeLessThan(500);
  await turn('call_y', 'exec', { command: 'ls' });
  await afterGrace();
  expect(await until(alerts, (list) => list.length > 0)).toHaveLength(1);
});

describe('drills', () => {
  const card = async () => (await world.api<DrillCard>('GET', '/drills')).body;

  it('run by themselves once a day, at every proxy, and leave calls alone', async () => {
    const ran = await until(card, ({ items, nextAt }) => nextAt !== null && items.every(({ outcome }) => outcome !== null));
    expect(ran.items.map(({ name, outcome }) => [name, outcome])).toEqual(DRILL_NAMES.map((name) => [name, 'passed']));
    expect(ran.nextAt ?? 0).toBeGreaterThan(world.clock() + 23 * 60 * 60 * 1000);
    expect((await world.api<{ items: unknown[] }>('GET', '/tool-calls?agentId=drill')).body.items).toEqual([]);
    const { body } = await world.api<{ items: { action: string; subjectId: string; details: object }[] }>(
      'GET',
      '/audit?action=drill.ended&limit=100',
    );
    expect(new Set(body.items.map(({ subjectId }) => subjectId))).toEqual(new Set(DRILL_NAMES));
  });

  it('are run and shown by the command, whose exit code says whether one failed', async () => {
    const env = { ...CHILD_ENV, MC_CONTROL_PORT: new URL(world.controlUrl).port, MC_ADMIN_TOKEN: ADMIN_TOKEN, MC_DATA_DIR: world.dataDir };
    const child = spawn(process.execPath, ['cli.ts', 'drill', 'emergency-stop'], { env });
    let output = '';
    for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (chunk) => (output += chunk));
    const code = await new Promise((resolve) => child.once('exit', resolve));
    expect({ code, output }).toEqual({ code: 0, output: expect.stringMatching(/^passed +emergency-stop \(\S+\)\n +deny ESTOP\n$/) });
    expect((await world.api('POST', '/drills', { name: 'earthquake' })).status).toBe(400);
  });
});

describe('traces and the log', () => {
  const said = ({ attributes }: Span) =>
    Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue]));
  const childrenOf = (parent: Span | undefined) => spans.filter(({ parentSpanId }) => parentSpanId === parent?.spanId);

  it('go on with the trace that the caller names, by the conventions for generative AI', async () => {
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const asked = await fetch(`${world.gateUrl}/model/openai/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${agent.token}`, 'content-type': 'application/json', traceparent },
      body: JSON.stringify({ model: 'test-1', max_tokens: 5, messages }),
    });
    expect(asked.status).toBe(200);
    expect(provider.seen.at(-1)?.headers.traceparent).toBe(traceparent);
    const span = await until(
      () => spans.find(({ parentSpanId }) => parentSpanId === '00f067aa0ba902b7'),
      (found) => found !== undefined && childrenOf(found).length === 2,
    );
    expect(span).toMatchObject({ traceId: '4bf92f3577b34da6a3ce929d0e0e4736', name: 'chat test-1' });
    expect(said(span as Span)).toMatchObject({
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'test-1',
      'gen_ai.provider.name': 'openai',
      'gen_ai.usage.input_tokens': 1,
      'gen_ai.usage.output_tokens': 1,
      'mc.end': 'success',
    });
    expect(childrenOf(span).map(({ name, traceId }) => [name, traceId === span?.traceId])).toEqual([
      ['judgement', true],
      ['upstream', true],
    ]);
  });

  it('tell of a held call how long it was held, and nothing of what it says', async () => {
    const plain = await newAgent(world);
    const secret = 'sk-proj-4f9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c';
    const call = { tool: 'exec', arguments: { command: `deploy --key ${secret}` }, callId: 'held-1', sessionKey: 's', runId: 'r' };
    const held = await world.gate<{ id: string; approvalId: string }>('POST', '/v1/tool-calls', call, plain.token);
    expect(held.status).toBe(202);
    await world.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'fine' });
    const run = () => world.gate('GET', `/v1/tool-calls/${held.body.id}?waitMs=5000`, undefined, plain.token);
    await until(run, ({ status }) => status === 200);
    await world.gate(
      'POST',
      `/v1/tool-calls/${held.body.id}/outcome`,
      { status: 'failed', error: `bad key ${secret}`, durationMs: 1 },
      plain.token,
    );
    const span = await until(
      () => spans.find((each) => said(each)['mc.call.id'] === held.body.id),
      (found) => found !== undefined && childrenOf(found).length === 3,
    );
    expect(span).toMatchObject({ name: 'execute_tool exec', status: { code: 2 } });
    expect(childrenOf(span).map(({ name }) => name)).toEqual(['judgement', 'hold', 'upstream']);
    const lines = world.logged().filter(({ callId }) => callId === held.body.id);
    expect(lines).toEqual([
      expect.objectContaining({
        msg: 'call',
        entry: 'openclaw',
        agentId: plain.id,
        tool: 'exec',
        end: 'failed',
        heldMs: expect.any(Number),
      }),
    ]);
    expect(JSON.stringify([spans, world.logged()])).not.toContain(secret.slice(8));
  });

  it('come with metrics of tokens, durations and costs, by the same conventions', async () => {
    const asked = await world.gate(
      'POST',
      '/model/openai/v1/chat/completions',
      { model: 'test-meter', max_tokens: 5, messages },
      agent.token,
    );
    expect(asked.status).toBe(200);
    type Flat = Record<string, unknown>;
    const pointsOf = (name: string): Flat[] => {
      const metric = metrics.find((each) => each.name === name);
      return (metric?.histogram ?? metric?.sum)?.dataPoints.map((each) => ({ ...each, ...said(each as Span) })) ?? [];
    };
    const ofModel = (name: string) => pointsOf(name).filter((each) => each['gen_ai.request.model'] === 'test-meter');
    await until(
      () => ofModel('gen_ai.client.token.usage'),
      (list) => list.length === 2,
    );
    expect(ofModel('gen_ai.client.token.usage').map((each) => [each['gen_ai.token.type'], each.sum, each.count])).toEqual([
      ['input', 1, 1],
      ['output', 1, 1],
    ]);
    expect(ofModel('gen_ai.client.operation.duration')).toMatchObject([
      { 'gen_ai.operation.name': 'chat', 'gen_ai.provider.name': 'openai', count: 1, sum: expect.any(Number) },
    ]);
    expect(metrics.find(({ name }) => name === 'gen_ai.client.token.usage')?.unit).toBe('{token}');
    expect(pointsOf('mc.calls')).toContainEqual(
      expect.objectContaining({ 'mc.entry': 'model', 'mc.verdict': 'allow', 'mc.end': 'success' }),
    );
    expect(pointsOf('mc.cost').find((each) => each['mc.entry'] === 'model')?.asDouble).toBeGreaterThan(0);
    expect(JSON.stringify(metrics)).not.toContain(agent.id);
  });

  it('have one line for a call that was denied, with its codes', async () => {
    const plain = await newAgent(world);
    const denied = await world.gate<{ id: string }>(
      'POST',
      '/v1/tool-calls',
      { tool: 'exec', arguments: { command: 'rm -rf /' }, callId: 'd' },
      plain.token,
    );
    expect(denied.status).toBe(403);
    const lines = world.logged().filter(({ callId }) => callId === denied.body.id);
    expect(lines).toEqual([expect.objectContaining({ msg: 'call', end: 'denied', codes: expect.arrayContaining(['SHELL_BLOCKED']) })]);
  });
});
