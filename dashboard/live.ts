/**
 * The one event stream → store. Opens it, applies what it says, notices when it goes quiet, tries again and resumes where it was.
 * Whatever happens, the store is never a mix of two pasts: lists are read after the stream is open, and what arrives meanwhile is applied on top.
 */
import type {
  Activity,
  Agent,
  Alert,
  Approval,
  BeatEvent,
  ChangeEvent,
  Gateway,
  Overview,
  Task,
  ToolCallView,
  Topic,
  Upstream,
} from '../control/contract.ts';
import * as api from './api.ts';
import { heardServerTime } from './clock.ts';
import { EventParser, type StreamEvent } from './event-parser.ts';
import * as store from './store.ts';
import { readFirstTasks, takeFirstTasks, touchTask } from './task-pages.ts';

/** The server beats every second; this much silence means that the connection is dead without knowing it. */
const SILENCE_MS = 6_000;
const RETRY_MS = [500, 1_000, 2_000, 4_000, 8_000] as const;
/** Cheap header figures are asked for again at most this often while things change. */
const OVERVIEW_MS = 2_000;
/** Decided approvals and resolved alerts that are kept for looking back. */
const KEEP_SETTLED = 300;
const FIRST_PAGE = 100;

export interface Live {
  /** Tries again at once instead of waiting. */
  retryNow(): void;
  stop(): void;
}

/** Keeps the store live until stopped. */
export function startLive(): Live {
  const stopped = new AbortController();
  let wake = () => {};
  const retryNow = () => wake();
  addEventListener('online', retryNow);
  addEventListener('visibilitychange', retryNow);

  void (async () => {
    let lastEventId: string | null = null;
    let failures = 0;
    while (!stopped.signal.aborted) {
      const connection = new Connection(lastEventId, stopped.signal);
      const error = await connection.run();
      if (stopped.signal.aborted) return;
      lastEventId = connection.resumable && store.allTasksHere.get() ? connection.lastEventId : null;
      failures = connection.opened ? 0 : failures + 1;
      const delay = RETRY_MS[Math.min(failures, RETRY_MS.length - 1)] ?? 0;
      store.link.set({ state: 'lost', since: store.heardAt.get() ?? Date.now(), retryAt: Date.now() + delay, error });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delay);
        wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  })();

  return {
    retryNow,
    stop() {
      removeEventListener('online', retryNow);
      removeEventListener('visibilitychange', retryNow);
      stopped.abort();
      wake();
    },
  };
}

/** One stream from its opening to its end. */
class Connection {
  lastEventId: string | null;
  /** The stream was up at least for a moment. */
  opened = false;
  /** The lists are in the store, so a later stream may continue from `lastEventId` instead of reading all again. */
  resumable: boolean;
  readonly #aborted = new AbortController();
  /** Changes that arrived while the lists were being read; null when they are not. */
  #meanwhile: ChangeEvent[] | null = null;
  #failure = 'The connection was closed.';

  constructor(lastEventId: string | null, stopped: AbortSignal) {
    this.lastEventId = lastEventId;
    this.resumable = lastEventId !== null;
    stopped.addEventListener('abort', () => this.#aborted.abort(), { signal: this.#aborted.signal });
  }

  /** Answers why it ended. */
  async run(): Promise<string> {
    let watchdog: ReturnType<typeof setTimeout> | undefined;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => this.#fail('Nothing was heard for 6 s.'), SILENCE_MS);
    };
    try {
      heard();
      const body = await api.openEvents(this.lastEventId, this.#aborted.signal);
      if (!this.resumable) this.#readLists();
      const parser = new EventParser();
      const decoder = new TextDecoder();
      const reader = body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        heard();
        this.opened = true;
        store.heardAt.set(Date.now());
        if (store.link.get().state !== 'open') store.link.set({ state: 'open' });
        for (const event of parser.push(decoder.decode(value, { stream: true }))) this.#take(event);
      }
    } catch (error) {
      if (!this.#aborted.signal.aborted) this.#failure = error instanceof Error ? error.message : String(error);
    } finally {
      clearTimeout(watchdog);
      this.#aborted.abort();
    }
    return this.#failure;
  }

  #fail(why: string): void {
    this.#failure = why;
    this.#aborted.abort();
  }

  #take(event: StreamEvent): void {
    if (event.id !== null) this.lastEventId = event.id;
    if (event.name === 'reset') {
      this.#readLists();
    } else if (event.name === 'beat') {
      heardServerTime((JSON.parse(event.data) as BeatEvent).at);
    } else if (event.name === 'change') {
      const change = JSON.parse(event.data) as ChangeEvent;
      if (this.#meanwhile) this.#meanwhile.push(change);
      else apply(change);
    }
  }

  /** Reads every list anew; a second reset while reading starts over. */
  #readLists(): void {
    const mine: ChangeEvent[] = [];
    this.#meanwhile = mine;
    readLists().then(
      (put) => {
        if (this.#meanwhile !== mine || this.#aborted.signal.aborted) return;
        put(this.#aborted.signal);
        this.#meanwhile = null;
        for (const change of mine) apply(change);
        this.resumable = true;
      },
      (error: unknown) => {
        if (this.#meanwhile !== mine) return;
        const why = error instanceof Error ? error.message : String(error);
        store.loadError.set(why);
        this.#fail(why);
      },
    );
  }
}

/** Reads everything and answers how to put it into the store, all at once. */
async function readLists(): Promise<(connection: AbortSignal) => void> {
  const [overview, agents, pending, recent, alerts, gateways, upstreams, tasks, activities, calls] = await Promise.all([
    api.readOverview(),
    api.listAgents(),
    api.listPendingApprovals(),
    api.listApprovals({ status: 'all', limit: FIRST_PAGE }),
    api.listOpenAlerts(),
    api.listGateways(),
    api.listUpstreams(),
    readFirstTasks(),
    api.listActivities({ limit: FIRST_PAGE }),
    api.listToolCalls({ limit: FIRST_PAGE }),
  ]);
  return (connection) => {
    heardServerTime(overview.serverTime);
    takeOverview(overview);
    store.agents.replace(agents);
    store.approvals.replace([...recent.items, ...pending]);
    store.alerts.replace(alerts);
    store.gateways.replace(gateways);
    store.upstreams.replace(upstreams);
    takeFirstTasks(tasks, connection);
    store.activities.replace(activities.items, activities.nextCursor);
    store.toolCalls.replace(calls.items, calls.nextCursor);
    store.latestCalls.replace([]);
    for (const call of [...calls.items].reverse()) noteLatest(call);
    store.loadError.set(null);
    store.loaded.set(true);
  };
}

/** Puts one change into the store. Runs are read by the views that show them. */
function apply(change: ChangeEvent): void {
  const { topic, id, data } = change;
  switch (topic satisfies Topic) {
    case 'agent':
      put(store.agents, id, data as Agent | null);
      refreshOverview();
      break;
    case 'approval':
      put(store.approvals, id, data as Approval | null);
      keepRecent(store.approvals, (approval) => (approval.status === 'pending' ? null : (approval.decidedAt ?? approval.createdAt)));
      break;
    case 'alert':
      put(store.alerts, id, data as Alert | null);
      keepRecent(store.alerts, (alert) => (alert.resolved ? alert.createdAt : null));
      break;
    case 'gateway':
      put(store.gateways, id, data as Gateway | null);
      break;
    case 'upstream':
      put(store.upstreams, id, data as Upstream | null);
      break;
    case 'activity':
      if (data !== null) store.activities.set(data as Activity);
      break;
    case 'tool_call':
      if (data !== null) store.toolCalls.set(data as ToolCallView);
      if (data !== null) noteLatest(data as ToolCallView);
      break;
    case 'system':
      if (data !== null) takeOverview(data as Overview);
      break;
    case 'policy':
      refreshOverview();
      break;
    case 'task':
      touchTask(id);
      put(store.tasks, id, data as Task | null);
      break;
    case 'run':
    case 'grant':
      break;
  }
}

function takeOverview(overview: Overview): void {
  store.overview.set(overview);
  store.system.set(overview.system);
}

function put<T extends { id: string }>(collection: store.Collection<T>, id: string, data: T | null): void {
  if (data === null) collection.remove(id);
  else collection.set(data);
}

/** Keeps the newest call of each task. */
function noteLatest(call: ToolCallView): void {
  if (call.taskId === null) return;
  const known = store.latestCalls.get(call.taskId);
  if (!known || known.call.createdAt <= call.createdAt) store.latestCalls.set({ id: call.taskId, call });
}

/** Lets the oldest settled objects go once there are too many. `settledAt` null = still open, kept always. */
function keepRecent<T extends { id: string }>(collection: store.Collection<T>, settledAt: (item: T) => number | null): void {
  const settled = collection.all().filter((item) => settledAt(item) !== null);
  if (settled.length <= KEEP_SETTLED * 1.2) return;
  settled.sort((a, b) => (settledAt(a) ?? 0) - (settledAt(b) ?? 0));
  for (const item of settled.slice(0, settled.length - KEEP_SETTLED)) collection.remove(item.id);
}

let overviewDue = false;

function refreshOverview(): void {
  if (overviewDue) return;
  overviewDue = true;
  setTimeout(async () => {
    overviewDue = false;
    try {
      takeOverview(await api.readOverview());
    } catch {
      // The header keeps its last figure; the stream's own state says whether the server is there.
    }
  }, OVERVIEW_MS);
}
