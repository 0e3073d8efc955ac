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

const NONE: readonly LoopFinding[] = Object.freeze([]);
