/** How old the picture is, always in view: live under 2 s, amber to 15 s, offline beyond. A word and a shape, never colour alone. */
import { html, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { age, dataAge } from '../words.ts';
import { LightElement } from './light-element.ts';
import './data-age.css';

@customElement('mc-data-age')
export class DataAgeElement extends LightElement {
  @property({ attribute: false }) state: 'starting' | 'live' | 'old' | 'offline' = 'starting';
  @property({ attribute: false }) ageMs = 0;

  protected override render(): TemplateResult {
    switch (this.state) {
      case 'starting':
        return html`<span class="live live--stale"></span><span class="muted">Connecting</span>`;
      case 'live':
        return html`<span class="live"></span><span>Live <span class="muted">${dataAge(this.ageMs)}</span></span>`;
      case 'old':
        return html`<span class="live live--stale"></span><b class="m-amber">${age(this.ageMs)} old</b>`;
      case 'offline':
        return html`<span class="live live--lost"></span><span class="m-red"><b>Offline</b> ${this.ageMs > 0 ? `data ${age(this.ageMs)} old` : ''}</span>`;
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-data-age': DataAgeElement;
  }
}
