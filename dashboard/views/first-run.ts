/** A fresh installation: what runs already, what is to be done, and what will be seen here then. Each step ticks itself off. */
import { SignalWatcher } from '@lit-labs/signals';
import { html, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import { glyph } from '../elements/glyph.ts';
import { type IconName, icon } from '../elements/icon.ts';
import { LightElement } from '../elements/light-element.ts';
import { button } from '../elements/parts.ts';
import { say } from '../notices.ts';
import { overview } from '../store.ts';
import './first-run.css';

const COMMAND = 'npm run -s mc -- openclaw connect --config ~/.openclaw/openclaw.json';

@customElement('mc-first-run')
export class FirstRunElement extends SignalWatcher(LightElement) {
  protected override render(): TemplateResult {
    const about = overview.get();
    return html`<div class="fr">
      <div class="fr-m scroll" tabindex="0" role="region" aria-label="Connect OpenClaw">
        <h1>Connect OpenClaw</h1>
        <p class="fr-lead">Mission Control runs and its policy is active. Once your gateway is connected, every call of its agents passes the gate.</p>
        <ol class="fr-steps">
          <li class="ok"><span class="no">${glyph('tick', 'green')}<span class="sr">Done</span></span><div><h2>Start Mission Control</h2><p>Version ${about?.version ?? ''}, policy ${about?.activePolicy.version ?? ''}, ${about?.proxies.length === 1 ? 'one proxy' : `${about?.proxies.length ?? 0} proxies`}.</p></div></li>
          <li class="now" aria-current="step"><span class="no">2</span><div><h2>Connect your gateway</h2><p>Run this where OpenClaw runs. It shows the change before it writes, and <code>--undo</code> takes it back.</p>
            <div class="sn"><code><span class="op">$ </span>${COMMAND}</code>${button({ label: 'Copy', icon: 'copy', size: 'small', onClick: () => void copy() })}</div>
            <p class="fr-wait"><span class="spin"></span>Waiting for the plugin's first heartbeat</p></div></li>
          <li class="wait"><span class="no">3</span><div><h2>See the first call</h2><p>Let an agent do anything. Its call shows up in the feed with how it was judged.</p></div></li>
        </ol>
        <p class="ink2">An agent without OpenClaw can be <a href="/agents">registered by hand</a> and given a token.</p>
      </div>
      <aside class="fr-side" aria-label="What you will see"><h2>What you will see here</h2><ul>
        ${WHAT.map(([name, title, text]) => html`<li>${icon(name, 16)}<div><b>${title}</b>${text}</div></li>`)}
      </ul></aside>
    </div>`;
  }
}

const WHAT: readonly (readonly [IconName, string, string])[] = [
  ['circle-pause', 'Approvals', 'Risky calls wait for you: everything red, and yellow for interns.'],
  ['bot', 'Agents', 'Who is alive, what each spends, how old its last heartbeat is.'],
  ['activity', 'Feed', 'Each decision, call and alert as it happens.'],
  ['triangle-alert', 'Alerts', 'A missing gate, a spent budget, a loop.'],
];

async function copy(): Promise<void> {
  try {
    await navigator.clipboard.writeText(COMMAND);
    say('done', 'Copied.');
  } catch {
    say('refused', 'Not copied: the browser did not allow it. Select the text and copy it.');
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'mc-first-run': FirstRunElement;
  }
}
