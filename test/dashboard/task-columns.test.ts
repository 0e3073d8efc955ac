import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Task } from '../../control/contract.ts';
import { byPlace } from '../../dashboard/elements/task-text.ts';
import { TaskColumns } from '../../dashboard/task-columns.ts';
import type { TaskStatus } from '../../policies/model.ts';
import { sampleTask } from './sample-task.ts';

const status = fc.constantFrom<TaskStatus>('inbox', 'assigned', 'in_progress', 'done');
const task = fc.record({
  number: fc.integer({ min: 1, max: 12 }),
  status,
  priority: fc.constantFrom<Task['priority']>('low', 'high'),
  updatedAt: fc.nat(5),
});
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ set: task }) },
  fc.record({ remove: fc.integer({ min: 1, max: 12 }) }),
  { weight: 2, arbitrary: fc.record({ read: fc.dictionary(fc.integer({ min: 1, max: 12 }).map(String), status, { maxKeys: 3 }) }) },
  { weight: 1, arbitrary: fc.constant({ clear: true as const }) },
);

it('are what sorting everything anew would give, whatever came in between', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const columns = new TaskColumns();
      const known = new Map<string, Task>();
      for (const step of [...steps, { read: {} }]) {
        if ('set' in step) {
          const changed = sampleTask({ id: String(step.set.number), ...step.set });
          known.set(changed.id, changed);
          columns.set(changed);
        } else if ('remove' in step) {
          known.delete(String(step.remove));
          columns.remove(String(step.remove));
        } else if ('clear' in step) {
          known.clear();
          columns.clear();
        } else {
          const elsewhere = new Map(Object.entries(step.read));
          const byColumn = Map.groupBy(known.values(), (one) => elsewhere.get(one.id) ?? one.status);
          const given = columns.read(elsewhere);
          for (const place of ['inbox', 'assigned', 'in_progress', 'done'] as const)
            expect(given.get(place) ?? []).toEqual([...(byColumn.get(place) ?? [])].sort(byPlace(place)));
        }
      }
    }),
  );
});

it('are the same lists as before where nothing changed, and what was given away stays as it was', () => {
  const columns = new TaskColumns();
  for (const number of [1, 2, 3]) columns.set(sampleTask({ id: String(number), number, status: 'inbox' }));
  columns.set(sampleTask({ id: '4', number: 4, status: 'done' }));
  const before = columns.read(new Map());
  columns.set(sampleTask({ id: '5', number: 5, status: 'inbox' }));
  const after = columns.read(new Map());
  expect(after.get('done')).toBe(before.get('done'));
  expect(before.get('inbox')?.map(({ number }) => number)).toEqual([3, 2, 1]);
  expect(after.get('inbox')?.map(({ number }) => number)).toEqual([5, 3, 2, 1]);
});
