import { z } from 'zod';
import type { Agents } from '../agents.ts';
import {
  AgentSchema,
  DOCUMENT_FILTER,
  DocumentSchema,
  listOf,
  MessageCreateSchema,
  MessageReadSchema,
  MessageSchema,
  RosterEntrySchema,
  RosterImportSchema,
  SoulAgentSchema,
  SoulSchema,
  TaskCostSchema,
  TimelineEntrySchema,
  UnreadThreadSchema,
  WorkerSchema,
} from '../contract.ts';
import type { Documents } from '../documents.ts';
import type { Gateways } from '../gateways.ts';
import type { Leases } from '../leases.ts';
import type { Messages } from '../messages.ts';
import { notFound } from '../problem.ts';
import type { Reads } from '../reads.ts';
import type { Souls } from '../souls.ts';
import type { Tasks } from '../tasks.ts';
import type { Timeline } from '../timeline.ts';
import { type Api, ID, PAGE, route } from './route.ts';

interface Services {
  tasks: Tasks;
  timeline: Timeline;
  messages: Messages;
  reads: Reads;
  documents: Documents;
  leases: Leases;
  agents: Agents;
  gateways: Gateways;
  souls: Souls;
}

/** Of a story: its page, window and direction. */
const STORY = {
  ...PAGE,
  from: z.coerce.number().int().min(0).optional(),
  to: z.coerce.number().int().min(0).optional(),
  order: z.enum(['asc', 'desc']).optional(),
};

/** What happens around tasks: their story, cost, comments and documents; and the background jobs that watch over them. */
export function workRoutes(app: Api, { tasks, timeline, messages, reads, documents, leases, agents, gateways, souls }: Services): void {
  route(
    app,
    {
      method: 'get',
      path: '/tasks/{id}/timeline',
      tag: 'tasks',
      summary: 'Everything that happened on a task, oldest first',
      access: { role: 'viewer' },
      params: ID,
      query: STORY,
      response: listOf(TimelineEntrySchema),
    },
    ({ params, query }) => timeline.read(params.id, query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/agents/{id}/timeline',
      tag: 'agents',
      summary: 'Everything that happened with an agent, oldest first unless said',
      access: { role: 'viewer' },
      params: ID,
      query: STORY,
      response: listOf(TimelineEntrySchema),
    },
    ({ params, query }) => timeline.readAgent(params.id, query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/runs/{id}/timeline',
      tag: 'record',
      summary: 'Everything that happened in a run, oldest first unless said',
      access: { role: 'viewer' },
      params: ID,
      query: STORY,
      response: listOf(TimelineEntrySchema),
    },
    ({ params, query }) => timeline.readRun(params.id, query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/tasks/{id}/cost',
      tag: 'tasks',
      summary: 'What a task cost, by agent and tool',
      access: { role: 'viewer' },
      params: ID,
      response: TaskCostSchema,
    },
    ({ params }) => timeline.cost(params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/messages',
      tag: 'messages',
      summary: 'Comments, newest first; of a task, or that an agent wrote or is named in',
      access: { role: 'viewer', agents: true },
      query: { ...PAGE, taskId: z.string().max(128).optional(), agentId: z.string().max(128).optional() },
      response: listOf(MessageSchema),
    },
    async ({ principal, query }) => {
      if (principal.kind !== 'agent') return messages.list(query);
      // An agent reads the threads of tasks that it has a part in, and else what is its own.
      if (query.taskId === undefined) return messages.list({ ...query, agentId: principal.id });
      if (!(await tasks.hasPart(query.taskId, principal.id))) throw notFound('task', query.taskId);
      return messages.list(query);
    },
  );
  route(
    app,
    {
      method: 'post',
      path: '/messages',
      tag: 'messages',
      summary: 'Comment on a task; "@name" mentions',
      access: { role: 'approver', agents: true },
      body: MessageCreateSchema,
      response: MessageSchema,
      status: 201,
    },
    ({ actor, body }) => messages.post(actor, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/messages/unread',
      tag: 'messages',
      summary: 'Threads that you follow and have not read to the end',
      access: { role: 'viewer', agents: true },
      response: z.object({ items: z.array(UnreadThreadSchema) }),
    },
    async ({ principal }) => ({ items: await reads.unread(principal.id) }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/tasks/{id}/read',
      tag: 'messages',
      summary: 'You have read the thread of a task, up to a comment',
      access: { role: 'viewer', agents: true },
      params: ID,
      body: MessageReadSchema,
    },
    async ({ principal, params, body }) => {
      if (principal.kind === 'agent' && !(await tasks.hasPart(params.id, principal.id))) throw notFound('task', params.id);
      await reads.markRead(principal.id, params.id, body.upTo ?? null);
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/documents',
      tag: 'record',
      summary: 'Loop summaries and standups, newest first',
      access: { role: 'viewer' },
      query: { ...PAGE, ...DOCUMENT_FILTER },
      response: listOf(DocumentSchema),
    },
    ({ query }) => documents.list(query),
  );
  route(
    app,
    {
      method: 'get',
      path: '/documents/{id}',
      tag: 'record',
      summary: 'One document',
      access: { role: 'viewer' },
      params: ID,
      response: DocumentSchema,
    },
    ({ params }) => documents.get(params.id),
  );
  route(
    app,
    {
      method: 'get',
      path: '/souls',
      tag: 'agents',
      summary: 'Agent templates, and which agents run an older one',
      access: { role: 'viewer' },
      response: z.object({ items: z.array(SoulSchema) }),
    },
    async () => ({ items: await souls.list() }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/souls/{name}/agents',
      tag: 'agents',
      summary: 'Make an agent from a template',
      access: { role: 'operator' },
      params: { name: z.string().min(1).max(100) },
      body: SoulAgentSchema,
      response: AgentSchema,
      status: 201,
    },
    ({ actor, params, body }) => souls.createAgent(actor, params.name, body),
  );
  route(
    app,
    {
      method: 'get',
      path: '/gateways/{id}/roster',
      tag: 'gateways',
      summary: 'The agents that a gateway has, asked of it now',
      access: { role: 'viewer' },
      params: ID,
      response: z.object({ items: z.array(RosterEntrySchema) }),
    },
    async ({ params }) => ({ items: await gateways.roster(params.id) }),
  );
  route(
    app,
    {
      method: 'post',
      path: '/gateways/{id}/import',
      tag: 'gateways',
      summary: 'Register agents that a gateway has and we do not know yet',
      access: { role: 'admin' },
      params: ID,
      body: RosterImportSchema,
      response: z.object({ items: z.array(AgentSchema) }),
      status: 201,
    },
    async ({ actor, params, body }) => {
      const { id, name } = await gateways.get(params.id);
      const roster = await gateways.roster(id);
      return { items: await agents.importRoster(actor, { id, name }, roster, body.externalIds, body.autonomyLevel ?? 'intern') };
    },
  );
  route(
    app,
    {
      method: 'get',
      path: '/workers',
      tag: 'system',
      summary: 'The background jobs: who does them, and how the last pass went',
      access: { role: 'viewer' },
      response: z.object({ items: z.array(WorkerSchema) }),
    },
    async () => ({ items: await leases.list() }),
  );
}
