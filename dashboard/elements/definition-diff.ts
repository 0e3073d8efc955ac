/**
 * What is different in the definition of a tool, for the person who accepts it: part by part, the words that went struck out in red and
 * those that came in green, each in its own row. The words are the server's own, so they are shown as text and what would hide has a name.
 */
import { diffWordsWithSpace } from 'diff';
import { html, nothing, type TemplateResult } from 'lit';
import type { UpstreamTool } from '../../control/contract.ts';
import { seen } from './parts.ts';
import './definition-diff.css';

/** A stretch of a text: in both, only before, only after. */
export interface Stretch {
  kind: 'same' | 'gone' | 'came';
  text: string;
}

/** More text than this is shown whole, before and after, without looking for the words. */
const MAX_COMPARED = 20_000;

/** The rows of a difference. One that only came (a new tool) has no "before". */
export function definitionDiff(diff: UpstreamTool['diff']): TemplateResult {
  return html`<dl class="dd">${diff.map(
    ({ path, before, after }) => html`<dt><code>${seen(path || 'definition')}</code></dt>
      <dd>
        ${before === null ? nothing : side('gone', before, after)} ${after === null ? html`<p class="small m-red">removed</p>` : side('came', before, after)}
      </dd>`,
  )}</dl>`;
}

function side(kind: 'gone' | 'came', before: string | null, after: string | null): TemplateResult {
  const stretches = compareTexts(before ?? '', after ?? '').filter((stretch) => stretch.kind === 'same' || stretch.kind === kind);
  return html`<p class="dd-side dd-side--${kind}"><span class="sr">${kind === 'gone' ? 'Before: ' : 'Now: '}</span><span class="dd-sign" aria-hidden="true">${kind === 'gone' ? '−' : '+'}</span><span class="dd-text">${stretches.map(
    (stretch) =>
      stretch.kind === 'same'
        ? seen(stretch.text)
        : stretch.kind === 'gone'
          ? html`<del>${seen(stretch.text)}</del>`
          : html`<ins>${seen(stretch.text)}</ins>`,
  )}</span></p>`;
}

/** Two texts as one row of stretches, word by word. Pure. */
export function compareTexts(before: string, after: string): Stretch[] {
  if (before.length + after.length > MAX_COMPARED) return whole(before, after);
  return diffWordsWithSpace(before, after).map(({ added, removed, value }) => ({
    kind: added ? 'came' : removed ? 'gone' : 'same',
    text: value,
  }));
}

function whole(before: string, after: string): Stretch[] {
  const stretches: Stretch[] = [
    { kind: 'gone', text: before },
    { kind: 'came', text: after },
  ];
  return stretches.filter(({ text }) => text !== '');
}
