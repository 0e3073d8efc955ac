/** Keeps a draft as a version; it binds nobody before it is activated. Emits `mc-saved` (its name) and `mc-close`. */
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button } from '../elements/parts.ts';
import { say } from '../notices.ts';

@customElement('mc-policy-save')
export class PolicySaveElement extends LightElement {
  @property({ attribute: false }) text = '';
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Save as a version" .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      <p class="ink2">The version is kept as it is from now on. It binds nobody before somebody activates it.</p>
      <label class="lbl" for="ps-note">What does it change, and why?</label>
      <textarea class="field" id="ps-note" name="note" rows="2" required maxlength="2000" data-focus></textarea>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Save as version', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Saving' : null, onClick: () => {} })}
    </form>`;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const note = String(new FormData(event.target as HTMLFormElement).get('note') ?? '').trim();
    this.busy = true;
    this.refusal = null;
    try {
      const { version } = await api.createPolicy({ document: this.text, note });
      say('done', `${version} is saved. It is not active.`);
      emit(this, 'mc-close', null);
      emit(this, 'mc-saved', version);
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-policy-save': PolicySaveElement;
  }
}
