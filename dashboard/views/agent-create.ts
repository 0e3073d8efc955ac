/** Registering an agent by hand: the fields that matter at first, the rest by the API or by connecting a gateway. Emits `mc-created` (its id) and `mc-close`. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { AgentCreate } from '../../control/contract.ts';
import type { Autonomy } from '../../policies/model.ts';
import { createAgent } from '../actions.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button } from '../elements/parts.ts';
import { gateways } from '../store.ts';

const AUTONOMY: readonly { value: Autonomy; text: string }[] = [
  { value: 'intern', text: 'Intern: green runs, everything else waits for you' },
  { value: 'specialist', text: 'Specialist: yellow runs within allowlists and budgets' },
  { value: 'lead', text: 'Lead: the same with larger budgets, may spawn' },
];

@customElement('mc-agent-create')
export class AgentCreateElement extends SignalWatcher(LightElement) {
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Register an agent" .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      <label class="lbl" for="c-name">Name</label>
      <input class="field" id="c-name" name="name" required maxlength="120" autocomplete="off" data-focus />
      <label class="lbl" for="c-autonomy">Autonomy</label>
      <select class="field" id="c-autonomy" name="autonomyLevel">${AUTONOMY.map(({ value, text }) => html`<option value=${value}>${text}</option>`)}</select>
      <label class="lbl" for="c-workspace">Workspace <span class="muted">absolute folder; without one every path is outside</span></label>
      <input class="field mono" id="c-workspace" name="workspace" maxlength="4096" pattern="/.*" title="Starts with /" placeholder="/home/claw/workspace" autocomplete="off" spellcheck="false" />
      <label class="lbl" for="c-gate">Gate</label>
      <select class="field" id="c-gate" name="gateway">
        <option value="">None: calls by MCP or SDK only</option>
        ${gateways.all().map((gateway) => html`<option value=${gateway.id}>OpenClaw plugin on ${gateway.name}</option>`)}
      </select>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Register agent', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Registering' : null, onClick: () => {} })}
    </form>`;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const gatewayId = text('gateway');
    const body: AgentCreate = {
      name: text('name'),
      autonomyLevel: text('autonomyLevel') as Autonomy,
      ...(text('workspace') ? { workspace: text('workspace') } : {}),
      ...(gatewayId ? { gate: 'openclaw' as const, gatewayId } : {}),
    };
    this.busy = true;
    this.refusal = null;
    const agent = await createAgent(body, (sentence) => {
      this.refusal = sentence;
    });
    this.busy = false;
    if (!agent) return;
    emit(this, 'mc-close', null);
    emit(this, 'mc-created', agent.id);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agent-create': AgentCreateElement;
  }
}
