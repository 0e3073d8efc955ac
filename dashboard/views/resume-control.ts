/** Resuming after a stop or a pause of the squad: administrators only, with a note for the record. Emits `mc-close` when done or left. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { resume } from '../actions.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import { button, why } from '../elements/parts.ts';
import { reasonAgainst } from '../permissions.ts';
import { system } from '../store.ts';
import '../elements/modal.ts';

@customElement('mc-resume-control')
export class ResumeControlElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    return html`<mc-modal heading="Lift the squad's pause" .content=${html`<mc-resume-form></mc-resume-form>`}></mc-modal>`;
  }
}

/** The form by itself, for the incident view. */
@customElement('mc-resume-form')
export class ResumeFormElement extends SignalWatcher(LightElement) {
  @state() private note = '';
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    const against = reasonAgainst('resume') ?? (this.note.trim() ? null : 'Write a note first: it goes to the audit log with your name.');
    return html`<form class="form" @submit=${this.#submit}>
      <p class="ink2">${system.get()?.estop ? 'New calls are judged again. Agents stay paused and tasks stay blocked; you start each one yourself.' : 'Lifts the pause of the squad. Agents stay paused; you restart each one yourself.'}</p>
      <label class="lbl" for="resume-note">What happened, and why is it safe now?</label>
      <textarea class="field" id="resume-note" rows="3" maxlength="2000" data-focus .value=${this.note} @input=${this.#typed}></textarea>
      ${button({ label: system.get()?.estop ? 'Resume, agents stay paused' : 'Lift the pause, agents stay paused', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Resuming' : null, reason: against, reasonId: 'resume-why', onClick: () => {} })}
      ${why(this.refusal ?? against, 'resume-why')}
    </form>`;
  }

  #typed(event: InputEvent): void {
    if (event.target instanceof HTMLTextAreaElement) this.note = event.target.value;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy || reasonAgainst('resume') !== null || !this.note.trim()) return;
    this.busy = true;
    this.refusal = null;
    const done = await resume(this.note.trim(), (sentence) => {
      this.refusal = sentence;
    });
    this.busy = false;
    if (done) emit(this, 'mc-close', null);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-resume-control': ResumeControlElement;
    'mc-resume-form': ResumeFormElement;
  }
}
