/**
 * How the installation itself is doing, part by part, for people who have no Prometheus: what was found by asking now, in one sentence each,
 * and since when. Read only; what cannot be found out is said to be unknown and never counts as well.
 */
import { sql } from 'kysely';
import type { BackupRuns } from './backup-runs.ts';
import type { Channel, Gateway, Health, Overview } from './contract.ts';
import type { Counters } from './counters.ts';
import type { Db } from './db/database.ts';
import type { Leases } from './leases.ts';
import type { Line } from './line.ts';

export type HealthReport = ReturnType<typeof createHealth>;
type Part = Health['parts'][number];
type State = Part['state'];

/** A change that a proxy has not taken up for this long is late: usually it takes milliseconds. */
const LATE_CHANGE_MS = 3_000;
/** So many journal events behind, or an event this old when it arrived, asks for a look. */
const JOURNAL_BEHIND = 1_000;
const JOURNAL_OLD_MS = 10_000;
/** A database that answers later than this makes everything slow. */
const SLOW_MS = 250;
const DATABASE_MS = 2_000;
/** Messages to people or agents that wait longer than this are late. */
const LATE_MESSAGE_MS = 5 * 60_000;
/** A worker's last pass is noted every one and a half of its intervals; what is older than this share of them is late. */
const LATE_TICKS = 6;
const LATE_TICK_MIN_MS = 30_000;
const BACKUP_OLD_MS = 7 * 24 * 60 * 60_000;

interface Dependencies {
  db: Db;
  clock: () => number;
  isShared: boolean;
  overview: () => Promise<Overview>;
  line: Pick<Line, 'progress'>;
  counters: Pick<Counters, 'ping'> | null;
  gateways: { list: () => Promise<Gateway[]> };
  channels: { list: () => Promise<Channel[]> };
  leases: Pick<Leases, 'list'>;
  /** The workers that somebody has to do, and how often. */
  workers: () => readonly { name: string; everyMs: number }[];
  anchorEveryMs: number;
  backups: Pick<BackupRuns, 'running'>;
}

export function createHealth(dependencies: Dependencies) {
  const { clock } = dependencies;
  const startedAt = clock();

  /** Every part as it is now. Never rejects: a part that cannot be asked says why. */
  async function read(): Promise<Health> {
    const at = clock();
    const asked = [
      () => proxies(dependencies),
      () => database(dependencies, at),
      () => redis(dependencies, at),
      () => openclaw(dependencies, at),
      () => agentMessages(dependencies, at),
      () => outboxes(dependencies, at),
      () => audit(dependencies, at),
      () => workers(dependencies, at, startedAt),
      () => backups(dependencies, at),
    ];
    const groups = ['proxies', 'database', 'redis', 'openclaw', 'openclaw', 'channels', 'audit', 'workers', 'backups'] as const;
    const parts = await Promise.all(
      asked.map((ask, i) =>
        ask().catch((error): Part[] => [
          part(
            groups[i] ?? 'database',
            groups[i] ?? '',
            'unknown',
            `It could not be read: ${error instanceof Error ? error.message : error}.`,
            null,
          ),
        ]),
      ),
    );
    return { at, parts: parts.flat() };
  }

  return { read };
}

function part(group: Part['group'], name: string, state: State, says: string, at: number | null): Part {
  return { group, name, state, says, at };
}

async function proxies({ overview, line }: Dependencies): Promise<Part[]> {
  const { proxies: known, activePolicy } = await overview();
  if (known.length === 0)
    return [part('proxies', 'Proxies', 'failing', 'None is connected, so nothing is judged and every call is refused.', null)];
  const progress = line.progress();
  return known.map(({ id, state, lastSeenAt }) => {
    if (state === 'stale')
      return part('proxies', id, 'failing', 'Its line to control is down. It refuses calls once its picture is too old.', lastSeenAt);
    const found = progress.get(id);
    // It is on the line of another control, which alone knows more.
    if (!found) return part('proxies', id, 'ok', 'Live, on the line of another control process.', lastSeenAt);
    const { appliedRevision, owedRevision, owesForMs, journal } = found;
    const isLate = owesForMs > LATE_CHANGE_MS;
    const age = journal === null ? 0 : journal.oldestMs;
    const isBehind = journal !== null && (journal.waiting > JOURNAL_BEHIND || age > JOURNAL_OLD_MS);
    const picture = isLate
      ? `It has not taken up a change for ${seconds(owesForMs)}: picture ${appliedRevision} of ${owedRevision}.`
      : `Judges by policy ${activePolicy.version} and all that was committed (picture ${Math.max(appliedRevision, owedRevision)}).`;
    const shipped =
      journal === null
        ? 'Its journal has shipped nothing since this process started.'
        : `Journal: ${events(journal.waiting)} behind at the last shipment, the oldest in it ${seconds(age)} old.`;
    return part('proxies', id, isLate || isBehind ? 'attention' : 'ok', `${picture} ${shipped}`, journal?.at ?? lastSeenAt);
  });
}

async function database({ db, isShared }: Dependencies, at: number): Promise<Part[]> {
  const name = isShared ? 'PostgreSQL server' : 'Embedded PostgreSQL';
  const began = performance.now();
  const late = Promise.withResolvers<null>();
  const timer = setTimeout(() => late.resolve(null), DATABASE_MS);
  try {
    const asked = sql<{ bytes: number }>`select pg_database_size(current_database())::float8 as bytes`
      .execute(db)
      .then(({ rows }) => rows[0]?.bytes ?? 0);
    const bytes = await Promise.race([asked, late.promise]);
    if (bytes === null) return [part('database', name, 'failing', `It did not answer within ${DATABASE_MS / 1000} s.`, null)];
    const tookMs = Math.round(performance.now() - began);
    return [
      part('database', name, tookMs > SLOW_MS ? 'attention' : 'ok', `Answered in ${tookMs} ms. ${Math.round(bytes / 1024 ** 2)} MB.`, at),
    ];
  } catch (error) {
    return [part('database', name, 'failing', `It refused: ${error instanceof Error ? error.message : error}.`, null)];
  } finally {
    clearTimeout(timer);
  }
}

async function redis({ counters }: Dependencies, at: number): Promise<Part[]> {
  if (counters === null) return [part('redis', 'Redis', 'unused', 'Not used: the one proxy keeps the counters itself.', null)];
  try {
    return [
      part(
        'redis',
        'Redis',
        'ok',
        `Answered in ${Math.round(await counters.ping())} ms. The database is the record of what it counts.`,
        at,
      ),
    ];
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [part('redis', 'Redis', 'failing', `${why}. Yellow, red and priced calls are refused until it is back.`, null)];
  }
}

async function openclaw({ gateways }: Dependencies, at: number): Promise<Part[]> {
  const all = await gateways.list();
  if (all.length === 0) return [part('openclaw', 'OpenClaw', 'unused', 'No gateway is connected.', null)];
  return all.flatMap(({ name, url, link, gate, lastHeartbeat }) => {
    const gatePart = part('openclaw', `${name}, gate`, GATE_STATES[gate], GATE_SAYS[gate], lastHeartbeat);
    if (url === null)
      return [
        gatePart,
        part('openclaw', `${name}, link`, 'unused', 'It has no address: agents hear of decisions through open calls alone.', null),
      ];
    const isUp = link.state === 'connected';
    const says = isUp
      ? 'Connected.'
      : `${link.state === 'unauthorized' ? 'Its operator token is refused' : 'Not connected'}${link.error ? `: ${link.error}` : ''}.`;
    const state = isUp ? 'ok' : link.state === 'unauthorized' ? 'failing' : 'attention';
    return [gatePart, part('openclaw', `${name}, link`, state, says, isUp ? at : link.since)];
  });
}

const GATE_STATES: Record<Gateway['gate'], State> = { live: 'ok', silent: 'attention', missing: 'failing', unproven: 'attention' };
const GATE_SAYS: Record<Gateway['gate'], string> = {
  live: 'The plugin sends heartbeats.',
  silent: 'The plugin has stopped sending heartbeats; its agents are judged as interns.',
  missing: 'The gateway is up and its plugin is not: tools may run ungated.',
  unproven: 'The plugin has never been heard.',
};

/** Briefs, notices and aborts that have to reach agents. */
async function agentMessages({ db }: Dependencies, at: number): Promise<Part[]> {
  const waiting = await db
    .selectFrom('deliveries')
    .select(({ fn }) => [fn.countAll<string>().as('count'), fn.min('created_at').as('oldest')])
    .where('delivered_at', 'is', null)
    .where('dropped_at', 'is', null)
    .executeTakeFirstOrThrow();
  return [queue('openclaw', 'Messages to agents', Number(waiting.count), waiting.oldest, at)];
}

async function outboxes({ db, channels }: Dependencies, at: number): Promise<Part[]> {
  const all = await channels.list();
  if (all.length === 0) return [part('channels', 'Channels', 'unused', 'None is set up: nobody is told outside the dashboard.', null)];
  const rows = await db
    .selectFrom('notifications')
    .select(({ fn }) => ['channel_id', fn.countAll<string>().as('count'), fn.min('created_at').as('oldest')])
    .where('delivered_at', 'is', null)
    .where('dead_at', 'is', null)
    .groupBy('channel_id')
    .execute();
  return all.map(({ id, name, enabled, health }) => {
    if (!enabled) return part('channels', name, 'unused', 'Switched off.', health.successAt);
    const found = rows.find((row) => row.channel_id === id);
    const waiting = queue('channels', name, Number(found?.count ?? 0), found?.oldest ?? null, at);
    if (health.state !== 'failing') return { ...waiting, at: health.successAt };
    return part(
      'channels',
      name,
      'failing',
      `${waiting.says} The last attempt failed${health.error ? `: ${health.error}` : ''}.`,
      health.successAt,
    );
  });
}

function queue(group: Part['group'], name: string, count: number, oldest: number | null, at: number): Part {
  if (count === 0 || oldest === null) return part(group, name, 'ok', 'Nothing waits to be sent.', null);
  const age = at - oldest;
  return part(
    group,
    name,
    age > LATE_MESSAGE_MS ? 'attention' : 'ok',
    `${count} waiting to be sent, the oldest for ${seconds(age)}.`,
    null,
  );
}

async function audit({ db, anchorEveryMs }: Dependencies, at: number): Promise<Part[]> {
  const head = await db.selectFrom('audit_head').select('seq').where('id', '=', 1).executeTakeFirstOrThrow();
  const last = await db.selectFrom('audit_anchors').select(['seq', 'at']).orderBy('seq', 'desc').limit(1).executeTakeFirst();
  const missing = head.seq - (last?.seq ?? 0);
  if (missing <= 0) return [part('audit', 'Anchor of the log', 'ok', `All ${head.seq} rows are anchored.`, last?.at ?? null)];
  // The first row that no anchor covers waits from when it was written.
  const first = await db
    .selectFrom('audit_log')
    .select('at')
    .where('seq', '>', last?.seq ?? 0)
    .orderBy('seq')
    .limit(1)
    .executeTakeFirst();
  const waits = at - (first?.at ?? at);
  const isLate = waits > 2 * anchorEveryMs + LATE_TICK_MIN_MS;
  const says = `${missing} of ${head.seq} rows came after the last anchor, the oldest ${seconds(waits)} ago; one is made every ${seconds(anchorEveryMs)}.`;
  return [part('audit', 'Anchor of the log', isLate ? 'attention' : 'ok', says, last?.at ?? null)];
}

async function workers({ leases, workers: wanted }: Dependencies, at: number, startedAt: number): Promise<Part[]> {
  const rows = new Map((await leases.list()).map((row) => [row.name, row]));
  return wanted().map(({ name, everyMs }) => {
    const row = rows.get(name);
    const passedAt = row?.tickedAt ?? null;
    const dueMs = Math.max(LATE_TICK_MIN_MS, LATE_TICKS * everyMs);
    const isLate = at - Math.max(passedAt ?? 0, startedAt) > dueMs;
    if (row?.lastError && passedAt !== null)
      return part('workers', name, 'failing', `Its last pass failed: ${row.lastError}`, row.succeededAt);
    if (isLate)
      return part(
        'workers',
        name,
        'failing',
        `Nobody has done it for longer than ${seconds(dueMs)}; it is due every ${seconds(everyMs)}.`,
        passedAt,
      );
    const says =
      passedAt === null || passedAt < startedAt
        ? `Its first pass since the start is still to come; it is due every ${seconds(everyMs)}.`
        : `Done by ${row?.holder ?? 'this process'}, every ${seconds(everyMs)}.`;
    return part('workers', name, 'ok', says, passedAt);
  });
}

async function backups({ db, isShared, backups: runs }: Dependencies, at: number): Promise<Part[]> {
  const running = runs.running();
  if (running) {
    const says = `Being written since ${seconds(at - running.startedAt)}: ${running.parts} parts, ${Math.round(running.bytes / 1024 ** 2)} MB.`;
    return [part('backups', 'Backup', 'ok', says, running.startedAt)];
  }
  if (isShared) return [part('backups', 'Backup', 'unknown', 'The database is on a server: who backs it up is not known here.', null)];
  const last = await db
    .selectFrom('audit_log')
    .select('at')
    .where('action', '=', 'backup.taken')
    .orderBy('seq', 'desc')
    .limit(1)
    .executeTakeFirst();
  if (!last)
    return [
      part('backups', 'Backup', 'attention', 'None was ever taken. npm run -s mc -- backup FILE takes one while everything runs.', null),
    ];
  const isOld = at - last.at > BACKUP_OLD_MS;
  return [
    part(
      'backups',
      'backup',
      isOld ? 'attention' : 'ok',
      isOld ? 'The last one is older than a week.' : 'The last one is less than a week old.',
      last.at,
    ),
  ];
}

function events(n: number): string {
  return n === 1 ? '1 event' : `${n} events`;
}

/** A duration as people say it: "0.4 s", "12 s", "3 min", "2 h", "3 d". */
function seconds(ms: number): string {
  if (ms < 10_000) return `${Math.round(Math.max(0, ms) / 100) / 10} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 2 * 60 * 60_000) return `${Math.round(ms / 60_000)} min`;
  return ms < 48 * 60 * 60_000 ? `${Math.round(ms / 3_600_000)} h` : `${Math.round(ms / 86_400_000)} d`;
}
