/**
 * The emergency stop wherever it is: the button to hold, its confirmation, and how the sending is doing. Once stopped, the time of the stop
 * stands in its place. Never disabled because of old data; a network that is away is tried until it is back.
 */
import { SignalWatcher } from '@lit-labs/signals';
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { pauseSquad, type StopProgress, stopEverything } from '../actions.ts';
import { icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { say } from '../notices.ts';
import { reasonAgainst } from '../permissions.ts';
import { go } from '../routes.ts';
import { agents, pendingApprovals, system } from '../store.ts';
import { clock } from '../words.ts';
import '../elements/hold-button.ts';
import '../elements/modal.ts';
import '../elements/stop-form.ts';
import './stop-control.css';

@customElement('mc-stop-control')
export class StopControlElement extends SignalWatcher(LightElement) {
  /** The short label of the phone's tab bar. */
  @property({ attribute: false }) short: string | null = null;
  @state() private asking = false;
  @state() private progress: StopProgress | null = null;
  #sending: AbortController | null = null;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#sending?.abort();
  }

  protected override render(): TemplateResult {
    const now = system.get();
    if (now?.estop) {
      return html`<a class="stopped" href="/incident">${icon('octagon-x')}<span>Stopped ${now.stoppedAt === null ? '' : clock(now.stoppedAt)}</span></a>`;
    }
    const against = reasonAgainst('stop');
    return html`<mc-hold-button .short=${this.short} .reason=${against} .reasonId=${'stop-why'} @mc-held=${() => void this.#stop('')} @mc-ask=${this.#ask} @mc-refused=${(event: CustomEvent<string>) => say('refused', `The stop: ${event.detail}`)}></mc-hold-button>
      ${against === null ? nothing : html`<span class="sr" id="stop-why">${against}</span>`}
      ${this.asking || this.progress ? this.#confirmation() : nothing}`;
  }

  #confirmation(): TemplateResult {
    const active = agents.all().filter((agent) => agent.status === 'active' || agent.status === 'drained').length;
    const form = html`<mc-stop-form
      .heldCalls=${pendingApprovals.get().length}
      .activeAgents=${active}
      .sending=${this.progress}
      .pauseReason=${system.get()?.squadPaused ? 'The squad is paused already.' : reasonAgainst('pause the squad')}
      @mc-stop=${(event: CustomEvent<string>) => void this.#stop(event.detail)}
      @mc-pause=${(event: CustomEvent<string>) => void this.#pause(event.detail)}
      @mc-give-up=${this.#close}
    ></mc-stop-form>`;
    return html`<mc-modal heading="Stop everything?" .content=${form} @mc-close=${this.#close}></mc-modal>`;
  }

  #ask(): void {
    this.asking = true;
  }

  #close(): void {
    this.asking = false;
    this.#sending?.abort();
    this.progress = null;
  }

  async #stop(reason: string): Promise<void> {
    this.#sending?.abort();
    const sending = new AbortController();
    this.#sending = sending;
    const stopped = await stopEverything(
      reason,
      (at) => {
        this.progress = at;
      },
      sending.signal,
    );
    if (sending.signal.aborted) return;
    this.asking = false;
    this.progress = null;
    if (stopped) go('/incident');
  }

  async #pause(reason: string): Promise<void> {
    this.asking = false;
    await pauseSquad(reason);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-stop-control': StopControlElement;
  }
}
