/**
 * What the dashboard knows, as signals: the server's objects as last heard, who is signed in, and how the connection stands.
 * No rules and no requests: `live.ts` and `actions.ts` write here, views read. Whoever reads a signal while rendering is drawn again when it changes.
 */
import { computed, signal } from '@lit-labs/signals';
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
import { byPlace, numberOf } from './elements/task-text.ts';

/** Objects by id. Every read inside a render is tracked; a write that changes nothing tells nobody. */
export class Collection<T extends { id: string }> {
  readonly #items = new Map<string, T>();
  readonly #version = signal(0);
  /** When the stream last told of an object, by `performance.now()`. */
  readonly #heard = new Map<string, number>();

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

  /** An answer that was asked for before the stream told of the object is left out: what the stream says is at least as new. */
  set(item: T): void {
    const asked = askedAt(item);
    if (asked !== null && (this.#heard.get(item.id) ?? 0) > asked) return;
    this.#items.set(item.id, item);
    this.#changed();
  }

  /** What the stream tells of an object; null = it is gone. */
  hear(id: string, item: T | null): void {
    this.#heard.set(id, performance.now());
    if (item === null) this.remove(id);
    else this.set(item);
  }

  /** Many at once, told once. */
  setAll(items: readonly T[]): void {
    for (const item of items) this.#items.set(item.id, item);
    if (items.length > 0) this.#changed();
  }

  remove(id: string): void {
    if (this.#items.delete(id)) this.#changed();
  }

  replace(items: readonly T[]): void {
    this.#heard.clear();
    this.#items.clear();
    for (const item of items) this.#items.set(item.id, item);
    this.#changed();
  }

  #changed(): void {
    this.#version.set(this.#version.get() + 1);
  }
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
  readonly #items = signal<readonly T[]>([]);
  #limit: number;
  #known = new Set<string>();
  #before: string | null = null;

  constructor(options: WindowOptions<T>) {
    this.#options = options;
    this.#limit = options.narrow;
  }

  all(): readonly T[] {
    return this.#items.get();
  }

  /** The object behind which the next older page starts; null = there is none older, or the window is full. */
  get before(): string | null {
    return this.#known.size < this.#options.wide ? this.#before : null;
  }

  /** Adds or updates; keeps the order. */
  set(item: T): void {
    const items = this.#items.get();
    if (this.#known.has(item.id)) {
      this.#items.set(
        items.with(
          items.findIndex((other) => other.id === item.id),
          item,
        ),
      );
      return;
    }
    this.#known.add(item.id);
    const before = items.findIndex((other) => other.createdAt <= item.createdAt);
    const place = before < 0 ? items.length : before;
    this.#items.set([...items.slice(0, place), item, ...items.slice(place)]);
    this.#trim();
  }

  /** The next older page, and whether there are more behind it. Somebody reads back, so the window grows. */
  append(older: readonly T[], hasOlder: boolean): void {
    this.widen();
    const fresh = older.filter((item) => !this.#known.has(item.id)).slice(0, this.#limit - this.#known.size);
    for (const item of fresh) this.#known.add(item.id);
    this.#before = hasOlder ? (older.at(-1)?.id ?? null) : null;
    this.#items.set([...this.#items.get(), ...fresh]);
  }

  /** The first page, as the server gave it. */
  replace(items: readonly T[], hasOlder: boolean): void {
    this.#known = new Set(items.map((item) => item.id));
    this.#before = hasOlder ? (items.at(-1)?.id ?? null) : null;
    this.#items.set([...items].sort((a, b) => b.createdAt - a.createdAt));
  }

  /** Somebody reads further down: what is there stays. */
  widen(): void {
    this.#limit = this.#options.wide;
  }

  /** Nobody does any more: what is old is let go, and fetched again for whoever wants it. */
  narrow(): void {
    this.#limit = this.#options.narrow;
    this.#trim();
  }

  /** Lets go by the tenth, so that not every object that comes in moves all others; never splits what is of one moment. */
  #trim(): void {
    const items = this.#items.get();
    if (items.length <= this.#limit * 1.1) return;
    let end = this.#limit;
    while (end > 1 && items[end - 1]?.createdAt === items[end]?.createdAt) end--;
    const [kept, dropped] = [items.slice(0, end), items.slice(end)];
    const last = kept.at(-1);
    if (!last) return;
    for (const { id } of dropped) this.#known.delete(id);
    this.#before = this.#options.beforeAgain(dropped, last);
    this.#items.set(kept);
  }
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
export const tasks = new Collection<Task>();
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
/** The tasks of each state in the order of its column; one that is being moved stands where it is going. */
export const tasksByColumn = computed(() => {
  const columns = new Map<TaskStatus, Task[]>();
  const elsewhere = moving.get();
  for (const task of tasks.all()) {
    const status = elsewhere.get(task.id) ?? task.status;
    const list = columns.get(status);
    if (list) list.push(task);
    else columns.set(status, [task]);
  }
  for (const [status, list] of columns) list.sort(byPlace(status));
  return columns;
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
