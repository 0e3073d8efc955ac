/**
 * Kysely on a PostgreSQL server, with the semantics of the embedded database: whole numbers of 64 bits are numbers, and transactions
 * follow one another, across all processes that share the database. A statement outside of a transaction waits for nobody.
 *
 * Why one transaction at a time: the audit chain puts nearly all of them in line anyway (docs/decisions/0003), and what a transaction has
 * read still holds when it writes, which the services count on and the embedded database gives for free. The lock is the first statement,
 * so that every later one sees what the transactions before it have committed, and no two can wait for each other.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type TransactionSettings,
} from 'kysely';
import { PostgresJSDriver } from 'kysely-postgres-js';
import postgres from 'postgres';

/** An advisory lock of ours ("mc" and a number), a name that no other use of the same database is likely to take. */
const TRANSACTION_LOCK = 0x6d63_0001;

/** Connections of one process: transactions that wait for their turn hold one each, and reads must still find some. */
const POOL_MAX = 20;
/** A statement that takes longer is broken off by the server; waiting for the turn of a transaction counts. */
const STATEMENT_MAX_MS = 30_000;
/** A process that stands still in the middle of a transaction loses it, so that the others can go on. */
const IDLE_IN_TRANSACTION_MAX_MS = 10_000;
const CONNECT_MAX_S = 5;
/** At the end, statements that are under way have this long. */
const END_MAX_MS = 5_000;
const END_STEP_MS = 10;
const RECONNECT_S = 0.25;

interface Options {
  /** Connections at once. */
  poolMax?: number;
  /** Null = as long as it takes; for migrations. */
  statementMaxMs?: number | null;
}

/** A Kysely dialect for the server at `url` (`?sslmode=require` or `verify-full` for TLS). It connects with the first statement. */
export function serverDialect(url: string, { poolMax = POOL_MAX, statementMaxMs = STATEMENT_MAX_MS }: Options = {}): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new SerialDriver(connect(url, poolMax, statementMaxMs)),
    createIntrospector: (db: Kysely<unknown>) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

function connect(url: string, max: number, statementMaxMs: number | null) {
  return postgres(url, {
    max,
    connect_timeout: CONNECT_MAX_S,
    // A server that comes back is found at once, however long it was away.
    backoff: () => RECONNECT_S,
    onnotice: () => {},
    types: { whole: asNumber(20), decimal: asNumber(1700) },
    connection: {
      application_name: 'mission-control',
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MAX_MS,
      ...(statementMaxMs !== null && { statement_timeout: statementMaxMs }),
    },
  });
}

/** @param oid of the type whose values come as numbers, as they do from the embedded database. */
function asNumber(oid: number) {
  return { to: oid, from: [oid], serialize: (value: unknown) => String(value), parse: Number };
}

class SerialDriver extends PostgresJSDriver implements Driver {
  readonly #sql: postgres.Sql<{ whole: number; decimal: number }>;
  /** Connections that a statement or transaction has. */
  #taken = 0;

  constructor(sql: postgres.Sql<{ whole: number; decimal: number }>) {
    super({ postgres: sql });
    this.#sql = sql;
  }

  override async acquireConnection(...options: Parameters<PostgresJSDriver['acquireConnection']>) {
    const connection = await super.acquireConnection(...options);
    this.#taken++;
    return connection;
  }

  override async releaseConnection(...given: Parameters<PostgresJSDriver['releaseConnection']>): Promise<void> {
    this.#taken--;
    await super.releaseConnection(...given);
  }

  /** postgres.js 3.4.9 waits for ever for a connection that is taken when the end begins and is given back without another statement. */
  override async destroy(): Promise<void> {
    const deadline = performance.now() + END_MAX_MS;
    while (this.#taken > 0 && performance.now() < deadline) await sleep(END_STEP_MS);
    await this.#sql.end({ timeout: 1 });
  }

  override async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    await super.beginTransaction(connection, settings);
    await connection.executeQuery(CompiledQuery.raw('select pg_advisory_xact_lock($1)', [TRANSACTION_LOCK]));
  }
}
