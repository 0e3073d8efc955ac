/**
 * Registering the agents that an OpenClaw gateway has: what it names now, which of them are registered already, and with which autonomy the
 * others begin. Emits nothing; the server tells of what it made.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Gateway, RosterEntry } from '../../control/contract.ts';
import { AUTONOMY_LEVELS, type Autonomy } from '../../policies/model.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, empty, failed, seen, skeleton } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { agents } from '../store.ts';
import { AUTONOMY_WORDS, plural } from '../words.ts';
import '../elements/modal.ts';

@customElement('mc-roster-import')
export class RosterImportElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) gateway: Gateway | null = null;
  @state() private open = false;
  @state() private roster: readonly RosterEntry[] | null = null;
  @state() private chosen: ReadonlySet<string> = new Set();
  @state() private autonomy: Autonomy = 'intern';
  @state() private busy = false;
  @state() private failure: string | null = null;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult | typeof nothing {
    const { gateway } = this;
    if (!gateway || gateway.url === null) return nothing;
    const role = reasonAgainst('manage gateways');
    const unlinked = gateway.link.state === 'connected' ? null : 'Its agents can be read once the link is connected.';
    return html`${button({ label: 'Import agents', icon: 'bot', size: 'small', kind: 'quiet', reason: role ?? unlinked, reasonId: role === null ? `link-${gateway.id}` : 'gw-why', onClick: () => this.#show(true) })}
      ${this.open ? html`<mc-modal heading="Agents of ${gateway.name}" .content=${this.#form(gateway)} @mc-close=${() => this.#show(false)}></mc-modal>` : nothing}`;
  }

  #form(gateway: Gateway): TemplateResult {
    const { roster } = this;
    if (this.failure !== null) return failed('The gateway could not be asked', this.failure, () => void this.#read(gateway));
    if (roster === null) return skeleton(3);
    if (roster.length === 0) return empty('It has no agent', 'Agents that are made in OpenClaw can be registered here.');
    const fresh = roster.filter((entry) => entry.agentId === null);
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#import(event, gateway)}>
      <p class="ink2">${fresh.length === 0 ? 'All of them are registered.' : 'Once registered, an agent has caps and an autonomy of its own here. The plugin speaks for it with the token of the gateway.'}</p>
      <ul class="ri">${roster.map((entry) => this.#row(entry))}</ul>
      ${
        fresh.length === 0
          ? nothing
          : html`<label class="lbl" for="ri-autonomy">They begin as</label>
            <select class="field" id="ri-autonomy" @change=${this.#level}>${AUTONOMY_LEVELS.map((level) => html`<option value=${level} ?selected=${level === this.autonomy}>${AUTONOMY_WORDS[level]}</option>`)}</select>
            <p class="refusal" role="alert">${this.refusal ?? ''}</p>
            ${button({ label: this.chosen.size === 0 ? 'Register agents' : `Register ${plural(this.chosen.size, 'agent')}`, kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Registering' : null, reason: this.chosen.size === 0 ? 'Choose at least one.' : null, reasonId: 'ri-why', onClick: () => {} })}
            <p class="small muted" id="ri-why">${this.chosen.size === 0 ? 'Choose at least one.' : ''}</p>`
      }
    </form>`;
  }

  #row({ externalId, name, workspace, agentId }: RosterEntry): TemplateResult {
    const known = agentId === null ? undefined : agents.get(agentId);
    const label = html`<b class="b">${seen(name ?? externalId)}</b>${name !== null && name !== externalId ? html` <code class="muted">${seen(externalId)}</code>` : nothing}<br /><span class="small muted">${workspace === null ? 'no workspace: every path will be outside' : seen(workspace)}</span>`;
    return agentId === null
      ? html`<li><label><input type="checkbox" .checked=${this.chosen.has(externalId)} @change=${() => this.#toggle(externalId)} /><span>${label}</span></label></li>`
      : html`<li><span class="ri-known">${label}</span><span class="small muted">registered as <a href="/agents/${agentId}">${known?.name ?? agentId}</a></span></li>`;
  }

  #show(open: boolean): void {
    this.open = open;
    if (open && this.gateway) void this.#read(this.gateway);
  }

  async #read(gateway: Gateway): Promise<void> {
    this.roster = null;
    this.failure = null;
    this.refusal = null;
    try {
      const roster = await api.readRoster(gateway.id);
      this.roster = roster;
      this.chosen = new Set(roster.filter((entry) => entry.agentId === null).map((entry) => entry.externalId));
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  #toggle(externalId: string): void {
    const chosen = new Set(this.chosen);
    if (!chosen.delete(externalId)) chosen.add(externalId);
    this.chosen = chosen;
  }

  readonly #level = (event: Event): void => {
    const { target } = event;
    const level = target instanceof HTMLSelectElement ? AUTONOMY_LEVELS.find((one) => one === target.value) : undefined;
    if (level) this.autonomy = level;
  };

  async #import(event: SubmitEvent, gateway: Gateway): Promise<void> {
    event.preventDefault();
    if (this.busy || this.chosen.size === 0) return;
    this.busy = true;
    this.refusal = null;
    try {
      const made = await api.importRoster(gateway.id, { externalIds: [...this.chosen], autonomyLevel: this.autonomy });
      agents.setAll(made);
      say('done', `${plural(made.length, 'agent')} of ${gateway.name} ${made.length === 1 ? 'is' : 'are'} registered.`);
      this.open = false;
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-roster-import': RosterImportElement;
  }
}
