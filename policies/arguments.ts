/**
 * What the arguments of each tool mean: which of them are commands, paths, addresses, remotes, queries. OpenClaw's tools and the plan's are
 * read here and nowhere else. Where it is not known which of several arguments a tool heeds, all of them count.
 */
import { type Gathered, quote } from './gathered.ts';
import type { Json, JsonObject, ReasonCode, Risk } from './model.ts';
import { readAuthority } from './network.ts';
import { changesData } from './sql.ts';
import { isMcpName } from './tools.ts';

/** Reads the arguments as their tool understands them. @returns what is malformed about them, or null. */
export function gatherArguments(gathered: Gathered): string | null {
  if (gathered.facts.route !== undefined) return gatherRequest(gathered);
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
    // Requests to an upstream: what they name lives there, not here.
    case 'mcp_resource':
    case 'mcp_prompt':
    case 'mcp_sampling':
    case 'mcp_elicitation':
      return null;
    default:
      gatherOperands(gathered, 'read');
      gatherForeignCommand(gathered);
      return null;
  }
}

/**
 * A request to a registered HTTP tool: where it goes is fixed by the registration, and what it names lives there. What is read are the
 * addresses that it hands over, which that server may call.
 */
function gatherRequest(gathered: Gathered): null {
  const { mapped } = gathered;
  if (mapped === 'send_email' || mapped === 'post_social')
    gathered.find('hold', 'PROD_EXTERNAL', 'red', 'The message goes to people outside.', `builtin.${mapped}`);
  else if (mapped === 'deploy_prod') gathered.find('hold', 'PROD_EXTERNAL', 'red', 'The call changes production.', 'builtin.deploy_prod');
  else if (mapped === 'access_secrets') gathered.find('hold', 'SECRETS', 'red', 'The call asks for secrets.', 'builtin.access_secrets');
  const { query, body } = gathered.arguments;
  visitAddresses(gathered, [query ?? null, body ?? null], 0);
  return null;
}

function visitAddresses(gathered: Gathered, values: readonly Json[], depth: number): void {
  if (depth > MAX_ADDRESS_DEPTH) return;
  for (const value of values) {
    if (Array.isArray(value)) visitAddresses(gathered, value, depth + 1);
    if (!isObject(value)) continue;
    for (const key of Object.keys(value))
      if (isAddressWord(wordOf(key))) for (const text of textsOf(value[key])) gatherAddress(gathered, text);
    visitAddresses(gathered, Object.values(value), depth + 1);
  }
}

/** Arguments of a shell tool that change neither what runs nor where; any other key is not known and held. */
export const HARMLESS_SHELL_KEYS: ReadonlySet<string> = new Set([
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
]);

function gatherShell(gathered: Gathered): string | null {
  const { command } = gathered.arguments;
  if (isAbsent(command)) return reportMissing(gathered, 'SHELL_NOT_ALLOWLISTED', 'A shell call needs its command as text.');
  if (typeof command !== 'string') return 'A shell call needs its command as text.';
  if (command.trim() === '') return 'The command is empty.';
  gathered.command(command);
  gatherShellOptions(gathered);
  return null;
}

/**
 * A tool of ours or of OpenClaw without what it needs is malformed. A tool of an MCP server that an operator mapped may only call it by
 * another name: then a person looks at it.
 */
function reportMissing(gathered: Gathered, code: ReasonCode, what: string): string | null {
  if (!isMcpName(gathered.call.tool)) return what;
  gathered.find('hold', code, 'yellow', `${what} None of the arguments is known to be that.`, `tools.${gathered.call.tool}`);
  return null;
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

/**
 * A tool that a map or a trusted hint made known, with a command among its arguments: a blocked or plainly destructive one counts as it
 * does in a shell call. Whether its server runs commands is not known, so that an unlisted one alone means nothing.
 */
function gatherForeignCommand(gathered: Gathered): void {
  const { command } = gathered.arguments;
  if (!gathered.tool.known || typeof command !== 'string') return;
  const before = gathered.findings.length;
  const { risk } = gathered;
  gathered.command(command);
  const found = gathered.findings.splice(before);
  gathered.risk = risk;
  for (const finding of found) if (finding.verdict === 'deny' || finding.risk === 'red') gathered.add(finding);
}

/** Looking at a running process is harmless; typing into it is a command that nobody has read. */
const PROCESS_LOOKS: ReadonlySet<string> = new Set(['list', 'poll', 'log', 'kill', 'clear', 'remove']);

function gatherProcess(gathered: Gathered): string | null {
  const { action, command } = gathered.arguments;
  if (typeof command === 'string') gathered.command(command);
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
  gathered.command(command);
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
  return reportMissing(gathered, use === 'read' ? 'FS_READ_OUTSIDE' : 'FS_WRITE_OUTSIDE', `${gathered.call.tool} needs a path.`);
}

const PATCH_HEADER = /^\*\*\* (?:Add File|Delete File|Update File|Move to): ?(.*)$/;

/** A patch names its files in headers; every one of them is written (or removed). */
function gatherPatch(gathered: Gathered): string | null {
  const texts = [gathered.arguments.input, gathered.arguments.patch].filter((text) => !isAbsent(text));
  if (texts.length === 0 || !texts.every((text) => typeof text === 'string')) return 'A patch call needs the patch as text.';
  let files = 0;
  // OpenClaw trims a line before it looks for a header; a line of content starts with "+", "-" or "@".
  for (const line of texts.join('\n').split('\n')) {
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
  return gathered.hosts.length > before ? null : reportMissing(gathered, 'NET_NOT_ALLOWLISTED', 'A network call needs a url.');
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
  'pdf',
  'download',
  'waitfordownload',
]);
/** Of these, the ones that may save what they show: a path among their arguments is written. */
const BROWSER_SAVES: ReadonlySet<string> = new Set(['screenshot', 'pdf', 'download', 'waitfordownload']);
const BROWSER_ACT_LOOKS: ReadonlySet<string> = new Set(['hover', 'scrollIntoView', 'resize', 'wait', 'close']);

function gatherBrowser(gathered: Gathered): string | null {
  const { action, kind, request, url, targetUrl } = gathered.arguments;
  for (const value of [url, targetUrl]) if (!isAbsent(value) && typeof value !== 'string') return 'The address is not text.';
  const before = gathered.hosts.length;
  gatherOperands(gathered, typeof action === 'string' && BROWSER_SAVES.has(action) ? 'write' : 'read');
  if (isAbsent(action)) return gathered.hosts.length > before ? null : 'A browser call needs an action or a url.';
  if (typeof action !== 'string') return 'The action is not text.';
  if (BROWSER_LOOKS.has(action)) return null;
  const acts = [kind, isObject(request) ? request.kind : undefined].filter((value) => !isAbsent(value));
  if (action === 'act' && acts.length > 0 && acts.every((act) => typeof act === 'string' && BROWSER_ACT_LOOKS.has(act))) return null;
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
  'dryRun',
  'dry_run',
]);

/** Yellow to an allowlisted remote; the default branch, force and everything unusual is held (POLICY_READING, "Decisions"). */
function gatherPush(gathered: Gathered): string | null {
  const given = gathered.arguments;
  const hold = (why: string) => gathered.find('hold', 'PROD_EXTERNAL', 'red', why, 'builtin.git_push');

  // Every spelling of an argument counts: which one the tool takes is not known.
  const repository = typeof given.repo === 'string' && /[:@]/.test(given.repo) ? given.repo : null;
  for (const remote of [given.remote, given.url, repository]) {
    if (isAbsent(remote) || remote === '') continue;
    if (typeof remote !== 'string') return 'The remote is not text.';
    gatherRemote(gathered, remote);
  }
  const branches = [given.branch, given.refspec, given.ref].filter((branch) => !isAbsent(branch) && branch !== '');
  if (branches.length === 0) hold('The branch is not named, so it may be the default branch.');
  for (const branch of branches) {
    if (typeof branch !== 'string') return 'The branch is not text.';
    const objection = describeBranch(branch);
    if (objection !== null) hold(objection);
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

/** Why a refspec is more than the push of an ordinary branch, or null. */
function describeBranch(refspec: string): string | null {
  const parts = refspec.split(':', 3);
  const target = (parts.at(-1) ?? '').replace(/^refs\/heads\//, '');
  if (refspec.startsWith('+')) return 'The refspec forces the push.';
  if (refspec.startsWith(':')) return 'The push deletes a branch.';
  if (parts.length > 2 || !parts.every((part) => PLAIN_BRANCH.test(part)) || target.startsWith('refs/'))
    return `${quote(refspec)} is not a plain branch name.`;
  return PROTECTED_BRANCHES.has(target.toLowerCase()) ? `${quote(target)} is a default or deployed branch.` : null;
}

const REMOTE_KEYS: ReadonlySet<string> = new Set(['remote', 'url']);

/**
 * The host of a git remote must be on the network allowlist. `origin` is the project's own remote; another name could stand for any host.
 * SSH as the user `git` is the usual way to a listed git host and counts as that host.
 */
function gatherRemote(gathered: Gathered, remote: string): void {
  if (remote === 'origin') return;
  const { policy, facts } = gathered;
  const { network } = facts;
  const ssh = /^(?:ssh:\/\/)?git@([A-Za-z0-9.-]+)(?::(?!\d+\/)|\/)[A-Za-z0-9._~/-]+$/.exec(remote);
  if (ssh !== null) gathered.keepHost({ ...readAuthority(ssh[1] ?? '', 443, 'https', network, policy.network), given: remote });
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
    gathered.command(command);
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
    else if (/^(?:file:|link:|\.{1,2}(?:\/|$)|\/|~\/)/i.test(target)) gathered.path(target.replace(/^(?:file|link):/i, ''), 'read');
    else if (isRepository(spec, target)) {
      const why = `${quote(spec)} is installed from a repository, not from the registry.`;
      gathered.find('hold', 'NET_NOT_ALLOWLISTED', 'red', why, 'allowlists.network');
    }
  }
}

/** "github:owner/name", "owner/name" and "git@host:…" name repositories; "@scope/name" and "host/owner/name" (Go) come from a registry. */
function isRepository(spec: string, target: string): boolean {
  return /^(?:github|gitlab|bitbucket|gist):/i.test(target) || spec.startsWith('git@') || /^[^@/][^/]*\/[^/]+$/.test(spec);
}

function gatherQuery(gathered: Gathered): string | null {
  for (const key of ['query', 'sql', 'statement', 'statements']) {
    const value = gathered.arguments[key];
    for (const text of Array.isArray(value) ? value : [value]) {
      if (typeof text === 'string' && changesData(text))
        gathered.find('hold', 'RED_ACTION', 'red', 'The query changes the database instead of reading it.', 'builtin.read_db');
    }
  }
  return null;
}

// ---- operands that any tool may have ------------------------------------------------------------------------------------------

const PATH_ARGUMENTS = ['path', 'file_path', 'filePath', 'filepath', 'file', 'filename', 'paths', 'files'] as const;

/** Argument names that hold paths, in lower case without "_" and "-", and endings of such names. */
const PATH_KEYS: ReadonlySet<string> = new Set(['path', 'paths', 'file', 'files', 'filename', 'dir', 'directory', 'folder', 'filepaths']);
const PATH_ENDINGS = ['path', 'file', 'filename', 'dir', 'directory', 'folder'] as const;
/** Names with such an ending that hold something else. */
const NO_PATH_KEYS: ReadonlySet<string> = new Set(['profile', 'xpath', 'jsonpath', 'urlpath', 'apipath', 'workdir']);
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

const URL_KEYS: ReadonlySet<string> = new Set(['url', 'uri', 'urls', 'uris', 'href', 'endpoint', 'webhook', 'callback']);

const MAX_OPERAND_DEPTH = 4;
/** Bodies of requests are nested deeper than arguments of tools. */
const MAX_ADDRESS_DEPTH = 16;

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
    if (isAddressWord(word)) {
      for (const text of textsOf(value)) gatherAddress(gathered, text);
    } else if (isPathWord(word, gathered) || (isFileTool && FILE_TOOL_KEYS.has(word))) {
      for (const text of textsOf(value)) gathered.path(text, directionOf(text, word, use, gathered));
    } else if (depth === 0 && (word === 'cwd' || word === 'workdir')) gathered.workingDirectory();
    if (isText || value === null || depth >= MAX_OPERAND_DEPTH || CONTENT_KEYS.has(word)) continue;
    for (const item of Array.isArray(value) ? value : [value])
      if (isObject(item)) visitOperands(gathered, item, use, isFileTool, except, depth + 1);
  }
}

function isAddressWord(word: string): boolean {
  return URL_KEYS.has(word) || word.endsWith('url') || word.endsWith('uri');
}

function isPathWord(word: string, gathered: Gathered): boolean {
  // The path of a network call is a part of its address.
  if (isPlainNetworkCall(gathered) && (word === 'path' || word === 'paths')) return false;
  return PATH_KEYS.has(word) || (!NO_PATH_KEYS.has(word) && PATH_ENDINGS.some((ending) => word.endsWith(ending)));
}

/** What a network call saves it writes. A document without a folder is a name in a store of documents, not a file at the root. */
function directionOf(text: string, word: string, use: 'read' | 'write', gathered: Gathered): 'read' | 'write' {
  if (isPlainNetworkCall(gathered)) return word.startsWith('in') || word.startsWith('up') ? use : 'write';
  if (gathered.mapped === 'create_doc' && word !== 'path' && !text.includes('/')) return 'read';
  return use;
}

function isPlainNetworkCall({ mapped, call }: Gathered): boolean {
  return mapped === 'network_call' && call.tool !== 'browser';
}

/** For a tool that is not a network call, an address without a scheme may be a name or a reference; what looks like a host is judged as one. */
function gatherAddress(gathered: Gathered, text: string): void {
  const hasScheme = /^[a-z][a-z0-9+.-]*:/i.test(text);
  if (gathered.mapped === 'network_call' || hasScheme) gathered.url(text);
  else if (text.startsWith('//')) gathered.url(`https:${text}`);
  else if (/^[^/?#\s]+\.[^/?#\s]/.test(text)) gathered.url(`https://${text}`);
}

function textsOf(value: Json | undefined): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : [value];
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string' && item !== '') : [];
}

/** "file_path", "filePath" and "File-Path" are one word. */
function wordOf(key: string): string {
  return /^[a-z]+$/.test(key) ? key : key.length > 40 ? '' : key.replace(/[_-]/g, '').toLowerCase();
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
