/**
 * The policy: its versions, the text of one with checks as one types, and what it would do: one call at a time, all recorded calls of a week,
 * and beside the policy in force on live ones. The checks and the single judgement run here, with the very code of the gate, so a draft that
 * nobody has saved can be tried. What was typed is kept in this browser until it is saved or discarded.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { documentChanges } from '../elements/document-changes.ts';
import { glyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, failed, moment, seen, skeleton, why } from '../elements/parts.ts';
import { PolicyEditorElement } from '../elements/policy-editor.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import type { Checked } from '../policy-judge.ts';
import { forgetDraft, keepDraft, keptDraft } from '../preferences.ts';
import { go } from '../routes.ts';
import { overview } from '../store.ts';
import { plural, when } from '../words.ts';
import './policies.css';
import './policy-activate.ts';
import './policy-profiles.ts';
import './policy-save.ts';
import './policy-trials.ts';

/** So long after the last key the draft is checked. */
const CHECK_AFTER_MS = 150;

@customElement('mc-policies')
export class PoliciesElement extends SignalWatcher(LightElement) {
  /** The version that is shown; null = the active one. */
  @property({ attribute: false }) version: string | null = null;
  @state() private versions: readonly api.PolicyVersion[] | null = null;
  @state() private failure: string | null = null;
  /** What was typed over the shown version; null = nothing. */
  @state() private draft: string | null = null;
  @state() private checked: Checked | null = null;
  @state() private asking: 'save' | 'activate' | 'profile' | null = null;
  @state() private showDifference = false;
  #judge: typeof import('../policy-judge.ts') | null = null;
  #due: ReturnType<typeof setTimeout> | undefined;
  #checkedText: string | null = null;
  #seenActive: string | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
    void loadJudge().then((judge) => {
      this.#judge = judge;
      this.#check();
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#due);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (changed.has('version')) this.#takeDraft();
  }

  protected override updated(): void {
    // Somebody else activated another version.
    const active = overview.get()?.activePolicy.id ?? null;
    if (this.#seenActive !== null && active !== this.#seenActive) void this.#read();
    this.#seenActive = active;
    if (this.#text() !== this.#checkedText) {
      clearTimeout(this.#due);
      this.#due = setTimeout(() => this.#check(), CHECK_AFTER_MS);
    }
  }

  protected override render(): TemplateResult {
    const shown = this.#shown();
    if (this.versions === null)
      return this.failure === null ? skeleton(8) : failed('The policies could not be read', this.failure, () => void this.#read());
    if (!shown)
      return html`<div class="page"><h1>There is no such version</h1><p class="ink2"><a href="/policies">The active policy</a></p></div>`;
    const active = this.versions.find((version) => version.active) ?? null;
    return html`<div class="po">
      ${this.#list(this.versions, shown)}
      <section class="po-m" aria-label="Text of the policy">
        ${this.#head(shown, active)}
        <mc-policy-editor
          .label=${`Policy ${shown.version}`}
          .text=${this.#text()}
          .base=${this.draft === null ? (shown.active ? null : (active?.source ?? null)) : shown.source}
          .errors=${this.checked?.errors ?? []}
          .readonly=${reasonAgainst('change the policy') !== null}
          @mc-text=${(event: CustomEvent<string>) => this.#type(event.detail)}
        ></mc-policy-editor>
        ${this.#problems()}
      </section>
      <mc-policy-trials .policy=${shown} .active=${active} .checked=${this.checked} .isDraft=${this.draft !== null} .judge=${this.#judge}></mc-policy-trials>
      ${this.asking === 'save' ? html`<mc-policy-save .text=${this.#text()} @mc-close=${() => this.#ask(null)} @mc-saved=${(event: CustomEvent<string>) => void this.#saved(event.detail)}></mc-policy-save>` : nothing}
      ${this.asking === 'profile' ? html`<mc-policy-profiles .active=${active} .judge=${this.#judge} @mc-close=${() => this.#ask(null)} @mc-saved=${(event: CustomEvent<string>) => void this.#saved(event.detail)}></mc-policy-profiles>` : nothing}
      ${this.asking === 'activate' ? html`<mc-policy-activate .policy=${shown} @mc-close=${() => this.#ask(null)} @mc-activated=${() => void this.#read()}></mc-policy-activate>` : nothing}
    </div>`;
  }

  /* ---------------------------------------------------------------- parts */

  #list(versions: readonly api.PolicyVersion[], shown: api.PolicyVersion): TemplateResult {
    const now = serverNow();
    return html`<nav class="po-l" aria-label="Versions">
      <div class="side-h"><h2 class="grow">Versions</h2></div>
      <ul class="scroll grow"><li><button type="button" class="po-new" @click=${() => this.#ask('profile')}>Start from a profile</button></li>${versions.map(
        (
          version,
        ) => html`<li><a class="po-v" href="/policies/${version.version}" aria-current=${version.id === shown.id ? 'page' : nothing}>
          <span class="po-vg">${version.active ? glyph('tick', 'green') : glyph('clock', 'ink')}</span>
          <span class="b">${version.version}</span>
          <span class="small muted end">${version.active ? 'active' : keptDraft(version.version) === null ? when(version.createdAt, now) : 'draft'}</span>
          <span class="small muted po-vn">${version.createdBy}${version.note ? html`, "${seen(version.note)}"` : nothing}</span>
        </a></li>`,
      )}</ul>
      <p class="po-f small muted">Every activation is in the audit log</p>
    </nav>`;
  }

  #head(shown: api.PolicyVersion, active: api.PolicyVersion | null): TemplateResult {
    const against = reasonAgainst('change the policy');
    const wrong = this.checked?.errors?.length ?? 0;
    const isDraft = this.draft !== null;
    const saveReason = against ?? (wrong > 0 ? `Fix ${plural(wrong, 'problem')} first.` : null);
    const activateReason =
      against ??
      (isDraft
        ? 'Save the draft as a version first.'
        : shown.active
          ? 'It is the active version.'
          : wrong > 0
            ? `It has ${plural(wrong, 'problem')}.`
            : null);
    return html`<div class="po-h">
      <h1>${shown.version}${isDraft ? ' draft' : ''}</h1>
      <span class="small muted grow">${
        shown.active
          ? html`active since ${moment(shown.activatedAt ?? shown.createdAt, when(shown.activatedAt ?? shown.createdAt, serverNow()))}${shown.activatedBy ? ` by ${shown.activatedBy}` : ''}`
          : active
            ? html`<button type="button" class="link" aria-expanded=${this.showDifference} @click=${this.#toggleDifference}>${this.showDifference ? 'Hide' : 'Show'} what differs from ${active.version}</button>`
            : nothing
      }</span>
      ${this.checked === null ? html`<span class="small muted" role="status">Checking</span>` : wrong > 0 ? html`<span class="bare m-red" role="status">${glyph('cross', 'red')}${plural(wrong, 'problem')}</span>` : html`<span class="bare m-green" role="status">${glyph('tick', 'green')}No problems</span>`}
      ${isDraft ? button({ label: 'Discard', kind: 'quiet', size: 'small', onClick: () => this.#discard() }) : nothing}
      ${isDraft ? button({ label: 'Save as version', kind: 'go', size: 'small', reason: saveReason, reasonId: 'po-why', onClick: () => this.#ask('save') }) : button({ label: `Activate ${shown.version}`, kind: shown.active ? 'plain' : 'go', size: 'small', reason: activateReason, reasonId: 'po-why', onClick: () => this.#ask('activate') })}
      ${why(isDraft ? saveReason : activateReason, 'po-why')}
      ${this.showDifference && !shown.active && active ? html`<mc-policy-difference .policyId=${shown.id} .from=${active.id}></mc-policy-difference>` : nothing}
    </div>`;
  }

  #problems(): TemplateResult | typeof nothing {
    const errors = this.checked?.errors ?? [];
    if (errors.length === 0) return nothing;
    return html`<ul class="po-p scroll" tabindex="0" role="region" aria-label="Problems">${errors.map(
      ({ line, column, path, message }) =>
        html`<li>${glyph('cross', 'red')}${line === undefined ? html`<span></span>` : html`<button type="button" class="link mono" @click=${() => this.#goTo(line, column ?? 1)}>${line}:${column ?? 1}</button>`}<span>${path ? html`<code>${path}</code> ` : nothing}${seen(message)}</span></li>`,
    )}</ul>`;
  }

  /* ---------------------------------------------------------------- text */

  #shown(): api.PolicyVersion | undefined {
    const versions = this.versions ?? [];
    if (this.version === null) return versions.find((version) => version.active) ?? versions[0];
    return versions.find(({ version, id }) => version === this.version || id === this.version);
  }

  #text(): string {
    return this.draft ?? this.#shown()?.source ?? '';
  }

  #type(text: string): void {
    const shown = this.#shown();
    if (!shown) return;
    this.draft = text === shown.source ? null : text;
    if (this.draft === null) forgetDraft(shown.version);
    else keepDraft(shown.version, text);
  }

  #takeDraft(): void {
    const shown = this.#shown();
    this.draft = shown ? keptDraft(shown.version) : null;
    this.showDifference = false;
  }

  #discard(): void {
    const shown = this.#shown();
    const typed = this.draft;
    if (!shown || typed === null) return;
    this.#type(shown.source);
    say('done', 'The draft is discarded.', { label: 'Undo', run: () => this.#type(typed) });
  }

  #check(): void {
    const text = this.#text();
    if (!this.#judge || text === '') return;
    this.#checkedText = text;
    this.checked = this.#judge.checkPolicy(text);
  }

  #goTo(line: number, column: number): void {
    const editor = this.querySelector('mc-policy-editor');
    if (editor instanceof PolicyEditorElement) editor.goTo(line, column);
  }

  /* ---------------------------------------------------------------- doing */

  #toggleDifference(): void {
    this.showDifference = !this.showDifference;
  }

  #ask(asking: 'save' | 'activate' | 'profile' | null): void {
    this.asking = asking;
  }

  async #saved(version: string): Promise<void> {
    const shown = this.#shown();
    if (shown) forgetDraft(shown.version);
    this.draft = null;
    await this.#read();
    go(`/policies/${version}`);
  }

  async #read(): Promise<void> {
    this.failure = null;
    try {
      this.versions = await api.listPolicies();
      if (this.draft === null) this.#takeDraft();
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

/** Zod would try to make code at run time, which the Content-Security-Policy forbids and reports; it is told before it is fetched. */
async function loadJudge(): Promise<typeof import('../policy-judge.ts')> {
  Object.assign(globalThis, { __zod_globalConfig: { jitless: true } });
  return import('../policy-judge.ts');
}

/** What one version changes against another, by path. */
@customElement('mc-policy-difference')
export class PolicyDifferenceElement extends LightElement {
  @property({ attribute: false }) policyId = '';
  @property({ attribute: false }) from = '';
  @state() private difference: api.PolicyDifference | null = null;
  @state() private failure: string | null = null;

  protected override render(): TemplateResult {
    if (this.failure !== null) return failed('The difference could not be read', this.failure, () => void this.#read());
    if (!this.difference) return skeleton(2);
    return documentChanges(this.difference.changes);
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has('policyId') || changed.has('from')) void this.#read();
  }

  async #read(): Promise<void> {
    this.failure = null;
    try {
      this.difference = await api.comparePolicy(this.policyId, this.from);
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-policies': PoliciesElement;
    'mc-policy-difference': PolicyDifferenceElement;
  }
}
