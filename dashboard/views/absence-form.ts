/**
 * Saying that somebody is away until a time, and who decides approvals in their place meanwhile. The deputy decides under their own name and
 * hands it on to nobody. Emits `mc-saved` and `mc-close`.
 */
import { html, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { serverNow } from '../clock.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { ROLE_WORDS } from '../words.ts';

const DAY_MS = 86_400_000;
/** The server refuses longer ones: that is a change of roles. */
const MAX_DAYS = 60;

type Named = Pick<api.Operator, 'id' | 'name'>;

@customElement('mc-absence-form')
export class AbsenceFormElement extends LightElement {
  @property({ attribute: false }) person: Named | null = null;
  @property({ attribute: false }) people: readonly (Named & Pick<api.Operator, 'role'>)[] = [];
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    return html`<mc-modal heading="${this.person?.name ?? ''} is away" .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    const others = this.people.filter((other) => other.id !== this.person?.id);
    const now = serverNow();
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#save(event)}>
      <label class="lbl" for="ab-until">Until</label>
      <input class="field" id="ab-until" name="until" type="datetime-local" required min=${localTime(now)} max=${localTime(now + MAX_DAYS * DAY_MS)} .value=${localTime(now + DAY_MS)} data-focus />
      <label class="lbl" for="ab-deputy">Deputy <span class="muted">decides approvals meanwhile, under their own name</span></label>
      <select class="field" id="ab-deputy" name="deputy" required>${others.map(({ id, name, role }) => html`<option value=${id}>${name}, ${ROLE_WORDS[role]}</option>`)}</select>
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: 'Name the deputy', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Naming' : null, onClick: () => {} })}
    </form>`;
  }

  async #save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const { person } = this;
    if (this.busy || !person || !(event.target instanceof HTMLFormElement)) return;
    const form = new FormData(event.target);
    this.busy = true;
    try {
      const { absence } = await api.setAbsence(person.id, {
        until: new Date(String(form.get('until'))).getTime(),
        deputyId: String(form.get('deputy')),
      });
      say('done', `${person.name} is away. ${absence?.deputyName ?? 'The deputy'} decides meanwhile.`);
      emit(this, 'mc-close', null);
      emit(this, 'mc-saved', null);
    } catch (error) {
      this.refusal = sentence(error);
    }
    this.busy = false;
  }
}

/** A moment as the value of a local date and time field. */
function localTime(at: number): string {
  const date = new Date(at);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-absence-form': AbsenceFormElement;
  }
}
