/** Who has read what in the threads of tasks. */
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { Actor } from '../../control/audit.ts';
import { createReads, type Reads } from '../../control/reads.ts';
import { ADMIN, type Services, startServices } from '../support/services.ts';

let services: Services;
let reads: Reads;
let ann: Actor & { id: string };
let bo: Actor & { id: string };
beforeAll(async () => {
  services = await startServices();
  reads = createReads(services.base);
});
afterAll(() => services.close());
beforeEach(async () => {
  await services.empty();
  [ann, bo] = [await person('Ann'), await person('Bo')];
});

async function person(name: string): Promise<Actor & { id: string }> {
  const { id } = await services.operators.create(ADMIN, { name, role: 'approver' });
  return { type: 'human', id, name };
}
const newTask = async (title = 'Ship it') => (await services.tasks.create(ADMIN, { title, type: 'engineering' })).id;
const say = (by: Actor, taskId: string, content: string) => services.messages.post(by, { taskId, content });
const unread = async (who: { id: string }) =>
  (await reads.unread(who.id)).map(({ taskId, unread: count, named }) => [taskId, count, named] as const);

it('counts what others wrote since, for who follows the thread, and who is named in it follows it', async () => {
  const task = await newTask();
  await say(ann, task, 'begun');
  expect(await unread(ann)).toEqual([]);
  expect(await unread(bo)).toEqual([]);
  await say(ann, task, 'what do you think, @Bo?');
  await say(bo, task, 'good');
  await say(bo, task, 'and @Ann, go on');
  expect(await unread(ann)).toEqual([[task, 2, 1]]);
  expect(await unread(bo)).toEqual([[task, 2, 1]]);
});

it('goes forward only, one reader at a time, and never past what is there', async () => {
  const [task, other] = [await newTask(), await newTask('Another')];
  const first = await say(ann, task, '@Bo one');
  await say(ann, task, 'two');
  await say(ann, other, '@Bo three');
  expect(await unread(bo)).toEqual([
    [other, 1, 1],
    [task, 2, 1],
  ]);
  await reads.markRead(bo.id, task, first.number);
  expect(await unread(bo)).toEqual([
    [other, 1, 1],
    [task, 1, 0],
  ]);
  await reads.markRead(bo.id, task, 1_000_000);
  await reads.markRead(bo.id, task, first.number);
  await reads.markRead(bo.id, other, null);
  expect(await unread(bo)).toEqual([]);
  await say(ann, task, 'four');
  expect(await unread(bo)).toEqual([[task, 1, 0]]);
  await say(bo, other, 'mine');
  expect(await unread(ann)).toEqual([[other, 1, 0]]);
  await expect(reads.markRead(bo.id, 'no-such-task', null)).rejects.toMatchObject({ status: 404 });
});
