/**
 * Requests that no honest client sends, made from a seed: every route that the API describes and every path of the proxy, with bodies, queries,
 * headers and framings that are wrong in many ways. The same seed and index give the same request, so a finding can be sent again alone.
 */
import type { JsonObject } from '../../policies/index.ts';

/** What the requests are aimed at. */
export interface Targets {
  /** `paths` of /api/openapi.json. */
  paths: Record<string, Record<string, Operation>>;
  /** `components.schemas` of it. */
  schemas: Record<string, Schema>;
  tokens: { admin: string; agent: string; gateway: string };
  /** Of the stage: a task, a call, a policy; what may be read and changed without an end of the stage. */
  ids: readonly string[];
  /** Names of upstreams, one of each kind. */
  upstreams: { http: string; mcp: string; model: string };
}

/** One request as bytes. */
export interface BadRequestBytes {
  listener: 'control' | 'proxy' | 'egress';
  /** For the report: method and the beginning of its path, and what is wrong with it. */
  name: string;
  bytes: Buffer;
  /** Its answer may stay open: a stream. */
  mayStayOpen: boolean;
  /** It may be several requests, or none. */
  isBroken: boolean;
}

interface Schema {
  type?: string | string[];
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  enum?: unknown[];
  const?: unknown;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  $ref?: string;
  additionalProperties?: Schema | boolean;
}
interface Operation {
  parameters?: { name: string; in: string; schema?: Schema }[];
  requestBody?: { content?: Record<string, { schema?: Schema }> };
}

/** These do much by being valid: they always carry a field that no route takes. */
const LEVERS = /emergency|backup|\/(pause|drain|quarantine|restart)$|activate|replay|shadows|\/test$|upstreams|channels|gateways|operators/;

/** Makes the request with this number of the campaign with this seed. */
export function badRequest(seed: number, index: number, targets: Targets): BadRequestBytes {
  const dice = new Dice(seed * 1_000_003 + index);
  const where = dice.weighted([
    ['control', 12],
    ['proxy', 8],
    ['egress', 2],
  ] as const);
  const made = where === 'control' ? forControl(dice, targets) : where === 'proxy' ? forProxy(dice, targets) : forEgress(dice, targets);
  return { listener: where, ...write(dice, made) };
}

interface Draft {
  method: string;
  target: string;
  headers: [name: string, value: string][];
  body: Buffer | null;
  mayStayOpen: boolean;
}

/* ---------------------------------------------------------------- what is asked */

const METHODS = ['GET', 'POST', 'PATCH', 'DELETE', 'PUT', 'HEAD', 'OPTIONS'];
const ELSEWHERE = [
  '/',
  '/board',
  '/assets/x.js',
  '/sign-in',
  '/healthz',
  '/readyz',
  '/metrics',
  '/api',
  '/api/docs',
  '/api/session',
  '/api/events',
  '/api/openapi.json',
  '/oauth/callback?code=x&state=y',
  '/chat/telegram/x',
  '/chat/slack/x',
  ...['hello', 'stream', 'journal', 'holds', 'holds/x', 'stop', 'members', 'applied', 'ledger/join', 'mission-control', 'stops/x'].map(
    (name) => `/internal/v1/${name}`,
  ),
];

function forControl(dice: Dice, targets: Targets): Draft {
  if (dice.chance(0.15)) {
    const path = dice.chance(0.7) ? dice.pick(ELSEWHERE) : `/${dice.pick(TEXTS)}`;
    const method = dice.pick(METHODS);
    return draft(dice, targets, method, path, bodyOf(dice, null, true), path.includes('events'));
  }
  const [path, operations] = dice.pick(Object.entries(targets.paths));
  const [method, operation] = dice.pick(Object.entries(operations));
  const verb = dice.chance(0.93) ? method.toUpperCase() : dice.pick(METHODS);
  const filled = path.replaceAll(/\{\w+\}/g, () => segment(dice, targets));
  const query = queryOf(dice, operation);
  const schema = operation.requestBody?.content?.['application/json']?.schema ?? null;
  const isLever = LEVERS.test(path);
  const body = verb === 'GET' || verb === 'HEAD' ? null : bodyOf(dice, schema && resolve(schema, targets), isLever, targets);
  return draft(dice, targets, verb, `${filled}${query}`, body, path.endsWith('/events'));
}

const CALL: Schema = {
  type: 'object',
  required: ['tool', 'arguments'],
  properties: Object.fromEntries(
    ['tool', 'callId', 'agentId', 'sessionKey', 'runId', 'taskId', 'cwd', 'workspace', 'toolKind', 'traceId'].map((name) => [
      name,
      { type: 'string' },
    ]),
  ),
};
const BODIES: Record<string, Schema> = {
  '/v1/tool-calls': { ...CALL, properties: { ...CALL.properties, arguments: { type: 'object' } } },
  '/v1/tool-calls/{id}/outcome': {
    type: 'object',
    required: ['status', 'durationMs'],
    properties: {
      status: { enum: ['success', 'failed'] },
      durationMs: { type: 'number' },
      output: {},
      error: { type: 'string' },
      usage: { type: 'object' },
    },
  },
  '/v1/tool-calls/{id}/cancel': { type: 'object' },
  '/v1/runs/check': { type: 'object', properties: { runId: { type: 'string' }, sessionKey: { type: 'string' } } },
  '/v1/runs/end': { type: 'object', required: ['runId'], properties: { runId: { type: 'string' }, status: { type: 'string' } } },
  '/v1/spawns': { type: 'object', properties: { parent: { type: 'string' }, child: { type: 'string' } } },
  '/v1/heartbeats': {
    type: 'object',
    required: ['pluginVersion'],
    properties: { pluginVersion: { type: 'string' }, agents: { type: 'array' }, sessions: { type: 'integer' } },
  },
  '/internal/v1/stop': { type: 'object', properties: { stopId: { type: 'string' }, seal: { type: 'string' } } },
};
const RPC_METHODS = [
  'initialize',
  'tools/call',
  'tools/list',
  'resources/read',
  'prompts/get',
  'ping',
  'notifications/cancelled',
  'completion/complete',
  'no/such',
  '',
];

function forProxy(dice: Dice, targets: Targets): Draft {
  const kind = dice.weighted([
    ['gate', 8],
    ['mcp', 5],
    ['http', 5],
    ['model', 4],
    ['other', 2],
  ] as const);
  const method = dice.chance(0.9) ? 'POST' : dice.pick(METHODS);
  switch (kind) {
    case 'gate': {
      const [path, schema] = dice.pick(Object.entries(BODIES));
      const poll = dice.chance(0.15) ? `?waitMs=${dice.pick(['0', '-1', '1e9', 'x', ''])}` : '';
      return draft(dice, targets, poll ? 'GET' : method, path.replace('{id}', segment(dice, targets)) + poll, bodyOf(dice, schema, false));
    }
    case 'mcp': {
      const params = dice.chance(0.5) ? { name: dice.pick(TEXTS), arguments: dice.json(3), uri: dice.pick(TEXTS) } : dice.json(3);
      const message = { jsonrpc: dice.pick(['2.0', '2.0', '2.0', '1.0', 2]), id: dice.json(1), method: dice.pick(RPC_METHODS), params };
      const text = dice.chance(0.85) ? JSON.stringify(dice.chance(0.1) ? [message, message] : message) : null;
      const path = `/mcp/${dice.pick([targets.upstreams.mcp, 'mission-control', segment(dice, targets)])}`;
      const made = draft(dice, targets, method, path, text === null ? bodyOf(dice, null, false) : spoil(dice, text), true);
      if (dice.chance(0.5)) made.headers.push(['accept', 'application/json, text/event-stream']);
      if (dice.chance(0.4))
        made.headers.push(['mcp-protocol-version', dice.pick(['2025-06-18', '2025-11-25', '2026-07-28', 'x', '2024-11-05'])]);
      if (dice.chance(0.3)) made.headers.push(['mcp-session-id', dice.pick(HEADER_TEXTS)]);
      return made;
    }
    case 'http': {
      const path = `/http/${targets.upstreams.http}/${dice.pick(['a', 'a/b', '..', '%2e%2e/x', 'a//b', 'a;b', 'a%00', '%', '\\', 'ä', ''])}`;
      return draft(dice, targets, dice.pick([...METHODS, 'POST', 'POST', 'TRACE']), path + queryOf(dice, {}), bodyOf(dice, null, false));
    }
    case 'model': {
      const path = dice.pick(['/v1/chat/completions', '/v1/responses', '/v1/messages', '/chat/completions', '/x', '/']);
      const body = {
        model: dice.chance(0.6) ? 'test-model' : dice.json(1),
        messages: dice.chance(0.5) ? [{ role: 'user', content: dice.json(2) }] : dice.json(3),
        max_tokens: dice.chance(0.5) ? 10 : dice.json(1),
        stream: dice.pick([false, false, 'x', null]),
        n: dice.json(1),
        tools: dice.json(3),
      };
      return draft(dice, targets, method, `/model/${targets.upstreams.model}${path}`, spoil(dice, JSON.stringify(body)), true);
    }
    case 'other':
      return draft(
        dice,
        targets,
        dice.pick(METHODS),
        dice.pick([
          '/',
          '/healthz',
          '/readyz',
          '/metrics',
          '/openclaw',
          '/openclaw/x',
          '/v1',
          '/v1/tool-calls/',
          '/mcp/',
          '/model/x',
          `/${dice.pick(TEXTS)}`,
        ]),
        bodyOf(dice, null, false),
      );
  }
}

function forEgress(dice: Dice, targets: Targets): Draft {
  const host = dice.pick([
    '127.0.0.1:1',
    'localhost',
    '[::1]:80',
    'evil.invalid',
    '169.254.169.254',
    '0x7f.1',
    '2130706433',
    'a b',
    '',
    '%00',
    'ä.invalid',
    'x'.repeat(300),
    '[::ffff:127.0.0.1]:80',
    'evil.invalid:99999',
    'user:pw@evil.invalid',
    'evil.invalid:-1',
  ]);
  const isTunnel = dice.chance(0.5);
  const path = dice.pick(['/', '/x?y=z', '', '/../..', `/${dice.pick(TEXTS)}`]);
  const scheme = dice.pick(['http', 'http', 'https', 'ftp', 'file', 'HTTP', '']);
  const made = draft(
    dice,
    targets,
    isTunnel ? 'CONNECT' : dice.pick(METHODS),
    isTunnel ? host : `${scheme}://${host}${path}`,
    bodyOf(dice, null, false),
  );
  const { agent, gateway, admin } = targets.tokens;
  const token = dice.pick([agent, agent, gateway, admin, 'mca_wrong']);
  made.headers = made.headers.filter(([name]) => name !== 'authorization');
  made.headers.push(['proxy-authorization', dice.chance(0.5) ? `Bearer ${token}` : `Basic ${btoa(`x:${token}`)}`]);
  return made;
}

/* ---------------------------------------------------------------- its parts */

/** Texts that parsers, databases, shells, paths and pages stumble over. */
const TEXTS: readonly string[] = [
  '',
  ' ',
  'x',
  'null',
  'undefined',
  'NaN',
  '-1',
  '0x10',
  '1e400',
  '9'.repeat(400),
  "' OR '1'='1",
  "x'); DROP TABLE tasks; --",
  '1; SELECT pg_sleep(5)--',
  '$1',
  '#{7*7}',
  '{{7*7}}',
  '%s%n%x',
  '../../../../etc/passwd',
  '..\\..\\x',
  'file:///etc/passwd',
  '/proc/self/environ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '\udfff\ud800',
  '\u202eevil\u202c',
  '\ufeff',
  '\u200b',
  'ÅÄÖ',
  'e\u0301'.repeat(50),
  '😀'.repeat(100),
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  '\r\nset-cookie: a=b',
  '\n\n',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '(a+)+$',
  `${'a'.repeat(30_000)}!`,
  '%00',
  '%E0%A4%A',
  '%%%',
  '*',
  '%',
  '_',
  '\\',
  '2026-13-45T99:99:99Z',
  'Infinity',
  'http://169.254.169.254/latest/meta-data/',
  'http://127.0.0.1:1/',
  'javascript:alert(1)',
  'data:text/html,x',
];
/** What a header line can carry. */
const HEADER_TEXTS: readonly string[] = [
  '',
  ' ',
  'x',
  '"3"',
  'W/"3"',
  '*',
  '-1',
  '9'.repeat(50),
  "' OR 1=1",
  '\u00e4\u00ff',
  '%00',
  ',',
  ';',
  '"',
  'x'.repeat(4_000),
  'a, b, c',
  '../..',
  '\t',
];
const NUMBERS: readonly unknown[] = [
  0,
  -0,
  -1,
  1,
  0.1,
  1e-7,
  1e21,
  1e308,
  -1e308,
  2 ** 31,
  2 ** 53,
  2 ** 53 + 2,
  4_294_967_296,
  Number.MIN_VALUE,
];

/** A path segment, written as a client would: encoded, or not quite. */
function segment(dice: Dice, { ids }: Targets): string {
  if (dice.chance(0.6)) return dice.pick(ids);
  const text = dice.pick(TEXTS).slice(0, 8_000);
  return dice.chance(0.9) ? encoded(text) || 'x' : dice.pick(['%', '%zz', '%c0%af', '..;', '.', '%2e%2e', '%2F', 'a%20b', '%ff']);
}

function queryOf(dice: Dice, { parameters = [] }: Operation): string {
  const names = parameters.filter((parameter) => parameter.in === 'query').map((parameter) => parameter.name);
  // Where none is known, any is refused before the body is looked at.
  if (dice.chance(names.length > 0 ? 0.4 : 0.9)) return '';
  const pairs = Array.from({ length: dice.below(4) + 1 }, () => {
    const name = names.length > 0 && dice.chance(0.85) ? dice.pick(names) : encoded(dice.pick(TEXTS).slice(0, 100));
    const value = dice.chance(0.9) ? encoded(dice.pick(TEXTS).slice(0, 8_000)) : dice.pick(['%', '%zz', '%c0%af', '[]', '+', 'a=b=c']);
    return dice.chance(0.9) ? `${name}=${value}` : dice.pick([name, `${name}[]=${value}`, `${name}=${value}&${name}=x`, '&', '=', '?']);
  });
  return `?${pairs.join(dice.chance(0.95) ? '&' : ';')}`;
}

function encoded(text: string): string {
  return encodeURIComponent(text.replaceAll(/[\ud800-\udfff]/g, 'x'));
}

/** A body for this schema with something wrong in it, or one that is no JSON at all; now and then it is right. */
function bodyOf(dice: Dice, schema: Schema | null, isLever: boolean, targets?: Targets): Buffer | null {
  if (!isLever && dice.chance(0.05)) return null;
  if (dice.chance(0.05)) return Buffer.from(JSON.stringify(dice.pick([null, 17, 'text', [], [[]], true, dice.json(4)])));
  const made = schema === null ? dice.json(4) : sample(dice, schema, targets, 0);
  const body = typeof made === 'object' && made !== null && !Array.isArray(made) ? { ...made } : { value: made };
  if (isLever || dice.chance(0.03)) Object.assign(body, { noSuchField: 1 });
  return spoil(dice, JSON.stringify(body));
}

/** Usually as it is; else cut, doubled, in another encoding, or with a syntax that only some readers take. */
function spoil(dice: Dice, text: string): Buffer {
  if (dice.chance(0.88)) return Buffer.from(text);
  switch (dice.below(9)) {
    case 0:
      return Buffer.from(text.slice(0, Math.floor(text.length / 2)));
    case 1:
      return Buffer.from(text + text);
    case 2:
      return Buffer.from(`\ufeff${text}`);
    case 3:
      return Buffer.from(text, 'utf16le');
    case 4:
      return Buffer.concat([Buffer.from(text.slice(0, 5)), Buffer.from([0xff, 0xfe, 0xc0, 0xaf]), Buffer.from(text.slice(5))]);
    case 5:
      return Buffer.from(text.replace('{', '{"a":1,"a":2,'));
    case 6:
      return Buffer.from(text.replace(/\}$/, ',}'));
    case 7:
      return Buffer.from(`${'['.repeat(5_000)}${text}${']'.repeat(5_000)}`);
    default:
      return Buffer.from(text.replaceAll('"', "'"));
  }
}

/** A value of this schema; each part of it is wrong with one chance in twenty-five. */
function sample(dice: Dice, given: Schema, targets: Targets | undefined, depth: number): unknown {
  if (depth > 6 || dice.chance(0.04)) return dice.json(2);
  const schema = targets ? resolve(given, targets) : given;
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return dice.pick(schema.enum);
  const choice = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (choice) return sample(dice, dice.pick(choice), targets, depth + 1);
  const type = Array.isArray(schema.type) ? dice.pick(schema.type) : schema.type;
  switch (type) {
    case 'object': {
      const properties = Object.entries(schema.properties ?? {});
      const kept = properties.filter(([name]) => schema.required?.includes(name) || dice.chance(0.2));
      return Object.fromEntries(kept.map(([name, property]) => [name, sample(dice, property, targets, depth + 1)]));
    }
    case 'array':
      return Array.from({ length: dice.below(3) }, () => sample(dice, schema.items ?? {}, targets, depth + 1));
    case 'integer':
    case 'number':
      return dice.chance(0.8) ? dice.below(100) : dice.pick(NUMBERS);
    case 'boolean':
      return dice.chance(0.5);
    case 'null':
      return null;
    case 'string':
      return targets && dice.chance(0.1) ? dice.pick(targets.ids) : dice.chance(0.7) ? `text-${dice.below(1_000)}` : dice.pick(TEXTS);
    default:
      return dice.json(2);
  }
}

function resolve(schema: Schema, { schemas }: Targets): Schema {
  const name = schema.$ref?.split('/').at(-1);
  return name === undefined ? schema : (schemas[name] ?? {});
}

/* ---------------------------------------------------------------- how it is written */

const ODD_HEADERS = [
  'if-match',
  'idempotency-key',
  'last-event-id',
  'accept',
  'accept-encoding',
  'content-encoding',
  'origin',
  'cookie',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-original-url',
  'x-http-method-override',
  'x-mc-task',
  'x-mc-run',
  'x-mc-session',
  'x-mc-agent',
  'x-mc-csrf',
  'traceparent',
  'range',
  'te',
  'upgrade',
  'http2-settings',
  'forwarded',
  'x-api-key',
  '__proto__',
  'constructor',
];

function draft(dice: Dice, { tokens }: Targets, method: string, target: string, body: Buffer | null, mayStayOpen = false): Draft {
  const isAgents = /^\/(v1|mcp|http|model)\b/.test(target);
  const token = dice.chance(0.92)
    ? isAgents
      ? dice.pick([tokens.agent, tokens.agent, tokens.gateway])
      : tokens.admin
    : dice.pick([tokens.agent, tokens.gateway, tokens.admin, 'mca_wrong', 'x'.repeat(4_000), '', 'a b', '\u00ff']);
  const headers: Draft['headers'] = [];
  if (dice.chance(0.97)) headers.push(['authorization', `${dice.chance(0.97) ? 'Bearer' : dice.pick(['Basic', 'bearer', ''])} ${token}`]);
  if (body !== null)
    headers.push([
      'content-type',
      dice.chance(0.92)
        ? 'application/json'
        : dice.pick([
            'text/plain',
            '',
            'application/json; charset=utf-16',
            'multipart/form-data',
            'application/x-www-form-urlencoded',
            'x'.repeat(2_000),
          ]),
    ]);
  while (dice.chance(0.3)) headers.push([dice.pick(ODD_HEADERS), dice.pick(HEADER_TEXTS)]);
  return { method, target, headers, body, mayStayOpen };
}

const BREAKS: readonly [name: string, apply: (head: string, length: number) => string][] = [
  ['a second length', (head, length) => head.replace('\r\n', `\r\ncontent-length: ${length + 1}\r\n`)],
  ['length and chunks', (head) => head.replace('\r\n', '\r\ntransfer-encoding: chunked\r\n')],
  ['an unknown coding', (head) => head.replace('\r\n', '\r\ntransfer-encoding: gzip, chunked\r\n')],
  ['a folded header', (head) => head.replace('\r\n', '\r\nx-a: b\r\n\tc: d\r\n')],
  ['a bare line feed', (head) => head.replaceAll('\r\n', '\n')],
  ['a bare carriage return', (head) => head.replace('\r\n', '\rx-a: b\r\n')],
  ['a space before a colon', (head) => head.replace('\r\n', '\r\ntransfer-encoding : chunked\r\n')],
  ['a header without a colon', (head) => head.replace('\r\n', '\r\nnothing\r\n')],
  ['NUL in a header', (head) => head.replace('\r\n', '\r\nx-a: b\0c\r\n')],
  ['a head of 100 KB', (head) => head.replace('\r\n', `\r\nx-a: ${'y'.repeat(100_000)}\r\n`)],
  ['2,000 headers', (head) => head.replace('\r\n', `\r\n${Array.from({ length: 2_000 }, (_, n) => `x${n}: y`).join('\r\n')}\r\n`)],
  ['two hosts', (head) => head.replace('\r\n', '\r\nhost: elsewhere\r\n')],
  ['no version', (head) => head.replace(' HTTP/1.1', '')],
  ['HTTP/1.0', (head) => head.replace('HTTP/1.1', 'HTTP/1.0')],
  ['HTTP/9.9', (head) => head.replace('HTTP/1.1', 'HTTP/9.9')],
  ['a negative length', (head) => head.replace(/content-length: \d+/, 'content-length: -1')],
  ['a length that is too long', (head) => head.replace(/content-length: (\d+)/, 'content-length: 1$1')],
  ['a length with a sign', (head) => head.replace(/content-length: /, 'content-length: +')],
  ['a lower-case method', (head) => head.toLowerCase()],
  ['a method that is none', (head) => head.replace(/^\w+/, 'BREW')],
  ['an absolute address', (head) => head.replace(/^(\w+) \//, '$1 http://elsewhere.invalid/')],
  ['an expectation', (head) => head.replace('\r\n', '\r\nexpect: 100-continue\r\n')],
  ['an unknown expectation', (head) => head.replace('\r\n', '\r\nexpect: tea\r\n')],
  [
    'an offered protocol',
    (head) => head.replace('\r\n', '\r\nconnection: upgrade\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n'),
  ],
  ['a Connection that names credentials', (head) => head.replace('\r\n', '\r\nconnection: authorization, content-length, host\r\n')],
];

function write(dice: Dice, { method, target, headers, body, mayStayOpen }: Draft): Omit<BadRequestBytes, 'listener'> {
  const path = target.replaceAll(/[^\x21-\xff]/g, (character) => encoded(character));
  const isChunked = body !== null && dice.chance(0.1);
  const lines = [
    `${method} ${path} HTTP/1.1`,
    'host: localhost',
    'connection: close',
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(body === null ? [] : [isChunked ? 'transfer-encoding: chunked' : `content-length: ${body.length}`]),
  ];
  const plain = `${lines.join('\r\n')}\r\n\r\n`;
  const [what, apply] = dice.chance(0.15) ? dice.pick(BREAKS) : ['', (head: string) => head];
  const head = Buffer.from(apply(plain, body?.length ?? 0), 'latin1');
  const framed =
    isChunked && body ? Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]) : body;
  return {
    name: `${method} ${path.slice(0, 120)}${what && `, ${what}`}`,
    bytes: framed === null ? head : Buffer.concat([head, framed]),
    mayStayOpen,
    isBroken: what !== '',
  };
}

/** Mulberry32 with the questions of this file: small, and the same everywhere. */
class Dice {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
    // Neighbouring seeds begin alike.
    for (let i = 0; i < 3; i++) this.next();
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) / 4_294_967_296;
  }

  below(count: number): number {
    return Math.floor(this.next() * count);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  weighted<T>(items: readonly (readonly [T, number])[]): T {
    let left = this.next() * items.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [item, weight] of items) {
      left -= weight;
      if (left < 0) return item;
    }
    return this.pick(items)[0];
  }

  /** Any JSON value, `depth` deep at most. */
  json(depth: number): unknown {
    const kind = this.below(depth > 0 ? 6 : 4);
    if (kind === 0) return this.pick([null, true, false]);
    if (kind === 1) return this.pick(NUMBERS);
    if (kind <= 3) return this.pick(TEXTS);
    if (kind === 4) return Array.from({ length: this.below(4) }, () => this.json(depth - 1));
    const entries = Array.from({ length: this.below(4) }, () => [this.pick(TEXTS).slice(0, 50), this.json(depth - 1)]);
    return Object.fromEntries(entries) as JsonObject;
  }
}
