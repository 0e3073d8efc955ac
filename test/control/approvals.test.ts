import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CallFacts, HoldState } from '../../control/contract.ts';
import { ADMIN, factsOfCall, holdRequest, type Services, startServices } from '../support/services.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
let services: Services;
let agentId: string;
beforeAll(async () => {
  services = await startServices();
  agentId = (await services.agents.create(ADMIN, { name: 'a', autonomyLevel: 'specialist' })).id;
});
afterAll(() => services.close());

let count = 0;
const newCall = (fields: Partial<CallFacts> = {}) => factsOfCall({ id: `call-${++count}`, agentId, ...fields });
const open = (call: CallFacts): Promise<HoldState> => services.holds.open(holdRequest(call));
const statusOf = async (id: string) => (await services.approvals.get(id)).status;

async function startedTask(): Promise<string> {
  const task = await services.tasks.create(ADMIN, { title: 't', type: 'ops', assigneeIds: [agentId], workPlan: 'p' });
  const person = { kind: 'human' as const, id: 'admin', name: 'admin', role: 'admin' as const, csrfToken: null };
  for (const to of ['assigned', 'in_progress'] as const) await services.tasks.move(person, ADMIN, task.id, { to });
  return task.id;
}
const taskStatus = async (id: string) => (await services.tasks.get(id)).status;

describe('an approval that nobody decides', () => {
  it('moves its task on hold when the inline wait is over, and to BLOCKED with an alert when its time is', async () => {
    const taskId = await startedTask();
    const held = await open(newCall({ taskId }));
    await services.holds.sweep();
    expect(await taskStatus(taskId)).toBe('in_progress');
    services.time.now += 5 * MINUTE;
    await services.holds.sweep();
    expect(await taskStatus(taskId)).toBe('needs_approval');
    expect(await services.approvals.get(held.approvalId)).toMatchObject({ status: 'pending', deferred: true });
    services.time.now += DAY;
    await services.holds.sweep();
    expect(await statusOf(held.approvalId)).toBe('expired');
    expect(await taskStatus(taskId)).toBe('blocked');
    const moves = await services.tasks.transitions(taskId);
    expect(moves.slice(-2).map((move) => [move.toStatus, move.actor])).toEqual([
      ['needs_approval', 'system'],
      ['blocked', 'system'],
    ]);
    const alerts = await services.alerts.list({ resolved: false, limit: 100 });
    expect(alerts.items).toContainEqual(expect.objectContaining({ type: 'approval_timeout', taskId, agentId }));
    await expect(services.approvals.decide(ADMIN, held.approvalId, 'approved', {})).rejects.toMatchObject({ code: 'DECIDED' });
  });

  it('blocks its task only when it was the last one that waits', async () => {
    const taskId = await startedTask();
    const first = await open(newCall({ taskId }));
    services.time.now += 60 * MINUTE;
    const second = await open(newCall({ taskId }));
    services.time.now += DAY - 30 * MINUTE;
    await services.holds.sweep();
    expect([await statusOf(first.approvalId), await statusOf(second.approvalId)]).toEqual(['expired', 'pending']);
    expect(await taskStatus(taskId)).toBe('needs_approval');
    await services.approvals.decide(ADMIN, second.approvalId, 'denied', {});
    expect(await taskStatus(taskId)).toBe('in_progress');
  });

  it('cannot be decided in the moment after its time, even before anybody has swept', async () => {
    const held = await open(newCall());
    services.time.now += DAY;
    await expect(services.approvals.decide(ADMIN, held.approvalId, 'approved', {})).rejects.toMatchObject({ code: 'DECIDED' });
    expect(await statusOf(held.approvalId)).toBe('expired');
    // The same call made again is a new question.
    const call = newCall({ digest: 'again' });
    const one = await open(call);
    services.time.now += DAY;
    await services.holds.sweep();
    const two = await open(newCall({ digest: 'again' }));
    expect(two.approvalId).not.toBe(one.approvalId);
  });
});

describe('a grant', () => {
  it('is one call’s, and of many that ask at once exactly one’s', async () => {
    const calls = Array.from({ length: 12 }, () => newCall({ digest: 'wanted' }));
    const states = await Promise.all(calls.map(open));
    expect(new Set(states.map((state) => state.approvalId)).size).toBe(1);
    const approvalId = states[0]?.approvalId ?? '';
    expect((await services.holds.redeem(approvalId, calls[0]?.id ?? '')).granted).toBe(false);
    await services.approvals.decide(ADMIN, approvalId, 'approved', {});
    const redeemed = await Promise.all(calls.map((call) => services.holds.redeem(approvalId, call.id)));
    expect(redeemed.filter((result) => result.granted)).toHaveLength(1);
    const winner = calls[redeemed.findIndex((result) => result.granted)];
    expect((await services.holds.redeem(approvalId, winner?.id ?? '')).granted).toBe(true);
  });

  it('that is not used in its time is over: nothing is redeemed, and what it was for is forgotten', async () => {
    const call = newCall();
    const { approvalId } = await open(call);
    await services.approvals.decide(ADMIN, approvalId, 'approved', {});
    expect((await services.holds.held(call.id))?.arguments).toEqual({ command: `make ${call.id}` });
    services.time.now += 15 * MINUTE;
    expect((await services.holds.redeem(approvalId, call.id)).granted).toBe(false);
    await services.holds.sweep();
    expect(await services.holds.held(call.id)).toMatchObject({ arguments: null, end: null });
    // The caller that comes back with the call itself is asked about anew, in full.
    const anew = await services.holds.open({ ...holdRequest(call), insufficient: approvalId });
    expect(anew.approvalId).not.toBe(approvalId);
    expect((await services.holds.held(call.id))?.arguments).toEqual({ command: `make ${call.id}` });
  });

  it('taken just before its end still counts for its call, and only for it', async () => {
    const [one, two] = [newCall({ digest: 'edge' }), newCall({ digest: 'edge' })];
    const { approvalId } = await open(one);
    await open(two);
    await services.approvals.decide(ADMIN, approvalId, 'approved', {});
    services.time.now += 15 * MINUTE - 1;
    expect((await services.holds.redeem(approvalId, one.id)).granted).toBe(true);
    services.time.now += 60 * MINUTE;
    expect((await services.holds.redeem(approvalId, one.id)).granted).toBe(true);
    expect((await services.holds.redeem(approvalId, two.id)).granted).toBe(false);
  });
});

describe('what must be told', () => {
  it('is a grant that nobody took up, and a refusal that came after the wait; once, and not for ever', async () => {
    const told = async () => (await services.holds.untold(10_000)).map((item) => item.id);
    const [taken, waiting, refused, inline] = [newCall(), newCall(), newCall(), newCall()];
    const ids = await Promise.all([taken, waiting, refused, inline].map(async (call) => (await open(call)).approvalId));
    const [takenId = '', waitingId = '', refusedId = '', inlineId = ''] = ids;
    await services.holds.defer(refused.id);
    for (const id of [takenId, waitingId]) await services.approvals.decide(ADMIN, id, 'approved', {});
    for (const id of [refusedId, inlineId]) await services.approvals.decide(ADMIN, id, 'denied', { note: 'no' });
    await services.holds.redeem(takenId, taken.id);
    expect(await told()).toEqual([refusedId]);
    services.time.now += 10_000;
    expect((await told()).toSorted()).toEqual([refusedId, waitingId].toSorted());
    await services.holds.markTold(refusedId, true);
    await services.holds.markTold(waitingId, false);
    expect(await told()).toEqual([waitingId]);
    services.time.now += 15 * MINUTE;
    expect(await told()).toEqual([]);
  });
});

describe('a call that has ended', () => {
  for (const [status, ran] of [
    ['success', true],
    ['failed', true],
    ['unknown', true],
    ['blocked', false],
    ['withdrawn', false],
  ] as const) {
    it(`as ${status} is over for whoever finds it by its id, whatever its approval says`, async () => {
      const call = newCall();
      const { approvalId } = await open(call);
      await services.approvals.decide(ADMIN, approvalId, 'approved', {});
      await services.holds.redeem(approvalId, call.id);
      await services.db.updateTable('tool_calls').set({ status }).where('id', '=', call.id).execute();
      expect((await services.holds.held(call.id))?.end).toMatchObject({ ran });
    });
  }
});
