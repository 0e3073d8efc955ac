/**
 * Danger: what a command is known to do whatever the list says. The block list (denied), plainly destructive operations,
 * publishing and deploying, reading of credentials, hosts a command names, and the commands that stand inside another one
 * (`env`, `timeout`, `xargs`, `sh -c`, `find -exec`, …). It only ever makes a judgement stricter.
 */

/** A command as far as its words are known; null is a word that is not. */
export type Words = readonly (string | null)[];

/** A command or a text that a command would run. */
export type Inner =
  | { readonly kind: 'words'; readonly words: Words /** Index of its first word in the outer command. */; readonly at: number }
  | { readonly kind: 'script'; readonly text: string; readonly at: number };

/** A host that a command would talk to. */
export type NamedHost =
  | { readonly kind: 'url'; readonly url: string; readonly at: number }
  | { readonly kind: 'authority'; readonly host: string; readonly port: number; readonly scheme: string; readonly at: number };

/** What was found out about one command. All positions are indexes of its words. */
export interface Danger {
  /** Why the block list stops it, and which words show it. */
  readonly blocked: { readonly why: string; readonly at: readonly number[] } | null;
  /** Why it is plainly destructive. */
  readonly destructive: string | null;
  /** What it would change outside: a release, a deployment, a message. */
  readonly external: string | null;
  /** What credentials it would show. */
  readonly secrets: string | null;
  /** It could change the gate itself. */
  readonly gate: boolean;
  readonly inner: readonly Inner[];
  readonly hosts: readonly NamedHost[];
  /** It talks to a host that is not known. */
  readonly unknownHost: boolean;
  /** It brings something from the network, into these files or (empty) to its output. */
  readonly download: readonly string[] | null;
  /** It runs what it reads from its standard input. */
  readonly runsInput: boolean;
  /** Files whose content it runs. */
  readonly runsFiles: readonly string[];
  /** Words that it runs as code, whatever the language; where they are not known they may come from anywhere. */
  readonly code: readonly number[];
  /** It only prints its words (echo, printf). */
  readonly prints: boolean;
  /** It sends what it reads to a database. */
  readonly database: boolean;
}

const HARMLESS: Danger = {
  blocked: null,
  destructive: null,
  external: null,
  secrets: null,
  gate: false,
  inner: [],
  hosts: [],
  unknownHost: false,
  download: null,
  runsInput: false,
  runsFiles: [],
  code: [],
  prints: false,
  database: false,
};

/** Where the traversal rule needs to know what a path is: says whether an operand means the root of the file system. */
export interface DangerContext {
  isRoot(operand: string): boolean;
}

/** Inspects one command. Linear in its words; inner commands are named, not inspected: the caller goes on with them. */
export function inspect(words: Words, context: DangerContext): Danger {
  const program = programName(words[0]);
  if (program === null) return HARMLESS;
  const blocked = findBlocked(program, words, context);
  const wrapped = findInner(program, words);
  const interpreter = readInterpreter(program, words);
  return {
    blocked,
    destructive: findDestructive(program, words),
    external: findExternal(program, words),
    secrets: findSecretAccess(program, words),
    gate: GATE_PROGRAMS.has(program) || (program === 'npm' && words.includes('mc')),
    inner: [...wrapped, ...interpreter.inner],
    hosts: findHosts(program, words),
    unknownHost: (HOST_OPERANDS.has(program) || DOWNLOADERS.has(program)) && words.includes(null),
    download: findDownload(program, words),
    runsInput: interpreter.runsInput,
    runsFiles: interpreter.runsFiles,
    code: interpreter.code,
    prints: program === 'echo' || program === 'printf',
    database: DATABASE_CLIENTS.has(program),
  };
}

/** The name a program goes by, whatever folder it is called from; null where it is not known. */
export function programName(word: string | null | undefined): string | null {
  if (word === null || word === undefined) return null;
  const name = word.slice(word.lastIndexOf('/') + 1);
  return name === '' ? null : name;
}

/** Says whether a policy entry asks for something that the block list denies anyway. */
export function isAlwaysBlocked(words: readonly string[]): boolean {
  return inspect(words, { isRoot: (operand) => operand === '/' }).blocked !== null;
}

/** SQL that destroys, in any text that goes to a database client. */
export function isDestructiveSql(text: string): boolean {
  return /\b(?:drop\s{1,9}(?:table|database|schema|view|index|user|role|collection)|truncate\s{1,9}(?:table\s)?|delete\s{1,9}from)\b/i.test(
    text,
  );
}

/** Code in a scripting language that plainly removes files or runs a destructive command. */
export function isDestructiveCode(text: string): boolean {
  return /\brm\s{1,9}-[a-z]{0,9}r|rmtree|rmSync|rmdirSync|unlinkSync|os\.(?:remove|unlink|rmdir)|rimraf|FileUtils\.rm|\bunlink\b|remove_tree|mkfs|\bdd\s{1,9}if=/i.test(
    text,
  );
}

// ---- the block list -------------------------------------------------------------------------------------------------------

const PRIVILEGE = new Set(
  'sudo sudoedit sudo-rs doas su pkexec runuser gosu su-exec run0 dzdo pfexec super kdesu kdesudo gksu gksudo calife beesu visudo'.split(
    ' ',
  ),
);

type Blocked = { why: string; at: readonly number[] } | null;

function findBlocked(program: string, words: Words, context: DangerContext): Blocked {
  if (PRIVILEGE.has(program)) return { why: `${program} takes another user's rights`, at: [0] };
  if (program === 'chown') return { why: 'chown changes who owns files', at: [0] };
  if (program === 'dd') return { why: 'dd writes raw data', at: [0] };
  if (program === 'mkfs' || program.startsWith('mkfs.') || program === 'mke2fs' || program === 'mkdosfs' || program === 'mkntfs') {
    return { why: `${program} formats a disk`, at: [0] };
  }
  if (program === 'rm') {
    const found = findForcedRemoval(words);
    if (found !== null) return found;
  }
  if (program === 'chmod') {
    const found = findOpenMode(words);
    if (found !== null) return found;
  }
  return findTraversal(program, words, context);
}

function findForcedRemoval(words: Words): Blocked {
  const recursive: number[] = [];
  const forced: number[] = [];
  forEachOption(words, (option, at) => {
    if (option.startsWith('--')) {
      if ('--recursive'.startsWith(option) && option.length > 3) recursive.push(at);
      if (option === '--r') recursive.push(at);
      if ('--force'.startsWith(option) && option.length > 2) forced.push(at);
    } else {
      if (/[rR]/.test(option)) recursive.push(at);
      if (option.includes('f')) forced.push(at);
    }
  });
  if (recursive.length === 0 || forced.length === 0) return null;
  return { why: 'rm -rf removes whole folders without asking', at: [0, ...new Set([...recursive, ...forced])] };
}

function findOpenMode(words: Words): Blocked {
  const at = words.findIndex((word, i) => i > 0 && (word === null || !/^-(?:[A-Za-z]|-)/.test(word) || word === '-'));
  const mode = words[at];
  if (typeof mode !== 'string' || !isOpenMode(mode)) return null;
  return { why: `chmod ${mode} lets everybody write`, at: [0, at] };
}

/** Numeric modes with the write bit of others, symbolic ones that give others or all the right to write. */
function isOpenMode(mode: string): boolean {
  if (/^[0-7]{1,6}$/.test(mode)) return (Number.parseInt(mode, 8) & 0o002) !== 0;
  if (mode.length > 100 || !/^[ugoa]*[+=]/.test(mode)) return false;
  return mode.split(',').some((clause) => {
    const match = /^([ugoa]*)((?:[-+=][rwxXstugo]*)+)$/.exec(clause);
    if (match === null) return false;
    const who = match[1] ?? '';
    const gives = [...(match[2] ?? '').matchAll(/[+=]([rwxXst]*)/g)].some((action) => (action[1] ?? '').includes('w'));
    if (who === '') return gives && /[+=][rwx]*r?w[rwx]*/.test(match[2] ?? '') && (match[2] ?? '').includes('x');
    return gives && /[oa]/.test(who);
  });
}

/** Programs that walk everything below their operands, and the options that make them do so (null: always). */
const WALKERS: ReadonlyMap<string, RegExp | null> = new Map<string, RegExp | null>([
  ['find', null],
  ['gfind', null],
  ['fd', null],
  ['fdfind', null],
  ['bfs', null],
  ['tree', null],
  ['du', null],
  ['ncdu', null],
  ['rg', null],
  ['ag', null],
  ['ack', null],
  ['rgrep', null],
  ['tar', null],
  ['rsync', null],
  ['zip', null],
  ['cpio', null],
  ['chgrp', /^-[a-zA-Z]*R|^--rec/],
  ['chmod', /^-[a-zA-Z]*R|^--rec/],
  ['chattr', /^-[a-zA-Z]*R/],
  ['setfacl', /^-[a-zA-Z]*R|^--rec/],
  ['ls', /^-[a-zA-Z]*R|^--rec/],
  ['dir', /^-[a-zA-Z]*R|^--rec/],
  ['vdir', /^-[a-zA-Z]*R|^--rec/],
  ['grep', /^-[a-zA-Z]*[rR]|^--(?:rec|deref)|^--dir/],
  ['egrep', /^-[a-zA-Z]*[rR]|^--(?:rec|deref)/],
  ['fgrep', /^-[a-zA-Z]*[rR]|^--(?:rec|deref)/],
  ['zgrep', /^-[a-zA-Z]*[rR]|^--(?:rec|deref)/],
  ['cp', /^-[a-zA-Z]*[rRa]|^--(?:rec|arch)/],
  ['scp', /^-[a-zA-Z]*r/],
  ['rm', /^-[a-zA-Z]*[rR]|^--rec/],
  ['shred', null],
  ['diff', /^-[a-zA-Z]*r|^--rec/],
]);

function findTraversal(program: string, words: Words, context: DangerContext): Blocked {
  const option = WALKERS.get(program);
  if (option === undefined) return null;
  const walks = option === null || words.some((word, at) => at > 0 && typeof word === 'string' && option.test(word));
  if (!walks || isBounded(words)) return null;
  for (let at = 1; at < words.length; at++) {
    const word = words[at];
    if (typeof word === 'string' && !word.startsWith('-') && context.isRoot(word)) {
      return { why: `${program} would walk the whole file system from /`, at: [0, at] };
    }
  }
  return null;
}

/** `-maxdepth 1` and its kin keep a walk at the surface. */
function isBounded(words: Words): boolean {
  return words.some((word, at) => {
    if (typeof word !== 'string') return false;
    if (/^(?:-maxdepth|--max-depth|-d|-L|--level|-s)$/.test(word)) return /^[012]$/.test(words[at + 1] ?? '') && word !== '-s';
    return /^(?:--max-depth=|--maxdepth=|-d|-L)[012]$/.test(word);
  });
}

/** Calls back for each option word before `--`, with its index. */
function forEachOption(words: Words, visit: (option: string, at: number) => void): void {
  for (let at = 1; at < words.length; at++) {
    const word = words[at];
    if (word === '--') return;
    if (typeof word === 'string' && word.length > 1 && word.startsWith('-')) visit(word, at);
  }
}

// ---- commands inside commands ---------------------------------------------------------------------------------------------

interface Wrapper {
  /** Short options that take a separate value. */
  readonly short: string;
  /** Long options that take a separate value. */
  readonly long: readonly string[];
  /** Operands before the inner command. */
  readonly before: number;
  /** Options whose value is itself a command line. */
  readonly script?: readonly string[];
  /** Options that hold the rest back from running. */
  readonly assignments?: boolean;
}

function wrapper(short: string, long: string, before = 0, more: { script?: readonly string[]; assignments?: boolean } = {}): Wrapper {
  return { short, long: long === '' ? [] : long.split(' '), before, ...more };
}

const WRAPPERS: ReadonlyMap<string, Wrapper> = new Map([
  ['env', wrapper('uCSa', 'unset chdir split-string argv0', 0, { script: ['-S', '--split-string'], assignments: true })],
  ['nice', wrapper('n', 'adjustment')],
  ['ionice', wrapper('cnptu', 'class classdata pid')],
  ['chrt', wrapper('TPDp', 'sched-runtime sched-period sched-deadline', 1)],
  ['taskset', wrapper('', '', 1)],
  ['numactl', wrapper('NmipCw', 'cpunodebind membind interleave physcpubind')],
  ['nohup', wrapper('', '')],
  ['setsid', wrapper('', '')],
  ['timeout', wrapper('sk', 'signal kill-after', 1)],
  ['gtimeout', wrapper('sk', 'signal kill-after', 1)],
  ['time', wrapper('fo', 'format output')],
  ['stdbuf', wrapper('ioe', 'input output error')],
  ['unbuffer', wrapper('', '')],
  ['command', wrapper('', '')],
  ['builtin', wrapper('', '')],
  ['exec', wrapper('a', '')],
  ['noglob', wrapper('', '')],
  ['nocorrect', wrapper('', '')],
  ['coproc', wrapper('', '')],
  ['xargs', wrapper('adEILnPsi', 'arg-file delimiter eof max-lines max-args max-procs max-chars process-slot-var replace')],
  ['gxargs', wrapper('adEILnPs', 'arg-file delimiter max-lines max-args max-procs max-chars')],
  ['parallel', wrapper('jaIdNnLPSs', 'jobs arg-file delimiter max-args max-procs sshlogin colsep joblog results tagstring')],
  ['watch', wrapper('nq', 'interval equexit')],
  ['entr', wrapper('', '')],
  ['flock', wrapper('wEc', 'timeout wait conflict-exit-code command', 1, { script: ['-c', '--command'] })],
  ['script', wrapper('cEIOBTmto', 'command log-in log-out log-io log-timing output-limit', 0, { script: ['-c', '--command'] })],
  ['chroot', wrapper('', '', 1)],
  ['unshare', wrapper('SG', 'setuid setgid root wd')],
  ['nsenter', wrapper('tSG', 'target setuid setgid')],
  ['setpriv', wrapper('', 'reuid regid groups inh-caps ambient-caps bounding-set')],
  ['capsh', wrapper('', '')],
  ['prlimit', wrapper('p', 'pid')],
  ['choom', wrapper('np', 'adjust pid')],
  ['cpulimit', wrapper('lpe', 'limit pid exe')],
  ['systemd-run', wrapper('puHMt', 'property unit host machine uid gid slice description service-type')],
  ['systemd-inhibit', wrapper('', 'what who why mode')],
  ['dbus-run-session', wrapper('', '')],
  ['firejail', wrapper('', '')],
  ['bwrap', wrapper('', '')],
  ['proot', wrapper('rbw', '')],
  ['fakeroot', wrapper('lsi', '')],
  ['strace', wrapper('eoPpsuaIXO', '')],
  ['ltrace', wrapper('eopsuanAl', '')],
  ['gdb', wrapper('xpc', '')],
  ['valgrind', wrapper('', '')],
  ['perf', wrapper('eo', '', 1)],
  ['catchsegv', wrapper('', '')],
  ['busybox', wrapper('', '')],
  ['toybox', wrapper('', '')],
  ['rlwrap', wrapper('', '')],
  ['sshpass', wrapper('pfde', '')],
  ['proxychains', wrapper('f', '')],
  ['proxychains4', wrapper('f', '')],
  ['torsocks', wrapper('', '')],
  ['tsocks', wrapper('', '')],
  ['dotenv', wrapper('e', '')],
  ['direnv', wrapper('', '', 2)],
  ['npx', wrapper('pc', 'package call', 0, { script: ['-c', '--call'] })],
  ['bunx', wrapper('', '')],
  ['doppler', wrapper('', '', 1)],
  ['op', wrapper('', '', 1)],
  ['aws-vault', wrapper('', '', 2)],
  ['ssh', wrapper('bcDEeFIiJLlmOopQRSWw', '', 1)],
  ['mosh', wrapper('', '', 1)],
  ['poetry', wrapper('', '', 1)],
  ['pipenv', wrapper('', '', 1)],
  ['uv', wrapper('', '', 1)],
  ['pdm', wrapper('', '', 1)],
  ['rye', wrapper('', '', 1)],
  ['hatch', wrapper('', '', 1)],
  ['bundle', wrapper('', '', 1)],
  ['nix', wrapper('', '', 1)],
]);

/** Wrappers whose inner words are joined and given to a shell. */
const JOINS = new Set('ssh mosh watch parallel'.split(' '));

function findInner(program: string, words: Words): Inner[] {
  if (program === 'eval') return joinWords(words, 1);
  if (program === 'trap') return scriptAt(words, 1);
  if (program === 'alias') return aliasScripts(words);
  if (program === 'find' || program === 'gfind' || program === 'fd' || program === 'fdfind') return execActions(words);
  if (program === 'docker' || program === 'podman' || program === 'nerdctl' || program === 'kubectl' || program === 'oc')
    return containerCommand(words);
  if (program === 'npm' || program === 'pnpm' || program === 'yarn') return packageCommand(words);
  if (program === 'git') return gitCommand(words);
  if (program === 'su' || program === 'runuser') return scriptOption(words, ['-c', '--command']);
  if (program === 'make' || program === 'at' || program === 'batch') return [];
  const rule = WRAPPERS.get(program);
  if (rule === undefined) return [];
  return wrappedCommand(program, rule, words);
}

function wrappedCommand(program: string, rule: Wrapper, words: Words): Inner[] {
  const found: Inner[] = [];
  let at = 1;
  let before = rule.before;
  for (; at < words.length; at++) {
    const word = words[at];
    if (word === null || word === undefined) break;
    if (word === '--') {
      at++;
      break;
    }
    if (rule.assignments === true && /^\w+=/.test(word)) continue;
    if (word.startsWith('-') && word.length > 1) {
      const step = optionStep(word, words[at + 1], rule);
      if (step.script !== null) found.push({ kind: 'script', text: step.script, at });
      if (step.takesNext) at++;
      continue;
    }
    if (before === 0) break;
    before--;
  }
  while (before > 0 && at < words.length) {
    before--;
    at++;
  }
  while (rule.assignments === true && /^\w+=/.test(words[at] ?? '')) at++;
  if (at >= words.length) return found;
  // Split strings and remote commands put their words together again.
  if (JOINS.has(program)) found.push(...joinWords(words, at));
  found.push({ kind: 'words', words: words.slice(at), at });
  return found;
}

function optionStep(word: string, next: string | null | undefined, rule: Wrapper): { takesNext: boolean; script: string | null } {
  if (word.startsWith('--')) {
    const equals = word.indexOf('=');
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const isScript = rule.script?.includes(`--${name}`) ?? false;
    if (equals >= 0) return { takesNext: false, script: isScript ? word.slice(equals + 1) : null };
    if (!rule.long.some((option) => option === name)) return { takesNext: false, script: null };
    return { takesNext: true, script: isScript ? (next ?? null) : null };
  }
  for (let i = 1; i < word.length; i++) {
    const letter = word[i] ?? '';
    if (!rule.short.includes(letter)) continue;
    const isScript = rule.script?.includes(`-${letter}`) ?? false;
    const glued = word.slice(i + 1);
    if (glued !== '') return { takesNext: false, script: isScript ? glued : null };
    return { takesNext: true, script: isScript ? (next ?? null) : null };
  }
  return { takesNext: false, script: null };
}

function joinWords(words: Words, from: number): Inner[] {
  const known = words.slice(from).map((word) => word ?? '""');
  return known.length === 0 ? [] : [{ kind: 'script', text: known.join(' '), at: from }];
}

function scriptAt(words: Words, at: number): Inner[] {
  const text = words[at];
  return typeof text === 'string' && text !== '' && !text.startsWith('-') ? [{ kind: 'script', text, at }] : [];
}

function scriptOption(words: Words, options: readonly string[]): Inner[] {
  return words.flatMap((word, at): Inner[] => {
    if (typeof word !== 'string') return [];
    const equals = word.indexOf('=');
    if (equals > 0 && options.includes(word.slice(0, equals))) return [{ kind: 'script', text: word.slice(equals + 1), at }];
    return options.includes(word) ? scriptAt(words, at + 1) : [];
  });
}

function aliasScripts(words: Words): Inner[] {
  return words.flatMap((word, at): Inner[] => {
    const equals = at > 0 && typeof word === 'string' ? word.indexOf('=') : -1;
    return equals > 0 && typeof word === 'string' ? [{ kind: 'script', text: word.slice(equals + 1), at }] : [];
  });
}

const EXEC_ACTIONS = new Set(['-exec', '-execdir', '-ok', '-okdir', '-x', '-X', '--exec', '--exec-batch']);

function execActions(words: Words): Inner[] {
  const found: Inner[] = [];
  for (let at = 1; at < words.length; at++) {
    if (!EXEC_ACTIONS.has(words[at] ?? '')) continue;
    let end = at + 1;
    while (end < words.length && words[end] !== ';' && words[end] !== '+') end++;
    found.push({ kind: 'words', words: words.slice(at + 1, end), at: at + 1 });
    at = end;
  }
  return found;
}

/** `docker exec|run … command`: options differ too much to skip exactly, so every place it may start at is looked at. */
function containerCommand(words: Words): Inner[] {
  const verb = words.findIndex((word, at) => at > 0 && (word === 'exec' || word === 'run'));
  if (verb < 0) return [];
  return suffixes(words, verb + 1);
}

function packageCommand(words: Words): Inner[] {
  const verb = words.findIndex((word, at) => at > 0 && !word?.startsWith('-'));
  if (!/^(?:exec|x|dlx)$/.test(words[verb] ?? '')) return [];
  return [...scriptOption(words, ['-c', '--call']), ...suffixes(words, verb + 1)];
}

function gitCommand(words: Words): Inner[] {
  return words.flatMap((word, at): Inner[] => {
    if (typeof word !== 'string') return [];
    const alias = /^(?:-c)?alias\.[\w.-]+=!(.*)$/s.exec(word);
    if (alias !== null) return [{ kind: 'script', text: alias[1] ?? '', at }];
    const config = /^(?:core\.(?:fsmonitor|pager|editor|sshcommand)|diff\.external|sequence\.editor)=(.*)$/is.exec(word);
    return config === null ? [] : [{ kind: 'script', text: config[1] ?? '', at }];
  });
}

const MAX_SUFFIXES = 8;

function suffixes(words: Words, from: number): Inner[] {
  const found: Inner[] = [];
  for (let at = from; at < words.length && found.length < MAX_SUFFIXES; at++) {
    if (words[at]?.startsWith('-') !== true) found.push({ kind: 'words', words: words.slice(at), at });
  }
  return found;
}

// ---- interpreters -----------------------------------------------------------------------------------------------------------

const SHELLS = new Set('sh bash dash ash zsh ksh ksh93 mksh pdksh fish csh tcsh yash rbash posh rc elvish nu'.split(' '));

/** Interpreters with the options that carry code. */
const INTERPRETERS: readonly { readonly name: RegExp; readonly code: readonly string[]; readonly stops: readonly string[] }[] = [
  { name: /^(?:python|pypy)[\d.]*w?$/, code: ['-c'], stops: ['-m', '-V', '--version'] },
  { name: /^(?:node|nodejs|bun|deno|tsx|ts-node)$/, code: ['-e', '--eval', '-p', '--print', '-pe'], stops: ['-v', '--version'] },
  { name: /^perl[\d.]*$/, code: ['-e', '-E', '-ne', '-pe', '-le', '-lne', '-i'], stops: ['-v'] },
  { name: /^(?:ruby|jruby)[\d.]*$/, code: ['-e', '-ne', '-pe'], stops: ['-v'] },
  { name: /^php[\d.]*$/, code: ['-r', '-B', '-R'], stops: ['-v', '-S'] },
  { name: /^(?:lua|luajit)[\d.]*$/, code: ['-e'], stops: ['-v'] },
  { name: /^(?:pwsh|powershell)$/, code: ['-c', '-Command', '-command', '-EncodedCommand', '-enc', '-e'], stops: [] },
  {
    name: /^(?:osascript|Rscript|julia|tclsh|guile|racket|raku|elixir|swift|scala|groovy|crystal|janet)$/,
    code: ['-e', '-E', '--eval'],
    stops: [],
  },
  { name: /^R$/, code: ['-e'], stops: [] },
];

interface Interpretation {
  inner: readonly Inner[];
  runsInput: boolean;
  runsFiles: readonly string[];
  code: readonly number[];
}

const NOTHING: Interpretation = { inner: [], runsInput: false, runsFiles: [], code: [] };
const STANDARD_INPUT = new Set(['-', '/dev/stdin', '/proc/self/fd/0', '/dev/fd/0']);

function readInterpreter(program: string, words: Words): Interpretation {
  if (SHELLS.has(program)) return readShellCall(words);
  if (program === '.' || program === 'source') return readSource(words);
  if (program === 'eval') return { ...NOTHING, code: words.map((_, at) => at).slice(1) };
  if (program === 'xargs' || program === 'parallel') return readFeeder(program, words);
  if (program === 'at' || program === 'batch' || program === 'crontab') return { ...NOTHING, runsInput: true };
  const interpreter = INTERPRETERS.find(({ name }) => name.test(program));
  if (interpreter !== undefined) return readScriptCall(words, interpreter.code, interpreter.stops);
  if ((words[0] ?? '').includes('/')) return { ...NOTHING, runsFiles: [words[0] ?? ''] };
  return NOTHING;
}

function readShellCall(words: Words): Interpretation {
  let takesCode = false;
  let readsInput = false;
  let at = 1;
  for (; at < words.length; at++) {
    const word = words[at];
    if (typeof word !== 'string') break;
    if (word === '--' || word === '-') {
      at++;
      break;
    }
    if (!/^[-+]/.test(word)) break;
    if (word.startsWith('--')) {
      if (word === '--rcfile' || word === '--init-file') at++;
      if (word === '--command') takesCode = true;
      continue;
    }
    if (word.startsWith('-') && word.includes('c')) takesCode = true;
    if (word.startsWith('-') && word.includes('s')) readsInput = true;
    if (/[oO]$/.test(word)) at++;
  }
  const operand = words[at];
  if (takesCode) {
    if (at >= words.length) return { ...NOTHING, runsInput: true };
    return { ...NOTHING, inner: typeof operand === 'string' ? [{ kind: 'script', text: operand, at }] : [], code: [at] };
  }
  if (readsInput || operand === undefined) return { ...NOTHING, runsInput: true };
  if (operand === null) return { ...NOTHING, code: [at] };
  if (STANDARD_INPUT.has(operand)) return { ...NOTHING, runsInput: true };
  return { ...NOTHING, runsFiles: [operand], code: [at] };
}

function readSource(words: Words): Interpretation {
  const operand = words[1];
  if (operand === null || operand === undefined) return { ...NOTHING, code: [1] };
  if (STANDARD_INPUT.has(operand)) return { ...NOTHING, runsInput: true };
  return { ...NOTHING, runsFiles: [operand], code: [1] };
}

/** `xargs sh -c` and a bare `parallel` run what comes in as commands. */
function readFeeder(program: string, words: Words): Interpretation {
  const last = programName(words.at(-1));
  const bareShell = words.some((word) => SHELLS.has(programName(word) ?? '')) && (words.at(-1) === '-c' || SHELLS.has(last ?? ''));
  return { ...NOTHING, runsInput: bareShell || (program === 'parallel' && words.length === 1) };
}

function readScriptCall(words: Words, codeOptions: readonly string[], stops: readonly string[]): Interpretation {
  for (let at = 1; at < words.length; at++) {
    const word = words[at];
    if (word === null || word === undefined) return { ...NOTHING, code: [at] };
    if (stops.includes(word)) return NOTHING;
    if (codeOptions.includes(word) || (word === 'eval' && at === 1)) return { ...NOTHING, code: [at + 1] };
    if (STANDARD_INPUT.has(word)) return { ...NOTHING, runsInput: true };
    if (word === 'run' && at === 1) continue;
    if (!word.startsWith('-')) return { ...NOTHING, runsFiles: [word], code: [at] };
  }
  return { ...NOTHING, runsInput: true };
}

// ---- destructive ------------------------------------------------------------------------------------------------------------

const DESTRUCTIVE_PROGRAMS: ReadonlyMap<string, string> = new Map([
  ['rm', 'rm removes files'],
  ['rmdir', 'rmdir removes folders'],
  ['unlink', 'unlink removes a file'],
  ['shred', 'shred destroys files'],
  ['srm', 'srm destroys files'],
  ['wipe', 'wipe destroys files'],
  ['truncate', 'truncate empties files'],
  ['rimraf', 'rimraf removes whole folders'],
  ['del-cli', 'del removes files'],
  ['trash', 'trash removes files'],
  ['wipefs', 'wipefs destroys a file system'],
  ['fdisk', 'fdisk changes disks'],
  ['sfdisk', 'sfdisk changes disks'],
  ['gdisk', 'gdisk changes disks'],
  ['sgdisk', 'sgdisk changes disks'],
  ['parted', 'parted changes disks'],
  ['mkswap', 'mkswap overwrites a disk'],
  ['blkdiscard', 'blkdiscard empties a disk'],
  ['hdparm', 'hdparm changes disks'],
  ['badblocks', 'badblocks may overwrite a disk'],
  ['cryptsetup', 'cryptsetup changes disks'],
  ['lvremove', 'lvremove removes a volume'],
  ['vgremove', 'vgremove removes volumes'],
  ['shutdown', 'shutdown stops the machine'],
  ['reboot', 'reboot restarts the machine'],
  ['halt', 'halt stops the machine'],
  ['poweroff', 'poweroff stops the machine'],
  ['init', 'init changes the state of the machine'],
  ['telinit', 'telinit changes the state of the machine'],
  ['kill', 'kill ends processes'],
  ['pkill', 'pkill ends processes'],
  ['killall', 'killall ends processes'],
  ['userdel', 'userdel removes a user'],
  ['groupdel', 'groupdel removes a group'],
  ['usermod', 'usermod changes a user'],
  ['useradd', 'useradd adds a user'],
  ['passwd', 'passwd changes a password'],
  ['chpasswd', 'chpasswd changes passwords'],
  ['chattr', 'chattr changes what may be done with files'],
  ['chroot', 'chroot leaves the file system'],
  ['nsenter', 'nsenter enters other namespaces'],
  ['insmod', 'insmod changes the kernel'],
  ['modprobe', 'modprobe changes the kernel'],
  ['rmmod', 'rmmod changes the kernel'],
  ['sysctl', 'sysctl changes the kernel'],
  ['iptables', 'iptables changes the firewall'],
  ['nft', 'nft changes the firewall'],
  ['ufw', 'ufw changes the firewall'],
  ['mount', 'mount changes the file system'],
  ['umount', 'umount changes the file system'],
  ['swapoff', 'swapoff changes the machine'],
  ['dropdb', 'dropdb removes a database'],
  ['dropuser', 'dropuser removes a database user'],
]);

const DATABASE_CLIENTS = new Set(
  'psql mysql mariadb sqlite3 sqlite sqlcmd mssql-cli pgcli mycli litecli duckdb clickhouse-client cockroach cqlsh snowsql bq mongosh mongo usql sqlplus isql'.split(
    ' ',
  ),
);

/** Words that, anywhere behind these programs, ask for something to be destroyed. */
const DESTRUCTIVE_VERBS: ReadonlyMap<string, RegExp> = new Map([
  ['find', /^-(?:delete|fprint0?|fprintf|fls)$/],
  ['gfind', /^-delete$/],
  ['terraform', /^(?:destroy|-destroy|taint)$/],
  ['tofu', /^(?:destroy|-destroy)$/],
  ['terragrunt', /^(?:destroy|destroy-all)$/],
  ['pulumi', /^destroy$/],
  ['cdk', /^destroy$/],
  ['vagrant', /^destroy$/],
  ['kubectl', /^(?:delete|drain|cordon|evict)$/],
  ['oc', /^delete$/],
  ['helm', /^(?:uninstall|delete|rollback)$/],
  ['docker', /^(?:rm|rmi|prune|kill|down)$/],
  ['podman', /^(?:rm|rmi|prune|kill|down)$/],
  ['docker-compose', /^(?:down|rm|kill)$/],
  ['aws', /^(?:rm|rb|delete-[\w-]+|terminate-[\w-]+|--delete)$/],
  ['gcloud', /^delete$/],
  ['gsutil', /^(?:rm|rb|-d)$/],
  ['az', /^delete$/],
  ['doctl', /^delete$/],
  ['gh', /^delete$/],
  ['redis-cli', /^(?:flushall|flushdb|shutdown|del|unlink)$/i],
  ['npm', /^(?:unpublish|deprecate)$/],
  ['systemctl', /^(?:stop|disable|mask|poweroff|reboot|halt|kill|restart)$/],
  ['service', /^(?:stop|restart)$/],
  ['crontab', /^-r$/],
  ['apt', /^(?:remove|purge|autoremove)$/],
  ['apt-get', /^(?:remove|purge|autoremove)$/],
  ['rsync', /^--(?:delete[\w-]*|remove-source-files)$/],
  ['prisma', /^reset$/],
  ['mysqladmin', /^(?:drop|shutdown)$/],
  ['zfs', /^(?:destroy|rollback)$/],
  ['zpool', /^(?:destroy|labelclear)$/],
  ['vault', /^(?:delete|destroy|revoke)$/],
  ['heroku', /^[\w:]*(?:destroy|delete|reset)$/],
  ['flyctl', /^destroy$/],
  ['fly', /^destroy$/],
]);

function findDestructive(program: string, words: Words): string | null {
  const always = DESTRUCTIVE_PROGRAMS.get(program);
  if (always !== undefined) return always;
  if (program === 'git') return findDestructiveGit(words);
  if (program === 'chmod')
    return words.some((word) => /^(?:[0-7]*[4267][0-7]{3}|.*[+=][rwxX]*s.*)$/.test(word ?? ''))
      ? "chmod gives a program its owner's rights"
      : null;
  if (program === 'mv' && words.includes('/dev/null')) return 'mv to /dev/null loses files';
  if (program === 'ln' || program === 'cp' || program === 'mv') return null;
  if (DATABASE_CLIENTS.has(program) && words.some((word) => typeof word === 'string' && isDestructiveSql(word)))
    return 'the statement destroys data';
  if (DATABASE_CLIENTS.has(program) && words.some((word) => /dropDatabase|\.drop\(|deleteMany|\.remove\(/.test(word ?? '')))
    return 'the statement destroys data';
  const verb = DESTRUCTIVE_VERBS.get(program);
  const found = verb === undefined ? undefined : words.find((word, at) => at > 0 && typeof word === 'string' && verb.test(word));
  return found === undefined ? null : `${program} ${found} destroys something`;
}

function findDestructiveGit(words: Words): string | null {
  const has = (pattern: RegExp) => words.some((word) => typeof word === 'string' && pattern.test(word));
  const verb = gitVerb(words);
  switch (verb) {
    case 'reset':
      return has(/^--(?:hard|merge|keep)$/) ? 'git reset --hard loses work' : null;
    case 'clean':
      return has(/^-[a-zA-Z]*f|^--force/) ? 'git clean removes files' : null;
    case 'restore':
      return 'git restore overwrites work';
    case 'checkout':
      return has(/^(?:--|-f|--force|\.)$/) ? 'git checkout overwrites work' : null;
    case 'branch':
      return has(/^-[a-zA-Z]*[dDfM]|^--(?:delete|force)/) ? 'git branch removes or moves a branch' : null;
    case 'tag':
      return has(/^-d$|^--delete/) ? 'git tag removes a tag' : null;
    case 'stash':
      return has(/^(?:drop|clear)$/) ? 'git stash loses work' : null;
    case 'push':
      return has(/^-[a-z]*[fd]|^--(?:force|delete|mirror|prune)|^[+:]/) ? 'git push rewrites or removes a remote branch' : null;
    case 'rm':
      return 'git rm removes files';
    case 'filter-branch':
    case 'filter-repo':
    case 'reflog':
    case 'gc':
    case 'prune':
    case 'update-ref':
      return has(/^(?:expire|delete|-d|--prune.*)$/) || verb.startsWith('filter') || verb === 'prune'
        ? `git ${verb} rewrites history`
        : null;
    default:
      return null;
  }
}

function gitVerb(words: Words): string {
  for (let at = 1; at < words.length; at++) {
    const word = words[at];
    if (typeof word !== 'string') return '';
    if (word === '-C' || word === '-c' || word === '--git-dir' || word === '--work-tree' || word === '--namespace') at++;
    else if (!word.startsWith('-')) return word;
  }
  return '';
}

// ---- the outside world --------------------------------------------------------------------------------------------------------

const EXTERNAL_VERBS: ReadonlyMap<string, RegExp> = new Map([
  ['npm', /^(?:publish|unpublish|deprecate|dist-tag|owner|access)$/],
  ['pnpm', /^(?:publish|deploy)$/],
  ['yarn', /^(?:publish)$/],
  ['bun', /^publish$/],
  ['lerna', /^publish$/],
  ['twine', /^upload$/],
  ['poetry', /^publish$/],
  ['uv', /^publish$/],
  ['hatch', /^publish$/],
  ['flit', /^publish$/],
  ['cargo', /^(?:publish|yank)$/],
  ['gem', /^(?:push|yank)$/],
  ['mvn', /^(?:deploy|release:perform)$/],
  ['gradle', /^(?:publish|uploadArchives).*$/],
  ['dotnet', /^(?:push|publish)$/],
  ['docker', /^(?:push|login|deploy)$/],
  ['podman', /^(?:push|login)$/],
  ['kubectl', /^(?:apply|create|replace|patch|scale|rollout|set|edit|label|annotate|expose|autoscale|delete|exec)$/],
  ['oc', /^(?:apply|create|replace|patch|scale|rollout|new-app|delete)$/],
  ['helm', /^(?:install|upgrade|push|rollback|uninstall)$/],
  ['helmfile', /^(?:apply|sync|destroy)$/],
  ['argocd', /^(?:sync|create|delete)$/],
  ['terraform', /^(?:apply|destroy|import|push)$/],
  ['tofu', /^(?:apply|destroy|import)$/],
  ['terragrunt', /^(?:apply|apply-all|run-all|destroy)$/],
  ['pulumi', /^(?:up|update|destroy|import)$/],
  ['cdk', /^(?:deploy|destroy)$/],
  ['sam', /^deploy$/],
  ['serverless', /^(?:deploy|remove)$/],
  ['sls', /^(?:deploy|remove)$/],
  ['vercel', /^(?:deploy|--prod|promote|rollback|alias|env)$/],
  ['netlify', /^(?:deploy|--prod)$/],
  ['wrangler', /^(?:deploy|publish)$/],
  ['firebase', /^deploy$/],
  ['flyctl', /^(?:deploy|launch|scale)$/],
  ['fly', /^(?:deploy|launch|scale)$/],
  ['railway', /^(?:up|deploy)$/],
  ['heroku', /^(?:container:release|container:push|releases:rollback|ps:scale|config:set)$/],
  ['eb', /^(?:deploy|create|terminate)$/],
  ['cf', /^push$/],
  ['gcloud', /^(?:deploy|create|update|delete|submit)$/],
  ['az', /^(?:create|update|delete|up|deploy)$/],
  [
    'aws',
    /^(?:cp|mv|sync|rm|mb|rb|put-[\w-]+|create-[\w-]+|update-[\w-]+|delete-[\w-]+|run-instances|terminate-instances|deploy|invoke|publish|send-[\w-]+)$/,
  ],
  ['gsutil', /^(?:cp|mv|rsync|rm)$/],
  ['rclone', /^(?:copy|sync|move|delete|purge)$/],
  ['s3cmd', /^(?:put|sync|del)$/],
  ['gh', /^(?:create|merge|close|comment|review|edit|delete|upload|sync|run|rerun|set)$/],
  ['glab', /^(?:create|merge|close|note|delete|upload)$/],
  ['hub', /^(?:push|release|pull-request|merge)$/],
  ['hg', /^push$/],
  ['svn', /^(?:commit|ci)$/],
  ['ansible-playbook', /./],
  ['ansible', /./],
  ['cap', /deploy/],
  ['fab', /deploy/],
  ['dokku', /./],
  ['supabase', /^(?:push|deploy)$/],
  ['prisma', /^deploy$/],
  ['eas', /^(?:submit|update)$/],
  ['fastlane', /./],
  ['goreleaser', /^release$/],
  ['semantic-release', /./],
  ['stripe', /^(?:create|update|delete|trigger|confirm|cancel)$/],
  ['twilio', /./],
  ['make', /^(?:deploy|release|publish|prod)/],
  ['crontab', /./],
]);

/** Programs that reach other people or machines by their nature. */
const EXTERNAL_PROGRAMS = new Set(
  'mail mailx sendmail mutt msmtp swaks scp sftp ssh ansible-playbook fastlane semantic-release wall osascript ngrok cloudflared localtunnel lt'.split(
    ' ',
  ),
);

function findExternal(program: string, words: Words): string | null {
  if (EXTERNAL_PROGRAMS.has(program)) return `${program} reaches other machines or people`;
  if (program === 'git') {
    const verb = gitVerb(words);
    return verb === 'push' || verb === 'send-email' || verb === 'send-pack' ? `git ${verb} publishes` : null;
  }
  if (program === 'rsync')
    return words.some((word) => /^(?:[\w.@-]+:|rsync:)/.test(word ?? '')) ? 'rsync copies to or from another machine' : null;
  if (program === 'npm' || program === 'pnpm' || program === 'yarn' || program === 'bun') {
    const script = words.find((word, at) => at > 1 && words[at - 1] === 'run' && /^(?:deploy|release|publish)/.test(word ?? ''));
    if (typeof script === 'string') return `${program} run ${script} releases`;
  }
  const verb = EXTERNAL_VERBS.get(program);
  const found = verb === undefined ? undefined : words.slice(1).find((word) => typeof word === 'string' && verb.test(word));
  return found === undefined ? null : `${program} ${found} changes something outside`;
}

// ---- credentials ------------------------------------------------------------------------------------------------------------------

const SECRET_VERBS: ReadonlyMap<string, RegExp> = new Map([
  ['aws', /^(?:get-secret-value|get-session-token|get-login-password|export-credentials|assume-role|get-parameters?)$/],
  ['gcloud', /^(?:print-access-token|print-identity-token|access)$/],
  ['az', /^(?:get-access-token|secret)$/],
  ['gh', /^(?:token|secret)$/],
  ['kubectl', /^(?:secrets?|secrets?\/.*)$/],
  ['oc', /^(?:secrets?|whoami)$/],
  ['vault', /^(?:read|kv|login|token)$/],
  ['pass', /./],
  ['op', /^(?:read|get|item|run|inject)$/],
  ['bw', /^(?:get|export|list)$/],
  ['gpg', /^--(?:export-secret-[\w-]+|decrypt)$|^-d$/],
  ['security', /^(?:find-|dump-|export)/],
  ['secret-tool', /./],
  ['npm', /^(?:token|adduser|login)$/],
  ['heroku', /^(?:auth:token|config|config:get)$/],
  ['vercel', /^pull$/],
  ['doppler', /^(?:secrets|run)$/],
  ['docker', /^(?:secret)$/],
  ['openssl', /^(?:rsa|pkey|pkcs12|ec)$/],
  ['ssh-keygen', /^-[yp]$/],
  ['ssh-add', /^-L$/],
  ['sops', /^(?:-d|--decrypt|decrypt)$/],
  ['age', /^(?:-d|--decrypt)$/],
  ['systemctl', /^show-environment$/],
  ['launchctl', /^getenv$/],
]);

function findSecretAccess(program: string, words: Words): string | null {
  if (program === 'printenv') return 'printenv shows the environment, which holds credentials';
  if (program === 'env' && words.slice(1).every((word) => word === '-0' || word === '--null'))
    return 'env shows the environment, which holds credentials';
  if (program === 'set' && words.length === 1) return 'set shows the environment, which holds credentials';
  if (
    (program === 'export' || program === 'declare' || program === 'typeset') &&
    words.slice(1).every((word) => /^-[px]+$/.test(word ?? ''))
  ) {
    return `${program} shows the environment, which holds credentials`;
  }
  if (program === 'git' && words.includes('credential')) return 'git credential shows credentials';
  const verb = SECRET_VERBS.get(program);
  const found = verb === undefined ? undefined : words.slice(1).find((word) => typeof word === 'string' && verb.test(word));
  return found === undefined ? null : `${program} ${found} shows credentials`;
}

const GATE_PROGRAMS = new Set('openclaw openclaw-gateway mission-control clawdbot moltbot'.split(' '));

// ---- the network ------------------------------------------------------------------------------------------------------------------

const DOWNLOADERS = new Set(
  'curl wget wget2 fetch aria2c axel http https httpie xh xhs curlie lynx links links2 elinks w3m lwp-download GET nc ncat netcat socat telnet ftp lftp tftp gopher'.split(
    ' ',
  ),
);

/** Operands of these are hosts or addresses even without a scheme. */
const HOST_OPERANDS: ReadonlyMap<string, { scheme: string; port: number }> = new Map([
  ['curl', { scheme: 'http', port: 80 }],
  ['wget', { scheme: 'http', port: 80 }],
  ['wget2', { scheme: 'http', port: 80 }],
  ['aria2c', { scheme: 'http', port: 80 }],
  ['axel', { scheme: 'http', port: 80 }],
  ['lynx', { scheme: 'http', port: 80 }],
  ['links', { scheme: 'http', port: 80 }],
  ['w3m', { scheme: 'http', port: 80 }],
  ['http', { scheme: 'http', port: 80 }],
  ['https', { scheme: 'https', port: 443 }],
  ['xh', { scheme: 'http', port: 80 }],
  ['ping', { scheme: 'icmp', port: 7 }],
  ['ping6', { scheme: 'icmp', port: 7 }],
  ['traceroute', { scheme: 'icmp', port: 7 }],
  ['dig', { scheme: 'dns', port: 53 }],
  ['nslookup', { scheme: 'dns', port: 53 }],
  ['host', { scheme: 'dns', port: 53 }],
  ['whois', { scheme: 'tcp', port: 43 }],
  ['telnet', { scheme: 'telnet', port: 23 }],
  ['nc', { scheme: 'tcp', port: 1 }],
  ['ncat', { scheme: 'tcp', port: 1 }],
  ['netcat', { scheme: 'tcp', port: 1 }],
  ['nmap', { scheme: 'tcp', port: 1 }],
  ['ftp', { scheme: 'ftp', port: 21 }],
  ['ssh', { scheme: 'ssh', port: 22 }],
  ['sftp', { scheme: 'ssh', port: 22 }],
  ['ssh-copy-id', { scheme: 'ssh', port: 22 }],
]);

/** Programs whose words are text, so that an address among them is not called. */
const TEXT_PROGRAMS = new Set('echo printf grep egrep fgrep rg sed awk test [ true false :'.split(' '));

/** Options of curl and its kin whose separate value is not an address. */
const VALUE_OPTIONS =
  /^(?:-[AbcCdDeEFhHKmoPQrtTuUwXyYz]|--(?:data[\w-]*|header|user|user-agent|output|request|form[\w-]*|cookie[\w-]*|referer|max-time|connect-timeout|retry[\w-]*|upload-file|write-out|cacert|cert|key|json|method|body-data|body-file|post-data|post-file|output-document|directory-prefix|password|limit-rate|range|interface))$/;

function findHosts(program: string, words: Words): NamedHost[] {
  if (TEXT_PROGRAMS.has(program)) return [];
  const hosts: NamedHost[] = [];
  const bare = HOST_OPERANDS.get(program);
  const isCommit = program === 'git' && ['commit', 'log', 'diff', 'show', 'tag', 'grep', 'add', 'status'].includes(gitVerb(words));
  if (isCommit) return [];
  for (let at = 1; at < words.length; at++) {
    const word = words[at];
    if (typeof word !== 'string') continue;
    const url = /^(?:--?[\w-]+=)?([a-z][a-z0-9+.-]{1,20}:\/\/.*)$/is.exec(word);
    if (url !== null) {
      hosts.push({ kind: 'url', url: url[1] ?? word, at });
      continue;
    }
    const previous = words[at - 1];
    if (word.startsWith('-') || word === '' || (typeof previous === 'string' && VALUE_OPTIONS.test(previous))) continue;
    const remote = program === 'git' || program === 'scp' || program === 'rsync' ? /^(?:[\w.-]+@)?([\w.-]+):(?!\/\/)/.exec(word) : null;
    if (remote !== null && (program !== 'git' || word.includes('@'))) {
      hosts.push({ kind: 'authority', host: remote[1] ?? '', port: 22, scheme: 'ssh', at });
      continue;
    }
    if (bare === undefined) continue;
    const host = bareHost(program, word);
    if (host === null) continue;
    if (bare.scheme === 'http' || bare.scheme === 'https') hosts.push({ kind: 'url', url: `${bare.scheme}://${host}`, at });
    else hosts.push({ kind: 'authority', host, port: bare.port, scheme: bare.scheme, at });
    if (program === 'ssh') break;
  }
  return hosts;
}

function bareHost(program: string, word: string): string | null {
  if (program === 'ssh' || program === 'sftp' || program === 'ssh-copy-id')
    return word.slice(word.lastIndexOf('@') + 1).replace(/:.*$/s, '');
  if (program === 'dig') return word.startsWith('+') ? null : word.replace(/^@/, '');
  if (program === 'nc' || program === 'ncat' || program === 'netcat' || program === 'telnet' || program === 'nmap')
    return /^\d+(?:-\d+)?$/.test(word) ? null : word;
  if (program === 'http' || program === 'https' || program === 'xh')
    return /^[A-Z]+$/.test(word) || /[=@]/.test(word) ? null : word.replace(/^:/, 'localhost:');
  return word;
}

function findDownload(program: string, words: Words): readonly string[] | null {
  if (!DOWNLOADERS.has(program) && !(program === 'gh' && words[1] === 'api')) return null;
  const files: string[] = [];
  const keepsNames = program !== 'curl' || words.some((word) => /^-[a-zA-Z]*O|^--remote-name/.test(word ?? ''));
  for (let at = 1; at < words.length; at++) {
    const word = words[at];
    if (typeof word !== 'string') continue;
    const next = words[at + 1];
    if ((word === '-o' || word === '-O' || word === '--output' || word === '--output-document') && typeof next === 'string')
      files.push(next);
    const glued = /^(?:-o|-O|--output=|--output-document=)([^-].*)$/s.exec(word);
    if (glued !== null) files.push(glued[1] ?? '');
    // wget, aria2c and curl -O keep the name at the end of the address.
    const url = keepsNames ? /^[a-z][a-z0-9+.-]{1,20}:\/\/[^?#]*\/([^/?#]+)(?:[?#].*)?$/is.exec(word) : null;
    if (url !== null) files.push(url[1] ?? '');
  }
  return files;
}
