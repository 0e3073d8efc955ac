/** Calls as a table: when, what, risk, verdict, cost, duration. Each row opens the whole record. Narrow places get two lines a row instead. */
import { html, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import type { ToolCallView } from '../../control/contract.ts';
import { callMoney, clock, took, wait } from '../words.ts';
import { callWord, riskWord } from './glyph.ts';
import { LightElement } from './light-element.ts';
import { moment, seenLine } from './parts.ts';
import './call-table.css';

@customElement('mc-call-table')
export class CallTableElement extends LightElement {
  @property({ attribute: false }) calls: readonly ToolCallView[] = [];
  @property() label = 'Calls';
  /** The server's time, for how long a held call has waited. */
  @property({ attribute: false }) now = 0;

  protected override render(): TemplateResult {
    return html`<table class="tbl calls" aria-label=${this.label}>
      <thead><tr><th>Time</th><th>Tool</th><th>What</th><th>Risk</th><th>Verdict</th><th class="num">Cost</th><th class="num">Took</th></tr></thead>
      <tbody>${repeat(
        this.calls,
        (call) => call.id,
        (call) => this.#row(call),
      )}</tbody>
    </table>`;
  }

  #row(call: ToolCallView): TemplateResult {
    const held = call.status === 'needs_approval';
    return html`<tr>
      <td class="muted c-time">${moment(call.createdAt, clock(call.createdAt))}</td>
      <td class="c-tool"><code class="b">${seenLine(call.tool)}</code></td>
      <td class="c-what"><a href="?call=${call.id}"><code>${seenLine(call.summary || call.tool)}</code></a></td>
      <td class="c-risk">${riskWord(call.risk)}</td>
      <td class="c-verdict">${callWord(call)}</td>
      <td class="num c-cost">${callMoney(call.cost)}</td>
      <td class="num c-took ${held ? 'm-amber' : 'muted'}">${held ? wait(this.now - call.createdAt) : took(call.duration)}</td>
    </tr>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-call-table': CallTableElement;
  }
}
