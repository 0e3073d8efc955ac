/** The line icons (Lucide, ISC), drawn inline so that they take the colour of their text. Always beside a word or a label, so hidden themselves. */
import { html, type TemplateResult } from 'lit';
import { unsafeSVG } from 'lit/directives/unsafe-svg.js';

const FILES = import.meta.glob<string>('../icons/*.svg', { query: '?raw', import: 'default', eager: true });

/** Our own files, read at build time: the only markup that is ever taken as markup. */
const SHAPES = new Map(Object.entries(FILES).map(([path, file]) => [nameOf(path), shapesOf(file)]));

export type IconName =
  | 'activity'
  | 'arrow-right'
  | 'ban'
  | 'bot'
  | 'chevron-down'
  | 'chevron-up'
  | 'circle-pause'
  | 'circle-stop'
  | 'circle-dollar-sign'
  | 'copy'
  | 'corner-down-right'
  | 'download'
  | 'fingerprint'
  | 'git-branch'
  | 'hourglass'
  | 'info'
  | 'key-round'
  | 'list-filter'
  | 'message-square'
  | 'octagon-minus'
  | 'octagon-x'
  | 'pause'
  | 'pencil'
  | 'play'
  | 'plus'
  | 'rotate-ccw'
  | 'rotate-cw'
  | 'shield-alert'
  | 'shield-check'
  | 'search'
  | 'square-kanban'
  | 'table'
  | 'triangle-alert'
  | 'unplug'
  | 'user-check'
  | 'x';

/** An icon of so many pixels; `tone` is a class such as `k-red`. */
export function icon(name: IconName, size = 14, tone = ''): TemplateResult {
  return html`<svg width=${size} height=${size} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" class=${tone}>${unsafeSVG(SHAPES.get(name))}</svg>`;
}

/** The product's own mark: two brackets around a pause. */
export function brandMark(size = 18): TemplateResult {
  return html`<svg width=${size} height=${size} viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d="M6.5 2H4a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h2.5M13.5 2H16a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-2.5" /><path d="M7.5 6.5v7M12.5 6.5v7" /></svg>`;
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1, -'.svg'.length);
}

function shapesOf(file: string): string {
  return file.slice(file.indexOf('>', file.indexOf('<svg')) + 1, file.lastIndexOf('</svg>')).trim();
}
