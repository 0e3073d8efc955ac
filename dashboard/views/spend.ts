/**
 * What was spent on what, and where it is heading: the day against its cap with a forecast, two weeks in layers by agent, task or model, what
 * was dear today, whose cap is reached next, and the share that belongs to no task. Every figure is the server's; nothing is guessed here.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, svg, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { Forecast, SpendRow, SpendView } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import '../elements/area-chart.ts';
import { daysBetween, largest, type Series } from '../elements/chart-scale.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, choice, empty, failed, meter, moment, seenLine, skeleton } from '../elements/parts.ts';
import { overview } from '../store.ts';
import { isPhone } from '../viewport.ts';
import { callMoney, capMoney, clockMinutes, count, money, monthName, plural } from '../words.ts';
import './spend.css';

const DAY_MS = 86_400_000;
const BY = ['agent', 'task', 'model', 'tool'] as const;
type By = (typeof BY)[number];
const BY_WORDS: Record<By, string> = { agent: 'Agent', task: 'Task', model: 'Model', tool: 'Tool' };
const SPANS = ['1', '14', '90'] as const;
type Span = (typeof SPANS)[number];
const SPAN_WORDS: Record<Span, string> = { '1': 'Today', '14': '14 days', '90': '90 days' };
const NAMED = 5;
/** The promise: at most so much of the cost belongs to no task (SPEC 3). */
const UNATTRIBUTED_SHARE = 0.05;
const REFRESH_MS = 15_000;

@customElement('mc-spend')
export class SpendElement extends SignalWatcher(LightElement) {
  @state() private by: By = 'agent';
  @state() private span: Span = '14';
  /** The names in the chart are too small to read on a phone. */
  @state() private asTable = isPhone.get();
  @state() private forecast: Forecast | null = null;
  @state() private layers: SpendView | null = null;
  @state() private today: SpendView | null = null;
  @state() private failure: string | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #asked = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
    this.#timer = setInterval(() => void this.#read(), REFRESH_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  protected override render(): TemplateResult {
    const { forecast, layers, today } = this;
    if (!forecast || !layers || !today)
      return this.failure === null
        ? skeleton(8)
        : failed('The spend could not be read', `${this.failure} The gate still counts.`, () => void this.#read());
    return html`<div class="sp scroll" tabindex="0" role="region" aria-label="Spend">
      <h1 class="sr">Spend</h1>
      ${this.failure === null ? nothing : html`<p class="note sp-note">${icon('triangle-alert', 14, 'k-amber')}<span>These figures are of before: ${this.failure}</span></p>`}
      ${this.#figures(forecast, layers)}
      ${this.#over(layers)}
      ${burnDown(forecast)}
      ${dear(today)}
      ${next(forecast)}
    </div>`;
  }

  #figures({ fleet, month, dayEndsAt }: Forecast, layers: SpendView): TemplateResult {
    const { share, cost } = layers.unattributed;
    const query = new URLSearchParams({ format: 'csv', since: String(layers.since), until: String(layers.until) });
    return html`<div class="sp-k">
      <dl>
        ${figure('Today', money(fleet.spent, fleet.cap), fleet.cap === null ? 'no fleet cap' : `cap ${capMoney(fleet.cap)}`)}
        ${figure(`Forecast at ${clockMinutes(dayEndsAt)}`, money(fleet.projected), `${money(fleet.ratePerHour)} in the last hour`)}
        ${figure(SPAN_WORDS[this.span], money(layers.total.cost), plural(layers.total.calls, 'priced call'))}
        ${figure(monthName(month.name), money(month.spent), `${money(month.perDay)} a day, ${money(month.projected)} at its end`)}
        ${figure('Unattributed', `${(share * 100).toFixed(1)} %`, share > UNATTRIBUTED_SHARE ? html`<span class="m-amber">${money(cost)}; more than 5 % belong to no task</span>` : `${money(cost)}; promise: at most 5 %`)}
      </dl>
      <div class="sp-c">
        ${choice(
          'Time',
          SPANS.map((value) => ({ value, label: SPAN_WORDS[value] })),
          this.span,
          (value) => this.#choose(this.by, value),
        )}
        <a class="btn" href="/api/spend/export?${query}" download="spend.csv">${icon('download')}Export CSV</a>
      </div>
    </div>`;
  }

  #over(layers: SpendView): TemplateResult {
    const { days, series } = seriesOf(layers, this.by);
    const shown = largest(series, NAMED);
    const [dearest] = shown;
    const cap = overview.get()?.fleetCap ?? null;
    const label = dearest
      ? `Spend by ${this.by} over ${plural(days.length, 'day')}: ${money(layers.total.cost)} in all, most by ${dearest.name}, ${money(dearest.values.reduce((sum, value) => sum + value, 0))}.`
      : 'Nothing was spent.';
    return html`<section class="panel sp-o">
      <div class="panel-h"><h2 class="grow">Spend by ${this.by}</h2>${choice(
        'By',
        BY.map((value) => ({ value, label: BY_WORDS[value] })),
        this.by,
        (value) => this.#choose(value, this.span),
      )}${button({ label: this.asTable ? 'As chart' : 'As table', icon: 'table', size: 'small', kind: 'quiet', pressed: this.asTable, onClick: () => this.#toggle() })}</div>
      <div class="panel-b">${
        shown.length === 0
          ? empty('Nothing was spent', 'Model calls and priced tools show up here, by whom they were made.')
          : this.asTable
            ? html`<div class="sp-t scroll" tabindex="0" role="region" aria-label="Spend as a table"><table class="tbl"><thead><tr><th>Day</th>${shown.map((one) => html`<th class="num">${one.name}</th>`)}<th class="num">Total</th></tr></thead><tbody>${days.map(
                (day, i) =>
                  html`<tr><td>${day}</td>${shown.map((one) => html`<td class="num">${money(one.values[i] ?? 0)}</td>`)}<td class="num b">${money(shown.reduce((sum, one) => sum + (one.values[i] ?? 0), 0))}</td></tr>`,
              )}</tbody></table></div>`
            : html`<mc-area-chart .days=${days} .series=${shown} .cap=${cap} .label=${label}></mc-area-chart>`
      }</div>
    </section>`;
  }

  #choose(by: By, span: Span): void {
    this.by = by;
    this.span = span;
    void this.#read();
  }

  #toggle(): void {
    this.asTable = !this.asTable;
  }

  async #read(): Promise<void> {
    const asked = ++this.#asked;
    const now = serverNow();
    try {
      const [forecast, layers, today] = await Promise.all([
        api.readForecast(),
        api.readSpend({ groupBy: `day,${this.by}`, since: now - (Number(this.span) - 1) * DAY_MS - (now % DAY_MS), limit: 500 }),
        api.readSpend({ groupBy: 'tool,model', since: now - (now % DAY_MS), limit: 500 }),
      ]);
      if (asked !== this.#asked) return;
      this.forecast = forecast;
      this.layers = layers;
      this.today = today;
      this.failure = null;
    } catch (error) {
      if (asked === this.#asked) this.failure = sentence(error);
    }
  }
}

function figure(name: string, value: string, below: unknown): TemplateResult {
  return html`<div><dt>${name}</dt><dd class="sp-v">${value}</dd><dd class="small muted">${below}</dd></div>`;
}

/** The rows of the server as one series for each agent, task or model; days without spend are 0. */
function seriesOf({ items, since, until }: SpendView, by: By): { days: string[]; series: Series[] } {
  const named = items.flatMap((row) => (row.day === undefined ? [] : [row.day])).sort();
  const first = [new Date(since).toISOString().slice(0, 10), ...named].sort()[0] ?? '';
  const last = [new Date(until).toISOString().slice(0, 10), ...named].sort().at(-1) ?? first;
  const days = daysBetween(first, last);
  const at = new Map(days.map((day, i) => [day, i]));
  const sums = new Map<string, { name: string; kind: Series['kind']; values: number[] }>();
  for (const row of items) {
    const { key, name, kind } = partOf(row, by);
    const sum = sums.get(key) ?? { name, kind, values: days.map(() => 0) };
    const i = at.get(row.day ?? '');
    if (i !== undefined) sum.values[i] = (sum.values[i] ?? 0) + row.cost;
    sums.set(key, sum);
  }
  return { days, series: [...sums.values()] };
}

function partOf(row: SpendRow, by: By): { key: string; name: string; kind: Series['kind'] } {
  const [id, name, none] = {
    agent: [row.agentId ?? null, row.agentName ?? row.agentId ?? '', ''],
    task: [row.taskId ?? null, row.taskTitle ?? row.taskId ?? '', 'Unattributed'],
    model: [row.model ?? null, row.model ?? '', 'No model'],
    tool: [row.tool ?? null, row.tool ?? '', ''],
  }[by] as [string | null, string, string];
  return id === null ? { key: '', name: none || 'Unattributed', kind: 'none' } : { key: id, name, kind: 'named' };
}

/** What is left of the fleet's day, and where the present rate leads. */
function burnDown({ fleet, at, dayEndsAt }: Forecast): TemplateResult {
  const { cap, spent, projected, exhaustsAt } = fleet;
  if (cap === null)
    return html`<section class="panel sp-b"><div class="panel-h"><h2>Fleet, today</h2></div>${empty('The fleet has no cap', html`Set <code>budgets.fleetDaily</code> in the <a href="/policies">policy</a> to bound a whole day.`)}</section>`;
  const [width, height, left, top, bottom] = [380, 220, 40, 10, 22];
  const start = dayEndsAt - DAY_MS;
  const x = (time: number) => left + ((time - start) / DAY_MS) * (width - left - 8);
  const y = (usd: number) => top + (1 - Math.max(0, Math.min(cap, usd)) / cap) * (height - top - bottom);
  const rest = Math.max(0, cap - projected);
  const end = exhaustsAt === null ? `${money(rest)} left at ${clockMinutes(dayEndsAt)}` : `spent at about ${clockMinutes(exhaustsAt)}`;
  return html`<section class="panel sp-b">
    <div class="panel-h"><h2 class="grow">Fleet, left of today</h2><span><b>${money(Math.floor(Math.max(0, cap - spent) * 100) / 100)}</b> <span class="muted">of ${capMoney(cap)}</span></span></div>
    <div class="panel-b"><svg class="sp-burn" viewBox="0 0 ${width} ${height}" role="img" aria-label="${money(Math.max(0, cap - spent))} of ${capMoney(cap)} is left; at the present rate ${end}.">
      ${[0, cap / 2, cap].map((usd) => svg`<path d="M${left} ${y(usd)}H${width - 8}" stroke="var(--line)" /><text x=${left - 6} y=${y(usd) + 4} text-anchor="end">${capMoney(Math.round(usd * 100) / 100)}</text>`)}
      ${[0, 6, 12, 18, 24].map((hour) => svg`<text x=${x(start + (hour / 24) * DAY_MS)} y=${height - 6} text-anchor="middle">${clockMinutes(start + (hour / 24) * DAY_MS).slice(0, 2)}</text>`)}
      <path d="M${x(start)} ${y(cap)}L${x(dayEndsAt)} ${y(0)}" stroke="var(--ink-3)" stroke-dasharray="1 4" fill="none" />
      <path d="M${x(start)} ${y(cap)}L${x(at)} ${y(cap - spent)}" stroke="var(--you)" stroke-width="1.5" fill="none" />
      <path d="M${x(at)} ${y(cap - spent)}L${exhaustsAt === null ? `${x(dayEndsAt)} ${y(rest)}` : `${x(exhaustsAt)} ${y(0)}`}" stroke=${exhaustsAt === null ? 'var(--ink-2)' : 'var(--red-mark)'} stroke-width="1.5" stroke-dasharray="4 3" fill="none" />
      <circle cx=${x(at)} cy=${y(cap - spent)} r="3.5" fill="var(--panel)" stroke="var(--you)" stroke-width="1.5" />
    </svg>
    <p class="small ${exhaustsAt === null ? 'muted' : 'm-red'}">${end.charAt(0).toUpperCase() + end.slice(1)}, at the rate of the last hour. Solid: from the start of the day to now. Dotted: an even pace.</p></div>
  </section>`;
}

function dear({ items, total, unattributed }: SpendView): TemplateResult {
  const rows = [...items].sort((a, b) => b.cost - a.cost).slice(0, 12);
  return html`<section class="panel sp-d">
    <div class="panel-h"><h2>By model and tool</h2><span class="small muted">today, UTC</span></div>
    ${
      rows.length === 0
        ? empty('Nothing was spent today', 'What costs something is listed here as it is settled.')
        : html`<div class="scroll" tabindex="0" role="region" aria-label="By model and tool"><table class="tbl"><thead><tr><th>Name</th><th>Kind</th><th class="num">Calls</th><th class="num">Per call</th><th>Share</th><th class="num">Cost</th></tr></thead>
          <tbody>${rows.map(
            (row) =>
              html`<tr><td><code>${seenLine(row.model ?? row.tool ?? '')}</code></td><td class="muted">${row.model ? 'model' : 'tool'}</td><td class="num">${count(row.calls)}</td><td class="num muted">${callMoney(row.calls === 0 ? null : row.cost / row.calls)}</td><td class="sp-s">${meter(row.cost, total.cost)}<span class="muted">${total.cost === 0 ? 0 : Math.round((row.cost / total.cost) * 100)} %</span></td><td class="num b">${money(row.cost)}</td></tr>`,
          )}</tbody>
          <tfoot><tr><td class="b">Total</td><td></td><td class="num b">${count(total.calls)}</td><td></td><td class="muted">unattributed ${money(unattributed.cost)}</td><td class="num b">${money(total.cost)}</td></tr></tfoot></table></div>`
    }
  </section>`;
}

/** Whose cap is reached first. */
function next({ agents, at }: Forecast): TemplateResult {
  const rows = [...agents]
    .sort((a, b) => (a.exhaustsAt ?? Number.POSITIVE_INFINITY) - (b.exhaustsAt ?? Number.POSITIVE_INFINITY) || b.spent - a.spent)
    .slice(0, 12);
  return html`<section class="panel sp-n">
    <div class="panel-h"><h2 class="grow">Caps reached next</h2><span class="small muted">at the present rate</span></div>
    ${
      rows.length === 0
        ? empty('Nobody has spent anything today', 'Agents are listed here by when their day is spent.')
        : html`<div class="scroll" tabindex="0" role="region" aria-label="Caps reached next"><table class="tbl"><thead><tr><th>Agent</th><th class="num">Last hour</th><th class="num">Today</th><th class="num">Spent about</th></tr></thead><tbody>${rows.map(
            (row) =>
              html`<tr><td><a href="/agents/${row.agentId}">${row.name}</a></td><td class="num muted">${money(row.ratePerHour)}</td><td class="num">${money(row.spent, row.cap)}${row.cap === null ? nothing : html`<span class="muted">/${capMoney(row.cap).slice(1)}</span>`}</td><td class="num ${row.exhaustsAt === null ? 'muted' : row.exhaustsAt - at < 3_600_000 ? 'm-red b' : 'm-amber b'}">${row.exhaustsAt === null ? 'not today' : moment(row.exhaustsAt, clockMinutes(row.exhaustsAt))}</td></tr>`,
          )}</tbody></table></div>`
    }
  </section>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-spend': SpendElement;
  }
}
