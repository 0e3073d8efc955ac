/**
 * The list of the inbox: who waits, oldest first, like calls together, and below it what was decided lately.
 * Every row is a link to its approval.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { Approval } from '../../control/contract.ts';
import { clockMinutes, RISK_WORDS, wait } from '../words.ts';
import { type ApprovalGroup, gistOf } from './approval-text.ts';
import { approvalGlyph, riskGlyph } from './glyph.ts';
import { LightElement } from './light-element.ts';
import { seen, seenLine } from './parts.ts';
import { toLine } from './visible-text.ts';
import './approval-list.css';

/** From this wait on the time stands out. */
const LONG_WAIT_MS = 120_000;

@customElement('mc-approval-list')
export class ApprovalListElement extends LightElement {
  @property({ attribute: false }) groups: readonly ApprovalGroup[] = [];
  @property({ attribute: false }) decided: readonly Approval[] = [];
  @property({ attribute: false }) selectedId: string | null = null;
  /** The server's time, for how long each has waited. */
  @property({ attribute: false }) now = 0;

  protected override render(): TemplateResult {
    return html`
      ${repeat(
        this.groups,
        (group) => group.key,
        (group) => this.#group(group),
      )}
      ${
        this.decided.length
          ? html`<h3 class="il-sub">Decided lately</h3>${repeat(
              this.decided,
              (approval) => approval.id,
              (approval) => this.#decided(approval),
            )}`
          : nothing
      }
    `;
  }

  #group({ items, labels }: ApprovalGroup): TemplateResult {
    const [first] = items;
    const inside = items.some((item) => item.id === this.selectedId);
    const context = [first.agentName, first.taskTitle].filter(Boolean).join(', ');
    return html`<div class="ig">
      <a class="it" href="/approvals/${first.id}" aria-current=${inside ? 'true' : nothing}>
        <span class="g">${riskGlyph(first.risk)}<span class="sr">${RISK_WORDS[first.risk]} risk: </span></span>
        <span class="x">${seenLine(gistOf(first))}</span>
        ${this.#waited(first)}
        <span class="s">${items.length > 1 ? html`<b class="b">×${items.length}</b>` : nothing}<span class="cut">${context ? seen(toLine(context)) : seen(first.reason)}</span></span>
      </a>
      ${
        items.length > 1
          ? html`<div class="sub ${inside ? 'sub--in' : ''}">${items.map(
              (item, i) => html`<a href="/approvals/${item.id}" aria-current=${item.id === this.selectedId ? 'true' : nothing}>
                <code class="grow">${seenLine(labels[i] ?? '')}</code>${this.#waited(item)}
              </a>`,
            )}</div>`
          : nothing
      }
    </div>`;
  }

  #waited(approval: Approval): TemplateResult {
    const waited = this.now - approval.createdAt;
    return html`<span class="w ${waited >= LONG_WAIT_MS ? 'w--long' : ''}"><span class="sr">waiting </span>${wait(waited)}</span>`;
  }

  #decided(approval: Approval): TemplateResult {
    return html`<a class="it it--past" href="/approvals/${approval.id}" aria-current=${approval.id === this.selectedId ? 'true' : nothing}>
      <span class="g">${approvalGlyph(approval.status)}<span class="sr">${approval.status}: </span></span>
      <span class="x">${seenLine(gistOf(approval))}</span>
      <span class="w cut">${approval.approver ?? approval.status}</span>
      <span class="w">${clockMinutes(approval.decidedAt ?? approval.createdAt)}</span>
    </a>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-approval-list': ApprovalListElement;
  }
}
