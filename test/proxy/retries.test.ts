import { describe, expect, it } from 'vitest';
import { Retries } from '../../proxy/retries.ts';

const WINDOW = 600_000;
const rowOf = (errors: (string | null)[]) => {
  const retries = new Retries();
  for (const [at, error] of errors.entries()) {
    if (error === null) retries.succeeded('a', 's', 'exec');
    else retries.failed('a', 's', 'exec', error, at);
  }
  return retries;
};
const count = (retries: Retries, now = 10, session = 's', tool = 'exec') => retries.count('a', session, tool, now, WINDOW);

describe('retries', () => {
  it('count from the second failure with the same error on', () => {
    expect(count(rowOf([]))).toBe(0);
    expect(count(rowOf(['no space']))).toBe(0);
    expect(count(rowOf(['no space', 'no space', 'no space']))).toBe(2);
  });

  it('are the same where only numbers, ids and white space differ, and others where a name does', () => {
    expect(count(rowOf(['failed after 12 ms (id 0f3c9aa17b2e)', 'Failed  after 7 ms (id 77c9aa17b2e00)\n']))).toBe(1);
    expect(count(rowOf(['no such file: a.md', 'no such file: b.md']))).toBe(0);
  });

  it('end with a success, another error, or a quiet while', () => {
    expect(count(rowOf(['x', 'x', null, 'x']))).toBe(0);
    expect(count(rowOf(['x', 'x', 'y']))).toBe(0);
    expect(count(rowOf(['x', 'x']), WINDOW + 1)).toBe(1);
    expect(count(rowOf(['x', 'x']), WINDOW + 2)).toBe(0);
  });

  it('of one session or tool say nothing about another', () => {
    const retries = rowOf(['x', 'x']);
    expect([count(retries, 10, 'other'), count(retries, 10, 's', 'read')]).toEqual([0, 0]);
  });

  it('are bounded: the oldest row goes first', () => {
    const retries = rowOf(['x', 'x']);
    for (let session = 0; session < 20_000; session++) retries.failed('a', `s${session}`, 'exec', 'x', 5);
    expect(count(retries)).toBe(0);
  });
});
