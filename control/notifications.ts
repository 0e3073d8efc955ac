/**
 * What people are told outside the dashboard. The feed's entries are written in the transaction of what they speak of; from them, in
 * their order, each channel gets its rows, in one step with the cursor: no event is missed and none is taken twice. A row is sent at
 * least once and marked when the other side has taken it; one that was refused stays, dead, for a person to look at.
 */
import { randomUUID } from 'node:crypto';
import { type SqlBool, sql } from 'kysely';
import type { JsonObject } from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import type { Approvals } from './approvals.ts';
import type { Actor } from './audit.ts';
import { type Cards, cardKeyOf, NONE_WAITS, SHOWN_STATES } from './cards.ts';
import { recordChanges } from './changes.ts';
import type { Channels, LiveChannel } from './channels.ts';
import type { Channel, Notification } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { MessageRef, NotificationsTable, Recipient } from './db/schema.ts';
import { takeNotices } from './notices.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { notFound, Refusal } from './problem.ts';

export type Notifications = ReturnType<typeof createNotifications>;

/** What a person reads, before a channel gives it its form. Texts are untrusted and are shown literally, but `title` and labels. */
export interface Note {
  /** Ours, one line. */
  title: string;
  facts: readonly (readonly [label: string, text: string])[];
  /** Several lines, whole; a channel folds what does not fit and says so. */
  quote: string | null;
  buttons: readonly (readonly NoteButton[])[];
  /** Path of a page of the dashboard. */
  path: string | null;
  /** The next message of the person is the answer to this one. */
  asksForReply?: true;
}
export interface NoteButton {
  label: string;
  /** What comes back when it is pressed; at most 64 bytes. */
  action: string;
  style?: 'go' | 'stop';
  /** Left out where the quote is folded: nobody approves what they could not read. */
  needsWhole?: true;
}

export interface NewNotification {
  kind: Notification['kind'];
  channelId: string;
  recipient: Recipient;
  approvalId?: string | null;
  /** Requests like it join a card of its kind that still waits under the same key, and it joins theirs. */
  groupKey?: string | null;
  /** Of a card: all the requests on it, where they are more than `approvalId`. */
  members?: readonly string[];
  taskId?: string | null;
  summary: string;
  /** Null for an approval's card. */
  note: Note | null;
  payload: JsonObject;
  /** One notification for ever under this key, whoever asks again. */
  key: string;
}

/** One that can be sent now. */
export interface DueNotification {
  id: string;
  kind: Notification['kind'];
  at: number;
  recipient: Recipient;
  approvalId: string | null;
  taskId: string | null;
  summary: string;
  note: Note | null;
  payload: JsonObject;
  attempts: number;
}

/** A card that no longer shows what has become of its requests. */
export interface StaleCard {
  id: string;
  channelId: string;
  ref: MessageRef;
}

type Event = Channel['events'][number];
interface FeedRow {
  id: number;
  created_at: number;
  type: string;
  task_id: string | null;
  actor_id: string | null;
  actor_type: string;
  summary: string;
  details: Record<string, unknown>;
}

const BATCH = 50;
const FEED_BATCH = 200;
/** What could not be said for a day is said no more by itself. */
const KEEP_MS = 24 * 60 * 60 * 1000;
const EDIT_RETRY_MIN_MS = 2_000;
const EDIT_RETRY_MAX_MS = 60_000;
const EDIT_ATTEMPTS_MAX = 20;
/** A card of several requests is changed so often at most while more of them come. */
const GROUP_EDIT_EVERY_MS = 3_000;
const TOLD_TYPES = [
  'approval_requested',
  'approval_decided',
  'approval_expired',
  'approval_withdrawn',
  'approval_reminded',
  'approval_escalated',
  'alert_fired',
  'emergency_stop',
  'emergency_resume',
  'document_written',
  'comment_posted',
];

interface Dependencies {
  db: Db;
  clock: () => number;
  channels: Channels;
  approvals: Approvals;
  cards: Cards;
  alerts: Alerts;
  published: () => void;
}

export function createNotifications({ db, clock, channels, approvals, cards, alerts, published }: Dependencies) {
  /** Makes rows of what has happened since the last time. @returns how many entries of the feed were read; 0 = nothing is left. */
  async function collect(): Promise<number> {
    await collectNotices();
    const cursor = await db.selectFrom('notification_cursor').select('activity_id').where('id', '=', 1).executeTakeFirstOrThrow();
    const feed = (await db
      .selectFrom('activities')
      .select(['id', 'created_at', 'type', 'task_id', 'actor_id', 'actor_type', 'summary', 'details'])
      .where('id', '>', cursor.activity_id)
      .orderBy('id')
      .limit(FEED_BATCH)
      .execute()) as FeedRow[];
    const last = feed.at(-1);
    if (!last) return 0;
    const live = await channels.live();
    const wanted: NewNotification[] = [];
    if (live.length > 0) {
      for (const entry of feed) {
        if (TOLD_TYPES.includes(entry.type)) wanted.push(...(await notificationsFor(entry, live)));
      }
    }
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const moved = await tx
        .updateTable('notification_cursor')
        .set({ activity_id: last.id })
        .where('id', '=', 1)
        .where('activity_id', '=', cursor.activity_id)
        .returning('id')
        .executeTakeFirst();
      // Another process has read these entries meanwhile.
      if (moved) await insert(tx, wanted, now);
    });
    return feed.length;
  }

  /** Reminders and what is handed on, into the conversation with each person that it is for. */
  async function collectNotices(): Promise<void> {
    const waiting = await db.selectFrom('approval_notices').select('id').where('taken_at', 'is', null).limit(1).executeTakeFirst();
    if (!waiting) return;
    const chats = (await channels.live()).filter((channel) => channel.kind !== 'webhook' && channel.events.includes('approvals'));
    const now = clock();
    const about = await db
      .selectFrom('approval_notices')
      .select('approval_id')
      .where('taken_at', 'is', null)
      .limit(BATCH * 4)
      .execute();
    const groups = new Map((await approvals.findSeveral(about.map((row) => row.approval_id))).map((one) => [one.id, cardKeyOf(one)]));
    await db.transaction().execute(async (tx) => {
      for (const notice of await takeNotices(tx, BATCH, now)) {
        if (notice.to.length === 0) continue;
        const groupKey = groups.get(notice.approvalId) ?? null;
        const people = await tx
          .selectFrom('chat_identities')
          .select(['channel_id', 'external_id'])
          .where('operator_id', 'in', [...notice.to])
          .where('removed_at', 'is', null)
          .execute();
        await insert(
          tx,
          people.flatMap(({ channel_id: channelId, external_id: externalId }) => {
            const channel = chats.find(({ id }) => id === channelId);
            if (!channel) return [];
            return [
              {
                kind: notice.kind === 'reminder' ? ('approval_reminder' as const) : ('approval_escalation' as const),
                channelId,
                recipient: { chat: chatWith(channel, externalId) },
                approvalId: notice.approvalId,
                groupKey,
                summary: notice.text,
                note: null,
                payload: {},
                key: `notice:${notice.key}:${channelId}:${externalId}`,
              },
            ];
          }),
          now,
        );
      }
    });
  }

  /** Every channel that wants to hear of an event gets it once. */
  async function notificationsFor(entry: FeedRow, live: readonly LiveChannel[]): Promise<NewNotification[]> {
    const told = (event: Event) => live.filter((channel) => channel.events.includes(event));
    const text = (key: string) => (typeof entry.details[key] === 'string' ? (entry.details[key] as string) : null);
    switch (entry.type) {
      case 'approval_requested':
      case 'approval_decided':
      case 'approval_expired':
      case 'approval_withdrawn':
      case 'approval_reminded':
      case 'approval_escalated': {
        const approvalId = text('approvalId');
        return approvalId === null ? [] : aboutApproval(entry, approvalId, told('approvals'));
      }
      case 'alert_fired': {
        const alert = await alerts.find(text('alertId') ?? '');
        // The stop is told of by itself.
        if (alert === null || alert.severity !== 'critical' || alert.type === 'emergency_stop') return [];
        return told('alerts').map((channel) =>
          plain(entry, channel, {
            kind: 'alert',
            taskId: alert.taskId,
            note: { title: 'Critical alert', facts: [['Says', alert.message]], quote: null, buttons: [], path: '/alerts' },
            payload: { alert: { ...alert } },
          }),
        );
      }
      case 'emergency_stop':
      case 'emergency_resume': {
        const isStop = entry.type === 'emergency_stop';
        return told('stop').map((channel) =>
          plain(entry, channel, {
            kind: isStop ? 'stop' : 'resume',
            note: {
              title: isStop ? 'Everything is stopped' : 'The stop is lifted',
              facts: [['Says', entry.summary]],
              quote: null,
              buttons: [],
              path: '/incident',
            },
            payload: {},
          }),
        );
      }
      case 'document_written': {
        if (entry.details.kind !== 'standup') return [];
        const document = await db
          .selectFrom('documents')
          .selectAll()
          .where('id', '=', text('documentId') ?? '')
          .executeTakeFirst();
        if (!document) return [];
        return told('standup').map((channel) =>
          plain(entry, channel, {
            kind: 'standup',
            note: { title: document.title, facts: [], quote: document.body, buttons: [], path: '/overview' },
            payload: { document: { id: document.id, title: document.title, day: document.day, body: document.body } },
          }),
        );
      }
      case 'comment_posted':
        return aboutComment(entry, text('messageId') ?? '', told);
      default:
        return [];
    }
  }

  async function aboutApproval(entry: FeedRow, approvalId: string, live: readonly LiveChannel[]): Promise<NewNotification[]> {
    const approval = await approvals.find(approvalId);
    if (approval === null) return [];
    const kind = APPROVAL_KINDS[entry.type];
    if (kind === undefined) return [];
    const told = live.map(async (channel): Promise<NewNotification[]> => {
      const payload = { approval: approval as unknown as JsonObject };
      const common = { kind, approvalId, groupKey: isCard(kind) ? cardKeyOf(approval) : null, taskId: approval.taskId, payload };
      if (channel.kind === 'webhook') return [plain(entry, channel, { ...common, groupKey: null, note: null })];
      switch (kind) {
        // What becomes of an approval is shown by its card, which is edited. That nobody decided is worth a message of its own.
        case 'approval_decided':
        case 'approval_withdrawn':
          return [];
        case 'approval_expired': {
          const shared = await cards.sharedBy(channel.id, approvalId);
          const what = shared === null ? `Approval ${approval.number}` : `Requests like approval ${approval.number}`;
          return [
            {
              ...plain(entry, channel, {
                ...common,
                note: {
                  title: `${what} expired without a decision`,
                  facts: [['About', approval.summary]],
                  quote: null,
                  buttons: [],
                  path: shared === null ? `/approvals/${approval.id}` : '/approvals',
                },
              }),
              // Of those that share a card the first says it for all.
              ...(shared !== null && { key: `expired:${shared}` }),
            },
          ];
        }
        default:
          return [plain(entry, channel, { ...common, note: null })];
      }
    });
    return (await Promise.all(told)).flat();
  }

  async function aboutComment(
    entry: FeedRow,
    messageId: string,
    told: (event: Event) => readonly LiveChannel[],
  ): Promise<NewNotification[]> {
    const message = await db.selectFrom('messages').selectAll().where('id', '=', messageId).executeTakeFirst();
    const task = entry.task_id
      ? await db.selectFrom('tasks').select(['id', 'number', 'title']).where('id', '=', entry.task_id).executeTakeFirst()
      : undefined;
    if (!message || !task) return [];
    const from = (message.metadata as Record<string, unknown>).channelId;
    const payload: JsonObject = {
      message: {
        id: message.id,
        taskId: task.id,
        taskTitle: task.title,
        authorType: message.author_type,
        authorName: message.author_name,
        content: message.content,
      },
    };
    const path = `/board?task=${task.id}`;
    const mirrored = told('threads')
      // What was said there stands there.
      .filter((channel) => channel.id !== from && (channel.kind === 'webhook' || channel.topics))
      .map((channel) => ({
        ...plain(entry, channel, {
          kind: 'comment',
          taskId: task.id,
          note: commentNote(message.author_name, message.author_type, message.content),
          payload,
        }),
        key: mirrorKey(message.id, channel.id),
      }));
    const named = message.mentions as string[];
    const people =
      named.length === 0
        ? []
        : await db
            .selectFrom('chat_identities')
            .innerJoin('operators', 'operators.id', 'chat_identities.operator_id')
            .select(['operator_id', 'channel_id', 'external_id'])
            .where('operator_id', 'in', named)
            .where('operator_id', 'is distinct from', message.author_id)
            .where('operators.removed_at', 'is', null)
            .where('chat_identities.removed_at', 'is', null)
            .execute();
    const mentions = told('mentions').flatMap((channel) =>
      people
        .filter((person) => person.channel_id === channel.id)
        .map((person) => ({
          ...plain(entry, channel, {
            kind: 'mention',
            taskId: task.id,
            note: {
              title: `You are named on task ${task.number}`,
              facts: [
                ['Task', task.title],
                ['By', message.author_name],
              ],
              quote: message.content,
              buttons: [],
              path,
            },
            payload,
          }),
          // Into the conversation with this person alone.
          recipient: { chat: chatWith(channel, person.external_id) },
          key: `feed:${entry.id}:${channel.id}:${person.external_id}`,
        })),
    );
    const hooks = told('mentions')
      .filter((channel) => channel.kind === 'webhook' && named.length > 0)
      .map((channel) => plain(entry, channel, { kind: 'mention', taskId: task.id, note: null, payload }));
    return [...mirrored, ...mentions, ...hooks];
  }

  function plain(
    entry: FeedRow,
    channel: LiveChannel,
    rest: Pick<NewNotification, 'kind' | 'note' | 'payload'> & Partial<NewNotification>,
  ): NewNotification {
    return {
      channelId: channel.id,
      recipient: { chat: null, ...(rest.kind === 'comment' && channel.topics && { inThread: true }) },
      summary: entry.summary.slice(0, 500),
      key: `feed:${entry.id}:${channel.id}`,
      ...rest,
    };
  }

  /** Adds notifications in the caller's transaction. */
  async function insert(tx: Tx, wanted: readonly NewNotification[], now: number): Promise<void> {
    for (const one of wanted) {
      const { channelId, kind, approvalId, groupKey, recipient } = one;
      if (approvalId && groupKey && one.members === undefined) {
        if ((await cards.join(tx, { channelId, kind, chat: recipient.chat, groupKey, approvalId })) !== null) continue;
      }
      const id = await insertNotification(tx, one, now);
      if (id !== null && approvalId && isCard(kind)) await cards.add(tx, id, one.members ?? [approvalId]);
    }
  }

  /** Adds notifications by themselves. */
  async function add(wanted: readonly NewNotification[]): Promise<void> {
    if (wanted.length === 0) return;
    await db.transaction().execute((tx) => insert(tx, wanted, clock()));
  }

  /** What can be sent on a channel now, oldest first. */
  async function due(channelId: string): Promise<DueNotification[]> {
    const now = clock();
    const rows = await db
      .selectFrom('notifications')
      .innerJoin('channels', 'channels.id', 'notifications.channel_id')
      .selectAll('notifications')
      .where('channel_id', '=', channelId)
      .where('delivered_at', 'is', null)
      .where('dead_at', 'is', null)
      .where('due_at', '<=', now)
      .where('channels.held_until', '<=', now)
      .orderBy('notifications.number')
      .limit(BATCH)
      .execute();
    return rows.map(dueOf);
  }

  /** Marks that an attempt begins. @returns false where somebody else has dealt with it meanwhile. */
  async function begin(id: string): Promise<boolean> {
    const row = await db
      .updateTable('notifications')
      .set((eb) => ({ sending_at: clock(), attempts: eb('attempts', '+', 1) }))
      .where('id', '=', id)
      .where('delivered_at', 'is', null)
      .where('dead_at', 'is', null)
      .returning('id')
      .executeTakeFirst();
    return row !== undefined;
  }

  /** The other side has it. @param shown the states that a card shows. */
  async function delivered(id: string, ref: MessageRef | null, shown: string | null): Promise<void> {
    await db
      .updateTable('notifications')
      .set({ delivered_at: clock(), ref: json(ref), shown, card_over: isOver(shown), last_error: null })
      .where('id', '=', id)
      .where('delivered_at', 'is', null)
      .execute();
  }

  /** The other side cannot be reached now: it is tried again with the channel. What nobody could say for a day is dead. */
  async function postponed(notification: DueNotification, error: string): Promise<void> {
    if (notification.at + KEEP_MS <= clock()) await buried(notification.id, error);
    else {
      await db
        .updateTable('notifications')
        .set({ last_error: error.slice(0, 1000) })
        .where('id', '=', notification.id)
        .where('delivered_at', 'is', null)
        .execute();
    }
  }

  /** The other side refuses this very message: it will not be tried again by itself. */
  async function buried(id: string, error: string): Promise<void> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const row = await tx
        .updateTable('notifications')
        .set({ dead_at: now, last_error: error.slice(0, 1000) })
        .where('id', '=', id)
        .where('delivered_at', 'is', null)
        .where('dead_at', 'is', null)
        .returning('channel_id')
        .executeTakeFirst();
      if (!row) return;
      const channel = await tx.selectFrom('channels').select('name').where('id', '=', row.channel_id).executeTakeFirstOrThrow();
      await channels.failedFor(tx, row.channel_id, channel.name, error);
    });
    published();
  }

  /** Cards whose requests have come to another state than they show. */
  async function staleCards(channelId: string): Promise<StaleCard[]> {
    const now = clock();
    const rows = await db
      .selectFrom('notifications')
      .innerJoin('channels', 'channels.id', 'notifications.channel_id')
      .select(['notifications.id', 'notifications.channel_id', 'notifications.ref'])
      .where('notifications.channel_id', '=', channelId)
      .where('notifications.kind', 'in', [...CARDS])
      .where('notifications.card_over', '=', false)
      .where('notifications.delivered_at', 'is not', null)
      .where('notifications.shown', 'is not', null)
      .where('notifications.shown', '<>', SHOWN_STATES)
      .where('edit_due_at', '<=', now)
      .where('channels.held_until', '<=', now)
      .orderBy('notifications.number')
      .limit(BATCH)
      .execute();
    return rows.flatMap((row) => (row.ref === null ? [] : [{ id: row.id, channelId: row.channel_id, ref: row.ref as MessageRef }]));
  }

  /** A card shows these states now, or (where it cannot be changed any more) is left as it is. */
  async function shown(id: string, states: string): Promise<void> {
    const pause = states.includes(',') && states.includes(':pending') ? { edit_due_at: clock() + GROUP_EDIT_EVERY_MS } : {};
    await db
      .updateTable('notifications')
      .set({ shown: states, card_over: isOver(states), edit_attempts: 0, ...pause })
      .where('id', '=', id)
      .execute();
  }

  /** A card could not be changed. @returns true where it is given up. */
  async function editFailed(card: StaleCard, error: string, isFinal: boolean): Promise<boolean> {
    const row = await db
      .updateTable('notifications')
      .set((eb) => ({ edit_attempts: eb('edit_attempts', '+', 1), last_error: error.slice(0, 1000) }))
      .where('id', '=', card.id)
      .returning('edit_attempts')
      .executeTakeFirst();
    const attempts = row?.edit_attempts ?? EDIT_ATTEMPTS_MAX;
    if (isFinal || attempts >= EDIT_ATTEMPTS_MAX) {
      await db.updateTable('notifications').set({ shown: SHOWN_STATES, card_over: NONE_WAITS }).where('id', '=', card.id).execute();
      return true;
    }
    const wait = Math.min(EDIT_RETRY_MAX_MS, EDIT_RETRY_MIN_MS * 2 ** Math.min(attempts, 16));
    await db
      .updateTable('notifications')
      .set({ edit_due_at: clock() + wait })
      .where('id', '=', card.id)
      .execute();
    return false;
  }

  /** The question for a note that a message answers, if it is one of ours. */
  async function promptAt(channelId: string, ref: MessageRef): Promise<{ approvalId: string; payload: JsonObject } | null> {
    const row = await db
      .selectFrom('notifications')
      .select(['approval_id', 'payload'])
      .where('channel_id', '=', channelId)
      .where('kind', '=', 'prompt')
      .where(sql<SqlBool>`ref ->> 'chat' = ${ref.chat} and ref ->> 'message' = ${ref.message}`)
      .executeTakeFirst();
    return row?.approval_id ? { approvalId: row.approval_id, payload: row.payload as JsonObject } : null;
  }

  /** Newest first. */
  async function list(filter: {
    state?: Notification['state'] | undefined;
    channelId?: string | undefined;
    limit: number;
    cursor?: string | undefined;
  }): Promise<{ items: Notification[]; nextCursor: string | null }> {
    let query = db
      .selectFrom('notifications')
      .innerJoin('channels', 'channels.id', 'notifications.channel_id')
      .selectAll('notifications')
      .select('channels.name')
      .orderBy('notifications.number', 'desc')
      .limit(filter.limit + 1);
    if (filter.channelId) query = query.where('channel_id', '=', filter.channelId);
    if (filter.state === 'dead') query = query.where('dead_at', 'is not', null);
    if (filter.state === 'delivered') query = query.where('delivered_at', 'is not', null);
    if (filter.state === 'waiting') query = query.where('delivered_at', 'is', null).where('dead_at', 'is', null);
    if (filter.cursor) query = query.where('notifications.number', '<', decodeCursor(filter.cursor, ['number'])[0]);
    const rows = await query.execute();
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.number]) : null };
  }

  /** Tries a dead one again, now. @throws Refusal 409 where it is not dead. */
  async function retry(actor: Actor, id: string): Promise<Notification> {
    const now = clock();
    await db.transaction().execute(async (tx) => {
      const known = await tx.selectFrom('notifications').select(['id', 'channel_id']).where('id', '=', id).executeTakeFirst();
      if (!known) throw notFound('notification', id);
      const row = await tx
        .updateTable('notifications')
        .set({ dead_at: null, due_at: now, created_at: now })
        .where('id', '=', id)
        .where('dead_at', 'is not', null)
        .where('channel_id', 'in', (eb) => eb.selectFrom('channels').select('id').where('removed_at', 'is', null))
        .returning('summary')
        .executeTakeFirst();
      if (!row) throw new Refusal(409, 'NOT_DEAD', 'This is delivered or waiting, or its channel is gone: there is nothing to try again.');
      await recordChanges(tx, [
        { at: now, actor, action: 'notification.retried', topic: 'system', id, details: { channelId: known.channel_id } },
      ]);
    });
    published();
    const { items } = await list({ limit: 1, cursor: encodeCursor([(await numberOf(id)) + 1]) });
    const [item] = items;
    if (!item) throw notFound('notification', id);
    return item;
  }

  async function numberOf(id: string): Promise<number> {
    return (await db.selectFrom('notifications').select('number').where('id', '=', id).executeTakeFirstOrThrow()).number;
  }

  return {
    collect,
    add,
    due,
    begin,
    delivered,
    postponed,
    buried,
    staleCards,
    shown,
    editFailed,
    promptAt,
    list,
    retry,
  };
}

/** Whether a card that shows these states will never show others. */
function isOver(states: string | null) {
  return states === null ? sql<boolean>`false` : sql<boolean>`${NONE_WAITS} and ${states}::text = ${SHOWN_STATES}`;
}

const APPROVAL_KINDS: Record<string, Notification['kind']> = {
  approval_requested: 'approval_pending',
  approval_decided: 'approval_decided',
  approval_expired: 'approval_expired',
  approval_withdrawn: 'approval_withdrawn',
  approval_reminded: 'approval_reminder',
  approval_escalated: 'approval_escalation',
};
/** Messages that show an approval with its buttons. */
const CARDS: readonly Notification['kind'][] = ['approval_pending', 'approval_reminder', 'approval_escalation'];

/** The conversation with one person alone: Telegram names it like the person, Slack opens it for the person's id without the workspace. */
function chatWith(channel: Pick<LiveChannel, 'kind'>, externalId: string): string {
  return channel.kind === 'slack' ? (externalId.split(':').at(-1) ?? externalId) : externalId;
}

/** Whether a notification is shown as the card of its approval, made of it when it is sent. */
export function isCard(kind: Notification['kind']): boolean {
  return CARDS.includes(kind);
}

/** Adds a notification, once under its key. @returns its id; null where there is one under this key. */
export async function insertNotification(on: Db | Tx, one: NewNotification, now: number): Promise<string | null> {
  const made = await on
    .insertInto('notifications')
    .values({
      id: randomUUID(),
      dedupe_key: one.key,
      created_at: now,
      due_at: now,
      channel_id: one.channelId,
      kind: one.kind,
      recipient: json(one.recipient),
      approval_id: one.approvalId ?? null,
      task_id: one.taskId ?? null,
      summary: one.summary.slice(0, 500),
      note: json(one.note),
      payload: json(one.payload),
      sending_at: null,
      delivered_at: null,
      dead_at: null,
      last_error: null,
      ref: json(null),
      shown: null,
      group_key: one.groupKey ?? null,
    })
    .onConflict((conflict) => conflict.column('dedupe_key').doNothing())
    .returning('id')
    .executeTakeFirst();
  return made?.id ?? null;
}

/** The key under which a comment goes to a channel, once. */
export function mirrorKey(messageId: string, channelId: string): string {
  return `comment:${messageId}:${channelId}`;
}

/** How a comment reads in a thread elsewhere. */
export function commentNote(author: string, type: string, content: string): Note {
  return { title: type === 'agent' ? 'An agent wrote' : 'Comment', facts: [['By', author]], quote: content, buttons: [], path: null };
}

function dueOf(
  row: Pick<NotificationsTable, 'id' | 'kind' | 'created_at' | 'approval_id' | 'task_id' | 'summary'> & {
    attempts: number;
    recipient: Recipient;
    note: unknown;
    payload: Record<string, unknown>;
  },
): DueNotification {
  return {
    id: row.id,
    kind: row.kind,
    at: row.created_at,
    recipient: row.recipient,
    approvalId: row.approval_id,
    taskId: row.task_id,
    summary: row.summary,
    note: row.note as Note | null,
    payload: row.payload as JsonObject,
    attempts: row.attempts,
  };
}

function view(row: {
  id: string;
  number: number;
  created_at: number;
  channel_id: string;
  name: string;
  kind: Notification['kind'];
  summary: string;
  approval_id: string | null;
  task_id: string | null;
  attempts: number;
  due_at: number;
  delivered_at: number | null;
  dead_at: number | null;
  last_error: string | null;
}): Notification {
  return {
    id: row.id,
    number: row.number,
    createdAt: row.created_at,
    channelId: row.channel_id,
    channelName: row.name,
    kind: row.kind,
    state: row.delivered_at !== null ? 'delivered' : row.dead_at !== null ? 'dead' : 'waiting',
    summary: row.summary,
    approvalId: row.approval_id,
    taskId: row.task_id,
    attempts: row.attempts,
    dueAt: row.due_at,
    deliveredAt: row.delivered_at,
    deadAt: row.dead_at,
    lastError: row.last_error,
  };
}
