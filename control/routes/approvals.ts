import { z } from 'zod';
import type { Approvals } from '../approvals.ts';
import {
  APPROVAL_STATUSES,
  ApprovalDecisionSchema,
  ApprovalRequestSchema,
  ApprovalSchema,
  listOf,
  WholeArgumentsSchema,
} from '../contract.ts';
import { type Api, ID, PAGE, route } from './route.ts';

/** Approvals: what waits for a person, and the person's decision. */
export function approvalRoutes(app: Api, approvals: Approvals): void {
  const tag = 'approvals';
  route(
    app,
    {
      method: 'get',
      path: '/approvals',
      tag,
      summary: 'List approvals, newest first; pending ones unless a status is asked for',
      access: { role: 'viewer' },
      query: {
        ...PAGE,
        status: z.enum([...APPROVAL_STATUSES, 'all']).default('pending'),
        agentId: z.string().max(128).optional(),
        taskId: z.string().max(128).optional(),
        number: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
      },
      response: listOf(ApprovalSchema),
    },
    ({ query }) => approvals.list({ ...query, status: query.status === 'all' ? undefined : query.status }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/approvals',
      tag,
      summary: 'Ask in advance for the approval that closes a task',
      access: { role: 'operator', agents: true },
      body: ApprovalRequestSchema,
      response: ApprovalSchema,
      status: 201,
    },
    ({ actor, body }) => approvals.requestForTask(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/approvals/{id}',
      tag,
      summary: 'One approval',
      access: { role: 'viewer' },
      params: ID,
      response: ApprovalSchema,
    },
    ({ params }) => approvals.get(params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/approvals/{id}/arguments',
      tag,
      summary: 'The whole arguments of a held call, redacted, also where the approval keeps them shortened',
      access: { role: 'viewer' },
      params: ID,
      response: WholeArgumentsSchema,
    },
    ({ params }) => approvals.wholeArguments(params.id),
  );
  for (const [action, verdict, summary] of [
    ['approve', 'approved', 'Approve once; the call is judged again and then runs'],
    ['deny', 'denied', 'Deny; the agent gets the note as the reason'],
  ] as const) {
    route(
      app,
      {
        method: 'post',
        path: `/approvals/{id}/${action}`,
        tag,
        summary,
        access: { role: 'approver' },
        params: ID,
        body: ApprovalDecisionSchema,
        response: ApprovalSchema,
      },
      ({ actor, params, body }) => approvals.decide(actor, params.id, verdict, { note: body.note, arguments: body.arguments }),
    );
  }
}
