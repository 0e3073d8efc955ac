/**
 * Standing grants: what may be approved for longer, and whether a call is covered (SPEC 6, docs/approvals.md). Pure, so that control and
 * the preview on the dashboard say the same.
 *
 * A call is covered only if all of this holds; whatever is in doubt is left out:
 * - The policy of now still holds it, as yellow, for reasons that the grant answers. A reason that the grant does not name (a path
 *   outside, a host, a cap, a sequence) leaves it to a person: a wide pattern cannot reach further than the questions it was given for.
 * - It is read whole: a command line is plain literal words to two independent readings.
 * - It fits the pattern word for word but for the parts that the person left open, and an open file is a plain name in the workspace.
 * - What would run could not have been written by the agent without asking.
 */
import { HARMLESS_SHELL_KEYS } from './arguments.ts';
import { canonicalJson } from './canonical.ts';
import { isBareWrapper, unwrapCall } from './classify.ts';
import { decide, isAnswerable, leadsElsewhere } from './decide.ts';
import { type FileContext, readPath } from './filesystem.ts';
import type { Classification, Facts, Json, JsonObject, ReasonCode, ToolCall } from './model.ts';
import { readUrl } from './network.ts';
import { type Join, type PlainCommand, readPlainLine } from './plain-line.ts';
import type { Policy } from './policy.ts';
import { coversTool } from './tools.ts';

/** A call as a grant sees it. */
export interface GrantableCall {
  call: ToolCall;
  /** What it was judged by; an approval in them does not count. */
  facts: Facts;
  /** Hash of the tool's accepted definition; null = none is pinned. */
  definition: string | null;
}

/** Why a call cannot be approved for longer. */
export interface GrantRefusal {
  code: string;
  message: string;
}

/** A file that a person left open: in this folder of the workspace ('' is its root), or below it, with this extension (".ts"). */
export interface OpenFile {
  folder: string;
  below: boolean;
  extension: string;
}

/** One word of a granted command line, or what joins two commands of it. */
export type LineToken = { word: string } | { file: OpenFile } | { join: Join } | { redirection: string };

export type MemberPattern =
  /** Exactly this value. */
  | { is: Json }
  /** A command line, word by word. */
  | { line: readonly LineToken[] }
  /** A command line of these programs and subcommands, in this order, whose every word the shell allowlist takes. */
  | { listed: readonly string[] }
  | { file: OpenFile }
  /** Any address there. */
  | { host: { scheme: string; host: string; port: number } };

/** What a grant compares a call with. Plain data: stored with the grant, and shown. */
export interface GrantPattern {
  name: 'exact' | 'content' | 'folder' | 'below' | 'listed' | 'host';
  /** The call with its open parts in angle brackets, for people. */
  text: string;
  /** What it covers, in plain words. */
  sentence: string;
  tool: string;
  mappedTool: string;
  toolKind: string | null;
  definition: string | null;
  cwd: string | null;
  workspace: string | null;
  members: { readonly [name: string]: MemberPattern };
  /** Arguments that may say anything, or be missing. */
  open: readonly string[];
  /** The reasons for holding that it answers. */
  answers: readonly ReasonCode[];
}

/** A call that could be covered, with everything that is compared. Made by {@link readGrantable} only. */
export interface Grantable {
  readonly call: ToolCall;
  readonly definition: string | null;
  readonly mappedTool: string;
  readonly codes: readonly ReasonCode[];
  readonly line: readonly PlainCommand[] | null;
  readonly classification: Classification;
  /** The path below the workspace of a plain file that an open part may stand for; null where it may not. */
  readonly fileAt: (text: string) => string | null;
  readonly hostOf: (url: string) => { scheme: string; host: string; port: number } | null;
}

/** Reads a call as it is judged now. @returns what patterns are compared with, or why no grant can cover it. */
export function readGrantable({ call, facts, definition }: GrantableCall, policy: Policy): Grantable | GrantRefusal {
  const { tool } = call;
  if (unwrapCall(call) !== call || isBareWrapper(call)) return refuse('WRAPPED', 'The call only wraps another one.');
  const decision = decide(call, { ...facts, approval: null }, policy);
  const { classification, reasons } = decision;
  const { mappedTool } = classification;
  if (isTwoPeople(policy, tool, mappedTool)) return refuse('TWO_PEOPLE', `The policy wants two people for each call of ${tool}.`);
  if (decision.verdict === 'deny') return refuse(reasons[0]?.code ?? 'DENIED', 'The policy denies this call.');
  if (decision.verdict === 'allow') return refuse('NOT_HELD', 'The policy does not hold this call.');
  if (decision.risk === 'red') return refuse('RED', 'The call is red: a person looks at each one.');
  const unanswerable = reasons.find((reason) => !isAnswerable(reason));
  if (unanswerable !== undefined) return refuse(unanswerable.code, `Needs a person each time: ${unanswerable.message}`);
  if (leadsElsewhere(call, facts)) return refuse('LINK', 'A link on the disk leads somewhere else than the words of the call say.');
  const { grantableTools } = policy.document.approvals;
  if (!grantableTools.some((pattern) => coversTool(pattern, tool) || (pattern !== '*' && coversTool(pattern, mappedTool))))
    return refuse('TOOL', `The policy does not let ${tool} be approved for longer (approvals.grantableTools).`);
  if (Object.keys(call.arguments).some((name) => name === '__proto__')) return refuse('UNREADABLE', 'An argument has a reserved name.');
  if (call.workspace === null && classification.commands.length + classification.paths.length > 0)
    return refuse('NO_WORKSPACE', 'The agent has no workspace, so that its paths mean nothing lasting.');

  const codes = [...new Set(reasons.map((reason) => reason.code))];
  const isUnlisted = codes.includes('SHELL_NOT_ALLOWLISTED');
  const rules = policy.filesFor(facts.agent.id, facts.task?.type ?? null);
  const place: FileContext = { workspace: call.workspace, cwd: call.cwd, symlinks: facts.files.symlinks };
  const isWritable = (text: string, from: FileContext = place) => {
    const { verdict } = readPath(text, 'write', from, rules);
    return verdict === 'inside';
  };
  let line: readonly PlainCommand[] | null = null;
  if (mappedTool === 'shell_exec') {
    const flaw = findShellFlaw(call, classification);
    if (flaw !== null) return refuse('UNREADABLE', flaw);
    line = readPlainLine(String(call.arguments.command)) ?? [];
    const from = workingPlace(call, place);
    const written = isUnlisted ? findWritable(line, from, isWritable) : null;
    if (written !== null)
      return refuse('WRITABLE', `The agent may write ${JSON.stringify(written)} without asking, so that another thing could run by then.`);
    place.cwd = from.cwd;
  }
  return {
    call,
    definition,
    mappedTool,
    codes,
    line,
    classification,
    fileAt: (text) => {
      if (!PLAIN_FILE.test(text.startsWith('/') ? text.slice(1) : text)) return null;
      const { path, secret } = readPath(text, 'read', place, rules);
      const root = call.workspace?.replace(/\/+$/, '') ?? null;
      if (path === null || root === null || secret || !path.startsWith(`${root}/`)) return null;
      return path.slice(root.length + 1);
    },
    hostOf: (url) => {
      const { host, port, scheme, verdict } = readUrl(url, facts.network, policy.network);
      return verdict === 'listed' && host !== null && port !== null && scheme !== null ? { scheme, host, port } : null;
    },
  };
}

export function isRefusal(value: Grantable | GrantRefusal): value is GrantRefusal {
  return 'message' in value;
}

/** Whether the policy wants two different people for a tool (`approvals.twoPeople`). */
export function isTwoPeople(policy: Policy, tool: string, mappedTool: string): boolean {
  return policy.document.approvals.twoPeople.some(
    (pattern) => coversTool(pattern, tool) || (pattern !== '*' && coversTool(pattern, mappedTool)),
  );
}

function refuse(code: string, message: string): GrantRefusal {
  return { code, message };
}

/** Why a shell call is not plain, or null. */
function findShellFlaw({ tool, arguments: args }: ToolCall, { commands }: Classification): string | null {
  if (tool === 'process' || typeof args.command !== 'string') return 'What would run does not stand in the call.';
  // Which of two directories a tool heeds is certain only of the `workdir` of OpenClaw's own.
  if (args.cwd !== undefined || (args.workdir !== undefined && tool !== 'exec')) return 'Where it would run is not certain.';
  const strange = Object.keys(args).find((name) => !HARMLESS_SHELL_KEYS.has(name));
  if (strange !== undefined) return `The argument ${JSON.stringify(strange)} may change what runs.`;
  const line = readPlainLine(args.command);
  if (line === null) return 'The command is more than plain words: it expands, substitutes, redirects or groups something.';
  const isAlike =
    line.length === commands.length &&
    line.every(({ words }, at) => {
      const argv = commands[at]?.argv ?? null;
      return argv !== null && argv.length === words.length && words.every((word, i) => word.text === argv[i]);
    });
  return isAlike ? null : 'The command runs further commands inside it.';
}

/** Where a shell call runs. */
function workingPlace({ arguments: args }: ToolCall, place: FileContext): FileContext {
  const named = args.workdir;
  if (typeof named !== 'string' || named === '') return { ...place };
  return { ...place, cwd: named.startsWith('/') || place.cwd === null ? named : `${place.cwd}/${named}` };
}

const MOVES: ReadonlySet<string> = new Set(['cd', 'pushd', 'popd']);

/** A word of a line that may name what the agent can write without asking, and so make run what it likes; null = none. */
function findWritable(
  line: readonly PlainCommand[],
  place: FileContext,
  isWritable: (text: string, from: FileContext) => boolean,
): string | null {
  if (place.cwd !== null && isWritable('.', place)) return place.cwd;
  const places = place.cwd === null ? [place] : [place, { ...place, cwd: null }];
  const moves = line.some(({ words }) => MOVES.has(words[0]?.text ?? ''));
  for (const { words } of line)
    for (const { text } of words) {
      if (moves && text.includes('..')) return text;
      for (const candidate of partsOf(text)) if (places.some((from) => isWritable(candidate, from))) return text;
    }
  return null;
}

/** What a word may name: itself, what stands behind "=" or ":", what is glued to an option of one letter, and each part of a module or a text. */
function partsOf(text: string): readonly string[] {
  const parts = [...text.split(/[=:,@]/), ...text.split(/[^\w/-]+/)];
  const glued = /^-[A-Za-z](.+)$/.exec(text)?.[1];
  return [text, ...parts, ...(glued === undefined ? [] : [glued])].filter((part) => part !== '' && part.length < 1_000);
}

// ---- whether a pattern covers a call -----------------------------------------------------------------------------------------

/**
 * Whether a pattern covers a call.
 * @param ownWorkspace of a grant to a whole role: the workspace that the calling agent is registered with, in place of the pattern's.
 */
export function covers(pattern: GrantPattern, grantable: Grantable, ownWorkspace: string | null = pattern.workspace): boolean {
  const { call } = grantable;
  if (call.tool !== pattern.tool || grantable.mappedTool !== pattern.mappedTool || call.toolKind !== pattern.toolKind) return false;
  if (grantable.definition !== pattern.definition || call.cwd !== pattern.cwd || call.workspace !== ownWorkspace) return false;
  if (!grantable.codes.every((code) => pattern.answers.includes(code))) return false;
  const names = Object.keys(call.arguments);
  const isOpen = (name: string) => pattern.open.includes(name) && isContent(call.arguments[name] ?? null);
  if (!names.every((name) => Object.hasOwn(pattern.members, name) || isOpen(name))) return false;
  return Object.entries(pattern.members).every(
    ([name, member]) => Object.hasOwn(call.arguments, name) && fits(member, call.arguments[name] ?? null, grantable),
  );
}

/** What an open argument may be: text, or a list of changes of text. Nothing in which a tool could find another path or address. */
function isContent(value: Json): boolean {
  if (Array.isArray(value))
    return value.every(
      (item) =>
        typeof item === 'object' && item !== null && Object.entries(item).every(([key, text]) => CONTENTS.has(key) && isScalar(text)),
    );
  return isScalar(value);
}

function isScalar(value: Json): boolean {
  return typeof value !== 'object' || value === null;
}

function fits(member: MemberPattern, value: Json, grantable: Grantable): boolean {
  if ('is' in member) return canonicalJson(member.is) === canonicalJson(value);
  if (typeof value !== 'string') return false;
  if ('file' in member) return fitsFile(member.file, value, grantable);
  if ('host' in member) {
    const host = grantable.hostOf(value);
    return host !== null && canonicalJson(host) === canonicalJson(member.host);
  }
  if (grantable.line === null) return false;
  if ('listed' in member) {
    const { codes, line } = grantable;
    if (codes.includes('SHELL_NOT_ALLOWLISTED')) return false;
    const shape = line.map(programOf);
    return shape.length === member.listed.length && shape.every((program, at) => program === member.listed[at]);
  }
  return fitsLine(member.line, grantable.line, grantable);
}

function fitsLine(tokens: readonly LineToken[], line: readonly PlainCommand[], grantable: Grantable): boolean {
  const found = tokensOf(line);
  if (found.length !== tokens.length) return false;
  return tokens.every((token, at) => {
    const other = found[at];
    if (other === undefined) return false;
    if ('file' in token) return 'word' in other && other.bare && fitsFile(token.file, other.word, grantable);
    if ('word' in token) return 'word' in other && other.word === token.word;
    if ('join' in token) return 'join' in other && other.join === token.join;
    return 'redirection' in other && other.redirection === token.redirection;
  });
}

type FoundToken = { word: string; bare: boolean } | { join: Join } | { redirection: string };

function tokensOf(line: readonly PlainCommand[]): FoundToken[] {
  return line.flatMap(({ words, redirections, join }) => [
    ...words.map(({ text, bare }) => ({ word: text, bare })),
    ...redirections.map((redirection) => ({ redirection })),
    ...(join === null ? [] : [{ join }]),
  ]);
}

function fitsFile({ folder, below, extension }: OpenFile, text: string, grantable: Grantable): boolean {
  const file = placeOf(text, grantable);
  if (file === null || file.extension !== extension) return false;
  return file.folder === folder || (below && file.folder.startsWith(`${folder}/`));
}

/** Segments that begin with a letter, a digit or "_": neither hidden files nor "..". */
const PLAIN_FILE = /^(?:[A-Za-z0-9_][\w.-]*\/)*[A-Za-z0-9_][\w-]*(?:\.[\w-]+)*\.[A-Za-z0-9]+$/;

function placeOf(text: string, { fileAt }: Grantable): { folder: string; extension: string } | null {
  const path = fileAt(text);
  if (path === null || !PLAIN_FILE.test(path)) return null;
  const slash = path.lastIndexOf('/');
  return { folder: slash < 0 ? '' : path.slice(0, slash), extension: path.slice(path.lastIndexOf('.')) };
}

/** Program and, where it has one in front, subcommand. */
function programOf({ words }: PlainCommand): string {
  const [program, first] = words;
  const name = program?.text ?? '';
  return first !== undefined && (name === 'git' || name === 'npm' || name === 'pnpm' || name === 'yarn') ? `${name} ${first.text}` : name;
}

// ---- what can be proposed for a call -----------------------------------------------------------------------------------------

/** Arguments of a shell call that say nothing about what runs. */
const SHELL_REMARKS = ['title', 'description', 'explanation', 'reason', 'timeout', 'timeoutMs', 'timeout_ms', 'timeoutSeconds', 'yieldMs'];
/** Arguments that carry what is written, not where. */
const CONTENTS: ReadonlySet<string> = new Set([
  ...['content', 'contents', 'text', 'body', 'data', 'markdown', 'html', 'summary', 'comment', 'description', 'title'],
  ...['oldText', 'newText', 'old_text', 'new_text', 'oldString', 'newString', 'old_string', 'new_string', 'edits'],
]);
const PATHS: ReadonlySet<string> = new Set(['path', 'file_path', 'filePath', 'filepath', 'file', 'filename']);

/** Patterns that cover the call, from narrow to wide; the first is the call itself. */
export function proposePatterns(grantable: Grantable): readonly GrantPattern[] {
  const { call, mappedTool, line } = grantable;
  const exact = Object.fromEntries(Object.entries(call.arguments).map(([name, value]) => [name, { is: value }]));
  if (line !== null) return proposeLines(grantable, line, exact);
  if (mappedTool === 'read_file' || mappedTool === 'write_file') return proposeFiles(grantable, exact);
  if (mappedTool === 'network_call') return proposeHosts(grantable, exact);
  const whole = patternOf(
    grantable,
    'exact',
    exact,
    [],
    describe(call, exact, []),
    'Exactly this call again, with the very same arguments.',
  );
  const open = Object.keys(exact).filter((name) => CONTENTS.has(name) && typeof call.arguments[name] === 'string');
  if (open.length === 0) return [whole];
  return [
    whole,
    patternOf(
      grantable,
      'content',
      without(exact, open),
      open,
      describe(call, exact, open),
      `This call with any ${listOf(open)}; everything else the same.`,
    ),
  ];
}

function proposeLines(
  grantable: Grantable,
  line: readonly PlainCommand[],
  exact: { [name: string]: MemberPattern },
): readonly GrantPattern[] {
  const members = without(exact, [...SHELL_REMARKS, 'command']);
  const propose = (name: GrantPattern['name'], member: MemberPattern, text: string, sentence: string) =>
    patternOf(grantable, name, { ...members, command: member }, SHELL_REMARKS, text, sentence);
  const literal = tokensOf(line).map((token) => ('word' in token ? { word: token.word } : token));
  const patterns = [propose('exact', { line: literal }, textOf(literal), 'Exactly this command line, in this folder.')];
  const isListed = !grantable.codes.includes('SHELL_NOT_ALLOWLISTED');
  for (const below of [false, true]) {
    const tokens = openFiles(line, grantable, below);
    const files = tokens.flatMap((token) => ('file' in token ? [token.file] : []));
    if (files.length === 0 || (below && !files.some((file) => file.below))) continue;
    const what = listOf([...new Set(files.map((file) => describeFile(file)))]);
    patterns.push(
      propose(
        below ? 'below' : 'folder',
        { line: tokens },
        textOf(tokens),
        `This command line with any ${what}; every other word the same.`,
      ),
    );
  }
  if (isListed) {
    const programs = line.map(programOf);
    patterns.push(
      propose(
        'listed',
        { listed: programs },
        programs.map((program) => `${program} <anything listed>`).join(' … '),
        `Any command line of ${listOf(programs)} that is on the shell allowlist, whatever its operands.`,
      ),
    );
  }
  return patterns;
}

/** The line with its plain file operands left open. What follows an option may be its value, and stays; so does everything after a move. */
function openFiles(line: readonly PlainCommand[], grantable: Grantable, below: boolean): LineToken[] {
  const moves = line.some(({ words }) => MOVES.has(words[0]?.text ?? ''));
  return line.flatMap(({ words, redirections, join }) => [
    ...words.map(({ text, bare }, at): LineToken => {
      const isOperand = bare && at > 0 && !moves && words[at - 1]?.text.startsWith('-') !== true;
      const place = isOperand && /[./]/.test(text) ? placeOf(text, grantable) : null;
      if (place === null) return { word: text };
      if (!below) return { file: { folder: place.folder, below: false, extension: place.extension } };
      const top = place.folder.split('/', 1)[0] ?? '';
      return { file: { folder: top, below: top !== '', extension: place.extension } };
    }),
    ...redirections.map((redirection) => ({ redirection })),
    ...(join === null ? [] : [{ join }]),
  ]);
}

function proposeFiles(grantable: Grantable, exact: { [name: string]: MemberPattern }): readonly GrantPattern[] {
  const { call } = grantable;
  const open = [...CONTENTS].filter((name) => Object.hasOwn(exact, name) && isContent(call.arguments[name] ?? null));
  const patterns = [
    patternOf(grantable, 'exact', exact, [], describe(call, exact, []), 'Exactly this call again, with the very same arguments.'),
  ];
  const names = Object.keys(exact).filter((name) => PATHS.has(name) && typeof call.arguments[name] === 'string');
  const [name] = names;
  const rest = without(exact, open);
  if (open.length > 0)
    patterns.push(
      patternOf(
        grantable,
        'content',
        rest,
        open,
        describe(call, exact, open),
        'This file, whatever is written to it; everything else the same.',
      ),
    );
  const place = names.length === 1 && name !== undefined ? placeOf(String(call.arguments[name]), grantable) : null;
  if (name === undefined || place === null) return patterns;
  const top = place.folder.split('/', 1)[0] ?? '';
  const files: OpenFile[] = [
    { folder: place.folder, below: false, extension: place.extension },
    ...(top === '' ? [] : [{ folder: top, below: true, extension: place.extension }]),
  ];
  for (const file of files) {
    const members = { ...rest, [name]: { file } };
    const what = open.length > 0 ? 'with any content' : 'with this tool';
    patterns.push(
      patternOf(
        grantable,
        file.below ? 'below' : 'folder',
        members,
        open,
        `${call.tool} ${textOfFile(file)}`,
        `Any ${describeFile(file)}, ${what}.`,
      ),
    );
  }
  return patterns;
}

function proposeHosts(grantable: Grantable, exact: { [name: string]: MemberPattern }): readonly GrantPattern[] {
  const { call } = grantable;
  const whole = patternOf(grantable, 'exact', exact, [], describe(call, exact, []), 'Exactly this request again.');
  const { url } = call.arguments;
  const host = typeof url === 'string' ? grantable.hostOf(url) : null;
  if (host === null) return [whole];
  const method = typeof call.arguments.method === 'string' ? ` with ${call.arguments.method.toUpperCase()}` : '';
  const origin = `${host.scheme}://${host.host}${host.port === 443 && host.scheme === 'https' ? '' : `:${host.port}`}`;
  return [
    whole,
    patternOf(
      grantable,
      'host',
      { ...exact, url: { host } },
      [],
      `${call.tool} ${origin}/<anything>`,
      `Any address of ${origin}${method}; everything else the same.`,
    ),
  ];
}

function patternOf(
  { call, mappedTool, definition, codes }: Grantable,
  name: GrantPattern['name'],
  members: { [name: string]: MemberPattern },
  open: readonly string[],
  text: string,
  sentence: string,
): GrantPattern {
  const { tool, toolKind, cwd, workspace } = call;
  return { name, text, sentence, tool, mappedTool, toolKind, definition, cwd, workspace, members, open, answers: codes };
}

function without(members: { [name: string]: MemberPattern }, names: readonly string[]): { [name: string]: MemberPattern } {
  return Object.fromEntries(Object.entries(members).filter(([name]) => !names.includes(name)));
}

// ---- for people --------------------------------------------------------------------------------------------------------------

function textOf(tokens: readonly LineToken[]): string {
  return tokens
    .map((token) => {
      if ('word' in token) return /^[\w./,:=@%+^-]+$/.test(token.word) ? token.word : `'${token.word}'`;
      if ('file' in token) return textOfFile(token.file);
      return 'join' in token ? token.join : token.redirection;
    })
    .join(' ');
}

function textOfFile({ folder, below, extension }: OpenFile): string {
  return `${folder === '' ? '' : `${folder}/`}${below ? '<any folder>/' : ''}<any>${extension}`;
}

function describeFile({ folder, below, extension }: OpenFile): string {
  const where = folder === '' ? 'at the root of the workspace' : `${below ? 'anywhere below' : 'in'} ${folder}`;
  return `${extension} file ${where}`;
}

const MAX_TEXT = 400;

function describe(call: ToolCall, members: { [name: string]: MemberPattern }, open: readonly string[]): string {
  const parts = Object.keys(members).map((name) =>
    open.includes(name) ? `${name}=<anything>` : `${name}=${JSON.stringify((call.arguments as JsonObject)[name])}`,
  );
  const text = `${call.tool} ${parts.join(' ')}`;
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

function listOf(items: readonly string[]): string {
  return items.length < 2 ? (items[0] ?? '') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
