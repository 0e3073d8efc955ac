/**
 * One agent: how it stands, what it can be told to do (and why not), what it may still spend, what it calls, who it is, and its tokens.
 * Pausing, draining and restarting act at once and can be taken back; quarantine asks for the reason first.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Agent, ToolCallView } from '../../control/contract.ts';
import { controlAgent, sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { byAttention, stateOf } from '../elements/agent-text.ts';
import { gistOf } from '../elements/approval-text.ts';
import '../elements/call-table.ts';
import type { AgentDays } from '../elements/chart-scale.ts';
import { chip, rankGlyph, riskGlyph, stateChip, statusGlyph } from '../elements/glyph.ts';
import { type IconName, icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { ago, button, choice, empty, failed, meter, moment, seen, seenLine, skeleton, spentOf, why } from '../elements/parts.ts';
import { hasRole, reasonAgainst, reasonAgainstAction } from '../permissions.ts';
import { agents, gateways, overview, pendingApprovals, toolCalls } from '../store.ts';
import { AGENT_STATE_WORDS, AUTONOMY_WORDS, capMoney, day, money, plural, wait, when } from '../words.ts';
import { daysLine } from './agent-days.ts';
import './agent-budgets.ts';
import './agent-coverage.ts';
import './agent-detail.css';
import './agent-tokens.ts';
import './cap-raise.ts';

const PAGE = 60;
const ACTIONS: readonly { action: api.AgentAction; label: string; busy: string; icon: IconName }[] = [
  { action: 'pause', label: 'Pause', busy: 'Pausing', icon: 'pause' },
  { action: 'drain', label: 'Drain', busy: 'Draining', icon: 'hourglass' },
  { action: 'restart', label: 'Restart', busy: 'Restarting', icon: 'rotate-ccw' },
  { action: 'quarantine', label: 'Quarantine', busy: 'Quarantining', icon: 'octagon-minus' },
];

const FILTERS = ['all', 'held', 'denied', 'failed'] as const;
type Filter = (typeof FILTERS)[number];
const STATUS: Record<Filter, ToolCallView['status'] | null> = { all: null, held: 'needs_approval', denied: 'blocked', failed: 'failed' };

@customElement('mc-agent-detail')
export class AgentDetailElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) agent: Agent | null = null;
  /** What it spent on the last days; null = nothing, or not read yet. */
  @property({ attribute: false }) days: AgentDays | null = null;
  @state() private busy: api.AgentAction | null = null;
  @state() private quarantining = false;
  @state() private editingBudgets = false;
  @state() private raising = false;
  @state() private filter: Filter = 'all';
  @state() private fetched: readonly ToolCallView[] | null = null;
  @state() private cursor: string | null = null;
  @state() private failure: string | null = null;
  #shownId: string | null = null;

  protected override render(): TemplateResult | typeof nothing {
    const agent = this.agent;
    if (!agent) return nothing;
    const now = serverNow();
    return html`<div class="agm scroll" tabindex="0" role="region" aria-label=${agent.name}>
      ${this.#head(agent, now)}
      <div class="agm-l">
        ${this.#waiting(agent, now)} ${this.#today(agent)} ${this.#family(agent, now)} <mc-agent-coverage .agentId=${agent.id}></mc-agent-coverage> ${this.#registration(agent, now)}
        ${hasRole('manage tokens') ? html`<mc-agent-tokens .agentId=${agent.id}></mc-agent-tokens>` : nothing}
      </div>
      ${this.#calls(agent, now)}
      ${this.quarantining ? html`<mc-modal heading="Quarantine ${agent.name}" .content=${this.#quarantineForm(agent)} @mc-close=${() => this.#askQuarantine(false)}></mc-modal>` : nothing}
      ${this.raising ? html`<mc-cap-raise .agentId=${agent.id} .name=${agent.name} @mc-close=${() => this.#raise(false)}></mc-cap-raise>` : nothing}
      ${this.editingBudgets ? html`<mc-agent-budgets .agent=${agent} @mc-close=${() => this.#editBudgets(false)}></mc-agent-budgets>` : nothing}
    </div>`;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (this.agent && this.agent.id !== this.#shownId) {
      this.#shownId = this.agent.id;
      this.filter = 'all';
      void this.#fetch(null);
    }
  }

  /* ---------------------------------------------------------------- head */

  #head(agent: Agent, now: number): TemplateResult {
    const state = stateOf(agent, now);
    const against = ACTIONS.map(({ action }) => ({ action, reason: reasonAgainstAction(action, agent) }));
    // The role stops all four; one sentence is enough then.
    const [first] = against;
    const same = first?.reason && against.every(({ reason }) => reason === first.reason) ? first.reason : null;
    return html`<div class="agh">
      <div class="grow">
        <p class="agh-back"><a href="/agents">All agents</a></p>
        <div class="agh-name">${statusGlyph(state)}<h1>${agent.name}</h1>${chip('none', html`${rankGlyph(agent.autonomyLevel)}${AUTONOMY_WORDS[agent.autonomyLevel]}`)}${stateChip(state)}</div>
        <p class="meta">
          <span>Heartbeat <b>${agent.gate === 'none' ? 'no gate' : ago(agent.lastHeartbeat, now)}</b></span>
          <span>Last call <b>${ago(agent.lastCallAt, now)}</b></span>
          ${agent.modelConfig.primary ? html`<span>Model <b>${seen(agent.modelConfig.primary)}</b>${agent.modelConfig.fallback ? html`, then <b>${seen(agent.modelConfig.fallback)}</b>` : nothing}</span>` : nothing}
          <span>Errors in a row <b class=${agent.errorStreak > 2 ? 'm-amber' : ''}>${agent.errorStreak}</b></span>
        </p>
        ${agent.status === 'active' ? nothing : html`<p class="small ink2">${STATUS_NOTES[agent.status]} Since ${moment(agent.statusChangedAt, when(agent.statusChangedAt, now))}${agent.statusReason ? html`: ${seen(agent.statusReason)}` : nothing}</p>`}
      </div>
      <div class="ctlw">
        <div class="ctl">${ACTIONS.map(({ action, label, busy, icon: name }, i) =>
          button({
            label,
            icon: name,
            kind: action === 'quarantine' ? 'deny' : 'plain',
            busy: this.busy === action ? busy : null,
            reason: against[i]?.reason ?? null,
            reasonId: same ? 'why-all' : `why-${action}`,
            onClick: () => (action === 'quarantine' ? this.#askQuarantine(true) : void this.#act(action)),
          }),
        )}</div>
        ${same ? why(same, 'why-all') : against.map(({ action, reason }) => (reason ? html`<p class="why" id="why-${action}">${icon('info', 12)}<span>${ACTION_WORDS[action]}: ${lower(reason)}</span></p>` : nothing))}
      </div>
    </div>`;
  }

  #quarantineForm(agent: Agent): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#quarantine(event)}>
      <p class="ink2">Every call of ${agent.name} is refused, its held calls are withdrawn, its open streams are cut and its tasks go to Blocked. Restart ends it.</p>
      <label class="lbl" for="q-reason">Why? <span class="muted">goes to the audit log and the alert</span></label>
      <textarea class="field" id="q-reason" name="reason" rows="2" maxlength="2000" data-focus></textarea>
      ${button({ label: `Quarantine ${agent.name}`, kind: 'deny', size: 'large', block: true, type: 'submit', busy: this.busy === 'quarantine' ? 'Quarantining' : null, onClick: () => {} })}
    </form>`;
  }

  /* ---------------------------------------------------------------- panels */

  #waiting(agent: Agent, now: number): TemplateResult | typeof nothing {
    const mine = pendingApprovals.get().filter((approval) => approval.agentId === agent.id);
    if (mine.length === 0) return nothing;
    return html`<section class="panel"><div class="panel-h"><h2 class="grow">Waiting for you</h2><span class="muted">${mine.length}</span></div><ul>${mine.map(
      (approval) =>
        html`<li class="pr pr--link">${riskGlyph(approval.risk)}<a href="/approvals/${approval.id}"><code>${seenLine(gistOf(approval))}</code></a><span class="m-amber b">${wait(now - approval.createdAt)}</span></li>`,
    )}</ul></section>`;
  }

  #today(agent: Agent): TemplateResult {
    const left = agent.todayCap === null ? null : Math.max(0, agent.todayCap - agent.todaySpend);
    const fleet = overview.get();
    return html`<section class="panel">
      <div class="panel-h"><h2 class="grow">Left of today</h2>${agent.todayCap === null ? nothing : button({ label: 'Raise today', icon: 'plus', size: 'small', kind: 'quiet', reason: reasonAgainst('edit budgets'), reasonId: 'why-budget', onClick: () => this.#raise(true) })}${button({ label: 'Edit caps', icon: 'pencil', size: 'small', kind: 'quiet', reason: reasonAgainst('edit budgets'), reasonId: 'why-budget', onClick: () => this.#editBudgets(true) })}</div>
      <div class="panel-b agb"><p class="big">${left === null ? 'No cap' : money(Math.floor(left * 100) / 100)}</p><p class="small muted">${agent.todayCap === null ? 'Nothing but the fleet cap stops its spending.' : `of ${capMoney(agent.todayCap)}; at $0 priced calls are refused until the day turns over.`}</p>${why(reasonAgainst('edit budgets'), 'why-budget')}</div>
      <ul>
        <li class="pr"><span>Agent, today</span>${spentOf(agent.todaySpend, agent.todayCap)}<span class="pr-m">${meter(agent.todaySpend, agent.todayCap)}</span></li>
        <li class="pr"><span>Each run</span><span class="muted">${agent.budgets.perRunCap === null ? "the policy's cap" : html`at most <b class="b">${capMoney(agent.budgets.perRunCap)}</b>`}</span></li>
        ${fleet ? html`<li class="pr"><span>Fleet, today</span>${spentOf(fleet.todaySpend, fleet.fleetCap)}<span class="pr-m">${meter(fleet.todaySpend, fleet.fleetCap)}</span></li>` : nothing}
        ${this.days ? html`<li class="pr"><span>Last 14 days</span><span class="ag-days">${daysLine(this.days, agent.todayCap)}<b class="b">${money(this.days.costs.reduce((sum, cost) => sum + cost, 0))}</b></span></li>` : nothing}
        <li class="pr"><span>All time</span><span class="b">${money(agent.totalSpend)}</span></li>
      </ul>
    </section>`;
  }

  #family(agent: Agent, now: number): TemplateResult | typeof nothing {
    const children = agents
      .all()
      .filter((other) => other.parentId === agent.id)
      .sort(byAttention(now));
    if (children.length === 0) return nothing;
    const spent = children.reduce((sum, child) => sum + child.todaySpend, 0);
    return html`<section class="panel"><div class="panel-h"><h2 class="grow">Sub-agents</h2><span class="muted">${money(spent)} today, also against this agent's caps</span></div><ul>${children.map(
      (child) =>
        html`<li class="pr pr--link">${statusGlyph(stateOf(child, now))}<a href="/agents/${child.id}"><span class="nm">${child.name}</span> <span class="muted small">${AGENT_STATE_WORDS[stateOf(child, now)]}</span></a><span>${money(child.todaySpend)}</span></li>`,
    )}</ul></section>`;
  }

  #registration(agent: Agent, now: number): TemplateResult {
    const gateway = agent.gatewayId === null ? undefined : gateways.get(agent.gatewayId);
    const parent = agent.parentId === null ? undefined : agents.get(agent.parentId);
    return html`<section class="panel"><div class="panel-h"><h2>Registration</h2></div><div class="panel-b"><dl class="kv">
      <dt>Gate</dt><dd>${agent.gate === 'openclaw' ? html`OpenClaw plugin${gateway ? html` on <a href="/settings">${gateway.name}</a>` : ''}` : 'none, calls by MCP or SDK only'}</dd>
      <dt>Workspace</dt><dd>${agent.workspace ? html`<code>${seen(agent.workspace)}</code>` : html`<span class="m-amber">none: every path is outside</span>`}</dd>
      <dt>Session</dt><dd>${agent.sessionKey ? html`<code>${seen(agent.sessionKey)}</code>` : '–'}</dd>
      <dt>Tools</dt><dd>${agent.toolPermissions === null ? 'no ceiling' : agent.toolPermissions.length === 0 ? 'none at all' : agent.toolPermissions.map((tool, i) => html`${i ? ', ' : ''}<code>${seen(tool)}</code>`)}</dd>
      ${parent ? html`<dt>Parent</dt><dd><a href="/agents/${parent.id}">${parent.name}</a>, depth ${agent.depth}</dd>` : nothing}
      ${agent.soulHash ? html`<dt>Soul</dt><dd><code>${agent.soulHash.slice(0, 12)}</code></dd>` : nothing}
      <dt>Registered</dt><dd>${moment(agent.createdAt, when(agent.createdAt, now) === day(agent.createdAt) ? day(agent.createdAt) : when(agent.createdAt, now))}</dd>
      <dt>Id</dt><dd><code>${agent.id}</code></dd>
    </dl></div></section>`;
  }

  /* ---------------------------------------------------------------- calls */

  #calls(agent: Agent, now: number): TemplateResult {
    const status = STATUS[this.filter];
    const live = toolCalls.all().filter((call) => call.agentId === agent.id);
    const known = new Map<string, ToolCallView>();
    for (const call of [...(this.fetched ?? []), ...live]) if (call.agentId === agent.id) known.set(call.id, call);
    const shown = [...known.values()].filter((call) => status === null || call.status === status).sort((a, b) => b.createdAt - a.createdAt);
    return html`<section class="panel agc">
      <div class="panel-h"><h2>Calls</h2>${choice(
        'Which calls',
        FILTERS.map((value) => ({ value, label: LABELS[value] })),
        this.filter,
        (value) => this.#choose(value),
      )}</div>
      <div class="scroll grow" tabindex="0" role="region" aria-label="Calls">
        ${
          this.failure !== null
            ? failed('Calls could not be read', `${this.failure} The gate still records them.`, () => void this.#fetch(null))
            : this.fetched === null && shown.length === 0
              ? skeleton(8)
              : shown.length === 0
                ? empty(
                    this.filter === 'all' ? 'It has made no call yet' : 'None',
                    this.filter === 'all' ? 'Each call shows up here with how it was judged.' : 'No call of this kind is on record.',
                  )
                : html`<mc-call-table .calls=${shown} .now=${now} label="Calls of ${agent.name}"></mc-call-table>`
        }
        ${this.cursor !== null ? html`<div class="agc-more">${button({ label: 'Older calls', size: 'small', kind: 'quiet', icon: 'chevron-down', onClick: () => void this.#fetch(this.cursor) })}</div>` : nothing}
      </div>
      <p class="agc-f small muted">${plural(shown.length, 'call')} shown</p>
    </section>`;
  }

  #choose(filter: Filter): void {
    this.filter = filter;
    void this.#fetch(null);
  }

  async #fetch(cursor: string | null): Promise<void> {
    const agentId = this.agent?.id;
    if (agentId === undefined) return;
    const filter = this.filter;
    const status = STATUS[filter];
    if (cursor === null) {
      this.fetched = null;
      this.cursor = null;
    }
    this.failure = null;
    try {
      const page = await api.listToolCalls({
        agentId,
        limit: PAGE,
        ...(status === null ? {} : { status }),
        ...(cursor === null ? {} : { cursor }),
      });
      if (agentId !== this.agent?.id || filter !== this.filter) return;
      this.fetched = [...(cursor === null ? [] : (this.fetched ?? [])), ...page.items];
      this.cursor = page.nextCursor;
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  /* ---------------------------------------------------------------- acting */

  async #act(action: api.AgentAction, reason?: string): Promise<boolean> {
    if (!this.agent || this.busy) return false;
    this.busy = action;
    const done = await controlAgent(this.agent, action, reason);
    this.busy = null;
    return done;
  }

  async #quarantine(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const reason = new FormData(event.target as HTMLFormElement).get('reason');
    if (await this.#act('quarantine', typeof reason === 'string' ? reason : '')) this.quarantining = false;
  }

  #askQuarantine(open: boolean): void {
    this.quarantining = open;
  }

  #raise(open: boolean): void {
    this.raising = open;
  }

  #editBudgets(open: boolean): void {
    this.editingBudgets = open;
  }
}

const LABELS: Record<Filter, string> = { all: 'All', held: 'Held', denied: 'Denied', failed: 'Failed' };
const ACTION_WORDS: Record<api.AgentAction, string> = { pause: 'Pause', drain: 'Drain', restart: 'Restart', quarantine: 'Quarantine' };
const STATUS_NOTES: Record<Exclude<Agent['status'], 'active'>, string> = {
  paused: 'New calls are refused.',
  drained: 'It finishes its current task, then pauses.',
  quarantined: 'Everything is refused.',
  stopped: 'It is retired.',
};

function lower(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agent-detail': AgentDetailElement;
  }
}
