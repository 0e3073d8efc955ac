import { describe, expect, it } from 'vitest';
import type { Approval, Run, ToolCallView } from '../../control/contract.ts';
import { buildTimeline, TIMELINE_KINDS, type TimelineSources } from '../../dashboard/elements/timeline.ts';

const MINUTE = 60_000;
const call = (minute: number, over: Partial<ToolCallView> = {}) =>
  ({ id: `c${minute}`, createdAt: minute * MINUTE, risk: 'green', status: 'success', cost: null, tool: 'read', ...over }) as ToolCallView;
const run = (from: number, to: number | null) =>
  ({ id: `r${from}`, startTime: from * MINUTE, endTime: to === null ? null : to * MINUTE }) as Run;
const approval = (minute: number, over: Partial<Approval> = {}) =>
  ({
    id: `p${minute}`,
    createdAt: minute * MINUTE,
    kind: 'call',
    status: 'pending',
    tool: 'exec',
    agentId: 'a',
    taskId: 't',
    risk: 'red',
    preview: null,
    summary: 'exec x',
    decidedAt: null,
    ...over,
  }) as Approval;
const NONE: TimelineSources = { moves: [], runs: [], calls: [], approvals: [], messages: [], documents: [], activities: [] };
const ALL = new Set(TIMELINE_KINDS);
const build = (sources: Partial<TimelineSources>, shown: ReadonlySet<(typeof TIMELINE_KINDS)[number]> = ALL) =>
  buildTimeline({ ...NONE, ...sources }, shown);

describe('the timeline of a task', () => {
  it('is newest first, and folds three or more green calls that cost nothing', () => {
    const entries = build({ calls: [call(1), call(2), call(3), call(4, { risk: 'yellow' }), call(5), call(6)] });
    expect(entries.map((entry) => (entry.kind === 'calls' ? entry.calls.map(({ id }) => id) : entry.kind))).toEqual([
      ['c6'],
      ['c5'],
      ['c4'],
      ['c3', 'c2', 'c1'],
    ]);
  });

  it('never folds away what cost something, failed or was refused', () => {
    const calls = [call(1, { cost: 0.1 }), call(2, { status: 'failed' }), call(3, { status: 'blocked' }), call(4, { cost: 0.2 })];
    expect(build({ calls })).toHaveLength(4);
  });

  it('shows a held call once, by its approval, and its decision when it came', () => {
    const entries = build({
      calls: [call(1, { status: 'needs_approval' })],
      approvals: [approval(1, { status: 'denied', decidedAt: 3 * MINUTE })],
    });
    expect(entries.map((entry) => (entry.kind === 'approvals' ? entry.edge : entry.kind))).toEqual(['decided', 'held']);
  });

  it('puts like calls that wait into one row', () => {
    const entries = build({
      approvals: [approval(3), approval(1), approval(2), approval(2, { id: 'other', tool: 'write', groupKey: 'write: docs' })],
    });
    expect(entries.map((entry) => (entry.kind === 'approvals' ? [entry.approval.id, entry.alike] : []))).toEqual([
      ['other', 1],
      ['p1', 3],
    ]);
  });

  it('names long silences and what lay inside a run', () => {
    const entries = build({ runs: [run(10, 20)], calls: [call(12), call(60)] });
    expect(entries.map(({ kind, inRun }) => [kind, inRun])).toEqual([
      ['calls', false],
      ['gap', false],
      ['runs', true],
      ['calls', true],
      ['runs', true],
    ]);
    expect(entries[1]).toMatchObject({ ms: 40 * MINUTE });
    expect(build({ runs: [run(10, null)], calls: [call(50)] })[0]?.inRun).toBe(true);
  });

  it('shows only the kinds that are asked for', () => {
    expect(build({ runs: [run(1, 2)], calls: [call(1)], approvals: [approval(1)] }, new Set(['calls']))).toHaveLength(1);
  });
});
