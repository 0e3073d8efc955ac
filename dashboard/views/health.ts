/**
 * How the installation itself is doing: each part as the server finds it when asked, what needs a look first, whether it fails as
 * declared (drills), and for each agent whether the gate is proven. What Grafana shows over time, this shows now. Asked anew every few seconds while it is in view.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { Coverage, DrillCard, Health } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { byCoverage, coverageMark, coverageRows, worstOf } from '../elements/coverage.ts';
import { drillSummary } from '../elements/drill-text.ts';
import { glyph } from '../elements/glyph.ts';
import { healthSummary, worstFirst } from '../elements/health-text.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, empty, failed, moment, seen, skeleton } from '../elements/parts.ts';
import { repeatWhileShown } from '../polling.ts';
import { age, HEALTH_GROUP_WORDS, HEALTH_STATE_WORDS, plural } from '../words.ts';
import './drill-card.ts';
import './health.css';

const EVERY_MS = 5_000;
/** Agents whose coverage is listed; the worst come first. */
const AGENTS_SHOWN = 50;

type Part = Health['parts'][number];

@customElement('mc-health')
export class HealthElement extends SignalWatcher(LightElement) {
  @state() private health: Health | null = null;
  @state() private coverage: Coverage | null = null;
  @state() private failure: string | null = null;
  /** Drills that do not end as declared, as a sentence. */
  @state() private broken: string | null = null;
  #end = () => {};

  override connectedCallback(): void {
    super.connectedCallback();
    this.#end = repeatWhileShown(() => this.#read(), EVERY_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#end();
  }

  protected override render(): TemplateResult {
    const now = serverNow();
    const { health } = this;
    return html`<div class="page page--wide scroll" tabindex="0" role="region" aria-label="Health">
      <div class="page-h"><h1 class="grow">Health</h1>${health ? html`<span class="small muted">asked ${moment(health.at, age(now - health.at))} ago</span>` : nothing}</div>
      ${this.failure === null ? nothing : html`<section class="panel hl-fail">${failed('The server could not be asked', `${this.failure} ${health ? 'What stands below is from before.' : ''}`, () => void this.#read())}</section>`}
      ${this.broken === null ? nothing : html`<section class="panel hl-fail"><p class="note note--red" role="alert">${glyph('cross', 'red')}<span class="grow"><b>A fail mode is broken.</b> ${this.broken} Calls may run that must not.</span>${button({ label: 'What was seen', size: 'small', onClick: () => this.querySelector('mc-drill-card')?.scrollIntoView() })}</p></section>`}
      ${health ? this.#parts(health, now) : this.failure === null ? skeleton(8) : nothing}
      <mc-drill-card @mc-drills=${({ detail }: CustomEvent<DrillCard>) => this.#noteDrills(detail)}></mc-drill-card>
      ${this.coverage ? this.#agents(this.coverage, now) : nothing}
    </div>`;
  }

  #parts({ parts }: Health, now: number): TemplateResult {
    const groups = Map.groupBy(parts, ({ group }) => group);
    const { tone, text } = healthSummary(parts);
    return html`<p class="hl-sum ${tone === 'green' ? 'm-green' : `m-${tone}`}" role="status">${glyph(tone === 'green' ? 'tick' : tone === 'red' ? 'cross' : 'bars', tone)}<b class="b">${text}</b></p>
      <div class="hl">${[...groups].map(
        ([group, members]) =>
          html`<section class="panel" data-group=${group}><div class="panel-h"><h2>${HEALTH_GROUP_WORDS[group]}</h2></div><ul>${worstFirst(members).map((member) => row(member, now))}</ul></section>`,
      )}</div>`;
  }

  #agents({ agents }: Coverage, now: number): TemplateResult {
    const sorted = [...agents].sort(byCoverage);
    return html`<section class="panel hl-cv">
      <div class="panel-h"><h2 class="grow">Gate coverage</h2><span class="muted">${plural(agents.length, 'agent')}, from the traffic of a day</span></div>
      ${
        agents.length === 0
          ? empty('No agent is registered', 'For each agent stands here by which ways its calls are judged, and what shows it.')
          : html`<ul>${sorted
              .slice(0, AGENTS_SHOWN)
              .map(
                (agent) =>
                  html`<li><details><summary class="hl-ag"><b class="b">${agent.agentName}</b><span class="muted">${agent.gate === 'openclaw' ? 'OpenClaw plugin' : 'without OpenClaw'}</span><span class="end">${coverageMark(worstOf(agent))}</span></summary>${coverageRows(agent, now)}<p class="hl-to small"><a href="/agents/${agent.agentId}">Open ${agent.agentName}</a></p></details></li>`,
              )}</ul>${sorted.length > AGENTS_SHOWN ? html`<p class="hl-more small muted">${plural(sorted.length - AGENTS_SHOWN, 'agent')} more, none of them worse. Each agent's own page has its coverage.</p>` : nothing}`
      }
    </section>`;
  }

  #noteDrills({ items }: DrillCard): void {
    const { tone, text } = drillSummary(items);
    this.broken = tone === 'red' ? text : null;
  }

  async #read(): Promise<void> {
    try {
      const [health, coverage] = await Promise.all([api.readHealth(), api.readCoverage()]);
      this.health = health;
      this.coverage = coverage;
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

const MARKS: Record<Part['state'], TemplateResult> = {
  ok: glyph('tick', 'green'),
  attention: glyph('bars', 'amber'),
  failing: glyph('cross', 'red'),
  unused: glyph('clock', 'ink'),
  unknown: glyph('clock', 'ink'),
};

function row({ name, state, says, at }: Part, now: number): TemplateResult {
  return html`<li class="hl-r hl-r--${state}">
    <span class="hl-g">${MARKS[state]}<span class="sr">${HEALTH_STATE_WORDS[state]}: </span></span>
    <span class="hl-t"><b class="b">${seen(name)}</b> <span class="ink2">${seen(says)}</span></span>
    ${at === null ? nothing : html`<span class="muted nb">${moment(at, age(now - at))}</span>`}
  </li>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-health': HealthElement;
  }
}
