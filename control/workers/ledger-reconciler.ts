/**
 * Compares what calls are held to with what the record says: the sums of each day with the entries they are made of, and, where the
 * counters are shared, those in Redis with the sums. Small and short differences are traffic under way; one that stays is told.
 * Nothing is corrected here: the record is right, and a proxy that joins anew restates its part.
 */
import { sql } from 'kysely';
import { formatUsd } from '../../policies/index.ts';
import type { Alerts } from '../alerts.ts';
import { type Counters, CountersUnavailable } from '../counters.ts';
import type { Db } from '../db/database.ts';
import type { ActivePolicy } from '../policies.ts';
import type { Spend } from '../spend.ts';
import type { Worker } from './loop.ts';

interface Dependencies {
  db: Db;
  clock: () => number;
  spend: Spend;
  /** Null where the one proxy keeps its counters itself: they are made from the record at its start. */
  counters: Counters | null;
  alerts: Alerts;
  activePolicy: () => ActivePolicy;
  published: () => void;
}

const EVERY_MS = 30_000;
/** Looks in a row at which a difference stays before it is told. */
const LOOKS = 3;
/** Differences below this share of the record, or this many micro-dollars, are rounding of nothing that matters. */
const SHARE = 0.001;
const LEAST_MICROS = 1_000;
const DAY_MS = 24 * 60 * 60 * 1000;

interface Difference {
  /** Tells it from the other difference that the same scope may have. */
  key: string;
  scope: string;
  recorded: number;
  counted: number;
  /** For people. */
  where: string;
}

export function ledgerReconciler({ db, clock, spend, counters, alerts, activePolicy, published }: Dependencies): Worker {
  /** How often in a row each of them has differed. */
  let seen = new Map<string, number>();

  async function tick(): Promise<void> {
    const { today } = activePolicy();
    const days = [today(clock() - DAY_MS), today(clock())];
    const found = [...(await differencesOfSums(days)), ...(await differencesOfCounters(days))];
    const now = new Map(found.map((difference) => [difference.key, (seen.get(difference.key) ?? 0) + 1]));
    const agreed = [...seen.keys()].filter((key) => !now.has(key));
    seen = now;
    const lasting = found.filter(({ key }) => (now.get(key) ?? 0) >= LOOKS);
    if (lasting.length === 0 && agreed.length === 0) return;
    await db.transaction().execute(async (tx) => {
      for (const { key, scope, recorded, counted, where } of lasting) {
        const less = counted < recorded;
        await alerts.raise(tx, {
          type: 'ledger_drift',
          // Too little counted could let a cap be passed; too much only refuses too early.
          severity: less ? 'critical' : 'medium',
          subject: key,
          message: `${where} of ${scope} ${less ? 'are below' : 'are above'} the record: ${formatUsd(counted)} counted, ${formatUsd(recorded)} recorded.`,
        });
      }
      for (const key of agreed) await alerts.clear(tx, 'ledger_drift', key, 'counters and record agree again');
    });
    published();
  }

  /** The sums per agent and day against the calls that they sum up. */
  async function differencesOfSums(days: readonly string[]): Promise<Difference[]> {
    const rows = await sql<{ scope: string; recorded: number | string; counted: number | string }>`
      select scope, coalesce(entries.micros, 0) as recorded, coalesce(spend.micros, 0) as counted
      from (
        select 'agent-day:' || agent_id || ':' || day as scope, sum(cost) as micros
        from ledger_entries where day in (${sql.join(days)}) group by agent_id, day
      ) as entries
      full join (select * from spend where ${sql.join(
        days.map((day) => sql`scope like ${`agent-day:%:${day}`}`),
        sql` or `,
      )}) as spend using (scope)
      where coalesce(entries.micros, 0) <> coalesce(spend.micros, 0)
    `.execute(db);
    return rows.rows.map(({ scope, recorded, counted }) => ({
      key: `sums ${scope}`,
      scope,
      recorded: Number(recorded),
      counted: Number(counted),
      where: 'The sums',
    }));
  }

  /** The shared counters against the sums, with what is leased or runs on both sides. */
  async function differencesOfCounters(days: readonly string[]): Promise<Difference[]> {
    if (counters === null) return [];
    const rows = await db
      .selectFrom('spend')
      .select('scope')
      .where((eb) => eb.or(days.flatMap((day) => [eb('scope', 'like', `agent-day:%:${day}`), eb('scope', '=', `fleet-day:${day}`)])))
      .execute();
    const scopes = rows.map((row) => row.scope);
    try {
      const counted = await counters.read(scopes);
      const recorded = await spend.record.byProxy(scopes, []);
      return scopes.flatMap((scope): Difference[] => {
        const { spent, leased } = counted.get(scope) ?? {};
        if (spent === undefined || leased === undefined) return []; // brought in from the record when it is needed
        const due = [...(recorded.get(scope)?.values() ?? [])].reduce((sum, micros) => sum + micros, 0);
        const margin = Math.max(LEAST_MICROS, due * SHARE);
        // A lease covers what runs under it: below the record is only what both together do not reach.
        const isOff = spent + leased < due - margin || spent > due + margin;
        return isOff
          ? [{ key: scope, scope, recorded: due, counted: spent + leased < due ? spent + leased : spent, where: 'The shared counters' }]
          : [];
      });
    } catch (error) {
      if (error instanceof CountersUnavailable) return []; // the proxies refuse already, and say so
      throw error;
    }
  }

  return { name: 'ledger-reconciler', everyMs: EVERY_MS, tick };
}
