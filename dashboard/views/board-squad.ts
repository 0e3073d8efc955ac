/** The squad beside the board: every agent, those that need somebody first, and for how many the gate is heard. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { serverNow } from '../clock.ts';
import '../elements/agent-row.ts';
import { byAttention } from '../elements/agent-text.ts';
import { LightElement } from '../elements/light-element.ts';
import { agents } from '../store.ts';

/** A gate that was heard within this counts as heard from. */
const HEARD_MS = 300_000;

@customElement('mc-board-squad')
export class BoardSquadElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    const now = serverNow();
    const all = agents.all().sort(byAttention(now));
    const gated = all.filter((agent) => agent.gate === 'openclaw');
    const live = gated.filter((agent) => agent.lastHeartbeat !== null && now - agent.lastHeartbeat < HEARD_MS);
    return html`<div class="side-h"><h2><a href="/agents">Agents <span class="muted">${all.length}</span></a></h2></div>
      <div class="scroll grow" tabindex="0" role="region" aria-label="Agent list">${
        all.length === 0
          ? html`<p class="tcol-none small muted">No agent is registered. <a href="/start">How to connect OpenClaw</a></p>`
          : repeat(
              all,
              (agent) => agent.id,
              (agent) => html`<mc-agent-row .agent=${agent} .now=${now}></mc-agent-row>`,
            )
      }</div>
      ${gated.length > 0 ? html`<p class="board-gate small muted">Gate heard from ${live.length} of ${gated.length}</p>` : nothing}`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-board-squad': BoardSquadElement;
  }
}
