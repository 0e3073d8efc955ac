/**
 * The marks of judgement and state. Shape and word carry the meaning, colour confirms it: circle, triangle, diamond for risk; tick, bars,
 * cross for a verdict. Each mark is hidden from assistive technology; the word stands beside it or in a label.
 */
import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from 'lit';
import type { ApprovalStatus, Task, ToolCallView } from '../../control/contract.ts';
import type { Autonomy, Risk, TaskStatus, Verdict } from '../../policies/model.ts';
import {
  AGENT_STATE_WORDS,
  type AgentState,
  APPROVAL_WORDS,
  AUTONOMY_WORDS,
  PRIORITY_WORDS,
  RISK_WORDS,
  TASK_WORDS,
  VERDICT_WORDS,
} from '../words.ts';

type Tone = 'green' | 'amber' | 'red' | 'ink' | 'you';

const RISK_TONES: Record<Risk, Tone> = { green: 'green', yellow: 'amber', red: 'red' };

export function riskGlyph(risk: Risk): TemplateResult {
  const shape = {
    green: svg`<circle cx="5" cy="5" r="3.6" fill="currentColor" />`,
    yellow: svg`<path d="M5 .9 9.6 9H.4z" fill="currentColor" />`,
    red: svg`<path d="M5 0 10 5 5 10 0 5z" fill="currentColor" />`,
  }[risk];
  return mark(10, RISK_TONES[risk], shape);
}

export type Mark = 'tick' | 'bars' | 'cross' | 'clock' | 'back' | 'play';

/** A verdict's mark in the tone that it has been given. */
export function glyph(name: Mark, tone: Tone): TemplateResult {
  return mark(12, tone, MARKS[name]);
}

const line = (d: string, width: number) =>
  svg`<path d=${d} fill="none" stroke="currentColor" stroke-width=${width} stroke-linecap="round" stroke-linejoin="round" />`;

const MARKS: Record<Mark, SVGTemplateResult> = {
  tick: line('m2.2 6.4 2.6 2.6 5-5.8', 1.8),
  bars: line('M4 2.5v7M8 2.5v7', 2.2),
  cross: line('m3 3 6 6M9 3 3 9', 1.9),
  clock: line('M6 1.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M6 3.8V6l1.5 1', 1.3),
  back: line('M4.5 2.5 2 5l2.5 2.5M2 5h5a2.5 2.5 0 0 1 0 5H5', 1.4),
  play: line('M3.5 2.2v7.6L9.8 6z', 1.4),
};

export function verdictGlyph(verdict: Verdict): TemplateResult {
  return { allow: glyph('tick', 'green'), hold: glyph('bars', 'amber'), deny: glyph('cross', 'red') }[verdict];
}

export function approvalGlyph(status: ApprovalStatus): TemplateResult {
  return {
    pending: glyph('bars', 'amber'),
    approved: glyph('tick', 'green'),
    denied: glyph('cross', 'red'),
    expired: glyph('clock', 'ink'),
    withdrawn: glyph('back', 'ink'),
  }[status];
}

export function statusGlyph(state: AgentState): TemplateResult {
  const ring = (dash: string | typeof nothing, width: number) =>
    svg`<circle cx="6" cy="6" r="3.6" fill="none" stroke="currentColor" stroke-width=${width} stroke-dasharray=${dash} />`;
  switch (state) {
    case 'active':
      return mark(12, 'green', svg`<circle cx="6" cy="6" r="4" fill="currentColor" />`);
    case 'idle':
      return mark(12, 'green', ring(nothing, 1.5));
    case 'silent':
      return mark(12, 'amber', ring('2.2 1.9', 1.6));
    case 'paused':
      return glyph('bars', 'ink');
    case 'drained':
      return mark(12, 'amber', svg`${ring(nothing, 1.5)}<path d="M1.75 6a4.25 4.25 0 0 0 8.5 0z" fill="currentColor" />`);
    case 'quarantined':
      return mark(
        12,
        'red',
        svg`<path d="M3.8 1h4.4L11 3.8v4.4L8.2 11H3.8L1 8.2V3.8z" fill="currentColor" /><path d="M3.7 6h4.6" stroke="var(--panel)" stroke-width="1.8" />`,
      );
    case 'stopped':
      return mark(12, 'ink', svg`<rect x="2" y="2" width="8" height="8" rx="1.5" fill="none" stroke="currentColor" stroke-width="1.6" />`);
  }
}

/** How far a task is: an empty, half and fuller circle while it is worked on; bars, a bar and a tick where it stands still. */
export function taskGlyph(status: TaskStatus): TemplateResult {
  const ring = (dash: string | typeof nothing) =>
    svg`<circle cx="7" cy="7" r="5.25" fill="none" stroke="currentColor" stroke-width="1.5" stroke-dasharray=${dash} />`;
  const disc = svg`<circle cx="7" cy="7" r="6" fill="currentColor" />`;
  const cut = (d: string) =>
    svg`<path d=${d} fill="none" stroke="var(--panel)" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" />`;
  switch (status) {
    case 'inbox':
      return mark(14, 'ink', ring('2.2 1.6'));
    case 'assigned':
      return mark(14, 'ink', ring(nothing));
    case 'in_progress':
      return mark(14, 'you', svg`${ring(nothing)}<path d="M7 4a3 3 0 0 1 0 6z" fill="currentColor" />`);
    case 'review':
      return mark(14, 'you', svg`${ring(nothing)}<path d="M7 7V4a3 3 0 1 1-3 3z" fill="currentColor" />`);
    case 'needs_approval':
      return mark(14, 'amber', svg`${disc}${cut('M5.4 4.8v4.4M8.6 4.8v4.4')}`);
    case 'blocked':
      return mark(14, 'red', svg`${disc}${cut('M4.4 7h5.2')}`);
    case 'done':
      return mark(14, 'green', svg`${disc}${cut('m4.4 7.2 1.9 1.9 3.4-3.8')}`);
    case 'canceled':
      return mark(
        14,
        'ink',
        svg`${ring(nothing)}${svg`<path d="m5 5 4 4M9 5 5 9" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />`}`,
      );
  }
}

export function taskChip(status: TaskStatus): TemplateResult {
  return html`<span class="bare b">${taskGlyph(status)}${TASK_WORDS[status]}</span>`;
}

/** One to three bars: low, medium, high. */
export function priorityGlyph(priority: Task['priority']): TemplateResult {
  const filled = { low: 1, medium: 2, high: 3 }[priority];
  return html`<svg class="prio" width="12" height="10" viewBox="0 0 12 10" role="img" aria-label="${PRIORITY_WORDS[priority].toLowerCase()} priority">${[
    0, 1, 2,
  ].map(
    (i) =>
      svg`<rect x=${i * 4} y=${6 - i * 3} width="3" height=${4 + i * 3} rx="0.5" fill="currentColor" opacity=${i < filled ? 1 : 0.25} />`,
  )}</svg>`;
}

/** One to three chevrons: intern, specialist, lead. */
export function rankGlyph(autonomy: Autonomy): TemplateResult {
  const rows = { intern: 1, specialist: 2, lead: 3 }[autonomy];
  return html`<svg class="rank" width="10" height="12" viewBox="0 0 10 12" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round" role="img" aria-label=${AUTONOMY_WORDS[autonomy].toLowerCase()}>
    <path d="M1.5 9.5 5 6.8l3.5 2.7" />
    ${rows > 1 ? svg`<path d="M1.5 6.3 5 3.6l3.5 2.7" />` : nothing}
    ${rows > 2 ? svg`<path d="M1.5 3.1 5 .4l3.5 2.7" />` : nothing}
  </svg>`;
}

/* ---------------------------------------------------------------- mark and word together */

/** Tinted, for heads and cards. */
export function chip(tone: Tone | 'voice' | 'you' | 'none', content: unknown): TemplateResult {
  return html`<span class="chip ${tone === 'none' || tone === 'ink' ? '' : `chip--${tone}`}">${content}</span>`;
}

export function riskChip(risk: Risk): TemplateResult {
  return chip(RISK_TONES[risk], html`${riskGlyph(risk)}${RISK_WORDS[risk]}`);
}

export function approvalChip(status: ApprovalStatus, word: unknown = APPROVAL_WORDS[status]): TemplateResult {
  const tone: Tone = { pending: 'amber', approved: 'green', denied: 'red', expired: 'ink', withdrawn: 'ink' }[status] as Tone;
  return chip(tone, html`${approvalGlyph(status)}${word}`);
}

export function stateChip(state: AgentState): TemplateResult {
  const tone: Tone = STATE_TONES[state];
  return chip(tone, html`${statusGlyph(state)}${AGENT_STATE_WORDS[state]}`);
}

export const STATE_TONES: Record<AgentState, Tone> = {
  active: 'green',
  idle: 'green',
  silent: 'amber',
  paused: 'ink',
  drained: 'amber',
  quarantined: 'red',
  stopped: 'ink',
};

/** Untinted, for tables. */
export function riskWord(risk: Risk): TemplateResult {
  return html`<span class="bare m-${RISK_TONES[risk]}">${riskGlyph(risk)}${RISK_WORDS[risk]}</span>`;
}

/** How a call stands: its verdict until it ran, then what came of it. */
export function callWord(call: Pick<ToolCallView, 'verdict' | 'status' | 'approvalId'>): TemplateResult {
  const { mark: name, tone, word } = callState(call);
  return html`<span class="bare ${tone === 'ink' ? 'ink2' : `m-${tone}`}">${glyph(name, tone)}${word}</span>`;
}

export function callGlyph(call: Pick<ToolCallView, 'verdict' | 'status' | 'approvalId'>): TemplateResult {
  const { mark: name, tone, word } = callState(call);
  return html`${glyph(name, tone)}<span class="sr">${word} </span>`;
}

function callState(call: Pick<ToolCallView, 'verdict' | 'status' | 'approvalId'>): { mark: Mark; tone: Tone; word: string } {
  switch (call.status) {
    case 'needs_approval':
      return { mark: 'bars', tone: 'amber', word: VERDICT_WORDS.hold };
    case 'blocked':
      return { mark: 'cross', tone: 'red', word: VERDICT_WORDS.deny };
    case 'failed':
      return { mark: 'cross', tone: 'ink', word: 'Failed' };
    case 'withdrawn':
      return { mark: 'back', tone: 'ink', word: 'Withdrawn' };
    case 'running':
      return { mark: 'play', tone: 'ink', word: 'Running' };
    case 'unknown':
      return { mark: 'clock', tone: 'amber', word: 'No outcome' };
    case 'success':
      return { mark: 'tick', tone: 'green', word: call.approvalId ? 'Approved' : VERDICT_WORDS.allow };
  }
}

function mark(size: number, tone: Tone, shape: SVGTemplateResult): TemplateResult {
  return html`<svg width=${size} height=${size} viewBox="0 0 ${size} ${size}" class="k-${tone}" aria-hidden="true">${shape}</svg>`;
}
