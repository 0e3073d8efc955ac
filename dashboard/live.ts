/**
 * The event stream → store: reads the lists, applies what the stream says, and begins anew where something may be missing.
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
  Grant,
  Overview,
  Task,
  ToolCallView,
  Topic,
  UnreadThread,
  Upstream,
} from '../control/contract.ts';
import * as api from './api.ts';
import { heardServerTime } from './clock.ts';
import { type EventLink, type LinkListener, openEventLink } from './event-link.ts';
import type { StreamEvent } from './event-parser.ts';
import * as store from './store.ts';
import { readFirstTasks, takeFirstTasks, touchTask } from './task-pages.ts';

/** Cheap header figures are asked for again at most this often while things change. */
const OVERVIEW_MS = 2_000;
const UNREAD_MS = 500;
/** The age of what is shown is known this exactly. */
const HEARD_STEP_MS = 250;
/** Decided approvals and resolved alerts that are kept for looking back. */
const KEEP_SETTLED = 300;
const FIRST_PAGE = 100;

/**
 * Keeps the store live until stopped.
 * @param owner whose session it is; the tabs of one owner share the stream
 * @param peopleChanged told when somebody's name or role was changed, perhaps the owner's
 */
export function startLive(owner: string, peopleChanged: () => void): EventLink {
  const picture = new Picture((why) => link.fail(why), peopleChanged);
  const link = openEventLink(owner, picture);
  return {
    ...link,
    stop() {
      link.stop();
      picture.end();
    },
  };
}

/** What this tab knows, kept by the stream: the lists, read once the stream is open, and every change since. */
class Picture implements LinkListener {
  readonly #fail: (why: string) => void;
  readonly #peopleChanged: () => void;
  /** The lists are in the store, so a later stream may go on instead of reading all again. */
  #isRead = false;
  /** Changes that arrived while the lists were being read; null when they are not. */
  #meanwhile: ChangeEvent[] | null = null;
  #wasOpen = false;
  /** The time between an opening and the loss of the stream. */
  #open = new AbortController();

  constructor(fail: (why: string) => void, peopleChanged: () => void) {
    this.#fail = fail;
    this.#peopleChanged = peopleChanged;
  }

  isWhole(): boolean {
    return this.#isRead && store.allTasksHere.get();
  }

  opened(resumed: boolean): void {
    this.#open.abort();
    this.#open = new AbortController();
    this.#meanwhile = null;
    if (!resumed) {
      this.#readLists();
      // What was missed may have been about the owner.
      if (this.#wasOpen) this.#peopleChanged();
    }
    this.#wasOpen = true;
  }

  heard(): void {
    const now = Date.now();
    // Ages are told in seconds: not every event has to move the clock of all.
    if (Math.abs(now - (store.heardAt.get() ?? 0)) >= HEARD_STEP_MS) store.heardAt.set(now);
    if (store.link.get().state !== 'open') store.link.set({ state: 'open' });
  }

  take(event: StreamEvent): void {
    if (event.name === 'reset') {
      this.#readLists();
    } else if (event.name === 'beat') {
      heardServerTime((JSON.parse(event.data) as BeatEvent).at);
    } else if (event.name === 'change') {
      const change = JSON.parse(event.data) as ChangeEvent;
      if (change.topic === 'activity' && (change.data as Activity | null)?.type === 'operator_updated') this.#peopleChanged();
      if (this.#meanwhile) this.#meanwhile.push(change);
      else apply(change);
    }
  }

  lost(why: string, retryAt: number): void {
    this.end();
    store.link.set({ state: 'lost', since: store.heardAt.get() ?? Date.now(), retryAt, error: why });
  }

  end(): void {
    this.#open.abort();
    this.#meanwhile = null;
  }

  /** Reads every list anew; a second reset while reading starts over. */
  #readLists(): void {
    const mine: ChangeEvent[] = [];
    const { signal } = this.#open;
    this.#meanwhile = mine;
    this.#isRead = false;
    readLists().then(
      (put) => {
        if (this.#meanwhile !== mine || signal.aborted) return;
        put(signal);
        this.#meanwhile = null;
        for (const change of mine) apply(change);
        this.#isRead = true;
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
  const [overview, agents, pending, recent, alerts, gateways, upstreams, tasks, activities, calls, unread] = await Promise.all([
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
    api.readUnread(),
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
    store.activities.replace(activities.items, activities.nextCursor !== null);
    store.toolCalls.replace(calls.items, calls.nextCursor !== null);
    store.latestCalls.replace([]);
    for (const call of [...calls.items].reverse()) noteLatest(call);
    takeUnread(unread);
    store.loadError.set(null);
    store.loaded.set(true);
  };
}

/** Puts one change into the store. Runs are read by the views that show them. */
function apply(change: ChangeEvent): void {
  const { topic, id, data } = change;
  switch (topic satisfies Topic) {
    case 'agent':
      store.agents.hear(id, data as Agent | null);
      refreshOverview();
      break;
    case 'approval':
      store.approvals.hear(id, data as Approval | null);
      keepRecent(store.approvals, (approval) => (approval.status === 'pending' ? null : (approval.decidedAt ?? approval.createdAt)));
      break;
    case 'alert':
      store.alerts.hear(id, data as Alert | null);
      keepRecent(store.alerts, (alert) => (alert.resolved ? alert.createdAt : null));
      break;
    case 'gateway':
      store.gateways.hear(id, data as Gateway | null);
      break;
    case 'upstream':
      store.upstreams.hear(id, data as Upstream | null);
      break;
    case 'activity':
      if (data !== null) store.activities.hear(data as Activity);
      if ((data as Activity | null)?.type === 'comment_posted') refreshUnread();
      break;
    case 'tool_call':
      if (data !== null) store.toolCalls.hear(data as ToolCallView);
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
      store.tasks.hear(id, data as Task | null);
      break;
    case 'grant':
      store.grants.hear(id, data as Grant | null);
      break;
    case 'run':
      break;
  }
}

function takeOverview(overview: Overview): void {
  store.overview.set(overview);
  store.system.set(overview.system);
}

/** Keeps the newest call of each task. */
function noteLatest(call: ToolCallView): void {
  if (call.taskId === null) return;
  const known = store.latestCalls.get(call.taskId);
  if (!known || known.call.createdAt <= call.createdAt) store.latestCalls.hear(call.taskId, { id: call.taskId, call });
}

/** Lets the oldest settled objects go once there are too many. `settledAt` null = still open, kept always. */
function keepRecent<T extends { id: string }>(collection: store.Collection<T>, settledAt: (item: T) => number | null): void {
  const settled = collection.all().filter((item) => settledAt(item) !== null);
  if (settled.length <= KEEP_SETTLED * 1.2) return;
  settled.sort((a, b) => (settledAt(a) ?? 0) - (settledAt(b) ?? 0));
  for (const item of settled.slice(0, settled.length - KEEP_SETTLED)) collection.remove(item.id);
}

function takeUnread(threads: readonly UnreadThread[]): void {
  const news = threads.filter(({ taskId, lastNumber }) => lastNumber > (store.seenUpTo.get(taskId) ?? 0));
  store.unread.set(new Map(news.map((thread) => [thread.taskId, thread])));
}

let unreadDue = false;

function refreshUnread(): void {
  if (unreadDue) return;
  unreadDue = true;
  setTimeout(async () => {
    unreadDue = false;
    try {
      takeUnread(await api.readUnread());
    } catch {
      // The numbers stay as they were; the next comment, or the next reading of the lists, brings them up to date.
    }
  }, UNREAD_MS);
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
