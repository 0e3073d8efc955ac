/**
 * An approver edits what a card shows, which is redacted; what runs is made from the caller's own original (SPEC 6). So the
 * edit is kept as a JSON Merge Patch (RFC 7396) between what was shown and what came back, and applied to the original: a
 * placeholder that was left alone means the original value.
 */
import { applyPatch, type Json, type JsonObject } from '../policies/index.ts';
import { Refusal } from './problem.ts';

/**
 * Carries an edit over to the original arguments.
 * @param shown the redacted arguments as the card showed them; `edited` what the approver sent back.
 * @throws Refusal 422 where the edit would run a redaction placeholder, or removes what a merge patch cannot say (a null member).
 */
export function carryEdit(original: JsonObject, shown: JsonObject, edited: JsonObject): JsonObject {
  const patch = patchBetween(shown, edited);
  if (mentions(patch, PLACEHOLDER)) {
    throw new Refusal(
      422,
      'EDIT_PLACEHOLDER',
      'The edit changes a value next to a redacted one ("[REDACTED:…]"), so the original cannot be put back. Leave that value as it is, or replace it whole.',
    );
  }
  if (mentions(patch, CUT)) {
    throw new Refusal(
      422,
      'EDIT_CUT',
      'The edit carries a text that was shortened for the record, so its rest would be lost. Read the whole arguments of the approval and edit those.',
    );
  }
  return applyPatch(original, patch) as JsonObject;
}

function patchBetween(from: JsonObject, to: JsonObject): JsonObject {
  // A Map, then fromEntries: a member called __proto__ is a member like any other, and not the prototype of the patch.
  const patch = new Map<string, Json>();
  for (const [name, value] of Object.entries(to)) {
    const before = Object.hasOwn(from, name) ? from[name] : undefined;
    if (isObject(before) && isObject(value)) {
      const inner = patchBetween(before, value);
      if (Object.keys(inner).length > 0) patch.set(name, inner);
    } else if (before === undefined || JSON.stringify(before) !== JSON.stringify(value)) {
      if (containsNull(value)) {
        throw new Refusal(
          422,
          'EDIT_NULL',
          `The edit sets "${name}" to null, which an edit cannot say; leave the member out to remove it.`,
        );
      }
      patch.set(name, value);
    }
  }
  for (const name of Object.keys(from)) if (!Object.hasOwn(to, name)) patch.set(name, null);
  return Object.fromEntries(patch);
}

/** A merge patch reads null as "remove", so a null that is meant as a value cannot be carried (inside arrays it can). */
function containsNull(value: Json): boolean {
  return value === null || (isObject(value) && Object.values(value).some(containsNull));
}

const PLACEHOLDER = /\[REDACTED/;
/** How the record ends a text that it keeps in part (proxy/record.ts). */
const CUT = /… \(\d+ more characters\)$/;

function mentions(value: Json, words: RegExp): boolean {
  if (typeof value === 'string') return words.test(value);
  if (Array.isArray(value)) return value.some((item) => mentions(item, words));
  return isObject(value) && Object.values(value).some((item) => mentions(item, words));
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
