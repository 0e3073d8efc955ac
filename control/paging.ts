/** Cursors of paged lists: opaque to the caller, bounded, and refused when they are not ours. */
import { Refusal } from './problem.ts';

/** Packs the sort key of the last item of a page. */
export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key)).toString('base64url');
}

/** @throws Refusal 400 for anything that `encodeCursor` did not make. */
export function decodeCursor(cursor: string): (string | number)[] {
  try {
    const key: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
    if (
      Array.isArray(key) &&
      key.length > 0 &&
      key.length <= 3 &&
      key.every((part) => typeof part === 'string' || Number.isSafeInteger(part))
    )
      return key as (string | number)[];
  } catch {
    // falls through to the refusal below
  }
  throw new Refusal(400, 'BAD_CURSOR', 'This cursor is not one of ours; leave it out to start at the beginning.');
}

/** A page of a list that is small enough to be read whole (people, gateways, versions, tokens of one owner). */
export function pageOf<T extends { id: string }>(
  items: readonly T[],
  { limit, cursor }: { limit: number; cursor?: string | undefined },
): { items: T[]; nextCursor: string | null } {
  const after = cursor === undefined ? null : decodeCursor(cursor)[0];
  const from = after === null ? 0 : items.findIndex((item) => item.id === after) + 1;
  const page = items.slice(from, from + limit);
  const last = page.at(-1);
  return { items: page, nextCursor: last && from + limit < items.length ? encodeCursor([last.id]) : null };
}
