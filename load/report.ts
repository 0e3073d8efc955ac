/** The figures of a bench as Markdown, with the promises of the specification beside them. */
import type { ProfileLine } from './profile.ts';

/** Calls of one kind are compared with one another: each kind has its own upstream, and its own rivals. */
export type Kind = 'http' | 'mcp' | 'model' | 'stream';

export interface Measurement {
  name: string;
  kind: Kind;
  isGoverned: boolean;
  isProxy: boolean;
  /** Per round: CPU microseconds per call of the proxy and of control, calls per second, share of the time in which its main thread was ready but others had its core, latencies in microseconds. */
  rounds: { cpuMicros: number; controlCpuMicros: number | null; perSecond: number; waitedShare: number; p50: number; p99: number }[];
  /** At a fixed rate, microseconds. */
  paced: { p50: number; p99: number }[];
}

export interface Report {
  at: Date;
  machine: string;
  node: string;
  /** Rivals by name, each with its version, or why there is none. */
  rivals: Record<string, string>;
  rounds: number;
  blockMs: number;
  connections: number;
  pacedPerSecond: number;
  streamsPerSecond: number;
  isControlApart: boolean;
  /** Memory of the proxy's process before the first call and after the last. */
  residentBytes: { idle: number; after: number };
  measurements: Measurement[];
  /** `otherThreads`: share of the process's CPU that was not its main thread's. */
  profiles: { name: string; lines: ProfileLine[]; otherThreads: number }[];
}

/** Beyond this a run is marked as not worth quoting. */
const WAITED_MAX = 0.05;
export const NGINX = 'nginx';
export const BARE = 'bare node:http proxy';
export const MCP_BARE = 'bare node:http proxy, MCP';
export const MCP_PROXY = 'mcp-proxy';
export const SUPERGATEWAY = 'supergateway';
export const FORWARD = 'governed HTTP forward';
export const MCP_CALL = 'governed tools/call';
export const MODEL_NGINX = 'nginx, chat completion';
export const MODEL_BARE = 'bare node:http proxy, chat completion';
export const PORTKEY = 'Portkey';
export const MODEL_CALL = 'governed chat completion';
export const STREAM_NGINX = 'nginx, stream';
export const STREAM_BARE = 'bare node:http proxy, stream';
export const MODEL_STREAM = 'governed stream';
const KINDS: Record<Kind, { title: string; rivals: string[] }> = {
  http: { title: 'HTTP and the gate', rivals: [NGINX, BARE] },
  mcp: { title: 'MCP: tools/call', rivals: [MCP_BARE, MCP_PROXY, SUPERGATEWAY] },
  model: { title: 'Models: chat completions in one piece', rivals: [MODEL_NGINX, MODEL_BARE, PORTKEY] },
  stream: { title: 'Models: streams of a hundred chunks', rivals: [STREAM_NGINX, STREAM_BARE] },
};
/** SPEC 12, "overhead": what may at most cost how many times as much as what. */
const TARGETS: { name: string; rival: string; most: number; text: string }[] = [
  { name: FORWARD, rival: BARE, most: 0.5, text: '0.5' },
  { name: FORWARD, rival: NGINX, most: 4.5, text: '4.5' },
  { name: MCP_CALL, rival: MCP_BARE, most: 0.5, text: '0.5' },
  { name: MCP_CALL, rival: MCP_PROXY, most: 1 / 8, text: '1/8' },
  { name: MODEL_CALL, rival: MODEL_BARE, most: 0.5, text: '0.5' },
  { name: MODEL_CALL, rival: MODEL_NGINX, most: 4.5, text: '4.5' },
  { name: MODEL_CALL, rival: PORTKEY, most: 1 / 12, text: '1/12' },
  { name: MODEL_STREAM, rival: STREAM_NGINX, most: 2.5, text: '2.5' },
];

export function renderReport(report: Report): string {
  return [heading(report), ...warning(report), costs(report), promises(report), latencies(report), ...report.profiles.map(profile)].join(
    '\n\n',
  );
}

function heading({ at, machine, node, rivals, rounds, blockMs, connections, isControlApart, residentBytes }: Report): string {
  const apart = isControlApart ? 'control on a third' : 'control shares the second';
  return (
    `## Bench of ${at.toISOString().slice(0, 16).replace('T', ' ')} UTC\n\n` +
    `${machine}; Node ${node}; ${named(rivals)}. ${connections} connections, ${rounds} rounds of at least ${blockMs / 1000} s each in alternating order; ` +
    `the proxy alone on one core, load and upstream on another, ${apart}. Median of the rounds, least and most in brackets. ` +
    `Memory of the proxy's process: ${megabytes(residentBytes.idle)} before the first call, ${megabytes(residentBytes.after)} after the last.`
  );
}

/**
 * A proxy that waits for its core shares its caches with others and has less to do at once. By how much that changes CPU per call was
 * not established, nor that it changes it alike for all; so neither such figures nor their ratios are worth quoting.
 */
function warning({ measurements }: Report): string[] {
  const waited = Math.max(
    0,
    ...measurements.filter(({ isProxy }) => isProxy).map(({ rounds }) => median(rounds.map((round) => round.waitedShare))),
  );
  if (waited <= WAITED_MAX) return [];
  return [
    `**This machine was busy: a proxy waited for its core up to ${percent(waited)} of the time. Neither CPU per call nor the ratios can be relied on; run it again on a quiet machine before quoting anything.**`,
  ];
}

function named(rivals: Record<string, string>): string {
  return Object.entries(rivals)
    .map(([name, version]) => `${name} ${version}`)
    .join(', ');
}

function costs({ measurements }: Report): string {
  const kinds = (Object.keys(KINDS) as Kind[]).filter((kind) => measurements.some((each) => each.kind === kind));
  return kinds.map((kind) => costsOf(kind, measurements)).join('\n\n');
}

function costsOf(kind: Kind, all: readonly Measurement[]): string {
  const { title, rivals } = KINDS[kind];
  const rows = all
    .filter((each) => each.kind === kind)
    .map((each) => {
      const { name, rounds, isProxy, isGoverned } = each;
      const cpu = rounds.map((round) => round.cpuMicros);
      const control = isGoverned ? micros(rounds.map((round) => round.controlCpuMicros ?? 0)) : '';
      return [
        name,
        isProxy ? micros(cpu) : '',
        ...rivals.map((rival) => (isProxy ? decimal(ratioOf(each, all, rival)) : '')),
        Math.round(median(rounds.map((round) => round.perSecond))).toLocaleString('en'),
        isProxy ? percent(median(rounds.map((round) => round.waitedShare))) : '',
        control,
      ];
    });
  const headings = [
    '',
    'CPU per call',
    ...rivals.map((rival) => `× ${rival}`),
    'calls/s',
    'waited for its core',
    'CPU of control per call',
  ];
  return `### ${title}\n\n${table(headings, rows)}`;
}

function promises({ measurements, pacedPerSecond }: Report): string {
  const rows: string[][] = [];
  for (const { name, rival, most, text } of TARGETS) {
    const ours = measurements.find((each) => each.name === name);
    if (!ours) continue;
    const measured = ratioOf(ours, measurements, rival);
    const verdict = measured === null ? '' : met(measured <= most);
    rows.push([`CPU of a ${name} against ${rival}`, `≤ ${text}`, decimal(measured), verdict]);
  }
  const forward = measurements.find(({ name }) => name === FORWARD);
  const bare = measurements.find(({ name }) => name === BARE);
  if (forward && bare) {
    const p50 = median(forward.paced.map((each) => each.p50));
    const bareP50 = median(bare.paced.map((each) => each.p50));
    rows.push([
      `p50 of a ${FORWARD} at ${pacedPerSecond} calls/s`,
      `≤ ${milliseconds(bareP50)} (the bare proxy's)`,
      milliseconds(p50),
      met(p50 <= bareP50),
    ]);
  }
  return `### Promises\n\n${table(['promise', 'target', 'measured', ''], rows)}`;
}

function latencies({ measurements, pacedPerSecond, streamsPerSecond, connections }: Report): string {
  const rows = measurements.map(({ name, rounds, paced }) => [
    name,
    milliseconds(median(paced.map((each) => each.p50))),
    milliseconds(median(paced.map((each) => each.p99))),
    milliseconds(median(rounds.map((each) => each.p50))),
    milliseconds(median(rounds.map((each) => each.p99))),
  ]);
  const headings = ['', `p50 at ${pacedPerSecond}/s`, `p99 at ${pacedPerSecond}/s`, `p50 at full load`, 'p99 at full load'];
  return `### Latency\n\nOf a whole call; one at the gate is two requests, the second after the answer to the first. Full load is ${connections} calls at once; streams come at ${streamsPerSecond}/s.\n\n${table(headings, rows)}`;
}

function profile({ name, lines, otherThreads }: Report['profiles'][number]): string {
  const of = (kind: ProfileLine['kind']) =>
    lines.filter((line) => line.kind === kind && line.share >= 0.005).map((line) => [line.name, percent(line.share)]);
  return [
    `### Where the time goes: ${name}`,
    `Of the main thread's time. Other threads (file system, collector, compiler) used ${percent(otherThreads)} of the process's CPU.`,
    table(['step, with all that it calls', 'share'], of('step')),
    table(['part, own time', 'share'], of('part')),
    table(['function, own time', 'share'], of('function')),
  ].join('\n\n');
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** Median over the rounds of the ratio within each round. */
function ratioOf(measurement: Measurement, all: readonly Measurement[], rival: string): number | null {
  const other = all.find(({ name }) => name === rival);
  if (!other) return null;
  return median(measurement.rounds.map((round, i) => round.cpuMicros / (other.rounds[i]?.cpuMicros ?? Number.NaN)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

function micros(values: readonly number[]): string {
  return `${median(values).toFixed(0)} µs (${Math.min(...values).toFixed(0)}-${Math.max(...values).toFixed(0)})`;
}

function decimal(value: number | null): string {
  return value === null ? 'not measured' : value.toFixed(2);
}

function milliseconds(micro: number): string {
  return `${(micro / 1000).toFixed(2)} ms`;
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_000_000)} MB`;
}

function met(isMet: boolean): string {
  return isMet ? 'met' : 'MISSED';
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(headings), line(headings.map(() => '---')), ...rows.map(line)].join('\n');
}
