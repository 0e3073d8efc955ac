/**
 * Starting from a shipped profile: what each is for and what it costs, and what it would change in the policy in force, before a version is made
 * of it. The version binds nobody until it is activated, which judges the calls of a week by it first. Emits `mc-saved` (its name) and `mc-close`.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { documentChanges } from '../elements/document-changes.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button, failed, skeleton, why } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { plural } from '../words.ts';
import './policy-profiles.css';

/** How much people are asked, from most to least; the others, for one kind of work each, follow. */
const FIRST = ['strict', 'balanced', 'lenient'];

@customElement('mc-policy-profiles')
export class PolicyProfilesElement extends LightElement {
  @property({ attribute: false }) active: api.PolicyVersion | null = null;
  @property({ attribute: false }) judge: typeof import('../policy-judge.ts') | null = null;
  @state() private profiles: readonly api.PolicyProfile[] | null = null;
  @state() private chosen: string | null = null;
  @state() private failure: string | null = null;
  @state() private refusal: string | null = null;
  @state() private busy = false;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
  }

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Start from a profile" .content=${this.#content()}></mc-modal>`;
  }

  #content(): TemplateResult {
    if (this.failure !== null) return failed('The profiles could not be read', this.failure, () => void this.#read());
    if (this.profiles === null) return skeleton(5);
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      <fieldset class="pp"><legend class="ink2">A profile changes parts of the policy in force${this.active ? `, ${this.active.version}` : ''}. What it does not name stays as it is.</legend>
        ${this.profiles.map((profile) => this.#choice(profile))}
      </fieldset>
      ${this.#preview()}
    </form>`;
  }

  #choice({ name, description }: api.PolicyProfile): TemplateResult {
    return html`<label class="pp-c"><input type="radio" name="profile" value=${name} .checked=${this.chosen === name} @change=${() => this.#choose(name)} />
      <span><b class="b">${titleOf(name)}</b> <span class="ink2">${describe(description)}</span></span></label>`;
  }

  #preview(): TemplateResult | typeof nothing {
    const profile = this.profiles?.find(({ name }) => name === this.chosen);
    if (!profile || !this.active || !this.judge) return nothing;
    const { changes, errors } = this.judge.tryPatch(this.active.document, profile.patch);
    const reason =
      reasonAgainst('change the policy') ??
      (changes.length === 0 ? `${this.active.version} says all of it already.` : null) ??
      (errors.length > 0 ? `The result would have ${plural(errors.length, 'problem')}: ${errors[0]?.path} ${errors[0]?.message}` : null);
    return html`<h3 class="lbl">What it changes in ${this.active.version}, ${plural(changes.length, 'entry', 'entries')}</h3>
      ${documentChanges(changes)}
      <label class="lbl" for="pp-note">Why?</label>
      <textarea class="field" id="pp-note" name="note" rows="2" required maxlength="2000" .value=${`From the profile ${profile.name}.`}></textarea>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: `Make a version of ${profile.name}`, kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Making' : null, reason, reasonId: 'pp-why', onClick: () => {} })}
      ${why(reason, 'pp-why')}`;
  }

  #choose(name: string): void {
    this.chosen = name;
    this.refusal = null;
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const { chosen } = this;
    if (this.busy || chosen === null) return;
    const note = String(new FormData(event.target as HTMLFormElement).get('note') ?? '').trim();
    this.busy = true;
    this.refusal = null;
    try {
      const { version } = await api.createPolicy({ profile: chosen, note });
      say('done', `${version} is made from ${chosen}. It is not active.`);
      emit(this, 'mc-close', null);
      emit(this, 'mc-saved', version);
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = false;
  }

  async #read(): Promise<void> {
    this.failure = null;
    try {
      const found = await api.listProfiles();
      const place = ({ name }: api.PolicyProfile) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
      this.profiles = [...found].sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name, 'en'));
    } catch (error) {
      this.failure = sentence(error);
    }
  }
}

function titleOf(name: string): string {
  const words = name.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Without its own name at the beginning and what holds for all of them. */
function describe(description: string): string {
  return description
    .replace(/\s+/g, ' ')
    .replace(/^[\w\s-]+: /, '')
    .replace(/A merge patch over the policy in force, (\w)/, (_, first: string) => first.toUpperCase())
    .replace(' A merge patch over the policy in force.', '')
    .trim()
    .replace(/^./, (first) => first.toUpperCase());
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-policy-profiles': PolicyProfilesElement;
  }
}
