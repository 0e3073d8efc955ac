import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TASK_STATUSES, type TaskStatus } from '../../policies/index.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

const HUMAN = { kind: 'human', id: 'admin', name: 'admin', role: 'admin', csrfToken: null } as const;
const CLOSING = { deliverableConfirmed: true, decisionNote: 'good work' };
/** Where the system may take a task by itself, from where (the plan's table). INBOX to ASSIGNED is legal too, and nothing does it. */
const LEGAL: Readonly<Record<'needs_approval' | 'blocked', readonly TaskStatus[]>> = {
  needs_approval: ['inbox', 'assigned', 'in_progress', 'review', 'blocked'],
  blocked: ['inbox', 'assigned', 'in_progress', 'review', 'needs_approval'],
};
/** The moves of a person that lead to a state. */
const WAY: Record<TaskStatus, readonly TaskStatus[]> = {
  inbox: [],
  assigned: ['assigned'],
  in_progress: ['assigned', 'in_progress'],
  review: ['assigned', 'in_progress', 'review'],
  needs_approval: ['assigned', 'in_progress', 'review', 'needs_approval'],
  blocked: ['blocked'],
  done: ['assigned', 'in_progress', 'review', 'done'],
  canceled: ['canceled'],
};

let services: Services;
let agentId: string;
beforeAll(async () => {
  services = await startServices();
  agentId = (await services.agents.create(ADMIN, { name: 'ada' })).id;
});
afterAll(() => services.close());

async function taskIn(state: TaskStatus): Promise<string> {
  const fields = { title: state, type: 'ops' as const, assigneeIds: [agentId], workPlan: 'p', deliverable: 'd', selfReview: 's' };
  const { id } = await services.tasks.create(ADMIN, fields);
  for (const to of WAY[state]) await services.tasks.move(HUMAN, ADMIN, id, { to, ...(to === 'done' && { artifacts: CLOSING }) });
  return id;
}
const statusOf = async (id: string) => (await services.tasks.get(id)).status;
const bySystem = async (id: string) =>
  (await services.tasks.transitions(id))
    .filter(({ actor }) => actor === 'system')
    .map(({ fromStatus, toStatus }) => [fromStatus, toStatus]);

/** The doors through which workers, caps, holds and the stop move tasks. */
const DOORS = {
  needs_approval: (id: string) => services.db.transaction().execute((tx) => services.tasks.hold(tx, id, 'a call waits')),
  blocked: (id: string) => services.db.transaction().execute((tx) => services.tasks.block(tx, id, 'a loop')),
};

describe.each(TASK_STATUSES)('the system, on a task in %s', (from) => {
  it.each(['needs_approval', 'blocked'] as const)('moves it to %s where that is its move, and leaves it alone elsewhere', async (to) => {
    const id = await taskIn(from);
    await DOORS[to](id);
    // Done again, by another process or after a crash, it changes nothing.
    await DOORS[to](id);
    const isLegal = LEGAL[to].includes(from);
    expect(await statusOf(id)).toBe(isLegal ? to : from);
    expect(await bySystem(id)).toEqual(isLegal ? [[from, to]] : []);
  });
});

it('the stop blocks every open task and no other', async () => {
  const ids = new Map<TaskStatus, string>();
  for (const state of TASK_STATUSES) ids.set(state, await taskIn(state));
  await services.db.transaction().execute((tx) => services.tasks.blockAll(tx, 'stopped'));
  for (const [state, id] of ids) {
    const isOpen = LEGAL.blocked.includes(state);
    expect(await statusOf(id)).toBe(isOpen ? 'blocked' : state);
    expect(await bySystem(id)).toEqual(isOpen ? [[state, 'blocked']] : []);
  }
});

it('of a person and the system at the same moment both moves are made, one after the other, or one is refused', async () => {
  for (let nth = 0; nth < 10; nth++) {
    const id = await taskIn('in_progress');
    const person = () =>
      services.tasks.move(HUMAN, ADMIN, id, { to: 'review' }).then(
        () => 'review',
        (error: { code?: string }) => error.code,
      );
    const [moved] = await Promise.all(nth % 2 === 0 ? [person(), DOORS.blocked(id)] : [DOORS.blocked(id).then(() => null), person()]);
    const chain = (await services.tasks.transitions(id)).slice(2).map(({ fromStatus, toStatus }) => `${fromStatus} ${toStatus}`);
    expect(['in_progress review,review blocked', 'in_progress blocked']).toContain(chain.join());
    if (moved !== null) expect(moved).toBe(chain.length === 2 ? 'review' : 'INVALID_TRANSITION');
    expect(await statusOf(id)).toBe('blocked');
  }
});
