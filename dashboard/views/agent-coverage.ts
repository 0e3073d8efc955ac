/** What shows that the gate judges this agent's calls, by each way in. Asked anew while it is in view, because proof grows old. */
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { type CoveredAgent, coverageRows } from '../elements/coverage.ts';
import { LightElement } from '../elements/light-element.ts';
import { failed, skeleton } from '../elements/parts.ts';
import { workWhileShown } from '../polling.ts';

const EVERY_MS = 10_000;

@customElement('mc-agent-coverage')
export class AgentCoverageElement extends LightElement {
  @property({ attribute: false }) agentId = '';
  @state() private known: { agentId: string; covered: CoveredAgent | null } | null = null;
  @state() private failure: string | null = null;

  constructor() {
    super();
    workWhileShown(this, () => this.#read(), EVERY_MS);
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.get('agentId') !== undefined && changed.has('agentId')) void this.#read();
  }

  protected override render(): TemplateResult | typeof nothing {
    const covered = this.known?.agentId === this.agentId ? this.known.covered : undefined;
    // A stopped agent makes no calls, so there is nothing to prove.
    if (covered === null) return nothing;
    return html`<section class="panel"><div class="panel-h"><h2 class="grow">Gate coverage</h2><a class="small" href="/health">All agents</a></div>${
      covered
        ? coverageRows(covered, serverNow())
        : this.failure === null
          ? skeleton(3)
          : failed('The coverage could not be read', this.failure, () => void this.#read())
    }</section>`;
  }

  async #read(): Promise<void> {
    const { agentId } = this;
    try {
      const map = await api.readCoverage();
      if (agentId !== this.agentId) return;
      this.known = { agentId, covered: map.agents.find((agent) => agent.agentId === agentId) ?? null };
      this.failure = null;
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-agent-coverage': AgentCoverageElement;
  }
}
