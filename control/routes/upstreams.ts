import { z } from 'zod';
import { actorOf, atLeast } from '../auth.ts';
import {
  listOf,
  ProblemSchema,
  ToolAcceptSchema,
  UpstreamAuthorizationSchema,
  UpstreamCreateSchema,
  UpstreamSchema,
  UpstreamToolSchema,
  UpstreamUpdateSchema,
} from '../contract.ts';
import { PAGE_HEADERS, pageText } from '../oauth-return.ts';
import { pageOf } from '../paging.ts';
import { Refusal } from '../problem.ts';
import type { UpstreamOAuthService } from '../upstream-oauth.ts';
import type { Upstreams } from '../upstreams.ts';
import { type Api, ID, PAGE, route } from './route.ts';

const AuthorisedSchema = z.object({ id: z.string(), name: z.string() });

interface Services {
  upstreams: Upstreams;
  upstreamOAuth: UpstreamOAuthService;
  publicUrl: string | null;
}

/** The registry of upstreams and the pins of their tools (SPEC 8.3, 4.8). An upstream is named by its id or its name. */
export function upstreamRoutes(app: Api, { upstreams, upstreamOAuth, publicUrl }: Services): void {
  const tag = 'upstreams';
  route(
    app,
    {
      method: 'get',
      path: '/upstreams',
      tag,
      summary: 'List upstreams with their health',
      access: { role: 'viewer' },
      query: PAGE,
      response: listOf(UpstreamSchema),
    },
    async ({ query }) => pageOf(await upstreams.list(), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/upstreams',
      tag,
      summary: 'Add an upstream',
      access: { role: 'admin' },
      body: UpstreamCreateSchema,
      response: UpstreamSchema,
      status: 201,
    },
    ({ actor, body }) => upstreams.create(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/upstreams/{id}',
      tag,
      summary: 'One upstream',
      access: { role: 'viewer' },
      params: ID,
      response: UpstreamSchema,
    },
    ({ params }) => upstreams.get(params.id),
  );
  route(
    app,
    {
      method: 'patch',
      path: '/upstreams/{id}',
      tag,
      summary: 'Change an upstream; another host or command needs its secret again and holds its tools',
      access: { role: 'admin' },
      params: ID,
      body: UpstreamUpdateSchema,
      response: UpstreamSchema,
    },
    async ({ actor, params, body, revision }) => upstreams.update(actor, await upstreams.idOf(params.id), body, revision),
  );
  route(
    app,
    { method: 'delete', path: '/upstreams/{id}', tag, summary: 'Remove an upstream', access: { role: 'admin' }, params: ID },
    async ({ actor, params }) => upstreams.remove(actor, await upstreams.idOf(params.id)),
  );
  route(
    app,
    {
      method: 'get',
      path: '/upstreams/{id}/tools',
      tag,
      summary: 'Tools of an MCP server: what is pinned, what it says now, and the difference',
      access: { role: 'viewer' },
      params: ID,
      query: PAGE,
      response: listOf(UpstreamToolSchema),
    },
    async ({ params, query }) => pageOf(await upstreams.tools(params.id), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/upstreams/{id}/tools/{tool}/accept',
      tag,
      summary: 'Accept a changed or new tool as it is now',
      access: { role: 'operator' },
      params: { ...ID, tool: z.string().min(1).max(200) },
      body: ToolAcceptSchema,
      response: UpstreamToolSchema,
    },
    async ({ actor, params, body }) => upstreams.acceptTool(actor, await upstreams.idOf(params.id), params.tool, body),
  );
  route(
    app,
    {
      method: 'post',
      path: '/upstreams/{id}/authorize',
      tag,
      summary: 'Begin to authorise Mission Control at an upstream that asks for OAuth; answers the address to open',
      access: { role: 'admin' },
      params: ID,
      response: UpstreamAuthorizationSchema,
    },
    async ({ actor, principal, params, context }) =>
      upstreamOAuth.authorize(
        { ...actor, id: principal.id },
        await upstreams.idOf(params.id),
        (publicUrl ?? new URL(context.req.url).origin).replace(/\/$/, ''),
      ),
  );
  // An authorization server may add parameters that nobody has listed: this route reads its query itself. A browser gets a page.
  app.get('/oauth/callback', async (context) => {
    const principal = context.get('principal');
    if (principal.kind !== 'human') throw new Refusal(403, 'HUMANS_ONLY', 'This is for people.');
    if (!atLeast(principal.role, 'admin'))
      throw new Refusal(403, 'ROLE', `This needs the role admin or higher; ${principal.name} is ${principal.role}.`);
    const isPage = (context.req.header('accept') ?? '').includes('text/html');
    try {
      const done = await upstreamOAuth.complete({ ...actorOf(principal), id: principal.id }, new URL(context.req.url).searchParams);
      if (!isPage) return context.json(done);
      return context.body(pageText('Authorised', `${done.name} is authorised. You may close this page.`), 200, PAGE_HEADERS);
    } catch (error) {
      if (!isPage || !(error instanceof Refusal)) throw error;
      return context.body(pageText('Not authorised', error.message), error.status, PAGE_HEADERS);
    }
  });
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: '/api/oauth/callback',
    tags: [tag],
    summary: 'End an authorization; the browser is sent here with the answer of the authorization server',
    description: 'Role: admin.',
    security: [{ bearer: [] }, { session: [] }],
    request: {
      query: z.object({ state: z.string(), code: z.string().optional(), iss: z.string().optional(), error: z.string().optional() }),
    },
    responses: {
      200: {
        description: 'Authorised: a page for a browser, else the id and name',
        content: { 'application/json': { schema: AuthorisedSchema } },
      },
      default: { description: 'Refused', content: { 'application/problem+json': { schema: ProblemSchema } } },
    },
  });
}
