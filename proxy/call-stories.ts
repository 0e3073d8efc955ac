/**
 * What the journal says of a call, put together when it is over: one story per call, for the log and for traces. It reads what is recorded
 * anyway, redacted as it is, and nobody waits for it.
 */
import type { CallFacts, JournalEvent, JudgedFacts, ModelMeter } from '../control/contract.ts';

/** Times are epoch milliseconds. */
export interface CallStory {
  call: CallFacts;
  judged: JudgedFacts;
  /** When it was answered for the first time: allowed, held or denied. */
  judgedAt: number;
  heldAt: number | null;
  /** When it was let run; null = it never was. */
  startedAt: number | null;
  endedAt: number;
  /** `denied`: before it was held or ran; `refused`: afterwards. */
  end: 'success' | 'failed' | 'unknown' | 'denied' | 'refused' | 'withdrawn';
  /** Reason codes of why it did not run. */
  codes: readonly string[];
  costMicros: number;
  meter: ModelMeter | null;
}

/** Calls that are under way; the oldest are forgotten first. */
const OPEN_MAX = 20_000;

export class CallStories {
  readonly #open = new Map<string, Pick<CallStory, 'call' | 'judged' | 'judgedAt' | 'heldAt' | 'startedAt'>>();
  readonly #tell: readonly ((story: CallStory) => void)[];

  constructor(tell: readonly ((story: CallStory) => void)[]) {
    this.#tell = tell;
  }

  /** Takes in an event that the gate records. */
  see(event: JournalEvent): void {
    switch (event.type) {
      case 'held':
      case 'intent': {
        const { call, judged, at } = event;
        const known = this.#open.get(call.id);
        const heldAt = known?.heldAt ?? (event.type === 'held' ? at : null);
        this.#open.set(call.id, { call, judged, judgedAt: known?.judgedAt ?? at, heldAt, startedAt: event.type === 'intent' ? at : null });
        const oldest = this.#open.size > OPEN_MAX ? this.#open.keys().next().value : undefined;
        if (oldest !== undefined) this.#open.delete(oldest);
        break;
      }
      case 'denied': {
        const { call, judged, at } = event;
        const known = this.#open.get(call.id) ?? { judgedAt: at, heldAt: null };
        const codes = judged.reasons.map(({ code }) => code);
        this.#finish({ ...known, call, judged, startedAt: null, endedAt: at, end: 'denied', codes, costMicros: 0, meter: null });
        break;
      }
      case 'completed': {
        const { id, at, status, cost, meter = null } = event;
        this.#end(id, { endedAt: at, end: status, codes: [], costMicros: cost, meter });
        break;
      }
      case 'refused': {
        const codes = event.reasons.map(({ code }) => code);
        this.#end(event.id, { endedAt: event.at, end: 'refused', codes, costMicros: 0, meter: null });
        break;
      }
      case 'withdrawn':
        this.#end(event.id, { endedAt: event.at, end: 'withdrawn', codes: [], costMicros: 0, meter: null });
        break;
    }
  }

  /** One of before a restart has no beginning here, and no story. */
  #end(id: string, how: Pick<CallStory, 'endedAt' | 'end' | 'codes' | 'costMicros' | 'meter'>): void {
    const known = this.#open.get(id);
    if (known !== undefined) this.#finish({ ...known, ...how });
  }

  #finish(story: CallStory): void {
    this.#open.delete(story.call.id);
    for (const tell of this.#tell) tell(story);
  }
}

/** The line that the log has of a call: who, what, how it ended, and nothing of what it read or wrote. */
export function logLineOf({ call, judged, judgedAt, heldAt, startedAt, endedAt, end, codes, costMicros }: CallStory) {
  return {
    callId: call.id,
    entry: call.entry,
    agentId: call.agentId,
    tool: call.tool.slice(0, 200),
    risk: judged.risk,
    end,
    ...(codes.length > 0 && { codes }),
    ...(call.runId !== null && { runId: call.runId }),
    ...(call.taskId !== null && { taskId: call.taskId }),
    ...(call.traceId !== null && { traceId: call.traceId }),
    judgedMs: judgedAt - call.at,
    ...(heldAt !== null && { heldMs: (startedAt ?? endedAt) - heldAt }),
    ...(startedAt !== null && { ranMs: endedAt - startedAt }),
    ...(costMicros > 0 && { costUsd: costMicros / 1_000_000 }),
  };
}
