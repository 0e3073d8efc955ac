/**
 * How a route is declared: method, path, who may call it, what goes in and what comes out, in one value. From these the
 * handlers and the OpenAPI document, with the role that each route needs, are made, so they cannot disagree.
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { z } from 'zod';
import { isBoundedJson } from '../../policies/index.ts';
import type { Actor } from '../audit.ts';
import { actorOf, atLeast, type Principal } from '../auth.ts';
import { ProblemSchema, type Role, storableJson } from '../contract.ts';
import { Refusal } from '../problem.ts';

/** The least role of a person, and whether an agent's own credential may call it (each such route checks what is the agent's). */
export interface Access {
  role: Role;
  agents?: true;
  /** Also for the deputy of somebody who is away. */
  deputies?: true;
}

export interface ApiEnv {
  Variables: { principal: Principal; requestId: string };
}
export type Api = OpenAPIHono<ApiEnv>;

type Shape = Record<string, z.ZodType>;
type Parsed<S extends Shape> = z.infer<z.ZodObject<S>>;

export interface RouteSpec<P extends Shape, Q extends Shape, B extends z.ZodType> {
  method: 'get' | 'post' | 'patch' | 'delete';
  /** Under /api, OpenAPI form: "/agents/{id}". */
  path: string;
  tag: string;
  summary: string;
  access: Access;
  params?: P;
  query?: Q;
  body?: B;
  /** The body is judged and not stored: any text may stand in it. Everywhere else a text that cannot be stored is refused. */
  anyText?: true;
  /** Only described: the handler reads the body itself, with {@link readBytes}, and has it read where that delays nobody. */
  unreadBody?: z.ZodType;
  /** Absent: 204 without a body. */
  response?: z.ZodType;
  status?: 200 | 201;
}

export interface RouteInput<P extends Shape, Q extends Shape, B extends z.ZodType> {
  params: Parsed<P>;
  query: Parsed<Q>;
  body: z.infer<B>;
  principal: Principal;
  actor: Actor;
  /** From If-Match, as a revision number; null where the caller sent none. */
  revision: number | null;
  context: Context<ApiEnv>;
}

/** Adds a route to the API. */
export function route<P extends Shape = Shape, Q extends Shape = Shape, B extends z.ZodType = z.ZodUndefined>(
  app: Api,
  spec: RouteSpec<P, Q, B>,
  handle: (input: RouteInput<P, Q, B>) => Promise<unknown>,
): void {
  document(app, spec);
  app.on(spec.method.toUpperCase(), spec.path.replaceAll(/\{(\w+)\}/g, ':$1'), async (context) => {
    const principal = context.get('principal');
    permit(principal, spec.access);
    const input: RouteInput<P, Q, B> = {
      params: parse(z.object(spec.params ?? ({} as P)), context.req.param(), 'path'),
      query: parse(z.strictObject(spec.query ?? ({} as Q)), context.req.query(), 'query') as Parsed<Q>,
      body: spec.body ? parse(spec.body, await readBody(context), 'body', spec.anyText) : (undefined as z.infer<B>),
      principal,
      actor: actorOf(principal),
      revision: revisionOf(context.req.header('if-match')),
      context,
    };
    const result = await handle(input);
    if (result instanceof Response) return result;
    if (spec.response === undefined) return context.body(null, 204);
    const revision = typeof result === 'object' && result !== null && 'revision' in result ? result.revision : null;
    if (typeof revision === 'number') context.header('etag', `"${revision}"`);
    return context.json(result as object, spec.status ?? 200);
  });
}

/** Query parameters of a paged list. */
export const PAGE = {
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().max(1000).optional(),
};
export const ID = { id: z.string().min(1).max(128) };

function permit(principal: Principal, access: Access): void {
  if (principal.kind === 'agent') {
    if (access.agents) return;
    throw new Refusal(403, 'HUMANS_ONLY', 'This is for people. An agent takes part through its own tasks and the gate.');
  }
  if (!atLeast(principal.role, access.role) && !(access.deputies && principal.isDeputy)) {
    throw new Refusal(403, 'ROLE', `This needs the role ${access.role} or higher; ${principal.name} is ${principal.role}.`);
  }
}

function parse<S extends z.ZodType>(schema: S, value: unknown, where: string, anyText?: true): z.infer<S> {
  const text = anyText ? '' : JSON.stringify(value);
  if (storableJson(text) !== text)
    throw new Refusal(400, 'BAD_TEXT', `A text in the ${where} contains NUL or half a surrogate pair, which cannot be stored.`);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors = result.error.issues.slice(0, 20).map((issue) => ({ path: issue.path.join('.') || where, message: issue.message }));
  throw new Refusal(400, 'BAD_REQUEST', `The ${where} is not as expected: ${errors[0]?.path}: ${errors[0]?.message}`, { errors });
}

/** The body as it came, bounded in size by the server. @throws Refusal 400 where it is not said to be JSON */
export async function readBytes(context: Context<ApiEnv>): Promise<ArrayBuffer> {
  demandJson(context);
  return context.req.arrayBuffer();
}

function demandJson(context: Context<ApiEnv>): void {
  const type = context.req.header('content-type') ?? '';
  if (!/^application\/json\b/i.test(type)) throw new Refusal(400, 'CONTENT_TYPE', 'Send JSON with "Content-Type: application/json".');
}

/** The body, bounded in size by the server and in depth here. An absent body of a POST counts as {}. */
async function readBody(context: Context<ApiEnv>): Promise<unknown> {
  const text = await context.req.text();
  if (text.trim() === '') return {};
  demandJson(context);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refusal(400, 'BAD_JSON', 'The body is not valid JSON.');
  }
  if (!isBoundedJson(value)) throw new Refusal(400, 'TOO_DEEP', 'The body is nested too deeply.');
  return value;
}

function revisionOf(header: string | undefined): number | null {
  if (header === undefined || header === '*') return null;
  const match = /^(?:W\/)?"(\d{1,15})"$/.exec(header);
  if (!match) throw new Refusal(400, 'BAD_IF_MATCH', 'If-Match takes the ETag that a GET answered, such as "3".');
  return Number(match[1]);
}

function document<P extends Shape, Q extends Shape, B extends z.ZodType>(app: Api, spec: RouteSpec<P, Q, B>): void {
  const problem = { description: 'Refused', content: { 'application/problem+json': { schema: ProblemSchema } } };
  const who = `Role: ${spec.access.role}${spec.access.agents ? ', or an agent for what is its own' : ''}${spec.access.deputies ? ', or the deputy of one who is away' : ''}.`;
  app.openAPIRegistry.registerPath({
    method: spec.method,
    path: `/api${spec.path}`,
    tags: [spec.tag],
    summary: spec.summary,
    description: who,
    security: [{ bearer: [] }, { session: [] }],
    request: {
      ...(spec.params && { params: z.object(spec.params) }),
      ...(spec.query && { query: z.object(spec.query) }),
      ...((spec.body ?? spec.unreadBody) && {
        body: { content: { 'application/json': { schema: (spec.body ?? spec.unreadBody) as z.ZodType } } },
      }),
    },
    responses: {
      [spec.response ? String(spec.status ?? 200) : '204']: spec.response
        ? { description: 'Done', content: { 'application/json': { schema: spec.response } } }
        : { description: 'Done' },
      default: problem,
    },
  });
}
