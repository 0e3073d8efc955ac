import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { changedLines, tokensOf } from '../../dashboard/elements/policy-text.ts';

const shipped = readFileSync(join(import.meta.dirname, '../../policies/default.yaml'), 'utf8');

describe('lines of a policy', () => {
  it('are new where they are not in the other version, counted from 1', () => {
    expect([...changedLines('a\nb\nc\n', 'a\nx\nc\nd\n').added]).toEqual([2, 4]);
    expect([...changedLines('a\nb\nc\n', 'a\nc\n').removedAfter]).toEqual([[1, 1]]);
    expect(changedLines(shipped, shipped).added.size).toBe(0);
  });
});

describe('a line in colour', () => {
  it('loses no character', () => {
    for (const line of shipped.split('\n'))
      expect(
        tokensOf(line)
          .map(({ text }) => text)
          .join(''),
      ).toBe(line);
  });

  it('tells keys and comments from the rest', () => {
    expect(tokensOf('  red: [exec]  # publishing')).toEqual([
      { kind: 'plain', text: '  ' },
      { kind: 'key', text: 'red:' },
      { kind: 'plain', text: ' [exec]  ' },
      { kind: 'comment', text: '# publishing' },
    ]);
    expect(tokensOf('  - host: "a#b"')[1]).toEqual({ kind: 'key', text: 'host:' });
    expect(tokensOf('  - "a # b"')).toEqual([{ kind: 'plain', text: '  - "a # b"' }]);
    expect(tokensOf("rule's: x # it's")).toHaveLength(2);
  });
});
