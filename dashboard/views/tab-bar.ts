/** The phone's places at the bottom, and at its right, always, the stop. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { type IconName, icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { type PlaceName, place } from '../routes.ts';
import { badge } from './header.ts';
import './stop-control.ts';
import './tab-bar.css';

const TABS: readonly { name: PlaceName; path: string; label: string; icon: IconName }[] = [
  { name: 'feed', path: '/feed', label: 'Feed', icon: 'activity' },
  { name: 'approvals', path: '/approvals', label: 'Approvals', icon: 'circle-pause' },
  { name: 'board', path: '/board', label: 'Board', icon: 'square-kanban' },
  { name: 'agents', path: '/agents', label: 'Agents', icon: 'bot' },
];

@customElement('mc-tab-bar')
export class TabBarElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    return html`<nav class="tabbar" aria-label="Main">
      ${TABS.map((tab) => html`<a href=${tab.path} aria-current=${place.get().name === tab.name ? 'page' : nothing}>${icon(tab.icon, 20)}${tab.label}${badge(tab.name)}</a>`)}
      <mc-stop-control .short=${'Stop'}></mc-stop-control>
    </nav>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-tab-bar': TabBarElement;
  }
}
