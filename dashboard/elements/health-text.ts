/** What the parts of the installation say together. Pure. */
import type { Health } from '../../control/contract.ts';
import { plural } from '../words.ts';

type Part = Health['parts'][number];

const ORDER: Record<Part['state'], number> = { failing: 0, attention: 1, unknown: 2, ok: 3, unused: 4 };

/** What needs somebody first; otherwise as the server lists them. */
export function worstFirst(parts: readonly Part[]): Part[] {
  return [...parts].sort((a, b) => ORDER[a.state] - ORDER[b.state]);
}

/** One sentence over all parts. What is not known is named and never counts as well. */
export function healthSummary(parts: readonly Part[]): { tone: 'green' | 'amber' | 'red'; text: string } {
  const count = (state: Part['state']) => parts.filter((part) => part.state === state).length;
  const [failing, attention, unknown] = [count('failing'), count('attention'), count('unknown')];
  const said = [
    ...(failing > 0 ? [`${plural(failing, 'part')} ${failing === 1 ? 'does' : 'do'} not work`] : []),
    ...(attention > 0 ? [`${plural(attention, 'part')} ${attention === 1 ? 'needs' : 'need'} a look`] : []),
    ...(unknown > 0 ? [`${plural(unknown, 'part')} cannot be judged from here`] : []),
  ];
  const tone = failing > 0 ? 'red' : attention > 0 ? 'amber' : 'green';
  return {
    tone,
    text: failing + attention > 0 ? `${said.join(', ')}.` : ['Everything that is in use works', ...said].join('; ').concat('.'),
  };
}
