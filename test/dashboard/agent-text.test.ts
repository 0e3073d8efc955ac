import { describe, expect, it } from 'vitest';
import type { Agent } from '../../control/contract.ts';
import { attentionOf, byAttention, inFamilies, stateOf } from '../../dashboard/elements/agent-text.ts';

const NOW = 10_000_000;
const agent = (over: Partial<Agent>) =>
  ({
    name: 'Forge-03',
    status: 'active',
    gate: 'openclaw',
    lastHeartbeat: NOW - 1_000,
    lastCallAt: NOW - 1_000,
    todaySpend: 1,
    todayCap: 5,
    pendingApprovals: 0,
    errorStreak: 0,
    ...over,
  }) as Agent;

describe('how an agent stands', () => {
  it.each([
    [{}, 'active'],
    [{ lastCallAt: NOW - 301_000 }, 'idle'],
    [{ lastCallAt: null }, 'idle'],
    [{ lastHeartbeat: NOW - 301_000 }, 'silent'],
    [{ lastHeartbeat: null }, 'silent'],
    [{ gate: 'none', lastHeartbeat: null }, 'active'],
    [{ status: 'paused', lastHeartbeat: null }, 'paused'],
    [{ status: 'drained' }, 'drained'],
  ] as const)('%j is %s', (over, state) => expect(stateOf(agent(over), NOW)).toBe(state));

  it('says what asks for attention, most urgent first', () => {
    expect(attentionOf(agent({}), NOW)).toEqual([]);
    expect(attentionOf(agent({ lastHeartbeat: NOW - 360_000, pendingApprovals: 2, todaySpend: 5, errorStreak: 1 }), NOW)).toEqual([
      'silent for 6 min',
      '2 calls wait',
      'budget spent',
      '1 error',
    ]);
    expect(attentionOf(agent({ todaySpend: 4 }), NOW)).toEqual(['near its cap']);
    expect(attentionOf(agent({ todaySpend: 4, todayCap: null }), NOW)).toEqual([]);
  });

  it('lists those that need somebody before those that do not', () => {
    const list = [
      agent({ name: 'B-2' }),
      agent({ name: 'B-10' }),
      agent({ name: 'C', status: 'quarantined' }),
      agent({ name: 'D', pendingApprovals: 1 }),
    ];
    expect(list.sort(byAttention(NOW)).map(({ name }) => name)).toEqual(['C', 'D', 'B-2', 'B-10']);
  });
});

describe('families', () => {
  const named = (id: string, parentId: string | null) => agent({ id, name: id, parentId });
  const told = (...sorted: Agent[]) => inFamilies(sorted).map((row) => `${'-'.repeat(row.depth)}${row.agent.id}`);

  it('stand together, where the first of them would', () => {
    expect(told(named('c', 'b'), named('x', null), named('a', null), named('b', 'a'), named('d', 'a'))).toEqual([
      'a',
      '-b',
      '--c',
      '-d',
      'x',
    ]);
  });

  it('lose nobody whose parent is not there, and nobody in a circle', () => {
    expect(told(named('b', 'gone'), named('a', null))).toEqual(['b', 'a']);
    expect(
      told(named('a', 'b'), named('b', 'a'), named('c', 'c'))
        .map((row) => row.replace(/-/g, ''))
        .sort(),
    ).toEqual(['a', 'b', 'c']);
  });
});
