/**
 * The part of a connection that leads models through Mission Control: one provider entry per agent and provider, with the agent's own
 * token in place of the provider's key, and the agent's model set to it. OpenClaw's requests to models carry static credentials only, so
 * who asks can be told in no other way. Prices are left to us: the entries carry none.
 */
import type { Json5Value } from './json5-text.ts';

/** A provider that is registered as an upstream of kind `model`. */
export interface ModelUpstream {
  name: string;
  url: string;
}

/** One provider entry: an agent's own way to one provider. */
export interface ModelEntry {
  /** The provider's id in OpenClaw's configuration. */
  entry: string;
  agentId: string;
  upstream: string;
}

/** A configuration under edit. */
interface Draft {
  at: (where: readonly string[]) => Json5Value | undefined;
  set: (where: string[], value: Json5Value) => void;
  list: (where: string[], item: string) => void;
}

interface Options {
  proxyUrl: string;
  upstreams: readonly ModelUpstream[];
  tokenOf: (agentId: string) => string;
}

type Settings = { [key: string]: Json5Value };

/** OpenClaw's own limit of one request to a model, connect to end; a model call is never held for a person. */
const TIMEOUT_SECONDS = 600;
/** Of an entry that is copied: what speaks for the person's own account, or starts a server of it. */
const NOT_COPIED: ReadonlySet<string> = new Set([
  'apiKey',
  'auth',
  'authHeader',
  'baseUrl',
  'localService',
  'models',
  'timeoutSeconds',
  'headers',
  'request',
]);
const CREDENTIAL_HEADER = /authorization|api-?key|token|secret|cookie/i;

/**
 * Sets the entries of all agents whose models a registered provider offers.
 * @param agentIds OpenClaw's ids. @returns the entries that were set.
 */
export function connectModels(draft: Draft, agentIds: readonly string[], options: Options, warnings: string[]): ModelEntry[] {
  if (options.upstreams.length === 0) return [];
  const providers = objectOf(draft.at(['models', 'providers']));
  const used = new Set(Object.keys(providers));
  const entries: ModelEntry[] = [];
  const direct = new Set<string>();
  for (const agentId of agentIds) {
    const key = keyOf(draft, agentId);
    if (key === null) {
      warnings.push(
        `The agent ${agentId} does not stand in agents.entries: give it a provider entry with its token by hand (docs/openclaw.md).`,
      );
      continue;
    }
    const own = ['agents', 'entries', key];
    const model = draft.at([...own, 'model']) ?? draft.at(['agents', 'defaults', 'model']);
    const names = new Map<string, string>();
    for (const { provider, id } of refsIn(model)) {
      const upstream = upstreamOf(provider, providers[provider], options.upstreams);
      if (upstream === null) {
        direct.add(provider);
        continue;
      }
      if (!names.has(provider)) {
        const entry = freeName(`${upstream.name}-${agentId.replaceAll(/[^a-z0-9-]+/g, '-')}`, used);
        names.set(provider, entry);
        entries.push({ entry, agentId, upstream: upstream.name });
      }
      const entry = names.get(provider) ?? '';
      const known = draft.at(['models', 'providers', entry]);
      draft.set(
        ['models', 'providers', entry],
        providerEntry(objectOf(providers[provider]), objectOf(known), upstream, id, options, agentId),
      );
      keepSettings(draft, own, `${provider}/${id}`, `${entry}/${id}`);
    }
    if (names.size === 0) continue;
    draft.set([...own, 'model'], renamed(model, names));
    for (const entry of names.values()) allow(draft, own, `${entry}/*`);
  }
  if (direct.size > 0)
    warnings.push(
      `Models that agents reach directly, past Mission Control: those of ${[...direct].join(', ')}. Register their providers as upstreams of kind model.`,
    );
  return entries;
}

/** Tokens that an earlier connection wrote, by the id of their provider entry. */
export function modelTokens(config: Json5Value): Map<string, string> {
  const tokens = new Map<string, string>();
  for (const [entry, provider] of Object.entries(objectOf(objectOf(objectOf(config).models).providers))) {
    const { apiKey } = objectOf(provider);
    if (typeof apiKey === 'string' && apiKey.startsWith('mca_')) tokens.set(entry, apiKey);
  }
  return tokens;
}

/** The person's own entry with our address and token; a provider that OpenClaw knows by itself gets what it cannot do without. */
function providerEntry(
  given: Settings,
  known: Settings,
  upstream: ModelUpstream,
  id: string,
  { proxyUrl, tokenOf }: Options,
  agentId: string,
): Settings {
  const isOwn = Object.keys(given).length > 0;
  const kept = Object.fromEntries(Object.entries(given).filter(([name]) => !NOT_COPIED.has(name)));
  const headers = Object.entries(objectOf(given.headers)).filter(([name]) => !CREDENTIAL_HEADER.test(name));
  const { auth: _auth, headers: _headers, ...request } = objectOf(given.request);
  const isAnthropic = /anthropic/.test(`${upstream.name} ${upstream.url}`);
  const base = typeof given.baseUrl === 'string' ? given.baseUrl : upstream.url;
  return {
    ...(isOwn ? kept : { api: isAnthropic ? 'anthropic-messages' : 'openai-completions' }),
    baseUrl: `${proxyUrl}/model/${upstream.name}${isOwn ? restOf(base, upstream.url) : versionFor(upstream.url, isAnthropic)}`,
    apiKey: tokenOf(agentId),
    ...(headers.length > 0 && { headers: Object.fromEntries(headers) }),
    ...(Object.keys(request).length > 0 && { request }),
    models: isOwn ? modelsOf(given) : addModel(known, id),
    timeoutSeconds: typeof given.timeoutSeconds === 'number' ? given.timeoutSeconds : TIMEOUT_SECONDS,
  };
}

/** The person's models without their prices: what a call costs is said by Mission Control. */
function modelsOf({ models }: Settings): Json5Value {
  if (!Array.isArray(models)) return [];
  return models.map((model) => Object.fromEntries(Object.entries(objectOf(model)).filter(([name]) => name !== 'cost')));
}

function addModel({ models }: Settings, id: string): Json5Value {
  const known = Array.isArray(models) ? models : [];
  return known.some((model) => objectOf(model).id === id) ? known : [...known, { id, name: id }];
}

/** What of the person's base URL lies below the registered address. */
function restOf(base: string, registered: string): string {
  const [own, theirs] = [pathOf(base), pathOf(registered)];
  return own.startsWith(theirs) ? own.slice(theirs.length) : '';
}

/** Clients of OpenAI's interfaces expect the version in their base URL, those of Anthropic's add it. */
function versionFor(registered: string, isAnthropic: boolean): string {
  return isAnthropic || /\/v\d+[a-z0-9]*$/.test(pathOf(registered)) ? '' : '/v1';
}

function pathOf(url: string): string {
  return URL.parse(url)?.pathname.replace(/\/+$/, '') ?? '';
}

/** By the address of the person's entry; a provider that OpenClaw knows by itself, by its name. */
function upstreamOf(provider: string, given: Json5Value | undefined, upstreams: readonly ModelUpstream[]): ModelUpstream | null {
  const { baseUrl } = objectOf(given);
  if (typeof baseUrl !== 'string') return upstreams.find(({ name }) => name === provider) ?? null;
  const origin = URL.parse(baseUrl)?.origin;
  const same = upstreams.filter(({ url }) => URL.parse(url)?.origin === origin && related(pathOf(baseUrl), pathOf(url)));
  // Of several at one host the one with the longest address that fits.
  return same.toSorted((a, b) => b.url.length - a.url.length)[0] ?? null;
}

function related(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);
}

function refsIn(model: Json5Value | undefined): { provider: string; id: string }[] {
  const { primary, fallbacks } = objectOf(model);
  const refs = typeof model === 'string' ? [model] : [primary, ...(Array.isArray(fallbacks) ? fallbacks : [])];
  return refs.flatMap((ref) => {
    const cut = typeof ref === 'string' ? ref.indexOf('/') : -1;
    return typeof ref !== 'string' || cut < 1 ? [] : [{ provider: ref.slice(0, cut), id: ref.slice(cut + 1) }];
  });
}

/** A model setting of the same shape with the providers renamed. */
function renamed(model: Json5Value | undefined, names: ReadonlyMap<string, string>): Json5Value {
  const rename = (ref: Json5Value): Json5Value => {
    const cut = typeof ref === 'string' ? ref.indexOf('/') : -1;
    const entry = typeof ref === 'string' ? names.get(ref.slice(0, cut)) : undefined;
    return typeof ref === 'string' && entry !== undefined ? `${entry}${ref.slice(cut)}` : ref;
  };
  if (typeof model === 'string') return rename(model);
  const { primary, fallbacks, ...rest } = objectOf(model);
  return {
    ...rest,
    ...(primary !== undefined && { primary: rename(primary) }),
    ...(Array.isArray(fallbacks) && { fallbacks: fallbacks.map(rename) }),
  };
}

/** Settings of a model (parameters, Code Mode) go by its name; under its new one it keeps them. An alias stays with the old one. */
function keepSettings(draft: Draft, own: string[], before: string, after: string): void {
  const { alias: _, ...settings } = {
    ...objectOf(draft.at(['agents', 'defaults', 'models', before])),
    ...objectOf(draft.at([...own, 'models', before])),
  };
  if (Object.keys(settings).length > 0) draft.set([...own, 'models', after], settings);
}

/** Where only some models may be chosen, ours are among them. */
function allow(draft: Draft, own: string[], pattern: string): void {
  const lists = [
    [...own, 'modelPolicy', 'allow'],
    ['agents', 'defaults', 'modelPolicy', 'allow'],
  ];
  const binding = lists.find((where) => Array.isArray(draft.at(where)));
  const list = binding === undefined ? [] : draft.at(binding);
  if (binding !== undefined && Array.isArray(list) && list.length > 0) draft.list(binding, pattern);
}

function keyOf(draft: Draft, agentId: string): string | null {
  return Object.keys(objectOf(draft.at(['agents', 'entries']))).find((name) => name.trim().toLowerCase() === agentId) ?? null;
}

function freeName(plain: string, used: Set<string>): string {
  let name = plain;
  for (let i = 2; used.has(name); i++) name = `${plain}-${i}`;
  used.add(name);
  return name;
}

function objectOf(value: Json5Value | undefined): Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}
