/**
 * Everything that can be set from outside, in one table: environment variables (`MC_CONTROL_PORT`) and the optional file
 * `mission-control.yaml` (`controlPort`). Read once at start; a mistake names the key, the value and what is allowed. The
 * environment wins over the file.
 */
import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';

/** A setting that cannot be taken; the message is for the person who wrote it. */
export class SettingsError extends Error {}

/** A whole number, written as one: a variable is text, the file may have either. */
const port = z
  .union(
    [
      z.int(),
      z
        .string()
        .regex(/^\d{1,5}$/)
        .transform(Number),
    ],
    'must be a port number from 0 to 65535',
  )
  .pipe(z.int().min(0, 'must be a port number from 0 to 65535').max(65_535, 'must be a port number from 0 to 65535'));
const days = z
  .union(
    [
      z.int(),
      z
        .string()
        .regex(/^\d{1,5}$/)
        .transform(Number),
    ],
    'must be a whole number of days',
  )
  .pipe(z.int().min(0, 'must be 0 or more').max(36_500, 'must be at most 36500'));
const minutes = z
  .union(
    [
      z.int(),
      z
        .string()
        .regex(/^\d{1,4}$/)
        .transform(Number),
    ],
    'must be a whole number of minutes',
  )
  .pipe(z.int().min(1, 'must be 1 or more').max(1440, 'must be at most 1440'));
const workers = z
  .union(
    [
      z.int(),
      z
        .string()
        .regex(/^\d{1,3}$/)
        .transform(Number),
    ],
    'must be a whole number of processes',
  )
  .pipe(z.int().min(1, 'must be 1 or more').max(64, 'must be at most 64'));
const secret = z.string().min(16, 'must have at least 16 characters');
const WEB_URL = 'must be a URL such as http://127.0.0.1:3000';
const webUrl = z.url({ protocol: /^https?$/, error: WEB_URL });
/** One or several, parted by commas. */
const webUrls = z
  .string()
  .refine((text) => listOf(text).every((url) => webUrl.safeParse(url).success), `${WEB_URL}, or several parted by commas`);
const databaseUrl = z.url({ protocol: /^postgres(ql)?$/, error: 'must be a URL such as postgres://mc@127.0.0.1:5432/mission_control' });
const redisUrl = z.url({ protocol: /^rediss?$/, error: 'must be a URL such as redis://127.0.0.1:6379' });
const gatewayUrl = z.url({ protocol: /^(wss?|https?)$/, error: 'must be a URL such as ws://127.0.0.1:18789' });

/** What a process can do. `all` is all of them. */
const ROLES = ['control', 'workers', 'proxy'] as const;
export type Role = (typeof ROLES)[number];
const role = z
  .string()
  .refine(
    (text) => text === 'all' || listOf(text).every((name) => ROLES.some((known) => known === name)),
    `must be all, or some of ${ROLES.join(', ')} parted by commas`,
  );

/** name → schema, default and one sentence. A default of null means "not set". */
export const SETTINGS = {
  MC_ROLE: {
    schema: role,
    default: 'all',
    help: 'What this process does: `all`, or some of `control` (API, dashboard, lines to proxies), `workers` (background work) and `proxy`, parted by commas.',
  },
  MC_HOST: {
    schema: z.string().min(1),
    default: '127.0.0.1',
    help: 'Address that all listeners bind to. Any other than this machine alone needs MC_OPEN_TO_NETWORK.',
  },
  MC_OPEN_TO_NETWORK: {
    schema: z.enum(['behind-tls', 'private-network']),
    default: null,
    help: 'The explicit word for listeners that other machines reach, and what protects the way there: `behind-tls` (a TLS proxy in front) or `private-network` (one that nobody else is in). The listeners themselves speak plain HTTP.',
  },
  MC_CONTROL_PORT: { schema: port, default: 3000, help: 'Control API and dashboard.' },
  MC_PROXY_PORT: { schema: port, default: 3100, help: 'The gate for agents.' },
  MC_PROXY_WORKERS: {
    schema: workers,
    default: 1,
    help: 'Processes that share the ports of one proxy, for more cores on one host; each is reached by the others at a port of its own (MC_PROXY_PORT plus 1, 2, …). More than one needs MC_ROLE=proxy.',
  },
  MC_EGRESS_PORT: { schema: port, default: 3200, help: 'The egress proxy: HTTP proxy of programs that agents run.' },
  MC_DATA_DIR: { schema: z.string().min(1), default: './data', help: 'Database, journal and stop file.' },
  MC_KEY_DIR: {
    schema: z.string().min(1),
    default: null,
    help: 'Keys; beside the data folder (its name plus "-keys") unless set, never inside it.',
  },
  MC_ADMIN_TOKEN: { schema: secret, default: null, help: "Accepted as an administrator's bearer token (automation, tests)." },
  MC_CONTROL_URL: {
    schema: webUrls,
    default: null,
    help: 'Where proxies, the command line and browsers find control; default http://MC_HOST:MC_CONTROL_PORT. Of several, parted by commas, a proxy follows one and the others when that fails.',
  },
  MC_CLUSTER_SECRET: {
    schema: secret,
    default: null,
    help: 'By which the processes of one installation know each other; the same for all of them. A process that is alone makes one up.',
  },
  MC_ADVERTISE_URL: {
    schema: webUrl,
    default: null,
    help: 'How the other processes reach this one, where that is not http://MC_HOST and its port.',
  },
  DATABASE_URL: {
    schema: databaseUrl,
    default: null,
    help: 'A PostgreSQL server that control and workers share (`?sslmode=verify-full` for TLS); without it the embedded database is used.',
  },
  MC_PROXY_URL: { schema: webUrl, default: null, help: 'Where people reach the proxy; default http://MC_HOST:MC_PROXY_PORT.' },
  REDIS_URL: {
    schema: redisUrl,
    default: null,
    help: 'Redis or Valkey for the budget counters of several proxies and the hints between processes; without it they are kept in the one proxy.',
  },
  MC_METRICS_TOKEN: { schema: secret, default: null, help: 'Opens /metrics of proxies and controls.' },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    schema: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }),
    default: null,
    help: 'Where proxies send traces and metrics of calls: an OpenTelemetry receiver over HTTP, without /v1/traces. OTEL_EXPORTER_OTLP_HEADERS is read by the exporter itself.',
  },
  MC_STDIO: { schema: z.enum(['on', 'off']), default: 'on', help: 'Whether upstreams may be commands that the proxy runs.' },
  MC_HOST_NAMES: {
    schema: z.string().regex(/^[\w.-]+(, *[\w.-]+)*$/, 'must be host names, parted by commas'),
    default: null,
    help: 'Further host names that agents reach the proxy by; others are refused on /mcp (DNS rebinding).',
  },
  MC_SOULS_DIR: { schema: z.string().min(1), default: null, help: 'A folder in a Git repository with agent templates (*.yaml).' },
  MC_KEEP_DAYS: {
    schema: days,
    default: 90,
    help: 'How long what calls read and wrote, and the feed, are kept, in days; 0 = for ever. Who did what stays.',
  },
  MC_ANCHOR_FILE: {
    schema: z.string().min(1),
    default: null,
    help: 'A file that gets each signed head of the audit log, one a line; best on another machine or a disk that only grows. audit-anchors.ndjson in the data folder unless set.',
  },
  MC_ANCHOR_REPOSITORY: {
    schema: z.string().min(1),
    default: null,
    help: 'Working tree of a Git repository that gets them too, a commit each; pushed where its branch has an upstream.',
  },
  MC_ANCHOR_MINUTES: {
    schema: minutes,
    default: 5,
    help: 'How often the head of the audit log is signed, in minutes, where it has grown.',
  },
  MC_LOG_LEVEL: { schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']), default: 'info', help: 'Least level that is logged.' },
  OPENCLAW_GATEWAY_URL: { schema: gatewayUrl, default: null, help: 'An OpenClaw gateway to register at start.' },
  OPENCLAW_GATEWAY_TOKEN: { schema: z.string().min(1), default: null, help: "That gateway's operator token." },
} as const satisfies Record<string, { schema: z.ZodType; default: string | number | null; help: string }>;

type Name = keyof typeof SETTINGS;
export type Settings = {
  readonly [K in Name]: z.infer<(typeof SETTINGS)[K]['schema']> | ((typeof SETTINGS)[K]['default'] extends null ? null : never);
};

/** Settings, with the folders made absolute. */
export interface ResolvedSettings extends Settings {
  readonly dataDir: string;
  readonly keyDir: string;
  /** Where the anchors of the audit log are kept. */
  readonly anchorFile: string;
  readonly roles: readonly Role[];
  /** The first of `controlUrls`. */
  readonly controlUrl: string;
  readonly controlUrls: readonly string[];
  readonly proxyUrl: string;
}

/**
 * Reads the settings.
 * @param environment usually process.env. @param folder where `mission-control.yaml` may stand and relative paths begin.
 * @throws SettingsError with every mistake.
 */
export function readSettings(environment: Readonly<Record<string, string | undefined>>, folder: string): ResolvedSettings {
  const mistakes: string[] = [];
  const file = readFile(join(folder, 'mission-control.yaml'), mistakes);
  for (const name of Object.keys(environment)) {
    if (name.startsWith('MC_') && !(name in SETTINGS))
      mistakes.push(`${name} is not a setting. Known: ${Object.keys(SETTINGS).join(', ')}`);
  }
  const values = Object.fromEntries(
    Object.entries(SETTINGS).map(([name, { schema, default: fallback }]) => {
      const given = environment[name] || file[name];
      if (given === undefined || given === '') return [name, fallback];
      const result = schema.safeParse(given);
      if (result.success) return [name, result.data];
      const shown = /TOKEN|SECRET|REDIS_URL|DATABASE_URL/.test(name) ? 'the given value' : JSON.stringify(given);
      mistakes.push(`${name}: ${shown} ${result.error.issues[0]?.message ?? 'is not allowed'}`);
      return [name, fallback];
    }),
  ) as unknown as Settings;

  const dataDir = resolve(folder, values.MC_DATA_DIR);
  const keyDir = values.MC_KEY_DIR === null ? `${dataDir}-keys` : resolve(folder, values.MC_KEY_DIR);
  if (isInside(keyDir, dataDir))
    mistakes.push(`MC_KEY_DIR: ${keyDir} is inside the data folder ${dataDir}; keys must not be in its backups`);
  const roles = values.MC_ROLE === 'all' ? ROLES : ROLES.filter((name) => listOf(values.MC_ROLE).includes(name));
  mistakes.push(...missingFor(roles, values), ...workersAmiss(roles, values));
  if (!isLoopback(values.MC_HOST) && values.MC_OPEN_TO_NETWORK === null)
    mistakes.push(
      `MC_HOST: ${JSON.stringify(values.MC_HOST)} is reached by other machines, and the listeners speak plain HTTP. Leave it at 127.0.0.1 and put a TLS proxy in front, or say what protects the way: MC_OPEN_TO_NETWORK=behind-tls or private-network`,
    );
  if (mistakes.length > 0) throw new SettingsError(mistakes.join('\n'));
  const host = values.MC_HOST.includes(':') ? `[${values.MC_HOST}]` : values.MC_HOST;
  const controlUrls = listOf(values.MC_CONTROL_URL ?? `http://${host}:${values.MC_CONTROL_PORT}`).map((url) => url.replace(/\/$/, ''));
  const [controlUrl = ''] = controlUrls;
  const anchorFile = values.MC_ANCHOR_FILE === null ? join(dataDir, 'audit-anchors.ndjson') : resolve(folder, values.MC_ANCHOR_FILE);
  const proxyUrl = (values.MC_PROXY_URL ?? `http://${host}:${values.MC_PROXY_PORT}`).replace(/\/$/, '');
  return Object.freeze({ ...values, dataDir, keyDir, anchorFile, roles, controlUrl, controlUrls, proxyUrl });
}

/** What several processes need so that together they keep what one promises. */
function missingFor(roles: readonly Role[], values: Settings): string[] {
  const isAlone = roles.length === ROLES.length && values.DATABASE_URL === null;
  if (isAlone) return [];
  const why = values.DATABASE_URL === null ? `MC_ROLE is ${values.MC_ROLE}` : 'DATABASE_URL is set';
  const needs: (Name | false)[] = [
    'MC_CLUSTER_SECRET',
    // Without shared counters each proxy would spend a whole cap.
    'REDIS_URL',
    (roles.includes('control') || roles.includes('workers')) && 'DATABASE_URL',
    !roles.includes('control') && roles.includes('proxy') && 'MC_CONTROL_URL',
    /^(0\.0\.0\.0|::)$/.test(values.MC_HOST) && 'MC_ADVERTISE_URL',
  ];
  return needs.flatMap((name) =>
    name !== false && values[name] === null ? `${name} must be set: ${why}, and then there are other processes.` : [],
  );
}

/** Workers have the counters and the bus in common, and a port each. */
function workersAmiss(
  roles: readonly Role[],
  { MC_ROLE, MC_PROXY_WORKERS: count, MC_PROXY_PORT: first, MC_EGRESS_PORT: egress }: Settings,
) {
  if (count === 1) return [];
  const mistakes: string[] = [];
  if (roles.length !== 1 || roles[0] !== 'proxy')
    mistakes.push(
      `MC_PROXY_WORKERS: ${count} needs MC_ROLE=proxy, and MC_ROLE is ${MC_ROLE}: where proxy and control are one process, there is one of it. Run control as a process of its own, or leave it at 1`,
    );
  const last = first + count;
  if (first !== 0 && last > 65_535) mistakes.push(`MC_PROXY_WORKERS: ${count} workers need ports up to ${last}; the last one is 65535`);
  if (first !== 0 && egress > first && egress <= last)
    mistakes.push(`MC_EGRESS_PORT: ${egress} is the port of a worker (${first + 1} to ${last}); choose another one`);
  return mistakes;
}

/** An address that only this machine reaches. */
function isLoopback(host: string): boolean {
  return /^(127(\.\d{1,3}){3}|::1|localhost)$/i.test(host);
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}

function readFile(path: string, mistakes: string[]): Partial<Record<string, unknown>> {
  if (!existsSync(path)) return {};
  let content: unknown;
  try {
    content = parseYaml(readFileSync(path, 'utf8')) ?? {};
  } catch (error) {
    mistakes.push(`${path} is not valid YAML: ${error instanceof Error ? error.message : error}`);
    return {};
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    mistakes.push(`${path} must be a list of "key: value"`);
    return {};
  }
  const names = new Map(Object.keys(SETTINGS).map((name) => [fileKey(name), name]));
  return Object.fromEntries(
    Object.entries(content).flatMap(([key, value]) => {
      const name = names.get(key);
      if (name !== undefined) return [[name, value]];
      mistakes.push(`${path}: ${key} is not a setting. Known: ${[...names.keys()].join(', ')}`);
      return [];
    }),
  );
}

/** The key of a setting in the file: camel case without the prefix. MC_CONTROL_PORT is controlPort, OPENCLAW_GATEWAY_URL is openclawGatewayUrl. */
export function fileKey(name: string): string {
  return name
    .replace(/^MC_/, '')
    .toLowerCase()
    .replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function isInside(path: string, folder: string): boolean {
  const steps = relative(folder, path);
  return steps === '' || (steps !== '..' && !steps.startsWith('../') && !isAbsolute(steps));
}
