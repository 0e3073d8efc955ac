/** The caps of one agent: its day and each run. An empty field means the policy's cap for its autonomy. Emits `mc-close`. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { ifDefined } from 'lit/directives/if-defined.js';
import type { Agent } from '../../control/contract.ts';
import { updateAgent } from '../actions.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { readMoney } from '../elements/money-field.ts';
import { button } from '../elements/parts.ts';
import { AUTONOMY_WORDS, money } from '../words.ts';

type FieldName = 'dailyCap' | 'perRunCap';

@customElement('mc-agent-budgets')
export class AgentBudgetsElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) agent: Agent | null = null;
  @state() private typed: Partial<Record<FieldName, string>> = {};
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Caps of ${this.agent?.name ?? ''}" .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    const agent = this.agent;
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)} novalidate>
      <p class="ink2">An empty field means the policy's cap for a ${agent ? AUTONOMY_WORDS[agent.autonomyLevel].toLowerCase() : ''}. A changed cap binds at once. ${agent ? `Spent today: ${money(agent.todaySpend)}.` : ''}</p>
      ${this.#field('dailyCap', 'Each day, USD')} ${this.#field('perRunCap', 'Each run, USD')}
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Change caps', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Changing' : null, onClick: () => {} })}
    </form>`;
  }

  #field(name: FieldName, label: string): TemplateResult {
    const text = this.#text(name);
    const { error } = readMoney(text);
    return html`<label class="lbl" for=${name}>${label}</label>
      <input class="field" id=${name} inputmode="decimal" autocomplete="off" placeholder="Policy's cap" .value=${text} aria-invalid=${error ? 'true' : 'false'} aria-describedby=${ifDefined(error ? `${name}-error` : undefined)} ?data-focus=${name === 'dailyCap'} @input=${(event: InputEvent) => this.#typed(name, event)} />
      ${error ? html`<p class="why m-red" id="${name}-error">${error}</p>` : ''}`;
  }

  #text(name: FieldName): string {
    return this.typed[name] ?? this.agent?.budgets[name]?.toString() ?? '';
  }

  #typed(name: FieldName, event: InputEvent): void {
    if (event.target instanceof HTMLInputElement) this.typed = { ...this.typed, [name]: event.target.value };
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const [daily, perRun] = [readMoney(this.#text('dailyCap')), readMoney(this.#text('perRunCap'))];
    if (!this.agent || this.busy || daily.error !== null || perRun.error !== null) return;
    this.busy = true;
    this.refusal = null;
    const done = await updateAgent(this.agent, { budgets: { dailyCap: daily.usd, perRunCap: perRun.usd } }, (sentence) => {
      this.refusal = sentence;
    });
    this.busy = false;
    if (done) emit(this, 'mc-close', null);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agent-budgets': AgentBudgetsElement;
  }
}
