/** A row of tabs by the usual rules: one of them can be reached with Tab, the arrow keys go along, Home and End to its ends. */
import { html, nothing, type TemplateResult } from 'lit';
import './tabs.css';

export interface TabOption<T extends string> {
  value: T;
  label: string;
  badge?: unknown;
}

/** @param id prefix; the panel is `{id}-panel` and is labelled by `{id}-{value}`. */
export function tabs<T extends string>(
  name: string,
  options: readonly TabOption<T>[],
  chosen: T,
  onChoose: (value: T) => void,
  id: string,
): TemplateResult {
  const onKey = (event: KeyboardEvent) => {
    const focused = event.target instanceof Element ? event.target.id : '';
    const at = options.findIndex((option) => focused === `${id}-${option.value}`);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: options.length - 1 }[event.key];
    const next = to === undefined ? undefined : options[(to + options.length) % options.length];
    if (!next) return;
    event.preventDefault();
    onChoose(next.value);
    const row = event.currentTarget;
    if (row instanceof HTMLElement) row.querySelector<HTMLElement>(`#${CSS.escape(`${id}-${next.value}`)}`)?.focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${name} @keydown=${onKey}>${options.map(
    (option) =>
      html`<button type="button" role="tab" id="${id}-${option.value}" aria-selected=${option.value === chosen} aria-controls=${option.value === chosen ? `${id}-panel` : nothing} tabindex=${option.value === chosen ? '0' : '-1'} @click=${() => onChoose(option.value)}>${option.label}${option.badge ?? nothing}</button>`,
  )}</div>`;
}
