/**
 * Profiles: what each listed command may be given. A profile names every option and operand it accepts and what it means
 * (a path that is read, a file that is written, plain data); whatever it does not name is refused, so an abbreviation, a
 * cluster or a new option of the program never slips through. The profiles on the default list are those of SPEC 4.4.
 */

import type { GlobToken } from './filesystem.ts';

/** A word whose value is known. */
export interface KnownWord {
  readonly value: string;
  readonly glob: readonly GlobToken[] | null;
}

/**
 * How a command would use a part of one of its words:
 * - `read` its content, `tree` its content and everything below it, `write` it;
 * - `list` its name or the names in it, `walk` the names of everything below it;
 * - `name` a pattern for names that a program matches itself;
 * - `target` git revision or path whose content may be shown, `stage` one that is taken up into the index;
 * - `code` a file or folder whose content runs, `place` the working directory whose configuration runs;
 * - `argument` handed to a script, which may read it as a path or an address;
 * - `enter` the working directory of the commands behind it.
 */
export type Usage = 'read' | 'tree' | 'write' | 'list' | 'walk' | 'name' | 'target' | 'stage' | 'code' | 'place' | 'argument' | 'enter';

/** One use; `text` is the part of word `at` that is meant. */
export interface WordUse {
  readonly at: number;
  readonly usage: Usage;
  readonly text: string;
  readonly glob: readonly GlobToken[] | null;
  /** For `code`: the folder it must lie in, relative to the workspace; null where any folder will do that agents cannot write. */
  readonly folder?: string | null;
  /** For `write` by a script's own option: said so to the person who reads. */
  readonly option?: string;
}

/** The command fits, with what it would touch. */
export interface Fit {
  readonly uses: readonly WordUse[];
  /** A file name that a leading glob gives could be taken for an option that matters. */
  readonly guardsLeadingGlob?: boolean;
}

/** The command is one of this profile's but asks for more than it allows. */
export interface Misfit {
  readonly why: string;
  /** Words to highlight. */
  readonly at: readonly number[];
}

/** One entry of the list, ready to match. `null` means: another command. */
export interface Profile {
  readonly name: string;
  readonly programs: readonly string[];
  match(words: readonly KnownWord[]): Fit | Misfit | null;
}

/** Names of the profiles that an entry switches on as they stand, for documents and messages. */
export function listProfileNames(): string[] {
  return [...PLAIN_PROFILES.keys(), 'npm test', 'npm run NAME', 'pnpm NAME', 'yarn NAME', 'node DIR/', 'python DIR/'];
}

/**
 * Finds the profile that a policy entry names, or null where it names none. Besides fixed names: `npm|pnpm|yarn [run] NAME`
 * (the script NAME and its kin `NAME:…`), `node DIR/` and `python DIR/` (files below DIR), and a runner with a folder
 * (`pytest tests/`), which accepts operands in that folder even where agents may write.
 */
export function findProfile(entry: string): Profile | null {
  const plain = PLAIN_PROFILES.get(entry);
  if (plain !== undefined) return plain;
  const script = /^(npm|pnpm|yarn)(?: run)? ([a-z][\w.-]*)$/.exec(entry);
  if (script !== null && (entry.includes(' run ') || script[2] === 'test' || script[1] !== 'npm')) {
    return scriptProfile(entry, script[1] ?? '', script[2] ?? '');
  }
  const folder = /^(node|python3?|vitest|pytest|python3? -m pytest|eslint) ((?:[\w.-]+\/)+)$/.exec(entry);
  if (folder === null) return null;
  const path = (folder[2] ?? '').slice(0, -1);
  if (path.split('/').some((segment) => segment === '..' || segment === '.')) return null;
  const program = folder[1] ?? '';
  if (program === 'node') return interpreterProfile(entry, ['node'], NODE_OPTIONS, path);
  if (program === 'python' || program === 'python3') return interpreterProfile(entry, ['python', 'python3'], PYTHON_OPTIONS, path);
  return RUNNERS.get(program)?.(entry, path) ?? null;
}

// ---- options ------------------------------------------------------------------------------------------------------------

/**
 * `data` is any text, `word` a plain name (no path, nothing that could be loaded from one), `number` digits, `lines` a range
 * and its file, `off` a plugin that is switched off, `warning` a filter that names no module.
 */
type ValueKind = 'data' | 'word' | 'number' | 'read' | 'write' | 'lines' | 'off' | 'warning';

interface OptionRule {
  readonly takes: 'nothing' | 'value' | 'optional';
  readonly kind: ValueKind;
}

interface OptionTable {
  readonly short: ReadonlyMap<string, OptionRule>;
  readonly long: ReadonlyMap<string, OptionRule>;
  /** `-20` counts as an option of its own (head, tail, grep, git log). */
  readonly digits: boolean;
}

/**
 * Builds a table. `flags` are letters that take nothing; `valued` letters with the kind of their value; `long` names apart
 * by spaces: `all`, `sort=` (a value, plain text), `color?` (only glued behind `=`), `max=number`, `out=write`.
 */
function options(flags: string, valued: Readonly<Record<string, ValueKind>>, long: string, digits = false): OptionTable {
  const short = new Map<string, OptionRule>();
  for (const flag of flags) short.set(flag, { takes: 'nothing', kind: 'data' });
  for (const [letter, kind] of Object.entries(valued)) {
    short.set(letter.slice(0, 1), { takes: letter.endsWith('?') ? 'optional' : 'value', kind });
  }
  const names = new Map<string, OptionRule>();
  for (const token of long.split(/\s+/).filter((name) => name !== '')) {
    const match = /^([\w-]+)([=?]?)(\w*)$/.exec(token);
    const takes = match?.[2] === '=' ? 'value' : match?.[2] === '?' ? 'optional' : 'nothing';
    names.set(match?.[1] ?? token, { takes, kind: asKind(match?.[3]) });
  }
  return { short, long: names, digits };
}

function asKind(text: string | undefined): ValueKind {
  switch (text) {
    case 'word':
    case 'number':
    case 'read':
    case 'write':
    case 'lines':
      return text;
    default:
      return 'data';
  }
}

interface Scan {
  /** Option names as written without dashes (`n`, `recursive`) → the word they stand in. */
  readonly seen: ReadonlyMap<string, number>;
  readonly uses: readonly WordUse[];
  /** Indexes of the words that are neither options nor their values. */
  readonly operands: readonly number[];
  /** The first index behind `--`, or the number of words. */
  readonly dashes: number;
}

type Scanned = Scan | Misfit;

/** Reads options and operands in any order, as GNU programs and git do. `stopAtOperand` ends at the first operand. */
function scan(words: readonly KnownWord[], from: number, table: OptionTable, stopAtOperand = false): Scanned {
  const seen = new Map<string, number>();
  const uses: WordUse[] = [];
  const operands: number[] = [];
  let at = from;
  for (; at < words.length; at++) {
    const word = words[at]?.value ?? '';
    if (word === '--') {
      for (let rest = at + 1; rest < words.length; rest++) operands.push(rest);
      return { seen, uses, operands, dashes: at + 1 };
    }
    if (!word.startsWith('-') || word === '-') {
      operands.push(at);
      if (!stopAtOperand) continue;
      for (let rest = at + 1; rest < words.length; rest++) operands.push(rest);
      break;
    }
    const step = word.startsWith('--') ? readLong(words, at, table) : readShort(words, at, table);
    if ('why' in step) return step;
    for (const name of step.names) seen.set(name, at);
    if (step.value !== null) {
      const problem = describeValueProblem(step.value.text, step.value.kind);
      if (problem !== null) return { why: problem, at: [at] };
      const usage = step.value.kind;
      if (usage === 'read' || usage === 'write') uses.push({ at: step.value.at, usage, text: step.value.text, glob: null });
      // A runner that knows no such option would take the value for a file.
      if (usage === 'data' && table === SCRIPT_ARGUMENTS && !/\s/.test(step.value.text)) {
        uses.push({ at: step.value.at, usage: 'code', text: step.value.text, glob: null, folder: null });
      }
      if (usage === 'lines') uses.push({ at: step.value.at, usage: 'target', text: linesPath(step.value.text), glob: null });
    }
    at = step.last;
  }
  return { seen, uses, operands, dashes: words.length };
}

interface OptionStep {
  names: string[];
  value: { text: string; kind: ValueKind; at: number } | null;
  /** The last word that was used. */
  last: number;
}

function readLong(words: readonly KnownWord[], at: number, table: OptionTable): OptionStep | Misfit {
  const word = words[at]?.value ?? '';
  const equals = word.indexOf('=');
  const name = word.slice(2, equals < 0 ? undefined : equals);
  const rule = table.long.get(name);
  if (rule === undefined) return { why: `the option --${name} is not on the list`, at: [at] };
  if (equals >= 0) {
    if (rule.takes === 'nothing') return { why: `the option --${name} takes no value`, at: [at] };
    return { names: [name], value: { text: word.slice(equals + 1), kind: rule.kind, at }, last: at };
  }
  if (rule.takes !== 'value') return { names: [name], value: null, last: at };
  const value = words[at + 1];
  if (value === undefined) return { why: `the option --${name} lacks its value`, at: [at] };
  if (!mayFollow(value.value, rule.kind)) return { why: `what follows --${name} could be an option`, at: [at + 1] };
  return { names: [name], value: { text: value.value, kind: rule.kind, at: at + 1 }, last: at + 1 };
}

function readShort(words: readonly KnownWord[], at: number, table: OptionTable): OptionStep | Misfit {
  const word = words[at]?.value ?? '';
  if (table.digits && /^-\d{1,9}$/.test(word)) return { names: ['#'], value: null, last: at };
  const names: string[] = [];
  for (let i = 1; i < word.length; i++) {
    const letter = word[i] ?? '';
    const rule = table.short.get(letter);
    if (rule === undefined) return { why: `the option -${letter} is not on the list`, at: [at] };
    names.push(letter);
    if (rule.takes === 'nothing') continue;
    const glued = word.slice(i + 1);
    if (glued !== '') return { names, value: { text: glued, kind: rule.kind, at }, last: at };
    if (rule.takes === 'optional') return { names, value: null, last: at };
    const value = words[at + 1];
    if (value === undefined) return { why: `the option -${letter} lacks its value`, at: [at] };
    if (!mayFollow(value.value, rule.kind)) return { why: `what follows -${letter} could be an option`, at: [at + 1] };
    return { names, value: { text: value.value, kind: rule.kind, at: at + 1 }, last: at + 1 };
  }
  return { names, value: null, last: at };
}

/** A separate value that looks like an option might be one after all, where a program reads its options otherwise. */
function mayFollow(value: string, kind: ValueKind): boolean {
  return !value.startsWith('-') || kind === 'number' || value === '-';
}

function describeValueProblem(text: string, kind: ValueKind): string | null {
  if (kind === 'word' && !/^[\w+][\w+-]*%?$/.test(text)) return `"${text}" is not a plain name`;
  if (kind === 'off' && !/^no:[\w.-]+$/.test(text)) return `"${text}" would be loaded`;
  if (kind === 'warning' && !/^[a-z]+(?:::[A-Za-z]*)?$/.test(text)) return `"${text}" could load a module`;
  if (kind === 'number' && !/^[+-]?\d{1,15}[A-Za-z]{0,3}%?$/.test(text)) return `"${text}" is not a number`;
  return null;
}

/** `10,20:src/a.ts` and `:name:src/a.ts` → `src/a.ts`. */
function linesPath(text: string): string {
  return text.slice(text.lastIndexOf(':') + 1);
}

/** Uses of a list of operands, each as one kind. */
function usesOf(words: readonly KnownWord[], operands: readonly number[], usage: Usage): WordUse[] {
  return operands.flatMap((at) => {
    const word = words[at];
    return word === undefined ? [] : [{ at, usage, text: word.value, glob: word.glob }];
  });
}

// ---- files --------------------------------------------------------------------------------------------------------------

const LS_OPTIONS = options(
  'aAbBcCdfFgGhHiIklLmnNopqQrRsStuUvxXZ1',
  { I: 'data', w: 'number', T: 'number' },
  `all almost-all author escape block-size= ignore-backups color? colour? directory dired classify? file-type format=word full-time
   group-directories-first no-group human-readable si dereference-command-line dereference-command-line-symlink-to-dir hide=
   hyperlink? indicator-style=word inode ignore= kibibytes dereference numeric-uid-gid literal hide-control-chars
   show-control-chars quote-name quoting-style=word reverse recursive size sort=word time=word time-style= tabsize=number
   width=number context zero help version`,
);

const CAT_OPTIONS = options(
  'AbeEnstTuv',
  {},
  'show-all number-nonblank show-ends number squeeze-blank show-tabs show-nonprinting help version',
);

const HEAD_OPTIONS = options(
  'qvz',
  { c: 'number', n: 'number' },
  'bytes=number lines=number quiet silent verbose zero-terminated help version',
  true,
);

const TAIL_OPTIONS = options(
  'fFqvz',
  { c: 'number', n: 'number', s: 'number' },
  'bytes=number lines=number follow? quiet silent verbose retry sleep-interval=number pid=number max-unchanged-stats=number zero-terminated help version',
  true,
);

const GREP_OPTIONS = options(
  'EFGPivyxwclLoqsbHhnTzZarRIU',
  { e: 'data', m: 'number', A: 'number', B: 'number', C: 'number' },
  `extended-regexp fixed-strings basic-regexp perl-regexp regexp= ignore-case no-ignore-case invert-match word-regexp
   line-regexp count color? colour? files-without-match files-with-matches max-count=number only-matching quiet silent
   no-messages byte-offset with-filename no-filename label= line-number initial-tab null after-context=number
   before-context=number context=number text binary-files=word include= exclude= exclude-dir= recursive
   dereference-recursive line-buffered binary null-data help version`,
  true,
);

const WC_OPTIONS = options('clmwL', {}, 'bytes chars lines words max-line-length total=word help version');
const SORT_OPTIONS = options(
  'bdfghiMnrRVcCmsuz',
  { k: 'data', t: 'data', S: 'data' },
  `ignore-leading-blanks dictionary-order ignore-case general-numeric-sort human-numeric-sort ignore-nonprinting month-sort
   numeric-sort reverse random-sort version-sort sort=word check? merge key= field-separator= stable unique zero-terminated
   parallel=number help version`,
);
const UNIQ_OPTIONS = options(
  'cdDiuz',
  { f: 'number', s: 'number', w: 'number' },
  'count repeated all-repeated? skip-fields=number group? ignore-case skip-chars=number unique zero-terminated check-chars=number help version',
);
const CUT_OPTIONS = options(
  'nsz',
  { b: 'data', c: 'data', d: 'data', f: 'data' },
  'bytes= characters= delimiter= fields= complement only-delimited output-delimiter= zero-terminated help version',
);
const TR_OPTIONS = options('cCdst', {}, 'complement delete squeeze-repeats truncate-set1 help version');
const NO_OPTIONS = options('', {}, '');

type Matcher = (words: readonly KnownWord[]) => Fit | Misfit | null;

function readsOperands(table: OptionTable): Matcher {
  return (words) => {
    const scanned = scan(words, 1, table);
    return 'why' in scanned ? scanned : { uses: [...scanned.uses, ...usesOf(words, scanned.operands, 'read')] };
  };
}

const matchLs: Matcher = (words) => {
  const scanned = scan(words, 1, LS_OPTIONS);
  if ('why' in scanned) return scanned;
  const usage = scanned.seen.has('R') || scanned.seen.has('recursive') ? 'walk' : 'list';
  if (scanned.operands.length === 0) return { uses: [{ at: 0, usage, text: '.', glob: null }] };
  return { uses: usesOf(words, scanned.operands, usage) };
};

const matchPwd: Matcher = (words) => {
  const scanned = scan(words, 1, options('LP', {}, ''));
  if ('why' in scanned) return scanned;
  return scanned.operands.length === 0 ? { uses: [] } : { why: 'pwd takes no operands', at: scanned.operands };
};

const matchGrep: Matcher = (words) => {
  const scanned = scan(words, 1, GREP_OPTIONS);
  if ('why' in scanned) return scanned;
  const { seen } = scanned;
  const hasPattern = seen.has('e') || seen.has('regexp');
  const files = hasPattern ? scanned.operands : scanned.operands.slice(1);
  const pattern = hasPattern ? undefined : scanned.operands[0];
  if (!hasPattern && pattern === undefined && !seen.has('help') && !seen.has('version')) return { why: 'grep lacks its pattern', at: [0] };
  const recursive = ['r', 'R', 'recursive', 'dereference-recursive'].some((name) => seen.has(name));
  if (!recursive) return { uses: usesOf(words, files, 'read') };
  // With --include only files of these names are opened: ordinary ones open the whole workspace, secret ones name secrets.
  const included = includedNames(words);
  const usage = included.length > 0 && included.every(({ value }) => ORDINARY_EXTENSION.test(value)) ? 'walk' : 'tree';
  const named = included.map(({ value, at }) => nameTestUse(value, at));
  return { uses: [...named, ...(files.length > 0 ? usesOf(words, files, usage) : [{ at: 0, usage, text: '.', glob: null } as const])] };
};

/** `*.ts` and its like: an extension that no secret file has. */
const ORDINARY_EXTENSION = /^\*\.(?!(?:env|pem|key|p12|pfx|jks|json|ya?ml|toml|ini|txt|keystore|kdbx|ppk)$)\w+$/i;

function includedNames(words: readonly KnownWord[]): { value: string; at: number }[] {
  return words.flatMap((word, at) => {
    if (word.value.startsWith('--include=')) return [{ value: word.value.slice('--include='.length), at }];
    const value = word.value === '--include' ? words[at + 1]?.value : undefined;
    return value === undefined ? [] : [{ value, at: at + 1 }];
  });
}

const matchSed: Matcher = (words) => {
  if (words[1]?.value !== '-n') return null;
  const script = words[2]?.value ?? '';
  if (!/^(?:\d{1,9}|\$)(?:,(?:\d{1,9}|\$))?p$/.test(script)) return { why: 'sed may only print lines by number, as in -n 10,20p', at: [2] };
  const scanned = scan(words, 3, NO_OPTIONS);
  return 'why' in scanned ? scanned : { uses: usesOf(words, scanned.operands, 'read') };
};

const matchUniq: Matcher = (words) => {
  const scanned = scan(words, 1, UNIQ_OPTIONS);
  if ('why' in scanned) return scanned;
  const [input, output] = scanned.operands;
  const uses = input === undefined ? [] : usesOf(words, [input], 'read');
  return { uses: output === undefined ? uses : [...uses, ...usesOf(words, [output], 'write')] };
};

const matchData: Matcher = (words) => ({ uses: [], guardsLeadingGlob: words.some((word) => word.glob !== null) });

const matchTr: Matcher = (words) => {
  const scanned = scan(words, 1, TR_OPTIONS);
  return 'why' in scanned ? scanned : { uses: [] };
};

const matchCd: Matcher = (words) => {
  const operand = words[1]?.value === '--' ? 2 : 1;
  const target = words[operand];
  if (target === undefined || words.length !== operand + 1 || target.value.startsWith('-') || target.value === '' || target.glob !== null) {
    return { why: 'cd needs exactly one folder that is written out', at: words.map((_, i) => i) };
  }
  return { uses: [{ at: operand, usage: 'enter', text: target.value, glob: null }] };
};

// ---- find ---------------------------------------------------------------------------------------------------------------

/** Tests and actions of find that neither run nor write anything, with the kind of value each takes. */
const FIND_EXPRESSIONS: ReadonlyMap<string, ValueKind | 'nothing'> = new Map<string, ValueKind | 'nothing'>([
  ...['name', 'iname', 'path', 'ipath', 'wholename', 'iwholename', 'regex', 'iregex', 'lname', 'ilname'].map(
    (name) => [name, 'data'] as const,
  ),
  ...['regextype', 'type', 'xtype', 'user', 'group', 'fstype', 'context'].map((name) => [name, 'data'] as const),
  ...['size', 'mtime', 'mmin', 'atime', 'amin', 'ctime', 'cmin', 'used', 'uid', 'gid', 'links', 'inum', 'perm'].map(
    (name) => [name, 'data'] as const,
  ),
  ...['maxdepth', 'mindepth'].map((name) => [name, 'number'] as const),
  ...['newer', 'anewer', 'cnewer', 'samefile'].map((name) => [name, 'read'] as const),
  ...['newermt', 'newerat', 'newerct', 'printf'].map((name) => [name, 'data'] as const),
  ...['depth', 'd', 'empty', 'prune', 'print', 'print0', 'ls', 'quit', 'readable', 'writable', 'executable', 'true', 'false'].map(
    (name) => [name, 'nothing'] as const,
  ),
  ...['not', 'a', 'and', 'o', 'or', 'daystart', 'follow', 'mount', 'xdev', 'noleaf', 'nogroup', 'nouser', 'warn', 'nowarn'].map(
    (name) => [name, 'nothing'] as const,
  ),
  ...['ignore_readdir_race', 'noignore_readdir_race', 'help', 'version'].map((name) => [name, 'nothing'] as const),
]);

/** Options whose value names files: asking for a secret by name is naming it. */
const FIND_NAME_TESTS = new Set(['name', 'iname', 'path', 'ipath', 'wholename', 'iwholename', 'lname', 'ilname']);

const matchFind: Matcher = (words) => {
  const uses: WordUse[] = [];
  let at = 1;
  while (/^-[HLP]$/.test(words[at]?.value ?? '')) at++;
  if (words[at]?.value === '--') at++;
  const start = at;
  while (at < words.length && !/^(?:-.*|[(),!])$/s.test(words[at]?.value ?? '')) at++;
  for (let i = start; i < at; i++) {
    const word = words[i];
    if (word !== undefined) uses.push({ at: i, usage: 'walk', text: word.value, glob: word.glob });
  }
  if (start === at) uses.push({ at: 0, usage: 'walk', text: '.', glob: null });
  for (; at < words.length; at++) {
    const word = words[at]?.value ?? '';
    if (word === '(' || word === ')' || word === '!' || word === ',') continue;
    const name = word.startsWith('-') ? word.slice(1) : '';
    const takes = FIND_EXPRESSIONS.get(name);
    if (takes === undefined) {
      return { why: word.startsWith('-') ? `the action or test ${word} is not on the list` : `"${word}" is out of place`, at: [at] };
    }
    if (takes === 'nothing') continue;
    const value = words[++at];
    if (value === undefined) return { why: `${word} lacks its value`, at: [at - 1] };
    if (takes === 'number' && describeValueProblem(value.value, 'number') !== null)
      return { why: `"${value.value}" is not a number`, at: [at] };
    if (takes === 'read') uses.push({ at, usage: 'read', text: value.value, glob: value.glob });
    if (FIND_NAME_TESTS.has(name)) uses.push(nameTestUse(value.value, at));
  }
  return { uses, guardsLeadingGlob: true };
};

/** A name test is a pattern, however it was quoted. */
function nameTestUse(text: string, at: number): WordUse {
  return { at, usage: 'name', text, glob: null };
}

// ---- git ----------------------------------------------------------------------------------------------------------------

/** What shows a difference and neither runs a program nor writes a file nor reads one outside the repository. */
const DIFF_LONG = `patch no-patch unified?number raw patch-with-raw indent-heuristic no-indent-heuristic minimal patience histogram
  anchored= diff-algorithm=word stat? compact-summary numstat shortstat dirstat? cumulative dirstat-by-file? summary
  patch-with-stat name-only name-status submodule? color? no-color color-moved? no-color-moved color-moved-ws= word-diff?
  word-diff-regex= color-words? no-renames rename-empty no-rename-empty check ws-error-highlight= full-index binary abbrev?
  no-abbrev break-rewrites? find-renames? find-copies? find-copies-harder irreversible-delete find-object= pickaxe-all pickaxe-regex
  diff-filter=word relative? no-relative text ignore-cr-at-eol ignore-space-at-eol ignore-space-change ignore-all-space
  ignore-blank-lines ignore-matching-lines= inter-hunk-context=number function-context exit-code quiet no-ext-diff
  no-textconv ignore-submodules? src-prefix= dst-prefix= no-prefix default-prefix line-prefix= ita-invisible-in-index
  ita-visible-in-index skip-to= rotate-to=`;

const DIFF_SHORT = {
  U: 'number',
  S: 'data',
  G: 'data',
  l: 'number',
  I: 'data',
  'B?': 'data',
  'M?': 'data',
  'C?': 'data',
  'X?': 'data',
} as const;

const GIT_STATUS_OPTIONS = options(
  'sbvz',
  { 'u?': 'word', 'M?': 'word' },
  `short branch show-stash porcelain? long verbose untracked-files? ignore-submodules? ignored? column? no-column ahead-behind
   no-ahead-behind renames no-renames find-renames?`,
);

const GIT_DIFF_OPTIONS = options('pusbwaRWDz0123', DIFF_SHORT, `${DIFF_LONG} cached staged merge-base base ours theirs`);

const GIT_LOG_OPTIONS = options(
  'pusbwaRWDziEFPgcmtqr',
  { ...DIFF_SHORT, n: 'number', L: 'lines' },
  `${DIFF_LONG} oneline max-count=number skip=number since= after= until= before= since-as-filter= author= committer= grep= grep-reflog=
   all-match invert-grep regexp-ignore-case basic-regexp extended-regexp fixed-strings perl-regexp remove-empty merges
   no-merges min-parents?number max-parents?number no-min-parents no-max-parents first-parent not all branches? tags? remotes?
   glob= exclude= reflog ignore-missing cherry-mark cherry-pick left-only right-only cherry walk-reflogs merge boundary
   simplify-by-decoration show-pulls full-history dense sparse simplify-merges ancestry-path? date-order author-date-order
   topo-order reverse no-walk? do-walk pretty? format? abbrev-commit no-abbrev-commit encoding= expand-tabs? no-expand-tabs notes?
   no-notes show-notes? relative-date date= parents children left-right graph no-graph show-linear-break? cc
   combined-all-paths diff-merges=word no-diff-merges remerge-diff follow no-decorate decorate? decorate-refs=
   decorate-refs-exclude= source use-mailmap mailmap no-mailmap log-size clear-decorations`,
  true,
);

const GIT_SHOW_OPTIONS = GIT_LOG_OPTIONS;

const GIT_ADD_OPTIONS = options(
  'nvuAN',
  {},
  'dry-run verbose update all no-all no-ignore-removal ignore-removal intent-to-add refresh ignore-errors ignore-missing sparse renormalize',
);

const GIT_COMMIT_OPTIONS = options(
  'aqvsoiz',
  { m: 'data', 'u?': 'word' },
  `all quiet verbose message= allow-empty allow-empty-message signoff no-signoff status no-status dry-run short branch porcelain
   long null author= date= no-edit only include untracked-files? no-gpg-sign cleanup=word no-verbose`,
);

const GIT_CHECKOUT_OPTIONS = options('qt', { b: 'data' }, 'quiet progress no-progress track? no-track no-guess guess');

const GIT_BRANCH_OPTIONS = options(
  'arvqi',
  {},
  'all remotes list verbose show-current color? no-color column? no-column sort=word merged? no-merged? contains? no-contains? abbrev? no-abbrev ignore-case format=',
);

type GitMatcher = (words: readonly KnownWord[], from: number) => Fit | Misfit | null;

/** Options before the subcommand that change nothing about what runs. */
const GIT_HARMLESS = new Set(['--no-pager', '-P', '--no-optional-locks']);

function gitProfile(subcommand: string, match: GitMatcher): [string, Profile] {
  const name = `git ${subcommand}`;
  const verb = subcommand.split(' ')[0];
  return [
    name,
    {
      name,
      programs: ['git'],
      match(words) {
        let at = 1;
        while (GIT_HARMLESS.has(words[at]?.value ?? '')) at++;
        if (words[at]?.value !== verb) return null;
        const fit = match(words, at + 1);
        if (fit === null || 'why' in fit) return fit;
        return { uses: [{ at: 0, usage: 'place', text: '.', glob: null }, ...fit.uses], guardsLeadingGlob: fit.guardsLeadingGlob ?? true };
      },
    },
  ];
}

function showsTargets(table: OptionTable): GitMatcher {
  return (words, from) => {
    const scanned = scan(words, from, table);
    if ('why' in scanned) return scanned;
    const format = words.findIndex((word, i) => i >= from && i < scanned.dashes && runsSignatureCheck(word.value));
    if (format >= 0) return { why: 'the format asks for signatures, which runs a program', at: [format] };
    return { uses: [...scanned.uses, ...usesOf(words, scanned.operands, 'target')] };
  };
}

/** `%G?` and its kin make git run gpg. */
function runsSignatureCheck(text: string): boolean {
  return (
    /%G[?A-Z]|%\((?:signature|trailers:.*key)/.test(text) &&
    (text.startsWith('--format') || text.startsWith('--pretty') || text.includes('%G'))
  );
}

const matchGitStatus: GitMatcher = (words, from) => {
  const scanned = scan(words, from, GIT_STATUS_OPTIONS);
  return 'why' in scanned ? scanned : { uses: usesOf(words, scanned.operands, 'list') };
};

const matchGitAdd: GitMatcher = (words, from) => {
  const scanned = scan(words, from, GIT_ADD_OPTIONS);
  return 'why' in scanned ? scanned : { uses: usesOf(words, scanned.operands, 'stage'), guardsLeadingGlob: false };
};

const matchGitCommit: GitMatcher = (words, from) => {
  const scanned = scan(words, from, GIT_COMMIT_OPTIONS);
  if ('why' in scanned) return scanned;
  if (!scanned.seen.has('m') && !scanned.seen.has('message'))
    return { why: 'a commit needs its message in -m, else it opens an editor', at: [from - 1] };
  return { uses: usesOf(words, scanned.operands, 'target') };
};

const matchGitCheckout: GitMatcher = (words, from) => {
  const scanned = scan(words, from, GIT_CHECKOUT_OPTIONS);
  if ('why' in scanned) return scanned;
  if (!scanned.seen.has('b')) return { why: 'only checkout -b, which starts a branch, is on the list', at: [from - 1] };
  if (scanned.operands.length > 1 || scanned.dashes < words.length) {
    return { why: 'checkout -b takes a name and at most one starting point', at: scanned.operands };
  }
  return { uses: [] };
};

const matchGitBranch: GitMatcher = (words, from) => {
  const scanned = scan(words, from, GIT_BRANCH_OPTIONS);
  if ('why' in scanned) return scanned;
  const lists = scanned.operands.length === 0 || scanned.seen.has('list');
  return lists ? { uses: [] } : { why: 'only listing branches is on the list', at: scanned.operands };
};

// ---- tests and lint -------------------------------------------------------------------------------------------------------

/** What the common runners (vitest, jest, mocha, node:test, eslint, pytest) take without loading, writing or watching more. */
const SCRIPT_ARGUMENTS = options(
  'vqxsi',
  { t: 'data', g: 'data', k: 'data', w: 'number' },
  `run verbose silent quiet ci bail? testNamePattern= test-name-pattern= testPathPattern= testPathPatterns= grep= fgrep= runInBand
   passWithNoTests forceExit exit no-watch no-coverage no-color color colors no-colors maxWorkers=word max-workers=word
   timeout=number testTimeout=number retries=number retry=number max-warnings=number reporter=word watch=word watchAll=word coverage=word
   onlyFailures findRelatedTests detectOpenHandles logHeapUsage format=word ext= shard= tb=word maxfail=number parallel threads=word pool=word project=word no-cache`,
);

const REFUSED_WATCH = new Set(['watch', 'watchAll', 'coverage', 'threads']);

function scriptProfile(name: string, manager: string, script: string): Profile {
  return {
    name,
    programs: [manager],
    match(words) {
      const found = findScript(words, manager, script);
      if (found === null || 'why' in found) return found;
      // npm takes options up to `--` for itself; pnpm and yarn hand on everything behind the name.
      const rest = words.slice(found.at);
      const dashes = rest.findIndex((word) => word.value === '--');
      if (manager === 'npm') {
        const own = scan(dashes < 0 ? words : words.slice(0, found.at + dashes), found.at, NPM_OPTIONS);
        if ('why' in own) return own;
        if (dashes < 0) return runnerFit(own.operands, words, null, own.uses);
        const handed = scanHanded(words, found.at + dashes + 1);
        return 'why' in handed ? handed : runnerFit([...own.operands, ...handed.operands], words, null, [...own.uses, ...handed.uses]);
      }
      const handed = scanHanded(words, dashes === 0 ? found.at + 1 : found.at);
      return 'why' in handed ? handed : runnerFit(handed.operands, words, null, handed.uses);
    },
  };
}

function scanHanded(words: readonly KnownWord[], from: number): Scanned {
  const scanned = scan(words, from, SCRIPT_ARGUMENTS);
  if ('why' in scanned) return scanned;
  for (const name of REFUSED_WATCH) {
    const at = scanned.seen.get(name);
    if (at !== undefined && !/=(?:false|0)$/.test(words[at]?.value ?? ''))
      return { why: `--${name} is only accepted as --${name}=false`, at: [at] };
  }
  return scanned;
}

const NPM_OPTIONS = options('sw', {}, 'silent if-present workspace=read workspaces include-workspace-root no-color color?');

/** Finds the script's name behind `run`; null where the command is about another script or another verb. */
function findScript(words: readonly KnownWord[], manager: string, script: string): { at: number } | Misfit | null {
  let at = 1;
  while (words[at]?.value === '-s' || words[at]?.value === '--silent') at++;
  const explicit = words[at]?.value === 'run' || (manager !== 'yarn' && words[at]?.value === 'run-script');
  if (explicit) at++;
  while (explicit && (words[at]?.value === '-s' || words[at]?.value === '--silent')) at++;
  const name = words[at]?.value;
  if (name === undefined) return null;
  if (!explicit && manager === 'npm' && (name !== 'test' || script !== 'test')) return null;
  if (name !== script && !name.startsWith(`${script}:`)) return null;
  if (!/^[\w:.-]+$/.test(name)) return { why: 'the name of the script is not plain', at: [at] };
  return { at: at + 1 };
}

/** The working directory and every operand is a place whose code runs. */
function runnerFit(operands: readonly number[], words: readonly KnownWord[], folder: string | null, extra: readonly WordUse[] = []): Fit {
  const uses: WordUse[] = [{ at: 0, usage: 'place', text: '.', glob: null }, ...extra];
  for (const at of operands) {
    const word = words[at];
    if (word === undefined) continue;
    const text = word.value.split('::')[0] ?? '';
    uses.push({ at, usage: 'code', text, glob: word.glob, folder });
  }
  return { uses, guardsLeadingGlob: true };
}

const VITEST_OPTIONS = options(
  '',
  { t: 'data' },
  `run testNamePattern= test-name-pattern= reporter=word bail=number silent? passWithNoTests hideSkippedTests no-color
   project=word maxWorkers=word minWorkers=word no-coverage changed? shard= retry=number testTimeout=number hookTimeout=number
   teardownTimeout=number environment=word globals pool=word isolate no-isolate allowOnly logHeapUsage no-watch exclude=
   no-file-parallelism fileParallelism outputFile=write dom disableConsoleIntercept printConsoleTrace slowTestThreshold=number
   sequence.shuffle? version help`,
);

const PYTEST_OPTIONS = options(
  'qvxslh',
  { k: 'data', m: 'data', r: 'word', n: 'word', p: 'off', W: 'warning' },
  `quiet verbose exitfirst maxfail=number lf last-failed ff failed-first nf new-first sw stepwise stepwise-skip sw-skip
   last-failed-no-failures=word lfnf=word tb=word durations=number durations-min=number co collect-only collectonly no-header no-summary color=word
   code-highlight=word disable-warnings disable-pytest-warnings strict strict-markers strict-config showlocals no-showlocals capture=word
   show-capture=word ignore=read ignore-glob= deselect= junitxml=write junit-xml=write junit-prefix=word setup-show setup-only
   setup-plan fixtures fixtures-per-test markers full-trace runxfail verbosity=number noconftest numprocesses=word dist=word
   timeout=number no-cov reruns=number asyncio-mode=word version help import-mode=word keep-duplicates fulltrace`,
);

const ESLINT_OPTIONS = options(
  'hv',
  { f: 'word', o: 'write' },
  `quiet max-warnings=number format=word output-file=write ext= no-color color ignore-pattern= no-ignore no-error-on-unmatched-pattern
   error-on-unmatched-pattern report-unused-disable-directives report-unused-disable-directives-severity=word no-inline-config
   no-eslintrc env= global= rule= debug fix-dry-run exit-on-fatal-error no-warn-ignored pass-on-no-patterns stats version help
   pass-on-unpruned-suppressions`,
);

type RunnerMaker = (name: string, folder: string | null) => Profile;

const VITEST_VERBS = new Set(['run', 'watch', 'dev', 'list', 'related', 'bench']);

const vitestProfile: RunnerMaker = (name, folder) => ({
  name,
  programs: ['vitest'],
  match(words) {
    const verb = words[1]?.value ?? '';
    const from = VITEST_VERBS.has(verb) ? 2 : 1;
    const scanned = scan(words, from, VITEST_OPTIONS);
    const first = 'why' in scanned ? undefined : scanned.operands[0];
    if (from === 1 && first !== undefined && words[first]?.value === 'init')
      return { why: 'vitest init writes configuration', at: [first] };
    return 'why' in scanned ? scanned : runnerFit(scanned.operands, words, folder, scanned.uses);
  },
});

function matchPytest(words: readonly KnownWord[], from: number, folder: string | null): Fit | Misfit {
  const scanned = scan(words, from, PYTEST_OPTIONS);
  if ('why' in scanned) return scanned;
  const file = scanned.operands.find((at) => words[at]?.value.startsWith('@'));
  if (file !== undefined) return { why: 'arguments from a file are not on the list', at: [file] };
  return runnerFit(scanned.operands, words, folder, scanned.uses);
}

const pytestProfile: RunnerMaker = (name, folder) => ({ name, programs: ['pytest'], match: (words) => matchPytest(words, 1, folder) });

const pythonPytestProfile: RunnerMaker = (name, folder) => ({
  name,
  programs: ['python', 'python3'],
  match: (words) => (words[1]?.value === '-m' && words[2]?.value === 'pytest' ? matchPytest(words, 3, folder) : null),
});

const eslintProfile: RunnerMaker = (name, folder) => ({
  name,
  programs: ['eslint'],
  match(words) {
    const scanned = scan(words, 1, ESLINT_OPTIONS);
    return 'why' in scanned ? scanned : runnerFit(scanned.operands, words, folder, scanned.uses);
  },
});

const RUNNERS: ReadonlyMap<string, RunnerMaker> = new Map([
  ['vitest', vitestProfile],
  ['pytest', pytestProfile],
  ['python -m pytest', pythonPytestProfile],
  ['python3 -m pytest', pythonPytestProfile],
  ['eslint', eslintProfile],
]);

// ---- interpreters ---------------------------------------------------------------------------------------------------------

const NODE_OPTIONS = options('', {}, 'no-warnings no-deprecation enable-source-maps trace-warnings trace-uncaught');
const PYTHON_OPTIONS = options('uBOEIsSbq', { W: 'warning' }, '');

/** Options of a script that by their name say that they name a file or folder to be written. */
const OUTPUT_OPTION =
  /^--?(?:o|out|output|outfile|outdir|out-?(?:file|dir|path)|output-?(?:file|dir|path)|dest|destination|write|save|save-to|report|log-?file)$/i;

function interpreterProfile(name: string, programs: readonly string[], table: OptionTable, folder: string): Profile {
  return {
    name,
    programs,
    match(words) {
      const scanned = scan(words, 1, table, true);
      if ('why' in scanned) return scanned;
      const [file, ...rest] = scanned.operands;
      if (file === undefined) return { why: 'without a file it would run what it is fed', at: [0] };
      const script = words[file];
      if (script === undefined || script.value === '-' || script.glob !== null)
        return { why: 'the file that runs must be written out', at: [file] };
      const uses: WordUse[] = [
        { at: 0, usage: 'list', text: '.', glob: null },
        { at: file, usage: 'code', text: script.value, glob: null, folder },
      ];
      for (const at of rest) uses.push(...argumentUses(words, at));
      return { uses };
    },
  };
}

function argumentUses(words: readonly KnownWord[], at: number): WordUse[] {
  const word = words[at];
  if (word === undefined) return [];
  const { value, glob } = word;
  const previous = words[at - 1]?.value ?? '';
  if (OUTPUT_OPTION.test(previous) && !value.startsWith('-')) return [{ at, usage: 'write', text: value, glob, option: previous }];
  const equals = value.indexOf('=');
  if (equals > 0 && OUTPUT_OPTION.test(value.slice(0, equals))) {
    return [{ at, usage: 'write', text: value.slice(equals + 1), glob: null, option: value.slice(0, equals) }];
  }
  return [{ at, usage: 'argument', text: value, glob }];
}

// ---- the table ------------------------------------------------------------------------------------------------------------

function plain(name: string, match: Matcher): [string, Profile] {
  return [name, { name, programs: [name.split(' ')[0] ?? name], match }];
}

const PLAIN_PROFILES: ReadonlyMap<string, Profile> = new Map([
  plain('ls', matchLs),
  plain('pwd', matchPwd),
  plain('cat', readsOperands(CAT_OPTIONS)),
  plain('head', readsOperands(HEAD_OPTIONS)),
  plain('tail', readsOperands(TAIL_OPTIONS)),
  plain('grep', matchGrep),
  plain('find', matchFind),
  gitProfile('status', matchGitStatus),
  gitProfile('diff', showsTargets(GIT_DIFF_OPTIONS)),
  gitProfile('log', showsTargets(GIT_LOG_OPTIONS)),
  gitProfile('checkout -b', matchGitCheckout),
  gitProfile('add', matchGitAdd),
  gitProfile('commit', matchGitCommit),
  gitProfile('show', showsTargets(GIT_SHOW_OPTIONS)),
  gitProfile('branch', matchGitBranch),
  ...[...RUNNERS].map(([name, make]): [string, Profile] => [name, make(name, null)]),
  plain('wc', readsOperands(WC_OPTIONS)),
  plain('sort', readsOperands(SORT_OPTIONS)),
  plain('uniq', matchUniq),
  plain('cut', readsOperands(CUT_OPTIONS)),
  plain('tr', matchTr),
  plain('sed -n', matchSed),
  plain('echo', matchData),
  plain('true', matchData),
  plain('cd', matchCd),
]);
