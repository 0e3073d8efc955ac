import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Actor, verifyAudit } from '../../control/audit.ts';
import type { Role } from '../../control/contract.ts';
import { takeNotices } from '../../control/notices.ts';
import { ADMIN, factsOfCall, holdRequest, type Services, startServices, usePolicy } from '../support/services.ts';

const MINUTE = 60_000;
let services: Services;
let agentId: string;
beforeAll(async () => {
  services = await startServices();
});
let count = 0;
beforeEach(async () => {
  await services.db.deleteFrom('operators').execute();
  agentId = (await services.agents.create(ADMIN, { name: `agent-${++count}`, autonomyLevel: 'specialist' })).id;
});
afterAll(() => services.close());

async function ask(): Promise<string> {
  const call = factsOfCall({ id: `call-${++count}`, agentId });
  return (await services.holds.open(holdRequest(call))).approvalId;
}
async function person(role: Role, name: string = role): Promise<Actor & { id: string }> {
  const { id } = await services.operators.create(ADMIN, { name, role });
  services.time.now += 1;
  return { type: 'human', id, name };
}
const notices = () => services.db.transaction().execute((tx) => takeNotices(tx, 100, services.time.now));

describe('a request that nobody decides', () => {
  it('is said again a few times, then handed on with an alert, which ends with the decision', async () => {
    const [approver, admin] = [await person('approver'), await person('admin')];
    const id = await ask();
    await services.holds.sweep();
    expect(await notices()).toEqual([]);
    for (const reminders of [1, 2, 3]) {
      services.time.now += 15 * MINUTE;
      await services.holds.sweep();
      await services.holds.sweep();
      expect(await services.approvals.get(id)).toMatchObject({ reminders, escalatedAt: null });
      expect(await notices()).toEqual([expect.objectContaining({ kind: 'reminder', approvalId: id, to: [approver.id, admin.id] })]);
    }
    services.time.now += 15 * MINUTE;
    await services.holds.sweep();
    expect(await services.approvals.get(id)).toMatchObject({ reminders: 3, escalatedAt: services.time.now, status: 'pending' });
    expect(await notices()).toEqual([expect.objectContaining({ kind: 'escalation', approvalId: id, to: [admin.id] })]);
    const open = async () =>
      (await services.alerts.list({ resolved: false, limit: 10 })).items.filter(
        (alert) => alert.type === 'approval_escalated' && alert.agentId === agentId,
      );
    expect(await open()).toEqual([expect.objectContaining({ agentId })]);
    await services.approvals.decide(approver, id, 'denied', {});
    expect(await open()).toEqual([]);
  });

  it('is said once for all that was missed while nobody swept, to the deputy of one who is away, and not when it is decided', async () => {
    const [admin, deputy] = [await person('admin'), await person('viewer', 'deputy')];
    await services.db
      .updateTable('operators')
      .set({ away_until: services.time.now + 60 * MINUTE, deputy_id: deputy.id })
      .where('id', '=', admin.id)
      .execute();
    const [waits, decided] = [await ask(), await ask()];
    services.time.now += 40 * MINUTE;
    await services.holds.sweep();
    expect(await services.approvals.get(waits)).toMatchObject({ reminders: 2 });
    await services.approvals.decide(ADMIN, decided, 'denied', {});
    expect(await notices()).toEqual([expect.objectContaining({ approvalId: waits, to: [deputy.id] })]);
    expect(await notices()).toEqual([]);
  });
});

describe('a tool that needs two people', () => {
  const twoPeople = (tools: string[]) => usePolicy(services, { approvals: { twoPeople: tools } });
  beforeEach(() => twoPeople(['shell_exec']));
  afterAll(() => twoPeople([]));

  it('waits for the second, whoever is first; both are on the record', async () => {
    const [one, two] = [await person('approver'), await person('operator')];
    const id = await ask();
    expect(await services.approvals.get(id)).toMatchObject({ approvalsNeeded: 2, approvedBy: [] });
    const half = await services.approvals.decide(two, id, 'approved', { note: 'looks right' });
    expect(half).toMatchObject({ status: 'pending', approver: null, approvedBy: [{ id: two.id, name: 'operator', note: 'looks right' }] });
    const whole = await services.approvals.decide(one, id, 'approved', {});
    expect(whole).toMatchObject({ status: 'approved', approver: 'approver', approvedBy: [{ name: 'operator' }, { name: 'approver' }] });
  });

  it('is not opened by one person twice, and says what is missing', async () => {
    const one = await person('approver');
    const id = await ask();
    await services.approvals.decide(one, id, 'approved', {});
    await expect(services.approvals.decide(one, id, 'approved', {})).rejects.toMatchObject({
      code: 'SAME_PERSON',
      status: 409,
      extra: { approvedBy: ['approver'], missing: 1 },
    });
    expect((await services.approvals.get(id)).status).toBe('pending');
  });

  it('takes the token of the administrator, the command line and the first administrator for one person', async () => {
    const [first, second] = [await person('admin', 'first'), await person('admin', 'second')];
    const cli = await person('admin', 'Command line');
    for (const [one, other] of [
      [ADMIN, first],
      [first, cli],
      [cli, ADMIN],
    ] as const) {
      const id = await ask();
      await services.approvals.decide(one, id, 'approved', {});
      await expect(services.approvals.decide(other, id, 'approved', {})).rejects.toMatchObject({ code: 'SAME_PERSON' });
      expect((await services.approvals.decide(second, id, 'approved', {})).status).toBe('approved');
    }
  });

  it('may be denied by either, and expires like any other', async () => {
    const [one, two] = [await person('approver'), await person('operator')];
    const denied = await ask();
    await services.approvals.decide(one, denied, 'approved', {});
    expect(await services.approvals.decide(two, denied, 'denied', { note: 'no' })).toMatchObject({
      status: 'denied',
      approver: 'operator',
    });
    const changed = await ask();
    await services.approvals.decide(one, changed, 'approved', {});
    expect(await services.approvals.decide(one, changed, 'denied', {})).toMatchObject({ status: 'denied', approver: 'approver' });
    const late = await ask();
    await services.approvals.decide(one, late, 'approved', {});
    services.time.now += 24 * 60 * MINUTE;
    await expect(services.approvals.decide(two, late, 'approved', {})).rejects.toMatchObject({ code: 'DECIDED' });
    expect((await services.approvals.get(late)).status).toBe('expired');
  });

  it('is approved as the first person edited it, or not at all', async () => {
    const [one, two] = [await person('approver'), await person('operator')];
    const id = await ask();
    await services.approvals.decide(one, id, 'approved', { arguments: { command: 'make safe' } });
    await expect(services.approvals.decide(two, id, 'approved', { arguments: { command: 'make other' } })).rejects.toMatchObject({
      code: 'EDIT_AFTER_APPROVAL',
    });
    const approved = await services.approvals.decide(two, id, 'approved', {});
    expect(approved).toMatchObject({ status: 'approved', editedArguments: { command: 'make safe' } });
  });

  it('is not approved by somebody who was shown other arguments than the edited ones', async () => {
    const [one, two] = [await person('approver'), await person('operator')];
    const id = await ask();
    await services.approvals.decide(one, id, 'approved', { arguments: { command: 'make other' }, sawEdit: false });
    const blind = services.approvals.decide(two, id, 'approved', { sawEdit: false });
    await expect(blind).rejects.toMatchObject({ status: 409, code: 'EDITED_MEANWHILE' });
    expect((await services.approvals.get(id)).status).toBe('pending');
    expect(await services.approvals.decide(two, id, 'approved', { sawEdit: true })).toMatchObject({ status: 'approved' });
  });

  it('needs two from the moment that the policy says so, also where the request is older', async () => {
    await twoPeople([]);
    const id = await ask();
    await twoPeople(['exec']);
    const [one, two] = [await person('approver'), await person('operator')];
    expect((await services.approvals.decide(one, id, 'approved', {})).status).toBe('pending');
    expect((await services.approvals.decide(two, id, 'approved', {})).status).toBe('approved');
  });

  it('has exactly two however many press at once, each of them once', async () => {
    const people = [
      await person('approver', 'a'),
      await person('approver', 'b'),
      await person('approver', 'c'),
      await person('approver', 'd'),
    ];
    for (let round = 0; round < 10; round++) {
      const id = await ask();
      const presses = [...people, ...people].map((by) => services.approvals.decide(by, id, 'approved', {}));
      const answers = await Promise.allSettled(presses);
      expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(2);
      const { status, approvedBy } = await services.approvals.get(id);
      expect([status, new Set(approvedBy.map((by) => by.id)).size, approvedBy.length]).toEqual(['approved', 2, 2]);
    }
  });
});

describe('a request that is decided at several places at once', () => {
  it('has one winner in each of 100 races, and everybody else hears who it was', async () => {
    const people = [await person('approver', 'desk'), await person('operator', 'phone'), await person('admin', 'chat')];
    for (let round = 0; round < 100; round++) {
      const id = await ask();
      const answers = await Promise.allSettled(
        people.map((by, at) => services.approvals.decide(by, id, (round + at) % 2 === 0 ? 'approved' : 'denied', {})),
      );
      const won = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
      const lost = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []));
      expect(won).toHaveLength(1);
      for (const error of lost)
        expect(error).toMatchObject({ code: 'DECIDED', status: 409, extra: { approval: { approver: won[0]?.approver } } });
    }
    expect(await verifyAudit(services.db)).toMatchObject({ ok: true });
  });
});

describe('somebody who is away', () => {
  const until = () => services.time.now + 60 * MINUTE;
  const principal = (by: Actor & { id: string }, role: Role) => ({
    kind: 'human' as const,
    id: by.id,
    name: by.name,
    role,
    csrfToken: null,
  });

  it('has a deputy, who decides under their own name and for them, as long as that lasts', async () => {
    const [approver, viewer] = [await person('approver', 'Ann'), await person('viewer', 'Bo')];
    const id = await ask();
    await expect(services.approvals.decide(viewer, id, 'approved', {})).rejects.toMatchObject({ code: 'ROLE', status: 403 });
    const away = await services.operators.setAbsence(principal(approver, 'approver'), approver, approver.id, {
      until: until(),
      deputyId: viewer.id,
    });
    expect(away.absence).toEqual({ until: until(), deputyId: viewer.id, deputyName: 'Bo' });
    expect(await services.approvals.decide(viewer, id, 'approved', {})).toMatchObject({
      status: 'approved',
      approver: 'Bo (for Ann)',
      approvedBy: [{ id: viewer.id, name: 'Bo', actingFor: ['Ann'] }],
    });
    const [later, after] = [await ask(), await ask()];
    await services.operators.endAbsence(principal(approver, 'approver'), approver, approver.id);
    await expect(services.approvals.decide(viewer, later, 'approved', {})).rejects.toMatchObject({ code: 'ROLE' });
    await services.operators.setAbsence(principal(approver, 'approver'), approver, approver.id, { until: until(), deputyId: viewer.id });
    services.time.now = until();
    await expect(services.approvals.decide(viewer, after, 'approved', {})).rejects.toMatchObject({ code: 'ROLE' });
  });

  it('hands on no more than they have, and not what was handed to them', async () => {
    const [approver, second, third] = [await person('approver'), await person('viewer', 'second'), await person('viewer', 'third')];
    await services.operators.setAbsence(principal(approver, 'approver'), approver, approver.id, { until: until(), deputyId: second.id });
    await services.operators.setAbsence(principal(second, 'viewer'), second, second.id, { until: until(), deputyId: third.id });
    const id = await ask();
    await expect(services.approvals.decide(third, id, 'approved', {})).rejects.toMatchObject({ code: 'ROLE' });
    // The authority ends with the role that it came from.
    await services.operators.update(ADMIN, approver.id, { role: 'viewer' });
    await expect(services.approvals.decide(second, id, 'approved', {})).rejects.toMatchObject({ code: 'ROLE' });
  });

  it('counts through a deputy as that deputy alone where two people are needed', async () => {
    await usePolicy(services, { approvals: { twoPeople: ['exec'] } });
    const [approver, other] = [await person('approver'), await person('operator')];
    await services.operators.setAbsence(principal(approver, 'approver'), approver, approver.id, { until: until(), deputyId: other.id });
    const id = await ask();
    await services.approvals.decide(other, id, 'approved', {});
    await expect(services.approvals.decide(other, id, 'approved', {})).rejects.toMatchObject({ code: 'SAME_PERSON' });
    await usePolicy(services, {});
  });

  it('says so for themselves, or has it said by an administrator, within bounds', async () => {
    const [one, two] = [await person('approver', 'one'), await person('operator', 'two')];
    const set = (by: Actor & { id: string }, role: Role, input: { until: number; deputyId: string }) =>
      services.operators.setAbsence(principal(by, role), by, one.id, input);
    await expect(set(two, 'operator', { until: until(), deputyId: two.id })).rejects.toMatchObject({ code: 'ROLE' });
    await expect(set(one, 'approver', { until: until(), deputyId: one.id })).rejects.toMatchObject({ code: 'BAD_DEPUTY' });
    await expect(set(one, 'approver', { until: until(), deputyId: 'nobody' })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(set(one, 'approver', { until: services.time.now, deputyId: two.id })).rejects.toMatchObject({ code: 'BAD_UNTIL' });
    await expect(set(one, 'approver', { until: services.time.now + 61 * 24 * 60 * MINUTE, deputyId: two.id })).rejects.toMatchObject({
      code: 'BAD_UNTIL',
    });
    await set(two, 'admin', { until: until(), deputyId: two.id });
    expect(await services.operators.listDeputies(one.id)).toEqual([{ id: two.id, name: 'two', role: 'operator' }]);
  });
});
