import { assert, constantFrom, jsonValue, property, stringify, uniqueArray } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { membersOf, parseText, withMember, withoutMember } from '../../proxy/json-members.ts';

// Of names that cannot be written without an escape only one: those the parser of V8 13.6 still takes for one another.
const names = uniqueArray(constantFrom('a', 'b', 'é', '\\"', '{', 'usage', '', '\u2028', '__proto__'), { maxLength: 6 });
const spaces = constantFrom('', ' ', '\n', '\t ', '\r\n');

/** Objects with members of any value, written with all kinds of space between. */
const objects = names.chain((list) =>
  jsonValue({ maxDepth: 3 }).chain((value) =>
    spaces.map((space) => {
      const members = list.map(
        (name, index) => `${space}${JSON.stringify(name)}${space}:${space}${JSON.stringify([value, index])}${space}`,
      );
      return { list, text: `${space}{${members.join(',') || space}}${space}` };
    }),
  ),
);

const entriesOf = (text: string): unknown[][] => Object.entries(parseText(text) as object);
const sorted = (entries: unknown[][]) => entries.map((entry) => JSON.stringify(entry)).sort();

describe('members of a JSON text', () => {
  it('are those that the parser finds, with the text of their values', () => {
    assert(
      property(objects, ({ list, text }) => {
        const found = membersOf(text);
        expect(found.map(({ name }) => name)).toEqual(list);
        for (const { valueStart, end } of found) JSON.parse(text.slice(valueStart, end));
      }),
    );
  });

  it('can be set, and nothing else changes its meaning', () => {
    assert(
      property(objects, constantFrom('a', 'usage', '\\"', 'new'), jsonValue(), ({ text }, name, value) => {
        const wanted = [...entriesOf(text).filter(([key]) => key !== name), [name, JSON.parse(JSON.stringify(value))]];
        expect(sorted(entriesOf(withMember(text, name, JSON.stringify(value)))), stringify(text)).toEqual(sorted(wanted));
      }),
    );
  });

  it('can be taken out, first, last, in the middle or alone', () => {
    assert(
      property(objects, constantFrom('a', 'usage', '\\"', 'new'), ({ text }, name) => {
        const wanted = entriesOf(text).filter(([key]) => key !== name);
        expect(entriesOf(withoutMember(text, name)), stringify(text)).toEqual(wanted);
      }),
    );
  });

  it('that stand twice are both found, and numbers no float can hold stay as they are', () => {
    expect(membersOf('{"n":1,"n":2}').map(({ name }) => name)).toEqual(['n', 'n']);
    expect(withMember('{"seed": 12345678901234567890, "x": 1.0}', 'x', '2')).toBe('{"seed": 12345678901234567890, "x": 2}');
  });
});

describe('a JSON text', () => {
  it('is read as it is written, whatever was read before', () => {
    const poison = { 'n\\': 1, '\\': 1, 'max_token\\': 1 };
    for (const [name] of Object.entries(poison)) {
      JSON.parse(`{"model":"m","messages":[],${JSON.stringify(name)}:1}`);
      const plain = name === '\\' ? 'n' : name === 'n\\' ? 'na' : 'max_tokens';
      const escaped = `${plain.slice(0, -1)}\\u00${plain.charCodeAt(plain.length - 1).toString(16)}`;
      expect(parseText(`{"model":"m","messages":[],"${escaped}" : 9}`)).toEqual({ model: 'm', messages: [], [plain]: 9 });
    }
  });

  it('keeps what only looks like a name', () => {
    const text = '{"a":"he said \\"x\\": \\u0062\\":","\\u00e9\\n":["\\u0061:"]}';
    expect(parseText(text)).toEqual({ a: 'he said "x": b":', 'é\n': ['a:'] });
    expect(() => parseText('{"\\u0061":}')).toThrow(SyntaxError);
  });
});
