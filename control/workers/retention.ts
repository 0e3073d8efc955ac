/**
 * Retention: what a call read and wrote, and the feed, are kept for a set number of days; who did what, when, at which cost and by whose
 * leave stays (SPEC 10). Works in small steps, so that nothing waits for it. The audit log keeps every row, with the hash of a payload that
 * is dropped: the chain verifies as before.
 */
import { sql } from 'kysely';
import type { Db } from '../db/database.ts';
import type { Worker } from './loop.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const STEP = 2_000;
/** Rows that only matter while something is under way. */
const SPENT_DAYS = 7;

/** @param keepDays 0 = for ever. */
export function retention({ db, clock, keepDays }: { db: Db; clock: () => number; keepDays: number }): Worker {
  async function tick(): Promise<void> {
    const now = clock();
    const spent = now - SPENT_DAYS * DAY_MS;
    await sql`delete from sessions where expires_at <= ${now}::bigint`.execute(db);
    await sql`delete from sign_in_links where expires_at <= ${spent}::bigint`.execute(db);
    await sql`delete from leases where expires_at <= ${spent}::bigint`.execute(db);
    if (keepDays === 0) return;
    const before = now - keepDays * DAY_MS;
    await inSteps(
      () => sql`
      update tool_calls set input = '{}'::jsonb, output = null, error = null, facts = null where id in (
        select id from tool_calls where created_at < ${before}::bigint and status not in ('running', 'needs_approval')
          and (input <> '{}'::jsonb or output is not null or error is not null or facts is not null) limit ${STEP})`,
    );
    await inSteps(
      () => sql`
      update audit_log set payload = null where seq in (
        select seq from audit_log where payload is not null and at < ${before}::bigint limit ${STEP})`,
    );
    await inSteps(
      () => sql`delete from activities where id in (select id from activities where created_at < ${before}::bigint limit ${STEP})`,
    );
    await inSteps(
      () => sql`
      delete from deliveries where id in (
        select id from deliveries where created_at < ${before}::bigint and (delivered_at is not null or dropped_at is not null) limit ${STEP})`,
    );
    // A comment's own is what keeps it from being brought to a chat a second time within a week.
    const told = now - Math.max(keepDays, SPENT_DAYS + 1) * DAY_MS;
    await inSteps(
      () => sql`
      delete from notifications where id in (
        select notifications.id from notifications left join approvals on approvals.id = notifications.approval_id
        where notifications.created_at < ${told}::bigint and (delivered_at is not null or dead_at is not null)
          and (approvals.id is null or approvals.status <> 'pending') limit ${STEP})`,
    );
  }

  async function inSteps(step: () => ReturnType<typeof sql>): Promise<void> {
    for (;;) {
      const { numAffectedRows } = await step().execute(db);
      if (Number(numAffectedRows ?? 0) < STEP) return;
    }
  }

  return { name: 'retention', everyMs: 60 * 60 * 1000, tick };
}
