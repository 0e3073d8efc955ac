import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client as ModernClient, StreamableHTTPClientTransport as ModernTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type CountingServer, startCountingServer } from './counting-server.ts';
import { connect, mapRisks, newUpstream, pendingOf, post } from './gate.ts';
import { modernRuns, startModernServer } from './modern-server.ts';

let world: World;
let counting: CountingServer;
beforeAll(async () => {
  world = await startWorld();
  counting = await startCountingServer();
});
afterAll(async () => {
  await world.close();
  await counting.close();
});

const MODULES = join(import.meta.dirname, '..', '..', 'node_modules', '@modelcontextprotocol');
const everything = [process.execPath, join(MODULES, 'server-everything', 'dist', 'index.js'), 'stdio'];
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text ?? '';

async function modernClient(upstream: string, token: string, capabilities: object = { elicitation: { form: {} } }) {
  const client = new ModernClient({ name: 'test', version: '1.0.0' }, { capabilities, versionNegotiation: { mode: 'auto' } });
  client.setRequestHandler('elicitation/create', async () => ({ action: 'accept' as const, content: { name: 'Ada' } }));
  const transport = new ModernTransport(new URL(`${world.gateUrl}/mcp/${upstream}`), {
    requestInit: { headers: { authorization: `Bearer ${token}` } },
  });
  await client.connect(transport);
  return client;
}

describe('a command', () => {
  it('is a server like any other: server-everything', async () => {
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { command: everything, env: { MCP_TEST: 'yes' } });
    await mapRisks(world, { [`${upstream.name}__*`]: 'green' });
    const { client } = await connect(world, upstream.name, agent.token);
    const { tools } = await client.listTools();
    expect(tools.map((tool) => tool.name)).toEqual(expect.arrayContaining(['echo', 'get-env']));
    expect(textOf(await client.callTool({ name: 'echo', arguments: { message: 'over stdio' } }))).toContain('over stdio');
    const environment = textOf(await client.callTool({ name: 'get-env', arguments: {} }));
    expect(environment).toContain('MCP_TEST');
    expect(environment).not.toContain('MC_ADMIN_TOKEN');
    const progress: number[] = [];
    await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 0.4, steps: 4 } }, undefined, {
      onprogress: ({ progress: done }) => void progress.push(done),
    });
    expect(progress.length).toBeGreaterThan(1);
    expect((await client.listResources()).resources.length).toBeGreaterThan(0);
    expect((await client.listPrompts()).prompts.length).toBeGreaterThan(0);
    await client.close();
  });

  it('works in the folder that it is given: server-filesystem', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'mc-mcp-'));
    writeFileSync(join(folder, 'note.txt'), 'a note');
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, {
      command: [process.execPath, join(MODULES, 'server-filesystem', 'dist', 'index.js'), folder],
    });
    await mapRisks(
      world,
      { [`${upstream.name}__read_text_file`]: 'green' },
      { tools: { [`${upstream.name}__read_text_file`]: { risk: 'green' } } },
    );
    const { client } = await connect(world, upstream.name, agent.token);
    await client.listTools();
    const call = client.callTool({ name: 'read_text_file', arguments: { path: join(folder, 'note.txt') } });
    // The folder is outside of the agent's workspace: a person looks at it, as with any other tool.
    const [approval] = await until(
      () => pendingOf(world, agent.id),
      (list) => list.length === 1,
    );
    expect(approval?.reasons.map((reason) => reason.code)).toContain('FS_READ_OUTSIDE');
    await world.api('POST', `/approvals/${approval?.id}/approve`, { note: 'ok' });
    expect(textOf(await call)).toContain('a note');
    await client.close();
  });

  it('that dies is started again for the next session, and says so to the one it left', async () => {
    const script = join(mkdtempSync(join(tmpdir(), 'mc-mcp-')), 'dies.mjs');
    writeFileSync(
      script,
      `import { createInterface } from 'node:readline';
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method } = JSON.parse(line);
  const say = (result) => console.log(JSON.stringify({ jsonrpc: '2.0', id, result }));
  if (method === 'initialize') say({ protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'dies', version: '1' } });
  if (method === 'tools/list') say({ tools: [{ name: 'die', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } }] });
  if (method === 'tools/call') process.exit(3);
});`,
    );
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { command: [process.execPath, script] });
    const first = await connect(world, upstream.name, agent.token);
    await first.client.listTools();
    await expect(first.client.callTool({ name: 'die', arguments: {} })).rejects.toThrow(/ended while it worked on this.*exit 3/);
    await expect(first.client.listTools()).rejects.toThrow();
    const second = await connect(world, upstream.name, agent.token);
    expect((await second.client.listTools()).tools).toHaveLength(1);
    await second.client.close();
  });

  it('can be one process for all sessions', async () => {
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { command: everything, shared: true });
    await mapRisks(world, { [`${upstream.name}__*`]: 'green' });
    const clients = await Promise.all([1, 2, 3].map(() => connect(world, upstream.name, agent.token)));
    const answers = await Promise.all(
      clients.map(({ client }, i) => client.callTool({ name: 'echo', arguments: { message: `session ${i}` } }).then(textOf)),
    );
    expect(answers).toEqual([0, 1, 2].map((i) => expect.stringContaining(`session ${i}`)));
    await Promise.all(clients.map(({ client }) => client.close()));
  });

  it('that cannot be started is a clear answer, and is left alone after a few tries', async () => {
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { command: ['/nowhere/at-all'] });
    await expect(connect(world, upstream.name, agent.token)).rejects.toThrow(/cannot be started/);
    for (let i = 0; i < 5; i++) await connect(world, upstream.name, agent.token).catch(() => {});
    await expect(connect(world, upstream.name, agent.token)).rejects.toThrow(/tried again in \d+ s/);
    const seen = await until(
      () => world.api<{ health: { state: string; lastError: string } }>('GET', `/upstreams/${upstream.id}`),
      (answer) => answer.body.health.state === 'down',
    );
    expect(seen.body.health.lastError).toContain('cannot be started');
  });
});

describe('a server of the old HTTP+SSE transport', () => {
  it('is spoken to as clients speak today', async () => {
    const old = await startCountingServer({ old: true });
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { url: old.url });
    const { client } = await connect(world, upstream.name, agent.token);
    expect((await client.listTools()).tools.length).toBe(6);
    expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'old' } }))).toBe('echo old');
    await client.close();
    await old.close();
  });
});

describe('the stateless revision', () => {
  it('needs no session: discovery, tools, input that the server asks for', async () => {
    const server = await startModernServer();
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { url: server.url });
    const client = await modernClient(upstream.name, agent.token);
    expect(client.getProtocolEra()).toBe('modern');
    expect((await client.listTools()).tools.map((tool) => tool.name)).toEqual(['echo', 'write', 'ask']);
    expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'modern' } }))).toBe('echo modern');
    expect(textOf(await client.callTool({ name: 'ask', arguments: { text: 'who?' } }))).toBe('accept Ada');
    expect(modernRuns.get('ask:who?')).toBe(1);
    const calls = await until(
      () => world.api<{ items: { tool: string; status: string }[] }>('GET', `/tool-calls?agentId=${agent.id}`),
      (answer) => answer.body.items.filter((item) => item.status === 'success').length === 3,
    );
    // Both rounds of a call are one call.
    expect(calls.body.items.map((item) => item.tool.replace(/^.*__/, '')).toSorted()).toEqual(['ask', 'echo', 'mcp_elicitation']);
    await client.close();
    await server.close();
  });

  it('holds with input_required, and runs once after the approval', async () => {
    const server = await startModernServer();
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { url: server.url, trusted: false });
    const client = await modernClient(upstream.name, agent.token);
    const call = client.callTool({ name: 'write', arguments: { text: 'held' } }, { timeout: 60_000 });
    const [approval] = await until(
      () => pendingOf(world, agent.id),
      (list) => list.length === 1,
    );
    await world.api('POST', `/approvals/${approval?.id}/approve`, { note: 'ok' });
    expect(textOf(await call)).toBe('write held');
    expect(modernRuns.get('write:held')).toBe(1);
    await client.close();
    await server.close();
  });

  it('works over stdio too', async () => {
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { command: [process.execPath, join(import.meta.dirname, 'modern-command.ts')] });
    const client = await modernClient(upstream.name, agent.token);
    expect(client.getProtocolEra()).toBe('modern');
    await client.listTools();
    expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'stdio' } }))).toBe('echo stdio');
    expect(textOf(await client.callTool({ name: 'ask', arguments: { text: 'stdio?' } }))).toBe('accept Ada');
    await client.close();
  });

  it('falls back to the handshake where a server knows no other', async () => {
    const agent = await newAgent(world);
    for (const place of [{ url: counting.url }, { command: everything }]) {
      const upstream = await newUpstream(world, place);
      await mapRisks(world, { [`${upstream.name}__echo`]: 'green' });
      const client = await modernClient(upstream.name, agent.token);
      expect(client.getProtocolEra()).toBe('legacy');
      expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'x', message: 'x' } }))).toMatch(/echo/i);
      await client.close();
    }
  });

  it('refuses a requestState that is not ours, not this request’s or not this agent’s', async () => {
    const server = await startModernServer();
    const [one, two] = [await newAgent(world), await newAgent(world)];
    const upstream = await newUpstream(world, { url: server.url });
    const ask = (token: string, params: object, name = 'ask') => {
      const _meta = {
        'io.modelcontextprotocol/protocolVersion': '2026-07-28',
        'io.modelcontextprotocol/clientInfo': { name: 't', version: '1' },
        'io.modelcontextprotocol/clientCapabilities': { elicitation: { form: {} } },
      };
      const headers = { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': name };
      return post(
        world,
        upstream.name,
        token,
        { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, _meta, ...params } },
        headers,
      );
    };
    const client = await modernClient(upstream.name, one.token);
    await client.listTools();
    const first = (await (await ask(one.token, { arguments: { text: 'a' } })).json()) as {
      result: { resultType: string; requestState: string };
    };
    expect(first.result.resultType).toBe('input_required');
    expect(first.result.requestState).not.toContain('server-state');
    const inputResponses = { who: { action: 'accept', content: { name: 'Eve' } } };
    const { requestState } = first.result;
    for (const [token, params] of [
      [two.token, { arguments: { text: 'a' }, requestState, inputResponses }],
      [one.token, { arguments: { text: 'b' }, requestState, inputResponses }],
      [one.token, { arguments: { text: 'a' }, requestState: `${requestState.slice(0, -2)}xx`, inputResponses }],
    ] as const) {
      const answer = await ask(token, params);
      expect(answer.status).toBe(400);
      expect(await answer.json()).toMatchObject({ error: { code: -32602 } });
    }
    expect(modernRuns.get('ask:a')).toBeUndefined();
    const last = (await (await ask(one.token, { arguments: { text: 'a' }, requestState, inputResponses })).json()) as { result: unknown };
    expect(textOf(last.result)).toBe('accept Eve');
    await client.close();
    await server.close();
  });
});

describe('a server that misbehaves', () => {
  let http: Server;
  let url: string;
  /** What it does with a tool call. */
  let act: (response: import('node:http').ServerResponse, id: number) => void = () => {};
  beforeAll(async () => {
    http = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk) => {
        body += chunk;
      });
      request.on('end', () => {
        if (request.method !== 'POST') return void response.writeHead(405).end();
        const { id, method } = JSON.parse(body) as { id: number; method: string };
        const say = (result: unknown) => {
          response.writeHead(200, { 'content-type': 'application/json' });
          response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
        };
        if (method === 'initialize')
          say({ protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'bad', version: '1' } });
        else if (method === 'tools/list')
          say({ tools: [{ name: 'do', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } }] });
        else if (method === 'tools/call') act(response, id);
        else response.writeHead(202).end();
      });
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
  });
  afterAll(() => {
    http.closeAllConnections();
    http.close();
  });

  it.each<[string, (response: import('node:http').ServerResponse, id: number) => void, RegExp]>([
    ['hangs', () => {}, /did not answer in time/],
    ['dies', (response) => void response.destroy(), /other side closed|ECONNRESET|terminated/],
    [
      'answers garbage',
      (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end('<html>'),
      /no answer to this request/,
    ],
    [
      'answers something else',
      (response, id) =>
        void response
          .writeHead(200, { 'content-type': 'application/json' })
          .end(JSON.stringify({ jsonrpc: '2.0', id: id + 1, result: {} })),
      /no answer to this request/,
    ],
    [
      'ends its stream early',
      (response) => void response.writeHead(200, { 'content-type': 'text/event-stream' }).end('event: message\ndata: nonsense\n\n'),
      /without an answer/,
    ],
    [
      'sends 100 MB',
      (response, id) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.write(`{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"`);
        const block = Buffer.alloc(1024 * 1024, 'x');
        let sent = 0;
        const more = () => {
          while (sent++ < 100) if (!response.write(block)) return void response.once('drain', more);
          response.end('"}]}}');
        };
        more();
      },
      /larger than/,
    ],
    [
      'refuses our credential',
      (response) => void response.writeHead(401, { 'www-authenticate': 'Bearer resource_metadata="http://x"' }).end(),
      /asks for authorization/,
    ],
    ['leads elsewhere', (response) => void response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(), /HTTP 307/],
  ])('that %s gets a clear, bounded answer, and other sessions go on', async (_, misbehave, words) => {
    act = misbehave;
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { url, limits: { timeoutMs: 1_000, responseMaxBytes: 4 * 1024 * 1024 } });
    const good = await newUpstream(world, { url: counting.url });
    const [bad, well] = await Promise.all([connect(world, upstream.name, agent.token), connect(world, good.name, agent.token)]);
    await Promise.all([bad.client.listTools(), well.client.listTools()]);
    const [result, echoed] = await Promise.all([
      bad.client.callTool({ name: 'do', arguments: {} }),
      well.client.callTool({ name: 'echo', arguments: { text: 'undisturbed' } }),
    ]);
    expect(result.isError).toBe(true);
    expect(textOf(result)).toMatch(words);
    expect(textOf(echoed)).toBe('echo undisturbed');
    const record = await until(
      () => world.api<{ items: { tool: string; status: string }[] }>('GET', `/tool-calls?agentId=${agent.id}`),
      (answer) => answer.body.items.some((item) => item.tool === `${upstream.name}__do` && item.status === 'failed'),
    );
    expect(record.status).toBe(200);
    await Promise.all([bad.client.close(), well.client.close()]);
  });
});

describe('many sessions', () => {
  it('at once do not meet', async () => {
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { url: counting.url });
    const sessions = await Promise.all(Array.from({ length: 50 }, () => connect(world, upstream.name, agent.token)));
    await sessions[0]?.client.listTools();
    const answers = await Promise.all(
      sessions.map(({ client }, i) => client.callTool({ name: 'echo', arguments: { text: `s${i}` } }).then(textOf)),
    );
    expect(answers).toEqual(sessions.map((_, i) => `echo s${i}`));
    await Promise.all(sessions.map(({ client }) => client.close()));
  });
});
