/**
 * How old an answer of the server is: it says what held when it was made, and the stream may have told of something newer while it was on
 * its way (a change is answered only once the proxies judge by it). The store leaves such an answer out.
 */

const asked = new WeakMap<object, number>();

/** Remembers when an answer was asked for. @param at by `performance.now()`. */
export function noteAsked(answer: unknown, at: number): void {
  if (typeof answer === 'object' && answer !== null) asked.set(answer, at);
}

/** When this answer was asked for; null = it is none. */
export function askedAt(answer: object): number | null {
  return asked.get(answer) ?? null;
}
