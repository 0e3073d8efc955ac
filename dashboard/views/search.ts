/**
 * Finding anything by a few words, from every view: places, tasks, agents, approvals, calls, alerts, upstreams. It searches what this page
 * has (all open tasks, every agent, the newest calls and decisions), so it answers at once, also while the server is away. Emits `mc-close`.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { serverNow } from '../clock.ts';
import { gistOf } from '../elements/approval-text.ts';
import { type IconName, icon } from '../elements/icon.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import { seenLine } from '../elements/parts.ts';
import { type Findable, findMatches } from '../elements/search-text.ts';
import { numberOf } from '../elements/task-text.ts';
import '../elements/modal.ts';
import { go, openCall, openTask } from '../routes.ts';
import { typedEarly } from '../searching.ts';
import { agents, alerts, approvals, tasks, toolCalls, upstreams } from '../store.ts';
import { AGENT_STATE_WORDS, ALERT_WORDS, APPROVAL_WORDS, age, TASK_TYPE_WORDS, TASK_WORDS } from '../words.ts';
import './search.css';

const SHOWN = 40;
/** Newest calls that are searched. */
const CALLS = 5_000;
const KINDS: Record<Findable['kind'], { word: string; icon: IconName }> = {
  place: { word: 'Go to', icon: 'arrow-right' },
  task: { word: 'Task', icon: 'square-kanban' },
  agent: { word: 'Agent', icon: 'bot' },
  approval: { word: 'Approval', icon: 'circle-pause' },
  call: { word: 'Call', icon: 'activity' },
  alert: { word: 'Alert', icon: 'triangle-alert' },
  upstream: { word: 'Upstream', icon: 'unplug' },
};
const PLACES: readonly (readonly [string, string])[] = [
  ['Overview', '/overview'],
  ['Board', '/board'],
  ['Approvals', '/approvals'],
  ['Standing grants', '/grants'],
  ['Agents', '/agents'],
  ['Feed', '/feed'],
  ['Alerts', '/alerts'],
  ['Spend', '/spend'],
  ['Policy', '/policies'],
  ['Audit', '/audit'],
  ['Upstreams', '/upstreams'],
  ['Settings, people and gateways', '/settings'],
];

@customElement('mc-search')
export class SearchElement extends SignalWatcher(LightElement) {
  readonly #early = typedEarly();
  @state() private query = this.#early.text;
  @state() private chosen = 0;

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Search" .content=${this.#content()}></mc-modal>`;
  }

  protected override firstUpdated(): void {
    const [first] = findMatches(this.query, everything(), 1);
    if (this.#early.entered && first) this.#open(first);
  }

  #content(): TemplateResult {
    const found = findMatches(this.query, everything(), SHOWN);
    const chosen = Math.min(this.chosen, found.length - 1);
    const now = serverNow();
    return html`<div class="se" @keydown=${(event: KeyboardEvent) => this.#keys(event, found, chosen)}>
      <label class="sr" for="se-text">What are you looking for?</label>
      <input class="field" id="se-text" type="search" role="combobox" aria-expanded="true" aria-controls="se-list" aria-autocomplete="list" aria-activedescendant=${found.length > 0 ? `se-${chosen}` : nothing} placeholder="Tasks, agents, calls, approvals, places" autocomplete="off" spellcheck="false" .value=${this.query} data-focus @input=${this.#typed} />
      <p class="sr" role="status">${found.length === 0 ? 'Nothing found' : `${found.length} found`}</p>
      ${found.length === 0 ? html`<p class="small muted se-none">Nothing here has these words. Older calls and decisions are in the audit log.</p>` : nothing}
      <ul class="se-l scroll" id="se-list" role="listbox" aria-label="Found">${found.map(
        (thing, i) =>
          html`<li role="option" id="se-${i}" aria-selected=${i === chosen} @click=${() => this.#open(thing)} @pointermove=${() => this.#choose(i)}>${icon(KINDS[thing.kind].icon, 14, 'k-ink')}<span class="se-t">${seenLine(thing.title)}</span><span class="small muted se-a">${seenLine(thing.about)}</span><span class="tiny muted nb">${thing.at === 0 ? KINDS[thing.kind].word : `${KINDS[thing.kind].word}, ${age(now - thing.at)}`}</span></li>`,
      )}</ul>
    </div>`;
  }

  readonly #typed = (event: InputEvent): void => {
    if (!(event.target instanceof HTMLInputElement)) return;
    this.query = event.target.value;
    this.chosen = 0;
  };

  #choose(i: number): void {
    this.chosen = i;
  }

  #keys(event: KeyboardEvent, found: readonly Findable[], chosen: number): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && found.length > 0) {
      event.preventDefault();
      this.chosen = (chosen + step + found.length) % found.length;
      void this.updateComplete.then(() => this.querySelector(`#se-${this.chosen}`)?.scrollIntoView({ block: 'nearest' }));
    }
    const thing = found[chosen];
    if (event.key !== 'Enter' || !thing) return;
    event.preventDefault();
    this.#open(thing);
  }

  #open(thing: Findable): void {
    emit(this, 'mc-close', null);
    if (thing.kind === 'task') openTask(thing.id);
    else if (thing.kind === 'call') openCall(thing.id);
    else go(thing.href);
  }
}

function* everything(): Generator<Findable> {
  for (const [title, href] of PLACES) yield { kind: 'place', id: href, title, about: '', at: 0, href };
  for (const task of tasks.all()) {
    const who = task.assigneeIds.map((id) => agents.get(id)?.name ?? '').join(' ');
    const about = `${TASK_WORDS[task.status]}, ${TASK_TYPE_WORDS[task.type].toLowerCase()}${who ? `, ${who}` : ''}`;
    yield { kind: 'task', id: task.id, title: `${numberOf(task)} ${task.title}`, about, at: task.updatedAt, href: `?task=${task.id}` };
  }
  for (const agent of agents.all())
    yield {
      kind: 'agent',
      id: agent.id,
      title: agent.name,
      about: `${AGENT_STATE_WORDS[agent.status]}, ${agent.autonomyLevel}`,
      at: agent.lastCallAt ?? agent.createdAt,
      href: `/agents/${agent.id}`,
    };
  for (const approval of approvals.all())
    yield {
      kind: 'approval',
      id: approval.id,
      title: gistOf(approval),
      about: `${APPROVAL_WORDS[approval.status]}, ${approval.agentName ?? ''} ${approval.taskTitle ?? ''}`,
      at: approval.createdAt,
      href: `/approvals/${approval.id}`,
    };
  for (const alert of alerts.all())
    yield { kind: 'alert', id: alert.id, title: alert.message, about: ALERT_WORDS[alert.type], at: alert.createdAt, href: '/alerts' };
  for (const upstream of upstreams.all())
    yield {
      kind: 'upstream',
      id: upstream.id,
      title: upstream.name,
      about: upstream.url ?? '',
      at: 0,
      href: `/upstreams/${upstream.name}`,
    };
  for (const call of toolCalls.all().slice(0, CALLS))
    yield {
      kind: 'call',
      id: call.id,
      title: `${call.tool} ${call.summary}`,
      about: call.agentName ?? '',
      at: call.createdAt,
      href: `?call=${call.id}`,
    };
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-search': SearchElement;
  }
}
