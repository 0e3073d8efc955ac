/**
 * The report card of the drills: what is taken away, what is declared to happen then, how it last went at each proxy and before. A fail mode
 * that is broken is open, red and says in words what was declared and what was seen.
 */
import { html, nothing, type TemplateResult } from 'lit';
import { age, DRILL_OUTCOME_WORDS, DRILL_WORDS, took } from '../words.ts';
import { type DrilledMode, failuresOf } from './drill-text.ts';
import { glyph } from './glyph.ts';
import { button, moment, seen } from './parts.ts';
import './drills.css';

export interface DrillRowContext {
  /** The server's time. */
  now: number;
  /** Why no drill can be run now, and the id of where that stands. */
  against: string | null;
  againstId: string;
  /** Whether its results are awaited. */
  running: (name: DrilledMode['name']) => boolean;
  onRun: (name: DrilledMode['name']) => void;
  onRefused: () => void;
}

type Outcome = DrilledMode['results'][number]['outcome'];

const TONES = { passed: 'green', inconclusive: 'amber', failed: 'red' } as const;

/** Every drill, each to be opened. @param items in the order in which they are shown. */
export function drillRows(items: readonly DrilledMode[], context: DrillRowContext): TemplateResult {
  return html`<ul class="dr">${items.map((item) => drillRow(item, context))}</ul>`;
}

function drillRow(item: DrilledMode, context: DrillRowContext): TemplateResult {
  const failures = failuresOf(item);
  return html`<li class=${failures.length > 0 ? 'dr-r dr-r--red' : 'dr-r'}><details ?open=${failures.length > 0}>
    <summary class="dr-s"><span class="dr-g">${markOf(item.outcome)}</span><b class="b">${DRILL_WORDS[item.name]}</b><span class="dr-d ink2">${item.declares}</span><span class="dr-o">${word(item.outcome)}${item.at === null ? nothing : html`<span class="muted nb">${age(context.now - item.at)} ago</span>`}</span></summary>
    <div class="dr-b">
      ${failures.map(
        ({ proxyId, found }) =>
          html`<dl class="kv dr-f"><dt>Declared</dt><dd>${item.declares}</dd><dt>Seen at ${proxyId}</dt><dd class="m-red b">${seen(found)}</dd><dt>Next</dt><dd>Run it again. If it fails again, treat that proxy as one that may let calls through: stop it, or press the emergency stop, and go back to the version before.</dd></dl>`,
      )}
      ${
        item.results.length === 0
          ? html`<p class="small muted">It has not run in the last 30 days, so nothing is proven.</p>`
          : html`<ul class="dr-l">${item.results.map((run) => html`<li><span class="dr-g">${markOf(run.outcome)}</span><span>${seen(run.proxyId)}, ${DRILL_OUTCOME_WORDS[run.outcome]}: <span class="ink2">${seen(run.found)}</span></span><span class="muted nb">${moment(run.at, `${age(context.now - run.at)} ago`)}, ${took(run.durationMs)}</span></li>`)}</ul>`
      }
      ${item.history.length > 1 ? history(item) : nothing}
      <p class="dr-a">${button({ label: `Run ${DRILL_WORDS[item.name]}`, icon: 'play', size: 'small', kind: 'quiet', reason: context.against, reasonId: context.againstId, busy: context.running(item.name) ? 'Running' : null, onClick: () => context.onRun(item.name), onRefused: context.onRefused })}</p>
    </div>
  </details></li>`;
}

/** The last results as a row of marks, oldest first. */
function history({ history: runs }: DrilledMode): TemplateResult {
  const oldestFirst = [...runs].reverse();
  return html`<div class="dr-h"><span class="lbl">Last ${runs.length}, oldest first</span><ol>${oldestFirst.map((run) => html`<li title="${new Date(run.at).toISOString()}, ${run.proxyId}: ${DRILL_OUTCOME_WORDS[run.outcome]}">${markOf(run.outcome)}<span class="sr">${DRILL_OUTCOME_WORDS[run.outcome]}, ${run.proxyId}</span></li>`)}</ol></div>`;
}

function markOf(outcome: Outcome | null): TemplateResult {
  if (outcome === null) return glyph('clock', 'ink');
  return glyph(outcome === 'passed' ? 'tick' : outcome === 'failed' ? 'cross' : 'bars', TONES[outcome]);
}

function word(outcome: Outcome | null): TemplateResult {
  if (outcome === null) return html`<span class="muted">not run</span>`;
  return html`<span class="m-${TONES[outcome]} ${outcome === 'failed' ? 'b' : ''}">${DRILL_OUTCOME_WORDS[outcome]}</span>`;
}
