/**
 * The emergency stop's button. Where it cannot be used a press emits `mc-refused` with the reason.
 * Holding it for 1.2 s emits `mc-held`; letting go earlier, a click, a tap or Enter emits `mc-ask`, which opens
 * the confirmation that equals the hold. The fill grows while it is held and says how long is left.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { icon } from './icon.ts';
import { emit, LightElement } from './light-element.ts';
import './hold-button.css';

const HOLD_MS = 1_200;
const FRAME_MS = 100;

@customElement('mc-hold-button')
export class HoldButtonElement extends LightElement {
  @property() label = 'Emergency stop';
  /** Shown instead of the label where there is little room; the accessible name stays the label. */
  @property({ attribute: false }) short: string | null = null;
  /** Why it cannot be pressed. */
  @property({ attribute: false }) reason: string | null = null;
  @property({ attribute: false }) reasonId = '';
  @state() private heldMs: number | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #fired = false;

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#release();
  }

  protected override render(): TemplateResult {
    const held = this.heldMs;
    const text = held === null ? (this.short ?? this.label) : `Keep holding, ${((HOLD_MS - held) / 1000).toFixed(1)} s`;
    return html`<button
      type="button"
      class="btn btn--s btn--stop"
      aria-label=${this.label}
      aria-disabled=${this.reason === null ? nothing : 'true'}
      aria-describedby=${this.reason === null ? `${this.uid}-hint` : this.reasonId}
      @pointerdown=${this.#press}
      @pointerup=${this.#letGo}
      @pointercancel=${this.#release}
      @pointerleave=${this.#release}
      @contextmenu=${(event: Event) => event.preventDefault()}
      @click=${this.#click}
    >
      ${held === null ? nothing : html`<span class="hold-fill" .style=${`transform:scaleX(${Math.min(1, held / HOLD_MS)})`}></span>`}
      <span class="hold-text">${icon('octagon-x')}<span>${text}</span></span>
    </button>
    <span class="sr" id="${this.uid}-hint">Hold for 1.2 seconds to stop at once, or press to confirm.</span>`;
  }

  #press(event: PointerEvent): void {
    if (event.button !== 0 || this.reason !== null) return;
    this.#fired = false;
    const from = performance.now();
    this.heldMs = 0;
    this.#timer = setInterval(() => {
      this.heldMs = performance.now() - from;
      if (this.heldMs < HOLD_MS) return;
      this.#fired = true;
      this.#release();
      emit(this, 'mc-held', null);
    }, FRAME_MS);
  }

  #letGo(): void {
    this.#release();
  }

  #release(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.heldMs = null;
  }

  /** Comes after every letting go, and alone from the keyboard or an assistive technology. */
  #click(): void {
    if (this.reason !== null) emit(this, 'mc-refused', this.reason);
    else if (!this.#fired) emit(this, 'mc-ask', null);
    this.#fired = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-hold-button': HoldButtonElement;
  }
}
