/**
 * The columns of the board, kept in order while tasks come and change: a change moves one card to its place instead of sorting ten thousand.
 * A column in which nothing changed is the very same list as before, so that whoever draws it has nothing to do.
 */
import type { Task } from '../control/contract.ts';
import type { TaskStatus } from '../policies/model.ts';
import { byPlace } from './elements/task-text.ts';

/** Where tasks are shown that are on their way, by task. */
type Elsewhere = ReadonlyMap<string, TaskStatus>;

interface Placed {
  task: Task;
  status: TaskStatus;
}

export class TaskColumns {
  readonly #placed = new Map<string, Placed>();
  readonly #columns = new Map<TaskStatus, Task[]>();
  /** Columns whose list nobody has been given yet, so that it may still be changed. */
  readonly #own = new Set<TaskStatus>();
  #elsewhere: Elsewhere = new Map();

  /** A task that is new or has changed. */
  set(task: Task): void {
    this.#place(task, this.#elsewhere.get(task.id) ?? task.status);
  }

  remove(id: string): void {
    const placed = this.#placed.get(id);
    if (!placed) return;
    const list = this.#changeable(placed.status);
    list.splice(placeOf(list, placed), 1);
    this.#placed.delete(id);
  }

  clear(): void {
    this.#placed.clear();
    this.#columns.clear();
    this.#own.clear();
  }

  /** The list of every column that was ever used. One that is being moved stands where it is going. */
  read(elsewhere: Elsewhere): ReadonlyMap<TaskStatus, readonly Task[]> {
    const before = this.#elsewhere;
    this.#elsewhere = elsewhere;
    for (const id of new Set([...before.keys(), ...elsewhere.keys()])) {
      const placed = this.#placed.get(id);
      if (placed) this.set(placed.task);
    }
    this.#own.clear();
    return new Map(this.#columns);
  }

  #place(task: Task, status: TaskStatus): void {
    const placed = this.#placed.get(task.id);
    if (placed?.task === task && placed.status === status) return;
    this.remove(task.id);
    const now = { task, status };
    const list = this.#changeable(status);
    list.splice(placeOf(list, now), 0, task);
    this.#placed.set(task.id, now);
  }

  /** What was given away is not changed under those who have it. */
  #changeable(status: TaskStatus): Task[] {
    const known = this.#columns.get(status);
    if (known && this.#own.has(status)) return known;
    const list = known ? [...known] : [];
    this.#columns.set(status, list);
    this.#own.add(status);
    return list;
  }
}

/** The place of a task in its column, or where it would go. No two tasks share a number, so there is one. */
function placeOf(list: readonly Task[], { task, status }: Placed): number {
  const compare = byPlace(status);
  let [low, high] = [0, list.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const other = list[middle];
    if (other !== undefined && compare(other, task) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
