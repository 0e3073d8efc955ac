/** The boards and rules in deploy/ are asked of a real Prometheus that scrapes a real run: what they name is there, and what they ask is answered. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findProgram } from '../setup/programs.ts';
import { METRICS_TOKEN, type OwnTime, startInOwnTime } from '../support/own-time.ts';
import { ADMIN_TOKEN, freePort, newAgent, until } from '../support/world.ts';

const DEPLOY = join(import.meta.dirname, '..', '..', 'deploy');
const boards = readdirSync(join(DEPLOY, 'grafana', 'dashboards')).map(
  (file) =>
    JSON.parse(readFileSync(join(DEPLOY, 'grafana', 'dashboards', file), 'utf8')) as {
      title: string;
      panels: { title: string; targets: { expr: string }[] }[];
    },
);
const rules = readFileSync(join(DEPLOY, 'rules.yml'), 'utf8');

let world: OwnTime;
let prometheus: ChildProcess;
let api = '';
const folder = mkdtempSync(join(tmpdir(), 'mc-prometheus-'));
beforeAll(async () => {
  world = await startInOwnTime();
  const agent = await newAgent(world);
  const call = (tool: string, args: object) =>
    world.gate('POST', '/v1/tool-calls', { tool, arguments: args, callId: crypto.randomUUID(), sessionKey: 's', runId: 'r' }, agent.token);
  for (const [tool, args] of [
    ['post_comment', { text: 'hi' }],
    ['exec', { command: 'rm -rf /' }],
    ['exec', { command: 'make deploy' }],
  ] as const)
    expect((await call(tool, args)).status).toBeLessThan(500);
  api = await startPrometheus();
});
afterAll(async () => {
  prometheus.kill('SIGKILL');
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

async function startPrometheus(): Promise<string> {
  const port = await freePort();
  const job = (name: string, url: string) => ({
    job_name: `mission-control-${name}`,
    authorization: { credentials: METRICS_TOKEN },
    static_configs: [{ targets: [new URL(url).host] }],
  });
  writeFileSync(join(folder, 'rules.yml'), rules);
  const config = {
    global: { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '200ms' },
    rule_files: ['rules.yml'],
    scrape_configs: [job('proxy', world.gateUrl), job('control', world.controlUrl)],
  };
  // YAML is a superset of JSON.
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config));
  const program = findProgram(['prometheus']);
  if (program === null) throw new Error('prometheus is not there; npm test unpacks it');
  const args = [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  prometheus = spawn(program, args, { stdio: 'ignore' });
  return `http://127.0.0.1:${port}/api/v1`;
}

interface Answer<T> {
  status: string;
  error?: string;
  data: T;
}
const ask = async <T>(path: string): Promise<Answer<T>> => {
  const answer = await fetch(`${api}${path}`).catch((error: Error) => error);
  // While it starts it answers in plain text that it is not ready.
  const isAnswer = 'json' in answer && answer.status !== 503;
  return isAnswer ? ((await answer.json()) as Answer<T>) : { status: 'away', error: String(answer), data: null as T };
};
const query = (expr: string) =>
  ask<{ result: { metric: Record<string, string>; value: [number, string] }[] }>(`/query?query=${encodeURIComponent(expr)}`);

describe('a Prometheus that scrapes proxy and control', () => {
  it('answers every panel of every board', async () => {
    const up = await until(
      () => query('sum(up)'),
      ({ data }) => data?.result?.[0]?.value[1] === '2',
      20_000,
    );
    expect(up.status).toBe('success');
    const panels = boards.flatMap(({ title, panels: all }) =>
      all.flatMap((panel) => panel.targets.map(({ expr }) => ({ where: `${title}: ${panel.title}`, expr }))),
    );
    expect(panels.length).toBeGreaterThan(30);
    // A rate needs two scrapes.
    for (const { where, expr } of panels) {
      const answer = await until(
        () => query(expr),
        ({ status, data }) => status === 'error' || data?.result.length > 0,
      );
      expect({ where, error: answer.error ?? null, answers: answer.data?.result.length > 0 }).toEqual({
        where,
        error: null,
        answers: true,
      });
    }
  });

  it('evaluates every rule, and has every metric that a rule names', async () => {
    type Groups = { groups: { rules: { name: string; health: string; lastError?: string; state: string }[] }[] };
    const { data } = await until(
      () => ask<Groups>('/rules'),
      (answer) =>
        answer.status === 'success' && answer.data.groups.flatMap((group) => group.rules).every(({ health }) => health !== 'unknown'),
    );
    const evaluated = data.groups.flatMap((group) => group.rules);
    expect(evaluated.map(({ name }) => name)).toEqual([...rules.matchAll(/- alert: (\w+)/g)].map(([, name]) => name));
    expect(evaluated.filter(({ health }) => health !== 'ok')).toEqual([]);
    for (const name of new Set(rules.match(/\bmc_\w+/g)))
      await until(
        () => query(name),
        ({ data: found }) => found?.result.length > 0,
      );
  });

  it('counts what was decided, and how long that took', async () => {
    const value = async (expr: string) => Number((await query(expr)).data?.result[0]?.value[1] ?? Number.NaN);
    const becomes = (expr: string, right: number) =>
      until(
        () => value(expr),
        (count) => count === right,
      );
    await becomes('sum(mc_proxy_decisions_total{entry="openclaw",verdict="allow",risk="green"})', 1);
    await becomes('sum(mc_proxy_decisions_total{entry="openclaw",verdict="deny"})', 1);
    await becomes('mc_proxy_reasons_total{verdict="deny",code="SHELL_BLOCKED"}', 1);
    await becomes('mc_proxy_overhead_seconds_count{entry="openclaw"}', 3);
    await becomes('sum(mc_proxy_held_calls)', 1);
    await becomes('mc_control_approvals_pending', 1);
    await becomes('count(mc_build_info)', 2);
  });
});

it('the metrics of control are open to the metrics token and to operators, and to nobody else', async () => {
  const status = async (token: string | null) =>
    (await fetch(`${world.controlUrl}/metrics`, { headers: token === null ? {} : { authorization: `Bearer ${token}` } })).status;
  const agent = await newAgent(world);
  expect(await Promise.all([METRICS_TOKEN, ADMIN_TOKEN, agent.token, `${METRICS_TOKEN}x`, null].map(status))).toEqual([
    200, 200, 401, 401, 401,
  ]);
});

it('the number of series does not grow with what comes', async () => {
  const series = async () =>
    (await (await fetch(`${world.gateUrl}/metrics`, { headers: { authorization: `Bearer ${METRICS_TOKEN}` } })).text()).split('\n').length;
  const before = await series();
  for (const name of ['a', 'b', 'c']) {
    const agent = await newAgent(world);
    await world.gate('POST', '/v1/tool-calls', { tool: `unheard_of_${name}`, arguments: {}, callId: name }, agent.token);
  }
  expect(await series()).toBe(before);
});
