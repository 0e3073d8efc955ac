/** What the services count on, on the embedded database and on a server alike. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Db, isAnswering, json, openDatabase, openServerDatabase } from '../../control/db/database.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';

let folder: string;
let server: PostgresServer;
let serverUrl: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mc-database-'));
  server = await startPostgres();
  serverUrl = await server.createDatabase();
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const BOTH = [
  ['embedded', () => openDatabase(join(folder, 'data'))],
  ['on a server', () => openServerDatabase(serverUrl)],
] as const;

for (const [name, open] of BOTH) {
  describe(`a database ${name}`, () => {
    let db: Db;
    let close: () => Promise<void>;
    beforeAll(async () => {
      ({ db, close } = await open());
      await db
        .insertInto('spend')
        .values({ scope: 'counter', micros: 0 })
        .onConflict((conflict) => conflict.column('scope').doUpdateSet({ micros: 0 }))
        .execute();
    });
    afterAll(() => close?.());
    const read = async (scope: string) =>
      (await db.selectFrom('spend').select('micros').where('scope', '=', scope).executeTakeFirst())?.micros;

    it('has whole and decimal numbers as numbers, and says how many rows a statement changed', async () => {
      const micros = Number.MAX_SAFE_INTEGER;
      await db.insertInto('spend').values({ scope: 'large', micros }).execute();
      const { rows } = await sql`select micros, sum(micros) as total, count(*) as count, -1::bigint as negative, true as yes
        from spend where scope = 'large' group by micros`.execute(db);
      expect(rows).toEqual([{ micros, total: micros, count: 1, negative: -1, yes: true }]);
      const { numDeletedRows } = await db.deleteFrom('spend').where('scope', '=', 'large').executeTakeFirstOrThrow();
      expect(numDeletedRows).toBe(1n);
    });

    it('takes and gives lists of every kind', async () => {
      const texts = ['', 'a b', '"quoted"', 'back\\slash', '{brace, comma}', 'NULL', 'Zürich', 'two\nlines'];
      const { rows } = await sql`select ${texts}::text[] as texts, ${[1, -2, 3]}::bigint[] as wholes, ${[0.5]}::float8[] as halves,
        array[true, false] as bits, ${[]}::text[] as none, array[null, 'x']::text[] as gaps,
        ${['b3b6a5a2-6a56-4f4e-8e5c-1d2c3b4a5f60']}::uuid[] as ids, array[1.5, 2]::numeric[] as decimals`.execute(db);
      expect(rows).toEqual([
        {
          texts,
          wholes: [1, -2, 3],
          halves: [0.5],
          bits: [true, false],
          none: [],
          gaps: [null, 'x'],
          ids: ['b3b6a5a2-6a56-4f4e-8e5c-1d2c3b4a5f60'],
          decimals: [1.5, 2],
        },
      ]);
    });

    it('gives JSON and text back as they were put in', async () => {
      const value = { text: 'Zürich, 東京, "quoted"\n', list: [1, 2.5, null, true], nested: { empty: {} } };
      const { rows } = await sql`select ${json(value)} as value, ${json(null)} as nothing, ${json('{"not": "parsed"}')} as text,
        ${['a', 'b"c']}::text[] as list, 'b"c' = any(${['a', 'b"c']}) as found`.execute(db);
      expect(rows).toEqual([{ value, nothing: null, text: '{"not": "parsed"}', list: ['a', 'b"c'], found: true }]);
    });

    it('names the class of what it refuses', async () => {
      const twice = db.insertInto('spend').values({ scope: 'counter', micros: 1 }).execute();
      await expect(twice).rejects.toMatchObject({ code: '23505' });
    });

    it('undoes all of a transaction that fails', async () => {
      const failing = db.transaction().execute(async (tx) => {
        await tx.insertInto('spend').values({ scope: 'undone', micros: 1 }).execute();
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      expect(await read('undone')).toBeUndefined();
    });

    it('runs one transaction after the other: what one has read holds until it is committed', async () => {
      const add = () =>
        db.transaction().execute(async (tx) => {
          const { micros } = await tx.selectFrom('spend').select('micros').where('scope', '=', 'counter').executeTakeFirstOrThrow();
          await sql`select pg_sleep(0.005)`.execute(tx);
          await tx
            .updateTable('spend')
            .set({ micros: micros + 1 })
            .where('scope', '=', 'counter')
            .execute();
        });
      await Promise.all(Array.from({ length: 40 }, add));
      expect(await read('counter')).toBe(40);
    });

    it('numbers what is written in transactions in the order in which they are committed', async () => {
      const order: number[] = [];
      await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          db.transaction().execute(async (tx) => {
            const row = await tx
              .insertInto('outbox')
              .values({ topic: 'system', entity_id: String(index), at: 0 })
              .returning('id')
              .executeTakeFirstOrThrow();
            await sql`select pg_sleep(${(10 - index) / 1000}::float8)`.execute(tx);
            order.push(row.id);
          }),
        ),
      );
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    });
  });
}

describe('a server', () => {
  it('is migrated by one of several that start at once, and not again', async () => {
    const url = await server.createDatabase();
    const opened = await Promise.all([1, 2, 3].map(() => openServerDatabase(url)));
    const applied = () => sql<{ name: string }>`select name from kysely_migration`.execute(opened[0]?.db as Db);
    const { rows } = await applied();
    expect(new Set(rows.map((row) => row.name)).size).toBe(rows.length);
    await Promise.all(opened.map(({ close }) => close()));
    const again = await openServerDatabase(url);
    expect(await isAnswering(again.db, 5_000)).toBe(true);
    await again.close();
  });

  it('keeps the transactions of several processes in one line', async () => {
    const [one, two] = [await openServerDatabase(serverUrl), await openServerDatabase(serverUrl)];
    await one.db.insertInto('spend').values({ scope: 'shared', micros: 0 }).execute();
    const add = ({ db }: { db: Db }) =>
      db.transaction().execute(async (tx) => {
        const { micros } = await tx.selectFrom('spend').select('micros').where('scope', '=', 'shared').executeTakeFirstOrThrow();
        await sql`select pg_sleep(0.005)`.execute(tx);
        await tx
          .updateTable('spend')
          .set({ micros: micros + 1 })
          .where('scope', '=', 'shared')
          .execute();
      });
    await Promise.all(Array.from({ length: 30 }, (_, index) => add(index % 2 ? one : two)));
    const { micros } = await one.db.selectFrom('spend').select('micros').where('scope', '=', 'shared').executeTakeFirstOrThrow();
    expect(micros).toBe(30);
    await Promise.all([one.close(), two.close()]);
  });

  it('is left in order while statements are under way: they come to their end, and then so does the leaving', async () => {
    const { db, close } = await openServerDatabase(serverUrl);
    const ended: string[] = [];
    const slow = Array.from({ length: 5 }, () => sql`select pg_sleep(0.2)`.execute(db).then(() => ended.push('statement')));
    const reached = Promise.withResolvers<void>();
    const transaction = db.transaction().execute(async (tx) => {
      reached.resolve();
      await sql`select pg_sleep(0.2)`.execute(tx);
      ended.push('transaction');
    });
    await reached.promise;
    await close().then(() => ended.push('close'));
    await Promise.all([...slow, transaction]);
    expect([ended.length, ended.at(-1)]).toEqual([7, 'close']);
  }, 10_000);

  it('that went away is used again as soon as it is back', async () => {
    const { db, close } = await openServerDatabase(serverUrl);
    await server.kill();
    expect(await isAnswering(db, 1_000)).toBe(false);
    await server.start();
    const deadline = Date.now() + 10_000;
    while (!(await isAnswering(db, 1_000))) expect(Date.now()).toBeLessThan(deadline);
    await close();
  });
});
