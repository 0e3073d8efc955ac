/**
 * What an agent is shown of a server's tools (SPEC 3, 4.8): those that it may ever call, in the form that an operator accepted. A
 * description that nobody has looked at is itself a way to reach a model, so a changed tool is shown as it was and a new one not at all.
 */
import { hash } from 'node:crypto';
import type { AgentPicture, ToolListing, UpstreamPicture } from '../control/contract.ts';
import { coversTool, decide, definitionOf, definitionText, type Facts, type JsonObject, sourceOf } from '../policies/index.ts';
import { isObject } from './mcp-message.ts';
import type { Picture } from './snapshot.ts';

/**
 * What control must hear of a listing, or null where it says nothing that is not known.
 * @param cursor of the request; undefined = its first page.
 */
export function newsOf(result: JsonObject, cursor: unknown, upstream: UpstreamPicture): ToolListing | null {
  const { tools, nextCursor } = result;
  if (!Array.isArray(tools)) return null;
  const listing: ToolListing = {
    tools: tools.filter(isObject),
    first: cursor === undefined,
    last: nextCursor === undefined || nextCursor === null,
  };
  if (!upstream.pinned) return listing;
  const source = sourceOf(upstream);
  const names = new Set<unknown>();
  for (const tool of listing.tools) {
    const definition = definitionOf(tool, source);
    if (definition === null) continue;
    names.add(definition.name);
    const known = Object.hasOwn(upstream.tools, String(definition.name)) ? upstream.tools[String(definition.name)] : undefined;
    if (known?.seenHash !== hash('sha256', definitionText(definition))) return listing;
  }
  const isWhole = listing.first && listing.last;
  return isWhole && Object.keys(upstream.tools).some((name) => !names.has(name)) ? listing : null;
}

/** @returns the result as this agent may see it: the very same object where nothing has to be taken out. */
export function shownTools(result: JsonObject, agent: AgentPicture, upstream: UpstreamPicture, picture: Picture): JsonObject {
  if (!Array.isArray(result.tools)) return result;
  let isChanged = false;
  const tools: JsonObject[] = [];
  for (const tool of result.tools) {
    const shown = isObject(tool) ? shownTool(tool, agent, upstream, picture) : null;
    if (shown !== tool) isChanged = true;
    if (shown !== null) tools.push(shown);
  }
  return isChanged ? { ...result, tools } : result;
}

function shownTool(tool: JsonObject, agent: AgentPicture, upstream: UpstreamPicture, picture: Picture): JsonObject | null {
  const { name } = tool;
  if (typeof name !== 'string') return null;
  const known = Object.hasOwn(upstream.tools, name) ? upstream.tools[name] : undefined;
  if (known === undefined ? upstream.pinned : known.state === 'new') return null;
  if (!mayEverCall(`${upstream.name}__${name}`, known?.annotations ?? {}, agent, upstream, picture)) return null;
  if (known?.state !== 'changed' || known.pinned === null) return tool;
  const { source: _, ...accepted } = known.pinned;
  return accepted;
}

/** Whether there is any state of things in which this agent may call the tool: it is within its ceiling, and its risk is not denied. */
function mayEverCall(tool: string, annotations: JsonObject, agent: AgentPicture, upstream: UpstreamPicture, picture: Picture): boolean {
  const facts: Facts = {
    agent: {
      id: agent.id,
      autonomy: agent.autonomy,
      status: 'active',
      depth: 0,
      children: 0,
      currentTaskId: null,
      toolPermissions: agent.toolPermissions,
    },
    task: null,
    system: { estop: false, squadPaused: false, activeAgents: 0 },
    spend: { run: 0, task: 0, agentDay: 0, fleetDay: 0 },
    caps: {},
    estimatedCost: 0,
    approval: null,
    mcp: { server: upstream.name, trusted: upstream.trusted, annotations, changed: false },
    history: { sameErrorRetries: 0, commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0 },
    network: { dns: {}, redirects: [] },
    files: { symlinks: {} },
    rates: { callsLastMinute: 0, concurrent: 0 },
  };
  const { classification } = decide({ tool, arguments: {}, cwd: null, workspace: null, toolKind: null }, facts, picture.policy);
  const { toolPermissions } = agent;
  const isWithin = (pattern: string) => coversTool(pattern, tool) || (pattern !== '*' && coversTool(pattern, classification.mappedTool));
  if (toolPermissions !== null && !toolPermissions.some(isWithin)) return false;
  // Without arguments a tool may look malformed; what its name alone is worth is what counts here.
  return picture.policy.document.autonomyRules[agent.autonomy][classification.baseRisk] !== 'deny';
}
