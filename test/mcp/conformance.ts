/**
 * The official conformance suite against a conforming server, directly and through the gate: no scenario may be lost. Prints both
 * lists. `npm run conformance`, or with `-- --url http://127.0.0.1:PORT/mcp --suite FOLDER` for another server and another version of
 * the suite (a folder with @modelcontextprotocol/conformance in its node_modules).
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { newAgent, startWorld } from '../support/world.ts';
import { startConformingServer } from './conforming-server.ts';
import { mapRisks, newUpstream } from './gate.ts';

export interface ScenarioResult {
  scenario: string;
  passed: number;
  failed: number;
  /** What failed, in the suite's words. */
  failures: string[];
}

/** Runs scenarios of the suite against a server. @param only their names; all active ones unless given. @param more further options of the suite. */
export async function runSuite(
  url: string,
  suiteFolder: string,
  only: readonly string[] | null,
  more: readonly string[] = [],
): Promise<ScenarioResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'mc-conformance-'));
  const cli = join(suiteFolder, 'node_modules', '@modelcontextprotocol', 'conformance', 'dist', 'index.js');
  try {
    for (const scenario of only ?? [null]) {
      const args = [cli, 'server', '--url', url, '--output-dir', folder, ...(scenario === null ? [] : ['--scenario', scenario]), ...more];
      await run(args, folder);
    }
    return resultsIn(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(args: readonly string[], cwd: string): Promise<void> {
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said = `${said}${chunk}`.slice(-20_000);
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      // 1 = a scenario failed, which the results say better.
      if (code === 0 || code === 1) resolve();
      else reject(new Error(`the conformance suite ended with ${code}\n${said}`));
    });
  });
}

/** What the suite has written into a folder, by scenario. */
export function resultsIn(folder: string): ScenarioResult[] {
  const results: ScenarioResult[] = [];
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!entry.endsWith('checks.json')) continue;
    const scenario = /(?:server-)?([^/]+?)-\d{4}-\d\d-\d\dT[^/]*\/checks\.json$/.exec(entry)?.[1] ?? entry;
    const checks = JSON.parse(readFileSync(join(folder, entry), 'utf8')) as { id: string; status: string; errorMessage?: string }[];
    const count = (status: string) => checks.filter((check) => check.status === status).length;
    const failures = checks.filter(({ status }) => status === 'FAILURE').map(({ id, errorMessage }) => `${id}: ${errorMessage ?? ''}`);
    results.push({ scenario, passed: count('SUCCESS'), failed: count('FAILURE'), failures });
  }
  return results.sort((a, b) => a.scenario.localeCompare(b.scenario));
}

/** The suite cannot send a credential: this adds the agent's, and changes nothing else. */
export async function startCredentialAdder(gateUrl: string, token: string): Promise<{ origin: string; close: () => Promise<void> }> {
  const gate = new URL(gateUrl);
  const server: Server = createServer((request, response) => {
    const headers = { ...request.headers, authorization: `Bearer ${token}` };
    const outgoing = send({ host: gate.hostname, port: gate.port, method: request.method, path: request.url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    outgoing.on('error', () => response.destroy());
    response.on('close', () => outgoing.destroy());
    request.pipe(outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://localhost:${port}`,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Scenarios that pass directly and do not pass through the gate. */
export function lostScenarios(direct: readonly ScenarioResult[], through: readonly ScenarioResult[]): string[] {
  return direct
    .filter(({ scenario, failed }) => failed === 0 && through.find((other) => other.scenario === scenario)?.failed !== 0)
    .map(({ scenario }) => scenario);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string' },
      suite: { type: 'string', default: join(import.meta.dirname, '..', '..') },
      option: { type: 'string', multiple: true, default: ['--suite=all'] },
      scenario: { type: 'string', multiple: true },
    },
  });
  const own = values.url === undefined ? await startConformingServer() : null;
  const url = values.url ?? own?.url ?? '';
  const world = await startWorld();
  const adder = await (async () => {
    const agent = await newAgent(world);
    const upstream = await newUpstream(world, { name: 'conforming', url });
    await mapRisks(world, { [`${upstream.name}__*`]: 'green' });
    return startCredentialAdder(world.gateUrl, agent.token);
  })();
  try {
    const only = values.scenario ?? null;
    const direct = await runSuite(url.replace('127.0.0.1', 'localhost'), values.suite, only, values.option);
    const through = await runSuite(`${adder.origin}/mcp/conforming`, values.suite, only, values.option);
    console.log('scenario                                          direct              through the gate');
    for (const result of direct) {
      const other = through.find((candidate) => candidate.scenario === result.scenario);
      const words = (one: ScenarioResult | undefined) => (one ? `${one.passed} ok, ${one.failed} failed` : 'missing');
      console.log(`${result.scenario.padEnd(48)}  ${words(result).padEnd(20)}${words(other)}`);
    }
    const lost = lostScenarios(direct, through);
    const passes = (results: readonly ScenarioResult[]) => results.filter(({ failed }) => failed === 0).length;
    console.log(
      `\n${direct.length} scenarios: ${passes(direct)} pass directly, ${passes(through)} through the gate; lost: ${lost.join(', ') || 'none'}`,
    );
    for (const scenario of lost)
      console.log(`\n${scenario}:\n${through.find((result) => result.scenario === scenario)?.failures.join('\n') ?? 'did not run'}`);
    process.exitCode = lost.length > 0 || direct.length === 0 ? 1 : 0;
  } finally {
    await adder.close();
    await world.close();
    await own?.close();
  }
}

if (import.meta.main) await main();
