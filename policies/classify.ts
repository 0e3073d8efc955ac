/**
 * Reads one call: which tool of the plan it is, what its arguments would do (commands, paths, hosts, credentials), and what that finds.
 * It gathers material and raises the risk; verdicts across all checks are `decide`'s.
 */
import { gatherArguments } from './arguments.ts';
import { isBoundedJson, MAX_JSON_PARTS } from './canonical.ts';
import { Gathered, MAX_OPERANDS } from './gathered.ts';
import type { Classification, Facts, Finding, JsonObject, ToolCall } from './model.ts';
import type { Policy } from './policy.ts';
import { redactArguments } from './secrets.ts';
import { isWrapper, type ToolReading } from './tools.ts';

/**
 * Reads a call. Never throws, whatever the arguments are; bounded time in their size.
 * A finding with the code MALFORMED means that the call cannot be read at all; then it is the only one.
 */
export function classify(call: ToolCall, facts: Facts, policy: Policy): Classification {
  return read(call, facts, policy).classification;
}

/** What `decide` needs beside the classification. */
export interface CallReading {
  tool: ToolReading;
  classification: Classification;
}

/** {@link classify}, with what the maps said about the tool. */
export function read(call: ToolCall, facts: Facts, policy: Policy): CallReading {
  const flaw = describeFlaw(call);
  if (flaw !== null) return { tool: UNREADABLE, classification: malformed(UNREADABLE, flaw) };
  if (isBareWrapper(call))
    return { tool: WRAPPER, classification: new Gathered(call, facts, policy, { ...WRAPPER, mapped: call.tool }).finish() };
  const tool = policy.tools.read(call.tool, facts.mcp, facts.route);
  const gathered = new Gathered(call, facts, policy, tool);
  const shapeFlaw = gatherCall(gathered);
  return { tool, classification: shapeFlaw === null ? gathered.finish() : malformed(tool, shapeFlaw) };
}

/** A wrapper does nothing by itself; what it wraps is a call of its own. */
const WRAPPER: ToolReading = Object.freeze({ mapped: '', risk: 'green', known: true, policyPath: 'builtin.wrapper', raisedBy: null });
const UNREADABLE: ToolReading = Object.freeze({ mapped: '', risk: 'red', known: true, policyPath: 'builtin.malformed', raisedBy: null });

function malformed(tool: ToolReading, message: string): Classification {
  const finding: Finding = { verdict: 'deny', code: 'MALFORMED', risk: 'red', message, policyPath: 'builtin.malformed' };
  return { mappedTool: tool.mapped, baseRisk: tool.risk, risk: 'red', findings: [finding], commands: [], paths: [], hosts: [] };
}

/**
 * The call that is judged: OpenClaw's `tool_call` is judged as the call it wraps, so that nobody gets past the maps by wrapping. The
 * other wrappers carry no call.
 */
export function unwrapCall(call: ToolCall): ToolCall {
  if (call.tool !== 'tool_call' || !isObject(call.arguments)) return call;
  const { id, args } = call.arguments;
  if (typeof id !== 'string' || id === 'tool_call' || !isObject(args)) return call;
  return { ...call, tool: id, arguments: args, toolKind: null };
}

/** Whether a call is nothing but a wrapper: it names one, and carries nothing that would run by itself. */
export function isBareWrapper(call: ToolCall): boolean {
  if (call.tool === 'tool_call') return false;
  if (call.toolKind === 'code_mode_exec') return typeof call.arguments.code === 'string' && call.arguments.command === undefined;
  return isWrapper(call.tool, call.toolKind);
}

/** @returns what is malformed about the arguments, or null. */
function gatherCall(gathered: Gathered): string | null {
  // A key or an address in a transcript must not silence an agent for good (SPEC 3): model calls are metered, not read.
  if (gathered.mapped === 'model_call') return null;

  const flaw = gatherArguments(gathered);
  if (flaw !== null) return flaw;
  if (gathered.isFull) return `The call names more than ${MAX_OPERANDS} paths or addresses.`;
  for (const hop of gathered.facts.network.redirects) gathered.url(resolveHop(hop, gathered));
  gatherSecrets(gathered);
  return null;
}

const MAX_TOOL_NAME = 200;

/** What is wrong with a call whatever its tool is, or null. */
function describeFlaw(call: ToolCall): string | null {
  if (typeof call.tool !== 'string' || call.tool === '') return 'The call names no tool.';
  if (call.tool.length > MAX_TOOL_NAME) return `The tool's name is longer than ${MAX_TOOL_NAME} characters.`;
  // Printable ASCII without spaces: everything else is a name that a person cannot read for what it is.
  if (!/^[\x21-\x7e]+$/.test(call.tool)) return "The tool's name contains spaces, control or non-ASCII characters.";
  if (!isObject(call.arguments)) return 'The arguments are not an object.';
  if (!isBoundedJson(call.arguments, MAX_JSON_PARTS))
    return `The arguments are not plain data, nested too deeply, or have more than ${MAX_JSON_PARTS} parts.`;
  if (call.cwd !== null && !isPlainPlace(call.cwd)) return 'The working directory is not a plain path.';
  if (call.workspace !== null && !(isPlainPlace(call.workspace) && call.workspace.startsWith('/')))
    return 'The workspace is not an absolute path.';
  // Every relative path is read from here, so a long one would be read many times.
  for (const place of [call.arguments.workdir, call.arguments.cwd])
    if (typeof place === 'string' && place.length > MAX_PLACE) return 'The working directory is longer than any path can be.';
  return null;
}

function gatherSecrets(gathered: Gathered): void {
  const { found } = redactArguments(gathered.arguments);
  if (found.length === 0) return;
  const kinds = [...new Set(found.map((secret) => secret.kind))].slice(0, 5).join(', ');
  gathered.find('hold', 'SECRETS', 'red', `The arguments carry what looks like a credential (${kinds}).`, 'builtin.secrets');
}

/** A redirect without a scheme stays on the host it came from; it is judged as the address it leads to. */
function resolveHop(hop: string, gathered: Gathered): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(hop)) return hop;
  const from = gathered.hosts.at(-1)?.given;
  if (from === undefined) return hop;
  try {
    return new URL(hop, from).href;
  } catch {
    return hop;
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** PATH_MAX on Linux, in UTF-16 units. */
const MAX_PLACE = 4_096;

function isPlainPlace(value: unknown): value is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return typeof value === 'string' && value.length <= MAX_PLACE && !/[\0-\x1f\x7f]/.test(value);
}
