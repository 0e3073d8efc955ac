/**
 * Definitions of MCP tools: what of a definition can mislead a model or its operator, in one canonical form that is hashed and pinned
 * (SPEC 4.8), and what differs between two of them in words that a person can read. Pure; used by the proxy, control and the dashboard.
 */
import { canonicalJson, isBoundedJson } from './canonical.ts';
import type { Json, JsonObject, McpAnnotations } from './model.ts';

/** The parts that bear on what a model is told and what is sent; icons and metadata of transport are not among them. */
const PARTS = ['name', 'title', 'description', 'inputSchema', 'outputSchema', 'annotations'] as const;

/** One part of a definition that differs; texts are the server's own and untrusted. */
export interface DefinitionChange {
  /** Dotted path into the definition. */
  path: string;
  before: string | null;
  after: string | null;
}

/** Longest list of differences; more say no more than "another tool". */
const MAX_CHANGES = 200;
const MAX_TEXT = 4_000;

/**
 * The pinned parts of a tool as a server lists it.
 * @param source where it comes from (the server's origin or command): the same tool of another server is another tool.
 * @returns null where it is not a tool: no name, or no plain data.
 */
export function definitionOf(tool: unknown, source: string): JsonObject | null {
  if (!isBoundedJson(tool) || typeof tool !== 'object' || tool === null || Array.isArray(tool)) return null;
  if (typeof tool.name !== 'string' || tool.name === '') return null;
  const definition: JsonObject = { source };
  for (const part of PARTS) {
    const value = Object.hasOwn(tool, part) ? tool[part] : undefined;
    if (value !== undefined) definition[part] = value;
  }
  return definition;
}

/** Where the tools of an upstream come from, as it stands in their definitions: an origin, or a command line. */
export function sourceOf({ url, command }: { url: string | null; command: readonly string[] | null }): string {
  return url === null ? (command ?? []).join(' ') : new URL(url).origin;
}

/** The text whose hash is the version of a definition. */
export function definitionText(definition: JsonObject): string {
  return canonicalJson(definition);
}

/** The hints of a definition that bear on risk; what is not a boolean is not a hint. */
export function annotationsOf(definition: JsonObject | null): McpAnnotations {
  const given = definition?.annotations;
  if (typeof given !== 'object' || given === null || Array.isArray(given)) return {};
  const hints: McpAnnotations = {};
  for (const name of ['readOnlyHint', 'destructiveHint', 'idempotentHint', 'openWorldHint'] as const) {
    const value = given[name];
    if (typeof value === 'boolean') hints[name] = value;
  }
  return hints;
}

/** What is different in `after`, part by part, in the order of the paths. Bounded. */
export function compareDefinitions(before: JsonObject | null, after: JsonObject | null): DefinitionChange[] {
  const changes: DefinitionChange[] = [];
  compare('', before ?? undefined, after ?? undefined, changes);
  return changes;
}

function compare(path: string, before: Json | undefined, after: Json | undefined, changes: DefinitionChange[]): void {
  if (changes.length >= MAX_CHANGES) return;
  if (before !== undefined && after !== undefined && canonicalJson(before) === canonicalJson(after)) return;
  if (isObject(before) || isObject(after)) {
    const left = isObject(before) ? before : {};
    const right = isObject(after) ? after : {};
    if ((isObject(before) || before === undefined) && (isObject(after) || after === undefined)) {
      const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
      for (const key of keys) {
        const inner = path === '' ? key : `${path}.${key}`;
        compare(inner, Object.hasOwn(left, key) ? left[key] : undefined, Object.hasOwn(right, key) ? right[key] : undefined, changes);
      }
      // An empty object that came or went has no parts to show.
      if (keys.length > 0) return;
    }
  }
  changes.push({ path, before: textOf(before), after: textOf(after) });
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: Json | undefined): string | null {
  if (value === undefined) return null;
  const text = typeof value === 'string' ? value : canonicalJson(value);
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}… (${text.length - MAX_TEXT} more characters)`;
}
