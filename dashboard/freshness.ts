/** How old what is on the screen is, and whether it may still be decided on. */
import { localNow } from './clock.ts';
import { heardAt, link } from './store.ts';
import { age } from './words.ts';

const LIVE_MS = 2_000;
/** Older than this, nothing is decided: the picture may be of a call that is long gone. */
const STALE_MS = 15_000;
/** A reconnect takes a moment; only a longer one is called offline. */
const RECONNECT_MS = 3_000;

/** `live` < 2 s, `old` up to 15 s, `offline` beyond or without a connection, `starting` before anything was heard. */
export interface Freshness {
  state: 'starting' | 'live' | 'old' | 'offline';
  ageMs: number;
}

/** Read inside a render, it follows the clock. */
export function freshness(): Freshness {
  const last = heardAt.get();
  const state = link.get();
  if (last === null) return { state: state.state === 'lost' ? 'offline' : 'starting', ageMs: 0 };
  const ageMs = Math.max(0, localNow() - last);
  if (ageMs > STALE_MS || (state.state === 'lost' && ageMs > RECONNECT_MS)) return { state: 'offline', ageMs };
  return { state: ageMs < LIVE_MS ? 'live' : 'old', ageMs };
}

/** Why nothing can be decided now, or null. */
export function staleReason(): string | null {
  const { state, ageMs } = freshness();
  if (state === 'starting') return 'Nothing has been heard from the server yet.';
  if (state === 'offline') return `What you see is ${age(ageMs)} old. Decisions wait until the connection is back.`;
  return null;
}
