/**
 * The loop limits of the plan as predicates over what happened before a call: retries with the same error, comments, review cycles,
 * the same pair going back and forth. The limits are read literally: a count above its limit refuses, a count equal to it passes.
 */
import type { Facts } from './model.ts';
import type { Policy } from './policy.ts';

/** A limit that the history of a call is above. */
export interface LoopFinding {
  message: string;
  policyPath: string;
}

/** @returns every loop limit that the history exceeds, in a fixed order; empty when none. */
export function findLoops(history: Facts['history'], policy: Policy): readonly LoopFinding[] {
  const limits = policy.document.loopDetection;
  if (
    history.sameErrorRetries <= limits.retryLimit &&
    history.commentsIn30Min <= limits.commentRateThreshold &&
    history.reviewCycles <= limits.reviewCycleLimit &&
    history.pairExchangesIn10Min <= limits.pairExchangeLimit
  )
    return NONE;
  const found: LoopFinding[] = [];
  const check = (count: number, limit: number, key: string, what: string) => {
    if (count > limit) found.push({ message: `${count} ${what}; the limit is ${limit}.`, policyPath: `loopDetection.${key}` });
  };
  check(history.sameErrorRetries, limits.retryLimit, 'retryLimit', 'retries ended with the same error');
  check(history.commentsIn30Min, limits.commentRateThreshold, 'commentRateThreshold', 'comments were made on this task in 30 minutes');
  check(history.reviewCycles, limits.reviewCycleLimit, 'reviewCycleLimit', 'review cycles were made on this task');
  check(
    history.pairExchangesIn10Min,
    limits.pairExchangeLimit,
    'pairExchangeLimit',
    'messages went back and forth between the same two in 10 minutes',
  );
  return found;
}

/** One comment: when, epoch milliseconds, and by whom; null = nobody who can be named. */
export interface Said {
  at: number;
  by: string | null;
}

/** What the comments of a task, oldest first, say about its loop limits at a moment: `now` in epoch milliseconds. */
export function countTalk(
  talk: readonly Said[],
  now: number,
  { commentWindowMs, pairWindowMs }: Policy['document']['loopDetection'],
): Pick<Facts['history'], 'commentsIn30Min' | 'pairExchangesIn10Min'> {
  const authors = talk.flatMap(({ at, by }) => (by !== null && at > now - pairWindowMs ? [by] : []));
  return { commentsIn30Min: talk.filter(({ at }) => at > now - commentWindowMs).length, pairExchangesIn10Min: exchangesOf(authors) };
}

/** How often the same two answered each other: the most turns between any pair of authors who spoke right after one another. */
export function exchangesOf(authors: readonly string[]): number {
  const turns = new Map<string, number>();
  for (let i = 1; i < authors.length; i++) {
    const [before, after] = [authors[i - 1] ?? '', authors[i] ?? ''];
    if (before === after) continue;
    const pair = [before, after].toSorted().join(' ');
    turns.set(pair, (turns.get(pair) ?? 0) + 1);
  }
  return Math.max(0, ...turns.values());
}

/**
 * What two failures must share to count as the same error: the beginning of the text, without what differs from one time to the next
 * (numbers, long hexadecimal ids, white space). Paths and names stay: five files that are missing are five errors.
 */
export function errorSignature(text: string): string {
  return text
    .slice(0, SIGNATURE_SOURCE)
    .toLowerCase()
    .replace(/[0-9a-f]{8,}(?:-[0-9a-f]{4,})*/g, '#')
    .replace(/\d+/g, '0')
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, SIGNATURE_LENGTH);
}

const SIGNATURE_SOURCE = 2_000;
const SIGNATURE_LENGTH = 300;

const NONE: readonly LoopFinding[] = Object.freeze([]);
