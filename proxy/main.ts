/**
 * A proxy: wires journal, ledger, snapshot, holds and admission to the line to control, and listens. It has no database. At start
 * it ships what an earlier process left before it takes up the spend, so that nothing is counted twice or forgotten.
 */

import { hash, timingSafeEqual } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import type { StreamMessage } from '../control/contract.ts';
import { Gatekeeper } from './admission.ts';
import type { ProxyConfig } from './config.ts';
import { scopeKeys, scopesOf } from './facts.ts';
import { Holds } from './holds.ts';
import { createHook } from './hook.ts';
import { Joins } from './joins.ts';
import { Journal } from './journal.ts';
import { Labels } from './labels.ts';
import { Ledger } from './ledger.ts';
import { createMcp, type Mcp } from './mcp.ts';
import { createModelEntry, type ModelEntry } from './model.ts';
import { Rates } from './rates.ts';
import { Register } from './register.ts';
import { Retries } from './retries.ts';
import { createListener } from './server.ts';
import { Snapshot } from './snapshot.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';
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
  core: ProxyCore;
  close: () => Promise<void>;
}

const DRAIN_MS = 5_000;
/** Of a model call that nobody will hear of again: what was reserved for it is its cost. */
const LOST = { usage: null, isEstimated: true, priceEntry: 'the reservation' };
/** What may end calls that are under way. */
const REVIEWED: ReadonlySet<StreamMessage['type']> = new Set(['picture', 'system', 'agents', 'upstreams']);

/** Starts a proxy and waits for its first picture. @throws Error where control does not answer or the port is taken. */
export async function startProxy(config: ProxyConfig, log: Logger, clock: () => number): Promise<Proxy> {
  const { bounds } = config;
  const uplink = new Uplink({ controlUrl: config.controlUrl, clusterSecret: config.clusterSecret, timeoutMs: bounds.controlTimeoutMs });
  const journal = new Journal(config.journalDir, { maxBytes: bounds.journalMaxBytes, segmentBytes: bounds.journalSegmentBytes });
  const ledger = new Ledger();
  const snapshot = new Snapshot();
  const holds = new Holds(uplink, bounds.waitersMax);
  const register = new Register({ endedMax: bounds.endedCallsMax, openMax: bounds.openCallsMax });
  const rates = new Rates();
  const labels = new Labels();
  const retries = new Retries();
  const joins = new Joins();
  const gate = new Gatekeeper({ snapshot, ledger, holds, journal, register, rates, joins, labels, retries, clock, limits: bounds });

  const ready = Promise.withResolvers<void>();
  const following = uplink.follow(journal.proxyId, onMessage, (error) => {
    log.warn({ err: error }, 'the line to control is down; calls are refused once the picture is too old');
    holds.wakeAll();
  });

  let mcp: Mcp | null = null;
  let model: ModelEntry | null = null;
  let announcedStop: string | null = null;
  function onMessage(message: StreamMessage): void {
    snapshot.apply(message, clock());
    if (message.type === 'picture') ready.resolve();
    if (REVIEWED.has(message.type)) {
      mcp?.review();
      model?.review();
    }
    if (message.type === 'mark') uplink.confirmApplied(journal.proxyId, message.revision);
    if (message.type === 'hold' && message.status !== 'pending') holds.wake(message.approvalId);
    const { estop, stopId } = snapshot.system();
    if (estop && stopId !== null && stopId !== announcedStop) {
      announcedStop = stopId;
      holds.wakeAll();
      const admitted = gate.lastAdmitted();
      const held = register.held();
      const agents = [...new Set([...admitted.keys(), ...held.keys()])].map((id) => ({
        id,
        lastAdmittedAt: admitted.get(id) ?? null,
        withdrawnCalls: held.get(id) ?? 0,
      }));
      const last = admitted.size > 0 ? Math.max(...admitted.values()) : null;
      uplink
        .acknowledgeStop(stopId, { proxyId: journal.proxyId, at: clock(), lastAdmittedAt: last, agents })
        .catch((error) => log.warn({ err: error }, 'the stop holds here, but control could not be told'));
    }
  }

  const hello = await uplink.hello(journal.proxyId);
  const damaged = journal.recover(hello.cursor);
  if (damaged > 0) log.error({ damaged }, 'lines of the journal could not be read and were left out');
  journal.start((lines) => uplink.ship(journal.proxyId, lines));
  // What an earlier process recorded and did not ship goes first: the spend and the open calls below must include it.
  await journal.settled(DRAIN_MS);
  await ready.promise;
  const known = await uplink.hello(journal.proxyId);
  ledger.load(known.spent);
  labels.load(known.labels);
  const picture = snapshot.current(clock());
  if (!picture) throw new Error('control sent no picture that can be used');
  register.load(known.calls, (call) => scopeKeys(scopesOf(call, picture.policy, call.at)));
  for (const call of known.calls) {
    if (call.state === 'running') ledger.restore(call.id, scopeKeys(scopesOf(call, picture.policy, call.at)), call.estimatedCost);
  }
  gate.useDigestKey(known.digestKey);
  // What this proxy had sent on itself and not heard of before it ended: nobody will say any more what came of it.
  for (const call of known.calls) {
    const record =
      (call.entry === 'mcp' || call.entry === 'model') && call.state === 'running' && call.proxyId === journal.proxyId
        ? register.byId(call.id)
        : undefined;
    if (!record) continue;
    const outcome = { status: 'unknown' as const, output: null, error: 'the proxy was restarted', durationMs: 0, costMicros: null };
    await gate.complete(record, { ...outcome, ...(call.entry === 'model' && { meter: LOST }) });
  }

  const telemetry = createTelemetry({
    openCalls: () => register.open,
    waiting: () => holds.waiting,
    journalDepth: () => journal.depth,
    snapshotAgeMs: () => snapshot.age(clock()),
  });
  mcp = createMcp({
    gate,
    snapshot,
    journal,
    uplink,
    telemetry,
    clock,
    bounds,
    hostNames: config.hostNames,
    stateKey: known.stateKey,
    log,
  });
  const entry = mcp;
  const traces = new Traces();
  model = createModelEntry({ gate, snapshot, journal, traces, uplink, telemetry, clock, bounds, log });
  const models = model;
  const server = createListener({
    mcp: entry,
    model: models,
    hook: createHook({ gate, snapshot, ledger, journal, traces, telemetry, clock, bounds }),
    notReady: () =>
      snapshot.current(clock()) === null ? 'no fresh picture from control' : journal.unavailable ? 'the journal refuses' : null,
    metrics: async (authorization) => (isMetricsToken(config.metricsToken, authorization) ? telemetry.page() : null),
    onError: (error, path) => log.error({ err: error, path }, 'request failed'),
    bounds,
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE' ? new Error(`port ${config.port} on ${config.host} is taken; set MC_PROXY_PORT to another one`) : error,
      ),
    );
    server.listen(config.port, config.host, resolve);
  });
  const dayTimer = setInterval(() => {
    const current = snapshot.current(clock());
    if (current)
      ledger.forgetDaysBefore(
        scopesOf({ agentId: '', runId: null, taskId: null }, current.policy, clock()).fleetDay.slice('fleet-day:'.length),
      );
  }, 60_000);

  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`,
    core: { gate, snapshot, journal, telemetry },
    close: async () => {
      clearInterval(dayTimer);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // Whoever waits for a person is sent back at once: the hold stays, and the wait is taken up after the restart.
      holds.close();
      server.closeIdleConnections();
      setTimeout(() => server.closeAllConnections(), DRAIN_MS).unref();
      await entry.close();
      await closed;
      await models.close();
      await journal.close(DRAIN_MS);
      await uplink.close();
      await following;
    },
  };
}

function isMetricsToken(token: string | null, authorization: string | undefined): boolean {
  if (token === null || authorization === undefined) return false;
  return timingSafeEqual(Buffer.from(hash('sha256', `Bearer ${token}`)), Buffer.from(hash('sha256', authorization)));
}
