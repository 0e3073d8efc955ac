/**
 * Paths: from what a call names to a canonical absolute path, and whether that lies in the permitted roots, in the blocked
 * ones, or is a secret or a part of the gate itself (SPEC 4.5, POLICY_READING "Files"). Pure: links are facts given in by
 * the caller. Whatever cannot be said for certain is outside, never inside.
 */

import { findOddCharacter } from './characters.ts';
import type { PathReading } from './model.ts';

/** Compiled `allowlists.filesystem`; made by {@link compileFileRules} and read by nobody else. */
export interface FileRules {
  readonly read: readonly PathPattern[];
  readonly write: readonly PathPattern[];
  readonly writeBlocked: readonly PathPattern[];
  readonly gateRoots: readonly string[];
}

/** What is known about the disk and the place where a call works. */
export interface FileContext {
  /** Absolute root of the workspace; null puts every path outside. */
  workspace: string | null;
  /** Absolute, or relative to the workspace; null is the workspace. */
  cwd: string | null;
  /** Absolute path (or one relative to the workspace) → where the link there really leads. */
  symlinks: Readonly<Record<string, string>>;
}

interface PathPattern {
  readonly absolute: boolean;
  readonly segments: readonly SegmentPattern[];
}

/** `null` stands for `**`: any number of segments. */
type SegmentPattern = NamePattern | null;

/** A name with `*` and `?`: literal text, one character, or any run of characters. */
type NamePattern = readonly NameToken[];
type NameToken = { readonly kind: 'text'; readonly text: string } | { readonly kind: 'one' } | { readonly kind: 'star' };

/** A word of a shell command with its active glob characters: literal text, `*`, or one character (`?`, `[...]`). */
export type GlobToken = string | { readonly kind: 'star' | 'one' };

/** The compiled rules, or every mistake with the list and the position it stands at. */
export type CompiledFileRules = { rules: FileRules } | { errors: { index: [list: string, i: number]; message: string }[] };

/**
 * Compiles path patterns. A pattern is relative to the workspace (`**`, `output/**`) or absolute, in whole segments;
 * `*` and `?` stay within a segment, `**` is a segment of its own and covers any number of them, also none.
 * `gateRoots` are absolute folders of this installation (its data and key folders): secret, and able to change the gate.
 */
export function compileFileRules(input: {
  read: readonly string[];
  write: readonly string[];
  writeBlocked: readonly string[];
  gateRoots?: readonly string[];
}): CompiledFileRules {
  const errors: { index: [list: string, i: number]; message: string }[] = [];
  const compileList = (list: 'read' | 'write' | 'writeBlocked'): PathPattern[] =>
    input[list].flatMap((text, i) => {
      const problem = describePatternProblem(text);
      if (problem === null) return [compilePattern(text)];
      errors.push({ index: [list, i], message: problem });
      return [];
    });
  const rules: FileRules = {
    read: compileList('read'),
    write: compileList('write'),
    writeBlocked: compileList('writeBlocked'),
    gateRoots: (input.gateRoots ?? []).flatMap((root, i) => {
      if (root.startsWith('/') && root !== '/') return [`/${splitPath(root).join('/')}`];
      errors.push({ index: ['gateRoots', i], message: `"${root}" is not an absolute folder.` });
      return [];
    }),
  };
  input.write.forEach((text, i) => {
    if (input.writeBlocked.includes(text)) {
      errors.push({ index: ['write', i], message: `"${text}" is also under writeBlocked, which wins: remove one of the two.` });
    }
  });
  return errors.length > 0 ? { errors } : { rules };
}

/** Longer paths exist on no supported file system (PATH_MAX is 4096 bytes). */
const MAX_PATH_LENGTH = 4096;

/**
 * Reads one path as `given` by a call. `verdict` is `inside` only where the canonical path, after following the links that
 * are known, is covered by the rules for this use; `config` where writing is blocked; else `outside`. `secret` says that
 * the path names a secret file, wherever it lies. Never throws; linear in the length of the path.
 */
export function readPath(given: string, use: 'read' | 'write', context: FileContext, rules: FileRules): PathReading {
  const suspicion = describeSuspicion(given);
  if (suspicion !== null) {
    return { given, path: null, use, verdict: 'outside', secret: mayNameSecret(given), why: suspicion };
  }
  const place = locate(given, context);
  if (place === null) {
    return { given, path: null, use, verdict: 'outside', secret: mayNameSecret(given), why: 'its links lead in a circle' };
  }
  const secret = namesSecret(place, given, rules);
  const verdict = judge(place, use, rules);
  // OpenClaw drops a leading "@" from path arguments, so both readings of it have to stand.
  if (given.startsWith('@') && given.length > 1) {
    const stripped = readPath(given.slice(1), use, context, rules);
    if (stripped.verdict !== 'inside' || stripped.secret) return { ...stripped, given };
  }
  return { given, path: place.path, use, verdict: verdict.verdict, secret, why: verdict.why };
}

/**
 * Reads a glob operand: could any file it may stand for lie outside, or be secret? `secret` is true where the pattern can
 * match the name of a secret file (`*` can match `id_rsa`); `targeted` only where it is aimed at one (`*.pem`, `.env*`),
 * for commands that show names and no content. Hidden names need a literal leading dot, as in bash without `dotglob`.
 */
export function readGlob(
  given: string,
  tokens: readonly GlobToken[],
  context: FileContext,
  rules: FileRules,
): PathReading & { targeted: boolean } {
  const segments = splitTokens(tokens);
  const firstWild = segments.findIndex((segment) => segment.some((token) => token.kind !== 'text'));
  const textOf = (segment: NamePattern) => segment.map((token) => (token.kind === 'text' ? token.text : '')).join('');
  const absolute = typeof tokens[0] === 'string' && tokens[0].startsWith('/');
  const base = (absolute ? '/' : '') + segments.slice(0, firstWild).map(textOf).join('/');
  const reading = readPath(base === '' ? '.' : base, 'read', context, rules);
  const result = { ...reading, given, targeted: reading.secret };
  const outside = (why: string) => ({ ...result, verdict: 'outside' as const, why });
  if (describeSuspicion(given.replaceAll('\\', '')) !== null) return outside('it is not a plain path');

  let mayBeSecret = reading.secret;
  for (const [i, segment] of segments.entries()) {
    if (i < firstWild) continue;
    const patterns = i === segments.length - 1 ? SECRET_NAME_PATTERNS : SECRET_FOLDER_PATTERNS;
    if (!segment.some((token) => token.kind !== 'text')) {
      const name = textOf(segment);
      if (name === '..') return outside('it climbs out of folders that are not named');
      if (isSecretName(name) || isGateName(name)) {
        mayBeSecret = true;
        result.targeted = true;
      }
      continue;
    }
    const first = segment[0];
    const hidden = first?.kind === 'text' && first.text.startsWith('.');
    if (hidden && matchName(segment, '..')) return outside('it can stand for the folder above');
    if (patterns.some((pattern) => (hidden || !startsWithDot(pattern)) && namesIntersect(segment, pattern))) mayBeSecret = true;
    if (segmentAims(segment)) {
      mayBeSecret = true;
      result.targeted = true;
    }
  }
  if (reading.path !== null) {
    for (const target of linksBelow(reading.path, context)) {
      const led = readPath(target, 'read', context, rules);
      if (led.verdict !== 'inside') return { ...outside(`a link below it leads to ${target}`), secret: mayBeSecret };
      if (led.secret) mayBeSecret = true;
    }
  }
  return { ...result, secret: mayBeSecret };
}

/**
 * Says whether a pattern of names or paths is aimed at secrets: it spells enough of a secret name that little else is meant
 * (`*.pem`, `.env*`, `id_*`, `.ssh/*`), unlike `*` or `*.json`, which merely also match one.
 */
export function aimsAtSecret(pattern: string): boolean {
  if (pattern.length > MAX_PATH_LENGTH) return false;
  return pattern.split('/').some((text) => {
    const segment = compileName(
      text
        .replaceAll('\\', '')
        .replace(/\[([^\]])\]/g, '$1')
        .replace(/\[[^\]]*\]/g, '?'),
    );
    const [first, ...others] = segment;
    if (first?.kind === 'text' && others.length === 0) return isSecretName(first.text) || isGateName(first.text);
    return segmentAims(segment);
  });
}

/**
 * Reads a folder that a command walks through with everything below it: like {@link readPath}, and outside too where a
 * known link below it leads out. `isRoot` says that it is the workspace itself or lies above it.
 */
export function readTree(given: string, context: FileContext, rules: FileRules): PathReading & { isRoot: boolean } {
  const reading = readPath(given, 'read', context, rules);
  const root = workspaceRoot(context);
  const isRoot = reading.path !== null && root !== null && (reading.path === root || root.startsWith(`${reading.path}/`));
  if (reading.path === null || reading.verdict !== 'inside') return { ...reading, isRoot };
  let secret = reading.secret;
  for (const target of linksBelow(reading.path, context)) {
    const led = readPath(target, 'read', context, rules);
    if (led.verdict !== 'inside') return { ...reading, isRoot, verdict: 'outside', why: `a link below it leads to ${target}` };
    if (led.secret) secret = true;
  }
  return { ...reading, secret, isRoot };
}

/**
 * Says whether a canonical absolute path names a secret file or lies in a secret folder. Inside an OpenClaw workspace
 * (`~/.openclaw/workspace*`) the state folder above it does not count.
 */
export function isSecretPath(path: string): boolean {
  const segments = splitPath(path);
  if (segments.some(isSecretSegment(segments))) return true;
  return isSystemSecret(segments) || isGatePath(path);
}

/**
 * Says whether a canonical absolute path belongs to what could change the gate itself: OpenClaw's state and configuration,
 * our own configuration, data and key folders (SPEC 4.1).
 */
export function isGatePath(path: string): boolean {
  const segments = splitPath(path);
  if (segments[1] === 'lib' && segments[0] === 'var' && segments[2] === 'mission-control') return true;
  if (segments[0] === 'etc' && segments[1] === 'mission-control') return true;
  return segments.some((name, i) => isGateName(name) && !(isOpenClawState(name) && segments[i + 1]?.startsWith('workspace')));
}

// ---- what a path is ---------------------------------------------------------------------------------------------------

interface Place {
  /** Canonical absolute path. */
  path: string;
  /** Segments below the workspace, or null where it lies outside. */
  below: readonly string[] | null;
}

function judge(place: Place, use: 'read' | 'write', rules: FileRules): { verdict: PathReading['verdict']; why: string } {
  const covers = (patterns: readonly PathPattern[]) => patterns.some((pattern) => matchPath(pattern, place));
  if (use === 'read') {
    if (covers(rules.read)) return { verdict: 'inside', why: 'inside the folders that may be read' };
    return { verdict: 'outside', why: place.below === null ? 'outside the workspace' : 'not among the folders that may be read' };
  }
  if (covers(rules.writeBlocked)) return { verdict: 'config', why: 'writing there is blocked unless a person approves' };
  // What git finds in a repository's own folder it runs: hooks, filters, file system monitors.
  if (place.below?.includes('.git')) return { verdict: 'outside', why: "it belongs to a repository's own settings" };
  if (covers(rules.write)) return { verdict: 'inside', why: 'inside the folders that may be written' };
  return { verdict: 'outside', why: place.below === null ? 'outside the workspace' : 'not among the folders that may be written' };
}

function namesSecret(place: Place, given: string, rules: FileRules): boolean {
  if (rules.gateRoots.some((root) => place.path === root || place.path.startsWith(`${root}/`))) return true;
  // Inside the workspace only what lies below it counts: a workspace may itself live in OpenClaw's state folder.
  if (place.below === null ? isSecretPath(place.path) : isSecretPath(`/${place.below.join('/')}`)) return true;
  const last = given.slice(given.lastIndexOf('/') + 1);
  return isSecretName(last) || isGateName(last);
}

/** For text that cannot be placed: does any of its segments look like a secret's name? */
function mayNameSecret(given: string): boolean {
  if (given.length > MAX_PATH_LENGTH) return false;
  const path = decodeOnce(given)
    .replaceAll('\\', '/')
    .replace(/^~[^/]*/, '');
  return isSecretPath(`/${path}`);
}

function decodeOnce(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Overlong UTF-8, `%u002e`, and the encodings of dot, slash, backslash, percent and NUL, in any depth. */
const ENCODED = /%(?:2e|2f|5c|25|00|7e|c0|c1|e0%80|u[0-9a-f]{4})|&(?:#(?:x0*(?:2e|2f|5c)|0*(?:46|47|92))|period|sol|bsol);/i;

const LOOKALIKE_SEPARATORS = /[\u2044\u2215\u29f5\u29f8\u29f9\ua4f8]/;

/** Says why a text is not a plain path, or null. Nothing is decoded or expanded: such a path is simply outside. */
function describeSuspicion(given: string): string | null {
  if (given === '') return 'the path is empty';
  if (given.length > MAX_PATH_LENGTH) return 'the path is longer than any file system allows';
  const odd = findOddCharacter(given);
  if (odd !== null) return `it contains the character ${odd.name}`;
  if (/[\t\n]/.test(given)) return 'it contains a tab or line break';
  if (given.includes('\\')) return 'it contains a backslash';
  if (given.startsWith('~')) return 'it starts with a tilde';
  if (ENCODED.test(given)) return 'it contains encoded dots or separators';
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(given) || /^file:/i.test(given)) return 'it is an address, not a path';
  if (/^[a-z]:(?:\/|$)/i.test(given)) return 'it starts with a drive letter';
  if (hasLookalike(given)) return 'it contains a look-alike of a dot or a separator';
  return null;
}

function hasLookalike(text: string): boolean {
  if (/^[\x20-\x7e]*$/.test(text)) return false;
  if (text.includes('\ufe0f') || LOOKALIKE_SEPARATORS.test(text)) return true;
  for (const character of text) {
    if (character > '\x7f' && /[./\\%~]/.test(character.normalize('NFKC'))) return true;
  }
  return false;
}

// ---- where a path lies ------------------------------------------------------------------------------------------------

function locate(given: string, context: FileContext): Place | null {
  const root = workspaceRoot(context);
  const start = given.startsWith('/') ? '' : startOf(context, root);
  if (start === null) return { path: `/${splitPath(given).join('/')}`, below: null };
  const path = follow(`${start}/${given}`, linksOf(context));
  if (path === null) return null;
  if (root === null) return { path, below: null };
  if (path === root) return { path, below: [] };
  const prefix = root === '/' ? '/' : `${root}/`;
  return { path, below: path.startsWith(prefix) ? path.slice(prefix.length).split('/') : null };
}

function workspaceRoot(context: FileContext): string | null {
  if (!context.workspace?.startsWith('/')) return null;
  return follow(context.workspace, linksOf(context));
}

/** Where a relative path starts, or null where nobody knows. */
function startOf(context: FileContext, root: string | null): string | null {
  if (context.cwd === null || context.cwd === '') return root;
  if (context.cwd.startsWith('/')) return context.cwd;
  return root === null ? null : `${root}/${context.cwd}`;
}

type Links = ReadonlyMap<string, string>;
const NO_LINKS: Links = new Map();

function linksOf(context: FileContext): Links {
  const paths = Object.keys(context.symlinks);
  if (paths.length === 0) return NO_LINKS;
  const links = new Map<string, string>();
  for (const path of paths) {
    const absolute = path.startsWith('/') ? path : `${context.workspace ?? ''}/${path}`;
    links.set(`/${splitPath(absolute).join('/')}`, context.symlinks[path] ?? '/');
  }
  return links;
}

/** As the kernel does it: `..` after a link climbs from where the link leads. Forty links are its limit too. */
const MAX_LINKS = 40;

function follow(path: string, links: Links): string | null {
  if (links.size === 0) return `/${splitPath(path).join('/')}`;
  let rest = path.split('/').reverse();
  const walked: string[] = [];
  let followed = 0;
  while (rest.length > 0) {
    const segment = rest.pop();
    if (segment === undefined || segment === '' || segment === '.') continue;
    if (segment === '..') {
      walked.pop();
      continue;
    }
    walked.push(segment);
    const target = links.get(`/${walked.join('/')}`);
    if (target === undefined) continue;
    if (++followed > MAX_LINKS) return null;
    if (target.startsWith('/')) walked.length = 0;
    else walked.pop();
    rest = rest.concat(target.split('/').reverse());
  }
  return `/${walked.join('/')}`;
}

function linksBelow(folder: string, context: FileContext): string[] {
  const links = linksOf(context);
  const prefix = folder === '/' ? '/' : `${folder}/`;
  const targets: string[] = [];
  for (const [path] of links) {
    if (!path.startsWith(prefix)) continue;
    targets.push(follow(path, links) ?? '/');
  }
  return targets;
}

/** Segments of a path with `.`, `..` and empty ones resolved; climbing stops at the root. */
function splitPath(path: string): string[] {
  const segments: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.') continue;
    if (segment === '..') segments.pop();
    else segments.push(segment);
  }
  return segments;
}

// ---- patterns ---------------------------------------------------------------------------------------------------------

function describePatternProblem(text: string): string | null {
  if (typeof text !== 'string' || text === '') return 'An entry is a pattern such as "output/**"; this one is empty.';
  if (findOddCharacter(text) !== null || /[\t\n]/.test(text)) return `"${text}" contains an invisible or control character.`;
  if (/[\\{}[\]!]/.test(text)) return `"${text}": only *, ** and ? are understood.`;
  if (text.startsWith('~')) return `"${text}": write the folder out; a tilde is not expanded.`;
  const segments = text.split('/');
  if (segments.includes('..') || segments.includes('.')) return `"${text}" must not contain "." or ".." segments.`;
  if (segments.some((segment) => segment.includes('**') && segment !== '**')) return `"${text}": ** must be a segment of its own.`;
  if (segments.slice(1, -1).includes('')) return `"${text}" has an empty segment.`;
  return null;
}

function compilePattern(text: string): PathPattern {
  const segments = text.split('/').filter((segment) => segment !== '');
  return { absolute: text.startsWith('/'), segments: segments.map((segment) => (segment === '**' ? null : compileName(segment))) };
}

function compileName(text: string): NamePattern {
  const tokens: NameToken[] = [];
  for (const piece of text.split(/([*?])/)) {
    if (piece === '*') tokens.push({ kind: 'star' });
    else if (piece === '?') tokens.push({ kind: 'one' });
    else if (piece !== '') tokens.push({ kind: 'text', text: piece });
  }
  return tokens;
}

function matchPath(pattern: PathPattern, place: Place): boolean {
  const names = pattern.absolute ? splitPath(place.path) : place.below;
  return names !== null && matchSegments(pattern.segments, names);
}

/** Greedy with one way back: enough for any number of `**`, and at most patterns × names steps. */
function matchSegments(patterns: readonly SegmentPattern[], names: readonly string[]): boolean {
  let p = 0;
  let n = 0;
  let resume = -1;
  let resumeAt = 0;
  while (n < names.length) {
    const pattern = patterns[p];
    const name = names[n];
    if (pattern === null) {
      resume = ++p;
      resumeAt = n;
    } else if (pattern !== undefined && name !== undefined && matchName(pattern, name)) {
      p++;
      n++;
    } else if (resume >= 0) {
      p = resume;
      n = ++resumeAt;
    } else return false;
  }
  while (patterns[p] === null) p++;
  return p === patterns.length;
}

function matchName(pattern: NamePattern, name: string): boolean {
  let p = 0;
  let n = 0;
  let resume = -1;
  let resumeAt = 0;
  for (;;) {
    const token = pattern[p];
    if (token?.kind === 'star') {
      resume = ++p;
      resumeAt = n;
      continue;
    }
    if (token === undefined && n === name.length) return true;
    if (token?.kind === 'one' && n < name.length) {
      p++;
      n++;
      continue;
    }
    if (token?.kind === 'text' && name.startsWith(token.text, n)) {
      p++;
      n += token.text.length;
      continue;
    }
    if (resume < 0 || resumeAt >= name.length) return false;
    p = resume;
    n = ++resumeAt;
  }
}

function splitTokens(tokens: readonly GlobToken[]): NamePattern[] {
  const segments: NameToken[][] = [[]];
  for (const token of tokens) {
    if (typeof token !== 'string') {
      segments.at(-1)?.push(token);
      continue;
    }
    token.split('/').forEach((text, i) => {
      if (i > 0) segments.push([]);
      if (text !== '') segments.at(-1)?.push({ kind: 'text', text });
    });
  }
  return segments.filter(
    (segment) => segment.length > 0 && !(segment.length === 1 && segment[0]?.kind === 'text' && segment[0].text === '.'),
  );
}

/** Whether some name matches both patterns: states are pairs of positions, so at most |a| × |b| of them. */
function namesIntersect(a: NamePattern, b: NamePattern): boolean {
  const left = flatten(a);
  const right = flatten(b);
  const width = right.length + 1;
  const seen = new Uint8Array((left.length + 1) * width);
  const open = [0];
  while (open.length > 0) {
    const state = open.pop() ?? 0;
    if (seen[state] === 1) continue;
    seen[state] = 1;
    const i = Math.floor(state / width);
    const j = state % width;
    if (i === left.length && j === right.length) return true;
    const x = left[i];
    const y = right[j];
    if (x === STAR) open.push(state + width);
    if (y === STAR) open.push(state + 1);
    if (x === undefined || y === undefined) continue;
    if (x === STAR && y === STAR) continue;
    if (x === STAR) open.push(state + 1);
    else if (y === STAR) open.push(state + width);
    else if (x === ONE || y === ONE || x === y) open.push(state + width + 1);
  }
  return false;
}

const STAR = '**';
const ONE = '??';

/** The patterns of secret names are compared with every glob of every command: each is taken apart once. */
const flattened = new WeakMap<NamePattern, readonly string[]>();

function flatten(pattern: NamePattern): readonly string[] {
  let units = flattened.get(pattern);
  if (units === undefined) {
    units = pattern.flatMap((token) => (token.kind === 'text' ? [...token.text.toLowerCase()] : [token.kind === 'star' ? STAR : ONE]));
    flattened.set(pattern, units);
  }
  return units;
}

function segmentAims(segment: NamePattern): boolean {
  const literal = segment
    .map((token) => (token.kind === 'text' ? token.text : ''))
    .join('')
    .toLowerCase();
  if (literal.length < 2) return false;
  if (isSecretName(segment.map((token) => (token.kind === 'text' ? token.text : token.kind === 'one' ? 'x' : '')).join(''))) return true;
  const first = segment[0];
  if (first?.kind !== 'text') return false;
  if (first.text.startsWith('.')) return SECRET_NAME_PATTERNS.some((pattern) => startsWithDot(pattern) && namesIntersect(segment, pattern));
  const prefix = first.text.toLowerCase();
  return prefix.length >= 3 && segment.length === 2 && [...EXACT_SECRET_NAMES].some((name) => name.startsWith(prefix));
}

function startsWithDot(pattern: NamePattern): boolean {
  const first = pattern[0];
  return first?.kind === 'text' && first.text.startsWith('.');
}

// ---- secrets and the gate ---------------------------------------------------------------------------------------------

/** Names of secret files and folders, in lower case: a name is compared without regard to case. */
const SECRET_NAMES = [
  '.env*',
  '*.env',
  '.npmrc',
  '.netrc',
  '_netrc',
  '.git-credentials',
  '.pgpass',
  '.pypirc',
  '.htpasswd',
  '.my.cnf',
  '.mylogin.cnf',
  '.dockercfg',
  '.vault-token',
  '.terraformrc',
  'credentials.tfrc.json',
  '.s3cfg',
  '.boto',
  'credentials',
  'credentials.json',
  'credentials.toml',
  'credentials.yml',
  'credentials.yaml',
  '.credentials',
  '.credentials.json',
  'client_secret*.json',
  'service-account*.json',
  'service_account*.json',
  'serviceaccount*.json',
  'application_default_credentials.json',
  'secret.json',
  'secret.yml',
  'secret.yaml',
  'secret.toml',
  'secrets.json',
  'secrets.yml',
  'secrets.yaml',
  'secrets.toml',
  'secrets.ini',
  'secrets.txt',
  'id_rsa',
  'id_dsa',
  'id_ecdsa',
  'id_ed25519',
  'id_rsa.bak',
  'id_rsa.old',
  'id_*_sk',
  '*.pem',
  '*.key',
  '*.p12',
  '*.pfx',
  '*.jks',
  '*.keystore',
  '*.kdbx',
  '*.ppk',
  '.ssh',
  '.aws',
  '.kube',
  'kubeconfig',
  '.docker',
  '.azure',
  '.gnupg',
  '.password-store',
  '.mozilla',
  '.bash_history',
  '.zsh_history',
];

const SECRET_NAME_PATTERNS = SECRET_NAMES.map(compileName);
/** Those that are folders, for the segments of a pattern before its last. */
const SECRET_FOLDER_PATTERNS = ['.ssh', '.aws', '.kube', '.docker', '.azure', '.gnupg', '.password-store', '.mozilla', '.openclaw*'].map(
  compileName,
);
const EXACT_SECRET_NAMES = new Set(SECRET_NAMES.filter((name) => !name.includes('*')));
const WILD_SECRET_NAMES = SECRET_NAMES.filter((name) => name.includes('*'));
/** By the character they begin with, or end with where they begin with a star: for nearly every name that leaves none to match. */
const WILD_BY_FIRST = groupByCharacter(WILD_SECRET_NAMES.filter((name) => !name.startsWith('*')).map((name) => [name.charAt(0), name]));
const WILD_BY_LAST = groupByCharacter(WILD_SECRET_NAMES.filter((name) => name.startsWith('*')).map((name) => [name.slice(-1), name]));

function groupByCharacter(names: readonly (readonly [character: string, name: string])[]): ReadonlyMap<string, readonly NamePattern[]> {
  const groups = new Map<string, NamePattern[]>();
  for (const [character, name] of names) groups.set(character, [...(groups.get(character) ?? []), compileName(name)]);
  return groups;
}

function isSecretName(name: string): boolean {
  const lower = name.toLowerCase();
  if (lower === '.env.example') return false;
  if (EXACT_SECRET_NAMES.has(lower)) return true;
  const matches = (pattern: NamePattern) => matchName(pattern, lower);
  return (WILD_BY_FIRST.get(lower.charAt(0))?.some(matches) ?? false) || (WILD_BY_LAST.get(lower.slice(-1))?.some(matches) ?? false);
}

/** Folders whose content is secret where they stand below another one. */
const SECRET_FOLDERS: readonly (readonly string[])[] = [
  ['.config', 'gcloud'],
  ['.config', 'gh'],
  ['.config', 'google-chrome'],
  ['.config', 'chromium'],
  ['.config', 'op'],
  ['library', 'keychains'],
  ['run', 'secrets'],
];

function isSecretSegment(segments: readonly string[]): (name: string, i: number) => boolean {
  return (name, i) =>
    isSecretName(name) || SECRET_FOLDERS.some((folder) => name.toLowerCase() === folder[0] && segments[i + 1]?.toLowerCase() === folder[1]);
}

function isSystemSecret(segments: readonly string[]): boolean {
  const [first, second] = segments;
  const last = segments.at(-1);
  if (first === 'proc') return last === 'environ' || last === 'mem' || last === 'cmdline' || segments.includes('fd');
  if (first === 'etc') {
    return (
      second === 'shadow' || second === 'gshadow' || second === 'shadow-' || (second === 'ssh' && /^ssh_host_.*_key$/.test(last ?? ''))
    );
  }
  return false;
}

function isGateName(name: string): boolean {
  const lower = name.toLowerCase();
  if (isOpenClawState(lower)) return true;
  if (lower === 'data-keys' || lower === '.mission-control') return true;
  return /^openclaw\.json5?(?:\..*)?$/.test(lower) || /^mission-control\.ya?ml$/.test(lower);
}

/** `~/.openclaw`, its profiles (`.openclaw-dev`), and the names that the product had before. */
function isOpenClawState(name: string): boolean {
  return /^\.(?:openclaw|clawdbot|moltbot)(?:-.*)?$/i.test(name);
}
