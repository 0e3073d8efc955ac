/** An MCP server that asks for OAuth, from the operator's browser to the agent's call. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newAgent, startWorld, until, type World } from '../support/world.ts';
import { type AuthorizationServer, startAuthorizationServer } from './authorization-server.ts';
import { type CountingServer, startCountingServer } from './counting-server.ts';
import { connect, newUpstream, post } from './gate.ts';

let world: World;
let target: CountingServer;
let server: AuthorizationServer;
beforeAll(async () => {
  world = await startWorld();
  target = await startCountingServer();
  server = await startAuthorizationServer(target.url);
});
afterAll(async () => {
  await world.close();
  await server.close();
  await target.close();
});

interface OAuthBody {
  oauth: { state: string; authorizedBy: string | null };
  health: { state: string; lastError: string | null };
}
const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 't', version: '1' } },
};
const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text ?? '';
const alertsNow = async () =>
  (await world.api<{ items: { type: string }[] }>('GET', '/alerts?resolved=false')).body.items.filter(
    ({ type }) => type === 'authorization_needed',
  );

/** Signs in as a browser does. @returns its cookie. */
async function signIn(): Promise<string> {
  const { body } = await world.api<{ token: string }>('POST', '/sign-in-links', {});
  const answer = await fetch(`${world.controlUrl}/api/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ token: body.token }),
  });
  return (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}

it('is authorised in a browser, used by agents who never see its token, and heard when it takes the token no longer', async () => {
  const agent = await newAgent(world);
  const upstream = await newUpstream(world, { url: server.mcpUrl, oauth: { grant: 'authorization_code' } });
  const refused = await post(world, upstream.name, agent.token, INITIALIZE);
  expect(await refused.text()).toContain('asks for authorization');
  await until(alertsNow, (list) => list.length === 1);
  expect((await world.api<OAuthBody>('GET', `/upstreams/${upstream.id}`)).body.health).toMatchObject({
    state: 'down',
    lastError: expect.stringContaining('authorization'),
  });

  const cookie = await signIn();
  const session = await fetch(`${world.controlUrl}/api/session`, { headers: { cookie } });
  const { csrfToken } = (await session.json()) as { csrfToken: string };
  const begun = await fetch(`${world.controlUrl}/api/upstreams/${upstream.name}/authorize`, {
    method: 'POST',
    headers: { cookie, 'x-mc-csrf': csrfToken },
  });
  const { url } = (await begun.json()) as { url: string };
  // The authorization server sends the browser back; coming from another site, it shows no cookie.
  const back = (await fetch(url, { redirect: 'manual' })).headers.get('location') ?? '';
  expect(back.startsWith(`${world.controlUrl}/oauth/callback?`)).toBe(true);
  const landing = await fetch(back);
  const page = await landing.text();
  expect(landing.headers.get('content-security-policy')).toContain("default-src 'none'");
  const next = /url=([^"]+)"/.exec(page)?.[1]?.replaceAll('&amp;', '&') ?? '';
  expect((await fetch(`${world.controlUrl}${next}`)).status).toBe(401);
  const done = await fetch(`${world.controlUrl}${next}`, { headers: { cookie, accept: 'text/html' } });
  expect([done.status, await done.text()]).toEqual([200, expect.stringContaining('is authorised')]);
  expect((await fetch(`${world.controlUrl}${next}`, { headers: { cookie, accept: 'text/html' } })).status).toBe(422);

  const { client } = await connect(world, upstream.name, agent.token);
  await client.listTools();
  expect(textOf(await client.callTool({ name: 'echo', arguments: { text: 'hello' } }))).toBe('echo hello');
  expect(target.lastHeaders.authorization).toMatch(/^Bearer at-/);
  await until(alertsNow, (list) => list.length === 0);

  // The next token reaches calls of a session that is open.
  const [first] = server.accessTokens;
  server.rules.expiresIn = 3600;
  server.accessTokens.delete(first ?? '');
  const failed = await client.callTool({ name: 'echo', arguments: { text: 'revoked' } });
  expect(failed.isError).toBe(true);
  expect(target.runs.get('echo:revoked')).toBeUndefined();

  const again = await world.api<{ url: string }>('POST', `/upstreams/${upstream.id}/authorize`, {});
  const answer = new URL((await fetch(again.body.url, { redirect: 'manual' })).headers.get('location') ?? '');
  expect((await world.api('GET', `/oauth/callback${answer.search}`)).body).toEqual({ id: upstream.id, name: upstream.name });
  await until(
    async () => textOf(await client.callTool({ name: 'echo', arguments: { text: 'again' } })),
    (text) => text === 'echo again',
  );
  await client.close();

  const shown = JSON.stringify([
    (await world.api('GET', `/upstreams/${upstream.id}`)).body,
    (await world.api('GET', '/audit?limit=500')).body,
    (await world.api('GET', '/activities?limit=500')).body,
    (await world.api('GET', '/tool-calls?limit=500')).body,
    world.log(),
  ]);
  expect(server.given.length).toBeGreaterThan(0);
  for (const token of server.given) expect(shown).not.toContain(token);
});

it('sends nobody along with values that are not its own', async () => {
  const strange = await fetch(`${world.controlUrl}/oauth/callback?state=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&next=https://evil.example`);
  const page = await strange.text();
  expect(page).not.toContain('<script');
  expect(page).not.toContain('evil.example');
  expect(page).toContain('/api/oauth/callback?state=');
});
