/**
 * How the dashboard says amounts, times and states: the one place where a number or an enum becomes English.
 * Pure functions of their arguments. Money never rounds across its cap; unknown is "–", never 0.
 */
import type {
  Alert,
  Approval,
  ApprovalStatus,
  Channel,
  Coverage,
  DrillCard,
  DrillName,
  Gateway,
  Health,
  Notification,
  Role,
  Task,
  Upstream,
  UpstreamTool,
} from '../control/contract.ts';
import type { AgentStatus, Autonomy, Risk, TaskStatus, TaskType, Verdict } from '../policies/model.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What is shown where nothing is known. */
const UNKNOWN = '–';

/* ---------------------------------------------------------------- money */

/** USD with two decimals. Beside a cap it is rounded away from it: $11.996 of $12 stays $11.99, $12.001 becomes $12.01. */
export function money(usd: number | null, cap: number | null = null): string {
  if (usd === null) return UNKNOWN;
  return dollars(roundBeside(usd, cap), 2);
}

/** A cap: whole dollars without decimals. */
export function capMoney(usd: number): string {
  return dollars(usd, Number.isInteger(usd) ? 0 : 2);
}

/** What one call cost: four decimals, and 0 is $0.00. */
export function callMoney(usd: number | null): string {
  if (usd === null) return UNKNOWN;
  return usd === 0 ? '$0.00' : dollars(usd, 4);
}

function roundBeside(usd: number, cap: number | null): number {
  const rounded = Math.round(usd * 100) / 100;
  if (cap === null) return rounded;
  if (usd < cap && rounded >= cap) return Math.floor(usd * 100) / 100;
  if (usd > cap && rounded <= cap) return Math.ceil(usd * 100) / 100;
  return rounded;
}

/** Made once: making one for every amount took a quarter of the main thread of a busy board. */
const WITH_DECIMALS = new Map(
  [0, 2, 4].map((decimals) => [
    decimals,
    new Intl.NumberFormat('en-US', { minimumFractionDigits: decimals, maximumFractionDigits: decimals }),
  ]),
);
const WHOLE = new Intl.NumberFormat('en-US');
const DAY_AND_MONTH = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const MONTH = new Intl.DateTimeFormat('en-GB', { month: 'long' });
const EVERYTHING = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

function dollars(usd: number, decimals: 0 | 2 | 4): string {
  const text = WITH_DECIMALS.get(decimals)?.format(Math.abs(usd)) ?? String(Math.abs(usd));
  return `${usd < 0 ? '−' : ''}$${text}`;
}

/* ---------------------------------------------------------------- numbers */

/** A count with a thousands comma. */
export function count(n: number): string {
  return WHOLE.format(n);
}

/** "1 call", "6 calls". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** A size: "512 B", "64 KB", "32 MB", in powers of 1,024. */
export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  const [size, unit] = n < 1024 ** 2 ? [n / 1024, 'KB'] : n < 1024 ** 3 ? [n / 1024 ** 2, 'MB'] : [n / 1024 ** 3, 'GB'];
  return `${WHOLE.format(Number(size.toFixed(1)))} ${unit}`;
}

/* ---------------------------------------------------------------- time */

/** How long ago: "3 s", "6 min", "2 h", "3 d". Never negative: a clock that is ahead reads as now. */
export function age(ms: number): string {
  const past = Math.max(0, ms);
  if (past < MINUTE) return `${Math.floor(past / SECOND)} s`;
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min`;
  if (past < 2 * DAY) return `${Math.floor(past / HOUR)} h`;
  return `${Math.floor(past / DAY)} d`;
}

/** Age of the data in the header, with tenths below ten seconds. */
export function dataAge(ms: number): string {
  return ms < 10 * SECOND ? `${(Math.max(0, ms) / SECOND).toFixed(1)} s` : age(ms);
}

/** How long somebody waits: "0:51", "4:12", "1:04:12", "2 d 4 h". */
export function wait(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / SECOND);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  if (h >= 24) return `${Math.floor(h / 24)} d ${h % 24} h`;
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** How long a call ran: "4 ms", "38.1 s", "1:12". */
export function took(ms: number | null): string {
  if (ms === null) return UNKNOWN;
  if (ms < SECOND) return `${Math.round(ms)} ms`;
  return ms < MINUTE ? `${(ms / SECOND).toFixed(1)} s` : wait(ms);
}

/** Clock time HH:MM:SS in the reader's own zone. */
export function clock(at: number): string {
  const date = new Date(at);
  return `${clockMinutes(at)}:${two(date.getSeconds())}`;
}

/** Clock time HH:MM. */
export function clockMinutes(at: number): string {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** HH:MM today, "tomorrow 14:28", "yesterday 09:00", else "8 Nov 14:28". */
export function when(at: number, now: number): string {
  const days = Math.round((midnight(at) - midnight(now)) / DAY);
  if (days === 0) return clockMinutes(at);
  if (days === 1) return `tomorrow ${clockMinutes(at)}`;
  if (days === -1) return `yesterday ${clockMinutes(at)}`;
  return `${day(at)} ${clockMinutes(at)}`;
}

/** "8 Nov", with the year where it is another one. */
export function day(at: number): string {
  return DAY_AND_MONTH.format(at);
}

/** "November" of "2026-11"; what is no month as it is. */
export function monthName(month: string): string {
  return /^\d{4}-\d\d$/.test(month) ? MONTH.format(new Date(`${month}-15T12:00:00`)) : month;
}

/** Everything about a moment, for titles: date, time to the second, zone. */
export function fullTime(at: number): string {
  return EVERYTHING.format(at);
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

function two(n: number): string {
  return String(n).padStart(2, '0');
}

/* ---------------------------------------------------------------- states */

export const RISK_WORDS: Record<Risk, string> = { green: 'Green', yellow: 'Yellow', red: 'Red' };
export const VERDICT_WORDS: Record<Verdict, string> = { allow: 'Allowed', hold: 'Held', deny: 'Denied' };
export const AUTONOMY_WORDS: Record<Autonomy, string> = { intern: 'Intern', specialist: 'Specialist', lead: 'Lead' };
export const APPROVAL_WORDS: Record<ApprovalStatus, string> = {
  pending: 'Held',
  approved: 'Approved',
  denied: 'Denied',
  expired: 'Expired',
  withdrawn: 'Withdrawn',
};
export const OUTCOME_WORDS: Record<Approval['outcome'], string> = {
  none: 'not run yet',
  running: 'running',
  success: 'ran, success',
  failed: 'ran, failed',
  unknown: 'outcome unknown',
};
export const LINK_WORDS: Record<Gateway['link']['state'], string> = {
  none: 'No link set up',
  connecting: 'Connecting',
  connected: 'Connected',
  unauthorized: 'Token refused',
  down: 'Down',
};
export const GATE_WORDS: Record<Gateway['gate'], string> = {
  live: 'Live',
  silent: 'Silent',
  missing: 'Missing',
  unproven: 'Not proven',
};
export const HEALTH_WORDS: Record<Upstream['health']['state'], string> = { unknown: 'Not tried yet', up: 'Up', down: 'Down' };
export const UPSTREAM_KIND_WORDS: Record<Upstream['kind'], string> = { mcp: 'MCP server', http: 'HTTP tools', model: 'Model API' };
export const TOOL_STATE_WORDS: Record<UpstreamTool['state'], string> = {
  pinned: 'Pinned',
  changed: 'Changed',
  new: 'New',
  gone: 'No longer offered',
};
export const SEVERITY_WORDS: Record<Alert['severity'], string> = { low: 'Low', medium: 'Medium', high: 'High', critical: 'Critical' };
export const ALERT_WORDS: Record<Alert['type'], string> = {
  budget_exceeded: 'Budget exceeded',
  loop_detected: 'Loop detected',
  agent_error_streak: 'Errors in a row',
  approval_timeout: 'Approval expired',
  approval_escalated: 'Approval waits too long',
  security_violation: 'Security violation',
  gate_missing: 'Gate missing',
  drill_failed: 'Drill failed',
  agent_quarantined: 'Agent quarantined',
  emergency_stop: 'Emergency stop',
  budget_threshold: 'Budget threshold',
  ledger_drift: 'Counters differ from the record',
  agent_silent: 'Agent silent',
  task_stuck: 'Task stuck',
  authorization_needed: 'Authorization needed',
  notification_failed: 'People not told',
};
type CoveragePoint = Coverage['agents'][number]['points'][number];
export const COVERAGE_ENTRY_WORDS: Record<CoveragePoint['entry'], string> = {
  openclaw: 'OpenClaw gate',
  mcp: 'MCP servers',
  model: 'Model APIs',
  http: 'HTTP tools',
  egress: 'Egress',
};
export const COVERAGE_STATE_WORDS: Record<CoveragePoint['state'], string> = {
  proven: 'Proven',
  idle: 'Alive, no call yet',
  away: 'No sign of life',
  bypassed: 'Bypassed',
  unused: 'Not used',
};
/** What shows that a way in is judged, before its age: "call 3 min ago". */
export function coverageHow(how: CoveragePoint['how']): string {
  const words: { readonly [how: string]: string } = { call: 'call', heartbeat: 'heartbeat', result: 'result' };
  return words[how ?? ''] ?? '';
}

export const DRILL_WORDS: Record<DrillName, string> = {
  'counters-gone': 'Budget counters gone',
  'control-away': 'Control away',
  'clock-skew': 'Clock jumps',
  'policy-corrupt': 'Policy corrupt',
  'journal-full': 'Journal full',
  'approver-absent': 'Nobody decides',
  'approval-used-twice': 'Approval used twice',
  'budget-race': 'Race for the budget',
  'emergency-stop': 'Emergency stop',
  'quarantined-while-held': 'Quarantined while held',
  'gate-silent': 'Gate says nothing',
  'upstream-hanging': 'Upstream hangs',
};
export const DRILL_OUTCOME_WORDS: Record<DrillCard['items'][number]['results'][number]['outcome'], string> = {
  passed: 'as declared',
  inconclusive: 'shows nothing',
  failed: 'not as declared',
};

export const HEALTH_GROUP_WORDS: Record<Health['parts'][number]['group'], string> = {
  proxies: 'Proxies and their journals',
  database: 'Database',
  redis: 'Counters',
  openclaw: 'OpenClaw',
  channels: 'Channels',
  audit: 'Audit log',
  workers: 'Workers',
  backups: 'Backups',
};
export const HEALTH_STATE_WORDS: Record<Health['parts'][number]['state'], string> = {
  ok: 'Works',
  attention: 'Needs a look',
  failing: 'Does not work',
  unused: 'Not used',
  unknown: 'Not known',
};

export const ROLE_WORDS: Record<Role, string> = {
  viewer: 'viewer',
  approver: 'approver',
  operator: 'operator',
  admin: 'administrator',
};

export const TASK_WORDS: Record<TaskStatus, string> = {
  inbox: 'Inbox',
  assigned: 'Assigned',
  in_progress: 'In progress',
  review: 'Review',
  needs_approval: 'Needs approval',
  blocked: 'Blocked',
  done: 'Done',
  canceled: 'Canceled',
};
export const TASK_TYPE_WORDS: Record<TaskType, string> = {
  content: 'Content',
  social: 'Social',
  email_marketing: 'Email marketing',
  customer_research: 'Customer research',
  seo_research: 'SEO research',
  engineering: 'Engineering',
  docs: 'Docs',
  ops: 'Ops',
};
export const PRIORITY_WORDS: Record<Task['priority'], string> = { high: 'High', medium: 'Medium', low: 'Low' };

/** An agent as it stands: its status, and for an active one whether it is heard and at work. */
export type AgentState = AgentStatus | 'idle' | 'silent';
export const AGENT_STATE_WORDS: Record<AgentState, string> = {
  active: 'Active',
  idle: 'Idle',
  silent: 'Silent',
  paused: 'Paused',
  drained: 'Draining',
  quarantined: 'Quarantined',
  stopped: 'Stopped',
};

export const CHANNEL_WORDS: Record<Channel['kind'], string> = { telegram: 'Telegram', slack: 'Slack', webhook: 'Webhook' };
export const CHANNEL_EVENT_WORDS: Record<Channel['events'][number], string> = {
  approvals: 'approvals',
  alerts: 'critical alerts',
  stop: 'the emergency stop',
  standup: 'the standup',
  mentions: 'mentions',
  threads: 'comments on tasks',
  audit: 'anchors of the audit log',
};
export const NOTIFICATION_WORDS: Record<Notification['kind'], string> = {
  approval_pending: 'Approval',
  approval_decided: 'Decision',
  approval_expired: 'Expired approval',
  approval_withdrawn: 'Withdrawn approval',
  approval_reminder: 'Reminder',
  approval_escalation: 'Handed on',
  alert: 'Alert',
  stop: 'Emergency stop',
  resume: 'Resume',
  standup: 'Standup',
  mention: 'Mention',
  comment: 'Comment',
  answer: 'Answer',
  prompt: 'Question',
  test: 'Test',
  audit_anchor: 'Audit anchor',
};
