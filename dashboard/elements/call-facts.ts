/**
 * What is known of a call before it runs, as templates: why it is held or was refused, which folder, paths and hosts it would touch,
 * whom it would reach and what it would write, and its arguments. The judgement is the server's; nothing is judged here.
 */
import { html, nothing, type TemplateResult } from 'lit';
import type { Preview } from '../../control/contract.ts';
import type { HostReading, PathReading, Reason } from '../../policies/model.ts';
import { callMoney } from '../words.ts';
import { changesOf } from './change-text.ts';
import { type MessageReading, messageOf } from './message-text.ts';
import './file-change.ts';
import { glyph } from './glyph.ts';
import { seen } from './parts.ts';
import './voice.ts';
import './call-facts.css';

/** Every reason, each with its code, its sentence and the policy line it came from. */
export function reasonRows(reasons: readonly Reason[], tone: 'held' | 'denied' | 'allowed'): TemplateResult {
  const mark = { held: glyph('bars', 'amber'), denied: glyph('cross', 'red'), allowed: glyph('tick', 'green') }[tone];
  return html`<ul class="rss">${reasons.map(
    (reason) =>
      html`<li class="rs">${mark}<code>${reason.code}</code><span class="ink2">${seen(reason.message)}</span><code class="rs-p" title="Where it stands in the policy">${reason.policyPath}</code></li>`,
  )}</ul>`;
}

export interface Effects {
  preview: Preview | null;
  tool: string | null;
  /** As recorded: redacted. */
  arguments: Record<string, unknown> | null;
  cwd: string | null;
  workspace: string | null;
  /** USD; null = not known before. */
  estimatedCost: number | null;
}

/** Whom it reaches, which paths and hosts it would touch, from which folder, at which price, and what it would write: what would happen if it ran. */
export function effectRows({ preview, tool, arguments: args, cwd, workspace, estimatedCost }: Effects): TemplateResult {
  const mapped = preview && preview.mappedTool !== tool ? preview.mappedTool : null;
  const read = { tool, mappedTool: preview?.mappedTool ?? tool, arguments: args };
  const message = messageOf(read);
  return html`<dl class="kv kv--facts">
    ${tool ? html`<dt>Tool</dt><dd><code>${seen(tool)}</code>${mapped ? html` <span class="muted">judged as</span> <code>${seen(mapped)}</code>` : nothing}</dd>` : nothing}
    ${message ? messageRows(message) : nothing}
    ${preview?.paths.length ? html`<dt>Paths</dt><dd><ul class="ef">${preview.paths.map((path) => pathRow(path))}</ul>${atLimit(preview.paths)}</dd>` : nothing}
    ${preview?.hosts.length ? html`<dt>Hosts</dt><dd><ul class="ef">${preview.hosts.map((host) => hostRow(host))}</ul>${atLimit(preview.hosts)}</dd>` : nothing}
    <dt>Folder</dt>
    <dd>${cwd ? html`<code>${seen(cwd)}</code>` : html`<span class="muted">not named</span>`}${workspace && workspace !== cwd ? html`<br /><span class="muted">workspace</span> <code>${seen(workspace)}</code>` : nothing}</dd>
    <dt>Price</dt>
    <dd>${estimatedCost ? html`${callMoney(estimatedCost)} <span class="muted">at most, estimated</span>` : html`<span class="muted">no charge of its own</span>`}</dd>
  </dl>
  ${changesOf(read).map((change) => html`<mc-file-change .change=${change}></mc-file-change>`)}`;
}

/** The same in brief, for a card on a phone: whom it reaches, which hosts, what it would write. Nothing where the command itself says it all. */
export function effectBrief({ preview, tool, arguments: args }: Effects): TemplateResult | typeof nothing {
  const read = { tool, mappedTool: preview?.mappedTool ?? tool, arguments: args };
  const message = messageOf(read);
  // A command names its hosts itself.
  const hosts = preview?.commands.length ? [] : (preview?.hosts ?? []);
  const changes = changesOf(read);
  if (!message && hosts.length === 0 && changes.length === 0) return nothing;
  return html`${message || hosts.length ? html`<dl class="kv kv--facts kv--brief">${message ? messageRows(message) : nothing}${hosts.length ? html`<dt>Hosts</dt><dd><ul class="ef">${hosts.map((host) => hostRow(host))}</ul></dd>` : nothing}</dl>` : nothing}
  ${changes.map((change) => html`<mc-file-change .change=${change}></mc-file-change>`)}`;
}

/** A card keeps this many readings of a kind (proxy/record.ts); all of the call stands under its arguments. */
const KEPT_READINGS = 100;

/** Says that readings may be missing, where as many came as are kept. */
export function atLimit(readings: readonly unknown[]): TemplateResult | typeof nothing {
  if (readings.length < KEPT_READINGS) return nothing;
  return html`<p class="small m-amber">The first ${KEPT_READINGS} are shown. The whole call stands under Arguments.</p>`;
}

function messageRows({ recipients, channel, subject, text, attachments }: MessageReading): TemplateResult {
  return html`<dt>To</dt>
    <dd>${
      recipients.length
        ? html`<ul>${recipients.map(({ as, who }) => html`<li><code>${seen(who)}</code>${as === 'to' ? nothing : html` <span class="muted">${as}</span>`}</li>`)}</ul>`
        : html`<span class="m-amber">The call names nobody; the tool itself decides where it goes.</span>`
    }</dd>
    ${channel === null ? nothing : html`<dt>By</dt><dd><code>${seen(channel)}</code></dd>`}
    ${subject === null ? nothing : html`<dt>Subject</dt><dd><mc-voice .text=${subject}></mc-voice></dd>`}
    ${text === null ? nothing : html`<dt>Says</dt><dd><mc-voice .text=${text}></mc-voice></dd>`}
    ${attachments.length ? html`<dt>With</dt><dd><ul>${attachments.map((name) => html`<li><code>${seen(name)}</code></li>`)}</ul></dd>` : nothing}`;
}

function pathRow(path: PathReading): TemplateResult {
  const mark = { inside: glyph('tick', 'green'), outside: glyph('bars', 'amber'), config: glyph('bars', 'amber') }[path.verdict];
  const moved = path.path !== null && path.path !== path.given;
  return html`<li>${mark}<span><code>${seen(path.path ?? path.given)}</code> <span class="muted">${path.use}${path.secret ? html`, <b class="m-red b">secret file</b>` : nothing}${moved ? html`, given as <code>${seen(path.given)}</code>` : nothing}</span><br /><span class=${path.verdict === 'inside' ? 'muted' : 'm-amber'}>${seen(path.why)}</span></span></li>`;
}

function hostRow(host: HostReading): TemplateResult {
  const mark = { listed: glyph('tick', 'green'), not_listed: glyph('bars', 'amber'), refused: glyph('cross', 'red') }[host.verdict];
  const name = host.host === null ? host.given : `${host.host}${host.port === null ? '' : `:${host.port}`}`;
  const tone = { listed: 'muted', not_listed: 'm-amber', refused: 'm-red' }[host.verdict];
  const whole = host.given !== name && host.given !== host.host;
  return html`<li>${mark}<span><code>${seen(name)}</code>${host.scheme ? html` <span class="muted">${seen(host.scheme)}</span>` : nothing}${whole ? html`<br /><span class="muted">given as <code>${seen(host.given)}</code></span>` : nothing}<br /><span class="muted">${resolution(host)}</span><br /><span class=${tone}>${seen(host.why)}</span></span></li>`;
}

/** Gate calls are dialled by OpenClaw, or by the egress proxy, which resolves and checks the address then. */
function resolution({ addresses }: HostReading): unknown {
  if (!addresses?.length) return 'its address is not known before it is dialled';
  return html`resolves to ${addresses.map((address, i) => html`${i > 0 ? ', ' : nothing}<code>${seen(address)}</code>`)}`;
}

/** Arguments as they came, one block per argument so that long texts keep their lines. */
export function argumentBlocks(values: Record<string, unknown> | null): TemplateResult {
  const entries = Object.entries(values ?? {});
  if (entries.length === 0) return html`<p class="small muted">No arguments.</p>`;
  return html`<dl class="args">${entries.map(
    ([name, value]) =>
      html`<dt><code>${seen(name)}</code></dt><dd><mc-voice .text=${typeof value === 'string' ? value : JSON.stringify(value, null, 2)}></mc-voice></dd>`,
  )}</dl>`;
}
