/**
 * `npm run fuzz:policy -- --minutes 5 --seed N`: judges calls that nobody wrote, made of pieces of the corpora and of what parsers stumble
 * over, and ends with 1 where a judgement throws, differs from itself, allows what carries a blocked command as its last one, or takes
 * longer than 50 ms of CPU three times in a row. Prints the seed and the call, so that it can be judged again.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  caseFileSchema,
  casesOf,
  compilePolicy,
  decide,
  type Facts,
  type JsonObject,
  parsePolicyText,
  redact,
  type ToolCall,
} from '../policies/index.ts';

const { values: options } = parseArgs({ options: { minutes: { type: 'string', default: '5' }, seed: { type: 'string' } } });
const seed = Number(options.seed ?? Date.now() % 2 ** 31);
const until = Date.now() + Number(options.minutes) * 60_000;
const MOST_MS = 50;
const TRIES = 3;
const SHOWN_CHARS = 2_000;

const random = randomOf(seed);
const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
const policy = shippedPolicy();
const pieces = piecesOfCorpora();
const GLUE = [
  '',
  ' ',
  ' ',
  '; ',
  ' && ',
  ' | ',
  '\n',
  '"',
  "'",
  '\\',
  '$(',
  ')',
  '`',
  '{',
  '}',
  ',',
  '/',
  '..',
  '\0',
  '\u200b',
  '\u202e',
  '=',
  '<<E\n',
  '>',
  '*',
  '#',
];
const TOOLS = [
  'exec',
  'exec',
  'exec',
  'process',
  'read',
  'write',
  'edit',
  'apply_patch',
  'web_fetch',
  'browser',
  'git_push',
  'git_commit',
  'install_deps',
  'read_db',
  'send_email',
  'frobnicate',
  'tool_call',
  'post_comment',
];
const NAMES = [
  'command',
  'path',
  'url',
  'content',
  'text',
  'input',
  'query',
  'args',
  'workdir',
  'remote',
  'branch',
  'packages',
  'headers',
  'id',
];

let [judged, worst, worstCall] = [0, 0, ''];
while (Date.now() < until) {
  const call = randomCall();
  const facts = randomFacts();
  const first = judgeTimed(call, facts);
  if (!isBlockedHonoured(call, first.verdict)) fail(call, 'a blocked command as its last one was allowed');
  redact(call.arguments);
  judged++;
}
console.log(
  `seed ${seed}: ${judged.toLocaleString('en')} calls judged, none threw; the slowest took ${worst.toFixed(1)} ms: ${worstCall.slice(0, 200)}`,
);

function judgeTimed(call: ToolCall, facts: Facts) {
  let least = Number.POSITIVE_INFINITY;
  let answer: string | null = null;
  for (let tried = 0; tried < TRIES; tried++) {
    const start = process.cpuUsage();
    let decision: ReturnType<typeof decide>;
    try {
      decision = decide(call, facts, policy);
    } catch (error) {
      return fail(call, `it threw: ${error instanceof Error ? error.stack : String(error)}`);
    }
    const { user, system } = process.cpuUsage(start);
    least = Math.min(least, (user + system) / 1_000);
    const text = JSON.stringify(decision);
    if (answer !== null && answer !== text) return fail(call, 'two judgements of it differ');
    answer = text;
    // Others use the machine too: only what is slow every time counts.
    if (least <= MOST_MS && tried > 0) {
      if (least > worst) [worst, worstCall] = [least, JSON.stringify(call)];
      return decision;
    }
  }
  return fail(call, `it took ${least.toFixed(1)} ms`);
}

/** A line that ends in a command of the block list is never allowed, whatever stands before it on lines of their own. */
function isBlockedHonoured(call: ToolCall, verdict: string): boolean {
  const { command } = call.arguments;
  return call.tool !== 'exec' || typeof command !== 'string' || !command.endsWith('\nsudo rm -rf /') || verdict !== 'allow';
}

function fail(call: ToolCall, why: string): never {
  console.error(`seed ${seed}, call ${judged}: ${why}\n${JSON.stringify(call).slice(0, SHOWN_CHARS)}`);
  process.exit(1);
}

function randomCall(): ToolCall {
  const tool = pick(TOOLS);
  const args: JsonObject = {};
  for (let count = 1 + Math.floor(random() * 3); count > 0; count--) args[pick(NAMES)] = randomValue(0);
  if (tool === 'exec') args.command = random() < 0.2 ? `${randomText()}\nsudo rm -rf /` : randomText();
  const place = random() < 0.9 ? null : randomText().slice(0, 100);
  return {
    tool,
    arguments: args,
    cwd: place,
    workspace: random() < 0.95 ? '/workspace' : null,
    toolKind: random() < 0.98 ? null : 'code_mode_exec',
  };
}

function randomValue(depth: number): JsonObject[string] {
  const kind = random();
  if (kind < 0.75 || depth > 4) return randomText();
  if (kind < 0.8) return pick([0, -1, 1e300, true, false, null]);
  if (kind < 0.9) return Array.from({ length: Math.floor(random() * 5) }, () => randomValue(depth + 1));
  return Object.fromEntries(
    Array.from({ length: Math.floor(random() * 4) }, () => [
      random() < 0.5 ? pick(NAMES) : randomText().slice(0, 30),
      randomValue(depth + 1),
    ]),
  );
}

function randomText(): string {
  let text = '';
  for (let count = 1 + Math.floor(random() * 6); count > 0; count--) text += piece() + pick(GLUE);
  if (random() < 0.01) text = text.repeat(1 + Math.floor(random() * 2_000)).slice(0, 1_000_000);
  return text;
}

/** A piece of the corpora: whole, cut, or with characters changed. */
function piece(): string {
  const whole = pick(pieces);
  const kind = random();
  if (kind < 0.5) return whole;
  const [from, to] = [Math.floor(random() * whole.length), Math.floor(random() * (whole.length + 1))];
  if (kind < 0.75) return whole.slice(Math.min(from, to), Math.max(from, to));
  return whole.slice(0, from) + (random() < 0.5 ? pick(GLUE) : String.fromCodePoint(Math.floor(random() * 0x3000))) + whole.slice(from + 1);
}

function randomFacts(): Facts {
  return {
    agent: {
      id: 'agent-1',
      autonomy: pick(['intern', 'specialist', 'lead']),
      status: 'active',
      depth: 0,
      children: 0,
      currentTaskId: null,
      toolPermissions: random() < 0.9 ? null : [pick(TOOLS)],
    },
    task:
      random() < 0.5 ? null : { id: 't', type: pick(['engineering', 'docs', 'content']), status: 'in_progress', assigneeIds: ['agent-1'] },
    system: { estop: false, squadPaused: false, activeAgents: 3 },
    spend: { run: 0, task: 0, agentDay: 0, fleetDay: 0 },
    caps: {},
    run: { labels: random() < 0.8 ? [] : ['untrusted', 'private', 'code'] },
    estimatedCost: null,
    approval: null,
    mcp: null,
    history: { sameErrorRetries: 0, commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0 },
    network: { dns: {}, redirects: random() < 0.95 ? [] : [randomText()] },
    files: { symlinks: random() < 0.9 ? {} : { '/workspace/docs': pick(['/etc', '/workspace/src', '..']) } },
    rates: { callsLastMinute: 0, concurrent: 0 },
  };
}

function shippedPolicy() {
  const source = readFileSync(new URL('../policies/default.yaml', import.meta.url), 'utf8');
  const parsed = parsePolicyText(source);
  const compiled = 'document' in parsed ? compilePolicy(parsed.document) : parsed;
  if ('errors' in compiled) throw new Error(JSON.stringify(compiled.errors));
  return compiled.policy;
}

function piecesOfCorpora(): string[] {
  const file = caseFileSchema.parse(JSON.parse(readFileSync(new URL('../policies/cases.json', import.meta.url), 'utf8')));
  return casesOf(file).flatMap((entry) => {
    const { arguments: args } = entry as { arguments?: unknown };
    return typeof args === 'object' && args !== null
      ? Object.values(args).filter((value): value is string => typeof value === 'string' && value !== '')
      : [];
  });
}

/** mulberry32: small, and the same on every machine. */
function randomOf(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
