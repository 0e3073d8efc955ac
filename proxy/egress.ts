/**
 * The egress proxy (SPEC 3), on a port of its own: CONNECT and plain HTTP for programs that take a proxy. A connection is a call of the tool
 * `network_call`, judged by the network allowlist like any other; what the gate allowed already is not judged again. Tunnels are opaque, so
 * this is control by host, and a program that takes no notice of proxy settings is not seen here.
 *
 *   asked    credential → target → opened by the gate? else admitted (held: 403 at once, the grant lets one connection through)
 *   allowed  the name is resolved once, every address checked → one of exactly these is dialled → bytes go both ways, bounded
 *
 * Invariants:
 * - A name that is not allowed is not even resolved; the address that was checked is the one that is dialled.
 * - Every connection ends: idle, too old, its call over, its agent stopped or paused, or one side gone.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import type { AgentPicture, JournalEvent } from '../control/contract.ts';
import { readAuthority, readUrl, redactText, tunnelScheme } from '../policies/index.ts';
import { dialFirst, type Network } from './addresses.ts';
import type { Gatekeeper, Outcome } from './admission.ts';
import type { ProxyBounds } from './config.ts';
import { DEFAULT_FORWARD_BOUNDS, Forwarder } from './forward.ts';
import { attribute, authenticate, type Bearer, OUT_OF_TOUCH } from './identity.ts';
import type { Journal } from './journal.ts';
import type { Opening, OpeningOwner, Openings } from './openings.ts';
import type { Others } from './others.ts';
import type { CallRecord } from './register.ts';
import { answerBrokenRequest, leavingSignal, problem, rawProblem, refusalText } from './respond.ts';
import type { Picture, Snapshot } from './snapshot.ts';
import type { Telemetry } from './telemetry.ts';

export interface EgressDependencies {
  gate: Gatekeeper;
  openings: Openings;
  others: Pick<Others, 'ask' | 'askOwner'>;
  snapshot: Snapshot;
  journal: Journal;
  telemetry: Telemetry;
  network: Network;
  clock: () => number;
  bounds: ProxyBounds;
  log: { warn: (fields: object, message: string) => void };
}

/** Where a request wants to go. */
interface Target {
  method: string;
  /** As it is judged. */
  url: string;
  /** Canonical; null where it cannot be said, and then it is refused. */
  host: string | null;
  port: number;
  scheme: string;
}

interface Refusal {
  status: number;
  code: string;
  detail: string;
  extra?: Record<string, unknown>;
}

/** A connection that may be made, to one of these addresses. */
interface Cleared {
  addresses: readonly string[];
  agentId: string;
  /** The call that it is under: its own, or the one that the gate allowed. */
  callId: string;
  /** Its own call; null where the gate opened it. */
  record: CallRecord | null;
  /** The call that opened it runs at another proxy. */
  isElsewhere: boolean;
  /** Says how it ended; once. */
  end: (outcome: Ended) => void;
}

interface Ended {
  status: Outcome['status'];
  httpStatus: number | null;
  bytesUp: number;
  bytesDown: number;
  error: string | null;
  /** Nothing can have reached the other side. */
  isUnsent?: true;
}

interface Open {
  agentId: string;
  callId: string;
  /** Of a call that runs at another proxy: when that was last heard, by the monotonic clock; null = it is ours. */
  heardAt: number | null;
  cut: (why: string) => void;
}

/** Longer than a proxy that was not reached is left out, so that a short absence cuts nothing. */
const UNHEARD_MS = 15_000;
const CHALLENGE = 'Basic realm="Mission Control", Bearer';

/** Creates the egress proxy; the caller decides where its listener listens. */
export function createEgress(dependencies: EgressDependencies) {
  const { gate, openings, others, snapshot, journal, telemetry, network, clock, bounds, log } = dependencies;
  const open = new Set<Open>();
  /** Outcomes that are being recorded. */
  const ending = new Set<Promise<unknown>>();
  openings.onClosed = (callId) => {
    for (const connection of open) if (connection.callId === callId) connection.cut('the call that opened it is over');
  };

  /* ------------------------------------------------------------ tunnels */

  async function tunnel(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    const target = targetOfTunnel(request.url ?? '');
    if ('status' in target) return refuseTunnel(socket, target);
    const gone = new AbortController();
    socket.on('close', () => gone.abort());
    const cleared = await clear(request, target, gone.signal);
    if ('status' in cleared) return refuseTunnel(socket, cleared);
    let upstream: Socket;
    try {
      upstream = await dialFirst(network, cleared.addresses, target.port, bounds.egressConnectMs, gone.signal);
    } catch (error) {
      cleared.end({ ...NOTHING, status: 'failed', error: wordsOf(error), isUnsent: true });
      return refuseTunnel(socket, { status: 502, code: 'HOST_UNREACHABLE', detail: `${target.host} cannot be reached. Nothing was sent.` });
    }
    pump(socket, upstream, head, cleared);
  }

  /** Bytes both ways until both sides have ended, or somebody cuts it. */
  function pump(client: Socket, upstream: Socket, head: Buffer, cleared: Cleared): void {
    let closed = 0;
    let isOver = false;
    const connection: Open = { ...openOf(cleared), cut: (reason) => cut(reason) };
    open.add(connection);
    const finish = (why: string | null) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(total);
      open.delete(connection);
      const bytes = { bytesUp: upstream.bytesWritten, bytesDown: upstream.bytesRead };
      cleared.end({ status: why === null ? 'success' : 'unknown', httpStatus: null, ...bytes, error: why });
    };
    const cut = (why: string) => {
      // A reset: neither side may take what it has for the whole.
      client.resetAndDestroy();
      upstream.resetAndDestroy();
      finish(why);
    };
    const total = setTimeout(() => cut('it was open for as long as a tunnel may be'), bounds.egressTotalMs);
    total.unref();
    const over = () => {
      if (++closed === 2) finish(null);
    };
    upstream.on('error', (error) => cut(wordsOf(error)));
    // What one side had sent before it closed still goes to the other one.
    upstream.on('close', (hadError) => {
      if (upstream.readableEnded && !hadError) client.destroySoon();
      else client.destroy();
      over();
    });
    client.on('close', () => {
      if (client.readableEnded) upstream.destroySoon();
      else upstream.destroy();
      over();
    });
    upstream.setNoDelay(true);
    client.setNoDelay(true);
    // Also where one side does not take what the other sends: then nothing moves on this socket either.
    upstream.setTimeout(bounds.egressIdleMs, () => cut('nothing went through it'));
    client.setTimeout(0);
    const stopped = whyNot(cleared.agentId);
    if (client.destroyed || stopped !== null) {
      cut(stopped ?? 'the client left');
      return;
    }
    client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    if (head.length > 0) upstream.write(head);
    client.pipe(upstream);
    upstream.pipe(client);
  }

  /* ------------------------------------------------------------ plain HTTP */

  async function relay(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = targetOfRequest(request);
    if ('status' in target) return refuseRequest(response, target);
    const gone = leavingSignal(response);
    const cleared = await clear(request, target, gone);
    if ('status' in cleared) return refuseRequest(response, cleared);
    const abort = new AbortController();
    let why: string | null = null;
    const cut = (reason: string) => {
      why ??= reason;
      abort.abort();
    };
    const connection: Open = { ...openOf(cleared), cut };
    open.add(connection);
    const total = setTimeout(() => cut('it took as long as an exchange may'), bounds.egressTotalMs);
    total.unref();
    const url = new URL(target.url);
    const forwarder = new Forwarder(
      {
        origin: url.origin,
        setHeaders: [],
        removeHeaders: ownCredentials(request),
        passCredentials: true,
        connect: (_, done) => {
          dialFirst(network, cleared.addresses, target.port, bounds.egressConnectMs, abort.signal).then(
            (socket) => done(null, socket),
            (error: Error) => done(error, null),
          );
        },
      },
      { ...DEFAULT_FORWARD_BOUNDS, connectionsMax: 1, headMaxMs: bounds.egressIdleMs, silenceMaxMs: bounds.egressIdleMs },
    );
    const counter = { bytes: 0 };
    const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
    try {
      const stopped = whyNot(cleared.agentId);
      if (stopped !== null) cut(stopped);
      const result = await forwarder.relay(
        {
          method: target.method,
          path: url.pathname + url.search,
          rawHeaders: request.rawHeaders,
          body: hasBody ? Readable.from(counted(request, counter), { objectMode: false }) : null,
        },
        response,
        { signal: abort.signal },
      );
      const bytes = { bytesUp: counter.bytes, bytesDown: result.bytes, httpStatus: result.status };
      if (result.outcome === 'relayed') return cleared.end({ status: 'success', ...bytes, error: null });
      const isUnknown = result.failure === 'client_gone' || result.failure === 'client_stalled' || result.failure === 'cut';
      cleared.end({
        status: isUnknown && result.mayHaveRun ? 'unknown' : 'failed',
        ...bytes,
        error: why ?? result.message,
        ...(!result.mayHaveRun && { isUnsent: true }),
      });
      if (!result.answered && !response.destroyed) {
        const status = result.failure === 'timeout' ? 504 : result.failure === 'cut' ? 503 : 502;
        problem(
          response,
          status,
          status === 503 ? 'CUT' : 'HOST_UNREACHABLE',
          `${target.host} did not answer: ${result.mayHaveRun ? 'it may have run' : 'nothing was sent'}.`,
        );
      }
    } finally {
      clearTimeout(total);
      open.delete(connection);
      await forwarder.close();
    }
  }

  function openOf({ agentId, callId, isElsewhere }: Cleared): Omit<Open, 'cut'> {
    return { agentId, callId, heardAt: isElsewhere ? performance.now() : null };
  }

  /** Cuts what was opened by calls of other proxies that are over, or of which nothing was heard for too long. Never rejects. */
  async function confirm(): Promise<void> {
    const lent = new Set([...open].flatMap(({ heardAt, callId }) => (heardAt === null ? [] : [callId])));
    await Promise.all(
      [...lent].map(async (callId) => {
        const running = await others.askOwner(callId);
        const now = performance.now();
        for (const connection of open) {
          if (connection.callId !== callId || connection.heardAt === null) continue;
          if (running) connection.heardAt = now;
          else if (running === null) connection.cut('the call that opened it is over');
          else if (now - connection.heardAt > UNHEARD_MS) connection.cut('nothing is heard of the proxy of the call that opened it');
        }
      }),
    );
  }

  /** Headers that would carry an agent's or gateway's token of ours to another host. */
  function ownCredentials(request: IncomingMessage): string[] {
    const picture = snapshot.current(clock());
    return ['authorization', 'x-api-key'].filter((name) => {
      const value = request.headers[name];
      if (typeof value !== 'string' || picture === null) return false;
      const token = /(\S+)$/.exec(value)?.[1] ?? '';
      return !('code' in authenticate(`Bearer ${token}`, picture));
    });
  }

  /* ------------------------------------------------------------ may it be made? */

  async function clear(request: IncomingMessage, target: Target, gone: AbortSignal): Promise<Cleared | Refusal> {
    const picture = snapshot.current(clock());
    if (!picture) return { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH };
    const given = credentialOf(request.headers['proxy-authorization']);
    const bearer = authenticate(given === null ? undefined : `Bearer ${given.token}`, picture);
    if ('code' in bearer) {
      const detail =
        'Send "Proxy-Authorization: Bearer <token>", or Basic with the token as the password: an agent token or a gateway token.';
      return { status: 407, code: bearer.code, detail };
    }
    const opening = target.host === null ? null : await openingOf(bearer, target.host, target.port);
    if (opening !== null) return clearOpened(opening, target, picture);
    const agent = agentOf(bearer, given?.name ?? '', picture);
    return 'code' in agent ? agent : admit(request, agent, bearer, target, picture, gone);
  }

  async function openingOf(bearer: Bearer, host: string, port: number): Promise<(Opening & { isElsewhere: boolean }) | null> {
    const owner: OpeningOwner = bearer.kind === 'agent' ? { agentId: bearer.agent.id } : { gatewayId: bearer.gateway.id };
    const own = openings.find(owner, host, port);
    if (own !== null) return { ...own, isElsewhere: false };
    const found = await others.ask({ ask: 'opening', owner, host, port });
    return found === null ? null : { callId: found.callId, agentId: found.agentId, gatewayId: found.gatewayId, isElsewhere: true };
  }

  /** A gateway's traffic is its agents': it must be said whose it is. */
  function agentOf(bearer: Bearer, name: string, picture: Picture): AgentPicture | Refusal {
    if (bearer.kind === 'agent') return bearer.agent;
    const { id } = bearer.gateway;
    const agent = name === '' ? picture.soleAgentOfGateway(id) : (picture.agentOfGateway(id, name) ?? picture.soleAgentOfGateway(id));
    if (agent) return agent;
    const detail =
      'No call that is allowed now named this host, and a gateway token alone does not say which of its agents asks. Give the agent as the user name, or use its own token.';
    return { status: 403, code: 'AGENT_REQUIRED', detail };
  }

  /** What the gate allowed: not judged again, but every address is checked, and the stop counts. */
  async function clearOpened(
    { callId, agentId, gatewayId, isElsewhere }: Opening & { isElsewhere: boolean },
    target: Target,
    picture: Picture,
  ): Promise<Cleared | Refusal> {
    const stopped = whyNot(agentId);
    if (stopped !== null) return { status: 403, code: stopped, detail: 'The agent may not run anything now.' };
    const beside = [...open].filter((connection) => connection.callId === callId).length;
    if (beside >= picture.policy.maxConcurrentPerAgent)
      return { status: 403, code: 'RATE_LIMIT', detail: `${beside} connections of this call are open, which is the limit.` };
    const addresses = await lookUp(target, picture);
    if ('status' in addresses) return addresses;
    const startedAt = clock();
    const connection: Omit<Extract<JournalEvent, { type: 'connection' }>, 'phase'> = {
      type: 'connection',
      at: startedAt,
      id: randomUUID(),
      door: 'egress',
      by: { type: 'agent', id: agentId, name: picture.agent(agentId)?.name ?? agentId },
      gatewayId,
      callId,
      target: shown(target),
      status: null,
      bytesUp: 0,
      bytesDown: 0,
      durationMs: 0,
      error: null,
    };
    try {
      await journal.append({ ...connection, phase: 'opened' }, false);
    } catch {
      return {
        status: 503,
        code: 'JOURNAL_UNAVAILABLE',
        detail: 'The connection could not be recorded, and what is not recorded does not run.',
      };
    }
    const end = ({ httpStatus, bytesUp, bytesDown, error }: Ended) => {
      const at = clock();
      keep(
        journal.append(
          { ...connection, phase: 'closed', at, status: httpStatus, bytesUp, bytesDown, durationMs: at - startedAt, error },
          false,
        ),
      );
    };
    return { addresses: addresses.list, agentId, callId, record: null, isElsewhere, end };
  }

  async function admit(
    request: IncomingMessage,
    agent: AgentPicture,
    bearer: Bearer,
    target: Target,
    picture: Picture,
    gone: AbortSignal,
  ): Promise<Cleared | Refusal> {
    const sessionKey = headerOf(request, 'x-mc-session') ?? '';
    const attribution = attribute(agent, headerOf(request, 'x-mc-task'), sessionKey, picture);
    if ('code' in attribution) return attribution;
    // Whoever may not go to a host learns nothing of it, and tells nobody by asking for its name.
    const isListed = readTarget(target, picture, {}).verdict === 'listed';
    const early = isListed ? await resolve(target) : null;
    if (early !== null && 'status' in early) return early;
    let admission = await gate.admit({
      entry: 'egress',
      agent,
      gatewayId: bearer.kind === 'gateway' ? bearer.gateway.id : null,
      sessionKey,
      taskId: attribution.taskId,
      runId: headerOf(request, 'x-mc-run') ?? null,
      callId: null,
      traceId: null,
      tool: 'network_call',
      arguments: { method: target.method, url: target.url },
      toolKind: null,
      cwd: null,
      workspace: agent.workspace,
      upstream: null,
      definition: null,
      ungated: agent.gate === 'openclaw' && !picture.isGateLive(agent, clock()),
      ...(early !== null && target.host !== null && { dns: { [target.host]: early.list } }),
    });
    telemetry.decided('egress', admission);
    const record = admission.verdict === 'deny' ? null : await gate.find(admission.id).catch(() => null);
    // No proxy client waits for a person: it is told at once, and its agent after the decision (SPEC 3.2).
    if (admission.verdict === 'hold' && record !== null) admission = await gate.endWait(record);
    if (admission.verdict === 'hold') {
      const { number, id } = admission.approval;
      const detail = `Approval ${number} is pending and nothing was connected. Do not retry and do not work around it: end your turn. After the approval exactly this connects once.`;
      return {
        status: 403,
        code: 'APPROVAL_PENDING',
        detail,
        extra: { id: admission.id, risk: admission.risk, reasons: admission.reasons, approvalId: id, approvalNumber: number },
      };
    }
    if (admission.verdict === 'deny') {
      const { id, risk, reasons, kind } = admission;
      return {
        status: kind === 'unavailable' ? 503 : 403,
        code: reasons[0]?.code ?? 'DENIED',
        detail: refusalText(reasons),
        extra: { id, risk, reasons },
      };
    }
    if (record === null) return { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH };
    const startedAt = clock();
    const end = (ended: Ended) => keep(gate.complete(record, outcomeOf(ended, target, clock() - startedAt)));
    const refuse = (refusal: Refusal): Refusal => {
      end({ ...NOTHING, status: 'failed', error: refusal.detail, isUnsent: true });
      return refusal;
    };
    if (gone.aborted) return refuse({ status: 503, code: 'CLIENT_GONE', detail: 'the client left before anything was sent' });
    if (admission.arguments !== null && (admission.arguments.url !== target.url || admission.arguments.method !== target.method))
      return refuse({ status: 403, code: 'EDIT', detail: 'The approver changed the address. Connect to that one instead.' });
    const addresses = early ?? (await lookUp(target, picture));
    if ('status' in addresses) return refuse(addresses);
    return { addresses: addresses.list, agentId: agent.id, callId: record.id, record, isElsewhere: false, end };
  }

  /** The addresses of a target that may be dialled, every one of them checked. */
  async function lookUp(target: Target, picture: Picture): Promise<{ list: readonly string[] } | Refusal> {
    const found = await resolve(target);
    if ('status' in found || target.host === null) return found;
    const reading = readTarget(target, picture, { [target.host]: found.list });
    return reading.verdict === 'refused' ? { status: 403, code: 'NET_NOT_ALLOWLISTED', detail: `${target.host}: ${reading.why}.` } : found;
  }

  async function resolve({ host }: Target): Promise<{ list: readonly string[] } | Refusal> {
    if (host === null) return { list: [] };
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('no answer')), bounds.egressConnectMs);
    });
    try {
      const list = await Promise.race([network.resolve(host), late]);
      if (list.length > 0) return { list };
    } catch {
      // Said below: why a name has no address is not the agent's business.
    } finally {
      clearTimeout(timer);
    }
    return { status: 502, code: 'HOST_UNKNOWN', detail: `The name ${host} has no address. Nothing was sent.` };
  }

  function targetOfTunnel(authority: string): Target | Refusal {
    const match = /^(\[[^\]]{1,100}\]|[^:]{1,1024}):(\d{1,5})$/.exec(authority);
    const picture = snapshot.current(clock());
    if (!picture) return { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH };
    if (!match) return { status: 400, code: 'BAD_TARGET', detail: 'CONNECT takes host:port.' };
    const [, name = '', digits = ''] = match;
    const port = Number(digits);
    const scheme = tunnelScheme(name, port, picture.policy.network);
    const { host } = readAuthority(name, port, scheme, { dns: {} }, picture.policy.network);
    const shownHost = host === null ? name : host.includes(':') ? `[${host}]` : host;
    return { method: 'CONNECT', url: `${scheme}://${shownHost}:${port}`, host, port, scheme };
  }

  function targetOfRequest(request: IncomingMessage): Target | Refusal {
    const url = request.url ?? '';
    const picture = snapshot.current(clock());
    if (!picture) return { status: 503, code: 'SNAPSHOT_STALE', detail: OUT_OF_TOUCH };
    if (!/^http:\/\//i.test(url)) {
      const detail = /^[a-z][a-z0-9+.-]*:/i.test(url)
        ? 'Only http:// goes through like this; use CONNECT for everything else.'
        : 'This is the egress proxy: name it as the HTTP proxy of a program, and ask for the whole address.';
      return { status: 400, code: 'BAD_TARGET', detail };
    }
    const { host, port } = readUrl(url, { dns: {} }, picture.policy.network);
    if (host !== null && !URL.canParse(url)) return { status: 400, code: 'BAD_TARGET', detail: 'The address cannot be read.' };
    return { method: request.method ?? 'GET', url, host, port: port ?? 80, scheme: 'http' };
  }

  function readTarget({ method, url, host, port, scheme }: Target, picture: Picture, dns: Record<string, readonly string[]>) {
    const { network: rules } = picture.policy;
    return method === 'CONNECT' && host !== null ? readAuthority(host, port, scheme, { dns }, rules) : readUrl(url, { dns }, rules);
  }

  /* ------------------------------------------------------------ ends */

  /** What stops an agent's connections: everything that stops its calls, and a pause, since an open tunnel goes on by itself. */
  function whyNot(agentId: string): string | null {
    if (snapshot.system().estop) return 'ESTOP';
    const picture = snapshot.current(clock());
    if (picture === null) return 'SNAPSHOT_STALE';
    const status = picture.agent(agentId)?.status;
    if (status === undefined || status === 'stopped') return 'AGENT_STOPPED';
    return status === 'quarantined' ? 'AGENT_QUARANTINED' : status === 'paused' ? 'AGENT_PAUSED' : null;
  }

  function keep(recording: Promise<unknown>): void {
    const watched = recording
      .catch((error) => log.warn({ err: error }, 'the end of a connection could not be recorded'))
      .finally(() => ending.delete(watched));
    ending.add(watched);
  }

  /**
   * After a change of the picture: what may no longer go on is cut. A picture that is too old cuts nothing, it
   * only opens nothing; a stop cuts however old the rest is. @returns how many were cut.
   */
  function review(): number {
    if (snapshot.current(clock()) === null && !snapshot.system().estop) return 0;
    let cut = 0;
    for (const connection of [...open]) {
      const why = whyNot(connection.agentId);
      if (why === null) continue;
      connection.cut(`cut: ${why}`);
      cut++;
    }
    return cut;
  }

  const server: Server = createServer(
    {
      headersTimeout: bounds.headersTimeoutMs,
      requestTimeout: Math.max(bounds.egressIdleMs, bounds.headersTimeoutMs),
      keepAliveTimeout: 65_000,
      maxHeaderSize: 16 * 1024,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      relay(request, response).catch((error) => {
        log.warn({ err: error }, 'a request through the egress proxy failed');
        problem(response, 500, 'INTERNAL', 'Something broke on our side.');
      });
    },
  );
  server.maxConnections = bounds.connectionsMax;
  server.on('clientError', answerBrokenRequest);
  server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    tunnel(request, socket, head).catch((error) => {
      log.warn({ err: error }, 'a tunnel failed');
      socket.destroy();
    });
  });

  /** Cuts what is open and waits until that is recorded. */
  async function close(): Promise<void> {
    const closed = new Promise<void>((done) => server.close(() => done()));
    for (const connection of [...open]) connection.cut('Mission Control ended');
    server.closeAllConnections();
    await closed;
    while (open.size > 0 || ending.size > 0) {
      await Promise.all(ending);
      // An exchange that was cut says how it ended in one of the next turns.
      await new Promise(setImmediate);
    }
  }

  return { server, review, confirm, close, open: () => open.size };
}

const NOTHING = { httpStatus: null, bytesUp: 0, bytesDown: 0 } as const;

function outcomeOf({ status, httpStatus, bytesUp, bytesDown, error, isUnsent }: Ended, target: Target, durationMs: number): Outcome {
  const answer = httpStatus === null ? '' : `, HTTP ${httpStatus}`;
  const output = isUnsent ? null : `${shown(target)}${answer}: ${bytesUp} bytes up, ${bytesDown} bytes down`;
  // Another host that cannot be reached is another error to the loop detector; a cut says why and no more.
  const described = error === null || status === 'unknown' ? error : `${shown(target)}: ${error}`;
  return { status, output, error: described, durationMs, costMicros: isUnsent ? 0 : null };
}

function shown({ method, url }: Target): string {
  return `${method} ${redactText(url).text}`;
}

function refuseTunnel(socket: Socket, { status, code, detail, extra }: Refusal): void {
  rawProblem(socket, status, code, detail, extra, status === 407 ? [`proxy-authenticate: ${CHALLENGE}`] : []);
}

function refuseRequest(response: ServerResponse, { status, code, detail, extra }: Refusal): void {
  if (status === 407) response.setHeader('proxy-authenticate', CHALLENGE);
  // Its body is not read, and must not be taken for the next request.
  response.setHeader('connection', 'close');
  problem(response, status, code, detail, extra);
}

/** Bearer token, or Basic with the token as the password; the user name may say which agent of a gateway asks. */
function credentialOf(header: string | undefined): { token: string; name: string } | null {
  const [, scheme = '', value = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(header ?? '') ?? [];
  if (scheme === '') return null;
  if (scheme.toLowerCase() === 'bearer') return { token: value, name: '' };
  const text = Buffer.from(value, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon < 0 || /\s/.test(text.slice(colon + 1)) ? null : { name: text.slice(0, colon), token: text.slice(colon + 1) };
}

async function* counted(request: IncomingMessage, counter: { bytes: number }): AsyncGenerator<Buffer> {
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    counter.bytes += chunk.length;
    yield chunk;
  }
}

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
