/** What the drills say together, and of each what has to be read first. Pure. */
import type { DrillCard } from '../../control/contract.ts';
import { DRILL_WORDS, plural } from '../words.ts';

export type DrilledMode = DrillCard['items'][number];

const ORDER = { failed: 0, inconclusive: 1, never: 2, passed: 3 } as const;

/** Fail modes that are broken first, then those of which nothing is proven. */
export function worstDrillFirst(items: readonly DrilledMode[]): DrilledMode[] {
  return [...items].sort((a, b) => ORDER[a.outcome ?? 'never'] - ORDER[b.outcome ?? 'never']);
}

/** One sentence over all drills. What has not run, or shows nothing, is named and never counts as proven. */
export function drillSummary(items: readonly DrilledMode[]): { tone: 'green' | 'amber' | 'red'; text: string } {
  const of = (outcome: DrilledMode['outcome']) => items.filter((item) => item.outcome === outcome);
  const [failed, nothing, never] = [of('failed'), of('inconclusive').length, of(null).length];
  const unproven = [
    ...(nothing > 0 ? [`${nothing} ${nothing === 1 ? 'shows' : 'show'} nothing with this policy`] : []),
    ...(never > 0 ? [`${never} ${never === 1 ? 'has' : 'have'} not run in 30 days`] : []),
  ];
  if (failed.length > 0)
    return {
      tone: 'red',
      text: `${failed.map(({ name }) => DRILL_WORDS[name]).join(', ')}: ${failed.length === 1 ? 'it does' : 'they do'} not end as declared.`,
    };
  const passed = of('passed').length;
  return {
    tone: unproven.length > 0 ? 'amber' : 'green',
    text: `${[`${passed} of ${plural(items.length, 'drill')} ended as declared`, ...unproven].join(', ')}.`,
  };
}

/** Proxies at which it did not end as declared, with what was seen there. */
export function failuresOf({ results }: DrilledMode): DrilledMode['results'] {
  return results.filter(({ outcome }) => outcome === 'failed');
}
