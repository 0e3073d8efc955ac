/**
 * The small parts that every view is made of, as templates: button with its reason, key hint, chip of time, meter, empty and failed states.
 * A control that cannot be used stays in its place, is said to be disabled, and has its reason beside it (DESIGN, button).
 */
import { html, nothing, type TemplateResult } from 'lit';
import { ifDefined } from 'lit/directives/if-defined.js';
import { age, capMoney, clock, fullTime, money } from '../words.ts';
import { type IconName, icon } from './icon.ts';
import { meterTone } from './money-tone.ts';
import { splitVisible, toLine } from './visible-text.ts';

/* ---------------------------------------------------------------- buttons */

export interface ButtonOptions {
  /** Verb and object. */
  label: string;
  onClick: (event: Event) => void;
  /** `go` does what the view is for, `deny` refuses, `quiet` stands back. */
  kind?: 'go' | 'deny' | 'quiet' | 'plain';
  size?: 'small' | 'large' | 'normal';
  icon?: IconName;
  /** Only the icon is seen; the label is its name. */
  iconOnly?: boolean;
  /** The key that does the same, shown and announced. */
  key?: string;
  /** The verb in -ing while it is being done; the width stays. */
  busy?: string | null;
  /** Why it cannot be used; then it is disabled. */
  reason?: string | null;
  /** What a press does all the same, e.g. say the reason where there is no room to show it. */
  onRefused?: () => void;
  /** Id of the element that shows the reason. */
  reasonId?: string;
  block?: boolean;
  pressed?: boolean;
  type?: 'button' | 'submit';
}

export function button(options: ButtonOptions): TemplateResult {
  const { label, onClick, kind = 'plain', size = 'normal', key, busy = null, reason = null } = options;
  const classes = [
    'btn',
    kind === 'plain' ? '' : `btn--${kind}`,
    size === 'small' ? 'btn--s' : size === 'large' ? 'btn--l' : '',
    options.block ? 'btn--block' : '',
    options.iconOnly ? 'btn--icon' : '',
  ].join(' ');
  const disabled = reason !== null || busy !== null;
  return html`<button
    type=${options.type ?? 'button'}
    class=${classes}
    aria-label=${ifDefined(options.iconOnly ? label : undefined)}
    title=${ifDefined(options.iconOnly ? label : undefined)}
    aria-disabled=${ifDefined(disabled ? 'true' : undefined)}
    aria-busy=${ifDefined(busy !== null ? 'true' : undefined)}
    aria-pressed=${ifDefined(options.pressed === undefined ? undefined : String(options.pressed))}
    aria-describedby=${ifDefined(reason !== null ? options.reasonId : undefined)}
    aria-keyshortcuts=${ifDefined(key)}
    @click=${(event: Event) => {
      if (!disabled) return onClick(event);
      event.preventDefault();
      if (busy === null) options.onRefused?.();
    }}
  >
    ${
      busy === null
        ? html`${options.icon ? icon(options.icon, options.size === 'small' ? 12 : 14) : nothing}${options.iconOnly ? nothing : html`<span>${label}</span>`}${key && !options.iconOnly ? keyHint(key) : nothing}`
        : html`<span class="btn-was" aria-hidden="true">${options.icon ? icon(options.icon) : nothing}${label}${key ? keyHint(key) : nothing}</span><span class="btn-busy"><span class="spin"></span>${busy}</span>`
    }
  </button>`;
}

/** Why a control beside it is disabled. */
export function why(text: string | null, id: string): TemplateResult | typeof nothing {
  return text === null ? nothing : html`<p class="why" id=${id}>${icon('info', 12)}<span>${text}</span></p>`;
}

export function keyHint(key: string): TemplateResult {
  return html`<kbd aria-hidden="true">${key}</kbd>`;
}

/* ---------------------------------------------------------------- text */

/** Text of an agent or of the outside inside our own line: as it came, with what would hide shown by name. */
export function seen(text: string): unknown {
  return splitVisible(text).map((piece) =>
    typeof piece === 'string' ? piece : html`<span class="hidden-char" title=${piece.code}>${piece.name}</span>`,
  );
}

/** The same where there is little room: it may wrap behind what joins the parts of a path, an address or a name, not in their midst. */
export function seenWrapped(text: string): unknown {
  return text.split(/(?<=[/.?&=_])(?=[^\s/.?&=_])/).map((part, i) => (i === 0 ? seen(part) : html`<wbr>${seen(part)}`));
}

/** The same on one line that may be cut; the whole of it is in the title. */
export function seenLine(text: string): TemplateResult {
  const whole = toLine(text);
  return html`<span class="cut" title=${whole}>${seen(text.replace(/[\n\t\r ]+/g, ' '))}</span>`;
}

/** A moment as clock time, the whole of it in the title. */
export function moment(at: number, text = clock(at)): TemplateResult {
  return html`<time datetime=${new Date(at).toISOString()} title=${fullTime(at)}>${text}</time>`;
}

/** A moment as its age. */
export function ago(at: number | null, now: number): TemplateResult | string {
  return at === null ? 'never' : html`${moment(at, age(now - at))} ago`;
}

/* ---------------------------------------------------------------- money */

/** Spent against a cap; nothing is drawn where there is no cap. */
export function meter(spent: number, cap: number | null): TemplateResult | typeof nothing {
  if (cap === null) return nothing;
  const share = cap === 0 ? 1 : Math.min(1, spent / cap);
  const tone = meterTone(spent, cap);
  return html`<span class="meter ${tone ? `meter--${tone}` : ''}"><i .style=${`width:${(share * 100).toFixed(1)}%`}></i></span>`;
}

/** "$9.84 of $12". */
export function spentOf(spent: number, cap: number | null, uncapped = 'no cap'): TemplateResult {
  return html`<span class="nb"><b class="b">${money(spent, cap)}</b>${cap === null ? html` <span class="muted">${uncapped}</span>` : html` <span class="muted">of ${capMoney(cap)}</span>`}</span>`;
}

/* ---------------------------------------------------------------- states of a list */

/** Nothing is here; says what would be. */
export function empty(title: string, text: unknown): TemplateResult {
  return html`<div class="empty"><b>${title}</b><span>${text}</span></div>`;
}

/** It could not be read: what failed, what still works, and the way on. */
export function failed(title: string, text: string, retry: () => void): TemplateResult {
  return html`<div class="empty" role="alert"><b class="m-red">${title}</b><span>${text}</span>${button({ label: 'Try again', size: 'small', onClick: retry })}</div>`;
}

/** Rows that are being fetched. */
export function skeleton(rows = 4): TemplateResult {
  return html`<div class="skels" role="status" aria-label="Loading">${Array.from({ length: rows }, (_, i) => html`<span class="skel skel--${i % 3}"></span>`)}</div>`;
}

/** A switch between a few views of the same list. */
export function choice<T extends string>(
  name: string,
  options: readonly { value: T; label: string; count?: number | undefined }[],
  chosen: T,
  onChoose: (value: T) => void,
): TemplateResult {
  return html`<div class="seg" role="group" aria-label=${name}>${options.map(
    (option) =>
      html`<button type="button" aria-pressed=${option.value === chosen} @click=${() => onChoose(option.value)}>${option.label}${option.count === undefined ? nothing : html` <span class="n">${option.count}</span>`}</button>`,
  )}</div>`;
}
