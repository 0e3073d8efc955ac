/** The proxy's metrics: few, with labels from closed lists only. */
import { Counter, Gauge, Registry } from 'prom-client';
import { ENTRIES } from '../control/contract.ts';
import { VERDICTS, type Verdict } from '../policies/index.ts';

export type Telemetry = ReturnType<typeof createTelemetry>;

/** @param read live figures that are looked up when somebody asks. */
export function createTelemetry(read: {
  openCalls: () => number;
  waiting: () => number;
  journalDepth: () => number;
  reservations: () => number;
  snapshotAgeMs: () => number | null;
  ledgerAvailable: () => boolean;
}) {
  const registry = new Registry();
  const decisions = new Counter({
    name: 'mc_proxy_decisions_total',
    help: 'Answers to calls, by entry point and verdict',
    labelNames: ['entry', 'verdict'],
    registers: [registry],
  });
  // Bound once: a labelled lookup per call costs more than the count.
  const bound = new Map(
    ENTRIES.flatMap((entry) => VERDICTS.map((verdict) => [`${entry} ${verdict}`, decisions.labels(entry, verdict)] as const)),
  );
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(value());
      },
    });
  gauge('mc_proxy_open_calls', 'Calls that are running or held', read.openCalls);
  gauge('mc_proxy_waiting_polls', 'Callers that wait for a decision', read.waiting);
  gauge('mc_proxy_journal_depth', 'Journal events that control has not acknowledged', read.journalDepth);
  gauge('mc_proxy_reservations', 'Reservations that are neither settled nor past their time', read.reservations);
  gauge('mc_proxy_ledger_available', 'Whether the budget counters answer; 0 = priced, yellow and red calls are refused', () =>
    read.ledgerAvailable() ? 1 : 0,
  );
  gauge('mc_proxy_snapshot_age_seconds', 'Age of the picture that calls are judged by; -1 = none', () => {
    const age = read.snapshotAgeMs();
    return age === null ? -1 : age / 1000;
  });
  return {
    decided: (entry: (typeof ENTRIES)[number], verdict: Verdict) => bound.get(`${entry} ${verdict}`)?.inc(),
    page: () => registry.metrics(),
  };
}
