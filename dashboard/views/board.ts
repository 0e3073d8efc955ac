/**
 * The work: seven columns of tasks, the squad at the left, what happens at the right. Cards are moved by mouse, touch or keyboard; where one
 * may go comes from the transition table that the server uses, with the reason where it may not. A move shows at once and is taken back with
 * its reason when the server refuses. Columns are virtual lists, so that ten thousand tasks are as light as ten.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { LitVirtualizer } from '@lit-labs/virtualizer';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Task } from '../../control/contract.ts';
import type { TaskStatus } from '../../policies/model.ts';
import { moveTask } from '../actions.ts';
import { LightElement } from '../elements/light-element.ts';
import { COLUMNS, moveOf, numberOf } from '../elements/task-text.ts';
import { bindKeys } from '../keyboard.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { foldedSides, foldSide } from '../preferences.ts';
import { openDependencies, tasks, tasksIn } from '../store.ts';
import { isMedium, isNarrow, isPhone } from '../viewport.ts';
import { makeDraggable } from './board-drag.ts';
import './board.css';
import './board-column.ts';
import './board-squad.ts';
import './feed.ts';
import './task-create.ts';
import { reasonAgainstMove } from './task-move.ts';

/** How long a card is waited for, and when it is looked for further down. */
const FRAMES = 30;
const FRAMES_TO_DRAW = 4;

type Side = 'agents' | 'feed';

/** Whether there is no room for this side beside the board. */
const isOver = (side: Side) => (side === 'agents' ? isNarrow.get() : isMedium.get());

@customElement('mc-board')
export class BoardElement extends SignalWatcher(LightElement) {
  @state() private selected: string | null = null;
  @state() private dragged: { task: Task; over: string | null } | null = null;
  /** The task whose move is being chosen or completed; `to` null = to be chosen. */
  @state() private asking: { task: Task; to: TaskStatus | null } | null = null;
  @state() private creating = false;
  /** The side that lies over the board, where it has no room beside it. */
  @state() private sheet: Side | null = null;
  #unbind = () => {};
  #release = () => {};

  override connectedCallback(): void {
    super.connectedCallback();
    const group = 'Board';
    this.#unbind = bindKeys([
      { keys: 'j', label: 'Next card', group, run: () => this.#step(1), repeats: true },
      { keys: 'k', label: 'Previous card', group, run: () => this.#step(-1), repeats: true },
      { keys: 'm', label: 'Move the card', group, run: () => this.#askMove() },
      { keys: 'n', label: 'Create a task', group, run: () => this.#create(true) },
      { keys: '[', label: 'Fold or open the agents', group, run: () => this.#toggleSide('agents') },
      { keys: ']', label: 'Fold or open the feed', group, run: () => this.#toggleSide('feed') },
      { keys: 'escape', label: 'Close what lies over the board', group, run: () => this.#openSheet(null) },
    ]);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#unbind();
    this.#release();
  }

  protected override firstUpdated(): void {
    const columns = this.querySelector<HTMLElement>('.cols');
    if (!columns) return;
    this.#release = makeDraggable(columns, {
      onStart: (id) => this.#pickUp(id),
      onOver: (over) => this.#over(over),
      onDrop: (id, column) => this.#drop(id, column as TaskStatus),
      onEnd: () => this.#letGo(),
    });
  }

  protected override render(): TemplateResult {
    const folded = foldedSides.get();
    const shows = (side: Side) => !isPhone.get() && (isOver(side) ? this.sheet === side : !folded.has(side));
    const spined = (side: Side) => !isPhone.get() && (isOver(side) || folded.has(side));
    return html`<div class="board">
      <h1 class="sr">Board</h1>
      ${spined('agents') ? this.#spine('agents', 'Agents') : nothing}
      ${shows('agents') ? html`<aside class="board-agents ${isOver('agents') ? 'board-over' : ''}" aria-label="Agents"><mc-board-squad></mc-board-squad></aside>` : nothing}
      <div class="cols scroll" role="group" aria-label="Tasks by state" @keydown=${this.#onArrow} @focusin=${this.#onFocus}>
        ${repeat(
          COLUMNS,
          (status) => status,
          (status) =>
            html`<mc-board-column .status=${status} .selected=${this.selected} .carried=${this.dragged?.task ?? null} .over=${this.dragged?.over === status} @mc-create=${() => this.#create(true)}></mc-board-column>`,
        )}
      </div>
      ${spined('feed') ? this.#spine('feed', 'Feed') : nothing}
      ${shows('feed') ? html`<aside class="board-feed ${isOver('feed') ? 'board-over' : ''}" aria-label="Feed"><mc-feed .compact=${true}></mc-feed></aside>` : nothing}
      ${this.creating ? html`<mc-task-create @mc-close=${() => this.#create(false)} @mc-created=${(event: CustomEvent<string>) => this.#select(event.detail)}></mc-task-create>` : nothing}
      ${this.asking ? html`<mc-task-move .task=${tasks.get(this.asking.task.id) ?? this.asking.task} .to=${this.asking.to} @mc-close=${this.#answered}></mc-task-move>` : nothing}
    </div>`;
  }

  /* ---------------------------------------------------------------- sides */

  /** What is left of a side that is folded, or that has no room beside the board: its edge, which opens it. */
  #spine(side: Side, label: string): TemplateResult {
    return html`<button type="button" class="spine spine--${side}" aria-expanded=${isOver(side) && this.sheet === side} aria-keyshortcuts=${side === 'agents' ? '[' : ']'} @click=${() => this.#toggleSide(side)}><span>${label}</span></button>`;
  }

  #toggleSide(side: Side): void {
    if (isOver(side)) this.#openSheet(this.sheet === side ? null : side);
    else foldSide(side);
  }

  #openSheet(side: Side | null): void {
    this.sheet = side;
  }

  /* ---------------------------------------------------------------- moving by pointer */

  #pickUp(id: string): void {
    const task = tasks.get(id);
    if (task) this.dragged = { task, over: null };
  }

  #over(over: string | null): void {
    if (this.dragged) this.dragged = { ...this.dragged, over };
  }

  #letGo(): void {
    this.dragged = null;
  }

  #drop(id: string, to: TaskStatus): void {
    const task = tasks.get(id);
    if (!task || task.status === to) return;
    const reason = reasonAgainstMove(task, to);
    if (reason !== null) {
      say('refused', `${numberOf(task)} is not moved. ${reason}`);
      return;
    }
    this.selected = id;
    if (moveOf(task, to, openDependencies(task)).kind === 'ask') this.asking = { task, to };
    else void moveTask(task, to);
  }

  /* ---------------------------------------------------------------- moving by keyboard */

  #askMove(): void {
    const task = this.selected === null ? undefined : tasks.get(this.selected);
    if (task) this.asking = { task, to: null };
    else say('refused', 'Choose a card first: J or an arrow key.');
  }

  #answered(): void {
    const id = this.asking?.task.id;
    this.asking = null;
    if (id) void this.updateComplete.then(() => this.#focus(id));
  }

  readonly #onFocus = (event: FocusEvent): void => {
    const card = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-task]') : null;
    if (card?.dataset.task) this.selected = card.dataset.task;
  };

  readonly #onArrow = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
    if (!step) return;
    event.preventDefault();
    const column = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-column]')?.dataset.column : undefined;
    this.#go(column as TaskStatus | undefined, step[0] ?? 0, step[1] ?? 0);
  };

  /** Down or up the column, and over into the next one. */
  #step(by: 1 | -1): void {
    this.#go(undefined, 0, by);
  }

  #go(from: TaskStatus | undefined, columns: number, rows: number): void {
    const next = nextCard(this.selected, from, columns, rows);
    if (next) this.#select(next.id);
  }

  #select(id: string): void {
    this.selected = id;
    void this.updateComplete.then(() => this.#focus(id));
  }

  /** Brings the card into view, then the focus to it. A column that has just got its first card needs a few frames to show it. */
  async #focus(id: string): Promise<void> {
    for (let frame = 0; frame < FRAMES; frame++) {
      await new Promise(requestAnimationFrame);
      const card = this.#card(id);
      if (card) {
        card.focus({ preventScroll: true });
        card.scrollIntoView({ block: 'nearest', inline: 'nearest' });
        return;
      }
      if (frame === FRAMES_TO_DRAW) this.#scrollTo(id);
    }
  }

  /** A card that is too far up or down to be in the page. */
  #scrollTo(id: string): void {
    for (const list of this.querySelectorAll('lit-virtualizer.tcol-l')) {
      if (!(list instanceof LitVirtualizer)) continue;
      const index = (list.items as Task[]).findIndex((task) => task.id === id);
      if (index >= 0) list.element(index)?.scrollIntoView({ block: 'nearest' });
    }
  }

  #card(id: string): HTMLElement | null {
    return this.querySelector<HTMLElement>(`[data-task="${CSS.escape(id)}"]`);
  }

  #create(open: boolean): void {
    if (open && reasonAgainst('run tasks') !== null) return;
    this.creating = open;
  }
}

/** The card so many rows further in its column, or in the next column that has any; without a chosen one, the first. */
function nextCard(selected: string | null, from: TaskStatus | undefined, columns: number, rows: number): Task | undefined {
  const lists = COLUMNS.map((status) => tasksIn(status));
  let column = lists.findIndex((list) => list.some((task) => task.id === selected));
  if (column < 0) return lists[from ? COLUMNS.indexOf(from as (typeof COLUMNS)[number]) : lists.findIndex((list) => list.length > 0)]?.[0];
  const row = (lists[column] ?? []).findIndex((task) => task.id === selected);
  if (columns === 0) return lists[column]?.[row + rows];
  for (column += columns; lists[column]; column += columns) {
    const list = lists[column] ?? [];
    if (list.length > 0) return list[Math.min(row, list.length - 1)];
  }
  return undefined;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-board': BoardElement;
  }
}
