import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { z } from 'zod';
import type { BackupRuns } from '../backup-runs.ts';
import { type Api, route } from './route.ts';

/** A backup of the embedded database, which only the process that has it open can read. */
export function backupRoutes(app: Api, { backups }: { backups: BackupRuns }): void {
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
      const { path, remove } = await backups.take(actor);
      const file = createReadStream(path);
      file.once('close', remove);
      return new Response(Readable.toWeb(file) as ReadableStream<Uint8Array>, {
        headers: { 'content-type': 'application/gzip', 'content-disposition': 'attachment; filename="mission-control.backup"' },
      });
    },
  );
}
