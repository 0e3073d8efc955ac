import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { carryEdit } from '../../control/edit.ts';
import { type Json, type JsonObject, redact } from '../../policies/index.ts';

const TOKEN = 'ghp_8rT2kQv5Zx0LmN7bW3cYpD9sHfJ1aGe4uVtR';
const shownOf = (args: JsonObject) => redact(args).value as JsonObject;
const json: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.string({ maxLength: 5 }),
    fc.integer(),
    fc.boolean(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', 'c', '__proto__'), tie('value'), { maxKeys: 3 }),
  ),
})).value;
const object = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd', '__proto__'), json, { maxKeys: 4 }) as fc.Arbitrary<JsonObject>;

describe('an approver’s edit', () => {
  it('of arguments without credentials runs exactly as written', () => {
    fc.assert(
      fc.property(object, object, (original, edited) => {
        expect(carryEdit(original, original, edited)).toEqual(edited);
      }),
    );
  });

  it('that changes nothing gives back the original, credentials and all', () => {
    const original: JsonObject = {
      to: 'a',
      headers: { authorization: `Bearer ${TOKEN}` },
      list: [TOKEN, { key: TOKEN }],
      none: null,
      deep: { none: null },
    };
    const shown = shownOf(original);
    expect(JSON.stringify(shown)).not.toContain(TOKEN);
    expect(carryEdit(original, shown, structuredClone(shown))).toEqual(original);
  });

  it('beside a credential leaves the credential', () => {
    const original: JsonObject = { to: 'all@example.org', auth: { token: TOKEN, user: 'u' } };
    const shown = shownOf(original) as { to: string; auth: JsonObject };
    expect(carryEdit(original, shown, { ...shown, to: 'one@example.org' })).toEqual({ ...original, to: 'one@example.org' });
    expect(carryEdit(original, shown, { ...shown, auth: { ...shown.auth, user: 'v' } })).toEqual({
      ...original,
      auth: { token: TOKEN, user: 'v' },
    });
    expect(carryEdit(original, shown, { to: shown.to })).toEqual({ to: 'all@example.org' });
    expect(carryEdit(original, shown, { ...shown, auth: 'none' })).toEqual({ to: 'all@example.org', auth: 'none' });
  });

  it('never runs a placeholder', () => {
    const original: JsonObject = { text: `say ${TOKEN} now`, list: ['a', TOKEN], inner: { token: TOKEN } };
    const shown = shownOf(original) as { text: string; list: string[]; inner: JsonObject };
    for (const edited of [
      { ...shown, text: `${shown.text}!` },
      { ...shown, list: [...shown.list, 'b'] },
      { ...shown, copied: shown.text },
      { ...shown, moved: { text: shown.inner.token } },
      { ...shown, inner: [shown.inner] },
    ] as JsonObject[]) {
      expect(() => carryEdit(original, shown, edited), JSON.stringify(edited)).toThrow(/cannot be put back/);
    }
  });

  it('that sets something to null is refused, since it could not be told from taking it away', () => {
    for (const edited of [{ a: null }, { a: { b: null } }, { a: 1, n: null }] as JsonObject[]) {
      expect(() => carryEdit({ a: 1 }, { a: 1 }, edited), JSON.stringify(edited)).toThrow(/null/);
    }
    expect(carryEdit({ a: 1 }, { a: 1 }, { a: [null] })).toEqual({ a: [null] });
  });
});
