/**
 * Canonical names (SPEC 3, Attribution): a tool of an MCP server is `{upstream}__{tool}`, by whatever name OpenClaw knows it. `connect`
 * makes one entry per agent and server and records under which name; nothing else renames a tool.
 */
import type { AgentPicture, UpstreamPicture } from '../control/contract.ts';
import type { Picture } from './snapshot.ts';

export interface NamedTool {
  tool: string;
  /** The registered MCP server that it belongs to; null = none. */
  upstream: string | null;
  /** Hash of its definition as the server gives it now; null where none is known. */
  definition: string | null;
}

/** The canonical name of a tool that an agent's gate was asked about. */
export function canonicalTool(tool: string, agent: AgentPicture, picture: Picture): NamedTool {
  const cut = tool.indexOf('__');
  if (cut <= 0) return { tool, upstream: null, definition: null };
  const entry = tool.slice(0, cut);
  const alias = Object.hasOwn(agent.mcpAliases, entry) ? agent.mcpAliases[entry] : undefined;
  const upstream = picture.upstream(alias ?? entry);
  if (upstream?.kind !== 'mcp') return { tool, upstream: null, definition: null };
  return toolOf(upstream, tool.slice(cut + 2));
}

/** A tool by the name that its server gives it. */
export function toolOf(upstream: UpstreamPicture, name: string): NamedTool {
  const known = Object.hasOwn(upstream.tools, name) ? upstream.tools[name] : undefined;
  return { tool: `${upstream.name}__${name}`, upstream: upstream.name, definition: known?.seenHash ?? null };
}
