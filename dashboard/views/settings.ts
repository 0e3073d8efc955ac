/** How this installation stands: gateways and their gates, proxies, the active policy, the people; and what this browser remembers. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { Gateway } from '../../control/contract.ts';
import { serverNow } from '../clock.ts';
import { glyph } from '../elements/glyph.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { ago, choice, empty, moment, seen, why } from '../elements/parts.ts';
import { hasRole, reasonAgainst } from '../permissions.ts';
import { type Contrast, contrast, setContrast, setSingleKeys, setTheme, singleKeys, type Theme, theme } from '../preferences.ts';
import { agents, gateways, overview } from '../store.ts';
import { GATE_WORDS, LINK_WORDS, plural, when } from '../words.ts';
import './channels.ts';
import './gateway-admin.ts';
import './own-absence.ts';
import './people.ts';
import './settings.css';

@customElement('mc-settings')
export class SettingsElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    const now = serverNow();
    const about = overview.get();
    const list = gateways.all();
    const gatewayAgainst = reasonAgainst('manage gateways');
    return html`<div class="page scroll" tabindex="0" role="region" aria-label="Settings">
      <div class="page-h"><h1>Gateways and settings</h1></div>
      <section class="panel st">
        <div class="panel-h"><h2>OpenClaw gateways</h2><span class="muted grow">${list.length}</span><mc-gateway-admin></mc-gateway-admin></div>
        ${gatewayAgainst === null ? nothing : html`<div class="panel-b st-why">${why(gatewayAgainst, 'gw-why')}</div>`}
        ${list.length === 0 ? empty('No gateway is connected', html`Run this where OpenClaw runs: <code>npm run -s mc -- openclaw connect --config FILE</code>. It shows the change before it writes, and --undo takes it back.`) : html`<ul>${list.map((gateway) => gatewayRow(gateway, now))}</ul>`}
      </section>
      ${
        about
          ? html`<section class="panel st">
              <div class="panel-h"><h2>This installation</h2></div>
              <div class="panel-b"><dl class="kv">
                <dt>Version</dt><dd>${about.version}</dd>
                <dt>Active policy</dt><dd><a href="/policies/${about.activePolicy.version}"><code>${about.activePolicy.version}</code></a></dd>
                <dt>Proxies</dt><dd>${about.proxies.length === 0 ? 'none is known' : html`<ul class="st-px">${about.proxies.map((proxy) => html`<li>${proxy.state === 'live' ? glyph('tick', 'green') : glyph('bars', 'amber')}<code>${proxy.id}</code> <span class="muted">${proxy.state === 'live' ? 'live' : 'stale: it refuses calls'}, seen ${ago(proxy.lastSeenAt, now)}</span></li>`)}</ul>`}</dd>
                <dt>Health</dt><dd><a href="/health">Every part, as it is now</a></dd>
                <dt>First steps</dt><dd><a href="/start">Connecting OpenClaw, step by step</a></dd>
                <dt>Licences</dt><dd><a href="/licences.txt" target="_blank" rel="noreferrer">fonts and icons</a></dd>
              </dl></div>
            </section>`
          : nothing
      }
      <mc-channels></mc-channels>
      <mc-own-absence></mc-own-absence>
      ${hasRole('manage people') ? html`<mc-people></mc-people>` : nothing}
      <section class="panel st">
        <div class="panel-h"><h2>This browser</h2></div>
        <div class="panel-b st-prefs">
          <span>Theme</span>${choice<Theme>(
            'Theme',
            [
              { value: 'system', label: 'System' },
              { value: 'light', label: 'Light' },
              { value: 'dark', label: 'Dark' },
            ],
            theme.get(),
            setTheme,
          )}
          <span>Contrast</span>${choice<Contrast>(
            'Contrast',
            [
              { value: 'system', label: 'System' },
              { value: 'standard', label: 'Standard' },
              { value: 'more', label: 'High' },
            ],
            contrast.get(),
            setContrast,
          )}
          <span>Single keys (J, K, A, D and others)</span>${choice(
            'Single keys',
            [
              { value: 'on', label: 'On' },
              { value: 'off', label: 'Off' },
            ] as const,
            singleKeys.get() ? 'on' : 'off',
            (value) => setSingleKeys(value === 'on'),
          )}
        </div>
      </section>
    </div>`;
  }
}

const GATE_TEXTS: Record<Gateway['gate'], string> = {
  live: 'The plugin sends heartbeats.',
  silent: 'The plugin has stopped sending heartbeats; its agents are judged as interns.',
  missing: 'The gateway is up and its plugin is not: tools may run ungated.',
  unproven: 'The plugin has never been heard.',
};
const GATE_TONES = { live: 'green', silent: 'amber', missing: 'red', unproven: 'amber' } as const;
const LINK_TONES = { none: 'ink', connecting: 'amber', connected: 'green', unauthorized: 'red', down: 'amber' } as const;

function gatewayRow(gateway: Gateway, now: number): TemplateResult {
  const names = gateway.agentIds.map((id) => agents.get(id)).filter((agent) => agent !== undefined);
  const { link } = gateway;
  return html`<li class="gw">
    <div class="gw-h"><b class="b">${gateway.name}</b>${gateway.url ? html`<code class="muted">${seen(gateway.url)}</code>` : nothing}<span class="end small muted">${plural(gateway.agentIds.length, 'agent')}</span><mc-gateway-admin .gateway=${gateway}></mc-gateway-admin></div>
    <dl class="kv">
      <dt>Gate</dt><dd><span class="bare ${`m-${GATE_TONES[gateway.gate]}`}">${icon(gateway.gate === 'live' ? 'shield-check' : 'shield-alert', 14)}${GATE_WORDS[gateway.gate]}</span> <span class="muted">${GATE_TEXTS[gateway.gate]} Last heartbeat ${ago(gateway.lastHeartbeat, now)}${gateway.pluginVersion ? `, plugin ${gateway.pluginVersion}` : ''}.</span></dd>
      <dt>Link</dt><dd id="link-${gateway.id}"><span class="bare ${LINK_TONES[link.state] === 'ink' ? 'ink2' : `m-${LINK_TONES[link.state]}`}">${icon(link.state === 'connected' ? 'activity' : 'unplug', 14)}${LINK_WORDS[link.state]}</span> <span class="muted">since ${moment(link.since, when(link.since, now))}${link.error ? html`: ${seen(link.error)}` : nothing}. ${linkNote(gateway)}</span></dd>
      ${names.length ? html`<dt>Agents</dt><dd>${names.map((agent, i) => html`${i ? ', ' : ''}<a class="nb" href="/agents/${agent.id}">${agent.name}</a>`)}</dd>` : nothing}
    </dl>
  </li>`;
}

/** What the link does, or what is missing without it. */
function linkNote({ url, link }: Gateway): string {
  if (link.state !== 'connected')
    return `Decisions reach waiting agents only through open calls until it is back${url === null ? '.' : ', and its agents cannot be imported.'}`;
  return link.followsSessions
    ? 'It tells what happens in its sessions, so runs end here when they end there.'
    : 'It does not tell what happens in its sessions: a run ends here by the word of the plugin, or after 30 minutes of silence.';
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-settings': SettingsElement;
  }
}
