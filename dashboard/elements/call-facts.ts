/**
 * What is known of a call before it runs, as templates: why it is held or was refused, which folder, paths and hosts it would touch,
 * and its arguments. All of it as the server read it; nothing is worked out here.
 */
import { html, nothing, type TemplateResult } from 'lit';
import type { Preview } from '../../control/contract.ts';
import type { HostReading, PathReading, Reason } from '../../policies/model.ts';
import { callMoney } from '../words.ts';
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
  cwd: string | null;
  workspace: string | null;
  /** USD; null = not known before. */
  estimatedCost: number | null;
}

/** Folder, paths, hosts and price: what would happen if it ran. */
export function effectRows({ preview, tool, cwd, workspace, estimatedCost }: Effects): TemplateResult {
  const mapped = preview && preview.mappedTool !== tool ? preview.mappedTool : null;
  return html`<dl class="kv kv--facts">
    ${tool ? html`<dt>Tool</dt><dd><code>${seen(tool)}</code>${mapped ? html` <span class="muted">judged as</span> <code>${mapped}</code>` : nothing}</dd>` : nothing}
    <dt>Folder</dt>
    <dd>${cwd ? html`<code>${seen(cwd)}</code>` : html`<span class="muted">not named</span>`}${workspace && workspace !== cwd ? html`<br /><span class="muted">workspace</span> <code>${seen(workspace)}</code>` : nothing}</dd>
    ${preview?.paths.length ? html`<dt>Paths</dt><dd><ul class="ef">${preview.paths.map(pathRow)}</ul></dd>` : nothing}
    ${preview?.hosts.length ? html`<dt>Hosts</dt><dd><ul class="ef">${preview.hosts.map(hostRow)}</ul></dd>` : nothing}
    <dt>Price</dt>
    <dd>${estimatedCost ? html`${callMoney(estimatedCost)} <span class="muted">at most, estimated</span>` : html`<span class="muted">no charge of its own</span>`}</dd>
  </dl>`;
}

function pathRow(path: PathReading): TemplateResult {
  const mark = { inside: glyph('tick', 'green'), outside: glyph('bars', 'amber'), config: glyph('bars', 'amber') }[path.verdict];
  const moved = path.path !== null && path.path !== path.given;
  return html`<li>${mark}<span><code>${seen(path.path ?? path.given)}</code> <span class="muted">${path.use}${path.secret ? html`, <b class="m-red b">secret file</b>` : nothing}${moved ? html`, given as <code>${seen(path.given)}</code>` : nothing}</span><br /><span class=${path.verdict === 'inside' ? 'muted' : 'm-amber'}>${path.why}</span></span></li>`;
}

function hostRow(host: HostReading): TemplateResult {
  const mark = { listed: glyph('tick', 'green'), not_listed: glyph('bars', 'amber'), refused: glyph('cross', 'red') }[host.verdict];
  const name = host.host === null ? host.given : `${host.host}${host.port === null ? '' : `:${host.port}`}`;
  const tone = { listed: 'muted', not_listed: 'm-amber', refused: 'm-red' }[host.verdict];
  return html`<li>${mark}<span><code>${seen(name)}</code>${host.scheme ? html` <span class="muted">${host.scheme}</span>` : nothing}<br /><span class=${tone}>${host.why}</span></span></li>`;
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
