import { createReadStream, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { z } from 'zod';
import { writeBackup } from '../backup.ts';
import { recordChanges } from '../changes.ts';
import { embedded } from '../db/copies.ts';
import type { Db } from '../db/database.ts';
import { Refusal } from '../problem.ts';
import { type Api, route } from './route.ts';

/** A backup of the embedded database, which only the process that has it open can read. */
export function backupRoutes(
  app: Api,
  {
    db,
    clock,
    published,
    dataDir,
    version,
  }: { db: Db; clock: () => number; published: () => void; dataDir: string | null; version: string },
): void {
  route(
    app,
    {
      method: 'post',
      path: '/backup',
      tag: 'system',
      summary: 'Everything that Mission Control remembers as one file (embedded database only); for the command "backup"',
      access: { role: 'admin' },
      body: z.object({}).strict(),
      response: z.any(),
    },
    async ({ actor }) => {
      if (dataDir === null)
        throw new Refusal(409, 'ON_A_SERVER', 'The database is on a server: run "backup" with DATABASE_URL, it needs no running process.');
      const at = clock();
      await db
        .transaction()
        .execute((tx) => recordChanges(tx, [{ at, actor, action: 'backup.taken', topic: 'system', id: 'backup', details: {} }]));
      published();
      // Written to the disk first: whoever reads slowly must not hold up the database.
      const folder = mkdtempSync(join(dataDir, 'backup-'));
      const remove = () => rmSync(folder, { recursive: true, force: true });
      try {
        const path = join(folder, 'backup');
        await writeBackup(embedded(db), { dataDir, path, version, createdAt: at });
        const file = createReadStream(path);
        file.once('close', remove);
        return new Response(Readable.toWeb(file) as ReadableStream<Uint8Array>, {
          headers: { 'content-type': 'application/gzip', 'content-disposition': 'attachment; filename="mission-control.backup"' },
        });
      } catch (error) {
        remove();
        throw error;
      }
    },
  );
}
