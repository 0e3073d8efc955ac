/**
 * Leases of the workers in the database: of several control processes one does a worker's job at a time, and another takes over once the
 * lease has run out. A lease keeps two from working at once in the usual case; that nothing is done twice is each worker's own care.
 */
import { sql } from 'kysely';
import type { z } from 'zod';
import type { WorkerSchema } from './contract.ts';
import type { Db } from './db/database.ts';

export type Leases = ReturnType<typeof createLeases>;

/** @param holder names this process; unique among all that share the database. */
export function createLeases({ db, clock, holder }: { db: Db; clock: () => number; holder: string }) {
  /** Takes or renews a lease. @returns until when it is ours (epoch milliseconds), or null while another process has it. */
  async function take(name: string, durationMs: number): Promise<number | null> {
    const now = clock();
    const row = await db
      .insertInto('leases')
      .values({ name, holder, expires_at: now + durationMs, ticked_at: null, succeeded_at: null, last_error: null })
      .onConflict((conflict) =>
        conflict
          .column('name')
          .doUpdateSet({ holder, expires_at: now + durationMs })
          .where((eb) => eb.or([eb('leases.holder', '=', holder), eb('leases.expires_at', '<=', now)])),
      )
      .returning('expires_at')
      .executeTakeFirst();
    return row?.expires_at ?? null;
  }

  /** Notes how the last pass went; for people to see. */
  async function note(name: string, { tickedAt, error }: { tickedAt: number; error: string | null }): Promise<void> {
    await db
      .updateTable('leases')
      .set({ ticked_at: tickedAt, last_error: error, ...(error === null && { succeeded_at: tickedAt }) })
      .where('name', '=', name)
      .where('holder', '=', holder)
      .execute();
  }

  /** Gives all leases back, so that another process need not wait for them to run out. */
  async function release(): Promise<void> {
    await db
      .updateTable('leases')
      .set({ expires_at: clock() })
      .where('holder', '=', holder)
      .where(sql<boolean>`expires_at > ${clock()}`)
      .execute();
  }

  /** Ends every lease. For a process that owns its database alone: who held them is dead, and nobody need wait for them to run out. */
  async function clear(): Promise<void> {
    await db.updateTable('leases').set({ expires_at: 0 }).execute();
  }

  async function list(): Promise<z.infer<typeof WorkerSchema>[]> {
    const rows = await db.selectFrom('leases').selectAll().orderBy('name').execute();
    return rows.map((row) => ({
      name: row.name,
      holder: row.holder,
      leaseExpiresAt: row.expires_at,
      tickedAt: row.ticked_at,
      succeededAt: row.succeeded_at,
      lastError: row.last_error,
    }));
  }

  return { take, note, release, clear, list };
}
