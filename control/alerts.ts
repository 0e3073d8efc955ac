/** Alerts: one open alert per subject and kind; raising it again changes nothing until somebody has resolved it. */
import { randomUUID } from 'node:crypto';
import { type Actor, SYSTEM } from './audit.ts';
import { recordChanges } from './changes.ts';
import type { Alert, AlertType } from './contract.ts';
import type { Db, Tx } from './db/database.ts';
import type { AlertsTable } from './db/schema.ts';
import { decodeCursor, encodeCursor } from './paging.ts';
import { notFound } from './problem.ts';

export type Alerts = ReturnType<typeof createAlerts>;

export interface NewAlert {
  type: AlertType;
  severity: Alert['severity'];
  message: string;
  taskId?: string | null;
  agentId?: string | null;
  gatewayId?: string | null;
  /** What it is about, where that is none of these. */
  subject?: string;
}

export function createAlerts({ db, clock, published }: { db: Db; clock: () => number; published: () => void }) {
  /** Raises an alert in the caller's transaction, unless the same one is open. */
  async function raise(tx: Tx, alert: NewAlert): Promise<void> {
    const now = clock();
    const subject = alert.subject ?? alert.gatewayId ?? alert.taskId ?? alert.agentId ?? 'system';
    const row = await tx
      .insertInto('alerts')
      .values({
        id: randomUUID(),
        created_at: now,
        type: alert.type,
        severity: alert.severity,
        task_id: alert.taskId ?? null,
        agent_id: alert.agentId ?? null,
        gateway_id: alert.gatewayId ?? null,
        message: alert.message,
        dedupe_key: `${alert.type}:${subject}`,
        resolved_at: null,
        resolved_by: null,
      })
      .onConflict((conflict) => conflict.column('dedupe_key').where('resolved_at', 'is', null).doNothing())
      .returning('id')
      .executeTakeFirst();
    if (!row) return;
    await recordChanges(tx, [
      {
        at: now,
        actor: SYSTEM,
        action: 'alert.fired',
        topic: 'alert',
        id: row.id,
        details: { type: alert.type, severity: alert.severity },
        activity: {
          type: 'alert_fired',
          agentId: alert.agentId ?? null,
          taskId: alert.taskId ?? null,
          summary: alert.message,
          details: { alertId: row.id, severity: alert.severity },
        },
      },
    ]);
  }

  /** Ends the open alert of a kind about a gateway by itself, because its cause is gone. */
  async function clear(tx: Tx, type: AlertType, subject: string, why: string): Promise<void> {
    const row = await tx
      .selectFrom('alerts')
      .select('id')
      .where('dedupe_key', '=', `${type}:${subject}`)
      .where('resolved_at', 'is', null)
      .executeTakeFirst();
    if (row) await end(tx, SYSTEM, row.id, why);
  }

  async function list(filter: { resolved?: boolean | undefined; limit: number; cursor?: string | undefined }) {
    let query = db
      .selectFrom('alerts')
      .selectAll()
      .orderBy('created_at', 'desc')
      .orderBy('id', 'desc')
      .limit(filter.limit + 1);
    if (filter.resolved !== undefined) query = query.where('resolved_at', filter.resolved ? 'is not' : 'is', null);
    if (filter.cursor) {
      const [at, id] = decodeCursor(filter.cursor, ['number', 'string']);
      query = query.where((eb) => eb.or([eb('created_at', '<', at), eb.and([eb('created_at', '=', at), eb('id', '<', id)])]));
    }
    const rows = await query.execute();
    const page = rows.slice(0, filter.limit);
    const last = page.at(-1);
    return { items: page.map(view), nextCursor: rows.length > filter.limit && last ? encodeCursor([last.created_at, last.id]) : null };
  }

  async function find(id: string): Promise<Alert | null> {
    const row = await db.selectFrom('alerts').selectAll().where('id', '=', id).executeTakeFirst();
    return row ? view(row) : null;
  }

  async function resolve(actor: Actor, id: string): Promise<Alert> {
    await db.transaction().execute((tx) => end(tx, actor, id, 'resolved by hand'));
    published();
    const alert = await find(id);
    if (!alert) throw notFound('alert', id);
    return alert;
  }

  async function end(tx: Tx, actor: Actor, id: string, why: string): Promise<void> {
    const now = clock();
    const row = await tx
      .updateTable('alerts')
      .set({ resolved_at: now, resolved_by: actor.name })
      .where('id', '=', id)
      .where('resolved_at', 'is', null)
      .returning(['message', 'agent_id', 'task_id'])
      .executeTakeFirst();
    if (!row) return;
    await recordChanges(tx, [
      {
        at: now,
        actor,
        action: 'alert.resolved',
        topic: 'alert',
        id,
        details: { why },
        activity: { type: 'alert_resolved', agentId: row.agent_id, taskId: row.task_id, summary: `Resolved: ${row.message}` },
      },
    ]);
  }

  async function countOpen(): Promise<number> {
    const { count } = await db
      .selectFrom('alerts')
      .select((eb) => eb.fn.countAll<number>().as('count'))
      .where('resolved_at', 'is', null)
      .executeTakeFirstOrThrow();
    return Number(count);
  }

  return { raise, clear, list, find, resolve, countOpen };
}

function view(row: AlertsTable): Alert {
  return {
    id: row.id,
    createdAt: row.created_at,
    type: row.type,
    severity: row.severity,
    taskId: row.task_id,
    agentId: row.agent_id,
    gatewayId: row.gateway_id,
    message: row.message,
    resolved: row.resolved_at !== null,
    resolvedAt: row.resolved_at,
    resolvedBy: row.resolved_by,
  };
}
