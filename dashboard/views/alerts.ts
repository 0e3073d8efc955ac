/** What is wrong: open alerts, gravest first, with whom they concern and how to close them; and those that were resolved. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Alert } from '../../control/contract.ts';
import { resolveAlert, sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { chip } from '../elements/glyph.ts';
import { type IconName, icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, choice, empty, failed, moment, seen, skeleton, why } from '../elements/parts.ts';
import { reasonAgainst } from '../permissions.ts';
import { place } from '../routes.ts';
import { agents, gateways, openAlerts } from '../store.ts';
import { ALERT_WORDS, age, SEVERITY_WORDS, when } from '../words.ts';
import './alerts.css';

const RANK: Record<Alert['severity'], number> = { critical: 3, high: 2, medium: 1, low: 0 };
const TONES: Record<Alert['severity'], 'red' | 'amber' | 'none'> = { critical: 'red', high: 'red', medium: 'amber', low: 'none' };
const ICONS: Record<Alert['type'], IconName> = {
  budget_exceeded: 'circle-dollar-sign',
  loop_detected: 'rotate-cw',
  agent_error_streak: 'triangle-alert',
  approval_timeout: 'hourglass',
  approval_escalated: 'hourglass',
  security_violation: 'shield-alert',
  gate_missing: 'shield-alert',
  drill_failed: 'shield-alert',
  agent_quarantined: 'octagon-minus',
  emergency_stop: 'octagon-x',
  budget_threshold: 'circle-dollar-sign',
  ledger_drift: 'triangle-alert',
  agent_silent: 'unplug',
  task_stuck: 'hourglass',
  authorization_needed: 'key-round',
  notification_failed: 'message-square',
};
const SHOWN = 100;

@customElement('mc-alerts')
export class AlertsElement extends SignalWatcher(LightElement) {
  @state() private tab: 'open' | 'resolved' = 'open';
  @state() private resolved: readonly Alert[] | null = null;
  @state() private failure: string | null = null;
  @state() private busy: string | null = null;

  protected override render(): TemplateResult {
    const open = [...openAlerts.get()].sort((a, b) => RANK[b.severity] - RANK[a.severity] || b.createdAt - a.createdAt);
    const against = reasonAgainst('resolve alerts');
    return html`<div class="page scroll" tabindex="0" role="region" aria-label="Alerts">
      <div class="page-h">
        <h1>Alerts</h1>
        <span class="small grow"><a href="/health">Health of every part</a></span>
        ${choice(
          'Show',
          [
            { value: 'open', label: 'Open', count: open.length },
            { value: 'resolved', label: 'Resolved' },
          ] as const,
          this.tab,
          (tab) => this.#choose(tab),
        )}
      </div>
      ${this.tab === 'open' && open.length > 0 ? why(against, 'alert-why') : nothing}
      <section class="panel">
        ${
          this.tab === 'open'
            ? open.length === 0
              ? empty('Nothing is wrong', 'A missing gate, a spent budget, a loop, a silent agent or a broken rule shows up here.')
              : html`<ul>${repeat(
                  open,
                  (alert) => alert.id,
                  (alert) => this.#row(alert, against),
                )}</ul>`
            : this.#resolvedRows()
        }
      </section>
    </div>`;
  }

  #resolvedRows(): TemplateResult {
    if (this.failure !== null) return failed('Resolved alerts could not be read', this.failure, () => void this.#fetch());
    if (this.resolved === null) return skeleton(4);
    if (this.resolved.length === 0) return empty('None yet', 'Alerts that somebody resolved are kept here.');
    return html`<ul>${repeat(
      this.resolved,
      (alert) => alert.id,
      (alert) => this.#row(alert, null),
    )}</ul>`;
  }

  #row(alert: Alert, against: string | null): TemplateResult {
    const now = serverNow();
    return html`<li class="al ${place.get().id === alert.id ? 'al--here' : ''}" id="alert-${alert.id}">
      ${icon(ICONS[alert.type], 16, alert.resolved ? 'k-ink' : TONES[alert.severity] === 'none' ? 'k-ink' : `k-${TONES[alert.severity]}`)}
      <div class="grow">
        <p class="al-h"><b class="b">${ALERT_WORDS[alert.type]}</b>${chip(alert.resolved ? 'none' : TONES[alert.severity], SEVERITY_WORDS[alert.severity])}</p>
        <p class="ink2">${seen(alert.message)}</p>
        <p class="small muted al-m">${moment(alert.createdAt, `${age(now - alert.createdAt)} ago`)}${this.#about(alert)}${alert.resolved && alert.resolvedAt !== null ? html`, resolved by ${alert.resolvedBy ?? 'somebody'} ${when(alert.resolvedAt, now)}` : nothing}</p>
      </div>
      ${alert.resolved ? nothing : button({ label: 'Resolve', size: 'small', busy: this.busy === alert.id ? 'Resolving' : null, reason: against, reasonId: 'alert-why', onClick: () => void this.#resolve(alert) })}
    </li>`;
  }

  #about(alert: Alert): TemplateResult | typeof nothing {
    const agent = alert.agentId === null ? undefined : agents.get(alert.agentId);
    const gateway = alert.gatewayId === null ? undefined : gateways.get(alert.gatewayId);
    if (agent) return html`, <a href="/agents/${agent.id}">${agent.name}</a>`;
    return gateway ? html`, <a href="/settings">${gateway.name}</a>` : nothing;
  }

  #choose(tab: 'open' | 'resolved'): void {
    this.tab = tab;
    if (tab === 'resolved') void this.#fetch();
  }

  async #resolve(alert: Alert): Promise<void> {
    this.busy = alert.id;
    await resolveAlert(alert);
    this.busy = null;
  }

  async #fetch(): Promise<void> {
    this.failure = null;
    try {
      this.resolved = (await api.listResolvedAlerts({ limit: SHOWN })).items;
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-alerts': AlertsElement;
  }
}
