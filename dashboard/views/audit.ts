/**
 * The audit log: who did what, newest first, back to the first entry; by action, by who did it, by what it was about and when; and whether the
 * chain of hashes is whole. Details are shown as they were recorded, as text.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { glyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, empty, failed, moment, seen, seenLine, skeleton } from '../elements/parts.ts';
import '../elements/voice.ts';
import { numberOf } from '../elements/task-text.ts';
import { agents, session, tasks } from '../store.ts';
import { clock, count, plural, took, when } from '../words.ts';
import './audit.css';

const PAGE = 100;
const REFRESH_MS = 5_000;
const DAY_MS = 86_400_000;

type ActorType = api.AuditRow['actorType'];
const ACTOR_WORDS: Record<ActorType, string> = { human: 'People', agent: 'Agents', system: 'The system' };
const SPANS = { hour: 'The last hour', day: 'The last 24 hours', week: 'The last 7 days', month: 'The last 30 days' } as const;
type Span = keyof typeof SPANS;
const SPAN_MS: Record<Span, number> = { hour: 3_600_000, day: DAY_MS, week: 7 * DAY_MS, month: 30 * DAY_MS };
/** So many facts of an entry stand in its line. */
const GIST_FACTS = 3;

interface Filters {
  action: string;
  subjectId: string;
  /** '' = anybody; a kind of actor, or `id:` and the id of one. */
  who: string;
  /** '' = any time. */
  span: Span | '';
}
const NONE: Filters = { action: '', subjectId: '', who: '', span: '' };

@customElement('mc-audit')
export class AuditElement extends SignalWatcher(LightElement) {
  /** The number of the one entry that is shown; null = all. */
  @property({ attribute: false }) entry: string | null = null;
  @state() private rows: readonly api.AuditRow[] | null = null;
  @state() private cursor: string | null = null;
  @state() private filters: Filters = NONE;
  @state() private failure: string | null = null;
  @state() private verdict: { result: api.AuditVerdict; at: number; ms: number } | 'checking' | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;
  #asked = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    this.#timer = setInterval(() => void this.#readNewer(), REFRESH_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('entry')) return;
    this.rows = null;
    void this.#read(null);
  }

  protected override render(): TemplateResult {
    const { rows, filters } = this;
    const now = serverNow();
    const isFiltered = filters !== NONE || this.entry !== null;
    return html`<div class="page page--wide scroll" tabindex="0" role="region" aria-label="Audit">
      <div class="page-h au-h">
        <h1>Audit</h1>
        ${button({ label: 'Verify the chain', icon: 'fingerprint', busy: this.verdict === 'checking' ? 'Checking' : null, onClick: () => void this.#verify() })}
      </div>
      ${this.#filterForm(rows ?? [], isFiltered)}
      <div role="status">${this.#verdictNote()}</div>
      <section class="panel au">
        ${
          this.failure !== null && rows === null
            ? failed('The audit log could not be read', this.failure, () => void this.#read(null))
            : rows === null
              ? skeleton(8)
              : rows.length === 0
                ? empty('Nothing fits', isFiltered ? 'No entry fits these filters.' : 'What is done and decided is written down here.')
                : html`<div class="au-th" aria-hidden="true"><span>Time</span><span>Action</span><span>Who</span><span>About</span><span>Details</span><span>No.</span></div>
                  <ol>${repeat(
                    rows,
                    (row) => row.seq,
                    (row) => this.#row(row, now),
                  )}</ol>`
        }
        ${this.failure !== null && rows !== null ? failed('Older entries could not be read', this.failure, () => void this.#read(this.cursor)) : nothing}
        ${this.cursor !== null ? html`<div class="au-more">${button({ label: 'Older entries', icon: 'chevron-down', size: 'small', kind: 'quiet', onClick: () => void this.#read(this.cursor) })}</div>` : nothing}
      </section>
      <p class="small muted">${plural(rows?.length ?? 0, 'entry', 'entries')} shown${this.cursor === null && this.entry === null ? ', back to the first' : ''}</p>
    </div>`;
  }

  #filterForm(rows: readonly api.AuditRow[], isFiltered: boolean): TemplateResult {
    const { action, subjectId, who, span } = this.filters;
    if (this.entry !== null)
      return html`<p class="au-f">Entry ${this.entry} alone. <a href="/audit" @click=${() => this.#clear()}>Show all entries</a></p>`;
    const me = session.get()?.operator;
    const option = (value: string, label: string, chosen: string) =>
      html`<option value=${value} ?selected=${value === chosen}>${label}</option>`;
    return html`<form class="au-f" @submit=${this.#filter} @change=${this.#filter}>
      <label class="sr" for="au-action">Action</label>
      <input class="field" id="au-action" name="action" list="au-actions" placeholder="Action, e.g. task.moved" autocomplete="off" .value=${action} />
      <datalist id="au-actions">${[...new Set(rows.map((row) => row.action))].sort().map((name) => html`<option value=${name}></option>`)}</datalist>
      <label class="sr" for="au-who">Who did it</label>
      <select class="field" id="au-who" name="who">
        ${option('', 'By anybody', who)}
        ${Object.entries(ACTOR_WORDS).map(([value, label]) => option(value, label, who))}
        ${me ? option(`id:${me.id}`, `${me.name} (you)`, who) : nothing}
        <optgroup label="One agent">${agents.all().map((agent) => option(`id:${agent.id}`, agent.name, who))}</optgroup>
      </select>
      <label class="sr" for="au-subject">Id of what it was about</label>
      <input class="field mono" id="au-subject" name="subjectId" placeholder="Id of what it was about" autocomplete="off" spellcheck="false" .value=${subjectId} />
      <label class="sr" for="au-span">When</label>
      <select class="field" id="au-span" name="span">${option('', 'At any time', span)}${Object.entries(SPANS).map(([value, label]) => option(value, label, span))}</select>
      ${button({ label: 'Filter', icon: 'list-filter', type: 'submit', onClick: () => {} })}
      ${isFiltered ? button({ label: 'Clear', kind: 'quiet', onClick: () => this.#clear() }) : nothing}
    </form>`;
  }

  #row(row: api.AuditRow, now: number): TemplateResult {
    const about = aboutOf(row);
    return html`<li><details>
      <summary>
        <span class="au-at small muted">${moment(row.at, now - row.at < DAY_MS ? clock(row.at) : when(row.at, now))}</span>
        <code class="b">${row.action}</code>
        <span class="au-who">${this.#who(row)}</span>
        <span class="au-about ink2">${about.name}</span>
        <span class="au-gist muted">${seenLine(gistOf(row))}</span>
        <span class="au-no tiny muted">${count(row.seq)}</span>
      </summary>
      <dl class="kv au-d">
        <dt>About</dt><dd>${about.href === null ? row.subjectType : html`<a href=${about.href}>${about.name}</a>`}${row.subjectId ? html` <code>${row.subjectId}</code>` : nothing}</dd>
        <dt>By</dt><dd>${row.actorType}${row.actorId ? html` <code>${row.actorId}</code>` : nothing}</dd>
        <dt>Hash</dt><dd><code>${row.hash}</code></dd>
        <dt>Before it</dt><dd><code>${row.prevHash}</code></dd>
      </dl>
      <mc-voice .text=${JSON.stringify(row.details, null, 2)}></mc-voice>
    </details></li>`;
  }

  #who({ actorType, actorId, details }: api.AuditRow): unknown {
    if (actorType === 'system') return 'the system';
    const me = session.get()?.operator;
    const name = actorId === null ? undefined : (agents.get(actorId)?.name ?? (me?.id === actorId ? me.name : undefined));
    return name ?? (typeof details.by === 'string' ? seen(details.by) : actorType === 'agent' ? 'an agent' : 'a person');
  }

  #verdictNote(): TemplateResult | typeof nothing {
    const { verdict } = this;
    if (verdict === null || verdict === 'checking') return nothing;
    const { result, at, ms } = verdict;
    const checked = html` Checked at ${moment(at)}, in ${took(ms)}.`;
    if (result.ok)
      return html`<p class="au-v">${glyph('tick', 'green')}<span><b>The chain is whole.</b> ${plural(result.rows ?? 0, 'entry', 'entries')}, each with the hash of the one before it: none was changed, taken out, added or put elsewhere.${result.anchors === undefined ? '' : result.anchors === 0 ? ' No signed head is kept yet to compare it with.' : ` It agrees with ${plural(result.anchors, 'signed head')} kept outside, so its end is not cut off.`} Head <code>${(result.head ?? '').slice(0, 16)}</code>.${checked}</span></p>`;
    if (result.seq === undefined)
      return html`<p class="au-v au-v--red" role="alert">${glyph('bars', 'amber')}<span><b>The chain could not be checked.</b> ${result.why ?? ''} Nothing is said by that about the log itself.</span></p>`;
    return html`<p class="au-v au-v--red" role="alert">${glyph('cross', 'red')}<span><b>The chain is broken at entry ${count(result.seq)}.</b> ${result.why ?? ''} ${result.seq > 1 ? `Entries 1 to ${count(result.seq - 1)} are proven; from there on` : 'For'} nothing is proven. Keep a copy of the data as it is, then compare with the last export or anchor from before. <a href="/audit/${result.seq}">Open entry ${count(result.seq)}</a>.${checked}</span></p>`;
  }

  readonly #filter = (event: Event): void => {
    event.preventDefault();
    const form = event.currentTarget;
    if (!(form instanceof HTMLFormElement)) return;
    const data = new FormData(form);
    const text = (name: string) => String(data.get(name) ?? '').trim();
    const span = text('span');
    const next: Filters = { action: text('action'), subjectId: text('subjectId'), who: text('who'), span: isSpan(span) ? span : '' };
    if (JSON.stringify(next) === JSON.stringify(this.filters)) return;
    this.filters = next;
    this.rows = null;
    void this.#read(null);
  };

  #clear(): void {
    this.filters = NONE;
    if (this.entry !== null) return; // the address changes, and with it what is read
    this.rows = null;
    void this.#read(null);
  }

  #query(): api.AuditQuery {
    if (this.entry !== null) return { seq: Number(this.entry) || 1 };
    const { action, subjectId, who, span } = this.filters;
    return {
      ...(action && { action }),
      ...(subjectId && { subjectId }),
      ...(who.startsWith('id:') ? { actorId: who.slice(3) } : isActorType(who) ? { actorType: who } : {}),
      ...(span && { since: serverNow() - SPAN_MS[span] }),
    };
  }

  async #read(cursor: string | null): Promise<void> {
    const asked = ++this.#asked;
    this.failure = null;
    try {
      const page = await api.listAudit({ ...this.#query(), limit: PAGE, ...(cursor === null ? {} : { cursor }) });
      if (asked !== this.#asked) return;
      this.rows = [...(cursor === null ? [] : (this.rows ?? [])), ...page.items];
      this.cursor = page.nextCursor;
    } catch (error) {
      if (asked === this.#asked) this.failure = sentence(error);
    }
  }

  /** What came since is put on top; what is open stays open. */
  async #readNewer(): Promise<void> {
    const newest = this.rows?.[0]?.seq;
    if (newest === undefined || this.entry !== null) return;
    const asked = this.#asked;
    try {
      const page = await api.listAudit({ ...this.#query(), limit: PAGE });
      const fresh = page.items.filter((row) => row.seq > newest);
      if (fresh.length > 0 && asked === this.#asked && this.rows?.[0]?.seq === newest) this.rows = [...fresh, ...this.rows];
    } catch {
      // The age of the data in the header says that the server is away.
    }
  }

  async #verify(): Promise<void> {
    this.verdict = 'checking';
    const from = performance.now();
    let result: api.AuditVerdict;
    try {
      result = await api.verifyAudit();
    } catch (error) {
      result = { ok: false, why: sentence(error) };
    }
    this.verdict = { result, at: serverNow(), ms: performance.now() - from };
  }
}

function isSpan(value: string): value is Span {
  return value in SPANS;
}

function isActorType(value: string): value is ActorType {
  return value in ACTOR_WORDS;
}

/** The first facts of an entry on one line, those that are short: names and ids stand elsewhere. */
function gistOf({ details, subjectId, actorId }: api.AuditRow): string {
  return Object.entries(details)
    .filter(
      ([name, value]) =>
        name !== 'by' &&
        !name.endsWith('Id') &&
        ['string', 'number', 'boolean'].includes(typeof value) &&
        value !== subjectId &&
        value !== actorId,
    )
    .slice(0, GIST_FACTS)
    .map(([name, value]) => `${name}: ${value}`)
    .join(', ');
}

/** What an entry is about, by its name where it is known, and where that can be looked at. */
function aboutOf({ subjectType, subjectId, details }: api.AuditRow): { name: unknown; href: string | null } {
  const task = subjectType === 'task' && subjectId ? tasks.get(subjectId) : undefined;
  if (task) return { name: seen(`${numberOf(task)} ${task.title}`), href: `?task=${task.id}` };
  const agent = subjectType === 'agent' && subjectId ? agents.get(subjectId) : undefined;
  if (agent) return { name: agent.name, href: `/agents/${agent.id}` };
  if (subjectType === 'approval' && subjectId) return { name: 'an approval', href: `/approvals/${subjectId}` };
  const name = details.name ?? details.version ?? details.title;
  return { name: typeof name === 'string' ? html`${subjectType} ${seen(name)}` : subjectType, href: null };
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-audit': AuditElement;
  }
}
