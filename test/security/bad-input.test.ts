import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { head, sendBytes, type WireAnswer } from '../support/wire.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { runBadInput } from './bad-input.ts';

/** Both listeners, each with a place that takes a body and a credential that is good there. */
interface Listener {
  name: string;
  url: string;
  path: string;
  token: string;
  body: Record<string, unknown>;
}

const ADMIN = 'test-admin-token-0123456789';
let world: World;
let agent: Awaited<ReturnType<typeof newAgent>>;
let listeners: Listener[];
let slow: Promise<WireAnswer>[];

beforeAll(async () => {
  world = await startWorld({ MC_STDIO: 'off' });
  agent = await newAgent(world);
  const call = { tool: 'post_comment', arguments: { text: 'hello' } };
  listeners = [
    { name: 'gate', url: world.gateUrl, path: '/v1/tool-calls', token: agent.token, body: call },
    { name: 'control', url: world.controlUrl, path: '/api/tasks', token: ADMIN, body: { title: 'A task', type: 'docs' } },
  ];
  // A head that never ends takes its time; it drips while the other tests run.
  slow = listeners.map(({ url, path }) =>
    sendBytes(url, [`POST ${path} HTTP/1.1\r\nhost: x\r\n`, ...Array.from({ length: 100 }, (_, index) => `x-${index}: y\r\n`)], {
      waitMs: 20_000,
      gapMs: 500,
    }),
  );
});
afterAll(() => world.close());

async function post({ url, path, token }: Listener, body: string | Buffer<ArrayBuffer>, headers: Record<string, string> = {}) {
  const response = await fetch(url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    body,
  });
  return { status: response.status, type: response.headers.get('content-type'), text: await response.text() };
}

/** A refusal that a program and a person can read, and that tells nothing of our inside. */
function expectRefusal(answer: { status: number; type: string | null; text: string }, what: string, status?: number): void {
  expect(answer.status, `${what}: ${answer.text.slice(0, 300)}`).toBeGreaterThanOrEqual(400);
  expect(answer.status, `${what}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
  if (status !== undefined) expect(answer.status, what).toBe(status);
  expect(answer.type, what).toContain('application/problem+json');
  const problem = JSON.parse(answer.text) as Record<string, unknown>;
  expect(problem, what).toMatchObject({ status: answer.status, code: expect.any(String), title: expect.any(String) });
  expectNoInside(answer.text, what);
}

function expectNoInside(text: string, what: string): void {
  expect(text, what).not.toMatch(/\n\s+at |node:internal|file:\/\/|node_modules|\.ts:\d/);
}

async function expectStillWorking(): Promise<void> {
  for (const listener of listeners) {
    const answer = await post(listener, JSON.stringify(listener.body));
    expect([200, 201], answer.text).toContain(answer.status);
  }
}

describe('a body that cannot be taken', () => {
  it('is refused: not JSON, not an object, not UTF-8', async () => {
    const bodies: (string | Buffer<ArrayBuffer>)[] = [
      '{',
      '{"tool":}',
      "{'tool':'x'}",
      'null',
      '[]',
      '"text"',
      '17',
      '{"a":1}{"b":2}',
      'NaN',
      '\u0000',
    ];
    bodies.push(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]));
    for (const listener of listeners) {
      for (const body of bodies) expectRefusal(await post(listener, body), `${listener.name} ${body.toString()}`, 400);
    }
    // Where an empty body means {}, a required field is missing.
    for (const listener of listeners) expectRefusal(await post(listener, ''), `${listener.name} empty`, 400);
  });

  it('is refused for its content type', async () => {
    for (const listener of listeners) {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/jsonp', ' ']) {
        expectRefusal(await post(listener, JSON.stringify(listener.body), { 'content-type': type }), `${listener.name} ${type}`);
      }
    }
  });

  it('is refused for its size before it is read to the end', async () => {
    const body = Buffer.from(JSON.stringify({ tool: 'x', arguments: { text: 'x'.repeat(10 * 1024 * 1024) } }));
    for (const { name, url, path, token } of listeners) {
      const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const declared = await sendBytes(url, [head(`POST ${path} HTTP/1.1`, { ...headers, 'content-length': body.length })]);
      expect(declared.statuses, name).toEqual([413]);
      expect(declared.text, name).toContain('application/problem+json');
      expect(declared.text, name).toMatch(/^connection: close\r$/im);
      const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000, 0x20), Buffer.from('\r\n')]);
      const streamed = await sendBytes(url, [
        head(`POST ${path} HTTP/1.1`, { ...headers, 'transfer-encoding': 'chunked' }),
        ...Array(10).fill(chunk),
      ]);
      // Either the answer came through, or the connection was closed under a client that went on sending.
      expect(streamed.statuses.length === 0 ? streamed.closed : streamed.statuses[0] === 413, name).toBe(true);
    }
    await expectStillWorking();
  });

  it('is refused for its depth, however deep', async () => {
    for (const listener of listeners) {
      for (const depth of [100, 10_000, 200_000]) {
        for (const [open, close] of [
          ['[', ']'],
          ['{"a":', '}'],
        ] as const) {
          const inner = open.repeat(depth) + (open === '[' ? '' : '1') + close.repeat(depth);
          const body = `{"tool":"x","title":"x","type":"docs",${listener.name === 'gate' ? '"arguments"' : '"metadata"'}:{"a":${inner}}}`;
          expectRefusal(
            await post(listener, body),
            `${listener.name} ${open} ${depth}`,
            body.length > 1024 * 1024 && listener.name === 'control' ? 413 : 400,
          );
        }
      }
    }
    await expectStillWorking();
  });

  it('costs no memory that stays', async () => {
    const rss = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${world.pid()}/status`, 'utf8'))?.[1]) / 1024;
    const large = JSON.stringify({ tool: 'x', arguments: { text: 'x'.repeat(3_900_000) }, nope: 1 });
    const deep = `{"arguments":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
    // Control answers before it has read all of a large body and closes: then the client may see no more than that.
    const send = (listener: Listener, body: string) =>
      post(listener, body).then(
        (answer) => answer.status,
        () => 413,
      );
    for (let round = 0; round < 5; round++) for (const listener of listeners) await send(listener, round % 2 ? large : deep);
    const before = rss();
    for (let round = 0; round < 60; round++) {
      for (const listener of listeners) expect(await send(listener, round % 2 ? large : deep)).toBeGreaterThanOrEqual(400);
    }
    // 240 MB went through; a leak of the bodies would show as that much.
    expect(rss() - before).toBeLessThan(150);
  });
});

describe('a field of the wrong type at the gate', () => {
  const wrong: Record<string, unknown[]> = {
    tool: [undefined, null, 1, true, [], {}, '', 'x'.repeat(300), 'a\u0000b', 'a\ud800b'],
    arguments: [undefined, null, 1, 'x', true, []],
    callId: [null, 1, true, [], {}, '', 'x'.repeat(600), '\u0000', '\udfff'],
    agentId: [null, 1, [], {}, '', 'x'.repeat(300), '\u0000'],
    sessionKey: [null, 1, [], {}, 'x'.repeat(600), '\u0000', '\ud800'],
    runId: [null, 1, [], {}, 'x'.repeat(300), '\u0000'],
    taskId: [null, 1, [], {}, 'x'.repeat(200), '\u0000'],
    cwd: [null, 1, [], {}, 'x'.repeat(5_000), '/a\u0000b'],
    workspace: [null, 1, [], {}, 'x'.repeat(5_000), '/a\u0000b'],
    toolKind: [null, 1, [], {}, 'x'.repeat(100), '\u0000'],
    traceId: [null, 1, [], {}, 'x'.repeat(200), '\u0000'],
    surplus: [1],
  };
  for (const [field, values] of Object.entries(wrong)) {
    it(`${field} answers 400 and names it`, async () => {
      for (const value of values) {
        const { tool, arguments: args } = { tool: 'post_comment', arguments: {} };
        const answer = await world.gate('POST', '/v1/tool-calls', { tool, arguments: args, [field]: value }, agent.token);
        expect([answer.status, answer.body.code], `${field} = ${JSON.stringify(value)?.slice(0, 50)}`).toEqual([400, 'MALFORMED']);
        expect(String(answer.body.detail)).toContain(field === 'surplus' ? 'surplus' : field);
      }
    });
  }

  it('of an outcome, a run check and a heartbeat answers 400 too', async () => {
    const allowed = await world.gate<{ id: string }>('POST', '/v1/tool-calls', { tool: 'post_comment', arguments: {} }, agent.token);
    const bad = { status: 'success', durationMs: 1 };
    const bodies: Record<string, unknown>[] = [
      {},
      { ...bad, status: 'done' },
      { ...bad, durationMs: -1 },
      { ...bad, durationMs: '1' },
      { ...bad, durationMs: 1e300 },
      { ...bad, usage: { costUsd: -1 } },
      { ...bad, usage: { costUsd: 'free' } },
      { ...bad, usage: 7 },
      { ...bad, error: 7 },
      { ...bad, cost: 7 },
    ];
    for (const body of bodies) {
      const answer = await world.gate('POST', `/v1/tool-calls/${allowed.body.id}/outcome`, body, agent.token);
      expect([answer.status, answer.body.code], JSON.stringify(body)).toEqual([400, 'MALFORMED']);
    }
    for (const body of [{ runId: 1 }, { runId: '\u0000' }, { what: 1 }]) {
      expect((await world.gate('POST', '/v1/runs/check', body, agent.token)).status).toBe(400);
    }
    for (const body of [{}, { pluginVersion: 1 }, { pluginVersion: '1', agents: 'all' }, { pluginVersion: '1', sessions: -1 }]) {
      expect((await world.gate('POST', '/v1/heartbeats', body, agent.token)).status).toBe(400);
    }
  });
});

describe('text that no database takes', () => {
  it('in arguments and results is recorded in a form that can be stored, and holds up nothing behind it', async () => {
    const emoji = '😀'.repeat(40_000);
    const odd: Record<string, unknown>[] = [
      { text: 'nul \u0000 here' },
      { text: 'half \ud800 pair' },
      { 'key \u0000': { 'key \udc00': ['\u0000', '\ud83d'] } },
      { ['__proto__']: { a: 1 }, constructor: 'x', toString: 'y' },
      { text: `x${emoji}` },
      { text: emoji },
      Object.fromEntries([
        [`${'k'.repeat(500_000)}\ud800`, 1],
        ['command', `${'y'.repeat(299)}😀`],
      ]),
      { backslashes: '\\u0000 \\\\u0000 \\\\\\\u0000' },
      { number: 1e308, tiny: 5e-324, negative: -0 },
    ];
    const ids: string[] = [];
    for (const [index, args] of odd.entries()) {
      const answer = await world.gate<{ id: string; verdict: string }>(
        'POST',
        '/v1/tool-calls',
        { tool: 'post_comment', arguments: args, callId: `odd-${index}`, runId: 'odd', sessionKey: `odd-${index}` },
        agent.token,
      );
      expect(answer.status, JSON.stringify(args).slice(0, 80)).toBe(200);
      for (const [what, outcome] of [
        ['outcome', { output: index % 2 ? `y${emoji}` : { nested: ['\u0000', '\ud800'] }, error: `\u0000${'e\ud83d'.repeat(60_000)}` }],
      ] as const) {
        const ended = await world.gate(
          'POST',
          `/v1/tool-calls/${answer.body.id}/outcome`,
          { status: 'failed', durationMs: 1, ...outcome },
          agent.token,
        );
        expect(ended.status, what).toBe(200);
      }
      ids.push(answer.body.id);
    }
    for (const id of ids) {
      const record = await until(
        () => world.api<{ status: string; input: object }>('GET', `/tool-calls/${id}`),
        (answer) => answer.body.status === 'failed',
      );
      expect(JSON.stringify(record.body).length).toBeLessThan(300_000);
    }
    // A held one goes another way: to the card, and sealed to the approver's edit.
    const held = await world.gate<{ approvalId: string; id: string }>(
      'POST',
      '/v1/tool-calls',
      { tool: 'send_email', arguments: { to: 'a@example.org', body: 'x\u0000y\ud800z' }, callId: 'odd-held' },
      agent.token,
    );
    expect(held.status).toBe(202);
    const card = await world.api<{ arguments: { body: string } }>('GET', `/approvals/${held.body.approvalId}`);
    expect(card.body.arguments.body).toBe('x\u2400y\ufffdz');
    const edited = { ...card.body.arguments, to: 'b@example.org' };
    expect((await world.api('POST', `/approvals/${held.body.approvalId}/approve`, { note: 'ok', arguments: edited })).status).toBe(200);
    const released = await world.gate<{ arguments: object }>('GET', `/v1/tool-calls/${held.body.id}`, undefined, agent.token);
    expect(released.body.arguments).toEqual({ to: 'b@example.org', body: 'x\u0000y\ud800z' });
    expect(await world.api('GET', '/audit/verify')).toMatchObject({ body: { ok: true } });
  });

  it('in a body, path or query of the control API is refused', async () => {
    const tried: [method: string, path: string, body?: unknown][] = [
      ['POST', '/tasks', { title: 'a\u0000b', type: 'docs' }],
      ['POST', '/tasks', { title: 'a\ud800b', type: 'docs' }],
      ['POST', '/tasks', { title: 'ab', type: 'docs', metadata: { a: [{ '\u0000': '\udc00' }] } }],
      ['POST', '/agents', { name: 'a\u0000' }],
      ['POST', '/policies', { document: 'riskMap: {"\u0000": red}', note: 'x' }],
      ['GET', '/agents/%00'],
      ['GET', '/tool-calls?agentId=%00'],
      ['GET', '/audit?action=%00'],
      ['POST', '/agents/%00/pause', {}],
    ];
    for (const [method, path, body] of tried) {
      const answer = await world.api(method, path, body);
      expect([answer.status, answer.body.code], `${method} ${path} ${JSON.stringify(body)}`).toEqual([400, 'BAD_TEXT']);
    }
  });

  it('is judged by the simulator all the same', async () => {
    const cases = ['ls \u0000', 'ls \ud800'].map((command, index) => ({
      id: `c${index}`,
      tool: 'exec',
      arguments: { command },
      agent: { autonomy: 'specialist', status: 'active' },
    }));
    const answer = await world.api<{ results: { verdict: string }[] }>('POST', '/policies/simulate', { cases });
    expect(answer.body.results.map((result) => result.verdict)).toEqual(['hold', 'hold']);
  });
});

describe('cursors, numbers and headers of the control API', () => {
  it('that are not ours answer 400', async () => {
    const cursor = (key: unknown) => Buffer.from(JSON.stringify(key)).toString('base64url');
    const lists = ['approvals', 'tasks', 'tool-calls', 'runs', 'activities', 'alerts', 'audit'];
    const keys = [['abc'], [1.5], [], {}, 'x', [null], [1, 2, 3], ['\u0000', '\u0000'], [1, '\u0000'], [2 ** 60]];
    for (const list of lists) {
      for (const text of [...keys.map(cursor), '%%%', 'AAAA', '!']) {
        const answer = await world.api('GET', `/${list}?cursor=${encodeURIComponent(text)}`);
        expect([answer.status, answer.body.code], `${list} ${text}`).toEqual([400, 'BAD_CURSOR']);
      }
      for (const limit of ['0', '-1', '501', '1.5', 'many', '']) {
        expect((await world.api('GET', `/${list}?limit=${limit}`)).status, `${list} ${limit}`).toBe(400);
      }
      expect((await world.api('GET', `/${list}?unknown=1`)).status).toBe(400);
    }
  });

  it('amounts of money that are no whole micro-dollars answer 400', async () => {
    for (const amount of [-1, 0.0000001, 0.1234567, 1_000_001, 1e308, '5']) {
      expect((await world.api('POST', '/agents', { name: `money-${amount}`, budgets: { dailyCap: amount } })).status, String(amount)).toBe(
        400,
      );
      expect((await world.api('POST', '/tasks', { title: 'x', type: 'docs', budget: amount })).status, String(amount)).toBe(400);
    }
  });

  it('If-Match, Idempotency-Key and Last-Event-ID are bounded and read strictly', async () => {
    const send = (headers: Record<string, string>, path = '/tasks', method = 'POST') =>
      fetch(`${world.controlUrl}/api${path}`, {
        method,
        headers: { authorization: `Bearer ${ADMIN}`, 'content-type': 'application/json', ...headers },
        ...(method === 'GET' ? {} : { body: JSON.stringify({ title: 'x', type: 'docs' }) }),
      });
    expect((await send({ 'idempotency-key': 'x'.repeat(201) })).status).toBe(400);
    expect((await send({ 'if-match': 'three' }, `/agents/${agent.id}`, 'PATCH')).status).toBe(400);
    // Too long for an index of the database, and random, so that it does not compress.
    const long = Array.from({ length: 400 }, () => Math.random().toString(36).slice(2)).join('');
    expect((await send({ 'idempotency-key': 'long-path' }, `/agents/${long}/pause`)).status).toBe(400);
    expect((await send({ 'idempotency-key': 'long-path' }, `/${long}`)).status).toBe(404);
    for (const id of ['abc', '-1', '9'.repeat(15), '9'.repeat(40), '']) {
      const stream = await send({ 'last-event-id': id }, '/events', 'GET');
      expect(stream.status, id).toBe(200);
      await stream.body?.cancel();
    }
  });
});

describe('a campaign of generated requests', () => {
  it('to all three listeners is answered without an error of ours, a trace, a secret or a second answer', async () => {
    const report = await runBadInput(world, { requests: 400, seed: 20_261_123 });
    expect(report.findings).toEqual([]);
    expect(report.sent).toBe(400);
    // Not refused at the first door: a campaign that never gets in proves little.
    for (const status of ['200', '400', '401', '403', '404', '407', '431']) expect(report.statuses).toHaveProperty(status);
  }, 180_000);
});

describe('requests that are not quite HTTP', () => {
  const refusedOrClosed = (answer: WireAnswer) =>
    answer.statuses.length === 0 || answer.statuses.every((status) => status >= 400 && status < 500);

  it('are refused or their connection closed, on both listeners', async () => {
    for (const { name, url, path, token } of listeners) {
      const auth = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const json = '{"tool":"post_comment","arguments":{}}';
      const requests: Record<string, (string | Buffer)[]> = {
        garbage: [Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])],
        'http/2 preface': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
        'no version': [`GET ${path}\r\n\r\n`],
        'unknown version': [`GET ${path} HTTP/3.7\r\nhost: x\r\n\r\n`],
        'unknown method': [head(`BREW ${path} HTTP/1.1`, auth)],
        CONNECT: [head('CONNECT example.org:443 HTTP/1.1', auth)],
        TRACE: [head(`TRACE ${path} HTTP/1.1`, auth)],
        PUT: [head(`PUT ${path} HTTP/1.1`, { ...auth, 'content-length': 2 }), '{}'],
        'OPTIONS *': [head('OPTIONS * HTTP/1.1')],
        'no host': [`POST ${path} HTTP/1.1\r\ncontent-length: 0\r\n\r\n`],
        'two hosts': [`GET ${path} HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n`],
        'host that is none': [head(`POST ${path} HTTP/1.1`, { ...auth, host: 'a b/c' })],
        'header without a name': [`GET ${path} HTTP/1.1\r\nhost: x\r\n: y\r\n\r\n`],
        'header with NUL': [`GET ${path} HTTP/1.1\r\nhost: x\r\nx-a: b\u0000c\r\n\r\n`],
        'space before colon': [`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length : 2\r\n\r\n{}`],
        'folded header': [`GET ${path} HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c\r\n\r\n`],
        'bare line feeds': [`GET ${path} HTTP/1.1\nhost: x\n\n`],
        'a head of 20 KB': [head(`GET ${path} HTTP/1.1`, { 'x-a': 'y'.repeat(20_000) })],
        'a path of 20 KB': [head(`GET /${'y'.repeat(20_000)} HTTP/1.1`)],
        'two lengths': [`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}x`],
        'length and chunks': [
          head(`POST ${path} HTTP/1.1`, { ...auth, 'content-length': 4, 'transfer-encoding': 'chunked' }),
          '0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n',
        ],
        'unknown coding': [head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'chunked, identity' }), '0\r\n\r\n'],
        'smuggled coding': [head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'xchunked' }), '0\r\n\r\n'],
        'length below zero': [head(`POST ${path} HTTP/1.1`, { ...auth, 'content-length': -5 })],
        'length in hex': [head(`POST ${path} HTTP/1.1`, { ...auth, 'content-length': '0x10' }), json],
        'chunk that lies': [head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'chunked' }), 'zz\r\nxx\r\n0\r\n\r\n'],
        'chunk too large': [head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'chunked' }), 'ffffffffffffffffff\r\nx'],
        'an expectation': [head(`POST ${path} HTTP/1.1`, { ...auth, expect: 'tea', 'content-length': 2 }), '{}'],
        'chunks and length': [
          head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'chunked', 'content-length': 60 }),
          '0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n',
        ],
        'two lengths in one line': [head(`POST ${path} HTTP/1.1`, { ...auth, 'content-length': '2, 2' }), '{}'],
        'the same length twice': [`POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}`],
        'a length with a sign': [head(`POST ${path} HTTP/1.1`, { ...auth, 'content-length': '+2' }), '{}'],
        'two codings': [`POST ${path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n`],
        'a coding behind a tab': [head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': '\tchunked\v' }), '0\r\n\r\n'],
        'a folded coding': [`POST ${path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
        'a bare carriage return': [`GET ${path} HTTP/1.1\r\nhost: x\r\nx-a: b\rcontent-length: 5\r\n\r\n`],
        'a chunk whose size ends in a line feed': [
          head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'chunked' }),
          '2\n{}\n0\n\n',
        ],
        'a chunk with a longer body': [
          head(`POST ${path} HTTP/1.1`, { ...auth, 'transfer-encoding': 'chunked' }),
          '2\r\n{}xx\r\n0\r\n\r\n',
        ],
        'a host with a path': [head(`GET ${path} HTTP/1.1`, { ...auth, host: 'x/../y', connection: 'close' })],
        'many headers': [head(`GET ${path} HTTP/1.1`, Object.fromEntries(Array.from({ length: 3_000 }, (_, n) => [`x-${n}`, 'y'])))],
      };
      const answers = await Promise.all(
        Object.entries(requests).map(async ([what, parts]) => [what, await sendBytes(url, parts, { waitMs: 1_500 })] as const),
      );
      for (const [what, answer] of answers) {
        expect(refusedOrClosed(answer), `${name}, ${what}: ${answer.text.slice(0, 300)}`).toBe(true);
        expect(answer.statuses.length, `${name}, ${what} was taken for several requests`).toBeLessThanOrEqual(1);
        expectNoInside(answer.text, `${name}, ${what}`);
        // Node answers a missing host by itself, without a body.
        const body = answer.text.slice(answer.text.indexOf('\r\n\r\n') + 4);
        if (answer.statuses.length > 0 && what !== 'no host' && what !== 'TRACE')
          expect(answer.text, `${name}, ${what}: ${body}`).toContain('application/problem+json');
      }
    }
    await expectStillWorking();
  });

  it('of HTTP/1.0, in one byte at a time, and several in one connection are served', async () => {
    for (const { name, url } of listeners) {
      const old = await sendBytes(url, ['GET /healthz HTTP/1.0\r\nhost: x\r\n\r\n']);
      expect([old.statuses, old.closed], name).toEqual([[200], true]);
      const bytes = [...head('GET /healthz HTTP/1.1', { connection: 'close' })];
      expect((await sendBytes(url, bytes, { gapMs: 1, waitMs: 4_000 })).statuses, name).toEqual([200]);
      const three = head('GET /healthz HTTP/1.1').repeat(2) + head('GET /healthz HTTP/1.1', { connection: 'close' });
      expect((await sendBytes(url, [three])).statuses, name).toEqual([200, 200, 200]);
    }
  });

  it('that name paths outside find nothing', async () => {
    const tricks = [
      '/../../../../etc/passwd',
      '/..%2f..%2f..%2f..%2fetc%2fpasswd',
      '/%2e%2e/%2e%2e/package.json',
      '/assets/../../package.json',
      '/assets/..%5c..%5cpackage.json',
      '//etc/passwd',
      '/./../cli.ts',
      '/%00',
      '/a%00.js',
      '/%E0%A4%A',
      '/%',
      '/\\..\\..\\cli.ts',
      '/api/../internal/v1/hello',
      '/api/%2e%2e/internal/v1/hello',
      '/internal/v1/hello',
      '/internal/v1/stream?proxyId=x',
      '/internal//v1/stream',
      '/INTERNAL/v1/stream',
      '/v1/tool-calls/../../metrics',
      '/v1/tool-calls/%2e%2e',
      '/v1/tool-calls/x/outcome/../cancel',
      '/v1/./runs/check',
      '/v1/tool-calls/',
      '/metrics',
      'http://127.0.0.1/etc/passwd',
      'http://example.org:80/internal/v1/hello',
    ];
    for (const { name, url } of listeners) {
      for (const path of tricks) {
        const answer = await sendBytes(url, [head(`GET ${path} HTTP/1.1`, { connection: 'close' })]);
        expect(answer.text, `${name} ${path}`).not.toMatch(/root:|"devDependencies"|composition root|digestKey|mc_proxy_|"type":"picture"/);
        expectNoInside(answer.text.replace(/.*<script.*\n?/g, ''), `${name} ${path}`);
        if (/internal|metrics|tool-calls/i.test(path) && name === 'gate')
          expect(refusedOrClosed(answer), `${name} ${path}: ${answer.text.slice(0, 200)}`).toBe(true);
        for (const status of answer.statuses) expect(status, `${name} ${path}: ${answer.text.slice(0, 200)}`).toBeLessThan(500);
      }
    }
  });

  it('that drip their head are cut', async () => {
    for (const [index, answer] of (await Promise.all(slow)).entries()) {
      expect(answer.closed, listeners[index]?.name).toBe(true);
      expect(answer.statuses, listeners[index]?.name).toEqual([408]);
      expect(answer.text).toContain('TOO_SLOW');
    }
  });
});

describe('after all of this', () => {
  it('the product works, and its log has no error and no trace', async () => {
    await expectStillWorking();
    expect(world.log()).not.toMatch(/"level":(50|60)|"stack"|\n\s+at /);
  });
});
