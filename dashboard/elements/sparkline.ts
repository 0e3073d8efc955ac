/**
 * A few figures over time in the space of a word, against the line of their cap: a hint of the shape, no more. What it shows is said in its
 * label, and the figures themselves stand elsewhere.
 */
import { html, nothing, svg, type TemplateResult } from 'lit';
import './sparkline.css';

const [WIDTH, HEIGHT] = [84, 22];
/** Kept free above the highest and below the lowest point, so that no line is cut. */
const MARGIN = 2;

/**
 * @param values oldest first, none below 0
 * @param cap its line, and the least that the top stands for; null = the highest value is the top
 * @param label the finding in one sentence
 */
export function sparkline(values: readonly number[], cap: number | null, label: string): TemplateResult {
  const top = Math.max(cap ?? 0, ...values);
  const x = (i: number) => MARGIN + (values.length < 2 ? 0 : i / (values.length - 1)) * (WIDTH - 2 * MARGIN);
  const y = (value: number) => HEIGHT - MARGIN - (top === 0 ? 0 : value / top) * (HEIGHT - 2 * MARGIN);
  const points = values.map((value, i) => `${x(i).toFixed(1)} ${y(value).toFixed(1)}`);
  const last = values.at(-1) ?? 0;
  return html`<svg class="spark" viewBox="0 0 ${WIDTH} ${HEIGHT}" width=${WIDTH} height=${HEIGHT} role="img" aria-label=${label}>
    ${cap === null ? nothing : svg`<path class="spark-cap" d="M${MARGIN} ${y(cap)}H${WIDTH - MARGIN}" />`}
    ${points.length < 2 ? nothing : svg`<path class="spark-area" d="M${points.join('L')}V${HEIGHT - MARGIN}H${MARGIN}Z" /><path class="spark-line" d="M${points.join('L')}" />`}
    <circle class="spark-now" cx=${x(Math.max(0, values.length - 1))} cy=${y(last)} r="1.8" />
  </svg>`;
}
