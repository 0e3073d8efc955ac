/**
 * Control's metrics: what the record and the links say at the moment somebody asks, with labels from closed lists only. Several controls of
 * one installation say the same of the record; what is said of a process (bus, proxies on the line) is its own.
 */
import { sql } from 'kysely';
import { Gauge, Registry } from 'prom-client';
import { AGENT_STATUSES, TASK_STATUSES } from '../policies/index.ts';
import type { Caps } from './caps.ts';
import { type DrillCard, type Gateway, GatewaySchema, type SystemState } from './contract.ts';
import type { Db } from './db/database.ts';

interface Dependencies {
  db: Db;
  clock: () => number;
  version: string;
  caps: Pick<Caps, 'used'>;
  gateways: () => Promise<readonly Gateway[]>;
  system: () => Promise<SystemState>;
  proxies: () => readonly { state: 'live' | 'stale' }[];
  busConnected: () => boolean;
  drills: () => Promise<DrillCard>;
}

/** Who asks again within this time gets the same page. */
const FRESH_MS = 1_000;
const DAY_MS = 24 * 60 * 60 * 1000;
const QUANTILES = [0.5, 0.9, 0.99] as const;
const SEVERITIES = ['low', 'medium', 'high', 'critical'] as const;

export function createTelemetry({ db, clock, version, caps, gateways, system, proxies, busConnected, drills }: Dependencies) {
  const registry = new Registry();
  const registers = [registry];
  const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
    new Gauge({ name, help, labelNames, registers });
  const pending = gauge('mc_control_approvals_pending', 'Approvals that wait for a person');
  const oldest = gauge('mc_control_approval_oldest_age_seconds', 'Age of the oldest of them; 0 = none waits');
  const latency = gauge(
    'mc_control_approval_latency_seconds',
    'From the request to the decision of a person, over the last day',
    'quantile',
  );
  const budgetUsed = gauge(
    'mc_control_budget_used_ratio',
    'Share of its cap that is spent, of the one that is furthest, per class of caps',
    'scope',
  );
  const spentToday = gauge('mc_control_spend_today_usd', 'Settled spend of the day of the budgets, of all agents');
  const tasks = gauge('mc_control_tasks', 'Tasks by status', 'status');
  const agents = gauge('mc_control_agents', 'Agents by status', 'status');
  const open = gauge('mc_control_alerts_open', 'Alerts that nobody has dealt with', 'severity');
  const links = gauge('mc_control_gateways', 'OpenClaw gateways by the state of the link to them', 'link');
  const gates = gauge('mc_control_gates', 'OpenClaw gateways by the state of the gate in them', 'gate');
  const lines = gauge('mc_control_proxies', 'Proxies that were heard of, by whether they are here now', 'state');
  const bus = gauge('mc_control_bus_connected', 'Whether what this process says reaches the others; 0 = changes travel later');
  const stopped = gauge('mc_control_stopped', 'Whether the emergency stop is on');
  const propagation = gauge(
    'mc_control_stop_propagation_seconds',
    'From the last press until the last proxy let nothing run; -1 = none was pressed, or not all have answered',
  );
  const drilled = gauge('mc_control_drills', 'Drills by how they last went, the worst proxy of each', 'outcome');
  const failing = gauge('mc_control_workers_failing', 'Background workers whose last tick failed');
  gauge('mc_build_info', 'What runs here; always 1', 'version', 'node', 'role').labels(version, process.versions.node, 'control').set(1);
  let last: { at: number; page: Promise<string> } | null = null;

  /** Text of /metrics. @throws Error while the database does not answer. */
  async function page(): Promise<string> {
    const now = performance.now();
    if (last === null || now - last.at > FRESH_MS) last = { at: now, page: collect().then(() => registry.metrics()) };
    return last.page;
  }

  async function collect(): Promise<void> {
    const now = clock();
    const { rows: waiting } = await sql<{ count: number; oldest: number | null }>`
      select count(*)::int as count, min(created_at) as oldest from approvals where status = 'pending'`.execute(db);
    pending.set(waiting[0]?.count ?? 0);
    oldest.set(waiting[0]?.oldest ? Math.max(0, now - Number(waiting[0].oldest)) / 1000 : 0);
    const { rows: decided } = await sql<{ latencies: number[] | null }>`
      select percentile_cont(array[${sql.raw(QUANTILES.join(', '))}]::double precision[]) within group (order by decided_at - created_at) as latencies
      from approvals where decided_at > ${now - DAY_MS}::bigint and status in ('approved', 'denied')`.execute(db);
    for (const [index, quantile] of QUANTILES.entries()) latency.labels(String(quantile)).set((decided[0]?.latencies?.[index] ?? 0) / 1000);
    const used = await caps.used();
    for (const [scope, share] of Object.entries(used.shares)) budgetUsed.labels(scope).set(share);
    spentToday.set(used.todayMicros / 1_000_000);
    const counted = async (of: 'tasks' | 'agents') =>
      (
        await sql<{
          status: string;
          count: number;
        }>`select status, count(*)::int as count from ${sql.table(of)} where removed_at is null group by 1`.execute(db)
      ).rows;
    spread(tasks, TASK_STATUSES, await counted('tasks'));
    spread(agents, AGENT_STATUSES, await counted('agents'));
    const { rows: severities } = await sql<{ status: string; count: number }>`
      select severity as status, count(*)::int as count from alerts where resolved_at is null group by 1`.execute(db);
    spread(open, SEVERITIES, severities);
    const known = await gateways();
    spread(
      links,
      GatewaySchema.shape.link.shape.state.options,
      known.map(({ link }) => ({ status: link.state, count: 1 })),
    );
    spread(
      gates,
      GatewaySchema.shape.gate.options,
      known.map(({ gate }) => ({ status: gate, count: 1 })),
    );
    spread(
      lines,
      ['live', 'stale'],
      proxies().map(({ state }) => ({ status: state, count: 1 })),
    );
    bus.set(busConnected() ? 1 : 0);
    const { estop, receipt } = await system();
    stopped.set(estop ? 1 : 0);
    const silent = receipt?.proxies.map(({ silentAfterMs }) => silentAfterMs) ?? [];
    propagation.set(silent.length === 0 || silent.includes(null) ? -1 : Math.max(...silent.map(Number)) / 1000);
    const { items } = await drills();
    const outcomes = items.map(({ outcome }) => ({ status: outcome ?? 'not_run', count: 1 }));
    spread(drilled, ['passed', 'inconclusive', 'failed', 'not_run'], outcomes);
    const { rows: errors } = await sql<{ count: number }>`select count(*)::int as count from leases where last_error is not null`.execute(
      db,
    );
    failing.set(errors[0]?.count ?? 0);
  }

  return { page };
}

/** Every value of the list has a figure, also the ones that nothing has now. */
function spread(gauge: Gauge, values: readonly string[], rows: readonly { status: string; count: number }[]): void {
  for (const value of values) gauge.labels(value).set(rows.reduce((sum, row) => (row.status === value ? sum + row.count : sum), 0));
}
