/** Calls that a draft judges otherwise than the policy in force: how many of each kind, with examples; what gets looser is said in red. */
import { html, nothing, type TemplateResult } from 'lit';
import type { Replay } from '../../control/contract.ts';
import { FLIP_KINDS, type FlipKind, type Verdict } from '../../policies/model.ts';
import { count, VERDICT_WORDS } from '../words.ts';
import { riskGlyph, verdictGlyph } from './glyph.ts';
import { icon } from './icon.ts';
import { seenLine } from './parts.ts';
import './flip-list.css';

type Result = NonNullable<Replay['result']>;
export type Flip = Result['redFlips']['items'][number];

const SIDES: Record<FlipKind, readonly [Verdict, Verdict]> = {
  allowToHold: ['allow', 'hold'],
  allowToDeny: ['allow', 'deny'],
  holdToAllow: ['hold', 'allow'],
  holdToDeny: ['hold', 'deny'],
  denyToAllow: ['deny', 'allow'],
  denyToHold: ['deny', 'hold'],
};
const EXAMPLES = 3;

export interface Flips {
  /** How many of each kind. */
  counts: Readonly<Record<FlipKind, number>>;
  examples: Readonly<Record<FlipKind, readonly Flip[]>>;
  /** Name of an agent by its id. */
  nameOf: (agentId: string) => string | undefined;
}

/** Every kind that occurs, the most frequent first. */
export function flipList({ counts, examples, nameOf }: Flips): TemplateResult | typeof nothing {
  const kinds = FLIP_KINDS.filter((kind) => counts[kind] > 0).sort((a, b) => counts[b] - counts[a]);
  if (kinds.length === 0) return nothing;
  return html`<ul class="fl">${kinds.map((kind) => {
    const [before, after] = SIDES[kind];
    return html`<li>
      <p class="fl-h"><span class="bare">${verdictGlyph(before)}${VERDICT_WORDS[before]}</span>${icon('arrow-right', 12, 'k-ink')}<span class="bare">${verdictGlyph(after)}${VERDICT_WORDS[after]}</span><b class="end">${count(counts[kind])}</b></p>
      ${flipRows(examples[kind].slice(0, EXAMPLES), nameOf)}
    </li>`;
  })}</ul>`;
}

/** One row per call: its risk under the draft, what it was, whose, and why it would be judged so. */
export function flipRows(flips: readonly Flip[], nameOf: Flips['nameOf']): TemplateResult {
  return html`<ul class="fl-r">${flips.map(
    (flip) =>
      html`<li>${riskGlyph(flip.after.risk)}<code>${seenLine(`${flip.tool} ${flip.summary}`)}</code><span class="small muted nb">${flip.source === 'case' ? 'shipped case' : flip.agentId === null ? '' : (nameOf(flip.agentId) ?? '')}</span></li>`,
  )}</ul>`;
}
