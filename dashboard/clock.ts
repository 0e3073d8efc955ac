/**
 * Time as the dashboard shows it. Moments come from the server, so ages are counted on the server's clock: every beat says what time
 * it is there, and a wrong clock on this machine moves nothing. `tick` changes every second and is what makes ages count on.
 */
import { signal } from '@lit-labs/signals';

const TICK_MS = 1000;

/** Milliseconds that the server's clock is ahead of this machine's. */
let ahead = 0;

/** This machine's clock, refreshed every second; read it through `localNow` and `serverNow` so that a render follows it. */
const tick = signal(Date.now());

/** This machine's time, for ages of what happened here. */
export function localNow(): number {
  return tick.get();
}

/** The server's time, for ages of what happened there. */
export function serverNow(): number {
  return tick.get() + ahead;
}

/** Takes the server's word for what time it is now. */
export function heardServerTime(at: number): void {
  ahead = at - Date.now();
}

/** Starts counting; answers how to stop. */
export function startClock(): () => void {
  const timer = setInterval(() => tick.set(Date.now()), TICK_MS);
  return () => clearInterval(timer);
}
