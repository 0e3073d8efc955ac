/**
 * JSON as text that several programs read: what is judged here is parsed by others again, from the same bytes. What they could read in
 * another way is found, so that it can be refused.
 */
import type { Json } from '../policies/index.ts';

/**
 * Why two readers could understand a text differently: a key that occurs twice in an object, or a number that a double does not hold.
 * Every key has one colon outside of strings, so as many colons as keys means that no key was lost.
 */
export function ambiguityOf(text: string, value: Json): string | null {
  let colons = 0;
  let longNumber = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) at = endOfString(text, at);
    else if (code === 0x3a) colons++;
    else if (code >= 0x30 && code <= 0x39) {
      const start = at;
      while (at + 1 < text.length && isNumberPart(text.charCodeAt(at + 1))) at++;
      if (at - start >= 15 && !isExact(text.slice(start, at + 1))) longNumber = true;
    }
  }
  if (colons !== countKeys(value)) return 'An object of this message has the same key twice.';
  return longNumber ? 'A number of this message has more digits than JSON readers agree on; send it as text.' : null;
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at++;
    else if (code === 0x22) return at;
  }
  return text.length;
}

/** Digits, ".", "e", "E", "+", "-". */
function isNumberPart(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2e || code === 0x65 || code === 0x45 || code === 0x2b || code === 0x2d;
}

/** Whole numbers must be exact; fractions are approximate for everybody. */
function isExact(source: string): boolean {
  return /[.eE]/.test(source) ? Number.isFinite(Number(source)) : Number.isSafeInteger(Number(source));
}

function countKeys(value: Json): number {
  if (typeof value !== 'object' || value === null) return 0;
  let count = 0;
  if (Array.isArray(value)) {
    for (const item of value) count += countKeys(item);
    return count;
  }
  for (const key of Object.keys(value)) count += 1 + countKeys(value[key] as Json);
  return count;
}
