import type { Context } from 'hono';
import { z } from 'zod';
import type { Actor } from '../audit.ts';
import {
  AbsenceSchema,
  ControlActionSchema,
  GatewayCreateSchema,
  GatewaySchema,
  GatewayTicketSchema,
  GatewayUpdateSchema,
  listOf,
  NewTokenSchema,
  OperatorCreateSchema,
  OperatorSchema,
  OperatorUpdateSchema,
  type Overview,
  OverviewSchema,
  ResumeSchema,
  StopProofSchema,
  StopReceiptSchema,
  SystemStateSchema,
  TokenSchema,
} from '../contract.ts';
import type { Emergency } from '../emergency.ts';
import type { GatewayPasses } from '../gateway-passes.ts';
import type { Gateways } from '../gateways.ts';
import type { Operators } from '../operators.ts';
import { pageOf } from '../paging.ts';
import { type Api, type ApiEnv, ID, PAGE, route } from './route.ts';

/** The emergency stop, gateways, operators, and the overview for the dashboard's header. */
export function systemRoutes(
  app: Api,
  {
    emergency,
    gateways,
    gatewayPasses,
    operators,
    overview,
    signInToken,
    sessionOf,
  }: {
    emergency: Emergency;
    gateways: Gateways;
    gatewayPasses: GatewayPasses;
    operators: Operators;
    overview: () => Promise<Overview>;
    signInToken: (operatorId: string, actor: Actor) => Promise<string>;
    /** Secret of the session that a request came with, if it came with one and not with a token. */
    sessionOf: (context: Context<ApiEnv>) => string | null;
  },
): void {
  route(
    app,
    {
      method: 'get',
      path: '/overview',
      tag: 'system',
      summary: 'What the header shows',
      access: { role: 'viewer' },
      response: OverviewSchema,
    },
    overview,
  );

  route(
    app,
    {
      method: 'get',
      path: '/emergency',
      tag: 'emergency',
      summary: 'Is anything stopped?',
      access: { role: 'viewer' },
      response: SystemStateSchema,
    },
    () => emergency.state(),
  );
  route(
    app,
    {
      method: 'post',
      path: '/emergency/pause-squad',
      tag: 'emergency',
      summary: 'Pause all agents',
      access: { role: 'operator' },
      body: ControlActionSchema,
      response: SystemStateSchema,
    },
    ({ actor, body }) => emergency.pauseSquad(actor, body.reason ?? null),
  );
  route(
    app,
    {
      method: 'post',
      path: '/emergency/stop',
      tag: 'emergency',
      summary: 'Stop everything; answers the receipt',
      access: { role: 'operator' },
      body: ControlActionSchema,
      response: StopReceiptSchema,
    },
    ({ actor, body }) => emergency.stop(actor, body.reason ?? null),
  );
  route(
    app,
    {
      method: 'get',
      path: '/emergency/receipt',
      tag: 'emergency',
      summary: 'The receipt of the last stop, signed, and the public key that proves it',
      access: { role: 'viewer' },
      response: StopProofSchema,
    },
    () => emergency.proof(),
  );
  route(
    app,
    {
      method: 'post',
      path: '/emergency/resume',
      tag: 'emergency',
      summary: 'Lift the stop; agents stay paused',
      access: { role: 'admin' },
      body: ResumeSchema,
      response: SystemStateSchema,
    },
    ({ actor, body }) => emergency.resume(actor, body.note),
  );

  route(
    app,
    {
      method: 'get',
      path: '/gateways',
      tag: 'gateways',
      summary: 'List OpenClaw gateways',
      access: { role: 'viewer' },
      query: PAGE,
      response: listOf(GatewaySchema),
    },
    async ({ query }) => pageOf(await gateways.list(), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/gateways',
      tag: 'gateways',
      summary: 'Register an OpenClaw gateway; answers its token for the gate once',
      access: { role: 'admin' },
      body: GatewayCreateSchema,
      response: GatewaySchema.extend({ token: z.string() }),
      status: 201,
    },
    ({ actor, body }) => gateways.register(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/gateways/{id}',
      tag: 'gateways',
      summary: 'One gateway',
      access: { role: 'viewer' },
      params: ID,
      response: GatewaySchema,
    },
    ({ params }) => gateways.get(params.id),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/gateways/{id}',
      tag: 'gateways',
      summary: 'Remove a gateway and revoke its tokens',
      access: { role: 'admin' },
      params: ID,
    },
    ({ actor, params }) => gateways.remove(actor, params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/gateways/{id}/tokens',
      tag: 'gateways',
      summary: 'Credentials of a gateway, without secrets',
      access: { role: 'admin' },
      params: ID,
      query: PAGE,
      response: listOf(TokenSchema),
    },
    async ({ params, query }) => pageOf(await gateways.listTokens(params.id), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/gateways/{id}/tokens',
      tag: 'gateways',
      summary: 'Issue a further token for the gate, shown this once',
      access: { role: 'admin' },
      params: ID,
      body: z.strictObject({}),
      response: NewTokenSchema,
      status: 201,
    },
    ({ actor, params }) => gateways.issueToken(actor, params.id),
  );

  route(
    app,
    {
      method: 'patch',
      path: '/gateways/{id}',
      tag: 'gateways',
      summary: 'Change name, address or operator token of a gateway',
      access: { role: 'admin' },
      params: ID,
      body: GatewayUpdateSchema,
      response: GatewaySchema,
    },
    ({ actor, params, body }) => gateways.update(actor, params.id, body),
  );
  route(
    app,
    {
      method: 'post',
      path: '/gateways/{id}/passes',
      tag: 'gateways',
      summary: "Issue a ticket to the gateway's own pages, through the proxy",
      access: { role: 'admin' },
      params: ID,
      body: z.strictObject({}),
      response: GatewayTicketSchema,
      status: 201,
    },
    ({ actor, params, context }) =>
      gatewayPasses.issue(actor, params.id, context.req.header('authorization') === undefined ? sessionOf(context) : null),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/gateways/{id}/tokens/{tokenId}',
      tag: 'gateways',
      summary: 'Revoke a token of a gateway',
      access: { role: 'admin' },
      params: { ...ID, tokenId: z.string().min(1).max(128) },
    },
    ({ actor, params }) => gateways.revokeToken(actor, params.id, params.tokenId),
  );
  route(
    app,
    {
      method: 'post',
      path: '/sign-in-links',
      tag: 'operators',
      summary: 'Make a one-time sign-in token for yourself',
      access: { role: 'viewer' },
      body: z.strictObject({}),
      response: z.object({ token: z.string() }),
      status: 201,
    },
    async ({ principal, actor }) => ({ token: await signInToken(principal.id, actor) }),
  );

  route(
    app,
    {
      method: 'get',
      path: '/operators',
      tag: 'operators',
      summary: 'List people',
      access: { role: 'admin' },
      query: PAGE,
      response: listOf(OperatorSchema),
    },
    async ({ query }) => pageOf(await operators.list(), query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/operators',
      tag: 'operators',
      summary: 'Add a person with a first token, shown this once',
      access: { role: 'admin' },
      body: OperatorCreateSchema,
      response: OperatorSchema.extend({ token: z.string() }),
      status: 201,
    },
    ({ actor, body }) => operators.create(actor, body),
  );
  route(
    app,
    {
      method: 'patch',
      path: '/operators/{id}',
      tag: 'operators',
      summary: 'Change name or role',
      access: { role: 'admin' },
      params: ID,
      body: OperatorUpdateSchema,
      response: OperatorSchema,
    },
    ({ actor, params, body }) => operators.update(actor, params.id, body),
  );
  route(
    app,
    { method: 'delete', path: '/operators/{id}', tag: 'operators', summary: 'Remove a person', access: { role: 'admin' }, params: ID },
    ({ actor, params }) => operators.remove(actor, params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/operators/deputies',
      tag: 'operators',
      summary: 'Those whom you could name as your deputy',
      access: { role: 'viewer' },
      query: PAGE,
      response: listOf(OperatorSchema.pick({ id: true, name: true, role: true })),
    },
    async ({ principal, query }) => pageOf(await operators.listDeputies(principal.id), query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/operators/{id}/absence',
      tag: 'operators',
      summary: 'Whether somebody is away and who decides meanwhile; for oneself, or for anybody as administrator',
      access: { role: 'viewer' },
      params: ID,
      response: OperatorSchema.pick({ absence: true }),
    },
    ({ principal, params }) => operators.absenceOf(principal, params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/operators/{id}/absence',
      tag: 'operators',
      summary: 'Be away until a time, with a deputy who may decide approvals meanwhile; for oneself, or for anybody as administrator',
      access: { role: 'viewer' },
      params: ID,
      body: AbsenceSchema,
      response: OperatorSchema,
    },
    ({ principal, actor, params, body }) => operators.setAbsence(principal, actor, params.id, body),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/operators/{id}/absence',
      tag: 'operators',
      summary: 'Be back',
      access: { role: 'viewer' },
      params: ID,
      response: OperatorSchema,
    },
    ({ principal, actor, params }) => operators.endAbsence(principal, actor, params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/operators/{id}/tokens',
      tag: 'operators',
      summary: 'Issue a token, shown this once',
      access: { role: 'admin' },
      params: ID,
      body: z.strictObject({}),
      response: NewTokenSchema,
      status: 201,
    },
    ({ actor, params }) => operators.issueToken(actor, params.id),
  );
  route(
    app,
    {
      method: 'delete',
      path: '/operators/{id}/tokens/{tokenId}',
      tag: 'operators',
      summary: 'Revoke a token',
      access: { role: 'admin' },
      params: { ...ID, tokenId: z.string().min(1).max(128) },
    },
    ({ actor, params }) => operators.revokeToken(actor, params.id, params.tokenId),
  );
}
