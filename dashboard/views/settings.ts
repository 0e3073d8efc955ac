import { html } from 'lit';
import { customElement } from 'lit/decorators.js';
import { LightElement } from '../elements/light-element.ts';
@customElement('mc-settings')
export class E extends LightElement {
  protected override render() {
    return html`<h1>settings</h1>`;
  }
}
