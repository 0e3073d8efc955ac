/**
 * Mission Control's own MCP server (SPEC 3): the tools by which agents take part in the work. It stands behind the proxy like any other
 * MCP server, so each call was judged and is recorded; what it changes goes through the same services and the same state machine as
 * everything else. Who acts comes from the credential that the proxy checked, never from an argument.
 */
import { type CallToolResult, createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { TASK_STATUSES, usdFromMicros } from '../policies/index.ts';
import type { Agents } from './agents.ts';
import type { Approvals } from './approvals.ts';
import { actorOf, type Principal } from './auth.ts';
import { OWN_SERVER, type UnreadThread } from './contract.ts';
import type { Messages } from './messages.ts';
import type { ActivePolicy } from './policies.ts';
import { notFound, Refusal } from './problem.ts';
import type { Reads } from './reads.ts';
import type { Tasks } from './tasks.ts';
import type { Timeline } from './timeline.ts';

interface Dependencies {
  tasks: Tasks;
  messages: Messages;
  reads: Reads;
  approvals: Approvals;
  agents: Agents;
  timeline: Timeline;
  activePolicy: () => ActivePolicy;
  /** Resolves when the proxies judge by what was changed, or after the given time. */
  caughtUp: () => Promise<void>;
  version: string;
  log: { error: (fields: object, message: string) => void; info: (fields: object, message: string) => void };
}

const Caller = z.object({ id: z.string(), name: z.string() });
const MESSAGES_SHOWN = 20;
const THREADS_SHOWN = 20;
const INSTRUCTIONS =
  'Your tasks and your team. Hand in a plan with task_plan before you work and the result with task_submit when you are done. Say with comment what others must know.';

const TaskId = z.string().min(1).max(128).describe('Id of the task, as task_list and your brief give it');
const Evidence = z.array(z.string().max(4096)).max(200).describe('Links or references for what the deliverable claims');
const Plan = z.string().min(1).max(100_000);
const Deliverable = z.string().min(1).max(200_000).describe('The result in Markdown, or a link to it');
const SelfReview = z.string().min(1).max(100_000).describe('What you checked, and what a reviewer should look at');
const Key = z.string().min(1).max(200).optional().describe('The same key is the same act, done once');

export function createOwnServer({
  tasks,
  messages,
  reads,
  approvals,
  agents,
  timeline,
  activePolicy,
  caughtUp,
  version,
  log,
}: Dependencies) {
  const handler = createMcpHandler(
    ({ authInfo }) => {
      return serverFor({ kind: 'agent', ...Caller.parse(authInfo?.extra) });
    },
    // Nearly always a request that is not as MCP wants it: nothing of ours is broken, and an agent must not fill the log with errors.
    { onerror: (error) => log.info({ why: error.message.slice(0, 500) }, 'a request to the own MCP server was refused') },
  );

  /** Serves one request of an agent whose credential was checked. @throws Refusal 404 for an agent that is not registered. */
  async function serve(request: Request, agentId: string): Promise<Response> {
    const agent = await agents.find(agentId);
    if (!agent) throw notFound('agent', agentId);
    const authInfo = { token: '', clientId: agentId, scopes: [], extra: { id: agentId, name: agent.name } };
    const response = await handler.fetch(request, { authInfo });
    if (response.status >= 500) log.error({ status: response.status, agentId }, 'the own MCP server failed');
    return response;
  }

  function serverFor(principal: Extract<Principal, { kind: 'agent' }>): McpServer {
    const actor = actorOf(principal);
    const server = new McpServer({ name: OWN_SERVER, version }, { instructions: INSTRUCTIONS });
    const looks = { readOnlyHint: true, openWorldHint: false };
    const writes = { readOnlyHint: false, destructiveHint: false, openWorldHint: false };

    server.registerTool(
      'task_list',
      {
        description:
          'Your tasks, newest first: where you work, review or were named, and tasks in INBOX that nobody has and you may claim.',
        annotations: looks,
        inputSchema: z.object({
          status: z.enum(TASK_STATUSES).optional(),
          limit: z.number().int().min(1).max(100).default(20),
          cursor: z.string().max(1000).optional(),
        }),
      },
      ({ status, limit, cursor }) =>
        answer(async () => {
          const page = await tasks.list({ status, limit, cursor, visibleTo: principal.id });
          const items = page.items.map(({ id, number, title, type, status: now, priority, assigneeIds, dependsOn }) => ({
            id,
            number,
            title,
            type,
            status: now,
            priority,
            assigneeIds,
            dependsOn,
          }));
          return { items, nextCursor: page.nextCursor };
        }),
    );
    server.registerTool(
      'task_get',
      {
        description: 'One task with everything that was handed in, its last comments, and its sub-tasks.',
        annotations: looks,
        inputSchema: z.object({ taskId: TaskId }),
      },
      ({ taskId }) =>
        answer(async () => {
          if (!(await tasks.hasPart(taskId, principal.id))) throw notFound('task', taskId);
          const comments = await messages.list({ taskId, limit: MESSAGES_SHOWN });
          await reads.markRead(principal.id, taskId, comments.items[0]?.number ?? 0);
          const subtasks = await tasks.list({ parentTaskId: taskId, limit: 100 });
          return {
            task: await tasks.get(taskId),
            comments: comments.items
              .toReversed()
              .map(({ authorName, authorType, content, createdAt }) => ({ authorName, authorType, content, createdAt })),
            subtasks: subtasks.items.map(({ id, number, title, status }) => ({ id, number, title, status })),
          };
        }),
    );
    server.registerTool(
      'task_plan',
      {
        description: 'Hands in your work plan (Markdown). A task that is ASSIGNED starts with it.',
        annotations: writes,
        inputSchema: z.object({ taskId: TaskId, plan: Plan, idempotencyKey: Key }),
      },
      ({ taskId, plan, idempotencyKey }) =>
        change(async () => {
          const { status } = await own(taskId);
          if (status !== 'assigned') return tasks.update(principal, actor, taskId, { workPlan: plan }, null);
          return tasks.move(principal, actor, taskId, { to: 'in_progress', artifacts: { workPlan: plan }, idempotencyKey });
        }),
    );
    server.registerTool(
      'task_submit',
      {
        description:
          'Hands in deliverable and self-review, with evidence where the deliverable makes claims. A task IN_PROGRESS goes to REVIEW with it.',
        annotations: writes,
        inputSchema: z.object({
          taskId: TaskId,
          deliverable: Deliverable,
          selfReview: SelfReview,
          evidence: Evidence.optional(),
          idempotencyKey: Key,
        }),
      },
      ({ taskId, idempotencyKey, ...artifacts }) =>
        change(async () => {
          const { status } = await own(taskId);
          if (status === 'review') return tasks.update(principal, actor, taskId, artifacts, null);
          return tasks.move(principal, actor, taskId, { to: 'review', artifacts, idempotencyKey });
        }),
    );
    server.registerTool(
      'task_transition',
      {
        description:
          'Moves a task, where its state machine lets an agent do so; a refusal names the moves that exist and who may make them.',
        annotations: writes,
        inputSchema: z.object({
          taskId: TaskId,
          to: z.enum(TASK_STATUSES),
          reason: z.string().max(10_000).optional(),
          workPlan: Plan.optional(),
          deliverable: Deliverable.optional(),
          selfReview: SelfReview.optional(),
          evidence: Evidence.optional(),
          idempotencyKey: Key,
        }),
      },
      ({ taskId, to, reason, idempotencyKey, ...artifacts }) =>
        change(() => tasks.move(principal, actor, taskId, { to, reason, idempotencyKey, artifacts })),
    );
    server.registerTool(
      'comment',
      {
        description: 'Writes a comment on a task. "@name" in it reaches that agent or person.',
        annotations: writes,
        inputSchema: z.object({ taskId: TaskId, content: z.string().min(1).max(20_000), idempotencyKey: Key }),
      },
      (input) => answer(() => messages.post(actor, input)),
    );
    server.registerTool(
      'mention',
      {
        description: 'Asks agents or people on a task for something: like comment, and they are told.',
        annotations: writes,
        inputSchema: z.object({
          taskId: TaskId,
          names: z.array(z.string().min(1).max(120)).min(1).max(20).describe('Names, without "@"'),
          content: z.string().min(1).max(20_000),
        }),
      },
      ({ taskId, names, content }) => answer(async () => messages.post(actor, { taskId, content, mentions: await messages.idsOf(names) })),
    );
    server.registerTool(
      'inbox',
      {
        description: 'What others wrote on your tasks since you last looked, the newest threads first. It counts as read with this.',
        annotations: looks,
        inputSchema: z.object({}),
      },
      () =>
        answer(async () => {
          const threads = (await reads.unread(principal.id)).slice(0, THREADS_SHOWN);
          return { threads: await Promise.all(threads.map((thread) => readThread(thread))), more: threads.length === THREADS_SHOWN };
        }),
    );
    server.registerTool(
      'ask_approval',
      {
        description:
          'Asks a person to approve that a task of yours may be closed as it is. Not for tool calls: those are held by themselves.',
        annotations: writes,
        inputSchema: z.object({ taskId: TaskId, summary: z.string().min(1).max(2000), reason: z.string().min(1).max(10_000) }),
      },
      (input) => answer(() => approvals.requestForTask(actor, input)),
    );
    server.registerTool(
      'my_budget',
      {
        description: 'What you have spent today and may still spend, and the same for one of your tasks.',
        annotations: looks,
        inputSchema: z.object({ taskId: TaskId.optional() }),
      },
      ({ taskId }) => answer(() => budget(taskId)),
    );
    return server;

    /** The unread end of a thread, read with this. */
    async function readThread({ taskId, unread, named }: UnreadThread) {
      const { number, title } = await tasks.get(taskId);
      const { items } = await messages.list({ taskId, limit: MESSAGES_SHOWN });
      await reads.markRead(principal.id, taskId, items[0]?.number ?? 0);
      const comments = items
        .filter(({ authorId }) => authorId !== principal.id)
        .slice(0, unread)
        .toReversed()
        .map(({ authorName, authorType, content, createdAt }) => ({ authorName, authorType, content, createdAt }));
      return { taskId, number, title, unread, named, comments };
    }

    async function budget(taskId: string | undefined) {
      const agent = await agents.get(principal.id);
      const about = taskId ?? agent.currentTaskId;
      const task = about !== null && (await tasks.hasPart(about, principal.id)) ? await timeline.cost(about) : null;
      const run = activePolicy().policy.capsFor(agent.autonomyLevel, null).run;
      return {
        today: { spentUsd: agent.todaySpend, capUsd: agent.todayCap, leftUsd: left(agent.todayCap, agent.todaySpend) },
        perRunCapUsd: agent.budgets.perRunCap ?? (run === null ? null : usdFromMicros(run)),
        task: task && { taskId: task.taskId, spentUsd: task.spend, capUsd: task.budget, leftUsd: left(task.budget, task.spend) },
      };
    }

    /** A task that this agent works on. */
    async function own(taskId: string) {
      const task = await tasks.get(taskId);
      if (!task.assigneeIds.includes(principal.id)) throw new Refusal(403, 'FOREIGN_TASK', 'This task is assigned to somebody else.');
      return task;
    }
  }

  /** A change is answered when the proxies judge by it: the agent's next call counts on it. */
  function change(act: () => Promise<unknown>): Promise<CallToolResult> {
    return answer(async () => {
      const result = await act();
      await caughtUp();
      return result;
    });
  }

  async function answer(act: () => Promise<unknown>): Promise<CallToolResult> {
    try {
      return { content: [{ type: 'text', text: JSON.stringify(await act()) }] };
    } catch (error) {
      if (error instanceof Refusal) {
        const { code, message, extra } = error;
        return { isError: true, content: [{ type: 'text', text: JSON.stringify({ code, message, ...extra }) }] };
      }
      log.error({ err: error }, 'a tool of the own MCP server failed');
      return {
        isError: true,
        content: [{ type: 'text', text: JSON.stringify({ code: 'INTERNAL', message: 'Something broke on our side.' }) }],
      };
    }
  }

  return { serve, close: () => handler.close() };
}

/** USD, to six decimals. */
function left(cap: number | null, spent: number): number | null {
  return cap === null ? null : Math.max(0, Math.round((cap - spent) * 1_000_000) / 1_000_000);
}
