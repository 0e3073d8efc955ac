/**
 * What agents are told about their tasks. Plain words with everything that is needed to act: what is wanted, what is due, and by which
 * tools it is handed in. What people and other agents wrote stands in it as a quotation, never as an instruction of ours.
 */
import type { Task } from './contract.ts';

/** The tools of Mission Control as this agent's OpenClaw knows them. */
export interface ToolNames {
  /** Name of the MCP entry, such as "mission-control-main". */
  entry: string;
}

type Briefed = Pick<
  Task,
  'id' | 'number' | 'title' | 'description' | 'type' | 'priority' | 'workPlan' | 'deliverableMakesClaims' | 'budget' | 'spend'
>;

/** The message that wakes an agent for a task. */
export function briefFor(task: Briefed, { entry }: ToolNames, budgetUsd: number | null): string {
  const evidence = task.deliverableMakesClaims ? ', evidence (links or references for what it claims)' : '';
  const money = budgetUsd === null ? '' : `\nBudget: $${budgetUsd} for this task, $${task.spend} spent.`;
  return `Mission Control: task ${task.number} is yours. Work on it in this session only.

Title: ${task.title}
Type: ${task.type}. Priority: ${task.priority}.${money}
Task id: ${task.id}

Description, as the operator wrote it:
${quote(task.description || '(none)')}

How to take part, with the tools of the MCP server "${entry}" (skill: mission-control):
1. ${entry}__task_plan: hand in your plan${task.workPlan === null ? '' : ' (there is one already; say what you change)'}. That starts the task.
2. Do the work. A call that is held waits for a person: when you are told that it is pending, end your turn; you will be told.
3. ${entry}__task_submit: hand in deliverable, selfReview${evidence}. That sends it to review.
If you cannot go on, say why with ${entry}__comment, and mention the person or agent that you need.`;
}

/** Why a task that was in other hands is the agent's to go on with. */
export function resumeFor(
  task: { number: number; title: string },
  from: string,
  who: string,
  reason: string | null,
  { entry }: ToolNames,
): string {
  const why = reason === null ? '' : `\nReason:\n${quote(reason)}`;
  return `Mission Control: ${who} moved task ${task.number} ("${task.title}") from ${from.toUpperCase()} back to IN_PROGRESS. Go on with it here.${why}
Read it with ${entry}__task_get, and hand in again with ${entry}__task_submit.`;
}

/** The task is still the agent's, and nothing happens on it. */
export function reminderFor(task: { id: string; number: number; title: string; status: string }, { entry }: ToolNames): string {
  const next =
    task.status === 'assigned'
      ? `Hand in your plan with ${entry}__task_plan to start it.`
      : `Go on with it, and hand in with ${entry}__task_submit when it is done.`;
  return `Mission Control: task ${task.number} ("${task.title}", taskId ${task.id}) is ${task.status.toUpperCase()} and yours, and nothing has happened on it for a while. ${next}
If you cannot go on, say why with ${entry}__comment and mention the person that you need.`;
}

/** A task that an agent is asked to review. */
export function reviewFor(task: { id: string; number: number; title: string }, { entry }: ToolNames): string {
  return `Mission Control: task ${task.number} ("${task.title}") is ready and you are one of its reviewers.
Read it with ${entry}__task_get (taskId ${task.id}). Say what you think with ${entry}__comment; to send it back, use ${entry}__task_transition to in_progress with a reason. A person closes it.`;
}

/** Somebody spoke to the agent on a task. */
export function mentionFor(
  task: { id: string; number: number; title: string },
  author: { name: string; type: string },
  content: string,
  { entry }: ToolNames,
): string {
  const who = author.type === 'human' ? author.name : `${author.name} (${author.type})`;
  return `Mission Control: ${who} wrote on task ${task.number} ("${task.title}"):
${quote(content)}
Answer with ${entry}__comment (taskId ${task.id}) if an answer is needed.`;
}

function quote(text: string): string {
  return text
    .split('\n')
    .map((line) => `> ${line}`)
    .join('\n');
}
