/**
 * Spend over days as layers: the dearest at the bottom in the darkest blue, names at the right end, the cap as a dashed line with its name.
 * What belongs to nobody is hatched. The same figures stand in a table beside it; the chart itself is said in one sentence.
 */
import { html, nothing, svg, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { capMoney, money } from '../words.ts';
import { axisOf, type Series, stack } from './chart-scale.ts';
import { LightElement } from './light-element.ts';
import './area-chart.css';

const HEIGHT = 280;
/** Narrower than this the drawing is scaled down. */
const MIN_WIDTH = 420;
const [LEFT, RIGHT, TOP, BOTTOM] = [44, 128, 10, 24];
const FILLS = ['var(--c1)', 'var(--c2)', 'var(--c3)', 'var(--c4)', 'var(--c5)'];

@customElement('mc-area-chart')
export class AreaChartElement extends LightElement {
  @property({ attribute: false }) days: readonly string[] = [];
  @property({ attribute: false }) series: readonly Series[] = [];
  @property({ attribute: false }) cap: number | null = null;
  /** The finding, in one sentence. */
  @property() label = '';
  @state() private hovered: number | null = null;
  /** The room there is, px: drawn as wide as it is shown, so that its words are as large as all others. */
  @state() private width = 920;
  readonly #room = new ResizeObserver(([entry]) => {
    if (entry && entry.contentRect.width > 0) this.width = Math.max(MIN_WIDTH, Math.round(entry.contentRect.width));
  });

  override connectedCallback(): void {
    super.connectedCallback();
    this.#room.observe(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#room.disconnect();
  }

  protected override render(): TemplateResult {
    const { width } = this;
    const layers = stack(this.series);
    const totals = this.days.map((_, i) => layers.at(-1)?.high[i] ?? 0);
    const axis = axisOf(Math.max(this.cap ?? 0, ...totals));
    const x = (i: number) => LEFT + (this.days.length < 2 ? 0.5 : i / (this.days.length - 1)) * (width - LEFT - RIGHT);
    const y = (value: number) => HEIGHT - BOTTOM - (value / axis[3]) * (HEIGHT - TOP - BOTTOM);
    const last = this.days.length - 1;
    const names = spread(
      layers.map(({ low, high }) => y(((low[last] ?? 0) + (high[last] ?? 0)) / 2)),
      15,
    );
    const every = Math.max(1, Math.ceil(this.days.length / 12));
    return html`<div class="ac">
      <svg viewBox="0 0 ${width} ${HEIGHT}" role="img" aria-label=${this.label} @pointermove=${this.#over} @pointerleave=${this.#out}>
        <defs><pattern id="${this.uid}-hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="var(--panel)" /><path d="M0 0v6" stroke="var(--c-hatch)" stroke-width="3" /></pattern></defs>
        ${axis.map((value) => svg`<path d="M${LEFT} ${y(value)}H${width - RIGHT}" stroke="var(--line)" /><text x=${LEFT - 8} y=${y(value) + 4} text-anchor="end">${capMoney(value)}</text>`)}
        ${layers.map(({ low, high }, i) => {
          const series = this.series[i];
          const fill =
            series?.kind === 'none' ? `url(#${this.uid}-hatch)` : series?.kind === 'rest' ? 'var(--c6)' : (FILLS[i] ?? 'var(--c6)');
          // One day alone is a bar.
          const points =
            this.days.length === 1
              ? `M${x(0) - 40} ${y(low[0] ?? 0)}V${y(high[0] ?? 0)}H${x(0) + 40}V${y(low[0] ?? 0)}Z`
              : `M${high.map((value, day) => `${x(day)} ${y(value)}`).join('L')}L${low
                  .map((value, day) => `${x(day)} ${y(value)}`)
                  .reverse()
                  .join('L')}Z`;
          return svg`<path d=${points} fill=${fill} stroke="var(--panel)" stroke-width="1" />`;
        })}
        ${this.cap === null ? nothing : svg`<path d="M${LEFT} ${y(this.cap)}H${width - RIGHT}" stroke="var(--ink-2)" stroke-dasharray="4 3" /><text x=${LEFT + 6} y=${y(this.cap) + 14}>fleet cap ${capMoney(this.cap)} a day</text>`}
        ${this.series.map((series, i) => svg`<text class="ac-name" x=${width - RIGHT + 8} y=${(names[i] ?? 0) + 4}>${short(series.name)}</text>`)}
        ${this.days.map((day, i) => (i % every === 0 || i === last ? svg`<text class=${i === last ? 'ac-now' : ''} x=${x(i)} y=${HEIGHT - 6} text-anchor="middle">${i === last ? 'today' : dayName(day, i === 0)}</text>` : nothing))}
        ${this.hovered === null ? nothing : svg`<path d="M${x(this.hovered)} ${TOP}V${HEIGHT - BOTTOM}" stroke="var(--ink)" stroke-dasharray="2 3" />`}
      </svg>
      ${this.hovered === null ? nothing : this.#box(this.hovered, x(this.hovered) / width, totals)}
    </div>`;
  }

  #box(i: number, at: number, totals: readonly number[]): TemplateResult {
    const rows = this.series.map((series) => ({ name: series.name, value: series.values[i] ?? 0 })).filter(({ value }) => value > 0);
    return html`<div class="ac-box" .style=${at > 0.5 ? `right:${(1 - at) * 100 + 1}%` : `left:${at * 100 + 1}%`}>
      <p><b>${dayName(this.days[i] ?? '', true)}</b><b>${money(totals[i] ?? 0)}</b></p>
      ${[...rows].reverse().map(({ name, value }) => html`<p><span>${name}</span><span>${money(value)}</span></p>`)}
    </div>`;
  }

  readonly #over = (event: PointerEvent): void => {
    const drawing = event.currentTarget;
    if (!(drawing instanceof Element)) return;
    const box = drawing.getBoundingClientRect();
    const at = (((event.clientX - box.left) / box.width) * this.width - LEFT) / (this.width - LEFT - RIGHT);
    const index = Math.round(at * (this.days.length - 1));
    this.hovered = index >= 0 && index < this.days.length ? index : null;
  };

  readonly #out = (): void => {
    this.hovered = null;
  };
}

/** Heights at least so far apart, in the same order (the first is the lowest on the page). */
function spread(heights: readonly number[], apart: number): number[] {
  const placed: number[] = [];
  for (const height of heights) placed.push(Math.min(height, (placed.at(-1) ?? Number.POSITIVE_INFINITY) - apart));
  return placed;
}

function short(name: string): string {
  return name.length > 18 ? `${name.slice(0, 17)}…` : name;
}

function dayName(day: string, withMonth: boolean): string {
  const date = new Date(`${day}T12:00:00Z`);
  if (Number.isNaN(date.getTime())) return day;
  return withMonth ? date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' }) : String(date.getUTCDate());
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-area-chart': AreaChartElement;
  }
}
