/** One agent in a list: state, rank, spend against its cap, what asks for attention, age of its heartbeat. A link to the agent. */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Agent } from '../../control/contract.ts';
import { AGENT_STATE_WORDS, age, capMoney, money } from '../words.ts';
import { attentionOf, stateOf } from './agent-text.ts';
import { rankGlyph, statusGlyph } from './glyph.ts';
import { LightElement } from './light-element.ts';
import { meter } from './parts.ts';
import './agent-row.css';

@customElement('mc-agent-row')
export class AgentRowElement extends LightElement {
  @property({ attribute: false }) agent: Agent | null = null;
  @property({ attribute: false }) selected = false;
  /** How far below the first of its family it stands in the list. */
  @property({ attribute: false }) depth = 0;
  /** The server's time. */
  @property({ attribute: false }) now = 0;

  protected override render(): TemplateResult | typeof nothing {
    const agent = this.agent;
    if (!agent) return nothing;
    const state = stateOf(agent, this.now);
    const off = state === 'paused' || state === 'stopped' || state === 'quarantined';
    const [ask] = attentionOf(agent, this.now);
    const loud = state === 'quarantined' ? 'm-red b' : ask ? 'm-amber b' : '';
    return html`<a class="agent ${off ? 'agent--off' : ''}" .style=${`--depth: ${Math.min(this.depth, 6)}`} href="/agents/${agent.id}" aria-current=${this.selected ? 'page' : nothing}>
      <span class="agent-st">${statusGlyph(state)}<span class="sr">${AGENT_STATE_WORDS[state]}, </span></span>
      <span class="agent-nm nm">${this.depth > 0 ? html`<span class="sr">sub-agent </span>` : nothing}<span class="cut">${agent.name}</span>${rankGlyph(agent.autonomyLevel)}</span>
      <span class="agent-mny">${money(agent.todaySpend, agent.todayCap)}${agent.todayCap === null ? nothing : html`<span>/${capMoney(agent.todayCap).slice(1)}</span>`}</span>
      <span class="agent-l2">
        <span>${meter(agent.todaySpend, agent.todayCap)}</span>
        <span class="cut ${loud}">${ask && state !== 'quarantined' && state !== 'silent' ? sentenceCase(ask) : AGENT_STATE_WORDS[state]}</span>
        ${agent.gate === 'openclaw' ? html`<span title="Last heartbeat"><span class="sr">last heartbeat </span>${agent.lastHeartbeat === null ? 'never' : age(this.now - agent.lastHeartbeat)}</span>` : html`<span title="This agent has no gate to be heard by">no gate</span>`}
      </span>
    </a>`;
  }
}

function sentenceCase(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agent-row': AgentRowElement;
  }
}
