/**
 * A back end in a box for the dashboard: keeps agents, calls, approvals, alerts and the stop in memory, obeys the contract's rules as far as
 * they show on the screen, and tells every change as an event. Time is passed in. Not used by the product.
 */
import { hash, randomBytes } from 'node:crypto';
import type {
  Activity,
  ActivityType,
  Agent,
  AgentCreate,
  AgentUpdate,
  Alert,
  Approval,
  ApprovalBatchResult,
  ChangeEvent,
  Forecast,
  Gateway,
  Grant,
  GrantRequest,
  Message,
  Overview,
  Role,
  RosterEntry,
  Run,
  Session,
  SpendRow,
  StopReceipt,
  SystemState,
  Task,
  TaskCreate,
  TaskUpdate,
  ToolCallView,
  Topic,
  TransitionRequest,
  TransitionSchema,
  UnreadThread,
  Upstream,
  UpstreamCreate,
  UpstreamTool,
  UpstreamUpdate,
} from '../../control/contract.ts';
import { groupKeyOf } from '../../policies/call-shape.ts';
import { compareDefinitions } from '../../policies/definitions.ts';
import type {
  AgentStatus,
  Autonomy,
  HostReading,
  JsonObject,
  PathReading,
  Reason,
  Risk,
  TaskStatus,
  TaskType,
} from '../../policies/model.ts';
import { makesClaimsByDefault, transition } from '../../policies/task.ts';
import { readCommands } from './command-reader.ts';
import { MockDrills } from './drills.ts';
import { grantFrom } from './grants.ts';
import { MockPolicies } from './policies.ts';

export interface Person {
  id: string;
  name: string;
  role: Role;
}

/** A call that an agent makes, as the mock's policy would have it. */
export interface SampleCall {
  tool: string;
  mappedTool?: string;
  arguments: Record<string, unknown>;
  risk: Risk;
  verdict: 'allow' | 'hold' | 'deny';
  reasons?: Reason[];
  summary?: string;
  paths?: PathReading[];
  hosts?: HostReading[];
  cost?: number;
  output?: string;
  durationMs?: number;
  task?: { id: string; title: string };
  cwd?: string;
  /** People who have to approve it; 1 unless said. */
  people?: number;
  /** Shown in the past. */
  agoMs?: number;
}

/** What somebody says with a decision. */
interface Decision {
  note?: string;
  arguments?: Record<string, unknown>;
  grant?: GrantRequest;
}

export interface StoredToken {
  id: string;
  agentId: string;
  createdAt: number;
  lastUsedAt: number | null;
  revokedAt: number | null;
  hint: string;
}

type Transition = (typeof TransitionSchema)['_output'];

/** A refusal in the words of the API. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  readonly extra: Record<string, unknown>;

  constructor(status: number, code: string, detail: string, extra: Record<string, unknown> = {}) {
    super(detail);
    this.status = status;
    this.code = code;
    this.extra = extra;
  }
}

const CAPS: Record<Autonomy, number> = { intern: 2, specialist: 5, lead: 12 };
const TASK_CAPS: Record<TaskType, number> = {
  content: 6,
  social: 2,
  email_marketing: 4,
  customer_research: 5,
  seo_research: 4,
  engineering: 8,
  docs: 3,
  ops: 3,
};
const DAY_MS = 86_400_000;
const INLINE_MS = 240_000;
const UPSTREAM_LIMITS: Upstream['limits'] = { concurrency: 128, responseMaxBytes: 33_554_432, timeoutMs: 300_000, sessions: 256 };
const GRANT_MS = 900_000;
const KEPT_EVENTS = 500;

export class World {
  readonly now: () => number;
  readonly agents = new Map<string, Agent>();
  readonly approvals = new Map<string, Approval>();
  readonly grants = new Map<string, Grant>();
  readonly calls = new Map<string, ToolCallView>();
  readonly tasks = new Map<string, Task>();
  readonly policies: MockPolicies;
  readonly drills: MockDrills;
  readonly transitions: Transition[] = [];
  readonly runs: Run[] = [];
  readonly messages: Message[] = [];
  /** Up to which comment somebody has read a thread, by reader and task. */
  readonly reads = new Map<string, number>();
  /** Who is away, by person. */
  readonly absences = new Map<string, { until: number; deputyId: string; deputyName: string }>();
  readonly activities: Activity[] = [];
  readonly alerts = new Map<string, Alert>();
  readonly gateways = new Map<string, Gateway>();
  readonly tokens = new Map<string, StoredToken>();
  readonly upstreams = new Map<string, Upstream>();
  /** Tools of each upstream, by the upstream's id. */
  readonly tools = new Map<string, UpstreamTool[]>();
  readonly people = new Map<string, Person>();
  readonly sessions = new Map<string, { person: Person; session: Session }>();
  /** Sign-in tokens that have not been used; role tokens stay. */
  readonly signInTokens = new Map<string, { person: Person; once: boolean }>();
  readonly events: { seq: number; change: ChangeEvent }[] = [];
  readonly listeners = new Set<(seq: number, change: ChangeEvent) => void>();
  fleetCap: number | null = 60;
  system: SystemState = {
    estop: false,
    stoppedAt: null,
    stoppedBy: null,
    stopReason: null,
    squadPaused: false,
    squadPausedAt: null,
    squadPausedBy: null,
    receipt: null,
  };
  #seq = 0;
  #ids = 0;
  #number = 100;
  #taskNumber = 0;

  constructor(now: () => number) {
    this.now = now;
    this.policies = new MockPolicies(now, (status, code, detail, extra) => new Problem(status, code, detail, extra));
    this.drills = new MockDrills(this);
    const people: Person[] = [
      { id: 'op_mara', name: 'Mara Voss', role: 'admin' },
      { id: 'op_jon', name: 'Jon Reyes', role: 'operator' },
      { id: 'op_ada', name: 'Ada Lind', role: 'approver' },
      { id: 'op_vic', name: 'Vic Tamm', role: 'viewer' },
    ];
    for (const person of people) {
      this.people.set(person.id, person);
      this.signInTokens.set(person.role, { person, once: false });
    }
  }

  /* ---------------------------------------------------------------- sessions */

  signIn(token: string): { cookie: string; session: Session } {
    const found = this.signInTokens.get(token);
    if (!found) throw new Problem(401, 'UNAUTHENTICATED', 'This token is not valid.');
    if (found.once) this.signInTokens.delete(token);
    const cookie = randomBytes(18).toString('base64url');
    const session: Session = { operator: found.person, csrfToken: randomBytes(18).toString('base64url'), expiresAt: this.now() + DAY_MS };
    this.sessions.set(cookie, { person: found.person, session });
    return { cookie, session };
  }

  addPerson(name: string, role: Role): Person & { token: string } {
    const person: Person = { id: this.#id('op'), name, role };
    this.people.set(person.id, person);
    return { ...person, token: this.issuePersonToken(person.id).token };
  }

  issuePersonToken(id: string): { id: string; token: string } {
    const person = this.person(id);
    const token = `mco_${randomBytes(18).toString('base64url')}`;
    this.signInTokens.set(token, { person, once: false });
    return { id: this.#id('tk'), token };
  }

  person(id: string): Person {
    const person = this.people.get(id);
    if (!person) throw new Problem(404, 'NOT_FOUND', `There is no person ${id}.`);
    return person;
  }

  changeRole(id: string, role: Role): Person {
    const person = this.person(id);
    const admins = [...this.people.values()].filter((other) => other.role === 'admin');
    if (person.role === 'admin' && role !== 'admin' && admins.length === 1)
      throw new Problem(409, 'LAST_ADMIN', `${person.name} is the last administrator. Make somebody else an administrator first.`);
    person.role = role;
    return person;
  }

  removePerson(id: string): void {
    this.people.delete(id);
    for (const [token, { person }] of this.signInTokens) if (person.id === id) this.signInTokens.delete(token);
    for (const [cookie, { person }] of this.sessions) if (person.id === id) this.sessions.delete(cookie);
  }

  /** A sign-in token of an administrator that works once. */
  oneTimeToken(): string {
    const token = randomBytes(18).toString('base64url');
    this.signInTokens.set(token, { person: { id: 'op_mara', name: 'Mara Voss', role: 'admin' }, once: true });
    return token;
  }

  /** An empty squad again; people and their tokens stay. */
  clear(): void {
    for (const list of [
      this.agents,
      this.approvals,
      this.grants,
      this.calls,
      this.alerts,
      this.gateways,
      this.tokens,
      this.upstreams,
      this.tools,
    ])
      list.clear();
    this.activities.length = 0;
    this.#setSystem({
      estop: false,
      stoppedAt: null,
      stoppedBy: null,
      stopReason: null,
      squadPaused: false,
      squadPausedAt: null,
      squadPausedBy: null,
      receipt: null,
    });
  }

  /* ---------------------------------------------------------------- agents */

  addAgent(body: AgentCreate & { status?: AgentStatus; todaySpend?: number; heartbeatAgoMs?: number | null; errorStreak?: number }): Agent {
    const now = this.now();
    const autonomyLevel = body.autonomyLevel ?? 'intern';
    const agent: Agent = {
      id: this.#id('ag'),
      createdAt: now - DAY_MS,
      updatedAt: now,
      revision: 1,
      name: body.name,
      sessionKey: body.sessionKey ?? null,
      autonomyLevel,
      status: body.status ?? 'active',
      statusReason: null,
      statusChangedAt: now - 3_600_000,
      gate: body.gate ?? 'none',
      gatewayId: body.gatewayId ?? null,
      externalId: body.externalId ?? null,
      workspace: body.workspace ?? null,
      modelConfig: body.modelConfig ?? {},
      toolPermissions: body.toolPermissions ?? null,
      budgets: { dailyCap: body.budgets?.dailyCap ?? null, perRunCap: body.budgets?.perRunCap ?? null },
      currentTaskId: body.currentTaskId ?? null,
      parentId: body.parentId ?? null,
      depth: body.parentId ? 1 : 0,
      lastHeartbeat: body.heartbeatAgoMs === null || body.heartbeatAgoMs === undefined ? null : now - body.heartbeatAgoMs,
      lastCallAt: null,
      errorStreak: body.errorStreak ?? 0,
      totalSpend: (body.todaySpend ?? 0) * 14,
      todaySpend: body.todaySpend ?? 0,
      todayCap: body.budgets?.dailyCap ?? CAPS[autonomyLevel],
      pendingApprovals: 0,
      soulHash: null,
      metadata: {},
    };
    this.agents.set(agent.id, agent);
    this.#tell('agent', agent.id, agent);
    this.tellActivity('agent_created', `${agent.name} was registered`, { agentId: agent.id });
    return agent;
  }

  changeAgent(id: string, patch: Partial<Agent>): Agent {
    const agent = this.agent(id);
    const changed = { ...agent, ...patch, revision: agent.revision + 1, updatedAt: this.now() };
    this.agents.set(id, changed);
    this.#tell('agent', id, changed);
    return changed;
  }

  updateAgent(id: string, body: AgentUpdate, by: Person): Agent {
    const agent = this.agent(id);
    const budgets = { ...agent.budgets, ...body.budgets } as Agent['budgets'];
    const autonomyLevel = body.autonomyLevel ?? agent.autonomyLevel;
    const changed = this.changeAgent(id, { ...(body as Partial<Agent>), budgets, todayCap: budgets.dailyCap ?? CAPS[autonomyLevel] });
    this.tellActivity('agent_updated', `${by.name} changed ${agent.name}`, { agentId: id, by });
    return changed;
  }

  agent(id: string): Agent {
    const agent = this.agents.get(id);
    if (!agent) throw new Problem(404, 'NOT_FOUND', `There is no agent ${id}.`);
    return agent;
  }

  control(id: string, action: 'pause' | 'drain' | 'quarantine' | 'restart', reason: string | null, by: Person): Agent {
    const agent = this.agent(id);
    const status: AgentStatus = ({ pause: 'paused', drain: 'drained', quarantine: 'quarantined', restart: 'active' } as const)[action];
    if (action === 'restart' && this.system.estop)
      throw new Problem(409, 'ESTOP', 'The emergency stop is active. An administrator resumes first.');
    const changed = this.changeAgent(id, {
      status,
      statusReason: reason,
      statusChangedAt: this.now(),
      ...(action === 'restart' ? { errorStreak: 0 } : {}),
    });
    const type = ({ pause: 'agent_paused', drain: 'agent_drained', quarantine: 'agent_quarantined', restart: 'agent_restarted' } as const)[
      action
    ];
    this.tellActivity(type, `${by.name} ${PAST[action]} ${agent.name}${reason ? `: ${reason}` : ''}`, { agentId: id, by });
    const pauseIsOver = action === 'restart' && ![...this.agents.values()].some((other) => other.status === 'paused');
    if (pauseIsOver) this.#setSystem({ squadPaused: false, squadPausedAt: null, squadPausedBy: null });
    if (action === 'quarantine') {
      this.#withdrawAll(`${agent.name} was quarantined`, (approval) => approval.agentId === id);
      this.raiseAlert({ type: 'agent_quarantined', severity: 'high', agentId: id, message: `${agent.name} was quarantined by ${by.name}` });
    }
    return changed;
  }

  /* ---------------------------------------------------------------- tasks */

  /** @param more how it stands already, for samples. */
  addTask(body: TaskCreate, by: Person | null = null, more: Partial<Task> = {}): Task {
    const now = this.now();
    const task: Task = {
      id: this.#id('ta'),
      number: ++this.#taskNumber,
      createdAt: now,
      updatedAt: now,
      revision: 1,
      title: body.title,
      description: body.description ?? '',
      type: body.type,
      status: 'inbox',
      priority: body.priority ?? 'medium',
      assigneeIds: body.assigneeIds ?? [],
      reviewerIds: body.reviewerIds ?? [],
      subscriberIds: body.subscriberIds ?? [],
      threadRef: body.threadRef ?? null,
      sessionKey: body.sessionKey ?? null,
      parentTaskId: body.parentTaskId ?? null,
      dependsOn: body.dependsOn ?? [],
      budget: body.budget ?? TASK_CAPS[body.type],
      spend: 0,
      workPlan: body.workPlan ?? null,
      deliverable: body.deliverable ?? null,
      deliverableMakesClaims: body.deliverableMakesClaims ?? makesClaimsByDefault(body.type),
      selfReview: body.selfReview ?? null,
      evidence: body.evidence ?? [],
      deliverableConfirmed: false,
      decisionNote: null,
      blockedReason: null,
      metadata: {},
      ...more,
    };
    this.#taskNumber = Math.max(this.#taskNumber, task.number);
    this.#putTask(task);
    this.tellActivity('task_created', `${by?.name ?? 'Somebody'} created "${task.title}"`, { taskId: task.id, ...(by ? { by } : {}) });
    return task;
  }

  task(id: string): Task {
    const task = this.tasks.get(id);
    if (!task) throw new Problem(404, 'NOT_FOUND', `There is no task ${id}.`);
    return task;
  }

  /** Something of the n-th task changes, as when a call of it was paid. */
  touchTask(n: number): void {
    const all = [...this.tasks.values()];
    const task = all[n % Math.max(1, all.length)];
    if (task) this.#putTask({ ...task, spend: task.spend + 0.01, revision: task.revision + 1 });
  }

  updateTask(id: string, body: TaskUpdate, by: Person): Task {
    const task = this.task(id);
    const changed = { ...task, ...(body as Partial<Task>), revision: task.revision + 1, updatedAt: this.now() };
    this.#putTask(changed);
    this.tellActivity('task_updated', `${by.name} changed "${task.title}"`, { taskId: id, by });
    return changed;
  }

  /** By the table that the product uses. @param by null = the system. */
  moveTask(id: string, request: TransitionRequest, by: Person | null): Task {
    const task = this.task(id);
    const repeated = this.transitions.some((made) => made.taskId === id && made.idempotencyKey === request.idempotencyKey);
    if (request.idempotencyKey !== undefined && repeated) return task;
    const { approvalId: _, ...given } = request.artifacts ?? {};
    const closes = request.to === 'done' && task.status === 'review' && by !== null;
    const openDependencies = task.dependsOn.filter((other) => this.tasks.get(other)?.status !== 'done');
    const result = transition({ ...task, openDependencies }, request.to, by ? 'human' : 'system', {
      ...(given as object),
      costSummary: `$${task.spend} spent`,
      ...(closes ? { approval: { status: 'approved', approverType: 'human' } } : {}),
    });
    if (!result.ok) throw new Problem(409, result.code, result.message, { allowed: result.allowed, missing: result.missing });
    const changed: Task = {
      ...task,
      ...(given as Partial<Task>),
      status: request.to,
      deliverableConfirmed: request.to === 'done',
      blockedReason: request.to === 'blocked' ? (request.reason ?? null) : null,
      revision: task.revision + 1,
      updatedAt: this.now(),
    };
    this.noteTransition(task, request.to, by, request.reason ?? null, this.now(), request.idempotencyKey ?? null, Object.keys(given));
    this.#putTask(changed);
    this.tellActivity(
      'task_transition',
      `${by?.name ?? 'The system'} moved "${task.title}" from ${task.status.replace('_', ' ')} to ${request.to.replace('_', ' ')}${request.reason ? `: ${request.reason}` : ''}`,
      { taskId: id, details: { from: task.status, to: request.to }, ...(by ? { by } : {}) },
    );
    return changed;
  }

  /** Puts a move on record, also one of the past. */
  noteTransition(
    task: Pick<Task, 'id' | 'status'>,
    to: TaskStatus,
    by: Person | null,
    reason: string | null,
    at: number,
    idempotencyKey: string | null = null,
    artifactsProvided: string[] = [],
  ): void {
    this.transitions.push({
      id: this.#id('tr'),
      createdAt: at,
      taskId: task.id,
      fromStatus: task.status,
      toStatus: to,
      actor: by ? 'human' : 'system',
      actorId: by?.id ?? null,
      reason,
      artifactsProvided,
      idempotencyKey,
    });
  }

  /** Threads that somebody follows and has not read to the end. */
  unread(readerId: string): UnreadThread[] {
    return [...this.tasks.values()].flatMap((task) => {
      const news = this.messages.filter(
        ({ taskId, number, authorId }) =>
          taskId === task.id && authorId !== readerId && number > (this.reads.get(`${readerId}:${task.id}`) ?? 0),
      );
      const last = news.at(-1);
      if (!last || !task.subscriberIds.includes(readerId)) return [];
      return [{ taskId: task.id, unread: news.length, named: 0, lastNumber: last.number, lastAt: last.createdAt }];
    });
  }

  postMessage(taskId: string, content: string, by: Person | Agent, at = this.now()): Message {
    const task = this.task(taskId);
    const isAgent = 'autonomyLevel' in by;
    const message: Message = {
      id: this.#id('me'),
      number: this.messages.length + 1,
      createdAt: at,
      taskId,
      threadRef: null,
      authorId: by.id,
      authorType: isAgent ? 'agent' : 'human',
      authorName: by.name,
      content,
      mentions: [],
      metadata: {},
    };
    this.messages.push(message);
    // Who writes follows the thread from then on.
    if (!task.subscriberIds.includes(by.id)) this.tasks.set(taskId, { ...task, subscriberIds: [...task.subscriberIds, by.id] });
    this.tellActivity('comment_posted', `${by.name} commented on "${task.title}"`, {
      taskId,
      at,
      ...(isAgent ? { agentId: by.id } : { by }),
    });
    return message;
  }

  taskCost(id: string): unknown {
    const task = this.task(id);
    const calls = [...this.calls.values()].filter((call) => call.taskId === id);
    const sumBy = (nameOf: (call: ToolCallView) => string) => {
      const parts = new Map<string, { id: null; name: string; spend: number; calls: number }>();
      for (const call of calls) {
        const part = parts.get(nameOf(call)) ?? { id: null, name: nameOf(call), spend: 0, calls: 0 };
        parts.set(part.name, { ...part, spend: part.spend + (call.cost ?? 0), calls: part.calls + 1 });
      }
      return [...parts.values()].sort((a, b) => b.spend - a.spend);
    };
    return {
      taskId: id,
      spend: task.spend,
      budget: task.budget,
      calls: calls.length,
      runs: this.runs.filter((run) => run.taskId === id).length,
      withSubtasks: { spend: task.spend, tasks: 1 },
      byAgent: sumBy((call) => call.agentName ?? ''),
      byTool: sumBy((call) => call.tool),
    };
  }

  #putTask(task: Task): void {
    this.tasks.set(task.id, task);
    this.#tell('task', task.id, task);
  }

  /* ---------------------------------------------------------------- calls and approvals */

  /** An agent makes a call. A held one answers its approval. */
  call(agentId: string, sample: SampleCall): { call: ToolCallView; approval: Approval | null } {
    const agent = this.agent(agentId);
    const createdAt = this.now() - (sample.agoMs ?? 0);
    const line = sample.arguments.command;
    const commands = typeof line === 'string' ? readCommands(line) : [];
    const call: ToolCallView = {
      id: this.#id('tc'),
      createdAt,
      entry: 'openclaw',
      runId: 'run_3',
      taskId: sample.task?.id ?? null,
      agentId,
      agentName: agent.name,
      sessionKey: `agent:${agent.name.toLowerCase()}:main`,
      callId: this.#id('call'),
      tool: sample.tool,
      mappedTool: sample.mappedTool ?? sample.tool,
      risk: sample.risk,
      verdict: sample.verdict,
      reasons: sample.reasons ?? [
        { code: 'OK', message: 'Inside every allowlist and budget', policyPath: `riskMap.${sample.mappedTool ?? sample.tool}` },
      ],
      status: sample.verdict === 'hold' ? 'needs_approval' : sample.verdict === 'deny' ? 'blocked' : 'success',
      input: sample.arguments,
      output: sample.verdict === 'allow' ? (sample.output ?? null) : null,
      error: null,
      duration: sample.verdict === 'allow' ? (sample.durationMs ?? 12) : null,
      heldFor: null,
      cost: sample.verdict === 'allow' ? (sample.cost ?? null) : null,
      approvalId: null,
      policyVersion: 'v1',
      summary: sample.summary ?? (typeof line === 'string' ? line : String(Object.values(sample.arguments)[0] ?? '')),
    };
    if (sample.verdict === 'hold') {
      const approval = this.#hold(agent, call, sample, commands);
      call.approvalId = approval.id;
      this.#putCall(call);
      return { call, approval };
    }
    this.#putCall(call);
    if (sample.verdict === 'deny') {
      this.tellActivity('call_denied', `Denied: ${call.tool} ${call.summary}`, { agentId, at: createdAt });
    }
    const spent = sample.cost ?? 0;
    this.changeAgent(agentId, { lastCallAt: createdAt, todaySpend: agent.todaySpend + spent, totalSpend: agent.totalSpend + spent });
    return { call, approval: null };
  }

  #hold(agent: Agent, call: ToolCallView, sample: SampleCall, commands: ReturnType<typeof readCommands>): Approval {
    const digest = hash('sha256', call.id);
    const approval: Approval = {
      id: this.#id('ap'),
      number: ++this.#number,
      createdAt: call.createdAt,
      kind: 'call',
      status: 'pending',
      agentId: agent.id,
      agentName: agent.name,
      taskId: sample.task?.id ?? null,
      taskTitle: sample.task?.title ?? null,
      runId: call.runId,
      sessionKey: call.sessionKey,
      toolCallId: call.id,
      tool: call.tool,
      arguments: sample.arguments,
      editedArguments: null,
      cwd: sample.cwd ?? agent.workspace,
      workspace: agent.workspace,
      risk: sample.risk === 'red' ? 'red' : 'yellow',
      summary: `${call.tool} ${call.summary}`,
      reason: call.reasons[0]?.message ?? '',
      reasons: call.reasons,
      preview: { mappedTool: call.mappedTool, commands, paths: sample.paths ?? [], hosts: sample.hosts ?? [] },
      digest,
      estimatedCost: sample.cost ?? 0,
      policyVersion: 'v1',
      approver: null,
      decision: null,
      decidedAt: null,
      expiresAt: call.createdAt + DAY_MS,
      waitingUntil: call.createdAt + INLINE_MS,
      deferred: call.createdAt + INLINE_MS < this.now(),
      redeemedAt: null,
      redeemedBy: null,
      grantExpiresAt: null,
      noteRequired: sample.risk === 'red',
      waitingCalls: 1,
      outcome: 'none',
      groupKey: groupKeyOf({
        tool: call.tool,
        arguments: sample.arguments as JsonObject,
        workspace: agent.workspace,
        commands,
        paths: sample.paths ?? [],
        hosts: sample.hosts ?? [],
      }),
      approvalsNeeded: sample.people ?? 1,
      approvedBy: [],
      reminders: 0,
      escalatedAt: null,
      grantId: null,
      madeGrantId: null,
    };
    this.#putApproval(approval);
    this.changeAgent(agent.id, { lastCallAt: call.createdAt, pendingApprovals: agent.pendingApprovals + 1 });
    this.tellActivity('approval_requested', `Waits for approval: ${call.tool} ${call.summary}`, {
      agentId: agent.id,
      at: call.createdAt,
      details: { approvalId: approval.id },
    });
    return approval;
  }

  decide(id: string, verdict: 'approve' | 'deny', body: Decision, by: Person): Approval {
    const approval = this.approvals.get(id);
    if (!approval) throw new Problem(404, 'NOT_FOUND', `There is no approval ${id}.`);
    if (approval.status !== 'pending')
      throw new Problem(409, 'DECIDED', `Approval ${approval.number} was already ${approval.status}.`, { approval });
    if (approval.noteRequired && !body.note?.trim())
      throw new Problem(422, 'NOTE_REQUIRED', 'A red call needs a note from whoever decides.');
    const now = this.now();
    if (verdict === 'approve' && approval.approvedBy.some((vote) => vote.id === by.id))
      throw new Problem(409, 'SAME_PERSON', `${by.name} has approved this already; it needs another person's approval.`);
    const approvedBy =
      verdict === 'approve'
        ? [...approval.approvedBy, { id: by.id, name: by.name, at: now, note: body.note ?? null, actingFor: [] }]
        : approval.approvedBy;
    if (verdict === 'approve' && approvedBy.length < approval.approvalsNeeded) {
      const seconded = { ...approval, approvedBy, editedArguments: body.arguments ?? null };
      this.#putApproval(seconded);
      return seconded;
    }
    const grant = verdict === 'approve' && body.grant ? grantFrom(approval, body.grant, by, this.grants.size + 1, now) : null;
    if (grant) this.putGrant(grant);
    const decided: Approval = {
      ...approval,
      approvedBy,
      madeGrantId: grant?.id ?? null,
      status: verdict === 'approve' ? 'approved' : 'denied',
      approver: by.name,
      decision: body.note ?? null,
      decidedAt: now,
      editedArguments: body.arguments ?? approval.editedArguments,
      grantExpiresAt: verdict === 'approve' ? now + GRANT_MS : null,
    };
    this.#putApproval(decided);
    this.#unheld(approval);
    this.tellActivity('approval_decided', `${by.name} ${decided.status} ${approval.summary}${body.note ? `: ${body.note}` : ''}`, {
      agentId: approval.agentId,
      by,
      details: { approvalId: id, status: decided.status },
    });
    const call = approval.toolCallId === null ? undefined : this.calls.get(approval.toolCallId);
    if (call && verdict === 'deny') this.#putCall({ ...call, status: 'blocked', verdict: 'deny', heldFor: now - call.createdAt });
    return decided;
  }

  /** Decides several, each for itself. */
  decideAll(ids: readonly string[], verdict: 'approve' | 'deny', note: string | undefined, by: Person): ApprovalBatchResult {
    const results = ids.map((id) => {
      try {
        return { id, ok: true, approval: this.decide(id, verdict, note === undefined ? {} : { note }, by), error: null };
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return { id, ok: false, approval: this.approvals.get(id) ?? null, error: { code: error.code, message: error.message } };
      }
    });
    return { results };
  }

  putGrant(grant: Grant): void {
    this.grants.set(grant.id, grant);
    this.#tell('grant', grant.id, grant);
  }

  /** Moves a decision into the past, for samples. */
  backdate(id: string, agoMs: number): void {
    const approval = this.approvals.get(id);
    if (approval) this.#putApproval({ ...approval, decidedAt: this.now() - agoMs });
    const told = this.activities.at(-1);
    if (told) told.createdAt = this.now() - agoMs;
  }

  /** The agent takes the grant up: the call runs, once. */
  redeem(id: string, output = 'done'): Approval {
    const approval = this.approvals.get(id);
    if (approval?.status !== 'approved' || approval.redeemedAt !== null) throw new Problem(409, 'DUPLICATE', 'Nothing to redeem.');
    const call = approval.toolCallId === null ? undefined : this.calls.get(approval.toolCallId);
    const now = this.now();
    if (call)
      this.#putCall({
        ...call,
        status: 'success',
        verdict: 'allow',
        output,
        duration: 840,
        heldFor: (approval.decidedAt ?? now) - call.createdAt,
      });
    const redeemed: Approval = { ...approval, redeemedAt: now, redeemedBy: approval.toolCallId, outcome: 'success' };
    this.#putApproval(redeemed);
    return redeemed;
  }

  expire(id: string): void {
    const approval = this.approvals.get(id);
    if (approval?.status !== 'pending') return;
    this.#putApproval({ ...approval, status: 'expired', decidedAt: this.now() });
    this.#unheld(approval);
    this.tellActivity('approval_expired', `Nobody decided ${approval.tool} of ${approval.agentName} in time`, {
      agentId: approval.agentId,
    });
  }

  withdraw(id: string, why: string): void {
    this.#withdrawAll(why, (approval) => approval.id === id);
  }

  #withdrawAll(why: string, which: (approval: Approval) => boolean): number {
    const withdrawn = [...this.approvals.values()].filter((approval) => approval.status === 'pending' && which(approval));
    for (const approval of withdrawn) {
      this.#putApproval({ ...approval, status: 'withdrawn', decision: why, decidedAt: this.now() });
      this.#unheld(approval);
      const call = approval.toolCallId === null ? undefined : this.calls.get(approval.toolCallId);
      if (call) this.#putCall({ ...call, status: 'withdrawn' });
    }
    return withdrawn.length;
  }

  #unheld(approval: Approval): void {
    const agent = approval.agentId === null ? undefined : this.agents.get(approval.agentId);
    if (agent) this.changeAgent(agent.id, { pendingApprovals: Math.max(0, agent.pendingApprovals - 1) });
  }

  #putApproval(approval: Approval): void {
    this.approvals.set(approval.id, approval);
    this.#tell('approval', approval.id, approval);
  }

  #putCall(call: ToolCallView): void {
    this.calls.set(call.id, call);
    this.#tell('tool_call', call.id, call);
  }

  /* ---------------------------------------------------------------- alerts, gateways, emergency */

  raiseAlert(alert: Pick<Alert, 'type' | 'severity' | 'message'> & Partial<Alert>): Alert {
    const raised: Alert = {
      id: this.#id('al'),
      createdAt: this.now(),
      taskId: null,
      agentId: null,
      gatewayId: null,
      resolved: false,
      resolvedAt: null,
      resolvedBy: null,
      ...alert,
    };
    this.alerts.set(raised.id, raised);
    this.#tell('alert', raised.id, raised);
    this.tellActivity('alert_fired', raised.message, {
      agentId: raised.agentId,
      at: raised.createdAt,
      details: { alertId: raised.id, severity: raised.severity },
    });
    return raised;
  }

  resolveAlert(id: string, by: Person): Alert {
    const alert = this.alerts.get(id);
    if (!alert) throw new Problem(404, 'NOT_FOUND', `There is no alert ${id}.`);
    const resolved = { ...alert, resolved: true, resolvedAt: this.now(), resolvedBy: by.name };
    this.alerts.set(id, resolved);
    this.#tell('alert', id, resolved);
    this.tellActivity('alert_resolved', `${by.name} resolved: ${alert.message}`, { by });
    return resolved;
  }

  addGateway(gateway: Omit<Gateway, 'id' | 'createdAt'>): Gateway {
    const added = { id: this.#id('gw'), createdAt: this.now() - DAY_MS * 20, ...gateway };
    this.gateways.set(added.id, added);
    this.#tell('gateway', added.id, added);
    return added;
  }

  /** Its registered agents, and two that are not. */
  roster(id: string): RosterEntry[] {
    const known = [...this.agents.values()].filter((agent) => agent.gatewayId === id);
    const entry = (externalId: string, agentId: string | null) => ({
      externalId,
      name: null,
      workspace: `/srv/openclaw/${externalId}`,
      agentId,
    });
    const unknown = ['night-owl', 'archivist'].filter((name) => !known.some((agent) => agent.name === name));
    return [...known.map((agent) => entry(agent.name, agent.id)), ...unknown.map((name) => entry(name, null))];
  }

  importRoster(id: string, externalIds: readonly string[], autonomyLevel: Autonomy): Agent[] {
    return externalIds.map((name) => this.addAgent({ name, autonomyLevel, gate: 'openclaw', gatewayId: id, externalId: name }));
  }

  removeGateway(id: string): void {
    this.gateways.delete(id);
    this.#tell('gateway', id, null);
  }

  changeGateway(id: string, patch: Partial<Gateway>): void {
    const gateway = this.gateways.get(id);
    if (!gateway) return;
    this.gateways.set(id, { ...gateway, ...patch });
    this.#tell('gateway', id, this.gateways.get(id));
  }

  /** The feed as if it were the audit log. */
  audit(query: URLSearchParams): unknown[] {
    const fits = (name: string, value: unknown) => !query.has(name) || query.get(name) === String(value);
    return [...this.activities]
      .map((activity, i) => ({
        seq: i + 1,
        at: activity.createdAt,
        actorType: activity.actorType,
        actorId: activity.actorId,
        action: activity.type === 'task_transition' ? 'task.moved' : activity.type.replace('_', '.'),
        subjectType: activity.taskId ? 'task' : activity.agentId ? 'agent' : 'system',
        subjectId: activity.taskId ?? activity.agentId,
        details: { ...activity.details, summary: activity.summary },
        prevHash: hash('sha256', String(i)),
        hash: hash('sha256', String(i + 1)),
      }))
      .reverse()
      .filter(
        (row) =>
          fits('action', row.action) &&
          fits('subjectId', row.subjectId) &&
          fits('actorType', row.actorType) &&
          fits('actorId', row.actorId) &&
          fits('seq', row.seq) &&
          row.at >= Number(query.get('since') ?? 0),
      );
  }

  /* ---------------------------------------------------------------- money */

  /** Rows of the last days, made up from what the agents spent today: the same squad every day, quieter at the weekend. */
  spend(query: URLSearchParams): unknown {
    const [first, second] = (query.get('groupBy') ?? 'day').split(',');
    const until = this.now();
    const since = Number(query.get('since') ?? until - 13 * DAY_MS);
    const agents = [...this.agents.values()];
    const items = first === 'day' ? agents.flatMap((agent, i) => dailySpend(agent, i, since, until, second ?? 'agent')) : TODAY_BY_MODEL;
    const cost = items.reduce((sum, item) => sum + item.cost, 0);
    const total = { cost, calls: items.reduce((sum, item) => sum + item.calls, 0) };
    return { since, until, items, nextCursor: null, total, unattributed: { cost: cost * 0.018, share: 0.018 } };
  }

  forecast(): Forecast {
    const at = this.now();
    const dayEndsAt = at - (at % DAY_MS) + DAY_MS;
    const spent = [...this.agents.values()].reduce((sum, agent) => sum + agent.todaySpend, 0);
    const burn = (sum: number, cap: number | null, rate: number) => ({
      spent: sum,
      cap,
      ratePerHour: rate,
      projected: sum + (rate * (dayEndsAt - at)) / 3_600_000,
      exhaustsAt:
        cap !== null && rate > 0 && sum + (rate * (dayEndsAt - at)) / 3_600_000 > cap ? at + ((cap - sum) / rate) * 3_600_000 : null,
    });
    return {
      at,
      dayEndsAt,
      fleet: burn(spent, this.fleetCap, 1.96),
      agents: [...this.agents.values()]
        .filter((agent) => agent.todaySpend > 0)
        .sort((a, b) => b.todaySpend - a.todaySpend)
        .map((agent) => ({
          agentId: agent.id,
          name: agent.name,
          ...burn(agent.todaySpend, agent.todayCap, agent.status === 'active' ? agent.todaySpend / 12 : 0),
        })),
      month: { name: 'November', spent: 512.86, perDay: 36.63, projected: 769.27, endsAt: at + 8 * DAY_MS },
    };
  }

  raiseCap(given: { agentId?: string; taskId?: string; amount: number; note: string }, by: Person): unknown {
    if (given.agentId) {
      const agent = this.agent(given.agentId);
      this.changeAgent(agent.id, { todayCap: (agent.todayCap ?? 0) + given.amount });
    }
    if (given.taskId) {
      const task = this.task(given.taskId);
      this.updateTask(task.id, { budget: (task.budget ?? 0) + given.amount }, by);
    }
    return {
      id: this.#id('ra'),
      kind: 'raise',
      createdAt: this.now(),
      agentId: given.agentId ?? null,
      taskId: given.taskId ?? null,
      amount: given.amount,
      note: given.note,
      createdBy: by.name,
      expiresAt: this.now() + DAY_MS,
      endedAt: null,
    };
  }

  /* ---------------------------------------------------------------- upstreams */

  addUpstream(body: UpstreamCreate, by: Person | null = null): Upstream {
    if ([...this.upstreams.values()].some((other) => other.name === body.name))
      throw new Problem(409, 'NAME_TAKEN', `An upstream named "${body.name}" exists already.`);
    const now = this.now();
    const upstream: Upstream = {
      id: this.#id('up'),
      createdAt: now,
      updatedAt: now,
      revision: 1,
      name: body.name,
      kind: body.kind,
      url: body.url ?? null,
      command: typeof body.command === 'string' ? body.command.split(' ') : (body.command ?? null),
      hasSecret: Boolean(body.secret),
      oauth: body.oauth
        ? {
            grant: body.oauth.grant,
            clientId: body.oauth.clientId ?? null,
            hasClientSecret: body.oauth.clientSecret !== undefined,
            scope: body.oauth.scope ?? null,
            issuer: body.oauth.issuer ?? null,
            state: 'needed',
            authorizedAt: null,
            authorizedBy: null,
            expiresAt: null,
            lastError: null,
            lastErrorAt: null,
          }
        : null,
      envNames: Object.keys(body.env ?? {}),
      trusted: body.trusted ?? false,
      allowPrivate: body.allowPrivate ?? false,
      shared: body.shared ?? false,
      routes: body.routes ?? [],
      priceUsd: body.priceUsd ?? null,
      limits: { ...UPSTREAM_LIMITS, ...(body.limits as Partial<Upstream['limits']>) },
      health: { state: 'unknown', lastSuccessAt: null, lastError: null, lastErrorAt: null },
      toolCount: 0,
      heldTools: 0,
    };
    this.tools.set(upstream.id, []);
    this.#putUpstream(upstream);
    this.tellActivity('upstream_added', `${by?.name ?? 'Somebody'} added the upstream ${upstream.name}`, by ? { by } : {});
    return upstream;
  }

  upstream(key: string): Upstream {
    const upstream = this.upstreams.get(key) ?? [...this.upstreams.values()].find((other) => other.name === key);
    if (!upstream) throw new Problem(404, 'NOT_FOUND', `There is no upstream ${key}.`);
    return upstream;
  }

  updateUpstream(key: string, body: UpstreamUpdate, by: Person): Upstream {
    const upstream = this.upstream(key);
    const isMoved = (body.url !== undefined && body.url !== upstream.url) || body.command !== undefined;
    if (isMoved && upstream.hasSecret && body.secret === undefined)
      throw new Problem(409, 'SECRET_NEEDED', 'It leads elsewhere now: give its secret again, or remove it.');
    const { secret, env, command, limits, ...rest } = body;
    const changed = {
      ...upstream,
      ...(rest as Partial<Upstream>),
      ...(command === undefined ? {} : { command: typeof command === 'string' ? command.split(' ') : command }),
      ...(secret === undefined ? {} : { hasSecret: secret !== null }),
      ...(env === undefined ? {} : { envNames: Object.keys(env) }),
      limits: { ...upstream.limits, ...(limits as Partial<Upstream['limits']>) },
    };
    this.#changeUpstream(upstream, changed);
    this.tellActivity('upstream_updated', `${by.name} changed the upstream ${upstream.name}`, { by });
    return this.upstream(key);
  }

  changeHealth(key: string, health: Partial<Upstream['health']>): void {
    const upstream = this.upstream(key);
    this.#putUpstream({ ...upstream, health: { ...upstream.health, ...health } });
  }

  removeUpstream(key: string, by: Person): void {
    const upstream = this.upstream(key);
    this.upstreams.delete(upstream.id);
    this.#tell('upstream', upstream.id, null);
    this.tellActivity('upstream_removed', `${by.name} removed the upstream ${upstream.name}`, { by });
  }

  /** The server lists its tools: the first time they are pinned, later what is different is held. */
  offerTools(key: string, definitions: readonly JsonObject[]): void {
    const upstream = this.upstream(key);
    const known = new Map((this.tools.get(upstream.id) ?? []).map((tool) => [tool.name, tool]));
    const isFirst = known.size === 0;
    const now = this.now();
    for (const seen of definitions) {
      const name = String(seen.name);
      const before = known.get(name);
      const pinned = isFirst ? seen : ((before?.pinned as JsonObject | null | undefined) ?? null);
      const diff = compareDefinitions(pinned, seen);
      const state = pinned === null ? 'new' : diff.length === 0 ? 'pinned' : 'changed';
      known.set(name, {
        id: `${upstream.id}/${name}`,
        name,
        canonicalName: `${upstream.name}__${name}`,
        state,
        pinned,
        seen,
        diff,
        seenHash: hash('sha256', JSON.stringify(seen)),
        pinnedHash: pinned === null ? null : hash('sha256', JSON.stringify(pinned)),
        note: null,
        firstSeenAt: before?.firstSeenAt ?? now,
        lastSeenAt: now,
        changedAt: state === 'pinned' ? (before?.changedAt ?? null) : now,
        acceptedAt: before?.acceptedAt ?? null,
        acceptedBy: before?.acceptedBy ?? null,
      });
      if (state !== 'pinned' && before?.state !== state)
        this.tellActivity('tool_changed', `${upstream.name}__${name} is ${state === 'new' ? 'new' : 'not the tool that was accepted'}`);
    }
    for (const [name, tool] of known) {
      if (!definitions.some((definition) => definition.name === name))
        known.set(name, { ...tool, state: 'gone', seen: null, seenHash: null });
    }
    this.tools.set(upstream.id, [...known.values()]);
    this.#changeUpstream(upstream, { ...upstream, health: { ...upstream.health, state: 'up', lastSuccessAt: now } });
  }

  acceptTool(key: string, name: string, wanted: string | undefined, by: Person): UpstreamTool {
    const upstream = this.upstream(key);
    const tools = this.tools.get(upstream.id) ?? [];
    const tool = tools.find((candidate) => candidate.name === name);
    if (!tool) throw new Problem(404, 'NOT_FOUND', `There is no tool ${name}.`);
    if (wanted !== undefined && wanted !== tool.seenHash)
      throw new Problem(409, 'TOOL_CHANGED', 'The definition has changed again since you looked at it.');
    const accepted: UpstreamTool = {
      ...tool,
      state: 'pinned',
      pinned: tool.seen,
      pinnedHash: tool.seenHash,
      diff: [],
      acceptedAt: this.now(),
      acceptedBy: by.name,
    };
    this.tools.set(
      upstream.id,
      tools.map((other) => (other === tool ? accepted : other)),
    );
    this.#changeUpstream(upstream, upstream);
    this.tellActivity('tool_accepted', `${by.name} accepted ${tool.canonicalName}`, { by });
    return accepted;
  }

  #changeUpstream(before: Upstream, after: Upstream): void {
    const tools = this.tools.get(before.id) ?? [];
    this.#putUpstream({
      ...after,
      revision: before.revision + 1,
      updatedAt: this.now(),
      toolCount: tools.filter((tool) => tool.state !== 'gone').length,
      heldTools: tools.filter((tool) => tool.state === 'changed' || tool.state === 'new').length,
    });
  }

  #putUpstream(upstream: Upstream): void {
    this.upstreams.set(upstream.id, upstream);
    this.#tell('upstream', upstream.id, upstream);
  }

  pauseSquad(reason: string | null, by: Person): SystemState {
    const at = this.now();
    this.#setSystem({ squadPaused: true, squadPausedAt: at, squadPausedBy: by.name });
    this.#pauseAll(reason ?? 'squad paused', at);
    this.tellActivity('squad_paused', `${by.name} paused the squad${reason ? `: ${reason}` : ''}`, { by });
    return this.system;
  }

  stop(reason: string | null, by: Person): StopReceipt {
    const at = this.now();
    const active = [...this.agents.values()].filter((agent) => agent.status === 'active' || agent.status === 'drained');
    const waiting = new Map<string, number>();
    for (const approval of this.approvals.values()) {
      if (approval.status === 'pending' && approval.agentId) waiting.set(approval.agentId, (waiting.get(approval.agentId) ?? 0) + 1);
    }
    const withdrawn = this.#withdrawAll('emergency stop', () => true);
    const receipt: StopReceipt = {
      id: this.#id('st'),
      stoppedAt: at,
      stoppedBy: by.name,
      reason,
      proxies: [
        { id: 'proxy-a', acknowledgedAt: at + 41, lastAdmittedAt: at - 812, silentAfterMs: 41, cutStreams: 2, withdrawnCalls: withdrawn },
      ],
      agents: active.map((agent, i) => ({
        id: agent.id,
        name: agent.name,
        lastAdmittedAt: i % 4 === 3 ? null : at - 400 * (i + 1),
        silentAfterMs: 0,
        withdrawnCalls: waiting.get(agent.id) ?? 0,
      })),
      blockedTasks: 7,
      gateways: [...this.gateways.values()].map((gateway) => ({
        id: gateway.id,
        name: gateway.name,
        abortedSessions: gateway.link.state === 'connected' ? 4 : 0,
        error: gateway.link.state === 'connected' ? null : (gateway.link.error ?? 'not connected'),
      })),
      signature: { keyId: 'sample', value: 'sample' },
    };
    this.#setSystem({ estop: true, stoppedAt: at, stoppedBy: by.name, stopReason: reason, receipt });
    this.#pauseAll('emergency stop', at);
    this.tellActivity('emergency_stop', `${by.name} pressed the emergency stop${reason ? `: ${reason}` : ''}`, { by });
    return receipt;
  }

  #pauseAll(reason: string, at: number): void {
    for (const agent of this.agents.values()) {
      if (agent.status === 'active' || agent.status === 'drained')
        this.changeAgent(agent.id, { status: 'paused', statusReason: reason, statusChangedAt: at });
    }
  }

  resume(note: string, by: Person): SystemState {
    this.#setSystem({
      estop: false,
      stoppedAt: null,
      stoppedBy: null,
      stopReason: null,
      squadPaused: false,
      squadPausedAt: null,
      squadPausedBy: null,
    });
    this.tellActivity('emergency_resume', `${by.name} resumed: ${note}`, { by });
    return this.system;
  }

  overview(): Overview {
    const agents = [...this.agents.values()];
    return {
      serverTime: this.now(),
      version: '0.1.0',
      system: this.system,
      pendingApprovals: [...this.approvals.values()].filter((approval) => approval.status === 'pending').length,
      openAlerts: [...this.alerts.values()].filter((alert) => !alert.resolved).length,
      activeAgents: agents.filter((agent) => agent.status === 'active').length,
      agents: agents.length,
      todaySpend: agents.reduce((sum, agent) => sum + agent.todaySpend, 0),
      fleetCap: this.fleetCap,
      activePolicy: { id: this.policies.active.id, version: this.policies.active.version },
      proxies: [{ id: 'proxy-a', state: 'live', lastSeenAt: this.now() - 300 }],
    };
  }

  activatePolicy(key: string, given: { note?: string; confirmRedFlips?: number }, by: Person): unknown {
    const policy = this.policies.activate(key, given, by.name);
    this.tellActivity('policy_activated', `${by.name} activated policy ${policy.version}: ${given.note ?? ''}`, { by });
    this.#tell('policy', policy.id, policy);
    return policy;
  }

  /* ---------------------------------------------------------------- events */

  tellActivity(
    type: ActivityType,
    summary: string,
    about: { agentId?: string | null; taskId?: string; by?: Person; at?: number; details?: Record<string, unknown> } = {},
  ): void {
    const activity: Activity = {
      id: String(this.activities.length + 1),
      createdAt: about.at ?? this.now(),
      type,
      taskId: about.taskId ?? null,
      agentId: about.agentId ?? null,
      actorId: about.by?.id ?? null,
      actorType: about.by ? 'human' : 'system',
      summary,
      details: about.details ?? {},
    };
    this.activities.push(activity);
    this.#tell('activity', activity.id, activity);
  }

  #setSystem(patch: Partial<SystemState>): void {
    this.system = { ...this.system, ...patch };
    this.#tell('system', 'system', this.overview());
  }

  #tell(topic: Topic, id: string, data: unknown): void {
    const change: ChangeEvent = { topic, id, at: this.now(), data: structuredClone(data) };
    const seq = ++this.#seq;
    this.events.push({ seq, change });
    if (this.events.length > KEPT_EVENTS) this.events.shift();
    for (const listener of this.listeners) listener(seq, change);
  }

  #id(prefix: string): string {
    return `${prefix}_${(++this.#ids).toString(36).padStart(5, '0')}`;
  }

  issueToken(agentId: string): { id: string; token: string } {
    const agent = this.agent(agentId);
    const token = `mca_${randomBytes(24).toString('base64url')}`;
    const id = this.#id('tk');
    this.tokens.set(id, { id, agentId, createdAt: this.now(), lastUsedAt: null, revokedAt: null, hint: token.slice(-4) });
    this.tellActivity('token_issued', `A token was issued for ${agent.name}`, { agentId });
    return { id, token };
  }
}

const MODELS = ['opus-large', 'gpt-mini', 'sonnet-medium'];

function dailySpend(agent: Agent, i: number, since: number, until: number, by: string): SpendRow[] {
  const rows: SpendRow[] = [];
  for (let at = since; at <= until; at += DAY_MS) {
    const date = new Date(at);
    const isWeekend = date.getUTCDay() % 6 === 0;
    const swing = 0.75 + ((date.getUTCDate() * 7 + i * 3) % 10) / 20;
    const isToday = until - at < DAY_MS;
    const cost = isToday ? agent.todaySpend : agent.todaySpend * swing * (isWeekend ? 0.35 : 1);
    const part =
      by === 'model'
        ? { model: MODELS[i % 3] ?? null }
        : by === 'tool'
          ? { tool: i % 4 === 3 ? 'web_search' : 'model_call' }
          : by === 'task'
            ? { taskId: i === 8 ? null : `ta_${431 + (i % 6)}`, taskTitle: i === 8 ? null : `MC-${431 + (i % 6)}` }
            : { agentId: agent.id, agentName: agent.name };
    if (cost > 0) rows.push({ day: date.toISOString().slice(0, 10), ...part, cost, calls: Math.ceil(cost * 40) });
  }
  return rows;
}

const TODAY_BY_MODEL: SpendRow[] = [
  { tool: 'model_call', model: 'opus-large', cost: 17.86, calls: 388 },
  { tool: 'model_call', model: 'gpt-mini', cost: 8.12, calls: 1904 },
  { tool: 'model_call', model: 'sonnet-medium', cost: 6.7, calls: 388 },
  { tool: 'web_search', model: null, cost: 2.26, calls: 226 },
  { tool: 'crm__find_contact', model: null, cost: 1.74, calls: 58 },
  { tool: 'model_call', model: 'embed-small', cost: 0.66, calls: 1210 },
];

const PAST = { pause: 'paused', drain: 'is draining', quarantine: 'quarantined', restart: 'restarted' } as const;
