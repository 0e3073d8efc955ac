/**
 * When those who draw are told of what the stream said: at once as long as little happens, together with what comes meanwhile when much does.
 * What is known is never held back, only the drawing: so a storm of events costs ten drawings a second, however many they are.
 */

/** Far below what a person notices, and a third of what an event may take to the screen. */
const PULSE_MS = 100;
/** So many may follow each other at once: one call is told in several events. */
const BURST = 4;

const due = new Set<() => void>();
let timer: ReturnType<typeof setTimeout> | undefined;
let lastAt = performance.now();
/** Pulses that may still come at once; one is added every `PULSE_MS`. */
let credit = BURST;

/** Calls `tell` once, with the next pulse, however often it is asked for until then. */
export function tellSoon(tell: () => void): void {
  due.add(tell);
  if (timer !== undefined) return;
  const now = performance.now();
  credit = Math.min(BURST, credit + Math.max(0, now - lastAt) / PULSE_MS);
  lastAt = now;
  timer = setTimeout(beat, Math.max(0, 1 - credit) * PULSE_MS);
}

function beat(): void {
  timer = undefined;
  const now = performance.now();
  credit = Math.max(0, credit + Math.max(0, now - lastAt) / PULSE_MS - 1);
  lastAt = now;
  const told = [...due];
  due.clear();
  for (const tell of told) tell();
}
