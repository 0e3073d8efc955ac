/**
 * What somebody has typed and not sent: notes of decisions, drafts of arguments, comments. It outlives the view and the session, so that
 * neither a glance elsewhere nor an expired session costs it; only the same person gets it back, and signing out forgets it. Kept in this tab alone.
 */
import { signal } from '@lit-labs/signals';
import type { Draft } from './elements/argument-draft.ts';

/** By the call, or the group of calls, that they are for. */
export const notes = signal<ReadonlyMap<string, string>>(new Map());
/** By the approval whose arguments they change. */
export const drafts = signal<ReadonlyMap<string, Draft>>(new Map());
/** By the task that they are for. */
export const comments = signal<ReadonlyMap<string, string>>(new Map());

let owner: string | null = null;

/** Says who is in: what somebody else has typed is forgotten. */
export function keepUnsentOf(operatorId: string): void {
  if (owner !== operatorId) forgetUnsent();
  owner = operatorId;
}

export function forgetUnsent(): void {
  for (const kept of [notes, drafts, comments]) kept.set(new Map());
  owner = null;
}
