/**
 * The base of all elements and views: they draw into the page itself, not into a shadow root. One document, one style sheet, ARIA references
 * that work across parts, text that find-in-page and print can see, and no shadow root per row of a long list.
 */
import { LitElement } from 'lit';

let made = 0;

export class LightElement extends LitElement {
  /** Prefix for ids inside this element, so that two of a kind on one page never share one. */
  protected readonly uid = `mc${++made}`;

  protected override createRenderRoot(): HTMLElement {
    return this;
  }
}

/** Tells the parent what the person did. Bubbles, so that a view can listen once for many rows. */
export function emit<T>(element: HTMLElement, name: string, detail: T): void {
  element.dispatchEvent(new CustomEvent<T>(name, { detail, bubbles: true }));
}
