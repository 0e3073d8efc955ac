/** What one policy document changes against another, by path: what was said, what is said now. Pure. */
import { html, nothing, type TemplateResult } from 'lit';
import { empty } from './parts.ts';
import './document-changes.css';

export interface DocumentChange {
  path: string;
  before?: unknown;
  after?: unknown;
}

export function documentChanges(changes: readonly DocumentChange[]): TemplateResult {
  if (changes.length === 0) return empty('Nothing differs', 'The two say the same; only comments or order may be other.');
  return html`<div class="dc scroll" tabindex="0" role="region" aria-label="Differences"><ul>${changes.map(
    ({ path, before, after }) =>
      html`<li><code class="b">${path}</code>${before === undefined ? nothing : html`<code class="dc-gone"><span class="sr">before: </span>${textOf(before)}</code>`}${after === undefined ? nothing : html`<code class="dc-came"><span class="sr">now: </span>${textOf(after)}</code>`}</li>`,
  )}</ul></div>`;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
