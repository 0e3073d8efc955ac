/**
 * The judgement of one call, in the order of SPEC 4.1, top to bottom. Every check adds its reason; the strictest outcome wins; only a
 * malformed call ends the list early. `decide` looks nothing up: no clock, no I/O, no randomness, so the same call, facts and policy give
 * the same decision in the proxy, in the simulator, in the browser and in a replay.
 */
import { bindingCaps, type Excess, findExcesses, formatUsd, usdFromMicros } from './budget.ts';
import { canonicalJson, isBoundedJson } from './canonical.ts';
import { isBareWrapper, read, unwrapCall } from './classify.ts';
import { findLoops } from './loops.ts';
import type {
  AppliedRule,
  ApprovalFact,
  Decision,
  Facts,
  Finding,
  Micros,
  Reason,
  ReasonCode,
  RecordedReading,
  Risk,
  ToolCall,
  Verdict,
} from './model.ts';
import { RISKS, VERDICTS } from './model.ts';
import type { Policy } from './policy.ts';
import { recall } from './recall.ts';
import { findRuleHits, type RuleHit, recallRuleHits } from './rules.ts';
import { findSequences } from './sequence.ts';
import { coversTool, isMcpName, type ToolReading } from './tools.ts';

/**
 * Judges a call.
 * @param given the call as it came; a `tool_call` wrapper is judged as the call inside it.
 * @param facts everything else that bears on it, gathered by the caller.
 * @param policy the compiled policy in force.
 * @param recorded in a replay, what was read in arguments that the record no longer has, and whether the rules are the ones of then.
 * @returns verdict, risk and every reason that applied, in the order below. Never throws on any call or facts of these types.
 */
export function decide(
  given: ToolCall,
  facts: Facts,
  policy: Policy,
  recorded: { reading: RecordedReading; sameRules: boolean } | null = null,
): Decision {
  const call = unwrapCall(given);
  const recalled = recorded === null ? null : recall(call, facts, policy, recorded.reading);
  const { tool, classification } = recalled ?? read(call, facts, policy);
  const { mappedTool } = classification;
  let { risk, findings } = classification;
  const reasons = new Reasons();
  let rules: readonly RuleHit[] = [];
  const conclude = (verdict: Verdict, list: readonly Reason[], estimatedCost: Micros): Decision => ({
    verdict,
    risk,
    reasons: list,
    classification: risk === classification.risk ? classification : { ...classification, risk },
    rules: rules.length === 0 ? NO_RULES : rules.map(({ index, failure }) => ({ index, failure })),
    estimatedCost,
  });

  // 1. Malformed: what cannot be read is not judged any further.
  const malformed = findings.find((finding) => finding.code === 'MALFORMED') ?? impossibleFacts(facts);
  if (malformed !== null) return conclude('deny', [plain(malformed)], 0);

  // 2. Emergency stop and squad pause.
  if (facts.system.estop) reasons.deny('ESTOP', 'The emergency stop is on: nothing runs until an administrator resumes.', 'builtin.estop');
  if (facts.system.squadPaused) reasons.deny('SQUAD_PAUSED', 'The whole squad is paused.', 'builtin.squadPause');

  // 3. The agent's status.
  checkAgent(facts, reasons);

  // (The policy's own rules may raise the risk, and take part below with what else they say.)
  const estimate = isBareWrapper(call) ? 0 : (facts.estimatedCost ?? policy.priceOf(call.tool) ?? 0);
  rules =
    recorded?.sameRules === true
      ? recallRuleHits(policy.rules, recorded.reading.rules)
      : findRuleHits(policy.rules, call, facts, classification, usdFromMicros(estimate));
  for (const rule of rules) if (rule.risk !== null && isAbove(rule.risk, risk)) risk = rule.risk;

  // 4. The task's status.
  checkTask(facts, risk, reasons);

  // 5. The ceiling of tools that the agent has.
  if (!isBareWrapper(call)) checkPermission(call, mappedTool, facts, reasons);

  // 6. Risk: what the maps do not know is red and held. An allow rule lifts what it may lift, before anything else is made of it.
  const lift = findLift(rules, tool);
  if (lift !== 'none') findings = findings.filter((finding) => !isLifted(finding, lift));
  if (!tool.known && lift !== 'red') reasons.hold('UNKNOWN_TOOL', `${quoteName(call.tool)} is not in the risk map.`, 'riskMap');

  // 7. Block lists: commands that are refused for everybody, hosts that are refused in every spelling.
  for (const finding of findings) if (finding.verdict === 'deny') reasons.add('deny', finding);
  for (const rule of rules) if (rule.effect === 'deny') reasons.deny('RULE', rule.message, rule.policyPath);

  // 8. Loops and spawn limits.
  for (const loop of findLoops(facts.history, policy)) reasons.deny('LOOP', loop.message, loop.policyPath);
  if (mappedTool === 'sessions_spawn') checkSpawn(facts, policy, reasons);

  // 9. Approval triggers.
  for (const finding of findings) if (finding.code === 'SECRETS' && finding.verdict === 'hold') reasons.add('hold', finding);
  // Red that a rule lifts is what yellow is: an intern still asks.
  checkAutonomy(facts, lift === 'red' && risk === 'red' ? 'yellow' : risk, tool, policy, reasons);
  for (const finding of findings) if (finding.code !== 'SECRETS' && finding.verdict === 'hold') reasons.add('hold', finding);
  for (const rule of rules) if (rule.effect === 'hold') reasons.hold('RULE', rule.message, rule.policyPath);
  for (const sequence of findSequences(call, facts, classification, policy))
    reasons.hold('SEQUENCE', sequence.message, sequence.policyPath);
  if (facts.mcp?.changed === true)
    reasons.hold('TOOL_CHANGED', "The tool's definition changed since an operator accepted it.", 'builtin.toolPinning');

  // 10. Budgets and rates.
  if (mappedTool === 'model_call' && facts.estimatedCost === null && policy.priceOf(call.tool) === null)
    reasons.deny('PRICE_UNKNOWN', 'What this model call can cost is not known, so it cannot be kept within a cap.', 'model.unknownPrice');
  const caps = bindingCaps(facts, policy);
  const excesses = findExcesses(facts, caps, estimate);
  checkRates(call, facts, policy, reasons);

  // 11. The approval, if one came with the call: one more fact, judged last because it must know what it would release.
  const approval = readApproval(facts.approval, given, facts, policy);
  if (approval.state === 'refused') reasons.deny(approval.code, approval.message, approval.policyPath);
  const needsApproval = reasons.verdict === 'hold' || excesses.length > 0;
  if (approval.state === 'void' && needsApproval) reasons.hold(approval.code, approval.message, approval.policyPath);

  // Over a cap an approval works only with the allowance that was granted with it; everything else it held back it releases.
  const allowance = approval.state === 'fits' && facts.approval !== null ? facts.approval.allowance : 0;
  let isOverCap = false;
  for (const excess of excesses) {
    if (excess.spend + excess.estimate <= excess.cap + allowance) reasons.add('hold', describeExcess(excess, 'hold', facts, policy));
    else {
      const verdict = isDayOver(excess) ? 'deny' : 'hold';
      reasons.add(verdict, describeExcess(excess, verdict, facts, policy));
      isOverCap = true;
    }
  }

  // 12. The strictest outcome wins.
  switch (reasons.verdict) {
    case 'allow': {
      const allowing = lift === 'none' ? undefined : rules.find((rule) => rule.effect === 'allow');
      const why: Reason = allowing
        ? { code: 'RULE', message: allowing.message, policyPath: allowing.policyPath }
        : { code: 'OK', message: `Allowed: ${risk}.`, policyPath: tool.policyPath };
      return conclude('allow', [why], estimate);
    }
    case 'deny':
      return conclude('deny', reasons.list, estimate);
    case 'hold': {
      // A model call is never held (SPEC 3): whoever waits for it would wait for nobody.
      if (mappedTool === 'model_call') return conclude('deny', reasons.list, estimate);
      if (approval.state !== 'fits' || isOverCap) return conclude('hold', reasons.list, estimate);
      if (!isReleased(reasons.list, risk, call, facts)) {
        const why = 'The standing grant does not answer all of this: a person has to look at the call.';
        reasons.hold('APPROVAL_INVALID', why, 'builtin.approvals');
        return conclude('hold', reasons.list, estimate);
      }
      const approved: Reason = { code: 'APPROVED', message: approval.message, policyPath: approval.policyPath };
      return conclude('allow', [approved, ...reasons.list], estimate);
    }
  }
}

/** Reasons for holding that can be answered for longer; every other one needs a person each time (docs/approvals.md). */
const ANSWERABLE: ReadonlySet<string> = new Set([
  'YELLOW_INTERN',
  'RULE',
  'SHELL_NOT_ALLOWLISTED',
  'FS_READ_OUTSIDE',
  'FS_WRITE_OUTSIDE',
] satisfies ReasonCode[]);

/** Whether a standing grant may answer a reason. The hold of a level of autonomy, yes; a rule of the policy's own wants a person. */
export function isAnswerable({ code, policyPath }: { code: string; policyPath: string }): boolean {
  return ANSWERABLE.has(code) && (code !== 'RULE' || policyPath.startsWith('autonomyRules.'));
}

/** An approval that a standing grant gave releases what the grant answers; of a person who looked at this very call it releases all. */
function isReleased(held: readonly Reason[], risk: Risk, call: ToolCall, facts: Facts): boolean {
  const releases = facts.approval?.releases;
  if (releases === undefined) return true;
  return risk !== 'red' && !leadsElsewhere(call, facts) && held.every((reason) => isAnswerable(reason) && releases.includes(reason.code));
}

/** Whether a link was seen on a path of the call: then its words do not say where it leads. Those above the workspace change nothing. */
export function leadsElsewhere({ workspace }: ToolCall, { files }: Facts): boolean {
  const root = workspace?.replace(/\/+$/, '') ?? '';
  return Object.keys(files.symlinks).some((link) => root !== link && !root.startsWith(`${link.replace(/\/+$/, '')}/`));
}

const NO_RULES: readonly AppliedRule[] = Object.freeze([]);

/** Reasons in the order in which they were found, and the strictest verdict among them. */
class Reasons {
  readonly list: Reason[] = [];
  verdict: Verdict = 'allow';

  add(verdict: 'hold' | 'deny', { code, message, policyPath }: Reason): void {
    this.list.push({ code, message, policyPath });
    if (VERDICTS.indexOf(verdict) > VERDICTS.indexOf(this.verdict)) this.verdict = verdict;
  }

  hold(code: ReasonCode, message: string, policyPath: string): void {
    this.add('hold', { code, message, policyPath });
  }

  deny(code: ReasonCode, message: string, policyPath: string): void {
    this.add('deny', { code, message, policyPath });
  }
}

function plain({ code, message, policyPath }: Finding | Reason): Reason {
  return { code, message, policyPath };
}

// ---- 1. malformed -------------------------------------------------------------------------------------------------------------

/** Numbers that cannot be: NaN compares false with every cap and would pass them all. */
function impossibleFacts(facts: Facts): Reason | null {
  const { agent, system, spend, caps, history, rates, approval } = facts;
  const counts = [agent.depth, agent.children, system.activeAgents, rates.callsLastMinute, rates.concurrent];
  const amounts = [
    spend.run,
    spend.task,
    spend.agentDay,
    spend.fleetDay,
    caps.run,
    caps.task,
    caps.agentDay,
    caps.fleetDay,
    facts.estimatedCost,
    facts.raised?.task,
    facts.raised?.agentDay,
  ];
  const past = [history.sameErrorRetries, history.commentsIn30Min, history.reviewCycles, history.pairExchangesIn10Min];
  const isPossible =
    counts.every(isCount) &&
    past.every(isCount) &&
    amounts.every((amount) => amount === undefined || amount === null || isCount(amount)) &&
    (approval === null || (isCount(approval.uses) && isCount(approval.allowance) && !Number.isNaN(approval.ageMs)));
  return isPossible
    ? null
    : { code: 'MALFORMED', message: 'The facts of the call contain an impossible number.', policyPath: 'builtin.malformed' };
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

// ---- 3-5. who asks, for which task, with which tool -------------------------------------------------------------------------

function checkAgent({ agent, task }: Facts, reasons: Reasons): void {
  switch (agent.status) {
    case 'active':
      return;
    case 'quarantined':
      reasons.deny('AGENT_QUARANTINED', 'The agent is quarantined.', 'builtin.agentStatus');
      return;
    case 'stopped':
      reasons.deny('AGENT_STOPPED', 'The agent is stopped.', 'builtin.agentStatus');
      return;
    case 'paused':
      reasons.deny('AGENT_PAUSED', 'The agent is paused.', 'builtin.agentStatus');
      return;
    case 'drained': {
      const isItsTask = agent.currentTaskId !== null && task !== null && task.id === agent.currentTaskId;
      if (!isItsTask) reasons.deny('AGENT_DRAINED', 'The agent is drained: it only finishes its current task.', 'builtin.agentStatus');
    }
  }
}

function checkTask({ task }: Facts, risk: Risk, reasons: Reasons): void {
  if (task === null) return;
  switch (task.status) {
    case 'inbox':
    case 'assigned':
    case 'in_progress':
    case 'review':
      return;
    case 'blocked':
    case 'done':
    case 'canceled':
      reasons.deny('TASK_STATE', `The task is ${task.status.toUpperCase()}: nothing runs for it.`, 'builtin.taskState');
      return;
    case 'needs_approval':
      if (risk !== 'green') reasons.hold('TASK_STATE', 'The task waits for an approval: only green calls run for it.', 'builtin.taskState');
  }
}

/** A ceiling names the canonical tool, or the name that the policy maps it to. */
function checkPermission(call: ToolCall, mappedTool: string, facts: Facts, reasons: Reasons): void {
  const permitted = facts.agent.toolPermissions;
  if (permitted === null) return;
  const isCovered = permitted.some((pattern) => coversTool(pattern, call.tool) || (pattern !== '*' && coversTool(pattern, mappedTool)));
  if (!isCovered)
    reasons.deny('TOOL_NOT_PERMITTED', `${quoteName(call.tool)} is not among the tools that this agent may use.`, 'agent.toolPermissions');
}

// ---- 6. what an allow rule lifts -----------------------------------------------------------------------------------------------

type Lift = 'none' | 'allowlists' | 'red';

/** Nothing lifts what concerns the gate itself. */
function findLift(rules: readonly RuleHit[], tool: ToolReading): Lift {
  if (tool.policyPath === 'builtin.gateTools') return 'none';
  let lift: Lift = 'none';
  for (const rule of rules) {
    if (rule.effect !== 'allow') continue;
    if (rule.overridesRed) return 'red';
    lift = 'allowlists';
  }
  return lift;
}

/** An allow rule lifts a miss of an allowlist; a red hold only where it says so; a denial, the configuration and the gate never (SPEC 4.7). */
function isLifted(finding: Finding, lift: Lift): boolean {
  if (lift === 'none' || finding.verdict === 'deny' || finding.code === 'FS_CONFIG_BLOCKED') return false;
  if (lift === 'red') return true;
  const isMiss = finding.code === 'SHELL_NOT_ALLOWLISTED' || finding.code === 'FS_READ_OUTSIDE' || finding.code === 'FS_WRITE_OUTSIDE';
  return isMiss && finding.risk !== 'red';
}

function isAbove(risk: Risk, other: Risk): boolean {
  return RISKS.indexOf(risk) > RISKS.indexOf(other);
}

// ---- 8. spawning ------------------------------------------------------------------------------------------------------------

function checkSpawn({ agent, system }: Facts, policy: Policy, reasons: Reasons): void {
  const { spawnLimits: limits, autonomyRules } = policy.document;
  if (!autonomyRules[agent.autonomy].spawn)
    reasons.deny('SPAWN_FORBIDDEN', `An ${agent.autonomy} may not start other agents.`, `autonomyRules.${agent.autonomy}.spawn`);
  if (system.activeAgents >= limits.maxActive)
    reasons.deny(
      'SPAWN_LIMIT_ACTIVE',
      `${system.activeAgents} agents are active; the limit is ${limits.maxActive}.`,
      'spawnLimits.maxActive',
    );
  if (agent.children >= limits.maxPerParent)
    reasons.deny(
      'SPAWN_LIMIT_PARENT',
      `The agent has ${agent.children} children; the limit is ${limits.maxPerParent}.`,
      'spawnLimits.maxPerParent',
    );
  if (agent.depth >= limits.maxDepth)
    reasons.deny('SPAWN_DEPTH', `The agent is ${agent.depth} levels deep; the limit is ${limits.maxDepth}.`, 'spawnLimits.maxDepth');
}

// ---- 9. autonomy ------------------------------------------------------------------------------------------------------------

function checkAutonomy({ agent }: Facts, risk: Risk, tool: ToolReading, policy: Policy, reasons: Reasons): void {
  const effect = policy.document.autonomyRules[agent.autonomy][risk];
  if (effect === 'allow') return;
  const rule = `autonomyRules.${agent.autonomy}.${risk}`;
  const raised = tool.raisedBy === null ? '' : ` (raised by the server's hint ${tool.raisedBy})`;
  if (risk === 'red') {
    // Red by its name comes from the map; red by its arguments from the rule for red calls.
    const policyPath = tool.known && tool.risk === 'red' ? tool.policyPath : rule;
    reasons.add(effect, { code: 'RED_ACTION', message: `A red action needs a person's approval${raised}.`, policyPath });
    return;
  }
  const isIntern = risk === 'yellow' && agent.autonomy === 'intern';
  reasons.add(effect, {
    code: isIntern ? 'YELLOW_INTERN' : 'RULE',
    message: `${agent.autonomy === 'intern' ? "An intern's" : `A ${agent.autonomy}'s`} ${risk} action needs a person's approval${raised}.`,
    policyPath: rule,
  });
}

// ---- 10. budgets and rates ----------------------------------------------------------------------------------------------------

/** A day that is used up refuses what costs money until it turns over; one large call before that is only held (SPEC 5). */
function isDayOver({ scope, reached, estimate }: Excess): boolean {
  return scope === 'agentDay' && reached && estimate > 0;
}

function describeExcess(excess: Excess, verdict: 'hold' | 'deny', facts: Facts, policy: Policy): Reason {
  const { code, spend, cap, estimate, scope } = excess;
  const zone = policy.document.budgets.timezone;
  const what = { run: 'this run', task: 'this task', agentDay: "this agent's day", fleetDay: "the fleet's day" }[scope];
  const reset = scope === 'agentDay' || scope === 'fleetDay' ? ` It starts anew at midnight (${zone}).` : '';
  const message =
    verdict === 'deny'
      ? `The cap of ${what}, ${formatUsd(cap)}, is used up (${formatUsd(spend)}).${reset}`
      : `${formatUsd(spend)} spent plus at most ${formatUsd(estimate)} would exceed the cap of ${what}, ${formatUsd(cap)}.${reset}`;
  return { code, message, policyPath: pathOfCap(excess, facts, policy) };
}

/** The line of the policy that a cap comes from, or the agent's or task's own cap where that one differs. */
function pathOfCap({ scope, cap }: Excess, { agent, task }: Facts, policy: Policy): string {
  const isUsual = policy.capsFor(agent.autonomy, task?.type ?? null)[scope] === cap;
  switch (scope) {
    case 'run':
      return isUsual ? `budgets.perRun.${agent.autonomy}` : 'agent.budgets.perRunCap';
    case 'task':
      return isUsual && task?.type ? `budgets.perTask.${task.type}` : 'task.budget';
    case 'agentDay':
      return isUsual ? `budgets.perAgentDaily.${agent.autonomy}` : 'agent.budgets.dailyCap';
    case 'fleetDay':
      return 'budgets.fleetDaily';
  }
}

function checkRates(call: ToolCall, { rates }: Facts, policy: Policy, reasons: Reasons): void {
  if (rates.concurrent >= policy.maxConcurrentPerAgent)
    reasons.deny(
      'RATE_LIMIT',
      `${rates.concurrent} calls of this agent are open; the limit is ${policy.maxConcurrentPerAgent}.`,
      'limits.maxConcurrentPerAgent',
    );
  const rate = policy.rateOf(call.tool);
  if (rate !== null && rates.callsLastMinute >= rate.limit)
    reasons.deny('RATE_LIMIT', `${rates.callsLastMinute} calls in the last minute; the limit is ${rate.limit}.`, rate.policyPath);
}

// ---- 11. approvals --------------------------------------------------------------------------------------------------------------

type ApprovalReading =
  /** None, or not decided yet: nothing changes. */
  | { state: 'none' }
  /** It releases this call. */
  | { state: 'fits'; message: string; policyPath: string }
  /** It was one, and does not count for this call: what needs an approval stays held. */
  | { state: 'void'; code: ReasonCode; message: string; policyPath: string }
  /** It says no, or claims an origin that no approval can have: the call is denied. */
  | { state: 'refused'; code: ReasonCode; message: string; policyPath: string };

/** An approval counts for one agent, one tool and exactly these arguments, once, within its time, and only if a person gave it. */
function readApproval(approval: ApprovalFact | null, call: ToolCall, facts: Facts, policy: Policy): ApprovalReading {
  if (approval === null) return { state: 'none' };
  const path = 'builtin.approvals';
  const named = `Approval ${approval.id}`;
  const isHuman = approval.approverType === 'human' && !isSelf(approval, facts);

  switch (approval.status) {
    case 'pending':
      if (approval.approverType === 'unknown' || isHuman) return { state: 'none' };
      return { state: 'refused', code: 'APPROVAL_INVALID', message: `${named} does not come from a person.`, policyPath: path };
    case 'withdrawn':
      return { state: 'void', code: 'APPROVAL_INVALID', message: `${named} was withdrawn.`, policyPath: path };
    case 'expired':
      return { state: 'void', code: 'APPROVAL_EXPIRED', message: `${named} expired undecided.`, policyPath: 'approvals.ttlMs' };
    case 'approved':
    case 'denied':
      break;
  }
  if (!isHuman) return { state: 'refused', code: 'APPROVAL_INVALID', message: `${named} does not come from a person.`, policyPath: path };

  const mismatch = findMismatch(approval, call, facts);
  if (mismatch !== null)
    return { state: 'void', code: 'APPROVAL_INVALID', message: `${named} was given for ${mismatch}.`, policyPath: path };
  if (approval.status === 'denied')
    return { state: 'refused', code: 'APPROVAL_DENIED', message: `${approval.approver ?? 'A person'} denied this call.`, policyPath: path };
  if (approval.uses > 0)
    return { state: 'void', code: 'APPROVAL_INVALID', message: `${named} has been used; it counts once.`, policyPath: path };
  if (approval.ageMs > policy.grantTtlMs)
    return { state: 'void', code: 'APPROVAL_EXPIRED', message: `${named} was not used in time.`, policyPath: 'approvals.grantTtlMs' };
  const by = approval.approver ?? 'A person';
  const what = approval.releases ? 'calls like this one for longer' : 'exactly this call';
  return { state: 'fits', message: `${by} approved ${what}.`, policyPath: path };
}

/** An agent that calls itself human is still the agent. */
function isSelf(approval: ApprovalFact, facts: Facts): boolean {
  return approval.approver !== null && (approval.approver === facts.agent.id || approval.approver === approval.agentId);
}

function findMismatch(approval: ApprovalFact, call: ToolCall, facts: Facts): string | null {
  if (facts.agent.id === null || approval.agentId !== facts.agent.id) return 'another agent';
  if (approval.tool !== call.tool) return 'another tool';
  if (!isBoundedJson(approval.arguments) || canonicalJson(approval.arguments) !== canonicalJson(call.arguments)) return 'other arguments';
  return null;
}

function quoteName(tool: string): string {
  return isMcpName(tool) ? `The tool ${tool} of an MCP server` : `The tool ${tool}`;
}
