/**
 * Spawns that were allowed and whose sub-agent is not in the picture yet (SPEC 7). Between the two they count as if it were there, so that
 * two that race for the last place get it once. Exact in one proxy; over several, control ends what went beyond the limit.
 */

/** A sub-agent is in the picture long before; a spawn that nobody reported has failed or came from an agent without our plugin. */
const PENDING_MS = 30_000;

export interface SpawnRoom {
  /** Children that the agent may still have, and agents that may still become active, by the picture. */
  parent: number;
  active: number;
}

export class Spawns {
  /** Id of the call → its agent, when, and the session that came of it. */
  readonly #pending = new Map<string, { agentId: string; at: number; session: string | null }>();

  /** How many are under way: of one agent, and in all. @param isKnown whether the picture has an agent of that session. */
  count(agentId: string, isKnown: (session: string) => boolean, now: number): { own: number; all: number } {
    let own = 0;
    for (const [id, pending] of this.#pending) {
      if (now - pending.at > PENDING_MS || (pending.session !== null && isKnown(pending.session))) this.#pending.delete(id);
      else if (pending.agentId === agentId) own++;
    }
    return { own, all: this.#pending.size };
  }

  /** Takes a place for a call that is about to be allowed. @returns false where there is none left: judge again. */
  claim(id: string, agentId: string, room: SpawnRoom, isKnown: (session: string) => boolean, now: number): boolean {
    if (this.#pending.has(id)) return true;
    const { own, all } = this.count(agentId, isKnown, now);
    if (own >= room.parent || all >= room.active) return false;
    this.#pending.set(id, { agentId, at: now, session: null });
    return true;
  }

  /** Nothing came of it. */
  release(id: string): void {
    this.#pending.delete(id);
  }

  /** A sub-agent of this agent began: the oldest place that waits for one is its. */
  began(agentId: string, session: string): void {
    for (const pending of this.#pending.values()) if (pending.session === session) return;
    for (const pending of this.#pending.values()) {
      if (pending.agentId !== agentId || pending.session !== null) continue;
      pending.session = session;
      return;
    }
  }
}
