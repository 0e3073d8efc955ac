/** A policy as text on the screen: which lines differ from another version, what of a line is key, value and comment. Pure. */
import { diffLines } from 'diff';

/** Numbers (from 1) of the lines of `text` that are not in `base`, and after which lines something was taken out. */
export interface LineChanges {
  added: ReadonlySet<number>;
  removedAfter: ReadonlyMap<number, number>;
}

export function changedLines(base: string, text: string): LineChanges {
  const added = new Set<number>();
  const removedAfter = new Map<number, number>();
  let line = 0;
  for (const part of diffLines(base, text)) {
    const count = part.count ?? 0;
    if (part.removed) {
      removedAfter.set(line, count);
      continue;
    }
    if (part.added) for (let i = 1; i <= count; i++) added.add(line + i);
    line += count;
  }
  return { added, removedAfter };
}

/** A stretch of a line of YAML. */
export interface Token {
  kind: 'key' | 'plain' | 'comment';
  text: string;
}

/** Enough of YAML to read by: keys, and comments that are not inside quotes. */
export function tokensOf(line: string): Token[] {
  const at = commentStart(line);
  const [code, comment] = at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at)];
  const key = /^(\s*(?:- )*)((?:"[^"]*"|'[^']*'|[\w.*@/-]+)\s*:)(?=\s|$)/.exec(code);
  const tokens: Token[] = [];
  if (key) {
    tokens.push(
      { kind: 'plain', text: key[1] ?? '' },
      { kind: 'key', text: key[2] ?? '' },
      { kind: 'plain', text: code.slice(key[0].length) },
    );
  } else tokens.push({ kind: 'plain', text: code });
  if (comment) tokens.push({ kind: 'comment', text: comment });
  return tokens.filter(({ text }) => text !== '');
}

function commentStart(line: string): number {
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const character = line[i] ?? '';
    if (quote) {
      if (character === quote) quote = '';
    } else if (character === '"' || character === "'") {
      if (i === 0 || /[\s[{,:-]/.test(line[i - 1] ?? '')) quote = character;
    } else if (character === '#' && (i === 0 || /\s/.test(line[i - 1] ?? ''))) {
      return i;
    }
  }
  return -1;
}
