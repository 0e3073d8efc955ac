import { z } from 'zod';
import { AGENT_STATUSES } from '../../policies/index.ts';
import type { Agents } from '../agents.ts';
import {
  AgentCreateSchema,
  AgentSchema,
  AgentUpdateSchema,
  ControlActionSchema,
  listOf,
  NewTokenSchema,
  TokenSchema,
} from '../contract.ts';
import { pageOf } from '../paging.ts';
import { notFound } from '../problem.ts';
import { type Api, ID, PAGE, route } from './route.ts';

/** Agents: registration, lifecycle, tokens. */
export function agentRoutes(app: Api, agents: Agents): void {
  const tag = 'agents';
  route(
    app,
    {
      method: 'get',
      path: '/agents',
      tag,
      summary: 'List agents',
      access: { role: 'viewer' },
      query: { ...PAGE, status: z.enum(AGENT_STATUSES).optional() },
      response: listOf(AgentSchema),
    },
    ({ query }) => agents.list(query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/agents',
      tag,
      summary: 'Register an agent',
      access: { role: 'operator' },
      body: AgentCreateSchema,
      response: AgentSchema,
      status: 201,
    },
    ({ actor, body }) => agents.create(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/agents/{id}',
      tag,
      summary: 'One agent',
      access: { role: 'viewer', agents: true },
      params: ID,
      response: AgentSchema,
    },
    async ({ principal, params }) => {
      if (principal.kind === 'agent' && principal.id !== params.id) throw notFound('agent', params.id);
      return agents.get(params.id);
    },
  );
  route(
    app,
    {
      method: 'patch',
      path: '/agents/{id}',
      tag,
      summary: 'Change an agent',
      access: { role: 'operator' },
      params: ID,
      body: AgentUpdateSchema,
      response: AgentSchema,
    },
    ({ actor, params, body, revision }) => agents.update(actor, params.id, body, revision),
  );
  route(
    app,
    { method: 'delete', path: '/agents/{id}', tag, summary: 'Retire an agent', access: { role: 'operator' }, params: ID },
    ({ actor, params }) => agents.remove(actor, params.id),
  );
  for (const [action, summary] of [
    ['pause', 'Refuse new calls until restarted'],
    ['drain', 'Finish the current task, then pause'],
    ['quarantine', 'Refuse everything, withdraw what is held, block its tasks'],
    ['restart', 'Back to active'],
  ] as const) {
    route(
      app,
      {
        method: 'post',
        path: `/agents/{id}/${action}`,
        tag,
        summary,
        access: { role: 'operator' },
        params: ID,
        body: ControlActionSchema,
        response: AgentSchema,
      },
      ({ actor, params, body }) => agents[action](actor, params.id, body.reason ?? null),
    );
  }
  route(
    app,
    {
      method: 'get',
      path: '/agents/{id}/tokens',
      tag,
      summary: 'Credentials of an agent, without secrets',
      access: { role: 'admin' },
      params: ID,
      query: PAGE,
      response: listOf(TokenSchema),
    },
    async ({ params, query }) => pageOf(await agents.listTokens(params.id), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/agents/{id}/tokens',
      tag,
      summary: 'Issue a token, shown this once',
      access: { role: 'admin' },
      params: ID,
      body: z.strictObject({}),
      response: NewTokenSchema,
      status: 201,
    },
    ({ actor, params }) => agents.issueToken(actor, params.id),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/agents/{id}/tokens/{tokenId}',
      tag,
      summary: 'Revoke a token',
      access: { role: 'admin' },
      params: { ...ID, tokenId: z.string().min(1).max(128) },
    },
    ({ actor, params }) => agents.revokeToken(actor, params.id, params.tokenId),
  );
}
