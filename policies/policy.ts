/**
 * The policy as a document: its schema, its text form with positions, and its compilation into the frozen, ready `Policy` that `decide`
 * reads. A document is taken whole or not at all: unknown keys, contradictions, unreachable entries and values beyond the floors below are
 * refused, each with its path and, where the YAML source is known, line and column.
 *
 * Floors that no document can lower: red is never allowed without a person; the tools that change the gate itself are red; the journal
 * and a stale snapshot always refuse; the bounds in LIMITS.
 */
import { isMap, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import type { Caps } from './budget.ts';
import { dayOf, microsFromUsd } from './budget.ts';
import { isBoundedJson, MAX_JSON_DEPTH } from './canonical.ts';
import { compileFileRules, type FileRules } from './filesystem.ts';
import type { Autonomy, Micros, TaskType } from './model.ts';
import { AUTONOMY_LEVELS, RISKS, TASK_TYPES } from './model.ts';
import { compileNetworkRules, type NetworkRules } from './network.ts';
import { compileRules, type Rules } from './rules.ts';
import { compileShellRules, type ShellRules } from './shell.ts';
import { compileToolTable, GATE_TOOLS, TOOL_CLASSES, type ToolTable, WRAPPERS } from './tools.ts';

/**
 * Bounds in code, with their units. A document outside them is refused, so that no policy can switch a protection off. The upper ones
 * protect; a shorter time is only stricter, and what is too short to work with shows at once.
 */
export const LIMITS = {
  /** OpenClaw aborts a whole run at about 370 s; an inline wait must end before. */
  holdInlineMs: { min: 0, max: 300_000 },
  approvalTtlMs: { min: 1, max: 30 * 86_400_000 },
  grantTtlMs: { min: 1, max: 86_400_000 },
  /** 0: nothing is approved for longer. */
  maxGrantMs: { min: 0, max: 30 * 86_400_000 },
  maxGrantUses: { min: 1, max: 1_000_000 },
  snapshotMaxAgeMs: { min: 100, max: 120_000 },
  reservationTtlMs: { min: 1, max: 86_400_000 },
  /** YAML text of a policy, in UTF-16 units. */
  textLength: 1_000_000,
  /** Entries of one list or map. */
  entries: 10_000,
  /** Custom rules. */
  rules: 1_000,
} as const;

/** One mistake in a document. `path` is dotted ("budgets.perRun.intern"); the position counts from 1 and needs the source. */
export interface PolicyError {
  path: string;
  message: string;
  line?: number;
  column?: number;
}

const risk = z.enum(RISKS);
const name = z.string().min(1).max(200);
const count = z.int().min(0).max(1_000_000_000);
/** USD with at most six decimals, checked by the exact conversion itself. */
const usd = z.number().superRefine((value, context) => {
  try {
    microsFromUsd(value);
  } catch {
    context.addIssue({ code: 'custom', message: 'must be an amount in USD, not negative, with at most six decimals' });
  }
});
const within = (bounds: { min: number; max: number }) => z.int().min(bounds.min).max(bounds.max);
const list = <T extends z.ZodType>(item: T) => z.array(item).max(LIMITS.entries);
const byName = <T extends z.ZodType>(value: T) =>
  z
    .record(name, value)
    .refine((entries) => Object.keys(entries).length <= LIMITS.entries, `must not have more than ${LIMITS.entries} entries`);

const autonomyRule = z.strictObject({
  green: z.enum(['allow', 'hold', 'deny']),
  yellow: z.enum(['allow', 'hold', 'deny']),
  red: z.enum(['hold', 'deny'], { error: 'must be "hold" or "deny": red calls are never allowed without a person' }),
  spawn: z.boolean(),
});
const byLevel = <T extends z.ZodType>(value: T) => z.strictObject({ intern: value, specialist: value, lead: value });

const fileLists = z.strictObject({ read: list(name), write: list(name), writeBlocked: list(name).optional() });
const networkEntry = z.union([
  name,
  z.strictObject({
    host: name,
    port: z.int().min(1).max(65_535).optional(),
    scheme: name.optional(),
    allowPrivate: z.boolean().optional(),
  }),
]);

/** A price of a model that an operator sets: USD per million tokens, except where the name says otherwise. */
const price = z.number().min(0).max(1_000_000);
const modelPrice = z.strictObject({
  input: price,
  output: price,
  cacheRead: price.optional(),
  cacheWrite: price.optional(),
  /** Cache writes that are kept for an hour. */
  cacheWriteLong: price.optional(),
  inputAudio: price.optional(),
  outputAudio: price.optional(),
  /** USD per search that the provider runs. */
  webSearch: price.optional(),
  fileSearch: price.optional(),
  /** USD per request, besides its tokens. */
  request: price.optional(),
  /** Tokens that one answer can have at most. */
  outputTokens: z.int().min(1).max(10_000_000).optional(),
  /** Tokens that one request can hold at most. */
  contextTokens: z.int().min(1).max(1_000_000_000).optional(),
});

/** The schema of a policy document (SPEC 4): strict, with the defaults of the sections that may be left out. */
export const policyDocumentSchema = z.strictObject({
  autonomyRules: byLevel(autonomyRule),
  riskMap: byName(risk),
  allowlists: z.strictObject({
    shell: list(name),
    network: list(networkEntry),
    filesystem: z.strictObject({
      ...fileLists.shape,
      /** Replace lists for tasks of a type; what is not named stays as above. */
      byTaskType: z.partialRecord(z.enum(TASK_TYPES), fileLists.partial()).optional(),
      /** Replace lists for one agent, by its id; this wins over the task type. */
      byAgent: byName(fileLists.partial()).optional(),
    }),
  }),
  budgets: z.strictObject({
    perAgentDaily: byLevel(usd),
    perTask: z.partialRecord(z.enum(TASK_TYPES), usd),
    perRun: byLevel(usd),
    fleetDaily: usd.nullable().optional(),
    timezone: name.default('UTC'),
    onTaskCap: z.enum(['needs_approval', 'blocked']).default('needs_approval'),
  }),
  spawnLimits: z.strictObject({ maxActive: count, maxPerParent: count, maxDepth: count, ttl: count }),
  loopDetection: z.strictObject({
    commentRateThreshold: count,
    commentWindowMs: count.default(1_800_000),
    reviewCycleLimit: count,
    retryLimit: count,
    pairExchangeLimit: count.default(8),
    pairWindowMs: count.default(600_000),
    retryWindowMs: count.default(600_000),
  }),
  rules: z
    .array(
      z.strictObject({
        name: name.optional(),
        when: z.string().min(1),
        effect: z.enum(['allow', 'hold', 'deny', 'risk']),
        risk: risk.optional(),
        message: z.string().min(1).max(500).optional(),
        overrides: z.literal('red').optional(),
      }),
    )
    .max(LIMITS.rules)
    .default([]),
  tools: byName(z.strictObject({ risk: risk.optional(), priceUsd: usd.optional(), class: z.enum(TOOL_CLASSES).optional() })).default({}),
  upstreams: byName(z.strictObject({ trusted: z.boolean().optional(), risk: risk.optional(), priceUsd: usd.optional() })).default({}),
  approvals: z
    .strictObject({
      ttlMs: within(LIMITS.approvalTtlMs).default(86_400_000),
      grantTtlMs: within(LIMITS.grantTtlMs).default(900_000),
      /** The longest that a call may be approved for longer, and how often it may be used. */
      maxGrantMs: within(LIMITS.maxGrantMs).default(28_800_000),
      maxGrantUses: within(LIMITS.maxGrantUses).default(100),
      /** Tools, by name or glob, that may be approved for longer at all. */
      grantableTools: list(name).default(['shell_exec', 'read_file', 'write_file', 'git_commit', 'network_call']),
      /** Tools that two different people have to approve. */
      twoPeople: list(name).default([]),
      /** A request that waits is said again after this long, as often as this; 0 = never. */
      remindAfterMs: z.int().min(0).max(86_400_000).default(900_000),
      remindTimes: z.int().min(0).max(20).default(3),
      /** After this long it is handed on to everybody of this role; 0 = never. */
      escalateAfterMs: z
        .int()
        .min(0)
        .max(7 * 86_400_000)
        .default(3_600_000),
      escalateTo: z.enum(['approver', 'operator', 'admin']).default('admin'),
    })
    .prefault({}),
  holds: z.strictObject({ inlineMs: within(LIMITS.holdInlineMs).default(240_000) }).prefault({}),
  limits: z
    .strictObject({
      snapshotMaxAgeMs: within(LIMITS.snapshotMaxAgeMs).default(30_000),
      reservationTtlMs: within(LIMITS.reservationTtlMs).default(600_000),
      maxConcurrentPerAgent: z.int().min(1).max(100_000).default(256),
      errorStreak: z.int().min(1).max(100_000).default(10),
    })
    .prefault({}),
  sequence: z
    .strictObject({
      untrusted: list(name).default([]),
      private: list(name).default([]),
      outside: list(name).default([]),
      code: list(name).default([]),
      runners: list(name).default([]),
    })
    .prefault({}),
  rates: z.strictObject({ callsPerMinute: byName(z.int().min(0).max(1_000_000)).default({}) }).prefault({}),
  model: z
    .strictObject({
      refuseAs: z.enum(['error', 'completion']).default('error'),
      onDisconnect: z.enum(['abort', 'drain']).default('abort'),
      unknownPrice: z.enum(['refuse', 'worst']).default('refuse'),
      /** Other paths of a provider than those that are metered: passed on, or refused. */
      otherPaths: z.enum(['relay', 'refuse']).default('refuse'),
      /** Output tokens that a request without a limit of its own is taken to ask for. */
      defaultOutputTokens: z.int().min(1).max(10_000_000).default(16_384),
      /** Prices by "model", "upstream/model" or a glob; they go before the price table. */
      prices: byName(modelPrice).default({}),
    })
    .prefault({}),
  failModes: z
    .strictObject({
      ledger: z.enum(['refuse', 'green_unpriced']).default('green_unpriced'),
      journal: z.literal('refuse', { error: 'must be "refuse": nothing runs unrecorded' }).default('refuse'),
      snapshot: z.literal('refuse', { error: 'must be "refuse": a stale picture judges nothing' }).default('refuse'),
      gate: z.enum(['intern', 'refuse']).default('intern'),
      bypass: z.enum(['alert', 'quarantine']).default('alert'),
      errorStreak: z.enum(['alert', 'pause']).default('alert'),
    })
    .prefault({}),
});

export type PolicyDocument = z.output<typeof policyDocumentSchema>;

/** A compiled policy: frozen, safe to share, ready to judge. Made only by {@link compilePolicy}. */
export interface Policy {
  /** The document it came from, with every default filled in; frozen. */
  readonly document: PolicyDocument;
  readonly shell: ShellRules;
  readonly network: NetworkRules;
  readonly tools: ToolTable;
  readonly rules: Rules;
  /** The file rules for a call: those of the agent, else of the task's type, else the common ones. */
  filesFor(agentId: string | null, taskType: TaskType | null): FileRules;
  /** What one call of this canonical tool costs, or null where the policy names no price. */
  priceOf(tool: string): Micros | null;
  /** The default caps of an agent of this autonomy working on a task of this type (null: no task). */
  capsFor(autonomy: Autonomy, taskType: TaskType | null): Caps;
  /** Calls per minute of one agent with this tool, and the entry that says so; null = unlimited. */
  rateOf(tool: string): { limit: number; policyPath: string } | null;
  readonly holdInlineMs: number;
  readonly approvalTtlMs: number;
  readonly grantTtlMs: number;
  readonly snapshotMaxAgeMs: number;
  readonly reservationTtlMs: number;
  readonly maxConcurrentPerAgent: number;
}

/**
 * Reads the YAML text of a policy. Only syntax is judged here; {@link compilePolicy} judges the content.
 * @returns plain data, or every syntax error with its position (duplicate keys and aliases are errors: a policy says each thing once).
 */
export function parsePolicyText(yaml: string): { document: unknown } | { errors: PolicyError[] } {
  if (yaml.length > LIMITS.textLength)
    return { errors: [{ path: '', message: `the policy is longer than ${LIMITS.textLength} characters` }] };
  const lines = new LineCounter();
  const parsed = parseDocument(yaml, { lineCounter: lines, uniqueKeys: true, merge: false, schema: 'core', prettyErrors: false });
  if (parsed.errors.length > 0)
    return {
      errors: parsed.errors.slice(0, 50).map((error) => {
        const at = lines.linePos(error.pos[0]);
        return { path: '', message: error.message, line: at.line, column: at.col };
      }),
    };
  try {
    const document: unknown = parsed.toJS({ maxAliasCount: 0 });
    return { document };
  } catch (error) {
    return { errors: [{ path: '', message: error instanceof Error ? error.message : 'the policy cannot be read' }] };
  }
}

/**
 * Checks a document and makes it ready to judge.
 * @param document plain data, as parsed from YAML or JSON.
 * @param source the YAML text it was parsed from, if any: then errors carry line and column.
 * @param gateRoots absolute folders of this installation (data, keys): secret, and able to change the gate, whatever the document says.
 * @returns the policy, or every mistake found (never both, never an exception).
 */
export function compilePolicy(
  document: unknown,
  source?: string,
  gateRoots: readonly string[] = [],
): { policy: Policy } | { errors: PolicyError[] } {
  const locate = locator(source);
  if (!isBoundedJson(document)) return { errors: [locate([], `must be plain data nested at most ${MAX_JSON_DEPTH} levels deep`)] };
  const parsed = policyDocumentSchema.safeParse(document, { reportInput: false });
  if (!parsed.success) return { errors: parsed.error.issues.slice(0, 100).map((issue) => locate(issuePath(issue), issueMessage(issue))) };

  const content = freezeDeep(parsed.data);
  const problems: Problem[] = [...contradictionsIn(content)];

  const { allowlists, budgets } = content;
  const shell = compileShellRules(allowlists.shell);
  if ('errors' in shell) for (const error of shell.errors) problems.push([['allowlists', 'shell', error.index], error.message]);
  const network = compileNetworkRules(allowlists.network.map(withoutUndefined));
  if ('errors' in network) for (const error of network.errors) problems.push([['allowlists', 'network', error.index], error.message]);
  const rules = compileRules(content.rules);
  if ('errors' in rules) for (const error of rules.errors) problems.push([['rules', error.index, error.part], error.message]);
  const files = compileFiles(allowlists.filesystem, gateRoots, problems);

  if (problems.length > 0 || 'errors' in shell || 'errors' in network || 'errors' in rules || files === null)
    return { errors: problems.slice(0, 100).map(([path, message]) => locate(path, message)) };

  const caps = capTable(budgets);
  const tools = compileToolTable(content, microsFromUsd);
  const policy: Policy = {
    document: content,
    shell: shell.rules,
    network: network.rules,
    tools,
    rules: rules.rules,
    filesFor: (agentId, taskType) =>
      (agentId !== null ? files.byAgent.get(agentId) : undefined) ??
      (taskType !== null ? files.byTaskType.get(taskType) : undefined) ??
      files.common,
    priceOf: (tool) => tools.priceOf(tool),
    capsFor: (autonomy, taskType) => caps[autonomy][taskType ?? 'none'],
    rateOf: (tool) => tools.rateOf(tool),
    holdInlineMs: content.holds.inlineMs,
    approvalTtlMs: content.approvals.ttlMs,
    grantTtlMs: content.approvals.grantTtlMs,
    snapshotMaxAgeMs: content.limits.snapshotMaxAgeMs,
    reservationTtlMs: content.limits.reservationTtlMs,
    maxConcurrentPerAgent: content.limits.maxConcurrentPerAgent,
  };
  return { policy: Object.freeze(policy) };
}

/**
 * A JSON Merge Patch (RFC 7396) over a document: objects merge, null removes, everything else replaces.
 * Neither argument is changed. Bounded depth: what is nested deeper than a policy can be is taken as it is and refused by the compiler.
 */
export function applyPatch(document: unknown, patch: unknown): unknown {
  return merge(document, patch, 0);
}

function merge(target: unknown, patch: unknown, depth: number): unknown {
  if (!isObject(patch) || depth > MAX_JSON_DEPTH) return patch;
  // A Map, then fromEntries: a key called __proto__ becomes an own property and is refused as unknown, instead of changing a prototype.
  const merged = new Map<string, unknown>(isObject(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) merged.delete(key);
    else merged.set(key, merge(merged.get(key), value, depth + 1));
  }
  return Object.fromEntries(merged);
}

/** A mistake before its position is known. */
type Problem = readonly [path: readonly PropertyKey[], message: string];

/** What the schema cannot see: entries that contradict each other, a floor, or the world. */
function* contradictionsIn(document: PolicyDocument): Generator<Problem> {
  const { riskMap, tools, budgets } = document;

  try {
    dayOf(0, budgets.timezone);
  } catch {
    yield [['budgets', 'timezone'], `"${budgets.timezone}" is not an IANA time zone`];
  }

  for (const [tool, level] of Object.entries(riskMap)) {
    yield* toolNameProblems(['riskMap', tool], tool);
    if (GATE_TOOLS.has(tool) && level !== 'red') yield [['riskMap', tool], `${tool} can change the gate itself and is always red`];
    if (/^[*]+$/.test(tool) && level !== 'red')
      yield [['riskMap', tool], 'a rule for every tool cannot be below red: unknown tools are red'];
    const entry = Object.hasOwn(tools, tool) ? tools[tool] : undefined;
    if (entry?.risk !== undefined && entry.risk !== level)
      yield [['riskMap', tool], `contradicts tools.${tool}.risk, which says ${entry.risk}`];
  }
  for (const [tool, entry] of Object.entries(tools)) {
    yield* toolNameProblems(['tools', tool], tool);
    if (GATE_TOOLS.has(tool) && ((entry.risk !== undefined && entry.risk !== 'red') || entry.class !== undefined))
      yield [['tools', tool], `${tool} can change the gate itself: it is always red and has no class`];
    if (/^[*]+$/.test(tool) && (entry.class !== undefined || (entry.risk !== undefined && entry.risk !== 'red')))
      yield [['tools', tool], 'a rule for every tool can only set a price or red'];
  }
  const { untrusted, private: confidential, outside } = document.sequence;
  for (const [key, tools] of Object.entries({ untrusted, private: confidential, outside }))
    for (const [i, tool] of tools.entries()) yield* toolNameProblems(['sequence', key, i], tool);
  const { grantableTools, twoPeople } = document.approvals;
  for (const [key, tools] of Object.entries({ grantableTools, twoPeople }))
    for (const [i, tool] of tools.entries()) yield* toolNameProblems(['approvals', key, i], tool);
  for (const tool of Object.keys(document.rates.callsPerMinute)) yield* toolNameProblems(['rates', 'callsPerMinute', tool], tool);
  for (const upstream of Object.keys(document.upstreams))
    if (!/^[a-z0-9-]+$/.test(upstream)) yield [['upstreams', upstream], 'an upstream name has only a-z, 0-9 and "-"'];
}

function* toolNameProblems(path: readonly PropertyKey[], tool: string): Generator<Problem> {
  if (!/^[A-Za-z0-9_.:/*-]+$/.test(tool)) yield [path, 'a tool name or glob has only letters, digits and _ . : / - *'];
  if (WRAPPERS.has(tool)) yield [path, `${tool} is a wrapper: the call inside it is judged, so this entry can never apply`];
}

interface Files {
  common: FileRules;
  byTaskType: ReadonlyMap<TaskType, FileRules>;
  byAgent: ReadonlyMap<string, FileRules>;
}

type FileLists = PolicyDocument['allowlists']['filesystem'];

function compileFiles(filesystem: FileLists, gateRoots: readonly string[], problems: Problem[]): Files | null {
  const base = { read: filesystem.read, write: filesystem.write, writeBlocked: filesystem.writeBlocked ?? ['config/**'] };
  const compile = (overlay: Partial<typeof base>, path: readonly PropertyKey[]): FileRules | null => {
    const lists = { ...base, ...overlay };
    const compiled = compileFileRules({ ...lists, gateRoots });
    if ('rules' in compiled) return compiled.rules;
    for (const error of compiled.errors) problems.push([[...path, ...error.index], error.message]);
    return null;
  };
  const root = ['allowlists', 'filesystem'] as const;
  const common = compile({}, root);
  if (common === null) return null;

  const byTaskType = new Map<TaskType, FileRules>();
  for (const type of TASK_TYPES) {
    const overlay = filesystem.byTaskType?.[type];
    if (overlay === undefined) continue;
    const rules = compile(given(overlay), [...root, 'byTaskType', type]);
    if (rules !== null) byTaskType.set(type, rules);
  }
  const byAgent = new Map<string, FileRules>();
  for (const [agent, overlay] of Object.entries(filesystem.byAgent ?? {})) {
    const rules = compile(given(overlay), [...root, 'byAgent', agent]);
    if (rules !== null) byAgent.set(agent, rules);
  }
  return { common, byTaskType, byAgent };
}

/** Only the lists that an overlay names: an absent one must not erase the common one. */
function given(overlay: { read?: string[] | undefined; write?: string[] | undefined; writeBlocked?: string[] | undefined }) {
  return {
    ...(overlay.read === undefined ? {} : { read: overlay.read }),
    ...(overlay.write === undefined ? {} : { write: overlay.write }),
    ...(overlay.writeBlocked === undefined ? {} : { writeBlocked: overlay.writeBlocked }),
  };
}

type NetworkEntryGiven = PolicyDocument['allowlists']['network'][number];

function withoutUndefined(entry: NetworkEntryGiven): string | { host: string; port?: number; scheme?: string; allowPrivate?: boolean } {
  if (typeof entry === 'string') return entry;
  const { host, port, scheme, allowPrivate } = entry;
  return {
    host,
    ...(port === undefined ? {} : { port }),
    ...(scheme === undefined ? {} : { scheme }),
    ...(allowPrivate === undefined ? {} : { allowPrivate }),
  };
}

type CapTable = Record<Autonomy, Record<TaskType | 'none', Caps>>;

function capTable(budgets: PolicyDocument['budgets']): CapTable {
  const fleetDay = budgets.fleetDaily === undefined || budgets.fleetDaily === null ? null : microsFromUsd(budgets.fleetDaily);
  const row = (level: Autonomy) => {
    const caps = (task: Micros | null): Caps =>
      Object.freeze({ run: microsFromUsd(budgets.perRun[level]), task, agentDay: microsFromUsd(budgets.perAgentDaily[level]), fleetDay });
    const entries = TASK_TYPES.map((type) => {
      const cap = budgets.perTask[type];
      return [type, caps(cap === undefined ? null : microsFromUsd(cap))] as const;
    });
    return Object.fromEntries([...entries, ['none', caps(null)]]) as Record<TaskType | 'none', Caps>;
  };
  return Object.fromEntries(AUTONOMY_LEVELS.map((level) => [level, row(level)])) as CapTable;
}

/** Turns a path into an error with its position: that of the entry, else of its nearest ancestor that is in the source. */
function locator(source: string | undefined): (path: readonly PropertyKey[], message: string) => PolicyError {
  const dotted = (path: readonly PropertyKey[]) => path.map(String).join('.');
  if (source === undefined || source.length > LIMITS.textLength) return (path, message) => ({ path: dotted(path), message });
  const lines = new LineCounter();
  const parsed = parseDocument(source, { lineCounter: lines, uniqueKeys: true, merge: false, schema: 'core', prettyErrors: false });
  return (path, message) => {
    const offset = offsetOf(parsed.contents, path);
    const at = lines.linePos(offset);
    return { path: dotted(path), message, line: at.line, column: at.col };
  };
}

function offsetOf(root: unknown, path: readonly PropertyKey[]): number {
  let node: unknown = root;
  let offset = rangeStart(root) ?? 0;
  for (const key of path) {
    let next: unknown;
    if (isMap(node)) {
      const pair = node.items.find((item) => keyText(item.key) === String(key));
      if (pair === undefined) break;
      offset = rangeStart(pair.key) ?? offset;
      next = pair.value;
    } else if (isObject(node) && Array.isArray(node.items) && typeof key === 'number') {
      next = node.items[key];
      offset = rangeStart(next) ?? offset;
    }
    if (next === undefined || next === null) break;
    node = next;
  }
  return offset;
}

function keyText(key: unknown): string | null {
  if (typeof key === 'string') return key;
  return isObject(key) && (typeof key.value === 'string' || typeof key.value === 'number') ? String(key.value) : null;
}

function rangeStart(node: unknown): number | null {
  return isObject(node) && Array.isArray(node.range) && typeof node.range[0] === 'number' ? node.range[0] : null;
}

type Issue = z.core.$ZodIssue;

/** An unknown key is reported at the key itself rather than at its parent. */
function issuePath(issue: Issue): readonly PropertyKey[] {
  return issue.code === 'unrecognized_keys' ? [...issue.path, ...issue.keys.slice(0, 1)] : issue.path;
}

function issueMessage(issue: Issue): string {
  return issue.code === 'unrecognized_keys' ? `unknown key${issue.keys.length > 1 ? 's' : ''} ${issue.keys.join(', ')}` : issue.message;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function freezeDeep<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const item of Object.values(value)) freezeDeep(item);
    Object.freeze(value);
  }
  return value;
}
