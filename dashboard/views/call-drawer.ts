/** The whole record of one call, over any view: who, what, why it was judged so, what came of it, what it cost. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ToolCallView } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { argumentBlocks, reasonRows } from '../elements/call-facts.ts';
import { callWord, riskChip } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { failed, moment, seen, skeleton } from '../elements/parts.ts';
import { toLine } from '../elements/visible-text.ts';
import { voiceTag } from '../elements/voice.ts';
import { openCall } from '../routes.ts';
import { toolCalls } from '../store.ts';
import { callMoney, clock, took, wait, when } from '../words.ts';
import '../elements/drawer.ts';
import './call-drawer.css';

const ENTRIES: Record<ToolCallView['entry'], string> = {
  openclaw: 'OpenClaw gate',
  mcp: 'MCP',
  model: 'Model API',
  http: 'HTTP tools',
  egress: 'Egress',
  'mission-control': "Mission Control's own tools",
};

@customElement('mc-call-drawer')
export class CallDrawerElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) callId = '';
  @state() private fetched: ToolCallView | null = null;
  @state() private failure: string | null = null;

  protected override render(): TemplateResult {
    const call = toolCalls.all().find((item) => item.id === this.callId) ?? (this.fetched?.id === this.callId ? this.fetched : null);
    return html`<mc-drawer .heading=${call ? toLine(`${call.tool} ${call.summary}`).slice(0, 160) : 'Call'} .content=${this.#content(call)} @mc-close=${() => openCall(null)}></mc-drawer>`;
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    if (changed.has('callId')) void this.#fetch();
  }

  #content(call: ToolCallView | null): TemplateResult {
    if (!call) return this.failure === null ? skeleton(6) : failed('This call could not be read', this.failure, () => void this.#fetch());
    const held = call.status === 'needs_approval';
    const tone =
      call.verdict === 'deny' || call.status === 'blocked' ? 'denied' : call.verdict === 'hold' || call.approvalId ? 'held' : 'allowed';
    return html`<div class="cd">
      <div class="row cd-chips">${riskChip(call.risk)}${callWord(call)}<span class="small muted">${moment(call.createdAt, `${when(call.createdAt, serverNow())}:${clock(call.createdAt).slice(-2)}`)}</span></div>
      <dl class="kv">
        <dt>Agent</dt><dd><a href="/agents/${call.agentId}">${call.agentName ?? call.agentId}</a></dd>
        <dt>Came in by</dt><dd>${ENTRIES[call.entry]}</dd>
        ${call.approvalId ? html`<dt>Approval</dt><dd><a href="/approvals/${call.approvalId}">Open the approval</a></dd>` : nothing}
        <dt>Took</dt><dd>${held ? html`<span class="m-amber">held ${wait(serverNow() - call.createdAt)}</span>` : took(call.duration)}${call.heldFor ? html` <span class="muted">after ${wait(call.heldFor)} of waiting for a person</span>` : nothing}</dd>
        <dt>Cost</dt><dd>${callMoney(call.cost)}</dd>
      </dl>
      <section class="sec"><h2>Why it was judged so</h2>${reasonRows(call.reasons, tone)}</section>
      <section class="sec"><h2>What was asked ${voiceTag()}</h2>${argumentBlocks(call.input)}</section>
      ${call.error ? html`<section class="sec"><h2>Error</h2><mc-voice .text=${call.error}></mc-voice></section>` : nothing}
      <section class="sec"><h2>What came back ${call.output ? voiceTag('not checked') : nothing}</h2>${call.output ? html`<mc-voice .text=${call.output}></mc-voice>` : html`<p class="small muted">${NOTHING_BACK[call.status]}</p>`}</section>
      <section class="sec"><h2>Record</h2><dl class="kv">
        <dt>Call</dt><dd><code>${call.id}</code></dd>
        <dt>Run</dt><dd><code>${call.runId ? seen(call.runId) : '–'}</code></dd>
        <dt>Session</dt><dd><code>${call.sessionKey ? seen(call.sessionKey) : '–'}</code></dd>
        <dt>Judged as</dt><dd><code>${call.mappedTool}</code> <span class="muted">by policy</span> <code>${call.policyVersion ?? '–'}</code></dd>
      </dl></section>
    </div>`;
  }

  async #fetch(): Promise<void> {
    const id = this.callId;
    this.failure = null;
    try {
      this.fetched = await api.readToolCall(id);
    } catch (error) {
      if (id === this.callId) this.failure = sentence(error);
    }
  }
}

const NOTHING_BACK: Record<ToolCallView['status'], string> = {
  running: 'It is running; its outcome has not been reported yet.',
  success: 'It ran and returned nothing that was kept.',
  failed: 'It failed and returned nothing that was kept.',
  blocked: 'Nothing ran: the call was refused.',
  needs_approval: 'Nothing has run: the call is held.',
  withdrawn: 'Nothing ran: the call was withdrawn.',
  unknown: 'It was let through, but no outcome was ever reported.',
};

declare global {
  interface HTMLElementTagNameMap {
    'mc-call-drawer': CallDrawerElement;
  }
}
