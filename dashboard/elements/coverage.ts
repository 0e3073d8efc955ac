/** How well the gate is proven for one agent: each way in with what shows it, how old that is, and what it does not show. Pure. */
import { html, nothing, type TemplateResult } from 'lit';
import type { Coverage } from '../../control/contract.ts';
import { age, COVERAGE_ENTRY_WORDS, COVERAGE_STATE_WORDS, coverageHow } from '../words.ts';
import { icon } from './icon.ts';
import { moment, seen } from './parts.ts';
import './coverage.css';

export type CoveredAgent = Coverage['agents'][number];
export type CoveragePoint = CoveredAgent['points'][number];

/** What asks for somebody first; the smaller, the sooner. */
const ORDER: Record<CoveragePoint['state'], number> = { bypassed: 0, away: 1, idle: 2, proven: 3, unused: 4 };
const TONES: Record<CoveragePoint['state'], 'red' | 'amber' | 'green' | 'ink'> = {
  bypassed: 'red',
  away: 'amber',
  idle: 'green',
  proven: 'green',
  unused: 'ink',
};

/** The state that speaks for an agent: the worst of its ways in that is used at all. */
export function worstOf({ points }: CoveredAgent): CoveragePoint['state'] {
  return points.map(({ state }) => state).reduce((worst, state) => (ORDER[state] < ORDER[worst] ? state : worst), 'unused' as const);
}

/** Those whose gate is not proven first, then by name. */
export function byCoverage(a: CoveredAgent, b: CoveredAgent): number {
  return ORDER[worstOf(a)] - ORDER[worstOf(b)] || a.agentName.localeCompare(b.agentName, 'en', { numeric: true });
}

/** A state as shield and word. */
export function coverageMark(state: CoveragePoint['state']): TemplateResult {
  const tone = TONES[state];
  if (tone === 'ink') return html`<span class="muted">${COVERAGE_STATE_WORDS[state]}</span>`;
  return html`<span class="bare m-${tone}">${icon(tone === 'green' ? 'shield-check' : 'shield-alert', 14)}${COVERAGE_STATE_WORDS[state]}</span>`;
}

/** Every way in of one agent. @param now the server's time. */
export function coverageRows({ points }: CoveredAgent, now: number): TemplateResult {
  return html`<ul class="cv">${points.map(
    (point) => html`<li class="cv-r">
      <span class="cv-h"><b class="b">${COVERAGE_ENTRY_WORDS[point.entry]}</b> ${coverageMark(point.state)}
        ${point.provenAt === null ? nothing : html`<span class="end muted nb">${coverageHow(point.how)} ${moment(point.provenAt, age(now - point.provenAt))} ago</span>`}</span>
      <span class="muted">${seen(point.says)}</span>
    </li>`,
  )}</ul>`;
}
