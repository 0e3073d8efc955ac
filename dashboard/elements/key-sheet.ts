/** Every key that acts here, under its heading. */
import { html, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { LightElement } from './light-element.ts';
import './key-sheet.css';

export interface KeyLine {
  keys: string;
  label: string;
  group: string;
}

@customElement('mc-key-sheet')
export class KeySheetElement extends LightElement {
  @property({ attribute: false }) keys: readonly KeyLine[] = [];

  protected override render(): TemplateResult {
    const groups = Map.groupBy(this.keys, (line) => line.group);
    return html`${[...groups].map(
      ([group, lines]) =>
        html`<section class="ks"><h3>${group}</h3><dl>${lines.map(
          (line) => html`<div><dt>${line.label}</dt><dd>${line.keys.split(' ').map((key) => html`<kbd>${nameOf(key)}</kbd>`)}</dd></div>`,
        )}</dl></section>`,
    )}<p class="small muted">Single keys rest while a field has focus. Settings switches them off.</p>`;
  }
}

function nameOf(key: string): string {
  return key.length === 1 ? key.toUpperCase() : key[0]?.toUpperCase() + key.slice(1);
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-key-sheet': KeySheetElement;
  }
}
