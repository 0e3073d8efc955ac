/** Mission Control as an OAuth client: what it keeps, for how long, and whom it believes. Time is turned by hand. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createUpstreamOAuth } from '../../control/upstream-oauth.ts';
import { type AuthorizationServer, startAuthorizationServer } from '../mcp/authorization-server.ts';
import { type CountingServer, startCountingServer } from '../mcp/counting-server.ts';
import { type Services, startServices } from '../support/services.ts';

const ADA = { type: 'human', id: 'ada', name: 'Ada' } as const;
const BOB = { type: 'human', id: 'bob', name: 'Bob' } as const;
const HERE = 'http://127.0.0.1:3000';
const MINUTE = 60_000;

let services: Services;
let server: AuthorizationServer;
let oauth: ReturnType<typeof createUpstreamOAuth>;
let target: CountingServer;
beforeAll(async () => {
  services = await startServices();
  target = await startCountingServer();
  oauth = createUpstreamOAuth({ ...services.base, keys: services.keys, alerts: services.alerts });
});
afterAll(async () => {
  await services.close();
  await target.close();
});
beforeEach(async () => {
  server = await startAuthorizationServer(target.url);
});
afterEach(async () => {
  for (const { id } of await services.upstreams.list()) await services.upstreams.remove(ADA, id);
  await server.close();
});

async function add(fields: Record<string, unknown> = {}, allowPrivate = true) {
  return services.upstreams.create(ADA, {
    name: 'hosted',
    kind: 'mcp',
    url: server.mcpUrl,
    allowPrivate,
    oauth: { grant: 'authorization_code', ...fields },
  });
}

/** Opens the address as a browser would. @returns what the authorization server sends back. */
async function visit(url: string | null): Promise<URLSearchParams> {
  const answer = await fetch(url ?? '', { redirect: 'manual' });
  return new URL(answer.headers.get('location') ?? 'http://nowhere').searchParams;
}

async function authorize(id: string, actor: typeof ADA | typeof BOB = ADA) {
  return oauth.complete(actor, await visit((await oauth.authorize(actor, id, HERE)).url));
}

const tokenAt = async (id: string) => (await services.upstreams.pictures([id]))[0]?.secret;
const openAlerts = async () =>
  (await services.alerts.list({ resolved: false, limit: 10 })).items.filter(({ type }) => type === 'authorization_needed');
const stateOf = async (id: string) => (await services.upstreams.get(id)).oauth;

describe('an authorization by a person', () => {
  it('registers, asks with PKCE and the resource, and gives the proxies the token', async () => {
    server.rules.scope = 'tools:read';
    const { id } = await add();
    expect(await stateOf(id)).toMatchObject({ state: 'needed', clientId: null });
    const { url, expiresAt } = await oauth.authorize(ADA, id, HERE);
    const asked = new URL(url ?? '').searchParams;
    expect(Object.fromEntries(asked)).toMatchObject({
      response_type: 'code',
      code_challenge_method: 'S256',
      redirect_uri: `${HERE}/oauth/callback`,
      resource: server.mcpUrl,
      scope: 'tools:read',
    });
    expect(expiresAt).toBe(services.time.now + 10 * MINUTE);
    await oauth.complete(ADA, await visit(url));
    expect(server.accessTokens.has((await tokenAt(id)) ?? '')).toBe(true);
    expect(await stateOf(id)).toMatchObject({ state: 'authorized', authorizedBy: 'Ada', expiresAt: services.time.now + 60 * MINUTE });
    // The second time, the registration is still good.
    await authorize(id);
    expect(server.registered).toHaveLength(1);
  });

  it('uses the client id that was made by hand, and its secret', async () => {
    server.rules.allowRegistration = false;
    server.rules.clients.set('by-hand', 'its-secret');
    const { id } = await add({ clientId: 'by-hand', clientSecret: 'its-secret' });
    await authorize(id);
    expect(server.registered).toHaveLength(0);
    expect(await tokenAt(id)).toMatch(/^at-/);
  });

  it('says what is missing where a server registers nobody', async () => {
    server.rules.allowRegistration = false;
    const { id } = await add();
    await expect(oauth.authorize(ADA, id, HERE)).rejects.toMatchObject({
      code: 'OAUTH_FAILED',
      message: expect.stringContaining('client id'),
    });
  });

  it('takes a state once, from the one who began, within ten minutes', async () => {
    const { id } = await add();
    const begin = async () => visit((await oauth.authorize(ADA, id, HERE)).url);
    await expect(oauth.complete(ADA, new URLSearchParams({ state: 'guessed', code: 'c' }))).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    await expect(oauth.complete(ADA, new URLSearchParams({ code: 'c' }))).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    const ofAda = await begin();
    await expect(oauth.complete(BOB, ofAda)).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    // It is used up by that: somebody else has seen it.
    await expect(oauth.complete(ADA, ofAda)).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    const late = await begin();
    services.time.now += 10 * MINUTE;
    await expect(oauth.complete(ADA, late)).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    const good = await begin();
    await oauth.complete(ADA, good);
    await expect(oauth.complete(ADA, good)).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    expect(server.grants.get('authorization_code')).toBe(1);
  });

  it('does not outlive a change of the settings', async () => {
    const { id } = await add();
    const answer = await visit((await oauth.authorize(ADA, id, HERE)).url);
    await services.upstreams.update(ADA, id, { oauth: { grant: 'authorization_code', scope: 'other' } }, null);
    await expect(oauth.complete(ADA, answer)).rejects.toMatchObject({ code: 'OAUTH_STATE' });
    expect(await tokenAt(id)).toBeNull();
  });
});

describe('a mix-up', () => {
  it('is noticed by the name in the answer, before the code is sent anywhere', async () => {
    const { id } = await add();
    server.rules.iss = 'https://honest.example';
    await expect(authorize(id)).rejects.toMatchObject({ code: 'OAUTH_MIX_UP' });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('is noticed where a server that names itself leaves its name out', async () => {
    const { id } = await add();
    const answer = await visit((await oauth.authorize(ADA, id, HERE)).url);
    answer.delete('iss');
    await expect(oauth.complete(ADA, answer)).rejects.toMatchObject({ code: 'OAUTH_MIX_UP' });
    expect(server.tokenRequests).toHaveLength(0);
  });

  it('is noticed where metadata speaks for another server', async () => {
    const { id } = await add();
    server.rules.issuerInMetadata = 'https://honest.example';
    await expect(oauth.authorize(ADA, id, HERE)).rejects.toMatchObject({
      code: 'OAUTH_FAILED',
      message: expect.stringContaining('another name'),
    });
  });

  it('gets no client secret: it goes to the server that it has proven good at, or that was named for it', async () => {
    server.rules.clients.set('by-hand', 'its-secret');
    const { id } = await add({ clientId: 'by-hand', clientSecret: 'its-secret' });
    await authorize(id);
    const thief = await startAuthorizationServer(target.url);
    try {
      server.rules.namedServer = thief.url;
      await expect(oauth.authorize(ADA, id, HERE)).rejects.toMatchObject({
        code: 'OAUTH_FAILED',
        message: expect.stringContaining('only'),
      });
      const pinned = await services.upstreams.create(ADA, {
        name: 'pinned',
        kind: 'mcp',
        url: server.mcpUrl,
        allowPrivate: true,
        oauth: { grant: 'client_credentials', clientId: 'by-hand', clientSecret: 'its-secret', issuer: server.url },
      });
      await expect(oauth.authorize(ADA, pinned.id, HERE)).rejects.toMatchObject({ code: 'OAUTH_FAILED' });
      await oauth.renewDue();
      expect(thief.tokenRequests).toHaveLength(0);
    } finally {
      await thief.close();
    }
  });
});

describe('a token', () => {
  it('is renewed before it ends, and the next one goes to the proxies', async () => {
    const { id } = await add();
    await authorize(id);
    const first = await tokenAt(id);
    await oauth.renewDue();
    expect(await tokenAt(id)).toBe(first);
    services.time.now += 54 * MINUTE;
    await oauth.renewDue();
    expect(await tokenAt(id)).toBe(first);
    services.time.now += 2 * MINUTE;
    await oauth.renewDue();
    const second = await tokenAt(id);
    expect(second).not.toBe(first);
    expect(server.tokenRequests.at(-1)?.get('resource')).toBe(server.mcpUrl);
    expect(await stateOf(id)).toMatchObject({ state: 'authorized', authorizedBy: 'Ada' });
    // The refresh token was renewed with it.
    services.time.now += 56 * MINUTE;
    await oauth.renewDue();
    expect(await tokenAt(id)).not.toBe(second);
    expect(server.grants.get('refresh_token')).toBe(2);
  });

  it('is given up once its refresh token is revoked, and a person is told once', async () => {
    const { id } = await add();
    await authorize(id);
    server.refreshTokens.clear();
    services.time.now += 56 * MINUTE;
    await oauth.renewDue();
    expect(await stateOf(id)).toMatchObject({ state: 'needed', lastError: expect.stringContaining('invalid_grant') });
    expect(await tokenAt(id)).toBeNull();
    expect(await openAlerts()).toHaveLength(1);
    const requests = server.tokenRequests.length;
    services.time.now += 60 * MINUTE;
    await oauth.renewDue();
    await services.upstreams.found(id, { ok: false, error: 'HTTP 401', unauthorized: true });
    expect(server.tokenRequests).toHaveLength(requests);
    expect(await openAlerts()).toHaveLength(1);
    await authorize(id);
    expect(await openAlerts()).toHaveLength(0);
  });

  it('is kept while its server is down for a while, and asked for again with pauses', async () => {
    const { id } = await add();
    await authorize(id);
    const first = await tokenAt(id);
    server.rules.isDown = true;
    services.time.now += 56 * MINUTE;
    await oauth.renewDue();
    expect(await stateOf(id)).toMatchObject({ state: 'authorized', lastError: expect.stringContaining('answered') });
    expect(await tokenAt(id)).toBe(first);
    server.rules.isDown = false;
    await oauth.renewDue();
    expect(await tokenAt(id)).toBe(first);
    services.time.now += MINUTE;
    await oauth.renewDue();
    expect(await stateOf(id)).toMatchObject({ state: 'authorized', lastError: null });
    expect(await tokenAt(id)).not.toBe(first);
  });

  it('that the server takes no longer is renewed at once, but not again and again', async () => {
    const { id } = await add();
    await authorize(id);
    services.time.now += 2 * MINUTE;
    const refused = () => services.upstreams.found(id, { ok: false, error: 'HTTP 401', unauthorized: true });
    await refused();
    await oauth.renewDue();
    expect(server.grants.get('refresh_token')).toBe(1);
    expect(await openAlerts()).toHaveLength(0);
    await refused();
    await oauth.renewDue();
    services.time.now += 20_000;
    await refused();
    await oauth.renewDue();
    expect(server.grants.get('refresh_token')).toBe(1);
    expect(await openAlerts()).toHaveLength(1);
    await services.upstreams.found(id, { ok: true, error: null });
    expect(await openAlerts()).toHaveLength(0);
  });

  it('is not lost where the server refuses the old one, or somebody begins anew, while it is on its way', async () => {
    const { id } = await add();
    await authorize(id);
    services.time.now += 56 * MINUTE;
    server.registered.length = 0;
    const meanwhile = services.upstreams.found(id, { ok: false, error: 'HTTP 401', unauthorized: true });
    await Promise.all([oauth.renewDue(), meanwhile, oauth.authorize(ADA, id, 'https://elsewhere.example')]);
    expect(server.registered).toHaveLength(1);
    expect(server.accessTokens.has((await tokenAt(id)) ?? '')).toBe(true);
    services.time.now += 56 * MINUTE;
    await oauth.renewDue();
    expect(await stateOf(id)).toMatchObject({ state: 'authorized', lastError: null });
  });

  it('of Mission Control itself needs no person', async () => {
    server.rules.clients.set('machine', 'machine-secret');
    const { id } = await add({ grant: 'client_credentials', clientId: 'machine', clientSecret: 'machine-secret', scope: 'all' });
    await oauth.renewDue();
    expect(await tokenAt(id)).toMatch(/^at-/);
    expect(Object.fromEntries(server.tokenRequests[0] ?? [])).toMatchObject({ resource: server.mcpUrl, scope: 'all' });
    services.time.now += 56 * MINUTE;
    await oauth.renewDue();
    expect(server.grants.get('client_credentials')).toBe(2);
    expect(await oauth.authorize(ADA, id, HERE)).toEqual({ url: null, expiresAt: null });
  });

  it('is forgotten with its host, and does not follow the upstream to another one', async () => {
    const { id } = await add();
    await authorize(id);
    const elsewhere = { url: 'http://127.0.0.1:9/mcp' };
    await expect(services.upstreams.update(ADA, id, elsewhere, null)).rejects.toMatchObject({ code: 'SECRET_NEEDED' });
    await services.upstreams.update(ADA, id, { ...elsewhere, oauth: { grant: 'authorization_code' } }, null);
    expect(await tokenAt(id)).toBeNull();
    expect(await stateOf(id)).toMatchObject({ state: 'needed', authorizedAt: null });
  });

  it('that is none, but a header of the server’s choice, is not taken', async () => {
    const { id } = await add();
    server.rules.tokenPrefix = 'Host: elsewhere ';
    await expect(authorize(id)).rejects.toMatchObject({ code: 'OAUTH_FAILED', message: expect.stringContaining('a token that is none') });
    expect(await tokenAt(id)).toBeNull();
  });

  it('stands in no answer, no record and no file in the clear', async () => {
    server.rules.clients.set('by-hand', 'its-secret-9f8e7d');
    const { id } = await add({ clientId: 'by-hand', clientSecret: 'its-secret-9f8e7d' });
    await authorize(id);
    services.time.now += 56 * MINUTE;
    await oauth.renewDue();
    const said = [await services.upstreams.list(), await services.upstreams.get(id)];
    for (const table of ['audit_log', 'activities', 'upstreams', 'upstream_oauth', 'upstream_authorizations', 'outbox', 'alerts'] as const)
      said.push(
        (await services.db
          .selectFrom(table as 'alerts')
          .selectAll()
          .execute()) as never,
      );
    const text = JSON.stringify(said, (_, value) => (typeof value === 'bigint' ? String(value) : value));
    for (const secret of [...server.given, 'its-secret-9f8e7d']) expect(text).not.toContain(secret);
    expect(server.given.length).toBeGreaterThan(3);
  });
});

describe('discovery', () => {
  it('goes only where the upstream may go', async () => {
    const { id } = await services.upstreams.create(ADA, {
      name: 'public',
      kind: 'mcp',
      url: 'https://mcp.invalid/mcp',
      oauth: { grant: 'authorization_code' },
    });
    await expect(oauth.authorize(ADA, id, HERE)).rejects.toMatchObject({ code: 'OAUTH_FAILED' });
    // Behind the registry's back: an upstream without allowPrivate whose documents lead to this machine.
    await services.db.updateTable('upstreams').set({ url: server.mcpUrl }).where('id', '=', id).execute();
    await expect(oauth.authorize(ADA, id, HERE)).rejects.toMatchObject({ message: expect.stringMatching(/not https|private/) });
    expect(server.paths).toEqual([]);
  });

  it('is bounded in size', async () => {
    const { id } = await add();
    server.rules.isFlood = true;
    await expect(oauth.authorize(ADA, id, HERE)).rejects.toMatchObject({ message: expect.stringContaining('larger than') });
  });
});
