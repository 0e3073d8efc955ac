/**
 * Standing grants: what was approved for longer, by whom, for whom, until when and how often it was used; and the way to end one. With an
 * id in the address that grant is shown with the calls that it released.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Grant, GrantDetail } from '../../control/contract.ts';
import { revokeGrant, sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { chip } from '../elements/glyph.ts';
import { GRANT_WORDS, scopeText, usesText } from '../elements/grant-text.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button, choice, empty, failed, moment, seen, seenLine, skeleton, why } from '../elements/parts.ts';
import { reasonAgainst } from '../permissions.ts';
import { grants } from '../store.ts';
import { OUTCOME_WORDS, when } from '../words.ts';
import './grants.css';

const SHOWN = 200;
const TONES = { active: 'green', expired: 'none', used_up: 'none', revoked: 'none' } as const;

@customElement('mc-grants')
export class GrantsElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) grantId: string | null = null;
  @state() private tab: 'active' | 'all' = 'active';
  @state() private read = false;
  @state() private failure: string | null = null;
  @state() private detail: GrantDetail | null = null;
  @state() private revoking: Grant | null = null;
  @state() private busy = false;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#fetch();
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    if (changed.has('grantId')) void this.#fetchOne();
  }

  protected override render(): TemplateResult {
    const against = reasonAgainst('decide approvals');
    const all = grants.all().sort((a, b) => b.number - a.number);
    const active = all.filter((grant) => statusOf(grant) === 'active');
    const listed = this.grantId === null ? (this.tab === 'active' ? active : all) : all.filter((grant) => grant.id === this.grantId);
    return html`<div class="page scroll" tabindex="0" role="region" aria-label="Standing grants">
      <div class="page-h">
        <h1>Standing grants</h1>
        ${
          this.grantId === null
            ? choice(
                'Show',
                [
                  { value: 'active', label: 'Active', count: active.length },
                  { value: 'all', label: 'All' },
                ] as const,
                this.tab,
                (tab) => this.#choose(tab),
              )
            : html`<a href="/grants">All grants</a>`
        }
      </div>
      ${why(listed.length > 0 ? against : null, 'grant-why')}
      <section class="panel"><p class="ink2 gr-intro">Calls that a person approved for longer. Each call is still judged; a grant releases only the reasons it was given for, and nothing that is red.</p>${this.#list(listed, against)}</section>
      ${this.grantId !== null && this.detail?.id === this.grantId ? usedBy(this.detail) : nothing}
      ${this.revoking ? html`<mc-modal heading="Revoke grant ${this.revoking.number}" .content=${this.#form(this.revoking)} @mc-close=${() => this.#ask(null)}></mc-modal>` : nothing}
    </div>`;
  }

  #list(listed: readonly Grant[], against: string | null): TemplateResult {
    if (this.failure !== null) return failed('The grants could not be read', this.failure, () => void this.#fetch());
    if (!this.read) return skeleton(4);
    if (listed.length === 0)
      return empty(
        'Nothing is granted for longer',
        'Granting calls like it, on a held call, makes one. It ends by time, by count, or here.',
      );
    return html`<ul>${listed.map((grant) => this.#row(grant, against))}</ul>`;
  }

  #row(grant: Grant, against: string | null): TemplateResult {
    const now = serverNow();
    const status = statusOf(grant);
    return html`<li class="gr">
      <div class="grow">
        <p class="gr-h"><a class="b" href="/grants/${grant.id}">Grant ${grant.number}</a>${chip(TONES[status], GRANT_WORDS[status])}<code>${seen(grant.tool)}</code></p>
        <p>${seen(grant.pattern.sentence)}</p>
        <p><code class="gr-t">${seen(grant.pattern.text)}</code></p>
        <p class="small muted">For ${seen(scopeText(grant.scope, grant.scopeName))}; ${usesText(grant)}${grant.lastUsedAt === null ? nothing : html`, last ${moment(grant.lastUsedAt, when(grant.lastUsedAt, now))}`}; ${status === 'active' ? 'until' : 'it was until'} ${moment(grant.expiresAt, when(grant.expiresAt, now))}</p>
        <p class="small muted">By ${seen(grant.createdBy.name)}, ${moment(grant.createdAt, when(grant.createdAt, now))}, with <a href="/approvals/${grant.approvalId}">this approval</a>${grant.note ? html`: <span class="ink2">${seen(grant.note)}</span>` : nothing}${grant.revokedAt === null ? nothing : html`. Revoked by ${seen(grant.revokedBy ?? 'somebody')}, ${moment(grant.revokedAt, when(grant.revokedAt, now))}`}</p>
      </div>
      ${status === 'active' ? button({ label: 'Revoke', size: 'small', kind: 'deny', reason: against, reasonId: 'grant-why', onClick: () => this.#ask(grant) }) : nothing}
    </li>`;
  }

  #form(grant: Grant): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#revoke(event, grant)}>
      <p class="ink2">The next call that it would have released comes to a person. Calls that run already go on.</p>
      <label class="lbl" for="gr-reason">Reason <span class="muted">optional</span></label>
      <input class="field" id="gr-reason" name="reason" maxlength="2000" autocomplete="off" data-focus />
      ${button({ label: `Revoke grant ${grant.number}`, kind: 'deny', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Revoking' : null, onClick: () => {} })}
    </form>`;
  }

  #choose(tab: 'active' | 'all'): void {
    this.tab = tab;
    void this.#fetch();
  }

  #ask(grant: Grant | null): void {
    this.revoking = grant;
  }

  async #revoke(event: SubmitEvent, grant: Grant): Promise<void> {
    event.preventDefault();
    if (this.busy || !(event.target instanceof HTMLFormElement)) return;
    this.busy = true;
    const done = await revokeGrant(grant, String(new FormData(event.target).get('reason') ?? '').trim());
    this.busy = false;
    if (done) this.revoking = null;
  }

  async #fetch(): Promise<void> {
    this.failure = null;
    try {
      grants.setAll((await api.listGrants({ status: this.tab, limit: SHOWN })).items);
      this.read = true;
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  async #fetchOne(): Promise<void> {
    const id = this.grantId;
    if (id === null) return;
    try {
      this.detail = await api.readGrant(id);
      grants.set(this.detail);
    } catch (error) {
      if (id === this.grantId) this.failure = sentence(error);
    }
  }
}

/** The server tells of uses and of revoking; that a grant's time is over, the clock tells. */
function statusOf(grant: Grant): Grant['status'] {
  return grant.status === 'active' && grant.expiresAt <= serverNow() ? 'expired' : grant.status;
}

function usedBy({ calls }: GrantDetail): TemplateResult {
  return html`<section class="panel gr-uses">
    <div class="panel-h"><h2>Calls that it released</h2></div>
    ${
      calls.length === 0
        ? empty('None yet', 'Calls that this grant releases are listed here, newest first.')
        : html`<ul class="panel-b">${calls.map((call) => html`<li class="gr-c"><a href="/approvals/${call.approvalId}"><code>${seenLine(call.summary)}</code></a><span class="muted">${OUTCOME_WORDS[call.outcome]}</span>${moment(call.at)}</li>`)}</ul>`
    }
  </section>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-grants': GrantsElement;
  }
}
