import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { splitVisible, toLine, toVisible } from '../../dashboard/elements/visible-text.ts';

describe('text nobody has checked', () => {
  it.each([
    ['a\u202eb', 'a[RIGHT-TO-LEFT OVERRIDE]b'],
    ['rm\u200b -rf', 'rm[ZERO WIDTH SPACE] -rf'],
    ['curl\u00a0x', 'curl[NO-BREAK SPACE]x'],
    ['x\u0000y\u001b[31m', 'x[NUL]y[ESCAPE][31m'],
    ['\u{e0041}', '[TAG]'],
    ['a\ufe0fb', 'a[VARIATION SELECTOR]b'],
    ['\ud800', '[LONE SURROGATE]'],
    ['a\r\nb', 'a[CARRIAGE RETURN]\nb'],
  ])('%j shows what would hide', (text, shown) => expect(toVisible(text)).toBe(shown));

  it.each(['plain text, 12 %', 'Grüße, 東京, שלום', 'two\nlines\tand a tab', 'done ⚠️ ✅'])('%j stays as it is', (text) =>
    expect(toVisible(text)).toBe(text),
  );

  it('keeps every character, in order, as text or as a name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const rebuilt = splitVisible(text)
          .map((piece) => (typeof piece === 'string' ? piece : String.fromCodePoint(Number.parseInt(piece.code.slice(2), 16))))
          .join('');
        expect(rebuilt).toBe(text);
      }),
    );
  });

  it('leaves nothing that acts unseen in what it shows', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(toVisible(text).replace(/\p{Extended_Pictographic}\ufe0f/gu, '')).not.toMatch(
          /(?![\n\t])[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]|[\ufe00-\ufe0f]/u,
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it('makes one line for titles', () => expect(toLine('a\n\n  b\tc')).toBe('a b c'));
});
