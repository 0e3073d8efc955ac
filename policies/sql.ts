/**
 * Says whether the text of a query changes or destroys what it should only read. Not a parser of SQL: words where statements start, outside
 * comments, strings and quoted names, which is enough to keep a reading tool from being used for writing.
 */
const THINGS = 'table database schema view index user role function trigger procedure sequence column collection materialized'.split(' ');

/** Statements that change a database: their first word, and what must follow for it to be one and not an ordinary word of a question. */
const STATEMENTS: ReadonlyMap<string, 'anything' | readonly string[]> = new Map<string, 'anything' | readonly string[]>([
  ['drop', THINGS],
  ['alter', [...THINGS, 'system']],
  ['create', [...THINGS, 'or', 'temp', 'temporary', 'unique', 'extension']],
  ['delete', ['from']],
  ['insert', ['into', 'ignore', 'overwrite']],
  ['replace', ['into']],
  ['merge', ['into']],
  ['truncate', 'anything'],
  ['grant', 'anything'],
  ['revoke', 'anything'],
  ['copy', 'anything'],
]);

/** Whether a query does more than read. A statement counts where it starts: at the beginning, after ";" or in parentheses (a WITH query). */
export function changesData(text: string): boolean {
  const words = wordsOfSql(text);
  return words.some((word, i) => {
    const before = words[i - 1];
    if (before !== undefined && before !== ';' && before !== '(') return false;
    const next = words[i + 1] ?? '';
    if (word === 'update') return words.slice(i + 1, i + 6).includes('set');
    const follows = STATEMENTS.get(word);
    return follows !== undefined && (follows === 'anything' ? /^[a-z_]/.test(next) : follows.includes(next));
  });
}

/** Words, ";" and "(" outside comments, strings and quoted names, in lower case. One pass; an unfinished quote reaches to the end. */
function wordsOfSql(text: string): readonly string[] {
  const words: string[] = [];
  const after = (end: string, from: number) => {
    const at = text.indexOf(end, from);
    return at < 0 ? text.length : at + end.length;
  };
  for (let i = 0; i < text.length; ) {
    const character = text.charAt(i);
    if (/[A-Za-z_]/.test(character)) {
      let end = i + 1;
      while (end < text.length && /[A-Za-z0-9_$]/.test(text.charAt(end))) end++;
      words.push(text.slice(i, end).toLowerCase());
      i = end;
    } else if (text.startsWith('--', i)) i = after('\n', i);
    // MySQL runs what stands in a comment that begins with "!".
    else if (text.startsWith('/*', i) && text.charAt(i + 2) !== '!') i = after('*/', i + 2);
    else if (character === "'" || character === '"' || character === '`') {
      words.push(character);
      i = after(character, i + 1);
    } else {
      if (character === ';' || character === '(') words.push(character);
      i++;
    }
  }
  return words;
}
