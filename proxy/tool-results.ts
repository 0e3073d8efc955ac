/**
 * The results of tools that a request to a model brings back, and the names under which the gate knows the calls that they answer (SPEC 10,
 * gate coverage). It only finds and names: control holds the results against what the gate was asked about.
 *
 * Looked at are the results at the very end of a request, with nothing after them: those of tools that ran just now. The rest of the history
 * comes again with every request and may be older than the gate, and where a person or a summary speaks after a result, the run that made
 * it may have ended before its tool began. What OpenClaw itself puts after the results (its internal context, in the role of a user) is nobody's
 * word and passed over: 2026.9.6 does so in every turn.
 */
import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { WireCall } from '../control/contract.ts';
import { canonicalJson, isBoundedJson, type Json, type JsonObject, unwrapCall } from '../policies/index.ts';
import type { ModelApi } from '../policies/model-request.ts';

/** More results in one turn than this are not looked at. */
const RESULTS_MAX = 128;
/** Items before the results in which their calls are looked for. */
const LOOKED_BACK_MAX = 512;
/** Results that are remembered for each agent, and agents. */
const SEEN_MAX = 512;
const AGENTS_MAX = 2_000;
/** OpenClaw cuts and cleans ids for some providers: this much of one is the same on both sides. */
const ID_CHARS = 36;
/** They look things up in OpenClaw and run nothing, so the gate is not asked about them. */
const LOOK_UPS: ReadonlySet<string> = new Set(['tool_search', 'tool_describe']);

/** A result, before it is known what it answers. `place` tells the uses of an id apart that a provider gives out again. */
interface Found {
  callId: string;
  place: number;
}

/** Around what OpenClaw says by itself. */
const INTERNAL_BEGIN = '<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>';
const INTERNAL_END = '<<<END_OPENCLAW_INTERNAL_CONTEXT>>>';

interface Asked {
  tool: string;
  arguments: JsonObject | null;
}

export class ToolResults {
  readonly #key: KeyObject;
  /** Agent → results that were looked at; the agent that was heard last is the last. */
  readonly #seen = new Map<string, Set<string>>();

  /** @param key base64url; names are keyed, so that none tells which arguments it stands for. */
  constructor(key: string) {
    this.#key = createSecretKey(Buffer.from(key, 'base64url'));
  }

  /** How a call is named by its id, and by its tool and arguments. @param callId as the gate or the model gives it. */
  nameOf(tool: string, args: JsonObject | null, callId: string | null): WireCall {
    const print =
      args === null
        ? null
        : createHmac('sha256', this.#key)
            .update(canonicalJson([tool, args]))
            .digest('base64url');
    return { id: callId === null ? null : wireIdOf(callId), print, tool: tool.slice(0, 200) };
  }

  /** The results of a request that were not looked at before, each once. */
  fresh(agentId: string, api: ModelApi, body: JsonObject): WireCall[] {
    const { results, before } = trailing(api, body);
    if (results.length === 0) return [];
    const seen = this.#seenOf(agentId);
    const unseen = results.filter(({ callId, place }) => note(seen, `${place} ${callId}`));
    if (unseen.length === 0) return [];
    const asked = askedIn(api, before, new Set(unseen.map(({ callId }) => callId)));
    return unseen.flatMap(({ callId }) => {
      const call = asked.get(callId);
      if (call === undefined) return this.nameOf('', null, callId);
      if (LOOK_UPS.has(call.tool)) return [];
      if (call.arguments === null) return this.nameOf(call.tool, null, callId);
      const { tool, arguments: args } = unwrapCall({ ...call, arguments: call.arguments, cwd: null, workspace: null, toolKind: null });
      return this.nameOf(tool, args, callId);
    });
  }

  #seenOf(agentId: string): Set<string> {
    const seen = this.#seen.get(agentId) ?? new Set<string>();
    this.#seen.delete(agentId);
    this.#seen.set(agentId, seen);
    const oldest = this.#seen.size > AGENTS_MAX ? this.#seen.keys().next().value : undefined;
    if (oldest !== undefined) this.#seen.delete(oldest);
    return seen;
  }
}

/**
 * What of a call id both sides agree on. A call inside another (`tool_search_code:<outer>:<tool>:<n>`) is found under the outer one, which is
 * all that a model sees; `<call>|<item>` is how OpenClaw keeps the two ids of the responses interface.
 */
export function wireIdOf(callId: string): string {
  const outer = /^tool_search_code:(.+):[^:]*:\d+$/s.exec(callId)?.[1] ?? callId;
  const [call = outer] = outer.split('|', 1);
  return call.replaceAll(/[^A-Za-z0-9]/g, '').slice(0, ID_CHARS);
}

/** @returns whether it was not there before. The oldest is forgotten. */
function note(seen: Set<string>, key: string): boolean {
  if (seen.has(key)) return false;
  seen.add(key);
  const oldest = seen.size > SEEN_MAX ? seen.values().next().value : undefined;
  if (oldest !== undefined) seen.delete(oldest);
  return true;
}

/** The results at the end of a request, and what stands before them. */
function trailing(api: ModelApi, body: JsonObject): { results: Found[]; before: readonly Json[] } {
  const list = body[api === 'responses' ? 'input' : 'messages'];
  if (!Array.isArray(list)) return { results: [], before: [] };
  const results: Found[] = [];
  let place = list.length - 1;
  while (isInternal(list[place])) place--;
  for (; place >= 0 && results.length < RESULTS_MAX; place--) {
    const ids = resultsOf(api, list[place]);
    if (ids.length === 0) break;
    for (const callId of ids) results.push({ callId, place });
  }
  return { results, before: list.slice(Math.max(0, place + 1 - LOOKED_BACK_MAX), place + 1) };
}

/** Ids of the calls that an item answers; none where it is anything else, or anything besides. */
function resultsOf(api: ModelApi, item: Json | undefined): string[] {
  if (!isObject(item)) return [];
  switch (api) {
    case 'chat':
      return item.role === 'tool' && typeof item.tool_call_id === 'string' ? [item.tool_call_id] : [];
    case 'responses': {
      const isResult = item.type === 'function_call_output' || item.type === 'custom_tool_call_output';
      return isResult && typeof item.call_id === 'string' ? [item.call_id] : [];
    }
    case 'messages': {
      if (item.role !== 'user' || !Array.isArray(item.content)) return [];
      const parts = item.content.filter((part) => !isInternalPart(part));
      const ids = parts.map((part) => (isObject(part) && part.type === 'tool_result' ? part.tool_use_id : null));
      return ids.every((id) => typeof id === 'string') ? ids : [];
    }
  }
}

/** Whether an item is OpenClaw's own and nothing besides. */
function isInternal(item: Json | undefined): boolean {
  if (!isObject(item) || item.role !== 'user') return false;
  if (typeof item.content === 'string') return isInternalText(item.content);
  return Array.isArray(item.content) && item.content.length > 0 && item.content.every(isInternalPart);
}

function isInternalPart(part: Json): boolean {
  return (
    isObject(part) && (part.type === 'text' || part.type === 'input_text') && typeof part.text === 'string' && isInternalText(part.text)
  );
}

/** All of it is one such block: no word of anybody else stands before, between or after. */
function isInternalText(text: string): boolean {
  const inner = text.trim();
  return inner.startsWith(INTERNAL_BEGIN) && inner.indexOf(INTERNAL_END) === inner.length - INTERNAL_END.length;
}

/** The calls of these ids, from the end of what was said before their results. */
function askedIn(api: ModelApi, before: readonly Json[], ids: ReadonlySet<string>): Map<string, Asked> {
  const asked = new Map<string, Asked>();
  for (const item of before.toReversed()) {
    if (asked.size === ids.size) break;
    for (const [id, call] of callsOf(api, item)) if (ids.has(id) && !asked.has(id)) asked.set(id, call);
  }
  return asked;
}

function callsOf(api: ModelApi, item: Json): [id: string, call: Asked][] {
  if (!isObject(item)) return [];
  const parts = api === 'responses' ? [item] : api === 'chat' ? item.tool_calls : item.content;
  if (!Array.isArray(parts)) return [];
  return parts.flatMap((part): [string, Asked][] => {
    if (!isObject(part)) return [];
    const call = api === 'chat' ? part.function : part;
    const id = api === 'responses' ? part.call_id : part.id;
    if (!isObject(call) || typeof id !== 'string' || typeof call.name !== 'string') return [];
    return [[id, { tool: call.name, arguments: argumentsOf(api === 'messages' ? call.input : call.arguments) }]];
  });
}

/** Arguments as an object, or null where they are none that could be named. */
function argumentsOf(given: Json | undefined): JsonObject | null {
  let value: unknown = given;
  if (typeof given === 'string') {
    try {
      value = given.trim() === '' ? {} : JSON.parse(given);
    } catch {
      return null;
    }
  }
  return isBoundedJson(value, 20_000) && isObject(value) ? value : null;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
