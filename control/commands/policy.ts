/**
 * `policy check|test|simulate|replay`: a policy file checked and tested where it lies, without a running product; simulations and replays
 * by the product that runs. For people and for CI: one line a finding, `--json` for scripts, exit code 0 only where nothing is wrong.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { parse } from 'yaml';
import {
  applyPatch,
  caseFileSchema,
  casesOf,
  compilePolicy,
  FLIP_KINDS,
  MAX_CASES,
  type Policy,
  type PolicyError,
  parsePolicyText,
  type SimulateResult,
  testCases,
} from '../../policies/index.ts';
import type { ResolvedSettings } from '../../settings.ts';
import type { Replay } from '../contract.ts';
import { apiClient, CommandError } from './client.ts';

const SHIPPED_POLICY = new URL('../../policies/default.yaml', import.meta.url);
const SHIPPED_CASES = new URL('../../policies/cases.json', import.meta.url);
const LOOK_MS = 250;
const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

interface PolicyOptions {
  patch?: string;
  json?: true;
}

/** Adds the commands. @param settings read only by those that talk to the running product. */
export function addPolicyCommands(program: Command, settings: () => ResolvedSettings): void {
  const policy = program.command('policy').description('Check, test and try out policies');

  policy
    .command('check')
    .description('Say what is wrong with a policy file, with line and column')
    .argument('<file>', 'the policy, YAML or JSON')
    .option('--patch <file>', 'a merge patch that is laid over it, such as a profile')
    .option('--json', 'print the findings as JSON')
    .action((file: string, options: PolicyOptions) => {
      process.exitCode = checkPolicy(file, options) ? 0 : 1;
    });

  policy
    .command('test')
    .description('Judge a file of cases and say which do not come out as they say; without a file, the shipped ones')
    .argument('[cases]', 'the cases, YAML or JSON')
    .option('--policy <file>', 'the policy; the shipped one where nothing is said')
    .option('--patch <file>', 'a merge patch that is laid over it, such as a profile')
    .option('--json', 'print the outcomes as JSON')
    .action((cases: string | undefined, options: PolicyOptions & { policy?: string }) => {
      process.exitCode = testPolicy(cases, options) ? 0 : 1;
    });

  policy
    .command('simulate')
    .description('Judge a file of cases by a policy of the running product, without effects')
    .argument('<cases>', 'the cases, YAML or JSON')
    .option('--policy <version>', 'a version by name, number or id', 'active')
    .option('--patch <file>', 'a merge patch over the active policy, instead of a version')
    .option('--json', 'print the results as JSON')
    .action(async (cases: string, options: PolicyOptions & { policy: string }) => {
      await simulate(settings(), cases, options);
    });

  policy
    .command('replay')
    .description('Judge recorded calls by a draft and say what it would change; exit code 1 where it would let red calls run')
    .argument('[version]', 'a version by name, number or id; "active" where nothing is said', 'active')
    .option('--patch <file>', 'a merge patch over the active policy, instead of a version')
    .option('--since <when>', 'how far back, such as 12h or 7d, or an ISO date', '7d')
    .option('--until <when>', 'where the window ends, in the same form; now where nothing is said')
    .option('--json', 'print the replay as JSON')
    .action(async (version: string, options: PolicyOptions & { since: string; until?: string }) => {
      process.exitCode = (await replay(settings(), version, options)) ? 0 : 1;
    });
}

/* ------------------------------------------------------------ check and test */

function checkPolicy(file: string, { patch, json }: PolicyOptions): boolean {
  const compiled = compileFile(file, patch);
  const errors = 'errors' in compiled ? compiled.errors : [];
  if (json) console.log(JSON.stringify({ ok: errors.length === 0, errors }, null, 2));
  else if (errors.length === 0) console.log(`${file}: ok`);
  else for (const error of errors) console.log(describeMistake(file, error));
  return errors.length === 0;
}

function describeMistake(file: string, { path, message, line, column }: PolicyError): string {
  const where = line === undefined ? file : `${file}:${line}:${column ?? 1}`;
  return path === '' ? `${where}: ${message}` : `${where}: ${path}: ${message}`;
}

function testPolicy(casesFile: string | undefined, { policy: policyFile, patch, json }: PolicyOptions & { policy?: string }): boolean {
  const file = policyFile ?? SHIPPED_POLICY;
  const given = readCases(casesFile ?? SHIPPED_CASES);
  const compiled = compileFile(file, patch, given.patch);
  if ('errors' in compiled) {
    throw new CommandError(
      'POLICY_INVALID',
      compiled.errors.map((error) => describeMistake(String(policyFile ?? 'default.yaml'), error)).join('\n'),
    );
  }
  const outcomes = testCases(given, compiled.policy);
  const failed = outcomes.filter(({ failures }) => failures.length > 0);
  if (json) {
    const cases = outcomes.map(({ id, failures, result: { verdict, risk, reasons } }) => ({ id, failures, verdict, risk, reasons }));
    console.log(JSON.stringify({ ok: failed.length === 0, judged: outcomes.length, failed: failed.length, cases }, null, 2));
    return failed.length === 0;
  }
  for (const { id, failures, result } of failed) {
    console.log(`FAILED ${id}: ${failures.join('; ')}`);
    for (const { code, message } of result.reasons.slice(0, 5)) console.log(`       ${code}: ${message}`);
  }
  console.log(`${outcomes.length - failed.length} of ${outcomes.length} cases as expected`);
  return failed.length === 0;
}

function compileFile(file: string | URL, ...patches: unknown[]): { policy: Policy } | { errors: PolicyError[] } {
  const source = readText(file);
  const parsed = parsePolicyText(source);
  if ('errors' in parsed) return parsed;
  const given = patches.filter((patch) => patch !== undefined).map((patch) => (typeof patch === 'string' ? readData(patch) : patch));
  const document = given.reduce((below: unknown, patch) => applyPatch(below, patch), parsed.document);
  // Positions are those of the file, and with a patch over it the mistake may stand in the patch.
  return compilePolicy(document, given.length === 0 ? source : undefined);
}

/* ------------------------------------------------------------ simulate and replay */

async function simulate(
  settings: ResolvedSettings,
  file: string,
  { policy, patch, json }: PolicyOptions & { policy: string },
): Promise<void> {
  const cases = casesOf(readCases(file));
  const reference = patch === undefined ? versionOf(policy) : { patch: readData(patch) };
  const client = apiClient(settings);
  const results: SimulateResult[] = [];
  for (let from = 0; from < cases.length; from += MAX_CASES) {
    const body = { policy: reference, cases: cases.slice(from, from + MAX_CASES) };
    results.push(...(await client.post<{ results: SimulateResult[] }>('/policies/simulate', body)).results);
  }
  if (json) return console.log(JSON.stringify({ results }, null, 2));
  for (const { id, verdict, risk, reasons } of results) {
    console.log(`${verdict.padEnd(5)}  ${risk.padEnd(6)}  ${id}  ${reasons.map(({ code }) => code).join(' ')}`);
  }
}

async function replay(
  settings: ResolvedSettings,
  version: string,
  { patch, since, until, json }: PolicyOptions & { since: string; until?: string },
): Promise<boolean> {
  const client = apiClient(settings);
  const now = Date.now();
  const policy = patch === undefined ? versionOf(version) : { patch: readData(patch) };
  const window = { since: momentOf(since, now), until: until === undefined ? now : momentOf(until, now) };
  let state = await client.post<Replay>('/policies/replay', { policy, ...window });
  const cancel = () => void client.post(`/policies/replays/${state.id}/cancel`, {}).catch(() => {});
  process.once('SIGINT', cancel);
  while (state.status === 'running') {
    await sleep(LOOK_MS);
    state = await client.get<Replay>(`/policies/replays/${state.id}`);
    if (process.stderr.isTTY) process.stderr.write(`\r${state.judged} of ${state.total} calls`);
  }
  process.off('SIGINT', cancel);
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  const { result } = state;
  if (json) console.log(JSON.stringify(state, null, 2));
  else if (result === null) console.log(`The replay ended as ${state.status}${state.error === null ? '' : `: ${state.error}`}`);
  else printReplay(state, result);
  return result !== null && result.redFlips.count === 0;
}

function printReplay({ id, policy, base }: Replay, { calls, cases, examples, redFlips, unseen }: NonNullable<Replay['result']>): void {
  console.log(`Replay ${id}: ${policy.name} against what was decided, and against ${base.version} for the shipped cases`);
  console.log(`calls: ${calls.judged} judged, ${calls.same} the same, ${calls.unreadable} without a judgement that could be read`);
  console.log(`cases: ${cases.judged} judged, ${cases.same} the same`);
  for (const kind of FLIP_KINDS) {
    const count = calls.flips[kind] + cases.flips[kind];
    if (count === 0) continue;
    console.log(`${kind.replace('To', ' -> ').toLowerCase()}: ${calls.flips[kind]} calls, ${cases.flips[kind]} cases`);
    for (const { source, tool, summary, after } of examples[kind].slice(0, 5)) {
      console.log(`    ${source} ${tool}: ${summary}\n      ${after.codes.join(' ')}: ${after.message}`);
    }
  }
  if (unseen.count > 0) console.log(`${unseen.count} calls were redacted or cut, and the draft's matchers cannot see what is missing.`);
  console.log(
    redFlips.count === 0
      ? 'No red call would be let run.'
      : `${redFlips.count} red calls or cases would be let run: confirm with that number.`,
  );
}

/** "12h" and "7d" count back from now; anything else is a date. */
function momentOf(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  if (count !== undefined && (unit === 'm' || unit === 'h' || unit === 'd')) return Math.max(0, now - Number(count) * UNITS_MS[unit]);
  const at = Date.parse(text);
  if (Number.isNaN(at)) throw new CommandError('BAD_TIME', `"${text}" is no time: write 30m, 12h, 7d or a date such as 2026-11-20T08:00Z.`);
  return at;
}

function versionOf(text: string): string | number {
  return /^\d{1,9}$/.test(text) ? Number(text) : text;
}

/* ------------------------------------------------------------ files */

/** A file of cases; a bare list is one without defaults. @throws CommandError */
function readCases(file: string | URL) {
  const data = readData(file);
  const parsed = caseFileSchema.safeParse(Array.isArray(data) ? { cases: data } : data);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new CommandError('BAD_CASES', `${file}: ${issue?.path.join('.') || 'the file'}: ${issue?.message ?? 'is no file of cases'}`);
}

function readData(file: string | URL): unknown {
  const text = readText(file);
  try {
    return String(file).endsWith('.json') ? JSON.parse(text) : parse(text, { maxAliasCount: 0 });
  } catch (error) {
    throw new CommandError('BAD_FILE', `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function readText(file: string | URL): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new CommandError('NO_FILE', `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
