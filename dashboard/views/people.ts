/** Who may do what: the people of this installation with their roles, tokens and deputies, for administrators. A token is shown once. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { Role } from '../../control/contract.ts';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { onceShown } from '../elements/once-shown.ts';
import { ago, button, failed, moment, seen, skeleton } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { session } from '../store.ts';
import { ROLE_WORDS, when } from '../words.ts';
import './absence-form.ts';

const ROLES: readonly { value: Role; text: string }[] = [
  { value: 'viewer', text: 'Viewer: reads and simulates' },
  { value: 'approver', text: 'Approver: decides approvals' },
  { value: 'operator', text: 'Operator: runs agents and tasks, stops' },
  { value: 'admin', text: 'Administrator: resumes, policies, people, upstreams' },
];

@customElement('mc-people')
export class PeopleElement extends SignalWatcher(LightElement) {
  @state() private people: readonly api.Operator[] | null = null;
  @state() private failure: string | null = null;
  @state() private adding = false;
  @state() private removing: api.Operator | null = null;
  /** Who is about to be away. */
  @state() private leaving: api.Operator | null = null;
  @state() private shown: { name: string; token: string } | null = null;
  @state() private busy: string | null = null;
  @state() private refusal: string | null = null;

  override connectedCallback(): void {
    super.connectedCallback();
    void this.#read();
  }

  protected override render(): TemplateResult {
    const against = reasonAgainst('manage people');
    return html`<section class="panel st">
      <div class="panel-h"><h2 class="grow">People</h2>${button({ label: 'Add a person', icon: 'plus', size: 'small', kind: 'quiet', reason: against, reasonId: 'people-why', onClick: () => this.#add(true) })}</div>
      ${
        this.failure !== null
          ? failed('The people could not be read', this.failure, () => void this.#read())
          : this.people === null
            ? skeleton(3)
            : html`<ul class="pp">${this.people.map((person) => this.#row(person, against))}</ul>`
      }
      ${this.adding ? html`<mc-modal heading="Add a person" .content=${this.#form()} @mc-close=${() => this.#add(false)}></mc-modal>` : nothing}
      ${this.leaving ? html`<mc-absence-form .person=${this.leaving} .people=${this.people ?? []} @mc-close=${() => this.#askAway(null)} @mc-saved=${() => void this.#read()}></mc-absence-form>` : nothing}
      ${this.removing ? html`<mc-modal heading="Remove ${this.removing.name}" .content=${this.#removeForm(this.removing)} @mc-close=${() => this.#askRemove(null)}></mc-modal>` : nothing}
      ${this.shown ? html`<mc-modal heading="Token of ${this.shown.name}" .content=${onceShown(this.shown.token, 'It signs in here and works for the API.')} @mc-close=${() => this.#forget()}></mc-modal>` : nothing}
    </section>`;
  }

  #row(person: api.Operator, against: string | null): TemplateResult {
    const me = person.id === session.get()?.operator.id;
    const reason = against ?? (me ? 'This is you.' : null);
    return html`<li class="pp-r">
      <span class="b grow">${person.name}${me ? html` <span class="muted">you</span>` : nothing}</span>
      <span class="small muted">${person.absence ? html`away until ${moment(person.absence.until, when(person.absence.until, serverNow()))}, ${seen(person.absence.deputyName)} decides` : html`seen ${ago(person.lastSeenAt, serverNow())}`}</span>
      ${
        person.absence
          ? button({ label: 'Is back', size: 'small', reason: against, reasonId: 'people-why', onClick: () => void this.#back(person) })
          : button({ label: 'Away', size: 'small', reason: against, reasonId: 'people-why', onClick: () => this.#askAway(person) })
      }
      <label class="sr" for="role-${person.id}">Role of ${person.name}</label>
      <select class="field pp-role" id="role-${person.id}" ?disabled=${reason !== null} title=${reason ?? ''} @change=${(event: Event) => void this.#changeRole(person, event)}>${ROLES.map(({ value }) => html`<option value=${value} ?selected=${value === person.role}>${ROLE_WORDS[value]}</option>`)}</select>
      ${button({ label: 'New token', icon: 'key-round', size: 'small', busy: this.busy === person.id ? 'Issuing' : null, reason: against, reasonId: 'people-why', onClick: () => void this.#issue(person) })}
      ${button({ label: `Remove ${person.name}`, icon: 'x', iconOnly: true, size: 'small', kind: 'deny', reason, reasonId: 'people-why', onClick: () => this.#askRemove(person), onRefused: () => say('refused', `Not removed. ${reason}`) })}
    </li>`;
  }

  #form(): TemplateResult {
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#create(event)}>
      <label class="lbl" for="pp-name">Name</label>
      <input class="field" id="pp-name" name="name" required maxlength="120" autocomplete="off" data-focus />
      <label class="lbl" for="pp-role">Role <span class="muted">each may do what the ones before it may</span></label>
      <select class="field" id="pp-role" name="role">${ROLES.map(({ value, text }) => html`<option value=${value}>${text}</option>`)}</select>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Add a person', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy === 'add' ? 'Adding' : null, onClick: () => {} })}
    </form>`;
  }

  #removeForm(person: api.Operator): TemplateResult {
    return html`<p class="ink2">Sessions and tokens of ${person.name} end at once. What ${person.name} decided stays on record.</p>
      <div class="form-f">${button({ label: `Remove ${person.name}`, kind: 'deny', size: 'large', block: true, busy: this.busy === 'remove' ? 'Removing' : null, onClick: () => void this.#remove(person) })}</div>`;
  }

  #add(open: boolean): void {
    this.adding = open;
    this.refusal = null;
  }

  #askRemove(person: api.Operator | null): void {
    this.removing = person;
  }

  #askAway(person: api.Operator | null): void {
    this.leaving = person;
  }

  async #back(person: api.Operator): Promise<void> {
    try {
      await api.endAbsence(person.id);
      say('done', `${person.name} is back.`);
    } catch (error) {
      say('refused', `${person.name} is still away. ${sentence(error)}`);
    }
    await this.#read();
  }

  #forget(): void {
    this.shown = null;
  }

  async #read(): Promise<void> {
    this.failure = null;
    try {
      this.people = await api.listOperators();
    } catch (error) {
      this.failure = sentence(error);
    }
  }

  async #create(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (this.busy) return;
    const form = new FormData(event.target as HTMLFormElement);
    this.busy = 'add';
    this.refusal = null;
    try {
      const { name, token } = await api.createOperator({ name: String(form.get('name')).trim(), role: String(form.get('role')) as Role });
      this.adding = false;
      this.shown = { name, token };
      await this.#read();
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = null;
  }

  async #changeRole(person: api.Operator, event: Event): Promise<void> {
    if (!(event.target instanceof HTMLSelectElement)) return;
    const role = event.target.value as Role;
    try {
      await api.updateOperator(person.id, { role });
      say('done', `${person.name} is ${ROLE_WORDS[role]} now.`);
    } catch (error) {
      say('refused', `${person.name} is still ${ROLE_WORDS[person.role]}. ${sentence(error)}`);
      event.target.value = person.role;
    }
    await this.#read();
  }

  async #issue(person: api.Operator): Promise<void> {
    this.busy = person.id;
    try {
      const { token } = await api.issueOperatorToken(person.id);
      this.shown = { name: person.name, token };
    } catch (error) {
      say('refused', `No token was issued. ${sentence(error)}`);
    }
    this.busy = null;
  }

  async #remove(person: api.Operator): Promise<void> {
    this.busy = 'remove';
    try {
      await api.removeOperator(person.id);
      say('done', `${person.name} is removed.`);
      this.removing = null;
      await this.#read();
    } catch (error) {
      say('refused', `Not removed. ${sentence(error)}`);
    }
    this.busy = null;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-people': PeopleElement;
  }
}
