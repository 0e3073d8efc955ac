/** How standing grants are said: whom one covers, how long and how often it holds, and which limits can be chosen. Pure. */
import type { Grant, GrantScope } from '../../control/contract.ts';
import { AUTONOMY_WORDS, count, plural } from '../words.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** Whom a scope covers, e.g. "Forge-03", "whoever works on Ship it", "every specialist". Names are untrusted text. */
export function scopeText(scope: GrantScope, name: string | null): string {
  switch (scope.kind) {
    case 'agent':
      return name ?? 'an agent that is gone';
    case 'task':
      return `whoever works on ${name ?? 'a task that is gone'}`;
    case 'role':
      return `every ${AUTONOMY_WORDS[scope.autonomyLevel].toLowerCase()}`;
  }
}

/** "15 min", "1 h", "8 h", "3 d". */
export function spanText(ms: number): string {
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
  return ms % (24 * HOUR) === 0 ? `${ms / (24 * HOUR)} d` : `${Number((ms / HOUR).toFixed(1))} h`;
}

/** Times to choose from, none longer than the policy's ceiling; the ceiling itself is the last. */
export function spansWithin(maxMs: number): number[] {
  return [...new Set([15 * MINUTE, HOUR, 4 * HOUR, maxMs].filter((ms) => ms <= maxMs))];
}

/** "6 of 20 uses", "6 uses, no limit". */
export function usesText({ uses, maxUses }: Pick<Grant, 'uses' | 'maxUses'>): string {
  return maxUses === null ? `${plural(uses, 'use')}, no limit` : `${count(uses)} of ${plural(maxUses, 'use')}`;
}

export const GRANT_WORDS: Record<Grant['status'], string> = {
  active: 'Active',
  expired: 'Expired',
  used_up: 'Used up',
  revoked: 'Revoked',
};
