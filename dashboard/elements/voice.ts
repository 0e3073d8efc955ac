/**
 * Text that nobody has checked: written by an agent or by the outside. Set in mono behind a plum rail, never taken as markup, no links;
 * what would act unseen is shown by name; long text folds after twelve lines.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { count } from '../words.ts';
import { icon } from './icon.ts';
import { LightElement } from './light-element.ts';
import { button, seen } from './parts.ts';
import './voice.css';

const FOLD_LINES = 12;
/** A line without a break can be endless too. */
const FOLD_CHARACTERS = 1_600;

@customElement('mc-voice')
export class VoiceElement extends LightElement {
  @property() text = '';
  /** Shown whole from the start. */
  @property({ type: Boolean }) open = false;
  @state() private unfolded = false;

  protected override render(): TemplateResult {
    const folded = this.open || this.unfolded ? null : fold(this.text);
    return html`<div class="voice">${seen(folded ? folded.shown : this.text)}${folded ? html`<span class="voice-more">…</span>` : nothing}</div>
      ${
        folded
          ? button({
              label: `Show all ${count(folded.lines)} lines`,
              size: 'small',
              kind: 'quiet',
              icon: 'chevron-down',
              onClick: () => {
                this.unfolded = true;
              },
            })
          : nothing
      }`;
  }
}

/** The tag that says whose words these are. */
export function voiceTag(text = 'agent text, not checked'): TemplateResult {
  return html`<span class="voice-tag">${icon('shield-alert', 12)}${text}</span>`;
}

/** The part that is shown of a long text, or null where all of it is. */
function fold(text: string): { shown: string; lines: number } | null {
  const lines = text.split('\n');
  if (lines.length <= FOLD_LINES && text.length <= FOLD_CHARACTERS) return null;
  return { shown: lines.slice(0, FOLD_LINES).join('\n').slice(0, FOLD_CHARACTERS), lines: lines.length };
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-voice': VoiceElement;
  }
}
