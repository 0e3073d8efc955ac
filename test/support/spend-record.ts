/** The record of money as plain as it gets: calls in a map. Stands where control's database stands, for tests of the counters alone. */
import type { SpendRecord } from '../../control/counters.ts';

export interface RecordedCall {
  proxyId: string;
  scopes: readonly string[];
  /** Its estimate while it runs, its cost from then on. */
  micros: number;
}

export interface PlainRecord extends SpendRecord {
  calls: Map<string, RecordedCall>;
  bound: Map<string, number>;
  /** What is recorded under a scope, micro-dollars. */
  total: (scope: string) => number;
}

export function plainRecord(): PlainRecord {
  const calls = new Map<string, RecordedCall>();
  const bound = new Map<string, number>();
  return {
    calls,
    bound,
    total: (scope) => [...calls.values()].reduce((sum, call) => sum + (call.scopes.includes(scope) ? call.micros : 0), 0),
    bounds: async () => bound,
    byProxy: async (scopes, except) => {
      const accounts = new Map(scopes.map((scope) => [scope, new Map<string, number>()]));
      for (const [id, { proxyId, scopes: under, micros }] of calls) {
        if (except.includes(id)) continue;
        for (const scope of under) {
          const account = accounts.get(scope);
          account?.set(proxyId, (account.get(proxyId) ?? 0) + micros);
        }
      }
      return accounts;
    },
  };
}
