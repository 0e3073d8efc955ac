/**
 * One upstream: whether it answers, how it is reached, what it may use up, and its tools. A tool that changed or is new is held until
 * somebody has read what is different and accepts exactly that definition; another one that comes meanwhile is refused by the server.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Upstream, UpstreamOAuth, UpstreamTool } from '../../control/contract.ts';
import { acceptTool, removeUpstream, sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { definitionDiff } from '../elements/definition-diff.ts';
import { chip, glyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { ago, button, choice, empty, failed, moment, seen, skeleton, why } from '../elements/parts.ts';
import '../elements/voice.ts';
import { voiceTag } from '../elements/voice.ts';
import { type WayOut, wayOut } from '../elements/way-out.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { go } from '../routes.ts';
import { bytes, callMoney, count, HEALTH_WORDS, plural, TOOL_STATE_WORDS, took, UPSTREAM_KIND_WORDS, when } from '../words.ts';
import './upstream-form.ts';
import './upstreams.css';

const FILTERS = ['all', 'held', 'pinned', 'gone'] as const;
type Filter = (typeof FILTERS)[number];
const LABELS: Record<Filter, string> = { all: 'All', held: 'Held', pinned: 'Pinned', gone: 'Gone' };

@customElement('mc-upstream-detail')
export class UpstreamDetailElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) upstream: Upstream | null = null;
  @state() private tools: readonly UpstreamTool[] | null = null;
  @state() private failure: string | null = null;
  @state() private filter: Filter = 'all';
  @state() private editing = false;
  @state() private removing = false;
  /** Where somebody has to sign in for it. */
  @state() private way: WayOut | null = null;
  @state() private busy: string | null = null;
  #shownId: string | null = null;
  /** A reading is under way; `again` = something changed since it began. */
  #reading: { again: boolean } | null = null;

  protected override render(): TemplateResult | typeof nothing {
    const upstream = this.upstream;
    if (!upstream) return nothing;
    const now = serverNow();
    return html`<div class="upd scroll" tabindex="0" role="region" aria-label=${upstream.name}>
      ${this.#head(upstream, now)}
      ${this.#way(upstream, now)}
      ${upstream.kind === 'mcp' ? this.#tools(now) : this.#routes(upstream)}
      ${this.editing ? html`<mc-upstream-form .upstream=${upstream} @mc-close=${() => this.#edit(false)}></mc-upstream-form>` : nothing}
      ${this.way ? html`<mc-modal heading="Authorise ${upstream.name}" .content=${wayOut(this.way, 'Sign in there', 'Its authorization server asks you to sign in and to agree. It then sends you back here, and Mission Control keeps the token, sealed.')} @mc-close=${() => this.#leaveWay()}></mc-modal>` : nothing}
      ${this.removing ? html`<mc-modal heading="Remove ${upstream.name}" .content=${this.#removeForm(upstream)} @mc-close=${() => this.#askRemove(false)}></mc-modal>` : nothing}
    </div>`;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (!changed.has('upstream') || !this.upstream) return;
    if (this.upstream.id !== this.#shownId) {
      this.#shownId = this.upstream.id;
      this.tools = null;
      this.filter = 'all';
    }
    void this.#read();
  }

  /* ---------------------------------------------------------------- head */

  #head(upstream: Upstream, now: number): TemplateResult {
    const { health } = upstream;
    const against = reasonAgainst('manage upstreams');
    return html`<div class="upd-h">
      <div class="grow">
        <p class="small"><a href="/upstreams">All upstreams</a></p>
        <div class="upd-name"><h1>${upstream.name}</h1>${
          health.state === 'up'
            ? chip('green', html`${glyph('tick', 'green')}${HEALTH_WORDS.up}`)
            : health.state === 'down'
              ? chip('red', html`${glyph('cross', 'red')}${HEALTH_WORDS.down}`)
              : chip('none', html`${glyph('clock', 'ink')}${HEALTH_WORDS.unknown}`)
        }${chip('none', upstream.trusted ? 'Trusted' : 'Not trusted')}</div>
        <p class="meta">
          <span>${UPSTREAM_KIND_WORDS[upstream.kind]}</span>
          <span>Last answer <b>${ago(health.lastSuccessAt, now)}</b></span>
          ${health.lastErrorAt === null ? nothing : html`<span>Last error <b class=${health.state === 'down' ? 'm-amber' : ''}>${ago(health.lastErrorAt, now)}</b></span>`}
        </p>
        ${health.lastError === null ? nothing : html`<p class="small upd-err">${voiceTag('last error')} <code>${seen(health.lastError)}</code></p>`}
      </div>
      <div class="upd-ctl">
        <div class="row">
          ${upstream.oauth ? button({ label: upstream.oauth.state === 'needed' ? 'Authorise' : 'Authorise again', icon: 'key-round', kind: upstream.oauth.state === 'needed' ? 'go' : 'plain', busy: this.busy === 'authorize' ? 'Asking' : null, reason: against, reasonId: 'upd-why', onClick: () => void this.#authorize(upstream) }) : nothing}
          ${button({ label: 'Edit', icon: 'pencil', reason: against, reasonId: 'upd-why', onClick: () => this.#edit(true) })}
          ${button({ label: 'Remove', icon: 'x', kind: 'deny', reason: against, reasonId: 'upd-why', onClick: () => this.#askRemove(true) })}
        </div>
        ${why(against, 'upd-why')}
      </div>
    </div>`;
  }

  #removeForm(upstream: Upstream): TemplateResult {
    return html`<p class="ink2">Calls of its ${plural(upstream.toolCount, 'tool')} are refused from then on, its open sessions end, and ${upstream.hasSecret ? 'its secret is' : 'its pins are'} forgotten. Records stay.</p>
      <div class="form-f">${button({ label: `Remove ${upstream.name}`, kind: 'deny', size: 'large', block: true, busy: this.busy === 'remove' ? 'Removing' : null, onClick: () => void this.#remove(upstream) })}</div>`;
  }

  #leaveWay(): void {
    this.way = null;
  }

  async #authorize(upstream: Upstream): Promise<void> {
    this.busy = 'authorize';
    try {
      const { url, expiresAt } = await api.authorizeUpstream(upstream.id);
      if (url === null) say('done', `${upstream.name} is authorised.`);
      else this.way = { url, expiresAt: expiresAt ?? serverNow() };
    } catch (error) {
      say('refused', `Not authorised. ${sentence(error)}`);
    }
    this.busy = null;
  }

  /* ---------------------------------------------------------------- how it is reached */

  #way(upstream: Upstream, now: number): TemplateResult {
    const { limits } = upstream;
    return html`<section class="panel upd-way">
      <div class="panel-h"><h2>How it is reached</h2></div>
      <div class="panel-b"><dl class="kv">
        <dt>${upstream.url === null ? 'Command' : 'Address'}</dt><dd><code>${seen(upstream.url ?? (upstream.command ?? []).join(' '))}</code></dd>
        <dt>Agents call</dt><dd><code>${PATHS[upstream.kind]}${upstream.name}</code></dd>
        ${upstream.oauth ? html`<dt>OAuth</dt><dd>${oauthLine(upstream.oauth, now)}</dd>` : nothing}
        <dt>Secret</dt><dd>${upstream.hasSecret ? 'kept, sealed; agents never see it' : 'none'}</dd>
        ${upstream.envNames.length ? html`<dt>Environment</dt><dd>${upstream.envNames.map((name, i) => html`${i ? ', ' : ''}<code>${name}</code>`)}</dd>` : nothing}
        <dt>Trust</dt><dd>${upstream.trusted ? 'trusted: its resources and prompts are green, and its hints count' : 'not trusted: its resources and prompts are yellow, its hints count for nothing'}</dd>
        <dt>Private hosts</dt><dd>${upstream.allowPrivate ? 'allowed' : 'refused'}</dd>
        ${upstream.command ? html`<dt>Process</dt><dd>${upstream.shared ? 'one for all sessions' : 'one for each session'}</dd>` : nothing}
        <dt>Price</dt><dd>${upstream.priceUsd === null ? "the policy's, tool by tool" : html`<b class="b">${callMoney(upstream.priceUsd)}</b> a call, unless the policy's is higher`}</dd>
        <dt>Registered</dt><dd>${moment(upstream.createdAt, when(upstream.createdAt, now))}</dd>
      </dl></div>
      <div class="panel-h upd-lim"><h2>Limits</h2></div>
      <div class="panel-b"><dl class="kv">
        <dt>At once</dt><dd>${plural(limits.concurrency, 'request')}</dd>
        <dt>Sessions</dt><dd>${count(limits.sessions)}</dd>
        <dt>Longest silence</dt><dd>${took(limits.timeoutMs)}</dd>
        <dt>Largest answer</dt><dd>${bytes(limits.responseMaxBytes)}</dd>
      </dl></div>
    </section>`;
  }

  #routes(upstream: Upstream): TemplateResult {
    return html`<section class="panel"><div class="panel-h"><h2 class="grow">Routes</h2><span class="muted">${upstream.routes.length}</span></div>
      ${
        upstream.routes.length === 0
          ? empty('No route is mapped', 'Calls are judged by the policy under the name of the upstream alone.')
          : html`<div class="scroll" tabindex="0" role="region" aria-label="Routes"><table class="tbl"><thead><tr><th>Method</th><th>Path</th><th>Tool</th><th>Risk</th></tr></thead><tbody>${upstream.routes.map(
              (route) =>
                html`<tr><td><code>${route.method}</code></td><td><code>${route.path}</code></td><td><code>${route.tool}</code></td><td>${route.risk ?? "the policy's"}</td></tr>`,
            )}</tbody></table></div>`
      }</section>`;
  }

  /* ---------------------------------------------------------------- tools */

  #tools(now: number): TemplateResult {
    const all = this.tools ?? [];
    const of: Record<Filter, readonly UpstreamTool[]> = {
      all,
      held: all.filter(isHeld),
      pinned: all.filter((tool) => tool.state === 'pinned'),
      gone: all.filter((tool) => tool.state === 'gone'),
    };
    const shown = [...of[this.filter]].sort((a, b) => Number(isHeld(b)) - Number(isHeld(a)) || a.name.localeCompare(b.name));
    const against = reasonAgainst('accept tools');
    return html`<section class="panel upd-tools">
      <div class="panel-h"><h2 class="grow">Tools</h2>${choice(
        'Which tools',
        FILTERS.map((value) => ({ value, label: LABELS[value], count: of[value].length })),
        this.filter,
        (value) => this.#choose(value),
      )}</div>
      ${of.held.length > 0 ? html`<div class="note upd-note">${glyph('bars', 'amber')}<span>Calls of ${plural(of.held.length, 'tool')} are held until somebody accepts the definition as it is now. Read it as a stranger's text: it is what a model is told.</span></div>` : nothing}
      ${of.held.length > 0 ? html`<div class="upd-why">${why(against, 'accept-why')}</div>` : nothing}
      ${
        this.failure !== null && this.tools === null
          ? failed('Its tools could not be read', this.failure, () => void this.#read())
          : this.tools === null
            ? skeleton(6)
            : shown.length === 0
              ? empty(
                  all.length === 0 ? 'No tool has been listed yet' : 'None',
                  all.length === 0 ? 'The first list of tools that an agent asks for is pinned.' : 'No tool of this kind.',
                )
              : html`<ul class="tls">${repeat(
                  shown,
                  (tool) => tool.id,
                  (tool) => (isHeld(tool) ? this.#held(tool, against, now) : quiet(tool, now)),
                )}</ul>`
      }
    </section>`;
  }

  #held(tool: UpstreamTool, against: string | null, now: number): TemplateResult {
    return html`<li class="tl tl--held">
      <div class="tl-h">
        <span class="bare m-amber b">${glyph('bars', 'amber')}${TOOL_STATE_WORDS[tool.state]}</span>
        <code class="b">${seen(tool.canonicalName)}</code>
        <span class="small muted">${tool.changedAt === null ? nothing : html`seen ${ago(tool.changedAt, now)}`}</span>
        ${button({
          label: tool.state === 'new' ? 'Accept this tool' : 'Accept the change',
          kind: 'go',
          size: 'small',
          busy: this.busy === tool.id ? 'Accepting' : null,
          reason: against,
          reasonId: 'accept-why',
          onClick: () => void this.#accept(tool),
        })}
      </div>
      ${tool.note ? html`<p class="small m-amber">${seen(tool.note)}</p>` : nothing}
      <p class="tl-v">${voiceTag("the server's words, not checked")}</p>
      ${definitionDiff(tool.diff)}
    </li>`;
  }

  #choose(filter: Filter): void {
    this.filter = filter;
  }

  #edit(open: boolean): void {
    this.editing = open;
  }

  #askRemove(open: boolean): void {
    this.removing = open;
  }

  async #read(): Promise<void> {
    const id = this.upstream?.id;
    if (id === undefined || this.upstream?.kind !== 'mcp') return;
    if (this.#reading) {
      this.#reading.again = true;
      return;
    }
    const reading = { again: false };
    this.#reading = reading;
    try {
      const tools = await api.listUpstreamTools(id);
      if (id === this.upstream?.id) {
        this.tools = tools;
        this.failure = null;
      }
    } catch (error) {
      this.failure = sentence(error);
    }
    this.#reading = null;
    if (reading.again) void this.#read();
  }

  async #accept(tool: UpstreamTool): Promise<void> {
    const upstream = this.upstream;
    if (!upstream || tool.seenHash === null) return;
    this.busy = tool.id;
    const accepted = await acceptTool(upstream, tool, tool.seenHash);
    if (accepted) this.tools = (this.tools ?? []).map((other) => (other.id === accepted.id ? accepted : other));
    else await this.#read();
    this.busy = null;
  }

  async #remove(upstream: Upstream): Promise<void> {
    this.busy = 'remove';
    if (await removeUpstream(upstream)) go('/upstreams');
    this.busy = null;
  }
}

const PATHS: Record<Upstream['kind'], string> = { mcp: '/mcp/', http: '/http/', model: '/model/' };

function isHeld(tool: UpstreamTool): boolean {
  return tool.state === 'changed' || tool.state === 'new';
}

/** A tool that runs as it was accepted, or that is gone; its definition opens below it. */
function quiet(tool: UpstreamTool, now: number): TemplateResult {
  const definition = tool.seen ?? tool.pinned ?? {};
  const { description } = definition;
  return html`<li class="tl"><details>
    <summary>
      ${tool.state === 'gone' ? html`<span class="bare ink2">${glyph('back', 'ink')}${TOOL_STATE_WORDS.gone}</span>` : html`<span class="bare m-green">${glyph('tick', 'green')}${TOOL_STATE_WORDS.pinned}</span>`}
      <code>${seen(tool.canonicalName)}</code>
      <span class="small muted tl-by">${tool.acceptedAt === null ? html`pinned at the first list, ${moment(tool.firstSeenAt, when(tool.firstSeenAt, now))}` : html`accepted by ${tool.acceptedBy ?? 'somebody'}, ${moment(tool.acceptedAt, when(tool.acceptedAt, now))}`}</span>
    </summary>
    <p class="tl-v">${voiceTag("the server's words, not checked")}</p>
    ${typeof description === 'string' ? html`<mc-voice .text=${description}></mc-voice>` : nothing}
    <mc-voice .text=${JSON.stringify({ ...definition, description: undefined, name: undefined }, null, 2)}></mc-voice>
  </details></li>`;
}

/** Whether Mission Control has a token there, since when and by whom. */
function oauthLine(oauth: UpstreamOAuth, now: number): TemplateResult {
  const authorised =
    oauth.authorizedAt === null
      ? nothing
      : html` since ${moment(oauth.authorizedAt, when(oauth.authorizedAt, now))}${oauth.authorizedBy === null ? nothing : html` by ${seen(oauth.authorizedBy)}`}`;
  const state =
    oauth.state === 'authorized'
      ? html`<span class="bare m-green">${glyph('tick', 'green')}authorised</span>${authorised}`
      : html`<span class="bare m-amber">${glyph('bars', 'amber')}${oauth.grant === 'authorization_code' ? 'somebody has to authorise it' : 'no token yet'}</span>`;
  return html`${state}${oauth.scope === null ? nothing : html` <span class="muted">for</span> <code>${seen(oauth.scope)}</code>`}${oauth.lastError === null ? nothing : html`<br />${voiceTag('last error')} <code>${seen(oauth.lastError)}</code>`}`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-upstream-detail': UpstreamDetailElement;
  }
}
