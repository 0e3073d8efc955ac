/**
 * Edits JSON5 text where it stands: a value is set or removed and every other byte stays as its author wrote it, comments and
 * layout included. Removing what was just added gives back the same text. What a document means is json5's business (`JSON5.parse`);
 * this file only finds where its parts stand, and expects text that json5 accepts.
 */
import JSON5 from 'json5';

export type Json5Value = null | boolean | number | string | Json5Value[] | { [key: string]: Json5Value };
/** Keys of objects and indexes of arrays, from the root down. */
export type Json5Path = readonly (string | number)[];

/**
 * Sets the value at `path`; objects on the way that are missing are created. The index that follows the last one of an array appends.
 *
 * @throws SyntaxError where the text is not JSON5, TypeError where the path leads through something that is not a container
 */
export function setIn(text: string, path: Json5Path, value: Json5Value): string {
  const root = locate(text);
  let node = root;
  for (const [depth, key] of path.entries()) {
    const entry = childOf(node, key, path);
    if (entry !== undefined) {
      node = entry.value;
      continue;
    }
    const rest = path.slice(depth + 1);
    if (rest.some((part) => typeof part === 'number')) throw new TypeError(`cannot create an array on the way to ${path.join('.')}`);
    const wrapped = rest.reduceRight<Json5Value>((inner, part) => ({ [part]: inner }), value);
    return insert(text, root, node, key, wrapped);
  }
  const style = styleOf(text, root);
  return splice(text, node.start, node.end, print(value, indentAt(text, node.start), style, isSpread(text, node)));
}

/**
 * Removes the member or element at `path`, its comma and, where it stands alone on its lines, those lines. Does nothing where it is missing.
 *
 * @throws SyntaxError where the text is not JSON5
 */
export function removeIn(text: string, path: Json5Path): string {
  let node = locate(text);
  for (const [depth, key] of path.entries()) {
    if (node.kind === 'plain') return text;
    const entry = childOf(node, key, path);
    if (entry === undefined) return text;
    if (depth === path.length - 1) return cut(text, node, entry);
    node = entry.value;
  }
  return text;
}

interface Entry {
  /** Name in an object, place in an array. */
  key: string | number;
  /** First character of the key, or of the element. */
  start: number;
  value: Node;
  /** Where the comma after it stands, if there is one. */
  comma: number | null;
}
type Node = { start: number; end: number } & ({ kind: 'object' | 'array'; entries: Entry[] } | { kind: 'plain' });
type Container = Extract<Node, { entries: Entry[] }>;

interface Style {
  eol: string;
  /** What one level is indented by. */
  unit: string;
  quotedKeys: boolean;
}

function childOf(node: Node, key: string | number, path: Json5Path): Entry | undefined {
  if (node.kind === 'plain') throw new TypeError(`cannot go on at ${String(key)} in ${path.join('.')}: it is not an object or array`);
  // Of a name that stands twice, JSON5 takes the last.
  return node.entries.findLast((entry) => entry.key === key);
}

function insert(text: string, root: Node, node: Node, key: string | number, value: Json5Value): string {
  if (node.kind === 'plain') throw new TypeError('cannot put a member into a value');
  if (node.kind === 'array' && key !== node.entries.length) throw new TypeError(`an array of ${node.entries.length} has no place ${key}`);
  const style = styleOf(text, root);
  const name = typeof key === 'number' ? '' : `${printKey(key, style)}: `;
  const last = node.entries.at(-1);
  if (last === undefined) return insertFirst(text, node, name, value, style);

  if (!isSpread(text, node)) {
    const printed = `${name}${print(value, '', style, false)}`;
    if (last.comma === null) return splice(text, last.value.end, last.value.end, `, ${printed}`);
    return splice(text, last.comma + 1, last.comma + 1, ` ${printed},`);
  }
  const indent = indentAt(text, last.start);
  const printed = `${style.eol}${indent}${name}${print(value, indent, style, true)}`;
  const lineEnd = endOfRemark(text, last.comma === null ? last.value.end : last.comma + 1, node.end - 1);
  if (last.comma !== null) return splice(text, lineEnd, lineEnd, `${printed},`);
  return splice(splice(text, lineEnd, lineEnd, printed), last.value.end, last.value.end, ',');
}

function insertFirst(text: string, node: Container, name: string, value: Json5Value, style: Style): string {
  const inside = text.slice(node.start + 1, node.end - 1);
  const outer = indentAt(text, node.start);
  const indent = outer + style.unit;
  const printed = `${name}${print(value, indent, style, true)}`;
  if (inside.trim() === '') return splice(text, node.start + 1, node.end - 1, `${style.eol}${indent}${printed}${style.eol}${outer}`);
  // Nothing but remarks: they stay, and what is new goes below them.
  const closing = node.end - 1;
  const bottom = closing - (/[ \t]*$/.exec(text.slice(0, closing))?.[0].length ?? 0);
  const ownLine = /[\r\n]$/.test(text.slice(0, bottom));
  return splice(text, bottom, closing, `${ownLine ? '' : style.eol}${indent}${printed}${style.eol}${outer}`);
}

function cut(text: string, node: Container, entry: Entry): string {
  const place = node.entries.indexOf(entry);
  const before = node.entries[place - 1];
  const after = node.entries[place + 1];
  const end = entry.comma === null ? entry.value.end : entry.comma + 1;
  if (before === undefined && after === undefined) return cutOnly(text, node, entry, end);

  const lineStart = startOfLine(text, entry.start);
  const alone = lineStart !== null && endOfLine(text, endOfRemark(text, end, node.end)) !== null;
  // With the comma of the last one goes the comma before it, or a list without a trailing comma would get one.
  const orphan = after === undefined && entry.comma === null ? (before?.comma ?? null) : null;
  if (alone) {
    const lineEnd = endOfLine(text, endOfRemark(text, end, node.end)) ?? end;
    // The last line of a container ends where the closing bracket's begins; its own break is the one before it.
    const cutText = splice(text, lineStart, lineEnd, '');
    return orphan === null ? cutText : splice(cutText, orphan, orphan + 1, '');
  }
  if (after !== undefined) return splice(text, entry.start, after.start, '');
  const from = before?.comma === null || before === undefined ? entry.start : before.comma + (orphan === null ? 1 : 0);
  return splice(text, from, end, '');
}

function cutOnly(text: string, node: Container, entry: Entry, end: number): string {
  const lineStart = startOfLine(text, entry.start);
  const lineEnd = endOfLine(text, endOfRemark(text, end, node.end));
  const remarks = `${text.slice(node.start + 1, lineStart ?? entry.start)}${text.slice(lineEnd ?? end, node.end - 1)}`;
  if (remarks.trim() === '') return splice(text, node.start + 1, node.end - 1, '');
  return lineStart !== null && lineEnd !== null ? splice(text, lineStart, lineEnd, '') : splice(text, entry.start, end, '');
}

/** Where the line of `at` begins, if nothing but blanks stands before it there. */
function startOfLine(text: string, at: number): number | null {
  const blanks = /[ \t]*$/.exec(text.slice(0, at))?.[0].length ?? 0;
  const start = at - blanks;
  return start === 0 || text[start - 1] === '\n' || text[start - 1] === '\r' ? start : null;
}

/** Where the next line begins, if nothing but blanks follows `at` on its own. */
function endOfLine(text: string, at: number): number | null {
  const rest = /^[ \t]*(\r\n|\n|\r)/.exec(text.slice(at));
  return rest === null ? null : at + rest[0].length;
}

/** The end of the remarks that follow `at` on the same line, or `at`. */
function endOfRemark(text: string, at: number, limit: number): number {
  const rest = /^(?:[ \t]*\/\*(?:(?!\*\/)[^\r\n])*\*\/)*(?:[ \t]*\/\/[^\r\n]*)?/.exec(text.slice(at, limit));
  return at + (rest?.[0].length ?? 0);
}

function indentAt(text: string, at: number): string {
  const line = text.slice(Math.max(text.lastIndexOf('\n', at - 1), text.lastIndexOf('\r', at - 1)) + 1, at);
  return /^[ \t]*/.exec(line)?.[0] ?? '';
}

/** Whether the parts of a container stand on lines of their own. */
function isSpread(text: string, node: Node): boolean {
  if (node.kind === 'plain' || node.entries.length === 0) return true;
  return /[\r\n]/.test(text.slice(node.start, node.entries[0]?.start ?? node.end));
}

function styleOf(text: string, root: Node): Style {
  const eol = /\r\n|\n|\r/.exec(text)?.[0] ?? '\n';
  const first = root.kind === 'plain' ? undefined : root.entries[0];
  const unit = first !== undefined && isSpread(text, root) ? indentAt(text, first.start) : '';
  return { eol, unit: unit === '' ? '  ' : unit, quotedKeys: first === undefined || /["']/.test(text[first.start] ?? '"') };
}

function print(value: Json5Value, indent: string, style: Style, spread: boolean): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = indent + style.unit;
  const parts = Array.isArray(value)
    ? value.map((part) => print(part, inner, style, spread))
    : Object.entries(value).map(([key, part]) => `${printKey(key, style)}: ${print(part, inner, style, spread)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  if (parts.length === 0) return `${open}${close}`;
  if (!spread) return Array.isArray(value) ? `[${parts.join(', ')}]` : `{ ${parts.join(', ')} }`;
  return `${open}${style.eol}${parts.map((part) => inner + part).join(`,${style.eol}`)}${style.eol}${indent}${close}`;
}

function printKey(key: string, style: Style): string {
  return !style.quotedKeys && /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(key) ? key : JSON.stringify(key);
}

function splice(text: string, from: number, to: number, replacement: string): string {
  return text.slice(0, from) + replacement + text.slice(to);
}

/** Finds every part. The text has been accepted by json5, so only what separates parts needs to be understood here. */
function locate(text: string): Node {
  JSON5.parse(text);
  let at = 0;
  const blanks = /(?:\s|\/\/[^\r\n\u2028\u2029]*|\/\*[\s\S]*?\*\/)*/y;
  const blank = () => {
    blanks.lastIndex = at;
    at += blanks.exec(text)?.[0].length ?? 0;
  };
  const quoted = () => {
    const quote = text[at];
    for (at++; text[at] !== quote; at++) if (text[at] === '\\') at++;
    at++;
  };
  const token = () => {
    if (text[at] === '"' || text[at] === "'") return quoted();
    while (at < text.length && !/[\s,:[\]{}/"']/.test(text[at] ?? '')) at++;
  };
  const value = (): Node => {
    blank();
    const start = at;
    const opening = text[at];
    if (opening !== '{' && opening !== '[') {
      token();
      return { kind: 'plain', start, end: at };
    }
    const entries: Entry[] = [];
    at++;
    for (blank(); text[at] !== '}' && text[at] !== ']'; blank()) {
      const entryStart = at;
      let key: string | number = entries.length;
      if (opening === '{') {
        token();
        key = Object.keys(JSON5.parse(`{${text.slice(entryStart, at)}:0}`))[0] ?? '';
        blank();
        at++;
      }
      const inner = value();
      blank();
      const comma = text[at] === ',' ? at++ : null;
      entries.push({ key, start: entryStart, value: inner, comma });
    }
    at++;
    return { kind: opening === '{' ? 'object' : 'array', start, end: at, entries };
  };
  return value();
}
