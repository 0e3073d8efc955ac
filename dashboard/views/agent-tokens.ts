/** The credentials of one agent, for administrators: which exist, when each was last used, a new one (shown once), and the end of one. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { chip } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { onceShown } from '../elements/once-shown.ts';
import { ago, button, empty, failed, skeleton, why } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { when } from '../words.ts';
import './agent-tokens.css';

@customElement('mc-agent-tokens')
export class AgentTokensElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) agentId = '';
  @state() private tokens: readonly api.Token[] | null = null;
  @state() private failure: string | null = null;
  @state() private issued: string | null = null;
  @state() private busy: string | null = null;

  protected override render(): TemplateResult {
    const against = reasonAgainst('manage tokens');
    return html`<section class="panel">
      <div class="panel-h"><h2 class="grow">Tokens</h2>${button({ label: 'Issue token', icon: 'key-round', size: 'small', kind: 'quiet', busy: this.busy === 'issue' ? 'Issuing' : null, reason: against, reasonId: 'token-why', onClick: () => void this.#issue() })}</div>
      ${against ? html`<div class="panel-b">${why(against, 'token-why')}</div>` : nothing}
      ${this.failure !== null ? failed('Tokens could not be read', this.failure, () => void this.#fetch()) : this.tokens === null ? skeleton(2) : this.tokens.length === 0 ? empty('No token yet', 'Without one this agent cannot call by itself; a gateway can still speak for it.') : html`<ul>${this.tokens.map((token) => this.#row(token, against))}</ul>`}
      ${this.issued !== null ? html`<mc-modal heading="New token" .content=${onceShown(this.issued, 'The agent calls with it.')} @mc-close=${this.#forget}></mc-modal>` : nothing}
    </section>`;
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    if (!changed.has('agentId')) return;
    this.tokens = null;
    void this.#fetch();
  }

  #row(token: api.Token, against: string | null): TemplateResult {
    const now = serverNow();
    return html`<li class="tk"><code>…${token.hint}</code><span class="small muted">issued ${when(token.createdAt, now)}, ${token.lastUsedAt === null ? 'never used' : html`used ${ago(token.lastUsedAt, now)}`}</span>${token.revokedAt === null ? button({ label: 'Revoke', size: 'small', kind: 'deny', busy: this.busy === token.id ? 'Revoking' : null, reason: against, reasonId: 'token-why', onClick: () => void this.#revoke(token) }) : chip('none', 'Revoked')}</li>`;
  }

  async #fetch(): Promise<void> {
    const agentId = this.agentId;
    this.failure = null;
    try {
      const tokens = await api.listTokens(agentId);
      if (agentId === this.agentId) this.tokens = tokens.sort((a, b) => b.createdAt - a.createdAt);
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  async #issue(): Promise<void> {
    this.busy = 'issue';
    try {
      this.issued = (await api.issueToken(this.agentId)).token;
      await this.#fetch();
    } catch (error) {
      say('refused', `No token was issued. ${sentence(error)}`);
    }
    this.busy = null;
  }

  async #revoke(token: api.Token): Promise<void> {
    this.busy = token.id;
    try {
      await api.revokeToken(this.agentId, token.id);
      say('done', `Token …${token.hint} is revoked. Calls with it are refused.`);
      await this.#fetch();
    } catch (error) {
      say('refused', `Not revoked. ${sentence(error)}`);
    }
    this.busy = null;
  }

  #forget(): void {
    this.issued = null;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agent-tokens': AgentTokensElement;
  }
}
