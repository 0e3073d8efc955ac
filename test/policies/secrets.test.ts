/**
 * Redaction: the corpus of credentials and of ordinary text, known secrets, and what must hold for any value. The corpus
 * breaks its made-up credentials with a `¦`, so that no scanner takes this repository for a leak.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Json } from '../../policies/model.ts';
import { redact, redactText } from '../../policies/secrets.ts';
import rawCorpus from './corpora/redaction.json' with { type: 'json' };
import { fastest } from './scene.ts';

interface SecretCase {
  value: Json;
  /** What must be gone. */
  secrets: string[];
  /** What must still be there. */
  keeps?: string[];
}

const corpus = JSON.parse(JSON.stringify(rawCorpus).replaceAll('¦', '')) as {
  secret: Record<string, SecretCase[]>;
  ordinary: Record<string, Json[]>;
};
const SECRETS = Object.entries(corpus.secret).flatMap(([group, cases]) =>
  cases.map((entry): [string, SecretCase] => [`${group}: ${JSON.stringify(entry.value)}`, entry]),
);
const ORDINARY = Object.entries(corpus.ordinary).flatMap(([group, values]) =>
  values.map((value): [string, Json] => [`${group}: ${JSON.stringify(value)}`, value]),
);

/** A text as it stands inside JSON. */
const inJson = (text: string) => JSON.stringify(text).slice(1, -1);

describe('a credential', () => {
  it.each(SECRETS)('is taken out, and nothing else: %s', (_name, { value, secrets, keeps }) => {
    const { value: result, found } = redact(value);
    const written = JSON.stringify(result);
    for (const secret of secrets) expect(written).not.toContain(inJson(secret));
    for (const kept of keeps ?? []) expect(written).toContain(inJson(kept));
    expect(found.length).toBeGreaterThan(0);
    expect(written).toContain('[REDACTED:');
  });

  it.each(SECRETS)('is not found again where it was taken out: %s', (_name, { value }) => {
    const { value: once } = redact(value);
    expect(redact(once)).toEqual({ value: once, found: [] });
  });
});

describe('ordinary text', () => {
  it.each(ORDINARY)('stays as it is, the very same value: %s', (_name, value) => {
    const result = redact(value);
    expect(result).toEqual({ value, found: [] });
    expect(result.value).toBe(value);
  });

  it('is tried as much as credentials are', () => {
    expect(SECRETS.length + ORDINARY.length).toBeGreaterThanOrEqual(150);
    expect(ORDINARY.length).toBeGreaterThanOrEqual(60);
  });
});

describe('what is found', () => {
  it('is named by its kind and its place', () => {
    const value = {
      headers: { Authorization: 'Bearer abcdef123456ghijkl' },
      list: [{ password: 'hunter2' }],
      text: 'AKIA2E0A8F3B244C9986',
    };
    expect(redact(value).found).toEqual([
      { kind: 'authorization', path: 'headers.Authorization' },
      { kind: 'password', path: 'list[0].password' },
      { kind: 'aws-key', path: 'text' },
    ]);
    expect(redact(value).value).toEqual({
      headers: { Authorization: 'Bearer [REDACTED:authorization]' },
      list: [{ password: '[REDACTED:password]' }],
      text: '[REDACTED:aws-key]',
    });
  });

  it('is a credential of the least length wherever it stands among words, and no word', () => {
    const key = ['sk_live', 'a1b2c3d4e5'].join('_');
    const word = fc.stringMatching(/^[a-z]{1,17}$/).filter((text) => redactText(`x ${text} x`).found.length === 0);
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 12 }),
        fc.array(word, { maxLength: 12 }),
        fc.constantFrom(' ', ',', '\n', ' é ', ')('),
        (a, b, gap) => {
          const text = [...a, key, ...b].join(gap);
          expect(redactText(text).text).toBe(text.replace(key, '[REDACTED:stripe-key]'));
        },
      ),
    );
  });

  it('leaves the value it came from untouched and shares what did not change', () => {
    const value = { password: 'hunter2', other: { deep: [1, 2, 3] } };
    const { value: result } = redact(value);
    expect(value.password).toBe('hunter2');
    expect((result as typeof value).other).toBe(value.other);
    expect(Object.keys(result as object)).toEqual(['password', 'other']);
  });

  it('keeps JSON inside a text readable as JSON', () => {
    const inner = { user: 'bob', password: 'hun"ter\\2', list: [{ token: 'abc123def456' }] };
    const { value } = redact({ body: JSON.stringify(inner), pretty: JSON.stringify(inner, null, 2) });
    const { body, pretty } = value as { body: string; pretty: string };
    const expected = { user: 'bob', password: '[REDACTED:password]', list: [{ token: '[REDACTED:token]' }] };
    expect(JSON.parse(body)).toEqual(expected);
    expect(pretty).toBe(JSON.stringify(expected, null, 2));
  });

  it('treats the key __proto__ as a key like any other', () => {
    const value = JSON.parse('{"__proto__":{"password":"hunter2"},"a":1}') as Json;
    expect(JSON.stringify(redact(value).value)).toBe('{"__proto__":{"password":"[REDACTED:password]"},"a":1}');
  });
});

describe('a known secret', () => {
  const known = ['s3cr3t/with+odd="chars"', 'plainvalue99'];

  it('never appears, as it is or encoded', () => {
    for (const secret of known) {
      const value = {
        text: `a ${secret} b`,
        url: `https://x.example/${encodeURIComponent(secret)}`,
        json: JSON.stringify({ note: secret }),
        base64: btoa(secret),
        key: { [secret]: 1 },
      };
      const written = JSON.stringify(redact(value, known).value);
      for (const form of [secret, encodeURIComponent(secret), btoa(secret).replace(/=+$/, '')]) expect(written).not.toContain(inJson(form));
      expect(written).toContain('[REDACTED:known]');
    }
  });

  it('is replaced whatever it looks like, and text without it stays', () => {
    expect(redactText('say plainvalue99 twice: plainvalue99', known)).toEqual({
      text: 'say [REDACTED:known] twice: [REDACTED:known]',
      found: [{ kind: 'known', path: '' }],
    });
    expect(redactText('nothing here', known)).toEqual({ text: 'nothing here', found: [] });
  });

  it('that is too short to be told from ordinary text is left to the other rules', () => {
    expect(redactText('a is a letter', ['a', '']).text).toBe('a is a letter');
  });
});

describe('any value', () => {
  const pieces = fc.constantFrom(
    'password',
    'token',
    'api_key',
    'Authorization',
    'Bearer ',
    'Basic ',
    '=',
    ': ',
    '"',
    "'",
    '\\',
    '\n',
    ' ',
    '{',
    '}',
    '[',
    ']',
    ',',
    '&',
    '?',
    'https://',
    'user:',
    '@',
    'host',
    '-----BEGIN PRIVATE KEY-----',
    '-----END',
    'ghp_',
    '16C7e42F292c6912E7710c838347Ae178B4a',
    'eyJhbGciOiJIUzI1NiJ9',
    '.',
    'hunter2',
    '<',
    '>',
    '--',
    '-p',
    'curl ',
    '\ud800',
    '\u0130',
    '[REDACTED:x]',
    'a'.repeat(300),
  );
  const soup = fc.array(pieces, { maxLength: 25 }).map((parts) => parts.join(''));
  const json = fc.letrec<{ value: Json }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      soup,
      fc.constantFrom(null, true, 1, 'x'),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.oneof(soup, fc.constantFrom('password', 'name', 'value', '__proto__')), tie('value'), { maxKeys: 4 }),
    ),
  })).value;

  it('is redacted without throwing into a value of the same shape, and once is enough', () => {
    fc.assert(
      fc.property(json, (value) => {
        const before = JSON.stringify(value);
        const once = redact(value);
        expect(JSON.stringify(value)).toBe(before);
        if (once.found.length === 0) expect(once.value).toBe(value);
        expect(Array.isArray(once.value)).toBe(Array.isArray(value));
        const twice = redact(once.value);
        expect(redact(twice.value).value).toEqual(twice.value);
      }),
      { numRuns: 3000 },
    );
  });

  it('that holds a token of a known format never shows it, whatever stands around it', () => {
    const token = ['gh', 'p_', '16C7e42F292c6912E7710c838347Ae178B4a'].join('');
    fc.assert(
      fc.property(soup, soup, (before, after) => {
        expect(redactText(`${before} ${token} ${after}`).text).not.toContain(token);
      }),
      { numRuns: 2000 },
    );
  });

  it('nested without end is cut off rather than followed', () => {
    let deep: Json = { password: 'hunter2' };
    for (let i = 0; i < 5000; i++) deep = [deep];
    expect(JSON.stringify(redact(deep).value)).not.toContain('hunter2');
  });

  it.each([
    ['a', 'a'],
    ['names', 'token='],
    ['addresses', 'a@://'],
    ['query', '&token=abcd'],
    ['prefixes', 'sk-'],
    ['tokens', 'eyJaaaaaaaa.'],
    ['key blocks', '-----BEGIN PRIVATE KEY-----'],
    ['quotes', 'pass:"'],
    ['flags', 'curl -u a:b '],
    ['fields', '1:5432:a:b:c\n'],
    ['elements', '<token>'],
    ['escapes', 'token:\\'],
    ['braces', '{"a":'],
    ['phrases', 'api key: '],
  ])('of a megabyte of %s takes linear time', (_name, unit) => {
    const text = (size: number) => unit.repeat(Math.ceil(size / unit.length));
    redactText(text(50_000));
    const start = process.cpuUsage();
    redactText(text(1_000_000));
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(700);
  });

  it.each([
    ['parameters', `https://example.com/?${'token=abcd1234&'.repeat(60_000)}`],
    ['flags', 'mysql -pabc '.repeat(80_000)],
    ['members of JSON', JSON.stringify(Array.from({ length: 50_000 }, () => ({ password: 'hunter2x' })))],
    ['different texts of JSON', JSON.stringify(Array.from({ length: 60_000 }, (_, i) => `token=ab${i}`))],
  ])('with more %s than can be taken out in time is replaced as a whole', (_name, text) => {
    expect(redactText(text)).toEqual({ text: '[REDACTED:too-many-credentials]', found: [{ kind: 'too-many-credentials', path: '' }] });
    expect(redact({ a: text, b: 'plain' }).value).toEqual({ a: '[REDACTED:too-many-credentials]', b: 'plain' });
    expect(fastest(() => redactText(text), 5)).toBeLessThan(100);
  });

  it('with many words that only sound like credentials stays as it is', () => {
    const usage = JSON.stringify(Array.from({ length: 25_000 }, (_, i) => ({ prompt_tokens: i, completion_tokens: 7 })));
    expect(redactText(usage).text).toBe(usage);
    const lines = 'the token was counted, the key was turned, the password was not shown\n'.repeat(10_000);
    expect(redactText(lines).text).toBe(lines);
  });

  it('finds a credential behind a thousand others', () => {
    const text = `${'token=abcd1234efgh '.repeat(1_000)}ghp_8rT2kQv5Zx0LmN7bW3cYpD9sHfJ1aGe4uVtR`;
    const { text: redacted, found } = redactText(text);
    expect(found).toHaveLength(1_001);
    expect(redacted).not.toMatch(/abcd1234efgh|ghp_8r/);
  });
});
