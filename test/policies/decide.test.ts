import { describe, expect, test } from 'vitest';
import { REASON_CODES, type ReasonCode, simulateCases } from '../../policies/index.ts';
import { DECISIONS } from './corpora/decisions.ts';
import { callOf, DEFAULT_POLICY, factsWith, judge, policyWith } from './scene.ts';

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

test('each loop limit that is exceeded is named', () => {
  const { reasons } = judge(
    callOf('read_db'),
    factsWith({ history: { sameErrorRetries: 4, commentsIn30Min: 21, reviewCycles: 4, pairExchangesIn10Min: 9 } }),
  );
  expect(reasons.map(({ code, policyPath }) => [code, policyPath])).toEqual([
    ['LOOP', 'loopDetection.retryLimit'],
    ['LOOP', 'loopDetection.commentRateThreshold'],
    ['LOOP', 'loopDetection.reviewCycleLimit'],
    ['LOOP', 'loopDetection.pairExchangeLimit'],
  ]);
  expect(reasons[3]?.message).toContain('9 messages');
});

test('a cap is named by the line of the policy it comes from, or as the agent’s or task’s own', () => {
  const task = { id: 't', type: 'social' as const, status: 'in_progress' as const, assigneeIds: [] };
  const paths = (caps: object) =>
    judge(callOf('read_db'), factsWith({ task, caps, estimatedCost: 50_000_000 })).reasons.map(({ policyPath }) => policyPath);
  expect(paths({})).toEqual(['budgets.perRun.specialist', 'budgets.perTask.social', 'budgets.perAgentDaily.specialist']);
  expect(paths({ run: 1, task: 2, agentDay: 3, fleetDay: 4 })).toEqual([
    'agent.budgets.perRunCap',
    'task.budget',
    'agent.budgets.dailyCap',
    'budgets.fleetDaily',
  ]);
});
