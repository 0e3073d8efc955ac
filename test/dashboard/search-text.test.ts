import { describe, expect, it } from 'vitest';
import { type Findable, findMatches } from '../../dashboard/elements/search-text.ts';

const thing = (kind: Findable['kind'], title: string, at = 0, about = ''): Findable => ({ kind, id: title, title, about, at, href: '/' });
const THINGS = [
  thing('place', 'Board'),
  thing('task', 'MC-431 Ship the 2.4 packages', 30, 'In progress, Forge-03'),
  thing('task', 'MC-43 Forge a plan', 10, 'Inbox'),
  thing('agent', 'Forge-03', 20, 'Active, lead'),
  thing('call', 'exec npm publish', 50, 'Forge-03'),
  thing('call', 'exec npm publish', 60, 'Scout-05'),
];
const titles = (query: string) => findMatches(query, THINGS, 10).map(({ title, about }) => (about ? `${title} (${about})` : title));

describe('the search', () => {
  it('finds what has every word, in its title or beside it', () => {
    expect(titles('publish forge')).toEqual(['exec npm publish (Forge-03)']);
    expect(titles('publish nothing')).toEqual([]);
  });

  it('puts a whole name first, then what begins with the word, then what is newest', () => {
    expect(titles('MC-43')[0]).toContain('MC-43 Forge');
    expect(titles('forge')[0]).toContain('MC-43 Forge a plan');
    expect(titles('forge-03')[0]).toContain('Forge-03 (Active');
    expect(titles('npm')).toEqual(['exec npm publish (Scout-05)', 'exec npm publish (Forge-03)']);
  });

  it('without words shows what is newest, and no places; never more than asked for', () => {
    expect(titles('')[0]).toContain('Scout-05');
    expect(titles('')).not.toContain('Board');
    expect(findMatches('e', THINGS, 2)).toHaveLength(2);
  });
});
