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

/** A title that is cut keeps at least so much. */
const TITLE_MIN = 12;

/**
 * A move of a task in at most about so many characters: where it came from and where it went stay whole, the title and the reason are cut.
 * null = it is no such sentence, or short enough.
 */
export function briefMove({ type, summary, details: { from, to } }: Activity, characters: number): string | null {
  if (type !== 'task_transition' || summary.length <= characters || typeof from !== 'string' || typeof to !== 'string') return null;
  const way = `" from ${from.replaceAll('_', ' ')} to ${to.replaceAll('_', ' ')}`;
  // A title may say the same; then the cut is earlier and the words are still the true ones.
  const at = summary.indexOf(way);
  const title = summary.indexOf('"') + 1;
  if (at < title || title === 0) return null;
  const head = cutAfter(summary.slice(0, at), Math.max(characters - way.length, title + TITLE_MIN));
  const why = summary.slice(at + way.length);
  return `${head}${way}${cutAfter(why, Math.max(0, characters - head.length - way.length))}`;
}

function cutAfter(text: string, characters: number): string {
  if (text.length <= characters) return text;
  const kept = text.slice(0, Math.max(0, characters - 1)).replace(/[\ud800-\udbff]$/, '');
  return `${kept.trimEnd()}…`;
}
