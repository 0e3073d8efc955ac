/**
 * The control API: one Hono app with authentication, roles, idempotency and one error handler. Routes are declared in
 * `routes/`; this file owns what holds for all of them.
 */
import { hash, randomUUID } from 'node:crypto';
import { getConnInfo } from '@hono/node-server/conninfo';
import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context, MiddlewareHandler } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { HTTPException } from 'hono/http-exception';
import { secureHeaders } from 'hono/secure-headers';
import type { Agents } from './agents.ts';
import type { Alerts } from './alerts.ts';
import type { Anchors } from './anchors.ts';
import type { Approvals } from './approvals.ts';
import type { Auth, Principal } from './auth.ts';
import type { BackupRuns } from './backup-runs.ts';
import type { Broadcast } from './broadcast.ts';
import type { Calls } from './calls.ts';
import type { Caps } from './caps.ts';
import type { Channels } from './channels.ts';
import type { ChatIdentities } from './chat-identities.ts';
import { type Overview, type Problem, SessionCreateSchema, SessionSchema } from './contract.ts';
import type { CoverageMap } from './coverage.ts';
import type { Db } from './db/database.ts';
import type { Documents } from './documents.ts';
import type { Drills } from './drills.ts';
import type { Emergency } from './emergency.ts';
import { eventStream } from './events.ts';
import type { GatewayPasses } from './gateway-passes.ts';
import type { Gateways } from './gateways.ts';
import type { Grants } from './grants.ts';
import type { HealthReport } from './health.ts';
import type { Incidents } from './incidents.ts';
import type { Keys } from './keys.ts';
import type { Leases } from './leases.ts';
import type { Messages } from './messages.ts';
import type { Notifications } from './notifications.ts';
import type { Operators } from './operators.ts';
import type { Policies } from './policies.ts';
import { Refusal } from './problem.ts';
import type { Reads } from './reads.ts';
import { agentRoutes } from './routes/agents.ts';
import { approvalRoutes } from './routes/approvals.ts';
import { backupRoutes } from './routes/backup.ts';
import { channelRoutes } from './routes/channels.ts';
import { drillRoutes } from './routes/drills.ts';
import { grantRoutes } from './routes/grants.ts';
import { healthRoutes } from './routes/health.ts';
import { policyRoutes } from './routes/policies.ts';
import { recordRoutes } from './routes/records.ts';
import type { Api, ApiEnv } from './routes/route.ts';
import { searchRoutes } from './routes/search.ts';
import { spendRoutes } from './routes/spend.ts';
import { systemRoutes } from './routes/system.ts';
import { taskRoutes } from './routes/tasks.ts';
import { upstreamRoutes } from './routes/upstreams.ts';
import { workRoutes } from './routes/work.ts';
import { isSameSecret } from './same-secret.ts';
import type { Search } from './search.ts';
import type { Shadows } from './shadows.ts';
import type { Souls } from './souls.ts';
import type { Spend } from './spend.ts';
import type { Tasks } from './tasks.ts';
import type { Timeline } from './timeline.ts';
import type { Trials } from './trials.ts';
import type { UpstreamOAuthService } from './upstream-oauth.ts';
import type { Upstreams } from './upstreams.ts';

const COOKIE = 'mc_session';
const BODY_MAX_BYTES = 1024 * 1024;
/** A simulation carries up to a thousand calls. */
const SIMULATE_MAX_BYTES = 8 * 1024 * 1024;
const IDEMPOTENCY_KEEP_MS = 24 * 60 * 60 * 1000;

export interface Services {
  db: Db;
  clock: () => number;
  published: () => void;
  keys: Keys;
  auth: Auth;
  agents: Agents;
  tasks: Tasks;
  timeline: Timeline;
  messages: Messages;
  reads: Reads;
  documents: Documents;
  leases: Leases;
  souls: Souls;
  approvals: Approvals;
  grants: Grants;
  policies: Policies;
  trials: Trials;
  shadows: Shadows;
  alerts: Alerts;
  anchors: Anchors;
  calls: Calls;
  search: Search;
  incidents: Incidents;
  coverage: CoverageMap;
  drills: Drills;
  health: HealthReport;
  backups: BackupRuns;
  spend: Spend;
  caps: Caps;
  gateways: Gateways;
  gatewayPasses: GatewayPasses;
  upstreams: Upstreams;
  upstreamOAuth: UpstreamOAuthService;
  /** How browsers reach us, where that was set. */
  publicUrl: string | null;
  operators: Operators;
  channels: Channels;
  identities: ChatIdentities;
  notifications: Notifications;
  emergency: Emergency;
  broadcast: Broadcast;
  overview: () => Promise<Overview>;
  /** Resolves when every connected proxy judges by what has been committed, or the line has given up on those that do not. */
  caughtUp: () => Promise<void>;
  version: string;
  log: { error: (fields: object, message: string) => void; info: (fields: object, message: string) => void };
}

/** Builds the app that answers everything under /api. */
export function createApi(services: Services): Api {
  const app: Api = new OpenAPIHono<ApiEnv>();
  app.use('*', requestId, secureHeaders(), limitBodies());
  app.onError((error, context) => answerError(error, context, services));
  sessionRoutes(app, services);
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' });
  app.openAPIRegistry.registerComponent('securitySchemes', 'session', { type: 'apiKey', in: 'cookie', name: COOKIE });

  app.use('*', authenticate(services.auth), protectFromForgery, bindBeforeAnswering(services), idempotent(services));
  app.get('/openapi.json', (context) =>
    context.json(
      app.getOpenAPI31Document({
        openapi: '3.1.0',
        info: { title: 'Mission Control for OpenClaw', version: services.version },
        servers: [{ url: '/' }],
      }),
    ),
  );
  app.get('/events', (context) => {
    const principal = context.get('principal');
    if (principal.kind !== 'human') throw new Refusal(403, 'HUMANS_ONLY', 'The event stream is for people.');
    const lastEventId = context.req.header('last-event-id') ?? context.req.query('lastEventId');
    return eventStream(services, () => principalOf(context, services.auth), lastEventId);
  });
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: '/api/events',
    tags: ['record'],
    summary: 'What changes, as server-sent events; resumes with Last-Event-ID',
    description: 'Role: viewer.',
    security: [{ bearer: [] }, { session: [] }],
    responses: {
      200: { description: 'Events "change", "beat" and "reset"', content: { 'text/event-stream': { schema: { type: 'string' } } } },
    },
  });
  agentRoutes(app, services.agents);
  taskRoutes(app, services.tasks);
  workRoutes(app, services);
  approvalRoutes(app, services.approvals);
  grantRoutes(app, services.grants);
  policyRoutes(app, services);
  recordRoutes(app, services);
  backupRoutes(app, services);
  healthRoutes(app, services);
  searchRoutes(app, services);
  drillRoutes(app, services);
  spendRoutes(app, services);
  upstreamRoutes(app, services);
  channelRoutes(app, services);
  systemRoutes(app, {
    ...services,
    signInToken: services.auth.createSignInToken,
    sessionOf: (context) => getCookie(context, COOKIE) ?? null,
  });
  return app;
}

/* ---------------------------------------------------------------- who is asking */

function sessionRoutes(app: Api, { auth }: Services): void {
  app.post('/session', async (context) => {
    refuseForeignOrigin(context);
    const parsed = SessionCreateSchema.safeParse(await context.req.json().catch(() => null));
    if (!parsed.success) throw new Refusal(400, 'BAD_REQUEST', 'Send {"token": "…"}: a sign-in token or an operator token.');
    const { secret, principal, expiresAt } = await auth.signIn(parsed.data.token.trim(), addressOf(context));
    setCookie(context, COOKIE, secret, {
      httpOnly: true,
      sameSite: 'Strict',
      path: '/',
      secure: new URL(context.req.url).protocol === 'https:',
      expires: new Date(expiresAt),
    });
    return context.json(sessionView(principal, expiresAt), 201);
  });
  app.get('/session', async (context) => {
    const principal = await principalOf(context, auth);
    if (principal?.kind !== 'human') return problem(context, 401, 'UNAUTHENTICATED', 'Sign in first.');
    return context.json(sessionView(principal, principal.expiresAt ?? null));
  });
  app.delete('/session', async (context) => {
    const secret = getCookie(context, COOKIE);
    if (secret) {
      const principal = await auth.bySession(secret);
      if (principal) checkForgery(context, principal);
      await auth.signOut(secret);
    }
    deleteCookie(context, COOKIE, { path: '/' });
    return context.body(null, 204);
  });
  app.openAPIRegistry.registerPath({
    method: 'post',
    path: '/api/session',
    tags: ['session'],
    summary: 'Sign in; sets the session cookie',
    request: { body: { content: { 'application/json': { schema: SessionCreateSchema } } } },
    responses: { 201: { description: 'Signed in', content: { 'application/json': { schema: SessionSchema } } } },
  });
  app.openAPIRegistry.registerPath({
    method: 'get',
    path: '/api/session',
    tags: ['session'],
    summary: 'Who is signed in',
    responses: { 200: { description: 'The session', content: { 'application/json': { schema: SessionSchema } } } },
  });
  app.openAPIRegistry.registerPath({
    method: 'delete',
    path: '/api/session',
    tags: ['session'],
    summary: 'Sign out',
    responses: { 204: { description: 'Signed out' } },
  });
}

function sessionView(principal: Extract<Principal, { kind: 'human' }>, expiresAt: number | null) {
  const { id, name, role, isDeputy } = principal;
  return { operator: { id, name, role, ...(isDeputy && { isDeputy }) }, csrfToken: principal.csrfToken ?? '', expiresAt };
}

/** A bearer token counts before a cookie; two different credentials in one request are ambiguous only if both are tokens. */
async function principalOf(context: Context<ApiEnv>, auth: Auth): Promise<Principal | null> {
  const header = context.req.header('authorization');
  if (header !== undefined) {
    const token = /^Bearer +(\S+)$/i.exec(header)?.[1];
    return token ? auth.byToken(token, addressOf(context)) : null;
  }
  const secret = getCookie(context, COOKIE);
  return secret ? auth.bySession(secret) : null;
}

/** The other end of the connection, as the socket says; behind a TLS proxy that is the proxy, for everybody alike. */
export function addressOf(context: Context): string {
  return getConnInfo(context).remote.address ?? '';
}

/** Who presses the stop is known for a while without the database, which must not be in its way. */
async function principalForStop(context: Context<ApiEnv>, auth: Auth): Promise<Principal | null> {
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => late.resolve('late'), STOP_LOOKUP_MS);
  try {
    const principal = await Promise.race([principalOf(context, auth).catch(() => 'late' as const), late.promise]);
    if (principal !== 'late') return principal;
  } finally {
    clearTimeout(timer);
  }
  const header = context.req.header('authorization');
  const secret = header === undefined ? getCookie(context, COOKIE) : /^Bearer +(\S+)$/i.exec(header)?.[1];
  return secret ? auth.knownLately(secret) : null;
}

function isStop(context: Context<ApiEnv>): boolean {
  return context.req.method === 'POST' && context.req.path.endsWith('/emergency/stop');
}

function authenticate(auth: Auth): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    const principal = await (isStop(context) ? principalForStop(context, auth) : principalOf(context, auth));
    if (!principal) {
      context.header('www-authenticate', 'Bearer');
      return problem(context, 401, 'UNAUTHENTICATED', 'Send "Authorization: Bearer <token>", or sign in to the dashboard.');
    }
    context.set('principal', principal);
    return next();
  };
}

/** How long the stop waits for the database to say who presses it. */
const STOP_LOOKUP_MS = 500;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);

/** A change that a cookie authorises must carry the session's token in a header, which another site cannot set. */
const protectFromForgery: MiddlewareHandler<ApiEnv> = async (context, next) => {
  if (!SAFE.has(context.req.method)) checkForgery(context, context.get('principal'));
  return next();
};

function checkForgery(context: Context<ApiEnv>, principal: Principal): void {
  if (principal.kind !== 'human' || principal.csrfToken === null) return;
  refuseForeignOrigin(context);
  if (!isSameSecret(context.req.header('x-mc-csrf') ?? '', principal.csrfToken)) {
    throw new Refusal(403, 'CSRF', 'The X-MC-CSRF header is missing or wrong; reload the page.');
  }
}

function refuseForeignOrigin(context: Context<ApiEnv>): void {
  const origin = context.req.header('origin');
  if (origin === undefined) return;
  const host = URL.canParse(origin) ? new URL(origin).host : null;
  if (host !== context.req.header('host')) throw new Refusal(403, 'FOREIGN_ORIGIN', 'This request comes from another site.');
}

/* ---------------------------------------------------------------- the same request twice */

/** No request takes this long: one that has no answer by then died with the process that worked on it. */
const IDEMPOTENCY_ABANDONED_MS = 10 * 60_000;

/** With an Idempotency-Key, the first answer of a POST is kept for a day and given again (draft-ietf-httpapi-idempotency-key-header). */
function idempotent({ db, clock, keys }: Services): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    const key = context.req.header('idempotency-key');
    // Pressed twice, the stop answers its first receipt by itself, and without the database.
    if (context.req.method !== 'POST' || key === undefined || isStop(context)) return next();
    if (key.length === 0 || key.length > 200) throw new Refusal(400, 'BAD_IDEMPOTENCY_KEY', 'Idempotency-Key takes 1 to 200 characters.');
    const principal = context.get('principal');
    const who = `${principal.kind}:${principal.id}`;
    // Hashed: a path can be longer than an index takes.
    const route = hash('sha256', context.req.path);
    const requestHash = hash('sha256', await context.req.text());
    const now = clock();
    await db
      .deleteFrom('idempotency')
      .where('created_at', '<', now - IDEMPOTENCY_KEEP_MS)
      .execute();
    const claimed = await db
      .insertInto('idempotency')
      .values({ key, principal: who, route, request_hash: requestHash, status: null, response: null, created_at: now })
      .onConflict((conflict) => conflict.columns(['principal', 'route', 'key']).doNothing())
      .returning('key')
      .executeTakeFirst();
    const row = db.selectFrom('idempotency').selectAll().where('principal', '=', who).where('route', '=', route).where('key', '=', key);
    const context_ = `idempotency:${who}:${route}:${key}`;
    if (!claimed) {
      const first = await row.executeTakeFirstOrThrow();
      if (first.request_hash !== requestHash)
        throw new Refusal(422, 'IDEMPOTENCY_MISMATCH', 'This Idempotency-Key was used for another request.');
      if (first.status === null && now - first.created_at > IDEMPOTENCY_ABANDONED_MS)
        throw new Refusal(
          409,
          'OUTCOME_UNKNOWN',
          'The first request with this key was interrupted, and whether it took effect is not known. Look, and repeat it under another key if it did not.',
        );
      if (first.status === null || first.response === null)
        throw new Refusal(409, 'IN_PROGRESS', 'The first request with this key is still running.');
      return context.newResponse(keys.open(first.response, context_), first.status as 200, { 'content-type': 'application/json' });
    }
    await next();
    const own = db.deleteFrom('idempotency').where('principal', '=', who).where('route', '=', route).where('key', '=', key);
    if (context.res.status >= 400) await own.execute();
    else {
      // Sealed: an answer may carry a secret that is shown once.
      const response = keys.seal(await context.res.clone().text(), context_);
      await db
        .updateTable('idempotency')
        .set({ status: context.res.status, response })
        .where('principal', '=', who)
        .where('route', '=', route)
        .where('key', '=', key)
        .execute();
    }
  };
}

/** A change is answered when the proxies judge by it: who pauses an agent may rely on the answer. A stop has waited for them itself. */
function bindBeforeAnswering({ caughtUp }: Services): MiddlewareHandler<ApiEnv> {
  return async (context, next) => {
    await next();
    const { method, path } = context.req;
    // The way back from an authorization server is a GET because browsers come by it, and a change all the same.
    const isChange = !SAFE.has(method) || path.endsWith('/oauth/callback');
    if (isChange && !path.endsWith('/emergency/stop') && context.res.status < 400) await caughtUp();
  };
}

/* ---------------------------------------------------------------- errors and bounds */

const requestId: MiddlewareHandler<ApiEnv> = async (context, next) => {
  const id = randomUUID();
  context.set('requestId', id);
  context.header('x-request-id', id);
  context.header('cache-control', 'no-store');
  return next();
};

function limitBodies(): MiddlewareHandler<ApiEnv> {
  const refuse = (context: Context) => {
    // The rest of the body is not read: the connection ends with this answer, and the client must not send its next request on it.
    context.header('connection', 'close');
    return problem(context, 413, 'TOO_LARGE', 'The body is too large: 1 MiB at most, 8 MiB for a simulation.');
  };
  const usual = bodyLimit({ maxSize: BODY_MAX_BYTES, onError: refuse });
  const simulate = bodyLimit({ maxSize: SIMULATE_MAX_BYTES, onError: refuse });
  return (context, next) => (context.req.path.endsWith('/policies/simulate') ? simulate : usual)(context, next);
}

/** The answer where there is nothing by this method and path. */
export function answerNotFound(context: Context): Response {
  const what = `${context.req.method} ${context.req.path.slice(0, 200)}`;
  return problem(context, 404, 'NOT_FOUND', `There is no ${what} here. The API is described at /api/docs.`);
}

/** The answer to what was thrown: a refusal as it says, anything else without details. */
export function answerError(error: Error, context: Context, { log }: Pick<Services, 'log'>): Response {
  if (error instanceof Refusal) return problem(context, error.status, error.code, error.message, error.extra);
  // The client went away in the middle of its body: nobody hears the answer, and nothing broke.
  if (context.req.raw.signal.aborted) return problem(context, 400, 'ABORTED', 'The client went away in the middle of its request.');
  if (error instanceof HTTPException)
    return problem(context, error.status as 400, 'BAD_REQUEST', error.message || 'The request cannot be read.');
  log.error({ err: error, requestId: context.get('requestId'), path: context.req.path }, 'request failed');
  return problem(context, 500, 'INTERNAL', 'Something broke on our side. The request id finds it in the log.');
}

function problem(context: Context, status: number, code: string, detail: string, extra: Record<string, unknown> = {}): Response {
  const body: Problem = {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail,
    code,
    ...(context.get('requestId') && { requestId: context.get('requestId') as string }),
    ...extra,
  };
  return context.newResponse(JSON.stringify(body), status as 400, { 'content-type': 'application/problem+json' });
}

const TITLES: Record<number, string> = {
  400: 'Bad request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not found',
  409: 'Conflict',
  412: 'Precondition failed',
  413: 'Too large',
  422: 'Unprocessable',
  429: 'Too many requests',
  500: 'Internal error',
  503: 'Unavailable',
};
