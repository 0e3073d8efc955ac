/**
 * One task on the board: what it is, who has it, what it may cost, and what stands in its way; a held call is on the card itself.
 * A link to its drawer; the board moves it.
 */
import { html, nothing, type TemplateResult } from 'lit';
import type { Approval, Task, ToolCallView } from '../../control/contract.ts';
import { age, capMoney, money, TASK_WORDS, wait } from '../words.ts';
import { gistOf } from './approval-text.ts';
import { glyph, priorityGlyph, riskChip, taskGlyph } from './glyph.ts';
import { icon } from './icon.ts';
import { meter, seen, seenLine, seenWrapped } from './parts.ts';
import { numberOf } from './task-text.ts';
import './task-card.css';

export interface TaskCardView {
  task: Task;
  /** The server's time. */
  now: number;
  /** Whose it is; null = nobody's. */
  assignee: string | null;
  /** Its held calls, oldest first. */
  held: readonly Approval[];
  /** What its agent called last. */
  latestCall: ToolCallView | null;
  /** Numbers of the tasks it waits for. */
  waitsFor: readonly string[];
  /** Moved here and not yet confirmed by the server. */
  waiting: boolean;
  /** Why its last move was refused, for a moment. */
  refused: string | null;
  /** Comments of others that the signed-in person has not read. */
  unread: number;
  selected: boolean;
  href: string;
}

export function taskCard(view: TaskCardView): TemplateResult {
  const { task } = view;
  const classes = ['tcard', view.waiting ? 'tcard--waiting' : '', view.refused ? 'tcard--refused' : ''].join(' ');
  return html`<a class=${classes} href=${view.href} draggable="false" data-task=${task.id} tabindex=${view.selected ? '0' : '-1'} aria-current=${view.selected ? 'true' : nothing} aria-busy=${view.waiting ? 'true' : nothing}>
    <span class="tcard-h"><span class="tcard-n">${numberOf(task)}</span>${task.status === 'done' ? nothing : priorityGlyph(task.priority)}${view.unread > 0 ? html`<span class="badge tcard-new">${icon('message-square', 12)}${view.unread}<span class="sr"> unread</span></span>` : nothing}<span class="tcard-at">${sinceOf(view)}</span></span>
    <span class="tcard-t nm">${seen(task.title)}</span><span class="sr">, ${TASK_WORDS[task.status]}, </span>
    ${heldLine(view)} ${stateLine(view)}
    ${view.refused ? html`<span class="tcard-no m-red">${glyph('cross', 'red')}<span>${view.refused}</span></span>` : nothing}
    <span class="tcard-f">${view.assignee === null ? nothing : html`<span class="cut tcard-who">${view.assignee}</span>`}<span class="nb tcard-mny">${moneyOf(task)}</span></span>
    ${task.status === 'done' || task.spend === 0 ? nothing : meter(task.spend, task.budget)}
  </a>`;
}

/** How long it has been as it is; the hold of a call has its own time. */
function sinceOf({ task, held, now }: TaskCardView): string {
  if (held.length > 0) return '';
  return task.status === 'inbox' || task.status === 'assigned' ? '' : age(now - task.updatedAt);
}

function heldLine({ held, now }: TaskCardView): TemplateResult | typeof nothing {
  const [first] = held;
  if (!first) return nothing;
  const worst = held.some((approval) => approval.risk === 'red') ? 'red' : 'yellow';
  return html`<span class="tcard-hold">${riskChip(worst)}<b class="m-amber nb">${held.length > 1 ? `${held.length} held · ` : ''}${wait(now - first.createdAt)}</b></span><span class="tcard-voice tcard-voice--two">${seenWrapped(gistOf(first).replace(/\s+/g, ' ').slice(0, 160))}</span>`;
}

function stateLine({ task, held, latestCall, waitsFor }: TaskCardView): TemplateResult | typeof nothing {
  if (task.status === 'blocked')
    return html`<span class="tcard-no m-red">${glyph('cross', 'red')}<span>${seen(task.blockedReason ?? 'No reason was given')}</span></span>`;
  if (waitsFor.length > 0 && task.status !== 'done')
    return html`<span class="tcard-no muted">${icon('corner-down-right', 12)}<span>waits for ${waitsFor.map((number, i) => html`${i ? ', ' : ''}<span class="nb">${number}</span>`)}</span></span>`;
  if (task.status === 'in_progress' && held.length === 0 && latestCall)
    return html`<span class="tcard-voice">${seenLine(`${latestCall.tool} ${latestCall.summary}`)}</span>`;
  return nothing;
}

function moneyOf(task: Task): TemplateResult | string {
  if (task.status === 'done') return money(task.spend);
  if (task.budget === null) return task.spend === 0 ? '' : money(task.spend);
  if (task.spend === 0) return html`<span class="muted">cap ${capMoney(task.budget)}</span>`;
  return html`${money(task.spend, task.budget)}<span class="muted">/${capMoney(task.budget).slice(1)}</span>`;
}

/** The head of a column. */
export function columnHead(status: Task['status'], count: string): TemplateResult {
  return html`${taskGlyph(status)}<h2>${TASK_WORDS[status]} <span class="muted">${count}</span></h2>`;
}
