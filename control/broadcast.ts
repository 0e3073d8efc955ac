/**
 * Outbox to watchers: the only publisher. Services write outbox rows in their own transactions; after the commit they call
 * `published()`, and this reads what is new, in order, and hands it on: raw rows to the lines of the proxies, loaded objects
 * to the server-sent events. An event's id is its outbox id, so a watcher can resume where it left off.
 *
 * Of several control processes each reads the one outbox for its own watchers: at once when the bus says that another one has written, and
 * a moment later anyway, because the bus only carries hints.
 */
import type { ChangeEvent, Topic } from './contract.ts';
import { TOPICS } from './contract.ts';
import type { Db } from './db/database.ts';

export interface OutboxRow {
  id: number;
  topic: Topic;
  entityId: string;
  at: number;
}

/** Changes in order, several of one object as its latest state, and the outbox id that a watcher resumes from. */
export interface ChangeBatch {
  events: ChangeEvent[];
  lastId: number;
}

/** Loads what GET of an object would answer now; null where it is gone. */
export type ViewLoaders = Readonly<Record<Topic, (id: string) => Promise<unknown>>>;

export type Broadcast = ReturnType<typeof createBroadcast>;

const PAGE = 500;
/** How far back a watcher may resume; older rows are deleted. */
const KEEP_ROWS = 20_000;
/** Where others write to the outbox too, it is looked at this often without any hint. */
const LOOK_MS = 200;
/** A process that could not look for this long does not know any more what holds. */
const BLIND_MS = 3_000;

interface Dependencies {
  db: Db;
  onError: (error: unknown) => void;
  /** Tells the other processes that there is something to read; absent = there are none. */
  hint?: () => void;
}

/** @param dependencies with `hint` where other processes write to the same outbox. */
export function createBroadcast({ db, onError, hint }: Dependencies) {
  const rowListeners = new Set<(rows: readonly OutboxRow[]) => void>();
  const changeListeners = new Set<(batch: ChangeBatch) => void>();
  const lossListeners = new Set<() => void>();
  let prepare: (rows: readonly OutboxRow[]) => Promise<void> = async () => {};
  let looking: NodeJS.Timeout | null = null;
  let lookedAt = performance.now();
  let loaders: ViewLoaders | null = null;
  let cursor: number | null = null;
  let running: Promise<void> | null = null;
  let again = false;
  let stopped = false;
  let isFailing = false;

  /**
   * Starts at the newest row: watchers that connect load the present state themselves.
   * @param before runs to its end before anybody else hears of rows, so that what this process remembers is as new as they are.
   */
  async function start(views: ViewLoaders, before?: (rows: readonly OutboxRow[]) => Promise<void>): Promise<void> {
    loaders = views;
    if (before) prepare = before;
    cursor = await newestId(db);
    lookedAt = performance.now();
    if (hint) looking = setInterval(look, LOOK_MS);
  }

  /** To be called after every commit that wrote to the outbox; returns at once. */
  function published(): void {
    hint?.();
    look();
  }

  /** Hands on what is new, whoever wrote it; returns at once. */
  function look(): void {
    if (cursor === null || stopped) return;
    if (running) {
      again = true;
      return;
    }
    running = drain()
      .then(
        () => {
          isFailing = false;
        },
        (error) => {
          if (!isFailing) onError(error);
          isFailing = true;
        },
      )
      .finally(() => {
        running = null;
        if (again) {
          again = false;
          look();
        }
      });
  }

  async function drain(): Promise<void> {
    for (;;) {
      const after = cursor ?? 0;
      const askedAt = performance.now();
      const rows = await readRows(db, after, PAGE);
      const last = rows.at(-1);
      if (last) await prepare(rows);
      lookedAt = askedAt;
      if (!last) return;
      // A process that stood still for long finds that rows it has not read are deleted already.
      if (hint && (rows[0]?.id ?? 0) > after + 1 && !(await hasRowsUpTo(after))) for (const listener of lossListeners) listener();
      cursor = last.id;
      for (const listener of rowListeners) listener(rows);
      if (changeListeners.size > 0) {
        const batch = { events: await load(rows), lastId: last.id };
        for (const listener of changeListeners) listener(batch);
      }
      if (last.id % KEEP_ROWS < PAGE)
        await db
          .deleteFrom('outbox')
          .where('id', '<', last.id - KEEP_ROWS)
          .execute();
      if (rows.length < PAGE) return;
    }
  }

  async function hasRowsUpTo(id: number): Promise<boolean> {
    return (await db.selectFrom('outbox').select('id').where('id', '<=', id).limit(1).executeTakeFirst()) !== undefined;
  }

  /** Several changes of one object become its latest state, once. */
  async function load(rows: readonly OutboxRow[]): Promise<ChangeEvent[]> {
    const latest = new Map<string, OutboxRow>();
    for (const row of rows) {
      const key = `${row.topic} ${row.entityId}`;
      latest.delete(key);
      latest.set(key, row);
    }
    const events: ChangeEvent[] = [];
    for (const row of latest.values()) {
      const data = (await loaders?.[row.topic](row.entityId)) ?? null;
      events.push({ topic: row.topic, id: row.entityId, at: row.at, data });
    }
    return events;
  }

  /**
   * What happened after `id`, or null where that is too far back (or from another database): then everything must be
   * fetched again.
   */
  async function since(id: number): Promise<ChangeBatch | null> {
    const newest = await newestId(db);
    const oldest = (await db.selectFrom('outbox').select('id').orderBy('id').limit(1).executeTakeFirst())?.id ?? newest + 1;
    if (id > newest || id < oldest - 1 || newest - id > PAGE) return null;
    const rows = await readRows(db, id, PAGE);
    return { events: await load(rows), lastId: rows.at(-1)?.id ?? id };
  }

  function onRows(listener: (rows: readonly OutboxRow[]) => void): () => void {
    rowListeners.add(listener);
    return () => rowListeners.delete(listener);
  }

  function onChanges(listener: (batch: ChangeBatch) => void): () => void {
    changeListeners.add(listener);
    return () => changeListeners.delete(listener);
  }

  /** Has `listener` called where changes may have been missed: whoever passes them on must begin anew. */
  function onLoss(listener: () => void): () => void {
    lossListeners.add(listener);
    return () => lossListeners.delete(listener);
  }

  /** Whether this process knows what has been changed until a moment ago. Alone it always does. */
  function isCurrent(): boolean {
    return !hint || performance.now() - lookedAt < BLIND_MS;
  }

  /** Waits until everything that was committed before has been handed on. @returns the outbox id that this reached. */
  async function drained(): Promise<number> {
    published();
    while (running) await running;
    return cursor ?? 0;
  }

  async function stop(): Promise<void> {
    stopped = true;
    if (looking) clearInterval(looking);
    await running;
  }

  return { start, published, look, drained, since, onRows, onChanges, onLoss, isCurrent, stop, cursor: () => cursor ?? 0 };
}

async function newestId(db: Db): Promise<number> {
  const row = await db.selectFrom('outbox').select('id').orderBy('id', 'desc').limit(1).executeTakeFirst();
  return row?.id ?? 0;
}

async function readRows(db: Db, after: number, limit: number): Promise<OutboxRow[]> {
  const rows = await db.selectFrom('outbox').selectAll().where('id', '>', after).orderBy('id').limit(limit).execute();
  return rows.flatMap((row) => {
    const topic = TOPICS.find((name) => name === row.topic);
    return topic ? [{ id: row.id, topic, entityId: row.entity_id, at: row.at }] : [];
  });
}
