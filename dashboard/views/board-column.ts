/**
 * One column of the board: its head, its cards as a virtual list, and while a card is carried whether it may be put here. Draws itself only
 * when something that stands in it has changed, so that an event costs its own column and not all seven.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { flow } from '@lit-labs/virtualizer/layouts/flow.js';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Task } from '../../control/contract.ts';
import type { TaskStatus } from '../../policies/model.ts';
import { serverNow } from '../clock.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import { button, skeleton } from '../elements/parts.ts';
import { columnHead, taskCard } from '../elements/task-card.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import {
  agentNames,
  allTasksHere,
  heldByTask,
  latestCalls,
  loaded,
  moving,
  olderDone,
  openDependencies,
  refusedMoves,
  tasks,
  tasksIn,
  unread,
} from '../store.ts';
import { readOlderDone } from '../task-pages.ts';
import { count, plural, TASK_WORDS } from '../words.ts';
import { reasonAgainstMove } from './task-move.ts';

/** So close to the end of the finished tasks the next page is fetched. */
const AHEAD = 20;
/** Named, because the list would fetch it by itself only when it is drawn, which delays the first card by a round trip. */
const LAYOUT = flow();
const NONE: Record<TaskStatus, string> = {
  inbox: 'No task waits to be taken.',
  assigned: 'Nothing is waiting to be started.',
  in_progress: 'No agent is working on a task.',
  review: 'Nothing is waiting to be looked at.',
  needs_approval: 'Nothing waits for a decision.',
  blocked: 'Nothing is stuck.',
  done: 'Nothing is finished yet.',
  canceled: '',
};

/** Fires `mc-create` when somebody wants to create a task. */
@customElement('mc-board-column')
export class BoardColumnElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) status: TaskStatus = 'inbox';
  /** The chosen card, wherever it is. */
  @property({ attribute: false }) selected: string | null = null;
  /** The task that is being carried. */
  @property({ attribute: false }) carried: Task | null = null;
  /** The carried card is over this column. */
  @property({ attribute: false }) over = false;

  protected override render(): TemplateResult {
    const { status } = this;
    const list = tasksIn(status);
    const partial = status === 'done' ? olderDone.get() !== null : !allTasksHere.get() && list.length > 0;
    const against = status === 'inbox' ? reasonAgainst('run tasks') : null;
    return html`<section class="tcol tcol--${status}" data-column=${status} aria-label="${TASK_WORDS[status]}, ${partial ? 'at least ' : ''}${plural(list.length, 'task')}">
      <div class="tcol-h">
        ${columnHead(status, `${count(list.length)}${partial ? '+' : ''}`)}
        ${
          status === 'inbox'
            ? html`${button({ label: 'Create task', icon: 'plus', iconOnly: true, size: 'small', kind: 'quiet', reason: against, reasonId: 'new-task-why', onClick: () => emit(this, 'mc-create', null), onRefused: () => say('refused', `Creating a task: ${against}`) })}${against === null ? nothing : html`<span class="sr" id="new-task-why">${against}</span>`}`
            : nothing
        }
      </div>
      <div class="tcol-b">${list.length > 0 ? this.#cards(list) : loaded.get() ? html`<p class="tcol-none small muted">${NONE[status]}</p>` : skeleton(3)} ${this.#target()}</div>
    </section>`;
  }

  #cards(list: readonly Task[]): TemplateResult {
    const { status, selected } = this;
    const now = serverNow();
    const held = heldByTask.get();
    const waiting = moving.get();
    const refused = refusedMoves.get();
    const news = unread.get();
    const names = agentNames.get();
    // The list draws its cards later, where nothing of what they read is noticed: it is read here, as far as a card of this column shows it.
    if (status === 'in_progress') void latestCalls.size;
    if (list.some((task) => task.dependsOn.length > 0)) void tasks.size;
    return html`<lit-virtualizer .layout=${LAYOUT} class="tcol-l scroll" scroller tabindex="0" role="group" aria-label="${TASK_WORDS[status]} tasks"
      .items=${list}
      .keyFunction=${keyOf}
      .renderItem=${(task: Task) =>
        html`<div class="tslot">${taskCard({
          task,
          now,
          assignee: assigneeOf(task, names),
          held: held.get(task.id) ?? [],
          latestCall: status === 'in_progress' ? (latestCalls.get(task.id)?.call ?? null) : null,
          waitsFor: openDependencies(task),
          waiting: waiting.has(task.id),
          refused: refused.get(task.id) ?? null,
          unread: news.get(task.id)?.unread ?? 0,
          selected: task.id === selected,
          href: `?task=${task.id}`,
        })}</div>`}
      @rangeChanged=${(event: Event & { last: number }) => {
        if (status === 'done' && event.last >= list.length - AHEAD) void readOlderDone();
      }}></lit-virtualizer>`;
  }

  /** While a card is carried: whether it may be put here, and why not. */
  #target(): TemplateResult | typeof nothing {
    const { carried, status, over } = this;
    if (!carried || carried.status === status) return nothing;
    const reason = reasonAgainstMove(carried, status);
    if (reason !== null) return html`<div class="ttarget ttarget--no ${over ? 'ttarget--over' : ''}"><p class="small">${reason}</p></div>`;
    return html`<div class="ttarget ttarget--yes ${over ? 'ttarget--over' : ''}"></div>`;
  }
}

function keyOf(task: Task): string {
  return task.id;
}

function assigneeOf(task: Task, names: ReadonlyMap<string, string>): string | null {
  const [first, ...others] = task.assigneeIds;
  if (first === undefined) return null;
  const name = names.get(first) ?? 'a removed agent';
  return others.length > 0 ? `${name} +${others.length}` : name;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-board-column': BoardColumnElement;
  }
}
