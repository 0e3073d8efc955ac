/**
 * The emergency stop: the five questions in short, the receipt, who went silent and when, what is blocked, and the way back for an administrator.
 * After resuming, the last receipt stays readable.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { StopReceipt } from '../../control/contract.ts';
import { readStopProof } from '../actions.ts';
import { serverNow } from '../clock.ts';
import { answersList } from '../elements/answers.ts';
import { type Answers, stopAnswers } from '../elements/answers-text.ts';
import { feedRow } from '../elements/feed-row.ts';
import { mergeFeed } from '../elements/feed-text.ts';
import { chip, glyph } from '../elements/glyph.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, empty, moment, seen } from '../elements/parts.ts';
import { activities, agents, alerts, approvals, overview, system } from '../store.ts';
import { clock, plural, took, when } from '../words.ts';
import './incident.css';
import './resume-control.ts';

/** The promise (SPEC 12): the last admitted call within so long after the press. */
const PROMISE_MS = 250;
const LED_SHOWN = 8;

@customElement('mc-incident')
export class IncidentElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    const now = system.get();
    const receipt = now?.receipt ?? null;
    return html`<div class="page page--wide scroll" tabindex="0" role="region" aria-label="Emergency stop">
      <div class="page-h"><h1 class="grow">${now?.estop ? 'Stopped' : 'Emergency stop'}</h1>${receipt ? html`${button({ label: 'Save the receipt', icon: 'download', size: 'small', onClick: () => save(receipt) })}${button({ label: 'Save its key', icon: 'key-round', size: 'small', onClick: () => void saveKey() })}` : nothing}</div>
      ${
        receipt
          ? html`<section class="panel inm-ans"><div class="panel-h"><h2>In short</h2></div>${answersList(answersOf(receipt, now?.estop === true))}</section><div class="inm"><div class="inm-l">${silence(receipt)}${led(receipt)}</div><div class="inm-r">${now?.estop ? resumePanel() : over(receipt)}${blocked(receipt, now?.estop === true)}</div></div>`
          : html`<section class="panel">${empty('It was never pressed', 'The receipt of an emergency stop stands here: for each proxy, agent and gateway when it went silent.')}</section>`
      }
    </div>`;
  }
}

function answersOf(receipt: StopReceipt, active: boolean): Answers {
  const [before] = alerts
    .all()
    .filter((alert) => alert.createdAt <= receipt.stoppedAt)
    .sort((a, b) => b.createdAt - a.createdAt);
  const today = overview.get();
  return stopAnswers(receipt, { active, before: before ?? null, spent: today?.todaySpend ?? null, cap: today?.fleetCap ?? null });
}

function resumePanel(): TemplateResult {
  return html`<section class="panel"><div class="panel-h"><h2 class="grow">Resume</h2>${chip('none', html`${icon('key-round', 12)}administrators only`)}</div><div class="panel-b"><mc-resume-form></mc-resume-form></div></section>`;
}

function over(receipt: StopReceipt): TemplateResult {
  return html`<section class="panel"><div class="panel-h"><h2>Resumed</h2></div><div class="panel-b ink2">This is the receipt of the last stop, pressed ${when(receipt.stoppedAt, serverNow())} by ${receipt.stoppedBy}. Calls are judged again.</div></section>`;
}

function silence(receipt: StopReceipt): TemplateResult {
  const answered = receipt.proxies.filter((proxy) => proxy.acknowledgedAt !== null);
  const slowest = Math.max(0, ...answered.map((proxy) => proxy.silentAfterMs ?? 0));
  const all = answered.length === receipt.proxies.length;
  return html`<section class="panel rcpt">
    <div class="panel-h"><h2>Stop receipt</h2><span class="muted">${all ? html`every proxy silent after <b class="b ink">${took(slowest)}</b>` : html`<b class="b m-amber">${plural(receipt.proxies.length - answered.length, 'proxy has', 'proxies have')} not answered</b>`}, promise ${PROMISE_MS} ms</span></div>
    <div class="scroll" tabindex="0" role="region" aria-label="Stop receipt"><table class="tbl">
      <thead><tr><th>Who</th><th>Last admitted call</th><th class="num">Held calls withdrawn</th><th class="num">After the press</th><th class="num">State</th></tr></thead>
      <tbody>
        <tr class="grp"><td colspan="5">Proxies, ${answered.length} of ${receipt.proxies.length} confirmed</td></tr>
        ${receipt.proxies.map((proxy) => {
          const after = proxy.silentAfterMs;
          return row(
            proxy.id,
            proxy.lastAdmittedAt,
            proxy.withdrawnCalls,
            after === null
              ? html`<span class="m-amber">no answer, refuses once its snapshot is stale</span>`
              : html`<b class="b ${after > PROMISE_MS ? 'm-amber' : ''}">${took(after)}</b>`,
            after !== null,
          );
        })}
        <tr class="grp"><td colspan="5">Agents, ${receipt.agents.length}</td></tr>
        ${receipt.agents.map((agent) => row(agent.name, agent.lastAdmittedAt, agent.withdrawnCalls, agent.silentAfterMs === null ? '' : took(agent.silentAfterMs), agent.silentAfterMs !== null))}
        ${receipt.gateways.length ? html`<tr class="grp"><td colspan="5">OpenClaw gateways, ${receipt.gateways.filter((gateway) => gateway.error === null).length} of ${receipt.gateways.length} confirmed</td></tr>` : nothing}
        ${receipt.gateways.map((gateway) => html`<tr><td class="b">${gateway.name}</td><td colspan="3" class="wrap">${gateway.error === null ? html`<span class="muted">${plural(gateway.abortedSessions, 'session')} told to abort</span>` : html`<span class="m-amber">cannot abort its runs (${seen(gateway.error)}), but all its calls are refused</span>`}</td><td class="num">${confirmed(gateway.error === null)}</td></tr>`)}
      </tbody>
    </table></div>
  </section>`;
}

function row(name: string, lastAdmittedAt: number | null, withdrawn: number, after: unknown, silent: boolean): TemplateResult {
  return html`<tr><td class="b">${name}</td><td>${lastAdmittedAt === null ? html`<span class="muted">none</span>` : html`${moment(lastAdmittedAt, clock(lastAdmittedAt))}<span class="muted">.${String(lastAdmittedAt % 1000).padStart(3, '0')}</span>`}</td><td class="num">${withdrawn}</td><td class="num">${after}</td><td class="num">${confirmed(silent)}</td></tr>`;
}

function confirmed(yes: boolean): TemplateResult {
  return yes
    ? html`<span class="bare m-green">${glyph('tick', 'green')}Silent</span>`
    : html`<span class="bare m-amber">${glyph('bars', 'amber')}Unconfirmed</span>`;
}

function blocked(receipt: StopReceipt, active: boolean): TemplateResult {
  const withdrawn = receipt.proxies.reduce((sum, proxy) => sum + proxy.withdrawnCalls, 0);
  const cut = receipt.proxies.reduce((sum, proxy) => sum + proxy.cutStreams, 0);
  const aborted = receipt.gateways.reduce((sum, gateway) => sum + gateway.abortedSessions, 0);
  return html`<section class="panel"><div class="panel-h"><h2>${active ? 'What is blocked' : 'What was blocked'}</h2></div><ul class="bls">
    <li>${icon('ban')}<span>New calls</span><b class="b">${active ? 'all refused' : 'were refused'}</b></li>
    <li>${icon('circle-pause')}<span>Held calls withdrawn</span><b class="b">${withdrawn}</b></li>
    <li>${icon('unplug')}<span>Open streams cut</span><b class="b">${cut}</b></li>
    <li>${icon('octagon-minus')}<span>Open tasks moved to Blocked</span><b class="b">${receipt.blockedTasks}</b></li>
    <li>${icon('circle-stop')}<span>OpenClaw sessions aborted</span><b class="b">${aborted}</b></li>
    ${overview.get() ? html`<li>${icon('activity')}<span>Reading the dashboard</span><span class="m-green">works</span></li>` : nothing}
  </ul></section>`;
}

/** What was decided and alerted before the press, the latest first. */
function led(receipt: StopReceipt): TemplateResult | typeof nothing {
  const before = activities.all().filter((activity) => activity.createdAt < receipt.stoppedAt);
  const entries = [
    ...mergeFeed({ activities: before, calls: [], moreActivities: false, moreCalls: false }, 'decisions'),
    ...mergeFeed({ activities: before, calls: [], moreActivities: false, moreCalls: false }, 'alerts'),
  ]
    .filter((entry, i, all) => all.findIndex((other) => other.id === entry.id) === i)
    .sort((a, b) => b.at - a.at)
    .slice(0, LED_SHOWN);
  if (entries.length === 0) return nothing;
  const context = {
    exact: true,
    nameOf: (id: string) => agents.get(id)?.name,
    waits: (id: string) => approvals.get(id)?.status === 'pending',
  };
  return html`<section class="panel inm-led"><div class="panel-h"><h2 class="grow">What led here</h2><a class="small" href="/feed">All of the feed</a></div><div class="panel-b">${entries.map((entry) => feedRow(entry, context))}</div></section>`;
}

/** The receipt as it is, signed, for the incident's file. */
function save(receipt: StopReceipt): void {
  saveFile(JSON.stringify(receipt, null, 2), 'application/json', `stop-receipt-${receipt.id}.json`);
}

/** What proves it, with `stop verify`. */
async function saveKey(): Promise<void> {
  const proof = await readStopProof();
  if (proof) saveFile(proof.publicKeyPem, 'application/x-pem-file', `mission-control-${proof.keyId}.pem`);
}

function saveFile(text: string, type: string, name: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = document.createElement('a');
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(url);
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-incident': IncidentElement;
  }
}
