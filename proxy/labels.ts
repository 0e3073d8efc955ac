/**
 * What runs and sessions have touched so far (SPEC 4.9): the labels of the calls that were let through, kept by the scope that
 * policies/sequence.ts names. Taken up from control at a start, so that a restart takes no label off. Bounded per agent: the scope that was
 * silent longest is forgotten first, and any scope after a day of silence.
 */
import type { KnownLabel } from '../control/contract.ts';
import { type LabelOwner, labelScope, RUN_LABELS, type RunLabel } from '../policies/index.ts';

/** Runs and sessions of one agent that are remembered. */
const SCOPES_MAX = 1_000;
const IDLE_MS = 24 * 60 * 60 * 1000;

interface Labelled {
  labels: Set<RunLabel>;
  /** When a call of this scope was last judged or labelled, epoch milliseconds. */
  at: number;
}

const NONE: readonly RunLabel[] = Object.freeze([]);

export class Labels {
  /** By agent, then by scope, the one that was silent longest first. */
  readonly #agents = new Map<string, Map<string, Labelled>>();

  /** Takes up what control knows of the time before a restart. */
  load(known: readonly KnownLabel[]): void {
    for (const { agentId, scope, label, at } of [...known].sort((a, b) => a.at - b.at)) this.#put(agentId, scope, label, at);
  }

  /** What stands for a call by its run and session. @param now epoch milliseconds. */
  of(call: LabelOwner, now: number): readonly RunLabel[] {
    const scopes = this.#agents.get(call.agentId);
    if (scopes === undefined) return NONE;
    const found = RUN_LABELS.filter((label) => this.#look(scopes, labelScope(label, call), now)?.has(label));
    return found.length === 0 ? NONE : found;
  }

  /** Keeps what a call that was let through adds. */
  add(call: LabelOwner, labels: readonly RunLabel[], now: number): void {
    for (const label of labels) this.#put(call.agentId, labelScope(label, call), label, now);
  }

  #look(scopes: Map<string, Labelled>, scope: string, now: number): ReadonlySet<RunLabel> | undefined {
    const labelled = scopes.get(scope);
    if (labelled === undefined) return undefined;
    scopes.delete(scope);
    if (now - labelled.at > IDLE_MS) return undefined;
    labelled.at = now;
    scopes.set(scope, labelled);
    return labelled.labels;
  }

  #put(agentId: string, scope: string, label: RunLabel, at: number): void {
    const scopes = this.#agents.get(agentId) ?? new Map<string, Labelled>();
    this.#agents.set(agentId, scopes);
    const labelled = scopes.get(scope) ?? { labels: new Set<RunLabel>(), at };
    labelled.labels.add(label);
    labelled.at = at;
    scopes.delete(scope);
    scopes.set(scope, labelled);
    const oldest = scopes.size > SCOPES_MAX ? scopes.keys().next().value : undefined;
    if (oldest !== undefined) scopes.delete(oldest);
  }
}
