import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DEFAULT_WORKSPACE, MAX_CASES, RISKS, simulateCases, simulateRequestSchema, VERDICTS } from '../../policies/index.ts';
import { DEFAULT_POLICY } from './scene.ts';

const agent = { id: 'agent-1', autonomy: 'specialist', status: 'active' };
const simulate = (given: unknown) => {
  const [result] = simulateCases([given], DEFAULT_POLICY);
  if (result === undefined) throw new Error('no result');
  return result;
};
const codes = (given: unknown) => simulate(given).reasons.map(({ code }) => code);

describe('a simulation', () => {
  test('answers one result for each case, in order, under its id', () => {
    const results = simulateCases(
      [
        { id: 'a', tool: 'read_db', arguments: {}, agent },
        { id: 7, tool: 'read_db', arguments: {}, agent },
        null,
        { id: 'a', tool: 'send_email', arguments: {}, agent },
      ],
      DEFAULT_POLICY,
    );
    expect(results.map(({ id, verdict }) => [id, verdict])).toEqual([
      ['a', 'allow'],
      ['7', 'allow'],
      ['2', 'deny'],
      ['a', 'hold'],
    ]);
  });

  test('one bad case does not spoil the others, and says what is wrong with it', () => {
    const [bad, good] = simulateCases(
      [
        { id: 'bad', tool: 'read_db', arguments: {}, agent: { ...agent, autonomy: 'boss' } },
        { id: 'good', tool: 'read_db', arguments: {}, agent },
      ],
      DEFAULT_POLICY,
    );
    expect(bad).toMatchObject({ verdict: 'deny', reasons: [{ code: 'MALFORMED', message: expect.stringContaining('agent.autonomy') }] });
    expect(bad?.trace).toBeUndefined();
    expect(good?.verdict).toBe('allow');
  });

  test('what a case leaves out is unremarkable', () => {
    expect(simulate({ id: '1', tool: 'read_file', arguments: { path: `${DEFAULT_WORKSPACE}/a` }, agent })).toMatchObject({
      verdict: 'allow',
      risk: 'green',
    });
    expect(simulate({ id: '1', tool: 'read_file', arguments: { path: 'a' }, agent, workspace: null }).verdict).toBe('hold');
    expect(
      simulate({ id: '1', tool: 'read_file', arguments: { path: 'a' }, agent, task: null, system: null, approval: null, mcp: null })
        .verdict,
    ).toBe('allow');
  });

  test('dollars become micro-dollars without a float, seconds milliseconds', () => {
    const case_ = { id: '1', tool: 'read_db', arguments: {}, agent, caps: { runUsd: 0.3 }, spend: { runUsd: 0.1 } };
    expect(codes({ ...case_, estimatedCostUsd: 0.2 })).toEqual(['OK']);
    expect(codes({ ...case_, estimatedCostUsd: 0.200001 })).toEqual(['BUDGET_RUN']);
    expect(codes({ ...case_, estimatedCostUsd: 100, caps: { runUsd: null, agentDayUsd: null } })).toEqual(['OK']);
    const approval = {
      status: 'approved',
      approverType: 'human',
      approver: 'jo',
      agentId: 'agent-1',
      tool: 'send_email',
      arguments: {},
      uses: 0,
    };
    const mail = { id: '1', tool: 'send_email', arguments: {}, agent };
    expect(codes({ ...mail, approval: { ...approval, ageSec: 900 } })[0]).toBe('APPROVED');
    expect(codes({ ...mail, approval: { ...approval, ageSec: 900.001 } })).toContain('APPROVAL_EXPIRED');
  });

  test('the trace shows how the call was read', () => {
    const { trace } = simulate({ id: '1', tool: 'write', arguments: { path: '../a' }, agent });
    expect(trace).toMatchObject({
      mappedTool: 'write_file',
      baseRisk: 'yellow',
      paths: [{ given: '../a', path: '/a', use: 'write', verdict: 'outside' }],
    });
  });

  test('recorded arguments are redacted, in the case that cannot be read too', () => {
    const token = `ghp_${'a1B2c3D4e5'.repeat(4).slice(0, 36)}`;
    for (const given of [
      { id: '1', tool: 'post_comment', arguments: { text: `use ${token}` }, agent },
      { id: '1', tool: 'post_comment', arguments: { text: `use ${token}` }, agent: { ...agent, status: 'asleep' } },
    ]) {
      const { recorded } = simulate(given);
      expect(JSON.stringify(recorded)).not.toContain(token);
      expect(JSON.stringify(recorded)).toContain('[REDACTED');
    }
    const plain = { path: 'docs/a.md', content: 'Ordinary text, 1656a2e9c0ffee1234567890abcdef1234567890, done.' };
    expect(simulate({ id: '1', tool: 'write_file', arguments: plain, agent }).recorded).toEqual({ arguments: plain });
  });

  test('deep and odd input is MALFORMED, never an exception', () => {
    let deep: unknown = 1;
    for (let i = 0; i < 100_000; i++) deep = [deep];
    expect(codes({ id: '1', tool: 'read_db', arguments: { deep }, agent })).toEqual(['MALFORMED']);
    expect(codes(deep)).toEqual(['MALFORMED']);
    fc.assert(
      fc.property(
        fc.anything(),
        fc.record({
          tool: fc.string(),
          arguments: fc.object(),
          agent: fc.constant(agent),
          spend: fc.anything(),
          approval: fc.anything(),
          history: fc.anything(),
        }),
        (anything, shaped) => {
          for (const given of [anything, shaped]) {
            const result = simulate(given);
            expect(VERDICTS).toContain(result.verdict);
            expect(RISKS).toContain(result.risk);
          }
        },
      ),
    );
  });
});

describe('the request', () => {
  test.each([
    [{ cases: [] }, true],
    [{ policy: 'active', cases: [] }, true],
    [{ policy: 3, cases: [] }, true],
    [{ policy: { patch: { budgets: null } }, cases: [{}] }, true],
    [{ cases: Array.from({ length: MAX_CASES }, () => ({})) }, true],
    [{ cases: Array.from({ length: MAX_CASES + 1 }, () => ({})) }, false],
    [{ policy: 'active' }, false],
    [{ policy: { patch: [] }, cases: [] }, false],
    [{ policy: { documnt: {} }, cases: [] }, false],
    [{ cases: {} }, false],
    [{ cases: [], extra: 1 }, false],
    [[], false],
  ])('%#', (request, isValid) => {
    expect(simulateRequestSchema.safeParse(request).success).toBe(isValid);
  });
});
