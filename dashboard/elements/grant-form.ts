/**
 * Approving for longer: which calls like this one are meant, shown as what each pattern would and would not have covered; for whom, for how
 * long and how often. The server proposes and has the last word; this form chooses. Emits `mc-grant` with what was chosen.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { GrantProposal, GrantRequest, GrantScope } from '../../control/contract.ts';
import { count, plural } from '../words.ts';
import { riskGlyph } from './glyph.ts';
import { scopeText, spansWithin, spanText } from './grant-text.ts';
import { emit, LightElement } from './light-element.ts';
import { button, moment, seen, seenLine, why } from './parts.ts';
import './grant-form.css';

type Pattern = GrantProposal['patterns'][number];
type Example = Pattern['covers'][number];

/** What is sent along with the approval; the note is the decision's own. */
export type GrantChoice = Omit<GrantRequest, 'note'>;

const EXAMPLES_SHOWN = 4;
const USES_OFFERED = 20;

@customElement('mc-grant-form')
export class GrantFormElement extends LightElement {
  @property({ attribute: false }) proposal: GrantProposal | null = null;
  /** Names of the agent and the task of the call, untrusted. */
  @property({ attribute: false }) names: { agent: string | null; task: string | null } = { agent: null, task: null };
  /** Why it cannot be sent now. */
  @property({ attribute: false }) reason: string | null = null;
  @property({ attribute: false }) busy = false;
  /** Other calls alike that wait already. */
  @property({ attribute: false }) waiting = 0;
  @state() private pattern = 0;
  @state() private scope = 0;
  @state() private span = 0;
  @state() private uses: number | null = null;
  @state() private withWaiting = false;

  protected override render(): TemplateResult | typeof nothing {
    const { proposal } = this;
    if (!proposal) return nothing;
    const [narrowest] = proposal.patterns;
    if (proposal.refusal !== null || !narrowest)
      return html`<p class="ink2">${proposal.refusal === null ? 'No pattern fits this call.' : seen(proposal.refusal.message)}</p>
        <p class="small muted">It can be approved once.</p>`;
    const spans = spansWithin(proposal.maxExpiresInMs);
    const most = proposal.maxUses ?? 1_000_000;
    const uses = this.uses ?? Math.min(USES_OFFERED, most);
    const span = spans[this.span] ?? proposal.maxExpiresInMs;
    const badUses = Number.isInteger(uses) && uses >= 1 && uses <= most ? null : `Between 1 and ${count(most)} uses.`;
    return html`<form class="gf" @submit=${(event: SubmitEvent) => this.#send(event, badUses)}>
      <fieldset class="gf-set">
        <legend class="lbl">Which calls</legend>
        ${proposal.patterns.map((pattern, i) => this.#pattern(pattern, i, proposal.examined))}
      </fieldset>
      <fieldset class="gf-set gf-row">
        <legend class="lbl">Of whom</legend>
        ${proposal.scopes.map((scope, i) =>
          this.#option('scope', i, this.scope, seen(this.#scopeName(scope)), () => {
            this.scope = i;
          }),
        )}
      </fieldset>
      <fieldset class="gf-set gf-row">
        <legend class="lbl">For how long <span class="muted">at most ${spanText(proposal.maxExpiresInMs)} by the policy</span></legend>
        ${spans.map((ms, i) =>
          this.#option('span', i, this.span, spanText(ms), () => {
            this.span = i;
          }),
        )}
      </fieldset>
      <label class="lbl" for="${this.uid}-uses">How often <span class="muted">${proposal.maxUses === null ? 'no limit by the policy' : `at most ${count(proposal.maxUses)} by the policy`}</span></label>
      <input class="field gf-uses" id="${this.uid}-uses" type="number" inputmode="numeric" min="1" max=${most} .value=${String(uses)} aria-invalid=${badUses === null ? nothing : 'true'} @input=${this.#typedUses} />
      ${
        this.waiting === 0
          ? nothing
          : html`<p class="gf-opt"><input type="checkbox" id="${this.uid}-waiting" .checked=${this.withWaiting} @change=${() => {
              this.withWaiting = !this.withWaiting;
            }} /><label for="${this.uid}-waiting">Approve by it also those of ${plural(this.waiting, 'call')} alike that wait already and that it covers</label></p>`
      }
      ${button({
        label: `Approve, and ${plural(Number.isFinite(uses) ? uses : 0, 'more call')} for ${spanText(span)}`,
        kind: 'go',
        size: 'large',
        block: true,
        type: 'submit',
        busy: this.busy ? 'Approving' : null,
        reason: this.reason ?? badUses,
        reasonId: `${this.uid}-why`,
        onClick: () => {},
      })}
      ${why(this.reason ?? badUses, `${this.uid}-why`)}
      <p class="small muted">Every call is still judged. Anything that is red, over a budget or on a block list comes to a person all the same, and the grant can be revoked at any time.</p>
    </form>`;
  }

  protected override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (!changed.has('proposal')) return;
    [this.pattern, this.scope, this.span, this.uses, this.withWaiting] = [0, 0, 0, null, false];
  }

  /** The dialog was open before the proposal came; now there is something to choose from. */
  protected override updated(changed: Map<PropertyKey, unknown>): void {
    if (changed.has('proposal') && this.closest('dialog')?.contains(document.activeElement)) this.querySelector('input')?.focus();
  }

  #pattern(pattern: Pattern, i: number, examined: number): TemplateResult {
    const chosen = this.pattern === i;
    const id = `${this.uid}-p${i}`;
    return html`<div class="gf-card ${chosen ? 'gf-card--on' : ''}">
      <input type="radio" name="${this.uid}-pattern" id=${id} .checked=${chosen} aria-describedby="${id}-x" @change=${() => {
        this.pattern = i;
      }} />
      <label for=${id}><span class="gf-s">${seen(pattern.sentence)}</span><code class="gf-t">${seen(pattern.text)}</code></label>
      <div class="gf-x" id="${id}-x">
        ${chosen ? html`<p class="small muted">${examined === 0 ? 'No call of this agent with this tool has been recorded to try it on.' : `Tried on ${plural(examined, 'recorded call')} of this agent with this tool.`}</p>` : nothing}
        ${chosen ? html`${examples('Would cover', pattern.covers)}${examples('Would not cover', pattern.leavesOut)}` : nothing}
      </div>
    </div>`;
  }

  #option(name: string, i: number, chosen: number, text: unknown, choose: () => void): TemplateResult {
    const id = `${this.uid}-${name}${i}`;
    return html`<span class="gf-opt"><input type="radio" name="${this.uid}-${name}" id=${id} .checked=${i === chosen} @change=${choose} /><label for=${id}>${text}</label></span>`;
  }

  #scopeName(scope: GrantScope): string {
    return scopeText(scope, scope.kind === 'agent' ? this.names.agent : scope.kind === 'task' ? this.names.task : null);
  }

  #typedUses = (event: InputEvent): void => {
    if (event.target instanceof HTMLInputElement) this.uses = event.target.valueAsNumber;
  };

  #send(event: SubmitEvent, badUses: string | null): void {
    event.preventDefault();
    const { proposal } = this;
    const pattern = proposal?.patterns[this.pattern];
    const scope = proposal?.scopes[this.scope];
    if (!proposal || !pattern || !scope || this.busy || this.reason !== null || badUses !== null) return;
    const expiresInMs = spansWithin(proposal.maxExpiresInMs)[this.span] ?? proposal.maxExpiresInMs;
    const maxUses = this.uses ?? Math.min(USES_OFFERED, proposal.maxUses ?? USES_OFFERED);
    emit<GrantChoice>(this, 'mc-grant', {
      patternId: pattern.id,
      scope,
      expiresInMs,
      maxUses,
      ...(this.withWaiting && { includeWaiting: true }),
    });
  }
}

function examples(title: string, list: readonly Example[]): TemplateResult | typeof nothing {
  if (list.length === 0) return nothing;
  return html`<h3 class="gf-h">${title}</h3>
    <ul>${list.slice(0, EXAMPLES_SHOWN).map((example) => html`<li class="gf-e">${riskGlyph(example.risk)}<code>${seenLine(example.summary)}</code>${moment(example.at)}</li>`)}</ul>
    ${list.length > EXAMPLES_SHOWN ? html`<p class="small muted">and ${count(list.length - EXAMPLES_SHOWN)} more</p>` : nothing}`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-grant-form': GrantFormElement;
  }
}
