import { type Kysely, sql } from 'kysely';

/**
 * One card for like requests: the approvals that a card stands for, and what each version of it offered to decide. What a chat has sent us
 * and was dealt with, for as long as it could be sent again. Up to where somebody has read the thread of a task.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const CARDS = "kind in ('approval_pending', 'approval_reminder', 'approval_escalation')";

const STATEMENTS = [
  `alter table notifications add column group_key text`,
  `alter table notifications add column card_over boolean not null default false`,
  `create table notification_members (
    notification_id text not null references notifications on delete cascade, approval_id text not null references approvals on delete cascade,
    place integer not null, primary key (notification_id, approval_id))`,
  `create index notification_members_approval on notification_members (approval_id)`,
  `create table card_versions (
    notification_id text not null references notifications on delete cascade, revision integer not null, created_at bigint not null,
    offers jsonb not null, primary key (notification_id, revision))`,
  `insert into notification_members select id, approval_id, 1 from notifications where approval_id is not null and ${CARDS}`,
  `update notifications set shown = approvals.number || ':' || shown, card_over = (shown = approvals.status and approvals.status <> 'pending')
    from approvals where approvals.id = notifications.approval_id and shown is not null and notifications.${CARDS}`,
  `create index notifications_refs on notifications (channel_id, (ref ->> 'message'))`,
  `create index notifications_open_cards on notifications (channel_id, number) where not card_over and ${CARDS}`,

  `create table chat_requests (channel_id text not null references channels, digest text not null, expires_at bigint not null, primary key (channel_id, digest))`,
  `create index chat_requests_expiry on chat_requests (expires_at)`,

  `create table message_reads (
    reader_id text not null, task_id text not null references tasks on delete cascade, read_number bigint not null, read_at bigint not null,
    primary key (reader_id, task_id))`,
];
