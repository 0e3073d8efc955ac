/**
 * Control: opens the database, wires the services, and serves API, dashboard and the lines to the proxies on one listener, or does the work
 * in the background, or both. On a database server several such processes share everything; alone it is the only one by right.
 * Stops in order: no new requests, then the workers, then what is being published, then the database.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { hostname } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { serveStatic } from '@hono/node-server/serve-static';
import { Hono } from 'hono';
import type { Logger } from 'pino';
import { usdFromMicros } from '../policies/index.ts';
import { createAgents } from './agents.ts';
import { createAlerts } from './alerts.ts';
import { createAnchors } from './anchors.ts';
import { addressOf, answerError, answerNotFound, createApi } from './api.ts';
import { createApprovals } from './approvals.ts';
import { SYSTEM } from './audit.ts';
import { createAuth, provideCliToken } from './auth.ts';
import { createBackupRuns } from './backup-runs.ts';
import { createBroadcast, type OutboxRow, type ViewLoaders } from './broadcast.ts';
import { createLocalBus, createRedisBus } from './bus.ts';
import { createCalls } from './calls.ts';
import { createCaps } from './caps.ts';
import { createCards } from './cards.ts';
import { createChannels } from './channels.ts';
import { createChatIdentities } from './chat-identities.ts';
import { CLI_TOKEN_FILE } from './commands/client.ts';
import type { ControlConfig } from './config.ts';
import type { Overview } from './contract.ts';
import { openCounters } from './counters.ts';
import { createCoverage } from './coverage.ts';
import { isAnswering, openDatabase, openServerDatabase } from './db/database.ts';
import { createDeliveries } from './deliveries.ts';
import { createDetours } from './detours.ts';
import { createDocuments } from './documents.ts';
import { createDrills } from './drills.ts';
import { createEmergency } from './emergency.ts';
import { createGateEvidence } from './gate-evidence.ts';
import { createGatewayPasses } from './gateway-passes.ts';
import { createGateways } from './gateways.ts';
import { createGrants } from './grants.ts';
import { createHealth } from './health.ts';
import { createHolds } from './holds.ts';
import { createIncidents } from './incidents.ts';
import { createIngest } from './ingest.ts';
import { claimDatabase, openKeys } from './keys.ts';
import { createLeases } from './leases.ts';
import { createLine } from './line.ts';
import { openListener } from './listener.ts';
import { createMembers } from './members.ts';
import { createMessages } from './messages.ts';
import { createNotifications } from './notifications.ts';
import { createChannelSet } from './notify/channel-set.ts';
import { createConversation } from './notify/conversation.ts';
import { chatHooks } from './notify/hooks.ts';
import { serveOAuthReturn } from './oauth-return.ts';
import { createOperators } from './operators.ts';
import { createOwnServer } from './own-server.ts';
import { createPolicies } from './policies.ts';
import { createReads } from './reads.ts';
import { isSameSecret } from './same-secret.ts';
import { createSearch } from './search.ts';
import { createShadows } from './shadows.ts';
import { openSigningKey } from './signing.ts';
import { createSouls } from './souls.ts';
import { createSpend } from './spend.ts';
import { readStopOrder, sealStop } from './stop-order.ts';
import { createTasks } from './tasks.ts';
import { createTelemetry } from './telemetry.ts';
import { createThreads } from './threads.ts';
import { createTimeline } from './timeline.ts';
import { createTrials } from './trials.ts';
import { createUpstreamOAuth } from './upstream-oauth.ts';
import { createUpstreams } from './upstreams.ts';
import { approvalProcessor } from './workers/approval-processor.ts';
import { canaries } from './workers/canaries.ts';
import { chatReconciler } from './workers/chat-reconciler.ts';
import { dispatcher } from './workers/dispatcher.ts';
import { heartbeatMonitor } from './workers/heartbeat-monitor.ts';
import { ledgerReconciler } from './workers/ledger-reconciler.ts';
import { AS_WRITTEN, type Pace, startWorkers } from './workers/loop.ts';
import { loopDetector } from './workers/loop-detector.ts';
import { notifier } from './workers/notifier.ts';
import { reconciler } from './workers/reconciler.ts';
import { retention } from './workers/retention.ts';
import { rosterWatch } from './workers/roster.ts';
import { sessionWatch } from './workers/session-watch.ts';
import { dailyStandup } from './workers/standup.ts';
import { telegramPoller } from './workers/telegram-poller.ts';
import { tokenRefresher } from './workers/token-refresher.ts';

/** A database that needs longer for a question of nothing is none to work with. */
const READY_MS = 2_000;

/** A replay of another process that takes longer than this is not going on any more. */
const REPLAY_MAX_MS = 15 * 60 * 1000;

export interface Control {
  /** Base URL of API and dashboard. */
  url: string;
  /** Makes a one-time sign-in link for the first administrator. */
  signInLink: () => Promise<string>;
  close: () => Promise<void>;
}

/**
 * Starts control.
 * @param pace how often the workers tick; with the clock it is what time is to control.
 * @throws Error with the reason when database, keys, policy or port are not to be had.
 */
export async function startControl(config: ControlConfig, log: Logger, clock: () => number, pace: Pace = AS_WRITTEN): Promise<Control> {
  const { roles = ['control', 'workers'], databaseUrl = null } = config;
  const isShared = databaseUrl !== null;
  const { db, close: closeDatabase } = databaseUrl === null ? await openDatabase(config.dataDir) : await openServerDatabase(databaseUrl);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const keys = openKeys(config.keyDir);
  await claimDatabase(db, keys);
  const holder = `${hostname()}-${process.pid}-${randomUUID().slice(0, 8)}`;
  const bus =
    isShared && config.redisUrl !== null
      ? createRedisBus(config.redisUrl, (error) => log.warn({ err: error }, 'the bus is away; changes travel a moment later without it'))
      : createLocalBus();
  const broadcast = createBroadcast({
    db,
    onError: (error) => log.error({ err: error }, 'changes could not be published'),
    ...(isShared && { hint: () => bus.publish({ type: 'changes', from: holder }) }),
  });
  const { published } = broadcast;
  const base = { db, clock, published };

  const policies = createPolicies({ ...base, gateRoots: [config.dataDir, config.keyDir] });
  await policies.load(readFileSync(new URL('../policies/default.yaml', import.meta.url), 'utf8'));
  const activePolicy = policies.current;
  const trials = createTrials({ db, clock, policies, log });
  await trials.load(isShared ? REPLAY_MAX_MS : 0);
  const shadows = createShadows({ ...base, policies, trials });
  await shadows.load();
  const auth = createAuth({ db, clock, adminToken: config.adminToken });
  await provideCliToken(db, join(config.keyDir, CLI_TOKEN_FILE), clock());
  const operators = createOperators({ ...base, auth });
  const alerts = createAlerts(base);
  const tasks = createTasks(base);
  const grants = createGrants({ ...base, keys, activePolicy });
  const holds = createHolds({ ...base, keys, tasks, alerts, grants, activePolicy });
  const approvals = createApprovals({ ...base, keys, tasks, alerts, grants, holds, activePolicy });
  const gateways = createGateways({ ...base, keys, auth, alerts, log });
  const agents = createAgents({
    ...base,
    auth,
    tasks,
    alerts,
    activePolicy,
    withdrawHeld: async (tx, agentId, reason, now) => void (await holds.withdrawHeld(tx, agentId, reason, now)),
    abortRuns: (gatewayId, sessionKeys) => gateways.abortRuns(gatewayId, sessionKeys),
  });
  const calls = createCalls({ db });
  const search = createSearch({ db });
  const messages = createMessages(base);
  const documents = createDocuments({ db });
  const souls = createSouls({ db, agents, folder: config.soulsDir ?? null });
  const timeline = createTimeline({ db, activePolicy });
  const deliveries = createDeliveries({ db, clock });
  const channels = createChannels({ ...base, keys, alerts });
  const identities = createChatIdentities(base);
  const threads = createThreads({ db, clock });
  const reads = createReads({ db, clock });
  const cards = createCards({ db, clock, approvals });
  const notifications = createNotifications({ ...base, channels, approvals, cards, alerts });
  const { file = null, repository = null, everyMinutes = 5 } = config.anchors ?? {};
  const anchors = createAnchors({
    ...base,
    signing: openSigningKey(config.keyDir),
    alerts,
    channels,
    tell: notifications.add,
    file,
    repository,
  });
  const channelSet = createChannelSet({ clock, publicUrl: config.publicUrl ?? null });
  const leases = createLeases({ db, clock, holder });
  const upstreams = createUpstreams({ ...base, keys, alerts, allowCommands: config.allowCommands });
  const gatewayPasses = createGatewayPasses({ ...base, keys, proxyUrl: config.proxyUrl ?? 'http://127.0.0.1:3100' });
  const upstreamOAuth = createUpstreamOAuth({ ...base, keys, alerts });
  const spend = createSpend({ db, clock, activePolicy });
  const counters =
    config.redisUrl === null
      ? null
      : await openCounters({
          url: config.redisUrl,
          record: spend.record,
          onError: (error) => log.warn({ err: error }, 'Redis cannot be reached; it is tried again'),
        });
  const caps = createCaps({ ...base, tasks, alerts, activePolicy });
  const ingest = createIngest({ ...base, agents, gateways, alerts, spend, caps });
  const members = createMembers({
    db,
    clock,
    clusterSecret: config.clusterSecret,
    self: { id: holder, url: () => config.advertiseUrl ?? url() },
    onError: (error) => log.warn({ err: error }, 'the other processes could not be looked up'),
  });
  const line = createLine({
    db,
    clock,
    keys,
    clusterSecret: config.clusterSecret,
    broadcast,
    holds,
    ingest,
    policies,
    shadows,
    upstreams,
    gatewayPasses,
    spend,
    counters,
    cluster: isShared ? { id: holder, bus, members } : undefined,
    log,
  });
  const emergency = createEmergency({
    ...base,
    dataDir: config.dataDir,
    agents,
    tasks,
    holds,
    alerts,
    gateways,
    signingKey: openSigningKey(config.keyDir),
    push: line.push,
    liveProxies: line.liveProxies,
    ...(isShared && {
      liveProxies: () => [...new Set([...line.liveProxies(), ...members.proxies().flatMap(({ id, isLive }) => (isLive ? id : []))])],
      order: (stop, hearing) => {
        const order = sealStop(stop, config.clusterSecret);
        bus.publish({ type: 'stop', order });
        void members.order(order, hearing);
      },
    }),
  });
  await emergency.load();
  const leaveBus = bus.subscribe((message) => {
    if (message.type === 'changes' && message.from !== holder) broadcast.look();
    if (message.type === 'drill') line.drill(message.requestId, message.names);
    if (message.type !== 'stop') return;
    const order = readStopOrder(message.order, config.clusterSecret);
    if (order) emergency.adopt(order);
    else log.error({ stopId: message.order.stopId }, 'somebody put a stop on the bus that none of us has sealed');
  });

  /** What this process remembers of the record follows what another one has changed, before anybody is told of the change. */
  async function follow(rows: readonly OutboxRow[]): Promise<void> {
    const has = (topic: OutboxRow['topic']) => rows.some((row) => row.topic === topic);
    if (has('policy')) await Promise.all([policies.refresh(), shadows.load()]);
    if (has('system')) await emergency.refresh();
    if (has('gateway')) await gateways.refresh([...new Set(rows.flatMap((row) => (row.topic === 'gateway' ? row.entityId : [])))]);
  }

  const overview = async (): Promise<Overview> => {
    const { id, version, policy, today } = activePolicy();
    const { all, active } = await agents.count();
    const day = today(clock());
    const spent = await db.selectFrom('spend').select('micros').where('scope', '=', `fleet-day:${day}`).executeTakeFirst();
    const fleetCap = policy.capsFor('lead', null).fleetDay;
    return {
      serverTime: clock(),
      version: config.version,
      system: await emergency.state(),
      pendingApprovals: await approvals.countPending(),
      openAlerts: await alerts.countOpen(),
      activeAgents: active,
      agents: all,
      todaySpend: usdFromMicros(spent?.micros ?? 0),
      fleetCap: fleetCap === null ? null : usdFromMicros(fleetCap),
      activePolicy: { id, version },
      proxies: line.proxies(),
    };
  };
  const views: ViewLoaders = {
    agent: agents.find,
    approval: approvals.find,
    grant: grants.find,
    task: tasks.find,
    tool_call: calls.find,
    run: calls.findRun,
    activity: calls.findActivity,
    alert: alerts.find,
    policy: (id) => policies.get(id).catch(() => null),
    gateway: gateways.find,
    upstream: upstreams.find,
    system: overview,
  };
  await broadcast.start(views, isShared ? follow : undefined);

  const coverage = createCoverage({ db, clock });
  const countProxies = () => line.proxies().filter(({ state }) => state === 'live').length;
  const drills = createDrills({ db, clock, self: holder, say: bus.publish, countProxies });
  const conversation = createConversation({ clock, identities, notifications, approvals, cards, grants, messages, emergency, overview });

  const backups = createBackupRuns({ ...base, dataDir: isShared ? null : config.dataDir, version: config.version });
  const api = createApi({
    db,
    clock,
    published,
    keys,
    auth,
    agents,
    tasks,
    timeline,
    messages,
    reads,
    documents,
    leases,
    souls,
    approvals,
    grants,
    policies,
    trials,
    shadows,
    alerts,
    anchors,
    calls,
    search,
    coverage,
    drills,
    incidents: createIncidents({ db, clock, timeline }),
    spend,
    caps,
    gateways,
    gatewayPasses,
    upstreams,
    upstreamOAuth,
    publicUrl: config.publicUrl ?? null,
    operators,
    channels,
    identities,
    notifications,
    emergency,
    broadcast,
    overview,
    backups,
    health: createHealth({
      ...{ db, clock, isShared, overview, line, counters, gateways, channels, leases, backups },
      workers: () => workers,
      anchorEveryMs: everyMinutes * 60_000,
    }),
    caughtUp: line.caughtUp,
    version: config.version,
    log,
  });
  const app = new Hono();
  app.onError((error, context) => answerError(error, context, { log }));
  app.notFound(answerNotFound);
  app.get('/healthz', (context) => context.text('ok'));
  app.get('/readyz', async (context) => ((await isAnswering(db, READY_MS)) ? context.text('ready') : context.text('not ready', 503)));
  const telemetry = createTelemetry({
    drills: drills.card,
    db,
    clock,
    version: config.version,
    caps,
    gateways: gateways.list,
    system: emergency.state,
    proxies: line.proxies,
    busConnected: bus.isConnected,
  });
  app.get('/metrics', async (context) => {
    const token = /^Bearer +(\S+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
    const isOpen =
      token !== undefined &&
      (isMetricsToken(config.metricsToken ?? null, token) || (await auth.byToken(token, addressOf(context)))?.kind === 'human');
    if (!isOpen)
      return context.text('Send a token of an operator, or MC_METRICS_TOKEN, as a bearer token.', 401, { 'www-authenticate': 'Bearer' });
    return context.text(await telemetry.page(), 200, { 'cache-control': 'no-store' });
  });
  const isServing = roles.includes('control');
  const ownServer = createOwnServer({
    tasks,
    messages,
    reads,
    approvals,
    agents,
    timeline,
    activePolicy,
    caughtUp: line.caughtUp,
    version: config.version,
    log,
  });
  const internal = line.routes();
  // Behind the same secret as the lines: which agent asks is what the proxy says.
  internal.all('/mission-control', (context) => ownServer.serve(context.req.raw, context.req.header('x-mc-agent') ?? ''));
  if (isServing) {
    app.route('/internal/v1', internal);
    app.route('/api', api);
    serveOAuthReturn(app);
    app.route('/chat', chatHooks({ clock, channels, channelSet, conversation, notifications, threads }));
    serveReference(app);
    // What the API and the lines do not know is not a page of the dashboard.
    for (const path of ['/api/*', '/internal/*', '/chat/*']) app.all(path, answerNotFound);
    serveDashboard(app, config.dashboardDir);
  }

  const stopLine = line.start(emergency);
  const server = await openListener(app, config.host, config.port);
  await gateways.start();
  if (config.openclaw) await registerGateway(config.openclaw);
  // Who held a lease of a database that is ours alone is dead.
  if (!isShared) await leases.clear();
  if (isShared && isServing) await members.start(line.liveProxies);
  const onChannelError = (error: unknown, channel: string) => log.error({ err: error, channel }, 'a channel failed; it is tried again');
  const telling = notifier({
    clock,
    channels,
    channelSet,
    notifications,
    threads,
    cards,
    publicUrl: config.publicUrl ?? null,
    onError: onChannelError,
  });
  const polling = telegramPoller({ clock, channels, channelSet, conversation, notifications, threads, onError: onChannelError });
  const workers = [
    approvalProcessor({ holds, agents, gateways }),
    dispatcher({ deliveries, gateways }),
    telling,
    polling,
    chatReconciler({ channels, channelSet, threads }),
    loopDetector({ ...base, tasks, alerts, activePolicy }),
    tokenRefresher({ upstreamOAuth }),
    heartbeatMonitor({ ...base, alerts }),
    { name: 'retirement', everyMs: 5_000, tick: agents.retire },
    reconciler({ ...base, tasks, agents, alerts }),
    rosterWatch({ ...base, agents, gateways }),
    sessionWatch({ ...base, agents, gateways }),
    dailyStandup({ ...base, activePolicy }),
    retention({ db, clock, keepDays: config.keepDays }),
    { name: 'audit-anchor', everyMs: everyMinutes * 60_000, tick: anchors.anchor },
    ledgerReconciler({ ...base, spend, counters, alerts, activePolicy }),
    { name: 'cap-raises', everyMs: 1_000, tick: caps.sweep },
    canaries({ ...base, alerts, coverage, proxies: line.addresses, clusterSecret: config.clusterSecret }),
    { name: 'drills', everyMs: 5 * 60_000, tick: drills.tick },
    { name: 'gate-monitor', everyMs: 2_000, tick: gateways.sweep },
    {
      name: 'gate-evidence',
      everyMs: 2_000,
      tick: createGateEvidence({
        ...base,
        agents,
        alerts,
        activePolicy,
        proxies: line.proxies,
        detours: createDetours({ ...base, alerts }),
      }).sweep,
    },
  ];
  const stopWorkers = startWorkers(
    roles.includes('workers') ? workers : [],
    { leases, clock, onError: (name, error) => log.error({ err: error, worker: name }, 'worker failed; it is tried again') },
    pace,
  );

  /** The gateway named in the environment; its token for our gate is issued by `openclaw connect`. */
  async function registerGateway(input: { url: string; token: string | null }): Promise<void> {
    const find = () =>
      db.selectFrom('gateways').select('id').where('url', '=', input.url).where('removed_at', 'is', null).executeTakeFirst();
    if (await find()) return;
    await gateways.register(SYSTEM, { name: 'openclaw', ...input }).catch(async (error) => {
      // Another process that started at the same moment may have been quicker.
      if (!(await find())) throw error;
    });
  }

  function url(): string {
    const { address, port } = server.address() as AddressInfo;
    return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  }

  return {
    url: url(),
    signInLink: async () => `${config.publicUrl ?? url()}/sign-in#token=${await auth.createSignInToken('admin')}`,
    close: async () => {
      stopLine();
      await closeServer(server);
      await ownServer.close();
      await stopWorkers();
      await polling.close();
      await telling.settled();
      await channelSet.close();
      await trials.close();
      await gateways.stop();
      if (isShared && isServing) await members.stop();
      leaveBus();
      await bus.close();
      await broadcast.stop();
      await counters?.close();
      await closeDatabase();
    },
  };
}

function isMetricsToken(right: string | null, given: string): boolean {
  return right !== null && isSameSecret(given, right);
}

/** Event streams and lines stay open for ever by nature: they are cut, everything else may finish. */
async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  setTimeout(() => server.closeAllConnections(), 250).unref();
  await closed;
}

const DASHBOARD_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/** The reference page is a third party's bundle that writes styles inline; it still may load nothing from elsewhere. */
const REFERENCE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

function serveDashboard(app: Hono, folder: string): void {
  const root = relative(process.cwd(), folder) || '.';
  const index = serveStatic({ root, path: 'index.html' });
  app.use('/*', async (context, next) => {
    await next();
    context.header('content-security-policy', DASHBOARD_POLICY);
    context.header('x-content-type-options', 'nosniff');
    context.header('referrer-policy', 'no-referrer');
    context.header('cross-origin-opener-policy', 'same-origin');
    // Built files carry their hash in the name; the page itself must always be the newest.
    context.header('cache-control', context.req.path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache');
  });
  app.use('/*', serveStatic({ root }));
  app.get('/*', (context, next) => index(context, next));
}

function serveReference(app: Hono): void {
  const folder = dirname(fileURLToPath(import.meta.resolve('swagger-ui-dist/package.json')));
  const page = (context: import('hono').Context) => {
    context.header('content-security-policy', REFERENCE_POLICY);
    return context.html(
      '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mission Control API</title><link rel="stylesheet" href="/api/docs/swagger-ui.css"></head>' +
        '<body><div id="ui"></div><script src="/api/docs/swagger-ui-bundle.js" charset="utf-8"></script><script src="/api/docs/start.js"></script></body></html>',
    );
  };
  app.get('/api/docs', page);
  app.get('/api/docs/', page);
  app.get('/api/docs/start.js', (context) =>
    context.body("SwaggerUIBundle({ url: '/api/openapi.json', dom_id: '#ui' });", 200, {
      'content-type': 'text/javascript; charset=utf-8',
    }),
  );
  for (const file of ['swagger-ui.css', 'swagger-ui-bundle.js']) {
    app.get(`/api/docs/${file}`, serveStatic({ root: relative(process.cwd(), folder), path: file }));
  }
}
