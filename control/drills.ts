/**
 * Drills (SPEC 10): asks every proxy to take away, one after another, what calls depend on, and keeps the report card of what came of it. The
 * proxies drill a stage of their own (proxy/drills.ts): no call is touched. A drill that fails is an alert until it passes again.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { redactText } from '../policies/index.ts';
import type { Alerts } from './alerts.ts';
import { type Actor, appendAudit, SYSTEM } from './audit.ts';
import type { BusMessage, DrillCard, DrillName, DrillStarted, JournalEvent } from './contract.ts';
import { DRILL_HISTORY, DRILL_NAMES, DRILLS } from './contract.ts';
import type { Db, Tx } from './db/database.ts';

export type Drills = ReturnType<typeof createDrills>;
type DrillEvent = Extract<JournalEvent, { type: 'drill' }>;
type Result = DrillCard['items'][number]['results'][number];

interface Dependencies {
  db: Db;
  clock: () => number;
  /** Names this process on the bus. */
  self: string;
  /** Says it to every control process, this one among them; those with lines pass it on to their proxies. */
  say: (message: BusMessage) => void;
  /** How many proxies are here now. */
  countProxies: () => number;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** Drills are run by themselves once a day. */
const EVERY_MS = DAY_MS;
/** A proxy that has not drilled for so long is gone. */
const SHOWN_MS = 30 * DAY_MS;
const KEPT_MS = 180 * DAY_MS;
/** Nothing is asked again while the answers to the last request may still come. */
const PENDING_MS = 10 * 60 * 1000;
const RANK: Record<Result['outcome'], number> = { passed: 0, inconclusive: 1, failed: 2 };

/** Keeps the result of a drill; in the transaction that records the batch it came in. */
export async function keepDrill(tx: Tx, alerts: Alerts, proxyId: string, { at, requestId, result }: DrillEvent): Promise<void> {
  const { name, outcome, durationMs } = result;
  const found = redactText(result.found).text;
  await tx
    .insertInto('drill_results')
    .values({ request_id: requestId, name, proxy_id: proxyId, outcome, found, duration_ms: durationMs, at })
    .execute();
  const details = { proxyId, outcome, found, requestId };
  await appendAudit(tx, [{ at, actor: SYSTEM, action: 'drill.ended', subjectType: 'drill', subjectId: name, details }]);
  const subject = `${name}:${proxyId}`;
  const message = `The drill ${name} failed at the proxy ${proxyId}: ${found}. Declared: ${DRILLS[name]}`;
  if (outcome === 'failed') await alerts.raise(tx, { type: 'drill_failed', severity: 'high', subject, message });
  else if (outcome === 'passed') await alerts.clear(tx, 'drill_failed', subject, 'the drill passed');
}

export function createDrills({ db, clock, self, say, countProxies }: Dependencies) {
  /** Asks every proxy that is here to run a drill, or all of them. Their results come one after another. */
  async function start(actor: Actor, name?: DrillName): Promise<DrillStarted> {
    const names = name === undefined ? DRILL_NAMES : [name];
    const requestId = randomUUID();
    await db
      .transaction()
      .execute((tx) =>
        appendAudit(tx, [
          { at: clock(), actor, action: 'drill.started', subjectType: 'drill', subjectId: name ?? 'all', details: { requestId } },
        ]),
      );
    say({ type: 'drill', from: self, requestId, names });
    return { requestId, names, proxies: countProxies() };
  }

  /** The report card: every drill, how it last went at each proxy, and how it went before. */
  async function card(): Promise<DrillCard> {
    const { rows } = await sql<Result & { name: DrillName; isLast: boolean }>`
      select name, at, "proxyId", outcome, found, "durationMs", "requestId", place = 1 as "isLast" from (
        select id, name, at, proxy_id as "proxyId", outcome, found, duration_ms as "durationMs", request_id as "requestId",
          row_number() over (partition by name, proxy_id order by at desc, id desc) as place,
          row_number() over (partition by name order by at desc, id desc) as age
        from drill_results where at > ${clock() - SHOWN_MS}::bigint
      ) shown where place = 1 or age <= ${DRILL_HISTORY} order by at desc, id desc
    `.execute(db);
    const items = DRILL_NAMES.map((name) => {
      const runs = rows
        .filter((row) => row.name === name)
        .map(({ name: _name, at, isLast, ...run }) => ({ isLast, run: { at: Number(at), ...run } }));
      const results = runs.filter(({ isLast }) => isLast).map(({ run }) => run);
      const history = runs.slice(0, DRILL_HISTORY).map(({ run }) => run);
      const worst = results.toSorted((one, other) => RANK[other.outcome] - RANK[one.outcome])[0]?.outcome ?? null;
      return { name, declares: DRILLS[name], outcome: worst, at: results[0]?.at ?? null, results, history };
    });
    const last = await lastStart();
    return { items, nextAt: last === null ? null : last + EVERY_MS };
  }

  /** Runs all drills where the last time is a day ago. To be called now and then. */
  async function tick(): Promise<void> {
    const now = clock();
    if (countProxies() === 0 || now - ((await lastStart()) ?? 0) < EVERY_MS) return;
    await sql`delete from drill_results where at < ${now - KEPT_MS}::bigint`.execute(db);
    if (now - askedAt < PENDING_MS) return;
    askedAt = now;
    await start(SYSTEM);
  }
  let askedAt = 0;

  /** When all were last run; of single drills nothing is counted. */
  async function lastStart(): Promise<number | null> {
    const { rows } = await sql<{ at: number | null }>`
      select min(at) as at from (select name, max(at) as at from drill_results group by name) last having count(*) = ${DRILL_NAMES.length}
    `.execute(db);
    return rows[0]?.at ? Number(rows[0].at) : null;
  }

  return { start, card, tick };
}
