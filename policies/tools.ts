/**
 * Names of tools: which name of the plan stands for a tool (and with it the way its arguments are read), what risk, price and rate the
 * policy gives it, and which names are no calls at all. A name is matched exactly or by a glob with "*"; nothing about a tool is ever
 * guessed from how its name sounds, and an MCP server cannot name its way to a mapping.
 */
import { type Facts, type McpAnnotations, type Micros, RISKS, type Risk } from './model.ts';
import type { PolicyDocument } from './policy.ts';

/** OpenClaw's catalogue wrappers: each fires a hook of its own, and the call inside fires another one, which is the call that is judged. */
export const WRAPPERS: ReadonlySet<string> = new Set(['tool_call', 'tool_search', 'tool_describe', 'tool_search_code']);

/** Tools that can change the gate itself: red for everybody (SPEC 4.1), whatever a policy says. */
export const GATE_TOOLS: ReadonlySet<string> = new Set(['gateway', 'plugins', 'openclaw']);

/** The names an operator can map a tool to: those of the plan, and those with an argument reading of their own. */
export const TOOL_CLASSES = [
  'read_db',
  'post_comment',
  'create_doc',
  'read_file',
  'web_search',
  'shell_exec',
  'git_commit',
  'git_push',
  'network_call',
  'write_file',
  'install_deps',
  'send_email',
  'post_social',
  'deploy_prod',
  'access_secrets',
  'destructive_shell',
  'sessions_spawn',
] as const;
export type ToolClass = (typeof TOOL_CLASSES)[number];

/** OpenClaw's names → the plan's (SPEC 4.1). Only bare names: "x__exec" is a tool of an MCP server and maps to nothing by itself. */
export const OPENCLAW_NAMES: ReadonlyMap<string, ToolClass> = new Map([
  ['exec', 'shell_exec'],
  ['process', 'shell_exec'],
  ['read', 'read_file'],
  ['ls', 'read_file'],
  ['write', 'write_file'],
  ['edit', 'write_file'],
  ['apply_patch', 'write_file'],
  ['web_fetch', 'network_call'],
  ['browser', 'network_call'],
  ['message', 'post_social'],
  ['web_search', 'web_search'],
]);

/** What the maps say about a tool, before its arguments. */
export interface ToolReading {
  /** The plan's name, or the canonical name where nothing maps it. */
  mapped: string;
  risk: Risk;
  /** False when no map, default or trusted hint knows the tool: it is red and held. */
  known: boolean;
  /** The entry that gave the risk. */
  policyPath: string;
  /** A hint of the server that raised the risk, for the message; null if none did. */
  raisedBy: string | null;
}

/** The tool entries of a policy, compiled. */
export interface ToolTable {
  /** @param route the registered route of an HTTP tool. */
  read(tool: string, mcp: Facts['mcp'], route?: Facts['route']): ToolReading;
  priceOf(tool: string): Micros | null;
  rateOf(tool: string): { limit: number; policyPath: string } | null;
}

/**
 * Whether a reported call is only the wrapping of another one (SPEC 3, Attribution): OpenClaw's catalogue tools, and the outer `exec` of
 * code mode, whose nested calls are reported one by one. Wrappers are neither judged, priced nor approved; what they wrap is.
 */
export function isWrapper(tool: string, toolKind: string | null): boolean {
  return toolKind === 'code_mode_exec' || WRAPPERS.has(tool);
}

/** Whether a tool belongs to an MCP server, by its canonical name `{upstream}__{tool}`. */
export function isMcpName(tool: string): boolean {
  return tool.includes('__');
}

/**
 * Whether a pattern of a policy or of an agent's `toolPermissions` covers a tool name. "*" stands for any text. A pattern without "__"
 * does not cover MCP tools ("memory_*" is OpenClaw's memory, never a server called "memory"); "*" alone covers everything.
 */
export function coversTool(pattern: string, tool: string): boolean {
  if (pattern === tool || pattern === '*') return true;
  if (isMcpName(tool) && !isMcpName(pattern)) return false;
  return matchesStars(pattern, tool);
}

/** Whether a text fits a pattern in which "*" stands for any text. Linear: each literal piece is searched once, from left to right. */
export function matchesStars(pattern: string, text: string): boolean {
  if (!pattern.includes('*')) return pattern === text;
  const pieces = pattern.split('*');
  const first = pieces[0] ?? '';
  const last = pieces.at(-1) ?? '';
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const piece of pieces.slice(1, -1)) {
    const at = text.indexOf(piece, from);
    if (at < 0 || at + piece.length > end) return false;
    from = at + piece.length;
  }
  return true;
}

/** Entries by exact name and by glob; among globs the one with the most literal characters speaks, then the first in the alphabet. */
class NameTable<T> {
  readonly #exact = new Map<string, T>();
  readonly #globs: { pattern: string; value: T }[] = [];

  constructor(entries: Iterable<readonly [string, T]>) {
    for (const [name, value] of entries) {
      if (name.includes('*')) this.#globs.push({ pattern: name, value });
      else this.#exact.set(name, value);
    }
    const literal = (pattern: string) => pattern.replaceAll('*', '').length;
    this.#globs.sort((a, b) => literal(b.pattern) - literal(a.pattern) || (a.pattern < b.pattern ? -1 : 1));
  }

  exact(name: string): T | undefined {
    return this.#exact.get(name);
  }

  glob(name: string): { pattern: string; value: T } | undefined {
    return this.#globs.find(({ pattern }) => coversTool(pattern, name));
  }

  /** Exact name first, then glob. */
  find(name: string): { pattern: string; value: T } | undefined {
    const value = this.#exact.get(name);
    return value === undefined ? this.glob(name) : { pattern: name, value };
  }
}

/** Compiles `riskMap`, `tools`, `upstreams` and `rates` of a document whose schema has been checked. */
export function compileToolTable(document: PolicyDocument, toMicros: (usd: number) => Micros): ToolTable {
  const risks = new NameTable(Object.entries(document.riskMap));
  const entries = new NameTable(Object.entries(document.tools));
  const upstreams = new Map(Object.entries(document.upstreams));
  const rates = new NameTable(Object.entries(document.rates.callsPerMinute));

  const upstreamOf = (tool: string) => upstreams.get(tool.slice(0, tool.indexOf('__')));

  /** What the document says about a name: its own entry, the risk map, exact names before globs. */
  const mappedRisk = (tool: string, mapped: string): { risk: Risk; policyPath: string } | null => {
    const own = entries.find(tool);
    if (own?.value.risk !== undefined) return { risk: own.value.risk, policyPath: `tools.${own.pattern}.risk` };
    for (const name of tool === mapped ? [tool] : [tool, mapped]) {
      const risk = risks.exact(name);
      if (risk !== undefined) return { risk, policyPath: `riskMap.${name}` };
    }
    for (const name of tool === mapped ? [tool] : [tool, mapped]) {
      const hit = risks.glob(name);
      if (hit !== undefined) return { risk: hit.value, policyPath: `riskMap.${hit.pattern}` };
    }
    return null;
  };

  /**
   * A request to an HTTP tool. Its route is a mapping that an administrator wrote, so one that names a tool of the plan is that tool.
   * Where policy and registry both say a risk, the stricter counts.
   */
  const readRoute = (tool: string, route: NonNullable<Facts['route']>): ToolReading => {
    const name = tool.slice(tool.indexOf('__') + 2);
    const mapped = entries.find(tool)?.value.class ?? (isToolClass(name) ? name : tool);
    const byDefault = upstreamOf(tool)?.risk;
    const said =
      mappedRisk(tool, mapped) ?? (byDefault === undefined ? null : { risk: byDefault, policyPath: `upstreams.${route.upstream}.risk` });
    if (route.risk !== null && (said === null || RISKS.indexOf(route.risk) > RISKS.indexOf(said.risk)))
      return { mapped, risk: route.risk, known: true, policyPath: 'builtin.upstreamRoutes', raisedBy: null };
    if (said !== null) return { mapped, ...said, known: true, raisedBy: null };
    return { mapped, risk: 'red', known: false, policyPath: 'builtin.unknownTool', raisedBy: null };
  };

  return {
    read(tool, mcp, route) {
      if (route !== undefined) return readRoute(tool, route);
      if (GATE_TOOLS.has(tool)) return { mapped: tool, risk: 'red', known: true, policyPath: 'builtin.gateTools', raisedBy: null };

      const mapped = entries.find(tool)?.value.class ?? OPENCLAW_NAMES.get(tool) ?? tool;
      // The stricter of registry and policy wins: both must trust the upstream, if the policy says anything.
      const upstream = isMcpName(tool) ? upstreamOf(tool) : mcp === null ? undefined : upstreams.get(mcp.server);
      const trusted = mcp?.trusted === true && upstream?.trusted !== false;

      const said =
        mappedRisk(tool, mapped) ??
        (isMcpName(tool) && upstream?.risk !== undefined
          ? { risk: upstream.risk, policyPath: `upstreams.${tool.slice(0, tool.indexOf('__'))}.risk` }
          : null) ??
        builtinRisk(tool, trusted);
      if (said !== null) {
        const raised = raise(said.risk, mcp?.annotations);
        return { mapped, risk: raised.risk, known: true, policyPath: said.policyPath, raisedBy: raised.by };
      }
      // A hint lowers the risk only here: nothing maps the tool, and an operator trusts its server.
      if (trusted && mcp?.annotations.readOnlyHint === true) {
        const raised = raise('green', mcp.annotations);
        return { mapped, risk: raised.risk, known: true, policyPath: 'builtin.trustedReadOnlyHint', raisedBy: raised.by };
      }
      return { mapped, risk: 'red', known: false, policyPath: 'builtin.unknownTool', raisedBy: null };
    },
    priceOf(tool) {
      const mapped = OPENCLAW_NAMES.get(tool);
      const own = entries.find(tool)?.value;
      const usd =
        own?.priceUsd ??
        (own?.class === undefined ? undefined : entries.exact(own.class)?.priceUsd) ??
        (mapped === undefined ? undefined : entries.find(mapped)?.value.priceUsd) ??
        (isMcpName(tool) ? upstreamOf(tool)?.priceUsd : undefined);
      return usd === undefined ? null : toMicros(usd);
    },
    rateOf(tool) {
      const mapped = OPENCLAW_NAMES.get(tool);
      const hit = rates.find(tool) ?? (mapped === undefined ? undefined : rates.find(mapped));
      return hit === undefined ? null : { limit: hit.value, policyPath: `rates.callsPerMinute.${hit.pattern}` };
    },
  };
}

function isToolClass(name: string): name is ToolClass {
  return (TOOL_CLASSES as readonly string[]).includes(name);
}

/** Tools that exist without a policy entry: MCP's other requests, and model calls (SPEC 3). */
function builtinRisk(tool: string, trusted: boolean): { risk: Risk; policyPath: string } | null {
  switch (tool) {
    case 'mcp_resource':
    case 'mcp_prompt':
    case 'mcp_sampling':
    case 'mcp_elicitation':
      return { risk: trusted ? 'green' : 'yellow', policyPath: `builtin.${tool}` };
    case 'model_call':
      return { risk: 'green', policyPath: 'builtin.model_call' };
    default:
      return null;
  }
}

/** Hints that raise count from anyone: destructive is red, not read-only or reaching outside is at least yellow. */
function raise(risk: Risk, hints: McpAnnotations | undefined): { risk: Risk; by: string | null } {
  if (hints === undefined) return { risk, by: null };
  if (hints.destructiveHint === true && risk !== 'red') return { risk: 'red', by: 'destructiveHint' };
  if (risk !== 'green') return { risk, by: null };
  if (hints.readOnlyHint === false) return { risk: 'yellow', by: 'readOnlyHint: false' };
  if (hints.openWorldHint === true && hints.readOnlyHint !== true) return { risk: 'yellow', by: 'openWorldHint' };
  return { risk, by: null };
}
