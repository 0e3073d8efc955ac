/**
 * Credentials: finds them in text and in JSON and puts `[REDACTED:kind]` in their place (SPEC 10, POLICY_READING
 * "Redaction"). Guarantees: linear time without a size limit; only the credential itself is replaced; text without one
 * comes back as the same value, byte for byte. Everything that is stored, logged, shown or sent to chat passes here.
 * A text with more credentials than anybody looks through is replaced as a whole: it costs time to take each of them out, and a call waits.
 */

import type { Json, JsonObject } from './model.ts';

/** One credential that was found: what it is, and where in the value (`headers.Authorization`, `items[2]`, empty for text). */
export interface SecretFinding {
  kind: string;
  path: string;
}

/**
 * Redacts one text. `known` are credentials that must never appear, whatever they look like (upstream secrets); they are
 * found as they are, percent-encoded, and in base64. JSON inside the text is read as JSON.
 */
export function redactText(text: string, known: readonly string[] = []): { text: string; found: SecretFinding[] } {
  const found: SecretFinding[] = [];
  const result = redactString(text, { known: prepareKnown(known), found, budget: newBudget(), isNested: false }, '', 0);
  return { text: result, found };
}

/** A redacted value, and what was found in it. */
export interface Redacted {
  readonly value: Json;
  readonly found: readonly SecretFinding[];
}

/** Redacts a JSON value: strings as text, values by the names of their keys, keys themselves. Unchanged parts are shared. */
export function redact(value: Json, known: readonly string[] = []): Redacted {
  const found: SecretFinding[] = [];
  const result = redactValue(value, { known: prepareKnown(known), found, budget: newBudget(), isNested: false }, '', 0);
  return { value: result, found };
}

/**
 * The arguments of a call as `redact` says. A call is judged by them and then recorded with them; they are looked through once, and never
 * changed. Only the last ones are remembered: a weak map of all costs the collector more than it saves.
 */
export function redactArguments(args: JsonObject): Redacted {
  if (args !== last?.args) last = { args, redacted: redact(args) };
  return last.redacted;
}

let last: { args: JsonObject; redacted: Redacted } | null = null;

interface Run {
  readonly known: readonly string[];
  readonly found: SecretFinding[];
  readonly budget: Budget;
  /** Whether the value is JSON that stands in a text, which can be replaced as a whole. */
  readonly isNested: boolean;
}

/** What is done one by one in a value as a whole. */
interface Budget {
  /** How many more credentials are taken out. */
  left: number;
  /** How many more texts of the JSON in texts are looked at; of texts that are alike only the first counts. */
  looks: number;
  /** Short texts in which nothing was found. */
  readonly clean: Set<string>;
}

const newBudget = (): Budget => ({ left: FOUND_MAX, looks: LOOKS_MAX, clean: new Set() });

const LOOKS_MAX = 10_000;
const SHORT_CHARS = 64;

/** Credentials of one value that are taken out one by one. Each takes about 1.5 µs, and a call waits for them. */
const FOUND_MAX = 2_000;

/** Thrown where a text has too many credentials, and caught where the text as a whole is replaced. */
const CROWDED = new Error('too many credentials');

/** What the detectors find in a text, as many as the budget of its value allows. */
class Spans {
  readonly all: Span[] = [];
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** @throws CROWDED */
  push(span: Span): void {
    if (--this.#budget.left < 0) throw CROWDED;
    this.all.push(span);
  }
}

/** Deeper structure than this is replaced as a whole: nothing sensible is that deep, and the stack is finite. */
const MAX_DEPTH = 400;

/** A known credential shorter than this would blank out ordinary text. */
const MIN_KNOWN_LENGTH = 6;

function prepareKnown(known: readonly string[]): readonly string[] {
  if (known.length === 0) return known;
  const forms = known
    .filter((secret) => secret.length >= MIN_KNOWN_LENGTH)
    .flatMap((secret) => [
      secret,
      encodeURIComponent(secret.toWellFormed()),
      JSON.stringify(secret).slice(1, -1),
      toBase64(secret).replace(/=+$/, ''),
    ]);
  // Longer first: a form that contains another one must be replaced as a whole.
  return [...new Set(forms)].sort((a, b) => b.length - a.length);
}

function toBase64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text.slice(0, 8192))));
}

// ---- JSON -----------------------------------------------------------------------------------------------------------------

function redactValue(value: Json, run: Run, path: string, depth: number): Json {
  if (typeof value === 'string') return redactString(value, run, path, depth);
  if (value === null || typeof value !== 'object') return value;
  if (depth > MAX_DEPTH) return replaced('too-deep', run, path);
  return Array.isArray(value) ? redactArray(value, run, path, depth) : redactObject(value, run, path, depth);
}

function redactArray(items: Json[], run: Run, path: string, depth: number): Json {
  let copy: Json[] | null = null;
  for (let i = 0; i < items.length; i++) {
    const item = items[i] ?? null;
    const result = redactItem(items, i, item, run, `${path}[${i}]`, depth);
    if (result === item) continue;
    copy ??= items.slice();
    copy[i] = result;
  }
  return copy ?? items;
}

/** A list may be an argument vector (`["--password", "x"]`) or a header (`["Authorization", "Bearer x"]`). */
function redactItem(items: Json[], i: number, item: Json, run: Run, path: string, depth: number): Json {
  const previous = i > 0 ? items[i - 1] : null;
  if (typeof item === 'string' && typeof previous === 'string' && previous.length <= 64) {
    const isFlag = previous.startsWith('-') && !previous.includes('=') && !item.startsWith('-');
    const isHeader = items.length === 2 && /^[A-Za-z][\w-]*$/.test(previous);
    const kind = isFlag || isHeader ? kindOfName(previous.replace(/^-+/, '')) : null;
    if (kind !== null && isSecretValue(item, kind)) return redactNamed(item, kind, run, path);
  }
  return redactValue(item, run, path, depth + 1);
}

function redactObject(object: JsonObject, run: Run, path: string, depth: number, held: string | null = null): Json {
  const keys = Object.keys(object);
  const paired = held ?? pairedKind(object);
  let copy: JsonObject | null = null;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] ?? '';
    const value = object[key] ?? null;
    const here = path === '' ? key : `${path}.${key}`;
    const kind = kindOfName(key) ?? (paired !== null && PAIR_VALUES.has(key.toLowerCase()) ? paired : null);
    const result = kind === null ? redactValue(value, run, here, depth + 1) : redactUnderName(value, kind, run, here, depth + 1);
    const name = redactString(key, run, here, depth);
    if (copy === null && (result !== value || name !== key)) {
      copy = {};
      for (const earlier of keys.slice(0, i)) define(copy, earlier, object[earlier] ?? null);
    }
    if (copy !== null) define(copy, name, result);
  }
  return copy ?? object;
}

/** `__proto__` is a key like any other in JSON. */
function define(object: JsonObject, key: string, value: Json): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

const PAIR_NAMES = ['name', 'key', 'header', 'field', 'Name', 'Key', 'variable', 'selector', 'label'];
const PAIR_VALUES = new Set(['value', 'val', 'text', 'content']);

/** `{name: "API_KEY", value: "…"}`: the kind of the name, where an object is such a pair. */
function pairedKind(object: JsonObject): string | null {
  for (const name of PAIR_NAMES) {
    const value = Object.hasOwn(object, name) ? object[name] : undefined;
    if (typeof value === 'string' && value.length <= 128) {
      const kind = kindOfName(value.replace(/^[#.[]+|[\]"']+$/g, ''));
      if (kind !== null) return kind;
    }
  }
  return null;
}

function redactUnderName(value: Json, kind: string, run: Run, path: string, depth: number): Json {
  if (typeof value === 'string' && isLabel(value, path.slice(path.lastIndexOf('.') + 1))) return value;
  if (typeof value === 'string')
    return isSecretValue(value, kind) ? redactNamed(value, kind, run, path) : redactString(value, run, path, depth);
  if (typeof value === 'number' && NUMERIC_KINDS.has(kind)) return replaced(kind, run, path);
  if (value === null || typeof value !== 'object' || depth > MAX_DEPTH) return redactValue(value, run, path, depth);
  if (!Array.isArray(value)) return isHolder(kind) ? redactHolder(value, kind, run, path, depth) : redactValue(value, run, path, depth);
  let copy: Json[] | null = null;
  for (let i = 0; i < value.length; i++) {
    const item = value[i] ?? null;
    const here = `${path}[${i}]`;
    let result: Json;
    if (typeof item === 'string')
      result = isSecretValue(item, kind) ? redactNamed(item, kind, run, here) : redactString(item, run, here, depth);
    else if (item !== null && typeof item === 'object' && !Array.isArray(item))
      result = redactObject(item, run, here, depth + 1, kind === 'cookie' ? kind : null);
    else result = redactValue(item, run, here, depth + 1);
    if (result === item) continue;
    copy ??= value.slice();
    copy[i] = result;
  }
  return copy ?? value;
}

/** `secrets: {A: "…", B: "…"}`: an object of credentials under names of their own. */
function isHolder(kind: string): boolean {
  return kind === 'secret' || kind === 'credential' || kind === 'token' || kind === 'api-key' || kind === 'password' || kind === 'cookie';
}

/** What stands beside a credential and is none. */
const COMPANIONS =
  /^(?:user(?:_?name)?|login|e?mail|host(?:name)?|port|type|kind|name|id|\w*_id|url|uri|endpoint|region|project|path|file|key|provider|scope|scopes|description|\w*_at|expires\w*|version|algorithm|format)$/i;

function redactHolder(object: JsonObject, kind: string, run: Run, path: string, depth: number): Json {
  const inner = redactObject(object, run, path, depth);
  if (inner === null || typeof inner !== 'object' || Array.isArray(inner)) return inner;
  let copy: JsonObject | null = null;
  for (const key of Object.keys(inner)) {
    const value = inner[key];
    if (typeof value !== 'string' || COMPANIONS.test(key) || !/[\d\W]/.test(value) || value.length < 6 || !isSecretValue(value, kind))
      continue;
    if (value.includes('[REDACTED:') || /\s/.test(value)) continue;
    copy ??= { ...inner };
    define(copy, key, replaced(kind, run, `${path}.${key}`));
  }
  return copy ?? inner;
}

/** A value whose name says what it is. The scheme of an authorization header stays readable. */
function redactNamed(value: string, kind: string, run: Run, path: string): string {
  if (--run.budget.left < 0 && run.isNested) throw CROWDED;
  const scheme = kind === 'authorization' ? /^(?:Bearer|Basic|Token|Digest|ApiKey|Negotiate|AWS4-HMAC-SHA256)\s+/i.exec(value) : null;
  return `${scheme?.[0] ?? ''}${replaced(kind, run, path)}`;
}

function replaced(kind: string, run: Run, path: string): string {
  run.found.push({ kind, path });
  return `[REDACTED:${kind}]`;
}

// ---- names ------------------------------------------------------------------------------------------------------------------

const NUMERIC_KINDS = new Set(['password', 'otp']);

const NAME_CACHE = new Map<string, string | null>();
const NAME_CACHE_SIZE = 2000;

/**
 * What a key, header, flag or variable of this name holds, or null for nothing secret. The answer depends on the name alone;
 * answers for short names are remembered.
 */
function kindOfName(name: string): string | null {
  if (name.length < 2 || name.length > 96) return null;
  const cached = NAME_CACHE.get(name);
  if (cached !== undefined) return cached;
  const kind = NAME_HINT.test(name) && !name.includes('[REDACTED:') ? classifyName(name) : null;
  if (NAME_CACHE.size >= NAME_CACHE_SIZE) NAME_CACHE.clear();
  NAME_CACHE.set(name, kind);
  return kind;
}

/** Every name that can mean a credential contains one of these. */
const NAME_HINT = /pass|pwd?|secret|token|key|auth|cred|cookie|sess|sid|jwt|bearer|otp|pin|cvv|cvc|pat|conn|dsn|mfa|seed|mnemonic/i;

/** Words at the end of a name that do not change what it holds. */
const TRAILING = new Set(
  'confirmation confirm again repeat value plain raw text old new current prod production dev staging test live b64 base64 primary secondary backup override hex'.split(
    ' ',
  ),
);

const NOT_TOKENS = new Set(
  'next page continuation sync cancel cancellation pad eos bos unk sep cls mask special stop start end max min per num input output prompt completion total count design first last previous prev cursor syntax css color resume pagination abort await'.split(
    ' ',
  ),
);

/** What stands before `key` in names that hold a credential. */
const KEY_OWNERS = new Set(
  'api access secret private encryption encrypt signing sign master account storage shared auth service ssh deploy admin consumer subscription app application client license webhook root user server jwt hmac aes crypto cookie openai anthropic stripe github gitlab slack google aws azure gcp sendgrid mailgun twilio datadog algolia mapbox openrouter groq mistral cohere gemini xai hf huggingface supabase role bot team org live test integration ingest write admin function functions host relic nr dd pem rsa ecdsa wallet recovery unseal vault sas'.split(
    ' ',
  ),
);

function classifyName(name: string): string | null {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  while (words.length > 1 && (TRAILING.has(words.at(-1) ?? '') || /^\d+$/.test(words.at(-1) ?? ''))) words.pop();
  const last = (words.at(-1) ?? '').replace(/\d+$/, '');
  const before = words.at(-2) ?? '';
  if (
    /^(?:user|db|my|root|admin|pg|mysql|redis|smtp|ftp|mail|sudo|new|old|proxy|wifi|basic|ssh)?(?:password|passwd|passphrase|passwort|pwd|passcode)s?$/.test(
      last,
    )
  )
    return 'password';
  if (last === 'pw') return 'password';
  if (last === 'pass') return words.length > 1 || name === 'PASS' ? 'password' : null;
  if (/^(?:client|app|api|shared|signing|webhook|jwt|session|cookie|consumer)?secrets?$/.test(last)) return 'secret';
  if (/^(?:access|auth|api|refresh|id|bearer|session|csrf|xsrf|bot|user|private|personal|oauth|security|device|service)?token$/.test(last))
    return NOT_TOKENS.has(before) ? null : 'token';
  if (last === 'tokens') return /^(?:access|auth|api|refresh|bot)$/.test(before) ? 'token' : null;
  if (/^(?:api|access|secret|private|account|auth|shared|signing|encryption|master|service|subscription|license)keys?$/.test(last))
    return 'api-key';
  if (last === 'key' || last === 'keys') return KEY_OWNERS.has(before) ? (before === 'private' ? 'private-key' : 'api-key') : null;
  if (last === 'credential' || last === 'credentials' || last === 'creds') return 'credential';
  if (last === 'authorization') return 'authorization';
  if (last === 'auth')
    return before === ''
      ? name === 'auth' || name === '_auth' || name === 'AUTH'
        ? 'credential'
        : null
      : /^(?:npm|basic|proxy|http|x)$/.test(before)
        ? 'credential'
        : null;
  if (last === 'cookie' || last === 'cookies') return 'cookie';
  if (
    /^(?:phpsessid|jsessionid|sessionid|sessid|sessionkey)$/.test(last) ||
    (last === 'id' && before === 'session' && words.length === 2 && name.includes('_') && name === name.toUpperCase())
  )
    return 'cookie';
  if (last === 'sid' && before === 'connect') return 'cookie';
  if (last === 'jwt' || last === 'bearer') return 'token';
  if (
    last === 'otp' ||
    last === 'totp' ||
    last === 'cvv' ||
    last === 'cvc' ||
    (last === 'code' && /^(?:otp|totp|mfa|2fa|verification|pass)$/.test(before))
  )
    return 'otp';
  if (last === 'pin' && /^(?:user|card|account|security)$/.test(before)) return 'otp';
  if (last === 'pat' && words.length > 1) return 'token';
  if (/^(?:string|str)$/.test(last) && /^(?:connection|conn)$/.test(before)) return 'connection-string';
  if (last === 'connectionstring') return 'connection-string';
  if (last === 'phrase' && /^(?:seed|recovery|secret|pass)$/.test(before)) return 'secret';
  if (last === 'mnemonic') return 'secret';
  return null;
}

// ---- values -------------------------------------------------------------------------------------------------------------------

/** Longer values are never placeholders or references to code. */
const MAX_PLACEHOLDER = 256;

/** Whether a value that stands under a secret name is a credential rather than a placeholder, a reference or a label. */
function isSecretValue(value: string, kind: string): boolean {
  const text = value.length > MAX_PLACEHOLDER ? value : value.trim();
  if (text.length < 2) return false;
  if (text.length > MAX_PLACEHOLDER) {
    const sample = text.slice(0, MAX_PLACEHOLDER);
    return (
      !/\s/.test(sample) ||
      kind === 'private-key' ||
      kind === 'cookie' ||
      kind === 'authorization' ||
      (kind !== 'token' && !isProse(sample))
    );
  }
  if (isPlaceholder(text)) return false;
  if (kind === 'credential' && /^[A-Za-z0-9+/]{8,}={0,2}$/.test(text) && /[a-z]/.test(text) && /[A-Z]/.test(text)) return true;
  if (kind === 'connection-string') return /(?:password|pwd|accountkey|sharedaccesskey|:[^/\s]*@)/i.test(text);
  if (kind === 'cookie') return text.length >= 8 && !/\s\w+\s/.test(text) && (text.includes('=') || isTokenLike(text) || text.length >= 16);
  if (kind === 'otp') return /^\d{3,10}$/.test(text.replace(/[ -]/g, ''));
  if (kind === 'authorization') return /^\S+\s+\S{4,}/.test(text) ? isCredentialText(text.replace(/^\S+\s+/, '')) : text.length >= 8;
  const spaces = text.split(/\s+/).length - 1;
  if (spaces === 0) {
    if (kind === 'password' || kind === 'secret') return true;
    if (/^https?:\/\//i.test(text) || /\$\{?[A-Z][A-Z0-9_]{2,}/.test(text)) return false;
    return (
      isTokenLike(text) ||
      text.length >= 16 ||
      (text.length >= 6 && /\d/.test(text) && /[A-Za-z]/.test(text) && !/^[a-z]+\d$/i.test(text)) ||
      (text.length >= 10 && /[-_.+/=]/.test(text))
    );
  }
  if (kind === 'password' || kind === 'secret') return !isProse(text);
  return false;
}

/** A value that only says its name again (`{"authToken": "auth-token"}`) is a label. */
function isLabel(value: string, name: string): boolean {
  return value.length <= 96 && plainLetters(value) === plainLetters(name);
}

function plainLetters(text: string): string {
  return text.replace(/[^A-Za-z0-9]/g, '').toLowerCase();
}

function isCredentialText(text: string): boolean {
  return !isPlaceholder(text.trim());
}

/** A phrase about a credential rather than one: it says what to do, or has two of the small words of a sentence. */
function isProse(text: string): boolean {
  if (/\b(?:enter|must|required|invalid|incorrect|forgot(?:ten)?|reset|confirm|missing|optional|please)\b/i.test(text)) return true;
  return (
    (text.match(/\b(?:the|your|you|is|are|be|to|for|of|in|a|an|and|or|with|at|least|characters?|not|used?|this|that|it)\b/gi)?.length ??
      0) >= 2
  );
}

const PLACEHOLDER_WORDS = new Set(
  'password passwd passwort pass pwd secret token key apikey api_key api-key changeme change_me change-me changeit todo tbd none null nil undefined true false yes no empty unset string str number boolean bool int integer text bytes any unknown void object optional required redacted removed hidden masked placeholder example sample dummy default value env n/a na varchar textfield passwordfield charfield nullable unauthorized bearer basic auto inherit same-origin include omit disabled enabled on off credentials authorization prompt red green yellow allow hold deny read write fail pass'.split(
    ' ',
  ),
);

/** Placeholders, masks, templates and references to where the value comes from. */
function isPlaceholder(text: string): boolean {
  const lower = text.toLowerCase();
  if (PLACEHOLDER_WORDS.has(lower)) return true;
  if (/^[<[{(].*[>\]})]$/s.test(text) || /^["'].*["']$/s.test(text)) return true;
  if (/^\$|^%\w+%$|^@\w*\{|^#\{|\{\{|\$\{|\$\(|<%|^!(?:ref|sub|getatt|secret|env_var)\b|^\*[\w-]+$/i.test(text)) return true;
  if (/^(.)\1*$/s.test(text.replace(/[\s-]/g, ''))) return true;
  if (/^[*x•.#_\s-]+$/i.test(text) || /\*{3,}|x{4,}|\.{3}|•{2,}|…/i.test(text)) return true;
  if (
    /(?:^|[^a-z])(?:your|my|some|insert|replace|enter|put|add|paste|fill|changeme|placeholder|redacted|dummy|fake|goes|here)(?:[^a-z]|$)/i.test(
      text,
    ) &&
    /^[A-Za-z0-9_<>.\s-]+$/.test(text) &&
    !isTokenLike(text.replace(/^[a-z]{1,8}[-_]/, ''))
  )
    return true;
  if (
    /^(?:process\.env|import\.meta|os\.environ|os\.getenv|env\.|ENV\[|secrets?\.|vars?\.|config\.|settings\.|self\.|this\.|req\.|request\.|ctx\.|props\.|params\.|data\.|args\.|options?\.)/i.test(
      text,
    ) &&
    !isTokenLike(text.slice(text.lastIndexOf('.') + 1))
  )
    return true;
  if (
    isPath(text) ||
    /^(?:~|\.{1,2})?(?:\/[\w.-]+)+\.[a-z]{1,6}$/i.test(text) ||
    /^(?:~|\.{1,2}|\/(?:run|etc|var|home|usr|opt|tmp|mnt|srv|workspace|app))\//.test(text)
  )
    return true;
  return /^(?:env|file|vault|ssm|op|awssm|gcpsm|keyring|keychain|arn|ref|secretref|sops):/i.test(text) && !/@/.test(text);
}

/** An absolute path of plain names; a key in base64 may start with a slash too, but has no such names. */
function isPath(text: string): boolean {
  return /^(?:\/[\w.@-]+)+\/?$/.test(text) && !text.split('/').some((name) => name.length >= 12 && isTokenLike(name));
}

/** Text as machines make it: letters and digits mixed, or long, without the shape of a word, a path or a number. */
function isTokenLike(text: string): boolean {
  if (text.length < 8 || /[\s(){}<>]/.test(text)) return false;
  const digits = /\d/.test(text);
  const letters = /[A-Za-z]/.test(text);
  if (digits && letters) return true;
  return text.length >= 20 && /[a-z]/.test(text) && /[A-Z]/.test(text) && !isCamelCase(text);
}

/** Words put together as code does: every capital starts a word of three letters or more. */
function isCamelCase(text: string): boolean {
  return /^[A-Za-z]+$/.test(text) && /[a-z][A-Z]/.test(text) && text.split(/(?=[A-Z])/).every((word) => word.length >= 3);
}

// ---- text ---------------------------------------------------------------------------------------------------------------------

/** Below this length no text holds a credential that could be told from a word. */
const MIN_TEXT = 6;

interface Span {
  start: number;
  end: number;
  kind: string;
}

/** Something in the text must make a detector look; ordinary text is done after these tests. */
const TEXT_HINT =
  /pass|pwd|secret|token|key|auth|cred|cookie|bearer|basic|:\/\/|sess|jwt|otp|cvv|cvc|code=|sig=|signature|-----begin|hooks\.|curl|connection|_pat|-pat|putty|mnemonic|mysql|mariadb|mongo|redis-cli|ldap|login|zip |7z|\bpw\b/;
const COLON_FIELDS = /:(?:\d{4,5}|\*):/;
/** As many characters in a row, of those that tokens are made of, make a text long enough for one. */
const LONG_RUN = 18;
const IS_TOKEN_CHARACTER = Uint8Array.from({ length: 128 }, (_, code) => (/[\w+/=.~-]/.test(String.fromCharCode(code)) ? 1 : 0));

const MAX_NESTED_JSON = 8;

function redactString(text: string, run: Run, path: string, depth: number): string {
  if (text.length < MIN_TEXT) return text;
  let result = text;
  for (const secret of run.known) {
    if (!result.includes(secret)) continue;
    result = result.replaceAll(secret, '[REDACTED:known]');
    run.found.push({ kind: 'known', path });
  }
  const hinted = TEXT_HINT.test(result.toLowerCase());
  const long = hasLongRun(result);
  if (!hinted && !long && !COLON_FIELDS.test(result)) return result;
  const isShort = run.isNested && result.length <= SHORT_CHARS;
  if (isShort && run.budget.clean.has(result)) return result;
  if (run.isNested && --run.budget.looks < 0) throw CROWDED;
  try {
    const nested = hinted || long ? redactNestedJson(result, run, path, depth) : null;
    const redacted = nested ?? redactPlainText(result, hinted, long, run, path);
    if (isShort && redacted === result) run.budget.clean.add(result);
    return redacted;
  } catch (error) {
    if (error !== CROWDED || run.isNested) throw error;
    return replaced('too-many-credentials', run, path);
  }
}

/** Looks at every eighteenth character first: only a run that reaches one of them can be long enough (a pattern took 4.4 µs for 500 characters). */
function hasLongRun(text: string): boolean {
  const isToken = (at: number) => IS_TOKEN_CHARACTER[text.charCodeAt(at)] === 1;
  for (let at = LONG_RUN - 1; at < text.length; ) {
    if (!isToken(at)) {
      at += LONG_RUN;
      continue;
    }
    let start = at;
    while (start > 0 && at - start < LONG_RUN - 1 && isToken(start - 1)) start--;
    let end = at + 1;
    while (end < text.length && end - start < LONG_RUN && isToken(end)) end++;
    if (end - start === LONG_RUN) return true;
    at = end + LONG_RUN;
  }
  return false;
}

/** @throws CROWDED */
function redactPlainText(text: string, hinted: boolean, long: boolean, run: Run, path: string): string {
  const spans = new Spans(run.budget);
  if (long) {
    findVendorTokens(text, spans);
    findShapedTokens(text, spans);
  }
  if (hinted) {
    findPemBlocks(text, spans);
    findUrlSecrets(text, spans);
    findNamedValues(text, spans);
    findNamedPairs(text, spans);
    findSchemes(text, spans);
    findCommandFlags(text, spans);
  }
  findColonFields(text, spans);
  return spans.all.length === 0 ? text : replaceSpans(text, spans.all, run, path);
}

/** A text that is JSON as a whole is redacted as a value; it is written anew only where something was found. @throws CROWDED */
function redactNestedJson(text: string, run: Run, path: string, depth: number): string | null {
  const first = text.trimStart()[0];
  if ((first !== '{' && first !== '[') || depth > MAX_DEPTH - MAX_NESTED_JSON) return null;
  const last = text.trimEnd().at(-1);
  if (last !== '}' && last !== ']') return null;
  // Reading it takes time too, which is not there any more.
  if (run.budget.left < 0 || run.budget.looks < 0) throw CROWDED;
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const inner: Run = { known: run.known, found: [], budget: run.budget, isNested: true };
  const result = redactValue(value, inner, path, depth + Math.ceil(MAX_DEPTH / MAX_NESTED_JSON));
  if (result === value) return text;
  for (const finding of inner.found) run.found.push(finding);
  return /\n[ \t]+["[{]/.test(text.slice(0, 2000)) ? JSON.stringify(result, null, indentOf(text)) : JSON.stringify(result);
}

function indentOf(text: string): string {
  return /\n([ \t]{1,10})\S/.exec(text)?.[1] ?? '  ';
}

function replaceSpans(text: string, spans: Span[], run: Run, path: string): string {
  // The first detector to claim a start wins; a span that starts inside another one only makes it longer.
  // The sort is stable, so detectors keep their order.
  spans.sort((a, b) => a.start - b.start);
  let result = '';
  let at = 0;
  let claimed = -1;
  for (const { start, end, kind } of spans) {
    if (end <= at || start === claimed) continue;
    if (start < at) {
      at = end;
      continue;
    }
    result += text.slice(at, start) + replaced(kind, run, path);
    at = end;
    claimed = start;
  }
  return result + text.slice(at);
}

// ---- formats of vendors -----------------------------------------------------------------------------------------------------------

/** Characters of a body: letters and digits; those with `_`; those with `-` too; hex; base64; upper case and digits; with dots. */
const BODIES = {
  alnum: 'A-Za-z0-9',
  word: '\\w',
  dash: '\\w-',
  hex: '0-9a-f',
  base64: '\\w+/=-',
  upper: 'A-Z0-9',
  dots: '\\w.=-',
} as const;

interface VendorFormat {
  readonly kind: string;
  readonly prefix: string;
  /** As much of the body as must be there. */
  readonly body: RegExp;
  /** What belongs to it beyond that. */
  readonly rest: RegExp;
  /** What may stand before it: anything where the format is unmistakable, no letter or digit, or no part of a longer name. */
  readonly after: 'anything' | 'word' | 'name';
}

/** kind: prefixes; body characters; least length of the body; `!` where it has exactly that length. */
const VENDOR_TABLE = `
agent-token: mca_; dash; 16
gateway-token: mcg_; dash; 16
operator-token: mco_; dash; 16
github-token: ghp_ gho_ ghu_ ghs_ ghr_; alnum; 30
github-token: github_pat_; word; 22
gitlab-token: glpat- glptt- gldt- glrt- glcbt- glft- glsoat- glimt- glagent- glffct-; dots; 20
slack-token: xoxb- xoxp- xoxa- xoxr- xoxs- xoxo- xoxe- xoxe. xoxc- xoxd- xapp-; dots; 10
anthropic-key: sk-ant-; dash; 20
openai-key: sk-proj- sk-svcacct- sk-admin-; dash; 20
openrouter-key: sk-or-; dash; 20
langfuse-key: sk-lf-; dash; 20
api-key: sk-; dash; 20
stripe-key: sk_live_ sk_test_ rk_live_ rk_test_; alnum; 10
stripe-key: whsec_; base64; 16
aws-key: AKIA ASIA ABIA ACCA; upper; 16!
google-key: AIza; dash; 35
google-token: ya29.; dash; 20
google-token: 1//0; dash; 20
google-secret: GOCSPX-; dash; 20
sendgrid-key: SG.; dots; 32
mailgun-key: key-; hex; 32!
twilio-key: SK; hex; 32!
npm-token: npm_; alnum; 30
pypi-token: pypi-; dash; 32
rubygems-token: rubygems_; hex; 40
crates-token: cio; alnum; 32!
docker-token: dckr_pat_ dckr_oat_; dash; 20
huggingface-token: hf_ api_org_; alnum; 30
replicate-token: r8_; alnum; 30
groq-key: gsk_; alnum; 30
xai-key: xai-; alnum; 30
perplexity-key: pplx-; alnum; 30
fireworks-key: fw_; alnum; 20
nvidia-key: nvapi-; dash; 30
tavily-key: tvly-; dash; 20
pinecone-key: pcsk_; word; 30
langsmith-key: lsv2_; word; 30
databricks-token: dapi; hex; 32
digitalocean-token: dop_v1_ doo_v1_ dor_v1_; hex; 40
linear-key: lin_api_ lin_oauth_; alnum; 20
notion-token: ntn_; alnum; 30
notion-token: secret_; alnum; 40
figma-token: figd_; dash; 20
atlassian-token: ATATT3 ATCTT3; dots; 40
bitbucket-token: ATBB; alnum; 24
shopify-token: shpat_ shpss_ shpca_ shppa_; alnum; 32
square-token: sq0atp- sq0csp-; dash; 20
square-token: EAAA; dash; 56
facebook-token: EAAC EAAG EAAB; alnum; 60
facebook-token: EAACEdEose0cBA; alnum; 20
tailscale-key: tskey-auth- tskey-api- tskey-client- tskey-scim- tskey-webhook-; dash; 20
pulumi-token: pul-; hex; 40!
brevo-key: xkeysib- xsmtpsib-; dash; 60
easypost-key: EZAK EZTK; alnum; 54!
shippo-key: shippo_live_ shippo_test_; hex; 40
flutterwave-key: FLWSECK- FLWSECK_TEST-; dash; 32
plaid-token: access-sandbox- access-development- access-production-; dash; 36
duffel-token: duffel_live_ duffel_test_; dash; 30
sourcegraph-token: sgp_; word; 40
prefect-token: pnu_ pnb_; alnum; 36
readme-key: rdme_; alnum; 60
clojars-token: CLOJARS_; alnum; 50
openshift-token: sha256~; dash; 43!
apify-token: apify_api_; alnum; 30
elevenlabs-key: sk_; hex; 48!
cerebras-key: csk-; alnum; 40
firecrawl-key: fc-; hex; 32!
e2b-key: e2b_; hex; 40
neon-key: napi_; alnum; 60
posthog-key: phx_; alnum; 40
render-key: rnd_; alnum; 28
mapbox-token: sk.eyJ; dots; 50
octopus-key: API-; upper; 26!
yandex-key: AQVN; dash; 35
jfrog-token: AKCp; alnum; 69
jfrog-token: cmVmdGtuO; alnum; 50
cloudflare-key: v1.0-; dash; 150
planetscale-token: pscale_tkn_ pscale_pw_ pscale_oauth_; dots; 30
supabase-key: sbp_; hex; 40
supabase-key: sb_secret_; dash; 20
netlify-token: nfp_; alnum; 30
vercel-token: vcp_ vci_ vca_; alnum; 24
fly-token: fm2_; base64; 40
fly-token: fo1_; dash; 30
heroku-key: HRKU-; dash; 30
doppler-token: dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit.; dots; 30
vault-token: hvs. hvb. hvr.; dash; 20
terraform-token: atlasv1.; dash; 40
grafana-token: glsa_; word; 32
grafana-token: glc_; base64; 32
sentry-token: sntrys_; dots; 40
sentry-token: sntryu_; hex; 40
newrelic-key: NRAK-; upper; 20
postman-key: PMAK-; dash; 30
buildkite-token: bkua_; hex; 30
circleci-token: CCIPAT_; dash; 30
contentful-token: CFPAT-; dash; 40
dynatrace-token: dt0c01.; dots; 60
age-key: AGE-SECRET-KEY-1; upper; 40
onepassword-token: ops_eyJ; dash; 40
typeform-token: tfp_; dots; 30
adafruit-key: aio_; alnum; 28!
alibaba-key: LTAI; alnum; 16
tencent-key: AKID; alnum; 32!
private-key: b3BlbnNzaC1rZXktdjEA MIIEpAIBAAKCAQEA MIIEowIBAAKCAQEA MIIEvQIBADANBgkqhkiG9w0BAQEFAASC MIIEvgIBADANBgkqhkiG9w0BAQEFAASC; base64; 40
private-key: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVkt LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZ; base64; 4
private-key: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0t LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0; base64; 4
`;

const VENDOR_FORMATS: readonly VendorFormat[] = VENDOR_TABLE.trim().split('\n').flatMap(readFormats);

function readFormats(line: string): VendorFormat[] {
  const [head = '', characters = '', length = ''] = line.split('; ');
  const [kind = '', prefixes = ''] = head.split(': ');
  const set = BODIES[characters as keyof typeof BODIES];
  const least = Number.parseInt(length, 10);
  const exact = length.endsWith('!') ? '(?![A-Za-z0-9])' : '';
  return prefixes.split(' ').map((prefix) => ({
    kind,
    prefix,
    body: new RegExp(`[${set}]{${least}}${exact}`, 'y'),
    rest: new RegExp(`[${set}]*`, 'y'),
    after: prefix.length >= 4 && /[_-]$/.test(prefix) && least >= 16 && exact === '' ? 'anything' : prefix.length <= 4 ? 'name' : 'word',
  }));
}

/** The first two characters of a prefix → its formats, longest prefix first. */
const BY_START: ReadonlyMap<number, readonly VendorFormat[]> = groupFormats();

/** `ey`, how every JSON object starts in base64. */
const JWT_START = packPair(0x65, 0x79);

/** Whether any format starts with these two characters, both below 128. */
const IS_START: Uint8Array = markStarts();

function packPair(first: number, second: number): number {
  return (first << 7) | second;
}

function groupFormats(): Map<number, VendorFormat[]> {
  const groups = new Map<number, VendorFormat[]>();
  for (const format of [...VENDOR_FORMATS].sort((a, b) => b.prefix.length - a.prefix.length)) {
    const start = packPair(format.prefix.charCodeAt(0), format.prefix.charCodeAt(1));
    groups.set(start, [...(groups.get(start) ?? []), format]);
  }
  return groups;
}

function markStarts(): Uint8Array {
  const table = new Uint8Array(128 * 128);
  for (const start of BY_START.keys()) table[start] = 1;
  table[JWT_START] = 1;
  return table;
}

/** One pass over the text; only where two characters can begin a format is more looked at. */
function findVendorTokens(text: string, spans: Spans): void {
  let taken = 0;
  const last = text.length - 10;
  for (let at = 0; at < last; at++) {
    const first = text.charCodeAt(at);
    if (first >= 0x7b || at < taken) continue;
    const second = text.charCodeAt(at + 1);
    if (second >= 0x7b || IS_START[packPair(first, second)] !== 1) continue;
    const start = packPair(first, second);
    const end = start === JWT_START ? matchJwt(text, at, spans) : matchVendor(text, at, start, spans);
    if (end > 0) taken = end;
  }
}

function isAlphanumeric(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

/** Whether a new word starts at `at`; a letter of an escape (`\\n`, `%3D`) before it belongs to no word. */
function startsWord(text: string, at: number): boolean {
  if (at === 0 || !isAlphanumeric(text.charCodeAt(at - 1))) return true;
  return (
    (text[at - 2] === '\\' && /[nrt]/.test(text[at - 1] ?? '')) || (text[at - 3] === '%' && /^[0-9a-f]{2}$/i.test(text.slice(at - 2, at)))
  );
}

/** The end of the token that starts at `at`, or 0. What is looked at before a token is accepted has a fixed length. */
function matchVendor(text: string, at: number, start: number, spans: Spans): number {
  for (const { kind, prefix, body, rest, after } of BY_START.get(start) ?? []) {
    if (!text.startsWith(prefix, at)) continue;
    if (after !== 'anything' && (!startsWord(text, at) || (after === 'name' && /[_-]/.test(text[at - 1] ?? '')))) continue;
    const from = at + prefix.length;
    body.lastIndex = from;
    const match = body.exec(text);
    if (match === null) continue;
    if (kind === 'api-key' && !isKeyBody(text.slice(from, from + 64))) continue;
    if (isVendorPlaceholder(match[0])) continue;
    rest.lastIndex = from + match[0].length;
    const end = rest.lastIndex + (rest.exec(text)?.[0].length ?? 0);
    const dots = /[.=-]+$/.exec(text.slice(Math.max(from, end - 8), end))?.[0].length ?? 0;
    spans.push({ start: at, end: kind === 'private-key' || text[end - 1] === '=' ? end : end - dots, kind });
    return end;
  }
  return 0;
}

const JWT_PART = /[\w-]*/y;

/** Formats that are known by the shape of their parts rather than by how they begin; each is bounded, and looked for where its mark stands. */
const SHAPES: readonly (readonly [kind: string, mark: string, shape: RegExp])[] = [
  ['discord-token', '.', /(?<![\w.-])[MNO][\w-]{23,27}\.[\w-]{6,7}\.[\w-]{27,45}(?![\w.-])/g],
  ['azure-secret', 'Q~', /(?<![\w.~-])[\w.~-]{3}\dQ~[\w.~-]{31,34}(?![\w.~-])/g],
  ['mailchimp-key', '-us', /(?<![\w-])[0-9a-f]{32}-us\d{1,2}(?![\w-])/g],
  ['airtable-token', 'pat', /(?<![\w.-])pat[A-Za-z0-9]{14}\.[0-9a-f]{64}(?![\w.-])/g],
  ['resend-key', 're_', /(?<![\w-])re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}(?![\w-])/g],
];

function findShapedTokens(text: string, spans: Spans): void {
  for (const [kind, mark, shape] of SHAPES) {
    if (!text.includes(mark)) continue;
    shape.lastIndex = 0;
    for (let match = shape.exec(text); match !== null; match = shape.exec(text)) {
      const end = match.index + match[0].length;
      // All of them are made at random, so digits and letters are in each.
      if (/\d/.test(match[0].slice(3)) && /[A-Za-z]/.test(match[0].slice(3)) && !isVendorPlaceholder(match[0]))
        spans.push({ start: match.index, end, kind });
    }
  }
}

/** `eyJ….eyJ….…`; encrypted ones have five parts. It starts where a run of its characters starts, so each run is read once. */
function matchJwt(text: string, at: number, spans: Spans): number {
  if (!text.startsWith('eyJ', at) || !startsWord(text, at) || /[_-]/.test(text[at - 1] ?? '')) return 0;
  JWT_PART.lastIndex = at;
  if ((JWT_PART.exec(text)?.[0].length ?? 0) < 10) return 0;
  const lengths: number[] = [];
  let end = at;
  for (; lengths.length < 5; end++) {
    JWT_PART.lastIndex = end;
    const length = JWT_PART.exec(text)?.[0].length ?? 0;
    lengths.push(length);
    end += length;
    if (text[end] !== '.' || !/[\w.-]/.test(text[end + 1] ?? '')) break;
  }
  const [header = 0, payload = 0, signature = 0, , tag = 0] = lengths;
  const signed = header >= 10 && payload >= 8 && signature >= 8;
  const encrypted = header >= 20 && tag >= 8;
  if (!signed && !encrypted) return 0;
  spans.push({ start: at, end, kind: 'jwt' });
  return end;
}

function isVendorPlaceholder(body: string): boolean {
  if (/x{4,}|\.{3}|\*{3}|your|placeholder|example-|-example|changeme|redacted|-here$|_here$|dummy/i.test(body)) return true;
  return body.length > 4 && new Set(body).size <= 3;
}

/** `sk-` also begins ordinary hyphenated words; a key has one long piece of letters and digits. */
function isKeyBody(body: string): boolean {
  return /\d/.test(body) && body.split(/[^A-Za-z0-9]/).some((piece) => piece.length >= 16 && /\d/.test(piece) && /[A-Za-z]/.test(piece));
}

// ---- PEM --------------------------------------------------------------------------------------------------------------------------

const PEM_BEGIN = /-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d:/g;
const PEM_BODY = /(?:[A-Za-z0-9+/=\s:,.-]|\\[rn])*/y;

function findPemBlocks(text: string, spans: Spans): void {
  if (!text.includes('PRIVATE KEY') && !text.includes('PuTTY')) return;
  PEM_BEGIN.lastIndex = 0;
  for (let match = PEM_BEGIN.exec(text); match !== null; match = PEM_BEGIN.exec(text)) {
    const bodyStart = match.index + match[0].length;
    const end = match[0].startsWith('PuTTY') ? text.length : pemEnd(text, bodyStart);
    spans.push({ start: match.index, end, kind: 'private-key' });
    PEM_BEGIN.lastIndex = end;
  }
}

function pemEnd(text: string, from: number): number {
  const close = text.indexOf('-----END', from);
  if (close >= 0) {
    const dashes = text.indexOf('-----', close + 8);
    if (dashes >= 0 && dashes - close < 100) return dashes + 5;
  }
  // Cut off: everything that still looks like the body belongs to it.
  PEM_BODY.lastIndex = from;
  return from + (PEM_BODY.exec(text)?.[0].length ?? 0);
}

// ---- addresses ----------------------------------------------------------------------------------------------------------------------

const MAX_USERINFO = 2048;

function findUrlSecrets(text: string, spans: Spans): void {
  for (let at = text.indexOf('://'); at >= 0; at = text.indexOf('://', at + 3)) findUserInfo(text, at, spans);
  findQuerySecrets(text, spans);
  const hook =
    /hooks\.slack\.com\/(?:services|workflows|triggers)\/([\w/]{20,})|discord(?:app)?\.com\/api\/webhooks\/\d{5,25}\/([\w-]{20,})|api\.telegram\.org\/(?:file\/)?bot(\d{8,10}:[\w-]{30,})/g;
  if (!/hooks\.slack|webhooks|telegram/.test(text)) return;
  for (let match = hook.exec(text); match !== null; match = hook.exec(text)) {
    const secret = match[1] ?? match[2] ?? match[3] ?? '';
    const end = match.index + match[0].length;
    if (!isPlaceholder(secret)) spans.push({ start: end - secret.length, end, kind: 'webhook' });
  }
}

function findUserInfo(text: string, separator: number, spans: Spans): void {
  const start = separator + 3;
  let lastAt = -1;
  let hostEnd = -1;
  const limit = Math.min(text.length, start + MAX_USERINFO);
  for (let at = start; at < limit; at++) {
    const c = text.charCodeAt(at);
    // White space, quotes, angle brackets and backslashes end an address anywhere.
    if (c <= 0x20 || c === 0x22 || c === 0x27 || c === 0x3c || c === 0x3e || c === 0x60 || c === 0x5c) break;
    if (c === 0x40) {
      lastAt = at;
      if (hostEnd >= 0) break;
    } else if ((c === 0x2f || c === 0x3f || c === 0x23) && hostEnd < 0) {
      if (lastAt >= 0) break;
      hostEnd = at;
    } else if (c === 0x3a && hostEnd >= 0) break;
  }
  if (lastAt < 0) return;
  const info = text.slice(start, lastAt);
  if (info.includes('[REDACTED:')) return;
  const colon = info.indexOf(':');
  // An at sign behind the first slash belongs to the path, unless a password with a raw slash stands before it.
  if (hostEnd >= 0 && (colon < 0 || start + colon > hostEnd || /^[^:]*:\d{1,5}$/.test(text.slice(start, hostEnd)))) return;
  if (colon < 0) {
    if (isTokenLike(info) && info.length >= 16 && !isVendorPlaceholder(info)) spans.push({ start, end: lastAt, kind: 'url-credentials' });
    return;
  }
  const password = info.slice(colon + 1);
  if (password === '' || isTemplate(password)) {
    if (password === '' && isTokenLike(info.slice(0, colon))) spans.push({ start, end: start + colon, kind: 'url-credentials' });
    return;
  }
  const user = info.slice(0, colon);
  const userIsToken = user.length >= 20 && isTokenLike(user) && /^x-oauth-basic$/i.test(password);
  spans.push(
    userIsToken
      ? { start, end: start + colon, kind: 'url-credentials' }
      : { start: start + colon + 1, end: lastAt, kind: 'url-credentials' },
  );
}

function isTemplate(text: string): boolean {
  return /^[<[{(].*[>\]})]$|^\$|^%\w+%$|\{\{|^\*+$|^x{3,}$|^\.{3}$|^your[-_]|^REDACTED$/i.test(text);
}

const QUERY_PAIR = /[?&#]([A-Za-z][\w.-]{0,60})=([^&#\s"'<>\\`;]{1,})/g;
const QUERY_NAMES =
  /^(?:.*[_-])?(?:token|access_?token|refresh_?token|id_?token|api_?key|apikey|secret|client_?secret|password|passwd|pwd|sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature|auth|ticket|assertion|samlresponse|otp|hmac|jwt|session|sessionid|session_id|sid|credential|magic|invite_token)$/i;

function findQuerySecrets(text: string, spans: Spans): void {
  if (!text.includes('=')) return;
  QUERY_PAIR.lastIndex = 0;
  for (let match = QUERY_PAIR.exec(text); match !== null; match = QUERY_PAIR.exec(text)) {
    const [whole, name = '', value = ''] = match;
    const end = match.index + whole.length;
    const start = end - value.length;
    if (value.length < 4) continue;
    const isCode = /^(?:code|auth_code|authorization_code|key|oauth_verifier)$/i.test(name);
    if (!isCode && kindOfName(name) === null && !QUERY_NAMES.test(name)) continue;
    if (isCode && (value.length < 10 || !isTokenLike(value))) continue;
    if (value.length <= MAX_PLACEHOLDER && isPlaceholder(decodeOnce(value))) continue;
    spans.push({ start, end, kind: isCode ? 'oauth-code' : 'url-parameter' });
  }
}

function decodeOnce(text: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// ---- names in text ------------------------------------------------------------------------------------------------------------------

const NAME_WORD = /pass|pwd|\bpw\b|secret|token|key|auth|cred|cookie|sess|jwt|bearer|otp|cvv|cvc|_pat|-pat|connection|mnemonic|seed/gi;
const MAX_NAME = 96;

function isNameUnit(code: number): boolean {
  return (
    (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122) || code === 95 || code === 45 || code === 46
  );
}

/** Finds `name = value`, `name: value`, `"name": "value"`, `--name value`, `<name>value</name>` for names of credentials. */
function findNamedValues(text: string, spans: Spans): void {
  NAME_WORD.lastIndex = 0;
  let done = 0;
  for (let match = NAME_WORD.exec(text); match !== null; match = NAME_WORD.exec(text)) {
    if (match.index < done) continue;
    let start = match.index;
    while (start > 0 && match.index - start < MAX_NAME && isNameUnit(text.charCodeAt(start - 1))) start--;
    let end = match.index + match[0].length;
    while (end < text.length && end - match.index < MAX_NAME && isNameUnit(text.charCodeAt(end))) end++;
    // Whatever happens, the search goes on behind this name, so that no name is looked at twice.
    done = end;
    NAME_WORD.lastIndex = end;
    const span = readNamedValue(text, start, end);
    if (span === null) continue;
    spans.push(span);
    done = span.end;
    NAME_WORD.lastIndex = span.end;
  }
}

function readNamedValue(text: string, start: number, end: number): Span | null {
  const raw = text.slice(start, end);
  const name = raw.replace(/^[-.]+|[-.]+$/g, '');
  const kind = kindOfName(name) ?? kindOfPhrase(text, start, name);
  if (kind === null) return null;
  const isFlag = raw.startsWith('--') || (raw.startsWith('-') && /(?:^|[\s"'])$/.test(text.slice(Math.max(0, start - 1), start)));
  const separator = readSeparator(text, end, isFlag || isLongName(name), raw);
  // `PASS: 12 tests` is a result.
  if (name === 'PASS' && separator?.sign !== '=') return null;
  if (separator === null) return readElement(text, start, end, name, kind) ?? readSentence(text, end, kind);
  const context = { isFlag, atLineStart: isLineStart(text, start), name, quote: start > 0 ? (text[start - 1] ?? '') : '' };
  return readValue(text, separator, kind, context);
}

/** `API key`, `access key`: a name of two words, of which the second says nothing alone. */
function kindOfPhrase(text: string, start: number, name: string): string | null {
  if (!/^keys?$/i.test(name)) return null;
  return /(?:^|[^a-z])(?:api|access|secret|private|auth|account|encryption|signing|license|client) $/i.test(
    text.slice(Math.max(0, start - 12), start),
  )
    ? 'api-key'
    : null;
}

/** `aws configure set aws_secret_access_key x`: names that nothing but a setting has may have their value behind a space. */
function isLongName(name: string): boolean {
  return name.length >= 12 && name.includes('_') && /^[a-z_]+$/i.test(name);
}

const SENTENCE = /[ \t]{1,4}(?:is|was|will be|set to)[ \t]{0,2}:?[ \t]{1,4}["'`]?([^\s"'`]{5,200})/y;

const BARE_PASSWORD = /[ \t]{1,4}([^\s"'`]{6,200})(?=[ \t]*(?:$|[\r\n"'`]))/y;

/** "the password is hunter2", "password hunter2": only what has letters and digits, so that sentences stay as they are. */
function readSentence(text: string, end: number, kind: string): Span | null {
  BARE_PASSWORD.lastIndex = end;
  const bare = kind === 'password' ? BARE_PASSWORD.exec(text)?.[1] : undefined;
  if (bare !== undefined && /\d/.test(bare) && /[a-z]/i.test(bare) && isSecretValue(bare, kind)) {
    return { start: BARE_PASSWORD.lastIndex - bare.length, end: BARE_PASSWORD.lastIndex, kind };
  }
  SENTENCE.lastIndex = end;
  const match = SENTENCE.exec(text);
  const value = match?.[1]?.replace(/[.,;:!?)]+$/, '') ?? '';
  if (match === null || !/\d/.test(value) || !/[a-z]/i.test(value) || !isSecretValue(value, kind)) return null;
  const at = SENTENCE.lastIndex - (match[1]?.length ?? 0);
  return { start: at, end: at + value.length, kind };
}

const NAMED_PAIR = /\b(?:name|key):[ \t]{0,4}["']?([\w.-]{2,96})["']?[ \t]{0,4}\r?\n[ \t-]{1,80}value:[ \t]{0,4}["']?([^\s"']{3,2000})/g;

/** `- name: DB_PASSWORD` and, on the next line, `value: x`. */
function findNamedPairs(text: string, spans: Spans): void {
  if (!text.includes('value:')) return;
  NAMED_PAIR.lastIndex = 0;
  for (let match = NAMED_PAIR.exec(text); match !== null; match = NAMED_PAIR.exec(text)) {
    const [whole, name = '', value = ''] = match;
    const kind = kindOfName(name);
    if (kind === null || !isSecretValue(value, kind)) continue;
    const end = match.index + whole.length;
    spans.push({ start: end - value.length, end, kind });
  }
}

interface Separator {
  /** Where the value starts. */
  at: number;
  sign: '=' | ':' | ' ';
  /** White space stood around the sign. */
  spaced: boolean;
  /** A quote or bracket stood between the name and the sign. */
  closed: boolean;
}

const SEPARATOR = /(\\{0,3}["'`]|\]|\))?\??([ \t]{0,8})(=>|:=|={1,3}|:)([ \t]{0,8}|[ \t]{0,8}\n[ \t]{1,40}(?=["']))/y;
const FLAG_SEPARATOR = /[ \t]{1,8}(?=[^\s-])/y;

function readSeparator(text: string, from: number, isFlag: boolean, raw: string): Separator | null {
  SEPARATOR.lastIndex = from;
  const match = SEPARATOR.exec(text);
  if (match !== null) {
    const [, closing, before = '', written = '', behind = ''] = match;
    const sign = written.startsWith(':') && written !== ':=' ? ':' : '=';
    if (text.startsWith('//', SEPARATOR.lastIndex) && sign === ':') return null;
    return { at: SEPARATOR.lastIndex, sign, spaced: before !== '' || behind !== '', closed: closing !== undefined };
  }
  if (!isFlag || raw.length < 4) return null;
  FLAG_SEPARATOR.lastIndex = from;
  return FLAG_SEPARATOR.test(text) ? { at: FLAG_SEPARATOR.lastIndex, sign: ' ', spaced: true, closed: false } : null;
}

function isLineStart(text: string, start: number): boolean {
  const line = text.slice(Math.max(0, start - 24), start);
  return /(?:^|\n)[ \t]*(?:export[ \t]+|set[ \t]+|ENV[ \t]+|ARG[ \t]+|declare -x[ \t]+|- |\$env:|[+-][ \t]*)?["']?$/.test(
    start < 24 ? `\n${line}` : line,
  );
}

interface NameContext {
  isFlag: boolean;
  atLineStart: boolean;
  name: string;
  /** The character before the name. */
  quote: string;
}

function readValue(text: string, separator: Separator, kind: string, context: NameContext): Span | null {
  const opening = /^(?:\\{0,3}["'`]|[brfu]{1,2}["']|@")/i.exec(text.slice(separator.at, separator.at + 5))?.[0];
  if (opening !== undefined) {
    // In `'password:', value` the quote behind the sign ends the text that the name stands in.
    const closesName = opening.at(-1) === context.quote && !separator.closed;
    return closesName ? null : readQuotedValue(text, separator.at, opening, kind, context.name);
  }
  if (kind === 'authorization' || kind === 'cookie') return readHeaderValue(text, separator, kind);
  const block = /^[|>][+-]?\d?[ \t]*\r?\n(?=[ \t])/.exec(text.slice(separator.at, separator.at + 12))?.[0];
  if (block !== undefined) return readBlock(text, separator.at + block.length, kind);
  const end = endOfBareValue(text, separator.at, context);
  const value = text.slice(separator.at, end);
  if (!isBareSecret(value, text, end, separator, kind, context)) return null;
  return { start: separator.at, end, kind };
}

function readQuotedValue(text: string, at: number, opening: string, kind: string, name: string): Span | null {
  const start = at + opening.length;
  const quote = opening.at(-1) ?? '"';
  const escapes = opening.length > 1 && opening.startsWith('\\') ? opening.length - 1 : 0;
  let end = start;
  for (; end < text.length; end++) {
    const c = text[end];
    if (c === '\n' && quote !== '`' && end - start > 0 && kind !== 'private-key') break;
    if (c === '\\') {
      if (escapes > 0 && text.startsWith(`${'\\'.repeat(escapes)}${quote}`, end)) break;
      end++;
      continue;
    }
    if (c === quote) break;
  }
  end = Math.min(end, text.length);
  const value = text.slice(start, end);
  if (value.length < 3 || isLabel(value, name) || !isSecretValue(value, kind)) return null;
  if (end - start <= MAX_PLACEHOLDER) {
    if (kind === 'authorization') {
      const scheme = /^\S+\s+/.exec(value)?.[0].length ?? 0;
      return { start: start + scheme, end, kind };
    }
  }
  return { start, end, kind };
}

/** A block of YAML: every line that is indented as far as its first. */
function readBlock(text: string, start: number, kind: string): Span | null {
  const indent = /^[ \t]{1,200}/.exec(text.slice(start, start + 200))?.[0] ?? '';
  let end = start;
  while (indent !== '' && text.startsWith(indent, end)) {
    const lineEnd = text.indexOf('\n', end);
    end = lineEnd < 0 ? text.length : lineEnd + 1;
  }
  const lines = text.slice(start + indent.length, end).trimEnd();
  return isSecretValue(lines, kind) ? { start: start + indent.length, end: start + indent.length + lines.length, kind } : null;
}

/** `Authorization: Bearer x` and `Cookie: a=b; c=d`: the rest of the line or of the quoted argument. */
function readHeaderValue(text: string, separator: Separator, kind: string): Span | null {
  if (separator.sign === '=' && kind === 'cookie') return null;
  let end = separator.at;
  while (end < text.length && !/["'\n\r`\\]/.test(text[end] ?? '')) end++;
  const value = text.slice(separator.at, end);
  if (value.length > MAX_PLACEHOLDER) return { start: separator.at, end, kind };
  if (kind === 'cookie') {
    if (!/^[\w.!#$%&*+^|~-]+=\S{4,}/.test(value)) return null;
    return { start: separator.at, end: separator.at + value.trimEnd().length, kind };
  }
  const scheme = /^(?:Bearer|Basic|Token|Digest|ApiKey|Negotiate|AWS4-HMAC-SHA256)[ \t]+/i.exec(value)?.[0].length ?? 0;
  const credential = value.slice(scheme).trim();
  if (credential.length < 4 || isPlaceholder(credential) || (scheme === 0 && !isTokenLike(credential.split(/\s/)[0] ?? ''))) return null;
  const first = scheme > 0 && !/^(?:Digest|AWS4)/i.test(value) ? (credential.split(/[\s,]/)[0] ?? credential) : credential;
  return { start: separator.at + scheme, end: separator.at + scheme + first.length, kind };
}

/** White space ends a bare value; `&`, `;` and `,` do where another pair follows; closing brackets and quotes do. */
function endOfBareValue(text: string, start: number, context: NameContext): number {
  let end = start;
  for (; end < text.length; end++) {
    const c = text.charCodeAt(end);
    if (c <= 0x20 || c === 0x22 || c === 0x27 || c === 0x60) break;
    if (c === 0x26 || c === 0x3b || c === 0x2c) {
      if (!context.atLineStart || /^[&;,][ \t]*(?:$|\s|[\w. -]{1,40}[=:])/.test(text.slice(end, end + 48))) break;
    }
    if ((c === 0x29 || c === 0x5d || c === 0x7d || c === 0x3c || c === 0x3e || c === 0x7c) && !context.atLineStart) break;
    if (c === 0x5c && /^\\(?:[nr"']|\\)/.test(text.slice(end, end + 2))) break;
  }
  return end;
}

/** Whether a value without quotes is a credential, by the sign before it and what stands around it. */
function isBareSecret(value: string, text: string, end: number, separator: Separator, kind: string, context: NameContext): boolean {
  if (value.length < 3) return false;
  if (value.length > MAX_PLACEHOLDER) return true;
  if (isPlaceholder(value) || /^[([{<]/.test(value)) return false;
  if (text[end] === '(' || /\w\(/.test(value)) return false;
  const trimmed = value.replace(/[.,;:!?)]+$/, '');
  if (trimmed.length < 3 || PLACEHOLDER_WORDS.has(trimmed.toLowerCase())) return false;
  const isReference = /^[A-Za-z_$][\w$]*(?:(?:\.|\?\.|::|->)[\w$]+)+$/.test(trimmed) && !isTokenLike(trimmed.split('.').at(-1) ?? '');
  const isPassword = kind === 'password' || kind === 'secret';
  if (/^[A-Za-z_$][\w$]*\[/.test(trimmed) || isCamelCase(trimmed)) return false;
  if (separator.sign === ' ')
    return context.isFlag ? isPassword || !isReference : /\d/.test(trimmed) && isTokenLike(trimmed) && trimmed.length >= 16;
  const isMixed = trimmed.length >= 5 && /\d/.test(trimmed) && /[A-Za-z]/.test(trimmed);
  if (separator.sign === ':') {
    if (isReference || (!separator.spaced && /^\d+$/.test(trimmed))) return false;
    if (kind === 'otp') return /^\d{3,8}$/.test(trimmed);
    if (isTokenLike(trimmed)) return isPassword || !looksLikeCode(trimmed);
    if (isPassword && isMixed) return true;
    // A pair in quotes, as a header on a command line has it.
    if (/["']/.test(context.quote) && text[end] === context.quote && separator.spaced) return trimmed.length >= 6;
    return isPassword && separator.spaced && isAloneOnLine(text, end, context) && isPlainPassword(value);
  }
  if (separator.spaced) {
    if (isReference || looksLikeCode(trimmed)) return false;
    return (
      isTokenLike(trimmed) || (/\d/.test(trimmed) && /[^\w.]/.test(trimmed)) || (isPassword && isMixed && isAloneOnLine(text, end, context))
    );
  }
  if (isReference && context.name !== context.name.toUpperCase()) return false;
  return isPassword || kind === 'otp' || isTokenLike(trimmed) || trimmed.length >= 12;
}

/** A setting on a line of its own, as configuration files have it. */
function isAloneOnLine(text: string, end: number, context: NameContext): boolean {
  return context.atLineStart && /^[ \t]*(?:$|[\r\n#])/.test(text.slice(end, end + 80));
}

const NO_PASSWORDS =
  /^(?:string|text|input|field|label|value|forgot|reset|change|update|confirm|confirmation|invalid|incorrect|missing|expired?|hash(?:ed)?|encrypted|plain(?:text)?|generated?|random(?:ized)?|manual|vault|weak|strong|short|long|visible|hidden|enabled|disabled|required|optional|mandatory|ignored?|supported|deprecated|external|internal|below|above|here|see|ask|unknown)$/i;

/** Letters alone may be a password in a configuration file; a word of another sense, a label or an identifier is none. */
function isPlainPassword(value: string): boolean {
  return value.length >= 6 && !/[,;]$/.test(value) && !NO_PASSWORDS.test(value) && !/^[A-Z][a-z]+$|^[a-z]+[A-Z]/.test(value);
}

/** Names, paths and numbers as code has them. */
function looksLikeCode(text: string): boolean {
  return (
    /^[a-z]+[A-Z]?[a-zA-Z]*\d?$/.test(text) ||
    /^[\d.]+(?:px|ms|s|kb|mb|%)?$/i.test(text) ||
    /^(?:\.{0,2}\/)[\w./-]+$/.test(text) ||
    /^\w+\[/.test(text)
  );
}

/** `<password>x</password>`. */
function readElement(text: string, start: number, end: number, name: string, kind: string): Span | null {
  if (text[start - 1] !== '<' || text[end] !== '>') return null;
  const from = end + 1;
  const close = text.indexOf('<', from);
  if (close < 0 || !text.startsWith(`</${name}>`, close)) return null;
  return isSecretValue(text.slice(from, close), kind) ? { start: from, end: close, kind } : null;
}

// ---- schemes, flags, lines -------------------------------------------------------------------------------------------------------------

const SCHEME = /\b(Bearer|Basic)[ \t]{1,4}([A-Za-z0-9._~+/=-]{8,})/gi;

function findSchemes(text: string, spans: Spans): void {
  if (!/bearer|basic/i.test(text)) return;
  SCHEME.lastIndex = 0;
  for (let match = SCHEME.exec(text); match !== null; match = SCHEME.exec(text)) {
    const [whole, scheme = '', credential = ''] = match;
    const end = match.index + whole.length;
    const isSecret = scheme.toLowerCase() === 'basic' ? isBasicCredential(credential) : isBearerCredential(credential);
    if (isSecret) spans.push({ start: end - credential.length, end, kind: 'authorization' });
  }
}

function isBearerCredential(text: string): boolean {
  const bare = text.slice(0, 300);
  return isTokenLike(bare) && !isVendorPlaceholder(bare) && !isPlaceholder(bare);
}

function isBasicCredential(text: string): boolean {
  if (text.length > 2000 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return false;
  try {
    const decoded = atob(text);
    return /^[\x20-\x7e]+:[\x20-\x7e]+$/.test(decoded);
  } catch {
    return false;
  }
}

/**
 * Flags whose meaning depends on the program: the flag with its value in the last group, and the program that must stand
 * before it in the same command. Where the first expression finds nothing, no such program is named anywhere. The flag is looked for before
 * the program, so that the text is read once.
 */
const COMMAND_FLAGS: readonly (readonly [RegExp, RegExp, RegExp])[] = [
  [/curl|wget|http|xh /, /\s(?:-u|--user|-U|--proxy-user)[ =]?["']?[^\s:"'@/]{1,100}:([^\s"']{2,200})/g, /\b(?:curl|wget|http|https|xh)\b/],
  [/mysql|mariadb|7z/, /\s-p([^\s"'-][^\s"']{1,200})/g, /\b(?:mysql\w{0,12}|mariadb[\w-]{0,12}|7za?)\b/],
  [
    /sshpass|login|mongo/,
    /\s-p[ ]{1,4}["']?([^\s"'-][^\s"']{1,200})/g,
    /\b(?:sshpass|docker login|podman login|mongo\w{0,12}|az login|helm registry login)\b/,
  ],
  [/sshpass/, /\bsshpass\s{1,4}-p["']?([^\s"'][^\s"']{1,200})/g, /(?:)/],
  [/redis-cli/, /\s-a\s{1,4}["']?([^\s"'-][^\s"']{1,200})/g, /\bredis-cli\b/],
  [/ldap|zip/, /\s-[wP]\s{1,4}["']?([^\s"'-][^\s"']{1,200})/g, /\b(?:ldap\w{3,9}|zip|unzip)\b/],
  [/openssl/, /\bpass:([^\s"']{3,200})/g, /\bopenssl\b/],
  [/htpasswd/, /\s-[A-Za-z]{0,5}b[A-Za-z]{0,5}\s{1,4}[^\s|;]{1,200}\s{1,4}[^\s|;]{1,100}\s{1,4}["']?([^\s"'|;]{2,200})/g, /\bhtpasswd\b/],
  [/login/, /\bpassword\s{1,9}([^\s"']{2,300})/g, /\b(?:login\s{1,9}\S{1,253}\s{1,9}$)/],
];

const MAX_COMMAND_REACH = 300;

function findCommandFlags(text: string, spans: Spans): void {
  if (!/curl|wget|http|xh |htpasswd|mysql|mariadb|7z|sshpass|login|mongo|redis-cli|ldap|zip|openssl/.test(text)) return;
  for (const [hint, flag, program] of COMMAND_FLAGS) {
    if (!hint.test(text)) continue;
    flag.lastIndex = 0;
    for (let match = flag.exec(text); match !== null; match = flag.exec(text)) {
      const value = match[1] ?? '';
      if (isPlaceholder(value)) continue;
      const before = text.slice(Math.max(0, match.index - MAX_COMMAND_REACH), match.index);
      const command = before.slice(Math.max(before.lastIndexOf('|'), before.lastIndexOf(';')) + 1);
      if (!program.test(command)) continue;
      const end = match.index + match[0].length;
      spans.push({ start: end - value.length, end, kind: 'password' });
    }
  }
}

/** `.pgpass` lines: host:port:database:user:password; and bot tokens of Telegram. */
function findColonFields(text: string, spans: Spans): void {
  if (!text.includes(':')) return;
  if (COLON_FIELDS.test(text)) {
    const line = /^[^\s:/#]{1,253}:(?:\d{4,5}|\*):(?!\d+:)[^\s:/]{1,64}:[^\s:/]{1,64}:([^\s]{2,256})$/gm;
    for (let match = line.exec(text); match !== null; match = line.exec(text)) {
      const value = match[1] ?? '';
      const end = match.index + match[0].length;
      if (!isPlaceholder(value)) spans.push({ start: end - value.length, end, kind: 'password' });
    }
  }
  if (text.includes(':AA')) {
    const bot = /(?<![A-Za-z0-9])\d{8,10}:AA[\w-]{33}(?![\w-])/g;
    for (let match = bot.exec(text); match !== null; match = bot.exec(text)) {
      spans.push({ start: match.index, end: match.index + match[0].length, kind: 'telegram-token' });
    }
  }
}
