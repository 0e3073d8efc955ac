/**
 * What the dashboard knows, as signals: the server's objects as last heard, who is signed in, and how the connection stands.
 * No rules and no requests: `live.ts` and `actions.ts` write here, views read. Whoever reads a signal while rendering is drawn again when it changes.
 */
import { computed, type Signal, signal } from '@lit-labs/signals';
import type {
  Activity,
  Agent,
  Alert,
  Approval,
  Gateway,
  Grant,
  Overview,
  Session,
  SystemState,
  Task,
  ToolCallView,
  UnreadThread,
  Upstream,
} from '../control/contract.ts';
import type { TaskStatus } from '../policies/model.ts';
import { askedAt } from './answer-age.ts';
import { numberOf } from './elements/task-text.ts';
import { tellSoon } from './pulse.ts';
import { TaskColumns } from './task-columns.ts';

/** Told of every write, before those who draw are. */
interface Follower<T> {
  set(item: T): void;
  remove(id: string): void;
  clear(): void;
}

/** Objects by id. Every read inside a render is tracked. */
export class Collection<T extends { id: string }> {
  readonly #items = new Map<string, T>();
  readonly #version = signal(0);
  /** When the stream last told of an object, by `performance.now()`. */
  readonly #heard = new Map<string, number>();
  readonly #follower: Follower<T> | null;

  constructor(follower: Follower<T> | null = null) {
    this.#follower = follower;
  }

  get(id: string): T | undefined {
    this.#version.get();
    return this.#items.get(id);
  }

  /** All objects, in the order they were first heard of. */
  all(): T[] {
    this.#version.get();
    return [...this.#items.values()];
  }

  get size(): number {
    this.#version.get();
    return this.#items.size;
  }

  /**
   * An answer that was asked for before the stream told of the object is left out: what the stream says is at least as new. It is drawn at once
   * all the same, because somebody here waits for it.
   */
  set(item: T): void {
    this.#put(item);
    this.#changed();
  }

  /** What the stream tells of an object; null = it is gone. Known at once, drawn with the next pulse. */
  hear(id: string, item: T | null): void {
    this.#heard.set(id, performance.now());
    if (item === null) this.#drop(id);
    else this.#put(item);
    tellSoon(this.#changed);
  }

  /** Many at once, told once. */
  setAll(items: readonly T[]): void {
    for (const item of items) this.#keep(item);
    if (items.length > 0) this.#changed();
  }

  remove(id: string): void {
    if (this.#drop(id)) this.#changed();
  }

  replace(items: readonly T[]): void {
    this.#heard.clear();
    this.#items.clear();
    this.#follower?.clear();
    for (const item of items) this.#keep(item);
    this.#changed();
  }

  #put(item: T): void {
    const asked = askedAt(item);
    if (asked === null || (this.#heard.get(item.id) ?? 0) <= asked) this.#keep(item);
  }

  #keep(item: T): void {
    this.#items.set(item.id, item);
    this.#follower?.set(item);
  }

  #drop(id: string): boolean {
    this.#follower?.remove(id);
    return this.#items.delete(id);
  }

  readonly #changed = (): void => this.#version.set(this.#version.get() + 1);
}

/** How a window onto an endless list is kept. */
interface WindowOptions<T> {
  /** So many are kept while they only come in. */
  narrow: number;
  /** So many while somebody reads back. */
  wide: number;
  /** Behind which object the next page starts once these are let go; the last one that is kept is of another time than they are. */
  beforeAgain: (dropped: readonly T[], kept: T) => string;
}

/**
 * The newest so many objects, newest first by `createdAt`: a window onto an endless list, small while things only come in, so that a page that
 * is open for days stays as small as it was, and large while somebody reads back. Older ones are fetched page by page.
 */
export class Recent<T extends { id: string; createdAt: number }> {
  readonly #options: WindowOptions<T>;
  readonly #version = signal(0);
  #items: readonly T[] = [];
  #limit: number;
  #known = new Set<string>();
  #before: string | null = null;

  constructor(options: WindowOptions<T>) {
    this.#options = options;
    this.#limit = options.narrow;
  }

  all(): readonly T[] {
    this.#version.get();
    return this.#items;
  }

  /** The object behind which the next older page starts; null = there is none older, or the window is full. */
  get before(): string | null {
    this.#version.get();
    return this.#known.size < this.#options.wide ? this.#before : null;
  }

  /** What the stream tells of an object: adds or updates, keeps the order. Known at once, drawn with the next pulse. */
  hear(item: T): void {
    const items = this.#items;
    if (this.#known.has(item.id)) {
      this.#items = items.with(
        items.findIndex((other) => other.id === item.id),
        item,
      );
    } else {
      this.#known.add(item.id);
      const before = items.findIndex((other) => other.createdAt <= item.createdAt);
      this.#items = items.toSpliced(before < 0 ? items.length : before, 0, item);
      this.#trim();
    }
    tellSoon(this.#changed);
  }

  /** The next older page, and whether there are more behind it. Somebody reads back, so the window grows. */
  append(older: readonly T[], hasOlder: boolean): void {
    this.widen();
    const fresh = older.filter((item) => !this.#known.has(item.id)).slice(0, this.#limit - this.#known.size);
    for (const item of fresh) this.#known.add(item.id);
    this.#before = hasOlder ? (older.at(-1)?.id ?? null) : null;
    this.#items = [...this.#items, ...fresh];
    this.#changed();
  }

  /** The first page, as the server gave it. */
  replace(items: readonly T[], hasOlder: boolean): void {
    this.#known = new Set(items.map((item) => item.id));
    this.#before = hasOlder ? (items.at(-1)?.id ?? null) : null;
    this.#items = [...items].sort((a, b) => b.createdAt - a.createdAt);
    this.#changed();
  }

  /** Somebody reads further down: what is there stays. */
  widen(): void {
    this.#limit = this.#options.wide;
  }

  /** Nobody does any more: what is old is let go, and fetched again for whoever wants it. */
  narrow(): void {
    this.#limit = this.#options.narrow;
    if (this.#trim()) this.#changed();
  }

  /** Lets go by the tenth, so that not every object that comes in moves all others; never splits what is of one moment. @returns whether any. */
  #trim(): boolean {
    const items = this.#items;
    if (items.length <= this.#limit * 1.1) return false;
    let end = this.#limit;
    while (end > 1 && items[end - 1]?.createdAt === items[end]?.createdAt) end--;
    const [kept, dropped] = [items.slice(0, end), items.slice(end)];
    const last = kept.at(-1);
    if (!last) return false;
    for (const { id } of dropped) this.#known.delete(id);
    this.#before = this.#options.beforeAgain(dropped, last);
    this.#items = kept;
    return true;
  }

  readonly #changed = (): void => this.#version.set(this.#version.get() + 1);
}

/** How the connection stands. `starting`: nothing has been heard yet; `open`: the stream is up; `lost`: it is not, and when it is tried again. */
export type Link = { state: 'starting' } | { state: 'open' } | { state: 'lost'; since: number; retryAt: number | null; error: string };

/** `unknown` until the server has said whether the cookie is good. */
export type Presence = { state: 'unknown' } | { state: 'out'; reason: string | null } | { state: 'in'; session: Session };

/** So many entries of the feed are kept while they come in, and so many while somebody reads back; the record has them all. */
const FEED = { narrow: 2_000, wide: 100_000 };

export const presence = signal<Presence>({ state: 'unknown' });
export const link = signal<Link>({ state: 'starting' });
/** When the server was last heard, on this machine's own clock; null before the first time. */
export const heardAt = signal<number | null>(null);
/** True once every list has been read at least once. */
export const loaded = signal(false);
/** Why the lists could not be read, if they could not. */
export const loadError = signal<string | null>(null);

export const overview = signal<Overview | null>(null);
export const system = signal<SystemState | null>(null);
export const agents = new Collection<Agent>();
export const approvals = new Collection<Approval>();
export const alerts = new Collection<Alert>();
export const gateways = new Collection<Gateway>();
export const upstreams = new Collection<Upstream>();
/** Standing grants, as far as a view has read them or the stream has told of them. */
export const grants = new Collection<Grant>();
const columns = new TaskColumns();
export const tasks = new Collection<Task>(columns);
/** False while older tasks are still being read, so that counts are said to be "at least". */
export const allTasksHere = signal(false);
/** Where the older finished tasks continue; null = they are all here. */
export const olderDone = signal<string | null>(null);
/** The newest call of each task, by the task's id: what an agent is doing there. */
export const latestCalls = new Collection<{ id: string; call: ToolCallView }>();
/** Threads in which the signed-in person has not read everything, by task. */
export const unread = signal<ReadonlyMap<string, UnreadThread>>(new Map());
/** Up to which comment the signed-in person has seen a task's thread here. What is said of it later may still be from before. */
export const seenUpTo = new Map<string, number>();
/** Tasks that a person has just moved and the server has not answered for, with where they are shown meanwhile. */
export const moving = signal<ReadonlyMap<string, TaskStatus>>(new Map());
/** Moves that were refused a moment ago: the sentence stands on the card. */
export const refusedMoves = signal<ReadonlyMap<string, string>>(new Map());
/** The server lists entries by their number, which need not be the order of their times. */
export const activities = new Recent<Activity>({
  ...FEED,
  beforeAgain: (dropped) => String(dropped.reduce((most, { id }) => Math.max(most, Number(id)), 0) + 1),
});
export const toolCalls = new Recent<ToolCallView>({ ...FEED, beforeAgain: (_, kept) => kept.id });

export const session = computed(() => {
  const now = presence.get();
  return now.state === 'in' ? now.session : null;
});
export const pendingApprovals = computed(() =>
  approvals
    .all()
    .filter((approval) => approval.status === 'pending')
    .sort((a, b) => a.createdAt - b.createdAt || a.number - b.number),
);
/** Held calls of each task, oldest first. */
export const heldByTask = computed(() => {
  const held = new Map<string, Approval[]>();
  for (const approval of pendingApprovals.get()) {
    if (approval.taskId === null) continue;
    const list = held.get(approval.taskId);
    if (list) list.push(approval);
    else held.set(approval.taskId, [approval]);
  }
  return held;
});
const tasksByColumn = computed(() => {
  // Read for being told of changes; the columns have followed already.
  void tasks.size;
  return columns.read(moving.get());
});
const NO_TASKS: readonly Task[] = [];
const columnSignals = new Map<TaskStatus, Signal.Computed<readonly Task[]>>();

/** The tasks of a state in the order of its column; one that is being moved stands where it is going. The same list as before where nothing changed. */
export function tasksIn(status: TaskStatus): readonly Task[] {
  const known = columnSignals.get(status) ?? computed(() => tasksByColumn.get().get(status) ?? NO_TASKS);
  columnSignals.set(status, known);
  return known.get();
}

/** What every agent is called. Told of only when one is added, named anew or removed. */
export const agentNames = computed<ReadonlyMap<string, string>>(() => new Map(agents.all().map(({ id, name }) => [id, name])), {
  equals: (a, b) => a.size === b.size && [...a].every(([id, name]) => b.get(id) === name),
});
export const openAlerts = computed(() =>
  alerts
    .all()
    .filter((alert) => !alert.resolved)
    .sort((a, b) => b.createdAt - a.createdAt),
);

/** Numbers of the tasks that this one waits for. One that is not on the board counts as done; the server knows better. */
export function openDependencies(task: Task): string[] {
  return task.dependsOn.flatMap((id) => {
    const other = tasks.get(id);
    return other && other.status !== 'done' ? [numberOf(other)] : [];
  });
}

/** Forgets everything that a signed-out person must not see. */
export function forget(): void {
  overview.set(null);
  system.set(null);
  for (const collection of [agents, approvals, alerts, gateways, upstreams, grants, tasks, latestCalls]) collection.replace([]);
  for (const recent of [activities, toolCalls]) recent.replace([], false);
  allTasksHere.set(false);
  olderDone.set(null);
  unread.set(new Map());
  seenUpTo.clear();
  moving.set(new Map());
  refusedMoves.set(new Map());
  loaded.set(false);
  loadError.set(null);
  heardAt.set(null);
  link.set({ state: 'starting' });
}
