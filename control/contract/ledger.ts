/**
 * The counters that several proxies share (Redis), and what a proxy asks of control about them. One hash slot holds them all, so that a
 * script may touch any of them together.
 */

/** Begins every key of the ledger. */
export const LEDGER_KEYS = 'mc:{ledger}:';

/** Body of POST /internal/v1/ledger/join: a proxy that holds no lease, and whose journal has been shipped, takes part in the counters. */
export interface LedgerJoin {
  proxyId: string;
  /** What it holds reserved for calls that may run, micro-dollars. */
  outstanding: readonly { callId: string; scopes: readonly string[]; micros: number }[];
}
/** Body of POST /internal/v1/ledger/seed: scopes that the counters lack. */
export interface LedgerSeed {
  epoch: string;
  scopes: readonly string[];
  /** Calls whose cost their proxy adds itself. */
  except: readonly string[];
}
/** Body of POST /internal/v1/ledger/bound: the most that this proxy may hold or have used unreported, micro-dollars. */
export interface LedgerBound {
  proxyId: string;
  micros: number;
}
