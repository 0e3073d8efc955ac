/**
 * The proxy's metrics: few, with labels from closed lists only, so that their number is the same whatever calls come. Counting happens on the
 * path of a call and is bound beforehand; everything else is looked up when somebody asks.
 */
import { AggregatorRegistry, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ENTRIES } from '../control/contract.ts';
import { REASON_CODES, RISKS, type Risk, VERDICTS, type Verdict } from '../policies/index.ts';
import type { WorkerPage } from './worker-group.ts';

export type Telemetry = ReturnType<typeof createTelemetry>;
type Entry = (typeof ENTRIES)[number];

interface Decided {
  verdict: Verdict;
  risk: Risk;
  reasons: readonly { code: string }[];
  kind?: 'policy' | 'duplicate' | 'unavailable' | 'canary';
}

/** From a green call that is written to one that asks control for an approval, seconds. */
const OVERHEAD_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1];

const UP = 'mc_proxy_worker_up';
const UP_HELP = 'Whether a worker answers; 0 = it is down, or stands still';

/** @param read live figures that are looked up when somebody asks. */
export function createTelemetry(read: {
  version: string;
  /** Which worker of a group this is; null = it is alone. */
  worker: number | null;
  openCalls: () => number;
  heldCalls: () => number;
  waiting: () => number;
  journalDepth: () => number;
  /** Age of the oldest event that control has not acknowledged, milliseconds; 0 = none. */
  journalAgeMs: () => number;
  reservations: () => number;
  leaseRefills: () => number;
  snapshotAgeMs: () => number | null;
  ledgerAvailable: () => boolean;
}) {
  const registry = new Registry();
  if (read.worker !== null) registry.setDefaultLabels({ worker: String(read.worker) });
  const registers = [registry];
  const decisions = new Counter({
    name: 'mc_proxy_decisions_total',
    help: 'Answers to calls, by entry point, verdict and risk',
    labelNames: ['entry', 'verdict', 'risk'],
    registers,
  });
  const reasons = new Counter({
    name: 'mc_proxy_reasons_total',
    help: 'Reasons of calls that were held or denied; a call may have several',
    labelNames: ['verdict', 'code'],
    registers,
  });
  const overhead = new Histogram({
    name: 'mc_proxy_overhead_seconds',
    help: 'Time from a call at admission to its answer: judged, reserved, recorded; without the wait of a held call',
    labelNames: ['entry'],
    buckets: OVERHEAD_BUCKETS,
    registers,
  });
  // Bound once: a labelled lookup per call costs more than the count.
  const bound = new Map(
    ENTRIES.flatMap((entry) =>
      VERDICTS.flatMap((verdict) => RISKS.map((risk) => [`${entry} ${verdict} ${risk}`, decisions.labels(entry, verdict, risk)] as const)),
    ),
  );
  const boundReasons = new Map<string, ReturnType<typeof reasons.labels>>(
    (['hold', 'deny'] as const).flatMap((verdict) =>
      REASON_CODES.map((code) => [`${verdict} ${code}`, reasons.labels(verdict, code)] as const),
    ),
  );
  const boundOverhead = new Map<Entry, ReturnType<typeof overhead.labels>>(ENTRIES.map((entry) => [entry, overhead.labels(entry)]));
  // A series that is there from the start: what has not happened yet is 0, not unknown.
  for (const count of [...bound.values(), ...boundReasons.values()]) count.inc(0);
  for (const entry of ENTRIES) overhead.zero({ entry });
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  gauge('mc_proxy_open_calls', 'Calls that are running or held', read.openCalls);
  gauge('mc_proxy_held_calls', 'Calls that are held', read.heldCalls);
  gauge('mc_proxy_waiting_polls', 'Callers that wait for a decision', read.waiting);
  gauge('mc_proxy_journal_depth', 'Journal events that control has not acknowledged', read.journalDepth);
  gauge('mc_proxy_journal_age_seconds', 'Age of the oldest of them', () => read.journalAgeMs() / 1000);
  gauge('mc_proxy_reservations', 'Reservations that are neither settled nor past their time', read.reservations);
  gauge('mc_proxy_ledger_available', 'Whether the budget counters answer; 0 = priced, yellow and red calls are refused', () =>
    read.ledgerAvailable() ? 1 : 0,
  );
  gauge('mc_proxy_snapshot_age_seconds', 'Age of the picture that calls are judged by; -1 = none', () => {
    const age = read.snapshotAgeMs();
    return age === null ? -1 : age / 1000;
  });
  new Counter({
    name: 'mc_proxy_lease_refills_total',
    help: 'Slices of caps that were taken from the shared counters',
    registers,
    collect() {
      this.reset();
      this.inc(read.leaseRefills());
    },
  });
  new Gauge({ name: 'mc_build_info', help: 'What runs here; always 1', labelNames: ['version', 'node', 'role'], registers })
    .labels(read.version, process.versions.node, 'proxy')
    .set(1);
  // Of several, one page has it for each: pageOfWorkers.
  if (read.worker === null) gauge(UP, UP_HELP, () => 1);
  return {
    /** Counts an answer to a call. */
    decided: (entry: Entry, { verdict, risk, reasons: why, kind }: Decided) => {
      if (kind === 'canary') return;
      bound.get(`${entry} ${verdict} ${risk}`)?.inc();
      if (verdict !== 'allow') for (const { code } of why) boundReasons.get(`${verdict} ${code}`)?.inc();
    },
    /** Counts the time of an answer. */
    answered: (entry: Entry, ms: number) => boundOverhead.get(entry)?.observe(ms / 1000),
    page: () => registry.metrics(),
    /** The same as values, for a page of several workers. */
    values: (): Promise<unknown> => registry.getMetricsAsJSON(),
  };
}

/**
 * One page of all workers behind a port: each series has the number of its worker, so that it is the same page whichever of them is asked,
 * and no figure of one is taken for that of another.
 */
export async function pageOfWorkers(pages: readonly WorkerPage[]): Promise<string> {
  const values = pages.flatMap(({ page }) => (Array.isArray(page) ? [page as object[]] : []));
  const up = pages.map(({ worker, page }) => `${UP}{worker="${worker}"} ${page === null ? 0 : 1}`);
  const head = [`# HELP ${UP} ${UP_HELP}`, `# TYPE ${UP} gauge`];
  return `${await AggregatorRegistry.aggregate(values).metrics()}\n${[...head, ...up].join('\n')}\n`;
}
