/**
 * Activating a version: the note first, then what a replay of the last week says. Where red calls that were held or denied would be allowed,
 * they are listed, and their number is typed before anything binds. Emits `mc-activated` and `mc-close`.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { sentence } from '../actions.ts';
import * as api from '../api.ts';
import { type Flip, flipRows } from '../elements/flip-list.ts';
import { glyph } from '../elements/glyph.ts';
import { emit, LightElement } from '../elements/light-element.ts';
import '../elements/modal.ts';
import { button } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { agents } from '../store.ts';
import { count, plural } from '../words.ts';

/** The replay that an activation shows first is looked after so often. */
const POLL_MS = 400;

@customElement('mc-policy-activate')
export class PolicyActivateElement extends LightElement {
  @property({ attribute: false }) policy: api.PolicyVersion | null = null;
  @state() private note = '';
  @state() private busy = false;
  @state() private progress: { judged: number; total: number } | null = null;
  @state() private refusal: string | null = null;
  /** Red calls that would be allowed; null = none are known of. */
  @state() private loose: { replayId: string; count: number; items: readonly Flip[] } | null = null;
  @state() private typed = '';

  protected override render(): TemplateResult {
    return html`<mc-modal heading="Activate ${this.policy?.version ?? ''}" .content=${this.#form()}></mc-modal>`;
  }

  #form(): TemplateResult {
    const { loose } = this;
    const sure = loose === null || this.typed.trim() === `allow ${loose.count} red`;
    return html`<form class="form" @submit=${(event: SubmitEvent) => void this.#submit(event)}>
      <p class="ink2">It replaces the active policy on every proxy at once and is recorded with your name. The calls of the last seven days are judged by it first.</p>
      <label class="lbl" for="pa-note">Why?</label>
      <textarea class="field" id="pa-note" name="note" rows="2" required maxlength="2000" .value=${this.note} data-focus @input=${this.#noteTyped}></textarea>
      ${
        loose === null
          ? nothing
          : html`<div class="po-red"><p class="m-red b">${glyph('cross', 'red')} ${plural(loose.count, 'red call')} that ${loose.count === 1 ? 'was' : 'were'} held or denied would be allowed</p>${flipRows(loose.items, (id) => agents.get(id)?.name)}
              <label class="lbl" for="pa-sure">Type <b>allow ${loose.count} red</b> to activate it all the same</label>
              <input class="field" id="pa-sure" autocomplete="off" .value=${this.typed} @input=${this.#sureTyped} /></div>`
      }
      ${this.progress ? html`<p class="small muted" role="status">Judging recorded calls, ${count(this.progress.judged)} of ${count(this.progress.total)}</p>` : nothing}
      <p class="refusal" role="alert">${this.refusal ?? ''}</p>
      ${button({ label: loose === null ? `Activate ${this.policy?.version ?? ''}` : `Activate, allow ${loose.count} red`, kind: loose === null ? 'go' : 'deny', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Activating' : null, reason: sure ? null : 'Type the words above.', reasonId: 'pa-why', onClick: () => {} })}
      ${sure ? nothing : html`<p class="small muted" id="pa-why">Type the words above first.</p>`}
    </form>`;
  }

  readonly #noteTyped = (event: InputEvent): void => {
    if (event.target instanceof HTMLTextAreaElement) this.note = event.target.value;
  };

  readonly #sureTyped = (event: InputEvent): void => {
    if (event.target instanceof HTMLInputElement) this.typed = event.target.value;
  };

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const { policy, loose } = this;
    if (!policy || this.busy || (loose !== null && this.typed.trim() !== `allow ${loose.count} red`)) return;
    this.busy = true;
    this.refusal = null;
    try {
      await this.#activate(policy, loose);
      say('done', `${policy.version} is active.`);
      emit(this, 'mc-activated', null);
      emit(this, 'mc-close', null);
    } catch (error) {
      this.#refused(error);
    }
    this.progress = null;
    this.busy = false;
  }

  /** Asks until the replay that it shows first has ended. */
  async #activate(policy: api.PolicyVersion, loose: { replayId: string; count: number } | null): Promise<void> {
    let replayId = loose?.replayId;
    for (;;) {
      try {
        await api.activatePolicy(policy.id, {
          note: this.note.trim(),
          ...(replayId === undefined ? {} : { replayId }),
          ...(loose === null ? {} : { confirmRedFlips: loose.count }),
        });
        return;
      } catch (error) {
        const running = error instanceof api.Refusal && error.code === 'REPLAY_RUNNING' ? error.problem?.replayId : undefined;
        if (typeof running !== 'string' || !this.isConnected) throw error;
        replayId = running;
        await this.#follow(running);
      }
    }
  }

  async #follow(replayId: string): Promise<void> {
    while (this.isConnected) {
      const replay = await api.readReplay(replayId);
      this.progress = { judged: replay.judged, total: replay.total };
      if (replay.status !== 'running') return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  #refused(error: unknown): void {
    if (error instanceof api.Refusal && error.code === 'RED_FLIPS') {
      const found = error.problem as unknown as { replayId: string; redFlips: { count: number; items: Flip[] } };
      this.loose = { replayId: found.replayId, ...found.redFlips };
      this.typed = '';
    } else this.refusal = sentence(error);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-policy-activate': PolicyActivateElement;
  }
}
