/**
 * One message at the bottom: what was done, that somebody was first, or what was refused and the way out. Leaves after 5 s, a refusal after 10;
 * waits while it is pointed at or has focus. Emits `mc-close`.
 */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { glyph } from './glyph.ts';
import { icon } from './icon.ts';
import { emit, LightElement } from './light-element.ts';
import { button } from './parts.ts';
import './notice-bar.css';

export interface NoticeLine {
  id: number;
  kind: 'done' | 'race' | 'refused';
  text: string;
  action: { label: string; run: () => void } | null;
}

const SHOWN_MS: Record<NoticeLine['kind'], number> = { done: 5_000, race: 8_000, refused: 10_000 };

@customElement('mc-notice-bar')
export class NoticeBarElement extends LightElement {
  @property({ attribute: false }) notice: NoticeLine | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  protected override render(): TemplateResult {
    const now = this.notice;
    const refused = now?.kind === 'refused';
    return html`<div class="notices" role=${refused ? 'alert' : 'status'} aria-live=${refused ? 'assertive' : 'polite'} @pointerenter=${this.#wait} @pointerleave=${this.#count} @focusin=${this.#wait} @focusout=${this.#count}>
      ${
        now
          ? html`<div class="toast toast--${now.kind}" popover="manual">
              ${MARKS[now.kind]}<span class="grow">${now.text}</span>
              ${now.action ? button({ label: now.action.label, size: 'small', kind: 'quiet', onClick: () => this.#act(now) }) : nothing}
              ${button({ label: 'Dismiss', icon: 'x', iconOnly: true, size: 'small', kind: 'quiet', onClick: () => this.#close() })}
            </div>`
          : nothing
      }
    </div>`;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (!changed.has('notice')) return;
    // In the top layer, so that a dialog does not cover it; shown anew, so that it lies over one that opened meanwhile.
    const toast = this.querySelector<HTMLElement>('.toast');
    if (toast?.matches(':popover-open')) toast.hidePopover();
    toast?.showPopover();
    this.#count();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#wait();
  }

  #act(now: NoticeLine): void {
    this.#close();
    now.action?.run();
  }

  #close(): void {
    emit(this, 'mc-close', null);
  }

  #wait(): void {
    clearTimeout(this.#timer);
  }

  #count(): void {
    clearTimeout(this.#timer);
    if (this.notice) this.#timer = setTimeout(() => this.#close(), SHOWN_MS[this.notice.kind]);
  }
}

const MARKS = { done: glyph('tick', 'green'), race: icon('user-check', 14, 'k-amber'), refused: glyph('cross', 'red') };

declare global {
  interface HTMLElementTagNameMap {
    'mc-notice-bar': NoticeBarElement;
  }
}
