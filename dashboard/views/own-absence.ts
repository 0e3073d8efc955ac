/** Everybody's own absence: until when, and who decides approvals meanwhile. Set and ended by the person, whatever their role. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, failed, moment, seen, skeleton } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { session } from '../store.ts';
import { when } from '../words.ts';
import './absence-form.ts';

@customElement('mc-own-absence')
export class OwnAbsenceElement extends SignalWatcher(LightElement) {
  /** Null while it is being read. */
  @state() private known: { absence: api.Operator['absence']; deputies: Awaited<ReturnType<typeof api.listDeputies>> } | null = null;
  @state() private failure: string | null = null;
  @state() private leaving = false;
  @state() private busy = false;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
  }

  protected override render(): TemplateResult {
    const me = session.get()?.operator ?? null;
    return html`<section class="panel st">
      <div class="panel-h"><h2 class="grow">Your absence</h2>${this.#action()}</div>
      <div class="panel-b">${
        this.failure !== null
          ? failed('Your absence could not be read', this.failure, () => void this.#read())
          : this.known === null
            ? skeleton(1)
            : this.known.absence
              ? html`<p>You are away until ${moment(this.known.absence.until, when(this.known.absence.until, serverNow()))}. ${seen(this.known.absence.deputyName)} decides approvals meanwhile.</p>`
              : html`<p class="muted">You are here. While you are away a deputy can decide approvals in your place, under their own name.</p>`
      }</div>
      ${this.leaving && me && this.known ? html`<mc-absence-form .person=${me} .people=${this.known.deputies} @mc-close=${() => this.#leave(false)} @mc-saved=${() => void this.#read()}></mc-absence-form>` : nothing}
    </section>`;
  }

  #action(): TemplateResult | typeof nothing {
    if (this.known === null) return nothing;
    if (this.known.absence)
      return button({ label: 'I am back', size: 'small', busy: this.busy ? 'Ending' : null, onClick: () => void this.#back() });
    const reason = this.known.deputies.length === 0 ? 'There is nobody else who could decide.' : null;
    return button({ label: 'I will be away', size: 'small', reason, onClick: () => this.#leave(true) });
  }

  #leave(leaving: boolean): void {
    this.leaving = leaving;
  }

  async #back(): Promise<void> {
    const me = session.get()?.operator;
    if (!me || this.busy) return;
    this.busy = true;
    try {
      await api.endAbsence(me.id);
      say('done', 'You are back, and decide for yourself again.');
      await this.#read();
    } catch (error) {
      say('refused', sentence(error));
    }
    this.busy = false;
  }

  async #read(): Promise<void> {
    const me = session.get()?.operator;
    if (!me) return;
    try {
      const [absence, deputies] = await Promise.all([api.readAbsence(me.id), api.listDeputies()]);
      this.known = { absence, deputies };
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-own-absence': OwnAbsenceElement;
  }
}
