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

/** The newest so many objects, newest first by `createdAt`; older ones are fetched page by page. A window onto an endless list. */
class Recent<T extends { id: string; createdAt: number }> {
  readonly #limit: number;
  readonly #items = signal<readonly T[]>([]);
  #known = new Set<string>();
  #cursor: string | null = null;

  constructor(limit: number) {
    this.#limit = limit;
  }

  all(): readonly T[] {
    return this.#items.get();
  }

  /** Where the next older page starts; null = there is none, or the window is full. */
  get cursor(): string | null {
    return this.#known.size < this.#limit ? this.#cursor : null;
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
    const next = [...items.slice(0, place), item, ...items.slice(place)];
    for (const dropped of next.splice(this.#limit)) this.#known.delete(dropped.id);
    this.#items.set(next);
  }

  /** The next older page. */
  append(older: readonly T[], cursor: string | null): void {
    const fresh = older.filter((item) => !this.#known.has(item.id)).slice(0, this.#limit - this.#known.size);
    for (const item of fresh) this.#known.add(item.id);
    this.#cursor = cursor;
    this.#items.set([...this.#items.get(), ...fresh]);
  }

  replace(items: readonly T[], cursor: string | null): void {
    const newest = [...items].sort((a, b) => b.createdAt - a.createdAt).slice(0, this.#limit);
    this.#known = new Set(newest.map((item) => item.id));
    this.#cursor = cursor;
    this.#items.set(newest);
  }
}

/** How the connection stands. `starting`: nothing has been heard yet; `open`: the stream is up; `lost`: it is not, and when it is tried again. */
export type Link = { state: 'starting' } | { state: 'open' } | { state: 'lost'; since: number; retryAt: number | null; error: string };

/** `unknown` until the server has said whether the cookie is good. */
export type Presence = { state: 'unknown' } | { state: 'out'; reason: string | null } | { state: 'in'; session: Session };

/** Beyond this the feed forgets its oldest entries; the record has them. */
const FEED_LIMIT = 100_000;

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
export const activities = new Recent<Activity>(FEED_LIMIT);
export const toolCalls = new Recent<ToolCallView>(FEED_LIMIT);

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
  for (const recent of [activities, toolCalls]) recent.replace([], null);
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
