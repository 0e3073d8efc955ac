import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decide, usePolicy } from '../support/calls.ts';
import { sendBytes } from '../support/wire.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type EchoUpstream, startEchoUpstream } from './echo-upstream.ts';

let world: World;
let upstream: EchoUpstream;
beforeAll(async () => {
  upstream = await startEchoUpstream();
  world = await startWorld();
});
afterAll(async () => {
  await world.close();
  await upstream.close();
});

interface Body {
  code: string;
  detail: string;
  approvalId: string;
  approvalNumber: number;
  reasons: { code: string; policyPath: string }[];
}
interface Call {
  id: string;
  tool: string;
  mappedTool: string;
  entry: string;
  risk: string;
  status: string;
  output: string | null;
  error: string | null;
  cost: number | null;
  input: Record<string, unknown>;
}

const ROUTES = [
  { method: 'GET', path: '/items/**', tool: 'read_items', risk: 'green' },
  { method: 'POST', path: '/items', tool: 'add_item', risk: 'yellow' },
  { method: 'POST', path: '/danger', tool: 'danger', risk: 'red' },
  { method: 'POST', path: '/mail', tool: 'send_email', risk: 'green' },
  { method: 'GET', path: '/{what}', tool: 'look', risk: 'green' },
  { method: 'GET', path: '/status/{n}', tool: 'look', risk: 'green' },
];

async function newTool(fields: Record<string, unknown> = {}): Promise<{ id: string; name: string }> {
  const name = `rest-${Math.random().toString(36).slice(2, 10)}`;
  const made = await world.api<{ id: string; name: string }>('POST', '/upstreams', {
    name,
    kind: 'http',
    url: `${upstream.url}/v1`,
    secret: 'upstream-secret-1',
    allowPrivate: true,
    routes: ROUTES,
    ...fields,
  });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return made.body;
}

function ask(token: string | null, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { ...(token !== null && { authorization: `Bearer ${token}` }), ...(init.headers as Record<string, string>) };
  return fetch(`${world.gateUrl}/http/${path}`, { redirect: 'manual', ...init, headers });
}
const postJson = (token: string, path: string, body: unknown, headers: Record<string, string> = {}) =>
  ask(token, path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
const bodyOf = async (answer: Response) => (await answer.json()) as Body;
const lastSeen = () => upstream.seen.at(-1);

async function callsOf(agentId: string, isIt: (calls: Call[]) => boolean): Promise<Call[]> {
  const answer = await until(
    () => world.api<{ items: Call[] }>('GET', `/tool-calls?agentId=${agentId}`),
    (page) => isIt(page.body.items),
  );
  return answer.body.items;
}
const oneEnded = (calls: Call[]) => calls.length === 1 && calls[0]?.status !== 'running';

describe('a request to an HTTP tool', () => {
  it('goes out as it came, with the secret of the upstream instead of the credential of the agent', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const answer = await ask(agent.token, `${tool.name}/items/a%20b?x=1&x=2`, {
      headers: {
        'x-api-key': agent.token,
        cookie: 'mc_session=stolen; a=b',
        'x-forwarded-host': 'evil.example',
        'x-original-url': '/admin',
        'x-mc-run': 'run-1',
        'x-own': 'kept',
      },
    });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-echo')).toBe('yes');
    expect(await answer.json()).toEqual({ method: 'GET', url: '/v1/items/a%20b?x=1&x=2', body: '' });
    const { headers } = lastSeen() ?? { headers: {} };
    expect(headers).toMatchObject({ authorization: 'Bearer upstream-secret-1', host: new URL(upstream.url).host, 'x-own': 'kept' });
    expect(JSON.stringify(headers)).not.toMatch(/mca_|stolen|evil|x-original|x-mc-/);
    const [call] = await callsOf(agent.id, oneEnded);
    expect(call).toMatchObject({ entry: 'http', tool: `${tool.name}__read_items`, risk: 'green', status: 'success' });
    expect(call?.input).toMatchObject({ method: 'GET', path: '/items/a%20b', query: { x: ['1', '2'] }, headers: { 'x-own': 'kept' } });
    expect(call?.output).toMatch(/^HTTP 200, \d+ bytes\n\{"method":"GET"/);
  });

  it.each([
    ['X-Api-Key: the key', 'x-api-key', 'the key'],
    ['Authorization: Basic dXNlcjpw', 'authorization', 'Basic dXNlcjpw'],
    ['Host: evil.example', 'authorization', 'Bearer Host: evil.example'],
  ])('shows the secret as the upstream wants it: %s', async (secret, name, value) => {
    const agent = await newAgent(world);
    const tool = await newTool({ secret });
    const headers = { 'x-api-key': 'of the agent' };
    expect((await ask(agent.token, `${tool.name}/items/1`, { headers })).status).toBe(200);
    expect(lastSeen()?.headers).toMatchObject({ [name]: value, host: new URL(upstream.url).host });
    expect(JSON.stringify(lastSeen()?.headers)).not.toContain('of the agent');
  });

  it('belongs to the task, run and session that it names, and to no task of another', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [agent.id] });
    const headers = { 'x-mc-task': task.body.id, 'x-mc-run': 'run-7', 'x-mc-session': 'session-7' };
    expect((await ask(agent.token, `${tool.name}/items/1`, { headers })).status).toBe(200);
    const [call] = await callsOf(agent.id, oneEnded);
    expect(call).toMatchObject({ taskId: task.body.id, runId: 'run-7', sessionKey: 'session-7' });
    const other = await newAgent(world);
    const foreign = await ask(other.token, `${tool.name}/items/1`, { headers });
    expect([foreign.status, (await bodyOf(foreign)).code]).toEqual([403, 'FOREIGN_TASK']);
  });

  it('of an agent whose gate is silent is judged as an intern’s', async () => {
    const gateway = await world.api<{ id: string }>('POST', '/gateways', { name: 'silent' });
    const agent = await newAgent(world, { gatewayId: gateway.body.id, externalId: 'main', gate: 'openclaw' });
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 0 } });
    expect((await ask(agent.token, `${tool.name}/items/1`)).status).toBe(200);
    const yellow = await bodyOf(await postJson(agent.token, `${tool.name}/items`, {}));
    expect(yellow.reasons.map(({ code }) => code)).toEqual(['YELLOW_INTERN']);
  });

  it('sends the very bytes that were judged', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const text = '{ "b" : 1.0,\n  "a":"\\u00e9" }';
    expect((await postJson(agent.token, `${tool.name}/items`, text)).status).toBe(200);
    expect(lastSeen()?.body).toBe(text);
    const [call] = await callsOf(agent.id, oneEnded);
    expect(call?.input.body).toEqual({ b: 1, a: 'é' });
  });

  it('is refused without the token of an agent', async () => {
    const tool = await newTool();
    const before = upstream.seen.length;
    const gateway = await world.api<{ token: string }>('POST', '/gateways', { name: `g-${tool.name}` });
    expect((await ask(null, `${tool.name}/items/1`)).status).toBe(401);
    expect((await ask('mca_wrong', `${tool.name}/items/1`)).status).toBe(401);
    expect((await ask('test-admin-token-0123456789', `${tool.name}/items/1`)).status).toBe(401);
    const asGateway = await ask(gateway.body.token, `${tool.name}/items/1`);
    expect([asGateway.status, (await bodyOf(asGateway)).code]).toEqual([403, 'AGENT_TOKEN_REQUIRED']);
    const agent = await newAgent(world);
    expect((await ask(agent.token, 'no-such-tool/items')).status).toBe(404);
    expect(upstream.seen.length).toBe(before);
  });

  it('is unknown, and so held, where no route covers it; a stricter policy wins over the route', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 0 }, riskMap: { [`${tool.name}__add_item`]: 'red' } });
    const unnamed = await bodyOf(await ask(agent.token, `${tool.name}/items/1`, { method: 'DELETE' }));
    expect(unnamed.reasons.map(({ code }) => code)).toContain('UNKNOWN_TOOL');
    const stricter = await bodyOf(await postJson(agent.token, `${tool.name}/items`, {}));
    expect([stricter.code, stricter.reasons[0]?.code]).toEqual(['APPROVAL_PENDING', 'RED_ACTION']);
    // A route that names a tool of the plan is that tool, whatever risk it was given.
    const mail = await bodyOf(await postJson(agent.token, `${tool.name}/mail`, { to: 'a@b.example' }));
    expect(mail.reasons.map(({ code }) => code)).toEqual(['RED_ACTION', 'PROD_EXTERNAL']);
    const calls = await callsOf(agent.id, (items) => items.length === 3);
    expect(calls.find((call) => call.tool === `${tool.name}__send_email`)).toMatchObject({ mappedTool: 'send_email', risk: 'red' });
    expect(calls.some((call) => call.tool === `${tool.name}__DELETE`)).toBe(true);
  });

  it('is judged by what it carries: secrets are held, private addresses refused', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 0 } });
    const secret = await bodyOf(await postJson(agent.token, `${tool.name}/items`, { note: `ghp_${'a1B2'.repeat(9)}` }));
    expect(secret.reasons.map(({ code }) => code)).toContain('SECRETS');
    const inside = await postJson(agent.token, `${tool.name}/items`, { hook: { callbackUrl: 'http://169.254.169.254/latest' } });
    expect([inside.status, (await bodyOf(inside)).code]).toEqual([403, 'NET_NOT_ALLOWLISTED']);
    const form = await ask(agent.token, `${tool.name}/items`, { method: 'POST', body: new URLSearchParams({ url: 'http://10.0.0.1/' }) });
    expect((await bodyOf(form)).code).toBe('NET_NOT_ALLOWLISTED');
  });

  it.each([
    ['a key twice', '{"a":1,"a":2}', 'application/json', 'AMBIGUOUS_JSON'],
    ['a key twice, called text', '{"a":1,"a":2}', 'text/plain', 'AMBIGUOUS_JSON'],
    ['no JSON', '{"a":', 'application/json', 'BAD_JSON'],
    ['another method', '_method=DELETE', 'application/x-www-form-urlencoded', 'METHOD_OVERRIDE'],
  ])('is refused where its body could be read in two ways: %s', async (_, body, type, code) => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const before = upstream.seen.length;
    const answer = await ask(agent.token, `${tool.name}/items`, { method: 'POST', headers: { 'content-type': type }, body });
    expect([answer.status, (await bodyOf(answer)).code]).toEqual([400, code]);
    expect(upstream.seen.length).toBe(before);
  });

  it('is refused where its body is compressed or its method shows our credential', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const packed = await postJson(agent.token, `${tool.name}/items`, '{}', { 'content-encoding': 'gzip' });
    expect([packed.status, (await bodyOf(packed)).code]).toEqual([415, 'CONTENT_ENCODING']);
    const head = `TRACE /http/${tool.name}/items HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${agent.token}\r\n\r\n`;
    expect((await sendBytes(world.gateUrl, [head], { waitMs: 1_000 })).statuses).toEqual([405]);
  });

  it.each(['/../admin', '/items/%2e%2e/%2e%2e/admin', '/items/..%2fadmin', '/items//1', '/items/%252e%252e'])(
    'is refused where its path is not plain: %s',
    async (path) => {
      const agent = await newAgent(world);
      const tool = await newTool();
      const before = upstream.seen.length;
      const head = `GET /http/${tool.name}${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer ${agent.token}\r\n\r\n`;
      expect((await sendBytes(world.gateUrl, [head])).statuses).toEqual([400]);
      expect(upstream.seen.length).toBe(before);
    },
  );

  it('cannot be smuggled: of a request with two lengths nothing goes out', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const before = upstream.seen.length;
    const lines = (...more: string[]) =>
      [
        `POST /http/${tool.name}/items HTTP/1.1`,
        'host: x',
        `authorization: Bearer ${agent.token}`,
        'content-type: text/plain',
        ...more,
        '',
        '',
      ].join('\r\n');
    const inner = `GET /http/${tool.name}/danger HTTP/1.1\r\nhost: x\r\n\r\n`;
    for (const request of [
      `${lines('content-length: 4', 'transfer-encoding: chunked')}0\r\n\r\n${inner}`,
      `${lines('content-length: 4', 'content-length: 5')}abcde${inner}`,
      `${lines('transfer-encoding: chunked, identity')}0\r\n\r\n${inner}`,
      `${lines('transfer-encoding : chunked')}0\r\n\r\n${inner}`,
      `${lines('content-length: +4')}abcd${inner}`,
    ])
      expect((await sendBytes(world.gateUrl, [request], { waitMs: 1_000 })).statuses).toEqual([400]);
    expect(upstream.seen.length).toBe(before);
  });

  it('is bounded in its head and its body', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const before = upstream.seen.length;
    const large = `POST /http/${tool.name}/items HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${agent.token}\r\ncontent-length: ${4 * 1024 * 1024 + 1}\r\n\r\n`;
    const answer = await sendBytes(world.gateUrl, [large]);
    expect([answer.statuses, answer.closed]).toEqual([[413], true]);
    const huge = await ask(agent.token, `${tool.name}/items/1`, { headers: { 'x-huge': 'h'.repeat(20_000) } });
    expect(huge.status).toBe(431);
    expect(upstream.seen.length).toBe(before);
  });
});

describe('a held request', () => {
  it('waits on its connection and runs when it is approved', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 60_000 } });
    const answer = postJson(agent.token, `${tool.name}/danger`, { n: 1 });
    const pending = await until(
      () => world.api<{ items: { id: string }[] }>('GET', `/approvals?status=pending&agentId=${agent.id}`),
      (page) => page.body.items.length === 1,
    );
    const before = upstream.seen.length;
    await decide(world, pending.body.items[0]?.id ?? '', 'approve');
    expect((await answer).status).toBe(200);
    expect(upstream.seen.length).toBe(before + 1);
  });

  it('ends with 403 and the approval; the repeat after the decision runs once, another body is another call', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 0 } });
    const before = upstream.seen.length;
    const first = await postJson(agent.token, `${tool.name}/danger`, { n: 2 });
    expect([first.status, first.headers.get('content-type')]).toEqual([403, 'application/problem+json']);
    const held = await bodyOf(first);
    expect(held.code).toBe('APPROVAL_PENDING');
    const again = await bodyOf(
      await postJson(
        agent.token,
        `${tool.name}/danger`,
        { n: 2 },
        { 'idempotency-key': 'another', 'x-stainless-retry-count': '1', accept: 'x/y' },
      ),
    );
    const otherwise = await bodyOf(await postJson(agent.token, `${tool.name}/danger`, { n: 2 }, { 'x-tenant': 'another' }));
    expect(otherwise.approvalId).not.toBe(held.approvalId);
    expect(again.approvalId).toBe(held.approvalId);
    await decide(world, held.approvalId, 'approve');
    const other = await bodyOf(await postJson(agent.token, `${tool.name}/danger`, { n: 3 }));
    expect(other.approvalId).not.toBe(held.approvalId);
    const repeats = await Promise.all([1, 2, 3].map(() => postJson(agent.token, `${tool.name}/danger`, { n: 2 })));
    expect(repeats.map((repeat) => repeat.status).toSorted()).toEqual([200, 403, 403]);
    expect(upstream.seen.slice(before).map((seen) => seen.body)).toEqual(['{"n":2}']);
  });

  it("runs with the approver's edit, but not as another tool", async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 0 } });
    const held = await bodyOf(await postJson(agent.token, `${tool.name}/danger?level=9`, { n: 4 }));
    const edited = {
      method: 'POST',
      path: '/danger',
      query: { level: '1' },
      headers: { 'content-type': 'application/json' },
      body: { n: 5 },
    };
    expect((await decide(world, held.approvalId, 'approve', { arguments: edited })).status).toBe(200);
    expect((await postJson(agent.token, `${tool.name}/danger?level=9`, { n: 4 })).status).toBe(200);
    expect(lastSeen()).toMatchObject({ url: '/v1/danger?level=1', body: '{"n":5}' });

    const next = await bodyOf(await postJson(agent.token, `${tool.name}/danger`, { n: 6 }));
    await decide(world, next.approvalId, 'approve', { arguments: { ...edited, query: {}, path: '/items' } });
    const before = upstream.seen.length;
    const moved = await postJson(agent.token, `${tool.name}/danger`, { n: 6 });
    expect([moved.status, (await bodyOf(moved)).code]).toEqual([400, 'EDIT']);
    expect(upstream.seen.length).toBe(before);
  });

  it('is not sent for a caller that has left', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { holds: { inlineMs: 60_000 } });
    const leaving = new AbortController();
    const answer = ask(agent.token, `${tool.name}/danger`, { method: 'POST', signal: leaving.signal });
    const pending = await until(
      () => world.api<{ items: { id: string }[] }>('GET', `/approvals?status=pending&agentId=${agent.id}`),
      (page) => page.body.items.length === 1,
    );
    leaving.abort();
    await expect(answer).rejects.toThrow();
    const before = upstream.seen.length;
    const approval = pending.body.items[0]?.id ?? '';
    await decide(world, approval, 'approve');
    // It still stands: the repeat takes it up.
    expect((await ask(agent.token, `${tool.name}/danger`, { method: 'POST' })).status).toBe(200);
    expect(upstream.seen.length).toBe(before + 1);
  });
});

describe('an answer', () => {
  it('gives redirects back, keeps sessions of the upstream to itself, and never shows that our credential failed', async () => {
    const agent = await newAgent(world);
    const tool = await newTool();
    const before = upstream.seen.length;
    const moved = await ask(agent.token, `${tool.name}/moved`);
    expect([moved.status, moved.headers.get('location')]).toEqual([302, 'https://elsewhere.example/next']);
    expect(upstream.seen.length).toBe(before + 1);
    expect((await ask(agent.token, `${tool.name}/cookie`)).headers.get('set-cookie')).toBeNull();
    const unauthorized = await ask(agent.token, `${tool.name}/status/401`);
    expect([unauthorized.status, (await bodyOf(unauthorized)).code]).toEqual([502, 'UPSTREAM_UNAVAILABLE']);
    const missing = await ask(agent.token, `${tool.name}/status/404`);
    expect([missing.status, await missing.text()]).toEqual([404, 'status 404']);
    const calls = await callsOf(agent.id, (items) => items.length === 4 && items.every((call) => call.status !== 'running'));
    expect(calls.find((call) => call.error === 'GET /status/404: HTTP 404')?.status).toBe('failed');
    expect(JSON.stringify(calls)).not.toContain('upstream-secret-1');
  });

  it('is cut where it is larger than the upstream may answer, and the record says so', async () => {
    const agent = await newAgent(world);
    const tool = await newTool({ limits: { responseMaxBytes: 1024 * 1024 } });
    // Announced it is refused whole; else it breaks off, so that nobody takes the part for the whole.
    expect((await ask(agent.token, `${tool.name}/large`)).status).toBe(502);
    await expect(ask(agent.token, `${tool.name}/large?chunked=1`).then((answer) => answer.arrayBuffer())).rejects.toThrow();
    const calls = await callsOf(agent.id, (items) => items.length === 2 && items.every((call) => call.status !== 'running'));
    for (const call of calls) expect(call).toMatchObject({ status: 'failed', error: expect.stringContaining('larger than 1048576 bytes') });
  });

  it('takes the price of the tool; nothing where nothing was sent', async () => {
    const agent = await newAgent(world);
    const tool = await newTool({ priceUsd: 0.05 });
    expect((await ask(agent.token, `${tool.name}/items/1`)).status).toBe(200);
    const [call] = await callsOf(agent.id, oneEnded);
    expect(call?.cost).toBe(0.05);
    const unreachable = await newAgent(world);
    const away = await newTool({ priceUsd: 0.05, url: 'http://127.0.0.1:9' });
    expect((await ask(unreachable.token, `${away.name}/items/1`)).status).toBe(502);
    const [failed] = await callsOf(unreachable.id, oneEnded);
    expect(failed).toMatchObject({ status: 'failed', cost: 0 });
  });

  it('ends the exchange wherever the caller leaves: upstream is aborted, the call has its outcome, no place is kept', async () => {
    const agent = await newAgent(world);
    const tool = await newTool({ limits: { concurrency: 1 }, priceUsd: 0.01 });
    for (const path of ['slow', 'stream']) {
      const aborted = upstream.aborted;
      const waiting = upstream.waiting.length;
      const request = httpRequest(`${world.gateUrl}/http/${tool.name}/${path}`, { headers: { authorization: `Bearer ${agent.token}` } });
      request.on('error', () => {}).end();
      await until(
        () => upstream.waiting.length,
        (count) => count > waiting,
      );
      request.destroy();
      await until(
        () => upstream.aborted,
        (count) => count > aborted,
      );
    }
    const calls = await callsOf(agent.id, (items) => items.length === 2 && items.every((call) => call.status !== 'running'));
    expect(calls.map((call) => [call.status, call.cost])).toEqual([
      ['unknown', 0.01],
      ['unknown', 0.01],
    ]);
    // The only place of this upstream is free again.
    expect((await ask(agent.token, `${tool.name}/items/1`)).status).toBe(200);
  });

  it('leaves nothing open, wherever in its way the caller goes: no call, no place, no reservation', async () => {
    const agent = await newAgent(world);
    const tool = await newTool({ limits: { concurrency: 1 }, priceUsd: 0.01 });
    // Each in a session of its own: failing alike again and again in one would be a loop.
    const bytesOf = (part: number) =>
      Buffer.from(
        `POST /http/${tool.name}/slow HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${agent.token}\r\nx-mc-session: s${part}\r\ncontent-length: 40\r\n\r\n${'x'.repeat(40)}`,
      );
    await usePolicy(world, { riskMap: { [`${tool.name}__POST`]: 'green' } });
    const { hostname, port } = new URL(world.gateUrl);
    // Cut at every part of the request, and then later and later while it is judged, recorded and sent.
    for (let part = 0; part < 24; part++) {
      const socket = connect(Number(port), hostname);
      await once(socket, 'connect');
      const bytes = bytesOf(part);
      socket.write(bytes.subarray(0, Math.ceil((bytes.length * Math.min(part, 12)) / 12)));
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, part - 10) * 2));
      socket.destroy();
    }
    const calls = await callsOf(agent.id, (items) => items.every((call) => call.status !== 'running'));
    for (const call of calls)
      expect([call.status, call.cost], call.error ?? '').toEqual(call.status === 'failed' ? ['failed', 0] : ['unknown', 0.01]);
    // Its one place is free, and so is what was reserved.
    expect((await ask(agent.token, `${tool.name}/items/1`)).status).toBe(200);
    const spent = calls.reduce((sum, call) => sum + (call.cost ?? 0), 0.01);
    await until(
      () => world.api<{ todaySpend: number }>('GET', `/agents/${agent.id}`),
      (answer) => Math.abs(answer.body.todaySpend - spent) < 1e-9,
    );
  });

  it('is cut when its agent is quarantined, and at the emergency stop', async () => {
    for (const stop of ['quarantine', 'emergency'] as const) {
      const agent = await newAgent(world);
      const tool = await newTool();
      const waiting = upstream.waiting.length;
      const answer = ask(agent.token, `${tool.name}/slow`);
      await until(
        () => upstream.waiting.length,
        (count) => count > waiting,
      );
      if (stop === 'quarantine') await world.api('POST', `/agents/${agent.id}/quarantine`, { reason: 'test' });
      else await world.api('POST', '/emergency/stop', { reason: 'test' });
      expect((await answer).status).toBe(503);
      expect((await ask(agent.token, `${tool.name}/items/1`)).status).toBe(403);
      const calls = await callsOf(agent.id, (items) => items.some((item) => item.status === 'unknown'));
      expect(calls.filter(({ status }) => status === 'unknown')).toHaveLength(1);
      if (stop === 'emergency') await world.api('POST', '/emergency/resume', { note: 'test' });
    }
  });
});

describe('the bounds of a door', () => {
  it('a tool that fails again and again is left alone, and others are not', async () => {
    const agent = await newAgent(world);
    const failing = await newTool();
    const healthy = await newTool();
    for (let i = 0; i < 5; i++) expect((await ask(agent.token, `${failing.name}/status/500`)).status).toBe(500);
    const before = upstream.seen.length;
    expect((await ask(agent.token, `${failing.name}/items/1`)).status).toBe(502);
    expect(upstream.seen.length).toBe(before);
    expect((await ask(agent.token, `${healthy.name}/items/1`)).status).toBe(200);
    const health = await until(
      () => world.api<{ health: { state: string; lastError: string } }>('GET', `/upstreams/${failing.id}`),
      (answer) => answer.body.health.state === 'down',
    );
    expect(health.body.health.lastError).toBe('HTTP 500');
  });

  it('a request that fails alike again and again is a loop; others that fail are not', async () => {
    const agent = await newAgent(world);
    const tool = await newTool({ routes: [{ method: 'GET', path: '/**', tool: 'get', risk: 'green' }] });
    const codes = async (paths: string[]) => {
      const statuses: number[] = [];
      for (const path of paths) statuses.push((await ask(agent.token, `${tool.name}/${path}/status/404`)).status);
      return statuses;
    };
    expect(await codes(['a', 'b', 'c', 'd', 'e', 'f'])).toEqual(Array(6).fill(404));
    expect(await codes(Array(6).fill('same'))).toEqual([404, 404, 404, 404, 404, 403]);
  });

  it('calls per minute of an agent and a tool, and calls at once, are exact', async () => {
    const agent = await newAgent(world);
    const other = await newAgent(world);
    const tool = await newTool();
    await usePolicy(world, { rates: { callsPerMinute: { [`${tool.name}__read_items`]: 3 } }, limits: { maxConcurrentPerAgent: 2 } });
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await ask(agent.token, `${tool.name}/items/${i}`)).status);
    expect(statuses).toEqual([200, 200, 200, 403, 403]);
    expect((await ask(other.token, `${tool.name}/items/1`)).status).toBe(200);

    const waiting = upstream.waiting.length;
    const slow = [1, 2].map(() => ask(other.token, `${tool.name}/slow`));
    await until(
      () => upstream.waiting.length,
      (count) => count === waiting + 2,
    );
    const third = await ask(other.token, `${tool.name}/look`);
    expect([third.status, (await bodyOf(third)).code]).toEqual([403, 'RATE_LIMIT']);
    for (const response of upstream.waiting.slice(waiting)) response.end('done');
    expect((await Promise.all(slow)).map((answer) => answer.status)).toEqual([200, 200]);
    expect((await ask(other.token, `${tool.name}/look`)).status).toBe(200);
    await usePolicy(world, { rates: {}, limits: { maxConcurrentPerAgent: 256 } });
  });
});
