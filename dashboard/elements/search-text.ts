/**
 * Finding things by words: every word must occur; what begins with them comes first, then what is newest. What this page has and what the
 * server found in its record become one list, by kind. Pure.
 */

/** Everything that can be found, in the order in which kinds stand that match equally well. */
export const FOUND_KINDS = ['place', 'task', 'agent', 'approval', 'message', 'call', 'alert', 'upstream', 'audit'] as const;
export type FoundKind = (typeof FOUND_KINDS)[number];

export interface Findable {
  kind: FoundKind;
  id: string;
  title: string;
  /** Said beside it, and searched too. May be text of an agent. */
  about: string;
  /** When it last mattered; 0 = always. */
  at: number;
  /** Where it is. */
  href: string;
}

/** The best of one kind. */
export interface FoundGroup {
  kind: FoundKind;
  items: readonly Findable[];
  /** More of this kind were found than are here. */
  more: boolean;
}

const BY_NAME = new Set<FoundKind>(['place', 'task', 'agent', 'upstream']);

/** The words of a query, in lower case. */
export function wordsOf(query: string): string[] {
  return query.toLowerCase().split(/\s+/).filter(Boolean);
}

/** The best matches; without words the newest, and no places. At most `limit`. */
export function findMatches(query: string, things: Iterable<Findable>, limit: number): Findable[] {
  const words = wordsOf(query);
  const found: Scored[] = [];
  for (const thing of things) {
    const score = scoreOf(thing, words);
    if (score > 0) found.push({ thing, score });
  }
  return found
    .sort(byScore)
    .slice(0, limit)
    .map(({ thing }) => thing);
}

/**
 * What was found by kind: the kind with the best match first, in it the best, then the newest. What is in both lists is told as this page
 * knows it, with the words that only the server saw. `hits` are taken to match, whatever their words: the server looked at more than is shown of them.
 * @param each at most so many of a kind
 */
export function groupFindings(query: string, things: Iterable<Findable>, hits: readonly Findable[], each: number): FoundGroup[] {
  const words = wordsOf(query);
  const found = new Map<string, Scored>();
  for (const thing of hits) found.set(keyOf(thing), { thing, score: Math.max(1, scoreOf(thing, words)) });
  for (const thing of things) {
    const [key, score] = [keyOf(thing), scoreOf(thing, words)];
    const hit = found.get(key);
    if (score > 0) found.set(key, { thing, score });
    else if (hit) found.set(key, { thing: { ...thing, about: hit.thing.about }, score: hit.score });
  }
  return [...Map.groupBy(found.values(), ({ thing }) => thing.kind)]
    .map(([kind, all]) => ({ kind, sorted: all.sort(byScore) }))
    .sort((a, b) => (b.sorted[0]?.score ?? 0) - (a.sorted[0]?.score ?? 0) || FOUND_KINDS.indexOf(a.kind) - FOUND_KINDS.indexOf(b.kind))
    .map(({ kind, sorted }) => ({ kind, items: sorted.slice(0, each).map(({ thing }) => thing), more: sorted.length > each }));
}

/** One thing, whichever list it came from. */
export function keyOf({ kind, id }: Pick<Findable, 'kind' | 'id'>): string {
  return `${kind} ${id}`;
}

/** A text in pieces, those that a word of the query found marked. The pieces in this order are the whole text. */
export function markWords(text: string, words: readonly string[]): { text: string; hit: boolean }[] {
  const lower = text.toLowerCase();
  // Lowering can change the length of rare letters; then nothing is marked rather than the wrong piece.
  if (words.length === 0 || lower.length !== text.length) return [{ text, hit: false }];
  const pieces: { text: string; hit: boolean }[] = [];
  let from = 0;
  while (from < text.length) {
    const [at, word] = nextOf(lower, words, from);
    if (word === undefined) break;
    if (at > from) pieces.push({ text: text.slice(from, at), hit: false });
    pieces.push({ text: text.slice(at, at + word.length), hit: true });
    from = at + word.length;
  }
  if (from < text.length) pieces.push({ text: text.slice(from), hit: false });
  return pieces;
}

/** The earliest place of a word, and the longest word that stands there. */
function nextOf(lower: string, words: readonly string[], from: number): [at: number, word: string | undefined] {
  let best: [number, string | undefined] = [lower.length, undefined];
  for (const word of words) {
    const at = lower.indexOf(word, from);
    if (at >= 0 && (at < best[0] || (at === best[0] && word.length > (best[1]?.length ?? 0)))) best = [at, word];
  }
  return best;
}

interface Scored {
  thing: Findable;
  score: number;
}

function byScore(a: Scored, b: Scored): number {
  return b.score - a.score || b.thing.at - a.thing.at;
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
