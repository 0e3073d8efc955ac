/**
 * The confirmation of the emergency stop, equal to the hold: what it does, a reason for the record, and two ways to press it, the button or
 * STOP and Enter. Emits `mc-stop` with the reason, `mc-pause` with the reason for pausing instead, `mc-give-up` while it is being sent.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { type IconName, icon } from './icon.ts';
import { emit, LightElement } from './light-element.ts';
import { button, why } from './parts.ts';
import './stop-form.css';

/** How far a press has come; null = not pressed yet. */
export interface StopSending {
  attempt: number;
  error: string | null;
}

@customElement('mc-stop-form')
export class StopFormElement extends LightElement {
  @property({ attribute: false }) heldCalls = 0;
  @property({ attribute: false }) activeAgents = 0;
  @property({ attribute: false }) sending: StopSending | null = null;
  /** Why the squad cannot be paused instead. */
  @property({ attribute: false }) pauseReason: string | null = null;
  @state() private reason = '';
  @state() private typed = '';

  protected override render(): TemplateResult {
    return html`<p class="ink2">Every agent, every entry point, at once. Only an administrator can resume.</p>
      <ul class="effects">
        ${effect('ban', 'New calls are refused', 'all')} ${effect('unplug', 'Open streams are cut', 'all')}
        ${effect('circle-pause', 'Held calls are withdrawn', String(this.heldCalls))} ${effect('octagon-minus', 'Open tasks go to Blocked', 'all')}
        ${effect('circle-stop', 'Running agents are aborted', String(this.activeAgents))}
      </ul>
      ${this.sending ? this.#underWay(this.sending) : this.#form()}`;
  }

  #form(): TemplateResult {
    return html`<div class="stop-form">
      <label class="lbl" for="${this.uid}-reason">Reason <span class="muted">optional, goes to the audit log</span></label>
      <input class="field" id="${this.uid}-reason" maxlength="2000" autocomplete="off" .value=${this.reason} @input=${(event: InputEvent) => (this.reason = textIn(event))} />
      <label class="lbl" for="${this.uid}-word">Type STOP and press Enter, or use the button</label>
      <input class="field" id="${this.uid}-word" data-focus autocomplete="off" autocapitalize="characters" spellcheck="false" .value=${this.typed} @keydown=${this.#keys} @input=${(event: InputEvent) => (this.typed = textIn(event))} />
      <button type="button" class="btn btn--stop stop-now" @click=${() => emit(this, 'mc-stop', this.reason)}>${icon('octagon-x', 18)}Emergency stop, now</button>
      <div class="stop-or">
        ${button({ label: 'Pause squad instead', icon: 'pause', block: true, size: 'large', reason: this.pauseReason, reasonId: `${this.uid}-pause`, onClick: () => emit(this, 'mc-pause', this.reason) })}
        ${why(this.pauseReason, `${this.uid}-pause`)}
        <p class="small muted">Pausing keeps tasks and held calls as they are.</p>
      </div>
    </div>`;
  }

  #underWay({ attempt, error }: StopSending): TemplateResult {
    return html`<div class="stop-form" role="alert">
      <p class="row b"><span class="spin"></span>Sending the stop${attempt > 1 ? `, attempt ${attempt}` : ''}</p>
      ${
        error
          ? html`<p class="ink2">${error} It is tried again every second until it is through. From a terminal on the server: <code>npm run -s mc -- stop</code></p>
            ${button({ label: 'Stop trying', onClick: () => emit(this, 'mc-give-up', null) })}`
          : nothing
      }
    </div>`;
  }

  #keys(event: KeyboardEvent): void {
    if (event.key !== 'Enter' || this.typed.trim().toUpperCase() !== 'STOP') return;
    event.preventDefault();
    emit(this, 'mc-stop', this.reason);
  }
}

function effect(name: IconName, text: string, amount: string): TemplateResult {
  return html`<li>${icon(name)}<span>${text}</span><b class="b">${amount}</b></li>`;
}

function textIn(event: Event): string {
  return event.target instanceof HTMLInputElement ? event.target.value : '';
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-stop-form': StopFormElement;
  }
}
