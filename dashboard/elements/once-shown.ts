/** A secret that is shown this once, with a way to copy it. */
import { html, type TemplateResult } from 'lit';
import { say } from '../notices.ts';
import { button } from './parts.ts';
import './once-shown.css';

/** @param text what it is for, one sentence. */
export function onceShown(secret: string, text: string): TemplateResult {
  return html`<p class="ink2">Copy it now: it is shown this once and stored only as a hash. ${text}</p>
    <p class="once"><code>${secret}</code></p>
    ${button({ label: 'Copy the token', icon: 'copy', kind: 'go', size: 'large', block: true, onClick: () => void copy(secret) })}`;
}

async function copy(secret: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(secret);
    say('done', 'Copied.');
  } catch {
    say('refused', 'Not copied: the browser did not allow it. Select the text and copy it.');
  }
}
