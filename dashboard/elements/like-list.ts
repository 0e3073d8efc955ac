/**
 * Held calls that ask for the same kind of thing, in one card: what tells them from one another, who asks, and which of them the next decision
 * is for. Emits `mc-select` with the ids that are chosen.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { count, plural, wait } from '../words.ts';
import type { ApprovalGroup } from './approval-text.ts';
import { emit, LightElement } from './light-element.ts';
import { button, seen, seenLine } from './parts.ts';
import { toLine } from './visible-text.ts';
import './like-list.css';

@customElement('mc-like-list')
export class LikeListElement extends LightElement {
  @property({ attribute: false }) group: ApprovalGroup | null = null;
  @property({ attribute: false }) selected: ReadonlySet<string> = new Set();
  /** The one whose facts are shown. */
  @property({ attribute: false }) currentId: string | null = null;
  /** The server's time. */
  @property({ attribute: false }) now = 0;

  protected override render(): TemplateResult | typeof nothing {
    const { group } = this;
    if (!group || group.items.length < 2) return nothing;
    const ids = group.items.map((item) => item.id);
    const chosen = ids.filter((id) => this.selected.has(id)).length;
    const all = chosen === ids.length;
    return html`<section class="ll" aria-label="Calls alike">
      <div class="ll-h">
        <h2 class="grow">${plural(ids.length, 'call')} alike <span class="small muted">${chosen === 0 ? 'only the one that is shown is decided' : `${count(chosen)} chosen`}</span></h2>
        ${button({ label: all ? 'Choose none' : `Choose all ${count(ids.length)}`, size: 'small', key: 'S', onClick: () => this.#choose(all ? [] : ids) })}
      </div>
      <ul class="ll-l">${group.items.map((item, i) => this.#row(item, group.labels[i] ?? ''))}</ul>
    </section>`;
  }

  #row(item: ApprovalGroup['items'][number], label: string): TemplateResult {
    const id = `${this.uid}-${item.id}`;
    return html`<li class="ll-r ${item.id === this.currentId ? 'll-r--on' : ''}">
      <input type="checkbox" id=${id} .checked=${this.selected.has(item.id)} @change=${() => this.#toggle(item.id)} />
      <label class="sr" for=${id}>Choose approval ${item.number}: ${toLine(label)}</label>
      <a href="/approvals/${item.id}" aria-current=${item.id === this.currentId ? 'true' : nothing}><code>${seenLine(label)}</code></a>
      <span class="ll-w cut" title=${whoOf(item)}>${seen(whoOf(item))}</span>
      <span class="muted nb">${wait(this.now - item.createdAt)}</span>
    </li>`;
  }

  #toggle(id: string): void {
    this.#choose(this.selected.has(id) ? [...this.selected].filter((other) => other !== id) : [...this.selected, id]);
  }

  #choose(ids: readonly string[]): void {
    emit<readonly string[]>(this, 'mc-select', ids);
  }
}

function whoOf(item: ApprovalGroup['items'][number]): string {
  return toLine([item.agentName, item.taskTitle].filter(Boolean).join(', '));
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-like-list': LikeListElement;
  }
}
