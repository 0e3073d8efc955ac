import { GRANT_FILTER, GrantDetailSchema, GrantRevokeSchema, GrantSchema, listOf } from '../contract.ts';
import type { Grants } from '../grants.ts';
import { type Api, ID, PAGE, route } from './route.ts';

/** Standing grants: what was approved for longer. They are made with an approval. */
export function grantRoutes(app: Api, grants: Grants): void {
  const tag = 'grants';
  route(
    app,
    {
      method: 'get',
      path: '/grants',
      tag,
      summary: 'List standing grants, newest first; active ones unless a status is asked for',
      access: { role: 'viewer' },
      query: { ...PAGE, ...GRANT_FILTER },
      response: listOf(GrantSchema),
    },
    ({ query }) => grants.list(query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/grants/{id}',
      tag,
      summary: 'One standing grant with the calls that used it, newest first',
      access: { role: 'viewer' },
      params: ID,
      response: GrantDetailSchema,
    },
    ({ params }) => grants.get(params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/grants/{id}/revoke',
      tag,
      summary: 'Revoke a standing grant: the next call needs a person again',
      access: { role: 'approver', deputies: true },
      params: ID,
      body: GrantRevokeSchema,
      response: GrantSchema,
    },
    ({ actor, params, body }) => grants.revoke(actor, params.id, body.reason?.trim() || null),
  );
}
