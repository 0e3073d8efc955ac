/**
 * Text that nobody has checked, taken apart so that nothing in it can hide: control, bidirectional, zero-width and odd space
 * characters come out as names instead of taking effect. Newlines and tabs stay, they are layout the reader can see.
 * Pure; used wherever text of an agent or of the outside is shown.
 */

/** Ordinary text, or the name of one character that would otherwise act unseen. */
export type Piece = string | { name: string; code: string };

/** Splits untrusted text into what can be shown as it is and what must be named. The pieces, in order, are the whole text. */
export function splitVisible(text: string): Piece[] {
  const pieces: Piece[] = [];
  let plain = '';
  let before = '';
  for (const character of text) {
    // One emoji presentation selector after an emoji is how emoji are written; anywhere else selectors can carry hidden data.
    const presents = character === EMOJI_PRESENTATION && /\p{Extended_Pictographic}/u.test(before);
    const name = presents ? null : nameOf(character.codePointAt(0) ?? 0);
    before = character;
    if (name === null) {
      plain += character;
      continue;
    }
    if (plain) pieces.push(plain);
    plain = '';
    pieces.push({ name, code: codeOf(character) });
  }
  if (plain) pieces.push(plain);
  return pieces;
}

/** The same as one string, for attributes and titles: "a[RIGHT-TO-LEFT OVERRIDE]b". */
export function toVisible(text: string): string {
  return splitVisible(text)
    .map((piece) => (typeof piece === 'string' ? piece : `[${piece.name}]`))
    .join('');
}

/** One line for titles and rows: newlines and tabs become spaces, runs of spaces one. */
export function toLine(text: string): string {
  return toVisible(text.replace(/[\n\t\r ]+/g, ' ')).trim();
}

const NAMES = new Map<number, string>([
  [0x00, 'NUL'],
  [0x07, 'BELL'],
  [0x08, 'BACKSPACE'],
  [0x0b, 'VERTICAL TAB'],
  [0x0c, 'FORM FEED'],
  [0x0d, 'CARRIAGE RETURN'],
  [0x1b, 'ESCAPE'],
  [0x7f, 'DELETE'],
  [0x85, 'NEXT LINE'],
  [0xa0, 'NO-BREAK SPACE'],
  [0xad, 'SOFT HYPHEN'],
  [0x034f, 'GRAPHEME JOINER'],
  [0x061c, 'ARABIC LETTER MARK'],
  [0x115f, 'HANGUL FILLER'],
  [0x1160, 'HANGUL FILLER'],
  [0x1680, 'OGHAM SPACE'],
  [0x17b4, 'KHMER VOWEL'],
  [0x17b5, 'KHMER VOWEL'],
  [0x180e, 'MONGOLIAN VOWEL SEPARATOR'],
  [0x200b, 'ZERO WIDTH SPACE'],
  [0x200c, 'ZERO WIDTH NON-JOINER'],
  [0x200d, 'ZERO WIDTH JOINER'],
  [0x200e, 'LEFT-TO-RIGHT MARK'],
  [0x200f, 'RIGHT-TO-LEFT MARK'],
  [0x2028, 'LINE SEPARATOR'],
  [0x2029, 'PARAGRAPH SEPARATOR'],
  [0x202a, 'LEFT-TO-RIGHT EMBEDDING'],
  [0x202b, 'RIGHT-TO-LEFT EMBEDDING'],
  [0x202c, 'POP DIRECTION'],
  [0x202d, 'LEFT-TO-RIGHT OVERRIDE'],
  [0x202e, 'RIGHT-TO-LEFT OVERRIDE'],
  [0x202f, 'NARROW NO-BREAK SPACE'],
  [0x205f, 'MATH SPACE'],
  [0x2060, 'WORD JOINER'],
  [0x2066, 'LEFT-TO-RIGHT ISOLATE'],
  [0x2067, 'RIGHT-TO-LEFT ISOLATE'],
  [0x2068, 'FIRST STRONG ISOLATE'],
  [0x2069, 'POP ISOLATE'],
  [0x2800, 'BRAILLE BLANK'],
  [0x3000, 'IDEOGRAPHIC SPACE'],
  [0x3164, 'HANGUL FILLER'],
  [0xfeff, 'BYTE ORDER MARK'],
  [0xffa0, 'HANGUL FILLER'],
  [0xfffc, 'OBJECT REPLACEMENT'],
]);

/** Ranges whose members have no name worth telling apart; the code says which one it was. */
const RANGES: readonly (readonly [number, number, string])[] = [
  [0x00, 0x1f, 'CONTROL'],
  [0x80, 0x9f, 'CONTROL'],
  [0x180b, 0x180f, 'VARIATION SELECTOR'],
  [0x2000, 0x200a, 'WIDE SPACE'],
  [0x2061, 0x2065, 'INVISIBLE OPERATOR'],
  [0x206a, 0x206f, 'FORMAT CONTROL'],
  [0xd800, 0xdfff, 'LONE SURROGATE'],
  [0xe000, 0xf8ff, 'PRIVATE USE'],
  [0xfe00, 0xfe0f, 'VARIATION SELECTOR'],
  [0xfff0, 0xfffb, 'FORMAT CONTROL'],
  [0xe0000, 0xe0fff, 'TAG'],
  [0xf0000, 0x10ffff, 'PRIVATE USE'],
];

const NEWLINE = 0x0a;
const TAB = 0x09;
const EMOJI_PRESENTATION = '\ufe0f';

function nameOf(code: number): string | null {
  if (code === NEWLINE || code === TAB) return null;
  if (code > 0x1f && code < 0x7f) return null;
  const known = NAMES.get(code) ?? RANGES.find(([from, to]) => code >= from && code <= to)?.[2];
  if (known !== undefined) return known;
  // What Unicode calls control, format, private or half a character, and no table above names.
  return UNSEEN.test(String.fromCodePoint(code)) ? 'UNSEEN CHARACTER' : null;
}

const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u;

function codeOf(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}
