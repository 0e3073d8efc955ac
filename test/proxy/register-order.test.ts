import { describe, expect, it } from 'vitest';
import type { CallFacts } from '../../control/contract.ts';
import { Register } from '../../proxy/register.ts';

function call(id: string): CallFacts {
  const nothing = { gatewayId: null, runId: null, taskId: null, callId: null, traceId: null, toolKind: null, cwd: null, workspace: null };
  return {
    ...nothing,
    id,
    key: `key-${id}`,
    slot: `slot-${id}`,
    digest: '',
    entry: 'http',
    agentId: 'a',
    sessionKey: '',
    tool: 't',
    mappedTool: 't',
    at: 0,
  };
}
const knownOf = (register: Register, ids: readonly string[]) => ids.filter((id) => register.byId(id) !== undefined);

describe('what a register forgets', () => {
  it('is the call that ended first, whatever order they came in, and everything that leads to it', () => {
    const register = new Register({ endedMax: 2, openMax: 10 });
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((id) => register.add(call(id), {}));
    for (const record of [b, a, d, c]) if (record) register.move(record, 'ended');
    expect(knownOf(register, ['a', 'b', 'c', 'd'])).toEqual(['c', 'd']);
    expect(register.byKey('key-b')).toBeUndefined();
    expect(register.bySlot('slot-b')).toBeUndefined();
    expect(register.open).toBe(0);
  });

  it('goes on in order after one was taken out of the middle, and over many times its bound', () => {
    const register = new Register({ endedMax: 3, openMax: 10 });
    const ids = Array.from({ length: 500 }, (_, i) => `c${i}`);
    for (const [i, id] of ids.entries()) {
      const record = register.add(call(id), {});
      register.move(record, 'ended');
      if (i % 7 === 3) register.remove(record);
      const kept = ids.slice(0, i + 1).filter((_, k) => k % 7 !== 3);
      const known = knownOf(register, ids);
      expect(known).toEqual(kept.slice(kept.length - known.length));
      expect(known.length).toBeLessThanOrEqual(3);
    }
  });

  it('is, for want of room, the held call that has rested longest; one that rests again stands last', () => {
    const register = new Register({ endedMax: 10, openMax: 3 });
    const [a, b, c] = ['a', 'b', 'c'].map((id) => register.add(call(id), {}));
    for (const record of [a, b, c]) {
      if (!record) continue;
      register.move(record, 'held');
      register.rest(record);
    }
    expect(register.hasRoom()).toBe(true);
    expect(knownOf(register, ['a', 'b', 'c'])).toEqual(['b', 'c']);
    register.add(call('d'), {});
    if (b) {
      register.move(b, 'held');
      register.rest(b);
    }
    expect(register.hasRoom()).toBe(true);
    expect(knownOf(register, ['b', 'c', 'd'])).toEqual(['b', 'd']);
    register.add(call('e'), {});
    expect(register.hasRoom()).toBe(true);
    register.add(call('f'), {});
    expect(register.hasRoom()).toBe(false);
    expect(knownOf(register, ['d', 'e', 'f'])).toEqual(['d', 'e', 'f']);
    // What rests only after nobody could be found is found as well.
    const e = register.byId('e');
    if (!e) throw new Error('forgotten');
    register.move(e, 'held');
    register.rest(e);
    expect(register.hasRoom()).toBe(true);
    expect(knownOf(register, ['d', 'e', 'f'])).toEqual(['d', 'f']);
  });

  it('keeps the reasons of a refusal for whoever asks again', () => {
    const register = new Register({ endedMax: 10, openMax: 10 });
    const reasons = [{ code: 'SHELL_BLOCKED', message: 'no', policyPath: 'x' }];
    const [denied, ran] = ['denied', 'ran'].map((id) => register.add(call(id), {}));
    if (!denied || !ran) throw new Error('not added');
    Object.assign(denied, { verdict: 'deny', reasons });
    Object.assign(ran, { verdict: 'allow', reasons });
    register.move(denied, 'ended');
    register.move(ran, 'ended');
    expect(denied.reasons).toBe(reasons);
    expect(ran.reasons).toEqual([]);
  });
});
