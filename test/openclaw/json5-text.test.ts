import fc from 'fast-check';
import JSON5 from 'json5';
import { describe, expect, test } from 'vitest';
import { type Json5Path, type Json5Value, removeIn, setIn } from '../../control/json5-text.ts';

describe('setting a value', () => {
  test.each<[string, string, Json5Path, Json5Value, string]>([
    ['in an empty document', '{}', ['a', 'b'], 1, '{\n  "a": {\n    "b": 1\n  }\n}'],
    ['below a remark that stands alone', '{\n  // nothing yet\n}\n', ['a'], 1, '{\n  // nothing yet\n  "a": 1\n}\n'],
    ['behind the last member', '{\n  "a": 1\n}', ['b'], [2], '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}'],
    ['behind a trailing comma', '{\n  a: 1,\n}', ['b'], 2, '{\n  a: 1,\n  b: 2,\n}'],
    ['behind the remark on the last member', '{\n  a: 1 // one\n}', ['b'], 2, '{\n  a: 1, // one\n  b: 2\n}'],
    ['in one line', '{ a: 1 }', ['b', 'c-d'], true, '{ a: 1, b: { "c-d": true } }'],
    ['in one line with a trailing comma', '{ a: [1,] }', ['a', 1], 2, '{ a: [1, 2,] }'],
    ['over a scalar', "{ a: 'x', /* why */ b: .5 }", ['b'], 'y', '{ a: \'x\', /* why */ b: "y" }'],
    [
      'with the indentation of the document',
      '{\n\t"a": {\n\t\t"b": 1\n\t}\n}',
      ['a', 'c'],
      {},
      '{\n\t"a": {\n\t\t"b": 1,\n\t\t"c": {}\n\t}\n}',
    ],
    ['with the line ends of the document', '{\r\n  a: 1\r\n}', ['b'], 2, '{\r\n  a: 1,\r\n  b: 2\r\n}'],
    ['of a name that stands twice where the last one is', '{ a: 1, a: 2 }', ['a'], 3, '{ a: 1, a: 3 }'],
    [
      'behind strings that look like structure',
      `{ a: '"}', b: "'//", 'c\\u0064': '\\'{' }`,
      ['cd'],
      0,
      `{ a: '"}', b: "'//", 'c\\u0064': 0 }`,
    ],
    ['in an array', '{\n  a: [\n    "x" // first\n  ]\n}', ['a', 1], 'y', '{\n  a: [\n    "x", // first\n    "y"\n  ]\n}'],
  ])('%s', (_name, text, path, value, wanted) => {
    expect(setIn(text, path, value)).toBe(wanted);
  });

  test('through something that is no container is refused', () => {
    expect(() => setIn('{ a: 1 }', ['a', 'b'], 1)).toThrow(TypeError);
    expect(() => setIn('{ a: [] }', ['a', 3], 1)).toThrow(TypeError);
    expect(() => setIn('{ a: ', ['a'], 1)).toThrow(SyntaxError);
  });
});

describe('removing a value', () => {
  test.each<[string, string, Json5Path, string]>([
    ['takes its lines with it', '{\n  a: 1, // one\n  b: 2, // two\n  c: 3\n}', ['b'], '{\n  a: 1, // one\n  c: 3\n}'],
    ['at the end takes the comma before it', '{\n  a: 1, // one\n  b: 2\n}', ['b'], '{\n  a: 1 // one\n}'],
    ['at the end keeps a trailing comma', '{\n  a: 1,\n  b: 2,\n}', ['b'], '{\n  a: 1,\n}'],
    ['in one line', '{ a: 1, b: 2, c: 3 }', ['b'], '{ a: 1, c: 3 }'],
    ['in one line at the end', '{ a: 1, b: 2 }', ['b'], '{ a: 1 }'],
    ['that is the only one', '{ a: { b: 2 } }', ['a', 'b'], '{ a: {} }'],
    ['that is the only one keeps the remarks', '{\n  // why\n  a: 1\n}', ['a'], '{\n  // why\n}'],
    ['of an array', '["x", "y", "z"]', [1], '["x", "z"]'],
    ['that is missing changes nothing', '{ a: 1 }', ['b', 'c'], '{ a: 1 }'],
  ])('%s', (_name, text, path, wanted) => {
    expect(removeIn(text, path)).toBe(wanted);
  });
});

/** A document with the values of `value`, written as a person might: any quotes, remarks, commas, line breaks. */
interface Hand {
  comma: boolean;
  spread: boolean;
  quote: 0 | 1 | 2;
  remark: 0 | 1 | 2;
}
const hand = fc.record<Hand>({
  comma: fc.boolean(),
  spread: fc.boolean(),
  quote: fc.constantFrom(0, 1, 2),
  remark: fc.constantFrom(0, 1, 2),
});
const { value: anyValue } = fc.letrec<{ value: Json5Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<Json5Value>(null, true, 0, -1.5, '', 'it\'s "x" // no', '}', '\\', 'ü\n', 1e21),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c d', 'plugins', "q'", 'if'), tie('value'), { maxKeys: 3 }),
  ),
}));
const anyObject = fc.dictionary(fc.constantFrom('a', 'b', 'c d', 'plugins'), anyValue, { maxKeys: 4 });

function write(value: Json5Value, hands: Hand[], depth = 0): string {
  if (typeof value !== 'object' || value === null) return typeof value === 'string' ? JSON5.stringify(value) : String(value);
  const style = hands[depth % hands.length] ?? { comma: false, spread: true, quote: 0, remark: 0 };
  const names = Array.isArray(value) ? value.map(() => '') : Object.keys(value).map((key) => `${name(key, style)}: `);
  const parts = Object.values(value).map((part, index) => `${names[index]}${write(part, hands, depth + 1)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  if (parts.length === 0) return `${open}${close}`;
  if (!style.spread) return `${open}${parts.join(style.remark === 1 ? ', /* r */ ' : ', ')}${style.comma ? ',' : ''}${close}`;
  const pad = '  '.repeat(depth + 1);
  const lines = parts.map((part, index) => {
    const comma = index < parts.length - 1 || style.comma ? ',' : '';
    return `${pad}${part}${comma}${style.remark === 2 ? ' // r, }' : ''}`;
  });
  return `${open}\n${lines.join('\n')}\n${'  '.repeat(depth)}${close}`;
}

function name(key: string, style: Hand): string {
  if (style.quote === 0 && /^[a-z]+$/.test(key)) return key;
  return style.quote === 1 ? `'${key.replaceAll("'", "\\'")}'` : JSON.stringify(key);
}

const path = fc.array(fc.constantFrom('a', 'b', 'new', 'mission-control', 'c d'), { minLength: 1, maxLength: 3 });

test('whatever is set, the document then means just that', () => {
  fc.assert(
    fc.property(anyObject, fc.array(hand, { minLength: 1, maxLength: 4 }), path, anyValue, (document, hands, where, value) => {
      const text = write(document, hands);
      const wanted = dataSet(document, where, value);
      fc.pre(wanted !== null);
      const edited = setIn(text, where, value);
      expect(JSON5.parse(edited)).toEqual(wanted);
    }),
    { numRuns: 2_000 },
  );
});

test('what was added is removed without a trace', () => {
  fc.assert(
    fc.property(anyObject, fc.array(hand, { minLength: 1, maxLength: 4 }), anyValue, (document, hands, value) => {
      fc.pre(Object.keys(document).length > 0);
      const text = write(document, hands);
      expect(removeIn(setIn(text, ['brand-new'], value), ['brand-new'])).toBe(text);
    }),
    { numRuns: 2_000 },
  );
});

test('what is removed is gone and nothing else', () => {
  fc.assert(
    fc.property(anyObject, fc.array(hand, { minLength: 1, maxLength: 4 }), fc.nat(), (document, hands, pick) => {
      const keys = Object.keys(document);
      const key = keys[pick % Math.max(1, keys.length)];
      fc.pre(key !== undefined);
      const { [key]: _gone, ...rest } = document;
      expect(JSON5.parse(removeIn(write(document, hands), [key]))).toEqual(rest);
    }),
    { numRuns: 2_000 },
  );
});

/** The same on plain data; null where the path leads through something that is no object. */
function dataSet(document: Json5Value, where: readonly string[], value: Json5Value): Json5Value | null {
  const [key, ...rest] = where;
  if (key === undefined) return value;
  if (document !== undefined && (typeof document !== 'object' || document === null || Array.isArray(document))) return null;
  const inner = rest.length === 0 ? value : dataSet(document[key] === undefined ? {} : document[key], rest, value);
  if (inner === null && rest.length > 0) return null;
  return { ...document, [key]: inner };
}
