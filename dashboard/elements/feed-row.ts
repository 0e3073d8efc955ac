/** One line of the feed: what it was by its mark, one sentence, when; and for a held call the way to its decision. */
import { html, nothing, type TemplateResult } from 'lit';
import type { Activity, ToolCallView } from '../../control/contract.ts';
import { callMoney, clock, clockMinutes } from '../words.ts';
import { briefMove, type FeedEntry } from './feed-text.ts';
import { foldText } from './fold-text.ts';
import { callGlyph, glyph, riskGlyph, statusGlyph } from './glyph.ts';
import { type IconName, icon } from './icon.ts';
import { moment, seen, seenLine, seenWrapped } from './parts.ts';
import { toLine } from './visible-text.ts';
import './feed-row.css';

export interface FeedContext {
  /** Shows seconds. */
  exact?: boolean;
  /** Shows at most so many characters of a sentence: its beginning and its end, all of it in the title. */
  brief?: number;
  /** The agent's name, to stand out in the sentence. */
  nameOf: (agentId: string) => string | undefined;
  /** Whether this approval still waits, so that there is something to review. */
  waits: (approvalId: string) => boolean;
}

export function feedRow(entry: FeedEntry, context: FeedContext): TemplateResult {
  const time = moment(entry.at, context.exact ? clock(entry.at) : clockMinutes(entry.at));
  return entry.kind === 'call' ? callRow(entry.call, time) : activityRow(entry.activity, time, context);
}

function callRow(call: ToolCallView, time: TemplateResult): TemplateResult {
  return html`<div class="feed-row feed-row--call">
    <span class="feed-g">${call.status === 'success' ? riskGlyph(call.risk) : callGlyph(call)}</span>
    <span class="feed-t"><a href="/agents/${call.agentId}"><b>${call.agentName ?? 'Unknown agent'}</b></a> <a class="feed-call" href="?call=${call.id}"><code>${seenLine(`${call.tool} ${call.summary}`)}</code></a></span>
    ${call.cost ? html`<span class="feed-cost">${callMoney(call.cost)}</span>` : nothing}${time}
  </div>`;
}

function activityRow(activity: Activity, time: TemplateResult, context: FeedContext): TemplateResult {
  const { approvalId } = activity.details;
  const about = activity.type === 'approval_requested' && typeof approvalId === 'string' ? approvalId : null;
  return html`<div class="feed-row">
    <span class="feed-g">${markOf(activity)}</span>
    <span class="feed-t" title=${context.brief !== undefined && activity.summary.length > context.brief ? toLine(activity.summary) : nothing}>${sentenceOf(activity, context)}${about ? html` <a href="/approvals/${about}">${context.waits(about) ? 'Review' : 'Open'}</a>` : nothing}</span>
    ${time}
  </div>`;
}

function markOf({ type, details }: Activity): TemplateResult {
  if (type === 'approval_decided' && details.status === 'approved') return glyph('tick', 'green');
  if (type === 'approval_decided' && details.status === 'denied') return glyph('cross', 'red');
  return MARKS[type];
}

/** What an agent did itself, told without its name; the rest is about it. */
const OWN: ReadonlySet<Activity['type']> = new Set(['approval_requested', 'call_denied']);

/** Our sentence with the agent's name standing out: where it occurs, else before what it did or after what was done. */
function sentenceOf(activity: Activity, { nameOf, brief }: FeedContext): unknown {
  const { agentId, type } = activity;
  const summary = brief === undefined ? activity.summary : briefly(activity, brief);
  const show = brief === undefined ? seen : seenWrapped;
  const name = agentId === null ? undefined : nameOf(agentId);
  if (!name) return show(summary);
  const agent = html`<a href="/agents/${agentId}"><b>${name}</b></a>`;
  const at = summary.indexOf(name);
  if (at >= 0) return html`${show(summary.slice(0, at))}${agent}${show(summary.slice(at + name.length))}`;
  return OWN.has(type) ? html`${agent} ${show(summary.charAt(0).toLowerCase() + summary.slice(1))}` : html`${show(summary)}, ${agent}`;
}

/** In at most so many characters: of a move what was moved is cut, of all else the middle. */
function briefly(activity: Activity, characters: number): string {
  const folded = foldText(activity.summary, { lines: 4, characters });
  if (folded === null) return activity.summary;
  const middleless = `${wholeWords(folded.head, /\s\S{0,16}$/)} … ${wholeWords(folded.tail, /^\S{0,16}\s/)}`;
  return briefMove(activity, characters) ?? middleless;
}

/** Without the piece of a word at its cut, where that is short. */
function wholeWords(text: string, piece: RegExp): string {
  return text.replace(piece, '').trim();
}

const line = (name: IconName, tone = 'k-ink') => icon(name, 14, tone);

const MARKS: Record<Activity['type'], TemplateResult> = {
  task_created: line('plus'),
  task_updated: line('pencil'),
  task_transition: line('square-kanban'),
  agent_created: line('bot'),
  agent_updated: line('pencil'),
  agent_paused: statusGlyph('paused'),
  agent_drained: statusGlyph('drained'),
  agent_quarantined: statusGlyph('quarantined'),
  agent_restarted: statusGlyph('active'),
  agent_stopped: statusGlyph('stopped'),
  agent_spawned: line('bot'),
  budget_exceeded: line('circle-dollar-sign', 'k-amber'),
  cap_raised: line('circle-dollar-sign', 'k-you'),
  loop_detected: line('rotate-cw', 'k-amber'),
  approval_requested: glyph('bars', 'amber'),
  approval_decided: line('user-check', 'k-you'),
  approval_expired: glyph('clock', 'ink'),
  approval_withdrawn: glyph('back', 'ink'),
  approval_seconded: line('user-check', 'k-you'),
  approval_reminded: glyph('clock', 'amber'),
  approval_escalated: line('triangle-alert', 'k-amber'),
  grant_made: line('shield-check', 'k-you'),
  grant_used: glyph('tick', 'green'),
  grant_revoked: line('shield-check', 'k-you'),
  call_denied: glyph('cross', 'red'),
  comment_posted: line('message-square', 'k-voice'),
  document_written: line('pencil'),
  alert_fired: line('triangle-alert', 'k-amber'),
  alert_resolved: glyph('tick', 'green'),
  policy_created: line('git-branch'),
  policy_activated: line('shield-check', 'k-you'),
  gateway_registered: line('plus'),
  gateway_removed: line('unplug'),
  upstream_added: line('plus'),
  upstream_updated: line('pencil'),
  upstream_removed: line('unplug'),
  tool_changed: line('triangle-alert', 'k-amber'),
  tool_accepted: line('shield-check', 'k-you'),
  token_issued: line('key-round'),
  token_revoked: line('key-round'),
  operator_created: line('user-check'),
  operator_updated: line('user-check'),
  operator_away: line('user-check'),
  operator_back: line('user-check'),
  operator_removed: line('user-check'),
  signed_in: line('user-check'),
  channel_added: line('plus'),
  channel_updated: line('pencil'),
  channel_removed: line('unplug'),
  chat_linked: line('user-check'),
  chat_unlinked: line('unplug'),
  chat_refused: line('ban', 'k-amber'),
  squad_paused: line('pause', 'k-amber'),
  emergency_stop: line('octagon-x', 'k-red'),
  emergency_resume: line('rotate-ccw', 'k-you'),
};
