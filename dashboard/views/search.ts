/**
 * Finding anything by a few words, from every view. What this page has (all open tasks, every agent, the newest calls and decisions) answers at
 * once, also while the server is away; what the server finds in its whole record joins it by kind. Emits `mc-close`.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { SearchHit } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { gistOf } from '../elements/approval-text.ts';
import { type IconName, icon } from '../elements/icon.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import { seen } from '../elements/parts.ts';
import {
  type Findable,
  type FoundGroup,
  type FoundKind,
  findMatches,
  groupFindings,
  keyOf,
  markWords,
  wordsOf,
} from '../elements/search-text.ts';
import { numberOf } from '../elements/task-text.ts';
import { toLine } from '../elements/visible-text.ts';
import '../elements/modal.ts';
import { go, openCall, openTask } from '../routes.ts';
import { typedEarly } from '../searching.ts';
import { agents, alerts, approvals, tasks, toolCalls, upstreams } from '../store.ts';
import { AGENT_STATE_WORDS, ALERT_WORDS, APPROVAL_WORDS, age, TASK_TYPE_WORDS, TASK_WORDS } from '../words.ts';
import './search.css';

/** Shown without words. */
const RECENT = 14;
/** Shown of each kind; of one kind alone a page. */
const EACH = 5;
const PAGE = 50;
/** Newest calls that are searched here. */
const CALLS = 5_000;
/** Somebody who types on is not asked for yet. */
const SETTLED_MS = 150;
/** The server takes no longer query. */
const QUERY_MAX = 200;
const KINDS: Record<FoundKind, { one: string; many: string; icon: IconName }> = {
  place: { one: 'Place', many: 'Go to', icon: 'arrow-right' },
  task: { one: 'Task', many: 'Tasks', icon: 'square-kanban' },
  agent: { one: 'Agent', many: 'Agents', icon: 'bot' },
  approval: { one: 'Approval', many: 'Approvals', icon: 'circle-pause' },
  message: { one: 'Message', many: 'Messages', icon: 'message-square' },
  call: { one: 'Call', many: 'Calls', icon: 'activity' },
  alert: { one: 'Alert', many: 'Alerts', icon: 'triangle-alert' },
  upstream: { one: 'Upstream', many: 'Upstreams', icon: 'unplug' },
  audit: { one: 'Audit entry', many: 'Audit log', icon: 'fingerprint' },
};
/** Kinds that the server searches. */
const RECORDED: ReadonlySet<FoundKind> = new Set(['task', 'agent', 'approval', 'message', 'call', 'audit']);
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

/** What the server found for a query. */
interface Answer {
  query: string;
  /** Only this kind was asked for. */
  kind: FoundKind | null;
  hits: readonly Findable[];
  nextCursor: string | null;
}

/** A line of the list that can be chosen. */
type Line = { key: string; thing: Findable } | { key: string; more: FoundKind };

@customElement('mc-search')
export class SearchElement extends SignalWatcher(LightElement) {
  readonly #early = typedEarly();
  @state() private query = this.#early.text;
  /** The only kind that is shown; null = all. */
  @state() private kind: FoundKind | null = null;
  /** The chosen line; null = the first. What arrives later does not move the choice. */
  @state() private chosen: string | null = null;
  @state() private answer: Answer | null = null;
  @state() private failure: string | null = null;
  #asked = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
    this.#asked++;
  }

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Search" .content=${this.#content()}></mc-modal>`;
  }

  protected override firstUpdated(): void {
    const first = this.#groups()[0]?.items[0];
    if (this.#early.entered && first) this.#open(first);
    else this.#ask();
  }

  #content(): TemplateResult {
    const groups = this.#groups();
    const lines = groups.flatMap(linesOf);
    const chosen = Math.max(
      0,
      lines.findIndex((line) => line.key === this.chosen),
    );
    const found = groups.reduce((sum, group) => sum + group.items.length, 0);
    const words = wordsOf(this.query);
    const isAsking = words.length > 0 && this.failure === null && this.answer?.query !== this.query;
    let at = 0;
    return html`<div class="se" @keydown=${(event: KeyboardEvent) => this.#keys(event, lines, chosen)}>
      <label class="sr" for="se-text">What are you looking for?</label>
      <input class="field" id="se-text" type="search" role="combobox" aria-expanded="true" aria-controls="se-list" aria-autocomplete="list" aria-activedescendant=${lines.length > 0 ? `se-${chosen}` : nothing} placeholder="Tasks, agents, calls, messages, decisions, the audit log" autocomplete="off" spellcheck="false" maxlength=${QUERY_MAX} .value=${this.query} data-focus @input=${this.#typed} />
      <p class="sr" role="status">${isAsking ? '' : found === 0 ? 'Nothing found' : `${found} found`}</p>
      <div class="se-l scroll" id="se-list" role="listbox" aria-label="Found">${groups.map((group) => {
        const from = at;
        at += linesOf(group).length;
        return this.#group(group, from, chosen, words);
      })}</div>
      <p class="small muted se-n">${this.#note(found, isAsking)}</p>
    </div>`;
  }

  #note(found: number, isAsking: boolean): unknown {
    if (this.failure !== null) return `Only what this page has was searched. ${this.failure}`;
    if (isAsking) return 'Searching the record';
    if (found === 0) return 'Nothing here has these words.';
    return wordsOf(this.query).length === 0 ? 'What happened last. Words search the whole record.' : nothing;
  }

  #group({ kind, items, more }: FoundGroup, from: number, chosen: number, words: readonly string[]): TemplateResult {
    const now = serverNow();
    const heading = words.length === 0 ? 'Recent' : KINDS[kind].many;
    return html`<div role="group" aria-labelledby="se-g-${kind}"><p class="se-g small muted" id="se-g-${kind}">${heading}</p>${items.map(
      (thing, i) => {
        const label = words.length === 0 ? `${KINDS[thing.kind].one}, ${age(now - thing.at)}` : thing.at === 0 ? '' : age(now - thing.at);
        return html`<div role="option" id="se-${from + i}" aria-selected=${from + i === chosen} @click=${() => this.#open(thing)} @pointermove=${() => this.#choose(keyOf(thing))}>${icon(KINDS[thing.kind].icon, 14, 'k-ink')}<span class="se-t">${marked(thing.title, words)}</span><span class="tiny muted nb">${label}</span>${thing.about === '' ? nothing : html`<span class="small muted se-a">${marked(thing.about, words)}</span>`}</div>`;
      },
    )}${more ? html`<div role="option" id="se-${from + items.length}" class="se-more small" aria-selected=${from + items.length === chosen} @click=${() => this.#more(kind)} @pointermove=${() => this.#choose(`more ${kind}`)}>${icon('chevron-down', 14, 'k-ink')}<span>${this.kind === null ? `More of ${KINDS[kind].many.toLowerCase()}` : 'Older ones'}</span></div>` : nothing}</div>`;
  }

  /** What is shown: the newest of all without words, else the best of each kind, or a page and more of one. */
  #groups(): FoundGroup[] {
    const { query, kind, answer } = this;
    if (wordsOf(query).length === 0) {
      const items = findMatches('', everything(), RECENT);
      return items.length > 0 ? [{ kind: 'place', items, more: false }] : [];
    }
    // Hits of a query that this one goes on from stay until the next answer, as far as they still fit.
    const fits = answer?.query === query ? answer.hits : findMatches(query, answer?.hits ?? [], PAGE);
    if (kind === null) {
      const groups = groupFindings(query, everything(), fits, EACH);
      return groups.map((group) => ({
        ...group,
        more: group.more || (RECORDED.has(group.kind) && fits.filter((hit) => hit.kind === group.kind).length >= EACH),
      }));
    }
    const [only] = groupFindings(
      query,
      ofKind(everything(), kind),
      fits.filter((hit) => hit.kind === kind),
      Number.POSITIVE_INFINITY,
    );
    return only ? [{ ...only, more: answer?.kind === kind && answer.nextCursor !== null }] : [];
  }

  readonly #typed = (event: InputEvent): void => {
    if (!(event.target instanceof HTMLInputElement)) return;
    this.query = event.target.value;
    this.kind = null;
    this.chosen = null;
    this.failure = null;
    clearTimeout(this.#timer);
    this.#asked++;
    this.#timer = setTimeout(() => this.#ask(), SETTLED_MS);
  };

  #choose(key: string): void {
    this.chosen = key;
  }

  /** Shows one kind alone, or the next page of it. */
  #more(kind: FoundKind): void {
    const { answer } = this;
    const cursor = this.kind === kind && answer?.kind === kind ? answer.nextCursor : null;
    this.kind = kind;
    void this.#fetch(this.query, kind, cursor);
  }

  #ask(): void {
    if (wordsOf(this.query).length > 0) void this.#fetch(this.query, null, null);
  }

  async #fetch(query: string, kind: FoundKind | null, cursor: string | null): Promise<void> {
    const asked = ++this.#asked;
    const earlier = cursor === null ? [] : (this.answer?.hits ?? []);
    try {
      const page = await api.searchRecord({
        q: query.trim(),
        ...(kind === null ? { each: EACH } : { kind, limit: PAGE }),
        ...(cursor !== null && { cursor }),
      });
      if (asked === this.#asked)
        this.answer = { query, kind, hits: [...earlier, ...page.items.map(toFindable)], nextCursor: page.nextCursor };
    } catch (error) {
      if (asked === this.#asked) this.failure = sentence(error);
    }
  }

  #keys(event: KeyboardEvent, lines: readonly Line[], chosen: number): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && lines.length > 0) {
      event.preventDefault();
      const next = (chosen + step + lines.length) % lines.length;
      this.chosen = lines[next]?.key ?? null;
      void this.updateComplete.then(() => this.querySelector(`#se-${next}`)?.scrollIntoView({ block: 'nearest' }));
    }
    const line = lines[chosen];
    if (event.key !== 'Enter' || !line) return;
    event.preventDefault();
    if ('thing' in line) this.#open(line.thing);
    else this.#more(line.more);
  }

  #open(thing: Findable): void {
    emit(this, 'mc-close', null);
    const { task, call } = Object.fromEntries(new URLSearchParams(thing.href.startsWith('?') ? thing.href : ''));
    if (task !== undefined) openTask(task);
    else if (call !== undefined) openCall(call);
    else go(thing.href);
  }
}

function linesOf({ kind, items, more }: FoundGroup): Line[] {
  return [...items.map((thing) => ({ key: keyOf(thing), thing })), ...(more ? [{ key: `more ${kind}`, more: kind }] : [])];
}

/** Text as it came on one line, with what was looked for standing out. */
function marked(text: string, words: readonly string[]): TemplateResult {
  const line = toLine(text);
  return html`<span class="cut" title=${line}>${markWords(text.replace(/[\n\t\r ]+/g, ' '), words).map((piece) => (piece.hit ? html`<mark>${seen(piece.text)}</mark>` : seen(piece.text)))}</span>`;
}

/** A hit of the server, with where it is looked at. */
function toFindable({ kind, id, title, snippet, at, taskId, agentId }: SearchHit): Findable {
  const who = agentId === null ? undefined : agents.get(agentId)?.name;
  const href = {
    task: `?task=${id}`,
    agent: `/agents/${id}`,
    message: `?task=${taskId ?? ''}`,
    call: `?call=${id}`,
    approval: `/approvals/${id}`,
    audit: `/audit/${id}`,
  }[kind];
  const name = kind === 'task' || kind === 'approval' ? title.replace(/^#/, kind === 'task' ? 'MC-' : 'Approval ') : title;
  return { kind, id, title: who !== undefined && kind === 'call' ? `${who}: ${name}` : name, about: snippet, at, href };
}

function* ofKind(things: Iterable<Findable>, kind: FoundKind): Generator<Findable> {
  for (const thing of things) if (thing.kind === kind) yield thing;
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
