/**
 * Characters that make the text a person reads differ from the text that is used: control, bidirectional, zero-width,
 * invisible and look-alike white space. Every matcher refuses them before it reads anything else, so that no rule
 * behind it has to think of them.
 */

/** Where an odd character stands in a text, and how to name it to a person. */
export interface OddCharacter {
  /** UTF-16 index of the character. */
  index: number;
  /** UTF-16 units it takes. */
  length: number;
  /** For example `U+202E`. */
  name: string;
}

const PLAIN = /^[\t\n\x20-\x7e]*$/;

/**
 * Finds the first character of `text` that has no place in a command, a path or an address. Tab and line feed pass:
 * where they have no place either the caller says so. The emoji presentation selector U+FE0F passes, for commit messages.
 * Linear in the length of the text.
 */
export function findOddCharacter(text: string): OddCharacter | null {
  if (PLAIN.test(text)) return null;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x20 && unit < 0x7f) continue;
    const code = text.codePointAt(index) ?? unit;
    if (isOdd(code)) return { index, length: code > 0xffff ? 2 : 1, name: `U+${code.toString(16).toUpperCase().padStart(4, '0')}` };
    if (code > 0xffff) index++;
  }
  return null;
}

/** Unicode properties Cc, Cf, Zs, Zl, Zp, Cs, noncharacters and Default_Ignorable_Code_Point, as ranges. */
const ODD_RANGES: readonly (readonly [number, number])[] = [
  [0x00, 0x08],
  [0x0b, 0x1f],
  [0x7f, 0xa0],
  [0xad, 0xad],
  [0x34f, 0x34f],
  [0x600, 0x605],
  [0x61c, 0x61c],
  [0x6dd, 0x6dd],
  [0x70f, 0x70f],
  [0x890, 0x891],
  [0x8e2, 0x8e2],
  [0x115f, 0x1160],
  [0x1680, 0x1680],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x2000, 0x200f],
  [0x2028, 0x202f],
  [0x205f, 0x206f],
  [0x2800, 0x2800],
  [0x3000, 0x3000],
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xfdd0, 0xfdef],
  [0xfe00, 0xfe0e],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xffff],
  [0x110bd, 0x110bd],
  [0x110cd, 0x110cd],
  [0x13430, 0x1345f],
  [0x1bca0, 0x1bca3],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff],
];

function isOdd(code: number): boolean {
  return ODD_RANGES.some(([first, last]) => code >= first && code <= last) || (code & 0xfffe) === 0xfffe;
}
