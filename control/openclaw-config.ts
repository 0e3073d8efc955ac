/**
 * Connects an OpenClaw to Mission Control by its configuration file, and takes the connection back. Planning is pure: text in, text,
 * diff and warnings out; every byte that is not ours stays as it is, and a plan is only given out after the edited text has been
 * read back and means exactly what was wanted. Applying puts plugin and token in place first and the configuration last, because
 * OpenClaw acts on it at once.
 */
import { randomUUID } from 'node:crypto';
import { chmod, copyFile, mkdir, open, readdir, readFile, realpath, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { createTwoFilesPatch } from 'diff';
import JSON5 from 'json5';
import { z } from 'zod';
import { type Json5Path, type Json5Value, removeIn, setIn } from './json5-text.ts';
import { connectModels, type ModelEntry, type ModelUpstream, modelTokens } from './openclaw-models.ts';

/** The id of our plugin in OpenClaw's configuration. */
const PLUGIN_ID = 'mission-control';
/** Stands in the skill that we install, and in no other. */
const SKILL_MARK = 'Installed by Mission Control (openclaw connect)';
/** OpenClaw must listen to the hook longer than the plugin waits. Equal to HOOK_MARGIN_MS of the plugin. */
const HOOK_MARGIN_MS = 30_000;
const DEFAULT_INLINE_MS = 240_000;
/** As OpenClaw has it: at about 360 s it aborts a run whose tool call is held (OPENCLAW.md, measured). */
const MAX_INLINE_MS = 300_000;

export interface ConnectOptions {
  /** Tokens that control has issued for this connection. */
  issued?: readonly IssuedToken[];
  /** Base URL of the Mission Control proxy as OpenClaw's machine reaches it. */
  proxyUrl: string;
  /** OpenClaw's state folder (`OPENCLAW_STATE_DIR`, by default the folder of the configuration file). Absolute. */
  stateDir: string;
  /** Home folder of the user that OpenClaw runs as, for paths that begin with `~`. */
  home: string;
  /** How long a held call waits inside the run, in milliseconds; 1,000 to 300,000. */
  inlineMs?: number;
  /** `OPENCLAW_WORKSPACE_DIR` of OpenClaw's environment, where it is set. */
  defaultWorkspace?: string;
  /** Names of the MCP servers that are reached through Mission Control. */
  upstreams?: readonly string[];
  /** The providers of models that are reached through Mission Control. */
  models?: readonly ModelUpstream[];
  /** The agent token that an agent's entries carry, by OpenClaw's agent id; absent ones stand as a placeholder, for showing only. */
  agentTokens?: ReadonlyMap<string, string>;
}

/** One MCP entry: an agent's own way to one server. OpenClaw's client carries static headers only, so each agent has its own. */
export interface McpEntry {
  /** The name in OpenClaw's configuration; its tools are `{entry}__{tool}` there. */
  entry: string;
  agentId: string;
  upstream: string;
}

export interface FoundAgent {
  id: string;
  /** Absolute path, derived as OpenClaw 2026.9.6 derives it. */
  workspace: string;
}

export interface ConnectPlan {
  /** The whole new configuration. */
  text: string;
  changed: boolean;
  /** Unified diff for a person; values that look like secrets are masked in it. */
  diff: string;
  agents: FoundAgent[];
  mcp: McpEntry[];
  models: ModelEntry[];
  /** How control reaches the gateway of this configuration; token is null where the file does not hold it in clear. */
  gateway: { url: string; token: string | null };
  warnings: string[];
  record: ConnectRecord;
}

export interface UndoPlan {
  /** The configuration without us; null where there was no file before. */
  text: string | null;
  changed: boolean;
  diff: string;
  warnings: string[];
}

const Change = z.discriminatedUnion('kind', [
  /** A value was set; `before` is missing where there was none. */
  z.object({ kind: z.literal('set'), path: z.array(z.string()), before: z.unknown().optional(), after: z.unknown() }),
  /** A string was added to a list, or taken out of it. */
  z.object({ kind: z.literal('listed'), path: z.array(z.string()), item: z.string() }),
  z.object({ kind: z.literal('unlisted'), path: z.array(z.string()), item: z.string() }),
]);
type Change = z.infer<typeof Change>;
const RecordSchema = z.object({
  version: z.literal(1),
  /** The configuration before the first connect; null where there was none. */
  before: z.string().nullable(),
  /** What was written; while the file still is this, undo gives back `before` byte for byte. */
  written: z.string(),
  changes: z.array(Change),
  /** Containers that did not exist before, outermost first. */
  created: z.array(z.array(z.string())),
  /** Tokens that were issued for it, so that undoing it can revoke them. Ids only. */
  issued: z.array(z.object({ of: z.enum(['agents', 'gateways']), ownerId: z.string(), tokenId: z.string() })).default([]),
});
export type IssuedToken = z.infer<typeof RecordSchema>['issued'][number];
/** What has to be known to take a connection back. Holds the former configuration: keep it as private as that. */
export type ConnectRecord = z.infer<typeof RecordSchema>;

/** The configuration cannot be edited as it is; `message` says what to do. */
export class ConfigProblem extends Error {}

/**
 * Plans the connection. With the record of an earlier one the plan replaces that, so that a later undo still leads back to the
 * configuration before the first.
 *
 * @throws ConfigProblem where the file cannot be read, or our part lies in an included file
 */
export function planConnect(configText: string | null, options: ConnectOptions, record?: ConnectRecord): ConnectPlan {
  const inlineMs = options.inlineMs ?? DEFAULT_INLINE_MS;
  if (!(inlineMs >= 1_000 && inlineMs <= MAX_INLINE_MS))
    throw new ConfigProblem(`The inline wait must be 1000 to ${MAX_INLINE_MS} ms, not ${inlineMs}.`);
  const before = record === undefined || configText === null ? configText : planUndo(configText, record).text;
  const draft = new Draft(before ?? '{}\n');
  const { pluginFolder, tokenFile } = placesIn(options.stateDir);
  refuseIncludes(draft.data, ['plugins'], ['plugins', 'load'], ['plugins', 'entries'], ['plugins', 'entries', PLUGIN_ID], ['tools']);

  const warnings: string[] = [];
  draft.set(['plugins', 'enabled'], true);
  draft.list(['plugins', 'load', 'paths'], pluginFolder);
  if (Array.isArray(draft.at(['plugins', 'allow']))) draft.list(['plugins', 'allow'], PLUGIN_ID);
  if (draft.unlist(['plugins', 'deny'], PLUGIN_ID)) warnings.push(`plugins.deny named ${PLUGIN_ID}; that is taken out.`);
  const own = ['plugins', 'entries', PLUGIN_ID];
  draft.set([...own, 'enabled'], true);
  draft.set([...own, 'hooks', 'allowConversationAccess'], true);
  draft.set([...own, 'hooks', 'timeouts', 'before_tool_call'], inlineMs + HOOK_MARGIN_MS);
  draft.set([...own, 'config'], { proxyUrl: options.proxyUrl, tokenFile, inlineMs });
  isolateCodeMode(draft, warnings);

  if (isIncluded(draft.data))
    warnings.push('The configuration includes other files at its root; agents that stand there are not found here.');
  if (isIncluded(draft.at(['agents'])) || isIncluded(draft.at(['agents', 'entries']))) {
    warnings.push('The agents stand in an included file and are not found here; register them by hand.');
  }
  const agents = findAgents(draft.data, options, warnings);
  const mcp = entriesFor(agents, options.upstreams ?? [], Object.keys(asObject(draft.at(['mcp', 'servers']))));
  connectMcp(draft, mcp, options, warnings);
  const { proxyUrl, models: upstreams = [], agentTokens } = options;
  if (upstreams.length > 0) refuseIncludes(draft.data, ['models'], ['models', 'providers'], ['agents'], ['agents', 'entries']);
  const tokenOf = (id: string) => agentTokens?.get(id) ?? '(its token)';
  const models = connectModels(
    draft,
    agents.map(({ id }) => id),
    { proxyUrl, upstreams, tokenOf },
    warnings,
  );
  const text = draft.text;
  return {
    text,
    mcp,
    models,
    changed: text !== configText,
    diff: diffOf(configText ?? '', text),
    agents,
    gateway: findGateway(draft.data),
    warnings,
    record: { version: 1, before, written: text, changes: draft.changes, created: draft.created, issued: allIssued(record, options) },
  };
}

/** Of this connection and those before it, that an agent which is gone meanwhile leaves no token behind. */
function allIssued(record: ConnectRecord | undefined, { issued = [] }: ConnectOptions): IssuedToken[] {
  const earlier = record?.issued ?? [];
  return [...earlier.filter(({ tokenId }) => !issued.some((token) => token.tokenId === tokenId)), ...issued];
}

/**
 * Plans the way back. Where nobody has changed the file since, it leads to the exact former bytes; otherwise to the present
 * configuration without what we had set.
 *
 * @throws ConfigProblem where the file cannot be read
 */
export function planUndo(configText: string, record: ConnectRecord): UndoPlan {
  if (configText === record.written) {
    return { text: record.before, changed: record.before !== configText, diff: diffOf(configText, record.before ?? ''), warnings: [] };
  }
  const draft = new Draft(configText);
  const warnings: string[] = [];
  for (const change of record.changes.toReversed()) undoChange(draft, change, warnings);
  for (const container of record.created.toReversed()) {
    const left = draft.at(container);
    if (typeof left === 'object' && left !== null && Object.keys(left).length === 0) draft.remove(container);
  }
  return { text: draft.text, changed: draft.text !== configText, diff: diffOf(configText, draft.text), warnings };
}

/** Where an earlier connection keeps its record; `null` when there is none. Throws ConfigProblem where it cannot be read. */
export async function readRecord(stateDir: string): Promise<ConnectRecord | null> {
  const { recordFile } = placesIn(stateDir);
  const text = await readText(recordFile);
  if (text === null) return null;
  const parsed = RecordSchema.safeParse(parseOrNull(text));
  if (!parsed.success) throw new ConfigProblem(`${recordFile} is damaged; undo by hand from ${placesIn(stateDir).backupFile}.`);
  return parsed.data;
}

/** The configuration as it is, or null where there is no file. */
export async function readConfig(configFile: string): Promise<string | null> {
  return readText(configFile);
}

/**
 * Carries out a plan: copies the plugin, writes the token (mode 0600), the record and a backup, and then the configuration, each by
 * one atomic rename. Must run as the user that OpenClaw runs as, who has to be able to read them.
 *
 * @param expected the text that the plan was made from; when the file has changed since, nothing is written
 * @param pluginSource folder of the plugin that we ship
 * @throws ConfigProblem when the file has changed meanwhile; filesystem errors as they come
 */
export async function applyConnect(
  configFile: string,
  expected: string | null,
  plan: ConnectPlan,
  { stateDir, token, pluginSource }: { stateDir: string; token: string; pluginSource: string },
): Promise<void> {
  const target = await realTarget(configFile);
  const { folder, pluginFolder, tokenFile, recordFile, backupFile, skillFile } = placesIn(stateDir);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  await placePlugin(pluginSource, pluginFolder);
  await placeSkill(path.join(pluginSource, 'skills', PLUGIN_ID, 'SKILL.md'), skillFile);
  await replaceFile(tokenFile, `${token}\n`, 0o600);
  if (plan.record.before !== null) await replaceFile(backupFile, plan.record.before, 0o600);
  await refuseIfChanged(target, expected);
  await replaceFile(recordFile, `${JSON.stringify(plan.record)}\n`, 0o600);
  if (plan.changed) await replaceFile(target, plan.text, await modeOf(target));
}

/**
 * Carries out the way back: the configuration first, then plugin, token and record. The backup stays.
 *
 * @throws ConfigProblem when the file has changed since the plan; filesystem errors as they come
 */
export async function applyUndo(configFile: string, expected: string, plan: UndoPlan, { stateDir }: { stateDir: string }): Promise<void> {
  const target = await realTarget(configFile);
  const { pluginFolder, tokenFile, recordFile, skillFile } = placesIn(stateDir);
  await refuseIfChanged(target, expected);
  if (plan.text === null) await rm(target, { force: true });
  else if (plan.changed) await replaceFile(target, plan.text, await modeOf(target));
  await rm(pluginFolder, { recursive: true, force: true });
  await rm(tokenFile, { force: true });
  if (await isOurSkill(skillFile)) await rm(path.dirname(skillFile), { recursive: true, force: true });
  await rm(recordFile, { force: true });
}

/** All of ours stands in one folder of OpenClaw's state, which outlives upgrades of either side. */
function placesIn(stateDir: string) {
  const folder = path.join(stateDir, PLUGIN_ID);
  return {
    folder,
    pluginFolder: path.join(folder, 'plugin'),
    tokenFile: path.join(folder, 'token'),
    recordFile: path.join(folder, 'connection.json'),
    backupFile: path.join(folder, 'openclaw.json.before'),
    // Where OpenClaw looks for skills of all agents (docs/tools/skills.md, "Managed / local skills").
    skillFile: path.join(stateDir, 'skills', PLUGIN_ID, 'SKILL.md'),
  };
}

/** A configuration under edit: its text, what it means, and what was done to it. */
class Draft {
  readonly changes: Change[] = [];
  readonly created: string[][] = [];
  text: string;
  data: Json5Value;

  constructor(text: string) {
    this.text = text.trim() === '' ? '{}\n' : text;
    this.data = parseConfig(this.text);
    if (!isObject(this.data)) throw new ConfigProblem('The configuration is not an object.');
  }

  at(where: readonly string[]): Json5Value | undefined {
    return where.reduce<Json5Value | undefined>((inner, key) => (isObject(inner) ? inner[key] : undefined), this.data);
  }

  set(where: string[], value: Json5Value): void {
    const before = this.at(where);
    if (isDeepStrictEqual(before, value)) return;
    this.#note(where);
    this.changes.push({ kind: 'set', path: where, ...(before === undefined ? {} : { before }), after: value });
    this.#edit(where, value);
  }

  list(where: string[], item: string): void {
    const list = this.at(where) ?? [];
    if (!Array.isArray(list)) throw new ConfigProblem(`${where.join('.')} is not a list.`);
    if (list.includes(item)) return;
    this.changes.push({ kind: 'listed', path: where, item });
    if (this.at(where) === undefined) {
      this.#note([...where, '']);
      this.#edit(where, [item]);
    } else this.#edit([...where, list.length], item);
  }

  unlist(where: string[], item: string): boolean {
    const known = this.changes.length;
    // A list may name it more than once; one that is left would still count.
    while (this.dropItem(where, item)) this.changes.push({ kind: 'unlisted', path: where, item });
    return this.changes.length > known;
  }

  dropItem(where: string[], item: string): boolean {
    const list = this.at(where);
    if (!Array.isArray(list) || !list.includes(item)) return false;
    this.#check(removeIn(this.text, [...where, list.indexOf(item)]), where, list.toSpliced(list.indexOf(item), 1));
    return true;
  }

  /** Sets without noting it; for the way back. */
  put(where: Json5Path, value: Json5Value): void {
    this.#edit(where, value);
  }

  remove(where: string[]): void {
    const parent = where.slice(0, -1);
    const { [where.at(-1) ?? '']: _gone, ...rest } = asObject(this.at(parent));
    this.#check(removeIn(this.text, where), parent, rest);
  }

  /** Notes the containers on the way that are not there yet. */
  #note(where: string[]): void {
    for (let depth = 1; depth < where.length; depth++) {
      const container = where.slice(0, depth);
      if (this.at(container) === undefined && !this.created.some((known) => isDeepStrictEqual(known, container)))
        this.created.push(container);
    }
  }

  #edit(where: Json5Path, value: Json5Value): void {
    const names = where.map(String);
    const parent = where.at(-1);
    if (typeof parent === 'number') {
      const list = this.at(names.slice(0, -1));
      this.#check(setIn(this.text, where, value), names.slice(0, -1), [...(Array.isArray(list) ? list : []), value]);
    } else this.#check(setIn(this.text, where, value), names, value);
  }

  /** The net under every edit: the new text must mean the old document with exactly this one difference. */
  #check(text: string, where: string[], value: Json5Value): void {
    const wanted = replaced(this.data, where, value);
    const data = parseConfig(text);
    if (!isDeepStrictEqual(data, wanted)) {
      throw new ConfigProblem(`${where.join('.')} cannot be edited safely in this file; see docs/openclaw.md for what to set by hand.`);
    }
    this.text = text;
    this.data = data;
  }
}

function undoChange(draft: Draft, change: Change, warnings: string[]): void {
  const name = change.path.join('.');
  if (change.kind === 'listed') {
    draft.dropItem(change.path, change.item);
  } else if (change.kind === 'unlisted') {
    const list = draft.at(change.path);
    if (Array.isArray(list)) draft.put([...change.path, list.length], change.item);
  } else {
    const now = draft.at(change.path);
    if (now === undefined) return;
    const ours = change.path[0] === 'plugins' && change.path[2] === PLUGIN_ID;
    if (!ours && !isDeepStrictEqual(now, change.after)) {
      warnings.push(`${name} was changed after we had set it and stays as it is.`);
    } else if (change.before === undefined) draft.remove(change.path);
    else draft.put(change.path, change.before as Json5Value);
  }
}

/**
 * Code Mode runs programs of the model in the gateway, by default with node:vm, which is no boundary: such a program could act
 * without any tool call. Under QuickJS it can only act through tool calls, which are gated one by one.
 */
function isolateCodeMode(draft: Draft, warnings: string[]): void {
  const mode = draft.at(['tools', 'codeMode']);
  if (isObject(mode)) draft.set(['tools', 'codeMode', 'executor'], 'quickjs');
  // Absent means "auto"; an object without `enabled` would mean off.
  else if (mode !== false) draft.set(['tools', 'codeMode'], { enabled: mode ?? 'auto', executor: 'quickjs' });
  for (const id of Object.keys(asObject(draft.at(['agents', 'entries'])))) {
    const where = ['agents', 'entries', id, 'tools', 'codeMode', 'executor'];
    if (draft.at(where) !== undefined) draft.set(where, 'quickjs');
  }
  const denied = draft.at(['plugins', 'deny']);
  if (Array.isArray(denied) && denied.includes('code-mode-quickjs')) {
    warnings.push('plugins.deny names code-mode-quickjs: agents with Code Mode cannot run until that is taken out or Code Mode is off.');
  }
}

/** OpenClaw waits this long for a tool; a call that is held for a person stays below it. */
const MCP_TIMEOUT_MS = 1_800_000;

/** Names that no entry of the person's own has. Without "__", which parts an entry from its tools. */
function entriesFor(agents: readonly FoundAgent[], upstreams: readonly string[], taken: readonly string[]): McpEntry[] {
  const used = new Set(taken);
  return agents.flatMap(({ id }) =>
    upstreams.map((upstream) => {
      const plain = `${upstream}-${id.replaceAll(/[^a-z0-9-]+/g, '-')}`;
      let entry = plain;
      for (let i = 2; used.has(entry); i++) entry = `${plain}-${i}`;
      used.add(entry);
      return { entry, agentId: id, upstream };
    }),
  );
}

/** One entry per agent and server, and each entry denied to every agent but its own. */
function connectMcp(draft: Draft, entries: readonly McpEntry[], { proxyUrl, agentTokens }: ConnectOptions, warnings: string[]): void {
  const direct = Object.keys(asObject(draft.at(['mcp', 'servers'])));
  if (direct.length > 0)
    warnings.push(
      `MCP servers that agents reach directly, past the second gate: ${direct.join(', ')}. Register them as upstreams and take them out here.`,
    );
  if (entries.length === 0) return;
  refuseIncludes(draft.data, ['mcp'], ['mcp', 'servers']);
  for (const { entry, agentId, upstream } of entries) {
    draft.set(['mcp', 'servers', entry], {
      url: `${proxyUrl}/mcp/${upstream}`,
      transport: 'streamable-http',
      headers: { Authorization: `Bearer ${agentTokens?.get(agentId) ?? '(its token)'}` },
      requestTimeoutMs: MCP_TIMEOUT_MS,
    });
  }
  const owners = new Set(entries.map(({ agentId }) => agentId));
  if (owners.size < 2) return;
  const keyed = asObject(draft.at(['agents', 'entries']));
  for (const owner of owners) {
    const key = Object.keys(keyed).find((name) => name.trim().toLowerCase() === owner);
    if (key === undefined) {
      warnings.push(`The agent ${owner} does not stand in agents.entries: deny it the MCP entries of the others by hand (tools.deny).`);
      continue;
    }
    for (const { entry, agentId } of entries) if (agentId !== owner) draft.list(['agents', 'entries', key, 'tools', 'deny'], `${entry}__*`);
  }
}

/** Agent tokens that an earlier connection wrote, by the name of their entry. */
export function connectedTokens(configText: string | null): Map<string, string> {
  if (configText === null) return new Map();
  const config = parseConfig(configText);
  const tokens = modelTokens(config);
  const servers = asObject(asObject(asObject(config).mcp).servers);
  for (const [entry, server] of Object.entries(servers)) {
    const token = /^Bearer (mca_\S+)$/.exec(text(asObject(asObject(server).headers).Authorization) ?? '')?.[1];
    if (token !== undefined) tokens.set(entry, token);
  }
  return tokens;
}

/** OpenClaw's agents and workspaces; the rules are those of `resolveAgentWorkspaceDir` in 2026.9.6. */
function findAgents(config: Json5Value, options: ConnectOptions, warnings: string[]): FoundAgent[] {
  const agents = asObject(asObject(config).agents);
  const entries = rosterOf(agents);
  const inherited = text(asObject(agents.defaults).workspace);
  // The agent that owns what was there before there were several: it has the plain workspace, the others a folder of their own.
  const marked = agents.ownership === 'explicit' ? [] : entries.filter((entry) => entry.settings.default === true);
  const owner = marked.length === 1 ? marked[0]?.id : entries.length === 1 ? entries[0]?.id : undefined;
  if (entries.length > 1 && owner === undefined && entries.some((entry) => text(entry.settings.workspace) === undefined)) {
    warnings.push('Several agents share the default workspace setting; compare the workspaces below with `openclaw agents list`.');
  }
  return entries.map(({ id, settings }) => {
    const own = text(settings.workspace);
    const plain = inherited ?? options.defaultWorkspace ?? path.join(options.stateDir, 'workspace');
    const shared = inherited === undefined ? path.join(options.stateDir, `workspace-${id}`) : path.join(inherited, id);
    return { id, workspace: absolute(own ?? (id === owner ? plain : shared), options.home) };
  });
}

function rosterOf(agents: { [key: string]: Json5Value }): { id: string; settings: { [key: string]: Json5Value } }[] {
  const keyed = agents.entries === undefined ? agents.list : agents.entries;
  const found = Array.isArray(keyed)
    ? keyed.map((entry) => ({ id: text(asObject(entry).id) ?? 'main', settings: asObject(entry) }))
    : Object.entries(asObject(keyed)).map(([id, entry]) => ({ id, settings: asObject(entry) }));
  if (keyed === undefined) found.push({ id: 'main', settings: {} });
  const seen = new Set<string>();
  return found
    .map(({ id, settings }) => ({ id: id.trim().toLowerCase(), settings }))
    .filter(({ id }) => id !== '' && id !== '$include' && !seen.has(id) && seen.add(id));
}

function findGateway(config: Json5Value): { url: string; token: string | null } {
  const gateway = asObject(asObject(config).gateway);
  const port = typeof gateway.port === 'number' ? gateway.port : 18789;
  const auth = asObject(gateway.auth);
  const secret = auth.mode === 'password' ? text(auth.password) : text(auth.token);
  // `${NAME}` is filled in from OpenClaw's environment, which we do not have.
  return { url: `ws://127.0.0.1:${port}`, token: secret === undefined || secret.includes('${') ? null : secret };
}

function refuseIncludes(config: Json5Value, ...places: string[][]): void {
  for (const place of places) {
    const value = place.reduce<Json5Value | undefined>((inner, key) => asObject(inner)[key], config);
    if (isIncluded(value)) {
      const name = place.join('.');
      throw new ConfigProblem(
        `${name} is kept in an included file ($include). Run this on a file that holds ${name} itself, or see docs/openclaw.md for what to set by hand.`,
      );
    }
  }
}

function isIncluded(value: Json5Value | undefined): boolean {
  return isObject(value) && Object.hasOwn(value, '$include');
}

function parseConfig(source: string): Json5Value {
  try {
    return JSON5.parse<Json5Value>(source);
  } catch (error) {
    throw new ConfigProblem(`The configuration is not valid JSON5: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function parseOrNull(source: string): unknown {
  try {
    return JSON.parse(source);
  } catch {
    return null;
  }
}

function replaced(data: Json5Value | undefined, where: readonly string[], value: Json5Value): Json5Value {
  const [key, ...rest] = where;
  if (key === undefined) return value;
  const object = asObject(data);
  return { ...object, [key]: replaced(object[key], rest, value) };
}

/** People paste diffs; a context line may hold a key. */
function diffOf(before: string, after: string): string {
  if (before === after) return '';
  const patch = createTwoFilesPatch('openclaw.json', 'openclaw.json', before, after, 'before', 'after', { context: 2 });
  return patch
    .split('\n')
    .slice(1)
    .map((line) => line.replace(/((?:token|secret|password|api_?key|authorization)["']?\s*:\s*)(["']).*?\2/gi, '$1$2***$2'))
    .join('\n');
}

function absolute(given: string, home: string): string {
  return given === '~' || given.startsWith('~/') ? path.join(home, given.slice(1)) : path.resolve(home, given);
}

function isObject(value: unknown): value is { [key: string]: Json5Value } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function asObject(value: unknown): { [key: string]: Json5Value } {
  return isObject(value) ? value : {};
}

function text(value: Json5Value | undefined): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined;
}

async function readText(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** A rename onto a link would replace the link; the file it leads to is meant. */
async function realTarget(configFile: string): Promise<string> {
  return realpath(configFile).catch(() => configFile);
}

async function refuseIfChanged(target: string, expected: string | null): Promise<void> {
  if ((await readText(target)) !== expected)
    throw new ConfigProblem(`${target} has changed meanwhile; nothing was written to it. Run the command again.`);
}

async function modeOf(file: string): Promise<number> {
  return stat(file).then(
    ({ mode }) => mode & 0o777,
    () => 0o600,
  );
}

/** Never half a file: written beside, synced, renamed. */
async function replaceFile(file: string, content: string, mode: number): Promise<void> {
  const beside = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(beside, 'wx', mode);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await chmod(beside, mode);
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** The skill that tells agents how to take part. One of the same name that somebody wrote by hand stays. */
async function placeSkill(source: string, target: string): Promise<void> {
  const skill = await readText(source);
  if (skill === null || ((await readText(target)) !== null && !(await isOurSkill(target)))) return;
  await mkdir(path.dirname(target), { recursive: true });
  await replaceFile(target, skill, 0o644);
}

async function isOurSkill(file: string): Promise<boolean> {
  return (await readText(file))?.includes(SKILL_MARK) === true;
}

/** A whole plugin or none: OpenClaw boots ungated over a folder that it cannot load. */
async function placePlugin(source: string, target: string): Promise<void> {
  const beside = `${target}.${randomUUID()}.tmp`;
  const former = `${target}.${randomUUID()}.old`;
  await mkdir(beside, { recursive: true, mode: 0o755 });
  for (const entry of await readdir(source, { withFileTypes: true })) {
    if (entry.isFile()) await copyFile(path.join(source, entry.name), path.join(beside, entry.name));
  }
  const existed = await rename(target, former).then(
    () => true,
    () => false,
  );
  await rename(beside, target);
  if (existed) await rm(former, { recursive: true, force: true });
}
