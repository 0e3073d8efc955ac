/**
 * A dialog over the page: the browser's own, so focus stays inside, Escape closes it, and focus returns to where it was.
 * On a phone it is a sheet from below. Its content is given as a template; emits `mc-close` when it was closed.
 */
import { html, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { emit, LightElement } from './light-element.ts';
import { button } from './parts.ts';
import './modal.css';

@customElement('mc-modal')
export class ModalElement extends LightElement {
  @property() heading = '';
  @property({ attribute: false }) content: unknown = '';
  #returnTo: Element | null = null;

  protected override render(): TemplateResult {
    return html`<dialog class="modal" aria-labelledby="${this.uid}-heading" @close=${() => emit(this, 'mc-close', null)} @click=${this.#onScrim}>
      <div class="modal-in">
        <div class="modal-h">
          <h2 id="${this.uid}-heading" tabindex="-1">${this.heading}</h2>
          ${button({ label: 'Close', icon: 'x', iconOnly: true, kind: 'quiet', onClick: () => this.#dialog()?.close() })}
        </div>
        ${this.content}
      </div>
    </dialog>`;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.#returnTo = document.activeElement;
  }

  protected override firstUpdated(): void {
    this.#dialog()?.showModal();
    // At once, so that no key that is typed meanwhile goes astray; the content may also be an element that draws itself a moment later.
    if (!this.#focusField()) requestAnimationFrame(() => this.#focusField());
  }

  #focusField(): boolean {
    const field = this.querySelector<HTMLElement>('[data-focus]');
    field?.focus();
    return field !== null;
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    if (this.#returnTo instanceof HTMLElement && this.#returnTo.isConnected) this.#returnTo.focus();
  }

  /** A click beside the content closes it. */
  #onScrim(event: MouseEvent): void {
    if (event.target === this.#dialog()) this.#dialog()?.close();
  }

  #dialog(): HTMLDialogElement | null {
    return this.querySelector('dialog');
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-modal': ModalElement;
  }
}
