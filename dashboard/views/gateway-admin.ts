/** What administrators do with a gateway: register one, give its plugin a further token, change how it is reached, go to its own pages, remove it. Emits nothing. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Gateway } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { onceShown } from '../elements/once-shown.ts';
import { button } from '../elements/parts.ts';
import { type WayOut, wayOut } from '../elements/way-out.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { gateways } from '../store.ts';
import { plural } from '../words.ts';
import './roster-import.ts';

@customElement('mc-gateway-admin')
export class GatewayAdminElement extends SignalWatcher(LightElement) {
  /** The one to work on; null = registering a new one. */
  @property({ attribute: false }) gateway: Gateway | null = null;
  @state() private open: 'form' | 'remove' | null = null;
  @state() private shown: { name: string; token: string } | null = null;
  @state() private pass: WayOut | null = null;
  @state() private busy: 'save' | 'token' | 'pass' | 'remove' | null = null;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    const { gateway } = this;
    const against = reasonAgainst('manage gateways');
    const buttons = gateway
      ? html`<mc-roster-import .gateway=${gateway}></mc-roster-import>${gateway.url === null ? nothing : button({ label: 'Open its pages', icon: 'arrow-right', size: 'small', kind: 'quiet', busy: this.busy === 'pass' ? 'Asking' : null, reason: against, reasonId: 'gw-why', onClick: () => void this.#pass(gateway) })}
          ${button({ label: 'Edit', icon: 'pencil', size: 'small', kind: 'quiet', reason: against, reasonId: 'gw-why', onClick: () => this.#show('form') })}
          ${button({ label: 'New token', icon: 'key-round', size: 'small', kind: 'quiet', busy: this.busy === 'token' ? 'Issuing' : null, reason: against, reasonId: 'gw-why', onClick: () => void this.#issue(gateway) })}
          ${button({ label: `Remove ${gateway.name}`, icon: 'x', iconOnly: true, size: 'small', kind: 'deny', reason: against, reasonId: 'gw-why', onClick: () => this.#show('remove') })}`
      : button({
          label: 'Register a gateway',
          icon: 'plus',
          size: 'small',
          kind: 'quiet',
          reason: against,
          reasonId: 'gw-why',
          onClick: () => this.#show('form'),
        });
    return html`<span class="row">${buttons}</span>
      ${this.open === 'form' ? html`<mc-modal .heading=${gateway ? `Change ${gateway.name}` : 'Register a gateway'} .content=${this.#form(gateway)} @mc-close=${() => this.#show(null)}></mc-modal>` : nothing}
      ${this.open === 'remove' && gateway ? html`<mc-modal heading="Remove ${gateway.name}" .content=${this.#removeForm(gateway)} @mc-close=${() => this.#show(null)}></mc-modal>` : nothing}
      ${this.pass && gateway ? html`<mc-modal heading="Pages of ${gateway.name}" .content=${wayOut(this.pass, 'Open the gateway', "The gateway's own pages, through the proxy. Every request and connection there is recorded under your name.")} @mc-close=${() => this.#forgetPass()}></mc-modal>` : nothing}
      ${this.shown ? html`<mc-modal heading="Token of ${this.shown.name}" .content=${onceShown(this.shown.token, 'The plugin in OpenClaw speaks for its agents with it.')} @mc-close=${() => this.#forget()}></mc-modal>` : nothing}`;
  }

  #form(gateway: Gateway | null): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#save(event, gateway)}>
      ${gateway ? nothing : html`<p class="ink2">Most people run <code>npm run -s mc -- openclaw connect --config FILE</code> instead, which registers the gateway and its agents and writes its configuration.</p>`}
      <label class="lbl" for="gw-name">Name</label>
      <input class="field" id="gw-name" name="name" required maxlength="120" autocomplete="off" .value=${gateway?.name ?? ''} data-focus />
      <label class="lbl" for="gw-url">WebSocket address <span class="muted">without one there is no link: held agents are told only through open calls</span></label>
      <input class="field mono" id="gw-url" name="url" maxlength="2048" placeholder="ws://127.0.0.1:18789" .value=${gateway?.url ?? ''} autocomplete="off" spellcheck="false" />
      <label class="lbl" for="gw-token">Its operator token</label>
      <input class="field mono" id="gw-token" name="token" type="password" maxlength="4096" placeholder=${gateway ? 'Kept as it is' : 'None'} autocomplete="off" />
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: gateway ? `Change ${gateway.name}` : 'Register a gateway', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy === 'save' ? (gateway ? 'Changing' : 'Registering') : null, onClick: () => {} })}
    </form>`;
  }

  #removeForm(gateway: Gateway): TemplateResult {
    return html`<p class="ink2">Its tokens end at once, so every call of its ${plural(gateway.agentIds.length, 'agent')} through the plugin is refused. The agents stay registered.</p>
      <div class="form-f">${button({ label: `Remove ${gateway.name}`, kind: 'deny', size: 'large', block: true, busy: this.busy === 'remove' ? 'Removing' : null, onClick: () => void this.#remove(gateway) })}</div>`;
  }

  #show(open: 'form' | 'remove' | null): void {
    this.open = open;
    this.refusal = null;
  }

  #forget(): void {
    this.shown = null;
  }

  async #save(event: SubmitEvent, gateway: Gateway | null): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => String(form.get(name) ?? '').trim();
    const body = { name: text('name'), url: text('url') || null, ...(text('token') && { token: text('token') }) };
    this.busy = 'save';
    this.refusal = null;
    try {
      if (gateway) {
        gateways.set(await api.updateGateway(gateway.id, body));
        say('done', `${body.name} is changed.`);
      } else {
        const { token, gateway: registered } = await api.registerGateway(body);
        gateways.set(registered);
        this.shown = { name: registered.name, token };
      }
      this.open = null;
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = null;
  }

  async #issue(gateway: Gateway): Promise<void> {
    this.busy = 'token';
    try {
      this.shown = { name: gateway.name, token: (await api.issueGatewayToken(gateway.id)).token };
    } catch (error) {
      say('refused', `No token was issued. ${sentence(error)}`);
    }
    this.busy = null;
  }

  #forgetPass(): void {
    this.pass = null;
  }

  async #pass(gateway: Gateway): Promise<void> {
    this.busy = 'pass';
    try {
      this.pass = await api.issueGatewayPass(gateway.id);
    } catch (error) {
      say('refused', `Not opened. ${sentence(error)}`);
    }
    this.busy = null;
  }

  async #remove(gateway: Gateway): Promise<void> {
    this.busy = 'remove';
    try {
      await api.removeGateway(gateway.id);
      gateways.remove(gateway.id);
      say('done', `${gateway.name} is removed.`);
    } catch (error) {
      say('refused', `Not removed. ${sentence(error)}`);
    }
    this.busy = null;
    this.open = null;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-gateway-admin': GatewayAdminElement;
  }
}
