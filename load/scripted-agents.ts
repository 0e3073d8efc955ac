/**
 * Scripted agents that make every kind of call at the product, at moments that do not wait for answers: at its gate, over MCP, to an HTTP
 * tool and to models, with what is refused and what waits for a person, who is scripted too. Every answer is looked at.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { freePort, newAgent, type OneProcess } from '../test/support/world.ts';
import { demand } from './installation.ts';
import { type MeasuredProcess, startProcess } from './measured-process.ts';

/** How often due calls are begun; each counts from when it was due, not from here. */
const TICK_MS = 5;
/** An approver looks this often, and decides what waits. */
const APPROVE_MS = 1_000;

export type Kind = 'read' | 'exec' | 'mcp' | 'http' | 'chat' | 'stream' | 'denied' | 'held';
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

export interface ScriptedAgent {
  id: string;
  token: string;
  session: string | null;
}

export type Traffic = ReturnType<typeof createTraffic>;

/** @param rate calls a second of each agent. */
export function createTraffic(product: OneProcess, agentCount: number, rate: number) {
  const { api, gateUrl } = product;
  const client = new Agent({ connections: 256, pipelining: 1, keepAliveTimeout: 30_000 });
  const servers: MeasuredProcess[] = [];
  /** Of each kind, from when a call was due to its last answer, milliseconds. */
  const latencies = new Map<Kind, number[]>(MIX.map(([kind]) => [kind, []]));
  const errors: string[] = [];
  let calls = 0;

  /** Registers upstreams, prices and agents. */
  async function prepare(): Promise<ScriptedAgent[]> {
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
    for (let index = 0; index < agentCount; index++) {
      const agent = await newAgent(product);
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

  /** Begins calls at their moments until the time is over, and waits for the last of them. */
  async function steady(agents: readonly ScriptedAgent[], minutes: number): Promise<void> {
    const perSecond = agentCount * rate;
    const total = Math.round(perSecond * minutes * 60);
    const begun = performance.now();
    const running = new Set<Promise<void>>();
    // A call id is never used twice.
    const first = calls;
    let next = 0;
    while (next < total) {
      const now = performance.now();
      for (; next < total && begun + (next * 1000) / perSecond <= now; next++) {
        const one = callAt(agents, first + next, begun + (next * 1000) / perSecond).finally(() => running.delete(one));
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
    let place = (Math.floor(n / agentCount) * 37 + n * 17) % 100;
    for (const [kind, share] of MIX) {
      if (place < share) return kind;
      place -= share;
    }
    return 'read';
  }

  async function call(kind: Kind, agent: ScriptedAgent, n: number): Promise<void> {
    const atTheGate = (tool: string, args: Record<string, unknown>) => ask(`${gateUrl}/v1/tool-calls`, agent.token, callOf(n, tool, args));
    switch (kind) {
      case 'read':
        return atGate(agent, n, 'read', { path: `docs/plan-${n % 100}.md` });
      case 'exec':
        return atGate(agent, n, 'exec', { command: 'ls docs' });
      case 'denied': {
        const { text } = await atTheGate('exec', { command: `rm -rf / # ${n}` });
        return void expectVerdict(text, 'deny');
      }
      case 'held':
        return waitForPerson(agent, await hold(agent, n));
      case 'mcp':
        return callTool(agent, n);
      case 'http': {
        const { status, text } = await ask(`${gateUrl}/http/site/comments`, agent.token, { text: `A comment, the ${n}th.` });
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
    const { status, text } = await ask(`${gateUrl}/mcp/pages`, token, message, sessionHeaders(session));
    if (status !== 200 || !text.includes('every article has a second reader')) throw new Error(`${status} ${text.slice(0, 200)}`);
  }

  async function chat({ token }: ScriptedAgent, provider: string, stream: boolean): Promise<void> {
    const body = {
      model: 'bench-model',
      max_tokens: 200,
      messages: [{ role: 'user', content: 'Say thank you.' }],
      ...(stream && { stream, stream_options: { include_usage: true } }),
    };
    const { status, text } = await ask(`${gateUrl}/model/${provider}/v1/chat/completions`, token, body);
    if (status !== 200 || !text.includes(stream ? '[DONE]' : 'Thank you.')) throw new Error(`${status} ${text.slice(0, 200)}`);
  }

  function callOf(n: number, tool: string, args: Record<string, unknown>): object {
    return { tool, arguments: args, callId: `load-${n}`, sessionKey: 'agent:load:main', runId: `run-${Math.floor(n / 2_000)}` };
  }

  async function atGate(agent: ScriptedAgent, n: number, tool: string, args: Record<string, unknown>): Promise<void> {
    const { text } = await ask(`${gateUrl}/v1/tool-calls`, agent.token, callOf(n, tool, args));
    await end(agent, expectVerdict(text, 'allow').id);
  }

  async function end({ token }: ScriptedAgent, id: string): Promise<void> {
    const { status, text } = await ask(`${gateUrl}/v1/tool-calls/${id}/outcome`, token, {
      status: 'success',
      output: 'done',
      durationMs: 1,
    });
    if (status !== 200) throw new Error(`${status} ${text.slice(0, 200)}`);
  }

  /** A call that a person has to decide. @returns its id. */
  async function hold({ token }: ScriptedAgent, n: number): Promise<string> {
    const { text } = await ask(`${gateUrl}/v1/tool-calls`, token, callOf(n, 'send_email', { to: 'a@example.org', text: `${n}` }));
    return expectVerdict(text, 'hold').id;
  }

  async function waitForPerson(agent: ScriptedAgent, id: string): Promise<void> {
    for (;;) {
      const answer = await request(`${gateUrl}/v1/tool-calls/${id}?waitMs=20000`, {
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

  async function pendingIds(): Promise<string[]> {
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

  async function decide(ids: readonly string[]): Promise<void> {
    for (let from = 0; from < ids.length; from += 200)
      demand(await api('POST', '/approvals/decide', { ids: ids.slice(from, from + 200), verdict: 'approve', note: 'the load' }), 200);
  }

  function approveAll(): { end: () => Promise<void> } {
    return repeat(APPROVE_MS, async () => decide(await pendingIds()));
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

  async function close(): Promise<void> {
    await client.destroy();
    for (const server of servers) await server.stop();
  }

  return {
    prepare,
    steady,
    atGate,
    callOf,
    ask,
    hold,
    waitForPerson,
    pendingIds,
    decide,
    approveAll,
    repeat,
    close,
    latencies,
    errors,
    client,
    calls: () => calls,
  };
}
