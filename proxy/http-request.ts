/**
 * A request to an HTTP tool as a call: its method, path, query, headers that matter, and body become the arguments that are judged, and
 * the same bytes go out. What could mean one thing here and another at the server (an encoded body, a key that occurs twice, a header that
 * names another method or path) is refused or taken out.
 */
import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { canonicalJson, type Json, type JsonObject } from '../policies/index.ts';
import { BadRequest, parseJson } from './body.ts';
import type { Outgoing } from './forward.ts';
import { ambiguityOf } from './json-text.ts';
import { readForm, readTarget, writeForm } from './routes.ts';

/** A request that was read, and what of it goes out when it may. */
export interface ToolRequest {
  method: string;
  /** Path and query below the upstream's address, as they came. */
  target: string;
  path: string;
  /** What is judged: `{method, path, query?, headers?, body?}`. */
  arguments: JsonObject;
  /** Flat: name, value, name, value. */
  headers: readonly string[];
  body: Buffer | null;
}

/** Headers that say how to answer, or trace: passed on, and not a part of what a person approves. */
const QUIET = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'user-agent',
  'cache-control',
  'pragma',
  'date',
  'if-none-match',
  'if-modified-since',
  'idempotency-key',
  'x-request-id',
  'x-correlation-id',
  'traceparent',
  'tracestate',
  'baggage',
  'b3',
  'sentry-trace',
  'x-amzn-trace-id',
  'x-cloud-trace-context',
  'content-length',
]);
/** The same of tracers and client libraries that count their retries: another value at each attempt. */
const QUIET_PREFIXES = ['x-b3-', 'x-datadog-', 'x-stainless-'];
/** Between the agent and us, or made anew for the next hop (forward.ts), or naming another method, path, client or session than ours. */
const TAKEN_OUT = new Set([
  'host',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
  'http2-settings',
  'authorization',
  'x-api-key',
  'cookie',
  'cookie2',
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'x-host',
  'content-encoding',
]);
const TAKEN_OUT_PREFIXES = ['proxy-', 'sec-', 'x-mc-', 'x-forwarded-', 'x-original-', 'x-rewrite-', 'x-http-', 'x-method-'];
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\b/i;
const FORM_TYPE = /^application\/x-www-form-urlencoded\b/i;

/**
 * Reads a request.
 * @param target path and query below the upstream's name. @param bytes its body.
 * @throws BadRequest where it could be read in two ways.
 */
export function readToolRequest(request: IncomingMessage, target: string, bytes: Buffer): ToolRequest {
  const method = request.method ?? 'GET';
  const read = readTarget(target);
  if ('why' in read) throw new BadRequest(400, 'MALFORMED', read.why);
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    throw new BadRequest(415, 'CONTENT_ENCODING', 'Send the body as it is: one that is compressed cannot be judged.');
  const { headers, judged } = splitHeaders(request.rawHeaders);
  const body = bytes.length === 0 ? null : readBody(bytes, request.headers['content-type'] ?? '');
  for (const fields of [read.query, body])
    if (isObject(fields) && Object.hasOwn(fields, '_method'))
      throw new BadRequest(400, 'METHOD_OVERRIDE', 'A field "_method" would make it another request than it looks. Use the method itself.');
  return {
    method,
    target,
    path: read.path,
    arguments: {
      method,
      path: read.path,
      ...(Object.keys(read.query).length > 0 && { query: read.query }),
      ...(Object.keys(judged).length > 0 && { headers: judged }),
      ...(body !== null && { body }),
    },
    headers,
    body: bytes.length === 0 ? null : bytes,
  };
}

/**
 * What goes out.
 * @param edited the approver's arguments in place of the caller's own; null = none: the very bytes that were judged.
 * @param base path of the upstream's address.
 * @throws BadRequest where the edit cannot be sent.
 */
export function outgoingOf(request: ToolRequest, edited: JsonObject | null, base: URL): Outgoing {
  const { method, headers: rawHeaders } = request;
  if (edited === null) return { method, path: below(base, request.target), rawHeaders, body: request.body };
  if (edited.method !== method || typeof edited.path !== 'string' || !isSame(edited.headers, request.arguments.headers))
    throw new BadRequest(400, 'EDIT', 'The approver changed the method or a header, which is not possible here. Make the request anew.');
  const query = isObject(edited.query) ? writeForm(edited.query) : '';
  const target = `${edited.path}${query === '' ? '' : `?${query}`}`;
  const read = readTarget(target);
  if ('why' in read) throw new BadRequest(400, 'EDIT', `The approver's address cannot be sent: ${read.why}`);
  const isSameTarget = edited.path === request.path && isSame(edited.query, request.arguments.query);
  const body = isSame(edited.body, request.arguments.body) ? request.body : editedBody(edited.body, rawHeaders);
  return { method, path: below(base, isSameTarget ? request.target : target), rawHeaders, body };
}

/* ---------------------------------------------------------------- parts */

function splitHeaders(raw: readonly string[]): { headers: string[]; judged: JsonObject } {
  const headers: string[] = [];
  const judged = new Map<string, Json>();
  for (let i = 0; i < raw.length; i += 2) {
    const name = (raw[i] ?? '').toLowerCase();
    const value = raw[i + 1] ?? '';
    if (TAKEN_OUT.has(name) || TAKEN_OUT_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    headers.push(raw[i] ?? '', value);
    if (QUIET.has(name) || QUIET_PREFIXES.some((prefix) => name.startsWith(prefix))) continue;
    const known = judged.get(name);
    judged.set(name, known === undefined ? value : `${known}, ${value}`);
  }
  return { headers, judged: Object.fromEntries([...judged].sort(([a], [b]) => (a < b ? -1 : 1))) };
}

/** The body as far as it can be read: JSON, fields of a form, text; of anything else its hash. */
function readBody(bytes: Buffer, type: string): Json {
  if (JSON_TYPE.test(type)) return readJsonBody(bytes);
  const text = textOf(bytes);
  if (text === null) return { bytes: bytes.length, sha256: hash('sha256', bytes) };
  if (FORM_TYPE.test(type)) return readForm(text) ?? text;
  // Servers take JSON for JSON whatever it is called.
  return /^\s*[[{]/.test(text) && isJson(text) ? readJsonBody(bytes) : text;
}

function readJsonBody(bytes: Buffer): Json {
  const value = parseJson(bytes) as Json;
  const flaw = ambiguityOf(bytes.toString('utf8'), value);
  if (flaw !== null) throw new BadRequest(400, 'AMBIGUOUS_JSON', flaw);
  return value;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Buffer): string | null {
  if (bytes.includes(0)) return null;
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

function editedBody(body: Json | undefined, headers: readonly string[]): Buffer | null {
  if (body === undefined || body === null) return null;
  if (typeof body === 'string') return Buffer.from(body);
  const at = headers.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-type');
  const isForm = at >= 0 && FORM_TYPE.test(headers[at + 1] ?? '');
  return Buffer.from(isForm && isObject(body) ? writeForm(body) : JSON.stringify(body));
}

function below(base: URL, target: string): string {
  const path = `${base.pathname.replace(/\/$/, '')}${target}`;
  return base.search === '' ? path : `${path}${path.includes('?') ? '&' : '?'}${base.search.slice(1)}`;
}

function isSame(a: Json | undefined, b: Json | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && canonicalJson(a) === canonicalJson(b));
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
