/**
 * Takes in what the links hear of sessions in OpenClaw: a sign there is a sign of life of its agent, and a run that OpenClaw has ended is
 * over here too, where its plugin has not said so. The plugin knows more (why a run failed), so it has a moment to speak first.
 */
import { sql } from 'kysely';
import type { Agents } from '../agents.ts';
import { touch } from '../changes.ts';
import type { Db, Tx } from '../db/database.ts';
import type { Gateways, SessionNews } from '../gateways.ts';
import type { Worker } from './loop.ts';

/** How long the plugin has to say by itself how a run ended. */
const GRACE_MS = 5_000;
/** An agent that was heard this short a time ago need not be written down again. */
const HEARD_AGAIN_MS = 10_000;
/** A run this young may have begun after the gateway listed what runs there. */
const YOUNG_MS = 30_000;

interface Dependencies {
  db: Db;
  clock: () => number;
  agents: Agents;
  gateways: Gateways;
  published: () => void;
}

export function sessionWatch({ db, clock, agents, gateways, published }: Dependencies): Worker {
  async function tick(): Promise<void> {
    const now = clock();
    for (const news of gateways.takeNews(now - GRACE_MS)) {
      if (news.events.length === 0 && news.active === null) continue;
      await db.transaction().execute(async (tx) => {
        await agents.markHeartbeat(tx, await quietSpeakers(tx, news, now), now);
        const ended = [...(await endRuns(tx, news)), ...(await endForgotten(tx, news))];
        await touch(
          tx,
          ended.map((id) => ({ topic: 'run', entity_id: id, at: now })),
        );
      });
      published();
    }
  }

  return { name: 'session-watch', everyMs: 2_000, tick };
}

/** The agents and sub-agents of these sessions that were not heard for a while. */
async function quietSpeakers(tx: Tx, { gatewayId, events }: SessionNews, now: number): Promise<string[]> {
  const alive = events.filter(({ what }) => what !== 'removed');
  const sessions = [...new Set(alive.map(({ sessionKey }) => sessionKey))];
  const names = [...new Set(alive.flatMap(({ agentId, sessionKey }) => agentId ?? /^agent:([^:]+):/.exec(sessionKey)?.[1] ?? []))];
  const { rows } = await sql<{ id: string }>`
    select id from agents where gateway_id = ${gatewayId} and removed_at is null
      and (external_id = any(${names}) or (parent_id is not null and session_key = any(${sessions})))
      and (last_heartbeat is null or last_heartbeat < ${now - HEARD_AGAIN_MS}::bigint)
    order by id
  `.execute(tx);
  return rows.map(({ id }) => id);
}

/** Ends the runs that OpenClaw says are over. @returns the ids of their rows. */
async function endRuns(tx: Tx, { gatewayId, events }: SessionNews): Promise<string[]> {
  const ended: string[] = [];
  for (const { sessionKey, what, runIds, at } of events) {
    if (what === 'sign' || (what !== 'removed' && runIds.length === 0)) continue;
    const ofRun = what === 'removed' ? sql`true` : sql`runs.run_id = any(${[...runIds]})`;
    const why = what === 'ended' ? null : what === 'failed' ? 'OpenClaw reports an error' : 'its session was removed in OpenClaw';
    const { rows } = await sql<{ id: string }>`
      update runs set status = ${what === 'ended' ? 'success' : 'failed'}, ended_at = ${at}::bigint, error_message = ${why}::text
      from agents where agents.id = runs.agent_id and agents.gateway_id = ${gatewayId} and runs.session_key = ${sessionKey}
        and runs.status = 'running' and runs.started_at <= ${at}::bigint and ${ofRun}
      returning runs.id
    `.execute(tx);
    ended.push(...rows.map(({ id }) => id));
  }
  return ended;
}

/** Runs in sessions of tasks that the gateway does not list as running any more: their end was missed. @returns the ids of their rows. */
async function endForgotten(tx: Tx, { gatewayId, active }: SessionNews): Promise<string[]> {
  if (active === null) return [];
  const { rows } = await sql<{ id: string }>`
    update runs set status = 'failed', ended_at = last_seen_at, error_message = 'it ended while OpenClaw was not heard'
    from agents where agents.id = runs.agent_id and agents.gateway_id = ${gatewayId} and runs.status = 'running'
      and runs.last_seen_at <= ${active.at - YOUNG_MS}::bigint and not runs.session_key = any(${[...active.sessionKeys]})
      and exists (select 1 from task_sessions where task_sessions.session_key = runs.session_key)
    returning runs.id
  `.execute(tx);
  return rows.map(({ id }) => id);
}
