/**
 * What surrounds a held call: its task, the budgets that it counts against with what it could add, and what its agent did just before.
 * The newest calls come with the stream; older ones are read once per agent, as a side note without which a decision is still possible.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Agent, Approval, Task, ToolCallView } from '../../control/contract.ts';
import * as api from '../api.ts';
import { budgetRow } from '../elements/budget-effect.ts';
import { callGlyph, riskGlyph, taskChip } from '../elements/glyph.ts';
import { LightElement } from '../elements/light-element.ts';
import { moment, seen, seenLine } from '../elements/parts.ts';
import { numberOf } from '../elements/task-text.ts';
import { agents, overview, tasks, toolCalls } from '../store.ts';
import { callMoney } from '../words.ts';

const CALLS_SHOWN = 5;

@customElement('mc-approval-context')
export class ApprovalContextElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) approval: Approval | null = null;
  @state() private agentCalls: ReadonlyMap<string, readonly ToolCallView[]> = new Map();

  protected override render(): TemplateResult | typeof nothing {
    const { approval } = this;
    if (!approval) return nothing;
    const agent = approval.agentId === null ? undefined : agents.get(approval.agentId);
    const task = approval.taskId === null ? undefined : tasks.get(approval.taskId);
    return html`${approval.taskId === null ? nothing : taskPart(approval, task)}${budgetPart(approval, agent, task)}${this.#calls(approval)}`;
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    if (changed.has('approval')) void this.#fetchCalls();
  }

  #calls(approval: Approval): TemplateResult | typeof nothing {
    const calls = this.#lastCalls(approval);
    if (calls.length === 0) return nothing;
    return html`<section>
      <h2>${approval.agentName === null ? 'The agent' : seen(approval.agentName)}, last calls</h2>
      <ul>${calls.map((call) => html`<li class="rc">${callGlyph(call)}<a href="?call=${call.id}"><code>${seenLine(`${call.tool} ${call.summary}`)}</code></a>${riskGlyph(call.risk)}${moment(call.createdAt)}</li>`)}</ul>
    </section>`;
  }

  #lastCalls({ agentId, toolCallId }: Approval): ToolCallView[] {
    if (agentId === null) return [];
    const live = toolCalls.all().filter((call) => call.agentId === agentId);
    const older = (this.agentCalls.get(agentId) ?? []).filter((call) => !live.some((other) => other.id === call.id));
    return [...live, ...older]
      .filter((call) => call.id !== toolCallId)
      .sort((a, b) => b.createdAt - a.createdAt)
      .slice(0, CALLS_SHOWN);
  }

  async #fetchCalls(): Promise<void> {
    const agentId = this.approval?.agentId ?? null;
    if (agentId === null || this.agentCalls.has(agentId)) return;
    try {
      const { items } = await api.listToolCalls({ agentId, limit: CALLS_SHOWN + 1 });
      this.agentCalls = new Map(this.agentCalls).set(agentId, items);
    } catch {
      // A side note of the decision: without it the live ones are shown.
    }
  }
}

function taskPart(approval: Approval, task: Task | undefined): TemplateResult {
  return html`<section>
    <h2>Task</h2>
    <p class="ctx-task"><a href="?task=${approval.taskId}">${task ? `${numberOf(task)} ` : nothing}${seen(approval.taskTitle ?? 'Open the task')}</a>${task ? taskChip(task.status) : nothing}</p>
  </section>`;
}

function budgetPart(approval: Approval, agent: Agent | undefined, task: Task | undefined): TemplateResult {
  const fleet = overview.get();
  const adds = approval.status === 'pending' ? approval.estimatedCost : 0;
  return html`<section>
    <h2>Budget</h2>
    ${task ? budgetRow({ name: `Task ${numberOf(task)}`, spent: task.spend, cap: task.budget, adds, uncapped: "the policy's cap" }) : nothing}
    ${agent ? budgetRow({ name: `${agent.name} today`, spent: agent.todaySpend, cap: agent.todayCap, adds }) : nothing}
    ${fleet ? budgetRow({ name: 'Fleet today', spent: fleet.todaySpend, cap: fleet.fleetCap, adds }) : nothing}
    <p class="small muted">${approval.estimatedCost > 0 ? `This call: at most ${callMoney(approval.estimatedCost)}` : 'This call itself: no charge'}</p>
  </section>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-approval-context': ApprovalContextElement;
  }
}
