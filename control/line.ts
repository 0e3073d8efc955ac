/**
 * The lines to the proxies: pictures out, journal and holds in (/internal/v1, cluster secret). A line that is open proves to the
 * proxy that control is reachable: it beats every second, and a proxy that hears nothing refuses. A control that does not know what
 * others have changed does not beat.
 */
import { hash } from 'node:crypto';
import { Hono, type HonoRequest } from 'hono';
import { sql } from 'kysely';
import type { JsonObject, Policy, Said } from '../policies/index.ts';
import type { Broadcast, OutboxRow } from './broadcast.ts';
import type { Bus } from './bus.ts';
import {
  type AgentPicture,
  type DrillName,
  type GatewayPicture,
  type HelloAnswer,
  type HoldRequest,
  type JournalEntry,
  JSON_LINES,
  type KnownCall,
  type KnownOutcome,
  type LedgerBound,
  type LedgerJoin,
  type LedgerSeed,
  LINE_PROOF_HEADER,
  LINE_VERSION,
  LINE_VERSION_HEADER,
  MISDIRECTED,
  type Misdirected,
  OTHER_VERSION,
  type ShadowReport,
  type StopAcknowledgement,
  type StreamMessage,
  type SystemPicture,
  type TaskPicture,
  type ToolListing,
  type UpstreamHealth,
} from './contract.ts';
import { type Counters, CountersUnavailable } from './counters.ts';
import type { Db } from './db/database.ts';
import type { Emergency } from './emergency.ts';
import type { GatewayPasses } from './gateway-passes.ts';
import type { Holds } from './holds.ts';
import { type Ingest, UnknownEvent } from './ingest.ts';
import type { Keys } from './keys.ts';
import { createLineProof } from './line-proof.ts';
import type { Members } from './members.ts';
import type { Policies } from './policies.ts';
import type { Shadows } from './shadows.ts';
import type { Spend } from './spend.ts';
import { readStopOrder } from './stop-order.ts';
import { OPEN_TASKS } from './tasks.ts';
import type { Upstreams } from './upstreams.ts';

const BEAT_MS = 1_000;
/** Messages that wait for a proxy to read them. */
const UNREAD_MAX = 5_000;
/** Calls that a proxy learns of after a restart: all open ones, and those that ended within this time. */
const KNOWN_MS = 60 * 60 * 1000;
const KNOWN_MAX = 20_000;
/** Labels of runs that were silent longer are forgotten, here as in a proxy. */
const LABELS_MS = 24 * 60 * 60 * 1000;
const LABELS_MAX = 50_000;
/** Another control that was not heard for this long is not waited for. */
const PEER_LIVE_MS = 3_000;
/** A stop order is small. */
const ORDER_MAX_BYTES = 64 * 1024;
/** Calls that ended lately, and how much of each error is told: as much as its signature is made of. */
const OUTCOMES_MAX = 10_000;
const ERROR_CHARS = 2_000;
/** Comments of a task that a proxy counts by, at least. */
const TALK_MIN = 200;
/** A change is answered when every proxy judges by it: usually within milliseconds (SPEC 8.3: 300), under load later, at the latest now. */
const BIND_MS = 3_000;

interface Dependencies {
  db: Db;
  clock: () => number;
  keys: Keys;
  clusterSecret: string;
  broadcast: Broadcast;
  holds: Holds;
  ingest: Ingest;
  policies: Policies;
  shadows: Shadows;
  upstreams: Upstreams;
  gatewayPasses: GatewayPasses;
  spend: Spend;
  /** Null where the one proxy keeps them. */
  counters: Counters | null;
  /** Where several control processes work together; absent = this is the only one. */
  cluster?: Cluster | undefined;
  log: { error: (fields: object, message: string) => void };
}

interface LineEnv {
  Variables: { nonce: string };
}

/** What a line needs to know of the other processes. */
export interface Cluster {
  /** Names this process on the bus. */
  id: string;
  bus: Bus;
  members: Members;
}

interface Stream {
  proxyId: string;
  send: (message: StreamMessage) => void;
  /** Ends the line; the proxy connects again and gets a whole picture. */
  cut: () => void;
  /** The revision that was last sent with a mark, and the one that the proxy last confirmed. */
  owes: number;
  applied: number;
  /** When it began to owe what it has not confirmed yet, by the monotonic clock. */
  owesSince: number;
}

/** How far a proxy's journal was when it last shipped. */
export interface JournalProgress {
  at: number;
  /** Events that it still had behind that shipment. */
  waiting: number;
  /** How old the oldest event of that shipment was, milliseconds. */
  oldestMs: number;
}

/** How far a proxy on a line here is. */
export interface ProxyProgress {
  appliedRevision: number;
  owedRevision: number;
  /** For how long it has owed what it has not confirmed; 0 = it owes nothing. Milliseconds. */
  owesForMs: number;
  /** Null = it has shipped nothing here. */
  journal: JournalProgress | null;
}

export type Line = ReturnType<typeof createLine>;

export function createLine({
  db,
  clock,
  keys,
  clusterSecret,
  broadcast,
  holds,
  ingest,
  policies,
  shadows,
  upstreams,
  gatewayPasses,
  spend,
  counters,
  cluster,
  log,
}: Dependencies) {
  const proof = createLineProof(clusterSecret);
  const streams = new Set<Stream>();
  const lastSeen = new Map<string, number>();
  /** What each proxy said of its journal when it last shipped. */
  const journals = new Map<string, JournalProgress>();
  /** Where the proxies that announced themselves here are reached. */
  const places = new Map<string, { url: string; egressUrl: string | null }>();
  /** How far the proxies on the lines of other controls are, as those say. */
  const peers = new Map<string, { revision: number; heardAt: number }>();
  let emergency: Emergency | null = null;
  /** Rows are turned into pictures one batch after the other, so that an older picture never overtakes a newer one. */
  let queue: Promise<void> = Promise.resolve();

  /** Begins to beat and to follow the outbox. Emergency comes late because it needs the line to travel on. */
  function start(stopState: Emergency): () => void {
    emergency = stopState;
    const unsubscribe = broadcast.onRows((rows) => {
      queue = queue.then(() => forward(rows)).catch((error) => fail(error));
    });
    const forget = broadcast.onLoss(() => {
      queue = queue.then(() => fail(new Error('changes were missed')));
    });
    const timer = setInterval(() => {
      const beat: StreamMessage = { type: 'beat', at: clock() };
      for (const stream of streams) {
        if (broadcast.isCurrent()) stream.send(beat);
        lastSeen.set(stream.proxyId, beat.at);
      }
      sayApplied();
    }, BEAT_MS);
    const leave = cluster?.bus.subscribe((message) => {
      if (message.type === 'applied' && message.from !== cluster.id) {
        peers.set(message.from, { revision: message.revision, heardAt: performance.now() });
        for (const look of watchers) look();
      }
    });
    return () => {
      clearInterval(timer);
      unsubscribe();
      forget();
      leave?.();
    };
  }

  /** Tells the other controls how far the proxies here are, so that they may answer who changed something there. */
  function sayApplied(): void {
    if (!cluster) return;
    const behind = [...streams].filter((stream) => stream.applied < stream.owes).map((stream) => stream.applied);
    cluster.bus.publish({ type: 'applied', from: cluster.id, revision: Math.min(forwarded, ...behind) });
  }

  function arePeersAt(revision: number): boolean {
    const since = performance.now() - PEER_LIVE_MS;
    return [...peers.values()].every((peer) => peer.heardAt < since || peer.revision >= revision);
  }

  /** A picture that could not be made must not leave a proxy with an old one that looks fresh: its line is cut, and it asks again. */
  function fail(error: unknown): void {
    log.error({ err: error }, 'pictures for the proxies could not be made; their lines are cut');
    for (const stream of [...streams]) stream.cut();
  }

  async function forward(rows: readonly OutboxRow[]): Promise<void> {
    const revision = rows.at(-1)?.id ?? 0;
    if (streams.size === 0) {
      forwarded = revision;
      sayApplied();
      return;
    }
    const of = (topic: OutboxRow['topic']) => [...new Set(rows.filter((row) => row.topic === topic).map((row) => row.entityId))];
    const at = clock();
    const messages: StreamMessage[] = [];
    const agentIds = of('agent');
    const gatewayIds = of('gateway');
    const taskIds = of('task');
    const upstreamIds = of('upstream');
    if (agentIds.length > 0) {
      const pictures = await agentPictures(db, agentIds);
      const removed = agentIds.filter((id) => !pictures.some((agent) => agent.id === id));
      // An agent is touched with every call of it; only what bears on judging goes to the proxies.
      const changed = pictures.filter((agent) => remember(agent));
      for (const id of removed) sent.delete(id);
      if (changed.length > 0 || removed.length > 0) messages.push({ type: 'agents', at, changed, removed });
    }
    if (gatewayIds.length > 0) {
      const changed = await gatewayPictures(db, gatewayIds);
      messages.push({ type: 'gateways', at, changed, removed: gatewayIds.filter((id) => !changed.some((gateway) => gateway.id === id)) });
    }
    if (taskIds.length > 0) {
      const changed = await taskPictures(taskIds);
      messages.push({ type: 'tasks', at, changed, removed: taskIds.filter((id) => !changed.some((task) => task.id === id)) });
    }
    if (upstreamIds.length > 0) {
      const pictures = await upstreams.pictures(upstreamIds);
      const removed = upstreamIds.filter((id) => !pictures.some((upstream) => upstream.id === id));
      const changed = pictures.filter((upstream) => remember(upstream));
      for (const id of removed) sent.delete(id);
      if (changed.length > 0 || removed.length > 0) messages.push({ type: 'upstreams', at, changed, removed });
    }
    if (of('policy').length > 0) messages.push({ type: 'policy', at, policy: policyPicture() });
    if (messages.some((message) => message.type === 'agents') || of('system').length > 0) {
      messages.push({ type: 'system', at, system: await systemPicture() });
    }
    for (const id of of('approval')) {
      const row = await db.selectFrom('approvals').select('status').where('id', '=', id).executeTakeFirst();
      if (row) messages.push({ type: 'hold', at, approvalId: id, status: row.status });
    }
    if (messages.length > 0) messages.push({ type: 'mark', at, revision });
    for (const stream of streams) {
      if (messages.length > 0) {
        if (stream.applied >= stream.owes) stream.owesSince = performance.now();
        stream.owes = revision;
      }
      for (const message of messages) stream.send(message);
    }
    forwarded = revision;
    sayApplied();
  }

  /** Whether this picture differs from the one that the proxies have. Only a hash is kept: a picture may hold a secret. */
  function remember(picture: { id: string }): boolean {
    const text = hash('sha256', JSON.stringify(picture));
    if (sent.get(picture.id) === text) return false;
    sent.set(picture.id, text);
    return true;
  }

  /**
   * Waits until every connected proxy judges by what has been committed so far, or {@link BIND_MS} are over: so that who pauses an
   * agent or issues a token may count on it as soon as the answer is there. A line that owed its confirmation for half of that time is
   * cut, so that one proxy that stands still holds up one change and not every one; it connects again and gets a whole picture.
   */
  async function caughtUp(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(() => late.resolve(), BIND_MS);
    const done = Promise.withResolvers<void>();
    // A database that hangs must not keep an answer either.
    broadcast.drained().then((revision) => {
      const look = () => {
        if (forwarded < revision || [...streams].some((stream) => stream.applied < stream.owes) || !arePeersAt(revision)) return;
        watchers.delete(look);
        done.resolve();
      };
      watchers.add(look);
      late.promise.then(() => watchers.delete(look));
      look();
      // The queue may have ended between the look above and now.
      queue.then(look, look);
    }, done.reject);
    const isLate = await Promise.race([done.promise.then(() => false), late.promise.then(() => true)]).finally(() => {
      clearTimeout(timer);
      late.resolve();
    });
    if (!isLate) return;
    const since = performance.now() - BIND_MS / 2;
    for (const stream of [...streams]) if (stream.applied < stream.owes && stream.owesSince <= since) stream.cut();
  }
  const watchers = new Set<() => void>();
  const sent = new Map<string, string>();
  let forwarded = 0;

  /** Tells every proxy of the stop or its end, ahead of everything else and without the database. */
  function push(): void {
    const system: SystemPicture = { ...known, ...emergency?.picture() };
    for (const stream of streams) stream.send({ type: 'system', at: clock(), system });
  }
  /** Has the proxies on the lines here run drills. */
  function drill(requestId: string, names: readonly DrillName[]): void {
    for (const stream of streams) stream.send({ type: 'drill', at: clock(), requestId, names });
  }

  let known: SystemPicture = { estop: false, stopId: null, squadPaused: false, activeAgents: 0 };

  async function systemPicture(): Promise<SystemPicture> {
    const { count } = await db
      .selectFrom('agents')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('status', '=', 'active')
      .where('removed_at', 'is', null)
      .executeTakeFirstOrThrow();
    const row = await db.selectFrom('system_state').select('squad_paused').where('id', '=', 1).executeTakeFirstOrThrow();
    known = { estop: false, stopId: null, ...emergency?.picture(), squadPaused: row.squad_paused, activeAgents: Number(count) };
    return known;
  }

  function policyPicture() {
    const { id, version, document } = policies.current();
    return { id, version, document, gateRoots: policies.gateRoots, shadow: shadows.picture() };
  }

  async function picture(): Promise<StreamMessage> {
    return {
      type: 'picture',
      at: clock(),
      system: await systemPicture(),
      policy: policyPicture(),
      agents: await agentPictures(db, null),
      gateways: await gatewayPictures(db, null),
      tasks: await taskPictures(null),
      upstreams: await upstreams.pictures(null),
    };
  }

  /** Tasks that can still bear on a call; what ended stays known long enough to be refused by name. */
  async function taskPictures(ids: readonly string[] | null): Promise<TaskPicture[]> {
    let query = db
      .selectFrom('tasks')
      .select(['id', 'type', 'status', 'assignee_ids', 'session_key', 'budget'])
      .where('removed_at', 'is', null);
    query = ids ? query.where('id', 'in', [...ids]) : query.orderBy('updated_at', 'desc').limit(20_000);
    const rows = await query.execute();
    const sessions = await sessionsOf(db, ids);
    const raised = await raisesOfTasks(db, ids);
    const loops = await loopsOf(db, ids, policies.current().policy.document.loopDetection, clock());
    return rows.map((row) => ({
      id: row.id,
      type: row.type,
      status: row.status,
      assigneeIds: row.assignee_ids as string[],
      sessionKey: row.session_key,
      moreSessions: sessions.get(row.id) ?? [],
      budget: row.budget,
      raised: raised.get(row.id) ?? 0,
      ...loopFact(loops.get(row.id)),
    }));
  }

  /** @param nonce of the request: every message proves that it is the next one of this very stream. */
  function openStream(proxyId: string, nonce: string): ReadableStream<Uint8Array> {
    let written = 0;
    const encoder = new TextEncoder();
    let leave = () => {};
    return new ReadableStream<Uint8Array>({
      start: async (controller) => {
        let early: StreamMessage[] | null = [];
        let isOpen = true;
        const write = (message: StreamMessage) =>
          controller.enqueue(encoder.encode(proof.message(nonce, written++, JSON.stringify(withStop(message)))));
        const stream: Stream = {
          proxyId,
          owes: 0,
          applied: 0,
          owesSince: 0,
          send: (message) => {
            if (early) early.push(message);
            else if (isOpen && (controller.desiredSize ?? 0) > -UNREAD_MAX) write(message);
            // A proxy that does not read must not fill our memory, nor hold up those who wait for it; it connects again.
            else if (isOpen) stream.cut();
          },
          cut: () => {
            leave();
            controller.close();
          },
        };
        leave = () => {
          isOpen = false;
          streams.delete(stream);
        };
        // Joined before the picture is made: a change in between is sent after it, never lost.
        streams.add(stream);
        const first = await picture().catch((error) => {
          leave();
          throw error;
        });
        if (!isOpen) return;
        write(first);
        for (const message of early) write(message);
        early = null;
        lastSeen.set(proxyId, clock());
      },
      cancel: () => leave(),
    });
  }

  /**
   * The stop as it is at the moment of sending: a picture that was being made while somebody pressed the stop must not lift it.
   */
  function withStop(message: StreamMessage): StreamMessage {
    if (message.type !== 'system' && message.type !== 'picture') return message;
    return { ...message, system: { ...message.system, ...emergency?.picture() } };
  }

  /** What a proxy needs to find its way after a start. */
  async function hello(proxyId: string): Promise<HelloAnswer> {
    const cursor = await db.selectFrom('journal_cursors').select('seq').where('proxy_id', '=', proxyId).executeTakeFirst();
    const rows = await db
      .selectFrom('tool_calls')
      .leftJoin('approvals', 'approvals.id', 'tool_calls.approval_id')
      .selectAll('tool_calls')
      .select(['approvals.number as approval_number', 'approvals.waiting_until', 'approvals.edited_sealed'])
      .where((eb) =>
        eb.or([eb('tool_calls.status', 'in', ['running', 'needs_approval']), eb('tool_calls.created_at', '>', clock() - KNOWN_MS)]),
      )
      // Open calls first: their money is reserved and their outcome is still to come, however old they are.
      .orderBy((eb) =>
        eb.case().when('tool_calls.status', '=', 'running').then(0).when('tool_calls.status', '=', 'needs_approval').then(1).else(2).end(),
      )
      .orderBy('tool_calls.created_at', 'desc')
      .limit(KNOWN_MAX)
      .execute();
    const spend = await db.selectFrom('spend').selectAll().execute();
    await db
      .deleteFrom('run_labels')
      .where('at', '<', clock() - LABELS_MS)
      .execute();
    const labels = await db.selectFrom('run_labels').selectAll().orderBy('at', 'desc').limit(LABELS_MAX).execute();
    return {
      cursor: cursor?.seq ?? 0,
      digestKey: keys.digestKey,
      stateKey: keys.stateKey,
      calls: rows.map(
        (row): KnownCall => ({
          id: row.id,
          entry: row.entry,
          proxyId: row.proxy_id,
          key: row.key,
          slot: row.slot,
          agentId: row.agent_id,
          gatewayId: row.gateway_id,
          runId: row.run_id,
          taskId: row.task_id,
          state: row.status === 'running' ? 'running' : row.status === 'needs_approval' ? 'held' : 'ended',
          verdict: row.verdict,
          risk: row.risk,
          reasons: row.reasons as KnownCall['reasons'],
          approval: row.approval_id === null ? null : { id: row.approval_id, number: row.approval_number ?? 0 },
          editedArguments:
            row.status === 'running' && row.edited_sealed !== null
              ? (JSON.parse(keys.open(row.edited_sealed, `edit:${row.approval_id}`)) as JsonObject)
              : null,
          waitingUntil: row.waiting_until,
          estimatedCost: row.estimated_cost,
          // The day it counts for is the one on which it began.
          at: row.started_at ?? row.created_at,
        }),
      ),
      spent: Object.fromEntries(spend.map((row) => [row.scope, row.micros])),
      outcomes: await recentOutcomes(),
      labels: labels.map(({ agent_id, scope, label, at }) => ({ agentId: agent_id, scope, label, at })),
    };
  }

  /** The rows of failures of a proxy that was restarted go on (`history.sameErrorRetries`). */
  async function recentOutcomes(): Promise<KnownOutcome[]> {
    const since = clock() - policies.current().policy.document.loopDetection.retryWindowMs;
    const rows = await db
      .selectFrom('tool_calls')
      .select(['agent_id', 'session_key', 'tool', 'status', 'ended_at'])
      .select(sql<string | null>`left(coalesce(error, output), ${ERROR_CHARS})`.as('error'))
      .where('status', 'in', ['success', 'failed'])
      .where('entry', '<>', 'model')
      .where('ended_at', '>', since)
      .where(sql<boolean>`ended_by_caller is not true`)
      .orderBy('ended_at', 'desc')
      .limit(OUTCOMES_MAX)
      .execute();
    return rows.toReversed().map((row) => ({
      agentId: row.agent_id,
      sessionKey: row.session_key,
      tool: row.tool,
      error: row.status === 'failed' ? (row.error ?? '') : null,
      at: row.ended_at ?? 0,
    }));
  }

  function shared(): Counters {
    if (counters === null) throw new CountersUnavailable('control has no REDIS_URL: proxies and control must name the same one');
    return counters;
  }

  function routes(): Hono<LineEnv> {
    const app = new Hono<LineEnv>();
    // Another control sends a stop, or a proxy passes on one that it has heard: the seal is the credential.
    app.post('/stop', async (context) => {
      if (Number(context.req.header('content-length') ?? Number.NaN) > ORDER_MAX_BYTES) return context.json({ code: 'TOO_LARGE' }, 413);
      const order = readStopOrder(await context.req.json().catch(() => null), clusterSecret);
      if (order === null) return context.json({ code: 'UNAUTHENTICATED' }, 401);
      emergency?.adopt(order);
      return context.json({});
    });
    app.use('*', async (context, next) => {
      const { pathname, search } = new URL(context.req.url);
      const given = context.req.header('authorization');
      // Its bodies are read by the server itself.
      if (pathname.endsWith('/mission-control') && proof.isOwnServerToken(given)) return next();
      const asked = proof.check(given, context.req.method, pathname + search, new Uint8Array(await context.req.arrayBuffer()));
      if (asked === null) {
        return context.json(
          {
            title: 'Unauthorized',
            status: 401,
            code: 'UNAUTHENTICATED',
            detail:
              'This does not prove that its sender knows the cluster secret, or the clocks of both machines differ by more than 5 minutes.',
          },
          401,
        );
      }
      const { nonce, isForUs } = asked;
      context.set('nonce', nonce);
      const version = Number(context.req.header(LINE_VERSION_HEADER) ?? 0);
      if (version !== LINE_VERSION && version !== LINE_VERSION - 1) context.res = context.json(otherVersion(version), OTHER_VERSION);
      else if (isForUs) await next();
      else context.res = context.json({ code: 'ANOTHER_CONTROL', id: proof.id } satisfies Misdirected, MISDIRECTED);
      if (pathname.endsWith('/stream') && context.res.status === 200) return;
      const body = new Uint8Array(await context.res.clone().arrayBuffer());
      context.header(LINE_PROOF_HEADER, proof.answer(nonce, context.res.status, body));
    });
    app.post('/hello', async (context) => context.json(await hello((await context.req.json<{ proxyId: string }>()).proxyId)));
    app.post('/members', async (context) => {
      const { proxyId, url, egressUrl = null } = await context.req.json<{ proxyId: string; url: string; egressUrl?: string | null }>();
      places.set(proxyId, { url, egressUrl });
      await cluster?.members.saw(proxyId, url);
      return context.json({});
    });
    app.get('/members', (context) => {
      const live = (cluster?.members.proxies() ?? []).filter(({ isLive }) => isLive);
      return context.json({ proxies: live.map(({ id, url }) => ({ id, url })) });
    });
    app.get('/members/:id', async (context) => {
      const url = (await cluster?.members.addressOf(context.req.param('id'))) ?? null;
      return url === null ? context.json({ code: 'NOT_FOUND' }, 404) : context.json({ url });
    });
    app.get('/stream', (context) => {
      const proxyId = context.req.query('proxyId') ?? 'unknown';
      return new Response(openStream(proxyId, context.get('nonce')), {
        headers: { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' },
      });
    });
    app.post('/journal', async (context) => {
      const { proxyId, entries, depth } = await readJournal(context.req);
      const now = clock();
      lastSeen.set(proxyId, now);
      journals.set(proxyId, {
        at: now,
        waiting: Math.max(0, depth - entries.length),
        oldestMs: Math.max(0, now - (entries[0]?.event.at ?? now)),
      });
      return context.json({ acknowledged: await ingest.ingest(proxyId, entries) });
    });
    app.post('/applied', async (context) => {
      const { proxyId, revision } = await context.req.json<{ proxyId: string; revision: number }>();
      for (const stream of streams) if (stream.proxyId === proxyId) stream.applied = Math.max(stream.applied, revision);
      for (const look of watchers) look();
      sayApplied();
      return context.json({});
    });
    app.post('/holds', async (context) => context.json(await holds.open(await context.req.json<HoldRequest>())));
    app.get('/holds/:callId', async (context) => {
      const held = await holds.held(context.req.param('callId'));
      return held ? context.json(held) : context.json({ code: 'NOT_FOUND' }, 404);
    });
    app.post('/holds/:callId/defer', async (context) => context.json(await holds.defer(context.req.param('callId'))));
    app.post('/holds/:callId/withdraw', async (context) => {
      const { reason } = await context.req.json<{ reason: string }>();
      return context.json(await holds.withdraw(context.req.param('callId'), reason));
    });
    app.post('/approvals/:id/redeem', async (context) => {
      const { callId } = await context.req.json<{ callId: string }>();
      return context.json(await holds.redeem(context.req.param('id'), callId));
    });
    app.post('/upstreams/:id/tools', async (context) => {
      const isKnown = await upstreams.saw(context.req.param('id'), await context.req.json<ToolListing>());
      // Answered when the proxies judge by the pins, so that a call right after the listing is judged by them.
      if (isKnown) await caughtUp();
      return isKnown ? context.json({}) : context.json({ code: 'NOT_FOUND' }, 404);
    });
    app.post('/upstreams/:id/health', async (context) => {
      await upstreams.found(context.req.param('id'), await context.req.json<UpstreamHealth>());
      return context.json({});
    });
    app.post('/gateway-passes/redeem', async (context) => {
      const { ticket } = await context.req.json<{ ticket: string }>();
      return context.json(await gatewayPasses.redeem(ticket));
    });
    app.post('/gateway-passes/check', async (context) => {
      const { hash: cookieHash } = await context.req.json<{ hash: string }>();
      return context.json(await gatewayPasses.check(cookieHash));
    });
    app.post('/shadows/:id/:processId', async (context) => {
      const isRunning = await shadows.report(
        context.req.param('id'),
        context.req.param('processId'),
        await context.req.json<ShadowReport>(),
      );
      return isRunning ? context.json({}) : context.json({ code: 'NOT_FOUND' }, 404);
    });
    app.post('/ledger/join', async (context) => context.json(await shared().join(await context.req.json<LedgerJoin>())));
    app.post('/ledger/seed', async (context) => {
      await shared().seed(await context.req.json<LedgerSeed>());
      return context.json({});
    });
    app.post('/ledger/bound', async (context) => {
      const { proxyId, micros } = await context.req.json<LedgerBound>();
      await spend.setBound(proxyId, micros);
      return context.json({});
    });
    app.onError((error, context) => {
      if (error instanceof UnknownEvent) {
        log.error({ err: error }, 'a journal was not taken');
        return context.json({ title: 'Upgrade Required', status: OTHER_VERSION, code: error.code, detail: error.message }, OTHER_VERSION);
      }
      if (!(error instanceof CountersUnavailable)) throw error;
      return context.json({ title: 'Unavailable', status: 503, code: error.code, detail: error.message }, 503);
    });
    app.post('/stops/:stopId', async (context) => {
      emergency?.acknowledge(context.req.param('stopId'), await context.req.json<StopAcknowledgement>());
      return context.json({});
    });
    return app;
  }

  /** Proxies with an open line. */
  function liveProxies(): string[] {
    return [...new Set([...streams].map((stream) => stream.proxyId))];
  }

  /** Proxies that were heard of since the start, here or at another control. */
  function proxies() {
    const live = new Set(liveProxies());
    const here = [...lastSeen].map(([id, lastSeenAt]) => ({
      id,
      state: live.has(id) ? ('live' as const) : ('stale' as const),
      lastSeenAt,
    }));
    const elsewhere = (cluster?.members.proxies() ?? [])
      .filter(({ id }) => !live.has(id))
      .map(({ id, isLive, seenAt }) => ({ id, state: isLive ? ('live' as const) : ('stale' as const), lastSeenAt: seenAt }));
    return [...here.filter(({ id }) => !elsewhere.some((other) => other.id === id)), ...elsewhere];
  }

  /** How far the proxies on the lines here are, by their ids. */
  function progress(): ReadonlyMap<string, ProxyProgress> {
    const now = performance.now();
    return new Map(
      [...streams].map(({ proxyId, applied, owes, owesSince }) => [
        proxyId,
        {
          appliedRevision: applied,
          owedRevision: owes,
          owesForMs: applied < owes ? now - owesSince : 0,
          journal: journals.get(proxyId) ?? null,
        },
      ]),
    );
  }

  /** Where the proxies are that are here now; of those on the lines of other controls only their listener is known. */
  function addresses(): { url: string; egressUrl: string | null }[] {
    const here = liveProxies().flatMap((id) => places.get(id) ?? []);
    const elsewhere = (cluster?.members.proxies() ?? []).filter(({ isLive, url }) => isLive && !here.some((place) => place.url === url));
    return [...here, ...elsewhere.map(({ url }) => ({ url, egressUrl: null }))];
  }

  return { start, push, drill, caughtUp, routes, liveProxies, proxies, progress, addresses };
}

function otherVersion(theirs: number) {
  const detail = `This control speaks version ${LINE_VERSION} of the line and takes ${LINE_VERSION - 1}; the proxy speaks ${theirs}. Upgrade the controls first, then the proxies; roll back in the other order.`;
  return { title: 'Upgrade Required', status: OTHER_VERSION, code: 'LINE_VERSION', detail };
}

/** What a proxy ships. One of the version before sends one JSON text; it may, while proxies are restarted one by one. */
async function readJournal(request: HonoRequest): Promise<{ proxyId: string; entries: JournalEntry[]; depth: number }> {
  if (request.header('content-type') !== JSON_LINES)
    return { depth: 0, ...(await request.json<{ proxyId: string; entries: JournalEntry[] }>()) };
  const lines = (await request.text()).split('\n').filter((line) => line !== '');
  return {
    proxyId: request.query('proxyId') ?? 'unknown',
    entries: lines.map((line) => JSON.parse(line) as JournalEntry),
    // Of the version before ours, which does not say it.
    depth: Number(request.query('depth')) || 0,
  };
}

async function agentPictures(db: Db, ids: readonly string[] | null): Promise<AgentPicture[]> {
  let query = db.selectFrom('agents').selectAll().where('removed_at', 'is', null);
  if (ids) query = query.where('id', 'in', [...ids]);
  const rows = await query.execute();
  if (rows.length === 0) return [];
  const found = rows.map((row) => row.id);
  const tokens = await tokenHashes(db, 'agent', found);
  const children = await db
    .selectFrom('agents')
    .select(['parent_id', (eb) => eb.fn.countAll<number>().as('count')])
    .where('parent_id', 'in', found)
    .where('status', '<>', 'stopped')
    .where('removed_at', 'is', null)
    .groupBy('parent_id')
    .execute();
  const raises = new Map<string, Record<string, number>>();
  for (const row of await db.selectFrom('cap_raises').selectAll().where('agent_id', 'in', found).where('ended_at', 'is', null).execute()) {
    const ofAgent = raises.get(row.agent_id ?? '') ?? {};
    raises.set(row.agent_id ?? '', { ...ofAgent, [row.scope]: (ofAgent[row.scope] ?? 0) + row.micros });
  }
  const childrenOf = new Map(children.map((row) => [row.parent_id, Number(row.count)]));
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    autonomy: row.autonomy,
    status: row.status,
    depth: row.depth,
    parentId: row.parent_id,
    childSession: row.parent_id === null ? null : row.session_key,
    children: childrenOf.get(row.id) ?? 0,
    currentTaskId: row.current_task_id,
    toolPermissions: row.tool_permissions as string[] | null,
    workspace: row.workspace,
    gate: row.gate,
    gatewayId: row.gateway_id,
    externalId: row.external_id,
    dailyCap: row.daily_cap,
    perRunCap: row.per_run_cap,
    raises: raises.get(row.id) ?? {},
    tokenHashes: tokens.get(row.id) ?? [],
    mcpAliases: aliasesOf(row.metadata),
  }));
}

/** What `openclaw connect` has noted with the agent; what is not text to text is none. */
function aliasesOf(metadata: Record<string, unknown>): Record<string, string> {
  const { mcpAliases } = metadata;
  if (typeof mcpAliases !== 'object' || mcpAliases === null) return {};
  return Object.fromEntries(Object.entries(mcpAliases).filter((alias): alias is [string, string] => typeof alias[1] === 'string'));
}

async function gatewayPictures(db: Db, ids: readonly string[] | null): Promise<GatewayPicture[]> {
  let query = db.selectFrom('gateways').select(['id', 'name', 'last_heartbeat']).where('removed_at', 'is', null);
  if (ids) query = query.where('id', 'in', [...ids]);
  const rows = await query.execute();
  const tokens = await tokenHashes(
    db,
    'gateway',
    rows.map((row) => row.id),
  );
  return rows.map((row) => ({ id: row.id, name: row.name, tokenHashes: tokens.get(row.id) ?? [], lastHeartbeat: row.last_heartbeat }));
}

async function raisesOfTasks(db: Db, ids: readonly string[] | null): Promise<Map<string, number>> {
  let query = db.selectFrom('cap_raises').select(['task_id', 'micros']).where('task_id', 'is not', null).where('ended_at', 'is', null);
  if (ids) query = query.where('task_id', 'in', [...ids]);
  const sums = new Map<string, number>();
  for (const row of await query.execute()) sums.set(row.task_id ?? '', (sums.get(row.task_id ?? '') ?? 0) + row.micros);
  return sums;
}

/** What open tasks have to show for the loop limits: those of which nothing counts are left out. */
async function loopsOf(
  db: Db,
  ids: readonly string[] | null,
  { commentWindowMs, pairWindowMs, commentRateThreshold }: Policy['document']['loopDetection'],
  now: number,
): Promise<Map<string, { reviewCycles: number; talk: Said[] }>> {
  const loops = new Map<string, { reviewCycles: number; talk: Said[] }>();
  const of = (taskId: string) => {
    const known = loops.get(taskId) ?? { reviewCycles: 0, talk: [] };
    loops.set(taskId, known);
    return known;
  };
  const wanted = ids === null ? sql`true` : sql`t.id = any(${[...ids]})`;
  const cycles = await sql<{ id: string; count: number }>`
    ${OPEN_TASKS}
    select t.id, count(*)::int as count from task_transitions r join open_tasks t on t.id = r.task_id
    where ${wanted} and r.from_status = 'review' and r.to_status = 'in_progress' and r.created_at > t.since group by t.id
  `.execute(db);
  for (const { id, count } of cycles.rows) of(id).reviewCycles = count;
  const talk = await sql<{ id: string; at: number; by: string | null }>`
    ${OPEN_TASKS}
    select id, at, by from (
      select t.id, m.created_at as at, m.author_id as by, m.number, row_number() over (partition by t.id order by m.number desc) as nth
      from messages m join open_tasks t on t.id = m.task_id
      where ${wanted} and m.created_at > greatest(${now - Math.max(commentWindowMs, pairWindowMs)}::bigint, t.since)
    ) as said where nth <= ${Math.max(TALK_MIN, commentRateThreshold + 1)} order by number
  `.execute(db);
  for (const { id, at, by } of talk.rows) of(id).talk.push({ at, by });
  return loops;
}

function loopFact(loops: TaskPicture['loops'] | undefined): Pick<TaskPicture, 'loops'> {
  return loops === undefined ? {} : { loops };
}

/** In which sessions agents work on these tasks. */
async function sessionsOf(db: Db, ids: readonly string[] | null): Promise<Map<string, string[]>> {
  let query = db.selectFrom('task_sessions').select(['task_id', 'session_key']);
  if (ids) query = query.where('task_id', 'in', [...ids]);
  const sessions = new Map<string, string[]>();
  for (const row of await query.execute()) sessions.set(row.task_id, [...(sessions.get(row.task_id) ?? []), row.session_key]);
  return sessions;
}

async function tokenHashes(db: Db, kind: 'agent' | 'gateway', owners: readonly string[]): Promise<Map<string, string[]>> {
  const hashes = new Map<string, string[]>();
  if (owners.length === 0) return hashes;
  const rows = await db
    .selectFrom('credentials')
    .select(['owner_id', 'hash'])
    .where('kind', '=', kind)
    .where('revoked_at', 'is', null)
    .where('owner_id', 'in', [...owners])
    .execute();
  for (const row of rows) hashes.set(row.owner_id, [...(hashes.get(row.owner_id) ?? []), row.hash]);
  return hashes;
}
