/**
 * The one spelling of a JSON value (RFC 8785): object keys in UTF-16 order, no spaces, numbers and strings as ECMAScript prints them.
 * Two argument objects are the same call exactly when their canonical texts are equal; digests and approvals rest on that.
 *
 * Our own thirty lines rather than the package `canonicalize`: that one recurses without a bound (a deep value from an agent overflows the
 * stack), drops `undefined` and calls `toJSON`, so what it hashes need not be what was sent.
 */
import type { Json } from './model.ts';

/** How deep arrays and objects may be nested in a call. Deeper values are malformed: no tool needs them and every walk here recurses. */
export const MAX_JSON_DEPTH = 64;

/**
 * @param value plain JSON data, at most {@link MAX_JSON_DEPTH} levels deep.
 * @returns its canonical text. Lone surrogates are escaped, so that different strings never share a text.
 * @throws RangeError when nested too deeply; TypeError for what is not JSON (non-finite numbers, undefined, functions, bigint).
 */
export function canonicalJson(value: Json): string {
  return print(value, 0);
}

/** Parts (values, items, members) that the arguments of one call may have. A megabyte of the smallest would take too long to judge. */
export const MAX_JSON_PARTS = 20_000;

/**
 * Whether a value is plain JSON data that {@link canonicalJson} accepts, of at most so many parts. Never throws; visits each part once.
 * @param parts how many values, items and members it may have; without a limit if absent.
 */
export function isBoundedJson(value: unknown, parts = Number.POSITIVE_INFINITY): value is Json {
  return isBounded(value, 0, { left: parts });
}

function print(value: Json, depth: number): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${value} is not a JSON number`);
    return JSON.stringify(value);
  }
  if (typeof value !== 'object') throw new TypeError(`${typeof value} is not a JSON value`);
  if (depth >= MAX_JSON_DEPTH) throw new RangeError(`JSON nested more than ${MAX_JSON_DEPTH} levels deep`);
  let text = '';
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) text += `${i === 0 ? '' : ','}${print(value[i] as Json, depth + 1)}`;
    return `[${text}]`;
  }
  for (const key of inOrder(Object.keys(value)))
    text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${print(value[key] as Json, depth + 1)}`;
  return `{${text}}`;
}

/** By UTF-16 code units, as RFC 8785 section 3.2.3 asks for; many objects have their keys in order already. */
function inOrder(keys: string[]): string[] {
  for (let i = 1; i < keys.length; i++) if ((keys[i - 1] ?? '') > (keys[i] ?? '')) return keys.sort();
  return keys;
}

function isBounded(value: unknown, depth: number, budget: { left: number }): boolean {
  if (--budget.left < 0) return false;
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value);
    case 'object': {
      if (value === null) return true;
      if (depth >= MAX_JSON_DEPTH) return false;
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) if (!isBounded(value[i], depth + 1, budget)) return false;
        return true;
      }
      // Only own properties count: an inherited one is not part of the call.
      for (const key of Object.keys(value)) if (!isBounded((value as Record<string, unknown>)[key], depth + 1, budget)) return false;
      return true;
    }
    default:
      return false;
  }
}
