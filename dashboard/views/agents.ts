/** The squad: all agents with what needs attention first, or one of them in full. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Agent } from '../../control/contract.ts';
import { serverNow } from '../clock.ts';
import '../elements/agent-row.ts';
import { attentionOf, byAttention, inFamilies, type Relative, stateOf } from '../elements/agent-text.ts';
import type { AgentDays } from '../elements/chart-scale.ts';
import { rankGlyph, STATE_TONES, statusGlyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { ago, button, choice, empty, meter, spentOf, why } from '../elements/parts.ts';
import { reasonAgainst } from '../permissions.ts';
import { go } from '../routes.ts';
import { agents, gateways } from '../store.ts';
import { isPhone } from '../viewport.ts';
import { AGENT_STATE_WORDS, AUTONOMY_WORDS } from '../words.ts';
import './agent-create.ts';
import './agent-detail.ts';
import { daysLine, readAgentDays } from './agent-days.ts';
import './agents.css';

const FILTERS = ['all', 'attention', 'working', 'off'] as const;
type Filter = (typeof FILTERS)[number];
const DAYS_REFRESH_MS = 60_000;

@customElement('mc-agents')
export class AgentsElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) agentId: string | null = null;
  @state() private filter: Filter = 'all';
  @state() private text = '';
  @state() private creating = false;
  @state() private days: ReadonlyMap<string, AgentDays> = new Map();
  #timer: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#readDays();
    this.#timer = setInterval(() => void this.#readDays(), DAYS_REFRESH_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  protected override render(): TemplateResult {
    const now = serverNow();
    const all = agents.all().sort(byAttention(now));
    if (this.agentId === null) return this.#overview(all, now);
    const agent = agents.get(this.agentId);
    return html`<div class="ag">
      <aside class="ag-side" aria-label="Agents">
        <div class="side-h"><h2><a href="/agents">Agents <span class="muted">${all.length}</span></a></h2></div>
        <div class="scroll grow" tabindex="0" role="region" aria-label="Agent list">${repeat(
          inFamilies([...all].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))),
          (item) => item.agent.id,
          (item) =>
            html`<mc-agent-row .agent=${item.agent} .depth=${item.depth} .selected=${item.agent.id === this.agentId} .now=${now}></mc-agent-row>`,
        )}</div>
      </aside>
      ${agent ? html`<mc-agent-detail .agent=${agent} .days=${this.days.get(agent.id) ?? null}></mc-agent-detail>` : html`<div class="page"><h1>There is no such agent</h1><p class="ink2">It may have been removed. <a href="/agents">All agents</a></p></div>`}
    </div>`;
  }

  #overview(all: readonly Agent[], now: number): TemplateResult {
    const matching = {
      all,
      attention: all.filter((agent) => attentionOf(agent, now).length > 0),
      working: all.filter((agent) => ['active', 'drained'].includes(stateOf(agent, now))),
      off: all.filter((agent) => ['paused', 'quarantined', 'stopped'].includes(agent.status)),
    };
    const words = this.text.trim().toLowerCase();
    const shown = inFamilies(matching[this.filter].filter((agent) => agent.name.toLowerCase().includes(words)));
    const against = reasonAgainst('create agents');
    return html`<div class="page page--wide scroll" tabindex="0" role="region" aria-label="Agents">
      <div class="page-h ag-h">
        <h1>Agents</h1>
        <label class="sr" for="agent-search">Find an agent by name</label>
        <input class="field ag-search" id="agent-search" type="search" placeholder="Find by name" .value=${this.text} @input=${this.#typed} />
        ${choice(
          'Show',
          FILTERS.map((value) => ({ value, label: LABELS[value], count: matching[value].length })),
          this.filter,
          (value) => this.#choose(value),
        )}
        ${button({ label: 'Register agent', icon: 'plus', reason: against, reasonId: 'create-why', onClick: () => this.#create(true) })}
      </div>
      ${why(against, 'create-why')}
      <section class="panel ag-list">
        ${
          shown.length === 0
            ? all.length === 0
              ? empty(
                  'No agent is registered',
                  html`Connecting an OpenClaw gateway registers its agents: <code>npm run -s mc -- openclaw connect --config FILE</code>`,
                )
              : empty('No agent fits', 'Choose another filter or clear the search.')
            : isPhone.get()
              ? repeat(
                  shown,
                  ({ agent }) => agent.id,
                  ({ agent, depth }) => html`<mc-agent-row .agent=${agent} .depth=${depth} .now=${now}></mc-agent-row>`,
                )
              : this.#table(shown, now)
        }
      </section>
      ${this.creating ? html`<mc-agent-create @mc-close=${() => this.#create(false)} @mc-created=${(event: CustomEvent<string>) => go(`/agents/${event.detail}`)}></mc-agent-create>` : nothing}
    </div>`;
  }

  #table(shown: readonly Relative[], now: number): TemplateResult {
    return html`<table class="tbl ag-tbl">
      <thead><tr><th>Agent</th><th>State</th><th>Needs attention</th><th>Heartbeat</th><th>Last call</th><th>Gateway</th><th>Last 14 days</th><th class="num">Today</th></tr></thead>
      <tbody>${repeat(
        shown,
        ({ agent }) => agent.id,
        (relative) => row(relative, this.days.get(relative.agent.id), now),
      )}</tbody>
    </table>`;
  }

  /** What was drawn before stays while it cannot be read: the lines only hint, the figures stand beside them. */
  async #readDays(): Promise<void> {
    try {
      this.days = await readAgentDays(serverNow());
    } catch {
      // The age of the data in the header says that the server is away.
    }
  }

  #typed(event: InputEvent): void {
    if (event.target instanceof HTMLInputElement) this.text = event.target.value;
  }

  #choose(filter: Filter): void {
    this.filter = filter;
  }

  #create(open: boolean): void {
    this.creating = open;
  }
}

const LABELS: Record<Filter, string> = { all: 'All', attention: 'Need attention', working: 'Working', off: 'Off' };

function row({ agent, depth }: Relative, days: AgentDays | undefined, now: number): TemplateResult {
  const state = stateOf(agent, now);
  const asks = attentionOf(agent, now);
  const gateway = agent.gatewayId === null ? undefined : gateways.get(agent.gatewayId);
  const parent = agent.parentId === null ? undefined : agents.get(agent.parentId);
  const below = depth > 0 ? 'ag-name--below' : '';
  return html`<tr>
    <td><a class="ag-name ${below}" .style=${`--depth: ${Math.min(depth, 6)}`} href="/agents/${agent.id}" title=${parent ? `Sub-agent of ${parent.name}` : nothing}>${depth > 0 && parent ? html`<span class="sr">sub-agent of ${parent.name}: </span>` : nothing}<span class="nm b">${agent.name}</span>${rankGlyph(agent.autonomyLevel)}<span class="muted">${AUTONOMY_WORDS[agent.autonomyLevel].toLowerCase()}</span></a></td>
    <td><span class="bare ${STATE_TONES[state] === 'ink' ? 'ink2' : `m-${STATE_TONES[state]}`}">${statusGlyph(state)}${AGENT_STATE_WORDS[state]}</span></td>
    <td class="ag-asks">${asks.length ? html`<span class=${state === 'quarantined' ? 'm-red' : 'm-amber'}>${sentenceCase(asks.join(', '))}</span>` : html`<span class="muted">No</span>`}</td>
    <td class="muted">${agent.gate === 'none' ? 'no gate' : ago(agent.lastHeartbeat, now)}</td>
    <td class="muted">${ago(agent.lastCallAt, now)}</td>
    <td class="muted">${gateway?.name ?? '–'}</td>
    <td>${days === undefined ? html`<span class="muted">–</span>` : daysLine(days, agent.todayCap)}</td>
    <td class="num ag-money">${spentOf(agent.todaySpend, agent.todayCap)}${meter(agent.todaySpend, agent.todayCap)}</td>
  </tr>`;
}

function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agents': AgentsElement;
  }
}
