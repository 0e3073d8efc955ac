/** What keeps strangers out of the control API: texts that are meant for the database, addresses that are meant for our inside, guesses, other sites. */
import { request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTEMPTS_MAX, createAttempts } from '../../control/attempts.ts';
import { readSettings } from '../../settings.ts';
import { FakeOpenClaw } from '../openclaw/fake-openclaw.ts';
import { type ApiOperation, apiDocument } from '../support/api-document.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

const ADMIN = 'test-admin-token-0123456789';
let world: World;
let agent: Awaited<ReturnType<typeof newAgent>>;

beforeAll(async () => {
  world = await startWorld();
  agent = await newAgent(world);
  for (const title of ['Alpha', 'Beta', 'Gamma']) await world.api('POST', '/tasks', { title, type: 'docs', assigneeIds: [agent.id] });
  const call = await world.gate<{ id: string }>(
    'POST',
    '/v1/tool-calls',
    { tool: 'post_comment', arguments: { text: 'hello' } },
    agent.token,
  );
  await until(
    () => world.api('GET', `/tool-calls/${call.body.id}`),
    ({ status }) => status === 200,
  );
});
afterAll(() => world.close());

const PAYLOADS = ["nobody' OR '1'='1", "x'); DROP TABLE tasks; SELECT pg_sleep(20); --", "%' UNION SELECT hash FROM credentials --\\"];

describe('a text that would be SQL', () => {
  it('in any filter, search and id of any list is a text: it finds nothing, breaks nothing and takes no time', async () => {
    const lists = Object.entries(apiDocument().paths).flatMap(([path, { get }]) => (get ? [[path.replace('/api', ''), get] as const] : []));
    let asked = 0;
    const tried = lists.flatMap(([path, operation]) => placesIn(path, operation));
    const ask = async (url: string) => {
      asked++;
      const { status, body } = await world.api<{ items?: unknown[]; code?: string } | null>('GET', url);
      return { status, count: body?.items?.length ?? 0 };
    };
    await inLanes(6, tried, async (urlWith) => {
      const harmless = await ask(urlWith('nobody'));
      for (const payload of PAYLOADS) {
        const answer = await ask(urlWith(encodeURIComponent(payload)));
        const what = `${urlWith('…')} with ${payload}`;
        // Where a value is one of a list, or a cursor of ours, anything else is refused.
        if (answer.status === 400) continue;
        // A search takes a text for words, and these may well stand somewhere.
        if (!/[?&]q=/.test(urlWith(''))) expect(answer, what).toEqual(harmless);
        expect([200, 404, 422], what).toContain(answer.status);
      }
    });
    expect(asked).toBeGreaterThan(500);
    expect((await world.api<{ items: unknown[] }>('GET', '/tasks')).body.items).toHaveLength(3);
  });

  it('in what is stored comes back as it was sent', async () => {
    const title = "Robert'); DROP TABLE tasks; --";
    const made = await world.api<{ id: string; title: string }>('POST', '/tasks', { title, type: 'docs' });
    expect(made.body.title).toBe(title);
    const found = await world.api<{ items: { title: string }[] }>('GET', `/tasks?q=${encodeURIComponent("Robert')")}`);
    expect(found.body.items.map((task) => task.title)).toEqual([title]);
  });
});

/** Every place of a GET that takes a text: its ids, and its parameters one by one. */
function placesIn(path: string, { parameters = [] }: ApiOperation): ((value: string) => string)[] {
  const base = path.replaceAll(/\{\w+\}/g, 'nobody');
  const inPath = [...path.matchAll(/\{\w+\}/g)].map(
    ({ 0: name }) =>
      (value: string) =>
        path.replace(name, value).replaceAll(/\{\w+\}/g, 'nobody'),
  );
  const inQuery = parameters
    .filter((parameter) => parameter.in === 'query')
    .map(
      ({ name }) =>
        (value: string) =>
          `${base}?${name}=${value}`,
    );
  return [...inPath, ...inQuery].filter((urlWith) => !/^\/(events|audit\/export|oauth)/.test(urlWith('')));
}

async function inLanes<T>(count: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = [...items];
  const lane = async () => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: count }, lane));
}

const INSIDE = [
  'http://127.0.0.1:3000/',
  'https://127.0.0.1/',
  'https://127.1/',
  'https://2130706433/',
  'https://0x7f000001/',
  'https://0177.0.0.1/',
  'https://[::1]/',
  'https://[::ffff:127.0.0.1]/',
  'https://[::ffff:7f00:1]/',
  'https://169.254.169.254/latest/meta-data/',
  'https://10.0.0.1/',
  'https://192.168.1.1/',
  'https://172.16.0.1/',
  'https://100.64.0.1/',
  'https://0.0.0.0/',
  'https://[fd00::1]/',
  'https://[fe80::1]/',
  'https://localhost/',
  'file:///etc/passwd',
  'gopher://example.com/',
  'javascript:alert(1)',
  'https://user:password@example.com/',
];

describe('an address that leads inside', () => {
  it('is refused wherever one can be set, unless private addresses are meant', async () => {
    let number = 0;
    const doors: Record<string, (url: string) => [path: string, body: object]> = {
      'an MCP server': (url) => ['/upstreams', { name: `inside-${number++}`, kind: 'mcp', url }],
      'an HTTP tool': (url) => ['/upstreams', { name: `inside-${number++}`, kind: 'http', url }],
      'a model': (url) => ['/upstreams', { name: `inside-${number++}`, kind: 'model', url }],
      'a webhook': (url) => [
        '/channels',
        { kind: 'webhook', name: `inside-${number++}`, destination: url, secret: 'a-webhook-secret-0123' },
      ],
      'a chat service': (url) => [
        '/channels',
        { kind: 'telegram', name: `inside-${number++}`, destination: '1', apiRoot: url, secret: '1:abc' },
      ],
    };
    for (const [door, make] of Object.entries(doors)) {
      for (const url of INSIDE) {
        const [path, body] = make(url);
        const answer = await world.api('POST', path, body);
        expect([400, 422], `${door} at ${url}: ${JSON.stringify(answer.body)}`).toContain(answer.status);
      }
    }
  });

  it('cannot be reached by changing one that was allowed', async () => {
    const made = await world.api<{ id: string }>('POST', '/upstreams', { name: 'outside', kind: 'http', url: 'https://api.example.com/' });
    expect(made.status).toBe(201);
    for (const url of INSIDE) {
      const answer = await world.api('PATCH', `/upstreams/${made.body.id}`, { url, secret: 'x' });
      expect([400, 422], `${url}: ${JSON.stringify(answer.body)}`).toContain(answer.status);
    }
  });
});

describe('the link to OpenClaw', () => {
  it('goes by WebSocket only, to where an administrator says, and what is secret of one address never goes to another', async () => {
    for (const url of [
      'file:///etc/passwd',
      'gopher://127.0.0.1/',
      'javascript:alert(1)',
      'ws://user:password@127.0.0.1:1/',
      'not a url',
    ]) {
      expect(await world.api('POST', '/gateways', { name: 'astray', url }), url).toMatchObject({ status: 400, body: { code: 'BAD_URL' } });
    }
    const elsewhere = await FakeOpenClaw.start();
    try {
      const made = await world.api<{ id: string }>('POST', '/gateways', {
        name: 'moved',
        url: 'ws://127.0.0.1:9/',
        token: 'planted-gateway-token',
      });
      expect(made.status).toBe(201);
      expect((await world.api('PATCH', `/gateways/${made.body.id}`, { url: elsewhere.url })).status).toBe(200);
      const { params } = await elsewhere.request('connect');
      expect(JSON.stringify(params)).not.toContain('planted-gateway-token');
      await world.api('DELETE', `/gateways/${made.body.id}`);
    } finally {
      await elsewhere.stop();
    }
  });
});

describe('guesses', () => {
  const signIn = (token: string) =>
    fetch(`${world.controlUrl}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token }),
    });

  it('at a chosen token end after so many from one address; links, sessions and whoever is at work are not in their way', async () => {
    const link = await world.api<{ token: string }>('POST', '/sign-in-links', {});
    const statuses: number[] = [];
    // Where the machine is so slow that a minute ends in between, counting begins again.
    while (statuses.at(-1) !== 429 && statuses.length < 10 * ATTEMPTS_MAX)
      statuses.push((await signIn(`a guess, number ${statuses.length}`)).status);
    expect(statuses.slice(0, ATTEMPTS_MAX)).toEqual(Array(ATTEMPTS_MAX).fill(401));
    expect(statuses.at(-1)).toBe(429);
    const refused = await signIn('another guess');
    expect(await refused.json()).toMatchObject({ code: 'TOO_MANY_ATTEMPTS', retryAfterMs: expect.any(Number) });
    expect((await signIn(link.body.token)).status).toBe(201);
    // The chosen token itself was used a moment ago: its owner goes on.
    expect((await world.api('GET', '/overview')).status).toBe(200);
    expect((await signIn(ADMIN)).status).toBe(201);
    expect((await world.api('GET', `/agents/${agent.id}`, undefined, agent.token)).status).toBe(200);
  });

  it('count for a minute, by the address they come from', () => {
    const time = { now: 0 };
    const attempts = createAttempts(() => time.now);
    for (let i = 0; i < ATTEMPTS_MAX; i++) attempts.fail('one', `guess ${i}`);
    expect([attempts.waitMs('one', 'guess'), attempts.waitMs('two', 'guess')]).toEqual([60_000, 0]);
    expect(attempts.waitMs('one', `mco_${'a'.repeat(43)}`)).toBe(0);
    time.now = 59_999;
    expect(attempts.waitMs('one', 'guess')).toBe(1);
    time.now = 60_000;
    expect(attempts.waitMs('one', 'guess')).toBe(0);
    attempts.fail('one', 'guess');
    expect(attempts.waitMs('one', 'guess')).toBe(0);
    // Bounded: an attacker with many addresses does not fill the memory, and the latest are remembered.
    for (let i = 0; i < 10_100; i++) for (let n = 0; n < (i === 10_099 ? ATTEMPTS_MAX : 1); n++) attempts.fail(`address ${i}`, 'x');
    expect(attempts.waitMs('address 10099', 'x')).toBe(60_000);
  });
});

describe('the token of an agent', () => {
  it('can be replaced without a gap: the new one works before the old one ends', async () => {
    const rotated = await newAgent(world);
    const check = async (token: string) => (await world.gate('POST', '/v1/runs/check', {}, token)).status;
    const next = await world.api<{ token: string }>('POST', `/agents/${rotated.id}/tokens`, {});
    expect([await check(rotated.token), await check(next.body.token)]).toEqual([200, 200]);
    const tokens = await world.api<{ items: { id: string; hint: string }[] }>('GET', `/agents/${rotated.id}/tokens`);
    const old = tokens.body.items.find(({ hint }) => rotated.token.endsWith(hint) && !next.body.token.endsWith(hint));
    expect((await world.api('DELETE', `/agents/${rotated.id}/tokens/${old?.id}`)).status).toBe(204);
    expect([await check(rotated.token), await check(next.body.token)]).toEqual([401, 200]);
  });

  it('opens no door of people’s: as a cookie, as a ticket, on the lines of the proxies, for figures', async () => {
    const tried: [url: string, headers: Record<string, string>][] = [
      [`${world.controlUrl}/api/agents`, { cookie: `mc_session=${agent.token}` }],
      [`${world.controlUrl}/api/agents`, { 'x-api-key': agent.token }],
      [`${world.controlUrl}/api/agents?access_token=${agent.token}`, {}],
      [`${world.controlUrl}/internal/v1/stream?proxyId=x`, { authorization: `Bearer ${agent.token}` }],
      [`${world.controlUrl}/internal/v1/mission-control`, { authorization: `Bearer ${agent.token}`, 'x-mc-agent': agent.id }],
      [`${world.gateUrl}/metrics`, { authorization: `Bearer ${agent.token}` }],
      [`${world.gateUrl}/openclaw/x`, { authorization: `Bearer ${agent.token}` }],
      [`${world.gateUrl}/openclaw/x`, { cookie: `mc_openclaw=${agent.token}` }],
    ];
    for (const [url, headers] of tried) expect([401, 403], url).toContain((await fetch(url, { headers, redirect: 'manual' })).status);
  });

  it('is the only one that the MCP server for agents takes: people have no tools there', async () => {
    const operator = await world.api<{ token: string }>('POST', '/operators', { name: 'an operator at the wrong door', role: 'admin' });
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' });
    for (const token of [operator.body.token, ADMIN, '']) {
      const headers = {
        authorization: `Bearer ${token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      };
      expect((await fetch(`${world.gateUrl}/mcp/mission-control`, { method: 'POST', headers, body })).status).toBe(401);
    }
  });
});

describe('answers to a browser', () => {
  it('let no other site frame, read or guess them', async () => {
    const token = { authorization: `Bearer ${ADMIN}` };
    const pages = ['/', '/board', '/sign-in', '/api/docs', '/api/tasks', '/api/nothing', '/api/session', '/healthz'];
    for (const path of pages) {
      const { headers, body } = await request(`${world.controlUrl}${path}`, { headers: path.startsWith('/api/') ? token : {} });
      await body.dump();
      const isPage = String(headers['content-type']).startsWith('text/html');
      expect(headers['access-control-allow-origin'], path).toBeUndefined();
      expect(headers['x-powered-by'], path).toBeUndefined();
      expect(headers.server, path).toBeUndefined();
      if (path === '/healthz') continue;
      expect(headers['x-content-type-options'], path).toBe('nosniff');
      expect(headers['referrer-policy'], path).toBe('no-referrer');
      if (isPage)
        expect(headers['content-security-policy'], path).toMatch(/^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'/);
      if (path.startsWith('/api/') && !isPage) expect(headers['cache-control'], path).toBe('no-store');
    }
  });

  it('answer no question of another site about what it may send', async () => {
    for (const url of [world.controlUrl, world.gateUrl]) {
      const headers = {
        origin: 'https://evil.example',
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      };
      const answer = await request(`${url}/api/tasks`, { method: 'OPTIONS', headers });
      await answer.body.dump();
      expect(answer.statusCode).toBeGreaterThanOrEqual(400);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
    }
  });
});

describe('listeners', () => {
  it('are for this machine alone, unless somebody says what protects the way', () => {
    const read = (environment: Record<string, string>) => readSettings(environment, '/nowhere-in-particular');
    for (const MC_HOST of ['127.0.0.1', '127.0.0.2', '::1', 'localhost']) expect(read({ MC_HOST }).MC_HOST).toBe(MC_HOST);
    for (const MC_HOST of ['0.0.0.0', '::', '192.168.1.5', 'example.org', '127.0.0.1.example.org']) {
      expect(() => read({ MC_HOST }), MC_HOST).toThrow(/MC_HOST: .*MC_OPEN_TO_NETWORK=behind-tls or private-network/);
      expect(read({ MC_HOST, MC_OPEN_TO_NETWORK: 'behind-tls' }).MC_HOST).toBe(MC_HOST);
    }
    expect(() => read({ MC_HOST: '0.0.0.0', MC_OPEN_TO_NETWORK: 'yes' })).toThrow(/MC_OPEN_TO_NETWORK/);
  });
});
