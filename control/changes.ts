/**
 * One call for every change that people or proxies must learn of: the audit row, the feed entry and the outbox row, in the
 * transaction that makes the change. What is not recorded here did not happen as far as anybody outside can tell.
 * Everything is redacted on its way in (SPEC 10), so that no caller can forget it.
 */
import { type JsonObject, redact, redactText } from '../policies/index.ts';
import { type Actor, appendAudit } from './audit.ts';
import type { ActivityType, Topic } from './contract.ts';
import { json, type Tx } from './db/database.ts';

export interface Change {
  at: number;
  actor: Actor;
  /** Past tense, dotted: "agent.paused". */
  action: string;
  topic: Topic;
  id: string;
  details?: JsonObject;
  /** One entry of the feed, or none. */
  activity?: { type: ActivityType; summary: string; taskId?: string | null; agentId?: string | null; details?: JsonObject };
  /** Other objects whose view changed with it. */
  touches?: readonly (readonly [Topic, string])[];
}

/** Records changes in order: chain, feed, outbox. The chain's lock comes first, so that the outbox is in commit order. */
export async function recordChanges(tx: Tx, changes: readonly Change[]): Promise<void> {
  if (changes.length === 0) return;
  await appendAudit(
    tx,
    changes.map((change) => ({
      at: change.at,
      actor: change.actor,
      action: change.action,
      subjectType: change.topic,
      subjectId: change.id,
      details: redacted(change.details ?? {}),
    })),
  );
  const outbox = changes.flatMap((change) => [
    { topic: change.topic as string, entity_id: change.id, at: change.at },
    ...(change.touches ?? []).map(([topic, id]) => ({ topic: topic as string, entity_id: id, at: change.at })),
  ]);
  const activities = changes.flatMap((change) =>
    change.activity
      ? [
          {
            created_at: change.at,
            type: change.activity.type,
            task_id: change.activity.taskId ?? null,
            agent_id: change.activity.agentId ?? null,
            actor_id: change.actor.id,
            actor_type: change.actor.type,
            summary: redactText(change.activity.summary).text,
            details: json(redacted({ ...change.activity.details, actorName: change.actor.name })),
          },
        ]
      : [],
  );
  if (activities.length > 0) {
    const rows = await tx.insertInto('activities').values(activities).returning('id').execute();
    for (const row of rows) outbox.push({ topic: 'activity', entity_id: String(row.id), at: changes[0]?.at ?? 0 });
  }
  await touch(tx, outbox);
}

function redacted(details: JsonObject): JsonObject {
  return redact(details).value as JsonObject;
}

/** Tells watchers that objects changed in a way that needs no audit row of its own (a counter, a time last seen). */
export async function touch(tx: Tx, rows: readonly { topic: string; entity_id: string; at: number }[]): Promise<void> {
  for (let from = 0; from < rows.length; from += 1000) {
    await tx
      .insertInto('outbox')
      .values(rows.slice(from, from + 1000))
      .execute();
  }
}
