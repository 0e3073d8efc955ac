/**
 * What nobody may overlook, under the head of every view: the emergency stop, a lost connection, a paused squad, critical alerts.
 * The gravest first; each says what happened, what still works, and the way on.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { Agent, SystemState } from '../../control/contract.ts';
import { restartSquad } from '../actions.ts';
import { localNow, serverNow } from '../clock.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, seen } from '../elements/parts.ts';
import { freshness } from '../freshness.ts';
import { say } from '../notices.ts';
import { hasRole, reasonAgainst } from '../permissions.ts';
import { place } from '../routes.ts';
import { retryNow } from '../sessions.ts';
import { agents, heardAt, link, loadError, loaded, openAlerts, system } from '../store.ts';
import { ALERT_WORDS, age, clock, plural, wait } from '../words.ts';
import './banners.css';
import './resume-control.ts';

@customElement('mc-banners')
export class BannersElement extends SignalWatcher(LightElement) {
  @state() private resuming = false;
  @state() private restarting = false;

  protected override render(): TemplateResult {
    const now = system.get();
    return html`
      ${now?.estop ? stopped(now) : nothing}
      ${lost()}
      ${now?.squadPaused && !now.estop ? this.#paused(now) : nothing}
      ${now?.estop || place.get().name === 'alerts' ? nothing : critical()}
    `;
  }

  #paused(now: SystemState): TemplateResult {
    const since = now.squadPausedAt ?? 0;
    const paused = agents.all().filter((agent) => agent.status === 'paused' && agent.statusChangedAt >= since);
    const against = reasonAgainst('control agents');
    return html`<div class="note" role="status">
      ${icon('pause', 16, 'k-amber')}
      <span><b class="b">The squad is paused.</b> ${now.squadPausedBy ?? 'Somebody'} paused it${now.squadPausedAt === null ? '' : ` at ${clock(now.squadPausedAt)}`}. New calls of every agent are refused; tasks and held calls stay as they are.</span>
      <span class="end row">
        ${hasRole('resume') ? button({ label: 'Lift the pause', size: 'small', kind: 'quiet', onClick: () => this.#resume(true) }) : nothing}
        ${button({
          label: `Restart ${plural(paused.length, 'agent')}`,
          size: 'small',
          icon: 'rotate-ccw',
          busy: this.restarting ? 'Restarting' : null,
          reason: against,
          reasonId: 'restart-squad-why',
          onClick: () => void this.#restart(paused),
          onRefused: () => say('refused', `Restarting: ${against}`),
        })}${against === null ? nothing : html`<span class="sr" id="restart-squad-why">${against}</span>`}
      </span>
      ${this.resuming ? html`<mc-resume-control @mc-close=${() => this.#resume(false)}></mc-resume-control>` : nothing}
    </div>`;
  }

  #resume(open: boolean): void {
    this.resuming = open;
  }

  async #restart(paused: readonly Agent[]): Promise<void> {
    this.restarting = true;
    await restartSquad(paused);
    this.restarting = false;
  }
}

function stopped(now: SystemState): TemplateResult {
  const since = now.stoppedAt;
  return html`<section class="inc" aria-label="Emergency stop active">
    ${icon('octagon-x', 32)}
    <div role="alert">
      <p class="inc-h">Emergency stop is active</p>
      <p>Pressed by <b>${now.stoppedBy ?? 'somebody'}</b>${since === null ? nothing : html` at ${clock(since)}`}.${now.stopReason ? html` Reason: "${seen(now.stopReason)}".` : nothing} Nothing runs until an administrator resumes.</p>
    </div>
    ${since === null ? nothing : html`<div class="inc-clock" role="timer" aria-label="Since the press">${wait(serverNow() - since)}<small>since the press</small></div>`}
    ${place.get().name === 'incident' ? nothing : html`<a class="btn" href="/incident">Open the receipt</a>`}
  </section>`;
}

function lost(): TemplateResult | typeof nothing {
  const now = link.get();
  if (freshness().state !== 'offline') return nothing;
  const last = heardAt.get();
  const next = now.state === 'lost' && now.retryAt !== null ? Math.max(0, Math.ceil((now.retryAt - localNow()) / 1000)) : null;
  const error = loaded.get() ? (now.state === 'lost' ? now.error : null) : loadError.get();
  return html`<div class="note note--red" role="alert">
    ${icon('unplug', 16, 'k-red')}
    <span><b class="b">${last === null ? 'The server cannot be reached.' : `Connection lost at ${clock(last)}.`}</b> ${error && last === null ? `${error} ` : ''}${last === null ? '' : `You see the state of ${age(localNow() - last)} ago; the gate goes on judging. `}Decisions wait until it is back. The emergency stop keeps trying, or run <code>npm run -s mc -- stop</code> on the server.</span>
    <span class="end row">${next === null ? nothing : html`<span class="small ink2 nb">next try in ${next} s</span>`}${button({ label: 'Try now', size: 'small', icon: 'rotate-cw', onClick: retryNow })}</span>
  </div>`;
}

function critical(): TemplateResult[] {
  const open = openAlerts.get().filter((alert) => alert.severity === 'critical');
  return open.slice(0, 2).map(
    (alert, i) => html`<div class="note note--red" role="alert">
      ${icon('shield-alert', 16, 'k-red')}
      <span><b class="b">${ALERT_WORDS[alert.type]}.</b> ${seen(alert.message)}</span>
      <span class="end row"><span class="small ink2 nb">${age(serverNow() - alert.createdAt)} ago</span><a class="btn btn--s" href="/alerts/${alert.id}">${i === 1 && open.length > 2 ? `Open all ${open.length} alerts` : 'Open the alert'}</a></span>
    </div>`,
  );
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-banners': BannersElement;
  }
}
