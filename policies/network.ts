/**
 * Addresses: from a URL or a host and port to a canonical host, and whether the policy lists it (SPEC 4.6, POLICY_READING
 * "Network"). Guarantees: what is not spelled canonically is refused rather than interpreted; an address literal, a private
 * name or a name that resolves to a non-public address is refused unless an entry says `allowPrivate`.
 */

import ipaddr from 'ipaddr.js';
import type { HostReading } from './model.ts';

/** Compiled `allowlists.network`; made by {@link compileNetworkRules} and read by nobody else. */
export interface NetworkRules {
  /** Canonical host → what is open there. */
  readonly exact: ReadonlyMap<string, readonly Opening[]>;
  /** `x` of `*.x` → what is open on every label left of it. */
  readonly suffix: ReadonlyMap<string, readonly Opening[]>;
}

interface Opening {
  readonly scheme: string;
  readonly port: number;
  readonly allowPrivate: boolean;
  /** The entry as written, for the reason. */
  readonly entry: string;
}

/** `host`, `host:port`, `scheme://host[:port]`, or the same in fields. `host` is exact, or `*.x` for labels left of x. */
export type NetworkEntry = string | { host: string; port?: number; scheme?: string; allowPrivate?: boolean };

/** Facts about names: host → the addresses it resolved to, where the caller could ask. */
export interface NetworkContext {
  dns: Readonly<Record<string, readonly string[]>>;
}

/** The compiled rules, or every mistake with the position of its entry. */
export type CompiledNetworkRules = { rules: NetworkRules } | { errors: { index: number; message: string }[] };

/** Schemes that carry a host, with the port they imply. A scheme that is not here is never listed. */
const DEFAULT_PORTS: ReadonlyMap<string, number> = new Map([
  ['https', 443],
  ['http', 80],
  ['wss', 443],
  ['ws', 80],
  ['ftp', 21],
  ['ftps', 990],
  ['sftp', 22],
  ['ssh', 22],
  ['git', 9418],
  ['git+ssh', 22],
  ['git+https', 443],
  ['git+http', 80],
  ['smtp', 25],
  ['smtps', 465],
  ['imap', 143],
  ['imaps', 993],
  ['ldap', 389],
  ['ldaps', 636],
  ['redis', 6379],
  ['rediss', 6379],
  ['postgres', 5432],
  ['postgresql', 5432],
  ['mysql', 3306],
  ['mongodb', 27017],
  ['mongodb+srv', 27017],
  ['amqp', 5672],
  ['amqps', 5671],
  ['mqtt', 1883],
  ['mqtts', 8883],
  ['dns', 53],
  ['telnet', 23],
  ['tcp', 0],
]);

/** Compiles the list. An entry covers https on port 443 unless it says more; a scheme without a port covers the scheme's own. */
export function compileNetworkRules(entries: readonly NetworkEntry[]): CompiledNetworkRules {
  const errors: { index: number; message: string }[] = [];
  const exact = new Map<string, Opening[]>();
  const suffix = new Map<string, Opening[]>();
  entries.forEach((entry, index) => {
    const parsed = parseEntry(entry);
    if ('message' in parsed) {
      errors.push({ index, message: parsed.message });
      return;
    }
    const table = parsed.wildcard ? suffix : exact;
    const openings = table.get(parsed.host) ?? [];
    if (openings.some((other) => other.scheme === parsed.opening.scheme && other.port === parsed.opening.port)) {
      errors.push({ index, message: `"${parsed.opening.entry}" says the same as an earlier entry.` });
      return;
    }
    table.set(parsed.host, [...openings, parsed.opening]);
  });
  return errors.length > 0 ? { errors } : { rules: { exact, suffix } };
}

/** Reads a URL. Never throws, never resolves; linear in its length, of which only the part before the path matters. */
export function readUrl(given: string, context: NetworkContext, rules: NetworkRules): HostReading {
  const split = splitUrl(given);
  if ('why' in split) return refuse(given, split.why);
  const { scheme, authority } = split;
  if (authority === null) return notListed(given, null, null, scheme, `${scheme}: addresses are not on the network allowlist`);
  const parsed = parseAuthority(authority);
  if ('why' in parsed) return { ...refuse(given, parsed.why), scheme };
  const port = parsed.port ?? DEFAULT_PORTS.get(scheme) ?? null;
  return readHost(given, parsed.host, port, scheme, context, rules);
}

/** Reads a host and port, as the egress proxy is asked for them (`CONNECT host:port` is scheme `https`). */
export function readAuthority(host: string, port: number, scheme: string, context: NetworkContext, rules: NetworkRules): HostReading {
  const given = `${host}:${port}`;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return refuse(given, 'the port is not between 1 and 65535');
  const problem = describeAuthorityProblem(host);
  if (problem !== null) return refuse(given, problem);
  if (!host.startsWith('[') && host.includes(':')) {
    // A bare IPv6 address, as some clients send it in CONNECT.
    return isAddressText(host) ? readHost(given, host, port, scheme, context, rules) : refuse(given, 'the host contains a colon');
  }
  const parsed = parseAuthority(host);
  if ('why' in parsed) return refuse(given, parsed.why);
  return readHost(given, parsed.host, port, scheme.toLowerCase(), context, rules);
}

/**
 * The scheme that a tunnel is judged under: its bytes are not seen, so it is the one for which the policy lists that host and port; where it
 * lists none, what the port suggests.
 */
export function tunnelScheme(host: string, port: number, rules: NetworkRules): string {
  const parsed = parseAuthority(host);
  const schemes = 'why' in parsed ? [] : openingsOf(parsed.host, rules).flatMap((opening) => (opening.port === port ? opening.scheme : []));
  return schemes.includes('https') ? 'https' : (schemes[0] ?? (port === 80 ? 'http' : 'https'));
}

/**
 * Says whether an IP address in text form is anything else than an ordinary public unicast address: private, loopback,
 * link-local, shared, metadata, documentation, benchmarking, multicast, reserved, and every IPv6 form that wraps such an
 * IPv4 address. Text that is not one canonical address (zone ids, octal, short forms) counts as special.
 */
export function isSpecialAddress(ip: string): boolean {
  const v4 = parseIpv4(ip);
  if (v4 !== null) return isSpecialIpv4(v4);
  if (!ip.includes(':') || ip.includes('%') || ip.length > 45 || !ipaddr.IPv6.isValid(ip)) return true;
  return isSpecialIpv6(ipaddr.IPv6.parse(ip).parts);
}

// ---- one host against the list ------------------------------------------------------------------------------------------

function readHost(
  given: string,
  host: string,
  port: number | null,
  scheme: string,
  context: NetworkContext,
  rules: NetworkRules,
): HostReading {
  const opening = port === null ? null : findOpening(host, port, scheme, rules);
  const addresses = resolvedAddresses(host, context);
  const reading = { given, host, port, scheme, ...(addresses?.length && { addresses }) };
  if (opening?.allowPrivate !== true) {
    if (isAddressText(host)) return { ...reading, verdict: 'refused', why: 'an address instead of a name is refused' };
    if (isPrivateName(host) || (!host.includes('.') && WEB_SCHEMES.has(scheme)))
      return { ...reading, verdict: 'refused', why: `${host} is a private name` };
    // All addresses must be public, and of none that cannot be said.
    if (addresses?.length === 0) return { ...reading, verdict: 'refused', why: `${host} resolves to no address` };
    const special = addresses?.find(isSpecialAddress);
    if (special !== undefined)
      return { ...reading, verdict: 'refused', why: `${host} resolves to ${special}, which is not a public address` };
  }
  if (opening !== null) return { ...reading, verdict: 'listed', why: `matches ${opening.entry}` };
  const where = port === null || port === DEFAULT_PORTS.get(scheme) ? host : `${host}:${port}`;
  return { ...reading, verdict: 'not_listed', why: `${scheme}://${where} is not on the network allowlist` };
}

function findOpening(host: string, port: number, scheme: string, rules: NetworkRules): Opening | null {
  return openingsOf(host, rules).find((opening) => opening.port === port && opening.scheme === scheme) ?? null;
}

/** What the list opens on a host: the exact entries, then the wildcards from the longest to the shortest. */
function openingsOf(host: string, rules: NetworkRules): readonly Opening[] {
  let openings = rules.exact.get(host) ?? NONE;
  for (let dot = host.indexOf('.'); dot > 0; dot = host.indexOf('.', dot + 1)) {
    const found = rules.suffix.get(host.slice(dot + 1));
    if (found !== undefined) openings = openings.length === 0 ? found : [...openings, ...found];
  }
  return openings;
}

const NONE: readonly Opening[] = Object.freeze([]);

/** Null: nobody has looked. */
function resolvedAddresses(host: string, context: NetworkContext): readonly string[] | null {
  if (Object.hasOwn(context.dns, host)) return context.dns[host] ?? [];
  for (const name of Object.keys(context.dns)) {
    if (name.length <= host.length + 1 && name.toLowerCase().replace(/\.$/, '') === host) return context.dns[name] ?? [];
  }
  return null;
}

function refuse(given: string, why: string): HostReading {
  return { given, host: null, port: null, scheme: null, verdict: 'refused', why };
}

function notListed(given: string, host: string | null, port: number | null, scheme: string, why: string): HostReading {
  return { given, host, port, scheme, verdict: 'not_listed', why };
}

// ---- spelling -----------------------------------------------------------------------------------------------------------

const MAX_AUTHORITY_LENGTH = 1024;

function splitUrl(given: string): { scheme: string; authority: string | null } | { why: string } {
  if (/[\0-\x20\x7f-\xa0]/.test(given)) return { why: 'the address contains white space or control characters' };
  const colon = given.slice(0, 64).indexOf(':');
  const scheme = given.slice(0, Math.max(colon, 0)).toLowerCase();
  if (!/^[a-z][a-z0-9+.-]*$/.test(scheme)) return { why: 'the address names no scheme' };
  if (!given.startsWith('//', colon + 1)) {
    return DEFAULT_PORTS.has(scheme) ? { why: 'the address has no // before its host' } : { scheme, authority: null };
  }
  const start = colon + 3;
  let end = start;
  while (end < given.length && !isAuthorityEnd(given.charCodeAt(end))) {
    if (++end - start > MAX_AUTHORITY_LENGTH) return { why: 'the host is too long' };
  }
  if (hasBackslashBeforeQuery(given, end)) return { why: 'the address contains a backslash' };
  if (end === start) return DEFAULT_PORTS.has(scheme) ? { why: 'the address names no host' } : { scheme, authority: null };
  return { scheme, authority: given.slice(start, end) };
}

function isAuthorityEnd(code: number): boolean {
  return code === 0x2f || code === 0x3f || code === 0x23;
}

/** A backslash is a path separator for some clients and a plain character for others, so they disagree about the host. */
function hasBackslashBeforeQuery(given: string, from: number): boolean {
  const backslash = given.indexOf('\\');
  if (backslash < 0) return false;
  for (let i = from; i < backslash; i++) {
    const code = given.charCodeAt(i);
    if (code === 0x3f || code === 0x23) return false;
  }
  return true;
}

/** Invisible characters, white space and everything that some client takes for a dot, slash, colon, at sign or hash. */
const FOREIGN = /[\p{Cc}\p{Cf}\p{Cs}\p{Z}\p{Default_Ignorable_Code_Point}\u2044\u2215\u29f8\u3002\uff61\u2024\u2025\u2026]/u;

function describeAuthorityProblem(authority: string): string | null {
  if (authority === '') return 'the address names no host';
  if (authority.length > MAX_AUTHORITY_LENGTH) return 'the host is too long';
  if (/^[\w.:[\]-]+$/.test(authority)) return null;
  if (authority.includes('@')) return 'the address carries credentials';
  if (authority.includes('%')) return 'the host is percent-encoded';
  if (authority.includes('\\')) return 'the address contains a backslash';
  if (FOREIGN.test(authority)) return 'the host contains an invisible character or a look-alike of a separator';
  if (authority.normalize('NFKC') !== authority) return 'the host is spelled with compatibility characters';
  for (const character of authority) {
    if (character <= '\x7f' && !/[\w.:[\]-]/.test(character)) return `the host contains "${character}"`;
  }
  return null;
}

function parseAuthority(authority: string): { host: string; port: number | null } | { why: string } {
  const problem = describeAuthorityProblem(authority);
  if (problem !== null) return { why: problem };
  if (authority.startsWith('[')) {
    const close = authority.indexOf(']');
    const rest = authority.slice(close + 1);
    const inner = authority.slice(1, close);
    if (close < 0 || !ipaddr.IPv6.isValid(inner)) return { why: 'the address literal is malformed' };
    const port = parsePort(rest);
    return port === undefined ? { why: 'the port is not canonical' } : { host: inner.toLowerCase(), port };
  }
  const colon = authority.indexOf(':');
  const port = parsePort(colon < 0 ? '' : authority.slice(colon));
  if (port === undefined) return { why: 'the port is not canonical' };
  const host = canonicalHost(colon < 0 ? authority : authority.slice(0, colon));
  return typeof host === 'string' ? { host, port } : host;
}

/** `''` is no port (null); `:443` a number; anything else, also `:` and `:0443`, is not canonical (undefined). */
function parsePort(text: string): number | null | undefined {
  if (text === '') return null;
  if (!/^:[1-9]\d{0,4}$/.test(text)) return undefined;
  const port = Number(text.slice(1));
  return port <= 65_535 ? port : undefined;
}

const MAX_HOST_LENGTH = 253;

function canonicalHost(text: string): string | { why: string } {
  let host = text.toLowerCase();
  if (!/^[\x21-\x7e]*$/.test(host)) {
    const ascii = toAscii(host);
    if (ascii === null) return { why: 'the internationalised name is not valid' };
    host = ascii;
  }
  // One trailing dot is the root of the name system and means the same host.
  if (host.endsWith('.')) host = host.slice(0, -1);
  const labels = host.split('.');
  const last = labels.at(-1) ?? '';
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(last)) {
    if (parseIpv4(host) !== null) return host;
    return { why: 'an address in a non-canonical spelling is refused' };
  }
  if (host.length > MAX_HOST_LENGTH || labels.some((label) => !/^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))) {
    return { why: 'the host is not a valid name' };
  }
  if (labels.some((label) => label.startsWith('xn--')) && toAscii(host) !== host) return { why: 'the internationalised name is not valid' };
  return host;
}

/** Unicode to ASCII labels by the URL parser that Node and browsers share (UTS 46). */
function toAscii(host: string): string | null {
  try {
    return new URL(`https://${host}/`).hostname;
  } catch {
    return null;
  }
}

// ---- private names and addresses ------------------------------------------------------------------------------------------

/** Names that by standard or custom never leave the machine or the local network (RFC 6761, 6762, 8375, and the clouds' own). */
const PRIVATE_SUFFIXES = ['localhost', 'local', 'localdomain', 'internal', 'intranet', 'lan', 'home', 'corp', 'private', 'home.arpa'];

/** Where a name of one label can only be a machine of the local network; for ssh it may be an alias of any. */
const WEB_SCHEMES = new Set(['http', 'https', 'ws', 'wss', 'ftp']);

function isPrivateName(host: string): boolean {
  return PRIVATE_SUFFIXES.some((suffix) => host.endsWith(`.${suffix}`) || host === suffix);
}

function isAddressText(host: string): boolean {
  return host.includes(':') ? ipaddr.IPv6.isValid(host) : parseIpv4(host) !== null;
}

/** Four decimal numbers without leading zeros, as one unsigned number; null for any other spelling. */
function parseIpv4(text: string): number | null {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return null;
  let value = 0;
  for (const part of match.slice(1)) {
    const octet = Number(part);
    if (octet > 255 || String(octet) !== part) return null;
    value = value * 256 + octet;
  }
  return value;
}

/** IANA special-purpose registry, plus multicast, the reserved top, and the wire server that Azure puts on a public address. */
const SPECIAL_IPV4 = (
  [
    ['0.0.0.0', 8],
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['127.0.0.0', 8],
    ['168.63.129.16', 32],
    ['169.254.0.0', 16],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.0.2.0', 24],
    ['192.88.99.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
    ['198.51.100.0', 24],
    ['203.0.113.0', 24],
    ['224.0.0.0', 3],
  ] as const
).map(([base, bits]) => ({ base: parseIpv4(base) ?? 0, size: 2 ** (32 - bits) }));

function isSpecialIpv4(value: number): boolean {
  return SPECIAL_IPV4.some(({ base, size }) => value >= base && value < base + size);
}

/** Only 2000::/3 is public unicast, without its special-purpose parts; the NAT64 prefix is as public as the address in it. */
function isSpecialIpv6(parts: readonly number[]): boolean {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = parts;
  if (a === 0x64 && b === 0xff9b && c === 0 && d === 0 && e === 0 && f === 0) return isSpecialIpv4(g * 65_536 + h);
  if (a < 0x2000 || a > 0x3fff) return true;
  if (a === 0x2001 && (b < 0x200 || b === 0xdb8)) return true;
  if (a === 0x2002 || a === 0x3ffe) return true;
  if (a === 0x3fff && b < 0x1000) return true;
  // ISATAP carries an IPv4 address behind 0:5efe; documentation asks routers to treat it as the embedded one.
  if ((e === 0 || e === 0x200) && f === 0x5efe) return isSpecialIpv4(g * 65_536 + h);
  return false;
}

// ---- entries ----------------------------------------------------------------------------------------------------------------

type ParsedEntry = { host: string; wildcard: boolean; opening: Opening } | { message: string };

function parseEntry(entry: NetworkEntry): ParsedEntry {
  if (typeof entry !== 'string') return parseFields(entry);
  const separator = entry.indexOf('://');
  const scheme = separator < 0 ? undefined : entry.slice(0, separator);
  const rest = separator < 0 ? entry : entry.slice(separator + 3);
  const match = /^([^:/[\]]+|\[[^\]]*\])(?::(\d+))?$/.exec(rest);
  if (match === null) {
    return { message: `"${entry}" is not host, host:port or scheme://host[:port]; paths and credentials cannot be listed.` };
  }
  const fields: { host: string; port?: number; scheme?: string } = { host: match[1] ?? '' };
  if (match[2] !== undefined) fields.port = Number(match[2]);
  if (scheme !== undefined) fields.scheme = scheme;
  return parseFields(fields, entry);
}

function parseFields(fields: Exclude<NetworkEntry, string>, written?: string): ParsedEntry {
  const scheme = (fields.scheme ?? 'https').toLowerCase();
  const defaultPort = DEFAULT_PORTS.get(scheme);
  const name = written ?? fields.host;
  if (defaultPort === undefined) return { message: `"${name}": the scheme ${scheme} is not known.` };
  const port = fields.port ?? defaultPort;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return { message: `"${name}": the port must be between 1 and 65535.` };
  const wildcard = fields.host.startsWith('*.');
  const bare = wildcard ? fields.host.slice(2) : fields.host;
  if (bare.includes('*')) return { message: `"${name}": a * may only stand for the labels at the left, as in *.example.com.` };
  const parsed = parseAuthority(bare.includes(':') && !bare.startsWith('[') ? `[${bare}]` : bare);
  if ('why' in parsed || parsed.port !== null) return { message: `"${name}": ${'why' in parsed ? parsed.why : 'give the port once'}.` };
  const { host } = parsed;
  const allowPrivate = fields.allowPrivate ?? false;
  if (wildcard && (isAddressText(host) || (!host.includes('.') && !allowPrivate))) {
    return { message: `"${name}": a wildcard needs a registered name to the right of it.` };
  }
  if (!allowPrivate && (isAddressText(host) || (!wildcard && (isPrivateName(host) || (!host.includes('.') && WEB_SCHEMES.has(scheme)))))) {
    return { message: `"${name}" is an address or a private name and would always be refused: write {host, allowPrivate: true}.` };
  }
  const label = written ?? `${scheme === 'https' ? '' : `${scheme}://`}${fields.host}${fields.port === undefined ? '' : `:${port}`}`;
  return { host, wildcard, opening: { scheme, port, allowPrivate, entry: label } };
}
