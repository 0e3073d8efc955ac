/**
 * What happened in one task, as one line through time: moves, runs, calls, approvals, messages and alerts. Runs of green calls fold into one
 * row, long silences show as silence, and a run that is open has a blue axis beside it. `buildTimeline` is pure.
 */
import { html, nothing, type TemplateResult } from 'lit';
import type { Activity, Approval, Message, Run, ToolCallView, WorkDocument } from '../../control/contract.ts';
import type { Actor, TaskStatus } from '../../policies/model.ts';
import { age, callMoney, clock, count, money, plural, TASK_WORDS, took, when } from '../words.ts';
import { gistOf, groupApprovals } from './approval-text.ts';
import { callGlyph, glyph, riskChip, riskGlyph, taskGlyph } from './glyph.ts';
import { icon } from './icon.ts';
import { moment, seen, seenLine } from './parts.ts';
import './voice.ts';
import { voiceTag } from './voice.ts';
import './timeline.css';

export const TIMELINE_KINDS = ['moves', 'runs', 'calls', 'approvals', 'messages', 'alerts'] as const;
export type TimelineKind = (typeof TIMELINE_KINDS)[number];

/** A recorded move. */
export interface Move {
  id: string;
  createdAt: number;
  fromStatus: TaskStatus;
  toStatus: TaskStatus;
  actor: Actor;
  actorId: string | null;
  reason: string | null;
}

export interface TimelineSources {
  moves: readonly Move[];
  runs: readonly Run[];
  calls: readonly ToolCallView[];
  approvals: readonly Approval[];
  messages: readonly Message[];
  /** Summaries of loops. */
  documents: readonly WorkDocument[];
  /** Only alerts and loops of the task; the rest is in the other lists. */
  activities: readonly Activity[];
}

export type TimelineEntry =
  | { kind: 'moves'; at: number; move: Move }
  | { kind: 'runs'; at: number; run: Run; edge: 'start' | 'end'; number: number }
  | { kind: 'calls'; at: number; calls: readonly [ToolCallView, ...ToolCallView[]] }
  /** `alike`: how many of its kind wait, this one among them. */
  | { kind: 'approvals'; at: number; approval: Approval; edge: 'held' | 'decided'; alike: number }
  | { kind: 'messages'; at: number; message: Message }
  | { kind: 'alerts'; at: number; activity: Activity }
  | { kind: 'documents'; at: number; document: WorkDocument }
  | { kind: 'gap'; at: number; ms: number };

/** Where an entry stands: inside a run that was open then, or not. */
export type PlacedEntry = TimelineEntry & { inRun: boolean };

/** Silence worth showing. */
const QUIET_MS = 20 * 60_000;
/** So many green calls in a row become one row. */
const FOLD_FROM = 3;

/** Everything of the chosen kinds, newest first, folded, with its silences. */
export function buildTimeline(sources: TimelineSources, shown: ReadonlySet<TimelineKind>): PlacedEntry[] {
  const entries: TimelineEntry[] = [];
  if (shown.has('moves')) for (const move of sources.moves) entries.push({ kind: 'moves', at: move.createdAt, move });
  const runs = [...sources.runs].sort((a, b) => a.startTime - b.startTime);
  if (shown.has('runs')) {
    for (const [i, run] of runs.entries()) {
      entries.push({ kind: 'runs', at: run.startTime, run, edge: 'start', number: i + 1 });
      if (run.endTime !== null) entries.push({ kind: 'runs', at: run.endTime, run, edge: 'end', number: i + 1 });
    }
  }
  if (shown.has('calls')) {
    for (const call of sources.calls)
      if (call.status !== 'needs_approval') entries.push({ kind: 'calls', at: call.createdAt, calls: [call] });
  }
  if (shown.has('approvals')) {
    const pending = sources.approvals.filter((approval) => approval.status === 'pending').sort((a, b) => a.createdAt - b.createdAt);
    for (const { items } of groupApprovals(pending))
      entries.push({ kind: 'approvals', at: items[0].createdAt, approval: items[0], edge: 'held', alike: items.length });
    for (const approval of sources.approvals) {
      if (approval.status === 'pending') continue;
      entries.push({ kind: 'approvals', at: approval.createdAt, approval, edge: 'held', alike: 1 });
      if (approval.decidedAt !== null) entries.push({ kind: 'approvals', at: approval.decidedAt, approval, edge: 'decided', alike: 1 });
    }
  }
  if (shown.has('messages')) for (const message of sources.messages) entries.push({ kind: 'messages', at: message.createdAt, message });
  if (shown.has('alerts')) {
    for (const activity of sources.activities) entries.push({ kind: 'alerts', at: activity.createdAt, activity });
    for (const document of sources.documents) entries.push({ kind: 'documents', at: document.createdAt, document });
  }
  entries.sort((a, b) => b.at - a.at);
  return withGaps(fold(entries)).map((entry) => ({ ...entry, inRun: isIn(runs, entry.at) }));
}

function fold(entries: readonly TimelineEntry[]): TimelineEntry[] {
  const folded: TimelineEntry[] = [];
  let row: ToolCallView[] = [];
  const flush = () => {
    const [first, ...rest] = row;
    if (first && row.length >= FOLD_FROM) folded.push({ kind: 'calls', at: first.createdAt, calls: [first, ...rest] });
    else for (const call of row) folded.push({ kind: 'calls', at: call.createdAt, calls: [call] });
    row = [];
  };
  for (const entry of entries) {
    const call = entry.kind === 'calls' ? entry.calls[0] : null;
    if (call?.risk === 'green' && call.status === 'success' && !call.cost) {
      row.push(call);
      continue;
    }
    flush();
    folded.push(entry);
  }
  flush();
  return folded;
}

function withGaps(entries: readonly TimelineEntry[]): TimelineEntry[] {
  return entries.flatMap((entry, i) => {
    const before = entries[i + 1];
    const oldest = entry.kind === 'calls' ? (entry.calls.at(-1)?.createdAt ?? entry.at) : entry.at;
    return before && oldest - before.at > QUIET_MS ? [entry, { kind: 'gap' as const, at: before.at + 1, ms: oldest - before.at }] : [entry];
  });
}

function isIn(runs: readonly Run[], at: number): boolean {
  return runs.some((run) => run.startTime <= at && (run.endTime === null || at <= run.endTime));
}

/* ---------------------------------------------------------------- as rows */

export interface TimelineContext {
  now: number;
  /** Names of people and agents by id. */
  nameOf: (id: string) => string | undefined;
  /** Address of a call's record over the present place. */
  callHref: (id: string) => string;
}

export function timelineRows(entries: readonly PlacedEntry[], context: TimelineContext): TemplateResult {
  return html`<ol class="tml">${entries.map(
    (entry) =>
      html`<li class="tml-r ${entry.inRun ? 'tml-r--run' : ''} ${entry.kind === 'gap' ? 'tml-r--gap' : ''}">${row(entry, context)}</li>`,
  )}</ol>`;
}

function row(entry: TimelineEntry, context: TimelineContext): TemplateResult {
  switch (entry.kind) {
    case 'gap':
      return html`<span></span><span class="tml-g"></span><span class="small muted">${age(entry.ms)} quiet</span><span></span>`;
    case 'moves':
      return line(entry.at, context, taskGlyph(entry.move.toStatus), moveText(entry.move, context), null);
    case 'runs':
      return line(
        entry.at,
        context,
        icon(entry.edge === 'start' ? 'play' : 'circle-stop', 14, entry.edge === 'start' ? 'k-you' : 'k-ink'),
        runText(entry, context),
        entry.edge === 'end' ? money(entry.run.cost) : null,
      );
    case 'calls':
      return entry.calls.length > 1 ? foldedRow(entry.calls, context) : callRow(entry.calls[0], context);
    case 'approvals':
      return approvalRow(entry, context);
    case 'messages':
      return messageRow(entry.message, context);
    case 'documents':
      return line(
        entry.at,
        context,
        icon('rotate-cw', 14, 'k-amber'),
        html`<details class="tml-fold"><summary>${seen(entry.document.title)}</summary><mc-voice .text=${entry.document.body}></mc-voice></details>`,
        null,
      );
    case 'alerts':
      return line(entry.at, context, icon('triangle-alert', 14, 'k-amber'), html`<b>${seen(entry.activity.summary)}</b>`, null);
  }
}

function line(at: number, { now }: TimelineContext, mark: TemplateResult, text: TemplateResult, cost: string | null): TemplateResult {
  return html`<span class="tml-at">${moment(at, now - at < 20 * 3_600_000 ? clock(at) : when(at, now))}</span><span class="tml-g">${mark}</span><div class="tml-t">${text}</div><span class="tml-c">${cost ?? nothing}</span>`;
}

function moveText(move: Move, { nameOf }: TimelineContext): TemplateResult {
  const who =
    move.actor === 'system'
      ? 'the system'
      : ((move.actorId === null ? undefined : nameOf(move.actorId)) ?? (move.actor === 'agent' ? 'its agent' : 'a person'));
  return html`<b>Moved to ${TASK_WORDS[move.toStatus]}</b> <span class="muted">by ${who}, from ${TASK_WORDS[move.fromStatus]}</span>${move.reason ? html`<br /><span class="ink2">${seen(move.reason)}</span>` : nothing}`;
}

function runText({ run, edge, number }: Extract<TimelineEntry, { kind: 'runs' }>, { nameOf }: TimelineContext): TemplateResult {
  if (edge === 'start')
    return html`<b class="tml-run tml-run--on">Run ${number} started</b> <span class="muted">by ${nameOf(run.agentId) ?? 'an agent'}${run.endTime === null ? `, ${money(run.cost)} so far` : ''}</span>`;
  const ended = { running: 'ended', success: 'ended, success', failed: 'failed', blocked: 'blocked' }[run.status];
  return html`<b class="tml-run">Run ${number} ${ended}</b> <span class="muted">${plural(run.toolCallCount, 'call')}, ${age((run.endTime ?? run.startTime) - run.startTime)}</span>${run.errorMessage ? html`<br /><span class="m-red">${seen(run.errorMessage)}</span>` : nothing}`;
}

function callRow(call: ToolCallView, context: TimelineContext): TemplateResult {
  const [reason] = call.reasons;
  return line(
    call.createdAt,
    context,
    call.status === 'success' ? riskGlyph(call.risk) : callGlyph(call),
    html`<a class="tml-call" href=${context.callHref(call.id)}><code>${seenLine(`${call.tool} ${call.summary}`)}</code></a> <span class="muted">${call.status === 'blocked' ? html`<span class="m-red">Denied</span> <code>${reason?.code ?? ''}</code>` : call.status === 'success' ? took(call.duration) : STATUS_WORDS[call.status]}</span>`,
    call.cost ? callMoney(call.cost) : null,
  );
}

/** What a person wrote is set as text; what an agent wrote as an agent's. */
function messageRow(message: Message, context: TimelineContext): TemplateResult {
  const ofAgent = message.authorType === 'agent';
  return line(
    message.createdAt,
    context,
    icon('message-square', 14, ofAgent ? 'k-voice' : 'k-you'),
    html`<b>${message.authorName}</b> ${ofAgent ? voiceTag('agent text') : nothing}${ofAgent ? html`<mc-voice .text=${message.content}></mc-voice>` : html`<p class="tml-m">${seen(message.content)}</p>`}`,
    null,
  );
}

const STATUS_WORDS: Record<ToolCallView['status'], string> = {
  running: 'running',
  success: '',
  failed: 'failed',
  blocked: 'denied',
  needs_approval: 'held',
  withdrawn: 'withdrawn',
  unknown: 'no outcome',
};

function foldedRow(calls: readonly [ToolCallView, ...ToolCallView[]], context: TimelineContext): TemplateResult {
  const tools = [...new Set(calls.map((call) => call.tool))];
  return line(
    calls[0].createdAt,
    context,
    riskGlyph('green'),
    html`<details class="tml-fold"><summary>${count(calls.length)} green calls <span class="muted">${tools.slice(0, 4).join(', ')}${tools.length > 4 ? ' and others' : ''}</span></summary>
      <ul>${calls.map((call) => html`<li>${moment(call.createdAt)} <a href=${context.callHref(call.id)}><code>${seenLine(`${call.tool} ${call.summary}`)}</code></a></li>`)}</ul></details>`,
    null,
  );
}

function approvalRow(
  { approval, edge, at, alike }: Extract<TimelineEntry, { kind: 'approvals' }>,
  context: TimelineContext,
): TemplateResult {
  const gist = html`<code>${seenLine(gistOf(approval))}</code>`;
  if (edge === 'held') {
    const pending = approval.status === 'pending';
    return line(
      at,
      context,
      glyph('bars', 'amber'),
      html`<b>${approval.kind === 'task' ? 'Approval asked for' : alike > 1 ? `${alike} calls held` : 'Held'}</b> ${gist}${
        pending
          ? html`<div class="tml-hold">${riskChip(approval.risk)}<span class="tml-codes">${approval.reasons.map((reason) => html`<code>${reason.code}</code> `)}</span><a class="btn btn--s" href="/approvals/${approval.id}">${alike > 1 ? `Review ${alike} calls` : 'Review'}${icon('arrow-right', 12)}</a></div>`
          : nothing
      }`,
      null,
    );
  }
  const word = { pending: 'Held', approved: 'Approved', denied: 'Denied', expired: 'Expired', withdrawn: 'Withdrawn' }[approval.status];
  const mark = {
    pending: glyph('bars', 'amber'),
    approved: glyph('tick', 'green'),
    denied: glyph('cross', 'red'),
    expired: glyph('clock', 'ink'),
    withdrawn: glyph('back', 'ink'),
  }[approval.status];
  return line(
    at,
    context,
    mark,
    html`<a class="tml-call" href="/approvals/${approval.id}"><b>${word}${approval.approver ? ` by ${approval.approver}` : ''}</b></a> ${gist}${approval.decision ? html` <span class="muted">"${seen(approval.decision)}"</span>` : nothing}`,
    null,
  );
}
