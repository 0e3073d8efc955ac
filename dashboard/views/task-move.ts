/**
 * Moving a task without dragging: where it may go, with the reason where it may not, and what is asked for before it goes there. The same
 * questions are asked after a drop. Emits `mc-close`.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Task } from '../../control/contract.ts';
import type { TaskStatus } from '../../policies/model.ts';
import type { Artifact } from '../../policies/task.ts';
import { moveTask, type TaskMove } from '../actions.ts';
import { taskGlyph } from '../elements/glyph.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button, seen } from '../elements/parts.ts';
import { moveOf, numberOf, TARGETS } from '../elements/task-text.ts';
import '../elements/voice.ts';
import { reasonAgainst } from '../permissions.ts';
import { agents, openDependencies } from '../store.ts';
import { TASK_WORDS } from '../words.ts';
import './task-move.css';

@customElement('mc-task-move')
export class TaskMoveElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) task: Task | null = null;
  /** Where it goes; null = to be chosen. */
  @property({ attribute: false }) to: TaskStatus | null = null;
  @state() private chosen: TaskStatus | null = null;
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult | typeof nothing {
    const task = this.task;
    if (!task) return nothing;
    const heading = this.chosen ? `${numberOf(task)} to ${TASK_WORDS[this.chosen]}` : `Move ${numberOf(task)}`;
    return html`<mc-modal .heading=${heading} .content=${this.chosen ? this.#form(task, this.chosen) : this.#menu(task)}></mc-modal>`;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (changed.has('to')) this.chosen = this.to;
  }

  #menu(task: Task): TemplateResult {
    return html`<p class="ink2 tm-t">${seen(task.title)}</p>
      <ul class="tm">${TARGETS.filter((to) => to !== task.status).map((to, i) => {
        const reason = reasonAgainstMove(task, to);
        return html`<li>
          <button type="button" class="tm-to" aria-disabled=${reason === null ? nothing : 'true'} aria-describedby=${reason === null ? nothing : `tm-why-${i}`} @click=${() => reason === null && this.#choose(task, to)}>${taskGlyph(to)}<span>${TASK_WORDS[to]}</span></button>
          ${reason === null ? nothing : html`<span class="small muted" id="tm-why-${i}">${reason}</span>`}
        </li>`;
      })}</ul>`;
  }

  #choose(task: Task, to: TaskStatus): void {
    if (moveOf(task, to, openDependencies(task)).kind === 'ask') {
      this.chosen = to;
    } else {
      void moveTask(task, to);
      emit(this, 'mc-close', null);
    }
  }

  #form(task: Task, to: TaskStatus): TemplateResult {
    const answer = moveOf(task, to, openDependencies(task));
    const missing = answer.kind === 'ask' ? answer.missing : [];
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event, task, to)}>
      <p class="ink2">${seen(task.title)}</p>
      ${to === 'done' && task.deliverable ? html`<span class="lbl">What was delivered</span><mc-voice class="tm-d" .text=${task.deliverable}></mc-voice>` : nothing}
      ${missing.map((artifact, i) => this.#field(artifact, i === 0))}
      ${missing.length === 0 ? html`<label class="lbl" for="t-reason">Why? <span class="muted">shown on the card and kept in the record</span></label><textarea class="field" id="t-reason" name="reason" rows="2" maxlength="10000" data-focus></textarea>` : nothing}
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: `Move to ${TASK_WORDS[to]}`, kind: to === 'canceled' ? 'deny' : 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Moving' : null, onClick: () => {} })}
    </form>`;
  }

  #field(artifact: Artifact, isFirst: boolean): TemplateResult | typeof nothing {
    const long = (name: string, label: string, hint = '') =>
      html`<label class="lbl" for="t-${name}">${label}${hint ? html` <span class="muted">${hint}</span>` : nothing}</label><textarea class="field" id="t-${name}" name=${name} rows="3" required maxlength="100000" ?data-focus=${isFirst}></textarea>`;
    switch (artifact) {
      case 'assigneeIds':
        return html`<label class="lbl" for="t-assignee">Assignee</label><select class="field" id="t-assignee" name="assignee" required ?data-focus=${isFirst}><option value="">Choose an agent</option>${agents
          .all()
          .filter((agent) => agent.status !== 'stopped')
          .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
          .map((agent) => html`<option value=${agent.id}>${agent.name}</option>`)}</select>`;
      case 'workPlan':
        return long('workPlan', 'Work plan', 'what is going to be done');
      case 'deliverable':
        return long('deliverable', 'Deliverable', 'the text, or where it is');
      case 'selfReview':
        return long('selfReview', 'Self-review', 'what was checked, what is doubtful');
      case 'evidence':
        return long('evidence', 'Evidence', 'one source a line; the deliverable makes claims');
      case 'deliverableConfirmed':
        return html`<label class="check"><input type="checkbox" name="deliverableConfirmed" required /><span>I have looked at the deliverable and confirm it</span></label>`;
      case 'decisionNote':
        return long('decisionNote', 'Decision note', 'recorded as your approval');
      case 'approval': // Moving it out of a review is the approval.
      case 'costSummary': // The server computes it.
        return nothing;
    }
  }

  async #submit(event: SubmitEvent, task: Task, to: TaskStatus): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const given: TaskMove = {
      ...(text('reason') && { reason: text('reason') }),
      ...(text('assignee') && { assigneeIds: [text('assignee')] }),
      artifacts: {
        ...(text('workPlan') && { workPlan: text('workPlan') }),
        ...(text('deliverable') && { deliverable: text('deliverable') }),
        ...(text('selfReview') && { selfReview: text('selfReview') }),
        ...(text('evidence') && {
          evidence: text('evidence')
            .split('\n')
            .flatMap((line) => line.trim() || []),
        }),
        ...(form.get('deliverableConfirmed') === 'on' && { deliverableConfirmed: true }),
        ...(text('decisionNote') && { decisionNote: text('decisionNote') }),
      },
    };
    this.busy = true;
    this.refusal = null;
    const done = await moveTask(task, to, given, (sentence) => {
      this.refusal = sentence;
    });
    this.busy = false;
    if (done) emit(this, 'mc-close', null);
  }
}

/** Why this task cannot be moved there by whoever is signed in, or null. */
export function reasonAgainstMove(task: Task, to: TaskStatus): string | null {
  const answer = moveOf(task, to, openDependencies(task));
  return answer.kind === 'no' ? answer.reason : reasonAgainst(to === 'done' ? 'close tasks' : 'run tasks');
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-task-move': TaskMoveElement;
  }
}
