/**
 * JSON as text: reading it as every other parser does, and setting or taking out one member of an object while every other byte stays
 * as it was judged. Numbers that a float cannot hold and the order of members survive.
 */

/**
 * JSON.parse without a fault of V8 13.6 (Node 24): it takes a name written with escapes for another one, where an object it read before
 * had a name with a backslash in the same place. After {"n\\":1} it reads {"n\u0061":9} as {"n\\":9}: what is sent on would not be
 * what was judged. Such names are written plainly before they are read. @throws SyntaxError
 */
export function parseText(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!ESCAPED_NAME.test(text)) return value;
  return JSON.parse(
    text.replace(STRINGS, (all, inner: string, colon?: string) => (colon && inner.includes('\\') ? plain(inner) + colon : all)),
  );
}

/** An escape in the last piece of a string that a colon follows; an earlier one does not matter without such an end or is found by it. */
const ESCAPED_NAME = /\\(?:u[0-9a-fA-F]{4}|[^u])[^"\\]*"\s*:/;
const STRINGS = /"((?:[^"\\]|\\.)*)"(\s*:)?/g;

function plain(inner: string): string {
  return JSON.stringify(JSON.parse(`"${inner}"`));
}

export interface Member {
  name: string;
  /** From the quote of its name to the end of its value. */
  start: number;
  valueStart: number;
  end: number;
}

/** The members of the outermost object, in their order; names that stand twice are given twice. @param text a valid JSON object. */
export function membersOf(text: string): Member[] {
  const members: Member[] = [];
  let at = text.indexOf('{') + 1;
  for (;;) {
    at = skipSpace(text, at);
    if (text[at] === ',') at = skipSpace(text, at + 1);
    if (at >= text.length || text[at] === '}') return members;
    const start = at;
    at = endOfString(text, at);
    const name = String(JSON.parse(text.slice(start, at)));
    const valueStart = skipSpace(text, skipSpace(text, at) + 1);
    at = endOfValue(text, valueStart);
    members.push({ name, start, valueStart, end: at });
  }
}

/** The text with a member set: its value in place of the old one, or as the first member. @param value JSON text. */
export function withMember(text: string, name: string, value: string): string {
  const members = membersOf(text);
  const member = members.find((candidate) => candidate.name === name);
  if (member !== undefined) return text.slice(0, member.valueStart) + value + text.slice(member.end);
  const at = text.indexOf('{') + 1;
  return `${text.slice(0, at)}${JSON.stringify(name)}:${value}${members.length > 0 ? ',' : ''}${text.slice(at)}`;
}

/** The text without a member; the same text where it has none of the name. */
export function withoutMember(text: string, name: string): string {
  const members = membersOf(text);
  const index = members.findIndex((candidate) => candidate.name === name);
  const member = members[index];
  if (member === undefined) return text;
  const before = members[index - 1];
  const after = members[index + 1];
  if (before !== undefined) return text.slice(0, before.end) + text.slice(member.end);
  return text.slice(0, member.start) + text.slice(after?.start ?? member.end);
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && text.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** @param from the opening quote. @returns the place behind the closing one. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === '\\') backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
  return text.length;
}

function endOfValue(text: string, from: number): number {
  const first = text[from];
  if (first === '"') return endOfString(text, from);
  let at = from;
  if (first !== '{' && first !== '[') {
    while (at < text.length && !/[,}\]\s]/.test(text[at] ?? '')) at++;
    return at;
  }
  let depth = 0;
  while (at < text.length) {
    switch (text.charCodeAt(at)) {
      case 0x22:
        at = endOfString(text, at);
        continue;
      case 0x7b:
      case 0x5b:
        depth++;
        break;
      case 0x7d:
      case 0x5d:
        depth--;
        if (depth === 0) return at + 1;
        break;
      default:
        break;
    }
    at++;
  }
  return text.length;
}
