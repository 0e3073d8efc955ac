/** From the live picture to what `decide` is told: the caps that bind a call with what is spent of each, and everything else. */
import type { AgentPicture, CallFacts, HoldState, TaskPicture } from '../control/contract.ts';
import {
  type ApprovalFact,
  countTalk,
  dayOf,
  type Facts,
  type JsonObject,
  type McpAnnotations,
  type Micros,
  type Policy,
  type RunLabel,
  type ToolCall,
} from '../policies/index.ts';
import type { BindingCap } from './ledger.ts';
import { nameRequest } from './routes.ts';
import type { Picture } from './snapshot.ts';

/** The scope keys of a call at a moment: run, task, agent-day, fleet-day (SPEC 5). */
export interface Scopes {
  run: string | null;
  task: string | null;
  agentDay: string;
  fleetDay: string;
}

export function scopesOf(call: { agentId: string; runId: string | null; taskId: string | null }, policy: Policy, now: number): Scopes {
  const day = dayOf(now, policy.document.budgets.timezone);
  return {
    run: call.runId === null ? null : `run:${call.agentId}/${call.runId}`,
    task: call.taskId === null ? null : `task:${call.taskId}`,
    agentDay: `agent-day:${call.agentId}:${day}`,
    fleetDay: `fleet-day:${day}`,
  };
}

/**
 * What a call that was let through before a restart counts against: its own scopes, and the days of those that started its agent. The day
 * is the one on which it began.
 */
export function scopesSince(
  call: { agentId: string; runId: string | null; taskId: string | null; at: number },
  picture: Picture,
): string[] {
  const scopes = scopesOf(call, picture.policy, call.at);
  const agent = picture.agent(call.agentId);
  const parents = agent === undefined ? [] : parentsOf(agent, picture);
  return [...scopeKeys(scopes), ...parents.map((parent) => dayCapOf(parent, scopes, picture).scope)];
}

export function scopeKeys(scopes: Scopes): string[] {
  return [scopes.run, scopes.task, scopes.agentDay, scopes.fleetDay].filter((scope) => scope !== null);
}

/** The caps that bind a call; an agent's or task's own cap comes before the policy's, and what an operator added comes on top. */
export function bindingCapsOf(agent: AgentPicture, call: { taskId: string | null }, scopes: Scopes, picture: Picture): BindingCap[] {
  const task = call.taskId === null ? undefined : picture.task(call.taskId);
  const usual = picture.policy.capsFor(agent.autonomy, task?.type ?? null);
  const caps: BindingCap[] = [
    { scope: scopes.agentDay, capMicros: raisedBy(agent.dailyCap ?? usual.agentDay, agent.raises?.[scopes.agentDay]) },
    { scope: scopes.fleetDay, capMicros: usual.fleetDay },
  ];
  if (scopes.task !== null) caps.push({ scope: scopes.task, capMicros: raisedBy(task?.budget ?? usual.task, task?.raised) });
  if (scopes.run !== null) caps.push({ scope: scopes.run, capMicros: agent.perRunCap ?? usual.run });
  for (const parent of parentsOf(agent, picture)) {
    const { scope, cap, raised } = dayCapOf(parent, scopes, picture);
    caps.push({ scope, capMicros: raisedBy(cap, raised) });
  }
  return caps;
}

function raisedBy(cap: number | null, micros = 0): number | null {
  return cap === null ? null : cap + micros;
}

/** Those that started a sub-agent, nearest first: its spend binds their caps too (SPEC 7). */
function parentsOf(agent: AgentPicture, picture: Picture): AgentPicture[] {
  const parents: AgentPicture[] = [];
  let id = agent.parentId ?? null;
  while (id !== null && parents.length < 16) {
    const parent = picture.agent(id);
    if (!parent) break;
    parents.push(parent);
    id = parent.parentId ?? null;
  }
  return parents;
}

/** The day's cap of another agent than the one that calls: as it is written, and by how much it is raised. */
function dayCapOf(agent: AgentPicture, { fleetDay }: Scopes, picture: Picture): { scope: string; cap: number | null; raised: number } {
  const scope = `agent-day:${agent.id}:${fleetDay.slice('fleet-day:'.length)}`;
  const cap = agent.dailyCap ?? picture.policy.capsFor(agent.autonomy, null).agentDay;
  return { scope, cap, raised: agent.raises?.[scope] ?? 0 };
}

/** Where a parent has less left for the day than the sub-agent itself, that is what the call is judged by. */
function dayFact(agent: AgentPicture, scopes: Scopes, spent: (scope: string) => number, picture: Picture) {
  const cap = agent.dailyCap ?? picture.policy.capsFor(agent.autonomy, null).agentDay;
  const own: DayFact = {
    scope: scopes.agentDay,
    spent: spent(scopes.agentDay),
    cap,
    raised: agent.raises?.[scopes.agentDay] ?? 0,
  };
  let tightest: DayFact | null = null;
  for (const parent of parentsOf(agent, picture)) {
    const fact = dayCapOf(parent, scopes, picture);
    const day = { spent: spent(fact.scope), ...fact };
    if (leftOfDay(day) < leftOfDay(tightest ?? own)) tightest = day;
  }
  return tightest;
}

interface DayFact {
  scope: string;
  spent: number;
  cap: number | null;
  raised: number;
}

function leftOfDay({ spent, cap, raised }: DayFact): number {
  return cap === null ? Number.POSITIVE_INFINITY : cap + raised - spent;
}

/** What is left of the tightest cap; null = none binds. Never negative. */
export function leftOf(caps: readonly BindingCap[], spent: (scope: string) => number): Micros | null {
  let left: Micros | null = null;
  for (const { scope, capMicros } of caps) {
    if (capMicros === null) continue;
    const own = Math.max(0, capMicros - spent(scope));
    if (left === null || own < left) left = own;
  }
  return left;
}

export interface FactSources {
  agent: AgentPicture;
  call: Pick<CallFacts, 'taskId'> & Partial<CallFacts>;
  /** Upper bound of the cost of a call whose price no list has; null = it has none; absent = the lists say. */
  estimatedCost?: Micros | null | undefined;
  arguments: JsonObject;
  scopes: Scopes;
  spent: (scope: string) => number;
  /** How much of that is settled. */
  settled: (scope: string) => number;
  picture: Picture;
  hold: HoldState | null;
  /** Calls of the agent that run now. */
  concurrent: number;
  callsLastMinute: number;
  /** What its run and session have touched so far. */
  labels: readonly RunLabel[];
  sameErrorRetries: number;
  /** Spawns that are under way: of this agent, and in all. */
  spawning?: { own: number; all: number };
  now: number;
}

/**
 * Everything that `decide` may depend on besides the call.
 * @param symlinks where paths of the call lead, as far as that was looked up.
 */
export function factsOf(sources: FactSources, symlinks: Readonly<Record<string, string>>): Facts {
  const { agent, call, scopes, spent, settled, picture } = sources;
  const task = call.taskId === null ? undefined : picture.task(call.taskId);
  const spentOf = (scope: string | null) => (scope === null ? 0 : spent(scope));
  const parentDay = agent.parentId ? dayFact(agent, scopes, spent, picture) : null;
  const agentDay = parentDay?.spent ?? spent(scopes.agentDay);
  const settledDay = settled(parentDay?.scope ?? scopes.agentDay);
  return {
    agent: {
      id: agent.id,
      // An agent whose gate did not ask is judged by the strictest level (SPEC 3.4).
      autonomy: call.ungated === true ? 'intern' : agent.autonomy,
      status: agent.status,
      depth: agent.depth,
      children: agent.children + (sources.spawning?.own ?? 0),
      currentTaskId: agent.currentTaskId,
      toolPermissions: agent.toolPermissions,
    },
    task: task ? { id: task.id, type: task.type, status: task.status, assigneeIds: task.assigneeIds } : null,
    system: {
      estop: picture.system.estop,
      // An agent that was restarted by itself is out of the squad's pause (SPEC 8.3).
      squadPaused: picture.system.squadPaused && agent.status === 'paused',
      activeAgents: picture.system.activeAgents + (sources.spawning?.all ?? 0),
    },
    spend: {
      run: spentOf(scopes.run),
      task: spentOf(scopes.task),
      agentDay,
      fleetDay: spent(scopes.fleetDay),
    },
    ...(settledDay < agentDay && { settledDay }),
    caps: { ...ownCaps(agent, task, scopes), ...(parentDay && { agentDay: parentDay.cap }) },
    ...raisedFact(parentDay ? parentDay.raised : agent.raises?.[scopes.agentDay], task?.raised),
    run: { labels: sources.labels },
    estimatedCost: sources.estimatedCost === undefined ? priceOf(call, picture) : sources.estimatedCost,
    approval: sources.hold === null ? null : approvalFact(sources.hold, agent.id, call, sources.arguments, sources.now),
    mcp: mcpFact(call, picture),
    ...routeFact(call, sources.arguments, picture),
    history: historyOf(sources.sameErrorRetries, task?.loops, picture, sources.now),
    network: call.dns === undefined ? NO_NETWORK : { ...NO_NETWORK, dns: call.dns },
    files: { symlinks },
    rates: { callsLastMinute: sources.callsLastMinute, concurrent: sources.concurrent },
  };
}

/**
 * The caps that are not the policy's: the agent's or task's own, and none where there is no run or task. Those of the policy are left to
 * `decide`, so that a replay judges by the budgets of its draft.
 */
function ownCaps(agent: AgentPicture, task: { budget: number | null } | undefined, { run, task: taskScope }: Scopes): Facts['caps'] {
  const runCap = run === null ? null : (agent.perRunCap ?? undefined);
  const taskCap = taskScope === null ? null : (task?.budget ?? undefined);
  return {
    ...(runCap !== undefined && { run: runCap }),
    ...(taskCap !== undefined && { task: taskCap }),
    ...(agent.dailyCap !== null && { agentDay: agent.dailyCap }),
  };
}

/** What the loop limits are about (SPEC 7): what this proxy counts by itself, and what control tells of the task. */
function historyOf(sameErrorRetries: number, loops: TaskPicture['loops'], { policy }: Picture, now: number): Facts['history'] {
  if (loops === undefined) return sameErrorRetries === 0 ? NO_HISTORY : { ...NO_HISTORY, sameErrorRetries };
  return { sameErrorRetries, reviewCycles: loops.reviewCycles, ...countTalk(loops.talk, now, policy.document.loopDetection) };
}

function raisedFact(agentDay = 0, task = 0): Pick<Facts, 'raised'> {
  return agentDay + task === 0 ? {} : { raised: { ...(agentDay > 0 && { agentDay }), ...(task > 0 && { task }) } };
}

/**
 * What is known of the MCP tool that a call goes to. Looked up at each judgement: an operator may have accepted the definition while
 * the call was held. A tool that is not among those of a pinned server is new, which counts as changed.
 */
function mcpFact(call: Partial<CallFacts>, picture: Picture): Facts['mcp'] {
  const upstream = call.upstream ? picture.upstream(call.upstream) : undefined;
  if (upstream?.kind !== 'mcp') return null;
  const prefix = `${upstream.name}__`;
  const { tool = '' } = call;
  const isTool = tool.startsWith(prefix);
  const known = isTool ? upstream.tools[tool.slice(prefix.length)] : undefined;
  const changed = isTool && (known === undefined ? upstream.pinned : known.state !== 'pinned');
  return { server: upstream.name, trusted: upstream.trusted, annotations: { ...known?.annotations } as McpAnnotations, changed };
}

/** The route of a request to an HTTP tool, looked up at each judgement: it may have been registered while the call was held. */
function routeFact(call: Partial<CallFacts>, args: JsonObject, picture: Picture): Pick<Facts, 'route'> {
  const upstream = call.entry === 'http' && call.upstream ? picture.upstream(call.upstream) : undefined;
  if (upstream === undefined) return {};
  const named = nameRequest(upstream, String(args.method), String(args.path));
  // Its name stays the one that it was asked and approved under; a route that is another now says nothing about it.
  return { route: { upstream: upstream.name, risk: named.tool === call.tool ? named.risk : null } };
}

/** Where registry and policy both name a price the dearer one counts; null = the policy's. */
function priceOf(call: Partial<CallFacts>, picture: Picture): number | null {
  const price = call.upstream && call.tool?.startsWith(`${call.upstream}__`) ? picture.upstream(call.upstream)?.price : null;
  return price === null || price === undefined ? null : Math.max(price, picture.policy.priceOf(call.tool ?? '') ?? 0);
}

const NO_HISTORY = Object.freeze({ sameErrorRetries: 0, commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0 });
const NO_NETWORK = Object.freeze({ dns: Object.freeze({}), redirects: Object.freeze([]) as readonly string[] });

export function toolCallOf(call: CallFacts, args: JsonObject): ToolCall {
  return { tool: call.tool, arguments: args, cwd: call.cwd, workspace: call.workspace, toolKind: call.toolKind };
}

/**
 * Control attached this call to the approval by its digest, so agent, tool and arguments are the ones it was given for; an edit
 * is what was approved in their place.
 */
function approvalFact(hold: HoldState, agentId: string, call: Partial<CallFacts>, args: JsonObject, now: number): ApprovalFact {
  return {
    id: hold.approvalId,
    status: hold.status,
    approverType: hold.approverType,
    approver: hold.approver,
    agentId,
    tool: call.tool ?? '',
    arguments: args,
    uses: hold.redeemedBy === null || hold.redeemedBy === call.id ? 0 : 1,
    ageMs: hold.decidedAt === null ? 0 : Math.max(0, now - hold.decidedAt),
    allowance: hold.allowance,
    ...(hold.releases && { releases: hold.releases }),
  };
}
