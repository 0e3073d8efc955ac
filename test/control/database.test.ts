import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { isAnswering, openDatabase } from '../../control/db/database.ts';
import { startWorld } from '../support/world.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mc-database-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('is said to answer while it does, and no longer', async () => {
  const { db, close } = await openDatabase(folder);
  expect(await isAnswering(db, 10_000)).toBe(true);
  const busy = sql`select pg_sleep(1)`.execute(db);
  expect(await isAnswering(db, 50)).toBe(false);
  await busy;
  expect(await isAnswering(db, 10_000)).toBe(true);
  await close();
  expect(await isAnswering(db, 10_000)).toBe(false);
});

it('is what control asks before it says that it is ready', async () => {
  const world = await startWorld();
  try {
    const answer = await fetch(`${world.controlUrl}/readyz`);
    expect([answer.status, await answer.text()]).toEqual([200, 'ready']);
  } finally {
    await world.close();
  }
});
