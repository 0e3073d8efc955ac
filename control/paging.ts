/** Cursors of paged lists: opaque to the caller, bounded, and refused when they are not ours. */
import { isStorable } from './contract.ts';
import { Refusal } from './problem.ts';

/** Packs the sort key of the last item of a page. */
export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/**
 * Unpacks a cursor.
 * @param kinds what the sort key of this list consists of.
 * @throws Refusal 400 for anything that `encodeCursor` did not make of such a key.
 */
export function decodeCursor<const K extends readonly ('number' | 'string')[]>(cursor: string, kinds: K): Key<K> {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (Array.isArray(key) && key.length === kinds.length && key.every((part, index) => isPart(part, kinds[index]))) return key as Key<K>;
  } catch {
    // falls through to the refusal below
  }
  throw new Refusal(400, 'BAD_CURSOR', 'This cursor is not one of ours; leave it out to start at the beginning.');
}

type Key<K extends readonly ('number' | 'string')[]> = { [I in keyof K]: K[I] extends 'number' ? number : string };

function isPart(part: unknown, kind: 'number' | 'string' | undefined): boolean {
  return typeof part === 'string' ? kind === 'string' && isStorable(part) : kind === 'number' && Number.isSafeInteger(part);
}

/** A page of a list that is small enough to be read whole (people, gateways, versions, tokens of one owner). */
export function pageOf<T extends { id: string }>(
  items: readonly T[],
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): { items: T[]; nextCursor: string | null } {
  const after = cursor === undefined ? null : decodeCursor(cursor, ['string'])[0];
  const from = after === null ? 0 : items.findIndex((item) => item.id === after) + 1;
  const page = items.slice(from, from + limit);
  const last = page.at(-1);
  return { items: page, nextCursor: last && from + limit < items.length ? encodeCursor([last.id]) : null };
}
