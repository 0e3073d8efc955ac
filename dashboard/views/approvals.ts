/**
 * The inbox: what waits for a person, oldest first; the call as it was read, why it is held, and the decision.
 * What is selected never changes under the reader's hands: a call that somebody else decided stays in view and says so; only one's own
 * decision moves on to the next, and then a second press within a moment counts for nothing.
 */
import { computed, SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Agent, Approval, GrantProposal, Preview } from '../../control/contract.ts';
import { decide, decideAll, sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import '../elements/approval-list.ts';
import { type ApprovalGroup, commandLineOf, gistOf, groupApprovals, titleOf } from '../elements/approval-text.ts';
import { type Draft, editArguments } from '../elements/argument-draft.ts';
import '../elements/arguments-editor.ts';
import type { ArgumentsEditorElement, Judgement } from '../elements/arguments-editor.ts';
import { budgetRow } from '../elements/budget-effect.ts';
import { argumentBlocks, atLimit, type Effects, effectBrief, effectRows, reasonRows } from '../elements/call-facts.ts';
import '../elements/command-list.ts';
import { type DecisionPanelElement, NOTE_PRESETS, secondTime } from '../elements/decision-panel.ts';
import { approvalChip, approvalGlyph, glyph, rankGlyph, riskChip } from '../elements/glyph.ts';
import '../elements/grant-form.ts';
import type { GrantChoice } from '../elements/grant-form.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/like-list.ts';
import '../elements/modal.ts';
import { button, empty, failed, keyHint, moment, seen, seenLine, skeleton } from '../elements/parts.ts';
import { voiceTag } from '../elements/voice.ts';
import { bindKeys } from '../keyboard.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { go } from '../routes.ts';
import { agents, approvals, pendingApprovals, session } from '../store.ts';
import { drafts, notes } from '../unsent.ts';
import { isPhone } from '../viewport.ts';
import { AUTONOMY_WORDS, clock, clockMinutes, count, day, wait, when } from '../words.ts';
import './approval-context.ts';
import './approvals.css';

/** After moving on by itself the view takes no decision for this long, so that a double press cannot decide the next call. */
const SETTLE_MS = 700;
const JUDGE_AFTER_MS = 400;
const DECIDED_SHOWN = 12;
const NO_EDIT = { editing: false, arguments: null, reason: null } as const;
/** Made once per change, not once per key. */
const pendingGroups = computed(() => groupApprovals(pendingApprovals.get()));

@customElement('mc-approvals')
export class ApprovalsElement extends SignalWatcher(LightElement) {
  @property({ attribute: false }) approvalId: string | null = null;
  @state() private editingId: string | null = null;
  @state() private judgement: Judgement = { state: 'none' };
  @state() private busy: { id: string; verdict: 'approve' | 'deny' } | null = null;
  /** On a phone the facts fold away behind the decision. */
  @state() private showAll = false;
  @state() private missing: string | null = null;
  /** Calls alike that the next decision is for; empty = the one that is shown. */
  @state() private chosen: ReadonlySet<string> = new Set();
  /** The form for approving longer is open for this one. */
  @state() private longerId: string | null = null;
  @state() private proposal: { id: string; proposal: GrantProposal } | { id: string; failure: string } | null = null;
  /** Arguments that the record shortened, in full, by approval. */
  @state() private whole: ReadonlyMap<string, Record<string, unknown>> = new Map();
  @state() private wholeFailure: string | null = null;
  #settledAt = 0;
  /** Where in the list one was last, for when what is read is no longer in it. */
  #place = 0;
  #judgeTimer: ReturnType<typeof setTimeout> | undefined;
  #unbind = () => {};

  override connectedCallback(): void {
    super.connectedCallback();
    const group = 'Approvals';
    this.#unbind = bindKeys([
      { keys: 'j', label: 'Next', group, repeats: true, run: () => this.#move(1) },
      { keys: 'k', label: 'Previous', group, repeats: true, run: () => this.#move(-1) },
      { keys: 'a', label: 'Approve once', group, run: () => void this.#decide('approve') },
      { keys: 'd', label: 'Deny', group, run: () => void this.#decide('deny') },
      { keys: 'f', label: 'Approve for longer', group, run: () => void this.#openLonger() },
      { keys: 'e', label: 'Edit arguments', group, run: () => this.#edit() },
      { keys: 'x', label: 'Choose this one of those alike', group, run: () => this.#chooseThis() },
      { keys: 's', label: 'Choose all alike, or none', group, run: () => this.#chooseAlike() },
      { keys: 'n', label: 'Write a note', group, run: () => this.#panel()?.focusNote() },
      ...NOTE_PRESETS.map((text, i) => ({ keys: String(i + 1), label: `Note: ${text}`, group, run: () => this.#preset(text) })),
      { keys: 'enter', label: 'Read the call', group, run: () => this.querySelector<HTMLElement>('.idt')?.focus() },
      { keys: 'escape', label: 'Discard the edit', group, run: () => this.#leaveEdit() },
    ]);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.#judgeTimer);
    this.#unbind();
  }

  protected override render(): TemplateResult {
    const groups = pendingGroups.get();
    const chosen = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    return isPhone.get() ? this.#phone(groups, chosen) : this.#desk(groups, chosen);
  }

  protected override willUpdate(): void {
    const at = this.#order().findIndex((approval) => approval.id === this.approvalId);
    if (at >= 0) this.#place = at;
  }

  protected override updated(changed: PropertyValues<this>): void {
    super.updated(changed);
    const first = pendingGroups.get()[0]?.items[0];
    if (this.approvalId === null && first) queueMicrotask(() => go(`/approvals/${first.id}`, { replace: true }));
    if (!changed.has('approvalId')) return;
    this.missing = null;
    this.showAll = false;
    this.editingId = null;
    this.judgement = { state: 'none' };
    this.querySelector('.idt, .mb')?.scrollTo({ top: 0 });
    void this.#fetchMissing();
    this.wholeFailure = null;
    // What was chosen among the calls alike stays chosen while one walks along them.
    const alike = this.#alike();
    if (!alike?.items.some((item) => this.chosen.has(item.id))) this.chosen = new Set();
    void this.#fetchWhole();
    this.querySelector('mc-approval-list [aria-current]')?.scrollIntoView({ block: 'nearest' });
  }

  /* ---------------------------------------------------------------- desk */

  #desk(groups: readonly ApprovalGroup[], chosen: Approval | undefined): TemplateResult {
    const waiting = pendingApprovals.get().length;
    return html`<div class="inbox">
      <aside class="il" aria-label="Pending approvals">
        <div class="il-h"><h2>Waiting for you <span class="muted">${waiting}</span></h2><a class="small" href="/grants">Standing grants</a></div>
        <div class="scroll grow" tabindex="0" role="region" aria-label="Pending list">
          <mc-approval-list .groups=${groups} .decided=${this.#decidedLately()} .selectedId=${this.approvalId} .now=${serverNow()}></mc-approval-list>
        </div>
      </aside>
      ${
        chosen
          ? html`<div class="idt scroll" tabindex="0" role="region" aria-label="Held call">${this.#head(chosen, 'h1')}${this.#likes()}${this.#facts(chosen)}</div>
            <aside class="dec scroll" tabindex="0" role="region" aria-label="Decision">
              <section>${this.#decision(chosen)}</section>
              <mc-approval-context .approval=${chosen}></mc-approval-context>
              ${HINTS}
            </aside>`
          : this.#nothing()
      }
    </div>`;
  }

  #likes(): TemplateResult {
    return html`<mc-like-list .group=${this.#alike() ?? null} .selected=${this.chosen} .currentId=${this.approvalId} .now=${serverNow()}
      @mc-select=${(event: CustomEvent<readonly string[]>) => this.#choose(event.detail)}></mc-like-list>`;
  }

  #nothing(): TemplateResult {
    if (this.missing !== null)
      return html`<div class="idt idt--none"><h1>Approval</h1>${failed('This approval could not be read', this.missing, () => void this.#fetchMissing())}</div>`;
    const last = this.#decidedLately()[0];
    return html`<div class="idt idt--none">
      <div class="none">
        ${icon('circle-pause', 28, 'k-ink')}
        <h1>Nothing waits for you</h1>
        <p class="ink2">${last ? html`The last decision was at ${clockMinutes(last.decidedAt ?? last.createdAt)}: ${gistOf(last)}, ${last.status}.` : 'Risky calls of your agents are held until you decide. None has been held yet.'}</p>
      </div>
    </div>`;
  }

  #head(approval: Approval, heading: 'h1' | 'h2'): TemplateResult {
    const { verb, object } = titleOf(approval);
    const agent = approval.agentId === null ? undefined : agents.get(approval.agentId);
    const title = html`<span>${verb}</span> ${seen(object)}`;
    return html`<div class="hh">
      <div class="grow">
        <div class="hh-chips">${riskChip(approval.risk)}${this.#statusChip(approval)}<span class="small muted">${waitSentence(approval)}</span>${reminded(approval)}</div>
        ${heading === 'h1' ? html`<h1>${title}</h1>` : html`<h2>${title}</h2>`}
        <p class="small ink2 hh-who">${this.#who(approval, agent)}</p>
      </div>
      ${heading === 'h1' ? this.#steps(approval) : nothing}
    </div>`;
  }

  #who(approval: Approval, agent: Agent | undefined): TemplateResult {
    const name = approval.agentName === null ? 'Unknown agent' : seen(approval.agentName);
    return html`${approval.agentId ? html`<a href="/agents/${approval.agentId}">${name}</a>` : name}${agent ? html` ${rankGlyph(agent.autonomyLevel)} ${AUTONOMY_WORDS[agent.autonomyLevel].toLowerCase()}` : nothing}${approval.taskId ? html`, task <a href="?task=${approval.taskId}">${seen(approval.taskTitle ?? approval.taskId)}</a>` : ', no task'}<span class="muted">, approval ${approval.number}</span>${approval.waitingCalls > 1 ? html`<span class="muted">, ${approval.waitingCalls} calls wait on it</span>` : nothing}`;
  }

  #statusChip(approval: Approval): TemplateResult {
    if (approval.status !== 'pending') return approvalChip(approval.status);
    return approvalChip('pending', html`Held ${wait(serverNow() - approval.createdAt)}`);
  }

  #steps(approval: Approval): TemplateResult {
    const order = this.#order();
    const at = order.findIndex((other) => other.id === approval.id);
    return html`<div class="row small muted hh-steps">
      ${at >= 0 ? html`<span class="nb">${at + 1} of ${order.length}</span>` : nothing}
      ${button({ label: 'Previous', icon: 'chevron-up', iconOnly: true, size: 'small', key: 'K', onClick: () => this.#move(-1) })}
      ${button({ label: 'Next', icon: 'chevron-down', iconOnly: true, size: 'small', key: 'J', onClick: () => this.#move(1) })}
    </div>`;
  }

  /** How the call was read, why it is held, what would happen, what exactly was sent. */
  #facts(approval: Approval): TemplateResult {
    if (approval.kind === 'task')
      return html`<div class="sec"><h2>What is asked ${voiceTag()}</h2><mc-voice .text=${approval.summary}></mc-voice></div><div class="sec"><h2>Why</h2><mc-voice .text=${approval.reason}></mc-voice></div>`;
    const editing = this.editingId === approval.id;
    return html`
      ${this.#command(approval)}
      ${editing ? this.#editor(approval) : nothing}
      ${this.#approvedArguments(approval)}
      <div class="sec"><h2>${approval.status === 'pending' ? 'Why it is held' : 'Why it was held'}</h2>${reasonRows(approval.reasons, 'held')}</div>
      ${this.#effects(approval)}
      ${editing ? nothing : html`<div class="sec"><h2>Arguments ${approval.editedArguments ? 'as the agent sent them' : ''} ${voiceTag()}</h2>${this.#cutNote(approval)}${argumentBlocks(this.#argumentsOf(approval))}</div>`}
      ${this.#earlier(approval)}
    `;
  }

  /** What an approver made of the call; where another one still has to approve, that is what they approve. */
  #approvedArguments(approval: Approval): TemplateResult | typeof nothing {
    if (!approval.editedArguments) return nothing;
    const by = approval.approvedBy[0]?.name ?? approval.approver;
    const note =
      approval.status === 'pending'
        ? html` <span class="small m-amber">changed by ${seen(by ?? 'the first approver')}; this is what would run</span>`
        : nothing;
    return html`<div class="sec"><h2>Arguments as approved${note}</h2>${argumentBlocks(approval.editedArguments)}</div>`;
  }

  #effects(approval: Approval): TemplateResult {
    const edited = this.#edited(approval).arguments !== null;
    const whose = this.#editedPreview() ? 'with your arguments' : 'with your arguments; paths and hosts are still those of the original';
    const given = edited
      ? whose
      : approval.editedArguments
        ? 'as the approver changed it; paths and hosts are those of the original'
        : null;
    return html`<div class="sec"><h2>What would happen ${given === null ? nothing : html`<span class="small muted">${given}</span>`}</h2>${effectRows(this.#effectsOf(approval))}</div>`;
  }

  #effectsOf(approval: Approval): Effects {
    const { tool, cwd, workspace, estimatedCost } = approval;
    const edited = this.#edited(approval).arguments;
    const preview = (edited && this.#editedPreview()) ?? approval.preview;
    const values = edited ?? approval.editedArguments ?? this.#argumentsOf(approval);
    return { preview, tool, arguments: values, cwd, workspace, estimatedCost };
  }

  /** Says that this is not all of it, where it is not. */
  #cutNote(approval: Approval): TemplateResult | typeof nothing {
    if (!isShortened(approval) || this.whole.has(approval.id)) return nothing;
    return html`<p class="why m-amber">${icon('triangle-alert', 12)}<span>These arguments are long and shown in part; what runs is all of them. ${this.wholeFailure ?? 'The whole is being read.'}</span></p>`;
  }

  /** `brief` leaves the digest and the editing to the details. */
  #command(approval: Approval, brief = false): TemplateResult {
    const commands = approval.preview?.commands ?? [];
    const canEdit = isEditable(approval) && this.editingId !== approval.id;
    return html`<div class="cmd">
      ${commands.length ? html`<mc-command-list .line=${commandLineOf(approval)} .commands=${commands}></mc-command-list>${atLimit(commands)}` : html`<p class="cmd-one"><code>${seen(gistOf(approval))}</code></p>`}
      ${
        brief
          ? nothing
          : html`<div class="cf">
        ${icon('fingerprint')}
        <span class="grow">${approval.digest ? html`The approval binds to this exact call, agent and folder: <code class="nb">${shortDigest(approval.digest)}</code>` : 'The approval binds to this exact call, agent and folder.'}</span>
        ${approval.digest ? button({ label: 'Copy', icon: 'copy', size: 'small', kind: 'quiet', onClick: () => void copy(approval.digest ?? '') }) : nothing}
        ${canEdit ? button({ label: 'Edit arguments', icon: 'pencil', size: 'small', key: 'E', reason: reasonAgainst('decide approvals'), reasonId: 'edit-why', onClick: () => this.#edit() }) : nothing}
        ${canEdit ? html`<span class="sr" id="edit-why">${reasonAgainst('decide approvals') ?? ''}</span>` : nothing}
      </div>`
      }
    </div>`;
  }

  #editor(approval: Approval): TemplateResult {
    return html`<div class="sec">
      <h2>Edit arguments <span class="small muted">approving then runs your version, once</span></h2>
      <mc-arguments-editor .original=${this.#argumentsOf(approval) ?? {}} .draft=${drafts.get().get(approval.id) ?? {}} .judgement=${this.judgement}
        @mc-draft=${(event: CustomEvent<Draft>) => this.#drafted(approval, event.detail)}
        @mc-cancel=${this.#leaveEdit}></mc-arguments-editor>
      ${this.#editedCommand(approval)}
    </div>`;
  }

  /** The edited command as the policy reads it. */
  #editedCommand(approval: Approval): TemplateResult | typeof nothing {
    const commands = this.#editedPreview()?.commands ?? [];
    const line = commandLineOf({ ...approval, arguments: this.#edited(approval).arguments });
    if (commands.length === 0 || line === null) return nothing;
    return html`<div class="cmd cmd--edited"><mc-command-list label="What would run" .line=${line} .commands=${commands}></mc-command-list>${atLimit(commands)}</div>`;
  }

  #editedPreview(): Preview | null {
    return this.judgement.state === 'judged' ? this.judgement.preview : null;
  }

  #earlier(approval: Approval): TemplateResult | typeof nothing {
    const alike = approvals
      .all()
      .filter(
        (other) =>
          other.id !== approval.id && other.agentId === approval.agentId && other.tool === approval.tool && other.decidedAt !== null,
      )
      .sort((a, b) => (b.decidedAt ?? 0) - (a.decidedAt ?? 0))
      .slice(0, 3);
    if (alike.length === 0) return nothing;
    return html`<div class="sec"><h2>Earlier, the same tool</h2><ul>${alike.map(
      (other) =>
        html`<li class="er">${approvalGlyph(other.status)}<a class="er-x" href="/approvals/${other.id}"><code>${seenLine(gistOf(other))}</code></a><span class="ink2 cut">${other.status}${other.approver ? ` by ${other.approver}` : ''}${other.decision ? `, "${other.decision}"` : ''}</span><span class="muted">${day(other.decidedAt ?? 0)}</span></li>`,
    )}</ul></div>`;
  }

  #decision(approval: Approval): TemplateResult {
    const edit = this.#edited(approval);
    const many = this.#chosenItems();
    const against = reasonAgainst('decide approvals');
    return html`<mc-decision-panel
      .approval=${approval}
      .chosen=${many.length}
      .notesRequired=${many.some((item) => item.noteRequired)}
      .note=${notes.get().get(this.#noteKey(approval)) ?? ''}
      .reason=${against}
      .myId=${session.get()?.operator.id ?? null}
      .canGrant=${approval.kind === 'call' && approval.risk !== 'red' && approval.approvalsNeeded === 1}
      .busy=${this.busy?.id === approval.id ? this.busy.verdict : null}
      .editing=${edit.editing}
      .editReason=${edit.reason}
      .now=${serverNow()}
      @mc-note=${(event: CustomEvent<string>) => this.#noted(this.#noteKey(approval), event.detail)}
      @mc-approve=${() => void this.#decide('approve')}
      @mc-deny=${() => void this.#decide('deny')}
      @mc-longer=${() => void this.#openLonger()}
    ></mc-decision-panel>${this.longerId === approval.id ? this.#longer(approval, against) : nothing}`;
  }

  #longer(approval: Approval, against: string | null): TemplateResult {
    const known = this.proposal?.id === approval.id ? this.proposal : null;
    const content =
      known === null
        ? skeleton(4)
        : 'failure' in known
          ? failed('What could be approved for longer could not be read', known.failure, () => void this.#openLonger())
          : html`<mc-grant-form .proposal=${known.proposal} .names=${{ agent: approval.agentName, task: approval.taskTitle }} .reason=${approval.status === 'pending' ? against : 'It is decided.'} .busy=${this.busy?.id === approval.id} .waiting=${alikeOf(approval).length}
              @mc-grant=${(event: CustomEvent<GrantChoice>) => void this.#decide('approve', event.detail)}></mc-grant-form>`;
    return html`<mc-modal heading="Approve for longer" .content=${content} @mc-close=${() => this.#closeLonger()}></mc-modal>`;
  }

  /* ---------------------------------------------------------------- phone */

  #phone(groups: readonly ApprovalGroup[], chosen: Approval | undefined): TemplateResult {
    const oldest = pendingApprovals.get()[0];
    const others = groups.filter((group) => !group.items.some((item) => item.id === chosen?.id));
    const alike = groups.find((group) => group.items.some((item) => item.id === chosen?.id));
    return html`<div class="ph-inbox">
      <h1 class="sr">Approvals</h1>
      <p class="ms"><span><b>${pendingApprovals.get().length}</b> waiting${groups.length > 0 ? ` in ${groups.length} ${groups.length === 1 ? 'group' : 'groups'}` : ''}</span>${oldest ? html`<span class="end">oldest ${wait(serverNow() - oldest.createdAt)}</span>` : nothing}</p>
      <div class="mb scroll" tabindex="0" role="region" aria-label="Approvals">
        ${chosen ? this.#card(chosen, alike) : this.missing !== null ? this.#nothing() : html`<div class="mcard">${empty('Nothing waits for you', 'Risky calls of your agents are held until you decide.')}</div>`}
        ${others.length || this.#decidedLately().length ? html`<div class="mcard mcard--list"><mc-approval-list .groups=${others} .decided=${this.#decidedLately()} .selectedId=${this.approvalId} .now=${serverNow()}></mc-approval-list></div>` : nothing}
      </div>
    </div>`;
  }

  #card(approval: Approval, alike: ApprovalGroup | undefined): TemplateResult {
    const at = alike?.items.findIndex((item) => item.id === approval.id) ?? -1;
    const agent = approval.agentId === null ? undefined : agents.get(approval.agentId);
    return html`<article class="mcard" aria-label="Held call">
      ${alike && alike.items.length > 1 ? html`<div class="row small muted mcard-alike"><span>${at + 1} of ${alike.items.length} alike</span>${button({ label: 'Next', size: 'small', kind: 'quiet', icon: 'chevron-down', onClick: () => this.#move(1) })}</div>` : nothing}
      ${this.#head(approval, 'h2')}
      ${this.#likes()}
      ${this.#command(approval, !this.showAll)}
      ${this.editingId === approval.id ? this.#editor(approval) : nothing}
      ${this.#approvedArguments(approval)}
      ${
        this.showAll
          ? nothing
          : html`<ul class="mreasons">${approval.reasons.map((reason) => html`<li>${approval.status === 'pending' ? glyph('bars', 'amber') : glyph('bars', 'ink')}<span>${seen(reason.message)}</span></li>`)}</ul>`
      }
      ${this.showAll || approval.kind === 'task' ? nothing : effectBrief(this.#effectsOf(approval))}
      ${agent ? budgetRow({ name: `${agent.name} today`, spent: agent.todaySpend, cap: agent.todayCap, adds: approval.estimatedCost }) : nothing}
      ${this.#decision(approval)}
      ${button({
        label: this.showAll ? 'Fewer details' : 'All details',
        kind: 'quiet',
        block: true,
        onClick: () => {
          this.showAll = !this.showAll;
        },
      })}
      ${this.showAll ? this.#phoneFacts(approval) : nothing}
    </article>`;
  }

  #phoneFacts(approval: Approval): TemplateResult {
    return html`<div class="sec"><h2>Why it is held</h2>${reasonRows(approval.reasons, 'held')}</div>
      ${this.#effects(approval)}
      <div class="sec"><h2>Arguments ${voiceTag('not checked')}</h2>${this.#cutNote(approval)}${argumentBlocks(this.#argumentsOf(approval))}</div>
      <div class="mctx"><mc-approval-context .approval=${approval}></mc-approval-context></div>
      ${this.#earlier(approval)}`;
  }

  /* ---------------------------------------------------------------- moving and deciding */

  /** The pending ones in the order they are shown. */
  #order(): Approval[] {
    return pendingGroups.get().flatMap((group) => group.items);
  }

  #decidedLately(): Approval[] {
    return approvals
      .all()
      .filter((approval) => approval.status !== 'pending')
      .sort((a, b) => (b.decidedAt ?? b.createdAt) - (a.decidedAt ?? a.createdAt))
      .slice(0, DECIDED_SHOWN);
  }

  #move(by: 1 | -1): void {
    const order = this.#order();
    const at = order.findIndex((approval) => approval.id === this.approvalId);
    // One that somebody else decided has left its place to the next.
    const to = at >= 0 ? at + by : Math.min(by > 0 ? this.#place : this.#place - 1, order.length - 1);
    const next = order[at >= 0 ? to : Math.max(0, to)];
    if (next) go(`/approvals/${next.id}`, { replace: true });
  }

  async #decide(verdict: 'approve' | 'deny', grant?: GrantChoice): Promise<void> {
    const approval = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    if (approval?.status !== 'pending' || this.busy || Date.now() - this.#settledAt < SETTLE_MS) return;
    const against = reasonAgainst('decide approvals');
    const many = grant ? [] : this.#chosenItems();
    const note =
      notes
        .get()
        .get(grant ? approval.id : this.#noteKey(approval))
        ?.trim() ?? '';
    if (against !== null) return say('refused', against);
    if ((many.length > 0 ? many : [approval]).some((item) => item.noteRequired) && !note) return this.#panel()?.focusNote();
    const edit = many.length > 0 ? NO_EDIT : this.#edited(approval);
    const again = verdict === 'approve' && many.length === 0 ? secondTime(approval, session.get()?.operator.id ?? null) : null;
    if (again !== null) return say('refused', again);
    if (verdict === 'approve' && edit.reason !== null) return say('refused', edit.reason);
    const order = this.#order();
    this.busy = { id: approval.id, verdict };
    const counted =
      many.length > 0
        ? await decideAll(
            many.map((item) => item.id),
            verdict,
            note,
          )
        : await decide(approval, verdict, {
            ...(note ? { note } : {}),
            ...(verdict === 'approve' && edit.arguments ? { arguments: edit.arguments } : {}),
            ...(grant ? { grant: { ...grant, ...(note ? { note } : {}) } } : {}),
          });
    this.busy = null;
    if (counted) {
      this.#noted(this.#noteKey(approval), '');
      [this.longerId, this.chosen] = [null, new Set()];
    }
    if (counted && this.approvalId === approval.id) this.#moveOn(order, approval.id);
    await this.#keepFocus();
  }

  /** What was focused may have left the page with the decision; then the call that is read now has the focus. */
  async #keepFocus(): Promise<void> {
    await this.updateComplete;
    if (document.activeElement === null || document.activeElement === document.body)
      this.querySelector<HTMLElement>('.idt, .mb')?.focus({ preventScroll: true });
  }

  /** To the next that still waits, so that the inbox empties from the top; stays where it is when nothing is left. */
  #moveOn(order: readonly Approval[], from: string): void {
    this.editingId = null;
    const at = order.findIndex((approval) => approval.id === from);
    const next = [...order.slice(at + 1), ...order.slice(0, at)].find((approval) => approvals.get(approval.id)?.status === 'pending');
    if (!next) return;
    this.#settledAt = Date.now();
    go(`/approvals/${next.id}`, { replace: true });
  }

  #noted(id: string, text: string): void {
    notes.set(new Map(notes.get()).set(id, text));
  }

  /* ---------------------------------------------------------------- calls alike, and approving for longer */

  /** The calls that are like the one that is shown, itself among them. */
  #alike(): ApprovalGroup | undefined {
    return pendingGroups.get().find((group) => group.items.some((item) => item.id === this.approvalId));
  }

  /** Those of them that were chosen and still wait. */
  #chosenItems(): Approval[] {
    return (this.#alike()?.items ?? []).filter((item) => this.chosen.has(item.id));
  }

  /** An edit is for one call: while one is open nothing else is chosen, so that it is never left out unseen. */
  #choose(ids: readonly string[]): void {
    if (this.editingId !== null && ids.length > 0) {
      // Drawn again, so that a box that was ticked does not stay so.
      this.chosen = new Set();
      say('refused', 'An edit is for one call. Discard it first, or approve the edited call alone.');
      return;
    }
    const approval = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    const begun = approval && this.chosen.size === 0 ? (notes.get().get(approval.id) ?? '') : '';
    this.chosen = new Set(ids);
    if (approval && begun) this.#noted(this.#noteKey(approval), begun);
  }

  /** One note for all that were chosen, else one for each call. */
  #noteKey(approval: Approval): string {
    return this.#chosenItems().length > 0 ? `alike ${approval.groupKey}` : approval.id;
  }

  #chooseThis(): void {
    const id = this.approvalId;
    if (id === null || (this.#alike()?.items.length ?? 0) < 2) return;
    const others = [...this.chosen].filter((other) => other !== id);
    this.#choose(this.chosen.has(id) ? others : [...others, id]);
  }

  #chooseAlike(): void {
    const items = this.#alike()?.items ?? [];
    if (items.length < 2) return;
    this.#choose(items.every((item) => this.chosen.has(item.id)) ? [] : items.map((item) => item.id));
  }

  async #openLonger(): Promise<void> {
    const approval = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    if (approval?.status !== 'pending' || approval.kind !== 'call' || this.busy) return;
    const { id } = approval;
    [this.longerId, this.proposal] = [id, null];
    try {
      this.proposal = { id, proposal: await api.readGrantProposal(id) };
    } catch (error) {
      this.proposal = { id, failure: sentence(error) };
    }
  }

  #closeLonger(): void {
    this.longerId = null;
  }

  #preset(text: string): void {
    const approval = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    if (approval?.status !== 'pending') return;
    const key = this.#noteKey(approval);
    this.#noted(key, notes.get().get(key) === text ? '' : text);
  }

  /* ---------------------------------------------------------------- editing */

  #edit(): void {
    const approval = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    if (!approval || !isEditable(approval) || reasonAgainst('decide approvals') !== null) return;
    this.editingId = approval.id;
    this.chosen = new Set();
    void this.updateComplete.then(() =>
      this.querySelector<ArgumentsEditorElement>('mc-arguments-editor')?.updateComplete.then(() =>
        this.querySelector<ArgumentsEditorElement>('mc-arguments-editor')?.focusFirst(),
      ),
    );
  }

  #leaveEdit(): void {
    if (this.editingId === null) return;
    const kept = new Map(drafts.get());
    kept.delete(this.editingId);
    drafts.set(kept);
    this.editingId = null;
    this.judgement = { state: 'none' };
  }

  #drafted(approval: Approval, draft: Draft): void {
    drafts.set(new Map(drafts.get()).set(approval.id, draft));
    clearTimeout(this.#judgeTimer);
    const { edited } = editArguments(this.#argumentsOf(approval) ?? {}, draft);
    this.judgement = edited ? { state: 'asking' } : { state: 'none' };
    if (edited) this.#judgeTimer = setTimeout(() => void this.#judge(approval, edited), JUDGE_AFTER_MS);
  }

  async #judge(approval: Approval, edited: Record<string, unknown>): Promise<void> {
    const agent = approval.agentId === null ? undefined : agents.get(approval.agentId);
    if (!agent || approval.tool === null) return;
    try {
      const {
        verdict,
        risk,
        reasons,
        trace = null,
      } = await api.simulate({
        tool: approval.tool,
        arguments: edited,
        ...(approval.cwd === null ? {} : { cwd: approval.cwd }),
        ...(approval.workspace === null ? {} : { workspace: approval.workspace }),
        agent: {
          id: agent.id,
          autonomy: agent.autonomyLevel,
          status: agent.status,
          depth: agent.depth,
          ...(agent.toolPermissions ? { toolPermissions: agent.toolPermissions } : {}),
        },
      });
      if (this.editingId === approval.id) this.judgement = { state: 'judged', verdict, risk, reasons, preview: trace };
    } catch (error) {
      if (this.editingId === approval.id) this.judgement = { state: 'failed', why: sentence(error) };
    }
  }

  /** Whether arguments are being edited, and whether they can be approved as they stand. */
  #edited(approval: Approval): { editing: boolean; arguments: Record<string, unknown> | null; reason: string | null } {
    if (this.editingId !== approval.id) return { editing: false, arguments: null, reason: null };
    const { fields, edited } = editArguments(this.#argumentsOf(approval) ?? {}, drafts.get().get(approval.id) ?? {});
    if (edited) return { editing: true, arguments: edited, reason: null };
    const broken = fields.find((field) => field.error !== null);
    return broken
      ? { editing: true, arguments: null, reason: `The argument ${broken.name} is not valid yet.` }
      : { editing: false, arguments: null, reason: null };
  }

  #panel(): DecisionPanelElement | null {
    return this.querySelector('mc-decision-panel');
  }

  /* ---------------------------------------------------------------- what the store does not have */

  async #fetchMissing(): Promise<void> {
    const id = this.approvalId;
    if (id === null || approvals.get(id)) return;
    this.missing = null;
    try {
      approvals.set(await api.readApproval(id));
    } catch (error) {
      this.missing = sentence(error);
    }
  }

  /** Long arguments are kept shortened; while the call can still run, all of them can be read. */
  async #fetchWhole(): Promise<void> {
    const approval = this.approvalId === null ? undefined : approvals.get(this.approvalId);
    if (!approval || !isShortened(approval) || this.whole.has(approval.id)) return;
    try {
      this.whole = new Map(this.whole).set(approval.id, await api.readWholeArguments(approval.id));
    } catch (error) {
      this.wholeFailure = sentence(error);
    }
  }

  #argumentsOf(approval: Approval): Record<string, unknown> | null {
    return this.whole.get(approval.id) ?? approval.arguments;
  }
}

/** The record keeps long arguments in part, and says so under this name (proxy/record.ts). */
function isShortened({ arguments: args }: Approval): boolean {
  return args !== null && typeof args['…'] === 'string';
}

/** Once somebody has approved it, the next one approves the same or denies. */
function isEditable({ status, arguments: args, approvedBy }: Approval): boolean {
  return status === 'pending' && args !== null && approvedBy.length === 0;
}

/** How often it was recalled to people, and that it was handed on. */
function reminded({ status, reminders, escalatedAt }: Approval): TemplateResult | typeof nothing {
  if (status !== 'pending' || (reminders === 0 && escalatedAt === null)) return nothing;
  const times = reminders === 0 ? '' : `reminded ${reminders === 1 ? 'once' : `${count(reminders)} times`}`;
  return html`<span class="small m-amber">${times}${escalatedAt === null ? nothing : html`${times ? ', ' : nothing}handed on at ${moment(escalatedAt, clockMinutes(escalatedAt))}`}</span>`;
}

/** Until when the caller holds the line, and until when the call is kept. */
function waitSentence(approval: Approval): TemplateResult | typeof nothing {
  if (approval.status !== 'pending') return nothing;
  const now = serverNow();
  const kept = `kept until ${when(approval.expiresAt, now)}`;
  const until = approval.waitingUntil;
  if (until !== null && until > now) return html`agent waits until ${moment(until, clock(until))}, call ${kept}`;
  if (until !== null || approval.deferred)
    return html`agent stopped waiting${until === null ? '' : html` at ${moment(until, clockMinutes(until))}`}, call ${kept}`;
  return html`call ${kept}`;
}

/** First and last characters, in fours, for two people to compare. */
function shortDigest(digest: string): string {
  return digest.length <= 24 ? digest : `${digest.slice(0, 4)} ${digest.slice(4, 8)} … ${digest.slice(-4)}`;
}

async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say('done', 'Copied.');
  } catch {
    say('refused', 'Not copied: the browser did not allow it. Select the text and copy it.');
  }
}

/** Others of its group that wait as well. */
function alikeOf(approval: Approval): Approval[] {
  const group = groupApprovals(pendingApprovals.get()).find(({ items }) => items.some(({ id }) => id === approval.id));
  return group?.items.filter(({ id }) => id !== approval.id) ?? [];
}

const HINTS = html`<p class="hints" aria-hidden="true"><span>${keyHint('J')}${keyHint('K')} next, previous</span><span>${keyHint('E')} edit</span><span>${keyHint('N')} note</span><span>${keyHint('?')} all keys</span></p>`;

declare global {
  interface HTMLElementTagNameMap {
    'mc-approvals': ApprovalsElement;
  }
}
