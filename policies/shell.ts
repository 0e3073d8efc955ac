/**
 * Command lines: every command that would run, in any position, and whether the policy lists it (SPEC 4.4, POLICY_READING
 * "Shell"). A line is allowed only if each part of it was understood: characters, syntax, every word, every option, every
 * path. What was not understood is held, what is on the block list is denied. This is a gate, not a sandbox.
 */

import {
  type Command,
  forEachChild,
  type HereDoc,
  type ParsedScript,
  parse,
  type Redirect,
  type Redirection,
  type Statement,
  type SyntaxNode,
  type Word,
  type WordPart,
} from 'unbash';
import { findOddCharacter } from './characters.ts';
import { aimsAtSecret, type FileRules, type GlobToken, isGatePath, isSecretPath, readGlob, readPath, readTree } from './filesystem.ts';
import type { CommandReading, Finding, HostReading, PathReading, Risk } from './model.ts';
import { type NetworkRules, readAuthority, readUrl } from './network.ts';
import { type Danger, inspect, isAlwaysBlocked, isDestructiveCode, isDestructiveSql, programName, type Words } from './shell-danger.ts';
import { findProfile, type KnownWord, listProfileNames, type Profile, type WordUse } from './shell-profiles.ts';
import { readWord } from './shell-words.ts';

/** Compiled `allowlists.shell`; made by {@link compileShellRules} and read by nobody else. */
export interface ShellRules {
  /** Program → the entries that speak of it, in the order of the policy. */
  readonly byProgram: ReadonlyMap<string, readonly ListEntry[]>;
}

interface ListEntry {
  /** Position in the policy's list. */
  readonly index: number;
  readonly profile: Profile;
}

/** The compiled rules, or every mistake with the position of its entry. */
export type CompiledShellRules = { rules: ShellRules } | { errors: { index: number; message: string }[] };

/** Where a command would run and what is known about files and hosts. */
export interface ShellContext {
  cwd: string | null;
  workspace: string | null;
  symlinks: Readonly<Record<string, string>>;
  dns: Readonly<Record<string, readonly string[]>>;
  files: FileRules;
  network: NetworkRules;
}

/** All that was read out of one command line. It is allowed when there are no findings. */
export interface ShellReading {
  findings: Finding[];
  commands: CommandReading[];
  paths: PathReading[];
  hosts: HostReading[];
  /** What the findings raise the call to; null where they leave it as it is. */
  risk: Risk | null;
}

/**
 * Compiles the list. An entry is the name of a profile (see {@link findProfile}) or an exact command in plain words: then
 * exactly these words are allowed, and with a trailing ` *` any further operands that are neither options nor paths outside.
 */
export function compileShellRules(entries: readonly string[]): CompiledShellRules {
  const errors: { index: number; message: string }[] = [];
  const byProgram = new Map<string, ListEntry[]>();
  const names = new Set<string>();
  entries.forEach((text, index) => {
    const profile = typeof text === 'string' ? compileEntry(text.trim()) : 'An entry is a text.';
    if (typeof profile === 'string') {
      errors.push({ index, message: profile });
      return;
    }
    if (names.has(profile.name)) {
      errors.push({ index, message: `"${profile.name}" is listed twice.` });
      return;
    }
    names.add(profile.name);
    for (const program of profile.programs) byProgram.set(program, [...(byProgram.get(program) ?? []), { index, profile }]);
  });
  return errors.length > 0 ? { errors } : { rules: { byProgram } };
}

/** Longer command lines are held unread: the parser's time grows faster than the length on input made to be slow. */
const MAX_COMMAND_LENGTH = 32_768;
const MAX_HERE_DOCUMENTS = 50;

/** Reads a command line. Never throws, and its time is bounded: it gives up, and so holds, beyond fixed sizes. */
export function readShell(command: string, rules: ShellRules, context: ShellContext): ShellReading {
  const reader = new Reader(command, rules, context);
  reader.read();
  return reader.reading;
}

// ---- entries ----------------------------------------------------------------------------------------------------------------

function compileEntry(text: string): Profile | string {
  if (text === '') return 'An entry names a command; this one is empty.';
  if (findOddCharacter(text) !== null || /[\t\n]/.test(text)) return `"${text}" contains an invisible or control character.`;
  const profile = findProfile(text);
  if (profile !== null) return profile;
  const open = text.endsWith(' *');
  const words = (open ? text.slice(0, -2) : text).split(/ +/);
  const strange = words.find((word) => !/^[\w./,:=@%+-]+$/.test(word));
  if (strange !== undefined) {
    return `"${text}": "${strange}" is not a plain word. An entry is a profile (${listProfileNames().join(', ')}) or an exact command, optionally with a trailing " *".`;
  }
  if (isAlwaysBlocked(words)) return `"${text}" is on the block list, which wins: the entry would never allow anything.`;
  return exactProfile(text, words, open);
}

function exactProfile(name: string, expected: readonly string[], open: boolean): Profile {
  return {
    name,
    programs: [expected[0] ?? ''],
    match(words) {
      const same = expected.every((word, i) => words[i]?.value === word);
      if (!same || (!open && words.length !== expected.length)) return null;
      const uses: WordUse[] = [{ at: 0, usage: 'list', text: '.', glob: null }];
      for (let at = expected.length; at < words.length; at++) {
        const word = words[at];
        if (word === undefined) continue;
        if (word.value.startsWith('-')) return { why: `"${name}" takes further operands, not options`, at: [at] };
        uses.push({ at, usage: 'argument', text: word.value, glob: word.glob });
      }
      return { uses, guardsLeadingGlob: true };
    },
  };
}

// ---- the walk ---------------------------------------------------------------------------------------------------------------

/** Where in the line the reader is. */
interface Scope {
  /** Why nothing here can be allowed, else null. */
  readonly surround: string | null;
  /** Maps positions of the text being read to the original line. */
  readonly place: (start: number, end: number) => [number, number];
  readonly depth: number;
  /** Whether positions are those of the original line, word for word. */
  readonly original: boolean;
}

/** What a part of the line does with the streams that connect it to others. */
interface Effects {
  downloads: boolean;
  runsInput: boolean;
  /** It runs its input in a shell, rather than another language. */
  shell: boolean;
  /** Text that it prints, where it is known. */
  prints: string | null;
  database: boolean;
  /** Files it writes to, as named. */
  writes: string[];
  /** It hands what it reads to a process substitution that runs it. */
  feeds: boolean;
}

const NO_EFFECTS: Effects = { downloads: false, runsInput: false, shell: false, prints: null, database: false, writes: [], feeds: false };

/** One word of a command with where it stands. */
interface LineWord {
  readonly value: string | null;
  readonly glob: readonly GlobToken[] | null;
  readonly problem: string | null;
  /** Its value as far as constants, `$IFS` and literal substitutions tell; only ever used to deny. */
  readonly loose: string | null;
  readonly raw: string;
  readonly span: readonly [number, number];
  /** What runs inside it. */
  readonly nested: Effects | null;
  /** Output process substitution whose command runs what it is fed. */
  readonly feeds: boolean;
}

const MAX_COMMANDS = 200;
/** A longer word that needs more than decoding is held as it is. */
const MAX_COMPLEX_WORD = 4096;
const MAX_DEPTH = 16;
const MAX_FINDINGS = 60;
const MAX_WORDS = 2000;

class Reader {
  readonly reading: ShellReading = { findings: [], commands: [], paths: [], hosts: [], risk: null };
  readonly #source: string;
  readonly #rules: ShellRules;
  readonly #context: ShellContext;
  readonly #told = new Set<string>();
  readonly #variables = new Map<string, string>();
  readonly #downloaded = new Set<string>();
  /** Working directories that the commands from here on may have. */
  #places: readonly (string | null)[];
  /** The stretches of the original line that were understood: [start, end, command number]. */
  readonly #covered: [number, number, number][] = [];
  #commandNumber = 0;
  #budget: number;
  #words = 0;
  /** Where a `cd` may have led, whatever the list says of it; only ever used to deny. */
  #looseCwd: string | null;

  constructor(source: string, rules: ShellRules, context: ShellContext) {
    this.#source = source;
    this.#rules = rules;
    this.#context = context;
    this.#places = [context.cwd];
    this.#looseCwd = context.cwd;
    this.#budget = 20_000 + source.length * 4;
  }

  read(): void {
    const source = this.#source;
    if (source.trim() === '') {
      this.#hold('The command is empty.', null);
      return;
    }
    if (source.length > MAX_COMMAND_LENGTH) {
      this.#leaveUnread('The command is too long to be read.');
      return;
    }
    const odd = findOddCharacter(source);
    if (odd !== null) this.#hold(`The command contains the character ${odd.name}, which hides what it does.`, null);
    const script = this.#parse(source);
    if (script === null) return;
    this.#walkScript(script, { surround: null, place: (start, end) => [start, end], depth: 0, original: true });
    if (this.reading.commands.length === 0) this.#hold('The line contains no command.', null);
    if (this.reading.findings.length === 0 && !this.#isCovered()) this.#hold('A part of the line was not understood.', null);
  }

  /** The parser works without limits of its own on some nested input: what it gives up on is held. */
  #parse(text: string): ParsedScript | null {
    if (!this.#spend(text.length) || text.split('<<', MAX_HERE_DOCUMENTS + 1).length > MAX_HERE_DOCUMENTS) {
      this.#leaveUnread('The command is nested too deeply to be read.');
      return null;
    }
    try {
      return parse(text);
    } catch {
      this.#leaveUnread('The command cannot be parsed.');
      return null;
    }
  }

  /** Texts inside texts are read again at every level; all of them together may only be a few times the line. */
  #spend(characters: number): boolean {
    this.#budget -= characters;
    return this.#budget >= 0;
  }

  // -- findings

  #find(finding: Finding): void {
    if (finding.risk === 'red') this.reading.risk = 'red';
    const key = `${finding.code} ${finding.message}`;
    if (this.#told.has(key)) return;
    // Counted for each verdict and risk by itself: many that are held must not crowd out the one that is blocked.
    const alike = this.reading.findings.filter(({ verdict, risk }) => verdict === finding.verdict && risk === finding.risk);
    if (alike.length >= MAX_FINDINGS) return;
    this.#told.add(key);
    this.reading.findings.push(finding);
  }

  /**
   * A part of the line that nobody reads any further: it may hold a command that is blocked. Red, so that no rule which lifts what is
   * not on the list lets it run.
   */
  #leaveUnread(message: string): void {
    this.#hold(message, 'red');
  }

  #hold(message: string, risk: Risk | null, policyPath = 'allowlists.shell'): void {
    this.#find({ code: 'SHELL_NOT_ALLOWLISTED', verdict: 'hold', risk, message, policyPath });
  }

  #block(message: string): void {
    this.#find({ code: 'SHELL_BLOCKED', verdict: 'deny', risk: 'red', message, policyPath: 'builtin.shell.blocked' });
  }

  // -- syntax

  #walkScript(script: ParsedScript, scope: Scope): Effects {
    const error = script.errors?.[0];
    if (error !== undefined) this.#hold(`The command does not parse: ${error.message}.`, null);
    if (scope.depth > MAX_DEPTH) {
      this.#leaveUnread('The command is nested too deeply to be read.');
      return NO_EFFECTS;
    }
    const inner = script.source === undefined ? scope : fixedScope(scope, script.pos, script.end);
    return this.#walkStatements(script.commands, inner);
  }

  #walkStatements(statements: readonly Statement[], scope: Scope): Effects {
    let effects = NO_EFFECTS;
    for (const statement of statements) {
      const before = this.#places;
      const surround = scope.surround ?? (statement.background === true ? 'it runs in the background' : null);
      effects = merge(effects, this.#walkNode(statement.command, { ...scope, surround }));
      // A `cd` that failed leaves the next statement where it was.
      if (this.#places !== before) this.#places = [...new Set([...before, ...this.#places])].slice(0, 8);
    }
    return effects;
  }

  #walkNode(node: SyntaxNode, scope: Scope): Effects {
    switch (node.type) {
      case 'Command':
        return this.#walkCommand(node, scope);
      case 'Pipeline': {
        const piped = node.operators.includes('|&');
        const prefixed = node.prefixes.length > 0;
        const surround = scope.surround ?? (piped ? 'it is joined by |&' : prefixed ? 'it stands behind ! or time' : null);
        return this.#walkPipeline(node.commands, { ...scope, surround });
      }
      case 'AndOr': {
        let effects = NO_EFFECTS;
        node.commands.forEach((command, i) => {
          const before = this.#places;
          effects = merge(effects, this.#walkNode(command, scope));
          if (this.#places !== before && node.operators[i] !== '&&') this.#places = [...new Set([...before, ...this.#places])].slice(0, 8);
        });
        return effects;
      }
      default:
        return this.#walkOther(node, { ...scope, surround: scope.surround ?? describeNode(node), depth: scope.depth + 1 });
    }
  }

  /** Syntax that is not on the list: nothing in it is allowed, but every command in it is read. */
  #walkOther(node: SyntaxNode, scope: Scope): Effects {
    if (node.type !== 'CompoundList' && node.type !== 'Statement') this.#hold(`${describeSyntax(node)} is not on the list.`, null);
    if (scope.depth > MAX_DEPTH) {
      this.#leaveUnread('The command is nested too deeply to be read.');
      return NO_EFFECTS;
    }
    if (node.type === 'Function' && isForkBomb(node.name.value, this.#source)) this.#hold('The function starts itself without end.', 'red');
    let effects = NO_EFFECTS;
    const children: SyntaxNode[] = [];
    forEachChild(node, (child) => {
      children.push(child);
    });
    const places = this.#places;
    for (const child of children) effects = merge(effects, this.#walkChild(child, scope));
    if (node.type === 'Subshell') this.#places = places;
    return effects;
  }

  #walkChild(node: SyntaxNode, scope: Scope): Effects {
    switch (node.type) {
      case 'Statement':
        return this.#walkNode(node.command, scope);
      case 'CompoundList':
        return this.#walkStatements(node.commands, scope);
      case 'Script':
        return this.#walkScript(node, scope);
      case 'Word': {
        const { nested } = this.#readLineWords(node, scope)[0] ?? { nested: null };
        return nested ?? NO_EFFECTS;
      }
      case 'Redirect':
      case 'HereDoc':
      case 'HereString':
        return this.#walkRedirection(node, scope).effects;
      case 'Command':
      case 'Pipeline':
      case 'AndOr':
      case 'If':
      case 'For':
      case 'ArithmeticFor':
      case 'Select':
      case 'While':
      case 'Subshell':
      case 'BraceGroup':
      case 'Case':
      case 'TestCommand':
      case 'ArithmeticCommand':
      case 'Redirected':
      case 'Function':
      case 'Coproc':
        return this.#walkNode(node, scope);
      default: {
        if (scope.depth > MAX_DEPTH * 4) {
          this.#leaveUnread('The command is nested too deeply to be read.');
          return NO_EFFECTS;
        }
        let effects = NO_EFFECTS;
        forEachChild(node, (child) => {
          effects = merge(effects, this.#walkChild(child, { ...scope, depth: scope.depth + 1 }));
        });
        return effects;
      }
    }
  }

  #walkPipeline(stages: readonly SyntaxNode[], scope: Scope): Effects {
    const places = this.#places;
    const effects: Effects[] = [];
    for (const stage of stages) {
      effects.push(this.#walkNode(stage, scope));
      this.#places = places;
    }
    let downloads = false;
    let printed: string | null = null;
    for (const effect of effects) {
      if ((effect.runsInput || effect.feeds) && downloads) this.#block('What is downloaded would be run.');
      if (effect.runsInput && printed !== null) this.#readFedText(printed, effect, scope);
      if (effect.database && printed !== null && isDestructiveSql(printed)) this.#hold('The statement destroys data.', 'red');
      downloads ||= effect.downloads;
      printed = effect.prints ?? printed;
      if (downloads) for (const file of effect.writes) this.#downloaded.add(fileName(file));
    }
    const all = effects.reduce(merge, NO_EFFECTS);
    // Input comes from outside the pipeline only where its first stage reads it.
    return { ...all, runsInput: effects[0]?.runsInput ?? false, prints: effects.at(-1)?.prints ?? null };
  }

  /** Text that is fed to an interpreter is a script. */
  #readFedText(text: string, effect: Effects, scope: Scope): void {
    if (effect.shell) this.#walkText(text, { ...scope, surround: scope.surround ?? 'it is fed to an interpreter' }, null);
    else if (isDestructiveCode(text)) this.#hold('The code destroys files.', 'red');
  }

  /** Reads a text that a command would run. `span` is where it stands in the line, or null where it is put together. */
  #walkText(text: string, scope: Scope, span: readonly [number, number] | null): Effects {
    if (scope.depth >= MAX_DEPTH) {
      this.#leaveUnread('The command is nested too deeply to be read.');
      return NO_EFFECTS;
    }
    const [start, end] = span ?? scope.place(0, 0);
    const literal = this.#source.slice(start + 1, end - 1) === text;
    const place: Scope['place'] = literal ? (from, to) => [start + 1 + from, start + 1 + to] : () => [start, end];
    const script = this.#parse(text);
    if (script === null) return NO_EFFECTS;
    return this.#walkScript(script, {
      surround: scope.surround ?? 'it is run by another command',
      place,
      depth: scope.depth + 1,
      original: false,
    });
  }

  // -- one command

  #walkCommand(node: Command, scope: Scope): Effects {
    const number = ++this.#commandNumber;
    const span = scope.place(node.pos, node.end);
    if (this.reading.commands.length >= MAX_COMMANDS) {
      this.#leaveUnread('The line contains too many commands to be read.');
      return NO_EFFECTS;
    }
    let surround = scope.surround;
    const words: LineWord[] = [];
    const nested: Effects[] = [];
    for (const item of node.prefix) {
      if (item.type !== 'Assignment') continue;
      surround ??= 'it sets variables';
      nested.push(this.#walkAssignment(item, scope));
    }
    const items = node.name === undefined ? node.args : [node.name, ...node.args];
    for (const item of items) {
      if (item.type === 'Word') {
        words.push(...this.#readLineWords(item, scope));
        this.#cover(item.pos, item.end, number, scope);
      } else {
        surround ??= 'it sets variables';
        nested.push(this.#walkAssignment(item, scope));
        const assigned = item.value.type === 'Word' ? (readWord(item.value.text)[0]?.value ?? null) : null;
        const loose = assigned === null ? item.text : `${item.name}=${assigned}`;
        words.push({ ...UNKNOWN_WORD, problem: 'an assignment', loose, raw: item.text, span: scope.place(item.pos, item.end) });
      }
    }
    const redirections = node.redirects.map((redirection) => {
      this.#coverRedirection(redirection, number, scope);
      return this.#walkRedirection(redirection, scope);
    });
    const redirected = redirections.map(({ effects }) => effects).reduce(merge, NO_EFFECTS);
    const redirectProblem = redirections.find(({ problem }) => problem !== null)?.problem ?? null;

    if (words.length === 0) {
      this.#tell(span, null, 'held', false, redirectProblem ?? surround ?? 'it names no program', []);
      this.#hold(`A redirection or assignment alone is not on the list.`, null);
      return merge(redirected, nested.reduce(merge, NO_EFFECTS));
    }
    const effects = this.#judgeCommand(words, { ...scope, surround }, span, redirectProblem, redirections);
    const inside = [...nested, ...words.flatMap((word) => (word.nested === null ? [] : [word.nested]))].reduce(merge, NO_EFFECTS);
    return {
      ...effects,
      downloads: effects.downloads || inside.downloads || redirected.downloads,
      prints: effects.prints ?? redirected.prints,
      writes: [...effects.writes, ...redirected.writes],
    };
  }

  #judgeCommand(
    words: readonly LineWord[],
    scope: Scope,
    span: readonly [number, number],
    redirectProblem: string | null,
    redirections: readonly { effects: Effects; text: string | null; problem: string | null }[],
  ): Effects {
    const index = this.reading.commands.length;
    this.#tell(span, words.every((word) => word.value !== null) ? words.map((word) => word.value ?? '') : null, 'allowed', false, '', []);
    const told = this.reading.commands[index];
    const effects = this.#inspectWords(words, scope, span, redirections, 0);
    const outcome = this.#matchList(words, scope.surround, redirectProblem);
    if (told === undefined) return effects;
    if (effects.blocked !== null) {
      Object.assign(told, { verdict: 'blocked', red: true, why: effects.blocked.why, offending: spansOf(words, effects.blocked.at) });
    } else if (outcome.allowedBy !== null) {
      Object.assign(told, { why: `matches "${outcome.allowedBy}"` });
    } else {
      Object.assign(told, { verdict: 'held', red: effects.red, why: outcome.why, offending: spansOf(words, outcome.at) });
      this.#hold(`${quote(told.text)}: ${outcome.why}.`, effects.red ? 'red' : null);
      this.#findTouched(words, effects.prints !== null);
    }
    return effects;
  }

  /** What a command does whatever the list says, with every command inside it. */
  #inspectWords(
    words: readonly LineWord[],
    scope: Scope,
    span: readonly [number, number],
    redirections: readonly { effects: Effects; text: string | null }[],
    level: number,
  ): Effects & { blocked: Danger['blocked']; red: boolean } {
    const loose: Words = words.flatMap((word) => (word.loose === null ? [null] : [word.loose]));
    const danger = inspect(loose, { isRoot: (operand) => this.#isRoot(operand) });
    const name = programName(loose[0]) ?? 'the command';
    let blocked = danger.blocked;
    let red = danger.destructive !== null || danger.external !== null || danger.secrets !== null || danger.gate;
    const self: Effects = {
      downloads: danger.download !== null,
      runsInput: danger.runsInput,
      shell: danger.runsInput && isShellName(name),
      prints: printedText(name, danger, loose, redirections),
      database: danger.database,
      feeds: words.some((word) => word.feeds),
      writes: [...(danger.download ?? []), ...(name === 'tee' ? loose.slice(1).filter((word) => word !== null) : [])],
    };
    if ((name === 'cd' || name === 'pushd') && loose[1]?.startsWith('/')) this.#looseCwd = loose[1];
    if (danger.download !== null) for (const file of danger.download) this.#downloaded.add(fileName(file));
    if (danger.code.some((at) => words[at]?.nested?.downloads === true))
      blocked ??= { why: 'it would run what it downloads', at: [0, ...danger.code] };
    if (danger.runsInput && redirections.some(({ effects }) => effects.downloads))
      blocked ??= { why: 'it would run what it downloads', at: [0] };
    if (danger.runsFiles.some((file) => this.#downloaded.has(fileName(file))))
      blocked ??= { why: 'it would run what was downloaded before', at: [0, ...danger.code] };
    if (self.downloads && words.some((word) => word.feeds)) blocked ??= { why: 'what it downloads would be run', at: [0] };
    if (self.downloads) for (const { effects } of redirections) for (const file of effects.writes) this.#downloaded.add(fileName(file));
    if (danger.runsInput) {
      for (const { text } of redirections) if (text !== null) this.#readFedText(text, self, scope);
    }
    if (danger.database && redirections.some(({ text }) => text !== null && isDestructiveSql(text))) red = true;
    if (danger.code.some((at) => isDestructiveCode(loose[at] ?? ''))) red = true;

    if (blocked !== null) this.#block(`${quote(this.#source.slice(span[0], span[1]))}: ${blocked.why}.`);
    if (danger.external !== null) {
      this.#find({
        code: 'PROD_EXTERNAL',
        verdict: 'hold',
        risk: 'red',
        message: `${quote(this.#source.slice(span[0], span[1]))}: ${danger.external}.`,
        policyPath: 'builtin.shell.external',
      });
    }
    if (danger.secrets !== null) this.#secret(`${quote(this.#source.slice(span[0], span[1]))}: ${danger.secrets}`);
    if (danger.gate) this.#hold(`${quote(name)} can change the gate itself.`, 'red', 'builtin.shell.gate');
    this.#readHosts(danger);

    let effects = self;
    for (const inner of danger.inner) {
      if (inner.kind === 'script') {
        const word = words[inner.at];
        const through = this.#walkText(inner.text, { ...scope, surround: scope.surround ?? `it is run by ${name}` }, word?.span ?? span);
        effects = merge(effects, { ...through, prints: null });
        continue;
      }
      const rest = words.slice(inner.at);
      if (rest.length === 0) continue;
      if (level >= MAX_DEPTH || this.reading.commands.length >= MAX_COMMANDS) {
        this.#leaveUnread('The line contains too many commands to be read.');
        continue;
      }
      const [start] = rest[0]?.span ?? span;
      const [, end] = rest.at(-1)?.span ?? span;
      const at = this.reading.commands.length;
      this.#tell(
        [start, Math.max(start, end)],
        rest.every((word) => word.value !== null) ? rest.map((word) => word.value ?? '') : null,
        'held',
        false,
        `it is run by ${name}`,
        [],
      );
      const found = this.#inspectWords(
        inner.words.map((loosely, i) => ({ ...(rest[i] ?? UNKNOWN_WORD), loose: loosely })),
        scope,
        span,
        redirections,
        level + 1,
      );
      const told = this.reading.commands[at];
      if (found.blocked !== null && told !== undefined) {
        Object.assign(told, { verdict: 'blocked', red: true, why: found.blocked.why, offending: spansOf(rest, found.blocked.at) });
      } else if (found.red && told !== undefined) Object.assign(told, { red: true });
      red ||= found.red || found.blocked !== null;
      effects = merge(effects, { ...found, prints: null });
    }
    return { ...effects, blocked, red };
  }

  #readHosts(danger: Danger): void {
    if (danger.unknownHost) {
      this.#find({
        code: 'NET_NOT_ALLOWLISTED',
        verdict: 'hold',
        risk: 'red',
        message: 'It talks to a host that is not written in the command.',
        policyPath: 'allowlists.network',
      });
    }
    for (const host of danger.hosts) {
      const reading =
        host.kind === 'url'
          ? readUrl(host.url, this.#context, this.#context.network)
          : readAuthority(host.host, host.port, host.scheme, this.#context, this.#context.network);
      this.#host(reading);
    }
  }

  #host(reading: HostReading): void {
    const same = (other: HostReading) => other.given === reading.given && other.port === reading.port && other.scheme === reading.scheme;
    if (!this.reading.hosts.some(same)) this.reading.hosts.push(reading);
    if (reading.verdict === 'listed') return;
    const refused = reading.verdict === 'refused';
    this.#find({
      code: 'NET_NOT_ALLOWLISTED',
      verdict: refused ? 'deny' : 'hold',
      risk: 'red',
      message: `${quote(reading.given)}: ${reading.why}.`,
      policyPath: refused ? 'builtin.network.refused' : 'allowlists.network',
    });
  }

  #secret(what: string): void {
    this.#find({ code: 'SECRETS', verdict: 'hold', risk: 'red', message: `${what}.`, policyPath: 'builtin.secrets' });
  }

  /** Secrets and parts of the gate that an unlisted command names, wherever in its words. */
  #findTouched(words: readonly LineWord[], prints: boolean): void {
    const isMessage = programName(words[0]?.value) === 'git' && words.some((word) => word.value === 'commit');
    for (const [i, word] of words.entries()) {
      const variable = /\$\{?[!#]?(\w*(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL)\w*)/i.exec(
        word.raw.slice(0, 4096),
      );
      if (variable !== null && word.problem !== null) this.#secret(`The variable ${variable[1]} holds a credential`);
      if (i === 0 || prints || isMessage) continue;
      for (const piece of pathPieces(word.value ?? word.raw)) {
        const path = `/${piece.replace(/^~[^/]*\/?/, '')}`;
        if (!isSecretPath(path)) continue;
        this.#secret(`${quote(piece)} names a secret file`);
        if (isGatePath(path)) this.#hold(`${quote(piece)} belongs to the gate itself.`, 'red', 'builtin.shell.gate');
      }
    }
  }

  /** Whether an operand means the root of the file system by its text: `/`, `//.`, `/*`, `../../../..`, `.` behind `cd /`. */
  #isRoot(operand: string): boolean {
    if (operand.length > 4096) return false;
    const wild = operand.search(/[*?[]/);
    const base = wild < 0 ? operand : operand.slice(0, operand.lastIndexOf('/', wild) + 1);
    const climbs = base.split('/').filter((segment) => segment === '..').length;
    if (base.startsWith('/')) return readPath(base, 'read', this.#context, this.#context.files).path === '/';
    if (this.#looseCwd === '/') return /^[./]*$/.test(base);
    return climbs >= 3 && readPath(base, 'read', { ...this.#context, cwd: this.#looseCwd }, this.#context.files).path === '/';
  }

  // -- the list

  #matchList(
    words: readonly LineWord[],
    surround: string | null,
    redirectProblem: string | null,
  ): { allowedBy: string | null; why: string; at: readonly number[] } {
    const held = (why: string, at: readonly number[] = [0]) => ({ allowedBy: null, why, at });
    const unknownAt = words.findIndex((word) => word.value === null);
    const program = words[0]?.value ?? null;
    const unknownWhy = `${words[unknownAt]?.problem ?? 'a word'}, whose value is not written in the command`;
    if (program === null) return held(`the program is ${unknownWhy}`);
    const entries = this.#rules.byProgram.get(program);
    if (entries === undefined) return held(`${quote(program)} is not on the list`);
    if (words[0]?.glob !== null) return held('the program is a pattern');
    if (words[0].raw.includes('{')) return held('the program is spelled with braces');
    if (surround !== null) return held(surround);
    if (unknownAt >= 0) return held(`it contains ${unknownWhy}`, [unknownAt]);
    if (redirectProblem !== null) return held(redirectProblem, []);
    const odd = words.findIndex((word) => word.value !== null && hasControl(word.value));
    if (odd >= 0) return held('a word contains a control character', [odd]);

    const known: KnownWord[] = words.map((word) => ({ value: word.value ?? '', glob: word.glob }));
    let misfit: { why: string; at: readonly number[] } | null = null;
    for (const { profile } of entries) {
      const fit = profile.match(known);
      if (fit === null) continue;
      if ('why' in fit) {
        misfit ??= fit;
        continue;
      }
      const problem = this.#judgeUses(known, fit.uses, fit.guardsLeadingGlob ?? false);
      if (problem === null) return { allowedBy: profile.name, why: '', at: [] };
      misfit ??= problem;
    }
    return misfit === null ? held(`this use of ${program} is not on the list`) : held(misfit.why, misfit.at);
  }

  /** Judges all that a fitting command would touch, from every place it may run in. */
  #judgeUses(
    words: readonly KnownWord[],
    uses: readonly WordUse[],
    guardsLeadingGlob: boolean,
  ): { why: string; at: readonly number[] } | null {
    let problem: { why: string; at: readonly number[] } | null = null;
    for (const [at, word] of words.entries()) {
      const first = word.glob?.[0];
      if (word.glob === null) continue;
      if (guardsLeadingGlob && typeof first === 'object' && !endsInExtension(word.glob)) {
        problem ??= { why: 'the pattern could stand for an option', at: [at] };
      }
      // Whatever the word means, the shell puts the names of files in its place.
      if (!word.value.startsWith('-') && !uses.some((use) => use.at === at && use.glob !== null))
        problem ??= this.#judgeUse({ at, usage: 'read', text: word.value, glob: word.glob });
    }
    for (const use of uses) {
      const found = this.#judgeUse(use);
      problem ??= found;
    }
    return problem;
  }

  #judgeUse(use: WordUse): { why: string; at: readonly number[] } | null {
    let problem: string | null = null;
    for (const cwd of this.#places) problem ??= this.#judgeUseIn(use, cwd);
    if (problem === null && use.usage === 'enter') {
      this.#places = this.#places.map((cwd) => (use.text.startsWith('/') || cwd === null ? use.text : `${cwd}/${use.text}`));
    }
    return problem === null ? null : { why: problem, at: [use.at] };
  }

  #judgeUseIn(use: WordUse, cwd: string | null): string | null {
    const { files } = this.#context;
    const context = { ...this.#context, cwd };
    switch (use.usage) {
      case 'write':
        if (use.glob !== null) return 'what it writes to is a pattern';
        return this.#path(readPath(use.text, 'write', context, files));
      case 'name':
        return aimsAtSecret(use.text) ? this.#aimed(use.text) : null;
      case 'stage': {
        if (use.glob === null) return this.#readTarget(use.text, context);
        const glob = readGlob(use.text, use.glob, context, files);
        return this.#path({ ...glob, secret: glob.targeted });
      }
      case 'read':
      case 'target': {
        if (use.glob !== null) return this.#path(readGlob(use.text, use.glob, context, files));
        if (use.usage === 'read')
          return use.text === '-' || use.text === '/dev/null' ? null : this.#path(readPath(use.text, 'read', context, files));
        return this.#readTarget(use.text, context);
      }
      case 'tree': {
        if (use.glob !== null) return this.#path(readGlob(use.text, use.glob, context, files));
        const tree = readTree(use.text, context, files);
        if (tree.verdict === 'inside' && tree.isRoot) return 'it would read every file of the workspace, secrets too';
        return this.#path(tree);
      }
      case 'walk':
      case 'list':
      case 'enter': {
        if (use.glob === null)
          return this.#path(use.usage === 'walk' ? readTree(use.text, context, files) : readPath(use.text, 'read', context, files));
        const glob = readGlob(use.text, use.glob, context, files);
        return this.#path({ ...glob, secret: glob.targeted });
      }
      case 'code':
        return this.#readCode(use, context);
      case 'place': {
        const here = readPath('.', 'read', context, files);
        if (here.verdict !== 'inside') return this.#path(here);
        return this.#isPlantable('.', context) ? 'agents may write here, and what lies here would be run' : null;
      }
      case 'argument':
        return this.#readArgument(use, context);
    }
  }

  #path(reading: PathReading): string | null {
    if (!this.reading.paths.some((other) => other.given === reading.given && other.use === reading.use && other.path === reading.path)) {
      const { given, path, use, verdict, secret, why } = reading;
      this.reading.paths.push({ given, path, use, verdict, secret, why });
    }
    const name = quote(reading.given);
    if (reading.secret) this.#secret(`${name} names a secret file`);
    if (reading.verdict === 'config') {
      this.#find({
        code: 'FS_CONFIG_BLOCKED',
        verdict: 'hold',
        risk: null,
        message: `${name}: ${reading.why}.`,
        policyPath: 'allowlists.filesystem.writeBlocked',
      });
    } else if (reading.verdict === 'outside') {
      const code = reading.use === 'read' ? 'FS_READ_OUTSIDE' : 'FS_WRITE_OUTSIDE';
      this.#find({
        code,
        verdict: 'hold',
        risk: null,
        message: `${name}: ${reading.why}.`,
        policyPath: `allowlists.filesystem.${reading.use}`,
      });
    }
    if (reading.verdict !== 'inside') return `${name} is ${reading.why}`;
    return reading.secret ? `${name} names a secret file` : null;
  }

  #aimed(pattern: string): string {
    this.#secret(`${quote(pattern)} is aimed at secret files`);
    return `${quote(pattern)} is aimed at secret files`;
  }

  /** `HEAD~1`, `main..dev`, `HEAD:src/a.ts`, `:(exclude)docs`, `src/a.ts`. */
  #readTarget(text: string, context: ShellContext): string | null {
    const magic = /^:(?:\([^)]*\)|[!^/]+:?)/.exec(text);
    const path = magic === null ? text : text.slice(magic[0].length);
    if (path === '') return null;
    // git matches patterns itself, however they were quoted; one that is aimed at secrets names them.
    if (/[*?[]/.test(path) && aimsAtSecret(path)) return this.#aimed(path);
    const problem = this.#path(readPath(path, 'read', context, this.#context.files));
    if (problem !== null) return problem;
    for (let colon = path.indexOf(':'); colon >= 0; colon = path.indexOf(':', colon + 1)) {
      const behind = path.slice(colon + 1);
      if (behind === '') continue;
      const inner = this.#path(readPath(behind, 'read', context, this.#context.files));
      if (inner !== null) return inner;
    }
    return null;
  }

  #readCode(use: WordUse, context: ShellContext): string | null {
    if (use.glob !== null) {
      const glob = this.#path(readGlob(use.text, use.glob, context, this.#context.files));
      if (glob !== null) return glob;
      const base = use.text.split(/[*?[]/, 1)[0] ?? '';
      return this.#isPlantable(base === '' ? '.' : base, context) ? 'agents may write there, and what lies there would be run' : null;
    }
    const reading = readPath(use.text, 'read', context, this.#context.files);
    const problem = this.#path(reading);
    if (problem !== null || reading.path === null) return problem ?? 'the path is not known';
    if (use.folder !== null && use.folder !== undefined) {
      const folder = readPath(use.folder, 'read', { ...context, cwd: null }, this.#context.files).path;
      if (folder !== null && reading.path.startsWith(`${folder}/`)) return null;
      if (context.cwd === undefined || folder === null) return 'the folder of scripts is not known';
      return `${quote(use.text)} is not a file in ${use.folder}/`;
    }
    return this.#isPlantable(use.text, context) ? `agents may write ${quote(use.text)}, and it would be run` : null;
  }

  /** Whether agents may write there without being asked, unless the operator opened the whole workspace. */
  #isPlantable(path: string, context: ShellContext): boolean {
    const { files } = this.#context;
    if (readPath(path, 'write', context, files).verdict !== 'inside') return false;
    return readPath('.', 'write', { ...context, cwd: null }, files).verdict !== 'inside';
  }

  /** A word handed to a script: an address, a path, `--name=path`, or plain data. */
  #readArgument(use: WordUse, context: ShellContext): string | null {
    if (use.glob !== null) return this.#path(readGlob(use.text, use.glob, context, this.#context.files));
    for (const url of use.text.matchAll(ADDRESS)) {
      const reading = readUrl(url[0], this.#context, this.#context.network);
      this.#host(reading);
      if (reading.verdict !== 'listed') return `${quote(url[0])} is not on the network allowlist`;
    }
    for (const piece of argumentPieces(use.text.replace(ADDRESS, ' '))) {
      const problem = this.#path(readPath(piece, 'read', context, this.#context.files));
      if (problem !== null) return problem;
    }
    return null;
  }

  // -- words

  #readLineWords(word: Word, scope: Scope): LineWord[] {
    const span = scope.place(word.pos, word.end);
    const raw = word.text;
    if (++this.#words > MAX_WORDS) {
      if (this.#words === MAX_WORDS + 1) this.#leaveUnread('The line contains too many words to be read.');
      return [];
    }
    const read = readWord(raw);
    if (read.length !== 1 || read[0]?.problem === null) {
      return read.map(({ value, glob, problem }) => ({ value, glob, problem, loose: value, raw, span, nested: null, feeds: false }));
    }
    const problem = read[0]?.problem ?? 'an expansion';
    const proven = provenText(word);
    if (proven !== null) return [{ value: proven, glob: null, problem: null, loose: proven, raw, span, nested: null, feeds: false }];
    if (raw.length > MAX_COMPLEX_WORD) return [{ ...UNKNOWN_WORD, problem, raw: raw.slice(0, MAX_COMPLEX_WORD), span }];
    const found = this.#walkParts(word, scope);
    const loose = this.#looseText(word);
    const shared = { value: null, glob: null, problem, raw, span, nested: found.effects, feeds: found.feeds };
    if (loose === null) return [{ ...shared, loose: null }];
    const split = loose.split(FIELD_BREAK).filter((text) => text !== '');
    return split.length === 0 ? [{ ...shared, loose: '' }] : split.map((text) => ({ ...shared, loose: text }));
  }

  /** Reads the commands that run inside a word. */
  #walkParts(
    word: { readonly parts?: readonly WordPart[] | undefined; readonly text: string },
    scope: Scope,
  ): { effects: Effects; feeds: boolean } {
    let effects = NO_EFFECTS;
    let feeds = false;
    const { length } = word.text;
    const inside: Scope = {
      ...scope,
      surround: scope.surround ?? 'it runs inside a substitution',
      depth: scope.depth + 1,
      original: false,
    };
    if (inside.depth > MAX_DEPTH || !this.#spend(length)) {
      this.#leaveUnread('The command is nested too deeply to be read.');
      return { effects, feeds };
    }
    const visit = (node: SyntaxNode, depth: number) => {
      if (node.type === 'Script') {
        const found = this.#walkScript(node, inside);
        effects = merge(effects, { ...found, prints: null });
        feeds ||= found.runsInput;
        return;
      }
      if (depth < MAX_DEPTH) forEachChild(node, (child) => visit(child, depth + 1));
    };
    for (const part of word.parts ?? []) visit(part, 0);
    return { effects, feeds };
  }

  /** What a word most likely becomes: constants set before, `$IFS`, `${x:-literal}` and `$(echo literal)` put in their places. */
  #looseText(word: Word): string | null {
    let text = '';
    const take = (part: WordPart, quoted: boolean): boolean => {
      switch (part.type) {
        case 'Literal':
        case 'SingleQuoted':
        case 'AnsiCQuoted':
        case 'Glob':
          text += part.value;
          return true;
        case 'DoubleQuoted':
        case 'LocaleString':
          return part.parts.every((child) => take(child, true));
        case 'SimpleExpansion':
        case 'ParameterExpansion': {
          const value = this.#looseVariable(part);
          if (value === null) return false;
          text += quoted ? value : value.replace(/[ \t\n]+/g, FIELD_BREAK);
          return true;
        }
        case 'CommandExpansion': {
          const value = part.script === undefined ? null : echoedText(part.script);
          if (value === null) return false;
          text += quoted ? value : value.replace(/[ \t\n]+/g, FIELD_BREAK);
          return true;
        }
        case 'BraceExpansion': {
          text += part.text;
          return true;
        }
        default:
          return false;
      }
    };
    const parts = word.parts;
    if (parts === undefined) return word.value;
    if (!parts.every((part) => text.length <= MAX_LOOSE_LENGTH && take(part, false))) return null;
    return text;
  }

  #looseVariable(part: Extract<WordPart, { type: 'SimpleExpansion' | 'ParameterExpansion' }>): string | null {
    const name = part.type === 'SimpleExpansion' ? part.text.slice(1) : part.parameter;
    if (part.type === 'ParameterExpansion' && (part.prefix !== undefined || part.index !== undefined)) return null;
    const known = this.#variables.get(name);
    if (part.type === 'ParameterExpansion' && part.operation !== undefined) {
      const { operation } = part;
      if (operation.type !== 'Default' || !/^:?[-=]$/.test(operation.operator)) return null;
      return known ?? readWord(operation.operand.text)[0]?.value ?? null;
    }
    if (known !== undefined) return known;
    if (name === 'IFS') return ' ';
    // Positional parameters and unset variables mostly vanish: `r$@m -rf` is a known disguise.
    return /^[@*]$/.test(name) ? '' : null;
  }

  #walkAssignment(item: Extract<Command['prefix'][number], { type: 'Assignment' }>, scope: Scope): Effects {
    const elements = item.value.type === 'Word' ? [item.value] : item.value.elements;
    let effects = NO_EFFECTS;
    for (const element of elements) {
      const [word] = this.#readLineWords(element, scope);
      if (word?.nested) effects = merge(effects, word.nested);
      if (
        item.value.type === 'Word' &&
        item.index === undefined &&
        item.append !== true &&
        typeof word?.loose === 'string' &&
        word.loose.length <= MAX_LOOSE_LENGTH
      ) {
        this.#variables.set(item.name, word.loose);
      }
    }
    return effects;
  }

  // -- redirections

  #walkRedirection(redirection: Redirection, scope: Scope): { effects: Effects; text: string | null; problem: string | null } {
    switch (redirection.type) {
      case 'HereDoc':
        return this.#walkHereDoc(redirection, scope);
      case 'HereString': {
        if (redirection.target === undefined) return { effects: NO_EFFECTS, text: null, problem: 'a redirection is incomplete' };
        const [word, ...more] = this.#readLineWords(redirection.target, scope);
        const problem =
          word?.value === null || word?.value === undefined || more.length > 0 ? 'what it is fed is not written in the command' : null;
        return { effects: word?.nested ?? NO_EFFECTS, text: word?.loose ?? null, problem };
      }
      case 'Redirect':
        return this.#walkRedirect(redirection, scope);
    }
  }

  #walkHereDoc(redirection: HereDoc, scope: Scope): { effects: Effects; text: string | null; problem: string | null } {
    const { body, delimiter } = redirection;
    if (delimiter === undefined || redirection.closing === undefined)
      return { effects: NO_EFFECTS, text: null, problem: 'a here-document does not end' };
    if (delimiter.quoted || !/[$`\\]/.test(body.text)) {
      return {
        effects: NO_EFFECTS,
        text: body.text,
        problem: redirection.descriptor === undefined ? null : 'a here-document goes to another stream',
      };
    }
    const { effects } = this.#walkParts(body, scope);
    return { effects, text: body.text, problem: 'a here-document contains expansions' };
  }

  #walkRedirect(redirection: Redirect, scope: Scope): { effects: Effects; text: string | null; problem: string | null } {
    const nothing = { effects: NO_EFFECTS, text: null };
    const { target, operator, descriptor } = redirection;
    if (target === undefined) return { ...nothing, problem: 'a redirection is incomplete' };
    const [word, ...more] = this.#readLineWords(target, scope);
    if (word === undefined || more.length > 0) return { ...nothing, problem: 'a redirection has several targets' };
    const nested = word.nested ?? NO_EFFECTS;
    const name = word.loose ?? '';
    if (/^\/dev\/(?:tcp|udp)\//.test(name)) return this.#walkSocket(name);
    if (descriptor !== undefined && (descriptor.type !== 'FileDescriptor' || descriptor.value > 2)) {
      return { effects: { ...nested, writes: operator === '<' ? [] : [name] }, text: null, problem: 'it opens a stream of its own' };
    }
    if (word.value === null) {
      // `> >(sh)` and `< <(curl)` connect the command with another one.
      return { effects: { ...nested, writes: [] }, text: null, problem: `a redirection goes to ${word.problem ?? 'something unknown'}` };
    }
    if (word.glob !== null) return { ...nothing, problem: 'a redirection goes to a pattern' };
    const isStream = /^[012]$/.test(word.value);
    switch (operator) {
      case '>&':
        if (isStream) return { ...nothing, problem: null };
        if (/^(?:\d+|-|\d+-)$/.test(word.value)) return { ...nothing, problem: 'it moves or closes a stream' };
        return this.#judgeTarget(word.value, ['write']);
      case '<&':
        return { ...nothing, problem: isStream ? null : 'it moves or closes a stream' };
      case '>':
      case '>>':
      case '>|':
      case '&>':
      case '&>>':
        return this.#judgeTarget(word.value, ['write']);
      case '<':
        return this.#judgeTarget(word.value, ['read']);
      case '<>':
        return this.#judgeTarget(word.value, ['read', 'write']);
    }
  }

  #judgeTarget(target: string, uses: readonly ('read' | 'write')[]): { effects: Effects; text: string | null; problem: string | null } {
    const effects = { ...NO_EFFECTS, writes: uses.includes('write') ? [target] : [] };
    if (target === '/dev/null') return { effects: NO_EFFECTS, text: null, problem: null };
    if (/^\/dev\/(?:[shv]d[a-z]|nvme|mmcblk|disk|mem|kmem|xvd|loop|mapper)/.test(target))
      this.#hold(`${quote(target)} is a device.`, 'red');
    let problem: string | null = null;
    for (const use of uses) {
      for (const cwd of this.#places) problem ??= this.#path(readPath(target, use, { ...this.#context, cwd }, this.#context.files));
    }
    return { effects, text: null, problem };
  }

  /** `/dev/tcp/host/port` makes bash itself open a connection. */
  #walkSocket(name: string): { effects: Effects; text: string | null; problem: string | null } {
    const [, , , host = '', port = ''] = name.split('/');
    this.#host(readAuthority(host, Number(port), 'tcp', this.#context, this.#context.network));
    return { effects: { ...NO_EFFECTS, downloads: true }, text: null, problem: 'it opens a network connection' };
  }

  // -- bookkeeping

  #tell(
    span: readonly [number, number],
    argv: readonly string[] | null,
    verdict: CommandReading['verdict'],
    red: boolean,
    why: string,
    offending: CommandReading['offending'],
  ): void {
    // The parser ends a here-document that has no end one past the text.
    const within = [span[0], Math.min(span[1], this.#source.length)] as const;
    this.reading.commands.push({ text: this.#source.slice(...within), span: within, argv, verdict, red, why, offending });
  }

  #cover(start: number, end: number, number: number, scope: Scope): void {
    if (scope.original && scope.surround === null) this.#covered.push([start, end, number]);
  }

  #coverRedirection(redirection: Redirection, number: number, scope: Scope): void {
    this.#cover(redirection.pos, redirection.end, number, scope);
    if (redirection.type === 'HereDoc' && redirection.closing !== undefined) {
      this.#cover(redirection.body.pos, redirection.closing.end, -number, scope);
    }
  }

  /** Every character of the line belongs to a word that was read, or is white space, a known operator or a comment. */
  #isCovered(): boolean {
    const source = this.#source;
    const items = this.#covered.sort((a, b) => a[0] - b[0]);
    let at = 0;
    let previous = 0;
    for (const [start, end, number] of items) {
      if (start < at) return false;
      const gap = source.slice(at, start);
      const fits = number === previous ? /^(?:[ \t]|\\\n)*$/.test(gap) : isGap(gap, at === 0);
      if (!fits) return false;
      at = end;
      previous = number;
    }
    return isGap(source.slice(at), at === 0);
  }
}

// ---- parts of the reader that need no state -------------------------------------------------------------------------------------

/** Constants put into constants grow without end; no disguise of a command needs that much. */
const MAX_LOOSE_LENGTH = 4096;

const FIELD_BREAK = '\u0001';

const UNKNOWN_WORD: LineWord = {
  value: null,
  glob: null,
  problem: 'a word',
  loose: null,
  raw: '',
  span: [0, 0],
  nested: null,
  feeds: false,
};

function merge(a: Effects, b: Effects): Effects {
  if (a === NO_EFFECTS) return b;
  if (b === NO_EFFECTS) return a;
  return {
    downloads: a.downloads || b.downloads,
    runsInput: a.runsInput || b.runsInput,
    shell: a.shell || b.shell,
    prints: b.prints ?? a.prints,
    database: a.database || b.database,
    feeds: a.feeds || b.feeds,
    writes: b.writes.length === 0 ? a.writes : [...a.writes, ...b.writes],
  };
}

/** White space, `|`, `&&`, `||`, `;`, line ends and comments; a comment starts behind white space or an operator. */
function isGap(gap: string, atStart: boolean): boolean {
  let opens = atStart;
  for (let at = 0; at < gap.length; at++) {
    const c = gap[at];
    if (c === '\\' && gap[at + 1] === '\n') at++;
    else if (c === '#' && opens) {
      const end = gap.indexOf('\n', at);
      if (end < 0) return true;
      at = end;
    } else if (c === '&' && gap[at + 1] === '&') {
      at++;
      opens = true;
    } else if (c === ' ' || c === '\t' || c === '\n' || c === ';' || c === '|') opens = true;
    else return false;
  }
  return true;
}

function fixedScope(scope: Scope, start: number, end: number): Scope {
  const span = scope.place(start, end);
  return { ...scope, place: () => span, original: false };
}

function describeNode(node: SyntaxNode): string {
  return `it stands in ${describeSyntax(node).toLowerCase()}`;
}

function describeSyntax(node: SyntaxNode): string {
  switch (node.type) {
    case 'Subshell':
      return 'A subshell';
    case 'BraceGroup':
      return 'A group';
    case 'If':
    case 'Case':
    case 'TestCommand':
      return 'A condition';
    case 'For':
    case 'ArithmeticFor':
    case 'While':
    case 'Select':
      return 'A loop';
    case 'Function':
      return 'A function';
    case 'Coproc':
      return 'A coprocess';
    case 'Redirected':
      return 'A redirected group';
    default:
      return 'Syntax of this kind';
  }
}

/** `:(){ :|:& };:` in any spelling of the name. */
function isForkBomb(name: string, source: string): boolean {
  return name.length <= 32 && source.includes(`${name}|${name}`.replaceAll(' ', '')) && source.includes('&');
}

/** The text that `"$(cat <<'EOF' … EOF)"` stands for, where that is all the word is and nothing in it expands. */
function provenText(word: Word): string | null {
  const [quoted, ...others] = word.parts ?? [];
  if (quoted?.type !== 'DoubleQuoted' || others.length > 0) return null;
  const [expansion, ...more] = quoted.parts;
  if (expansion?.type !== 'CommandExpansion' || more.length > 0 || !expansion.text.startsWith('$(')) return null;
  const script = expansion.script;
  if (script === undefined || script.errors !== undefined || script.commands.length !== 1) return null;
  const [statement] = script.commands;
  const command = statement?.command;
  if (statement?.background === true || command?.type !== 'Command') return null;
  if (command.name?.text !== 'cat' || command.prefix.length > 0 || command.suffix.length !== 1) return null;
  const document = command.suffix[0];
  if (document?.type !== 'HereDoc' || document.operator !== '<<' || document.descriptor !== undefined) return null;
  if (document.closing === undefined || document.delimiter === undefined) return null;
  if (!document.delimiter.quoted && /[$`\\]/.test(document.body.text)) return null;
  if (!isHereDocText(word.text, document.body.text, document.delimiter)) return null;
  return document.body.text.replace(/\n+$/, '');
}

/** The whole word once more, without the parser: `"$(cat <<'EOF'`, the body, the delimiter, `)"`, and nothing else. */
function isHereDocText(raw: string, body: string, delimiter: { text: string; value: string }): boolean {
  if (!/^\w+$/.test(delimiter.value) || body.split('\n').includes(delimiter.value)) return false;
  const head = /^"\$\([ \t]*cat[ \t]+<<[ \t]*/.exec(raw)?.[0];
  if (head === undefined || !raw.startsWith(delimiter.text, head.length)) return false;
  const rest = raw.slice(head.length + delimiter.text.length);
  return rest.startsWith(`\n${body}${delimiter.value}\n`) && /^[ \t\n]*\)"$/.test(rest.slice(body.length + delimiter.value.length + 2));
}

/** What `$(echo literal)` and `$(printf literal)` print. */
function echoedText(script: ParsedScript): string | null {
  const command = script.commands.length === 1 ? script.commands[0]?.command : undefined;
  if (command?.type !== 'Command' || command.prefix.length > 0 || command.redirects.length > 0) return null;
  if (command.name?.value !== 'echo' && command.name?.value !== 'printf') return null;
  const texts = command.args.flatMap((arg) => (arg.type === 'Word' ? readWord(arg.text).map(({ value }) => value) : [null]));
  return texts.some((text) => text === null) ? null : texts.filter((text) => !/^-[neE]+$/.test(text ?? '')).join(' ');
}

/** Text that a command puts into the pipe behind it: the words of `echo`, the here-document of `cat`. */
function printedText(name: string, danger: Danger, words: Words, redirections: readonly { text: string | null }[]): string | null {
  if (danger.prints)
    return words
      .slice(1)
      .map((word) => word ?? '')
      .join(' ');
  return name === 'cat' ? (redirections.find(({ text }) => text !== null)?.text ?? null) : null;
}

function spansOf(words: readonly LineWord[], at: readonly number[]): (readonly [number, number])[] {
  return at.flatMap((i) => {
    const word = words[i];
    return word === undefined ? [] : [word.span];
  });
}

function isShellName(name: string): boolean {
  return /^(?:ba|da|a|z|k|mk|fi|c|tc|ya|rba|po)?sh\d*$|^(?:xargs|parallel|source|\.|at|batch)$/.test(name);
}

function hasControl(text: string): boolean {
  return findOddCharacter(text) !== null;
}

function endsInExtension(glob: readonly GlobToken[]): boolean {
  const last = glob.at(-1);
  return typeof last === 'string' && /\.\w+$/.test(last);
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Pieces of a word that may be paths: split where options, lists, addresses and code put them together. */
function pathPieces(text: string): string[] {
  if (text.length > 20_000) return [];
  const whole = text.split(/[\s'"`()<>|;,=@:$&{}[\]]+/).filter((piece) => piece !== '' && piece.length <= 1024);
  if (!/[\s'"()]/.test(text)) return whole;
  return whole.filter((piece) => piece.includes('/') || /^[.~]/.test(piece) || /^id_/.test(piece));
}

const ADDRESS = /[a-z][a-z0-9+.-]{1,20}:\/\/[^\s"'<>`]*/gi;

/** Pieces of a script's argument that it may open: the word, what stands behind `=`, and every piece that leads elsewhere. */
function argumentPieces(text: string): string[] {
  const pieces = pathPieces(text).filter((piece) => /^[/~]|(?:^|\/)\.\.(?:\/|$)/.test(piece));
  const glued = /^-[A-Za-z]([./~].*)$/s.exec(text)?.[1];
  if (glued !== undefined) pieces.push(glued);
  const equals = text.indexOf('=');
  if (equals > 0 && equals < text.length - 1) pieces.push(text.slice(equals + 1));
  if (!text.startsWith('-') && text.trim() !== '') pieces.push(text);
  return pieces;
}

const MAX_QUOTE = 120;

function quote(text: string): string {
  const line = text.replace(/\s+/g, ' ');
  return line.length > MAX_QUOTE ? `"${line.slice(0, MAX_QUOTE)}…"` : `"${line}"`;
}
