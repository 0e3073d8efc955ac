/** Connections to a database server that break, or are broken off, while somebody holds them. */
import { type AddressInfo, connect, createServer } from 'node:net';
import { Kysely, sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Db, openServerDatabase } from '../../control/db/database.ts';
import { serverDialect } from '../../control/db/server-dialect.ts';
import { type Relay, startRelay } from '../../load/relay.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { until } from '../support/world.ts';

let server: PostgresServer;
let relay: Relay;
let db: Db;
let close: () => Promise<void>;
beforeAll(async () => {
  server = await startPostgres();
  const url = new URL(await server.createDatabase());
  relay = await startRelay(Number(url.port));
  url.port = String(relay.port);
  ({ db, close } = await openServerDatabase(url.href));
});
afterAll(async () => {
  await close?.();
  relay?.close();
  await server?.close();
});

const write = (on: Pick<Db, 'insertInto'>, scope: string) => on.insertInto('spend').values({ scope, micros: 1 }).execute();
const scopes = async () => (await db.selectFrom('spend').select('scope').orderBy('scope').execute()).map(({ scope }) => scope);

it('what is left of a transaction whose connection broke is not done outside of it', async () => {
  const broken = db.transaction().execute(async (tx) => {
    await write(tx, 'before the break');
    relay.cut();
    await expect(write(tx, 'at the break')).rejects.toThrow();
    relay.heal();
    await write(tx, 'after the break');
  });
  await expect(broken).rejects.toThrow('broke');
  expect(await scopes()).toEqual([]);
});

it('connections that broke under many at once come back with nobody in them', async () => {
  const many = Array.from({ length: 30 }, (_, index) => index);
  const before = many.map((index) => db.transaction().execute((tx) => write(tx, `lost ${index}`)));
  const broken = db.transaction().execute(async (tx) => {
    await write(tx, 'lost');
    relay.cut();
    relay.heal();
    await write(tx, 'lost too');
  });
  const ends = await Promise.allSettled([...before, broken]);
  expect(ends.at(-1)?.status).toBe('rejected');
  // Each of these is whole, and none finds itself in the transaction of another.
  await Promise.all(
    many.map((index) =>
      db.transaction().execute(async (tx) => {
        await write(tx, `found ${index}`);
        const { rows } = await sql<{
          count: number;
        }>`select count(*) as count from spend where scope like 'found%' and xmin = pg_current_xact_id()::xid`.execute(tx);
        expect(rows).toEqual([{ count: 1 }]);
      }),
    ),
  );
  const found = await scopes();
  expect(found.filter((scope) => scope.startsWith('found'))).toHaveLength(many.length);
  expect(found).not.toContain('lost too');
});

it('a transaction that was broken off while it waited for its turn leaves nothing behind for who comes next', async () => {
  const [begun, turn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const first = db.transaction().execute(async () => {
    begun.resolve();
    await turn.promise;
  });
  await begun.promise;
  const second = db.transaction().execute(async (tx) => write(tx, 'never'));
  const cancelled = second.catch((error: Error) => error.message);
  const waiting = sql<{ pid: number }>`select pid from pg_locks where locktype = 'advisory' and not granted`;
  const [{ pid } = { pid: 0 }] = await until(
    async () => (await waiting.execute(db)).rows,
    (rows) => rows.length === 1,
  );
  await sql`select pg_cancel_backend(${pid}::int)`.execute(db);
  expect(await cancelled).toContain('canceling statement');
  turn.resolve();
  await first;
  const all = await Promise.allSettled(Array.from({ length: 30 }, () => sql`select 1`.execute(db)));
  expect(all.filter(({ status }) => status === 'rejected')).toEqual([]);
  expect(await scopes()).not.toContain('never');
});

it('arrays go and come as they are', async () => {
  const words = ['', 'NULL', 'null', 'a "b"', 'c\\d', '{e,f}', ' g ', 'h\ni', 'ü'];
  const { rows } = await sql<Record<string, unknown>>`select ${words}::text[] as words, ${[1, 2 ** 40]}::bigint[] as wholes,
    ${[]}::text[] as none, array[null, 'x']::text[] as gaps, array[[1, 2], [3, 4]] as nested, array[true, false] as flags,
    ${[{ a: ['"'] }]}::jsonb[] as objects, '[0:1]={7,8}'::int[] as bounded, 'x' = any(${['x', 'y']}::text[]) as found`.execute(db);
  expect(rows[0]).toEqual({
    words,
    wholes: [1, 2 ** 40],
    none: [],
    gaps: [null, 'x'],
    nested: [
      [1, 2],
      [3, 4],
    ],
    flags: [true, false],
    objects: [{ a: ['"'] }],
    bounded: [7, 8],
    found: true,
  });
});

it('a connection that breaks before its first statement is answered fails that statement, and nothing else', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown) => unhandled.push(error);
  process.on('unhandledRejection', note);
  const url = new URL(await server.createDatabase());
  const front = await startCuttingFront(Number(url.port));
  url.port = String(front.port);
  const dialect = serverDialect(url.href);
  const one = new Kysely<unknown>({ dialect });
  await expect(sql`select 1`.execute(one)).rejects.toThrow();
  // A rejection that nobody holds is told once the microtasks of its turn are over.
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note);
  front.close();
  await one.destroy();
  expect(unhandled).toEqual([]);
});

/** Leads to the server, and breaks a connection at the first thing that is said on it once the server is ready for it. */
async function startCuttingFront(port: number): Promise<{ port: number; close: () => void }> {
  const READY = 'Z'.charCodeAt(0);
  const front = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    let isReady = false;
    const end = () => {
      near.resetAndDestroy();
      far.destroy();
    };
    far.on('data', (bytes) => {
      isReady ||= bytes.at(-6) === READY; // ReadyForQuery: its letter, four bytes of length, one of state
      near.write(bytes);
    });
    near.on('data', (bytes) => (isReady ? end() : far.write(bytes)));
    near.on('error', end);
    far.on('error', end);
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  return { port: (front.address() as AddressInfo).port, close: () => front.close() };
}
