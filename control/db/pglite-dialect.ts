/**
 * Kysely on the embedded database in its worker thread. One connection, handed out in order of arrival: a transaction keeps it
 * to its end, so no other statement can slip into it. (Kysely's own PGlite driver hands the same connection to everybody:
 * a statement of another request would run inside an open transaction and be rolled back with it.)
 */
import { Worker } from 'node:worker_threads';
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
} from 'kysely';
import type { WorkerAnswer, WorkerRequest } from './pglite-worker.ts';

/** A statement that PostgreSQL refused; `code` is the SQLSTATE. */
class DatabaseError extends Error {
  readonly code: string | null;
  readonly constraint: string | null;
  constructor(message: string, code: string | null, constraint: string | null) {
    super(message);
    this.name = 'DatabaseError';
    this.code = code;
    this.constraint = constraint;
  }
}

/** A Kysely dialect for the embedded database in `folder`. The thread starts with the first statement. */
export function pgliteDialect(folder: string): Dialect {
  return {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new WorkerDriver(folder),
    createIntrospector: (db: Kysely<unknown>) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
}

class WorkerDriver implements Driver {
  readonly #folder: string;
  #connection: WorkerConnection | null = null;
  #busy = false;
  readonly #waiting: (() => void)[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  async init(): Promise<void> {
    this.#connection = await WorkerConnection.open(this.#folder);
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#busy) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#busy = true;
    if (!this.#connection) throw new Error('database is closed');
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    const next = this.#waiting.shift();
    if (next)
      next(); // stays busy: the connection passes straight to the next in line
    else this.#busy = false;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('begin'));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('commit'));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw('rollback'));
  }

  async destroy(): Promise<void> {
    const connection = this.#connection;
    this.#connection = null;
    await connection?.close();
  }
}

type Waiter = { resolve: (answer: { rows: unknown[]; affectedRows: number | null }) => void; reject: (error: Error) => void };

class WorkerConnection implements DatabaseConnection {
  readonly #worker: Worker;
  readonly #open = new Map<number, Waiter>();
  #next = 1;
  #dead: Error | null = null;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  static open(folder: string): Promise<WorkerConnection> {
    const worker = new Worker(new URL('./pglite-worker.ts', import.meta.url), { workerData: folder });
    const connection = new WorkerConnection(worker);
    return new Promise((resolve, reject) => {
      worker.on('error', (error) => {
        connection.#fail(error instanceof Error ? error : new Error(String(error)));
        reject(error);
      });
      worker.on('exit', (code) => {
        const error = new Error(`embedded database ended (exit ${code})`);
        connection.#fail(error);
        reject(error);
      });
      worker.on('message', (message: 'ready' | WorkerAnswer) => {
        if (message === 'ready') resolve(connection);
        else connection.#settle(message);
      });
    });
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { rows, affectedRows } = await this.#ask({ id: this.#next++, sql: query.sql, parameters: query.parameters });
    return affectedRows === null ? { rows: rows as R[] } : { rows: rows as R[], numAffectedRows: BigInt(affectedRows) };
  }

  // biome-ignore lint/correctness/useYield: Kysely requires the method; the embedded database reads in pages instead
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('the embedded database does not stream; read in pages');
  }

  async close(): Promise<void> {
    if (this.#dead) return;
    await this.#ask({ id: this.#next++, close: true });
    await this.#worker.terminate();
  }

  #ask(request: WorkerRequest): Promise<{ rows: unknown[]; affectedRows: number | null }> {
    if (this.#dead) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      this.#open.set(request.id, { resolve, reject });
      this.#worker.postMessage(request);
    });
  }

  #settle(answer: WorkerAnswer): void {
    const waiter = this.#open.get(answer.id);
    this.#open.delete(answer.id);
    if (!waiter) return;
    if ('error' in answer) waiter.reject(new DatabaseError(answer.error.message, answer.error.code, answer.error.constraint));
    else waiter.resolve(answer);
  }

  #fail(error: Error): void {
    this.#dead ??= error;
    for (const waiter of this.#open.values()) waiter.reject(error);
    this.#open.clear();
  }
}
