import { describe, expect, it } from 'vitest';
import type { Health } from '../../control/contract.ts';
import { byCoverage, type CoveragePoint, type CoveredAgent, worstOf } from '../../dashboard/elements/coverage.ts';
import { healthSummary, worstFirst } from '../../dashboard/elements/health-text.ts';

type State = Health['parts'][number]['state'];
const parts = (...states: State[]) => states.map((state, i) => ({ group: 'workers', name: `${i}`, state, says: '', at: null }) as const);

describe('the parts together', () => {
  it.each<[State[], string, string]>([
    [['ok', 'unused'], 'green', 'Everything that is in use works.'],
    [['ok', 'unknown'], 'green', 'Everything that is in use works; 1 part cannot be judged from here.'],
    [['ok', 'attention', 'attention'], 'amber', '2 parts need a look.'],
    [['failing', 'attention', 'unknown'], 'red', '1 part does not work, 1 part needs a look, 1 part cannot be judged from here.'],
  ])('%j are %s: %s', (states, tone, text) => expect(healthSummary(parts(...states))).toEqual({ tone, text }));

  it('come with what needs somebody first, else in the order of the server', () => {
    expect(worstFirst(parts('ok', 'unused', 'failing', 'ok', 'attention')).map(({ name }) => name)).toEqual(['2', '4', '0', '3', '1']);
  });
});

describe('the coverage of agents', () => {
  const agent = (name: string, ...states: CoveragePoint['state'][]) =>
    ({ agentId: name, agentName: name, gate: 'openclaw', points: states.map((state) => ({ state })) }) as CoveredAgent;

  it('is as good as the worst way in that is used', () => {
    expect(worstOf(agent('a', 'unused', 'proven', 'unused'))).toBe('proven');
    expect(worstOf(agent('a', 'proven', 'away'))).toBe('away');
    expect(worstOf(agent('a', 'idle', 'bypassed'))).toBe('bypassed');
    expect(worstOf(agent('a', 'unused'))).toBe('unused');
  });

  it('lists first whose gate is not proven', () => {
    const list = [agent('A-1', 'proven'), agent('A-10', 'bypassed'), agent('A-2', 'bypassed'), agent('B', 'away')];
    expect(list.sort(byCoverage).map(({ agentName }) => agentName)).toEqual(['A-2', 'A-10', 'B', 'A-1']);
  });
});
