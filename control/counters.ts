/**
 * The shared counters in Redis as control sees them. The database is the record; the counters are what many proxies spend from. A
 * generation of counters is named by its epoch, which also names the Redis process that holds it: gone, emptied, restarted or failed
 * over means a new epoch, counters rebuilt from the record, and nothing reserved meanwhile.
 *
 * Invariants:
 * - A scope is brought in from the record, whole, before anything is granted under it.
 * - A proxy that has not joined an epoch may have used money that nobody has heard of: what it may hold at most is withheld from every
 *   cap until it has shipped its journal and joined.
 */
import { randomUUID } from 'node:crypto';
import { createClient } from 'redis';
import { LEDGER_KEYS, type LedgerJoin, type LedgerSeed } from './contract.ts';

export type Counters = Awaited<ReturnType<typeof openCounters>>;

/** What the record says (`spend.ts`). Micro-dollars throughout. */
export interface SpendRecord {
  /** Spend of scopes by the proxy it came about at; a running call counts at its estimate. Calls in `except` are left out. */
  byProxy(scopes: readonly string[], except: readonly string[]): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>>;
  /** The most that each proxy may hold or have used without our knowing it yet. */
  bounds(): Promise<ReadonlyMap<string, number>>;
}

/** Redis does not answer, or not as it must. */
export class CountersUnavailable extends Error {
  readonly code = 'LEDGER_UNAVAILABLE';
}

const TIMEOUT_MS = 2_000;
/** Others join or bring scopes in between our reading and our step this often before we give up. */
const TRIES_MAX = 20;
/** Scopes in one step. */
const PAGE = 500;

/** Connects to Redis and keeps trying; `onError` hears of it when it is away. */
export async function openCounters({ url, record, onError }: { url: string; record: SpendRecord; onError: (error: unknown) => void }) {
  const redis = createClient({ url, RESP: 2, disableOfflineQueue: true, socket: { connectTimeout: TIMEOUT_MS, reconnectStrategy: 250 } });
  redis.on('error', onError);
  // Not awaited: without Redis everything else of control works.
  const connecting = redis.connect().catch(onError);
  /** Joins and rebuilds follow one another. */
  let queue: Promise<unknown> = Promise.resolve();

  /**
   * Lets a proxy take part: it holds no lease, and everything it journaled is in the record. Its account in every scope is set to what
   * the record says plus what it holds reserved.
   * @returns the epoch that it may work in. @throws CountersUnavailable
   */
  function join(request: LedgerJoin): Promise<{ epoch: string }> {
    const joined = queue.then(() => joinNow(request));
    queue = joined.catch(() => {});
    return joined;
  }

  async function joinNow({ proxyId, outstanding }: LedgerJoin): Promise<{ epoch: string }> {
    const epoch = await currentEpoch();
    const held = new Map<string, number>();
    for (const { scopes, micros } of outstanding) for (const scope of scopes) held.set(scope, (held.get(scope) ?? 0) + micros);
    // A call that it holds reserved counts at that, also where the record has its end already: the proxy settles the difference.
    const except = outstanding.map((each) => each.callId);
    await seed({ epoch, scopes: [...held.keys()], except: [] });
    await repeated(async () => {
      const known = await reply<string[]>(redis.sMembers(`${LEDGER_KEYS}of:${proxyId}`));
      const truth: Record<string, number> = {};
      for (const page of pagesOf([...new Set([...known, ...held.keys()])])) {
        const recorded = await record.byProxy(page, except);
        for (const scope of page) truth[scope] = (recorded.get(scope)?.get(proxyId) ?? 0) + (held.get(scope) ?? 0);
      }
      return run(RESTATE, { epoch, proxy: proxyId, truth });
    });
    return { epoch };
  }

  /** The epoch that stands, or a new one where counters were lost. */
  async function currentEpoch(): Promise<string> {
    const [info, known] = await Promise.all([reply<string>(redis.info('server')), reply<string | null>(redis.get(`${LEDGER_KEYS}epoch`))]);
    const process = /^run_id:(\w+)/m.exec(info)?.[1] ?? '';
    if (known?.endsWith(`.${process}`)) return known;
    const memory = await reply<string>(redis.info('memory'));
    if (/^maxmemory:[1-9]/m.test(memory) && !/^maxmemory_policy:noeviction/m.test(memory)) {
      throw new CountersUnavailable('Redis may drop counters when it is full: set maxmemory-policy to noeviction');
    }
    const epoch = `${randomUUID()}.${process}`;
    await run(BEGIN, { epoch, known: known ?? '', withheld: Object.fromEntries(await record.bounds()) });
    return epoch;
  }

  /** Brings scopes in from the record, where they are not there. @throws CountersUnavailable; also where the epoch is over. */
  async function seed({ epoch, scopes, except }: LedgerSeed): Promise<void> {
    for (const page of pagesOf(scopes)) {
      await repeated(async () => {
        const joins = (await reply<string | null>(redis.get(`${LEDGER_KEYS}joins`))) ?? '0';
        const recorded = await record.byProxy(page, except);
        return run(SEED, {
          epoch,
          joins,
          scopes: Object.fromEntries(page.map((scope) => [scope, Object.fromEntries(recorded.get(scope) ?? [])])),
        });
      });
    }
  }

  /** Settled, leased and each proxy's account of scopes that are in the counters. @throws CountersUnavailable */
  async function read(scopes: readonly string[]): Promise<ReadonlyMap<string, { spent: number; leased: number }>> {
    const rows = await Promise.all(
      scopes.map((scope) => reply(redis.hmGet(`${LEDGER_KEYS}scope:${scope}`, ['seeded', 'spent', 'leased']))),
    );
    return new Map(
      scopes.flatMap((scope, index) => {
        const [seeded, spent, leased] = rows[index] ?? [];
        return seeded ? [[scope, { spent: Number(spent ?? 0), leased: Number(leased ?? 0) }] as const] : [];
      }),
    );
  }

  /** @returns false where what was read meanwhile changed: read it again. */
  async function run(script: string, argument: object): Promise<boolean> {
    const answer = await reply(redis.eval(script, { keys: [`${LEDGER_KEYS}epoch`], arguments: [JSON.stringify(argument)] }));
    if (answer === 'epoch') throw new CountersUnavailable('the counters were lost meanwhile');
    return answer !== 'again';
  }

  /** How long Redis takes to answer, milliseconds. @throws CountersUnavailable */
  async function ping(): Promise<number> {
    const began = performance.now();
    await reply(redis.ping());
    return performance.now() - began;
  }

  return {
    join,
    seed,
    read,
    ping,
    close: async () => {
      await connecting;
      redis.destroy();
    },
  };
}

async function reply<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CountersUnavailable(`Redis did not answer within ${TIMEOUT_MS} ms`)), TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    throw error instanceof CountersUnavailable ? error : new CountersUnavailable('Redis cannot be reached', { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function repeated(step: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < TRIES_MAX; tries++) if (await step()) return;
  throw new CountersUnavailable('the counters change faster than they can be read');
}

function* pagesOf(scopes: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < scopes.length; from += PAGE) yield scopes.slice(from, from + PAGE);
}

const PRELUDE = `
local K = '${LEDGER_KEYS}'
local a = cjson.decode(ARGV[1])
local function num(x) return tonumber(x or '0') or 0 end
local function int(x) return string.format('%.0f', x) end
local function add(key, field, by) if by ~= 0 then redis.call('HINCRBY', key, field, int(by)) end end
`;

/** A new generation: what an older one left is taken away, and every proxy is absent until it joins. */
const BEGIN = `${PRELUDE}
if (redis.call('GET', K .. 'epoch') or '') ~= a.known then return 'epoch' end
local cursor = '0'
repeat
  local found = redis.call('SCAN', cursor, 'MATCH', 'mc:{ledger}:*', 'COUNT', 1000)
  cursor = found[1]
  if #found[2] > 0 then redis.call('UNLINK', unpack(found[2])) end
until cursor == '0'
redis.call('SET', K .. 'epoch', a.epoch)
for proxy, micros in pairs(a.withheld) do redis.call('HSET', K .. 'withheld', proxy, int(micros)) end
return 'ok'
`;

/**
 * Scopes as the record has them. What an absent proxy spent there may not be in the record yet: it is put right when that one joins, and
 * one that joined since the record was read makes us read again.
 */
const SEED = `${PRELUDE}
if redis.call('GET', K .. 'epoch') ~= a.epoch then return 'epoch' end
if (redis.call('GET', K .. 'joins') or '0') ~= a.joins then return 'again' end
local absent = redis.call('HKEYS', K .. 'withheld')
for scope, accounts in pairs(a.scopes) do
  local key = K .. 'scope:' .. scope
  if redis.call('HSETNX', key, 'seeded', '1') == 1 then
    for proxy, micros in pairs(accounts) do
      add(key, 'spent', micros)
      add(key, 'by:' .. proxy, micros)
      redis.call('SADD', K .. 'of:' .. proxy, scope)
    end
    for _, proxy in ipairs(absent) do redis.call('SADD', K .. 'of:' .. proxy, scope) end
  end
end
return 'ok'
`;

/** A proxy's leases end, and its account in each scope becomes what is said, which must be all scopes where it has one. */
const RESTATE = `${PRELUDE}
if redis.call('GET', K .. 'epoch') ~= a.epoch then return 'epoch' end
for _, scope in ipairs(redis.call('SMEMBERS', K .. 'of:' .. a.proxy)) do
  if a.truth[scope] == nil then return 'again' end
end
redis.call('INCR', K .. 'joins')
for _, id in ipairs(redis.call('SMEMBERS', K .. 'leases:' .. a.proxy)) do
  local key = K .. 'lease:' .. id
  local lease = redis.call('HMGET', key, 'granted', 'used', 'released', 'lost', 'scopes')
  if lease[5] and not lease[4] then
    local open = num(lease[1]) - num(lease[2]) - num(lease[3])
    for _, scope in ipairs(cjson.decode(lease[5])) do add(K .. 'scope:' .. scope, 'leased', 0 - open) end
  end
  redis.call('ZREM', K .. 'due', id)
  redis.call('DEL', key)
end
redis.call('DEL', K .. 'leases:' .. a.proxy)
for scope, micros in pairs(a.truth) do
  local key = K .. 'scope:' .. scope
  if redis.call('HEXISTS', key, 'seeded') == 1 then
    add(key, 'spent', micros - num(redis.call('HGET', key, 'by:' .. a.proxy)))
    redis.call('HSET', key, 'by:' .. a.proxy, int(micros))
  else
    -- Forgotten since; brought in from the record when it is needed again.
    redis.call('SREM', K .. 'of:' .. a.proxy, scope)
  end
end
redis.call('HDEL', K .. 'withheld', a.proxy)
return 'ok'
`;
