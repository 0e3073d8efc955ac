/**
 * What a request to an HTTP tool is called (SPEC 3): its method and path against the routes of the upstream, the first that fits. A path
 * that a server could read in another way than we do is no path: then no route can be got past by spelling.
 */
import type { Upstream, UpstreamPicture } from '../control/contract.ts';
import { type Json, type JsonObject, matchesStars, type Risk } from '../policies/index.ts';

export interface Target {
  /** As it came, without the query. */
  path: string;
  query: JsonObject;
}

/** The canonical name of a request, and the risk that its route gives it. */
export interface NamedRequest {
  tool: string;
  risk: Risk | null;
}

/** Reads path and query of a request. @returns why it is refused where it could be read in two ways. */
export function readTarget(target: string): Target | { why: string } {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (!/^[\x21-\x7e]*$/.test(target)) return { why: 'The address has characters that are not printable ASCII.' };
  if (/[\\#]/.test(target)) return { why: 'The address has a backslash or a "#".' };
  if (segmentsOf(path) === null)
    return { why: 'The path is not in its plain form: it has dot segments, empty segments, or encoded separators.' };
  const query = mark < 0 ? {} : readForm(target.slice(mark + 1));
  return query === null ? { why: 'The query is not UTF-8 in percent-encoding.' } : { path, query };
}

/**
 * Fields of a query or of a form: name → text, or texts where a name occurs several times.
 * @returns null where the encoding is not valid.
 */
export function readForm(text: string): JsonObject | null {
  const fields = new Map<string, Json>();
  for (const pair of text === '' ? [] : text.split('&')) {
    const equals = pair.indexOf('=');
    const name = decodeField(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decodeField(pair.slice(equals + 1));
    if (name === null || value === null) return null;
    const known = fields.get(name);
    fields.set(name, known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value]);
  }
  return Object.fromEntries(fields);
}

/** A query or form out of its fields. */
export function writeForm(fields: JsonObject): string {
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    for (const item of Array.isArray(value) ? value : [value]) form.append(name, typeof item === 'string' ? item : JSON.stringify(item));
  }
  return form.toString();
}

/**
 * The name of a request. What no route covers is `{upstream}__{METHOD}`, which is unknown, and so red and held, unless the policy names
 * it. So is a path that would have fitted an earlier route if the server does not care for case, trailing slashes or ";" parameters.
 */
export function nameRequest({ name, routes }: Pick<UpstreamPicture, 'name' | 'routes'>, method: string, path: string): NamedRequest {
  const segments = segmentsOf(path);
  const unnamed = { tool: `${name}__${method}`, risk: null };
  if (segments === null) return unnamed;
  const loose = loosened(segments);
  for (const route of patternsOf(routes)) {
    if (!isMethod(route.method, method)) continue;
    if (fits(route.segments, segments)) {
      const prefix = `${name}__`;
      return { tool: route.tool.startsWith(prefix) ? route.tool : prefix + route.tool, risk: route.risk };
    }
    if (fits(route.loose, loose)) return unnamed;
  }
  return unnamed;
}

/* ---------------------------------------------------------------- paths */

/** The decoded segments; null where the path is not in its plain form. A trailing slash is an empty last segment. */
function segmentsOf(path: string): string[] | null {
  if (!path.startsWith('/')) return null;
  const segments: string[] = [];
  const raw = path.slice(1).split('/');
  for (const [index, part] of raw.entries()) {
    const segment = decode(part);
    if (segment === null || !isPlain(segment) || (segment === '' && index < raw.length - 1)) return null;
    segments.push(segment);
  }
  return segments;
}

/** How often servers behind servers may decode a path. */
const DECODINGS = 3;

/** Whether a segment stays one segment, and goes nowhere, however often it is decoded. */
function isPlain(segment: string): boolean {
  let text = segment;
  for (let round = 0; round <= DECODINGS; round++) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    if (/[/\\\x00-\x1f\x7f]/.test(text) || /^\.{1,2}(;|$)/.test(text)) return false;
    const further = text.includes('%') ? decode(text) : text;
    if (further === null || further === text) return true;
    text = further;
  }
  return false;
}

function decodeField(text: string): string | null {
  return decode(text.replaceAll('+', ' '));
}

function decode(text: string): string | null {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/* ---------------------------------------------------------------- patterns */

interface Pattern {
  method: string;
  segments: readonly string[];
  loose: readonly string[];
  tool: string;
  risk: Risk | null;
}

/** By the list itself: a picture keeps it until something about the upstream changes. */
const compiled = new WeakMap<Upstream['routes'], readonly Pattern[]>();

function patternsOf(routes: Upstream['routes']): readonly Pattern[] {
  const known = compiled.get(routes);
  if (known) return known;
  const patterns = routes.map(({ method, path, tool, risk }) => {
    const segments = path
      .slice(1)
      .split('/')
      .map((part) => (/^:\w+$/.test(part) ? '*' : part.replaceAll(/\{[^{}/]*\}/g, '*')));
    return { method, segments, loose: loosened(segments), tool, risk: risk ?? null };
  });
  compiled.set(routes, patterns);
  return patterns;
}

function isMethod(given: string, method: string): boolean {
  return given === '*' || given === method || (given === 'GET' && method === 'HEAD');
}

function fits(pattern: readonly string[], segments: readonly string[]): boolean {
  const isOpen = pattern.at(-1) === '**';
  const fixed = isOpen ? pattern.length - 1 : pattern.length;
  if (isOpen ? segments.length < fixed : segments.length !== fixed) return false;
  for (let i = 0; i < fixed; i++) {
    const part = pattern[i] ?? '';
    const segment = segments[i] ?? '';
    if (part.includes('*') ? segment === '' || !matchesStars(part, segment) : part !== segment) return false;
  }
  return true;
}

/** As the most careless server would read it. */
function loosened(segments: readonly string[]): string[] {
  const loose = segments.map((segment) => segment.toLowerCase().replace(/;.*$/s, ''));
  return loose.length > 1 && loose.at(-1) === '' ? loose.slice(0, -1) : loose;
}
