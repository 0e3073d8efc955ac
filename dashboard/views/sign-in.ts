/** Signing in: the printed link has already been tried when this is seen; a token can be pasted. Says why the last attempt or session ended. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { brandMark } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button } from '../elements/parts.ts';
import { signIn } from '../sessions.ts';
import { presence } from '../store.ts';
import './sign-in.css';

@customElement('mc-sign-in')
export class SignInElement extends SignalWatcher(LightElement) {
  @state() private busy = false;
  @state() private refusal: string | null = null;

  protected override render(): TemplateResult {
    const now = presence.get();
    const reason = this.refusal ?? (now.state === 'out' ? now.reason : null);
    return html`<main class="si" id="main">
      <form class="si-card panel form" @submit=${this.#submit} novalidate>
        <div class="si-brand">${brandMark(22)}<span>Mission Control</span></div>
        <h1>Sign in</h1>
        <p class="ink2">Open the sign-in link that the server printed when it started, or paste a token here.</p>
        <label class="lbl" for="token">Token</label>
        <input class="field mono" id="token" name="token" type="password" autocomplete="current-password" spellcheck="false" maxlength="512" aria-describedby="si-why" aria-invalid=${this.refusal ? 'true' : 'false'} autofocus />
        <p class="refusal" id="si-why" role="alert">${reason ?? ''}</p>
        ${button({ label: 'Sign in', kind: 'go', size: 'large', block: true, type: 'submit', busy: this.busy ? 'Signing in' : null, onClick: () => {} })}
        <p class="small muted">A new link, on the server:<br /><code class="nb">npm run -s mc -- sign-in</code></p>
      </form>
    </main>`;
  }

  protected override firstUpdated(): void {
    this.querySelector('input')?.focus();
  }

  async #submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const token = new FormData(event.target as HTMLFormElement).get('token');
    if (typeof token !== 'string' || !token.trim()) {
      this.refusal = 'Paste a token first.';
      this.querySelector('input')?.focus();
      return;
    }
    this.busy = true;
    this.refusal = await signIn(token);
    this.busy = false;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-sign-in': SignInElement;
  }
}
