/** What agents reach through the gate: every upstream with its health and the tools that wait for an operator; or one of them in full. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Upstream } from '../../control/contract.ts';
import { serverNow } from '../clock.ts';
import { glyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { ago, button, empty, seenLine, why } from '../elements/parts.ts';
import { reasonAgainst } from '../permissions.ts';
import { go } from '../routes.ts';
import { upstreams } from '../store.ts';
import { HEALTH_WORDS, plural, UPSTREAM_KIND_WORDS } from '../words.ts';
import './upstream-detail.ts';
import './upstream-form.ts';
import './upstreams.css';

@customElement('mc-upstreams')
export class UpstreamsElement extends SignalWatcher(LightElement) {
  /** The upstream that is shown in full; null = the list. */
  @property({ attribute: false }) name: string | null = null;
  @state() private adding = false;

  protected override render(): TemplateResult {
    if (this.name !== null) {
      const upstream = upstreams.all().find((item) => item.name === this.name);
      return upstream
        ? html`<mc-upstream-detail .upstream=${upstream}></mc-upstream-detail>`
        : html`<div class="page"><h1>There is no such upstream</h1><p class="ink2">It may have been removed. <a href="/upstreams">All upstreams</a></p></div>`;
    }
    const now = serverNow();
    const against = reasonAgainst('manage upstreams');
    const all = upstreams.all().sort((a, b) => b.heldTools - a.heldTools || a.name.localeCompare(b.name, 'en', { numeric: true }));
    return html`<div class="page page--wide scroll" tabindex="0" role="region" aria-label="Upstreams">
      <div class="page-h">
        <h1>Upstreams</h1>
        ${button({ label: 'Add upstream', icon: 'plus', reason: against, reasonId: 'add-why', onClick: () => this.#add(true) })}
      </div>
      ${why(against, 'add-why')}
      <section class="panel up-list">
        ${
          all.length === 0
            ? empty(
                'No upstream is registered',
                html`Add an MCP server, a REST service or a model API here; agents then reach it through the gate at <code>/mcp/{name}</code>, <code>/http/{name}</code> or <code>/model/{name}</code> with their own token.`,
              )
            : html`<table class="tbl up-tbl">
                <thead><tr><th>Upstream</th><th>Health</th><th>Tools</th><th>Where</th><th>Trust</th><th class="num">Last answer</th></tr></thead>
                <tbody>${repeat(
                  all,
                  (upstream) => upstream.id,
                  (upstream) => row(upstream, now),
                )}</tbody>
              </table>`
        }
      </section>
      ${this.adding ? html`<mc-upstream-form @mc-close=${() => this.#add(false)} @mc-saved=${(event: CustomEvent<string>) => go(`/upstreams/${event.detail}`)}></mc-upstream-form>` : ''}
    </div>`;
  }

  #add(open: boolean): void {
    this.adding = open;
  }
}

function row(upstream: Upstream, now: number): TemplateResult {
  const { health } = upstream;
  return html`<tr>
    <td><a class="up-name" href="/upstreams/${upstream.name}"><span class="nm b">${upstream.name}</span><span class="muted">${UPSTREAM_KIND_WORDS[upstream.kind]}</span></a></td>
    <td>${healthWord(upstream)}${health.state === 'down' && health.lastError ? html`<span class="up-err muted">${seenLine(health.lastError)}</span>` : ''}</td>
    <td>${upstream.heldTools > 0 ? html`<span class="bare m-amber b">${glyph('bars', 'amber')}${upstream.heldTools} held</span> ` : ''}<span class="muted">${plural(upstream.toolCount, 'tool')}</span></td>
    <td class="up-where"><code>${seenLine(upstream.url ?? (upstream.command ?? []).join(' '))}</code></td>
    <td class="muted">${upstream.trusted ? 'trusted' : 'not trusted'}</td>
    <td class="num muted">${ago(health.lastSuccessAt, now)}</td>
  </tr>`;
}

/** Whether it answers, as the proxies last found it. */
export function healthWord({ health }: Pick<Upstream, 'health'>): TemplateResult {
  switch (health.state) {
    case 'up':
      return html`<span class="bare m-green">${glyph('tick', 'green')}${HEALTH_WORDS.up}</span>`;
    case 'down':
      return html`<span class="bare m-red">${glyph('cross', 'red')}${HEALTH_WORDS.down}</span>`;
    case 'unknown':
      return html`<span class="bare ink2">${glyph('clock', 'ink')}${HEALTH_WORDS.unknown}</span>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-upstreams': UpstreamsElement;
  }
}
