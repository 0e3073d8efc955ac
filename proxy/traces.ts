/**
 * Which run a trace belongs to. OpenClaw's requests to a model carry no run and no session, but a `traceparent` whose trace is that of
 * the run's hooks (measured): what the gate heard joins the two. Bounded in number and time.
 */

interface TraceOwner {
  agentId: string;
  runId: string | null;
  sessionKey: string;
  taskId: string | null;
}

const TRACES_MAX = 20_000;
/** A run takes hours at the longest, and each of its calls says the trace anew. */
const TRACE_MS = 2 * 60 * 60 * 1000;

export class Traces {
  readonly #owners = new Map<string, TraceOwner & { at: number }>();

  /** Notes what the gate heard. @param now epoch milliseconds. */
  note(traceId: string | undefined, owner: TraceOwner, now: number): void {
    if (traceId === undefined) return;
    // Taken out and put in again: the oldest are at the front.
    this.#owners.delete(traceId);
    this.#owners.set(traceId, { ...owner, at: now });
    const oldest = this.#owners.size > TRACES_MAX ? this.#owners.keys().next().value : undefined;
    if (oldest !== undefined) this.#owners.delete(oldest);
  }

  /** What the gate heard of a trace. Whether it is the caller's to name is for who asks to say. */
  find(traceId: string | null, now: number): TraceOwner | null {
    const owner = traceId === null ? undefined : this.#owners.get(traceId);
    return owner !== undefined && now - owner.at < TRACE_MS ? owner : null;
  }
}

/** The trace and the span that a caller names in `traceparent` (W3C); nothing of it where the header is none. */
export function traceOf(traceparent: string | undefined): { traceId: string | null; parentSpanId?: string } {
  const [, traceId, parentSpanId] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(traceparent ?? '') ?? [];
  if (traceId === undefined || parentSpanId === undefined || /^0+$/.test(traceId) || /^0+$/.test(parentSpanId)) return { traceId: null };
  return { traceId, parentSpanId };
}
