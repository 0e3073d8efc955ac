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
  type QueryResult,
  type TransactionSettings,
} from 'kysely';
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
    createDriver: () => new SerialDriver(poolMax, (onclose) => connect(url, statementMaxMs, onclose)),
    createIntrospector: (db: Kysely<unknown>) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

/** A client with one connection. @param onclose is called when that breaks. */
function connect(url: string, statementMaxMs: number | null, onclose: () => void) {
  return postgres(url, {
    max: 1,
    connect_timeout: CONNECT_MAX_S,
    // Otherwise it would be closed after a while, also between two statements of a transaction.
    max_lifetime: null,
    onclose,
    onnotice: () => {},
    // It would ask for them on each new connection, and where that breaks in the middle of it nobody catches the error (3.4.9): the process ends.
    fetch_types: false,
    types: { whole: asNumber(20), decimal: asNumber(1700), ...ARRAYS },
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

/** Arrays as parameters and results: type of the element, of the array, and how an element is read. One dimension. */
const ARRAYS = Object.fromEntries(
  (
    [
      [16, 1000, (text) => text === 't'],
      [20, 1016, Number],
      [23, 1007, Number],
      [25, 1009, String],
      [701, 1022, Number],
      [1043, 1015, String],
      [1700, 1231, Number],
      [2950, 2951, String],
      [3802, 3807, JSON.parse],
    ] as [number, number, (text: string) => unknown][]
  ).map(([element, array, parse]) => [
    `array of ${element}`,
    {
      to: array,
      from: [array],
      serialize: writeArray,
      parse: (text: string) => readArray(text).map((each) => (each === null ? null : parse(each))),
    },
  ]),
);

/** PostgreSQL, 8.15.2: every element in quotes, so that none is taken for syntax. */
function writeArray(values: readonly unknown[]): string {
  const elements = values.map((value) => {
    if (value === null || value === undefined) return 'null';
    const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
    return `"${text.replace(/["\\]/g, '\\$&')}"`;
  });
  return `{${elements.join(',')}}`;
}

function readArray(text: string): (string | null)[] {
  return [...text.slice(1, -1).matchAll(/"((?:[^"\\]|\\.)*)"|([^",]+)/gs)].map(([, quoted, bare]) =>
    quoted !== undefined ? quoted.replace(/\\(.)/gs, '$1') : bare === 'NULL' ? null : (bare ?? null),
  );
}

type Client = ReturnType<typeof connect>;

/**
 * Invariant: a connection has one holder at a time, and one that broke is never used again. What a holder does after its connection broke
 * fails: postgres.js (3.4.9) would run the rest of its transaction on a new connection, outside of any transaction, and its `reserve` gives
 * a connection that broke to two holders.
 */
class SerialDriver implements Driver {
  readonly #max: number;
  readonly #open: (onclose: () => void) => Client;
  #idle: ServerConnection[] = [];
  #taken = 0;
  #waiting: ((connection: ServerConnection) => void)[] = [];

  constructor(max: number, open: (onclose: () => void) => Client) {
    this.#max = max;
    this.#open = open;
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#taken >= this.#max) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#taken++;
    return this.#next();
  }

  async beginTransaction(connection: DatabaseConnection, { isolationLevel }: TransactionSettings): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw(isolationLevel ? `begin isolation level ${isolationLevel}` : 'begin'));
    try {
      await connection.executeQuery(CompiledQuery.raw('select pg_advisory_xact_lock($1)', [TRANSACTION_LOCK]));
    } catch (error) {
      // Kysely rolls back only what has begun: given back as it is, the connection would fail all who get it after us.
      await this.rollbackTransaction(connection).catch(() => {});
      throw error;
    }
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // The server rolls back what a connection leaves behind, and what broke it is the error to tell.
    if (connection instanceof ServerConnection && connection.isLost) return;
    await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  async releaseConnection(connection: DatabaseConnection): Promise<void> {
    if (connection instanceof ServerConnection) this.#idle.push(connection);
    const waiting = this.#waiting.shift();
    if (waiting) waiting(this.#next());
    else this.#taken--;
  }

  async destroy(): Promise<void> {
    const deadline = performance.now() + END_MAX_MS;
    while (this.#taken > 0 && performance.now() < deadline) await sleep(END_STEP_MS);
    await Promise.all(this.#idle.splice(0).map((connection) => connection.end()));
  }

  /** The one that was used last and is whole, or a new one. */
  #next(): ServerConnection {
    for (let found = this.#idle.pop(); found; found = this.#idle.pop()) {
      if (!found.isLost) return found;
      void found.end();
    }
    return new ServerConnection(this.#open);
  }
}

class ServerConnection implements DatabaseConnection {
  readonly #client: Client;
  /** It broke, or what the server has made of the last statement is not known. */
  isLost = false;

  constructor(open: (onclose: () => void) => Client) {
    this.#client = open(() => {
      this.isLost = true;
    });
  }

  async executeQuery<R>({ sql, parameters }: CompiledQuery): Promise<QueryResult<R>> {
    if (this.isLost) throw new Error('the connection to the database broke');
    try {
      const result = await this.#client.unsafe<R[] & postgres.Row[]>(sql, [...parameters] as postgres.ParameterOrJSON<never>[], {
        prepare: true,
      });
      const isChange = CHANGES.has(result.command);
      return { rows: Array.from(result), ...(isChange && { numAffectedRows: BigInt(result.count) }) };
    } catch (error) {
      if (!(error instanceof postgres.PostgresError) || error.severity === 'FATAL') this.isLost = true;
      throw error;
    }
  }

  // biome-ignore lint/correctness/useYield: nothing here reads in a stream
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('reading in a stream is not offered');
  }

  async end(): Promise<void> {
    await this.#client.end({ timeout: this.isLost ? 0 : 1 }).catch(() => {});
  }
}

const CHANGES: ReadonlySet<string> = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);
