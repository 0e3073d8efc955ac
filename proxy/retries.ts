/**
 * Failures in a row of one tool in one session, with the same error each time: the loop fact that a proxy knows by itself
 * (`history.sameErrorRetries`). A success, another error or a quiet while ends the row. Bounded: the row that is oldest goes first.
 * Taken up from control at a start.
 */
import type { KnownOutcome } from '../control/contract.ts';
import { errorSignature } from '../policies/index.ts';

/** Rows that are remembered. */
const ROWS_MAX = 20_000;

interface Row {
  signature: string;
  failures: number;
  /** Of the last failure, epoch milliseconds. */
  at: number;
}

export class Retries {
  readonly #rows = new Map<string, Row>();

  /** Takes up what control knows of the time before a restart, oldest first. */
  load(known: readonly KnownOutcome[]): void {
    for (const { agentId, sessionKey, tool, error, at } of known) {
      if (error === null) this.succeeded(agentId, sessionKey, tool);
      else this.failed(agentId, sessionKey, tool, error, at);
    }
  }

  /** A call failed. @param error what it said; null = nothing. */
  failed(agentId: string, sessionKey: string, tool: string, error: string | null, now: number): void {
    const key = keyOf(agentId, sessionKey, tool);
    const signature = errorSignature(error ?? '');
    const row = this.#rows.get(key);
    // Set anew, so that the oldest row is always the first.
    this.#rows.delete(key);
    this.#rows.set(key, { signature, failures: row?.signature === signature ? row.failures + 1 : 1, at: now });
    const oldest = this.#rows.size > ROWS_MAX ? this.#rows.keys().next().value : undefined;
    if (oldest !== undefined) this.#rows.delete(oldest);
  }

  succeeded(agentId: string, sessionKey: string, tool: string): void {
    this.#rows.delete(keyOf(agentId, sessionKey, tool));
  }

  /** Retries that ended as the attempt before them did: the first failure is no retry. @param windowMs how long a row stands after a failure. */
  count(agentId: string, sessionKey: string, tool: string, now: number, windowMs: number): number {
    const row = this.#rows.get(keyOf(agentId, sessionKey, tool));
    return row === undefined || now - row.at > windowMs ? 0 : row.failures - 1;
  }
}

function keyOf(agentId: string, sessionKey: string, tool: string): string {
  return `${agentId}\u0000${sessionKey}\u0000${tool}`;
}
