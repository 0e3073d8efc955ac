import { describe, expect, it } from 'vitest';
import { type Findable, findMatches, groupFindings, markWords } from '../../dashboard/elements/search-text.ts';

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

  it('puts what the server found beside what the page knows, by kind, each thing once and as the page tells it', () => {
    const hits = [
      { ...thing('call', 'exec', 5, 'old one that npm ran'), id: 'old' },
      { ...thing('call', 'exec', 60, 'told differently'), id: 'exec npm publish' },
      thing('message', 'Jon Reyes', 40, 'no word of the query'),
      { ...thing('agent', 'Forge-03 as stored', 1, 'wrote about npm'), id: 'Forge-03' },
    ];
    const groups = groupFindings('npm', THINGS.slice(0, 5), hits, 5);
    expect(groups.map(({ kind, items }) => [kind, ...items.map(({ at, about }) => `${at} ${about}`)])).toEqual([
      ['call', '50 Forge-03', '5 old one that npm ran'],
      ['agent', '20 wrote about npm'],
      ['message', '40 no word of the query'],
    ]);
  });

  it('says where there is more of a kind, and puts the kind with the best match first', () => {
    const [first, second] = groupFindings('forge', THINGS, [], 1);
    expect([first?.kind, second?.kind]).toEqual(['task', 'agent']);
    expect([first?.items.length, first?.more]).toEqual([1, true]);
  });
});

describe('what is marked', () => {
  const hits = (text: string, ...words: string[]) => markWords(text, words).map((piece) => (piece.hit ? `[${piece.text}]` : piece.text));

  it('is every place of every word, the longest where two stand, and nothing is lost', () => {
    expect(hits('Ship the SHIPMENT', 'ship', 'shipment')).toEqual(['[Ship]', ' the ', '[SHIPMENT]']);
    expect(hits('npm publish', 'x')).toEqual(['npm publish']);
    expect(hits('', 'x')).toEqual([]);
  });

  it('is nothing where lowering changes the length', () => {
    expect(hits('\u0130stanbul', 'stan')).toEqual(['\u0130stanbul']);
  });
});
