/**
 * Everything as it happens: decisions, calls, alerts, newest first. Reading is never disturbed: while one has scrolled down, new entries wait
 * behind a button that says how many. Older ones are fetched on the way down. Only what is on the screen is in the page.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { LitVirtualizer } from '@lit-labs/virtualizer';
import { flow } from '@lit-labs/virtualizer/layouts/flow.js';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { type FeedContext, feedRow } from '../elements/feed-row.ts';
import { FEED_FILTERS, type FeedEntry, type FeedFilter, mergeFeed } from '../elements/feed-text.ts';
import { LightElement } from '../elements/light-element.ts';
import { button, choice, empty, failed } from '../elements/parts.ts';
import { toLine } from '../elements/visible-text.ts';
import { activities, agents, approvals, toolCalls } from '../store.ts';
import { count, plural } from '../words.ts';
import './feed.css';

const PAGE = 200;
/** So close to the end of the list the next page is fetched. */
const AHEAD = 40;
/** Named, because the list would fetch it by itself only when it is drawn, which delays the first card by a round trip. */
const LAYOUT = flow();
/** Both lists that the feed is made of. */
const WINDOWS = [activities, toolCalls] as const;
const CONTEXT: FeedContext = {
  exact: true,
  nameOf: (id) => agents.get(id)?.name,
  waits: (id) => approvals.get(id)?.status === 'pending',
};
const BRIEF: FeedContext = { ...CONTEXT, exact: false, brief: 84 };
const LABELS: Record<FeedFilter, string> = { all: 'All', decisions: 'Decisions', calls: 'Calls', alerts: 'Alerts' };

@customElement('mc-feed')
export class FeedElement extends SignalWatcher(LightElement) {
  /** Beside something else: a narrow column without its own page head. */
  @property({ attribute: false }) compact = false;
  @state() private filter: FeedFilter = 'all';
  /** The newest entry when the reader scrolled away from the top; newer ones wait. */
  @state() private heldAt: string | null = null;
  @state() private failure: string | null = null;
  #fetching = false;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#release();
  }

  protected override render(): TemplateResult {
    const all = mergeFeed(
      {
        activities: activities.all(),
        calls: toolCalls.all(),
        moreActivities: activities.before !== null,
        moreCalls: toolCalls.before !== null,
      },
      this.filter,
    );
    const from =
      this.heldAt === null
        ? 0
        : Math.max(
            0,
            all.findIndex((entry) => entry.id === this.heldAt),
          );
    const shown = from === 0 ? all : all.slice(from);
    return html`<div class="feedv ${this.compact ? 'feedv--compact' : ''}">
      <div class="feedv-h">
        ${this.compact ? html`<h2>Feed</h2>` : html`<h1>Feed</h1>`}
        ${choice(
          'Show',
          FEED_FILTERS.filter((value) => !this.compact || value !== 'calls').map((value) => ({ value, label: LABELS[value] })),
          this.filter,
          (value) => this.#choose(value),
        )}
      </div>
      <p class="sr" role="status">${spoken(all)}</p>
      <div class="feedv-b">
        ${from > 0 ? html`<div class="feedv-new">${button({ label: `${plural(from, 'new entry', 'new entries')}`, icon: 'chevron-up', size: 'small', onClick: () => this.#toTop() })}</div>` : nothing}
        ${
          shown.length === 0
            ? empty('Nothing yet', 'Every decision, call and alert shows up here as it happens.')
            : html`<lit-virtualizer .layout=${LAYOUT} class="feedv-l scroll" scroller tabindex="0" role="log" aria-live="off" aria-label="Feed"
                .items=${shown}
                .keyFunction=${(entry: FeedEntry) => entry.id}
                .renderItem=${(entry: FeedEntry) => feedRow(entry, this.compact ? BRIEF : CONTEXT)}
                @scroll=${this.#scrolled}
                @rangeChanged=${(event: Event & { last: number }) => this.#near(event.last, shown.length)}></lit-virtualizer>`
        }
        ${this.failure === null ? nothing : failed('Older entries could not be read', this.failure, () => void this.#fetchOlder())}
        <p class="feedv-f small muted">${count(shown.length)} ${shown.length === 1 ? 'entry' : 'entries'}${this.#more() ? ', older ones follow as you scroll' : ''}</p>
      </div>
    </div>`;
  }

  #choose(filter: FeedFilter): void {
    this.filter = filter;
    this.#release();
    this.querySelector('.feedv-l')?.scrollTo({ top: 0 });
  }

  #scrolled(event: Event): void {
    const list = event.currentTarget;
    if (!(list instanceof LitVirtualizer)) return;
    const away = list.scrollTop > 24;
    const newest = (list.items as FeedEntry[])[0]?.id ?? null;
    if (away && this.heldAt === null) {
      this.heldAt = newest;
      for (const list of WINDOWS) list.widen();
    } else if (!away && this.heldAt !== null) this.#release();
  }

  /** Newer entries come in again, and what was fetched for reading back is let go. */
  #release(): void {
    this.heldAt = null;
    for (const list of WINDOWS) list.narrow();
  }

  #toTop(): void {
    this.#release();
    this.querySelector('.feedv-l')?.scrollTo({ top: 0 });
  }

  #more(): boolean {
    return (
      (this.filter !== 'calls' && activities.before !== null) ||
      ((this.filter === 'calls' || this.filter === 'all') && toolCalls.before !== null)
    );
  }

  #near(last: number, length: number): void {
    if (last >= length - AHEAD && this.#more() && this.failure === null) void this.#fetchOlder();
  }

  async #fetchOlder(): Promise<void> {
    if (this.#fetching) return;
    this.#fetching = true;
    this.failure = null;
    try {
      const [a, c] = [activities.before, toolCalls.before];
      // The list that ends earlier holds the other back, so it is the one to lengthen.
      const activitiesEnd = activities.all().at(-1)?.createdAt ?? 0;
      const callsEnd = toolCalls.all().at(-1)?.createdAt ?? 0;
      const wantCalls = this.filter === 'calls' || (this.filter === 'all' && (a === null || callsEnd >= activitiesEnd));
      if (wantCalls && c !== null) {
        const page = await api.listToolCalls({ limit: PAGE, before: c });
        toolCalls.append(page.items, page.nextCursor !== null);
      } else if (a !== null) {
        const page = await api.listActivities({ limit: PAGE, before: a });
        activities.append(page.items, page.nextCursor !== null);
      }
    } catch (error) {
      this.failure = sentence(error);
    } finally {
      this.#fetching = false;
    }
  }
}

/** What a listener hears: only what was decided or alerted, never every call. */
function spoken(entries: readonly FeedEntry[]): string {
  const latest = entries.find((entry) => entry.kind === 'activity');
  return latest?.kind === 'activity' ? toLine(latest.activity.summary) : '';
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-feed': FeedElement;
  }
}
