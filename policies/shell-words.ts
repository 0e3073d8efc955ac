/**
 * Words: from the raw text of one shell word to the words that bash hands to the program, where that can be known from
 * the text alone. Brace expansion, quoting, escapes and glob characters are decoded here a second time, independently of
 * the parser that found the word's ends: where the two disagree the word counts as unknown.
 */

import type { GlobToken } from './filesystem.ts';

/** One word as the program would receive it. */
export interface ReadWord {
  /** Its text after quoting is removed, glob characters left as written; null where it is not known. */
  readonly value: string | null;
  /** The word in pieces where it contains active glob characters, else null. */
  readonly glob: readonly GlobToken[] | null;
  /** Why the value is not known, else null. */
  readonly problem: string | null;
}

/** Letters, digits and signs that mean only themselves, wherever they stand in a word. */
const PLAIN_WORD = /^[\w./,:=@%+^-]+$/;

const MAX_BRACE_WORDS = 256;

/**
 * Reads the raw text of one word of bash (non-interactive, default options, no extended globs). Gives one word, or several
 * where braces expand, or none where they expand to nothing. Never throws; linear in the length of the text but for braces,
 * which are given up beyond 256 words.
 */
export function readWord(raw: string): readonly ReadWord[] {
  if (PLAIN_WORD.test(raw)) return [{ value: raw, glob: null, problem: null }];
  // Bash takes such breaks out before it looks for the ends of words, so what the word is depends on its neighbours.
  if (raw.includes('\\\n')) return [unknown('a word broken over two lines')];
  const whole = decode(raw);
  if (whole.problem !== null || !raw.includes('{')) return [whole];
  const pieces = expandBraces(raw);
  if (pieces === null) return [unknown('braces whose expansion is not plain')];
  if (pieces.length === 1 && pieces[0] === raw) return [whole];
  return pieces.flatMap((piece) => (piece === '' ? [] : [decode(piece)]));
}

function unknown(problem: string): ReadWord {
  return { value: null, glob: null, problem };
}

/** What starts an expansion after `$`. */
const EXPANSION_START = /[\w{([@*#?$!-]/;

function decode(raw: string): ReadWord {
  if (raw.startsWith('~')) return unknown('a tilde that stands for a home folder');
  if (raw.startsWith('#')) return unknown('a word that reads like a comment');
  const tokens: GlobToken[] = [];
  let value = '';
  let pending = '';
  let at = 0;
  const take = (text: string) => {
    value += text;
    pending += text;
  };
  const wild = (kind: 'star' | 'one', text: string) => {
    if (pending !== '') tokens.push(pending);
    pending = '';
    tokens.push({ kind });
    value += text;
  };
  while (at < raw.length) {
    const c = raw[at] ?? '';
    switch (c) {
      case '\\': {
        const next = raw[at + 1];
        if (next === undefined) return unknown('a backslash with nothing behind it');
        take(next);
        at += 2;
        break;
      }
      case "'": {
        const close = raw.indexOf("'", at + 1);
        if (close < 0) return unknown('a quote that does not close');
        take(raw.slice(at + 1, close));
        at = close + 1;
        break;
      }
      case '"': {
        const quoted = decodeDoubleQuoted(raw, at + 1);
        if (typeof quoted === 'string') return unknown(quoted);
        take(quoted.value);
        at = quoted.end;
        break;
      }
      case '$': {
        const next = raw[at + 1] ?? '';
        if (next === "'") {
          const quoted = decodeAnsiC(raw, at + 2);
          if (typeof quoted === 'string') return unknown(quoted);
          take(quoted.value);
          at = quoted.end;
          break;
        }
        if (next === '"') return unknown('a text that is translated when it runs');
        if (EXPANSION_START.test(next)) return unknown(describeExpansion(next));
        take('$');
        at++;
        break;
      }
      case '`':
        return unknown('a command substitution');
      case '*':
        wild('star', '*');
        at++;
        break;
      case '?':
        wild('one', '?');
        at++;
        break;
      case '[': {
        const close = findBracketEnd(raw, at);
        if (close === null) return unknown('a bracket pattern that is not plain');
        if (close < 0) take('[');
        else wild('one', raw.slice(at, close + 1));
        at = close < 0 ? at + 1 : close + 1;
        break;
      }
      case '=':
      case ':':
        if (raw[at + 1] === '~') return unknown('a tilde that stands for a home folder');
        take(c);
        at++;
        break;
      case ' ':
      case '\t':
      case '\n':
      case '|':
      case '&':
      case ';':
      case '(':
      case ')':
      case '<':
      case '>':
        return unknown('a process substitution or a pattern that is not plain');
      default: {
        const end = endOfPlainRun(raw, at + 1);
        take(raw.slice(at, end));
        at = end;
      }
    }
  }
  if (tokens.length === 0) return { value, glob: null, problem: null };
  if (pending !== '') tokens.push(pending);
  return { value, glob: tokens, problem: null };
}

function describeExpansion(next: string): string {
  return next === '(' ? 'a substitution' : 'a variable';
}

function endOfPlainRun(raw: string, from: number): number {
  let end = from;
  while (end < raw.length && !SPECIAL.has(raw.charCodeAt(end))) end++;
  return end;
}

const SPECIAL = new Set([...'\\\'"$`*?[=: \t\n|&;()<>'].map((c) => c.charCodeAt(0)));

type Quoted = { value: string; end: number } | string;

function decodeDoubleQuoted(raw: string, start: number): Quoted {
  let value = '';
  let at = start;
  while (at < raw.length) {
    const c = raw[at];
    const next = raw[at + 1] ?? '';
    if (c === '"') return { value, end: at + 1 };
    if (c === '`') return 'a command substitution';
    if (c === '$' && EXPANSION_START.test(next)) return describeExpansion(next);
    if (c === '\\' && next !== '' && '$`"\\'.includes(next)) {
      value += next;
      at += 2;
      continue;
    }
    value += c;
    at++;
  }
  return 'a quote that does not close';
}

const ANSI_C_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['\\', '\\'],
  ["'", "'"],
  ['"', '"'],
  ['?', '?'],
]);

/** Only escapes that give printable ASCII, tab or line feed: what the rest gives depends on the locale or hides text. */
function decodeAnsiC(raw: string, start: number): Quoted {
  let value = '';
  let at = start;
  while (at < raw.length) {
    const c = raw[at] ?? '';
    if (c === "'") return { value, end: at + 1 };
    if (c !== '\\') {
      value += c;
      at++;
      continue;
    }
    const simple = ANSI_C_ESCAPES.get(raw[at + 1] ?? '');
    if (simple !== undefined) {
      value += simple;
      at += 2;
      continue;
    }
    const match = /^(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8}))/.exec(raw.slice(at + 1, at + 10));
    const code = match === null ? 0 : Number.parseInt(match[2] ?? match[1] ?? match[3] ?? match[4] ?? '', match[2] === undefined ? 16 : 8);
    if (match === null || !((code >= 0x20 && code < 0x7f) || code === 9 || code === 10)) return 'an escape that hides what it stands for';
    value += String.fromCharCode(code);
    at += 1 + match[0].length;
  }
  return 'a quote that does not close';
}

/** Index of the `]` that ends a plain bracket pattern; -1 where the `[` means itself; null where bash may see it either way. */
function findBracketEnd(raw: string, open: number): number | null {
  let at = open + 1;
  if (raw[at] === '!' || raw[at] === '^') at++;
  if (raw[at] === ']') at++;
  while (at < raw.length) {
    const c = raw[at] ?? '';
    if (c === ']') return at;
    if (!/[\w.,%+@ -]/.test(c) || c === ' ') return raw.includes(']', at) ? null : -1;
    at++;
  }
  return -1;
}

// ---- braces -------------------------------------------------------------------------------------------------------------

/** Expands braces in raw text without expansions, as bash does. Null: too many, or of a kind that is not read here. */
function expandBraces(raw: string): string[] | null {
  if (raw.length > MAX_BRACE_LENGTH) return null;
  const pieces = expandFrom(raw, { steps: 20_000 });
  // A dollar or backtick that is only text would start something else once the braces are gone.
  return pieces === null || pieces.length === 1 || !/[$`]/.test(raw) ? pieces : null;
}

const MAX_BRACE_LENGTH = 4096;

interface Budget {
  steps: number;
}

function expandFrom(raw: string, budget: Budget): string[] | null {
  for (let open = nextUnquoted(raw, 0, '{'); open >= 0; open = nextUnquoted(raw, open + 1, '{')) {
    const group = readGroup(raw, open, budget);
    budget.steps -= 50;
    if (group === null || budget.steps < 0) return null;
    if (group === 'literal') continue;
    const before = raw.slice(0, open);
    const rest = expandFrom(raw.slice(group.end + 1), budget);
    if (rest === null) return null;
    const words: string[] = [];
    for (const piece of group.pieces) {
      const middles = expandFrom(piece, budget);
      if (middles === null) return null;
      for (const middle of middles) {
        for (const tail of rest) {
          if (words.length >= MAX_BRACE_WORDS) return null;
          words.push(before + middle + tail);
        }
      }
    }
    return words;
  }
  return [raw];
}

function readGroup(raw: string, open: number, budget: Budget): { pieces: string[]; end: number } | 'literal' | null {
  let depth = 0;
  let commas: number[] = [];
  let dots = false;
  for (let at = open + 1; at < raw.length; at++) {
    if (--budget.steps < 0) return null;
    const skip = skipQuoted(raw, at);
    if (skip > at) {
      at = skip - 1;
      continue;
    }
    const c = raw[at];
    if (c === '{') depth++;
    else if (c === ',' && depth === 0) commas = [...commas, at];
    else if (c === '.' && raw[at + 1] === '.' && depth === 0) dots = true;
    else if (c === '}' && depth > 0) depth--;
    else if (c === '}' && commas.length > 0) {
      if (commas.length > MAX_BRACE_WORDS) return null;
      const cuts = [open, ...commas, at];
      return { pieces: cuts.slice(0, -1).map((cut, i) => raw.slice(cut + 1, cuts[i + 1])), end: at };
    } else if (c === '}' && dots) {
      const pieces = expandSequence(raw.slice(open + 1, at));
      return pieces === null ? null : { pieces, end: at };
    }
  }
  return 'literal';
}

/** `1..5`, `a..e`; sequences with steps, signs or padding are not read. */
function expandSequence(text: string): string[] | null {
  const match = /^(?:(0|[1-9]\d{0,5})\.\.(0|[1-9]\d{0,5})|([a-z])\.\.([a-z])|([A-Z])\.\.([A-Z]))$/.exec(text);
  if (match === null) return null;
  const letters = match[1] === undefined;
  const codeOf = (end: string | undefined) => (letters ? (end ?? '').charCodeAt(0) : Number(end));
  const from = codeOf(match[1] ?? match[3] ?? match[5]);
  const to = codeOf(match[2] ?? match[4] ?? match[6]);
  const count = Math.abs(to - from) + 1;
  if (count > MAX_BRACE_WORDS) return null;
  const step = to >= from ? 1 : -1;
  return Array.from({ length: count }, (_, i) => (letters ? String.fromCharCode(from + i * step) : String(from + i * step)));
}

function nextUnquoted(raw: string, from: number, wanted: string): number {
  for (let at = from; at < raw.length; at++) {
    const skip = skipQuoted(raw, at);
    if (skip > at) at = skip - 1;
    else if (raw[at] === wanted) return at;
  }
  return -1;
}

/** The index behind a quoted stretch or an escaped character that starts at `at`; `at` itself where none does. */
function skipQuoted(raw: string, at: number): number {
  const c = raw[at];
  if (c === '\\') return at + 2;
  if (c === "'") {
    const close = raw.indexOf("'", at + 1);
    return close < 0 ? raw.length : close + 1;
  }
  if (c === '"') {
    for (let end = at + 1; end < raw.length; end++) {
      if (raw[end] === '\\') end++;
      else if (raw[end] === '"') return end + 1;
    }
    return raw.length;
  }
  return at;
}
