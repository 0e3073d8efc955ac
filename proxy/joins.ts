/**
 * Joins the two views of one MCP call (SPEC 3): OpenClaw asks the gate about it, and a moment later its client sends it to us. A decision
 * of the gate is offered here when it allows a call, and the MCP call takes it: at most one, within a bounded time, for exactly the
 * same agent, tool and arguments. What was joined is neither judged, approved nor counted again.
 */
import { hash } from 'node:crypto';
import { canonicalJson, type JsonObject } from '../policies/index.ts';

const WINDOW_MS = 10_000;
const OFFERS_MAX = 20_000;

interface Offer {
  key: string;
  callId: string;
  at: number;
}

export class Joins {
  /** Oldest first, per key. */
  readonly #offers = new Map<string, Offer[]>();
  readonly #order = new Set<Offer>();

  /** The gate has allowed this call. @param args what was allowed to run: the approver's edit where there was one. */
  offer(agentId: string, tool: string, args: JsonObject, callId: string, now: number): void {
    this.#forgetBefore(now - WINDOW_MS);
    if (this.#order.size >= OFFERS_MAX) return; // then it is judged twice, which only costs
    const offer = { key: joinKeyOf(agentId, tool, args), callId, at: now };
    const same = this.#offers.get(offer.key);
    if (same) same.push(offer);
    else this.#offers.set(offer.key, [offer]);
    this.#order.add(offer);
  }

  /** @param key of {@link joinKeyOf}. @returns the id of the call that the gate allowed, for one MCP call; null where there is none. */
  take(key: string, now: number): string | null {
    this.#forgetBefore(now - WINDOW_MS);
    const offer = this.#offers.get(key)?.[0];
    if (offer === undefined) return null;
    this.#drop(offer);
    return offer.callId;
  }

  #forgetBefore(time: number): void {
    for (const offer of this.#order) {
      if (offer.at >= time) return;
      this.#drop(offer);
    }
  }

  #drop(offer: Offer): void {
    this.#order.delete(offer);
    const left = this.#offers.get(offer.key)?.filter((other) => other !== offer) ?? [];
    if (left.length > 0) this.#offers.set(offer.key, left);
    else this.#offers.delete(offer.key);
  }
}

/** What a decision of the gate and the MCP call that it is about have in common. */
export function joinKeyOf(agentId: string, tool: string, args: JsonObject): string {
  return hash('sha256', canonicalJson([agentId, tool, args]));
}
