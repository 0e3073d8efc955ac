import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changeBetween, editArguments } from '../../dashboard/elements/argument-draft.ts';

const original = { command: 'npm publish', timeout: 120, env: { TOKEN: '[redacted]' }, force: false };

describe('editing arguments', () => {
  it('is nothing until something is changed', () => {
    expect(editArguments(original, {}).edited).toBeNull();
    expect(editArguments(original, { command: 'npm publish' }).edited).toBeNull();
  });

  it('changes only what was changed and keeps the types', () => {
    expect(editArguments(original, { command: 'npm publish --dry-run', timeout: '60' }).edited).toEqual({
      ...original,
      command: 'npm publish --dry-run',
      timeout: 60,
    });
  });

  it('takes a text as it is, even when it looks like JSON', () => {
    expect(editArguments(original, { command: '{"a": 1}' }).edited?.command).toBe('{"a": 1}');
  });

  it('says which field cannot be read, and cannot be approved until it can', () => {
    const { fields, edited } = editArguments(original, { command: 'ls', env: '{"TOKEN":' });
    expect(edited).toBeNull();
    expect(fields.find((field) => field.name === 'env')?.error).toContain('JSON');
  });
});

describe('what changed in a text', () => {
  it('is whole words', () => {
    expect(changeBetween('npm publish --tag latest now', 'npm publish --tag next now')).toEqual({
      before: 'npm publish --tag ',
      removed: 'latest',
      added: 'next',
      after: ' now',
    });
    expect(changeBetween('npm publish', 'npm publish --dry-run')).toEqual({
      before: 'npm publish',
      removed: '',
      added: ' --dry-run',
      after: '',
    });
    expect(changeBetween('release-2.4', 'release-2.5')).toMatchObject({ removed: 'release-2.4', added: 'release-2.5' });
  });

  it('puts both texts together again', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const { before, removed, added, after } = changeBetween(a, b);
        expect(before + removed + after).toBe(a);
        expect(before + added + after).toBe(b);
      }),
    );
  });
});
