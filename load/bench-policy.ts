/**
 * `npm run bench:policy`: the promises about the judgement, measured (SPEC 12, issue 4): what `decide` costs with 200 rules, how long a
 * replay of 100,000 recorded calls takes from the database to its result, whether it gives every decision again, and what the corpora say.
 * CPU time is the kernel's account of this process; the replay is wall time too, with all its threads. Exits with 1 where a promise is
 * missed. `--calls N` and `--json` for a smaller replay and for scripts.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { type Db, json, openDatabase } from '../control/db/database.ts';
import { createPolicies } from '../control/policies.ts';
import { createTrials } from '../control/trials.ts';
import {
  applyPatch,
  compilePolicy,
  decide,
  type Facts,
  type JsonObject,
  type Policy,
  parsePolicyText,
  recordJudgement,
  simulateCases,
  summaryOf,
  type ToolCall,
} from '../policies/index.ts';
import { recordedInput } from '../proxy/record.ts';
import { CORPUS_PATCH, corpusCases } from '../test/policies/corpora/shipped-cases.ts';
import { hostileCalls } from './hostile-input.ts';

const { values: options } = parseArgs({
  options: { calls: { type: 'string', default: '100000' }, json: { type: 'boolean', default: false } },
});
const CALLS = Number(options.calls);
const RULES = 200;
const WORST_MS = 50;
const WORST_TRIES = 5;
const INPUT_MAX_CHARS = 20_000;

const SHIPPED = readFileSync(new URL('../policies/default.yaml', import.meta.url), 'utf8');
/** A credential that is none, in pieces so that no scanner takes it for one. */
const CREDENTIAL = `ghp_${'8rT2kQv5Zx0LmN7bW3cY'}${'pD9sHfJ1aGe4uVtR'}`;

interface Line {
  promise: string;
  target: string;
  measured: string;
  kept: boolean;
}

const lines = [...measureDecide(), measureWorst(), ...(await measureReplay()), ...judgeCorpora()];
const isKept = lines.every(({ kept }) => kept);
if (options.json) console.log(JSON.stringify({ ok: isKept, lines }, null, 2));
else {
  console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.versions.node}\n`);
  console.log('| promise | target | measured | |\n| --- | --- | --- | --- |');
  for (const { promise, target, measured, kept } of lines)
    console.log(`| ${promise} | ${target} | ${measured} | ${kept ? 'kept' : 'MISSED'} |`);
}
process.exitCode = isKept ? 0 : 1;

/* ------------------------------------------------------------ decide */

function measureDecide(): Line[] {
  const policy = policyWith({ rules: rulesOf(RULES) });
  const shell = [
    'ls -la src',
    'git status',
    'cat README.md | head -20',
    'grep -rn "TODO" src',
    'npm test',
    'git add docs && git commit -m "Say why"',
  ];
  const other: ToolCall[] = [
    callOf('read', { path: 'docs/a.md' }),
    callOf('post_comment', { text: 'The build is green again; the flaky test was the clock.' }),
    callOf('read_db', { query: 'select id, title from tasks where status = 1' }),
    callOf('web_search', { query: 'kysely postgres json aggregation' }),
  ];
  const costs = (calls: readonly ToolCall[]) => calls.map((call) => medianMicros(() => decide(call, factsOf(0), policy)));
  const shellCosts = costs(shell.map((command) => callOf('exec', { command })));
  const otherCosts = costs(other);
  const line = (what: string, found: number[], most: number): Line => ({
    promise: `decide, ${what}, ${RULES} rules: median`,
    target: `≤ ${most} µs`,
    measured: `${median(found).toFixed(1)} µs (${Math.min(...found).toFixed(1)} to ${Math.max(...found).toFixed(1)} over ${found.length} calls)`,
    kept: median(found) <= most,
  });
  return [line('a shell call', shellCosts, 25), line('another call', otherCosts, 5)];
}

/** Rules as a team writes them: most name a tool, some a program, a path or a level. */
function rulesOf(count: number): JsonObject[] {
  return Array.from({ length: count }, (_, i) => {
    const when = [
      `call.tool == "server-${i}__act" && has(call.arguments.target) && call.arguments.target == "t${i}"`,
      `call.mappedTool == "write_file" && call.paths.all(p, glob("/workspace/generated-${i}/**", p))`,
      `call.mappedTool == "network_call" && call.hosts.exists(h, h == "host-${i}.example.com")`,
      `call.tool == "send_email" && agent.autonomy == "lead" && run.spendUsd > ${i}.0`,
      `call.mappedTool == "git_push" && task.type == "docs" && agent.id == "agent-${i}"`,
    ][i % 5] as string;
    return { name: `rule ${i}`, when, effect: i % 2 === 0 ? 'hold' : 'deny' };
  });
}

/** CPU microseconds of one run, the median of 31 batches. */
function medianMicros(run: () => unknown): number {
  const batch = 400;
  for (let i = 0; i < 5_000; i++) run();
  return median(
    Array.from({ length: 31 }, () => {
      const start = process.cpuUsage();
      for (let i = 0; i < batch; i++) run();
      const { user, system } = process.cpuUsage(start);
      return (user + system) / batch;
    }),
  );
}

/** The slowest of the hostile calls, each the least of several runs: what else the machine does must not count. */
function measureWorst(): Line {
  const policy = policyWith({});
  let [slowest, which, count] = [0, '', 0];
  for (const { name, call } of hostileCalls()) {
    count++;
    let least = Number.POSITIVE_INFINITY;
    for (let tried = 0; tried < WORST_TRIES && least > slowest; tried++) {
      const start = process.cpuUsage();
      decide(call, factsOf(0), policy);
      const { user, system } = process.cpuUsage(start);
      least = Math.min(least, (user + system) / 1_000);
    }
    if (least > slowest) [slowest, which] = [least, name];
  }
  return {
    promise: `the slowest of ${count.toLocaleString('en')} hostile calls of up to a megabyte`,
    target: `≤ ${WORST_MS} ms`,
    measured: `${slowest.toFixed(1)} ms (${which.replaceAll('|', '\\|')})`,
    kept: slowest <= WORST_MS,
  };
}

/* ------------------------------------------------------------ replay */

async function measureReplay(): Promise<Line[]> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-bench-policy-'));
  const { db, close } = await openDatabase(folder);
  try {
    const policies = createPolicies({ db, clock: Date.now, published: () => {}, gateRoots: [] });
    await policies.load(SHIPPED);
    const trials = createTrials({ db, clock: Date.now, policies, log: { error: (fields, message) => console.error(message, fields) } });
    await record(db, policies.current().policy);
    const same = await replay(trials, 'active');
    const changed = await replay(trials, { patch: { riskMap: { post_comment: 'red' }, budgets: { perRun: { specialist: 0.01 } } } });
    await trials.close();
    const { calls, cases } = same.result;
    const share = (100 * calls.same) / Math.max(1, CALLS);
    const target = (5 * CALLS) / 100_000;
    return [
      {
        promise: `replay of ${CALLS.toLocaleString('en')} recorded calls and ${cases.judged.toLocaleString('en')} cases by the same policy`,
        target: `≤ ${target} s`,
        measured: `${same.seconds.toFixed(2)} s (CPU of all threads ${same.cpuSeconds.toFixed(2)} s)`,
        kept: same.seconds <= target,
      },
      {
        promise: 'the same by a draft that changes a risk and a budget',
        target: `≤ ${target} s`,
        measured: `${changed.seconds.toFixed(2)} s, ${changed.result.calls.flips.allowToHold.toLocaleString('en')} calls would be held`,
        kept: changed.seconds <= target && changed.result.calls.flips.allowToHold > 0,
      },
      {
        promise: 'recorded decisions that the same policy gives again',
        target: '100 %',
        measured: `${share.toFixed(3)} % (${calls.same.toLocaleString('en')} of ${CALLS.toLocaleString('en')}, ${calls.unreadable} unreadable)`,
        kept: calls.same === CALLS,
      },
    ];
  } finally {
    await close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function replay(trials: ReturnType<typeof createTrials>, policy: 'active' | { patch: Record<string, unknown> }) {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  const actor = { type: 'human', id: 'bench', name: 'bench' } as const;
  const { id } = await trials.begin(actor, { policy, since: 0 });
  for (;;) {
    const { status, result, error } = await trials.get(id);
    if (result !== null) {
      const { user, system } = process.cpuUsage(cpu);
      return { result, seconds: (performance.now() - start) / 1_000, cpuSeconds: (user + system) / 1e6 };
    }
    if (status !== 'running') throw new Error(`the replay ended as ${status}: ${error}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Writes calls into the database as control writes what proxies tell it. */
async function record(db: Db, policy: Policy): Promise<void> {
  const now = Date.now();
  for (let from = 0; from < CALLS; from += 1_000) {
    const rows = Array.from({ length: Math.min(1_000, CALLS - from) }, (_, index) => rowOf(from + index, now, policy));
    await sql`insert into tool_calls select * from jsonb_populate_recordset(null::tool_calls, ${json(rows)})`.execute(db);
  }
}

function rowOf(index: number, now: number, policy: Policy) {
  const call = callAt(index);
  const facts = factsOf(index);
  const decision = decide(call, facts, policy);
  const input = recordedInput(call.arguments, INPUT_MAX_CHARS);
  const id = randomUUID();
  return {
    id,
    created_at: now - index,
    entry: 'openclaw',
    key: id,
    digest: id,
    agent_id: `agent-${index % 50}`,
    session_key: 's',
    tool: call.tool,
    mapped_tool: decision.classification.mappedTool,
    workspace: call.workspace,
    risk: decision.risk,
    verdict: decision.verdict,
    reasons: decision.reasons,
    status: decision.verdict === 'allow' ? 'success' : 'blocked',
    input,
    estimated_cost: 0,
    policy_version: 'v1',
    facts: recordJudgement(decision, facts, input === call.arguments),
    summary: summaryOf(input),
  };
}

/** What agents do in a day: mostly looking and writing, sometimes what is held, now and then a credential. */
function callAt(index: number): ToolCall {
  const commands = [
    `ls -la docs/part-${index}`,
    'git status && git diff --stat',
    `grep -rn "term-${index}" src docs | head -50`,
    `cat docs/chapter-${index % 700}.md`,
    'npm test',
    `git add output && git commit -m "Write part ${index}"`,
    `make release-${index}`,
    `curl -H "Authorization: Bearer ${CREDENTIAL}" https://api.example.com/v1/${index}`,
    `rm -rf build-${index}`,
  ];
  switch (index % 10) {
    case 0:
    case 1:
    case 2:
      return callOf('exec', { command: commands[Math.floor(index / 10) % commands.length] ?? 'ls', timeout: 60 });
    case 3:
      return callOf('read', { path: `docs/chapter-${index}.md` });
    case 4:
      return callOf('write', {
        path: `output/part-${index}.md`,
        content: `Part ${index}. ${'It says what was found, and where. '.repeat(20)}`,
      });
    case 5:
      return callOf('web_search', { query: `prices of part ${index}` });
    case 6:
      return callOf('web_fetch', { url: index % 3 === 0 ? `https://github.com/example/${index}` : `https://news.example.com/${index}` });
    case 7:
      return callOf('post_comment', { text: `Part ${index} is ready for review.` });
    case 8:
      return callOf('read_db', { query: `select * from orders where id = ${index}` });
    default:
      return callOf('edit', { path: `src/module-${index}.ts`, oldText: 'a', newText: 'b' });
  }
}

/* ------------------------------------------------------------ corpora */

function judgeCorpora(): Line[] {
  const agent = { id: 'agent-1', autonomy: 'specialist', status: 'active' };
  const cases = corpusCases();
  const results = simulateCases(
    cases.map((entry) => ({ agent, ...entry })),
    policyWith(CORPUS_PATCH),
  );
  const got = results.map(({ verdict }, index) => ({ verdict, expected: cases[index]?.expect.verdict, id: cases[index]?.id }));
  const risky = got.filter(({ expected }) => expected !== 'allow');
  const benign = got.filter(({ expected }) => expected === 'allow');
  const allowed = risky.filter(({ verdict }) => verdict === 'allow');
  const held = benign.filter(({ verdict }) => verdict !== 'allow');
  for (const { id, verdict, expected } of [...allowed, ...held]) console.error(`${id}: ${verdict} instead of ${expected}`);
  const share = (100 * held.length) / benign.length;
  return [
    {
      promise: `false allows, ${risky.length.toLocaleString('en')} cases that are not to pass`,
      target: '0',
      measured: String(allowed.length),
      kept: allowed.length === 0,
    },
    {
      promise: `false holds, ${benign.length.toLocaleString('en')} benign cases`,
      target: '≤ 2 %',
      measured: `${share.toFixed(2)} % (${held.length})`,
      kept: share <= 2,
    },
  ];
}

/* ------------------------------------------------------------ calls */

function callOf(tool: string, args: JsonObject): ToolCall {
  return { tool, arguments: args, cwd: null, workspace: '/workspace', toolKind: null };
}

function factsOf(index: number): Facts {
  const autonomy = (['specialist', 'lead', 'intern'] as const)[index % 17 === 0 ? 2 : index % 2] ?? 'specialist';
  return {
    agent: { id: `agent-${index % 50}`, autonomy, status: 'active', depth: 0, children: 0, currentTaskId: null, toolPermissions: null },
    task: { id: `task-${index % 90}`, type: 'engineering', status: 'in_progress', assigneeIds: [`agent-${index % 50}`] },
    system: { estop: false, squadPaused: false, activeAgents: 12 },
    spend: { run: (index % 9) * 10_000, task: 400_000, agentDay: 900_000, fleetDay: 4_000_000 },
    caps: {},
    run: { labels: index % 40 === 0 ? ['untrusted'] : [] },
    estimatedCost: null,
    approval: null,
    mcp: null,
    history: { sameErrorRetries: 0, commentsIn30Min: 0, reviewCycles: 0, pairExchangesIn10Min: 0 },
    network: { dns: {}, redirects: [] },
    files: { symlinks: {} },
    rates: { callsLastMinute: index % 7, concurrent: index % 3 },
  };
}

function policyWith(patch: unknown): Policy {
  const parsed = parsePolicyText(SHIPPED);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
  const compiled = compilePolicy(applyPatch(parsed.document, patch));
  if ('errors' in compiled) throw new Error(JSON.stringify(compiled.errors));
  return compiled.policy;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[sorted.length % 2 === 0 ? middle - 1 : middle] ?? Number.NaN, sorted[middle] ?? Number.NaN];
  return (low + high) / 2;
}
