/**
 * A proxy's ledger and journal alone in a process that may be killed or frozen at any moment: the real ledger (shared or in process)
 * and the real journal; control is the process that started it, asked by messages. Its calls are what priced calls are: reserve, record
 * the intent on the disk, run for a moment, record the cost, settle.
 */
import type { JournalEvent, LedgerJoin, LedgerSeed } from '../../control/contract.ts';
import { Journal } from '../../proxy/journal.ts';
import type { Ledger } from '../../proxy/ledger.ts';
import { LocalLedger } from '../../proxy/ledger-local.ts';
import { RedisLedger } from '../../proxy/ledger-redis.ts';

export type Question =
  | { ask: 'hello'; proxyId: string }
  | { ask: 'ship'; proxyId: string; lines: readonly string[] }
  | { ask: 'join'; proxyId: string; outstanding: LedgerJoin['outstanding'] }
  | { ask: 'seed'; request: LedgerSeed }
  | { ask: 'bound'; proxyId: string; micros: number };
export interface Welcome {
  cursor: number;
  running: readonly { id: string; scopes: readonly string[]; micros: number }[];
  spent: Readonly<Record<string, number>>;
}
/** Calls to make at once, all under the same caps. `spread`: they cost anything up to their price, and some never run. */
export interface Order {
  round: number;
  calls: number;
  caps: readonly { scope: string; capMicros: number | null }[];
  priceMicros: number;
  spread: boolean;
}
export type FromLedger =
  | { id: number; question: Question }
  | { ready: true }
  | { done: { ran: number; exceeded: number; unavailable: number } }
  | { state: { open: number; spent: number; roundTrips: number } };

const { REDIS_URL = '', FOLDER = '', TTL_MS = '500' } = process.env;
const journal = new Journal(FOLDER, { maxBytes: 64 << 20, segmentBytes: 4 << 20 });
const { proxyId } = journal;
const time = { clock: Date.now, ttlMs: () => Number(TTL_MS) };

const waiting = new Map<number, { resolve: (answer: never) => void; reject: (error: Error) => void }>();
let questions = 0;
function ask<T>(question: Question): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const id = ++questions;
    waiting.set(id, { resolve, reject });
    tell({ id, question });
  });
}
const tell = (message: FromLedger) => process.send?.(message);

const welcome = await new Promise<Welcome>((resolve) => {
  process.on('message', (message: { id: number; answer?: never; error?: string } | { order: Order } | { look: string }) => {
    if ('order' in message) return void carryOut(message.order);
    if ('look' in message) {
      const roundTrips = ledger instanceof RedisLedger ? ledger.roundTrips : 0;
      return void tell({ state: { open: ledger.open, spent: ledger.spent(message.look), roundTrips } });
    }
    const asked = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error === undefined) asked?.resolve(message.answer as never);
    else asked?.reject(new Error(message.error));
  });
  void ask<Welcome>({ ask: 'hello', proxyId }).then(resolve);
});
journal.recover(welcome.cursor);
journal.start((lines) => ask<number>({ ask: 'ship', proxyId, lines: lines.toString().trimEnd().split('\n') }));
await journal.settled(5_000);
const known = await ask<Welcome>({ ask: 'hello', proxyId });

const ledger = await openLedger();
setInterval(() => ledger.sweep(null), 50);
// What ran when an earlier process was killed: nobody will say what it cost, so its price stands.
for (const { id, scopes, micros } of known.running) {
  await journal.append(completed(id, scopes, micros), false);
  ledger.settle(id, micros, scopes);
}
tell({ ready: true });

async function openLedger(): Promise<Ledger> {
  const shared = REDIS_URL === '' ? null : sharedLedger();
  const opened = shared ?? new LocalLedger(time);
  if (opened instanceof LocalLedger) opened.load(known.spent);
  for (const { id, scopes, micros } of known.running) opened.restore(id, scopes, micros);
  await shared?.start(10_000);
  return opened;
}

function sharedLedger(): RedisLedger {
  return new RedisLedger({
    ...time,
    url: REDIS_URL,
    spareCalls: 0,
    onChange: () => {},
    record: {
      proxyId,
      shipped: () => journal.settled(5_000),
      written: () => journal.written,
      acknowledged: () => journal.acknowledged,
      join: (outstanding) => ask({ ask: 'join', proxyId, outstanding }),
      seed: (request) => ask({ ask: 'seed', request }),
      bound: (micros) => ask({ ask: 'bound', proxyId, micros }),
    },
  });
}

async function carryOut({ round, calls, caps, priceMicros, spread }: Order): Promise<void> {
  const scopes = caps.map((cap) => cap.scope);
  const counts = { ran: 0, exceeded: 0, unavailable: 0 };
  const one = async (index: number): Promise<void> => {
    const id = `${round}.${process.pid}.${index}`;
    await pause(Math.random() * 60);
    for (let attempt = 0; ; attempt++) {
      const reserved = await ledger.reserve(id, caps, priceMicros, 0);
      if (reserved === 'reserved') break;
      if (reserved === 'exceeded' || attempt >= 40) return void counts[reserved]++;
      await pause(50);
    }
    // Refused between reservation and intent: it never ran.
    if (spread && Math.random() < 0.1) return ledger.release(id);
    try {
      await journal.append(intent(id, scopes, priceMicros), true);
    } catch {
      return ledger.release(id);
    }
    await pause(spread && Math.random() < 0.05 ? Number(TTL_MS) * 1.5 : Math.random() * 30);
    const cost = spread ? Math.floor(Math.random() * (priceMicros + 1)) : priceMicros;
    await journal.append(completed(id, scopes, cost), false);
    ledger.settle(id, cost, scopes);
    counts.ran++;
  };
  await Promise.all(Array.from({ length: calls }, (_, index) => one(index)));
  tell({ done: counts });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function intent(id: string, scopes: readonly string[], micros: number): JournalEvent {
  const call = {
    id,
    key: id,
    slot: null,
    digest: id,
    entry: 'http' as const,
    agentId: 'a',
    gatewayId: null,
    sessionKey: '',
    runId: null,
    taskId: null,
    callId: null,
    traceId: null,
    tool: 'priced',
    mappedTool: 'priced',
    toolKind: null,
    cwd: null,
    workspace: null,
    at: Date.now(),
  };
  const judged = {
    verdict: 'allow' as const,
    risk: 'green' as const,
    reasons: [],
    policyVersion: 'v1',
    estimatedCost: micros,
    facts: null,
  };
  return { type: 'intent', at: Date.now(), call, judged, input: { scopes: [...scopes] }, summary: '', approvalId: null };
}

function completed(id: string, scopes: readonly string[], cost: number): JournalEvent {
  return { type: 'completed', at: Date.now(), id, status: 'success', output: null, error: null, durationMs: 1, cost, scopes };
}
