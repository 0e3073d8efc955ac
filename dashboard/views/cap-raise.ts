/** Adding to a cap for a while: of a task, or of an agent until its day turns over. With a note, on record. Emits `mc-close`. */
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { readMoney } from '../elements/money-field.ts';
import { button } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { money } from '../words.ts';

@customElement('mc-cap-raise')
export class CapRaiseElement extends LightElement {
  /** Whose cap: one of the two. */
  @property({ attribute: false }) agentId: string | null = null;
  @property({ attribute: false }) taskId: string | null = null;
  @property() name = '';
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Raise the cap of ${this.name}" .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      <p class="ink2">${this.agentId === null ? 'The task may spend so much more, for 30 days.' : 'The agent may spend so much more today; tomorrow its cap is what it was.'} It binds at once.</p>
      <label class="lbl" for="cr-amount">Add, USD</label>
      <input class="field" id="cr-amount" name="amount" inputmode="decimal" required autocomplete="off" data-focus />
      <label class="lbl" for="cr-note">Why? <span class="muted">kept in the record</span></label>
      <textarea class="field" id="cr-note" name="note" rows="2" required maxlength="2000"></textarea>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Raise the cap', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Raising' : null, onClick: () => {} })}
    </form>`;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const amount = readMoney(String(form.get('amount') ?? ''));
    this.refusal = amount.error ?? (amount.usd === null || amount.usd === 0 ? 'Write how much is added, for example 2.50' : null);
    if (this.refusal !== null || amount.usd === null) return;
    this.busy = true;
    try {
      const whose = this.agentId === null ? { taskId: this.taskId ?? '' } : { agentId: this.agentId };
      await api.raiseCap({ ...whose, amount: amount.usd, note: String(form.get('note') ?? '').trim() });
      say('done', `The cap of ${this.name} is ${money(amount.usd)} higher.`);
      emit(this, 'mc-close', null);
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-cap-raise': CapRaiseElement;
  }
}
