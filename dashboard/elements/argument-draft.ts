/**
 * Editing the arguments of a held call, field by field: strings as their own text, everything else as JSON. Pure.
 * Only what was changed is changed: a field left alone keeps the caller's value, redacted or not, as the server has it.
 */

/** The text that stands in each changed field. */
export type Draft = Readonly<Record<string, string>>;

export interface ArgumentField {
  name: string;
  /** `text` is edited as it is, `json` as JSON. */
  kind: 'text' | 'json';
  original: string;
  current: string;
  changed: boolean;
  /** Why the field cannot be used as it stands. */
  error: string | null;
}

export interface EditedArguments {
  fields: readonly ArgumentField[];
  /** The whole arguments with the edits, or null while a field has an error or nothing was changed. */
  edited: Record<string, unknown> | null;
}

export function editArguments(original: Record<string, unknown>, draft: Draft): EditedArguments {
  const fields = Object.entries(original).map(([name, value]) => fieldOf(name, value, draft[name]));
  const usable = fields.every((field) => field.error === null) && fields.some((field) => field.changed);
  return { fields, edited: usable ? Object.fromEntries(fields.map((field) => [field.name, valueIn(field, original[field.name])])) : null };
}

function fieldOf(name: string, value: unknown, text: string | undefined): ArgumentField {
  const kind = typeof value === 'string' ? 'text' : 'json';
  const written = typeof value === 'string' ? value : JSON.stringify(value, null, 2);
  const current = text ?? written;
  return { name, kind, original: written, current, changed: current !== written, error: kind === 'json' ? jsonError(current) : null };
}

function valueIn(field: ArgumentField, original: unknown): unknown {
  if (!field.changed) return original;
  return field.kind === 'text' ? field.current : JSON.parse(field.current);
}

function jsonError(text: string): string | null {
  try {
    JSON.parse(text);
    return null;
  } catch {
    return 'Write JSON, for example true, 5, "text" or ["a", "b"].';
  }
}

/** What was taken out of a text and what was put in, whole words, with what stayed around it. */
export interface TextChange {
  before: string;
  removed: string;
  added: string;
  after: string;
}

/** The one stretch in which two texts differ. */
export function changeBetween(original: string, current: string): TextChange {
  const shorter = Math.min(original.length, current.length);
  let front = 0;
  while (front < shorter && original[front] === current[front]) front++;
  let back = 0;
  while (back < shorter - front && original[original.length - 1 - back] === current[current.length - 1 - back]) back++;
  // Half a word changed is a word changed.
  while (insideWord(original[front - 1], original[front], current[front])) front--;
  while (insideWord(original[original.length - back], original[original.length - back - 1], current[current.length - back - 1])) back--;
  return {
    before: original.slice(0, front),
    removed: original.slice(front, original.length - back),
    added: current.slice(front, current.length - back),
    after: original.slice(original.length - back),
  };
}

/** Whether a cut falls into a word: something stands before it, and in either text the word goes on behind it. */
function insideWord(before: string | undefined, after: string | undefined, changed: string | undefined): boolean {
  const isWord = (character: string | undefined) => character !== undefined && !/\s/.test(character);
  return isWord(before) && (isWord(after) || isWord(changed));
}
