/** The parsed command: one row per command that would run, with its verdict, the offending words underlined, and one clause that says why. A long one folds. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { CommandReading } from '../../policies/model.ts';
import { type CommandRow, layOutCommands, type TextPart } from './command-text.ts';
import { type FoldedText, foldText } from './fold-text.ts';
import { glyph } from './glyph.ts';
import { LightElement } from './light-element.ts';
import { button, seen } from './parts.ts';
import { foldMark, wholeSize } from './voice.ts';
import './command-list.css';

@customElement('mc-command-list')
export class CommandListElement extends LightElement {
  /** The whole line as the agent sent it; null where it is not known. */
  @property({ attribute: false }) line: string | null = null;
  @property({ attribute: false }) commands: readonly CommandReading[] = [];
  /** What the list is called. */
  @property() label = 'Parsed command';
  @state() private unfolded: ReadonlySet<number> = new Set();

  protected override render(): TemplateResult {
    const rows = layOutCommands(this.line, this.commands);
    return html`<ol class="cmds" aria-label=${this.label}>${rows.map((command, i) => this.#row(command, i))}</ol>`;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('line') || changed.has('commands')) this.unfolded = new Set();
  }

  #row({ reading, operator, depth, parts }: CommandRow, i: number): TemplateResult {
    const { mark, word } = VERDICTS[reading.verdict];
    const tone = reading.verdict === 'allowed' ? '' : reading.red || reading.verdict === 'blocked' ? 'cl--red' : 'cl--amber';
    const shown = parts.map((part) => ({ ...part, folded: this.unfolded.has(i) ? null : foldText(part.text, SHOWN) }));
    return html`<li class="cl ${tone}" .style=${`--depth:${Math.min(depth, 6)}`}>
      <span class="cl-g">${mark}<span class="sr">${word}</span></span>
      <span class="cl-x"><code>${operator ? html`<span class="op">${operator} </span>` : ''}${shown.map((part) => (part.offending ? html`<mark>${text(part)}</mark>` : text(part)))}</code>
      ${shown.some((part) => part.folded) ? button({ label: `Show all ${wholeSize(reading.text)}`, size: 'small', kind: 'quiet', icon: 'chevron-down', onClick: () => this.#unfold(i) }) : nothing}</span>
      <span class="cl-why">${seen(reading.why)}</span>
    </li>`;
  }

  #unfold(i: number): void {
    this.unfolded = new Set([...this.unfolded, i]);
  }
}

/** Per stretch of a command: what caused the hold and what surrounds it are folded apart, so that the fold never hides which words they are. */
const SHOWN = { lines: 12, characters: 900 };

function text({ text, folded }: TextPart & { folded: FoldedText | null }): unknown {
  return folded ? html`${seen(folded.head)}${foldMark(folded.hidden)}${seen(folded.tail)}` : seen(text);
}

const VERDICTS = {
  allowed: { mark: glyph('tick', 'green'), word: 'allowed: ' },
  held: { mark: glyph('bars', 'amber'), word: 'held: ' },
  blocked: { mark: glyph('cross', 'red'), word: 'blocked: ' },
} as const;

declare global {
  interface HTMLElementTagNameMap {
    'mc-command-list': CommandListElement;
  }
}
