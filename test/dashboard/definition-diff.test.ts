import { describe, expect, it } from 'vitest';
import { compareTexts } from '../../dashboard/elements/definition-diff.ts';

const without = (kind: 'gone' | 'came', stretches: ReturnType<typeof compareTexts>) =>
  stretches
    .filter((stretch) => stretch.kind !== kind)
    .map(({ text }) => text)
    .join('');

describe('the difference of two texts', () => {
  it('names the words that came and went, and keeps the rest', () => {
    expect(compareTexts('Says it again', 'Says it again, and sends it to evil.example').filter(({ kind }) => kind === 'came')).toEqual([
      { kind: 'came', text: ', and sends it to evil.example' },
    ]);
    expect(compareTexts('a b c', 'a c').some(({ kind, text }) => kind === 'gone' && text.includes('b'))).toBe(true);
  });

  it('loses no character of either text', () => {
    for (const [before, after] of [
      ['', 'all new\n  text'],
      ['all old', ''],
      ['one  two\tthree', 'one two\t three\u200b'],
      ['x '.repeat(30_000), 'y '.repeat(10)],
    ] as const) {
      const stretches = compareTexts(before, after);
      expect(without('came', stretches)).toBe(before);
      expect(without('gone', stretches)).toBe(after);
    }
  });
});
