/**
 * An agent of paper for the demonstration and for tests: it works on its tasks through the real entry points with its own token, as an
 * agent outside OpenClaw would: the gate before each tool call, Mission Control's MCP server for plan, result and comments. Only the
 * tools themselves are played. What it is told, it obeys: a held call waits while it goes on with something else.
 */
import { randomUUID } from 'node:crypto';

export interface ScriptedCall {
  tool: string;
  arguments: Record<string, unknown>;
  /** What the tool would say. */
  output: string;
  /** What it would cost; 0 = nothing. */
  costUsd: number;
  /** The tool fails. */
  fails?: true;
}

/** What an agent does about a task: the plan, the calls in order, and what it hands in. */
export interface ScriptedWork {
  plan: string;
  calls: readonly ScriptedCall[];
  deliverable: string;
  selfReview: string;
  evidence: readonly string[];
  comment: string | null;
}

export interface TaskLine {
  id: string;
  number: number;
  title: string;
  type: string;
  status: string;
  assigneeIds: readonly string[];
}

export interface ScriptedAgentOptions {
  id: string;
  token: string;
  gateUrl: string;
  workFor: (task: TaskLine) => ScriptedWork;
  /** 0 to 1; decides what goes wrong. */
  random: () => number;
  /** Share of runs that break off in the middle, 0 to 1. */
  breakOff: number;
  /** Waits between two steps. */
  pause: () => Promise<void>;
}

interface GateBody {
  id: string;
  verdict?: 'allow' | 'hold' | 'deny';
  waiting?: boolean;
  message?: string;
}
interface Held {
  call: ScriptedCall;
  callId: string;
}
/** Where it is with a task; kept while a call of it is held. */
interface Progress {
  work: ScriptedWork;
  next: number;
  held: Held | null;
  runId: string;
}

/** How a turn went: it did something, there was nothing to do, or everything that there is waits for a person. */
export type Turn = 'worked' | 'idle' | 'waiting';

export class ScriptedAgent {
  readonly #options: ScriptedAgentOptions;
  readonly #progress = new Map<string, Progress>();

  constructor(options: ScriptedAgentOptions) {
    this.#options = options;
  }

  /** One turn: takes up the first task that can be gone on with, and works until it is handed in, held, refused or broken off. */
  async turn(): Promise<Turn> {
    const tasks = (await this.#own<{ items: TaskLine[] }>('task_list', { limit: 100 }))?.items ?? [];
    const mine = tasks.filter(({ assigneeIds }) => assigneeIds.includes(this.#options.id));
    const open = mine.filter(({ status }) => status === 'assigned' || status === 'in_progress');
    for (const id of this.#progress.keys()) if (!open.some((task) => task.id === id) && !isHeldUp(mine, id)) this.#progress.delete(id);
    let waiting = false;
    for (const task of open.toSorted((a, b) => a.number - b.number)) {
      const known = this.#progress.get(task.id);
      if (known?.held && !(await this.#isDecided(known))) {
        waiting = true;
        continue;
      }
      if (await this.#workOn(task, known)) return 'worked';
    }
    const free = tasks.find(({ status, assigneeIds }) => status === 'inbox' && assigneeIds.length === 0);
    if (free && !waiting) {
      await this.#own('task_transition', { taskId: free.id, to: 'assigned' });
      return 'worked';
    }
    return waiting ? 'waiting' : 'idle';
  }

  /** @returns whether anything was done. */
  async #workOn(task: TaskLine, known: Progress | undefined): Promise<boolean> {
    const progress = known ?? { work: this.#options.workFor(task), next: 0, held: null, runId: `run-${randomUUID()}` };
    this.#progress.set(task.id, progress);
    const { work, runId } = progress;
    const check = await this.#gate<{ allowed?: boolean }>('POST', '/v1/runs/check', { runId, taskId: task.id });
    if (check.body.allowed !== true) return false;
    if (task.status === 'assigned') {
      const planned = await this.#own('task_plan', { taskId: task.id, plan: work.plan, idempotencyKey: `plan-${runId}` });
      // It waits for other tasks, or was taken away meanwhile.
      if (planned === null) return this.#end(task, runId, 'success', null, false);
    }
    for (; progress.next < work.calls.length; progress.next++) {
      await this.#options.pause();
      if (this.#options.random() < this.#options.breakOff) {
        progress.runId = `run-${randomUUID()}`;
        return this.#end(task, runId, 'failed', 'the model went away', true);
      }
      const call = work.calls[progress.next];
      if (call === undefined) break;
      if ((await this.#make(task, progress, call)) === 'held') return true;
    }
    await this.#options.pause();
    if (work.comment !== null) await this.#own('comment', { taskId: task.id, content: work.comment });
    const { deliverable, selfReview, evidence } = work;
    const handedIn = await this.#own('task_submit', {
      taskId: task.id,
      deliverable,
      selfReview,
      evidence: [...evidence],
      idempotencyKey: `submit-${runId}`,
    });
    if (handedIn !== null) this.#progress.delete(task.id);
    return this.#end(task, runId, handedIn === null ? 'failed' : 'success', handedIn === null ? 'it could not be handed in' : null, true);
  }

  async #make(task: TaskLine, progress: Progress, call: ScriptedCall): Promise<'done' | 'held'> {
    const held = progress.held;
    progress.held = null;
    if (held !== null && held.call === call) {
      const answer = await this.#gate<GateBody>('GET', `/v1/tool-calls/${held.callId}`, undefined);
      if (answer.status === 200) await this.#finish(answer.body.id, call);
      return 'done';
    }
    const callId = randomUUID();
    const place = { callId, runId: progress.runId, taskId: task.id, sessionKey: `task-${task.number}` };
    const answer = await this.#gate<GateBody>('POST', '/v1/tool-calls', { tool: call.tool, arguments: call.arguments, ...place });
    if (answer.status === 200) await this.#finish(answer.body.id, call);
    if (answer.status !== 202) return 'done';
    progress.held = { call, callId: answer.body.id };
    return 'held';
  }

  /** Whether the held call may be taken up: it was decided, or nobody knows it any more. */
  async #isDecided({ held }: Progress): Promise<boolean> {
    const answer = await this.#gate<GateBody>('GET', `/v1/tool-calls/${held?.callId}`, undefined);
    return answer.status !== 202 && answer.status < 500;
  }

  async #finish(id: string, { output, costUsd, fails }: ScriptedCall): Promise<void> {
    await this.#gate('POST', `/v1/tool-calls/${id}/outcome`, {
      status: fails ? 'failed' : 'success',
      ...(fails ? { error: output } : { output }),
      durationMs: Math.round(50 + this.#options.random() * 2_000),
      ...(costUsd > 0 && { usage: { costUsd } }),
    });
  }

  async #end(task: TaskLine, runId: string, status: 'success' | 'failed', error: string | null, worked: boolean): Promise<boolean> {
    if (!worked) this.#progress.delete(task.id);
    await this.#gate('POST', '/v1/runs/end', { runId, status, ...(error !== null && { error }) });
    return worked;
  }

  /** A tool of Mission Control's own server. @returns what it answered; null where it was refused. */
  async #own<T>(name: string, args: Record<string, unknown>): Promise<T | null> {
    const response = await fetch(`${this.#options.gateUrl}/mcp/mission-control`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.#options.token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } }),
    });
    const text = await response.text();
    const message = /^event-stream|text\/event-stream/.test(response.headers.get('content-type') ?? '') ? lastEvent(text) : text;
    const { result } = JSON.parse(message) as { result?: { isError?: boolean; content?: { text?: string }[] } };
    if (result === undefined || result.isError === true) return null;
    return JSON.parse(result.content?.[0]?.text ?? 'null') as T;
  }

  async #gate<T>(method: string, path: string, body: unknown): Promise<{ status: number; body: T }> {
    const response = await fetch(`${this.#options.gateUrl}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#options.token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as T };
  }
}

function isHeldUp(tasks: readonly TaskLine[], id: string): boolean {
  return tasks.some((task) => task.id === id && task.status === 'needs_approval');
}

function lastEvent(stream: string): string {
  return (
    stream
      .match(/^data: (.*)$/gm)
      ?.at(-1)
      ?.slice('data: '.length) ?? 'null'
  );
}
