/** Connections to a database server that break, or are broken off, while somebody holds them. */
import { once } from 'node:events';
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

it('a server that goes away at any point of a new connection fails the statement, and nothing else', async () => {
  const url = new URL(await server.createDatabase());
  const to = Number(url.port);
  let left = 0;
  const breaking = createServer((client) => {
    const upstream = connect(to, '127.0.0.1');
    const end = () => {
      upstream.destroy();
      client.resetAndDestroy();
    };
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', end).on('close', end);
    client.pipe(upstream);
    upstream.on('data', (bytes) => {
      left -= bytes.length;
      if (left >= 0) client.write(bytes);
      else end();
    });
  }).listen(0, '127.0.0.1');
  await once(breaking, 'listening');
  url.port = String((breaking.address() as AddressInfo).port);
  const uncaught: unknown[] = [];
  const onUncaught = (error: unknown) => uncaught.push(error);
  process.on('unhandledRejection', onUncaught);
  let [failed, answered] = [0, 0];
  // The answers to a first statement are some 700 bytes.
  for (let bytes = 0; bytes <= 1_500; bytes += 30) {
    left = bytes;
    const one = new Kysely<unknown>({ dialect: serverDialect(url.href, { poolMax: 1 }) });
    await sql`select 1`.execute(one).then(
      () => answered++,
      () => failed++,
    );
    await one.destroy();
  }
  process.off('unhandledRejection', onUncaught);
  breaking.close();
  expect(uncaught).toEqual([]);
  expect(failed).toBeGreaterThan(5);
  expect(answered).toBeGreaterThan(5);
});
