/**
 * Reads the board's tasks: the newest of every column at once, so that the board is there in a moment, then the rest page by page behind it.
 * What the stream says of a task meanwhile is newer than any page, and wins.
 */
import type { Task } from '../control/contract.ts';
import type { TaskStatus } from '../policies/model.ts';
import * as api from './api.ts';
import * as store from './store.ts';

/** Columns whose tasks are all read; finished ones only as far as somebody scrolls. */
const OPEN: readonly TaskStatus[] = ['needs_approval', 'blocked', 'in_progress', 'review', 'assigned', 'inbox'];
const FIRST_PAGE = 60;
const PAGE = 500;
/** The first paint is not waited for longer than this. */
const PAINT_MAX_MS = 500;
/** A board with more open tasks than this shows the newest of each column. */
const MAX_PER_COLUMN = 10_000;

/** The first page of every column. */
export interface FirstTasks {
  tasks: Task[];
  /** Where each open column continues. */
  rest: readonly (readonly [TaskStatus, string])[];
  olderDone: string | null;
}

export async function readFirstTasks(): Promise<FirstTasks> {
  const statuses = [...OPEN, 'done'] as const;
  const pages = await Promise.all(statuses.map((status) => api.listTasks({ status, limit: FIRST_PAGE })));
  const done = pages.at(-1);
  return {
    tasks: pages.flatMap((page) => page.items),
    rest: OPEN.flatMap((status, i) => {
      const cursor = pages[i]?.nextCursor ?? null;
      return cursor === null ? [] : [[status, cursor] as const];
    }),
    olderDone: done?.nextCursor ?? null,
  };
}

/** Ids that the stream has spoken of since the last reading began. */
let touched: Set<string> | null = null;

/** The stream said something of this task. */
export function touchTask(id: string): void {
  touched?.add(id);
}

/** Puts the first tasks into the store and reads the rest behind them until `signal` ends it. */
export function takeFirstTasks({ tasks, rest, olderDone }: FirstTasks, signal: AbortSignal): void {
  store.tasks.replace(tasks);
  store.olderDone.set(olderDone);
  store.allTasksHere.set(rest.length === 0);
  const mine = new Set<string>();
  touched = mine;
  void (async () => {
    await painted();
    if (touched !== mine || signal.aborted) return;
    await Promise.all(rest.map(([status, cursor]) => readOn(status, cursor, mine, signal)));
    if (touched !== mine || signal.aborted) return;
    touched = null;
    store.allTasksHere.set(true);
  })();
}

/** When the first tasks are on the screen: pages that arrive before would be read and sorted instead. A page that is hidden paints nothing. */
function painted(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, PAINT_MAX_MS);
    requestAnimationFrame(() => requestAnimationFrame(() => resolve()));
  });
}

async function readOn(status: TaskStatus, from: string, mine: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
  let cursor: string | null = from;
  for (let read = 0; cursor !== null && read < MAX_PER_COLUMN; read += PAGE) {
    let page: api.Page<Task>;
    try {
      page = await api.listTasks({ status, limit: PAGE, cursor });
    } catch {
      return; // The stream's own state says that the server is away; after the reconnect everything is read anew.
    }
    if (signal.aborted || touched !== mine) return;
    store.tasks.setAll(page.items.filter((task) => !mine.has(task.id)));
    cursor = page.nextCursor;
  }
}

let readingDone = false;

/** Reads the next page of finished tasks. */
export async function readOlderDone(): Promise<void> {
  const cursor = store.olderDone.get();
  if (cursor === null || readingDone) return;
  readingDone = true;
  try {
    const page = await api.listTasks({ status: 'done', limit: PAGE, cursor });
    store.tasks.setAll(page.items.filter((task) => store.tasks.get(task.id) === undefined));
    store.olderDone.set(page.nextCursor);
  } finally {
    readingDone = false;
  }
}
