import { z } from 'zod';
import { TASK_STATUSES, TASK_TYPES, TRANSITIONS } from '../../policies/index.ts';
import {
  listOf,
  TaskCreateSchema,
  TaskSchema,
  TaskUpdateSchema,
  TransitionRequestSchema,
  TransitionRuleSchema,
  TransitionSchema,
} from '../contract.ts';
import { pageOf } from '../paging.ts';
import { notFound } from '../problem.ts';
import type { Tasks } from '../tasks.ts';
import { type Api, ID, PAGE, route } from './route.ts';

/** Tasks and their state machine. Agents see and move their own. */
export function taskRoutes(app: Api, tasks: Tasks): void {
  const tag = 'tasks';
  route(
    app,
    {
      method: 'get',
      path: '/tasks/state-machine',
      tag,
      summary: 'The transition table',
      access: { role: 'viewer', agents: true },
      response: z.array(TransitionRuleSchema),
    },
    async () => TRANSITIONS,
  );
  route(
    app,
    {
      method: 'get',
      path: '/tasks',
      tag,
      summary: 'List tasks, newest first',
      access: { role: 'viewer', agents: true },
      query: {
        ...PAGE,
        status: z.enum(TASK_STATUSES).optional(),
        agent: z.string().max(128).optional(),
        agentId: z.string().max(128).optional(),
        type: z.enum(TASK_TYPES).optional(),
        priority: z.enum(['high', 'medium', 'low']).optional(),
        parentTaskId: z.string().max(128).optional(),
        q: z.string().min(1).max(200).optional(),
      },
      response: listOf(TaskSchema),
    },
    ({ principal, query }) => {
      const visibleTo = principal.kind === 'agent' ? principal.id : undefined;
      return tasks.list({ ...query, agentId: query.agentId ?? query.agent, visibleTo });
    },
  );
  route(
    app,
    {
      method: 'post',
      path: '/tasks',
      tag,
      summary: 'Create a task',
      access: { role: 'operator' },
      body: TaskCreateSchema,
      response: TaskSchema,
      status: 201,
    },
    ({ actor, body }) => tasks.create(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/tasks/{id}',
      tag,
      summary: 'One task',
      access: { role: 'viewer', agents: true },
      params: ID,
      response: TaskSchema,
    },
    async ({ principal, params }) => {
      if (principal.kind === 'agent' && !(await tasks.hasPart(params.id, principal.id))) throw notFound('task', params.id);
      return tasks.get(params.id);
    },
  );
  route(
    app,
    {
      method: 'patch',
      path: '/tasks/{id}',
      tag,
      summary: 'Change a task',
      access: { role: 'operator', agents: true },
      params: ID,
      body: TaskUpdateSchema,
      response: TaskSchema,
    },
    ({ principal, actor, params, body, revision }) => tasks.update(principal, actor, params.id, body, revision),
  );
  route(
    app,
    { method: 'delete', path: '/tasks/{id}', tag, summary: 'Take a task off the board', access: { role: 'operator' }, params: ID },
    ({ actor, params }) => tasks.remove(actor, params.id),
  );
  route(
    app,
    {
      method: 'post',
      path: '/tasks/{id}/transition',
      tag,
      summary: 'Move a task; 409 names the moves that exist',
      access: { role: 'approver', agents: true },
      params: ID,
      body: TransitionRequestSchema,
      response: TaskSchema,
    },
    ({ principal, actor, params, body }) => tasks.move(principal, actor, params.id, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/tasks/{id}/transitions',
      tag,
      summary: 'Every move of a task, oldest first',
      access: { role: 'viewer' },
      params: ID,
      query: PAGE,
      response: listOf(TransitionSchema),
    },
    async ({ params, query }) => pageOf(await tasks.transitions(params.id), query),
  );
}
