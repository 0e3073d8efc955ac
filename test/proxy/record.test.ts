import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isStorable } from '../../control/contract.ts';
import type { Json, JsonObject } from '../../policies/index.ts';
import { summaryOf } from '../../policies/index.ts';
import { recordedInput, recordedText } from '../../proxy/record.ts';

const TOKEN = 'ghp_8rT2kQv5Zx0LmN7bW3cYpD9sHfJ1aGe4uVtR';
/** Text with everything in it that storing can trip over. */
const oddText = fc.string({ unit: fc.constantFrom('a', '\0', '\ud83d', '\ude00', '😀', '\\', 'u0000', '"', '\n', 'é'), maxLength: 60 });
const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    oddText,
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(oddText, tie('value'), { maxKeys: 4 }),
  ),
})).value;

describe('what is kept of arguments', () => {
  it('can always be stored, is bounded, and is the same where nothing stands in the way', () => {
    fc.assert(
      fc.property(fc.dictionary(oddText, json, { maxKeys: 8 }), fc.integer({ min: 500, max: 5_000 }), (args, max) => {
        const kept = recordedInput(args as JsonObject, max);
        const text = JSON.stringify(kept);
        expect(text).not.toMatch(/(?<!\\)(\\\\)*\\u(0000|d[89a-f][0-9a-f]{2})/);
        expect(isStorable(summaryOf(kept))).toBe(true);
        expect(text.length).toBeLessThan(max + 200 * 320);
        const given = JSON.stringify(args);
        if (given.length <= max && !given.includes('\\u')) expect(kept).toEqual(args);
      }),
    );
  });

  it('is cut with a mark, names included, and never through a character', () => {
    const kept = recordedInput({ [`name-${'x'.repeat(10_000)}`]: 1, long: '😀'.repeat(5_000), short: 'ok' }, 1_000);
    expect(JSON.stringify(kept).length).toBeLessThan(2_000);
    expect(kept.short).toBe('ok');
    expect(kept['…']).toMatch(/^shortened from \d+ characters$/);
    for (const value of Object.values(kept)) expect(String(value).isWellFormed()).toBe(true);
  });

  it('keeps members with the names of an object’s own', () => {
    const args = JSON.parse('{"__proto__": {"a": 1}, "constructor": "x", "hasOwnProperty": 1}') as JsonObject;
    expect(JSON.stringify(recordedInput(args, 1_000))).toBe(JSON.stringify(args));
    expect(JSON.stringify(recordedInput({ ...args, long: 'y'.repeat(5_000) }, 1_000))).toContain('"__proto__"');
  });

  it('is an object whatever was sent, redacted and bounded like any other', () => {
    for (const args of [null, true, 0, 'text', [], [1, { a: 'b' }]] as Json[]) expect(recordedInput(args, 1_000)).toEqual({ value: args });
    expect(recordedInput(undefined, 1_000)).toEqual({});
    for (const args of [`x ${TOKEN} y`, [TOKEN], 'z'.repeat(5_000), Array.from({ length: 5_000 }, () => 1)] as Json[]) {
      const text = JSON.stringify(recordedInput(args, 1_000));
      expect(text).not.toContain(TOKEN.slice(0, 12));
      expect(text.length).toBeLessThan(2_000);
    }
  });

  it('holds no credential, wherever it stood, also where the cut would go through it', () => {
    for (const args of [
      { a: TOKEN },
      { a: { b: [`x ${TOKEN} y`] } },
      { [TOKEN]: 1 },
      { command: `curl -H "Authorization: Bearer ${TOKEN}"` },
      { command: `${'x'.repeat(280)} ${TOKEN}` },
      { long: `${'x '.repeat(190)}${TOKEN}${' y'.repeat(3_000)}` },
    ] as JsonObject[]) {
      const kept = recordedInput(args, 1_000);
      expect(JSON.stringify(kept), JSON.stringify(args).slice(0, 50)).not.toContain(TOKEN.slice(0, 12));
      expect(summaryOf(kept)).not.toContain(TOKEN.slice(0, 12));
    }
  });
});

describe('what is kept of a result', () => {
  it('is redacted before it is cut, whole characters only, and null where there was none', () => {
    expect(recordedText(null, 100)).toBe(null);
    const kept = recordedText(`${'x'.repeat(90)} ${TOKEN} \0 ${'😀'.repeat(100)}`, 101) ?? '';
    expect(kept).not.toContain('ghp_');
    expect(isStorable(kept)).toBe(true);
    expect(kept).toMatch(/more characters\)$/);
  });
});

describe('the one line', () => {
  it('says what the call is about, on one line, in 300 characters', () => {
    expect(summaryOf({ command: '  ls\n\n  docs ', path: 'x' })).toBe('ls docs');
    expect(summaryOf({ url: 'https://example.org' })).toBe('https://example.org');
    expect(summaryOf({ n: 1 })).toBe('{"n":1}');
    expect(summaryOf({})).toBe('');
    expect(summaryOf({ command: 'y'.repeat(1_000) })).toMatch(/^y{300}… \(700 more characters\)$/);
  });
});
