import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { watch } from '../support/events.ts';
import { newAgent, startWorld, until, type World } from '../support/world.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterAll(() => world.close());

interface Session {
  cookie: string;
  csrf: string;
}

async function send(method: string, path: string, headers: Record<string, string>, body?: unknown) {
  const response = await fetch(`${world.controlUrl}/api${path}`, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>, headers: response.headers };
}

async function signIn(token: string): Promise<Session> {
  const answer = await send('POST', '/session', {}, { token });
  if (answer.status !== 201) throw new Error(`not signed in: ${JSON.stringify(answer.body)}`);
  return { cookie: (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '', csrf: String(answer.body.csrfToken) };
}

const withCsrf = ({ cookie, csrf }: Session) => ({ cookie, 'x-mc-csrf': csrf });
const linkToken = () => world.signInLink().split('#token=')[1] ?? '';

async function newOperator(role: string) {
  const made = await world.api<{ id: string; token: string }>('POST', '/operators', { name: `op-${crypto.randomUUID()}`, role });
  return { ...made.body, session: await signIn(made.body.token) };
}

describe('the printed link', () => {
  it('signs the first administrator in, once', async () => {
    const answer = await send('POST', '/session', {}, { token: linkToken() });
    expect(answer).toMatchObject({ status: 201, body: { operator: { role: 'admin' } } });
    const cookie = answer.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/HttpOnly/i);
    expect(cookie).toMatch(/SameSite=Strict/i);
    expect(cookie).toMatch(/Path=\//i);
    expect(await send('POST', '/session', {}, { token: linkToken() })).toMatchObject({ status: 401, body: { code: 'SIGN_IN_FAILED' } });
    const session = await send('GET', '/session', { cookie: cookie.split(';')[0] ?? '' });
    expect(session.body).toMatchObject({ expiresAt: (answer.body as { expiresAt: number }).expiresAt });
    expect(session).toMatchObject({ status: 200, body: { operator: { role: 'admin' } } });
  });

  it('signs in one of two who use it at the same moment', async () => {
    const link = (await world.api<{ token: string }>('POST', '/sign-in-links', {})).body.token;
    const answers = await Promise.all(Array.from({ length: 5 }, () => send('POST', '/session', {}, { token: link })));
    expect(answers.map((answer) => answer.status).toSorted()).toEqual([201, 401, 401, 401, 401]);
  });

  it('is good for nothing else, and agents and gateways cannot sign in', async () => {
    const link = (await world.api<{ token: string }>('POST', '/sign-in-links', {})).body.token;
    expect((await world.api('GET', '/overview', undefined, link)).status).toBe(401);
    const agent = await newAgent(world);
    const gateway = await world.api<{ token: string }>('POST', '/gateways', { name: 'g' });
    for (const token of [agent.token, gateway.body.token, 'mcl_wrong', 'x']) {
      expect(await send('POST', '/session', {}, { token }), token.slice(0, 4)).toMatchObject({
        status: 401,
        body: { code: 'SIGN_IN_FAILED' },
      });
    }
    for (const body of [{}, { token: '' }, { token: 7 }, { token: 'x', more: 1 }, [], null, 'x'.repeat(600)]) {
      expect((await send('POST', '/session', {}, body)).status, JSON.stringify(body)).toBe(400);
    }
  });
});

describe('a change that a cookie authorises', () => {
  it('needs the session’s own token in a header, and no foreign origin', async () => {
    const { session } = await newOperator('operator');
    const other = await newOperator('operator');
    const task = { title: 't', type: 'docs' };
    const refused: [what: string, headers: Record<string, string>, code: string][] = [
      ['no header', { cookie: session.cookie }, 'CSRF'],
      ['an empty one', { cookie: session.cookie, 'x-mc-csrf': '' }, 'CSRF'],
      ['another session’s', { cookie: session.cookie, 'x-mc-csrf': other.session.csrf }, 'CSRF'],
      ['a foreign origin', { ...withCsrf(session), origin: 'https://evil.example' }, 'FOREIGN_ORIGIN'],
      ['an origin of another port', { ...withCsrf(session), origin: 'http://127.0.0.1:1' }, 'FOREIGN_ORIGIN'],
      ['no origin at all (sandboxed frame)', { ...withCsrf(session), origin: 'null' }, 'FOREIGN_ORIGIN'],
    ];
    for (const [what, headers, code] of refused) {
      expect(await send('POST', '/tasks', headers, task), what).toMatchObject({ status: 403, body: { code } });
      expect(await send('DELETE', '/session', headers), what).toMatchObject({ status: 403, body: { code } });
    }
    expect((await send('POST', '/tasks', withCsrf(session), task)).status).toBe(201);
    expect((await send('POST', '/tasks', { ...withCsrf(session), origin: world.controlUrl }, task)).status).toBe(201);
    expect((await send('GET', '/tasks', { cookie: session.cookie })).status).toBe(200);
    expect(await send('POST', '/session', { origin: 'https://evil.example' }, { token: 'x' })).toMatchObject({ status: 403 });
  });

  it('ends with signing out', async () => {
    const { session } = await newOperator('operator');
    expect((await send('DELETE', '/session', withCsrf(session))).status).toBe(204);
    expect((await send('GET', '/tasks', { cookie: session.cookie })).status).toBe(401);
    expect((await send('POST', '/tasks', withCsrf(session), { title: 't', type: 'docs' })).status).toBe(401);
    expect((await send('DELETE', '/session', withCsrf(session))).status).toBe(204);
  });

  it('ends with the right: a role taken away, an operator removed', async () => {
    const { id, session, token } = await newOperator('operator');
    expect((await send('POST', '/tasks', withCsrf(session), { title: 't', type: 'docs' })).status).toBe(201);
    await world.api('PATCH', `/operators/${id}`, { role: 'viewer' });
    expect(await send('POST', '/tasks', withCsrf(session), { title: 't', type: 'docs' })).toMatchObject({
      status: 403,
      body: { code: 'ROLE' },
    });
    expect((await send('GET', '/tasks', { cookie: session.cookie })).status).toBe(200);
    const link = await send('POST', '/sign-in-links', withCsrf(session), {});
    await world.api('DELETE', `/operators/${id}`);
    expect((await send('GET', '/tasks', { cookie: session.cookie })).status).toBe(401);
    expect((await send('POST', '/session', {}, { token })).status).toBe(401);
    expect((await send('POST', '/session', {}, { token: link.body.token })).status).toBe(401);
  });
});

describe('a watcher of the events', () => {
  const admin = { authorization: 'Bearer test-admin-token-0123456789' };
  const tasksSeen = (events: { type: string; data: { topic?: string; id?: string } }[]) =>
    events.filter((event) => event.type === 'change' && event.data.topic === 'task').map((event) => event.data.id);
  const newTask = async () => (await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'docs' })).body.id;

  it('is a person', async () => {
    const agent = await newAgent(world);
    expect((await watch(world, { authorization: `Bearer ${agent.token}` })).status).toBe(403);
    expect((await watch(world, {})).status).toBe(401);
  });

  it('hears of a change with the object as it is now, and within a second that nothing happened', async () => {
    const watcher = await watch(world, admin);
    await until(
      () => watcher.lastId(),
      (id) => id !== null,
    );
    const id = await newTask();
    await until(
      () => tasksSeen(watcher.events),
      (seen) => seen.includes(id),
    );
    expect(watcher.events.find((event) => event.data.id === id)?.data.data).toMatchObject({ id, status: 'inbox' });
    const beats = watcher.events.length;
    await until(
      () => watcher.events.length,
      (count) => count > beats,
      2_500,
    );
    watcher.close();
  });

  it('that comes back with its last id has missed nothing, however often it was cut', async () => {
    const made: string[] = [];
    let done = false;
    const making = (async () => {
      for (let count = 0; count < 40; count++) made.push(await newTask());
      done = true;
    })();
    const first = await watch(world, admin);
    let lastId = await until(
      () => first.lastId(),
      (id) => id !== null,
    );
    const before = new Set(made);
    first.close();
    // An event may be here before the answer to the request that caused it.
    const seen = new Set<string | undefined>(tasksSeen(first.events));
    for (let round = 0; !done || round < 3; round++) {
      const watcher = await watch(world, { ...admin, 'last-event-id': lastId ?? '' });
      await until(
        () => watcher.lastId(),
        (id) => id !== lastId || done,
        5_000,
      );
      // What came without an id of its own yet is sent again after the next connect.
      lastId = watcher.lastId();
      watcher.close();
      await watcher.ended;
      expect(watcher.events.map((event) => event.type)).not.toContain('reset');
      for (const id of tasksSeen(watcher.events)) seen.add(id);
    }
    await making;
    const last = await watch(world, { ...admin, 'last-event-id': lastId ?? '' });
    const missing = () => {
      for (const id of tasksSeen(last.events)) seen.add(id);
      return made.filter((id) => !before.has(id) && !seen.has(id));
    };
    await until(missing, (ids) => ids.length === 0, 5_000);
    last.close();
  });

  it('that was away for too long, or comes from another database, starts anew', async () => {
    for (let batch = 0; batch < 13; batch++) await Promise.all(Array.from({ length: 20 }, newTask));
    for (const id of ['1', '999999999']) {
      const watcher = await watch(world, { ...admin, 'last-event-id': id });
      await until(
        () => watcher.events.length,
        (count) => count > 0,
      );
      expect(watcher.events[0]?.type, id).toBe('reset');
      expect(Number(watcher.lastId()), id).toBeGreaterThan(1);
      watcher.close();
    }
  });

  it('is cut when its right is gone', async () => {
    const [signedOut, removed, stays] = [await newOperator('viewer'), await newOperator('viewer'), await newOperator('viewer')];
    const watchers = await Promise.all([signedOut, removed, stays].map(({ session }) => watch(world, { cookie: session.cookie })));
    const [one, two, three] = watchers;
    let threeEnded = false;
    three?.ended.then(() => {
      threeEnded = true;
    });
    await send('DELETE', '/session', withCsrf(signedOut.session));
    await world.api('DELETE', `/operators/${removed.id}`);
    await Promise.all([one?.ended, two?.ended]);
    expect(threeEnded).toBe(false);
    three?.close();
  });
});

describe('the same request twice', () => {
  const post = (path: string, key: string, body: unknown, token = 'test-admin-token-0123456789') =>
    send('POST', path, { authorization: `Bearer ${token}`, 'idempotency-key': key }, body);

  it('with an Idempotency-Key makes one thing and gives the first answer again, a secret included', async () => {
    const name = `twice-${crypto.randomUUID()}`;
    const [first, second] = [await post('/gateways', name, { name }), await post('/gateways', name, { name })];
    expect([first.status, second.status]).toEqual([201, 201]);
    expect(second.body).toEqual(first.body);
    expect(String(first.body.token)).toMatch(/^mcg_/);
    const { body } = await world.api<{ items: { name: string }[] }>('GET', '/gateways');
    expect(body.items.filter((gateway) => gateway.name === name)).toHaveLength(1);
  });

  it('with the same key and another body, or from somebody else, or elsewhere, is not the same request', async () => {
    const key = crypto.randomUUID();
    expect((await post('/tasks', key, { title: 'a', type: 'docs' })).status).toBe(201);
    expect(await post('/tasks', key, { title: 'b', type: 'docs' })).toMatchObject({ status: 422, body: { code: 'IDEMPOTENCY_MISMATCH' } });
    const { token } = await newOperator('admin');
    expect((await post('/tasks', key, { title: 'b', type: 'docs' }, token)).status).toBe(201);
    expect((await post('/agents', key, { name: `agent-${key}` })).status).toBe(201);
  });

  it('at the same moment makes one thing', async () => {
    const key = crypto.randomUUID();
    const body = { name: `agent-${key}` };
    const answers = await Promise.all(Array.from({ length: 8 }, () => post('/agents', key, body)));
    const made = answers.filter((answer) => answer.status === 201);
    expect(made.length).toBeGreaterThan(0);
    expect(new Set(made.map((answer) => answer.body.id)).size).toBe(1);
    for (const answer of answers) if (answer.status !== 201) expect(answer).toMatchObject({ status: 409, body: { code: 'IN_PROGRESS' } });
    expect((await post('/agents', key, body)).status).toBe(201);
  });

  it('that failed may be tried again', async () => {
    const key = crypto.randomUUID();
    const missing = `agent-${key}`;
    expect((await post('/agents', key, { name: missing, gatewayId: 'nowhere' })).status).toBe(400);
    expect((await post('/agents', key, { name: missing })).status).toBe(201);
  });
});

describe('a change of something that another changed meanwhile', () => {
  it('is refused where the caller says which version it saw', async () => {
    const admin = { authorization: 'Bearer test-admin-token-0123456789' };
    for (const [path, body, change] of [
      ['/agents', { name: `etag-${crypto.randomUUID()}` }, { soulHash: 'x' }],
      ['/tasks', { title: 't', type: 'docs' }, { title: 'u' }],
    ] as const) {
      const made = await send('POST', path, admin, body);
      const url = `${path}/${made.body.id}`;
      const etag = (await send('GET', url, admin)).headers.get('etag') ?? '';
      expect(etag).toMatch(/^"\d+"$/);
      const first = await send('PATCH', url, { ...admin, 'if-match': etag }, change);
      expect(first.status).toBe(200);
      expect(await send('PATCH', url, { ...admin, 'if-match': etag }, change)).toMatchObject({ status: 412, body: { code: 'CHANGED' } });
      expect((await send('PATCH', url, { ...admin, 'if-match': first.headers.get('etag') ?? '' }, change)).status).toBe(200);
      expect((await send('PATCH', url, { ...admin, 'if-match': '*' }, change)).status).toBe(200);
      expect((await send('PATCH', url, admin, change)).status).toBe(200);
    }
  });
});

describe('the audit log', () => {
  it('has who was let in and out, by which link, and that somebody was not let in, counted', async () => {
    const admin = { authorization: 'Bearer test-admin-token-0123456789' };
    const audit = async (query: string) =>
      (await send('GET', `/audit?${query}`, admin)).body.items as { seq: number; action: string; actorType: string; details: object }[];
    const before = (await audit('limit=1'))[0]?.seq ?? 0;
    const link = String((await send('POST', '/sign-in-links', admin, {})).body.token);
    for (let i = 0; i < 5; i++) expect((await send('POST', '/session', {}, { token: `mcl_wrong-${i}` })).status).toBe(401);
    expect((await send('DELETE', '/session', withCsrf(await signIn(link)))).status).toBe(204);
    const rows = await audit('limit=50');
    const since = rows.filter(({ seq }) => seq > before).map(({ action, actorType }) => `${actorType} ${action}`);
    expect(since.filter((row) => row.endsWith('sign_in_failed')).length).toBeLessThanOrEqual(1);
    expect(since.filter((row) => !row.endsWith('sign_in_failed')).reverse()).toEqual([
      'human operator.link_issued',
      'human operator.signed_in',
      'human operator.signed_out',
    ]);
    const [failed] = await audit('action=operator.sign_in_failed');
    expect(failed).toMatchObject({ actorType: 'system', details: { failures: expect.any(Number) } });
  });
});
