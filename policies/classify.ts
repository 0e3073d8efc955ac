/**
 * Reads one call: which tool of the plan it is, what its arguments would do (commands, paths, hosts, credentials), and what that finds.
 * It gathers material and raises the risk; verdicts across all checks are `decide`'s. Whatever a tool's arguments are known to mean is
 * read here and nowhere else, for OpenClaw's tools and the plan's alike.
 */
import { isBoundedJson } from './canonical.ts';
import { type FileContext, isGatePath, readPath } from './filesystem.ts';
import type {
  Classification,
  CommandReading,
  Facts,
  Finding,
  HostReading,
  Json,
  JsonObject,
  PathReading,
  ReasonCode,
  Risk,
  ToolCall,
} from './model.ts';
import { RISKS } from './model.ts';
import { readAuthority, readUrl } from './network.ts';
import type { Policy } from './policy.ts';
import { findSecrets } from './secrets.ts';
import { readShell } from './shell.ts';
import { isWrapper, type ToolReading } from './tools.ts';

/**
 * Reads a call. Never throws, whatever the arguments are; bounded time in their size.
 * A finding with the code MALFORMED means that the call cannot be read at all; then it is the only one.
 */
export function classify(call: ToolCall, facts: Facts, policy: Policy): Classification {
  return read(call, facts, policy).classification;
}

/** What `decide` needs beside the classification. */
export interface CallReading {
  tool: ToolReading;
  classification: Classification;
}

/** {@link classify}, with what the maps said about the tool. */
export function read(call: ToolCall, facts: Facts, policy: Policy): CallReading {
  const flaw = describeFlaw(call);
  if (flaw !== null) return { tool: UNREADABLE, classification: malformed(UNREADABLE, flaw) };
  if (isBareWrapper(call))
    return { tool: WRAPPER, classification: new Gathered(call, facts, policy, { ...WRAPPER, mapped: call.tool }).finish() };
  const tool = policy.tools.read(call.tool, facts.mcp);
  const gathered = new Gathered(call, facts, policy, tool);
  const shapeFlaw = gatherCall(gathered);
  return { tool, classification: shapeFlaw === null ? gathered.finish() : malformed(tool, shapeFlaw) };
}

/** A wrapper does nothing by itself; what it wraps is a call of its own. */
const WRAPPER: ToolReading = Object.freeze({ mapped: '', risk: 'green', known: true, policyPath: 'builtin.wrapper', raisedBy: null });
const UNREADABLE: ToolReading = Object.freeze({ mapped: '', risk: 'red', known: true, policyPath: 'builtin.malformed', raisedBy: null });

function malformed(tool: ToolReading, message: string): Classification {
  const finding: Finding = { verdict: 'deny', code: 'MALFORMED', risk: 'red', message, policyPath: 'builtin.malformed' };
  return { mappedTool: tool.mapped, baseRisk: tool.risk, risk: 'red', findings: [finding], commands: [], paths: [], hosts: [] };
}

/**
 * The call that is judged: OpenClaw's `tool_call` is judged as the call it wraps, so that nobody gets past the maps by wrapping. The
 * other wrappers carry no call.
 */
export function unwrapCall(call: ToolCall): ToolCall {
  if (call.tool !== 'tool_call' || !isObject(call.arguments)) return call;
  const { id, args } = call.arguments;
  if (typeof id !== 'string' || id === 'tool_call' || !isObject(args)) return call;
  return { ...call, tool: id, arguments: args, toolKind: null };
}

/** Whether a call is nothing but a wrapper: it names one, and carries nothing that would run by itself. */
export function isBareWrapper(call: ToolCall): boolean {
  if (call.tool === 'tool_call') return false;
  if (call.toolKind === 'code_mode_exec') return typeof call.arguments.code === 'string' && call.arguments.command === undefined;
  return isWrapper(call.tool, call.toolKind);
}

/** What has been found so far. One per call; findings keep the order in which they were made. */
class Gathered {
  readonly findings: Finding[] = [];
  readonly commands: CommandReading[] = [];
  readonly paths: PathReading[] = [];
  readonly hosts: HostReading[] = [];
  readonly call: ToolCall;
  readonly facts: Facts;
  readonly policy: Policy;
  readonly tool: ToolReading;
  #risk: Risk;
  #files: FileContext | null = null;

  constructor(call: ToolCall, facts: Facts, policy: Policy, tool: ToolReading) {
    this.call = call;
    this.facts = facts;
    this.policy = policy;
    this.tool = tool;
    this.#risk = tool.risk;
  }

  get mapped(): string {
    return this.tool.mapped;
  }

  get arguments(): JsonObject {
    return this.call.arguments;
  }

  get files(): FileContext {
    this.#files ??= { workspace: this.call.workspace, cwd: cwdOf(this.call), symlinks: this.facts.files.symlinks };
    return this.#files;
  }

  get fileRules() {
    return this.policy.filesFor(this.facts.agent.id, this.facts.task?.type ?? null);
  }

  raise(risk: Risk | null): void {
    if (risk !== null && RISKS.indexOf(risk) > RISKS.indexOf(this.#risk)) this.#risk = risk;
  }

  find(verdict: 'hold' | 'deny', code: ReasonCode, risk: Risk | null, message: string, policyPath: string): void {
    this.add({ verdict, code, risk, message, policyPath });
  }

  /** Many equal findings (a command with hundreds of segments) say no more than a few; the risk counts each of them. */
  add(finding: Finding): void {
    this.raise(finding.risk);
    let alike = 0;
    for (const other of this.findings) {
      if (other.code !== finding.code || other.verdict !== finding.verdict) continue;
      if (other.message === finding.message || ++alike >= MAX_ALIKE) return;
    }
    this.findings.push(finding);
  }

  /** More operands than anyone could judge: nothing further is read. */
  get isFull(): boolean {
    return this.paths.length > MAX_OPERANDS || this.hosts.length > MAX_OPERANDS;
  }

  path(given: string, use: 'read' | 'write'): void {
    if (this.isFull) return;
    const reading = readPath(given, use, this.files, this.fileRules);
    this.keepPath(reading);
    // OpenClaw drops this suffix, which some models leave behind, before it opens the file.
    const suffix = given.indexOf('</arg_value>');
    if (suffix >= 0) this.keepPath(readPath(given.slice(0, suffix), use, this.files, this.fileRules));
  }

  keepPath(reading: PathReading): void {
    this.paths.push(reading);
    const { use, path, given } = reading;
    if (path !== null && use === 'write' && isGatePath(path))
      this.find('hold', 'FS_CONFIG_BLOCKED', 'red', `Writing ${quote(given)} could change the gate itself.`, 'builtin.gatePaths');
    if (reading.secret) this.find('hold', 'SECRETS', 'red', `${quote(given)} is a secret file.`, 'builtin.secretFiles');
    switch (reading.verdict) {
      case 'inside':
        return;
      case 'config':
        this.find('hold', 'FS_CONFIG_BLOCKED', 'yellow', `Writing ${quote(given)}: ${reading.why}.`, 'allowlists.filesystem.writeBlocked');
        return;
      case 'outside':
        if (use === 'read')
          this.find('hold', 'FS_READ_OUTSIDE', 'yellow', `Reading ${quote(given)}: ${reading.why}.`, 'allowlists.filesystem.read');
        else this.find('hold', 'FS_WRITE_OUTSIDE', 'yellow', `Writing ${quote(given)}: ${reading.why}.`, 'allowlists.filesystem.write');
    }
  }

  /** The working directory itself, where the call or its arguments name one: a command without operands works there. */
  workingDirectory(): void {
    const { cwd } = this.files;
    if (cwd === null) return;
    const reading = readPath('.', 'read', this.files, this.fileRules);
    // An odd spelling is lost in the canonical path of ".", so the text is judged as well.
    const spelled = readPath(cwd, 'read', { ...this.files, cwd: null }, this.fileRules);
    this.keepPath({ ...(spelled.verdict === 'inside' ? reading : spelled), given: cwd });
  }

  url(given: string): void {
    if (this.isFull) return;
    this.keepHost(readUrl(given, this.facts.network, this.policy.network));
  }

  keepHost(reading: HostReading): void {
    this.hosts.push(reading);
    if (reading.verdict === 'listed') return;
    const verdict = reading.verdict === 'refused' ? 'deny' : 'hold';
    this.find(verdict, 'NET_NOT_ALLOWLISTED', 'red', `${quote(reading.given)}: ${reading.why}.`, 'allowlists.network');
  }

  finish(): Classification {
    return {
      mappedTool: this.mapped,
      baseRisk: this.tool.risk,
      risk: this.#risk,
      findings: this.findings,
      commands: this.commands,
      paths: this.paths,
      hosts: this.hosts,
    };
  }
}

/** Findings of one code and verdict that are kept; more are not worth reading. */
const MAX_ALIKE = 5;

/** Paths or addresses that one call may name. Each is kept in its record; a megabyte of them would also take too long to read. */
const MAX_OPERANDS = 500;

/** @returns what is malformed about the arguments, or null. */
function gatherCall(gathered: Gathered): string | null {
  // A key or an address in a transcript must not silence an agent for good (SPEC 3): model calls are metered, not read.
  if (gathered.mapped === 'model_call') return null;

  const flaw = gatherArguments(gathered);
  if (flaw !== null) return flaw;
  if (gathered.isFull) return `The call names more than ${MAX_OPERANDS} paths or addresses.`;
  for (const hop of gathered.facts.network.redirects) gathered.url(resolveHop(hop, gathered));
  gatherSecrets(gathered);
  return null;
}

const MAX_TOOL_NAME = 200;

/** What is wrong with a call whatever its tool is, or null. */
function describeFlaw(call: ToolCall): string | null {
  if (typeof call.tool !== 'string' || call.tool === '') return 'The call names no tool.';
  if (call.tool.length > MAX_TOOL_NAME) return `The tool's name is longer than ${MAX_TOOL_NAME} characters.`;
  // Printable ASCII without spaces: everything else is a name that a person cannot read for what it is.
  if (!/^[\x21-\x7e]+$/.test(call.tool)) return "The tool's name contains spaces, control or non-ASCII characters.";
  if (!isObject(call.arguments)) return 'The arguments are not an object.';
  if (!isBoundedJson(call.arguments)) return 'The arguments are not plain data, or nested too deeply.';
  if (call.cwd !== null && (typeof call.cwd !== 'string' || hasControl(call.cwd))) return 'The working directory is not a plain path.';
  if (call.workspace !== null && (typeof call.workspace !== 'string' || !call.workspace.startsWith('/') || hasControl(call.workspace)))
    return 'The workspace is not an absolute path.';
  return null;
}

// ---- arguments, tool by tool ------------------------------------------------------------------------------------------------

/** Reads the arguments as their tool understands them. @returns what is malformed about them, or null. */
function gatherArguments(gathered: Gathered): string | null {
  switch (gathered.mapped) {
    case 'shell_exec':
      return gathered.call.tool === 'process' ? gatherProcess(gathered) : gatherShell(gathered);
    case 'destructive_shell':
      return gatherDestructiveShell(gathered);
    case 'read_file':
      return gatherFiles(gathered, 'read');
    case 'write_file':
      return gathered.call.tool === 'apply_patch' ? gatherPatch(gathered) : gatherFiles(gathered, 'write');
    case 'network_call':
      return gathered.call.tool === 'browser' ? gatherBrowser(gathered) : gatherNetwork(gathered);
    case 'git_push':
      return gatherPush(gathered);
    case 'git_commit':
      return gatherCommit(gathered);
    case 'install_deps':
      return gatherInstall(gathered);
    case 'read_db':
      gatherOperands(gathered, 'read');
      return gatherQuery(gathered);
    case 'create_doc':
      gatherOperands(gathered, 'write');
      return null;
    case 'send_email':
    case 'post_social':
      gathered.find('hold', 'PROD_EXTERNAL', 'red', 'The message goes to people outside.', `builtin.${gathered.mapped}`);
      gatherOperands(gathered, 'read');
      return null;
    case 'deploy_prod':
      gathered.find('hold', 'PROD_EXTERNAL', 'red', 'The call changes production.', 'builtin.deploy_prod');
      gatherOperands(gathered, 'read');
      return null;
    case 'access_secrets':
      gathered.find('hold', 'SECRETS', 'red', 'The call asks for secrets.', 'builtin.access_secrets');
      gatherOperands(gathered, 'read');
      return null;
    default:
      gatherOperands(gathered, 'read');
      return null;
  }
}

/** Arguments of a shell tool that change neither what runs nor where; any other key is not known and held. */
const HARMLESS_SHELL_KEYS: ReadonlySet<string> = new Set([
  'command',
  'workdir',
  'cwd',
  'title',
  'description',
  'explanation',
  'reason',
  'timeout',
  'timeoutMs',
  'timeout_ms',
  'timeoutSeconds',
  'yieldMs',
  'background',
  'run_in_background',
  'pty',
  'ask',
  'security',
]);

function gatherShell(gathered: Gathered): string | null {
  const { command } = gathered.arguments;
  if (typeof command !== 'string') return 'A shell call needs its command as text.';
  if (command.trim() === '') return 'The command is empty.';
  gatherCommand(gathered, command);
  gatherShellOptions(gathered);
  return null;
}

function gatherCommand(gathered: Gathered, command: string): void {
  const { files, fileRules, policy, facts } = gathered;
  const reading = readShell(command, policy.shell, {
    cwd: files.cwd,
    workspace: files.workspace,
    symlinks: files.symlinks,
    dns: facts.network.dns,
    files: fileRules,
    network: policy.network,
  });
  for (const finding of reading.findings) gathered.add(finding);
  gathered.raise(reading.risk);
  gathered.commands.push(...reading.commands);
  gathered.paths.push(...reading.paths);
  gathered.hosts.push(...reading.hosts);
  for (const path of reading.paths)
    if (path.path !== null && path.use === 'write' && isGatePath(path.path))
      gathered.find('hold', 'FS_CONFIG_BLOCKED', 'red', `Writing ${quote(path.given)} could change the gate itself.`, 'builtin.gatePaths');
}

/** Where it runs, as whom and with what environment: everything beside the command that changes what it means. */
function gatherShellOptions(gathered: Gathered): void {
  const given = gathered.arguments;
  const hold = (why: string, risk: Risk | null = null) => gathered.find('hold', 'SHELL_NOT_ALLOWLISTED', risk, why, 'allowlists.shell');
  for (const key of Object.keys(given)) {
    const value = given[key];
    if (HARMLESS_SHELL_KEYS.has(key) || isAbsent(value)) continue;
    switch (key) {
      case 'env':
        if (isObject(value) && Object.keys(value).length === 0) break;
        hold('The command would run with a changed environment.');
        break;
      case 'elevated':
        if (value !== false) hold('The command asks to run outside its sandbox.', 'red');
        break;
      case 'host':
        if (value === 'node') hold('The command would run on another machine, whose files are not known here.');
        else if (value !== 'auto' && value !== 'sandbox' && value !== 'gateway') hold('The command names an unknown place to run.');
        break;
      case 'node':
        hold('The command would run on another machine, whose files are not known here.');
        break;
      default:
        hold(`The argument ${quote(key)} is not known to the shell tool and may change what runs.`);
    }
  }
  for (const key of ['workdir', 'cwd'] as const) if (!isAbsent(given[key]) && typeof given[key] !== 'string') hold(`${key} is not a path.`);
  gathered.workingDirectory();
  if (
    typeof given.workdir === 'string' &&
    typeof given.cwd === 'string' &&
    given.workdir !== given.cwd &&
    given.workdir !== '' &&
    given.cwd !== ''
  )
    hold('Two different working directories are named.');
}

/** Looking at a running process is harmless; typing into it is a command that nobody has read. */
const PROCESS_LOOKS: ReadonlySet<string> = new Set(['list', 'poll', 'log', 'kill', 'clear', 'remove']);

function gatherProcess(gathered: Gathered): string | null {
  const { action, command } = gathered.arguments;
  if (typeof command === 'string') gatherCommand(gathered, command);
  else if (typeof action !== 'string') return 'A process call needs its action as text.';
  if (typeof action === 'string' && !PROCESS_LOOKS.has(action))
    gathered.find(
      'hold',
      'SHELL_NOT_ALLOWLISTED',
      null,
      `Input to a running process (${quote(action)}) cannot be judged.`,
      'allowlists.shell',
    );
  return null;
}

/** Red and held by name (SPEC 8.3): the block list would refuse what this tool is for, so a person decides, with the parsed command shown. */
function gatherDestructiveShell(gathered: Gathered): string | null {
  const { command } = gathered.arguments;
  if (command !== undefined && typeof command !== 'string') return 'A shell call needs its command as text.';
  if (command === undefined) return null;
  const before = gathered.findings.length;
  gatherCommand(gathered, command);
  const found = gathered.findings.splice(before);
  for (const finding of found) if (finding.code !== 'SHELL_BLOCKED' && finding.code !== 'SHELL_NOT_ALLOWLISTED') gathered.add(finding);
  return null;
}

function gatherFiles(gathered: Gathered, use: 'read' | 'write'): string | null {
  for (const key of PATH_ARGUMENTS) {
    const value = gathered.arguments[key];
    if (!isAbsent(value) && !isTextOrTexts(value)) return `${key} is not a path.`;
  }
  const before = gathered.paths.length;
  gatherOperands(gathered, use);
  if (gathered.paths.length > before) return null;
  // `ls` without a path lists the working directory.
  if (gathered.call.tool === 'ls') {
    gathered.path('.', 'read');
    return null;
  }
  return `${gathered.call.tool} needs a path.`;
}

const PATCH_HEADER = /^\*\*\* (?:Add File|Delete File|Update File|Move to): ?(.*)$/;

/** A patch names its files in headers; every one of them is written (or removed). */
function gatherPatch(gathered: Gathered): string | null {
  const { input, patch } = gathered.arguments;
  const text = typeof input === 'string' ? input : patch;
  if (typeof text !== 'string') return 'A patch call needs the patch as text.';
  let files = 0;
  // OpenClaw trims a line before it looks for a header; a line of content starts with "+", "-" or "@".
  for (const line of text.split('\n')) {
    const header = PATCH_HEADER.exec(line.trim());
    if (header === null) continue;
    files++;
    gathered.path(header[1] ?? '', 'write');
  }
  if (files === 0) return 'The patch names no file.';
  return null;
}

function gatherNetwork(gathered: Gathered): string | null {
  const { url } = gathered.arguments;
  if (!isAbsent(url) && !isTextOrTexts(url)) return 'url is not text.';
  const before = gathered.hosts.length;
  gatherOperands(gathered, 'read');
  return gathered.hosts.length > before ? null : 'A network call needs a url.';
}

/** Browser actions that look at a page or move between pages that are judged by their address. */
const BROWSER_LOOKS: ReadonlySet<string> = new Set([
  'doctor',
  'status',
  'start',
  'stop',
  'profiles',
  'tabs',
  'open',
  'navigate',
  'focus',
  'close',
  'snapshot',
  'screenshot',
  'console',
  'requests',
  'errors',
  'text',
  'emulate',
  'dialog',
]);
const BROWSER_ACT_LOOKS: ReadonlySet<string> = new Set(['hover', 'scrollIntoView', 'resize', 'wait', 'close']);

function gatherBrowser(gathered: Gathered): string | null {
  const { action, kind, request, url, targetUrl } = gathered.arguments;
  for (const value of [url, targetUrl]) if (!isAbsent(value) && typeof value !== 'string') return 'The address is not text.';
  const before = gathered.hosts.length;
  gatherOperands(gathered, 'read');
  if (isAbsent(action)) return gathered.hosts.length > before ? null : 'A browser call needs an action or a url.';
  if (typeof action !== 'string') return 'The action is not text.';
  if (BROWSER_LOOKS.has(action)) return null;
  const acts = [kind, isObject(request) ? request.kind : undefined].filter((value) => !isAbsent(value));
  if (action === 'act' && acts.length > 0 && acts.every((act) => typeof act === 'string' && BROWSER_ACT_LOOKS.has(act))) return null;
  if (action === 'pdf' || action === 'download' || action === 'waitfordownload') return null;
  gathered.find('hold', 'PROD_EXTERNAL', 'red', `What ${quote(action)} does on the page cannot be told from the call.`, 'builtin.browser');
  return null;
}

const PLAIN_BRANCH = /^[A-Za-z0-9_][A-Za-z0-9._/-]*$/;
/** Names that a repository's default branch has, and branches that are deployed from. */
const PROTECTED_BRANCHES: ReadonlySet<string> = new Set(['main', 'master', 'trunk', 'default', 'head', 'production', 'prod', 'live']);
const PUSH_KEYS: ReadonlySet<string> = new Set([
  'remote',
  'url',
  'branch',
  'ref',
  'refspec',
  'force',
  'cwd',
  'path',
  'repo',
  'message',
  'setUpstream',
  'set_upstream',
  'upstream',
  'dryRun',
  'dry_run',
]);

/** Yellow to an allowlisted remote; the default branch, force and everything unusual is held (POLICY_READING, "Decisions"). */
function gatherPush(gathered: Gathered): string | null {
  const given = gathered.arguments;
  const hold = (why: string) => gathered.find('hold', 'PROD_EXTERNAL', 'red', why, 'builtin.git_push');

  const remote = given.remote ?? given.url ?? 'origin';
  if (typeof remote !== 'string' || remote === '') return 'The remote is not text.';
  gatherRemote(gathered, remote);

  const branch = given.branch ?? given.refspec ?? given.ref;
  if (isAbsent(branch) || branch === '') hold('The branch is not named, so it may be the default branch.');
  else if (typeof branch !== 'string') return 'The branch is not text.';
  else {
    const target = branch.slice(branch.lastIndexOf(':') + 1).replace(/^refs\/heads\//, '');
    if (branch.startsWith('+')) hold('The refspec forces the push.');
    else if (branch.startsWith(':')) hold('The push deletes a branch.');
    else if (!branch.split(':').every((part) => PLAIN_BRANCH.test(part)) || branch.split(':').length > 2 || target.startsWith('refs/'))
      hold(`${quote(branch)} is not a plain branch name.`);
    else if (PROTECTED_BRANCHES.has(target.toLowerCase())) hold(`${quote(target)} is a default or deployed branch.`);
  }
  for (const key of Object.keys(given)) {
    const value = given[key];
    if (isAbsent(value) || value === false || value === 'false' || value === 0) continue;
    if (key === 'force') hold('The push is forced.');
    else if (!PUSH_KEYS.has(key)) hold(`The argument ${quote(key)} may change what is pushed.`);
  }
  gatherOperands(gathered, 'read', REMOTE_KEYS);
  return null;
}

const REMOTE_KEYS: ReadonlySet<string> = new Set(['remote', 'url']);

/**
 * The host of a git remote must be on the network allowlist. `origin` is the project's own remote; another name could stand for any host.
 * SSH as the user `git` is the usual way to a listed git host and counts as that host.
 */
function gatherRemote(gathered: Gathered, remote: string): void {
  if (remote === 'origin') return;
  const { network } = gathered.facts;
  const ssh = /^(?:ssh:\/\/)?git@([A-Za-z0-9.-]+)(?::(?!\d+\/)|\/)[A-Za-z0-9._~/-]+$/.exec(remote);
  if (ssh !== null) gathered.keepHost({ ...readAuthority(ssh[1] ?? '', 443, 'https', network, gathered.policy.network), given: remote });
  else if (/^[a-z][a-z0-9+.-]*:/i.test(remote)) gathered.url(remote);
  else gathered.find('hold', 'NET_NOT_ALLOWLISTED', 'red', `Where the remote ${quote(remote)} leads is not known.`, 'allowlists.network');
}

const COMMIT_KEYS: ReadonlySet<string> = new Set([
  'message',
  'files',
  'paths',
  'path',
  'cwd',
  'all',
  'add',
  'addAll',
  'author',
  'branch',
  'description',
  'title',
  'body',
  'signoff',
  'repo',
]);

function gatherCommit(gathered: Gathered): string | null {
  const given = gathered.arguments;
  if (!isAbsent(given.message) && typeof given.message !== 'string') return 'The commit message is not text.';
  for (const key of Object.keys(given)) {
    const value = given[key];
    if (COMMIT_KEYS.has(key) || isAbsent(value) || value === false) continue;
    const why = key === 'amend' ? 'Amending rewrites a commit.' : `The argument ${quote(key)} may change what is committed or run.`;
    gathered.find('hold', 'SHELL_NOT_ALLOWLISTED', null, why, 'allowlists.shell');
  }
  gatherOperands(gathered, 'read');
  return null;
}

/** Packages by name are what the tool is for; a package that is an address, a repository, a path or an option is judged as that. */
function gatherInstall(gathered: Gathered): string | null {
  const given = gathered.arguments;
  if (typeof given.command === 'string') gatherInstallCommand(gathered, given.command);
  for (const key of ['registry', 'index', 'source']) {
    const value = given[key];
    if (typeof value === 'string' && value.includes(':')) gathered.url(value);
  }
  for (const key of ['package', 'packages', 'dependencies', 'deps', 'name', 'names', 'args', 'flags', 'options']) {
    const value = given[key];
    for (const spec of Array.isArray(value) ? value : [value]) if (typeof spec === 'string') gatherPackages(gathered, spec);
  }
  gatherOperands(gathered, 'read');
  return null;
}

/** One installer with packages and nothing else: what follows is judged as packages, everything more as any other command. */
const INSTALL_COMMAND = /^(?:npm|pnpm|yarn|bun|pip|pip3|uv pip|poetry) (?:install|i|ci|add)((?: [A-Za-z0-9@._/^~:+-]+)*)$/;
const INSTALL_OPTIONS: ReadonlySet<string> = new Set([
  '-D',
  '--save-dev',
  '--dev',
  '-E',
  '--save-exact',
  '--frozen-lockfile',
  '--ignore-scripts',
]);

function gatherInstallCommand(gathered: Gathered, command: string): void {
  const match = INSTALL_COMMAND.exec(command);
  if (match === null) {
    gatherCommand(gathered, command);
    return;
  }
  const words = (match[1] ?? '').split(' ').filter((word) => word !== '');
  for (const [i, word] of words.entries()) {
    // pip's "-r FILE" reads a list of packages.
    if (word === '-r' && words[i + 1] !== undefined) continue;
    if (words[i - 1] === '-r') gathered.path(word, 'read');
    else if (!INSTALL_OPTIONS.has(word)) gatherPackages(gathered, word);
  }
}

function gatherPackages(gathered: Gathered, text: string): void {
  for (const spec of text.split(/[\s,]+/)) {
    if (spec === '') continue;
    // "name@git+https://host/x" and "name @ https://host/x" (PEP 508) install what the part behind the @ leads to.
    const source = /(?:^|@)((?:git\+)?[a-z][a-z0-9+.-]*:\/\/.*)$/i.exec(spec)?.[1];
    const at = spec.lastIndexOf('@');
    const target = at > 0 ? spec.slice(at + 1) : spec;
    if (spec.startsWith('-'))
      gathered.find('hold', 'SHELL_NOT_ALLOWLISTED', null, `The option ${quote(spec)} may change what is installed.`, 'allowlists.shell');
    else if (source !== undefined) gathered.url(source.replace(/^git\+/i, ''));
    else if (
      /^(?:github|gitlab|bitbucket|gist):/i.test(target) ||
      /^git@/.test(spec) ||
      (/^[^@/][^/]*\/[^/]+$/.test(spec) && !spec.startsWith('.'))
    )
      gathered.find(
        'hold',
        'NET_NOT_ALLOWLISTED',
        'red',
        `${quote(spec)} is installed from a repository, not from the registry.`,
        'allowlists.network',
      );
    else if (/^(?:file:|link:|\.{1,2}(?:\/|$)|\/|~\/)/i.test(target)) gathered.path(target.replace(/^(?:file|link):/i, ''), 'read');
  }
}

/** Statements that change a database, by their first words. `read_db` is green because it reads. */
const DESTRUCTIVE_SQL: readonly (readonly string[])[] = [
  ['drop', 'table|database|schema|view|index|user|role|column|collection'],
  ['delete', 'from'],
  ['truncate', ''],
  ['alter', 'table|database|schema|user|role|system'],
  ['grant', ''],
  ['revoke', ''],
];
const CHANGING_SQL: readonly (readonly string[])[] = [
  ['insert', 'into'],
  ['replace', 'into'],
  ['merge', 'into'],
  ['create', 'table|database|schema|view|index|user|role|function|trigger|or|temp|temporary|unique'],
  ['copy', ''],
];

function gatherQuery(gathered: Gathered): string | null {
  for (const key of ['query', 'sql', 'statement', 'statements']) {
    const value = gathered.arguments[key];
    for (const text of Array.isArray(value) ? value : [value]) {
      if (typeof text !== 'string') continue;
      const effect = effectOfSql(text);
      if (effect === null) continue;
      gathered.find('hold', 'RED_ACTION', effect, 'The query changes the database instead of reading it.', 'builtin.read_db');
    }
  }
  return null;
}

/** A changing statement counts where a statement starts: at the beginning, after ";" or in parentheses (a WITH query). */
function effectOfSql(text: string): Risk | null {
  const words = wordsOfSql(text);
  let effect: Risk | null = null;
  for (const [i, word] of words.entries()) {
    const before = words[i - 1];
    if (before !== undefined && before !== ';' && before !== '(') continue;
    const next = words[i + 1] ?? '';
    const isOneOf = (table: typeof CHANGING_SQL) =>
      table.some(([first, second]) => word === first && (second === '' ? /^[a-z]/.test(next) : second?.split('|').includes(next)));
    if (isOneOf(DESTRUCTIVE_SQL)) return 'red';
    if (isOneOf(CHANGING_SQL) || (word === 'update' && words.slice(i + 1, i + 6).includes('set'))) effect = 'yellow';
  }
  return effect;
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

// ---- operands that any tool may have ------------------------------------------------------------------------------------------

const PATH_ARGUMENTS = ['path', 'file_path', 'filePath', 'filepath', 'file', 'filename', 'paths', 'files'] as const;

/** Argument names that hold paths, in lower case without "_" and "-". */
const PATH_KEYS: ReadonlySet<string> = new Set([
  'path',
  'paths',
  'filepath',
  'filepaths',
  'file',
  'files',
  'filename',
  'targetfile',
  'outputfile',
  'outputpath',
  'inputfile',
  'inputpath',
  'oldpath',
  'newpath',
  'srcpath',
  'destpath',
  'sourcepath',
  'destinationpath',
  'dir',
  'directory',
  'folder',
]);
/** Only with file tools: words that elsewhere name other things. */
const FILE_TOOL_KEYS: ReadonlySet<string> = new Set(['source', 'src', 'destination', 'dest', 'target', 'from', 'to', 'output']);
/** Arguments that are content and not instructions: text in them is read by people or other programs, not opened by the tool. */
const CONTENT_KEYS: ReadonlySet<string> = new Set([
  'content',
  'contents',
  'text',
  'body',
  'message',
  'data',
  'json',
  'payload',
  'headers',
  'params',
  'query',
  'html',
  'markdown',
  'description',
  'title',
  'summary',
  'comment',
  'metadata',
  'oldtext',
  'newtext',
  'oldstring',
  'newstring',
  'input',
  'patch',
  'prompt',
  'task',
  'values',
  'fields',
]);

const MAX_OPERAND_DEPTH = 4;

/** Judges every path and address in the arguments, wherever the name of an argument says that it is one. */
function gatherOperands(gathered: Gathered, use: 'read' | 'write', except: ReadonlySet<string> | null = null): void {
  const isFileTool = gathered.mapped === 'read_file' || gathered.mapped === 'write_file';
  visitOperands(gathered, gathered.arguments, use, isFileTool, except, 0);
}

function visitOperands(
  gathered: Gathered,
  object: JsonObject,
  use: 'read' | 'write',
  isFileTool: boolean,
  except: ReadonlySet<string> | null,
  depth: number,
): void {
  for (const key of Object.keys(object)) {
    if (except?.has(key)) continue;
    const value = object[key];
    const word = wordOf(key);
    const isText = typeof value === 'string';
    if (!isText && typeof value !== 'object') continue;
    if (
      word === 'url' ||
      word === 'uri' ||
      word.endsWith('url') ||
      word.endsWith('uri') ||
      word === 'href' ||
      word === 'endpoint' ||
      word === 'urls' ||
      word === 'webhook'
    ) {
      for (const text of textsOf(value)) gathered.url(text);
    } else if (PATH_KEYS.has(word) || (isFileTool && FILE_TOOL_KEYS.has(word))) {
      for (const text of textsOf(value)) gathered.path(text, use);
    } else if (depth === 0 && (word === 'cwd' || word === 'workdir')) gathered.workingDirectory();
    if (isText || value === null || depth >= MAX_OPERAND_DEPTH || CONTENT_KEYS.has(word)) continue;
    for (const item of Array.isArray(value) ? value : [value])
      if (isObject(item)) visitOperands(gathered, item, use, isFileTool, except, depth + 1);
  }
}

function textsOf(value: Json | undefined): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string' && item !== '') : [];
}

/** "file_path", "filePath" and "File-Path" are one word. */
function wordOf(key: string): string {
  return /^[a-z]+$/.test(key) ? key : key.length > 40 ? '' : key.replace(/[_-]/g, '').toLowerCase();
}

function gatherSecrets(gathered: Gathered): void {
  const found = findSecrets(gathered.arguments);
  if (found.length === 0) return;
  const kinds = [...new Set(found.map((secret) => secret.kind))].slice(0, 5).join(', ');
  gathered.find('hold', 'SECRETS', 'red', `The arguments carry what looks like a credential (${kinds}).`, 'builtin.secrets');
}

/** A redirect without a scheme stays on the host it came from; it is judged as the address it leads to. */
function resolveHop(hop: string, gathered: Gathered): string {
  if (/^[a-z][a-z0-9+.-]*:/i.test(hop)) return hop;
  const from = gathered.hosts.at(-1)?.given;
  if (from === undefined) return hop;
  try {
    return new URL(hop, from).href;
  } catch {
    return hop;
  }
}

// ---- small readings -----------------------------------------------------------------------------------------------------------

/** The directory a call works in: what it names itself, else what came with it. */
function cwdOf(call: ToolCall): string | null {
  const { workdir, cwd } = call.arguments;
  const named = [workdir, cwd].find((value) => typeof value === 'string' && value !== '');
  if (typeof named !== 'string') return call.cwd;
  if (named.startsWith('/') || call.cwd === null) return named;
  return `${call.cwd}/${named}`;
}

function isAbsent(value: Json | undefined): value is null | undefined {
  return value === undefined || value === null;
}

function isTextOrTexts(value: Json): boolean {
  return typeof value === 'string' || (Array.isArray(value) && value.every((item) => typeof item === 'string' || isObject(item)));
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasControl(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\0-\x1f\x7f]/.test(text);
}

/** For messages: the text as it was given, short, with nothing in it that could end a line or hide. */
function quote(text: string): string {
  const short = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return JSON.stringify(short);
}
