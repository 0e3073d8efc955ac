import { z } from 'zod';
import { type JsonObject, simulateCases, simulateRequestSchema } from '../../policies/index.ts';
import { listOf, PolicyActivateSchema, PolicyCreateSchema, PolicySchema } from '../contract.ts';
import { pageOf } from '../paging.ts';
import type { Policies } from '../policies.ts';
import { type Api, ID, PAGE, route } from './route.ts';

/** Policies: versions, activation, simulation. */
export function policyRoutes(app: Api, policies: Policies): void {
  const tag = 'policies';
  route(
    app,
    { method: 'get', path: '/policies/active', tag, summary: 'The active policy', access: { role: 'viewer' }, response: PolicySchema },
    () => policies.get(policies.current().id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies',
      tag,
      summary: 'All versions, newest first',
      access: { role: 'viewer' },
      query: PAGE,
      response: listOf(PolicySchema),
    },
    async ({ query }) => pageOf(await policies.list(), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/simulate',
      tag,
      summary: 'Judge calls without effects, up to 1,000 at once (SPEC 8.2)',
      access: { role: 'viewer' },
      body: simulateRequestSchema,
      anyText: true,
      response: z.object({ results: z.array(z.unknown()) }),
    },
    async ({ body }) => {
      const reference = body.policy ?? 'active';
      const policy = await policies.resolve(
        typeof reference === 'number' ? `v${reference}` : (reference as string | { patch: JsonObject }),
      );
      return { results: simulateCases(body.cases, policy) };
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/policies/{id}',
      tag,
      summary: 'One version, by id or name',
      access: { role: 'viewer' },
      params: ID,
      response: PolicySchema,
    },
    ({ params }) => policies.get(params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies',
      tag,
      summary: 'Add a version; it does not bind before it is activated',
      access: { role: 'admin' },
      body: PolicyCreateSchema,
      response: z.object({ id: z.string(), version: z.string() }),
      status: 201,
    },
    ({ actor, body }) =>
      policies.create(actor, {
        document: body.document as JsonObject | string | undefined,
        patch: body.patch as JsonObject | undefined,
        note: body.note,
      }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/policies/{id}/activate',
      tag,
      summary: 'Make a version the active one',
      access: { role: 'admin' },
      params: ID,
      body: PolicyActivateSchema,
      response: PolicySchema,
    },
    ({ actor, params, body }) => policies.activate(actor, params.id, body.note),
  );
}
