/**
 * What a call is about, in one line for tables and feeds. Made from what is recorded of its arguments, so from redacted data: whoever has
 * the record can make the line, and it is not made on the call path.
 */
import type { JsonObject } from './model.ts';

const SUMMARY_MAX_CHARS = 300;
/** Fields that say in one glance what a call is about, in this order. */
const TELLING = ['command', 'path', 'file_path', 'url', 'to', 'target', 'query', 'message', 'task', 'action'];

/** Runs of white space other than a single space: in ordinary text there is then nothing to replace (1.2 µs instead of 2.8 for 500 characters). */
const ODD_SPACE = / ?[^\S ]\s*| {2,}\s*/g;

/** One line, without the tool's name. @param input the recorded arguments. */
export function summaryOf(input: JsonObject): string {
  const name = TELLING.find((candidate) => typeof input[candidate] === 'string' && input[candidate] !== '');
  const text = name ? String(input[name]) : Object.keys(input).length > 0 ? JSON.stringify(input) : '';
  return shorten(text.trim().replaceAll(ODD_SPACE, ' '), SUMMARY_MAX_CHARS);
}

/** A text of at most `maxChars`, and how much is missing. Mends a surrogate pair that the cut would halve. */
export function shorten(text: string, maxChars: number): string {
  return text.length <= maxChars ? text : `${text.slice(0, maxChars)}… (${text.length - maxChars} more characters)`.toWellFormed();
}
