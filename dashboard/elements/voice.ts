/**
 * Text that nobody has checked: written by an agent or by the outside. Set in mono behind a plum rail, never taken as markup, no links;
 * what would act unseen is shown by name; of long text the beginning and the end are shown, and the rest unfolds.
 */
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { count } from '../words.ts';
import { foldText } from './fold-text.ts';
import { icon } from './icon.ts';
import { LightElement } from './light-element.ts';
import { button, seen } from './parts.ts';
import './voice.css';

/** A line without a break can be endless too, so both are limited. */
const SHOWN = { lines: 12, characters: 1_600 };

@customElement('mc-voice')
export class VoiceElement extends LightElement {
  @property() text = '';
  /** Shown whole from the start. */
  @property({ type: Boolean }) open = false;
  @state() private unfolded = false;

  protected override render(): TemplateResult {
    const folded = this.open || this.unfolded ? null : foldText(this.text, SHOWN);
    if (!folded) return html`<div class="voice">${seen(this.text)}</div>`;
    return html`<div class="voice">${seen(folded.head)}${foldMark(folded.hidden)}${seen(folded.tail)}</div>
      ${button({
        label: `Show all ${wholeSize(this.text)}`,
        size: 'small',
        kind: 'quiet',
        icon: 'chevron-down',
        onClick: () => {
          this.unfolded = true;
        },
      })}`;
  }
}

/** Stands where text is folded away, and says how much of it. */
export function foldMark(hidden: string): TemplateResult {
  return html`<span class="fold-mark">${count(hidden.length)} characters not shown</span>`;
}

/** "30 lines", or the characters where it is all one line. */
export function wholeSize(text: string): string {
  const lines = text.split('\n').length;
  return lines > 1 ? `${count(lines)} lines` : `${count(text.length)} characters`;
}

/** The tag that says whose words these are. */
export function voiceTag(text = 'agent text, not checked'): TemplateResult {
  return html`<span class="voice-tag">${icon('shield-alert', 12)}${text}</span>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-voice': VoiceElement;
  }
}
