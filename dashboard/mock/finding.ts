/** The search of the mock: all words of the query in what is known of a thing, newest first, as the product answers it. */
import type { SearchHit } from '../../control/contract.ts';
import type { World } from './world.ts';

const LIMIT = 30;

export function findIn(world: World, query: URLSearchParams): { items: SearchHit[]; nextCursor: string | null } {
  const words = (query.get('q') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  const [kind, each] = [query.get('kind'), Number(query.get('each') ?? Number.POSITIVE_INFINITY)];
  const hits = [...record(world)]
    .filter(
      (hit) => (kind === null || hit.kind === kind) && words.every((word) => `${hit.title} ${hit.snippet}`.toLowerCase().includes(word)),
    )
    .sort((a, b) => b.at - a.at);
  const some = [...Map.groupBy(hits, (hit) => hit.kind).values()].flatMap((all) => all.slice(0, each)).sort((a, b) => b.at - a.at);
  const from = Number(query.get('cursor') ?? 0);
  const to = from + Number(query.get('limit') ?? LIMIT);
  return { items: some.slice(from, to), nextCursor: to < some.length && !query.has('each') ? String(to) : null };
}

function* record(world: World): Generator<SearchHit> {
  for (const task of world.tasks.values())
    yield {
      kind: 'task',
      id: task.id,
      title: `#${task.number} ${task.title}`,
      snippet: task.description,
      at: task.createdAt,
      taskId: task.id,
      agentId: null,
    };
  for (const agent of world.agents.values())
    yield { kind: 'agent', id: agent.id, title: agent.name, snippet: agent.status, at: agent.createdAt, taskId: null, agentId: agent.id };
  for (const message of world.messages)
    yield {
      kind: 'message',
      id: message.id,
      title: message.authorName,
      snippet: message.content,
      at: message.createdAt,
      taskId: message.taskId,
      agentId: null,
    };
  for (const call of world.calls.values())
    yield {
      kind: 'call',
      id: call.id,
      title: call.tool,
      snippet: call.summary,
      at: call.createdAt,
      taskId: call.taskId,
      agentId: call.agentId,
    };
  for (const approval of world.approvals.values())
    yield {
      kind: 'approval',
      id: approval.id,
      title: `#${approval.number} ${approval.tool ?? approval.kind}`,
      snippet: approval.summary,
      at: approval.createdAt,
      taskId: approval.taskId,
      agentId: approval.agentId,
    };
  for (const [i, activity] of world.activities.entries())
    yield {
      kind: 'audit',
      id: String(i + 1),
      title: activity.type.replace('_', '.'),
      snippet: activity.summary,
      at: activity.createdAt,
      taskId: activity.taskId,
      agentId: activity.agentId,
    };
}
