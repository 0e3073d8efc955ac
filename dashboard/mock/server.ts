/**
 * Serves the world by the contract: sessions with CSRF, roles, problem+json, resumable events with a beat every second, and the dashboard's
 * files under the same strict Content-Security-Policy as the product.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { extname, join, normalize } from 'node:path';
import type {
  AgentCreate,
  AgentUpdate,
  ChangeEvent,
  Role,
  Session,
  TaskCreate,
  TaskUpdate,
  TransitionRequest,
  UpstreamCreate,
  UpstreamUpdate,
} from '../../control/contract.ts';
import type { Autonomy } from '../../policies/model.ts';
import { readCommands } from './command-reader.ts';
import { DRILL_NAMES } from './drills.ts';
import { findIn } from './finding.ts';
import { proposeGrant } from './grants.ts';
import { coverageOf, healthOf } from './health.ts';
import { type Person, Problem, type World } from './world.ts';

const RANK: Record<Role, number> = { viewer: 0, approver: 1, operator: 2, admin: 3 };
const BEAT_MS = 1_000;
/** A key that signs nothing: the sample receipts are not proven. */
const SAMPLE_KEY = `-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA${'A'.repeat(43)}=\n-----END PUBLIC KEY-----\n`;
/** What the product sends too: nothing from outside, no inline script, no inline style. */
const CSP =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

/** What answers everything that is not the API. */
export type FileHandler = (request: IncomingMessage, response: ServerResponse) => void;

export interface MockServer {
  url: string;
  /** Closes every open event stream; new ones are refused until `allowEvents`. */
  cutEvents(): void;
  allowEvents(): void;
  close(): Promise<void>;
}

/** Starts on a free port of the loopback, or the given one. */
export async function serveWorld(world: World, files: FileHandler, port = 0): Promise<MockServer> {
  const streams = new Set<ServerResponse>();
  let eventsAllowed = true;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    if (!url.pathname.startsWith('/api/')) return files(request, response);
    if (url.pathname === '/api/events') {
      if (!eventsAllowed) return void response.destroy();
      return stream(world, request, response, streams);
    }
    void answer(world, request, response, url);
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' && address ? address.port : port}`,
    cutEvents() {
      eventsAllowed = false;
      for (const response of streams) response.destroy();
    },
    allowEvents() {
      eventsAllowed = true;
    },
    async close() {
      for (const response of streams) response.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The built files of a folder, with the history fallback. */
export function filesOf(folder: string): FileHandler {
  return async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = extname(path) ? path : '/index.html';
    try {
      const body = await readFile(join(folder, file));
      response.writeHead(200, {
        'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
        'Content-Security-Policy': CSP,
        'X-Content-Type-Options': 'nosniff',
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  };
}

/* ---------------------------------------------------------------- the API */

type Handler = (at: {
  params: string[];
  query: URLSearchParams;
  body: Record<string, unknown>;
  person: Person;
  request: IncomingMessage;
}) => unknown;

function routesOf(world: World): [string, RegExp, Role, Handler][] {
  const reasonIn = (body: Record<string, unknown>) => (typeof body.reason === 'string' ? body.reason : null);
  return [
    ['GET', /^overview$/, 'viewer', () => world.overview()],
    ['GET', /^health$/, 'viewer', () => healthOf(world)],
    ['GET', /^coverage$/, 'viewer', () => coverageOf(world)],
    ['GET', /^drills$/, 'viewer', () => world.drills.card()],
    ['POST', /^drills$/, 'operator', ({ body }) => world.drills.start(DRILL_NAMES.find((name) => name === body.name))],
    ['GET', /^agents$/, 'viewer', ({ query }) => page([...world.agents.values()], query)],
    ['POST', /^agents$/, 'operator', ({ body }) => created(world, body)],
    ['GET', /^agents\/([^/]+)$/, 'viewer', ({ params: [id = ''] }) => world.agent(id)],
    [
      'PATCH',
      /^agents\/([^/]+)$/,
      'operator',
      ({ params: [id = ''], body, person, request }) => {
        const expected = request.headers['if-match'];
        if (expected && expected !== `"${world.agent(id).revision}"`)
          throw new Problem(412, 'STALE_REVISION', 'Somebody changed this agent meanwhile. Read it again.');
        return world.updateAgent(id, body as AgentUpdate, person);
      },
    ],
    [
      'POST',
      /^agents\/([^/]+)\/(pause|drain|quarantine|restart)$/,
      'operator',
      ({ params: [id = '', action = ''], body, person }) => world.control(id, action as 'pause', reasonIn(body), person),
    ],
    [
      'GET',
      /^agents\/([^/]+)\/tokens$/,
      'admin',
      ({ params: [id], query }) =>
        page(
          [...world.tokens.values()].filter((token) => token.agentId === id),
          query,
        ),
    ],
    ['POST', /^agents\/([^/]+)\/tokens$/, 'admin', ({ params: [id = ''] }) => world.issueToken(id)],
    [
      'DELETE',
      /^agents\/[^/]+\/tokens\/([^/]+)$/,
      'admin',
      ({ params: [id = ''] }) => {
        const token = world.tokens.get(id);
        if (token) world.tokens.set(id, { ...token, revokedAt: world.now() });
      },
    ],
    [
      'GET',
      /^approvals$/,
      'viewer',
      ({ query }) =>
        page(
          newest(
            [...world.approvals.values()].filter(
              (approval) =>
                (query.get('status') === 'all' || approval.status === (query.get('status') ?? 'pending')) &&
                matches(approval.agentId, query.get('agentId')) &&
                matches(approval.taskId, query.get('taskId')),
            ),
          ),
          query,
        ),
    ],
    [
      'GET',
      /^approvals\/([^/]+)\/grant-proposal$/,
      'viewer',
      ({ params: [id = ''] }) => proposeGrant(found(world.approvals.get(id), 'approval', id), [...world.approvals.values()]),
    ],
    [
      'POST',
      /^approvals\/decide$/,
      'approver',
      ({ body, person }) =>
        world.decideAll(body.ids as string[], body.verdict as 'approve', body.note === undefined ? undefined : String(body.note), person),
    ],
    [
      'GET',
      /^grants$/,
      'viewer',
      ({ query }) =>
        page(newest([...world.grants.values()].filter((grant) => [grant.status, 'all'].includes(query.get('status') ?? 'active'))), query),
    ],
    ['GET', /^grants\/([^/]+)$/, 'viewer', ({ params: [id = ''] }) => ({ ...found(world.grants.get(id), 'grant', id), calls: [] })],
    [
      'POST',
      /^grants\/([^/]+)\/revoke$/,
      'approver',
      ({ params: [id = ''], person }) => {
        const grant = {
          ...found(world.grants.get(id), 'grant', id),
          status: 'revoked' as const,
          revokedAt: world.now(),
          revokedBy: person.name,
        };
        world.putGrant(grant);
        return grant;
      },
    ],
    ['GET', /^approvals\/([^/]+)$/, 'viewer', ({ params: [id = ''] }) => found(world.approvals.get(id), 'approval', id)],
    [
      'POST',
      /^approvals\/([^/]+)\/(approve|deny)$/,
      'approver',
      ({ params: [id = '', verdict], body, person }) => world.decide(id, verdict as 'approve', body, person),
    ],
    [
      'GET',
      /^tool-calls$/,
      'viewer',
      ({ query }) =>
        page(
          newest(
            [...world.calls.values()].filter(
              (call) =>
                matches(call.agentId, query.get('agentId')) &&
                matches(call.taskId, query.get('taskId')) &&
                matches(call.approvalId, query.get('approvalId')) &&
                matches(call.status, query.get('status')),
            ),
          ),
          query,
        ),
    ],
    ['GET', /^tool-calls\/([^/]+)$/, 'viewer', ({ params: [id = ''] }) => found(world.calls.get(id), 'call', id)],
    [
      'GET',
      /^activities$/,
      'viewer',
      ({ query }) => page(newest(world.activities.filter((activity) => matches(activity.taskId, query.get('taskId')))), query),
    ],
    ['GET', /^runs$/, 'viewer', ({ query }) => page(newest(world.runs.filter((run) => matches(run.taskId, query.get('taskId')))), query)],
    [
      'GET',
      /^alerts$/,
      'viewer',
      ({ query }) =>
        page(newest([...world.alerts.values()].filter((alert) => matches(String(alert.resolved), query.get('resolved')))), query),
    ],
    ['POST', /^alerts\/([^/]+)\/resolve$/, 'operator', ({ params: [id = ''], person }) => world.resolveAlert(id, person)],
    ['GET', /^gateways$/, 'viewer', ({ query }) => page([...world.gateways.values()], query)],
    [
      'GET',
      /^tasks$/,
      'viewer',
      ({ query }) =>
        page(
          [...world.tasks.values()].filter((task) => matches(task.status, query.get('status'))).sort((a, b) => b.number - a.number),
          query,
        ),
    ],
    ['POST', /^tasks$/, 'operator', ({ body, person }) => world.addTask(body as TaskCreate, person)],
    ['GET', /^tasks\/([^/]+)$/, 'viewer', ({ params: [id = ''] }) => world.task(id)],
    ['PATCH', /^tasks\/([^/]+)$/, 'operator', ({ params: [id = ''], body, person }) => world.updateTask(id, body as TaskUpdate, person)],
    [
      'POST',
      /^tasks\/([^/]+)\/transition$/,
      'approver',
      ({ params: [id = ''], body, person }) => world.moveTask(id, body as TransitionRequest, person),
    ],
    [
      'GET',
      /^tasks\/([^/]+)\/transitions$/,
      'viewer',
      ({ params: [id], query }) =>
        page(
          world.transitions.filter((made) => made.taskId === id),
          query,
        ),
    ],
    ['GET', /^tasks\/([^/]+)\/cost$/, 'viewer', ({ params: [id = ''] }) => world.taskCost(id)],
    [
      'GET',
      /^messages$/,
      'viewer',
      ({ query }) => page(newest(world.messages.filter((message) => matches(message.taskId, query.get('taskId')))), query),
    ],
    [
      'GET',
      /^operators\/deputies$/,
      'viewer',
      ({ query, person }) =>
        page(
          [...world.people.values()].filter(({ id }) => id !== person.id),
          query,
        ),
    ],
    ['GET', /^operators\/([^/]+)\/absence$/, 'viewer', ({ params: [id = ''] }) => ({ absence: world.absences.get(id) ?? null })],
    [
      'POST',
      /^operators\/([^/]+)\/absence$/,
      'viewer',
      ({ params: [id = ''], body }) => {
        const deputy = [...world.people.values()].find((person) => person.id === body.deputyId);
        const absence = { until: Number(body.until), deputyId: String(body.deputyId), deputyName: deputy?.name ?? '' };
        world.absences.set(id, absence);
        return { ...world.people.get(id), absence };
      },
    ],
    ['DELETE', /^operators\/([^/]+)\/absence$/, 'viewer', ({ params: [id = ''] }) => void world.absences.delete(id)],
    ['GET', /^messages\/unread$/, 'viewer', ({ person }) => ({ items: world.unread(person.id) })],
    [
      'POST',
      /^tasks\/([^/]+)\/read$/,
      'viewer',
      ({ params: [id = ''], body, person }) => void world.reads.set(`${person.id}:${id}`, Number(body.upTo)),
    ],
    ['POST', /^messages$/, 'approver', ({ body, person }) => world.postMessage(String(body.taskId), String(body.content), person)],
    ['GET', /^documents$/, 'viewer', ({ query }) => page([], query)],
    ['GET', /^audit$/, 'viewer', ({ query }) => page(world.audit(query), query)],
    ['GET', /^audit\/verify$/, 'viewer', () => ({ ok: true, rows: world.activities.length, head: 'f0'.repeat(32) })],
    ['GET', /^search$/, 'viewer', ({ query }) => findIn(world, query)],
    ['GET', /^spend$/, 'viewer', ({ query }) => world.spend(query)],
    ['GET', /^spend\/forecast$/, 'viewer', () => world.forecast()],
    [
      'POST',
      /^raises$/,
      'operator',
      ({ body, person }) => world.raiseCap(body as { agentId?: string; taskId?: string; amount: number; note: string }, person),
    ],
    ['GET', /^upstreams$/, 'viewer', ({ query }) => page([...world.upstreams.values()], query)],
    ['POST', /^upstreams$/, 'admin', ({ body, person }) => world.addUpstream(body as UpstreamCreate, person)],
    ['GET', /^upstreams\/([^/]+)$/, 'viewer', ({ params: [id = ''] }) => world.upstream(id)],
    [
      'PATCH',
      /^upstreams\/([^/]+)$/,
      'admin',
      ({ params: [id = ''], body, person }) => world.updateUpstream(id, body as UpstreamUpdate, person),
    ],
    ['DELETE', /^upstreams\/([^/]+)$/, 'admin', ({ params: [id = ''], person }) => world.removeUpstream(id, person)],
    [
      'GET',
      /^upstreams\/([^/]+)\/tools$/,
      'viewer',
      ({ params: [id = ''], query }) => page(world.tools.get(world.upstream(id).id) ?? [], query),
    ],
    [
      'POST',
      /^upstreams\/([^/]+)\/tools\/([^/]+)\/accept$/,
      'operator',
      ({ params: [id = '', tool = ''], body, person }) =>
        world.acceptTool(id, tool, typeof body.hash === 'string' ? body.hash : undefined, person),
    ],
    [
      'POST',
      /^gateways$/,
      'admin',
      ({ body }) => ({
        ...world.addGateway({
          name: String(body.name),
          url: typeof body.url === 'string' ? body.url : null,
          link: { state: body.url ? 'connecting' : 'none', since: world.now(), error: null, followsSessions: false },
          lastHeartbeat: null,
          pluginVersion: null,
          gate: 'unproven',
          agentIds: [],
        }),
        token: 'mcg_shown-this-once',
      }),
    ],
    [
      'PATCH',
      /^gateways\/([^/]+)$/,
      'admin',
      ({ params: [id = ''], body }) => {
        world.changeGateway(id, { name: String(body.name), url: typeof body.url === 'string' ? body.url : null });
        return found(world.gateways.get(id), 'gateway', id);
      },
    ],
    ['GET', /^gateways\/([^/]+)\/roster$/, 'viewer', ({ params: [id = ''] }) => ({ items: world.roster(id) })],
    [
      'POST',
      /^gateways\/([^/]+)\/import$/,
      'admin',
      ({ params: [id = ''], body }) => ({ items: world.importRoster(id, body.externalIds as string[], body.autonomyLevel as Autonomy) }),
    ],
    ['DELETE', /^gateways\/([^/]+)$/, 'admin', ({ params: [id = ''] }) => world.removeGateway(id)],
    [
      'POST',
      /^gateways\/([^/]+)\/passes$/,
      'admin',
      ({ params: [id = ''] }) => ({ url: `https://proxy.example/openclaw/${id}/?ticket=t`, expiresAt: world.now() + 60_000 }),
    ],
    [
      'POST',
      /^upstreams\/([^/]+)\/authorize$/,
      'admin',
      ({ params: [id = ''] }) => ({
        url: `https://login.example/authorize?state=${world.upstream(id).id}`,
        expiresAt: world.now() + 600_000,
      }),
    ],
    ['POST', /^gateways\/([^/]+)\/tokens$/, 'admin', () => ({ id: 'tk_gateway', token: 'mcg_shown-this-once' })],
    ['GET', /^channels$/, 'viewer', ({ query }) => page([], query)],
    ['GET', /^notifications$/, 'viewer', ({ query }) => page([], query)],
    ['GET', /^operators\/([^/]+)\/chat-identities$/, 'viewer', () => ({ items: [] })],
    [
      'GET',
      /^operators$/,
      'admin',
      ({ query }) =>
        page(
          [...world.people.values()].map((person) => ({ ...person, createdAt: world.now(), lastSeenAt: world.now(), absence: null })),
          query,
        ),
    ],
    ['POST', /^operators$/, 'admin', ({ body }) => world.addPerson(String(body.name), body.role as Role)],
    ['PATCH', /^operators\/([^/]+)$/, 'admin', ({ params: [id = ''], body }) => world.changeRole(id, body.role as Role)],
    ['DELETE', /^operators\/([^/]+)$/, 'admin', ({ params: [id = ''] }) => world.removePerson(id)],
    ['POST', /^operators\/([^/]+)\/tokens$/, 'admin', ({ params: [id = ''] }) => world.issuePersonToken(id)],
    ['GET', /^emergency$/, 'viewer', () => world.system],
    ['POST', /^emergency\/pause-squad$/, 'operator', ({ body, person }) => world.pauseSquad(reasonIn(body), person)],
    ['POST', /^emergency\/stop$/, 'operator', ({ body, person }) => world.stop(reasonIn(body), person)],
    ['GET', /^emergency\/receipt$/, 'viewer', () => ({ receipt: world.system.receipt, keyId: 'sample', publicKeyPem: SAMPLE_KEY })],
    ['POST', /^emergency\/resume$/, 'admin', ({ body, person }) => world.resume(String(body.note ?? ''), person)],
    ['GET', /^policies$/, 'viewer', ({ query }) => page(world.policies.versions, query)],
    ['GET', /^policies\/profiles$/, 'viewer', () => ({ items: world.policies.profiles() })],
    ['GET', /^policies\/replays$/, 'viewer', ({ query }) => page(world.policies.replays, query)],
    [
      'GET',
      /^policies\/replays\/([^/]+)$/,
      'viewer',
      ({ params: [id = ''] }) =>
        found(
          world.policies.replays.find((replay) => replay.id === id),
          'replay',
          id,
        ),
    ],
    ['POST', /^policies\/replay$/, 'operator', ({ body, person }) => world.policies.replay(String(body.policy), person.name)],
    ['GET', /^policies\/shadows$/, 'viewer', ({ query }) => page(world.policies.shadows, query)],
    [
      'POST',
      /^policies\/shadows$/,
      'admin',
      ({ body, person }) => world.policies.shadow(String(body.policy), String(body.note ?? ''), person.name),
    ],
    ['POST', /^policies\/shadows\/([^/]+)\/stop$/, 'admin', ({ params: [id = ''], person }) => world.policies.stopShadow(id, person.name)],
    [
      'GET',
      /^policies\/([^/]+)\/diff$/,
      'viewer',
      ({ params: [id = ''], query }) => world.policies.difference(id, query.get('from') ?? 'active'),
    ],
    [
      'POST',
      /^policies$/,
      'admin',
      ({ body, person }) =>
        typeof body.profile === 'string'
          ? world.policies.createFrom(body.profile, String(body.note ?? ''), person.name)
          : world.policies.create(String(body.document ?? ''), String(body.note ?? ''), person.name),
    ],
    ['POST', /^policies\/([^/]+)\/activate$/, 'admin', ({ params: [id = ''], body, person }) => world.activatePolicy(id, body, person)],
    ['POST', /^policies\/simulate$/, 'viewer', ({ body }) => simulate(body)],
  ];
}

async function answer(world: World, request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
  try {
    const path = url.pathname.slice('/api/'.length);
    const body = await readBody(request);
    if (path === 'session' && request.method === 'POST') {
      const { cookie, session } = world.signIn(String(body.token ?? ''));
      return json(response, 201, session, { 'Set-Cookie': `mc_session=${cookie}; HttpOnly; SameSite=Strict; Path=/` });
    }
    const { person, session, cookie } = who(world, request);
    if (request.method !== 'GET' && request.headers['x-mc-csrf'] !== session.csrfToken)
      throw new Problem(403, 'CSRF', 'The CSRF token is missing or wrong.');
    if (path === 'session') {
      if (request.method === 'DELETE') world.sessions.delete(cookie);
      return request.method === 'DELETE' ? void response.writeHead(204).end() : json(response, 200, session);
    }
    for (const [method, pattern, role, handle] of routesOf(world)) {
      const match = method === request.method ? pattern.exec(path) : null;
      if (!match) continue;
      if (RANK[person.role] < RANK[role]) throw new Problem(403, 'ROLE', `This needs the ${role} role.`);
      const result = handle({ params: match.slice(1).map(decodeURIComponent), query: url.searchParams, body, person, request });
      return result === undefined ? void response.writeHead(204).end() : json(response, 200, result);
    }
    throw new Problem(404, 'NOT_FOUND', 'There is nothing here.');
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    json(
      response,
      error.status,
      { type: 'about:blank', title: error.code, status: error.status, detail: error.message, code: error.code, ...error.extra },
      { 'Content-Type': 'application/problem+json' },
    );
  }
}

function who(world: World, request: IncomingMessage): { person: Person; session: Session; cookie: string } {
  const cookie = /mc_session=([\w-]+)/.exec(request.headers.cookie ?? '')?.[1] ?? '';
  const found = world.sessions.get(cookie);
  if (!found) throw new Problem(401, 'UNAUTHENTICATED', 'Sign in first.');
  return { ...found, cookie };
}

function stream(world: World, request: IncomingMessage, response: ServerResponse, streams: Set<ServerResponse>): void {
  try {
    who(world, request);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    json(response, 401, { type: 'about:blank', title: error.code, status: 401, detail: error.message, code: error.code });
    return;
  }
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  const tell = (seq: number, change: ChangeEvent) =>
    response.write(
      `event: change\ndata: ${JSON.stringify(change)}\n\nid: ${seq}\nevent: beat\ndata: ${JSON.stringify({ at: change.at })}\n\n`,
    );
  const beat = () => response.write(`event: beat\ndata: ${JSON.stringify({ at: world.now() })}\n\n`);
  const last = request.headers['last-event-id'];
  if (last === undefined) {
    response.write(`id: ${world.events.at(-1)?.seq ?? 0}\nevent: beat\ndata: ${JSON.stringify({ at: world.now() })}\n\n`);
  } else {
    const missed = world.events.filter(({ seq }) => seq > Number(last));
    const oldest = world.events[0]?.seq ?? 0;
    if (Number(last) + 1 < oldest) response.write('event: reset\ndata: {}\n\n');
    else for (const { seq, change } of missed) tell(seq, change);
  }
  beat();
  const timer = setInterval(beat, BEAT_MS);
  world.listeners.add(tell);
  streams.add(response);
  response.on('close', () => {
    clearInterval(timer);
    world.listeners.delete(tell);
    streams.delete(response);
  });
}

function created(world: World, body: Record<string, unknown>): unknown {
  const name = String(body.name ?? '').trim();
  if (!name) throw new Problem(400, 'INVALID', 'An agent needs a name.');
  if ([...world.agents.values()].some((agent) => agent.name === name))
    throw new Problem(409, 'NAME_TAKEN', `There is an agent named ${name} already.`);
  return world.addAgent({ ...(body as AgentCreate), name });
}

function simulate(body: Record<string, unknown>): unknown {
  const cases = body.cases as { id: string; arguments: Record<string, unknown> }[];
  return {
    results: cases.map(({ id, arguments: args }) => {
      const readings = readCommands(String(args.command ?? ''));
      const worst = readings.find((reading) => reading.verdict !== 'allowed');
      const reasons = worst
        ? [
            {
              code: worst.verdict === 'blocked' ? 'SHELL_BLOCKED' : 'SHELL_NOT_ALLOWLISTED',
              message: worst.why,
              policyPath: 'allowlists.shell',
            },
          ]
        : [];
      return {
        id,
        verdict: worst ? (worst.verdict === 'blocked' ? 'deny' : 'hold') : 'allow',
        risk: worst?.red ? 'red' : 'yellow',
        reasons,
        recorded: { arguments: args },
        trace: { mappedTool: 'shell_exec', commands: readings, paths: [], hosts: [] },
      };
    }),
  };
}

function page<T>(items: readonly T[], query: URLSearchParams): { items: T[]; nextCursor: string | null } {
  const limit = Number(query.get('limit') ?? 50);
  const before = query.get('before');
  const from = before === null ? Number(query.get('cursor') ?? 0) : placeBefore(items, before);
  return { items: items.slice(from, from + limit), nextCursor: from + limit < items.length ? String(from + limit) : null };
}

/** Where the objects older than this one begin; of a number, those with a smaller one. */
function placeBefore(items: readonly unknown[], before: string): number {
  const ids = items.map((item) => (item as { id: string }).id);
  const exact = ids.indexOf(before);
  if (exact >= 0) return exact + 1;
  const place = ids.findIndex((id) => Number(id) < Number(before));
  return place < 0 ? items.length : place;
}

function newest<T extends { createdAt: number } | { startTime: number }>(items: readonly T[]): T[] {
  const at = (item: T) => ('startTime' in item ? item.startTime : item.createdAt);
  return [...items].sort((a, b) => at(b) - at(a));
}

function matches(value: string | null, wanted: string | null): boolean {
  return wanted === null || value === wanted;
}

function found<T>(item: T | undefined, what: string, id: string): T {
  if (item === undefined) throw new Problem(404, 'NOT_FOUND', `There is no ${what} ${id}.`);
  return item;
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? (JSON.parse(text) as Record<string, unknown>) : {};
}

function json(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers });
  response.end(JSON.stringify(body));
}
