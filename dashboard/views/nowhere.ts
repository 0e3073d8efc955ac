/** An address that leads nowhere. */
import { html, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { LightElement } from '../elements/light-element.ts';

@customElement('mc-nowhere')
export class NowhereElement extends LightElement {
  protected override render(): TemplateResult {
    return html`<div class="page"><h1>There is nothing at this address</h1><p class="ink2">It may have been mistyped, or belong to a newer version. <a href="/">Go to the overview</a>.</p></div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-nowhere': NowhereElement;
  }
}
