/**
 * The feed as one list: what was done and decided, and the calls that ran, newest first. A held or refused call speaks through its activity,
 * so it is not listed twice. Pure.
 */
import type { Activity, ToolCallView } from '../../control/contract.ts';

export type FeedEntry =
  | { id: string; at: number; kind: 'activity'; activity: Activity }
  | { id: string; at: number; kind: 'call'; call: ToolCallView };

export const FEED_FILTERS = ['all', 'decisions', 'calls', 'alerts'] as const;
export type FeedFilter = (typeof FEED_FILTERS)[number];

const DECISIONS = new Set<Activity['type']>([
  'approval_requested',
  'approval_decided',
  'approval_expired',
  'approval_withdrawn',
  'approval_seconded',
  'approval_escalated',
  'grant_made',
  'grant_used',
  'grant_revoked',
  'call_denied',
  'policy_activated',
  'cap_raised',
  'agent_paused',
  'agent_drained',
  'agent_quarantined',
  'agent_restarted',
  'squad_paused',
  'emergency_stop',
  'emergency_resume',
]);
const ALERTS = new Set<Activity['type']>([
  'alert_fired',
  'alert_resolved',
  'budget_exceeded',
  'loop_detected',
  'agent_quarantined',
  'emergency_stop',
]);

export interface FeedSources {
  activities: readonly Activity[];
  calls: readonly ToolCallView[];
  /** More activities, or calls, exist than are here. */
  moreActivities: boolean;
  moreCalls: boolean;
}

/** Merges two lists that are both newest first. Ends where one of them ends early, so that nothing is missing between the entries shown. */
export function mergeFeed(sources: FeedSources, filter: FeedFilter): FeedEntry[] {
  const activities = filter === 'calls' ? [] : sources.activities.filter((activity) => passes(activity, filter));
  const calls = filter === 'calls' ? sources.calls : filter === 'all' ? sources.calls.filter(ran) : [];
  const horizon = Math.max(
    filter !== 'calls' && sources.moreActivities ? (sources.activities.at(-1)?.createdAt ?? 0) : 0,
    (filter === 'calls' || filter === 'all') && sources.moreCalls ? (sources.calls.at(-1)?.createdAt ?? 0) : 0,
  );
  const entries: FeedEntry[] = [];
  let [a, c] = [0, 0];
  for (;;) {
    const [activity, call] = [activities[a], calls[c]];
    if (activity && (!call || activity.createdAt >= call.createdAt)) {
      if (activity.createdAt < horizon) break;
      entries.push({ id: activity.id, at: activity.createdAt, kind: 'activity', activity });
      a++;
    } else if (call) {
      if (call.createdAt < horizon) break;
      entries.push({ id: call.id, at: call.createdAt, kind: 'call', call });
      c++;
    } else break;
  }
  return entries;
}

function passes(activity: Activity, filter: FeedFilter): boolean {
  if (filter === 'decisions') return DECISIONS.has(activity.type);
  return filter === 'alerts' ? ALERTS.has(activity.type) : true;
}

function ran(call: ToolCallView): boolean {
  return call.status !== 'needs_approval' && call.status !== 'blocked';
}
