/**
 * The gateway pass-through (SPEC 3), /openclaw/…: an OpenClaw gateway's own HTTP and WebSocket surface, for administrators behind our
 * sign-in. A ticket from control, used once, becomes a cookie of this listener; control says at short intervals whether it still opens.
 * Agents have no business here: what they may do goes through the other doors.
 *
 *   asked   host and origin → no token of an agent or gateway → ticket or cookie → control says whose it is → recorded → passed on
 *
 * Invariants:
 * - Neither our cookies nor any credential of ours goes to the gateway; its operator token is set here.
 * - Every request and connection is recorded before it is passed on, and once more when it ends.
 * - An open connection ends when its pass does.
 */
import { hash, randomUUID } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { createProxyMiddleware } from 'http-proxy-middleware';
import type { GatewayPass, JournalEvent } from '../control/contract.ts';
import { redactText } from '../policies/index.ts';
import { foreignHost } from './host-names.ts';
import type { Journal } from './journal.ts';
import { problem, rawProblem } from './respond.ts';
import type { Uplink } from './uplink.ts';

export interface GatewayDoorDependencies {
  uplink: Pick<Uplink, 'redeemTicket' | 'checkPass'>;
  journal: Pick<Journal, 'append'>;
  clock: () => number;
  hostNames: readonly string[];
  log: { warn: (fields: object, message: string) => void };
}

export type GatewayDoor = ReturnType<typeof createGatewayDoor>;

interface Refusal {
  status: number;
  code: string;
  detail: string;
}
type Entry = { pass: GatewayPass; key: string };
/** A request or connection under way. */
interface Passage {
  key: string;
  bytes: { up: number; down: number };
  status: number | null;
  error: string | null;
  cut: () => void;
}

const COOKIE = 'mc_openclaw';
const TICKET = 'mc-ticket';
/** What control said of a pass counts for so long. */
const TRUST_MS = 5_000;
/** Control away for longer than this ends what is open. */
const SILENT_MS = 30_000;
const PASSES_MAX = 1_000;
/** A gateway that says nothing for so long in answer to a request is given up. */
const GATEWAY_TIMEOUT_MS = 300_000;
const UPGRADE_TIMEOUT_MS = 30_000;
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Ours, of the next hop, or saying where the browser thinks it is. */
const TAKEN_OUT = [
  'authorization',
  'x-api-key',
  'proxy-authorization',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'referer',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-forwarded-user',
  'x-real-ip',
];

export function createGatewayDoor({ uplink, journal, clock, hostNames, log }: GatewayDoorDependencies) {
  const passes = new Map<string, { pass: GatewayPass; checkedAt: number }>();
  const passages = new Map<IncomingMessage, Passage>();
  const ending = new Set<Promise<unknown>>();
  const targets = new WeakMap<IncomingMessage, string>();
  const proxy = createProxyMiddleware<IncomingMessage, ServerResponse>({
    // Replaced for each request by the gateway that its pass is for.
    target: 'http://127.0.0.1:9',
    router: (request) => targets.get(request) ?? 'http://127.0.0.1:9',
    pathRewrite: (path) => path.replace(/^\/openclaw/, ''),
    changeOrigin: true,
    xfwd: false,
    agent: false,
    proxyTimeout: GATEWAY_TIMEOUT_MS,
    upgradeTimeout: UPGRADE_TIMEOUT_MS,
    // Its own way of answering errors names the gateway's address.
    ejectPlugins: true,
    plugins: [
      (server) => {
        server.on('error', (error, request, response) => failed(error, request, response));
        server.on('econnreset', () => {});
        server.on('proxyRes', (answer, request) => answered(answer, request));
        server.on('proxyReqWs', (asking, request, socket) => {
          asking.once('upgrade', (_, upstream) => connected(request, socket, upstream));
        });
      },
    ],
  });

  /** @returns false where the path is none of ours. */
  async function handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    if (!isOurs(path)) return false;
    response.setHeader('referrer-policy', 'no-referrer');
    const ticket = ticketOf(request);
    // Pages name their files relatively: the address must end in a slash for that.
    if (path === '/openclaw' && ticket === null && SAFE.has(request.method ?? '')) {
      response.writeHead(308, { location: (request.url ?? '').replace('/openclaw', '/openclaw/'), 'content-length': 0 }).end();
      return true;
    }
    if (ticket !== null) {
      await redeem(request, response, ticket);
      return true;
    }
    const entry = await enter(request);
    if ('status' in entry) {
      problem(response, entry.status, entry.code, entry.detail);
      return true;
    }
    const passage = await open(request, entry, () => response.destroy());
    if (passage === null) {
      problem(response, 503, 'JOURNAL_UNAVAILABLE', 'This could not be recorded, and what is not recorded does not go on.');
      return true;
    }
    const before = request.socket.bytesRead;
    response.on('close', () => {
      passage.bytes.up = request.socket.bytesRead - before;
      passage.status = response.headersSent ? response.statusCode : null;
      if (!response.writableFinished) passage.error ??= 'it broke off';
      passage.end();
    });
    if (response.destroyed) return true;
    await proxy(request, response);
    return true;
  }

  /** Whether a WebSocket to the gateway is asked for. */
  function takesUpgrade(request: IncomingMessage): boolean {
    return isOurs((request.url ?? '').replace(/\?.*/s, '')) && request.headers.upgrade?.toLowerCase() === 'websocket';
  }

  function upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    connect(request, socket, head).catch((error) => {
      log.warn({ err: error }, 'a connection to a gateway failed');
      socket.destroy();
    });
  }

  async function connect(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    const entry = await enter(request);
    if ('status' in entry) return rawProblem(socket, entry.status, entry.code, entry.detail);
    const passage = await open(request, entry, () => socket.destroy());
    if (passage === null)
      return rawProblem(socket, 503, 'JOURNAL_UNAVAILABLE', 'This could not be recorded, and what is not recorded does not go on.');
    const [read, written] = [socket.bytesRead, socket.bytesWritten];
    const over = () => {
      passage.bytes = { up: socket.bytesRead - read, down: socket.bytesWritten - written };
      passage.end();
    };
    if (socket.destroyed) return over();
    socket.on('close', over);
    proxy.upgrade(request, socket, head);
  }

  /* ------------------------------------------------------------ who asks */

  /** Exchanges a ticket for the cookie, and leaves an address without it in the browser. */
  async function redeem(request: IncomingMessage, response: ServerResponse, ticket: string): Promise<void> {
    const foreign = refusalOf(request);
    if (foreign !== null) return problem(response, foreign.status, foreign.code, foreign.detail);
    let redeemed: Awaited<ReturnType<typeof uplink.redeemTicket>>;
    try {
      redeemed = await uplink.redeemTicket(ticket);
    } catch {
      return problem(response, AWAY.status, AWAY.code, AWAY.detail);
    }
    if (redeemed === null)
      return problem(
        response,
        401,
        'TICKET_INVALID',
        'This ticket was used, or is older than a minute. Open the gateway from the dashboard again.',
      );
    const { secret, pass, isSecure } = redeemed;
    remember(hash('sha256', secret), pass);
    const seconds = Math.max(0, Math.floor((pass.expiresAt - clock()) / 1000));
    response.writeHead(303, {
      location: withoutTicket(request.url ?? '/openclaw/'),
      'set-cookie': `${COOKIE}=${secret}; Path=/openclaw; HttpOnly; SameSite=Strict; Max-Age=${seconds}${isSecure ? '; Secure' : ''}`,
      'cache-control': 'no-store',
      'content-length': 0,
    });
    response.end();
  }

  async function enter(request: IncomingMessage): Promise<Entry | Refusal> {
    const refusal = refusalOf(request);
    if (refusal !== null) return refusal;
    const secrets = cookiesOf(request.headers).flatMap(([name, value]) => (name === COOKIE ? value : []));
    const [secret, other] = secrets;
    if (secret === undefined || other !== undefined)
      return { status: 401, code: 'UNAUTHENTICATED', detail: 'This is for administrators: open the gateway from the dashboard.' };
    const key = hash('sha256', secret);
    try {
      const pass = await passOf(key);
      return pass === null
        ? { status: 401, code: 'UNAUTHENTICATED', detail: 'This pass has ended: open the gateway from the dashboard again.' }
        : { pass, key };
    } catch {
      return AWAY;
    }
  }

  /** What is refused whoever asks. */
  function refusalOf(request: IncomingMessage): Refusal | null {
    const { origin, host, authorization } = request.headers;
    const stranger = foreignHost(request, hostNames);
    if (stranger !== null) return { status: 403, code: 'FOREIGN_HOST', detail: stranger };
    if (/\bmc[ag]_/.test(`${authorization ?? ''} ${String(request.headers['x-api-key'] ?? '')}`))
      return { status: 403, code: 'PEOPLE_ONLY', detail: 'This is for administrators. Agents and gateways have their own doors.' };
    // A page of ours says so whenever it changes something or opens a WebSocket; the dashboard is another origin.
    const mustSay = !SAFE.has(request.method ?? '') || takesUpgrade(request);
    const isOwn = origin !== undefined && URL.canParse(origin) && new URL(origin).host === host;
    if (mustSay ? !isOwn : origin !== undefined && !isOwn)
      return { status: 403, code: 'FOREIGN_ORIGIN', detail: 'This request does not come from a page of this gateway.' };
    return null;
  }

  /** What a cookie opens, as control said a moment ago. @throws where control cannot be asked. */
  async function passOf(key: string): Promise<GatewayPass | null> {
    const known = passes.get(key);
    const now = clock();
    if (known && now - known.checkedAt < TRUST_MS && known.pass.expiresAt > now) return known.pass;
    const pass = await uplink.checkPass(key);
    if (pass === null) passes.delete(key);
    else remember(key, pass);
    return pass;
  }

  function remember(key: string, pass: GatewayPass): void {
    passes.delete(key);
    passes.set(key, { pass, checkedAt: clock() });
    const oldest = passes.size > PASSES_MAX ? passes.keys().next().value : undefined;
    if (oldest !== undefined) passes.delete(oldest);
  }

  /** Ends what is open under a pass that has ended, or that nobody has confirmed for too long. */
  async function review(): Promise<void> {
    for (const key of new Set([...passages.values()].map((passage) => passage.key))) {
      const since = passes.get(key)?.checkedAt ?? 0;
      const isOver = await passOf(key).then(
        (pass) => pass === null,
        () => clock() - since > SILENT_MS,
      );
      if (!isOver) continue;
      for (const passage of passages.values()) {
        if (passage.key !== key) continue;
        passage.error = 'the pass ended';
        passage.cut();
      }
    }
  }
  const timer = setInterval(() => void review(), TRUST_MS);
  timer.unref();

  /* ------------------------------------------------------------ on its way */

  /** Records that something goes on, and makes the request what the gateway may see of it. @returns null where it cannot be recorded. */
  async function open(request: IncomingMessage, { pass, key }: Entry, cut: () => void): Promise<(Passage & { end: () => void }) | null> {
    const startedAt = clock();
    const { operator, gateway } = pass;
    const what = `${takesUpgrade(request) ? 'WebSocket' : request.method} ${redactText(request.url ?? '').text.slice(0, 2_000)}`;
    const event: Omit<Extract<JournalEvent, { type: 'connection' }>, 'phase'> = {
      type: 'connection',
      at: startedAt,
      id: randomUUID(),
      door: 'gateway',
      by: { type: 'human', ...operator },
      gatewayId: gateway.id,
      callId: null,
      target: what,
      status: null,
      bytesUp: 0,
      bytesDown: 0,
      durationMs: 0,
      error: null,
    };
    try {
      await journal.append({ ...event, phase: 'opened' }, false);
    } catch {
      return null;
    }
    prepare(request, gateway);
    let isOver = false;
    const passage: Passage & { end: () => void } = {
      key,
      bytes: { up: 0, down: 0 },
      status: null,
      error: null,
      cut,
      end: () => {
        if (isOver) return;
        isOver = true;
        passages.delete(request);
        const { bytes, status, error } = passage;
        const at = clock();
        keep(
          journal.append(
            { ...event, phase: 'closed', at, status, bytesUp: bytes.up, bytesDown: bytes.down, durationMs: at - startedAt, error },
            false,
          ),
        );
      },
    };
    passages.set(request, passage);
    return passage;
  }

  function prepare(request: IncomingMessage, { url, token }: GatewayPass['gateway']): void {
    const { headers } = request;
    const base = new URL(url.replace(/^ws/i, 'http'));
    targets.set(request, base.href);
    for (const name of TAKEN_OUT) delete headers[name];
    if (!takesUpgrade(request)) {
      delete headers.connection;
      delete headers.upgrade;
    }
    const kept = cookiesOf(headers).filter(([name]) => !name.startsWith('mc_'));
    if (kept.length > 0) headers.cookie = kept.map(([name, value]) => `${name}=${value}`).join('; ');
    else delete headers.cookie;
    // Checked above against our own address; the gateway compares it with its own.
    if (headers.origin !== undefined) headers.origin = base.origin;
    if (token !== null) headers.authorization = `Bearer ${token}`;
  }

  /** The head of the gateway's answer: it stays below our path, and sets no cookie of ours. */
  function answered(answer: IncomingMessage, request: IncomingMessage): void {
    const { headers } = answer;
    const passage = passages.get(request);
    answer.on('data', (chunk: Buffer) => {
      if (passage) passage.bytes.down += chunk.length;
    });
    const cookies = headers['set-cookie']?.filter((cookie) => !/^\s*mc_/i.test(cookie));
    if (cookies !== undefined && cookies.length > 0) headers['set-cookie'] = cookies;
    else delete headers['set-cookie'];
    if (headers.location !== undefined) headers.location = locationBelow(headers.location, targets.get(request) ?? '');
    for (const name of ['alt-svc', 'proxy-authenticate', 'keep-alive', 'connection', 'upgrade']) delete headers[name];
  }

  /** A WebSocket stands: from here on both sides end together. */
  function connected(request: IncomingMessage, socket: Socket, upstream: Socket): void {
    const passage = passages.get(request);
    if (passage) passage.status = 101;
    socket.on('close', () => upstream.destroy());
    upstream.on('close', () => socket.destroy());
    if (socket.destroyed) upstream.destroy();
  }

  function failed(error: Error, request: IncomingMessage | undefined, response: unknown): void {
    const passage = request === undefined ? undefined : passages.get(request);
    if (passage) passage.error ??= error.message;
    if (passage?.status === 101) {
      passage.cut();
      return;
    }
    const detail = 'The OpenClaw gateway did not answer.';
    if (isResponse(response)) problem(response, 502, 'GATEWAY_UNREACHABLE', detail);
    else rawProblem(response as Socket, 502, 'GATEWAY_UNREACHABLE', detail);
  }

  function keep(recording: Promise<unknown>): void {
    const watched = recording
      .catch((error) => log.warn({ err: error }, 'the end of a connection could not be recorded'))
      .finally(() => ending.delete(watched));
    ending.add(watched);
  }

  /** Cuts what is open. */
  function close(): void {
    clearInterval(timer);
    for (const passage of passages.values()) {
      passage.error ??= 'Mission Control ended';
      passage.cut();
    }
  }

  /** Waits until every end is recorded. */
  async function recorded(): Promise<void> {
    while (ending.size > 0) await Promise.all(ending);
  }

  return { handle, takesUpgrade, upgrade, review, close, recorded };
}

const AWAY: Refusal = { status: 503, code: 'SNAPSHOT_STALE', detail: 'Control cannot be reached to say who you are. Try again shortly.' };

function isOurs(path: string): boolean {
  return path === '/openclaw' || path.startsWith('/openclaw/');
}

function ticketOf(request: IncomingMessage): string | null {
  const url = request.url ?? '';
  const mark = url.indexOf('?');
  return request.method !== 'GET' || mark < 0 ? null : new URLSearchParams(url.slice(mark + 1)).get(TICKET);
}

function withoutTicket(url: string): string {
  const [path = '', query = ''] = url.split('?', 2);
  const left = query.split('&').filter((pair) => !pair.startsWith(`${TICKET}=`));
  // Never "//somewhere": that would be another host.
  return `/${path.replace(/^\/+/, '')}${left.join('&') === '' ? '' : `?${left.join('&')}`}`;
}

function cookiesOf({ cookie }: IncomingHttpHeaders): [name: string, value: string][] {
  return (cookie ?? '').split(';').flatMap((part): [string, string][] => {
    const equals = part.indexOf('=');
    return equals < 0 ? [] : [[part.slice(0, equals).trim(), part.slice(equals + 1).trim()]];
  });
}

/** A redirect within the gateway stays below our path; one to elsewhere is left as it is. */
function locationBelow(location: string, base: string): string {
  if (!URL.canParse(location, base)) return location;
  const { origin, pathname, search, hash: fragment } = new URL(location, base);
  const isAbsolute = location.startsWith('/') || /^[a-z][a-z0-9+.-]*:/i.test(location);
  return origin === new URL(base).origin && isAbsolute ? `/openclaw${pathname}${search}${fragment}` : location;
}

function isResponse(value: unknown): value is ServerResponse {
  return typeof value === 'object' && value !== null && 'setHeader' in value;
}
