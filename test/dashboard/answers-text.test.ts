import { describe, expect, it } from 'vitest';
import type { StopReceipt } from '../../control/contract.ts';
import { type Answers, stopAnswers, type TaskFacts, taskAnswers } from '../../dashboard/elements/answers-text.ts';
import { sampleApproval } from './sample-approval.ts';
import { sampleTask } from './sample-task.ts';

const NOW = 1_000_000;
const FORGE = { id: 'ag_1', name: 'Forge-03', status: 'active', gate: 'none', lastHeartbeat: null } as TaskFacts['assignees'][number];
const DENIED = {
  ...{ id: 'tc_9', createdAt: NOW - 5_000, tool: 'exec', summary: 'sudo reboot', verdict: 'deny', status: 'blocked' },
  reasons: [{ code: 'SHELL_BLOCKED', message: "Sudo takes another user's rights.", policyPath: 'builtin' }],
} as unknown as TaskFacts['calls'][number];

const facts = (over: Partial<TaskFacts> = {}): TaskFacts => ({
  ...{ task: sampleTask(), now: NOW, held: [], calls: [], moves: [], runs: [], waitsFor: [], assignees: [FORGE], nameOf: () => undefined },
  ...over,
});
const moved = (toStatus: TaskFacts['moves'][number]['toStatus'], over: Partial<TaskFacts['moves'][number]> = {}) => ({
  ...{ createdAt: NOW - 60_000, toStatus, actor: 'human' as const, actorId: 'op_1', reason: null },
  ...over,
});
const told = (answers: Answers) =>
  Object.entries(answers).map(([question, { text, quote, link }]) =>
    [question, text, quote ?? '', link?.href ?? ''].filter(Boolean).join(' | '),
  );

describe('the five questions about a task', () => {
  it('with a held call lead to its decision', () => {
    const held = [
      sampleApproval({ createdAt: NOW - 252_000, reasons: [{ code: 'RED_ACTION', message: 'A person decides.', policyPath: 'x' }] }),
    ];
    expect(told(taskAnswers(facts({ held, runs: [{ endTime: null }] as unknown as TaskFacts['runs'] })))).toEqual([
      'happened | A call is held, for 4:12: | exec npm publish @acme/tokens',
      'who | Assigned to Forge-03. | /agents/ag_1',
      'why | RED_ACTION: | A person decides. | /approvals/ap_1',
      'cost | $6.88 of $8, in 1 run, 1 of them still open.',
      'next | Somebody decides. | /approvals/ap_1',
    ]);
  });

  it('of a blocked one name who blocked it, and the refusal behind it', () => {
    const task = sampleTask({ status: 'blocked', blockedReason: 'Loop: same error 4 times' });
    const moves = [moved('blocked', { actor: 'system', actorId: null, reason: 'Loop' })];
    expect(told(taskAnswers(facts({ task, moves, calls: [DENIED] })))).toEqual([
      'happened | Blocked 1 min ago: | Loop: same error 4 times',
      'who | Assigned to Forge-03. Blocked by the system. | /agents/ag_1',
      "why | Its last refused call says SHELL_BLOCKED: | Sudo takes another user's rights. | ?task=ta_1&call=tc_9",
      'cost | $6.88 of $8, outside any run.',
      'next | Take away what blocks it, then move it to In progress; or cancel it.',
    ]);
    expect(taskAnswers(facts({ task, moves: [moved('blocked', { reason: 'no key' })] })).why).toEqual({
      text: 'Whoever blocked it says:',
      quote: 'no key',
    });
  });

  it('of one at work tell what was newer: the move or the call', () => {
    const moves = [moved('in_progress')];
    expect(taskAnswers(facts({ moves, calls: [DENIED] })).happened.quote).toBe('exec sudo reboot');
    expect(taskAnswers(facts({ moves: [moved('in_progress', { createdAt: NOW })], calls: [DENIED] })).happened.text).toBe(
      'Moved to In progress 0 s ago.',
    );
  });

  it.each([
    ['its cap is spent', { task: sampleTask({ spend: 8 }) }, /^Raise its cap/],
    ['its agent is paused', { assignees: [{ ...FORGE, status: 'paused' as const }] }, /^Forge-03 is paused: restart it/],
    [
      'its agent is silent',
      { assignees: [{ ...FORGE, gate: 'openclaw' as const, lastHeartbeat: NOW - 300_001 }] },
      /^Forge-03 is not heard/,
    ],
    ['its agent is heard', { assignees: [{ ...FORGE, gate: 'openclaw' as const, lastHeartbeat: NOW - 299_999 }] }, /^Nothing of you/],
    ['it waits for another', { waitsFor: ['MC-7'] }, /^MC-7 first/],
    ['it is new', { task: sampleTask({ status: 'inbox' }), assignees: [] }, /^Assign it/],
  ])('say what is next when %s', (_, over, text) => {
    expect(taskAnswers(facts(over)).next.text).toMatch(text);
  });
});

describe('the five questions about a stop', () => {
  const receipt = {
    ...{
      id: 'st_1',
      stoppedAt: 10_000,
      stoppedBy: 'Mara Voss',
      reason: null,
      blockedTasks: 2,
      gateways: [],
      signature: { keyId: 'k', value: 's' },
    },
    proxies: [
      { id: 'a', acknowledgedAt: 10_041, lastAdmittedAt: 9_000, silentAfterMs: null, cutStreams: 0, withdrawnCalls: 1 },
      { id: 'b', acknowledgedAt: 10_188, lastAdmittedAt: null, silentAfterMs: null, cutStreams: 0, withdrawnCalls: 2 },
    ],
    agents: [
      { id: 'ag_2', name: 'Scout-06', lastAdmittedAt: 9_500, silentAfterMs: null, withdrawnCalls: 0 },
      { id: 'ag_1', name: 'Forge-03', lastAdmittedAt: 9_000, silentAfterMs: null, withdrawnCalls: 3 },
    ],
  } satisfies StopReceipt;
  const around = { active: true, before: { id: 'al_1', message: 'Odd sends' }, spent: 38.42, cap: 60 };

  it('tell the slowest silence, the last call, and the alert before it where no reason was given', () => {
    const { happened, who, why, cost } = stopAnswers(receipt, around);
    expect(happened.text).toMatch(/: silent after 188 ms, 3 held calls withdrawn, 2 tasks blocked\.$/);
    expect([who.text.startsWith('Pressed by Mara Voss. The last call before it was by Scout-06'), who.link?.href]).toEqual([
      true,
      '/agents/ag_2',
    ]);
    expect([why.quote, why.link?.href]).toEqual(['Odd sends', '/alerts/al_1']);
    expect(cost.text).toBe('The fleet spent $38.42 of $60 today. Withdrawn calls cost nothing.');
    expect(stopAnswers({ ...receipt, reason: 'odd' }, around).why.quote).toBe('odd');
  });

  it('do not call silent who has not answered, and change when it is over', () => {
    const half = {
      ...receipt,
      proxies: receipt.proxies.map((proxy) => ({ ...proxy, acknowledgedAt: proxy.id === 'b' ? null : proxy.acknowledgedAt })),
    };
    expect(stopAnswers(half, around).happened.text).toContain('1 proxy has not answered');
    expect(stopAnswers(receipt, { ...around, active: false }).next.link?.href).toBe('/agents');
  });
});
