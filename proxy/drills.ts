/**
 * Drills (SPEC 10): each takes something away that calls depend on and looks whether what happens is what we declare (DRILLS in the contract).
 * A drill runs in this proxy with its own code and the active policy, for a shadow agent, in a stage of its own: journal, ledger, approvals
 * and register are made for it and thrown away with it. No call, budget or record of anybody is touched, and nothing leaves the process
 * except over a loopback socket that the drill itself listens on.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { AgentPicture, DrillName, DrillResult, HoldState, JournalEvent, PolicyPicture } from '../control/contract.ts';
import type { JsonObject } from '../policies/index.ts';
import { type Admission, type CallRequest, type Collaborators, Gatekeeper } from './admission.ts';
import { Canaries } from './canaries.ts';
import { DEFAULT_FORWARD_BOUNDS, Forwarder } from './forward.ts';
import { Joins } from './joins.ts';
import { JournalUnavailable } from './journal.ts';
import { Labels } from './labels.ts';
import { LocalLedger } from './ledger-local.ts';
import { Openings } from './openings.ts';
import { noOthers } from './others.ts';
import { Rates } from './rates.ts';
import { Register } from './register.ts';
import { Retries } from './retries.ts';
import { Snapshot } from './snapshot.ts';
import { Spawns } from './spawns.ts';

export type GateFactory = (collaborators: Collaborators) => Gatekeeper;

/**
 * Runs one drill.
 * @param policy the active one. @param createGate makes the gate that is drilled: the product's own, unless a test breaks it.
 * @returns what came of it; never rejects. A drill that breaks by itself has failed.
 */
export async function runDrill(
  name: DrillName,
  policy: PolicyPicture,
  createGate: GateFactory = (collaborators) => new Gatekeeper(collaborators),
): Promise<DrillResult> {
  const startedAt = performance.now();
  const done = ({ outcome, found }: Finding): DrillResult => ({
    name,
    outcome,
    found,
    durationMs: Math.round(performance.now() - startedAt),
  });
  try {
    return done(await DRILLS[name](() => setStage(policy, createGate)));
  } catch (error) {
    return done(failed(`the drill broke: ${error instanceof Error ? error.message : String(error)}`));
  }
}

interface Finding {
  outcome: DrillResult['outcome'];
  /** One sentence for people. */
  found: string;
}
type Drill = (stage: () => Stage) => Promise<Finding>;
type Stage = ReturnType<typeof setStage>;

const AGENT_ID = 'drill';
const START = Date.UTC(2026, 0, 15, 12);
const HOUR_MS = 60 * 60 * 1000;
const PRICE = 300_000;
const CAP = 1_000_000;
const NEVER = new AbortController().signal;

/** Each drill by its name. What is declared stands beside the names in the contract, where control shows it. */
const DRILLS: Record<DrillName, Drill> = {
  'counters-gone': async (set) => {
    const stage = set();
    if ((await stage.call('green', PRICE)).verdict !== 'allow') return unclear('the policy does not let a green, priced call run anyway');
    stage.faults.ledger = true;
    const priced = await stage.call('green', PRICE);
    if (priced.verdict === 'allow') return failed('a priced call ran without the counters');
    const free = await stage.call('green');
    const spares = stage.policyDocument().failModes.ledger === 'green_unpriced';
    if ((free.verdict === 'allow') !== spares)
      return failed(`a green, unpriced call was answered ${said(free)}, and failModes.ledger is ${spares ? 'green_unpriced' : 'refuse'}`);
    return passed(`priced: ${said(priced)}; green and unpriced: ${said(free)}`);
  },
  'control-away': async (set) => {
    const stage = set();
    if ((await stage.call('green')).verdict !== 'allow') return unclear('the policy does not let a green call run anyway');
    stage.time.now += stage.maxAgeMs() + 1;
    return refused(await stage.call('green'), 'SNAPSHOT_STALE');
  },
  'clock-skew': async (set) => {
    const stage = set();
    stage.time.now += 24 * HOUR_MS;
    const ahead = await stage.call('green');
    if (ahead.verdict === 'allow') return failed('a clock that jumped a day ahead let a call run by a picture of yesterday');
    stage.confirm();
    stage.approve('approved');
    const late = await stage.call('unknown');
    if (late.verdict === 'allow') return failed('a grant that has expired by the new clock let a call run');
    return passed(`a day ahead: ${said(ahead)}; with an expired grant: ${said(late)}`);
  },
  'policy-corrupt': async (set) => {
    const stage = set();
    stage.corruptPolicy();
    return refused(await stage.call('green'), 'SNAPSHOT_STALE');
  },
  'journal-full': async (set) => {
    const stage = set();
    stage.faults.journal = true;
    const finding = refused(await stage.call('green', PRICE), 'JOURNAL_UNAVAILABLE');
    if (finding.outcome === 'passed' && stage.ledger.open > 0) return failed('the call was refused, and its money stayed reserved');
    return finding;
  },
  'approver-absent': async (set) => {
    const stage = set();
    const held = await stage.call('unknown');
    if (held.verdict === 'allow') return failed('a tool that nobody knows ran without a person');
    if (held.verdict === 'deny') return unclear(`the policy denies what would otherwise wait: ${said(held)}`);
    stage.time.now += HOUR_MS;
    stage.confirm();
    const later = await stage.take(held.id);
    if (later.verdict !== 'hold' || later.waiting) return failed(`nobody decided, and the caller was told ${said(later)}`);
    stage.approve('expired');
    const over = await stage.take(held.id);
    if (over.verdict !== 'deny' || stage.ran() > 0) return failed(`the approval expired, and the call was answered ${said(over)}`);
    return passed(`told to end its turn after the wait; after the approval expired: ${said(over)}; nothing ran`);
  },
  'approval-used-twice': async (set) => {
    const stage = set();
    const held = [await stage.call('unknown'), await stage.call('unknown')] as const;
    if (held.some(({ verdict }) => verdict !== 'hold')) return unclear(`nothing was held: ${said(held[0])}`);
    stage.approve('approved');
    const first = await stage.take(held[0].id);
    if (first.verdict !== 'allow') return unclear(`the policy does not let it run with an approval either: ${said(first)}`);
    const second = await stage.take(held[1].id);
    if (second.verdict === 'allow' || stage.ran() > 1) return failed('one approval let two calls run');
    return passed(`first: ${said(first)}; second: ${said(second)}`);
  },
  'budget-race': async (set) => {
    const stage = set();
    const answers = await Promise.all(Array.from({ length: 12 }, () => stage.call('green', PRICE)));
    const ran = answers.filter(({ verdict }) => verdict === 'allow').length;
    if (ran * PRICE > CAP) return failed(`${ran} calls of $0.30 ran at once under a cap of $1`);
    return ran === 0 ? unclear('the policy let none of them run') : passed(`${ran} of 12 calls of $0.30 ran under a cap of $1`);
  },
  'emergency-stop': async (set) => {
    const stage = set();
    stage.snapshot.order('drill');
    stage.approve('approved');
    const [plain, approved] = [await stage.call('green'), await stage.call('unknown')];
    if (plain.verdict === 'allow' || approved.verdict === 'allow') return failed('a call ran after the stop');
    return refused(plain, 'ESTOP');
  },
  'quarantined-while-held': async (set) => {
    const stage = set();
    const held = await stage.call('unknown');
    if (held.verdict !== 'hold') return unclear(`nothing was held: ${said(held)}`);
    stage.setAgent({ status: 'quarantined' });
    stage.approve('approved');
    const after = await stage.take(held.id);
    if (after.verdict === 'allow' || stage.ran() > 0) return failed('an approval released a call of a quarantined agent');
    return refused(after, 'AGENT_QUARANTINED');
  },
  'gate-silent': async (set) => {
    const stage = set();
    if ((await stage.call('yellow')).verdict !== 'allow')
      return unclear('the policy does not let a yellow call of a specialist run anyway');
    const ungated = await stage.call('yellow', 0, { ungated: true });
    return ungated.verdict === 'allow' ? failed('a call that the gate did not ask about was judged as usual') : passed(said(ungated));
  },
  'upstream-hanging': async () => {
    const { outcome, failure, ms } = await askHangingUpstream();
    if (outcome !== 'failed' || failure !== 'timeout')
      return failed(`the upstream never answered, and the exchange ended as ${failure ?? outcome}`);
    return passed(`given up after ${ms} ms, and said so to the caller`);
  },
};

const passed = (found: string): Finding => ({ outcome: 'passed', found });
const failed = (found: string): Finding => ({ outcome: 'failed', found });
const unclear = (found: string): Finding => ({ outcome: 'inconclusive', found });

function refused(answer: Admission, code: string): Finding {
  const isRight = answer.verdict === 'deny' && answer.reasons.some((reason) => reason.code === code);
  return isRight ? passed(said(answer)) : failed(`expected a refusal with ${code}, and it was ${said(answer)}`);
}

function said({ verdict, reasons }: Admission): string {
  return [verdict, ...reasons.map(({ code }) => code)].join(' ');
}

/* ------------------------------------------------------------ the stage */

const CALLS: Record<'green' | 'yellow' | 'unknown', { tool: string; arguments: JsonObject }> = {
  green: { tool: 'memory_search', arguments: { query: 'drill' } },
  yellow: { tool: 'write', arguments: { path: '/drill/output/drill.txt', content: 'drill' } },
  unknown: { tool: 'mission_control_drill', arguments: { step: 1 } },
};

/** Everything that a gate works with, made for one drill; what is taken away is switched in `faults`. */
function setStage(policy: PolicyPicture, createGate: GateFactory) {
  const time = { now: START };
  const clock = () => time.now;
  const faults = { ledger: false, journal: false };
  const events: JournalEvent[] = [];
  let decision: Pick<HoldState, 'status'> = { status: 'pending' };
  let redeemedBy: string | null = null;
  let agent: AgentPicture = shadowAgent();
  const snapshot = new Snapshot();
  const system = { estop: false, stopId: null, squadPaused: false, activeAgents: 1 };
  const { shadow: _shadow, ...active } = policy;
  const picture = { ...active, shadow: null };
  snapshot.apply({ type: 'picture', at: START, system, policy: picture, agents: [agent], gateways: [], tasks: [], upstreams: [] }, START);
  const compiled = snapshot.current(START)?.policy;
  if (compiled === undefined) throw new Error('the active policy does not compile');

  const ledger = new LocalLedger({ clock, ttlMs: () => compiled.reservationTtlMs });
  const faulty = new Proxy(ledger, {
    get: (target, name) => {
      if (faults.ledger && name === 'available') return false;
      if (faults.ledger && name === 'reserve')
        return async (...asked: Parameters<LocalLedger['reserve']>) => (asked[2] === 0 ? 'reserved' : 'unavailable');
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const stateOf = (callId: string, deferred: boolean): HoldState => ({
    callId,
    ...{ approvalId: 'drill', approvalNumber: 1, approver: 'somebody', approverType: 'human', note: null, editedArguments: null },
    ...{ decidedAt: decision.status === 'pending' ? null : START, grantExpiresAt: START + HOUR_MS, redeemedBy, allowance: 0 },
    ...{ waitingUntil: START + 1_000, deferred },
    ...decision,
  });
  const register = new Register({ endedMax: 100, openMax: 100 });
  const gate = createGate({
    snapshot,
    ledger: faulty,
    holds: {
      // As at control: a grant that was used or does not suffice has ended, and a new approval is opened.
      open: async ({ call, insufficient }) =>
        redeemedBy === null && insufficient === null ? stateOf(call.id, false) : { ...stateOf(call.id, false), status: 'pending' },
      find: async () => null,
      wait: async (callId) => stateOf(callId, false),
      defer: async (callId) => stateOf(callId, true),
      withdraw: async (callId) => stateOf(callId, true),
      redeem: async (_approvalId, callId) => {
        const granted = redeemedBy === null || redeemedBy === callId;
        redeemedBy ??= callId;
        return { granted, state: stateOf(callId, false) };
      },
    },
    journal: {
      proxyId: 'drill',
      append: async (event) => {
        if (faults.journal) throw new JournalUnavailable('the drill took it away');
        events.push(event);
      },
    },
    shadow: { see: () => {} },
    ...{
      register,
      rates: new Rates(),
      labels: new Labels(),
      retries: new Retries(),
      joins: new Joins(),
      others: noOthers(),
      openings: new Openings(),
    },
    ...{ spawns: new Spawns(), canaries: new Canaries('drill'), answered: () => {}, newId: () => crypto.randomUUID(), clock },
    limits: { inputMaxChars: 10_000, outputMaxChars: 10_000 },
  });
  gate.useDigestKey(Buffer.alloc(32, 1).toString('base64url'));

  return {
    time,
    faults,
    snapshot,
    ledger,
    /** A marked call of the shadow agent. @param priceMicros what it may cost at most; 0 = nothing. */
    call: (kind: keyof typeof CALLS, priceMicros = 0, more: Partial<CallRequest> = {}): Promise<Admission> =>
      gate.admit({
        ...{ entry: 'openclaw', agent, gatewayId: null, sessionKey: 'drill', runId: null, taskId: null, traceId: null },
        ...{
          callId: crypto.randomUUID(),
          ...CALLS[kind],
          toolKind: null,
          cwd: '/drill',
          workspace: '/drill',
          upstream: null,
          definition: null,
        },
        ungated: false,
        ...(priceMicros > 0 && { estimate: () => priceMicros }),
        ...more,
      }),
    /** Comes back for a held call. */
    take: async (id: string): Promise<Admission> => {
      const record = register.byId(id);
      if (record === undefined) throw new Error('the held call is gone');
      return gate.take(record, 0, NEVER);
    },
    /** What the person decided, for every approval of the stage. */
    approve: (status: HoldState['status']) => {
      decision = { status };
    },
    /** Control is there again and says that nothing changed. */
    confirm: () => snapshot.apply({ type: 'beat', at: time.now }, time.now),
    corruptPolicy: () => snapshot.apply({ type: 'policy', at: time.now, policy: { ...picture, document: { riskMap: 'gone' } } }, time.now),
    setAgent: (fields: Partial<AgentPicture>) => {
      agent = { ...agent, ...fields };
      snapshot.apply({ type: 'agents', at: time.now, changed: [agent], removed: [] }, time.now);
    },
    policyDocument: () => compiled.document,
    maxAgeMs: () => compiled.snapshotMaxAgeMs,
    /** How many calls were let run. */
    ran: () => events.filter(({ type }) => type === 'intent').length,
  };
}

function shadowAgent(): AgentPicture {
  return {
    ...{ id: AGENT_ID, name: AGENT_ID, autonomy: 'specialist', status: 'active', depth: 0, children: 0, currentTaskId: null },
    ...{ toolPermissions: null, workspace: '/drill', gate: 'none', gatewayId: null, externalId: null, dailyCap: CAP, perRunCap: CAP },
    ...{ tokenHashes: [], mcpAliases: {} },
  };
}

/* ------------------------------------------------------------ an upstream that takes the request and never answers */

/** A request through the forwarder of the ways in, bounded as they bound theirs, only shorter. */
async function askHangingUpstream(): Promise<{ outcome: string; failure: string | null; ms: number }> {
  const hanging = await listen(() => {});
  const forwarder = new Forwarder(
    { origin: urlOf(hanging), setHeaders: [], removeHeaders: [] },
    { ...DEFAULT_FORWARD_BOUNDS, headMaxMs: 250, connectMaxMs: 1_000 },
  );
  const ended = Promise.withResolvers<{ outcome: string; failure: string | null }>();
  const door = await listen((asked, response) => {
    forwarder.relay({ method: 'GET', path: '/', rawHeaders: asked.rawHeaders, body: null }, response, {}).then((result) => {
      response.writeHead(504).end();
      ended.resolve({ outcome: result.outcome, failure: result.outcome === 'failed' ? result.failure : null });
    }, ended.reject);
  });
  const startedAt = performance.now();
  try {
    await new Promise<void>((resolve, reject) => {
      request(urlOf(door), { agent: false }, (answer) => answer.resume().on('end', () => resolve()))
        .on('error', reject)
        .end();
    });
    return { ...(await ended.promise), ms: Math.round(performance.now() - startedAt) };
  } finally {
    await forwarder.close();
    for (const server of [door, hanging]) {
      server.closeAllConnections();
      server.close();
    }
  }
}

function listen(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(handle);
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
