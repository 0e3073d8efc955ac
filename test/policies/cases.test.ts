import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type CaseFile, caseFileSchema, casesOf, testCases } from '../../policies/index.ts';
import { shippedCases } from './corpora/shipped-cases.ts';
import { DEFAULT_POLICY, policyWith } from './scene.ts';

const SHIPPED = new URL('../../policies/cases.json', import.meta.url);

describe('the shipped corpus', () => {
  test('is made from the corpora of the tests; UPDATE_CASES=1 writes it anew', () => {
    const text = shippedCases();
    if (process.env.UPDATE_CASES === '1') writeFileSync(SHIPPED, text);
    expect(readFileSync(SHIPPED, 'utf8')).toBe(text);
  });

  test('comes out as it says by the shipped policy, each case under a name of its own', () => {
    const file = caseFileSchema.parse(JSON.parse(readFileSync(SHIPPED, 'utf8')));
    const outcomes = testCases(file, DEFAULT_POLICY);
    expect(outcomes.filter(({ failures }) => failures.length > 0).map(({ id, failures }) => [id, failures])).toEqual([]);
    expect(outcomes.length).toBeGreaterThan(1_000);
    expect(new Set(outcomes.map(({ id }) => id)).size).toBe(outcomes.length);
  });
});

describe('a file of cases', () => {
  const file = (cases: CaseFile['cases'], more: Partial<CaseFile> = {}): CaseFile => ({
    cases,
    defaults: { agent: { autonomy: 'specialist', status: 'active' } },
    ...more,
  });

  test('names everything that is not as expected, and nothing else', () => {
    const failures = testCases(
      file([
        { tool: 'exec', arguments: { command: 'ls' }, expect: { verdict: 'allow', risk: 'yellow', codes: ['OK'], never: ['LOOP'] } },
        { tool: 'exec', arguments: { command: 'ls' }, expect: { verdict: 'hold', risk: 'red', codes: ['LOOP'], never: ['OK'] } },
        { tool: 'exec', arguments: { command: 'make' } },
      ]),
      DEFAULT_POLICY,
    ).map((outcome) => outcome.failures);
    expect(failures).toEqual([
      [],
      [
        'the verdict is allow instead of hold',
        'the risk is yellow instead of red',
        'LOOP is not among the reasons',
        'OK is among the reasons',
      ],
      [],
    ]);
  });

  test('lays its defaults under every case, and a case over them', () => {
    const cases = casesOf(
      file([
        { tool: 'read_db', arguments: {}, agent: { autonomy: 'intern' } },
        { id: 'mine', tool: 'read_db' },
      ]),
    );
    expect(cases).toEqual([
      { id: '0', tool: 'read_db', arguments: {}, agent: { autonomy: 'intern', status: 'active' } },
      { id: 'mine', tool: 'read_db', agent: { autonomy: 'specialist', status: 'active' } },
    ]);
  });

  test('with a case that cannot be read says so of that case', () => {
    const [outcome] = testCases(file([{ tool: 'read_db', agent: { autonomy: 'boss' }, expect: { verdict: 'allow' } }]), DEFAULT_POLICY);
    expect(outcome?.failures).toEqual(['the verdict is deny instead of allow']);
    expect(outcome?.result.reasons[0]).toMatchObject({ code: 'MALFORMED' });
  });

  test('is judged by the policy that it is given', () => {
    const cases = file([{ tool: 'read_db', arguments: {}, expect: { verdict: 'allow' } }]);
    expect(testCases(cases, policyWith({ riskMap: { read_db: 'red' } }))[0]?.failures).toEqual(['the verdict is hold instead of allow']);
  });

  test.each([
    [{ cases: [{ expect: { verdict: 'maybe' } }] }],
    [{ cases: [{ expect: { verdict: 'allow', code: [] } }] }],
    [{ cases: [{ expect: { verdict: 'allow', codes: ['NOT_A_CODE'] } }] }],
    [{ cases: [], case: [] }],
    [{ cases: {} }],
  ])('%j is refused', (given) => {
    expect(caseFileSchema.safeParse(given).success).toBe(false);
  });
});
