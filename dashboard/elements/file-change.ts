/**
 * A file that a held call would write: the lines that go and come, with what is not known said in words. The lines are the agent's own,
 * so they are text and what would hide has a name; a long change shows its beginning and its end until it is unfolded.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { count } from '../words.ts';
import { type ChangedLine, type FileChange, sizeOf } from './change-text.ts';
import { LightElement } from './light-element.ts';
import { button, seen } from './parts.ts';
import './file-change.css';

const SHOWN_LINES = 24;
const SHOWN_AT_END = 6;

@customElement('mc-file-change')
export class FileChangeElement extends LightElement {
  @property({ attribute: false }) change: FileChange | null = null;
  @state() private unfolded = false;

  protected override render(): TemplateResult | typeof nothing {
    const change = this.change;
    if (!change) return nothing;
    const { came, gone } = sizeOf(change);
    const folded = !this.unfolded && change.lines.length > SHOWN_LINES;
    const end = change.lines.length - SHOWN_AT_END;
    return html`<figure class="fc">
      <figcaption class="fc-h">
        <span class="grow">${ACTIONS[change.action]} <code>${seen(change.path ?? 'a file that is not named')}</code>${change.movedTo === null ? nothing : html` to <code>${seen(change.movedTo)}</code>`}</span>
        <span class="nb"><span class="m-green">+${count(came)}</span> <span class="m-red">−${count(gone)}</span></span>
      </figcaption>
      ${notesOn(change).map((note) => html`<p class="fc-note">${note}</p>`)}
      ${
        folded
          ? html`${lines(change.lines.slice(0, SHOWN_LINES - SHOWN_AT_END))}
            <div class="fc-fold">${button({ label: `Show all ${count(change.lines.length)} lines`, size: 'small', kind: 'quiet', icon: 'chevron-down', onClick: this.#unfold })}</div>
            ${lines(change.lines.slice(end))}`
          : lines(change.lines)
      }
    </figure>`;
  }

  #unfold = (): void => {
    this.unfolded = true;
  };
}

const ACTIONS: Record<FileChange['action'], string> = {
  write: 'Writes the whole of',
  edit: 'Changes',
  add: 'Creates',
  delete: 'Deletes',
  move: 'Changes and moves',
};

function notesOn(change: FileChange): string[] {
  return [
    change.action === 'write' && change.oldUnknown
      ? 'What stands there now is not known here: a file of this name would be replaced by these lines.'
      : '',
    change.action === 'delete' ? 'What stands there now is not known here; all of it goes.' : '',
    change.everywhere ? 'Every place where the old text stands is replaced.' : '',
    change.lines.length === 0 && change.action !== 'delete' ? 'It would be empty.' : '',
  ].filter((note) => note !== '');
}

function lines(shown: readonly ChangedLine[]): TemplateResult {
  return html`<div class="fc-lines">${shown.map(
    ({ kind, text }) =>
      html`<div class="fc-l fc-l--${kind}"><span class="fc-sign" aria-hidden="true">${SIGNS[kind]}</span><span class="sr">${SPOKEN[kind]}</span><code>${seen(text)}</code></div>`,
  )}</div>`;
}

const SIGNS: Record<ChangedLine['kind'], string> = { same: '', gone: '−', came: '+', gap: '@' };
const SPOKEN: Record<ChangedLine['kind'], string> = { same: '', gone: 'goes: ', came: 'comes: ', gap: 'place: ' };

declare global {
  interface HTMLElementTagNameMap {
    'mc-file-change': FileChangeElement;
  }
}
