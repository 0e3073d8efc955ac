/** The shell's head: places, age of the data, today's spend, pausing and stopping, who is signed in. Always the same, on every view. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { pauseSquad } from '../actions.ts';
import { brandMark, icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, meter } from '../elements/parts.ts';
import { freshness } from '../freshness.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { setTheme, type Theme, theme } from '../preferences.ts';
import { type PlaceName, place } from '../routes.ts';
import { openSearch } from '../searching.ts';
import { signOut } from '../sessions.ts';
import { openAlerts, overview, pendingApprovals, session, system, upstreams } from '../store.ts';
import { isPhone } from '../viewport.ts';
import { capMoney, money, ROLE_WORDS } from '../words.ts';
import '../elements/data-age.ts';
import './header.css';
import './stop-control.ts';

const PLACES: readonly { name: PlaceName; path: string; label: string }[] = [
  { name: 'board', path: '/board', label: 'Board' },
  { name: 'approvals', path: '/approvals', label: 'Approvals' },
  { name: 'agents', path: '/agents', label: 'Agents' },
  { name: 'alerts', path: '/alerts', label: 'Alerts' },
  { name: 'spend', path: '/spend', label: 'Spend' },
  { name: 'policies', path: '/policies', label: 'Policy' },
  { name: 'upstreams', path: '/upstreams', label: 'Upstreams' },
  { name: 'audit', path: '/audit', label: 'Audit' },
];

@customElement('mc-header')
export class HeaderElement extends SignalWatcher(LightElement) {
  /** Where one is, for the phone's head. */
  @property() override title = '';

  protected override render(): TemplateResult {
    const { state, ageMs } = freshness();
    const age = html`<mc-data-age class="hd-cell" .state=${state} .ageMs=${ageMs}></mc-data-age>
      <span class="sr" role="status">${SPOKEN[state]}</span>`;
    if (isPhone.get()) {
      return html`<header class="mh">${brandMark(20)}<span class="mh-title">${this.title}</span>${age}<button type="button" class="mh-search" aria-label="Search" @click=${openSearch}>${icon('search', 18)}</button>${this.#account()}</header>`;
    }
    return html`<header class="hd">
      <a class="brand" href="/overview" aria-label="Mission Control, overview">${brandMark()}<span>Mission Control</span></a>
      <nav class="nav" aria-label="Main">${PLACES.map(({ name, path, label }) => html`<a href=${path} aria-current=${place.get().name === name ? 'page' : nothing}>${label}${badge(name)}</a>`)}</nav>
      <button type="button" class="hd-search" aria-label="Search" aria-keyshortcuts="/ Control+K" @click=${openSearch}>${icon('search')}<span class="grow">Search</span><kbd aria-hidden="true">/</kbd></button>
      <div class="hd-right">
        ${age}
        <span class="hd-sep"></span>
        ${this.#spend()}
        <span class="hd-sep"></span>
        ${this.#pause()}
        <mc-stop-control></mc-stop-control>
        ${this.#account()}
      </div>
    </header>`;
  }

  #spend(): TemplateResult | typeof nothing {
    const now = overview.get();
    if (!now) return nothing;
    return html`<a class="hd-cell spend" href="/spend" title="Spend of the whole fleet today"><span class="sr">Fleet today: </span>
      <span class="small"><b class="b">${money(now.todaySpend, now.fleetCap)}</b> <span class="muted">${now.fleetCap === null ? 'today' : `of ${capMoney(now.fleetCap)} today`}</span></span>
      ${meter(now.todaySpend, now.fleetCap)}
    </a>`;
  }

  #pause(): TemplateResult | typeof nothing {
    const now = system.get();
    if (!now || now.estop || now.squadPaused) return nothing;
    const against = reasonAgainst('pause the squad');
    return html`${button({
      label: 'Pause squad',
      icon: 'pause',
      size: 'small',
      kind: 'quiet',
      reason: against,
      reasonId: 'pause-squad-why',
      onClick: () => void pauseSquad(),
      onRefused: () => say('refused', `Pausing the squad: ${against}`),
    })}${against === null ? nothing : html`<span class="sr" id="pause-squad-why">${against}</span>`}`;
  }

  #account(): TemplateResult | typeof nothing {
    const now = session.get();
    if (!now) return nothing;
    const { name, role } = now.operator;
    return html`<button type="button" class="ava" popovertarget="account"><span aria-hidden="true">${initials(name)}</span><span class="sr">${name}, ${ROLE_WORDS[role]}: account, theme, settings</span></button>
      <div id="account" popover class="menu">
        <p class="menu-who"><b class="b">${name}</b><br /><span class="muted">${ROLE_WORDS[role]}</span></p>
        <div class="menu-theme" role="group" aria-label="Theme"><span class="lbl">Theme</span><div class="seg">${(
          ['system', 'light', 'dark'] as Theme[]
        ).map(
          (value) =>
            html`<button type="button" aria-pressed=${theme.get() === value} @click=${() => setTheme(value)}>${THEMES[value]}</button>`,
        )}</div></div>
        <a class="menu-item" href="/overview" @click=${closeMenu}>Overview</a>
        <a class="menu-item" href="/feed" @click=${closeMenu}>Feed</a>
        <a class="menu-item" href="/alerts" @click=${closeMenu}>Alerts</a>
        <a class="menu-item" href="/spend" @click=${closeMenu}>Spend</a>
        <a class="menu-item" href="/policies" @click=${closeMenu}>Policy</a>
        <a class="menu-item" href="/upstreams" @click=${closeMenu}>Upstreams</a>
        <a class="menu-item" href="/audit" @click=${closeMenu}>Audit</a>
        <a class="menu-item" href="/health" @click=${closeMenu}>Health</a>
        <a class="menu-item" href="/start" @click=${closeMenu}>First steps</a>
        <a class="menu-item" href="/settings" @click=${closeMenu}>Gateways and settings</a>
        <button type="button" class="menu-item" @click=${() => void signOut()}>Sign out</button>
      </div>`;
  }
}

/** Said once when it changes, not every second. */
const SPOKEN = {
  starting: 'Connecting',
  live: 'Connection: live',
  old: 'Connection: data is a few seconds old',
  offline: 'Connection: offline, the data is old',
} as const;

const THEMES: Record<Theme, string> = { system: 'System', light: 'Light', dark: 'Dark' };

/** What waits in a place. */
export function badge(name: PlaceName): TemplateResult | typeof nothing {
  if (name === 'approvals') {
    const waiting = pendingApprovals.get().length;
    return waiting > 0 ? html`<span class="badge badge--act">${waiting}<span class="sr"> waiting</span></span>` : nothing;
  }
  if (name === 'alerts') {
    const open = openAlerts.get();
    const critical = open.some((alert) => alert.severity === 'critical');
    return open.length > 0
      ? html`<span class="badge ${critical ? 'badge--red' : ''}">${open.length}<span class="sr"> open</span></span>`
      : nothing;
  }
  if (name === 'upstreams') {
    const held = upstreams.all().reduce((sum, upstream) => sum + upstream.heldTools, 0);
    return held > 0 ? html`<span class="badge badge--act">${held}<span class="sr"> held</span></span>` : nothing;
  }
  return nothing;
}

function closeMenu(event: Event): void {
  if (event.target instanceof Element) event.target.closest<HTMLElement>('[popover]')?.hidePopover();
}

function initials(name: string): string {
  const words = name.split(/[\s-]+/).filter(Boolean);
  return (words.length > 1 ? `${words[0]?.[0] ?? ''}${words.at(-1)?.[0] ?? ''}` : name.slice(0, 2)).toUpperCase();
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-header': HeaderElement;
  }
}
