/**
 * The client scenarios of the official conformance suite, with Mission Control as the client: the suite's server is our upstream, and
 * what it sees is our side towards servers. `npm run conformance` runs it after the server scenarios; `-- --scenario NAME` runs one.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startWorld, type World } from '../support/world.ts';
import { resultsIn, type ScenarioResult } from './conformance.ts';

/** What applies to us; docs/upstream-oauth.md says why the others do not. */
const SCENARIOS = [
  'initialize',
  'tools_call',
  'elicitation-sep1034-client-defaults',
  'sse-retry',
  'auth/metadata-default',
  'auth/metadata-var1',
  'auth/metadata-var2',
  'auth/metadata-var3',
  'auth/scope-from-www-authenticate',
  'auth/scope-from-scopes-supported',
  'auth/scope-omitted-when-undefined',
  'auth/scope-retry-limit',
  'auth/token-endpoint-auth-basic',
  'auth/token-endpoint-auth-post',
  'auth/token-endpoint-auth-none',
  'auth/pre-registration',
  'auth/2025-03-26-oauth-endpoint-fallback',
  'auth/resource-mismatch',
  'auth/offline-access-scope',
  'auth/offline-access-not-supported',
  'auth/client-credentials-basic',
];
const ROOT = join(import.meta.dirname, '..', '..');
const CLI = join(ROOT, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
const CLIENT = `${process.execPath} ${join(import.meta.dirname, 'gate-client-command.ts')}`;
const SCENARIO_MS = 120_000;

async function runScenario(world: World, scenario: string): Promise<ScenarioResult> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-conformance-'));
  try {
    const args = [CLI, 'client', '--command', CLIENT, '--scenario', scenario, '--timeout', String(SCENARIO_MS), '--output-dir', folder];
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, CONFORMANCE_CONTROL_URL: world.controlUrl, CONFORMANCE_GATE_URL: world.gateUrl },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said = `${said}${chunk}`.slice(-20_000)));
    const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
    const [result] = resultsIn(folder);
    // A client that ends badly fails its scenario, whatever the checks up to then say.
    if (result === undefined || (code !== 0 && result.failed === 0))
      return { scenario, passed: result?.passed ?? 0, failed: 1, failures: [said.slice(-2_000)] };
    // What the client itself said, where it ended badly.
    const words = result.failed === 0 ? [] : [said.split('\n').find((line) => /Error: /.test(line)) ?? ''];
    return { ...result, scenario, failures: [...result.failures, ...words] };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({ options: { scenario: { type: 'string', multiple: true } } });
const world = await startWorld();
try {
  console.log('client scenario                                   Mission Control as the client');
  const results: ScenarioResult[] = [];
  for (const scenario of values.scenario ?? SCENARIOS) {
    const result = await runScenario(world, scenario);
    results.push(result);
    console.log(`${scenario.padEnd(48)}  ${result.passed} ok, ${result.failed} failed`);
    for (const failure of result.failures) console.log(`    ${failure}`);
  }
  const failed = results.filter((result) => result.failed > 0);
  console.log(`\n${results.length} client scenarios: ${results.length - failed.length} pass`);
  process.exitCode = failed.length > 0 ? 1 : 0;
} finally {
  await world.close();
}
