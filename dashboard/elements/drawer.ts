/**
 * A sheet from the right with one object in full. Not a modal: the head with the emergency stop, and on a phone the tab bar, stay within reach;
 * only what lies under it is out of play. Escape closes it, focus returns to where it was. Emits `mc-close`.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { emit, LightElement } from './light-element.ts';
import { button } from './parts.ts';
import './drawer.css';

@customElement('mc-drawer')
export class DrawerElement extends LightElement {
  @property() heading = '';
  /** Stands above the heading. */
  @property({ attribute: false }) above: unknown = '';
  @property({ attribute: false }) content: unknown = '';
  /** Stays at the bottom while the content scrolls. */
  @property({ attribute: false }) footer: unknown = null;
  #returnTo: Element | null = null;

  protected override render(): TemplateResult {
    return html`<div class="drawer-scrim" @click=${this.#close}></div>
      <dialog class="drawer ${this.footer === null ? '' : 'drawer--footed'}" open aria-labelledby="${this.uid}-heading">
        ${this.above}
        <div class="modal-h">
          <h2 id="${this.uid}-heading" tabindex="-1">${this.heading}</h2>
          ${button({ label: 'Close', icon: 'x', iconOnly: true, kind: 'quiet', onClick: () => this.#close() })}
        </div>
        ${this.content}
        ${this.footer === null ? nothing : html`<div class="drawer-f">${this.footer}</div>`}
      </dialog>`;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#returnTo = document.activeElement;
    document.addEventListener('keydown', this.#onKey);
    covered()?.toggleAttribute('inert', true);
  }

  protected override firstUpdated(): void {
    this.querySelector<HTMLElement>('h2')?.focus();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    document.removeEventListener('keydown', this.#onKey);
    covered()?.toggleAttribute('inert', document.querySelector('mc-drawer') !== null);
    if (this.#returnTo instanceof HTMLElement && this.#returnTo.isConnected) this.#returnTo.focus();
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog:modal')) return;
    // Of two, the upper one closes.
    if ([...document.querySelectorAll('mc-drawer')].at(-1) !== this) return;
    event.preventDefault();
    this.#close();
  };

  #close(): void {
    emit(this, 'mc-close', null);
  }
}

/** What lies under the drawer. */
function covered(): HTMLElement | null {
  return document.getElementById('main');
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-drawer': DrawerElement;
  }
}
