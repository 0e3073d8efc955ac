/**
 * What a person can do here: each function sends one intent, puts the server's answer into the store, and says what happened or why not.
 * They never throw; they answer whether it was done.
 */
import type {
  Agent,
  AgentCreate,
  AgentUpdate,
  Alert,
  Approval,
  Grant,
  StopProof,
  Task,
  TaskCreate,
  TaskUpdate,
  TransitionRequest,
  Upstream,
  UpstreamCreate,
  UpstreamTool,
  UpstreamUpdate,
} from '../control/contract.ts';
import type { TaskStatus } from '../policies/model.ts';
import * as api from './api.ts';
import { missingWords, numberOf } from './elements/task-text.ts';
import { toLine } from './elements/visible-text.ts';
import { say } from './notices.ts';
import { go, openTask } from './routes.ts';
import * as store from './store.ts';
import { AGENT_STATE_WORDS, APPROVAL_WORDS, age, plural, TASK_WORDS } from './words.ts';

const STOP_RETRY_MS = 1_000;
/** As many as one request may decide. */
const MOST_AT_ONCE = 200;

/**
 * Approves or denies. Somebody else having been first is an outcome like any other: the store then has theirs, and the person is told.
 * True when this decision counted.
 */
export async function decide(approval: Approval, verdict: 'approve' | 'deny', body: api.DecisionBody): Promise<boolean> {
  try {
    const after = await api.decide(approval.id, verdict, { ...body, sawEdit: approval.editedArguments !== null });
    settle(after);
    say('done', decidedSentence(after, verdict, body), { label: 'Open', run: () => go(`/approvals/${approval.id}`) });
    return true;
  } catch (error) {
    const winner = outcomeOf(error);
    if (winner) {
      settle(winner);
      say('race', outcomeSentence(winner), { label: 'Open', run: () => go(`/approvals/${approval.id}`) });
    } else {
      say('refused', `Not ${verdict === 'approve' ? 'approved' : 'denied'}. ${sentence(error)}`);
    }
    return false;
  }
}

function decidedSentence(after: Approval, verdict: 'approve' | 'deny', body: api.DecisionBody): string {
  const who = toLine(after.agentName ?? 'The agent');
  if (verdict === 'deny') return `Denied. ${who} is told why.`;
  if (after.status === 'pending')
    return `Your approval is ${after.approvedBy.length} of ${after.approvalsNeeded}. Another person has to approve as well.`;
  if (body.grant) return `Approved, and calls like it for longer. ${who} is told.`;
  return `Approved once${body.arguments ? ' with your arguments' : ''}. ${who} is told.`;
}

/**
 * Decides several calls, each for itself: what somebody else decided first, or what was refused, is said and takes nothing from the others.
 * Answers whether the request was carried out at all.
 */
export async function decideAll(ids: readonly string[], verdict: 'approve' | 'deny', note: string): Promise<boolean> {
  const word = verdict === 'approve' ? 'Approved' : 'Denied';
  try {
    const results: Awaited<ReturnType<typeof api.decideAll>> = [];
    for (let at = 0; at < ids.length; at += MOST_AT_ONCE)
      results.push(...(await api.decideAll(ids.slice(at, at + MOST_AT_ONCE), verdict, note)));
    for (const { approval } of results) if (approval) settle(approval);
    const done = results.filter((result) => result.ok).length;
    const first = results.find((result) => !result.ok);
    if (!first) {
      say('done', `${word} ${plural(done, 'call')}${verdict === 'approve' ? ', once each' : ''}.`);
    } else {
      const others = results.length - done;
      say(
        done > 0 ? 'race' : 'refused',
        `${word} ${done} of ${plural(results.length, 'call')}. Of the other ${others === 1 ? 'one' : String(others)}: ${first.error?.message ?? 'not decided.'}`,
      );
    }
    return true;
  } catch (error) {
    say('refused', `Not ${word.toLowerCase()}. ${sentence(error)}`);
    return false;
  }
}

/** True when it was revoked; else the person has been told why not. */
export async function revokeGrant(grant: Grant, reason: string): Promise<boolean> {
  try {
    store.grants.set(await api.revokeGrant(grant.id, reason));
    say('done', `Grant ${grant.number} is revoked. The next call needs a person again.`);
    return true;
  } catch (error) {
    say('refused', `Not revoked. ${sentence(error)}`);
    return false;
  }
}

/** The stream may already have told of what came after the decision; an answer never takes that back. */
function settle(answer: Approval): void {
  const known = store.approvals.get(answer.id);
  if (!known || known.status === 'pending') store.approvals.set(answer);
}

/** The approval that a 409 carries when it was decided before. */
function outcomeOf(error: unknown): Approval | null {
  if (!(error instanceof api.Refusal) || error.status !== 409) return null;
  const approval = error.problem?.approval;
  return typeof approval === 'object' && approval !== null && 'status' in approval ? (approval as Approval) : null;
}

/** "Jon Reyes decided first, 2 s ago: denied, "wrong tag"." */
function outcomeSentence(approval: Approval): string {
  const note = approval.decision ? `, "${approval.decision}"` : '';
  const word = APPROVAL_WORDS[approval.status].toLowerCase();
  if (approval.status !== 'approved' && approval.status !== 'denied') return `Nothing to decide any more: ${word}${note}.`;
  const ago = approval.decidedAt === null ? '' : `, ${age(Date.now() - approval.decidedAt)} ago`;
  return `${approval.approver ?? 'Somebody'} decided first${ago}: ${word}${note}.`;
}

/** Pause, drain, quarantine or restart one agent. */
export async function controlAgent(agent: Agent, action: api.AgentAction, reason?: string): Promise<boolean> {
  try {
    const after = await api.controlAgent(agent.id, action, reason);
    store.agents.set(after);
    const undo = action === 'pause' || action === 'drain' ? { label: 'Undo', run: () => void controlAgent(after, 'restart') } : null;
    say('done', DONE[action](agent.name), undo);
    return true;
  } catch (error) {
    say('refused', `${agent.name} is still ${AGENT_STATE_WORDS[agent.status].toLowerCase()}. ${sentence(error)}`);
    return false;
  }
}
const DONE: Record<api.AgentAction, (name: string) => string> = {
  pause: (name) => `${name} is paused. New calls are refused.`,
  drain: (name) => `${name} finishes its task, then pauses.`,
  quarantine: (name) => `${name} is quarantined. Its held calls are withdrawn.`,
  restart: (name) => `${name} is active again.`,
};

/** The new agent, or null when it was refused; then `refusal` has been given the sentence, to stand in the form. */
export async function createAgent(body: AgentCreate, refusal: (sentence: string) => void): Promise<Agent | null> {
  try {
    const agent = await api.createAgent(body);
    store.agents.set(agent);
    say('done', `${agent.name} is registered. Issue a token so that it can call.`);
    return agent;
  } catch (error) {
    refusal(sentence(error));
    return null;
  }
}

export async function updateAgent(agent: Agent, body: AgentUpdate, refusal: (sentence: string) => void): Promise<boolean> {
  try {
    store.agents.set(await api.updateAgent(agent.id, agent.revision, body));
    say('done', `${agent.name} is changed.`);
    return true;
  } catch (error) {
    refusal(sentence(error));
    return false;
  }
}

/** The new task, or null when it was refused; then `refusal` has been given the sentence. */
export async function createTask(body: TaskCreate, refusal: (sentence: string) => void): Promise<Task | null> {
  try {
    let task = await api.createTask(body);
    // Given to somebody, it is no longer in the inbox.
    if (task.assigneeIds.length > 0) task = await api.moveTask(task.id, { to: 'assigned' });
    store.tasks.set(task);
    say('done', `${numberOf(task)} is created.`, { label: 'Open', run: () => openTask(task.id) });
    return task;
  } catch (error) {
    refusal(sentence(error));
    return null;
  }
}

export async function updateTask(task: Task, body: TaskUpdate, refusal: (sentence: string) => void): Promise<Task | null> {
  try {
    const after = await api.updateTask(task.id, task.revision, body);
    store.tasks.set(after);
    say('done', `${numberOf(after)} is changed.`);
    return after;
  } catch (error) {
    refusal(sentence(error));
    void readAgain(task.id);
    return null;
  }
}

/** What comes with a move. */
export interface TaskMove {
  reason?: string;
  /** Who has it from now on. */
  assigneeIds?: string[];
  artifacts?: TransitionRequest['artifacts'];
}

/** How long a refusal stands on the card. */
const REFUSED_MS = 12_000;

/**
 * Moves a task. It is shown where it goes at once; when the server refuses it stands where it was, with the reason on its card. `refusal`
 * is told the sentence too, for a form that is open. The key makes a repeat after a lost answer the same move.
 */
export async function moveTask(task: Task, to: TaskStatus, given: TaskMove = {}, refusal?: (sentence: string) => void): Promise<boolean> {
  const { assigneeIds, ...request } = given;
  setMoving(task.id, to);
  setRefused(task.id, null);
  try {
    if (assigneeIds) store.tasks.set(await api.updateTask(task.id, task.revision, { assigneeIds }));
    store.tasks.set(await api.moveTask(task.id, { to, idempotencyKey: newKey(), ...request }));
    say('done', `${numberOf(task)} is in ${TASK_WORDS[to]}.`);
    return true;
  } catch (error) {
    const why = moveSentence(error);
    setRefused(task.id, why);
    refusal?.(why);
    say('refused', `${numberOf(task)} is still in ${TASK_WORDS[task.status]}. ${why}`);
    void readAgain(task.id);
    return false;
  } finally {
    setMoving(task.id, null);
  }
}

/** Works without TLS too, where `crypto.randomUUID` is missing. */
function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The server's refusal of a move, in the words of the board. */
function moveSentence(error: unknown): string {
  if (!(error instanceof api.Refusal)) return sentence(error);
  const missing = error.problem?.missing;
  if (error.code === 'ARTIFACTS_MISSING' && Array.isArray(missing)) return `It needs ${missingWords(missing)}.`;
  return error.message;
}

/** What the refusal was about may have changed under somebody else's hands. */
async function readAgain(id: string): Promise<void> {
  try {
    store.tasks.set(await api.readTask(id));
  } catch {
    // Away or removed: the stream says which.
  }
}

function setMoving(id: string, to: TaskStatus | null): void {
  const moving = new Map(store.moving.get());
  if (to === null) moving.delete(id);
  else moving.set(id, to);
  store.moving.set(moving);
}

function setRefused(id: string, why: string | null): void {
  const refused = new Map(store.refusedMoves.get());
  if (why === null && !refused.delete(id)) return;
  if (why !== null) {
    refused.set(id, why);
    setTimeout(() => store.refusedMoves.get().get(id) === why && setRefused(id, null), REFUSED_MS);
  }
  store.refusedMoves.set(refused);
}

/** The new upstream, or null when it was refused; then `refusal` has been given the sentence. */
export async function createUpstream(body: UpstreamCreate, refusal: (sentence: string) => void): Promise<Upstream | null> {
  try {
    const upstream = await api.createUpstream(body);
    store.upstreams.set(upstream);
    say('done', `${upstream.name} is registered. Its tools are pinned when an agent first asks for them.`);
    return upstream;
  } catch (error) {
    refusal(sentence(error));
    return null;
  }
}

export async function updateUpstream(
  upstream: Upstream,
  body: UpstreamUpdate,
  refusal: (sentence: string) => void,
): Promise<Upstream | null> {
  try {
    const after = await api.updateUpstream(upstream.id, upstream.revision, body);
    store.upstreams.set(after);
    say('done', `${after.name} is changed.`);
    return after;
  } catch (error) {
    refusal(sentence(error));
    return null;
  }
}

export async function removeUpstream(upstream: Upstream): Promise<boolean> {
  try {
    await api.removeUpstream(upstream.id);
    store.upstreams.remove(upstream.id);
    say('done', `${upstream.name} is removed. Calls of its tools are refused.`);
    return true;
  } catch (error) {
    say('refused', `Not removed. ${sentence(error)}`);
    return false;
  }
}

/** Accepts the definition that was looked at, and no later one. Null when it was refused. */
export async function acceptTool(upstream: Upstream, tool: UpstreamTool, hash: string): Promise<UpstreamTool | null> {
  try {
    const accepted = await api.acceptTool(upstream.id, tool.name, { hash });
    say('done', `${tool.canonicalName} is accepted as it is now. Its calls are judged by the policy again.`);
    return accepted;
  } catch (error) {
    say('refused', `Not accepted. ${sentence(error)}`);
    return null;
  }
}

export async function resolveAlert(alert: Alert): Promise<boolean> {
  try {
    store.alerts.set(await api.resolveAlert(alert.id));
    say('done', 'Alert resolved.');
    return true;
  } catch (error) {
    say('refused', `Not resolved. ${sentence(error)}`);
    return false;
  }
}

/** What proves the receipt of the last stop; null where it could not be read, which is said. */
export async function readStopProof(): Promise<StopProof | null> {
  try {
    return await api.readStopProof();
  } catch (error) {
    say('refused', `The key could not be read. ${sentence(error)}`);
    return null;
  }
}

export async function pauseSquad(reason?: string): Promise<boolean> {
  try {
    store.system.set(await api.pauseSquad(reason));
    say('done', 'The squad is paused. Tasks and held calls stay as they are.');
    return true;
  } catch (error) {
    say('refused', `The squad is not paused. ${sentence(error)}`);
    return false;
  }
}

/** Restarts the agents that a pause of the squad paused, one after the other; with the last one the squad's pause is over. */
export async function restartSquad(paused: readonly Agent[]): Promise<boolean> {
  let restarted = 0;
  try {
    for (const agent of paused) {
      store.agents.set(await api.controlAgent(agent.id, 'restart'));
      restarted++;
    }
    say('done', `${plural(restarted, 'agent is', 'agents are')} active again.`);
    return true;
  } catch (error) {
    say('refused', `${restarted} of ${paused.length} agents are active again. ${sentence(error)}`);
    return false;
  }
}

export async function resume(note: string, refusal: (sentence: string) => void): Promise<boolean> {
  try {
    store.system.set(await api.resume(note));
    say('done', 'Resumed. Agents stay paused until you restart them.');
    return true;
  } catch (error) {
    refusal(sentence(error));
    return false;
  }
}

/** How a stop that was pressed is doing. */
export interface StopProgress {
  attempt: number;
  /** Why the last attempt failed; null while the first is under way. */
  error: string | null;
}

/**
 * Presses the emergency stop and keeps pressing until the server has it: a network that is away is no reason to give up, a refusal is.
 * `progress` hears of every attempt. True once it is stopped; false when refused or given up through `signal`.
 */
export async function stopEverything(reason: string, progress: (at: StopProgress) => void, signal: AbortSignal): Promise<boolean> {
  let error: string | null = null;
  for (let attempt = 1; !signal.aborted; attempt++) {
    progress({ attempt, error });
    try {
      await api.stopEverything(reason);
      store.system.set(await api.readSystem());
      return true;
    } catch (failure) {
      error = sentence(failure);
      if (failure instanceof api.Refusal && failure.status >= 400 && failure.status < 500) {
        say('refused', `Not stopped. ${error}`);
        return false;
      }
      await new Promise((resolve) => setTimeout(resolve, STOP_RETRY_MS));
    }
  }
  return false;
}

/** What went wrong, as one sentence. */
export function sentence(error: unknown): string {
  if (error instanceof api.Refusal) return error.message;
  return error instanceof Error ? `Something in the dashboard failed: ${error.message}` : String(error);
}

/**
 * The person has seen a task's thread up to a comment, whether or not it was counted as unread by then: a comment that is seen as it comes
 * is read. A failure leaves it unread, which the next look mends.
 */
export async function readThread(taskId: string, upTo: number): Promise<void> {
  if ((store.seenUpTo.get(taskId) ?? 0) >= upTo) return;
  store.seenUpTo.set(taskId, upTo);
  try {
    await api.markRead(taskId, upTo);
    const rest = new Map(store.unread.get());
    if ((rest.get(taskId)?.lastNumber ?? 0) <= upTo) rest.delete(taskId);
    store.unread.set(rest);
  } catch {
    if (store.seenUpTo.get(taskId) === upTo) store.seenUpTo.delete(taskId);
  }
}
