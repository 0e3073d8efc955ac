/**
 * A sheet from the right with one object in full. Not a modal: the head with the emergency stop, and on a phone the tab bar, stay within reach;
 * only what lies under it is out of play. Escape closes it, focus returns to where it was. Emits `mc-close`.
 */
import { html, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { emit, LightElement } from './light-element.ts';
import { button } from './parts.ts';
import './drawer.css';

@customElement('mc-drawer')
export class DrawerElement extends LightElement {
  @property() heading = '';
  @property({ attribute: false }) content: unknown = '';
  #returnTo: Element | null = null;

  protected override render(): TemplateResult {
    return html`<div class="drawer-scrim" @click=${this.#close}></div>
      <dialog class="drawer" open aria-labelledby="${this.uid}-heading">
        <div class="modal-h">
          <h2 id="${this.uid}-heading" tabindex="-1">${this.heading}</h2>
          ${button({ label: 'Close', icon: 'x', iconOnly: true, kind: 'quiet', onClick: () => this.#close() })}
        </div>
        ${this.content}
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
    covered()?.toggleAttribute('inert', false);
    if (this.#returnTo instanceof HTMLElement && this.#returnTo.isConnected) this.#returnTo.focus();
  }

  readonly #onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && !event.defaultPrevented && !document.querySelector('dialog:modal')) this.#close();
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
