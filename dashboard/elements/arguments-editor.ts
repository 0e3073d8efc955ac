/**
 * Editing the arguments of a held call: what the agent sent on the left, what would run instead on the right, field by field, and how the
 * edited call would be judged. Emits `mc-draft` with the texts of the changed fields, and `mc-cancel`.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Preview } from '../../control/contract.ts';
import type { Reason, Risk, Verdict } from '../../policies/model.ts';
import { VERDICT_WORDS } from '../words.ts';
import { type ArgumentField, changeBetween, type Draft, editArguments } from './argument-draft.ts';
import { reasonRows } from './call-facts.ts';
import { chip, riskChip, verdictGlyph } from './glyph.ts';
import { emit, LightElement } from './light-element.ts';
import { button, seen } from './parts.ts';
import { voiceTag } from './voice.ts';
import './arguments-editor.css';

/** What the policy would say of the edited call. */
export type Judgement =
  | { state: 'none' }
  | { state: 'asking' }
  /** `preview`: how the edited call was read; null where the server did not say. */
  | { state: 'judged'; verdict: Verdict; risk: Risk; reasons: readonly Reason[]; preview: Preview | null }
  | { state: 'failed'; why: string };

@customElement('mc-arguments-editor')
export class ArgumentsEditorElement extends LightElement {
  @property({ attribute: false }) original: Record<string, unknown> = {};
  @property({ attribute: false }) draft: Draft = {};
  @property({ attribute: false }) judgement: Judgement = { state: 'none' };

  /** Puts the cursor into the first field. */
  focusFirst(): void {
    this.querySelector('textarea')?.focus();
  }

  protected override render(): TemplateResult {
    const { fields } = editArguments(this.original, this.draft);
    return html`<section class="ae" aria-label="Edit arguments">
      <div class="ae-h" aria-hidden="true"><span>As the agent sent it ${voiceTag('not checked')}</span><span>What would run</span></div>
      ${fields.map((field, i) => this.#field(field, i))}
      ${fields.length === 0 ? html`<p class="small muted ae-none">This call has no arguments to edit.</p>` : nothing}
      <div class="ae-f">
        <div class="grow" role="status">${judged(this.judgement)}</div>
        ${button({ label: 'Discard the edit', size: 'small', kind: 'quiet', key: 'Esc', onClick: () => emit(this, 'mc-cancel', null) })}
      </div>
    </section>`;
  }

  #field(field: ArgumentField, i: number): TemplateResult {
    const id = `${this.uid}-${i}`;
    const change = field.changed ? changeBetween(field.original, field.current) : null;
    return html`<div class="ae-row ${field.changed ? 'ae-row--changed' : ''}">
      <label class="ae-name" for=${id}><code>${seen(field.name)}</code>${field.changed ? chip('you', 'changed') : nothing}</label>
      <div class="voice ae-old">${change === null ? seen(field.original) : html`${seen(change.before)}${change.removed ? html`<del>${seen(change.removed)}</del>` : nothing}${seen(change.after)}`}</div>
      <div class="ae-new">
        <textarea class="field mono" id=${id} spellcheck="false" autocomplete="off" autocapitalize="off" rows=${rowsOf(field.current)} .value=${field.current} aria-invalid=${field.error ? 'true' : nothing} aria-describedby=${field.error ? `${id}-error` : nothing} @input=${(event: InputEvent) => this.#typed(field, event)} @keydown=${this.#keys}></textarea>
        ${change?.added ? html`<p class="ae-added"><span class="muted">added</span> <ins>${seen(change.added)}</ins></p>` : nothing}
        ${field.error ? html`<p class="why m-red" id="${id}-error">${field.error}</p>` : nothing}
        ${field.changed ? button({ label: 'Put back', size: 'small', kind: 'quiet', icon: 'rotate-ccw', onClick: () => this.#set(field.name, null) }) : nothing}
      </div>
    </div>`;
  }

  #typed(field: ArgumentField, event: InputEvent): void {
    if (event.target instanceof HTMLTextAreaElement)
      this.#set(field.name, event.target.value === field.original ? null : event.target.value);
  }

  #set(name: string, text: string | null): void {
    const { [name]: _, ...others } = this.draft;
    emit<Draft>(this, 'mc-draft', text === null ? others : { ...others, [name]: text });
  }

  #keys(event: KeyboardEvent): void {
    if (event.key === 'Escape' && event.target instanceof HTMLTextAreaElement) event.target.blur();
  }
}

const MAX_ROWS = 16;

function rowsOf(text: string): number {
  return Math.min(MAX_ROWS, Math.max(1, text.split('\n').length + Math.floor(text.length / 90)));
}

function judged(judgement: Judgement): TemplateResult {
  switch (judgement.state) {
    case 'none':
      return html`<span class="small muted">Fields that you leave alone run as the agent sent them, redacted values included.</span>`;
    case 'asking':
      return html`<span class="row small muted"><span class="spin"></span>Judging the edited call</span>`;
    case 'failed':
      return html`<span class="small muted">It could not be judged beforehand: ${judgement.why} It is judged again before it runs.</span>`;
    case 'judged': {
      const tone = { allow: 'green', hold: 'amber', deny: 'red' }[judgement.verdict] as 'green' | 'amber' | 'red';
      const rows = { allow: 'allowed', hold: 'held', deny: 'denied' }[judgement.verdict] as 'allowed' | 'held' | 'denied';
      return html`<div class="ae-judged">
        <span class="row small"><span>Judged without your approval:</span>${riskChip(judgement.risk)}${chip(tone, html`${verdictGlyph(judgement.verdict)}${VERDICT_WORDS[judgement.verdict]}`)}${judgement.verdict === 'deny' ? html`<b class="b m-red">an approval cannot release it</b>` : nothing}</span>
        ${judgement.verdict === 'allow' ? nothing : reasonRows(judgement.reasons, rows)}
      </div>`;
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-arguments-editor': ArgumentsEditorElement;
  }
}
