import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, isBoundedJson, type Json, MAX_JSON_DEPTH } from '../../policies/index.ts';

/** Arrays within arrays: one level each. */
function nested(depth: number): Json {
  let value: Json = 1;
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

describe('canonicalJson', () => {
  test('sorts keys as RFC 8785 section 3.2.3 shows', () => {
    const given = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    const order = [...canonicalJson(given).matchAll(/:"([^"]+)"/g)].map((match) => match[1]);
    expect(order).toEqual([
      'Carriage Return',
      'One',
      'Control',
      'Latin Small Letter O With Diaeresis',
      'Euro Sign',
      'Emoji: Grinning Face',
      'Hebrew Letter Dalet With Dagesh',
    ]);
  });

  test('prints numbers and strings as RFC 8785 section 3.2.2 shows', () => {
    const given: Json = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 1e-27, -0],
      string: '\u20ac$\u000f\nA\'B"\\\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(given)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27,0],"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  test('keeps different strings apart, lone surrogates included', () => {
    expect(canonicalJson('\ud800')).not.toBe(canonicalJson('\ufffd'));
    expect(canonicalJson(['a', 'b'])).not.toBe(canonicalJson(['a,b']));
    expect(canonicalJson({ a: null })).not.toBe(canonicalJson({}));
    expect(canonicalJson('1')).not.toBe(canonicalJson(1));
  });

  test('a key called __proto__ is a key like any other', () => {
    const given: Json = JSON.parse('{"__proto__":{"a":1},"b":2}');
    expect(canonicalJson(given)).toBe('{"__proto__":{"a":1},"b":2}');
  });

  test('is bounded in depth, and says so with an error instead of an overflow', () => {
    expect(canonicalJson(nested(MAX_JSON_DEPTH))).toContain('1');
    expect(isBoundedJson(nested(MAX_JSON_DEPTH))).toBe(true);
    expect(() => canonicalJson(nested(MAX_JSON_DEPTH + 1))).toThrow(RangeError);
    expect(isBoundedJson(nested(MAX_JSON_DEPTH + 1))).toBe(false);
    expect(isBoundedJson(nested(200_000))).toBe(false);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, undefined, () => 1, 1n, Symbol('x'), [undefined], { a: Number.NaN }])(
    'is for JSON only: %s',
    (value) => {
      expect(isBoundedJson(value)).toBe(false);
      expect(() => canonicalJson(value as Json)).toThrow();
    },
  );

  test('says the same of equal values and only of those', () => {
    const json = fc.jsonValue({ depthSize: 'small' }) as fc.Arbitrary<Json>;
    fc.assert(
      fc.property(json, (value) => {
        const text = canonicalJson(value);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
        expect(canonicalJson(shuffled(value))).toBe(text);
      }),
    );
  });
});

/** The same value with the keys of every object in reverse. */
function shuffled(value: Json): Json {
  if (Array.isArray(value)) return value.map(shuffled);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, shuffled(item)]),
  );
}
