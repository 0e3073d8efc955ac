/**
 * Whole tables out of a database and into another one, in PostgreSQL's own text form (COPY), which keeps every value exactly and is the same
 * for the embedded database and a server. Everything that is read in one `reading` belongs to one moment; what is written in one `writing`
 * is there whole or not at all.
 */
import { CompiledQuery } from 'kysely';
import postgres from 'postgres';
import { type Db, openDatabase, openServerDatabase } from './database.ts';

/** Blocks of 8 KiB that one statement of the embedded database reads: a bound on memory. */
const PAGE_BLOCKS = 1_024;
/** About so many bytes are handed to the embedded database at once. */
const CHUNK_BYTES = 8 * 1024 * 1024;
const NEWLINE = 0x0a;

/** Where tables come from or go to. */
export interface Place {
  /** Reads in one snapshot. The embedded database does nothing else meanwhile. */
  reading: <T>(work: (tables: Tables) => Promise<T>) => Promise<T>;
  /** Writes in one transaction. */
  writing: <T>(work: (tables: Tables) => Promise<T>) => Promise<T>;
  db: Db;
  close: () => Promise<void>;
}

/** Tables within one transaction. Names come from the catalogue, never from a file. */
export interface Tables {
  rows: <T>(statement: string) => Promise<T[]>;
  /** Rows in the order in which they are stored. */
  read: (table: string, columns: readonly string[]) => AsyncIterable<Uint8Array>;
  write: (table: string, columns: readonly string[], bytes: AsyncIterable<Uint8Array>) => Promise<void>;
}

/**
 * The embedded database in a folder. @param migrations only these; absent = all.
 * @throws Error when another live process holds the folder.
 */
export async function embeddedPlace(dataDir: string, migrations?: readonly string[]): Promise<Place> {
  const { db, close } = await openDatabase(dataDir, migrations);
  return { ...embedded(db), close };
}

/** An embedded database that is open. */
export function embedded(db: Db): Omit<Place, 'close'> {
  const within = <T>(work: (tables: Tables) => Promise<T>) => db.transaction().execute((tx) => work(embeddedTables(tx)));
  return { reading: within, writing: within, db };
}

/** A server's database. @param url `DATABASE_URL`. @param migrations only these; absent = all. */
export async function serverPlace(url: string, migrations?: readonly string[]): Promise<Place> {
  const { db, close } = await openServerDatabase(url, migrations);
  const sql = postgres(url, { max: 1, onnotice: () => {}, connection: { application_name: 'mission-control-copy' } });
  const within = async <T>(mode: string, work: (tables: Tables) => Promise<T>) =>
    (await sql.begin(mode, (tx) => work(serverTables(tx)))) as T;
  return {
    reading: (work) => within('isolation level repeatable read read only', work),
    writing: (work) => within('', work),
    db,
    close: async () => {
      await sql.end();
      await close();
    },
  };
}

/** Whether nothing of anybody is in a server's database; changes nothing there. Tables of ours without rows, of a restore that failed, are nothing. */
export async function isServerEmpty(url: string): Promise<boolean> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    return (await sql.begin('read only', async (tx) => {
      const tables = serverTables(tx);
      const found = await tables.rows<{ name: string }>(
        'select tablename::text as name from pg_tables where schemaname = current_schema()',
      );
      if (found.length === 0) return true;
      return found.some(({ name }) => name === 'policies') && found.some(({ name }) => name === 'audit_log') && !(await isUsed(tables));
    })) as boolean;
  } finally {
    await sql.end();
  }
}

/** Whether an installation was ever started on these tables: then it has a policy; all that was ever done is in the audit log. */
export async function isUsed(tables: Tables): Promise<boolean> {
  const [found] = await tables.rows<{ used: boolean }>(
    'select exists (select 1 from policies) or exists (select 1 from audit_log) as used',
  );
  return found?.used !== false;
}

function embeddedTables(db: Db): Tables {
  const run = async <T>(statement: string, parameters: readonly unknown[] = []) =>
    (await db.executeQuery<T>(CompiledQuery.raw(statement, [...parameters]))).rows;

  async function* read(table: string, columns: readonly string[]): AsyncIterable<Uint8Array> {
    const [size] = await run<{ blocks: number }>(
      `select pg_relation_size('${quoted(table)}') / current_setting('block_size')::int as blocks`,
    );
    for (let from = 0; from < (size?.blocks ?? 0); from += PAGE_BLOCKS) {
      const page = `ctid >= '(${from},0)'::tid and ctid < '(${from + PAGE_BLOCKS},0)'::tid`;
      const [row] = await run<{ bytes: Uint8Array }>(`copy (select ${listed(columns)} from ${quoted(table)} where ${page}) to '/dev/blob'`);
      if (row && row.bytes.length > 0) yield row.bytes;
    }
  }

  async function write(table: string, columns: readonly string[], bytes: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const rows of wholeRows(bytes)) await run(`copy ${quoted(table)} (${listed(columns)}) from '/dev/blob'`, [rows]);
  }

  return { rows: (statement) => run(statement), read, write };
}

function serverTables(sql: postgres.TransactionSql): Tables {
  return {
    rows: async <T>(statement: string) => (await sql.unsafe(statement)) as unknown as T[],
    read: async function* (table, columns) {
      // Else a large table may be read from its middle on.
      await sql.unsafe('set local synchronize_seqscans = off');
      const stream = await sql.unsafe(`copy (select ${listed(columns)} from ${quoted(table)}) to stdout`).readable();
      for await (const bytes of stream) yield bytes as Uint8Array;
    },
    write: async (table, columns, bytes) => {
      const stream = await sql.unsafe(`copy ${quoted(table)} (${listed(columns)}) from stdin`).writable();
      const failed = new Promise<never>((_, reject) => stream.once('error', reject));
      failed.catch(() => {});
      for await (const chunk of bytes) {
        if (!stream.write(chunk)) await Promise.race([new Promise((resolve) => stream.once('drain', resolve)), failed]);
      }
      await Promise.race([
        new Promise<void>((resolve) => {
          stream.once('finish', resolve);
          stream.end();
        }),
        failed,
      ]);
    },
  };
}

/** The same bytes in pieces that end with a row. In COPY's text form a line end stands for nothing but the end of a row. */
async function* wholeRows(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  let kept: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bytes) {
    kept.push(chunk);
    size += chunk.length;
    if (size < CHUNK_BYTES) continue;
    const all = Buffer.concat(kept);
    const end = all.lastIndexOf(NEWLINE) + 1;
    if (end === 0) continue;
    // A copy of its own: what goes to the database's thread is handed over whole.
    yield new Uint8Array(all.subarray(0, end));
    kept = [all.subarray(end)];
    size = all.length - end;
  }
  if (size > 0) yield new Uint8Array(Buffer.concat(kept));
}

export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function listed(columns: readonly string[]): string {
  return columns.map(quoted).join(', ');
}
