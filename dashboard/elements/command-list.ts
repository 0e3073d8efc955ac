/** The parsed command: one row per command that would run, with its verdict, the offending words underlined, and one clause that says why. */
import { html, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { CommandReading } from '../../policies/model.ts';
import { type CommandRow, layOutCommands } from './command-text.ts';
import { glyph } from './glyph.ts';
import { LightElement } from './light-element.ts';
import { seen } from './parts.ts';
import './command-list.css';

@customElement('mc-command-list')
export class CommandListElement extends LightElement {
  /** The whole line as the agent sent it; null where it is not known. */
  @property({ attribute: false }) line: string | null = null;
  @property({ attribute: false }) commands: readonly CommandReading[] = [];

  protected override render(): TemplateResult {
    return html`<ol class="cmds" aria-label="Parsed command">${layOutCommands(this.line, this.commands).map(row)}</ol>`;
  }
}

const VERDICTS = {
  allowed: { mark: glyph('tick', 'green'), word: 'allowed: ' },
  held: { mark: glyph('bars', 'amber'), word: 'held: ' },
  blocked: { mark: glyph('cross', 'red'), word: 'blocked: ' },
} as const;

function row({ reading, operator, depth, parts }: CommandRow): TemplateResult {
  const { mark, word } = VERDICTS[reading.verdict];
  const tone = reading.verdict === 'allowed' ? '' : reading.red || reading.verdict === 'blocked' ? 'cl--red' : 'cl--amber';
  return html`<li class="cl ${tone}" .style=${`--depth:${Math.min(depth, 6)}`}>
    <span class="cl-g">${mark}<span class="sr">${word}</span></span>
    <code>${operator ? html`<span class="op">${operator} </span>` : ''}${parts.map((part) => (part.offending ? html`<mark>${seen(part.text)}</mark>` : seen(part.text)))}</code>
    <span class="cl-why">${reading.why}</span>
  </li>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-command-list': CommandListElement;
  }
}
