/**
 * The two steps of a proxy on the shared counters, each one atomic script. Everything that is told is a running total of its lease
 * (granted, used, released, charged), so that a script whose answer was lost can be sent again and changes nothing the second time.
 *
 * Invariants, in every script:
 * - Where a grant is made, spent + leased (+ what is withheld for absent proxies) stays within each cap plus the allowance.
 * - A lease that nobody renewed turns from leased into spent, never into free money; what its holder gives back later comes off again.
 * - Times are Redis' own.
 */
import { LEDGER_KEYS } from '../control/contract.ts';

/** A lease that has ended is remembered this long, so that a message about it that is sent again finds it. */
const KEEP_LEASE_MS = 3_600_000;
/** A proxy that was not heard for this long takes no share of what is left. */
const LIVE_MS = 10_000;
/** A scope nobody touches for this long is forgotten here, and brought back from the record when it is needed. */
const KEEP_SCOPE_MS = 40 * 86_400_000;
/** Runs are many and short. */
const KEEP_RUN_MS = 2 * 86_400_000;

const PRELUDE = `
local K = '${LEDGER_KEYS}'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function num(x) return tonumber(x or '0') or 0 end
local function int(x) return string.format('%.0f', x) end
local function add(key, field, by) if by ~= 0 then redis.call('HINCRBY', key, field, int(by)) end end
local function scopeKey(scope) return K .. 'scope:' .. scope end
local function leaseKey(id) return K .. 'lease:' .. id end
-- What is leased to nobody any more was perhaps used: it becomes spent, on its holder's account.
local function sweep()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', K .. 'due', '-inf', now, 'LIMIT', 0, 200)) do
    local lease = redis.call('HMGET', leaseKey(id), 'granted', 'used', 'released', 'proxy', 'scopes')
    local open = num(lease[1]) - num(lease[2]) - num(lease[3])
    for _, scope in ipairs(cjson.decode(lease[5] or '[]')) do
      add(scopeKey(scope), 'leased', 0 - open)
      add(scopeKey(scope), 'spent', open)
      add(scopeKey(scope), 'by:' .. lease[4], open)
    end
    redis.call('HSET', leaseKey(id), 'lost', '1')
    redis.call('PEXPIRE', leaseKey(id), ${KEEP_LEASE_MS})
    redis.call('ZREM', K .. 'due', id)
  end
end
local function withheld()
  local sum = 0
  for _, micros in ipairs(redis.call('HVALS', K .. 'withheld')) do sum = sum + num(micros) end
  return sum
end
local function missing(scopes)
  local found = {}
  for _, scope in ipairs(scopes) do
    if redis.call('HEXISTS', scopeKey(scope), 'seeded') == 0 then found[#found + 1] = scope end
  end
  return found
end
local function touched(proxy, scopes)
  for _, scope in ipairs(scopes) do
    redis.call('SADD', K .. 'of:' .. proxy, scope)
    redis.call('PEXPIRE', scopeKey(scope), string.sub(scope, 1, 4) == 'run:' and ${KEEP_RUN_MS} or ${KEEP_SCOPE_MS})
  end
end
`;

/**
 * ARGV: {epoch, proxy, lease, ttlMs, known, amount, want, allowance, scopes[], caps[]} as JSON; a cap of -1 is none.
 * `known` is what the proxy believes was granted: more than that is a grant whose answer was lost, and is answered now.
 * @returns ['granted', micros, total, spent, …] | ['exceeded', total, spent, …] | ['missing', scope…] | ['lost'] | ['epoch']; a total and
 *   what of it is spent for each scope.
 */
export const ACQUIRE = `${PRELUDE}
local a = cjson.decode(ARGV[1])
if redis.call('GET', K .. 'epoch') ~= a.epoch then return { 'epoch' } end
sweep()
redis.call('ZADD', K .. 'proxies', now, a.proxy)
redis.call('ZREMRANGEBYSCORE', K .. 'proxies', '-inf', now - ${LIVE_MS})
local absent = missing(a.scopes)
if #absent > 0 then return { 'missing', unpack(absent) } end
local key = leaseKey(a.lease)
local lease = redis.call('HMGET', key, 'granted', 'lost')
if lease[2] then return { 'lost' } end
local earlier = num(lease[1]) - a.known
local hidden = withheld()
local totals, spent = {}, {}
local grant = 0
local function answer()
  local all = {}
  for i = 1, #totals do
    all[#all + 1] = totals[i]
    all[#all + 1] = spent[i]
  end
  return unpack(all)
end
if earlier >= a.amount then
  for i, scope in ipairs(a.scopes) do
    local sums = redis.call('HMGET', scopeKey(scope), 'spent', 'leased')
    totals[i], spent[i] = num(sums[1]) + num(sums[2]) + hidden, num(sums[1])
  end
else
  local need = a.amount - earlier
  local share = nil
  local fits = true
  for i, scope in ipairs(a.scopes) do
    local sums = redis.call('HMGET', scopeKey(scope), 'spent', 'leased')
    totals[i], spent[i] = num(sums[1]) + num(sums[2]) + hidden, num(sums[1])
    if a.caps[i] >= 0 then
      local free = a.caps[i] - totals[i]
      if free + a.allowance < need then fits = false end
      if share == nil or free - need < share then share = free - need end
    end
  end
  if not fits then return { 'exceeded', answer() } end
  local more = a.want
  if share ~= nil then more = math.max(0, math.min(more, math.floor(share / redis.call('ZCARD', K .. 'proxies')))) end
  -- In whole calls: a fragment that no call fits into would only be in the way of others.
  grant = need + math.floor(more / a.amount) * a.amount
  for i, scope in ipairs(a.scopes) do
    add(scopeKey(scope), 'leased', grant)
    totals[i] = totals[i] + grant
  end
  redis.call('HINCRBY', key, 'granted', int(grant))
end
redis.call('HSET', key, 'proxy', a.proxy, 'scopes', cjson.encode(a.scopes))
redis.call('PERSIST', key)
redis.call('SADD', K .. 'leases:' .. a.proxy, a.lease)
redis.call('ZADD', K .. 'due', int(now + a.ttlMs), a.lease)
touched(a.proxy, a.scopes)
return { 'granted', grant + earlier, answer() }
`;

/**
 * Settles, gives back, renews and looks, all at once.
 * ARGV: {epoch, proxy, ttlMs, leases: [{id, granted, used, released, charged, fresh, scopes[]}], look[]} as JSON. `charged` is cost that was
 * not under a lease (it may be negative: a correction). `fresh`: Redis may not know this lease yet.
 * @returns ['ok', [lost lease…], [missing scope…], [scope, total, spent, …], [lease, granted, …]] | ['epoch']; the last are leases to which
 *   more was granted than their holder knows: its question was carried out, and the answer lost.
 */
export const SYNC = `${PRELUDE}
local a = cjson.decode(ARGV[1])
if redis.call('GET', K .. 'epoch') ~= a.epoch then return { 'epoch' } end
sweep()
redis.call('ZADD', K .. 'proxies', now, a.proxy)
local lost, absent, grants = {}, {}, {}
for _, told in ipairs(a.leases) do
  local key = leaseKey(told.id)
  local isKnown = redis.call('EXISTS', key) == 1
  local lacks = isKnown and {} or missing(told.scopes)
  for _, scope in ipairs(lacks) do absent[#absent + 1] = scope end
  -- One that is neither known nor new was closed when its proxy was restated: its sums are in the record.
  if #lacks == 0 and (isKnown or told.fresh) then
    local lease = redis.call('HMGET', key, 'granted', 'used', 'released', 'charged', 'lost')
    local used, released, charged = told.used - num(lease[2]), told.released - num(lease[3]), told.charged - num(lease[4])
    for _, scope in ipairs(told.scopes) do
      if lease[5] then
        add(scopeKey(scope), 'spent', charged - released)
        add(scopeKey(scope), 'by:' .. a.proxy, charged - released)
      else
        add(scopeKey(scope), 'leased', 0 - used - released)
        add(scopeKey(scope), 'spent', used + charged)
        add(scopeKey(scope), 'by:' .. a.proxy, used + charged)
      end
    end
    redis.call('HSET', key, 'proxy', a.proxy, 'scopes', cjson.encode(told.scopes),
      'used', int(told.used), 'released', int(told.released), 'charged', int(told.charged))
    if num(lease[1]) > told.granted then
      grants[#grants + 1] = told.id
      grants[#grants + 1] = num(lease[1])
    end
    local open = num(lease[1]) - told.used - told.released
    if lease[5] then
      lost[#lost + 1] = told.id
    elseif open > 0 then
      redis.call('ZADD', K .. 'due', int(now + a.ttlMs), told.id)
    else
      redis.call('ZREM', K .. 'due', told.id)
      redis.call('SREM', K .. 'leases:' .. a.proxy, told.id)
      redis.call('PEXPIRE', key, ${KEEP_LEASE_MS})
    end
    touched(a.proxy, told.scopes)
  end
end
local hidden = withheld()
local totals = {}
for _, scope in ipairs(a.look) do
  local sums = redis.call('HMGET', scopeKey(scope), 'spent', 'leased')
  totals[#totals + 1] = scope
  totals[#totals + 1] = num(sums[1]) + num(sums[2]) + hidden
  totals[#totals + 1] = num(sums[1])
end
return { 'ok', lost, absent, totals, grants }
`;
