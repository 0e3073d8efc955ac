/**
 * The landing place when nothing waits: what waits for me, what is wrong, what does it cost, what runs, in this order; the squad on the left,
 * the feed on the right. Before the first call, the first steps of an installation; after it, the next of them in one line until all are done.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Agent } from '../../control/contract.ts';
import { serverNow } from '../clock.ts';
import '../elements/agent-row.ts';
import { byAttention, stateOf } from '../elements/agent-text.ts';
import { gistOf, groupApprovals } from '../elements/approval-text.ts';
import { type FeedContext, feedRow } from '../elements/feed-row.ts';
import { mergeFeed } from '../elements/feed-text.ts';
import { glyph, riskGlyph } from '../elements/glyph.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { empty, meter, seen, seenLine, spentOf } from '../elements/parts.ts';
import { toLine } from '../elements/visible-text.ts';
import { activities, agents, approvals, gateways, openAlerts, overview, pendingApprovals, toolCalls } from '../store.ts';
import { ALERT_WORDS, age, capMoney, money, plural, RISK_WORDS, wait } from '../words.ts';
import { firstStepsDue } from './first-run.ts';
import './overview.css';

const WAITING_SHOWN = 6;
const ALERTS_SHOWN = 5;
const SPENDERS_SHOWN = 6;
const FEED_SHOWN = 60;
const CONTEXT: FeedContext = { brief: 110, nameOf: (id) => agents.get(id)?.name, waits: (id) => approvals.get(id)?.status === 'pending' };

@customElement('mc-overview')
export class OverviewElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    const isDue = firstStepsDue();
    if (isDue && toolCalls.all().length === 0) return html`<mc-first-run></mc-first-run>`;
    const now = serverNow();
    const squad = agents.all().sort(byAttention(now));
    return html`<div class="ov">
      <aside class="ov-agents" aria-label="Agents">
        <div class="side-h"><h2>Agents <span class="muted">${squad.length}</span></h2></div>
        <div class="scroll grow" tabindex="0" role="region" aria-label="Agent list">${repeat(
          squad,
          (agent) => agent.id,
          (agent) => html`<mc-agent-row .agent=${agent} .now=${now}></mc-agent-row>`,
        )}</div>
        ${gateFooter()}
      </aside>
      <div class="ov-main scroll" tabindex="0" role="region" aria-label="Overview">
        <h1 class="sr">Overview</h1>
        ${isDue ? html`<mc-first-run class="ov-first" .brief=${true}></mc-first-run>` : nothing}
        <div class="ov-col">${waiting(now)} ${runs(squad, now)}</div>
        <div class="ov-col">${wrong(now)} ${cost(squad)}</div>
      </div>
      <aside class="ov-feed" aria-label="Feed">
        <div class="side-h"><h2 class="grow">Feed</h2><a class="small" href="/feed">All of it</a></div>
        <div class="scroll grow" tabindex="0" role="log" aria-live="off" aria-label="Latest">${feed()}</div>
      </aside>
    </div>`;
  }
}

function waiting(now: number): TemplateResult {
  const list = pendingApprovals.get();
  const groups = groupApprovals(list);
  return html`<section class="panel ov-1">
    <div class="panel-h"><h2 class="grow">What waits for you</h2>${list.length ? html`<span class="muted">${list.length}, oldest ${wait(now - (list[0]?.createdAt ?? now))}</span>` : nothing}</div>
    ${
      list.length === 0
        ? empty('Nothing waits for you', 'Held calls show up here and in the inbox.')
        : html`<ul>${groups
            .slice(0, WAITING_SHOWN)
            .map(
              ({ items: [approval, ...alike] }) =>
                html`<li class="pr pr--link"><span>${riskGlyph(approval.risk)}<span class="sr">${RISK_WORDS[approval.risk]} risk</span></span><a href="/approvals/${approval.id}"><span class="ov-two"><code>${seenLine(gistOf(approval))}</code><span class="muted cut">${alike.length ? html`<b class="b ink2">×${alike.length + 1}</b><span class="sr"> calls alike, </span> ` : nothing}${approval.agentName ?? ''}${approval.taskTitle ? `, ${toLine(approval.taskTitle)}` : ''}</span></span></a><span class="${now - approval.createdAt > 120_000 ? 'm-amber b' : 'muted'}">${wait(now - approval.createdAt)}</span></li>`,
            )}</ul>${groups.length > WAITING_SHOWN ? html`<p class="ov-more"><a href="/approvals">All ${list.length} in the inbox</a></p>` : nothing}`
    }
  </section>`;
}

function wrong(now: number): TemplateResult {
  const list = openAlerts.get();
  return html`<section class="panel ov-2">
    <div class="panel-h"><h2 class="grow">What is wrong</h2>${list.length ? html`<span class="muted">${plural(list.length, 'open alert')}</span>` : nothing}</div>
    ${list.length === 0 ? empty('Nothing is wrong', 'No alert is open.') : html`<ul>${list.slice(0, ALERTS_SHOWN).map((alert) => html`<li class="pr pr--link">${icon('triangle-alert', 14, alert.severity === 'critical' || alert.severity === 'high' ? 'k-red' : alert.severity === 'medium' ? 'k-amber' : 'k-ink')}<a href="/alerts/${alert.id}"><span><b class="b">${ALERT_WORDS[alert.type]}</b> <span class="ink2">${seen(alert.message)}</span></span></a><span class="muted nb">${age(now - alert.createdAt)}</span></li>`)}</ul>`}
  </section>`;
}

function cost(squad: readonly Agent[]): TemplateResult | typeof nothing {
  const now = overview.get();
  if (!now) return nothing;
  const top = [...squad]
    .filter((agent) => agent.todaySpend > 0)
    .sort((a, b) => b.todaySpend - a.todaySpend)
    .slice(0, SPENDERS_SHOWN);
  return html`<section class="panel ov-3">
    <div class="panel-h"><h2 class="grow">What today costs</h2></div>
    <div class="panel-b ov-cost"><p class="big">${money(now.todaySpend, now.fleetCap)}</p><p class="small muted">${now.fleetCap === null ? 'the whole fleet; no fleet cap is set' : `the whole fleet, of ${capMoney(now.fleetCap)}`}</p>${meter(now.todaySpend, now.fleetCap)}</div>
    <ul>${top.map((agent) => html`<li class="pr"><a class="ov-plain" href="/agents/${agent.id}">${agent.name}</a>${spentOf(agent.todaySpend, agent.todayCap)}<span class="pr-m">${meter(agent.todaySpend, agent.todayCap)}</span></li>`)}</ul>
  </section>`;
}

function runs(squad: readonly Agent[], now: number): TemplateResult {
  const working = squad.filter((agent) => stateOf(agent, now) === 'active' || agent.status === 'drained');
  return html`<section class="panel ov-4">
    <div class="panel-h"><h2 class="grow">What runs</h2><span class="muted">${working.length} of ${squad.length} at work</span></div>
    ${
      working.length === 0
        ? empty('Nobody is at work', 'An agent counts as at work for five minutes after its last call.')
        : html`<ul>${working.map((agent) => {
            const last = toolCalls.all().find((call) => call.agentId === agent.id);
            return html`<li class="pr pr--link"><span>${last ? riskGlyph(last.risk) : glyph('clock', 'ink')}</span><a href=${last ? `?call=${last.id}` : `/agents/${agent.id}`}><span class="ov-two"><b class="b">${agent.name}</b>${last ? html`<code class="muted">${seenLine(`${last.tool} ${last.summary}`)}</code>` : nothing}</span></a><span class="muted nb">${agent.lastCallAt === null ? '' : age(now - agent.lastCallAt)}</span></li>`;
          })}</ul>`
    }
  </section>`;
}

function feed(): TemplateResult {
  const entries = mergeFeed({ activities: activities.all(), calls: toolCalls.all(), moreActivities: false, moreCalls: false }, 'all').slice(
    0,
    FEED_SHOWN,
  );
  return entries.length === 0
    ? empty('Nothing yet', 'Every decision, call and alert shows up here.')
    : html`${repeat(
        entries,
        (entry) => entry.id,
        (entry) => feedRow(entry, CONTEXT),
      )}`;
}

function gateFooter(): TemplateResult | typeof nothing {
  const gated = agents.all().filter((agent) => agent.gate === 'openclaw');
  if (gated.length === 0) return nothing;
  const live = gated.filter((agent) => agent.gatewayId !== null && gateways.get(agent.gatewayId)?.gate === 'live').length;
  return html`<a class="ov-gate" href="/health">${icon(live === gated.length ? 'shield-check' : 'shield-alert', 14, live === gated.length ? 'k-green' : 'k-amber')}Gate live for ${live} of ${gated.length}</a>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-overview': OverviewElement;
  }
}
