/**
 * Command lines that say plainly what they run: literal words, joined by pipes and lists, and nothing that bash would expand, substitute
 * or group. A second reading, independent of the parser: a standing grant stands only on lines that both read alike (docs/approvals.md).
 * What is not certain is not plain.
 */
import { findOddCharacter } from './characters.ts';

/** What joins two commands of a line. */
export type Join = '|' | '&&' | '||' | ';';

/** A word as the program receives it; `bare` where it stands in the line without quotes. */
export interface PlainWord {
  text: string;
  bare: boolean;
}

export interface PlainCommand {
  words: readonly PlainWord[];
  /** Its redirections as written; only those that send messages away. */
  redirections: readonly string[];
  /** What stands between it and the next command; null at the end. */
  join: Join | null;
}

/** Characters that mean only themselves outside quotes. */
const BARE = /[A-Za-z0-9_./,:=@%+^-]/;
const REDIRECTION = /^(?:2>&1|[12]?>\/dev\/null)(?= |$)/;
const MAX_LENGTH = 8_192;

/** Reads a line. @returns its commands in order, or null where it is not plain. Never throws; linear in its length. */
export function readPlainLine(line: string): readonly PlainCommand[] | null {
  const text = line.trim();
  if (text === '' || text.length > MAX_LENGTH || findOddCharacter(text) !== null) return null;
  const commands: PlainCommand[] = [];
  let words: PlainWord[] = [];
  let redirections: string[] = [];
  let at = 0;
  const close = (join: Join | null): boolean => {
    const [program] = words;
    // A first word with "=" would set a variable.
    if (program === undefined || program.text === '' || program.text.includes('=')) return false;
    commands.push({ words, redirections, join });
    words = [];
    redirections = [];
    return true;
  };
  while (at < text.length) {
    if (text[at] === ' ') {
      at++;
      continue;
    }
    const redirection = REDIRECTION.exec(text.slice(at, at + 12))?.[0];
    if (redirection !== undefined) {
      redirections.push(redirection);
      at += redirection.length;
      continue;
    }
    const join = readJoin(text, at);
    if (join !== null) {
      if (!close(join)) return null;
      at += join.length;
      continue;
    }
    const word = readPlainWord(text, at);
    if (word === null) return null;
    words.push(word.word);
    at = word.end;
  }
  return close(null) ? commands : null;
}

function readJoin(text: string, at: number): Join | null {
  const two = text.slice(at, at + 2);
  if (two === '&&' || two === '||') return two;
  if (two === '|&' || two === ';;') return null;
  const one = text[at];
  return one === '|' || one === ';' ? one : null;
}

function readPlainWord(text: string, from: number): { word: PlainWord; end: number } | null {
  let value = '';
  let bare = true;
  let at = from;
  while (at < text.length) {
    const c = text[at] ?? '';
    if (c === "'" || c === '"') {
      const end = text.indexOf(c, at + 1);
      if (end < 0) return null;
      const inside = text.slice(at + 1, end);
      if (c === '"' && /[$`\\!]/.test(inside)) return null;
      value += inside;
      bare = false;
      at = end + 1;
    } else if (BARE.test(c)) {
      value += c;
      at++;
    } else break;
  }
  const next = text[at];
  if (at === from || (next !== undefined && next !== ' ' && next !== ';' && next !== '|' && next !== '&')) return null;
  return { word: { text: value, bare }, end: at };
}
