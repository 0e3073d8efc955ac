import { z } from 'zod';
import { ACTORS, VERDICTS } from '../../policies/index.ts';
import type { Alerts } from '../alerts.ts';
import type { Anchors } from '../anchors.ts';
import { EXPORT_FORMATS, EXPORT_TYPES } from '../audit-export.ts';
import type { Calls } from '../calls.ts';
import {
  ACTIVITY_TYPES,
  ActivitySchema,
  AlertSchema,
  AuditAnchorSchema,
  AuditKeySchema,
  AuditRowSchema,
  CALL_STATUSES,
  listOf,
  RunSchema,
  ToolCallSchema,
} from '../contract.ts';
import type { Db } from '../db/database.ts';
import { decodeCursor, encodeCursor } from '../paging.ts';
import { notFound } from '../problem.ts';
import { type Api, ID, PAGE, route } from './route.ts';

const BY = { agentId: z.string().max(128).optional(), taskId: z.string().max(128).optional() };

/** The record: tool calls, runs, activities, alerts, audit. */
export function recordRoutes(app: Api, { db, calls, alerts, anchors }: { db: Db; calls: Calls; alerts: Alerts; anchors: Anchors }): void {
  route(
    app,
    {
      method: 'get',
      path: '/tool-calls',
      tag: 'record',
      summary: 'List tool calls, newest first; older than the one in "before", where it is given',
      access: { role: 'viewer' },
      query: {
        ...PAGE,
        ...BY,
        approvalId: z.string().max(128).optional(),
        runId: z.string().max(256).optional(),
        before: z.string().min(1).max(128).optional(),
        status: z.enum(CALL_STATUSES).optional(),
        verdict: z.enum(VERDICTS).optional(),
      },
      response: listOf(ToolCallSchema),
    },
    ({ query }) => calls.list(query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/tool-calls/{id}',
      tag: 'record',
      summary: 'One tool call',
      access: { role: 'viewer' },
      params: ID,
      response: ToolCallSchema,
    },
    async ({ params }) => {
      const call = await calls.find(params.id);
      if (!call) throw notFound('tool call', params.id);
      return call;
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/runs',
      tag: 'record',
      summary: 'List runs, newest first',
      access: { role: 'viewer' },
      query: { ...PAGE, ...BY },
      response: listOf(RunSchema),
    },
    ({ query }) => calls.listRuns(query),
  );
  route(
    app,
    { method: 'get', path: '/runs/{id}', tag: 'record', summary: 'One run', access: { role: 'viewer' }, params: ID, response: RunSchema },
    async ({ params }) => {
      const run = await calls.findRun(params.id);
      if (!run) throw notFound('run', params.id);
      return run;
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/activities',
      tag: 'record',
      summary: 'The feed, newest first; older than the entry in "before", where it is given',
      access: { role: 'viewer' },
      query: { ...PAGE, ...BY, type: z.enum(ACTIVITY_TYPES).optional(), before: z.coerce.number().int().min(1).optional() },
      response: listOf(ActivitySchema),
    },
    ({ query }) => calls.listActivities(query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/alerts',
      tag: 'record',
      summary: 'List alerts, newest first',
      access: { role: 'viewer' },
      query: { ...PAGE, resolved: z.stringbool().optional() },
      response: listOf(AlertSchema),
    },
    ({ query }) => alerts.list(query),
  );
  route(
    app,
    {
      method: 'post',
      path: '/alerts/{id}/resolve',
      tag: 'record',
      summary: 'Mark an alert as dealt with',
      access: { role: 'operator' },
      params: ID,
      body: z.strictObject({}),
      response: AlertSchema,
    },
    ({ actor, params }) => alerts.resolve(actor, params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/audit',
      tag: 'audit',
      summary: 'The audit log, newest first',
      access: { role: 'viewer' },
      query: {
        ...PAGE,
        subjectId: z.string().max(128).optional(),
        action: z.string().max(100).optional(),
        actorType: z.enum(ACTORS).optional(),
        actorId: z.string().max(128).optional(),
        since: z.coerce.number().int().min(0).optional(),
        until: z.coerce.number().int().min(0).optional(),
        seq: z.coerce.number().int().min(1).optional(),
      },
      response: listOf(AuditRowSchema),
    },
    async ({ query }) => {
      let select = db
        .selectFrom('audit_log')
        .selectAll()
        .orderBy('seq', 'desc')
        .limit(query.limit + 1);
      if (query.subjectId) select = select.where('subject_id', '=', query.subjectId);
      if (query.action) select = select.where('action', '=', query.action);
      if (query.actorType) select = select.where('actor_type', '=', query.actorType);
      if (query.actorId) select = select.where('actor_id', '=', query.actorId);
      if (query.since !== undefined) select = select.where('at', '>=', query.since);
      if (query.until !== undefined) select = select.where('at', '<', query.until);
      if (query.seq !== undefined) select = select.where('seq', '=', query.seq);
      if (query.cursor) select = select.where('seq', '<', decodeCursor(query.cursor, ['number'])[0]);
      const rows = await select.execute();
      const page = rows.slice(0, query.limit);
      const last = page.at(-1);
      return {
        items: page.map((row) => ({
          seq: row.seq,
          at: row.at,
          actorType: row.actor_type,
          actorId: row.actor_id,
          action: row.action,
          subjectType: row.subject_type,
          subjectId: row.subject_id,
          details: { ...row.details, ...row.payload },
          prevHash: row.prev_hash,
          hash: row.hash,
        })),
        nextCursor: rows.length > query.limit && last ? encodeCursor([last.seq]) : null,
      };
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/audit/verify',
      tag: 'audit',
      summary: 'Check the whole chain',
      access: { role: 'viewer' },
      response: z.object({
        ok: z.boolean(),
        rows: z.number().optional(),
        head: z.string().optional(),
        seq: z.number().optional(),
        why: z.string().optional(),
        anchors: z.number().optional(),
      }),
    },
    () => anchors.verify(),
  );
  route(
    app,
    {
      method: 'get',
      path: '/audit/export',
      tag: 'audit',
      summary: 'The whole log as a file with a signed head: NDJSON and JSON verify offline, CSV is for spreadsheets',
      access: { role: 'viewer' },
      query: { format: z.enum(EXPORT_FORMATS).default('json') },
      response: z.any(),
    },
    async ({ query: { format } }) =>
      new Response(ReadableStream.from(anchors.exported(format)).pipeThrough(new TextEncoderStream()), {
        headers: { 'content-type': EXPORT_TYPES[format], 'content-disposition': `attachment; filename="audit.${format}"` },
      }),
  );
  route(
    app,
    {
      method: 'get',
      path: '/audit/anchors',
      tag: 'audit',
      summary: 'Signed heads of the log, oldest first',
      access: { role: 'viewer' },
      query: PAGE,
      response: listOf(AuditAnchorSchema),
    },
    async ({ query: { limit, cursor } }) => {
      const after = cursor === undefined ? 0 : decodeCursor(cursor, ['number'])[0];
      const found = await anchors.list(after, limit + 1);
      const items = found.slice(0, limit);
      return { items, nextCursor: found.length > limit ? encodeCursor([items.at(-1)?.seq ?? after]) : null };
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/audit/key',
      tag: 'audit',
      summary: 'The public half of the key that signs heads of the log',
      access: { role: 'viewer' },
      response: AuditKeySchema,
    },
    async () => anchors.key,
  );
}
