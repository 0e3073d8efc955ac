import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newAgent, startWorld, type World } from '../support/world.ts';

const ROLES = ['viewer', 'approver', 'operator', 'admin'] as const;
type Role = (typeof ROLES)[number];

/**
 * Who may do what, as SPEC 8.1 says it, written out here by hand so that a role that slips in the code is seen. "own" marks what an
 * agent may ask with its own token. GET is written without a verb.
 */
const ACCESS: Record<Role, string> = {
  viewer: `
    /agents  /agents/{id} own  /tasks own  /tasks/{id} own  /tasks/state-machine own  /tasks/{id}/transitions  /approvals  /approvals/{id}
    /approvals/{id}/arguments  /approvals/{id}/grant-proposal  /grants  /grants/{id}  /operators/deputies  /operators/{id}/absence  POST /operators/{id}/absence  DELETE /operators/{id}/absence
    /policies  /policies/active  /policies/{id}  /policies/{id}/diff  /policies/profiles  /policies/replays  /policies/replays/{id}
    /policies/shadows  /policies/shadows/{id}  POST /policies/validate  POST /policies/simulate  /tool-calls  /tool-calls/{id}  /runs  /runs/{id}  /activities
    /spend  /spend/forecast  /spend/export  /raises  /alerts  /audit  /audit/verify  /audit/export  /audit/anchors  /audit/key  /overview  /emergency  /emergency/receipt  /gateways  /gateways/{id}  POST /sign-in-links  /events
    /upstreams  /upstreams/{id}  /upstreams/{id}/tools  /tasks/{id}/timeline  /agents/{id}/timeline  /runs/{id}/timeline  /tasks/{id}/cost  /messages own  /messages/unread own  POST /tasks/{id}/read own  /documents  /documents/{id}  /workers
    /souls  /gateways/{id}/roster  /channels  /channels/{id}  /notifications  /search  /incidents  /coverage  /drills  /health
    /operators/{id}/chat-identities  POST /operators/{id}/chat-identities  DELETE /operators/{id}/chat-identities/{identityId}`,
  approver: `
    POST /approvals/{id}/approve  POST /approvals/{id}/deny  POST /approvals/decide  POST /grants/{id}/revoke  POST /tasks/{id}/transition own  POST /messages own`,
  operator: `
    POST /drills  POST /agents  PATCH /agents/{id}  DELETE /agents/{id}  POST /agents/{id}/pause  POST /agents/{id}/drain  POST /agents/{id}/quarantine
    POST /agents/{id}/restart  POST /tasks  PATCH /tasks/{id} own  DELETE /tasks/{id}  POST /approvals own  POST /alerts/{id}/resolve  POST /raises  POST /raises/{id}/end
    POST /policies/replay  POST /policies/replays/{id}/cancel  POST /souls/{name}/agents  POST /emergency/pause-squad  POST /emergency/stop  POST /notifications/{id}/retry  POST /upstreams/{id}/tools/{tool}/accept`,
  admin: `
    /agents/{id}/tokens  POST /agents/{id}/tokens  DELETE /agents/{id}/tokens/{tokenId}  POST /policies  POST /policies/{id}/activate
    POST /policies/shadows  POST /policies/shadows/{id}/stop  POST /backup  POST /emergency/resume  POST /gateways  POST /gateways/{id}/import  PATCH /gateways/{id}  DELETE /gateways/{id}  /gateways/{id}/tokens  POST /gateways/{id}/tokens  POST /gateways/{id}/passes
    DELETE /gateways/{id}/tokens/{tokenId}  /operators  POST /operators  PATCH /operators/{id}  DELETE /operators/{id}
    POST /operators/{id}/tokens  DELETE /operators/{id}/tokens/{tokenId}  POST /upstreams  PATCH /upstreams/{id}  DELETE /upstreams/{id}
    POST /channels  PATCH /channels/{id}  DELETE /channels/{id}  POST /channels/{id}/test
    POST /upstreams/{id}/authorize  /oauth/callback`,
};
interface Route {
  method: string;
  path: string;
  role: Role;
  own: boolean;
}
const ROUTES: Route[] = ROLES.flatMap((role) =>
  [...ACCESS[role].matchAll(/(?:(POST|PATCH|DELETE) )?(\/\S+)( own)?/g)].map(([, method = 'GET', path = '', own]) => ({
    method,
    path,
    role,
    own: own !== undefined,
  })),
);

let world: World;
const tokens: Partial<Record<Role, string>> = {};
beforeAll(async () => {
  world = await startWorld();
  for (const role of ROLES) {
    const made = await world.api<{ token: string }>('POST', '/operators', { name: `a ${role}`, role });
    tokens[role] = made.body.token;
  }
});
afterAll(() => world.close());

/** Asks a route in a way that can do nothing: what it names does not exist, and the body has a field that no route takes. */
function ask({ method, path }: Route, token: string | null) {
  const url = path.replaceAll(/\{\w+\}/g, 'nobody');
  return world.api(method, url, method === 'POST' || method === 'PATCH' ? { noSuchField: 1 } : undefined, token);
}

describe('the routes of the API', () => {
  it('are the ones that this table knows', async () => {
    const { body } = await world.api<{ paths: Record<string, Record<string, unknown>> }>('GET', '/openapi.json');
    const declared = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace(/^\/api/, '')}`),
    );
    const known = ROUTES.map(({ method, path }) => `${method} ${path}`);
    const session = ['POST /session', 'GET /session', 'DELETE /session'];
    expect(declared.toSorted()).toEqual([...known, ...session].toSorted());
  });

  it('are closed to those who show nothing, something wrong, or a credential of another place', async () => {
    const gateway = await world.api<{ token: string; id: string }>('POST', '/gateways', { name: 'a gateway' });
    const retired = await newAgent(world);
    const [issued] = (await world.api<{ items: { id: string }[] }>('GET', `/agents/${retired.id}/tokens`)).body.items;
    expect((await world.api('DELETE', `/agents/${retired.id}/tokens/${issued?.id}`)).status).toBe(204);
    const left = await world.api<{ id: string; token: string }>('POST', '/operators', { name: 'somebody who left', role: 'admin' });
    await world.api('DELETE', `/operators/${left.body.id}`);
    const deleted = await newAgent(world);
    await world.api('DELETE', `/agents/${deleted.id}`);
    const credentials = [null, 'mco_wrong', gateway.body.token, retired.token, left.body.token, deleted.token, 'x'.repeat(5_000)];
    for (const route of ROUTES) {
      for (const token of credentials) {
        const answer = await ask(route, token);
        expect([answer.status, answer.body?.code], `${route.method} ${route.path} with ${token?.slice(0, 8)}`).toEqual([
          401,
          'UNAUTHENTICATED',
        ]);
        expect(answer.headers.get('www-authenticate')).toBe('Bearer');
      }
    }
    for (const path of ['/openapi.json', '/docs', '/events', '/nothing-here']) {
      expect((await fetch(`${world.controlUrl}/api${path}`)).status, path).toBe(401);
    }
  });

  for (const role of ROLES) {
    it(`let a ${role} do what is a ${role}'s, and no more`, async () => {
      for (const route of ROUTES) {
        if (route.path === '/events') continue;
        const answer = await ask(route, tokens[role] ?? '');
        const may = ROLES.indexOf(role) >= ROLES.indexOf(route.role);
        const what = `${route.method} ${route.path}: ${JSON.stringify(answer.body)?.slice(0, 200)}`;
        if (!may) expect([answer.status, answer.body.code], what).toEqual([403, 'ROLE']);
        else {
          expect([401, 403], what).not.toContain(answer.status);
          expect(answer.status, what).toBeLessThan(500);
        }
      }
    });
  }

  it('let an agent do an agent’s part, and nothing of a person’s', async () => {
    const agent = await newAgent(world);
    for (const route of ROUTES) {
      const answer = await ask(route, agent.token);
      const what = `${route.method} ${route.path}`;
      if (!route.own) expect([answer.status, answer.body.code], what).toEqual([403, 'HUMANS_ONLY']);
      else expect([200, 400, 404], what).toContain(answer.status);
    }
  });
});

describe('an agent with its own token', () => {
  it('sees itself and its own tasks, and nobody else’s', async () => {
    const [one, two] = [await newAgent(world), await newAgent(world)];
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 'for one', type: 'docs', assigneeIds: [one.id] });
    expect((await world.api('GET', `/agents/${one.id}`, undefined, one.token)).status).toBe(200);
    expect((await world.api('GET', `/agents/${two.id}`, undefined, one.token)).status).toBe(404);
    expect((await world.api('GET', `/tasks/${task.body.id}`, undefined, one.token)).status).toBe(200);
    expect((await world.api('GET', `/tasks/${task.body.id}`, undefined, two.token)).status).toBe(404);
    const list = await world.api<{ items: { id: string }[] }>('GET', `/tasks?agentId=${one.id}`, undefined, two.token);
    expect(list.body.items).toEqual([]);
    const change = { deliverable: 'mine now' };
    expect(await world.api('PATCH', `/tasks/${task.body.id}`, change, two.token)).toMatchObject({
      status: 403,
      body: { code: 'FOREIGN_TASK' },
    });
    expect(await world.api('POST', `/tasks/${task.body.id}/transition`, { to: 'assigned' }, two.token)).toMatchObject({
      status: 403,
      body: { code: 'FOREIGN_TASK' },
    });
    const ask = { kind: 'task', taskId: task.body.id, summary: 's', reason: 'r' };
    expect(await world.api('POST', '/approvals', ask, two.token)).toMatchObject({ status: 403, body: { code: 'FOREIGN_TASK' } });
    expect((await world.api('POST', '/approvals', ask, one.token)).status).toBe(201);
  });

  it('sets what it hands in, and not what binds it', async () => {
    const agent = await newAgent(world);
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 'mine', type: 'docs', assigneeIds: [agent.id] });
    const set = (fields: object) => world.api('PATCH', `/tasks/${task.body.id}`, fields, agent.token);
    for (const fields of [{ workPlan: 'p' }, { deliverable: 'd' }, { selfReview: 's' }, { evidence: ['e'] }]) {
      expect((await set(fields)).status).toBe(200);
    }
    for (const fields of [
      { budget: 1000 },
      { assigneeIds: [] },
      { dependsOn: [] },
      { deliverableMakesClaims: false },
      { title: 'x' },
      { sessionKey: 'x' },
      { type: 'ops' },
    ]) {
      expect(await set(fields), JSON.stringify(fields)).toMatchObject({ status: 403, body: { code: 'ROLE' } });
    }
  });

  it('cannot decide: not an approval of its own, not with an approver’s words', async () => {
    const agent = await newAgent(world);
    const held = await world.gate<{ approvalId: string }>('POST', '/v1/tool-calls', { tool: 'send_email', arguments: {} }, agent.token);
    for (const verdict of ['approve', 'deny']) {
      const tried = await world.api('POST', `/approvals/${held.body.approvalId}/${verdict}`, { note: 'me' }, agent.token);
      expect(tried).toMatchObject({ status: 403, body: { code: 'HUMANS_ONLY' } });
    }
    expect((await world.api('GET', `/approvals/${held.body.approvalId}`)).body).toMatchObject({ status: 'pending' });
  });
});

describe('an approver', () => {
  it('decides, and closes a task by it, but does not run the board', async () => {
    const agent = await newAgent(world);
    const held = await world.gate<{ approvalId: string }>(
      'POST',
      '/v1/tool-calls',
      { tool: 'exec', arguments: { command: 'make x' } },
      agent.token,
    );
    const decided = await world.api('POST', `/approvals/${held.body.approvalId}/approve`, {}, tokens.approver ?? '');
    expect(decided).toMatchObject({ status: 200, body: { status: 'approved', approver: 'a approver' } });
    const task = await world.api<{ id: string }>('POST', '/tasks', { title: 't', type: 'ops', assigneeIds: [agent.id] });
    const move = (to: string, token: string | undefined, artifacts: object = {}) =>
      world.api('POST', `/tasks/${task.body.id}/transition`, { to, artifacts }, token ?? '');
    expect(await move('assigned', tokens.approver)).toMatchObject({ status: 403, body: { code: 'ROLE' } });
    await move('assigned', agent.token);
    await move('in_progress', agent.token, { workPlan: 'p' });
    expect((await move('review', agent.token, { deliverable: 'd', selfReview: 's' })).status).toBe(200);
    expect(await move('done', tokens.viewer, { deliverableConfirmed: true, decisionNote: 'fine' })).toMatchObject({ status: 403 });
    expect(await move('done', agent.token, { deliverableConfirmed: true, decisionNote: 'fine' })).toMatchObject({ status: 409 });
    expect(await move('done', tokens.approver, { deliverableConfirmed: true, decisionNote: 'fine' })).toMatchObject({
      status: 200,
      body: { status: 'done' },
    });
  });
});

describe('the last administrator', () => {
  it('can be neither removed nor lowered', async () => {
    // Apart from the command line's own operator, which counts: it can make a new one.
    const { body } = await world.api<{ items: { id: string; role: string }[] }>('GET', '/operators');
    const admins = body.items.filter((operator) => operator.role === 'admin');
    const refusals: string[] = [];
    for (const { id } of admins) {
      const answer = await world.api('PATCH', `/operators/${id}`, { role: 'viewer' });
      if (answer.status !== 200) refusals.push(String(answer.body.code));
    }
    expect(refusals).toEqual(['LAST_ADMIN']);
  });
});

describe('the gate', () => {
  const call = (body: object, token: string | null) =>
    world.gate('POST', '/v1/tool-calls', { tool: 'post_comment', arguments: {}, ...body }, token);

  it('opens to agents and gateways only', async () => {
    for (const token of [null, 'mca_wrong', tokens.admin ?? '', 'test-admin-token-0123456789']) {
      for (const [method, path, body] of [
        ['POST', '/v1/tool-calls', { tool: 'post_comment', arguments: {} }],
        ['GET', '/v1/tool-calls/some-id', undefined],
        ['POST', '/v1/tool-calls/some-id/outcome', { status: 'success', durationMs: 1 }],
        ['POST', '/v1/tool-calls/some-id/cancel', {}],
        ['POST', '/v1/runs/check', {}],
        ['POST', '/v1/heartbeats', { pluginVersion: '1' }],
      ] as const) {
        const answer = await world.gate(method, path, body, token);
        expect([answer.status, answer.body.code], `${method} ${path}`).toEqual([401, 'UNAUTHENTICATED']);
      }
    }
    const agent = await newAgent(world);
    const headers = (value: string) => ({ authorization: value, 'content-type': 'application/json' });
    for (const value of [
      agent.token,
      `Basic ${btoa(`x:${agent.token}`)}`,
      `Bearer ${agent.token} ${agent.token}`,
      `Bearer  `,
      `Bearer ${agent.token},`,
    ]) {
      const answer = await fetch(`${world.gateUrl}/v1/runs/check`, { method: 'POST', headers: headers(value), body: '{}' });
      expect(answer.status, value).toBe(401);
    }
  });

  it('stops knowing a token the moment that its revocation is answered', async () => {
    const agent = await newAgent(world);
    expect((await call({}, agent.token)).status).toBe(200);
    const [token] = (await world.api<{ items: { id: string }[] }>('GET', `/agents/${agent.id}/tokens`)).body.items;
    await world.api('DELETE', `/agents/${agent.id}/tokens/${token?.id}`);
    expect((await call({}, agent.token)).status).toBe(401);
    expect((await world.api('DELETE', `/agents/${agent.id}/tokens/${token?.id}`)).status).toBe(404);
  });

  it('lets a gateway speak for its own agents, whom it must name, and for nobody else’s', async () => {
    const gateway = await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'one' });
    const other = await world.api<{ id: string; token: string }>('POST', '/gateways', { name: 'two' });
    const agent = await newAgent(world, { gatewayId: gateway.body.id, externalId: 'main', gate: 'openclaw' });
    const lone = await newAgent(world);
    expect(await call({}, gateway.body.token)).toMatchObject({ status: 403, body: { code: 'AGENT_REQUIRED' } });
    expect(await call({ agentId: 'nobody' }, gateway.body.token)).toMatchObject({ status: 403, body: { code: 'UNKNOWN_AGENT' } });
    expect(await call({ agentId: lone.id }, gateway.body.token)).toMatchObject({ status: 403, body: { code: 'UNKNOWN_AGENT' } });
    expect(await call({ agentId: 'main' }, other.body.token)).toMatchObject({ status: 403, body: { code: 'UNKNOWN_AGENT' } });
    expect(await call({ agentId: agent.id }, other.body.token)).toMatchObject({ status: 403, body: { code: 'UNKNOWN_AGENT' } });
    expect(await call({ agentId: lone.id }, agent.token)).toMatchObject({ status: 403, body: { code: 'FOREIGN_AGENT' } });
    const allowed = await call({ agentId: 'main' }, gateway.body.token);
    expect(allowed.status).toBe(200);
    expect((await world.gate('GET', `/v1/tool-calls/${allowed.body.id}`, undefined, other.body.token)).status).toBe(404);
    expect(
      (await world.gate('POST', `/v1/tool-calls/${allowed.body.id}/outcome`, { status: 'success', durationMs: 1 }, other.body.token))
        .status,
    ).toBe(404);
    expect(await world.gate('POST', '/v1/heartbeats', { pluginVersion: '1' }, agent.token)).toMatchObject({
      status: 403,
      body: { code: 'GATEWAY_TOKEN_REQUIRED' },
    });
    expect((await world.gate('POST', '/v1/heartbeats', { pluginVersion: '1' }, gateway.body.token)).status).toBe(200);
    await world.api('DELETE', `/gateways/${gateway.body.id}`);
    expect((await call({ agentId: 'main' }, gateway.body.token)).status).toBe(401);
  });
});
