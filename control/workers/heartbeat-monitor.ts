/**
 * Flags agents that have fallen silent (SPEC 7): neither a heartbeat of their plugin or gateway nor a call for five minutes. Those that
 * should be heard are the active ones with a gate in OpenClaw, and those that work on a task. Heard again, the alert ends by itself.
 */
import { sql } from 'kysely';
import type { Alerts } from '../alerts.ts';
import type { Db } from '../db/database.ts';
import type { Worker } from './loop.ts';

const SILENT_MS = 5 * 60 * 1000;

interface Dependencies {
  db: Db;
  clock: () => number;
  alerts: Alerts;
  published: () => void;
}

export function heartbeatMonitor({ db, clock, alerts, published }: Dependencies): Worker {
  async function tick(): Promise<void> {
    const now = clock();
    const { rows } = await sql<{ id: string; name: string; heard_at: number | null; works_on: string | null; flagged: boolean }>`
      select agents.id, agents.name, greatest(last_heartbeat, last_call_at) as heard_at,
        (select title from tasks where removed_at is null and status = 'in_progress' and assignee_ids @> jsonb_build_array(agents.id) limit 1)
          as works_on,
        exists (select 1 from alerts where dedupe_key = 'agent_silent:' || agents.id and resolved_at is null) as flagged
      from agents where removed_at is null and status in ('active', 'drained') and created_at <= ${now - SILENT_MS}::bigint
    `.execute(db);
    for (const { id, name, heard_at, works_on, flagged } of rows) {
      const isSilent = heard_at === null || heard_at <= now - SILENT_MS;
      const isExpected = works_on !== null || (await hasGate(id));
      if (isSilent && isExpected && !flagged) {
        const since = heard_at === null ? 'has never been heard' : `was last heard ${Math.round((now - heard_at) / 60_000)} minutes ago`;
        await db.transaction().execute((tx) =>
          alerts.raise(tx, {
            type: 'agent_silent',
            severity: works_on === null ? 'medium' : 'high',
            agentId: id,
            message: `${name} ${since}${works_on === null ? '' : ` and works on "${works_on}"`}.`,
          }),
        );
        published();
      } else if (flagged && !(isSilent && isExpected)) {
        await db
          .transaction()
          .execute((tx) => alerts.clear(tx, 'agent_silent', id, isSilent ? 'nothing is expected of it' : 'it was heard again'));
        published();
      }
    }
  }

  /** A sub-agent lives in its parent's gateway and is heard only while it works. */
  async function hasGate(agentId: string): Promise<boolean> {
    const row = await db.selectFrom('agents').select(['gate', 'parent_id']).where('id', '=', agentId).executeTakeFirst();
    return row?.gate === 'openclaw' && row.parent_id === null;
  }

  return { name: 'heartbeat-monitor', everyMs: 30_000, tick };
}
