/**
 * Cards: the messages in chats that show approvals with buttons. Requests that are alike share one, so that 45 questions of one kind are
 * one message; what each version of it listed is kept, and a press decides what the version showed that was pressed, nothing newer.
 */
import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import type { Approvals } from './approvals.ts';
import type { Approval, Notification } from './contract.ts';
import { type Db, json, type Tx } from './db/database.ts';
import type { CardOffer, MessageRef } from './db/schema.ts';

export type Cards = ReturnType<typeof createCards>;

/** A request that is to be shown on a channel. */
export interface NewMember {
  channelId: string;
  kind: Notification['kind'];
  /** The chat that its card stands in; null = the channel's own. */
  chat: string | null;
  groupKey: string;
  approvalId: string;
}

/** Requests on one card at most: what a person can look through, and what is decided within the time that a chat waits for us. */
const MEMBERS_MAX = 50;
/** A card that is older is far up in the chat, where nobody sees it change. Reminders of a kind come within minutes of each other. */
const JOINED_MS = 60 * 60 * 1000;
const REMINDERS_JOINED_MS = 5 * 60 * 1000;

export function createCards({ db, clock, approvals }: { db: Db; clock: () => number; approvals: Approvals }) {
  /** Adds a request to the card of those like it that still wait. @returns the card; null where it needs one of its own. */
  async function join(tx: Tx, { channelId, kind, chat, groupKey, approvalId }: NewMember): Promise<string | null> {
    const since = clock() - (kind === 'approval_pending' ? JOINED_MS : REMINDERS_JOINED_MS);
    const card = await tx
      .selectFrom('notifications')
      .select('id')
      .where('channel_id', '=', channelId)
      .where('kind', '=', kind)
      .where('group_key', '=', groupKey)
      .where(sql<boolean>`recipient ->> 'chat' is not distinct from ${chat}::text`)
      .where('card_over', '=', false)
      .where('dead_at', 'is', null)
      .where('created_at', '>', since)
      .where(sql<boolean>`exists (select 1 from notification_members m join approvals a on a.id = m.approval_id
        where m.notification_id = notifications.id and a.status = 'pending')`)
      .where(sql<boolean>`not exists (select 1 from notification_members m
        where m.notification_id = notifications.id and m.approval_id = ${approvalId})`)
      .where(sql<boolean>`(select count(*) from notification_members m where m.notification_id = notifications.id) < ${MEMBERS_MAX}`)
      .orderBy('number', 'desc')
      .limit(1)
      .forUpdate()
      .executeTakeFirst();
    if (!card) return null;
    await add(tx, card.id, [approvalId]);
    return card.id;
  }

  /** Puts requests on a card, after those that are on it. */
  async function add(tx: Tx, cardId: string, approvalIds: readonly string[]): Promise<void> {
    for (const approvalId of approvalIds.slice(0, MEMBERS_MAX)) {
      await tx
        .insertInto('notification_members')
        .values({
          notification_id: cardId,
          approval_id: approvalId,
          place: sql<number>`(select coalesce(max(place), 0) + 1 from notification_members where notification_id = ${cardId})`,
        })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    }
  }

  /** The requests on a card as they stand now, in the order in which they came. */
  async function membersOf(cardId: string): Promise<Approval[]> {
    const rows = await db
      .selectFrom('notification_members')
      .select('approval_id')
      .where('notification_id', '=', cardId)
      .orderBy('place')
      .execute();
    return approvals.findSeveral(rows.map((row) => row.approval_id));
  }

  /** The card that is this message, if it is one. */
  async function at(channelId: string, ref: MessageRef): Promise<string | null> {
    const row = await db
      .selectFrom('notifications')
      .select('id')
      .where('channel_id', '=', channelId)
      .where(sql<boolean>`ref ->> 'message' = ${ref.message} and ref ->> 'chat' = ${ref.chat}`)
      .where((eb) => eb.exists(eb.selectFrom('notification_members').select('place').whereRef('notification_id', '=', 'notifications.id')))
      .executeTakeFirst();
    return row?.id ?? null;
  }

  /** Keeps what a card is about to offer, before it does. @returns the revision that its buttons carry; the same for the same offers. */
  async function revise(cardId: string, offers: readonly CardOffer[]): Promise<number> {
    for (;;) {
      const last = await db
        .selectFrom('card_versions')
        .select(['revision', 'offers'])
        .where('notification_id', '=', cardId)
        .orderBy('revision', 'desc')
        .executeTakeFirst();
      if (last && sameOffers(last.offers as CardOffer[], offers)) return last.revision;
      const made = await db
        .insertInto('card_versions')
        .values({ notification_id: cardId, revision: (last?.revision ?? 0) + 1, created_at: clock(), offers: json([...offers]) })
        .onConflict((conflict) => conflict.doNothing())
        .returning('revision')
        .executeTakeFirst();
      if (made) return made.revision;
    }
  }

  /** What a card on this channel offered at a revision; null where it never did. */
  async function offered(channelId: string, cardId: string, revision: number): Promise<CardOffer[] | null> {
    const row = await db
      .selectFrom('card_versions')
      .innerJoin('notifications', 'notifications.id', 'card_versions.notification_id')
      .select('offers')
      .where('notification_id', '=', cardId)
      .where('revision', '=', revision)
      .where('channel_id', '=', channelId)
      .executeTakeFirst();
    return row ? (row.offers as CardOffer[]) : null;
  }

  /** The card on which a request stands together with others; null where it has one of its own, or none. */
  async function sharedBy(channelId: string, approvalId: string): Promise<string | null> {
    const row = await db
      .selectFrom('notifications')
      .innerJoin('notification_members', 'notification_members.notification_id', 'notifications.id')
      .select('id')
      .where('channel_id', '=', channelId)
      .where('kind', '=', 'approval_pending')
      .where('notification_members.approval_id', '=', approvalId)
      .where(sql<boolean>`(select count(*) from notification_members m where m.notification_id = notifications.id) > 1`)
      .orderBy('number')
      .executeTakeFirst();
    return row?.id ?? null;
  }

  return { isGrantable: approvals.isGrantable, join, add, sharedBy, membersOf, at, revise, offered };
}

/**
 * What requests have in common that share a card: the shape that the inbox groups by, and everything else that a person decides by but the
 * operands. Null for one that stands alone.
 */
export function cardKeyOf(approval: Approval): string | null {
  if (approval.kind === 'task' || approval.digest === null) return null;
  const { groupKey, agentId, taskId, cwd, workspace, risk, approvalsNeeded, policyVersion, reasons } = approval;
  const codes = [...new Set(reasons.map(({ code }) => code))].toSorted();
  const parts = [groupKey, agentId, taskId, cwd, workspace, risk, approvalsNeeded, policyVersion, codes];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}

/** Names what a request would run as it stands now: the digest of its call, and of the edit that a first person has approved. */
export function contentOf({ digest, editedArguments }: Approval): string {
  const edit = editedArguments === null ? '' : createHash('sha256').update(JSON.stringify(editedArguments)).digest('base64url');
  return `${digest}${edit === '' ? '' : `:${edit}`}`;
}

/** What a card shows of its requests, so that it is known when it shows something else; SHOWN_STATES says the same of the database. */
export function shownStates(members: readonly Approval[]): string {
  return members
    .map(({ number, status, approvedBy }) => `${number}:${status === 'pending' ? `pending:${approvedBy.length}` : status}`)
    .join(',');
}

/** Of the card in `notifications`. */
export const SHOWN_STATES = sql<string>`(select string_agg(a.number || ':' || case when a.status = 'pending'
  then 'pending:' || (select count(*) from approval_votes v where v.approval_id = a.id) else a.status end, ',' order by m.place)
  from notification_members m join approvals a on a.id = m.approval_id where m.notification_id = notifications.id)`;

/** Whether no request on the card in `notifications` waits any more. */
export const NONE_WAITS = sql<boolean>`not exists (select 1 from notification_members m join approvals a on a.id = m.approval_id
  where m.notification_id = notifications.id and a.status = 'pending')`;

function sameOffers(one: readonly CardOffer[], other: readonly CardOffer[]): boolean {
  return (
    one.length === other.length &&
    one.every(
      ({ id, content, whole }, index) => other[index]?.id === id && other[index].content === content && other[index].whole === whole,
    )
  );
}
