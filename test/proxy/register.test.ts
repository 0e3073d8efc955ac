import { describe, expect, it } from 'vitest';
import type { CallFacts, HoldState } from '../../control/contract.ts';
import { Register } from '../../proxy/register.ts';

const call = (id: string, agentId = 'a'): CallFacts => ({
  id,
  key: `key-${id}`,
  slot: `slot-${id}`,
  digest: 'd',
  entry: 'openclaw',
  agentId,
  gatewayId: null,
  sessionKey: 's',
  runId: 'r',
  taskId: null,
  callId: id,
  traceId: null,
  tool: 'exec',
  mappedTool: 'shell_exec',
  toolKind: null,
  cwd: null,
  workspace: null,
  at: 1,
});
const state = (fields: Partial<HoldState> = {}): HoldState => ({
  callId: 'x',
  approvalId: 'p',
  approvalNumber: 1,
  status: 'approved',
  approver: 'admin',
  approverType: 'human',
  note: null,
  editedArguments: null,
  decidedAt: 1,
  grantExpiresAt: 2,
  redeemedBy: null,
  allowance: 0,
  waitingUntil: 0,
  deferred: true,
  ...fields,
});

describe('the register', () => {
  it('finds a call by id, key and slot, and the first that used a slot keeps it', () => {
    const register = new Register({ endedMax: 10, openMax: 10 });
    const first = register.add(call('one'), {});
    const second = register.add({ ...call('two'), slot: 'slot-one' }, {});
    expect(register.byId('one')).toBe(first);
    expect(register.byKey('key-two')).toBe(second);
    expect(register.bySlot('slot-one')).toBe(first);
    register.remove(second);
    expect([register.byId('two'), register.byKey('key-two'), register.bySlot('slot-one')]).toEqual([undefined, undefined, first]);
  });

  it('forgets the oldest ended calls first, never open ones', () => {
    const register = new Register({ endedMax: 3, openMax: 100 });
    const open = register.add(call('open'), {});
    for (let index = 0; index < 10; index++) register.move(register.add(call(`e${index}`), {}), 'ended');
    expect([...Array(10).keys()].filter((index) => register.byId(`e${index}`))).toEqual([7, 8, 9]);
    expect(register.byId('open')).toBe(open);
    expect(register.open).toBe(1);
  });

  it('makes room by held calls that nobody waits for, and has none when all are waited for', () => {
    const register = new Register({ endedMax: 3, openMax: 3 });
    const records = ['a', 'b', 'c'].map((id) => register.add(call(id), {}));
    for (const record of records) register.move(record, 'held');
    expect(register.hasRoom()).toBe(false);
    const [, second] = records;
    if (second) register.rest(second);
    expect(register.hasRoom()).toBe(true);
    expect(register.byId('b')).toBeUndefined();
    expect(register.hasRoom()).toBe(true);
  });

  it('gives an agent so many places and no more, from the moment that a call is allowed', () => {
    const register = new Register({ endedMax: 10, openMax: 10 });
    const [one, two, three] = ['1', '2', '3'].map((id) => register.add(call(id), {}));
    if (!one || !two || !three) throw new Error('unreachable');
    expect([register.claim(one, 2), register.claim(two, 2), register.claim(three, 2)]).toEqual([true, true, false]);
    expect(register.running('a')).toBe(2);
    register.move(one, 'running');
    expect(register.running('a')).toBe(2);
    register.leave(one); // it runs: its place is no longer the one that can be given back
    expect(register.running('a')).toBe(2);
    register.leave(two);
    register.leave(two);
    expect(register.running('a')).toBe(1);
    expect(register.claim(three, 2)).toBe(true);
    register.remove(three);
    register.move(one, 'ended');
    expect(register.running('a')).toBe(0);
    expect(register.running('b')).toBe(0);
  });

  it('takes up a call from control as what it is: held, running under its grant, or over', () => {
    const adopt = (end: { ran: boolean; reasons: never[] } | null, fields: Partial<HoldState> = {}) =>
      new Register({ endedMax: 10, openMax: 10 }).adopt({ call: call('x'), arguments: {}, state: state(fields), end });
    expect(adopt(null)).toMatchObject({ state: 'held', verdict: 'hold' });
    expect(adopt(null, { redeemedBy: 'another' })).toMatchObject({ state: 'held' });
    expect(adopt(null, { redeemedBy: 'x', editedArguments: { a: 1 } })).toMatchObject({ state: 'running', editedArguments: { a: 1 } });
    // Its grant still says that it may run: what counts is that it did, or was refused after it.
    expect(adopt({ ran: true, reasons: [] }, { redeemedBy: 'x' })).toMatchObject({ state: 'ended', verdict: 'allow' });
    expect(adopt({ ran: false, reasons: [] }, { redeemedBy: 'x' })).toMatchObject({ state: 'ended', verdict: 'deny' });
  });
});
