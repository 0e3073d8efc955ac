/** Finding things by words: every word must occur, what begins with them comes first, then what is newest. Pure. */

export interface Findable {
  kind: 'place' | 'task' | 'agent' | 'approval' | 'call' | 'alert' | 'upstream';
  id: string;
  title: string;
  /** Said beside it, and searched too. */
  about: string;
  /** When it last mattered; 0 = always. */
  at: number;
  /** Where it is. */
  href: string;
}

const BY_NAME = new Set<Findable['kind']>(['place', 'task', 'agent', 'upstream']);

/** The best matches; without words the newest tasks and approvals. At most `limit`. */
export function findMatches(query: string, things: Iterable<Findable>, limit: number): Findable[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found: { thing: Findable; score: number }[] = [];
  for (const thing of things) {
    const score = scoreOf(thing, words);
    if (score > 0) found.push({ thing, score });
  }
  found.sort((a, b) => b.score - a.score || b.thing.at - a.thing.at);
  return found.slice(0, limit).map(({ thing }) => thing);
}

function scoreOf({ kind, title, about }: Findable, words: readonly string[]): number {
  if (words.length === 0) return kind === 'place' ? 0 : 1;
  const name = title.toLowerCase();
  const whole = `${name} ${about.toLowerCase()}`;
  let score = BY_NAME.has(kind) ? 2 : 1;
  for (const word of words) {
    if (!whole.includes(word)) return 0;
    if (name === word || name.split(/\s+/).includes(word)) score += 8;
    else if (name.split(/[\s_/.-]+/).some((part) => part.startsWith(word))) score += 4;
    else if (name.includes(word)) score += 2;
  }
  return score;
}
