/**
 * Messages of the Model Context Protocol: JSON-RPC as it may come from anybody, which methods exist in which direction, and the answers
 * that we give in the protocol's own shape. A message that two readers could read differently is refused, because what was judged and
 * what the server understands must be the same.
 */
import { isBoundedJson, type Json, type JsonObject } from '../policies/index.ts';
import { parseText } from './json-members.ts';
import { ambiguityOf } from './json-text.ts';

export type RpcId = string | number;
export type Message =
  | { kind: 'request'; id: RpcId; method: string; params: JsonObject }
  | { kind: 'notification'; method: string; params: JsonObject }
  | { kind: 'response'; id: RpcId | null; result: Json | undefined; error: Json | undefined };

/** `legacy`: a session begins with initialize (2025-11-25 and before). `modern`: every request says what it is (2026-07-28). */
export type Era = 'legacy' | 'modern';

const MODERN_VERSION = '2026-07-28';
const VERSION_KEY = 'io.modelcontextprotocol/protocolVersion';

/** Requests of clients, over all revisions that we speak. */
const CLIENT_REQUESTS: Readonly<Record<Era, ReadonlySet<string>>> = {
  legacy: new Set([
    'initialize',
    'ping',
    'tools/list',
    'tools/call',
    'resources/list',
    'resources/templates/list',
    'resources/read',
    'resources/subscribe',
    'resources/unsubscribe',
    'prompts/list',
    'prompts/get',
    'completion/complete',
    'logging/setLevel',
    'tasks/get',
    'tasks/result',
    'tasks/list',
    'tasks/cancel',
  ]),
  modern: new Set([
    'server/discover',
    'tools/list',
    'tools/call',
    'resources/list',
    'resources/templates/list',
    'resources/read',
    'prompts/list',
    'prompts/get',
    'completion/complete',
    'subscriptions/listen',
    'tasks/get',
    'tasks/update',
    'tasks/cancel',
  ]),
};
const CLIENT_NOTIFICATIONS: ReadonlySet<string> = new Set([
  'notifications/initialized',
  'notifications/cancelled',
  'notifications/progress',
  'notifications/roots/list_changed',
  'notifications/tasks/status',
]);
const SERVER_REQUESTS: ReadonlySet<string> = new Set([
  'ping',
  'roots/list',
  'sampling/createMessage',
  'elicitation/create',
  'tasks/get',
  'tasks/result',
  'tasks/list',
  'tasks/cancel',
]);
const SERVER_NOTIFICATIONS: ReadonlySet<string> = new Set([
  'notifications/cancelled',
  'notifications/progress',
  'notifications/message',
  'notifications/resources/updated',
  'notifications/resources/list_changed',
  'notifications/tools/list_changed',
  'notifications/prompts/list_changed',
  'notifications/tasks/status',
  'notifications/elicitation/complete',
  'notifications/subscriptions/acknowledged',
]);

/** Codes of JSON-RPC and of the protocol. */
export const RPC = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  /** A code of ours, from the part that the protocol leaves to implementations. */
  unavailable: -32000,
  headerMismatch: -32020,
} as const;

/** A message that cannot be taken. */
export class BadMessage extends Error {
  readonly code: number;
  readonly id: RpcId | null;
  constructor(code: number, message: string, id: RpcId | null = null) {
    super(message);
    this.code = code;
    this.id = id;
  }
}

export function isKnownRequest(method: string, era: Era): boolean {
  return CLIENT_REQUESTS[era].has(method);
}

export function isKnownNotification(method: string): boolean {
  return CLIENT_NOTIFICATIONS.has(method);
}

export function isServerRequest(method: string): boolean {
  return SERVER_REQUESTS.has(method);
}

export function isServerNotification(method: string): boolean {
  return SERVER_NOTIFICATIONS.has(method);
}

const decoder = new TextDecoder('utf-8', { fatal: true });

/** Reads a client's message. @throws BadMessage where it is none, or could be read in two ways. */
export function readClientMessage(bytes: Buffer): Message {
  let text: string;
  let value: unknown;
  try {
    text = decoder.decode(bytes);
    value = parseText(text);
  } catch {
    throw new BadMessage(RPC.parse, 'The body is not JSON in UTF-8.');
  }
  if (!isBoundedJson(value)) throw new BadMessage(RPC.invalidRequest, 'The message is nested too deeply.');
  if (Array.isArray(value)) throw new BadMessage(RPC.invalidRequest, 'Send one message per request; batches are not part of the protocol.');
  const message = messageOf(value);
  if (message === null) throw new BadMessage(RPC.invalidRequest, 'The body is not a JSON-RPC 2.0 message.');
  const flaw = ambiguityOf(text, value);
  const id = message.kind === 'request' ? message.id : null;
  if (flaw !== null) throw new BadMessage(RPC.invalidRequest, flaw, id);
  // Behind this line the arguments of a call are what the protocol says, and what is judged and recorded.
  const args = message.kind === 'request' && message.method === 'tools/call' ? message.params.arguments : undefined;
  if (args !== undefined && !isObject(args)) throw new BadMessage(RPC.invalidParams, 'The arguments of a tool are an object.', id);
  return message;
}

/** Reads what a server sent. @returns null for what is no message. */
export function readServerMessage(text: string): Message | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  return isBoundedJson(value) ? messageOf(value) : null;
}

function messageOf(value: Json): Message | null {
  if (!isObject(value) || value.jsonrpc !== '2.0') return null;
  const { id, method } = value;
  const params = value.params === undefined ? {} : value.params;
  const isId = typeof id === 'string' || (typeof id === 'number' && Number.isSafeInteger(id));
  if (typeof method === 'string') {
    if (!isObject(params)) return null;
    if (id === undefined) return { kind: 'notification', method, params };
    return isId ? { kind: 'request', id, method, params } : null;
  }
  const isResult = Object.hasOwn(value, 'result');
  if (method !== undefined || isResult === Object.hasOwn(value, 'error')) return null;
  if (!isId && !(id === null || id === undefined)) return null;
  return { kind: 'response', id: isId ? id : null, result: isResult ? value.result : undefined, error: value.error };
}

/** Which revision a client's message belongs to. */
export function eraOf(message: Message, versionHeader: string | undefined): Era {
  if (message.kind !== 'response' && typeof metaOf(message.params)[VERSION_KEY] === 'string') return 'modern';
  return versionHeader !== undefined && versionHeader >= MODERN_VERSION && /^\d{4}-\d\d-\d\d$/.test(versionHeader) ? 'modern' : 'legacy';
}

/** Where the headers that mirror the body say something else than the body; servers and balancers may act on either. */
export function headerMismatch(
  message: Message,
  era: Era,
  header: (name: 'mcp-method' | 'mcp-name' | 'mcp-protocol-version') => string | undefined,
): string | null {
  if (message.kind !== 'request') return null;
  const { method, params } = message;
  const isModern = era === 'modern';
  const said = header('mcp-method');
  if (said === undefined ? isModern : said !== method) return `Mcp-Method is ${quote(said)}; the body says ${quote(method)}`;
  const source = method === 'resources/read' ? params.uri : method === 'tools/call' || method === 'prompts/get' ? params.name : undefined;
  const name = decodeHeader(header('mcp-name'));
  if (typeof source === 'string' && (name === undefined ? isModern : name !== source))
    return `Mcp-Name is ${quote(name)}; the body says ${quote(source)}`;
  const version = metaOf(params)[VERSION_KEY];
  // A body without its version is the server's to refuse: it says what is missing.
  if (version !== undefined && version !== header('mcp-protocol-version'))
    return `MCP-Protocol-Version is ${quote(header('mcp-protocol-version'))}; the body says ${quote(version)}`;
  return null;
}

/** `=?base64?…?=` around what a header cannot hold. */
function decodeHeader(value: string | undefined): string | undefined {
  const encoded = value === undefined ? null : /^=\?base64\?([A-Za-z0-9+/=]*)\?=$/.exec(value);
  return encoded ? Buffer.from(encoded[1] ?? '', 'base64').toString('utf8') : value;
}

function quote(value: unknown): string {
  return value === undefined ? 'missing' : JSON.stringify(value).slice(0, 120);
}

export function metaOf(params: JsonObject): JsonObject {
  return isObject(params._meta) ? params._meta : {};
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/* ---------------------------------------------------------------- our own answers */

export function errorMessage(id: RpcId | null, code: number, message: string, data?: Json): JsonObject {
  return { jsonrpc: '2.0', ...(id !== null && { id }), error: { code, message, ...(data !== undefined && { data }) } };
}

export function resultMessage(id: RpcId, result: JsonObject, era: Era): JsonObject {
  return { jsonrpc: '2.0', id, result: era === 'modern' ? { resultType: 'complete', ...result } : result };
}

/** What did not run, as a result that a model can read (SPEC 3.3). @param code the stable reason code. */
export function refusedResult(code: string, text: string, more: JsonObject = {}): JsonObject {
  return { content: [{ type: 'text', text }], isError: true, _meta: { 'mission-control/code': code, ...more } };
}

/** The text of a tool's result, for the record. */
export function textOfResult(result: Json | undefined): string {
  if (!isObject(result)) return result === undefined ? '' : JSON.stringify(result);
  if (Array.isArray(result.content)) {
    const texts = result.content.map((part) =>
      isObject(part) ? (typeof part.text === 'string' ? part.text : `[${String(part.type ?? 'content')}]`) : '',
    );
    return texts.join('\n');
  }
  return JSON.stringify(result);
}

/** The words of an error, as far as it has any. */
export function errorTextOf(error: Json | undefined): string {
  return isObject(error) && typeof error.message === 'string' ? error.message : JSON.stringify(error ?? null);
}
