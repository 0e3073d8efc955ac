/**
 * Custom rules: ordered `when:` expressions in CEL with an effect and a message (SPEC 4.7). An expression is parsed, typed and bounded when
 * the policy is compiled; it sees the call, the agent, the task and the run, and can neither loop at will nor use regular expressions.
 * A rule that fails while it is evaluated refuses the call.
 */
import { Environment } from '@marcbachmann/cel-js';
import type { AppliedRule, Classification, Facts, Json, Risk, ToolCall } from './model.ts';

/** A rule as written. */
export interface RuleEntry {
  name?: string | undefined;
  when: string;
  effect: 'allow' | 'hold' | 'deny' | 'risk';
  /** With the effect `risk`: what the call is raised to. */
  risk?: Risk | undefined;
  message?: string | undefined;
  /** With the effect `allow`: it lifts red holds too. */
  overrides?: 'red' | undefined;
}

/** A rule whose expression was true for a call, or failed. */
export interface RuleHit extends AppliedRule {
  effect: RuleEntry['effect'];
  risk: Risk | null;
  overridesRed: boolean;
  message: string;
  policyPath: string;
}

/**
 * Compiled rules; made by {@link compileRules} and read by {@link findRuleHits} only. Most rules name a tool, so they are found by it: 200
 * rules for other tools cost nothing.
 */
export interface Rules {
  readonly byTool: ReadonlyMap<string, readonly Rule[]>;
  readonly byMappedTool: ReadonlyMap<string, readonly Rule[]>;
  readonly rest: readonly Rule[];
  /** In the order of the document. */
  readonly all: readonly Rule[];
  readonly isEmpty: boolean;
}

interface Rule {
  readonly index: number;
  readonly hit: RuleHit;
  /** Cheap necessary conditions: while one is false the expression is false, whatever else it says. */
  readonly guards: readonly Guard[];
  readonly evaluate: (context: Record<string, unknown>) => unknown;
  /** How deep comprehensions are nested: 0 to 2. */
  readonly loops: number;
}

interface Guard {
  readonly of: GuardSubject;
  readonly values: ReadonlySet<string>;
}

/** Lists and maps in the arguments that a comprehension may walk, by nesting: beyond, the rule counts as failed. */
const MAX_WIDTH = [Number.POSITIVE_INFINITY, 10_000, 100] as const;
const MAX_LOOPS = 2;
const MAX_TEXT = 2_000;
/** glob() compares at most this much: paths and hosts, not documents. Its time is at most the product of both lengths. */
const MAX_GLOB_PATTERN = 200;
const MAX_GLOB_TEXT = 4_096;
/**
 * What all rules together may do for one call: items that comprehensions walk (50 ns each), characters that globs compare where their plain
 * beginning and end fit (100 ns each). Each bound is 20 ms; a rule that comes after it counts as failed.
 */
const MAX_ITEMS = 400_000;
const MAX_COMPARED = 200_000;

/** Functions and macros that an expression may use. Left out on purpose: matches (superlinear), bind and join (growth), dates. */
const FUNCTIONS: ReadonlySet<string> = new Set([
  'size',
  'startsWith',
  'endsWith',
  'contains',
  'exists',
  'exists_one',
  'all',
  'filter',
  'map',
  'has',
  'glob',
  'int',
  'double',
  'string',
]);
const COMPREHENSIONS: ReadonlySet<string> = new Set(['exists', 'exists_one', 'all', 'filter', 'map']);

const environment = new Environment({
  limits: { maxAstNodes: 250, maxDepth: 32, maxListElements: 100, maxMapEntries: 20, maxCallArguments: 4 },
})
  .registerVariable('call', {
    schema: {
      tool: 'string',
      mappedTool: 'string',
      risk: 'string',
      arguments: 'map<string, dyn>',
      cwd: 'string',
      workspace: 'string',
      paths: 'list<string>',
      hosts: 'list<string>',
      programs: 'list<string>',
    },
  })
  .registerVariable('agent', {
    schema: { id: 'string', autonomy: 'string', depth: 'int', children: 'int', currentTaskId: 'string' },
  })
  // Without a task its fields are empty.
  .registerVariable('task', { schema: { id: 'string', type: 'string', status: 'string', assigneeIds: 'list<string>' } })
  .registerVariable('run', { schema: { spendUsd: 'double', estimateUsd: 'double', labels: 'list<string>' } })
  .registerFunction('glob(string, string): bool', (pattern: string, text: string) => matchesPathGlob(pattern, text));

/**
 * Parses, types and bounds every rule.
 * @returns the rules, or each mistake with the position of its rule and the part of it that is wrong.
 */
export function compileRules(
  entries: readonly RuleEntry[],
): { rules: Rules } | { errors: { index: number; part: string; message: string }[] } {
  const errors: { index: number; part: string; message: string }[] = [];
  const rules: Rule[] = [];
  const seen = new Map<string, number>();
  let always: number | null = null;
  for (const [index, entry] of entries.entries()) {
    const fail = (part: string, message: string) => errors.push({ index, part, message });
    if ((entry.effect === 'risk') !== (entry.risk !== undefined))
      fail('risk', '`risk` goes with the effect "risk", and that effect needs it');
    if (entry.overrides !== undefined && entry.effect !== 'allow') fail('overrides', '`overrides` goes with the effect "allow" only');

    const key = JSON.stringify([entry.when.trim(), entry.effect, entry.risk ?? null, entry.overrides ?? null]);
    const earlier = seen.get(key);
    if (earlier !== undefined) fail('when', `says the same as rule ${earlier}, so it can never add anything`);
    seen.set(key, index);
    if (always !== null) fail('when', `can never be reached: rule ${always} denies every call`);

    const compiled = compileExpression(entry.when);
    if ('message' in compiled) {
      fail('when', compiled.message);
      continue;
    }
    if (compiled.constant === false) fail('when', 'is never true');
    if (compiled.constant === true && entry.effect === 'deny') always ??= index;
    const policyPath = `rules.${index}`;
    const message = entry.message ?? `The rule ${entry.name === undefined ? index : JSON.stringify(entry.name)} of the policy applies.`;
    rules.push({
      index,
      hit: Object.freeze({
        index,
        failure: null,
        effect: entry.effect,
        risk: entry.risk ?? null,
        overridesRed: entry.overrides === 'red',
        message,
        policyPath,
      }),
      guards: compiled.guards,
      evaluate: compiled.evaluate,
      loops: compiled.loops,
    });
  }
  return errors.length > 0 ? { errors } : { rules: indexRules(rules) };
}

function indexRules(rules: readonly Rule[]): Rules {
  const byTool = new Map<string, Rule[]>();
  const byMappedTool = new Map<string, Rule[]>();
  const rest: Rule[] = [];
  for (const rule of rules) {
    const guard = rule.guards.find(({ of }) => of === 'call.tool') ?? rule.guards.find(({ of }) => of === 'call.mappedTool');
    if (guard === undefined) rest.push(rule);
    else {
      const table = guard.of === 'call.tool' ? byTool : byMappedTool;
      for (const name of guard.values) table.set(name, [...(table.get(name) ?? []), rule]);
    }
  }
  return { byTool, byMappedTool, rest, all: rules, isEmpty: rules.length === 0 };
}

/**
 * The rules that apply to a call, in their order. A rule whose evaluation fails comes back as a denial that says so: what cannot be judged
 * does not pass.
 * @param estimateUsd upper bound of the cost of the call.
 */
export function findRuleHits(
  rules: Rules,
  call: ToolCall,
  facts: Facts,
  classification: Classification,
  estimateUsd: number,
): readonly RuleHit[] {
  if (rules.isEmpty) return NONE;
  const candidates = candidatesFor(rules, call.tool, classification.mappedTool);
  if (candidates.length === 0) return NONE;
  const subject: Record<GuardSubject, string> = {
    'call.tool': call.tool,
    'call.mappedTool': classification.mappedTool,
    'call.risk': classification.risk,
    'agent.autonomy': facts.agent.autonomy,
    'agent.id': facts.agent.id ?? '',
    'task.type': facts.task?.type ?? '',
    'task.status': facts.task?.status ?? '',
  };
  let context: Record<string, unknown> | null = null;
  let width: number | null = null;
  let items = 0;
  compared = 0;
  const hits: RuleHit[] = [];
  for (const rule of candidates) {
    if (!rule.guards.every(({ of, values }) => values.has(subject[of]))) continue;
    context ??= contextOf(call, facts, classification, estimateUsd);
    let isTooLarge = false;
    if (rule.loops > 0) {
      width ??= Math.max(widthOf(call.arguments), ...listsOf(classification).map((list) => list.length));
      items += width ** rule.loops;
      isTooLarge = width > (MAX_WIDTH[rule.loops] ?? 0) || items > MAX_ITEMS;
    }
    const failure = isTooLarge ? 'the arguments are too large for it' : evaluate(rule, context);
    if (failure === true) hits.push(rule.hit);
    else if (failure !== false) hits.push(failedHit(rule, failure));
  }
  return hits;
}

/** The hits of an earlier judgement by the same rules. */
export function recallRuleHits(rules: Rules, applied: readonly AppliedRule[]): readonly RuleHit[] {
  return applied.flatMap(({ index, failure }) => {
    const rule = rules.all[index];
    if (rule === undefined) return [];
    return failure === null ? rule.hit : failedHit(rule, failure);
  });
}

function failedHit({ index, hit }: Rule, failure: string): RuleHit {
  const message = `A rule could not be evaluated: ${failure}.`;
  return { index, failure, effect: 'deny', risk: null, overridesRed: false, message, policyPath: hit.policyPath };
}

const NONE: readonly RuleHit[] = Object.freeze([]);

/** The rules that name this tool, and those that name none, in the order of the document. */
function candidatesFor({ byTool, byMappedTool, rest }: Rules, tool: string, mappedTool: string): readonly Rule[] {
  const named = byTool.get(tool);
  const mapped = byMappedTool.get(mappedTool);
  if (named === undefined && mapped === undefined) return rest;
  return [...(named ?? []), ...(mapped ?? []), ...rest].sort((a, b) => a.index - b.index);
}

/** @returns whether the rule applies, or why that cannot be said. */
function evaluate(rule: Rule, context: Record<string, unknown>): boolean | string {
  try {
    const value = rule.evaluate(context);
    return typeof value === 'boolean' ? value : 'it gave no true or false';
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? 'it failed').slice(0, 200) : 'it failed';
  }
}

function contextOf(call: ToolCall, facts: Facts, classification: Classification, estimateUsd: number): Record<string, unknown> {
  const { agent, task, spend } = facts;
  return {
    call: {
      tool: call.tool,
      mappedTool: classification.mappedTool,
      risk: classification.risk,
      arguments: call.arguments,
      cwd: call.cwd ?? '',
      workspace: call.workspace ?? '',
      paths: classification.paths.map((path) => path.path ?? path.given),
      hosts: classification.hosts.map((host) => host.host ?? host.given),
      programs: classification.commands.map((command) => command.argv?.[0] ?? ''),
    },
    agent: {
      id: agent.id ?? '',
      autonomy: agent.autonomy,
      depth: BigInt(agent.depth),
      children: BigInt(agent.children),
      currentTaskId: agent.currentTaskId ?? '',
    },
    task: { id: task?.id ?? '', type: task?.type ?? '', status: task?.status ?? '', assigneeIds: [...(task?.assigneeIds ?? [])] },
    run: { spendUsd: spend.run / 1_000_000, estimateUsd, labels: [...(facts.run?.labels ?? [])] },
  };
}

function listsOf({ paths, hosts, commands }: Classification): readonly (readonly unknown[])[] {
  return [paths, hosts, commands];
}

/** Items of the largest list or map anywhere in a value. */
function widthOf(value: Json): number {
  if (value === null || typeof value !== 'object') return 0;
  const items = Array.isArray(value) ? value : Object.values(value);
  let width = items.length;
  for (const item of items) width = Math.max(width, widthOf(item));
  return width;
}

// ---- expressions ----------------------------------------------------------------------------------------------------------------------

interface Expression {
  evaluate: (context: Record<string, unknown>) => unknown;
  guards: readonly Guard[];
  loops: number;
  /** The value of an expression that looks at nothing. */
  constant: boolean | null;
}

function compileExpression(text: string): Expression | { message: string } {
  if (text.length > MAX_TEXT) return { message: `is longer than ${MAX_TEXT} characters` };
  try {
    const parsed = environment.parse(text);
    const shape = describeShape(parsed.ast, 0);
    if ('message' in shape) return shape;
    const checked = parsed.check();
    if (!checked.valid) return { message: firstLine(checked.error?.message ?? 'is not valid') };
    if (String(checked.type) !== 'bool') return { message: `must be true or false, and is of type ${String(checked.type)}` };
    const constant = shape.isConstant ? parsed({}) === true : null;
    return { evaluate: (context) => parsed(context), guards: guardsOf(parsed.ast), loops: shape.loops, constant };
  } catch (error) {
    return { message: error instanceof Error ? firstLine(error.message) : 'cannot be read' };
  }
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? text;
}

/** What the parser gives: an operator with operands that are nodes, names or literal values. */
interface Node {
  op: string;
  args: unknown;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'op' in value && typeof value.op === 'string' && 'args' in value;
}

/** Refuses functions that are not on the list, and comprehensions nested too deeply. */
function describeShape(value: unknown, depth: number): { loops: number; isConstant: boolean } | { message: string } {
  if (Array.isArray(value)) {
    let loops = 0;
    let isConstant = true;
    for (const item of value) {
      const shape = describeShape(item, depth);
      if ('message' in shape) return shape;
      loops = Math.max(loops, shape.loops);
      isConstant &&= shape.isConstant;
    }
    return { loops, isConstant };
  }
  if (!isNode(value)) return { loops: 0, isConstant: true };
  if (value.op === 'id') return { loops: 0, isConstant: false };
  if (value.op !== 'call' && value.op !== 'rcall') return describeShape(value.args, depth);

  const [name] = Array.isArray(value.args) ? value.args : [value.args];
  if (typeof name !== 'string' || !FUNCTIONS.has(name)) return { message: `uses ${String(name)}(), which rules may not use` };
  const isLoop = COMPREHENSIONS.has(name);
  if (isLoop && depth >= MAX_LOOPS) return { message: `nests more than ${MAX_LOOPS} comprehensions` };
  const shape = describeShape(value.args, depth + (isLoop ? 1 : 0));
  return 'message' in shape ? shape : { loops: shape.loops + (isLoop ? 1 : 0), isConstant: shape.isConstant };
}

const GUARD_SUBJECTS = ['call.tool', 'call.mappedTool', 'call.risk', 'agent.autonomy', 'agent.id', 'task.type', 'task.status'] as const;
type GuardSubject = (typeof GUARD_SUBJECTS)[number];

/**
 * Conditions joined by && at the top that compare one of the subjects with literal text. In CEL a false operand makes && false even where
 * another one fails, so a rule whose guard is false need not be evaluated: 200 rules for other tools cost a microsecond or two.
 */
function guardsOf(node: unknown): Guard[] {
  if (!isNode(node) || !Array.isArray(node.args)) return [];
  const [left, right]: unknown[] = node.args;
  if (node.op === '&&') return [...guardsOf(left), ...guardsOf(right)];
  const subject = subjectOf(left);
  if (subject === null || !isNode(right)) return [];
  if (node.op === '==' && right.op === 'value' && typeof right.args === 'string') return [{ of: subject, values: new Set([right.args]) }];
  if (node.op !== 'in' || right.op !== 'list' || !Array.isArray(right.args)) return [];
  const texts = right.args.map((item: unknown) =>
    isNode(item) && item.op === 'value' && typeof item.args === 'string' ? item.args : null,
  );
  return texts.every((text) => text !== null) ? [{ of: subject, values: new Set(texts) }] : [];
}

function subjectOf(node: unknown): GuardSubject | null {
  if (!isNode(node) || node.op !== '.' || !Array.isArray(node.args)) return null;
  const [of, field]: unknown[] = node.args;
  if (!isNode(of) || of.op !== 'id' || typeof field !== 'string') return null;
  return GUARD_SUBJECTS.find((subject) => subject === `${String(of.args)}.${field}`) ?? null;
}

/**
 * glob(pattern, text): `*` and `?` stay within a segment, `**` crosses segments; everything else is literal. One way back for each kind of
 * star, so the time is at most the product of the lengths.
 */
function matchesPathGlob(pattern: string, text: string): boolean {
  if (text.length > MAX_GLOB_TEXT || pattern.length > MAX_GLOB_PATTERN)
    throw new RangeError(`glob() takes a pattern of ${MAX_GLOB_PATTERN} and a text of ${MAX_GLOB_TEXT} characters at most`);
  // Most patterns are decided by what stands before their first star and behind their last one.
  const first = pattern.search(/[*?]/);
  if (first < 0) return pattern === text;
  const last = Math.max(pattern.lastIndexOf('*'), pattern.lastIndexOf('?'));
  if (!text.startsWith(pattern.slice(0, first)) || !text.endsWith(pattern.slice(last + 1))) return false;
  // Reachable positions in the pattern after each character of the text; a set of at most pattern.length + 1.
  const tokens = pattern.match(/\*\*|[\s\S]/g) ?? [];
  let open = spread(new Set([0]), tokens);
  for (const character of text) {
    compared += open.size;
    if (compared > MAX_COMPARED) throw new RangeError('the rules compare more text than there is time for');
    const next = new Set<number>();
    for (const at of open) {
      const token = tokens[at];
      if (token === '**' || (token === '*' && character !== '/')) next.add(at);
      else if (token === character || (token === '?' && character !== '/')) next.add(at + 1);
    }
    if (next.size === 0) return false;
    open = spread(next, tokens);
  }
  return open.has(tokens.length);
}

/** What globs have compared for the call that is judged; begun anew with each, so that the same call is always judged the same. */
let compared = 0;

/** Stars may stand for nothing. */
function spread(open: Set<number>, tokens: readonly string[]): Set<number> {
  for (const at of open) if (tokens[at] === '*' || tokens[at] === '**') open.add(at + 1);
  return open;
}
