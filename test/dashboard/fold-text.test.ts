import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { foldText } from '../../dashboard/elements/fold-text.ts';

const LIMITS = { lines: 8, characters: 80 };

describe('a long text', () => {
  it('keeps its beginning and its end, whatever stands between', () => {
    const folded = foldText(`first\n${'x\n'.repeat(100)}rm -rf /`, LIMITS);
    expect(folded?.head.startsWith('first\n')).toBe(true);
    expect(folded?.tail.endsWith('\nrm -rf /')).toBe(true);
  });

  it('is short enough, and its parts are the whole of it', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '\n', ' ', '\u{1f600}', '\u202e'), maxLength: 300 }), (text) => {
        const folded = foldText(text, LIMITS);
        if (folded === null) {
          expect(text.split('\n').length <= LIMITS.lines && text.length <= LIMITS.characters).toBe(true);
          return;
        }
        expect(folded.head + folded.hidden + folded.tail).toBe(text);
        expect(folded.head.length + folded.tail.length).toBeLessThanOrEqual(LIMITS.characters);
        expect(folded.head.split('\n').length + folded.tail.split('\n').length).toBeLessThanOrEqual(LIMITS.lines);
        for (const part of Object.values(folded)) expect(part.isWellFormed()).toBe(true);
      }),
    );
  });
});
