/**
 * The five questions of somebody who comes to an incident: what happened, who, why, what did it cost, what next. Answered for a task and for an
 * emergency stop from what is known of it. Pure; text of agents and people is kept apart from ours, so that it is shown as theirs.
 */
import type { Agent, Approval, Run, StopReceipt, Task, ToolCallView } from '../../control/contract.ts';
import type { Reason, TaskStatus } from '../../policies/model.ts';
import { age, capMoney, clock, money, plural, TASK_WORDS, took, wait } from '../words.ts';
import { gistOf } from './approval-text.ts';
import { meterTone } from './money-tone.ts';

export interface Answer {
  /** Our words. */
  text: string;
  /** Somebody else's, behind ours. */
  quote?: string;
  /** Where more of it is, and how that is called. */
  link?: { href: string; label: string };
}

export interface Answers {
  happened: Answer;
  who: Answer;
  why: Answer;
  cost: Answer;
  next: Answer;
}

/** In this order they are asked. */
export const QUESTIONS = ['happened', 'who', 'why', 'cost', 'next'] as const satisfies (keyof Answers)[];

export interface TaskFacts {
  task: Task;
  now: number;
  /** Pending approvals of it, oldest first. */
  held: readonly Approval[];
  /** Its calls and moves as far as they are known, newest first; null = not read yet. */
  calls: readonly ToolCallView[];
  moves: readonly {
    createdAt: number;
    toStatus: TaskStatus;
    actor: 'agent' | 'human' | 'system';
    actorId: string | null;
    reason: string | null;
  }[];
  runs: readonly Run[];
  /** Numbers of the tasks it waits for. */
  waitsFor: readonly string[];
  assignees: readonly Agent[];
  nameOf: (id: string) => string | undefined;
}

export function taskAnswers(facts: TaskFacts): Answers {
  return { happened: happened(facts), who: who(facts), why: why(facts), cost: cost(facts), next: next(facts) };
}

function happened({ task, now, held, calls, moves }: TaskFacts): Answer {
  const [oldest] = held;
  if (oldest)
    return {
      text: `${held.length === 1 ? 'A call is' : `${held.length} calls are`} held, for ${wait(now - oldest.createdAt)}:`,
      quote: gistOf(oldest),
    };
  const [move] = moves;
  if (task.status === 'blocked')
    return { text: move ? `Blocked ${age(now - move.createdAt)} ago:` : 'Blocked:', quote: task.blockedReason ?? 'no reason was given' };
  const call = calls[0];
  if (call && (!move || call.createdAt > move.createdAt))
    return {
      text: `The last call was ${outcomeOf(call)} ${age(now - call.createdAt)} ago:`,
      quote: `${call.tool} ${call.summary}`.trim(),
      link: { href: `?task=${task.id}&call=${call.id}`, label: 'The call' },
    };
  if (move) return { text: `Moved to ${TASK_WORDS[move.toStatus]} ${age(now - move.createdAt)} ago.` };
  return { text: `Created ${age(now - task.createdAt)} ago, and nothing since.` };
}

function outcomeOf(call: ToolCallView): string {
  if (call.verdict === 'deny' || call.status === 'blocked') return 'denied';
  return OUTCOMES[call.status];
}

const OUTCOMES: Record<ToolCallView['status'], string> = {
  running: 'allowed, and runs, since',
  success: 'allowed and ran',
  failed: 'allowed and failed',
  blocked: 'denied',
  needs_approval: 'held',
  withdrawn: 'withdrawn',
  unknown: 'allowed, and its end is not known,',
};

function who({ task, held, moves, assignees, nameOf }: TaskFacts): Answer {
  const names = assignees.map(({ name }) => name).join(', ');
  const [agent] = assignees;
  const link = agent ? { link: { href: `/agents/${agent.id}`, label: agent.name } } : {};
  const asking = held[0]?.agentName ?? null;
  if (asking !== null && asking !== names) return { text: `${asking} asked; assigned to ${names || 'nobody'}.`, ...link };
  const [move] = moves;
  const by =
    move === undefined
      ? null
      : move.actor === 'system'
        ? 'the system'
        : ((move.actorId === null ? undefined : nameOf(move.actorId)) ?? (move.actor === 'agent' ? 'an agent' : 'a person'));
  const moved = move && by !== null && by !== names ? ` ${TASK_WORDS[move.toStatus]} by ${by}.` : '';
  return { text: `${names ? `Assigned to ${names}.` : 'Assigned to nobody.'}${task.status === 'inbox' ? '' : moved}`, ...link };
}

function why({ task, held, calls, moves, waitsFor }: TaskFacts): Answer {
  const [oldest] = held;
  if (oldest)
    return {
      text: `${codesOf(oldest.reasons)}:`,
      quote: sentencesOf(oldest.reasons),
      link: { href: `/approvals/${oldest.id}`, label: 'The approval' },
    };
  const refused = calls.find((call) => call.verdict === 'deny');
  if (task.status === 'blocked')
    return refused
      ? {
          text: `Its last refused call says ${codesOf(refused.reasons)}:`,
          quote: sentencesOf(refused.reasons),
          link: { href: `?task=${task.id}&call=${refused.id}`, label: 'The call' },
        }
      : { text: 'Whoever blocked it says:', quote: moves[0]?.reason ?? task.blockedReason ?? 'nothing' };
  if (calls[0] && calls[0] === refused) return { text: `${codesOf(refused.reasons)}:`, quote: sentencesOf(refused.reasons) };
  if (waitsFor.length > 0) return { text: `It waits for ${waitsFor.join(', ')}.` };
  const reason = moves[0]?.reason;
  return reason ? { text: 'Whoever moved it says:', quote: reason } : { text: 'Nothing stands in its way.' };
}

function codesOf(reasons: readonly Reason[]): string {
  return [...new Set(reasons.map(({ code }) => code))].join(', ') || 'No reason was recorded';
}

function sentencesOf(reasons: readonly Reason[]): string {
  return reasons.map(({ message }) => message).join(' ');
}

function cost({ task, runs, calls }: TaskFacts): Answer {
  const of = task.budget === null ? ', under the cap of the policy' : ` of ${capMoney(task.budget)}`;
  const running = runs.filter((run) => run.endTime === null).length;
  const counted =
    runs.length === 0
      ? calls.length === 0
        ? 'no call yet'
        : 'outside any run'
      : `in ${plural(runs.length, 'run')}${running > 0 ? `, ${running} of them still open` : ''}`;
  return { text: `${money(task.spend, task.budget)}${of}, ${counted}.` };
}

function next({ task, now, held, waitsFor, assignees }: TaskFacts): Answer {
  const [oldest] = held;
  if (oldest)
    return {
      text: 'Somebody decides.',
      link: { href: `/approvals/${oldest.id}`, label: held.length === 1 ? 'Review the call' : `Review ${held.length} calls` },
    };
  if (meterTone(task.spend, task.budget) === 'red') return { text: 'Raise its cap, or close it: priced calls are refused.' };
  if (task.status === 'blocked') return { text: 'Take away what blocks it, then move it to In progress; or cancel it.' };
  const away = assignees.find((agent) => agent.status !== 'active');
  if (away && task.status !== 'done' && task.status !== 'canceled')
    return {
      text: `${away.name} is ${away.status}: restart it, or assign somebody else.`,
      link: { href: `/agents/${away.id}`, label: away.name },
    };
  const silent = assignees.find(
    (agent) => agent.gate === 'openclaw' && (agent.lastHeartbeat === null || now - agent.lastHeartbeat > SILENT_MS),
  );
  if (silent && (task.status === 'in_progress' || task.status === 'assigned'))
    return {
      text: `${silent.name} is not heard: look whether its gateway runs.`,
      link: { href: `/agents/${silent.id}`, label: silent.name },
    };
  if (waitsFor.length > 0) return { text: `${waitsFor.join(', ')} first.` };
  return { text: NEXT[task.status] };
}

/** A heartbeat older than this is flagged (SPEC 7, heartbeat monitor). */
const SILENT_MS = 300_000;
const NEXT: Record<TaskStatus, string> = {
  inbox: 'Assign it.',
  assigned: 'Its agent starts on it.',
  in_progress: 'Nothing of you: its agent is at work.',
  review: 'A person reads the deliverable and moves it to Done, with a note.',
  needs_approval: 'A person decides, and it goes on.',
  blocked: 'Take away what blocks it.',
  done: 'Nothing: it is done.',
  canceled: 'Nothing: it was canceled.',
};

/** @param before the newest alert before the press, if there was one */
export function stopAnswers(
  receipt: StopReceipt,
  facts: { active: boolean; before: { id: string; message: string } | null; spent: number | null; cap: number | null },
): Answers {
  const { active, before, spent, cap } = facts;
  const answered = receipt.proxies.flatMap(({ acknowledgedAt }) => (acknowledgedAt === null ? [] : [acknowledgedAt - receipt.stoppedAt]));
  const missing = receipt.proxies.length - answered.length;
  const withdrawn = receipt.proxies.reduce((sum, proxy) => sum + proxy.withdrawnCalls, 0);
  const last = [...receipt.agents].sort((a, b) => (b.lastAdmittedAt ?? 0) - (a.lastAdmittedAt ?? 0))[0];
  const silence =
    missing > 0
      ? `${plural(missing, 'proxy has', 'proxies have')} not answered`
      : answered.length > 0
        ? `silent after ${took(Math.max(...answered))}`
        : 'no proxy was up';
  return {
    happened: {
      text: `Everything was stopped at ${clock(receipt.stoppedAt)}: ${silence}, ${plural(withdrawn, 'held call')} withdrawn, ${plural(receipt.blockedTasks, 'task')} blocked.`,
    },
    who: {
      text: `Pressed by ${receipt.stoppedBy}.${last?.lastAdmittedAt ? ` The last call before it was by ${last.name}, at ${clock(last.lastAdmittedAt)}.` : ''}`,
      ...(last?.lastAdmittedAt ? { link: { href: `/agents/${last.id}`, label: last.name } } : {}),
    },
    why:
      receipt.reason !== null
        ? { text: 'They say:', quote: receipt.reason }
        : before
          ? {
              text: 'No reason was given. The last alert before it:',
              quote: before.message,
              link: { href: `/alerts/${before.id}`, label: 'The alert' },
            }
          : { text: 'No reason was given, and no alert came before it.' },
    cost: {
      text:
        spent === null
          ? 'Not known yet.'
          : `The fleet spent ${money(spent, cap)}${cap === null ? '' : ` of ${capMoney(cap)}`} today. Withdrawn calls cost nothing.`,
      link: { href: '/spend', label: 'By agent and tool' },
    },
    next: active
      ? { text: 'Read below what led here and who is silent. Then an administrator resumes with a note; agents stay paused.' }
      : {
          text: 'Calls are judged again. Agents that were paused start one by one, and blocked tasks are moved on by hand.',
          link: { href: '/agents', label: 'Agents' },
        },
  };
}
