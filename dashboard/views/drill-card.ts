/**
 * The drills on the health page: what they say together, when they run by themselves, each of them, and running one or all of them now. Its
 * results are not told by the stream, so it asks until they are here.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { DrillCard, DrillName } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { drillSummary, worstDrillFirst } from '../elements/drill-text.ts';
import { drillRows } from '../elements/drills.ts';
import { glyph } from '../elements/glyph.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import { button, failed, moment, skeleton, why } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { repeatWhileShown } from '../polling.ts';
import { DRILL_WORDS, plural, when } from '../words.ts';

const EVERY_MS = 5_000;
const WHILE_RUNNING_MS = 500;
/** A proxy that has not answered by then is not waited for; its result shows when it comes. */
const AWAITED_MS = 30_000;

/** What was asked for and has not come yet. */
interface Awaited {
  requestId: string;
  names: readonly DrillName[];
  /** Results that are to come for each of them. */
  proxies: number;
  until: number;
}

/** Fires `mc-drills` with the card whenever it was read. */
@customElement('mc-drill-card')
export class DrillCardElement extends SignalWatcher(LightElement) {
  @state() private card: DrillCard | null = null;
  @state() private failure: string | null = null;
  @state() private awaited: Awaited | null = null;
  #end = () => {};

  override connectedCallback(): void {
    super.connectedCallback();
    this.#watch(EVERY_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#end();
  }

  protected override render(): TemplateResult {
    const { card, awaited } = this;
    const against = reasonAgainst('run drills');
    const refused = () => say('refused', `Running drills: ${against}`);
    return html`<section class="panel dr-p" id="drills" aria-label="Drills">
      <div class="panel-h"><h2 class="grow">Drills</h2>
        ${card?.nextAt ? html`<span class="small muted">all run by themselves ${moment(card.nextAt, when(card.nextAt, serverNow()))}</span>` : nothing}
        ${button({ label: 'Run all drills', icon: 'play', size: 'small', reason: against, reasonId: `${this.uid}-why`, busy: awaited !== null && awaited.names.length > 1 ? 'Running' : null, onClick: () => void this.#run(null), onRefused: refused })}
      </div>
      ${against === null ? nothing : html`<div class="dr-why">${why(against, `${this.uid}-why`)}</div>`}
      ${this.failure === null ? nothing : failed('The drills could not be read', this.failure, () => void this.#read())}
      ${
        card === null
          ? this.failure === null
            ? skeleton(4)
            : nothing
          : html`${sum(card)}${drillRows(worstDrillFirst(card.items), {
              now: serverNow(),
              against,
              againstId: `${this.uid}-why`,
              running: (name) => awaited?.names.includes(name) === true,
              onRun: (name) => void this.#run(name),
              onRefused: refused,
            })}`
      }
    </section>`;
  }

  async #run(name: DrillName | null): Promise<void> {
    if (this.awaited !== null) return;
    try {
      const { requestId, names, proxies } = await api.runDrills(name);
      if (proxies === 0) return say('refused', 'No proxy is here that could run a drill.');
      this.awaited = { requestId, names, proxies, until: performance.now() + AWAITED_MS };
      this.#watch(WHILE_RUNNING_MS);
    } catch (error) {
      say('refused', `The drill was not started. ${sentence(error)}`);
    }
  }

  #watch(everyMs: number): void {
    this.#end();
    this.#end = repeatWhileShown(() => this.#read(), everyMs);
  }

  async #read(): Promise<void> {
    try {
      this.card = await api.readDrills();
      this.failure = null;
      emit(this, 'mc-drills', this.card);
    } catch (error) {
      this.failure = sentence(error);
    }
    const { awaited, card } = this;
    if (awaited === null || card === null) return;
    const here = card.items
      .filter(({ name }) => awaited.names.includes(name))
      .map(({ history }) => history.filter(({ requestId }) => requestId === awaited.requestId).length);
    const late = performance.now() > awaited.until;
    if (!late && !here.every((count) => count >= awaited.proxies)) return;
    this.awaited = null;
    this.#watch(EVERY_MS);
    const [only] = awaited.names;
    const what = awaited.names.length === 1 && only ? DRILL_WORDS[only] : plural(awaited.names.length, 'drill');
    if (late) say('refused', `Not every proxy has answered yet: ${what}. Its result shows here when it comes.`);
    else say('done', `${what} ran at ${plural(awaited.proxies, 'proxy', 'proxies')}.`);
  }
}

function sum({ items }: DrillCard): TemplateResult {
  const { tone, text } = drillSummary(items);
  const mark = tone === 'green' ? 'tick' : tone === 'red' ? 'cross' : 'bars';
  return html`<p class="dr-sum m-${tone}" role="status">${glyph(mark, tone)}<b class="b">${text}</b></p>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-drill-card': DrillCardElement;
  }
}
