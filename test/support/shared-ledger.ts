/** Shared ledgers on a real Redis, with a record that stands where control's database stands. */
import { type Counters, openCounters } from '../../control/counters.ts';
import { RedisLedger } from '../../proxy/ledger-redis.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { type PlainRecord, plainRecord } from './spend-record.ts';

export interface SharedLedgers {
  redis: RedisServer;
  record: PlainRecord;
  counters: Counters;
  /** A proxy's ledger; started unless `start` is false. */
  ledger: (proxyId?: string, options?: LedgerOptions) => Promise<RedisLedger>;
  close: () => Promise<void>;
}

export interface LedgerOptions {
  clock?: () => number;
  ttlMs?: number;
  start?: boolean;
  onChange?: (isAvailable: boolean) => void;
  /** Whether control answers this proxy. */
  isHeard?: () => boolean;
}

export async function sharedLedgers(): Promise<SharedLedgers> {
  const redis = await startRedis();
  const record = plainRecord();
  const counters = await openCounters({ url: redis.url, record, onError: () => {} });
  const made: RedisLedger[] = [];

  async function ledger(proxyId = `p${made.length}`, options: LedgerOptions = {}): Promise<RedisLedger> {
    const { clock = Date.now, ttlMs = 60_000, start = true, onChange = () => {} } = options;
    const heard = async () => {
      if (options.isHeard?.() === false) throw new Error('control does not answer');
    };
    const one = new RedisLedger({
      clock,
      ttlMs: () => ttlMs,
      url: redis.url,
      spareCalls: 3,
      onChange,
      record: {
        proxyId,
        shipped: async () => {},
        written: () => 0,
        acknowledged: () => 0,
        join: (outstanding) => heard().then(() => counters.join({ proxyId, outstanding })),
        seed: (request) => counters.seed(request),
        bound: async (micros) => {
          await heard();
          record.bound.set(proxyId, micros);
        },
      },
    });
    made.push(one);
    if (start) await one.start(5_000);
    return one;
  }

  return {
    redis,
    record,
    counters,
    ledger,
    close: async () => {
      for (const one of made) await one.close();
      await counters.close();
      await redis.close();
    },
  };
}
