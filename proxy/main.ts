/**
 * A proxy: wires journal, ledger, snapshot, holds and admission to the line to control, and listens. It has no database. At start
 * it ships what an earlier process left before it takes up the spend, so that nothing is counted twice or forgotten.
 */

import { hash, timingSafeEqual } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { KnownCall, PolicyPicture, StopAcknowledgement, StopOrder, StreamMessage } from '../control/contract.ts';
import { dayOf } from '../policies/index.ts';
import { NETWORK, type Network } from './addresses.ts';
import { Gatekeeper } from './admission.ts';
import { CallStories, type CallStory, logLineOf } from './call-stories.ts';
import { Canaries } from './canaries.ts';
import type { ProxyConfig } from './config.ts';
import { runDrill } from './drills.ts';
import { createEgress } from './egress.ts';
import { scopesSince } from './facts.ts';
import { createGatewayDoor } from './gateway.ts';
import { Holds } from './holds.ts';
import { createHook } from './hook.ts';
import { createHttpTools } from './http.ts';
import { Joins } from './joins.ts';
import { Journal } from './journal.ts';
import { Labels } from './labels.ts';
import { LocalLedger } from './ledger-local.ts';
import { RedisLedger } from './ledger-redis.ts';
import { createMcp } from './mcp.ts';
import { createModelEntry } from './model.ts';
import { Openings } from './openings.ts';
import { ownServer } from './own-server.ts';
import { createPeers, noPeers } from './peers.ts';
import { Rates } from './rates.ts';
import { Register } from './register.ts';
import { Retries } from './retries.ts';
import { createListener } from './server.ts';
import { Shadow } from './shadow.ts';
import { SilentGates } from './silent-gates.ts';
import { Snapshot } from './snapshot.ts';
import { Spawns } from './spawns.ts';
import { followBus, proveStopAnswer, readStopOrder } from './stop-order.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';
import { ToolResults } from './tool-results.ts';
import { Traces } from './traces.ts';
import { Uplink } from './uplink.ts';

/** What an entry point needs of a running proxy; for those that listen beside it. */
export interface ProxyCore {
  gate: Gatekeeper;
  snapshot: Snapshot;
  journal: Journal;
  telemetry: Telemetry;
}

export interface Proxy {
  url: string;
  /** Of the egress proxy; null = none. */
  egressUrl: string | null;
  core: ProxyCore;
  close: () => Promise<void>;
}

const DRAIN_MS = 5_000;
const SWEEP_MS = 1_000;
/** Until the first policy is there; the default of `limits.reservationTtlMs`. */
const RESERVATION_TTL_MS = 600_000;
/** A start waits this long for shared counters; without them it goes on and refuses what needs them. */
const LEDGER_WAIT_MS = 5_000;
/** Calls of these we send on ourselves; the outcome of the others is reported to us. */
const FORWARDED: ReadonlySet<KnownCall['entry']> = new Set(['mcp', 'mission-control', 'http', 'egress', 'model']);
/** Of a model call that nobody will hear of again: what was reserved for it is its cost. */
const LOST = { usage: null, isEstimated: true, priceEntry: 'the reservation' };
/** What may end calls that are under way. */
const REVIEWED: ReadonlySet<StreamMessage['type']> = new Set(['picture', 'system', 'agents', 'upstreams']);

/**
 * Starts a proxy and waits for its first picture.
 * @param network how the egress proxy resolves and dials. @throws Error where control does not answer or a port is taken.
 */
export async function startProxy(config: ProxyConfig, log: Logger, clock: () => number, network: Network = NETWORK): Promise<Proxy> {
  const { bounds } = config;
  const uplink = new Uplink({ controlUrl: config.controlUrl, clusterSecret: config.clusterSecret, timeoutMs: bounds.controlTimeoutMs });
  const journal = new Journal(
    config.journalDir,
    { maxBytes: bounds.journalMaxBytes, segmentBytes: bounds.journalSegmentBytes },
    (trouble) =>
      trouble === null
        ? log.warn('the journal can be written again')
        : log.error({ trouble }, 'the journal cannot be written: every call is refused until it can'),
  );
  const canaries = new Canaries(config.clusterSecret);
  const snapshot = new Snapshot([ownServer(uplink.controlUrl, config.clusterSecret)], canaries);
  const time = { clock, ttlMs: () => snapshot.current(clock())?.policy.reservationTtlMs ?? RESERVATION_TTL_MS };
  const local = new LocalLedger(time);
  const shared = config.redisUrl === null ? null : sharedLedger(config.redisUrl);
  const ledger = shared ?? local;
  const holds = new Holds(uplink, bounds.waitersMax);
  const register = new Register({ endedMax: bounds.endedCallsMax, openMax: bounds.openCallsMax });
  const rates = new Rates();
  const labels = new Labels();
  const retries = new Retries();
  const joins = new Joins();
  const shadow = new Shadow({
    report: (shadowId, processId, report) => uplink.reportShadow(shadowId, processId, report),
    onError: (error) => log.warn({ err: error }, 'a draft that runs as a shadow has trouble; no call is concerned'),
  });
  const openings = new Openings();
  const spawns = new Spawns();
  const peers = config.redisUrl === null ? noPeers() : createPeers(journal.proxyId, uplink, clock);
  const telemetry = createTelemetry({
    version: config.version ?? '',
    openCalls: () => register.open,
    heldCalls: () => [...register.held().values()].reduce((sum, count) => sum + count, 0),
    waiting: () => holds.waiting,
    journalDepth: () => journal.depth,
    journalAgeMs: () => (journal.oldestAt === null ? 0 : Math.max(0, clock() - journal.oldestAt)),
    reservations: () => ledger.open,
    leaseRefills: () => ledger.refills,
    snapshotAgeMs: () => snapshot.age(clock()),
    ledgerAvailable: () => ledger.available,
  });
  // Their packages are loaded only where somebody wants traces and metrics there.
  const { otlpEndpoint = null, version = '' } = config;
  const tracing = otlpEndpoint ? (await import('./tracing.ts')).startTracing(otlpEndpoint, version) : null;
  const measuring = otlpEndpoint ? (await import('./measuring.ts')).startMeasuring(otlpEndpoint, version, config.otlpEveryMs) : null;
  const logsCalls = log.isLevelEnabled('info');
  const stories =
    logsCalls || tracing !== null
      ? new CallStories([
          ...(logsCalls ? [(story: CallStory) => log.info(logLineOf(story), 'call')] : []),
          ...(tracing === null ? [] : [tracing.tell]),
          ...(measuring === null ? [] : [measuring.tell]),
        ])
      : null;
  const recorded: Pick<Journal, 'proxyId' | 'append'> = {
    proxyId: journal.proxyId,
    append: (event, durable) => {
      const appended = journal.append(event, durable);
      if (stories !== null) stories.see(event);
      return appended;
    },
  };
  const gate = new Gatekeeper({
    snapshot,
    ledger,
    holds,
    journal: recorded,
    register,
    rates,
    joins,
    openings,
    spawns,
    canaries,
    labels,
    retries,
    shadow,
    answered: telemetry.answered,
    newId: peers.callId,
    clock,
    limits: bounds,
  });

  const ready = Promise.withResolvers<void>();
  const following = uplink.follow(journal.proxyId, onMessage, (error) => {
    log.warn({ err: error }, 'the line to control is down; calls are refused once the picture is too old');
    holds.wakeAll();
  });

  /** Entry points with calls under way that something may end. */
  const doors: { review: () => number }[] = [];
  const review = () => doors.reduce((cut, door) => cut + door.review(), 0);
  /** What was said of the stop that was taken last: it is the same to whoever asks. */
  let lastAnswer: { stopId: string; answer: StopAcknowledgement } | null = null;
  let announcedStop: string | null = null;
  let followed = uplink.controlUrl;
  let moves = 1;
  let ownUrl: string | null = null;
  let ownEgressUrl: string | null = null;
  function onMessage(message: StreamMessage): void {
    if (message.type === 'picture' && uplink.controlUrl !== followed) {
      followed = uplink.controlUrl;
      snapshot.moveOwn([ownServer(followed, config.clusterSecret, ++moves)]);
    }
    snapshot.apply(message, clock());
    if (message.type === 'picture') {
      ready.resolve();
      announce();
    }
    if (message.type === 'picture' || message.type === 'policy') shadow.follow(message.policy.shadow, message.policy.gateRoots);
    if (message.type === 'picture' || message.type === 'policy') policyPicture = message.policy;
    if (message.type === 'drill') drilling = drilling.then(() => drill(message));
    const cutStreams = REVIEWED.has(message.type) ? review() : 0;
    if (message.type === 'mark') uplink.confirmApplied(journal.proxyId, message.revision);
    if (message.type === 'hold' && message.status !== 'pending') holds.wake(message.approvalId);
    const { estop, stopId } = snapshot.system();
    if (!estop || stopId === null || stopId === announcedStop) return;
    announcedStop = stopId;
    const answer = stopAnswer(stopId, cutStreams);
    holds.wakeAll();
    uplink.acknowledgeStop(stopId, answer).catch((error) => log.warn({ err: error }, 'the stop holds here, but control could not be told'));
  }

  /** One after another, and whatever comes of one is recorded before the next. */
  async function drill({ requestId, names }: Extract<StreamMessage, { type: 'drill' }>): Promise<void> {
    for (const name of names) {
      if (policyPicture === null) return;
      const result = await runDrill(name, policyPicture);
      if (result.outcome === 'failed')
        log.error({ drill: name, found: result.found }, 'a drill failed: this proxy does not do what is declared');
      await journal.append({ type: 'drill', at: clock(), requestId, result }, false).catch(() => {});
    }
  }
  let policyPicture: PolicyPicture | null = null;
  let drilling: Promise<void> = Promise.resolve();

  /** When this proxy last let something run, and what it holds: what a stop's receipt is made of. */
  function stopAnswer(stopId: string, cutStreams: number): StopAcknowledgement {
    if (lastAnswer?.stopId === stopId) return lastAnswer.answer;
    const admitted = gate.lastAdmitted();
    const held = register.held();
    const agents = [...new Set([...admitted.keys(), ...held.keys()])].map((id) => ({
      id,
      lastAdmittedAt: admitted.get(id) ?? null,
      withdrawnCalls: held.get(id) ?? 0,
    }));
    const answer = {
      proxyId: journal.proxyId,
      at: clock(),
      lastAdmittedAt: admitted.size > 0 ? Math.max(...admitted.values()) : null,
      cutStreams,
      agents,
    };
    lastAnswer = { stopId, answer };
    return answer;
  }

  /** A stop that came past the line: straight from a control, or over the bus. */
  function takeStop(order: StopOrder): void {
    if (!snapshot.order(order.stopId) || announcedStop === order.stopId) return;
    announcedStop = order.stopId;
    const answer = stopAnswer(order.stopId, review());
    holds.wakeAll();
    log.warn({ stopId: order.stopId, by: order.by }, 'the emergency stop holds here');
    uplink
      .passOn(order)
      .then(() => uplink.acknowledgeStop(order.stopId, answer))
      .catch((error) => log.warn({ err: error }, 'the stop holds here, but control could not be told'));
  }

  /** Where control reaches us past the line; said anew with each picture, because it may come from another control. */
  async function announce(): Promise<void> {
    if (ownUrl === null) return;
    await uplink
      .announce(journal.proxyId, ownUrl, ownEgressUrl)
      .catch((error) => log.warn({ err: error }, 'control could not be told where this proxy is'));
  }

  function sharedLedger(url: string): RedisLedger {
    const { proxyId } = journal;
    return new RedisLedger({
      ...time,
      url,
      record: {
        proxyId,
        shipped: () => journal.settled(DRAIN_MS),
        written: () => journal.written,
        acknowledged: () => journal.acknowledged,
        join: (outstanding) => uplink.joinLedger({ proxyId, outstanding }),
        seed: async (request) => void (await uplink.seedLedger(request)),
        bound: async (micros) => void (await uplink.boundLedger({ proxyId, micros })),
      },
      spareCalls: bounds.ledgerSpareCalls,
      onChange: (isAvailable, why) =>
        isAvailable
          ? log.info('the shared budget counters answer')
          : log.warn({ why }, 'the shared budget counters are away; priced, yellow and red calls are refused'),
    });
  }

  const hello = await uplink.hello(journal.proxyId);
  const damaged = journal.recover(hello.cursor);
  if (damaged > 0) log.error({ damaged }, 'lines of the journal could not be read and were left out');
  journal.start((lines) => uplink.ship(journal.proxyId, lines, journal.depth));
  // What an earlier process recorded and did not ship goes first: the spend and the open calls below must include it.
  await journal.settled(DRAIN_MS);
  await ready.promise;
  const known = await uplink.hello(journal.proxyId);
  local.load(known.spent);
  labels.load(known.labels);
  retries.load(known.outcomes);
  const picture = snapshot.current(clock());
  if (!picture) throw new Error('control sent no picture that can be used');
  // Of several proxies each answers for what it let run itself.
  const isOurs = (call: KnownCall) => shared === null || call.proxyId === journal.proxyId;
  const calls = known.calls.filter((call) => call.state !== 'running' || isOurs(call));
  register.load(calls, (call) => scopesSince(call, picture));
  for (const call of known.calls) {
    if (call.state === 'running' && isOurs(call)) ledger.restore(call.id, scopesSince(call, picture), call.estimatedCost);
  }
  await shared?.start(LEDGER_WAIT_MS);
  gate.useDigestKey(known.digestKey);
  // What this proxy had sent on itself and not heard of before it ended: nobody will say any more what came of it.
  for (const call of known.calls) {
    const record =
      FORWARDED.has(call.entry) && call.state === 'running' && call.proxyId === journal.proxyId ? register.byId(call.id) : undefined;
    if (!record) continue;
    const outcome = { status: 'unknown' as const, output: null, error: 'the proxy was restarted', durationMs: 0, costMicros: null };
    await gate.complete(record, { ...outcome, ...(call.entry === 'model' && { meter: LOST }) });
  }

  const silent = new SilentGates({ journal, snapshot, clock });
  const mcp = createMcp({
    gate,
    snapshot,
    journal,
    silent,
    uplink,
    telemetry,
    clock,
    bounds,
    hostNames: config.hostNames,
    stateKey: known.stateKey,
    log,
  });
  const http = createHttpTools({ gate, snapshot, uplink, telemetry, clock, bounds, log });
  const traces = new Traces();
  const results = new ToolResults(known.digestKey);
  const model = createModelEntry({ gate, snapshot, journal, silent, traces, results, uplink, telemetry, clock, bounds, log });
  const egress =
    config.egressPort === undefined ? null : createEgress({ gate, openings, snapshot, journal, telemetry, network, clock, bounds, log });
  doors.push(mcp, http, model, ...(egress === null ? [] : [egress]));
  const gateway = createGatewayDoor({ uplink, journal, clock, hostNames: config.hostNames, log });
  const server = createListener({
    stop: (body) => {
      const order = readStopOrder(body, config.clusterSecret);
      if (order === null) return null;
      takeStop(order);
      const answer = stopAnswer(order.stopId, 0);
      return { answer, proof: proveStopAnswer(order, JSON.stringify(answer), config.clusterSecret) };
    },
    mcp,
    http,
    gateway,
    model,
    hook: createHook({ gate, snapshot, ledger, journal, peers, spawns, traces, results, telemetry, clock, bounds }),
    notReady: () =>
      snapshot.current(clock()) === null
        ? 'no fresh picture from control'
        : journal.trouble === null
          ? null
          : 'the journal cannot be written',
    metrics: async (authorization) => (isMetricsToken(config.metricsToken, authorization) ? telemetry.page() : null),
    onError: (error, path) => log.error({ err: error, path }, 'request failed'),
    bounds,
  });
  await listen(server, config.port, config.host, 'MC_PROXY_PORT');
  if (egress !== null) await listen(egress.server, config.egressPort ?? 0, config.host, 'MC_EGRESS_PORT');
  const sweepTimer = setInterval(() => {
    void gate.completeLate();
    model.renew();
    const policy = snapshot.current(clock())?.policy;
    ledger.sweep(policy ? dayOf(clock(), policy.document.budgets.timezone) : null);
  }, SWEEP_MS);

  const urlOf = (listener: Server) =>
    `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${(listener.address() as AddressInfo).port}`;
  ownUrl = config.advertiseUrl ?? urlOf(server);
  ownEgressUrl = egress === null ? null : urlOf(egress.server);
  await announce();
  const leaveBus =
    config.redisUrl === null
      ? async () => {}
      : followBus({ url: config.redisUrl, clusterSecret: config.clusterSecret }, takeStop, () =>
          log.error({}, 'somebody put a stop on the bus that none of us has sealed'),
        );
  return {
    url: urlOf(server),
    egressUrl: egress === null ? null : urlOf(egress.server),
    core: { gate, snapshot, journal, telemetry },
    close: async () => {
      clearInterval(sweepTimer);
      await leaveBus();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // Whoever waits for a person is sent back at once: the hold stays, and the wait is taken up after the restart.
      holds.close();
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), DRAIN_MS).unref();
      shadow.close();
      await mcp.close();
      gateway.close();
      await closed;
      await drilling;
      await measuring?.close().catch((error) => log.warn({ err: error }, 'the last metrics could not be sent'));
      await tracing?.close().catch((error) => log.warn({ err: error }, 'the last traces could not be sent'));
      await gateway.recorded();
      await http.close();
      await model.close();
      silent.close();
      await egress?.close();
      await gate.completeLate();
      await ledger.close();
      await journal.close(DRAIN_MS);
      await peers.close();
      await uplink.close();
      await following;
    },
  };
}

function listen(server: Server, port: number, host: string, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(error.code === 'EADDRINUSE' ? new Error(`port ${port} on ${host} is taken; set ${setting} to another one`) : error),
    );
    server.listen(port, host, resolve);
  });
}

function isMetricsToken(token: string | null, authorization: string | undefined): boolean {
  if (token === null || authorization === undefined) return false;
  return timingSafeEqual(Buffer.from(hash('sha256', `Bearer ${token}`)), Buffer.from(hash('sha256', authorization)));
}
