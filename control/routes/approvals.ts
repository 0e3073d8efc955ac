import { z } from 'zod';
import type { Approvals } from '../approvals.ts';
import {
  APPROVAL_STATUSES,
  ApprovalBatchResultSchema,
  ApprovalBatchSchema,
  ApprovalDecisionSchema,
  ApprovalGrantingSchema,
  ApprovalRequestSchema,
  ApprovalSchema,
  GrantProposalSchema,
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
  route(
    app,
    {
      method: 'get',
      path: '/approvals/{id}/grant-proposal',
      tag,
      summary: 'What could be approved for longer from this call: patterns from narrow to wide, tried on recorded calls, or why none',
      access: { role: 'viewer' },
      params: ID,
      response: GrantProposalSchema,
    },
    ({ params }) => approvals.proposeGrant(params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/approvals/decide',
      tag,
      summary: 'Decide several, each for itself; the answer says for each id what came of it',
      access: { role: 'approver', deputies: true },
      body: ApprovalBatchSchema,
      response: ApprovalBatchResultSchema,
    },
    ({ actor, body }) => approvals.decideAll(actor, body.ids, body.verdict === 'approve' ? 'approved' : 'denied', body.note),
  );
  route(
    app,
    {
      method: 'post',
      path: '/approvals/{id}/approve',
      tag,
      summary: 'Approve once, or with "grant" for longer; the call is judged again and then runs',
      access: { role: 'approver', deputies: true },
      params: ID,
      body: ApprovalGrantingSchema,
      response: ApprovalSchema,
    },
    ({ actor, params, body }) => approvals.decide(actor, params.id, 'approved', body),
  );
  route(
    app,
    {
      method: 'post',
      path: '/approvals/{id}/deny',
      tag,
      summary: 'Deny; the agent gets the note as the reason',
      access: { role: 'approver', deputies: true },
      params: ID,
      body: ApprovalDecisionSchema,
      response: ApprovalSchema,
    },
    ({ actor, params, body }) => approvals.decide(actor, params.id, 'denied', { note: body.note }),
  );
}
