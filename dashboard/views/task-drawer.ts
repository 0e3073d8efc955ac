/**
 * One task in full, over any view: what it is and who has it, everything that happened in order, what it made, what was decided, what it
 * cost; and from here it is changed and moved. What is read stays while newer things are fetched.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { live } from 'lit/directives/live.js';
import type { Activity, Approval, Message, Run, Task, ToolCallView, WorkDocument } from '../../control/contract.ts';
import { moveTask, readThread, sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { answersList } from '../elements/answers.ts';
import { type Answers, taskAnswers } from '../elements/answers-text.ts';
import { gistOf } from '../elements/approval-text.ts';
import '../elements/drawer.ts';
import '../elements/modal.ts';
import { stateOf } from '../elements/agent-text.ts';
import { approvalChip, chip, glyph, priorityGlyph, rankGlyph, riskGlyph, statusGlyph, taskChip } from '../elements/glyph.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { ago, button, empty, failed, meter, moment, seen, seenLine, skeleton, spentOf, why } from '../elements/parts.ts';
import { tabs } from '../elements/tabs.ts';
import { artifactsOf, missingWords, moveOf, numberOf } from '../elements/task-text.ts';
import { buildTimeline, TIMELINE_KINDS, type TimelineKind, timelineRows } from '../elements/timeline.ts';
import '../elements/voice.ts';
import type { TaskStatus } from '../../policies/model.ts';
import { reasonAgainst } from '../permissions.ts';
import { openTask, place } from '../routes.ts';
import { activities, agents, heldByTask, latestCalls, openDependencies, pendingApprovals, session, tasks, unread } from '../store.ts';
import { comments } from '../unsent.ts';
import { callMoney, capMoney, count, money, PRIORITY_WORDS, plural, TASK_TYPE_WORDS, TASK_WORDS, took, when } from '../words.ts';
import './cap-raise.ts';
import './task-create.ts';
import './task-drawer.css';
import { reasonAgainstMove } from './task-move.ts';

const TABS = ['overview', 'timeline', 'artifacts', 'approvals', 'cost'] as const;
type Tab = (typeof TABS)[number];
const TAB_WORDS: Record<Tab, string> = {
  overview: 'Overview',
  timeline: 'Timeline',
  artifacts: 'Artifacts',
  approvals: 'Approvals',
  cost: 'Cost',
};
const KIND_WORDS: Record<TimelineKind, string> = {
  moves: 'Moves',
  runs: 'Runs',
  calls: 'Calls',
  approvals: 'Approvals',
  messages: 'Messages',
  alerts: 'Alerts',
};
const CALLS = 400;
/** What changed is fetched at most this often. */
const REFRESH_MS = 1_500;
/** Newest entries of the feed that are looked through for this task. */
const LOOK_BACK = 50;
/** The move that leads on, from each state. */
const NEXT: Partial<Record<TaskStatus, TaskStatus>> = {
  inbox: 'assigned',
  assigned: 'in_progress',
  in_progress: 'review',
  review: 'done',
  blocked: 'in_progress',
};

interface History {
  moves: readonly api.Transition[];
  runs: readonly Run[];
  calls: readonly ToolCallView[];
  moreCalls: boolean;
  approvals: readonly Approval[];
  messages: readonly Message[];
  documents: readonly WorkDocument[];
  cost: api.TaskCost;
  activities: readonly Activity[];
}

@customElement('mc-task-drawer')
export class TaskDrawerElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) taskId = '';
  @state() private fetched: Task | null = null;
  @state() private history: History | null = null;
  @state() private failure: string | null = null;
  @state() private tab: Tab = 'overview';
  @state() private shown: ReadonlySet<TimelineKind> = new Set(TIMELINE_KINDS);
  @state() private editing = false;
  @state() private moving: { to: TaskStatus | null } | null = null;
  @state() private commenting = false;
  @state() private raising = false;
  @state() private sending = false;
  @state() private refusal: string | null = null;
  #signature: unknown[] = [];
  #due: ReturnType<typeof setTimeout> | undefined;

  protected override render(): TemplateResult {
    const task = tasks.get(this.taskId) ?? (this.fetched?.id === this.taskId ? this.fetched : null);
    return html`<mc-drawer
        .heading=${task ? task.title : 'Task'}
        .above=${task ? this.#above(task) : nothing}
        .content=${this.#content(task)}
        .footer=${task ? this.#footer(task) : null}
        @mc-close=${() => openTask(null)}
      ></mc-drawer>
      ${task && this.editing ? html`<mc-task-create .task=${task} @mc-close=${() => this.#edit(false)}></mc-task-create>` : nothing}
      ${task && this.commenting ? html`<mc-modal heading="Comment on ${numberOf(task)}" .content=${this.#commentForm(task)} @mc-close=${() => this.#comment(false)}></mc-modal>` : nothing}
      ${task && this.raising ? html`<mc-cap-raise .taskId=${task.id} .name=${numberOf(task)} @mc-close=${() => this.#raise(false)}></mc-cap-raise>` : nothing}
      ${task && this.moving ? html`<mc-task-move .task=${task} .to=${this.moving.to} @mc-close=${() => this.#move(null)}></mc-task-move>` : nothing}`;
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (changed.has('taskId')) {
      this.history = null;
      this.fetched = null;
      this.failure = null;
      this.tab = 'overview';
      this.#signature = [];
      void this.#fetch();
    }
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    // Whatever happens in the task shows in one of these.
    const latest = activities
      .all()
      .slice(0, LOOK_BACK)
      .find((activity) => activity.taskId === this.taskId);
    const signature = [latest?.id, tasks.get(this.taskId), latestCalls.get(this.taskId)?.call, heldByTask.get().get(this.taskId)?.length];
    const isNews = this.#signature.length > 0 && signature.some((part, i) => part !== this.#signature[i]);
    this.#signature = signature;
    this.#markSeen();
    if (isNews && this.#due === undefined) this.#due = setTimeout(() => void this.#fetch(), REFRESH_MS);
  }

  /** Comments that stand on the screen are read. */
  #markSeen(): void {
    const messages = this.history?.messages;
    if (this.tab !== 'timeline' || !messages?.length || !this.shown.has('messages') || document.hidden) return;
    void readThread(this.taskId, Math.max(...messages.map(({ number }) => number)));
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#due);
    this.#due = undefined;
  }

  /* ---------------------------------------------------------------- head and foot */

  #above(task: Task): TemplateResult {
    return html`<p class="td-above"><span class="muted nb">${numberOf(task)}</span>${chip('none', TASK_TYPE_WORDS[task.type])}<span class="bare muted">${priorityGlyph(task.priority)}${PRIORITY_WORDS[task.priority]}</span></p>`;
  }

  #facts(task: Task): TemplateResult {
    const now = serverNow();
    const people = task.reviewerIds.map((id) => agents.get(id)?.name ?? id);
    return html`<dl class="td-facts">
      <div><dt>State</dt><dd>${taskChip(task.status)}</dd></div>
      <div><dt>Agent</dt><dd>${
        task.assigneeIds.length === 0
          ? html`<span class="muted">nobody</span>`
          : task.assigneeIds.map((id) => {
              const agent = agents.get(id);
              return agent
                ? html`<a class="bare b td-agent" href="/agents/${agent.id}">${statusGlyph(stateOf(agent, now))}${agent.name}${rankGlyph(agent.autonomyLevel)}</a> `
                : html`<span class="muted">a removed agent</span> `;
            })
      }</dd></div>
      <div><dt>Reviewer</dt><dd>${people.length ? people.join(', ') : html`<span class="muted">nobody</span>`}</dd></div>
      <div class="td-spend"><dt>Spend</dt><dd>${spentOf(task.spend, task.budget)}${meter(task.spend, task.budget)}</dd></div>
    </dl>`;
  }

  #footer(task: Task): TemplateResult {
    const against = reasonAgainst('run tasks');
    const next = NEXT[task.status];
    const nextAgainst = next ? reasonAgainstMove(task, next) : null;
    const asks = next ? moveOf(task, next, openDependencies(task)) : null;
    const silent = reasonAgainst('comment');
    return html`${button({ label: 'Comment', icon: 'message-square', reason: silent, reasonId: 'td-why', onClick: () => this.#comment(true) })}
      ${button({ label: 'Edit', icon: 'pencil', reason: against, reasonId: 'td-why', onClick: () => this.#edit(true) })}
      ${button({ label: 'Move to…', reason: task.status === 'canceled' ? 'Canceled is final.' : against, reasonId: 'td-why', onClick: () => this.#move({ to: null }) })}
      <span class="grow"></span>
      ${nextAgainst !== null ? why(nextAgainst, 'td-next-why') : asks?.kind === 'ask' && asks.missing.length > 0 ? html`<p class="why td-needs">${icon('info', 12)}<span>Asks for ${missingWords(asks.missing)}</span></p>` : nothing}
      ${against !== null && nextAgainst !== against ? why(against, 'td-why') : nothing}
      ${next ? button({ label: `Move to ${TASK_WORDS[next]}`, kind: 'go', reason: nextAgainst, reasonId: 'td-next-why', onClick: () => (asks?.kind === 'now' ? void moveTask(task, next) : this.#move({ to: next })) }) : nothing}`;
  }

  #commentForm(task: Task): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#post(event, task)}>
      <label class="lbl" for="td-comment">What do you want to say? <span class="muted">@name mentions an agent or a person, who is told</span></label>
      <textarea class="field" id="td-comment" name="content" rows="4" required maxlength="20000" data-focus .value=${live(comments.get().get(task.id) ?? '')} @input=${(event: InputEvent) => this.#commented(task, event)}></textarea>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Comment', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.sending ? 'Sending' : null, onClick: () => {} })}
    </form>`;
  }

  #comment(open: boolean): void {
    this.commenting = open;
    this.refusal = null;
  }

  #commented(task: Task, { target }: Event): void {
    if (target instanceof HTMLTextAreaElement) comments.set(new Map(comments.get()).set(task.id, target.value));
  }

  async #post(event: SubmitEvent, task: Task): Promise<void> {
    event.preventDefault();
    const content = String(new FormData(event.target as HTMLFormElement).get('content') ?? '').trim();
    if (this.sending || content === '') return;
    this.sending = true;
    try {
      const message = await api.postMessage(task.id, content);
      if (this.history)
        this.history = { ...this.history, messages: [message, ...this.history.messages.filter((other) => other.id !== message.id)] };
      comments.set(new Map(comments.get()).set(task.id, ''));
      this.commenting = false;
      this.tab = 'timeline';
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.sending = false;
  }

  /* ---------------------------------------------------------------- content */

  #content(task: Task | null): TemplateResult {
    if (!task) return this.failure === null ? skeleton(8) : failed('This task could not be read', this.failure, () => void this.#fetch());
    const held = heldByTask.get().get(task.id)?.length ?? 0;
    const artifacts = artifactsOf(task).filter((artifact) => artifact.due);
    const news = unread.get().get(task.id)?.unread ?? 0;
    const badges: Partial<Record<Tab, unknown>> = {
      ...(news > 0 ? { timeline: html`<span class="badge">${news}<span class="sr"> unread</span></span>` } : {}),
      artifacts: chip('none', `${artifacts.filter((artifact) => artifact.here).length} of ${artifacts.length}`),
      ...(held > 0 ? { approvals: html`<span class="badge badge--act">${held}<span class="sr"> waiting</span></span>` } : {}),
    };
    return html`<div class="td">
      ${this.#facts(task)}
      ${tabs(
        'Parts of the task',
        TABS.map((value) => ({ value, label: TAB_WORDS[value], badge: badges[value] ?? nothing })),
        this.tab,
        (tab) => this.#choose(tab),
        `${this.uid}-tab`,
      )}
      <div class="td-panel" role="tabpanel" id="${this.uid}-tab-panel" aria-labelledby="${this.uid}-tab-${this.tab}" tabindex="0">${this.#panel(task)}</div>
    </div>`;
  }

  #panel(task: Task): TemplateResult {
    switch (this.tab) {
      case 'overview':
        return this.#overview(task);
      case 'timeline':
        return this.#timeline(task);
      case 'artifacts':
        return artifactsPanel(task);
      case 'approvals':
        return this.#approvals(task);
      case 'cost':
        return this.#cost(task);
    }
  }

  #overview(task: Task): TemplateResult {
    const now = serverNow();
    const link = (id: string) => {
      const other = tasks.get(id);
      return other
        ? html`<a href="?task=${id}">${numberOf(other)}</a> <span class="muted">${seen(other.title)}, ${TASK_WORDS[other.status]}</span>`
        : html`<a href="?task=${id}"><code>${id}</code></a>`;
    };
    const children = tasks.all().filter((other) => other.parentTaskId === task.id);
    const held = heldByTask.get().get(task.id) ?? [];
    return html`
      ${task.status === 'blocked' ? html`<p class="td-stop td-stop--red">${glyph('cross', 'red')}<span><b>Blocked</b> ${seen(task.blockedReason ?? 'No reason was given.')}</span></p>` : nothing}
      ${held.length > 0 ? html`<p class="td-stop">${glyph('bars', 'amber')}<span><b>${plural(held.length, 'call')} held</b> <code>${seen(held[0] ? gistOf(held[0]) : '')}</code></span><a class="btn btn--s" href="/approvals/${held[0]?.id ?? ''}">Review${icon('arrow-right', 12)}</a></p>` : nothing}
      <section class="sec"><h2>In short</h2>${this.history ? html`${answersList(this.#answers(task, held, now))}${saveAnswers(task)}` : skeleton(4)}</section>
      <section class="sec"><h2>What is to be done</h2>${task.description.trim() ? html`<p class="td-text">${seen(task.description)}</p>` : html`<p class="small muted">Nothing was written down but the title.</p>`}</section>
      <section class="sec"><h2>Facts</h2><dl class="kv">
        <dt>Created</dt><dd>${moment(task.createdAt, when(task.createdAt, now))}</dd>
        <dt>Changed</dt><dd>${ago(task.updatedAt, now)}</dd>
        <dt>Cap</dt><dd>${task.budget === null ? `the policy's for ${TASK_TYPE_WORDS[task.type].toLowerCase()}` : capMoney(task.budget)}</dd>
        ${task.dependsOn.length ? html`<dt>Waits for</dt><dd>${task.dependsOn.map((id) => html`<div>${link(id)}</div>`)}</dd>` : nothing}
        ${task.parentTaskId ? html`<dt>Part of</dt><dd>${link(task.parentTaskId)}</dd>` : nothing}
        ${children.length ? html`<dt>Parts</dt><dd>${children.map((child) => html`<div>${link(child.id)}</div>`)}</dd>` : nothing}
        ${task.sessionKey ? html`<dt>Session</dt><dd><code>${seen(task.sessionKey)}</code></dd>` : nothing}
        ${task.threadRef ? html`<dt>Thread</dt><dd><code>${seen(task.threadRef)}</code></dd>` : nothing}
        ${task.decisionNote ? html`<dt>Closed with</dt><dd>${seen(task.decisionNote)}</dd>` : nothing}
        <dt>Id</dt><dd><code>${task.id}</code></dd>
      </dl></section>`;
  }

  #answers(task: Task, held: readonly Approval[], now: number): Answers {
    const { calls, moves, runs } = this.history ?? { calls: [], moves: [], runs: [] };
    const newest = <T extends { createdAt: number }>(items: readonly T[]) => [...items].sort((a, b) => b.createdAt - a.createdAt);
    const me = session.get()?.operator;
    return taskAnswers({
      task,
      now,
      held,
      calls: newest(calls),
      moves: newest(moves),
      runs,
      waitsFor: openDependencies(task),
      assignees: task.assigneeIds.flatMap((id) => agents.get(id) ?? []),
      nameOf: (id) => agents.get(id)?.name ?? (me?.id === id ? me.name : undefined),
    });
  }

  #timeline(task: Task): TemplateResult {
    const history = this.history;
    if (!history)
      return this.failure === null ? skeleton(8) : failed('The timeline could not be read', this.failure, () => void this.#fetch());
    const me = session.get()?.operator;
    const entries = buildTimeline(history, this.shown);
    return html`<div class="td-kinds" role="group" aria-label="Show">${TIMELINE_KINDS.map(
      (kind) =>
        html`<button type="button" class="pill" aria-pressed=${this.shown.has(kind)} @click=${() => this.#toggle(kind)}>${this.shown.has(kind) ? glyph('tick', 'ink') : nothing}${KIND_WORDS[kind]}</button>`,
    )}<span class="small muted td-order">Newest first</span></div>
      ${
        entries.length === 0
          ? empty('Nothing yet', 'Moves, runs, calls and decisions show up here as they happen.')
          : timelineRows(entries, {
              now: serverNow(),
              nameOf: (id) => agents.get(id)?.name ?? (me?.id === id ? me.name : undefined),
              callHref: (id) => `?task=${task.id}&call=${id}`,
            })
      }
      ${history.moreCalls ? html`<p class="small muted">Older calls are in the record; the newest ${count(CALLS)} are shown.</p>` : nothing}`;
  }

  #approvals(task: Task): TemplateResult {
    if (!this.history) return skeleton(4);
    const known = new Map(this.history.approvals.map((approval) => [approval.id, approval]));
    for (const approval of pendingApprovals.get()) if (approval.taskId === task.id) known.set(approval.id, approval);
    const all = [...known.values()].sort(
      (a, b) => Number(b.status === 'pending') - Number(a.status === 'pending') || b.createdAt - a.createdAt,
    );
    if (all.length === 0) return empty('Nothing was held', 'Held calls of this task and what was decided about them are listed here.');
    const now = serverNow();
    return html`<ul class="td-list">${all.map(
      (approval) =>
        html`<li>${riskGlyph(approval.risk)}<a href="/approvals/${approval.id}"><code>${seenLine(gistOf(approval))}</code></a>${approvalChip(approval.status)}<span class="small muted nb">${when(approval.decidedAt ?? approval.createdAt, now)}${approval.approver ? `, ${approval.approver}` : ''}</span></li>`,
    )}</ul>`;
  }

  #cost(task: Task): TemplateResult {
    const history = this.history;
    if (!history) return skeleton(4);
    const { cost } = history;
    const left = task.budget === null ? null : Math.max(0, task.budget - task.spend);
    return html`<p class="big td-left">${left === null ? money(task.spend) : money(Math.floor(left * 100) / 100)}</p>
      <p class="small muted">${left === null ? 'spent; no cap of its own' : `left of ${capMoney(task.budget ?? 0)}; ${money(task.spend, task.budget)} is spent`}</p>
      ${meter(task.spend, task.budget)}
      <p class="td-raise">${button({ label: 'Raise the cap', icon: 'plus', size: 'small', reason: reasonAgainst('edit budgets'), reasonId: 'td-raise-why', onClick: () => this.#raise(true) })}${why(reasonAgainst('edit budgets'), 'td-raise-why')}</p>
      <section class="sec"><h2>By run</h2>${
        history.runs.length === 0
          ? html`<p class="small muted">No run is on record.</p>`
          : html`<table class="tbl"><thead><tr><th>Run</th><th>Agent</th><th>Started</th><th class="num">Calls</th><th class="num">Took</th><th class="num">Cost</th></tr></thead><tbody>${[
              ...history.runs,
            ]
              .sort((a, b) => b.startTime - a.startTime)
              .map(
                (run) =>
                  html`<tr><td><code>${seenLine(run.runId)}</code></td><td>${agents.get(run.agentId)?.name ?? '–'}</td><td class="muted">${moment(run.startTime, when(run.startTime, serverNow()))}</td><td class="num">${count(run.toolCallCount)}</td><td class="num muted">${run.endTime === null ? 'running' : took(run.endTime - run.startTime)}</td><td class="num b">${money(run.cost)}</td></tr>`,
              )}</tbody></table>`
      }</section>
      ${costTable('By agent', 'Agent', cost.byAgent)} ${costTable('By tool', 'Tool', cost.byTool)}
      ${cost.withSubtasks.tasks > 1 ? html`<p class="small muted">With its ${plural(cost.withSubtasks.tasks - 1, 'part')}: ${money(cost.withSubtasks.spend)}</p>` : nothing}`;
  }

  /* ---------------------------------------------------------------- doing */

  #choose(tab: Tab): void {
    this.tab = tab;
  }

  #toggle(kind: TimelineKind): void {
    const shown = new Set(this.shown);
    if (!shown.delete(kind)) shown.add(kind);
    this.shown = shown;
  }

  #raise(open: boolean): void {
    this.raising = open;
  }

  #edit(open: boolean): void {
    this.editing = open;
  }

  #move(moving: { to: TaskStatus | null } | null): void {
    this.moving = moving;
  }

  async #fetch(): Promise<void> {
    const id = this.taskId;
    this.#due = undefined;
    try {
      const [task, moves, runs, calls, approvals, told, messages, documents, cost] = await Promise.all([
        api.readTask(id),
        api.listTransitions(id),
        api.listRuns({ taskId: id, limit: 100 }),
        api.listToolCalls({ taskId: id, limit: CALLS }),
        api.listApprovals({ taskId: id, status: 'all', limit: 200 }),
        api.listActivities({ taskId: id, limit: 100 }),
        api.listMessages({ taskId: id, limit: 200 }),
        api.listDocuments({ taskId: id, limit: 50 }),
        api.readTaskCost(id),
      ]);
      if (id !== this.taskId) return;
      this.fetched = task;
      this.failure = null;
      this.history = {
        moves,
        runs: runs.items,
        calls: calls.items,
        moreCalls: calls.nextCursor !== null,
        approvals: approvals.items,
        messages: messages.items,
        documents: documents.items,
        cost,
        activities: told.items.filter((activity) => ALERTING.has(activity.type)),
      };
    } catch (error) {
      if (id === this.taskId && place.get().task === id) this.failure = sentence(error);
    }
  }
}

const ALERTING: ReadonlySet<Activity['type']> = new Set(['alert_fired', 'budget_exceeded', 'loop_detected']);

function artifactsPanel(task: Task): TemplateResult {
  const part = (name: string, text: string | null, missing: string) =>
    html`<section class="sec"><h2>${text?.trim() ? glyph('tick', 'green') : glyph('clock', 'ink')}${name}</h2>${text?.trim() ? html`<mc-voice .text=${text}></mc-voice>` : html`<p class="small muted">${missing}</p>`}</section>`;
  return html`
    ${part('Work plan', task.workPlan, 'Due before the task is in progress.')}
    ${part('Deliverable', task.deliverable, 'Due before the review.')}
    ${part('Self-review', task.selfReview, 'Due before the review.')}
    <section class="sec"><h2>${task.evidence.length ? glyph('tick', 'green') : glyph('clock', 'ink')}Evidence</h2>${
      task.evidence.length
        ? html`<ul class="td-ev">${task.evidence.map((source) => html`<li><mc-voice .text=${source}></mc-voice></li>`)}</ul>`
        : html`<p class="small muted">${task.deliverableMakesClaims ? 'Due before the review: the deliverable makes claims.' : 'Not due: the deliverable makes no claims.'}</p>`
    }</section>
    ${task.deliverableConfirmed ? html`<section class="sec"><h2>${glyph('tick', 'green')}Confirmed</h2><p class="td-text">${seen(task.decisionNote ?? '')}</p></section>` : nothing}`;
}

function costTable(heading: string, what: string, parts: api.TaskCost['byTool']): TemplateResult | typeof nothing {
  if (parts.length === 0) return nothing;
  return html`<section class="sec"><h2>${heading}</h2><table class="tbl"><thead><tr><th>${what}</th><th class="num">Calls</th><th class="num">Per call</th><th class="num">Cost</th></tr></thead><tbody>${parts.map(
    (part) =>
      html`<tr><td>${seenLine(part.name)}</td><td class="num">${count(part.calls)}</td><td class="num muted">${part.calls === 0 ? '–' : callMoney(part.spend / part.calls)}</td><td class="num b">${money(part.spend)}</td></tr>`,
  )}</tbody></table></section>`;
}

/** The same five questions as the server answers them from the whole record, to keep or to pass on. */
function saveAnswers({ id }: Task): TemplateResult {
  const href = (format: string) => `/api/incidents?${new URLSearchParams({ task: id, format })}`;
  return html`<p class="td-save small" role="group" aria-label="Save the incident">${icon('download', 14)}<span class="muted">Save what the whole record says</span><a href=${href('markdown')} download="incident.md">Markdown</a><a href=${href('json')} download="incident.json">JSON</a></p>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-task-drawer': TaskDrawerElement;
  }
}
