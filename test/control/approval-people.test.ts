import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Actor } from '../../control/audit.ts';
import type { Role } from '../../control/contract.ts';
import { takeNotices } from '../../control/notices.ts';
import { ADMIN, factsOfCall, holdRequest, type Services, startServices } from '../support/services.ts';

const MINUTE = 60_000;
let services: Services;
let agentId: string;
beforeAll(async () => {
  services = await startServices();
});
beforeEach(async () => {
  await services.empty();
  agentId = (await services.agents.create(ADMIN, { name: 'a', autonomyLevel: 'specialist' })).id;
});
afterAll(() => services.close());

let count = 0;
async function ask(): Promise<string> {
  const call = factsOfCall({ id: `call-${++count}`, agentId });
  return (await services.approvals.open(holdRequest(call))).approvalId;
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
    await services.approvals.sweep();
    expect(await notices()).toEqual([]);
    for (const reminders of [1, 2, 3]) {
      services.time.now += 15 * MINUTE;
      await services.approvals.sweep();
      await services.approvals.sweep();
      expect(await services.approvals.get(id)).toMatchObject({ reminders, escalatedAt: null });
      expect(await notices()).toEqual([expect.objectContaining({ kind: 'reminder', approvalId: id, to: [approver.id, admin.id] })]);
    }
    services.time.now += 15 * MINUTE;
    await services.approvals.sweep();
    expect(await services.approvals.get(id)).toMatchObject({ reminders: 3, escalatedAt: services.time.now, status: 'pending' });
    expect(await notices()).toEqual([expect.objectContaining({ kind: 'escalation', approvalId: id, to: [admin.id] })]);
    const open = async () =>
      (await services.alerts.list({ resolved: false, limit: 10 })).items.filter(({ type }) => type === 'approval_escalated');
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
    await services.approvals.sweep();
    expect(await services.approvals.get(waits)).toMatchObject({ reminders: 2 });
    await services.approvals.decide(ADMIN, decided, 'denied', {});
    expect(await notices()).toEqual([expect.objectContaining({ approvalId: waits, to: [deputy.id] })]);
    expect(await notices()).toEqual([]);
  });
});
