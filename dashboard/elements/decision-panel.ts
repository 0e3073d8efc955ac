/**
 * Where held calls are decided, the one that is shown or several that were chosen: the note, approve once, deny, approve for longer; and after
 * the decision what came of it. Knows nothing of who may decide: it shows the reason it is given. Emits `mc-approve`, `mc-deny`, `mc-longer`
 * and `mc-note` (the text as typed).
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { Approval } from '../../control/contract.ts';
import { clock, clockMinutes, OUTCOME_WORDS, plural, when } from '../words.ts';
import { approvalChip } from './glyph.ts';
import { icon } from './icon.ts';
import { emit, LightElement } from './light-element.ts';
import { button, keyHint, moment, seen, why } from './parts.ts';
import './decision-panel.css';

/** Said often enough to be one press; they stand in the record as the note. */
export const NOTE_PRESETS = ['Checked, as intended', 'Wrong target', 'Not needed now'] as const;

@customElement('mc-decision-panel')
export class DecisionPanelElement extends LightElement {
  @property({ attribute: false }) approval: Approval | null = null;
  /** The note as typed so far; kept by the view so that it survives moving along the list. */
  @property({ attribute: false }) note = '';
  /** Why nobody, or not this person, can decide now. */
  @property({ attribute: false }) reason: string | null = null;
  /** Which decision is under way. */
  @property({ attribute: false }) busy: 'approve' | 'deny' | null = null;
  /** Arguments are being edited; approving then means the edited ones. */
  @property({ attribute: false }) editing = false;
  /** Why the edited arguments cannot be approved as they stand. */
  @property({ attribute: false }) editReason: string | null = null;
  /** How many calls the decision is for; 0 = the one that is shown. */
  @property({ attribute: false }) chosen = 0;
  /** One of the chosen calls needs a note. */
  @property({ attribute: false }) notesRequired = false;
  /** Who decides here, to tell a second approval by the same person. */
  @property({ attribute: false }) myId: string | null = null;
  /** Approving for longer is offered. */
  @property({ attribute: false }) canGrant = false;
  /** The server's time. */
  @property({ attribute: false }) now = 0;

  /** Puts the cursor into the note. */
  focusNote(): void {
    this.querySelector('textarea')?.focus();
  }

  protected override render(): TemplateResult | typeof nothing {
    if (!this.approval) return nothing;
    return this.approval.status === 'pending' ? this.#pending(this.approval) : settled(this.approval, this.now);
  }

  #pending(approval: Approval): TemplateResult {
    const noteRequired = approval.noteRequired || this.notesRequired;
    const noteMissing =
      noteRequired && !this.note.trim() ? `A ${this.chosen > 1 ? 'red' : approval.risk} call needs a note from whoever decides.` : null;
    const against = this.reason ?? noteMissing;
    const alone = this.chosen === 0;
    const againstApproval = against ?? (alone ? (secondTime(approval, this.myId) ?? this.editReason) : null);
    const many = alone ? '' : ` ${plural(this.chosen, 'call')}`;
    const notedDenial = this.note.trim() ? ' with this note' : '';
    return html`<section class="dp">
      ${alone ? people(approval, this.now) : nothing}
      <label class="lbl" for="${this.uid}-note">Note <span class="muted">${noteRequired ? 'required for red' : 'optional'}${alone ? '' : ', the same for all'}</span></label>
      <textarea class="field" id="${this.uid}-note" rows="2" maxlength="10000" placeholder="Why is this right, or why not?" .value=${this.note} aria-describedby=${noteMissing && !this.reason ? `${this.uid}-why` : nothing} @input=${this.#typed} @keydown=${this.#keys}></textarea>
      <div class="dp-presets" role="group" aria-label="Ready-made notes">
        ${NOTE_PRESETS.map((text, i) => html`<button type="button" class="preset" aria-pressed=${this.note === text} aria-keyshortcuts=${i + 1} @click=${() => emit(this, 'mc-note', this.note === text ? '' : text)}>${text}${keyHint(String(i + 1))}</button>`)}
      </div>
      ${button({
        label: alone ? (this.editing ? 'Approve the edited call, once' : approveLabel(approval)) : `Approve${many}, once each`,
        kind: 'go',
        size: 'large',
        block: true,
        key: 'A',
        busy: this.busy === 'approve' ? 'Approving' : null,
        reason: this.busy === 'deny' ? 'Denying' : againstApproval,
        reasonId: `${this.uid}-why`,
        onClick: () => emit(this, 'mc-approve', null),
      })}
      ${button({
        label: `Deny${many}${notedDenial}`,
        kind: 'deny',
        size: 'large',
        block: true,
        key: 'D',
        busy: this.busy === 'deny' ? 'Denying' : null,
        reason: this.busy === 'approve' ? 'Approving' : against,
        reasonId: `${this.uid}-why`,
        onClick: () => emit(this, 'mc-deny', null),
      })}
      ${this.busy ? nothing : why(againstApproval, `${this.uid}-why`)}
      ${alone && this.canGrant && !this.editing ? button({ label: 'Grant calls like it for longer', icon: 'shield-check', block: true, key: 'F', reason: this.reason, reasonId: `${this.uid}-why`, onClick: () => emit(this, 'mc-longer', null) }) : nothing}
    </section>`;
  }

  #typed(event: InputEvent): void {
    if (event.target instanceof HTMLTextAreaElement) emit(this, 'mc-note', event.target.value);
  }

  /** Escape leaves the field, so that the deciding keys act again. */
  #keys(event: KeyboardEvent): void {
    if (event.key === 'Escape' && event.target instanceof HTMLTextAreaElement) event.target.blur();
  }
}

/** Of a call that needs two people: who has approved so far. */
function people(approval: Approval, now: number): TemplateResult | typeof nothing {
  const { approvalsNeeded, approvedBy } = approval;
  if (approvalsNeeded < 2) return nothing;
  return html`<div class="dp-people" role="status">
    <p><b class="b">${approvedBy.length} of ${approvalsNeeded} people</b> have approved. ${approvedBy.length === 0 ? 'This tool needs two; either may deny.' : 'Another person has to approve as well; either may deny.'}</p>
    ${approvedBy.length ? html`<ul>${approvedBy.map((vote) => html`<li>${seen(vote.name)}${vote.actingFor.length ? html` <span class="muted">for ${seen(vote.actingFor.join(', '))}</span>` : nothing}, ${moment(vote.at, when(vote.at, now))}${vote.note ? html`: <span class="ink2">${seen(vote.note)}</span>` : nothing}</li>`)}</ul>` : nothing}
  </div>`;
}

/** Why this person cannot approve it again, where they have. */
export function secondTime({ approvedBy }: Approval, myId: string | null): string | null {
  return approvedBy.some((vote) => vote.id === myId) ? 'You have approved it; another person has to approve as well.' : null;
}

function approveLabel({ approvalsNeeded, approvedBy }: Approval): string {
  return approvalsNeeded > 1 ? `Approve once, as ${approvedBy.length + 1} of ${approvalsNeeded}` : 'Approve once';
}

/** What was decided, by whom and why, and what came of it. */
function settled(approval: Approval, now: number): TemplateResult {
  const at = approval.decidedAt;
  return html`<section class="dp dp--settled" aria-label="Decision" role="status">
    <div class="row">${approvalChip(approval.status)}${at === null ? nothing : html`<span class="small muted">${moment(at, when(at, now))}</span>`}</div>
    <p class="dp-who">${settledSentence(approval)}</p>
    ${approval.decision ? html`<blockquote class="dp-note">${seen(approval.decision)}</blockquote>` : nothing}
    ${approval.status === 'approved' ? redemption(approval, now) : nothing}
  </section>`;
}

function settledSentence(approval: Approval): TemplateResult {
  const who = html`<b class="b">${approval.approver === null ? 'Somebody' : seen(approval.approver)}</b>`;
  switch (approval.status) {
    case 'approved': {
      if (approval.grantId !== null) return html`A <a href="/grants/${approval.grantId}">standing grant</a> of ${who} released it.`;
      const longer =
        approval.madeGrantId === null ? nothing : html`, and <a href="/grants/${approval.madeGrantId}">calls like it for longer</a>`;
      if (approval.approvedBy.length > 1)
        return html`${seen(approval.approvedBy.map((vote) => vote.name).join(' and '))} approved it once${approval.editedArguments ? ', with edited arguments' : ''}.`;
      return html`${who} approved it once${approval.editedArguments ? ', with edited arguments' : ''}${longer}.`;
    }
    case 'denied':
      return html`${who} denied it. Nothing ran; the agent was told why.`;
    case 'expired':
      return html`Nobody decided in time. Nothing ran.`;
    case 'withdrawn':
      return html`The call was withdrawn before anybody decided. Nothing ran.`;
    case 'pending':
      return html`It waits.`;
  }
}

function redemption(approval: Approval, now: number): TemplateResult {
  if (approval.redeemedAt === null) {
    const until = approval.grantExpiresAt;
    const open = until === null || until > now;
    return html`<p class="why">${icon(open ? 'hourglass' : 'ban', 12)}<span>${open ? html`Not run yet. The agent may run it once${until === null ? '' : `, until ${clockMinutes(until)}`}.` : 'It was never run, and the grant has ended.'}</span></p>`;
  }
  const call = approval.redeemedBy ?? approval.toolCallId;
  return html`<dl class="kv dp-run">
    <dt>Taken</dt>
    <dd>${moment(approval.redeemedAt, clock(approval.redeemedAt))}</dd>
    <dt>Outcome</dt>
    <dd>${OUTCOME_WORDS[approval.outcome]}${call ? html`, <a href="?call=${call}">open the call</a>` : nothing}</dd>
  </dl>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-decision-panel': DecisionPanelElement;
  }
}
