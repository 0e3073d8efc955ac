/**
 * The app: who is in, where one is, and around it the shell that never changes place: header or tab bar, banners, the one notice, the key sheet.
 * Views are fetched when they are first visited.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { LightElement } from './elements/light-element.ts';
import { skeleton } from './elements/parts.ts';
import { freshness } from './freshness.ts';
import { type Binding, bindKeys, boundKeys } from './keyboard.ts';
import { dismiss, notice } from './notices.ts';
import { go, type Place, type PlaceName, place } from './routes.ts';
import { closeSearch, openSearch, searching } from './searching.ts';
import { loadError, loaded, pendingApprovals, presence, tasks } from './store.ts';
import { isPhone } from './viewport.ts';
import './app.css';
import './elements/key-sheet.ts';
import './elements/modal.ts';
import './elements/notice-bar.ts';
import './views/banners.ts';
import './views/header.ts';
import './views/tab-bar.ts';

interface View {
  title: string;
  load: () => Promise<unknown>;
  render: (at: Place) => TemplateResult;
}

/** Places that are shown inside the shell. */
type ShellPlace = Exclude<PlaceName, 'sign-in' | 'landing'>;

const VIEWS: Record<ShellPlace, View> = {
  overview: { title: 'Overview', load: () => import('./views/overview.ts'), render: () => html`<mc-overview></mc-overview>` },
  board: { title: 'Board', load: () => import('./views/board.ts'), render: () => html`<mc-board></mc-board>` },
  approvals: {
    title: 'Approvals',
    load: () => import('./views/approvals.ts'),
    render: ({ id }) => html`<mc-approvals .approvalId=${id}></mc-approvals>`,
  },
  grants: {
    title: 'Standing grants',
    load: () => import('./views/grants.ts'),
    render: ({ id }) => html`<mc-grants .grantId=${id}></mc-grants>`,
  },
  agents: {
    title: 'Agents',
    load: () => import('./views/agents.ts'),
    render: ({ id }) => html`<mc-agents .agentId=${id}></mc-agents>`,
  },
  feed: { title: 'Feed', load: () => import('./views/feed.ts'), render: () => html`<mc-feed></mc-feed>` },
  alerts: { title: 'Alerts', load: () => import('./views/alerts.ts'), render: () => html`<mc-alerts></mc-alerts>` },
  upstreams: {
    title: 'Upstreams',
    load: () => import('./views/upstreams.ts'),
    render: ({ id }) => html`<mc-upstreams .name=${id}></mc-upstreams>`,
  },
  policies: {
    title: 'Policy',
    load: () => import('./views/policies.ts'),
    render: ({ id }) => html`<mc-policies .version=${id}></mc-policies>`,
  },
  spend: { title: 'Spend', load: () => import('./views/spend.ts'), render: () => html`<mc-spend></mc-spend>` },
  audit: { title: 'Audit', load: () => import('./views/audit.ts'), render: ({ id }) => html`<mc-audit .entry=${id}></mc-audit>` },
  incident: { title: 'Emergency stop', load: () => import('./views/incident.ts'), render: () => html`<mc-incident></mc-incident>` },
  settings: { title: 'Settings', load: () => import('./views/settings.ts'), render: () => html`<mc-settings></mc-settings>` },
  health: { title: 'Health', load: () => import('./views/health.ts'), render: () => html`<mc-health></mc-health>` },
  start: { title: 'First steps', load: () => import('./views/first-run.ts'), render: () => html`<mc-first-run></mc-first-run>` },
  nowhere: { title: 'Not found', load: () => import('./views/nowhere.ts'), render: () => html`<mc-nowhere></mc-nowhere>` },
};

/** What stands before or over the shell. */
const OVER = {
  'sign-in': () => import('./views/sign-in.ts'),
  call: () => import('./views/call-drawer.ts'),
  task: () => import('./views/task-drawer.ts'),
  search: () => import('./views/search.ts'),
} as const;

/** Where the keys lead; `g` and then a letter. */
const GO: readonly Binding[] = (
  [
    ['g b', 'Board', '/board'],
    ['g o', 'Overview', '/overview'],
    ['g a', 'Approvals', '/approvals'],
    ['g r', 'Standing grants', '/grants'],
    ['g g', 'Agents', '/agents'],
    ['g f', 'Feed', '/feed'],
    ['g l', 'Alerts', '/alerts'],
    ['g t', 'Upstreams', '/upstreams'],
    ['g p', 'Policy', '/policies'],
    ['g s', 'Spend', '/spend'],
    ['g u', 'Audit', '/audit'],
    ['g h', 'Health', '/health'],
  ] as const
).map(([keys, label, path]) => ({ keys, label, group: 'Go to', run: () => go(path) }));

@customElement('mc-app')
export class AppElement extends SignalWatcher(LightElement) {
  /** Views whose code is here. */
  @state() private ready: ReadonlySet<string> = new Set();
  @state() private showKeys = false;
  @state() private viewError: string | null = null;
  #unbind = () => {};
  #lastPlace: PlaceName | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#unbind = bindKeys([
      ...GO,
      { keys: '/', label: 'Search, also Ctrl-K', group: 'Everywhere', run: () => openSearch() },
      {
        keys: '?',
        label: 'All keys',
        group: 'Everywhere',
        run: () => {
          this.showKeys = true;
        },
      },
    ]);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#unbind();
  }

  protected override render(): TemplateResult {
    const at = place.get();
    if (presence.get().state === 'unknown') {
      // Most who come are signed in: the code of the view comes while the server looks who it is.
      if (at.name !== 'landing') this.#fetched(at.name);
      return html`<main class="starting" id="main">${skeleton(3)}</main>`;
    }
    if (presence.get().state === 'out' || at.name === 'sign-in') return html`${this.#signIn()}${this.#over()}`;
    if (at.name === 'landing') this.#land();
    const name = at.name === 'landing' ? 'overview' : at.name;
    const phone = isPhone.get();
    return html`<div class="app ${phone ? 'app--phone' : ''} ${freshness().state === 'offline' ? 'stale' : ''}">
      <a class="skip" href="#main" @click=${this.#skip}>Skip to content</a>
      <mc-header .title=${VIEWS[name].title}></mc-header>
      <mc-banners></mc-banners>
      <main id="main" tabindex="-1" aria-label=${VIEWS[name].title}>${this.#view(at)}</main>
      ${phone ? html`<mc-tab-bar></mc-tab-bar>` : nothing}
      ${this.#over()}
    </div>`;
  }

  #view(at: Place): TemplateResult {
    if (at.name === 'sign-in' || at.name === 'landing') return skeleton(6);
    // The code of the view is fetched while the lists are being read, not after them.
    const fetched = this.#fetched(at.name);
    if (!loaded.get() && loadError.get() === null) return skeleton(6);
    if (!fetched)
      return this.viewError
        ? html`<div class="empty" role="alert"><b class="m-red">This view could not be fetched</b><span>${this.viewError} Reload the page; it may have been updated.</span></div>`
        : skeleton(6);
    return VIEWS[at.name].render(at);
  }

  #signIn(): TemplateResult {
    return this.#fetched('sign-in') ? html`<mc-sign-in></mc-sign-in>` : html``;
  }

  /** What lies over every view: the drawer of a call, the keys, the notice. */
  #over(): TemplateResult {
    const { call, task } = presence.get().state === 'in' ? place.get() : { call: null, task: null };
    return html`
      ${task !== null && this.#fetched('task') ? html`<mc-task-drawer .taskId=${task}></mc-task-drawer>` : nothing}
      ${call !== null && this.#fetched('call') ? html`<mc-call-drawer .callId=${call}></mc-call-drawer>` : nothing}
      ${searching.get() && presence.get().state === 'in' && this.#fetched('search') ? html`<mc-search @mc-close=${closeSearch}></mc-search>` : nothing}
      ${this.showKeys ? html`<mc-modal heading="Keys" .content=${html`<mc-key-sheet .keys=${boundKeys()}></mc-key-sheet>`} @mc-close=${this.#closeKeys}></mc-modal>` : nothing}
      <mc-notice-bar .notice=${notice.get()} @mc-close=${dismiss}></mc-notice-bar>
    `;
  }

  protected override updated(changed: PropertyValues): void {
    super.updated(changed);
    const at = place.get();
    const waiting = pendingApprovals.get().length;
    const title =
      presence.get().state !== 'in' || at.name === 'sign-in' ? 'Sign in' : VIEWS[at.name === 'landing' ? 'overview' : at.name].title;
    document.title = `${waiting > 0 ? `(${waiting}) ` : ''}${title} · Mission Control`;
    if (this.#lastPlace !== null && this.#lastPlace !== at.name) this.querySelector<HTMLElement>('#main')?.focus();
    this.#lastPlace = at.name;
  }

  /** Whether the view's code is here; starts fetching it if not. */
  #fetched(name: ShellPlace | keyof typeof OVER): boolean {
    if (this.ready.has(name)) return true;
    const load = name === 'sign-in' || name === 'call' || name === 'task' || name === 'search' ? OVER[name] : VIEWS[name].load;
    load().then(
      () => {
        this.viewError = null;
        this.ready = new Set([...this.ready, name]);
      },
      (error: unknown) => {
        this.viewError = error instanceof Error ? error.message : String(error);
      },
    );
    return false;
  }

  /** Whoever comes in without asking for a place is shown what waits for them, if anything does. */
  #land(): void {
    if (loaded.get())
      queueMicrotask(() =>
        go(pendingApprovals.get().length > 0 ? '/approvals' : tasks.size > 0 ? '/board' : '/overview', { replace: true }),
      );
  }

  #skip(event: Event): void {
    event.preventDefault();
    this.querySelector<HTMLElement>('#main')?.focus();
  }

  #closeKeys(): void {
    this.showKeys = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-app': AppElement;
  }
}
