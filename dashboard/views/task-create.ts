/** Creating a task, or changing one: what, of which kind, for whom, and what it may cost. Emits `mc-created` (its id) and `mc-close`. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Task, TaskCreate } from '../../control/contract.ts';
import type { TaskType } from '../../policies/model.ts';
import { createTask, updateTask } from '../actions.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { readMoney } from '../elements/money-field.ts';
import { button } from '../elements/parts.ts';
import { numberOf } from '../elements/task-text.ts';
import { agents } from '../store.ts';
import { PRIORITY_WORDS, TASK_TYPE_WORDS } from '../words.ts';

@customElement('mc-task-create')
export class TaskCreateElement extends SignalWatcher(LightElement) {
  /** The one to change; null = a new one. */
  @property({ attribute: false }) task: Task | null = null;
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal .heading=${this.task ? `Change ${numberOf(this.task)}` : 'Create a task'} .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    const task = this.task;
    const squad = agents
      .all()
      .filter((agent) => agent.status !== 'stopped')
      .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      <label class="lbl" for="n-title">Title</label>
      <input class="field" id="n-title" name="title" required maxlength="300" autocomplete="off" .value=${task?.title ?? ''} data-focus />
      <label class="lbl" for="n-description">What is to be done <span class="muted">the agent's brief</span></label>
      <textarea class="field" id="n-description" name="description" rows="4" maxlength="100000" .value=${task?.description ?? ''}></textarea>
      <label class="lbl" for="n-type">Kind <span class="muted">decides its cap and its allowlists</span></label>
      <select class="field" id="n-type" name="type">${(Object.entries(TASK_TYPE_WORDS) as [TaskType, string][]).map(([value, label]) => html`<option value=${value} ?selected=${value === (task?.type ?? 'engineering')}>${label}</option>`)}</select>
      <label class="lbl" for="n-priority">Priority</label>
      <select class="field" id="n-priority" name="priority">${(['high', 'medium', 'low'] as const).map((value) => html`<option value=${value} ?selected=${value === (task?.priority ?? 'medium')}>${PRIORITY_WORDS[value]}</option>`)}</select>
      <label class="lbl" for="n-assignee">Assignee</label>
      <select class="field" id="n-assignee" name="assignee"><option value="">Nobody yet</option>${squad.map((agent) => html`<option value=${agent.id} ?selected=${task?.assigneeIds[0] === agent.id}>${agent.name}</option>`)}</select>
      <label class="lbl" for="n-budget">Cap, USD</label>
      <input class="field" id="n-budget" name="budget" inputmode="decimal" placeholder="The policy's for its kind" .value=${task?.budget?.toString() ?? ''} autocomplete="off" />
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: task ? `Change ${numberOf(task)}` : 'Create task', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? (task ? 'Changing' : 'Creating') : null, onClick: () => {} })}
    </form>`;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const budget = readMoney(text('budget'));
    this.refusal = budget.error;
    if (budget.error !== null) return;
    const body: TaskCreate = {
      title: text('title'),
      type: text('type') as TaskType,
      priority: text('priority') as Task['priority'],
      description: text('description'),
    };
    const [assignee, refused] = [text('assignee'), (sentence: string) => this.#refuse(sentence)];
    this.busy = true;
    const saved = this.task
      ? await updateTask(this.task, { ...body, ...this.#assignees(this.task, assignee), budget: budget.usd }, refused)
      : await createTask(
          { ...body, ...(assignee && { assigneeIds: [assignee] }), ...(budget.usd === null ? {} : { budget: budget.usd }) },
          refused,
        );
    this.busy = false;
    if (!saved) return;
    emit(this, 'mc-close', null);
    emit(this, 'mc-created', saved.id);
  }

  /** Whoever else has it keeps it, unless the first was changed. */
  #assignees(task: Task, chosen: string): { assigneeIds?: string[] } {
    return (task.assigneeIds[0] ?? '') === chosen ? {} : { assigneeIds: chosen ? [chosen] : [] };
  }

  #refuse(sentence: string): void {
    this.refusal = sentence;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-task-create': TaskCreateElement;
  }
}
