import { describe, expect, test } from 'vitest';
import { REASON_CODES, type ReasonCode, simulateCases } from '../../policies/index.ts';
import { DECISIONS } from './corpora/decisions.ts';
import { DEFAULT_POLICY, policyWith } from './scene.ts';

const AGENT = { id: 'agent-1', autonomy: 'specialist', status: 'active' };

describe('the corpus of decisions', () => {
  for (const { name, given, verdict, risk, codes = [], never = [], patch } of DECISIONS)
    test(`${name}: ${verdict}`, () => {
      const policy = patch === undefined ? DEFAULT_POLICY : policyWith(patch);
      // As it comes over the wire: what is undefined is absent.
      const wire: unknown = JSON.parse(JSON.stringify({ id: 'case', agent: AGENT, ...given }));
      const [result] = simulateCases([wire], policy);
      if (result === undefined) throw new Error('no result');
      const found = result.reasons.map((reason) => reason.code);
      expect({
        verdict: result.verdict,
        ...(risk ? { risk: result.risk } : {}),
        codes: codes.filter((code) => found.includes(code)),
      }).toEqual({
        verdict,
        ...(risk ? { risk } : {}),
        codes: [...codes],
      });
      expect(found.filter((code) => never.includes(code))).toEqual([]);
      for (const reason of result.reasons) {
        expect(reason.message).toMatch(/^[^\n]{5,400}$/);
        expect(reason.policyPath).toMatch(/^[A-Za-z]/);
      }
      expect(found.includes('OK')).toBe(verdict === 'allow' && !found.includes('APPROVED'));
      if (found.includes('APPROVED')) expect([verdict, found[0]]).toEqual(['allow', 'APPROVED']);
    });

  test('it has at least 150 cases, each with a name of its own', () => {
    expect(DECISIONS.length).toBeGreaterThanOrEqual(150);
    expect(new Set(DECISIONS.map(({ name }) => name)).size).toBe(DECISIONS.length);
  });

  test('every reason code that a judgement can give is in it', () => {
    /** These come from the proxy: what it cannot reach, or has seen before. SEQUENCE and RULE from rules are tested with them. */
    const elsewhere: readonly ReasonCode[] = [
      'DUPLICATE',
      'GATE_UNPROVEN',
      'SNAPSHOT_STALE',
      'LEDGER_UNAVAILABLE',
      'JOURNAL_UNAVAILABLE',
      'SEQUENCE',
    ];
    const seen = new Set(DECISIONS.flatMap(({ codes = [] }) => codes));
    expect(REASON_CODES.filter((code) => !seen.has(code) && !elsewhere.includes(code))).toEqual([]);
  });
});
