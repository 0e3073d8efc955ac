/**
 * Backups that people take through the API, one at a time: written to the disk of this process first, recorded, and watched while they are
 * being written, so that everybody can see how far one is.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Actor } from './audit.ts';
import { writeBackup } from './backup.ts';
import { recordChanges } from './changes.ts';
import { embedded } from './db/copies.ts';
import type { Db } from './db/database.ts';
import { Refusal } from './problem.ts';

export type BackupRuns = ReturnType<typeof createBackupRuns>;

interface Dependencies {
  db: Db;
  clock: () => number;
  published: () => void;
  /** The data folder with the embedded database; null where the database is on a server. */
  dataDir: string | null;
  version: string;
}

export function createBackupRuns({ db, clock, published, dataDir, version }: Dependencies) {
  let current: { startedAt: number; parts: number; bytes: number } | null = null;

  /** The backup that is being written, if one is. */
  function running(): { startedAt: number; parts: number; bytes: number } | null {
    return current;
  }

  /**
   * Writes a backup of the embedded database, which only this process can read.
   * @returns the file, and what removes it. @throws Refusal 409 ON_A_SERVER, IN_PROGRESS
   */
  async function take(actor: Actor): Promise<{ path: string; remove: () => void }> {
    if (dataDir === null)
      throw new Refusal(409, 'ON_A_SERVER', 'The database is on a server: run "backup" with DATABASE_URL, it needs no running process.');
    if (current !== null) throw new Refusal(409, 'IN_PROGRESS', 'Another backup is being written; take this one when it is done.');
    const startedAt = clock();
    const progress = { startedAt, parts: 0, bytes: 0 };
    current = progress;
    try {
      await db
        .transaction()
        .execute((tx) => recordChanges(tx, [{ at: startedAt, actor, action: 'backup.taken', topic: 'system', id: 'backup', details: {} }]));
      published();
      // Written to the disk first: whoever reads slowly must not hold up the database.
      const folder = mkdtempSync(join(dataDir, 'backup-'));
      const remove = () => rmSync(folder, { recursive: true, force: true });
      try {
        const path = join(folder, 'backup');
        await writeBackup(embedded(db), { dataDir, path, version, createdAt: startedAt }, ({ bytes }) => {
          progress.parts++;
          progress.bytes += bytes;
        });
        return { path, remove };
      } catch (error) {
        remove();
        throw error;
      }
    } finally {
      current = null;
    }
  }

  return { running, take };
}
