import { z } from 'zod';
import { listOf, ToolAcceptSchema, UpstreamCreateSchema, UpstreamSchema, UpstreamToolSchema, UpstreamUpdateSchema } from '../contract.ts';
import { pageOf } from '../paging.ts';
import type { Upstreams } from '../upstreams.ts';
import { type Api, ID, PAGE, route } from './route.ts';

/** The registry of upstreams and the pins of their tools (SPEC 8.3, 4.8). An upstream is named by its id or its name. */
export function upstreamRoutes(app: Api, upstreams: Upstreams): void {
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
}
