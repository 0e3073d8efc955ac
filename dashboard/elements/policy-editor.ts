/**
 * The text of a policy with its line numbers, what is new against another version, and the lines that are wrong. A text area over the same
 * text in colour: typing, selecting, find-in-page and screen readers work as in any text area. Emits `mc-text`.
 */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { classMap } from 'lit/directives/class-map.js';
import type { PolicyError } from '../../policies/policy.ts';
import { emit, LightElement } from './light-element.ts';
import { changedLines, type LineChanges, tokensOf } from './policy-text.ts';
import './policy-editor.css';

/** Longer texts are shown without colours and without marks of what is new. */
const COLOURED_LINES = 3_000;

@customElement('mc-policy-editor')
export class PolicyEditorElement extends LightElement {
  @property() text = '';
  /** The version that it is compared with; null = with none. */
  @property({ attribute: false }) base: string | null = null;
  @property({ attribute: false }) errors: readonly PolicyError[] = [];
  @property({ attribute: false }) readonly = false;
  @property() label = 'Policy';
  #changes: LineChanges = { added: new Set(), removedAfter: new Map() };

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('text') && !changed.has('base')) return;
    const isLong = this.text.split('\n').length > COLOURED_LINES;
    this.#changes = this.base === null || isLong ? { added: new Set(), removedAfter: new Map() } : changedLines(this.base, this.text);
  }

  protected override render(): TemplateResult {
    const lines = this.text.split('\n');
    const isLong = lines.length > COLOURED_LINES;
    const wrong = new Map(this.errors.flatMap((error) => (error.line === undefined ? [] : [[error.line, error] as const])));
    const widest = lines.reduce((most, line) => Math.max(most, line.length), 40);
    return html`<div class="pe scroll">
      <div class="pe-n" aria-hidden="true">${lines.map(
        (_, i) =>
          html`<span class=${classMap({ 'pe-new': this.#changes.added.has(i + 1), 'pe-wrong': wrong.has(i + 1), 'pe-cut': this.#changes.removedAfter.has(i + 1) })}>${i + 1}<i>${wrong.has(i + 1) ? '×' : this.#changes.added.has(i + 1) ? '+' : nothing}</i></span>`,
      )}</div>
      <div class="pe-c">
        ${
          isLong
            ? nothing
            : html`<pre aria-hidden="true">${lines.map(
                (line, i) =>
                  html`<span class=${classMap({ 'pe-l': true, 'pe-new': this.#changes.added.has(i + 1), 'pe-wrong': wrong.has(i + 1) })}>${tokensOf(line).map((token) => (token.kind === 'plain' ? token.text : html`<span class="pe-${token.kind}">${token.text}</span>`))}${'\n'}</span>`,
              )}</pre>`
        }
        <textarea class=${isLong ? 'pe-t pe-t--plain' : 'pe-t'} .style=${`width:${widest + 4}ch`} rows=${lines.length} spellcheck="false" autocomplete="off" autocapitalize="off" wrap="off" aria-label=${this.label} ?readonly=${this.readonly} aria-invalid=${this.errors.length > 0 ? 'true' : nothing} .value=${this.text} @input=${this.#typed} @keydown=${this.#keys}></textarea>
      </div>
    </div>`;
  }

  /** Puts the cursor there; both count from 1. */
  goTo(line: number, column: number): void {
    const area = this.querySelector('textarea');
    if (!area) return;
    const at =
      this.text
        .split('\n')
        .slice(0, line - 1)
        .join('\n').length +
      (line > 1 ? 1 : 0) +
      column -
      1;
    area.focus({ preventScroll: true });
    area.setSelectionRange(at, at);
    this.querySelectorAll('.pe-n span')[line - 1]?.scrollIntoView({ block: 'center' });
  }

  readonly #typed = (event: InputEvent): void => {
    if (event.target instanceof HTMLTextAreaElement) emit(this, 'mc-text', event.target.value);
  };

  /** Escape leaves the text, so that the single keys work again. Tab moves on as everywhere. */
  readonly #keys = (event: KeyboardEvent): void => {
    if (event.key === 'Escape') (event.target as HTMLElement).blur();
  };
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-policy-editor': PolicyEditorElement;
  }
}
