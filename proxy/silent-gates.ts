/**
 * Traffic of agents whose gate gives no sign of life (SPEC 3.4, 10). Such a call is judged as an intern's at once; the accusation comes a little
 * later, and only where no beat has come meanwhile: a machine that wakes, and an OpenClaw that was waiting while Mission Control was
 * started anew, call their model before the plugin's next beat is due. A bypass is a state, so it loses nothing by that.
 */
import type { AgentPicture } from '../control/contract.ts';
import type { Journal } from './journal.ts';
import type { Snapshot } from './snapshot.ts';

interface Dependencies {
  journal: Pick<Journal, 'append'>;
  snapshot: Pick<Snapshot, 'current'>;
  clock: () => number;
  /** How often it is looked whether a time is up, milliseconds. */
  lookMs?: number;
}

/** The plugin beats every 10 s; so much may pass until control has told of it. With it an alert comes within 15 s of the traffic. */
const GRACE_MS = 12_000;
const LOOK_MS = 1_000;
/** Agents that are waited for; what is beyond is told of at its next call. */
const AGENTS_MAX = 10_000;

export class SilentGates {
  readonly #dependencies: Dependencies;
  /** Agent → its first call since its gate was silent. */
  readonly #suspects = new Map<string, { agent: AgentPicture; tool: string; since: number }>();
  #timer: NodeJS.Timeout | null = null;

  constructor(dependencies: Dependencies) {
    this.#dependencies = dependencies;
  }

  /** An agent called this tool, and its gate was silent. */
  note(agent: AgentPicture, tool: string): void {
    if (this.#suspects.has(agent.id) || this.#suspects.size >= AGENTS_MAX) return;
    this.#suspects.set(agent.id, { agent, tool, since: this.#dependencies.clock() });
    this.#timer ??= setInterval(() => this.look(), this.#dependencies.lookMs ?? LOOK_MS).unref();
  }

  /** Tells control of those whose time is up and whose gate is silent still; forgets those that were heard. */
  look(): void {
    const { clock, snapshot, journal } = this.#dependencies;
    const now = clock();
    const picture = snapshot.current(now);
    for (const [id, { agent, tool, since }] of this.#suspects) {
      // Without a picture nobody knows what was heard: calls are refused meanwhile.
      if (now - since < GRACE_MS || picture === null) continue;
      this.#suspects.delete(id);
      if (picture.isGateLive(agent, now)) continue;
      void journal.append({ type: 'ungated', at: now, agentId: id, gatewayId: agent.gatewayId, tool }, false).catch(() => {});
    }
    if (this.#suspects.size === 0) this.close();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
