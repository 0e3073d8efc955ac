/**
 * Text that nobody has checked, for places that are not the dashboard (chats, terminals): every character that would act unseen, turn
 * text around or move a cursor appears by its code. Newlines and tabs stay; they are layout that a reader can see.
 */
import { findOddCharacter } from '../policies/index.ts';

/** The text with "[U+202E]" in place of each such character. */
export function toVisible(text: string): string {
  let rest = text.toWellFormed();
  let shown = '';
  for (let odd = findOddCharacter(rest); odd !== null; odd = findOddCharacter(rest)) {
    shown += `${rest.slice(0, odd.index)}[${odd.name}]`;
    rest = rest.slice(odd.index + odd.length);
  }
  return shown + rest;
}

/** The same in one line. */
export function toLine(text: string): string {
  return toVisible(text.replaceAll(/[\n\t\r ]+/g, ' ')).trim();
}

/** The beginning of a text, and how many characters are left out. Never cuts a surrogate pair. */
export function fold(text: string, maxChars: number): { text: string; left: number } {
  if (text.length <= maxChars) return { text, left: 0 };
  const head = text.slice(0, maxChars).replace(/[\ud800-\udbff]$/, '');
  return { text: head, left: text.length - head.length };
}
