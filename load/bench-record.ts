/**
 * How quick the record answers when it is long: a PostgreSQL server with a million calls and a million rows of the audit log (or
 * BENCH_ROWS), asked as the dashboard asks. Prints a table, and fails where a promise of docs/proof.md is not kept.
 */
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { Kysely, sql } from 'kysely';
import { auditPages } from '../control/audit.ts';
import { type AuditRecord, hashOf, hashRecord, signAnchor } from '../control/audit-chain.ts';
import { exportAudit, verifyExport } from '../control/audit-export.ts';
import { type Db, json, openServerDatabase } from '../control/db/database.ts';
import type { Database } from '../control/db/schema.ts';
import { serverDialect } from '../control/db/server-dialect.ts';
import { createIncidents } from '../control/incidents.ts';
import { createSearch } from '../control/search.ts';
import { openSigningKey } from '../control/signing.ts';
import { createTimeline } from '../control/timeline.ts';
import { startPostgres } from '../test/support/postgres.ts';

const ROWS = Number(process.env.BENCH_ROWS ?? 1_000_000);
const TIMES = 20;
const START = Date.UTC(2026, 10, 1);
/** All calls within thirty days. */
const STEP_MS = Math.floor((30 * 24 * 60 * 60 * 1000) / ROWS);

interface Finding {
  what: string;
  ms: number;
  boundMs: number;
}

const folder = mkdtempSync(join(tmpdir(), 'mc-bench-record-'));
const server = await startPostgres();
const url = await server.createDatabase();
const { db, close } = await openServerDatabase(url);
try {
  console.log(`making ${ROWS} calls and rows of the audit log`);
  // Longer than a statement may take otherwise.
  const filling = new Kysely<Database>({ dialect: serverDialect(url, { poolMax: 1, statementMaxMs: null }) });
  await fill(filling);
  await filling.destroy();
  const findings = [...(await searches(db)), ...(await stories(db)), ...(await exports(db))];
  for (const { what, ms, boundMs } of findings)
    console.log(`${ms <= boundMs ? 'ok  ' : 'SLOW'} ${ms.toFixed(0).padStart(7)} ms (at most ${boundMs})  ${what}`);
  process.exitCode = findings.every(({ ms, boundMs }) => ms <= boundMs) ? 0 : 1;
} finally {
  await close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}

async function searches(on: Db): Promise<Finding[]> {
  const search = createSearch({ db: on });
  const found: Finding[] = [];
  for (const [what, q] of [
    ['a word of one call', 'needle4711'],
    ['a word of every call', 'exec'],
    ['a word of one call in 50', 'module17'],
    ['two words, both frequent', 'exec module17'],
    ['two frequent words that never meet', 'module17 module18'],
    ['the beginning of many words', 'mod'],
    ['an id', `call-${Math.floor(ROWS / 2)}`],
    ['a word that nothing has', 'zzzznothing'],
  ] as const) {
    found.push({ what: `search: ${what}`, boundMs: 500, ms: await p95(() => search.find({ q, limit: 30 })) });
    found.push({ what: `search in groups: ${what}`, boundMs: 500, ms: await p95(() => search.find({ q, limit: 30, each: 5 })) });
  }
  return found;
}

async function stories(on: Db): Promise<Finding[]> {
  const timeline = createTimeline({
    db: on,
    activePolicy: () => {
      throw new Error('no story asks for the policy');
    },
  });
  const incidents = createIncidents({ db: on, clock: () => START + ROWS * STEP_MS, timeline });
  const page = { limit: 100 } as const;
  const [middle, boundMs] = [START + Math.floor(ROWS / 2) * STEP_MS, 200];
  const day = 24 * 60 * 60 * 1000;
  return [
    { what: 'timeline of a task', boundMs, ms: await p95(() => timeline.read('task-4711', page)) },
    { what: 'timeline of an agent, newest first', boundMs, ms: await p95(() => timeline.readAgent('agent-7', { ...page, order: 'desc' })) },
    { what: 'timeline of a run', boundMs, ms: await p95(() => timeline.readRun(`r${Math.floor(ROWS / 40)}`, page)) },
    { what: 'incident answer of a task', boundMs, ms: await p95(() => incidents.answer({ task: 'task-4711' })) },
    { what: 'incident answer of an agent, a day', boundMs, ms: await p95(() => incidents.answer({ agent: 'agent-7' })) },
    { what: 'incident answer of an hour', boundMs, ms: await p95(() => incidents.answer({ from: middle, to: middle + day / 24 })) },
    { what: 'incident answer of a day', boundMs, ms: await p95(() => incidents.answer({ from: middle, to: middle + day })) },
  ];
}

async function exports(on: Db): Promise<Finding[]> {
  const key = openSigningKey(join(folder, 'keys'));
  const head = await on.selectFrom('audit_head').select(['seq', 'hash']).executeTakeFirstOrThrow();
  const found: Finding[] = [];
  for (const format of ['ndjson', 'json', 'csv'] as const) {
    const file = join(folder, `audit.${format}`);
    const before = performance.now();
    await pipeline(exportAudit(format, signAnchor(head, START, 0, key), auditPages(on, head.seq)), createWriteStream(file));
    found.push({ what: `export of ${head.seq} rows as ${format}`, ms: performance.now() - before, boundMs: 60_000 });
    if (format === 'csv') continue;
    const then = performance.now();
    const result = await verifyExport(file, { anchors: null, key: key.publicKeyPem });
    if (!result.ok) throw new Error(`the export does not verify: ${result.why}`);
    found.push({ what: 'verification of it', ms: performance.now() - then, boundMs: 120_000 });
  }
  return found;
}

/** The 95th percentile of repeated asking, milliseconds; the first is left out. */
async function p95(ask: () => Promise<unknown>): Promise<number> {
  await ask();
  const times: number[] = [];
  for (let i = 0; i < TIMES; i++) {
    const before = performance.now();
    await ask();
    times.push(performance.now() - before);
  }
  return times.sort((a, b) => a - b)[Math.ceil(TIMES * 0.95) - 1] ?? 0;
}

async function fill(on: Db): Promise<void> {
  await sql`
    insert into agents (id, created_at, updated_at, revision, name, autonomy, status, status_changed_at, gate, model_config, depth, error_streak,
      total_spend, metadata)
    select 'agent-' || i, ${START}::bigint, 0, 1, 'agent ' || i, 'specialist', 'active', 0, 'none', '{}', 0, 0, 0, '{}'
    from generate_series(0, 49) as i`.execute(on);
  await sql`
    insert into tasks (id, created_at, updated_at, revision, title, description, type, status, priority, assignee_ids, reviewer_ids, subscriber_ids,
      depends_on, spend, deliverable_makes_claims, evidence, deliverable_confirmed, metadata)
    select 'task-' || i, ${START}::bigint + i, 0, 1, 'Build module' || i % 50, 'The module' || i % 50 || ' of the service', 'engineering', 'in_progress',
      'medium', '[]', '[]', '[]', '[]', 0, false, '[]', false, '{}'
    from generate_series(0, 9999) as i`.execute(on);
  await sql`
    insert into messages (id, created_at, task_id, author_type, author_name, content, mentions, metadata)
    select 'message-' || i, ${START}::bigint + i * 50, 'task-' || i % 10000, 'agent', 'agent ' || i % 50, 'module' || i % 50 || ' is ready', '[]', '{}'
    from generate_series(0, 99999) as i`.execute(on);
  await sql`
    insert into approvals (id, created_at, kind, status, agent_id, task_id, tool, risk, summary, reasons, estimated_cost, allowance, expires_at, deferred,
      tell_attempts)
    select 'approval-' || i, ${START}::bigint + i * 90, 'tool', 'approved', 'agent-' || i % 50, 'task-' || i % 10000, 'exec', 'red', 'make module' || i % 50,
      '[]', 0, 0, 0, false, 0
    from generate_series(0, 49999) as i`.execute(on);
  // Each task has its time, as real ones do: a hundred calls, one after the other.
  await sql`
    insert into tool_calls (id, created_at, entry, key, digest, agent_id, run_id, task_id, session_key, tool, mapped_tool, risk, verdict, reasons, status,
      input, output, started_at, ended_at, duration, cost, estimated_cost, summary)
    select 'call-' || i, ${START}::bigint + i * ${STEP_MS}::bigint, 'openclaw', 'k' || i, 'd' || i, 'agent-' || i % 50, 'run-' || i / 20, 'task-' || i / 100 % 10000, 's',
      case when i % 3 = 0 then 'exec' else 'read_exec' end, 'shell_exec', 'green', 'allow', '[]', 'success',
      jsonb_build_object('command', 'make module' || i % 50), 'done', 0, 0, 12, 1000, 1000,
      'make exec module' || i % 50 || ' in /srv/app/' || i % 977 || '/main.ts' || case when i = 4711 then ' needle4711' else '' end
    from generate_series(0, ${ROWS - 1}::int) as i`.execute(on);
  await sql`
    insert into runs (id, run_id, agent_id, task_id, started_at, last_seen_at, status, cost, tool_call_count)
    select 'r' || i, 'run-' || i, 'agent-' || i % 50, 'task-' || i / 5 % 10000, ${START}::bigint + i * ${20 * STEP_MS}::bigint, ${START}::bigint + (i + 1) * ${20 * STEP_MS}::bigint, 'success', 20000, 20
    from generate_series(0, ${Math.floor(ROWS / 20)}::int) as i`.execute(on);
  await fillAudit(on);
  await sql`vacuum analyze`.execute(on);
}

async function fillAudit(on: Db): Promise<void> {
  let prevHash = '0'.repeat(64);
  let batch: object[] = [];
  const flush = async () => {
    await sql`insert into audit_log select * from jsonb_populate_recordset(null::audit_log, ${json(batch)})`.execute(on);
    batch = [];
  };
  for (let seq = 1; seq <= ROWS; seq++) {
    const payload = { input: { command: `make module${seq % 50}` } };
    const details = {
      tool: 'exec',
      verdict: 'allow',
      risk: 'green',
      reasons: ['OK'],
      taskId: `task-${seq % 10_000}`,
      payloadHash: hashOf(payload),
    };
    const row: Omit<AuditRecord, 'hash'> = {
      ...{
        seq,
        at: START + seq * STEP_MS,
        actorType: 'agent',
        actorId: `agent-${seq % 50}`,
        action: 'call.started',
        subjectType: 'tool_call',
      },
      ...{ subjectId: `call-${seq}`, details, payload, detailsHash: hashOf(details), prevHash },
    };
    prevHash = hashRecord(row);
    batch.push({
      ...{ seq, at: row.at, actor_type: row.actorType, actor_id: row.actorId, action: row.action, subject_type: row.subjectType },
      ...{ subject_id: row.subjectId, details, payload, details_hash: row.detailsHash, prev_hash: row.prevHash, hash: prevHash },
    });
    if (batch.length === 5_000) await flush();
  }
  if (batch.length > 0) await flush();
  await on.updateTable('audit_head').set({ seq: ROWS, hash: prevHash }).execute();
}
