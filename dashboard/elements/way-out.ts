/**
 * A link that leads out of the dashboard, to be pressed by the person: where it leads is said in full, it opens beside this page, and it is
 * good only for a while. An address that is no web address is shown and leads nowhere.
 */
import { html, type TemplateResult } from 'lit';
import { clock } from '../words.ts';
import { moment, seen } from './parts.ts';
import './way-out.css';

export interface WayOut {
  url: string;
  /** Until when the address works, epoch ms. */
  expiresAt: number;
}

export function wayOut({ url, expiresAt }: WayOut, label: string, explanation: string): TemplateResult {
  const leads = URL.parse(url, location.href);
  const isWeb = leads !== null && /^https?:$/.test(leads.protocol);
  return html`<p class="ink2">${explanation}</p>
    <p class="way-out"><code>${seen(isWeb ? `${leads.origin}${leads.pathname}` : url)}</code></p>
    ${isWeb ? html`<a class="btn btn--go btn--l btn--block" href=${leads.href} target="_blank" rel="noreferrer" data-focus>${label}</a>` : html`<p class="refusal" role="alert">This is no web address; it cannot be opened here.</p>`}
    <p class="small muted">Good until ${moment(expiresAt, clock(expiresAt))}, once.</p>`;
}
