/**
 * The audit log: who did what, newest first, back to the first entry; by action or by what it was about; and whether the chain of hashes is
 * whole. Details are shown as they were recorded, as text.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { glyph } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, empty, failed, moment, seen, skeleton } from '../elements/parts.ts';
import '../elements/voice.ts';
import { numberOf } from '../elements/task-text.ts';
import { agents, session, tasks } from '../store.ts';
import { clock, count, plural, when } from '../words.ts';
import './audit.css';

const PAGE = 100;
const REFRESH_MS = 5_000;
const DAY_MS = 86_400_000;

@customElement('mc-audit')
export class AuditElement extends SignalWatcher(LightElement) {
  @state() private rows: readonly api.AuditRow[] | null = null;
  @state() private cursor: string | null = null;
  @state() private action = '';
  @state() private subjectId = '';
  @state() private failure: string | null = null;
  @state() private verdict: api.AuditVerdict | 'checking' | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read(null);
    this.#timer = setInterval(() => void this.#readNewer(), REFRESH_MS);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  protected override render(): TemplateResult {
    const { rows } = this;
    const now = serverNow();
    return html`<div class="page page--wide scroll" tabindex="0" role="region" aria-label="Audit">
      <div class="page-h au-h">
        <h1>Audit</h1>
        <form class="au-f" @submit=${(event: SubmitEvent) => this.#filter(event)}>
          <label class="sr" for="au-action">Action</label>
          <input class="field" id="au-action" name="action" list="au-actions" placeholder="Action, e.g. task.moved" autocomplete="off" .value=${this.action} />
          <datalist id="au-actions">${[...new Set((rows ?? []).map((row) => row.action))].sort().map((action) => html`<option value=${action}></option>`)}</datalist>
          <label class="sr" for="au-subject">Id of what it was about</label>
          <input class="field mono" id="au-subject" name="subjectId" placeholder="Id of what it was about" autocomplete="off" .value=${this.subjectId} />
          ${button({ label: 'Filter', icon: 'list-filter', type: 'submit', onClick: () => {} })}
        </form>
        ${button({ label: 'Verify the chain', icon: 'fingerprint', busy: this.verdict === 'checking' ? 'Checking' : null, onClick: () => void this.#verify() })}
      </div>
      <div role="status">${this.#verdictNote()}</div>
      <section class="panel au">
        ${
          this.failure !== null && rows === null
            ? failed('The audit log could not be read', this.failure, () => void this.#read(null))
            : rows === null
              ? skeleton(8)
              : rows.length === 0
                ? empty('Nothing fits', 'No entry has this action about this id.')
                : html`<ol>${repeat(
                    rows,
                    (row) => row.seq,
                    (row) => this.#row(row, now),
                  )}</ol>`
        }
        ${this.cursor !== null ? html`<div class="au-more">${button({ label: 'Older entries', icon: 'chevron-down', size: 'small', kind: 'quiet', onClick: () => void this.#read(this.cursor) })}</div>` : nothing}
      </section>
      <p class="small muted">${plural(rows?.length ?? 0, 'entry', 'entries')} shown${this.cursor === null ? ', back to the first' : ''}</p>
    </div>`;
  }

  #row(row: api.AuditRow, now: number): TemplateResult {
    return html`<li><details>
      <summary>
        <span class="au-at small muted">${moment(row.at, now - row.at < DAY_MS ? clock(row.at) : when(row.at, now))}</span>
        <code class="b">${row.action}</code>
        <span class="au-who">${this.#who(row)}</span>
        <span class="au-about muted">${aboutOf(row)}</span>
        <span class="tiny muted">${count(row.seq)}</span>
      </summary>
      <dl class="kv au-d">
        <dt>About</dt><dd>${row.subjectType}${row.subjectId ? html` <code>${row.subjectId}</code>` : nothing}</dd>
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
    return verdict.ok
      ? html`<p class="au-v">${glyph('tick', 'green')}<span><b>The chain is whole.</b> ${plural(verdict.rows ?? 0, 'entry', 'entries')}, each with the hash of the one before it. Head <code>${(verdict.head ?? '').slice(0, 16)}</code></span></p>`
      : html`<p class="au-v au-v--red" role="alert">${glyph('cross', 'red')}<span><b>The chain is broken${verdict.seq === undefined ? '' : ` at entry ${count(verdict.seq)}`}.</b> ${verdict.why ?? ''}</span></p>`;
  }

  #filter(event: SubmitEvent): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    this.action = String(form.get('action') ?? '').trim();
    this.subjectId = String(form.get('subjectId') ?? '').trim();
    this.rows = null;
    void this.#read(null);
  }

  #query(): { action?: string; subjectId?: string } {
    return { ...(this.action && { action: this.action }), ...(this.subjectId && { subjectId: this.subjectId }) };
  }

  async #read(cursor: string | null): Promise<void> {
    const query = this.#query();
    this.failure = null;
    try {
      const page = await api.listAudit({ ...query, limit: PAGE, ...(cursor === null ? {} : { cursor }) });
      this.rows = [...(cursor === null ? [] : (this.rows ?? [])), ...page.items];
      this.cursor = page.nextCursor;
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  /** What came since is put on top; what is open stays open. */
  async #readNewer(): Promise<void> {
    const newest = this.rows?.[0]?.seq;
    if (newest === undefined) return;
    try {
      const page = await api.listAudit({ ...this.#query(), limit: PAGE });
      const fresh = page.items.filter((row) => row.seq > newest);
      if (fresh.length > 0 && this.rows?.[0]?.seq === newest) this.rows = [...fresh, ...this.rows];
    } catch {
      // The age of the data in the header says that the server is away.
    }
  }

  async #verify(): Promise<void> {
    this.verdict = 'checking';
    try {
      this.verdict = await api.verifyAudit();
    } catch (error) {
      this.verdict = { ok: false, why: `It could not be checked: ${sentence(error)}` };
    }
  }
}

/** What an entry is about, by its name where it is known. */
function aboutOf({ subjectType, subjectId, details }: api.AuditRow): unknown {
  const task = subjectType === 'task' && subjectId ? tasks.get(subjectId) : undefined;
  if (task) return html`<a href="?task=${task.id}">${numberOf(task)} ${seen(task.title)}</a>`;
  const agent = subjectType === 'agent' && subjectId ? agents.get(subjectId) : undefined;
  if (agent) return html`<a href="/agents/${agent.id}">${agent.name}</a>`;
  if (subjectType === 'approval' && subjectId) return html`<a href="/approvals/${subjectId}">an approval</a>`;
  const name = details.name ?? details.version ?? details.title;
  return typeof name === 'string' ? html`${subjectType} ${seen(name)}` : subjectType;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-audit': AuditElement;
  }
}
